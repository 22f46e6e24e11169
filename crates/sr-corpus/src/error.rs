//! The errors of corpora.

use std::io;
use std::path::{Path, PathBuf};

/// The result of making or reading a corpus.
pub type Result<T> = std::result::Result<T, Error>;

/// The reason why there is no corpus. Each message is one line; records are counted from 0.
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
    /// The operating system returned an error.
    #[error("{}: cannot {doing}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The operation, such as `create`.
        doing: &'static str,
        /// The system's error.
        source: io::Error,
    },
    /// The caller stopped the conversion; see [`Options::stop`](crate::Options::stop).
    #[error("stopped")]
    Stopped,
    /// A record is undamaged, but it holds no examples.
    #[error("{}: record {record} (counted from 0): {field}: {reason}", path.display())]
    BadRecord {
        /// The file.
        path: PathBuf,
        /// The number of the record.
        record: u64,
        /// The field at fault.
        field: &'static str,
        /// The reason.
        reason: String,
    },
    /// An expression is too large to be stored.
    #[error("problem {problem:?}: {source}")]
    Expression {
        /// The problem's id.
        problem: String,
        /// The reason.
        source: sr_trace::expressions::ExpressionError,
    },

    // Problems.
    /// A file's name is not UTF-8, so a corpus cannot name what it is made from.
    #[error("{}: its name is no UTF-8, and a corpus names what it is made from; rename it", path.display())]
    Name {
        /// The trace or problem set.
        path: PathBuf,
    },
    /// The problem set is neither where the file nor where the caller says.
    #[error("{}: made from problem set {name:?}, which is not beside it; say where it is with --problems", file.display())]
    NoProblemSet {
        /// The trace or corpus.
        file: PathBuf,
        /// The name of the problem set's file.
        name: String,
    },
    /// The problem set lacks a problem.
    #[error("{}: there is no problem {id:?}", problems.display())]
    NoSuchProblem {
        /// The problem set's file.
        problems: PathBuf,
        /// The problem's id.
        id: String,
    },
    /// The problem's points are not those of when the corpus was made.
    #[error("{}: problem {id:?} is not the one that the examples were made from", problems.display())]
    OtherProblem {
        /// The problem set's file.
        problems: PathBuf,
        /// The problem's id.
        id: String,
    },
    /// The problem's points are not those that the trace's search saw.
    #[error("{}: {source}", problems.display())]
    OtherSearched {
        /// The problem set's file.
        problems: PathBuf,
        /// The reason.
        source: sr_trace::OtherProblem,
    },
    /// The problem cannot be searched.
    #[error("problem {id:?}: {source}")]
    Unsearchable {
        /// The problem's id.
        id: String,
        /// The reason.
        source: sr_engine::InstanceError,
    },

    // Examples.
    /// A fraction is out of its range.
    #[error("{name} must be {expected}, found {value}")]
    Fraction {
        /// The name of the setting.
        name: &'static str,
        /// The range of allowed values.
        expected: &'static str,
        /// The value of the setting.
        value: f64,
    },
    /// Labels were asked for, and the trace has none.
    #[error("the trajectory of problem {id:?} with seed {seed} has no labels; sr-relabel makes them")]
    NotRelabelled {
        /// The problem's id.
        id: String,
        /// The trajectory's seed.
        seed: u64,
    },
    /// Labels belong to another state than the recorded one.
    #[error("the labels of generation {generation} of problem {id:?} were made for another population")]
    OtherState {
        /// The problem's id.
        id: String,
        /// The generation.
        generation: u32,
    },
    /// A problem without a formula has no direct example.
    #[error("problem {id:?} has no formula to learn")]
    NoFormula {
        /// The problem's id.
        id: String,
    },
    /// There are no examples.
    #[error("{}: no examples were made: {why}", file.display())]
    NoExamples {
        /// The file that was converted.
        file: PathBuf,
        /// The reasons.
        why: String,
    },
}

impl Error {
    /// Returns a function for `map_err` that makes an [`Error::Io`] with the file and the operation.
    pub(crate) fn io(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Error::Io { path: path.to_owned(), doing, source }
    }
}
