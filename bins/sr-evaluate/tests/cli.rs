//! The binary as a person or a script meets it.

use std::path::Path;
use std::process::{Command, Output};

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
fn bad_input_is_one_line_with_exit_code_2() {
    let folder = tempfile::tempdir().expect("a folder");
    for (flags, expected) in [
        (&["--suite", "none-such"][..], "none-such"),
        (&["--problems", "none.sr"], "none.sr"),
        (&["--suite", "simple", "--methods", "bc=neural:none"], "none"),
        (&["--suite", "simple", "--time-limit=-1"], "time-limit"),
    ] {
        let output = evaluate(folder.path(), flags);
        assert_eq!(output.status.code(), Some(2), "{flags:?}");
        let message = String::from_utf8(output.stderr).expect("text");
        assert!(message.contains(expected), "{flags:?}: {message}");
    }
    let output = evaluate(folder.path(), &["--suite", "simple", "--methods", "bc=magic"]);
    assert_eq!(output.status.code(), Some(2));
}
