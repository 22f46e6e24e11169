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

mod choice;
mod epochs;
mod evolution;
mod front;
mod groups;
mod guess;
mod requirements;
mod rows;
mod snap;
mod state;
mod table;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};
use sr_engine::{ConstantFitter, Fit, Instance, LossChoice, Policy};
use sr_enumerate::{Data, Options, Stages};
use sr_expr::rules::Rules;
use sr_expr::{Expr, Node, Op, Semantics, Tree};
use sr_problems::Problem;
use strum::{EnumString, IntoStaticStr, VariantArray};

use crate::Monitor;
pub use choice::Reason;
pub use epochs::{EPOCH_SIZE, EpochRecorder};
use evolution::Islands;
use front::{Finished, Finishing, Front, Limit};
pub use groups::{GroupError, GroupFitted, GroupFormula, fit_groups, predict_groups};
pub use guess::parse_guess;
pub use requirements::{parse_complexity, parse_nesting, parse_units, units_of_header};
use rows::Rows;
pub use state::State;
use state::{ClosedForms, Saved};

/// Epochs of evolution after the first formula that is exact, in search of a shorter one.
const EPOCHS_AFTER_EXACT: u32 = 2;
/// Tables of so few rows have their formula soon, or never: what comes later has as many constants as there are rows.
const FEW_ROWS: usize = 12;
/// Epochs after which the formula of such a table counts as found.
const EPOCHS_TO_SETTLE: u32 = 8;
/// Formulas of so few nodes are not expected to have shorter ones.
const SHORT: usize = 5;
/// Steps of Levenberg and Marquardt for the formulas that are told.
const LAST_STEPS: u32 = 50;

/// Variables of tables of which no linear model is made: it takes the square of their number.
const MOST_LINEAR: usize = 200;

/// The products, variables · variables · rows, that a linear model may take; of larger tables a sample is fitted.
const MOST_LINEAR_WORK: usize = 200_000_000;

/// What a child of a policy counts as beside the fit of its constants, in node · rows: a learner writes about a thousand
/// of them a second, in which two cores compute twice as many million values.
const WORK_OF_A_CHILD: u64 = 2_000_000;

/// The most children that a policy is asked for at once.
const MOST_CHILDREN: usize = 5 * EPOCH_SIZE;

/// The share of a time limit that is kept to round constants in, and the most of it.
const FINISHING: f64 = 0.02;
const MOST_FINISHING: Duration = Duration::from_millis(500);

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
    /// The wall-clock time. An epoch that it cuts counts for nothing. Where it struck is in [`Fitted::course`].
    pub time_limit: Option<Duration>,
    /// Most epochs of evolution; `None` for no limit. 0 looks for closed forms alone.
    pub epochs: Option<u32>,
    /// The budget of the search for closed forms and small expressions in node · rows. It is at most half of `max_work`.
    pub algebra_work: u64,
    /// The budget of all in node · rows, exceeded by at most one epoch and by what it takes to finish the formulas: the
    /// same budget gives the same result on any machine. `None` for no limit.
    pub max_work: Option<u64>,
    /// The bytes that a fit may take beside copies of the table. They bound the small expressions that are kept, so
    /// results depend on them.
    pub memory: usize,
    /// Formulas to begin with, over x0, x1, …; their constants are fitted. See [`parse_guess`].
    pub guesses: Vec<Expr>,
    /// What errors cost: formulas are fitted, compared and chosen by it.
    pub loss: LossChoice,
    /// The rules that formulas keep; sizes are those of its complexity.
    pub rules: Rules,
    /// The parts that are left out, to see what each is worth.
    pub without: BTreeSet<Part>,
    /// The share of the work that the policy of [`Fitting::advance_with`] may take at most, the fits of its children
    /// excepted; 1 for no limit.
    pub policy_share: f64,
    /// The course of an earlier fit that this one repeats; the time limit then has no effect.
    pub replay: Option<Course>,
}

/// Where the clock, a budget or a stop ended a fit. With the same data and options, [`FitOptions::replay`] gives the same
/// formulas again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Course {
    /// The number of the question whether to stop at which the search for closed forms was stopped, and 0 if it was not
    /// begun. `None` if it ended by itself.
    pub closed_forms: Option<u64>,
    /// The work of the search for closed forms, in node · rows.
    pub closed_forms_work: u64,
    /// The whole epochs of evolution.
    pub epochs: u32,
    /// How far each formula of the front was finished, the smallest first: 0 as it was found, 1 with fitted constants, 2
    /// with round ones, and from 3 on the steps over all training rows.
    pub finished: Vec<u32>,
}

/// Why a fit ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Stop {
    /// A formula is exact on all rows.
    Exact,
    /// The time was over.
    Time,
    /// The epochs were done.
    Epochs,
    /// The budget of work was spent.
    Work,
    /// It was asked to stop.
    Interrupted,
    /// Nothing is left to look at, because evolution is left out.
    Exhausted,
    /// Of a table of 12 rows or fewer the same formula had the shortest description for eight epochs.
    Settled,
}

impl Stop {
    /// Returns the name that JSON uses.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Returns the reason in words.
    pub fn in_words(self) -> &'static str {
        match self {
            Stop::Exact => "a formula is exact",
            Stop::Time => "the time was over",
            Stop::Epochs => "the epochs were done",
            Stop::Work => "the budget of work was spent",
            Stop::Interrupted => "stopped",
            Stop::Exhausted => "nothing was left to look at",
            Stop::Settled => "more epochs changed nothing",
        }
    }
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
            algebra_work: 1_000_000_000,
            max_work: None,
            memory: Options::default().memory,
            guesses: Vec::new(),
            loss: LossChoice::Mse,
            rules: Rules::default(),
            without: BTreeSet::new(),
            policy_share: 0.03,
            replay: None,
        }
    }
}

/// Who found a formula.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumString, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Method {
    /// Who asked for the fit.
    Guess,
    /// The mean of y.
    Mean,
    /// Least squares on all variables.
    Linear,
    /// The search for closed forms and small expressions.
    Algebra,
    /// Evolution with fitted constants.
    Evolution,
    /// The policy of [`Fitting::advance_with`].
    Policy,
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
    /// whole unless there is a table of validation.
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
    /// Why the search ended; `None` if it has not.
    pub stop: Option<Stop>,
    /// What a repetition has to know.
    pub course: Course,
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
    let fitted = fitting.fitted_in_time(started);
    fitted.check_found(options)?;
    Ok(fitted)
}

/// The children that a policy has proposed to a fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Proposed {
    /// How often it was asked.
    pub calls: u64,
    /// How many children it was asked for.
    pub children: u64,
}

/// A fit under way, which goes on epoch by epoch.
#[derive(Debug)]
pub struct Fitting {
    options: FitOptions,
    rows: Rows,
    front: Front,
    mean: FrontFormula,
    linear: Option<FrontFormula>,
    islands: Islands,
    /// Whether closed forms were looked for.
    is_begun: bool,
    /// How the search for closed forms ended, if it was not stopped.
    closed_forms: Option<ClosedForms>,
    /// The question at which the search for closed forms was stopped.
    stopped_at: Option<u64>,
    closed_forms_work: u64,
    /// The number of epochs before the first formula that is exact.
    exact_since: Option<u32>,
    /// Of a table of few rows the structure of the formula with the shortest description, and since which epoch.
    settled: Option<(u64, u32)>,
    /// In node · rows, and the same before the last epoch.
    work: u64,
    work_before: u64,
    stop: Option<Stop>,
    /// What a policy has proposed, and how long that took.
    proposed: Proposed,
    proposing: Duration,
    /// What it takes to compute a value, one node in one row, and the longest time between the end of an epoch's
    /// evolution and its own.
    seconds_a_value: f64,
    longest_busy: Duration,
}

impl Fitting {
    /// Splits the rows, and fits the mean, a linear model and the guesses.
    ///
    /// # Errors
    /// If the options are out of range, or the data cannot be searched.
    pub fn new(problem: &Problem, options: &FitOptions) -> anyhow::Result<Self> {
        Fitting::with_validation(problem, None, options)
    }

    /// Does the same with the rows of another problem held out, of the same variables. All rows of the first are fitted.
    ///
    /// # Errors
    /// If the options are out of range, or the data cannot be searched.
    pub fn with_validation(
        problem: &Problem,
        validation: Option<&Problem>,
        options: &FitOptions,
    ) -> anyhow::Result<Self> {
        ensure!(options.max_size >= 1, "a formula has at least one node");
        ensure!(!options.operators.is_empty(), "there is no operator to make formulas of");
        let FitOptions { time_limit, epochs, max_work, replay, .. } = options;
        ensure!(
            time_limit.is_some() || epochs.is_some() || max_work.is_some() || replay.is_some(),
            "without a time limit there has to be one of epochs or of work"
        );
        let rows = requirements::rows(Rows::new(problem, validation, &options.operators)?, options)?;
        let mut front = Front::new(options.max_size, &options.rules, &rows);
        let (mean, error) = baseline(&Expr::constant(0.0), rows.whole(), &rows);
        front.add(mean.clone(), Method::Mean, error, rows.training());
        let n_variables = rows.n_variables();
        let linear = (n_variables < rows.training().y().len().min(MOST_LINEAR)).then(|| {
            let products = rows.whole().y().len() * (n_variables + 1) * (n_variables + 1);
            let fitted = if products <= MOST_LINEAR_WORK { rows.whole() } else { rows.training() };
            baseline(&linear_model(n_variables), fitted, &rows)
        });
        // It is told in any case, but is a formula only where its operators are allowed.
        let is_allowed = [Op::Add, Op::Mul].iter().all(|op| options.operators.contains(op));
        if let Some((expr, error)) = linear.as_ref().filter(|_| is_allowed) {
            front.add(expr.clone(), Method::Linear, *error, rows.training());
        }
        let mut islands = Islands::new(&rows, options);
        if !options.guesses.is_empty() {
            for guess in guess::fitted(&options.guesses, &rows, options)? {
                front.add_polished(guess.0, Method::Guess, guess.1);
            }
            islands.add_guesses(&options.guesses);
        }
        let started = Instant::now();
        let mean = rows.measured(mean, Method::Mean);
        let linear = linear.map(|(expr, _)| rows.measured(expr, Method::Linear));
        let n_values =
            [Some(&mean), linear.as_ref()].into_iter().flatten().map(|formula| formula.expr.size()).sum::<usize>()
                * (rows.all().y().len() + rows.held_out().map_or(0, |rows| rows.y().len()));
        let seconds_a_value = started.elapsed().as_secs_f64() / n_values as f64;
        let (work, _) = front.take_spent();
        Ok(Fitting {
            options: options.clone(),
            rows,
            front,
            mean,
            linear,
            islands,
            is_begun: false,
            closed_forms: None,
            stopped_at: None,
            closed_forms_work: 0,
            exact_since: None,
            settled: None,
            work,
            work_before: 0,
            stop: None,
            proposed: Proposed::default(),
            proposing: Duration::ZERO,
            seconds_a_value,
            longest_busy: Duration::ZERO,
        })
    }

    /// Goes on with the state of an earlier fit of the same data and options, budgets excepted. The result is that of one
    /// fit with the larger budget.
    ///
    /// A search for closed forms that was not done to its end is done anew.
    ///
    /// # Errors
    /// If the options are out of range, the data cannot be searched, the state is not one of such a fit, or the budget is
    /// less than what was spent.
    pub fn resume(
        problem: &Problem,
        validation: Option<&Problem>,
        options: &FitOptions,
        state: &State,
    ) -> anyhow::Result<Self> {
        let mut fitting = Fitting::with_validation(problem, validation, options)?;
        let Some(closed_forms) = state.closed_forms else { return Ok(fitting) };
        // What ended for want of work goes on otherwise with more of it.
        if closed_forms.is_spent && closed_forms.budget != fitting.closed_forms_budget() {
            return Ok(fitting);
        }
        let (n_variables, done) = (fitting.rows.n_variables(), state.epochs);
        if let Some(most) = options.epochs {
            ensure!(done <= most, "{done} epochs are done already, more than the {most} that are asked for");
        }
        if let Some(most) = options.max_work {
            ensure!(
                done == 0 || state.work_before < most,
                "work of {} is done already, more than the {most} that are asked for",
                state.work
            );
        }
        let found = state.front.iter().map(|saved| saved.read(n_variables)).collect::<anyhow::Result<Vec<_>>>()?;
        ensure!(!found.is_empty(), "the state has no formula");
        fitting.front.restore(found.into_iter());
        let (expected, islands) = (fitting.islands.populations().len(), state.populations.len());
        ensure!(islands == expected, "the state has {islands} islands, expected {expected}");
        let read = |population: &Vec<String>| population.iter().map(|text| state::read(text, n_variables)).collect();
        let populations = state.populations.iter().map(read).collect::<anyhow::Result<_>>()?;
        fitting.islands.restore(done, populations, state.has_improved);
        fitting.proposed = state.proposed;
        fitting.is_begun = true;
        fitting.closed_forms = Some(closed_forms);
        (fitting.work, fitting.work_before) = (state.work, state.work_before);
        (fitting.exact_since, fitting.settled) = (state.exact_since, state.settled);
        (fitting.closed_forms_work, fitting.stopped_at) = (state.closed_forms_work, closed_forms.stopped_at);
        fitting.front.take_spent();
        Ok(fitting)
    }

    /// Returns what [`resume`](Self::resume) needs to go on from here.
    pub fn state(&self) -> State {
        let saved = |found: &front::Found| Saved {
            formula: state::write(&found.expr),
            method: found.method.name().to_owned(),
            error: found.error,
            polished: found.is_polished,
        };
        let populations = self.islands.populations().iter();
        State {
            epochs: self.epochs(),
            work: self.work,
            work_before: self.work_before,
            closed_forms: self.closed_forms,
            closed_forms_work: self.closed_forms_work,
            exact_since: self.exact_since,
            settled: self.settled,
            proposed: self.proposed,
            has_improved: self.islands.has_improved(),
            front: self.front.iter().map(saved).collect(),
            populations: populations.map(|exprs| exprs.iter().map(|expr| state::write(expr)).collect()).collect(),
        }
    }

    /// Returns the number of whole epochs of evolution.
    pub fn epochs(&self) -> u32 {
        self.islands.epoch()
    }

    /// Returns the work done, in node · rows.
    pub fn work(&self) -> u64 {
        self.work
    }

    /// Returns the largest formula of the front and its error on training rows, relative to the variance of y.
    pub fn best(&self) -> Option<(&Expr, f64)> {
        self.front.iter().next_back().map(|found| (&found.expr, found.error))
    }

    /// Goes on: first looks for closed forms, then evolves for an epoch at each call. Returns false if there is nothing
    /// more to be done: a formula is exact, or the time since `started`, the epochs or the work are over, or `stop` is
    /// true. The time that it takes to finish the formulas counts as part of the time.
    ///
    /// # Errors
    /// If the threads cannot be started.
    pub fn advance(&mut self, started: Instant, stop: &AtomicBool) -> anyhow::Result<bool> {
        self.advance_by(started, stop, None)
    }

    /// Does the same with a policy, such as a learner, that proposes children at the beginning of an epoch: where a
    /// population begins, or the last epoch has improved nothing. It is asked for [`EPOCH_SIZE`] to five times as many,
    /// as its share of the work allows ([`FitOptions::policy_share`]), and not while that allows fewer. Its state is a population of
    /// up to [`EPOCH_SIZE`] formulas of the front, on the rows that evolution works on. The children's constants are fitted,
    /// and at the end of a whole epoch they enter the front; the best also begin the epoch in the populations that formulas
    /// of the front go to.
    ///
    /// Results are the same for any number of threads and for a repetition if the policy's are.
    ///
    /// # Errors
    /// If the threads cannot be started or the policy fails.
    pub fn advance_with(
        &mut self,
        started: Instant,
        stop: &AtomicBool,
        policy: &mut dyn Policy,
    ) -> anyhow::Result<bool> {
        self.advance_by(started, stop, Some(policy))
    }

    fn advance_by(
        &mut self,
        started: Instant,
        stop: &AtomicBool,
        policy: Option<&mut dyn Policy>,
    ) -> anyhow::Result<bool> {
        self.stop = self.reason_to_stop(started, stop);
        if self.stop.is_some() {
            return Ok(false);
        }
        if !std::mem::replace(&mut self.is_begun, true) {
            self.look_for_closed_forms(started, stop)?;
            return Ok(true);
        }
        let proposed = self.proposed;
        let asked = match policy {
            Some(policy) => self.ask(policy)?,
            None => 0,
        };
        let left = self.deadline(started).map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let work = self.islands.advance(&self.rows, &mut self.front, left, stop);
        let (more, busy) = self.front.take_spent();
        let Some(work) = work else {
            self.proposed = proposed;
            self.stop = self.reason_to_stop(started, stop).or(Some(Stop::Time));
            return Ok(false);
        };
        self.work_before = self.work;
        self.work += asked + work + more;
        self.longest_busy = self.longest_busy.max(busy);
        let n_rows = self.rows.whole().y().len();
        if n_rows <= FEW_ROWS {
            let shortest = self.front.shortest_description(&self.rows);
            if self.settled.is_none_or(|(structure, _)| structure != shortest) {
                self.settled = Some((shortest, self.islands.epoch()));
            }
        }
        Ok(true)
    }

    /// Asks a policy for children if it is time to. Returns the work of fitting them.
    fn ask(&mut self, policy: &mut dyn Policy) -> anyhow::Result<u64> {
        let share = self.options.policy_share;
        // So much of all, with what was proposed.
        let allowed = if share >= 1.0 { u64::MAX } else { (self.work as f64 * share / (1.0 - share)) as u64 };
        let children = (allowed / WORK_OF_A_CHILD).saturating_sub(self.proposed.children);
        let wanted = usize::try_from(children).unwrap_or(usize::MAX).min(MOST_CHILDREN);
        // Rules may have left no formula yet to ask about.
        let has_none = self.front.iter().next().is_none();
        if has_none || wanted < EPOCH_SIZE || !self.islands.stagnates() {
            return Ok(0);
        }
        let begun = Instant::now();
        let work = self.islands.ask(&self.front, policy, wanted)?;
        self.proposed.calls += 1;
        self.proposed.children += wanted as u64;
        self.proposing += begun.elapsed();
        Ok(work)
    }

    /// Returns what the policy of [`advance_with`](Self::advance_with) has proposed, and the time that this took in this
    /// process, with the fits of the children.
    pub fn proposed(&self) -> (Proposed, Duration) {
        (self.proposed, self.proposing)
    }

    fn reason_to_stop(&mut self, started: Instant, stop: &AtomicBool) -> Option<Stop> {
        let options = &self.options;
        let epochs = options.replay.as_ref().map(|course| course.epochs).or(options.epochs);
        let is_in_evolution = self.is_begun;
        let exact_size = self.front.exact_size(&self.rows);
        if exact_size.is_some() {
            self.exact_since.get_or_insert(self.islands.epoch());
        }
        let has_had_more = self.exact_since.is_some_and(|since| self.islands.epoch() >= since + EPOCHS_AFTER_EXACT);
        let other = if options.max_work.is_some_and(|most| self.work >= most) {
            Some(Stop::Work)
        } else if is_in_evolution && epochs.is_some_and(|most| self.islands.epoch() >= most) {
            Some(Stop::Epochs)
        } else if is_in_evolution && options.without.contains(&Part::Evolution) {
            Some(Stop::Exhausted)
        } else if self.settled.is_some_and(|(_, since)| self.islands.epoch() >= since + EPOCHS_TO_SETTLE) {
            Some(Stop::Settled)
        } else if self.deadline(started).is_some_and(|deadline| Instant::now() >= deadline) {
            Some(Stop::Time)
        } else {
            None
        };
        match exact_size {
            _ if stop.load(Ordering::Relaxed) => Some(Stop::Interrupted),
            // What is found first may be longer than the law, so that a few epochs more look for a shorter one.
            Some(size) if size <= SHORT || has_had_more || other.is_some() => Some(Stop::Exact),
            _ => other,
        }
    }

    /// When the search has to end so that the formulas can be finished within the time limit.
    fn deadline(&self, started: Instant) -> Option<Instant> {
        let limit = self.options.time_limit.filter(|_| self.options.replay.is_none())?;
        let FitOptions { threads, .. } = self.options;
        let finishing = self.front.time_to_finish(&self.rows, threads, self.seconds_a_value);
        let least = limit.mul_f64(FINISHING).min(MOST_FINISHING);
        let kept = least + finishing.mul_f64(1.5) + self.longest_busy.mul_f64(1.2);
        Some(started + limit - kept.min(limit / 2))
    }

    /// Whether the fit is over before evolution begins.
    fn stop_comes_first(&self, started: Instant, stop: &AtomicBool) -> bool {
        let is_late = self.deadline(started).is_some_and(|deadline| Instant::now() >= deadline);
        stop.load(Ordering::Relaxed) || is_late
    }

    fn closed_forms_budget(&self) -> u64 {
        // Evolution gets its share of a small budget.
        let half = self.options.max_work.map_or(u64::MAX, |most| most.saturating_sub(self.work) / 2);
        self.options.algebra_work.min(half)
    }

    fn look_for_closed_forms(&mut self, started: Instant, stop: &AtomicBool) -> anyhow::Result<()> {
        let options = &self.options;
        let is_without = |part| options.without.contains(&part);
        let stages = Stages {
            monomials: !is_without(Part::ClosedForms),
            polynomials: !is_without(Part::ClosedForms),
            ..if is_without(Part::Enumeration) { Stages::NONE } else { Stages::ALL }
        };
        let budget = self.closed_forms_budget();
        self.closed_forms = Some(ClosedForms { budget, is_spent: false, stopped_at: None });
        if stages == Stages::NONE {
            return Ok(());
        }
        let settings = Options {
            operators: options.operators.clone(),
            max_work: budget,
            memory: options.memory,
            threads: options.threads,
            stages,
            rules: options.rules.clone(),
            ..Options::default()
        };
        // A repetition is stopped at the same question as the fit that it repeats.
        let (replay, deadline) = (options.replay.as_ref(), self.deadline(started));
        // The other half of the time is left to evolution.
        let half = |deadline: Instant| started + deadline.saturating_duration_since(started) / 2;
        let deadline =
            if is_without(Part::Evolution) || options.epochs == Some(0) { deadline } else { deadline.map(half) };
        let (questions, stopped_at) = (Cell::new(0), Cell::new(None));
        let is_over = || {
            questions.set(questions.get() + 1);
            let is_over = match replay.map(|course| course.closed_forms) {
                Some(at) => at.is_some_and(|at| questions.get() >= at),
                None => deadline.is_some_and(|deadline| Instant::now() >= deadline),
            };
            let is_over = is_over || stop.load(Ordering::Relaxed);
            if is_over && stopped_at.get().is_none() {
                stopped_at.set(Some(questions.get()));
            }
            is_over
        };
        let training = self.rows.training();
        let part = self.rows.algebra(options.memory)?;
        let data = match &part {
            Some(part) => Data { x: &part.x, y: &part.y, weights: part.weights.as_deref() },
            None => {
                let whole = self.rows.whole();
                Data { x: whole.x(), y: whole.y(), weights: whole.weights() }
            }
        };
        let found = sr_enumerate::search(data, &settings, &is_over).context("looking for closed forms")?;
        for candidate in found.candidates {
            let (is_exact, simplifies) = (candidate.is_exact, !is_without(Part::Simplification));
            let (expr, error) = match simplifies {
                true => front::shortest(requirements::refitted(candidate.expr, training), training),
                false => {
                    let expr = requirements::refitted(candidate.expr, training);
                    let error = training.fit(&expr, Semantics::Ieee).relative;
                    (expr, error)
                }
            };
            // A law may be longer than what evolution looks at; an approximation has to be worth its length.
            match is_exact {
                true => self.front.add_any_size(expr, Method::Algebra, error, training),
                false => self.front.add(expr, Method::Algebra, error, training),
            }
        }
        self.front.polish(&mut ConstantFitter::new(), training);
        self.closed_forms_work = found.work;
        self.work += found.work + self.front.take_spent().0;
        self.stopped_at = stopped_at.get().filter(|_| found.reason == sr_enumerate::StopReason::Stopped);
        let is_spent = found.reason == sr_enumerate::StopReason::Work;
        let is_interrupted = self.stopped_at.is_some() && self.stop_comes_first(started, stop);
        self.closed_forms = (!is_interrupted).then_some(ClosedForms { budget, is_spent, stopped_at: self.stopped_at });
        Ok(())
    }

    /// Returns what was found so far, with constants fitted to all training rows, and round ones where these are as good.
    pub fn fitted(&self) -> Fitted {
        match &self.options.replay {
            Some(course) if self.stop.is_some() => self.finished(Limit::Steps(&course.finished)),
            _ => self.finished(Limit::None),
        }
    }

    /// Returns the same, with constants as good as they become within the time limit since `started`. The formulas are
    /// measured in any case.
    pub fn fitted_in_time(&self, started: Instant) -> Fitted {
        match self.options.time_limit.filter(|_| self.options.replay.is_none()) {
            Some(limit) => {
                let measuring = self.front.time_to_measure(&self.rows, self.options.threads, self.seconds_a_value);
                let deadline = started + limit.saturating_sub(measuring);
                self.finished(Limit::Until { deadline, seconds_a_value: self.seconds_a_value })
            }
            None => self.fitted(),
        }
    }

    fn finished(&self, limit: Limit<'_>) -> Fitted {
        let snaps = !self.options.without.contains(&Part::Snapping);
        let simplifies = !self.options.without.contains(&Part::Simplification);
        let how = Finishing { snaps, simplifies, threads: self.options.threads, limit };
        let Finished { formulas, steps, work } = self.front.finish(&self.rows, how);
        let (choice, reason) = choice::choose(&formulas, &self.rows);
        Fitted {
            mean: self.mean.clone(),
            linear: self.linear.clone(),
            front: formulas,
            choice,
            reason,
            loss: self.rows.all().loss().map(sr_engine::Loss::name),
            semantics: Semantics::Ieee,
            epochs: self.epochs(),
            n_held_out: self.rows.held_out().map_or(0, |rows| rows.y().len()),
            work: self.work + work,
            stop: self.stop,
            course: Course {
                closed_forms: if self.is_begun { self.stopped_at } else { Some(0) },
                closed_forms_work: self.closed_forms_work,
                epochs: self.epochs(),
                finished: steps,
            },
            is_stopped: self.stop == Some(Stop::Interrupted),
        }
    }

    /// Returns a number that changes whenever the front does.
    pub fn revision(&self) -> u64 {
        self.front.revision()
    }
}

/// Fits the constants of a tree to some rows, and returns it with its error on the training rows.
fn baseline(tree: &Tree, fitted: &Instance, rows: &Rows) -> (Expr, f64) {
    // Least squares take one step, other losses some.
    let steps = if fitted.loss().is_some() { LAST_STEPS } else { 1 };
    let fitted = sr_engine::fit_constants(tree, fitted, Semantics::Ieee, steps);
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
