//! What users of such programs have reported, as inputs with right values.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use sr_expr::Op;
use sr_testing::{fails, signal, succeeds};

fn search(folder: &Path, flags: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sr-search"));
    command.current_dir(folder).args(flags);
    command
}

/// A folder with `mine.sr`, a table of one's own.
fn own(rows: &str, operators: &[Op], constants: &[f64]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let table = folder.path().join("mine.csv");
    fs::write(&table, rows).expect("written");
    let (operators, constants) = (operators.to_vec(), constants.to_vec());
    let options = sr_problems::TableOptions { operators, constants, ..sr_problems::TableOptions::new("y") };
    let table = sr_problems::from_table(&table, &options).expect("a table");
    table.set.write(folder.path().join("mine.sr")).expect("written");
    folder
}

fn run(folder: &Path, flags: &[&str]) -> Output {
    succeeds(&mut search(folder, &[&["--problems", "mine.sr", "--out", "o.t", "--force"], flags].concat()))
}

/// The JSON of a search of `mine.sr`.
fn json(folder: &Path, flags: &[&str]) -> Value {
    serde_json::from_slice(&run(folder, &[flags, &["--json"]].concat()).stdout).expect("JSON on stdout, and no more")
}

/// The text of a search of `mine.sr`.
fn text(folder: &Path, flags: &[&str]) -> String {
    String::from_utf8(run(folder, flags).stdout).expect("UTF-8")
}

/// All expressions of the trace.
fn expressions(folder: &Path) -> Vec<sr_expr::Expr> {
    let reader = sr_trace::TraceReader::open(folder.join("o.t")).expect("a trace");
    let trajectories = reader.map(|trajectory| trajectory.expect("whole"));
    let expressions = trajectories.flat_map(|trajectory| {
        let generations = trajectory.generations.iter();
        generations
            .flat_map(|generation| generation.individuals().map(|i| i.expr.into()).collect::<Vec<_>>())
            .collect::<Vec<_>>()
    });
    expressions.collect()
}

const SQUARES: &str = "x,y\n1,1\n2,4\n3,9\n4,16\n5,25\n";

/// gplearn#107, #230: the best of the run, not of its last generation.
#[test]
fn without_elitism_the_winner_is_the_best_of_all_generations() {
    let rows: String = (1..40).map(|x| format!("{x},{}\n", f64::from(x).sqrt().sin())).collect();
    let folder = own(&format!("x,y\n{rows}"), &[Op::Add, Op::Mul, Op::Sin], &[1.0]);
    for seed in ["1", "2", "3", "4"] {
        let flags = ["--elitism", "0", "--seed", seed, "--parsimony", "0", "--unique=false"];
        let found = json(folder.path(), &flags)["results"][0].clone();
        let reader = sr_trace::TraceReader::open(folder.path().join("o.t")).expect("a trace");
        let trajectory = reader.last().expect("a record").expect("whole");
        let least = trajectory.generations.iter().flat_map(|g| g.individuals().map(|i| i.mse).collect::<Vec<_>>());
        let least = trajectory.mse(least.fold(f32::INFINITY, f32::min));
        let mse = found["mse"].as_f64().expect("a number");
        assert!((mse / least - 1.0).abs() < 1e-6, "seed {seed}: {mse} and {least}");
    }
}

/// gplearn#66: "no constants" gave constants.
#[test]
fn no_constants_are_none() {
    let folder = own("x,y\n1,2\n2,4\n3,6\n", &[Op::Add, Op::Mul], &[]);
    assert_eq!(json(folder.path(), &[])["results"][0]["formula"], "(x + x)");
    let has_constant = |expr: &sr_expr::Expr| expr.nodes().iter().any(|node| matches!(node, sr_expr::Node::Const(_)));
    let all = expressions(folder.path());
    assert!(all.len() > 500 && !all.iter().any(has_constant));
}

/// darioizzo/dcgp#84: five and more constants crashed.
#[test]
fn any_number_of_constants_is_searched_with() {
    for n in [1, 5, 64, 65, 1000] {
        let constants: Vec<f64> = (0..n).map(|i| 0.5 + f64::from(i)).collect();
        let folder = own(SQUARES, &[Op::Add, Op::Mul], &constants);
        assert_eq!(json(folder.path(), &["--population-size", "50"])["results"][0]["solved"], true, "{n}");
        // Where no expression comes twice, a population may be short of some.
        assert!(expressions(folder.path()).len() > 2000, "{n}");
    }
    let folder = own(SQUARES, &[Op::Add, Op::Mul], &[1.0]);
    for (constants, refused) in [("1,1,-0.0", false), ("1e400", true), ("1e-400", true), ("nan", true)] {
        let mut command =
            search(folder.path(), &["--problems", "mine.sr", "--out", "c.t", "--force", "--constants", constants]);
        match refused {
            true => assert!(fails(&mut command).contains(&format!("constant \"{constants}\"")), "{constants}"),
            false => drop(succeeds(&mut command)),
        }
    }
}

/// hal-cgp#246, DEAP#146: tournaments larger than the population, sizes that four does not divide.
#[test]
fn a_population_has_room_for_a_tournament() {
    let folder = own(SQUARES, &[Op::Add, Op::Mul], &[1.0]);
    let small = |n: &str| search(folder.path(), &["--problems", "mine.sr", "--out", "p.t", "--population-size", n]);
    assert!(fails(&mut small("2")).contains("--tournament-size 3 is more than the 2 individuals of --population-size"));
    assert!(fails(&mut small("1")).contains("--population-size must be"));
    assert!(fails(&mut small("0")).contains("--population-size must be"));
    for n in ["3", "5"] {
        assert_eq!(json(folder.path(), &["--population-size", n])["results"][0]["generations"], 50);
    }
    assert_eq!(json(folder.path(), &["--population-size", "2", "--tournament-size", "2"])["searches"], 1);
}

/// operon#15, dataxid#171, SR.jl#191: constant targets, columns of zeros, nothing but constants, one and two rows.
#[test]
fn data_that_hardly_vary_are_searched() {
    let ones: String = (0..100).map(|i| format!("{},{},1\n", i % 7, i * i % 11)).collect();
    for (rows, expected) in [
        (format!("a,b,y\n{ones}"), "1.0"),
        ("x,z,y\n1,0,1\n2,0,4\n3,0,9\n".to_owned(), "(x * x)"),
        ("a,b,y\n3,0,9\n3,0,9\n3,0,9\n".to_owned(), "(a * a)"),
        ("x,y\n2,8\n5,125\n".to_owned(), ""),
    ] {
        let folder = own(&rows, &[Op::Add, Op::Mul], &[1.0]);
        let found = json(folder.path(), &["--population-size", "100"])["results"][0].clone();
        assert_eq!((&found["solved"], &found["mse"]), (&true.into(), &0.0.into()), "{rows}: {found}");
        assert!(expected.is_empty() || found["formula"] == expected, "{found}");
        // There is no R² of a y that does not vary.
        assert_eq!(
            found["r2"].is_null(),
            rows.ends_with(",1\n") || rows.ends_with(",9\n") && rows.starts_with('a'),
            "{found}"
        );
    }
    let folder = own("x,y\n1000,5000000\n2000,5000000\n3000,5000000\n", &[Op::Add, Op::Mul], &[]);
    let told = text(folder.path(), &["--generations", "5"]);
    assert!(told.contains("of a y that does not vary over all rows") && !told.contains("R²"), "{told}");
}

/// Squares beyond the numbers there are.
#[test]
fn errors_of_any_magnitude_are_told() {
    let tiny = own("x,y\n1e-200,3e-200\n2e-200,1e-200\n3e-200,7e-200\n4e-200,2e-200\n", &[Op::Add], &[]);
    let flags = ["--generations", "3", "--max-size", "1"];
    assert!(text(tiny.path(), &flags).contains("RMSE 2.500e-200, R² -0.204819"), "{}", text(tiny.path(), &flags));
    let found = json(tiny.path(), &flags)["results"][0].clone();
    let rmse = found["rmse"].as_f64().expect("a number");
    assert!(found["mse"].as_f64() > Some(0.0) && (rmse / 2.5e-200 - 1.0).abs() < 1e-12, "{found}");
    let huge = own("x,y\n1e300,-1e300\n-1e300,1e300\n", &[Op::Add], &[]);
    assert!(text(huge.path(), &flags).contains("RMSE 2.000e300, R² -3.000000"), "{}", text(huge.path(), &flags));
}

/// P1 where the rows that are right are much larger than those that are wrong.
#[test]
fn what_is_right_on_the_largest_rows_alone_is_not_solved() {
    let wrong: String = (1..=5).map(|x| format!("{x},7\n")).collect();
    let right: String = (1..=5_i64).map(|x| format!("{},{}\n", 10_000 * x, 100_000_000 * x * x)).collect();
    let folder = own(&format!("x,y\n{wrong}{right}"), &[Op::Add, Op::Mul], &[1.0]);
    let told = text(folder.path(), &["--seed", "1"]);
    assert!(told.contains("not solved") && told.contains(": 0 solved;"), "{told}");
}

/// PySR#3, #22: one column, many columns, many rows.
#[test]
fn tables_of_all_shapes_are_searched() {
    let header: String = (0..200).map(|i| format!("c{i},")).collect();
    let rows: String = (0..20)
        .map(|row| {
            (0..200).map(|c| format!("{},", (row * 31 + c * 17) % 97)).collect::<String>()
                + &format!("{}\n", (row * 31 + 5 * 17) % 97)
        })
        .collect();
    let folder = own(&format!("{header}y\n{rows}"), &[Op::Add, Op::Mul], &[1.0]);
    assert_eq!(json(folder.path(), &["--population-size", "300"])["results"][0]["solved"], true);
    let rows: String =
        (0..300_000_u64).map(|i| format!("{},{},{}\n", i % 1009, i % 31, (i % 1009) * (i % 31))).collect();
    let folder = own(&format!("a,b,y\n{rows}"), &[Op::Add, Op::Mul], &[1.0]);
    let found = json(folder.path(), &["--generations", "5", "--population-size", "100"])["results"][0].clone();
    assert_eq!((&found["formula"], &found["solved"]), (&"(a * b)".into(), &true.into()), "{found}");
}

/// pySRURGS#1: on y = x + 1 a nonsensical formula was printed as right.
#[test]
fn the_printed_formula_is_the_one_that_fits() {
    let folder = own("x,y\n1,2\n2,3\n3,4\n4,5\n5,6\n6,7\n", &[Op::Add, Op::Sub, Op::Mul], &[1.0]);
    for seed in ["1", "2", "3"] {
        let found = json(folder.path(), &["--seed", seed])["results"][0].clone();
        let expr: sr_expr::Expr = found["expression"].as_str().expect("text").parse().expect("it is read back");
        let x = sr_expr::Columns::new(1, 1, vec![10.0]);
        assert_eq!(sr_expr::predict(&expr, &x, sr_expr::Semantics::Protected), [11.0], "{found}");
        assert_eq!((&found["size"], &found["solved"]), (&3.into(), &true.into()), "{found}");
    }
}

/// SR.jl#108: the same seed gave other results.
#[test]
fn sixteen_threads_give_the_bytes_of_one() {
    let folder = own(SQUARES, &[Op::Add, Op::Mul, Op::Sin], &[1.0]);
    let bytes = |threads: &str| {
        run(folder.path(), &["--seed", "7", "--runs", "20", "--threads", threads]);
        fs::read(folder.path().join("o.t")).expect("the trace")
    };
    let one = bytes("1");
    assert!(one == bytes("2") && one == bytes("16"));
}

/// pyoperon#17: weights.
#[test]
fn rows_of_weight_zero_are_absent_and_only_ratios_of_weights_count() {
    let with = |rows: &str, weights: Option<&str>| {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("mine.csv"), rows).expect("written");
        let options = sr_problems::TableOptions {
            operators: vec![Op::Add, Op::Mul],
            constants: vec![1.0, 0.5],
            weights: weights.map(str::to_owned),
            ..sr_problems::TableOptions::new("y")
        };
        let table = sr_problems::from_table(&folder.path().join("mine.csv"), &options).expect("a table");
        table.set.write(folder.path().join("mine.sr")).expect("written");
        json(folder.path(), &["--generations", "30"])["results"][0].clone()
    };
    let [plain, absent, doubled] = [
        with("x,y\n1,1.5\n2,3.9\n3,9.2\n", None),
        with("x,w,y\n1,1,1.5\n2,1,3.9\n7,0,1000\n3,1,9.2\n", Some("w")),
        with("x,w,y\n1,2,1.5\n2,2,3.9\n3,2,9.2\n", Some("w")),
    ];
    for other in [&absent, &doubled] {
        assert_eq!((&other["formula"], &other["solved"]), (&plain["formula"], &plain["solved"]), "{other}");
        let ratio = other["mse"].as_f64().expect("a number") / plain["mse"].as_f64().expect("a number");
        assert!((ratio - 1.0).abs() < 1e-12, "{other} {plain}");
    }
}

/// PySR#725: a time limit that a batch or a large table passes.
#[test]
fn the_time_limit_holds_in_batches_of_the_learner_too() {
    let folder = own(SQUARES, &[Op::Add, Op::Mul], &[0.3]);
    sr_neural::testing::untrained_checkpoint(&folder.path().join("model"), "one-step");
    let flags = [
        "--policy",
        "neural",
        "--checkpoint",
        "model",
        "--max-child-size",
        "9",
        "--runs",
        "8",
        "--early-stop-mse",
        "0",
    ];
    let limited = ["--generations", "1000000", "--time-limit", "0.5", "--batch-size", "64"];
    let result = json(folder.path(), &[&flags[..], &limited].concat());
    let stopped = result["results"].as_array().expect("results").iter().map(|found| found["stop_reason"].clone());
    assert!(stopped.eq(vec![Value::from("time-limit"); 8]), "{result}");
}

/// SR.jl#80, CompRhys/roost#19: progress signs in logs; PySR#945: letters cut in half.
#[test]
fn logs_have_no_terminal_codes_and_names_stay_whole() {
    let folder = own("ветер,θ,y\n1,2,2\n2,3,6\n3,5,15\n", &[Op::Add, Op::Mul], &[1.0]);
    let output = run(folder.path(), &["--runs", "20"]);
    let (said, told) =
        (String::from_utf8(output.stderr).expect("UTF-8"), String::from_utf8(output.stdout).expect("UTF-8"));
    assert!(!said.contains(['\r', '\u{1b}']) && !told.contains(['\r', '\u{1b}']), "{said:?}");
    assert!(told.matches("(ветер * θ)").count() + told.matches("(θ * ветер)").count() == 20, "{told}");
    let output = run(folder.path(), &["--quiet"]);
    assert!(output.stderr.is_empty(), "-q is silent");
    let mut c = search(folder.path(), &["--problems", "mine.sr", "--out", "c.t"]);
    assert!(String::from_utf8(succeeds(c.env("LC_ALL", "C")).stdout).expect("UTF-8").contains("ветер"));
}

/// PySR#1310: Ctrl-C killed the results, too.
#[test]
fn a_search_that_is_stopped_tells_the_best_so_far() {
    let rows: String = (1..200).map(|x| format!("{x},{}\n", f64::from(x).sqrt().sin())).collect();
    let folder = own(&format!("speed,y\n{rows}"), &[Op::Add, Op::Mul, Op::Sin], &[1.0]);
    let out = folder.path().join("told");
    let flags = ["--problems", "mine.sr", "--out", "s.t", "--population-size", "500", "--generations", "1000000"];
    // Through a shell, for what it prints.
    let line = format!("exec {} {} > told", env!("CARGO_BIN_EXE_sr-search"), flags.join(" "));
    let mut shell = Command::new("sh");
    shell.current_dir(folder.path()).args(["-c", &line]);
    let (status, said) = signal(&mut shell, &folder.path().join("s.t.partial.run.json"), 1, &["TERM"]);
    assert_eq!(status.code(), Some(130), "{said}");
    assert!(said.contains("stopped: after 0 of 1 searches, which --resume begins again"), "{said}");
    let told = fs::read_to_string(out).expect("what was printed");
    assert!(told.starts_with("mine, seed 0: ") && told.contains("stopped by: stopped"), "{told}");
}

/// More searches than can be.
#[test]
fn as_many_searches_as_there_are_numbers_are_refused() {
    let folder = own(SQUARES, &[Op::Add], &[1.0]);
    for runs in ["18446744073709551615", "10000001"] {
        let said = fails(&mut search(folder.path(), &["--problems", "mine.sr", "--out", "m.t", "--runs", runs]));
        assert!(said.contains(&format!("--runs {runs}: these are {runs} searches, 10000000 at most")), "{said}");
    }
    assert!(!folder.path().join("m.t.partial").exists());
}

/// What is complete is told as JSON where that is asked for.
#[test]
fn a_finished_run_is_told_as_json() {
    let folder = own(SQUARES, &[Op::Add], &[1.0]);
    let flags = ["--problems", "mine.sr", "--out", "f.t", "--resume", "--json"];
    succeeds(&mut search(folder.path(), &flags));
    let output = succeeds(&mut search(folder.path(), &flags));
    let result: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&result["complete"], &result["searches"], &result["out"]), (&true.into(), &1.into(), &"f.t".into()));
}

/// PySR#379: constants are where least squares has them, and the formula that is printed has the offset and the factor that
/// the search scored it with.
#[test]
fn preset_default_fits_constants_and_prints_whole_formulas() {
    let rows: String = (0..40)
        .map(|i| f64::from(i) / 8.0)
        .map(|x| format!("{x},{}\n", 3.5 * (1.7 * x + 0.4_f64).sin() - 12.25))
        .collect();
    let folder = own(&format!("x,y\n{rows}"), &[Op::Add, Op::Mul, Op::Sin], &[1.0]);
    let flags = ["--preset", "default", "--generations", "60", "--seed", "1"];
    let found = json(folder.path(), &flags);
    let best = &found["results"][0];
    assert_eq!(best["solved"], true, "{best}");
    let formula: sr_expr::Expr = best["expression"].as_str().expect("a formula").parse().expect("it is read back");
    for x in [0.3, 2.2, 4.9] {
        let at = |x: f64| sr_expr::reference::eval_row(&formula, &[x], sr_expr::Semantics::Ieee);
        let law = 3.5 * (1.7 * x + 0.4_f64).sin() - 12.25;
        assert!((at(x) - law).abs() < 1e-5, "{best}");
    }
    // The same bytes from any number of threads.
    let bytes = |threads| {
        run(folder.path(), &[&flags[..], &["--threads", threads]].concat());
        fs::read(folder.path().join("o.t")).expect("a trace")
    };
    assert_eq!(bytes("1"), bytes("2"));
}
