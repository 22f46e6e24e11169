//! What a folder holds. Equal builds have equal manifests: no times, hosts or paths.

use std::path::Path;

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sr_codec::sums;
use sr_corpus::Excluded;

/// Its name.
pub(crate) const MANIFEST: &str = "manifest.json";
const FORMAT: &str = "sr-dataset";
/// Version of the manifest itself.
const VERSION: u32 = 1;

/// A stage is there when its files are finished.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    pub(crate) format: String,
    pub(crate) version: u32,
    /// Version of the program, because another one may draw or search otherwise.
    pub(crate) program: String,
    pub(crate) formats: Formats,
    /// Of problems, searches and split; their random streams differ by purpose.
    pub(crate) seed: u64,
    /// All settings, resolved.
    pub(crate) config: Value,
    pub(crate) problems: Option<Problems>,
    pub(crate) traces: Option<Traces>,
    pub(crate) corpus: Option<Corpus>,
}

/// Versions of the files' formats.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Formats {
    container: u32,
    problems: u32,
    trace: u32,
    corpus: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Problems {
    pub(crate) problems: u64,
    pub(crate) points: u64,
    /// Expressions that were excluded, and others drawn in their place.
    pub(crate) excluded: u64,
    pub(crate) files: Vec<FileEntry>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Traces {
    pub(crate) trajectories: u64,
    /// Those among them that ended because the problem was solved.
    pub(crate) solved: u64,
    pub(crate) evaluations: u64,
    pub(crate) files: Vec<FileEntry>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Corpus {
    /// Examples.
    pub(crate) train: u64,
    pub(crate) val: u64,
    /// Examples that were left out, by reason.
    pub(crate) excluded: Excluded,
    pub(crate) files: Vec<FileEntry>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileEntry {
    /// From the manifest's folder, with `/`.
    pub(crate) name: String,
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
    /// Of a record file.
    pub(crate) records: Option<u64>,
}

impl Manifest {
    /// Of a build in which nothing is done yet.
    pub(crate) fn new(seed: u64, config: Value) -> Self {
        Manifest {
            format: FORMAT.into(),
            version: VERSION,
            program: env!("CARGO_PKG_VERSION").into(),
            formats: Formats::now(),
            seed,
            config,
            problems: None,
            traces: None,
            corpus: None,
        }
    }

    /// Reads the manifest of a folder.
    pub(crate) fn read(dir: &Path) -> anyhow::Result<Self> {
        let path = dir.join(MANIFEST);
        let read = || format!("reading {}", path.display());
        let value: Value = serde_json::from_slice(&std::fs::read(&path).with_context(read)?).with_context(read)?;
        let (format, version) = (&value["format"], &value["version"]);
        ensure!(format == FORMAT, "{}: expected format \"{FORMAT}\", found {format}", path.display());
        ensure!(version == VERSION, "{}: expected version {VERSION}, found {version}", path.display());
        serde_json::from_value(value).with_context(read)
    }

    pub(crate) fn write(&self, dir: &Path) -> anyhow::Result<()> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        sr_cli::write_atomically(&dir.join(MANIFEST), text.as_bytes())
    }

    /// The files of all stages.
    pub(crate) fn files(&self) -> impl Iterator<Item = &FileEntry> {
        let problems = self.problems.iter().flat_map(|stage| &stage.files);
        let traces = self.traces.iter().flat_map(|stage| &stage.files);
        problems.chain(traces).chain(self.corpus.iter().flat_map(|stage| &stage.files))
    }

    /// The first setting in which another build differs, in words.
    pub(crate) fn difference(&self, other: &Self) -> anyhow::Result<Option<String>> {
        let settings = |manifest: &Self| {
            serde_json::to_value(Manifest { problems: None, traces: None, corpus: None, ..manifest.clone() })
        };
        Ok(difference("", &settings(self)?, &settings(other)?))
    }
}

impl Formats {
    pub(crate) fn now() -> Self {
        Formats {
            container: sr_codec::CONTAINER_VERSION,
            problems: sr_problems::FORMAT_VERSION,
            trace: 2, // of searches with the reference's objective; others say so in their headers
            corpus: sr_corpus::CORPUS_VERSION,
        }
    }
}

fn difference(at: &str, a: &Value, b: &Value) -> Option<String> {
    match (a, b) {
        (Value::Object(map_a), Value::Object(map_b)) => map_a.keys().chain(map_b.keys()).find_map(|key| {
            let at = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
            difference(&at, a.get(key).unwrap_or(&Value::Null), b.get(key).unwrap_or(&Value::Null))
        }),
        _ if a == b => None,
        _ => Some(format!("{at} is {a} there and {b} now")),
    }
}

impl FileEntry {
    /// Of a file that is there.
    pub(crate) fn of(dir: &Path, name: &str, records: Option<u64>) -> anyhow::Result<Self> {
        let (bytes, sha256) = hash(&dir.join(name))?;
        Ok(FileEntry { name: name.into(), bytes, sha256, records })
    }

    /// What is wrong with the file's bytes.
    pub(crate) fn fault(&self, dir: &Path) -> Option<String> {
        match hash(&dir.join(&self.name)) {
            Err(error) => Some(format!("{error:#}")),
            Ok((bytes, _)) if bytes != self.bytes => Some(format!("has {bytes} bytes, expected {}", self.bytes)),
            Ok((_, sha256)) if sha256 != self.sha256 => Some(format!("has SHA-256 {sha256}, expected {}", self.sha256)),
            Ok(_) => None,
        }
    }
}

/// Whether the files of a stage are there as they were made; false if one is missing.
pub(crate) fn are_there(dir: &Path, files: &[FileEntry]) -> anyhow::Result<bool> {
    for file in files {
        let path = dir.join(&file.name);
        if !path.try_exists().with_context(|| format!("looking for {}", path.display()))? {
            return Ok(false);
        }
        if let Some(fault) = file.fault(dir) {
            bail!("{}: not the file that was built: it {fault}; delete it to have it made again", path.display());
        }
    }
    Ok(true)
}

/// Number of bytes and SHA-256.
fn hash(path: &Path) -> anyhow::Result<(u64, String)> {
    sums::of_file(path).with_context(|| format!("reading {}", path.display()))
}
