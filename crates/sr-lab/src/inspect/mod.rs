//! Readers of all files and folders of the project: problem sets, traces, corpora, checkpoints, runs, data sets,
//! reports.
//!
//! [`open`] returns a [`View`]: the header of the file, then its [`Record`]s one by one, then statistics of the records
//! read so far. Values are JSON, or text for people.
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
use sr_expr::Target;

pub use contexts::Contexts;
use spread::Spread;

/// The file with the result of sr-fit in its folder.
const FIT: &str = "fit.json";

/// Options for reading a trace; other files accept only the defaults.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// The error at which a search counts as converged. With [`Objective::Mse`](sr_engine::Objective::Mse) it applies
    /// to 1 − R², otherwise to the mean squared error, if R² is at least 0.999. The error is over all rows if the
    /// problem set is found, otherwise as recorded. The default is 1e-6, as in the original system.
    pub threshold: f64,
    /// Whether only the best formula of each search is shown.
    pub best: bool,
    /// The system that the best formula of each search is exported to, see [`Record::export`]; `None` for no export.
    pub export: Option<Target>,
    /// Whether the values of the best formula are shown for each row of the problem set.
    pub predict: bool,
    /// The problem set; if `None`, the one that the trace names is looked for beside it and one folder up.
    pub problems: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Options { threshold: 1e-6, best: false, export: None, predict: false, problems: None }
    }
}

/// A file or folder, read record by record.
pub trait View {
    /// Returns the name of the file's kind.
    fn kind(&self) -> &'static str;
    /// Returns the column titles of the table of records. A title that begins with `#` is over numbers.
    fn columns(&self) -> Vec<String>;
    /// Returns the version of the kind's format.
    fn format_version(&self) -> u32;
    /// Returns the header.
    fn header(&self) -> Value;
    /// Returns the part of the header that is shown as text.
    fn header_text(&self) -> Value {
        self.header()
    }
    /// Returns whether the file is marked as complete.
    fn is_finished(&self) -> bool;
    /// Reads the next record and counts it into the statistics; `None` after the last one.
    ///
    /// # Errors
    /// If the file is cut or damaged there.
    fn next_record(&mut self) -> anyhow::Result<Option<Box<dyn Record>>>;
    /// Returns the statistics of all records read so far, as names and values.
    fn statistics(&self) -> Vec<(&'static str, Value)>;
    /// Returns further lines of text to show.
    fn notes(&self) -> String {
        String::new()
    }
}

/// A record of a file, or a file of a folder.
pub trait Record {
    /// Returns what the record is found by, beside its number: the problem's id or the file's name.
    fn id(&self) -> &str;
    /// Returns the record's line in the table of records.
    fn row(&self) -> Vec<String>;
    /// Returns the whole record as JSON.
    fn json(&self) -> Value;
    /// Returns the contexts of the record's states.
    ///
    /// # Errors
    /// If the record's kind has no contexts, or the problem set has another problem under its id.
    fn contexts(&self, _: &Contexts) -> anyhow::Result<Vec<String>> {
        bail!("--context is for problem sets, traces and corpora")
    }
    /// Returns the best formula as text of the system that the options name; `None` if they name none.
    fn export(&self) -> Option<String> {
        None
    }
    /// Returns the whole record as text.
    ///
    /// # Errors
    /// If something that the options ask for is not found.
    fn detail(&self) -> anyhow::Result<String> {
        Ok(format!("{:#}", self.json()))
    }
}

/// Returns the path to open: the folder of weights (`.bpk`, `.safetensors`), otherwise the path itself.
fn resolved(path: &Path) -> PathBuf {
    let is_weights = path.extension().is_some_and(|extension| extension == "bpk" || extension == "safetensors");
    match path.parent().filter(|_| is_weights && path.exists()) {
        Some(folder) if folder == Path::new("") => ".".into(),
        Some(folder) => folder.to_owned(),
        None => path.to_owned(),
    }
}

/// Returns the kind of a record file; `None` for a folder or another readable file.
///
/// # Errors
/// If the file is not of a known kind.
pub fn record_kind(path: &Path) -> anyhow::Result<Option<Kind>> {
    let path = &resolved(path);
    if let Some(what) = picture(path) {
        bail!("{} is {what}: open it in a browser", path.display());
    }
    let is_record_file = !path.is_dir() && !json::Json::is_named(path) && !folder::Buffer::is(path);
    Ok(is_record_file.then(|| sr_codec::peek_header(path)).transpose()?.map(|header| header.kind))
}

/// Opens a file or folder.
///
/// # Errors
/// If the path is nothing that can be read here, it is of a later version, or the options ask for something that only
/// traces have.
pub fn open(path: &Path, options: &Options) -> anyhow::Result<Box<dyn View>> {
    let file = &resolved(path);
    let kind = record_kind(file)?;
    if kind != Some(Kind::Trace) {
        let of_trace = [
            (options.best, "--best"),
            (options.export.is_some(), "--export"),
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
        None if file.join(FIT).exists() => Box::new(json::Json::open(&file.join(FIT))?),
        None if file.is_dir() => Box::new(folder::Folder::open(file)?),
        None if json::Json::is_named(file) => Box::new(json::Json::open(file)?),
        None => Box::new(folder::Buffer::open(file)?),
    })
}

/// Describes a file that is meant for a browser, by its extension.
fn picture(path: &Path) -> Option<&'static str> {
    match path.extension()?.to_str()? {
        "html" => Some("a page"),
        "svg" | "png" => Some("a plot"),
        _ => None,
    }
}
