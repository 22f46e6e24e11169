//! The command as a user meets it.

#[path = "../../../crates/sr-train/tests/support/mod.rs"]
mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::tempdir;

const CONFIG: &str = "\
mode = \"one-step\"
[model]
preset = \"micro\"
d_model = 16
n_layers = 1
n_heads = 2
d_mlp = 32
n_points = 4
point_hidden = 8
[training]
steps = 8
rows_per_batch = 2
max_targets = 3
log_every = 2
eval_batches = 2
";

/// The arguments of a run into `run`.
const RUN: [&str; 8] =
    ["--config", "tiny.toml", "--train", "onestep/train.sr", "--val", "onestep/val.sr", "--out", "run"];

fn train(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sr-train")).current_dir(folder).args(args).output().expect("the binary starts")
}

/// Runs what has to succeed and gives its JSON.
fn trained(folder: &Path, args: &[&str]) -> Value {
    let output = train(folder, &[args, &["--json"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("one JSON object")
}

/// Runs what has to fail with code 2 and one line of error, and gives the line.
fn refused(folder: &Path, args: &[&str]) -> String {
    let output = train(folder, &[args, &["--quiet"]].concat());
    let message = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(output.status.code(), Some(2), "{args:?}: {message}");
    assert_eq!(message.trim_end().lines().count(), 1, "{message}");
    message
}

#[test]
fn a_run_can_be_stopped_resumed_and_started_from() {
    let folder = tempdir().expect("a folder");
    let folder = folder.path();
    support::corpora(folder, 8, 4);
    fs::write(folder.join("tiny.toml"), CONFIG).expect("written");

    let whole = trained(folder, &[&RUN[..6], &["--out", "whole", "--threads", "1"]].concat());
    assert_eq!((&whole["command"], &whole["steps"]), (&"sr-train".into(), &8.into()));
    assert!(whole["tokens_per_second"].as_f64() > Some(0.0) && whole["examples_per_second"].as_f64() > Some(0.0));
    let stopped = trained(folder, &[&RUN[..], &["--max-steps", "3"]].concat());
    assert_eq!((&stopped["steps"], &stopped["best"]), (&3.into(), &"run/best".into()));
    // The validation at the stop stands in the metrics and on the page, which tells what was trained on what.
    let metrics = fs::read_to_string(folder.join("run/metrics.jsonl")).expect("metrics");
    let last: Value = serde_json::from_str(metrics.lines().last().expect("a line")).expect("JSON");
    assert_eq!((&last["step"], &last["val_loss"]), (&3.into(), &stopped["val_loss"]));
    let page = fs::read_to_string(folder.join("run/report.html")).expect("a report");
    for text in [
        "Training of run",
        "<dd>one-step</dd>",
        " parameters</dd>",
        "onestep/train.sr: ",
        "3 of 8",
        "validation: 1 points",
    ] {
        assert!(page.contains(text), "{text}: {page}");
    }
    let resumed = trained(folder, &[&RUN[..], &["--resume", "--threads", "2", "--max-minutes", "5"]].concat());
    assert_eq!((&resumed["steps"], &resumed["last"]), (&8.into(), &"run/last".into()));
    assert_eq!(resumed["val_loss"], whole["val_loss"]);
    let weights = |run: &str| fs::read(folder.join(run).join("last/model.bpk")).expect("weights");
    assert!(weights("run") == weights("whole"), "on any number of threads, in one go or not");
    assert!(folder.join("run/train.run.json").exists());

    let metrics = fs::read_to_string(folder.join("run/metrics.jsonl")).expect("metrics");
    assert!(fs::read_to_string(folder.join("run/report.html")).expect("a report").contains("Learning curves"));
    let lines: Vec<Value> = metrics.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    for key in ["loss", "lr", "grad_norm", "tokens_per_second", "examples_per_second", "padding"] {
        assert!(lines[0][key].is_number(), "{key}: {}", lines[0]);
    }
    for key in ["val_loss", "val_token_accuracy", "val_exact_match"] {
        assert!(lines.iter().any(|line| line[key] == whole[key] && line[key].is_number()), "{key}: {lines:?}");
    }
    assert_eq!((&whole["stop"], &stopped["stop"]), (&"steps".into(), &"limit".into()));
    assert!(whole["val_r2"].as_f64().is_some_and(|r2| (0.0..=1.0).contains(&r2)), "{whole}");

    // A run goes on with what it began with.
    let from = |init: &str| {
        let args = [&RUN[..6], &["--out", "of-best", "--resume", "--max-steps", "1", "--init", init]].concat();
        train(folder, &[&args[..], &["--quiet"]].concat())
    };
    assert_eq!(from("whole/best").status.code(), Some(0));
    assert_eq!(from("whole/best").status.code(), Some(0), "the same command goes on");
    for (init, expected) in
        [("nowhere", "nowhere"), ("run/step-1", "run/step-1"), ("whole", "its checkpoints are whole/best")]
    {
        let output = from(init);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && said.contains(expected), "{said}");
    }
    let message = refused(folder, &[&RUN[..], &["--resume", "--init", "whole/best"]].concat());
    assert!(message.contains("run: cannot resume with another --init: it was new weights, is now "), "{message}");

    // Another seed gives another model; --init begins with the first one's.
    let begin = |out: &str, more: &[&str]| {
        let args = [&RUN[..6], &["--out", out, "--max-steps", "1", "--seed", "9"], more].concat();
        trained(folder, &args)["val_loss"].as_f64().expect("a loss")
    };
    assert_ne!(begin("fresh", &[]), begin("from", &["--init", "whole/best"]));
}

#[test]
fn direct_prediction_is_measured_by_its_fit_and_tracked() {
    let folder = tempdir().expect("a folder");
    let folder = folder.path();
    support::corpora(folder, 8, 4);
    let tracked = |kind: &str| {
        let config = CONFIG.replace("one-step", "direct");
        fs::write(folder.join(format!("{kind}.toml")), format!("{config}[tracking]\nkind = {kind:?}\n"))
            .expect("written");
        let args = [
            "--config",
            &format!("{kind}.toml"),
            "--train",
            "direct/train.sr",
            "--val",
            "direct/val.sr",
            "--out",
            kind,
        ];
        trained(folder, &args)
    };
    let result = tracked("tensorboard");
    let r2 = result["val_r2"].as_f64().expect("R²");
    assert!((0.0..=1.0).contains(&r2) && result["val_r2_above_99"].is_number(), "{result}");
    assert!(folder.join("tensorboard/events.out.tfevents.0.sr-train").exists());
    tracked("wandb");
    assert!(folder.join("wandb/wandb-sync.py").exists() && folder.join("wandb/metrics.jsonl").exists());
    tracked("none");
    assert!(!folder.join("none/metrics.jsonl").exists() && !folder.join("none/report.html").exists());

    // Without --json, a line says where the checkpoints are.
    let args = ["--config", "none.toml", "--train", "direct/train.sr", "--val", "direct/val.sr", "--out", "text"];
    let text = String::from_utf8(train(folder, &args).stdout).expect("UTF-8");
    assert!(text.starts_with("8 steps, validation loss ") && text.contains("R² "), "{text}");
    assert_eq!(text.lines().last(), Some("best model in text/best, last in text/last"));
}

#[test]
fn mistakes_are_told_in_one_line_and_leave_no_folder() {
    let folder = tempdir().expect("a folder");
    let folder = folder.path();
    support::corpora(folder, 8, 4);
    fs::write(folder.join("tiny.toml"), CONFIG).expect("written");
    fs::write(folder.join("typo.toml"), format!("{CONFIG}warmup = 3\n")).expect("written");
    fs::write(folder.join("direct.toml"), CONFIG.replace("one-step", "direct")).expect("written");
    let with = |key: &str, value: &'static str| {
        let mut args = RUN.to_vec();
        let place = args.iter().position(|&arg| arg == key).expect("an argument");
        args[place + 1] = value;
        refused(folder, &args)
    };
    assert!(with("--config", "none.toml").contains("reading none.toml: No such file"));
    let typo = with("--config", "typo.toml");
    assert!(typo.contains("reading typo.toml: configuration: line 16: unknown field `warmup`"), "{typo}");
    assert!(with("--config", "direct.toml").contains("train.sr: the corpus is for mode one-step"));
    assert!(with("--train", "none.sr").contains("none.sr"));
    assert!(with("--val", "problems.sr").contains("problems.sr"));
    assert!(refused(folder, &[&RUN[..], &["--problems", "none.sr"]].concat()).contains("none.sr"));
    assert!(refused(folder, &[&RUN[..], &["--device", "gpu"]].concat()).contains("unknown device `gpu`"));
    if cfg!(not(feature = "cuda")) {
        let message = refused(folder, &[&RUN[..], &["--device", "cuda"]].concat());
        assert!(message.contains("built without CUDA; rebuild with --features cuda"), "{message}");
    }
    assert!(refused(folder, &[&RUN[..], &["--init", "none"]].concat()).contains("none/config.json: No such file"));
    assert!(!folder.join("run").exists());

    trained(folder, &[&RUN[..], &["--max-steps", "1"]].concat());
    let before = fs::read(folder.join("run/last/model.bpk")).expect("weights");
    assert!(refused(folder, &RUN).contains("run: the folder is not empty"));
    let meta = fs::read_to_string(folder.join("run/best/meta.json")).expect("meta");
    fs::write(folder.join("run/best/meta.json"), meta.replacen("\"format_version\": 1", "\"format_version\": 2", 1))
        .expect("written");
    let message = refused(folder, &[&RUN[..6], &["--out", "next", "--init", "run/best"]].concat());
    assert!(message.contains("run/best: the checkpoint has format 2, this version reads formats up to 1"), "{message}");
    fs::write(folder.join("run/best/meta.json"), meta).expect("written");
    let tokenizer = folder.join("run/best/tokenizer.json");
    let text = fs::read_to_string(&tokenizer).expect("a tokenizer").replace("<eos>", "<end>");
    fs::write(&tokenizer, text).expect("written");
    let message = refused(folder, &[&RUN[..6], &["--out", "next", "--init", "run/best"]].concat());
    assert!(message.contains("run/best/tokenizer.json: the file is not the one that was saved"), "{message}");
    fs::remove_file(folder.join("run/best/SHA256SUMS")).expect("removed");
    let message = refused(folder, &[&RUN[..6], &["--out", "next", "--init", "run/best"]].concat());
    assert!(message.contains("run/best: checkpoint of another vocabulary"), "{message}");
    assert_eq!(fs::read(folder.join("run/last/model.bpk")).expect("weights"), before);
    assert!(!folder.join("next").exists());
}

#[test]
fn what_is_hardly_meant_is_told_and_a_finished_run_has_no_speed() {
    let folder = tempdir().expect("a folder");
    let folder = folder.path();
    support::corpora(folder, 8, 4);
    fs::write(folder.join("tiny.toml"), CONFIG.replace("steps = 8", "steps = 2")).expect("written");
    let args = ["--config", "tiny.toml", "--train", "onestep/train.sr", "--val", "./onestep/train.sr", "--out", "run"];
    let output = train(folder, &args);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("training.warmup_steps is 100 of 2 steps"), "{said}");
    assert!(said.contains("--val is among --train"), "{said}");

    assert!(!said.contains("is not used"), "{said}");

    sr_problems::suite("nguyen", 1).expect("a suite").write(folder.join("other.sr")).expect("written");
    let output = train(folder, &[&args[..], &["--resume", "--problems", "problems.sr", "other.sr"]].concat());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("other.sr is not used: no corpus names a problem set of this name"), "{said}");
    assert!(!said.contains("problems.sr is not used"), "{said}");

    let again = trained(folder, &[&args[..], &["--resume"]].concat());
    assert_eq!((&again["steps"], &again["tokens_per_second"]), (&2.into(), &Value::Null));
    assert_eq!(again["examples_per_second"], Value::Null);
    let said = String::from_utf8(train(folder, &[&args[..], &["--resume"]].concat()).stdout).expect("UTF-8");
    assert!(said.contains("nothing left to train"), "{said}");

    // Somebody else's folder.
    fs::create_dir(folder.join("other")).expect("made");
    fs::write(folder.join("other/config.json"), r#"{"rounds": 3}"#).expect("written");
    let message = refused(folder, &[&args[..6], &["--out", "other", "--resume"]].concat());
    assert!(message.contains("other: this is no folder of a training run") && message.contains("give another one"));
    assert_eq!(fs::read_dir(folder.join("other")).expect("a folder").count(), 1);

    for rate in ["-1.0", "0.0", "nan", "inf", "1e30"] {
        fs::write(folder.join("rate.toml"), format!("{CONFIG}learning_rate = {rate}\n")).expect("written");
        let message = refused(folder, &[&["--config", "rate.toml"], &args[2..6], &["--out", "rate"]].concat());
        assert!(message.contains("training.learning_rate is ") && message.contains("a number in (0, 1]"), "{message}");
    }
    let few = CONFIG.replace("preset = \"micro\"", "preset = \"micro\"\nn_positions = 10");
    fs::write(folder.join("few.toml"), few).expect("written");
    let message = refused(folder, &[&["--config", "few.toml"], &args[2..6], &["--out", "rate"]].concat());
    assert!(message.contains("model.n_positions is 10, expected at least 288"), "{message}");
    assert!(!folder.join("rate").exists());
}

#[test]
fn a_checkpoint_is_checked_before_anything_is_written() {
    let folder = tempdir().expect("a folder");
    let folder = folder.path();
    support::corpora(folder, 8, 4);
    fs::write(folder.join("tiny.toml"), CONFIG.replace("steps = 8", "steps = 1")).expect("written");
    trained(folder, &RUN);
    let with = |init: &str| refused(folder, &[&RUN[..6], &["--out", "next", "--init", init]].concat());
    let message = with("run");
    assert!(message.contains("run: this is the folder of a training run; its checkpoints are run/best and run/last"));
    assert!(with("onestep").contains("onestep: this is a corpus; `sr-train --train` makes checkpoints of it"));
    assert!(with("problems.sr").contains("problems.sr: this is a file, and a checkpoint is a folder"));
    assert!(with("run/last/model.bpk").contains("a checkpoint is the folder that this file is in"));
    let message = with(".");
    assert!(message.contains("this is no checkpoint but a folder of some; its checkpoints are "), "{message}");
    assert!(message.trim_end().ends_with("run/best and ./run/last"), "{message}");

    let path = folder.join("run/best/model.bpk");
    let mut bytes = fs::read(&path).expect("weights");
    let middle = bytes.len() / 2;
    bytes[middle..middle + 4].copy_from_slice(b"XXXX");
    fs::write(&path, bytes).expect("written");
    let message = with("run/best");
    assert!(message.contains("run/best/model.bpk: the file is not the one that was saved"), "{message}");

    fs::write(folder.join("edit.toml"), CONFIG.replace("[training]", "[language]\nactions = \"edit\"\n[training]"))
        .expect("written");
    let message =
        refused(folder, &[&["--config", "edit.toml"], &RUN[2..6], &["--out", "next", "--init", "run/last"]].concat());
    assert!(message.contains("run/last: the checkpoint's actions is \"expression\", the run's \"edit\""), "{message}");
    assert!(!folder.join("next").exists());
}

/// A GPT-Neo model of the test's size in `folder`, all weights 0.01·k, in two files if `sharded`.
fn gpt_neo(folder: &Path, sharded: bool) {
    fs::create_dir(folder).expect("made");
    let config = serde_json::json!({
        "model_type": "gpt_neo", "vocab_size": 7, "max_position_embeddings": 2100, "hidden_size": 16, "num_layers": 1,
        "num_heads": 2, "intermediate_size": 32, "window_size": 256, "attention_types": [[["global"], 1]],
        "activation_function": "gelu", "layer_norm_epsilon": 1e-5,
    });
    fs::write(folder.join("config.json"), config.to_string()).expect("written");
    let (c, m) = (16, 32);
    let mut tensors = vec![("wte.weight".to_owned(), vec![7, c]), ("wpe.weight".to_owned(), vec![2100, c])];
    let of_block = [
        ("ln_1.weight", vec![c]),
        ("ln_1.bias", vec![c]),
        ("attn.attention.q_proj.weight", vec![c, c]),
        ("attn.attention.k_proj.weight", vec![c, c]),
        ("attn.attention.v_proj.weight", vec![c, c]),
        ("attn.attention.out_proj.weight", vec![c, c]),
        ("attn.attention.out_proj.bias", vec![c]),
        ("ln_2.weight", vec![c]),
        ("ln_2.bias", vec![c]),
        ("mlp.c_fc.weight", vec![m, c]),
        ("mlp.c_fc.bias", vec![m]),
        ("mlp.c_proj.weight", vec![c, m]),
        ("mlp.c_proj.bias", vec![c]),
    ];
    tensors.extend(of_block.map(|(name, shape)| (format!("h.0.{name}"), shape)));
    tensors.extend([("ln_f.weight".to_owned(), vec![c]), ("ln_f.bias".to_owned(), vec![c])]);
    let write = |name: &str, tensors: &[(String, Vec<usize>)]| {
        let (mut header, mut numbers) = (serde_json::Map::new(), Vec::new());
        for (name, shape) in tensors {
            let start = numbers.len();
            for k in 0..shape.iter().product::<usize>() {
                numbers.extend((0.01 * (k % 7) as f32).to_le_bytes());
            }
            let entry = serde_json::json!({"dtype": "F32", "shape": shape, "data_offsets": [start, numbers.len()]});
            header.insert(format!("transformer.{name}"), entry);
        }
        let header = Value::from(header).to_string();
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.bytes());
        bytes.extend(numbers);
        fs::write(folder.join(name), bytes).expect("written");
    };
    if !sharded {
        write("model.safetensors", &tensors);
        return;
    }
    let (first, second) = tensors.split_at(5);
    let parts = [("model-00001-of-00002.safetensors", first), ("model-00002-of-00002.safetensors", second)];
    let mut map = serde_json::Map::new();
    for (file, part) in parts {
        write(file, part);
        map.extend(part.iter().map(|(name, _)| (format!("transformer.{name}"), Value::from(file))));
    }
    let index = serde_json::json!({"metadata": {}, "weight_map": map});
    fs::write(folder.join("model.safetensors.index.json"), index.to_string()).expect("written");
}

#[test]
fn a_run_begins_with_the_blocks_of_a_gpt_neo_model() {
    let folder = tempdir().expect("a folder");
    let folder = folder.path();
    support::corpora(folder, 8, 4);
    // A rate at which nothing moves far.
    fs::write(folder.join("tiny.toml"), format!("{CONFIG}learning_rate = 1e-30\nweight_decay = 0\n")).expect("written");
    let begin = |out: &str, more: &[&str]| {
        let output = train(folder, &[&RUN[..6], &["--out", out, "--max-steps", "1"], more].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{said}");
        (said, fs::read(folder.join(out).join("last/model.bpk")).expect("weights"))
    };
    gpt_neo(&folder.join("neo"), false);
    gpt_neo(&folder.join("shards"), true);
    let (said, whole) = begin("whole", &["--init", "neo"]);
    assert!(
        said.contains("weights of a GPT-Neo model") && said.contains("position_embedding, blocks, final_norm"),
        "{said}"
    );
    assert!(said.contains("token_embedding, feature_embedding, point_embedder"), "{said}");
    let (_, shards) = begin("of-shards", &["--init", "shards"]);
    assert!(whole == shards, "the same tensors in two files");
    let (_, fresh) = begin("fresh", &[]);
    assert_ne!(whole, fresh);

    let with = |init: &str| refused(folder, &[&RUN[..6], &["--out", "next", "--init", init]].concat());
    let text = fs::read_to_string(folder.join("neo/config.json")).expect("text");
    fs::write(folder.join("neo/config.json"), text.replace("\"gelu\"", "\"gelu_new\"")).expect("written");
    let message = with("neo");
    assert!(
        message.contains("neo: model configuration: activation is gelu, that of the weights to begin with gelu_new")
    );
    fs::write(folder.join("neo/config.json"), &text).expect("written");
    fs::rename(folder.join("neo/model.safetensors"), folder.join("neo/pytorch_model.bin")).expect("renamed");
    let message = with("neo");
    assert!(message.contains("neo/pytorch_model.bin: pickled weights are not read"), "{message}");
    fs::remove_file(folder.join("shards/model-00002-of-00002.safetensors")).expect("removed");
    assert!(with("shards").contains("shards/model-00002-of-00002.safetensors: No such file"));
    assert!(!folder.join("next").exists());
}

#[test]
fn a_level_of_instructions_is_asked_for_by_name() {
    let folder = tempdir().expect("a folder");
    let run = |level: &str| {
        Command::new(env!("CARGO_BIN_EXE_sr-train"))
            .current_dir(folder.path())
            .env("SR_SIMD", level)
            .args(RUN)
            .output()
            .expect("the binary starts")
    };
    let output = run("sse9");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("SR_SIMD is \"sse9\", this machine has portable"), "{said}");
    assert!(String::from_utf8_lossy(&run("portable").stderr).contains("reading tiny.toml"));
}

#[test]
fn a_checkpoint_is_exported_at_half_the_size_with_what_to_ask_it_for() {
    let folder = tempdir().expect("a folder");
    let folder = folder.path();
    support::corpora(folder, 8, 4);
    fs::write(folder.join("tiny.toml"), CONFIG).expect("written");
    trained(folder, &RUN);
    let exported = trained(folder, &["export", "run/best", "--out", "small", "--condition", "all"]);
    let size = |name: &str| fs::metadata(folder.join(name)).expect(name).len();
    assert_eq!(exported["bytes"], size("small/model.safetensors"));
    assert!(2 * size("small/model.safetensors") < size("run/best/model.bpk") + 10_000);
    let json =
        |name: &str| -> Value { serde_json::from_slice(&fs::read(folder.join(name)).expect(name)).expect("JSON") };
    let (meta, mut before) = (json("small/meta.json"), json("run/best/meta.json"));
    before["ask"] = "ALL".into();
    assert_eq!(meta, before);
    assert_eq!(json("small/config.json"), json("run/best/config.json"));

    // Its numbers are those of the original, rounded; a training begins with it, and it is exported to the same bytes.
    let device = sr_model::DeviceKind::Cpu.open().expect("the CPU");
    let load = |name: &str| sr_model::Checkpoint::load(&folder.join(name), &device).expect(name);
    assert_eq!(load("small").model.config(), load("run/best").model.config());
    trained(folder, &["export", "small", "--out", "again"]);
    let bytes = |name: &str| fs::read(folder.join(name)).expect(name);
    assert_eq!(bytes("small/model.safetensors"), bytes("again/model.safetensors"));
    let begun = [&RUN[..6], &["--out", "more", "--init", "small"]].concat();
    assert!(trained(folder, &begun)["val_loss"].as_f64().is_some_and(f64::is_finite));

    let error = refused(folder, &["export", "run/best", "--out", "small"]);
    assert!(error.contains("small") && error.contains("--force"), "{error}");
    fs::write(folder.join("small/README.md"), "a card").expect("written");
    let error = refused(folder, &["export", "run/best", "--out", "small", "--force"]);
    assert!(error.contains("has README.md in it") && folder.join("small/README.md").exists(), "{error}");
    let error = refused(folder, &["export", "run/best", "--out", "other", "--condition", "PATH:2,ALL:1"]);
    assert!(error.contains("has not learned children of condition PATH"), "{error}");
    let error = refused(folder, &["export", "run", "--out", "other"]);
    assert!(error.contains("folder of a training run") && !folder.join("other").exists(), "{error}");
    let mut damaged = bytes("small/model.safetensors");
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    fs::write(folder.join("small/model.safetensors"), damaged).expect("written");
    let error = refused(folder, &["export", "small", "--out", "other"]);
    assert!(error.contains("model.safetensors") && error.contains("SHA256SUMS"), "{error}");
}
