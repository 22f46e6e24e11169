//! Merges the shards of a trace into the trace of the whole run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use serde_json::Value;
use sr_codec::Kind;
use sr_problems::ProblemSet;
use sr_trace::TraceReader;

use super::difference;

/// A shard of a trace.
#[derive(Debug, Clone, PartialEq)]
pub struct Shard {
    /// The path of the shard.
    pub path: PathBuf,
    /// The settings in its run file, without the shard's index; `None` if there is no run file.
    pub settings: Option<Value>,
    /// The shard's index, counted from 0, and the number of shards, from its run file; `None` if it is a whole run or
    /// there is no run file.
    pub index: Option<(usize, usize)>,
}

/// The input and output of a merge.
#[derive(Debug, Clone, Copy)]
pub struct Merge<'a> {
    /// The shards, in order.
    pub shards: &'a [Shard],
    /// The problem set that was searched; if `None`, the file that the shards name is looked for in their folder and
    /// the one above.
    pub problems: Option<&'a Path>,
    /// The file to write.
    pub out: &'a Path,
}

/// A merged trace.
#[derive(Debug, Clone, PartialEq)]
pub struct Merged {
    /// The number of trajectories.
    pub trajectories: u64,
    /// The settings of the whole run, for its run file; `None` if a shard had none.
    pub settings: Option<Value>,
}

/// Finds the problem set that a merge of these shards reads: the `given` one, or else the one that the first shard
/// names, in its folder or the one above. Returns `None` if it is not there.
///
/// # Errors
/// If a shard is not a trace.
pub fn find_problem_set(shards: &[Shard], given: Option<&Path>) -> anyhow::Result<Option<PathBuf>> {
    for Shard { path, .. } in shards {
        let kind = sr_codec::peek_header(path)?.kind;
        ensure!(
            kind == Kind::Trace,
            "{}: its kind is {kind}; shards of a trace can be merged, problem sets and corpora are made whole",
            path.display()
        );
    }
    let Some(Shard { path: first, .. }) = shards.first() else { return Ok(None) };
    let reader = TraceReader::open(first)?;
    Ok(sr_corpus::find_problems(first, &reader.header().problems, given).ok())
}

/// Merges the shards of a trace, in the given order, into the file that one run would have written.
///
/// A shard's run file says which shard it is. No problem may be in two shards, and if the problem set is found, its
/// problems must come in its order.
///
/// # Errors
/// If shards are missing, doubled, out of order or of different runs, or a file cannot be read or written.
pub fn merge(merge: &Merge<'_>) -> anyhow::Result<Merged> {
    let found = find_problem_set(merge.shards, merge.problems)?;
    let settings = check_shards(merge.shards)?;
    let ids = match found {
        Some(path) => problem_ids(&path, merge.problems.is_some(), settings.as_ref())?,
        None => None,
    };
    if settings.is_none() && ids.is_none() {
        tracing::warn!(
            "neither run files nor the problem set were found, so a shard that is missing at the end is not noticed"
        );
    }
    let paths: Vec<PathBuf> = merge.shards.iter().map(|shard| shard.path.clone()).collect();
    let trajectories = sr_trace::merge_traces_of(&paths, merge.out, ids.as_deref())?;
    Ok(Merged { trajectories, settings })
}

/// Returns the settings of the whole run, or `None` if a shard has no run file. Fails unless the run files name all
/// shards of one run, in order.
fn check_shards(shards: &[Shard]) -> anyhow::Result<Option<Value>> {
    let mut first: Option<(&Path, &Value)> = None;
    let mut found: BTreeMap<usize, &Path> = BTreeMap::new();
    let mut order = Vec::new();
    let mut is_known = true;
    for Shard { path, settings, index } in shards {
        let told = path.display();
        let Some(settings) = settings else {
            is_known = false;
            continue;
        };
        let Some((index, count)) = *index else {
            ensure!(shards.len() == 1, "{told}: a whole run by its run file, and no shard");
            continue;
        };
        if count < shards.len() {
            bail!("{told}: a shard of {count}, and {} files are given", shards.len());
        }
        if let Some(other) = found.insert(index, path) {
            bail!("shard {}/{count} is given twice: {} and {told}", index + 1, other.display());
        }
        order.push((index, count, path));
        match first {
            None => first = Some((path, settings)),
            Some((first, of_first)) => {
                if let Some((at, of_first, here)) = difference("", of_first, settings) {
                    let first = first.display();
                    bail!(
                        "{told} and {first} are shards of different runs: {at} is {here} in {told} and {of_first} in {first}"
                    );
                }
            }
        }
    }
    if let Some(&(_, count, file)) = order.iter().find(|&&(_, count, _)| count != order[0].1) {
        bail!("{} is a shard of {count}, {} of {}", file.display(), order[0].2.display(), order[0].1);
    }
    if is_known && let Some(&(_, count, _)) = order.first() {
        let missing: Vec<String> = (0..count)
            .filter(|index| !found.contains_key(index))
            .map(|index| format!("{}/{count}", index + 1))
            .collect();
        ensure!(missing.is_empty(), "of the shards {} are missing: {}", missing.len(), missing.join(", "));
        if let Some((place, (index, _, file))) = order.iter().enumerate().find(|(place, (index, ..))| place != index) {
            bail!(
                "the shards are out of order: {} is {}/{count}, expected {}/{count}",
                file.display(),
                index + 1,
                place + 1
            );
        }
    }
    Ok(first.filter(|_| is_known).map(|(_, settings)| settings.clone()))
}

/// Returns the ids of the searched problems, in their order; `None` if the set that was found is another one.
fn problem_ids(path: &Path, is_given: bool, settings: Option<&Value>) -> anyhow::Result<Option<Vec<String>>> {
    let set = ProblemSet::read(path).with_context(|| format!("reading {}", path.display()))?;
    let made_of = settings.and_then(|settings| settings["problems"].as_str());
    let found = format!("{} problems {:016x}", set.problems.len(), set.fingerprint());
    match made_of {
        Some(made_of) if made_of != found => {
            let told = format!("{}: {found}, the shards are of {made_of}", path.display());
            ensure!(!is_given, "{told}: this is another problem set");
            tracing::warn!("{told}: the order of problems is not checked");
            return Ok(None);
        }
        _ => {}
    }
    let most = settings.and_then(|settings| settings["max_problems"].as_u64()).unwrap_or(u64::MAX);
    let ids = set.problems.into_iter().map(|problem| problem.id);
    Ok(Some(ids.take(usize::try_from(most).unwrap_or(usize::MAX)).collect()))
}
