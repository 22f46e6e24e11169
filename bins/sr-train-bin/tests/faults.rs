//! Kills and full disks: the weights are those of an undisturbed run, and checkpoints are whole at every moment.

#[path = "../../../crates/sr-train/tests/support/mod.rs"]
mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use sr_model::{Checkpoint, DeviceKind};
use sr_testing::{SmallDisk, Victim, contents, fails, interrupt, succeeds, with_file_limit};

const CONFIG: &str = "\
mode = \"one-step\"
[model]
preset = \"micro\"
n_positions = 512
d_model = 16
n_layers = 1
n_heads = 2
d_mlp = 32
n_points = 4
point_hidden = 8
[training]
steps = 6
rows_per_batch = 2
max_targets = 3
optimiser = \"muon\"
ema_decay = 0.9
eval_every = 2
eval_batches = 1
eval_samples = 2
save_every = 2
log_every = 3
keep_every = 3
keep_last = 1
";

/// Corpora, and the settings `tiny.toml`.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    support::corpora(folder.path(), 8, 4);
    fs::write(folder.path().join("tiny.toml"), CONFIG).expect("written");
    folder
}

fn train(folder: &Path, out: &str, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sr-train"));
    command.current_dir(folder).args(["--config", "tiny.toml", "--train", "onestep/train.sr"]);
    command.args(["--val", "onestep/val.sr", "--threads", "1", "--quiet", "--out", out]).args(more);
    command
}

/// Weights, metrics and what else a run leaves, without times and speeds.
fn result(run: &Path) -> Vec<u8> {
    let mut bytes = contents(run, |name| name.starts_with("average-"));
    for checkpoint in ["best", "last", "step-00000006"] {
        bytes.extend(contents(&run.join(checkpoint), |_| true));
    }
    for line in fs::read_to_string(run.join("metrics.jsonl")).expect("metrics").lines() {
        let mut line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        line.as_object_mut().expect("an object").retain(|key, _| !key.ends_with("_per_second"));
        bytes.extend(line.to_string().bytes());
    }
    bytes
}

/// Every checkpoint that is there can be read.
fn assert_whole(run: &Path) {
    let device = DeviceKind::Cpu.open().expect("the CPU");
    for checkpoint in ["best", "last", "step-00000003", "step-00000006"] {
        let path = run.join(checkpoint);
        if path.exists() {
            Checkpoint::load(&path, &device).expect("a whole checkpoint");
        }
    }
}

#[test]
fn kills_at_random_moments_change_no_weight() {
    let folder = folder();
    let run = folder.path().join("run");
    Victim {
        start: &|| train(folder.path(), "run", &[]),
        go_on: &|| train(folder.path(), "run", &["--resume"]),
        growing: run.join("metrics.jsonl"),
        result: &|| result(&run),
        clear: &|| {
            fs::remove_dir_all(&run).ok();
        },
        check: &|| assert_whole(&run),
    }
    .survives(8, 1);
}

#[test]
fn ctrl_c_at_any_moment_changes_no_weight_and_no_metric() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    succeeds(&mut train(folder.path(), "whole", &[]));
    for bytes in [1, 150, 300] {
        let run = format!("run-{bytes}");
        let metrics = path(&run).join("metrics.jsonl");
        let (status, said) = interrupt(&mut train(folder.path(), &run, &[]), &metrics, bytes);
        // The last steps may be done before it comes.
        assert!(matches!(status.code(), Some(0 | 130)), "{said}");
        succeeds(&mut train(folder.path(), &run, &["--resume"]));
        assert!(result(&path(&run)) == result(&path("whole")), "{bytes}");
    }
}

#[test]
fn a_full_disk_is_told_in_one_line_and_the_old_checkpoints_stay_usable() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    succeeds(&mut train(folder.path(), "whole", &[]));
    succeeds(&mut train(folder.path(), "run", &["--max-steps", "2"]));
    let (last, metrics) =
        (contents(&path("run/last"), |_| true), fs::read(path("run/metrics.jsonl")).expect("metrics"));
    // Too little for weights or the optimiser's state, enough for metrics.
    let said = fails(&mut with_file_limit(&train(folder.path(), "run", &["--resume"]), 32));
    assert!(said.contains("run/") && said.contains("File too large"), "{said}");
    assert!(contents(&path("run/last"), |_| true) == last);
    assert!(fs::read(path("run/metrics.jsonl")).expect("metrics").starts_with(&metrics));
    let left = |name: &str| name.ends_with(".partial") || name.ends_with(".new");
    let names = fs::read_dir(path("run")).expect("listed").map(|entry| entry.expect("an entry").file_name());
    assert!(!names.into_iter().any(|name| left(&name.to_string_lossy())), "what is half written takes room");
    assert_whole(&path("run"));
    succeeds(&mut train(folder.path(), "run", &["--resume"]));
    assert!(result(&path("run")) == result(&path("whole")));
}

#[test]
fn a_run_on_a_disk_that_is_too_small_goes_on_where_there_is_room() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    succeeds(&mut train(folder.path(), "whole", &[]));
    fs::create_dir(path("small")).expect("a folder");
    // A checkpoint has about 85 kB, and its optimiser's state and average 200 kB: the first save succeeds.
    let Some(disk) = SmallDisk::mount(&path("small"), 420 << 10) else { return };
    let said = fails(&mut train(folder.path(), "small/run", &[]));
    assert!(said.contains("small/run/") && said.contains("No space left on device"), "{said}");
    assert_whole(&path("small/run"));
    disk.grow(8 << 20);
    succeeds(&mut train(folder.path(), "small/run", &["--resume"]));
    assert!(result(&path("small/run")) == result(&path("whole")));
}
