//! The binary on a small file of each kind.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use serde_json::Value;
use sr_engine::{Expert, Search, SearchConfig, run};
use sr_problems::suite;
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
        let outcome = run(&mut search, &mut Expert, &mut recorder).remove(0);
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
            assert_eq!(shown["expressions"][index], individual.expr.to_string());
            assert_eq!(shown["fitnesses"][index].as_f64().expect("a number") as f32, individual.fitness);
            assert_eq!(shown["parents"][index], Value::from(individual.parents.iter().collect::<Vec<_>>()));
        }
    }
    assert_eq!(
        generations[0]["dagger_expressions"],
        Value::from(vec![trajectory.generation(1).expect("two").individual(2).expr.to_string()])
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
    fails(&sr_inspect(folder.path(), &[]), "without config.json");
    let path = trace(folder.path());
    let mut bytes = std::fs::read(&path).expect("read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x55;
    std::fs::write(&path, bytes).expect("written");
    let output = sr_inspect(&path, &["--json"]);
    fails(&output, "corrupt");
    assert!(json(&output)["count"].as_u64().expect("a number") < 10);
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
    assert_eq!(json(&sr_inspect(&gpt_neo, &["--json"]))["header"]["config"]["model_type"], "gpt_neo");
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
