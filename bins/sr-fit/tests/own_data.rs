//! Tables of people who are not careful: what they lose, and what they are told.

mod common;

use std::fs;

use common::{chosen, error, json, noisy, sr_fit, stdout, write};

#[test]
fn laws_have_no_constants_that_the_data_do_not_need() {
    let folder = tempfile::tempdir().expect("a folder");
    // √(h·w)/60 of 74 people to three decimals, y = E·I + S·B + L/X of 30 rows to five, and 2·x with one value that is off.
    let body = |i: u32| {
        let (h, w) = (150.0 + f64::from(i * 37 % 47), 50.0 + f64::from(i * 29 % 53));
        format!("{h},{w},{:.3}", (h * w).sqrt() / 60.0 * (1.0 + f64::from(i * 7919 % 101) / 50_000.0 - 0.001))
    };
    write(folder.path(), "body.csv", std::iter::once("h,w,y".to_owned()).chain((1..=74).map(body)));
    let names = |i: u32| {
        let value = |step: u32| 1.0 + f64::from(i * step % 31) / 16.0;
        let [e, j, s, b, l, x] = [7, 11, 13, 17, 19, 23].map(value);
        format!("{e},{j},{s},{b},{l},{x},{:.5}", e * j + s * b + l / x)
    };
    write(folder.path(), "names.csv", std::iter::once("e,i,s,b,l,x,y".to_owned()).chain((1..=30).map(names)));
    write(folder.path(), "few.csv", ["x,y", "1,2", "2,4", "3,6", "4,8", "5,10.1"].map(String::from));
    for (table, work, variables, most) in [
        ("body.csv", "3e8", vec!["h", "w"], 6),
        ("names.csv", "1e9", vec!["e", "i", "s", "b", "l", "x"], 11),
        ("few.csv", "1e8", vec!["x"], 3),
    ] {
        let result = json(folder.path(), &[table, "--target", "y", "--max-work", work]);
        let chosen = chosen(&result);
        let formula = chosen["formula"].as_str().expect("a formula");
        assert!(chosen["size"].as_u64() <= Some(most), "{table}: {chosen}");
        assert!(variables.iter().all(|name| formula.contains(name)), "{table}: {formula}");
        // Each formula is better than all smaller ones, in the error that is told.
        let errors: Vec<f64> = result["front"]
            .as_array()
            .expect("a front")
            .iter()
            .map(|formula| formula["rmse"].as_f64().expect("a number"))
            .collect();
        assert!(errors.windows(2).all(|pair| pair[1] < pair[0]), "{table}: {errors:?}");
    }
}

#[test]
fn a_result_stays_until_there_is_another_one() {
    let folder = tempfile::tempdir().expect("a folder");
    noisy(folder.path(), "t.csv");
    let quick = ["t.csv", "--target", "y", "--max-work", "1e6", "--out", "run"];
    assert_eq!(sr_fit(folder.path(), &quick).status.code(), Some(0));
    let files = || {
        let name = |entry: Result<fs::DirEntry, std::io::Error>| entry.expect("an entry").path();
        let mut all: Vec<_> = fs::read_dir(folder.path().join("run")).expect("a folder").map(name).collect();
        all.sort();
        all.into_iter().map(|path| (path.clone(), fs::read(path).expect("a file"))).collect::<Vec<_>>()
    };
    let before = files();
    for flags in [
        &["--loss", "logistic"][..],
        &["--units", "a=m,b=s,y=kg", "--epochs", "0"],
        &["--operators", "nonsense"],
        &["--group", "a"],
        &["--target", "z"],
    ] {
        let args = [&["t.csv", "--max-work", "1e6", "--out", "run", "--force"], flags].concat();
        let args = if flags[0] == "--target" { args } else { [&args[..], &["--target", "y"]].concat() };
        error(&sr_fit(folder.path(), &args));
        let left: Vec<_> = files().into_iter().filter(|(path, _)| !path.ends_with("state.partial.json")).collect();
        assert!(left == before, "{flags:?} loses nothing");
    }
    // The rules of --units left no formula, so that a state was left. It licenses no other run to replace the result, and the
    // result's own run goes on.
    assert!(folder.path().join("run/state.partial.json").exists());
    let other = ["t.csv", "--target", "y", "--max-work", "1e6", "--out", "run", "--seed", "9", "--resume"];
    assert!(error(&sr_fit(folder.path(), &other)).contains("other settings"));
    assert_eq!(sr_fit(folder.path(), &[&quick[..], &["--resume"]].concat()).status.code(), Some(0));
    assert!(!folder.path().join("run/state.partial.json").exists());
    // A result that replaces another has the bytes of one that did not.
    assert_eq!(sr_fit(folder.path(), &[&quick[..], &["--seed", "7", "--force"]].concat()).status.code(), Some(0));
    let fresh = ["t.csv", "--target", "y", "--max-work", "1e6", "--out", "fresh", "--seed", "7"];
    assert_eq!(sr_fit(folder.path(), &fresh).status.code(), Some(0));
    for name in ["fit.json", "front.csv", "formula.txt", "points.csv", "report.html", "state.json"] {
        let of = |run: &str| fs::read(folder.path().join(run).join(name)).expect(name);
        assert!(of("run") == of("fresh"), "{name}");
    }
    assert!(!folder.path().join("run/state.partial.json").exists());
}

#[test]
fn a_size_that_no_formula_has_costs_no_search() {
    let folder = tempfile::tempdir().expect("a folder");
    noisy(folder.path(), "t.csv");
    let units = ["t.csv", "--target", "y", "--units", "a=m,b=s,y=m*s", "--unit-constants", "--max-work", "1e6"];
    let output = sr_fit(folder.path(), &[&units[..], &["--complexity", "a=5,b=5,constant=4", "--pick", "1"]].concat());
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("--pick 1: the smallest formula has a size of 4, and is marked in its place"), "{told}");
    assert!(stdout(&output).contains("picked by its size of 4"), "{}", stdout(&output));
    // The sizes of the table are those of the file.
    let csv = fs::read_to_string(folder.path().join("runs/t-fit/front.csv")).expect("a front");
    assert_eq!(csv.lines().nth(1).and_then(|line| line.split(',').next()), Some("4"), "{csv}");
}

#[test]
fn rows_are_those_of_the_table_where_others_were_left_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let rows = ["x,y", "1,2", "NA,3", "3,0", "4,1", "5,7"].map(String::from);
    write(folder.path(), "t.csv", rows);
    let args = |loss| ["t.csv", "--target", "y", "--missing", "drop", "--max-work", "1e6", "--loss", loss];
    let said = error(&sr_fit(folder.path(), &args("relative")));
    assert!(said.contains("t.csv, column y: row 3: y is 0"), "{said}");
    assert_eq!(sr_fit(folder.path(), &args("mse")).status.code(), Some(0));
    let points = fs::read_to_string(folder.path().join("runs/t-fit/points.csv")).expect("points");
    let numbers: Vec<&str> = points.lines().skip(1).filter_map(|line| line.split(',').next()).collect();
    assert_eq!(numbers, ["1", "3", "4", "5"]);
    // A prediction for each row.
    let predicted = sr_fit(folder.path(), &["runs/t-fit", "--predict", "t.csv", "--missing", "drop", "--pick", "1"]);
    let lines: Vec<String> = stdout(&predicted).lines().map(str::to_owned).collect();
    assert_eq!((lines.len(), &*lines[2]), (6, "NaN"), "{lines:?}");
    // A run is repeated with what it was told of missing values, also where only the validation has some.
    write(
        folder.path(),
        "whole.csv",
        (0..20).map(|i| if i == 0 { "x,w,y".into() } else { format!("{i},{i},{}", i * i % 7) }),
    );
    write(folder.path(), "v.csv", ["x,w,y", "1,1,2", "NA,1,3", "3,0.5,1"].map(String::from));
    let run = ["whole.csv", "--target", "y", "--weights", "w", "--validation", "v.csv", "--missing", "drop"];
    assert!(sr_fit(folder.path(), &[&run[..], &["--max-work", "1e6", "--out", "r"]].concat()).status.code() < Some(2));
    let again = sr_fit(folder.path(), &["whole.csv", "--validation", "v.csv", "--replay", "r"]);
    assert_eq!(again.status.code(), Some(0), "{}", String::from_utf8_lossy(&again.stderr));
}

#[test]
fn numbers_that_hardly_differ_or_hardly_exist_have_a_page() {
    let folder = tempfile::tempdir().expect("a folder");
    for rows in [
        &["x,y", "2.6,17.900000000000002"][..],
        &["x,y", "1,0.3", "2,0.30000000000000004", "3,0.3", "4,0.3"],
        &["x,y", "1,1700000000000006", "2,1700000000000011", "3,1700000000000026", "4,1700000000000001"],
        &["x,y", "1,5e-324", "2,0", "3,1e-323"],
        &["x,y", "1,1e308", "2,-1e308", "3,1.7e308", "4,0"],
    ] {
        write(folder.path(), "t.csv", rows.iter().map(|row| (*row).to_owned()));
        let output = sr_fit(folder.path(), &["t.csv", "--target", "y", "--max-work", "1e6", "--force"]);
        assert!(output.status.code() < Some(2), "{rows:?}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(folder.path().join("runs/t-fit/report.html").exists(), "{rows:?}");
    }
}

#[test]
fn a_learner_waits_until_rules_leave_a_formula() {
    let folder = tempfile::tempdir().expect("a folder");
    noisy(folder.path(), "t.csv");
    let args = ["t.csv", "--target", "y", "--max-work", "1e6", "--units", "a=m,b=s,y=m*s", "--trace", "t.sr"];
    let output = sr_fit(folder.path(), &[&args[..], &["--learner", "--learner-share", "1"]].concat());
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() < Some(2) || told.contains("no formula that keeps the rules was found"), "{told}");
}
