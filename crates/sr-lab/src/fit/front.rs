//! The Pareto front of size against error.

use std::collections::BTreeMap;

use sr_engine::{ConstantFitter, Instance};
use sr_expr::rules::Rules;
use sr_expr::{Expr, Semantics};

use super::rows::Rows;
use super::{FrontFormula, Method, polish, snap};

/// The best formula of each size.
#[derive(Debug, Clone)]
pub(super) struct Front {
    max_size: usize,
    /// The rules that formulas keep, and by which they have a size.
    rules: Rules,
    best: BTreeMap<usize, Found>,
    revision: u64,
}

#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) expr: Expr,
    pub(super) method: Method,
    /// On the training rows, relative to the variance of y.
    pub(super) error: f64,
    /// Whether its constants were fitted to the end.
    is_polished: bool,
}

impl Front {
    pub(super) fn new(max_size: usize, rules: &Rules) -> Self {
        Front { max_size, rules: rules.clone(), best: BTreeMap::new(), revision: 0 }
    }

    /// Adds a formula unless a formula of its size or a smaller one is as good, and drops what it is better than.
    pub(super) fn add(&mut self, expr: Expr, method: Method, error: f64) {
        if self.rules.complexity.of(&expr) <= self.max_size {
            self.add_any_size(expr, method, error);
        }
    }

    /// The same for formulas that were not made within a limit.
    pub(super) fn add_any_size(&mut self, expr: Expr, method: Method, error: f64) {
        let size = self.rules.complexity.of(&expr);
        let is_worse = |found: &Found| found.error <= error;
        if !error.is_finite() || !self.rules.allow(&expr) || self.best.range(..=size).any(|(_, found)| is_worse(found))
        {
            return;
        }
        self.best.retain(|&other, found| other < size || found.error < error);
        self.best.insert(size, Found { expr, method, error, is_polished: false });
        self.revision += 1;
    }

    /// Changes whenever the front does.
    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    /// The formulas, the smallest first.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Found> {
        self.best.values()
    }

    /// Whether a formula is exact on all rows.
    pub(super) fn has_solved(&self, all: &Instance) -> bool {
        self.best
            .values()
            .rev()
            .any(|found| found.error <= all.tolerance() && all.is_exact(&found.expr, Semantics::Ieee))
    }

    /// Fits the constants of formulas that are new to all training rows.
    pub(super) fn polish(&mut self, fitter: &mut ConstantFitter, training: &Instance) {
        let fresh: Vec<usize> =
            self.best.iter().filter(|(_, found)| !found.is_polished).map(|(&size, _)| size).collect();
        for size in fresh {
            let Some(found) = self.best.get_mut(&size) else { continue };
            found.is_polished = true;
            let (expr, method) = (polish(fitter, &found.expr, training), found.method);
            let error = training.fit(&expr, Semantics::Ieee).relative;
            self.add(expr, method, error);
            if let Some(found) = self.best.get_mut(&size) {
                found.is_polished = true;
            }
        }
    }

    /// The formulas, with round constants where these are as good if that is asked for, and how they fit.
    pub(super) fn finish(mut self, rows: &Rows, snaps: bool) -> Vec<FrontFormula> {
        let mut fitter = ConstantFitter::new();
        self.polish(&mut fitter, rows.training());
        let found: Vec<Found> = self.best.values().cloned().collect();
        for Found { expr, method, error, .. } in found.into_iter().filter(|_| snaps) {
            let (rounded, rounded_error) = snap::rounded(&mut fitter, &expr, error, rows.training());
            // Another constant in its place may be one that the rules do not allow.
            let is_allowed = self.rules.allow(&rounded);
            let (expr, error) = if is_allowed { (rounded, rounded_error) } else { (expr, error) };
            // As good as what it replaces, up to rounding.
            let size = self.rules.complexity.of(&expr);
            self.best.retain(|&other, found| other != size || found.error < error);
            self.add_any_size(expr, method, error);
        }
        let told = |Found { expr, method, .. }: Found| FrontFormula {
            fit: rows.all().fit(&expr, Semantics::Ieee),
            is_exact: rows.all().is_exact(&expr, Semantics::Ieee),
            held_out: rows.held_out().map(|rows| rows.fit(&expr, Semantics::Ieee)),
            size: self.rules.complexity.of(&expr),
            expr,
            method,
        };
        self.best.into_values().map(told).collect()
    }
}
