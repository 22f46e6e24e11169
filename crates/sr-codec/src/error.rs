//! The errors of record files.

use std::io;
use std::path::{Path, PathBuf};

use crate::Kind;

/// The result of reading or writing a record file.
pub type Result<T> = std::result::Result<T, Error>;

/// The reason why a record file could not be read or written. Each message is one line and names the file; records are
/// counted from 0, offsets in bytes from the start of the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    // The file system.
    /// The operating system returned an error.
    #[error("{}: cannot {doing}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The operation, such as `open`.
        doing: &'static str,
        /// The system's error.
        source: io::Error,
    },
    /// Another writer has this `.partial` file open.
    #[error("{}: another process is writing this file", path.display())]
    Locked {
        /// The `.partial` file.
        path: PathBuf,
    },

    // The header.
    /// The file does not begin with a whole header: it is of another format, empty, or damaged at its start.
    #[error("{}: not a readable record file: {reason}", path.display())]
    BadHeader {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// The file comes from another version of the container itself.
    #[error("{}: expected container version {expected}, found {found}", path.display())]
    WrongContainer {
        /// The file.
        path: PathBuf,
        /// The expected version, [`CONTAINER_VERSION`](crate::CONTAINER_VERSION).
        expected: u32,
        /// The file's container version.
        found: u32,
    },
    /// The file's kind is one this version of the crate does not know.
    #[error("{}: expected a file of kind problems, trace or corpus, found \"{found}\"", path.display())]
    UnknownKind {
        /// The file.
        path: PathBuf,
        /// The kind in its header.
        found: String,
    },
    /// The file is of another kind, for example a trace where a problem set is needed.
    #[error("{}: expected a file of kind {expected}, found {found}", path.display())]
    WrongKind {
        /// The file.
        path: PathBuf,
        /// The kind that the caller asked for.
        expected: Kind,
        /// The kind in its header.
        found: Kind,
    },
    /// The records are of a format version that the caller does not read.
    #[error("{}: expected {kind} version {expected}, found {found}", path.display())]
    WrongVersion {
        /// The file.
        path: PathBuf,
        /// The kind of the file.
        kind: Kind,
        /// The version that the caller asked for.
        expected: u32,
        /// The version in its header.
        found: u32,
    },
    /// The header's parameters do not have the shape the caller expects.
    #[error("{}: cannot read the header's parameters", path.display())]
    DecodeHeader {
        /// The file.
        path: PathBuf,
        /// The field or type at fault.
        source: rmp_serde::decode::Error,
    },
    /// The parameters given for the header cannot be written as MessagePack.
    #[error("{}: cannot write the header", path.display())]
    EncodeHeader {
        /// The file.
        path: PathBuf,
        /// The value that MessagePack cannot hold.
        source: rmp_serde::encode::Error,
    },
    /// A run is to be resumed with other settings than it was started with.
    #[error("{}: started with other settings: {difference}; use the same ones or delete the file", path.display())]
    HeaderDiffers {
        /// The `.partial` file.
        path: PathBuf,
        /// The first field that differs, with both values.
        difference: String,
    },

    // The records.
    /// The file ends before its footer: it was cut, or its writer never finished. All earlier records are whole.
    #[error("{}: cut short: whole up to byte {offset}, record {record} (counted from 0) or the footer is missing", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// The number of the first record that is not whole, which is also the number of whole ones.
        record: u64,
        /// The offset at which the last whole record ends.
        offset: u64,
    },
    /// The bytes of a record, or of the footer behind the last one, are damaged. All earlier records are whole.
    #[error("{}: record {record} (counted from 0) at byte {offset} is corrupt: {reason}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// The number of the record.
        record: u64,
        /// The offset at which it starts.
        offset: u64,
        /// The reason.
        reason: String,
    },
    /// The record is undamaged, but not of the type the caller expects.
    #[error("{}: cannot read record {record} (counted from 0)", path.display())]
    Decode {
        /// The file.
        path: PathBuf,
        /// The number of the record.
        record: u64,
        /// The field or type at fault.
        source: rmp_serde::decode::Error,
    },
    /// The record cannot be written as MessagePack.
    #[error("{}: cannot write record {record} (counted from 0)", path.display())]
    Encode {
        /// The file.
        path: PathBuf,
        /// The number of the record.
        record: u64,
        /// The value that MessagePack cannot hold.
        source: rmp_serde::encode::Error,
    },
    /// A record is larger than readers accept.
    #[error("{}: record {record} (counted from 0) has {bytes} bytes, the limit is {limit}", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The number of the record.
        record: u64,
        /// The size as MessagePack, before compression.
        bytes: usize,
        /// The limit: [`MAX_RECORD_BYTES`](crate::MAX_RECORD_BYTES), or less for its size in the file.
        limit: usize,
    },

    // The footer.
    /// The footer states another number of records than the file has.
    #[error("{}: expected {expected} records by the footer, found {found}", path.display())]
    CountMismatch {
        /// The file.
        path: PathBuf,
        /// The number in the footer.
        expected: u64,
        /// The number of records read.
        found: u64,
    },
    /// The file's bytes do not have the checksum in its footer, though each record agrees with its own. The cause is
    /// damage in a byte that zstd ignores, or records that were removed, repeated or reordered.
    #[error("{}: the file does not match its checksum (all {records} records match theirs)", path.display())]
    ChecksumMismatch {
        /// The file.
        path: PathBuf,
        /// The number of records read.
        records: u64,
    },
}

impl Error {
    /// Returns a function for `map_err` that makes an [`Error::Io`] with the file and the operation.
    pub(crate) fn io(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { path: path.to_owned(), doing, source }
    }
}
