//! The binary as a person or a script meets it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use sr_neural::testing::untrained_checkpoint;

fn search(folder: &Path, flags: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sr-search")).current_dir(folder).args(flags).output().expect("started")
}

fn ok(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).expect("text")
}

/// Exit code 2 and one line on stderr, which is returned.
fn refused(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stderr.clone()).expect("text");
    assert_eq!(text.trim_end().lines().count(), 1, "{text}");
    text
}

/// A folder with the suite `harder` and an untrained checkpoint.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    sr_problems::suite("harder", 1).expect("suite").write(folder.path().join("harder.sr")).expect("written");
    untrained_checkpoint(&folder.path().join("model"), "one-step");
    folder
}

fn read(folder: &Path, name: &str) -> Vec<u8> {
    std::fs::read(folder.join(name)).expect(name)
}

const EXPERT: [&str; 4] = ["--problems", "harder.sr", "--generations", "6"];
const NEURAL: [&str; 12] = [
    "--problems",
    "harder.sr",
    "--generations",
    "4",
    "--policy",
    "neural",
    "--checkpoint",
    "model",
    "--max-child-size",
    "6",
    "--seed",
    "5",
];

#[test]
fn expert_and_learner_may_share_a_search() {
    let folder = folder();
    let path = folder.path();
    let neural: Vec<&str> = NEURAL.iter().map(|flag| if *flag == "neural" { "hybrid" } else { *flag }).collect();
    let run = |out: &str, more: &[&str]| ok(&search(path, &[&neural[..], &["--out", out], more].concat()));
    let text = run("a.sr", &["--neural-prob", "0.5", "--json"]);
    let result: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let (children, learners) = (&result["children"], &result["well_formed"]);
    assert!((0.3..0.7).contains(&(learners.as_f64().expect("a number") / children.as_f64().expect("a number"))));
    run("b.sr", &["--neural-prob", "0.5", "--batch-size", "2"]);
    assert_eq!(read(path, "a.sr"), read(path, "b.sr"));
    run("c.sr", &["--neural-every", "2"]);
    run("d.sr", &["--neural-prob", "0.5", "--neural-per", "search"]);
    for other in ["c.sr", "d.sr"] {
        assert_ne!(read(path, "a.sr"), read(path, other));
    }
    for (flags, message) in [
        (&neural[..], "needs --neural-prob or --neural-every"),
        (&[&neural[..], &["--neural-prob", "1.5"]].concat(), "--neural-prob is 1.5, expected"),
        (&[&EXPERT[..], &["--neural-every", "2"]].concat(), "are for --policy hybrid"),
        (&[&EXPERT[..], &["--condition", "GAIN_4"]].concat(), "--condition has no effect with --policy expert"),
    ] {
        assert!(refused(&search(path, flags)).contains(message), "{message}");
    }
}

#[test]
fn threads_batches_and_shards_change_no_byte() {
    let folder = folder();
    let path = folder.path();
    let distinct = [&NEURAL[..], &["--distinct", "--temperature", "0.05"]].concat();
    for (name, base) in [("expert", &EXPERT[..]), ("neural", &NEURAL[..]), ("distinct", &distinct[..])] {
        let run = |out: &str, more: &[&str]| {
            ok(&search(path, &[base, &["--runs", "2", "--force", "--out", out], more].concat()))
        };
        run("a.sr", &["--threads", "1", "--batch-size", "1"]);
        run("b.sr", &["--threads", "2", "--batch-size", "10"]);
        assert_eq!(read(path, "a.sr"), read(path, "b.sr"), "{name}");
        run("1.sr", &["--shard", "1/3"]);
        run("2.sr", &["--shard", "2/3"]);
        run("3.sr", &["--shard", "3/3"]);
        let shards: Vec<PathBuf> = ["1.sr", "2.sr", "3.sr"].iter().map(|shard| path.join(shard)).collect();
        sr_trace::merge_traces(&shards, path.join("merged.sr")).expect("merged");
        assert_eq!(read(path, "a.sr"), read(path, "merged.sr"), "{name}");
    }
}

#[test]
fn json_counts_what_was_done() {
    let folder = folder();
    let result = |flags: &[&str]| -> serde_json::Value {
        let text = ok(&search(folder.path(), &[flags, &["--json", "--force", "--out", "t.sr"]].concat()));
        serde_json::from_str(&text).expect("JSON")
    };
    let expert = result(&EXPERT);
    assert_eq!((&expert["command"], &expert["problems"]), (&"sr-search".into(), &5.into()));
    assert_eq!(expert["children"], 5 * 5 * 19);
    assert_eq!(expert["evaluations"], 5 * (20 + 5 * 19));
    let neural = result(&[&NEURAL[..], &["--compare-sequential", "--max-problems", "3"]].concat());
    assert_eq!(neural["children"], 3 * 3 * 19);
    let count = |key: &str| neural[key].as_u64().expect(key);
    assert_eq!(count("well_formed") + count("fallback"), 3 * 3 * 19);
    assert_eq!(count("differing"), 0);
}

#[test]
fn an_interrupted_run_is_resumed_to_the_same_bytes() {
    let folder = folder();
    let path = folder.path();
    ok(&search(path, &[&EXPERT[..], &["--out", "whole.sr"]].concat()));
    let whole = read(path, "whole.sr");
    for cut in [whole.len() / 3, whole.len() / 2, whole.len() - 1] {
        std::fs::write(path.join("t.sr.partial"), &whole[..cut]).expect("cut");
        ok(&search(path, &[&EXPERT[..], &["--out", "t.sr", "--resume"]].concat()));
        assert_eq!(read(path, "t.sr"), whole);
        std::fs::remove_file(path.join("t.sr")).expect("removed");
    }
}

#[test]
fn bad_input_is_one_line_and_overwrites_nothing() {
    let folder = folder();
    let path = folder.path();
    std::fs::write(path.join("t.sr"), "precious").expect("written");
    std::fs::write(path.join("cut.sr"), &read(path, "harder.sr")[..200]).expect("written");
    let sine = sr_prompt::tokenizer_json().replace("\"sin\"", "\"sine\"");
    std::fs::create_dir(path.join("other")).expect("made");
    for name in ["config.json", "meta.json", "model.bpk"] {
        std::fs::copy(path.join("model").join(name), path.join("other").join(name)).expect("copied");
    }
    std::fs::write(path.join("other/tokenizer.json"), sine).expect("written");
    std::fs::create_dir(path.join("whole")).expect("made");
    for name in ["config.json", "tokenizer.json", "model.bpk"] {
        std::fs::copy(path.join("model").join(name), path.join("whole").join(name)).expect("copied");
    }
    let meta = String::from_utf8(read(path, "model/meta.json")).expect("text").replace("one-step", "autoregressive");
    std::fs::write(path.join("whole/meta.json"), meta).expect("written");
    for (flags, expected) in [
        (&["--problems", "none.sr"][..], "none.sr"),
        (&["--problems", "cut.sr"], "cut.sr"),
        (&["--problems", "harder.sr", "--operators", "+,sinh"], "sinh"),
        (&["--problems", "harder.sr", "--constants", "1.0,two"], "two"),
        (&[&NEURAL[..], &["--device", "cuda"]].concat(), "--features cuda"),
        (&[&NEURAL[..], &["--device", "tpu"]].concat(), "tpu"),
        (&["--problems", "harder.sr", "--population-size", "1"], "--population-size"),
        (&["--problems", "harder.sr", "--policy", "neural", "--checkpoint", "none"], "none"),
        (&["--problems", "harder.sr", "--policy", "neural", "--checkpoint", "other"], "vocabulary"),
        (&["--problems", "harder.sr", "--policy", "neural", "--checkpoint", "whole", "--distinct"], "as one text"),
        (&["--problems", "harder.sr", "--distinct"], "--distinct has no effect with --policy expert"),
    ] {
        if cfg!(feature = "cuda") && flags.contains(&"cuda") {
            continue;
        }
        let message = refused(&search(path, &[flags, &["--out", "t.sr", "--force"]].concat()));
        assert!(message.contains(expected), "{flags:?}: {message}");
        assert_eq!(read(path, "t.sr"), b"precious");
    }
}

/// The names in a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("listed").map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<String> = entries.map(|name| name.to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_finished_trace_is_taken_for_the_result_only_if_it_is() {
    let folder = folder();
    let path = folder.path();
    let run = |more: &[&str]| search(path, &[&EXPERT[..], &["--out", "o.sr"], more].concat());
    ok(&run(&["--runs", "2"]));
    let before = read(path, "o.sr");
    let again = run(&["--runs", "2", "--resume"]);
    assert_eq!(ok(&again), "o.sr is complete, nothing is left to do\n");
    for (flags, expected) in [
        (&["--runs", "2", "--seed", "9"][..], "o.sr was made with other settings: seed 0, asked for 9"),
        (&["--runs", "2", "--population-size", "30"], "engine.population_size 20, asked for 30"),
        (&["--runs", "3"], "runs 2, asked for 3"),
        (&["--runs", "2", "--shard", "1/2"], "shard none, asked for \"1/2\""),
        (&["--runs", "2", "--max-problems", "4"], "max_problems none, asked for 4"),
        (&["--runs", "2", "--operators", "+,*"], "operators"),
    ] {
        let message = refused(&run(&[flags, &["--resume"]].concat()));
        assert!(message.contains(expected), "{flags:?}: {message}");
    }
    let message = refused(&run(&["--runs", "2"]));
    assert!(message.contains("o.sr is there already") && message.contains("--force"), "{message}");
    // Without a run file the records tell.
    std::fs::remove_file(path.join("o.sr.run.json")).expect("removed");
    let output = run(&["--runs", "2", "--resume"]);
    assert!(ok(&output).contains("is complete"));
    assert!(String::from_utf8_lossy(&output.stderr).contains("has no run file"));
    for (flags, expected) in [
        (&["--runs", "3"][..], "made with other settings: problem"),
        (&["--runs", "2", "--max-problems", "4"], "searches 10, asked for 8"),
        (&["--runs", "2", "--shard", "2/2"], "made with other settings: problem"),
    ] {
        let output = run(&[flags, &["--resume"]].concat());
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{message}");
        assert!(message.contains(expected), "{flags:?}: {message}");
    }
    // The same names with other points.
    sr_problems::suite("harder", 2).expect("suite").write(path.join("harder.sr")).expect("written");
    let output = run(&["--runs", "2", "--resume"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("this is another problem set"));
    assert_eq!(output.status.code(), Some(2));
    // No trace at all.
    let message = refused(&search(path, &[&EXPERT[..], &["--out", "model/config.json", "--resume"]].concat()));
    assert!(message.contains("config.json"), "{message}");
    assert_eq!(read(path, "o.sr"), before);
}

#[test]
fn an_unfinished_trace_of_other_problems_is_not_gone_on_with() {
    let folder = folder();
    let path = folder.path();
    ok(&search(path, &[&EXPERT[..], &["--out", "whole.sr"]].concat()));
    let whole = read(path, "whole.sr");
    std::fs::write(path.join("t.sr.partial"), &whole[..whole.len() * 2 / 3]).expect("cut");
    let resumed = |more: &[&str]| refused(&search(path, &[&EXPERT[..], &["--out", "t.sr", "--resume"], more].concat()));
    let message = resumed(&["--shard", "2/2"]);
    assert!(message.contains("t.sr.partial") && message.contains("other settings: problem"), "{message}");
    assert!(resumed(&["--runs", "2"]).contains("other settings: problem"));
    sr_problems::suite("harder", 2).expect("suite").write(path.join("harder.sr")).expect("written");
    assert!(resumed(&[]).contains("this is another problem set"));
    // What stands beside the partial file tells it before a record is read.
    let settings = r#"{"settings": {"problems": "5 problems 0123456789abcdef", "runs": 1}}"#;
    std::fs::write(path.join("t.sr.partial.run.json"), settings).expect("written");
    assert!(resumed(&[]).contains("made with other settings: "));
}

#[test]
fn an_output_replaces_no_input_and_leaves_nothing_behind_an_error() {
    let folder = folder();
    let path = folder.path();
    let problems = read(path, "harder.sr");
    std::fs::create_dir(path.join("d")).expect("made");
    let before = names(path);
    for (flags, expected) in [
        (&[&EXPERT[..], &["--out", "harder.sr", "--force"]].concat()[..], "--out harder.sr is the input harder.sr"),
        (&[&EXPERT[..], &["--out", "d/../harder.sr", "--force"]].concat(), "is the input harder.sr"),
        (&[&EXPERT[..], &["--out", "d"]].concat(), "--out d is a folder, expected the name of a file"),
        (&[&EXPERT[..], &["--out", "none/t.sr"]].concat(), "there is no folder none"),
        (&[&NEURAL[..], &["--out", "model/model.bpk", "--force"]].concat(), "is part of the input model"),
        (&[&NEURAL[..], &["--out", "t.sr", "--temperature", "-1"]].concat(), "temperature"),
        (&[&NEURAL[..], &["--out", "t.sr", "--temperature", "nan"]].concat(), "temperature"),
        (&[&NEURAL[..], &["--out", "t.sr", "--top-k", "0"]].concat(), "top-k"),
        (&[&NEURAL[..], &["--out", "t.sr", "--top-p", "1.5"]].concat(), "top-p"),
        (&[&NEURAL[..], &["--out", "t.sr", "--max-batch-tokens", "0"]].concat(), "--max-batch-tokens is 0"),
        (&[&EXPERT[..], &["--out", "t.sr", "--seed", "18446744073709551615", "--runs", "2"]].concat(), "--runs 2"),
        (&[&EXPERT[..], &["--out", "t.sr", "--max-evaluations", "19"]].concat(), "--max-evaluations 19"),
        (&[&EXPERT[..], &["--out", "t.sr", "--checkpoint", "model"]].concat(), "--checkpoint has no effect"),
        (&[&EXPERT[..], &["--out", "t.sr", "--temperature", "0.8"]].concat(), "--temperature has no effect"),
        (&[&EXPERT[..], &["--out", "t.sr", "--device", "cpu"]].concat(), "--device has no effect"),
    ] {
        let message = refused(&search(path, flags));
        assert!(message.contains(expected), "{flags:?}: {message}");
        assert_eq!(names(path), before, "{flags:?}");
    }
    assert_eq!(read(path, "harder.sr"), problems);
    // A run that is at work.
    std::fs::write(path.join("t.sr.lock"), "").expect("written");
    let lock = std::fs::File::options().write(true).open(path.join("t.sr.lock")).expect("opened");
    lock.lock().expect("locked");
    let message = refused(&search(path, &[&EXPERT[..], &["--out", "t.sr"]].concat()));
    assert!(message.contains("--out t.sr: another run writes it"), "{message}");
}

#[test]
fn default_names_tell_runs_apart() {
    let folder = folder();
    let path = folder.path();
    let mut made: Vec<String> = Vec::new();
    for (flags, expected) in [
        (&[][..], "gen6_harder.sr"),
        (&["--seed", "3"], "gen6_harder_s3.sr"),
        (&["--shard", "1/2"], "gen6_harder_i1of2.sr"),
        (&["--shard", "2/2"], "gen6_harder_i2of2.sr"),
        (&["--runs", "2"], "gen6_harder_"),
        (&["--constants", "2.5"], "gen6_harder_"),
        (&["--population-size", "30"], "gen6_harder_"),
    ] {
        let json = ok(&search(path, &[&EXPERT[..], &["--json"], flags].concat()));
        let result: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        let name = result["out"].as_str().expect("a name").to_owned();
        assert!(if flags.is_empty() { name == expected } else { name.starts_with(expected) }, "{name}");
        assert!(!made.contains(&name), "{name} twice");
        made.push(name);
    }
    assert!(refused(&search(path, &EXPERT)).contains("gen6_harder.sr is there already"));
}

#[cfg(unix)]
#[test]
fn a_name_that_is_no_text_is_told() {
    use std::os::unix::ffi::OsStrExt;
    let folder = folder();
    let name = std::ffi::OsStr::from_bytes(b"caf\xe9.sr");
    std::fs::copy(folder.path().join("harder.sr"), folder.path().join(name)).expect("copied");
    let output = Command::new(env!("CARGO_BIN_EXE_sr-search"))
        .current_dir(folder.path())
        .arg("--problems")
        .arg(name)
        .args(["--out", "t.sr"])
        .output()
        .expect("started");
    assert!(refused(&output).contains("no UTF-8"));
    assert!(!folder.path().join("t.sr").exists());
}

#[test]
fn settings_of_a_learner_are_checked_before_anything_is_written() {
    let folder = folder();
    let path = folder.path();
    let neural = ["--policy", "neural", "--checkpoint", "model", "--problems"];
    for (flags, expected) in [
        (&["harder.sr", "--temperature=-1"][..], "--temperature is -1, expected a finite number of at least 0"),
        (&["harder.sr", "--temperature", "nan"], "--temperature is NaN, expected"),
        (&["harder.sr", "--top-k", "0"], "--top-k is 0, expected at least 1"),
        (&["harder.sr", "--top-p", "0"], "--top-p is 0, expected a number in (0, 1]"),
        (&["harder.sr", "--top-p", "1.5"], "--top-p is 1.5, expected a number in (0, 1]"),
        (&["harder.sr", "--max-child-size", "0"], "--max-child-size is 0, expected 1 to "),
        (&["harder.sr", "--max-child-size", "100000"], "--max-child-size is 100000, expected 1 to "),
        (&["harder.sr", "--max-batch-tokens", "0"], "--max-batch-tokens is 0, expected at least 1"),
    ] {
        let message = refused(&search(path, &[&neural[..], flags, &["--out", "none.t"]].concat()));
        assert!(message.contains(expected), "{flags:?}: {message}");
        assert!(!path.join("none.t").exists() && !path.join("none.t.partial").exists(), "{flags:?}");
    }
}

#[test]
fn more_columns_than_a_model_reads_are_one_line_with_both_numbers() {
    let folder = folder(); // its model reads 10 variables
    let path = folder.path();
    for columns in [10, 11, 33] {
        let row = |of: &dyn Fn(usize) -> String| (0..columns).map(of).collect::<Vec<_>>().join(",");
        let mut table = format!("{},y\n", row(&|i| format!("c{i}")));
        for line in 0..4 {
            table.push_str(&format!("{},{line}\n", row(&|i| (line * i + 1).to_string())));
        }
        std::fs::write(path.join("wide.csv"), table).expect("written");
        let set =
            sr_problems::from_table(&path.join("wide.csv"), &sr_problems::TableOptions::new("y")).expect("a table");
        set.set.write(path.join("wide.sr")).expect("written");
        let flags = ["--problems", "wide.sr", "--checkpoint", "model", "--generations", "2", "--out", "w.t", "--force"];
        for policy in [&["--policy", "neural"][..], &["--policy", "hybrid", "--neural-prob", "0.5"]] {
            let output = search(path, &[&flags[..], policy, &["--max-child-size", "3"]].concat());
            if columns == 10 {
                ok(&output);
                std::fs::remove_file(path.join("w.t")).expect("removed");
                continue;
            }
            let message = refused(&output);
            assert!(
                message.contains(&format!("has {columns} variables, ")) && message.contains("at most 10"),
                "{message}"
            );
            assert!(!path.join("w.t").exists() && !path.join("w.t.partial").exists(), "{columns}");
        }
    }
}

/// The result of a search of somebody's own table, as text and as JSON.
fn own_search(rows: &str, operators: &[sr_expr::Op], constants: &[f64], flags: &[&str]) -> (String, serde_json::Value) {
    let folder = tempfile::tempdir().expect("a folder");
    let table = folder.path().join("mine.csv");
    std::fs::write(&table, rows).expect("written");
    let (operators, constants) = (operators.to_vec(), constants.to_vec());
    let options = sr_problems::TableOptions { operators, constants, ..sr_problems::TableOptions::new("y") };
    let sr_problems::Table { set, .. } = sr_problems::from_table(&table, &options).expect("a table");
    set.write(folder.path().join("mine.sr")).expect("written");
    let run = |out: &str, more: &[&str]| {
        ok(&search(folder.path(), &[&["--problems", "mine.sr", "--seed", "1", "--out", out], flags, more].concat()))
    };
    (run("a.sr", &[]), serde_json::from_str(&run("b.sr", &["--json"])).expect("JSON"))
}

/// The only search's result.
fn only(result: &serde_json::Value) -> &serde_json::Value {
    assert_eq!(result["results"].as_array().expect("results").len(), 1);
    &result["results"][0]
}

#[test]
fn own_data_ends_with_its_formula_in_the_names_of_its_columns() {
    use sr_expr::Op;
    let rows: String = (10..30).map(|x| format!("{},{}\n", x * 100, x * 100 * x * 100)).collect();
    let (text, json) = own_search(&format!("speed,y\n{rows}"), &[Op::Add, Op::Mul], &[1.0], &[]);
    assert!(text.contains("mine, seed 1: (speed * speed)\n"), "{text}");
    assert!(text.contains("MSE 0.000e0, 1 - R² 0.0e0 over all rows, 3 nodes, solved; 50 generations"), "{text}");
    assert!(text.contains("1 search of 1 problem: 1 solved;") && text.contains("stopped by: generations 1"), "{text}");
    let found = only(&json);
    assert_eq!((&json["objective"], &json["solved"]), (&"mse".into(), &1.into()));
    assert_eq!((&found["formula"], &found["stop_reason"]), (&"(speed * speed)".into(), &"generations".into()));
    assert_eq!((&found["mse"], &found["r2"], &found["solved"]), (&0.0.into(), &1.0.into(), &true.into()));
}

#[test]
fn decimal_data_and_single_rows_are_solved_exactly() {
    use sr_expr::Op;
    let rows = "x,y\n0.1,0.010000000000000002\n20.2,408.03999999999996\n30.7,942.49\n";
    let (_, json) = own_search(rows, &[Op::Add, Op::Mul], &[1.0], &[]);
    assert_eq!((&only(&json)["formula"], &only(&json)["solved"]), (&"(x * x)".into(), &true.into()));
    let (_, json) = own_search("x,y\n2,8\n", &[Op::Add, Op::Mul], &[], &[]);
    assert_eq!((&only(&json)["mse"], &only(&json)["solved"]), (&0.0.into(), &true.into()));
    // Seconds since 1970, which 32 bits do not tell apart.
    let rows: String = (0..10).map(|i| format!("{},{i}\n", 1_700_000_000 + i)).collect();
    let flags = ["--population-size", "100"];
    let (_, json) = own_search(&format!("t,y\n{rows}"), &[Op::Add, Op::Sub], &[1_700_000_000.0], &flags);
    assert_eq!((&only(&json)["formula"], &only(&json)["solved"]), (&"(t - 1700000000.0)".into(), &true.into()));
}

#[test]
fn rows_that_are_left_out_of_an_error_are_told_and_solve_nothing() {
    use sr_expr::Op;
    let y = |x: i64| if x < 10 { 10_000 * x * x } else { 7 };
    let rows: String = (1..=18).map(|x| format!("{},{}\n", 100 * x, y(x))).collect();
    let rows = format!("x,y\n{rows}");
    let (text, json) = own_search(&rows, &[Op::Add, Op::Mul], &[1.0], &["--objective", "masked"]);
    let found = only(&json);
    assert_eq!((&found["formula"], &found["masked_rows"]), (&"(x * x)".into(), &9.into()));
    assert_eq!((&found["solved"], &json["solved"], &json["masked_winners"]), (&false.into(), &0.into(), &1.into()));
    assert!(found["mse"].as_f64().expect("a number") > 1e11, "the error is over all rows: {found}");
    assert!(text.contains("1 of the formulas were judged without some rows"), "{text}");
    let (text, json) = own_search(&rows, &[Op::Add, Op::Mul], &[1.0], &[]);
    assert_eq!(only(&json)["solved"], false);
    assert!(!text.contains("judged without some rows") && text.contains("not solved"), "{text}");
}

#[test]
fn guarded_operators_are_printed_as_what_they_are() {
    use sr_expr::Op;
    let rows = "x,y\n-2,0.6931471805599453\n-1,0\n1,0\n2,0.6931471805599453\n";
    let (_, json) = own_search(rows, &[Op::Add, Op::Log], &[1.0], &[]);
    assert_eq!((&only(&json)["formula"], &only(&json)["solved"]), (&"plog(x)".into(), &true.into()));
    let (_, json) = own_search(rows, &[Op::Add, Op::Log], &[1.0], &["--semantics", "ieee"]);
    let expression = only(&json)["formula"].as_str().expect("a formula");
    assert!(!expression.contains("plog") && only(&json)["solved"] == false, "{expression}");
}
