//! The folder of a run: settings, metrics, checkpoints and the state to resume from.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use burn::optim::ModuleOptimizer;
use burn::tensor::{Bytes, Device};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sr_model::{Checkpoint, Model};

use crate::{Error, RunConfig};

/// Resolved settings of the run.
const CONFIG: &str = "config.json";
const METRICS: &str = "metrics.jsonl";
const BEST: &str = "best";
const LAST: &str = "last";
/// Optimiser states are named by their step, so that one always belongs to the `last` that was renamed into place.
const OPTIMISER: &str = "optimiser-";

/// A run's folder.
#[derive(Debug)]
pub(crate) struct RunFolder {
    dir: PathBuf,
    metrics: Option<File>,
}

/// What `meta.json` of a checkpoint says. Equal runs write equal ones: no times, no paths.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Meta {
    /// `one-step` or `direct`.
    pub(crate) mode: String,
    /// Context of the corpus, such as `basic`.
    pub(crate) context: String,
    /// Updates made.
    pub(crate) step: u64,
    pub(crate) seed: u64,
    /// [`sr_prompt::fingerprint`], in hexadecimal.
    pub(crate) vocabulary: String,
    /// Fingerprint of the training examples, in hexadecimal.
    pub(crate) examples: String,
    /// Loss per target token in the last validation.
    pub(crate) val_loss: Option<f64>,
    /// The lowest one of the run.
    pub(crate) best_val_loss: Option<f64>,
    /// The run's settings.
    pub(crate) config: RunConfig,
}

impl RunFolder {
    /// Makes the folder of a new run.
    pub(crate) fn create(dir: &Path, config: &RunConfig) -> Result<Self, Error> {
        match fs::read_dir(dir) {
            Ok(mut entries) => {
                if entries.next().is_some() {
                    return Err(Error::Exists(dir.to_owned()));
                }
            }
            Err(error) if error.kind() == ErrorKind::NotFound => fs::create_dir_all(dir).map_err(Error::io(dir))?,
            Err(error) => return Err(Error::io(dir)(error)),
        }
        let text = serde_json::to_string_pretty(config).expect("settings are plain data") + "\n";
        write_aside(&dir.join(CONFIG), text.as_bytes())?;
        Self::open_metrics(dir, config, 0)
    }

    /// Opens the folder of an interrupted run with its `last` checkpoint, if it got that far. The settings have to be
    /// those of the run, and metrics of later steps are cut off.
    pub(crate) fn resume(
        dir: &Path,
        config: &RunConfig,
        examples: &str,
        device: &Device,
    ) -> Result<(Self, Option<(Checkpoint, Meta)>), Error> {
        let path = dir.join(CONFIG);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok((Self::create(dir, config)?, None)),
            Err(error) => return Err(Error::io(path)(error)),
        };
        let corrupt =
            |path: &Path, e: serde_json::Error| Error::Corrupt { path: path.to_owned(), reason: e.to_string() };
        let was: Value = serde_json::from_str(&text).map_err(|e| corrupt(&path, e))?;
        let differs = |what, was: String, now: String| Error::Resume { path: dir.to_owned(), what, was, now };
        let now = serde_json::to_value(config).expect("settings are plain data");
        if let Some((what, was, now)) = difference(&was, &now) {
            return Err(differs(what, was, now));
        }
        let last = dir.join(LAST);
        let found = match Checkpoint::load(&last, device) {
            Ok(checkpoint) => {
                let meta = Meta::of(&checkpoint, &last)?;
                if meta.examples != examples {
                    return Err(differs("training corpus".to_owned(), meta.examples, examples.to_owned()));
                }
                Some((checkpoint, meta))
            }
            Err(sr_model::Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound && !last.exists() => None,
            Err(error) => return Err(error.into()),
        };
        let step = found.as_ref().map_or(0, |(_, meta)| meta.step);
        Ok((Self::open_metrics(dir, config, step)?, found))
    }

    /// Opens the metrics for appending after the lines of steps up to `step`.
    fn open_metrics(dir: &Path, config: &RunConfig, step: u64) -> Result<Self, Error> {
        if config.tracking.kind == crate::TrackingKind::None {
            return Ok(RunFolder { dir: dir.to_owned(), metrics: None });
        }
        let path = dir.join(METRICS);
        let old = match fs::read_to_string(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(Error::io(path)(error)),
            old => old.unwrap_or_default(),
        };
        // A line that a killed process left unfinished is no JSON and goes too.
        let made = |line: &&str| {
            serde_json::from_str::<Value>(line).is_ok_and(|v| v["step"].as_u64().is_some_and(|s| s <= step))
        };
        let kept: String = old.lines().take_while(made).map(|line| format!("{line}\n")).collect();
        if kept != old {
            write_aside(&path, kept.as_bytes())?;
        }
        let file = OpenOptions::new().append(true).create(true).open(&path).map_err(Error::io(path))?;
        Ok(RunFolder { dir: dir.to_owned(), metrics: Some(file) })
    }

    pub(crate) fn best(&self) -> PathBuf {
        self.dir.join(BEST)
    }

    pub(crate) fn last(&self) -> PathBuf {
        self.dir.join(LAST)
    }

    /// Appends one line.
    pub(crate) fn log(&mut self, line: &Value) -> Result<(), Error> {
        match &mut self.metrics {
            Some(file) => file.write_all(format!("{line}\n").as_bytes()).map_err(Error::io(self.dir.join(METRICS))),
            None => Ok(()),
        }
    }

    /// Replaces `best`.
    pub(crate) fn save_best(&self, model: Model, meta: &Meta) -> Result<(), Error> {
        Ok(checkpoint(model, meta).save(&self.best())?)
    }

    /// Replaces `last` and the optimiser state that belongs to it. An interruption at any point leaves a pair.
    pub(crate) fn save_last(&self, model: Model, optimiser: &ModuleOptimizer, meta: &Meta) -> Result<(), Error> {
        let path = self.optimiser_path(meta.step);
        let bytes = optimiser.into_bytes().map_err(|e| Error::Corrupt { path: path.clone(), reason: e.to_string() })?;
        write_aside(&path, &bytes)?;
        checkpoint(model, meta).save(&self.last())?;
        for entry in fs::read_dir(&self.dir).map_err(Error::io(&self.dir))? {
            let other = entry.map_err(Error::io(&self.dir))?.path();
            let is_state = other.file_name().is_some_and(|name| name.to_string_lossy().starts_with(OPTIMISER));
            if is_state && other != path {
                fs::remove_file(&other).map_err(Error::io(other))?;
            }
        }
        Ok(())
    }

    /// Puts the saved state of step `step` into a fresh optimiser.
    pub(crate) fn load_optimiser(&self, optimiser: ModuleOptimizer, step: u64) -> Result<ModuleOptimizer, Error> {
        let path = self.optimiser_path(step);
        let bytes = fs::read(&path).map_err(Error::io(&path))?;
        let bytes = Bytes::from_bytes_vec(bytes);
        optimiser.from_bytes(bytes).map_err(|e| Error::Corrupt { path, reason: e.to_string() })
    }

    fn optimiser_path(&self, step: u64) -> PathBuf {
        self.dir.join(format!("{OPTIMISER}{step:08}.bpk"))
    }
}

impl Meta {
    fn of(checkpoint: &Checkpoint, dir: &Path) -> Result<Self, Error> {
        let corrupt = |e: serde_json::Error| Error::Corrupt { path: dir.join("meta.json"), reason: e.to_string() };
        serde_json::from_value(checkpoint.meta.clone()).map_err(corrupt)
    }
}

/// The first key in which two JSON values differ, with both values.
pub(crate) fn difference(a: &Value, b: &Value) -> Option<(String, String, String)> {
    let (Value::Object(map_a), Value::Object(map_b)) = (a, b) else {
        return (a != b).then(|| (String::new(), a.to_string(), b.to_string()));
    };
    map_a.keys().chain(map_b.keys()).find_map(|key| {
        let (inner, a, b) = difference(map_a.get(key).unwrap_or(&Value::Null), map_b.get(key).unwrap_or(&Value::Null))?;
        Some((if inner.is_empty() { key.clone() } else { format!("{key}.{inner}") }, a, b))
    })
}

fn checkpoint(model: Model, meta: &Meta) -> Checkpoint {
    let meta = serde_json::to_value(meta).expect("plain data");
    Checkpoint { model, tokenizer: sr_prompt::tokenizer_json(), meta }
}

/// Writes a file beside `path`, syncs it and renames it into place.
fn write_aside(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let mut aside = OsString::from(path);
    aside.push(".partial");
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&aside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&aside, path)
    };
    write().map_err(Error::io(path))
}
