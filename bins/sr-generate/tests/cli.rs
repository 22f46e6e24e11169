//! The command as a user meets it.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use parquet::data_type::DoubleType;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use sr_problems::{Blocklist, ProblemSet};
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

/// Two columns of three rows.
fn write_parquet(path: &Path) {
    let schema = parse_message_type("message tide { required double t; required double y; }").unwrap();
    let file = File::create(path).unwrap();
    let mut writer = SerializedFileWriter::new(file, Arc::new(schema), Arc::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    for values in [[0.0, 1.0, 2.0], [0.5, 2.5, 4.5]] {
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<DoubleType>().write_batch(&values, None, None).unwrap();
        column.close().unwrap();
    }
    group.close().unwrap();
    writer.close().unwrap();
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
    write_parquet(&folder.path().join("tide.data"));
    for (args, name) in [
        (&["random", "--count", "4", "--complexity", "0.25"][..], "arith_4_c025.sr"),
        (&["random", "--count", "2", "--preset", "e2e", "--seed", "3"], "e2e_2_s3.sr"),
        (&["random", "--count", "2000", "--complexity", "0.1", "--max-variables", "1"], "arith_2k_c01_v1.sr"),
        (&["suite", "nguyen", "--seed", "5"], "nguyen_s5.sr"),
        (&["suite", "nguyen"], "nguyen.sr"),
        (&["suite", "feynman-bonus"], "feynman-bonus.sr"),
        (&["csv", "flow.csv", "--target", "y"], "flow.sr"),
        (&["csv", "tide.data", "--target", "y"], "tide.sr"),
        (&["formulas", "laws.txt"], "laws.sr"),
    ] {
        let output = generate(folder.path(), args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(String::from_utf8(output.stdout).unwrap().starts_with(name), "{args:?}");
        assert!(folder.path().join(name).exists(), "{args:?}");
    }
    // Settings that the name does not tell are told apart by digits.
    for args in [&["formulas", "laws.txt", "--range", "-1", "1"][..], &["formulas", "laws.txt", "--points", "30"]] {
        let text = String::from_utf8(generate(folder.path(), args).stdout).unwrap();
        assert!(text.starts_with("laws_") && text.split(':').next().is_some_and(|name| name.len() == 14), "{text}");
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
        (&["random", "--exclude", "nguyen13"], "\"nguyen13\" is neither a file nor a suite"),
        (&["random", "--exclude", "r", "flow.csv"], "flow.csv: "),
        (&["suite", "nguyen13"], "expected one of ultra-simple, simple, harder, nguyen, keijzer"),
        (&["csv", "flow.csv", "--target", "y"], "row 2 (line 3), column a: \"low\""),
        (&["csv", "flow.csv", "--target", "z"], "the columns are a, y"),
        (&["csv", "none.csv", "--target", "y"], "none.csv: cannot read"),
        (&["formulas", "none.txt"], "none.txt: cannot read"),
    ] {
        let message = refused(folder.path(), &[args, &["--out", "kept.sr", "--force"]].concat());
        assert!(message.contains(expected), "{message}");
        assert_eq!(fs::read(&kept).unwrap(), b"an earlier result");
    }
}

#[test]
fn the_suites_are_named_by_the_help() {
    let folder = tempdir().unwrap();
    let help = String::from_utf8(generate(folder.path(), &["suite", "--help"]).stdout).unwrap();
    for name in sr_problems::suite_names() {
        assert!(help.contains(name), "{name}: {help}");
    }
}

#[test]
fn excluded_formulas_are_dropped_and_counted() {
    let folder = tempdir().unwrap();
    let run = |count: &str, exclude: &[&str], out: &str| {
        let args = ["random", "--complexity", "0.25", "--count", count, "--out", out, "--json"];
        let output = generate(folder.path(), &[&args, exclude].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let result: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        (ProblemSet::read(folder.path().join(out)).unwrap(), result["excluded"].as_u64().unwrap())
    };
    let (test, none) = run("5", &[], "test.sr");
    assert_eq!(none, 0);
    let test_file = folder.path().join("test.sr").display().to_string();
    let exclude = ["--exclude", &test_file, "nguyen", "--exclude", "simple"];
    let (set, excluded) = run("60", &exclude, "train.sr");
    assert!(excluded >= 5, "{excluded}");
    let blocklist = Blocklist::of([&*test_file, "nguyen", "simple"]).unwrap();
    assert!(set.problems.iter().all(|problem| !blocklist.contains(problem.source.as_ref().unwrap())));
    assert!(test.problems.iter().all(|problem| blocklist.contains(problem.source.as_ref().unwrap())));
    assert_eq!(run("20", &exclude, "few.sr").0.problems, set.problems[..20]);
    let text = generate(folder.path(), &["random", "--complexity", "0.25", "--count", "60", "--exclude", "test.sr"]);
    assert!(String::from_utf8(text.stdout).unwrap().contains("excluded expressions"));
}

#[test]
fn a_killed_run_is_repeated_with_the_same_bytes() {
    let folder = tempdir().unwrap();
    let args = |out| ["random", "--count", "300", "--points", "2000", "--quiet", "--out", out];
    assert!(generate(folder.path(), &args("whole.sr")).status.success());
    let whole = fs::read(folder.path().join("whole.sr")).unwrap();
    let (out, partial) = (folder.path().join("set.sr"), folder.path().join("set.sr.partial"));

    let mut run = Command::new(env!("CARGO_BIN_EXE_sr-generate"))
        .current_dir(folder.path())
        .args(args("set.sr"))
        .stdout(Stdio::null())
        .spawn()
        .expect("the binary starts");
    // As soon as something is written; on a slow disk it may be done before the signal comes, which is no failure.
    while !partial.exists() && run.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    run.kill().unwrap();
    run.wait().unwrap();
    assert!(generate(folder.path(), &args("set.sr")).status.success());
    assert_eq!(fs::read(&out).unwrap(), whole);
    assert!(!partial.exists());

    fs::remove_file(&out).unwrap();
    for left in [&whole[..whole.len() / 2], &whole[..7], b"of something else"] {
        fs::write(&partial, left).unwrap();
        fs::remove_file(&out).ok();
        assert!(generate(folder.path(), &args("set.sr")).status.success());
        assert_eq!(fs::read(&out).unwrap(), whole);
    }
}

#[test]
fn nothing_is_replaced_by_mistake() {
    let folder = tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for (name, text) in [("a", "x,y\n1,2\n2,4\n3,6\n"), ("b", "x,y\n1,3\n2,6\n3,9\n")] {
        fs::create_dir(at(name)).unwrap();
        fs::write(at(name).join("data.csv"), text).unwrap();
    }
    assert!(generate(folder.path(), &["csv", "a/data.csv", "--target", "y"]).status.success());
    let first = fs::read(at("data.sr")).unwrap();
    let message = refused(folder.path(), &["csv", "b/data.csv", "--target", "y"]);
    assert!(message.contains("data.sr is there already") && message.contains("--force"), "{message}");
    assert_eq!(fs::read(at("data.sr")).unwrap(), first);
    assert!(generate(folder.path(), &["csv", "b/data.csv", "--target", "y", "--force"]).status.success());
    assert_ne!(fs::read(at("data.sr")).unwrap(), first);

    fs::write(at("laws.txt"), "x0\n").unwrap();
    let csv = fs::read(at("a/data.csv")).unwrap();
    for (args, expected) in [
        (&["csv", "a/data.csv", "--target", "y", "--out", "a/data.csv", "--force"][..], "is the input a/data.csv"),
        (&["formulas", "laws.txt", "--out", "laws.txt", "--force"], "is the input laws.txt"),
        (&["random", "--exclude", "data.sr", "--out", "data.sr", "--force"], "is the input data.sr"),
        (&["suite", "nguyen", "--out", "a"], "--out a is a folder"),
        (&["suite", "nguyen", "--out", "none/n.sr"], "there is no folder none"),
    ] {
        let message = refused(folder.path(), args);
        assert!(message.contains(expected), "{message}");
    }
    assert_eq!(fs::read(at("a/data.csv")).unwrap(), csv);
    assert_eq!(fs::read_dir(at("a")).unwrap().count(), 1, "nothing is left");
}
