//! What a fit may be asked for: losses, standard errors, units, groups and rules.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use sr_expr::rules::{Complexity, Nesting, Rules};
use sr_expr::units::{ConstantUnits, check};
use sr_expr::{Columns, Expr, Op, Semantics};

fn sr_fit(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sr-fit")).current_dir(folder).args(args).output().expect("sr-fit runs")
}

fn json(folder: &Path, args: &[&str]) -> Value {
    let output = sr_fit(folder, &[args, &["--json", "--force"]].concat());
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {stderr}"))
}

/// The error message of a fit that is refused, which is one line.
fn refused(folder: &Path, args: &[&str]) -> String {
    let output = sr_fit(folder, &[args, &["--force"]].concat());
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{args:?}: {stderr}");
    stderr
}

fn write(folder: &Path, name: &str, header: &str, rows: impl Iterator<Item = String>) {
    let text: Vec<String> = std::iter::once(header.to_owned()).chain(rows).collect();
    fs::write(folder.join(name), text.join("\n") + "\n").expect("written");
}

fn noise(i: i32) -> f64 {
    f64::from(i * 7919 % 101) / 50.0 - 1.0
}

fn expressions(found: &Value) -> Vec<Expr> {
    let front = found["front"].as_array().expect("a front");
    front.iter().map(|formula| formula["expression"].as_str().expect("text").parse().expect("a formula")).collect()
}

fn chosen(found: &Value) -> &Value {
    &found["front"][found["chosen"].as_u64().expect("an index") as usize]
}

fn at(formula: &Value, x: f64) -> f64 {
    let expr: Expr = formula["expression"].as_str().expect("text").parse().expect("a formula");
    sr_expr::predict(&expr, &Columns::from_rows(&[[x]]), Semantics::Ieee)[0]
}

#[test]
fn absolute_errors_find_the_line_beside_outliers_and_say_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let row = |i: i32| {
        let x = f64::from(i) / 7.0;
        format!("{x},{}", 2.0 * x + 1.0 + 0.01 * noise(i) + if i % 6 == 1 { 40.0 } else { 0.0 })
    };
    write(folder.path(), "t.csv", "x,y", (0..50).map(row));
    let run = |loss: &str| {
        json(folder.path(), &["t.csv", "--target", "y", "--loss", loss, "--epochs", "1", "--max-size", "8"])
    };
    for loss in ["mae", "huber:0.05", "huber"] {
        let found = run(loss);
        let line = found["front"]
            .as_array()
            .expect("a front")
            .iter()
            .find(|formula| (at(formula, 3.0) - 7.0).abs() < 0.2 && (at(formula, 0.0) - 1.0).abs() < 0.2)
            .unwrap_or_else(|| panic!("{loss}: {:#}", found["front"]));
        assert!(line["size"].as_u64() <= Some(5), "{line:#}");
        let name = found["loss"].as_str().expect("a name");
        assert!(name == loss || name.starts_with("huber:"), "{name}");
        let [least, mean] = [chosen(&found), &found["mean"]].map(|formula| formula["loss"].as_f64().expect("a loss"));
        assert!(least < mean && chosen(&found)["r2"].as_f64() > Some(0.0), "{found:#}");
    }
    let squares = run("mse");
    assert!((at(&squares["linear"], 0.0) - 1.0).abs() > 2.0, "the outliers draw the line of least squares");
    let text = sr_fit(folder.path(), &["t.csv", "--target", "y", "--loss", "mae", "--epochs", "0", "--force"]).stdout;
    let text = String::from_utf8(text).expect("UTF-8");
    assert!(text.contains("mae") && text.contains("D²") && text.contains("loss mae, lower is better"), "{text}");
}

#[test]
fn relative_and_logistic_losses_name_rows_that_they_cannot_use() {
    let folder = tempfile::tempdir().expect("a folder");
    // A power over six decades; squares see the last rows only.
    let row = |i: i32| {
        let x = 1.3_f64.powi(i);
        format!("{x},{}", 3.0 * x * x * (1.0 + 0.01 * noise(i)) + 5.0 * x)
    };
    write(folder.path(), "t.csv", "x,y", (0..50).map(row));
    let found = json(folder.path(), &["t.csv", "--target", "y", "--loss", "relative", "--epochs", "1"]);
    assert!(chosen(&found)["loss"].as_f64() < Some(1e-3), "{:#}", chosen(&found));
    assert!((at(chosen(&found), 1.0) / 8.0 - 1.0).abs() < 0.03, "{:#}", chosen(&found));
    write(folder.path(), "zero.csv", "x,y", ["1,2", "2,0", "3,1"].map(String::from).into_iter());
    let message = refused(folder.path(), &["zero.csv", "--target", "y", "--loss", "relative"]);
    assert!(message.contains("row 2: y is 0"), "{message}");

    // Odds of exp(4 − 2 x).
    let row = |i: i32| {
        let x = f64::from(i) / 20.0;
        let probability = 1.0 / (1.0 + (2.0 * x - 4.0).exp());
        format!("{x},{}", u8::from((noise(i) + 1.0) / 2.0 < probability))
    };
    write(folder.path(), "odds.csv", "x,y", (0..80).map(row));
    let found = json(folder.path(), &["odds.csv", "--target", "y", "--loss", "logistic", "--epochs", "1"]);
    let (low, high) = (at(chosen(&found), 0.5), at(chosen(&found), 3.5));
    assert!(low > 1.0 && high < -1.0, "{:#}", chosen(&found));
    assert_eq!(chosen(&found)["exact"], false);
    let message = refused(folder.path(), &["zero.csv", "--target", "y", "--loss", "logistic"]);
    assert!(message.contains("row 1: y is 2; the loss logistic needs 0 and 1"), "{message}");
    let message = refused(folder.path(), &["zero.csv", "--target", "y", "--loss", "rmse"]);
    assert!(message.contains("expected mse, mae, huber"), "{message}");
}

#[test]
fn rows_with_large_standard_errors_hardly_count() {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), "t.csv", "x,s,y", ["0,1,1", "0,0.1,3", "0,1000,500"].map(String::from).into_iter());
    let found = json(folder.path(), &["t.csv", "--target", "y", "--sigma", "s", "--epochs", "0"]);
    // (1 · 1 + 100 · 3 + 1e-6 · 500) / (1 + 100 + 1e-6)
    assert!((at(&found["mean"], 0.0) - 301.0005 / 101.000001).abs() < 1e-9, "{:#}", found["mean"]);
    assert_eq!((&found["table"]["sigma"], &found["table"]["variables"]), (&"s".into(), &vec!["x"].into()));
    write(folder.path(), "bad.csv", "x,s,y", ["1,1,1", "2,0,3"].map(String::from).into_iter());
    let message = refused(folder.path(), &["bad.csv", "--target", "y", "--sigma", "s"]);
    assert!(message.contains("row 2 (line 3), column s: \"0\" is no standard error"), "{message}");
}

#[test]
fn only_formulas_with_the_unit_of_the_target_are_in_the_front() {
    let folder = tempfile::tempdir().expect("a folder");
    let row = |i: i32| {
        let (d, t) = (1.0 + f64::from(i * 7 % 40), 2.0 + f64::from(i * 3 % 17));
        format!("{d},{t},{}", d / t * (1.0 + 0.02 * noise(i)))
    };
    write(folder.path(), "t.csv", "distance [km],time [s],speed [m/s]", (0..60).map(row));
    let target = ["t.csv", "--target", "speed [m/s]", "--epochs", "1"];
    let units = ["m", "s"].map(|unit| unit.parse().expect("a unit"));
    let speed = "m/s".parse().expect("a unit");
    let given = "distance [km]=m,time [s]=s,speed [m/s]=m/s";
    for (flags, constants) in [
        (&["--units", "header"][..], ConstantUnits::Dimensionless),
        (&["--units", given], ConstantUnits::Dimensionless),
        (&["--units", "header", "--unit-constants"], ConstantUnits::Free),
    ] {
        let found = json(folder.path(), &[&target[..], flags].concat());
        for expr in expressions(&found) {
            let unit = check(&expr, &units, constants);
            assert!(unit.is_some_and(|unit| unit.may_be(&speed)), "{expr} with {flags:?}");
        }
        let formula = chosen(&found)["expression"].as_str().expect("text");
        assert!(formula.contains('/') || formula.contains("inv"), "{formula}");
    }
    // No formula of a mass has the unit of a speed.
    write(folder.path(), "mass.csv", "m,v", (1..20).map(|i| format!("{i},{}", i * i)));
    let message = refused(folder.path(), &["mass.csv", "--target", "v", "--epochs", "0", "--units", "m=kg,v=m/s"]);
    assert!(
        message.contains("no formula that keeps the rules was found") && message.contains("--unit-constants"),
        "{message}"
    );
    let message = refused(folder.path(), &["mass.csv", "--target", "v", "--units", "m=kg"]);
    assert!(message.contains("no unit is given for \"v\""), "{message}");
    let message = refused(folder.path(), &["mass.csv", "--target", "v", "--units", "m=kg,v=m/s,t=s"]);
    assert!(message.contains("there is no column \"t\"") && message.contains("m, v"), "{message}");
    assert!(refused(folder.path(), &["mass.csv", "--target", "v", "--unit-constants"]).contains("--units"));
}

#[test]
fn rules_hold_for_every_formula_of_a_whole_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let row = |i: i32| {
        let (a, b) = (f64::from(i) / 11.0, f64::from(i * 13 % 29) / 9.0);
        format!("{a},{b},{}", (2.1 * a).sin() * (0.4 * b).exp() + 0.3 * (a + b).sqrt() + 0.01 * noise(i))
    };
    write(folder.path(), "t.csv", "a,b,y", (1..90).map(row));
    let base = ["t.csv", "--target", "y", "--epochs", "2"];
    let rules = [
        (
            &["--nesting", "sin:exp=0,exp:sin=0,*:*=1"][..],
            Rules {
                nesting: vec![
                    Nesting { outer: Op::Sin, inner: Op::Exp, most: 0 },
                    Nesting { outer: Op::Exp, inner: Op::Sin, most: 0 },
                    Nesting { outer: Op::Mul, inner: Op::Mul, most: 1 },
                ],
                ..Rules::default()
            },
        ),
        (&["--max-depth", "3"], Rules { max_depth: Some(3), ..Rules::default() }),
        (&["--max-constants", "1"], Rules { max_constants: Some(1), ..Rules::default() }),
    ];
    for (flags, rules) in rules {
        let found = json(folder.path(), &[&base[..], flags].concat());
        let front = expressions(&found);
        assert!(front.len() > 2, "{flags:?}: {:#}", found["front"]);
        for expr in front {
            assert!(rules.allow(&expr), "{expr} breaks {flags:?}");
        }
    }
    let complexity = Complexity { operators: vec![(Op::Sin, 4)], variables: vec![(1, 3)], constant: Some(2) };
    let found = json(folder.path(), &[&base[..], &["--complexity", "sin=4,b=3,constant=2"]].concat());
    for (expr, formula) in expressions(&found).iter().zip(found["front"].as_array().expect("a front")) {
        assert_eq!(formula["size"].as_u64(), Some(complexity.of(expr) as u64), "{expr}");
    }
    for (flags, words) in [
        (["--nesting", "sin:foo=1"], "\"foo\" is no operator"),
        (["--complexity", "foo=1"], "foo is no operator, no column"),
        (["--max-depth", "deep"], "--max-depth"),
    ] {
        let message = refused(folder.path(), &[&base[..], &flags].concat());
        assert!(message.contains(words) && message.contains(flags[0]), "{message}");
    }
}

#[test]
fn one_law_for_many_groups_has_a_table_of_their_constants() {
    let folder = tempfile::tempdir().expect("a folder");
    let runs = [("a", 3.0, 0.55), ("b", 1.5, 1.3), ("c", 5.0, 0.8), ("d", 2.2, 2.1)];
    let row = |i: i32| {
        let ((name, a, k), t) = (runs[i as usize % 4], f64::from(i / 4) / 5.0);
        format!("{name},{t},{}", a * (-k * t).exp())
    };
    write(folder.path(), "t.csv", "run,t,y", (0..80).map(row));
    let args = ["t.csv", "--target", "y", "--group", "run", "--epochs", "4"];
    let found = json(folder.path(), &args);
    let law = chosen(&found);
    assert_eq!((law["exact"].as_bool(), found["held_out_rows"].as_u64()), (Some(true), Some(16)), "{law:#}");
    assert_eq!(law["groups"].as_array().map(Vec::len), Some(4));
    assert_eq!(law["own_constants"].as_array().map(Vec::len), Some(2), "{law:#}");
    assert_eq!((&law["groups"][1]["group"], &law["groups"][1]["rows"]), (&"b".into(), &20.into()));
    let text = String::from_utf8(sr_fit(folder.path(), &[&args[..], &["--force"]].concat()).stdout).expect("UTF-8");
    assert!(text.contains("4 groups by run") && text.contains("c0") && text.contains("c1"), "{text}");
    write(folder.path(), "one.csv", "run,t,y", (0..9).map(|i| format!("a,{i},{i}")));
    let message = refused(folder.path(), &["one.csv", "--target", "y", "--group", "run"]);
    assert!(message.contains("all rows are of the group \"a\""), "{message}");
    let message = refused(folder.path(), &["one.csv", "--target", "y", "--group", "lot"]);
    assert!(message.contains("\"lot\" (the groups)"), "{message}");
}
