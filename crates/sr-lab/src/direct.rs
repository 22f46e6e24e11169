//! Evaluation of models of mode direct, which write a formula from the data alone.
//!
//! Each problem has two picks: the greedy formula, and of the sampled formulas the one with the least error on the
//! training points, the smallest among equals.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, ensure};
use sr_engine::{Instance, Offspring, Origin, Policy, Request, Search, SearchConfig};
use sr_eval::{DirectRow, FRESH_POINTS, judge, r_squared};
use sr_expr::Expr;
use sr_neural::{Learner, LearnerMode, Sampling};
use sr_problems::Problem;

use crate::{Ended, Monitor};

/// The most formulas that are held for one batch of problems.
const MOST_TOGETHER: usize = 1_000_000;

/// An evaluation of a model of mode direct.
#[derive(Debug, Clone, Copy)]
pub struct Direct<'a> {
    /// The problems.
    pub problems: &'a [Problem],
    /// Formulas to sample for each problem beside the greedy one; 0 for the greedy one alone.
    pub samples: usize,
    /// Problems that are read together; fewer where their samples would exceed a million. Results do not depend on it.
    pub batch: usize,
    /// Seed of the samples.
    pub seed: u64,
}

/// A checkpoint loaded twice: one model takes the likeliest tokens, the other is sampled.
#[derive(Debug)]
pub struct Models {
    greedy: Learner,
    sampled: Learner,
}

impl Models {
    /// Loads a checkpoint.
    ///
    /// - device: the device, such as `cpu`
    /// - sampling: the settings of the sampled model; the greedy one ignores those that concern chance
    ///
    /// # Errors
    /// If the checkpoint cannot be loaded, cannot be sampled in this way, or was not trained for mode direct.
    pub fn load(checkpoint: &Path, device: &str, sampling: Sampling) -> anyhow::Result<Self> {
        let sampled = crate::learner::open(checkpoint, device, sampling)?;
        let found = sampled.mode().name();
        ensure!(
            sampled.mode() == LearnerMode::Direct,
            "{}: the checkpoint was trained for mode {found}, not direct; compare it with --methods NAME=neural:{0}",
            checkpoint.display()
        );
        let greedy = Sampling { temperature: 0.0, top_k: None, top_p: None, distinct: false, ..sampling };
        Ok(Models { greedy: crate::learner::open(checkpoint, device, greedy)?, sampled })
    }

    /// Returns the model that is sampled.
    pub fn learner(&self) -> &Learner {
        &self.sampled
    }
}

impl Direct<'_> {
    /// Asks for all formulas and judges them. Returns a row for each problem and pick, in the order of the problems.
    ///
    /// - monitor: counts problems; after a stop, the rows of the problems done so far are returned
    ///
    /// # Errors
    /// If a problem has too many variables for the model or is invalid, or the model fails.
    pub fn run(&self, models: &mut Models, monitor: &mut Monitor<'_>) -> anyhow::Result<(Vec<DirectRow>, Ended)> {
        let problems = self.problems.iter().map(|problem| (&*problem.id, problem.x.n_columns()));
        crate::learner::check_problems(&models.sampled, problems)?;
        let mut picks = vec![("greedy".to_owned(), &mut models.greedy, 1)];
        if self.samples > 0 {
            picks.push((format!("best of {}", self.samples), &mut models.sampled, self.samples));
        }
        let mut rows = Vec::new();
        let together = self.batch.min(MOST_TOGETHER / self.samples.max(1)).max(1);
        for (index, batch) in self.problems.chunks(together).enumerate() {
            if monitor.is_stopped() {
                return Ok((rows, Ended::Stopped { done: (index * together) as u64 }));
            }
            let mut of_picks = Vec::new();
            for (pick, learner, samples) in &mut picks {
                of_picks.push(pick_formulas(pick, learner, *samples, batch, self.seed)?);
            }
            // Rows are ordered by problem, so that its picks stand together.
            let mut of_picks: Vec<_> = of_picks.into_iter().map(Vec::into_iter).collect();
            for _ in batch {
                rows.extend(of_picks.iter_mut().filter_map(Iterator::next));
            }
            monitor.advance(batch.len() as u64);
        }
        Ok((rows, Ended::Finished))
    }
}

/// Returns the best of some formulas for each problem.
fn pick_formulas(
    pick: &str,
    learner: &mut Learner,
    samples: usize,
    problems: &[Problem],
    seed: u64,
) -> anyhow::Result<Vec<DirectRow>> {
    // A learner reads requests with states of searches; in mode direct it uses only their data.
    let search = |problem: &Problem| -> anyhow::Result<Search> {
        let config = SearchConfig { semantics: problem.semantics, ..SearchConfig::basic() };
        let instance = problem.instance().with_context(|| format!("problem {}", problem.id))?;
        Ok(Search::new(Arc::new(instance), config, seed)?)
    };
    let searches = problems.iter().map(search).collect::<anyhow::Result<Vec<_>>>()?;
    let mut all_offspring = vec![Offspring::default(); searches.len()];
    let asked = searches.iter().zip(&mut all_offspring);
    let mut requests: Vec<Request<'_>> =
        asked.map(|(search, offspring)| Request::new(search.state(), samples, offspring)).collect();
    learner.propose(&mut requests).context("the model failed")?;
    let instances = searches.iter().map(|search| &**search.instance());
    let answers = problems.iter().zip(instances).zip(&all_offspring);
    Ok(answers.map(|((problem, instance), offspring)| row(pick, problem, instance, offspring)).collect())
}

fn row(pick: &str, problem: &Problem, instance: &Instance, offspring: &Offspring) -> DirectRow {
    let written = offspring.iter().filter(|child| child.origin == Origin::Learner);
    // The semantics are those of the problem's own formula.
    let semantics = problem.semantics;
    let mse = |formula: &Expr| instance.fit(formula, semantics).mse;
    let scored = written.clone().map(|child| (mse(&child.tree.to_owned()), child.tree.to_owned()));
    let best = scored.min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.size().cmp(&b.1.size()))); // the first of equals
    let fresh = problem.fresh_points(FRESH_POINTS, 0);
    let fresh = fresh.as_ref().map(|(x, y)| (x, &y[..]));
    let verdict = best.as_ref().map(|(_, formula)| judge(formula, semantics, instance, fresh));
    let r2_test = match verdict {
        Some(verdict) => verdict.r2,
        None => fresh.and_then(|(_, y)| r_squared(&vec![f64::NAN; y.len()], y)),
    };
    DirectRow {
        problem: problem.id.clone(),
        pick: pick.into(),
        exact: problem.source.as_ref().map(|source| best.as_ref().is_some_and(|(_, formula)| formula == source)),
        solved: verdict.is_some_and(|verdict| verdict.solved),
        r2_test,
        mse_train: best.as_ref().map(|(mse, _)| *mse).filter(|mse| mse.is_finite()),
        size: best.as_ref().map_or(0, |(_, formula)| formula.size()),
        expression: best.as_ref().map_or(String::new(), |(_, formula)| formula.display(semantics).to_string()),
        samples: offspring.len() as u64,
        well_formed: written.count() as u64,
    }
}
