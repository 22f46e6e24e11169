//! The binary as a person or a script meets it.

use std::path::Path;
use std::process::{Command, Output};

use sr_neural::testing::untrained_checkpoint;

fn evaluate(folder: &Path, flags: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sr-evaluate")).current_dir(folder).args(flags).output().expect("started")
}

#[test]
fn rows_and_summary_agree_with_the_table() {
    let folder = tempfile::tempdir().expect("a folder");
    let flags = ["--suite", "ultra-simple", "--methods", "expert,again=expert", "--seeds", "2", "--generations", "10"];
    let output = evaluate(folder.path(), &[&flags[..], &["--out", "r.json", "--json"]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let written: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.path().join("r.json")).expect("r.json")).expect("JSON");
    assert_eq!(printed["rows"], written["rows"]);
    let rows = printed["rows"].as_array().expect("rows");
    assert_eq!(rows.len(), 2 * 5 * 2);
    // The same method under two names does the same.
    for (a, b) in rows[..10].iter().zip(&rows[10..]) {
        assert_eq!(a["expression"], b["expression"]);
    }
    let x0 = &rows[0];
    assert_eq!(
        (&x0["problem"], &x0["solved"], &x0["expression"]),
        (&"single_variable".into(), &true.into(), &"x0".into())
    );
    assert_eq!(x0["generations_to_solve"], 0);
    assert_eq!(x0["well_formed"], 0);

    let output = evaluate(folder.path(), &flags);
    let table = String::from_utf8(output.stdout).expect("text");
    assert!(table.contains("again") && table.contains("95 % interval"), "{table}");
}

#[test]
fn learners_of_all_modes_stand_in_one_table() {
    let folder = tempfile::tempdir().expect("a folder");
    ["one-step", "direct"].iter().for_each(|mode| untrained_checkpoint(&folder.path().join(mode), mode));
    let methods = "expert,step=neural:one-step,data=direct:direct,both=hybrid:one-step";
    let flags = ["--suite", "ultra-simple", "--methods", methods, "--seeds", "1", "--generations", "4", "--json"];
    let output = evaluate(folder.path(), &[&flags[..], &["--max-child-size", "7", "--neural-prob", "0.5"]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let summary = printed["summary"].as_array().expect("summary");
    assert_eq!(summary.iter().map(|s| &s["method"]).collect::<Vec<_>>(), ["expert", "step", "data", "both"]);
    assert!(summary[1..].iter().all(|s| s["well_formed"] == 1.0), "{summary:?}");
    for row in printed["rows"].as_array().expect("rows").iter().filter(|row| row["generations"] == 4) {
        assert_eq!(row["evaluations"], 77, "methods are compared at equal evaluations: {row}");
    }
}

#[test]
fn formulas_from_the_data_alone_are_judged() {
    let folder = tempfile::tempdir().expect("a folder");
    ["one-step", "direct"].iter().for_each(|mode| untrained_checkpoint(&folder.path().join(mode), mode));
    let flags = ["direct", "--checkpoint", "direct", "--suite", "ultra-simple", "--max-child-size", "5", "--seed", "3"];
    let json = |more: &[&str]| -> serde_json::Value {
        let output = evaluate(folder.path(), &[&flags[..], more, &["--json"]].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("JSON")
    };
    let (one, many) = (json(&[]), json(&["--samples", "200", "--out", "r.json"]));
    let rows = |value: &serde_json::Value| value["rows"].as_array().expect("rows").clone();
    assert_eq!((rows(&one).len(), rows(&many).len()), (5, 10));
    let greedy = rows(&many).into_iter().filter(|row| row["pick"] == "greedy").collect::<Vec<_>>();
    assert_eq!(rows(&one), greedy, "what is sampled beside it changes nothing");
    assert_eq!(rows(&many), rows(&json(&["--samples", "200", "--batch-size", "1"])), "nor do batches");
    // A constant target has no R², and so no say in the median of the others.
    let r2_of = |row: &serde_json::Value| row["r2_test"].as_f64();
    let r2: Vec<_> = greedy.iter().map(|row| (row["problem"] == "single_constant", r2_of(row).is_none())).collect();
    assert!(r2.iter().all(|(is_constant, is_null)| is_constant == is_null), "{greedy:?}");
    let mut r2: Vec<f64> = greedy.iter().filter_map(r2_of).collect();
    r2.sort_by(f64::total_cmp);
    assert_eq!(one["summary"][0]["median_r2"].as_f64(), Some((r2[1] + r2[2]) / 2.0));
    // Of 200 small formulas that an untrained model writes one is x0 itself.
    let x0 = rows(&many).into_iter().find(|row| row["problem"] == "single_variable" && row["pick"] == "best of 200");
    let x0 = x0.expect("a row");
    assert_eq!((&x0["exact"], &x0["solved"], &x0["expression"]), (&true.into(), &true.into(), &"x0".into()));
    assert_eq!((&x0["mse_train"], &x0["samples"], &x0["well_formed"]), (&0.0.into(), &200.into(), &200.into()));
    assert!(folder.path().join("r.json").exists());

    // Without replacement all formulas come at last, and no more: x0 and 1 are the only ones of one node.
    let small = ["direct", "--checkpoint", "direct", "--suite", "ultra-simple", "--max-child-size", "1", "--json"];
    let small = evaluate(folder.path(), &[&small[..], &["--samples", "9", "--distinct"]].concat());
    let row = &rows(&serde_json::from_slice(&small.stdout).expect("JSON"))[1];
    assert_eq!((&row["pick"], &row["samples"]), (&"best of 9".into(), &9.into()));
    assert_eq!((&row["well_formed"], &row["exact"]), (&2.into(), &true.into()));

    let table = evaluate(folder.path(), &[&flags[..], &["--samples", "4"]].concat());
    let table = String::from_utf8(table.stdout).expect("text");
    assert!(table.contains("best of 4") && table.contains("median R²"), "{table}");

    for (flags, expected) in [
        (&["direct", "--checkpoint", "one-step", "--suite", "simple"][..], "trained for mode one-step, not direct"),
        (&["--suite", "simple", "--methods", "a=neural:direct"], "name it a=direct:direct"),
        (&["--suite", "simple", "--methods", "a=hybrid:one-step"], "a hybrid needs --neural-prob or --neural-every"),
        (&["--suite", "simple", "--neural-every", "2"], "are for hybrids among the --methods"),
        (&["--suite", "simple", "--methods", "a=direct:one-step"], "name it a=neural:one-step"),
        (&["direct", "--checkpoint", "direct", "--suite", "simple", "--distinct"], "without --samples"),
        (&["direct", "--checkpoint", "none", "--suite", "simple"], "none"),
        (&["direct", "--checkpoint", "direct", "--suite", "none-such"], "none-such"),
    ] {
        let output = evaluate(folder.path(), flags);
        assert_eq!(output.status.code(), Some(2), "{flags:?}");
        let message = String::from_utf8(output.stderr).expect("text");
        assert!(message.contains(expected) && message.trim_end().lines().count() == 1, "{flags:?}: {message}");
    }
}

#[test]
fn bad_input_is_one_line_with_exit_code_2() {
    let folder = tempfile::tempdir().expect("a folder");
    for (flags, expected) in [
        (&["--suite", "none-such"][..], "none-such"),
        (&["--problems", "none.sr"], "none.sr"),
        (&["--suite", "simple", "--methods", "bc=neural:none"], "none"),
        (&["--suite", "simple", "--time-limit=-1"], "time-limit"),
        (&["--suite", "simple", "--distinct"], "--distinct says nothing without a learner"),
    ] {
        let output = evaluate(folder.path(), flags);
        assert_eq!(output.status.code(), Some(2), "{flags:?}");
        let message = String::from_utf8(output.stderr).expect("text");
        assert!(message.contains(expected), "{flags:?}: {message}");
    }
    let output = evaluate(folder.path(), &["--suite", "simple", "--methods", "bc=magic"]);
    assert_eq!(output.status.code(), Some(2));
}
