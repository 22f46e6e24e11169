//! Relabels a trace: adds the actions of an expert to each of its states.
//!
//! ```
//! use sr_dagger::{ExpertConfig, Labelling};
//! use sr_engine::SearchConfig;
//! use sr_lab::{Monitor, record, relabel};
//!
//! fn main() -> anyhow::Result<()> {
//!     let folder = tempfile::tempdir()?;
//!     let (trace, labelled) = (folder.path().join("trace.sr"), folder.path().join("labelled.sr"));
//!     let set = sr_problems::suite("ultra-simple", 1)?;
//!     set.write(folder.path().join("problems.sr"))?;
//!     let config = SearchConfig { generations: 3, ..SearchConfig::basic() };
//!     let (header, jobs) = (record::header("problems.sr", &set, &config, "basic", 0)?, record::jobs(&set, 0..1)?);
//!     let recording = record::Recording { out: &trace, header: &header, config: &config, jobs: &jobs, batch: 64 };
//!     let _ = recording.begin()?.run(&mut record::Searcher::Expert, &mut Monitor::none(), &mut |_| ())?;
//!
//!     let relabelling = relabel::Relabelling {
//!         problems: relabel::find_problems(&trace, None)?,
//!         traces: trace,
//!         out: Some(labelled.clone()),
//!         labelling: Labelling::Expert(ExpertConfig::default()),
//!         seed: 0,
//!         shard: None,
//!         resume: false,
//!     };
//!     let counts = relabelling.run(&mut Monitor::none())?.counts;
//!     assert_eq!(counts.trajectories, set.problems.len() as u64);
//!     assert!(counts.labels >= counts.states && labelled.exists());
//!     Ok(())
//! }
//! ```

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use sr_dagger::{Counts, FileOptions, Labelling};
use sr_expr::Expr;
use sr_problems::ProblemSet;
use sr_trace::TraceReader;

use crate::{Ended, Monitor};

/// The options of a relabelling.
#[derive(Debug, Clone)]
pub struct Relabelling {
    /// The trace. If it is a link, the file that it leads to is labelled.
    pub traces: PathBuf,
    /// The problem set that was searched, see [`find_problems`].
    pub problems: PathBuf,
    /// The path of the labelled trace. If `None`, the trace itself is replaced, in one step when all is done.
    pub out: Option<PathBuf>,
    /// The expert that labels, and its settings.
    pub labelling: Labelling,
    /// Seed of the labels.
    pub seed: u64,
    /// A pair `(i, n)` selects the problems `i`, `i + n`, `i + 2n`, … of the trace; `None` selects all.
    pub shard: Option<(usize, usize)>,
    /// Whether to continue an interrupted run of the same options, if there is one.
    pub resume: bool,
}

/// The result of a relabelling.
#[derive(Debug, Clone, Copy)]
pub struct Relabelled {
    /// Whether all trajectories are labelled. If not, [`Relabelling::resume`] continues.
    pub ended: Ended,
    /// The counts of all labels, including earlier runs; [`Counts::was_there`] says that nothing was left to do.
    pub counts: Counts,
}

/// Returns the file that a path leads to, through links.
///
/// # Errors
/// If the path is a link that leads nowhere.
pub fn target(path: &Path) -> anyhow::Result<PathBuf> {
    let is_link = std::fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink());
    match is_link {
        true => path.canonicalize().with_context(|| format!("{}: the link leads nowhere", path.display())),
        false => Ok(path.to_owned()),
    }
}

/// Returns the problem set of a trace: the given one, or else the file that the trace names, in its folder.
///
/// # Errors
/// If the trace cannot be read. Whether the problem set exists is not checked.
pub fn find_problems(traces: &Path, given: Option<&Path>) -> anyhow::Result<PathBuf> {
    let name = TraceReader::open(traces)?.header().problems.clone();
    if let Some(given) = given {
        return Ok(given.to_owned());
    }
    let (beside, beside_target) = (traces.with_file_name(&name), target(traces)?.with_file_name(&name));
    Ok(if !beside.exists() && beside_target.exists() { beside_target } else { beside })
}

impl Relabelling {
    /// Labels the remaining trajectories; one step of the monitor is a trajectory.
    ///
    /// # Errors
    /// If the trace or its problems cannot be read to their end or do not belong together, a formula that the labelling
    /// needs is unknown, a partial result has other options, or the result cannot be written. The trace, and a file
    /// with the result's name, are then unchanged.
    pub fn run(&self, monitor: &mut Monitor<'_>) -> anyhow::Result<Relabelled> {
        let set = ProblemSet::read(&self.problems)
            .with_context(|| "reading the problems of the trace (--problems says where they are)")?;
        let mut instances = HashMap::with_capacity(set.problems.len());
        for problem in &set.problems {
            let instance = problem.instance().with_context(|| format!("problem {}", problem.id))?;
            instances.insert(problem.id.as_str(), Arc::new(instance));
        }
        let sources = set.problems.iter().filter_map(|problem| Some((&*problem.id, problem.source.as_ref()?)));
        let sources: HashMap<&str, &Expr> = sources.collect();
        let options = FileOptions {
            out: self.out.as_deref(),
            seed: self.seed,
            shard: self.shard,
            resume: self.resume,
            stop: Some(monitor.stop()),
        };
        let traces = if self.out.is_some() { self.traces.clone() } else { target(&self.traces)? };
        let instance = |id: &str| instances.get(id).cloned();
        let formula = |id: &str| sources.get(id).copied().cloned();
        let counts = self.labelling.relabel_file(&traces, &options, instance, formula, |done| monitor.advance(done))?;
        let done = counts.trajectories;
        let ended = if counts.stopped { Ended::Stopped { done } } else { Ended::Finished };
        Ok(Relabelled { ended, counts })
    }
}
