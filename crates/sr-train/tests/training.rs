//! Tests of runs of a tiny model: resuming, refusing, diverging, and learning from real corpora.

mod support;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use sr_corpus::{Corpus, Example};
use sr_engine::{Offspring, Origin, Policy, Search, SearchConfig};
use sr_model::{Channel, Checkpoint, DeviceKind, Points, Prompt};
use sr_neural::{Learner, Sampling};
use sr_prompt::{Actions, Condition, ConstantStyle, Context, Mark, PopulationOrder, Token};
use sr_train::{
    Error, Examples, Language, LanguageSection, Limits, Mode, RunConfig, Split, Start, StopReason, Summary,
    TrackingKind, TrainConfig, Trainer, load_examples,
};

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
    Trainer::builder(config.clone(), examples, examples).start(out)
}

fn resume<'a>(out: &Path, config: &RunConfig, examples: &'a Examples) -> Result<Trainer<'a>, Error> {
    Trainer::builder(config.clone(), examples, examples).resume(out)
}

fn fit(mut trainer: Trainer<'_>, max_steps: u64) -> Summary {
    trainer.fit(Limits { max_steps: Some(max_steps), ..Limits::default() }, &mut |_, _| {}).expect("a run")
}

/// Returns all numbers of the metrics except the speeds.
fn metrics(out: &Path) -> Vec<[Value; 8]> {
    let text = fs::read_to_string(out.join("metrics.jsonl")).expect("metrics");
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let keys = ["step", "loss", "lr", "grad_norm", "padding", "val_loss", "val_token_accuracy", "val_exact_match"];
    lines.map(|line| keys.map(|key| line[key].clone())).collect()
}

fn bytes(dir: &Path, file: &str) -> Vec<u8> {
    fs::read(dir.join(file)).expect(file)
}

/// Returns the names in a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("listed").map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<String> = entries.map(|name| name.into_string().expect("UTF-8")).collect();
    names.sort();
    names
}

/// Returns the names and contents of all files in a folder and below, except metrics and events, which have times, and
/// the optimiser's state, whose parameters come in any order, with its checksum.
fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let left_out = ["metrics.jsonl", "events.", "optimiser-", "SHA256SUMS"];
    for name in names(folder).iter().filter(|name| !left_out.iter().any(|start| name.starts_with(start))) {
        let path = folder.join(name);
        match path.is_dir() {
            true => {
                found.extend(contents(&path).into_iter().map(|(inner, bytes)| (Path::new(name).join(inner), bytes)))
            }
            false => found.push((name.into(), fs::read(&path).expect("a file"))),
        }
    }
    found
}

#[test]
fn a_killed_and_resumed_run_equals_an_undisturbed_one() {
    for (more, files) in [
        ("", &["SHA256SUMS", "best", "config.json", "last", "metrics.jsonl", "optimiser-00000010.bpk"][..]),
        (
            "optimiser = \"muon\"\nema_decay = 0.9\nkeep_every = 3\nkeep_last = 2",
            &[
                "SHA256SUMS",
                "average-00000010.bpk",
                "best",
                "config.json",
                "last",
                "metrics.jsonl",
                "optimiser-00000010.bpk",
                "step-00000006",
                "step-00000009",
            ],
        ),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let [whole, killed] = ["whole", "killed"].map(|name| folder.path().join(name));
        // An epoch has 8 batches, so the resumption at step 4 is in the middle of the second one.
        let config = config(
            "one-step",
            &format!("steps = 10\naccumulation = 3\nsave_every = 4\neval_every = 4\nlog_every = 2\n{more}"),
        );
        let examples = synthetic(&config, 0.1);
        fit(start(&whole, &config, &examples).expect("a run"), 10);

        let mut trainer = start(&killed, &config, &examples).expect("a run");
        let kill_at_7 = AssertUnwindSafe(|| trainer.fit(Limits::default(), &mut |step, _| assert!(step < 7, "killed")));
        assert!(catch_unwind(kill_at_7).is_err());
        fs::write(killed.join("optimiser-00000099.bpk.partial"), "torn").expect("written");
        let trainer = resume(&killed, &config, &examples).expect("the rest");
        assert_eq!(trainer.step(), 4);
        fit(trainer, 10);
        // The run is killed right after `last` was replaced, before the previous states were removed.
        fs::write(killed.join("optimiser-00000008.bpk"), "of before").expect("written");
        fs::write(killed.join("average-00000008.bpk"), "of before").expect("written");
        drop(resume(&killed, &config, &examples).expect("a run that is complete"));

        assert!(contents(&whole) == contents(&killed), "{more}");
        assert_eq!(metrics(&whole), metrics(&killed));
        let steps: Vec<_> = metrics(&whole).iter().map(|line| line[0].as_u64().expect("a step")).collect();
        assert_eq!(steps, [2, 4, 4, 6, 8, 8, 10, 10]);
        assert_eq!(names(&killed), files);
    }
}

#[test]
fn a_run_that_is_killed_at_each_validation_ends_where_an_undisturbed_one_does() {
    let folder = tempfile::tempdir().expect("a folder");
    // Nothing improves by 9 nats after the first validation, so the run ends two validations later, before `steps`.
    let mut config = config(
        "one-step",
        "steps = 40\nsave_every = 3\neval_every = 3\nlog_every = 1\npatience = 2\nmin_delta = 9.0\n\
         optimiser = \"muon\"\nema_decay = 0.9\naccumulation = 2",
    );
    config.tracking.kind = TrackingKind::Tensorboard;
    let examples = synthetic(&config, 0.1);
    let whole = folder.path().join("whole");
    let undisturbed = fit(start(&whole, &config, &examples).expect("a run"), 40);
    assert_eq!((undisturbed.steps, undisturbed.stop), (9, StopReason::Patience));

    for kills in [&[3][..], &[6], &[9], &[4, 8], &[3, 6, 9]] {
        let out = folder.path().join(format!("{kills:?}"));
        for &kill in kills {
            let mut trainer = resume(&out, &config, &examples).expect("a run");
            let fit =
                AssertUnwindSafe(|| trainer.fit(Limits::default(), &mut |step, _| assert!(step < kill, "killed")));
            assert!(catch_unwind(fit).is_err(), "met by the kill at {kill}");
        }
        let summary = fit(resume(&out, &config, &examples).expect("the rest"), 40);
        assert_eq!((summary.steps, summary.stop), (9, StopReason::Patience), "{kills:?}");
        assert!(contents(&out) == contents(&whole), "{kills:?}");
        assert_eq!(metrics(&out), metrics(&whole), "{kills:?}");
        // Event files have times; their steps are those of the metrics, each once.
        let steps: Vec<u64> = metrics(&out).iter().map(|line| line[0].as_u64().expect("a step")).collect();
        assert_eq!(steps, [1, 2, 3, 3, 4, 5, 6, 6, 7, 8, 9, 9], "{kills:?}");
        assert_eq!(event_steps(&out), [&[0][..], &steps].concat(), "{kills:?}");
        // Nothing is left to do, and nothing is done.
        let before = (contents(&out), event_steps(&out), metrics(&out));
        assert_eq!(fit(resume(&out, &config, &examples).expect("nothing left"), 40).steps, 9);
        assert!((contents(&out), event_steps(&out), metrics(&out)) == before);
    }
}

#[test]
fn a_run_that_is_stopped_or_killed_at_any_step_ends_as_an_undisturbed_one() {
    let folder = tempfile::tempdir().expect("a folder");
    // The validation loss rises, so a model of a step between two validations would be the best. Saves come between
    // lines of metrics, and lines between validations.
    let mut config = config(
        "one-step",
        "steps = 11\neval_every = 4\nsave_every = 2\nlog_every = 3\nkeep_every = 3\naccumulation = 2\nema_decay = 0.5",
    );
    config.training.learning_rate = 0.2;
    config.tracking.kind = TrackingKind::Tensorboard;
    let (examples, whole) = (synthetic(&config, 0.1), folder.path().join("whole"));
    let undisturbed = fit(start(&whole, &config, &examples).expect("a run"), 11);
    let steps = |out: &Path| metrics(out).iter().map(|line| line[0].as_u64().expect("a step")).collect::<Vec<_>>();
    assert_eq!(steps(&whole), [3, 4, 4, 6, 8, 8, 9, 11, 11]);
    let same = |out: &Path, told: &str| {
        assert!(contents(out) == contents(&whole), "{told}");
        assert_eq!(metrics(out), metrics(&whole), "{told}");
        assert_eq!(events(out), events(&whole), "{told}");
    };
    for first in 1..11 {
        for second in [first + 1, first + 3] {
            let out = folder.path().join(format!("stopped-{first}-{second}"));
            let stopped = fit(resume(&out, &config, &examples).expect("a run"), first);
            assert!(stopped.best.join("model.bpk").exists() && stopped.train_loss.is_some(), "a best model at {first}");
            // The validation at the stop is there once, however often there is nothing left to do, and goes when the run
            // goes on.
            let due: Vec<u64> = steps(&whole).into_iter().filter(|&step| step <= first).collect();
            let extra = if first == 4 || first == 8 { &[][..] } else { &[first] };
            assert_eq!(steps(&out), [&due[..], extra].concat(), "{first}");
            let before = metrics(&out);
            assert_eq!(before.last().expect("a validation")[5], stopped.val_loss, "{first}");
            fit(resume(&out, &config, &examples).expect("nothing left"), first);
            assert_eq!(metrics(&out), before, "{first}");
            assert_eq!(event_steps(&out), [&[0][..], &due, extra].concat(), "{first}");
            let stopped = fit(resume(&out, &config, &examples).expect("more of it"), second);
            let ended = fit(resume(&out, &config, &examples).expect("the rest"), 11);
            assert_eq!(ended.val_loss, undisturbed.val_loss);
            same(&out, &format!("stopped at {first} and {}", stopped.steps));
        }
        let out = folder.path().join(format!("killed-{first}"));
        let mut trainer = resume(&out, &config, &examples).expect("a run");
        let fit_on =
            AssertUnwindSafe(|| trainer.fit(Limits::default(), &mut |step, _| assert!(step < first, "killed")));
        assert!(catch_unwind(fit_on).is_err());
        fit(resume(&out, &config, &examples).expect("the rest"), 11);
        same(&out, &format!("killed at {first}"));
    }
}

#[test]
fn a_damaged_state_is_noticed_and_a_run_without_checksums_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let (out, whole) = (folder.path().join("run"), folder.path().join("whole"));
    let config = config("one-step", "steps = 4\nema_decay = 0.9");
    let examples = synthetic(&config, 0.1);
    fit(start(&whole, &config, &examples).expect("a run"), 4);
    fit(start(&out, &config, &examples).expect("a run"), 2);
    let sums = String::from_utf8(bytes(&out, "SHA256SUMS")).expect("text");
    let files: Vec<&str> = sums.lines().map(|line| line.split_once("  ").expect("a sum and a name").1).collect();
    assert_eq!(files, ["average-00000002.bpk", "optimiser-00000002.bpk"]);
    for file in files {
        let before = bytes(&out, file);
        // The damage may be anywhere, also in the numbers at the end, which can all be read.
        for place in [before.len() / 2, before.len() - 3] {
            let mut damaged = before.clone();
            damaged[place] ^= 1;
            fs::write(out.join(file), damaged).expect("written");
            let refused = resume(&out, &config, &examples).expect_err("damaged").to_string();
            let expected = format!("run/{file}: the file is not the one that was saved, by its checksum in SHA256SUMS");
            assert!(refused.ends_with(&expected), "{refused}");
        }
        fs::write(out.join(file), before).expect("written");
    }
    // A run of an earlier version has no checksums.
    fs::remove_file(out.join("SHA256SUMS")).expect("removed");
    fit(resume(&out, &config, &examples).expect("the rest"), 4);
    assert!(contents(&out) == contents(&whole));
    assert_eq!(String::from_utf8(bytes(&out, "SHA256SUMS")).expect("text").lines().count(), 2);
    fs::write(out.join("SHA256SUMS"), "torn").expect("written");
    let refused = resume(&out, &config, &examples).expect_err("torn").to_string();
    assert!(refused.ends_with("run/SHA256SUMS: `torn` is no checksum of a file"), "{refused}");
}

#[test]
fn a_run_goes_on_only_with_the_weights_that_it_began_with() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let config = config("one-step", "steps = 4");
    let examples = synthetic(&config, 0.1);
    let [a, b] = [1, 2].map(|n| fit(start(&path(&format!("{n}")), &config, &examples).expect("a run"), n).last);
    let go_on = |out: &str, start: &Start| {
        let (config, language) = (config.clone(), Language::default());
        Trainer::builder(config, &examples, &examples).language(&language).init(start).resume(&path(out))
    };
    let from = |path: &Path| Start::Checkpoint(path.to_owned());
    let refused = |out: &str, start: &Start| go_on(out, start).expect_err("refused").to_string();

    fit(go_on("of-a", &from(&a)).expect("a run"), 1);
    let message = refused("of-a", &from(&b));
    assert!(message.contains("of-a: cannot resume with another --init: it was checkpoint "), "{message}");
    let message = refused("of-a", &from(&path("nowhere")));
    assert!(message.contains("nowhere"), "{message}");
    let message = refused("of-a", &from(&path("1")));
    assert!(message.contains("this is the folder of a training run; its checkpoints are"), "{message}");
    fit(go_on("of-a", &Start::Fresh).expect("the weights are in it"), 2);
    assert_eq!(fit(go_on("of-a", &from(&a)).expect("the rest"), 4).steps, 4);

    fit(go_on("new", &Start::Fresh).expect("a run"), 1);
    let message = refused("new", &from(&a));
    assert!(
        message.contains("new: cannot resume with another --init: it was new weights, is now checkpoint "),
        "{message}"
    );

    // The run is killed before it has saved anything.
    drop(go_on("killed", &from(&a)).expect("a run"));
    let message = refused("killed", &Start::Fresh);
    assert!(message.contains("it was checkpoint ") && message.ends_with("is now new weights"), "{message}");
    fit(go_on("killed", &from(&a)).expect("a run"), 4);
    assert!(contents(&path("killed")) == contents(&path("of-a")));

    // A run of an earlier version does not store its initial weights.
    let mut settings: Value = serde_json::from_slice(&bytes(&path("new"), "config.json")).expect("JSON");
    assert_eq!(settings.as_object_mut().expect("an object").remove("init"), Some(Value::Null));
    fs::write(path("new/config.json"), settings.to_string()).expect("written");
    fit(go_on("new", &from(&a)).expect("it goes on"), 4);
}

/// Returns the steps of the events in the only event file of a folder.
fn event_steps(out: &Path) -> Vec<u64> {
    event_messages(out).iter().map(|message| if message[9] == 0x10 { u64::from(message[10]) } else { 0 }).collect()
}

/// Returns the step, tag and value of all scalars in the event file except the speeds.
fn events(out: &Path) -> Vec<(u64, String, f32)> {
    let mut found = Vec::new();
    for (message, step) in event_messages(out).iter().zip(event_steps(out)).skip(1) {
        // After time and step comes field 5, with a length of one or two bytes, and in it values, each field 1 with a
        // length.
        let mut rest = &message[if message[12] < 128 { 13 } else { 14 }..];
        while !rest.is_empty() {
            let (value, after) = rest[2..].split_at(usize::from(rest[1]));
            let (tag, number) = value[2..].split_at(usize::from(value[1]));
            let tag = String::from_utf8(tag.to_vec()).expect("UTF-8");
            if !tag.ends_with("_per_second") {
                found.push((step, tag, f32::from_le_bytes(number[1..].try_into().expect("4 bytes"))));
            }
            rest = after;
        }
    }
    found
}

/// Returns the messages of the only event file of a folder: TFRecords (length, checksum, message, checksum) of messages
/// whose first field is the time in 9 bytes and whose second is the step, left out if 0.
fn event_messages(out: &Path) -> Vec<Vec<u8>> {
    let files: Vec<String> = names(out).into_iter().filter(|name| name.starts_with("events.")).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    let file = bytes(out, &files[0]);
    let (mut rest, mut messages) = (&file[..], Vec::new());
    while !rest.is_empty() {
        let length = u64::from_le_bytes(rest[..8].try_into().expect("8 bytes")) as usize;
        messages.push(rest[12..12 + length].to_vec());
        rest = &rest[16 + length..];
    }
    messages
}

#[test]
fn the_average_of_the_weights_is_what_is_judged_and_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("run");
    let config = config("one-step", "steps = 6\neval_every = 6\nkeep_every = 6\nema_decay = 0.5");
    let examples = synthetic(&config, 0.1);
    let mut trainer = start(&out, &config, &examples).expect("a run");
    trainer.fit(Limits::default(), &mut |_, _| {}).expect("a run");
    let [best, last, kept] = ["best", "last", "step-00000006"].map(|name| bytes(&out.join(name), "model.bpk"));
    assert!(best != last && best == kept);

    // Without an average both are the same weights, and having one does not change the run itself.
    let plain = folder.path().join("plain");
    let mut without = config.clone();
    without.training.ema_decay = 0.0;
    fit(start(&plain, &without, &examples).expect("a run"), 6);
    assert!(bytes(&plain.join("best"), "model.bpk") == bytes(&plain.join("last"), "model.bpk"));
    assert!(bytes(&plain.join("last"), "model.bpk") == last);
}

#[test]
fn a_run_ends_when_validations_improve_no_more() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("run");
    // Nothing improves by 9 nats, so the first validation is the reference and two more end the run.
    let config = config("one-step", "steps = 40\neval_every = 2\nsave_every = 40\npatience = 2\nmin_delta = 9.0");
    let examples = synthetic(&config, 0.1);
    let first = fit(start(&out, &config, &examples).expect("a run"), 3);
    assert_eq!((first.steps, first.stop), (3, StopReason::Limit));
    let summary = fit(resume(&out, &config, &examples).expect("the rest"), 40);
    assert_eq!((summary.steps, summary.stop), (6, StopReason::Patience), "the validation at the limit does not count");
    let again = fit(resume(&out, &config, &examples).expect("nothing left"), 40);
    assert_eq!((again.steps, again.stop), (6, StopReason::Patience));

    let mut patient = config.clone();
    patient.training.min_delta = 0.0;
    patient.training.steps = 8;
    let summary = fit(start(&folder.path().join("patient"), &patient, &examples).expect("a run"), 40);
    assert_eq!((summary.steps, summary.stop), (8, StopReason::Steps));
}

#[test]
fn predictions_get_right_what_was_learned() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = config("one-step", "steps = 60\neval_every = 60\nmax_targets = 1");
    let mut examples = Examples::new(&config.model);
    for state in 0..4 {
        let prompt = Prompt { tokens: vec![4, 10 + state], ..Prompt::default() };
        // Each prompt has its own target, so no answer fits more than one of them.
        let ids = [140 + state, 2];
        examples.push(&prompt, Token::Condition(Condition::All), [(&ids[..], 1.0)]).expect("it fits");
    }
    let before = fit(start(&folder.path().join("a"), &config, &examples).expect("a run"), 1).scores.expect("scores");
    assert_eq!((before.exact_match, before.fit), (0.0, None));
    let after = fit(start(&folder.path().join("b"), &config, &examples).expect("a run"), 60).scores.expect("scores");
    assert_eq!((after.token_accuracy, after.exact_match), (1.0, 1.0));

    let mut none = config.clone();
    none.training.eval_samples = 0;
    assert_eq!(fit(start(&folder.path().join("c"), &none, &examples).expect("a run"), 1).scores, None);
}

#[test]
fn bf16_and_recomputed_activations_train_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let base = config("one-step", "steps = 2");
    let examples = synthetic(&base, 0.1);
    let run =
        |name: &str, config: &RunConfig| fit(start(&folder.path().join(name), config, &examples).expect("a run"), 2);
    let plain = run("plain", &base);
    let mut recomputing = base.clone();
    recomputing.training.gradient_checkpointing = true;
    let recomputed = run("recomputing", &recomputing);
    assert!(bytes(&recomputed.last, "model.bpk") == bytes(&plain.last, "model.bpk"));
    let mut narrow = base.clone();
    narrow.training.precision = sr_model::Precision::Bf16;
    let loss = run("narrow", &narrow).val_loss;
    assert!(loss != plain.val_loss && (loss - plain.val_loss).abs() < 0.05, "{loss} {}", plain.val_loss);
}

#[test]
fn stopping_at_a_limit_saves_and_resuming_a_finished_run_trains_no_more() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("run");
    let config = config("one-step", "steps = 6");
    let examples = synthetic(&config, 0.1);
    // Nothing was saved before the kill, so the run starts over.
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
    let meta = fs::read_to_string(out.join("last/meta.json")).expect("meta");
    let newer = meta.replacen("\"format_version\": 1", "\"format_version\": 7", 1);
    fs::write(out.join("last/meta.json"), newer).expect("written");
    let refused = message(resume(&out, &config, &examples));
    assert!(
        refused.ends_with("run/last: the checkpoint has format 7, this version reads formats up to 1: update it"),
        "{refused}"
    );
    fs::write(out.join("last/meta.json"), meta).expect("written");
    fs::write(out.join("optimiser-00000001.bpk"), "torn").expect("written");
    let refused = message(resume(&out, &config, &examples));
    assert!(refused.contains("optimiser-00000001.bpk: "), "{refused}");
    assert_eq!(bytes(&out, "metrics.jsonl"), before);
}

#[test]
fn a_run_that_was_killed_while_it_wrote_its_first_file_begins_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = config("one-step", "steps = 2");
    let examples = synthetic(&config, 0.1);
    for (name, begin) in [("started", start as fn(&Path, _, _) -> _), ("resumed", resume)] {
        let out = folder.path().join(name);
        fs::create_dir(&out).expect("made");
        fs::write(out.join("config.json.partial"), "{\"mo").expect("written");
        assert_eq!(fit(begin(&out, &config, &examples).expect("a run"), 2).steps, 2);
        assert!(!out.join("config.json.partial").exists());
    }
    let other = folder.path().join("other");
    fs::create_dir(&other).expect("made");
    fs::write(other.join("notes.txt"), "mine").expect("written");
    assert!(matches!(start(&other, &config, &examples), Err(Error::Exists(_))));
    let refused = resume(&other, &config, &examples).expect_err("not ours");
    assert!(matches!(refused, Error::Foreign { .. }), "{refused}");
    assert!(
        refused.to_string().ends_with("(there is no config.json), and nothing in it is replaced; give another one")
    );
    fs::write(other.join("config.json"), r#"{"mode": "quick", "rounds": 3}"#).expect("written");
    let refused = resume(&other, &config, &examples).expect_err("not ours").to_string();
    assert!(refused.contains("no folder of a training run (its config.json is of something else)"), "{refused}");
}

#[test]
fn a_run_from_before_a_setting_existed_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("run");
    let config = config("one-step", "steps = 4");
    let examples = synthetic(&config, 0.1);
    fit(start(&out, &config, &examples).expect("a run"), 2);
    let edit = |file: &str, change: &dyn Fn(&mut Value)| {
        let mut value: Value = serde_json::from_slice(&bytes(&out, file)).expect("JSON");
        change(&mut value);
        fs::write(out.join(file), value.to_string()).expect("written");
    };
    let remove = |value: &mut Value, key: &str| value.as_object_mut().expect("an object").remove(key).expect(key);
    edit("config.json", &|value| drop(remove(&mut value["training"], "schedule")));
    fs::remove_file(out.join("last/SHA256SUMS")).expect("removed");
    edit("last/meta.json", &|value| {
        remove(value, "format_version");
        remove(value, "patience");
        remove(&mut value["config"]["training"], "ema_decay");
    });
    assert_eq!(fit(resume(&out, &config, &examples).expect("the rest"), 4).steps, 4);

    // An unknown key of a later version is an error.
    edit("config.json", &|value| value["training"]["dropout"] = 0.1.into());
    let refused = resume(&out, &config, &examples).expect_err("refused").to_string();
    assert!(refused.contains("run/config.json: unknown field `dropout`"), "{refused}");
}

#[test]
fn a_run_can_begin_with_another_one_s_weights() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = config("one-step", "steps = 40\nlog_every = 1");
    let examples = synthetic(&config, 0.1);
    let first = fit(start(&folder.path().join("a"), &config, &examples).expect("a run"), 40);
    let from = |name: &str, config: &RunConfig| {
        let start = Start::Checkpoint(first.last.clone());
        Trainer::builder(config.clone(), &examples, &examples).init(&start).start(&folder.path().join(name))
    };
    let second = fit(from("b", &config).expect("a run"), 1);
    assert!(second.train_loss < first.train_loss.map(|loss| loss + 0.3), "{second:?} {first:?}");

    // In another mode or language the same weights would read and write something else.
    let message =
        from("mode", &RunConfig { mode: Mode::Direct, ..config.clone() }).expect_err("another mode").to_string();
    assert!(message.contains("a/last: the checkpoint's mode is one-step, the run's direct"), "{message}");
    let rich = Language::of(Context::Rich);
    let start = Start::Checkpoint(first.last.clone());
    let out = folder.path().join("language");
    let message = Trainer::builder(config.clone(), &examples, &examples)
        .language(&rich)
        .init(&start)
        .start(&out)
        .expect_err("another language")
        .to_string();
    assert!(message.contains("a/last: the checkpoint's context is \"basic\", the run's \"rich\""), "{message}");
    assert!(!out.exists());
    let run = Start::Checkpoint(folder.path().join("a"));
    let message = Trainer::builder(config.clone(), &examples, &examples)
        .init(&run)
        .start(&out)
        .expect_err("a run, no checkpoint")
        .to_string();
    assert!(message.contains("a training run; its checkpoints are") && message.contains("a/best and"), "{message}");

    let mut wider = config.clone();
    wider.model.d_mlp = 64;
    let message = from("c", &wider).expect_err("another shape").to_string();
    assert!(message.ends_with("a/last: the checkpoint's d_mlp is 32, the configuration's 64"), "{message}");
    let mut old = Checkpoint::load(&first.last, &DeviceKind::Cpu.open().expect("the CPU")).expect("a checkpoint");
    old.tokenizer = old.tokenizer.replace("<eos>", "<end>");
    old.save(&first.last).expect("saved");
    let message = from("d", &config).expect_err("another vocabulary").to_string();
    assert!(message.contains("a/last: checkpoint of another vocabulary"), "{message}");
    assert!(!folder.path().join("d").exists(), "nothing is left behind");
}

#[test]
fn a_loss_that_is_no_number_stops_the_run_and_leaves_its_batch() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("run");
    let config = config("one-step", "steps = 40\naccumulation = 2\nsave_every = 1");
    // One state of 30 has infinite points; an epoch of 4 steps reaches it.
    let mut examples = synthetic(&config, 0.1);
    let validation = examples.clone();
    let width = config.model.points.as_ref().expect("points").width();
    let points = Some(Points { values: vec![f32::INFINITY; width] });
    let prompt = Prompt { tokens: vec![4, 99], points, ..Prompt::default() };
    examples.push(&prompt, Token::Condition(Condition::All), [(&[160, 2][..], 1.0)]).expect("it fits");
    let mut trainer = Trainer::builder(config, &examples, &validation).start(&out).expect("a run");
    let mut made = 0;
    let error = trainer.fit(Limits::default(), &mut |step, _| made = step).expect_err("no number");
    let Error::Diverged { step, batch: Some(path), .. } = &error else { panic!("{error}") };
    assert_eq!((*step, path.clone()), (made + 1, out.join(format!("diverged-{:08}.json", made + 1))));
    let said = error.to_string();
    assert!(
        said.starts_with(&format!("step {step}: loss NaN")) && said.contains(&path.display().to_string()),
        "{said}"
    );

    let report: Value = serde_json::from_slice(&fs::read(path).expect("the batch")).expect("JSON");
    assert_eq!(
        (report["step"].as_u64(), report["seed"].as_u64(), &report["loss"]),
        (Some(*step), Some(7), &"NaN".into())
    );
    let batches = report["batches"].as_array().expect("batches");
    assert_eq!(batches.len(), 2);
    let rows = batches.iter().flat_map(|batch| batch.as_array().expect("rows"));
    let broken: Vec<&Value> = rows.filter(|row| row["tokens"][1] == 99).collect();
    assert_eq!((broken.len(), &broken[0]["points"][0]), (1, &"inf".into()));
    assert_eq!(broken[0]["targets"][0]["labels"], serde_json::json!([160, 2]));

    // `last` is that of the step before.
    assert!(made > 0, "with this seed the first steps go well");
    let meta: Value = serde_json::from_slice(&bytes(&out.join("last"), "meta.json")).expect("JSON");
    assert_eq!(meta["step"].as_u64(), Some(made));
    let diverged = path.file_name().expect("a name").to_string_lossy().into_owned();
    let optimiser = format!("optimiser-{made:08}.bpk");
    assert_eq!(names(&out), ["SHA256SUMS", "config.json", &diverged, "last", "metrics.jsonl", &optimiser]);
}

#[test]
fn a_run_that_breaks_leaves_finite_checkpoints_of_every_kind() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("run");
    let config = config(
        "one-step",
        "steps = 40\nsave_every = 1\neval_every = 1\nkeep_every = 1\nkeep_last = 1\nclip_norm = 1.0",
    );
    let mut examples = synthetic(&config, 0.1);
    let validation = examples.clone();
    let width = config.model.points.as_ref().expect("points").width();
    let points = Some(Points { values: vec![f32::INFINITY; width] });
    let prompt = Prompt { tokens: vec![4, 99], points, ..Prompt::default() };
    examples.push(&prompt, Token::Condition(Condition::All), [(&[160, 2][..], 1.0)]).expect("it fits");
    let mut trainer = Trainer::builder(config, &examples, &validation).start(&out).expect("a run");
    let mut made = 0;
    let error = trainer.fit(Limits::default(), &mut |step, _| made = step).expect_err("no number");
    let Error::Diverged { step, norm, .. } = error else { panic!("{error}") };
    assert!(step == made + 1 && made > 0 && !norm.is_finite(), "{step} {made} {norm}");
    let kept = format!("step-{made:08}");
    for name in ["best", "last", &kept] {
        let model = Checkpoint::load(&out.join(name), &DeviceKind::Cpu.open().expect("the CPU")).expect(name).model;
        assert!(finite(&model), "{name} has weights that are no numbers");
    }
}

#[test]
fn activations_at_the_edge_of_the_numbers_never_reach_a_checkpoint() {
    let config = config("one-step", "steps = 12\nsave_every = 1\neval_every = 1\nclip_norm = 1.0");
    let width = config.model.points.as_ref().expect("points").width();
    let mut diverged = 0;
    for value in [1e18, 1e20, 1e30, 1e38, f32::MAX] {
        let folder = tempfile::tempdir().expect("a folder");
        let out = folder.path().join("run");
        let mut examples = synthetic(&config, 0.1);
        let validation = examples.clone();
        // Squares of 1e20 overflow, products of the largest number with a weight nearly do, and so do their sums.
        let points = Some(Points { values: vec![value; width] });
        let prompt = Prompt { tokens: vec![4, 99], points, ..Prompt::default() };
        examples.push(&prompt, Token::Condition(Condition::All), [(&[160, 2][..], 1.0)]).expect("it fits");
        let (config, language) = (config.clone(), Language::default());
        let mut trainer =
            Trainer::builder(config, &examples, &validation).language(&language).start(&out).expect("a run");
        match trainer.fit(Limits::default(), &mut |_, _| {}) {
            Ok(summary) => assert!(summary.val_loss.is_finite(), "{value}"),
            Err(Error::Diverged { loss, norm, .. }) => {
                assert!(!(loss.is_finite() && norm.is_finite()), "{value}: {loss} {norm}");
                diverged += 1;
            }
            Err(error) => panic!("{value}: {error}"),
        }
        for name in ["best", "last"] {
            let model = Checkpoint::load(&out.join(name), &DeviceKind::Cpu.open().expect("the CPU")).expect(name).model;
            assert!(finite(&model), "{value}: {name} has weights that are no numbers");
        }
    }
    assert!(diverged < 5, "layer norms keep most of them at bay");
}

/// Returns whether all weights are finite.
fn finite(model: &sr_model::Model) -> bool {
    struct All(bool);
    impl burn::module::ModuleVisitor for All {
        fn visit_float<const D: usize>(&mut self, param: &burn::module::Param<burn::tensor::Tensor<D>>) {
            let values: Vec<f32> = param.val().try_into_vec_as().expect("f32");
            self.0 &= values.iter().all(|value| value.is_finite());
        }
    }
    let mut all = All(true);
    burn::module::Module::visit(model, &mut all);
    all.0
}

#[test]
fn damaged_weights_are_noticed_and_old_checkpoints_are_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = config("one-step", "steps = 2");
    let examples = synthetic(&config, 0.1);
    let last = fit(start(&folder.path().join("run"), &config, &examples).expect("a run"), 2).last;
    let load = || Checkpoint::load(&last, &DeviceKind::Cpu.open().expect("the CPU"));
    load().expect("whole");
    for file in ["model.bpk", "config.json", "tokenizer.json", "meta.json"] {
        let before = bytes(&last, file);
        let mut damaged = before.clone();
        let middle = damaged.len() / 2;
        damaged[middle..middle + 4].copy_from_slice(b"XXXX");
        fs::write(last.join(file), damaged).expect("written");
        let message = load().expect_err("damaged").to_string();
        assert!(message.contains(&format!("last/{file}: ")), "{message}");
        fs::write(last.join(file), before).expect("written");
    }
    fs::remove_file(last.join("SHA256SUMS")).expect("removed");
    load().expect("a checkpoint from before there were checksums");
}

#[test]
fn a_validation_that_is_no_number_is_told_from_a_run_that_diverged() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = config("one-step", "steps = 4\neval_every = 1");
    let (examples, validation) = (synthetic(&config, 0.1), synthetic(&config, f32::MAX));
    let out = folder.path().join("run");
    let mut trainer = Trainer::builder(config, &examples, &validation).start(&out).expect("a run");
    let error = trainer.fit(Limits::default(), &mut |_, _| {}).expect_err("no number");
    assert!(matches!(error, Error::Validation { step: 1, .. }), "{error}");
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
    let restored = Checkpoint::load(&summary.last, &DeviceKind::Cpu.open().expect("the CPU")).expect("a checkpoint");
    assert_eq!(restored.model.config().points, config.model.points);
}

#[test]
fn real_corpora_are_learned() {
    let folder = tempfile::tempdir().expect("a folder");
    let (n_problems, generations) = (12, 6);
    support::corpora(folder.path(), n_problems, generations);
    let everything = LanguageSection {
        population_order: PopulationOrder::Shuffled,
        actions: Actions::Edit,
        constants: ConstantStyle::Placeholders,
        marks: Mark::ALL.to_vec(),
    };
    let runs = [
        (Mode::OneStep, "onestep", LanguageSection::default()),
        (Mode::OneStep, "onestep", everything),
        (Mode::Autoregressive, "autoregressive", LanguageSection::default()),
        (Mode::Direct, "direct", LanguageSection::default()),
    ];
    for (mode, name, language) in runs {
        let mut config = config(mode.name(), "steps = 30\nmax_targets = 5\nlog_every = 1");
        config.model.n_marks = language.with(Context::Basic).n_marks();
        config.language = language;
        let read = |file: &str, split: Split| {
            let path = folder.path().join(name).join(file);
            load_examples(&[path], &[], &config, split).expect("examples")
        };
        let ((train, found), (val, _)) = (read("train.sr", Split::Training), read("val.sr", Split::Validation));
        assert_eq!(found, config.language.with(Context::Basic));
        let n = train.n_targets() + val.n_targets();
        let expected = match mode {
            Mode::OneStep => n_problems * (generations - 1) * 19,
            Mode::Autoregressive => n_problems * (generations - 1),
            Mode::Direct => n_problems,
        };
        assert_eq!((n as u32, train.n_too_long()), (expected, 0));
        let is_edit = config.language.actions == Actions::Edit;
        let out = folder.path().join("runs").join(format!("{name}-{is_edit}"));
        let mut trainer = Trainer::builder(config, &train, &val).language(&found).start(&out).expect("a run");
        let mut losses = Vec::new();
        let summary = trainer.fit(Limits::default(), &mut |_, stats| losses.push(stats.loss())).expect("a run");
        // There are 512 tokens: an untrained model has a loss of ln 512 = 6.2.
        assert!(losses[0] > 5.5 && losses[29] < 4.0, "{losses:?}");
        assert!(summary.val_loss < 5.0, "{summary:?}");
        if let Some(scores) = summary.scores {
            assert!(scores.token_accuracy > 0.05 && scores.fit.is_some() != is_edit, "{scores:?}");
        }
        assert_eq!(summary.scores.is_none(), mode == Mode::Autoregressive);
        let meta: Value = serde_json::from_slice(&bytes(&summary.last, "meta.json")).expect("JSON");
        assert_eq!((meta["mode"].as_str(), meta["step"].as_u64()), (Some(mode.name()), Some(30)));
        assert_eq!(Language::deserialize(&meta).expect("a language"), found);
    }
    let corpus = |name: &str| -> Vec<PathBuf> { vec![folder.path().join(name)] };
    let direct = config("direct", "");
    let message = |corpora: Vec<PathBuf>, problems: Vec<PathBuf>| {
        load_examples(&corpora, &problems, &direct, Split::Training).expect_err("refused").to_string()
    };
    let refused = message(corpus("onestep/train.sr"), vec![]);
    assert!(refused.ends_with("the corpus is for mode one-step, the configuration for direct"), "{refused}");
    assert!(message(corpus("none.sr"), vec![]).contains("none.sr"));
    assert!(message(corpus("direct/train.sr"), corpus("other.sr")).contains("other.sr"));
    assert_eq!(message(vec![], vec![]), "the training corpus has no examples");
}

#[test]
fn a_direct_model_is_asked_in_search_what_it_was_taught() {
    let folder = tempfile::tempdir().expect("a folder");
    support::corpora(folder.path(), 6, 2);
    let mut config = config("direct", "steps = 600");
    // The learner's channels: the residual, which is y itself here, must come from the same code too.
    let points = config.model.points.as_mut().expect("points");
    points.channels = vec![Channel::X, Channel::Y, Channel::BestResidual];
    let path = folder.path().join("direct/train.sr");
    let (train, language) =
        load_examples(std::slice::from_ref(&path), &[], &config, Split::Training).expect("examples");
    let out = folder.path().join("run");
    let mut trainer = Trainer::builder(config, &train, &train).language(&language).start(&out).expect("a run");
    let summary = trainer.fit(Limits::default(), &mut |_, _| {}).expect("a run");
    assert_eq!(summary.scores.expect("scores").exact_match, 1.0, "it knows the formulas by heart");

    let device = DeviceKind::Cpu.open().expect("the CPU");
    // Without a grammar, a child's probability is the one in the loss.
    let sampling = Sampling { temperature: 0.0, grammar: None, ..Sampling::default() };
    let mut learner = Learner::load(&summary.last, &device, sampling).expect("a learner");
    let corpus = Corpus::open(&path).expect("the corpus");
    let set = corpus.problems(None).expect("the problems");
    let mut log_prob = 0.0;
    for example in corpus {
        let Example::Direct(direct) = example.expect("an example") else { panic!("a direct example") };
        let instance = set.get(&direct.problem).expect("its problem").instance().expect("an instance");
        let search = Search::new(Arc::new(instance), SearchConfig::basic(), 3).expect("a search");
        let mut offspring = Offspring::default();
        learner.propose_one(search.state(), 1, &mut offspring).expect("a child");
        let child = offspring.iter().next().expect("a child");
        assert_eq!((child.tree, child.origin), (&**direct.target, Origin::Learner));
        log_prob += f64::from(child.log_prob.expect("a learner tells"));
    }
    // A start, a point or a feature that differed would show here before it changed a formula.
    let loss = -log_prob / learner.written().tokens as f64;
    assert!((loss / summary.val_loss - 1.0).abs() < 1e-2, "{loss} in search, {} in training", summary.val_loss);
}
