//! Reports: results of fits, comparisons, trainings and DAgger as one page.
//!
//! A [`Section`] is made of one result, as the JSON that a program has written, and [`report_page`] of all sections of a
//! page. Charts are SVG drawn here: they take the colours of the page, are sharp on paper, and can be seen without a
//! script, which only adds what a pointer or the keys show.

mod blocks;
mod chart;
mod dagger;
mod direct;
mod evaluation;
mod fit;
mod json;
mod operator;
mod training;

use serde_json::Value;

use crate::page::{escaped, filled};
use blocks::Block;

/// A part of a report: one result.
#[derive(Debug, Clone, PartialEq)]
pub struct Section {
    name: String,
    title: String,
    /// The program that made the result.
    kind: &'static str,
    blocks: Vec<Block>,
}

/// A row of the table of a fit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FitRow {
    /// The number of the row in the table, from 1.
    pub row: usize,
    /// The value of the target.
    pub observed: f64,
    /// The value of the marked formula; not finite where it has none.
    pub predicted: f64,
}

impl FitRow {
    fn residual(&self) -> f64 {
        self.observed - self.predicted
    }
}

/// A result that no section can be made of.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// A field is missing or of another kind.
    #[error("a {of} has no valid field {name}")]
    Field {
        /// What the field belongs to.
        of: &'static str,
        /// The name of the field.
        name: String,
    },
    /// A record is not of the expected form.
    #[error("reading {of}")]
    Json {
        /// The field of the record.
        of: &'static str,
        /// The reason.
        source: serde_json::Error,
    },
}

impl Section {
    /// Returns the section of a fit: its Pareto front, its formulas, the rows against the marked one, and its settings.
    ///
    /// - fit: the contents of `fit.json`
    /// - rows: rows of the table, all or some of them; none for a section without them
    ///
    /// # Errors
    /// If a field is missing.
    pub fn fit(name: &str, fit: &Value, rows: &[FitRow]) -> Result<Self, ReportError> {
        fit::section(name, fit, rows)
    }

    /// Returns the section of a result of `sr-evaluate --out`: shares solved, running times, and each problem; of
    /// `sr-evaluate direct`, the formulas that a model wrote; of `sr-evaluate operator`, what methods propose.
    ///
    /// # Errors
    /// If a field is missing.
    pub fn evaluation(name: &str, result: &Value) -> Result<Self, ReportError> {
        match result {
            _ if result["methods"].is_array() => operator::section(name, result),
            _ if result["rows"][0]["pick"].is_string() => direct::section(name, result),
            _ => evaluation::section(name, result),
        }
    }

    /// Returns the section of a training: the learning curves, and what was trained on what with which settings.
    ///
    /// - lines: the lines of `metrics.jsonl`
    /// - config: the contents of `config.json`
    /// - data: the object `settings` in `train.run.json`, the corpora and how much they hold
    pub fn training(name: &str, lines: &[Value], config: Option<&Value>, data: Option<&Value>) -> Self {
        training::section(name, lines, config, data)
    }

    /// Returns the section of a run of DAgger: milestones, and the metrics of each round with their intervals.
    ///
    /// - results: the contents of `results.json`
    /// - config: those of `config.json`
    ///
    /// # Errors
    /// If a field is missing.
    pub fn dagger(name: &str, results: &Value, config: Option<&Value>) -> Result<Self, ReportError> {
        dagger::section(name, results, config)
    }

    /// Returns the name of the program that made the result.
    pub fn kind(&self) -> &'static str {
        self.kind
    }
}

/// Returns the page of sections, which are tabs if there are several.
pub fn report_page(sections: &[Section]) -> String {
    let title = match sections {
        [section] => format!("{} · {}", section.title, section.kind),
        _ => "Report".to_owned(),
    };
    let mut content = String::new();
    if sections.len() > 1 {
        content.push_str("<div class=\"tabs\" role=\"tablist\" aria-label=\"Results\">\n");
        for (index, section) in sections.iter().enumerate() {
            let name = escaped(&section.name);
            content.push_str(&format!(
                "<button type=\"button\" role=\"tab\" id=\"t{index}\" aria-controls=\"s{index}\">{name}</button>\n"
            ));
        }
        content.push_str("</div>\n");
    }
    for (index, section) in sections.iter().enumerate() {
        content.push_str(&match sections.len() {
            1 => format!("<section id=\"s{index}\">\n"),
            // Of several sections each has its own title.
            _ => format!(
                "<section id=\"s{index}\" role=\"tabpanel\" tabindex=\"0\" aria-labelledby=\"t{index}\">\n\
                 <h2 class=\"title\">{} <small>{} · {}</small></h2>\n",
                escaped(&section.title),
                escaped(&section.name),
                section.kind
            ),
        });
        blocks::write(&section.blocks, &format!("s{index}"), &mut content);
        content.push_str("</section>\n");
    }
    filled(
        include_str!("report.html"),
        &[
            ("title", &escaped(&title)),
            ("style", include_str!("report.css")),
            ("content", &content),
            ("script", include_str!("report.js")),
        ],
    )
}
