//! The folder of a run: its settings and its lock.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use crate::files::write_atomically;

/// Settings that may change when a run is resumed: gates and lengths. They decide only how much work is done.
const MAY_CHANGE: [&str; 6] = [
    "dagger.min_success_rate",
    "dagger.dagger_iterations",
    "dagger.patience",
    "dagger.enough",
    "dagger.step_multiplier",
    "search.engine.generations",
];

/// The folder of a run, locked against other runs.
pub(crate) struct RunFolder {
    path: PathBuf,
    /// Whether this run has created it.
    is_new: bool,
    /// The lock, held until the run ends.
    _lock: Option<File>,
}

/// Name of the file with the run's settings.
pub(crate) const CONFIG: &str = "config.json";

impl RunFolder {
    /// Opens a folder that is new, empty or of an earlier run. A missing folder is created.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let is_new = !path.exists();
        ensure!(is_new || path.is_dir(), "--out {}: this is a file, expected a folder", path.display());
        let is_own = path.join(CONFIG).exists();
        if !is_new && !is_own {
            let entries = std::fs::read_dir(path).with_context(|| format!("reading {}", path.display()))?;
            // A run that was killed while it wrote its settings leaves this file.
            let is_other = |name: &std::ffi::OsStr| name != format!("{CONFIG}.partial").as_str();
            ensure!(
                !entries.flatten().any(|entry| is_other(&entry.file_name())),
                "--out {}: the folder is not empty and has no {CONFIG} of sr-dagger; give another one",
                path.display()
            );
        }
        std::fs::create_dir_all(path).with_context(|| format!("creating {}", path.display()))?;
        Ok(RunFolder { path: path.to_owned(), is_new: is_new || !is_own, _lock: lock(path)? })
    }

    /// Writes the settings of a new run. For an earlier run, checks that only settings that may change differ, and
    /// describes the changes.
    pub(crate) fn keep_settings(&self, settings: &Value) -> anyhow::Result<Vec<String>> {
        let path = self.path.join(CONFIG);
        let write = || write_atomically(&path, (serde_json::to_string_pretty(settings)? + "\n").as_bytes());
        if !path.exists() {
            write()?;
            return Ok(Vec::new());
        }
        let read = || format!("reading {}", path.display());
        let old: Value =
            serde_json::from_str(&std::fs::read_to_string(&path).with_context(read)?).with_context(read)?;
        let is_ours = old.get("task").is_some() && old.get("dagger").is_some();
        ensure!(is_ours, "{} is not of sr-dagger; give another folder", path.display());
        let mut differing = Vec::new();
        differences("", &old, settings, &mut differing);
        if let Some((key, old, new)) = differing.iter().find(|(key, ..)| !MAY_CHANGE.contains(&key.as_str())) {
            let changing = MAY_CHANGE.map(flag_of).join(", ");
            bail!(
                "{} is of other settings: {} was {old} and is {new}; choose another folder (only {changing} may change)",
                self.path.display(),
                flag_of(key)
            );
        }
        let told = differing.iter().map(|(key, old, new)| {
            format!("{} was {old} and is {new} from here on; what is finished is kept", flag_of(key))
        });
        let told = told.collect();
        if !differing.is_empty() {
            write()?;
        }
        Ok(told)
    }

    /// Removes what is left of a run that failed before anything was done.
    pub(crate) fn leave_nothing(&self) {
        if self.is_new {
            remove_empty(&self.path.join("expert_eval"));
            let left = std::fs::read_dir(&self.path).map(|entries| entries.flatten().map(|e| e.file_name()).collect());
            if left.is_ok_and(|names: Vec<_>| names == [CONFIG]) {
                std::fs::remove_file(self.path.join(CONFIG)).ok();
                std::fs::remove_dir(&self.path).ok();
            }
        }
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        // An error before the settings are written leaves no folder.
        if self.is_new && !self.path.join(CONFIG).exists() {
            std::fs::remove_dir(&self.path).ok();
        }
    }
}

/// Removes a folder that contains nothing but empty folders.
fn remove_empty(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        remove_empty(&entry.path());
    }
    std::fs::remove_dir(folder).ok();
}

/// Locks a folder; returns `None` where the file system has no locks.
fn lock(folder: &Path) -> anyhow::Result<Option<File>> {
    // A folder can be opened on Unix only.
    let Ok(file) = File::open(folder) else { return Ok(None) };
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => bail!("{}: another sr-dagger works in this folder", folder.display()),
        Err(TryLockError::Error(error)) => {
            tracing::debug!("{}: {error}; nothing keeps other runs out", folder.display());
            Ok(None)
        }
    }
}

/// Returns the flag that sets a key of `config.json`, or the key itself.
fn flag_of(key: &str) -> String {
    match key
        .strip_prefix("dagger.")
        .or_else(|| key.strip_prefix("search.engine."))
        .or_else(|| key.strip_prefix("sampling."))
    {
        Some(name) if !name.contains('.') => format!("--{}", name.replace('_', "-")),
        None if matches!(key, "seed" | "task") => format!("--{key}"),
        _ => key.to_owned(),
    }
}

/// Collects the keys whose values differ, with both values.
fn differences(key: &str, a: &Value, b: &Value, found: &mut Vec<(String, String, String)>) {
    let below = |name: &str| if key.is_empty() { name.to_owned() } else { format!("{key}.{name}") };
    match (a, b) {
        (Value::Object(x), Value::Object(y)) => {
            let keys = x.keys().chain(y.keys().filter(|name| !x.contains_key(*name)));
            let value = |of: &serde_json::Map<String, Value>, name: &String| of.get(name).cloned().unwrap_or_default();
            keys.for_each(|name| differences(&below(name), &value(x, name), &value(y, name), found));
        }
        (Value::Array(x), Value::Array(y)) if x.len() == y.len() => {
            (0..x.len()).for_each(|index| differences(&below(&index.to_string()), &x[index], &y[index], found));
        }
        _ if a != b => found.push((key.to_owned(), a.to_string(), b.to_string())),
        _ => {}
    }
}
