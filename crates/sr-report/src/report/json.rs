//! Fields of results, read with an error that names them.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::ReportError;

/// An object and what it is of.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a> {
    pub(super) of: &'static str,
    pub(super) json: &'a Value,
}

impl<'a> Fields<'a> {
    fn missing(self, name: &str) -> ReportError {
        ReportError::Field { of: self.of, name: name.to_owned() }
    }

    pub(super) fn text(self, name: &str) -> Result<&'a str, ReportError> {
        self.json[name].as_str().ok_or_else(|| self.missing(name))
    }

    pub(super) fn number(self, name: &str) -> Result<u64, ReportError> {
        self.json[name].as_u64().ok_or_else(|| self.missing(name))
    }

    /// Returns a list that is not empty.
    pub(super) fn list(self, name: &str) -> Result<&'a [Value], ReportError> {
        let list = self.json[name].as_array().filter(|list| !list.is_empty());
        list.map(Vec::as_slice).ok_or_else(|| self.missing(name))
    }

    /// Returns the records of a list that is not empty.
    pub(super) fn records<T: DeserializeOwned>(self, name: &'static str) -> Result<Vec<T>, ReportError> {
        let read = |item: &Value| T::deserialize(item).map_err(|source| ReportError::Json { of: name, source });
        self.list(name)?.iter().map(read).collect()
    }
}

/// Returns whether a setting says nothing.
pub(super) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::String(text) => text.is_empty(),
        Value::Bool(value) => !value,
        Value::Number(_) => false,
    }
}

/// Returns the problem set of a result in words: their number, and the fingerprint that tells equal sets.
pub(super) fn problem_set(value: &Value) -> String {
    let is_fingerprint = |text: &str| text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    match value.as_str().and_then(|text| text.rsplit_once(' ')) {
        Some((count, hash)) if is_fingerprint(hash) => {
            let count = if count == "1 problems" { "1 problem" } else { count };
            format!("{count}; the fingerprint of the set is {hash}")
        }
        _ => value_in_words(value),
    }
}

/// Returns the settings that say something, as names and values.
pub(super) fn settings(json: &Value) -> Vec<(String, String)> {
    let said = json.as_object().into_iter().flatten().filter(|(_, value)| !is_empty(value));
    let words = |name: &str, value| if name == "problems" { problem_set(value) } else { value_in_words(value) };
    said.map(|(name, value)| (name.clone(), words(name, value))).collect()
}

/// Returns a setting as a person writes it.
pub(super) fn value_in_words(value: &Value) -> String {
    match value {
        Value::Bool(value) => if *value { "yes" } else { "no" }.to_owned(),
        value if is_empty(value) => "none".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(list) => list.iter().map(value_in_words).collect::<Vec<_>>().join(", "),
        Value::Object(fields) => {
            let field = |(name, value): (&String, &Value)| format!("{name} {}", value_in_words(value));
            fields.iter().map(field).collect::<Vec<_>>().join(", ")
        }
        value => value.to_string(),
    }
}
