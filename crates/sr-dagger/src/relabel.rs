//! Labels: what an expert would have done in the states of a trace.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rayon::prelude::*;
use serde_json::json;
use sr_engine::{Instance, SearchConfig};
use sr_expr::Expr;
use sr_trace::{LabelParams, LabelSet, Packed, StateLabels, Stored, TraceHeader, TraceReader, TraceWriter, Trajectory};

use crate::{
    Draws, Error, ExpertConfig, ExpertLabeller, FormulaLabeller, LabelMode, Labeller, Result, Telling, Weights, visit,
};

/// The labels of every state of a trajectory. The last one is among them: nobody acted in it, but it was visited, and the
/// expert knows what to do there.
///
/// - config: the trace's, see [`TraceHeader::engine`](sr_trace::TraceHeader::engine)
/// - seed: of the labels; the states come from the trajectory whatever it is
///
/// # Errors
/// If the instance is not the one that was searched.
pub fn label(
    trajectory: &Trajectory,
    instance: &Instance,
    config: &SearchConfig,
    seed: u64,
    labeller: &mut impl Labeller,
) -> Result<LabelSet> {
    let wanted = wanted(config);
    let mut states = Vec::new();
    visit(trajectory, instance, config, seed, |state, record, next| {
        let children = labeller.label(state, next, wanted);
        states.push(StateLabels { generation: state.generation, state_hash: record.state_hash(), children });
    })?;
    Ok(LabelSet {
        mode: labeller.mode().to_owned(),
        params: labeller.params(seed, wanted),
        source: labeller.source().to_owned(),
        states,
    })
}

/// Children that a generation has.
fn wanted(config: &SearchConfig) -> usize {
    config.population_size.saturating_sub(config.elitism)
}

/// How a file is relabelled.
#[derive(Debug, Clone, Copy, Default)]
pub struct FileOptions<'a> {
    /// Where the result is put; it replaces the trace if there is none.
    pub out: Option<&'a Path>,
    /// Seed of the labels.
    pub seed: u64,
    /// `(i, n)`: only problems `i`, `i + n`, `i + 2n`, … of the trace, in the order in which it has them. The results of
    /// all `i < n` [merge](sr_trace::merge) to the bytes of one. All problems if there is none.
    pub shard: Option<(usize, usize)>,
    /// Go on with what an interrupted run of the same options left, if it left anything; where the result is there
    /// already, make sure that it is the one asked for, and do nothing.
    pub resume: bool,
    /// Stop after the trajectories that have begun once this is true.
    pub stop: Option<&'a AtomicBool>,
}

/// What was relabelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Trajectories.
    pub trajectories: u64,
    /// States.
    pub states: u64,
    /// Labels.
    pub labels: u64,
    /// Labels that are fitter than the best individual seen until then.
    pub improving: u64,
    /// Whether [`FileOptions::stop`] ended it before the work was done. Nothing is under the result's name then.
    pub stopped: bool,
    /// Whether the result was there already, see [`FileOptions::resume`].
    pub was_there: bool,
}

/// Relabels a trace in parallel, a few trajectories in memory at a time; the result does not depend on the number of
/// threads. Labels that a trajectory has already stay, and the new ones come last; see [`Trajectory::add_labels`].
///
/// The result appears under its name in one step at the end; until then, and after an error, the trace and a file of that
/// name are as they were. A run that was killed, stopped or found the disk full is resumed with
/// [`resume`](FileOptions::resume) or begun anew, in either case to the same bytes. `progress` is told how many more
/// trajectories are done.
///
/// - instances: the problem with an id; it is asked from several threads
/// - labeller: makes one for a trajectory of the problem with an id
///
/// # Errors
/// If the trace cannot be read to its end or the result not written; if a problem is missing or not the one that was
/// searched; if a run is to be resumed that had other options or another trace.
pub fn relabel_file<L: Labeller>(
    traces: &Path,
    options: &FileOptions<'_>,
    instances: impl Fn(&str) -> Option<Arc<Instance>> + Sync,
    labeller: impl Fn(&str) -> Result<L> + Sync,
    mut progress: impl FnMut(u64),
) -> Result<Counts> {
    let mut reader = TraceReader::open(traces)?;
    let mut header = reader.header().clone();
    header.dagger = true;
    header.original_source.get_or_insert_with(|| header.policy.source_name().to_owned());
    // All that a record takes, on one thread, while it is in that one's cache.
    let relabel = |stored: Stored| {
        let opened = stored.open()?;
        let trajectory = opened.trajectory();
        let problem = trajectory.problem_id.clone();
        let instance = instances(&problem).ok_or_else(|| Error::UnknownProblem { problem: problem.clone() })?;
        let labels = label(trajectory, &instance, &header.engine, options.seed, &mut labeller(&problem)?)?;
        let counts = Counts::of(&labels);
        let record = opened.with_labels(labels);
        let record = record.map_err(|source| sr_trace::Error::BadTrajectory { problem, source })?;
        Ok((record.pack(&header), counts))
    };
    let made = |id: &str| -> Result<_> {
        let labeller = labeller(id)?;
        Ok((labeller.mode(), labeller.params(options.seed, wanted(&header.engine)), labeller.source()))
    };
    let out = options.out.unwrap_or(traces);
    if options.resume && options.out.is_some_and(Path::exists) {
        let total = check_finished(&mut reader, out, options.shard, &header, made)?;
        return Ok(Counts { was_there: true, ..total });
    }
    let (mut writer, done) = match options.resume {
        true => TraceWriter::resume(out, &header)?,
        false => (TraceWriter::create(out, &header)?, 0),
    };
    let mut input = Share { reader: &mut reader, shard: options.shard, problem: 0, last: None };
    let mut copy = || -> Result<Counts> {
        let mut total = check(&mut input, &sr_codec::partial_path(out), done, made)?;
        progress(done);
        let mut flushed = Instant::now();
        loop {
            if options.stop.is_some_and(|stop| stop.load(Ordering::Relaxed)) {
                writer.flush()?;
                return Ok(Counts { stopped: true, ..total });
            }
            let chunk = input.by_ref().take(4 * rayon::current_num_threads());
            let chunk = chunk.collect::<sr_trace::Result<Vec<Stored>>>()?;
            if chunk.is_empty() {
                return Ok(total);
            }
            let relabelled: Vec<Result<(Packed, Counts)>> = chunk.into_par_iter().map(relabel).collect();
            for result in relabelled {
                let (record, counts) = result?;
                writer.append_packed(&record)?;
                total.add(counts);
                progress(1);
            }
            if flushed.elapsed() >= FLUSH_EVERY {
                writer.flush()?;
                flushed = Instant::now();
            }
        }
    };
    let result = copy();
    match &result {
        Ok(Counts { stopped: false, .. }) => {
            writer.finish()?;
        }
        // What took time to make is kept where the same command can go on with it.
        Err(error) if !options.resume && !is_io(error) => writer.discard(),
        Ok(_) | Err(_) => {}
    }
    result
}

/// Who labels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Labelling {
    /// The expert.
    Expert(ExpertConfig),
    /// Somebody who knows the formula.
    Formula(Telling),
}

impl Labelling {
    /// What decides the labels beside their seed, under the names of flags. What does not is left out.
    pub fn settings(&self) -> serde_json::Value {
        let ExpertConfig { mode, draws, keep, horizon, weights } = match self {
            Labelling::Expert(config) => *config,
            Labelling::Formula(telling) => return json!({ "labels": telling.name() }),
        };
        let mut settings = json!({ "labels": mode.name() });
        if weights == Weights::Gain {
            settings["weights"] = "gain".into();
        }
        if matches!(mode, LabelMode::TopK | LabelMode::BestOfK | LabelMode::Pooled) {
            settings["samples"] = match draws {
                Draws::UntilImproved => "auto".into(),
                Draws::Exactly(draws) => draws.into(),
            };
        }
        match mode {
            LabelMode::TopK | LabelMode::Pooled => settings["keep"] = keep.into(),
            LabelMode::Lineage => settings["horizon"] = horizon.into(),
            LabelMode::All | LabelMode::BestOfK => {}
        }
        settings
    }

    /// Who the labels come from, as results tell it: `teacher`, or `privileged` where the formula was known.
    pub fn kind(&self) -> &'static str {
        match self {
            Labelling::Expert(_) => "teacher",
            Labelling::Formula(_) => "privileged",
        }
    }

    /// Relabels a trace, see [`relabel_file`].
    ///
    /// - formula: of the problem with an id, where it is known; asked of labels of those who know it only
    ///
    /// # Errors
    /// As [`relabel_file`]; if a formula that has to be known is not.
    pub fn relabel_file(
        self,
        traces: &Path,
        options: &FileOptions<'_>,
        instances: impl Fn(&str) -> Option<Arc<Instance>> + Sync,
        formula: impl Fn(&str) -> Option<Expr> + Sync,
        progress: impl FnMut(u64),
    ) -> Result<Counts> {
        match self {
            Labelling::Expert(config) => {
                relabel_file(traces, options, instances, |_| Ok(ExpertLabeller::new(config)), progress)
            }
            Labelling::Formula(telling) => {
                let labeller = |id: &str| match formula(id) {
                    Some(formula) => Ok(FormulaLabeller::new(telling, formula)),
                    None => Err(Error::NoFormula { problem: id.to_owned() }),
                };
                relabel_file(traces, options, instances, labeller, progress)
            }
        }
    }
}

/// Whether a disk is at fault, and not what is in the files.
fn is_io(error: &Error) -> bool {
    matches!(error, Error::Trace(sr_trace::Error::File(sr_codec::Error::Io { .. })))
}

/// A kill loses the labels of this time at most, and those being made.
const FLUSH_EVERY: Duration = Duration::from_millis(50);

/// The records of a shard.
struct Share<'a> {
    reader: &'a mut TraceReader,
    shard: Option<(usize, usize)>,
    /// Problems seen.
    problem: usize,
    last: Option<String>,
}

impl Iterator for Share<'_> {
    type Item = sr_trace::Result<Stored>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_stored().transpose()
    }
}

impl Share<'_> {
    fn next_stored(&mut self) -> sr_trace::Result<Option<Stored>> {
        while let Some(stored) = self.reader.next_stored()? {
            let Some((index, count)) = self.shard else { return Ok(Some(stored)) };
            let id = stored.problem_id()?;
            if self.last.as_ref() != Some(&id) {
                self.problem += 1;
                self.last = Some(id);
            }
            if (self.problem - 1) % count == index {
                return Ok(Some(stored));
            }
        }
        Ok(None)
    }
}

/// Makes sure that a finished file is what this run would make, and gives its counts.
fn check_finished(
    reader: &mut TraceReader,
    out: &Path,
    shard: Option<(usize, usize)>,
    header: &TraceHeader,
    made: impl Fn(&str) -> Result<(&'static str, LabelParams, &'static str)>,
) -> Result<Counts> {
    let finished = TraceReader::open(out)?;
    let other = |record| Error::OtherRun { path: out.to_owned(), record };
    let records = finished.stated_records().ok_or_else(|| other(0))?;
    if finished.header() != header {
        return Err(Error::OtherHeader { path: out.to_owned() });
    }
    let mut input = Share { reader, shard, problem: 0, last: None };
    let total = check(&mut input, out, records, made)?;
    match input.next_stored()? {
        Some(_) => Err(other(records)),
        None => Ok(total),
    }
}

/// Passes over the first trajectories of a file with labels, whose counts it gives, and makes sure that they are those of
/// `input` with the labels that this run would give them; of the labels it looks at how they were `made`.
fn check(
    input: &mut Share<'_>,
    file: &Path,
    done: u64,
    made: impl Fn(&str) -> Result<(&'static str, LabelParams, &'static str)>,
) -> Result<Counts> {
    let mut total = Counts::default();
    if done == 0 {
        return Ok(total);
    }
    let mut written = TraceReader::open(file)?;
    for record in 0..done {
        let differs = || Error::OtherRun { path: file.to_owned(), record };
        let mut expected = input.next_stored()?.ok_or_else(differs)?.decode()?;
        let mut found = written.next_trajectory()?.ok_or_else(differs)?;
        let labels = found.labels.pop().ok_or_else(differs)?;
        // Earlier versions left the last state out.
        let is_whole = labels.states.len() == expected.generations.len();
        let (mode, params, source) = made(&expected.problem_id)?;
        let told = |mode: &str, params: LabelParams, source: &str| {
            format!("{mode} of {source}, {}", serde_json::to_string(&params).unwrap_or_default())
        };
        if (labels.mode.as_str(), labels.params, labels.source.as_str()) != (mode, params, source) {
            return Err(Error::OtherLabels {
                path: file.to_owned(),
                record,
                found: told(&labels.mode, labels.params, &labels.source),
                asked: told(mode, params, source),
            });
        }
        total.add(Counts::of(&labels));
        expected.add_labels(labels);
        expected.labels.pop();
        if !is_whole || expected != found {
            return Err(differs());
        }
    }
    Ok(total)
}

impl Counts {
    fn of(labels: &LabelSet) -> Self {
        let labels_of = |count: fn(&StateLabels) -> usize| labels.states.iter().map(count).sum::<usize>() as u64;
        Counts {
            trajectories: 1,
            states: labels.states.len() as u64,
            labels: labels_of(|state| state.children.len()),
            improving: labels_of(|state| state.children.improving()),
            stopped: false,
            was_there: false,
        }
    }

    fn add(&mut self, more: Counts) {
        self.trajectories += more.trajectories;
        self.states += more.states;
        self.labels += more.labels;
        self.improving += more.improving;
    }
}
