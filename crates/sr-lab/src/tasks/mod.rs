//! DAgger on a task: milestone after milestone, in a folder that can be resumed after a kill.
//!
//! A [`Task`] defines what the model learns: to search for formulas as genetic programming does ([`formula`]), or to
//! steer points as a controller does that sees what its student does not ([`point`]). [`run`] runs the rounds.
//!
//! ```
//! use std::sync::atomic::AtomicBool;
//!
//! use sr_dagger::{Amount, Status};
//! use sr_lab::Ended;
//! use sr_lab::tasks::{self, RoundsOptions, Run, formula};
//! use sr_train::TrainConfig;
//!
//! fn main() -> anyhow::Result<()> {
//!     // Fresh small problems to learn from, and a suite to be judged on.
//!     let eval_suite = Some("ultra-simple".to_owned());
//!     let easy = formula::Milestone { complexity: 0.3, points: 20, eval_suite, ..formula::Milestone::new("easy") };
//!     let train = TrainConfig::from_toml(
//!         "mode = 'one-step'
//!          [model]
//!          preset = 'micro'
//!          n_positions = 1024
//!          n_layers = 1
//!          n_heads = 2
//!          [training]
//!          warmup_steps = 1
//!          eval_batches = 1",
//!     )?;
//!     let options = formula::FormulaOptions {
//!         rounds: RoundsOptions {
//!             dagger_iterations: 2,
//!             episodes_per_iter: 3,
//!             eval_episodes: 3,
//!             amount: Amount::Steps { steps: 4, batch: 2 },
//!             hidden_dim: 16,
//!             min_success_rate: 0.0,
//!             ..RoundsOptions::default()
//!         },
//!         search: sr_engine::SearchConfig { generations: 6, ..sr_engine::SearchConfig::basic() },
//!         sampling: sr_neural::Sampling { max_child_size: 11, ..sr_neural::Sampling::default() },
//!         ..formula::FormulaOptions::new(vec![easy], train)
//!     };
//!     let stop = AtomicBool::new(false);
//!     let mut task = formula::Formula::new(options, &stop)?;
//!
//!     let folder = tempfile::tempdir()?;
//!     let run = Run::new(folder.path().join("run"));
//!     let ran = tasks::run(&mut task, &run, &mut |_| ())?;
//!     assert_eq!(ran.ended, Ended::Finished);
//!     let milestone = &ran.results.milestones[0];
//!     assert_eq!((milestone.status, milestone.rounds.len()), (Status::Completed, 2));
//!     // The expert acts in the first round, the learner in the second.
//!     assert_eq!((milestone.rounds[0].beta, milestone.rounds[1].beta), (1.0, 0.0));
//!     assert!(run.out.join("models/easy/best/model.bpk").exists());
//!     Ok(())
//! }
//! ```

mod extras;
mod folder;
pub mod formula;
mod metrics;
mod milestones;
pub mod point;
mod rounds;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::bail;
use serde_json::{Value, json};
use sr_dagger::{Curriculum, Event, Init, MilestonesConfig, Results, Selection, Status, run_milestones};

use crate::Ended;
use extras::Extras;
use folder::RunFolder;
pub use milestones::nearest;
pub(crate) use milestones::{Named, check_names};
pub use rounds::{MOST_DRAWN, RoundsOptions};

/// The reason why a milestone cannot run; others may still run.
#[derive(Debug, Clone)]
pub(crate) struct Unusable(pub(crate) String);

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unusable {}

/// The error of work that was stopped; finished work is kept.
#[derive(Debug, Clone, Copy)]
pub struct Stopped;

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("stopped")
    }
}

impl std::error::Error for Stopped {}

/// A task that DAgger teaches a model.
pub trait Task: Curriculum<Error = anyhow::Error> {
    /// The task's name in `config.json` and flags.
    const NAME: &'static str;

    /// Returns the settings of the rounds.
    fn options(&self) -> &RoundsOptions;

    /// Returns the other settings that determine the bytes of the results, as an object for `config.json`.
    ///
    /// # Errors
    /// If a setting cannot be written there.
    fn settings(&self) -> anyhow::Result<Value>;

    /// Returns a description of each milestone for people.
    fn about(&self) -> Vec<String>;

    /// Writes pages of the first `n` episodes in a stage's folder. `name` returns the file of an episode from its
    /// number, success and steps; an existing page stays.
    ///
    /// # Errors
    /// If the episodes cannot be read or a page cannot be written.
    fn record(folder: &Path, n: u32, name: &dyn Fn(usize, bool, u32) -> PathBuf) -> anyhow::Result<()>;
}

/// The folder and the scope of a run.
#[derive(Debug, Clone)]
pub struct Run {
    /// Folder of the run. If it has a run of the same settings, that run is continued, with the same bytes as an
    /// undisturbed one.
    pub out: PathBuf,
    /// The milestones to run.
    pub selection: Selection,
    /// The number of episodes of each round, and of the expert, that get a page; `None` for no pages.
    pub record_episodes: Option<u32>,
    /// The metrics for other programs; `None` for none.
    pub track: Option<Track>,
}

impl Run {
    /// Returns a run of all milestones, without pages and metrics for other programs.
    pub fn new(out: impl Into<PathBuf>) -> Self {
        let selection = Selection { only: None, resume_from: None, skip: Vec::new() };
        Run { out: out.into(), selection, record_episodes: None, track: None }
    }
}

/// Metrics of every round for other programs: lines of JSON, and a file for TensorBoard.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Track {
    /// A project on Weights & Biases. If it is set, a script that uploads the metrics replaces the file for
    /// TensorBoard.
    pub project: Option<String>,
    /// A user or team there.
    pub entity: Option<String>,
}

/// A message of a running task.
#[derive(Debug)]
pub enum Notice<'a> {
    /// A setting of the folder has changed; the text describes the change.
    Changed(&'a str),
    /// An event of the rounds.
    Event(&'a Event<'a>),
}

/// The result of a run.
#[derive(Debug)]
pub struct Ran {
    /// Whether it was stopped before all selected milestones had ended; [`Ended::Stopped`] counts milestones.
    pub ended: Ended,
    /// The results of the milestones, including those of earlier runs.
    pub results: Results,
    /// The time that episodes, labels, training and evaluation took in this process.
    pub worked: Duration,
}

/// Runs or continues the selected milestones; see [`run_milestones`] for the files.
///
/// # Errors
/// If the folder has other settings or foreign files, another run works in it, or the first round needs a model and
/// there is none; errors of the task, except that an error of one milestone lets only that milestone fail. If nothing
/// was done, the new folder is removed.
pub fn run<T: Task>(task: &mut T, run: &Run, told: &mut dyn FnMut(Notice<'_>)) -> anyhow::Result<Ran> {
    let ids = task.ids();
    run.selection.reasons(&ids)?;
    let options = task.options().clone();
    let folder = RunFolder::open(&run.out)?;
    let first = options.beta.at(0);
    if first < 1.0 && !begins_with_model(&options, run, &ids)? {
        bail!(
            "--beta {}: the first round has β {first}, and there is no model to act in it; give one with --checkpoint, or a \
             schedule that begins with 1, such as two-phase:1",
            options.beta
        );
    }
    for change in folder.keep_settings(&settings(task)?)? {
        told(Notice::Changed(&change));
    }
    let config = MilestonesConfig {
        selection: run.selection.clone(),
        step_multiplier: options.step_multiplier,
        min_success_rate: options.min_success_rate,
        init: options.init,
        first_init: options.checkpoint.clone(),
    };
    let mut extras = Extras::new(run, T::record);
    let results = run_milestones(task, &run.out, &config, &mut |event| {
        told(Notice::Event(&event));
        extras.see(&event);
    });
    let worked = Duration::from_secs_f64(extras.worked);
    match results {
        Err(error) if error.chain().any(|cause| cause.is::<Stopped>()) => {
            let results = Results::read(&run.out)?;
            let is_done = |id: &&String| results.get(id).is_some_and(|result| result.status == Status::Completed);
            let done = ids.iter().filter(is_done).count() as u64;
            Ok(Ran { ended: Ended::Stopped { done }, results, worked })
        }
        Err(error) => {
            folder.leave_nothing();
            Err(error)
        }
        Ok(results) => match extras.error {
            Some(error) => Err(error),
            None => Ok(Ran { ended: Ended::Finished, results, worked }),
        },
    }
}

/// Returns whether the first milestone to run begins with a model.
fn begins_with_model(options: &RoundsOptions, run: &Run, ids: &[String]) -> anyhow::Result<bool> {
    if options.checkpoint.is_some() {
        return Ok(true);
    }
    let reasons = run.selection.reasons(ids)?;
    let first = reasons.iter().position(Option::is_none).unwrap_or(0);
    let results = Results::read(&run.out)?;
    let is_completed = |id: &String| results.get(id).is_some_and(|result| result.status == Status::Completed);
    Ok(options.init == Init::Previous && ids[..first].iter().any(is_completed))
}

/// Returns all settings that determine the bytes of the results.
fn settings<T: Task>(task: &T) -> anyhow::Result<Value> {
    let options = task.options();
    let mut settings = json!({ "task": T::NAME, "seed": options.seed, "dagger": options.settings()? });
    let Value::Object(more) = task.settings()? else { unreachable!("settings of a task are an object") };
    for (key, value) in more {
        match (&mut settings[&key], value) {
            // A task may add to the settings of the rounds.
            (Value::Object(of_rounds), Value::Object(more)) => of_rounds.extend(more),
            (place, value) => *place = value,
        }
    }
    Ok(settings)
}
