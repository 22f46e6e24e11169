//! The command line of `sr-dagger`.

mod support;

use std::fs;
use std::process::Command;

use serde_json::Value;
use sr_testing::{fails, interrupt, succeeds};
use support::{dagger, files, folder, point};

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).expect("JSON")
}

#[test]
fn a_run_leaves_results_models_and_pages() {
    let folder = folder();
    let output = succeeds(&mut dagger(folder.path(), "run", &["--json", "--track", "--threads", "2"]));
    let result = json(&output.stdout);
    assert_eq!((&result["command"], &result["milestones"][1]["milestone_id"]), (&"sr-dagger".into(), &"second".into()));
    assert!(result["overhead"].as_f64().is_some_and(|share| (0.0..1.0).contains(&share)));
    let run = folder.path().join("run");
    for path in [
        "config.json",
        "expert_eval/first/episodes.json",
        "rollouts/second/round-001/labels/trace.sr",
        "rollouts/second/round-001/manifest.json",
        "models/first/best/model.bpk",
        "models/second/final/config.json",
        "plots/first.svg",
        "tracking/first/metrics.jsonl",
        "dagger.run.json",
    ] {
        assert!(run.join(path).exists(), "{path}");
    }
    let results = json(&fs::read(run.join("results.json")).expect("results"));
    for milestone in results["milestones"].as_array().expect("milestones") {
        assert_eq!((&milestone["status"], &milestone["labels"]), (&"completed".into(), &"teacher".into()));
        let rounds = milestone["rounds"].as_array().expect("rounds");
        assert_eq!(rounds.len(), 2);
        assert_eq!((&rounds[0]["beta"], &rounds[1]["beta"]), (&1.0.into(), &0.0.into()));
        assert!(rounds[1]["buffered"].as_u64() > rounds[0]["buffered"].as_u64(), "rounds add up");
        let names: Vec<&str> = rounds[1]["metrics"]
            .as_array()
            .expect("metrics")
            .iter()
            .map(|m| m["name"].as_str().expect("a name"))
            .collect();
        let metrics = rounds.iter().flat_map(|round| round["metrics"].as_array().expect("metrics"));
        for metric in metrics.filter(|metric| metric["name"] != "log10_mse") {
            assert!(metric["lo"].as_f64().is_none_or(|lo| lo >= 0.0), "what is never below 0: {metric}");
        }
        for name in
            ["solved", "solved_per_million_evaluations", "imitation_loss", "agreement", "novelty", "well_formed"]
        {
            assert!(names.contains(&name), "{name}");
        }
    }
    let report = fs::read_to_string(run.join("report.html")).expect("a report");
    assert!(report.contains("Milestone first") && report.contains("imitation loss"));
    let pages: Vec<String> = fs::read_dir(run.join("recordings/first"))
        .expect("pages")
        .map(|e| e.expect("a page").file_name().to_string_lossy().into_owned())
        .collect();
    assert!(pages.contains(&"iter0_ep0.html".to_owned()), "{pages:?}");
    assert!(pages.iter().any(|name| name.starts_with("expert_ep1_") && name.contains("_steps")), "{pages:?}");
    // Every state that was visited is labelled, in whichever round.
    for round in 0..2 {
        let trace = run.join(format!("rollouts/first/round-00{round}/labels/trace.sr"));
        for trajectory in sr_trace::TraceReader::open(trace).expect("a trace") {
            let trajectory = trajectory.expect("a whole file");
            let labels = trajectory.labels.last().expect("labels");
            assert!(labels.states.iter().map(|state| state.generation).eq(0..trajectory.generations.len() as u32));
        }
    }
    // The expert acted in the first round, the learner in the second, and every child says so.
    let header = |round: u32| {
        let trace = run.join(format!("rollouts/second/round-00{round}/rollouts/trace.sr"));
        sr_trace::TraceReader::open(trace).expect("a trace").header().clone()
    };
    assert_eq!((header(0).policy, header(0).checkpoint), (sr_trace::PolicyKind::Expert, None));
    assert_eq!(header(1).policy, sr_trace::PolicyKind::Hybrid);
    assert_eq!(header(1).sampling.expect("a learner took part").share.as_deref(), Some("search 1"));

    // Again, with one thread: nothing is done twice and nothing differs; anew, every byte is the same.
    let before = files(&run);
    let output = succeeds(&mut dagger(folder.path(), "run", &["--track", "--threads", "1"]));
    let said = String::from_utf8(output.stdout).expect("text");
    let told = [
        "labels are the expert's, who was asked in every state that was visited; nobody had to know a formula",
        "report: run/report.html",
        "results: run/results.csv, run/results.json",
    ];
    assert_eq!(
        said.trim_end().lines().rev().take(3).collect::<Vec<_>>(),
        told.iter().rev().copied().collect::<Vec<_>>()
    );
    assert!(files(&run) == before, "a run that is there was changed");
    succeeds(&mut dagger(folder.path(), "again", &["--track", "--threads", "1"]));
    let again = files(&folder.path().join("again"));
    for ((name, bytes), (other, expected)) in again.iter().zip(&before) {
        assert_eq!(name, other);
        assert!(bytes == expected, "{name} differs");
    }
    assert_eq!(again.len(), before.len());
}

#[test]
fn milestones_can_be_chosen() {
    let folder = folder();
    let statuses = |more: &[&str]| -> Vec<String> {
        let more: Vec<&str> =
            ["--dagger-iterations", "1", "--no-record", "--json"].iter().chain(more).copied().collect();
        let result = json(&succeeds(&mut dagger(folder.path(), "run", &more)).stdout);
        let rows = result["milestones"].as_array().expect("milestones").clone();
        rows.iter().map(|row| row["status"].as_str().expect("a status").to_owned()).collect()
    };
    assert_eq!(statuses(&["--resume-from", "second", "--skip-milestones", "second"]), ["skipped", "skipped"]);
    assert_eq!(statuses(&["--milestone", "first", "--skip-milestones", "first"]), ["completed", "skipped"]);
    assert_eq!(statuses(&["--resume-from", "second"]), ["completed", "completed"]);
    let csv = fs::read_to_string(folder.path().join("run/results.csv")).expect("a table");
    assert_eq!(csv.lines().count(), 3, "{csv}");
    assert!(!folder.path().join("run/recordings").exists());

    // An expert that is not good enough fails the milestone; the table is written all the same.
    let more = ["--min-success-rate", "1", "--generations", "1", "--json"];
    let result = json(&succeeds(&mut dagger(folder.path(), "bad", &more)).stdout);
    assert_eq!(result["milestones"][0]["status"], "failed");
    let reason = result["milestones"][0]["reason"].as_str().expect("a reason");
    assert!(reason.contains("the expert succeeds in"), "{reason}");
    assert!(reason.contains("lower --min-success-rate or raise --generations, and run the same command"), "{reason}");
    let csv = fs::read_to_string(folder.path().join("bad/results.csv")).expect("a table");
    assert!(csv.lines().nth(1).is_some_and(|line| line.starts_with("first,0,") && line.contains(",failed,")), "{csv}");
}

#[test]
fn mistakes_are_told_in_one_line() {
    let folder = folder();
    let run = |out: &str, more: &[&str]| fails(&mut dagger(folder.path(), out, more));
    let message = run("a", &["--milestone", "third"]);
    assert!(message.contains("\"third\"") && message.contains("first, second"), "{message}");
    let message = run("a", &["--checkpoint", "nowhere"]);
    assert!(message.contains("nowhere"), "{message}");
    let message = run("a", &["--beta", "constant:0.5"]);
    assert!(message.contains("constant:0.5") && message.contains("checkpoint"), "{message}");
    let message = run("a", &["--labels", "all", "--keep", "3"]);
    assert!(message.contains("--keep"), "{message}");
    let message = run("a", &["--task", "point-control"]);
    assert!(message.contains("says nothing with --task point-control"), "the file sets them: {message}");
    let message = run("b", &["--milestone", "first", "--mode", "direct"]);
    assert!(message.contains("--mode direct"), "{message}");
    std::fs::remove_dir_all(folder.path().join("b")).ok();
    let message = run("a", &["--device", "cuda"]);
    assert!(message.contains("cuda"), "{message}");

    let config = fs::read_to_string(folder.path().join("tiny.toml")).expect("settings");
    let with = |from: &str, to: &str| {
        assert!(config.contains(from));
        fs::write(folder.path().join("other.toml"), config.replace(from, to)).expect("written");
        run("a", &["--config", "other.toml"])
    };
    let message = with("episodes_per_iter = 4", "episode_per_iter = 4");
    assert!(message.contains("\"episode_per_iter\"") && message.contains("\"episodes_per_iter\""), "{message}");
    let message = with("[labels]", "[lables]");
    assert!(message.contains("\"lables\"") && message.contains("\"labels\""), "{message}");
    let message = with("learning_rate = 2e-3", "learning_rate = \"fast\"");
    assert!(message.contains("learning-rate") && message.contains("fast"), "{message}");
    let message = with("eval_every = 2", "evil_every = 2");
    assert!(message.contains("line 31: unknown key \"evil_every\" of [training]"), "{message}");
    assert!(message.contains("\"eval_every\""), "{message}");
    let message = with("batch_size = 2", "batch_sise = 2");
    assert!(message.contains("other.toml: line 8: unknown key \"batch_sise\" of [dagger]"), "{message}");
    let message = with("generations = 12", "keep = 12");
    assert!(message.contains("line 17: unknown key \"keep\" of [search], which belongs to [labels]"), "{message}");
    let message = with("warmup_steps = 1", "steps = 1");
    assert!(message.contains("steps of [training] says nothing here: train_steps_per_iter"), "{message}");
    let message = with("warmup_steps = 1", "warmup_steps = 1\nshares = \"ALL:1\"");
    assert!(message.contains("shares in [training]: a round draws its states from the buffer"), "{message}");
    let milestones = fs::read_to_string(folder.path().join("milestones.toml")).expect("milestones");
    fs::write(folder.path().join("others.toml"), milestones.replace("max_variables", "max_variable")).expect("written");
    let message = run("a", &["--milestones", "others.toml"]);
    assert!(message.contains("\"max_variable\"") && message.contains("\"max_variables\""), "{message}");

    succeeds(&mut dagger(folder.path(), "b", &["--milestone", "first", "--dagger-iterations", "1"]));
    let before = files(&folder.path().join("b"));
    let message = run("b", &["--milestone", "first", "--dagger-iterations", "1", "--seed", "2"]);
    assert!(message.contains("other settings: --seed was 0 and is 2"), "{message}");
    assert!(files(&folder.path().join("b")) == before);
}

#[test]
fn point_control_runs_the_same_rounds_and_milestones() {
    let folder = folder();
    let more = ["--json", "--max-buffer-size", "700", "--keep-states", "reservoir"];
    let result = json(&succeeds(&mut point(folder.path(), "run", &more)).stdout);
    let run = folder.path().join("run");
    for (index, id) in ["calm", "gusts"].into_iter().enumerate() {
        let milestone = &result["milestones"][index];
        assert_eq!((&milestone["milestone_id"], &milestone["labels"]), (&id.into(), &"privileged".into()));
        let rounds = milestone["rounds"].as_array().expect("rounds");
        assert_eq!((rounds.len(), &rounds[0]["buffered"]), (3, &500.into()), "5 episodes of 100 steps");
        assert!(rounds.iter().all(|round| round["buffered"].as_u64().is_some_and(|rows| rows <= 700)));
        for path in
            ["rollouts/ID/round-002/corpus/rows.f32", "models/ID/final/student.bpk", "expert_eval/ID/frames.f32"]
        {
            assert!(run.join(path.replace("ID", id)).exists(), "{path}");
        }
        assert!(run.join("recordings").join(id).join("iter2_ep0.html").exists());
    }
    succeeds(&mut point(folder.path(), "again", &[&more[..], &["--threads", "1"]].concat()));
    assert!(files(&run) == files(&folder.path().join("again")), "equal settings, equal bytes");

    let missing = fails(&mut point(folder.path(), "other", &["--checkpoint", "nowhere"]));
    assert!(missing.contains("nowhere: there is no student"), "{missing}");
    let known = fails(&mut point(folder.path(), "other", &["--milestone", "storm"]));
    assert!(known.contains("calm") && known.contains("gusts"), "{known}");
}

#[test]
fn help_says_the_defaults_that_hold() {
    let folder = folder();
    let plain = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sr-dagger"));
        command.current_dir(folder.path());
        command
    };
    let help = String::from_utf8(succeeds(plain().arg("--help")).stdout).expect("text");
    let config = folder.path().join("plain/config.json");
    let (status, message) = interrupt(plain().args(["--out", "plain"]), &config, 1);
    assert_eq!(status.code(), Some(130), "{message}");
    let config = json(&fs::read(config).expect("settings"));
    assert_eq!((&config["task"], &config["dagger"]["init"]), (&"search".into(), &"previous".into()));
    assert_eq!(config["labels"], serde_json::json!({ "labels": "top-k", "samples": "auto", "keep": 4 }));
    let quick = |flag: &str| -> Option<String> {
        let start = help.find(&format!("      --{flag} <")).unwrap_or_else(|| panic!("--{flag} is not in the help"));
        let section = &help[start + 8..];
        let section = &section[..section.find("\n      --").unwrap_or(section.len())];
        let section = section.split_whitespace().collect::<Vec<_>>().join(" ");
        let told = ["[by --settings: quick ", "[default: "].into_iter().find_map(|before| section.split_once(before));
        Some(told?.1.split([',', ']', ';']).next()?.to_owned())
    };
    let mut compared = 0;
    let groups = [&config["dagger"], &config["labels"], &config["sampling"]];
    for (key, value) in groups.into_iter().flat_map(|group| group.as_object().expect("settings")) {
        let value = match value {
            Value::Null | Value::Array(_) | Value::Bool(_) if key != "use_dagger" => continue,
            Value::String(text) => text.clone(),
            value => value.to_string(),
        };
        let told = quick(&key.replace('_', "-")).unwrap_or_else(|| panic!("no default of {key} is told"));
        let as_number = |text: &str| text.parse::<f64>().ok();
        assert!(
            told == value || as_number(&told).is_some_and(|n| Some(n) == as_number(&value)),
            "{key}: {told}, {value}"
        );
        compared += 1;
    }
    assert!(compared >= 20, "{compared}");
    assert_eq!(quick("generations"), config["search"]["engine"]["generations"].as_u64().map(|n| n.to_string()));
}

#[test]
fn what_cannot_be_run_is_told_before_anything_is_and_leaves_no_folder() {
    let folder = folder();
    let refused = |command: &mut Command, named: &str| {
        let message = fails(command);
        assert!(message.contains(named) && message.trim_end().lines().count() == 1, "{named}: {message}");
        assert!(!folder.path().join("a").exists(), "{named} leaves a folder");
    };
    fs::create_dir(folder.path().join("empty")).expect("made");
    let wrong: [&[&str]; 37] = [
        // Numbers below 0 need no `=`.
        &["--temperature", "-1"],
        &["--learning-rate", "-1"],
        &["--top-p", "-1e-3"],
        &["--parsimony", "-1"],
        &["--beta-level=child", "--beta=two-phase:2"],
        &["--beta-level=search", "--beta=constant:1"],
        &["--beta-level=generation", "--beta=linear:1"],
        &["--top-p=-inf"],
        &["--temperature=-1"],
        &["--temperature=nan"],
        &["--top-k=0"],
        &["--top-p=1.5"],
        &["--max-child-size=0"],
        &["--max-child-size=100000"],
        &["--max-batch-tokens=0"],
        &["--hidden-dim=33"],
        &["--checkpoint=nowhere"],
        &["--checkpoint=empty"],
        &["--learning-rate=-1"],
        &["--learning-rate=0"],
        &["--learning-rate=nan"],
        &["--learning-rate=inf"],
        &["--learning-rate=1e30"],
        &["--beta=constant:0.5"],
        &["--beta=constant:0"],
        &["--train-steps-per-iter=10000000", "--batch-size=60000"],
        &["--train-steps-per-iter=3", "--train-epochs-per-iter=2"],
        &["--batch-size=4", "--train-epochs-per-iter=2"],
        &["--mini-batches=3"],
        &["--record-episodes=2", "--no-record"],
        &["--extra-generations=3"],
        &["--recency=0.5", "--use-dagger=false"],
        &["--condition=GAIN_4", "--labels=all"],
        &["--keep=3", "--labels=all"],
        &["--mode=direct"],
        &["--milestones=nowhere.toml"],
        &["--out=tiny.toml"],
    ];
    for flags in wrong {
        let flag = flags[0].split('=').next().expect("a flag");
        let named = if flag == "--milestones" { "nowhere.toml" } else { flag };
        refused(&mut dagger(folder.path(), "a", flags), named);
    }
    // What clap itself refuses.
    for (flag, value) in [
        ("--recency", "-1"),
        ("--min-success-rate", "-1"),
        ("--step-multiplier", "-1"),
        ("--enough", "-0.5"),
        ("--val-fraction", "-1e-9"),
        ("--patience", "-1"),
        ("--hidden-dim", "-1"),
        ("--max-buffer-size", "-1"),
        ("--seed", "-1"),
    ] {
        let output = dagger(folder.path(), "a", &[flag, value]).output().expect("it runs");
        let message = String::from_utf8(output.stderr).expect("text");
        let named = message.contains(&format!("invalid value '{value}' for '{flag}"));
        assert!(output.status.code() == Some(2) && named, "{flag}: {message}");
    }
    for flag in [
        "--val-fraction=1",
        "--hidden-dim=1000000",
        "--episodes-per-iter=4000000000",
        "--eval-episodes=4000000000",
        "--dagger-iterations=0",
        "--beta=indicator:0",
        "--beta=two-phase:0",
        "--beta=linear:0",
        "--recency=-1",
    ] {
        let output = dagger(folder.path(), "a", &[flag]).output().expect("it runs");
        let message = String::from_utf8(output.stderr).expect("text");
        let named = flag.split('=').next().expect("a flag");
        assert!(output.status.code() == Some(2) && message.contains(named), "{message}");
        assert!(!folder.path().join("a").exists(), "{flag} leaves a folder");
    }
    for flag in ["--settings=quick", "--exclude=harder", "--val-fraction=0.2", "--labels=all", "--generations=3"] {
        let named = flag.split('=').next().expect("a flag");
        refused(&mut point(folder.path(), "a", &[flag]), named);
    }
    refused(&mut point(folder.path(), "a", &["--episodes-per-iter=1000000"]), "--episodes-per-iter");
    let level = ["--beta-level=child", "--beta=linear:3"];
    refused(&mut point(folder.path(), "a", &level), "--beta-level: with --task point-control a step is one action");
    refused(
        &mut point(folder.path(), "a", &["--beta-level=search"]),
        "--beta-level says nothing with --beta two-phase:1",
    );
    for (table, named) in [("[model]\npreset = \"micro\"", "[model]"), ("mode = \"one-step\"", "mode")] {
        fs::write(folder.path().join("points.toml"), format!("task = \"point-control\"\n{table}\n")).expect("written");
        let mut command = Command::new(env!("CARGO_BIN_EXE_sr-dagger"));
        command.current_dir(folder.path()).args(["--config", "points.toml", "--out", "a"]);
        refused(&mut command, &format!("{named} in points.toml says nothing with --task point-control"));
    }
}

#[test]
fn a_wrong_folder_as_checkpoint_says_what_it_is() {
    let folder = folder();
    succeeds(&mut dagger(folder.path(), "run", &["--milestone", "first", "--dagger-iterations", "1", "--no-record"]));
    succeeds(&mut point(folder.path(), "points", &["--milestone", "calm", "--dagger-iterations", "1"]));
    let point = |checkpoint: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sr-dagger"));
        command.current_dir(folder.path()).args([
            "--task",
            "point-control",
            "--quiet",
            "--out",
            "a",
            "--hidden-dim",
            "8",
        ]);
        command.args(["--checkpoint", checkpoint]);
        command
    };
    let is = |command: &mut Command, expected: &str| {
        let message = fails(command);
        assert!(message.contains(expected) && message.trim_end().lines().count() == 1, "{message}");
        assert!(!folder.path().join("a").exists());
    };
    let models = "run/models/first/best and run/models/first/final";
    let of_run = format!("run: this is the folder of a run of sr-dagger; its checkpoints are {models}");
    for (checkpoint, expected) in [
        ("run", &*of_run),
        ("run/models/first", "this is no checkpoint but a folder of some"),
        ("run/rollouts/first/round-000", "its checkpoint is run/rollouts/first/round-000/checkpoint"),
        ("run/rollouts/first/round-000/corpus", "this is a corpus"),
        ("points/models/calm/best", "this is a student of point control"),
        ("points", "this is the folder of a run of sr-dagger on point control"),
        ("run/rollouts", "this is no checkpoint but a folder of some"),
        ("run/expert_eval", "there is no checkpoint in this folder"),
    ] {
        is(&mut dagger(folder.path(), "a", &["--checkpoint", checkpoint]), expected);
    }
    for (checkpoint, expected) in [
        ("run/models/first/best", "this is a model that writes formulas, for --task search"),
        ("points", "its students are in points/models/ID/best and final"),
        ("points/models/calm", "such as points/models/calm/best and points/models/calm/final"),
        ("points/rollouts/calm/round-000", "such as points/rollouts/calm/round-000/checkpoint"),
        ("run/expert_eval", "there is no student; one is a folder such as models/ID/final"),
    ] {
        is(&mut point(checkpoint), expected);
    }
}

#[cfg(unix)]
#[test]
fn names_that_settings_cannot_tell_are_refused() {
    use std::os::unix::ffi::OsStrExt;

    let folder = folder();
    succeeds(&mut dagger(folder.path(), "run", &["--milestone", "first", "--dagger-iterations", "1", "--no-record"]));
    let name = folder.path().join(std::ffi::OsStr::from_bytes(b"n\xff"));
    let Ok(()) = fs::rename(folder.path().join("run/models/first/best"), &name) else { return };
    let message = fails(dagger(folder.path(), "a", &["--checkpoint"]).arg(&name));
    assert!(message.contains("its name is no UTF-8; rename it"), "{message}");
    assert!(!folder.path().join("a").exists());
    fs::create_dir(folder.path().join("m")).expect("made");
    let other = folder.path().join(std::ffi::OsStr::from_bytes(b"m\xff"));
    fs::rename(folder.path().join("m"), &other).expect("renamed");
    let milestone = "[[milestone]]\nid = \"own\"\nproblems = \"own.sr\"\n";
    fs::write(other.join("milestones.toml"), milestone).expect("written");
    sr_problems::suite("simple", 1).expect("a suite").write(other.join("own.sr")).expect("written");
    let message = fails(dagger(folder.path(), "a", &["--milestones"]).arg(other.join("milestones.toml")));
    assert!(message.contains("its name is no UTF-8, and a run tells it; rename it"), "{message}");
}

#[test]
fn a_folder_of_something_else_and_one_in_use_are_left_alone() {
    let folder = folder();
    let other = folder.path().join("other");
    fs::create_dir(&other).expect("made");
    fs::write(other.join("results.csv"), "mine").expect("written");
    let message = fails(&mut dagger(folder.path(), "other", &[]));
    assert!(message.contains("--out other: the folder is not empty"), "{message}");
    fs::write(other.join("config.json"), "{\"mode\": \"one-step\"}").expect("written");
    let message = fails(&mut dagger(folder.path(), "other", &[]));
    assert!(message.contains("config.json is not of sr-dagger"), "{message}");
    assert_eq!(fs::read(other.join("results.csv")).expect("it is there"), b"mine");
    assert_eq!(fs::read_dir(&other).expect("listed").count(), 2);

    let used = folder.path().join("used");
    fs::create_dir(&used).expect("made");
    let lock = fs::File::open(&used).expect("a folder");
    lock.lock().expect("locked");
    let message = fails(&mut dagger(folder.path(), "used", &[]));
    assert!(message.contains("used: another sr-dagger works in this folder"), "{message}");
    assert_eq!(fs::read_dir(&used).expect("listed").count(), 0);
}

#[test]
fn a_milestone_that_failed_is_tried_again_in_its_folder() {
    let folder = folder();
    let run = |out: &str, more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sr-dagger"));
        command.current_dir(folder.path()).args(["--config", "tiny.toml", "--json", "--out", out]).args(more);
        let output = succeeds(&mut command);
        let statuses = json(&output.stdout)["milestones"].as_array().expect("milestones").clone();
        let statuses: Vec<String> =
            statuses.iter().map(|m| m["status"].as_str().expect("a status").to_owned()).collect();
        (statuses, String::from_utf8(output.stderr).expect("text"))
    };
    let (statuses, _) = run("again", &["--min-success-rate", "1", "--generations", "1"]);
    assert_eq!(statuses, ["failed", "failed"]);
    // A table of one round has one line of titles and is not broken by lines of the log.
    let (statuses, log) = run("again", &["--dagger-iterations", "1"]);
    let lines: Vec<&str> = log.lines().collect();
    let titles: Vec<usize> = (0..lines.len()).filter(|&line| lines[line].trim_start().starts_with("round  ")).collect();
    assert_eq!(titles.len(), 2, "{log}");
    for title in titles {
        assert!(lines[title + 1].trim_start().starts_with("0  1.00 "), "{log}");
        assert_eq!(lines[title + 2].trim(), "completed", "{log}");
    }
    assert!(!log.contains("capacity="), "no number is told twice: {log}");
    assert_eq!(statuses, ["completed", "completed"]);
    for told in [
        "--min-success-rate was 1.0 and is 0.0 from here on",
        "--dagger-iterations was 2 and is 1 from here on",
        "--generations was 1 and is 12 from here on",
        "Initialized DAgger buffer with capacity ",
        "Maximum buffer size 1000000",
    ] {
        assert!(log.contains(told), "{told}: {log}");
    }
    let first = fs::read(folder.path().join("again/rollouts/first/round-000/manifest.json")).expect("a round");
    // One round more: what is there stays, and all is as in a run that was never stopped.
    let (statuses, log) = run("again", &[]);
    assert_eq!(statuses, ["completed", "completed"]);
    assert!(!log.contains("INFO"), "nothing stands between the rounds that were there and the one that is new: {log}");
    assert!(first == fs::read(folder.path().join("again/rollouts/first/round-000/manifest.json")).expect("a round"));
    run("undisturbed", &["--milestone", "first"]);
    for (name, bytes) in files(&folder.path().join("undisturbed/rollouts/first")) {
        let found = fs::read(folder.path().join("again/rollouts/first").join(&name)).expect("it is there, too");
        assert!(name == "buffer.bin" || found == bytes, "{name} differs");
    }
    let message = fails(&mut dagger(folder.path(), "again", &["--val-fraction", "0.3"]));
    assert!(message.contains("--val-fraction was 0.1 and is 0.3; choose another folder"), "{message}");

    // A file of a finished stage that is another is not used.
    let model = folder.path().join("again/rollouts/first/round-000/checkpoint/model.bpk");
    let mut bytes = fs::read(&model).expect("a model");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&model, bytes).expect("written");
    let message = fails(&mut dagger(folder.path(), "again", &[]));
    assert!(message.contains("checkpoint/model.bpk: the file was changed") && message.contains("delete"), "{message}");
}

#[test]
fn a_milestone_without_its_problems_fails_alone() {
    let folder = folder();
    let mut easy = sr_problems::suite("ultra-simple", 1).expect("a suite");
    easy.problems.retain(|problem| problem.id.contains("single_variable"));
    assert_eq!(easy.problems.len(), 1);
    easy.write(folder.path().join("easy.sr")).expect("written");
    let whole = fs::read(folder.path().join("easy.sr")).expect("problems");
    fs::write(folder.path().join("cut.sr"), &whole[..whole.len() / 2]).expect("written");
    let milestones = fs::read_to_string(folder.path().join("milestones.toml")).expect("milestones");
    let others = ["missing", "cut", "easy"].map(|id| {
        format!("[[milestone]]\nid = \"{id}\"\ncomplexity = 0.3\nmax_variables = 1\nproblems = \"{id}.sr\"\n")
    });
    fs::write(folder.path().join("milestones.toml"), others.concat() + &milestones).expect("written");
    let more = ["--json", "--dagger-iterations", "1", "--skip-milestones", "second"];
    let result = json(&succeeds(&mut dagger(folder.path(), "run", &more)).stdout);
    let rows = result["milestones"].as_array().expect("milestones");
    let statuses: Vec<&str> = rows.iter().map(|row| row["status"].as_str().expect("a status")).collect();
    assert_eq!(statuses, ["failed", "failed", "failed", "completed", "skipped"]);
    let reason = |index: usize| rows[index]["reason"].as_str().expect("a reason");
    assert!(reason(0).contains("missing.sr") && reason(0).contains("cannot be read"), "{}", reason(0));
    assert!(reason(1).contains("cut.sr") && reason(1).contains("cannot be read"), "{}", reason(1));
    assert!(reason(2).contains("easy.sr: the initial population solves every problem"), "{}", reason(2));
    let csv = fs::read_to_string(folder.path().join("run/results.csv")).expect("a table");
    assert_eq!(csv.lines().count(), 6, "{csv}");
    let iso = rows[3]["timestamp_iso"].as_str().expect("a time");
    assert!(iso.len() == 20 && iso.ends_with('Z'), "{iso}");
    assert!(!folder.path().join("run/expert_eval/missing").exists(), "nothing was tried in vain");
}

#[test]
fn point_control_takes_milestones_of_its_own() {
    let folder = folder();
    let write = |text: &str| fs::write(folder.path().join("worlds.toml"), text).expect("written");
    write("[[milestone]]\nid = \"wide\"\ntolerance = 2.0\nsteps = 20\nnoise = [0.0, 0.1]\n");
    let more = ["--milestones", "worlds.toml", "--dagger-iterations", "1", "--json"];
    let result = json(&succeeds(&mut point(folder.path(), "run", &more)).stdout);
    let wide = &result["milestones"][0];
    assert_eq!((&wide["milestone_id"], &wide["max_episode_steps"]), (&"wide".into(), &20.into()));
    assert_eq!(wide["rounds"][0]["buffered"], 100, "5 episodes of 20 steps");
    write("[[milestone]]\nid = \"wide\"\ntoleranse = 2.0\n");
    let message = fails(&mut point(folder.path(), "a", &more));
    assert!(message.contains("line 3: unknown key \"toleranse\"") && message.contains("\"tolerance\""), "{message}");
    write("[[milestone]]\nid = \"wide\"\ntolerance = 0\n");
    let message = fails(&mut point(folder.path(), "a", &more));
    assert!(message.contains("milestone wide: tolerance is 0, expected a number above 0"), "{message}");
    assert!(!folder.path().join("a").exists());
}
