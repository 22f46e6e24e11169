//! The metrics of a round's model.

use std::collections::HashSet;

use sr_dagger::{Evaluation, Metric};
use sr_engine::Origin;
use sr_eval::{Row, paired_bootstrap, wilson};
use sr_expr::Tree;
use sr_trace::Trajectory;

/// The results of training that a round reports.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Trained {
    /// Updates of the weights.
    pub(crate) steps: u64,
    /// Loss per target token on labels of validation formulas, in states that learner and expert visited.
    pub(crate) imitation_loss: f64,
    /// Share of these states in which the learner's likeliest child is one of the expert's labels; `None` if no state
    /// was compared.
    pub(crate) agreement: Option<f64>,
    /// The number of states that were compared.
    pub(crate) compared: u64,
    /// Whether there were no validation formulas yet, so that the loss is that of training examples.
    pub(crate) on_training_states: bool,
}

/// Evaluates a learner by its searches. Intervals are drawn from `seed`.
pub(crate) fn evaluation(rows: &[Row], trajectories: &[Trajectory], trained: &Trained, seed: u64) -> Evaluation {
    let solved: Vec<&Row> = rows.iter().filter(|row| row.solved).collect();
    let evaluations: u64 = rows.iter().map(|row| row.evaluations).sum();
    let children: u64 = rows.iter().map(|row| row.children).sum();
    let well_formed: u64 = rows.iter().map(|row| row.well_formed).sum();
    let fallback: u64 = rows.iter().map(|row| row.fallback).sum();
    let (new, made) = trajectories.iter().map(novelty).fold((0, 0), |(a, b), (c, d)| (a + c, b + d));
    let to_solve: Vec<f64> =
        solved.iter().filter_map(|row| row.evaluations_to_solve).map(|evaluations| evaluations as f64).collect();
    let log_mse: Vec<f64> = rows.iter().map(|row| row.mse_train.unwrap_or(1e10).clamp(1e-20, 1e10).log10()).collect();
    let of_solved = |successes: usize| successes as f64 / evaluations.max(1) as f64;
    let (lo, hi) = wilson(solved.len(), rows.len());
    let metrics = vec![
        share("solved", solved.len() as u64, rows.len() as u64),
        Metric {
            name: "solved_per_million_evaluations".to_owned(),
            value: Some(1e6 * of_solved(solved.len())),
            // The interval treats the number of evaluations as fixed; only the number of solved searches varies.
            lo: Some(1e6 * lo * rows.len() as f64 / evaluations.max(1) as f64),
            hi: Some(1e6 * hi * rows.len() as f64 / evaluations.max(1) as f64),
        },
        mean("evaluations_to_solve", &to_solve, seed),
        mean("log10_mse", &log_mse, seed),
        Metric { name: "imitation_loss".to_owned(), value: Some(trained.imitation_loss), lo: None, hi: None },
        match trained.agreement {
            Some(agreement) => {
                share("agreement", (agreement * trained.compared as f64).round() as u64, trained.compared)
            }
            None => Metric { name: "agreement".to_owned(), value: None, lo: None, hi: None },
        },
        share("novelty", new, made),
        share("well_formed", well_formed, well_formed + fallback),
        share("learner_share", well_formed + fallback, children),
    ];
    Evaluation {
        episodes: rows.len() as u32,
        successes: solved.len() as u32,
        score: -log_mse.iter().sum::<f64>() / log_mse.len().max(1) as f64,
        metrics,
    }
}

/// Returns the number of the learner's offspring whose expression its search had not seen, and the number of all its
/// offspring.
fn novelty(trajectory: &Trajectory) -> (u64, u64) {
    let mut seen: HashSet<&Tree> = HashSet::new();
    let (mut new, mut made) = (0, 0);
    for generation in trajectory.generations.iter() {
        for individual in generation.individuals() {
            let is_new = seen.insert(individual.expr);
            if individual.origin == Origin::Learner {
                made += 1;
                new += u64::from(is_new);
            }
        }
    }
    (new, made)
}

/// Returns a share with its Wilson interval.
pub(crate) fn share(name: &str, count: u64, of: u64) -> Metric {
    let (lo, hi) = wilson(count as usize, of as usize);
    let some = of > 0;
    let value = some.then(|| count as f64 / of as f64);
    Metric { name: name.to_owned(), value, lo: some.then_some(lo), hi: some.then_some(hi) }
}

/// Returns a mean with its interval, if there are several values: that of a bootstrap over the episodes. So it never
/// leaves what was measured, as an interval of the normal distribution does where few values lie far apart.
///
/// - values: one an episode, finite
pub(crate) fn mean(name: &str, values: &[f64], seed: u64) -> Metric {
    let found = paired_bootstrap(values, seed);
    let ends = found.filter(|_| values.len() > 1).map(|found| (found.lo, found.hi));
    let (lo, hi) = ends.unzip();
    Metric { name: name.to_owned(), value: found.map(|found| found.mean), lo, hi }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_of_means_stay_within_what_was_measured() {
        // Student's t distribution would have them from −26.27 to 237.3.
        let values = [20.0, 31.0, 71.0, 300.0];
        let found = mean("evaluations_to_solve", &values, 3);
        let (lo, hi) = found.lo.zip(found.hi).expect("an interval");
        assert_eq!(found.value, Some(105.5));
        assert!((20.0..105.5).contains(&lo) && hi > 105.5 && hi <= 300.0, "{lo} to {hi}");
        assert_eq!(mean("evaluations_to_solve", &values, 3), found, "a seed has one interval");
        let equal = mean("steps", &[7.0; 5], 1);
        assert_eq!((equal.value, equal.lo, equal.hi), (Some(7.0), Some(7.0), Some(7.0)));
        assert_eq!(mean("steps", &[7.0], 1), Metric { name: "steps".to_owned(), value: Some(7.0), lo: None, hi: None });
        assert_eq!(mean("steps", &[], 1), Metric { name: "steps".to_owned(), value: None, lo: None, hi: None });
    }
}
