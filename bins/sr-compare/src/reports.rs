//! Two reports of evaluations.

use std::path::Path;
use std::time::Instant;

use anyhow::ensure;
use comfy_table::{CellAlignment, Table, presets};
use serde_json::json;
use sr_cli::Exit;
use sr_lab::compare::{Comparison, Means, Medians, Report, Shares, compare, differences};

use crate::Args;

/// Compares two reports.
pub(crate) fn run(a: &Path, b: &Path, args: &Args) -> anyhow::Result<Exit> {
    let started = Instant::now();
    args.common.init()?;
    let (report_a, report_b) = (Report::read(a)?, Report::read(b)?);
    let differing = differences(&report_a, &report_b);
    if !differing.is_empty() {
        let (a, b, text) = (a.display(), b.display(), differing.join(", "));
        ensure!(
            args.allow_other_settings,
            "{a} and {b} are of other settings: {text}; --allow-other-settings compares them all the same"
        );
        tracing::warn!("{a} and {b} are of other settings: {text}");
    }
    let methods = args.methods.as_ref().map(|(x, y)| (&**x, &**y));
    let comparisons = compare(&report_a, &report_b, methods, args.common.seed)?;
    for (_, path) in [(report_a, a), (report_b, b)].iter().filter(|(report, _)| !report.tells_settings()) {
        tracing::warn!("{} says nothing of its problems and settings, so they are not compared", path.display());
    }
    let worse = comparisons.iter().any(|comparison| comparison.worse);
    let result = json!({ "comparisons": comparisons, "worse": worse });
    args.common.report("sr-compare", started, result, &text(&comparisons))?;
    Ok(if worse { Exit::Negative } else { Exit::Ok })
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
        format!("{}: {verdict} ({})\n", c.title(), sr_args::counted(c.pairs, "pair"))
    });
    format!("{table}\n{}", verdicts.collect::<String>())
}

fn rows(comparison: &Comparison, table: &mut Table) {
    let mut method = comparison.title();
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
