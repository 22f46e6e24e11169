//! JSON files that the binaries write: evaluations, run files, settings, and JSON lines such as metrics.

use std::path::Path;

use anyhow::Context;
use serde_json::{Map, Value, json};

use crate::view::{Record, View};

/// A JSON object, whose `rows` are the records if it has some, or JSON lines.
pub(crate) struct Json {
    header: Value,
    records: std::vec::IntoIter<(usize, Value)>,
}

/// One row or line.
pub(crate) struct Item {
    number: String,
    value: Value,
}

impl Json {
    /// Whether a file of this name is JSON.
    pub(crate) fn is_named(path: &Path) -> bool {
        path.extension().is_some_and(|extension| extension == "json" || extension == "jsonl")
    }

    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        let is_lines = path.extension().is_some_and(|extension| extension == "jsonl");
        let (header, records) = if is_lines {
            let line = |(index, line)| {
                serde_json::from_str(line).with_context(|| format!("{}: line {}: no JSON", path.display(), index + 1))
            };
            (json!({}), text.lines().enumerate().map(line).collect::<anyhow::Result<Vec<Value>>>()?)
        } else {
            let mut header: Value =
                serde_json::from_str(&text).with_context(|| format!("{}: no JSON", path.display()))?;
            let rows = header.as_object_mut().and_then(|object| object.remove("rows"));
            (header, rows.and_then(|rows| rows.as_array().cloned()).unwrap_or_default())
        };
        let records: Vec<(usize, Value)> = records.into_iter().enumerate().collect();
        Ok(Json { header, records: records.into_iter() })
    }
}

impl View for Json {
    type Record = Item;
    const KIND: &'static str = "json";
    const COLUMNS: &'static [&'static str] = &["fields"];

    fn format_version(&self) -> u32 {
        1
    }

    fn header(&self) -> Value {
        self.header.clone()
    }

    fn is_finished(&self) -> bool {
        true // written aside and renamed, or appended line by line
    }

    fn next_record(&mut self) -> anyhow::Result<Option<Item>> {
        Ok(self.records.next().map(|(number, value)| Item { number: number.to_string(), value }))
    }

    fn statistics(&self) -> Vec<(&'static str, Value)> {
        Vec::new()
    }
}

impl Record for Item {
    fn id(&self) -> &str {
        &self.number
    }

    fn row(&self) -> Vec<String> {
        let empty = Map::new();
        let fields = self.value.as_object().unwrap_or(&empty).iter().filter(|(_, value)| !value.is_null());
        vec![fields.map(|(key, value)| format!("{key} {}", crate::view::plain(value))).collect::<Vec<_>>().join("  ")]
    }

    fn json(&self) -> Value {
        self.value.clone()
    }
}
