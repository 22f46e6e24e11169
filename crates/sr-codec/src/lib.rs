//! Versioned record files: a header and then MessagePack values in one zstd stream.
//!
//! A [`Writer`] makes a file. It is created with a [`Header`], takes records one by one, and gives the file its name
//! only when it is [finished](Writer::finish). The file of a killed process is [resumed](Writer::resume) after its last
//! whole record. A [`Reader`] reads the records with one of them in memory, and distinguishes a whole file from a cut
//! or damaged one. [`Indexed`] reads the records of a finished file in any order. The same records written under the
//! same header give the same bytes, resumed or not.
//!
//! ```
//! use sr_codec::{Header, Kind, Reader, Writer};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("squares.sr");
//!
//! let header = Header { kind: Kind::Corpus, version: 1, params: "the squares".to_owned() };
//! let mut writer = Writer::create(&path, &header)?;
//! for n in 0..5_u32 {
//!     writer.append(&(n, n * n))?;
//! }
//! assert_eq!(writer.finish()?, 5);
//!
//! let mut reader = Reader::<String>::open(&path, Kind::Corpus, 1)?;
//! assert_eq!(reader.header(), &header);
//! let squares: Vec<(u32, u32)> = reader.records().collect::<Result<_, _>>()?;
//! assert_eq!(squares[3], (3, 9));
//! # Ok(())
//! # }
//! ```
//!
//! [`sums`] are checksums of files and folders, which show whether a file is the one that was written.
//!
//! `docs/formats.md` describes the layout; any stock zstd and MessagePack reader can open it. This crate knows no
//! record type: the crates of problem sets, traces and corpora define them.

mod blocks;
mod error;
mod frame;
mod header;
mod indexed;
mod reader;
pub mod sums;
mod writer;

pub use error::{Error, Result};
pub use header::{CONTAINER_VERSION, Header, Kind};
pub use indexed::{Indexed, read_exact_at};
pub use reader::{PackedRecord, Reader, Records, decode_record, peek_header};
pub use writer::{COMPRESSION_LEVEL, MAX_HEADER_BYTES, MAX_RECORD_BYTES, Packed, Writer, partial_path};
