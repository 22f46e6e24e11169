//! What can go wrong with corpora.

use std::io;
use std::path::{Path, PathBuf};

/// The result of making or reading a corpus.
pub type Result<T> = std::result::Result<T, Error>;

/// Why there is no corpus. Each message is one line; records are counted from 0.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    // Files.
    /// A corpus cannot be read or written.
    #[error(transparent)]
    File(#[from] sr_codec::Error),
    /// A trace cannot be read.
    #[error(transparent)]
    Trace(#[from] sr_trace::Error),
    /// A problem set cannot be read.
    #[error(transparent)]
    Problems(#[from] sr_problems::Error),
    /// The operating system refused.
    #[error("{}: cannot {doing}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was being done, such as `create`.
        doing: &'static str,
        /// What the operating system said.
        source: io::Error,
    },
    /// The caller wanted no more; see [`Options::stop`](crate::Options::stop).
    #[error("stopped")]
    Stopped,
    /// A record is undamaged and yet no examples.
    #[error("{}: record {record} (counted from 0): {field}: {reason}", path.display())]
    BadRecord {
        /// The file.
        path: PathBuf,
        /// The record.
        record: u64,
        /// The field at fault.
        field: &'static str,
        /// What does not fit.
        reason: String,
    },
    /// An expression is too large to be stored.
    #[error("problem {problem:?}: {source}")]
    Expression {
        /// The problem.
        problem: String,
        /// What is too large.
        source: sr_trace::expressions::ExpressionError,
    },

    // Problems.
    /// Corpora name what they are made from, and this name is no text.
    #[error("{}: its name is no UTF-8, and a corpus names what it is made from; rename it", path.display())]
    Name {
        /// The trace or problem set.
        path: PathBuf,
    },
    /// The problem set is where neither the file nor the caller says.
    #[error("{}: made from problem set {name:?}, which is not beside it; say where it is with --problems", file.display())]
    NoProblemSet {
        /// The trace or corpus.
        file: PathBuf,
        /// Name of the problem set's file.
        name: String,
    },
    /// The problem set lacks a problem.
    #[error("{}: there is no problem {id:?}", problems.display())]
    NoSuchProblem {
        /// The problem set's file.
        problems: PathBuf,
        /// The problem.
        id: String,
    },
    /// The problem has other points than when the corpus was made.
    #[error("{}: problem {id:?} is not the one that the examples were made from", problems.display())]
    OtherProblem {
        /// The problem set's file.
        problems: PathBuf,
        /// The problem.
        id: String,
    },
    /// The problem has other points than those that the trace's search saw.
    #[error("{}: {source}", problems.display())]
    OtherSearched {
        /// The problem set's file.
        problems: PathBuf,
        /// What does not fit.
        source: sr_trace::OtherProblem,
    },
    /// The problem cannot be searched.
    #[error("problem {id:?}: {source}")]
    Unsearchable {
        /// The problem.
        id: String,
        /// Why.
        source: sr_engine::InstanceError,
    },

    // Examples.
    /// A fraction is out of its range.
    #[error("{name} must be {expected}, found {value}")]
    Fraction {
        /// The setting.
        name: &'static str,
        /// Its range.
        expected: &'static str,
        /// What was given.
        value: f64,
    },
    /// Labels were asked for, and the trace has none.
    #[error("the trajectory of problem {id:?} with seed {seed} has no labels; relabel the trace first")]
    NotRelabelled {
        /// The problem.
        id: String,
        /// The trajectory's seed.
        seed: u64,
    },
    /// Labels belong to another state than the recorded one.
    #[error("the labels of generation {generation} of problem {id:?} were made for another population")]
    OtherState {
        /// The problem.
        id: String,
        /// The generation.
        generation: u32,
    },
    /// A problem without a formula has no direct example.
    #[error("problem {id:?} has no formula to learn")]
    NoFormula {
        /// The problem.
        id: String,
    },
    /// Nothing was left to learn from.
    #[error("{}: no examples were made", file.display())]
    NoExamples {
        /// What was converted.
        file: PathBuf,
    },
}

impl Error {
    /// For `map_err`: an [`Error::Io`] that says what was being done to which file.
    pub(crate) fn io(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Error::Io { path: path.to_owned(), doing, source }
    }
}
