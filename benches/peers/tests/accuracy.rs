//! Tests of bench-accuracy on one problem, with systems that are lines of shell.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// Writes a driver that answers each request by one last report with this formula.
fn driver(folder: &Path, formula: &str) -> PathBuf {
    let path = folder.join("driver.sh");
    let report = format!(
        r#"{{"seconds": 0.25, "front": [{{"formula": "x0", "size": 1, "error": 1}}, {{"formula": "{formula}", "size": 9, "error": 0}}], "chosen": "{formula}", "claims_exact": true, "end": true}}"#
    );
    let script = format!(
        "echo '{{\"peers\": {{\"shell\": \"1.0\"}}, \"missing\": {{}}}}'\nwhile read -r line; do echo '{report}'; done\n"
    );
    std::fs::write(&path, script).expect("written");
    path
}

fn bench_accuracy(folder: &Path, driver: &Path, flags: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bench-accuracy"))
        .args(["nguyen", "--problems", "Nguyen-1", "--seconds", "2", "--threads", "1", "--out", "result"])
        .args(["--native", "none/native", "--python", "none/python"])
        .args(["--driver", &format!("shell=sh {}", driver.display())])
        .args(flags)
        .current_dir(folder)
        .output()
        .expect("the binary runs")
}

fn runs(folder: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(folder.join("result.jsonl")).expect("results");
    text.lines().skip(1).map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn runs_are_judged_recorded_and_not_made_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let driver = driver(folder.path(), "x0*(x0*(x0 + 1) + 1)");
    let output = bench_accuracy(folder.path(), &driver, &["--methods", "shell,gplearn"]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert!(stderr.contains("gplearn is left out"), "{stderr}");
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(text.contains("gplearn: left out") && text.contains("1: 100 % (21–100)"), "{text}");
    assert_eq!(std::fs::read_to_string(folder.path().join("result.md")).expect("tables"), text);
    assert!(std::fs::read_to_string(folder.path().join("result.svg")).expect("a plot").starts_with("<svg"));
    let made = runs(folder.path());
    assert_eq!(made.len(), 1);
    assert_eq!((made[0]["exact_chosen"].as_f64(), made[0]["claims_exact"].as_bool()), (Some(0.25), Some(true)));
    assert_eq!(made[0]["exact_in_front"]["formula"], "x0*(x0*(x0 + 1) + 1)");
    assert_eq!(made[0]["front"][0]["exact"], false);

    // The same again makes nothing; another seed and ours make one run each.
    assert!(bench_accuracy(folder.path(), &driver, &["--methods", "shell"]).status.success());
    assert_eq!(runs(folder.path()), made);
    assert!(bench_accuracy(folder.path(), &driver, &["--methods", "shell", "--seeds", "1,2"]).status.success());
    let output = bench_accuracy(folder.path(), &driver, &["--methods", "ours,shell"]);
    assert!(output.status.success());
    let all = runs(folder.path());
    let methods: Vec<_> = all.iter().map(|run| run["method"].as_str().expect("a name")).collect();
    assert_eq!(methods, ["shell", "shell", "ours"]);
    assert!(all[2]["chosen"]["r2"].as_f64().is_some_and(|r2| r2 > 0.9), "{}", all[2]);
}

#[test]
fn wrong_claims_and_wrong_formulas_are_counted() {
    let folder = tempfile::tempdir().expect("a folder");
    let driver = driver(folder.path(), "x0*(x0*(x0 + 1.00001) + 1)");
    let output = bench_accuracy(folder.path(), &driver, &["--methods", "shell"]);
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(text.contains("1 of 1") && text.contains("0: 0 % (0–79)"), "{text}");
}

#[test]
fn bad_input_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let driver = driver(folder.path(), "x0");
    let fails = |flags: &[&str], message: &str| {
        let output = bench_accuracy(folder.path(), &driver, flags);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(message), "{stderr} does not say {message}");
    };
    fails(&["--methods", "shell,operon"], "--methods operon");
    fails(&["--problems", "Nguyen-99"], "Nguyen-99");
    fails(&["--only", "no such"], "no problem");
    fails(&["--rows", "0"], "--rows");
    fails(&["--noise", "-1"], "--noise");
    fails(&["--driver", "shell"], "NAME=COMMAND");
    assert!(bench_accuracy(folder.path(), &driver, &["--methods", "shell"]).status.success());
    fails(&["--methods", "shell", "--noise", "0.1"], "noise 0.0, asked for 0.1");
}
