//! Rounds of DAgger (Ross, Gordon & Bagnell, 2011): roll out, label, aggregate, train, evaluate, and again.
//!
//! ```text
//! DIR/
//!   buffer.bin          rows of all rounds, see [`Buffer`]
//!   timing.jsonl        seconds of each stage: all that differs between equal runs
//!   round-000/
//!     manifest.json     the files of finished stages with their sizes and SHA-256
//!     rollouts/  labels/  corpus/  checkpoint/  evaluation/
//! ```
//!
//! Each stage is written to a folder `STAGE.partial`, synced, and renamed when it is complete. Whenever a run is
//! killed, the same call continues after the last complete stage, or within a stage if the task supports that. Before
//! the files of a finished stage are used, they are compared with the manifest, once in a run. The buffer is rebuilt
//! from the corpora.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use sr_codec::sums;
use sr_engine::random::{Key, Purpose};
use strum::IntoStaticStr;

use crate::{Beta, Buffer, BufferOptions, Error};

/// A task for DAgger: an expert that can be asked in any state, and a learner that learns from the answers.
///
/// A stage writes its files to the folder `out`. The folder may contain the files of an interrupted attempt at the same
/// stage, which the stage may continue or remove. Files may depend only on the earlier stages, the round and its seed,
/// so that equal runs give equal files.
pub trait Task {
    /// The error type of the stages.
    type Error: From<Error>;

    /// Runs episodes in which the expert acts with probability [`Round::beta`], otherwise the learner, and writes the
    /// visited states.
    ///
    /// # Errors
    /// Any error of the task.
    fn rollouts(&mut self, round: &Round, out: &Path) -> Result<(), Self::Error>;

    /// Writes the expert's actions in each state of the rollouts.
    ///
    /// # Errors
    /// Any error of the task.
    fn labels(&mut self, round: &Round, out: &Path) -> Result<(), Self::Error>;

    /// Converts states and labels to training examples.
    ///
    /// # Errors
    /// Any error of the task.
    fn corpus(&mut self, round: &Round, out: &Path) -> Result<(), Self::Error>;

    /// Returns the rows of a round's corpus, concatenated.
    ///
    /// # Errors
    /// Any error of the task.
    fn rows(&mut self, round: &Round) -> Result<Vec<u8>, Self::Error>;

    /// Trains the learner on rows drawn from the buffer, beginning with the model of [`Round::before`] if there is one.
    ///
    /// # Errors
    /// Any error of the task.
    fn train(&mut self, round: &Round, buffer: &Buffer, out: &Path) -> Result<(), Self::Error>;

    /// Evaluates the learner of this round without the expert.
    ///
    /// # Errors
    /// Any error of the task.
    fn evaluate(&mut self, round: &Round, out: &Path) -> Result<Evaluation, Self::Error>;
}

/// A stage of a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum Stage {
    /// The episodes with the states that expert and learner visited.
    Rollouts,
    /// The expert's actions in these states.
    Labels,
    /// The training examples.
    Corpus,
    /// The trained learner.
    Checkpoint,
    /// The evaluation of the learner.
    Evaluation,
}

impl Stage {
    /// All stages, in order.
    pub const ALL: [Stage; 5] = [Stage::Rollouts, Stage::Labels, Stage::Corpus, Stage::Checkpoint, Stage::Evaluation];

    /// Returns the name of the stage's folder.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// A round, and the paths of its files.
#[derive(Debug, Clone, PartialEq)]
pub struct Round {
    /// The index, counted from 0.
    pub index: u32,
    /// The probability with which the expert acts.
    pub beta: f64,
    /// The seed of the round; no other round has the same.
    pub seed: u64,
    /// The folder of the round.
    pub dir: PathBuf,
    /// The model that acts in the round and is trained further: that of the round before, or the initial one.
    pub before: Option<PathBuf>,
}

impl Round {
    /// Returns the folder of a finished stage.
    pub fn stage(&self, stage: Stage) -> PathBuf {
        self.dir.join(stage.name())
    }

    /// Returns the folder of a stage of an earlier round.
    pub fn earlier(&self, index: u32, stage: Stage) -> PathBuf {
        self.dir.with_file_name(round_name(index)).join(stage.name())
    }
}

fn round_name(index: u32) -> String {
    format!("round-{index:03}")
}

/// The evaluation of a learner.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// The number of episodes.
    pub episodes: u32,
    /// The number of successful episodes.
    pub successes: u32,
    /// A score that decides between rounds with equal success rates; higher is better.
    pub score: f64,
    /// All metrics.
    pub metrics: Vec<Metric>,
}

/// A value with its 95 % interval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// The name of the metric.
    pub name: String,
    /// The value; `None` if there was nothing to measure.
    pub value: Option<f64>,
    /// Lower end of the interval, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lo: Option<f64>,
    /// Upper end of the interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hi: Option<f64>,
}

impl Evaluation {
    /// Returns the share of successful episodes, in [0, 1].
    pub fn success_rate(&self) -> f64 {
        f64::from(self.successes) / f64::from(self.episodes.max(1))
    }

    /// Returns whether the learner is better than another one.
    fn is_better_than(&self, other: &Self) -> bool {
        // A NaN score is the worst; for `total_cmp` it would be the best.
        let score = |of: &Self| if of.score.is_nan() { f64::NEG_INFINITY } else { of.score };
        let rates = self.success_rate().total_cmp(&other.success_rate());
        rates.then(score(self).total_cmp(&score(other))).is_gt()
    }
}

/// The settings of the rounds.
#[derive(Debug, Clone)]
pub struct RoundsConfig {
    /// The most rounds, at least 1.
    pub rounds: u32,
    /// The schedule by which the expert acts.
    pub beta: Beta,
    /// The seed of all rounds.
    pub seed: u64,
    /// The initial model; without one the expert must act alone in the first round.
    pub init: Option<PathBuf>,
    /// The options of the buffer.
    pub buffer: BufferOptions,
    /// The number of rounds without a better model after which the rounds end; 0 for no limit.
    pub patience: u32,
    /// The success rate at which the rounds end.
    pub enough: Option<f64>,
}

/// A finished round.
#[derive(Debug, Clone, PartialEq)]
pub struct RoundResult {
    /// The round.
    pub round: Round,
    /// The evaluation of its model.
    pub evaluation: Evaluation,
    /// Whether its model is better than those of all earlier rounds.
    pub is_best: bool,
    /// Rows in the buffer when its model was trained.
    pub buffered: u64,
    /// Seconds of each stage in this process; 0 for stages of an earlier run.
    pub seconds: [f64; 5],
}

/// The results of all rounds.
#[derive(Debug, Clone, PartialEq)]
pub struct Rounds {
    /// The results, in order.
    pub rounds: Vec<RoundResult>,
    /// The index of the best one; the first among equals.
    pub best: usize,
}

impl Rounds {
    /// Returns the round with the best model.
    pub fn best(&self) -> &RoundResult {
        &self.rounds[self.best]
    }

    /// Returns the newest round.
    pub fn last(&self) -> &RoundResult {
        self.rounds.last().expect("there is a first round")
    }
}

/// Runs the rounds in `dir`, or continues them. `on_round` is called for every round, including those of an earlier
/// run.
///
/// # Errors
/// An error of the task, files that cannot be read or written or differ from the manifest, or a first round that needs
/// a model when there is none.
///
/// Finished rounds count, even if `config` now asks for fewer or would have ended earlier.
///
/// # Panics
/// If `config.rounds` is 0.
pub fn run_rounds<T: Task>(
    task: &mut T,
    dir: &Path,
    config: &RoundsConfig,
    on_round: &mut dyn FnMut(&RoundResult),
) -> Result<Rounds, T::Error> {
    assert!(config.rounds > 0, "at least one round");
    fs::create_dir_all(dir).map_err(Error::io(dir))?;
    let first = config.beta.at(0);
    if config.init.is_none() && first < 1.0 {
        return Err(Error::NoModel { beta: config.beta.to_string(), first }.into());
    }
    let finished = finished_rounds(dir)?;
    let mut before = config.init.clone();
    let mut is_aggregated = false;
    let (mut rounds, mut best): (Vec<RoundResult>, usize) = (Vec::new(), 0);
    for index in 0..config.rounds.max(finished) {
        let seed = Key::new(config.seed, Purpose::Rounds, u64::from(index)).rng().next_u64();
        let round = Round { index, beta: config.beta.at(index), seed, dir: dir.join(round_name(index)), before };
        let (evaluation, buffered, seconds) = run_round(task, dir, config, &round, &mut is_aggregated)?;
        before = Some(round.stage(Stage::Checkpoint));
        let is_best = rounds.get(best).is_none_or(|best| evaluation.is_better_than(&best.evaluation));
        if is_best {
            best = rounds.len();
        }
        let enough = config.enough.is_some_and(|enough| evaluation.success_rate() >= enough);
        let result = RoundResult { round, evaluation, is_best, buffered, seconds };
        on_round(&result);
        rounds.push(result);
        let waited = rounds.len() - 1 - best;
        let is_over = enough || (config.patience > 0 && waited >= config.patience as usize);
        if is_over && index + 1 >= finished {
            break;
        }
    }
    Ok(Rounds { rounds, best })
}

/// Returns the number of rounds of a folder, from the first one on, that have all stages.
pub(crate) fn finished_rounds(dir: &Path) -> Result<u32, Error> {
    for index in 0.. {
        let manifest = Manifest::read(&dir.join(round_name(index)))?;
        if manifest.is_none_or(|manifest| manifest.stages.len() < Stage::ALL.len()) {
            return Ok(index);
        }
    }
    unreachable!("some round is not there")
}

/// Returns whether the first round of a folder has trained its model, so that the initial model is not needed any more.
pub(crate) fn has_first_model(dir: &Path) -> Result<bool, Error> {
    let manifest = Manifest::read(&dir.join(round_name(0)))?;
    let is_model = |noted: &StageFiles| noted.stage == Stage::Checkpoint.name();
    Ok(manifest.is_some_and(|manifest| manifest.stages.iter().any(is_model)))
}

fn run_round<T: Task>(
    task: &mut T,
    dir: &Path,
    config: &RoundsConfig,
    round: &Round,
    is_aggregated: &mut bool,
) -> Result<(Evaluation, u64, [f64; 5]), T::Error> {
    fs::create_dir_all(&round.dir).map_err(Error::io(&round.dir))?;
    let mut stages = Stages::open(dir, round)?;
    stages.make(Stage::Rollouts, |out| task.rollouts(round, out))?;
    stages.make(Stage::Labels, |out| task.labels(round, out))?;
    stages.make(Stage::Corpus, |out| task.corpus(round, out))?;
    // A finished round has its number of rows in the manifest and does not need the buffer.
    if !stages.is_done(Stage::Checkpoint)? {
        let buffer = aggregate(task, dir, config, round, is_aggregated)?;
        stages.manifest.buffered = buffer.size();
        stages.make(Stage::Checkpoint, |out| task.train(round, &buffer, out))?;
    }
    stages.make(Stage::Evaluation, |out| -> Result<(), T::Error> {
        let evaluation = task.evaluate(round, out)?;
        let text = serde_json::to_string_pretty(&evaluation).expect("plain data") + "\n";
        let path = out.join(SCORES);
        Ok(fs::write(&path, text).map_err(Error::io(&path))?)
    })?;
    let path = round.stage(Stage::Evaluation).join(SCORES);
    let text = fs::read_to_string(&path).map_err(Error::io(&path))?;
    let evaluation = serde_json::from_str(&text).map_err(|error| Error::Damaged { path, reason: error.to_string() })?;
    Ok((evaluation, stages.manifest.buffered, stages.seconds))
}

const SCORES: &str = "scores.json";
pub(crate) const MANIFEST: &str = "manifest.json";
const BUFFER: &str = "buffer.bin";
const TIMING: &str = "timing.jsonl";

/// Returns the buffer with the rows of all rounds up to this one. Missing rounds are appended from the corpora. A
/// buffer that an earlier run has left is rebuilt: its content has no hash, but the corpora have been compared with
/// theirs.
fn aggregate<T: Task>(
    task: &mut T,
    dir: &Path,
    config: &RoundsConfig,
    round: &Round,
    is_aggregated: &mut bool,
) -> Result<Buffer, T::Error> {
    let path = dir.join(BUFFER);
    if !*is_aggregated && path.exists() {
        // A buffer that another process has open is an error.
        if let Err(error @ Error::BufferInUse { .. }) = Buffer::open(&path, config.buffer.clone()) {
            return Err(error.into());
        }
        fs::remove_file(&path).map_err(Error::io(&path))?;
    }
    *is_aggregated = true;
    let mut buffer = match Buffer::open(&path, config.buffer.clone()) {
        Ok(buffer) if buffer.rounds() <= round.index + 1 => buffer,
        Err(error) if !matches!(error, Error::NotABuffer { .. } | Error::OtherBuffer { .. }) => {
            return Err(error.into());
        }
        unusable => {
            let reason = unusable.map_or_else(|error| error.to_string(), |_| "it has later rounds".to_owned());
            tracing::warn!("{}: {reason}; it is made again from the corpora", path.display());
            fs::remove_file(&path).map_err(Error::io(&path))?;
            Buffer::open(&path, config.buffer.clone())?
        }
    };
    for index in buffer.rounds()..=round.index {
        let earlier = Round { index, dir: round.dir.with_file_name(round_name(index)), ..round.clone() };
        let capacity = buffer.capacity();
        buffer.append(index, &task.rows(&earlier)?)?;
        // Not where a buffer is made again: the rounds that people have read of by then are a table.
        if capacity == 0 && buffer.capacity() > 0 && index == round.index {
            tracing::info!("Initialized DAgger buffer with capacity {}", buffer.capacity());
            tracing::info!("Maximum buffer size {}", buffer.options().max_rows);
        }
    }
    Ok(buffer)
}

/// The stages of a round on disk.
struct Stages<'a> {
    round: &'a Round,
    timing: PathBuf,
    manifest: Manifest,
    /// Whether each stage was run, or compared with the manifest, in this process.
    is_known: [bool; 5],
    seconds: [f64; 5],
}

/// The finished stages of a round and their files.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Manifest {
    round: u32,
    beta: f64,
    /// The number of rows in the buffer when the model was trained.
    buffered: u64,
    stages: Vec<StageFiles>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct StageFiles {
    stage: String,
    files: Vec<FileEntry>,
}

/// An entry of a manifest: a file of a folder.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct FileEntry {
    pub(crate) path: String,
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
}

impl Manifest {
    /// Reads the manifest of a round's folder; `None` if there is none.
    fn read(round_dir: &Path) -> Result<Option<Self>, Error> {
        read_json(&round_dir.join(MANIFEST))
    }
}

/// Reads a JSON file; returns `None` if there is no such file.
pub(crate) fn read_json<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<Option<T>, Error> {
    match fs::read_to_string(path) {
        Ok(text) => {
            let read = serde_json::from_str(&text);
            let damaged =
                |error: serde_json::Error| Error::Damaged { path: path.to_owned(), reason: error.to_string() };
            read.map(Some).map_err(damaged)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io(path)(error)),
    }
}

impl<'a> Stages<'a> {
    fn open(dir: &Path, round: &'a Round) -> Result<Self, Error> {
        let path = round.dir.join(MANIFEST);
        let new = Manifest { round: round.index, beta: round.beta, ..Manifest::default() };
        let manifest = Manifest::read(&round.dir)?.unwrap_or(new);
        if manifest.beta != round.beta {
            let reason = format!("the round was begun with β = {}, now it is {}", manifest.beta, round.beta);
            return Err(Error::Damaged { path, reason });
        }
        Ok(Stages { round, timing: dir.join(TIMING), manifest, is_known: [false; 5], seconds: [0.0; 5] })
    }

    /// Returns whether a stage is finished. Fails if one of its files is missing or has another hash.
    fn is_done(&mut self, stage: Stage) -> Result<bool, Error> {
        let Some(noted) = self.manifest.stages.iter().find(|noted| noted.stage == stage.name()) else {
            return Ok(false);
        };
        if !self.is_known[stage as usize] {
            let round = self.round.dir.display();
            let way_out = format!("restore it, or delete {round}, and the same command makes that round again");
            compare(&self.round.stage(stage), &noted.files, &way_out)?;
            self.is_known[stage as usize] = true;
        }
        Ok(true)
    }

    /// Runs a stage unless it is finished.
    fn make<E: From<Error>>(&mut self, stage: Stage, fill: impl FnOnce(&Path) -> Result<(), E>) -> Result<(), E> {
        if self.is_done(stage)? {
            return Ok(());
        }
        let started = Instant::now();
        let whole = self.round.stage(stage);
        make_folder(&whole, fill)?;
        self.manifest.stages.push(StageFiles { stage: stage.name().to_owned(), files: files_of(&whole)? });
        self.is_known[stage as usize] = true;
        let text = serde_json::to_string_pretty(&self.manifest).expect("plain data") + "\n";
        write_atomically(&self.round.dir.join(MANIFEST), text.as_bytes())?;
        self.seconds[stage as usize] = started.elapsed().as_secs_f64();
        self.note_time(stage)?;
        Ok(())
    }

    fn note_time(&self, stage: Stage) -> Result<(), Error> {
        let seconds = (self.seconds[stage as usize] * 1e3).round() / 1e3;
        let line = serde_json::json!({ "round": self.round.index, "stage": stage.name(), "seconds": seconds });
        let file = File::options().create(true).append(true).open(&self.timing);
        let written = file.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()));
        written.map_err(Error::io(&self.timing))
    }
}

/// Creates a folder that appears under its name in one step, once `fill` has filled it; an existing folder stays.
/// `fill` may find files of an interrupted attempt.
pub(crate) fn make_folder<E: From<Error>>(whole: &Path, fill: impl FnOnce(&Path) -> Result<(), E>) -> Result<(), E> {
    if whole.exists() {
        return Ok(());
    }
    let partial = whole.with_added_extension("partial");
    fs::create_dir_all(&partial).map_err(Error::io(&partial))?;
    fill(&partial)?;
    sync(&partial)?;
    fs::rename(&partial, whole).map_err(Error::io(whole))?;
    Ok(sync_folder(whole.parent().expect("it is in a folder"))?)
}

/// Returns the files of a folder and its subfolders with their hashes, sorted by name.
pub(crate) fn files_of(folder: &Path) -> Result<Vec<FileEntry>, Error> {
    let mut files = Vec::new();
    list(folder, folder, &mut files)?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

/// Checks that the files of a folder match a list; `way_out` ends the error message with what to do.
pub(crate) fn compare(folder: &Path, listed: &[FileEntry], way_out: &str) -> Result<(), Error> {
    for file in listed {
        let path = folder.join(&file.path);
        let found = match hash(&path) {
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
                let reason = format!("the file is missing, {MANIFEST} lists it; {way_out}");
                return Err(Error::Damaged { path, reason });
            }
            found => found?,
        };
        if found != (file.bytes, file.sha256.clone()) {
            let what = match found.0 == file.bytes {
                true => format!("the file was changed, its SHA-256 is not that of {MANIFEST}"),
                false => format!("the file was changed, it has {} bytes and in {MANIFEST} {}", found.0, file.bytes),
            };
            return Err(Error::Damaged { path, reason: format!("{what}; {way_out}") });
        }
    }
    Ok(())
}

/// Returns the length and the SHA-256 of a file.
fn hash(path: &Path) -> Result<(u64, String), Error> {
    sums::of_file(path).map_err(Error::io(path))
}

/// Returns a digest of the files of a folder.
pub(crate) fn digest(folder: &Path) -> Result<String, Error> {
    let files: String = files_of(folder)?.iter().map(|file| format!("{} {}\n", file.sha256, file.path)).collect();
    Ok(sums::of_bytes(files.as_bytes()))
}

fn list(folder: &Path, root: &Path, files: &mut Vec<FileEntry>) -> Result<(), Error> {
    for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
        let path = entry.map_err(Error::io(folder))?.path();
        if path.is_dir() {
            list(&path, root, files)?;
            continue;
        }
        // A killed run leaves partial files; the code that writes the file starts over.
        if path.extension().is_some_and(|extension| extension == "partial") {
            continue;
        }
        let (bytes, sha256) = hash(&path)?;
        let name = path.strip_prefix(root).expect("it is inside").to_string_lossy().into_owned();
        files.push(FileEntry { path: name, bytes, sha256 });
    }
    Ok(())
}

/// Syncs a folder and everything in it to the disk.
fn sync(folder: &Path) -> Result<(), Error> {
    for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
        let path = entry.map_err(Error::io(folder))?.path();
        match path.is_dir() {
            true => sync(&path)?,
            false => File::open(&path).and_then(|file| file.sync_all()).map_err(Error::io(&path))?,
        }
    }
    sync_folder(folder)
}

fn sync_folder(folder: &Path) -> Result<(), Error> {
    File::open(folder).and_then(|file| file.sync_all()).map_err(Error::io(folder))
}

/// Writes a temporary file, syncs it and renames it into place.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let aside = path.with_added_extension("partial");
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&aside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&aside, path)
    };
    write().map_err(Error::io(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_run_had_begun_to_write_is_no_file_of_a_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["a.sr", "manifest.json.partial", "b.txt"] {
            fs::write(folder.path().join(name), name).expect("written");
        }
        let names: Vec<String> = files_of(folder.path()).expect("listed").into_iter().map(|file| file.path).collect();
        assert_eq!(names, ["a.sr", "b.txt"]);
    }

    #[test]
    fn a_score_that_is_no_number_is_the_worst() {
        let of = |successes, score| Evaluation { episodes: 10, successes, score, metrics: Vec::new() };
        let scores = [f64::NAN, -f64::INFINITY, -1e308, -5.0, 3.0];
        for (place, &score) in scores.iter().enumerate() {
            assert!(scores[..place.saturating_sub(1)].iter().all(|&worse| of(5, score).is_better_than(&of(5, worse))));
            assert!(scores[place..].iter().all(|&better| !of(5, score).is_better_than(&of(5, better))));
            assert!(of(6, f64::NAN).is_better_than(&of(5, score)), "successes count first");
        }
    }
}
