//! Making a data set, stage by stage.
//!
//! The manifest is written at the start and again after each stage, so it says which files are finished. A finished file
//! is kept if it has its hash, an unfinished trace is continued, everything else is made anew; all of it is a function of
//! the plan, so the bytes are the same.

use std::path::Path;

use anyhow::{Context, bail, ensure};
use sr_cli::Common;
use sr_codec::Reader;
use sr_corpus::{Mode, convert_problems, convert_trace};
use sr_engine::StopReason;
use sr_lab::Monitor;
use sr_lab::record::{self, Recording, Searcher};
use sr_problems::ProblemSet;
use sr_trace::Record;

use crate::config::{CORPUS, PROBLEMS, Plan, SearchPlan, Source, TRACE};
use crate::manifest::{Corpus, FileEntry, MANIFEST, Manifest, Problems, Traces, are_there};

/// Searches whose records are written at once; a killed build loses no more.
const BATCH: usize = 64;

/// What there is now, and which stages were there already.
pub(crate) struct Built {
    pub(crate) manifest: Manifest,
    pub(crate) kept: Vec<&'static str>,
}

pub(crate) fn build(plan: &Plan, dir: &Path, common: &Common) -> anyhow::Result<Built> {
    std::fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
    let mut manifest = begin(plan, dir)?;
    let mut kept = Vec::new();

    match &manifest.problems {
        Some(stage) if are_there(dir, &stage.files)? => kept.push("problems"),
        before => {
            let stage = same(before, problems(plan, dir, common)?)?;
            manifest.problems = Some(stage);
            manifest.write(dir)?;
        }
    }
    if let Some(search) = &plan.search {
        match &manifest.traces {
            Some(stage) if are_there(dir, &stage.files)? => kept.push("traces"),
            before => {
                let stage = same(before, traces(plan, search, dir, common)?)?;
                manifest.traces = Some(stage);
                manifest.write(dir)?;
            }
        }
    }
    match &manifest.corpus {
        Some(stage) if are_there(dir, &stage.files)? => kept.push("corpus"),
        before => {
            let stage = same(before, corpus(plan, dir, common)?)?;
            manifest.corpus = Some(stage);
            manifest.write(dir)?;
        }
    }
    Ok(Built { manifest, kept })
}

/// The manifest of a build that was begun with this plan, or a new one.
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

/// What was made again has to be what it was.
fn same<T: PartialEq>(before: &Option<T>, now: T) -> anyhow::Result<T> {
    ensure!(
        before.as_ref().is_none_or(|before| *before == now),
        "what was made again differs from {MANIFEST}; was it edited, or the program changed?"
    );
    Ok(now)
}

fn problems(plan: &Plan, dir: &Path, common: &Common) -> anyhow::Result<Problems> {
    let excluded_before = plan.blocklist.excluded();
    let (made, set);
    match &plan.source {
        Source::Random { generator, count } => {
            let bar = common.progress(u64::from(*count), "problems");
            made = generator.generate(*count, || bar.inc(1))?;
            bar.finish_and_clear();
            set = &made;
        }
        Source::Suite(suite) => set = suite,
    }
    set.write(dir.join(PROBLEMS))?;
    let problems = set.problems.len() as u64;
    Ok(Problems {
        problems,
        points: set.problems.iter().map(|problem| problem.y.len() as u64).sum(),
        excluded: plan.blocklist.excluded() - excluded_before,
        files: vec![FileEntry::of(dir, PROBLEMS, Some(problems))?],
    })
}

fn traces(plan: &Plan, search: &SearchPlan, dir: &Path, common: &Common) -> anyhow::Result<Traces> {
    let path = dir.join(TRACE);
    // A build that ended between the last record and the manifest leaves a finished trace.
    if !path.try_exists()? {
        let set = ProblemSet::read(dir.join(PROBLEMS))?;
        let jobs = record::jobs(&set, (0..search.runs).map(|run| plan.seed.wrapping_add(run)))?;
        let (header, config) = (&search.header, &search.config);
        let bar = common.progress(jobs.len() as u64, "searches");
        let recording = Recording { out: &path, header, config, jobs: &jobs, batch: BATCH };
        let mut monitor = Monitor::of_progress(|pieces| bar.inc(pieces));
        recording.resume()?.run(&mut Searcher::Expert, &mut monitor, &mut |_| ())?;
        drop(monitor);
        bar.finish_and_clear();
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
    ensure!(trajectories == plan.problems() * search.runs, not_planned());
    let files = vec![FileEntry::of(dir, TRACE, Some(trajectories))?];
    Ok(Traces { trajectories, solved, evaluations, files })
}

fn corpus(plan: &Plan, dir: &Path, common: &Common) -> anyhow::Result<Corpus> {
    let problems = sr_corpus::Problems::open(dir.join(PROBLEMS))?;
    let (options, out) = (plan.options(), dir.join(CORPUS));
    let counts = match (&plan.search, plan.corpus.mode) {
        (Some(search), Mode::OneStep | Mode::Autoregressive) => {
            let bar = common.progress(plan.problems() * search.runs, "trajectories");
            convert_trace(&dir.join(TRACE), &problems, &options, &out, || bar.inc(1))?
        }
        _ => {
            let bar = common.progress(plan.problems(), "problems");
            convert_problems(&problems, &options, &out, || bar.inc(1))?
        }
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
    Ok(Corpus { train: counts.train, val: counts.val, excluded: counts.excluded, files })
}
