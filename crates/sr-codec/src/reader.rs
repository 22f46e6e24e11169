//! The reader of a file, with one record in memory.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use serde::de::{DeserializeOwned, Error as _};
use serde_json::Value;
use zstd::stream::raw::Decoder;

use crate::frame::{FOOTER_LEN, Fault, Frame, Frames, decoder, parse_footer, unpack};
use crate::{Error, Header, Kind, MAX_HEADER_BYTES, MAX_RECORD_BYTES, Result};

/// The most arrays and maps in each other: reading them takes stack, and threads have little of it.
pub(crate) const MAX_NESTING: usize = 128;

/// A reader of the records of a file, in order.
///
/// From a cut or damaged file it returns all records before that place, then an error, and then nothing more. If it
/// ends without an error, the file is whole: every record, their number and every byte were checked.
pub struct Reader<P = Value> {
    path: PathBuf,
    header: Header<P>,
    stated_records: Option<u64>,
    frames: Frames<File>,
    /// The number of the next record.
    record: u64,
    ended: bool,
}

impl<P> std::fmt::Debug for Reader<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("path", &self.path).field("record", &self.record).finish_non_exhaustive()
    }
}

/// Returns the header of a file of any kind and version.
///
/// # Errors
/// Returns an error where [`Reader::open_any`] does.
pub fn peek_header(path: impl AsRef<Path>) -> Result<Header> {
    Reader::open_any(path).map(|reader| reader.header)
}

impl Reader {
    /// Opens a file of any kind and version and leaves its parameters as JSON.
    ///
    /// # Errors
    /// Returns an error where [`Reader::open`] does, except for a wrong kind or version.
    pub fn open_any(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_expecting(path.as_ref(), None)
    }
}

impl<P: DeserializeOwned> Reader<P> {
    /// Opens a file of this kind and version and reads its header. To read several versions, call [`peek_header`] first.
    ///
    /// # Errors
    /// Returns an error if the file cannot be opened, does not begin with a whole header, or is of another kind or
    /// version.
    pub fn open(path: impl AsRef<Path>, kind: Kind, version: u32) -> Result<Self> {
        Self::open_expecting(path.as_ref(), Some((kind, version)))
    }

    fn open_expecting(path: &Path, expected: Option<(Kind, u32)>) -> Result<Self> {
        let mut file = File::open(path).map_err(Error::io(path, "open"))?;
        let stated_records = stated_records(&mut file).map_err(Error::io(path, "read"))?;
        let mut frames = Frames::new(file, MAX_HEADER_BYTES).map_err(Error::io(path, "start a decoder for"))?;
        let reason = match frames.advance() {
            Ok(Frame::Value) => None,
            Ok(Frame::Footer { .. }) => Some("it has a footer only".to_owned()),
            Err(Fault::Cut) => Some("it ends within the header".to_owned()),
            Err(Fault::Corrupt(reason)) => Some(reason),
            Err(Fault::Io(source)) => return Err(Error::io(path, "read")(source)),
        };
        if let Some(reason) = reason {
            return Err(Error::BadHeader { path: path.to_owned(), reason });
        }
        let header = Header::decode(path, &frames.payload, expected)?;
        frames.limit = MAX_RECORD_BYTES;
        Ok(Self { path: path.to_owned(), header, stated_records, frames, record: 0, ended: false })
    }
}

impl<P> Reader<P> {
    /// Returns the header.
    pub fn header(&self) -> &Header<P> {
        &self.header
    }

    /// Returns the header, the file, and the offset of the frame found last.
    pub(crate) fn into_parts(self) -> (Header<P>, File, u64) {
        let start = self.frames.start;
        (self.header, self.frames.into_source(), start)
    }

    /// Returns the number of records that the footer states, before they are read, or `None` if the file was not
    /// finished. It is checked only when reading reaches the end.
    pub fn stated_records(&self) -> Option<u64> {
        self.stated_records
    }

    /// Returns an iterator over the records from here on. The caller chooses the type.
    pub fn records<T: DeserializeOwned>(&mut self) -> Records<'_, P, T> {
        Records { reader: self, record_type: PhantomData }
    }

    /// Returns the next record, `None` at the end of a whole file and after an error.
    ///
    /// # Errors
    /// Returns an error if the file is cut or damaged here, or the record is not a `T`.
    pub fn next_record<T: DeserializeOwned>(&mut self) -> Result<Option<T>> {
        let record = self.record;
        let Some(bytes) = self.next_raw()? else {
            return Ok(None);
        };
        decode_record(bytes).map(Some).map_err(|source| {
            self.ended = true;
            Error::Decode { path: self.path.clone(), record, source }
        })
    }

    /// Returns the next record as MessagePack, for [`Writer::append_raw`](crate::Writer::append_raw).
    ///
    /// # Errors
    /// Returns an error if the file is cut or damaged here.
    pub fn next_raw(&mut self) -> Result<Option<&[u8]>> {
        let is_record = self.advance(Frames::advance)?;
        Ok(is_record.then_some(&self.frames.payload))
    }

    /// Returns the next record as it is in the file, so that another thread can [unpack](PackedRecord::unpack) it.
    ///
    /// # Errors
    /// Returns an error if the file is cut or damaged here. Damage within the record may be noticed only by unpacking
    /// it.
    pub fn next_packed(&mut self) -> Result<Option<PackedRecord>> {
        let record = self.record;
        let is_record = self.advance(Frames::advance_packed)?;
        let (payload, offset) = (&mut self.frames.payload, self.frames.start);
        Ok(is_record.then(|| PackedRecord { frame: std::mem::take(payload), record, offset }))
    }

    /// Reads the next frame and returns whether it is a record.
    fn advance(&mut self, frame: fn(&mut Frames<File>) -> std::result::Result<Frame, Fault>) -> Result<bool> {
        if self.ended {
            return Ok(false);
        }
        self.ended = true; // unless a record is found
        let found = frame(&mut self.frames);
        let (path, record, offset) = (|| self.path.clone(), self.record, self.frames.start);
        match found {
            Ok(Frame::Value) => {
                self.ended = false;
                self.record += 1;
                Ok(true)
            }
            Ok(Frame::Footer { intact: false, .. }) => Err(Error::ChecksumMismatch { path: path(), records: record }),
            Ok(Frame::Footer { records, .. }) if records != record => {
                Err(Error::CountMismatch { path: path(), expected: records, found: record })
            }
            Ok(Frame::Footer { .. }) => Ok(false),
            Err(fault) => Err(fault_error(fault, &self.path, record, offset)),
        }
    }
}

fn fault_error(fault: Fault, path: &Path, record: u64, offset: u64) -> Error {
    let path = path.to_owned();
    match fault {
        Fault::Cut => Error::Truncated { path, record, offset },
        Fault::Corrupt(reason) => Error::Corrupt { path, record, offset, reason },
        Fault::Io(source) => Error::Io { path, doing: "read", source },
    }
}

/// A record of [`Reader::next_packed`], which is not decompressed yet.
#[derive(Debug, Clone)]
pub struct PackedRecord {
    frame: Vec<u8>,
    record: u64,
    offset: u64,
}

impl PackedRecord {
    /// Returns the number of the record in the file, counted from 0.
    pub fn record(&self) -> u64 {
        self.record
    }

    /// Returns the offset at which it starts in the file.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Returns the number of bytes that it takes in the file.
    pub fn packed_len(&self) -> usize {
        self.frame.len()
    }

    /// Returns the record as MessagePack, like [`Reader::next_raw`]. `path` is the file's, for errors.
    ///
    /// # Errors
    /// Returns an error if the record is damaged.
    ///
    /// # Panics
    /// Panics if there is no memory for a decompressor.
    pub fn unpack(&self, path: &Path) -> Result<Vec<u8>> {
        thread_local! {
            static DECODER: RefCell<Decoder<'static>> = RefCell::new(decoder().expect("memory for a decompressor"));
        }
        DECODER
            .with_borrow_mut(|decoder| unpack(decoder, &self.frame, MAX_RECORD_BYTES))
            .map_err(|fault| fault_error(fault, path, self.record, self.offset))
    }
}

/// The iterator over the records of a file that [`Reader::records`] returns. It ends after the first error.
pub struct Records<'a, P, T> {
    reader: &'a mut Reader<P>,
    record_type: PhantomData<fn() -> T>,
}

impl<P, T> std::fmt::Debug for Records<'_, P, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Records").field("reader", &self.reader).finish_non_exhaustive()
    }
}

impl<P, T: DeserializeOwned> Iterator for Records<'_, P, T> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Result<T>> {
        self.reader.next_record().transpose()
    }
}

impl<P, T: DeserializeOwned> std::iter::FusedIterator for Records<'_, P, T> {}

/// Decodes a record of [`Reader::next_raw`]: one value, and nothing after it.
///
/// # Errors
/// Returns an error if it is not a `T`.
pub fn decode_record<T: DeserializeOwned>(bytes: &[u8]) -> std::result::Result<T, rmp_serde::decode::Error> {
    let mut decoder = rmp_serde::Deserializer::new(bytes);
    decoder.set_max_depth(MAX_NESTING);
    let value = T::deserialize(&mut decoder)?;
    match decoder.get_ref().len() {
        0 => Ok(value),
        rest => Err(rmp_serde::decode::Error::custom(format!("{rest} bytes follow the value"))),
    }
}

/// Returns the number in the footer, if the file ends with a footer. It leaves the file at its start.
fn stated_records(file: &mut File) -> io::Result<Option<u64>> {
    if file.metadata()?.len() < FOOTER_LEN as u64 {
        return Ok(None); // a pipe too has length 0, and cannot be read from its end
    }
    let mut bytes = [0; FOOTER_LEN];
    file.seek(SeekFrom::End(-(FOOTER_LEN as i64)))?;
    file.read_exact(&mut bytes)?;
    file.rewind()?;
    Ok(parse_footer(&bytes).map(|(records, _)| records))
}
