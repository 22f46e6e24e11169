//! How any kind of file is shown, as text or as JSON, with one record in memory.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, bail};
use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Map, Value, json};
use sr_codec::Kind;
use sr_corpus::{ProblemRef, Problems, find_problems};
use sr_engine::{PrimitiveSet, SearchConfig};
use sr_problems::Problem;
use sr_prompt::{Context, infix};
use sr_trace::Trajectory;

/// What to show, and how.
pub(crate) struct Options {
    pub(crate) head: Option<usize>,
    pub(crate) id: Option<String>,
    pub(crate) contexts: Option<Contexts>,
    pub(crate) json: bool,
    pub(crate) started: Instant,
}

/// Writes contexts of problems.
pub(crate) struct Contexts {
    kind: Context,
    problems: Problems,
}

impl Contexts {
    /// For a file's records; the problem set is the file itself, the `given` one, or the one that the file names.
    pub(crate) fn open(kind: Context, file: &Path, given: Option<&Path>) -> anyhow::Result<Self> {
        if !file.is_file() {
            bail!("{}: --context is for problem sets, traces and corpora", file.display());
        }
        let header = sr_codec::peek(file)?;
        let set = match (header.kind, header.params["problems"].as_str()) {
            (Kind::Problems, _) => file.to_owned(),
            (_, name) => find_problems(file, name.unwrap_or_default(), given)?,
        };
        Ok(Contexts { kind, problems: Problems::open(set)? })
    }

    /// The context of a problem of the set.
    pub(crate) fn of_problem(&self, id: &str) -> anyhow::Result<String> {
        let problem = self.problems.by_id(id)?;
        Ok(self.text(&problem, 0, problem.instance()?.primitives()))
    }

    /// The context of an example of a corpus, whose problem has to have the points that it was made from.
    pub(crate) fn of_example(&self, problem: &ProblemRef, generation: u32) -> anyhow::Result<String> {
        Ok(self.text(&*self.problems.get(problem)?, generation, &problem.primitives))
    }

    /// The contexts of all states of a search, whose problem has to have the points that were searched.
    pub(crate) fn of_search(&self, search: &Trajectory, config: &SearchConfig) -> anyhow::Result<Vec<String>> {
        let problem = self.problems.by_id(&search.problem_id)?;
        search
            .check_searched(&problem.instance()?, config)
            .with_context(|| self.problems.path().display().to_string())?;
        let text = |generation| self.text(&problem, generation, &search.primitives);
        Ok(search.generations.iter().map(|record| text(record.generation)).collect())
    }

    fn text(&self, problem: &Problem, generation: u32, primitives: &PrimitiveSet) -> String {
        infix::context(self.kind, generation, primitives, &problem.x, &problem.y)
    }
}

/// A file of some kind, read record by record.
pub(crate) trait View {
    type Record: Record;
    /// Name of the kind.
    const KIND: &'static str;

    /// What this file is called, where one kind has several names.
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    /// Titles of the table of records. Titles that begin with `#` are over numbers.
    fn columns(&self) -> Vec<String>;

    fn format_version(&self) -> u32;
    fn header(&self) -> Value;
    /// What of the header a person is shown.
    fn header_text(&self) -> Value {
        self.header()
    }
    /// Whether the file says of itself that it is complete.
    fn is_finished(&self) -> bool;
    /// The next record, counted into the statistics.
    fn next_record(&mut self) -> anyhow::Result<Option<Self::Record>>;
    /// Statistics of all records read, a name and a value each.
    fn statistics(&self) -> Vec<(&'static str, Value)>;
    /// What else is to be said to a person, in lines.
    fn notes(&self) -> String {
        String::new()
    }
}

/// A record of a file.
pub(crate) trait Record {
    /// What `--id` finds it by, beside its number.
    fn id(&self) -> &str;
    /// Its line in the table of records.
    fn row(&self) -> Vec<String>;
    fn json(&self) -> Value;
    /// The contexts of its states.
    fn contexts(&self, _: &Contexts) -> anyhow::Result<Vec<String>> {
        bail!("--context is for problem sets, traces and corpora")
    }
    /// All of it, as text.
    fn detail(&self) -> anyhow::Result<String> {
        Ok(format!("{:#}", self.json()))
    }
}

/// Shows a file. Should it end with an error, all that comes before is shown first.
pub(crate) fn show<V: View>(mut view: V, options: Options) -> anyhow::Result<()> {
    let everything = options.json || !view.is_finished();
    let head = options.head.unwrap_or(if everything { usize::MAX } else { 10 });
    let mut output = Output::start(&view, &options)?;
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
            output.record(count, &record, options.contexts.as_ref())?;
        }
        count += 1;
    };
    output.finish(&view, count, &options)?;
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
}

impl Output {
    fn start<V: View>(view: &V, options: &Options) -> anyhow::Result<Self> {
        if !options.json {
            return Ok(if options.id.is_some() { Output::Detail } else { Output::Rows(Vec::new()) });
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

    fn record(&mut self, index: usize, record: &impl Record, contexts: Option<&Contexts>) -> anyhow::Result<()> {
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
            Output::Detail => {
                sr_cli::out(&record.detail()?)?;
                texts.iter().flatten().try_for_each(|text| sr_cli::out(&format!("\n{text}")))
            }
        }
    }

    fn finish<V: View>(self, view: &V, count: usize, options: &Options) -> anyhow::Result<()> {
        match self {
            Output::Json { .. } => {
                let statistics: Map<String, Value> =
                    view.statistics().into_iter().map(|(name, value)| (name.replace(' ', "_"), value)).collect();
                let seconds = sr_cli::seconds(options.started.elapsed());
                let end = json!({ "count": count, "statistics": statistics, "seconds": seconds }).to_string();
                sr_cli::out(&format!("],{}", end.strip_prefix('{').expect("an object begins with a brace")))
            }
            Output::Rows(rows) => {
                let mut text =
                    format!("{}, format version {}, {count} records\n\n", view.kind(), view.format_version());
                let header = flattened(&view.header_text());
                let header = header.into_iter().map(|(name, value)| vec![name, cut(&value, HEADER_WIDTH)]);
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
                    text.push_str(&table(&columns, rows));
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
            Output::Detail => Ok(()),
        }
    }
}

/// Aligned columns; titles that begin with `#` lose it and have their column aligned to the right.
pub(crate) fn table(titles: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    if !titles.is_empty() {
        table.set_header(titles.iter().map(|title| title.trim_start_matches("# ")));
    }
    table.add_rows(rows);
    for (index, title) in titles.iter().enumerate() {
        if let (true, Some(column)) = (title.starts_with('#'), table.column_mut(index)) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt() + "\n"
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

/// A value without JSON's quotes and brackets.
pub(crate) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(plain).collect::<Vec<_>>().join(" "),
        Value::Object(map) if map.contains_key("mean") => {
            let [min, mean, max] = ["min", "mean", "max"].map(|name| plain(&map[name]));
            format!("{mean} ({min} to {max})")
        }
        Value::Object(map) => {
            map.iter().map(|(key, value)| format!("{key} {}", plain(value))).collect::<Vec<_>>().join(", ")
        }
        Value::Number(number) if number.is_f64() => short(number.as_f64().unwrap_or(f64::NAN)),
        value => value.to_string(),
    }
}

/// A number for a table: four significant digits.
pub(crate) fn short(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        1e-3..1e6 => {
            let digits = (3 - value.abs().log10().floor() as i32).max(0) as usize;
            let text = format!("{value:.digits$}");
            if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
        }
        _ => format!("{value:.3e}"),
    }
}

/// Characters of a value of the header; JSON has all of it.
const HEADER_WIDTH: usize = 160;

/// Text that leaves room for other columns.
pub(crate) fn ellipsis(text: &str) -> String {
    cut(text, 60)
}

/// The first so many characters, with a sign that there are more.
pub(crate) fn cut(text: &str, width: usize) -> String {
    match text.char_indices().nth(width) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Minimum, mean and maximum.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spread {
    n: u64,
    sum: f64,
    min: f64,
    max: f64,
}

impl Default for Spread {
    fn default() -> Self {
        Spread { n: 0, sum: 0.0, min: f64::INFINITY, max: f64::NEG_INFINITY }
    }
}

impl Spread {
    pub(crate) fn add(&mut self, value: f64) {
        self.n += 1;
        self.sum += value;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    pub(crate) fn mean(&self) -> f64 {
        self.sum / self.n as f64
    }

    /// Null if there are no values.
    pub(crate) fn json(&self) -> Value {
        match self.n {
            0 => Value::Null,
            _ => json!({ "min": self.min, "mean": self.mean(), "max": self.max }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_four_digits() {
        for (value, text) in
            [(0.0, "0"), (1.0, "1"), (20.0, "20"), (0.012345, "0.01235"), (-123456.0, "-123456"), (1e-17, "1.000e-17")]
        {
            assert_eq!(short(value), text);
        }
        assert_eq!(short(f64::INFINITY), "inf");
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        assert_eq!(ellipsis(&"é".repeat(60)), "é".repeat(60));
        assert_eq!(ellipsis(&"é".repeat(61)), "é".repeat(60) + "…");
    }
}
