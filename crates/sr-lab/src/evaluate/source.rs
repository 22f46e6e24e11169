//! The problems of an evaluation, and their files.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use anyhow::ensure;
use sr_codec::Kind;
use sr_corpus::{Corpus, Problems, find_problems};
use sr_problems::ProblemSet;

/// Problems, and the files that they were read from.
#[derive(Debug)]
pub struct Source {
    /// The problems, at least one.
    pub set: ProblemSet,
    /// The files that were read, whether named or found; no output may replace them.
    pub files: Vec<PathBuf>,
}

impl Source {
    /// Reads a problem set, or the problems of a corpus's examples in the order in which they first occur. The problem
    /// set of a corpus is found beside it or one folder up.
    ///
    /// # Errors
    /// If a file cannot be read, the problem set of a corpus is not found, or there are no problems.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        match sr_codec::peek_header(path).is_ok_and(|header| header.kind == Kind::Corpus) {
            true => Self::of_corpus(path)?.checked(),
            false => Source { set: ProblemSet::read(path)?, files: vec![path.to_owned()] }.checked(),
        }
    }

    /// Returns the problems of a suite.
    ///
    /// # Errors
    /// If there is no suite of this name.
    pub fn suite(name: &str, seed: u64) -> anyhow::Result<Self> {
        Source { set: sr_problems::suite(name, seed)?, files: Vec::new() }.checked()
    }

    fn of_corpus(path: &Path) -> anyhow::Result<Self> {
        let corpus = Corpus::open(path)?;
        let set = find_problems(path, &corpus.header().problems, None)?;
        let problems = Problems::open(&set)?;
        let (mut seen, mut found) = (HashSet::new(), Vec::new());
        for example in corpus {
            let example = example?;
            if seen.insert(example.problem().id.clone()) {
                found.push((*problems.get(example.problem())?).clone());
            }
        }
        let files = vec![path.to_owned(), set];
        Ok(Source { set: ProblemSet { params: problems.params().clone(), problems: found }, files })
    }

    fn checked(self) -> anyhow::Result<Self> {
        ensure!(!self.set.problems.is_empty(), "there are no problems");
        Ok(self)
    }
}

/// Identifies a problem set in results: the number of problems and the fingerprint of their content.
pub fn fingerprint(set: &ProblemSet) -> String {
    format!("{} problems {:016x}", set.problems.len(), set.fingerprint())
}
