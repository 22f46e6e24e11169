//! The options of DAgger rounds that all tasks share.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde_json::{Value, json};
use sr_dagger::{
    Amount, Beta, Buffer, BufferOptions, Draw, Drawn, Init, Keep, Round, RoundsConfig, Sampling, StepMultiplier,
};
use sr_neural::Per;

/// The most rows that a round draws; their numbers take 2 GiB.
pub const MOST_DRAWN: u64 = 1 << 28;

/// The options of the rounds, named as in flags and `config.json`.
#[derive(Debug, Clone, PartialEq)]
pub struct RoundsOptions {
    /// The most rounds of a milestone, at least 1.
    pub dagger_iterations: u32, // 10
    /// Episodes that a round adds.
    pub episodes_per_iter: u32, // 10
    /// Episodes on which expert and model are evaluated; both get the same ones.
    pub eval_episodes: u32, // 5
    /// The amount of training in a round: steps of a batch size, or passes over the buffer; at most [`MOST_DRAWN`]
    /// rows.
    pub amount: Amount, // 2000 steps of 64 states
    /// The highest learning rate.
    pub learning_rate: f64, // 3e-4
    /// Width of the model.
    pub hidden_dim: u32, // 256
    /// The limit on the model's steps, relative to the expert's.
    pub step_multiplier: StepMultiplier, // 2
    /// Success rate that the expert must reach; below it the expert is not imitated, and the milestone fails.
    pub min_success_rate: f64, // 0.6
    /// The model that a milestone begins with.
    pub init: Init, // a new model
    /// The checkpoint that the first milestone begins with instead of a new model.
    pub checkpoint: Option<PathBuf>,
    /// The probability that the expert acts, by round. It must begin with 1 if there is no model yet.
    pub beta: Beta, // two-phase:1
    /// The unit for which the actor is drawn. In point control a step is one action, so the first two are the same.
    pub beta_level: Per, // a search
    /// The most rows in the buffer.
    pub max_buffer_size: u64, // 1,000,000
    /// The rows that stay in a full buffer.
    pub keep_states: Keep, // the newest
    /// Whether rows of earlier rounds are learned from too; the buffer keeps them in any case.
    pub use_dagger: bool, // true
    /// The decay of a row's probability with its age in rounds, exp(-recency · age).
    pub recency: f64, // 0
    /// Rounds without a better model after which a milestone stops; 0 for never.
    pub patience: u32, // 0
    /// Success rate of the model at which a milestone stops.
    pub enough: Option<f64>,
    /// The seed of all random draws.
    pub seed: u64,
}

impl Default for RoundsOptions {
    /// Returns the values of the original pipeline.
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
    /// Returns the settings of the rounds of a milestone that begins with the model `init`, if given.
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

    /// Draws the rows that a round is trained on.
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

    /// Returns the settings that determine the bytes of the results, as under `dagger` in `config.json`; the seed is
    /// elsewhere.
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
