//! Measures of a method's cost: expected running time, area under the curve, and intervals by resampling.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use sr_engine::random::{Key, Purpose, problem_key};

use crate::Row;

/// The number of resamples of a bootstrap.
pub const RESAMPLES: u32 = 10_000;

/// The outcome of a search for the measures of cost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trial {
    /// Whether the problem was solved.
    pub solved: bool,
    /// Evaluations, or seconds, up to the solution; the search's total if it has none.
    pub spent: f64,
}

/// Returns the expected running time, `Σ spent ÷ successes`: the average cost of solving a problem once if a failed
/// search is restarted (Auger & Hansen, 2005). `None` without a success.
pub fn expected_running_time(trials: &[Trial]) -> Option<f64> {
    let successes = trials.iter().filter(|trial| trial.solved).count();
    (successes > 0).then(|| trials.iter().map(|trial| trial.spent).sum::<f64>() / successes as f64)
}

/// Returns the area under the share of solved problems against `log10(spent)`, from 1 to `budget`, relative to that
/// width: 1 if the first evaluation solves everything, 0 if nothing is solved within the budget.
pub fn area_under_curve(trials: &[Trial], budget: f64) -> f64 {
    let width = budget.max(10.0).log10();
    let of = |trial: &Trial| if trial.solved { 1.0 - trial.spent.max(1.0).log10() / width } else { 0.0 };
    if trials.is_empty() {
        0.0
    } else {
        trials.iter().map(|trial| of(trial).max(0.0)).sum::<f64>() / trials.len() as f64
    }
}

/// Returns the points `(spent, share)`, in order, at which the share of solved problems rises.
pub fn solved_curve(trials: &[Trial]) -> Vec<(f64, f64)> {
    let mut spent: Vec<f64> = trials.iter().filter(|trial| trial.solved).map(|trial| trial.spent).collect();
    spent.sort_by(f64::total_cmp);
    let share = |count: usize| count as f64 / trials.len() as f64;
    let mut curve: Vec<(f64, f64)> = Vec::new();
    for (count, spent) in spent.into_iter().enumerate() {
        match curve.last_mut() {
            Some(last) if last.0 == spent => last.1 = share(count + 1),
            _ => curve.push((spent, share(count + 1))),
        }
    }
    curve
}

/// The difference of a method from another one, on the same problems with the same seeds. Intervals are 95 % percentile
/// intervals of a paired bootstrap (Efron, 1979).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// The other method.
    pub against: String,
    /// The number of pairs: searches of the same problem with the same seed by both methods.
    pub pairs: usize,
    /// The share solved minus that of the other method.
    pub solved: f64,
    /// Lower end of the difference's interval.
    pub solved_lo: f64,
    /// Upper end of the interval.
    pub solved_hi: f64,
    /// The decades by which the expected running time in evaluations exceeds the other's; below 0 is better. `None` if
    /// one of them solved nothing.
    pub log_ert: Option<f64>,
    /// Lower end of its interval; `None` if it lies among resamples without a success.
    pub log_ert_lo: Option<f64>,
    /// Upper end of its interval; `None` if it lies among resamples without a success.
    pub log_ert_hi: Option<f64>,
    /// Where searches fit constants: the lower end of the interval, the decades by which the expected running time in
    /// node · rows exceeds the other's, and the upper end. `None` if one of these is infinite.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_work: Option<[f64; 3]>,
}

/// The results of resampling for one method.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Resampled {
    /// The 95 % interval of the expected running time in evaluations; `None` for an end that is infinite.
    pub(crate) ert: (Option<f64>, Option<f64>),
    pub(crate) difference: Option<Difference>,
}

/// Resamples the pairs of problem and seed, the same for all methods, so that what is hard for all of them cancels.
///
/// - methods: the names, first the one to compare with; rows: searches of one budget
pub(crate) fn resample(methods: &[&str], rows: &[&Row], seed: u64) -> Vec<Resampled> {
    let mut pairs: Vec<(&str, u64)> = Vec::new();
    let mut index: HashMap<(&str, u64), usize> = HashMap::new();
    for row in rows {
        let pair = (&*row.problem, row.seed);
        index.entry(pair).or_insert_with(|| {
            pairs.push(pair);
            pairs.len() - 1
        });
    }
    let mut trials = vec![vec![None; pairs.len()]; methods.len()];
    let mut worked = trials.clone();
    for row in rows {
        let method = methods.iter().position(|method| *method == row.method).expect("a method of the rows");
        let pair = index[&(&*row.problem, row.seed)];
        trials[method][pair] = Some(row.trial());
        worked[method][pair] = row.worked_trial();
    }
    let fits = rows.iter().all(|row| row.work.is_some());
    let of_all =
        |method: usize, sample: &mut dyn Iterator<Item = usize>| Sums::of(sample.map(|pair| trials[method][pair]));
    // A method is compared on the pairs that both methods have.
    let both = |method: usize, pair: usize| trials[0][pair].is_some() && trials[method][pair].is_some();
    let of_both = |method: usize, other: usize, sample: &[usize]| {
        Sums::of(sample.iter().filter(|&&pair| both(method, pair)).map(|&pair| trials[other][pair]))
    };
    let work_of_both = |method: usize, other: usize, sample: &[usize]| {
        Sums::of(sample.iter().filter(|&&pair| both(method, pair)).map(|&pair| worked[other][pair]))
    };
    let log_work = |method: usize, sample: &[usize]| {
        work_of_both(method, method, sample).ert().log10() - work_of_both(method, 0, sample).ert().log10()
    };
    let everything: Vec<usize> = (0..pairs.len()).collect();
    let key = Key::new(seed, Purpose::Evaluation, problem_key("bootstrap"));
    let n = RESAMPLES as usize;
    let mut erts = vec![Vec::with_capacity(n); methods.len()];
    let mut differences = vec![(Vec::with_capacity(n), Vec::with_capacity(n)); methods.len()];
    let mut of_work = vec![Vec::new(); methods.len()];
    let mut sample = vec![0; pairs.len()];
    for draw in 0..RESAMPLES {
        let mut rng = key.slot(draw).rng();
        sample.fill_with(|| rng.below(pairs.len()));
        for method in 0..methods.len() {
            erts[method].push(of_all(method, &mut sample.iter().copied()).ert());
            if method > 0 {
                let (own, other) = (of_both(method, method, &sample), of_both(method, 0, &sample));
                differences[method].0.push(own.share() - other.share());
                differences[method].1.push(own.ert().log10() - other.ert().log10());
                if fits {
                    of_work[method].push(log_work(method, &sample));
                }
            }
        }
    }
    let finish = |method: usize| {
        let ert = interval(&mut erts[method]);
        let difference = (method > 0).then(|| {
            let (own, other) = (of_both(method, method, &everything), of_both(method, 0, &everything));
            let (lo, hi) = interval(&mut differences[method].0);
            let (log_ert_lo, log_ert_hi) = interval(&mut differences[method].1);
            let log_work = match interval(&mut of_work[method]) {
                (Some(lo), Some(hi)) => Some([lo, log_work(method, &everything), hi]),
                _ => None,
            };
            Difference {
                against: methods[0].to_owned(),
                pairs: own.n,
                solved: if own.n > 0 { own.share() - other.share() } else { 0.0 },
                solved_lo: lo.unwrap_or(-1.0),
                solved_hi: hi.unwrap_or(1.0),
                log_ert: Some(own.ert().log10() - other.ert().log10()).filter(|value| value.is_finite()),
                log_ert_lo,
                log_ert_hi,
                log_work: log_work.filter(|of| of.iter().all(|value| value.is_finite())),
            }
        });
        Resampled { ert, difference }
    };
    (0..methods.len()).map(finish).collect()
}

/// The sums of a sample that the measures need.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    n: usize,
    solved: usize,
    spent: f64,
}

impl Sums {
    fn of(trials: impl Iterator<Item = Option<Trial>>) -> Self {
        trials.flatten().fold(Sums::default(), |sums, trial| Sums {
            n: sums.n + 1,
            solved: sums.solved + usize::from(trial.solved),
            spent: sums.spent + trial.spent,
        })
    }

    fn share(self) -> f64 {
        self.solved as f64 / self.n as f64
    }

    /// Returns the expected running time; infinite without a success.
    fn ert(self) -> f64 {
        self.spent / self.solved as f64
    }
}

/// Returns the 2.5 % and 97.5 % quantiles, each the nearest order statistic; `None` for one that is infinite. NaN, such
/// as the difference of two infinite times, is ignored.
fn interval(values: &mut Vec<f64>) -> (Option<f64>, Option<f64>) {
    values.retain(|value| !value.is_nan());
    values.sort_by(f64::total_cmp);
    let at = |p: f64| {
        let last = values.len().checked_sub(1)?;
        values.get((p * last as f64).round() as usize).copied().filter(|value| value.is_finite())
    };
    (at(0.025), at(0.975))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::tests::row;

    fn trials(spent: &[(bool, f64)]) -> Vec<Trial> {
        spent.iter().map(|&(solved, spent)| Trial { solved, spent }).collect()
    }

    #[test]
    fn expected_running_time_is_all_that_was_spent_by_success() {
        assert_eq!(expected_running_time(&trials(&[(true, 100.0), (false, 900.0), (true, 200.0)])), Some(600.0));
        assert_eq!(expected_running_time(&trials(&[(false, 900.0)])), None);
        // A search that succeeds with probability p and always spends n: n / p.
        let coin: Vec<(bool, f64)> = (0..100).map(|i| (i % 4 == 0, 50.0)).collect();
        assert_eq!(expected_running_time(&trials(&coin)), Some(50.0 / 0.25));
    }

    #[test]
    fn the_area_is_that_of_the_curve() {
        let some = trials(&[(true, 10.0), (true, 100.0), (false, 1000.0), (true, 1000.0)]);
        assert_eq!(area_under_curve(&some, 1000.0), ((1.0 - 1.0 / 3.0) + (1.0 - 2.0 / 3.0) + 0.0 + 0.0) / 4.0);
        assert_eq!((area_under_curve(&trials(&[(true, 1.0)]), 1e6), area_under_curve(&[], 10.0)), (1.0, 0.0));
        // Adding up rectangles under the steps gives the same.
        let (mut sum, mut last) = (0.0, (0.0, 0.0));
        for (spent, share) in solved_curve(&some).into_iter().chain([(1000.0, 0.0)]) {
            sum += (spent.log10() - last.0) * last.1;
            last = (spent.log10(), share);
        }
        assert!((sum / 3.0 - area_under_curve(&some, 1000.0)).abs() < 1e-12);
        assert_eq!(solved_curve(&some), [(10.0, 0.25), (100.0, 0.5), (1000.0, 0.75)]);
    }

    #[test]
    fn resampling_agrees_with_the_binomial_interval() {
        // The bootstrap of a share is a binomial over n: its quantiles are known.
        let rows: Vec<Row> = (0..200)
            .flat_map(|i| {
                let own = Row { seed: i, ..row("b", i % 2 == 0, None) };
                [Row { seed: i, ..row("a", false, None) }, own]
            })
            .collect();
        let all: Vec<&Row> = rows.iter().collect();
        let resampled = resample(&["a", "b"], &all, 1);
        let difference = resampled[1].difference.as_ref().expect("a second method");
        assert_eq!((difference.solved, difference.pairs, difference.log_ert), (0.5, 200, None));
        // Binomial(200, ½): quantiles 86 and 114.
        assert!((difference.solved_lo - 0.43).abs() < 0.011 && (difference.solved_hi - 0.57).abs() < 0.011);
        assert_eq!((resampled[0].ert, resampled[0].difference.is_none()), ((None, None), true));
        // 40 evaluations each where it is solved, 100 where it is not: (40·k + 100·(200 − k)) / k.
        let (lo, hi) = resampled[1].ert;
        let ert = |k: f64| (40.0 * k + 100.0 * (200.0 - k)) / k;
        assert!((lo.expect("finite") - ert(114.0)).abs() < 5.0 && (hi.expect("finite") - ert(86.0)).abs() < 5.0);
        assert_eq!(resample(&["a", "b"], &all, 1), resampled, "same seed, same numbers");
    }

    #[test]
    fn equal_methods_differ_by_nothing() {
        let rows: Vec<Row> =
            (0..30).flat_map(|i| ["a", "b"].map(|name| Row { seed: i, ..row(name, i % 3 == 0, None) })).collect();
        let resampled = resample(&["a", "b"], &rows.iter().collect::<Vec<_>>(), 7);
        let difference = resampled[1].difference.as_ref().expect("a second method");
        assert_eq!((difference.solved_lo, difference.solved_hi), (0.0, 0.0));
        assert_eq!(
            (difference.log_ert_lo, difference.log_ert, difference.log_ert_hi),
            (Some(0.0), Some(0.0), Some(0.0))
        );
    }
}
