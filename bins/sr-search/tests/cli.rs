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
        (&[&neural[..], &["--neural-prob", "1.5"]].concat(), "probability 1.5"),
        (&[&EXPERT[..], &["--neural-every", "2"]].concat(), "are for --policy hybrid"),
        (&[&EXPERT[..], &["--condition", "GAIN_4"]].concat(), "--condition says nothing with --policy expert"),
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
        let run = |out: &str, more: &[&str]| ok(&search(path, &[base, &["--runs", "2", "--out", out], more].concat()));
        run("a.sr", &["--threads", "1", "--batch-size", "1"]);
        run("b.sr", &["--threads", "2", "--batch-size", "10"]);
        assert_eq!(read(path, "a.sr"), read(path, "b.sr"), "{name}");
        run("1.sr", &["--shard", "1/3"]);
        run("2.sr", &["--shard", "2/3"]);
        run("3.sr", &["--shard", "3/3"]);
        let shards: Vec<PathBuf> = ["1.sr", "2.sr", "3.sr"].iter().map(|shard| path.join(shard)).collect();
        sr_trace::merge(&shards, path.join("merged.sr")).expect("merged");
        assert_eq!(read(path, "a.sr"), read(path, "merged.sr"), "{name}");
    }
}

#[test]
fn json_counts_what_was_done() {
    let folder = folder();
    let result = |flags: &[&str]| -> serde_json::Value {
        let text = ok(&search(folder.path(), &[flags, &["--json", "--out", "t.sr"]].concat()));
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
        (&["--problems", "harder.sr", "--device", "cuda"], "--features cuda"),
        (&["--problems", "harder.sr", "--device", "tpu"], "tpu"),
        (&["--problems", "harder.sr", "--population-size", "1"], "--population-size"),
        (&["--problems", "harder.sr", "--policy", "neural", "--checkpoint", "none"], "none"),
        (&["--problems", "harder.sr", "--policy", "neural", "--checkpoint", "other"], "vocabulary"),
        (&["--problems", "harder.sr", "--policy", "neural", "--checkpoint", "whole", "--distinct"], "as one text"),
        (&["--problems", "harder.sr", "--distinct"], "--distinct says nothing with --policy expert"),
    ] {
        if cfg!(feature = "cuda") && flags.contains(&"cuda") {
            continue;
        }
        let message = refused(&search(path, &[flags, &["--out", "t.sr"]].concat()));
        assert!(message.contains(expected), "{flags:?}: {message}");
        assert_eq!(read(path, "t.sr"), b"precious");
    }
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
