//! The section of a run of sr-dagger: milestones and their rounds.

use serde_json::Value;

use super::blocks::{Block, Cell, Column, Row, Table, counted, percent, short, whole};
use super::chart::{Chart, Point, Series, Style};
use super::json::{Fields, is_empty, value_in_words};
use super::{ReportError, Section};
use crate::plot::Axis;

/// A metric of a round.
struct Metric<'a> {
    name: &'a str,
    value: f64,
    interval: Option<(f64, f64)>,
}

/// Returns the section of results.json and, where it is known, config.json.
pub(super) fn section(name: &str, results: &Value, config: Option<&Value>) -> Result<Section, ReportError> {
    let milestones = Fields { of: "sr-dagger run", json: results }.list("milestones")?;
    let mut blocks = vec![Block::Table(overview(milestones)?)];
    for milestone in milestones {
        let rounds = milestone["rounds"].as_array().map(Vec::as_slice).unwrap_or_default();
        if rounds.is_empty() {
            continue;
        }
        blocks.push(Block::Heading(format!("Milestone {}", id(milestone)?)));
        blocks.push(Block::Charts(charts(milestone, rounds)));
        blocks.push(Block::Table(table(rounds)));
    }
    if let Some(settings) = config.and_then(|config| config["dagger"].as_object()) {
        blocks.push(Block::Heading("Settings of the loop".into()));
        let settings = settings.iter().filter(|(_, value)| !is_empty(value));
        let fact = |(name, value): (&String, &Value)| (name.replace('_', " "), value_in_words(value));
        blocks.push(Block::Facts(settings.map(fact).collect()));
    }
    Ok(Section { name: name.to_owned(), title: "DAgger".to_owned(), kind: "sr-dagger", blocks })
}

fn id(milestone: &Value) -> Result<&str, ReportError> {
    Fields { of: "milestone", json: milestone }.text("milestone_id")
}

fn overview(milestones: &[Value]) -> Result<Table, ReportError> {
    let columns = vec![
        Column::text("milestone"),
        Column::text("status"),
        Column::number("rounds"),
        Column::number("expert"),
        Column::number("learner, last round"),
        Column::number("learner, best round"),
        Column::number("best round"),
        Column::number("steps of the expert"),
        Column::number("steps allowed"),
    ];
    let row = |milestone: &Value| {
        let share = |name: &str| {
            let share = milestone[name].as_f64();
            Cell::keyed(share.map_or("–".into(), percent), share)
        };
        let reason = milestone["reason"].as_str().map_or(String::new(), |reason| format!(": {reason}"));
        let count = |count: Option<u64>| Cell::keyed(count.map_or("–".into(), whole), count.map(|count| count as f64));
        let cells = vec![
            Cell::text(id(milestone)?),
            Cell::text(format!("{}{reason}", milestone["status"].as_str().unwrap_or("–"))),
            count(milestone["rounds"].as_array().map(|rounds| rounds.len() as u64)),
            share("expert_success_rate"),
            share("dagger_final_success_rate"),
            share("dagger_best_success_rate"),
            count(milestone["best_round"].as_u64()),
            Cell::number(milestone["expert_mean_steps"].as_f64()),
            count(milestone["max_episode_steps"].as_u64()),
        ];
        Ok(Row { cells, ..Row::default() })
    };
    let caption = "Milestones: shares of searches that succeeded".into();
    Ok(Table { caption, columns, rows: milestones.iter().map(row).collect::<Result<_, ReportError>>()? })
}

/// Returns the metrics of a round.
fn metrics(round: &Value) -> impl Iterator<Item = Metric<'_>> {
    round["metrics"].as_array().into_iter().flatten().filter_map(|metric| {
        let interval = metric["lo"].as_f64().zip(metric["hi"].as_f64());
        Some(Metric { name: metric["name"].as_str()?, value: metric["value"].as_f64()?, interval })
    })
}

/// The names of all metrics, in the order of the rounds.
fn names(rounds: &[Value]) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for metric in rounds.iter().flat_map(metrics) {
        if !names.contains(&metric.name) {
            names.push(metric.name);
        }
    }
    names
}

/// A chart a metric, of the first rounds to the last.
fn charts(milestone: &Value, rounds: &[Value]) -> Vec<Chart> {
    let chart = |name: &str| {
        let point = |round: &Value| {
            let (number, metric) = (round["round"].as_f64()?, metrics(round).find(|metric| metric.name == name)?);
            let of = metric.interval.map_or(String::new(), |(lo, hi)| format!(" ({} to {})", short(lo), short(hi)));
            let text = format!("round {number}: {}{of}", short(metric.value));
            Some(Point { interval: metric.interval, ..Point::new(number, metric.value, text) })
        };
        let points: Vec<Point> = rounds.iter().filter_map(point).collect();
        let points_have_intervals = points.iter().any(|point| point.interval.is_some());
        let within = |value: f64| (0.0..=1.0).contains(&value);
        let is_share =
            points.iter().all(|p| within(p.y) && p.interval.is_some_and(|(lo, hi)| within(lo) && within(hi)));
        let summary = points.iter().map(|point| &*point.text).collect::<Vec<_>>().join(". ");
        let mut series = vec![Series::new("learner", Style::Line, points)];
        let expert = milestone["expert_success_rate"].as_f64().filter(|_| name == "solved" || name == "success");
        if let (Some(expert), Some(last)) = (expert, rounds.len().checked_sub(1)) {
            let point = |round: f64| Point::new(round, expert, format!("expert: {}", percent(expert)));
            series.push(Series::new("expert", Style::Line, vec![point(0.0), point(last as f64)]));
        }
        Chart {
            title: match points_have_intervals {
                true => format!("{}, with 95 % intervals", name.replace('_', " ")),
                false => name.replace('_', " "),
            },
            summary,
            x: Axis { label: "round".into(), is_log: false, span: None },
            y: Axis { label: name.replace('_', " "), is_log: false, span: is_share.then_some((0.0, 1.0)) },
            rows: None,
            series,
        }
    };
    names(rounds).into_iter().map(chart).collect()
}

fn table(rounds: &[Value]) -> Table {
    let names = names(rounds);
    let mut columns = vec![Column::number("round"), Column::number("β"), Column::number("states")];
    columns.extend(names.iter().map(|name| Column::number(&name.replace('_', " "))));
    let row = |round: &Value| {
        let number = round["round"].as_u64().unwrap_or(0);
        let buffered = round["buffered"].as_u64();
        let mut cells = vec![
            Cell::keyed(number.to_string(), Some(number as f64)),
            Cell::number(round["beta"].as_f64()),
            Cell::keyed(buffered.map_or("–".into(), whole), buffered.map(|count| count as f64)),
        ];
        cells.extend(names.iter().map(|name| match metrics(round).find(|metric| metric.name == *name) {
            None => Cell::number(None),
            Some(Metric { value, interval: None, .. }) => Cell::number(Some(value)),
            Some(Metric { value, interval: Some((lo, hi)), .. }) => {
                Cell::keyed(format!("{} ({} to {})", short(value), short(lo), short(hi)), Some(value))
            }
        }));
        Row { cells, ..Row::default() }
    };
    let caption = format!(
        "{}: β is the share of the expert, and states are those of the buffer",
        counted(rounds.len() as u64, "round")
    );
    Table { caption, columns, rows: rounds.iter().map(row).collect() }
}
