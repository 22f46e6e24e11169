//! Writing, reading and merging of trace files.

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};

use rayon::prelude::*;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sr_codec::{Header, Kind, Packed, PackedRecord, Reader, Writer};

use crate::record::{FitnessRule, Opened};
use crate::{Error, Record, RecordError, Result, TRACE_VERSION, TraceHeader, Trajectory, record_v1};

/// A writer of a trace file; see [`Writer`] for what a killed process leaves behind and how it is resumed.
///
/// Recorded searches are packed on the threads of rayon while the next ones run. An error in packing or writing them is
/// returned by a later call, at the latest by [`flush`](Self::flush) or [`finish`](Self::finish).
pub struct TraceWriter {
    path: PathBuf,
    writer: Writer,
    rule: FitnessRule,
    /// The records that other threads are packing, in order.
    packing: VecDeque<Receiver<Packed>>,
}

impl std::fmt::Debug for TraceWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TraceWriter")
            .field("writer", &self.writer)
            .field("packing", &self.packing.len())
            .finish_non_exhaustive()
    }
}

impl TraceWriter {
    /// Starts a new file.
    ///
    /// # Errors
    /// Returns an error where [`Writer::create`] does.
    pub fn create(path: impl AsRef<Path>, header: &TraceHeader) -> Result<Self> {
        Ok(TraceWriter::new(path.as_ref(), Writer::create(&path, &file_header(header))?, header))
    }

    /// Continues an unfinished file and returns how many trajectories it has. Starts a new file if there is none.
    ///
    /// # Errors
    /// Returns an error where [`Writer::resume`] does.
    pub fn resume(path: impl AsRef<Path>, header: &TraceHeader) -> Result<(Self, u64)> {
        let (writer, records) = Writer::resume(&path, &file_header(header))?;
        Ok((TraceWriter::new(path.as_ref(), writer, header), records))
    }

    fn new(path: &Path, writer: Writer, header: &TraceHeader) -> Self {
        let rule = FitnessRule::of(&header.engine);
        TraceWriter { path: path.to_owned(), writer, rule, packing: VecDeque::new() }
    }

    /// Adds a trajectory.
    ///
    /// # Errors
    /// Returns an error if the trajectory breaks a rule that [`Trajectory`] states, or writing fails.
    pub fn append(&mut self, trajectory: &Trajectory) -> Result<()> {
        let mut record = Record::encode(trajectory)
            .map_err(|source| Error::BadTrajectory { problem: trajectory.problem_id.clone(), source })?;
        record.shorten_fitness(self.rule);
        self.write_packed(0)?;
        Ok(self.writer.append(&record)?)
    }

    /// Writes packed records until at most `left` are still being packed.
    fn write_packed(&mut self, left: usize) -> Result<()> {
        while let Some(packing) = self.packing.front() {
            let packed = match packing.try_recv() {
                Err(TryRecvError::Empty) if self.packing.len() <= left => break,
                // On a thread of the pool, this thread may be the one that has to pack it.
                Err(TryRecvError::Empty) if rayon::yield_now() == Some(rayon::Yield::Executed) => continue,
                Err(TryRecvError::Empty) => packing.recv().ok(),
                received => received.ok(),
            };
            self.packing.pop_front();
            self.writer.append_packed(&packed.expect("packing does not fail"))?;
        }
        Ok(())
    }

    /// Adds a record that a [`Recorder`](crate::Recorder) made.
    ///
    /// # Errors
    /// Returns an error if writing fails.
    pub fn append_record(&mut self, record: Record) -> Result<()> {
        self.write_packed(2 * rayon::current_num_threads())?;
        let (sender, receiver) = sync_channel(1);
        let rule = self.rule;
        rayon::spawn(move || {
            // Nobody receives the record if the writer was dropped.
            let _ = sender.send(record.pack_with(rule));
        });
        self.packing.push_back(receiver);
        Ok(())
    }

    /// Adds a record that was packed on another thread.
    ///
    /// # Errors
    /// Returns an error if writing fails.
    pub fn append_packed(&mut self, record: &Packed) -> Result<()> {
        self.write_packed(0)?;
        Ok(self.writer.append_packed(record)?)
    }

    /// Returns the number of trajectories so far, including those before a resumption.
    pub fn records(&self) -> u64 {
        self.writer.records() + self.packing.len() as u64
    }

    /// Writes all buffered data to the operating system, so that a killed process does not lose it.
    ///
    /// # Errors
    /// Returns an error if writing fails.
    pub fn flush(&mut self) -> Result<()> {
        self.write_packed(0)?;
        Ok(self.writer.flush()?)
    }

    /// Completes the file, gives it its final name, and returns the number of trajectories.
    ///
    /// # Errors
    /// Returns an error where [`Writer::finish`] does.
    pub fn finish(mut self) -> Result<u64> {
        self.write_packed(0)?;
        Ok(self.writer.finish()?)
    }

    /// Deletes the unfinished file. A finished file of that name stays as it is.
    pub fn discard(self) {
        drop(self.writer);
        discard(&self.path);
    }
}

fn file_header(header: &TraceHeader) -> Header<&TraceHeader> {
    Header { kind: Kind::Trace, version: header.version(), params: header }
}

/// A reader of a trace file. It holds a few trajectories in memory for each thread that decodes them. From a cut or
/// damaged file it returns everything before the damage, then an error that names the record.
pub struct TraceReader {
    path: Arc<Path>,
    reader: Reader<TraceHeader>,
    /// The trajectories decoded ahead, in order. An error is the last one.
    ahead: VecDeque<Result<Trajectory>>,
    ended: bool,
}

impl std::fmt::Debug for TraceReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TraceReader").field("reader", &self.reader).field("ended", &self.ended).finish_non_exhaustive()
    }
}

impl TraceReader {
    /// Opens a file and reads its header.
    ///
    /// # Errors
    /// Returns an error where [`Reader::open`] does.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let reader = open_version(path)?;
        Ok(TraceReader { path: path.into(), reader, ahead: VecDeque::new(), ended: false })
    }

    /// Returns the header, which is common to all trajectories.
    pub fn header(&self) -> &TraceHeader {
        &self.reader.header().params
    }

    /// Returns the number of trajectories that the file's footer states, or `None` if the file was not finished.
    pub fn stated_records(&self) -> Option<u64> {
        self.reader.stated_records()
    }

    /// Returns the next trajectory, or `None` at the end of a whole file and after an error.
    ///
    /// # Errors
    /// Returns an error if the file is cut or damaged here, or the record is no trajectory.
    pub fn next_trajectory(&mut self) -> Result<Option<Trajectory>> {
        if self.ahead.is_empty() && !self.ended {
            self.read_ahead();
        }
        let next = self.ahead.pop_front().transpose();
        if next.is_err() {
            self.ahead.clear();
            self.ended = true;
        }
        next
    }

    /// Reads some records for each thread and decodes them in parallel.
    fn read_ahead(&mut self) {
        let threads = rayon::current_num_threads();
        let mut stored = Vec::new();
        let mut bytes = 0;
        let mut error = None;
        while !self.ended && stored.len() < AHEAD * threads && bytes < AHEAD_BYTES * threads {
            match self.next_stored() {
                Ok(Some(record)) => {
                    bytes += record.packed.packed_len();
                    stored.push(record);
                }
                Ok(None) => {}
                Err(source) => error = Some(source),
            }
        }
        self.ahead = stored.par_iter().map(Stored::decode).collect::<Vec<_>>().into();
        self.ahead.extend(error.map(Err));
    }

    /// Returns the next record, undecoded, or `None` at the end of a whole file and after an error. Records that
    /// [`next_trajectory`](Self::next_trajectory) has read ahead are skipped.
    ///
    /// # Errors
    /// Returns an error if the file is cut or damaged here.
    pub fn next_stored(&mut self) -> Result<Option<Stored>> {
        if self.ended {
            return Ok(None);
        }
        let next = self.reader.next_packed();
        self.ended = !matches!(next, Ok(Some(_)));
        let (version, rule) = (self.reader.header().version, FitnessRule::of(&self.header().engine));
        let stored = |packed| Stored { packed, version, rule, path: self.path.clone() };
        Ok(next?.map(stored))
    }
}

/// The largest number of records that each thread decodes ahead: waking the threads takes as long as decoding one.
const AHEAD: usize = 4;
/// The compressed bytes for each thread after which no more records are read ahead. Decoded they take about thirty
/// times as many.
const AHEAD_BYTES: usize = 1 << 16;

/// A record of a file that is not decoded yet, so that any thread can decode it.
#[derive(Debug, Clone)]
pub struct Stored {
    packed: PackedRecord,
    version: u32,
    rule: FitnessRule,
    path: Arc<Path>,
}

impl Stored {
    /// Returns the id of the problem that was searched. It is as slow as unpacking the record.
    ///
    /// # Errors
    /// Returns an error if the record is damaged.
    pub fn problem_id(&self) -> Result<String> {
        let place: Place = self.value(&self.packed.unpack(&self.path)?)?;
        Ok(place.problem_id)
    }

    /// Decodes the trajectory.
    ///
    /// # Errors
    /// Returns an error if the record is damaged or no trajectory.
    pub fn decode(&self) -> Result<Trajectory> {
        let bytes = self.packed.unpack(&self.path)?;
        let decoded = match self.version {
            1 => self.value::<record_v1::Record>(&bytes)?.decode(self.rule),
            _ => self.value::<Record>(&bytes)?.decode(self.rule),
        };
        decoded.map_err(|source| self.bad(source))
    }

    /// Decodes the trajectory, ready for more labels.
    ///
    /// # Errors
    /// Returns an error if the record is damaged or no trajectory.
    pub fn open(&self) -> Result<Opened> {
        if self.version == 1 {
            return self.decode().map(Opened::of_trajectory);
        }
        let record = self.value(&self.packed.unpack(&self.path)?)?;
        Opened::new(record, self.rule).map_err(|source| self.bad(source))
    }

    fn value<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T> {
        sr_codec::decode_record(bytes).map_err(|source| self.unreadable(source))
    }

    fn unreadable(&self, source: rmp_serde::decode::Error) -> Error {
        sr_codec::Error::Decode { path: self.path.to_path_buf(), record: self.packed.record(), source }.into()
    }

    fn bad(&self, source: RecordError) -> Error {
        Error::BadRecord { path: self.path.to_path_buf(), record: self.packed.record(), source }
    }
}

impl Iterator for TraceReader {
    type Item = Result<Trajectory>;

    fn next(&mut self) -> Option<Result<Trajectory>> {
        self.next_trajectory().transpose()
    }
}

/// Opens a file of this version or an earlier one.
fn open_version(path: &Path) -> Result<Reader<TraceHeader>> {
    let version = sr_codec::peek_header(path)?.version.clamp(1, TRACE_VERSION);
    Ok(Reader::open(path, Kind::Trace, version)?)
}

/// Deletes what an unfinished writer left. If that fails, the next writer of this name does it.
fn discard(path: &Path) {
    let _ = std::fs::remove_file(sr_codec::partial_path(path));
}

/// The part of a record that says where it belongs.
#[derive(Deserialize)]
struct Place {
    problem_id: String,
    seed: u64,
}

/// A shard while it is merged.
struct Shard<'a> {
    path: &'a Path,
    reader: Reader<TraceHeader>,
    /// The number of records read.
    records: u64,
    /// The next record with its problem and seed.
    next: Option<(Place, Vec<u8>)>,
}

impl Shard<'_> {
    fn advance(&mut self) -> Result<()> {
        let Some(record) = self.reader.next_raw()? else {
            self.next = None;
            return Ok(());
        };
        let record = record.to_vec();
        let place: Place = sr_codec::decode_record(&record).map_err(|source| {
            let (path, record) = (self.path.to_owned(), self.records);
            sr_codec::Error::Decode { path, record, source }
        })?;
        self.records += 1;
        self.next = Some((place, record));
        Ok(())
    }
}

/// Joins the shards of a run into the bytes of one run and returns the number of trajectories.
///
/// Shard `i` of `n` (counted from 0) holds problems `i`, `i + n`, `i + 2n`, … of the run, each with all of its
/// trajectories. `shards` are in order of `i`. Records are copied as they are.
///
/// # Errors
/// Returns an error if a shard is cut or damaged, is of another run, has a problem that another shard has too, or their
/// numbers of problems are not those of a run dealt out in this order. `out` is then unchanged. Only [`merge_traces_of`]
/// notices a missing shard.
pub fn merge_traces(shards: &[PathBuf], out: impl AsRef<Path>) -> Result<u64> {
    merge_traces_of(shards, out, None)
}

/// Does what [`merge_traces`] does, for a run of these problems, in this order. They are the first problems of its problem
/// set.
///
/// # Errors
/// Returns an error where [`merge_traces`] does, and if the problems are others or in another order.
pub fn merge_traces_of(shards: &[PathBuf], out: impl AsRef<Path>, problems: Option<&[String]>) -> Result<u64> {
    let mut open = Vec::with_capacity(shards.len());
    for path in shards {
        let reader = open_version(path)?;
        let mut shard = Shard { path, reader, records: 0, next: None };
        shard.advance()?;
        open.push(shard);
    }
    let first = open.first().ok_or(Error::NoShards)?;
    let header = first.reader.header().clone();
    if let Some(other) = open.iter().find(|shard| *shard.reader.header() != header) {
        return Err(Error::ShardHeader { path: other.path.to_owned(), first: shards[0].clone() });
    }
    let out = out.as_ref();
    let mut writer = Writer::create(out, &header)?;
    match deal(&mut open, &mut writer, problems) {
        Ok(()) => Ok(writer.finish()?),
        Err(error) => {
            drop(writer);
            discard(out);
            Err(error)
        }
    }
}

/// Copies the problems of all shards in turn.
fn deal(shards: &mut [Shard<'_>], writer: &mut Writer, problems: Option<&[String]>) -> Result<()> {
    let mut seen: HashMap<String, PathBuf> = HashMap::new();
    let mut seeds = HashSet::new();
    let mut problem = 0;
    let n_shards = shards.len() as u64;
    while shards.iter().any(|shard| shard.next.is_some()) {
        let shard = &mut shards[(problem % n_shards) as usize];
        let path = || shard.path.to_owned();
        let Some((place, _)) = &shard.next else {
            return Err(Error::ShardOrder { path: path(), problem });
        };
        let id = place.problem_id.clone();
        if let Some(expected) = problems.map(|ids| ids.get(problem as usize))
            && expected != Some(&id)
        {
            return Err(Error::ProblemOrder { path: path(), expected: expected.cloned(), found: id });
        }
        if let Some(first) = seen.insert(id.clone(), path()) {
            return Err(Error::ProblemTwice { path: path(), first, problem: id });
        }
        seeds.clear();
        while let Some((place, record)) = shard.next.take_if(|(next, _)| next.problem_id == id) {
            if !seeds.insert(place.seed) {
                return Err(Error::SearchTwice { path: shard.path.to_owned(), problem: id, seed: place.seed });
            }
            writer.append_raw(&record)?;
            shard.advance()?;
        }
        problem += 1;
    }
    Ok(())
}
