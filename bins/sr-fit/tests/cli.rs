//! Runs the binary as people do.

mod common;

use std::path::{Path, PathBuf};

use common::{chosen, json, sr_fit, write};
use serde_json::Value;

fn planets() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/tables/planets.csv")
}

#[test]
fn keplers_law_is_found_from_the_planets() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = planets();
    let found = json(folder.path(), &[file.to_str().expect("UTF-8"), "--target", "period", "--epochs", "1"]);
    let chosen = chosen(&found);
    // The periods have a few digits, so that no formula is exact.
    let formula = chosen["formula"].as_str().expect("text");
    assert!(chosen["size"].as_u64() <= Some(6) && chosen["exact"] == false, "{chosen:#}");
    let at = |a: f64| {
        let expr: sr_expr::Expr = chosen["expression"].as_str().expect("text").parse().expect("a formula");
        sr_expr::predict(&expr, &sr_expr::Columns::from_rows(&[[a]]), sr_expr::Semantics::Ieee)[0]
    };
    assert!((at(4.0) / at(1.0) - 8.0).abs() < 1e-9 && (at(1.0) - 365.25).abs() < 0.5, "{formula}");
}

#[test]
fn the_same_epochs_give_the_same_result_with_any_number_of_threads() {
    let folder = tempfile::tempdir().expect("a folder");
    // Noise, so that no formula is exact.
    let noise = |i: i32| f64::from(i * 7919 % 101) / 1010.0;
    let row = |i: i32| format!("{},{}", f64::from(i) / 10.0, (f64::from(i) / 10.0).sin() + noise(i));
    write(folder.path(), "noisy.csv", std::iter::once("t,y".into()).chain((0..80).map(row)));
    let args = |threads| ["noisy.csv", "--target", "y", "--epochs", "2", "--max-work", "4e8", "--threads", threads];
    let mut results = ["1", "2", "8"].map(|threads| json(folder.path(), &args(threads)));
    results.iter_mut().for_each(|result| result["seconds"] = Value::Null);
    assert_eq!(results[0], results[1]);
    assert_eq!(results[0], results[2]);
    assert_eq!((&results[0]["epochs"], &results[0]["held_out_rows"]), (&2.into(), &16.into()));
    assert_ne!(results[0]["reason"], "exact");
}

#[test]
fn nothing_better_than_the_mean_is_told_by_the_exit_code() {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), "constant.csv", std::iter::once("x,y".into()).chain((0..9).map(|i| format!("{i},5"))));
    let output = sr_fit(folder.path(), &["constant.csv", "--target", "y"]);
    assert_eq!(output.status.code(), Some(0), "a constant is exact");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(text.contains("y = 5"), "{text}");
}

#[test]
fn a_formula_is_picked_by_size_and_exported() {
    let folder = tempfile::tempdir().expect("a folder");
    write(
        folder.path(),
        "t.csv",
        std::iter::once("a,b,y".into()).chain((1..30).map(|i| format!("{i},{},{}", i * i % 7, 3 * i + i * i % 7))),
    );
    let text = |args: &[&str]| {
        String::from_utf8(sr_fit(folder.path(), &[&["t.csv", "--target", "y", "--force"], args].concat()).stdout)
            .expect("UTF-8")
    };
    assert!(text(&[]).contains("the smallest that is exact on all rows"), "{}", text(&[]));
    assert!(text(&["--pick", "1"]).contains("picked by its size of 1 node"), "{}", text(&["--pick", "1"]));
    let latex = text(&["--export", "latex"]);
    assert!(latex.contains('a') && latex.contains('b') && !latex.contains("error"), "{latex}");
    let output = sr_fit(folder.path(), &["t.csv", "--target", "y", "--pick", "0", "--force"]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn bad_input_is_one_clear_line() {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), "t.csv", ["x,y", "1,2", "a,3"].map(String::from));
    for (args, words) in [
        (&["nowhere.csv", "--target", "y"][..], "nowhere.csv"),
        (&["t.csv", "--target", "z"], "z"),
        (&["t.csv", "--target", "y"], "column x"),
        (&["t.csv", "--target", "y", "--time-limit", "0"], "above 0"),
        (&["t.csv", "--target", "y", "--operators", "foo"], "foo"),
    ] {
        let output = sr_fit(folder.path(), args);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {stderr}");
        assert!(stderr.contains(words), "{args:?}: {stderr}");
    }
}
