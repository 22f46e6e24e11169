//! Checkpoints: a trained model as a folder.
//!
//! ```text
//! DIR/
//!   model.bpk       weights with their parameter ids (burnpack); of a model for searches only, in its place
//!   model.safetensors   weights in bf16, see [`Checkpoint::save_small`]
//!   config.json     ModelConfig
//!   tokenizer.json  whatever the caller's tokenizer writes
//!   meta.json       anything: step, seed, mode, vocabulary fingerprint …
//!   SHA256SUMS      checksums of the others, as `sha256sum -c` reads them
//! ```
//!
//! A file that has changed since it was saved is an error that names the file. Checkpoints from before there were
//! checksums have no `SHA256SUMS` and are not checked.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
};

use burn::{
    module::Module,
    store::ModuleRecord,
    tensor::{Bytes, Device},
};
use serde::de::DeserializeOwned;
use sr_codec::sums::{self, SUMS, SumsError};

use crate::gpt_neo::is_gpt_neo;
use crate::{Error, Model, ModelConfig, tensors};

/// The format of checkpoints that this version writes; writers store it under `format_version` in `meta.json`. A later
/// format is refused when it is read; a checkpoint without the key has format 1.
pub const FORMAT_VERSION: u64 = 1;

const WEIGHTS: &str = "model.bpk";
/// The weights of a checkpoint that [`Checkpoint::save_small`] wrote.
const SMALL_WEIGHTS: &str = "model.safetensors";
pub(crate) const CONFIG: &str = "config.json";
const TOKENIZER: &str = "tokenizer.json";
const META: &str = "meta.json";

/// A model with everything needed to use it, or to train it further.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    /// The weights and the configuration.
    pub model: Model,
    /// The content of `tokenizer.json`, which this crate does not interpret.
    pub tokenizer: String,
    /// The content of `meta.json`, which belongs to the caller.
    pub meta: serde_json::Value,
}

/// The contents of a folder that [`Checkpoint::save_small`] wrote.
#[derive(Debug, Clone, Copy)]
pub struct Files<'a> {
    /// `model.safetensors`
    pub weights: &'a [u8],
    /// `config.json`
    pub config: &'a str,
    /// `tokenizer.json`
    pub tokenizer: &'a str,
    /// `meta.json`
    pub meta: &'a str,
}

impl Checkpoint {
    /// Writes the folder `dir`, and replaces an older one.
    ///
    /// The folder is written under another name, synced and renamed, so that an interruption leaves the old checkpoint
    /// or the new one, never a mixture. Equal checkpoints have equal bytes.
    ///
    /// # Errors
    /// [`Error::Io`], naming the file.
    pub fn save(&self, dir: &Path) -> Result<(), Error> {
        let weights = self.model.clone().into_record().into_bytes();
        let weights = weights.map_err(|e| io(&dir.join(WEIGHTS))(std::io::Error::other(e.to_string())))?;
        self.replace(dir, (WEIGHTS, &weights))
    }

    /// Writes the folder `dir` like [`save`](Self::save), at half the size: weights are rounded to bf16, and parameters
    /// lose the ids by which a training goes on with its optimiser. It is the form to pass on a model for searches in.
    ///
    /// # Errors
    /// [`Error::Io`], naming the file.
    pub fn save_small(&self, dir: &Path) -> Result<(), Error> {
        self.replace(dir, (SMALL_WEIGHTS, &tensors::to_bf16(&self.model)))
    }

    fn replace(&self, dir: &Path, weights: (&str, &[u8])) -> Result<(), Error> {
        let (new, old) = (aside(dir, ".new"), aside(dir, ".old"));
        remove(&new)?;
        if let Err(error) = self.write(&new, weights) {
            remove(&new).ok(); // on a full disk, what is half written takes room from the rest
            return Err(error);
        }
        // A folder cannot be renamed onto another one. Between the two renames `load` finds the old one under its other
        // name.
        if dir.exists() {
            remove(&old)?;
            fs::rename(dir, &old).map_err(io(dir))?;
        }
        fs::rename(&new, dir).map_err(io(dir))?;
        if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            sync_folder(parent)?;
        }
        remove(&old)
    }

    /// Writes and syncs the files of the folder `new`.
    fn write(&self, new: &Path, weights: (&str, &[u8])) -> Result<(), Error> {
        fs::create_dir_all(new).map_err(io(new))?;
        let config = json(self.model.config());
        let meta = json(&self.meta);
        let files =
            [weights, (CONFIG, config.as_bytes()), (TOKENIZER, self.tokenizer.as_bytes()), (META, meta.as_bytes())];
        let sums = sums::list(files);
        for (name, bytes) in files.into_iter().chain([(SUMS, sums.as_bytes())]) {
            let path = new.join(name);
            let mut file = File::create(&path).map_err(io(&path))?;
            file.write_all(bytes).and_then(|()| file.sync_all()).map_err(io(&path))?;
        }
        sync_folder(new)
    }

    /// Reads the folder `dir`. Parameter ids are those that were saved, so optimiser states still fit.
    ///
    /// # Errors
    /// [`Error::Io`] if a file is missing or unreadable, [`Error::Newer`] if a later version wrote it,
    /// [`Error::Corrupt`] if the contents are not those that were saved, [`Error::NoCheckpoint`] if the folder is
    /// another kind that is often mistaken for a checkpoint.
    pub fn load(dir: &Path, device: &Device) -> Result<Self, Error> {
        let old = aside(dir, ".old");
        let dir = if !dir.exists() && old.exists() { &old } else { dir };
        Self::check_kind(dir)?;
        check_version(dir)?;
        let config: ModelConfig = parse(&dir.join(CONFIG))?;
        let path = weights_file(dir);
        let bytes = fs::read(&path).map_err(io(&path))?;
        let frame = frame(&config, bytes.len(), device).map_err(|e| corrupt(&dir.join(CONFIG), &e))?;
        let model = if path.ends_with(SMALL_WEIGHTS) {
            tensors::fill(frame, &bytes, device).map_err(|reason| corrupt(&path, &reason))?
        } else {
            ModuleRecord::from_bytes(Bytes::from_bytes_vec(bytes))
                .and_then(|record| frame.try_load_record(record))
                .map_err(|e| corrupt(&path, &e))?
        };
        let tokenizer_path = dir.join(TOKENIZER);
        let tokenizer = fs::read_to_string(&tokenizer_path).map_err(io(&tokenizer_path))?;
        let meta = parse(&dir.join(META))?;
        check_sums(dir)?; // last, for what cannot be read at all is told more precisely above
        Ok(Self { model, tokenizer, meta })
    }

    /// Reads the files of a folder that [`save_small`](Self::save_small) wrote, from memory.
    ///
    /// # Errors
    /// [`Error::Corrupt`], naming the file, if one is not what it should be.
    pub fn of_files(files: &Files<'_>, device: &Device) -> Result<Self, Error> {
        fn json<T: DeserializeOwned>(name: &str, text: &str) -> Result<T, Error> {
            serde_json::from_str(text).map_err(|e| corrupt(Path::new(name), &e))
        }
        let config: ModelConfig = json(CONFIG, files.config)?;
        let frame = frame(&config, files.weights.len(), device).map_err(|e| corrupt(Path::new(CONFIG), &e))?;
        let model = tensors::fill(frame, files.weights, device);
        Ok(Checkpoint {
            model: model.map_err(|reason| corrupt(Path::new(SMALL_WEIGHTS), &reason))?,
            tokenizer: files.tokenizer.to_owned(),
            meta: json(META, files.meta)?,
        })
    }
}

impl Checkpoint {
    /// Fails if a folder is not a checkpoint but something often mistaken for one.
    ///
    /// # Errors
    /// [`Error::NoCheckpoint`], which says what the folder is and where its checkpoints are. A missing folder is no
    /// error here; reading it is.
    pub fn check_kind(dir: &Path) -> Result<(), Error> {
        let fail = |reason: String| Err(Error::NoCheckpoint { path: dir.to_owned(), reason });
        let has = |name: &str| dir.join(name).exists();
        if has_weights(dir) || !dir.exists() {
            return Ok(());
        }
        if dir.is_file() {
            return fail(match dir.file_name().is_some_and(|name| name == WEIGHTS) {
                true => "a checkpoint is the folder that this file is in".to_owned(),
                false => "this is a file, and a checkpoint is a folder".to_owned(),
            });
        }
        if is_gpt_neo(dir) {
            return fail(
                "this is a model of the transformers library, from which `sr-train --init` can begin".to_owned(),
            );
        }
        if has("student.bpk") {
            let what = "this is a student of point control, which writes no formulas; `sr-dagger --task point-control`";
            return fail(format!("{what} can begin with it"));
        }
        let json = |name: &str| parse::<serde_json::Value>(&dir.join(name)).unwrap_or_default();
        let config = json(CONFIG);
        if config["dagger"].is_object() && config["task"].is_string() {
            let what = "this is the folder of a run of sr-dagger";
            if config["task"] == "point-control" {
                return fail(format!("{what} on point control, whose students write no formulas"));
            }
            // The folders of its rounds have checkpoints too.
            return fail(format!("{what}{}", told(&checkpoints_in(&dir.join("models"), 2))));
        }
        let inner: Vec<PathBuf> =
            ["best", "last"].map(|name| dir.join(name)).into_iter().filter(|path| has_weights(path)).collect();
        let is_run = config["training"].is_object() && config["model"].is_object();
        if is_run || inner.iter().any(|path| path.ends_with("last")) {
            return fail(format!("this is the folder of a training run{}", told(&inner)));
        }
        if json("manifest.json")["format"] == "sr-dataset" {
            return fail("this is a data set; `sr-train` makes checkpoints of its corpus".to_owned());
        }
        if has("train.sr") || has("val.sr") {
            return fail("this is a corpus; `sr-train --train` makes checkpoints of it".to_owned());
        }
        match checkpoints_in(dir, 3) {
            found if !found.is_empty() => fail(format!("this is no checkpoint but a folder of some{}", told(&found))),
            _ if has(CONFIG) => Ok(()),
            _ => fail(format!("there is no checkpoint in this folder, which would have {CONFIG} and {WEIGHTS}")),
        }
    }
}

/// The parameters that a configuration may claim whatever its weights are, 16 MiB. Weights that are cut are told better by
/// who reads them.
const ANY_PARAMETERS: usize = 1 << 22;

/// Returns a model that weights of so many bytes are loaded into. What a configuration claims takes little memory before the
/// weights are there: a parameter has two bytes at least.
pub(crate) fn frame(config: &ModelConfig, weights: usize, device: &Device) -> Result<Model, Error> {
    config.validate()?;
    let parameters = config.parameter_count();
    if parameters > ANY_PARAMETERS.max(weights / 2) {
        return Err(Error::Config(format!("it describes {parameters} parameters, the weights have {weights} bytes")));
    }
    Model::frame(config, device)
}

/// Returns the path of a checkpoint's weights: `model.safetensors` if it has that, else `model.bpk`.
pub fn weights_file(dir: &Path) -> PathBuf {
    let small = dir.join(SMALL_WEIGHTS);
    if small.exists() { small } else { dir.join(WEIGHTS) }
}

/// Returns whether a folder has the weights of a checkpoint. A model of the transformers library has a file of that name
/// too, and no `meta.json`.
fn has_weights(dir: &Path) -> bool {
    dir.join(WEIGHTS).exists() || dir.join(SMALL_WEIGHTS).exists() && dir.join(META).exists()
}

/// Fails for a later format. It runs before anything else is read, because a later version's files may fail in other
/// ways.
fn check_version(dir: &Path) -> Result<(), Error> {
    let found = parse::<serde_json::Value>(&dir.join(META)).ok().and_then(|meta| meta["format_version"].as_u64());
    match found.filter(|&found| found > FORMAT_VERSION) {
        Some(found) => Err(Error::Newer { path: dir.to_owned(), found, supported: FORMAT_VERSION }),
        None => Ok(()),
    }
}

/// Returns the checkpoints in a folder, up to `depth` folders deep, in order.
fn checkpoints_in(dir: &Path, depth: usize) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path()).collect();
    // Hidden folders are partially written.
    folders.retain(|path| path.is_dir() && !path.file_name().unwrap_or_default().as_encoded_bytes().starts_with(b"."));
    folders.sort();
    let of = |folder: PathBuf| match has_weights(&folder) {
        true => vec![folder],
        false if depth > 1 => checkpoints_in(&folder, depth - 1),
        false => Vec::new(),
    };
    folders.into_iter().flat_map(of).collect()
}

/// Returns the end of a message that lists checkpoints: `; its checkpoints are a, b and c`.
fn told(found: &[PathBuf]) -> String {
    const MOST: usize = 6;
    let names: Vec<String> = found.iter().take(MOST).map(|path| path.display().to_string()).collect();
    match &names[..] {
        [] => ", which has no checkpoint yet".to_owned(),
        [only] => format!("; its checkpoint is {only}"),
        _ if found.len() > MOST => format!("; of its {} checkpoints the first are {}", found.len(), names.join(", ")),
        [first @ .., last] => format!("; its checkpoints are {} and {last}", first.join(", ")),
    }
}

/// Compares all files with their checksums, if there are any.
fn check_sums(dir: &Path) -> Result<(), Error> {
    match sums::check(dir) {
        Ok(true) => Ok(()),
        Ok(false) => {
            tracing::debug!(checkpoint = %dir.display(), "an older checkpoint, without checksums");
            Ok(())
        }
        Err(SumsError::Io { path, source }) => Err(io(&path)(source)),
        Err(SumsError::NoChecksum { path, line }) => {
            Err(corrupt(&path, &format!("`{line}` is no checksum of a checkpoint's file")))
        }
        Err(SumsError::Changed { path }) => {
            Err(corrupt(&path, &format!("the file is not the one that was saved, by its checksum in {SUMS}")))
        }
        Err(error) => Err(corrupt(&dir.join(SUMS), &error)),
    }
}

fn aside(dir: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(dir.file_name().unwrap_or_default());
    name.push(suffix);
    dir.with_file_name(name)
}

fn remove(dir: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io(dir)(error)),
        _ => Ok(()),
    }
}

fn sync_folder(dir: &Path) -> Result<(), Error> {
    File::open(dir).and_then(|folder| folder.sync_all()).map_err(io(dir))
}

fn json<T: serde::Serialize>(value: &T) -> String {
    let mut text = serde_json::to_string_pretty(value).expect("plain structures and JSON values always serialise");
    text.push('\n');
    text
}

pub(crate) fn parse<T: DeserializeOwned>(path: &Path) -> Result<T, Error> {
    let text = fs::read_to_string(path).map_err(io(path))?;
    serde_json::from_str(&text).map_err(|e| corrupt(path, &e))
}

pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    |source| Error::Io { path, source }
}

pub(crate) fn corrupt(path: &Path, reason: &dyn std::fmt::Display) -> Error {
    Error::Corrupt { path: path.to_owned(), reason: reason.to_string() }
}
