//! Kills, Ctrl-C and full disks: the trace is resumed to the bytes of an undisturbed run.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use sr_codec::partial_path;
use sr_testing::{SmallDisk, Victim, fails, interrupt, on_terminal, signal, succeeds, with_file_limit};
use sr_trace::TraceReader;

/// A search of the suite `harder`, which is `harder.sr` in the folder.
fn search(folder: &Path, out: &str, runs: u32, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sr-search"));
    command.current_dir(folder).args(["--problems", "harder.sr", "--generations", "12", "--quiet", "--out", out]);
    command.args(["--runs", &runs.to_string(), "--batch-size", "8", "--threads", "2"]).args(more);
    command
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    sr_problems::suite("harder", 1).expect("suite").write(folder.path().join("harder.sr")).expect("written");
    folder
}

/// Records of a file up to its first error.
fn whole_records(path: &Path) -> usize {
    TraceReader::open(path).map_or(0, |reader| reader.take_while(Result::is_ok).count())
}

#[test]
fn kills_at_random_moments_lose_and_repeat_nothing() {
    let folder = folder();
    let out = folder.path().join("t.sr");
    Victim {
        start: &|| search(folder.path(), "t.sr", 12, &[]),
        go_on: &|| search(folder.path(), "t.sr", 12, &["--resume"]),
        growing: partial_path(&out),
        result: &|| fs::read(&out).expect("the trace"),
        clear: &|| {
            fs::remove_file(&out).ok();
            fs::remove_file(partial_path(&out)).ok();
        },
        check: &|| {
            // What is under the name is whole; what is beside it can be read up to its end.
            assert!(!out.exists() || whole_records(&out) == 60);
            whole_records(&partial_path(&out));
        },
    }
    .survives(70, 1);
}

#[test]
fn ctrl_c_finishes_what_has_begun_and_says_how_to_go_on() {
    let folder = folder();
    let runs = 200;
    succeeds(&mut search(folder.path(), "whole.sr", runs, &[]));
    let partial = folder.path().join("t.sr.partial");
    let (status, said) = interrupt(&mut search(folder.path(), "t.sr", runs, &[]), &partial, 5000);
    assert_eq!(status.code(), Some(130), "{said}");
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[0].starts_with("stopping after the current generation"), "{said}");
    let records = whole_records(&partial);
    assert!((1..1000).contains(&records));
    assert_eq!(lines[1], format!("stopped: after {records} of 1000 searches, from which --resume goes on"));
    succeeds(&mut search(folder.path(), "t.sr", runs, &["--resume"]));
    let [whole, resumed] = ["whole.sr", "t.sr"].map(|name| fs::read(folder.path().join(name)).expect(name));
    assert!(whole == resumed);
}

#[test]
fn sigterm_is_a_ctrl_c_and_a_second_signal_ends_at_once() {
    let folder = folder();
    let runs = 200;
    succeeds(&mut search(folder.path(), "whole.sr", runs, &[]));
    let whole = fs::read(folder.path().join("whole.sr")).expect("the trace");
    for (out, signals) in [("a.sr", &["TERM"][..]), ("b.sr", &["INT", "INT"]), ("c.sr", &["TERM", "INT", "INT"])] {
        let partial = folder.path().join(format!("{out}.partial"));
        let (status, said) = signal(&mut search(folder.path(), out, runs, &[]), &partial, 5000, signals);
        // The first signal may have ended it before the second one came.
        assert!(matches!(status.code(), None | Some(130)), "{status} {said}");
        assert!(signals.len() > 1 || status.code() == Some(130), "{status} {said}");
        assert!(said.starts_with("stopping after the current generation"), "{said}");
        assert!(partial.exists() && !folder.path().join(out).exists());
        succeeds(&mut search(folder.path(), out, runs, &["--resume"]));
        assert!(fs::read(folder.path().join(out)).expect("the trace") == whole, "{signals:?}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error_and_loses_no_trace() {
    let folder = folder();
    succeeds(&mut search(folder.path(), "whole.sr", 3, &[]));
    for more in [&[][..], &["--json"]] {
        let out = format!("piped{}.sr", more.len());
        let mut child = search(folder.path(), &out, 3, more)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        drop(child.stdout.take()); // as `| head -0`
        let output = child.wait_with_output().expect("ended");
        assert_eq!((output.status.code(), &*output.stderr), (Some(0), &b""[..]), "{output:?}");
        let [whole, piped] = ["whole.sr", &out].map(|name| fs::read(folder.path().join(name)).expect(name));
        assert!(whole == piped);
    }
}

#[test]
fn terminals_have_a_bar_and_colours_only_if_wanted() {
    let folder = folder();
    let shown = |out: &str, name: &str, value: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sr-search"));
        command.current_dir(folder.path()).args(["--problems", "harder.sr", "--generations", "30", "--runs", "20"]);
        command.args(["--out", out]).env("TERM", "xterm-256color").env_remove("NO_COLOR").env_remove("RUST_LOG");
        command.env(name, value);
        on_terminal(&command)
    };
    let Some(plain) = shown("a.sr", "SR_NOTHING", "") else { return };
    assert!(plain.contains("\u{1b}[") && plain.contains("searches"), "{plain:?}");
    let coloured = |text: &str| {
        // A colour is `ESC [ numbers m`; a bar also moves the cursor and clears lines.
        text.split("\u{1b}[").skip(1).any(|code| {
            let end = code.find(|c: char| c.is_ascii_alphabetic());
            end.is_some_and(|end| code[end..].starts_with('m') && code[..end] != *"0" && end > 0)
        })
    };
    let without = shown("b.sr", "NO_COLOR", "1").expect("Python");
    assert!(!coloured(&without), "{without:?}");
    let dumb = shown("c.sr", "TERM", "dumb").expect("Python");
    assert!(!dumb.contains('\u{1b}'), "{dumb:?}");
}

#[test]
fn ctrl_c_ends_a_batch_of_the_learner_after_its_generation() {
    let folder = folder();
    sr_neural::testing::untrained_checkpoint(&folder.path().join("model"), "one-step");
    let flags = ["--policy", "neural", "--checkpoint", "model", "--max-child-size", "6", "--batch-size", "1000"];
    let learner = |out: &str, more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sr-search"));
        command.current_dir(folder.path()).args(["--problems", "harder.sr", "--generations", "20", "--out", out]);
        command.args(["--runs", "4", "--threads", "2"]).args(flags).args(more);
        command
    };
    succeeds(&mut learner("whole.sr", &[]));
    // This is written when all is checked and the batch begins.
    let begun = folder.path().join("t.sr.partial.run.json");
    let (status, said) = interrupt(&mut learner("t.sr", &[]), &begun, 1);
    assert_eq!(status.code(), Some(130), "{said}");
    assert!(said.contains("stopped: after 0 of 20 searches, which --resume begins again"), "{said}");
    assert!(!said.contains('\r') && !said.contains('\u{1b}'), "{said:?}");
    assert!(!folder.path().join("t.sr").exists() && !folder.path().join("t.sr.lock").exists());
    succeeds(&mut learner("t.sr", &["--resume"]));
    let [whole, resumed] = ["whole.sr", "t.sr"].map(|name| fs::read(folder.path().join(name)).expect(name));
    assert!(whole == resumed);
    assert!(!begun.exists());
}

#[test]
fn a_full_disk_is_told_in_one_line_and_what_was_written_is_resumed() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    succeeds(&mut search(folder.path(), "whole.sr", 30, &[]));
    let whole = fs::read(path("whole.sr")).expect("the trace");

    // A limit on the size of files, in several places of the file and in its footer.
    let blocks = whole.len() as u64 / 512;
    for blocks in [0, 3, blocks / 2, blocks] {
        fs::write(path("t.sr"), "precious").expect("written");
        let said = fails(&mut with_file_limit(&search(folder.path(), "t.sr", 30, &["--force"]), blocks));
        assert!(said.contains("t.sr.partial: cannot write: File too large"), "{said}");
        assert_eq!(fs::read(path("t.sr")).expect("still there"), b"precious");
        fs::remove_file(path("t.sr")).expect("removed");
        succeeds(&mut search(folder.path(), "t.sr", 30, &["--resume"]));
        assert!(fs::read(path("t.sr")).expect("the trace") == whole, "{blocks} blocks");
    }

    fs::create_dir(path("disk")).expect("made");
    let Some(disk) = SmallDisk::mount(&path("disk"), 32 << 10) else { return };
    let said = fails(&mut search(folder.path(), "disk/t.sr", 30, &[]));
    assert!(said.contains("disk/t.sr.partial: cannot write: No space left on device"), "{said}");
    let records = whole_records(&path("disk/t.sr.partial"));
    assert!(records > 0, "what fits is kept");
    let again = fails(&mut search(folder.path(), "disk/t.sr", 30, &["--resume"]));
    assert!(again.contains("No space left") && again.contains("--resume"), "{again}");
    assert!(whole_records(&path("disk/t.sr.partial")) >= records);
    disk.grow(8 << 20);
    succeeds(&mut search(folder.path(), "disk/t.sr", 30, &["--resume"]));
    assert!(fs::read(path("disk/t.sr")).expect("the trace") == whole);
}
