//! How a file is printed, as text or as JSON, with one record in memory.

use std::io::IsTerminal;
use std::time::Instant;

use anyhow::bail;
use serde_json::{Map, Value, json};
use sr_lab::inspect::text::{cut, ellipsis, plain, table};
use sr_lab::inspect::{Contexts, Record, View};

/// What to show, and how.
pub(crate) struct Shown {
    pub(crate) head: Option<usize>,
    pub(crate) id: Option<String>,
    pub(crate) contexts: Option<Contexts>,
    pub(crate) json: bool,
    /// Whether formulas are printed whole on a terminal too.
    pub(crate) best: bool,
    /// Whether nothing but exported formulas is shown, if not as JSON.
    pub(crate) export: bool,
    pub(crate) started: Instant,
}

/// Shows a file. Should it end with an error, all that comes before is shown first.
pub(crate) fn show(view: &mut dyn View, options: Shown) -> anyhow::Result<()> {
    let everything = options.json || options.export || !view.is_finished();
    let head = options.head.unwrap_or(if everything { usize::MAX } else { 10 });
    let mut output = Output::start(view, &options)?;
    let mut count = 0;
    let mut found = false;
    let ended = loop {
        let record = match view.next_record() {
            Ok(Some(record)) => record,
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        };
        let wanted = match &options.id {
            Some(id) => !found && (count.to_string() == *id || record.id() == id),
            None => count < head,
        };
        found |= wanted;
        if wanted {
            output.record(count, &*record, options.contexts.as_ref())?;
        }
        count += 1;
    };
    output.finish(view, count, &options)?;
    ended?;
    match options.id {
        Some(id) if !found => bail!("there is no record {id} among {count}"),
        _ => Ok(()),
    }
}

/// Where the records go.
enum Output {
    /// Written as they come.
    Json { first: bool },
    /// Lines of a table, which is printed when all widths are known.
    Rows(Vec<Vec<String>>),
    /// The one that `--id` asks for, printed at once.
    Detail,
    /// Exported formulas, printed as they come.
    Exports { first: bool },
}

impl Output {
    fn start(view: &dyn View, options: &Shown) -> anyhow::Result<Self> {
        if !options.json {
            return Ok(match options.id {
                _ if options.export => Output::Exports { first: true },
                Some(_) => Output::Detail,
                None => Output::Rows(Vec::new()),
            });
        }
        let start = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "command": "sr-inspect",
            "kind": view.kind(),
            "format_version": view.format_version(),
            "header": view.header(),
        });
        let start = start.to_string();
        let open = start.strip_suffix('}').expect("an object ends with a brace");
        sr_cli::out(&format!("{open},\"records\":["))?;
        Ok(Output::Json { first: true })
    }

    fn record(&mut self, index: usize, record: &dyn Record, contexts: Option<&Contexts>) -> anyhow::Result<()> {
        let texts = contexts.map(|contexts| record.contexts(contexts)).transpose()?;
        match self {
            Output::Json { first } => {
                let comma = if std::mem::take(first) { "" } else { "," };
                let mut value = record.json();
                match texts.as_deref() {
                    None => {}
                    Some([text]) => value["context"] = json!(text),
                    Some(texts) => value["contexts"] = json!(texts),
                }
                sr_cli::out(&format!("{comma}{value}"))
            }
            Output::Rows(rows) => {
                rows.push([vec![index.to_string()], record.row()].concat());
                Ok(())
            }
            Output::Exports { first } => {
                let text = record.export().unwrap_or_default();
                // Between texts of several lines there is an empty one.
                let many = text.lines().nth(1).is_some();
                let between = if std::mem::take(first) || !many { "" } else { "\n" };
                sr_cli::out(&format!("{between}{text}"))
            }
            Output::Detail => {
                sr_cli::out(&record.detail()?)?;
                texts.iter().flatten().try_for_each(|text| sr_cli::out(&format!("\n{text}")))
            }
        }
    }

    fn finish(self, view: &dyn View, count: usize, options: &Shown) -> anyhow::Result<()> {
        match self {
            Output::Json { .. } => {
                let statistics: Map<String, Value> =
                    view.statistics().into_iter().map(|(name, value)| (name.replace(' ', "_"), value)).collect();
                let seconds = sr_cli::seconds(options.started.elapsed());
                let end = json!({ "count": count, "statistics": statistics, "seconds": seconds }).to_string();
                sr_cli::out(&format!("],{}", end.strip_prefix('{').expect("an object begins with a brace")))
            }
            Output::Rows(mut rows) => {
                let records = sr_args::counted(count, "record");
                let mut text = format!("{}, format version {}, {records}\n\n", view.kind(), view.format_version());
                let header = flattened(&view.header_text());
                // A line that a terminal breaks is hard to read; a file or pipe gets all of it.
                let is_terminal = std::io::stdout().is_terminal();
                let value = |value: String| if is_terminal { cut(&value, WIDTH) } else { value };
                let header = header.into_iter().map(|(name, text)| vec![name, value(text)]);
                text.push_str(&table(&[], header.collect()));
                text.push('\n');
                let statistics = view.statistics().into_iter().filter(|(_, value)| !value.is_null());
                let statistics = statistics.map(|(name, value)| vec![name.into(), plain(&value)]);
                text.push_str(&table(&[], statistics.collect()));
                if !rows.is_empty() {
                    let more = count - rows.len();
                    text.push('\n');
                    let columns = view.columns();
                    let columns: Vec<&str> = ["# record"].into_iter().chain(columns.iter().map(|c| &**c)).collect();
                    let is_cut = is_terminal && !options.best && shorten(&mut rows);
                    text.push_str(&table(&columns, rows));
                    if is_cut {
                        text.push_str(
                            "what ends in … is cut: a file or pipe gets it whole, and --best prints whole formulas\n",
                        );
                    }
                    if more > 0 {
                        text.push_str(&format!("… and {more} more (--head all)\n"));
                    }
                }
                let notes = view.notes();
                if !notes.is_empty() {
                    text.push_str(&format!("\n{notes}"));
                }
                sr_cli::out(&text)
            }
            Output::Detail | Output::Exports { .. } => Ok(()),
        }
    }
}

/// Shortens the last column, that of formulas, and returns whether anything was cut. A column that stands alone beside the
/// number may be wider.
fn shorten(rows: &mut [Vec<String>]) -> bool {
    let mut is_cut = false;
    for row in rows {
        let is_alone = row.len() <= 2;
        let Some(cell) = row.last_mut() else { continue };
        let short = if is_alone { cut(cell, WIDTH) } else { ellipsis(cell) };
        is_cut |= short != *cell;
        *cell = short;
    }
    is_cut
}

/// The lines of a header: objects are opened, `engine.limits.max_size`.
fn flattened(value: &Value) -> Vec<(String, String)> {
    fn walk(name: &str, value: &Value, out: &mut Vec<(String, String)>) {
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    walk(&if name.is_empty() { key.clone() } else { format!("{name}.{key}") }, value, out);
                }
            }
            Value::Null => {}
            value => out.push((name.to_owned(), plain(value))),
        }
    }
    let mut out = Vec::new();
    walk("", value, &mut out);
    out
}

/// Characters of a value of the header, and of a line of fields, in a terminal.
const WIDTH: usize = 160;
