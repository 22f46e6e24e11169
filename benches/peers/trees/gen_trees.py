"""Writes the evaluation workload of every side, beside itself: 1000 random trees per operator set as postfix text,
one tree per line, tokens separated by spaces: x0 x1 x2 | c<float> | + - * / sin cos exp log sqrt.
Sizes are uniform in 5..41 nodes (mean about 23), 3 variables, leaves 70 % variable.
Plain python random, so every system (and our own engine) can read exactly the same trees."""
import os
import random

UN = ["sin", "cos", "exp", "log", "sqrt"]
BI = ["+", "-", "*", "/"]


def grow(r, n, un):
    if n == 1:
        return ["x%d" % r.randrange(3)] if r.random() < 0.7 else ["c%.6f" % r.uniform(-2, 2)]
    if un and (n == 2 or r.random() < 0.3):
        return grow(r, n - 1, un) + [r.choice(UN)]
    left = r.randrange(1, n - 1)
    if not un and left % 2 == 0:
        left += -1 if left > 1 and r.random() < 0.5 else 1
    return grow(r, left, un) + grow(r, n - 1 - left, un) + [r.choice(BI)]


def make(name, n=1000, seed=20251120):
    r = random.Random(seed + len(name))
    out = []
    while len(out) < n:
        size = r.randrange(5, 42)
        if name == "arith" and size % 2 == 0:
            continue
        t = grow(r, size, name == "math")
        assert len(t) == size
        if not any(tok[0] == "x" for tok in t):
            continue
        out.append(t)
    return out


if __name__ == "__main__":
    d = os.path.dirname(os.path.abspath(__file__))
    for name in ("arith", "math"):
        ts = make(name)
        with open(os.path.join(d, name + ".txt"), "w") as f:
            f.writelines(" ".join(t) + "\n" for t in ts)
        print(name, len(ts), "trees, mean size", sum(map(len, ts)) / len(ts))
