//! The binary on small traces of the expert.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use serde_json::Value;
use sr_engine::{Expert, Search, SearchConfig, run};
use sr_problems::{ProblemSet, suite};
use sr_trace::{Recorder, TraceHeader, TraceReader, TraceWriter};

fn sr_relabel(args: &[&str], files: &[(&str, &Path)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sr-relabel"));
    command.args(args);
    for (flag, path) in files {
        command.arg(flag).arg(path);
    }
    command.output().expect("the binary runs")
}

fn fails(output: &Output, message: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains(message), "{stderr}");
}

/// `FOLDER/problems.sr` and a trace of it, 10 problems × 4 generations.
fn trace(folder: &Path) -> PathBuf {
    let set = suite("simple", 1).expect("a suite");
    set.write(folder.join("problems.sr")).expect("written");
    let config = SearchConfig { generations: 4, early_stop_mse: None, ..SearchConfig::basic() };
    let path = folder.join("trace.sr");
    let first = set.problems[0].instance().expect("an instance");
    let header = TraceHeader::of_expert("problems.sr", first.primitives(), &config, "basic", 1);
    let mut writer = TraceWriter::create(&path, &header).expect("created");
    for problem in &set.problems {
        let instance = Arc::new(problem.instance().expect("an instance"));
        let mut search = [Search::new(instance, config.clone(), 1).expect("a search")];
        let mut recorder = [Recorder::new(1)];
        let outcome = run(&mut search, &mut Expert, &mut recorder).expect("the expert never fails").remove(0);
        let [recorder] = recorder;
        writer.append(&recorder.finish(&outcome).expect("recorded")).expect("appended");
    }
    writer.finish().expect("finished");
    path
}

/// Whether the trace is marked and every state of each trajectory, the last one included, has 19 labels.
fn is_labelled(path: &Path) -> bool {
    let reader = TraceReader::open(path).expect("a trace");
    let marked = reader.header().dagger && reader.header().original_source.as_deref() == Some("basic_sr");
    let labelled = |generation: u32, wanted: Option<usize>| {
        let mut trajectories = TraceReader::open(path).expect("a trace").map(|t| t.expect("a whole file"));
        trajectories.all(|t| t.dagger_expressions(generation).map(|labels| labels.len()) == wanted)
    };
    marked && (0..4).all(|generation| labelled(generation, Some(19))) && labelled(4, None)
}

#[test]
fn in_place_and_to_another_file_give_the_same_bytes_with_any_threads() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = trace(folder.path());
    let before = std::fs::read(&path).expect("read");
    let out = folder.path().join("labelled.sr");
    let output = sr_relabel(&["--json", "--seed", "3", "--threads", "1"], &[("--traces", &path), ("--out", &out)]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let result: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(
        (&result["command"], &result["states"], &result["labels"]),
        (&"sr-relabel".into(), &40.into(), &760.into())
    );
    assert!(result["labels_per_second"].as_f64().expect("a number") > 0.0);
    assert_eq!(result["out"], out.display().to_string());
    assert_eq!(std::fs::read(&path).expect("read"), before, "the input is untouched");
    assert!(is_labelled(&out));

    let output = sr_relabel(&["--seed", "3", "--threads", "2"], &[("--traces", &path)]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("760 labels of 40 states"));
    assert_eq!(std::fs::read(&path).expect("read"), std::fs::read(&out).expect("read"));
}

#[test]
fn other_problems_are_refused_and_nothing_is_changed() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = trace(folder.path());
    let before = std::fs::read(&path).expect("read");
    let other = folder.path().join("other.sr");
    suite("harder", 1).expect("a suite").write(&other).expect("written");
    fails(&sr_relabel(&[], &[("--traces", &path), ("--problems", &other)]), "is not in the problem set");
    // The same names with other points.
    let mut set = suite("simple", 2).expect("a suite");
    set.write(&other).expect("written");
    fails(&sr_relabel(&[], &[("--traces", &path), ("--problems", &other)]), "this is another problem set");
    set = ProblemSet::read(folder.path().join("problems.sr")).expect("read");
    std::fs::remove_file(folder.path().join("problems.sr")).expect("removed");
    fails(&sr_relabel(&[], &[("--traces", &path)]), "problems.sr");
    assert_eq!(std::fs::read(&path).expect("read"), before);
    set.write(&other).expect("written");
    let output = sr_relabel(&[], &[("--traces", &path), ("--problems", &other)]);
    assert!(output.status.success(), "the right set may lie anywhere");
}

#[test]
fn modes_choose_other_children_and_refuse_each_others_flags() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = trace(folder.path());
    let out = folder.path().join("labelled.sr");
    let labels = |flags: &[&str]| {
        let output = sr_relabel(
            &[flags, &["--json", "--seed", "3", "--force"]].concat(),
            &[("--traces", &path), ("--out", &out)],
        );
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let result: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let set = TraceReader::open(&out).expect("a trace").next().expect("one").expect("whole").labels.remove(0);
        (result["labels"].as_u64().expect("a number"), set.mode, set.params)
    };
    let (count, mode, params) = labels(&["--labels", "best-of-k", "--samples", "50"]);
    assert!((35..=40).contains(&count), "one a state, unless nothing is new: {count}");
    assert_eq!((mode.as_str(), params.samples, params.until), ("best-of-k", 50, None));
    let (count, _, params) = labels(&["--labels", "top-k", "--samples", "auto", "--keep", "2", "--weights", "gain"]);
    assert!(count <= 80 && params.keep == Some(2) && params.until == Some(4) && params.weighted);
    assert_eq!(labels(&["--labels", "lineage", "--horizon", "3"]).2.horizon, Some(3));
    assert_eq!(labels(&["--labels", "pooled"]).1, "pooled");
    let (count, mode, _) = labels(&["--labels", "path"]);
    assert!(mode == "path" && (10..=40).contains(&count), "one for each state that is not solved: {count}");
    assert_eq!(labels(&["--labels", "target"]).0, count);
    assert_eq!(labels(&["--labels", "target", "--formula", "given"]).0, count);
    assert!(labels(&["--labels", "path", "--formula", "found"]).0 <= count, "unsolved searches tell none");
    for (flags, message) in [
        (&["--samples", "5"][..], "--samples has no effect with --labels all"),
        (&["--labels", "best-of-k", "--keep", "5"], "--keep has no effect with --labels best-of-k"),
        (&["--labels", "path", "--weights", "gain"], "--weights has no effect with --labels path"),
        (&["--labels", "top-k", "--formula", "found"], "--formula has no effect with --labels top-k"),
        (&["--labels", "top-k", "--horizon", "5"], "--horizon has no effect with --labels top-k"),
        (&["--labels", "top-k", "--samples", "0"], "expected auto, or a number from 1 to 1000000"),
    ] {
        fails(&sr_relabel(flags, &[("--traces", &path)]), message);
    }
}

#[test]
fn missing_cut_and_foreign_files_are_errors() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = trace(folder.path());
    let problems = folder.path().join("problems.sr");
    fails(&sr_relabel(&[], &[("--traces", &folder.path().join("none.sr"))]), "none.sr");
    fails(&sr_relabel(&[], &[("--traces", &problems)]), "expected a file of kind trace, found problems");
    fails(
        &sr_relabel(&["--labels", "best"], &[("--traces", &path)]),
        "possible values: all, top-k, best-of-k, lineage, pooled, path, target",
    );
    let bytes = std::fs::read(&path).expect("read");
    std::fs::write(&path, &bytes[..bytes.len() / 2]).expect("written");
    let out = folder.path().join("out.sr");
    fails(&sr_relabel(&[], &[("--traces", &path), ("--out", &out)]), "cut short");
    assert!(!out.exists());
}

#[test]
fn a_finished_file_is_taken_for_the_result_only_if_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = trace(folder.path());
    let out = folder.path().join("labelled.sr");
    let relabel = |flags: &[&str]| sr_relabel(flags, &[("--traces", &path), ("--out", &out)]);
    assert!(relabel(&["--seed", "3"]).status.success());
    let before = std::fs::read(&out).expect("read");
    let again = relabel(&["--seed", "3", "--resume"]);
    assert!(String::from_utf8_lossy(&again.stdout).ends_with("labelled.sr is complete, nothing is left to do\n"));
    let again = relabel(&["--seed", "3", "--resume", "--json"]);
    let result: Value = serde_json::from_slice(&again.stdout).expect("JSON and nothing else");
    assert_eq!((&result["states"], &result["labels"]), (&40.into(), &760.into()));
    assert_eq!((&result["labels_per_second"], &result["out"]), (&Value::Null, &out.display().to_string().into()));
    fails(&relabel(&["--seed", "4", "--resume"]), "made with other settings: labels all of");
    fails(&relabel(&["--seed", "3", "--labels", "top-k", "--resume"]), "asked for top-k of");
    fails(&relabel(&["--seed", "3", "--shard", "1/2", "--resume"]), "comes from another trace or other settings");
    fails(&relabel(&["--seed", "3"]), "labelled.sr is there already");
    fails(&sr_relabel(&["--resume"], &[("--traces", &path), ("--out", &folder.path().join("problems.sr"))]), "input");
    assert_eq!(std::fs::read(&out).expect("read"), before);
    std::fs::write(&out, "another file").expect("written");
    fails(&relabel(&["--seed", "3", "--resume"]), "labelled.sr: not a readable record file");
}

#[test]
fn an_output_replaces_no_input() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = trace(folder.path());
    let problems = folder.path().join("problems.sr");
    let files = || [&path, &problems].map(|file| std::fs::read(file).expect("read"));
    let before = files();
    for out in [&path, &problems] {
        fails(&sr_relabel(&["--force"], &[("--traces", &path), ("--out", out)]), "is the input");
    }
    fails(&sr_relabel(&["--force"], &[("--traces", &path)]), "--force has no effect without --out");
    fails(&sr_relabel(&[], &[("--traces", &path), ("--out", folder.path())]), "is a folder");
    assert_eq!(files(), before);
    assert_eq!(std::fs::read_dir(folder.path()).expect("listed").count(), 2, "nothing is left");
}

/// The settings in a run file.
fn settings(out: &Path) -> Value {
    let run = std::fs::read(out.with_added_extension("run.json")).expect("a run file");
    serde_json::from_slice::<Value>(&run).expect("JSON")["settings"].take()
}

#[test]
fn a_run_file_tells_all_that_decides_the_labels() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = trace(folder.path());
    let run = r#"{"settings": {"problems": "10 problems", "runs": 1}}"#;
    std::fs::write(folder.path().join("trace.sr.run.json"), run).expect("written");
    let out = folder.path().join("labelled.sr");
    let labels = |flags: &[&str]| {
        let output = sr_relabel(&[flags, &["--force"]].concat(), &[("--traces", &path), ("--out", &out)]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        settings(&out)
    };
    let expected = |labels: Value| serde_json::json!({"problems": "10 problems", "runs": 1, "labels": [labels]});
    assert_eq!(labels(&[]), expected(serde_json::json!({"labels": "all", "seed": 0})));
    let found = labels(&["--labels", "top-k", "--samples", "50", "--keep", "2", "--weights", "gain", "--seed", "4"]);
    let top_k = serde_json::json!({"labels": "top-k", "samples": 50, "keep": 2, "weights": "gain", "seed": 4});
    assert_eq!(found, expected(top_k.clone()));
    let found = labels(&["--labels", "lineage", "--horizon", "3"]);
    assert_eq!(found, expected(serde_json::json!({"labels": "lineage", "horizon": 3, "seed": 0})));
    assert_eq!(labels(&["--labels", "path"]), expected(serde_json::json!({"labels": "path", "seed": 0})));
    assert_eq!(labels(&["--shard", "2/3"])["shard"], "2/3");

    // Labels of labels; in place the run file of the trace stays as it is.
    labels(&["--labels", "top-k", "--samples", "50", "--keep", "2", "--weights", "gain", "--seed", "4"]);
    let before = std::fs::read(out.with_added_extension("run.json")).expect("a run file");
    let output = sr_relabel(&["--labels", "target", "--json"], &[("--traces", &out)]);
    let result: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(result["out"], out.display().to_string(), "the trace itself");
    let all = settings(&out.with_added_extension("relabel"))["labels"].take();
    assert_eq!(all, serde_json::json!([top_k, {"labels": "target", "seed": 0}]));
    assert_eq!(std::fs::read(out.with_added_extension("run.json")).expect("a run file"), before);
}

#[cfg(unix)]
#[test]
fn labels_in_place_go_through_a_link_to_the_trace() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("real")).expect("made");
    let path = trace(&folder.path().join("real"));
    let link = folder.path().join("link.sr");
    std::os::unix::fs::symlink("real/trace.sr", &link).expect("linked");
    let output = sr_relabel(&["--seed", "3"], &[("--traces", &link)]);
    assert!(output.status.success(), "the problems beside the trace: {}", String::from_utf8_lossy(&output.stderr));
    assert!(std::fs::symlink_metadata(&link).expect("it is there").is_symlink());
    assert!(is_labelled(&path) && is_labelled(&link));
    let names = |folder: &Path| {
        let entries = std::fs::read_dir(folder).expect("listed").map(|entry| entry.expect("an entry").file_name());
        let mut names: Vec<String> = entries.map(|name| name.to_string_lossy().into_owned()).collect();
        names.sort();
        names
    };
    assert_eq!(names(folder.path()), ["link.sr", "real"]);
    assert_eq!(names(&folder.path().join("real")), ["problems.sr", "trace.sr", "trace.sr.relabel.run.json"]);
    std::fs::remove_file(&path).expect("removed");
    fails(&sr_relabel(&[], &[("--traces", &link)]), "link.sr");
}
