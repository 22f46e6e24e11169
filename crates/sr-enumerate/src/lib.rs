//! Exact laws by linear algebra and enumeration: finds closed forms and small expressions without evolution.
//!
//! [`search`] gets columns and returns [`Candidate`]s: a Pareto front of size against error, and at most a few that
//! [`Candidate::is_exact`] says are the law behind noise-free data. Its stages, in order, each with a switch in [`Stages`]:
//!
//! 1. *monomials*: y = m · g⁻¹(c · Π xᵖ), by least squares of logarithms;
//! 2. *polynomials*: g(y / m) = Σ c · Π xᵉ, by QR;
//! 3. over a bank of enumerated columns f, in rounds of growing banks:
//!    *affine* g(y / m) = p(x) + b·f, *pairs* g(y / m) = p(x) + b·f₁ + c·f₂, *products* y = c · Π xᵖ · f₁^q · f₂^r;
//! 4. *enumeration*: all columns of higher costs, computed on the fly, as in *affine*.
//!
//! Here m is a monomial, p a small polynomial, and g a chain of inverse operators. Pairs of N columns are found in
//! O(N log N): see `pairs.rs`.
//!
//! ```
//! use sr_enumerate::{Data, Options, search};
//! use sr_expr::Columns;
//!
//! // The relativistic mass m / √(1 − v²/c²).
//! let x = Columns::from_fn(100, 3, |row, column| match column {
//!     0 => 1.0 + (row * 37 % 100) as f64 / 25.0,
//!     1 => 1.0 + (row * 61 % 100) as f64 / 100.0,
//!     _ => 3.0 + (row * 83 % 100) as f64 / 14.0,
//! });
//! let law = |row: usize| {
//!     let [m, v, c] = [0, 1, 2].map(|column| x.column(column)[row]);
//!     m / (1.0 - v * v / (c * c)).sqrt()
//! };
//! let y: Vec<f64> = (0..100).map(law).collect();
//! let outcome = search(Data { x: &x, y: &y, weights: None }, &Options::default(), &|| false)?;
//! assert!(outcome.exact().is_some());
//! # Ok::<(), sr_enumerate::Error>(())
//! ```
//!
//! Results depend on data and options alone, not on the number of threads or the time.
//! This crate does no evolution, fits no constants inside of functions, and does no I/O.

mod affine;
mod bank;
mod build;
mod eliminate;
mod front;
mod hashes;
mod kernel;
mod law;
mod linear;
mod monomial;
mod outer;
mod pairs;
mod polynomial;
mod prepare;
mod products;
mod rounds;
mod search;
mod snap;
#[cfg(target_arch = "x86_64")]
mod wide;

pub use snap::snapped;
use sr_expr::rules::Rules;
use sr_expr::{Columns, Expr, Op};

use crate::build::Builder;
use crate::prepare::Prepared;
use crate::search::Search;

/// Errors of a candidate on every row are below this where it is called exact, relative to |y| (see
/// [`Candidate::max_error`]). At 1e-6 a good part of what is found would be approximations.
pub const EXACT: f64 = 1e-11;

/// The data of a search.
#[derive(Debug, Clone, Copy)]
pub struct Data<'a> {
    /// The variables, `[rows, variables]`. Rows that are not finite everywhere are left out.
    pub x: &'a Columns,
    /// The target, `[rows]`. Rows where it is not finite are left out.
    pub y: &'a [f64],
    /// The weights, `[rows]`, finite and not negative; rows of weight 0 are left out. `None` counts all rows the same.
    /// They count in [`Candidate::relative_mse`] only.
    pub weights: Option<&'a [f64]>,
}

/// What a search may use and how long it may take.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// The operators of formulas. What they cannot express, a search does not find.
    pub operators: Vec<Op>,
    /// The numbers that enumerated expressions are made of, beside the variables. Constants in linear places, exponents
    /// and coefficients, are fitted and need none.
    pub constants: Vec<f64>,
    /// The budget in node · rows; 1e9 are about one second of one core.
    pub max_work: u64,
    /// The bytes that the bank of enumerated columns may take.
    pub memory: usize,
    /// The number of threads; results do not depend on it.
    pub threads: usize,
    /// The stages to run.
    pub stages: Stages,
    /// The largest cost of enumerated expressions, without what is fitted around them: their number of nodes, where
    /// `neg pow3 exp log sin cos` count for two and `tan tanh asin acos atan` for three.
    pub max_cost: usize,
    /// The rules that formulas keep: no other is returned, or ends the search as exact. Parts of formulas that break them
    /// are not built.
    pub rules: Rules,
}

impl Default for Options {
    fn default() -> Self {
        use Op::*;
        Options {
            operators: vec![Add, Sub, Mul, Div, Neg, Exp, Log, Sqrt, Sin, Cos, Inv, Pow2, Pow3],
            constants: vec![1.0],
            max_work: 4_000_000_000,
            memory: 512 << 20,
            threads: 1,
            stages: Stages::ALL,
            max_cost: 13,
            rules: Rules::default(),
        }
    }
}

/// The stages of a search, one switch each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stages {
    /// Looks for products of powers of variables.
    pub monomials: bool,
    /// Looks for polynomials.
    pub polynomials: bool,
    /// Looks for one enumerated column and constants.
    pub affine: bool,
    /// Looks for two or three enumerated columns and constants.
    pub pairs: bool,
    /// Looks for products of powers of two enumerated columns and of variables.
    pub products: bool,
    /// Looks at columns that are computed on the fly, beyond the bank.
    pub enumeration: bool,
}

impl Stages {
    /// All stages.
    pub const ALL: Stages =
        Stages { monomials: true, polynomials: true, affine: true, pairs: true, products: true, enumeration: true };
    /// No stage.
    pub const NONE: Stages = Stages {
        monomials: false,
        polynomials: false,
        affine: false,
        pairs: false,
        products: false,
        enumeration: false,
    };
}

/// The stage that found a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// The target is the same for all rows.
    Constant,
    /// The law is a product of powers.
    Monomial,
    /// The law is a polynomial.
    Polynomial,
    /// The law is one enumerated column and constants.
    Affine,
    /// The law is a sum over enumerated columns.
    Pairs,
    /// The law is a product over enumerated columns.
    Products,
    /// The law is one column that was computed on the fly and constants.
    Enumeration,
}

impl Stage {
    /// Returns the name that tables use.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Constant => "constant",
            Stage::Monomial => "monomial",
            Stage::Polynomial => "polynomial",
            Stage::Affine => "affine",
            Stage::Pairs => "pairs",
            Stage::Products => "products",
            Stage::Enumeration => "enumeration",
        }
    }
}

/// A formula with its errors, all of them those of the printed text, read back and computed in f64 with plain operators.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// The formula over the columns of [`Data::x`], in their units.
    pub expr: Expr,
    /// The stage that found it.
    pub stage: Stage,
    /// Σ w (p − y)² / Σ w (y − mean)² over all usable rows; Σ w (p − y)² if y is constant.
    pub relative_mse: f64,
    /// The largest |p − y| over all usable rows, relative to |y|; or to 1e-3 of the median of |y| where |y| is smaller than
    /// that, and to y's deviation where |y| is larger than that. A few roundings of y, or of the median, count as 0.
    pub max_error: f64,
    /// The largest such error over the rows that nothing was fitted to; infinity if there are none (fewer than 5 rows).
    pub held_out: f64,
    /// Whether it is taken to be the law itself: all errors are below [`EXACT`], some rows were held out, and every
    /// fitted term explains a visible part of the target.
    pub is_exact: bool,
}

/// A column that no formula uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unused {
    /// All its values are equal.
    Constant {
        /// The column.
        column: usize,
    },
    /// Its values are those of an earlier column.
    Duplicate {
        /// The column.
        column: usize,
        /// The earlier one.
        of: usize,
    },
}

/// Why a search ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StopReason {
    /// It found an exact law.
    Exact,
    /// It was asked to stop.
    Stopped,
    /// It spent its budget.
    Work,
    /// All its stages came to their end.
    Exhausted,
}

/// How many expressions [`count_distinct`] met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Distinct {
    /// The number of expressions that were computed, hashed and scored.
    pub computed: u64,
    /// The number of those that are equal to none before them: their recipes and scores are kept.
    pub distinct: usize,
    /// The largest cost of which all distinct expressions are among them.
    pub complete_cost: usize,
}

/// What a search found.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The Pareto front of size against error, smallest first.
    pub candidates: Vec<Candidate>,
    /// The work done, in node · rows, exceeding [`Options::max_work`] by one block at most.
    pub work: u64,
    /// Why it ended.
    pub reason: StopReason,
    /// The columns that were not used.
    pub unused: Vec<Unused>,
    /// The number of rows that were left out.
    pub dropped_rows: usize,
    /// The number of columns in the bank.
    pub columns: usize,
    /// The largest cost of which all distinct expressions are in the bank.
    pub complete_cost: usize,
    /// The number of expressions that were enumerated.
    pub enumerated: u64,
}

impl Outcome {
    /// Returns the smallest exact law.
    pub fn exact(&self) -> Option<&Candidate> {
        self.candidates.iter().find(|candidate| candidate.is_exact)
    }
}

/// The reason why data cannot be searched.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There are more or fewer targets than rows.
    #[error("x has {rows} rows, y has {found}")]
    Targets {
        /// The rows of x.
        rows: usize,
        /// The length of y.
        found: usize,
    },
    /// There are more or fewer weights than rows.
    #[error("x has {rows} rows, there are {found} weights")]
    Weights {
        /// The rows of x.
        rows: usize,
        /// The number of weights.
        found: usize,
    },
    /// A weight is negative or not finite.
    #[error("row {row}: the weight is {weight}, expected finite numbers that are not negative")]
    Weight {
        /// The row, from 0.
        row: usize,
        /// The weight.
        weight: f64,
    },
    /// No row is finite in x and y and has a weight.
    #[error("none of {rows} rows has finite numbers everywhere and a weight above 0")]
    NoRows {
        /// The rows of x.
        rows: usize,
    },
    /// There are more columns than variables can be numbered.
    #[error("{columns} columns, at most 65535 can be searched")]
    TooManyColumns {
        /// The columns of x.
        columns: usize,
    },
    /// The threads could not be started.
    #[error("cannot start {threads} threads: {message}")]
    Threads {
        /// The number of threads.
        threads: usize,
        /// The reason.
        message: String,
    },
}

/// Searches for the law behind data, and asks `stop` after every block of work, some milliseconds, whether to end.
///
/// It ends as soon as a stage has found an exact law. Data of any size are searched on at most 320 rows; candidates are
/// measured on all rows.
///
/// # Errors
/// Returns an error if lengths do not fit, a weight is invalid, or no row is usable.
pub fn search(data: Data<'_>, options: &Options, stop: &dyn Fn() -> bool) -> Result<Outcome, Error> {
    let data = Prepared::new(data)?;
    let pool = pool(options)?;
    let builder = Builder::new(&options.operators);
    let mut search = Search::new(&data, &builder, options, &pool, stop);
    let mean = data.y.iter().zip(&data.weights).map(|(y, w)| y * w).sum::<f64>() / data.weights.iter().sum::<f64>();
    let is_constant = data.y.iter().all(|y| *y == data.y[0]);
    let constant = Expr::constant(if is_constant { data.y[0] } else { mean });
    if let Some(candidate) = search.finisher().check(&constant, Stage::Constant, is_constant) {
        search.add(candidate);
    }
    let has_variables = data.n_used() > 0 && !is_constant;
    let Stages { monomials, polynomials, .. } = options.stages;
    if monomials && has_variables && !search.is_done() {
        monomial::search(&mut search);
    }
    // A monomial inside of other functions may be a polynomial that is shorter, so both are looked for.
    if has_variables && !search.is_done() {
        if monomials {
            monomial::search_inside(&mut search);
        }
        if polynomials && !search.is_spent() {
            polynomial::search(&mut search);
        }
    }
    let Stages { affine, pairs, products, enumeration, .. } = options.stages;
    let mut report = rounds::Report::default();
    if (affine || pairs || products || enumeration) && has_variables && !search.is_done() {
        report = rounds::run(&mut search);
    }
    let reason = search.reason().unwrap_or(StopReason::Exhausted);
    Ok(Outcome {
        work: search.work,
        candidates: search.front.into_candidates(),
        reason,
        unused: data.unused.clone(),
        dropped_rows: data.dropped_rows,
        columns: report.columns,
        complete_cost: report.complete_cost,
        enumerated: report.enumerated,
    })
}

/// Enumerates at least `at_least` distinct expressions, or those up to [`Options::max_cost`], and looks for no law among
/// them: this is what benches measure. Each is hashed and scored by its correlation with the target, on 64 rows; columns
/// are stored of those that others are made of, unless `stored` asks for all.
///
/// # Errors
/// Returns an error as [`search`] does.
pub fn count_distinct(data: Data<'_>, options: &Options, at_least: usize, stored: bool) -> Result<Distinct, Error> {
    let data = Prepared::new(data)?;
    let pool = pool(options)?;
    let mut distinct = Distinct { computed: 0, distinct: 0, complete_cost: 0 };
    if let Some(probes) = rounds::probes(&data) {
        let mut bank = bank::Bank::new(&data, &options.operators, &options.constants, probes, &options.rules);
        bank.enumerate(&pool, at_least, options.max_cost, |_| true);
        if stored {
            bank.fill(&pool);
        }
        distinct = Distinct { computed: bank.enumerated, distinct: bank.len(), complete_cost: bank.complete_cost() };
    }
    Ok(distinct)
}

fn pool(options: &Options) -> Result<rayon::ThreadPool, Error> {
    let threads = options.threads.max(1);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    pool.map_err(|error| Error::Threads { threads, message: error.to_string() })
}
