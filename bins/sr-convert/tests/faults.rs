//! Kills, Ctrl-C, full disks and traces larger than memory should be.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use sr_engine::{Expert, Search, SearchConfig, run};
use sr_testing::{SmallDisk, Victim, contents, fails, interrupt, peak_memory, skipped, succeeds, with_file_limit};
use sr_trace::{Recorder, TraceHeader, TraceWriter, Trajectory};

/// `simple.sr`, and `trace.sr` with `searches` searches of each of its 10 problems.
///
/// Only the first search of a problem is done, the others are it again under other seeds.
fn folder(searches: u64, generations: u32) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let set = sr_problems::suite("simple", 1).expect("a suite");
    set.write(folder.path().join("simple.sr")).expect("written");
    let config = SearchConfig { generations, early_stop_mse: None, ..SearchConfig::basic() };
    let first = set.problems[0].instance().expect("an instance");
    let header = TraceHeader::of_expert("simple.sr", first.primitives(), &config, "basic", 1);
    let mut writer = TraceWriter::create(folder.path().join("trace.sr"), &header).expect("created");
    for problem in &set.problems {
        let instance = Arc::new(problem.instance().expect("an instance"));
        let mut search = [Search::new(instance, config.clone(), 1).expect("a search")];
        let mut recorders = [Recorder::new(1)];
        let outcome = run(&mut search, &mut Expert, &mut recorders).expect("the expert never fails").remove(0);
        let [recorder] = recorders;
        let mut trajectory: Trajectory = recorder.finish(&outcome).expect("recorded");
        for seed in 0..searches {
            trajectory.seed = seed;
            writer.append(&trajectory).expect("written");
        }
    }
    writer.finish().expect("finished");
    folder
}

fn convert(folder: &Path, out: &str, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sr-convert"));
    command.current_dir(folder).args(["--traces", "trace.sr", "--problems", "simple.sr", "--val-fraction", "0.3"]);
    command.args(["--quiet", "--out", out]).args(more);
    command
}

/// The corpus and its export; the run file has times.
fn files(folder: &Path) -> Vec<u8> {
    contents(folder, |name| !name.ends_with(".run.json"))
}

#[test]
fn kills_at_random_moments_lose_and_repeat_nothing() {
    let folder = folder(1, 8);
    let out = folder.path().join("out");
    Victim {
        start: &|| convert(folder.path(), "out", &["--jsonl"]),
        // The kill may find the corpus finished.
        go_on: &|| convert(folder.path(), "out", &["--jsonl", "--force"]),
        growing: out.join("train.sr.partial"),
        result: &|| files(&out),
        clear: &|| {
            fs::remove_dir_all(&out).ok();
        },
        check: &|| {
            for name in ["train.sr", "val.sr"] {
                let corpus = sr_corpus::Corpus::open(out.join(name));
                assert!(!out.join(name).exists() || corpus.and_then(sr_corpus::Corpus::read_all).is_ok(), "{name}");
            }
        },
    }
    .survives(65, 5);
}

#[test]
fn ctrl_c_leaves_what_was_there_before() {
    let folder = folder(100, 10);
    let out = folder.path().join("out");
    succeeds(&mut convert(folder.path(), "out", &["--sample-fraction", "0.01"]));
    let before = files(&out);
    let (status, said) =
        interrupt(&mut convert(folder.path(), "out", &["--jsonl", "--force"]), &out.join("train.jsonl.partial"), 1);
    assert_eq!(status.code(), Some(130), "{said}");
    assert_eq!(said.lines().last(), Some("stopped: out is as it was; the same command begins anew"));
    assert!(files(&out) == before);
}

#[test]
fn a_full_disk_is_told_in_one_line_and_what_was_there_is_as_it_was() {
    let folder = folder(3, 10);
    let path = |name: &str| folder.path().join(name);
    succeeds(&mut convert(folder.path(), "whole", &["--jsonl"]));
    succeeds(&mut convert(folder.path(), "out", &["--jsonl", "--sample-fraction", "0.1"]));
    let (whole, before) = (files(&path("whole")), files(&path("out")));
    let train = fs::metadata(path("whole/train.sr")).expect("written").len() / 512;
    for blocks in [0, train / 2, train, 4 * train] {
        let said = fails(&mut with_file_limit(&convert(folder.path(), "out", &["--jsonl", "--force"]), blocks));
        assert!(said.contains(".partial: cannot write: File too large"), "{said}");
        assert!(files(&path("out")) == before, "{blocks} blocks");
    }
    succeeds(&mut convert(folder.path(), "out", &["--jsonl", "--force"]));
    assert!(files(&path("out")) == whole);

    fs::create_dir(path("disk")).expect("made");
    let Some(disk) = SmallDisk::mount(&path("disk"), 64 << 10) else { return };
    let said = fails(&mut convert(folder.path(), "disk/out", &["--jsonl"]));
    assert!(said.contains(".partial: cannot write: No space left on device"), "{said}");
    assert!(!path("disk/out").exists(), "room for another try");
    disk.grow(8 << 20);
    succeeds(&mut convert(folder.path(), "disk/out", &["--jsonl"]));
    assert!(files(&path("disk/out")) == whole);
}

#[test]
fn memory_does_not_grow_with_the_trace() {
    let peak = |searches| {
        let folder = folder(searches, 50);
        let trajectory = sr_trace::TraceReader::open(folder.path().join("trace.sr")).expect("a trace").next();
        let individuals = trajectory.expect("one").expect("whole").generations.n_individuals() as u64;
        // An individual of a whole file in memory takes 48 bytes at least, and its expression some.
        let loaded = 10 * searches * individuals * 48;
        Some((peak_memory(&mut convert(folder.path(), "out", &["--jsonl", "--sample-fraction", "0.02"]))?, loaded))
    };
    let (Some((small, _)), Some((large, loaded))) = (peak(2), peak(60)) else {
        return skipped("/proc", "the system does not tell how much memory a program has in use");
    };
    eprintln!("{} KiB with 20 searches, {} KiB with 600, {} KiB if loaded", small >> 10, large >> 10, loaded >> 10);
    assert!(large < small + loaded / 4, "{large} bytes with 600 searches, {small} with 20");
}
