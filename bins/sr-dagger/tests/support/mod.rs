//! A run of two milestones that takes a second or two.
#![allow(dead_code, reason = "each test file uses some of it")]

use std::fs;
use std::path::Path;
use std::process::Command;

const CONFIG: &str = r#"
milestones = "milestones.toml"
[dagger]
dagger_iterations = 2
episodes_per_iter = 4
eval_episodes = 3
train_steps_per_iter = 4
batch_size = 2
learning_rate = 2e-3
hidden_dim = 16
min_success_rate = 0.0
init = "previous"
record_episodes = 1
[labels]
labels = "top-k"
[search]
generations = 12
[sampling]
max_child_size = 11
[model]
preset = "micro"
n_positions = 1024
n_layers = 1
n_heads = 2
d_mlp = 32
n_points = 4
point_hidden = 8
[training]
warmup_steps = 1
max_targets = 3
eval_every = 2
eval_batches = 1
eval_samples = 2
save_every = 2
"#;

const MILESTONES: &str = r#"
[[milestone]]
id = "first"
complexity = 0.3
max_variables = 1
points = 20

[[milestone]]
id = "second"
complexity = 0.3
max_variables = 2
points = 20
"#;

/// A folder with `tiny.toml` and `milestones.toml`.
pub(crate) fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("tiny.toml"), CONFIG).expect("written");
    fs::write(folder.path().join("milestones.toml"), MILESTONES).expect("written");
    folder
}

/// Two milestones of point control with a tiny student.
pub(crate) fn point(folder: &Path, out: &str, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sr-dagger"));
    command.current_dir(folder).args(["--task", "point-control", "--quiet", "--out", out]);
    command.args([
        "--dagger-iterations",
        "3",
        "--episodes-per-iter",
        "5",
        "--eval-episodes",
        "4",
        "--batch-size",
        "16",
    ]);
    command.args(["--train-steps-per-iter", "20", "--hidden-dim", "8", "--record-episodes", "1"]).args(more);
    command
}

/// The program in that folder.
pub(crate) fn dagger(folder: &Path, out: &str, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sr-dagger"));
    command.current_dir(folder).args(["--config", "tiny.toml", "--quiet", "--out", out]).args(more);
    command
}

/// All files of a run with their names, without times.
pub(crate) fn files(run: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    collect(run, run, &mut found);
    found.sort();
    found
}

fn collect(folder: &Path, root: &Path, found: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, root, found);
            continue;
        }
        let name = path.strip_prefix(root).expect("inside").to_string_lossy().into_owned();
        let is_log = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("training-"));
        let is_time =
            is_log || name.ends_with("timing.jsonl") || name.ends_with("dagger.run.json") || name.contains("tfevents");
        if is_time {
            continue;
        }
        let mut bytes = fs::read(&path).expect("a file");
        if name == "results.json" {
            let mut results: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
            for milestone in results["milestones"].as_array_mut().expect("milestones") {
                for time in ["timestamp", "timestamp_iso"] {
                    milestone.as_object_mut().expect("a milestone").remove(time).expect("a time");
                }
            }
            bytes = results.to_string().into_bytes();
        }
        if name == "results.csv" {
            // Seconds since 1970 have ten digits, and nothing else here has.
            let text = String::from_utf8(bytes).expect("text");
            let is_digit = |c: char| c.is_ascii_digit();
            let cells = text.split_inclusive(|c| !is_digit(c)).map(|cell| {
                let digits = cell.trim_end_matches(|c| !is_digit(c));
                if digits.len() == 10 { cell.replace(digits, "TIME") } else { cell.to_owned() }
            });
            bytes = cells.collect::<String>().into_bytes();
        }
        found.push((name, bytes));
    }
}
