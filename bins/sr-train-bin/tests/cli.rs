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
    let resumed = trained(folder, &[&RUN[..], &["--resume", "--threads", "2", "--max-minutes", "5"]].concat());
    assert_eq!((&resumed["steps"], &resumed["last"]), (&8.into(), &"run/last".into()));
    assert_eq!(resumed["val_loss"], whole["val_loss"]);
    let weights = |run: &str| fs::read(folder.join(run).join("last/model.bpk")).expect("weights");
    assert!(weights("run") == weights("whole"), "on any number of threads, in one go or not");
    assert!(folder.join("run/train.run.json").exists());

    let metrics = fs::read_to_string(folder.join("run/metrics.jsonl")).expect("metrics");
    let lines: Vec<Value> = metrics.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    for key in ["loss", "lr", "grad_norm", "tokens_per_second", "examples_per_second", "padding"] {
        assert!(lines[0][key].is_number(), "{key}: {}", lines[0]);
    }
    for key in ["val_loss", "val_token_accuracy", "val_exact_match"] {
        assert!(lines.iter().any(|line| line[key] == whole[key] && line[key].is_number()), "{key}: {lines:?}");
    }
    assert_eq!((&whole["stop"], &stopped["stop"], &whole["val_r2"]), (&"steps".into(), &"limit".into(), &Value::Null));

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
    assert!(!folder.join("none/metrics.jsonl").exists());

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
    assert!(message.contains("run/best: checkpoint of another vocabulary"), "{message}");
    assert_eq!(fs::read(folder.join("run/last/model.bpk")).expect("weights"), before);
    assert!(!folder.join("next").exists());
}
