//! The folder of a run: settings, metrics, checkpoints and the state to resume from.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::optim::ModuleOptimizer;
use burn::store::{ModuleRecord, RecordError};
use burn::tensor::{Bytes, Device};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use sr_model::{Checkpoint, Model};
use sr_neural::CheckpointMeta;

use crate::passes::Sums;
use crate::tracking::Tracker;
use crate::{Error, RunConfig};

/// File of the run's resolved settings and, under [`INIT`], its initial weights.
const CONFIG: &str = "config.json";
/// Key for the id of the initial weights, `null` if they were new; runs of earlier versions lack it.
const INIT: &str = "init";
const BEST: &str = "best";
const LAST: &str = "last";
/// Prefix of optimiser states. Their name has the step, so that one always belongs to the `last` that was renamed into
/// place.
const OPTIMISER: &str = "optimiser-";
/// Prefix of averages of the weights, likewise with the step.
const AVERAGE: &str = "average-";
/// Prefix of checkpoints that are kept.
const KEPT: &str = "step-";
/// File of the checksums of optimiser states and averages, in the format of `sha256sum -c`; runs of earlier versions
/// lack it.
const SUMS: &str = "SHA256SUMS";

/// A run's folder.
#[derive(Debug)]
pub(crate) struct RunFolder {
    dir: PathBuf,
    tracker: Tracker,
}

/// The content of a checkpoint's `meta.json`. Equal runs write equal ones, so it has no times and paths.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Meta {
    /// [`sr_model::FORMAT_VERSION`]; early checkpoints lack it.
    #[serde(default)]
    pub(crate) format_version: u64,
    #[serde(flatten)]
    pub(crate) checkpoint: CheckpointMeta,
    /// The number of updates made.
    pub(crate) step: u64,
    pub(crate) seed: u64,
    /// In `last`, the sums of the steps since the last line of metrics, so that the next line includes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) window: Option<Window>,
    /// [`sr_prompt::fingerprint`], in hexadecimal.
    pub(crate) vocabulary: String,
    /// Fingerprint of the training examples, in hexadecimal.
    pub(crate) examples: String,
    /// The loss per target token in the last validation that was due.
    pub(crate) val_loss: Option<f64>,
    /// The lowest validation loss of the run.
    pub(crate) best_val_loss: Option<f64>,
    /// The state of early stopping.
    #[serde(default)]
    pub(crate) patience: Patience,
    /// The run's settings.
    pub(crate) config: RunConfig,
}

/// [`Sums`] in a file. The two floats are stored by their bits, because the text of a number is not always read back
/// exactly.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Window {
    loss_bits: u64,
    weight_bits: u64,
    tokens: u64,
    cells: u64,
    examples: u64,
}

impl From<Sums> for Window {
    fn from(sums: Sums) -> Self {
        let Sums { loss, weight, tokens, cells, examples } = sums;
        Window { loss_bits: loss.to_bits(), weight_bits: weight.to_bits(), tokens, cells, examples }
    }
}

impl From<Window> for Sums {
    fn from(window: Window) -> Self {
        let Window { loss_bits, weight_bits, tokens, cells, examples } = window;
        Sums { loss: f64::from_bits(loss_bits), weight: f64::from_bits(weight_bits), tokens, cells, examples }
    }
}

/// The state of early stopping.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Patience {
    /// The validation loss to improve on.
    reference: Option<f64>,
    /// The number of validations since it was reached.
    pub(crate) waited: u64,
}

impl Patience {
    /// Counts a validation. A loss is an improvement if it is lower than the last improvement by more than `min_delta`,
    /// so that many small steps down count once they add up.
    pub(crate) fn count(&mut self, loss: f64, min_delta: f64) {
        if self.reference.is_none_or(|reference| loss < reference - min_delta) {
            *self = Patience { reference: Some(loss), waited: 0 };
        } else {
            self.waited += 1;
        }
    }
}

impl RunFolder {
    /// Creates the folder of a new run that starts from the weights with the id `init`, or from new ones.
    pub(crate) fn create(dir: &Path, config: &RunConfig, init: Option<&str>) -> Result<Self, Error> {
        match fs::read_dir(dir) {
            Ok(entries) => {
                // A run that was killed while it wrote its first file has left only a part of it.
                let begun = aside(Path::new(CONFIG));
                for entry in entries {
                    if entry.map_err(Error::io(dir))?.file_name() != begun {
                        return Err(Error::Exists(dir.to_owned()));
                    }
                }
            }
            Err(error) if error.kind() == ErrorKind::NotFound => fs::create_dir_all(dir).map_err(Error::io(dir))?,
            Err(error) => return Err(Error::io(dir)(error)),
        }
        let mut settings = serde_json::to_value(config).expect("settings are plain data");
        settings[INIT] = init.into();
        let text = serde_json::to_string_pretty(&settings).expect("settings are plain data") + "\n";
        write_aside(&dir.join(CONFIG), text.as_bytes())?;
        Self::open(dir, config, 0)
    }

    fn open(dir: &Path, config: &RunConfig, step: u64) -> Result<Self, Error> {
        Ok(RunFolder { dir: dir.to_owned(), tracker: Tracker::open(dir, &config.tracking, step)? })
    }

    /// Opens the folder of an interrupted run with its `last` checkpoint, if it has one. The settings must be those of
    /// the run, and the examples and vocabulary those of `fresh`. The initial weights must have the id `init`, which
    /// may be left out once there is a `last`. Metrics of later steps are cut off.
    pub(crate) fn resume(
        dir: &Path,
        config: &RunConfig,
        init: Option<&str>,
        fresh: &Meta,
        device: &Device,
    ) -> Result<(Self, Option<(Checkpoint, Meta)>), Error> {
        let path = dir.join(CONFIG);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let made = Self::create(dir, config, init).map_err(|error| match error {
                    Error::Exists(path) => Error::Foreign { path, reason: format!("there is no {CONFIG}") },
                    other => other,
                })?;
                return Ok((made, None));
            }
            Err(error) => return Err(Error::io(path)(error)),
        };
        let mut settings: Value = serde_json::from_str(&text).map_err(corrupt(&path))?;
        let began = settings.as_object_mut().and_then(|settings| settings.remove(INIT));
        // The settings of another version have other keys, but these two exist in all.
        if settings["training"].is_null() || settings["model"].is_null() {
            return Err(Error::Foreign { path: dir.to_owned(), reason: format!("its {CONFIG} is of something else") });
        }
        let was: RunConfig = serde_json::from_value(settings).map_err(corrupt(&path))?;
        let differs = |what, was: String, now: String| Error::Resume { path: dir.to_owned(), what, was, now };
        let json = |config: &RunConfig| serde_json::to_value(config).expect("settings are plain data");
        if let Some((what, was, now)) = difference(&json(&was), &json(config)) {
            return Err(differs(what, was, now));
        }
        let last = dir.join(LAST);
        match began {
            None if init.is_some() => {
                tracing::warn!(
                    "the run does not tell what it began with, so the weights to begin with are not compared"
                );
            }
            None => {}
            Some(began) if began.as_str() == init || init.is_none() && last.exists() => {}
            Some(began) => {
                let named = |id: Option<&str>| id.map_or("new weights".to_owned(), |id| format!("checkpoint {id}"));
                return Err(differs("--init".to_owned(), named(began.as_str()), named(init)));
            }
        }
        let found = match Checkpoint::load(&last, device) {
            Ok(checkpoint) => {
                let meta = Meta::of(&checkpoint, &last)?;
                for (what, was, now) in [
                    ("vocabulary", &meta.vocabulary, &fresh.vocabulary),
                    ("training corpus", &meta.examples, &fresh.examples),
                ] {
                    if was != now {
                        return Err(differs(what.to_owned(), was.clone(), now.clone()));
                    }
                }
                Some((checkpoint, meta))
            }
            Err(sr_model::Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound && !last.exists() => None,
            Err(error) => return Err(error.into()),
        };
        let step = found.as_ref().map_or(0, |(_, meta)| meta.step);
        let folder = Self::open(dir, config, step)?;
        // A run that was killed right after it had replaced `last` has left the state of the previous one.
        folder.remove_states_but(step)?;
        Ok((folder, found))
    }

    pub(crate) fn best(&self) -> PathBuf {
        self.dir.join(BEST)
    }

    pub(crate) fn last(&self) -> PathBuf {
        self.dir.join(LAST)
    }

    /// Logs the metrics of a step, an object that includes the step.
    pub(crate) fn log(&mut self, line: &Value) -> Result<(), Error> {
        self.tracker.log(line)
    }

    /// Removes the validation of a step from the metrics, if there is one.
    pub(crate) fn cut_validation(&mut self, step: u64) -> Result<(), Error> {
        self.tracker.cut_validation(step)
    }

    /// Writes a report on a step that diverged, and returns its path.
    pub(crate) fn save_diverged(&self, step: u64, report: &Value) -> Result<PathBuf, Error> {
        let path = self.dir.join(format!("diverged-{step:08}.json"));
        write_aside(&path, format!("{report}\n").as_bytes())?;
        Ok(path)
    }

    /// Replaces `best`.
    pub(crate) fn save_best(&self, model: Model, meta: &Meta) -> Result<(), Error> {
        Ok(checkpoint(model, meta).save(&self.best())?)
    }

    /// Replaces `last`, with the optimiser state and the average of the weights that belong to it. An interruption at
    /// any point leaves a consistent set.
    pub(crate) fn save_last(
        &self,
        model: Model,
        optimiser: &ModuleOptimizer,
        average: Option<&Model>,
        meta: &Meta,
    ) -> Result<(), Error> {
        // The previous states stay until `last` is replaced.
        let mut sums = self.sums()?;
        let mut write = |kind: &str, bytes: Result<Bytes, RecordError>| {
            let path = self.state_path(kind, meta.step);
            let bytes = bytes.map_err(corrupt(&path))?;
            sums.insert(state_name(kind, meta.step), sum(&bytes));
            write_aside(&path, &bytes)
        };
        write(OPTIMISER, optimiser.into_bytes())?;
        if let Some(average) = average {
            write(AVERAGE, average.clone().into_record().into_bytes())?;
        }
        self.write_sums(&sums)?;
        checkpoint(model, meta).save(&self.last())?;
        self.remove_states_but(meta.step)
    }

    /// Reads the checksums by file name.
    fn sums(&self) -> Result<BTreeMap<String, String>, Error> {
        let path = self.dir.join(SUMS);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            Err(error) => return Err(Error::io(path)(error)),
        };
        let line = |line: &str| match line.split_once("  ") {
            Some((sum, name)) => Ok((name.to_owned(), sum.to_owned())),
            None => Err(corrupt(&path)(format!("`{line}` is no checksum of a file"))),
        };
        text.lines().map(line).collect()
    }

    fn write_sums(&self, sums: &BTreeMap<String, String>) -> Result<(), Error> {
        let text: String = sums.iter().map(|(name, sum)| format!("{sum}  {name}\n")).collect();
        write_aside(&self.dir.join(SUMS), text.as_bytes())
    }

    /// Reads the state of step `step`; fails if its checksum differs.
    fn read_state(&self, kind: &str, step: u64) -> Result<(PathBuf, Bytes), Error> {
        let path = self.state_path(kind, step);
        let bytes = fs::read(&path).map_err(Error::io(&path))?;
        match self.sums()?.get(&state_name(kind, step)) {
            Some(expected) if *expected != sum(&bytes) => {
                Err(corrupt(&path)(format!("the file is not the one that was saved, by its checksum in {SUMS}")))
            }
            _ => Ok((path, Bytes::from_bytes_vec(bytes))),
        }
    }

    /// Removes the states that belong to no `last` any more.
    fn remove_states_but(&self, step: u64) -> Result<(), Error> {
        let kept = [OPTIMISER, AVERAGE].map(|kind| self.state_path(kind, step));
        for (name, path) in self.entries()? {
            let is_state = name.starts_with(OPTIMISER) || name.starts_with(AVERAGE);
            if is_state && !kept.contains(&path) {
                fs::remove_file(&path).map_err(Error::io(path))?;
            }
        }
        let mut sums = self.sums()?;
        let before = sums.len();
        sums.retain(|name, _| kept.iter().any(|path| path.file_name().is_some_and(|file| file == name.as_str())));
        if sums.len() < before { self.write_sums(&sums) } else { Ok(()) }
    }

    /// Loads the saved state of step `step` into a fresh optimiser.
    pub(crate) fn load_optimiser(&self, optimiser: ModuleOptimizer, step: u64) -> Result<ModuleOptimizer, Error> {
        sr_model::check_default_device()?;
        let (path, bytes) = self.read_state(OPTIMISER, step)?;
        optimiser.from_bytes(bytes).map_err(corrupt(&path))
    }

    /// Loads the saved average of step `step` into a model of its shape.
    pub(crate) fn load_average(&self, frame: Model, step: u64) -> Result<Model, Error> {
        let (path, bytes) = self.read_state(AVERAGE, step)?;
        let record = ModuleRecord::from_bytes(bytes).map_err(corrupt(&path))?;
        frame.try_load_record(record).map_err(corrupt(&path))
    }

    fn state_path(&self, kind: &str, step: u64) -> PathBuf {
        self.dir.join(state_name(kind, step))
    }

    /// Saves a checkpoint that stays until there are `keep_last` newer ones.
    pub(crate) fn save_kept(&self, model: Model, meta: &Meta, keep_last: usize) -> Result<(), Error> {
        let path = self.dir.join(format!("{KEPT}{:08}", meta.step));
        checkpoint(model, meta).save(&path)?;
        // Checkpoints of later steps are from before a resumption and will be written again.
        let mut kept: Vec<PathBuf> =
            self.entries()?.filter_map(|(name, path)| name.starts_with(KEPT).then_some(path)).collect();
        kept.retain(|other| *other <= path);
        kept.sort();
        kept.truncate(kept.len().saturating_sub(keep_last));
        for old in kept {
            // A killed process must not leave half a checkpoint under the name of a complete one.
            let aside = self.dir.join(format!(".{KEPT}removed"));
            fs::remove_dir_all(&aside).ok();
            fs::rename(&old, &aside).map_err(Error::io(&old))?;
            fs::remove_dir_all(&aside).map_err(Error::io(aside))?;
        }
        Ok(())
    }

    /// Returns the names and paths of the folder's entries.
    fn entries(&self) -> Result<impl Iterator<Item = (String, PathBuf)>, Error> {
        let entries = fs::read_dir(&self.dir).map_err(Error::io(&self.dir))?.collect::<Result<Vec<_>, _>>();
        let entries = entries.map_err(Error::io(&self.dir))?;
        Ok(entries.into_iter().map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path())))
    }
}

fn state_name(kind: &str, step: u64) -> String {
    format!("{kind}{step:08}.bpk")
}

/// Returns the SHA-256 in hexadecimal.
pub(crate) fn sum(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn corrupt<E: std::fmt::Display>(path: &Path) -> impl FnOnce(E) -> Error {
    let path = path.to_owned();
    move |error| Error::Corrupt { path, reason: error.to_string() }
}

impl Meta {
    fn of(checkpoint: &Checkpoint, dir: &Path) -> Result<Self, Error> {
        serde_json::from_value(checkpoint.meta.clone()).map_err(corrupt(&dir.join("meta.json")))
    }
}

/// Returns the first key in which two JSON values differ, with both values.
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

/// Returns the name of a file while it is being written.
fn aside(path: &Path) -> OsString {
    let mut aside = OsString::from(path);
    aside.push(".partial");
    aside
}

/// Writes a temporary file beside `path`, syncs it and renames it into place. A failure leaves nothing behind.
pub(crate) fn write_aside(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let aside = aside(path);
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&aside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&aside, path)
    };
    write().map_err(|error| {
        fs::remove_file(&aside).ok(); // on a full disk, what is half written takes room from the rest
        Error::io(path)(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_improvements_count_when_they_add_up() {
        let mut patience = Patience::default();
        let waited = [1.0, 0.95, 0.92, 0.88, 0.88, 0.9].map(|loss| {
            patience.count(loss, 0.1);
            patience.waited
        });
        assert_eq!(waited, [0, 1, 2, 0, 1, 2]);
    }

    #[test]
    fn losses_are_read_as_exactly_what_was_written() {
        let mut rng = sr_engine::random::Key::new(1, sr_engine::random::Purpose::Training, 0).rng();
        for _ in 0..1000 {
            let patience = Patience { reference: Some(rng.uniform(0.0, 7.0)), waited: 0 };
            let text = serde_json::to_string(&patience).expect("plain data");
            assert_eq!(serde_json::from_str::<Patience>(&text).expect("JSON"), patience, "{text}");
            // A checkpoint's meta.json is read this way.
            let value: Value = serde_json::from_str(&text).expect("JSON");
            assert_eq!(serde_json::from_value::<Patience>(value).expect("JSON"), patience, "{text}");
        }
    }
}
