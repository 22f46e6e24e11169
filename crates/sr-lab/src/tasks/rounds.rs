//! Settings of the rounds of DAgger that all tasks have.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde_json::{Value, json};
use sr_dagger::{
    Amount, Beta, Buffer, BufferOptions, Draw, Drawn, Init, Keep, Round, RoundsConfig, Sampling, StepMultiplier,
};
use sr_neural::Per;

/// Rows that a round draws at most: 2 GiB of their numbers.
pub const MOST_DRAWN: u64 = 1 << 28;

/// Settings of the rounds, with the names that flags and `config.json` have.
#[derive(Debug, Clone, PartialEq)]
pub struct RoundsOptions {
    /// Rounds of a milestone at most, at least 1.
    pub dagger_iterations: u32, // 10
    /// Episodes that a round adds.
    pub episodes_per_iter: u32, // 10
    /// Episodes that expert and model are judged on, the same ones for both.
    pub eval_episodes: u32, // 5
    /// What a round is trained for: steps of a batch size, or passes over the buffer. At most [`MOST_DRAWN`] rows.
    pub amount: Amount, // 2000 steps of 64 states
    /// The highest learning rate.
    pub learning_rate: f64, // 3e-4
    /// Width of the model.
    pub hidden_dim: u32, // 256
    /// Steps that the model may take for one of the expert's.
    pub step_multiplier: StepMultiplier, // 2
    /// Share of successes below which the expert is not imitated, and a milestone fails.
    pub min_success_rate: f64, // 0.6
    /// What a milestone begins with.
    pub init: Init, // a new model
    /// What the first milestone begins with instead of a new model.
    pub checkpoint: Option<PathBuf>,
    /// How often the expert acts, by round. It has to begin with 1 where there is no model yet.
    pub beta: Beta, // two-phase:1
    /// What it is drawn for who acts. In point control a step is one action, so that the first two are one.
    pub beta_level: Per, // a search
    /// Rows in the buffer at most.
    pub max_buffer_size: u64, // 1,000,000
    /// What stays in a full buffer.
    pub keep_states: Keep, // the newest
    /// Whether rounds before the newest are learned from; the buffer keeps them either way.
    pub use_dagger: bool, // true
    /// Rows are drawn with a probability that falls with their age in rounds as exp(-recency · age).
    pub recency: f64, // 0
    /// Stop a milestone after this many rounds without a better model; 0 for never.
    pub patience: u32, // 0
    /// Stop a milestone once its model has this share of successes.
    pub enough: Option<f64>,
    /// Seed of everything.
    pub seed: u64,
}

impl Default for RoundsOptions {
    /// The values of the original's pipeline.
    fn default() -> Self {
        RoundsOptions {
            dagger_iterations: 10,
            episodes_per_iter: 10,
            eval_episodes: 5,
            amount: Amount::Steps { steps: 2000, batch: 64 },
            learning_rate: 3e-4,
            hidden_dim: 256,
            step_multiplier: StepMultiplier::Fixed(2.0),
            min_success_rate: 0.6,
            init: Init::Fresh,
            checkpoint: None,
            beta: Beta::default(),
            beta_level: Per::Search,
            max_buffer_size: 1_000_000,
            keep_states: Keep::Fifo,
            use_dagger: true,
            recency: 0.0,
            patience: 0,
            enough: None,
            seed: 0,
        }
    }
}

impl RoundsOptions {
    /// The rounds of a milestone that begins with the model `init`, if there is one.
    pub(crate) fn config(&self, init: Option<&Path>, row_bytes: u32) -> RoundsConfig {
        let (max_rows, keep, seed) = (self.max_buffer_size, self.keep_states, self.seed);
        RoundsConfig {
            rounds: self.dagger_iterations,
            beta: self.beta,
            seed,
            init: init.map(Path::to_owned),
            buffer: BufferOptions { row_bytes, max_rows, keep, seed },
            patience: self.patience,
            enough: self.enough,
        }
    }

    /// The rows that a round is trained on.
    pub(crate) fn draw(&self, buffer: &Buffer, round: &Round) -> anyhow::Result<Drawn> {
        let draw = if self.recency > 0.0 { Draw::Recency { lambda: self.recency } } else { Draw::Uniform };
        match self.amount {
            Amount::Epochs { epochs, .. } if u64::from(epochs) * buffer.size() > MOST_DRAWN => bail!(
                "--train-epochs-per-iter {epochs}: a round would draw each of {} states so often, more than {MOST_DRAWN} in \
                 all",
                buffer.size()
            ),
            amount => Ok(buffer.draw(&Sampling { draw, use_dagger: self.use_dagger }, amount, round.seed)?),
        }
    }

    /// What decides the bytes of the results, as `config.json` has it under `dagger`; the seed stands outside.
    pub(crate) fn settings(&self) -> anyhow::Result<Value> {
        let checkpoint = self.checkpoint.as_deref().map(|path| {
            path.to_str().with_context(|| format!("--checkpoint {}: its name is no UTF-8; rename it", path.display()))
        });
        let mut settings = json!({
            "dagger_iterations": self.dagger_iterations,
            "episodes_per_iter": self.episodes_per_iter,
            "eval_episodes": self.eval_episodes,
            "learning_rate": self.learning_rate,
            "hidden_dim": self.hidden_dim,
            "step_multiplier": self.step_multiplier,
            "min_success_rate": self.min_success_rate,
            "init": self.init,
            "checkpoint": checkpoint.transpose()?,
            "beta": self.beta,
            "beta_level": self.beta_level.name(),
            "max_buffer_size": self.max_buffer_size,
            "keep_states": self.keep_states,
            "use_dagger": self.use_dagger,
            "recency": self.recency,
            "patience": self.patience,
            "enough": self.enough,
        });
        match self.amount {
            Amount::Epochs { epochs, mini_batches } => {
                settings["train_epochs_per_iter"] = epochs.into();
                settings["mini_batches"] = mini_batches.into();
            }
            Amount::Steps { steps, batch } => {
                settings["train_steps_per_iter"] = steps.into();
                settings["batch_size"] = batch.into();
            }
        }
        Ok(settings)
    }
}
