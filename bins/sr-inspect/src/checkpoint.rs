//! Checkpoints and training runs: folders with the settings of a model beside its weights.

use std::path::Path;

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use crate::view::{Record, View};

/// The files of a checkpoint; its settings and what its trainer noted.
pub(crate) struct Checkpoint {
    config: Value,
    meta: Value,
    vocabulary: Option<usize>,
    files: std::vec::IntoIter<FileEntry>,
    bytes: u64,
}

pub(crate) struct FileEntry {
    name: String,
    bytes: u64,
}

impl Checkpoint {
    pub(crate) fn open(dir: &Path) -> anyhow::Result<Self> {
        let config = dir.join("config.json");
        ensure!(config.exists(), "{}: a folder without config.json is no checkpoint", dir.display());
        let mut files = Vec::new();
        for entry in std::fs::read_dir(dir).with_context(|| format!("reading {}", dir.display()))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            files.push(FileEntry { name, bytes: entry.metadata()?.len() });
        }
        files.sort_by(|a, b| a.name.cmp(&b.name));
        let tokenizer = dir.join("tokenizer.json");
        let vocabulary = match tokenizer.exists() {
            true => read(&tokenizer)?.pointer("/model/vocab").and_then(Value::as_object).map(serde_json::Map::len),
            false => None,
        };
        // The folder of a training run holds checkpoints and has no notes of its own; nor has a GPT-Neo model of the
        // `transformers` library.
        let has_notes = !dir.join("last").is_dir() && !dir.join("model.safetensors").exists();
        Ok(Checkpoint {
            config: read(&config)?,
            meta: if has_notes { read(&dir.join("meta.json"))? } else { Value::Null },
            vocabulary,
            bytes: files.iter().map(|file| file.bytes).sum(),
            files: files.into_iter(),
        })
    }
}

fn read(path: &Path) -> anyhow::Result<Value> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{}: no JSON", path.display()))
}

impl View for Checkpoint {
    type Record = FileEntry;
    const KIND: &'static str = "checkpoint";
    const COLUMNS: &'static [&'static str] = &["file", "# bytes"];

    fn format_version(&self) -> u32 {
        1
    }

    fn header(&self) -> Value {
        json!({ "config": self.config, "meta": self.meta })
    }

    fn is_finished(&self) -> bool {
        true // folders are renamed into place when they are whole
    }

    fn next_record(&mut self) -> anyhow::Result<Option<FileEntry>> {
        Ok(self.files.next())
    }

    fn statistics(&self) -> Vec<(&'static str, Value)> {
        vec![("vocabulary", json!(self.vocabulary)), ("bytes", json!(self.bytes))]
    }
}

impl Record for FileEntry {
    fn id(&self) -> &str {
        &self.name
    }

    fn row(&self) -> Vec<String> {
        vec![self.name.clone(), self.bytes.to_string()]
    }

    fn json(&self) -> Value {
        json!({ "file": self.name, "bytes": self.bytes })
    }
}
