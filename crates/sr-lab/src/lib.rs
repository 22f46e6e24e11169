//! The verbs of the project, for programs: what each binary does, as a function with typed options.
//!
//! - [`record`]: searches problems with the expert, a learner or both, and writes their trajectories into a trace that can
//!   be gone on with after a kill
//! - [`evaluate`]: compares methods on problems over seeds, in rows that can be gone on with after a kill; [`beside`] has
//!   figures that somebody has published, to stand beside them
//! - [`direct`] (feature `learner`): judges models that write a formula from the data alone
//! - [`operator`]: measures what methods propose in a frozen set of states
//! - [`tune`]: searches for settings of the expert
//! - [`compare`]: says which of two reports is better, or puts two searches of one problem side by side
//! - [`dataset`]: makes whole data sets of problems, traces and examples, checks them, and joins shards of traces
//! - [`inspect`]: what any file or folder of ours holds
//! - [`relabel`]: gives the states of a trace the labels of an expert
//! - [`convert`]: makes training examples of a trace or a problem set
//! - [`learner`] (feature `learner`): a learner from a checkpoint, checked against the problems that it is to search
//! - [`tasks`] (feature `learner`): DAgger, milestone after milestone, on formula search or point control
//! - [`train`] (feature `learner`): fits a model to corpora, in a folder that can be gone on with after a kill
//!
//! A verb that takes long is told by a [`Monitor`] when to stop, and tells it how far it is. It gives an [`Ended`], which
//! says whether it was stopped; then its files can be gone on with.
//!
//! The crates below are here under their own names (`sr_lab::sr_engine`), so that a program depends on this one alone.
//!
//! Errors are chains of causes for a person to read ([`anyhow::Error`], as in the libraries of cargo and wasmtime): they
//! name the file, the record and the setting. The typed errors of the crates below stand in the chain, for a program to
//! find by `downcast_ref`.

pub mod beside;
pub mod compare;
pub mod convert;
pub mod dataset;
#[cfg(feature = "learner")]
pub mod direct;
pub mod evaluate;
#[cfg(feature = "learner")]
mod files;
pub mod inspect;
#[cfg(feature = "learner")]
pub mod learner;
mod monitor;
pub mod operator;
pub mod record;
pub mod relabel;
#[cfg(feature = "learner")]
pub mod tasks;
#[cfg(feature = "learner")]
pub mod train;
pub mod tune;

pub use monitor::{Ended, Monitor};

// The crates below, so that a program needs this one alone.
pub use {sr_codec, sr_corpus, sr_dagger, sr_engine, sr_eval, sr_expr, sr_problems, sr_prompt, sr_trace};
#[cfg(feature = "learner")]
pub use {sr_model, sr_neural, sr_report, sr_train};
