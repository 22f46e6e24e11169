//! Whether a formula solves a problem.

use sr_expr::{Columns, Semantics, Tree};

/// Fresh points that a formula is judged on.
pub const FRESH_POINTS: usize = 1000;
/// `1 − R²` on fresh points up to which a formula counts as the solution, in f64.
const MAX_UNEXPLAINED: f64 = 1e-10;
/// Training error up to which a problem without a known formula counts as solved.
const MAX_TRAINING_MSE: f64 = 3e-16;
/// Error, relative to `max(1, |y|)`, up to which a constant is the solution.
const MAX_CONSTANT_ERROR: f64 = 1e-9;

/// The verdict on one formula.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Judgement {
    /// Whether the problem is solved.
    pub solved: bool,
    /// R² on fresh points; `None` without fresh points, and for a constant target.
    pub r2: Option<f64>,
}

/// Judges `tree` on fresh points `(x, y)` of the problem or, where there are none, by its training error.
///
/// Solved means `1 − R² ≤ 1e-10` on the fresh points; for a constant y `max|ŷ − y| ≤ 1e-9·max(1, |y|)`; without fresh
/// points a training MSE of at most 3e-16.
pub fn judge(tree: &Tree, semantics: Semantics, mse_train: f64, fresh: Option<(&Columns, &[f64])>) -> Judgement {
    let Some((x, y)) = fresh else {
        return Judgement { solved: mse_train <= MAX_TRAINING_MSE, r2: None };
    };
    let predicted = sr_expr::predict(tree, x, semantics);
    match r_squared(&predicted, y) {
        Some(r2) => Judgement { solved: 1.0 - r2 <= MAX_UNEXPLAINED, r2: Some(r2) },
        None => {
            let close = |(p, y): (&f64, &f64)| (p - y).abs() <= MAX_CONSTANT_ERROR * y.abs().max(1.0);
            Judgement { solved: !y.is_empty() && predicted.iter().zip(y).all(close), r2: None }
        }
    }
}

/// The coefficient of determination, `1 − Σ(y − ŷ)² / Σ(y − ȳ)²`; −∞ if a prediction is not finite, `None` if y does
/// not vary.
///
/// - predicted, y: `[rows]`
pub fn r_squared(predicted: &[f64], y: &[f64]) -> Option<f64> {
    let mean = y.iter().sum::<f64>() / y.len() as f64;
    let total: f64 = y.iter().map(|y| (y - mean) * (y - mean)).sum();
    // Rounding of the mean leaves a little variance to a constant.
    let constant = y.iter().all(|&value| Some(&value) == y.first());
    if constant || total == 0.0 {
        return None;
    }
    let residual: f64 = predicted.iter().zip(y).map(|(p, y)| (p - y) * (p - y)).sum();
    let r2 = 1.0 - residual / total;
    Some(if r2.is_finite() { r2 } else { f64::NEG_INFINITY })
}

#[cfg(test)]
mod tests {
    use sr_expr::Expr;

    use super::*;

    fn verdict(text: &str, x: &[f64], y: &[f64]) -> Judgement {
        let expr: Expr = text.parse().expect(text);
        judge(&expr, Semantics::Ieee, 1.0, Some((&Columns::new(x.len(), 1, x.to_vec()), y)))
    }

    #[test]
    fn exact_formulas_solve_and_near_ones_do_not() {
        let x: Vec<f64> = (0..100).map(f64::from).collect();
        let y: Vec<f64> = x.iter().map(|x| x * x + 1.0).collect();
        assert!(verdict("x0*x0 + 1", &x, &y).solved);
        assert!(!verdict("x0*x0 + 1.1", &x, &y).solved);
        assert_eq!(verdict("1/(x0 - 5)", &x, &y), Judgement { solved: false, r2: Some(f64::NEG_INFINITY) });
        assert!(!verdict("log(0 - x0)", &x, &y).solved, "NaN is no solution");
    }

    #[test]
    fn constants_are_judged_by_distance() {
        let x = [0.1; 3];
        assert_eq!(verdict("0.1 + 0", &x, &[0.1; 3]), Judgement { solved: true, r2: None });
        assert!(!verdict("0.1001", &x, &[0.1; 3]).solved);
    }

    #[test]
    fn own_data_is_judged_by_its_training_error() {
        let expr = Expr::var(0);
        assert!(judge(&expr, Semantics::Ieee, 3e-16, None).solved);
        assert!(!judge(&expr, Semantics::Ieee, 1e-15, None).solved);
    }
}
