//! Symbolic regression by genetic programming: a population search whose next generation is chosen by a [`Policy`].
//!
//! A [`Search`] holds the population of one [`Instance`] (data and primitives). [`run`] is the one search loop:
//! it advances any number of searches with one policy, be that the GP [`Expert`], a learner or a mixture.
//! [`Observer`]s see every generation; nothing is written here.
//!
#![doc = "```no_run"]
#![doc = include_str!("../tests/quadratic.rs")]
#![doc = "```"]
//!
//! This crate knows no files, tokens or tensors. To run experiments use the project's recipes; use this crate to embed
//! the search in your own program.
//!
//! Same seed, same result: every random draw is keyed by what it is for ([`random::Key`]), never by the order in which
//! threads come by.

// The example is run as an integration test.
#![allow(rustdoc::invalid_rust_codeblocks, clippy::test_attr_in_doctest)]

mod brood;
mod config;
mod edit;
mod expert;
mod fitness;
mod heritage;
mod instance;
mod known;
mod policy;
mod population;
pub mod random;
mod scorer;
mod search;
mod subtrees;

pub use brood::{Brood, Offspring};
pub use config::{ConfigError, Limits, Objective, SearchConfig, Survival};
pub use edit::{Edit, EditRef, Replacement};
pub use expert::{Expert, random_tree, try_random_tree};
pub use fitness::{Deadline, Evaluator, INVALID_FITNESS, Score};
pub use heritage::{heritage, lineage};
pub use instance::{Fit, Instance, InstanceError, PrimitiveSet};
pub use policy::{Budget, Origin, Parents, Policy, State};
pub use population::{Individual, Member, Population};
pub use scorer::{Scored, Scorer};
pub use search::{
    BestStep, Evaluations, Generation, Observer, Outcome, Recorded, Search, StopReason, run, run_parallel,
    run_parallel_until, run_until,
};
