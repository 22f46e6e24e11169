//! The section of formulas that a model writes from the data alone.

use serde_json::Value;
use sr_eval::{DirectRow, DirectSummary};

use super::blocks::{Block, Cell, Column, Row, Table, counted, percent};
use super::chart::{Chart, Point, by_name};
use super::json::{Fields, settings};
use super::{ReportError, Section};

/// Returns the section of a result of sr-evaluate direct.
pub(super) fn section(name: &str, json: &Value) -> Result<Section, ReportError> {
    let fields = Fields { of: "result of sr-evaluate direct", json };
    let (rows, summaries): (Vec<DirectRow>, Vec<DirectSummary>) = (fields.records("rows")?, fields.records("summary")?);
    let fact = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let facts = vec![
        fact("Formulas", &counted(rows.len() as u64, "formula")),
        fact("Exact", "node for node the problem's formula"),
        fact(
            "Solved",
            "1 − R² is at most 1e-10 on fresh points, or on all rows of data of one's own what the digits of y allow",
        ),
        fact("Intervals", "95 %, by Wilson"),
    ];
    let blocks = vec![
        Block::Facts(facts),
        Block::Heading("Picks".into()),
        Block::Charts(charts(&summaries)),
        Block::Table(picks(&summaries)),
        Block::Heading("Formulas".into()),
        Block::Table(formulas(&rows)),
        Block::Heading("Settings".into()),
        Block::Facts(settings(&json["settings"])),
    ];
    let title = "Formulas written from the data alone".to_owned();
    Ok(Section { name: name.to_owned(), title, kind: "sr-evaluate", blocks })
}

fn charts(summaries: &[DirectSummary]) -> Vec<Chart> {
    let names = || summaries.iter().map(|summary| summary.pick.clone()).collect();
    let point = |index: usize, pick: &str, what: &str, n: usize, share: f64, (lo, hi): (f64, f64)| Point {
        interval: Some((lo, hi)),
        ..Point::new(
            share,
            index as f64,
            format!(
                "{pick}: {what} {} ({} to {}) of {}",
                percent(share),
                percent(lo),
                percent(hi),
                counted(n as u64, "problem")
            ),
        )
    };
    let solved = summaries.iter().enumerate().map(|(i, s)| point(i, &s.pick, "solves", s.n, s.solved, (s.lo, s.hi)));
    let exact = summaries.iter().enumerate().filter_map(|(i, s)| {
        let share = s.exact.zip(s.exact_interval);
        share.map(|(exact, interval)| point(i, &s.pick, "is exact in", s.n, exact, interval))
    });
    let mut charts = vec![by_name("Share of problems solved, with 95 % intervals", "share solved", names(), solved)];
    charts.push(by_name(
        "Share of problems whose formula is exact, with 95 % intervals",
        "share exact",
        names(),
        exact,
    ));
    // Of data of one's own nobody knows the formula.
    charts.retain(|chart| chart.series.iter().any(|series| !series.points.is_empty()));
    charts
}

fn picks(summaries: &[DirectSummary]) -> Table {
    let columns = vec![
        Column::text("pick"),
        Column::number("problems"),
        Column::number("exact"),
        Column::number("95 %"),
        Column::number("solved"),
        Column::number("95 %"),
        Column::number("median R²"),
        Column::number("well-formed"),
    ];
    let share = |share: Option<f64>| Cell::keyed(share.map_or("–".into(), percent), share);
    let interval = |interval: Option<(f64, f64)>| {
        let text = interval.map_or("–".into(), |(lo, hi)| format!("{} to {}", percent(lo), percent(hi)));
        Cell::keyed(text, interval.map(|(lo, _)| lo))
    };
    let row = |s: &DirectSummary| {
        let cells = vec![
            Cell::text(&*s.pick),
            Cell::keyed(s.n.to_string(), Some(s.n as f64)),
            share(s.exact),
            interval(s.exact_interval),
            share(Some(s.solved)),
            interval(Some((s.lo, s.hi))),
            Cell::number(s.median_r2),
            share(Some(s.well_formed)),
        ];
        Row { cells, ..Row::default() }
    };
    let caption = "Picks; well-formed are the texts that are formulas".into();
    Table { caption, columns, rows: summaries.iter().map(row).collect() }
}

fn formulas(rows: &[DirectRow]) -> Table {
    let columns = vec![
        Column::text("problem"),
        Column::text("pick"),
        Column::text("exact"),
        Column::text("solved"),
        Column::number("R²"),
        Column::number("size"),
        Column::text("formula"),
    ];
    let yes = |yes: bool| if yes { "yes" } else { "no" };
    let row = |row: &DirectRow| {
        let formula = if row.expression.is_empty() { "none" } else { &row.expression };
        let cells = vec![
            Cell::text(&*row.problem),
            Cell::text(&*row.pick),
            Cell::text(row.exact.map_or("–", yes)),
            Cell::text(yes(row.solved)),
            Cell::number(row.r2_test),
            Cell::keyed(row.size.to_string(), Some(row.size as f64)),
            Cell::code(formula),
        ];
        Row { cells, ..Row::default() }
    };
    let caption = "Formulas; R² is that on fresh points".into();
    Table { caption, columns, rows: rows.iter().map(row).collect() }
}
