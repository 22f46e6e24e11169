//! JSON files that the binaries write (evaluations, run files, settings), JSON lines such as metrics, and CSV and TOML
//! files, which are shown as if they were JSON.

use std::ffi::OsStr;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use sr_eval::{DirectSummary, Summary};

use super::text::{plain, short};
use super::{Record, View};

/// An object with its list of records, if it has one, or a list of records alone.
pub(super) struct Json {
    header: Value,
    columns: Vec<Column>,
    records: std::vec::IntoIter<(usize, Value)>,
    notes: String,
}

/// A column of the table of records: its title, and the name of the field below it.
#[derive(Clone, Copy)]
struct Column(&'static str, &'static str);

/// One record: a row or a line.
pub(super) struct Item {
    number: String,
    value: Value,
    columns: Vec<Column>,
}

/// Columns for the rows of sr-evaluate.
const ROWS: [Column; 9] = [
    Column("method", "method"),
    Column("problem", "problem"),
    Column("# seed", "seed"),
    Column("solved", "solved"),
    Column("# mse", "mse_train"),
    Column("# generations", "generations"),
    Column("# evaluations", "evaluations"),
    Column("# size", "size"),
    Column("expression", "expression"),
];

/// Columns for the rows of sr-evaluate direct.
const DIRECT: [Column; 8] = [
    Column("problem", "problem"),
    Column("pick", "pick"),
    Column("exact", "exact"),
    Column("solved", "solved"),
    Column("# R²", "r2_test"),
    Column("# mse", "mse_train"),
    Column("# size", "size"),
    Column("expression", "expression"),
];

/// Columns for the formulas of sr-fit.
const FORMULAS: [Column; 6] = [
    Column("# size", "size"),
    Column("# rmse", "rmse"),
    Column("# loss", "loss"),
    Column("# R²", "r2"),
    Column("exact", "exact"),
    Column("formula", "formula"),
];

/// Columns for the results of sr-dagger.
const MILESTONES: [Column; 9] = [
    Column("milestone", "milestone_id"),
    Column("status", "status"),
    Column("# expert rate", "expert_success_rate"),
    Column("# expert steps", "expert_mean_steps"),
    Column("# max steps", "max_episode_steps"),
    Column("# final rate", "dagger_final_success_rate"),
    Column("# best rate", "dagger_best_success_rate"),
    Column("# best round", "best_round"),
    Column("reason", "reason"),
];

/// Names of the fields that hold records.
const LISTS: [&str; 7] = ["front", "rows", "milestones", "comparisons", "finalists", "records", "methods"];

impl Json {
    /// Returns whether the file's extension is one of those shown as JSON.
    pub(super) fn is_named(path: &Path) -> bool {
        let extension = path.extension().and_then(OsStr::to_str);
        extension.is_some_and(|extension| ["json", "jsonl", "rows", "csv", "toml"].contains(&extension))
    }

    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        let bytes = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        let Ok(text) = String::from_utf8(bytes) else { bail!("{}: no text in UTF-8", path.display()) };
        match path.extension().and_then(OsStr::to_str) {
            Some("jsonl") => Ok(Self::of_list(lines(path, &text)?)),
            Some("rows") => {
                // The first line has the settings of an unfinished evaluation, the others its rows.
                let mut lines = lines(path, &text)?;
                ensure!(!lines.is_empty(), "{}: it is empty", path.display());
                let settings = lines.remove(0);
                let rows: Vec<Value> = lines.into_iter().map(floats).collect();
                Ok(Self::of_object(json!({ "settings": settings, "rows": rows })))
            }
            Some("csv") => csv(path, &text),
            Some("toml") => {
                let value: Value = toml::from_str(&text).with_context(|| format!("{}: no TOML", path.display()))?;
                Ok(Self::of_object(value))
            }
            _ => {
                let value: Value =
                    serde_json::from_str(&text).with_context(|| format!("{}: no JSON", path.display()))?;
                match value {
                    Value::Array(items) => Ok(Self::of_list(items)),
                    value => Ok(Self::of_object(value)),
                }
            }
        }
    }

    fn of_list(items: Vec<Value>) -> Self {
        let records: Vec<(usize, Value)> = items.into_iter().enumerate().collect();
        Json { header: json!({}), columns: Vec::new(), records: records.into_iter(), notes: String::new() }
    }

    /// Returns the view of an object; its first list of records becomes the records.
    pub(super) fn of_object(mut header: Value) -> Self {
        let is_records = |value: &Value| value.as_array().is_some_and(|items| items.iter().all(Value::is_object));
        let list = LISTS.iter().find(|list| header.get(**list).is_some_and(is_records));
        let removed = list.and_then(|list| header.as_object_mut()?.remove(*list));
        let items = removed.and_then(|value| value.as_array().cloned()).unwrap_or_default();
        let first = items.first();
        let has = |field: &str| first.is_some_and(|row| row.get(field).is_some());
        let columns = match () {
            () if has("formula") && header.get("marked").is_some() => FORMULAS.to_vec(),
            () if has("milestone_id") => MILESTONES.to_vec(),
            () if has("pick") && has("expression") => DIRECT.to_vec(),
            () if has("method") && has("expression") => ROWS.to_vec(),
            () => Vec::new(),
        };
        let marked = header.get("marked").and_then(Value::as_u64).and_then(|marked| items.get(marked as usize));
        let marked = marked.map(|marked| format!("marked: {}\n", plain(&marked["formula"])));
        let notes = summary(&header).or(marked).unwrap_or_default();
        Json { columns, notes, ..Json { header, ..Self::of_list(items) } }
    }
}

impl Json {
    /// Returns the table of all records.
    pub(super) fn table(mut self) -> String {
        let columns = self.columns();
        let columns: Vec<&str> = columns.iter().map(|column| &**column).collect();
        let mut rows = Vec::new();
        while let Ok(Some(item)) = self.next_record() {
            rows.push(item.row());
        }
        super::text::table(&columns, rows)
    }
}

/// Returns the summary table of an evaluation.
fn summary(header: &Value) -> Option<String> {
    fn read<T: DeserializeOwned>(header: &Value) -> Option<Vec<T>> {
        let read: Vec<T> = serde_json::from_value(header.get("summary")?.clone()).ok()?;
        (!read.is_empty()).then_some(read)
    }
    let searches = || Some(sr_eval::summary_table(&read::<Summary>(header)?));
    let formulas = || Some(sr_eval::direct_summary_table(&read::<DirectSummary>(header)?));
    Some(searches().or_else(formulas)? + "\n")
}

fn lines(path: &Path, text: &str) -> anyhow::Result<Vec<Value>> {
    let line = |(index, line)| {
        serde_json::from_str(line).with_context(|| format!("{}: line {}: no JSON", path.display(), index + 1))
    };
    text.lines().enumerate().map(line).collect()
}

/// Converts floats, which `OUT.rows` stores as text, to numbers.
fn floats(value: Value) -> Value {
    match value {
        Value::Object(map) if map.len() == 1 && map.contains_key("f64") => {
            map["f64"].as_str().and_then(|text| text.parse::<f64>().ok()).into()
        }
        Value::Object(map) => map.into_iter().map(|(name, value)| (name, floats(value))).collect(),
        Value::Array(values) => values.into_iter().map(floats).collect(),
        value => value,
    }
}

/// Reads a table with a header row, such as the results of sr-dagger. Fields are text; an empty field is null.
fn csv(path: &Path, text: &str) -> anyhow::Result<Json> {
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(text.as_bytes());
    let reading = || format!("{}: no CSV", path.display());
    let titles: Vec<String> = reader.headers().with_context(reading)?.iter().map(str::to_owned).collect();
    let mut items = Vec::new();
    for record in reader.records() {
        let record = record.with_context(reading)?;
        let fields = titles.iter().zip(record.iter());
        let value = |text: &str| if text.is_empty() { Value::Null } else { text.into() };
        items.push(Value::Object(fields.map(|(title, text)| (title.clone(), value(text))).collect()));
    }
    let is_ours = titles.iter().any(|title| title == "milestone_id");
    let columns =
        if is_ours { MILESTONES.into_iter().filter(|c| titles.iter().any(|t| t == c.1)).collect() } else { Vec::new() };
    Ok(Json { header: json!({ "columns": titles }), columns, ..Json::of_list(items) })
}

impl View for Json {
    fn kind(&self) -> &'static str {
        "json"
    }

    fn columns(&self) -> Vec<String> {
        match &*self.columns {
            [] => vec!["fields".into()],
            columns => columns.iter().map(|column| column.0.to_owned()).collect(),
        }
    }

    fn format_version(&self) -> u32 {
        1
    }

    fn header(&self) -> Value {
        self.header.clone()
    }

    fn header_text(&self) -> Value {
        // The tables show it better.
        let mut header = self.header.clone();
        if let (Some(fields), false) = (header.as_object_mut(), self.notes.is_empty()) {
            fields.remove("summary");
        }
        header
    }

    fn is_finished(&self) -> bool {
        true // written aside and renamed, or appended line by line
    }

    fn next_record(&mut self) -> anyhow::Result<Option<Box<dyn Record>>> {
        let columns = &self.columns;
        let item =
            |(number, value): (usize, Value)| Item { number: number.to_string(), value, columns: columns.clone() };
        Ok(self.records.next().map(|record| Box::new(item(record)) as Box<dyn Record>))
    }

    fn statistics(&self) -> Vec<(&'static str, Value)> {
        Vec::new()
    }

    fn notes(&self) -> String {
        self.notes.clone()
    }
}

impl Record for Item {
    fn id(&self) -> &str {
        &self.number
    }

    fn row(&self) -> Vec<String> {
        if !self.columns.is_empty() {
            let cell = |column: &Column| match (&self.value[column.1], column.1) {
                (Value::Null, _) => "–".into(),
                (Value::Bool(yes), _) => if *yes { "yes" } else { "no" }.into(),
                (Value::String(text), _) => text.clone(),
                (Value::Number(number), _) if number.is_f64() => short(number.as_f64().unwrap_or(f64::NAN)),
                (value, _) => plain(value),
            };
            return self.columns.iter().map(cell).collect();
        }
        let empty = Map::new();
        let fields = self.value.as_object().unwrap_or(&empty).iter().filter(|(_, value)| !value.is_null());
        vec![fields.map(|(key, value)| format!("{key} {}", plain(value))).collect::<Vec<_>>().join("  ")]
    }

    fn json(&self) -> Value {
        self.value.clone()
    }
}
