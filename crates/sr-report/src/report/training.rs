//! The section of a training: learning curves.

use serde_json::Value;

use super::Section;
use super::blocks::{Block, counted, percent, short, whole};
use super::chart::{Chart, Point, Series, Style};
use crate::page::spread;
use crate::plot::Axis;

/// Most points of a curve.
const MOST_POINTS: usize = 400;

/// Returns the section of the lines of metrics.jsonl.
pub(super) fn section(name: &str, lines: &[Value]) -> Section {
    let losses = curve(lines, "loss");
    let validation = curve(lines, "val_loss");
    let mut facts = Vec::new();
    if let (Some(&(first_step, first)), Some(&(steps, last))) = (losses.first(), losses.last()) {
        facts.push(("Updates".to_owned(), whole(steps as u64)));
        let training = format!("{} after {} updates, {} at the end", short(first), short(first_step), short(last));
        facts.push(("Training loss".to_owned(), training));
    }
    let best = validation.iter().copied().min_by(|a, b| a.1.total_cmp(&b.1));
    if let Some((step, loss)) = best {
        facts.push((
            "Least validation loss".to_owned(),
            format!("{} after {}", short(loss), counted(step as u64, "update")),
        ));
    }
    for (title, field) in [("Tokens right", "val_token_accuracy"), ("Exact matches", "val_exact_match")] {
        if let Some(&(_, share)) = curve(lines, field).last() {
            facts.push((title.to_owned(), format!("{} in the last validation", percent(share))));
        }
    }
    let rates = curve(lines, "tokens_per_second");
    let rate = sr_eval::median(rates.iter().map(|rate| rate.1));
    facts.extend(rate.map(|rate| ("Tokens/s".to_owned(), format!("{}, the median", whole(rate as u64)))));

    let mut charts = vec![chart(
        "Loss",
        "mean cross entropy of a token, in nats",
        false,
        vec![("training", losses), ("validation", validation)],
    )];
    charts.push(chart("Learning rate", "learning rate", false, vec![("learning rate", curve(lines, "lr"))]));
    charts.push(chart("Speed", "tokens/s", false, vec![("tokens/s", rates)]));
    let scores =
        vec![("tokens right", curve(lines, "val_token_accuracy")), ("exact matches", curve(lines, "val_exact_match"))];
    charts.push(chart("Scores of validations", "share", true, scores));
    charts.push(chart("Norm of the gradient", "norm", false, vec![("norm", curve(lines, "grad_norm"))]));
    charts.retain(|chart| chart.series.iter().any(|series| !series.points.is_empty()));
    let blocks = match charts.is_empty() {
        // A training that is shorter than the distance of its lines has none.
        true => vec![Block::Note("No loss was recorded.".into())],
        false => vec![Block::Facts(facts), Block::Heading("Learning curves".into()), Block::Charts(charts)],
    };
    Section { name: name.to_owned(), title: "Training".to_owned(), kind: "sr-train", blocks }
}

/// Returns the steps and values of a field.
fn curve(lines: &[Value], field: &str) -> Vec<(f64, f64)> {
    let point = |line: &Value| Some((line["step"].as_f64()?, line[field].as_f64()?));
    lines.iter().filter_map(point).collect()
}

fn chart(title: &str, label: &str, is_share: bool, curves: Vec<(&str, Vec<(f64, f64)>)>) -> Chart {
    let said = curves.iter().filter_map(|(name, points)| {
        let (first, last) = (points.first()?, points.last()?);
        let least = points.iter().map(|point| point.1).fold(f64::INFINITY, f64::min);
        let (from, to) = (short(first.1), short(last.1));
        Some(format!("{name}: {} points from {from} to {to}, the least {}", points.len(), short(least)))
    });
    let summary = said.collect::<Vec<_>>().join(". ");
    let series = |(name, points): &(&str, Vec<(f64, f64)>)| {
        let point = |index: usize| {
            let (step, value) = points[index];
            Point::new(step, value, format!("{name} after {}: {}", counted(step as u64, "update"), short(value)))
        };
        let points = spread(points.len(), MOST_POINTS).into_iter().map(point).collect();
        Series { name: (*name).to_owned(), style: Style::Line, points }
    };
    Chart {
        title: title.into(),
        summary,
        x: Axis { label: "updates".into(), is_log: false, span: None },
        y: Axis { label: label.into(), is_log: false, span: is_share.then_some((0.0, 1.0)) },
        rows: None,
        series: curves.iter().map(series).filter(|series| !series.points.is_empty()).collect(),
    }
}
