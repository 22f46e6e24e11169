//! Criterion benches, one module a crate. Ids have the form what/case/size, and every bench checks its result. The
//! module `learner` is for the binaries that measure the learner.

#![allow(missing_docs)] // a bench is described by its id

pub mod corpus;
pub mod dagger;
pub mod engine;
pub mod enumerate;
pub mod expr;
pub mod learner;
pub mod model;
pub mod neural;
pub mod prompt;
pub mod trace;
