//! The binary on a small file of each kind.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use serde_json::Value;
use sr_engine::{Expert, Objective, Search, SearchConfig, run};
use sr_expr::{Formula, Op, Semantics, Target};
use sr_problems::{ProblemSet, suite};
use sr_trace::{
    Label, LabelParams, LabelSet, Recorder, StateLabels, TraceHeader, TraceReader, TraceWriter, Trajectory,
};

fn sr_inspect(path: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sr-inspect")).arg(path).args(args).output().expect("the binary runs")
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).expect("text")
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn fails(output: &Output, message: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains(message), "{stderr}");
    assert_eq!(stderr.trim_end().lines().count(), 1, "{stderr}");
}

/// A trace of the suite `simple`, 4 generations each, the first state of each trajectory labelled.
fn trace(folder: &Path) -> PathBuf {
    let path = folder.join("trace.sr");
    let set = suite("simple", 1).expect("a suite");
    let config = SearchConfig { generations: 4, elitism: 0, early_stop_mse: None, ..SearchConfig::basic() };
    let first = set.problems[0].instance().expect("an instance");
    let mut header = TraceHeader::of_expert("problems.sr", first.primitives(), &config, "basic", 1);
    header.dagger = true;
    header.original_source = Some("basic_sr".into());
    let mut writer = TraceWriter::create(&path, &header).expect("created");
    for problem in &set.problems {
        let instance = Arc::new(problem.instance().expect("an instance"));
        let mut search = [Search::new(instance, config.clone(), 1).expect("a search")];
        let mut recorder = [Recorder::new(1)];
        let outcome = run(&mut search, &mut Expert, &mut recorder).expect("the expert never fails").remove(0);
        let [recorder] = recorder;
        let mut trajectory = recorder.finish(&outcome).expect("recorded");
        let (first, second) = (trajectory.generations.first(), trajectory.generation(1).expect("two generations"));
        let label = Label { child: second.individual(2), gain_parent: 0.0, gain_best: 0.5, weight: 1.0 };
        let state =
            StateLabels { generation: 0, state_hash: first.state_hash(), children: [label].into_iter().collect() };
        let params = LabelParams { seed: 0, samples: 1, ..LabelParams::default() };
        let (mode, source) = ("all".into(), "basic_sr".into());
        trajectory.add_labels(LabelSet { mode, params, source, states: vec![state] });
        writer.append(&trajectory).expect("appended");
    }
    writer.finish().expect("finished");
    path
}

/// Whether a trajectory's JSON says what the trajectory is.
fn matches(shown: &Value, trajectory: &Trajectory) {
    assert_eq!(shown["problem_id"], *trajectory.problem_id);
    assert_eq!((&shown["seed"], &shown["stop_reason"]), (&1.into(), &"generations".into()));
    let lineage = trajectory.lineage();
    let generations = shown["generations"].as_array().expect("a list");
    assert_eq!(generations.len(), trajectory.generations.len());
    for ((shown, record), lineage) in generations.iter().zip(trajectory.generations.iter()).zip(lineage) {
        assert_eq!(shown["generation"], record.generation);
        assert_eq!(shown["best_index"], record.best_index);
        assert_eq!(shown["diversity"], record.diversity());
        assert_eq!(shown["lineage"], Value::from(lineage));
        assert_eq!(shown["fitnesses"].as_array().expect("a list").len(), record.len());
        for (index, individual) in record.individuals().enumerate() {
            let text = individual.expr.display(Semantics::Protected).to_string();
            assert_eq!(shown["expressions"][index], text);
            assert_eq!(shown["fitnesses"][index].as_f64().expect("a number") as f32, individual.fitness);
            assert_eq!(shown["parents"][index], Value::from(individual.parents.iter().collect::<Vec<_>>()));
        }
    }
    assert_eq!(
        generations[0]["dagger_expressions"],
        Value::from(vec![
            trajectory.generation(1).expect("two").individual(2).expr.display(Semantics::Protected).to_string()
        ])
    );
    assert!(generations[1].get("dagger_expressions").is_none());
    assert_eq!(shown["best_progression"].as_array().expect("a list").len(), trajectory.best_progression().len());
}

#[test]
fn a_trace_as_json_says_what_the_file_holds() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = trace(folder.path());
    let shown = json(&sr_inspect(&path, &["--json"]));
    assert_eq!((&shown["command"], &shown["kind"]), (&"sr-inspect".into(), &"trace".into()));
    assert_eq!((&shown["format_version"], &shown["count"]), (&2.into(), &10.into()));
    let header = &shown["header"];
    assert_eq!((&header["dagger"], &header["original_source"]), (&true.into(), &"basic_sr".into()));
    assert_eq!((&header["engine"]["population_size"], &header["policy"]), (&20.into(), &"expert".into()));
    let records = shown["records"].as_array().expect("a list");
    assert_eq!(records.len(), 10);
    for (shown, trajectory) in records.iter().zip(TraceReader::open(&path).expect("a trace")) {
        matches(shown, &trajectory.expect("a whole file"));
    }
    assert_eq!(json(&sr_inspect(&path, &["--json", "--head", "2"]))["records"].as_array().map(Vec::len), Some(2));
    let one = json(&sr_inspect(&path, &["--json", "--id", "3"]));
    assert_eq!(one["records"], Value::from(vec![records[3].clone()]));
    assert_eq!(one["count"], 10);
}

#[test]
fn a_trace_as_text_has_header_statistics_and_records() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = trace(folder.path());
    let all = text(&sr_inspect(&path, &[]));
    for part in ["trace, format version 2, 10 records", "engine.population_size", "last diversity", "quartic", "labels"]
    {
        assert!(all.contains(part), "{part} is missing in\n{all}");
    }
    let some = text(&sr_inspect(&path, &["--head", "3"]));
    assert!(some.contains("… and 7 more"), "{some}");
    let one = text(&sr_inspect(&path, &["--id", "quartic"]));
    assert!(one.starts_with("problem quartic, seed 1, ended: generations"), "{one}");
    assert!(one.contains("ancestors"), "{one}");
    fails(&sr_inspect(&path, &["--id", "sextic"]), "there is no record sextic among 10");
}

#[test]
fn a_cut_trace_shows_its_whole_records_and_exits_with_2() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = trace(folder.path());
    let bytes = std::fs::read(&path).expect("read");
    std::fs::write(&path, &bytes[..bytes.len() * 2 / 3]).expect("written");
    let output = sr_inspect(&path, &["--json"]);
    let shown = json(&output);
    let count = shown["count"].as_u64().expect("a number");
    assert!((1..10).contains(&count));
    assert_eq!(shown["records"].as_array().map(Vec::len), Some(count as usize));
    fails(&output, "cut short: whole up to byte");
    fails(&output, &format!("record {count} "));
    let output = sr_inspect(&path, &[]);
    fails(&output, "cut short");
    let shown = String::from_utf8(output.stdout).expect("text");
    assert!(shown.contains(&format!("format version 2, {count} records")) && shown.contains("quadratic"), "{shown}");
}

#[test]
fn missing_foreign_and_damaged_files_are_errors() {
    let folder = tempfile::tempdir().expect("a folder");
    fails(&sr_inspect(&folder.path().join("none.sr"), &[]), "none.sr: cannot open");
    let foreign = folder.path().join("foreign.sr");
    std::fs::write(&foreign, "x,y\n1,2\n").expect("written");
    fails(&sr_inspect(&foreign, &[]), "not a readable record file");
    fails(&sr_inspect(folder.path(), &[]), "nothing of sr is in this folder");
    std::fs::write(folder.path().join("plot.svg"), "<svg/>").expect("written");
    fails(&sr_inspect(&folder.path().join("plot.svg"), &[]), "plot.svg is a plot: open it in a browser");
    std::fs::write(folder.path().join("bad.csv"), [0xff, 0xfe, 0x00]).expect("written");
    fails(&sr_inspect(&folder.path().join("bad.csv"), &[]), "bad.csv: no text in UTF-8");
    let path = trace(folder.path());
    for (flags, expected) in [
        (&["--predict"][..], "--id"),
        (&["--id", "0", "--predict"], "--predict needs the problem set problems.sr"),
        (&["--threshold=-1"], "expected a number, 0 or more"),
        (&["--problems", "none.sr"], "none.sr"),
    ] {
        let output = sr_inspect(&path, flags);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && stderr.contains(expected), "{flags:?}: {stderr}");
    }
    let problems = folder.path().join("p.sr");
    suite("simple", 1).expect("a suite").write(&problems).expect("written");
    fails(&sr_inspect(&problems, &["--best"]), "--best is for traces; ");
    let mut bytes = std::fs::read(&path).expect("read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x55;
    std::fs::write(&path, bytes).expect("written");
    let output = sr_inspect(&path, &["--json"]);
    fails(&output, "corrupt");
    assert!(json(&output)["count"].as_u64().expect("a number") < 10);
}

#[test]
fn a_file_on_standard_input_is_shown_like_one_with_a_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = trace(folder.path());
    let piped = |file: &Path, args: &[&str]| {
        let input = std::fs::File::open(file).expect("a file");
        let mut command = Command::new(env!("CARGO_BIN_EXE_sr-inspect"));
        command.current_dir(folder.path()).arg("-").args(args).stdin(input).output().expect("the binary runs")
    };
    assert_eq!(text(&piped(&path, &[])), text(&sr_inspect(&path, &[])));
    let json_file = folder.path().join("a.json");
    let long = "long ".repeat(200);
    std::fs::write(&json_file, format!("{{\"rows\": [{{\"text\": \"{long}\"}}]}}")).expect("written");
    assert_eq!(text(&piped(&json_file, &[])), text(&sr_inspect(&json_file, &[])));
    assert!(text(&piped(&json_file, &[])).contains(long.trim_end()), "a pipe gets all of a record");
    let cut = folder.path().join("cut.sr");
    std::fs::write(&cut, &std::fs::read(&path).expect("read")[..300]).expect("written");
    fails(&piped(&cut, &[]), "error: standard-input: ");
}

#[test]
fn problem_sets_corpora_and_checkpoints_are_shown_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let problems = folder.path().join("problems.sr");
    suite("simple", 1).expect("a suite").write(&problems).expect("written");
    let shown = json(&sr_inspect(&problems, &["--json"]));
    assert_eq!((&shown["kind"], &shown["count"]), (&"problems".into(), &10.into()));
    assert_eq!(shown["records"][0]["source"], "(((x0 * x0) + x0) + 1.0)");
    assert!(text(&sr_inspect(&problems, &[])).contains("mixed_polynomial"));

    let corpus = folder.path().join("corpus");
    let set = sr_corpus::Problems::open(&problems).expect("problems");
    let options = sr_corpus::Options { val_fraction: 0.3, ..sr_corpus::Options::default() };
    let counts = sr_corpus::convert_problems(&set, &options, &corpus, || {}).expect("a corpus");
    let shown = json(&sr_inspect(&corpus.join("train.sr"), &["--json"]));
    assert_eq!((&shown["kind"], &shown["count"]), (&"corpus".into(), &counts.train.into()));
    assert!(shown["records"][0]["target"].is_string());
    assert!(text(&sr_inspect(&corpus.join("train.sr"), &[])).contains("first target"));

    let checkpoint = folder.path().join("checkpoint");
    std::fs::create_dir(&checkpoint).expect("a folder");
    std::fs::write(checkpoint.join("config.json"), r#"{"layers": 4}"#).expect("written");
    fails(&sr_inspect(&checkpoint, &[]), "meta.json");
    std::fs::write(checkpoint.join("meta.json"), r#"{"step": 100}"#).expect("written");
    std::fs::write(checkpoint.join("tokenizer.json"), r#"{"model": {"vocab": {"a": 0, "b": 1}}}"#).expect("written");
    std::fs::write(checkpoint.join("model.bpk"), "weights").expect("written");
    assert_eq!(json(&sr_inspect(&checkpoint.join("model.bpk"), &["--json"]))["kind"], "checkpoint");
    std::fs::remove_file(checkpoint.join("model.bpk")).expect("removed");
    let shown = json(&sr_inspect(&checkpoint, &["--json"]));
    assert_eq!((&shown["kind"], &shown["count"]), (&"checkpoint".into(), &3.into()));
    assert_eq!(shown["header"]["meta"]["step"], 100);
    assert_eq!(shown["statistics"]["vocabulary"], 2);

    let gpt_neo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/gpt-neo");
    let shown = json(&sr_inspect(&gpt_neo, &["--json"]));
    assert_eq!(shown["header"]["config"]["model_type"], "gpt_neo");
    assert_eq!(shown["kind"], "GPT-Neo model of the transformers library");
    assert_eq!(names(&shown), ["config.json", "model.safetensors"], "other files are no part of it");
}

#[test]
fn contexts_are_shown_of_problems_trajectories_and_examples() {
    let folder = tempfile::tempdir().expect("a folder");
    let (problems, corpus) = (folder.path().join("problems.sr"), folder.path().join("corpus"));
    suite("simple", 1).expect("a suite").write(&problems).expect("written");
    let trace = trace(folder.path());
    let set = sr_corpus::Problems::open(&problems).expect("problems");
    sr_corpus::convert_trace(&trace, &set, &sr_corpus::Options::default(), &corpus, || {}).expect("a corpus");

    let rich = "generation: 0 | 1 variables | ops: *,+,-,/ | constants: 1.0 | STATS: range=[";
    let shown = text(&sr_inspect(&problems, &["--id", "quadratic", "--context", "superrich"]));
    assert!(shown.contains(rich) && shown.contains("monotonic=False") && shown.contains(" | PLOT: "), "{shown}");
    let shown = json(&sr_inspect(&trace, &["--id", "quadratic", "--context", "basic", "--json"]));
    let contexts = shown["records"][0]["contexts"].as_array().expect("a list");
    assert!(contexts.len() > 1 && contexts[1].as_str().expect("a text").starts_with("generation: 1 | 1 variables"));
    let shown = json(&sr_inspect(&corpus.join("train.sr"), &["--id", "2", "--context", "rich", "--json"]));
    let context = shown["records"][0]["context"].as_str().expect("a text");
    assert!(context.starts_with("generation: 2 |") && context.contains(" | STATS: "), "{context}");

    fails(&sr_inspect(folder.path(), &["--id", "0", "--context", "rich"]), "--context is for problem sets");
    std::fs::rename(&problems, folder.path().join("elsewhere.sr")).expect("renamed");
    fails(&sr_inspect(&trace, &["--id", "0", "--context", "rich"]), "--problems");
    let elsewhere = folder.path().join("elsewhere.sr");
    let given = ["--id", "0", "--context", "rich", "--problems", elsewhere.to_str().expect("UTF-8")];
    assert!(text(&sr_inspect(&trace, &given)).contains(" | STATS: "));
}

#[test]
fn json_files_are_shown_too() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("m.jsonl"), "{\"step\":10,\"loss\":2.5}\n{\"step\":20,\"loss\":1.5}\n")
        .expect("written");
    std::fs::write(folder.path().join("e.json"), "{\"seconds\":1.5,\"rows\":[{\"solved\":true}]}").expect("written");
    std::fs::write(folder.path().join("bad.json"), "{").expect("written");
    let inspect = |flags: &[&str]| {
        std::process::Command::new(env!("CARGO_BIN_EXE_sr-inspect")).current_dir(folder.path()).args(flags).output()
    };
    let shown = String::from_utf8(inspect(&["m.jsonl"]).expect("started").stdout).expect("text");
    assert!(shown.contains("2 records") && shown.contains("loss 1.5"), "{shown}");
    let shown: serde_json::Value =
        serde_json::from_slice(&inspect(&["e.json", "--json"]).expect("started").stdout).expect("JSON");
    assert_eq!((&shown["records"][0]["solved"], &shown["count"]), (&true.into(), &1.into()));
    assert_eq!(inspect(&["bad.json"]).expect("started").status.code(), Some(2));
}

fn names(shown: &Value) -> Vec<&str> {
    shown["records"].as_array().expect("a list").iter().map(|entry| entry["file"].as_str().expect("a name")).collect()
}

/// The problem set of a table whose target is y.
fn table(path: &Path, operators: Vec<Op>) -> ProblemSet {
    let options = sr_problems::TableOptions { operators, ..sr_problems::TableOptions::new("y") };
    sr_problems::from_table(path, &options).expect("a table").set
}

/// A table and its problem set NAME.sr, and NAME.trace.sr of its search.
fn search(folder: &Path, name: &str, text: &str, operators: Vec<Op>, config: SearchConfig) -> (PathBuf, ProblemSet) {
    let data = folder.join(format!("{name}.csv"));
    std::fs::write(&data, text).expect("written");
    let set = table(&data, operators);
    let file = format!("{name}.sr");
    set.write(folder.join(&file)).expect("written");
    let instance = Arc::new(set.problems[0].instance().expect("an instance"));
    let header = TraceHeader::of_expert(&file, instance.primitives(), &config, "basic", 1);
    let path = folder.join(format!("{name}.trace.sr"));
    let mut writer = TraceWriter::create(&path, &header).expect("created");
    let mut search = [Search::new(instance, config, 1).expect("a search")];
    let mut recorder = [Recorder::new(1)];
    let outcome = run(&mut search, &mut Expert, &mut recorder).expect("the expert never fails").remove(0);
    let [recorder] = recorder;
    writer.append(&recorder.finish(&outcome).expect("a whole search")).expect("appended");
    writer.finish().expect("finished");
    (path, set)
}

/// Three generations, as the flags of a trace's search have it.
fn short_search(objective: Objective) -> SearchConfig {
    SearchConfig { generations: 3, extra_generations: 0, objective, ..SearchConfig::basic() }
}

/// Own data that only the guarded logarithm explains, y = ln|speed| and ln 1e-12 at 0, and a trace of its searches.
fn guarded(folder: &Path) -> (PathBuf, ProblemSet) {
    let rows = "-2,0.6931471805599453\n-1,0\n1,0\n2,0.6931471805599453\n0,-27.631021115928547\n";
    let text = format!("speed,y\n{rows}");
    search(folder, "flow", &text, vec![Op::Add, Op::Log], short_search(Objective::Masked))
}

#[test]
fn the_best_formula_is_told_as_what_it_is_with_its_error_and_its_values() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, set) = guarded(folder.path());
    let shown = json(&sr_inspect(&path, &["--best", "--json"]));
    let best = &shown["records"][0];
    assert_eq!((&best["expression"], &best["formula"]), (&"plog(x0)".into(), &"plog(speed)".into()));
    assert_eq!(
        (&best["mse_is_recorded"], &best["other_data"], &best["size"]),
        (&false.into(), &false.into(), &2.into())
    );
    assert_eq!((&best["generations_to_threshold"], &best["threshold"]), (&0.into(), &1e-6.into()));
    assert!(best["mse"].as_f64() < Some(1e-28) && best["r2"] == 1.0, "{best}");
    assert!(best.get("generations").is_none() && best["best_progression"].is_array());
    // The printed formula, read again, has the values that the search had.
    let read: Formula = best["expression"].as_str().expect("text").parse().expect("a formula");
    assert_eq!(read.semantics, Some(Semantics::Protected));
    let problem = &set.problems[0];
    let predicted = sr_expr::predict(&read.expr, &problem.x, Semantics::Protected);
    let with_values = json(&sr_inspect(&path, &["--id", "0", "--predict", "--json"]));
    let values = with_values["records"][0]["predictions"].as_array().expect("values");
    assert_eq!(values.iter().map(|value| value.as_f64().expect("finite")).collect::<Vec<_>>(), predicted);
    // Files of formulas take it too.
    let laws = folder.path().join("laws.txt");
    std::fs::write(&laws, best["expression"].as_str().expect("text")).expect("written");
    let laws = sr_problems::from_formulas(&laws, &sr_problems::FormulaOptions::default()).expect("formulas");
    assert_eq!(laws.problems[0].formula().as_deref(), Some("plog(x0)"));
    assert!(laws.problems[0].x.values().any(|&x| x < 0.0), "it has values there");

    // And with the names of columns.
    let laws = folder.path().join("named.txt");
    std::fs::write(&laws, best["formula"].as_str().expect("text")).expect("written");
    let names = sr_problems::parse_names("speed").expect("names");
    let options = sr_problems::FormulaOptions { names, ..sr_problems::FormulaOptions::default() };
    let laws = sr_problems::from_formulas(&laws, &options).expect("formulas");
    let read = laws.problems[0].source.as_ref().expect("a formula");
    assert_eq!(sr_expr::predict(read, &problem.x, laws.problems[0].semantics), predicted);

    let all = text(&sr_inspect(&path, &[]));
    assert!(all.contains("plog(speed)") && all.contains("columns: x0 = \"speed\"") && all.contains("to 1e-6"), "{all}");
    let one = text(&sr_inspect(&path, &["--id", "0"]));
    assert!(one.contains("best: plog(speed)") && one.contains("over all 5 rows, R² 1"), "{one}");
    assert!(one.contains("generations to an mse of 1e-6: 0") && one.contains("best so far"), "{one}");
    let values = text(&sr_inspect(&path, &["--id", "0", "--predict"]));
    assert!(values.contains("speed") && values.contains("prediction") && values.contains("-27.63"), "{values}");

    // Without the problem set errors are as recorded, and said to be.
    std::fs::rename(folder.path().join("flow.sr"), folder.path().join("moved.sr")).expect("renamed");
    let best = &json(&sr_inspect(&path, &["--best", "--json"]))["records"][0];
    assert_eq!(
        (&best["mse_is_recorded"], &best["formula"], &best["r2"]),
        (&true.into(), &"plog(x0)".into(), &Value::Null)
    );
    assert!(text(&sr_inspect(&path, &[])).contains("recorded mse"));
    let moved = folder.path().join("moved.sr");
    let given = ["--best", "--problems", moved.to_str().expect("UTF-8")];
    assert!(text(&sr_inspect(&path, &given)).contains("plog(speed)"));
}

#[test]
fn the_best_formula_of_each_search_is_exported() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = trace(folder.path());
    let searches: Vec<Trajectory> =
        TraceReader::open(&path).expect("a trace").map(|trajectory| trajectory.expect("whole")).collect();
    let quartic = searches.iter().position(|search| search.problem_id == "quartic").expect("a search");
    for target in Target::ALL {
        let flags = ["--best", "--export", target.name()];
        let shown = text(&sr_inspect(&path, &flags));
        let texts = searches.iter().enumerate().map(|(number, search)| {
            let best = search.best_progression().pop().expect("a best individual").expr;
            let names: Vec<String> = (0..search.primitives.n_variables()).map(|column| format!("x{column}")).collect();
            let title = format!("search {number}: problem {}, seed 1", search.problem_id);
            let export = best.export(target, Semantics::Protected).with_title(&title).with_names(&names);
            export.with_function(&format!("f_{number}")).to_string()
        });
        let texts: Vec<String> = texts.collect();
        let between = if texts[0].lines().count() > 1 { "\n" } else { "" };
        assert_eq!(shown, texts.join(between), "{target}");
        assert_eq!(text(&sr_inspect(&path, &[&flags[..], &["--id", "quartic"]].concat())), texts[quartic]);
        assert_eq!(text(&sr_inspect(&path, &[&flags[..], &["--head", "2"]].concat())), texts[..2].join(between));
        let shown = json(&sr_inspect(&path, &[&flags[..], &["--json"]].concat()));
        let exports: Vec<&Value> = shown["records"].as_array().expect("a list").iter().map(|r| &r["export"]).collect();
        assert_eq!(
            exports,
            texts.iter().map(|text| Value::from(&**text)).collect::<Vec<_>>().iter().collect::<Vec<_>>()
        );
    }
    assert!(json(&sr_inspect(&path, &["--best", "--json"]))["records"][0].get("export").is_none());

    let (path, _) = guarded(folder.path());
    let shown = text(&sr_inspect(&path, &["--best", "--export", "c"]));
    assert!(shown.starts_with("// search 0: problem flow, seed 1\n#include <math.h>\n"), "{shown}");
    assert!(shown.ends_with("double f_0(double speed) {\n    return sr_plog(speed);\n}\n"), "{shown}");
}

#[test]
fn the_examples_of_docs_export_are_what_the_commands_print() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let document = std::fs::read_to_string(root.join("docs/export.md")).expect("the document");
    let blocks = document.split("```text\n$ sr-inspect ").skip(1);
    let blocks: Vec<&str> = blocks.map(|rest| rest.split("```").next().expect("a block's end")).collect();
    assert_eq!(blocks.len(), Target::ALL.len());
    for block in blocks {
        let (command, expected) = block.split_once('\n').expect("a command and what it prints");
        let mut words = command.split(' ');
        let path = root.join(words.next().expect("a file"));
        assert_eq!(text(&sr_inspect(&path, &words.collect::<Vec<_>>())), expected, "{command}");
    }
}

#[test]
fn values_at_other_rows_are_told_and_other_data_noticed() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, mut set) = guarded(folder.path());
    let rows = folder.path().join("new.csv");
    std::fs::write(&rows, "speed,y\n5,1\n-5,2\n").expect("written");
    let new = table(&rows, vec![Op::Add]);
    let new_set = folder.path().join("new.sr");
    new.write(&new_set).expect("written");
    let flags = ["--id", "0", "--predict", "--json", "--problems", new_set.to_str().expect("UTF-8")];
    let shown = json(&sr_inspect(&path, &flags));
    let shown = &shown["records"][0];
    let values: Vec<f64> = shown["predictions"].as_array().expect("values").iter().filter_map(Value::as_f64).collect();
    assert!(values.len() == 2 && values.iter().all(|value| (value - 5.0_f64.ln()).abs() < 1e-12), "{values:?}");
    assert_eq!((&shown["other_data"], &shown["y"]), (&true.into(), &serde_json::json!([1.0, 2.0])));
    // The set beside the trace is another one by now: its rows say nothing of the search.
    set.problems[0].y.iter_mut().for_each(|y| *y += 1.0);
    set.write(folder.path().join("flow.sr")).expect("written");
    let output = sr_inspect(&path, &["--best", "--json"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("has other data than its search"));
    assert_eq!(json(&output)["records"][0]["mse_is_recorded"], true);
}

/// A search with fitted constants has a + b * f for each individual f. The law here is 3*speed + 5, so that f is `speed`.
#[test]
fn the_offset_and_factor_of_a_formula_are_those_of_the_data_that_were_searched() {
    let folder = tempfile::tempdir().expect("a folder");
    let rows: String = (0..20).map(|row| format!("{row},{}\n", 3 * row + 5)).collect();
    let config = SearchConfig { generations: 3, ..SearchConfig::default() };
    let (path, _) = search(folder.path(), "line", &format!("speed,y\n{rows}"), vec![Op::Add, Op::Mul], config);
    let other = folder.path().join("other.csv");
    std::fs::write(&other, "speed,y\n100,1\n200,0\n300,7\n").expect("written");
    let other_set = folder.path().join("other.sr");
    table(&other, vec![Op::Add, Op::Mul]).write(&other_set).expect("written");
    let at_other_rows = ["--id", "0", "--predict", "--json", "--problems", other_set.to_str().expect("UTF-8")];
    let predictions = || {
        let shown = json(&sr_inspect(&path, &at_other_rows))["records"][0].clone();
        let values = shown["predictions"].as_array().expect("values").iter();
        (shown["scale"].clone(), values.map(|value| value.as_f64().expect("finite").round()).collect::<Vec<_>>())
    };
    assert_eq!(predictions(), ("searched".into(), vec![305.0, 605.0, 905.0]));
    assert_eq!(json(&sr_inspect(&path, &["--best", "--json"]))["records"][0]["scale"], "searched");
    let export = text(&sr_inspect(&path, &["--best", "--export", "numpy"]));
    assert!(export.contains("speed * 3 + 5") && !export.contains("stands without"), "{export}");

    std::fs::remove_file(folder.path().join("line.sr")).expect("removed");
    let (scale, values) = predictions();
    assert!(scale == "other data" && values[0] < 10.0, "{values:?}");
    assert!(text(&sr_inspect(&path, &at_other_rows[..2])).contains("stands without its offset and factor"));
    let shown = text(&sr_inspect(&path, &["--best", "--problems", at_other_rows[5]]));
    assert!(shown.contains("fitted to these rows"), "{shown}");
    assert_eq!(json(&sr_inspect(&path, &["--best", "--json"]))["records"][0]["scale"], "missing");
    for target in Target::ALL {
        let export = text(&sr_inspect(&path, &["--best", "--export", target.name()]));
        assert!(export.contains("stands without its offset and factor"), "{target}: {export}");
    }
}

#[test]
fn every_folder_of_ours_says_what_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let write = |name: &str, text: &str| {
        let path = at(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, text).expect("written");
    };
    let kind = |name: &str| json(&sr_inspect(&at(name), &["--json"]))["kind"].clone();

    let problems = at("problems.sr");
    suite("simple", 1).expect("a suite").write(&problems).expect("written");
    let set = sr_corpus::Problems::open(&problems).expect("problems");
    let options = sr_corpus::Options { val_fraction: 0.3, ..sr_corpus::Options::default() };
    let counts = sr_corpus::convert_problems(&set, &options, &at("corpus"), || {}).expect("a corpus");
    let shown = json(&sr_inspect(&at("corpus"), &["--json"]));
    assert_eq!((&shown["kind"], &shown["header"]["corpus"]["mode"]), (&"corpus".into(), &"direct".into()));
    assert_eq!(shown["statistics"]["training_records"], counts.train);
    assert_eq!(names(&shown), ["train.sr", "val.sr"]);

    write("run/config.json", r#"{"model": "micro"}"#);
    write("run/best/config.json", "{}");
    write("run/best/meta.json", r#"{"step": 20, "val_loss": 1.5}"#);
    write("run/last/meta.json", r#"{"step": 30}"#);
    let shown = json(&sr_inspect(&at("run"), &["--json"]));
    assert_eq!((&shown["kind"], &shown["statistics"]["best_step"]), (&"training run".into(), &20.into()));
    let told = text(&sr_inspect(&at("run"), &[]));
    assert!(
        told.contains("checkpoints of this run: ") && told.contains("run/best, ") && told.contains("run/last"),
        "{told}"
    );

    write("dagger/config.json", r#"{"task": "search"}"#);
    let row = r#"{"milestone_id": "A", "index": 0, "timestamp": 7, "status": "failed", "reason": "too hard",
        "expert_success_rate": 0.25, "expert_mean_steps": null, "expert_std_steps": null, "max_episode_steps": null,
        "dagger_final_success_rate": null, "dagger_best_success_rate": null, "best_round": null, "labels": "",
        "rounds": []}"#;
    write("dagger/results.json", &format!("{{\"milestones\": [{row}]}}"));
    write("dagger/results.csv", "milestone_id,index,status,expert_success_rate\nA,0,failed,0.25\n");
    assert_eq!(kind("dagger"), "sr-dagger run");
    for name in ["dagger", "dagger/results.json", "dagger/results.csv"] {
        let told = text(&sr_inspect(&at(name), &[]));
        assert!(told.contains("milestone") && told.contains("failed") && told.contains("0.25"), "{name}: {told}");
        assert!(told.lines().all(|line| line.chars().count() < 200), "{name}: {told}");
    }

    write("student/config.json", r#"{"hidden": 128}"#);
    write("student/student.bpk", "weights");
    assert_eq!(
        (kind("student"), kind("student/student.bpk")),
        ("student of point control".into(), "student of point control".into())
    );

    write("set/manifest.json", r#"{"format": "sr-dataset", "version": 1, "seed": 3}"#);
    let shown = json(&sr_inspect(&at("set"), &["--json"]));
    assert_eq!((&shown["kind"], &shown["header"]["manifest"]["seed"]), (&"data set".into(), &3.into()));

    std::fs::create_dir_all(at("rounds/round-000")).expect("made");
    let mut buffer =
        sr_dagger::Buffer::open(at("rounds/buffer.bin"), sr_dagger::BufferOptions::new(4)).expect("a buffer");
    buffer.append(0, &[1; 12]).expect("appended");
    assert_eq!(kind("rounds"), "rounds of a milestone");
    // It is open elsewhere, which does not matter to a reader.
    let shown = json(&sr_inspect(&at("rounds/buffer.bin"), &["--json"]));
    assert_eq!((&shown["kind"], &shown["header"]["row_bytes"]), (&"DAgger buffer".into(), &4.into()));
    assert_eq!((&shown["statistics"]["rows"], &shown["statistics"]["rounds"]), (&3.into(), &1.into()));

    let shown = json(&sr_inspect(folder.path(), &["--json"]));
    assert_eq!((&shown["kind"], names(&shown).len()), (&"folder".into(), 7));
    let what = |name: &str| {
        let entries = shown["records"].as_array().expect("a list");
        entries.iter().find(|entry| entry["file"] == name).expect(name)["what"].clone()
    };
    assert_eq!((what("corpus/"), what("problems.sr")), ("corpus".into(), "problems, version 1".into()));
}

#[test]
fn a_later_format_is_an_error_and_not_shown_as_known() {
    let folder = tempfile::tempdir().expect("a folder");
    for (kind, name) in [
        (sr_codec::Kind::Problems, "problems.sr"),
        (sr_codec::Kind::Trace, "trace.sr"),
        (sr_codec::Kind::Corpus, "corpus.sr"),
    ] {
        let path = folder.path().join(name);
        let header = sr_codec::Header { kind, version: 99, params: serde_json::json!({}) };
        sr_codec::Writer::create(&path, &header).expect("created").finish().expect("finished");
        let output = sr_inspect(&path, &[]);
        fails(&output, "99");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn a_report_of_evaluations_is_shown_as_tables() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("r.json");
    let row = |seed: u64| sr_eval::Row {
        method: "expert".into(),
        problem: "p".into(),
        seed,
        mse_train: Some(0.5),
        expression: format!("plog({}x0{})", "sin(".repeat(40), ")".repeat(40)),
        ..sr_eval::Row::default()
    };
    let rows: Vec<_> = (0..30).map(row).collect();
    let summary = sr_eval::summarise(&rows, 0);
    let report = serde_json::json!({ "settings": { "seeds": 30 }, "rows": rows, "summary": summary });
    std::fs::write(&path, report.to_string()).expect("written");
    let told = text(&sr_inspect(&path, &[]));
    for part in ["30 records", "settings.seeds", "median MSE", "5.00e-1", "… and 20 more", "plog(sin("] {
        assert!(told.contains(part), "{part} is missing in\n{told}");
    }
    let summary = told.lines().filter(|line| line.contains("median MSE") || line.contains("5.00e-1"));
    assert!(summary.map(|line| line.chars().count()).max().is_some_and(|width| width < 230), "{told}");
    let shown = json(&sr_inspect(&path, &["--json"]));
    assert_eq!(shown["records"][3]["expression"], rows[3].expression);
    assert_eq!(shown["header"]["summary"][0]["n"], 30);
}

#[test]
fn a_damaged_checkpoint_is_an_error_that_names_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("config.json"), "{}").expect("written");
    std::fs::write(at("meta.json"), "{\"format_version\": 1}").expect("written");
    std::fs::write(at("model.bpk"), "weights").expect("written");
    // The checksum of something else.
    let sum = "9c05e5d8f4d1d4d8d1ed2ef9b5a0e3a1c0f7b1f6b1f3b0d2b5a4c3d2e1f0a9b8";
    std::fs::write(at("SHA256SUMS"), format!("{sum}  model.bpk\n")).expect("written");
    let output = sr_inspect(folder.path(), &[]);
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(message.contains("model.bpk: the file is not the one that was saved"), "{message}");
}

#[test]
fn columns_of_another_problem_set_are_found_by_their_names() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    // y is twice the height, the first column of the search and the second of the new rows.
    let rows = "height,width,y\n1,1000,2\n2,999,4\n3,1001,6\n4,1002,8\n";
    let (path, _) = search(folder.path(), "box", rows, vec![Op::Add], short_search(Objective::Mse));
    let write = |name: &str, rows: &str| {
        std::fs::write(at("new.csv"), rows).expect("written");
        table(&at("new.csv"), vec![Op::Add]).write(at(name)).expect("written");
        at(name).to_str().expect("UTF-8").to_owned()
    };
    let new = write("new.sr", "width,note,height,y\n1001,1,5,10\n1002,2,6,12\n");
    let shown = json(&sr_inspect(&path, &["--id", "0", "--predict", "--json", "--problems", &new]));
    let shown = &shown["records"][0];
    assert_eq!((&shown["formula"], &shown["columns"]), (&"(height + height)".into(), &"by name".into()));
    assert_eq!(shown["predictions"], serde_json::json!([10.0, 12.0]));
    assert_eq!((&shown["r2"], &shown["mse"], &shown["other_data"]), (&1.0.into(), &0.0.into(), &true.into()));
    let told = text(&sr_inspect(&path, &["--id", "0", "--predict", "--problems", &new]));
    let titles = told.lines().find(|line| line.contains("prediction")).expect("a table");
    assert!(titles.find("height") < titles.find("width") && !titles.contains("note"), "{told}");
    assert!(!told.contains("in their order"), "{told}");

    let other = write("other.sr", "depth,height,y\n1,5,10\n2,6,12\n");
    for flags in [&["--best"][..], &["--id", "0", "--predict"]] {
        let output = sr_inspect(&path, &[flags, &["--problems", &other]].concat());
        fails(&output, "there is no column \"width\", which the search had; the columns are depth, height");
    }

    // Without the search's own set its names are not known: that is said, and formulas have none.
    std::fs::rename(at("box.sr"), at("moved.sr")).expect("renamed");
    let new = write("two.sr", "width,height,y\n1001,5,10\n1002,6,12\n");
    let shown = json(&sr_inspect(&path, &["--best", "--json", "--problems", &new]));
    let shown = &shown["records"][0];
    assert_eq!((&shown["formula"], &shown["columns"]), (&"(x0 + x0)".into(), &"in order".into()));
    for flags in [&["--best"][..], &["--id", "0", "--predict"]] {
        let told = text(&sr_inspect(&path, &[flags, &["--problems", &new]].concat()));
        assert!(told.contains("columns are taken in their order, x0 = \"width\", x1 = \"height\""), "{told}");
        assert!(told.contains("(x0 + x0)") && !told.contains("(width"), "{told}");
    }
    // The search's own rows are known by what they are.
    let moved = at("moved.sr");
    let shown = json(&sr_inspect(&path, &["--best", "--json", "--problems", moved.to_str().expect("UTF-8")]));
    let shown = &shown["records"][0];
    assert_eq!((&shown["formula"], &shown["columns"]), (&"(height + height)".into(), &"searched".into()));
}

#[test]
fn a_wrong_formula_has_not_converged() {
    let folder = tempfile::tempdir().expect("a folder");
    let told = |path: &Path, flags: &[&str]| {
        let shown = json(&sr_inspect(path, &[&["--best", "--json"], flags].concat()));
        (shown["records"][0].clone(), shown["statistics"]["converged"].clone())
    };
    // Squares of 1e-5 are below any threshold in the units of y.
    let small = "x,y\n1e-5,3e-5\n2e-5,1e-5\n3e-5,7e-5\n4e-5,2e-5\n";
    let (path, _) = search(folder.path(), "small", small, vec![Op::Add], short_search(Objective::Mse));
    let (best, converged) = told(&path, &[]);
    assert!(best["mse"].as_f64() < Some(1e-6) && best["r2"].as_f64() < Some(0.5), "{best}");
    assert_eq!((&best["generations_to_threshold"], &converged), (&Value::Null, &0.into()));
    assert_eq!(best["threshold_of"], "relative");
    let one = text(&sr_inspect(&path, &["--id", "0"]));
    assert!(one.contains("1 − R² of 1e-6 was not reached\n"), "{one}");
    // Above its 1 − R² the threshold is reached, as recorded too.
    let unexplained = 1.0 - best["r2"].as_f64().expect("it has one");
    let above = (unexplained * 1.001).to_string();
    assert_eq!(told(&path, &["--threshold", &above]).1, 1);
    assert_eq!(told(&path, &["--threshold", &(unexplained * 0.999).to_string()]).1, 0);
    std::fs::rename(folder.path().join("small.sr"), folder.path().join("moved.sr")).expect("renamed");
    assert_eq!((told(&path, &[]).1, told(&path, &["--threshold", &above]).1), (0.into(), 1.into()));
    assert!(text(&sr_inspect(&path, &["--id", "0"])).contains("was not reached, as recorded"));

    // The same with the reference's objective, whose errors are in the units of y.
    let (path, _) = search(folder.path(), "small2", small, vec![Op::Add], short_search(Objective::Masked));
    let (best, converged) = told(&path, &[]);
    assert!(best["mse_recorded"].as_f64() < Some(1e-6) && best["r2"].as_f64() < Some(0.5), "{best}");
    assert_eq!((&best["threshold_of"], &converged), (&"mse".into(), &0.into()));

    // Its recorded error leaves out the row that is 1e7 off.
    let masked = "x,y\n1,1\n2,2\n3,3\n1e7,0\n";
    let (path, _) = search(folder.path(), "masked", masked, vec![Op::Add], short_search(Objective::Masked));
    let (best, converged) = told(&path, &[]);
    assert_eq!((&best["formula"], &best["mse_recorded"], &best["mse"]), (&"x".into(), &0.0.into(), &2.5e13.into()));
    assert_eq!((&best["generations_to_threshold"], &converged), (&Value::Null, &0.into()));
    let one = text(&sr_inspect(&path, &["--id", "0"]));
    assert!(one.contains("an mse of 1e-6 was not reached\n"), "{one}");
}

#[test]
fn errors_beyond_the_numbers_and_targets_that_do_not_vary_are_told_as_what_they_are() {
    let folder = tempfile::tempdir().expect("a folder");
    let tiny = "x,y\n1e-200,3e-200\n2e-200,1e-200\n3e-200,7e-200\n4e-200,2e-200\n";
    let (path, _) = search(folder.path(), "tiny", tiny, vec![Op::Add], short_search(Objective::Mse));
    let best = json(&sr_inspect(&path, &["--best", "--json"]))["records"][0].clone();
    let rmse = best["rmse"].as_f64().expect("a number");
    assert!((1e-200..1e-199).contains(&rmse) && best["mse"].as_f64() > Some(0.0), "{best}");
    let one = text(&sr_inspect(&path, &["--id", "0"]));
    assert!(one.contains("mse below 1e-307 (root ") && one.contains("e-200) over all 4 rows, R² "), "{one}");
    assert!(text(&sr_inspect(&path, &["--best"])).contains("below 1e-307 (root "));

    let constant = "x,y\n1000,5000000\n2000,5000000\n3000,5000000\n";
    let (path, _) = search(folder.path(), "constant", constant, vec![Op::Add], short_search(Objective::Mse));
    let best = json(&sr_inspect(&path, &["--best", "--json"]))["records"][0].clone();
    assert!(best["r2"].is_null() && best["mse"].is_number(), "{best}");
    let one = text(&sr_inspect(&path, &["--id", "0"]));
    assert!(one.contains("over all 3 rows, whose y does not vary, size"), "{one}");
}

#[test]
fn contexts_are_of_the_problem_that_was_searched_or_converted() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    suite("simple", 1).expect("a suite").write(at("problems.sr")).expect("written");
    let trace = trace(folder.path());
    let set = sr_corpus::Problems::open(at("problems.sr")).expect("problems");
    sr_corpus::convert_trace(&trace, &set, &sr_corpus::Options::default(), &at("corpus"), || {}).expect("a corpus");
    let flags = ["--id", "quadratic", "--context", "rich"];
    assert!(text(&sr_inspect(&trace, &flags)).contains(" | STATS: "));
    // Other points of the same ids.
    suite("simple", 2).expect("a suite").write(at("problems.sr")).expect("written");
    let output = sr_inspect(&trace, &flags);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(2) && stderr.contains("this is another problem set"), "{stderr}");
    fails(&sr_inspect(&at("corpus/train.sr"), &["--id", "0", "--context", "rich"]), "problems.sr");
}

#[test]
fn flags_without_effect_and_numbers_below_zero_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let problems = folder.path().join("problems.sr");
    suite("simple", 1).expect("a suite").write(&problems).expect("written");
    let trace = trace(folder.path());
    for (path, flags, expected) in [
        (&problems, &["--id", "0", "--context", "rich", "--problems", "missing.sr"][..], "--problems is for traces; "),
        (&problems, &["--threshold", "1e-6"], "--threshold is for traces; "),
        (&trace, &["--seed", "1"], "--seed has no effect here, where nothing is drawn"),
        (&trace, &["--seed", "0"], "--seed has no effect"),
        (&problems, &["--best", "--export", "c"], "--best is for traces; "),
        (
            &trace,
            &["--best", "--export", "c", "--threshold", "1"],
            "--threshold has no effect on --export but with --json",
        ),
    ] {
        fails(&sr_inspect(path, flags), expected);
    }
    for (flags, expected) in [
        (&["--id", "0", "--predict", "--best"][..], "--best"),
        (&["--export", "c"], "--best"),
        (&["--best", "--export", "fortran"], "possible values: latex, mathml, sympy, numpy, rust, c, json"),
        (&["--best", "--export", "c", "--id", "0", "--context", "rich"], "--context"),
        (&["--threshold", "-1"], "invalid value '-1' for '--threshold <ERROR>': expected a number, 0 or more"),
        (&["--threshold", "-1e-3"], "invalid value '-1e-3' for '--threshold"),
        (&["--head", "-1"], "invalid value '-1' for '--head <N|all>': expected a number or all"),
        // What they need conflicts with what is given.
        (&["--predict", "--head", "1"], "--predict has no effect without --id <K>, which cannot be used with --head"),
        (
            &["--context", "rich", "--head", "1"],
            "--context has no effect without --id <K>, which cannot be used with --head",
        ),
        (
            &["--export", "c", "--id", "0", "--predict"],
            "--export has no effect without --best, which cannot be used with --predict",
        ),
        (&["--export", "c", "--id", "0"], "--best"),
    ] {
        let output = sr_inspect(&trace, flags);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && stderr.contains(expected), "{flags:?}: {stderr}");
    }
}

#[test]
fn folders_in_a_run_of_sr_dagger_say_what_they_are() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join("run").join(name);
    let write = |name: &str, text: &str| {
        std::fs::create_dir_all(at(name).parent().expect("a folder")).expect("made");
        std::fs::write(at(name), text).expect("written");
    };
    write("config.json", r#"{"task": "search"}"#);
    write("results.json", r#"{"milestones": []}"#);
    for name in ["best", "final"] {
        write(&format!("models/A/{name}/config.json"), "{}");
        write(&format!("models/A/{name}/meta.json"), "{}");
    }
    write("expert_eval/A/world.json", "{}");
    write("recordings/A/expert_ep1.html", "<html>");
    write("plots/A.svg", "<svg/>");
    write("tracking/A/metrics.jsonl", "{\"step\": 1}\n");
    write("tracking/A/config.json", "{}");
    std::fs::create_dir_all(at("rollouts/A/round-000/rollouts")).expect("made");
    for (name, kind) in [
        ("models", "models of a sr-dagger run"),
        ("models/A", "models of a sr-dagger run"),
        ("models/A/best", "checkpoint"),
        ("expert_eval", "episodes of the expert of a sr-dagger run"),
        ("expert_eval/A", "episodes of the expert of a sr-dagger run"),
        ("recordings", "recordings of a sr-dagger run"),
        ("recordings/A", "recordings of a sr-dagger run"),
        ("plots", "plots of a sr-dagger run"),
        ("tracking/A", "metrics of a sr-dagger run"),
        ("rollouts", "rounds of a sr-dagger run"),
        ("rollouts/A", "rounds of a milestone"),
        ("rollouts/A/round-000/rollouts", "rounds of a sr-dagger run"),
    ] {
        assert_eq!(json(&sr_inspect(&at(name), &["--json"]))["kind"], kind, "{name}");
    }
    let told = text(&sr_inspect(&at("."), &[]));
    assert!(told.contains("models/") && told.contains("recordings of a sr-dagger run"), "{told}");

    // A folder of that name elsewhere is none of them.
    let elsewhere = folder.path().join("plots");
    std::fs::create_dir(&elsewhere).expect("made");
    fails(&sr_inspect(&elsewhere, &[]), "nothing of sr is in this folder");
    let set = folder.path().join("set");
    std::fs::create_dir(&set).expect("made");
    std::fs::write(set.join("manifest.json"), r#"{"format": "sr-dataset", "version": 99}"#).expect("written");
    let output = sr_inspect(&set, &[]);
    fails(&output, "manifest.json: a data set of version 99, expected 1 at most: update sr to read it");
    assert!(output.stdout.is_empty());
}

#[test]
fn names_of_any_script_go_through_a_pipe_of_any_locale() {
    let folder = tempfile::tempdir().expect("a folder");
    let rows: String = (0..2000).map(|row| format!("{row},{},1,{row}\n", row % 7)).collect();
    let table = format!("x₁,θ,ветер,y\n{rows}");
    let (path, _) = search(folder.path(), "flow", &table, vec![Op::Add], short_search(Objective::Mse));
    let output = Command::new(env!("CARGO_BIN_EXE_sr-inspect"))
        .env("LC_ALL", "C")
        .arg(&path)
        .args(["--id", "0", "--predict"])
        .output()
        .expect("the binary runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(told.contains("best: x₁\n"), "{}", &told[..300]);
    let titles = told.lines().position(|line| line.contains("prediction")).expect("a table");
    let title = told.lines().nth(titles).expect("the titles");
    assert!(["x₁", "θ", "ветер"].iter().all(|name| title.contains(name)), "{title}");
    assert_eq!(told.lines().count() - titles - 1, 2000, "a line for each row");
}

/// Tests that a model for searches is told from one of the transformers library, whose weights have the same name.
#[test]
fn the_shipped_models_are_checkpoints() {
    for name in ["arithmetic", "arithmetic-expert-only", "functions"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models").join(name);
        for path in [folder.clone(), folder.join("model.safetensors")] {
            let told = text(&sr_inspect(&path, &[]));
            assert!(told.starts_with("checkpoint"), "{told}");
        }
    }
}

#[test]
fn formulas_are_whole_where_there_is_no_terminal() {
    let folder = tempfile::tempdir().expect("a folder");
    let long = (0..40).map(|i| format!("x{}", i % 3)).collect::<Vec<_>>().join(" + ");
    std::fs::write(folder.path().join("long.txt"), &long).expect("written");
    let options = sr_problems::FormulaOptions::default();
    let set = sr_problems::from_formulas(&folder.path().join("long.txt"), &options).expect("a set");
    let path = folder.path().join("long.sr");
    set.write(&path).expect("written");
    let shown = text(&sr_inspect(&path, &[]));
    let line = shown.lines().last().expect("lines");
    assert!(line.matches(" + ").count() == 39 && !shown.contains('…'), "{shown}");
}
