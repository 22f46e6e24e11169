//! How well a formula fits data, with no row left out.

use sr_expr::{Columns, Semantics, Tree};

use crate::r_squared;

/// How well a formula fits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fit {
    /// Mean squared error over all rows, in f64; infinite if a prediction is not finite or the error is beyond f64.
    pub mse: f64,
    /// R² over all rows; −∞ if a prediction is not finite, `None` if y does not vary.
    pub r2: Option<f64>,
}

impl Fit {
    /// That of `tree` on `x`, `[rows, variables]`, and `y`, `[rows]`.
    ///
    /// This is what is printed as a formula's error: other than an objective that leaves rows out, it can be computed again
    /// from the printed formula.
    pub fn of(tree: &Tree, semantics: Semantics, x: &Columns, y: &[f64]) -> Self {
        let predicted = sr_expr::predict(tree, x, semantics);
        Fit { mse: mean_squared_error(&predicted, y), r2: r_squared(&predicted, y) }
    }

    /// The error as JSON has it: `None` if it is infinite.
    pub fn finite_mse(&self) -> Option<f64> {
        Some(self.mse).filter(|mse| mse.is_finite())
    }

    /// R² as JSON has it: `None` if there is none, or it is −∞.
    pub fn finite_r2(&self) -> Option<f64> {
        self.r2.filter(|r2| r2.is_finite())
    }
}

/// The mean of `(ŷ − y)²` over all rows; infinite if that is no number.
fn mean_squared_error(predicted: &[f64], y: &[f64]) -> f64 {
    // Errors of 1e200 have squares beyond f64, although their ratios have not.
    let largest = predicted.iter().zip(y).map(|(p, y)| (p - y).abs()).fold(0.0, f64::max);
    let scale = if (1e-140..1e140).contains(&largest) { 1.0 } else { largest.max(f64::MIN_POSITIVE) };
    let sum: f64 = predicted.iter().zip(y).map(|(p, y)| ((p - y) / scale).powi(2)).sum();
    let mse = scale * (sum / y.len() as f64) * scale;
    if mse.is_nan() { f64::INFINITY } else { mse }
}

#[cfg(test)]
mod tests {
    use sr_expr::Expr;

    use super::*;

    #[test]
    fn no_row_is_left_out() {
        // A mask of predictions from 1e6 on would leave out half of the rows, and find no error in the others.
        let x: Vec<f64> = (1..=18).map(|i| 100.0 * f64::from(i)).collect();
        let y: Vec<f64> = x.iter().map(|x| if *x < 1000.0 { x * x } else { 7.0 }).collect();
        let square: Expr = "x0 * x0".parse().expect("a formula");
        let fit = Fit::of(&square, Semantics::Ieee, &Columns::new(18, 1, x.clone()), &y);
        let expected = x.iter().zip(&y).map(|(x, y)| (x * x - y) * (x * x - y)).sum::<f64>() / 18.0;
        assert_eq!(fit.mse, expected);
        assert!(fit.mse > 1e12 && fit.r2.expect("y varies") < 0.0, "{fit:?}");
    }

    #[test]
    fn bad_predictions_are_infinitely_wrong() {
        let x = Columns::new(3, 1, vec![-1.0, 0.0, 4.0]);
        let log: Expr = "log(x0)".parse().expect("a formula");
        let fit = Fit::of(&log, Semantics::Ieee, &x, &[0.0, 1.0, 2.0]);
        assert_eq!((fit.mse, fit.r2), (f64::INFINITY, Some(f64::NEG_INFINITY)));
        assert_eq!((fit.finite_mse(), fit.finite_r2()), (None, None));
        assert!(Fit::of(&log, Semantics::Protected, &x, &[0.0, 1.0, 2.0]).mse.is_finite());
    }

    #[test]
    fn small_and_large_errors_are_squared_within_f64() {
        assert_eq!(mean_squared_error(&[1e-160, 0.0], &[0.0, 0.0]), 5e-321);
        assert!((mean_squared_error(&[2e150, 0.0], &[0.0, 0.0]) / 2e300 - 1.0).abs() < 1e-15);
        assert_eq!(mean_squared_error(&[1e300], &[0.0]), f64::INFINITY);
        assert_eq!(mean_squared_error(&[3.0, 5.0], &[1.0, 5.0]), 2.0);
    }
}
