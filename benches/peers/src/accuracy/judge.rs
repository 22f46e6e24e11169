//! Whether a formula is the law that made the data.
//!
//! - *Exact*: its largest relative error on 1,000 fresh rows is below 1e-9, and its simplified size at most 1.2 times
//!   the law's; or it equals the law in other words, whatever its size, which shows far outside of the law's ranges:
//!   what only resembles it goes astray there.
//! - *Form right*, for noise: other constants make it exact, each of which lies within three standard deviations of
//!   the printed one. Without noise the errors of y count as 1e-5 of its root mean square, what a fit in single
//!   precision leaves.
//!
//! Errors are relative to |y|, but at least to 1e-5 of the root mean square of y: near a zero of the law the rounding
//! of its own terms is larger than 1e-9 of it.

use std::collections::HashMap;

use sr_eval::r_squared;
use sr_expr::{Columns, Expr, Semantics, Tree};

use super::suites::Task;
use super::translate::Reading;
use super::{Syntax, refit, simplify};

/// The largest relative error of an exact formula.
const MAX_ERROR: f64 = 1e-9;
/// The largest relative error of a formula whose constants were fitted to the law.
const MAX_REFITTED: f64 = 1e-8;
/// The largest size of an exact formula, relative to the law's.
const MAX_SIZE: f64 = 1.2;
/// The least share of the root mean square of y that an error is compared with.
const FLOOR: f64 = 1e-5;
/// How far rows are moved from the middle of their columns to tell what is equal from what is near. The less far ones
/// are for laws that have no value in most places farther out.
const STRETCHES: [f64; 2] = [3.0, 10.0];
/// The largest relative error of equal formulas on stretched rows, where those of constants count more.
const MAX_STRETCHED: f64 = 1e-7;
/// The share of stretched rows on which equal formulas agree, and the least number of them. Next to poles of the law
/// rounding counts more than elsewhere.
const AGREEING: f64 = 0.95;
const LEAST_ROWS: usize = 50;
/// The root mean square error of what may have the right form, in standard deviations of the noise. Nothing that is
/// farther from the law has constants within three.
const MAX_DEVIATIONS: f64 = 3.0;
/// The errors of y without noise, relative to its root mean square: a fit in single precision ends there.
const SINGLE_FIT: f64 = 1e-5;
/// Half a unit of the last place of single precision, relative.
const SINGLE: f64 = 1.0 / (1 << 24) as f64;

/// What is to be said about one formula.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Verdict {
    /// The nodes of the simplified formula; 0 if it could not be read.
    pub size: usize,
    /// R² on fresh rows, −∞ if a prediction is not finite; `None` for a constant law.
    pub r2: Option<f64>,
    /// The largest relative error on fresh rows; infinite if a prediction is not finite.
    pub error: f64,
    /// Whether it is exact.
    pub exact: bool,
}

/// Judges the formulas of one task, each text once.
#[derive(Debug)]
pub struct Judge<'a> {
    task: &'a Task,
    syntax: Syntax,
    stretched: (Columns, Vec<f64>),
    verdicts: HashMap<String, Verdict>,
    shapes: HashMap<String, bool>,
}

impl<'a> Judge<'a> {
    /// Makes a judge of formulas in one system's syntax.
    pub fn new(task: &'a Task, syntax: Syntax) -> Self {
        let x = stretched(&task.fresh.0);
        let y = sr_expr::predict(&task.law, &x, task.semantics);
        Judge { task, syntax, stretched: (x, y), verdicts: HashMap::new(), shapes: HashMap::new() }
    }

    /// Judges a formula on fresh rows.
    pub fn verdict(&mut self, formula: &str) -> Verdict {
        if let Some(&verdict) = self.verdicts.get(formula) {
            return verdict;
        }
        let verdict = match self.syntax.read(formula) {
            Ok(reading) if reading.expr.n_variables() <= self.task.x.n_columns() => {
                self.judge(&reading.expr, reading.semantics, simplified(&reading))
            }
            _ => Verdict { size: 0, r2: None, error: f64::INFINITY, exact: false },
        };
        self.verdicts.insert(formula.to_owned(), verdict);
        verdict
    }

    /// Returns whether a formula has the right form.
    pub fn has_right_shape(&mut self, formula: &str) -> bool {
        if self.verdict(formula).exact {
            return true;
        }
        if let Some(&right) = self.shapes.get(formula) {
            return right;
        }
        let right = match self.syntax.read(formula) {
            Ok(reading) if reading.expr.n_variables() <= self.task.x.n_columns() => self.shape(&reading),
            _ => false,
        };
        self.shapes.insert(formula.to_owned(), right);
        right
    }

    fn judge(&self, expr: &Tree, semantics: Semantics, size: usize) -> Verdict {
        let (x, y) = &self.task.fresh;
        let predicted = sr_expr::predict(expr, x, semantics);
        let error = largest_error(&predicted, y);
        let exact = error < MAX_ERROR && (self.is_short(size) || self.is_equal(expr, semantics));
        Verdict { size, r2: r_squared(&predicted, y), error, exact }
    }

    fn is_short(&self, size: usize) -> bool {
        size as f64 <= MAX_SIZE * self.task.law.size() as f64
    }

    /// Returns whether a formula that agrees with the law on fresh rows does so far outside of them.
    fn is_equal(&self, expr: &Tree, semantics: Semantics) -> bool {
        let (x, y) = &self.stretched;
        let predicted = sr_expr::predict(expr, x, semantics);
        let rows = || predicted.iter().zip(y).filter(|(p, y)| p.is_finite() && y.is_finite());
        let median = sr_eval::median(rows().map(|(_, y)| y.abs())).unwrap_or(0.0);
        let agrees = |(p, y): &(&f64, &f64)| (*p - *y).abs() <= MAX_STRETCHED * y.abs().max(FLOOR * median);
        let (n, agreeing) = (rows().count(), rows().filter(agrees).count());
        n >= LEAST_ROWS && agreeing as f64 >= AGREEING * n as f64
    }

    fn shape(&self, reading: &Reading) -> bool {
        let Reading { expr, semantics, .. } = reading;
        let (x, y) = &self.task.fresh;
        let sigma = self.task.sigma.max(SINGLE_FIT * rms(y));
        let predicted = sr_expr::predict(expr, x, *semantics);
        let squares: f64 = predicted.iter().zip(y).map(|(p, y)| (p - y) * (p - y)).sum();
        let distance = (squares / y.len() as f64).sqrt();
        if distance.is_nan() || distance > MAX_DEVIATIONS * sigma {
            return false;
        }
        let constants = refit::constants(expr, *semantics, x, y);
        let fitted = self.without_idle_constants(refit::with_constants(expr, &constants), *semantics);
        let error = largest_error(&sr_expr::predict(&fitted, x, *semantics), y);
        if !(error < MAX_REFITTED && (self.is_short(simplify::size(&fitted)) || self.is_equal(&fitted, *semantics))) {
            return false;
        }
        let Some(deviations) = refit::deviations(&fitted, *semantics, &self.task.x, sigma) else { return false };
        let printed = expr.constants();
        let near = |((printed, fitted), sigma): ((f64, f64), f64)| {
            // A constant is also printed with an error of its own.
            (printed - fitted).abs() <= 3.0 * sigma + SINGLE * fitted.abs()
        };
        printed.zip(fitted.constants()).zip(deviations).all(near)
    }

    /// Sets constants to 0 that make no difference to the law, so that their terms are not counted.
    fn without_idle_constants(&self, mut expr: Expr, semantics: Semantics) -> Expr {
        let (x, y) = &self.task.fresh;
        let mut constants: Vec<f64> = expr.constants().collect();
        for index in 0..constants.len() {
            let kept = std::mem::replace(&mut constants[index], 0.0);
            let shorter = refit::with_constants(&expr, &constants);
            if largest_error(&sr_expr::predict(&shorter, x, semantics), y) < MAX_REFITTED {
                expr = shorter;
            } else {
                constants[index] = kept;
            }
        }
        expr
    }
}

/// Returns the size by which a formula is judged: what the system wrote, or what is left of it in plain words.
fn simplified(reading: &Reading) -> usize {
    reading.size.min(simplify::size(&reading.expr))
}

/// Returns the largest relative error, infinite where a prediction is not finite.
fn largest_error(predicted: &[f64], y: &[f64]) -> f64 {
    let floor = (FLOOR * rms(y)).max(f64::MIN_POSITIVE);
    let error = |(p, y): (&f64, &f64)| if p.is_finite() { (p - y).abs() / y.abs().max(floor) } else { f64::INFINITY };
    predicted.iter().zip(y).map(error).fold(0.0, f64::max)
}

fn rms(y: &[f64]) -> f64 {
    (y.iter().map(|y| y * y).sum::<f64>() / y.len() as f64).sqrt()
}

/// Returns rows that are moved away from the medians of their columns, by each factor.
fn stretched(x: &Columns) -> Columns {
    let median = |column: usize| sr_eval::median(x.column(column).iter().copied()).unwrap_or(0.0);
    let medians: Vec<f64> = (0..x.n_columns()).map(median).collect();
    let n = x.n_rows();
    Columns::from_fn(STRETCHES.len() * n, x.n_columns(), |row, column| {
        medians[column] + STRETCHES[row / n] * (x.column(column)[row % n] - medians[column])
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accuracy::suites::testing::task;

    fn verdict(law: &str, formula: &str) -> Verdict {
        Judge::new(&task(law, [[1.0, 3.0], [0.5, 2.0]], 0.0), Syntax::Ours).verdict(formula)
    }

    #[test]
    fn the_law_in_any_words_is_exact() {
        let law = "2.5*x0*x0/x1 + sin(x1)";
        for same in [
            law,
            "sin(x1) + x0*(x0/(x1*0.4))",
            "1.0*(2.5*(1.0*pow2(x0)/x1)) + 0.0 + sin(1.0*x1)",
            // Longer than 1.2 times, but equal.
            "2.5*x0*x0/x1 + sin(x1)*cos(x0)*cos(x0) + sin(x1)*sin(x0)*sin(x0)",
            "2.50000000001*x0*x0/x1 + sin(x1)",
        ] {
            assert!(verdict(law, same).exact, "{same}");
        }
    }

    #[test]
    fn what_only_resembles_the_law_is_not_exact() {
        let law = "2.5*x0*x0/x1 + sin(x1)";
        for other in ["2.50002*x0*x0/x1 + sin(x1)", "2.5*x0*x0/x1 + sin(1.00001*x1)", "x0", "log(0 - x0)", "x2", "x0 +"]
        {
            assert!(!verdict(law, other).exact, "{other}");
        }
        // Right to 1e-9 within the ranges by a polynomial of many terms, but not the law.
        let taylor = "1 + y + y^2/2 + y^3/6 + y^4/24 + y^5/120 + y^6/720 + y^7/5040 + y^8/40320 + y^9/362880"
            .replace('y', "(x1/4)");
        let near = verdict("exp(x1/4)", &taylor);
        assert!(near.error < 1e-9 && !near.exact, "{near:?}");
        let bad = verdict(law, "log(0 - x0)");
        assert_eq!((bad.r2, bad.error), (Some(f64::NEG_INFINITY), f64::INFINITY));
        assert_eq!(verdict(law, "x0 +").size, 0);
    }

    #[test]
    fn a_formula_that_is_right_on_the_rows_of_the_search_only_is_not_exact() {
        let mut law = task("x0 + x1", [[1.0, 3.0], [0.5, 2.0]], 0.0);
        law.x = Columns::from_fn(20, 2, |row, column| if column == 0 { 1.5 } else { 0.5 + row as f64 / 20.0 });
        law.y = sr_expr::predict(&law.law, &law.x, Semantics::Ieee);
        let mut judge = Judge::new(&law, Syntax::Ours);
        assert_eq!(
            largest_error(&sr_expr::predict(&"1.5 + x1".parse::<Expr>().expect("f"), &law.x, Semantics::Ieee), &law.y),
            0.0
        );
        assert!(!judge.verdict("1.5 + x1").exact && judge.verdict("x1 + x0").exact);
    }

    #[test]
    fn forms_are_right_if_constants_near_the_printed_ones_make_the_law() {
        let noisy = task("2.5*x0*x0/x1 + sin(x1)", [[1.0, 3.0], [0.5, 2.0]], 0.01);
        let mut judge = Judge::new(&noisy, Syntax::Ours);
        for right in [
            "2.5*x0*x0/x1 + sin(x1)",
            "2.5002*x0*x0/x1 + 1.002*sin(x1)",
            "0.0002 + 1.5813*x0*(1.5811*x0)/x1 + sin(1.001*x1)",
        ] {
            assert!(judge.has_right_shape(right), "{right}");
        }
        for wrong in ["2.9*x0*x0/x1 + sin(x1)", "2.5*x0*x0/x1 + 0.9*x1", "2.8*x0*x0/x1", "2.5*x0*x0/x1 + cos(x1)"] {
            assert!(!judge.has_right_shape(wrong), "{wrong}");
        }
    }

    #[test]
    fn single_precision_has_the_right_form_without_noise() {
        let exact = task("2.5*x0*x0/x1 + 0.7*sin(x1)", [[1.0, 3.0], [0.5, 2.0]], 0.0);
        let mut judge = Judge::new(&exact, Syntax::Operon);
        let text = "((2.5 * (x0 ^ 2)) / x1) + (0.699999988079071044921875 * sin(x1))";
        assert!(!judge.verdict(text).exact && judge.has_right_shape(text));
        assert!(!judge.has_right_shape("((2.5 * (x0 ^ 2)) / x1) + (0.7007 * sin(x1))"));
    }

    #[test]
    fn zeros_of_a_law_are_no_obstacle() {
        let mut near = task("x0 - x1", [[1.0, 2.0], [1.0, 2.0]], 0.0);
        let mut x1 = near.fresh.0.column(1).to_vec();
        x1[0] = near.fresh.0.column(0)[0] + 1e-12;
        near.fresh.0.set_column(1, &x1);
        near.fresh.1 = sr_expr::predict(&near.law, &near.fresh.0, Semantics::Ieee);
        assert!(Judge::new(&near, Syntax::Ours).verdict("(x0 + 1) - (x1 + 1)").exact);
    }
}
