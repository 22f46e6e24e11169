//! The comparison of two reports of evaluations.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sr_eval::{MeanDifference, median, paired_bootstrap};

/// A report of an evaluation. Fields that a comparison does not need are ignored.
#[derive(Debug, Clone)]
pub struct Report {
    path: PathBuf,
    file: ReportFile,
}

#[derive(Debug, Clone, Deserialize)]
struct ReportFile {
    rows: Vec<Measured>,
    #[serde(default)]
    settings: Map<String, Value>,
}

/// Settings in which two reports may differ: those of methods, which are compared, and the seeds, which pair the
/// searches.
const OF_METHODS: [&str; 17] = [
    "methods",
    "checkpoints",
    "checkpoint",
    "seed",
    "seeds",
    "curve",
    "neural-prob",
    "neural-per",
    "neural-every",
    "temperature",
    "top-k",
    "top-p",
    "distinct",
    "max-child-size",
    "grammar",
    "rules",
    "condition",
];

/// One search, or one formula of `sr-evaluate direct`, which has a pick and neither seed nor cost.
#[derive(Debug, Clone, Deserialize)]
struct Measured {
    /// The quantity that all methods could spend equally, if the report has several such parts.
    budget: Option<String>,
    #[serde(alias = "pick")]
    method: String,
    problem: String,
    #[serde(default)]
    seed: u64,
    solved: bool,
    /// The error; `None` if the formula is invalid.
    mse_train: Option<f64>,
    size: f64,
    evaluations: Option<f64>,
    seconds: Option<f64>,
    #[serde(default)]
    well_formed: f64,
    fallback: Option<f64>,
}

/// The comparison of two methods over their common pairs of problem and seed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// The quantity that all methods could spend equally, if the reports have several such parts.
    pub budget: Option<String>,
    /// The method of A.
    pub method_a: String,
    /// The method of B.
    pub method_b: String,
    /// The number of pairs of problem and seed that both have.
    pub pairs: usize,
    /// Share of searches that solved their problem; [`Comparison::worse`] follows from its difference.
    pub solved: Means,
    /// Median error over the pairs.
    pub median_mse: Medians,
    /// Evaluations, if both reports have them.
    pub evaluations: Option<Means>,
    /// Seconds of one thread, if both reports have them.
    pub seconds: Option<Means>,
    /// Nodes of the formulas.
    pub size: Means,
    /// Shares of the learner's offspring that parsed; `None` without a learner.
    pub well_formed: Shares,
    /// Whether B solves significantly less: the interval of the difference lies below 0.
    pub worse: bool,
}

/// A quantity whose mean is compared.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Means {
    /// The mean of A.
    pub a: f64,
    /// The mean of B.
    pub b: f64,
    /// The mean of B minus that of A.
    pub difference: f64,
    /// Lower end of the difference's 95 % interval.
    pub lo: f64,
    /// Upper end of the interval.
    pub hi: f64,
}

/// An error whose median is compared.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Medians {
    /// The median of A; `None` if it is not a number.
    pub a: Option<f64>,
    /// The median of B; `None` if it is not a number.
    pub b: Option<f64>,
    /// Pairs whose error is lower in B.
    pub lower: usize,
    /// Pairs whose error is higher in B.
    pub higher: usize,
}

/// A share for each of the two methods.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Shares {
    /// The share of A.
    pub a: Option<f64>,
    /// The share of B.
    pub b: Option<f64>,
}

impl Comparison {
    /// Returns the names of the two methods, and the quantity that was equal for both.
    pub fn title(&self) -> String {
        let Comparison { budget, method_a, method_b, .. } = self;
        let method = if method_a == method_b { method_a.clone() } else { format!("{method_a} / {method_b}") };
        Part { budget: budget.as_deref(), method: &method }.to_string()
    }
}

impl Report {
    /// Reads a report.
    ///
    /// # Errors
    /// If it cannot be read, is no report or has no rows.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let reading = || format!("reading {}", path.display());
        let bytes = std::fs::read(path).with_context(reading)?;
        let file: ReportFile =
            serde_json::from_slice(&bytes).with_context(reading).context("expected a report of sr-evaluate")?;
        ensure!(!file.rows.is_empty(), "{} has no rows", path.display());
        Ok(Report { path: path.to_owned(), file })
    }

    /// Returns whether the report says which problems and settings it is of.
    pub fn tells_settings(&self) -> bool {
        !self.file.settings.is_empty()
    }
}

/// Describes the problems and settings in which two reports differ. Settings that only one report has, and those of
/// methods, which are compared, do not count.
pub fn differences(a: &Report, b: &Report) -> Vec<String> {
    let others = a.file.settings.iter().filter(|(name, _)| !OF_METHODS.contains(&name.as_str()));
    let both = others.filter_map(|(name, of_a)| Some((name, of_a, b.file.settings.get(name)?)));
    both.filter(|(_, of_a, of_b)| of_a != of_b).map(|(name, of_a, of_b)| format!("{name} {of_a} and {of_b}")).collect()
}

/// Compares two reports over the searches that both have: those of equal problem and seed.
///
/// - methods: the method of A and that of B; `None` for all methods that both have
/// - seed: the seed of the resampling that gives the intervals
///
/// # Errors
/// If a report lacks a method that is named, the reports share no method, or two methods share no pair.
pub fn compare(a: &Report, b: &Report, methods: Option<(&str, &str)>, seed: u64) -> anyhow::Result<Vec<Comparison>> {
    let (of_a, of_b) = (&a.file.rows, &b.file.rows);
    let (a, b) = (&*a.path, &*b.path);
    let (parts_a, parts_b) = (parts(of_a), parts(of_b));
    let common: Vec<(Part<'_>, Part<'_>)> = match methods {
        None => parts_a.iter().filter(|part| parts_b.contains(part)).map(|&part| (part, part)).collect(),
        Some((x, y)) => {
            for (name, parts, path) in [(x, &parts_a, a), (y, &parts_b, b)] {
                let is_there = parts.iter().any(|part| part.method == name);
                ensure!(is_there, "{} has no method {name}, only {}", path.display(), list(parts));
            }
            let of_x = parts_a.iter().filter(|part| part.method == x);
            let with_y = of_x.map(|&part| (part, Part { method: y, ..part }));
            with_y.filter(|(_, part)| parts_b.contains(part)).collect()
        }
    };
    if common.is_empty() {
        bail!(
            "no method is in both reports: {} has {}, {} has {}; --methods X,Y compares X of the first with Y of the second",
            a.display(),
            list(&parts_a),
            b.display(),
            list(&parts_b)
        );
    }
    let mut comparisons = Vec::new();
    for (x, y) in common {
        let (x_rows, y_rows) = (of_part(of_a, x, a)?, of_part(of_b, y, b)?);
        let pairs = pairs(&x_rows, &y_rows);
        ensure!(
            !pairs.is_empty(),
            "no common pairs: no problem and seed of {x} in {} is one of {y} in {}",
            a.display(),
            b.display()
        );
        tracing::info!(pairs = pairs.len(), of_a = x_rows.len(), of_b = y_rows.len(), "{x} and {y}");
        comparisons.push(over(x, y, &pairs, seed));
    }
    Ok(comparisons)
}

/// The rows of one method and, if there are several budgets, of one budget.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Part<'a> {
    budget: Option<&'a str>,
    method: &'a str,
}

impl fmt::Display for Part<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.budget {
            Some(budget) => write!(f, "{} at equal {budget}", self.method),
            None => write!(f, "{}", self.method),
        }
    }
}

impl Measured {
    fn part(&self) -> Part<'_> {
        Part { budget: self.budget.as_deref(), method: &self.method }
    }
}

/// Returns the parts in the order in which they first occur.
fn parts(rows: &[Measured]) -> Vec<Part<'_>> {
    let mut parts: Vec<Part<'_>> = Vec::new();
    for part in rows.iter().map(Measured::part) {
        if !parts.contains(&part) {
            parts.push(part);
        }
    }
    parts
}

fn list(parts: &[Part<'_>]) -> String {
    parts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn of_part<'a>(rows: &'a [Measured], part: Part<'_>, path: &Path) -> anyhow::Result<Vec<&'a Measured>> {
    let found: Vec<&Measured> = rows.iter().filter(|row| row.part() == part).collect();
    let mut once = HashSet::new();
    match found.iter().find(|row| !once.insert((&row.problem, row.seed))) {
        None => Ok(found),
        Some(row) => bail!("{} has {part} on {} with seed {} twice", path.display(), row.problem, row.seed),
    }
}

/// Returns the pairs of equal problem and seed, in the order of A.
fn pairs<'a>(a: &[&'a Measured], b: &[&'a Measured]) -> Vec<(&'a Measured, &'a Measured)> {
    let of_b: HashMap<_, _> = b.iter().map(|row| ((&row.problem, row.seed), *row)).collect();
    a.iter().filter_map(|row| Some((*row, *of_b.get(&(&row.problem, row.seed))?))).collect()
}

fn over(x: Part<'_>, y: Part<'_>, pairs: &[(&Measured, &Measured)], seed: u64) -> Comparison {
    let n = pairs.len() as f64;
    let means = |value: &dyn Fn(&Measured) -> Option<f64>| -> Option<Means> {
        let of_pair = |(a, b): &(&Measured, &Measured)| Some((value(a)?, value(b)?));
        let values: Vec<(f64, f64)> = pairs.iter().map(of_pair).collect::<Option<_>>()?;
        let differences: Vec<f64> = values.iter().map(|(a, b)| b - a).collect();
        let MeanDifference { mean, lo, hi } = paired_bootstrap(&differences, seed)?;
        let (a, b) = values.iter().fold((0.0, 0.0), |(a, b), value| (a + value.0, b + value.1));
        Some(Means { a: a / n, b: b / n, difference: mean, lo, hi })
    };
    let mse = |row: &Measured| row.mse_train.unwrap_or(f64::INFINITY);
    let count = |test: &dyn Fn(f64, f64) -> bool| pairs.iter().filter(|(a, b)| test(mse(a), mse(b))).count();
    let share = |rows: &mut dyn Iterator<Item = &Measured>| {
        let (mut written, mut all) = (0.0, 0.0);
        for row in rows {
            // Direct formulas say how many were well-formed, but not of how many.
            let replaced = row.fallback?;
            written += row.well_formed;
            all += row.well_formed + replaced;
        }
        (all > 0.0).then(|| written / all)
    };
    let solved = means(&|row| Some(f64::from(u8::from(row.solved)))).expect("there are pairs");
    Comparison {
        pairs: pairs.len(),
        worse: solved.hi < 0.0,
        solved,
        median_mse: Medians {
            a: median(pairs.iter().map(|(a, _)| mse(a))),
            b: median(pairs.iter().map(|(_, b)| mse(b))),
            lower: count(&|a, b| b < a),
            higher: count(&|a, b| b > a),
        },
        evaluations: means(&|row| row.evaluations),
        seconds: means(&|row| row.seconds),
        size: means(&|row| Some(row.size)).expect("there are pairs"),
        well_formed: Shares {
            a: share(&mut pairs.iter().map(|(a, _)| *a)),
            b: share(&mut pairs.iter().map(|(_, b)| *b)),
        },
        budget: x.budget.map(str::to_owned),
        method_a: x.method.to_owned(),
        method_b: y.method.to_owned(),
    }
}
