//! The formula of a table: closed forms first, then evolution with fitted constants, then a choice by a stated rule.
//!
//! ```
//! use std::time::Duration;
//!
//! use sr_lab::fit::{FitOptions, fit};
//! use sr_lab::{Monitor, sr_problems::{TableOptions, from_table}};
//!
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("falling.csv");
//! // The way that a stone falls in a time.
//! let rows: String = (1..40).map(|t| format!("{t},{}\n", 4.905 * f64::from(t * t))).collect();
//! std::fs::write(&path, format!("seconds,metres\n{rows}"))?;
//! let table = from_table(&path, &TableOptions::new("metres"))?;
//! let fitted = fit(&table.set.problems[0], &FitOptions::default(), &mut Monitor::none())?;
//! let chosen = fitted.chosen();
//! assert_eq!(chosen.expr.display(fitted.semantics).to_string(), "(4.905 * pow2(x0))");
//! assert!(chosen.is_exact);
//! # anyhow::Ok(())
//! ```

mod asked;
mod choice;
mod evolution;
mod front;
mod groups;
mod rows;
mod snap;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use sr_engine::{ConstantFitter, Fit, Instance, LossChoice};
use sr_enumerate::{Data, Options, Stages};
use sr_expr::rules::Rules;
use sr_expr::{Expr, Node, Op, Semantics, Tree};
use sr_problems::Problem;
use strum::{EnumString, IntoStaticStr, VariantArray};

use crate::Monitor;
pub use asked::{parse_complexity, parse_nesting, parse_units, units_of_header};
pub use choice::Reason;
use evolution::Islands;
use front::Front;
pub use groups::{GroupError, GroupFitted, GroupFormula, fit_groups};
use rows::Rows;

/// Steps of Levenberg and Marquardt for the formulas that are told.
const LAST_STEPS: u32 = 50;

/// Variables of tables of which no linear model is made: it takes the square of their number.
const MOST_LINEAR: usize = 200;

/// What a fit may use and how long it may take.
#[derive(Debug, Clone, PartialEq)]
pub struct FitOptions {
    /// The seed of all random draws.
    pub seed: u64,
    /// The number of threads; results do not depend on it.
    pub threads: usize,
    /// The operators of formulas, with their plain meaning.
    pub operators: Vec<Op>,
    /// Most nodes of a formula that evolution looks at.
    pub max_size: usize,
    /// The wall-clock time. An epoch that it cuts counts for nothing, so the result is that of
    /// [`epochs`](Self::epochs) = [`Fitted::epochs`] with the same budget of closed forms.
    pub time_limit: Option<Duration>,
    /// Most epochs of evolution; `None` for no limit. 0 looks for closed forms alone.
    pub epochs: Option<u32>,
    /// The budget of the search for closed forms and small expressions in node · rows.
    pub algebra_work: u64,
    /// The budget of all in node · rows, exceeded by at most one epoch: the same budget gives the same result on any
    /// machine. `None` for no limit.
    pub max_work: Option<u64>,
    /// What errors cost: formulas are fitted, compared and chosen by it.
    pub loss: LossChoice,
    /// The rules that formulas keep; sizes are those of its complexity.
    pub rules: Rules,
    /// The parts that are left out, to see what each is worth.
    pub without: BTreeSet<Part>,
}

/// A part of a fit that can be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "kebab-case")]
pub enum Part {
    /// Products of powers and polynomials.
    ClosedForms,
    /// The enumeration of small expressions and of their sums and products.
    Enumeration,
    /// Evolution on islands.
    Evolution,
    /// The fitting of constants in evolution; a and b of a + b·f stay.
    ConstantFitting,
    /// Islands whose errors are relative to y.
    RelativeErrors,
    /// Islands for 1/y, log y and y².
    TargetFunctions,
    /// Survival by a Pareto order; without it the fittest of parents and children stay.
    ParetoOrder,
    /// Small changes of nodes; without them there are subtree crossover and subtree mutation.
    NodeVariation,
    /// Sums and products in their shortest words.
    Simplification,
    /// Round numbers in the place of constants that are as good as these.
    Snapping,
}

impl Part {
    /// All parts.
    pub const ALL: &'static [Part] = Part::VARIANTS;

    /// Returns the name that flags use.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

impl Default for FitOptions {
    /// 20 seconds, all operators that closed forms know, formulas of up to 30 nodes.
    fn default() -> Self {
        FitOptions {
            seed: 0,
            threads: 1,
            operators: Options::default().operators,
            max_size: 30,
            time_limit: Some(Duration::from_secs(20)),
            epochs: None,
            algebra_work: Options::default().max_work,
            max_work: None,
            loss: LossChoice::Mse,
            rules: Rules::default(),
            without: BTreeSet::new(),
        }
    }
}

/// Who found a formula.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Method {
    /// The mean of y.
    Mean,
    /// Least squares on all variables.
    Linear,
    /// The search for closed forms and small expressions.
    Algebra,
    /// Evolution with fitted constants.
    Evolution,
}

impl Method {
    /// Returns the name that tables and JSON use.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// A formula that no shorter one is as good as.
#[derive(Debug, Clone, PartialEq)]
pub struct FrontFormula {
    /// The formula.
    pub expr: Expr,
    /// Its size: the number of nodes, unless some of them count more.
    pub size: usize,
    /// Who found it.
    pub method: Method,
    /// How well it fits all rows.
    pub fit: Fit,
    /// Whether it is right on every row, see [`Instance::is_exact`].
    pub is_exact: bool,
    /// How well it fits the rows that nothing was fitted to; `None` for tables of fewer than 60 rows, which are fitted
    /// whole.
    pub held_out: Option<Fit>,
}

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Fitted {
    /// The mean of y, to compare with.
    pub mean: FrontFormula,
    /// A linear model of all variables, to compare with; `None` if there are as many variables as rows, or 200.
    pub linear: Option<FrontFormula>,
    /// The formulas, the smallest first. Each fits the rows that were fitted better than all before it.
    pub front: Vec<FrontFormula>,
    /// The index of the chosen one.
    pub choice: usize,
    /// The reason for the choice.
    pub reason: Reason,
    /// The name of the loss, with what was estimated for it; `None` for the mean squared error.
    pub loss: Option<String>,
    /// The meaning of the operators.
    pub semantics: Semantics,
    /// The whole epochs of evolution.
    pub epochs: u32,
    /// Rows that nothing was fitted to.
    pub n_held_out: usize,
    /// The work done, in node · rows.
    pub work: u64,
    /// Whether the monitor stopped the search.
    pub is_stopped: bool,
}

impl Fitted {
    /// Returns the chosen formula.
    pub fn chosen(&self) -> &FrontFormula {
        &self.front[self.choice]
    }

    /// Returns the largest formula of the front that has no more nodes than this.
    pub fn of_size(&self, size: usize) -> Option<&FrontFormula> {
        self.front.iter().rfind(|formula| formula.size <= size)
    }

    /// Returns whether the chosen formula is better than the mean.
    pub fn is_better_than_mean(&self) -> bool {
        let error = |formula: &FrontFormula| formula.held_out.unwrap_or(formula.fit).relative;
        self.chosen().is_exact || error(self.chosen()) < error(&self.mean)
    }
}

/// Looks for the formula behind a problem's rows. The problem's own operators and constants do not count.
///
/// The monitor's progress is told in thousandths of the time limit, or in epochs if there is none.
///
/// # Errors
/// If the options are out of range, or the data cannot be searched.
pub fn fit(problem: &Problem, options: &FitOptions, monitor: &mut Monitor<'_>) -> anyhow::Result<Fitted> {
    let started = Instant::now();
    let mut fitting = Fitting::new(problem, options)?;
    let mut told = 0;
    while fitting.advance(started, monitor.stop())? {
        let done = match options.time_limit {
            Some(limit) => (1000.0 * started.elapsed().as_secs_f64() / limit.as_secs_f64().max(1e-3)) as u64,
            None => fitting.epochs().into(),
        };
        monitor.advance(done.min(1000).saturating_sub(told));
        told = told.max(done.min(1000));
    }
    let fitted = Fitted { is_stopped: monitor.is_stopped(), ..fitting.fitted() };
    asked::check_found(&fitted.front, options)?;
    Ok(fitted)
}

/// A fit under way, which goes on epoch by epoch.
#[derive(Debug)]
pub struct Fitting {
    options: FitOptions,
    rows: Rows,
    front: Front,
    mean: (Expr, f64),
    linear: Option<(Expr, f64)>,
    islands: Islands,
    /// Whether closed forms were looked for.
    is_begun: bool,
    /// In node · rows.
    work: u64,
}

impl Fitting {
    /// Splits the rows, and fits the mean and a linear model.
    ///
    /// # Errors
    /// If the options are out of range, or the data cannot be searched.
    pub fn new(problem: &Problem, options: &FitOptions) -> anyhow::Result<Self> {
        ensure!(options.max_size >= 1, "a formula has at least one node");
        ensure!(!options.operators.is_empty(), "there is no operator to make formulas of");
        ensure!(
            options.time_limit.is_some() || options.epochs.is_some() || options.max_work.is_some(),
            "without a time limit there has to be one of epochs or of work"
        );
        let rows = asked::rows(Rows::new(problem, &options.operators)?, options)?;
        let mut front = Front::new(options.max_size, &options.rules);
        let mean = baseline(&Expr::constant(0.0), &rows);
        front.add(mean.0.clone(), Method::Mean, mean.1);
        let linear = (rows.n_variables() < rows.training().y().len().min(MOST_LINEAR))
            .then(|| baseline(&linear_model(rows.n_variables()), &rows));
        if let Some((expr, error)) = &linear {
            front.add(expr.clone(), Method::Linear, *error);
        }
        let islands = Islands::new(&rows, options);
        Ok(Fitting { options: options.clone(), rows, front, mean, linear, islands, is_begun: false, work: 0 })
    }

    /// Returns the number of whole epochs of evolution.
    pub fn epochs(&self) -> u32 {
        self.islands.epoch()
    }

    /// Returns the work done, in node · rows.
    pub fn work(&self) -> u64 {
        self.work
    }

    /// Goes on: first looks for closed forms, then evolves for an epoch at each call. Returns false if there is nothing
    /// more to be done: a formula is exact, or the time since `started`, the epochs or the work are over, or `stop` is
    /// true.
    ///
    /// # Errors
    /// If the threads cannot be started.
    pub fn advance(&mut self, started: Instant, stop: &AtomicBool) -> anyhow::Result<bool> {
        let options = &self.options;
        let is_late = || options.time_limit.is_some_and(|limit| started.elapsed() >= limit);
        let is_over = || is_late() || stop.load(Ordering::Relaxed);
        let work_left = options.max_work.map_or(u64::MAX, |most| most.saturating_sub(self.work));
        if self.front.has_solved(self.rows.all()) || work_left == 0 || is_over() {
            return Ok(false);
        }
        if !std::mem::replace(&mut self.is_begun, true) {
            let stages = Stages {
                monomials: !options.without.contains(&Part::ClosedForms),
                polynomials: !options.without.contains(&Part::ClosedForms),
                ..if options.without.contains(&Part::Enumeration) { Stages::NONE } else { Stages::ALL }
            };
            if stages != Stages::NONE {
                let training = self.rows.training();
                let data = Data { x: training.x(), y: training.y(), weights: training.weights() };
                let closed = Options {
                    operators: options.operators.clone(),
                    max_work: options.algebra_work.min(work_left),
                    threads: options.threads,
                    stages,
                    rules: options.rules.clone(),
                    ..Options::default()
                };
                let found = sr_enumerate::search(data, &closed, &is_over).context("looking for closed forms")?;
                self.work += found.work;
                for candidate in found.candidates {
                    let expr = asked::refitted(candidate.expr, training);
                    let error = training.fit(&expr, Semantics::Ieee).relative;
                    self.front.add_any_size(expr, Method::Algebra, error);
                }
            }
            return Ok(true);
        }
        if options.without.contains(&Part::Evolution) || options.epochs.is_some_and(|most| self.islands.epoch() >= most)
        {
            return Ok(false);
        }
        let left = options.time_limit.map(|limit| limit.saturating_sub(started.elapsed()));
        let work = self.islands.advance(&self.rows, &mut self.front, left, stop);
        self.work += work.unwrap_or(0);
        Ok(work.is_some())
    }

    /// Returns what was found so far, with round constants where these are as good.
    pub fn fitted(&self) -> Fitted {
        let formulas = self.front.clone().finish(&self.rows, !self.options.without.contains(&Part::Snapping));
        let (choice, reason) = choice::choose(&formulas, &self.rows);
        let formula = |(expr, _): &(Expr, f64), method| FrontFormula {
            fit: self.rows.all().fit(expr, Semantics::Ieee),
            is_exact: self.rows.all().is_exact(expr, Semantics::Ieee),
            held_out: self.rows.held_out().map(|rows| rows.fit(expr, Semantics::Ieee)),
            size: self.options.rules.complexity.of(expr),
            expr: expr.clone(),
            method,
        };
        Fitted {
            mean: formula(&self.mean, Method::Mean),
            linear: self.linear.as_ref().map(|linear| formula(linear, Method::Linear)),
            front: formulas,
            choice,
            reason,
            loss: self.rows.all().loss().map(sr_engine::Loss::name),
            semantics: Semantics::Ieee,
            epochs: self.epochs(),
            n_held_out: self.rows.held_out().map_or(0, |rows| rows.y().len()),
            work: self.work,
            is_stopped: false,
        }
    }

    /// Returns a number that changes whenever the front does.
    pub fn revision(&self) -> u64 {
        self.front.revision()
    }
}

/// Fits the constants of a tree to the training rows, and returns it with its error there.
fn baseline(tree: &Tree, rows: &Rows) -> (Expr, f64) {
    // Least squares take one step, other losses some.
    let steps = if rows.training().loss().is_some() { LAST_STEPS } else { 1 };
    let fitted = sr_engine::fit_constants(tree, rows.training(), Semantics::Ieee, steps);
    let error = rows.training().fit(&fitted.0, Semantics::Ieee).relative;
    (fitted.0, error)
}

/// Returns `c0 + c1·x0 + c2·x1 + …`, all constants 0.
fn linear_model(n_variables: usize) -> Expr {
    let mut nodes = vec![Node::Const(0.0)];
    for variable in 0..n_variables {
        nodes.extend([Node::Const(0.0), Node::Var(variable as u16), Node::Op(Op::Mul), Node::Op(Op::Add)]);
    }
    Expr::new(nodes).expect("a sum of products")
}

/// Fits the constants of a formula to the convergence of least squares.
fn polish(fitter: &mut ConstantFitter, expr: &Expr, instance: &Instance) -> Expr {
    fitter.fit(expr, instance, Semantics::Ieee, LAST_STEPS).tree.to_owned()
}
