//! Builds a data set, stage by stage.
//!
//! The manifest is written at the start and again after each stage, so it says which files are finished. A finished
//! file with the right hash is kept, an unfinished trace is continued, everything else is built again. All files are
//! functions of the plan, so the bytes are the same.

use std::path::Path;

use anyhow::{Context, bail, ensure};
use rayon::prelude::*;
use sr_codec::Reader;
use sr_corpus::{Options, convert_problems, convert_trace};
use sr_engine::StopReason;
use sr_problems::{Problem, ProblemSet};
use sr_trace::Record;

use super::manifest::are_there;
use super::plan::{SearchPlan, Source};
use super::{CORPUS, CorpusStage, FileEntry, MANIFEST, Manifest, PROBLEMS, Plan, ProblemsStage, TRACE, TracesStage};
use crate::record::{self, Recording, Searcher};
use crate::{Ended, Monitor};

/// Searches whose records are written at once; a killed build loses at most these.
const BATCH: usize = 64;
/// Problems that are drawn in parallel before the monitor is asked whether to go on.
const PROBLEM_BATCH: u32 = 256;

/// The result of a build: the finished stages, and which of them an earlier build had finished.
#[derive(Debug)]
pub struct Built {
    /// Whether the whole data set is built.
    pub ended: Ended,
    /// The manifest with the finished stages.
    pub manifest: Manifest,
    /// Stages that an earlier build had finished: `problems`, `traces`, `corpus`.
    pub kept: Vec<&'static str>,
}

/// Builds a data set in a folder, or continues a build there.
///
/// The monitor counts [`Plan::pieces`]. Its flag has to live as long as the program, because a conversion keeps it.
/// After a stop the same call continues: finished stages are kept, and so are the searches that were recorded.
///
/// # Errors
/// If the folder was built with other settings, holds foreign files or files that have been changed since, or a file
/// cannot be read or written.
pub fn build(plan: &Plan, dir: &Path, monitor: &mut Monitor<'_>) -> anyhow::Result<Built> {
    std::fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
    let mut manifest = begin(plan, dir)?;
    let mut kept = Vec::new();
    let mut done = 0;
    let stopped = |manifest, kept, done| Ok(Built { ended: Ended::Stopped { done }, manifest, kept });

    match &manifest.problems {
        Some(stage) if are_there(dir, &stage.files)? => {
            kept.push("problems");
            monitor.advance(plan.problems());
        }
        before => {
            let Some(made) = problems(plan, dir, monitor)? else { return stopped(manifest, kept, done) };
            manifest.problems = Some(same(before, made)?);
            manifest.write(dir)?;
        }
    }
    done += plan.problems();
    if let Some(search) = &plan.search {
        match &manifest.traces {
            Some(stage) if are_there(dir, &stage.files)? => {
                kept.push("traces");
                monitor.advance(plan.searches());
            }
            before => {
                let made = match traces(plan, search, dir, monitor)? {
                    Ok(made) => made,
                    Err(searches) => return stopped(manifest, kept, done + searches),
                };
                manifest.traces = Some(same(before, made)?);
                manifest.write(dir)?;
            }
        }
        done += plan.searches();
    }
    match &manifest.corpus {
        Some(stage) if are_there(dir, &stage.files)? => {
            kept.push("corpus");
            monitor.advance(plan.converted());
        }
        before => {
            let Some(made) = corpus(plan, dir, monitor)? else { return stopped(manifest, kept, done) };
            manifest.corpus = Some(same(before, made)?);
            manifest.write(dir)?;
        }
    }
    Ok(Built { ended: Ended::Finished, manifest, kept })
}

/// Returns the manifest of a build that was begun with this plan, or a new one.
fn begin(plan: &Plan, dir: &Path) -> anyhow::Result<Manifest> {
    let new = Manifest::new(plan.seed, plan.resolved());
    if dir.join(MANIFEST).try_exists()? {
        let old = Manifest::read(dir)?;
        if let Some(difference) = old.difference(&new)? {
            bail!("{} was built with other settings: {difference}; choose another folder", dir.display());
        }
        return Ok(old);
    }
    for name in [PROBLEMS, TRACE, CORPUS] {
        ensure!(!dir.join(name).exists(), "{} holds {name} and no {MANIFEST}; choose another folder", dir.display());
    }
    new.write(dir)?;
    Ok(new)
}

/// Fails unless a stage that was built again equals its earlier entry in the manifest.
fn same<T: PartialEq>(before: &Option<T>, now: T) -> anyhow::Result<T> {
    ensure!(
        before.as_ref().is_none_or(|before| *before == now),
        "what was made again differs from {MANIFEST}; was it edited, or the program changed?"
    );
    Ok(now)
}

/// Builds the problem set; returns `None` if it was stopped.
fn problems(plan: &Plan, dir: &Path, monitor: &mut Monitor<'_>) -> anyhow::Result<Option<ProblemsStage>> {
    let excluded_before = plan.blocklist.excluded();
    let made;
    let set = match &plan.source {
        Source::Random { generator, count } => {
            let mut problems: Vec<Problem> = Vec::new();
            while (problems.len() as u32) < *count {
                if monitor.is_stopped() {
                    return Ok(None);
                }
                let from = problems.len() as u32;
                let to = from.saturating_add(PROBLEM_BATCH).min(*count);
                let batch = (from..to).into_par_iter().map(|index| generator.problem(index));
                problems.extend(batch.collect::<Result<Vec<_>, _>>()?);
                monitor.advance(u64::from(to - from));
            }
            made = ProblemSet { params: plan.params.clone(), problems };
            &made
        }
        Source::Suite(suite) => {
            monitor.advance(plan.problems());
            suite
        }
    };
    set.write(dir.join(PROBLEMS))?;
    let problems = set.problems.len() as u64;
    Ok(Some(ProblemsStage {
        problems,
        points: set.problems.iter().map(|problem| problem.y.len() as u64).sum(),
        excluded: plan.blocklist.excluded() - excluded_before,
        files: vec![FileEntry::of(dir, PROBLEMS, Some(problems))?],
    }))
}

/// Records the searches; the inner error is the number of searches done when it was stopped.
fn traces(
    plan: &Plan,
    search: &SearchPlan,
    dir: &Path,
    monitor: &mut Monitor<'_>,
) -> anyhow::Result<Result<TracesStage, u64>> {
    let path = dir.join(TRACE);
    let runs = search.settings.runs;
    // A build that ended between the last record and the manifest leaves a finished trace.
    if path.try_exists()? {
        monitor.advance(plan.searches());
    } else {
        let set = ProblemSet::read(dir.join(PROBLEMS))?;
        let jobs = record::jobs(&set, (0..runs).map(|run| plan.seed.wrapping_add(run)))?;
        let (header, config) = (&search.header, &search.settings.config);
        let recording = Recording { out: &path, header, config, jobs: &jobs, batch: BATCH };
        let summary = recording.resume()?.run(&mut Searcher::Expert, monitor, &mut |_| ())?;
        if let Ended::Stopped { done } = summary.ended {
            return Ok(Err(done));
        }
    }

    let not_planned = || format!("{}: not the trace that is to be built; delete it", path.display());
    let mut reader = Reader::<sr_trace::TraceHeader>::open(&path, sr_codec::Kind::Trace, search.header.version())
        .with_context(not_planned)?;
    ensure!(reader.header().params == search.header, not_planned());
    let (mut trajectories, mut solved, mut evaluations) = (0, 0, 0);
    while let Some(record) = reader.next_record::<Record>().with_context(not_planned)? {
        trajectories += 1;
        solved += u64::from(matches!(record.stop(), StopReason::Solved { .. }));
        evaluations += record.evaluations().search;
    }
    ensure!(trajectories == plan.searches(), not_planned());
    let files = vec![FileEntry::of(dir, TRACE, Some(trajectories))?];
    Ok(Ok(TracesStage { trajectories, solved, evaluations, files }))
}

/// Converts to the corpus. Returns `None` if it was stopped; the next build starts the corpus over.
fn corpus(plan: &Plan, dir: &Path, monitor: &mut Monitor<'_>) -> anyhow::Result<Option<CorpusStage>> {
    let problems = sr_corpus::Problems::open(dir.join(PROBLEMS))?;
    let options = Options { stop: Some(monitor.stop()), ..plan.options() };
    let out = dir.join(CORPUS);
    let converted = match &plan.search {
        Some(_) => convert_trace(&dir.join(TRACE), &problems, &options, &out, || monitor.advance(1)),
        None => convert_problems(&problems, &options, &out, || monitor.advance(1)),
    };
    let counts = match converted {
        Err(sr_corpus::Error::Stopped) => return Ok(None),
        converted => converted?,
    };
    let mut files = Vec::new();
    for side in ["train", "val"] {
        let name = format!("{CORPUS}/{side}.sr");
        let records = Reader::open_any(dir.join(&name))?.stated_records();
        files.push(FileEntry::of(dir, &name, records)?);
        if options.jsonl {
            files.push(FileEntry::of(dir, &format!("{CORPUS}/{side}.jsonl"), None)?);
        }
    }
    Ok(Some(CorpusStage { train: counts.train, val: counts.val, excluded: counts.excluded, files }))
}
