//! Searches of one problem by the expert and by the learner.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use sr_engine::{Fit, Origin, Outcome, Policy, Search, SearchConfig};
use sr_eval::{FRESH_POINTS, judge};
use sr_expr::Semantics;
use sr_problems::{Problem, ProblemSet};
use sr_trace::{GenerationRecord, IndividualRecord, Recorder, Trajectory};

/// The place in which a problem is looked for.
#[derive(Debug, Clone, Copy)]
pub enum Place<'a> {
    /// The file of a problem set.
    File(&'a Path),
    /// The name of a suite.
    Suite(&'a str),
    /// All suites; the first one that has the problem counts.
    AllSuites,
}

/// Returns the problem of this name.
///
/// - seed: the seed of the points, which suites draw
///
/// # Errors
/// If there is no such problem (the error names the most similar ones), or the place cannot be read.
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

/// Returns a text that names the few most similar names and says how many there are.
fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    const SHOWN: usize = 3;
    let likeness = |known: &str| strsim::jaro_winkler(&name.to_lowercase(), &known.to_lowercase());
    let mut known: Vec<(f64, &str)> = known.map(|known| (likeness(known), known)).collect();
    // Among equals the first of the set wins.
    known.sort_by(|a, b| b.0.total_cmp(&a.0));
    let names: Vec<&str> = known.iter().take(SHOWN).map(|(_, name)| *name).collect();
    format!("of its {} the nearest are {}", known.len(), names.join(", "))
}

/// A search that has ended.
#[derive(Debug)]
pub struct Searched {
    /// The name of the policy that searched.
    pub name: String,
    /// The result of the search.
    pub outcome: Outcome,
    /// The record of all generations.
    pub trajectory: Trajectory,
    /// Whether the formula solves the problem.
    pub solved: bool,
    /// How the formula fits all rows.
    pub fit: Fit,
    /// The semantics of the operators in the formula.
    pub semantics: Semantics,
}

/// Searches a problem and judges the formula that was found.
///
/// - name: the policy's name, for errors and for [`Searched::name`]
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
    /// Returns the formula that was found, with guarded operators by their own names.
    pub fn formula(&self) -> String {
        self.outcome.winner().tree().display(self.semantics).to_string()
    }

    /// Returns how many of the offspring requested from a learner parsed, and how many were requested; `None` if none
    /// were.
    pub fn well_formed(&self) -> Option<(u64, u64)> {
        well_formed(self.trajectory.generations.iter())
    }

    /// Returns the best individual up to and including a generation.
    pub fn best_so_far(&self, generation: usize) -> IndividualRecord<'_> {
        let mut until = self.trajectory.generations.iter().take(generation + 1);
        until.rfind(|record| record.improved).unwrap_or(self.trajectory.generations.first()).best()
    }
}

/// Returns how many of the offspring requested from a learner parsed, and how many were requested; `None` if none were.
pub fn well_formed<'a>(generations: impl Iterator<Item = GenerationRecord<'a>>) -> Option<(u64, u64)> {
    let origins = generations.flat_map(|record| record.individuals().map(|individual| individual.origin));
    let (written, all) = origins.fold((0, 0), |(written, all), origin| match origin {
        Origin::Learner => (written + 1, all + 1),
        Origin::Fallback => (written, all + 1),
        _ => (written, all),
    });
    (all > 0).then_some((written, all))
}

/// Returns the expert's error divided by the learner's; above 1 the learner is better. Both fits must be of the same
/// rows. Equal finite errors, such as two of 0, give 1; two invalid ones give `None`. The ratio is of relative errors,
/// which stay finite where squared errors overflow.
pub fn improvement(expert: &Fit, learner: &Fit) -> Option<f64> {
    if expert.relative == learner.relative && expert.is_finite() {
        return Some(1.0);
    }
    Some(expert.relative / learner.relative).filter(|ratio| !ratio.is_nan())
}

/// Returns the learner's time divided by the expert's.
pub fn time_ratio(expert: &Searched, learner: &Searched) -> f64 {
    learner.outcome.elapsed.as_secs_f64() / expert.outcome.elapsed.as_secs_f64().max(1e-9)
}
