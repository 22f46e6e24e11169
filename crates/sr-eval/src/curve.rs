//! Curves of the least error against what a search has spent.

use serde::{Deserialize, Serialize};

use crate::rows::{in_order, median};
use crate::{Equal, Progress, Row};

/// The number of points of a curve.
const POINTS: usize = 40;

/// The curve of one method on one problem: the median over the seeds of the least error so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// The quantity that all methods could spend equally, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Equal>,
    /// The problem's id.
    pub problem: String,
    /// The method's name.
    pub method: String,
    /// The error after numbers of evaluations; `None` until half of the searches have a valid individual.
    pub by_evaluations: Vec<(f64, Option<f64>)>,
    /// The error after numbers of seconds; `None` until half of the searches have a valid individual.
    pub by_seconds: Vec<(f64, Option<f64>)>,
}

/// Returns the curves of all problems and methods whose rows have progress.
///
/// All methods have the same points of a problem. They are evenly spaced in decades, from the first progress of any
/// search to the most that one spent. A search that has ended keeps its error.
pub fn median_curves(rows: &[Row]) -> Vec<Curve> {
    let rows: Vec<&Row> = rows.iter().filter(|row| row.progress.is_some()).collect();
    let mut budgets: Vec<Option<Equal>> = Vec::new();
    for row in &rows {
        if !budgets.contains(&row.budget) {
            budgets.push(row.budget);
        }
    }
    let mut curves = Vec::new();
    for budget in budgets {
        for problem in in_order(rows.iter().map(|row| &*row.problem)) {
            let rows: Vec<&Row> =
                rows.iter().copied().filter(|row| row.budget == budget && row.problem == problem).collect();
            let by_evaluations = |step: &Progress| step.0 as f64;
            let by_seconds = |step: &Progress| step.1;
            let evaluations = curve_points(&rows, by_evaluations, |row| row.evaluations as f64);
            let seconds = curve_points(&rows, by_seconds, |row| row.seconds);
            for method in in_order(rows.iter().map(|row| &*row.method)) {
                let rows: Vec<&Row> = rows.iter().copied().filter(|row| row.method == method).collect();
                curves.push(Curve {
                    budget,
                    problem: problem.to_owned(),
                    method: method.to_owned(),
                    by_evaluations: medians(&rows, &evaluations, by_evaluations),
                    by_seconds: medians(&rows, &seconds, by_seconds),
                });
            }
        }
    }
    curves
}

/// Returns the median of the least errors of some rows, at points of what they had spent.
///
/// - spent: returns what a step of progress had spent
pub fn medians(rows: &[&Row], points: &[f64], spent: impl Fn(&Progress) -> f64) -> Vec<(f64, Option<f64>)> {
    let least = |row: &Row, at: f64| {
        let steps = row.progress.iter().flatten();
        steps.take_while(|step| spent(step) <= at).last().map_or(f64::INFINITY, |step| step.2)
    };
    points.iter().map(|&at| (at, median(rows.iter().map(|row| least(row, at))))).collect()
}

/// Returns points evenly spaced in decades, from the first step of any row to the end of the longest.
pub fn curve_points(rows: &[&Row], spent: impl Fn(&Progress) -> f64, all: impl Fn(&Row) -> f64) -> Vec<f64> {
    let firsts = rows.iter().filter_map(|row| row.progress.as_ref()?.first()).map(spent);
    let first = firsts.fold(f64::INFINITY, f64::min);
    let last = rows.iter().map(|row| all(row)).fold(0.0, f64::max).max(first);
    if !(first.is_finite() && first > 0.0) {
        return Vec::new();
    }
    let at = |index: usize| first * (last / first).powf(index as f64 / (POINTS - 1) as f64);
    let mut points: Vec<f64> = (0..POINTS).map(at).collect();
    points[POINTS - 1] = last; // not a rounding error below it
    points
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::tests::row;

    #[test]
    fn curves_are_medians_of_steps() {
        let with = |method: &str, seed: u64, steps: &[(u64, f64)]| Row {
            seed,
            progress: Some(steps.iter().map(|&(e, mse)| Progress(e, e as f64 / 100.0, mse)).collect()),
            seconds: 1.0,
            ..row(method, false, None)
        };
        let rows = [
            with("a", 0, &[(10, 4.0), (50, 1.0)]),
            with("a", 1, &[(10, 2.0), (100, 0.0)]),
            with("a", 2, &[(10, 3.0)]),
            with("b", 0, &[(20, 7.0)]),
            row("c", false, None),
        ];
        let curves = median_curves(&rows);
        assert_eq!(curves.iter().map(|curve| &*curve.method).collect::<Vec<_>>(), ["a", "b"]);
        let a = &curves[0];
        assert_eq!((a.by_evaluations[0], a.by_evaluations[POINTS - 1]), ((10.0, Some(3.0)), (100.0, Some(1.0))));
        assert_eq!((a.by_seconds[0], a.by_seconds[POINTS - 1]), ((0.1, Some(3.0)), (1.0, Some(1.0))));
        assert_eq!((curves[1].by_evaluations[0].1, curves[1].by_evaluations[POINTS - 1].1), (None, Some(7.0)));
        let errors = a.by_evaluations.iter().map(|point| point.1.expect("valid"));
        assert!(errors.clone().zip(errors.skip(1)).all(|(before, after)| after <= before));
    }
}
