//! The Pareto front of size against error.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rayon::prelude::*;
use sr_engine::{ConstantFitter, Instance};
use sr_expr::rules::Rules;
use sr_expr::{Expr, Node, Op, Semantics, Simplified, Tree};

use super::choice::{description_length, nats_of_errors};
use super::rows::Rows;
use super::{FrontFormula, LAST_STEPS, Method, snap};

/// Most steps of Levenberg and Marquardt over all training rows, from constants that fit a sample of them.
const WHOLE_STEPS: u32 = 6;
/// Most steps for what is left of a formula without a constant, from constants that fit the whole. What then has a place in
/// the front is fitted to the end like all others.
const FIRST_STEPS: u32 = 8;
/// A step that lowers the error by less than this share was the last one.
const LEAST_GAIN: f64 = 1e-9;
/// By how much a constant is changed, relative to it, to see what its last digits do: some 45 times the rounding.
const LAST_DIGITS: f64 = 1e-14;
/// The error, relative to the variance of y, that last digits may make.
const OF_LAST_DIGITS: f64 = 1e-8;

/// The best formula of each size.
#[derive(Debug, Clone)]
pub(super) struct Front {
    max_size: usize,
    /// The rules that formulas keep, and by which they have a size.
    rules: Rules,
    best: BTreeMap<usize, Found>,
    revision: u64,
    /// The rows on which errors are compared.
    n_rows: usize,
    /// In node · rows, since it was last asked for.
    work: u64,
    /// When the first formula was added, and the time up to the end of the last fit, since it was last asked for.
    since: Option<Instant>,
    busy: Duration,
}

#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) expr: Expr,
    pub(super) method: Method,
    /// On the training rows, relative to the variance of y.
    pub(super) error: f64,
    /// Whether its constants were fitted to the end.
    pub(super) is_polished: bool,
    /// Whether it was compared with all rows and is not exact there.
    is_refuted: bool,
}

/// How far formulas are finished. Each step of a formula has a number, from 0.
#[derive(Debug, Clone, Copy)]
pub(super) enum Limit<'a> {
    /// To the end.
    None,
    /// Until then, the formula that will probably be chosen first.
    Until {
        deadline: Instant,
        /// What a value takes, one node in one row.
        seconds_a_value: f64,
    },
    /// As many steps of each formula as there were in another run.
    Steps(&'a [u32]),
}

/// How formulas are finished.
#[derive(Debug, Clone, Copy)]
pub(super) struct Finishing<'a> {
    /// Whether constants become round.
    pub(super) snaps: bool,
    /// Whether formulas are written in their shortest words.
    pub(super) simplifies: bool,
    pub(super) threads: usize,
    pub(super) limit: Limit<'a>,
}

/// Formulas as they are shown.
pub(super) struct Finished {
    pub(super) formulas: Vec<FrontFormula>,
    /// The steps done of each formula of the front.
    pub(super) steps: Vec<u32>,
    pub(super) work: u64,
}

impl Front {
    pub(super) fn new(max_size: usize, rules: &Rules, rows: &Rows) -> Self {
        let n_rows = rows.training().y().len();
        let (rules, best) = (rules.clone(), BTreeMap::new());
        Front { max_size, rules, best, revision: 0, n_rows, work: 0, since: None, busy: Duration::ZERO }
    }

    /// Adds a formula unless a formula of its size or a smaller one is as good, or it lives on the last digits of its
    /// constants, and drops what it is better than.
    ///
    /// - error: that on the training rows, relative to the variance of y
    pub(super) fn add(&mut self, expr: Expr, method: Method, error: f64, training: &Instance) {
        if self.rules.complexity.of(&expr) <= self.max_size {
            self.add_any_size(expr, method, error, training);
        }
    }

    /// The same for formulas that were not made within a limit.
    pub(super) fn add_any_size(&mut self, expr: Expr, method: Method, error: f64, training: &Instance) {
        self.since.get_or_insert_with(Instant::now);
        self.work += (expr.size() * self.n_rows) as u64;
        let new = Found { expr, method, error, is_polished: false, is_refuted: false };
        if self.is_news(&new) {
            self.work += (new.expr.constants().count() * new.expr.size() * self.n_rows) as u64;
            if is_stable(&new.expr, error, training) {
                self.insert(new);
            }
        }
    }

    /// The same for formulas whose constants stay as they are.
    pub(super) fn add_polished(&mut self, expr: Expr, method: Method, error: f64) {
        self.work += (expr.size() * self.n_rows) as u64;
        self.insert(Found { expr, method, error, is_polished: true, is_refuted: false });
    }

    /// Whether a formula has a place in the front.
    fn is_news(&self, new: &Found) -> bool {
        let size = self.rules.complexity.of(&new.expr);
        let is_as_good = |found: &Found| found.error <= new.error;
        new.error.is_finite()
            && self.rules.allow(&new.expr)
            && !self.best.range(..=size).any(|(_, found)| is_as_good(found))
    }

    fn insert(&mut self, new: Found) {
        if !self.is_news(&new) {
            return;
        }
        let size = self.rules.complexity.of(&new.expr);
        self.best.retain(|&other, found| other < size || found.error < new.error);
        self.best.insert(size, new);
        self.revision += 1;
    }

    /// Puts the formulas of an earlier run in the place of all others.
    pub(super) fn restore(&mut self, formulas: impl Iterator<Item = (Expr, Method, f64, bool)>) {
        let found = |(expr, method, error, is_polished)| Found { expr, method, error, is_polished, is_refuted: false };
        let complexity = &self.rules.complexity;
        self.best = formulas.map(found).map(|found| (complexity.of(&found.expr), found)).collect();
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

    /// Takes the work done, in node · rows, and the time that it took to add formulas and fit their constants.
    pub(super) fn take_spent(&mut self) -> (u64, Duration) {
        self.since = None;
        (std::mem::take(&mut self.work), std::mem::take(&mut self.busy))
    }

    /// The size of the smallest formula that is exact on all rows.
    pub(super) fn exact_size(&mut self, rows: &Rows) -> Option<usize> {
        let tolerance = rows.all().tolerance().max(rows.training().tolerance());
        // Most formulas are wrong on the training rows already, and what is wrong on others stays so.
        let candidates = self.best.iter_mut().filter(|(_, found)| found.error <= tolerance && !found.is_refuted);
        for (&size, found) in candidates {
            found.is_refuted = !rows.has_exact(&found.expr);
            if !found.is_refuted {
                return Some(size);
            }
        }
        None
    }

    /// Fits the constants of formulas that are new to the training rows, and tries what is left of each without one of
    /// its constants: searches fit formulas inside of a + b·f, so that the shorter b·f and f are not met by themselves.
    pub(super) fn polish(&mut self, fitter: &mut ConstantFitter, training: &Instance) {
        let since = *self.since.get_or_insert_with(Instant::now);
        // What is added is of the same structure or smaller, so this ends.
        while let Some((&size, found)) = self.best.iter_mut().find(|(_, found)| !found.is_polished) {
            found.is_polished = true;
            let (expr, method) = (found.expr.clone(), found.method);
            let expr = self.add_fitted(&expr, method, LAST_STEPS, fitter, training);
            if let Some(found) = self.best.get_mut(&size) {
                found.is_polished = true;
            }
            if method != Method::Linear {
                let is_constant = |node: &usize| matches!(expr.nodes()[*node], Node::Const(_));
                for shorter in (0..expr.size()).filter(is_constant).filter_map(|node| expr.without(node)) {
                    self.add_fitted(&shorter, method, FIRST_STEPS, fitter, training);
                }
            }
        }
        self.busy = since.elapsed();
    }

    /// Adds a formula with its constants fitted in so many steps, and returns it.
    fn add_fitted(
        &mut self,
        expr: &Expr,
        method: Method,
        steps: u32,
        fitter: &mut ConstantFitter,
        training: &Instance,
    ) -> Expr {
        let fitted = fitter.fit(expr, training, Semantics::Ieee, steps);
        self.work += fitted.work;
        let expr = fitted.tree.to_owned();
        let error = training.fit(&expr, Semantics::Ieee).relative;
        self.add(expr.clone(), method, error, training);
        expr
    }

    /// The time that it takes to measure the formulas on all rows.
    pub(super) fn time_to_measure(&self, rows: &Rows, threads: usize, seconds_a_value: f64) -> Duration {
        let held_out = rows.held_out().map_or(0, |rows| rows.y().len());
        let measured = 3.0 * (rows.all().y().len() + held_out) as f64;
        let values: f64 = self.best.values().map(|found| cost(&found.expr) * measured).sum();
        let parallel = threads.clamp(1, self.best.len().max(1)) as f64;
        Duration::try_from_secs_f64(values / parallel * seconds_a_value).unwrap_or(Duration::MAX)
    }

    /// The same with the time that it takes to fit the constants of one of them there.
    pub(super) fn time_to_finish(&self, rows: &Rows, threads: usize, seconds_a_value: f64) -> Duration {
        let step = |found: &Found| cost_of_step(&found.expr, rows.whole());
        let values = match rows.is_sampled() {
            true => 2.0 * self.best.values().map(step).fold(0.0, f64::max),
            false => 0.0,
        };
        let fitting = Duration::try_from_secs_f64(values * seconds_a_value).unwrap_or(Duration::MAX);
        self.time_to_measure(rows, threads, seconds_a_value).saturating_add(fitting)
    }

    /// The formulas with constants that are fitted to all training rows, and are round numbers where these are as good if
    /// that is asked for, in their shortest words if that is asked for; and how they fit.
    pub(super) fn finish(&self, rows: &Rows, how: Finishing<'_>) -> Finished {
        let Finishing { snaps, simplifies, threads, limit } = how;
        let found: Vec<&Found> = self.best.values().collect();
        // What will probably be chosen comes first, so that its constants are right when the time is short.
        let mut order: Vec<usize> = (0..found.len()).collect();
        if let Some(first) = probable_choice(&found, rows) {
            order[..=first].rotate_right(1);
        }
        let finish = |index: usize| (index, finish_one(found[index], index, rows, snaps, limit));
        let mut done = each(order, threads, finish);
        done.sort_by_key(|(index, _)| *index);
        let steps = done.iter().map(|(_, one)| one.steps).collect();
        let mut work: u64 = done.iter().map(|(_, one)| one.work).sum();
        // As good as what they replace, up to rounding, and better than all smaller ones.
        let mut front = Front { best: BTreeMap::new(), ..self.clone() };
        for (_, One { expr, method, error, .. }) in done {
            let (expr, error) = match simplifies {
                true => shortest(expr, rows.training()),
                false => (expr, error),
            };
            front.add_any_size(expr, method, error, rows.training());
        }
        let measured = front.best.into_values().collect();
        let mut formulas = each(measured, threads, |found: Found| rows.measured(found.expr, found.method));
        let n_rows = rows.all().y().len() + rows.held_out().map_or(0, |rows| rows.y().len());
        work += formulas.iter().map(|formula| (formula.expr.size() * n_rows) as u64).sum::<u64>();
        // Errors on some rows do not order formulas as those on all of them do, which are told.
        let mut least = f64::INFINITY;
        formulas.retain(|formula| {
            let is_better = formula.fit.relative < least || least.is_infinite();
            least = least.min(formula.fit.relative);
            is_better
        });
        Finished { formulas, steps, work }
    }
}

/// Whether a formula is as good whatever the last digits of its constants are: one that is not, a small difference of
/// large numbers, computes from rounding.
fn is_stable(expr: &Expr, error: f64, training: &Instance) -> bool {
    // Where y varies but little beside its size, an offset needs all of its digits.
    let largest = training.y().iter().fold(0.0, |largest: f64, y| largest.max(y.abs()));
    let of_offset = LAST_DIGITS * largest / training.scale();
    let most = 4.0 * (error + of_offset * of_offset) + OF_LAST_DIGITS;
    expr.nodes().iter().enumerate().all(|(index, node)| match *node {
        Node::Const(value) => {
            let other = snap::with_constants(expr, &[(index, value * (1.0 + LAST_DIGITS))]);
            training.fit(&other, Semantics::Ieee).relative <= most
        }
        _ => true,
    })
}

impl Limit<'_> {
    /// Whether a formula's step may be done, which computes so many values.
    fn allows(&self, formula: usize, step: u32, values: f64) -> bool {
        match self {
            Limit::None => true,
            Limit::Until { deadline, seconds_a_value } => {
                let needed = Duration::try_from_secs_f64(values * seconds_a_value).unwrap_or(Duration::MAX);
                deadline.saturating_duration_since(Instant::now()) > needed
            }
            Limit::Steps(steps) => steps.get(formula).is_some_and(|&done| step < done),
        }
    }

    /// Whether a step that was begun goes on.
    fn goes_on(&self) -> bool {
        match self {
            Limit::Until { deadline, .. } => Instant::now() < *deadline,
            Limit::None | Limit::Steps(_) => true,
        }
    }
}

/// Does something with each element, on the threads of the pool if there may be more than one.
fn each<T: Send, R: Send>(elements: Vec<T>, threads: usize, with: impl Fn(T) -> R + Send + Sync) -> Vec<R> {
    match threads {
        0 | 1 => elements.into_iter().map(with).collect(),
        _ => elements.into_par_iter().with_max_len(1).map(with).collect(),
    }
}

/// A formula with the steps that were done.
struct One {
    expr: Expr,
    method: Method,
    error: f64,
    steps: u32,
    work: u64,
}

/// Finishes a formula: step 0 fits its constants to the training rows, step 1 rounds them, and each further one fits them
/// to all training rows, if there are more.
fn finish_one(found: &Found, index: usize, rows: &Rows, snaps: bool, limit: Limit<'_>) -> One {
    let Found { expr, method, error, is_polished, .. } = found.clone();
    let training = rows.training();
    let mut one = One { expr, method, error, steps: 0, work: 0 };
    let mut fitter = ConstantFitter::new();
    if !limit.allows(index, 0, 0.0) {
        return one;
    }
    one.steps = 1;
    if !is_polished {
        let fitted = fitter.fit(&one.expr, training, Semantics::Ieee, LAST_STEPS);
        one.work += fitted.work;
        let expr = fitted.tree.to_owned();
        let error = training.fit(&expr, Semantics::Ieee).relative;
        if error < one.error {
            (one.expr, one.error) = (expr, error);
        }
    }
    if !limit.allows(index, 1, 0.0) {
        return one;
    }
    let mut fixed = Vec::new();
    if snaps {
        let go_on = || limit.goes_on();
        match snap::rounded(&mut fitter, &one.expr, one.error, training, &go_on, &mut one.work) {
            // Another constant in its place may be one that the rules do not allow.
            Some(rounded) if !training.allows(&rounded.expr) => {}
            Some(rounded) => (one.expr, one.error, fixed) = (rounded.expr, rounded.error, rounded.fixed),
            None => return one,
        }
    }
    one.steps = 2;
    if !rows.is_sampled() || one.expr.constants().next().is_none() {
        return one;
    }
    let whole = rows.whole();
    let values = cost_of_step(&one.expr, whole);
    let rounded = one.expr.clone();
    let mut error = f64::INFINITY;
    for step in 0..WHOLE_STEPS {
        if !limit.allows(index, 2 + step, values) {
            break;
        }
        let fitted = fitter.fit(&one.expr, whole, Semantics::Ieee, 1);
        one.work += fitted.work;
        one.steps = 3 + step;
        if step == 0 && fitted.start <= whole.tolerance() {
            return one;
        }
        let has_gained = fitted.error < fitted.start * (1.0 - LEAST_GAIN);
        if fitted.error < fitted.start {
            one.expr = fitted.tree.to_owned();
        }
        error = fitted.error;
        if !has_gained {
            break;
        }
    }
    if !fixed.is_empty() && one.expr != rounded && error.is_finite() {
        let with = snap::with_constants(&one.expr, &fixed);
        one.work += (with.size() * whole.y().len()) as u64;
        if whole.fit(&with, Semantics::Ieee).relative <= error * snap::as_good(error, whole) {
            one.expr = with;
        }
    }
    one
}

/// Returns the formula in the shortest words that compute the same, and its error on the training rows.
pub(super) fn shortest(expr: Expr, training: &Instance) -> (Expr, f64) {
    let error = |expr: &Expr| training.fit(expr, Semantics::Ieee).relative;
    let own = error(&expr);
    let shorter = Simplified::new(&expr, 0.0).and_then(|simplified| simplified.write(training.primitives().ops()));
    let is_better = |shorter: &Expr| shorter.size() < expr.size() && training.allows(shorter);
    match shorter.filter(is_better).map(|shorter| (error(&shorter), shorter)) {
        // Other domains, or more rounding, would make it worse.
        Some((error, shorter)) if error <= own * (1.0 + 1e-6) + 1e-24 => (shorter, error),
        _ => (expr, own),
    }
}

impl Front {
    /// The structure of the formula that has the shortest description on the training rows.
    pub(super) fn shortest_description(&self, rows: &Rows) -> u64 {
        let length = |found: &Found| found.description_length(rows);
        let shortest = self.best.values().min_by(|a, b| length(a).total_cmp(&length(b)));
        shortest.map_or(0, |found| found.expr.structure())
    }
}

impl Found {
    /// Nats that it takes to tell the formula and its errors, as large as those on the training rows.
    fn description_length(&self, rows: &Rows) -> f64 {
        description_length(&self.expr, nats_of_errors(self.error, rows), rows.whole().y().len())
    }
}

/// The index of the formula that will probably be chosen.
fn probable_choice(found: &[&Found], rows: &Rows) -> Option<usize> {
    let tolerance = rows.training().tolerance();
    let length = |found: &Found| found.description_length(rows);
    let shortest = || (0..found.len()).min_by(|&a, &b| length(found[a]).total_cmp(&length(found[b])));
    found.iter().position(|found| found.error <= tolerance).or_else(shortest)
}

/// How many values of simple operators take as long as a row of this formula.
fn cost(tree: &Tree) -> f64 {
    let node = |node: &Node| match node {
        Node::Op(Op::Add | Op::Sub | Op::Mul | Op::Neg | Op::Abs | Op::Pow2 | Op::Pow3) => 1.0,
        Node::Op(Op::Div | Op::Inv | Op::Sqrt) => 3.0,
        Node::Op(_) => 12.0,
        Node::Var(_) | Node::Const(_) => 0.5,
    };
    tree.nodes().iter().map(node).sum()
}

/// The same of a step of least squares over all rows, for which values are computed three times, with derivatives.
fn cost_of_step(tree: &Tree, instance: &Instance) -> f64 {
    let n_constants = tree.constants().count() as f64;
    3.0 * (3.0 * cost(tree) + n_constants * n_constants) * instance.y().len() as f64
}
