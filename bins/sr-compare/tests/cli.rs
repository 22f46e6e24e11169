//! The binary as a person or a script meets it.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use sr_neural::testing::untrained_checkpoint;

fn compare(folder: &Path, flags: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sr-compare")).current_dir(folder).args(flags).output().expect("started")
}

fn stdout_json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
}

/// A report of 5 problems × 8 seeds in which a method solves the first `solved` of the searches.
fn report(folder: &Path, name: &str, methods: &[(&str, usize)]) {
    let rows = methods.iter().flat_map(|&(method, solved)| {
        (0..40).map(move |i| {
            json!({
                "method": method, "problem": format!("p{}", i / 8), "seed": i % 8, "solved": i < solved,
                "mse_train": if i < solved { Some(0.0) } else { Some(1.5) }, "r2_test": null, "generations": 10,
                "evaluations": 100 + i, "generations_to_solve": null, "evaluations_to_solve": null, "seconds": 0.25,
                "size": 3 + i % 2, "expression": "x0", "well_formed": 60, "fallback": 20, "children": 80, "distinct": 40,
                "a field of a later version": true,
            })
        })
    });
    let report = json!({ "rows": rows.collect::<Vec<_>>(), "summary": [] });
    std::fs::write(folder.join(name), report.to_string()).expect("written");
}

#[test]
fn a_report_that_solves_less_is_told_by_the_exit_code() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    report(path, "a.json", &[("expert", 20), ("bc", 20), ("only-a", 1)]);
    report(path, "b.json", &[("expert", 20), ("bc", 5), ("only-b", 1)]);
    let output = compare(path, &["a.json", "b.json", "--json"]);
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let result = stdout_json(&output);
    let [expert, bc] = &result["comparisons"].as_array().expect("comparisons")[..] else { panic!("{result}") };
    assert_eq!(
        (&expert["method_a"], &expert["pairs"], &expert["worse"]),
        (&"expert".into(), &40.into(), &false.into())
    );
    assert_eq!((&expert["solved"]["lo"], &expert["solved"]["hi"]), (&0.0.into(), &0.0.into()));
    assert_eq!((&bc["solved"]["a"], &bc["solved"]["b"], &bc["worse"]), (&0.5.into(), &0.125.into(), &true.into()));
    assert_eq!(bc["solved"]["difference"], -0.375);
    assert!(bc["solved"]["lo"].as_f64() < Some(-0.375) && bc["solved"]["hi"].as_f64() > Some(-0.375), "{bc}");
    assert_eq!((&bc["median_mse"]["a"], &bc["median_mse"]["b"]), (&0.75.into(), &1.5.into()));
    assert_eq!((&bc["median_mse"]["lower"], &bc["median_mse"]["higher"]), (&0.into(), &15.into()));
    assert_eq!(
        (&bc["evaluations"]["a"], &bc["size"]["b"], &bc["well_formed"]["a"]),
        (&119.5.into(), &3.5.into(), &0.75.into())
    );
    let again = stdout_json(&compare(path, &["a.json", "b.json", "--json", "--threads", "1"]));
    assert_eq!(again["comparisons"], result["comparisons"]);

    // The other way round it is an improvement.
    let output = compare(path, &["b.json", "a.json", "--methods", "bc,bc"]);
    let table = String::from_utf8(output.stdout).expect("text");
    assert_eq!(output.status.code(), Some(0));
    assert!(
        table.contains("bc: B solves significantly more than A (40 pairs)") && table.contains("+37.5 points"),
        "{table}"
    );
    // Names may differ, and a report may be compared with itself.
    let output = compare(path, &["a.json", "a.json", "--methods", "expert,bc"]);
    let table = String::from_utf8(output.stdout).expect("text");
    assert_eq!(output.status.code(), Some(0));
    assert!(table.contains("expert / bc: no significant difference"), "{table}");
}

#[test]
fn reports_of_other_problems_or_settings_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    let write = |name: &str, problems: &str, generations: u32, temperature: f64| {
        report(path, name, &[("expert", 20)]);
        let mut value: Value = serde_json::from_slice(&std::fs::read(path.join(name)).expect("read")).expect("JSON");
        value["settings"] = json!({
            "problems": problems, "generations": generations, "temperature": temperature, "methods": ["expert=expert"],
        });
        std::fs::write(path.join(name), value.to_string()).expect("written");
    };
    write("a.json", "5 problems 1111", 40, 0.8);
    write("sampled.json", "5 problems 1111", 40, 0.2);
    write("short.json", "5 problems 1111", 4, 0.8);
    write("foreign.json", "5 problems 2222", 4, 0.8);
    report(path, "silent.json", &[("expert", 20)]);
    let stderr = |output: &Output| String::from_utf8(output.stderr.clone()).expect("text");
    let alike = compare(path, &["a.json", "sampled.json"]);
    assert_eq!(alike.status.code(), Some(0));
    assert!(!stderr(&alike).contains("settings"), "how a learner is sampled is what is compared: {}", stderr(&alike));
    for (b, expected) in [
        ("short.json", "of other settings: generations 40 and 4; --allow-other-settings"),
        ("foreign.json", "generations 40 and 4, problems \"5 problems 1111\" and \"5 problems 2222\""),
    ] {
        let output = compare(path, &["a.json", b, "--json"]);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
        assert!(stderr(&output).contains(expected) && stderr(&output).lines().count() == 1, "{}", stderr(&output));
        let allowed = compare(path, &["a.json", b, "--json", "--allow-other-settings"]);
        assert_eq!(allowed.status.code(), Some(0));
        assert!(stderr(&allowed).contains("generations 40 and 4"), "{}", stderr(&allowed));
    }
    let silent = compare(path, &["a.json", "silent.json"]);
    assert_eq!(silent.status.code(), Some(0));
    assert!(stderr(&silent).contains("silent.json says nothing of its problems"), "{}", stderr(&silent));
}

#[test]
fn reports_of_direct_models_are_compared_by_pick() {
    let folder = tempfile::tempdir().expect("a folder");
    let row = |problem: &str, solved: bool| json!({ "pick": "greedy", "problem": problem, "solved": solved, "mse_train": null, "size": 4, "well_formed": 1 });
    for (name, solved) in [("a.json", false), ("b.json", true)] {
        let report = json!({ "rows": [row("p", solved), row("q", true)] });
        std::fs::write(folder.path().join(name), report.to_string()).expect("written");
    }
    let result = stdout_json(&compare(folder.path(), &["a.json", "b.json", "--json"]));
    let greedy = &result["comparisons"][0];
    assert_eq!((&greedy["method_a"], &greedy["solved"]["difference"]), (&"greedy".into(), &0.5.into()));
    assert_eq!(
        (&greedy["evaluations"], &greedy["well_formed"]["a"], &greedy["median_mse"]["a"]),
        (&Value::Null, &Value::Null, &Value::Null)
    );
}

#[test]
fn equal_budgets_are_compared_apart() {
    let folder = tempfile::tempdir().expect("a folder");
    let row = |budget: &str, method: &str, solved: bool| json!({ "budget": budget, "method": method, "problem": "p", "seed": 1, "solved": solved, "mse_train": 1.0, "size": 1 });
    let a = [row("evaluations", "expert", true), row("seconds", "expert", false), row("seconds", "bc", true)];
    let b = [row("seconds", "expert", true), row("evaluations", "expert", true)];
    for (name, rows) in [("a.json", &a[..]), ("b.json", &b), ("seconds.json", &b[..1]), ("evaluations.json", &b[1..])] {
        std::fs::write(folder.path().join(name), json!({ "rows": rows }).to_string()).expect("written");
    }
    let result = stdout_json(&compare(folder.path(), &["a.json", "b.json", "--json"]));
    let comparisons = result["comparisons"].as_array().expect("comparisons");
    let found: Vec<_> = comparisons.iter().map(|c| (&c["budget"], &c["solved"]["difference"])).collect();
    assert_eq!(found, [(&"evaluations".into(), &0.0.into()), (&"seconds".into(), &1.0.into())]);
    let output = compare(folder.path(), &["a.json", "b.json", "--methods", "bc,expert"]);
    let table = String::from_utf8(output.stdout).expect("text");
    assert!(
        table.contains("bc / expert at equal seconds: no significant") && table.matches("pair)").count() == 1,
        "{table}"
    );
    let output = compare(folder.path(), &["seconds.json", "evaluations.json"]);
    let message = String::from_utf8(output.stderr).expect("text");
    assert!(message.contains("seconds.json has expert at equal seconds"), "{message}");
}

#[test]
fn expert_and_learner_are_compared_on_one_problem() {
    let folder = tempfile::tempdir().expect("a folder");
    untrained_checkpoint(&folder.path().join("model"), "one-step");
    let flags = ["--problem", "Nguyen-1", "--checkpoint", "model", "--generations", "4", "--max-child-size", "7"];
    let json = |more: &[&str]| {
        let output = compare(folder.path(), &[&flags[..], more, &["--json"]].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        stdout_json(&output)
    };
    let plain = json(&[]);
    assert_eq!(plain["problem"], "Nguyen-1");
    let [expert, learner] = ["expert", "learner"].map(|name| &plain[name]);
    assert_eq!((&expert["well_formed"], &learner["well_formed"]), (&Value::Null, &json!([57, 57])));
    assert_eq!((&expert["evaluations"], &learner["evaluations"]), (&77.into(), &77.into()));
    let mse = |one: &Value| one["mse"].as_f64().expect("valid");
    let improvement = plain["improvement"].as_f64().expect("a ratio");
    assert!((improvement - mse(expert) / mse(learner)).abs() < 1e-9 * improvement, "{plain}");
    assert!(plain["time_ratio"].as_f64() > Some(0.0));

    // Step by step it is the same search.
    let steps = json(&["--step"]);
    let generations = steps["generations"].as_array().expect("generations");
    assert_eq!(generations.len(), 4);
    assert_eq!(generations[3]["learner"]["best"]["expression"], learner["expression"]);
    for generation in generations {
        let individuals = generation["expert"]["individuals"].as_array().expect("individuals");
        assert_eq!(individuals.len(), 20);
        assert!(individuals.is_sorted_by(|a, b| a["fitness"].as_f64() >= b["fitness"].as_f64()));
        let least = individuals.iter().map(|i| i["size"].as_u64()).min().flatten();
        assert_eq!(generation["expert"]["sizes"]["least"].as_u64(), least);
    }
    assert_eq!(
        (&generations[0]["learner"]["well_formed"], &generations[1]["learner"]["well_formed"]),
        (&Value::Null, &json!([19, 19]))
    );

    // There is no terminal here, so all generations come one after the other.
    for more in [&["--step"][..], &["--step", "--non-interactive", "--show", "2"]] {
        let output = compare(folder.path(), &[&flags[..], more].concat());
        let text = String::from_utf8(output.stdout).expect("text");
        assert!(output.status.success() && text.matches("Generation ").count() == 4, "{text}");
        assert!(text.contains("well-formed 19/19") && text.contains("times the expert's time"), "{text}");
        let listed = text.lines().filter(|line| line.trim_start().starts_with("20 ")).count();
        assert_eq!(listed, if more.len() == 1 { 8 } else { 0 }, "{text}");
    }
}

#[test]
fn bad_input_is_one_line_with_exit_code_2() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    report(path, "a.json", &[("expert", 20)]);
    report(path, "b.json", &[("bc", 20)]);
    report(path, "twice.json", &[("expert", 20), ("expert", 20)]);
    std::fs::write(path.join("empty.json"), r#"{ "rows": [] }"#).expect("written");
    std::fs::write(
        path.join("other.json"),
        r#"{ "rows": [{ "method": "expert", "problem": "z", "solved": true, "mse_train": 1.0, "size": 2 }] }"#,
    )
    .expect("written");
    std::fs::write(path.join("text.json"), "no JSON").expect("written");
    untrained_checkpoint(&path.join("model"), "one-step");
    for (flags, expected) in [
        (&["a.json", "none.json"][..], "reading none.json"),
        (&["a.json", "text.json"], "expected a report of sr-evaluate: reading text.json"),
        (&["a.json", "empty.json"], "empty.json has no rows"),
        (&["a.json", "b.json"], "no method is in both reports: a.json has expert, b.json has bc"),
        (&["a.json", "other.json"], "no common pairs"),
        (&["a.json", "b.json", "--methods", "expert,dagger"], "b.json has no method dagger, only bc"),
        (&["a.json", "a.json", "--generations", "5"], "--generations has no effect with two reports"),
        (&["a.json", "a.json", "--temperature", "0.8"], "--temperature has no effect with two reports"),
        (&["a.json", "twice.json"], "twice.json has expert on p0 with seed 0 twice"),
        (&["--problem", "Nguyen-99", "--checkpoint", "model"], "the nearest are Nguyen-9"),
        (
            &["--problem", "none", "--checkpoint", "model", "--suite", "nguyen"],
            "suite nguyen has no problem \"none\"; of its 12 the nearest are ",
        ),
        (&["--problem", "Nguyen-1", "--checkpoint", "model", "--suite", "none-such"], "none-such"),
        (&["--problem", "Nguyen-1", "--checkpoint", "model", "--problems", "none.sr"], "none.sr"),
        (&["--problem", "Nguyen-1", "--checkpoint", "none"], "loading the checkpoint none"),
        (&["--problem", "Nguyen-1", "--checkpoint", "model", "--mode", "direct"], "trained for mode one-step"),
        (
            &["--problem", "Nguyen-1", "--checkpoint", "model", "--step", "--json", "--show", "1"],
            "--show has no effect with --json",
        ),
        (
            &["--problem", "Nguyen-1", "--checkpoint", "model", "--step", "--non-interactive", "--json"],
            "--non-interactive has no effect with --json",
        ),
        (
            &["--problem", "Nguyen-1", "--checkpoint", "model", "--temperature", "0", "--top-k", "4"],
            "--top-k is 4, expected none with --temperature 0",
        ),
    ] {
        let output = compare(path, flags);
        let message = String::from_utf8(output.stderr).expect("text");
        assert_eq!(output.status.code(), Some(2), "{flags:?}: {message}");
        assert!(message.contains(expected) && message.trim_end().lines().count() == 1, "{flags:?}: {message}");
        assert!(message.len() < 400, "{flags:?}: {message}");
    }
    for flags in [
        &[][..],
        &["a.json"],
        &["a.json", "b.json", "--problem", "x"],
        &["--problem", "x"],
        &["a.json", "b.json", "--step"],
    ] {
        assert_eq!(compare(path, flags).status.code(), Some(2), "{flags:?}");
    }
}
