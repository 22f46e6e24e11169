//! The command line of `sr-dagger`.

mod support;

use std::fs;

use serde_json::Value;
use sr_cli::testing::{fails, succeeds};
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
        for name in
            ["solved", "solved_per_million_evaluations", "imitation_loss", "agreement", "novelty", "well_formed"]
        {
            assert!(names.contains(&name), "{name}");
        }
    }
    let pages: Vec<String> = fs::read_dir(run.join("recordings/first"))
        .expect("pages")
        .map(|e| e.expect("a page").file_name().to_string_lossy().into_owned())
        .collect();
    assert!(pages.contains(&"iter0_ep0.html".to_owned()), "{pages:?}");
    assert!(pages.iter().any(|name| name.starts_with("expert_ep1_") && name.contains("_steps")), "{pages:?}");
    // The expert acted in the first round, the learner in the second, and every child says so.
    let header = |round: u32| {
        let trace = run.join(format!("rollouts/second/round-00{round}/rollouts/trace.sr"));
        sr_trace::TraceReader::open(trace).expect("a trace").header().clone()
    };
    assert_eq!((header(0).policy, header(0).checkpoint), (sr_trace::Policy::Expert, None));
    assert_eq!(header(1).policy, sr_trace::Policy::Hybrid);
    assert_eq!(header(1).sampling.expect("a learner took part").share.as_deref(), Some("search 1"));

    // Again, with one thread: nothing is done twice and nothing differs; anew, every byte is the same.
    let before = files(&run);
    succeeds(&mut dagger(folder.path(), "run", &["--track", "--threads", "1"]));
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
    assert!(result["milestones"][0]["reason"].as_str().expect("a reason").contains("the expert succeeds in"));
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
    assert!(message.contains("evil_every"), "{message}");
    let milestones = fs::read_to_string(folder.path().join("milestones.toml")).expect("milestones");
    fs::write(folder.path().join("others.toml"), milestones.replace("max_variables", "max_variable")).expect("written");
    let message = run("a", &["--milestones", "others.toml"]);
    assert!(message.contains("\"max_variable\"") && message.contains("\"max_variables\""), "{message}");

    succeeds(&mut dagger(folder.path(), "b", &["--milestone", "first", "--dagger-iterations", "1"]));
    let before = files(&folder.path().join("b"));
    let message = run("b", &["--milestone", "first", "--dagger-iterations", "1", "--seed", "2"]);
    assert!(message.contains("other settings: seed was 0 and is 2"), "{message}");
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
