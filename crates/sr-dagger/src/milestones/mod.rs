//! A curriculum: milestones of growing difficulty, each with a gate that the expert has to pass, and rounds of DAgger.
//!
//! This module has what all tasks share: the selection of milestones, the limit on an episode's steps, and the tables
//! of results. Spec P1–P3 of the original has the rules.

mod gate;
mod results;
mod selection;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

pub use gate::{Episode, ExpertStats, StepMultiplier};
pub use results::{MilestoneResult, Results, RoundRow, Status};
pub use selection::Selection;

use crate::rounds::{
    FileEntry, MANIFEST, compare, digest, files_of, has_first_model, make_folder, read_json, write_atomically,
};
use crate::{Error, RoundResult, Rounds, Stage};

/// A list of milestones of one task, in order of difficulty.
pub trait Curriculum {
    /// The error type of the task.
    type Error: From<Error> + fmt::Display;

    /// Returns the ids of the milestones, in order; no two are equal.
    fn ids(&self) -> Vec<String>;

    /// Returns the reason why a milestone cannot run, if that is known in advance. The milestone then fails with this
    /// reason.
    fn unusable(&self, _milestone: usize) -> Option<String> {
        None
    }

    /// Returns a text of the settings of the expert's episodes that may change between runs in one folder. If it has
    /// changed, the expert is tried again, unless the milestone's rounds have begun.
    fn expert_settings(&self) -> String {
        String::new()
    }

    /// Returns a text that identifies training episodes from outside, such as the hash of a file. It may not change
    /// once the rounds have begun.
    fn inputs(&self, _milestone: usize) -> String {
        String::new()
    }

    /// Returns advice for an expert that succeeds too seldom, as the end of a sentence.
    fn remedy(&self) -> &'static str {
        "lower --min-success-rate"
    }

    /// Runs the expert on the episodes that the learner will be evaluated on, and writes them to `out`. The folder may
    /// contain the files of an interrupted attempt.
    ///
    /// # Errors
    /// Any error of the task.
    fn expert(&mut self, milestone: usize, out: &Path) -> Result<Vec<Episode>, Self::Error>;

    /// Runs the rounds of a milestone in `dir` with [`run_rounds`](crate::run_rounds). Episodes have at most
    /// `max_steps` steps, and the first round begins with the model `init`, if given.
    ///
    /// # Errors
    /// Any error of the task.
    fn rounds(
        &mut self,
        milestone: usize,
        max_steps: u32,
        init: Option<&Path>,
        dir: &Path,
        on_round: &mut dyn FnMut(&RoundResult),
    ) -> Result<Rounds, Self::Error>;

    /// Returns whether an error concerns this milestone only, such as a loss that is not finite, so that the next one
    /// can run.
    fn is_of_milestone(&self, error: &Self::Error) -> bool;

    /// Returns the kind of the labels: `teacher`, or `privileged`.
    fn labels(&self) -> &'static str;
}

/// The model that a milestone begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Init {
    /// A new model.
    #[default]
    Fresh,
    /// The final model of the last completed milestone before this one; a new model if there is none.
    Previous,
}

/// The settings of a curriculum.
#[derive(Debug, Clone)]
pub struct MilestonesConfig {
    /// The milestones to run.
    pub selection: Selection,
    /// The limit on the learner's steps, relative to the expert's.
    pub step_multiplier: StepMultiplier,
    /// The success rate that the expert must reach; below it the milestone fails.
    pub min_success_rate: f64,
    /// The model that each milestone begins with.
    pub init: Init,
    /// The model that the first milestone begins with instead of a new one.
    pub first_init: Option<PathBuf>,
}

/// An event of a curriculum, to show to people.
#[derive(Debug)]
pub enum Event<'a> {
    /// A milestone begins.
    Begins {
        /// The milestone's id.
        id: &'a str,
        /// The milestone's index, from 0.
        index: usize,
        /// The number of milestones.
        of: usize,
    },
    /// The expert has been evaluated.
    Expert {
        /// The milestone's id.
        id: &'a str,
        /// The expert's results.
        stats: &'a ExpertStats,
        /// The most steps of the learner's episodes; `None` if the milestone fails here.
        max_steps: Option<u32>,
        /// Whether the expert ran in this process; otherwise an earlier run's episodes are used.
        is_new: bool,
        /// The seconds that the expert took in this process.
        seconds: f64,
    },
    /// A round is finished, now or in an earlier run.
    Round {
        /// The milestone's id.
        id: &'a str,
        /// The result of the round.
        result: &'a RoundResult,
    },
    /// A milestone has ended, and the results are written.
    Ends {
        /// The result of the milestone.
        result: &'a MilestoneResult,
    },
}

/// Runs the selected milestones in `out`, or continues them:
///
/// ```text
/// OUT/
///   results.csv  results.json   after every milestone
///   expert_eval/ID/             the expert's episodes, episodes.json, and manifest.json with their hashes
///   rollouts/ID/                the rounds, see run_rounds, and begun.json: the steps and the model that they begin with
///   models/ID/best  final       models of the best and of the last round, and manifest.json with their hashes
/// ```
///
/// A milestone that failed is tried again. So a call with another gate, or other
/// [`expert_settings`](Curriculum::expert_settings), repeats failed milestones and keeps finished ones. Rounds that
/// have begun keep their limit on steps, whatever the gate and the multiplier are now.
///
/// # Errors
/// An error of the task that does not concern only one milestone, an unknown id in the selection, files that cannot be
/// read or written, or files that have changed since an earlier run.
pub fn run_milestones<C: Curriculum>(
    curriculum: &mut C,
    out: &Path,
    config: &MilestonesConfig,
    on_event: &mut dyn FnMut(Event<'_>),
) -> Result<Results, C::Error> {
    let ids = curriculum.ids();
    let reasons = config.selection.reasons(&ids)?;
    let mut results = Results::read(out)?;
    for (index, (id, reason)) in ids.iter().zip(reasons).enumerate() {
        let result = match reason {
            Some(reason) => MilestoneResult::new(id, index, Status::Skipped, Some(reason.to_owned())),
            None => {
                on_event(Event::Begins { id, index, of: ids.len() });
                match curriculum.unusable(index) {
                    Some(reason) => MilestoneResult::new(id, index, Status::Failed, Some(reason)),
                    None => {
                        let init = match config.init {
                            Init::Previous => previous(out, &ids[..index], &results)?,
                            Init::Fresh => None,
                        };
                        let init = init.or_else(|| config.first_init.clone());
                        run_milestone(curriculum, out, config, (id, index), init.as_deref(), on_event)?
                    }
                }
            }
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        results.put(result, now);
        results.write(out)?;
        if reason.is_none() {
            on_event(Event::Ends { result: results.get(id).expect("it was put there") });
        }
    }
    Ok(results)
}

/// Returns the final model of the last completed milestone among `ids`.
fn previous(out: &Path, ids: &[String], results: &Results) -> Result<Option<PathBuf>, Error> {
    let is_completed = |id: &&String| results.get(id).is_some_and(|result| result.status == Status::Completed);
    let Some(id) = ids.iter().rev().find(is_completed) else { return Ok(None) };
    let folder = out.join("models").join(id);
    if let Some(FolderManifest { files, .. }) = read_json(&folder.join(MANIFEST))? {
        let files: Vec<FileEntry> = files.into_iter().filter(|file| file.path.starts_with("final/")).collect();
        compare(&folder, &files, &format!("run milestone {id} again, which copies its models"))?;
    }
    Ok(Some(folder.join("final")))
}

/// The manifest of a folder's files, in the folder itself.
#[derive(Debug, Serialize, Deserialize)]
struct FolderManifest {
    /// The settings that the files depend on, beside those of the run.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    settings: String,
    files: Vec<FileEntry>,
}

impl FolderManifest {
    fn write(folder: &Path, settings: String) -> Result<(), Error> {
        let mut files = files_of(folder)?;
        files.retain(|file| file.path != MANIFEST);
        let text = serde_json::to_string_pretty(&FolderManifest { settings, files }).expect("plain data") + "\n";
        write_atomically(&folder.join(MANIFEST), text.as_bytes())
    }
}

/// The conditions under which the rounds of a milestone began.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Begun {
    max_episode_steps: u32,
    /// A digest of the initial model's files, if there is one.
    init: Option<String>,
    /// The identification of the training episodes, see [`Curriculum::inputs`].
    inputs: String,
}

const BEGUN: &str = "begun.json";

impl Begun {
    fn write(&self, dir: &Path) -> Result<(), Error> {
        fs::create_dir_all(dir).map_err(Error::io(dir))?;
        let text = serde_json::to_string_pretty(self).expect("plain data") + "\n";
        write_atomically(&dir.join(BEGUN), text.as_bytes())
    }
}

fn run_milestone<C: Curriculum>(
    curriculum: &mut C,
    out: &Path,
    config: &MilestonesConfig,
    (id, index): (&str, usize),
    init: Option<&Path>,
    on_event: &mut dyn FnMut(Event<'_>),
) -> Result<MilestoneResult, C::Error> {
    let failed = |reason: String| MilestoneResult::new(id, index, Status::Failed, Some(reason));
    let started = Instant::now();
    let folder = out.join("expert_eval").join(id);
    let dir = out.join("rollouts").join(id);
    let begun: Option<Begun> = read_json(&dir.join(BEGUN))?;
    let settings = curriculum.expert_settings();
    let manifest: Option<FolderManifest> = read_json(&folder.join(MANIFEST))?;
    match &manifest {
        Some(tried) if begun.is_none() && tried.settings != settings => {
            tracing::info!("{id}: the expert is tried again with {settings}");
            fs::remove_dir_all(&folder).map_err(Error::io(&folder))?;
        }
        Some(tried) => {
            let way_out = format!("restore it, or delete {}, and the same command makes it again", folder.display());
            compare(&folder, &tried.files, &way_out)?;
        }
        None => {}
    }
    let is_new = !folder.exists();
    let tried = make_folder(&folder, |partial| {
        let episodes = curriculum.expert(index, partial)?;
        let text = serde_json::to_string_pretty(&episodes).expect("plain data") + "\n";
        fs::write(partial.join(EPISODES), text).map_err(Error::io(&folder))?;
        Ok(FolderManifest::write(partial, settings)?)
    });
    if let Err(error) = tried {
        return if curriculum.is_of_milestone(&error) { Ok(failed(error.to_string())) } else { Err(error) };
    }
    let path = folder.join(EPISODES);
    let text = fs::read_to_string(&path).map_err(Error::io(&path))?;
    let episodes: Vec<Episode> =
        serde_json::from_str(&text).map_err(|error| Error::Damaged { path, reason: error.to_string() })?;
    let stats = ExpertStats::of(&episodes);
    let is_good = stats.success_rate >= config.min_success_rate;
    let max_steps = match &begun {
        Some(begun) => Some(begun.max_episode_steps),
        None => stats.max_steps(config.step_multiplier).filter(|_| is_good),
    };
    on_event(Event::Expert { id, stats: &stats, max_steps, is_new, seconds: started.elapsed().as_secs_f64() });
    let labels = curriculum.labels();
    let known = |result| MilestoneResult {
        expert_success_rate: Some(stats.success_rate),
        expert_mean_steps: stats.mean_steps,
        expert_std_steps: stats.std_steps,
        max_episode_steps: max_steps,
        labels: labels.to_owned(),
        ..result
    };
    let Some(steps) = max_steps else {
        let (rate, least, remedy) = (stats.success_rate, config.min_success_rate, curriculum.remedy());
        let why = match stats.mean_steps {
            Some(_) => format!("the expert succeeds in {rate} of its episodes, less than {least}"),
            None => "the expert succeeds in none of its episodes".to_owned(),
        };
        return Ok(known(failed(format!("{why}: {remedy}, and run the same command again in this folder"))));
    };
    let now = Begun { max_episode_steps: steps, init: init.map(digest).transpose()?, inputs: curriculum.inputs(index) };
    match &begun {
        None => now.write(&dir)?,
        Some(begun) if begun.inputs != now.inputs => {
            let why =
                "its problems are not those that its rounds began with: restore their file, or take another folder";
            return Ok(known(failed(why.to_owned())));
        }
        Some(begun) if begun.init != now.init && !has_first_model(&dir)? => {
            tracing::warn!("{id}: the model that its rounds begin with has changed, so they are begun anew");
            fs::remove_dir_all(&dir).map_err(Error::io(&dir))?;
            now.write(&dir)?;
        }
        Some(_) => {}
    }
    let mut on_round = |result: &RoundResult| on_event(Event::Round { id, result });
    let rounds = match curriculum.rounds(index, steps, init, &dir, &mut on_round) {
        Err(error) if curriculum.is_of_milestone(&error) => return Ok(known(failed(error.to_string()))),
        rounds => rounds?,
    };
    let (best, last) = (rounds.best(), rounds.last());
    for (name, of) in [("best", best), ("final", last)] {
        copy_folder(&of.round.stage(Stage::Checkpoint), &out.join("models").join(id).join(name))?;
    }
    FolderManifest::write(&out.join("models").join(id), String::new())?;
    let row = |result: &RoundResult| RoundRow {
        round: result.round.index,
        beta: result.round.beta,
        buffered: result.buffered,
        success_rate: result.evaluation.success_rate(),
        metrics: result.evaluation.metrics.clone(),
    };
    Ok(known(MilestoneResult {
        dagger_final_success_rate: Some(last.evaluation.success_rate()),
        dagger_best_success_rate: Some(best.evaluation.success_rate()),
        best_round: Some(best.round.index),
        rounds: rounds.rounds.iter().map(row).collect(),
        ..MilestoneResult::new(id, index, Status::Completed, None)
    }))
}

const EPISODES: &str = "episodes.json";

/// Copies the files of a folder, and replaces the target if it exists.
fn copy_folder(from: &Path, to: &Path) -> Result<(), Error> {
    let aside = to.with_added_extension("partial");
    for stale in [&aside, &to.to_owned()] {
        if stale.exists() {
            fs::remove_dir_all(stale).map_err(Error::io(stale))?;
        }
    }
    make_folder(to, |partial| copy_into(from, partial))
}

fn copy_into(from: &Path, to: &Path) -> Result<(), Error> {
    for entry in fs::read_dir(from).map_err(Error::io(from))? {
        let path = entry.map_err(Error::io(from))?.path();
        let target = to.join(path.file_name().expect("an entry has a name"));
        if path.is_dir() {
            fs::create_dir_all(&target).map_err(Error::io(&target))?;
            copy_into(&path, &target)?;
        } else {
            fs::copy(&path, &target).map_err(Error::io(&target))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::results::iso;
    use super::*;

    fn episode(success: bool, steps: u32) -> Episode {
        Episode { success, steps }
    }

    #[test]
    fn steps_follow_from_the_successes() {
        let stats = ExpertStats::of(&[episode(true, 10), episode(true, 15), episode(false, 99)]);
        assert_eq!((stats.episodes, stats.success_rate, stats.mean_steps), (3, 2.0 / 3.0, Some(12.5)));
        assert!((stats.std_steps.expect("two") - 12.5_f64.sqrt()).abs() < 1e-12);
        assert_eq!(stats.max_steps(StepMultiplier::Fixed(1.1)), Some(13), "13.75 rounded down");
        assert_eq!(stats.max_steps(StepMultiplier::Auto), Some(37), "3 at two thirds");
        let one = ExpertStats::of(&[episode(true, 0)]);
        assert_eq!((one.std_steps, one.max_steps(StepMultiplier::Auto)), (Some(0.0), Some(1)));
        let none = ExpertStats::of(&[episode(false, 7)]);
        assert_eq!((none.success_rate, none.mean_steps, none.max_steps(StepMultiplier::Auto)), (0.0, None, None));
    }

    #[test]
    fn the_multiplier_goes_by_success() {
        let factors = [1.0, 0.96, 0.95, 0.9, 0.8, 0.6, 0.59].map(|rate| StepMultiplier::Auto.factor(rate));
        assert_eq!(factors, [1.5, 1.5, 2.0, 2.0, 3.0, 3.0, 2.0]);
        assert_eq!("2.5".parse(), Ok(StepMultiplier::Fixed(2.5)));
        assert_eq!("auto".parse::<StepMultiplier>().map(|m| m.to_string()), Ok("auto".to_owned()));
        for wrong in ["", "0", "-1", "NaN", "inf", "twice"] {
            assert!(wrong.parse::<StepMultiplier>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn selections_say_what_is_run() {
        let ids = ["a", "b", "c"].map(str::to_owned);
        let run = |only: &str, from: &str, skip: &[&str]| {
            let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
            let skip = skip.iter().map(|id| (*id).to_owned()).collect();
            let reasons = Selection { only: some(only), resume_from: some(from), skip }.reasons(&ids);
            reasons.map(|reasons| reasons.iter().map(Option::is_none).collect::<Vec<_>>())
        };
        assert_eq!(run("", "", &[]).expect("known"), [true, true, true]);
        assert_eq!(run("", "b", &[]).expect("known"), [false, true, true]);
        assert_eq!(run("", "", &["a", "c"]).expect("known"), [false, true, false]);
        assert_eq!(run("", "b", &["c"]).expect("known"), [false, true, false]);
        assert_eq!(run("c", "b", &["c", "x"]).expect("the others are ignored"), [false, false, true]);
        for unknown in [run("x", "", &[]), run("", "x", &[]), run("", "", &["x"])] {
            let message = unknown.expect_err("x is none").to_string();
            assert!(message.contains('x') && message.contains("a, b, c"), "{message}");
        }
    }

    #[test]
    fn timestamps_are_dates() {
        let dates = [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (1_709_251_200, "2024-03-01T00:00:00Z"),
            (1_764_432_000, "2025-11-29T16:00:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ];
        for (timestamp, date) in dates {
            assert_eq!(iso(timestamp), date);
        }
    }

    #[test]
    fn results_keep_what_is_known() {
        let mut results = Results::default();
        let completed = MilestoneResult {
            expert_success_rate: Some(0.8),
            max_episode_steps: Some(20),
            ..MilestoneResult::new("b, the second", 1, Status::Completed, None)
        };
        results.put(completed.clone(), 7);
        results.put(MilestoneResult::new("a", 0, Status::Skipped, Some("why".into())), 8);
        results.put(MilestoneResult::new("b, the second", 1, Status::Skipped, None), 9);
        results.put(completed.clone(), 10);
        assert_eq!(results.milestones.iter().map(|r| (r.index, r.timestamp)).collect::<Vec<_>>(), [(0, 8), (1, 7)]);
        let lines: Vec<String> = results.csv().lines().map(str::to_owned).collect();
        assert_eq!(lines[1..], ["a,0,8,skipped,,,,", "\"b, the second\",1,7,completed,0.8,,20,"]);
        results.put(MilestoneResult { expert_success_rate: Some(0.9), ..completed }, 11);
        assert_eq!(results.milestones[1].timestamp, 11);
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(Results::read(folder.path()).expect("none is fine"), Results::default());
        results.write(folder.path()).expect("written");
        assert_eq!(Results::read(folder.path()).expect("read"), results);
    }
}
