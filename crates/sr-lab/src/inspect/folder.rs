//! Folders: checkpoints, runs of the trainer and of DAgger with their parts, data sets, corpora, models of other programs.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde_json::{Value, json};
use sr_codec::{Kind, Reader, sums};

use super::json::Json;
use super::text::short;
use super::{Record, View};
use crate::dataset;

/// A folder of this project: its settings, notes and entries.
pub(super) struct Folder {
    kind: Known,
    header: Value,
    statistics: Vec<(&'static str, Value)>,
    notes: String,
    entries: std::vec::IntoIter<Entry>,
}

/// The kind of a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Checkpoint,
    TrainingRun,
    GptNeo,
    Student,
    DaggerRun,
    Milestone,
    /// Any other folder of a sr-dagger run, with its name for display.
    DaggerPart(&'static str),
    Dataset,
    Fit,
    Corpus,
    /// A folder with some known files or folders.
    Several,
}

impl Known {
    fn name(self) -> &'static str {
        match self {
            Known::Checkpoint => "checkpoint",
            Known::TrainingRun => "training run",
            Known::GptNeo => "GPT-Neo model of the transformers library",
            Known::Student => "student of point control",
            Known::DaggerRun => "sr-dagger run",
            Known::Milestone => "rounds of a milestone",
            Known::DaggerPart(name) => name,
            Known::Dataset => "data set",
            Known::Fit => "fit",
            Known::Corpus => "corpus",
            Known::Several => "folder",
        }
    }

    /// Returns the kind of a folder, from its place in a sr-dagger run or from the names of its entries.
    fn of(dir: &Path) -> Option<Known> {
        let part = part_of_dagger(dir);
        match part {
            // These folders hold files of many kinds, which do not decide the folder's own kind.
            Some(name) if !["models", "rollouts"].contains(&name) => return part_name(name).map(Known::DaggerPart),
            _ => {}
        }
        Known::by_contents(dir).or_else(|| part_name(part?).map(Known::DaggerPart))
    }

    fn by_contents(dir: &Path) -> Option<Known> {
        let has = |name: &str| dir.join(name).exists();
        let is_json = |name: &str, test: &dyn Fn(&Value) -> bool| read(&dir.join(name)).is_ok_and(|value| test(&value));
        let known = match () {
            () if has("config.json") && has("student.bpk") => Known::Student,
            () if has("config.json") && (dir.join("last").is_dir() || has("metrics.jsonl")) => Known::TrainingRun,
            // An exported checkpoint has weights of this name too, and a meta.json.
            () if has("config.json") && has("model.safetensors") && !has("meta.json")
                || is_json("config.json", &|config| config["model_type"] == "gpt_neo") =>
            {
                Known::GptNeo
            }
            () if has("config.json") && ["results.json", "rollouts", "models"].into_iter().any(has) => Known::DaggerRun,
            () if has("config.json") => Known::Checkpoint,
            () if is_json("manifest.json", &|manifest| manifest["format"] == "sr-dataset") => Known::Dataset,
            () if has(super::FIT) => Known::Fit,
            () if has("buffer.bin") || dir.join("round-000").is_dir() => Known::Milestone,
            () if [dir.join("train.sr"), dir.join("val.sr")].iter().any(|path| is_corpus(path)) => Known::Corpus,
            () => return None,
        };
        Some(known)
    }
}

/// The folders of a sr-dagger run, and the name of each folder below for display.
const DAGGER_PARTS: [(&str, &str); 6] = [
    ("models", "models of a sr-dagger run"),
    ("rollouts", "rounds of a sr-dagger run"),
    ("expert_eval", "episodes of the expert of a sr-dagger run"),
    ("recordings", "recordings of a sr-dagger run"),
    ("plots", "plots of a sr-dagger run"),
    ("tracking", "metrics of a sr-dagger run"),
];

fn part_name(part: &str) -> Option<&'static str> {
    DAGGER_PARTS.iter().find(|(name, _)| *name == part).map(|(_, told)| *told)
}

/// Returns the part of a sr-dagger run that a folder is or lies in.
fn part_of_dagger(dir: &Path) -> Option<&'static str> {
    let whole = dir.canonicalize().ok()?;
    whole.ancestors().take(DAGGER_DEPTH).find_map(|folder| {
        let (part, run) = (folder.file_name()?.to_str()?, folder.parent()?);
        let (name, _) = DAGGER_PARTS.iter().find(|(name, _)| *name == part)?;
        (Known::by_contents(run) == Some(Known::DaggerRun)).then_some(*name)
    })
}

/// Most levels from a run's direct subfolder to the deepest folder, `rollouts/ID/round-000/checkpoint/best`.
const DAGGER_DEPTH: usize = 5;

fn is_corpus(path: &Path) -> bool {
    sr_codec::peek_header(path).is_ok_and(|header| header.kind == Kind::Corpus)
}

/// A file or folder in a folder.
pub(super) struct Entry {
    name: String,
    bytes: u64,
    what: String,
    records: Option<u64>,
}

impl Entry {
    fn of(path: &Path) -> anyhow::Result<Self> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let reading = || format!("reading {}", path.display());
        let metadata = std::fs::metadata(path).with_context(reading)?;
        if metadata.is_dir() {
            let what = match Known::of(path) {
                Some(known) => known.name(),
                None => "folder",
            };
            return Ok(Entry {
                name: name + "/",
                bytes: size_of(path).with_context(reading)?,
                what: what.into(),
                records: None,
            });
        }
        let (what, records) = match Reader::open_any(path) {
            Ok(reader) => {
                let header = reader.header();
                let records = reader.stated_records();
                let state = if records.is_none() { ", not finished" } else { "" };
                (format!("{}, version {}{state}", header.kind, header.version), records)
            }
            Err(_) => (by_name(&name).to_owned(), None),
        };
        Ok(Entry { name, bytes: metadata.len(), what, records })
    }
}

/// Describes a file that is not a record file, by its name.
fn by_name(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, extension)| extension) {
        _ if name == "buffer.bin" => "DAgger buffer",
        _ if name == "tokenizer.json" => "tokenizer",
        _ if name.ends_with(".run.json") => "run file",
        _ if name.starts_with("events.out.tfevents") => "TensorBoard events",
        "json" | "jsonl" | "rows" => "JSON",
        "bpk" | "safetensors" => "weights",
        "csv" => "table",
        "toml" => "settings",
        "html" => "page",
        "svg" | "png" => "plot",
        _ => "",
    }
}

fn size_of(dir: &Path) -> std::io::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        // Links are not followed, because they could form a circle.
        let kind = entry.file_type()?;
        bytes += if kind.is_dir() { size_of(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(bytes)
}

fn entries(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let reading = || format!("reading {}", dir.display());
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(dir).with_context(reading)? {
        paths.push(entry.with_context(reading)?.path());
    }
    paths.sort();
    Ok(paths)
}

fn read(path: &Path) -> anyhow::Result<Value> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{}: no JSON", path.display()))
}

impl Folder {
    pub(super) fn open(dir: &Path) -> anyhow::Result<Self> {
        let paths = entries(dir)?;
        let kind = match Known::of(dir) {
            Some(kind) => kind,
            None if paths.iter().any(|path| Known::of(path).is_some() || sr_codec::peek_header(path).is_ok()) => {
                Known::Several
            }
            None => bail!(
                "{}: nothing of sr is in this folder: no checkpoint (config.json), run, data set, corpus or record file",
                dir.display()
            ),
        };
        let listed = paths.iter().map(|path| Entry::of(path)).collect::<anyhow::Result<Vec<_>>>()?;
        // Other files beside a model of another program are not part of it.
        let is_part = |entry: &Entry| {
            kind != Known::GptNeo
                || entry.name.ends_with(".safetensors")
                || [
                    "config.json",
                    "generation_config.json",
                    "tokenizer.json",
                    "tokenizer_config.json",
                    "vocab.json",
                    "merges.txt",
                ]
                .contains(&&*entry.name)
        };
        let listed: Vec<Entry> = listed.into_iter().filter(is_part).collect();
        let config = || read(&dir.join("config.json"));
        let mut statistics = Vec::new();
        let mut notes = String::new();
        let header = match kind {
            Known::Checkpoint => {
                sums::check(dir)?; // older ones have none
                let meta = read(&dir.join("meta.json"))?;
                let tokenizer = dir.join("tokenizer.json");
                let vocabulary = match tokenizer.exists() {
                    true => {
                        read(&tokenizer)?.pointer("/model/vocab").and_then(Value::as_object).map(serde_json::Map::len)
                    }
                    false => None,
                };
                statistics.push(("vocabulary", json!(vocabulary)));
                json!({ "config": config()?, "meta": meta })
            }
            // It is shown as its formulas.
            Known::Fit => Value::Null,
            Known::TrainingRun => {
                let found = ["best", "last"].into_iter().filter(|name| dir.join(name).is_dir());
                let found: Vec<String> = found.map(|name| dir.join(name).display().to_string()).collect();
                if !found.is_empty() {
                    notes = format!("checkpoints of this run: {}\n", found.join(", "));
                }
                let meta = |name: &str| read(&dir.join(name).join("meta.json")).unwrap_or_default();
                let (best, last) = (meta("best"), meta("last"));
                statistics.push(("last step", last["step"].clone()));
                statistics.push(("best step", best["step"].clone()));
                statistics.push(("best validation loss", best["val_loss"].clone()));
                json!({ "config": config()?, "meta": Value::Null })
            }
            Known::GptNeo => {
                notes = "weights of the transformers library, no checkpoint of sr\n".into();
                json!({ "config": config()?, "meta": Value::Null })
            }
            Known::Student => json!({ "config": config()? }),
            Known::DaggerRun => {
                let path = dir.join("results.json");
                if path.exists() {
                    notes = Json::open(&path)?.table();
                }
                json!({ "config": config()? })
            }
            Known::Dataset => {
                let path = dir.join("manifest.json");
                let manifest = read(&path)?;
                dataset::check_version(&manifest, &path)?;
                json!({ "manifest": manifest })
            }
            Known::Corpus => {
                let of = |name: &str| sr_codec::peek_header(dir.join(name)).map_or(Value::Null, |header| header.params);
                let count = |name: &str| listed.iter().find(|entry| entry.name == name).and_then(|entry| entry.records);
                statistics.push(("training records", json!(count("train.sr"))));
                statistics.push(("validation records", json!(count("val.sr"))));
                let train = of("train.sr");
                json!({ "corpus": if train.is_null() { of("val.sr") } else { train } })
            }
            Known::Milestone | Known::DaggerPart(_) | Known::Several => json!({}),
        };
        statistics.push(("bytes", json!(listed.iter().map(|entry| entry.bytes).sum::<u64>())));
        Ok(Folder { kind, header, statistics, notes, entries: listed.into_iter() })
    }
}

impl View for Folder {
    fn kind(&self) -> &'static str {
        self.kind.name()
    }

    fn columns(&self) -> Vec<String> {
        ["file", "what", "# records", "# bytes"].map(String::from).to_vec()
    }

    fn format_version(&self) -> u32 {
        1
    }

    fn header(&self) -> Value {
        self.header.clone()
    }

    fn is_finished(&self) -> bool {
        true // folders are renamed into place when they are whole
    }

    fn next_record(&mut self) -> anyhow::Result<Option<Box<dyn Record>>> {
        Ok(self.entries.next().map(|entry| Box::new(entry) as Box<dyn Record>))
    }

    fn statistics(&self) -> Vec<(&'static str, Value)> {
        self.statistics.clone()
    }

    fn notes(&self) -> String {
        self.notes.clone()
    }
}

impl Record for Entry {
    fn id(&self) -> &str {
        &self.name
    }

    fn row(&self) -> Vec<String> {
        let records = self.records.map_or(String::new(), |records| records.to_string());
        vec![self.name.clone(), self.what.clone(), records, self.bytes.to_string()]
    }

    fn json(&self) -> Value {
        json!({ "file": self.name, "what": self.what, "records": self.records, "bytes": self.bytes })
    }
}

/// The header of a DAgger buffer. Its rows matter to the trainer alone.
pub(super) struct Buffer(sr_dagger::BufferSummary);

impl Buffer {
    /// Returns whether a file begins like a buffer.
    pub(super) fn is(path: &Path) -> bool {
        sr_dagger::BufferSummary::is_buffer(path)
    }

    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        Ok(Buffer(sr_dagger::BufferSummary::read(path)?))
    }
}

impl View for Buffer {
    fn kind(&self) -> &'static str {
        "DAgger buffer"
    }

    fn columns(&self) -> Vec<String> {
        Vec::new()
    }

    fn format_version(&self) -> u32 {
        self.0.version
    }

    fn header(&self) -> Value {
        let options = &self.0.options;
        json!({
            "row_bytes": options.row_bytes,
            "max_rows": options.max_rows,
            "keep": options.keep.to_string(),
            "seed": options.seed,
        })
    }

    fn is_finished(&self) -> bool {
        true
    }

    fn next_record(&mut self) -> anyhow::Result<Option<Box<dyn Record>>> {
        Ok(None)
    }

    fn statistics(&self) -> Vec<(&'static str, Value)> {
        let summary = &self.0;
        let full = summary.rows as f64 / summary.options.max_rows as f64;
        vec![
            ("rounds", json!(summary.rounds)),
            ("rows", json!(summary.rows)),
            ("appended", json!(summary.appended)),
            ("capacity", json!(summary.capacity)),
            ("filled", json!(format!("{} %", short(100.0 * full)))),
        ]
    }
}
