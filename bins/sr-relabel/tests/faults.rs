//! Kills, Ctrl-C and full disks: the labels are those of an undisturbed run, and the trace is untouched until they are.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use sr_codec::partial_path;
use sr_engine::{Expert, Search, SearchConfig, run};
use sr_testing::{SmallDisk, Victim, fails, interrupt, succeeds, with_file_limit};
use sr_trace::{Recorder, TraceHeader, TraceReader, TraceWriter};

/// `problems.sr` and `trace.sr`, searches of each of its 10 problems.
fn folder(searches: u64) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let set = sr_problems::suite("simple", 1).expect("a suite");
    set.write(folder.path().join("problems.sr")).expect("written");
    let config = SearchConfig { generations: 12, early_stop_mse: None, ..SearchConfig::basic() };
    let first = set.problems[0].instance().expect("an instance");
    let header = TraceHeader::of_expert("problems.sr", first.primitives(), &config, "basic", 1);
    let mut writer = TraceWriter::create(folder.path().join("trace.sr"), &header).expect("created");
    for problem in &set.problems {
        let instance = Arc::new(problem.instance().expect("an instance"));
        for seed in 0..searches {
            let mut search = [Search::new(instance.clone(), config.clone(), seed).expect("a search")];
            let mut recorder = [Recorder::new(seed)];
            let outcome = run(&mut search, &mut Expert, &mut recorder).expect("the expert never fails").remove(0);
            let [recorder] = recorder;
            writer.append(&recorder.finish(&outcome).expect("recorded")).expect("appended");
        }
    }
    writer.finish().expect("finished");
    folder
}

fn relabel(folder: &Path, trace: &str, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sr-relabel"));
    command.current_dir(folder).args(["--traces", trace, "--problems", "problems.sr", "--quiet", "--threads", "2"]);
    if !more.contains(&"--seed") {
        command.args(["--seed", "3"]);
    }
    command.args(more);
    command
}

/// Records of a file up to its first error.
fn whole_records(path: &Path) -> usize {
    TraceReader::open(path).map_or(0, |reader| reader.take_while(Result::is_ok).count())
}

#[test]
fn kills_at_random_moments_lose_and_repeat_nothing() {
    let folder = folder(4);
    let path = |name: &str| folder.path().join(name);
    let out = path("out.sr");
    Victim {
        start: &|| relabel(folder.path(), "trace.sr", &["--out", "out.sr"]),
        go_on: &|| relabel(folder.path(), "trace.sr", &["--out", "out.sr", "--resume"]),
        growing: partial_path(&out),
        result: &|| fs::read(&out).expect("the trace"),
        clear: &|| {
            fs::remove_file(&out).ok();
            fs::remove_file(partial_path(&out)).ok();
        },
        check: &|| assert!(!out.exists() || whole_records(&out) == 40),
    }
    .survives(33, 2);

    // In place, where a rerun may find the work done: it begins anew, or goes on where there is something to go on from.
    let (before, labelled) = (fs::read(path("trace.sr")).expect("the trace"), fs::read(&out).expect("labelled"));
    for (seed, go_on) in [(3, &[][..]), (4, &["--resume"])] {
        let place = path("place.sr");
        Victim {
            start: &|| relabel(folder.path(), "place.sr", &[]),
            go_on: &|| relabel(folder.path(), "place.sr", go_on),
            growing: partial_path(&place),
            result: &|| fs::read(&place).expect("the trace"),
            clear: &|| {
                fs::write(&place, &before).expect("written");
                fs::remove_file(partial_path(&place)).ok();
            },
            check: &|| {
                let found = fs::read(&place).expect("always there");
                assert!(found == before || found == labelled, "the trace is the old or the new one");
            },
        }
        .survives(16, seed);
        assert!(fs::read(&place).expect("the trace") == labelled);
    }
}

#[test]
fn ctrl_c_finishes_what_has_begun_and_says_how_to_go_on() {
    let folder = folder(60);
    let path = |name: &str| folder.path().join(name);
    succeeds(&mut relabel(folder.path(), "trace.sr", &["--out", "whole.sr"]));
    let before = fs::read(path("trace.sr")).expect("the trace");
    let (status, said) = interrupt(&mut relabel(folder.path(), "trace.sr", &[]), &path("trace.sr.partial"), 5000);
    assert_eq!(status.code(), Some(130), "{said}");
    assert!(fs::read(path("trace.sr")).expect("the trace") == before);
    let records = whole_records(&path("trace.sr.partial"));
    assert!((1..600).contains(&records));
    let expected = format!("stopped: after {records} trajectories, from which --resume goes on");
    assert_eq!(said.lines().last(), Some(&*expected));
    let other = fails(&mut relabel(folder.path(), "trace.sr", &["--resume", "--seed", "4"]));
    assert!(other.contains("trace.sr.partial: record 0") && other.contains("other settings"), "{other}");
    succeeds(&mut relabel(folder.path(), "trace.sr", &["--resume"]));
    assert!(fs::read(path("trace.sr")).expect("labelled") == fs::read(path("whole.sr")).expect("labelled"));
}

#[test]
fn a_full_disk_is_told_in_one_line_and_the_trace_is_as_it_was() {
    let folder = folder(8);
    let path = |name: &str| folder.path().join(name);
    let before = fs::read(path("trace.sr")).expect("the trace");
    succeeds(&mut relabel(folder.path(), "trace.sr", &["--out", "whole.sr"]));
    let whole = fs::read(path("whole.sr")).expect("labelled");
    for blocks in [0, whole.len() as u64 / 1024, whole.len() as u64 / 512] {
        let said = fails(&mut with_file_limit(&relabel(folder.path(), "trace.sr", &[]), blocks));
        assert!(said.contains("trace.sr.partial: cannot write: File too large"), "{said}");
        assert!(fs::read(path("trace.sr")).expect("the trace") == before);
    }
    succeeds(&mut relabel(folder.path(), "trace.sr", &["--resume"]));
    assert!(fs::read(path("trace.sr")).expect("labelled") == whole);

    fs::create_dir(path("disk")).expect("made");
    let room = before.len() as u64 + whole.len() as u64 / 2;
    let Some(disk) = SmallDisk::mount(&path("disk"), room) else { return };
    fs::write(path("disk/trace.sr"), &before).expect("there is room for it");
    let said = fails(&mut relabel(folder.path(), "disk/trace.sr", &[]));
    assert!(said.contains("disk/trace.sr.partial: cannot write: No space left on device"), "{said}");
    assert!(fs::read(path("disk/trace.sr")).expect("the trace") == before);
    assert!(whole_records(&path("disk/trace.sr.partial")) > 0, "what fits is kept");
    disk.grow(8 << 20);
    succeeds(&mut relabel(folder.path(), "disk/trace.sr", &["--resume"]));
    assert!(fs::read(path("disk/trace.sr")).expect("labelled") == whole);
}

#[test]
fn shards_merge_to_the_bytes_of_one_run() {
    let folder = folder(2);
    let path = |name: &str| folder.path().join(name);
    succeeds(&mut relabel(folder.path(), "trace.sr", &["--out", "whole.sr"]));
    for shard in ["1", "2", "3"] {
        succeeds(&mut relabel(folder.path(), "trace.sr", &["--shard", &format!("{shard}/3"), "--out", shard]));
    }
    sr_trace::merge_traces(&["1", "2", "3"].map(path), path("merged.sr")).expect("merged");
    assert!(fs::read(path("merged.sr")).expect("merged") == fs::read(path("whole.sr")).expect("labelled"));
    let said = relabel(folder.path(), "trace.sr", &["--shard", "1/3"]).output().expect("the binary runs");
    assert_eq!(said.status.code(), Some(2), "a part must not take the place of the whole");
}
