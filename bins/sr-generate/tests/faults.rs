//! Kills and full disks.

use std::fs;
use std::path::Path;
use std::process::Command;

use sr_codec::partial_path;
use sr_problems::ProblemSet;
use sr_testing::{SmallDisk, Victim, fails, interrupt, succeeds, with_file_limit};

fn generate(folder: &Path, out: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sr-generate"));
    command.current_dir(folder).args(["random", "--count", "40", "--seed", "1", "--quiet", "--out", out]);
    command
}

fn forced(folder: &Path, out: &str) -> Command {
    let mut command = generate(folder, out);
    command.arg("--force");
    command
}

#[test]
fn a_killed_run_is_repeated_with_the_same_bytes() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("p.sr");
    Victim {
        start: &|| generate(folder.path(), "p.sr"),
        go_on: &|| forced(folder.path(), "p.sr"), // the kill may find the file finished
        growing: partial_path(&out),
        result: &|| fs::read(&out).expect("the problems"),
        clear: &|| {
            fs::remove_file(&out).ok();
            fs::remove_file(partial_path(&out)).ok();
        },
        check: &|| assert!(!out.exists() || ProblemSet::read(&out).is_ok()),
    }
    .survives(12, 6);
}

#[test]
fn a_full_disk_is_told_in_one_line_and_the_file_is_as_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("p.sr");
    fs::write(&out, "precious").expect("written");
    let said = fails(&mut with_file_limit(&forced(folder.path(), "p.sr"), 8));
    assert!(said.contains("p.sr.partial: cannot write: File too large"), "{said}");
    assert_eq!(fs::read(&out).expect("still there"), b"precious");
    succeeds(&mut forced(folder.path(), "p.sr"));

    let disk = folder.path().join("disk");
    fs::create_dir(&disk).expect("made");
    let Some(small) = SmallDisk::mount(&disk, 8 << 10) else { return };
    let said = fails(&mut generate(folder.path(), "disk/p.sr"));
    assert!(said.contains("disk/p.sr.partial: cannot write: No space left on device"), "{said}");
    small.grow(8 << 20);
    succeeds(&mut generate(folder.path(), "disk/p.sr"));
    assert!(fs::read(disk.join("p.sr")).expect("problems") == fs::read(&out).expect("problems"));
}

#[test]
fn an_interrupt_ends_the_current_problems_and_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_sr-generate"));
    command
        .current_dir(folder.path())
        .args(["random", "--count", "20000", "--points", "2000", "--quiet", "--out", "p.sr"]);
    let (status, said) = interrupt(&mut command, &folder.path().join("p.sr.lock"), 1);
    assert_eq!(status.code(), Some(130), "{said}");
    assert_eq!(said.lines().last(), Some("stopped: p.sr is not written; the same command begins anew"));
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0, "no lock and nothing unfinished");
}
