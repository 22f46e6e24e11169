//! What an error costs: losses beside the square, by name or of one's own.

mod named;

use std::fmt::Debug;
use std::sync::Arc;

pub use named::{LossChoice, LossError};

/// What a prediction costs beside its target: a loss. Lower is better, and a search makes the weighted mean over the
/// rows small.
///
/// To use a quantity of which more is better, such as R², let the loss be its negative, or its distance to the best.
///
/// The derivatives are with respect to the prediction. Constants are fitted by the generalised method of Gauss and Newton
/// (iteratively reweighted least squares): each step is one of least squares, in which a row counts by its
/// [`curvature`](Self::curvature) and is drawn by its [`derivative`](Self::derivative). A loss that is convex in the
/// prediction converges from anywhere where the predictions are linear in the constants.
///
/// ```
/// use std::sync::Arc;
///
/// use sr_engine::{ConstantFitter, Instance, Loss, PrimitiveSet};
/// use sr_expr::{Columns, Expr, Op, Semantics};
///
/// /// The pinball loss of a quantile: a prediction above the target costs 1 − q a unit, one below it q.
/// #[derive(Debug)]
/// struct Quantile(f64);
///
/// impl Loss for Quantile {
///     fn name(&self) -> String {
///         format!("quantile:{}", self.0)
///     }
///     fn loss(&self, prediction: f64, y: f64) -> f64 {
///         let error = prediction - y;
///         if error > 0.0 { (1.0 - self.0) * error } else { -self.0 * error }
///     }
///     fn derivative(&self, prediction: f64, y: f64) -> f64 {
///         if prediction > y { 1.0 - self.0 } else { -self.0 }
///     }
///     fn curvature(&self, prediction: f64, y: f64) -> f64 {
///         0.5 / (prediction - y).abs()
///     }
///     fn has_kink(&self) -> bool {
///         true
///     }
/// }
///
/// let y: Vec<f64> = (0..=100).map(f64::from).collect();
/// let primitives = PrimitiveSet::new(vec![Op::Add], vec![1.0], 1)?;
/// let instance = Instance::new("ranks", Columns::new(101, 1, vec![0.0; 101]), y, primitives)?;
/// let instance = instance.with_loss(Arc::new(Quantile(0.9)))?;
/// let constant: Expr = "1.0".parse()?;
/// let mut fitter = ConstantFitter::new();
/// let fitted = fitter.fit(&constant, &instance, Semantics::Ieee, 200);
/// let found = fitted.tree.constants().next().expect("a constant");
/// assert!((found - 90.0).abs() < 1e-6, "{found}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Loss: Debug + Send + Sync {
    /// Returns the name that tables use. Losses of the same name are taken to be the same.
    fn name(&self) -> String;

    /// Returns the loss of a row; lower is better. It is 0 or more where the fit should know an end.
    fn loss(&self, prediction: f64, y: f64) -> f64;

    /// Returns the derivative of the loss by the prediction. At a kink any number between those of both sides will do.
    fn derivative(&self, prediction: f64, y: f64) -> f64;

    /// Returns the second derivative of the loss or, where that is 0 or less, the one of a parabola that touches the loss
    /// at the prediction and lies above it. It is positive; at a [kink](Self::has_kink) it may be infinite.
    fn curvature(&self, prediction: f64, y: f64) -> f64;

    /// Returns whether the loss has a kink where the prediction is the target, so that the best constants meet some targets
    /// exactly. The default is no.
    fn has_kink(&self) -> bool {
        false
    }

    /// Returns the c for which the loss is c (prediction − y)² for every prediction, if there is one. Such losses are
    /// weights, and as fast as squares. The default is none.
    fn square(&self, y: f64) -> Option<f64> {
        let _ = y;
        None
    }

    /// Returns the root of that c. A loss in which it is 1/y has a c beyond the numbers where y is not. The default is the
    /// root of [`square`](Self::square).
    fn root_of_square(&self, y: f64) -> Option<f64> {
        self.square(y).map(f64::sqrt)
    }

    /// Returns the loss of predictions and targets that are `unit` times as large, a power of two. It may differ from this
    /// one by a constant factor. A search of targets whose squares are beyond the numbers computes with it. The default
    /// is none: then losses are computed in the units of y, whatever these are.
    fn in_units(&self, unit: f64) -> Option<Arc<dyn Loss>> {
        let _ = unit;
        None
    }

    /// Returns whether predictions are meant to be the target itself, which a formula can then meet exactly. The default
    /// is yes; predictions of [`Logistic`](LossChoice::Logistic) are log-odds.
    fn predicts_target(&self) -> bool {
        true
    }

    /// Returns the nats that the errors of a row take to be told, but for what is the same for all formulas, where the
    /// mean loss is this. The default is that of normal errors, ½ ln.
    fn nats(&self, mean_loss: f64) -> f64 {
        0.5 * mean_loss.ln()
    }

    /// Returns a number in proportion to the size of errors where the mean loss is this. The default is the root, as of
    /// squares.
    fn size_of_errors(&self, mean_loss: f64) -> f64 {
        mean_loss.sqrt()
    }

    /// Checks whether the loss is defined for these targets. By default it is.
    ///
    /// # Errors
    /// Says which row is not, and what may be done.
    fn check(&self, y: &[f64]) -> Result<(), LossError> {
        let _ = y;
        Ok(())
    }
}

/// Returns the mean loss, weighted by rows, of predictions; infinite if a prediction or a loss is not finite.
pub(crate) fn mean_loss(loss: &dyn Loss, predictions: &[f64], y: &[f64], weights: Option<&[f64]>) -> f64 {
    if !predictions.iter().all(|p| p.is_finite()) {
        return f64::INFINITY;
    }
    // A row of weight 0 is absent; 0 · ∞ would make it count.
    let (mut sum, mut total) = (0.0, 0.0);
    for (row, (&prediction, &y)) in predictions.iter().zip(y).enumerate() {
        let weight = weights.map_or(1.0, |weights| weights[row]);
        if weight > 0.0 {
            sum += weight * loss.loss(prediction, y);
            total += weight;
        }
    }
    let mean = sum / total;
    if mean.is_nan() { f64::INFINITY } else { mean }
}

/// Returns the c of each row for which its loss is c (prediction − y)², in units of the largest c; `None` if the loss is no
/// weighted square.
///
/// # Errors
/// If one is negative or no number, or all are 0.
pub(crate) fn squares(loss: &dyn Loss, y: &[f64]) -> Option<Result<Vec<f64>, LossError>> {
    let factors: Vec<f64> = y.iter().map(|&y| loss.square(y)).collect::<Option<_>>()?;
    let largest = |factors: &[f64]| factors.iter().copied().fold(0.0, f64::max);
    if factors.iter().all(|factor| factor.is_normal() && *factor > 0.0) {
        let most = largest(&factors);
        return Some(Ok(factors.iter().map(|factor| factor / most).collect()));
    }
    // Some left the numbers, which their roots need not.
    let roots: Vec<f64> = y.iter().map(|&y| loss.root_of_square(y)).collect::<Option<_>>()?;
    let finite = |root: f64| if root > f64::MAX { f64::MAX } else { root };
    let roots: Vec<f64> = roots.into_iter().map(finite).collect();
    let most = largest(&roots);
    let wrong = roots.iter().position(|root| !(root.is_finite() && *root >= 0.0));
    let wrong = wrong.or((most == 0.0 && !y.is_empty()).then_some(0));
    if let Some(row) = wrong {
        let text =
            format!("row {}: the loss {} counts an error at y = {} as no number above 0", row + 1, loss.name(), y[row]);
        return Some(Err(LossError::Other(text)));
    }
    Some(Ok(roots.iter().map(|root| (root / most).powi(2)).collect()))
}

/// Halvings of an interval after which nothing is left of it.
const HALVINGS: u32 = 200;

/// Returns the constant prediction whose mean loss is least, of a loss that is convex in the prediction: where the
/// derivative changes its sign.
pub(crate) fn best_constant(loss: &dyn Loss, y: &[f64], weights: Option<&[f64]>) -> f64 {
    let weight = |row: usize| weights.map_or(1.0, |weights| weights[row]);
    let counted = || (0..y.len()).filter(|&row| weight(row) > 0.0);
    let slope = |constant: f64| counted().map(|row| weight(row) * loss.derivative(constant, y[row])).sum::<f64>();
    let mut low = counted().map(|row| y[row]).fold(f64::INFINITY, f64::min);
    let mut high = counted().map(|row| y[row]).fold(f64::NEG_INFINITY, f64::max);
    // Predictions need not be targets, such as log-odds; then the range is widened until it has the best one.
    let mut width = (high - low).max(1.0);
    while slope(low) > 0.0 && (low - width).is_finite() && width < 1e300 {
        low -= width;
        width *= 2.0;
    }
    let mut width = (high - low).max(1.0);
    while slope(high) < 0.0 && (high + width).is_finite() && width < 1e300 {
        high += width;
        width *= 2.0;
    }
    for _ in 0..HALVINGS {
        let middle = low + 0.5 * (high - low);
        if middle <= low || middle >= high {
            break;
        }
        match slope(middle) < 0.0 {
            true => low = middle,
            false => high = middle,
        }
    }
    let mean = |constant: f64| counted().map(|row| weight(row) * loss.loss(constant, y[row])).sum::<f64>();
    if mean(low) <= mean(high) { low } else { high }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, y: &[f64]) -> std::sync::Arc<dyn Loss> {
        name.parse::<LossChoice>().expect(name).loss(1.0).unwrap_or_else(|| panic!("{name} for {y:?}"))
    }

    #[test]
    fn the_best_constant_is_mean_median_and_log_odds() {
        let y = [1.0, 2.0, 10.0, 3.0, 2.5];
        assert!((best_constant(&*of("mae", &y), &y, None) - 2.5).abs() < 1e-12);
        let weighted = best_constant(&*of("mae", &y), &y, Some(&[0.0, 1.0, 5.0, 1.0, 0.0]));
        assert!((weighted - 10.0).abs() < 1e-12);
        // A quarter of ones: ln(1/3).
        let y = [1.0, 0.0, 0.0, 0.0];
        let odds = best_constant(&*of("logistic", &y), &y, None);
        assert!((odds - (1.0_f64 / 3.0).ln()).abs() < 1e-12, "{odds}");
        // Σ (c − y)/y² = 0: c = Σ 1/y ÷ Σ 1/y².
        let y = [1.0, 2.0, 4.0];
        let relative = best_constant(&*of("relative", &y), &y, None);
        assert!((relative - 1.75 / 1.3125).abs() < 1e-12, "{relative}");
    }

    #[test]
    fn derivatives_are_those_of_the_loss_and_parabolas_lie_above_it() {
        for (name, y) in [("mae", 0.3), ("huber:0.5", -1.2), ("relative", 2.0), ("logistic", 1.0), ("logistic", 0.0)] {
            let loss = of(name, &[y]);
            for prediction in [-7.0, -1.1, -0.2, 0.4, 1.9, 30.0] {
                let at = |p: f64| loss.loss(p, y);
                let step = 1e-5;
                let slope = (at(prediction + step) - at(prediction - step)) / (2.0 * step);
                let derivative = loss.derivative(prediction, y);
                assert!((slope - derivative).abs() < 1e-6 * (1.0 + slope.abs()), "{name} at {prediction}");
                assert!(loss.curvature(prediction, y) > 0.0, "{name} at {prediction}");
                if name != "logistic" {
                    for other in [-9.0, -1.0, 0.0, 0.3, 2.0, 40.0] {
                        let d = other - prediction;
                        let above = at(prediction) + derivative * d + 0.5 * loss.curvature(prediction, y) * d * d;
                        assert!(above >= at(other) - 1e-9, "{name}: from {prediction} to {other}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_mean_counts_weights_and_refuses_what_is_no_number() {
        let mae = of("mae", &[]);
        assert_eq!(mean_loss(&*mae, &[1.0, 4.0], &[0.0, 0.0], Some(&[3.0, 1.0])), 7.0 / 4.0);
        assert_eq!(mean_loss(&*mae, &[1.0, f64::NAN], &[0.0, 0.0], None), f64::INFINITY);
        assert_eq!(mean_loss(&*mae, &[1.0, 1e308], &[0.0, -1e308], Some(&[1.0, 0.0])), 1.0);
    }
}
