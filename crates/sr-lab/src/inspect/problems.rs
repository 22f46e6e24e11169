//! Problem sets.

use std::fmt;
use std::path::Path;

use anyhow::ensure;
use serde::de::{self, Deserializer};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sr_codec::Reader;
use sr_problems::FORMAT_VERSION_WIDE;

use super::text::short;
use super::{Contexts, Record, Spread, View};

pub(super) struct Problems {
    reader: Reader,
    problems: u64,
    formulas: u64,
    rows: Spread,
    variables: Spread,
}

/// The fields of a problem that are shown; its points are not.
#[derive(Deserialize, Serialize)]
pub(super) struct Problem {
    id: String,
    source: Option<String>,
    rows: u64,
    variables: u64,
    y: Range,
    operators: Vec<String>,
    constants: Vec<f64>,
    sampler: Value,
    seed: u64,
}

/// Minimum, mean and maximum of a column of 64-bit floats.
#[derive(Serialize)]
struct Range {
    min: f64,
    mean: f64,
    max: f64,
}

impl<'de> Deserialize<'de> for Range {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Range;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a byte string of 64-bit floats")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Range, E> {
                let values = || bytes.as_chunks().0.iter().map(|&bytes| f64::from_le_bytes(bytes));
                let mean = values().sum::<f64>() / values().count() as f64;
                Ok(Range {
                    min: values().fold(f64::INFINITY, f64::min),
                    mean,
                    max: values().fold(f64::NEG_INFINITY, f64::max),
                })
            }
        }
        deserializer.deserialize_bytes(Visitor)
    }
}

impl Problems {
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        // Checks the version: records of a later one may mean something else.
        let reader = Reader::open_any(path)?;
        let version = reader.header().version;
        ensure!(
            version <= FORMAT_VERSION_WIDE,
            "{}: problems of version {version}, expected at most {FORMAT_VERSION_WIDE}: update sr to read it",
            path.display()
        );
        Ok(Problems { reader, problems: 0, formulas: 0, rows: Spread::default(), variables: Spread::default() })
    }
}

impl View for Problems {
    fn kind(&self) -> &'static str {
        "problems"
    }

    fn columns(&self) -> Vec<String> {
        ["id", "# rows", "# variables", "# min y", "# mean y", "# max y", "formula"].map(String::from).to_vec()
    }

    fn format_version(&self) -> u32 {
        self.reader.header().version
    }

    fn header(&self) -> Value {
        self.reader.header().params.clone()
    }

    fn is_finished(&self) -> bool {
        self.reader.stated_records().is_some()
    }

    fn next_record(&mut self) -> anyhow::Result<Option<Box<dyn Record>>> {
        let record = self.reader.next_record::<Problem>()?;
        if let Some(problem) = &record {
            self.problems += 1;
            self.formulas += u64::from(problem.source.is_some());
            self.rows.add(problem.rows as f64);
            self.variables.add(problem.variables as f64);
        }
        Ok(record.map(|problem| Box::new(problem) as Box<dyn Record>))
    }

    fn statistics(&self) -> Vec<(&'static str, Value)> {
        vec![
            ("problems", json!(self.problems)),
            ("with formula", json!(self.formulas)),
            ("rows", self.rows.json()),
            ("variables", self.variables.json()),
        ]
    }
}

impl Record for Problem {
    fn id(&self) -> &str {
        &self.id
    }

    fn row(&self) -> Vec<String> {
        let Range { min, mean, max } = self.y;
        let formula = self.source.as_deref().unwrap_or("(unknown)");
        let numbers = [self.rows.to_string(), self.variables.to_string(), short(min), short(mean), short(max)];
        [vec![self.id.clone()], numbers.to_vec(), vec![formula.to_owned()]].concat()
    }

    fn contexts(&self, contexts: &Contexts) -> anyhow::Result<Vec<String>> {
        Ok(vec![contexts.of_problem(&self.id)?])
    }

    fn json(&self) -> Value {
        serde_json::to_value(self).expect("a problem is plain data")
    }
}
