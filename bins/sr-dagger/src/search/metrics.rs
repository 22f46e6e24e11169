//! What is measured of a round's learner.

use std::collections::HashSet;

use sr_dagger::{Evaluation, Metric};
use sr_engine::Origin;
use sr_eval::{Row, wilson};
use sr_expr::Tree;
use sr_trace::Trajectory;

/// What training came to, as far as a round tells it.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Trained {
    /// Updates.
    pub(crate) steps: u64,
    /// Loss per target token on labels of formulas that were not learned from, in states that learner and expert visited.
    pub(crate) imitation_loss: f64,
    /// Share of these states in which the learner's likeliest child is one of the expert's labels; `null` if none was
    /// looked at.
    pub(crate) agreement: Option<f64>,
    /// States that were looked at.
    pub(crate) compared: u64,
    /// Whether there were no such formulas yet, and the loss is that of what was learned from.
    pub(crate) on_training_states: bool,
}

/// The evaluation of a learner by its searches.
pub(crate) fn evaluation(rows: &[Row], trajectories: &[Trajectory], trained: &Trained) -> Evaluation {
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
            // The evaluations are taken as given: what varies is who solves.
            lo: Some(1e6 * lo * rows.len() as f64 / evaluations.max(1) as f64),
            hi: Some(1e6 * hi * rows.len() as f64 / evaluations.max(1) as f64),
        },
        mean("evaluations_to_solve", &to_solve),
        mean("log10_mse", &log_mse),
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

/// Children of the learner of a form that its search had not seen before, and all of its children.
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

/// A share with its Wilson interval.
pub(crate) fn share(name: &str, count: u64, of: u64) -> Metric {
    let (lo, hi) = wilson(count as usize, of as usize);
    let some = of > 0;
    let value = some.then(|| count as f64 / of as f64);
    Metric { name: name.to_owned(), value, lo: some.then_some(lo), hi: some.then_some(hi) }
}

/// A mean with the 95 % interval of Student's t distribution.
pub(crate) fn mean(name: &str, values: &[f64]) -> Metric {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>() / (n - 1.0);
    let half = student_t(values.len().saturating_sub(1)) * (variance / n).sqrt();
    let (some, several) = (!values.is_empty(), values.len() > 1);
    let lo = several.then_some(mean - half);
    Metric { name: name.to_owned(), value: some.then_some(mean), lo, hi: several.then_some(mean + half) }
}

/// The 97.5 % quantile by degrees of freedom: a table, and beyond it an expansion that is off by less than 0.001.
fn student_t(freedom: usize) -> f64 {
    const TABLE: [f64; 10] = [f64::INFINITY, 12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262];
    let z = 1.959_964_f64;
    let n = freedom as f64;
    // Abramowitz & Stegun, 26.7.5.
    let terms = [
        (z.powi(3) + z) / 4.0,
        (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / 96.0,
        (3.0 * z.powi(7) + 19.0 * z.powi(5) + 17.0 * z.powi(3) - 15.0 * z) / 384.0,
    ];
    let expanded = z + terms[0] / n + terms[1] / (n * n) + terms[2] / n.powi(3);
    TABLE.get(freedom).copied().unwrap_or(expanded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_have_intervals() {
        let metric = mean("x", &[1.0, 2.0, 3.0, 4.0]);
        assert_eq!(metric.value, Some(2.5));
        // 3.182 · sqrt(5/3) / 2
        assert!((metric.hi.expect("several") - 2.5 - 2.054).abs() < 1e-3, "{metric:?}");
        assert_eq!(mean("x", &[]).value, None);
        assert_eq!((mean("x", &[7.0]).value, mean("x", &[7.0]).lo), (Some(7.0), None));
        for (freedom, expected) in [(10, 2.228), (20, 2.086), (60, 2.000), (10_000, 1.960)] {
            assert!((student_t(freedom) - expected).abs() < 1e-3, "{freedom}: {}", student_t(freedom));
        }
    }
}
