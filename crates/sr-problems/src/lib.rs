//! Problem sets: named suites and random problems, each an expression with sampled points.
//!
//! A [`Problem`] is the input of a search: points, operators and constants, and the formula behind them where it is
//! known. [`suite`] gives published problems, a [`Generator`] random ones, [`from_table`] and [`from_formulas`] those
//! of a user; a [`ProblemSet`] is a file of any of them. A [`Blocklist`] excludes formulas that are kept for a test
//! from the others.
//!
//! ```
//! use sr_problems::{Generator, RandomParams, parse_constants, parse_operators};
//!
//! let params = RandomParams::arith(parse_operators("arith")?, parse_constants("1.0, 2.5")?, 0.5, 1);
//! let problem = Generator::new(params)?.problem(42)?;
//! assert_eq!(problem.id, "arith_c05_s1_000042");
//! assert_eq!(problem.x.n_rows(), problem.y.len());
//! // A search gets the points and never the formula.
//! let instance = problem.instance().expect("generated problems can be searched");
//! assert_eq!(instance.y(), problem.y);
//! # Ok::<(), sr_problems::Error>(())
//! ```
//!
//! Problems depend on the seed alone: each has its own random streams, so the first hundred of two hundred problems are
//! the same as a hundred, and the number of threads changes nothing.
//!
//! This crate does not solve problems and does not split them into training and validation sets.

mod error;
mod file;
mod fingerprint;
mod formulas;
mod mixture;
mod parquet;
mod primitives;
mod problem;
mod random;
mod sampler;
mod set;
mod suite;
mod table;
mod text;

pub use error::Error;
pub use file::ProblemFile;
pub use fingerprint::{Blocklist, Exclusion, Fingerprint};
pub use formulas::{FormulaOptions, from_formulas, parse_names};
pub use mixture::{Component, Mixture, Noise};
pub use primitives::{ARITH, parse_constants, parse_operators};
pub use problem::Problem;
pub use random::{Generator, GeneratorPreset, RandomParams};
pub use sampler::Sampler;
pub use set::{FORMAT_VERSION, FORMAT_VERSION_WIDE, ProblemSet, Provenance, SetParams};
pub use suite::{suite, suite_names};
pub use table::{
    Decimal, GroupColumn, Missing, NamedColumns, Separator, Table, TableOptions, TableReport, TableWarning, TextFormat,
    columns_of_table, from_table,
};
