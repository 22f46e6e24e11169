//! The parts that a section of a report is made of, as HTML.

use std::fmt::Write;

use crate::page::escaped;

use super::chart::Chart;

/// Most rows of a table that a page has.
const MOST_ROWS: usize = 2000;

/// Letters of a formula in a table that stand in one line, however narrow the window is.
const CODE_LETTERS: usize = 80;

/// Rows of a table from which on it has a filter.
const FILTERED: usize = 8;
/// The size of a typeset formula on paper, in points, and the product of size and letters that is as wide as a page.
const PAPER_SIZE: f64 = 15.0;
const PAPER_WIDTH: f64 = 900.0;

/// A part of a section.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Block {
    Heading(String),
    /// A sentence or two.
    Note(String),
    /// Names and values.
    Facts(Vec<(String, String)>),
    Formulas(Formulas),
    /// Charts side by side.
    Charts(Vec<Chart>),
    Table(Table),
}

/// Formulas of which one is shown at a time.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Formulas {
    pub(crate) formulas: Vec<Formula>,
    /// The index of the one that is shown first.
    pub(crate) shown: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Formula {
    /// A `math` element; `None` for a formula that cannot be read.
    pub(crate) mathml: Option<String>,
    /// The formula as a line of text.
    pub(crate) text: String,
    /// What is said of it.
    pub(crate) about: String,
    /// The names of other systems, and the formula as their text.
    pub(crate) exports: Vec<(&'static str, String)>,
}

/// A table that can be sorted and filtered.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Table {
    pub(crate) caption: String,
    pub(crate) columns: Vec<Column>,
    pub(crate) rows: Vec<Row>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Column {
    title: String,
    is_number: bool,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Row {
    pub(crate) cells: Vec<Cell>,
    /// The number of the formula that the row stands for.
    pub(crate) formula: Option<usize>,
    pub(crate) is_marked: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Cell {
    text: String,
    /// What the row is sorted by, if not by the text.
    key: Option<f64>,
    is_code: bool,
}

impl Column {
    pub(crate) fn text(title: &str) -> Self {
        Column { title: title.to_owned(), is_number: false }
    }

    pub(crate) fn number(title: &str) -> Self {
        Column { title: title.to_owned(), is_number: true }
    }
}

impl Cell {
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Cell { text: text.into(), key: None, is_code: false }
    }

    pub(crate) fn code(text: impl Into<String>) -> Self {
        Cell { is_code: true, ..Cell::text(text) }
    }

    /// Returns a number in a few digits; – for none.
    pub(crate) fn number(value: Option<f64>) -> Self {
        Cell::keyed(value.map_or_else(|| "–".to_owned(), short), value)
    }

    /// Returns a text that is sorted by a number.
    pub(crate) fn keyed(text: impl Into<String>, key: Option<f64>) -> Self {
        // What has no number comes last.
        Cell { key: Some(key.filter(|key| !key.is_nan()).unwrap_or(f64::INFINITY)), ..Cell::text(text) }
    }
}

/// Returns a number with four digits.
pub(crate) fn short(value: f64) -> String {
    let cut = |text: String| match text.split_once('.') {
        Some((whole, digits)) if digits.bytes().all(|digit| digit == b'0') => whole.to_owned(),
        _ => text,
    };
    match value {
        0.0 => "0".to_owned(),
        value if !value.is_finite() => "–".to_owned(),
        value if (1e-3..1e7).contains(&value.abs()) => {
            let digits = (3 - value.abs().log10().floor() as i32).max(0) as usize;
            cut(format!("{value:.digits$}"))
        }
        value => format!("{value:.3e}"),
    }
}

/// Returns a share as a percentage.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// Returns a whole number with a comma between thousands.
pub(crate) fn whole(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Returns a number with its noun, in the singular or plural.
pub(crate) fn counted(n: u64, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{} {what}s", whole(n)) }
}

/// Writes the blocks of a section. `prefix` begins the ids of its elements.
pub(crate) fn write(blocks: &[Block], prefix: &str, html: &mut String) {
    for block in blocks {
        // Writing to a string never fails, here and below.
        let _ = match block {
            Block::Heading(text) => writeln!(html, "<h2>{}</h2>", escaped(text)),
            Block::Note(text) => writeln!(html, "<p class=\"note\">{}</p>", escaped(text)),
            Block::Facts(facts) => {
                html.push_str("<dl class=\"facts\">\n");
                for (name, value) in facts {
                    let _ = writeln!(html, "<div><dt>{}</dt><dd>{}</dd></div>", escaped(name), escaped(value));
                }
                writeln!(html, "</dl>")
            }
            Block::Formulas(formulas) => {
                formulas.write(prefix, html);
                Ok(())
            }
            Block::Charts(charts) => {
                html.push_str("<div class=\"charts\">\n");
                charts.iter().for_each(|chart| chart.write(html));
                writeln!(html, "</div>")
            }
            Block::Table(table) => {
                table.write(html);
                Ok(())
            }
        };
    }
}

impl Formulas {
    fn write(&self, prefix: &str, html: &mut String) {
        html.push_str("<div class=\"formulas\" aria-live=\"polite\">\n");
        for (index, formula) in self.formulas.iter().enumerate() {
            let hidden = if index == self.shown { "" } else { " hidden" };
            let _ = writeln!(html, "<div class=\"formula\" id=\"{prefix}f{index}\"{hidden}>");
            if let Some(mathml) = &formula.mathml {
                let letters =
                    mathml.split('<').filter_map(|part| part.split_once('>')).map(|(_, text)| text.chars().count());
                let size = (PAPER_WIDTH / letters.sum::<usize>().max(1) as f64).clamp(4.0, PAPER_SIZE);
                let _ =
                    writeln!(html, "<div class=\"math\" tabindex=\"0\" style=\"--paper: {size:.1}pt\">{mathml}</div>");
            }
            let (text, about) = (escaped(&formula.text), escaped(&formula.about));
            let _ = writeln!(html, "<p class=\"code\">{text}</p>\n<p>{about}</p>");
            if !formula.exports.is_empty() {
                html.push_str("<details><summary>In other systems</summary>\n");
                for (system, text) in &formula.exports {
                    let _ = writeln!(html, "<h3>{system}</h3><pre tabindex=\"0\">{}</pre>", escaped(text.trim_end()));
                }
                html.push_str("</details>\n");
            }
            html.push_str("</div>\n");
        }
        html.push_str("</div>\n");
    }
}

impl Table {
    fn write(&self, html: &mut String) {
        let caption = escaped(&self.caption);
        html.push_str("<div class=\"table\">\n");
        if self.rows.len() >= FILTERED {
            let count = counted(self.rows.len().min(MOST_ROWS) as u64, "row");
            let _ = writeln!(
                html,
                "<p class=\"filter\"><label>Filter <input type=\"search\"></label> <output>{count}</output></p>"
            );
        }
        let codes = self.rows.iter().take(MOST_ROWS).flat_map(|row| &row.cells).filter(|cell| cell.is_code);
        let longest = codes.map(|cell| cell.text.chars().count()).max();
        let style = longest.map_or(String::new(), |longest| {
            let letters = longest.min(CODE_LETTERS);
            format!(" style=\"--code: {letters}ch\"")
        });
        let _ = write!(
            html,
            "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{caption}\"><table{style}>\n\
             <caption>{caption}</caption>\n<thead><tr>"
        );
        for Column { title, is_number } in &self.columns {
            let class = if *is_number { " class=\"number\"" } else { "" };
            let title = escaped(title);
            let _ = write!(html, "<th scope=\"col\"{class}><button type=\"button\">{title}</button></th>");
        }
        html.push_str("</tr></thead>\n<tbody>\n");
        for row in self.rows.iter().take(MOST_ROWS) {
            let class = if row.is_marked { " class=\"marked\"" } else { "" };
            let formula = row.formula.map_or(String::new(), |number| format!(" data-formula=\"{number}\""));
            let _ = write!(html, "<tr{class}{formula}>");
            for (index, (cell, column)) in row.cells.iter().zip(&self.columns).enumerate() {
                let class = if column.is_number { " class=\"number\"" } else { "" };
                let key = cell.key.filter(|key| key.is_finite()).map(|key| format!(" data-key=\"{key:e}\""));
                let text = escaped(&cell.text);
                let text = if cell.is_code { format!("<code>{text}</code>") } else { text };
                let (open, close) = match row.formula.filter(|_| index == 0) {
                    Some(_) => ("<button type=\"button\" class=\"show\">", "</button>"),
                    None => ("", ""),
                };
                let _ = write!(html, "<td{class}{}>{open}{text}{close}</td>", key.unwrap_or_default());
            }
            html.push_str("</tr>\n");
        }
        html.push_str("</tbody>\n</table></div>\n");
        if self.rows.len() > MOST_ROWS {
            let _ = writeln!(html, "<p class=\"note\">The first {MOST_ROWS} of {} rows.</p>", self.rows.len());
        }
        html.push_str("</div>\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_few_digits() {
        assert_eq!(
            [0.0, 1.0, 0.25, 1234.5, 1e-9, 1.5e9].map(short),
            ["0", "1", "0.2500", "1234", "1.000e-9", "1.500e9"]
        );
        assert_eq!(([0, 999, 1000, 1_234_567].map(whole)).join(" "), "0 999 1,000 1,234,567");
        assert_eq!((counted(1, "row"), counted(2, "row")), ("1 row".into(), "2 rows".into()));
    }

    #[test]
    fn a_table_has_what_it_is_sorted_by_and_no_more_rows_than_a_page_bears() {
        let row = |value: f64| Row { cells: vec![Cell::number(Some(value)), Cell::code("a < b")], ..Row::default() };
        let columns = vec![Column::number("error"), Column::text("formula")];
        let mut table = Table { caption: "All".into(), columns, rows: vec![row(0.5), row(f64::NAN)] };
        table.rows[0].formula = Some(3);
        let html = |table: &Table| {
            let mut html = String::new();
            write(&[Block::Table(table.clone())], "a", &mut html);
            html
        };
        let written = html(&table);
        assert!(written.contains("data-key=\"5e-1\"><button type=\"button\" class=\"show\">0.5000<"), "{written}");
        assert!(written.contains("data-formula=\"3\"") && written.contains("<code>a &lt; b</code>"), "{written}");
        assert!(written.contains("<table style=\"--code: 5ch\">"), "a formula has a line: {written}");
        table.rows[1].cells[1] = Cell::code("x + ".repeat(50));
        assert!(html(&table).contains("<table style=\"--code: 80ch\">"), "a long one has several");
        table.rows = vec![row(1.0); MOST_ROWS + 1];
        let written = html(&table);
        assert_eq!(written.matches("<tr>").count(), MOST_ROWS + 1, "with that of the titles");
        assert!(written.contains("The first 2000 of 2001 rows."));
    }
}
