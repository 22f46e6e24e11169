//! DAgger (Ross, Gordon & Bagnell, 2011): roll out the learner, relabel with the expert, aggregate, refit.
//!
//! A learner that imitates an expert meets states that the expert never met, and errs more the longer it runs.
//! DAgger asks the expert what it would do in the states *that the learner visited*, and trains on that too.
//! [`visit()`] rebuilds those states from a trajectory, a [`Labeller`] answers in each of them, [`label`] gathers the
//! answers of a trajectory and [`relabel_file`] those of a trace. [`Beta`] says how often the expert still acts in a
//! round, and a [`Buffer`] aggregates the rows of all rounds on disk and draws from them what a round is trained on.
//! [`run_rounds`] is the loop over rounds of any [`Task`], and [`run_milestones`] that over a [`Curriculum`].
//!
//! This crate names no tensors and no problem files: instances come from the caller.

mod buffer;
mod error;
mod formula;
mod labeller;
mod milestones;
mod relabel;
mod rounds;
mod sampling;
mod schedule;
mod visit;

pub use buffer::{Buffer, BufferOptions, BufferSummary, Keep};
pub use error::{Error, Result};
pub use formula::{FormulaLabeller, Telling};
pub use labeller::{Draws, ENOUGH, ExpertConfig, ExpertLabeller, LabelMode, Labeller, MOST_DRAWS, Weights};
pub use milestones::{
    Curriculum, Episode, Event, ExpertStats, Init, MilestoneResult, MilestonesConfig, Results, RoundRow, Selection,
    Status, StepMultiplier, run_milestones,
};
pub use relabel::{Counts, FileOptions, Labelling, label, relabel_file};
pub use rounds::{Evaluation, Metric, Round, RoundResult, Rounds, RoundsConfig, Stage, Task, run_rounds};
pub use sampling::{Amount, Draw, Drawn, LARGEST_BATCH, Sampling};
pub use schedule::Beta;
pub use visit::visit;
