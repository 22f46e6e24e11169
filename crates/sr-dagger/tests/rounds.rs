//! Tests of the loop over rounds and milestones, on a task that counts.

use std::cell::RefCell;
use std::fs;
use std::path::Path;
use std::rc::Rc;

use sr_dagger::{
    Beta, Buffer, BufferOptions, Curriculum, Episode, Error, Evaluation, Event, Init, MilestonesConfig, Round,
    RoundResult, Rounds, RoundsConfig, Selection, Stage, Status, StepMultiplier, Task, run_milestones, run_rounds,
};

/// A task whose student is a number: the rows that it has learned from so far, which is also its successes in ten
/// episodes.
#[derive(Clone, Default)]
struct Counting {
    /// The stages that were run, in order.
    log: Rc<RefCell<Vec<String>>>,
    /// The round and the stage that fails after writing half of its files.
    fail: Option<(u32, Stage)>,
    /// Successes by round; if set, they replace the number of rows.
    successes: Vec<u32>,
}

impl Counting {
    fn begin(&self, round: &Round, stage: Stage, out: &Path) -> Result<(), Error> {
        assert!(out.ends_with(format!("{}.partial", stage.name())), "{}", out.display());
        self.log.borrow_mut().push(format!("{} {}", round.index, stage.name()));
        fs::write(out.join("seed"), round.seed.to_string()).expect("written");
        if self.fail == Some((round.index, stage)) {
            fs::write(out.join("half"), "of it").expect("written");
            return Err(Error::NoFormula { problem: "stopped here".into() });
        }
        fs::remove_file(out.join("half")).ok();
        Ok(())
    }
}

fn number(folder: &Path) -> u64 {
    fs::read_to_string(folder.join("model")).expect("a model").parse().expect("a number")
}

impl Task for Counting {
    type Error = Error;

    fn rollouts(&mut self, round: &Round, out: &Path) -> Result<(), Error> {
        self.begin(round, Stage::Rollouts, out)?;
        let acting = round.before.as_deref().map_or("teacher".to_owned(), |model| number(model).to_string());
        fs::write(out.join("acting"), format!("{acting} {}", round.beta)).expect("written");
        Ok(())
    }

    fn labels(&mut self, round: &Round, out: &Path) -> Result<(), Error> {
        self.begin(round, Stage::Labels, out)?;
        let acting = fs::read_to_string(round.stage(Stage::Rollouts).join("acting")).expect("rollouts come first");
        fs::write(out.join("label"), acting).expect("written");
        Ok(())
    }

    fn corpus(&mut self, round: &Round, out: &Path) -> Result<(), Error> {
        self.begin(round, Stage::Corpus, out)?;
        assert!(round.stage(Stage::Labels).join("label").exists());
        fs::write(out.join("rows"), vec![round.index as u8; 4 * 3]).expect("written");
        Ok(())
    }

    fn rows(&mut self, round: &Round) -> Result<Vec<u8>, Error> {
        Ok(fs::read(round.stage(Stage::Corpus).join("rows")).expect("the corpus comes first"))
    }

    fn train(&mut self, round: &Round, buffer: &Buffer, out: &Path) -> Result<(), Error> {
        self.begin(round, Stage::Checkpoint, out)?;
        let learned = round.before.as_deref().map_or(0, number);
        fs::write(out.join("model"), (learned + buffer.size()).to_string()).expect("written");
        Ok(())
    }

    fn evaluate(&mut self, round: &Round, out: &Path) -> Result<Evaluation, Error> {
        self.begin(round, Stage::Evaluation, out)?;
        let learned = number(&round.stage(Stage::Checkpoint)) as u32;
        let successes = self.successes.get(round.index as usize).copied().unwrap_or(learned.min(10));
        Ok(Evaluation { episodes: 10, successes, score: 0.0, metrics: Vec::new() })
    }
}

fn config(rounds: u32) -> RoundsConfig {
    RoundsConfig {
        rounds,
        beta: Beta::Indicator { rounds: 1 },
        seed: 7,
        init: None,
        buffer: BufferOptions::new(4),
        patience: 0,
        enough: None,
    }
}

fn run(task: &mut Counting, dir: &Path, config: &RoundsConfig) -> Result<Rounds, Error> {
    run_rounds(task, dir, config, &mut |_| ())
}

/// Returns all files below a folder, except those with times.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        if path.is_dir() {
            found.extend(files(&path).into_iter().map(|(below, bytes)| (format!("{name}/{below}"), bytes)));
        } else if name != "timing.jsonl" {
            found.push((name, fs::read(&path).expect("a file")));
        }
    }
    found.sort();
    found
}

#[test]
fn a_round_is_made_of_the_one_before() {
    let (folder, mut task) = (tempfile::tempdir().expect("a folder"), Counting::default());
    let rounds = run(&mut task, folder.path(), &config(3)).expect("three rounds");
    let stages: Vec<String> = (0..3).flat_map(|r| Stage::ALL.map(|stage| format!("{r} {}", stage.name()))).collect();
    assert_eq!(*task.log.borrow(), stages);
    let text = |path: &str| fs::read_to_string(folder.path().join(path)).expect(path);
    // The rounds have three rows, then six, then nine: everything seen so far.
    assert_eq!([0, 1, 2].map(|r| text(&format!("round-00{r}/checkpoint/model"))), ["3", "9", "18"]);
    assert_eq!(text("round-000/rollouts/acting"), "teacher 1");
    assert_eq!(text("round-002/labels/label"), "9 0", "the newest student acts, and is labelled");
    assert_eq!(rounds.rounds.iter().map(|r| r.buffered).collect::<Vec<_>>(), [3, 6, 9]);
    let seeds: Vec<u64> = rounds.rounds.iter().map(|r| r.round.seed).collect();
    assert!(seeds[0] != seeds[1] && seeds[1] != seeds[2]);
    assert_eq!((rounds.best, rounds.best().evaluation.successes), (2, 10));
}

#[test]
fn what_is_whole_is_not_made_again_and_nothing_differs() {
    let undisturbed = tempfile::tempdir().expect("a folder");
    run(&mut Counting::default(), undisturbed.path(), &config(2)).expect("two rounds");
    for stage in (0..2).flat_map(|round| Stage::ALL.map(|stage| (round, stage))) {
        let (folder, mut task) =
            (tempfile::tempdir().expect("a folder"), Counting { fail: Some(stage), ..Counting::default() });
        run(&mut task, folder.path(), &config(2)).expect_err("it fails there");
        task.fail = None;
        run(&mut task, folder.path(), &config(2)).expect("it goes on");
        assert_eq!(files(folder.path()), files(undisturbed.path()), "{stage:?}");
        assert_eq!(task.log.borrow().len(), 11, "only the stage that failed was made twice");
        // The buffer is rebuilt from the corpora.
        fs::remove_file(folder.path().join("buffer.bin")).expect("it was there");
        run(&mut task, folder.path(), &config(3)).expect("one more round");
        let model = fs::read_to_string(folder.path().join("round-002/checkpoint/model")).expect("a model");
        assert_eq!(model, "18");
    }
}

#[test]
fn rounds_end_when_they_are_told_to() {
    let run = |successes: &[u32], patience, enough| {
        let (folder, successes) = (tempfile::tempdir().expect("a folder"), successes.to_vec());
        let mut task = Counting { successes, ..Counting::default() };
        let rounds = run(&mut task, folder.path(), &RoundsConfig { patience, enough, ..config(5) }).expect("rounds");
        (rounds.rounds.len(), rounds.best)
    };
    assert_eq!(run(&[1, 3, 2, 3, 3], 0, None), (5, 1), "the first of equals is the best");
    assert_eq!(run(&[1, 3, 2, 3, 3], 2, None), (4, 1));
    assert_eq!(run(&[1, 3, 2, 4, 3], 2, None), (5, 3));
    assert_eq!(run(&[1, 6, 9, 9, 9], 0, Some(0.6)), (2, 1));
}

#[test]
fn mistakes_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let no_teacher = RoundsConfig { beta: Beta::Constant(0.5), ..config(1) };
    let error = run(&mut Counting::default(), folder.path(), &no_teacher).expect_err("nobody can act");
    assert!(error.to_string().contains("constant:0.5"), "{error}");

    run(&mut Counting::default(), folder.path(), &config(1)).expect("a round");
    let other = RoundsConfig { beta: Beta::Constant(0.0), init: Some("x".into()), ..config(1) };
    let error = run(&mut Counting::default(), folder.path(), &other).expect_err("begun otherwise").to_string();
    assert!(error.contains("manifest.json") && error.contains("β = 1"), "{error}");
    let label = folder.path().join("round-000/labels/label");
    fs::write(&label, "x").expect("written");
    let error = run(&mut Counting::default(), folder.path(), &config(1)).expect_err("cut").to_string();
    assert!(error.contains("label: the file was changed, it has 1 bytes and in manifest.json 9"), "{error}");
    fs::remove_file(label).expect("removed");
    let error = run(&mut Counting::default(), folder.path(), &config(1)).expect_err("missing").to_string();
    assert!(error.contains("label: the file is missing"), "{error}");
}

#[test]
fn a_changed_file_of_a_finished_stage_is_noticed_and_its_round_can_be_made_again() {
    let undisturbed = tempfile::tempdir().expect("a folder");
    run(&mut Counting::default(), undisturbed.path(), &config(3)).expect("three rounds");
    for path in ["rollouts/acting", "labels/label", "corpus/rows", "checkpoint/model", "evaluation/scores.json"] {
        let folder = tempfile::tempdir().expect("a folder");
        run(&mut Counting::default(), folder.path(), &config(2)).expect("two rounds");
        let file = folder.path().join("round-000").join(path);
        let mut bytes = fs::read(&file).expect("a file");
        bytes[0] ^= 1;
        fs::write(&file, bytes).expect("written");
        let mut task = Counting::default();
        let error = run(&mut task, folder.path(), &config(3)).expect_err("it is noticed").to_string();
        assert!(error.contains(path) && error.contains("SHA-256") && error.contains("round-000,"), "{error}");
        assert!(task.log.borrow().is_empty(), "nothing was made of it");
        fs::remove_dir_all(folder.path().join("round-000")).expect("removed, as the message says");
        run(&mut task, folder.path(), &config(3)).expect("it goes on");
        assert_eq!(files(folder.path()), files(undisturbed.path()), "{path}");
    }
}

#[test]
fn a_changed_buffer_changes_nothing() {
    let folders = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    for folder in &folders {
        run(&mut Counting::default(), folder.path(), &config(2)).expect("two rounds");
    }
    let buffer = folders[0].path().join("buffer.bin");
    let mut bytes = fs::read(&buffer).expect("a buffer");
    bytes[4096..4100].fill(0); // the tag of the first row
    fs::write(&buffer, bytes).expect("written");
    for folder in &folders {
        run(&mut Counting::default(), folder.path(), &config(3)).expect("a third round");
    }
    assert_eq!(files(folders[0].path()), files(folders[1].path()));
}

#[test]
fn finished_rounds_count_whatever_is_wanted_now() {
    let folder = tempfile::tempdir().expect("a folder");
    let rounds = |config: RoundsConfig| {
        let mut task = Counting::default();
        let rounds = run(&mut task, folder.path(), &config).expect("rounds");
        (rounds.rounds.len(), task.log.borrow().len())
    };
    assert_eq!(rounds(config(2)), (2, 10));
    assert_eq!(rounds(config(3)), (3, 5), "one more");
    assert_eq!(rounds(config(1)), (3, 0));
    assert_eq!(rounds(RoundsConfig { enough: Some(0.0), ..config(5) }), (3, 0));
    assert_eq!(rounds(config(4)), (4, 5));
}

#[test]
fn fifty_rounds_stay_within_the_buffer() {
    let folder = tempfile::tempdir().expect("a folder");
    let buffer = BufferOptions { max_rows: 50, ..BufferOptions::new(4) };
    let rounds = run(&mut Counting::default(), folder.path(), &RoundsConfig { buffer, ..config(50) }).expect("rounds");
    let buffered: Vec<u64> = rounds.rounds.iter().map(|round| round.buffered).collect();
    assert!(buffered.iter().all(|&rows| rows <= 50) && buffered[49] == 50, "{buffered:?}");
    let bytes = fs::metadata(folder.path().join("buffer.bin")).expect("a buffer").len();
    assert_eq!(bytes, 2 * 4096 + 50 * 4, "headers and tags, a page of each, and fifty rows");
}

/// Milestones of counting, with the expert's successes in five episodes.
struct Milestones {
    experts: Vec<(&'static str, u32)>,
    broken: Option<usize>,
    unusable: Option<usize>,
    expert_settings: &'static str,
    rounds: u32,
    inits: Vec<Option<String>>,
}

impl Curriculum for Milestones {
    type Error = Error;

    fn ids(&self) -> Vec<String> {
        self.experts.iter().map(|(id, _)| (*id).to_owned()).collect()
    }

    fn unusable(&self, milestone: usize) -> Option<String> {
        (self.unusable == Some(milestone)).then(|| "its file is missing".to_owned())
    }

    fn expert_settings(&self) -> String {
        self.expert_settings.to_owned()
    }

    fn expert(&mut self, milestone: usize, _: &Path) -> Result<Vec<Episode>, Error> {
        let successes = if self.expert_settings == "better" { 5 } else { self.experts[milestone].1 };
        Ok((0..5).map(|episode| Episode { success: episode < successes, steps: 10 }).collect())
    }

    fn rounds(
        &mut self,
        milestone: usize,
        max_steps: u32,
        init: Option<&Path>,
        dir: &Path,
        on_round: &mut dyn FnMut(&RoundResult),
    ) -> Result<Rounds, Error> {
        assert_eq!(max_steps, 20, "also with another multiplier, if it was begun");
        self.inits.push(init.map(|path| fs::read_to_string(path.join("model")).expect("a model")));
        if self.broken == Some(milestone) {
            return Err(Error::NoFormula { problem: "p".into() });
        }
        run_rounds(
            &mut Counting::default(),
            dir,
            &RoundsConfig { init: init.map(Path::to_owned), ..config(self.rounds) },
            on_round,
        )
    }

    fn is_of_milestone(&self, error: &Error) -> bool {
        matches!(error, Error::NoFormula { .. })
    }

    fn labels(&self) -> &'static str {
        "teacher"
    }
}

fn curriculum(selection: Selection) -> (Milestones, MilestonesConfig) {
    let milestones = Milestones {
        experts: vec![("a", 5), ("b", 2), ("c", 4)],
        broken: None,
        unusable: None,
        expert_settings: "",
        rounds: 2,
        inits: Vec::new(),
    };
    let step_multiplier = StepMultiplier::Fixed(2.0);
    let config =
        MilestonesConfig { selection, step_multiplier, min_success_rate: 0.6, init: Init::Previous, first_init: None };
    (milestones, config)
}

#[test]
fn milestones_follow_each_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut milestones, config) = curriculum(Selection::default());
    let mut events = Vec::new();
    let results = run_milestones(&mut milestones, folder.path(), &config, &mut |event| {
        events.push(match event {
            Event::Begins { id, index, of } => format!("{id} {}/{of}", index + 1),
            Event::Expert { is_new: false, .. } => unreachable!("nothing was there"),
            Event::Expert { max_steps, is_new: true, .. } => format!("{max_steps:?}"),
            Event::Round { result, .. } => format!("round {}", result.round.index),
            Event::Ends { result } => result.status.name().to_owned(),
        });
    });
    let results = results.expect("results");
    assert_eq!(
        events,
        [
            "a 1/3",
            "Some(20)",
            "round 0",
            "round 1",
            "completed", //
            "b 2/3",
            "None",
            "failed", //
            "c 3/3",
            "Some(20)",
            "round 0",
            "round 1",
            "completed",
        ]
    );
    assert_eq!(milestones.inits, [None, Some("9".to_owned())], "c begins with what a has learned: b was not learned");
    let of = |id: &str| results.get(id).expect(id);
    assert_eq!((of("b").expert_success_rate, of("b").max_episode_steps), (Some(0.4), None));
    assert!(of("b").reason.as_ref().expect("a reason").contains("0.4"));
    assert_eq!((of("a").dagger_final_success_rate, of("a").best_round), (Some(0.9), Some(1)));
    assert_eq!(of("c").labels, "teacher");
    for (model, learned) in [("a/best", "9"), ("a/final", "9"), ("c/final", "18")] {
        let found = fs::read_to_string(folder.path().join("models").join(model).join("model")).expect(model);
        assert_eq!(found, learned, "{model}");
    }
    let csv = fs::read_to_string(folder.path().join("results.csv")).expect("a table");
    assert_eq!(csv.lines().count(), 4);
    assert!(csv.starts_with("milestone_id,index,timestamp,status,expert_success_rate,expert_mean_steps,"));
}

#[test]
fn earlier_results_stay() {
    let folder = tempfile::tempdir().expect("a folder");
    let status = |selection, broken| {
        let (mut milestones, config) = curriculum(selection);
        milestones.broken = broken;
        let results = run_milestones(&mut milestones, folder.path(), &config, &mut |_| ()).expect("results");
        results.milestones.iter().map(|r| (r.milestone_id.clone(), r.status)).collect::<Vec<_>>()
    };
    let rows = |rows: &[(&str, Status)]| rows.iter().map(|(id, s)| ((*id).to_owned(), *s)).collect::<Vec<_>>();
    let all = |a, b, c| rows(&[("a", a), ("b", b), ("c", c)]);
    let only = |id: &str| Selection { only: Some(id.into()), ..Selection::default() };
    use Status::{Completed, Failed, Skipped};
    // A first milestone that fails leaves a table.
    assert_eq!(status(only("a"), Some(0)), all(Failed, Skipped, Skipped));
    assert_eq!(fs::read_to_string(folder.path().join("results.csv")).expect("a table").lines().count(), 4);
    assert_eq!(status(only("a"), None), all(Completed, Skipped, Skipped));
    let from = Selection { resume_from: Some("b".into()), skip: vec!["b".into()], ..Selection::default() };
    assert_eq!(status(from, None), all(Completed, Skipped, Completed), "a keeps its status");
    let before = fs::read(folder.path().join("results.json")).expect("results");
    let rest = Selection { skip: vec!["a".into(), "b".into(), "c".into()], ..Selection::default() };
    assert_eq!(status(rest, None), all(Completed, Skipped, Completed));
    assert_eq!(fs::read(folder.path().join("results.json")).expect("results"), before);
    assert_eq!(status(Selection::default(), None), all(Completed, Failed, Completed), "the expert fails b");
}

#[test]
fn what_failed_is_tried_again_and_what_is_finished_stays() {
    use Status::{Completed, Failed};
    let folder = tempfile::tempdir().expect("a folder");
    let status = |change: &dyn Fn(&mut Milestones, &mut MilestonesConfig)| {
        let (mut milestones, mut config) = curriculum(Selection::default());
        change(&mut milestones, &mut config);
        let mut made = Vec::new();
        let results = run_milestones(&mut milestones, folder.path(), &config, &mut |event| {
            if let Event::Round { id, result } = event
                && result.seconds[Stage::Rollouts as usize] > 0.0
            {
                made.push(format!("{id} {}", result.round.index));
            }
        });
        let results = results.expect("results").milestones;
        let reason = results[1].reason.clone().unwrap_or_default();
        (results.iter().map(|result| result.status).collect::<Vec<_>>(), made, reason)
    };
    // A milestone that cannot run fails alone.
    let (found, made, reason) = status(&|milestones, _| milestones.unusable = Some(1));
    assert_eq!((found, reason.as_str()), (vec![Completed, Failed, Completed], "its file is missing"));
    assert_eq!(made, ["a 0", "a 1", "c 0", "c 1"]);
    let (found, made, reason) = status(&|_, _| ());
    assert_eq!((found, made.len()), (vec![Completed, Failed, Completed], 0));
    assert!(reason.contains("0.4") && reason.contains("lower --min-success-rate, and run the same"), "{reason}");
    // Another gate, also beside another multiplier: rounds that have begun keep their steps.
    let another_gate = |_: &mut Milestones, config: &mut MilestonesConfig| config.min_success_rate = 0.4;
    let (found, made, _) = status(&another_gate);
    assert_eq!((found, made), (vec![Completed; 3], vec!["b 0".to_owned(), "b 1".to_owned()]));
    let (found, made, _) = status(&|milestones, config| {
        config.step_multiplier = StepMultiplier::Fixed(3.0);
        config.min_success_rate = 1.0; // nor is what has passed held up
        milestones.rounds = 3;
    });
    assert_eq!((found, made), (vec![Completed; 3], ["a 2", "b 2", "c 2"].map(str::to_owned).to_vec()));
}

#[test]
fn a_better_expert_is_tried_where_the_old_one_failed() {
    let folder = tempfile::tempdir().expect("a folder");
    let rates = |expert_settings| {
        let (mut milestones, config) = curriculum(Selection::default());
        milestones.expert_settings = expert_settings;
        let results = run_milestones(&mut milestones, folder.path(), &config, &mut |_| ()).expect("results");
        results.milestones.iter().map(|result| result.expert_success_rate.expect("a rate")).collect::<Vec<_>>()
    };
    assert_eq!(rates("plain"), [1.0, 0.4, 0.8]);
    assert_eq!(rates("better"), [1.0, 1.0, 0.8], "the rounds of c had begun");
    let episodes = folder.path().join("expert_eval/b/episodes.json");
    let text = fs::read_to_string(&episodes).expect("episodes");
    fs::write(&episodes, text.replace("true", "false")).expect("written");
    let (mut milestones, config) = curriculum(Selection::default());
    let error = run_milestones(&mut milestones, folder.path(), &config, &mut |_| ()).expect_err("noticed").to_string();
    assert!(error.contains("episodes.json: the file was changed"), "{error}");
}

#[test]
fn a_changed_model_is_not_begun_with() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = |id: &str| {
        let (mut milestones, config) = curriculum(Selection { only: Some(id.into()), ..Selection::default() });
        run_milestones(&mut milestones, folder.path(), &config, &mut |_| ()).map_err(|error| error.to_string())
    };
    run("a").expect("the first one");
    let model = folder.path().join("models/a/final/model");
    fs::write(&model, "8").expect("written");
    let error = run("c").expect_err("noticed");
    assert!(error.contains("final/model: the file was changed") && error.contains("run milestone a again"), "{error}");
    run("a").expect("as the message says");
    run("c").expect("the model is what it was");
}
