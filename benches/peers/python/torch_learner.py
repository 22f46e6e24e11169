"""The original system's learner, and our model's twin, on PyTorch: one JSON line a measurement.

    torch_learner.py train            tokens/s of one training step after the other
    torch_learner.py original-train   examples/s of the original's layout: one prompt copy a child, padded to the window
    torch_learner.py generate FILE    children/s of the original's model, one state at a time; FILE has a prompt a line

Takes torch and transformers (requirements-torch.txt). `--threads` cores, `--seconds` a measurement at least.
"""

import argparse
import json
import re
import time

import torch
from transformers import GPTNeoConfig, GPTNeoForCausalLM

# About GPT-2's way to cut text: what it gives is at most the number of its tokens.
PIECES = re.compile(r" ?[A-Za-z]+| ?\d{1,3}| ?[^\sA-Za-z\d]+|\s+")


def model(vocabulary, positions, heads):
    config = GPTNeoConfig(
        vocab_size=vocabulary,
        max_position_embeddings=positions,
        hidden_size=256,
        num_layers=4,
        num_heads=heads,
        intermediate_size=1024,
        attention_types=[[["global"], 4]],
        resid_dropout=0.0,
        embed_dropout=0.0,
        attention_dropout=0.0,
        bos_token_id=0,
        eos_token_id=vocabulary - 1,
    )
    torch.manual_seed(1)
    return GPTNeoForCausalLM(config)


def repeat(seconds, step):
    """Calls `step` until `seconds` have passed, once before the clock starts; calls and seconds."""
    step()
    started, calls = time.perf_counter(), 0
    while calls == 0 or time.perf_counter() - started < seconds:
        step()
        calls += 1
    return calls, time.perf_counter() - started


def train(seconds, vocabulary, positions, heads, rows, length):
    learner = model(vocabulary, positions, heads).train()
    optimiser = torch.optim.AdamW(learner.parameters(), lr=1e-4, weight_decay=0.01)
    tokens = torch.randint(vocabulary, [rows, length])

    def step():
        optimiser.zero_grad(set_to_none=True)
        loss = learner(input_ids=tokens, labels=tokens).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learner.parameters(), 1.0)
        optimiser.step()
        assert torch.isfinite(loss)

    return repeat(seconds, step)


def generate(seconds, file, children, new_tokens):
    vocabulary = 50_261
    learner = model(vocabulary, 2048, 8).eval()
    with open(file, encoding="utf-8") as lines:
        lengths = [min(len(PIECES.findall(line)), 2048 - new_tokens) for line in lines]
    prompts = [torch.randint(vocabulary - 1, [1, length]) for length in lengths]
    turn = 0

    def step():
        nonlocal turn
        with torch.no_grad():
            learner.generate(
                prompts[turn % len(prompts)],
                attention_mask=torch.ones_like(prompts[turn % len(prompts)]),
                do_sample=True,
                temperature=0.8,
                min_new_tokens=new_tokens,
                max_new_tokens=new_tokens,
                num_return_sequences=children,
                pad_token_id=0,
            )
        turn += 1

    calls, elapsed = repeat(seconds, step)
    return calls * children, elapsed, sum(lengths) / len(lengths)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["train", "original-train", "generate"])
    parser.add_argument("file", nargs="?")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=10.0)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    result = {"what": args.what, "torch": torch.__version__, "threads": args.threads}
    if args.what == "train":
        calls, elapsed = train(args.seconds, 128, 512, 16, rows=8, length=512)
        result["per_second"] = calls * 8 * 512 / elapsed
    elif args.what == "original-train":
        calls, elapsed = train(args.seconds, 50_261, 2048, 8, rows=4, length=2048)
        result["per_second"] = calls * 4 / elapsed
    else:
        children, elapsed, length = generate(args.seconds, args.file, children=19, new_tokens=15)
        result["per_second"], result["prompt_tokens"] = children / elapsed, length
    print(json.dumps(result))


main()
