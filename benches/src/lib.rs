//! Criterion benches, one module a crate. Ids read what/case/size; every bench asserts that its answer is right.
//! `learner` is shared by the binaries that measure the learner instead.

#![allow(missing_docs)] // a bench is described by its id

pub mod corpus;
pub mod dagger;
pub mod engine;
pub mod expr;
pub mod learner;
pub mod model;
pub mod neural;
pub mod prompt;
pub mod trace;
