//! The section of a comparison of methods.

use std::collections::HashMap;

use serde_json::Value;
use sr_eval::{Equal, Row as Search, Summary, Trial, solved_curve};

use super::blocks::{Block, Cell, Column, Row, Table, counted, percent, short};
use super::chart::{Chart, Point, Series, Style, by_name};
use super::json::{Fields, problem_set, settings};
use super::{ReportError, Section};
use crate::plot::Axis;

/// Returns the section of a result of sr-evaluate.
pub(super) fn section(name: &str, json: &Value) -> Result<Section, ReportError> {
    let fields = Fields { of: "comparison", json };
    let (rows, summaries): (Vec<Search>, Vec<Summary>) = (fields.records("rows")?, fields.records("summary")?);
    let mut budgets: Vec<Option<Equal>> = summaries.iter().map(|summary| summary.budget).collect();
    budgets.dedup();
    let mut blocks = vec![Block::Facts(facts(json, &rows, &summaries))];
    for budget in budgets {
        let rows: Vec<&Search> = rows.iter().filter(|row| row.budget == budget).collect();
        let summaries: Vec<&Summary> = summaries.iter().filter(|summary| summary.budget == budget).collect();
        let table = Compared { rows, summaries, budget };
        blocks.push(Block::Heading(match budget {
            Some(budget) => format!("Methods at equal {}", budget.name()),
            None => "Methods".to_owned(),
        }));
        blocks.push(Block::Charts(table.charts()));
        blocks.push(Block::Table(table.methods()));
        if let Some(reference) = json["against"]["method"].as_str() {
            let against = Fields { of: "comparison", json: &json["against"] };
            let ratios: Vec<Summary> = against.records("summary")?;
            blocks.push(Block::Table(against_table(reference, ratios.iter().filter(|s| s.budget == budget))));
        }
        blocks.push(Block::Table(table.problems()));
    }
    blocks.push(Block::Heading("Settings".into()));
    blocks.push(Block::Facts(settings(&json["settings"])));
    Ok(Section { name: name.to_owned(), title: "Comparison of methods".to_owned(), kind: "sr-evaluate", blocks })
}

fn facts(json: &Value, rows: &[Search], summaries: &[Summary]) -> Vec<(String, String)> {
    let mut methods: Vec<&str> = summaries.iter().map(|summary| &*summary.method).collect();
    methods.dedup();
    let fact = |name: &str, value: String| (name.to_owned(), value);
    let mut facts = vec![
        fact("Problems", problem_set(&json["settings"]["problems"])),
        fact("Searches", counted(rows.len() as u64, "search").replace("searchs", "searches")),
        fact(
            "Solved",
            "1 − R² is at most 1e-10 on fresh points, or on all rows of data of one's own what the digits of y allow"
                .into(),
        ),
        fact(
            "Intervals",
            "95 %: of shares by Wilson, of expected running times by a bootstrap over problems and seeds".into(),
        ),
    ];
    if let Some(first) = methods.first().filter(|_| methods.len() > 1) {
        facts.push(fact("Compared with", (*first).to_owned()));
    }
    facts
}

fn interval(lo: Option<f64>, hi: Option<f64>) -> Cell {
    match (lo, hi) {
        (Some(lo), Some(hi)) => Cell::keyed(format!("{} to {}", short(lo), short(hi)), Some(lo)),
        (Some(lo), None) => Cell::keyed(format!("{} or more", short(lo)), Some(lo)),
        _ => Cell::number(None),
    }
}

/// Returns the ratio of running times to the method that it is compared with, and its interval.
fn ratio(summary: &Summary) -> [Cell; 2] {
    let difference = summary.difference.as_ref();
    let quotient = |log: Option<f64>| log.map(|log| 10.0_f64.powf(log));
    let (lo, hi) = (difference.and_then(|d| quotient(d.log_ert_lo)), difference.and_then(|d| quotient(d.log_ert_hi)));
    [Cell::number(difference.and_then(|d| quotient(d.log_ert))), interval(lo, hi)]
}

/// Returns the table of running times divided by those of `reference`.
fn against_table<'a>(reference: &str, summaries: impl Iterator<Item = &'a Summary>) -> Table {
    let columns = vec![Column::text("method"), Column::number(&format!("÷ {reference}")), Column::number("95 %")];
    let row = |s: &Summary| {
        let [ratio, interval] = ratio(s);
        Row { cells: vec![Cell::text(&*s.method), ratio, interval], ..Row::default() }
    };
    let caption = format!("ERT of methods divided by that of {reference}");
    Table { caption, columns, rows: summaries.map(row).collect() }
}

/// The rows and summaries of one budget.
struct Compared<'a> {
    rows: Vec<&'a Search>,
    summaries: Vec<&'a Summary>,
    budget: Option<Equal>,
}

impl Compared<'_> {
    fn charts(&self) -> Vec<Chart> {
        let names = || self.summaries.iter().map(|summary| summary.method.clone()).collect();
        let solved = |(index, s): (usize, &&Summary)| {
            let text = format!(
                "{}: {} ({} to {}) of {} searches",
                s.method,
                percent(s.solved),
                percent(s.lo),
                percent(s.hi),
                s.n
            );
            Point { interval: Some((s.lo, s.hi)), ..Point::new(s.solved, index as f64, text) }
        };
        let ert = |(index, s): (usize, &&Summary)| {
            let (ert, lo) = (s.ert?, s.ert_lo.unwrap_or(f64::NAN));
            let high = s.ert_hi.map_or("no limit".to_owned(), short);
            let text = format!("{}: {} evaluations ({} to {high}) to solve a problem", s.method, short(ert), short(lo));
            Some(Point { interval: s.ert_hi.map(|hi| (lo, hi)), ..Point::new(ert, index as f64, text) })
        };
        let solved = self.summaries.iter().enumerate().map(solved);
        let ert = self.summaries.iter().enumerate().filter_map(ert);
        vec![
            by_name(
                "Share of searches that solved their problem, with 95 % intervals",
                "share solved",
                names(),
                solved,
            ),
            Chart {
                x: Axis { label: "evaluations to solve a problem".into(), is_log: true, span: None },
                ..by_name("Expected running time (ERT), with 95 % intervals; less is better", "", names(), ert)
            },
            self.curves(),
        ]
    }

    /// The share solved against what was spent.
    fn curves(&self) -> Chart {
        let is_timed = self.budget == Some(Equal::Seconds);
        let trial = |row: &Search| if is_timed { row.timed_trial() } else { row.trial() };
        let spent = |row: &Search| if is_timed { row.seconds } else { row.evaluations as f64 };
        let what = self.budget.unwrap_or(Equal::Evaluations).name();
        let curve = |method: &str| {
            let own = self.rows.iter().filter(|row| row.method == method);
            solved_curve(&own.map(|row| trial(row)).collect::<Vec<Trial>>())
        };
        let curves: Vec<Vec<(f64, f64)>> = self.summaries.iter().map(|summary| curve(&summary.method)).collect();
        // All lines go from 0 where the first problem of any method is solved to where the longest search ended.
        let end = self.rows.iter().map(|row| spent(row)).fold(0.0, f64::max);
        let begin = curves.iter().filter_map(|curve| curve.first()).map(|point| point.0).fold(f64::INFINITY, f64::min);
        let begin = if begin.is_finite() { begin } else { end / 10.0 };
        let series = |(summary, curve): (&&Summary, &Vec<(f64, f64)>)| {
            let point = |at: f64, share: f64| {
                Point::new(
                    at,
                    share,
                    format!("{}: {} solved after {} {what}", summary.method, percent(share), short(at)),
                )
            };
            let last = curve.last().map_or(0.0, |point| point.1);
            let points = std::iter::once(point(begin, 0.0)).chain(curve.iter().map(|&(at, share)| point(at, share)));
            let points = points.chain([point(end, last)]).collect();
            Series::new(&*summary.method, Style::Steps, points)
        };
        let said = self.summaries.iter().map(|s| format!("{} ends at {}", s.method, percent(s.solved)));
        Chart {
            title: format!("Share solved against {what}"),
            summary: said.collect::<Vec<_>>().join(". "),
            x: Axis { label: what.into(), is_log: true, span: None },
            y: Axis { label: "share solved".into(), is_log: false, span: Some((0.0, 1.0)) },
            rows: None,
            series: self.summaries.iter().zip(&curves).map(series).collect(),
        }
    }

    fn methods(&self) -> Table {
        let columns = vec![
            Column::text("method"),
            Column::number("searches"),
            Column::number("solved"),
            Column::number("95 %"),
            Column::number("ERT"),
            Column::number("95 %"),
            Column::number("÷ first"),
            Column::number("95 %"),
            Column::number("evaluations"),
            Column::number("median R²"),
            Column::number("seconds"),
        ];
        let row = |s: &&Summary| {
            let [ratio, of_ratio] = ratio(s);
            let cells = vec![
                Cell::text(&*s.method),
                Cell::keyed(s.n.to_string(), Some(s.n as f64)),
                Cell::keyed(percent(s.solved), Some(s.solved)),
                Cell::keyed(format!("{} to {}", percent(s.lo), percent(s.hi)), Some(s.lo)),
                Cell::number(s.ert),
                interval(s.ert_lo.filter(|_| s.ert.is_some()), s.ert_hi),
                ratio,
                of_ratio,
                Cell::number(Some(s.evaluations)),
                Cell::number(s.median_r2),
                Cell::number(Some(s.seconds)),
            ];
            Row { cells, ..Row::default() }
        };
        let caption = "Methods; ERT is the number of evaluations that it takes to solve a problem".into();
        Table { caption, columns, rows: self.summaries.iter().map(row).collect() }
    }

    /// For each problem and method, how many searches solved it, and the median of what they spent.
    fn problems(&self) -> Table {
        let mut columns = vec![Column::text("problem")];
        for summary in &self.summaries {
            columns.push(Column::number(&format!("{} solved", summary.method)));
            columns.push(Column::number(&format!("{} evaluations", summary.method)));
        }
        let mut problems: Vec<&str> = Vec::new();
        let mut of: HashMap<&str, Vec<&Search>> = HashMap::new();
        for row in &self.rows {
            let met = of.entry(&row.problem).or_insert_with(|| {
                problems.push(&row.problem);
                Vec::new()
            });
            met.push(row);
        }
        let row = |problem: &&str| {
            let mut cells = vec![Cell::text(*problem)];
            for summary in &self.summaries {
                let rows: Vec<&Search> =
                    of[problem].iter().copied().filter(|row| row.method == summary.method).collect();
                let solved = rows.iter().filter(|row| row.solved).count();
                let share = (!rows.is_empty()).then(|| solved as f64 / rows.len() as f64);
                cells.push(Cell::keyed(format!("{solved} of {}", rows.len()), share));
                cells.push(Cell::number(sr_eval::median(rows.iter().map(|row| row.evaluations as f64))));
            }
            Row { cells, ..Row::default() }
        };
        let caption = "Problems: searches that solved them, and the median of evaluations".into();
        Table { caption, columns, rows: problems.iter().map(row).collect() }
    }
}
