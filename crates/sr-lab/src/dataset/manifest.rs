//! The manifest of a data set's folder. Equal builds have equal manifests, so it has no times, hosts or paths.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sr_codec::sums;
use sr_corpus::Excluded;

use super::difference;

/// The manifest's name in the folder.
pub const MANIFEST: &str = "manifest.json";
const FORMAT: &str = "sr-dataset";
/// Version of the manifest itself.
const VERSION: u32 = 1;

/// The settings of a data set, and its finished stages. A stage is there when its files are finished.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Always `sr-dataset`.
    pub format: String,
    /// Version of the manifest itself.
    pub version: u32,
    /// Version of the program; another one may draw or search differently.
    pub program: String,
    /// Versions of the files' formats.
    pub formats: Formats,
    /// Seed of problems, searches and split; their random streams differ by purpose.
    pub seed: u64,
    /// All settings, resolved.
    pub config: Value,
    /// The problems, once they are finished.
    pub problems: Option<ProblemsStage>,
    /// The searches, once they are finished; always `None` in mode direct.
    pub traces: Option<TracesStage>,
    /// The examples, once they are finished.
    pub corpus: Option<CorpusStage>,
}

/// Versions of the files' formats.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Formats {
    container: u32,
    problems: u32,
    trace: u32,
    corpus: u32,
}

/// The problems of a data set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProblemsStage {
    /// The number of problems.
    pub problems: u64,
    /// The number of points of all problems.
    pub points: u64,
    /// Expressions that were excluded and replaced by other draws.
    pub excluded: u64,
    /// The problem set.
    pub files: Vec<FileEntry>,
}

/// The searches of a data set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TracesStage {
    /// Searches that were recorded.
    pub trajectories: u64,
    /// Searches that ended because the problem was solved.
    pub solved: u64,
    /// Individuals that were scored.
    pub evaluations: u64,
    /// The trace.
    pub files: Vec<FileEntry>,
}

/// The examples of a data set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CorpusStage {
    /// Training examples.
    pub train: u64,
    /// Validation examples.
    pub val: u64,
    /// Examples that were left out, by reason.
    pub excluded: Excluded,
    /// The corpora.
    pub files: Vec<FileEntry>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Path relative to the manifest's folder, with `/`.
    pub name: String,
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256 of its bytes, in hexadecimal digits.
    pub sha256: String,
    /// Number of records, if it is a record file.
    pub records: Option<u64>,
}

impl Manifest {
    /// Returns the manifest of a build in which no stage is finished.
    pub(super) fn new(seed: u64, config: Value) -> Self {
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
    ///
    /// # Errors
    /// If there is none, or it is damaged or of a later version.
    pub fn read(dir: &Path) -> anyhow::Result<Self> {
        let path = dir.join(MANIFEST);
        let read = || format!("reading {}", path.display());
        let value: Value = serde_json::from_slice(&std::fs::read(&path).with_context(read)?).with_context(read)?;
        let (format, version) = (&value["format"], &value["version"]);
        ensure!(format == FORMAT, "{}: expected format \"{FORMAT}\", found {format}", path.display());
        check_version(&value, &path)?;
        ensure!(version == VERSION, "{}: expected version {VERSION}, found {version}", path.display());
        serde_json::from_value(value).with_context(read)
    }

    /// Writes the manifest to a temporary file, syncs it and renames it into place.
    pub(super) fn write(&self, dir: &Path) -> anyhow::Result<()> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        let (path, aside) = (dir.join(MANIFEST), dir.join(format!("{MANIFEST}.partial")));
        let write = || -> std::io::Result<()> {
            let mut file = File::create(&aside)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&aside, &path)
        };
        write()
            .inspect_err(|_| drop(std::fs::remove_file(&aside)))
            .with_context(|| format!("writing {}", path.display()))
    }

    /// Returns the files of all stages.
    pub fn files(&self) -> impl Iterator<Item = &FileEntry> {
        let problems = self.problems.iter().flat_map(|stage| &stage.files);
        let traces = self.traces.iter().flat_map(|stage| &stage.files);
        problems.chain(traces).chain(self.corpus.iter().flat_map(|stage| &stage.files))
    }

    /// Returns the number of records in all files.
    pub fn records(&self) -> u64 {
        self.files().filter_map(|file| file.records).sum()
    }

    /// Describes the first setting in which another build differs.
    pub(super) fn difference(&self, other: &Self) -> anyhow::Result<Option<String>> {
        let settings = |manifest: &Self| {
            serde_json::to_value(Manifest { problems: None, traces: None, corpus: None, ..manifest.clone() })
        };
        let (there, now) = (settings(self)?, settings(other)?);
        let difference = difference("", &there, &now);
        Ok(difference.map(|(at, there, now)| format!("{at} is {there} there and {now} now")))
    }
}

/// Fails if the manifest is of a later version.
pub(crate) fn check_version(manifest: &Value, path: &Path) -> anyhow::Result<()> {
    let version = &manifest["version"];
    ensure!(
        version.as_u64().is_none_or(|version| version <= VERSION.into()),
        "{}: a data set of version {version}, expected {VERSION} at most: update sr to read it",
        path.display()
    );
    Ok(())
}

impl Formats {
    pub(super) fn now() -> Self {
        Formats {
            container: sr_codec::CONTAINER_VERSION,
            problems: sr_problems::FORMAT_VERSION,
            trace: 2, // of searches with the reference's objective; others say so in their headers
            corpus: sr_corpus::CORPUS_VERSION,
        }
    }
}

impl FileEntry {
    /// Returns the entry of an existing file.
    pub(super) fn of(dir: &Path, name: &str, records: Option<u64>) -> anyhow::Result<Self> {
        let (bytes, sha256) = hash(&dir.join(name))?;
        Ok(FileEntry { name: name.into(), bytes, sha256, records })
    }

    /// Describes the fault of the file's bytes, if there is one.
    pub(super) fn fault(&self, dir: &Path) -> Option<String> {
        match hash(&dir.join(&self.name)) {
            Err(error) => Some(format!("{error:#}")),
            Ok((bytes, _)) if bytes != self.bytes => Some(format!("has {bytes} bytes, expected {}", self.bytes)),
            Ok((_, sha256)) if sha256 != self.sha256 => Some(format!("has SHA-256 {sha256}, expected {}", self.sha256)),
            Ok(_) => None,
        }
    }
}

/// Returns whether the files of a stage exist with their hashes; false if one is missing, an error if one differs.
pub(super) fn are_there(dir: &Path, files: &[FileEntry]) -> anyhow::Result<bool> {
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

/// Returns the number of bytes and the SHA-256.
fn hash(path: &Path) -> anyhow::Result<(u64, String)> {
    sums::of_file(path).with_context(|| format!("reading {}", path.display()))
}
