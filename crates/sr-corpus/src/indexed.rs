//! Examples in any order, without the others in memory.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use serde::de::IgnoredAny;
use sr_codec::{Indexed, Kind};

use crate::file::{DirectRecord, SearchRecord};
use crate::{CORPUS_VERSION, CorpusHeader, Example, Mode, Problems, Result, find_problems};

/// A finished corpus file of which each example is found by its number, that of [`Corpus`](crate::Corpus)'s iterator.
///
/// Opening reads the file once, to learn how many states each record has; what stays are 16 bytes a record. An example
/// costs the decoding of its record, that is its search. Clones share the open file, so each thread can have one.
/// [`Permutation`](crate::Permutation) gives an order to read them in.
#[derive(Clone, Debug)]
pub struct IndexedCorpus {
    path: PathBuf,
    records: Indexed<CorpusHeader>,
    /// Number of the first example of each record, and that of all examples.
    firsts: Arc<[u64]>,
}

/// The part of a search's record that says how many examples it has.
#[derive(Deserialize)]
struct Count {
    states: Vec<IgnoredAny>,
}

impl IndexedCorpus {
    /// Opens a finished file.
    ///
    /// # Errors
    /// As [`Indexed::open`], and if a record is damaged.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_owned();
        let mut records = Indexed::<CorpusHeader>::open(&path, Kind::Corpus, CORPUS_VERSION)?;
        let mode = records.header().params.mode;
        let mut firsts = vec![0];
        for record in 0..records.len() {
            let examples = match mode {
                Mode::Direct => 1,
                Mode::OneStep | Mode::Autoregressive => records.record::<Count>(record)?.states.len() as u64,
            };
            firsts.push(firsts[record] + examples);
        }
        Ok(IndexedCorpus { path, records, firsts: firsts.into() })
    }

    /// What holds for all examples.
    pub fn header(&self) -> &CorpusHeader {
        &self.records.header().params
    }

    /// Number of examples; a state is one, however many targets it has.
    pub fn len(&self) -> u64 {
        self.firsts[self.records.len()]
    }

    /// Whether there is no example.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Example `index`, counted from 0.
    ///
    /// # Errors
    /// If its record is damaged.
    ///
    /// # Panics
    /// If there are not so many examples.
    pub fn example(&mut self, index: u64) -> Result<Example> {
        assert!(index < self.len(), "example {index} of {}", self.len());
        let record = self.firsts.partition_point(|&first| first <= index) - 1;
        let mode = self.header().mode;
        let examples = match mode {
            Mode::Direct => self.records.record::<DirectRecord>(record)?.decode(),
            Mode::OneStep | Mode::Autoregressive => {
                let state = (index - self.firsts[record]) as usize;
                self.records.record::<SearchRecord>(record)?.decode(mode, state..=state)
            }
        };
        let mut examples = examples.map_err(|bad| bad.at(&self.path, record as u64))?;
        Ok(examples.pop().expect("one was asked for"))
    }

    /// The problem set the examples refer to, as [`Corpus::problems`](crate::Corpus::problems).
    ///
    /// # Errors
    /// If it is not found or cannot be read.
    pub fn problems(&self, given: Option<&Path>) -> Result<Problems> {
        Problems::open(find_problems(&self.path, &self.header().problems, given)?)
    }
}
