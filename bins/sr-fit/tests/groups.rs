//! One law for many groups of rows: its folder, predictions, exports and guesses.

mod common;

use std::fs;
use std::path::Path;

use common::{error, sr_fit, stdout, write};
use serde_json::Value;
use sr_expr::{Columns, Expr, Semantics, predict};

/// y = a exp(−k t): a and k of each run.
const RUNS: [(&str, f64, f64); 4] = [("a", 3.0, 0.55), ("b, 2", 1.5, 1.3), ("c", 5.0, 0.8), ("d", 2.2, 2.1)];
const FIT: [&str; 7] = ["t.csv", "--target", "y", "--group", "run", "--epochs", "1"];

fn quoted(name: &str) -> String {
    format!("\"{name}\"")
}

/// Writes a table of 80 rows without noise.
fn decays(folder: &Path) {
    let row = |i: u32| {
        let ((name, a, k), t) = (RUNS[i as usize % 4], f64::from(i / 4) / 5.0);
        format!("{},{t},{}", quoted(name), a * (-k * t).exp())
    };
    write(folder, "t.csv", std::iter::once("run,t,y".to_owned()).chain((0..80).map(row)));
    let rows = [("c", 0.25), ("a", 3.5), ("b, 2", 0.0), ("c", 1.0)].map(|(name, t)| format!("x,{t},{}", quoted(name)));
    write(folder, "new.csv", std::iter::once("note,t,run".to_owned()).chain(rows));
}

fn fit(folder: &Path, more: &[&str]) -> std::process::Output {
    sr_fit(folder, &[&FIT, more].concat())
}

fn read(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn marked(fit: &Value) -> &Value {
    &fit["front"][fit["marked"].as_u64().expect("an index") as usize]
}

/// The own constants of a group, in the order of `own_constants`.
fn constants(law: &Value, group: &str) -> Vec<f64> {
    let groups = law["groups"].as_array().expect("groups");
    let found = groups.iter().find(|found| found["group"] == group).expect("the group");
    let names = law["own_constants"].as_array().expect("names");
    names.iter().map(|name| found["constants"][name.as_str().expect("text")].as_f64().expect("a number")).collect()
}

/// What the law of a run says by itself.
fn value(law: &Value, group: &str, t: f64) -> f64 {
    let expr: Expr = law["expression"].as_str().expect("text").parse().expect("a formula");
    let row: Vec<f64> = std::iter::once(t).chain(constants(law, group)).collect();
    predict(&expr, &Columns::new(1, row.len(), row), Semantics::Ieee)[0]
}

#[test]
fn a_fit_of_groups_has_a_folder_that_is_kept_and_predicts() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    decays(at);
    let fitted = fit(at, &["--predict", "new.csv"]);
    assert_eq!(fitted.status.code(), Some(0), "{}", String::from_utf8_lossy(&fitted.stderr));
    let json: Value = serde_json::from_str(&read(at, "runs/t-fit/fit.json")).expect("JSON");
    assert_eq!((&json["format_version"], &json["settings"]["requirements"]["group"]), (&1.into(), &"run".into()));
    let law = marked(&json);
    assert_eq!((&law["exact"], law["own_constants"].as_array().map(Vec::len)), (&true.into(), Some(2)), "{law:#}");

    // The values are those of the law with the constants of the row's group, and those of the data.
    let text = stdout(&fitted);
    let values: Vec<f64> = text.lines().skip(1).map(|line| line.parse().expect("a number")).collect();
    let rows = [("c", 0.25), ("a", 3.5), ("b, 2", 0.0), ("c", 1.0)];
    assert_eq!((text.lines().next(), values.len()), (Some("y"), rows.len()));
    for (predicted, (group, t)) in values.into_iter().zip(rows) {
        let of_law = value(law, group, t);
        assert!((predicted / of_law - 1.0).abs() < 1e-12, "{group} {t}: {predicted} {of_law}");
        let (_, a, k) = RUNS.into_iter().find(|(name, ..)| *name == group).expect("the run");
        assert!((predicted / (a * (-k * t).exp()) - 1.0).abs() < 1e-6, "{group} {t}: {predicted}");
    }
    let formula = read(at, "runs/t-fit/formula.txt");
    assert_eq!(formula, format!("y = {}\n", law["formula"].as_str().expect("text")));
    let table = read(at, "runs/t-fit/constants.csv");
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!((lines[0], lines.len()), ("run,rows,c0,c1,loss", 5), "{table}");
    let of_b = constants(law, "b, 2");
    assert!(lines[2].starts_with(&format!("\"b, 2\",20,{:?},{:?},", of_b[0], of_b[1])), "{table}");
    let front = read(at, "runs/t-fit/front.csv");
    assert!(front.starts_with("size,own_constants,loss,r2,loss_held_out,exact,marked,formula,expression\n"), "{front}");
    assert_eq!(front.lines().count(), 1 + json["front"].as_array().map_or(0, Vec::len));
    assert!(at.join("runs/t-fit/fit.run.json").exists());

    // The saved run says the same, and with the columns of its formula only.
    assert_eq!(stdout(&sr_fit(at, &["runs/t-fit", "--predict", "new.csv"])), text);
    let said = stdout(&sr_fit(at, &["runs/t-fit", "--predict", "new.csv", "--predict-out", "p.csv"]));
    assert!(said.contains("y = ") && said.contains("c0"), "{said}");
    assert_eq!(read(at, "p.csv"), text);

    // Nothing replaces the folder unasked.
    let before = read(at, "runs/t-fit/fit.json");
    let said = error(&fit(at, &["--seed", "5"]));
    assert!(
        said.contains("runs/t-fit is not empty") && said.contains("--force") && !said.contains("--resume"),
        "{said}"
    );
    assert_eq!(read(at, "runs/t-fit/fit.json"), before);
    assert_eq!(fit(at, &["--out", "again", "--threads", "1"]).status.code(), Some(0));
    for name in ["fit.json", "front.csv", "formula.txt", "constants.csv"] {
        assert_eq!(read(at, &format!("again/{name}")), read(at, &format!("runs/t-fit/{name}")), "{name}");
    }
    // A fit without groups in its place leaves nothing of the groups.
    let plain = sr_fit(at, &["t.csv", "--target", "y", "--drop", "run", "--epochs", "0", "--out", "again", "--force"]);
    assert!(plain.status.code() == Some(0) && !at.join("again/constants.csv").exists());
}

#[test]
fn a_group_that_was_not_fitted_is_an_error_of_one_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    decays(at);
    write(at, "other.csv", ["run,t", "a,1", "", "west,2"].map(String::from));
    write(at, "without.csv", ["t", "1"].map(String::from));
    let unknown =
        "other.csv: row 2 (line 4), column run: \"west\" is no group of the fit, whose groups are a, b, 2, c, d";
    let said = error(&fit(at, &["--predict", "other.csv"]));
    assert!(said.contains(unknown), "{said}");
    assert!(!at.join("runs/t-fit").exists(), "that was known before the search");
    assert_eq!(fit(at, &[]).status.code(), Some(0));
    let said = error(&sr_fit(at, &["runs/t-fit", "--predict", "other.csv", "--predict-out", "p.csv"]));
    assert!(said.contains(unknown) && !at.join("p.csv").exists(), "{said}");
    let said = error(&sr_fit(at, &["runs/t-fit", "--predict", "without.csv"]));
    assert!(said.contains("without.csv: there is no column \"run\" (the groups of the formula)"), "{said}");

    // What a search of groups does not have is said.
    for (more, expected) in [
        (&["--resume"][..], "--resume has no effect with --group, whose search keeps no state to go on from"),
        (&["--validation", "new.csv"], "--validation has no effect with --group"),
    ] {
        let said = error(&fit(at, more));
        assert!(said.contains(expected), "{said}");
    }
    let said = error(&sr_fit(at, &["t.csv", "--replay", "runs/t-fit"]));
    assert!(said.contains("--replay runs/t-fit: a run with --group keeps no course"), "{said}");
    let damaged = read(at, "runs/t-fit/fit.json").replace("\"own_constants\"", "\"other\"");
    fs::write(at.join("runs/t-fit/fit.json"), damaged).expect("written");
    let said = error(&sr_fit(at, &["runs/t-fit", "--predict", "new.csv"]));
    assert!(said.contains("runs/t-fit/fit.json: ") && said.contains("has no valid groups"), "{said}");
}

#[test]
fn exports_have_a_parameter_for_each_own_constant_and_a_table_of_their_values() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    decays(at);
    assert_eq!(fit(at, &[]).status.code(), Some(0));
    let fit: Value = serde_json::from_str(&read(at, "runs/t-fit/fit.json")).expect("JSON");
    let of_c = constants(marked(&fit), "c");
    // LaTeX has whole numbers without a point.
    let number = format!("{:?}", of_c[1]).trim_end_matches(".0").to_owned();
    let export =
        |system: &str, more: &[&str]| stdout(&sr_fit(at, &[&["runs/t-fit", "--export", system], more].concat()));
    let json: Value = serde_json::from_str(&export("json", &[])).expect("JSON");
    assert_eq!(json["variables"], serde_json::json!(["t", "c0", "c1"]));
    assert_eq!(json["groups"]["values"][2], serde_json::json!({ "group": "c", "values": of_c }));
    for (system, parts) in [
        ("latex", vec!["\\begin{array}{lrr}", "\\mathrm{run} & c_{0} & c_{1}"]),
        ("sympy", vec!["  # c0, c1 by \"run\": \"a\": "]),
        ("numpy", vec!["def f(t, c0, c1):", "f_constants = {", "    \"b, 2\": ("]),
        ("rust", vec!["pub fn f(t: f64, c0: f64, c1: f64) -> f64", "pub const F_CONSTANTS: [(&str, [f64; 2]); 4]"]),
        ("c", vec!["double f(double t, double c0, double c1)", "f_constants[4] = {"]),
    ] {
        let text = export(system, &[]);
        for part in parts.into_iter().map(str::to_owned).chain([number.clone()]) {
            assert!(text.contains(&part), "{system}: {part}: {text}");
        }
    }
    // The smallest law, and parameters of its own constants only.
    let first = &fit["front"][0];
    let (size, n_own) = (first["size"].to_string(), first["own_constants"].as_array().map_or(0, Vec::len));
    let json: Value = serde_json::from_str(&export("json", &["--pick", &size])).expect("JSON");
    assert_eq!(json["variables"].as_array().map(Vec::len), Some(1 + n_own), "{json}");
    let said = error(&sr_fit(at, &["runs/t-fit", "--export", "latex", "--pick", "1"]));
    assert!(said.contains(&format!("--pick 1: the smallest formula has a size of {size}")), "{said}");
}

#[test]
fn a_guess_for_groups_has_its_constants_fitted_in_each() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    // A law that no small form is, of which a and c differ.
    let row = |i: u32| {
        let (run, t) = (i % 3, f64::from(i / 3) / 4.0);
        let [a, c] = [[2.0, 0.4], [3.5, 1.2], [0.7, 2.3]][run as usize];
        format!("{run},{t},{}", a * (1.7 * t + c).sin() * (-0.31 * t).exp())
    };
    write(at, "t.csv", std::iter::once("run,t,y".to_owned()).chain((0..75).map(row)));
    let guess = "2*sin(1.6*t + 1.1)*exp(-0.3*t)";
    let args = ["t.csv", "--target", "y", "--group", "run", "--epochs", "0", "--max-work", "1e6"];
    let output = sr_fit(at, &[&args[..], &["--guess", guess, "--json"]].concat());
    let result: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let law = marked(&result);
    assert_eq!(law["exact"], true, "{law:#}");
    let expected = 3.5 * (1.7_f64 * 0.6 + 1.2).sin() * (-0.31_f64 * 0.6).exp();
    assert!((value(law, "1", 0.6) / expected - 1.0).abs() < 1e-6, "{law:#}");
    let said = error(&fit(at, &["--guess", "q*t", "--out", "bad"]));
    assert!(said.contains("--guess \"q*t\": unknown name 'q'"), "{said}");
}
