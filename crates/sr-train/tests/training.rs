//! Runs of a tiny model: resuming, refusing, diverging, and learning from real corpora.

mod support;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use serde_json::Value;
use sr_model::{Checkpoint, DeviceKind, Points, Prompt, open};
use sr_prompt::{Condition, Token};
use sr_train::{Error, Examples, Limits, Mode, RunConfig, Start, Summary, TrainConfig, Trainer, load};

fn config(mode: &str, training: &str) -> RunConfig {
    let text = format!(
        "mode = {mode:?}\n[model]\npreset = \"micro\"\nd_model = 16\nn_layers = 1\nn_heads = 2\nd_mlp = 32\n\
         n_points = 4\npoint_hidden = 8\n[training]\nrows_per_batch = 4\nwarmup_steps = 2\nlearning_rate = 0.01\n{training}"
    );
    TrainConfig::from_toml(&text).expect("a configuration").resolve(7)
}

fn synthetic(config: &RunConfig, value: f32) -> Examples {
    let mut examples = Examples::new(&config.model);
    let width = config.model.points.as_ref().expect("points").width();
    for state in 0..30_i32 {
        let points = Points { values: vec![value * state as f32; 3 * width] };
        let prompt = Prompt { tokens: (4..8 + state % 9).collect(), points: Some(points), ..Prompt::default() };
        let targets = [[140 + state % 5, 2], [150 + state % 3, 2], [160, 2]];
        let targets = targets.iter().map(|ids| (&ids[..], 1.0));
        examples.push(&prompt, Token::Condition(Condition::All), targets).expect("it fits");
    }
    examples
}

fn start<'a>(out: &Path, config: &RunConfig, examples: &'a Examples) -> Result<Trainer<'a>, Error> {
    Trainer::start(out, config.clone(), "basic", &Start::Fresh, examples, examples, DeviceKind::Cpu)
}

fn resume<'a>(out: &Path, config: &RunConfig, examples: &'a Examples) -> Result<Trainer<'a>, Error> {
    Trainer::resume(out, config.clone(), "basic", &Start::Fresh, examples, examples, DeviceKind::Cpu)
}

fn fit(mut trainer: Trainer<'_>, max_steps: u64) -> Summary {
    trainer.fit(Limits { max_steps: Some(max_steps), ..Limits::default() }, &mut |_, _| {}).expect("a run")
}

/// All numbers of the metrics but the speeds.
fn metrics(out: &Path) -> Vec<[Value; 5]> {
    let text = fs::read_to_string(out.join("metrics.jsonl")).expect("metrics");
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    lines.map(|line| ["step", "loss", "lr", "grad_norm", "val_loss"].map(|key| line[key].clone())).collect()
}

fn bytes(dir: &Path, file: &str) -> Vec<u8> {
    fs::read(dir.join(file)).expect(file)
}

#[test]
fn a_killed_and_resumed_run_equals_an_undisturbed_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let [whole, killed] = ["whole", "killed"].map(|name| folder.path().join(name));
    // An epoch has 8 batches, so the resumption at step 4 is in the middle of the second one.
    let config = config("one-step", "steps = 10\naccumulation = 3\nsave_every = 4\neval_every = 4\nlog_every = 2");
    let examples = synthetic(&config, 0.1);
    fit(start(&whole, &config, &examples).expect("a run"), 10);

    let mut trainer = start(&killed, &config, &examples).expect("a run");
    let kill_at_7 = AssertUnwindSafe(|| trainer.fit(Limits::default(), &mut |step, _| assert!(step < 7, "killed")));
    assert!(catch_unwind(kill_at_7).is_err());
    fs::write(killed.join("optimiser-00000099.bpk.partial"), "torn").expect("written");
    let trainer = resume(&killed, &config, &examples).expect("the rest");
    assert_eq!(trainer.step(), 4);
    fit(trainer, 10);

    for checkpoint in ["last", "best"] {
        for file in ["model.bpk", "config.json", "tokenizer.json", "meta.json"] {
            let path = Path::new(checkpoint).join(file);
            assert_eq!(bytes(&whole.join(checkpoint), file), bytes(&killed.join(checkpoint), file), "{path:?}");
        }
    }
    assert_eq!(metrics(&whole), metrics(&killed));
    let steps: Vec<_> = metrics(&whole).iter().map(|line| line[0].as_u64().expect("a step")).collect();
    assert_eq!(steps, [2, 4, 4, 6, 8, 8, 10, 10]);
    let mut names: Vec<String> = fs::read_dir(&killed)
        .expect("listed")
        .map(|e| e.expect("entry").file_name().into_string().expect("UTF-8"))
        .collect();
    names.sort();
    assert_eq!(names, ["best", "config.json", "last", "metrics.jsonl", "optimiser-00000010.bpk"]);
}

#[test]
fn stopping_at_a_limit_saves_and_resuming_a_finished_run_trains_no_more() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("run");
    let config = config("one-step", "steps = 6");
    let examples = synthetic(&config, 0.1);
    // Nothing was saved before the kill, so the run begins anew.
    let first = fit(resume(&out, &config, &examples).expect("a new run"), 3);
    assert_eq!((first.steps, first.best.join("meta.json").exists()), (3, true));
    let mut trainer = resume(&out, &config, &examples).expect("the rest");
    assert_eq!(trainer.step(), 3);
    let no_time = Limits { max_time: Some(std::time::Duration::ZERO), ..Limits::default() };
    assert_eq!(trainer.fit(no_time, &mut |_, _| {}).expect("one step").steps, 4);
    let last = fit(resume(&out, &config, &examples).expect("the rest"), 6);
    let before = bytes(&last.last, "model.bpk");
    let again = fit(resume(&out, &config, &examples).expect("nothing left"), 6);
    assert_eq!((again.steps, again.train_loss, again.val_loss), (6, None, last.val_loss));
    assert_eq!(bytes(&last.last, "model.bpk"), before);
}

#[test]
fn a_folder_in_use_and_another_run_s_folder_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("run");
    let config = config("one-step", "steps = 4");
    let examples = synthetic(&config, 0.1);
    fit(start(&out, &config, &examples).expect("a run"), 1);
    let before = bytes(&out, "metrics.jsonl");
    let message = |result: Result<Trainer<'_>, Error>| result.expect_err("refused").to_string();
    assert!(message(start(&out, &config, &examples)).ends_with("or --resume to go on with its run"));
    let mut other = config.clone();
    other.training.learning_rate = 0.02;
    let refused = message(resume(&out, &other, &examples));
    assert!(
        refused.ends_with("cannot resume with another training.learning_rate: it was 0.01, is now 0.02"),
        "{refused}"
    );
    let refused = message(resume(&out, &config, &synthetic(&config, 0.2)));
    assert!(refused.contains("cannot resume with another training corpus: it was "), "{refused}");
    fs::write(out.join("optimiser-00000001.bpk"), "torn").expect("written");
    let refused = message(resume(&out, &config, &examples));
    assert!(refused.contains("optimiser-00000001.bpk: "), "{refused}");
    assert_eq!(bytes(&out, "metrics.jsonl"), before);
}

#[test]
fn a_run_can_begin_with_another_one_s_weights() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = config("one-step", "steps = 40\nlog_every = 1");
    let examples = synthetic(&config, 0.1);
    let first = fit(start(&folder.path().join("a"), &config, &examples).expect("a run"), 40);
    let from = |name: &str, config: &RunConfig| {
        let start = Start::Checkpoint(first.last.clone());
        Trainer::start(
            &folder.path().join(name),
            config.clone(),
            "basic",
            &start,
            &examples,
            &examples,
            DeviceKind::Cpu,
        )
    };
    let second = fit(from("b", &config).expect("a run"), 1);
    assert!(second.train_loss < first.train_loss.map(|loss| loss + 0.3), "{second:?} {first:?}");

    let mut wider = config.clone();
    wider.model.d_mlp = 64;
    let message = from("c", &wider).expect_err("another shape").to_string();
    assert!(message.ends_with("a/last: the checkpoint's d_mlp is 32, the configuration's 64"), "{message}");
    let mut old = Checkpoint::load(&first.last, &open(DeviceKind::Cpu).expect("the CPU")).expect("a checkpoint");
    old.tokenizer = old.tokenizer.replace("<eos>", "<end>");
    old.save(&first.last).expect("saved");
    let message = from("d", &config).expect_err("another vocabulary").to_string();
    assert!(message.contains("a/last: checkpoint of another vocabulary"), "{message}");
    assert!(!folder.path().join("d").exists(), "nothing is left behind");
}

#[test]
fn a_loss_that_is_no_number_stops_the_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = config("one-step", "steps = 4");
    let examples = synthetic(&config, f32::MAX);
    let mut trainer = start(&folder.path().join("run"), &config, &examples).expect("a run");
    let error = trainer.fit(Limits::default(), &mut |_, _| {}).expect_err("no number");
    assert!(matches!(error, Error::Diverged { step: 1, .. }), "{error}");
}

#[test]
fn a_model_that_reads_sets_is_trained_and_restored() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = "mode = \"direct\"\n[model]\npreset = \"micro\"\nd_model = 16\nn_layers = 1\nn_heads = 2\nd_mlp = 32\n\
                points = \"set\"\nn_points = 9\nn_queries = 2\nn_variables = 1\npoint_hidden = 16\n\
                [training]\nsteps = 30\nwarmup_steps = 2\nlearning_rate = 0.01\nlog_every = 1";
    let config = TrainConfig::from_toml(text).expect("a configuration").resolve(7);
    let examples = synthetic(&config, 0.1);
    let out = folder.path().join("run");
    let mut losses = Vec::new();
    let mut trainer = start(&out, &config, &examples).expect("a run");
    let summary = trainer.fit(Limits::default(), &mut |_, stats| losses.push(stats.loss())).expect("a run");
    assert!(losses[0] > 5.5 && losses[29] < 3.0, "{losses:?}");
    let restored = Checkpoint::load(&summary.last, &open(DeviceKind::Cpu).expect("the CPU")).expect("a checkpoint");
    assert_eq!(restored.model.config().points, config.model.points);
}

#[test]
fn real_corpora_are_learned() {
    let folder = tempfile::tempdir().expect("a folder");
    let (n_problems, generations) = (12, 6);
    support::corpora(folder.path(), n_problems, generations);
    for (mode, name) in [(Mode::OneStep, "onestep"), (Mode::Direct, "direct")] {
        let config = config(mode.name(), "steps = 30\nmax_targets = 5\nlog_every = 1");
        let read = |file: &str| {
            let path = folder.path().join(name).join(file);
            load(&[path], &[], mode, &config.model, "training").expect("examples")
        };
        let ((train, context), (val, _)) = (read("train.sr"), read("val.sr"));
        assert_eq!(context, "basic");
        let n = train.n_targets() + val.n_targets();
        let expected = match mode {
            Mode::OneStep => n_problems * (generations - 1) * 19,
            Mode::Direct => n_problems,
        };
        assert_eq!((n as u32, train.n_too_long()), (expected, 0));
        let out = folder.path().join("runs").join(name);
        let mut trainer =
            Trainer::start(&out, config, "basic", &Start::Fresh, &train, &val, DeviceKind::Cpu).expect("a run");
        let mut losses = Vec::new();
        let summary = trainer.fit(Limits::default(), &mut |_, stats| losses.push(stats.loss())).expect("a run");
        // 512 tokens: a model that knows nothing loses ln 512 = 6.2.
        assert!(losses[0] > 5.5 && losses[29] < 4.0, "{losses:?}");
        assert!(summary.val_loss < 5.0, "{summary:?}");
        let meta: Value = serde_json::from_slice(&bytes(&summary.last, "meta.json")).expect("JSON");
        assert_eq!((meta["mode"].as_str(), meta["step"].as_u64()), (Some(mode.name()), Some(30)));
    }
    let corpus = |name: &str| -> Vec<PathBuf> { vec![folder.path().join(name)] };
    let direct = config("direct", "").model;
    let message = |corpora: Vec<PathBuf>, problems: Vec<PathBuf>| {
        load(&corpora, &problems, Mode::Direct, &direct, "training").expect_err("refused").to_string()
    };
    let refused = message(corpus("onestep/train.sr"), vec![]);
    assert!(refused.ends_with("the corpus is for mode one-step, the configuration for direct"), "{refused}");
    assert!(message(corpus("none.sr"), vec![]).contains("none.sr"));
    assert!(message(corpus("direct/train.sr"), corpus("other.sr")).contains("other.sr"));
    assert_eq!(message(vec![], vec![]), "the training corpus has no examples");
}
