//! What a person sees of a run: lines while it goes on, recordings, plots, logs for other programs, a table at the end.

use std::path::{Path, PathBuf};

use anyhow::Context;
use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Map, json};
use sr_dagger::{Event, MilestoneResult, Results, RoundResult, RoundRow, Stage, Status};
use sr_report::{Axis, Line, Plot};
use sr_train::{Tracker, Tracking, TrackingKind};

use crate::args::Args;

/// Makes pages of the first episodes in a stage's folder; says of each its number, success and steps to learn its path.
pub(crate) type Record = fn(&Path, u32, &dyn Fn(usize, bool, u32) -> PathBuf) -> anyhow::Result<()>;

/// Follows a run.
pub(crate) struct Watcher<'a> {
    args: &'a Args,
    /// What each milestone is.
    about: Vec<String>,
    record: Record,
    /// Seconds of this process in searches, labels, training and evaluation.
    pub(crate) worked: f64,
    tracker: Option<Tracker>,
    /// What could not be shown; nothing is from there on.
    pub(crate) error: Option<anyhow::Error>,
}

impl<'a> Watcher<'a> {
    pub(crate) fn new(args: &'a Args, about: Vec<String>, record: Record) -> Self {
        Watcher { args, about, record, worked: 0.0, tracker: None, error: None }
    }

    /// Takes note of what happened.
    pub(crate) fn see(&mut self, event: &Event<'_>) {
        if self.error.is_none() {
            self.error = self.try_see(event).err();
        }
    }

    fn try_see(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
        match event {
            Event::Begins { id, index, of } => {
                let about = &self.about[*index];
                self.say(&format!(
                    "== milestone {}/{of} {id}{}{about}",
                    index + 1,
                    if about.is_empty() { "" } else { ": " }
                ));
                self.tracker = self.args.track.then(|| self.open_tracker(id)).transpose()?;
            }
            Event::Expert { id, stats, max_steps, is_new, seconds } => {
                self.worked += seconds;
                let number = |x: Option<f64>| x.map_or("–".to_owned(), |x| format!("{x:.1}"));
                let allowed = max_steps.map_or(String::new(), |steps| format!("; the learner may take {steps}"));
                self.say(&format!(
                    "   expert: {:.0} % of {} episodes, {} ± {} steps{allowed}",
                    100.0 * stats.success_rate,
                    stats.episodes,
                    number(stats.mean_steps),
                    number(stats.std_steps),
                ));
                let folder = self.args.out.join("recordings").join(id);
                if *is_new {
                    remove_pages(&folder, "expert_")?;
                }
                self.record(&self.args.out.join("expert_eval").join(id), &|episode, success, steps| {
                    let end = if success { "success" } else { "failure" };
                    folder.join(format!("expert_ep{}_{end}_steps{steps}.html", episode + 1))
                })?;
                self.say(&format!("   {HEADER}"));
            }
            Event::Round { id, result } => self.round(id, result)?,
            Event::Ends { result } => {
                self.tracker = None;
                let reason = result.reason.as_ref().map_or(String::new(), |reason| format!(": {reason}"));
                self.say(&format!("   {}{reason}", result.status.name()));
                if result.status == Status::Completed {
                    plot(&self.args.out, result)?;
                }
            }
        }
        Ok(())
    }

    fn round(&mut self, id: &str, result: &RoundResult) -> anyhow::Result<()> {
        let worked = [Stage::Rollouts, Stage::Labels, Stage::Checkpoint, Stage::Evaluation];
        self.worked += worked.iter().map(|&stage| result.seconds[stage as usize]).sum::<f64>();
        self.say(&format!("   {}", line(result)));
        let folder = self.args.out.join("recordings").join(id);
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

    /// Logs of a milestone, from their beginning: rounds that were there already are told again.
    fn open_tracker(&self, id: &str) -> anyhow::Result<Tracker> {
        let folder = self.args.out.join("tracking").join(id);
        std::fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
        let (project, entity) = (self.args.track_project.clone(), self.args.track_entity.clone());
        let kind = if project.is_some() { TrackingKind::Wandb } else { TrackingKind::Tensorboard };
        if kind == TrackingKind::Wandb {
            std::fs::copy(self.args.out.join("config.json"), folder.join("config.json"))?;
        }
        Ok(Tracker::open(&folder, &Tracking { kind, project, entity, run_name: Some(id.to_owned()) }, 0)?)
    }

    fn record(&self, folder: &Path, name: &dyn Fn(usize, bool, u32) -> PathBuf) -> anyhow::Result<()> {
        match self.args.no_record {
            true => Ok(()),
            false => (self.record)(folder, self.args.dagger.record_episodes, name)
                .with_context(|| format!("recording {}", folder.display())),
        }
    }

    fn say(&self, text: &str) {
        if !self.args.common.quiet {
            eprintln!("{text}");
        }
    }
}

/// Removes pages of episodes that are not there any more.
fn remove_pages(folder: &Path, prefix: &str) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            std::fs::remove_file(entry.path()).with_context(|| format!("removing {}", entry.path().display()))?;
        }
    }
    Ok(())
}

const HEADER: &str = "round     β   states  success  95 % interval  agreement    loss  novelty";

/// A round in a line under [`HEADER`].
fn line(result: &RoundResult) -> String {
    let evaluation = &result.evaluation;
    let find = |name: &str| evaluation.metrics.iter().find(|metric| metric.name == name);
    let percent = |name| match find(name).and_then(|metric| metric.value) {
        Some(value) => format!("{:.1} %", 100.0 * value),
        None => "–".to_owned(),
    };
    let loss = find("imitation_loss").and_then(|metric| metric.value);
    let first = evaluation.metrics.first();
    let interval = first.and_then(|metric| Some(format!("{:.0}–{:.0} %", 100.0 * metric.lo?, 100.0 * metric.hi?)));
    format!(
        "{:>5}  {:>4.2}  {:>7}  {:>5.0} %  {:>13}  {:>9}  {:>6}  {:>7}{}",
        result.round.index,
        result.round.beta,
        result.buffered,
        100.0 * evaluation.success_rate(),
        interval.unwrap_or_default(),
        percent("agreement"),
        loss.map_or("–".to_owned(), |loss| if loss < 0.01 { format!("{loss:.0e}") } else { format!("{loss:.3}") }),
        percent("novelty"),
        if result.is_best { "  best" } else { "" },
    )
}

/// Success by round with the ends of its 95 % interval, and the expert's, as `plots/ID.svg`.
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
    sr_cli::write_atomically(&folder.join(format!("{}.svg", result.milestone_id)), plot.svg().as_bytes())
}

/// The table at the end.
pub(crate) fn summary(results: &Results, out: &Path) -> String {
    let percent = |share: Option<f64>| share.map_or("–".to_owned(), |share| format!("{:.0} %", 100.0 * share));
    let number = |x: Option<f64>| x.map_or("–".to_owned(), |x| format!("{x:.1}"));
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(["milestone", "status", "expert", "its steps", "allowed", "rounds", "learner, last", "best"]);
    for result in &results.milestones {
        table.add_row([
            result.milestone_id.clone(),
            result.status.name().to_owned(),
            percent(result.expert_success_rate),
            number(result.expert_mean_steps),
            result.max_episode_steps.map_or("–".to_owned(), |steps| steps.to_string()),
            result.rounds.len().to_string(),
            percent(result.dagger_final_success_rate),
            percent(result.dagger_best_success_rate),
        ]);
    }
    for column in 2..8 {
        table.column_mut(column).expect("a column").set_cell_alignment(CellAlignment::Right);
    }
    let labels: Vec<&str> = results.milestones.iter().map(|r| &*r.labels).filter(|labels| !labels.is_empty()).collect();
    let labels = labels.first().map_or(String::new(), |labels| format!("labels: {labels}\n"));
    format!("{table}\n{labels}results: {0}/results.csv, {0}/results.json", out.display())
}
