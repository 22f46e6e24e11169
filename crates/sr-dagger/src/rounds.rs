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
//! Each stage is made in a folder `STAGE.partial`, synced and renamed when it is whole. Whatever moment a run is killed at,
//! the same call goes on after the last whole stage, and inside of a stage where the task can do that. The files of a stage
//! that is there are compared with the manifest, once in a run, before anything is made of them; the buffer is made again
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

/// What DAgger is done on: an expert that can be asked in any state, a learner that learns from the answers.
///
/// A stage writes its files into the folder `out`, which holds what an interrupted attempt at the same stage has left, if
/// anything; it may go on with that or remove it. What it writes may depend on the earlier stages, the round and its seed
/// only, so that equal runs give equal files.
pub trait Task {
    /// Why a stage failed.
    type Error: From<Error>;

    /// Lets expert and learner act, the expert with probability [`Round::beta`], and writes what they met.
    ///
    /// # Errors
    /// Of the task.
    fn rollouts(&mut self, round: &Round, out: &Path) -> Result<(), Self::Error>;

    /// Asks the expert what it would do in each state of the rollouts.
    ///
    /// # Errors
    /// Of the task.
    fn labels(&mut self, round: &Round, out: &Path) -> Result<(), Self::Error>;

    /// Makes training examples of states and labels.
    ///
    /// # Errors
    /// Of the task.
    fn corpus(&mut self, round: &Round, out: &Path) -> Result<(), Self::Error>;

    /// The rows of a round's corpus, one after the other.
    ///
    /// # Errors
    /// Of the task.
    fn rows(&mut self, round: &Round) -> Result<Vec<u8>, Self::Error>;

    /// Fits the learner to rows drawn from the buffer, beginning with the model of [`Round::before`] if there is one.
    ///
    /// # Errors
    /// Of the task.
    fn train(&mut self, round: &Round, buffer: &Buffer, out: &Path) -> Result<(), Self::Error>;

    /// How well the learner of this round does by itself.
    ///
    /// # Errors
    /// Of the task.
    fn evaluate(&mut self, round: &Round, out: &Path) -> Result<Evaluation, Self::Error>;
}

/// A stage of a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum Stage {
    /// What expert and learner met.
    Rollouts,
    /// What the expert would have done there.
    Labels,
    /// Training examples.
    Corpus,
    /// The trained learner.
    Checkpoint,
    /// How well it does.
    Evaluation,
}

impl Stage {
    /// All of them, in order.
    pub const ALL: [Stage; 5] = [Stage::Rollouts, Stage::Labels, Stage::Corpus, Stage::Checkpoint, Stage::Evaluation];

    /// Its folder.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// A round and where its files are.
#[derive(Debug, Clone, PartialEq)]
pub struct Round {
    /// Counted from 0.
    pub index: u32,
    /// Probability with which the expert acts.
    pub beta: f64,
    /// Seed of all of its draws; no other round has it.
    pub seed: u64,
    /// Its folder.
    pub dir: PathBuf,
    /// The model that acts in it and is trained further: that of the round before, or the one to begin with.
    pub before: Option<PathBuf>,
}

impl Round {
    /// The folder of a finished stage.
    pub fn stage(&self, stage: Stage) -> PathBuf {
        self.dir.join(stage.name())
    }

    /// An earlier round's folder of a stage.
    pub fn earlier(&self, index: u32, stage: Stage) -> PathBuf {
        self.dir.with_file_name(round_name(index)).join(stage.name())
    }
}

fn round_name(index: u32) -> String {
    format!("round-{index:03}")
}

/// How well a learner does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Episodes that it was tried on.
    pub episodes: u32,
    /// Those that it succeeded in.
    pub successes: u32,
    /// Decides between rounds with as many successes: more is better.
    pub score: f64,
    /// Everything that was measured.
    pub metrics: Vec<Metric>,
}

/// A number with its 95 % interval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// What it is.
    pub name: String,
    /// `null` where there was nothing to measure.
    pub value: Option<f64>,
    /// Lower end of its interval, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lo: Option<f64>,
    /// Upper end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hi: Option<f64>,
}

impl Evaluation {
    /// Share of successes, in [0, 1].
    pub fn success_rate(&self) -> f64 {
        f64::from(self.successes) / f64::from(self.episodes.max(1))
    }

    /// Whether the learner is better than another one.
    fn is_better_than(&self, other: &Self) -> bool {
        // A score that is no number is the worst, not the best as `total_cmp` has it.
        let score = |of: &Self| if of.score.is_nan() { f64::NEG_INFINITY } else { of.score };
        let rates = self.success_rate().total_cmp(&other.success_rate());
        rates.then(score(self).total_cmp(&score(other))).is_gt()
    }
}

/// How many rounds there are, and how they follow each other.
#[derive(Debug, Clone)]
pub struct RoundsConfig {
    /// Rounds at most.
    pub rounds: u32,
    /// How often the expert acts.
    pub beta: Beta,
    /// Of everything.
    pub seed: u64,
    /// The model to begin with; without one the expert has to act alone in the first round.
    pub init: Option<PathBuf>,
    /// What is kept of earlier rounds.
    pub buffer: BufferOptions,
    /// Stop after this many rounds without a better model; never if 0.
    pub patience: u32,
    /// Stop once a model has this share of successes.
    pub enough: Option<f64>,
}

/// A finished round.
#[derive(Debug, Clone, PartialEq)]
pub struct RoundResult {
    /// Which one.
    pub round: Round,
    /// Its evaluation.
    pub evaluation: Evaluation,
    /// Whether its model is better than those of all earlier rounds.
    pub is_best: bool,
    /// Rows in the buffer when its model was trained.
    pub buffered: u64,
    /// Seconds of each stage in this process: 0 for those that were there already.
    pub seconds: [f64; 5],
}

/// What the rounds came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Rounds {
    /// All of them.
    pub rounds: Vec<RoundResult>,
    /// The place of the best among them, the first of equals.
    pub best: usize,
}

impl Rounds {
    /// The round with the best model.
    pub fn best(&self) -> &RoundResult {
        &self.rounds[self.best]
    }

    /// The newest round.
    pub fn last(&self) -> &RoundResult {
        self.rounds.last().expect("there is a first round")
    }
}

/// Runs the rounds in `dir`, or goes on with them; `on_round` is told of every round, those included that were there.
///
/// # Errors
/// Of the task; if files cannot be read or written; if a finished stage's files are not what the manifest says; if the first
/// round needs a model and there is none.
///
/// Rounds that are finished count, even if fewer were wanted or another ending would have left them out.
///
/// # Panics
/// If no rounds are wanted.
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

/// How many rounds of a folder, from the first one on, have all of their stages.
pub(crate) fn finished_rounds(dir: &Path) -> Result<u32, Error> {
    for index in 0.. {
        let manifest = Manifest::read(&dir.join(round_name(index)))?;
        if manifest.is_none_or(|manifest| manifest.stages.len() < Stage::ALL.len()) {
            return Ok(index);
        }
    }
    unreachable!("some round is not there")
}

/// Whether the first round of a folder has trained its model, so that the one that it began with is not needed any more.
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
    // Of a finished round the number of rows is known, and the buffer is not needed.
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

/// The buffer with the rows of all rounds up to this one. Rows of rounds that it does not have are added, all of them if
/// there is no buffer or it cannot be used, since they follow from the corpora. So do those of a buffer that an earlier run
/// has left: nothing says whether it is as that run left it, and the corpora, which were compared with their hashes, do.
fn aggregate<T: Task>(
    task: &mut T,
    dir: &Path,
    config: &RoundsConfig,
    round: &Round,
    is_aggregated: &mut bool,
) -> Result<Buffer, T::Error> {
    let path = dir.join(BUFFER);
    if !*is_aggregated && path.exists() {
        // Not one that somebody else has open.
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
        buffer.append(index, &task.rows(&earlier)?)?;
    }
    Ok(buffer)
}

/// The stages of a round on disk.
struct Stages<'a> {
    round: &'a Round,
    timing: PathBuf,
    manifest: Manifest,
    /// Stages that were made or compared with the manifest in this run.
    is_known: [bool; 5],
    seconds: [f64; 5],
}

/// Which stages are finished, and what they made.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Manifest {
    round: u32,
    beta: f64,
    /// Rows in the buffer when the model was trained.
    buffered: u64,
    stages: Vec<StageFiles>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct StageFiles {
    stage: String,
    files: Vec<FileEntry>,
}

/// A file of a folder, as a manifest lists it.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct FileEntry {
    pub(crate) path: String,
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
}

impl Manifest {
    /// That of a round's folder, if there is one.
    fn read(round_dir: &Path) -> Result<Option<Self>, Error> {
        read_json(&round_dir.join(MANIFEST))
    }
}

/// What a JSON file says, if there is one.
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

    /// Whether a stage is finished; its files have to be there then, with the hashes that they had.
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

    /// Makes a stage unless it is there.
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

/// Makes a folder that appears under its name in one step when `fill` has filled it; one that is there stays. `fill` finds
/// what an interrupted attempt has left.
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

/// Files of a folder and its subfolders with their hashes, in order of names.
pub(crate) fn files_of(folder: &Path) -> Result<Vec<FileEntry>, Error> {
    let mut files = Vec::new();
    list(folder, folder, &mut files)?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

/// Makes sure that the files of a folder are those that are listed; `way_out` says what else is to be done.
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

/// Length and SHA-256 of a file.
fn hash(path: &Path) -> Result<(u64, String), Error> {
    sums::of_file(path).map_err(Error::io(path))
}

/// What tells the files of a folder from all others.
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
        // What a killed run had begun to write: whoever writes the file makes it anew.
        if path.extension().is_some_and(|extension| extension == "partial") {
            continue;
        }
        let (bytes, sha256) = hash(&path)?;
        let name = path.strip_prefix(root).expect("it is inside").to_string_lossy().into_owned();
        files.push(FileEntry { path: name, bytes, sha256 });
    }
    Ok(())
}

/// Brings a folder with all that is in it to the disk.
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

/// Writes a small file aside, syncs it and renames it into place.
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
