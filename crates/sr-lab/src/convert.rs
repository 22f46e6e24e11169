//! Conversion of a trace or a problem set to a corpus of training examples.
//!
//! ```
//! use sr_corpus::Options;
//! use sr_lab::{Monitor, convert};
//!
//! fn main() -> anyhow::Result<()> {
//!     let folder = tempfile::tempdir()?;
//!     let problems = folder.path().join("problems.sr");
//!     sr_problems::suite("nguyen", 1)?.write(&problems)?;
//!     let conversion = convert::Conversion {
//!         source: convert::Source::Problems { problems },
//!         out: folder.path().join("corpus"),
//!         options: Options { val_fraction: 0.2, ..Options::default() },
//!     };
//!     let counts = conversion.run(&mut Monitor::none())?.expect("nobody stops it");
//!     assert!(counts.train + counts.val == 12 && folder.path().join("corpus/val.sr").exists());
//!     Ok(())
//! }
//! ```

use std::path::{Path, PathBuf};

use anyhow::Context;
use sr_corpus::{Counts, Error, Options, Problems, convert_problems, convert_trace};
use sr_trace::TraceReader;

use crate::Monitor;

/// The input of a conversion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Recorded searches, for examples of mode one-step or autoregressive.
    Trace {
        /// The trace.
        traces: PathBuf,
        /// The problem set that was searched, see [`sr_corpus::find_problems`].
        problems: PathBuf,
    },
    /// Problems with their formulas, for examples of mode direct.
    Problems {
        /// The problem set.
        problems: PathBuf,
    },
}

impl Source {
    /// Returns a source of a trace, with the given problem set or else the one that the trace names.
    ///
    /// # Errors
    /// If the trace cannot be read, or its problem set is not found.
    pub fn trace(traces: &Path, problems: Option<&Path>) -> anyhow::Result<Self> {
        let name = TraceReader::open(traces)?.header().problems.clone();
        let problems = sr_corpus::find_problems(traces, &name, problems)?;
        Ok(Source::Trace { traces: traces.to_owned(), problems })
    }

    /// Returns the file that is converted.
    pub fn path(&self) -> &Path {
        match self {
            Source::Trace { traces, .. } => traces,
            Source::Problems { problems } => problems,
        }
    }

    /// Returns the file of the problem set.
    pub fn problems(&self) -> &Path {
        let (Source::Trace { problems, .. } | Source::Problems { problems }) = self;
        problems
    }

    /// Returns the number of trajectories or problems; `None` if the file does not say.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn pieces(&self) -> anyhow::Result<Option<u64>> {
        Ok(match self {
            Source::Trace { traces, .. } => TraceReader::open(traces)?.stated_records(),
            Source::Problems { problems } => Some(sr_problems::ProblemFile::open(problems)?.len() as u64),
        })
    }
}

/// A conversion, ready to run.
#[derive(Debug, Clone)]
pub struct Conversion {
    /// The input.
    pub source: Source,
    /// The corpus's folder, which gets `train.sr` and `val.sr`.
    pub out: PathBuf,
    /// The kind of the examples, and which are left out. [`Conversion::run`] sets [`Options::stop`] to the monitor's
    /// flag.
    pub options: Options<'static>,
}

impl Conversion {
    /// Writes the corpus and returns its counts. One step of the monitor is a trajectory or a problem. Returns `None`
    /// if it was stopped; the folder is then unchanged, and the same call starts over.
    ///
    /// # Errors
    /// If the source cannot be read to its end or belongs to another problem set, no examples are left, or the corpus
    /// cannot be written. The folder is then unchanged.
    pub fn run(&self, monitor: &mut Monitor<'_>) -> anyhow::Result<Option<Counts>> {
        let problems = Problems::open(self.source.problems())?;
        let options = Options { stop: Some(monitor.stop()), ..self.options.clone() };
        let counts = match &self.source {
            Source::Trace { traces, .. } => {
                convert_trace(traces, &problems, &options, &self.out, || monitor.advance(1))
            }
            Source::Problems { .. } => convert_problems(&problems, &options, &self.out, || monitor.advance(1)),
        };
        match counts {
            Err(Error::Stopped) => Ok(None),
            counts => counts.map(Some).with_context(|| format!("converting {}", self.source.path().display())),
        }
    }
}
