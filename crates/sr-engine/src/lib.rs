//! Symbolic regression by genetic programming: a population search whose next generation is chosen by a [`Policy`].
//!
//! A [`Search`] holds the population of one [`Instance`] (data and primitives); [`Search::run`] runs it. [`run`] is the one
//! search loop: it advances any number of searches with one policy, be that the GP [`Expert`], a learner or a mixture.
//! [`Observer`]s see every generation; nothing is written here.
//!
//! ```
//! use std::sync::Arc;
//!
//! use sr_engine::{Expert, Instance, PrimitiveSet, Search, SearchConfig, StopReason};
//! use sr_expr::{Columns, Op};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     // 50 rows of one variable, column by column.
//!     let x: Vec<f64> = (0..50).map(|i| f64::from(i) / 10.0 - 2.5).collect();
//!     let y: Vec<f64> = x.iter().map(|x| x * x + x).collect();
//!     // What formulas are made of: operators, constants (the default settings fit others) and the number of variables.
//!     let primitives = PrimitiveSet::new(vec![Op::Add, Op::Sub, Op::Mul], vec![1.0], 1)?;
//!     let instance = Arc::new(Instance::new("quadratic", Columns::new(50, 1, x), y, primitives)?);
//!
//!     let config = SearchConfig { generations: 200, ..SearchConfig::default() };
//!     let outcome = Search::new(instance.clone(), config, 1)?.run(&mut Expert)?;
//!
//!     let winner = outcome.winner();
//!     let fit = outcome.fit(&instance); // computed anew over all rows, in the units of y
//!     println!("{} of size {}, MSE {}, R² {:?}", winner.expr, winner.expr.size(), fit.mse, fit.r2());
//!     if let Some(generation) = outcome.generations_to_solve {
//!         println!("solved in generation {generation}, stopped: {}", outcome.stop.map_or("not yet", StopReason::name));
//!     }
//!     // As the search computed it: its operators have their plain meaning unless `config.semantics` says otherwise.
//!     let predicted = outcome.predict(&Columns::new(1, 1, vec![3.0]));
//!     # assert!(outcome.solved.is_some() && (predicted[0] - 12.0).abs() < 1e-9, "{} {predicted:?}", winner.expr);
//!     println!("at 3: {}", predicted[0]);
//!     Ok(())
//! }
//! ```
//!
//! **The settings that matter most** are [`population_size`](SearchConfig::population_size),
//! [`generations`](SearchConfig::generations), [`limits`](SearchConfig::limits) (the size that a formula may have) and
//! [`parsimony_coefficient`](SearchConfig::parsimony_coefficient), the price of a node. **The id** of an [`Instance`]
//! is part of the key of its random streams: the same data under another name are searched differently.
//!
//! **A result** answers two different questions. [`solved`](Outcome::solved) is set if an individual reached the
//! early-stop error at any time. [`stop`](Outcome::stop) is the reason why the search ended. That may well be the limit
//! on generations, because after solving the search goes on for [`extra_generations`](SearchConfig::extra_generations)
//! to find a smaller formula. `stop` is `None` if the search was stopped within a generation ([`run_until`]) and can be
//! run on. [`winner`](Outcome::winner) is the individual to report.
//!
//! This crate knows no files, tokens or tensors. To run experiments use the project's recipes; use this crate to embed
//! the search in your own program.
//!
//! The same seed gives the same result: every random draw is keyed by its purpose ([`random::Key`]), never by the order
//! in which threads run.

#![allow(clippy::needless_doctest_main, reason = "so that the example can be pasted into a file as it is")]

mod cache;
mod config;
mod constants;
mod edit;
mod expert;
mod fitness;
mod instance;
mod loss;
mod offspring;
mod parents;
mod pareto;
mod policy;
mod population;
pub mod random;
mod scorer;
mod search;
mod subtrees;
mod variation;

pub use config::{ConfigError, Fitting, Limits, Objective, SearchConfig, Survival, Variation};
pub use constants::{ConstantFitter, ConstantRole, Fitted, GroupFit, GroupFitter, GroupRows, fit_constants};
pub use edit::{Edit, EditRef, Replacement};
pub use expert::{Expert, random_tree, try_random_tree};
pub use fitness::{Deadline, Evaluator, INVALID_FITNESS, Score};
pub use instance::{Fit, Instance, InstanceError, PrimitiveSet};
pub use loss::{Loss, LossChoice, LossError};
pub use offspring::{Child, Offspring};
pub use parents::{likely_parents, lineage};
pub use policy::{Budget, Origin, Parents, Policy, PolicyError, Request, State};
pub use population::{Individual, IndividualRef, Population};
pub use scorer::{Scored, Scorer};
pub use search::{
    BestStep, Evaluations, Generation, Observer, Outcome, Recorded, Search, StopReason, run, run_parallel,
    run_parallel_until, run_until,
};
