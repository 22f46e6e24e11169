//! What can go wrong in a round of DAgger.

use std::path::{Path, PathBuf};

/// The result of a step of DAgger.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a trace could not be relabelled, or a buffer not be used.
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
        /// The `.partial` file, or the finished one.
        path: PathBuf,
        /// The record.
        record: u64,
    },
    /// A run is to be resumed with another trace than it was started with.
    #[error("{}: made with other settings: its header is not that of this trace with labels", path.display())]
    OtherHeader {
        /// The finished file.
        path: PathBuf,
    },
    /// A run is to be resumed with other labels than it was started with.
    #[error(
        "{}: record {record} (counted from 0) was made with other settings: labels {found}, asked for {asked}; \
         use the same ones or delete the file", path.display()
    )]
    OtherLabels {
        /// The `.partial` file, or the finished one.
        path: PathBuf,
        /// The record.
        record: u64,
        /// How its labels were made.
        found: String,
        /// How they are to be made.
        asked: String,
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
    /// The problem is not the one that was searched.
    #[error(transparent)]
    OtherProblem(#[from] sr_trace::OtherProblem),

    // Settings.
    /// A setting that is a name, or a name and a number behind a colon, is neither.
    #[error("unknown {what} {found:?}, expected {supported}")]
    Unknown {
        /// What is set.
        what: &'static str,
        /// What was given.
        found: String,
        /// What could be.
        supported: &'static str,
    },
    /// The number behind the colon is out of range.
    #[error("{what} {found:?}: expected {expected}")]
    OutOfRange {
        /// What is set.
        what: &'static str,
        /// What was given.
        found: String,
        /// Which numbers there may be.
        expected: &'static str,
    },

    // Buffers.
    /// A buffer cannot be read or written.
    #[error("cannot {action} the buffer {}: {source}", path.display())]
    BufferIo {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// Why not.
        source: std::io::Error,
    },
    /// The file is no buffer, or is damaged; what it held can be appended anew to a new one.
    #[error("{}: {reason}", path.display())]
    NotABuffer {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The buffer was made with other settings.
    #[error("{}: the buffer was made with {what} {found}, not {expected}", path.display())]
    OtherBuffer {
        /// The file.
        path: PathBuf,
        /// The setting.
        what: &'static str,
        /// Its value in the file.
        found: String,
        /// The value asked for.
        expected: String,
    },
    /// Somebody else has the buffer open.
    #[error("{}: the buffer is in use by another run", path.display())]
    BufferInUse {
        /// The file.
        path: PathBuf,
    },
    /// A round was appended before those that come before it.
    #[error("{}: round {round} cannot be appended, the buffer has {rounds} rounds", path.display())]
    RoundOrder {
        /// The file.
        path: PathBuf,
        /// The round.
        round: u32,
        /// Rounds that the buffer holds.
        rounds: u32,
    },
    /// Rows of another width.
    #[error("{}: {bytes} bytes are no rows of {row_bytes} bytes each", path.display())]
    Width {
        /// The file.
        path: PathBuf,
        /// Bytes given.
        bytes: usize,
        /// Bytes of a row.
        row_bytes: u32,
    },
    /// There is nothing to draw from.
    #[error("{}: no row to draw{}", path.display(), if *newest { " of the newest round" } else { "" })]
    NoRows {
        /// The file.
        path: PathBuf,
        /// Whether only the newest round counts.
        newest: bool,
    },

    // Rounds and milestones.
    /// A file or folder cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which one.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A file of an earlier run is not what it was.
    #[error("{}: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The learner is to act in the first round, and there is none.
    #[error("with β {beta} the first round has β {first}, and no model to act: begin with a checkpoint, or with β 1")]
    NoModel {
        /// The schedule.
        beta: String,
        /// Its first value.
        first: f64,
    },
    /// A milestone that is not in the curriculum.
    #[error("there is no milestone {id:?}, only {supported}")]
    UnknownMilestone {
        /// What was asked for.
        id: String,
        /// Those that there are.
        supported: String,
    },
}

impl Error {
    /// What went wrong with a file or folder.
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Error + '_ {
        move |source| Error::Io { path: path.to_owned(), source }
    }
}
