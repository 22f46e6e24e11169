//! The flags by which a table is read, and what is told of one that was read.

use std::path::PathBuf;

use clap::ValueEnum;
use serde_json::{Value, json};
use sr_lab::sr_problems::{Decimal, Missing, Separator, TableOptions, TableReport, TextFormat};

/// Variables that the text result names.
const NAMED: usize = 50;

/// Which file is read, and how.
#[derive(Debug, Clone, clap::Args)]
pub struct TableArgs {
    /// The file, CSV or Parquet, or - for standard input; the random streams of searches are keyed by its name
    pub file: PathBuf,
    /// Column to be explained
    #[arg(long, value_name = "COL")]
    pub target: String,
    /// How it is read.
    #[command(flatten)]
    pub reading: ReadingArgs,
}

/// How a table is read.
#[derive(Debug, Clone, clap::Args)]
pub struct ReadingArgs {
    /// Columns that are variables, separated by commas, in this order [default: all others]
    #[arg(long, value_name = "COLS")]
    pub features: Vec<String>,
    /// Columns that are no variables, separated by commas; "" is the column without a name
    #[arg(long, value_name = "COLS", conflicts_with = "features")]
    pub drop: Vec<String>,
    /// Column of weights: how much each row counts, not negative; it is no variable
    #[arg(long, value_name = "COL")]
    pub weights: Option<String>,
    /// The first row is data; the columns are called column1, column2, …
    #[arg(long)]
    pub no_header: bool,
    /// What fields are separated by: , ; | or comma, semicolon, tab, pipe, blanks (runs of spaces and tabs) [default: what
    /// header and first rows agree in]
    #[arg(long, value_name = "SEP")]
    pub separator: Option<Separator>,
    /// Decimal sign: . or ,
    #[arg(long, value_name = "SIGN", default_value = ".")]
    pub decimal: Decimal,
    /// Rows of which a value is missing (an empty field, null, NA, NaN, None, - or ?)
    #[arg(long, value_enum, default_value_t = MissingArg::Refuse)]
    pub missing: MissingArg,
}

/// What becomes of rows of which a value is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MissingArg {
    /// An error that names the first one
    Refuse,
    /// The rows are left out and counted
    Drop,
}

impl TableArgs {
    /// Returns how the table is to be read.
    pub fn options(&self) -> TableOptions {
        self.reading.options(&self.target)
    }
}

impl ReadingArgs {
    /// Returns how a table with this target is to be read.
    pub fn options(&self, target: &str) -> TableOptions {
        let mut options = TableOptions::new(target);
        options.features = (!self.features.is_empty()).then(|| self.features.clone());
        options.drop = self.drop.clone();
        options.weights = self.weights.clone();
        options.header = !self.no_header;
        options.separator = self.separator;
        options.decimal = self.decimal;
        options.missing = match self.missing {
            MissingArg::Refuse => Missing::Refuse,
            MissingArg::Drop => Missing::Drop,
        };
        options
    }
}

/// Returns how a table was read, and what became of its columns.
pub fn table_in_words(report: &TableReport) -> String {
    let mut text = String::from("  ");
    match report.text {
        Some(TextFormat { separator, decimal, header, comments }) => {
            text += &format!("text separated by {}, decimal sign {}", plural(separator), decimal.sign());
            text += if header { "" } else { ", no header" };
            if comments > 0 {
                text += &format!(", {}", counted(comments as usize, "comment line"));
            }
        }
        None => text += "Parquet",
    }
    text += &format!(", {}", counted(report.rows, "row"));
    if report.dropped_rows > 0 {
        text += &format!(" ({} with missing values left out)", counted(report.dropped_rows, "row"));
    }
    let names = |names: &[String], prefix: &str| {
        let name = |(index, name): (usize, &String)| match prefix {
            "" => shown(name),
            prefix => format!("{prefix}{index} = {}", shown(name)),
        };
        let mut list: Vec<String> = names.iter().enumerate().take(NAMED).map(name).collect();
        if names.len() > NAMED {
            list.push(format!("and {} more, which --json lists", names.len() - NAMED));
        }
        list.join(", ")
    };
    text += &format!("\n  y = {}; {}", shown(&report.target), names(&report.variables, "x"));
    for (role, column) in [("weights", &report.weights), ("σ", &report.sigma), ("groups", &report.group)] {
        text += &column.as_ref().map_or(String::new(), |column| format!("; {role} = {}", shown(column)));
    }
    if !report.unused.is_empty() {
        text += &format!("; not used: {}", names(&report.unused, ""));
    }
    text
}

/// Returns the same as JSON.
pub fn table_json(report: &TableReport) -> Value {
    let mut table = json!({
        "format": if report.text.is_some() { "text" } else { "parquet" },
        "separator": report.text.map(|text| text.separator.name()),
        "decimal": report.text.map(|text| text.decimal.sign()),
        "header": report.text.map(|text| text.header),
        "comment_lines": report.text.map(|text| text.comments),
        "target": report.target,
        "variables": report.variables,
        "weights": report.weights,
        "unused": report.unused,
        "rows": report.rows,
        "dropped_rows": report.dropped_rows,
        "warnings": report.warnings.iter().map(ToString::to_string).collect::<Vec<_>>(),
    });
    // Of programs that have such flags.
    for (role, column) in [("sigma", &report.sigma), ("group", &report.group)] {
        if let Some(column) = column {
            table[role] = json!(column);
        }
    }
    table
}

/// Returns a number with its noun, in the singular or plural.
pub fn counted(n: usize, what: &str) -> String {
    match n {
        1 => format!("1 {what}"),
        _ if what.ends_with("search") => format!("{n} {what}es"),
        _ => format!("{n} {what}s"),
    }
}

fn plural(separator: Separator) -> &'static str {
    match separator {
        Separator::Comma => "commas",
        Separator::Semicolon => "semicolons",
        Separator::Tab => "tabs",
        Separator::Pipe => "pipes",
        Separator::Blanks => "blanks",
    }
}

/// A name, in quotes where it could be taken for something else.
fn shown(name: &str) -> String {
    let is_odd = |c: char| c.is_control() || c.is_whitespace() || ",;=\"".contains(c);
    if name.is_empty() || name.contains(is_odd) { format!("{name:?}") } else { name.into() }
}
