//! The section of what methods propose in a frozen set of states.

use serde::Deserialize;
use serde_json::Value;

use super::blocks::{Block, Cell, Column, Row, Table, percent, short, whole};
use super::chart::{Chart, Point, Series, Style, by_name};
use super::json::Fields;
use super::{ReportError, Section};
use crate::plot::Axis;

/// Names of the thirds of a search.
const PHASES: [&str; 3] = ["early", "middle", "late"];

/// What was measured of a method.
#[derive(Deserialize)]
struct Measured {
    method: String,
    children: u64,
    improving: f64,
    states_improved: f64,
    lo: f64,
    hi: f64,
    by_phase: [f64; 3],
    best_gain: f64,
    distinct: f64,
    well_formed: Option<f64>,
    predicted_speed_up: Option<f64>,
    seconds: f64,
}

/// Returns the section of a result of sr-evaluate operator.
pub(super) fn section(name: &str, json: &Value) -> Result<Section, ReportError> {
    let fields = Fields { of: "result of sr-evaluate operator", json };
    let states = fields.number("states")?;
    let methods: Vec<Measured> = fields.records("methods")?;
    let fact = |name: &str, value: String| (name.to_owned(), value);
    let mut facts = vec![
        fact("States", whole(states)),
        fact("Improvement", "a new form whose mean squared error is at least 0.02 decades below the best one's".into()),
        fact("Intervals", "95 %, by Wilson".into()),
    ];
    if let (Some(first), Some(exponent)) = (methods.first(), json["exponent"].as_f64()) {
        let rule = format!("(states improved ÷ those of {}) to the power of {}", first.method, short(exponent));
        facts.push(fact("Predicted speed-up", rule));
    }
    let blocks = vec![
        Block::Facts(facts),
        Block::Heading("Methods".into()),
        Block::Charts(charts(&methods)),
        Block::Table(table(&methods)),
    ];
    let title = "What methods propose in frozen states".to_owned();
    Ok(Section { name: name.to_owned(), title, kind: "sr-evaluate", blocks })
}

fn charts(methods: &[Measured]) -> Vec<Chart> {
    let improved = methods.iter().enumerate().map(|(index, m)| {
        let (share, lo, hi) = (percent(m.states_improved), percent(m.lo), percent(m.hi));
        let text = format!("{}: improves {share} ({lo} to {hi}) of the states", m.method);
        Point { interval: Some((m.lo, m.hi)), ..Point::new(m.states_improved, index as f64, text) }
    });
    let names = methods.iter().map(|m| m.method.clone()).collect();
    let phases = |m: &Measured| {
        let point = |(index, &share): (usize, &f64)| {
            let text = format!("{}: improves {} of the {} states", m.method, percent(share), PHASES[index]);
            Point::new(share, index as f64, text)
        };
        let points = m.by_phase.iter().enumerate().map(point).collect();
        Series::new(&*m.method, Style::Marks, points)
    };
    let series: Vec<Series> = methods.iter().map(phases).collect();
    let said = series.iter().flat_map(|series| &series.points).map(|point| &*point.text);
    let summary = said.collect::<Vec<_>>().join(". ");
    vec![
        by_name("Share of states with an improving child, with 95 % intervals", "share improved", names, improved),
        Chart {
            title: "Share of states improved, by the third of the search".into(),
            summary,
            x: Axis { label: "share improved".into(), is_log: false, span: Some((0.0, 1.0)) },
            y: Axis { label: String::new(), is_log: false, span: None },
            rows: Some(PHASES.map(String::from).to_vec()),
            series,
        },
    ]
}

fn table(methods: &[Measured]) -> Table {
    let mut columns = vec![Column::text("method")];
    let numbers = ["children", "improving children", "states improved", "95 %", "early", "middle", "late"];
    let numbers = numbers.into_iter().chain(["best gain", "distinct", "well-formed", "predicted speed-up", "seconds"]);
    columns.extend(numbers.map(Column::number));
    let share = |share: f64| Cell::keyed(percent(share), Some(share));
    let row = |m: &Measured| {
        let cells = vec![
            Cell::text(&*m.method),
            Cell::keyed(whole(m.children), Some(m.children as f64)),
            Cell::keyed(format!("{:.2} %", 100.0 * m.improving), Some(m.improving)),
            share(m.states_improved),
            Cell::keyed(format!("{} to {}", percent(m.lo), percent(m.hi)), Some(m.lo)),
            share(m.by_phase[0]),
            share(m.by_phase[1]),
            share(m.by_phase[2]),
            Cell::number(Some(m.best_gain)),
            share(m.distinct),
            m.well_formed.map_or(Cell::number(None), share),
            Cell::number(m.predicted_speed_up),
            Cell::number(Some(m.seconds)),
        ];
        Row { cells, ..Row::default() }
    };
    let caption = "Methods; the best gain is in decades of the error, 4 at most".into();
    Table { caption, columns, rows: methods.iter().map(row).collect() }
}
