//! Tables as people have them, with the right answers.

mod common;

use std::fs;

use common::{chosen, error, json, noisy, sr_fit, write};
use serde_json::Value;
use sr_expr::{Columns, Expr, Semantics, predict};

/// NIST's Misra1a: y = b1 (1 − exp(−b2 x)).
const MISRA: [(f64, f64); 14] = [
    (77.6, 10.07),
    (114.9, 14.73),
    (141.1, 17.94),
    (190.8, 23.93),
    (239.9, 29.61),
    (289.0, 35.18),
    (332.8, 40.02),
    (378.4, 44.82),
    (434.8, 50.76),
    (477.3, 55.05),
    (536.8, 61.01),
    (593.1, 66.4),
    (689.1, 75.47),
    (760.0, 81.78),
];

fn table(rows: &[&str]) -> (tempfile::TempDir, Vec<&'static str>) {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), "t.csv", rows.iter().map(|row| (*row).to_owned()));
    (folder, vec!["t.csv", "--target", "y", "--epochs", "0"])
}

fn fitted(rows: &[&str], more: &[&str]) -> Value {
    let (folder, args) = table(rows);
    json(folder.path(), &[&args, more].concat())
}

fn refused(rows: &[&str], more: &[&str]) -> String {
    let (folder, args) = table(rows);
    error(&sr_fit(folder.path(), &[&args, more].concat()))
}

/// The values of the chosen formula.
fn values<const N: usize>(result: &Value, rows: &[[f64; N]]) -> Vec<f64> {
    let expr: Expr = chosen(result)["expression"].as_str().expect("text").parse().expect("a formula");
    predict(&expr, &Columns::from_rows(rows), Semantics::Ieee)
}

#[test]
fn a_guess_has_its_constants_fitted_to_the_certified_values() {
    let rows: Vec<String> = MISRA.iter().map(|(x, y)| format!("{x},{y}")).collect();
    let rows: Vec<&str> = std::iter::once("x,y").chain(rows.iter().map(String::as_str)).collect();
    // The two starting points of NIST.
    for guess in ["500*(1 - exp(-0.0001*x))", "250*(1-exp(-0.0005*x0))"] {
        let result = fitted(&rows, &["--guess", guess, "--max-work", "1e7"]);
        let front = result["front"].as_array().expect("a list");
        let guessed = front.iter().find(|formula| formula["method"] == "guess").expect("it is on the front");
        let rss = 14.0 * guessed["mse"].as_f64().expect("a number");
        assert!((rss / 0.124_551_388_94 - 1.0).abs() < 1e-6, "{rss} {guessed}");
    }
}

#[test]
fn a_guess_that_cannot_be_made_is_an_error_before_any_work() {
    let rows = &["a,b,y", "1,2,3", "2,5,4", "3,1,9"];
    for (guess, expected) in [
        ("a*c", "--guess \"a*c\": unknown name 'c' at byte 2 of \"a*c\"; the columns are a, b"),
        ("x_4*x_67", "x67 is no column; there are 2, x0 to x1: a, b"),
        ("tanh(a)", "operator tanh is not among those of the search"),
    ] {
        let said = refused(rows, &["--guess", guess]);
        assert!(said.contains(expected), "{said}");
    }
    for guess in ["a^2", "a**2", "pow2(a)", "square(a)"] {
        let said = refused(rows, &["--operators", "+,*", "--guess", guess]);
        assert!(said.contains("is not among those of the search: + *"), "{said}");
        assert!(fitted(rows, &["--guess", guess])["front"].is_array());
    }
    let said = refused(rows, &["--guess", "a+a+a+a+a", "--max-size", "7"]);
    assert!(said.contains("has 9 nodes, expected 7 at most; raise --max-size"), "{said}");
}

#[test]
fn weights_count_rows_and_only_their_ratios_matter() {
    let constant = |weights: [&str; 2]| {
        let rows = [format!("0,{},1", weights[0]), format!("0,{},3", weights[1])];
        let result = fitted(&["x,w,y", &rows[0], &rows[1]], &["--weights", "w"]);
        values(&result, &[[0.0]])[0]
    };
    assert!((constant(["0.1", "10"]) - 2.980_198_019_801_98).abs() < 1e-12);
    assert_eq!(constant(["0.1", "10"]), constant(["0.2", "20"]));
    assert_eq!(constant(["0", "1"]), 3.0);
    assert!(refused(&["x,w,y", "0,-1,1", "1,1,3"], &["--weights", "w"]).contains("row 1 (line 2), column w"));
    assert!(refused(&["x,w,y", "0,0,1", "1,0,3"], &["--weights", "w"]).contains("column w"));
}

#[test]
fn tables_of_any_shape_are_fitted() {
    // One row, meant as a number to be explained.
    let one = fitted(&["x,y", "2,8"], &[]);
    assert_eq!((&chosen(&one)["exact"], values(&one, &[[2.0]])), (&true.into(), vec![8.0]));
    // A constant, constant columns, equal columns.
    let constant = fitted(&["x,y", "1,5", "2,5", "3,5"], &[]);
    assert_eq!(chosen(&constant)["expression"], "5.0");
    let idle = fitted(&["x,z,x2,y", "1,0,1,1", "2,0,2,4", "3,0,3,9", "4,0,4,16", "5,0,5,25"], &[]);
    assert_eq!(chosen(&idle)["formula"], "pow2(x)");
    let still = fitted(&["x,z,y", "7,0,1", "7,0,2", "7,0,4"], &[]);
    assert!((values(&still, &[[7.0, 0.0]])[0] - 7.0 / 3.0).abs() < 1e-12, "the mean is all there is");
    let truth = fitted(&["x,y", "true,3", "false,1", "true,3", "false,1"], &[]);
    assert_eq!(values(&truth, &[[1.0], [0.0]]), [3.0, 1.0]);
    // More columns than rows.
    let header: Vec<String> = (0..200).map(|column| format!("c{column}")).chain(["y".into()]).collect();
    let row = |row: u32| {
        let values = (0..200).map(|column| ((row * 7919 + column * 104_729) % 1009).to_string());
        values.chain([(2 * ((row * 7919 + 7 * 104_729) % 1009)).to_string()]).collect::<Vec<_>>().join(",")
    };
    let rows: Vec<String> = std::iter::once(header.join(",")).chain((0..20).map(row)).collect();
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    let wide = fitted(&rows, &["--max-work", "2e8"]);
    assert_eq!(chosen(&wide)["exact"], true, "{}", chosen(&wide));
}

#[test]
fn a_table_of_too_many_columns_is_refused() {
    let header: Vec<String> = (0..65_536).map(|column| format!("c{column}")).collect();
    let row = vec!["1"; 65_537].join(",");
    let said = refused(&[&(header.join(",") + ",y"), &row], &[]);
    assert!(said.contains("65536 columns beside the target, expected 1 to 65535"), "{said}");
}

#[test]
fn magnitudes_of_all_kinds_are_fitted() {
    let powers = |scale: f64| -> Vec<String> {
        (1..=12).map(f64::from).map(|x| format!("{x},{:?}", scale * x * x)).collect()
    };
    for scale in [1e-300, 1.0, 1e6, 3e250] {
        let rows = powers(scale);
        let rows: Vec<&str> = std::iter::once("x,y").chain(rows.iter().map(String::as_str)).collect();
        let result = fitted(&rows, &[]);
        let value = values(&result, &[[20.0]])[0];
        assert!(chosen(&result)["exact"] == true && (value / (400.0 * scale) - 1.0).abs() < 1e-9, "{scale}: {value}");
    }
    // y = x² in the millions, and a column of times near each other.
    let squares: Vec<String> = (10..30).map(|i| format!("{},{}", 100 * i, 10_000 * i * i)).collect();
    let squares: Vec<&str> = std::iter::once("x,y").chain(squares.iter().map(String::as_str)).collect();
    assert_eq!(chosen(&fitted(&squares, &[]))["formula"], "pow2(x)");
    let times: Vec<String> = (0..10).map(|i| format!("{},{i}", 1_700_000_000 + i)).collect();
    let times: Vec<&str> = std::iter::once("t,y").chain(times.iter().map(String::as_str)).collect();
    let result = fitted(&times, &[]);
    assert_eq!((values(&result, &[[1_700_000_004.0]]), &chosen(&result)["exact"]), (vec![4.0], &true.into()));
}

#[test]
fn cells_that_are_no_numbers_are_named_or_left_out_and_counted() {
    for (cell, expected) in [
        ("nan", "row 2 (line 3), column x"),
        ("inf", "row 2 (line 3), column x: \"inf\" is not a finite number"),
        ("", "row 2 (line 3), column x"),
        ("NA", "row 2 (line 3), column x"),
        ("-", "row 2 (line 3), column x"),
        ("hello", "row 2 (line 3), column x: \"hello\" is not a finite number"),
        ("2024-05-01", "row 2 (line 3), column x: \"2024-05-01\" is not a finite number"),
    ] {
        let row = format!("{cell},5");
        let said = refused(&["x,y", "1,2", &row, "4,8", "5,10"], &[]);
        assert!(said.contains("t.csv") && said.contains(expected), "{said}");
    }
    let result = fitted(&["x,y", "1,2", ",5", "NA,5", "4,8", "5,10"], &["--missing", "drop"]);
    assert_eq!((&result["table"]["rows"], &result["table"]["dropped_rows"]), (&3.into(), &2.into()));
    assert!(refused(&["y", "1", "2"], &[]).contains("0 columns beside the target"));
    assert!(refused(&["x,y"], &[]).contains("no rows of data"));
    assert!(refused(&["x,x,y", "1,5,6", "2,7,9"], &[]).contains("x"));
    // A column that is no variable may hold anything.
    assert!(fitted(&["x,note,y", "1,abc,2", "2,,4", "3,1,6"], &["--drop", "note"])["front"].is_array());
}

#[test]
fn sizes_stay_below_the_largest_and_constants_are_folded() {
    let folder = tempfile::tempdir().expect("a folder");
    noisy(folder.path(), "t.csv");
    let result = json(
        folder.path(),
        &["t.csv", "--target", "y", "--epochs", "3", "--max-work", "2e8", "--max-size", "9", "--operators", "+,*,log"],
    );
    for formula in result["front"].as_array().expect("a list") {
        let expr: Expr = formula["expression"].as_str().expect("text").parse().expect("a formula");
        assert_eq!(formula["size"], expr.size());
        if formula["method"] == "evolution" {
            assert!(expr.size() <= 9, "{formula}");
        }
        // A part without a variable is a constant alone.
        for node in 0..expr.size() {
            let part = expr.subtree(node);
            assert!(part.size() == 1 || part.n_variables() > 0, "{formula}");
        }
    }
}

#[test]
fn budgets_and_flags_out_of_range_are_one_line() {
    for (args, expected) in [
        (&["--memory", "1"][..], "16..=1048576"),
        (&["--max-work", "0"], "expected a whole number above 0"),
        (&["--max-work", "1.5"], "expected a whole number above 0"),
        (&["--predict-out", "p.csv"], "--predict <FILE>"),
        (&["--predict", "nowhere.csv"], "nowhere.csv"),
    ] {
        let (folder, table) = table(&["x,y", "1,2", "2,4"]);
        let output = sr_fit(folder.path(), &[&table, args].concat());
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && stderr.contains(expected), "{args:?}: {stderr}");
        assert!(fs::read_dir(folder.path()).expect("listed").count() == 1, "nothing was made: {args:?}");
    }
    let (folder, _) = table(&["x,y", "1,2", "2,4"]);
    assert!(error(&sr_fit(folder.path(), &["t.csv"])).contains("--target COL is missing"));
}
