//! The section of a training: learning curves.

use serde_json::Value;

use super::Section;
use super::blocks::{Block, counted, percent, short, whole};
use super::chart::{Chart, Point, Series, Style};
use super::json::{is_empty, settings, value_in_words};
use crate::page::spread;
use crate::plot::Axis;

/// Most points of a curve.
const MOST_POINTS: usize = 400;

/// Returns the section of the lines of metrics.jsonl and, where they are known, config.json and the settings in
/// train.run.json.
pub(super) fn section(name: &str, lines: &[Value], config: Option<&Value>, data: Option<&Value>) -> Section {
    let (config, data) = (config.unwrap_or(&Value::Null), data.unwrap_or(&Value::Null));
    let losses = curve(lines, "loss");
    let validation = curve(lines, "val_loss");
    let mut facts = about(config, data);
    if let Some(steps) = lines.iter().filter_map(|line| line["step"].as_u64()).max() {
        let all = config["training"]["steps"].as_u64().filter(|&all| all > steps);
        let of = all.map_or(String::new(), |all| format!(" of {}", whole(all)));
        facts.push(("Updates".to_owned(), format!("{}{of}", whole(steps))));
    }
    if let (Some(&(first_step, first)), Some(&(_, last))) = (losses.first(), losses.last()) {
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
        "Loss: mean cross entropy of a token",
        "nats",
        false,
        vec![("training", losses), ("validation", validation)],
    )];
    charts.push(chart("Learning rate", "learning rate", false, vec![("learning rate", curve(lines, "lr"))]));
    charts.push(chart("Speed", "tokens/s", false, vec![("tokens/s", rates)]));
    let scores =
        vec![("tokens right", curve(lines, "val_token_accuracy")), ("exact matches", curve(lines, "val_exact_match"))];
    charts.push(chart("Scores of validations", "share", true, scores));
    charts.push(chart("Norm of the gradient", "norm", false, vec![("norm", curve(lines, "grad_norm"))]));
    // Of a quantity that was never measured there is no chart.
    charts.retain(|chart| chart.series.iter().any(|series| !series.points.is_empty()));
    let mut blocks = if facts.is_empty() { Vec::new() } else { vec![Block::Facts(facts)] };
    match charts.is_empty() {
        true => blocks.push(Block::Note("No loss was recorded.".into())),
        false => blocks.extend([Block::Heading("Learning curves".into()), Block::Charts(charts)]),
    }
    for (title, field) in
        [("Settings of the training", "training"), ("Model", "model"), ("Language of the prompts", "language")]
    {
        let facts = settings(&config[field]);
        if !facts.is_empty() {
            let facts = facts.into_iter().map(|(name, value)| (name.replace('_', " "), value)).collect();
            blocks.extend([Block::Heading(title.into()), Block::Facts(facts)]);
        }
    }
    Section { name: name.to_owned(), title: format!("Training of {name}"), kind: "sr-train", blocks }
}

/// Returns what is trained, and on what.
fn about(config: &Value, data: &Value) -> Vec<(String, String)> {
    let mut facts = Vec::new();
    let mut fact = |name: &str, value: Option<String>| facts.extend(value.map(|value| (name.to_owned(), value)));
    fact("Mode", config["mode"].as_str().map(str::to_owned));
    let size = |field: &str, what: &str| Some(format!("{} {what}", whole(config["model"][field].as_u64()?)));
    let parameters = data["parameters"].as_u64().map(|count| counted(count, "parameter"));
    let model: Vec<String> =
        [size("d_model", "wide"), size("n_layers", "layers"), parameters].into_iter().flatten().collect();
    fact("Model", (!model.is_empty()).then(|| model.join(", ")));
    for (name, field, states) in
        [("Learned from", "train", "states"), ("Validated on", "validation", "validation_states")]
    {
        let counts = data[states].as_u64().map(|count| format!(": {}", counted(count, "state")));
        let files = Some(&data[field]).filter(|files| !is_empty(files)).map(value_in_words);
        fact(name, files.map(|files| format!("{files}{}", counts.unwrap_or_default())));
    }
    // A run that went on may have been told no more what it began with, but keeps its id.
    let id = || Some(format!("the checkpoint with the id {}", config["init"].as_str()?));
    fact("Began with", data["init"].as_str().map(str::to_owned).or_else(id));
    fact("Seed", config["seed"].as_u64().map(|seed| seed.to_string()));
    facts
}

/// Steps and values.
type Curve = Vec<(f64, f64)>;

/// Returns the steps and values of a field.
fn curve(lines: &[Value], field: &str) -> Curve {
    let point = |line: &Value| Some((line["step"].as_f64()?, line[field].as_f64()?));
    lines.iter().filter_map(point).collect()
}

fn chart(title: &str, label: &str, is_share: bool, curves: Vec<(&str, Curve)>) -> Chart {
    let said = curves.iter().filter_map(|(name, points)| {
        let (first, last) = (points.first()?, points.last()?);
        let least = points.iter().map(|point| point.1).fold(f64::INFINITY, f64::min);
        let (from, to) = (short(first.1), short(last.1));
        Some(format!("{name}: {} points from {from} to {to}, the least {}", points.len(), short(least)))
    });
    let summary = said.collect::<Vec<_>>().join(". ");
    let series = |(look, (name, points)): (usize, &(&str, Curve))| {
        let point = |index: usize| {
            let (step, value) = points[index];
            Point::new(step, value, format!("{name} after {}: {}", counted(step as u64, "update"), short(value)))
        };
        let points = spread(points.len(), MOST_POINTS).into_iter().map(point).collect();
        // A curve that is missing takes no colour from the others.
        Series::new(*name, Style::Line, points).looking(look)
    };
    Chart {
        title: title.into(),
        summary,
        x: Axis { label: "updates".into(), is_log: false, span: None },
        y: Axis { label: label.into(), is_log: false, span: is_share.then_some((0.0, 1.0)) },
        rows: None,
        series: curves.iter().enumerate().map(series).filter(|series| !series.points.is_empty()).collect(),
    }
}
