//! The binary as a person or a script meets it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use serde_json::Value;
use sr_corpus::{Corpus, Example};
use sr_problems::{Blocklist, ProblemSet, suite};
use sr_trace::{TraceReader, TraceWriter};

const CONFIG: &str = r#"
exclude = ["harder", "test.sr"]
[problems]
count = 24
[search]
generations = 12
runs = 2
[corpus]
val_fraction = 0.3
"#;

fn sr_dataset(folder: &Path, flags: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sr-dataset"));
    command.current_dir(folder).args(flags.split_whitespace()).output().expect("the binary runs")
}

fn ok(folder: &Path, flags: &str) -> String {
    let output = sr_dataset(folder, flags);
    assert_eq!(output.status.code(), Some(0), "{flags}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// Exit code 2 and one line on stderr, which is returned.
fn refused(folder: &Path, flags: &str) -> String {
    let output = sr_dataset(folder, flags);
    let text = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(2), "{flags}: {text}");
    assert_eq!(text.trim_end().lines().count(), 1, "{text}");
    text
}

/// Exit code 1; the lines on stdout.
fn invalid(folder: &Path, flags: &str) -> Vec<String> {
    let output = sr_dataset(folder, flags);
    assert_eq!(output.status.code(), Some(1), "{flags}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text").lines().map(str::to_owned).collect()
}

/// A folder with `config.toml`, and `test.sr` of one formula that is an individual of many searches.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("config.toml"), CONFIG).expect("written");
    let mut set = suite("simple", 1).expect("a suite");
    set.problems.truncate(1);
    set.problems[0].source = Some("3*x0".parse().expect("a formula"));
    set.write(folder.path().join("test.sr")).expect("written");
    folder
}

/// The bytes of all files that a build made, by name, less what differs between equal builds.
fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for folder in [dir.to_owned(), dir.join("corpus")] {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.strip_prefix(dir).expect("inside").to_string_lossy().into_owned();
            if path.is_file() && name != "dataset.run.json" {
                found.insert(name, fs::read(&path).expect("read"));
            }
        }
    }
    found
}

const FILES: [&str; 5] = ["corpus/train.sr", "corpus/val.sr", "manifest.json", "problems.sr", "trace.sr"];

#[test]
fn a_build_is_valid_and_its_manifest_says_what_there_is() {
    let folder = folder();
    let path = folder.path();
    let result: Value = serde_json::from_str(&ok(path, "build config.toml --out a --seed 3 --json")).expect("JSON");
    assert_eq!((&result["command"], &result["trajectories"]), (&"sr-dataset build".into(), &48.into()));
    let built = files(&path.join("a"));
    assert_eq!(built.keys().collect::<Vec<_>>(), FILES);

    let manifest: Value = serde_json::from_slice(&built["manifest.json"]).expect("JSON");
    assert_eq!((&manifest["problems"]["problems"], &manifest["seed"]), (&24.into(), &3.into()));
    let corpus = &manifest["corpus"];
    let excluded = corpus["excluded"].as_object().expect("reasons").values().map(|n| n.as_u64().expect("a number"));
    let examples = |side: &str| corpus[side].as_u64().expect("a number");
    let trajectories = TraceReader::open(path.join("a/trace.sr")).expect("a trace").map(|read| read.expect("whole"));
    let all: usize = trajectories.map(|t| (t.generations.len() - 1) * 19).sum();
    assert_eq!(examples("train") + examples("val") + excluded.sum::<u64>(), all as u64);
    assert!(corpus["excluded"]["population"].as_u64() > Some(0), "nothing was excluded: the test shows nothing");
    for file in
        ["problems", "traces", "corpus"].iter().flat_map(|stage| manifest[stage]["files"].as_array().expect("files"))
    {
        assert_eq!(file["bytes"], built[file["name"].as_str().expect("a name")].len());
    }
    let text = String::from_utf8_lossy(&built["manifest.json"]).into_owned();
    assert!(!text.contains(&*path.to_string_lossy()), "a path in the manifest");

    // Threads and folder make no difference; the seed does.
    ok(path, "build config.toml --out b --seed 3 --threads 1");
    assert!(files(&path.join("b")) == built);
    ok(path, "build config.toml --out c --seed 4");
    assert_ne!(files(&path.join("c"))["trace.sr"], built["trace.sr"]);

    assert!(ok(path, "validate a --exclude test.sr").contains("valid, 4 files"));
    let result: Value = serde_json::from_str(&ok(path, "validate a --exclude test.sr --json")).expect("JSON");
    assert_eq!((&result["valid"], &result["failures"]), (&true.into(), &Value::Array(vec![])));
    assert!(refused(path, "validate a").contains("test.sr were kept out"));
    for (files, expected) in [
        ("nofile.sr test.sr", "--exclude nofile.sr: there is no such file"),
        ("test.sr config.toml", "--exclude config.toml: the formulas of no file of that name were kept out"),
        ("test.sr harder", "--exclude harder: there is no such file"),
    ] {
        let error = refused(path, &format!("validate a --exclude {files}"));
        assert!(error.contains(expected), "{error}");
    }
    assert!(refused(path, "validate a --exclude test.sr --seed 3").contains("--seed has no effect with validate"));
    suite("simple", 1).expect("a suite").write(path.join("b/test.sr")).expect("written");
    assert!(refused(path, "validate a --exclude b/test.sr").contains("other formulas"));
}

#[test]
fn a_killed_build_goes_on_to_the_same_bytes() {
    let folder = folder();
    let path = folder.path();
    let long = CONFIG.replace("count = 24", "count = 60").replace("= 12", "= 40");
    fs::write(path.join("long.toml"), long).expect("written");
    let started = Instant::now();
    ok(path, "build long.toml --out whole");
    let (time, whole) = (started.elapsed(), files(&path.join("whole")));
    // What is there already takes no time again, so kills at growing delays hit every stage.
    let mut left = Vec::new();
    for delay in (0..12).map(|step| time * step / 12) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_sr-dataset"))
            .args("build long.toml --out killed --quiet".split_whitespace())
            .current_dir(path)
            .stdout(Stdio::null())
            .spawn()
            .expect("the binary runs");
        std::thread::sleep(delay);
        child.kill().expect("killed or ended"); // SIGKILL
        child.wait().expect("ended");
        if let Ok(bytes) = fs::read(path.join("killed/manifest.json")) {
            let manifest: Value = serde_json::from_slice(&bytes).expect("never half a manifest");
            left.push(["problems", "traces", "corpus"].iter().filter(|stage| !manifest[stage].is_null()).count());
        }
    }
    left.dedup();
    ok(path, "build long.toml --out killed");
    assert!(files(&path.join("killed")) == whole, "kills left {left:?} stages");

    // Whatever is missing or was cut is made again, and only that.
    let trace = fs::read(path.join("killed/trace.sr")).expect("read");
    fs::remove_file(path.join("killed/trace.sr")).expect("removed");
    fs::remove_file(path.join("killed/corpus/val.sr")).expect("removed");
    fs::write(path.join("killed/trace.sr.partial"), &trace[..trace.len() / 2]).expect("cut");
    let result: Value = serde_json::from_str(&ok(path, "build long.toml --out killed --json")).expect("JSON");
    assert_eq!(result["kept"], serde_json::json!(["problems"]));
    assert!(files(&path.join("killed")) == whole);
    let result: Value = serde_json::from_str(&ok(path, "build long.toml --out killed --json")).expect("JSON");
    assert_eq!(result["kept"], serde_json::json!(["problems", "traces", "corpus"]));
    // The program died before it could note the finished trace.
    let noted: Value = serde_json::from_slice(&whole["manifest.json"]).expect("JSON");
    let unnoted = Value::Object(
        noted
            .as_object()
            .expect("a map")
            .iter()
            .map(|(key, value)| match &**key {
                "traces" | "corpus" => (key.clone(), Value::Null),
                _ => (key.clone(), value.clone()),
            })
            .collect(),
    );
    fs::write(path.join("killed/manifest.json"), unnoted.to_string()).expect("written");
    ok(path, "build long.toml --out killed");
    assert!(files(&path.join("killed")) == whole);
}

#[test]
fn other_settings_and_other_files_are_told_and_nothing_is_overwritten() {
    let folder = folder();
    let path = folder.path();
    ok(path, "build config.toml --out a");
    let built = files(&path.join("a"));
    let changed = |from: &str, to: &str| {
        fs::write(path.join("changed.toml"), CONFIG.replace(from, to)).expect("written");
        refused(path, "build changed.toml --out a")
    };
    assert!(changed("= 12", "= 13").contains("config.search.header.engine.generations is 12 there and 13 now"));
    assert!(changed("count = 24", "count = 25").contains("config.problems.count is 24 there and 25 now"));
    assert!(changed("0.3", "0.2").contains("config.corpus.val_fraction"));
    assert!(changed("\"harder\", ", "").contains("config.exclude"));
    assert!(refused(path, "build config.toml --out a --seed 1").contains("seed is 0 there and 1 now"));
    assert!(refused(path, "build config.toml --out a --generations 9").contains("12 there and 9 now"));
    // A comment is no other setting.
    fs::write(path.join("same.toml"), format!("# as before\n{CONFIG}")).expect("written");
    ok(path, "build same.toml --out a");
    assert!(files(&path.join("a")) == built);

    fs::write(path.join("a/trace.sr"), "precious").expect("written");
    let error = refused(path, "build config.toml --out a");
    assert!(error.contains("a/trace.sr: not the file that was built") && error.contains("delete it"), "{error}");
    assert_eq!(fs::read(path.join("a/trace.sr")).expect("read"), b"precious");
    fs::create_dir(path.join("b")).expect("a folder");
    fs::write(path.join("b/problems.sr"), "precious").expect("written");
    assert!(refused(path, "build config.toml --out b").contains("holds problems.sr and no manifest.json"));

    for (config, expected) in [
        ("[problems]\ncount = 0", "count"),
        ("[problems]\ncount = 1\ncuont = 2", "cuont"),
        ("[problems]\nsuite = \"nguyén\"", "nguyén"),
        ("[problems]\nsuite = \"nguyen\"\ncount = 3", "count has no meaning beside suite"),
        ("[problems]\ncount = 1\noperators = \"+,sinh\"", "sinh"),
        ("exclude = [\"none.sr\"]\n[problems]\ncount = 1", "none.sr"),
        ("[problems]\ncount = 1\n[search]\ngenerations = \"many\"", "many"),
        ("[problems]\ncount = 1\n[search]\ngeneration = 1", "search flags of sr-search"),
        ("[problems]\ncount = 1\n[search]\ntime_limit = 1", "machine"),
        ("[problems]\ncount = 1\n[search]\npopulation_size = 1", "--population-size must be 2"),
        ("[problems]\ncount = 9\n[search]\ngenerations = 1", "generations must be 2 or more"),
        ("[problems]\ncount = 9\n[corpus]\nval_fraction = 1.0", "val_fraction must be 0 or more and below 1"),
        (
            "[problems]\ncount = 9\n[corpus]\nval_fraction = 0.0\napart = \"function\"",
            "apart has no effect with val_fraction 0",
        ),
        (
            "[problems]\ncount = 9\npoints = 4294967295",
            "points is 4294967295, expected at most 33554432 with 3 variables",
        ),
        ("[problems]\ncount = 99\npoints = 30000000", "99 problems of 30000000 points: expected less than 16 GiB"),
        ("[problems]\ncount = 9\n[corpus]\nsample_fraction = 0.0", "sample_fraction must be above 0"),
        ("[problems]\ncount = 1\n[search]\n[corpus]\nmode = \"direct\"", "leave [search] out"),
        ("[problems]\ncount = 1\n[corpus]\nmode = \"autoregressive\"\nancestors_only = true", "ancestors_only is for"),
    ] {
        fs::write(path.join("bad.toml"), config).expect("written");
        let error = refused(path, "build bad.toml --out bad");
        assert!(error.contains("bad.toml") && error.contains(expected), "{config}: {error}");
        assert!(!path.join("bad").exists(), "{config}");
    }
    assert!(refused(path, "build none.toml --out bad").contains("none.toml"));
}

#[test]
fn every_mode_and_kind_of_problems_can_be_built() {
    let folder = folder();
    let path = folder.path();
    for (name, config) in [
        (
            "gen5_simple_autoregressive",
            "[problems]\nsuite = \"simple\"\n[search]\ngenerations = 5\n[corpus]\nmode = \"autoregressive\"\njsonl = true",
        ),
        ("e2e_6_direct", "[problems]\ncount = 6\npreset = \"e2e\"\n[corpus]\nmode = \"direct\"\nval_fraction = 0.4"),
        (
            "gen4_full_5_c03_v2_k0",
            "[problems]\ncount = 5\noperators = \"full\"\ncomplexity = 0.3\nconstants = []\nmax_variables = 2\n[search]\ngenerations = 3\n[corpus]\nancestors_only = true\ninclude_elite = true\nsample_fraction = 0.9",
        ),
    ] {
        fs::write(path.join("config.toml"), config).expect("written");
        let generations = if name.starts_with("gen4") { "--generations 4" } else { "" };
        ok(path, &format!("build config.toml {generations}"));
        ok(path, &format!("validate {name}"));
    }
    assert!(path.join("gen5_simple_autoregressive/corpus/train.jsonl").is_file());
    assert!(!path.join("e2e_6_direct/trace.sr").exists());
}

#[test]
fn validation_names_file_and_record() {
    let folder = folder();
    let path = folder.path();
    ok(path, "build config.toml --out a");
    let good = files(&path.join("a"));
    let restore =
        || good.iter().for_each(|(name, bytes)| fs::write(path.join("a").join(name), bytes).expect("written"));
    let failures = |name: &str| {
        let lines = invalid(path, "validate a --exclude test.sr");
        assert!(lines.iter().any(|line| line.starts_with(name)), "{lines:?}");
        lines.join("\n")
    };

    // A byte in the middle of each file.
    for name in FILES.iter().filter(|name| **name != "manifest.json") {
        let mut bytes = good[*name].clone();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(path.join("a").join(name), bytes).expect("written");
        let text = failures(name);
        assert!(text.contains("has SHA-256") && text.contains("record"), "{text}");
        fs::write(path.join("a").join(name), &good[*name][..middle]).expect("written");
        assert!(failures(name).contains(&format!("has {middle} bytes")));
        fs::remove_file(path.join("a").join(name)).expect("removed");
        failures(name);
        restore();
    }

    // A whole trace that is another one: one search less, in another order.
    let reader = TraceReader::open(path.join("a/trace.sr")).expect("a trace");
    let header = reader.header().clone();
    let mut trajectories: Vec<_> = reader.map(|read| read.expect("whole")).collect();
    trajectories.pop();
    trajectories.swap(0, 1);
    trajectories[4].problem_id = "none".into();
    let mut writer = TraceWriter::create(path.join("a/trace.sr"), &header).expect("created");
    trajectories.iter().for_each(|trajectory| writer.append(trajectory).expect("written"));
    writer.finish().expect("finished");
    let text = failures("trace.sr");
    assert!(text.contains("record 0") && text.contains("seed 1, expected 0"), "{text}");
    assert!(text.contains("record 4 (problem none): problems.sr has no such problem"), "{text}");
    assert!(text.contains("47 trajectories, the manifest has 48"), "{text}");
    restore();

    // A formula of the test among the problems, and a value that is none.
    let mut set = ProblemSet::read(path.join("a/problems.sr")).expect("a set");
    let [first, second] = [0, 1].map(|index| set.problems[index].x.column(0).to_vec());
    set.problems[0].source = Some("x0 + x0 + x0".parse().expect("a formula"));
    set.problems[0].y = first.iter().map(|x| x + x + x).collect();
    set.problems[1].source = Some("x0".parse().expect("a formula"));
    set.problems[1].y = second;
    set.problems[1].y[7] += 1.0;
    set.write(path.join("a/problems.sr")).expect("written");
    let text = failures("problems.sr");
    assert!(text.contains("record 0") && text.contains("excluded formula ((x0 + x0) + x0)"), "{text}");
    assert!(text.contains("record 1") && text.contains("not the formula's value in row 7"), "{text}");
    assert!(text.contains("made from other points"), "{text}");
    restore();

    // Sides that have traded places share nothing, but are not what they say; a side beside itself shares all.
    fs::write(path.join("a/corpus/train.sr"), &good["corpus/val.sr"]).expect("written");
    let text = failures("corpus/train.sr");
    assert!(text.contains("another split") && text.contains("is on both sides"), "{text}");
    restore();

    // The corpus of a build that excluded nothing.
    fs::write(path.join("plain.toml"), CONFIG.replace("exclude = [\"harder\", \"test.sr\"]", "")).expect("written");
    ok(path, "build plain.toml --out plain");
    fs::copy(path.join("plain/corpus/train.sr"), path.join("a/corpus/train.sr")).expect("copied");
    let text = failures("corpus/train.sr");
    assert!(text.contains("excluded expression in the population: ") && text.contains("another exclude"), "{text}");
    restore();
    ok(path, "validate a --exclude test.sr");

    for (from, to, expected) in
        [("\"version\": 1", "\"version\": 9", "version"), ("\"corpus\": 1", "\"corpus\": 9", "versions")]
    {
        let text = String::from_utf8_lossy(&good["manifest.json"]).replacen(from, to, 1);
        fs::write(path.join("a/manifest.json"), text).expect("written");
        assert!(refused(path, "validate a --exclude test.sr").contains(expected));
    }
    fs::write(path.join("a/manifest.json"), "{").expect("written");
    assert!(refused(path, "validate a").contains("manifest.json"));
    assert!(refused(path, "validate none").contains("none"));
}

#[test]
fn a_corpus_shares_no_function_between_its_sides() {
    let folder = folder();
    let path = folder.path();
    // Small formulas, many of which are the same function in other words.
    fs::write(
        path.join("config.toml"),
        "[problems]\ncount = 300\ncomplexity = 0.1\nmax_variables = 2\n[corpus]\nmode = \"direct\"\nval_fraction = 0.3",
    )
    .expect("written");
    ok(path, "build config.toml --out a");
    ok(path, "validate a");
    let formulas = |side: &str| {
        let examples = Corpus::open(path.join("a/corpus").join(side)).expect("a corpus").read_all().expect("whole");
        examples
            .into_iter()
            .map(|example| match example {
                Example::Direct(direct) => direct.target,
                _ => panic!("not a direct example"),
            })
            .collect::<Vec<_>>()
    };
    let mut val = Blocklist::default();
    formulas("val.sr").iter().for_each(|formula| val.insert(formula));
    assert!(!formulas("train.sr").iter().any(|formula| val.contains(formula)));
    let manifest: Value = serde_json::from_slice(&fs::read(path.join("a/manifest.json")).expect("read")).expect("JSON");
    assert!(manifest["corpus"]["excluded"]["validation"].as_u64() > Some(0), "the test shows nothing");
}

#[test]
fn shards_are_merged_into_the_bytes_of_one_run() {
    let folder = folder();
    let path = folder.path();
    fs::write(path.join("config.toml"), CONFIG.replace("24", "23")).expect("written");
    ok(path, "build config.toml --out a");
    let reader = TraceReader::open(path.join("a/trace.sr")).expect("a trace");
    let header = reader.header().clone();
    let mut shards: Vec<_> =
        (1..=3).map(|i| TraceWriter::create(path.join(format!("{i}.sr")), &header).expect("created")).collect();
    for (index, trajectory) in reader.enumerate() {
        shards[index / 2 % 3].append(&trajectory.expect("whole")).expect("written"); // two runs of each problem
    }
    for shard in shards {
        shard.finish().expect("finished");
    }
    let result: Value = serde_json::from_str(&ok(path, "merge 1.sr 2.sr 3.sr --out merged.sr --json")).expect("JSON");
    assert_eq!((&result["trajectories"], &result["shards"]), (&46.into(), &3.into()));
    let read = |name: &str| fs::read(path.join(name)).expect(name);
    assert!(read("merged.sr") == read("a/trace.sr"));

    fs::write(path.join("cut.sr"), &read("2.sr")[..1000]).expect("written");
    for (flags, expected) in [
        ("3.sr 1.sr 2.sr --out merged.sr", "3.sr"),
        ("1.sr cut.sr 3.sr --out merged.sr", "cut.sr"),
        ("1.sr none.sr --out merged.sr", "none.sr"),
        ("a/problems.sr --out merged.sr", "problem sets and corpora are made whole"),
        ("a/corpus/train.sr --out merged.sr", "its kind is corpus"),
        ("1.sr 2.sr 3.sr --out 2.sr", "--out 2.sr is the input 2.sr"),
        ("1.sr 1.sr 3.sr --out merged.sr", "is in 1.sr too"),
    ] {
        let output = sr_dataset(path, &format!("merge {flags} --force"));
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{flags}: {error}");
        assert!(error.contains(expected), "{flags}: {error}");
    }
    assert!(read("merged.sr") == read("a/trace.sr"));
}

#[test]
fn a_merge_knows_its_shards() {
    let folder = folder();
    let path = folder.path();
    ok(path, "build config.toml --out a --generations 3");
    fs::copy(path.join("a/problems.sr"), path.join("problems.sr")).expect("copied");
    let reader = TraceReader::open(path.join("a/trace.sr")).expect("a trace");
    let header = reader.header().clone();
    let set = ProblemSet::read(path.join("problems.sr")).expect("a set");
    let mut shards: Vec<_> =
        (1..=3).map(|i| TraceWriter::create(path.join(format!("{i}.sr")), &header).expect("created")).collect();
    for (index, trajectory) in reader.enumerate() {
        shards[index / 2 % 3].append(&trajectory.expect("whole")).expect("written"); // two runs of each problem
    }
    for shard in shards {
        shard.finish().expect("finished");
    }
    let note = |name: &str, shard: &str, runs: u32| {
        let problems = format!("24 problems {:016x}", set.fingerprint());
        let run = serde_json::json!({ "settings": { "problems": problems, "runs": runs, "shard": shard } });
        fs::write(path.join(format!("{name}.run.json")), run.to_string()).expect("written");
    };
    let is_refused = |flags: &str, expected: &str| {
        let error = refused(path, &format!("merge {flags} --out m.sr"));
        assert!(error.contains(expected), "{flags}: {error}");
        assert!(!path.join("m.sr").exists() && !path.join("m.sr.partial").exists());
    };
    // By the problem set.
    is_refused("1.sr 2.sr", "a shard is missing, or they are out of order");
    is_refused("2.sr 1.sr 3.sr", "of the set was expected here");
    is_refused("1.sr 1.sr 3.sr", "1.sr: problem");
    // By the run files.
    (1..=3).for_each(|i| note(&format!("{i}.sr"), &format!("{i}/3"), 2));
    is_refused("1.sr 3.sr", "of the shards 1 are missing: 2/3");
    is_refused("1.sr 1.sr 3.sr", "shard 1/3 is given twice: 1.sr and 1.sr");
    is_refused("2.sr 1.sr 3.sr", "out of order: 2.sr is 2/3, expected 1/3");
    is_refused("1.sr 2.sr 3.sr 3.sr", "a shard of 3, and 4 files are given");
    note("3.sr", "3/3", 5);
    is_refused("1.sr 2.sr 3.sr", "3.sr and 1.sr are shards of different runs: runs is 5 in 3.sr and 2 in 1.sr");
    assert!(!refused(path, "merge 1.sr 2.sr 3.sr --out m.sr").contains("--resume"), "there is no such flag");
    note("3.sr", "3/3", 2);
    // The problem set is read, whether it was named or found.
    let problems = fs::read(path.join("problems.sr")).expect("read");
    for named in ["", "--problems problems.sr"] {
        let error = refused(path, &format!("merge 1.sr 2.sr 3.sr {named} --out problems.sr --force"));
        assert!(error.contains("--out problems.sr is the input"), "{error}");
    }
    assert!(fs::read(path.join("problems.sr")).expect("read") == problems);
    assert!(refused(path, "merge 1.sr 2.sr 3.sr --out m.sr --seed 1").contains("--seed has no effect with merge"));
    ok(path, "merge 1.sr 2.sr 3.sr --out m.sr");
    assert!(fs::read(path.join("m.sr")).expect("read") == fs::read(path.join("a/trace.sr")).expect("read"));
    suite("harder", 1).expect("a suite").write(path.join("harder.sr")).expect("written");
    let error = refused(path, "merge 1.sr 2.sr 3.sr --problems harder.sr --out n.sr");
    assert!(error.contains("this is another problem set"), "{error}");
}

#[test]
fn an_interrupted_build_goes_on_to_the_same_bytes() {
    let folder = folder();
    let path = folder.path();
    let long = CONFIG.replace("= 12", "= 30").replace("count = 24", "count = 100");
    fs::write(path.join("long.toml"), long).expect("written");
    ok(path, "build long.toml --out whole");
    let command = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sr-dataset"));
        command.current_dir(path).args("build long.toml --out stopped --quiet --threads 1".split_whitespace());
        command
    };
    let trace = path.join("stopped/trace.sr.partial");
    let (status, said) = sr_testing::interrupt(&mut command(), &trace, 20_000);
    assert_eq!(status.code(), Some(130), "{said}");
    let last = said.lines().last().expect("a line");
    assert!(
        last.starts_with("stopped: stopped has ") && last.ends_with("500 parts; the same command goes on"),
        "{said}"
    );
    assert!(trace.exists() && !path.join("stopped.lock").exists());
    let manifest: Value =
        serde_json::from_slice(&fs::read(path.join("stopped/manifest.json")).expect("read")).expect("JSON");
    assert!(manifest["problems"].is_object() && manifest["traces"].is_null());
    // The conversion is stopped too, and then made anew.
    let corpus = path.join("stopped/corpus/train.sr.partial");
    let (status, said) = sr_testing::interrupt(&mut command(), &corpus, 1);
    assert_eq!(status.code(), Some(130), "{said}");
    assert!(command().status().expect("the binary runs").success());
    assert!(files(&path.join("stopped")) == files(&path.join("whole")));
}

#[test]
fn a_data_set_of_a_later_version_is_refused_as_newer() {
    let folder = folder();
    let path = folder.path();
    ok(path, "build config.toml --out a");
    let manifest = fs::read_to_string(path.join("a/manifest.json")).expect("read");
    let later = manifest.replacen("\"version\": 1", "\"version\": 99", 1);
    fs::write(path.join("a/manifest.json"), later).expect("written");
    for command in ["validate a --exclude test.sr", "build config.toml --out a"] {
        assert!(refused(path, command).contains("a data set of version 99, expected 1 at most: update sr to read it"));
    }
}
