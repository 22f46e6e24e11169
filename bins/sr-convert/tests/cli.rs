//! The binary as a person calls it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use sr_engine::{Expert, Search, SearchConfig, run};
use sr_trace::{Recorder, TraceHeader, TraceWriter};

const GENERATIONS: usize = 4;

/// A folder with `simple.sr` and `trace.sr`, one search of each problem.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let set = sr_problems::suite("simple", 1).expect("a suite");
    set.write(folder.path().join("simple.sr")).expect("written");
    let config = SearchConfig { generations: GENERATIONS as u32, early_stop_mse: None, ..SearchConfig::basic() };
    let first = set.problems[0].instance().expect("an instance");
    let header = TraceHeader::of_expert("simple.sr", first.primitives(), &config, "basic", 1);
    let mut writer = TraceWriter::create(folder.path().join("trace.sr"), &header).expect("created");
    for problem in &set.problems {
        let instance = Arc::new(problem.instance().expect("an instance"));
        let mut search = [Search::new(instance, config.clone(), 1).expect("a search")];
        let mut recorders = [Recorder::new(1)];
        let outcome = run(&mut search, &mut Expert, &mut recorders).expect("the expert never fails").remove(0);
        let [recorder] = recorders;
        writer.append(&recorder.finish(&outcome).expect("recorded")).expect("written");
    }
    writer.finish().expect("finished");
    folder
}

fn convert(folder: &Path, flags: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sr-convert"))
        .args(flags.split_whitespace())
        .current_dir(folder)
        .output()
        .expect("the binary runs")
}

fn error_of(output: Output) -> String {
    assert_eq!(output.status.code(), Some(2));
    String::from_utf8(output.stderr).expect("UTF-8")
}

#[test]
fn a_trace_becomes_one_step_examples() {
    let folder = folder();
    let output = convert(folder.path(), "--traces trace.sr --val-fraction 0.3 --out corpus --jsonl --json --seed 2");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let result: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    let count = |field: &str| result[field].as_u64().expect("a number");
    assert_eq!((&result["command"], &result["out"]), (&"sr-convert".into(), &"corpus".into()));
    assert_eq!(count("train") + count("val"), 10 * (GENERATIONS as u64 - 1) * 19);
    assert!(count("val") > 0 && result["bytes_per_example"].as_f64().expect("a number") > 0.0);
    let lines = fs::read_to_string(folder.path().join("corpus/val.jsonl")).expect("written").lines().count();
    assert_eq!(lines as u64, count("val"));
    assert!(folder.path().join("corpus/corpus.run.json").is_file());

    // The threads and the folder make no difference.
    let output = convert(folder.path(), "--traces trace.sr --val-fraction 0.3 --seed 2 --threads 1");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let named = text.split(':').next().expect("a name");
    assert!(named.starts_with("trace_onestep_s2_"), "{text}");
    for name in ["train.sr", "val.sr"] {
        let [a, b] = ["corpus", named].map(|out| fs::read(folder.path().join(out).join(name)).expect(name));
        assert_eq!(a, b);
    }
}

#[test]
fn a_problem_set_becomes_direct_examples() {
    let folder = folder();
    let output = convert(folder.path(), "--problems simple.sr --mode direct --out direct --json");
    let result: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    assert_eq!(result["train"].as_u64().expect("a number") + result["val"].as_u64().expect("a number"), 10);
}

#[test]
fn formulas_of_a_test_are_kept_out_of_the_training_side() {
    let folder = folder();
    let json = |flags: &str| -> serde_json::Value {
        let output = convert(folder.path(), &format!("--traces trace.sr --val-fraction 0.3 --json {flags}"));
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("one JSON object")
    };
    let mut set = sr_problems::suite("simple", 1).expect("a suite");
    set.problems.truncate(2); // quadratic and cubic; an individual of many searches in place of the second
    set.problems[1].source = Some("2.0*x0".parse().expect("a formula"));
    set.write(folder.path().join("test.sr")).expect("written");

    let all = json("--out all");
    assert_eq!(all["excluded"], 0);
    let some = json("--out some --exclude test.sr --exclude nguyen");
    let count = |field: &str| some["excluded_by"][field].as_u64().expect("a number");
    let examples = |result: &serde_json::Value| ["train", "val", "excluded"].map(|f| result[f].as_u64().expect(f));
    assert_eq!(count("problem"), (GENERATIONS as u64 - 1) * 19, "quadratic");
    assert!(count("target") > 0 && count("population") > 0 && count("validation") == 0, "{some}");
    assert_eq!(examples(&some).iter().sum::<u64>(), examples(&all).iter().sum::<u64>());

    let list =
        sr_problems::Blocklist::of([&*folder.path().join("test.sr").to_string_lossy(), "nguyen"]).expect("a list");
    let corpus = sr_corpus::Corpus::open(folder.path().join("some/train.sr")).expect("a corpus");
    assert_eq!(corpus.header().exclude, list.sources());
    for example in corpus {
        let sr_corpus::Example::OneStep(state) = example.expect("whole") else { panic!("not a state") };
        let shown = state.population.iter().map(|individual| &individual.expr);
        assert!(!shown.chain(state.targets.iter().map(|target| &target.expr)).any(|expr| list.contains(expr)));
    }
    let text = convert(folder.path(), "--traces trace.sr --out text --exclude test.sr").stdout;
    assert!(String::from_utf8_lossy(&text).contains("examples were left out"));
    assert!(error_of(convert(folder.path(), "--traces trace.sr --out a --exclude nguyén")).contains("nguyén"));
}

#[test]
fn contexts_and_the_autoregressive_mode_show_in_the_text() {
    let folder = folder();
    let lines = |flags: &str| -> Vec<serde_json::Value> {
        let output = convert(folder.path(), &format!("--traces trace.sr --jsonl --force --out corpus {flags}"));
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        let texts = ["train", "val"]
            .map(|side| fs::read_to_string(folder.path().join("corpus").join(side).with_extension("jsonl")));
        let texts = texts.map(|text| text.expect("written")).concat();
        texts.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    };
    let context = |flags: &str| lines(flags)[0]["context"].as_str().expect("a text").to_owned();
    let [basic, rich, superrich] = ["", "--context rich", "--context superrich"].map(context);
    assert!(rich.starts_with(&format!("{basic} | STATS: range=[")), "{rich}");
    assert!(superrich.starts_with(&format!("{rich} | PLOT: ")), "{superrich}");

    let autoregressive = lines("--mode autoregressive");
    assert_eq!(autoregressive.len(), 10 * (GENERATIONS - 1));
    assert_eq!(autoregressive[0]["target"].as_str().expect("a text").matches("<FITNESS>").count(), 20);
    let without = lines("--mode autoregressive --fitness off");
    assert!(!without[0]["target"].as_str().expect("a text").contains("<FITNESS>"));
}

#[test]
fn a_killed_conversion_is_made_anew_with_the_same_bytes() {
    let folder = folder();
    let flags = "--traces trace.sr --jsonl --val-fraction 0.3 --out";
    let names = ["train.sr", "val.sr", "train.jsonl", "val.jsonl"];
    let files = |out: &str| names.map(|name| fs::read(folder.path().join(out).join(name)).expect(name));
    convert(folder.path(), &format!("{flags} undisturbed"));
    for delay in 0..12 {
        let mut child = Command::new(env!("CARGO_BIN_EXE_sr-convert"))
            .args(flags.split_whitespace().chain(["killed", "--quiet", "--force"]))
            .current_dir(folder.path())
            .spawn()
            .expect("the binary runs");
        std::thread::sleep(std::time::Duration::from_millis(2 * delay));
        child.kill().expect("killed or ended"); // SIGKILL
        child.wait().expect("ended");
    }
    // What is left of another run is no obstacle either.
    fs::create_dir_all(folder.path().join("killed")).expect("a folder");
    for name in names {
        fs::write(folder.path().join("killed").join(format!("{name}.partial")), "stale").expect("written");
    }
    let output = convert(folder.path(), &format!("{flags} killed --force"));
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(files("killed") == files("undisturbed"));
    let left = fs::read_dir(folder.path().join("killed")).expect("a folder");
    assert_eq!(left.count(), 5, "four files and the run file");
}

#[test]
fn flags_that_do_not_go_together_are_refused() {
    let folder = folder();
    let refused = |flags: &str| error_of(convert(folder.path(), flags));
    let error = refused("--traces trace.sr --dagger --ancestors-only --out a");
    assert!(error.contains("'--dagger' cannot be used with '--ancestors-only'"), "{error}");
    assert!(refused("--traces trace.sr --dagger --elite include --out a").contains("--elite"));
    assert!(refused("--problems simple.sr --out a").contains("--traces"));
    assert!(refused("--problems simple.sr --mode autoregressive --out a").contains("--traces"));
    assert!(refused("--problems simple.sr --mode direct --dagger --out a").contains("one-step"));
    for mode in ["--problems simple.sr --mode direct", "--traces trace.sr --mode autoregressive"] {
        assert!(refused(&format!("{mode} --ancestors-only --out a")).contains("--ancestors-only is for"));
        assert!(refused(&format!("{mode} --elite include --out a")).contains("--elite is for"));
    }
    assert!(refused("--traces trace.sr --fitness off --out a").contains("--fitness is for --mode autoregressive"));
    assert!(refused("--traces trace.sr --mode autoregressive --dagger --out a").contains("has no labels"));
    assert!(refused("--traces trace.sr --mode direct --out a").contains("--traces has no meaning"));
    assert!(refused("--traces trace.sr --dagger --out a").contains("has no labels"));
    assert!(refused("--traces trace.sr --sample-fraction 2 --out a").contains("sample-fraction must be above 0"));
    for apart in ["function", "skeleton"] {
        let error = refused(&format!("--traces trace.sr --val-fraction 0 --apart {apart} --out a"));
        assert!(error.contains("--apart has no effect with --val-fraction 0"), "{error}");
    }
    assert!(refused("--traces trace.sr --context poor --out a").contains("superrich"));
}

#[test]
fn a_side_without_examples_is_told_with_its_reason() {
    let folder = folder();
    let warned = |flags: &str| {
        let output = convert(folder.path(), &format!("{flags} --force"));
        let stderr = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(output.status.code(), Some(0), "{stderr}");
        (stderr, String::from_utf8(output.stdout).expect("UTF-8"))
    };
    let mut set = sr_problems::suite("simple", 1).expect("a suite");
    let at = |name: &str| folder.path().join(name);
    // Nobody is told of what they asked for.
    let (stderr, text) = warned("--traces trace.sr --val-fraction 0 --out a");
    assert_eq!(stderr, "");
    assert!(text.starts_with("a: 570 training and 0 validation examples, "), "{text}");
    let (_, text) = warned("--problems simple.sr --mode direct --out a");
    assert!(text.starts_with("a: 9 training and 1 validation example, "), "{text}");

    // The formula of the one problem that is for validation.
    let corpus = sr_corpus::Corpus::open(at("a/val.sr")).expect("a corpus");
    let ids = corpus.map(|example| match example.expect("whole") {
        sr_corpus::Example::Direct(example) => example.problem.id.clone(),
        _ => panic!("not direct"),
    });
    let [id] = &*ids.collect::<Vec<_>>() else { panic!("one problem") };
    let all = set.problems.clone();
    set.problems.retain(|problem| problem.id == *id);
    set.write(at("val-only.sr")).expect("written");
    let (stderr, text) = warned("--problems simple.sr --mode direct --exclude val-only.sr --out a");
    assert!(stderr.contains("no validation examples: --exclude keeps out all that there is, 1 problem\n"), "{stderr}");
    assert!(text.contains("\n1 example was left out: 1 of an excluded formula"), "{text}");
    let (stderr, _) = warned("--traces trace.sr --sample-fraction 0.002 --out a");
    assert!(stderr.contains("examples: --sample-fraction 0.002 kept none of the examples of 1 search"), "{stderr}");
    // A formula cannot be in both files.
    let (stderr, _) = warned("--problems val-only.sr --mode direct --out a");
    let expected = "no validation examples: the split put all that was converted into train.sr: a formula goes into one \
                    file as a whole, and --val-fraction 0.1 is the share of the formulas of the problem set that goes into \
                    val.sr";
    assert!(stderr.contains(expected), "{stderr}");

    // Neither side has any.
    let fails = |flags: &str| error_of(convert(folder.path(), &format!("{flags} --out none")));
    let error = fails("--traces trace.sr --sample-fraction 1e-9");
    let expected = "no examples were made: --sample-fraction 0.000000001 kept none of the examples of 10 searches\n";
    assert!(error.ends_with(expected), "{error}");
    set.problems = all;
    set.write(at("all.sr")).expect("written");
    let error = fails("--traces trace.sr --exclude all.sr");
    assert!(error.ends_with("no examples were made: --exclude keeps out all that there is, 10 searches\n"), "{error}");
    let error = fails("--traces trace.sr --exclude val-only.sr --sample-fraction 1e-9");
    let expected = "no examples were made: --exclude keeps out 1 search, and --sample-fraction 0.000000001 kept none of the \
                    examples of 9 searches\n";
    assert!(error.ends_with(expected), "{error}");
    // Labels that are missing are the reason, whatever else there is.
    for more in ["", "--sample-fraction 1e-9", "--mode autoregressive --sample-fraction 1e-9"] {
        let error = fails(&format!("--traces trace.sr --dagger {more}"));
        assert!(error.contains("has no labels; sr-relabel makes them"), "{error}");
    }
    assert!(!at("none").exists());
}

#[test]
fn a_missing_or_cut_file_overwrites_nothing() {
    let folder = folder();
    let good = convert(folder.path(), "--traces trace.sr --out corpus");
    assert_eq!(good.status.code(), Some(0));
    let files = || ["train.sr", "val.sr"].map(|name| fs::read(folder.path().join("corpus").join(name)).expect(name));
    let before = files();

    let error = error_of(convert(folder.path(), "--traces none.sr --out corpus --force"));
    assert!(error.contains("none.sr") && error.lines().count() == 1, "{error}");
    let error = error_of(convert(folder.path(), "--traces trace.sr --problems none.sr --out corpus --force"));
    assert!(error.contains("none.sr"), "{error}");

    let trace = fs::read(folder.path().join("trace.sr")).expect("the trace");
    fs::write(folder.path().join("cut.sr"), &trace[..trace.len() / 2]).expect("written");
    let error = error_of(convert(folder.path(), "--traces cut.sr --out corpus --seed 5 --force"));
    assert!(error.contains("cut.sr: cut short") && error.lines().count() == 1, "{error}");
    assert_eq!(files(), before);

    fs::remove_file(folder.path().join("simple.sr")).expect("removed");
    let error = error_of(convert(folder.path(), "--traces trace.sr --out corpus --force"));
    assert!(error.contains("simple.sr") && error.contains("--problems"), "{error}");
    assert_eq!(files(), before);
}

#[test]
fn another_problem_set_of_the_same_names_is_noticed() {
    let folder = folder();
    sr_problems::suite("simple", 2).expect("a suite").write(folder.path().join("other.sr")).expect("written");
    let error = error_of(convert(folder.path(), "--traces trace.sr --problems other.sr --out a"));
    assert!(error.contains("other.sr") && error.contains("this is another problem set"), "{error}");
    assert!(!folder.path().join("a").exists(), "no folder is left");
}

#[test]
fn a_corpus_replaces_no_input_and_no_corpus() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    fs::rename(at("trace.sr"), at("train.sr")).expect("renamed");
    let before = fs::read(at("train.sr")).expect("read");
    let error = error_of(convert(folder.path(), "--traces train.sr --out . --force"));
    assert!(error.contains("train.sr too, which is the input train.sr"), "{error}");
    assert_eq!(fs::read(at("train.sr")).expect("read"), before);

    assert_eq!(convert(folder.path(), "--traces train.sr --out a").status.code(), Some(0));
    let error = error_of(convert(folder.path(), "--traces train.sr --out a --seed 1"));
    assert!(error.contains("a/train.sr is there already") && error.contains("--force"), "{error}");
    assert!(error_of(convert(folder.path(), "--traces train.sr --out simple.sr")).contains("is a file"));
    // Folders that were made are gone again.
    for flags in ["--traces train.sr --dagger --out b/c", "--traces none.sr --out b/c"] {
        error_of(convert(folder.path(), flags));
        assert!(!at("b").exists(), "{flags}");
    }
}

#[test]
fn the_text_of_a_corpus_goes_with_it() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    let done = |flags: &str| {
        let output = convert(folder.path(), flags);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let names = |of: &str| {
        let entries = fs::read_dir(at(of)).expect("listed").map(|entry| entry.expect("an entry").file_name());
        let mut names: Vec<String> = entries.map(|name| name.to_string_lossy().into_owned()).collect();
        names.sort();
        names
    };
    done("--traces trace.sr --out a --jsonl");
    fs::write(at("a/notes.jsonl"), "mine").expect("written");
    // What fails leaves all of it.
    error_of(convert(folder.path(), "--traces trace.sr --dagger --out a --force"));
    assert_eq!(names("a"), ["corpus.run.json", "notes.jsonl", "train.jsonl", "train.sr", "val.jsonl", "val.sr"]);
    done("--traces trace.sr --seed 1 --out a --force");
    assert_eq!(names("a"), ["corpus.run.json", "notes.jsonl", "train.sr", "val.sr"]);
    // Where there was no corpus, such a file is somebody's own.
    fs::create_dir(at("b")).expect("made");
    fs::write(at("b/train.jsonl"), "mine").expect("written");
    done("--traces trace.sr --out b");
    assert_eq!(fs::read(at("b/train.jsonl")).expect("it is there"), b"mine");
    // An input that would go is an input all the same.
    fs::rename(at("simple.sr"), at("a/val.jsonl")).expect("moved");
    let error = error_of(convert(folder.path(), "--traces trace.sr --problems a/val.jsonl --out a --force"));
    assert!(error.contains("a/val.jsonl too, which is the input"), "{error}");
}

#[cfg(unix)]
#[test]
fn names_that_a_corpus_cannot_tell_are_refused() {
    use std::os::unix::ffi::OsStrExt;

    let folder = folder();
    let name = std::ffi::OsStr::from_bytes(b"n\xff.sr");
    for (from, flags) in [("simple.sr", &["--mode", "direct", "--problems"][..]), ("trace.sr", &["--traces"])] {
        let Ok(_) = fs::copy(folder.path().join(from), folder.path().join(name)) else {
            return; // the file system has text only
        };
        let mut command = Command::new(env!("CARGO_BIN_EXE_sr-convert"));
        let output = command.current_dir(folder.path()).args(flags).arg(name).args(["--out", "d"]).output();
        let error = error_of(output.expect("the binary runs"));
        assert!(error.contains("its name is no UTF-8, and a corpus names what it is made from; rename it"), "{error}");
        assert!(!folder.path().join("d").exists());
    }
}

#[test]
fn a_folder_in_the_place_of_a_corpus_is_told_before_anything_is_done() {
    let folder = folder();
    fs::create_dir_all(folder.path().join("a/val.sr")).expect("made");
    let error = error_of(convert(folder.path(), "--traces trace.sr --out a --force"));
    assert!(error.contains("--out a: a/val.sr is a folder, expected a file or nothing"), "{error}");
    assert_eq!(fs::read_dir(folder.path().join("a")).expect("listed").count(), 1);
}

#[test]
fn a_problem_of_one_point_is_searched_and_converted() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut set = sr_problems::suite("simple", 1).expect("a suite");
    set.problems.truncate(1);
    let problem = &mut set.problems[0];
    problem.x = sr_expr::Columns::new(1, 1, vec![2.0]);
    problem.y = vec![6.0]; // x0*x0 + x0
    set.write(folder.path().join("simple.sr")).expect("written");
    let config = SearchConfig { generations: 3, early_stop_mse: None, ..SearchConfig::basic() };
    let instance = Arc::new(set.problems[0].instance().expect("an instance"));
    let header = TraceHeader::of_expert("simple.sr", instance.primitives(), &config, "basic", 1);
    let mut writer = TraceWriter::create(folder.path().join("trace.sr"), &header).expect("created");
    let mut search = [Search::new(instance, config, 1).expect("a search")];
    let mut recorders = [Recorder::new(1)];
    let outcome = run(&mut search, &mut Expert, &mut recorders).expect("the expert never fails").remove(0);
    let [recorder] = recorders;
    writer.append(&recorder.finish(&outcome).expect("recorded")).expect("written");
    writer.finish().expect("finished");
    for (flags, examples) in [
        ("--traces trace.sr", 2 * 19),
        ("--traces trace.sr --mode autoregressive", 2),
        ("--problems simple.sr --mode direct", 1),
    ] {
        for context in ["basic", "rich", "superrich"] {
            let flags = format!("{flags} --context {context} --out a --force --json --jsonl --val-fraction 0");
            let output = convert(folder.path(), &flags);
            assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
            let result: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
            assert_eq!((&result["train"], &result["val"]), (&examples.into(), &0.into()), "{flags}");
            let text = fs::read_to_string(folder.path().join("a/train.jsonl")).expect("text");
            assert_eq!(text.lines().count(), examples);
            assert!(!text.contains("NaN") && !text.contains("inf"), "{}", text.lines().next().unwrap_or_default());
        }
    }
}
