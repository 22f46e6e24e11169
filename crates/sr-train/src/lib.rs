//! Training of `sr-model` on a corpus: batches, loss, schedule, checkpoints.
//!
//! [`TrainConfig`] is a TOML file, [`load_examples`] converts corpora and problem sets to [`Examples`], and a [`Trainer`] trains
//! a model on them in a folder:
//!
//! ```text
//! OUT/
//!   config.json             resolved settings
//!   metrics.jsonl           loss, learning rate, speed; validation
//!   best/                   checkpoint with the lowest validation loss
//!   last/                   checkpoint of the last save
//!   optimiser-00000200.bpk  what `last` needs to go on exactly, with average-00000200.bpk if there is an average
//!   step-00001000/          checkpoints that stay, if wanted
//!   diverged-00000123.json  the batch that a run broke on
//! ```
//!
//! A row of a batch is a state: its prompt is encoded once for all its targets. Batches are a pure function of seed and
//! step, so a run that was killed and resumed has the same weights as an undisturbed one.
//!
//! ```
//! use sr_model::Prompt;
//! use sr_prompt::{Condition, Token};
//! use sr_train::{Examples, Limits, TrainConfig, Trainer};
//!
//! let text = r#"
//!     mode = "one-step"
//!     [model]
//!     preset = "micro"
//!     d_model = 16
//!     n_layers = 1
//!     n_points = 0
//!     [training]
//!     steps = 60
//!     warmup_steps = 1
//!     learning_rate = 0.02
//! "#;
//! let config = TrainConfig::from_toml(text)?.resolve(1);
//! let mut examples = Examples::new(&config.model);
//! let prompt = Prompt { tokens: vec![1, 4, 6], ..Prompt::default() };
//! examples.push(&prompt, Token::Condition(Condition::All), [(&[140, 141, 2][..], 1.0)])?;
//!
//! let folder = tempfile::tempdir()?;
//! let out = folder.path().join("run");
//! let mut trainer = Trainer::builder(config, &examples, &examples).start(&out)?;
//! let summary = trainer.fit(Limits::default(), &mut |_, _| {})?;
//! assert!(summary.val_loss < 1.0 && summary.best.join("model.bpk").exists());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! This crate does not search, and uses only its folder and the files it is given.

mod config;
mod data;
mod error;
mod evaluate;
mod events;
mod examples;
mod folder;
mod mlp;
mod passes;
mod tracking;
mod trainer;
mod update;

pub use config::{
    LanguageSection, ModelPreset, ModelSection, OptimiserKind, RunConfig, Schedule, Tracking, TrackingKind,
    TrainConfig, Training, check_learning_rate,
};
pub use data::{Split, load_drawn_examples, load_examples, unused_problems};
pub use error::Error;
pub use evaluate::{Fit, Scores};
pub use examples::Examples;
pub use mlp::Mlp;
pub use sr_neural::Language;
pub use sr_prompt::Mode;
pub use tracking::Tracker;
pub use trainer::{Limits, Start, StepStats, StopReason, Summary, Trainer, TrainerBuilder};
