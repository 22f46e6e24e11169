//! DAgger (Ross, Gordon & Bagnell, 2011): roll out the learner, relabel with the expert, aggregate, refit.
//!
//! A learner that imitates an expert reaches states that the expert never reached, and errs more the longer it runs.
//! DAgger asks the expert what it would do in the states *that the learner visited*, and trains on these answers too.
//! [`visit_states`] rebuilds those states from a trajectory, a [`Labeller`] labels each of them, [`label_states`] collects the
//! labels of a trajectory and [`relabel_file`] those of a trace. [`Beta`] is the schedule by which the expert still
//! acts, and a [`Buffer`] aggregates the rows of all rounds on disk and draws the rows that a round is trained on.
//! [`run_rounds`] is the loop over rounds of any [`Task`], and [`run_milestones`] that over a [`Curriculum`].
//!
//! ```
//! use std::sync::Arc;
//!
//! use sr_dagger::{Beta, ExpertLabeller, label_states};
//! use sr_engine::{Expert, Instance, PrimitiveSet, Search, SearchConfig};
//! use sr_expr::{Columns, Op};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let x = Columns::from_rows(&[[1.0], [2.0], [3.0], [4.0]]);
//! let primitives = PrimitiveSet::new(vec![Op::Add, Op::Mul], vec![1.0], 1)?;
//! let instance = Arc::new(Instance::new("quadratic", x, vec![3.0, 7.0, 13.0, 21.0], primitives)?);
//! let config = SearchConfig { generations: 5, early_stop_mse: None, ..SearchConfig::basic() };
//!
//! // The rollout. A learner would act here; the expert does in the first round, where β is 1.
//! assert_eq!(Beta::default().at(0), 1.0);
//! let mut search = [Search::new(instance.clone(), config.clone(), 1)?];
//! let mut recorder = [sr_trace::Recorder::new(1)];
//! let outcome = sr_engine::run(&mut search, &mut Expert, &mut recorder)?.remove(0);
//! let [recorder] = recorder;
//! let trajectory = recorder.finish(&outcome)?;
//!
//! // What the expert would do in each state that was visited, the last one included.
//! let labels = label_states(&trajectory, &instance, &config, 1, &mut ExpertLabeller::default())?;
//! assert_eq!(labels.states.len(), trajectory.generations.len());
//! # Ok(())
//! # }
//! ```
//!
//! This crate uses neither tensors nor problem files: the caller provides the instances.

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
pub use formula::{FormulaLabeller, FormulaSource, Telling};
pub use labeller::{Draws, ENOUGH, ExpertConfig, ExpertLabeller, LabelMode, Labeller, MOST_DRAWS, Weights};
pub use milestones::{
    Curriculum, Episode, Event, ExpertStats, Init, MilestoneResult, MilestonesConfig, Results, RoundRow, Selection,
    Status, StepMultiplier, run_milestones,
};
pub use relabel::{Counts, FileOptions, Labelling, label_states, relabel_file};
pub use rounds::{Evaluation, Metric, Round, RoundResult, Rounds, RoundsConfig, Stage, Task, run_rounds};
pub use sampling::{Amount, Draw, Drawn, LARGEST_BATCH, Sampling};
pub use schedule::Beta;
pub use visit::visit_states;
