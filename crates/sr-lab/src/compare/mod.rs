//! Comparisons: two reports of evaluations, search by search, or two searches of one problem.
//!
//! [`compare`] finds the significant differences between two [`Report`]s over the pairs of problem and seed that both
//! have. [`search`] searches one problem with a policy and keeps every generation, so that expert and learner can be
//! looked at side by side.

mod problem;
mod reports;

pub use problem::{Place, Searched, find, improvement, search, time_ratio, well_formed};
pub use reports::{Comparison, Means, Medians, Report, Shares, compare, differences};
