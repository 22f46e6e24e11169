//! A reader of problem files that holds one problem in memory at a time.

use std::path::{Path, PathBuf};

use sr_codec::{Indexed, Kind};

use crate::set::{Record, version_of};
use crate::{Error, Problem, SetParams};

/// A finished problem file whose problems are read one by one, in any order. A [`ProblemSet`](crate::ProblemSet) has
/// all of them in memory.
#[derive(Debug, Clone)]
pub struct ProblemFile {
    path: PathBuf,
    records: Indexed<SetParams>,
}

impl ProblemFile {
    /// Opens a file.
    ///
    /// # Errors
    /// Returns an error where [`Indexed::open`] does.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref().to_owned();
        let records = Indexed::open(&path, Kind::Problems, version_of(&path)?)?;
        Ok(ProblemFile { path, records })
    }

    /// Returns the header, which is common to all problems.
    pub fn params(&self) -> &SetParams {
        &self.records.header().params
    }

    /// Returns the number of problems.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Returns whether there is no problem.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Reads problem `index`, counted from 0.
    ///
    /// # Errors
    /// Returns an error if its record is damaged.
    ///
    /// # Panics
    /// Panics if there are not so many problems.
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
