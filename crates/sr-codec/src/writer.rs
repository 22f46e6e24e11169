//! The writer of a file, which is either whole under its name or resumable beside it.

use std::cell::RefCell;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use zstd::stream::raw::{CParameter, Encoder, InBuffer, Operation, OutBuffer};
use zstd::zstd_safe::{ParamSwitch, compress_bound};

use crate::blocks::blocks;
use crate::frame::{Fault, Frame, Frames, footer, most_bytes};
use crate::header::difference;
use crate::{Error, Header, Kind, Result};

/// The zstd level of every frame. Records are columns of small numbers, in which longer searches for repetitions find
/// little, and searches wait while they are written. With matches of seven bytes or more, level 1 makes traces smaller
/// than level 3. Equal runs give equal bytes only if all settings are the same everywhere, so they cannot be chosen.
pub const COMPRESSION_LEVEL: i32 = 1;
/// The smallest number of bytes of a repetition. Shorter ones are chance in a column, and cost more than its Huffman
/// code.
const SHORTEST_MATCH: u32 = 7;
/// The distance at which level 1 looks for repetitions. This is zstd's maximum and the length of a block, so it finds
/// none.
const NO_MATCHES: u32 = 1 << 17;

/// The largest record, as MessagePack before compression: 1 GiB. Readers refuse larger ones, so that a damaged file
/// cannot claim all memory. A record of more than 64 MiB may also have at most 1,024 bytes for each that it takes in the
/// file, so that a small file cannot.
pub const MAX_RECORD_BYTES: usize = 1 << 30;

/// The largest header, as MessagePack before compression: 16 MiB. Headers are read as any JSON, which takes thirty times
/// as much memory.
pub const MAX_HEADER_BYTES: usize = 16 << 20;

/// A writer of `PATH.partial`, which [`finish`](Writer::finish) renames to `PATH`.
///
/// A writer that is dropped leaves the `.partial` file with the records so far. So does a killed process, except for
/// records that are still buffered (see [`flush`](Writer::flush)). [`resume`](Writer::resume) continues the file. The
/// file is locked meanwhile where the file system can, so two processes never write the same one.
pub struct Writer {
    path: PathBuf,
    partial: PathBuf,
    out: BufWriter<File>,
    compressor: Compressor,
    /// The CRC-32 of all bytes written.
    crc: crc32fast::Hasher,
    records: u64,
    limit: usize,
    // These are reused from record to record.
    payload: Vec<u8>,
    frame: Vec<u8>,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("path", &self.path).field("records", &self.records).finish_non_exhaustive()
    }
}

/// Returns the path at which the file for `path` is written until it is finished: beside it, with `.partial` added to
/// the name.
pub fn partial_path(path: impl AsRef<Path>) -> PathBuf {
    let mut name = path.as_ref().as_os_str().to_owned();
    name.push(".partial");
    name.into()
}

impl Writer {
    /// Starts a new file. It discards an unfinished file of the same name; a finished one stays until
    /// [`finish`](Self::finish) replaces it.
    ///
    /// # Errors
    /// Returns an error if the folder cannot be written, another writer has the file, or `header` cannot be written as
    /// MessagePack.
    pub fn create<P: Serialize>(path: impl AsRef<Path>, header: &Header<P>) -> Result<Self> {
        let (kind, header) = (header.kind, header.encode(path.as_ref())?);
        let mut writer = Self::open(path.as_ref(), kind)?;
        writer.restart(&header)?;
        Ok(writer)
    }

    /// Continues an unfinished file after its last whole record, and returns how many records it has. It cuts off what
    /// follows them. If there is no unfinished file, it starts a new one with 0 records. The result has the bytes that
    /// an undisturbed run would have written.
    ///
    /// # Errors
    /// Returns an error where [`create`](Self::create) does, and if the unfinished file has another header or none that
    /// can be read.
    pub fn resume<P: Serialize>(path: impl AsRef<Path>, header: &Header<P>) -> Result<(Self, u64)> {
        let (kind, header) = (header.kind, header.encode(path.as_ref())?);
        let mut writer = Self::open(path.as_ref(), kind)?;
        if !writer.skip_whole_records(&header)? {
            writer.restart(&header)?;
        }
        let records = writer.records;
        Ok((writer, records))
    }

    /// Adds a record, as a MessagePack map with named fields if it is a struct.
    ///
    /// # Errors
    /// Returns an error if the record cannot be written as MessagePack, is larger than [`MAX_RECORD_BYTES`] allows, or
    /// writing fails.
    pub fn append<T: Serialize + ?Sized>(&mut self, record: &T) -> Result<()> {
        let mut payload = std::mem::take(&mut self.payload);
        payload.clear();
        let result = rmp_serde::encode::write_named(&mut payload, record)
            .map_err(|source| Error::Encode { path: self.partial.clone(), record: self.records, source })
            .and_then(|()| self.append_raw(&payload));
        self.payload = payload;
        result
    }

    /// Adds a record that is MessagePack already, from [`Reader::next_raw`](crate::Reader::next_raw). It must be one
    /// whole value, which is not checked.
    ///
    /// # Errors
    /// Returns an error if the record is larger than [`MAX_RECORD_BYTES`] allows, or writing fails.
    pub fn append_raw(&mut self, record: &[u8]) -> Result<()> {
        self.check_size(record.len(), self.limit)?;
        self.write_frame(record)?;
        self.records += 1;
        Ok(())
    }

    /// Adds a record that was packed before, perhaps on another thread.
    ///
    /// # Errors
    /// Returns an error if the record is larger than [`MAX_RECORD_BYTES`] allows, or writing fails.
    pub fn append_packed(&mut self, record: &Packed) -> Result<()> {
        self.check_size(record.bytes, self.limit.min(most_bytes(record.frame.len())))?;
        self.write(&record.frame)?;
        self.records += 1;
        Ok(())
    }

    fn check_size(&self, bytes: usize, limit: usize) -> Result<()> {
        if bytes > limit {
            let path = self.partial.clone();
            return Err(Error::TooLarge { path, record: self.records, bytes, limit });
        }
        Ok(())
    }

    /// Returns the number of records so far, including those before a resumption.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Writes buffered records to the operating system, so that a killed process does not lose them. It is worth a call
    /// after each record that took long to make.
    ///
    /// # Errors
    /// Returns an error if writing fails.
    pub fn flush(&mut self) -> Result<()> {
        self.out.flush().map_err(Error::io(&self.partial, "write"))
    }

    /// Completes the file, syncs it to the disk, gives it its final name, and returns the number of records.
    ///
    /// # Errors
    /// Returns an error if writing or renaming fails; the `.partial` file then still exists.
    pub fn finish(mut self) -> Result<u64> {
        self.write(&footer(self.records, self.crc.clone()))?;
        self.flush()?;
        self.out.get_ref().sync_all().map_err(Error::io(&self.partial, "sync"))?;
        fs::rename(&self.partial, &self.path).map_err(Error::io(&self.path, "rename the finished file to"))?;
        sync_folder(&self.path)?;
        Ok(self.records)
    }

    /// Opens and locks the `.partial` file without changing its content.
    fn open(path: &Path, kind: Kind) -> Result<Self> {
        let partial = partial_path(path);
        let file = loop {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false);
            let file = options.open(&partial).map_err(Error::io(&partial, "create"))?;
            if let Err(TryLockError::WouldBlock) = file.try_lock() {
                return Err(Error::Locked { path: partial }); // any other error: this file system has no locks
            }
            // Between opening and locking, another writer may have finished this very file and given it its name.
            if is_at(&file, &partial).map_err(Error::io(&partial, "look at"))? {
                break file;
            }
        };
        let compressor = Compressor::new(kind).map_err(Error::io(&partial, "compress"))?;
        Ok(Self {
            path: path.to_owned(),
            partial,
            out: BufWriter::with_capacity(1 << 17, file),
            compressor,
            crc: crc32fast::Hasher::new(),
            records: 0,
            limit: MAX_RECORD_BYTES,
            payload: Vec::new(),
            frame: Vec::new(),
        })
    }

    fn restart(&mut self, header: &[u8]) -> Result<()> {
        if header.len() > MAX_HEADER_BYTES {
            let reason = format!("it would have {} bytes, the limit is {MAX_HEADER_BYTES}", header.len());
            return Err(Error::BadHeader { path: self.partial.clone(), reason });
        }
        self.cut_at(0)?;
        self.write_frame(header)
    }

    /// Goes to the end of the last whole record. Returns false if there is no whole header.
    fn skip_whole_records(&mut self, header: &[u8]) -> Result<bool> {
        let path = || self.partial.clone();
        let io = |error| Error::io(&self.partial, "read")(error);
        let mut frames = Frames::new(self.out.get_ref(), self.limit).map_err(io)?;
        match frames.advance() {
            Ok(Frame::Value) if frames.payload == header => {}
            Ok(Frame::Value) => {
                return Err(Error::HeaderDiffers { path: path(), difference: difference(&frames.payload, header) });
            }
            Err(Fault::Cut) => return Ok(false),
            Err(Fault::Io(error)) => return Err(io(error)),
            // It is not cleared away like a damaged record, because it may be a foreign file.
            Ok(Frame::Footer { .. }) => {
                return Err(Error::BadHeader { path: path(), reason: "it has a footer only".to_owned() });
            }
            Err(Fault::Corrupt(reason)) => return Err(Error::BadHeader { path: path(), reason }),
        }
        let mut records = 0;
        loop {
            match frames.advance() {
                Ok(Frame::Value) => records += 1,
                Err(Fault::Io(error)) => return Err(io(error)),
                // There is a footer if the process died between writing it and renaming the file.
                Ok(Frame::Footer { .. }) | Err(Fault::Cut | Fault::Corrupt(_)) => break,
            }
        }
        let (end, crc) = (frames.start, frames.crc_at_start);
        self.cut_at(end)?;
        self.crc = crc;
        self.records = records;
        Ok(true)
    }

    fn cut_at(&mut self, end: u64) -> Result<()> {
        let file = self.out.get_mut();
        file.set_len(end).map_err(Error::io(&self.partial, "truncate"))?;
        file.seek(SeekFrom::Start(end)).map_err(Error::io(&self.partial, "seek in"))?;
        Ok(())
    }

    fn write_frame(&mut self, payload: &[u8]) -> Result<()> {
        let mut frame = std::mem::take(&mut self.frame);
        let result = self
            .compressor
            .compress(payload, &mut frame)
            .map_err(Error::io(&self.partial, "compress"))
            .and_then(|()| self.check_size(payload.len(), most_bytes(frame.len())))
            .and_then(|()| self.write(&frame));
        self.frame = frame;
        result
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.write_all(bytes).map_err(Error::io(&self.partial, "write"))?;
        self.crc.update(bytes);
        Ok(())
    }
}

/// A record as it goes into a file, so that threads that make records can compress them too.
#[derive(Debug, Clone)]
pub struct Packed {
    frame: Vec<u8>,
    /// The number of bytes before compression.
    bytes: usize,
}

impl Packed {
    /// Packs a record, as [`Writer::append`] does in a file of this kind.
    ///
    /// # Errors
    /// Returns an error if the record cannot be written as MessagePack.
    ///
    /// # Panics
    /// Panics if there is no memory for a compressor.
    pub fn new<T: Serialize + ?Sized>(kind: Kind, record: &T) -> std::result::Result<Self, rmp_serde::encode::Error> {
        thread_local! {
            static LAST: RefCell<Option<(Kind, Compressor)>> = const { RefCell::new(None) };
        }
        let payload = rmp_serde::to_vec_named(record)?;
        let mut frame = Vec::new();
        LAST.with_borrow_mut(|last| {
            let (_, compressor) = match last.take_if(|(of, _)| *of == kind) {
                Some(fitting) => last.insert(fitting),
                None => last.insert((kind, Compressor::new(kind).expect("memory for a compressor"))),
            };
            compressor.compress(&payload, &mut frame).expect("memory to compress");
        });
        Ok(Packed { frame, bytes: payload.len() })
    }
}

/// Returns whether the open file is the one with this name.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let open = file.metadata()?;
        match fs::metadata(path) {
            Ok(named) => Ok((named.dev(), named.ino()) == (open.dev(), open.ino())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
    #[cfg(not(unix))]
    {
        let _ = (file, path); // an open file cannot be renamed there
        Ok(true)
    }
}

/// A compressor of the records of one kind.
struct Compressor {
    encoder: Encoder<'static>,
    /// The number of bytes from which a column is worth its own Huffman code.
    column_bytes: usize,
}

impl Compressor {
    fn new(kind: Kind) -> io::Result<Self> {
        let mut encoder = Encoder::new(COMPRESSION_LEVEL)?;
        encoder.set_parameter(CParameter::MinMatch(SHORTEST_MATCH))?;
        encoder.set_parameter(CParameter::ChecksumFlag(true))?;
        let column_bytes = match kind {
            Kind::Problems | Kind::Corpus => 128,
            // A search waits for its trace, and looking for the few repetitions would take as long as all the rest.
            Kind::Trace => {
                encoder.set_parameter(CParameter::TargetLength(NO_MATCHES))?;
                encoder.set_parameter(CParameter::HashLog(6))?; // the least, cleared for each record
                // Steps of more than one byte would turn Huffman codes off.
                encoder.set_parameter(CParameter::LiteralCompressionMode(ParamSwitch::Enable))?;
                // zstd prefers the code of the previous block to making one for less.
                1024
            }
        };
        Ok(Compressor { encoder, column_bytes })
    }

    /// Compresses a payload to one frame, with a Huffman code for each of its [`blocks`].
    fn compress(&mut self, payload: &[u8], frame: &mut Vec<u8>) -> io::Result<()> {
        let Compressor { encoder, column_bytes } = self;
        encoder.reinit()?;
        encoder.set_pledged_src_size(Some(payload.len() as u64))?;
        frame.clear();
        // More blocks than zstd's bound assumes need room for their headers.
        frame.reserve(compress_bound(payload.len()) + 64);
        for block in blocks(payload, *column_bytes) {
            let mut input = InBuffer::around(block);
            while input.pos() < block.len() {
                step(frame, |output| encoder.run(&mut input, output))?;
            }
            while step(frame, |output| encoder.flush(output))? > 0 {}
        }
        while step(frame, |output| encoder.finish(output, true))? > 0 {}
        Ok(())
    }
}

/// Makes one call that appends to `frame`, with room for at least some output. Returns the call's result.
fn step(
    frame: &mut Vec<u8>,
    mut call: impl FnMut(&mut OutBuffer<'_, Vec<u8>>) -> io::Result<usize>,
) -> io::Result<usize> {
    frame.reserve(1 << 10);
    let end = frame.len();
    call(&mut OutBuffer::around_pos(frame, end))
}

/// Makes a renaming in the folder of `path` durable.
fn sync_folder(path: &Path) -> Result<()> {
    // Other systems cannot open a folder as a file, and renaming needs no help there.
    if cfg!(unix) {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(Error::io(folder, "sync"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Kind, Reader};

    #[test]
    fn what_readers_would_take_for_a_bomb_is_not_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("dense.sr");
        let header = Header { kind: Kind::Corpus, version: 1, params: () };
        let mut writer = Writer::create(&path, &header).expect("a new file");
        let zeros = "0".repeat((64 << 20) + 1);
        let bytes = zeros.len() + 5;
        let is_refused = |result: Result<()>| {
            let error = result.expect_err("a kilobyte in the file");
            let Error::TooLarge { record: 0, bytes: found, limit, .. } = error else { panic!("{error}") };
            assert_eq!((found, limit), (bytes, 64 << 20));
        };
        is_refused(writer.append(&zeros));
        is_refused(writer.append_packed(&Packed::new(Kind::Corpus, &zeros).expect("a text")));
        writer.append(&zeros[..1 << 20]).expect("small enough");
        assert_eq!(writer.finish().expect("finished"), 1);
        let mut reader = crate::Reader::<()>::open(&path, Kind::Corpus, 1).expect("finished");
        assert_eq!(reader.next_record::<String>().expect("whole").as_deref(), Some(&zeros[..1 << 20]));

        let header = Header { kind: Kind::Corpus, version: 1, params: "0".repeat(MAX_HEADER_BYTES) };
        let error = Writer::create(&path, &header).expect_err("a header of 16 MiB").to_string();
        assert!(error.contains("dense.sr") && error.contains("the limit is 16777216"), "{error}");
    }

    #[test]
    fn a_small_file_that_would_fill_memory_is_refused_by_file_and_record() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("bomb.sr");
        let header = Header { kind: Kind::Corpus, version: 1, params: () }.encode(&path).expect("plain data");
        let pack = |bytes: &[u8]| zstd::bulk::compress(bytes, 1).expect("compressed in memory");
        let small = rmp_serde::to_vec("small").expect("a text");
        let large = rmp_serde::to_vec(&"0".repeat(200 << 20)).expect("a text");
        let mut bytes = [pack(&header), pack(&small), pack(&large)].concat();
        let mut crc = crc32fast::Hasher::new();
        crc.update(&bytes);
        bytes.extend(footer(2, crc));
        assert!(bytes.len() < 1 << 16, "{} bytes", bytes.len());
        fs::write(&path, bytes).expect("a file");

        let mut reader = crate::Reader::<()>::open(&path, Kind::Corpus, 1).expect("a header");
        assert_eq!(reader.next_record::<String>().expect("small").as_deref(), Some("small"));
        let in_order = reader.next_record::<String>().expect_err("large");
        let mut reader = crate::Reader::<()>::open(&path, Kind::Corpus, 1).expect("a header");
        let mut packed = std::iter::from_fn(|| reader.next_packed().expect("its blocks are right"));
        let packed = packed.nth(1).expect("two records").unpack(&path).expect_err("large");
        let mut indexed = crate::Indexed::<()>::open(&path, Kind::Corpus, 1).expect("a right checksum");
        let in_any_order = indexed.record::<String>(1).expect_err("large");
        for error in [in_order, packed, in_any_order].map(|error| error.to_string()) {
            let told = ["bomb.sr", "record 1", "67108864"];
            assert!(told.iter().all(|word| error.contains(word)) && error.lines().count() == 1, "{error}");
        }
    }

    #[test]
    fn a_record_beyond_the_limit_is_refused_and_the_file_stays_usable() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sr");
        let mut writer = Writer::create(&path, &Header { kind: Kind::Trace, version: 1, params: () }).unwrap();
        writer.limit = 4;
        writer.append("abc").unwrap();
        let error = writer.append("abcd").unwrap_err();
        assert!(matches!(error, Error::TooLarge { record: 1, bytes: 5, limit: 4, .. }), "{error}");
        writer.append("xyz").unwrap();
        assert_eq!(writer.finish().unwrap(), 2);
        let mut reader = Reader::open_any(&path).unwrap();
        let records: Vec<String> = reader.records().collect::<Result<_>>().unwrap();
        assert_eq!(records, ["abc", "xyz"]);
    }

    #[test]
    fn a_file_that_was_renamed_after_it_was_opened_is_not_the_one_to_write() {
        let folder = tempfile::tempdir().unwrap();
        let (path, partial) = (folder.path().join("a.sr"), folder.path().join("a.sr.partial"));
        let file = File::create(&partial).unwrap();
        assert!(is_at(&file, &partial).unwrap());
        fs::rename(&partial, &path).unwrap();
        assert!(!is_at(&file, &partial).unwrap());
        File::create(&partial).unwrap();
        assert!(!is_at(&file, &partial).unwrap());
    }

    #[test]
    fn a_footer_with_another_count_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sr");
        let mut writer = Writer::create(&path, &Header { kind: Kind::Trace, version: 1, params: () }).unwrap();
        writer.append(&1).unwrap();
        writer.records = 7;
        writer.finish().unwrap();
        let mut reader = Reader::open_any(&path).unwrap();
        assert_eq!(reader.stated_records(), Some(7));
        let last = reader.records::<i32>().last().unwrap().unwrap_err();
        assert!(matches!(last, Error::CountMismatch { expected: 7, found: 1, .. }), "{last}");
    }
}
