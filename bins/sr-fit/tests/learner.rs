//! A learner that proposes formulas: the same results whatever the threads, and a plain word where it cannot.

mod common;

use std::path::Path;

use common::{error, noisy, sr_fit, stdout, write};
use serde_json::{Value, json};
use sr_neural::testing::{untrained_checkpoint, untrained_checkpoint_of};

/// A folder with a table that has no exact formula and a model that has learned nothing but writes formulas.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    noisy(folder.path(), "t.csv");
    let language = json!({ "mode": "one-step", "actions": "edit", "constants": "placeholders" });
    untrained_checkpoint_of(&folder.path().join("model"), language);
    folder
}

fn fit(folder: &Path, more: &[&str]) -> Value {
    let args = [&["t.csv", "--target", "y", "--max-work", "4e8"], more].concat();
    let output = sr_fit(folder, &args);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let out = more.iter().skip_while(|arg| **arg != "--out").nth(1).expect("an output");
    serde_json::from_slice(&std::fs::read(folder.join(out).join("fit.json")).expect("a result")).expect("JSON")
}

const ASKED: [&str; 2] = ["--learner=model", "--learner-share=1"];

#[test]
fn the_result_depends_on_the_learner_but_not_on_threads_pauses_or_repetitions() {
    let folder = folder();
    let run = |more: &[&str]| fit(folder.path(), &[&ASKED, more].concat());
    let one = run(&["--threads", "1", "--out", "one"]);
    assert_eq!(run(&["--threads", "8", "--out", "eight"]), one);
    let asked = &one["learner"];
    assert!(asked["calls"].as_u64() > Some(0) && asked["children"].as_u64() >= Some(100), "{asked}");
    assert_eq!(one["settings"]["learner"]["share"], 1.0);
    // Asked or not is another run, which --resume does not mix up.
    let alone = fit(folder.path(), &["--out", "alone"]);
    assert_eq!((&alone["learner"], &alone["settings"]["learner"]), (&Value::Null, &Value::Null));
    let mixed = ["t.csv", "--target", "y", "--max-work", "5e8", "--out", "alone", "--resume", "--learner=model"];
    assert!(error(&sr_fit(folder.path(), &mixed)).contains("learner"));
    // The search for closed forms has the budget's half, which is why the epochs are what differs.
    let epochs = |n: &str, out: &str, more: &[&str]| {
        let args =
            [&["t.csv", "--target", "y", "--epochs", n, "--max-work", "1e9", "--out", out][..], &ASKED, more].concat();
        let output = sr_fit(folder.path(), &args);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    };
    epochs("3", "whole", &[]);
    epochs("1", "parts", &[]);
    epochs("3", "parts", &["--resume"]);
    let read = |name: &str| std::fs::read(folder.path().join(name)).expect("written");
    assert!(read("whole/fit.json") == read("parts/fit.json"));
    let replayed = sr_fit(folder.path(), &["t.csv", "--replay", "whole"]);
    assert_eq!(replayed.status.code(), Some(0), "{}", stdout(&replayed));
}

#[test]
fn a_learner_gets_the_share_of_the_work_that_it_may_take() {
    let folder = folder();
    // A call of 20 children counts as 4e7, three per cent of 1.3e9.
    let few = fit(folder.path(), &["--learner=model", "--out", "few"]);
    assert_eq!(few["learner"]["calls"], 0);
    let more = fit(folder.path(), &["--learner=model", "--learner-share", "0.5", "--out", "more"]);
    let children = more["learner"]["children"].as_u64().expect("a number");
    assert!((20..=200).contains(&children), "{children}");
}

#[test]
fn a_table_that_the_model_cannot_read_is_fitted_without_it() {
    let folder = folder();
    let names = (0..12).map(|i| format!("v{i}")).collect::<Vec<_>>().join(",");
    let row = |i: u32| (0..12).map(|v| (i * (v + 3) % 17).to_string()).collect::<Vec<_>>().join(",");
    let rows = (0..60).map(|i| format!("{},{}", row(i), 2 * (i * 3 % 17)));
    write(folder.path(), "wide.csv", std::iter::once(names + ",y").chain(rows));
    let output =
        sr_fit(folder.path(), &["wide.csv", "--target", "y", "--epochs", "0", "--learner=model", "--out", "w"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("12 variables") && said.contains("goes on without it"), "{said}");
    let result = std::fs::read_to_string(folder.path().join("w/fit.json")).expect("a result");
    assert!(!result.contains("learner"), "what it was not made with is not in the result");
}

#[test]
fn a_model_that_is_of_no_use_here_is_one_line() {
    let folder = folder();
    untrained_checkpoint(&folder.path().join("numbers"), "one-step");
    untrained_checkpoint(&folder.path().join("direct"), "direct");
    let refused =
        |more: &[&str]| error(&sr_fit(folder.path(), &[&["t.csv", "--target", "y", "--epochs", "1"], more].concat()));
    for (learner, words) in [
        ("numbers", "writes no constants"),
        ("arithmetic", "writes no constants"),
        ("direct", "of mode direct, expected one-step"),
        ("nowhere", "nowhere"),
    ] {
        let said = refused(&[&format!("--learner={learner}")]);
        assert!(said.contains(words), "{said}");
        assert!(!folder.path().join("runs/t-fit").exists(), "nothing is written: {said}");
    }
    for (flags, words) in [
        (&["--learner-share", "0.1"][..], "--learner[=<NAME|DIR>]"),
        (&["--learner=model", "--learner-share", "0"], "above 0"),
    ] {
        let output = sr_fit(folder.path(), &[&["t.csv", "--target", "y"], flags].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && said.contains(words), "{said}");
    }
    assert!(refused(&["--learner=model", "--group", "a"]).contains("--learner has no effect with --group"));
}
