//! The extra output of a run, for people and other programs: recordings, plots, metrics.

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::{Map, json};
use sr_dagger::{Event, MilestoneResult, RoundResult, RoundRow, Stage, Status};
use sr_report::{Axis, Line, Plot};
use sr_train::{Tracker, Tracking, TrackingKind};

use super::folder::CONFIG;
use super::{Run, Track};
use crate::files::write_atomically;

/// Writes pages of the first episodes in a stage's folder. The closure gives each page's path from the episode's
/// number, its success and its steps.
pub(crate) type Record = fn(&Path, u32, &dyn Fn(usize, bool, u32) -> PathBuf) -> anyhow::Result<()>;

/// The writer of a run's extra output, which follows its events.
pub(crate) struct Extras<'a> {
    run: &'a Run,
    record: Record,
    /// Seconds that this process spent on episodes, labels, training and evaluation.
    pub(crate) worked: f64,
    tracker: Option<Tracker>,
    /// The first error; after it nothing more is written.
    pub(crate) error: Option<anyhow::Error>,
}

impl<'a> Extras<'a> {
    pub(crate) fn new(run: &'a Run, record: Record) -> Self {
        Extras { run, record, worked: 0.0, tracker: None, error: None }
    }

    /// Handles an event.
    pub(crate) fn see(&mut self, event: &Event<'_>) {
        if self.error.is_none() {
            self.error = self.try_see(event).err();
        }
    }

    fn try_see(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
        let out = &self.run.out;
        match event {
            Event::Begins { id, .. } => {
                self.tracker = self.run.track.as_ref().map(|track| open_tracker(out, track, id)).transpose()?;
            }
            Event::Expert { id, is_new, seconds, .. } => {
                self.worked += seconds;
                let folder = out.join("recordings").join(id);
                if *is_new {
                    remove_pages(&folder, "expert_")?;
                }
                self.record(&out.join("expert_eval").join(id), &|episode, success, steps| {
                    let end = if success { "success" } else { "failure" };
                    folder.join(format!("expert_ep{}_{end}_steps{steps}.html", episode + 1))
                })?;
            }
            Event::Round { id, result } => self.round(id, result)?,
            Event::Ends { result } => {
                self.tracker = None;
                if result.status == Status::Completed {
                    plot(out, result)?;
                }
            }
        }
        Ok(())
    }

    fn round(&mut self, id: &str, result: &RoundResult) -> anyhow::Result<()> {
        let worked = [Stage::Rollouts, Stage::Labels, Stage::Checkpoint, Stage::Evaluation];
        self.worked += worked.iter().map(|&stage| result.seconds[stage as usize]).sum::<f64>();
        let folder = self.run.out.join("recordings").join(id);
        let index = result.round.index;
        self.record(&result.round.stage(Stage::Rollouts), &|episode, _, _| {
            folder.join(format!("iter{index}_ep{episode}.html"))
        })?;
        self.record(&result.round.stage(Stage::Evaluation), &|episode, success, steps| {
            let end = if success { "success" } else { "failure" };
            folder.join(format!("iter{index}_eval_ep{}_{end}_steps{steps}.html", episode + 1))
        })?;
        if let Some(tracker) = &mut self.tracker {
            let mut values = Map::new();
            values.insert("step".to_owned(), json!(index + 1));
            values.insert("dagger/beta".to_owned(), json!(result.round.beta));
            values.insert("dagger/buffered".to_owned(), json!(result.buffered));
            values.insert("dagger/success_rate".to_owned(), json!(result.evaluation.success_rate()));
            for metric in &result.evaluation.metrics {
                values.insert(format!("evaluation/{}", metric.name), json!(metric.value));
            }
            tracker.log(&values.into())?;
        }
        Ok(())
    }

    fn record(&self, folder: &Path, name: &dyn Fn(usize, bool, u32) -> PathBuf) -> anyhow::Result<()> {
        match self.run.record_episodes {
            None => Ok(()),
            Some(n) => (self.record)(folder, n, name).with_context(|| format!("recording {}", folder.display())),
        }
    }
}

/// Opens the tracker of a milestone at its beginning; rounds of an earlier run are logged again.
fn open_tracker(out: &Path, track: &Track, id: &str) -> anyhow::Result<Tracker> {
    let folder = out.join("tracking").join(id);
    std::fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    let Track { project, entity } = track.clone();
    let kind = if project.is_some() { TrackingKind::Wandb } else { TrackingKind::Tensorboard };
    if kind == TrackingKind::Wandb {
        std::fs::copy(out.join(CONFIG), folder.join(CONFIG))?;
    }
    Ok(Tracker::open(&folder, &Tracking { kind, project, entity, run_name: Some(id.to_owned()) }, 0)?)
}

/// Removes the pages of an earlier recording.
fn remove_pages(folder: &Path, prefix: &str) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            std::fs::remove_file(entry.path()).with_context(|| format!("removing {}", entry.path().display()))?;
        }
    }
    Ok(())
}

/// Plots success by round with its 95 % interval, and the expert's success, to `plots/ID.svg`.
fn plot(out: &Path, result: &MilestoneResult) -> anyhow::Result<()> {
    let rounds = || result.rounds.iter().map(|row| f64::from(row.round));
    let of = |value: &dyn Fn(&RoundRow) -> Option<f64>| -> Vec<(f64, f64)> {
        rounds().zip(&result.rounds).filter_map(|(round, row)| Some((round, 100.0 * value(row)?))).collect()
    };
    let line = |name: &str, points| Line { name: name.to_owned(), points, is_step: false };
    let expert = result.expert_success_rate.unwrap_or(0.0);
    let plot = Plot {
        title: format!("{}: success by round", result.milestone_id),
        x: Axis { label: "round of DAgger".to_owned(), is_log: false, span: None },
        y: Axis { label: "% of episodes".to_owned(), is_log: false, span: Some((0.0, 100.0)) },
        lines: vec![
            line("learner", of(&|row| Some(row.success_rate))),
            line("its interval, from", of(&|row| row.metrics.first()?.lo)),
            line("its interval, to", of(&|row| row.metrics.first()?.hi)),
            line("expert", rounds().map(|round| (round, 100.0 * expert)).collect()),
        ],
    };
    let folder = out.join("plots");
    std::fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    write_atomically(&folder.join(format!("{}.svg", result.milestone_id)), plot.svg().as_bytes())
}
