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
fn methods_without_a_learner_differ_as_they_should() {
    let folder = tempfile::tempdir().expect("a folder");
    let methods = "expert,unique,tuned,random,cheat:best-of-8,one=cheat:best-of-1";
    let flags = ["--suite", "simple", "--methods", methods, "--seeds", "3", "--generations", "15", "--curve"];
    let run = |more: &[&str]| {
        let output = evaluate(folder.path(), &[&flags[..], more].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    };
    let json: serde_json::Value = serde_json::from_str(&run(&["--json"])).expect("JSON");
    let of = |method: &str| -> &serde_json::Value {
        let all = json["summary"].as_array().expect("summary");
        all.iter().find(|summary| summary["method"] == method).expect(method)
    };
    let rows = |method: &str| -> Vec<&serde_json::Value> {
        json["rows"].as_array().expect("rows").iter().filter(|row| row["method"] == method).collect()
    };
    assert_eq!(of("unique")["distinct"], 1.0, "no form twice");
    assert!(of("expert")["distinct"].as_f64() < Some(1.0));
    for (expert, one) in rows("expert").iter().zip(rows("one")) {
        assert_eq!(expert["expression"], one["expression"], "the best of one is the expert");
        assert_eq!((&expert["proposals"], &one["proposals"]), (&0.into(), &one["children"]));
    }
    for row in rows("cheat:best-of-8") {
        assert_eq!(row["proposals"].as_u64(), row["children"].as_u64().map(|children| 8 * children));
    }
    let number = |method: &str, field: &str| of(method)[field].as_f64().expect(field);
    assert!(number("cheat:best-of-8", "area") > number("random", "area"));
    assert!(number("cheat:best-of-8", "ert") < number("random", "ert"));
    for method in ["unique", "tuned", "random", "cheat:best-of-8"] {
        let difference = &of(method)["difference"];
        assert_eq!((&difference["against"], &difference["pairs"]), (&"expert".into(), &rows("expert").len().into()));
        let field = |name: &str| difference[name].as_f64().expect(name);
        assert!(field("solved_lo") <= field("solved") && field("solved") <= field("solved_hi"), "{difference}");
    }
    let against: serde_json::Value = serde_json::from_str(&run(&["--json", "--against", "unique"])).expect("JSON");
    let (first, second) = (&against["against"]["summary"][0], &against["against"]["summary"][1]);
    assert_eq!((&first["method"], &first["difference"]), (&"unique".into(), &serde_json::Value::Null));
    assert_eq!((&second["method"], &second["difference"]["against"]), (&"expert".into(), &"unique".into()));
    // Tuned settings spend no more than the common ones may.
    assert!(rows("tuned").iter().all(|row| row["evaluations"].as_u64() <= Some(20 + 14 * 19)));
    // Errors only fall.
    for row in rows("expert") {
        let steps = row["progress"].as_array().expect("progress");
        let errors: Vec<f64> = steps.iter().map(|step| step[2].as_f64().expect("an error")).collect();
        assert!(errors.windows(2).all(|pair| pair[1] < pair[0]), "{row}");
    }
    assert_eq!(json["curves"].as_array().expect("curves").len() % 6, 0);
    // Other than times, nothing depends on threads or batches.
    let others: serde_json::Value =
        serde_json::from_str(&run(&["--json", "--threads", "1", "--batch-size", "3"])).expect("JSON");
    assert_eq!(without_times(&json["rows"]), without_times(&others["rows"]));
    let table = run(&["--plot", "p.svg", "--report", "r.html"]);
    let page = std::fs::read_to_string(folder.path().join("r.html")).expect("a page");
    assert!(page.contains("Share solved against evaluations") && !page.contains("://"));
    for (name, texts) in
        [("p.svg", ["share solved", "cheat:best-of-8"]), ("p-mse.svg", ["mean squared error", "unique"])]
    {
        let svg = std::fs::read_to_string(folder.path().join(name)).expect(name);
        assert!(texts.iter().all(|text| svg.contains(text)), "{svg}");
    }
    assert!(table.contains("ERT") && table.contains("proposals") && table.contains("solved − first"), "{table}");
}

/// Rows without what differs from run to run.
fn without_times(rows: &serde_json::Value) -> Vec<serde_json::Value> {
    let mut rows = rows.as_array().expect("rows").clone();
    for row in &mut rows {
        let fields = row.as_object_mut().expect("a row");
        fields.retain(|name, _| !name.starts_with("seconds"));
        if let Some(steps) = fields.get_mut("progress").and_then(|steps| steps.as_array_mut()) {
            steps.iter_mut().for_each(|step| step[1] = 0.into());
        }
    }
    rows
}

#[test]
fn equal_evaluations_and_equal_seconds_have_a_table_each() {
    let folder = tempfile::tempdir().expect("a folder");
    untrained_checkpoint(&folder.path().join("step"), "one-step");
    let flags = ["--suite", "harder", "--methods", "expert,random,both=hybrid:step@every=5", "--seeds", "1"];
    let limits = ["--equal", "evaluations,seconds", "--max-evaluations", "120", "--time-limit", "0.05"];
    let output = evaluate(folder.path(), &[&flags[..], &limits, &["--max-child-size", "5", "--json"]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let rows = json["rows"].as_array().expect("rows");
    let by = |budget: &str| rows.iter().filter(|row| row["budget"] == budget).collect::<Vec<_>>();
    assert_eq!((by("evaluations").len(), by("seconds").len()), (rows.len() / 2, rows.len() / 2));
    for row in by("evaluations") {
        assert!(row["evaluations"].as_u64() <= Some(120), "{row}");
    }
    for row in by("seconds") {
        // Ended by the clock, and not by evaluations or generations.
        assert!(row["seconds"].as_f64() >= Some(0.05) || row["generations_to_solve"].is_u64(), "{row}");
    }
    assert_eq!(json["summary"].as_array().expect("summary").len(), 6);

    for (flags, expected) in [
        (&["--suite", "simple", "--equal", "evaluations"][..], "--max-evaluations need each other"),
        (
            &["--suite", "simple", "--equal", "evaluations", "--max-evaluations", "99", "--time-limit", "1"],
            "--time-limit",
        ),
        (&["--suite", "simple", "--methods", "expert,expert"], "two of the --methods have the name expert"),
        (&["--suite", "simple", "--resume"], "--out"),
        (&["--suite", "simple", "--plot", "a.pdf"], "a.pdf: plots are SVG"),
        (&["tune", "--problems", "none.sr", "--max-evaluations", "99"], "none.sr"),
    ] {
        let output = evaluate(folder.path(), flags);
        assert_eq!(output.status.code(), Some(2), "{flags:?}");
        let message = String::from_utf8(output.stderr).expect("text");
        assert!(message.contains(expected), "{flags:?}: {message}");
    }
}

#[test]
fn settings_are_searched_for_reproducibly() {
    let folder = tempfile::tempdir().expect("a folder");
    sr_problems::suite("ultra-simple", 0).expect("a suite").write(folder.path().join("p.sr")).expect("written");
    let tune = |out: &str, threads: &str| {
        let flags = ["tune", "--problems", "p.sr", "--trials", "6", "--finalists", "2", "--seeds", "2"];
        let more = ["--max-evaluations", "300", "--threads", threads, "--out", out];
        let output = evaluate(folder.path(), &[&flags[..], &more].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = std::fs::read_to_string(folder.path().join(out)).expect("the settings");
        assert!(text.contains("# Found by: sr-evaluate tune --problems p.sr"), "{text}");
        text.lines().filter(|line| !line.starts_with("# Found by")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(tune("a.toml", "1"), tune("b.toml", "2"));
    let output = evaluate(folder.path(), &["tune", "--problems", "p.sr", "--out", "c.toml"]);
    let message = String::from_utf8(output.stderr).expect("text");
    assert!(message.contains("--max-evaluations is needed"), "{message}");
    let output = evaluate(folder.path(), &["tune", "--problems", "p.sr", "--max-evaluations", "99"]);
    let message = String::from_utf8(output.stderr).expect("text");
    assert!(message.contains("--out configs/tuned.toml: there is no folder configs"), "{message}");
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
    let (one, many) = (json(&[]), json(&["--samples", "200", "--out", "r.json", "--report", "r.html"]));
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
    let page = std::fs::read_to_string(folder.path().join("r.html")).expect("a page");
    assert!(page.contains("Formulas written from the data alone") && page.contains("best of 200"), "{page}");

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
        (
            &["direct", "--checkpoint", "direct", "--suite", "simple", "--top-k", "3"],
            "--top-k has no effect without --samples",
        ),
        (&["direct", "--checkpoint", "none", "--suite", "simple"], "none"),
        (&["direct", "--checkpoint", "direct", "--suite", "none-such"], "none-such"),
    ] {
        let output = evaluate(folder.path(), flags);
        assert_eq!(output.status.code(), Some(2), "{flags:?}");
        let message = String::from_utf8(output.stderr).expect("text");
        assert!(message.contains(expected) && message.trim_end().lines().count() == 1, "{flags:?}: {message}");
    }
}

/// A problem set of one table.
fn own_data(folder: &Path, name: &str, rows: &str, operators: Vec<sr_expr::Op>) {
    let table = folder.join(format!("{name}.csv"));
    std::fs::write(&table, rows).expect("written");
    let options = sr_problems::TableOptions { operators, ..sr_problems::TableOptions::new("y") };
    let set = sr_problems::from_table(&table, &options).expect("a table").set;
    set.write(folder.join(format!("{name}.sr"))).expect("written");
}

fn json(output: &Output) -> serde_json::Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn formulas_of_own_data_are_printed_as_what_they_are() {
    use sr_expr::Op;
    let folder = tempfile::tempdir().expect("a folder");
    let rows = "speed,y\n-2,0.6931471805599453\n-1,0\n1,0\n2,0.6931471805599453\n0,-27.631021115928547\n";
    own_data(folder.path(), "flow", rows, vec![Op::Add, Op::Log]);
    let flags = ["--problems", "flow.sr", "--seeds", "2", "--generations", "3"];
    let printed = json(&evaluate(folder.path(), &[&flags[..], &["--json"]].concat()));
    let row = &printed["rows"][0];
    assert_eq!((&row["expression"], &row["formula"]), (&"plog(x0)".into(), &"plog(speed)".into()));
    assert!(row["mse_train"].as_f64() < Some(1e-28) && row["r2_train"] == 1.0, "{row}");
    assert!(row["stop_reason"].is_string() && row["r2_test"].is_null(), "{row}");
    assert_eq!(printed["summary"][0]["median_r2"], 1.0);
    // What was printed has the values that were fitted, and no others.
    let read: sr_expr::Formula = row["expression"].as_str().expect("text").parse().expect("a formula");
    let x = sr_expr::Columns::new(2, 1, vec![-2.0, 0.0]);
    let values = sr_expr::predict(&read.expr, &x, read.semantics.expect("it is guarded"));
    assert_eq!(values, [std::f64::consts::LN_2, -27.631_021_115_928_547]);
    let text = String::from_utf8(evaluate(folder.path(), &flags).stdout).expect("text");
    assert!(text.contains("median R²") && text.contains("size 2, seed") && text.contains("\n  plog(speed)"), "{text}");
}

#[test]
fn rows_that_an_objective_leaves_out_are_told_and_in_the_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let row = |i: i32| format!("{},{}\n", 100 * i, if i < 10 { 10_000 * i * i } else { 7 });
    let rows = String::from("x,y\n") + &(1..=18).map(row).collect::<String>();
    own_data(folder.path(), "wrong", &rows, vec![sr_expr::Op::Add, sr_expr::Op::Mul]);
    let flags = ["--problems", "wrong.sr", "--seeds", "1", "--generations", "3"];
    let masked = json(&evaluate(folder.path(), &[&flags[..], &["--objective", "masked", "--json"]].concat()));
    let row = &masked["rows"][0];
    assert_eq!((&row["expression"], &row["masked"], &row["solved"]), (&"(x0 * x0)".into(), &9.into(), &false.into()));
    assert!(row["mse_train"].as_f64() > Some(1e12), "{row}");
    let text = String::from_utf8(evaluate(folder.path(), &[&flags[..], &["--objective", "masked"]].concat()).stdout);
    let text = text.expect("text");
    assert!(text.contains("1 of 1 formula has values of 1e6 and more"), "{text}");
    let all = json(&evaluate(folder.path(), &[&flags[..], &["--json"]].concat()));
    assert!(all["rows"][0].get("masked").is_none() && all["settings"]["objective"] == "mse", "{all}");
}

#[test]
fn a_corpus_stands_for_its_problems() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    untrained_checkpoint(&path("direct"), "direct");
    sr_problems::suite("ultra-simple", 1).expect("a suite").write(path("p.sr")).expect("written");
    let problems = sr_corpus::Problems::open(path("p.sr")).expect("problems");
    let options = sr_corpus::Options { val_fraction: 0.4, ..sr_corpus::Options::default() };
    sr_corpus::convert_problems(&problems, &options, &path("corpus"), || {}).expect("a corpus");
    let ids = |name: &str| -> Vec<String> {
        let corpus = sr_corpus::Corpus::open(path("corpus").join(name)).expect("a corpus");
        corpus.map(|example| example.expect("whole").problem().id.clone()).collect()
    };
    let flags = ["direct", "--checkpoint", "direct", "--problems", "corpus/val.sr", "--max-child-size", "5", "--json"];
    let printed = json(&evaluate(folder.path(), &flags));
    let judged: Vec<_> = printed["rows"].as_array().expect("rows").iter().map(|row| row["problem"].clone()).collect();
    assert_eq!(judged, ids("val.sr"));
    assert!(!judged.is_empty() && judged.len() < 5, "{judged:?}");
    assert!(printed["settings"]["problems"].as_str().is_some_and(|text| text.starts_with(&judged.len().to_string())));
    let searched = json(&evaluate(
        folder.path(),
        &["--problems", "corpus/train.sr", "--seeds", "1", "--generations", "3", "--json"],
    ));
    assert_eq!(searched["rows"].as_array().map(Vec::len), Some(ids("train.sr").len()));
    std::fs::remove_file(path("p.sr")).expect("removed");
    let output = evaluate(folder.path(), &flags);
    let message = String::from_utf8(output.stderr).expect("text");
    assert!(output.status.code() == Some(2) && message.contains("p.sr"), "{message}");
}

#[test]
fn a_plot_of_nothing_solved_has_a_line_at_0() {
    let folder = tempfile::tempdir().expect("a folder");
    own_data(folder.path(), "noise", "x,y\n1,0.3\n2,-7.1\n3,11.9\n4,0.2\n5,-3.3\n", vec![sr_expr::Op::Add]);
    let flags = ["--problems", "noise.sr", "--seeds", "1", "--max-evaluations", "500", "--plot", "p.svg"];
    assert!(evaluate(folder.path(), &flags).status.success());
    let svg = std::fs::read_to_string(folder.path().join("p.svg")).expect("a plot");
    let points = svg.split("<polyline points=\"").nth(1).expect("a line").split('"').next().expect("an end");
    let heights: Vec<&str> = points.split_whitespace().filter_map(|point| Some(point.split_once(',')?.1)).collect();
    assert!(heights.len() >= 2 && heights.iter().all(|height| *height == "464.0"), "along the foot: {points}");
    assert!(!svg.contains(">1000</text>"), "no further than the limit");
}

#[test]
fn bad_input_is_one_line_with_exit_code_2() {
    let folder = tempfile::tempdir().expect("a folder");
    for (flags, expected) in [
        (&["--suite", "none-such"][..], "none-such"),
        (&["--problems", "none.sr"], "none.sr"),
        (&["--suite", "simple", "--methods", "bc=neural:none"], "none"),
        (&["--suite", "simple", "--time-limit=-1"], "time-limit"),
        (&["--suite", "simple", "--distinct"], "--distinct has no effect without a learner"),
        (&["--suite", "simple", "--temperature", "0.8"], "--temperature has no effect without a learner"),
        (&["--suite", "simple", "--device", "cpu"], "--device has no effect without a learner"),
        (&["--suite", "simple", "--curve"], "--curve has no effect without --out, --plot or --json"),
        (
            &["--suite", "simple", "--equal", "evaluations", "--max-evaluations", "99", "--generations", "3"],
            "--generations has no effect with --equal",
        ),
        (&["operator", "--bank", "b", "--generations", "3"], "--generations has no effect without --build"),
        (
            &["operator", "--bank", "b", "--build", "--suite", "simple", "--top-k", "3"],
            "--top-k has no effect with --build",
        ),
    ] {
        let output = evaluate(folder.path(), flags);
        assert_eq!(output.status.code(), Some(2), "{flags:?}");
        let message = String::from_utf8(output.stderr).expect("text");
        assert!(message.contains(expected), "{flags:?}: {message}");
    }
    let output = evaluate(folder.path(), &["--suite", "simple", "--methods", "bc=magic"]);
    assert_eq!(output.status.code(), Some(2));
    let message = String::from_utf8(output.stderr).expect("text");
    let output = evaluate(folder.path(), &["--suite", "simple", "--methods", "expert,a=random", "--against", "random"]);
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8(output.stderr).expect("text");
    assert!(told.contains("--against random: the methods are expert, a"), "{told}");
    for known in [
        "expert",
        "unique",
        "tuned",
        "random",
        "enumeration",
        "cheat:best-of-K",
        "neural:",
        "direct:",
        "hybrid:",
        "@every=K",
    ] {
        assert!(message.contains(known), "{message}");
    }
}

#[test]
fn a_bank_of_states_tells_methods_apart() {
    let folder = tempfile::tempdir().expect("a folder");
    untrained_checkpoint(&folder.path().join("step"), "one-step");
    let run = |flags: &[&str]| {
        let output = evaluate(folder.path(), flags);
        assert!(output.status.success(), "{flags:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    };
    let build = |bank: &str, threads: &str| {
        let flags = ["operator", "--build", "--suite", "harder", "--states", "150", "--generations", "40"];
        let text = run(&[&flags[..], &["--bank", bank, "--seed", "3", "--threads", threads]].concat());
        assert!(text.contains("150 states of 50 searches"), "{text}");
        std::fs::read(folder.path().join(bank)).expect("a bank")
    };
    std::fs::create_dir(folder.path().join("other")).expect("a folder");
    assert_eq!(build("bank", "1"), build("other/bank", "2"), "the same seed builds the same states");

    let methods = "unique,random,cheat:best-of-8,step=neural:step";
    let measure = ["operator", "--bank", "bank", "--methods", methods, "--max-child-size", "7", "--json"];
    let measured = run(&[&measure[..], &["--report", "bank.html"]].concat());
    let json: serde_json::Value = serde_json::from_str(&measured).expect("JSON");
    let page = std::fs::read_to_string(folder.path().join("bank.html")).expect("a page");
    assert!(page.contains("cheat:best-of-8: improves") && !page.contains("://"), "{page}");
    let all = json["methods"].as_array().expect("methods");
    let names: Vec<_> = all.iter().map(|m| m["method"].as_str().expect("a name")).collect();
    assert_eq!(names, ["expert", "unique", "random", "cheat:best-of-8", "step"]);
    let number = |method: usize, field: &str| all[method][field].as_f64().expect(field);
    assert_eq!((number(0, "ratio"), number(0, "predicted_speed_up")), (1.0, 1.0));
    assert_eq!((number(1, "distinct"), number(4, "well_formed")), (1.0, 1.0));
    assert!(number(3, "improving") > number(0, "improving") && number(3, "best_gain") > number(0, "best_gain"));
    assert!(number(3, "predicted_speed_up") > 1.0);
    assert_eq!(all[0]["children"], 150 * 19);
    assert!(all.iter().all(|m| m["lo"].as_f64() <= m["states_improved"].as_f64()));
    assert!(run(&measure[..measure.len() - 1]).contains("predicted speed-up"));

    let methods = "expert,cheat:best-of-2,cheat:best-of-4,cheat:best-of-8,cheat:best-of-16";
    run(&["--suite", "simple", "--methods", methods, "--seeds", "2", "--generations", "30", "--out", "r.json"]);
    let calibrate = ["operator", "--bank", "bank", "--calibrate", "r.json", "--out", "c.toml"];
    assert!(run(&calibrate).contains("measured speed-up"));
    let text = std::fs::read_to_string(folder.path().join("c.toml")).expect("a calibration");
    assert!(
        text.starts_with("# Made by: sr-evaluate operator --bank bank --calibrate r.json") && text.contains("exponent")
    );

    std::fs::write(folder.path().join("bad.json"), "{\"summary\": []}").expect("written");
    for (flags, expected) in [
        (&["operator", "--bank", "none"][..], "none"),
        (&["operator", "--bank", "b", "--build"], "--build needs --problems or --suite"),
        (&["operator", "--bank", "b", "--build", "--suite", "ultra-simple", "--generations", "3"], "too easy"),
        (&["operator", "--bank", "bank", "--methods", "magic"], "cheat:best-of-K"),
        (
            &["operator", "--bank", "bank", "--calibrate", "bad.json", "--out", "c.toml", "--force"],
            "no running time of expert",
        ),
        (&["operator", "--bank", "bank", "--calibrate", "r.json", "--out", "c.toml"], "c.toml is there already"),
        (&["operator", "--bank", "bank", "--calibrate", "r.json", "--out", "r.json", "--force"], "is the input r.json"),
    ] {
        let output = evaluate(folder.path(), flags);
        assert_eq!(output.status.code(), Some(2), "{flags:?}");
        let message = String::from_utf8(output.stderr).expect("text");
        assert!(message.contains(expected), "{flags:?}: {message}");
    }
}

/// The one line that a command fails with.
fn refused(folder: &Path, flags: &[&str]) -> String {
    let output = evaluate(folder, flags);
    let message = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(2), "{flags:?}: {message}");
    assert!(message.starts_with("error: ") || message.contains("error: "), "{message}");
    message
}

fn suite_to(path: &Path, suite: &str) {
    sr_problems::suite(suite, 1).expect("a suite").write(path).expect("written");
}

/// All files of a folder with what is in them.
fn files(folder: &Path) -> std::collections::BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).expect("listed").map(|entry| entry.expect("an entry").path());
    let name = |path: &Path| path.file_name().expect("a name").to_string_lossy().into_owned();
    entries.filter(|path| path.is_file()).map(|path| (name(&path), std::fs::read(&path).expect("read"))).collect()
}

#[test]
fn no_plot_replaces_an_input_or_what_is_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    suite_to(&path("in-mse.svg"), "ultra-simple");
    suite_to(&path("in-seconds.svg"), "ultra-simple");
    for name in ["mine.svg", "a-mse.svg", "s-seconds.svg"] {
        std::fs::write(path(name), "MINE").expect("written");
    }
    let before = files(folder.path());
    let short = ["--seeds", "1", "--generations", "3", "--curve"];
    let equal = ["--seeds", "1", "--equal", "evaluations,seconds", "--max-evaluations", "60", "--time-limit", "0.05"];
    let suite = ["--suite", "ultra-simple"];
    for (flags, expected) in [
        (
            [&["--problems", "in-mse.svg", "--plot", "in.svg"][..], &short].concat(),
            "in-mse.svg is the input in-mse.svg",
        ),
        (
            [&["--problems", "in-mse.svg", "--plot", "in.svg", "--force"][..], &short].concat(),
            "--plot in-mse.svg is the input in-mse.svg",
        ),
        (
            [&["--problems", "in-seconds.svg", "--plot", "in.svg", "--force"][..], &equal].concat(),
            "--plot in-seconds.svg is the input in-seconds.svg",
        ),
        ([&suite[..], &short, &["--plot", "mine.svg"]].concat(), "mine.svg is there already"),
        ([&suite[..], &short, &["--plot", "a.svg"]].concat(), "--plot a-mse.svg: a-mse.svg is there already"),
        ([&suite[..], &equal, &["--plot", "s.svg"]].concat(), "--plot s-seconds.svg: s-seconds.svg is there already"),
        (
            [&suite[..], &short, &["--plot", "o.svg", "--out", "o.svg"]].concat(),
            "--plot o.svg: another output of this run has the same name",
        ),
        (
            [&suite[..], &short, &["--plot", "o.svg", "--out", "o-mse.svg"]].concat(),
            "--plot o-mse.svg: another output of this run has the same name",
        ),
    ] {
        let message = refused(folder.path(), &flags);
        assert!(message.contains(expected), "{flags:?}: {message}");
        assert_eq!(files(folder.path()), before, "{flags:?}");
    }
    json(&evaluate(folder.path(), &[&suite[..], &short, &["--plot", "a.svg", "--force", "--json"]].concat()));
    assert!(std::fs::read_to_string(path("a-mse.svg")).expect("a plot").contains("mean squared error"));
    json(&evaluate(folder.path(), &[&suite[..], &equal, &["--plot", "s.svg", "--force", "--json"]].concat()));
    assert!(std::fs::read_to_string(path("s.svg")).expect("a plot").contains("by evaluations"));
    assert!(std::fs::read_to_string(path("s-seconds.svg")).expect("a plot").contains("by seconds"));
}

#[test]
fn what_is_read_by_the_way_is_an_input_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    untrained_checkpoint(&path("direct"), "direct");
    suite_to(&path("p.sr"), "ultra-simple");
    let problems = sr_corpus::Problems::open(path("p.sr")).expect("problems");
    sr_corpus::convert_problems(&problems, &sr_corpus::Options::default(), &path("corpus"), || {}).expect("a corpus");
    let run = |flags: &[&str]| {
        let output = evaluate(folder.path(), flags);
        assert!(output.status.success(), "{flags:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let build = ["operator", "--build", "--suite", "harder", "--states", "6", "--generations", "10", "--bank"];
    run(&[&build[..], &["b.sr"]].concat());
    std::fs::write(path("c.sr.problems"), "MINE").expect("written");
    suite_to(&path("d.sr.problems"), "harder");
    let before = files(folder.path());
    let of_corpus = ["--problems", "corpus/train.sr", "--out", "p.sr", "--force"];
    for (flags, expected) in [
        ([&of_corpus[..], &["--seeds", "1", "--generations", "2"]].concat(), "--out p.sr is the input corpus/../p.sr"),
        ([&["direct", "--checkpoint", "direct"], &of_corpus[..]].concat(), "--out p.sr is the input corpus/../p.sr"),
        (
            ["operator", "--bank", "b.sr", "--out", "b.sr.problems", "--force"].to_vec(),
            "--out b.sr.problems is the input b.sr.problems",
        ),
        ([&build[..], &["c.sr"]].concat(), "c.sr.problems is there already; choose another name, or --force"),
        (
            ["operator", "--build", "--problems", "d.sr.problems", "--states", "6", "--bank", "d.sr", "--force"]
                .to_vec(),
            "d.sr.problems is the input d.sr.problems",
        ),
        (
            [
                "operator",
                "--build",
                "--suite",
                "ultra-simple",
                "--states",
                "9000",
                "--generations",
                "3",
                "--bank",
                "z.sr",
            ]
            .to_vec(),
            "only 0 of 3000 searches lasted",
        ),
    ] {
        let message = refused(folder.path(), &flags);
        assert!(message.contains(expected), "{flags:?}: {message}");
        assert_eq!(files(folder.path()), before, "{flags:?}");
    }
    run(&[&build[..], &["c.sr", "--force"]].concat());
    run(&["operator", "--bank", "c.sr", "--out", "c.json"]);
}

#[test]
fn numbers_at_their_ends_are_told_by_their_flags() {
    let folder = tempfile::tempdir().expect("a folder");
    untrained_checkpoint(&folder.path().join("direct"), "direct");
    suite_to(&folder.path().join("p.sr"), "ultra-simple");
    let largest = "18446744073709551615";
    let tune = ["tune", "--problems", "p.sr", "--max-evaluations", "60", "--out", "t.toml"];
    let direct = ["direct", "--checkpoint", "direct", "--suite", "ultra-simple"];
    let suite = ["--suite", "ultra-simple"];
    let ends = "seeds from 18446744073709551615 on end before";
    for (flags, expected) in [
        ([&suite[..], &["--seeds", largest]].concat(), "'--seeds <N>': 18446744073709551615 is not in 1..=1000000"),
        ([&tune[..], &["--seeds", largest]].concat(), "'--seeds <N>': 18446744073709551615 is not in 1..=1000000"),
        (
            [&direct[..], &["--samples", largest]].concat(),
            "'--samples <N>': 18446744073709551615 is not in 0..=1000000",
        ),
        ([&direct[..], &["--samples", "1000000000"]].concat(), "'--samples <N>': 1000000000 is not in 0..=1000000"),
        ([&suite[..], &["--seed", largest, "--seeds", "2"]].concat(), ends),
        ([&tune[..], &["--seed", largest]].concat(), ends),
        (
            [&["operator", "--build", "--bank", "b", "--seed", largest], &suite[..]].concat(),
            "--seed 18446744073709551615: up to 1000 seeds from it on are needed",
        ),
        ([&suite[..], &["--methods", "a=hybrid:m", "--neural-prob", "nan"]].concat(), "--neural-prob is NaN, expected"),
        ([&suite[..], &["--methods", "a=hybrid:m", "--neural-every", "0"]].concat(), "--neural-every is 0, expected 1"),
        ([&suite[..], &["--methods", "a=hybrid:m@p=2"]].concat(), "@p=2: expected @every=K"),
    ] {
        let message = refused(folder.path(), &flags);
        assert!(message.contains(expected), "{flags:?}: {message}");
    }
    let last = json(&evaluate(folder.path(), &[&suite[..], &["--seed", largest, "--seeds", "1", "--json"]].concat()));
    assert_eq!(last["rows"][0]["seed"], u64::MAX);
    assert_eq!(files(folder.path()).into_keys().collect::<Vec<_>>(), ["p.sr"]);
}

#[test]
fn flags_without_effect_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    untrained_checkpoint(&folder.path().join("step"), "one-step");
    untrained_checkpoint(&folder.path().join("direct"), "direct");
    suite_to(&folder.path().join("p.sr"), "ultra-simple");
    let build = ["operator", "--build", "--suite", "harder", "--generations", "10", "--bank", "b.sr"];
    assert!(evaluate(folder.path(), &[&build[..], &["--states", "6"]].concat()).status.success());
    let bank = ["operator", "--bank", "b.sr"];
    let suite = ["--suite", "ultra-simple"];
    let direct = ["direct", "--checkpoint", "direct", "--suite", "ultra-simple"];
    let with = |flags: &[&'static str], more: &[&'static str]| [flags, more].concat();
    for (flags, expected) in [
        (
            with(
                &["tune", "--problems", "p.sr", "--max-evaluations", "60", "--generations", "1"],
                &["--out", "t.toml"],
            ),
            "--generations has no effect with tune",
        ),
        (with(&bank, &["--temperature", "0.5"]), "--temperature has no effect without a learner among the --methods"),
        (with(&bank, &["--rules", "contains-variable"]), "--rules has no effect without a learner"),
        (with(&bank, &["--mode", "direct"]), "--mode has no effect without a learner"),
        (with(&bank, &["--device", "cpu"]), "--device has no effect without a learner"),
        (with(&bank, &["--force"]), "--force has no effect without --out, --report or --build"),
        (with(&bank, &["--methods", "tuned,tuned"]), "two of the --methods have the name tuned"),
        (with(&bank, &["--methods", "expert=neural:step"]), "two of the --methods have the name expert"),
        (with(&bank, &["--methods", "h=hybrid:step"]), "h: a hybrid needs @p=P or @every=K behind its checkpoint"),
        (
            with(&bank, &["--calibrate", "r.json", "--out", "c.toml", "--methods", "random"]),
            "--methods has no effect with --calibrate",
        ),
        (
            with(&bank, &["--calibrate", "r.json", "--out", "c.toml", "--temperature", "0.3"]),
            "--temperature has no effect with --calibrate",
        ),
        (with(&build, &["--extra-generations", "3"]), "--extra-generations has no effect with --build"),
        (with(&build, &["--states", "4", "--force"]), "--states 4: expected a multiple of three"),
        (with(&suite, &["--force"]), "--force has no effect without --out, --plot or --report"),
        (with(&direct, &["--force"]), "--force has no effect without --out or --report"),
        (
            with(&suite, &["--methods", "h=hybrid:step", "--neural-per", "child", "--neural-every", "3"]),
            "--neural-per has no effect without --neural-prob <P>, which cannot be used with --neural-every",
        ),
        (
            with(&["direct", "--checkpoint", "direct", "--problems", "p.sr"], &["--seed", "3"]),
            "--seed has no effect with --problems and without --samples",
        ),
        (with(&suite, &["--equal", "seconds,seconds", "--time-limit", "1"]), "--equal has seconds twice"),
        (with(&suite, &["--methods", "tuned", "--parsimony", "3"]), "--parsimony has no effect with the method tuned"),
        (
            with(&suite, &["--methods", "tuned", "--equal", "seconds", "--time-limit", "1", "--elitism", "0"]),
            "--elitism has no effect with the method tuned",
        ),
        (with(&suite, &["--methods", "tuned", "--survival", "plus"]), "--survival has no effect with the method tuned"),
        (with(&suite, &["--methods", "unique", "--unique=false"]), "--unique has no effect with the method unique"),
        (
            with(&suite, &["--methods", "tuned,unique", "--unique"]),
            "--unique has no effect with the methods tuned, unique",
        ),
        (
            with(&suite, &["--methods", "random", "--crossover", "0.1"]),
            "--crossover has no effect with the method random",
        ),
        (
            with(&suite, &["--methods", "tuned,random", "--tournament-size", "7"]),
            "--tournament-size has no effect with the methods tuned, random",
        ),
        (
            with(&suite, &["--methods", "s=neural:step", "--temperature", "0", "--top-k", "5"]),
            "--top-k is 5, expected none with --temperature 0",
        ),
        (
            with(&direct, &["--samples", "3", "--temperature", "0", "--top-p", "0.5"]),
            "--top-p is 0.5, expected none with --temperature 0",
        ),
    ] {
        let message = refused(folder.path(), &flags);
        assert!(message.contains(expected), "{flags:?}: {message}");
    }
    // What one of the methods goes by is no mistake.
    for more in [&["--methods", "random,expert", "--crossover", "0.1"], &["--methods", "random", "--parsimony", "3"]] {
        json(&evaluate(folder.path(), &[&suite[..], more, &["--seeds", "1", "--generations", "3", "--json"]].concat()));
    }
    let again = json(&evaluate(folder.path(), &[&bank[..], &["--methods", "expert,again=expert", "--json"]].concat()));
    let names: Vec<_> = again["methods"].as_array().expect("methods").iter().map(|m| &m["method"]).collect();
    assert_eq!(names, ["expert", "again"], "a second expert has a name of its own");
}

#[test]
fn a_pipe_gets_long_formulas_of_direct_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    untrained_checkpoint(&folder.path().join("direct"), "direct");
    let flags = ["direct", "--checkpoint", "direct", "--suite", "nguyen", "--samples", "2", "--seed", "1"];
    let rows = json(&evaluate(folder.path(), &[&flags[..], &["--json"]].concat()));
    let formulas = rows["rows"].as_array().expect("rows").iter().map(|row| row["expression"].as_str().expect("text"));
    assert!(formulas.clone().any(|formula| formula.len() > 120), "{:?}", formulas.collect::<Vec<_>>());
    let table = String::from_utf8(evaluate(folder.path(), &flags).stdout).expect("text");
    assert!(formulas.into_iter().all(|formula| table.contains(formula)), "{table}");
}

#[test]
fn targets_that_do_not_vary_or_whose_squares_are_no_numbers_have_tables_all_the_same() {
    use sr_expr::Op;
    let folder = tempfile::tempdir().expect("a folder");
    let found = |rows: &str| {
        own_data(folder.path(), "t", rows, vec![Op::Add, Op::Mul]);
        let flags = ["--problems", "t.sr", "--seeds", "1", "--generations", "3"];
        let row = json(&evaluate(folder.path(), &[&flags[..], &["--json"]].concat()))["rows"][0].clone();
        (row, String::from_utf8(evaluate(folder.path(), &flags).stdout).expect("text"))
    };
    let (row, text) = found("x,y\n1000,5000000\n2000,5000000\n3000,5000000\n");
    assert!(row["r2_train"].is_null() && row["mse_train"].as_f64() > Some(0.0), "{row}");
    assert!(text.contains(", R² –, "), "{text}");
    let (row, text) = found("x,y\n1e-200,3e-200\n2e-200,1e-200\n3e-200,7e-200\n4e-200,2e-200\n");
    assert!(row["mse_train"].as_f64() > Some(0.0) && row["r2_train"].as_f64() < Some(1.0), "{row}");
    assert!(!text.contains("MSE 0.0000e0") && row["solved"] == false, "{text}");
    let (row, text) = found("x,y\n1e300,3e300\n2e300,1e300\n3e300,7e300\n4e300,2e300\n");
    assert!(row["mse_train"].is_null() && row["r2_train"].is_number() && row["solved"] == false, "{row}");
    assert!(text.contains("MSE above 1.8e308, R² "), "{text}");
}

/// Tests that a learner needs no checkpoint and beats the reference engine where evaluations count.
#[test]
fn the_shipped_learner_searches_by_what_it_reads() {
    let folder = tempfile::tempdir().expect("a folder");
    let table = |more: &[&str]| {
        let flags =
            ["--suite", "simple", "--methods", "basic,learner=neural,hybrid@p=0.5", "--unique", "--survival", "plus"];
        let budget = ["--max-evaluations", "400", "--extra-generations", "0", "--seeds", "3", "--max-child-size", "25"];
        let output = evaluate(folder.path(), &[&flags[..], &budget, &["--json"], more].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        json(&output)
    };
    let of = |table: &serde_json::Value, method: &str, field: &str| {
        let summary = table["summary"].as_array().expect("rows").iter().find(|row| row["method"] == method);
        summary.unwrap_or_else(|| panic!("{method}"))[field].as_f64().unwrap_or(f64::INFINITY)
    };
    let (right, wrong) = (table(&[]), table(&["--swap", "points"]));
    assert!(of(&right, "learner", "ert") < of(&right, "basic", "ert"), "{right}");
    // How much the points of others harm stands in docs/experiments/learner.md.
    assert_ne!(of(&right, "learner", "evaluations"), of(&wrong, "learner", "evaluations"), "its points are used");
    assert_eq!(of(&right, "basic", "ert"), of(&wrong, "basic", "ert"));
    assert!(of(&right, "hybrid@p=0.5", "well_formed") > 0.99);
    let others = table(&["--swap", "populations"]);
    assert!(of(&others, "learner", "ert") > of(&right, "learner", "ert"), "it goes by its population: {others}");
    assert!(of(&others, "learner", "well_formed") > 0.99, "edits are legal in any population");
}
