//! DAgger (Ross, Gordon & Bagnell, 2011): roll out the learner, relabel with the expert, aggregate, refit.
//!
//! A learner that imitates an expert meets states that the expert never met, and errs more the longer it runs.
//! DAgger asks the expert what it would do in the states *that the learner visited*, and trains on that too.
//! [`visit`] rebuilds those states from a trajectory, a [`Labeller`] answers in each of them, [`label`] gathers the
//! answers of a trajectory and [`relabel_file`] those of a trace.
//!
//! This crate names no tensors and no problem files: instances come from the caller.

mod error;
mod formula;
mod labeller;
mod relabel;
mod visit;

pub use error::{Error, Result};
pub use formula::{FormulaLabeller, Telling};
pub use labeller::{Draws, ENOUGH, ExpertConfig, ExpertLabeller, Labeller, MOST_DRAWS, Mode, Weights};
pub use relabel::{Counts, FileOptions, Labelling, label, relabel_file};
pub use visit::visit;
