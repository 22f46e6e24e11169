//! Two reports of evaluations.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use comfy_table::{CellAlignment, Table, presets};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sr_cli::Exit;
use sr_eval::{MeanDifference, paired};

use crate::Args;

/// What of a report is compared. Other fields may come and go.
#[derive(Deserialize)]
struct Report {
    rows: Vec<Measured>,
    #[serde(default)]
    settings: Map<String, Value>,
}

/// Settings in which two reports may differ: those of methods, which are what is compared, and the seeds, which pair the
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
    /// What methods had in equal measure, if the report has several such parts.
    budget: Option<String>,
    #[serde(alias = "pick")]
    method: String,
    problem: String,
    #[serde(default)]
    seed: u64,
    solved: bool,
    /// None if the formula is invalid.
    mse_train: Option<f64>,
    size: f64,
    evaluations: Option<f64>,
    seconds: Option<f64>,
    #[serde(default)]
    well_formed: f64,
    fallback: Option<f64>,
}

/// Two methods over their common pairs.
#[derive(Debug, Serialize)]
struct Comparison {
    budget: Option<String>,
    method_a: String,
    method_b: String,
    pairs: usize,
    /// Share solved; the difference says which is worse.
    solved: Means,
    /// Median over the pairs; `null` if the median is invalid.
    median_mse: Medians,
    evaluations: Option<Means>,
    seconds: Option<Means>,
    size: Means,
    /// Shares of learner children that parsed; `null` without a learner.
    well_formed: Shares,
    /// Whether B solves significantly less.
    worse: bool,
}

/// A quantity whose mean is compared.
#[derive(Debug, Serialize)]
struct Means {
    a: f64,
    b: f64,
    /// B less A.
    difference: f64,
    /// Its 95 % interval.
    lo: f64,
    hi: f64,
}

#[derive(Debug, Serialize)]
struct Medians {
    a: Option<f64>,
    b: Option<f64>,
    /// Pairs whose error is lower in B.
    lower: usize,
    /// Pairs whose error is higher in B.
    higher: usize,
}

#[derive(Debug, Serialize)]
struct Shares {
    a: Option<f64>,
    b: Option<f64>,
}

/// Compares two reports.
pub(crate) fn run(a: &Path, b: &Path, args: &Args) -> anyhow::Result<Exit> {
    let started = Instant::now();
    args.common.init()?;
    let (report_a, report_b) = (read(a)?, read(b)?);
    let differing = differences(&report_a.settings, &report_b.settings);
    if !differing.is_empty() {
        let (a, b, text) = (a.display(), b.display(), differing.join(", "));
        ensure!(
            args.allow_other_settings,
            "{a} and {b} are of other settings: {text}; --allow-other-settings compares them all the same"
        );
        tracing::warn!("{a} and {b} are of other settings: {text}");
    }
    let silent = [(&report_a, a), (&report_b, b)].into_iter().filter(|(report, _)| report.settings.is_empty());
    let silent: Vec<&Path> = silent.map(|(_, path)| path).collect();
    let (of_a, of_b) = (report_a.rows, report_b.rows);
    let (parts_a, parts_b) = (parts(&of_a), parts(&of_b));
    let common: Vec<(Part<'_>, Part<'_>)> = match &args.methods {
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
        let (x_rows, y_rows) = (of_part(&of_a, x, a)?, of_part(&of_b, y, b)?);
        let pairs = pairs(&x_rows, &y_rows);
        ensure!(
            !pairs.is_empty(),
            "no common pairs: no problem and seed of {x} in {} is one of {y} in {}",
            a.display(),
            b.display()
        );
        tracing::info!(pairs = pairs.len(), of_a = x_rows.len(), of_b = y_rows.len(), "{x} and {y}");
        comparisons.push(compare(x, y, &pairs, args.common.seed));
    }
    for path in silent {
        tracing::warn!("{} says nothing of its problems and settings, so they are not compared", path.display());
    }
    let worse = comparisons.iter().any(|comparison| comparison.worse);
    let result = json!({ "comparisons": comparisons, "worse": worse });
    args.common.report("sr-compare", started, result, &text(&comparisons))?;
    Ok(if worse { Exit::Negative } else { Exit::Ok })
}

/// The settings in which two reports differ that both tell of, with what they are.
fn differences(a: &Map<String, Value>, b: &Map<String, Value>) -> Vec<String> {
    let others = a.iter().filter(|(name, _)| !OF_METHODS.contains(&name.as_str()));
    let both = others.filter_map(|(name, of_a)| Some((name, of_a, b.get(name)?)));
    both.filter(|(_, of_a, of_b)| of_a != of_b).map(|(name, of_a, of_b)| format!("{name} {of_a} and {of_b}")).collect()
}

fn read(path: &Path) -> anyhow::Result<Report> {
    let reading = || format!("reading {}", path.display());
    let bytes = std::fs::read(path).with_context(reading)?;
    let report: Report =
        serde_json::from_slice(&bytes).with_context(reading).context("expected a report of sr-evaluate")?;
    ensure!(!report.rows.is_empty(), "{} has no rows", path.display());
    Ok(report)
}

/// Rows that belong together: a method, and with several budgets one of them.
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

/// The parts in the order in which they first occur.
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

/// The measurements of equal problem and seed, in the order of A.
fn pairs<'a>(a: &[&'a Measured], b: &[&'a Measured]) -> Vec<(&'a Measured, &'a Measured)> {
    let of_b: HashMap<_, _> = b.iter().map(|row| ((&row.problem, row.seed), *row)).collect();
    a.iter().filter_map(|row| Some((*row, *of_b.get(&(&row.problem, row.seed))?))).collect()
}

fn compare(x: Part<'_>, y: Part<'_>, pairs: &[(&Measured, &Measured)], seed: u64) -> Comparison {
    let n = pairs.len() as f64;
    let means = |value: &dyn Fn(&Measured) -> Option<f64>| -> Option<Means> {
        let of_pair = |(a, b): &(&Measured, &Measured)| Some((value(a)?, value(b)?));
        let values: Vec<(f64, f64)> = pairs.iter().map(of_pair).collect::<Option<_>>()?;
        let differences: Vec<f64> = values.iter().map(|(a, b)| b - a).collect();
        let MeanDifference { mean, lo, hi } = paired(&differences, seed)?;
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

/// The middle one, or the mean of the two in the middle; `None` if that is not finite. What is no number counts as infinite.
fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.map(|value| if value.is_nan() { f64::INFINITY } else { value }).collect();
    values.sort_by(f64::total_cmp);
    let n = values.len();
    Some((values[(n - 1) / 2] + values[n / 2]) / 2.0).filter(|median| median.is_finite())
}

fn text(comparisons: &[Comparison]) -> String {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(["method", "", "A", "B", "B - A", "95 % interval"]);
    for comparison in comparisons {
        rows(comparison, &mut table);
    }
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let verdicts = comparisons.iter().map(|c| {
        let verdict = match c {
            _ if c.worse => "B solves significantly less than A",
            _ if c.solved.lo > 0.0 => "B solves significantly more than A",
            _ => "no significant difference in what is solved",
        };
        format!("{}: {verdict} ({} pairs)\n", title(c), c.pairs)
    });
    format!("{table}\n{}", verdicts.collect::<String>())
}

fn title(comparison: &Comparison) -> String {
    let Comparison { budget, method_a, method_b, .. } = comparison;
    let method = if method_a == method_b { method_a.clone() } else { format!("{method_a} / {method_b}") };
    Part { budget: budget.as_deref(), method: &method }.to_string()
}

fn rows(comparison: &Comparison, table: &mut Table) {
    let mut method = title(comparison);
    let mut row = |what: &str, cells: [String; 4]| {
        let [a, b, difference, interval] = cells;
        table.add_row([std::mem::take(&mut method), what.into(), a, b, difference, interval]);
    };
    // A difference of two percentages is one of percentage points.
    let mut means = |what: &str, means: &Means, factor: f64, digits: usize, [unit, points]: [&str; 2]| {
        let number = |value: f64| format!("{:.digits$}{unit}", factor * value);
        let signed = |value: f64| format!("{:+.digits$}", factor * value);
        let interval = format!("{} to {}{points}", signed(means.lo), signed(means.hi));
        row(what, [number(means.a), number(means.b), signed(means.difference) + points, interval]);
    };
    means("solved", &comparison.solved, 100.0, 1, [" %", " points"]);
    if let Some(evaluations) = &comparison.evaluations {
        means("evaluations", evaluations, 1.0, 0, [""; 2]);
    }
    if let Some(seconds) = &comparison.seconds {
        means("seconds", seconds, 1.0, 4, [""; 2]);
    }
    means("size", &comparison.size, 1.0, 1, [""; 2]);
    let Medians { a, b, lower, higher } = comparison.median_mse;
    let mse = |mse: Option<f64>| mse.map_or("invalid".into(), |mse| format!("{mse:.2e}"));
    row("median MSE", [mse(a), mse(b), format!("{lower} lower, {higher} higher"), "–".into()]);
    let Shares { a, b } = comparison.well_formed;
    if a.is_some() || b.is_some() {
        let percent = |share: Option<f64>| share.map_or("–".into(), |share| format!("{:.1} %", 100.0 * share));
        let difference = a.zip(b).map_or("–".into(), |(a, b)| format!("{:+.1} points", 100.0 * (b - a)));
        row("well-formed", [percent(a), percent(b), difference, "–".into()]);
    }
}
