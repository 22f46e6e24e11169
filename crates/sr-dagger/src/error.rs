//! The errors of this crate.

use std::path::{Path, PathBuf};

/// The result of a function of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// The reason why a trace could not be relabelled, a buffer not used, or rounds not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The trace cannot be read or written.
    #[error(transparent)]
    Trace(#[from] sr_trace::Error),
    /// The run to be resumed labelled another trace, or has other settings.
    #[error(
        "{}: record {record} (counted from 0) comes from another trace or other settings; \
         use the same ones or delete the file", path.display()
    )]
    OtherRun {
        /// The `.partial` file, or the finished one.
        path: PathBuf,
        /// The number of the record, counted from 0.
        record: u64,
    },
    /// The run to be resumed was started with another trace.
    #[error("{}: made with other settings: its header is not that of this trace with labels", path.display())]
    OtherHeader {
        /// The finished file.
        path: PathBuf,
    },
    /// The run to be resumed was started with other labels.
    #[error(
        "{}: record {record} (counted from 0) was made with other settings: labels {found}, asked for {asked}; \
         use the same ones or delete the file", path.display()
    )]
    OtherLabels {
        /// The `.partial` file, or the finished one.
        path: PathBuf,
        /// The number of the record, counted from 0.
        record: u64,
        /// The mode and settings of its labels.
        found: String,
        /// The mode and settings that were asked for.
        asked: String,
    },
    /// The trace's search settings are out of range.
    #[error("the trace's settings: {0}")]
    Config(#[from] sr_engine::ConfigError),

    // Errors of problems that do not belong to the trace.
    /// The problem is not in the problem set.
    #[error("problem {problem:?} of the trace is not in the problem set")]
    UnknownProblem {
        /// The problem's id.
        problem: String,
    },
    /// The labels need the problem's formula, which is unknown.
    #[error("problem {problem:?} has no formula, which labels of this mode take")]
    NoFormula {
        /// The problem's id.
        problem: String,
    },
    /// The problem is not the one that was searched.
    #[error(transparent)]
    OtherProblem(#[from] sr_trace::OtherProblem),

    // Errors of settings.
    /// The text of a setting is not one of its names, or lacks the number after the colon.
    #[error("unknown {what} {found:?}, expected {supported}")]
    Unknown {
        /// The name of the setting.
        what: &'static str,
        /// The text that was given.
        found: String,
        /// The texts that are accepted.
        supported: &'static str,
    },
    /// The number after the colon is out of range.
    #[error("{what} {found:?}: expected {expected}")]
    OutOfRange {
        /// The name of the setting.
        what: &'static str,
        /// The text that was given.
        found: String,
        /// The numbers that are accepted.
        expected: &'static str,
    },

    // Errors of buffers.
    /// A buffer cannot be read or written.
    #[error("cannot {action} the buffer {}: {source}", path.display())]
    BufferIo {
        /// The buffer's file.
        path: PathBuf,
        /// The action that failed.
        action: &'static str,
        /// The cause.
        source: std::io::Error,
    },
    /// The file is not a buffer, or is damaged; delete it and append all rounds to a new one.
    #[error("{}: {reason}", path.display())]
    NotABuffer {
        /// The buffer's file.
        path: PathBuf,
        /// The fault.
        reason: String,
    },
    /// The buffer was created with other options.
    #[error("{}: the buffer was made with {what} {found}, not {expected}", path.display())]
    OtherBuffer {
        /// The buffer's file.
        path: PathBuf,
        /// The option.
        what: &'static str,
        /// The option's value in the file.
        found: String,
        /// The value that was asked for.
        expected: String,
    },
    /// Another process has the buffer open.
    #[error("{}: the buffer is in use by another run", path.display())]
    BufferInUse {
        /// The buffer's file.
        path: PathBuf,
    },
    /// A round was appended before an earlier one.
    #[error("{}: round {round} cannot be appended, the buffer has {rounds} rounds", path.display())]
    RoundOrder {
        /// The buffer's file.
        path: PathBuf,
        /// The round that was appended.
        round: u32,
        /// The number of rounds in the buffer.
        rounds: u32,
    },
    /// The bytes are not a whole number of rows.
    #[error("{}: {bytes} bytes are no rows of {row_bytes} bytes each", path.display())]
    Width {
        /// The buffer's file.
        path: PathBuf,
        /// The number of bytes given.
        bytes: usize,
        /// The bytes of a row.
        row_bytes: u32,
    },
    /// There are no rows to draw from.
    #[error("{}: no row to draw{}", path.display(), if *newest { " of the newest round" } else { "" })]
    NoRows {
        /// The buffer's file.
        path: PathBuf,
        /// Whether only the newest round was drawn from.
        newest: bool,
    },

    // Errors of rounds and milestones.
    /// A file or folder cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A file of an earlier run is missing or has changed.
    #[error("{}: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The fault.
        reason: String,
    },
    /// The learner must act in the first round, and there is no model.
    #[error("with β {beta} the first round has β {first}, and no model to act: begin with a checkpoint, or with β 1")]
    NoModel {
        /// The schedule of β.
        beta: String,
        /// The schedule's first value.
        first: f64,
    },
    /// The curriculum has no such milestone.
    #[error("there is no milestone {id:?}, only {supported}")]
    UnknownMilestone {
        /// The id that was asked for.
        id: String,
        /// The ids of the curriculum.
        supported: String,
    },
}

impl Error {
    /// Returns a function that adds the path to an I/O error.
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Error + '_ {
        move |source| Error::Io { path: path.to_owned(), source }
    }
}
