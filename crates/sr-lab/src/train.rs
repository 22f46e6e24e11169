//! Training: corpora in, the folder of a run with its checkpoints out.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use sr_model::{DeviceKind, Precision};
use sr_train::{Examples, Language, Limits, RunConfig, Split, Start, StepStats, Summary, Trainer};

use crate::{Ended, Monitor};

/// A run to be made or to go on with.
#[derive(Debug, Clone)]
pub struct Training {
    /// Corpora to learn from.
    pub corpora: Vec<PathBuf>,
    /// The corpus to validate on.
    pub validation: PathBuf,
    /// Problem sets of the corpora; those that are not among them are looked for beside each corpus.
    pub problems: Vec<PathBuf>,
    /// All that decides the weights beside the corpora.
    pub config: RunConfig,
    /// The weights that a new run begins with; a run that goes on has to have begun with the same ones.
    pub start: Start,
    /// Folder of the run.
    pub out: PathBuf,
    /// Whether to go on with the run in the folder, if there is one. Without it the folder has to be new or empty.
    pub resume: bool,
    /// Where to compute.
    pub device: DeviceKind,
    /// Stop after so many steps of the whole run. The learning rate does not depend on it.
    pub max_steps: Option<u64>,
    /// Stop after the step at which this time has passed, likewise.
    pub max_time: Option<Duration>,
}

impl Training {
    /// The steps after which the run ends, unless it is stopped or has learned enough before.
    pub fn steps(&self) -> u64 {
        self.max_steps.unwrap_or(u64::MAX).min(self.config.training.steps)
    }

    /// Reads the corpora. Nothing is written. What is hardly meant, such as a problem set that no corpus was made from, is
    /// told as a warning.
    ///
    /// # Errors
    /// If there is no such device; if a corpus or problem set is missing, damaged, or of another mode or context.
    pub fn load(&self) -> anyhow::Result<Loaded<'_>> {
        sr_model::open(self.device)?; // a device that is not there is told before anything is read
        self.warn();
        let (examples, language) = sr_train::load(&self.corpora, &self.problems, &self.config, Split::Training)?;
        let of_validation = std::slice::from_ref(&self.validation);
        let (validation, found) = sr_train::load(of_validation, &self.problems, &self.config, Split::Validation)?;
        if found != language {
            let [found, expected] = [found, language].map(|language| language.context.name());
            bail!(
                "{}: prompts of context {found} do not go with those of context {expected}",
                self.validation.display()
            );
        }
        let corpora: Vec<PathBuf> = self.corpora.iter().chain(of_validation).cloned().collect();
        for unused in sr_train::unused_problems(&corpora, &self.problems)? {
            tracing::warn!("{} is not used: no corpus names a problem set of this name", unused.display());
        }
        let (states, parameters) = (examples.n_states(), self.config.model.parameter_count());
        let (targets, validated) = (examples.n_targets(), validation.n_targets());
        tracing::info!(states, examples = targets, validation = validated, parameters, "loaded");
        if examples.n_too_long() > 0 {
            tracing::warn!(targets = examples.n_too_long(), "left out, for they are longer than the model's positions");
        }
        Ok(Loaded { training: self, examples, validation, language })
    }

    /// Tells what is hardly meant.
    fn warn(&self) {
        let (settings, device) = (&self.config.training, self.device);
        if settings.precision == Precision::Bf16 && device != DeviceKind::Cuda {
            tracing::warn!("precision bf16 is slower than f32 on device {device}; it is for cuda");
        } else if settings.gradient_checkpointing && device == DeviceKind::Cpu {
            tracing::warn!(
                "gradient_checkpointing changes nothing on device {device}, which keeps few activations anyway"
            );
        }
        for warning in settings.warnings() {
            tracing::warn!("{warning}");
        }
        let is_validation = |path: &PathBuf| {
            path.canonicalize().ok().zip(self.validation.canonicalize().ok()).is_some_and(|(a, b)| a == b)
        };
        if self.corpora.iter().any(is_validation) {
            tracing::warn!("--val is among --train: the validation loss and best/ say nothing about other problems");
        }
    }
}

/// A run whose corpora are in memory.
#[derive(Debug)]
pub struct Loaded<'a> {
    training: &'a Training,
    examples: Examples,
    validation: Examples,
    language: Language,
}

/// What a run came to.
#[derive(Debug)]
pub struct Fitted {
    /// Whether it was stopped by its [`Monitor`] before its steps were made. Whatever ends it, `last` can be gone on with.
    pub ended: Ended,
    /// Losses, scores, speeds and checkpoints.
    pub summary: Summary,
}

impl Loaded<'_> {
    /// Makes the steps that are left; a piece of the monitor's work is a step. `on_step` is told of each.
    ///
    /// # Errors
    /// If the folder holds something else or a run of other settings; if the weights to start with do not fit; if a loss is
    /// no number; if a file cannot be read or written.
    pub fn fit(&self, monitor: &mut Monitor<'_>, on_step: &mut dyn FnMut(u64, &StepStats)) -> anyhow::Result<Fitted> {
        let Training { config, start, out, device, max_steps, max_time, .. } = self.training;
        let run = Trainer::builder(config.clone(), &self.examples, &self.validation);
        let run = run.language(&self.language).init(start).device(*device);
        let mut trainer = if self.training.resume { run.resume(out)? } else { run.start(out)? };
        monitor.advance(trainer.step());
        let limits = Limits { max_steps: *max_steps, max_time: *max_time, stop: Some(monitor.stop()) };
        let summary = trainer.fit(limits, &mut |step, stats| {
            on_step(step, stats);
            monitor.advance(1);
        })?;
        let is_stopped = monitor.is_stopped() && summary.steps < self.training.steps();
        let ended = if is_stopped { Ended::Stopped { done: summary.steps } } else { Ended::Finished };
        Ok(Fitted { ended, summary })
    }
}
