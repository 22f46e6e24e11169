//! Searches problems and records the searches in a trace.
//!
//! ```
//! use sr_engine::SearchConfig;
//! use sr_lab::{Monitor, record};
//!
//! fn main() -> anyhow::Result<()> {
//!     let folder = tempfile::tempdir()?;
//!     let set = sr_problems::suite("ultra-simple", 1)?;
//!     let config = SearchConfig { generations: 10, ..SearchConfig::basic() };
//!     let jobs = record::jobs(&set, 0..2)?; // two searches of each problem, of the seeds 0 and 1
//!     let header = record::header("problems.sr", &set, &config, "basic", 0)?;
//!     let out = folder.path().join("trace.sr");
//!     let recording = record::Recording { out: &out, header: &header, config: &config, jobs: &jobs, batch: 64 };
//!     let mut solved = 0;
//!     let mut on_search = |search: record::Recorded<'_>| solved += usize::from(search.outcome.solved.is_some());
//!     let summary = recording.resume()?.run(&mut record::Searcher::Expert, &mut Monitor::none(), &mut on_search)?;
//!     assert_eq!(summary.ended, sr_lab::Ended::Finished);
//!     println!("{solved} of {} searches solved their problem", jobs.len());
//!     # assert!(solved > 0 && sr_trace::TraceReader::open(&out)?.count() == 10);
//!     Ok(())
//! }
//! ```

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rayon::prelude::*;
use sr_engine::{
    Expert, Generation, Instance, Observer, Origin, Outcome, PrimitiveSet, Search, SearchConfig, run_parallel_until,
};
use sr_eval::Tally;
use sr_problems::{Problem, ProblemSet};
use sr_trace::{Packed, Record, Recorder, SamplingCounts, TraceHeader, TraceReader, TraceWriter};

use crate::{Ended, Monitor};

/// Interval at which records are handed to the operating system; a batch that takes longer is followed by a flush too.
/// A kill loses the records since the last flush and the batch that is being searched.
const FLUSH_EVERY: Duration = Duration::from_millis(50);

/// One search to do.
#[derive(Debug, Clone)]
pub struct Job {
    /// The problem, for reports.
    pub problem: Arc<Problem>,
    /// The problem's points and primitives, which several jobs share.
    pub instance: Arc<Instance>,
    /// Seed of the search.
    pub seed: u64,
}

/// Returns the jobs of a problem set: one search for each problem and seed, in the order of a trace's records.
///
/// # Errors
/// If a problem's data or primitives are invalid; the error names the problem.
pub fn jobs(set: &ProblemSet, seeds: impl IntoIterator<Item = u64> + Clone) -> anyhow::Result<Vec<Job>> {
    let mut jobs = Vec::new();
    for problem in &set.problems {
        jobs.extend(jobs_of(problem.clone(), seeds.clone())?);
    }
    Ok(jobs)
}

/// Returns the jobs of one problem, one for each seed.
///
/// # Errors
/// If the problem's data or primitives are invalid; the error names the problem.
pub fn jobs_of(problem: Problem, seeds: impl IntoIterator<Item = u64>) -> anyhow::Result<impl Iterator<Item = Job>> {
    let instance = problem.instance().with_context(|| format!("problem {}", problem.id))?;
    let (problem, instance) = (Arc::new(problem), Arc::new(instance));
    Ok(seeds.into_iter().map(move |seed| Job { problem: problem.clone(), instance: instance.clone(), seed }))
}

/// Returns the header of a trace of the expert's searches. [`Searcher::describe`] turns it into one of a learner's.
///
/// - problems: the name of the problem set's file
/// - preset: the name of the preset that `config` started from
///
/// # Errors
/// If the operators or constants of the problem set are invalid.
pub fn header(
    problems: &str,
    set: &ProblemSet,
    config: &SearchConfig,
    preset: &str,
    seed: u64,
) -> anyhow::Result<TraceHeader> {
    // The header names operators and constants; variables are the problems' own.
    let primitives = PrimitiveSet::new(set.params.operators.clone(), set.params.constants.clone(), 1)?;
    Ok(TraceHeader::of_expert(problems, &primitives, config, preset, seed))
}

/// The policy of recorded searches.
#[derive(Debug)]
pub enum Searcher {
    /// The expert: genetic programming.
    Expert,
    /// A learner, alone or with the expert.
    #[cfg(feature = "learner")]
    Learner(Box<LearnerSearcher>),
}

/// A learner for [`Searcher`].
#[cfg(feature = "learner")]
#[derive(Debug)]
pub struct LearnerSearcher {
    /// The policy. If the learner is alone, it gets every generation.
    pub hybrid: sr_neural::Hybrid,
    /// The id of its checkpoint.
    pub checkpoint: String,
    /// The learner's share of the search; `None` if it is alone.
    pub share: Option<sr_neural::Share>,
}

/// A finished search, as `on_search` of [`Begun::run`] receives it.
#[derive(Debug)]
pub struct Recorded<'a> {
    /// The job that was searched.
    pub job: &'a Job,
    /// The result of the search.
    pub outcome: &'a Outcome,
    /// The record of the search for the trace.
    pub record: &'a Record,
    /// The counts of the learner's offspring; `None` without a learner.
    pub tally: Option<&'a Tally>,
}

/// The searches of a batch.
#[derive(Debug)]
pub struct Batch {
    /// The first searches, in order, up to the first one that was stopped. Without a stop these are all.
    pub ended: Vec<Searched>,
    /// The results of the others so far, in order; they have to be searched again from the beginning.
    pub stopped: Vec<Outcome>,
}

/// A finished search, owned.
#[derive(Debug)]
pub struct Searched {
    /// The result of the search.
    pub outcome: Outcome,
    /// The record of the search for the trace.
    pub record: Record,
    /// The counts of the learner's offspring; `None` without a learner.
    pub tally: Option<Tally>,
}

impl Searcher {
    /// Returns a searcher with a learner, alone or with the expert.
    ///
    /// # Errors
    /// If the checkpoint cannot be read.
    #[cfg(feature = "learner")]
    pub fn learner(
        learner: sr_neural::Learner,
        checkpoint: &Path,
        share: Option<sr_neural::Share>,
    ) -> anyhow::Result<Self> {
        let id = sr_neural::checkpoint_id(checkpoint)?;
        let hybrid = sr_neural::Hybrid::new(learner, share.unwrap_or(sr_neural::Share::EveryKth(1)));
        Ok(Searcher::Learner(Box::new(LearnerSearcher { hybrid, checkpoint: id, share })))
    }

    /// Returns the header with the policy, checkpoint and sampling of these searches.
    pub fn describe(&self, header: TraceHeader) -> TraceHeader {
        match self {
            Searcher::Expert => header,
            #[cfg(feature = "learner")]
            Searcher::Learner(learner) => TraceHeader {
                policy: match learner.share {
                    Some(_) => sr_trace::PolicyKind::Hybrid,
                    None => sr_trace::PolicyKind::Neural,
                },
                checkpoint: Some(learner.checkpoint.clone()),
                sampling: Some(crate::learner::settings(learner.hybrid.learner(), learner.share)),
                ..header
            },
        }
    }

    /// Returns the mean probability that the learner gave to tokens its grammar allowed; `None` if it has written
    /// nothing.
    pub fn legal_mass(&self) -> Option<f64> {
        match self {
            Searcher::Expert => None,
            #[cfg(feature = "learner")]
            Searcher::Learner(learner) => learner.hybrid.learner().written().legal_mass(),
        }
    }

    /// Searches a batch in parallel. Once `stop` is true, every search ends early.
    ///
    /// # Errors
    /// If a setting is out of range or the learner fails.
    pub fn search(&mut self, jobs: &[Job], config: &SearchConfig, stop: &AtomicBool) -> anyhow::Result<Batch> {
        let mut searches = jobs
            .par_iter()
            .map(|job| Search::new_until(job.instance.clone(), config.clone(), job.seed, Some(stop)))
            .collect::<Result<Vec<_>, _>>()?;
        let is_learner = !matches!(self, Searcher::Expert);
        let watch = |job: &Job| Watch { recorder: Recorder::new(job.seed), tally: is_learner.then(Tally::default) };
        let mut watches: Vec<Watch> = jobs.iter().map(watch).collect();
        let mut outcomes: Vec<Outcome> = match self {
            Searcher::Expert => run_parallel_until(&mut searches, || Expert, &mut watches, stop)?,
            #[cfg(feature = "learner")]
            Searcher::Learner(learner) => sr_engine::run_until(&mut searches, &mut learner.hybrid, &mut watches, stop)
                .context("the learner failed")?,
        };
        // A trace holds only finished searches, in order.
        let done = outcomes.iter().take_while(|outcome| outcome.stop.is_some()).count();
        outcomes.truncate(done);
        let stopped = searches[done..].iter().map(Search::outcome).collect();
        watches.truncate(done);
        let finish = |(watch, outcome): (Watch, Outcome)| {
            let mut record = watch.recorder.record(&outcome)?;
            if is_learner {
                record.set_sampling(sampling_counts(&record));
            }
            Ok(Searched { record, outcome, tally: watch.tally })
        };
        let ended = watches.into_par_iter().zip(outcomes).map(finish).collect::<anyhow::Result<Vec<_>>>()?;
        Ok(Batch { ended, stopped })
    }
}

/// Checks that the first records of a trace are of these searches: same problems, seeds and primitives, and errors that
/// the problem's points give.
///
/// # Errors
/// If a record differs (the error names the first difference), or the trace cannot be read.
pub fn check_records(reader: &mut TraceReader, path: &Path, records: u64, jobs: &[Job]) -> anyhow::Result<()> {
    let config = reader.header().engine.clone();
    for (record, job) in (0..records).zip(jobs) {
        let Some(trajectory) = reader.next_trajectory()? else { break };
        let told = || format!("{}: record {record} (counted from 0)", path.display());
        let other = |what: String| format!("{} was made with other settings: {what}", path.display());
        let (found, id) = (&trajectory.problem_id, job.instance.id());
        ensure!(found == id, other(format!("problem {found:?} in record {record}, asked for {id:?}")));
        let (found, seed) = (trajectory.seed, job.seed);
        ensure!(found == seed, other(format!("problem {id:?}, seed {found} in record {record}, asked for {seed}")));
        let same = trajectory.primitives == *job.instance.primitives();
        ensure!(same, other(format!("other operators or constants of problem {id:?}")));
        trajectory.check_searched(&job.instance, &config).with_context(told)?;
    }
    Ok(())
}

fn sampling_counts(record: &Record) -> SamplingCounts {
    let children = record.children();
    let (well_formed, fallback) = (children[Origin::Learner as usize], children[Origin::Fallback as usize]);
    SamplingCounts { well_formed, fallback, children: well_formed + fallback }
}

/// Records a search and, with a learner, counts the learner's offspring.
struct Watch {
    recorder: Recorder,
    tally: Option<Tally>,
}

impl Observer for Watch {
    fn on_generation(&mut self, generation: &Generation<'_>) -> ControlFlow<()> {
        if let Some(tally) = &mut self.tally {
            let _ = tally.on_generation(generation); // it never stops a search
        }
        self.recorder.on_generation(generation)
    }
}

/// The searches to record in one trace.
#[derive(Debug, Clone, Copy)]
pub struct Recording<'a> {
    /// The path of the trace. Until it is complete, the file has the extra ending `.partial`.
    pub out: &'a Path,
    /// The trace's header, see [`header`] and [`Searcher::describe`].
    pub header: &'a TraceHeader,
    /// The settings of all searches.
    pub config: &'a SearchConfig,
    /// The searches, in the order of their records.
    pub jobs: &'a [Job],
    /// Searches that advance together. Results do not depend on it; a kill loses at most this many.
    pub batch: usize,
}

/// The result of a recording.
#[derive(Debug, Clone)]
pub struct Summary {
    /// Whether all searches are in the trace.
    pub ended: Ended,
    /// The time that the searches took, without the writing.
    pub searching: Duration,
    /// Searches that were stopped before their end, with their results so far. They are not in the trace.
    pub stopped: Vec<(Job, Outcome)>,
}

/// A recording whose trace is open; no other process may write the trace meanwhile.
#[derive(Debug)]
#[must_use]
pub struct Begun<'a> {
    recording: Recording<'a>,
    writer: TraceWriter,
    done: u64,
}

impl<'a> Recording<'a> {
    /// Creates the trace, and overwrites one that is there.
    ///
    /// # Errors
    /// If the trace cannot be written.
    pub fn begin(&self) -> anyhow::Result<Begun<'a>> {
        Ok(Begun { recording: *self, writer: TraceWriter::create(self.out, self.header)?, done: 0 })
    }

    /// Continues the trace that a stopped or killed run has left, so that it ends with the same bytes as an undisturbed
    /// run; creates a new one if there is none.
    ///
    /// # Errors
    /// If the trace was begun with another header or for other searches, or it cannot be read and written.
    pub fn resume(&self) -> anyhow::Result<Begun<'a>> {
        let (writer, done) = TraceWriter::resume(self.out, self.header)?;
        if done > 0 {
            let partial = sr_codec::partial_path(self.out);
            check_records(&mut TraceReader::open(&partial)?, &partial, done, self.jobs)?;
        }
        Ok(Begun { recording: *self, writer, done })
    }

    /// Describes what an error or a stop has left.
    pub fn kept(&self, records: u64) -> String {
        let what = if records == 0 { "which --resume begins again" } else { "from which --resume goes on" };
        format!("after {records} of {} searches, {what}", self.jobs.len())
    }
}

impl Begun<'_> {
    /// Returns the number of searches that an earlier run has done.
    pub fn done(&self) -> u64 {
        self.done
    }

    /// Runs the remaining searches and calls `on_search` for each.
    ///
    /// # Errors
    /// If a setting is out of range, the learner fails or the trace cannot be written. If nothing was recorded, the
    /// trace is deleted.
    pub fn run(
        self,
        searcher: &mut Searcher,
        monitor: &mut Monitor<'_>,
        on_search: &mut dyn FnMut(Recorded<'_>),
    ) -> anyhow::Result<Summary> {
        let Begun { recording, mut writer, done } = self;
        monitor.advance(done);
        let (mut searching, mut stopped) = (Duration::ZERO, Vec::new());
        let left = recording.jobs.get(done as usize..).unwrap_or_default();
        let kept = |writer: &TraceWriter| recording.kept(writer.records());
        let mut flushed: Option<Instant> = None;
        let searched = left.chunks(recording.batch).try_for_each(|batch| -> anyhow::Result<()> {
            if monitor.is_stopped() {
                return Ok(());
            }
            let started = Instant::now();
            let searched = searcher.search(batch, recording.config, monitor.stop())?;
            searching += started.elapsed();
            let Batch { ended: searched, stopped: left } = searched;
            stopped.extend(batch[searched.len()..].iter().cloned().zip(left));
            for (job, search) in batch.iter().zip(&searched) {
                let Searched { outcome, record, tally } = search;
                on_search(Recorded { job, outcome, record, tally: tally.as_ref() });
            }
            let packed: Vec<Packed> =
                searched.into_par_iter().map(|search| search.record.pack(recording.header)).collect();
            for record in &packed {
                writer.append_packed(record).with_context(|| kept(&writer))?;
            }
            if flushed.is_none_or(|at| at.elapsed() >= FLUSH_EVERY) {
                writer.flush().with_context(|| kept(&writer))?;
                flushed = Some(Instant::now());
            }
            monitor.advance(packed.len() as u64);
            Ok(())
        });
        if let Err(error) = searched {
            // There is nothing to resume from.
            if writer.records() == 0 {
                writer.discard();
            }
            return Err(error);
        }
        let records = writer.records();
        if records < recording.jobs.len() as u64 {
            writer.flush().with_context(|| kept(&writer))?;
            return Ok(Summary { ended: Ended::Stopped { done: records }, searching, stopped });
        }
        writer.finish().with_context(|| recording.kept(records))?;
        Ok(Summary { ended: Ended::Finished, searching, stopped })
    }
}
