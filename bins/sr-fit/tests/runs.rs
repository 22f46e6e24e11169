//! The folder of a run: going on, repeating, predicting.

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{error, json, noisy, sr_fit, sr_fit_of, stdout, write};
use serde_json::Value;

const TABLE: [&str; 3] = ["t.csv", "--target", "y"];
/// Enough for closed forms and an epoch of evolution, in a moment.
const WORK: &str = "3e7";

fn read(folder: &Path, name: &str) -> Vec<u8> {
    fs::read(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn with<'a>(args: &[&'a str]) -> Vec<&'a str> {
    [&TABLE, args].concat()
}

#[test]
fn the_same_work_gives_the_same_bytes_with_any_number_of_threads() {
    let folder = tempfile::tempdir().expect("a folder");
    noisy(folder.path(), "t.csv");
    for threads in ["1", "2", "8"] {
        let out = format!("of{threads}");
        let output = sr_fit(folder.path(), &with(&["--max-work", WORK, "--threads", threads, "--out", &out]));
        assert_eq!(output.status.code(), Some(0));
    }
    for name in ["fit.json", "front.csv", "formula.txt", "points.csv", "report.html", "state.json"] {
        let [a, b, c] = ["of1", "of2", "of8"].map(|out| read(folder.path(), &format!("{out}/{name}")));
        assert!(a == b && a == c, "{name}");
    }
    let fit: Value = serde_json::from_slice(&read(folder.path(), "of1/fit.json")).expect("JSON");
    assert_eq!((&fit["format_version"], &fit["stop"]), (&1.into(), &"work".into()));
    assert!(fit["epochs"].as_u64() >= Some(1) && fit["work"].as_u64() >= Some(30_000_000), "{fit}");
    assert!(fit.get("seconds").is_none(), "seconds differ between equal runs");
    assert!(folder.path().join("of1/fit.run.json").exists());
}

#[test]
fn the_report_has_the_rows_and_formulas_of_the_run_and_no_address() {
    let folder = tempfile::tempdir().expect("a folder");
    noisy(folder.path(), "t.csv");
    assert_eq!(sr_fit(folder.path(), &with(&["--max-work", WORK, "--out", "run"])).status.code(), Some(0));
    let report = String::from_utf8(read(folder.path(), "run/report.html")).expect("UTF-8");
    assert!(report.len() < 500_000 && report.contains("<title>y of t · sr-fit</title>"));
    assert!(report.contains("All 40 rows.") && report.contains("<math") && !report.contains("://"));
    let points = String::from_utf8(read(folder.path(), "run/points.csv")).expect("UTF-8");
    assert_eq!(points.lines().count(), 41);
    // The predictions are those of the marked formula.
    let predicted = stdout(&sr_fit(folder.path(), &["run", "--predict", "t.csv"]));
    let of_points = points.lines().skip(1).map(|line| line.rsplit(',').next().expect("a field"));
    assert!(of_points.eq(predicted.lines().skip(1)));

    // Of groups each row has the constants of its group.
    let row = |i: u32| format!("{},{},{}", i % 2, i, (i % 2 * 3 + 2) * i + 1 + i % 2);
    write(folder.path(), "g.csv", std::iter::once("lot,t,y".to_owned()).chain((1..=30).map(row)));
    let args = ["g.csv", "--target", "y", "--group", "lot", "--max-work", "1e7", "--out", "groups"];
    assert_eq!(sr_fit(folder.path(), &args).status.code(), Some(0));
    let report = String::from_utf8(read(folder.path(), "groups/report.html")).expect("UTF-8");
    assert!(report.contains("Constants of each group in the marked law"));
    let predicted = stdout(&sr_fit(folder.path(), &["groups", "--predict", "g.csv"]));
    let points = String::from_utf8(read(folder.path(), "groups/points.csv")).expect("UTF-8");
    let of_points = points.lines().skip(1).map(|line| line.rsplit(',').next().expect("a field"));
    assert!(of_points.eq(predicted.lines().skip(1)));
}

#[test]
fn a_folder_that_is_not_empty_is_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    noisy(folder.path(), "t.csv");
    let args = with(&["--epochs", "0", "--max-work", "1e7"]);
    assert_eq!(sr_fit(folder.path(), &args).status.code(), Some(0));
    let before = read(folder.path(), "runs/t-fit/fit.json");
    let said = error(&sr_fit(folder.path(), &args));
    assert!(
        said.contains("runs/t-fit is not empty") && said.contains("--resume") && said.contains("--force"),
        "{said}"
    );
    assert_eq!(read(folder.path(), "runs/t-fit/fit.json"), before);
    fs::create_dir(folder.path().join("mine")).expect("made");
    fs::write(folder.path().join("mine/notes"), "precious").expect("written");
    let said = error(&sr_fit(folder.path(), &with(&["--epochs", "0", "--max-work", "1e7", "--out", "mine"])));
    assert!(said.contains("mine is not empty"), "{said}");
    assert_eq!(sr_fit(folder.path(), &with(&["--epochs", "0", "--max-work", "1e7", "--force"])).status.code(), Some(0));
    assert_eq!(read(folder.path(), "runs/t-fit/fit.json"), before);
}

#[test]
fn a_run_that_goes_on_gives_the_bytes_of_one_that_was_not_disturbed() {
    let folder = tempfile::tempdir().expect("a folder");
    noisy(folder.path(), "t.csv");
    let run = |args: &[&str]| {
        let output = sr_fit(folder.path(), &with(args));
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    };
    run(&["--epochs", "3", "--max-work", "1e9", "--out", "whole"]);
    run(&["--epochs", "1", "--max-work", "1e9", "--out", "parts"]);
    for epochs in ["2", "3", "3"] {
        run(&["--epochs", epochs, "--max-work", "1e9", "--out", "parts", "--resume"]);
    }
    for name in ["fit.json", "front.csv", "formula.txt", "points.csv", "report.html", "state.json"] {
        assert!(
            read(folder.path(), &format!("whole/{name}")) == read(folder.path(), &format!("parts/{name}")),
            "{name}"
        );
    }
    // The search for closed forms is one of this budget too.
    run(&["--max-work", WORK, "--out", "work"]);
    run(&["--max-work", "1e6", "--out", "more", "--resume"]);
    run(&["--max-work", WORK, "--out", "more", "--resume"]);
    assert!(read(folder.path(), "work/fit.json") == read(folder.path(), "more/fit.json"));
    let said =
        error(&sr_fit(folder.path(), &with(&["--epochs", "2", "--max-work", "1e9", "--out", "parts", "--resume"])));
    assert!(said.contains("3 epochs are done already, more than the 2"), "{said}");
}

#[test]
fn a_run_that_found_an_exact_formula_goes_on_as_long_as_one_that_was_not_disturbed() {
    let folder = tempfile::tempdir().expect("a folder");
    let row = |i: u32| (f64::from(i) / 7.0, f64::from(i * 29 % 43) / 9.0);
    let law = |(a, b): (f64, f64)| format!("{a},{b},{}", (a * b).sin() * 3.0 + (a + 1.0).ln() * b);
    write(folder.path(), "t.csv", std::iter::once("a,b,y".into()).chain((1..50).map(|i| law(row(i)))));
    let run = |args: &[&str]| assert_eq!(sr_fit(folder.path(), &with(args)).status.code(), Some(0));
    run(&["--epochs", "4", "--max-work", "5e8", "--out", "whole"]);
    for epochs in ["1", "2", "3", "4"] {
        run(&["--epochs", epochs, "--max-work", "5e8", "--out", "parts", "--resume"]);
    }
    assert!(read(folder.path(), "whole/state.json") == read(folder.path(), "parts/state.json"));
    assert!(read(folder.path(), "whole/fit.json") == read(folder.path(), "parts/fit.json"));
}

#[test]
fn other_data_other_settings_and_damaged_files_are_refused_in_one_line() {
    let folder = tempfile::tempdir().expect("a folder");
    noisy(folder.path(), "t.csv");
    let args = with(&["--epochs", "1", "--max-work", "1e8", "--resume"]);
    assert_eq!(sr_fit(folder.path(), &args).status.code(), Some(0), "nothing is there to go on from");
    let refused = |args: &[&str], expected: &str| {
        let said = error(&sr_fit(folder.path(), args));
        assert!(said.contains(expected), "{expected}: {said}");
    };
    let more = |more: &[&'static str]| [&args[..], more].concat();
    refused(&more(&["--seed", "5"]), "runs/t-fit was made with other settings: seed 0, asked for 5");
    refused(&more(&["--max-size", "9"]), "max_size 30, asked for 9");
    refused(&more(&["--drop", "b"]), "table.columns.variables");
    let table = fs::read_to_string(folder.path().join("t.csv")).expect("read");
    fs::write(folder.path().join("t.csv"), table.replacen('1', "2", 1)).expect("written");
    refused(&args, "table.data");
    refused(&["t.csv", "--replay", "runs/t-fit"], "the run was made with other data: table.data");
    fs::write(folder.path().join("t.csv"), &table).expect("written");
    assert_eq!(sr_fit(folder.path(), &args).status.code(), Some(0));

    let state = folder.path().join("runs/t-fit/state.json");
    let bytes = fs::read(&state).expect("read");
    for cut in [0, 1, bytes.len() / 2, bytes.len() - 1] {
        fs::write(&state, &bytes[..cut]).expect("written");
        refused(&args, "runs/t-fit/state.json is cut off or damaged");
    }
    let text = String::from_utf8(bytes.clone()).expect("UTF-8");
    fs::write(&state, text.replacen("x0", "x1", 1)).expect("written");
    refused(&args, "state.json was changed or damaged: its checksum is another");
    fs::write(&state, text.replace("\"format_version\":1", "\"format_version\":9")).expect("written");
    refused(&args, "state.json has format version 9, expected 1");
    fs::write(&state, &bytes).expect("written");
    let fit = folder.path().join("runs/t-fit/fit.json");
    fs::write(&fit, "{\"format_version\":1}").expect("written");
    refused(&["runs/t-fit", "--predict", "t.csv"], "fit.json has no chosen");
    fs::write(&fit, "{").expect("written");
    refused(&["runs/t-fit", "--predict", "t.csv"], "fit.json is cut off or damaged");
}

#[test]
fn a_killed_run_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    noisy(folder.path(), "t.csv");
    let args = with(&["--epochs", "15", "--max-work", "1e9", "--out", "killed"]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_sr-fit"));
    let command = command.current_dir(folder.path()).args(&args).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().expect("sr-fit starts");
    let (state, started) = (folder.path().join("killed/state.json"), Instant::now());
    while !state.exists() && started.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().expect("killed");
    child.wait().expect("ended");
    let said = sr_fit(folder.path(), &args);
    if !folder.path().join("killed/fit.json").exists() {
        assert!(error(&said).contains("is not empty"), "the state of a killed run is kept");
        let said = error(&sr_fit(folder.path(), &["killed", "--predict", "t.csv"]));
        assert!(said.contains("has no result yet; --resume goes on"), "{said}");
    }
    let resumed = sr_fit(folder.path(), &[&args[..], &["--resume"]].concat());
    assert_eq!(resumed.status.code(), Some(0), "{}", String::from_utf8_lossy(&resumed.stderr));
    let whole = with(&["--epochs", "15", "--max-work", "1e9", "--out", "whole"]);
    assert_eq!(sr_fit(folder.path(), &whole).status.code(), Some(0));
    assert!(read(folder.path(), "killed/fit.json") == read(folder.path(), "whole/fit.json"));
}

#[test]
fn an_interrupt_prints_what_was_found_and_the_same_command_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    noisy(folder.path(), "t.csv");
    let args = with(&["--epochs", "100000", "--max-work", "1e13", "--out", "run"]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_sr-fit"));
    let command = command.current_dir(folder.path()).args(&args);
    let (status, message) = sr_testing::interrupt(command, &folder.path().join("run/state.json"), 1);
    assert_eq!(status.code(), Some(130), "{message}");
    assert!(message.contains("run is kept; the same command with --resume goes on"), "{message}");
    let fit: Value = serde_json::from_slice(&read(folder.path(), "run/fit.json")).expect("JSON");
    assert_eq!(fit["stop"], "interrupted");
    assert!(fit["front"].as_array().is_some_and(|front| !front.is_empty()), "{fit}");
    let predicted = stdout(&sr_fit(folder.path(), &["run", "--predict", "t.csv"]));
    assert_eq!(predicted.lines().count(), 41, "a header and a row each");
    let epochs = fit["epochs"].as_u64().expect("a number") + 1;
    let most = epochs.to_string();
    let args = with(&["--epochs", &most, "--max-work", "1e13", "--out", "run", "--resume"]);
    let resumed = sr_fit(folder.path(), &args);
    assert_eq!(resumed.status.code(), Some(0), "{}", String::from_utf8_lossy(&resumed.stderr));
    let fit: Value = serde_json::from_slice(&read(folder.path(), "run/fit.json")).expect("JSON");
    assert_eq!((fit["epochs"].as_u64(), &fit["stop"]), (Some(epochs), &"epochs".into()));
}

#[test]
fn a_reader_that_leaves_ends_nothing_but_the_text() {
    let folder = tempfile::tempdir().expect("a folder");
    noisy(folder.path(), "t.csv");
    let mut command = Command::new(env!("CARGO_BIN_EXE_sr-fit"));
    let command = command.current_dir(folder.path()).args(with(&["--epochs", "0", "--max-work", WORK, "--out", "run"]));
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("sr-fit starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("ended");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!said.contains("panicked") && !said.contains("error"), "{said}");
    assert!(folder.path().join("run/fit.json").exists(), "the result is written all the same");
}

#[test]
fn what_the_clock_ended_is_repeated_exactly() {
    let folder = tempfile::tempdir().expect("a folder");
    noisy(folder.path(), "t.csv");
    // The first is over while closed forms are looked for, the second in evolution.
    let cases = [(&["--time-limit", "0.05"][..], "short"), (&["--time-limit", "2"], "long")];
    for (args, out) in cases {
        let output = sr_fit(folder.path(), &[&with(args)[..], &["--out", out]].concat());
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        let fit: Value = serde_json::from_slice(&read(folder.path(), &format!("{out}/fit.json"))).expect("JSON");
        assert_eq!(fit["stop"], "time");
        for threads in ["1", "3"] {
            let output = sr_fit(folder.path(), &["t.csv", "--replay", out, "--threads", threads]);
            let text = stdout(&output);
            assert!(output.status.code() == Some(0) && text.contains("the same "), "{text}");
        }
    }
    let said = error(&sr_fit(folder.path(), &["t.csv", "--replay", "short", "--epochs", "3"]));
    assert!(said.contains("--epochs has no effect with --replay"), "{said}");
    let said = error(&sr_fit(folder.path(), &["t.csv", "--replay", "nowhere"]));
    assert!(said.contains("nowhere/fit.json"), "{said}");
}

#[test]
fn epochs_are_recorded_the_same_with_any_number_of_threads_and_by_a_replay() {
    let folder = tempfile::tempdir().expect("a folder");
    noisy(folder.path(), "t.csv");
    for threads in ["1", "3"] {
        let (out, trace) = (format!("of{threads}"), format!("{threads}.sr"));
        let args = ["--max-work", WORK, "--threads", threads, "--out", &out, "--trace", &trace];
        let output = sr_fit(folder.path(), &with(&args));
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let output = sr_fit(folder.path(), &["t.csv", "--replay", "of1", "--trace", "again.sr"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let trace = read(folder.path(), "1.sr");
    assert!(!trace.is_empty() && trace == read(folder.path(), "3.sr") && trace == read(folder.path(), "again.sr"));

    let said = error(&sr_fit(folder.path(), &with(&["--epochs", "1", "--out", "other", "--trace", "1.sr"])));
    assert!(said.contains("--trace 1.sr") && said.contains("--force"), "{said}");
    let said =
        error(&sr_fit(folder.path(), &with(&["--epochs", "1", "--out", "other", "--trace", "t.csv", "--force"])));
    assert!(said.contains("--trace t.csv"), "{said}");
    // A file that the run itself writes would be lost, one or the other.
    for (args, out) in [(&["--trace"][..], "fit.json"), (&["--predict", "t.csv", "--predict-out"], "front.csv")] {
        fs::create_dir_all(folder.path().join("own")).expect("a folder");
        let (dir, path) = ("own", format!("./own/{out}"));
        let said = error(&sr_fit(folder.path(), &with(&[&["--epochs", "0", "--out", dir], args, &[&path]].concat())));
        assert!(said.contains("the run has a file of that name in its folder"), "{said}");
    }
    let both = ["--epochs", "0", "--out", "own", "--trace", "own/x", "--predict", "t.csv", "--predict-out", "./own/x"];
    let said = error(&sr_fit(folder.path(), &with(&both)));
    assert!(said.contains("--trace and --predict-out name the same file"), "{said}");
    let before = read(folder.path(), "of1/fit.json");
    let said = error(&sr_fit(folder.path(), &["t.csv", "--replay", "of1", "--trace", "of1/fit.json", "--force"]));
    assert!(said.contains("the run has a file of that name in its folder"), "{said}");
    assert_eq!(read(folder.path(), "of1/fit.json"), before);
    let again = sr_fit(folder.path(), &["t.csv", "--replay", "of1", "--trace", "again.sr", "--force"]);
    assert_eq!(again.status.code(), Some(0), "{}", String::from_utf8_lossy(&again.stderr));
    let said = error(&sr_fit(folder.path(), &["t.csv", "--replay", "of1", "--force"]));
    assert!(said.contains("--force has no effect with --replay"), "{said}");
    let said = error(&sr_fit(folder.path(), &["of1", "--export", "latex", "--trace", "x.sr"]));
    assert!(said.contains("--trace has no effect"), "{said}");
}

#[test]
fn predictions_are_found_by_names_and_read_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let rows = (1..30).map(|i| format!("{i},{},{}", i * i % 7, 3 * i + i * i % 7));
    write(folder.path(), "t.csv", std::iter::once("a,b,\"the y\"".into()).chain(rows));
    write(folder.path(), "new.csv", ["b,note,a", "0.1,text,0.2", "5,more,1e20"].map(String::from));
    let args = ["t.csv", "--target", "the y", "--epochs", "0"];
    let run = |more: &[&str]| sr_fit(folder.path(), &[&args, more].concat());
    let expected = stdout(&run(&["--predict", "new.csv"]));
    let values: Vec<&str> = expected.lines().collect();
    assert_eq!((values.len(), values[0], values[2]), (3, "\"the y\"", "3e20"));
    assert!((values[1].parse::<f64>().expect("a number") - 0.7).abs() < 1e-12, "{expected}");
    assert_eq!(stdout(&sr_fit(folder.path(), &["runs/t-fit", "--predict", "new.csv"])), expected);
    let apply = |more: &[&str]| sr_fit(folder.path(), &[&["runs/t-fit", "--predict", "new.csv"], more].concat());
    let said = stdout(&apply(&["--predict-out", "p.csv"]));
    assert!(said.contains("the y = "), "{said}");
    assert_eq!(String::from_utf8(read(folder.path(), "p.csv")).expect("UTF-8"), expected);
    assert!(error(&apply(&["--predict-out", "p.csv"])).contains("p.csv is there already"));
    assert!(error(&apply(&["--predict-out", "new.csv", "--force"])).contains("is the input"));
    let result: Value = serde_json::from_slice(&apply(&["--json"]).stdout).expect("JSON");
    assert_eq!(result["predictions"][1], 3e20);
    assert!(error(&apply(&["--out", "x"])).contains("--predict-out FILE"));
    // Only the columns of the formula are needed once it is known, and all of them before a search.
    write(folder.path(), "short.csv", ["b", "1"].map(String::from));
    let missing = sr_fit(folder.path(), &["runs/t-fit", "--predict", "short.csv"]);
    let said = error(&missing);
    assert!(said.contains("short.csv: there is no column \"a\"") && said.contains("the columns are b"), "{said}");
    assert!(error(&run(&["--predict", "short.csv", "--force"])).contains("there is no column \"a\""));
    let constant = sr_fit(folder.path(), &["runs/t-fit", "--predict", "short.csv", "--pick", "1"]);
    assert_eq!(stdout(&constant).lines().count(), 2, "a constant has a value for each row");
    assert!(error(&sr_fit(folder.path(), &["runs/t-fit"])).contains("--predict FILE"));
}

#[test]
fn flags_without_effect_on_an_earlier_run_are_errors() {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), "t.csv", std::iter::once("a,y".into()).chain((1..9).map(|i| format!("{i},{}", 2 * i))));
    write(folder.path(), "new.csv", ["a", "3"].map(String::from));
    let searched = sr_fit(folder.path(), &["t.csv", "--target", "y", "--epochs", "0"]);
    assert_eq!(searched.status.code(), Some(0), "{}", String::from_utf8_lossy(&searched.stderr));
    let (export, predict) = (["runs/t-fit", "--export", "c"], ["runs/t-fit", "--predict", "new.csv"]);
    for (what, flags, expected) in [
        (&export, &["--seed", "5"][..], "--seed has no effect with the folder of an earlier run"),
        (&export, &["--force"], "--force has no effect with the folder of an earlier run and without --predict-out"),
        (&export, &["--decimal", ","], "--decimal has no effect with --export"),
        (&export, &["--missing", "drop"], "--missing has no effect with --export"),
        (&export, &["--separator", ";"], "--separator has no effect with --export"),
        (&export, &["--no-header"], "--no-header has no effect with --export"),
        (&export, &["--features", "a"], "--features has no effect with the folder of an earlier run"),
        (&predict, &["--seed", "5"], "--seed has no effect with the folder of an earlier run"),
        (&predict, &["--force"], "--force has no effect with the folder of an earlier run and without --predict-out"),
        (&["t.csv", "--replay", "runs/t-fit"], &["--decimal", ","], "--decimal has no effect with --replay"),
    ] {
        let said = error(&sr_fit(folder.path(), &[what, flags].concat()));
        assert!(said.contains(expected), "{flags:?}: {said}");
    }
    // A file of predictions needs a table to predict for, and clap alone lets it go beside --export.
    for args in [&export[..], &["t.csv", "--target", "y", "--export", "c", "--epochs", "0", "--force"]] {
        let output = sr_fit(folder.path(), &[args, &["--predict-out", "p.csv"]].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let expected = "--predict-out has no effect without --predict <FILE>, which cannot be used with --export";
        assert!(output.status.code() == Some(2) && said.contains(expected), "{said}");
        assert!(!folder.path().join("p.csv").exists());
    }
    for args in
        [&export[..], &[&predict[..], &["--missing", "drop", "--decimal", ".", "--predict-out", "p.csv"]].concat()]
    {
        assert_eq!(sr_fit(folder.path(), args).status.code(), Some(0), "{args:?}");
    }
    // Neither a table nor the folder of a run.
    for args in [&["--predict", "new.csv"][..], &["--export", "c"], &["--target", "y"], &[]] {
        let said = error(&sr_fit(folder.path(), &[&["runz/t-fit"], args].concat()));
        assert_eq!(said, "error: runz/t-fit: there is no such file or folder");
    }
    let learner = sr_fit(folder.path(), &["t.csv", "--target", "y", "--learner", "functions"]);
    let said = String::from_utf8_lossy(&learner.stderr).into_owned();
    assert!(said.contains("the value of --learner stands behind an equals sign: --learner=functions"), "{said}");
}

#[test]
fn values_that_are_no_numbers_stay_so_and_are_counted() {
    let folder = tempfile::tempdir().expect("a folder");
    let rows = (1..30).map(|i| format!("{i},{:?}", f64::from(i).sqrt()));
    write(folder.path(), "t.csv", std::iter::once("x,y".into()).chain(rows));
    write(folder.path(), "new.csv", ["x", "4", "-1", "-2"].map(String::from));
    let output = sr_fit(folder.path(), &["t.csv", "--target", "y", "--predict", "new.csv"]);
    assert_eq!(stdout(&output), "y\n2.0\nNaN\nNaN\n");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(stderr.contains("no value (NaN) in 2 of 3 rows"), "{stderr}");
}

#[test]
fn a_table_may_come_from_standard_input_and_json_is_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let table: String = (1..20).map(|i| format!("{i},{}\n", i * i)).collect();
    let output = sr_fit_of(folder.path(), &format!("x,y\n{table}"), &["-", "--target", "y", "--json", "-q"]);
    let result: Value = serde_json::from_slice(&output.stdout).expect("one object");
    assert_eq!(
        (&result["front"][result["chosen"].as_u64().expect("an index") as usize]["formula"], &result["out"]),
        (&"pow2(x)".into(), &"runs/stdin-fit".into())
    );
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn rows_of_validation_are_those_of_another_table() {
    let folder = tempfile::tempdir().expect("a folder");
    noisy(folder.path(), "t.csv");
    write(folder.path(), "v.csv", ["y,b,c,a", "7,2,x,1", "15,3,x,2"].map(String::from));
    let result = json(folder.path(), &with(&["--epochs", "0", "--max-work", "1e7", "--validation", "v.csv"]));
    assert_eq!(result["held_out_rows"], 2);
    assert!(result["front"][0]["rmse_held_out"].is_number());
    write(folder.path(), "v.csv", ["y,b", "7,2"].map(String::from));
    let said = error(&sr_fit(folder.path(), &with(&["--validation", "v.csv", "--force"])));
    assert!(said.contains("v.csv: there is no column \"a\""), "{said}");
}
