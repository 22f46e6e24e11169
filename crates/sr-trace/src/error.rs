//! The errors of reading, writing and merging traces.

use std::path::PathBuf;

use crate::expressions::ExpressionError;

/// The result of reading or writing a trace.
pub type Result<T> = std::result::Result<T, Error>;

/// The reason why a trace could not be read, written or merged. Records are counted from 0.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file is missing, cut, damaged, or of another kind or version.
    #[error(transparent)]
    File(#[from] sr_codec::Error),
    /// A record is undamaged, but it is no trajectory.
    #[error("{}: record {record} (counted from 0): {source}", path.display())]
    BadRecord {
        /// The file.
        path: PathBuf,
        /// The number of the record.
        record: u64,
        /// The reason.
        source: RecordError,
    },
    /// A trajectory breaks the rules that [`Trajectory`](crate::Trajectory) states, or is too large to be stored.
    #[error("the trajectory of problem {problem:?} cannot be written: {source}")]
    BadTrajectory {
        /// The problem's id.
        problem: String,
        /// The reason.
        source: RecordError,
    },

    // Merging.
    /// There are no shards to merge.
    #[error("no shards to merge")]
    NoShards,
    /// Two shards are of different runs.
    #[error("{}: its header is not that of {}: these are shards of different runs", path.display(), first.display())]
    ShardHeader {
        /// The shard.
        path: PathBuf,
        /// The first shard.
        first: PathBuf,
    },
    /// A problem is in two shards, or at two places of one.
    #[error(
        "{}: problem {problem:?} is in {} too: a shard was given twice, or these are shards of different runs",
        path.display(), first.display()
    )]
    ProblemTwice {
        /// The shard.
        path: PathBuf,
        /// The shard that has the problem too, which may be the same.
        first: PathBuf,
        /// The problem's id.
        problem: String,
    },
    /// A search is in a shard twice.
    #[error("{}: the search of problem {problem:?} with seed {seed} is in it twice", path.display())]
    SearchTwice {
        /// The shard.
        path: PathBuf,
        /// The problem's id.
        problem: String,
        /// The seed.
        seed: u64,
    },
    /// The problems are not in the order of the problem set.
    #[error(
        "{}: problem {} of the set was expected here, found {found:?}: a shard is missing, or they are out of order",
        path.display(), expected.as_deref().map_or_else(|| "none".to_owned(), |id| format!("{id:?}"))
    )]
    ProblemOrder {
        /// The shard.
        path: PathBuf,
        /// The next problem of the set; `None` at its end.
        expected: Option<String>,
        /// The id of the problem in the shard.
        found: String,
    },
    /// The numbers of problems in the shards are not those of a run dealt out in this order.
    #[error("{}: problem {problem} (counted from 0) was expected here: a shard is missing, or they are out of order", path.display())]
    ShardOrder {
        /// The shard.
        path: PathBuf,
        /// The index of the problem in the whole run.
        problem: u64,
    },
}

/// The reason why a record is no trajectory. Each message names the field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The search was stopped before its end.
    #[error("the search has not ended")]
    Unfinished,
    /// A table of expressions cannot be read or written.
    #[error("{field}: {source}")]
    Expressions {
        /// The field.
        field: &'static str,
        /// The reason.
        source: ExpressionError,
    },
    /// A column has the wrong number of values.
    #[error("{field}: expected {expected} values, found {found}")]
    Length {
        /// The field.
        field: &'static str,
        /// The length that is needed.
        expected: usize,
        /// The length that was found.
        found: usize,
    },
    /// A column ends although a value is needed, or goes on although none is.
    #[error("{field}: too {}", if *.short { "short" } else { "long" })]
    Column {
        /// The field.
        field: &'static str,
        /// Whether values are missing; else there are too many.
        short: bool,
    },
    /// A value refers to something that does not exist.
    #[error("{field}: {index} is out of range, there are {len}")]
    Index {
        /// The field.
        field: &'static str,
        /// The value.
        index: u64,
        /// The number of things that exist.
        len: usize,
    },
    /// A value has no meaning in this version.
    #[error("{field}: unknown code {code}")]
    Code {
        /// The field.
        field: &'static str,
        /// The value.
        code: u8,
    },
    /// A number of a column has more than 32 bits.
    #[error("{field}: a number beyond {}", u32::MAX)]
    Number {
        /// The field.
        field: &'static str,
    },
    /// An individual's recorded edit makes another expression than the individual has.
    #[error("edit: it does not make {expression}")]
    Edit {
        /// The individual's expression.
        expression: String,
    },
    /// An expression has no score where its score should be known.
    #[error("scores: there is none of {expression}")]
    Unscored {
        /// The expression.
        expression: String,
    },
    /// The operators, constants and variables are no primitive set.
    #[error("primitives: {reason}")]
    Primitives {
        /// The reason.
        reason: String,
    },
    /// There are no generations, or a generation has no individuals.
    #[error("{field}: empty")]
    Empty {
        /// The field.
        field: &'static str,
    },
    /// A [`Recorder`](crate::Recorder) was shown a generation that does not follow the one before.
    #[error(
        "generation {found} was shown to a recorder after generation {last}: it has to see all of a search, in order"
    )]
    Gap {
        /// The generation that it saw last.
        last: u32,
        /// The generation that came next.
        found: u32,
    },
    /// A [`Recorder`](crate::Recorder) was shown a generation of another search, or one that is of no search.
    #[error(
        "generation {generation} is not of the search that a recorder saw first: each search needs a recorder of its own"
    )]
    OtherSearch {
        /// The generation.
        generation: u32,
    },
    /// The numbers of generations do not fit 32 bits.
    #[error("generations: numbers go beyond {}", u32::MAX)]
    NumberTooLarge,
}
