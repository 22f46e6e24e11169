//! Labels of the states of a trace: the actions that an expert would have taken there.

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
    Draws, Error, ExpertConfig, ExpertLabeller, FormulaLabeller, FormulaSource, LabelMode, Labeller, Result, Telling,
    Weights, visit_states,
};

/// Labels every state of a trajectory, including the last one: no policy acted in it, but it was visited, and the
/// expert can act there.
///
/// - config: the settings of the trace, see [`TraceHeader::engine`](sr_trace::TraceHeader::engine)
/// - seed: the seed of the labels; the states do not depend on it
///
/// # Errors
/// If the instance is not the one that was searched.
pub fn label_states(
    trajectory: &Trajectory,
    instance: &Instance,
    config: &SearchConfig,
    seed: u64,
    labeller: &mut impl Labeller,
) -> Result<LabelSet> {
    let wanted = wanted(config);
    let mut states = Vec::new();
    visit_states(trajectory, instance, config, seed, |state, record, next| {
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

/// Returns the number of offspring of a generation.
fn wanted(config: &SearchConfig) -> usize {
    config.population_size.saturating_sub(config.elitism)
}

/// The options for relabelling a file.
#[derive(Debug, Clone, Copy, Default)]
pub struct FileOptions<'a> {
    /// The path of the result; if `None`, it replaces the trace.
    pub out: Option<&'a Path>,
    /// Seed of the labels.
    pub seed: u64,
    /// A pair `(i, n)` selects only the problems `i`, `i + n`, `i + 2n`, … of the trace, in its order. The results of
    /// all `i < n` [merge](sr_trace::merge_traces) to the bytes of a single run. `None` selects all problems.
    pub shard: Option<(usize, usize)>,
    /// Whether to continue an interrupted run of the same options, if there is one. If the result exists already, it is
    /// only checked to be the requested one.
    pub resume: bool,
    /// A flag; once it is true, no further trajectories are begun.
    pub stop: Option<&'a AtomicBool>,
}

/// The counts of a relabelling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// The number of trajectories.
    pub trajectories: u64,
    /// The number of states.
    pub states: u64,
    /// The number of labels.
    pub labels: u64,
    /// The number of labels that are fitter than the best individual until then.
    pub improving: u64,
    /// Whether [`FileOptions::stop`] ended the run early. The result's file then does not exist yet.
    pub stopped: bool,
    /// Whether the result existed already, see [`FileOptions::resume`].
    pub was_there: bool,
}

/// Relabels a trace in parallel, with a few trajectories in memory at a time; the result does not depend on the number
/// of threads. A trajectory keeps its earlier labels, and the new ones come last; see [`Trajectory::add_labels`].
///
/// The result appears under its name in one step at the end. Until then, and after an error, the trace and a file of
/// that name are unchanged. A run that was killed, stopped or found the disk full can be resumed with
/// [`resume`](FileOptions::resume) or started anew, with the same bytes. `progress` receives the number of further
/// trajectories that are done.
///
/// - instances: returns the problem with an id; it is called from several threads
/// - labeller: returns a new labeller for a trajectory
///
/// # Errors
/// If the trace cannot be read to its end or the result cannot be written, a problem is missing or not the one that was
/// searched, or the run to be resumed has other options or another trace.
pub fn relabel_file<L: Labeller>(
    traces: &Path,
    options: &FileOptions<'_>,
    instances: impl Fn(&str) -> Option<Arc<Instance>> + Sync,
    labeller: impl Fn(&Trajectory) -> Result<L> + Sync,
    mut progress: impl FnMut(u64),
) -> Result<Counts> {
    let mut reader = TraceReader::open(traces)?;
    let mut header = reader.header().clone();
    header.dagger = true;
    header.original_source.get_or_insert_with(|| header.policy.source_name().to_owned());
    // One thread does all the work on a record, while the record is in its cache.
    let relabel = |stored: Stored| {
        let opened = stored.open()?;
        let trajectory = opened.trajectory();
        let problem = trajectory.problem_id.clone();
        let instance = instances(&problem).ok_or_else(|| Error::UnknownProblem { problem: problem.clone() })?;
        let labels = label_states(trajectory, &instance, &header.engine, options.seed, &mut labeller(trajectory)?)?;
        let counts = Counts::of(&labels);
        let record = opened.with_labels(labels);
        let record = record.map_err(|source| sr_trace::Error::BadTrajectory { problem, source })?;
        Ok((record.pack(&header), counts))
    };
    let made = |trajectory: &Trajectory| -> Result<_> {
        let labeller = labeller(trajectory)?;
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
        // Partial work is kept if the same command can resume it.
        Err(error) if !options.resume && !is_io(error) => writer.discard(),
        Ok(_) | Err(_) => {}
    }
    result
}

/// The source of labels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Labelling {
    /// The expert.
    Expert(ExpertConfig),
    /// A formula of the problem: its own, or the one that the search found.
    Formula(Telling, FormulaSource),
}

impl Labelling {
    /// Returns the settings that determine the labels beside their seed, under the names of flags; others are left out.
    pub fn settings(&self) -> serde_json::Value {
        let ExpertConfig { mode, draws, keep, horizon, weights } = match self {
            Labelling::Expert(config) => *config,
            Labelling::Formula(telling, FormulaSource::Given) => return json!({ "labels": telling.name() }),
            Labelling::Formula(telling, FormulaSource::Found) => {
                return json!({ "labels": telling.name(), "formula": "found" });
            }
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

    /// Returns the kind of the labels in results: `teacher`, or `privileged` if they use a formula that has to be known.
    pub fn kind(&self) -> &'static str {
        match self {
            Labelling::Expert(_) | Labelling::Formula(_, FormulaSource::Found) => "teacher",
            Labelling::Formula(_, FormulaSource::Given) => "privileged",
        }
    }

    /// Relabels a trace, see [`relabel_file`].
    ///
    /// - formula: returns the formula of the problem with an id, if it is known; only called for [`FormulaSource::Given`]
    ///
    /// # Errors
    /// Those of [`relabel_file`], and if a formula that is needed is unknown.
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
            Labelling::Formula(telling, FormulaSource::Found) => {
                let labeller = |trajectory: &Trajectory| Ok(FormulaLabeller::found(telling, trajectory));
                relabel_file(traces, options, instances, labeller, progress)
            }
            Labelling::Formula(telling, FormulaSource::Given) => {
                let labeller = |trajectory: &Trajectory| match formula(&trajectory.problem_id) {
                    Some(formula) => Ok(FormulaLabeller::new(telling, formula)),
                    None => Err(Error::NoFormula { problem: trajectory.problem_id.clone() }),
                };
                relabel_file(traces, options, instances, labeller, progress)
            }
        }
    }
}

/// Returns whether an error comes from the disk, and not from the content of the files.
fn is_io(error: &Error) -> bool {
    matches!(error, Error::Trace(sr_trace::Error::File(sr_codec::Error::Io { .. })))
}

/// The interval at which labels are flushed. A kill loses the labels since then, and those in progress.
const FLUSH_EVERY: Duration = Duration::from_millis(50);

/// The records of a shard.
struct Share<'a> {
    reader: &'a mut TraceReader,
    shard: Option<(usize, usize)>,
    /// The number of problems seen so far.
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

/// Checks that a finished file is the one that this run would write, and returns its counts.
fn check_finished(
    reader: &mut TraceReader,
    out: &Path,
    shard: Option<(usize, usize)>,
    header: &TraceHeader,
    made: impl Fn(&Trajectory) -> Result<(&'static str, LabelParams, &'static str)>,
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

/// Skips the first trajectories of a labelled file and returns their counts. Fails unless they are those of `input`
/// with this run's labels; of the labels, only mode, settings and source are compared.
fn check(
    input: &mut Share<'_>,
    file: &Path,
    done: u64,
    made: impl Fn(&Trajectory) -> Result<(&'static str, LabelParams, &'static str)>,
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
        // Earlier versions did not label the last state.
        let is_whole = labels.states.len() == expected.generations.len();
        let (mode, params, source) = made(&expected)?;
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
