//! The losses that have a name.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use sr_expr::Columns;

use super::Loss;
use crate::instance::power_of_two_near;

/// δ in standard deviations of normal errors: then the fit is 95 % as precise as least squares if there are no outliers
/// (Huber, 1981).
const EFFICIENT: f64 = 1.345;
/// The standard deviation of normal numbers, in medians of their magnitudes.
const DEVIATIONS: f64 = 1.482_602_218_505_602;
/// Rows of which neighbours are looked for: every pair of rows is compared.
const COMPARED: usize = 2000;
/// The largest quotient of targets to which errors can be relative at once: its square, and the squares of errors some
/// orders larger than targets, are numbers.
const MOST_RANGE: f64 = 1e140;
/// The smallest δ in the units of targets of about 1. A smaller one is no different: all errors are beyond it.
const LEAST_DELTA: f64 = 1e-290;
/// The least curvature of the logistic loss. Predictions beyond ±23 are certain, and a step needs some curvature.
const LEAST_CURVATURE: f64 = 1e-10;

/// A loss that has a name, and how a search weighs errors by it.
#[derive(Debug, Clone, Default)]
pub enum LossChoice {
    /// `mse`: (p − y)², the mean squared error.
    #[default]
    Mse,
    /// `mae`: |p − y|, the mean absolute error, whose best constant is the median.
    Mae,
    /// `huber` or `huber:DELTA`: ½ (p − y)² up to an error of δ, and δ |p − y| − ½ δ² beyond.
    Huber {
        /// δ, in the units of y; `None` for 1.345 times the deviation of noise that [`noise`](Self::noise) estimates.
        delta: Option<f64>,
    },
    /// `relative`: ((p − y) / y)². Targets may not be 0.
    Relative,
    /// `logistic`: ln(1 + eᵖ) − y p, for targets 0 and 1. Predictions are log-odds, and the probability of 1 is 1 / (1 +
    /// e⁻ᵖ).
    Logistic,
    /// A loss of one's own.
    Own(Arc<dyn Loss>),
}

/// The reason why a loss cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LossError {
    /// There is no loss of this name.
    #[error("there is no loss {name:?}; expected mse, mae, huber, huber:DELTA, relative or logistic")]
    Name {
        /// The name.
        name: String,
    },
    /// δ is no number above 0.
    #[error("huber:{delta}: expected a finite number above 0, in the units of the target")]
    Delta {
        /// The text of δ.
        delta: String,
    },
    /// A target is 0, and no error is relative to it.
    #[error("row {row}: y is 0, to which no error is relative; leave the row out, or use the loss mse or mae")]
    Zero {
        /// The row, from 1.
        row: usize,
    },
    /// A target is so much smaller than another that there is no number for the squares of both.
    #[error(
        "row {row}: y is {value:e}, which is too small for errors relative to it beside those relative to {largest:e}; \
         leave the row out, or use the loss mse or mae"
    )]
    Range {
        /// The row, from 1.
        row: usize,
        /// The target.
        value: f64,
        /// The target of the largest magnitude.
        largest: f64,
    },
    /// A target is neither 0 nor 1.
    #[error("row {row}: y is {value}; the loss logistic needs 0 and 1 for no and yes")]
    NotBinary {
        /// The row, from 1.
        row: usize,
        /// The target.
        value: f64,
    },
    /// All targets are the same.
    #[error("y is {value} in every row; the loss logistic needs rows of 0 and rows of 1")]
    OneClass {
        /// The target.
        value: f64,
    },
    /// A loss of one's own refuses the targets.
    #[error("{0}")]
    Other(String),
}

impl LossChoice {
    /// Returns the loss, `None` for `mse`. `noise` is the deviation that the δ of `huber` is a multiple of if none was
    /// given.
    pub fn loss(&self, noise: f64) -> Option<Arc<dyn Loss>> {
        match self {
            LossChoice::Mse => None,
            LossChoice::Mae => Some(Arc::new(Absolute)),
            LossChoice::Huber { delta } => Some(Arc::new(Huber { delta: delta.unwrap_or(EFFICIENT * noise) })),
            LossChoice::Relative => Some(Arc::new(Relative)),
            LossChoice::Logistic => Some(Arc::new(Logistic)),
            LossChoice::Own(loss) => Some(loss.clone()),
        }
    }

    /// Returns the loss for these rows, `None` for `mse`. O(rows²) for `huber` without δ, up to 2,000 rows.
    ///
    /// # Errors
    /// If the loss is not defined for a target.
    pub fn for_rows(&self, x: &Columns, y: &[f64]) -> Result<Option<Arc<dyn Loss>>, LossError> {
        let needs_noise = matches!(self, LossChoice::Huber { delta: None });
        let loss = self.loss(if needs_noise { LossChoice::noise(x, y) } else { 1.0 });
        if let Some(loss) = &loss {
            loss.check(y)?;
        }
        Ok(loss)
    }

    /// Estimates the standard deviation of the noise of y from neighbours: 1.4826 / √2 times the median of |y − y′|, where y′
    /// is the target of the nearest other row, in variables of deviation 1. What the law changes between neighbours is
    /// in it, so with few rows it is too large. Of more than 2,000 rows it looks at 2,000, evenly spread. If half of all
    /// neighbours are equal, it is the deviation of y by its median instead, and 1 if y does not vary.
    pub fn noise(x: &Columns, y: &[f64]) -> f64 {
        let n = y.len().min(COMPARED);
        // Differences of the largest numbers are none.
        let largest = y.iter().map(|y| y.abs()).fold(0.0, f64::max);
        let shrink = if largest > 1e300 { 2.0_f64.powi(-20) } else { 1.0 };
        let y: Vec<f64> = y.iter().map(|y| y * shrink).collect();
        let whole = |noise: f64| (noise / shrink).min(f64::MAX);
        let rows: Vec<usize> = (0..n).map(|i| i * y.len() / n.max(1)).collect();
        let scaled: Vec<Vec<f64>> = (0..x.n_columns()).map(|column| standardised(x.column(column), &rows)).collect();
        let nearest = |a: usize| {
            let distance = |b: usize| scaled.iter().map(|column| (column[a] - column[b]).powi(2)).sum::<f64>();
            (0..n).filter(|&b| b != a).min_by(|&b, &c| distance(b).total_cmp(&distance(c)))
        };
        let mut differences: Vec<f64> =
            (0..n).filter_map(|a| Some((y[rows[a]] - y[rows[nearest(a)?]]).abs())).collect();
        let by_neighbours = DEVIATIONS * median(&mut differences) / std::f64::consts::SQRT_2;
        if by_neighbours > 0.0 {
            return whole(by_neighbours);
        }
        let middle = median(&mut y.clone());
        let deviation = DEVIATIONS * median(&mut y.iter().map(|y| (y - middle).abs()).collect::<Vec<f64>>());
        if deviation > 0.0 { whole(deviation) } else { 1.0 }
    }
}

impl FromStr for LossChoice {
    type Err = LossError;

    fn from_str(text: &str) -> Result<Self, LossError> {
        Ok(match text {
            "mse" => LossChoice::Mse,
            "mae" => LossChoice::Mae,
            "huber" => LossChoice::Huber { delta: None },
            "relative" => LossChoice::Relative,
            "logistic" => LossChoice::Logistic,
            _ => {
                let delta = text.strip_prefix("huber:").ok_or_else(|| LossError::Name { name: text.into() })?;
                let number = delta.parse().ok().filter(|delta: &f64| delta.is_finite() && *delta > 0.0);
                LossChoice::Huber { delta: Some(number.ok_or_else(|| LossError::Delta { delta: delta.into() })?) }
            }
        })
    }
}

/// Writes the name, as it is read.
impl fmt::Display for LossChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LossChoice::Mse => f.write_str("mse"),
            LossChoice::Huber { delta: None } => f.write_str("huber"),
            other => f.write_str(&other.loss(1.0).expect("all but mse are").name()),
        }
    }
}

/// Losses of the same name are the same.
impl PartialEq for LossChoice {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

/// Returns the values at some rows, with a mean of 0 and a deviation of 1; zeros if they do not vary.
fn standardised(column: &[f64], rows: &[usize]) -> Vec<f64> {
    let n = rows.len() as f64;
    // In units in which the largest is about 1, so that squares are numbers.
    let unit = power_of_two_near(rows.iter().map(|&row| column[row].abs()).fold(0.0, f64::max)).recip();
    let value = |row: usize| column[row] * unit;
    let mean = rows.iter().map(|&row| value(row) / n).sum::<f64>();
    let deviation = rows.iter().map(|&row| (value(row) - mean).powi(2) / n).sum::<f64>().sqrt();
    let is_usable = deviation > 0.0 && deviation.is_finite();
    rows.iter().map(|&row| if is_usable { (value(row) - mean) / deviation } else { 0.0 }).collect()
}

fn median(values: &mut [f64]) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f64::total_cmp).1
}

/// |p − y|
#[derive(Debug)]
struct Absolute;

impl Loss for Absolute {
    fn name(&self) -> String {
        "mae".into()
    }

    fn loss(&self, prediction: f64, y: f64) -> f64 {
        (prediction - y).abs()
    }

    fn derivative(&self, prediction: f64, y: f64) -> f64 {
        if prediction == y { 0.0 } else { (prediction - y).signum() }
    }

    fn curvature(&self, prediction: f64, y: f64) -> f64 {
        (prediction - y).abs().recip()
    }

    fn has_kink(&self) -> bool {
        true
    }

    fn in_units(&self, _: f64) -> Option<Arc<dyn Loss>> {
        Some(Arc::new(Absolute))
    }

    /// Those of double exponential errors.
    fn nats(&self, mean_loss: f64) -> f64 {
        mean_loss.ln()
    }

    fn size_of_errors(&self, mean_loss: f64) -> f64 {
        mean_loss
    }
}

/// A parabola that goes on as a line.
#[derive(Debug)]
struct Huber {
    delta: f64,
}

impl Loss for Huber {
    fn name(&self) -> String {
        match self.delta {
            delta if (1e-5..1e16).contains(&delta) => format!("huber:{delta}"),
            delta => format!("huber:{delta:e}"),
        }
    }

    fn loss(&self, prediction: f64, y: f64) -> f64 {
        let error = (prediction - y).abs();
        if error <= self.delta { 0.5 * error * error } else { self.delta * (error - 0.5 * self.delta) }
    }

    fn derivative(&self, prediction: f64, y: f64) -> f64 {
        (prediction - y).clamp(-self.delta, self.delta)
    }

    fn curvature(&self, prediction: f64, y: f64) -> f64 {
        (self.delta / (prediction - y).abs()).min(1.0)
    }

    fn in_units(&self, unit: f64) -> Option<Arc<dyn Loss>> {
        Some(Arc::new(Huber { delta: (self.delta * unit).clamp(LEAST_DELTA, f64::MAX) }))
    }
}

/// ((p − y) / y)²
#[derive(Debug)]
struct Relative;

impl Loss for Relative {
    fn name(&self) -> String {
        "relative".into()
    }

    fn loss(&self, prediction: f64, y: f64) -> f64 {
        ((prediction - y) / y).powi(2)
    }

    fn derivative(&self, prediction: f64, y: f64) -> f64 {
        2.0 * ((prediction - y) / y) / y
    }

    fn curvature(&self, _: f64, y: f64) -> f64 {
        2.0 / y / y
    }

    fn square(&self, y: f64) -> Option<f64> {
        Some(1.0 / y / y)
    }

    fn root_of_square(&self, y: f64) -> Option<f64> {
        Some(y.abs().recip())
    }

    fn check(&self, y: &[f64]) -> Result<(), LossError> {
        if let Some(row) = y.iter().position(|&y| y == 0.0) {
            return Err(LossError::Zero { row: row + 1 });
        }
        let largest = y.iter().copied().max_by(|a, b| a.abs().total_cmp(&b.abs())).unwrap_or(1.0);
        match y.iter().position(|y| y.abs() < largest.abs() / MOST_RANGE) {
            Some(row) => Err(LossError::Range { row: row + 1, value: y[row], largest }),
            None => Ok(()),
        }
    }
}

/// The negative logarithm of the probability of y
#[derive(Debug)]
struct Logistic;

impl Loss for Logistic {
    fn name(&self) -> String {
        "logistic".into()
    }

    fn loss(&self, prediction: f64, y: f64) -> f64 {
        // ln(1 + eᵖ) = max(p, 0) + ln(1 + e^−|p|), which is finite for every p.
        prediction.max(0.0) + libm::log1p(libm::exp(-prediction.abs())) - y * prediction
    }

    fn derivative(&self, prediction: f64, y: f64) -> f64 {
        probability(prediction) - y
    }

    fn curvature(&self, prediction: f64, _: f64) -> f64 {
        (probability(prediction) * probability(-prediction)).max(LEAST_CURVATURE)
    }

    fn predicts_target(&self) -> bool {
        false
    }

    /// The loss is what telling y takes.
    fn nats(&self, mean_loss: f64) -> f64 {
        mean_loss
    }

    fn size_of_errors(&self, mean_loss: f64) -> f64 {
        mean_loss
    }

    fn check(&self, y: &[f64]) -> Result<(), LossError> {
        if let Some(row) = y.iter().position(|&y| y != 0.0 && y != 1.0) {
            return Err(LossError::NotBinary { row: row + 1, value: y[row] });
        }
        match y.first() {
            Some(&value) if y.iter().all(|&y| y == value) => Err(LossError::OneClass { value }),
            _ => Ok(()),
        }
    }
}

/// Returns 1 / (1 + e⁻ᵖ).
fn probability(log_odds: f64) -> f64 {
    let small = libm::exp(-log_odds.abs());
    if log_odds > 0.0 { 1.0 / (1.0 + small) } else { small / (1.0 + small) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_have_names() {
        for name in ["mse", "mae", "huber", "huber:0.5", "huber:2e-200", "relative", "logistic"] {
            assert_eq!(name.parse::<LossChoice>().expect(name).to_string(), name);
        }
        let error = |name: &str| name.parse::<LossChoice>().expect_err(name).to_string();
        assert_eq!(
            error("rmse"),
            "there is no loss \"rmse\"; expected mse, mae, huber, huber:DELTA, relative or logistic"
        );
        assert_eq!(error("huber:0"), "huber:0: expected a finite number above 0, in the units of the target");
        assert!(error("huber:nan").contains("above 0") && error("Huber").contains("no loss"));
    }

    #[test]
    fn targets_that_do_not_go_with_a_loss_are_named() {
        let check = |name: &str, y: &[f64]| {
            let x = Columns::new(y.len(), 0, vec![]);
            name.parse::<LossChoice>().expect(name).for_rows(&x, y).map(|_| ()).map_err(|error| error.to_string())
        };
        assert!(check("relative", &[1.0, -2.0]).is_ok() && check("logistic", &[1.0, 0.0]).is_ok());
        assert!(check("relative", &[1.0, 0.0]).expect_err("zero").starts_with("row 2: y is 0"));
        assert!(check("logistic", &[1.0, 0.5]).expect_err("a half").starts_with("row 2: y is 0.5"));
        assert!(check("logistic", &[1.0, 1.0]).expect_err("one class").starts_with("y is 1 in every row"));
    }

    #[test]
    fn noise_is_seen_beside_the_law_and_beside_outliers() {
        // A steep line with noise of ±0.1, and each tenth row far away.
        let x: Vec<f64> = (0..400).map(|i| f64::from(i) / 400.0).collect();
        let y =
            |i: usize| 3.0 * x[i] + if i.is_multiple_of(2) { 0.1 } else { -0.1 } + if i % 10 == 3 { 50.0 } else { 0.0 };
        let y: Vec<f64> = (0..400).map(y).collect();
        let noise = LossChoice::noise(&Columns::new(400, 1, x), &y);
        assert!((0.1..0.3).contains(&noise), "{noise}");
        assert_eq!(LossChoice::noise(&Columns::new(3, 0, vec![]), &[5.0; 3]), 1.0);
        assert_eq!(LossChoice::noise(&Columns::new(1, 0, vec![]), &[5.0]), 1.0);
    }

    #[test]
    fn the_logistic_loss_is_finite_far_away() {
        assert_eq!(Logistic.loss(1e6, 0.0), 1e6);
        assert_eq!(Logistic.loss(1e6, 1.0), 0.0);
        assert_eq!(Logistic.loss(-1e6, 0.0), 0.0);
        assert_eq!(Logistic.loss(0.0, 1.0), std::f64::consts::LN_2);
        assert_eq!(Logistic.derivative(-800.0, 0.0), 0.0);
    }
}
