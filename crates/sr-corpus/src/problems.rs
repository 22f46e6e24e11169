//! Problem sets, found from the files made of them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use sr_problems::{Problem, ProblemSet};

use crate::{Error, ProblemRef, Result};

/// A problem set whose problems are found by their id.
#[derive(Debug, Clone)]
pub struct Problems {
    path: PathBuf,
    set: ProblemSet,
    by_id: HashMap<String, usize>,
}

impl Problems {
    /// Reads a problem set.
    ///
    /// # Errors
    /// As [`ProblemSet::read`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_owned();
        let set = ProblemSet::read(&path)?;
        let by_id = set.problems.iter().enumerate().map(|(index, problem)| (problem.id.clone(), index)).collect();
        Ok(Problems { path, set, by_id })
    }

    /// The set.
    pub fn set(&self) -> &ProblemSet {
        &self.set
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Name of the file, without folders.
    pub fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// The problem of an id.
    ///
    /// # Errors
    /// If there is none.
    pub fn by_id(&self, id: &str) -> Result<&Problem> {
        match self.by_id.get(id) {
            Some(&index) => Ok(&self.set.problems[index]),
            None => Err(Error::NoSuchProblem { problems: self.path.clone(), id: id.to_owned() }),
        }
    }

    /// The problem of an example, with its points.
    ///
    /// # Errors
    /// If there is none of that id, or it has other points.
    pub fn get(&self, problem: &ProblemRef) -> Result<&Problem> {
        let found = self.by_id(&problem.id)?;
        if found.fingerprint() != problem.fingerprint {
            return Err(Error::OtherProblem { problems: self.path.clone(), id: problem.id.clone() });
        }
        Ok(found)
    }
}

/// Where the problem set is that a trace or corpus was made from: where the caller says, else under its `name` beside
/// `file`, else one folder up.
///
/// # Errors
/// If it is in neither place.
pub fn find_problems(file: &Path, name: &str, given: Option<&Path>) -> Result<PathBuf> {
    if let Some(path) = given {
        return Ok(path.to_owned());
    }
    // The name comes from a file: of a damaged or strange one, only the last component counts.
    let base = Path::new(name).file_name().unwrap_or_default();
    let beside = file.with_file_name(base);
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    [beside, folder.join("..").join(base)]
        .into_iter()
        .find(|path| path.is_file())
        .ok_or_else(|| Error::NoProblemSet { file: file.to_owned(), name: name.to_owned() })
}
