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
    fs::write(folder.path().join("laws.txt"), "x0\n").unwrap();
    fs::write(folder.path().join("named.txt"), "height\n").unwrap();
    let kept = folder.path().join("kept.sr");
    fs::write(&kept, "an earlier result").unwrap();
    for (args, expected) in [
        (&["random", "--operators", "+,sinh"][..], "unknown operator \"sinh\""),
        (&["random", "--constants", "1.0,one"], "constant \"one\" is not a finite number"),
        (&["random", "--complexity", "2"], "error: --complexity is 2, expected 0 to 1"),
        (&["random", "--constants", "nan"], "--constants: constant \"nan\" is not a finite number"),
        (&["random", "--operators", "sin"], "--operators: random expressions need a binary operator"),
        (&["random", "--max-variables", "101"], "--max-variables is 101, expected 1 to 100"),
        (&["random", "--max-y", "-1"], "--max-y is -1, expected a bound on |y| above 0"),
        (&["random", "--points", "1"], "--points is 1, expected 2 or more"),
        (&["random", "--points", "4294967295"], "--points is 4294967295, expected at most 33554432 with 3 variables"),
        (&["random", "--points", "30000000"], "--points: 100 problems of 30000000 points: expected less than 16 GiB"),
        (
            &["formulas", "laws.txt", "--points", "4294967295"],
            "--points is 4294967295, expected at most 67108864 with 1",
        ),
        (&["formulas", "laws.txt", "--points", "0"], "--points is 0, expected 1 or more"),
        (&["formulas", "laws.txt", "--range", "-inf", "inf"], "--range is -inf to inf, expected two finite numbers"),
        (
            &["formulas", "laws.txt", "--range", "nan", "1"],
            "--range is NaN to 1, expected two finite numbers, the lower one",
        ),
        (&["formulas", "laws.txt", "--range", "-1e-3", "-1"], "--range is -0.001 to -1, expected two finite numbers"),
        (&["formulas", "laws.txt", "--names", "a,a"], "--names: names of variables: \"a\" stands there twice"),
        (&["formulas", "named.txt"], "named.txt: line 1: unknown name 'height'"),
        (&["csv", "flow.csv", "--target", "y", "--seed", "0"], "--seed has no effect with csv, which draws nothing"),
        (&["csv", "flow.csv", "--target", "y", "--constants", "one"], "--constants: constant \"one\""),
        (&["random", "--preset", "e2e", "--complexity", "0.5"], "--complexity goes with --preset arith"),
        (&["random", "--exclude", "nguyen13"], "\"nguyen13\" is neither a file nor a suite"),
        (&["random", "--exclude", "r", "flow.csv"], "flow.csv: "),
        (&["suite", "nguyen13"], "expected one of ultra-simple, simple, harder, nguyen, keijzer"),
        (&["csv", "flow.csv", "--target", "y"], "row 2 (line 3), column a: \"low\""),
        (&["csv", "flow.csv", "--target", "z"], "there is no column \"z\" (the target); the columns are a, y"),
        (&["csv", "none.csv", "--target", "y"], "none.csv: cannot read"),
        (&["formulas", "none.txt"], "none.txt: cannot read"),
    ] {
        let message = refused(folder.path(), &[args, &["--out", "kept.sr", "--force"]].concat());
        assert!(message.contains(expected), "{message}");
        assert_eq!(fs::read(&kept).unwrap(), b"an earlier result");
    }
}

/// Runs `csv FILE --target y` on a text and gives the JSON result, what stderr says and the set.
fn table(text: &str, args: &[&str]) -> (serde_json::Value, String, ProblemSet) {
    let folder = tempdir().unwrap();
    fs::write(folder.path().join("flow.csv"), text).unwrap();
    let all = [&["csv", "flow.csv", "--json", "--out", "f.sr"], args].concat();
    let target = if args.contains(&"--target") { &[][..] } else { &["--target", "y"] };
    let output = generate(folder.path(), &[&all, target].concat());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{text:?}: {said}");
    let result: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    (result["table"].clone(), said, ProblemSet::read(folder.path().join("f.sr")).unwrap())
}

fn columns(set: &ProblemSet) -> (Vec<&[f64]>, &[f64]) {
    let problem = &set.problems[0];
    ((0..problem.x.n_columns()).map(|column| problem.x.column(column)).collect(), &problem.y)
}

#[test]
fn numbers_of_a_table_are_in_the_file_as_they_were() {
    let text = "t,small,large,whole,y\n\
                1700000000,1e-50,1e300,16777217,0.1\n\
                1700000001,2e-50,-1e300,9007199254740993,0.2\n";
    let (told, said, set) = table(text, &[]);
    let x: [&[f64]; 4] = [
        &[1_700_000_000.0, 1_700_000_001.0],
        &[1e-50, 2e-50],
        &[1e300, -1e300],
        &[16_777_217.0, 9_007_199_254_740_992.0],
    ];
    assert_eq!(columns(&set), (x.to_vec(), &[0.1, 0.2][..]));
    let warning =
        "column whole, row 2: 9007199254740993 has more digits than a 64-bit float and becomes 9007199254740992.0";
    assert_eq!(told["warnings"], serde_json::json!([warning]));
    assert!(said.contains(warning), "{said}");
}

#[test]
fn how_a_table_was_read_is_told() {
    let folder = tempdir().unwrap();
    let text = "when;x0 ;\"a b\";w;y\n2020;1,5;3;1;2\n# no\n2021;;4;0,5;3\n2022;-2;1;1;7\n";
    fs::write(folder.path().join("flow.csv"), text).unwrap();
    let args = ["csv", "flow.csv", "--target", "y", "--decimal", ",", "--missing", "drop", "--weights", "w"];
    let output = generate(folder.path(), &[&args[..], &["--drop", "when", "--out", "flow.sr"]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let expected = "flow.sr: 1 problem, 2 points\n  \
        text separated by semicolons, decimal sign ,, 1 comment line, 2 rows (1 row with missing values left out)\n  \
        y = y; x0 = x0, x1 = \"a b\"; weights = w; not used: when\n";
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);

    let (told, said, set) = table("c\tx0\ty\ttag\n5\t1\t2\ta\n5\t2\t3\tb\n", &["--features", "c,x0"]);
    let warnings = [
        "column c is 5.0 in every row",
        "column x0 is the variable x1: formulas with the names of columns have it in backticks, `x0`, those without as x1",
    ];
    assert_eq!(
        told,
        serde_json::json!({
            "format": "text", "separator": "tab", "decimal": ".", "header": true, "comment_lines": 0,
            "target": "y", "variables": ["c", "x0"], "weights": null, "unused": ["tag"],
            "rows": 2, "dropped_rows": 0, "warnings": warnings,
        })
    );
    assert!(warnings.iter().all(|warning| said.contains(warning)), "{said}");
    assert_eq!(set.variable_names().unwrap(), ["c", "x0"]);

    write_parquet(&folder.path().join("tide.parquet"));
    let output = generate(folder.path(), &["csv", "tide.parquet", "--target", "y"]);
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "tide.sr: 1 problem, 3 points\n  Parquet, 3 rows\n  y = y; x0 = t\n"
    );
}

#[test]
fn tables_of_other_programs_are_read() {
    let two: (Vec<&[f64]>, &[f64]) = (vec![&[1.0, 2.0]], &[2.0, 4.0]);
    for (text, args) in [
        ("x, \"y\"\n1, \"2\"\n2, \"4\"\n", &[][..]),
        ("\u{feff}\"x\",\"y\"\r\n\" 1\",2\r\n2,4", &[]),
        ("# made by hand\n x   y\n 1.0 2\n#7 8\n 2   4e0\n", &[]),
        ("1|2\n2|4\n", &["--no-header", "--target", "column2"]),
        ("a;y;x\n1,5;2,0;1\n2,5;4;2\n", &["--decimal", ",", "--features", "x"]),
        ("a;y;x\n1,5;2,0;1\n2,5;4;2\n", &["--decimal", ",", "--separator", "semicolon", "--drop", "a"]),
        (",x,y\n0,1,2\n1,2,4\n", &["--drop", ""]),
        ("x,y\n1,2\nNA,3\n2,4\n", &["--missing", "drop"]),
    ] {
        let (_, _, set) = table(text, args);
        assert_eq!(columns(&set), two, "{text:?}");
    }
    let (_, _, set) = table("x₁,θ,ветер,y\n1,2,3,4\n2,2,1,5\n", &[]);
    assert_eq!(set.variable_names().unwrap(), ["x₁", "θ", "ветер"]);
    let (_, _, set) = table("x,w,y\n1,0.5,2\n2,0,4\n", &["--weights", "w"]);
    assert_eq!((columns(&set), set.problems[0].weights.as_deref()), (two, Some(&[0.5, 0.0][..])));
}

#[test]
fn tables_that_cannot_be_meant_are_refused_and_leave_nothing() {
    for (text, args, expected) in [
        ("x,x,y\n1,5,6\n", &[][..], "2 columns are called \"x\" (columns 1, 2)"),
        (",x,y\n0,1,2\n", &[], "looks like a row index and not like a variable; leave it out with --drop ''"),
        ("10,10,13.3\n11,10,13.3\n", &[], "the first row holds only numbers (10, 10, 13.3); if the file has no header"),
        ("x;y\n1,5;2\n", &[], "\"1,5\" is not a finite number; if the comma is the decimal sign, say --decimal ,"),
        ("x,y\n1,2\n-,6\n", &[], "row 2 (line 3), column x: the value is missing (\"-\")"),
        ("x,y\n1,2\n3,inf\n", &["--missing", "drop"], "row 2 (line 3), column y: \"inf\" is not a finite number"),
        ("x,y\nlow,2\n", &[], "\"low\" is not a finite number; a column that is no variable is left out with --drop x"),
        ("x,y\n1,2\n", &["--drop", "z"], "there is no column \"z\" (to be left out)"),
        ("x,y\n1,2\n", &["--weights", "x"], "0 columns beside the target"),
        (
            "x,y\n1,2\n",
            &["--decimal", ",", "--separator", ","],
            "the comma cannot be the decimal sign and the separator",
        ),
        ("", &[], "flow.csv: the file is empty"),
    ] {
        let folder = tempdir().unwrap();
        fs::write(folder.path().join("flow.csv"), text).unwrap();
        let message = refused(folder.path(), &[&["csv", "flow.csv", "--target", "y"], args].concat());
        assert!(message.contains(expected), "{message}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "{message}");
    }
}

#[test]
fn the_help_says_that_the_name_of_a_file_counts() {
    let folder = tempdir().unwrap();
    let help = String::from_utf8(generate(folder.path(), &["csv", "--help"]).stdout).unwrap();
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(help.contains("data of a renamed file are searched in another order"), "{help}");
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

#[test]
fn formulas_that_searches_printed_are_read_with_the_names_of_columns() {
    let folder = tempdir().unwrap();
    fs::write(folder.path().join("laws.txt"), "pdiv(height, `a+b`)\n(height * height)\nsin(x0)\n").unwrap();
    let args = ["formulas", "laws.txt", "--names", "height,a+b", "--range", "-2", "-1", "--out", "laws.sr"];
    let output = generate(folder.path(), &args);
    assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let set = ProblemSet::read(folder.path().join("laws.sr")).unwrap();
    let told: Vec<String> = set.problems.iter().filter_map(|problem| problem.formula()).collect();
    assert_eq!(told, ["pdiv(x0, x1)", "(x0 * x0)", "sin(x0)"]);
    let x = &set.problems[0].x;
    assert!(x.values().all(|x| (-2.0..=-1.0).contains(x)));
    let divided = x.column(0).iter().zip(x.column(1)).map(|(a, b)| a / b);
    assert!(divided.eq(set.problems[0].y.iter().copied()));

    // What no search of the set could find is told.
    let output = generate(folder.path(), &[&args[..], &["--operators", "+,*", "--force"]].concat());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("pdiv(x0, x1) has the operator /, which is not among --operators"), "{said}");
    assert!(said.contains("sin(x0) has the operator sin,") && !said.contains("(x0 * x0)"), "{said}");
}

#[test]
fn no_problems_are_no_set() {
    let folder = tempdir().unwrap();
    let output = generate(folder.path(), &["random", "--count", "0"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("invalid value '0' for '--count <COUNT>'"), "{said}");
}

#[test]
fn columns_without_variation_and_names_of_any_script_are_read_in_any_locale() {
    // A column of zeros, and nothing but constant columns.
    let (told, _, set) = table("a,zero,y\n1,0,2\n2,0,4\n", &[]);
    assert_eq!(told["warnings"], serde_json::json!(["column zero is 0.0 in every row"]));
    assert_eq!(columns(&set).0, [&[1.0, 2.0][..], &[0.0, 0.0]]);
    let (told, _, set) = table("a,b,y\n5,0,3\n5,0,3\n", &[]);
    assert_eq!(told["warnings"].as_array().map(Vec::len), Some(3));
    assert_eq!(columns(&set), (vec![&[5.0, 5.0][..], &[0.0, 0.0]], &[3.0, 3.0][..]));
    assert!(set.problems[0].instance().is_ok(), "it can be searched");

    let folder = tempdir().unwrap();
    fs::write(folder.path().join("flow.csv"), "x₁,θ,ветер,y\n1,2,3,4\n2,2,1,5\n").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_sr-generate"))
        .env("LC_ALL", "C")
        .current_dir(folder.path())
        .args(["csv", "flow.csv", "--target", "y"])
        .output()
        .unwrap();
    assert!(output.status.success());
    let said = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(said.contains("y = y; x0 = x₁, x1 = θ, x2 = ветер"), "{said}");
    assert_eq!(
        ProblemSet::read(folder.path().join("flow.sr")).unwrap().variable_names().unwrap(),
        ["x₁", "θ", "ветер"]
    );
}

#[test]
fn a_file_that_is_called_like_a_run_file_is_kept() {
    let folder = tempdir().unwrap();
    let run = folder.path().join("n.sr.run.json");
    fs::write(&run, "precious").unwrap();
    let message = refused(folder.path(), &["suite", "nguyen", "--out", "n.sr"]);
    assert!(message.contains("n.sr.run.json too, which is there already and no run file"), "{message}");
    assert_eq!(fs::read(&run).unwrap(), b"precious");
}

#[test]
fn a_dash_is_standard_input_and_no_name_of_an_output() {
    let folder = tempfile::tempdir().expect("a folder");
    let of = |input: &str, args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sr-generate"));
        command
            .current_dir(folder.path())
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        std::io::Write::write_all(&mut child.stdin.take().expect("a pipe"), input.as_bytes()).expect("written");
        child.wait_with_output().expect("it ends")
    };
    assert!(of("x0 + 1\n", &["formulas", "-", "--out", "formulas.sr"]).status.success());
    assert!(of("a,y\n1,2\n2,4\n3,6\n", &["csv", "-", "--target", "y"]).status.success());
    assert!(folder.path().join("formulas.sr").exists() && folder.path().join("stdin.sr").exists());
    let refused = of("", &["suite", "simple", "--out", "-"]);
    let told = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(2) && told.contains("cannot go to standard output"), "{told}");
}
