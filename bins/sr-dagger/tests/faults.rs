//! Kills and Ctrl-C: whatever the moment, the same command goes on to the bytes of an undisturbed run.

mod support;

use std::fs;
use std::path::PathBuf;

use sr_testing::{Victim, interrupt, succeeds};
use support::{dagger, files, folder, point};

/// As many moments as the environment variable SR_KILLS says; few without it, because each takes seconds.
#[test]
fn kills_at_random_moments_change_no_byte() {
    let moments = std::env::var("SR_KILLS").map_or(5, |text| text.parse().expect("SR_KILLS is a number"));
    let folder = folder();
    let run = folder.path().join("run");
    let start = || dagger(folder.path(), "run", &["--threads", "1", "--track"]);
    Victim {
        start: &start,
        go_on: &start,
        growing: PathBuf::new(),
        result: &|| files(&run).into_iter().flat_map(|(name, bytes)| [name.into_bytes(), bytes]).flatten().collect(),
        clear: &|| {
            fs::remove_dir_all(&run).ok();
        },
        check: &|| {
            // What is there under its name is whole.
            if let Ok(results) = fs::read(run.join("results.json")) {
                serde_json::from_slice::<serde_json::Value>(&results).expect("whole results");
            }
        },
    }
    .survives(moments, 1);
}

#[test]
fn an_interrupt_ends_the_step_and_the_same_command_goes_on() {
    let folder = folder();
    succeeds(&mut dagger(folder.path(), "undisturbed", &["--threads", "1"]));
    let timing = folder.path().join("run/rollouts/first/timing.jsonl");
    let mut command = dagger(folder.path(), "run", &["--threads", "1"]);
    let (status, message) = interrupt(&mut command, &timing, 1);
    assert!(status.code() == Some(130) && message.contains("the same command goes on"), "{status} {message}");
    succeeds(&mut dagger(folder.path(), "run", &["--threads", "1"]));
    assert!(files(&folder.path().join("run")) == files(&folder.path().join("undisturbed")));
}

#[test]
fn kills_change_no_byte_of_point_control() {
    let folder = folder();
    let run = folder.path().join("run");
    let start = || point(folder.path(), "run", &["--beta", "linear:3", "--beta-level", "generation"]);
    Victim {
        start: &start,
        go_on: &start,
        growing: PathBuf::new(),
        result: &|| files(&run).into_iter().flat_map(|(name, bytes)| [name.into_bytes(), bytes]).flatten().collect(),
        clear: &|| {
            fs::remove_dir_all(&run).ok();
        },
        check: &|| (),
    }
    .survives(5, 2);
}
