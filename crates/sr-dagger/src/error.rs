//! What can go wrong when a trace is relabelled.

use std::path::PathBuf;

/// The result of relabelling.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a trace could not be relabelled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The trace cannot be read or written.
    #[error(transparent)]
    Trace(#[from] sr_trace::Error),
    /// A run is to be resumed that labelled another trace, or in another way.
    #[error(
        "{}: record {record} (counted from 0) comes from another trace or other settings; \
         use the same ones or delete the file", path.display()
    )]
    OtherRun {
        /// The `.partial` file.
        path: PathBuf,
        /// The record.
        record: u64,
    },
    /// The trace's search settings are out of range.
    #[error("the trace's settings: {0}")]
    Config(#[from] sr_engine::ConfigError),

    // The problems are not those of the trace.
    /// There is no such problem.
    #[error("problem {problem:?} of the trace is not in the problem set")]
    UnknownProblem {
        /// Its id.
        problem: String,
    },
    /// The formula is to be told, and nobody knows it.
    #[error("problem {problem:?} has no formula, which labels of this mode take")]
    NoFormula {
        /// The problem's id.
        problem: String,
    },
    /// An expression of the trajectory uses a variable that the problem does not have.
    #[error("problem {problem:?} has {found} variables, the trace uses {expected}: this is another problem set")]
    Variables {
        /// The problem's id.
        problem: String,
        /// Variables that the trace uses.
        expected: usize,
        /// Variables of the problem.
        found: usize,
    },
    /// An expression has another fitness than the trace says.
    #[error(
        "problem {problem:?}, generation {generation}: {expr} has fitness {found}, in the trace {expected}: \
         this is another problem set"
    )]
    Fitness {
        /// The problem's id.
        problem: String,
        /// The generation.
        generation: u32,
        /// The expression.
        expr: String,
        /// Its fitness in the trace.
        expected: f32,
        /// Its fitness on the problem's data.
        found: f32,
    },
}
