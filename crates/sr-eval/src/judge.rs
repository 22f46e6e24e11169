//! Judges whether a formula solves a problem.

use sr_engine::{Fit, Instance};
use sr_expr::{Columns, Semantics, Tree};

/// The number of fresh points that a formula is judged on.
pub const FRESH_POINTS: usize = 1000;
/// The largest `1 − R²` on fresh points, in f64, at which a formula counts as the solution.
const MAX_UNEXPLAINED: f64 = 1e-10;
/// The largest error, relative to `max(1, |y|)`, at which a constant counts as the solution.
const MAX_CONSTANT_ERROR: f64 = 1e-9;

/// The verdict on one formula.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Judgement {
    /// Whether the problem is solved.
    pub solved: bool,
    /// R² on fresh points; `None` without fresh points, and for a constant target.
    pub r2: Option<f64>,
    /// The fit of the formula to all of the problem's own rows.
    pub fit: Fit,
}

/// Judges `tree` on fresh points `(x, y)` of the problem or, if there are none, on its own rows. In every table
/// *solved* means:
///
/// - `1 − R² ≤ 1e-10` on the fresh points, and for a constant y `max|ŷ − y| ≤ 1e-9·max(1, |y|)`;
/// - without fresh points, as for own data, `1 − R²` on all rows within [`Instance::tolerance`].
pub fn judge(tree: &Tree, semantics: Semantics, instance: &Instance, fresh: Option<(&Columns, &[f64])>) -> Judgement {
    let fit = instance.fit(tree, semantics);
    let Some((x, y)) = fresh else {
        return Judgement { solved: fit.is_solved, r2: None, fit };
    };
    let predicted = sr_expr::predict(tree, x, semantics);
    match r_squared(&predicted, y) {
        Some(r2) => Judgement { solved: 1.0 - r2 <= MAX_UNEXPLAINED, r2: Some(r2), fit },
        None => {
            let close = |(p, y): (&f64, &f64)| (p - y).abs() <= MAX_CONSTANT_ERROR * y.abs().max(1.0);
            Judgement { solved: !y.is_empty() && predicted.iter().zip(y).all(close), r2: None, fit }
        }
    }
}

/// Returns the coefficient of determination, `1 − Σ(y − ŷ)² / Σ(y − ȳ)²`; −∞ if a prediction is not finite, `None` if y
/// is constant.
///
/// - predicted, y: `[rows]`
pub fn r_squared(predicted: &[f64], y: &[f64]) -> Option<f64> {
    // The largest target is scaled to about 1, so that no square overflows. A power of two changes no digit.
    let largest = y.iter().fold(0.0_f64, |largest, y| largest.max(y.abs()));
    let unit = if largest > 0.0 { 2.0_f64.powi(-(largest.log2() as i32).clamp(-1000, 1000)) } else { 1.0 };
    let scaled = |values: &[f64]| values.iter().map(|value| value * unit).collect::<Vec<_>>();
    let (predicted, y) = (scaled(predicted), scaled(y));
    let mean = y.iter().sum::<f64>() / y.len() as f64;
    let total: f64 = y.iter().map(|y| (y - mean) * (y - mean)).sum();
    // Rounding of the mean leaves a small variance of a constant.
    let constant = y.iter().all(|&value| Some(&value) == y.first());
    if constant || total == 0.0 {
        return None;
    }
    let residual: f64 = predicted.iter().zip(&y).map(|(p, y)| (p - y) * (p - y)).sum();
    let r2 = 1.0 - residual / total;
    Some(if r2.is_finite() { r2 } else { f64::NEG_INFINITY })
}

#[cfg(test)]
mod tests {
    use sr_engine::PrimitiveSet;
    use sr_expr::Expr;

    use super::*;

    fn instance(x: &[f64], y: &[f64]) -> Instance {
        let primitives = PrimitiveSet::new(vec![], vec![], 1).expect("primitives");
        Instance::new("p", Columns::new(x.len(), 1, x.to_vec()), y.to_vec(), primitives).expect("an instance")
    }

    fn verdict(text: &str, x: &[f64], y: &[f64]) -> Judgement {
        let expr: Expr = text.parse().expect(text);
        judge(&expr, Semantics::Ieee, &instance(x, y), Some((&Columns::new(x.len(), 1, x.to_vec()), y)))
    }

    #[test]
    fn exact_formulas_solve_and_near_ones_do_not() {
        let x: Vec<f64> = (0..100).map(f64::from).collect();
        let y: Vec<f64> = x.iter().map(|x| x * x + 1.0).collect();
        assert!(verdict("x0*x0 + 1", &x, &y).solved);
        assert!(!verdict("x0*x0 + 1.1", &x, &y).solved);
        let pole = verdict("1/(x0 - 5)", &x, &y);
        assert_eq!((pole.solved, pole.r2), (false, Some(f64::NEG_INFINITY)));
        let [x, y] = [x, y].map(|values| values.iter().map(|value| value * 2.0_f64.powi(800)).collect::<Vec<_>>());
        assert!(!verdict("x0", &x, &y).solved && verdict("x0", &x, &x).solved, "squares of large numbers");
        assert!(!verdict("log(0 - x0)", &x, &y).solved, "NaN is no solution");
    }

    #[test]
    fn constants_are_judged_by_distance() {
        let x = [0.1; 3];
        let exact = verdict("0.1 + 0", &x, &[0.1; 3]);
        assert_eq!((exact.solved, exact.r2), (true, None));
        assert!(!verdict("0.1001", &x, &[0.1; 3]).solved);
    }

    #[test]
    fn own_data_is_judged_on_all_of_its_rows() {
        let x = [0.1, 20.2, 30.7];
        let solved = |text: &str, y: &[f64]| {
            let expr: Expr = text.parse().expect(text);
            judge(&expr, Semantics::Ieee, &instance(&x, y), None).solved
        };
        assert!(solved("x0*x0", &[0.010000000000000002, 408.03999999999996, 942.49]));
        assert!(!solved("x0*x0", &[0.010000000000000002, 408.03999999999996, 942.5]));
        assert!(!solved("x0*x0", &[0.01, 408.04, 7.0]), "one row is wrong");
    }
}
