//! From a fitted law to a printed formula: constants are refitted in raw units, terms dropped, constants snapped, and
//! the text is read back and checked on all rows.

use sr_expr::{Columns, Expr, Machine, Semantics};

use crate::build::{Builder, Factor};
use crate::linear::{Fit, least_squares, norm, spread};
use crate::outer::{Outer, power};
use crate::prepare::Prepared;
use crate::snap::snapped;
use crate::{Candidate, EXACT, Stage};

/// A relative residual below this is rounding, not noise.
pub(crate) const NOISE_FREE: f64 = 1e-9;
/// A term of an exact law explains at least this share of the target. A smooth function can be approximated to rounding
/// by enough terms, whose last ones then explain next to nothing.
const LEAST_SHARE: f64 = 1e-7;
/// How much the residual may grow, by rounding, when a term is dropped or a constant is snapped.
const SLACK: f64 = 4.0;
/// The residual that is rounding alone, relative to the largest term.
const ROUNDING: f64 = 1e-14;
/// Under noise, terms whose coefficient is less than this many standard deviations from 0 are dropped.
const SIGNIFICANT: f64 = 5.0;
/// Errors are relative to |y|, or to this share of the median of |y| where |y| is smaller.
const SMALL_TARGET: f64 = 1e-3;

/// The law y = m · g⁻¹(Σ cᵢ · termᵢ), whose constants are still to be fitted.
#[derive(Debug, Clone)]
pub(crate) struct Law {
    pub(crate) stage: Stage,
    pub(crate) outer: Outer,
    /// The terms, each a product; the one without factors is the constant.
    pub(crate) terms: Vec<Vec<Factor>>,
}

/// Turns laws into candidates.
#[derive(Debug)]
pub(crate) struct Finisher<'a> {
    data: &'a Prepared,
    builder: &'a Builder,
    machine: Machine<f64>,
    out: Vec<f64>,
    /// Σ w (y − mean)².
    total: f64,
    /// The upper median of |y|.
    median: f64,
    /// The standard deviation of the target; infinite if it is constant.
    deviation: f64,
}

impl<'a> Finisher<'a> {
    pub(crate) fn new(data: &'a Prepared, builder: &'a Builder) -> Self {
        let sum_weights: f64 = data.weights.iter().sum();
        let weighted = |f: &dyn Fn(f64) -> f64| data.y.iter().zip(&data.weights).map(|(&y, w)| w * f(y)).sum::<f64>();
        let mean = weighted(&|y| y) / sum_weights;
        let total = weighted(&|y| (y - mean) * (y - mean));
        let mut sizes: Vec<f64> = data.y.iter().map(|y| y.abs()).collect();
        let middle = sizes.len() / 2;
        let median = *sizes.select_nth_unstable_by(middle, f64::total_cmp).1;
        let deviation = if total > 0.0 { (total / sum_weights).sqrt() } else { f64::INFINITY };
        Finisher { data, builder, machine: Machine::new(), out: Vec::new(), total, median, deviation }
    }

    /// Returns the values of a factor's expression at the fitted rows.
    pub(crate) fn values(&mut self, expr: &Expr) -> Vec<f64> {
        self.machine.predict(expr, &self.data.fit_table, Semantics::Ieee, &mut self.out);
        self.out.clone()
    }

    fn product_values(&mut self, factors: &[Factor]) -> Vec<f64> {
        let mut values = vec![1.0; self.data.fit.len()];
        for (f, p) in factors {
            let f = self.values(f);
            values.iter_mut().zip(f).for_each(|(v, f)| *v *= power(f, *p));
        }
        values
    }

    /// Fits, prunes, snaps and checks a law. Returns `None` if it cannot be fitted, or not be expressed by the
    /// operators.
    pub(crate) fn finish(&mut self, law: &Law) -> Option<Candidate> {
        let outer_values: Vec<Vec<f64>> = law.outer.factors.iter().map(|(f, _)| self.values(f)).collect();
        let target = law.outer.values(&self.data.fit_y, &outer_values)?;
        let sign = self.data.fit_y[0]
            * outer_values
                .iter()
                .zip(&law.outer.factors)
                .fold(1.0, |sign, (values, (_, p))| sign * power(values[0], *p).signum());
        let columns: Vec<Vec<f64>> = law.terms.iter().map(|factors| self.product_values(factors)).collect();
        let mut linear = Linear::new(columns, target)?;
        let noise_free = linear.is_noise_free();
        if noise_free {
            linear.prune();
        } else {
            linear.prune_insignificant();
        }
        let is_sound = noise_free && linear.is_sound();
        linear.snap(noise_free);
        let terms: Vec<(f64, Vec<Factor>)> =
            linear.coefficients().map(|(index, c)| (c, law.terms[index].clone())).collect();
        if terms.is_empty() {
            return None;
        }
        let expr = law.outer.undo(self.builder, &terms, sign < 0.0)?;
        self.check(&expr, law.stage, is_sound)
    }

    /// Reads an expression's printed text back and measures it on all rows. `is_sound` says that nothing but its errors
    /// speaks against its being exact.
    pub(crate) fn check(&mut self, expr: &Expr, stage: Stage, is_sound: bool) -> Option<Candidate> {
        let expr: Expr = expr.display(Semantics::Ieee).to_string().parse().ok()?;
        let on_fit = self.errors(&expr, &self.data.fit_table, &self.data.fit);
        if !on_fit.squares.is_finite() {
            return None;
        }
        let all: Vec<usize> = (0..self.data.y.len()).collect();
        let errors = self.errors(&expr, &self.data.x, &all);
        if !errors.squares.is_finite() {
            return None;
        }
        let held_out = self.data.held.iter().map(|&row| self.relative(row, self.out[row])).fold(0.0, f64::max);
        let held_out = if self.data.held.is_empty() { f64::INFINITY } else { held_out };
        let relative_mse = if self.total > 0.0 { errors.squares / self.total } else { errors.squares };
        let is_exact = is_sound && !self.data.held.is_empty() && held_out.max(errors.largest) < EXACT;
        Some(Candidate { expr, stage, relative_mse, max_error: errors.largest, held_out, is_exact })
    }

    fn relative(&self, row: usize, value: f64) -> f64 {
        let y = self.data.y[row];
        // Of a large offset that hardly varies a series may explain all but a small share.
        let scale = y.abs().max(SMALL_TARGET * self.median).min(self.deviation);
        let error = (value - y).abs();
        // NaN has to stay what it is.
        if error <= f64::EPSILON * (8.0 * y.abs() + 16.0 * self.median) { 0.0 } else { error / scale }
    }

    fn errors(&mut self, expr: &Expr, x: &Columns, rows: &[usize]) -> Errors {
        let mut out = std::mem::take(&mut self.out);
        self.machine.predict(expr, x, Semantics::Ieee, &mut out);
        let mut errors = Errors { squares: 0.0, largest: 0.0 };
        for (&row, &value) in rows.iter().zip(&out) {
            let error = value - self.data.y[row];
            errors.squares += self.data.weights[row] * error * error;
            errors.largest = errors.largest.max(self.relative(row, value));
        }
        self.out = out;
        errors
    }
}

#[derive(Debug)]
struct Errors {
    squares: f64,
    largest: f64,
}

/// A linear fit whose columns may be dropped and whose coefficients may be fixed.
#[derive(Debug)]
struct Linear {
    /// The columns that are left, with the index of their term.
    columns: Vec<Vec<f64>>,
    terms: Vec<usize>,
    target: Vec<f64>,
    /// The spread of the target, which residuals are relative to.
    scale: f64,
    fit: Fit,
    /// Snapped coefficients.
    fixed: Vec<Option<f64>>,
}

impl Linear {
    fn new(columns: Vec<Vec<f64>>, target: Vec<f64>) -> Option<Self> {
        let fit = least_squares(&columns, &target)?;
        let scale = Some(spread(&target)).filter(|s| *s > 0.0).unwrap_or_else(|| norm(&target));
        let (terms, fixed) = ((0..columns.len()).collect(), vec![None; columns.len()]);
        // A constant target of zeros has no scale at all.
        (scale > 0.0).then_some(Linear { columns, terms, target, scale, fit, fixed })
    }

    fn is_noise_free(&self) -> bool {
        self.fit.residual < NOISE_FREE * self.scale
    }

    /// Returns the size of each term: |c| times the norm of its column.
    fn sizes(&self) -> Vec<f64> {
        self.fit.coefficients.iter().zip(&self.columns).map(|(c, column)| c.abs() * norm(column)).collect()
    }

    /// Returns the residual up to which a smaller law is as good as this one.
    fn tolerance(&self) -> f64 {
        let largest = self.sizes().into_iter().fold(0.0, f64::max);
        (SLACK * self.fit.residual).max(ROUNDING * largest)
    }

    /// Drops columns for which `keep` is false, and refits.
    fn kept(&self, keep: impl Fn(usize) -> bool) -> Option<Linear> {
        let kept = |i: &usize| keep(*i);
        let indices: Vec<usize> = (0..self.columns.len()).filter(kept).collect();
        let columns: Vec<Vec<f64>> = indices.iter().map(|&i| self.columns[i].clone()).collect();
        let fit = least_squares(&columns, &self.target)?;
        let terms = indices.iter().map(|&i| self.terms[i]).collect();
        let fixed = vec![None; columns.len()];
        Some(Linear { columns, terms, target: self.target.clone(), scale: self.scale, fit, fixed })
    }

    /// Drops terms while the residual stays what rounding makes of it: all small ones at once, then one at a time.
    fn prune(&mut self) {
        let tolerance = self.tolerance();
        let sizes = self.sizes();
        if let Some(fewer) = self.kept(|i| sizes[i] > 10.0 * NOISE_FREE * self.scale)
            && fewer.fit.residual <= tolerance
        {
            *self = fewer;
        }
        loop {
            let shares = self.shares();
            let smallest = (0..shares.len()).min_by(|&a, &b| shares[a].total_cmp(&shares[b]));
            let Some(smallest) = smallest.filter(|&i| shares[i] < 1e-3 && self.columns.len() > 1) else { return };
            match self.kept(|i| i != smallest) {
                Some(fewer) if fewer.fit.residual <= tolerance => *self = fewer,
                _ => return,
            }
        }
    }

    /// Drops, one at a time, terms that are within the noise.
    fn prune_insignificant(&mut self) {
        while self.columns.len() > 1 {
            let freedom = self.target.len().saturating_sub(self.columns.len()).max(1);
            let sigma = self.fit.residual / (freedom as f64).sqrt();
            let significance = |i: usize| self.fit.coefficients[i].abs() / (self.fit.variances[i].sqrt() * sigma);
            let Some(least) = (0..self.columns.len()).min_by(|&a, &b| significance(a).total_cmp(&significance(b)))
            else {
                return;
            };
            // NaN, of a column that depends on others, is dropped too.
            if significance(least) >= SIGNIFICANT {
                return;
            }
            match self.kept(|i| i != least) {
                Some(fewer) => *self = fewer,
                None => return,
            }
        }
    }

    /// Returns what each term alone explains of the target, relative to its spread.
    fn shares(&self) -> Vec<f64> {
        let alone = |(c, variance): (&f64, &f64)| c.abs() / variance.sqrt() / self.scale;
        self.fit.coefficients.iter().zip(&self.fit.variances).map(alone).collect()
    }

    fn is_sound(&self) -> bool {
        self.columns.len() + 2 <= self.target.len() && self.shares().into_iter().all(|share| share > LEAST_SHARE)
    }

    /// Replaces coefficients by the simple numbers that they stand for, the most precise first, and refits the others
    /// after each.
    fn snap(&mut self, noise_free: bool) {
        let limit = match noise_free {
            true => 2.0 * self.tolerance(),
            // The residual may grow by what one coefficient at its two-sigma bound adds to χ².
            false => self.fit.residual * (1.0 + 4.0 / self.target.len() as f64).sqrt(),
        };
        let freedom = self.target.len().saturating_sub(self.columns.len()).max(1);
        let sigma = self.fit.residual / (freedom as f64).sqrt();
        let precision: Vec<f64> = (self.fit.coefficients.iter().zip(&self.fit.variances))
            .map(|(c, variance)| sigma * variance.sqrt() / c.abs())
            .collect();
        let mut order: Vec<usize> = (0..self.columns.len()).collect();
        order.sort_by(|&a, &b| precision[a].total_cmp(&precision[b]));
        for index in order {
            let tolerance = if noise_free { 1e-7 } else { 2.0 * precision[index] };
            let c = self.fit.coefficients[index];
            let mut meant = snapped(c, tolerance);
            if noise_free {
                meant.extend(snapped(c, 1e-9));
            }
            for candidate in meant {
                let before = self.fixed[index].replace(candidate);
                match self.refitted() {
                    Some(fit) if fit.residual <= limit => {
                        self.fit = fit;
                        break;
                    }
                    _ => self.fixed[index] = before,
                }
            }
        }
    }

    /// Fits the coefficients that are not fixed.
    fn refitted(&self) -> Option<Fit> {
        let mut target = self.target.clone();
        let free: Vec<usize> = (0..self.columns.len()).filter(|&i| self.fixed[i].is_none()).collect();
        for (fixed, column) in self.fixed.iter().zip(&self.columns) {
            if let Some(c) = fixed {
                target.iter_mut().zip(column).for_each(|(t, v)| *t -= c * v);
            }
        }
        let columns: Vec<Vec<f64>> = free.iter().map(|&i| self.columns[i].clone()).collect();
        let fit = least_squares(&columns, &target)?;
        let mut all = Fit {
            coefficients: self.fixed.iter().map(|fixed| fixed.unwrap_or(0.0)).collect(),
            residual: fit.residual,
            variances: self.fit.variances.clone(),
        };
        free.iter().zip(fit.coefficients).for_each(|(&i, c)| all.coefficients[i] = c);
        Some(all)
    }

    fn coefficients(&self) -> impl Iterator<Item = (usize, f64)> {
        self.terms.iter().copied().zip(self.fit.coefficients.iter().copied())
    }
}
