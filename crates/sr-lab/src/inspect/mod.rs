//! What any file or folder of ours holds: problem sets, traces, corpora, checkpoints, folders of runs and data sets, reports.
//!
//! [`open`] gives a [`View`]: what the file says of itself, then its [`Record`]s one by one, then the statistics of those
//! that were read. Values are JSON, or text for people.
//!
//! ```
//! use sr_lab::inspect::{self, Options};
//!
//! # fn main() -> anyhow::Result<()> {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("nguyen.sr");
//! sr_problems::suite("nguyen", 1)?.write(&path)?;
//! let mut view = inspect::open(&path, &Options::default())?;
//! assert_eq!((view.kind(), view.format_version()), ("problems", 1));
//! let first = view.next_record()?.expect("the suite has problems");
//! assert_eq!((first.id(), &first.json()["rows"]), ("Nguyen-1", &20.into()));
//! while view.next_record()?.is_some() {}
//! assert_eq!(view.statistics()[0], ("problems", 12.into()));
//! # Ok(())
//! # }
//! ```

mod contexts;
mod corpus;
mod folder;
mod json;
mod problems;
mod spread;
pub mod text;
mod trace;

use std::path::{Path, PathBuf};

use anyhow::{bail, ensure};
use serde_json::Value;
use sr_codec::Kind;

pub use contexts::Contexts;
use spread::Spread;

/// What is asked for of a trace, beside what every file has; files of other kinds have none of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// The error at which a search counts as converged: the mean squared error, if R² is 0.999 or more, and of searches with
    /// [`Objective::Mse`](sr_engine::Objective::Mse) 1 − R²; over all rows where the problem set is at hand, else as
    /// recorded. By default 1e-6, that of the original system.
    pub threshold: f64,
    /// Whether only the best formula of each search is wanted.
    pub best: bool,
    /// Whether the values of the best formula are wanted, for each row of the problem set.
    pub predict: bool,
    /// The problem set, if it is not the one that the trace names, beside it or one folder up.
    pub problems: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Options { threshold: 1e-6, best: false, predict: false, problems: None }
    }
}

/// A file or folder, read record by record.
pub trait View {
    /// What it is.
    fn kind(&self) -> &'static str;
    /// Titles of the table of records. Titles that begin with `#` are over numbers.
    fn columns(&self) -> Vec<String>;
    /// The version of the format of its kind.
    fn format_version(&self) -> u32;
    /// What it says of itself.
    fn header(&self) -> Value;
    /// What of the header a person is shown.
    fn header_text(&self) -> Value {
        self.header()
    }
    /// Whether it says of itself that it is complete.
    fn is_finished(&self) -> bool;
    /// The next record, counted into the statistics; `None` after the last one.
    ///
    /// # Errors
    /// If the file is cut or damaged there.
    fn next_record(&mut self) -> anyhow::Result<Option<Box<dyn Record>>>;
    /// Statistics of all records read, a name and a value each.
    fn statistics(&self) -> Vec<(&'static str, Value)>;
    /// What else is to be said to a person, in lines.
    fn notes(&self) -> String {
        String::new()
    }
}

/// A record of a file, or a file of a folder.
pub trait Record {
    /// What it is found by, beside its number: the problem's id, the file's name.
    fn id(&self) -> &str;
    /// Its line in the table of records.
    fn row(&self) -> Vec<String>;
    /// All of it.
    fn json(&self) -> Value;
    /// The contexts of its states.
    ///
    /// # Errors
    /// If it is of a kind that has none, or its problem is another one in the problem set.
    fn contexts(&self, _: &Contexts) -> anyhow::Result<Vec<String>> {
        bail!("--context is for problem sets, traces and corpora")
    }
    /// All of it, as text.
    ///
    /// # Errors
    /// If what was asked for is not at hand.
    fn detail(&self) -> anyhow::Result<String> {
        Ok(format!("{:#}", self.json()))
    }
}

/// What a path is: weights (`.bpk`) are told by the folder that they are in.
fn resolved(path: &Path) -> PathBuf {
    let is_weights = path.extension().is_some_and(|extension| extension == "bpk");
    match path.parent().filter(|_| is_weights && path.exists()) {
        Some(folder) if folder == Path::new("") => ".".into(),
        Some(folder) => folder.to_owned(),
        None => path.to_owned(),
    }
}

/// The kind of a record file; `None` of a folder or another file.
///
/// # Errors
/// If it is no file that is known here.
pub fn record_kind(path: &Path) -> anyhow::Result<Option<Kind>> {
    let path = &resolved(path);
    if let Some(what) = picture(path) {
        bail!("{} is {what}: open it in a browser", path.display());
    }
    let is_record_file = !path.is_dir() && !json::Json::is_named(path) && !folder::Buffer::is(path);
    Ok(is_record_file.then(|| sr_codec::peek(path)).transpose()?.map(|header| header.kind))
}

/// Opens a file or folder.
///
/// # Errors
/// If nothing of ours is there, it is of a later version, it cannot be read, or what is asked for of a trace is asked of
/// something else.
pub fn open(path: &Path, options: &Options) -> anyhow::Result<Box<dyn View>> {
    let file = &resolved(path);
    let kind = record_kind(file)?;
    if kind != Some(Kind::Trace) {
        let of_trace = [
            (options.best, "--best"),
            (options.predict, "--predict"),
            (options.threshold != Options::default().threshold, "--threshold"),
            (options.problems.is_some(), "--problems"),
        ];
        let asked = of_trace.into_iter().find(|(is_asked, _)| *is_asked);
        ensure!(asked.is_none(), "{} is for traces; {} is none", asked.unwrap_or_default().1, file.display());
    }
    Ok(match kind {
        Some(Kind::Problems) => Box::new(problems::Problems::open(file)?),
        Some(Kind::Corpus) => Box::new(corpus::Corpora::open(file)?),
        Some(Kind::Trace) => Box::new(trace::Trace::open(file, options)?),
        None if file.is_dir() => Box::new(folder::Folder::open(file)?),
        None if json::Json::is_named(file) => Box::new(json::Json::open(file)?),
        None => Box::new(folder::Buffer::open(file)?),
    })
}

/// What a file for the eyes is, by its name.
fn picture(path: &Path) -> Option<&'static str> {
    match path.extension()?.to_str()? {
        "html" => Some("a page"),
        "svg" | "png" => Some("a plot"),
        _ => None,
    }
}
