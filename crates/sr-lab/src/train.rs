//! Trains a model on corpora, in the folder of a run with its checkpoints.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::bail;
use serde_json::{Value, json};
use sr_model::{DeviceKind, Precision};
use sr_train::{Examples, Language, Limits, RunConfig, Split, Start, StepStats, Summary, Trainer};

use crate::{Ended, Monitor};

/// A training run to start or resume.
#[derive(Debug, Clone)]
pub struct Training {
    /// The corpora for training.
    pub corpora: Vec<PathBuf>,
    /// The corpus for validation.
    pub validation: PathBuf,
    /// Problem sets of the corpora; those not listed are looked for beside each corpus.
    pub problems: Vec<PathBuf>,
    /// All settings that determine the weights, beside the corpora.
    pub config: RunConfig,
    /// The initial weights. A run that is resumed must have started from the same ones.
    pub start: Start,
    /// Folder of the run.
    pub out: PathBuf,
    /// Whether to resume the run in the folder, if there is one. If false, the folder must be new or empty.
    pub resume: bool,
    /// The device on which to compute.
    pub device: DeviceKind,
    /// Total number of steps after which the run stops. The learning rate does not depend on it.
    pub max_steps: Option<u64>,
    /// Time after which the run stops, at the end of a step. The learning rate does not depend on it.
    pub max_time: Option<Duration>,
}

impl Training {
    /// Returns the number of steps after which the run ends, unless it is stopped or ends early.
    pub fn steps(&self) -> u64 {
        self.max_steps.unwrap_or(u64::MAX).min(self.config.training.steps)
    }

    /// Reads the corpora; nothing is written. Settings that are probably a mistake, such as a problem set that no
    /// corpus names, are logged as warnings.
    ///
    /// # Errors
    /// If there is no such device, or a corpus or problem set is missing, damaged, or of another mode or context.
    pub fn load(&self) -> anyhow::Result<Loaded<'_>> {
        self.device.open()?; // a device that is not there is told before anything is read
        self.warn();
        let (examples, language) =
            sr_train::load_examples(&self.corpora, &self.problems, &self.config, Split::Training)?;
        let of_validation = std::slice::from_ref(&self.validation);
        let (validation, found) =
            sr_train::load_examples(of_validation, &self.problems, &self.config, Split::Validation)?;
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

    /// Logs settings that are probably a mistake.
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

/// The result of a training run.
#[derive(Debug)]
pub struct Fitted {
    /// Whether it was stopped by its [`Monitor`] before its last step. In any case `last` can be resumed.
    pub ended: Ended,
    /// The losses, scores, speeds and checkpoints.
    pub summary: Summary,
}

impl Loaded<'_> {
    /// Returns the corpora and how much they hold, as an object: what `config.json` of the run does not tell.
    pub fn data(&self) -> Value {
        let Training { corpora, validation, start, config, .. } = self.training;
        let text = |path: &Path| path.display().to_string();
        json!({
            "train": corpora.iter().map(|path| text(path)).collect::<Vec<_>>(),
            "validation": text(validation),
            "init": match start {
                Start::Fresh => None,
                Start::Checkpoint(path) => Some(text(path)),
            },
            "parameters": config.model.parameter_count(),
            "states": self.examples.n_states(),
            "targets": self.examples.n_targets(),
            "validation_states": self.validation.n_states(),
            "validation_targets": self.validation.n_targets(),
        })
    }

    /// Runs the remaining steps and calls `on_step` for each; one step of the monitor is a training step.
    ///
    /// # Errors
    /// If the folder has other files or a run of other settings, the initial weights do not fit, a loss is not finite,
    /// or a file cannot be read or written.
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
