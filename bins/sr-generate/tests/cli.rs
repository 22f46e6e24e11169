//! The command as a user meets it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::tempdir;

fn generate(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sr-generate")).current_dir(folder).args(args).output().expect("the binary starts")
}

/// Runs what has to fail with code 2 and one line, and gives the line.
fn refused(folder: &Path, args: &[&str]) -> String {
    let output = generate(folder, args);
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{args:?}: {message}");
    assert_eq!(message.trim_end().lines().count(), 1, "{message}");
    message
}

#[test]
fn equal_runs_give_equal_bytes_on_any_number_of_threads() {
    let folder = tempdir().unwrap();
    let run = |threads: &str, out: &str| {
        let args = ["random", "--count", "50", "--operators", "full", "--constants", "1.0,-2.5", "--seed", "3"];
        let output = generate(folder.path(), &[&args[..], &["--threads", threads, "--out", out, "--json"]].concat());
        let result: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
        assert_eq!((output.status.code(), &result["problems"]), (Some(0), &50.into()));
        assert_eq!(result["command"], "sr-generate");
        fs::read(folder.path().join(out)).unwrap()
    };
    assert_eq!(run("1", "one.sr"), run("2", "two.sr"));
    assert!(folder.path().join("one.sr.run.json").exists());
}

#[test]
fn every_source_writes_a_file_named_after_it() {
    let folder = tempdir().unwrap();
    fs::write(folder.path().join("flow.csv"), "a,y\n1,2\n2,4.5\n").unwrap();
    fs::write(folder.path().join("laws.txt"), "x0*x1\nsin(x0)\n").unwrap();
    for (args, name) in [
        (&["random", "--count", "4", "--complexity", "0.25"][..], "arith_4_c025.sr"),
        (&["random", "--count", "2", "--preset", "e2e", "--points", "20"], "e2e_2.sr"),
        (&["suite", "nguyen"], "nguyen.sr"),
        (&["csv", "flow.csv", "--target", "y"], "flow.sr"),
        (&["formulas", "laws.txt", "--range", "-1", "1"], "laws.sr"),
    ] {
        let output = generate(folder.path(), args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(String::from_utf8(output.stdout).unwrap().starts_with(name), "{args:?}");
        assert!(folder.path().join(name).exists(), "{args:?}");
    }
}

#[test]
fn mistakes_are_told_in_one_line_and_leave_files_alone() {
    let folder = tempdir().unwrap();
    let file = folder.path().join("flow.csv");
    fs::write(&file, "a,y\n1,2\nlow,4.5\n").unwrap();
    let kept = folder.path().join("kept.sr");
    fs::write(&kept, "an earlier result").unwrap();
    for (args, expected) in [
        (&["random", "--operators", "+,sinh"][..], "unknown operator \"sinh\""),
        (&["random", "--constants", "1.0,one"], "constant \"one\" is not a finite number"),
        (&["random", "--complexity", "2"], "complexity is 2"),
        (&["random", "--preset", "e2e", "--complexity", "0.5"], "--complexity goes with --preset arith"),
        (&["suite", "nguyen13"], "expected one of ultra-simple, simple, harder, nguyen"),
        (&["csv", "flow.csv", "--target", "y"], "row 2 (line 3), column a: \"low\""),
        (&["csv", "flow.csv", "--target", "z"], "the columns are a, y"),
        (&["csv", "none.csv", "--target", "y"], "none.csv: cannot read"),
        (&["formulas", "none.txt"], "none.txt: cannot read"),
    ] {
        let message = refused(folder.path(), &[args, &["--out", "kept.sr"]].concat());
        assert!(message.contains(expected), "{message}");
        assert_eq!(fs::read(&kept).unwrap(), b"an earlier result");
    }
}
