//! The problem set of a trace or corpus.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use sr_problems::{Problem, ProblemFile, SetParams};

use crate::{Error, ProblemRef, Result};

/// A problem set that finds problems by their id. It holds all ids in memory, and the problem that was asked for last.
#[derive(Debug)]
pub struct Problems {
    path: PathBuf,
    params: SetParams,
    by_id: HashMap<String, usize>,
    source: Mutex<Source>,
}

#[derive(Debug)]
struct Source {
    file: ProblemFile,
    /// The last problem. Searches of a problem, and the states of a search, come one after the other.
    last: Option<(usize, Arc<Problem>)>,
}

impl Problems {
    /// Reads a problem set and keeps its ids.
    ///
    /// # Errors
    /// Returns an error where [`ProblemFile::open`] does, and if a problem is damaged or two have one id.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_owned();
        let mut file = ProblemFile::open(&path)?;
        let mut by_id = HashMap::new();
        for record in 0..file.len() {
            let id = file.problem(record)?.id;
            if by_id.insert(id.clone(), record).is_some() {
                let reason = "another problem before it has the same id".into();
                return Err(sr_problems::Error::BadRecord { path, record, id, reason }.into());
            }
        }
        Ok(Problems { params: file.params().clone(), path, by_id, source: Mutex::new(Source { file, last: None }) })
    }

    /// Returns the header, which is common to all problems.
    pub fn params(&self) -> &SetParams {
        &self.params
    }

    /// Returns the path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the name of the file, without folders.
    pub fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Returns the number of problems.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Returns whether there is no problem.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns an iterator over all problems, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = Result<Arc<Problem>>> {
        (0..self.len()).map(|index| self.read(index))
    }

    /// Returns the problem with an id.
    ///
    /// # Errors
    /// Returns an error if there is none, or it is damaged.
    pub fn by_id(&self, id: &str) -> Result<Arc<Problem>> {
        match self.by_id.get(id) {
            Some(&index) => self.read(index),
            None => Err(Error::NoSuchProblem { problems: self.path.clone(), id: id.to_owned() }),
        }
    }

    /// Returns the problem of an example, with its points.
    ///
    /// # Errors
    /// Returns an error where [`by_id`](Self::by_id) does, and if its points are not those of the example.
    pub fn get(&self, problem: &ProblemRef) -> Result<Arc<Problem>> {
        let found = self.by_id(&problem.id)?;
        if found.fingerprint() != problem.fingerprint {
            return Err(Error::OtherProblem { problems: self.path.clone(), id: problem.id.clone() });
        }
        Ok(found)
    }

    fn read(&self, index: usize) -> Result<Arc<Problem>> {
        // A panic elsewhere leaves nothing half done here.
        let mut source = self.source.lock().unwrap_or_else(PoisonError::into_inner);
        match &source.last {
            Some((last, problem)) if *last == index => Ok(problem.clone()),
            _ => {
                let problem = Arc::new(source.file.problem(index)?);
                source.last = Some((index, problem.clone()));
                Ok(problem)
            }
        }
    }
}

/// Finds the problem set that a trace or corpus was made from: where the caller says, else under its `name` beside
/// `file`, else one folder up.
///
/// # Errors
/// Returns an error if it is in neither of the last two places.
pub fn find_problems(file: &Path, name: &str, given: Option<&Path>) -> Result<PathBuf> {
    if let Some(path) = given {
        return Ok(path.to_owned());
    }
    // The name comes from a file that may be damaged or foreign, so only its last component is used.
    let base = Path::new(name).file_name().unwrap_or_default();
    let beside = file.with_file_name(base);
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    [beside, folder.join("..").join(base)]
        .into_iter()
        .find(|path| path.is_file())
        .ok_or_else(|| Error::NoProblemSet { file: file.to_owned(), name: name.to_owned() })
}
