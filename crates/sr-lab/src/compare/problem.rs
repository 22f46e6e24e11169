//! Expert and learner on one problem.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use sr_engine::{Fit, Origin, Outcome, Policy, Search, SearchConfig};
use sr_eval::{FRESH_POINTS, judge};
use sr_expr::Semantics;
use sr_problems::{Problem, ProblemSet};
use sr_trace::{GenerationRecord, IndividualRecord, Recorder, Trajectory};

/// Where a problem is looked for.
#[derive(Debug, Clone, Copy)]
pub enum Place<'a> {
    /// In a problem set.
    File(&'a Path),
    /// In a suite.
    Suite(&'a str),
    /// In all suites; the first one that has it counts.
    AllSuites,
}

/// The problem of this name.
///
/// - seed: of the points of suites
///
/// # Errors
/// If there is none, naming those that are most like it; or the place cannot be read.
pub fn find(name: &str, place: Place<'_>, seed: u64) -> anyhow::Result<Problem> {
    let of_set = |set: &mut ProblemSet| -> Option<Problem> {
        let index = set.problems.iter().position(|problem| problem.id == name)?;
        Some(set.problems.swap_remove(index))
    };
    let (mut set, place) = match place {
        Place::File(path) => (ProblemSet::read(path)?, path.display().to_string()),
        Place::Suite(suite) => (sr_problems::suite(suite, seed)?, format!("suite {suite}")),
        Place::AllSuites => {
            let mut all: Vec<String> = Vec::new();
            for suite in sr_problems::suite_names() {
                let mut set = sr_problems::suite(suite, seed)?;
                if let Some(problem) = of_set(&mut set) {
                    return Ok(problem);
                }
                all.extend(set.problems.into_iter().map(|problem| problem.id));
            }
            bail!("no suite has a problem \"{name}\"; {}", nearest(name, all.iter().map(String::as_str)));
        }
    };
    of_set(&mut set).with_context(|| {
        let ids = set.problems.iter().map(|problem| &*problem.id);
        format!("{place} has no problem \"{name}\"; {}", nearest(name, ids))
    })
}

/// The few names that are most like one, and how many there are.
fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    const SHOWN: usize = 3;
    let likeness = |known: &str| strsim::jaro_winkler(&name.to_lowercase(), &known.to_lowercase());
    let mut known: Vec<(f64, &str)> = known.map(|known| (likeness(known), known)).collect();
    // Of equals the first of the set.
    known.sort_by(|a, b| b.0.total_cmp(&a.0));
    let names: Vec<&str> = known.iter().take(SHOWN).map(|(_, name)| *name).collect();
    format!("of its {} the nearest are {}", known.len(), names.join(", "))
}

/// A search that has ended.
#[derive(Debug)]
pub struct Searched {
    /// Who searched.
    pub name: String,
    /// What it found.
    pub outcome: Outcome,
    /// What it did.
    pub trajectory: Trajectory,
    /// Whether the formula solves the problem.
    pub solved: bool,
    /// How the formula fits all rows.
    pub fit: Fit,
    /// What operators do in it.
    pub semantics: Semantics,
}

/// Searches a problem and judges what was found.
///
/// - name: who searches
///
/// # Errors
/// If a setting is out of range, the problem is invalid or the policy fails.
pub fn search(
    name: &str,
    problem: &Problem,
    policy: &mut dyn Policy,
    config: &SearchConfig,
    seed: u64,
) -> anyhow::Result<Searched> {
    let semantics = config.semantics;
    let instance = Arc::new(problem.instance().with_context(|| format!("problem {}", problem.id))?);
    let mut recorder = Recorder::new(seed);
    let mut search = Search::new(instance.clone(), config.clone(), seed)?;
    let outcome = search.run_with(policy, &mut recorder);
    let outcome = outcome.with_context(|| format!("the {name} failed"))?;
    let trajectory = recorder.finish(&outcome).with_context(|| format!("recording the search of the {name}"))?;
    let fresh = problem.fresh_points(FRESH_POINTS, 0);
    let winner = outcome.winner();
    let verdict = judge(winner.tree(), semantics, &instance, fresh.as_ref().map(|(x, y)| (x, &y[..])));
    let name = name.to_owned();
    Ok(Searched { name, solved: verdict.solved, fit: verdict.fit, semantics, outcome, trajectory })
}

impl Searched {
    /// The formula that was found, guarded operators by their own names.
    pub fn formula(&self) -> String {
        self.outcome.winner().tree().display(self.semantics).to_string()
    }

    /// Of how many children that a learner was asked for how many parsed; `None` if it was asked for none.
    pub fn well_formed(&self) -> Option<(u64, u64)> {
        well_formed(self.trajectory.generations.iter())
    }

    /// The best individual up to and including a generation.
    pub fn best_so_far(&self, generation: usize) -> IndividualRecord<'_> {
        let mut until = self.trajectory.generations.iter().take(generation + 1);
        until.rfind(|record| record.improved).unwrap_or(self.trajectory.generations.first()).best()
    }
}

/// Of how many children that a learner was asked for how many parsed; `None` if it was asked for none.
pub fn well_formed<'a>(generations: impl Iterator<Item = GenerationRecord<'a>>) -> Option<(u64, u64)> {
    let origins = generations.flat_map(|record| record.individuals().map(|individual| individual.origin));
    let (written, all) = origins.fold((0, 0), |(written, all), origin| match origin {
        Origin::Learner => (written + 1, all + 1),
        Origin::Fallback => (written, all + 1),
        _ => (written, all),
    });
    (all > 0).then_some((written, all))
}

/// How many times as large the expert's error is as the learner's: above 1 the learner is better. Equal errors, such as
/// two of 0, are 1; two that are invalid have no ratio. Both are of the same rows, and relative to the same variance they
/// are numbers where their squares are none.
pub fn improvement(expert: &Fit, learner: &Fit) -> Option<f64> {
    if expert.relative == learner.relative && expert.is_finite() {
        return Some(1.0);
    }
    Some(expert.relative / learner.relative).filter(|ratio| !ratio.is_nan())
}

/// How many times as long as the expert the learner took.
pub fn time_ratio(expert: &Searched, learner: &Searched) -> f64 {
    learner.outcome.elapsed.as_secs_f64() / expert.outcome.elapsed.as_secs_f64().max(1e-9)
}
