//! The aggregated data set D ← D ∪ D_i of DAgger (Ross, Gordon & Bagnell, 2011) as a file of fixed-width rows.
//!
//! ```text
//! header A │ header B │ tags, one u32 a slot │ rows, row_bytes a slot
//! ```
//!
//! Each slot holds a row. The slot's tag has a validity bit and the round that the row came from; a slot that was never
//! filled has tag 0. The file has room for the tags of `max_rows` slots from the start (a hole until they are used),
//! and for the rows of `capacity` slots, which doubles when it is too small.
//!
//! Rows and tags are written and synced before the header that counts them, and a row's slot depends on its running
//! number alone. So a round whose append was interrupted can be appended again, and writes the same bytes to the same
//! places. The headers of even and odd rounds lie in different places, so that one of the two is always intact.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use sr_codec::read_exact_at;
use sr_engine::random::{Key, Purpose};
use tracing::debug;

use crate::{Error, Result};

const MAGIC: [u8; 8] = *b"srbuffer";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 128;
/// Offsets of the two headers and of the tags.
const HEADERS: [u64; 2] = [0, 2048];
const TAGS: u64 = 4096;
/// Rows begin at a multiple of this, the size of a page.
const ALIGN: u64 = 4096;
/// The bit of a tag that marks a filled slot; the other bits are the round.
const VALID: u32 = 1 << 31;
/// The number of rounds of the first one's size that the first capacity holds.
const FIRST_CAPACITY_ROUNDS: u64 = 10;
/// Attempt numbers within the keys of [`Purpose::Buffer`], so that a buffer's random streams differ.
const RESERVOIR: u32 = 0;
const QUOTA: u32 = 1;
pub(crate) const DRAW: u32 = 2;

/// The rule for which rows stay when a buffer is full.
///
/// Its text is `fifo`, `reservoir` or `quota:N`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Keep {
    /// The newest rows stay; a new row replaces the oldest.
    #[default]
    Fifo,
    /// A uniform sample of all rows ever appended stays (algorithm R of Vitter, 1985): row n, counted from 0, takes the
    /// slot j drawn uniformly from 0..=n, if there is such a slot.
    Reservoir,
    /// A uniform sample of at most this many rows of each round is appended; of these the newest stay.
    Quota(u64),
}

/// The options that a buffer is created with and must be opened with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BufferOptions {
    /// The bytes of a row, at least 1.
    pub row_bytes: u32,
    /// The most rows, from 1 to 2³² − 1.
    pub max_rows: u64, // 1,000,000
    /// The rule for which rows stay when the buffer is full.
    pub keep: Keep,
    /// The seed of random choices of rows.
    pub seed: u64,
}

impl BufferOptions {
    /// Returns options for rows of this width, of which the newest million stay.
    pub fn new(row_bytes: u32) -> Self {
        BufferOptions { row_bytes, max_rows: 1_000_000, keep: Keep::Fifo, seed: 0 }
    }
}

/// The rows of all rounds so far, at most `max_rows`, in a file; the top of this file has the format.
#[derive(Debug)]
pub struct Buffer {
    path: PathBuf,
    file: File,
    options: BufferOptions,
    header: Header,
    /// Tags of the slots up to the capacity; those of an interrupted round count as empty.
    tags: Vec<u32>,
}

/// The state of the buffer after the last append.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Header {
    rounds: u32,
    /// The number of slots that the file has room for.
    capacity: u64,
    /// The running number of the next row; rows that a quota left out have none.
    rows: u64,
    /// The number of rows that were appended.
    appended: u64,
}

impl Buffer {
    /// Opens a buffer, or creates an empty one if there is no such file.
    ///
    /// # Errors
    /// If the file cannot be read or created, is not a buffer, has other options, or is open elsewhere.
    ///
    /// # Panics
    /// If an option is out of range.
    pub fn open(path: impl Into<PathBuf>, options: BufferOptions) -> Result<Self> {
        assert!(options.row_bytes > 0 && (1..=u64::from(u32::MAX)).contains(&options.max_rows), "{options:?}");
        let path = path.into();
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = open.map_err(io(&path, "open"))?;
        file.try_lock().map_err(|error| match error {
            std::fs::TryLockError::WouldBlock => Error::BufferInUse { path: path.clone() },
            std::fs::TryLockError::Error(source) => io(&path, "lock")(source),
        })?;
        let len = file.metadata().map_err(io(&path, "read"))?.len();
        let mut start = [0; TAGS as usize];
        let n_read = len.min(TAGS) as usize;
        file.read_exact(&mut start[..n_read]).map_err(io(&path, "read"))?;
        let header = match start.iter().all(|&byte| byte == 0) {
            // The first header is written before anything is appended, so a file without one is empty.
            true => {
                file.set_len(rows_at(&options)).map_err(io(&path, "write"))?;
                write_header(&mut file, &options, &Header::default()).map_err(io(&path, "write"))?;
                Header::default()
            }
            false => newest_header(&path, &start, &options)?,
        };
        let expected = end(&options, header.capacity);
        let len = file.metadata().map_err(io(&path, "read"))?.len();
        if len < expected {
            let reason = format!("the buffer is cut: {len} bytes of {expected}");
            return Err(Error::NotABuffer { path, reason });
        }
        let mut tags = read_tags(&file, header.capacity).map_err(io(&path, "read"))?;
        let of_a_whole_round = |tag: u32| if tag & !VALID < header.rounds { tag } else { 0 };
        tags.iter_mut().for_each(|tag| *tag = of_a_whole_round(*tag));
        Ok(Buffer { path, file, options, header, tags })
    }

    /// Appends the rows of a round, concatenated, and returns whether they were new. A round that the buffer already
    /// has changes nothing.
    ///
    /// An interrupted append leaves a buffer to which the same rows can be appended again, with the same bytes as an
    /// undisturbed one. Until then it has no row of the round, and lacks the old rows that were being replaced.
    ///
    /// # Errors
    /// If the length of `rows` is not a multiple of a row's bytes, an earlier round is missing, or writing fails.
    pub fn append(&mut self, round: u32, rows: &[u8]) -> Result<bool> {
        if round < self.header.rounds {
            return Ok(false);
        }
        if round > self.header.rounds || round >= VALID - 1 {
            return Err(Error::RoundOrder { path: self.path.clone(), round, rounds: self.header.rounds });
        }
        let header = self.write_rows(rows)?;
        self.write_header(header)?;
        let (n_rows, size, maximum) = (rows.len() / self.row_bytes(), self.size(), self.options.max_rows);
        debug!("round {round}: aggregated {n_rows} rows, {size} of at most {maximum} are kept");
        Ok(true)
    }

    /// Returns the number of rows, at most `max_rows`.
    pub fn size(&self) -> u64 {
        self.slots().count() as u64
    }

    /// Returns the number of rows that fit before the file grows.
    pub fn capacity(&self) -> u64 {
        self.header.capacity
    }

    /// Returns the number of rows ever appended, including those that were replaced.
    pub fn appended(&self) -> u64 {
        self.header.appended
    }

    /// Returns the number of complete rounds.
    pub fn rounds(&self) -> u32 {
        self.header.rounds
    }

    /// Returns the options of the buffer.
    pub fn options(&self) -> &BufferOptions {
        &self.options
    }

    /// Returns the path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the filled slots and the rounds of their rows, in the order of slots.
    pub fn slots(&self) -> impl Iterator<Item = (u64, u32)> {
        let tags = self.tags.iter().enumerate();
        tags.filter(|(_, tag)| *tag & VALID != 0).map(|(slot, tag)| (slot as u64, tag & !VALID))
    }

    /// Returns the round that the row of a slot came from; `None` if the slot is empty.
    pub fn round_of(&self, slot: u64) -> Option<u32> {
        self.tags.get(slot as usize).filter(|&&tag| tag & VALID != 0).map(|tag| tag & !VALID)
    }

    /// Reads the row of a slot from the file.
    ///
    /// # Errors
    /// If the file cannot be read, or was cut by another program.
    ///
    /// # Panics
    /// If the slot is empty.
    pub fn row(&self, slot: u64) -> Result<Vec<u8>> {
        assert!(self.round_of(slot).is_some(), "slot {slot} is empty");
        let mut row = vec![0; self.row_bytes()];
        read_exact_at(&self.file, &mut row, end(&self.options, slot)).map_err(io(&self.path, "read"))?;
        Ok(row)
    }

    fn row_bytes(&self) -> usize {
        self.options.row_bytes as usize
    }

    /// Writes the rows of the next round and their tags, and returns the header that will count them.
    fn write_rows(&mut self, rows: &[u8]) -> Result<Header> {
        let (row_bytes, max_rows) = (self.row_bytes(), self.options.max_rows);
        if !rows.len().is_multiple_of(row_bytes) {
            let (path, bytes) = (self.path.clone(), rows.len());
            return Err(Error::Width { path, bytes, row_bytes: self.options.row_bytes });
        }
        let n_rows = (rows.len() / row_bytes) as u64;
        let kept = self.options.thinned(self.header.rounds, n_rows);
        let header = Header {
            rounds: self.header.rounds + 1,
            capacity: grown(self.header, kept.len() as u64, max_rows),
            rows: self.header.rows + kept.len() as u64,
            appended: self.header.appended + n_rows,
        };
        if header.capacity != self.header.capacity {
            let (old, new) = (self.header.capacity, header.capacity);
            debug!("the buffer grows from {old} to {new} rows, of at most {max_rows}");
            self.file.set_len(end(&self.options, header.capacity)).map_err(io(&self.path, "grow"))?;
        }
        // If several rows take the same slot, the last one stays.
        let places: BTreeMap<u64, u64> =
            (self.header.rows..).zip(kept).filter_map(|(n, row)| Some((self.options.slot(n)?, row))).collect();
        let tag = (VALID | self.header.rounds).to_le_bytes();
        let mut write = |at, bytes: &[u8]| write_at(&mut self.file, at, bytes).map_err(io(&self.path, "write"));
        let mut places = places.into_iter().peekable();
        let (mut tags, mut run) = (Vec::new(), Vec::new());
        while let Some((first, _)) = places.peek().copied() {
            tags.clear();
            run.clear();
            while let Some((_, row)) = places.next_if(|&(slot, _)| slot == first + tags.len() as u64 / 4) {
                tags.extend(tag);
                run.extend(&rows[row as usize * row_bytes..][..row_bytes]);
            }
            write(TAGS + 4 * first, &tags)?;
            write(end(&self.options, first), &run)?;
        }
        self.file.sync_data().map_err(io(&self.path, "sync"))?;
        Ok(header)
    }

    /// Writes the header, which makes the new rows count.
    fn write_header(&mut self, header: Header) -> Result<()> {
        write_header(&mut self.file, &self.options, &header).map_err(io(&self.path, "write"))?;
        self.header = header;
        self.tags = read_tags(&self.file, header.capacity).map_err(io(&self.path, "read"))?;
        Ok(())
    }
}

impl BufferOptions {
    /// Returns the indices of a round's rows that are appended, in order.
    fn thinned(&self, round: u32, n_rows: u64) -> Vec<u64> {
        let mut rows: Vec<u64> = (0..n_rows).collect();
        if let Keep::Quota(quota) = self.keep
            && n_rows > quota
        {
            let mut rng = Key::new(self.seed, Purpose::Buffer, 0).generation(round).draw(QUOTA).rng();
            // The first places of a shuffle are a sample (Fisher & Yates).
            for place in 0..quota as usize {
                let other = place + rng.below(rows.len() - place);
                rows.swap(place, other);
            }
            rows.truncate(quota as usize);
            rows.sort_unstable();
        }
        rows
    }

    /// Returns the slot of row `n`, by its running number, or `None` if it is dropped.
    fn slot(&self, n: u64) -> Option<u64> {
        match self.keep {
            Keep::Reservoir if n >= self.max_rows => {
                let place = Key::new(self.seed, Purpose::Buffer, n).draw(RESERVOIR).rng().below(n as usize + 1);
                Some(place as u64).filter(|&place| place < self.max_rows)
            }
            Keep::Fifo | Keep::Reservoir | Keep::Quota(_) => Some(n % self.max_rows),
        }
    }

    fn as_numbers(&self) -> (u32, u64) {
        match self.keep {
            Keep::Fifo => (0, 0),
            Keep::Reservoir => (1, 0),
            Keep::Quota(quota) => (2, quota),
        }
    }
}

/// Returns the capacity for this many more rows.
fn grown(header: Header, n_rows: u64, max_rows: u64) -> u64 {
    let needed = header.rows.saturating_add(n_rows).min(max_rows);
    let mut capacity = match header.capacity {
        0 => n_rows.saturating_mul(FIRST_CAPACITY_ROUNDS).clamp(1, max_rows),
        capacity => capacity,
    };
    while capacity < needed {
        capacity = (2 * capacity).min(max_rows);
    }
    capacity
}

/// Returns the offset of the rows.
fn rows_at(options: &BufferOptions) -> u64 {
    (TAGS + 4 * options.max_rows).next_multiple_of(ALIGN)
}

/// Returns the offset after the rows of this many slots.
fn end(options: &BufferOptions, slots: u64) -> u64 {
    rows_at(options) + slots * u64::from(options.row_bytes)
}

/// Reads the tags of the first `slots` slots.
fn read_tags(file: &File, slots: u64) -> std::io::Result<Vec<u32>> {
    let mut bytes = vec![0; 4 * slots as usize];
    read_exact_at(file, &mut bytes, TAGS)?;
    Ok(bytes.as_chunks().0.iter().map(|tag| u32::from_le_bytes(*tag)).collect())
}

fn io(path: &Path, action: &'static str) -> impl Fn(std::io::Error) -> Error {
    move |source| Error::BufferIo { path: path.to_owned(), action, source }
}

fn write_at(file: &mut File, at: u64, bytes: &[u8]) -> std::io::Result<()> {
    file.seek(SeekFrom::Start(at))?;
    file.write_all(bytes)
}

fn write_header(file: &mut File, options: &BufferOptions, header: &Header) -> std::io::Result<()> {
    let (keep, quota) = options.as_numbers();
    let mut bytes = Vec::with_capacity(HEADER_BYTES);
    bytes.extend(MAGIC);
    [VERSION, options.row_bytes, keep, header.rounds].iter().for_each(|number| bytes.extend(number.to_le_bytes()));
    let longs = [options.max_rows, quota, options.seed, header.capacity, header.rows, header.appended];
    longs.iter().for_each(|number| bytes.extend(number.to_le_bytes()));
    bytes.resize(HEADER_BYTES - 4, 0);
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    write_at(file, HEADERS[header.rounds as usize % 2], &bytes)?;
    file.sync_data()
}

/// Returns the later intact header; fails if it has other options.
fn newest_header(path: &Path, start: &[u8; TAGS as usize], options: &BufferOptions) -> Result<Header> {
    let (found, header) = newest_whole_header(path, start)?;
    let others = [
        ("row bytes", found.row_bytes.to_string(), options.row_bytes.to_string()),
        ("max_buffer_size", found.max_rows.to_string(), options.max_rows.to_string()),
        ("keep", found.keep.to_string(), options.keep.to_string()),
        ("seed", found.seed.to_string(), options.seed.to_string()),
    ];
    if let Some((what, found, expected)) = others.into_iter().find(|(_, found, expected)| found != expected) {
        return Err(Error::OtherBuffer { path: path.to_owned(), what, found, expected });
    }
    Ok(header)
}

/// Returns the later intact header, and the options of the buffer.
fn newest_whole_header(path: &Path, start: &[u8; TAGS as usize]) -> Result<(BufferOptions, Header)> {
    let wholes = HEADERS.iter().filter_map(|&at| {
        let bytes = &start[at as usize..][..HEADER_BYTES];
        let (content, sum) = bytes.split_at(HEADER_BYTES - 4);
        (content.starts_with(&MAGIC) && sum == crc32fast::hash(content).to_le_bytes()).then_some(content)
    });
    let short = |bytes: &[u8], at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"));
    let not = |reason: String| Error::NotABuffer { path: path.to_owned(), reason };
    let Some(bytes) = wholes.max_by_key(|bytes| short(bytes, 20)) else {
        return Err(not("no buffer, or its header is damaged".into()));
    };
    let version = short(bytes, 8);
    if version != VERSION {
        return Err(not(format!("buffer version {version}, expected {VERSION}")));
    }
    let long = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
    let keep = match (short(bytes, 16), long(32)) {
        (0, _) => Keep::Fifo,
        (1, _) => Keep::Reservoir,
        (_, quota) => Keep::Quota(quota),
    };
    let options = BufferOptions { row_bytes: short(bytes, 12), max_rows: long(24), keep, seed: long(40) };
    let header = Header { rounds: short(bytes, 20), capacity: long(48), rows: long(56), appended: long(64) };
    Ok((options, header))
}

/// The header of a buffer, read without opening the buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BufferSummary {
    /// Version of the format.
    pub version: u32,
    /// The options of the buffer.
    pub options: BufferOptions,
    /// The number of complete rounds.
    pub rounds: u32,
    /// The number of rows.
    pub rows: u64,
    /// The number of rows ever appended, including those that were replaced.
    pub appended: u64,
    /// The number of rows that fit before the file grows.
    pub capacity: u64,
}

impl BufferSummary {
    /// Returns whether a file begins like a buffer.
    pub fn is_buffer(path: &Path) -> bool {
        let mut magic = [0; MAGIC.len()];
        // Of the two headers the first one may not be written yet.
        let begins = |at: u64, magic: &mut [u8]| {
            let mut file = File::open(path)?;
            file.seek(SeekFrom::Start(at))?;
            file.read_exact(magic)
        };
        HEADERS.iter().any(|&at| begins(at, &mut magic).is_ok() && magic == MAGIC)
    }

    /// Reads the newest header. The file is neither locked nor changed, so another program may use it meanwhile.
    ///
    /// # Errors
    /// If the file cannot be read, or is not a buffer of this version.
    pub fn read(path: &Path) -> Result<Self> {
        let mut start = [0; TAGS as usize];
        let mut file = File::open(path).map_err(io(path, "open"))?;
        file.read_exact(&mut start).map_err(io(path, "read"))?;
        let (options, header) = newest_whole_header(path, &start)?;
        let mut tags = vec![0; 4 * header.capacity as usize];
        file.read_exact(&mut tags).map_err(io(path, "read"))?;
        let is_filled = |tag: &[u8; 4]| {
            let tag = u32::from_le_bytes(*tag);
            tag & VALID != 0 && tag & !VALID < header.rounds
        };
        let rows = tags.as_chunks().0.iter().filter(|tag| is_filled(tag)).count() as u64;
        let Header { rounds, capacity, appended, .. } = header;
        Ok(BufferSummary { version: VERSION, options, rounds, rows, appended, capacity })
    }
}

impl FromStr for Keep {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.split_once(':') {
            None if text == "fifo" => Ok(Keep::Fifo),
            None if text == "reservoir" => Ok(Keep::Reservoir),
            Some(("quota", number)) => match number.parse() {
                Ok(quota @ 1..) => Ok(Keep::Quota(quota)),
                _ => {
                    let expected = "a number of rows, at least 1";
                    Err(Error::OutOfRange { what: "rows kept", found: text.to_owned(), expected })
                }
            },
            _ => {
                let known = "fifo, reservoir or quota:ROWS";
                Err(Error::Unknown { what: "rows kept", found: text.to_owned(), supported: known })
            }
        }
    }
}

impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Keep::Fifo => f.write_str("fifo"),
            Keep::Reservoir => f.write_str("reservoir"),
            Keep::Quota(quota) => write!(f, "quota:{quota}"),
        }
    }
}

impl TryFrom<String> for Keep {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Keep> for String {
    fn from(keep: Keep) -> Self {
        keep.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(max_rows: u64, keep: Keep) -> BufferOptions {
        BufferOptions { max_rows, keep, seed: 3, ..BufferOptions::new(4) }
    }

    fn numbers(range: std::ops::Range<u32>) -> Vec<u8> {
        range.flat_map(u32::to_le_bytes).collect()
    }

    const ROUNDS: [std::ops::Range<u32>; 5] = [0..3, 3..23, 23..23, 23..45, 45..105];

    #[test]
    fn an_append_that_was_cut_is_made_good_by_the_same_append() {
        for keep in [Keep::Fifo, Keep::Reservoir, Keep::Quota(7)] {
            let folder = tempfile::tempdir().expect("a folder");
            let path = |name: &str| folder.path().join(name);
            let mut whole = Buffer::open(path("whole"), options(40, keep)).expect("a buffer");
            for (round, rows) in ROUNDS.into_iter().enumerate() {
                let (round, rows) = (round as u32, numbers(rows));
                let before: Vec<_> = whole.slots().map(|(slot, _)| slot).collect();
                // The rows are written, but not the header.
                std::fs::copy(path("whole"), path("cut")).expect("a copy");
                let mut cut = Buffer::open(path("cut"), options(40, keep)).expect("a buffer");
                cut.write_rows(&rows).expect("rows");
                drop(cut);
                let mut cut = Buffer::open(path("cut"), options(40, keep)).expect("a buffer");
                assert_eq!(cut.rounds(), round);
                assert!(cut.slots().all(|(slot, from)| from < round && before.contains(&slot)));
                assert!(cut.append(round, &rows).expect("again"));
                assert!(whole.append(round, &rows).expect("the rows"));
                let read = |name: &str| std::fs::read(path(name)).expect("bytes");
                assert!(read("cut") == read("whole"), "{keep} {round}");
                // Appending a round twice appends it once.
                assert!(!cut.append(round, &rows).expect("a known round"));
                assert!(read("cut") == read("whole"));
            }
            drop(whole);
            let mut rebuilt = Buffer::open(path("rebuilt"), options(40, keep)).expect("a buffer");
            for (round, rows) in ROUNDS.into_iter().enumerate() {
                rebuilt.append(round as u32, &numbers(rows)).expect("rows");
            }
            assert!(std::fs::read(path("rebuilt")).expect("bytes") == std::fs::read(path("whole")).expect("bytes"));
        }
    }

    #[test]
    fn a_torn_header_leaves_the_one_before() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("buffer");
        let mut buffer = Buffer::open(&path, options(40, Keep::Fifo)).expect("a buffer");
        buffer.append(0, &numbers(0..3)).expect("rows");
        let one = std::fs::read(&path).expect("bytes");
        buffer.append(1, &numbers(3..6)).expect("rows");
        drop(buffer);
        let two = std::fs::read(&path).expect("bytes");
        for cut in 0..HEADER_BYTES {
            let mut torn = two.clone();
            torn[..TAGS as usize].copy_from_slice(&one[..TAGS as usize]);
            torn[..cut].copy_from_slice(&two[..cut]); // round 2's header is A
            std::fs::write(&path, torn).expect("bytes");
            let mut buffer = Buffer::open(&path, options(40, Keep::Fifo)).expect("a buffer");
            if buffer.rounds() == 1 {
                assert_eq!(buffer.size(), 3);
                buffer.append(1, &numbers(3..6)).expect("rows");
            }
            assert_eq!(buffer.size(), 6);
            assert!(std::fs::read(&path).expect("bytes") == two, "cut at {cut}");
        }
    }

    #[test]
    fn what_does_not_fit_is_an_error_that_says_so() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("buffer");
        let error = |options: BufferOptions| {
            let text = Buffer::open(&path, options).expect_err("an error").to_string();
            text.strip_prefix(&format!("{}: ", path.display())).expect(&text).to_owned()
        };
        let good = options(40, Keep::Quota(2));
        let mut buffer = Buffer::open(&path, good.clone()).expect("a buffer");
        assert_eq!(error(good.clone()), "the buffer is in use by another run");
        let text = |result: Result<bool>| result.expect_err("an error").to_string();
        assert!(text(buffer.append(1, &[])).ends_with("round 1 cannot be appended, the buffer has 0 rounds"));
        assert!(text(buffer.append(0, &[0; 5])).ends_with("5 bytes are no rows of 4 bytes each"));
        buffer.append(0, &numbers(0..9)).expect("rows");
        drop(buffer);
        assert_eq!(
            error(BufferOptions { row_bytes: 8, ..good.clone() }),
            "the buffer was made with row bytes 4, not 8"
        );
        assert_eq!(
            error(BufferOptions { max_rows: 41, ..good.clone() }),
            "the buffer was made with max_buffer_size 40, not 41"
        );
        assert_eq!(
            error(BufferOptions { keep: Keep::Fifo, ..good.clone() }),
            "the buffer was made with keep quota:2, not fifo"
        );
        assert_eq!(error(BufferOptions { seed: 4, ..good.clone() }), "the buffer was made with seed 3, not 4");

        let whole = std::fs::read(&path).expect("bytes");
        let with = |bytes: &[u8]| {
            std::fs::write(&path, bytes).expect("bytes");
            error(good.clone())
        };
        assert_eq!(with(&whole[..8200]), format!("the buffer is cut: 8200 bytes of {}", whole.len()));
        assert_eq!(with(b"a text file"), "no buffer, or its header is damaged");
        let newer = [&MAGIC[..], &2_u32.to_le_bytes(), &[0; 112]].concat();
        let newer = [&newer[..], &crc32fast::hash(&newer).to_le_bytes()].concat();
        assert_eq!(with(&newer), "buffer version 2, expected 1");
    }

    #[test]
    fn every_changed_byte_of_the_headers_is_noticed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("buffer");
        let good = options(40, Keep::Fifo);
        Buffer::open(&path, good.clone()).expect("a buffer").append(0, &numbers(0..9)).expect("rows");
        let whole = std::fs::read(&path).expect("bytes");
        for at in 2048..2048 + HEADER_BYTES {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            std::fs::write(&path, bytes).expect("bytes");
            // The earlier header says that there are no rows yet.
            assert_eq!(Buffer::open(&path, good.clone()).expect("a buffer").size(), 0, "byte {at}");
        }
    }

    #[test]
    fn a_reservoir_keeps_all_rows_alike() {
        let mut kept = [0_u32; 30];
        for seed in 0..2000 {
            let options = BufferOptions { seed, ..options(6, Keep::Reservoir) };
            let mut places = [0; 6];
            (0..30).for_each(|n| {
                options.slot(n).into_iter().for_each(|slot| places[slot as usize] = n as usize);
            });
            places.iter().for_each(|&n| kept[n] += 1);
        }
        // The expected count is 2000 · 6 / 30 each, with a standard deviation of 18.
        assert!(kept.iter().all(|&count| (320..480).contains(&count)), "{kept:?}");
    }

    #[test]
    fn a_quota_takes_all_rows_alike() {
        let mut kept = [0_u32; 30];
        for round in 0..2000 {
            let rows = options(100, Keep::Quota(6)).thinned(round, 30);
            assert!(rows.len() == 6 && rows.is_sorted_by(|a, b| a < b));
            rows.iter().for_each(|&row| kept[row as usize] += 1);
        }
        assert!(kept.iter().all(|&count| (320..480).contains(&count)), "{kept:?}");
    }

    #[test]
    fn names_round_trip() {
        for text in ["fifo", "reservoir", "quota:12"] {
            assert_eq!(text.parse::<Keep>().expect(text).to_string(), text);
        }
        let error = |text: &str| text.parse::<Keep>().expect_err(text).to_string();
        assert_eq!(error("lifo"), "unknown rows kept \"lifo\", expected fifo, reservoir or quota:ROWS");
        assert_eq!(error("quota:0"), "rows kept \"quota:0\": expected a number of rows, at least 1");
    }
}
