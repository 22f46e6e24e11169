//! Tests of the binaries on few rows: their output, and their errors for bad input. Nothing depends on their speed.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("trees").join(name)
}

fn bench_eval(trees: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bench-eval")).arg(trees).args(args).output().expect("the binary runs")
}

fn lines(output: &Output) -> Vec<Value> {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout.clone()).expect("text");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn fails(output: &Output, messages: &[&str]) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(output.stdout.is_empty());
    messages.iter().for_each(|message| assert!(stderr.contains(message), "{stderr} does not say {message}"));
}

fn written(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).expect("written");
    path
}

#[test]
fn both_files_of_trees_are_right_and_measured() {
    for name in ["arith.txt", "math.txt"] {
        let lines = lines(&bench_eval(&file(name), &["--rows", "3,17", "--reps", "1", "--f64"]));
        let cases: Vec<_> = lines
            .iter()
            .map(|line| (line["rows"].as_u64().expect("rows"), line["case"].as_str().expect("case")))
            .collect();
        let names = ["stored", "compiled", "stored-f64", "compiled-f64"];
        assert_eq!(cases, [names.map(|case| (3, case)), names.map(|case| (17, case))].concat());
        for line in &lines {
            let keys: Vec<&String> = line.as_object().expect("an object").keys().collect();
            assert_eq!(keys, ["case", "node_rows_per_second", "peer", "ratio", "rows"]);
            assert!(line["node_rows_per_second"].as_f64().expect("a number") > 0.0);
            assert!(line["peer"].is_null() && line["ratio"].is_null());
        }
    }
}

#[test]
fn every_level_of_this_computer_is_right() {
    let folder = tempfile::tempdir().expect("a folder");
    let trees = written(folder.path(), "t.txt", "x0 x1 * c1.5 +\nx2 sin\n");
    for level in sr_expr::Level::ALL {
        let output = bench_eval(&trees, &["--rows", "33", "--reps", "1", "--level", level.name()]);
        if level.is_available() {
            assert_eq!(lines(&output).len(), 2);
        } else {
            fails(&output, &["this computer has no"]);
        }
    }
}

#[test]
fn the_fastest_peer_is_compared_with() {
    let folder = tempfile::tempdir().expect("a folder");
    let trees = written(folder.path(), "t.txt", "x0 x1 *\n");
    let figure = |peer: &str, mode: &str, value: f64| {
        format!(
            r#"{{"peer": "{peer}", "task": "eval_throughput", "value": {value}, "unit": "node*rows/s",
                "params": {{"set": "t", "rows": 5, "type": "f32", "mode": "{mode}"}}}}"#
        )
    };
    let figures = [
        figure("dynamic_expressions 0.10.1", "finite_check_compile_each", 2e6),
        figure("pyoperon", "gross", 1e6),
        figure("dynamic_expressions 0.10.1", "no_check_precompiled", 4e6),
    ];
    let peers = written(folder.path(), "peers.jsonl", &figures.join("\n"));
    let flags = ["--rows", "5,6", "--reps", "1", "--json-peers", peers.to_str().expect("text")];
    let lines = lines(&bench_eval(&trees, &flags));
    let peers: Vec<Option<f64>> = lines.iter().map(|line| line["peer"].as_f64()).collect();
    assert_eq!(peers, [Some(2e6), Some(4e6), None, None]);
    let ratio = lines[0]["node_rows_per_second"].as_f64().expect("a number") / 2e6;
    assert!((lines[0]["ratio"].as_f64().expect("a ratio") / ratio - 1.0).abs() < 1e-9);
}

#[test]
fn bad_input_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let bad = written(folder.path(), "bad.txt", "x0 x1 +\nx0 foo +\n");
    fails(&bench_eval(&bad, &[]), &["bad.txt, line 2: token 2 (\"foo\")"]);
    fails(&bench_eval(&written(folder.path(), "open.txt", "x0 +\n"), &[]), &["open.txt, line 1: token 2 (\"+\")"]);
    fails(&bench_eval(&written(folder.path(), "none.txt", ""), &[]), &["none.txt holds no trees"]);
    fails(&bench_eval(&folder.path().join("missing.txt"), &[]), &["missing.txt"]);
    fails(&bench_eval(&file("arith.txt"), &["--rows", "0"]), &["--rows"]);
    fails(&bench_eval(&file("arith.txt"), &["--level", "sse9"]), &["--level"]);
    let flags = ["--json-peers", bad.to_str().expect("text")];
    fails(&bench_eval(&file("arith.txt"), &flags), &["bad.txt", "measurements"]);
}

#[test]
fn peers_that_are_not_there_are_named_and_left_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let trees = written(folder.path(), "t.txt", "x0 x1 *\n");
    let record = folder.path().join("record");
    let output = Command::new(env!("CARGO_BIN_EXE_bench-peers"))
        .arg(trees)
        .args([
            "--rows",
            "5",
            "--rounds",
            "1",
            "--only",
            "evaluation",
            "--native",
            "none/native",
            "--python",
            "none/python",
        ])
        .arg("--out")
        .arg(&record)
        .output()
        .expect("the binary runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = std::fs::read_to_string(record.with_extension("md")).expect("tables");
    assert_eq!(text.as_bytes(), output.stdout);
    for peer in ["dynamic_expressions", "symbolic_regression", "pyoperon", "gplearn"] {
        assert!(text.contains(&format!("{peer}: left out")), "{text}");
    }
    let json: Value =
        serde_json::from_slice(&std::fs::read(record.with_extension("json")).expect("read")).expect("JSON");
    assert_eq!(json["bars"], Value::Array(vec![]));
    assert_eq!(json["evaluation"][0]["sides"]["sr"]["samples"].as_array().map(Vec::len), Some(1));
}
