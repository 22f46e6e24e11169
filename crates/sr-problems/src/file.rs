//! Problem files of which one problem is in memory.

use std::path::{Path, PathBuf};

use sr_codec::{Indexed, Kind};

use crate::set::{Record, version_of};
use crate::{Error, Problem, SetParams};

/// A finished problem file whose problems are read one by one, in any order. [`ProblemSet`](crate::ProblemSet) has all of
/// them in memory.
#[derive(Debug, Clone)]
pub struct ProblemFile {
    path: PathBuf,
    records: Indexed<SetParams>,
}

impl ProblemFile {
    /// Opens a file.
    ///
    /// # Errors
    /// As [`Indexed::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref().to_owned();
        let records = Indexed::open(&path, Kind::Problems, version_of(&path)?)?;
        Ok(ProblemFile { path, records })
    }

    /// What the problems have in common.
    pub fn params(&self) -> &SetParams {
        &self.records.header().params
    }

    /// Number of problems.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is no problem.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Problem `index`, counted from 0.
    ///
    /// # Errors
    /// If its record is damaged.
    ///
    /// # Panics
    /// If there are not so many problems.
    pub fn problem(&mut self, index: usize) -> Result<Problem, Error> {
        let record = self.records.record::<Record>(index)?;
        let id = record.id.clone();
        let version = self.records.header().version;
        record.decode(version).map_err(|reason| Error::BadRecord { path: self.path.clone(), record: index, id, reason })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite;

    #[test]
    fn problems_are_read_in_any_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("simple.sr");
        let set = suite("simple", 1).unwrap();
        set.write(&path).unwrap();
        let mut file = ProblemFile::open(&path).unwrap();
        assert_eq!((file.params(), file.len(), file.is_empty()), (&set.params, 10, false));
        for index in [7, 0, 9, 7] {
            assert_eq!(file.problem(index).unwrap(), set.problems[index]);
        }
    }
}
