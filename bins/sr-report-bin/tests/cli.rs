//! The command as a user meets it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::tempdir;

fn sr_report(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sr-report")).current_dir(folder).args(args).output().expect("the binary starts")
}

/// Runs what has to fail with code 2 and one line of error, and gives the line.
fn refused(folder: &Path, args: &[&str]) -> String {
    let output = sr_report(folder, args);
    let message = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(output.status.code(), Some(2), "{args:?}: {message}");
    assert_eq!(message.trim_end().lines().count(), 1, "{message}");
    message
}

/// Folders of sr-fit and sr-train, as these programs write them.
fn results(folder: &Path) {
    let formula = json!({
        "formula": "(2.0 * t)", "expression": "(2.0 * x0)", "size": 3, "method": "algebra", "rmse": 0.5, "r2": 0.9, "exact": false,
    });
    let fit = json!({
        "format_version": 1, "front": [formula], "marked": 0, "chosen": 0, "reason": "exact", "stop": "exact", "epochs": 0,
        "held_out_rows": 0, "settings": { "table": { "name": "t", "rows": 2, "columns": { "target": "y", "variables": ["t"] } } },
    });
    fs::create_dir(folder.join("fit")).expect("a folder");
    fs::write(folder.join("fit/fit.json"), fit.to_string()).expect("written");
    fs::write(folder.join("fit/points.csv"), "row,observed,predicted\n1,2.5,2.0\n2,4.5,NaN\n").expect("written");
    fs::create_dir(folder.join("model")).expect("a folder");
    // The last line was cut off by a kill.
    fs::write(folder.join("model/metrics.jsonl"), "{\"step\": 25, \"loss\": 2.5}\n{\"st").expect("written");
}

#[test]
fn results_become_one_page() {
    let folder = tempdir().expect("a folder");
    let folder = folder.path();
    results(folder);
    let output = sr_report(folder, &["fit", "model", "--out", "report.html", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let told: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    let page = fs::read_to_string(folder.join("report.html")).expect("a page");
    assert_eq!((&told["sections"], &told["bytes"]), (&json!(["sr-fit", "sr-train"]), &json!(page.len())));
    assert!(page.contains("Observed against predicted") && page.contains("Learning curves") && !page.contains("://"));
    let output = sr_report(folder, &["fit", "model", "--out", "again.html"]);
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(text.trim_end(), format!("again.html: {} bytes, sr-fit, sr-train", page.len()));
    assert_eq!(fs::read_to_string(folder.join("again.html")).expect("a page"), page);
}

#[test]
fn what_cannot_be_shown_is_one_line_and_nothing_is_replaced() {
    let folder = tempdir().expect("a folder");
    let folder = folder.path();
    results(folder);
    fs::write(folder.join("there.html"), "mine").expect("written");
    assert!(refused(folder, &["fit", "--out", "there.html"]).contains("there.html is there already"));
    assert_eq!(fs::read_to_string(folder.join("there.html")).expect("read"), "mine");
    assert_eq!(sr_report(folder, &["fit", "--out", "there.html", "--force"]).status.code(), Some(0));
    assert!(fs::read_to_string(folder.join("there.html")).expect("read").starts_with("<!doctype html>"));
    assert!(refused(folder, &["nothing", "--out", "a.html"]).contains("nothing does not exist"));
    assert!(refused(folder, &[".", "--out", "a.html"]).contains("no fit.json of sr-fit"));
    assert!(refused(folder, &["fit/fit.json", "--out", "a.html"]).contains("is no result of sr-evaluate --out"));
    assert!(refused(folder, &["fit", "--out", "a.html", "--seed", "1"]).contains("--seed has no effect"));
    fs::write(folder.join("fit/fit.json"), "{\"front\"").expect("written");
    assert!(refused(folder, &["fit", "--out", "a.html"]).contains("fit.json is no JSON, or is cut off"));
    assert!(!folder.join("a.html").exists());
}
