//! Checks a whole data set from its files alone.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use serde_json::Value;
use sr_corpus::{CorpusHeader, Example, Side, SplitBy};
use sr_expr::{Expr, Machine};
use sr_problems::{Blocklist, Exclusion, Problem, ProblemFile, suite_names};
use sr_trace::{TraceReader, Trajectory};

use super::{CORPUS, CorpusSettings, CorpusStage, Formats, Manifest, PROBLEMS, TRACE, TracesStage};
use crate::{Ended, Monitor};

/// The result of a validation.
#[derive(Debug, Clone, PartialEq)]
pub struct Checked {
    /// Whether all files were checked.
    pub ended: Ended,
    /// The number of files checked.
    pub files: u64,
    /// The number of records checked.
    pub records: u64,
    /// The failures, one line each: file, record, fault.
    pub failures: Vec<String>,
}

/// A problem of the problem set, as traces and corpora refer to it.
struct Known {
    index: usize,
    fingerprint: u64,
    source: Option<Expr>,
}

struct Validation<'a, 'm> {
    dir: &'a Path,
    config: &'a Value,
    seed: u64,
    blocklist: Blocklist,
    problems: HashMap<String, Known>,
    monitor: &'a mut Monitor<'m>,
    checked: Checked,
}

/// Checks a folder: hashes, counts, every record, references, the split and excluded formulas.
///
/// - exclude: the problem files whose formulas were excluded; suites need not be given
///
/// The monitor counts the records of all files, [`Manifest::records`].
///
/// # Errors
/// If the folder is not a data set of this version, a file of excluded formulas is not given, or a file is given that
/// the data set did not exclude. Faults of the data are failures, not errors.
pub fn validate(dir: &Path, exclude: &[PathBuf], monitor: &mut Monitor<'_>) -> anyhow::Result<Checked> {
    let manifest = Manifest::read(dir)?;
    let formats = Formats::now();
    ensure!(
        manifest.formats == formats,
        "{}: made with other versions of the formats: {:?}, this program has {formats:?}",
        dir.display(),
        manifest.formats
    );
    let config = &manifest.config;
    let blocklist = blocklist(field(config, "exclude")?, exclude)?;
    let corpus: CorpusSettings = field(config, "corpus")?;
    let seed = manifest.seed;
    let checked = Checked { ended: Ended::Finished, files: 0, records: 0, failures: Vec::new() };
    let mut validation = Validation { dir, config, seed, blocklist, problems: HashMap::new(), monitor, checked };

    for file in manifest.files() {
        validation.checked.files += 1;
        if let Some(fault) = file.fault(dir) {
            validation.fails(&file.name, fault);
        }
    }
    match &manifest.problems {
        Some(stage) => validation.problems(stage.problems, stage.points),
        None => validation.fails("manifest.json", "the build was not finished: there are no problems"),
    }
    match &manifest.traces {
        Some(stage) => validation.traces(stage),
        None if config["search"].is_null() => {}
        None => validation.fails("manifest.json", "the build was not finished: there is no trace"),
    }
    match &manifest.corpus {
        Some(stage) => validation.corpus(stage, &corpus),
        None => validation.fails("manifest.json", "the build was not finished: there is no corpus"),
    }
    if validation.monitor.is_stopped() {
        validation.checked.ended = Ended::Stopped { done: validation.checked.records };
    }
    Ok(validation.checked)
}

fn field<T: serde::de::DeserializeOwned>(config: &Value, name: &str) -> anyhow::Result<T> {
    serde_json::from_value(config[name].clone()).with_context(|| format!("manifest.json: config.{name}"))
}

/// Returns the excluded formulas: suites by name, files from those given.
fn blocklist(sources: Vec<Exclusion>, files: &[PathBuf]) -> anyhow::Result<Blocklist> {
    let named = |file: &&PathBuf, name: &str| file.file_name().is_some_and(|file| file.to_string_lossy() == name);
    // A file that is silently ignored would be believed to have been excluded.
    for file in files {
        let is_suite = |source: &&Exclusion| suite_names().any(|name| name == source.name);
        let mut of_files = sources.iter().filter(|source| !is_suite(source));
        ensure!(file.exists(), "--exclude {}: there is no such file", file.display());
        ensure!(
            of_files.any(|source| named(&file, &source.name)),
            "--exclude {}: the formulas of no file of that name were kept out of this data set",
            file.display()
        );
    }
    let locate = |source: &Exclusion| match suite_names().find(|name| *name == source.name) {
        Some(name) => Ok(name.to_owned()),
        None => match files.iter().find(|file| named(file, &source.name)) {
            Some(file) => Ok(file.to_string_lossy().into_owned()),
            None => bail!("the formulas of {} were kept out; say where it is with --exclude", source.name),
        },
    };
    let located: Vec<String> = sources.iter().map(locate).collect::<anyhow::Result<_>>()?;
    let blocklist = Blocklist::of(located)?;
    let different = sources.iter().zip(blocklist.sources()).find(|(then, now)| then != now);
    if let Some((source, _)) = different {
        bail!("{} holds other formulas than those that were kept out", source.name);
    }
    Ok(blocklist)
}

impl Validation<'_, '_> {
    fn fails(&mut self, file: &str, fault: impl std::fmt::Display) {
        self.checked.failures.push(format!("{file}: {fault}").replace('\n', " "));
    }

    fn record(&mut self) {
        self.checked.records += 1;
        self.monitor.advance(1);
    }

    fn problems(&mut self, stated: u64, stated_points: u64) {
        let mut file = match ProblemFile::open(self.dir.join(PROBLEMS)) {
            Ok(file) => file,
            Err(error) => return self.fails(PROBLEMS, error),
        };
        let params = serde_json::to_value(file.params()).expect("a header is plain data");
        if params != self.config["problems"]["params"] {
            self.fails(PROBLEMS, "its header is not the one of the manifest");
        }
        let (mut machine, mut y, mut points) = (Machine::new(), Vec::new(), 0);
        for index in 0..file.len() {
            if self.monitor.is_stopped() {
                return;
            }
            self.record();
            let problem = match file.problem(index) {
                Ok(problem) => problem,
                Err(error) => {
                    self.fails(PROBLEMS, error);
                    continue;
                }
            };
            points += problem.y.len() as u64;
            if let Some(fault) = self.problem_fault(&problem, &mut machine, &mut y) {
                self.fails(PROBLEMS, format!("record {index} (problem {}): {fault}", problem.id));
            }
            let known = Known { index, fingerprint: problem.fingerprint(), source: problem.source };
            if self.problems.insert(problem.id.clone(), known).is_some() {
                self.fails(PROBLEMS, format!("record {index}: a second problem {}", problem.id));
            }
        }
        for (what, found, stated) in [("problems", file.len() as u64, stated), ("points", points, stated_points)] {
            if found != stated {
                self.fails(PROBLEMS, format!("{found} {what}, the manifest has {stated}"));
            }
        }
    }

    fn problem_fault(&self, problem: &Problem, machine: &mut Machine<f64>, y: &mut Vec<f64>) -> Option<String> {
        if let Err(error) = problem.instance() {
            return Some(error.to_string());
        }
        let source = problem.source.as_ref()?;
        machine.predict(source, &problem.x, problem.semantics, y);
        let row = y.iter().zip(&problem.y).position(|(a, b)| a.to_bits() != b.to_bits() && a != b);
        match row {
            Some(row) => Some(format!("y is not the formula's value in row {row}")),
            // A suite may contain its own formulas; whether they are learned is checked in the corpus.
            None if self.config["problems"]["params"]["origin"].get("random").is_none() => None,
            None => self.blocklist.contains(source).then(|| format!("excluded formula {source}")),
        }
    }

    fn traces(&mut self, stage: &TracesStage) {
        let mut reader = match TraceReader::open(self.dir.join(TRACE)) {
            Ok(reader) => reader,
            Err(error) => return self.fails(TRACE, error),
        };
        let header = serde_json::to_value(reader.header()).expect("a header is plain data");
        if header != self.config["search"]["header"] {
            self.fails(TRACE, "its header is not the one of the manifest");
        }
        let runs = self.config["search"]["runs"].as_u64().unwrap_or(1).max(1);
        let (mut index, mut solved, mut evaluations) = (0, 0, 0);
        loop {
            if self.monitor.is_stopped() {
                return;
            }
            let trajectory = match reader.next_trajectory() {
                Ok(Some(trajectory)) => trajectory,
                Ok(None) => break,
                Err(error) => {
                    self.fails(TRACE, error);
                    break;
                }
            };
            self.record();
            solved += u64::from(matches!(trajectory.stop, sr_engine::StopReason::Solved { .. }));
            evaluations += trajectory.evaluations.search;
            if let Some(fault) = self.trajectory_fault(&trajectory, index, runs) {
                self.fails(TRACE, format!("record {index} (problem {}): {fault}", trajectory.problem_id));
            }
            index += 1;
        }
        for (what, found, stated) in [
            ("trajectories", index, stage.trajectories),
            ("of them solved", solved, stage.solved),
            ("evaluations", evaluations, stage.evaluations),
        ] {
            if found != stated {
                self.fails(TRACE, format!("{found} {what}, the manifest has {stated}"));
            }
        }
    }

    fn trajectory_fault(&self, trajectory: &Trajectory, index: u64, runs: u64) -> Option<String> {
        let Some(known) = self.problems.get(&trajectory.problem_id) else {
            return Some(format!("{PROBLEMS} has no such problem"));
        };
        let (expected, seed) = (index / runs, self.seed.wrapping_add(index % runs));
        if known.index as u64 != expected {
            return Some(format!("is problem {} of the set, expected {expected}", known.index));
        }
        (trajectory.seed != seed).then(|| format!("seed {}, expected {seed}", trajectory.seed))
    }

    fn corpus(&mut self, stage: &CorpusStage, table: &CorpusSettings) {
        let sides = [("train.sr", Side::Train, stage.train), ("val.sr", Side::Val, stage.val)];
        let [train, val] =
            sides.map(|(name, side, stated)| self.side(&format!("{CORPUS}/{name}"), side, stated, table));
        let formula = |id: &String| self.problems.get(id)?.source.as_ref();
        let val_skeletons: HashMap<String, &String> =
            val.iter().filter_map(|id| Some((formula(id)?.skeleton(), id))).collect();
        let mut val_formulas = Blocklist::default();
        val.iter().filter_map(formula).for_each(|formula| val_formulas.insert(formula));
        let mut faults = Vec::new();
        for id in &train {
            if val.contains(id) {
                faults.push(format!("problem {id} is on both sides"));
            } else if let Some(formula) = formula(id) {
                if let Some(other) = val_skeletons.get(&formula.skeleton()) {
                    faults.push(format!("problem {id} has the skeleton of validation problem {other}: {formula}"));
                } else if table.split_by == Some(SplitBy::Function) && val_formulas.contains(formula) {
                    faults.push(format!("problem {id} is the same function as a validation problem: {formula}"));
                }
            }
        }
        faults.sort_unstable(); // sets have no order
        faults.into_iter().for_each(|fault| self.fails(&format!("{CORPUS}/train.sr"), fault));
    }

    /// Checks one side of the split and returns the ids of its problems.
    fn side(&mut self, name: &str, side: Side, stated: u64, table: &CorpusSettings) -> HashSet<String> {
        let mut ids = HashSet::new();
        let corpus = match sr_corpus::Corpus::open(self.dir.join(name)) {
            Ok(corpus) => corpus,
            Err(error) => {
                self.fails(name, error);
                return ids;
            }
        };
        if let Some(field) = self.header_fault(corpus.header(), side, table) {
            self.fails(name, format!("its header has another {field} than the manifest"));
        }
        let (mut examples, mut record, mut last) = (0, 0, None);
        let mut known = HashMap::new(); // excluded or not: a search's expressions occur in many of its states
        for example in corpus {
            if self.monitor.is_stopped() {
                return ids;
            }
            let example = match example {
                Ok(example) => example,
                Err(error) => {
                    self.fails(name, error);
                    break;
                }
            };
            examples += example.n_targets() as u64;
            let seed = match &example {
                Example::OneStep(state) | Example::Autoregressive(state) => state.seed,
                Example::Direct(_) => 0,
            };
            let search = (example.problem().id.clone(), seed);
            if last.as_ref() != Some(&search) {
                record += u64::from(last.is_some());
                self.record();
                known.clear();
                if let Some(fault) = self.problem_reference_fault(&example) {
                    self.fails(name, format!("record {record} (problem {}): {fault}", search.0));
                }
                ids.insert(search.0.clone());
                last = Some(search);
            }
            if side == Side::Train && !self.blocklist.is_empty() {
                for fault in self.excluded(&example, &mut known) {
                    self.fails(name, format!("record {record} (problem {}): {fault}", example.problem().id));
                }
            }
        }
        if examples != stated {
            self.fails(name, format!("{examples} examples, the manifest has {stated}"));
        }
        ids
    }

    /// Returns the first field of a header that is not as planned.
    fn header_fault(&self, header: &CorpusHeader, side: Side, table: &CorpusSettings) -> Option<&'static str> {
        let sources: Vec<Exclusion> = self.blocklist.sources().to_vec();
        let fields = [
            ("mode", header.mode == table.mode),
            ("context", header.context == table.context),
            ("split", header.split == side),
            ("problems", header.problems == PROBLEMS),
            ("seed", header.seed == self.seed),
            ("val_fraction", header.val_fraction == table.val_fraction),
            ("sample_fraction", header.sample_fraction == table.sample_fraction),
            ("states_per_search", header.states_per_search == table.states_per_search),
            ("ancestors_only", header.ancestors_only == table.ancestors_only),
            ("exclude", header.exclude == sources),
        ];
        fields.into_iter().find(|(_, holds)| !holds).map(|(field, _)| field)
    }

    fn problem_reference_fault(&self, example: &Example) -> Option<String> {
        let problem = example.problem();
        let Some(known) = self.problems.get(&problem.id) else {
            return Some(format!("{PROBLEMS} has no such problem"));
        };
        if known.fingerprint != problem.fingerprint {
            return Some(format!("made from other points than {PROBLEMS} has"));
        }
        let source = known.source.as_ref()?;
        if let Example::Direct(direct) = example
            && *direct.target != *source
        {
            return Some(format!("its target {} is not the formula {source}", direct.target));
        }
        self.blocklist.contains(source).then(|| format!("excluded formula {source}"))
    }

    /// Describes the individuals and targets that are excluded formulas.
    fn excluded(&self, example: &Example, known: &mut HashMap<Expr, bool>) -> Vec<String> {
        let (Example::OneStep(state) | Example::Autoregressive(state)) = example else { return Vec::new() };
        let population = state.population.iter().map(|individual| ("population", &individual.expr));
        let exprs = population.chain(state.targets.iter().map(|target| ("target", &target.expr)));
        let mut faults = Vec::new();
        for (place, expr) in exprs {
            let is_excluded = match known.get(&**expr) {
                Some(&is_excluded) => is_excluded,
                None => *known.entry((**expr).clone()).or_insert_with(|| self.blocklist.contains(expr)),
            };
            if is_excluded {
                faults.push(format!("generation {}: excluded expression in the {place}: {expr}", state.generation));
            }
        }
        faults
    }
}
