//! The commands of the project as a library: what each binary does, as functions with typed options.
//!
//! - [`record`]: searches problems with the expert, a learner or both, and writes their trajectories into a trace that
//!   can be resumed after a kill
//! - [`evaluate`]: compares methods on problems over seeds, in rows that can be resumed after a kill; [`beside`] shows
//!   published figures next to them
//! - [`direct`] (feature `learner`): judges models that write a formula from the data alone
//! - [`operator`]: measures the offspring that methods propose in a frozen set of states
//! - [`tune`]: searches for settings of the expert
//! - [`compare`]: compares two reports, or two searches of one problem
//! - [`dataset`]: builds and checks data sets of problems, traces and examples, and merges shards of traces
//! - [`inspect`]: reads any file or folder of the project
//! - [`relabel`]: labels the states of a trace with the actions of an expert
//! - [`report`]: shows results as a page
//! - [`convert`]: converts a trace or a problem set to training examples
//! - [`learner`] (feature `learner`): loads a learner from a checkpoint and checks it against the problems to search
//! - [`tasks`] (feature `learner`): runs DAgger, milestone after milestone, on formula search or point control
//! - [`train`] (feature `learner`): fits a model to corpora, in a folder that can be resumed after a kill
//!
//! Long work takes a [`Monitor`], which can stop it and receives its progress. It returns an [`Ended`], which says
//! whether it was stopped; if so, the same files can be continued.
//!
//! The crates below are re-exported under their own names (`sr_lab::sr_engine`), so that a program depends on this one
//! alone.
//!
//! Errors are chains of causes for people to read ([`anyhow::Error`], as in the libraries of cargo and wasmtime): they
//! name the file, the record and the setting. The typed errors of the crates below are in the chain; `downcast_ref`
//! finds them.

pub mod beside;
pub mod compare;
pub mod convert;
pub mod dataset;
#[cfg(feature = "learner")]
pub mod direct;
pub mod evaluate;
#[cfg(feature = "learner")]
mod files;
pub mod fit;
pub mod inspect;
#[cfg(feature = "learner")]
pub mod learner;
mod monitor;
pub mod operator;
pub mod record;
pub mod relabel;
pub mod report;
#[cfg(feature = "learner")]
pub mod tasks;
#[cfg(feature = "learner")]
pub mod train;
pub mod tune;

pub use monitor::{Ended, Monitor};

// The crates below are re-exported, so that a program needs this one alone.
pub use {sr_codec, sr_corpus, sr_dagger, sr_engine, sr_eval, sr_expr, sr_problems, sr_prompt, sr_report, sr_trace};
#[cfg(feature = "learner")]
pub use {sr_model, sr_neural, sr_train};
