//! Conversion: a trace or a problem set in, a corpus of training examples out.
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

/// What examples are made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Searches, for examples of mode one-step or autoregressive.
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
    /// A trace with the problem set that is given, or that the trace names.
    ///
    /// # Errors
    /// If the trace cannot be read, or its problem set is not found.
    pub fn trace(traces: &Path, problems: Option<&Path>) -> anyhow::Result<Self> {
        let name = TraceReader::open(traces)?.header().problems.clone();
        let problems = sr_corpus::find_problems(traces, &name, problems)?;
        Ok(Source::Trace { traces: traces.to_owned(), problems })
    }

    /// The file that is converted.
    pub fn path(&self) -> &Path {
        match self {
            Source::Trace { traces, .. } => traces,
            Source::Problems { problems } => problems,
        }
    }

    /// The problem set.
    pub fn problems(&self) -> &Path {
        let (Source::Trace { problems, .. } | Source::Problems { problems }) = self;
        problems
    }

    /// How many pieces of work there are, as far as the file tells: trajectories or problems.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn pieces(&self) -> anyhow::Result<Option<u64>> {
        Ok(match self {
            Source::Trace { traces, .. } => TraceReader::open(traces)?.stated_records(),
            Source::Problems { problems } => Some(sr_problems::ProblemFile::open(problems)?.len() as u64),
        })
    }
}

/// A corpus to be made.
#[derive(Debug, Clone)]
pub struct Conversion {
    /// What it is made from.
    pub source: Source,
    /// Its folder, which gets `train.sr` and `val.sr`.
    pub out: PathBuf,
    /// What an example is, and which are left out. [`Options::stop`] is the monitor's to set.
    pub options: Options<'static>,
}

impl Conversion {
    /// Makes the corpus; a piece of the monitor's work is a trajectory or a problem. Gives `None` if it was stopped: the
    /// folder is then as it was, and the same call begins anew.
    ///
    /// # Errors
    /// If the source cannot be read to its end, or its problems are others; if nothing is left to learn; if the corpus
    /// cannot be written. The folder is then as it was.
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
