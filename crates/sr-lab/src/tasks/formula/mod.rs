//! Formula search as a task: an episode is a search, a step is a generation, and the expert is genetic programming.

mod problems;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::fs;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, ensure};
use rayon::prelude::*;
use serde_json::{Value, json};
use sr_corpus::{Corpus, Exclude, Options, Problems, Shape, Targets, convert_trace};
use sr_dagger::{
    Buffer, Curriculum, Evaluation, ExpertConfig, FileOptions, Labelling, Round, RoundResult, Rounds, Stage, Telling,
    run_rounds,
};
use sr_engine::{Instance, Origin, PrimitiveSet, SearchConfig, StopReason};
use sr_eval::{FRESH_POINTS, Row, judge};
use sr_expr::{Expr, Tree};
use sr_model::DeviceKind;
use sr_neural::{CheckpointMeta, Sampling, Share};
use sr_problems::{Blocklist, ProblemSet};
use sr_prompt::{Condition, Conditions};
use sr_trace::{IndividualRecord, TraceHeader, TraceReader, Trajectory};
use sr_train::{
    Limits, Mode, RunConfig, Split, Start, StepStats, TrainConfig, Trainer, load_drawn_examples, load_examples,
};

use super::metrics::{self, Trained};
use super::{RoundsOptions, Stopped, Task, Unusable, check_names};
use crate::files::write_atomically;
use crate::record::{self, Job, Recording, Searcher};
use crate::{Ended, Monitor};
use problems::Episode;
pub use problems::{Milestone, milestones};

/// Searches that advance together. Results do not depend on it.
const BATCH: usize = 64;
const TRACE: &str = "trace.sr";
const PROBLEMS: &str = "problems.sr";
const TRAINED: &str = "training.json";

/// The options of formula search.
#[derive(Debug, Clone)]
pub struct FormulaOptions {
    /// The options of the rounds.
    pub rounds: RoundsOptions,
    /// The milestones, see [`milestones`].
    pub milestones: Vec<Milestone>,
    /// The settings of the searches, without a time limit, because results may not depend on the machine.
    pub search: SearchConfig,
    /// The settings of the searches of milestones whose problems are a user's own data.
    pub search_own_data: SearchConfig,
    /// Name of the preset that the settings started from.
    pub preset: String,
    /// The expert that labels, and its settings.
    pub labelling: Labelling,
    /// The sampling settings of the learner.
    pub sampling: Sampling,
    /// The model and its training. Width, learning rate, steps and batch size are taken from the rounds instead.
    pub train: TrainConfig,
    /// The device on which the learner computes.
    pub device: DeviceKind,
    /// Suites and problem files whose formulas are excluded from all training.
    pub exclude: Vec<String>,
    /// Share of the formulas for validation instead of training.
    pub val_fraction: f64,
    /// The most states of a search that are learned from, one of each stage by turns; `None` for all.
    pub states_per_search: Option<NonZeroU32>,
}

impl FormulaOptions {
    /// Returns the original pipeline's values for these milestones and this model, on the CPU.
    pub fn new(milestones: Vec<Milestone>, train: TrainConfig) -> Self {
        let basic = SearchConfig::basic();
        FormulaOptions {
            rounds: RoundsOptions::default(),
            milestones,
            search_own_data: SearchConfig { objective: sr_engine::Objective::Mse, ..basic.clone() },
            search: basic,
            preset: "basic".to_owned(),
            labelling: Labelling::Expert(ExpertConfig::default()),
            sampling: Sampling::default(),
            train,
            device: DeviceKind::Cpu,
            exclude: Vec::new(),
            val_fraction: 0.1,
            states_per_search: None,
        }
    }
}

/// Formula search as a task.
pub struct Formula<'a> {
    options: FormulaOptions,
    /// Whether each milestone's problems are a user's own data. `configs` has the matching settings.
    own_data: Vec<bool>,
    configs: Vec<SearchConfig>,
    /// Formulas that no training problem may have: those of all milestones' evaluations, and the excluded ones.
    judged: Arc<Blocklist>,
    /// The excluded formulas, which no training example may contain. Formulas of evaluations are not among them: every
    /// population contains those of easy milestones, so that no examples would be left.
    excluded: Arc<Blocklist>,
    /// For each milestone, the error why it cannot run, or an identification of its own problems.
    seen: Vec<Result<String, String>>,
    stop: &'a AtomicBool,
    on_step: Box<OnStep<'a>>,
}

/// Callback for each training step, with its number, the number of steps and its statistics.
type OnStep<'a> = dyn FnMut(u64, u64, &StepStats) + 'a;

impl fmt::Debug for Formula<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Formula").field("options", &self.options).finish_non_exhaustive()
    }
}

impl<'a> Formula<'a> {
    /// Checks all options, and generates the problems for evaluation. Once `stop` is true, this and a run end.
    ///
    /// # Errors
    /// If options contradict each other, there is no such device, the checkpoint is missing or of another mode, shape
    /// or language, or an excluded file cannot be read; [`Stopped`] if it was stopped. A milestone that cannot run is
    /// no error here: it fails when its turn comes.
    pub fn new(options: FormulaOptions, stop: &'a AtomicBool) -> anyhow::Result<Self> {
        let mut options = options;
        options.train.training.learning_rate = options.rounds.learning_rate;
        options.train.model.d_model = Some(options.rounds.hidden_dim as usize);
        check_names(&options.milestones)?;
        ensure!(options.train.mode != Mode::Direct, "mode direct learns no steps; take one-step or autoregressive");
        let milestones = &options.milestones;
        let sets: Vec<Option<anyhow::Result<ProblemSet>>> =
            milestones.iter().map(|milestone| milestone.problems.as_deref().map(|path| milestone.read(path))).collect();
        let is_own = |set: &Option<anyhow::Result<ProblemSet>>| {
            set.as_ref().and_then(|set| set.as_ref().ok()).is_some_and(ProblemSet::is_own_data)
        };
        let own_data: Vec<bool> = sets.iter().map(is_own).collect();
        // A rollout ends when its problem is solved; further generations would teach nothing that is evaluated.
        let config = |&is_own: &bool| {
            let config = if is_own { &options.search_own_data } else { &options.search };
            SearchConfig { extra_generations: 0, ..config.clone() }
        };
        let configs: Vec<SearchConfig> = own_data.iter().map(config).collect();
        options.device.open()?;
        let excluded = Arc::new(Blocklist::of(&options.exclude)?);
        let mut judged = Blocklist::of(&options.exclude)?;
        check_condition(options.sampling.conditions, options.labelling)?;
        ensure!(
            options.train.training.shares.is_none(),
            "shares in [training]: a round draws its states from the buffer, whatever their conditions; leave it out"
        );
        let (n, seed) = (options.rounds.eval_episodes, options.rounds.seed);
        let mut seen = vec![Ok(String::new()); milestones.len()];
        for ((milestone, config), seen) in milestones.iter().zip(&configs).zip(&mut seen) {
            match milestone.evaluation(n, config, seed, stop) {
                Ok((set, _)) => {
                    set.problems.iter().filter_map(|p| p.source.as_ref()).for_each(|formula| judged.insert(formula));
                }
                Err(error) => *seen = Err(unusable(error)?),
            }
        }
        let judged = Arc::new(judged);
        for (((milestone, config), set), seen) in milestones.iter().zip(&configs).zip(sets).zip(&mut seen) {
            let (Some(set), Ok(inputs)) = (set, &mut *seen) else { continue };
            let tried = set.and_then(|set| {
                *inputs = format!("{:016x}", set.fingerprint());
                milestone.training(options.rounds.episodes_per_iter, 0, config, seed, judged.clone(), stop)
            });
            if let Err(error) = tried {
                *seen = Err(unusable(error)?);
            }
        }
        if let Some(checkpoint) = &options.rounds.checkpoint {
            check_checkpoint(checkpoint, &options)?;
        }
        let on_step: Box<OnStep<'a>> = Box::new(|_, _, _| ());
        Ok(Formula { options, own_data, configs, judged, excluded, seen, stop, on_step })
    }

    /// Sets a callback for each training step, with its number, the number of steps and its statistics.
    #[must_use]
    pub fn on_step(self, on_step: impl FnMut(u64, u64, &StepStats) + 'a) -> Self {
        Formula { on_step: Box::new(on_step), ..self }
    }
}

impl Task for Formula<'_> {
    const NAME: &'static str = "search";

    fn options(&self) -> &RoundsOptions {
        &self.options.rounds
    }

    fn settings(&self) -> anyhow::Result<Value> {
        let options = &self.options;
        for path in options.milestones.iter().filter_map(|milestone| milestone.problems.as_ref()) {
            ensure!(path.to_str().is_some(), "{}: its name is no UTF-8, and a run tells it; rename it", path.display());
        }
        let primitives = PrimitiveSet::new(vec![sr_expr::Op::Add], Vec::new(), 1).expect("one operator");
        Ok(json!({
            "milestones": options.milestones,
            "search": TraceHeader::of_expert(PROBLEMS, &primitives, &self.configs[0], &options.preset, 0),
            "own_data": self.own_data,
            "labels": options.labelling.settings(),
            "sampling": sampling_json(&options.sampling),
            "training": options.train.clone().resolve(0), // each round has a seed of its own
            "excluded": self.excluded.sources(),
            "dagger": match options.states_per_search {
                None => json!({ "val_fraction": options.val_fraction }),
                Some(most) => json!({ "val_fraction": options.val_fraction, "states_per_search": most }),
            },
        }))
    }

    fn about(&self) -> Vec<String> {
        self.options.milestones.iter().map(|milestone| milestone.about.clone()).collect()
    }

    fn record(folder: &Path, n: u32, name: &dyn Fn(usize, bool, u32) -> PathBuf) -> anyhow::Result<()> {
        record(folder, n, name)
    }
}

/// Returns the reason why a milestone cannot run, if the error concerns one milestone.
fn unusable(error: anyhow::Error) -> anyhow::Result<String> {
    error.downcast::<Unusable>().map(|Unusable(reason)| reason)
}

/// Fails if the labels never have the condition that the learner is asked for.
fn check_condition(conditions: Option<Conditions>, labelling: Labelling) -> anyhow::Result<()> {
    let Some(conditions) = conditions else { return Ok(()) };
    let taught = match labelling {
        Labelling::Expert(ExpertConfig { mode: sr_dagger::LabelMode::All, .. }) => vec![Condition::All],
        Labelling::Formula(Telling::Path, _) => vec![Condition::Path],
        Labelling::Formula(Telling::Target, _) => vec![Condition::Target],
        Labelling::Expert(_) => (0..=4).map(Condition::Gain).collect(),
    };
    let names = taught.iter().map(|condition| condition.name()).collect::<Vec<_>>().join(", ");
    ensure!(
        conditions.iter().all(|(condition, _)| taught.contains(&condition)),
        "--condition {conditions}: these labels teach {names} only; see --labels"
    );
    Ok(())
}

/// Fails if training cannot start from the checkpoint, so that the error comes before any work.
fn check_checkpoint(folder: &Path, options: &FormulaOptions) -> anyhow::Result<()> {
    let told = || format!("--checkpoint {}", folder.display());
    ensure!(
        folder.exists(),
        "{}: there is no checkpoint; one is a folder with config.json and model.bpk, such as best/ of a run",
        told()
    );
    sr_model::Checkpoint::check_kind(folder).with_context(told)?;
    let train = &options.train;
    let learner = crate::learner::open(folder, &options.device.to_string(), options.sampling)?;
    let (found, expected) = (learner.mode().name(), train.mode.name());
    ensure!(found == expected, "{}: it was trained for mode {found}, not {expected}", told());
    let read =
        |name: &str| -> anyhow::Result<Value> { Ok(serde_json::from_str(&fs::read_to_string(folder.join(name))?)?) };
    let config = read("config.json")?;
    let meta = CheckpointMeta::from_json(&read("meta.json")?).with_context(told)?;
    let shape = serde_json::to_value(train.model_config())?;
    let differs = |a: &Value, b: &Value| {
        let fields = b.as_object().expect("settings are objects");
        let other = |(key, expected): (&String, &Value)| {
            let found = a.get(key).filter(|found| *found != expected)?;
            Some(format!("{key} is {found}, the settings have {expected}"))
        };
        fields.iter().find_map(other)
    };
    let differing = differs(&config, &shape)
        .or(differs(&serde_json::to_value(&meta.language)?, &serde_json::to_value(&train.language)?));
    ensure!(
        differing.is_none(),
        "{}: {}; make them alike in [model] and [language] of --config, or by --hidden-dim",
        told(),
        differing.unwrap_or_default()
    );
    Ok(())
}

/// Returns the sampling settings, with the names of the flags. Settings that do not change results are left out.
fn sampling_json(sampling: &Sampling) -> Value {
    json!({
        "temperature": sampling.temperature,
        "top_k": sampling.top_k,
        "top_p": sampling.top_p,
        "distinct": sampling.distinct,
        "max_child_size": sampling.max_child_size,
        "grammar": sampling.grammar.is_some(),
        "rules": sampling.grammar.iter().flat_map(|rules| rules.names()).collect::<Vec<_>>(),
        "condition": sampling.conditions.map(|conditions| conditions.to_string()),
    })
}

impl Curriculum for Formula<'_> {
    type Error = anyhow::Error;

    fn ids(&self) -> Vec<String> {
        self.options.milestones.iter().map(|milestone| milestone.id.clone()).collect()
    }

    fn unusable(&self, milestone: usize) -> Option<String> {
        self.seen[milestone].clone().err()
    }

    fn inputs(&self, milestone: usize) -> String {
        self.seen[milestone].clone().unwrap_or_default()
    }

    fn expert_settings(&self) -> String {
        format!("--generations {}", self.configs[0].generations)
    }

    fn remedy(&self) -> &'static str {
        "lower --min-success-rate or raise --generations"
    }

    fn expert(&mut self, milestone: usize, out: &Path) -> anyhow::Result<Vec<sr_dagger::Episode>> {
        let (options, config) = (&self.options, &self.configs[milestone]);
        let (n, seed) = (options.rounds.eval_episodes, options.rounds.seed);
        let (set, episodes) = options.milestones[milestone].evaluation(n, config, seed, self.stop)?;
        set.write(out.join(PROBLEMS))?;
        let searching = Searching::new(config.clone(), &options.preset, PROBLEMS, &set, seed)?;
        let rows = searching.record(&mut Searcher::Expert, &episodes, &out.join(TRACE), self.stop)?;
        Ok(rows.iter().map(|row| sr_dagger::Episode { success: row.solved, steps: steps(row) }).collect())
    }

    fn rounds(
        &mut self,
        milestone: usize,
        max_steps: u32,
        init: Option<&Path>,
        dir: &Path,
        on_round: &mut dyn FnMut(&RoundResult),
    ) -> anyhow::Result<Rounds> {
        let options = &self.options;
        let config = options.rounds.config(init, ROW_BYTES);
        let train = options.train.clone().resolve(options.rounds.seed);
        let (milestone, search) = (&options.milestones[milestone], &self.configs[milestone]);
        let (judged, excluded, stop, on_step) = (&self.judged, &self.excluded, self.stop, &mut *self.on_step);
        let mut task = FormulaRounds { options, milestone, search, max_steps, train, judged, excluded, stop, on_step };
        run_rounds(&mut task, dir, &config, on_round).map_err(|error| {
            let is_empty = |cause: &(dyn std::error::Error + 'static)| {
                matches!(cause.downcast_ref(), Some(sr_dagger::Error::NoRows { .. }))
                    || matches!(cause.downcast_ref(), Some(sr_train::Error::Empty { .. }))
            };
            match error.chain().any(is_empty) {
                true => anyhow::Error::new(Unusable(
                    "no state that was visited has a label to learn from; make the milestone harder, or take --labels all \
                     or other --exclude in another folder"
                        .to_owned(),
                )),
                false => error,
            }
        })
    }

    fn is_of_milestone(&self, error: &anyhow::Error) -> bool {
        let is = |cause: &(dyn std::error::Error + 'static)| {
            cause.is::<Unusable>() || matches!(cause.downcast_ref(), Some(sr_train::Error::Diverged { .. }))
        };
        error.chain().any(is)
    }

    fn labels(&self) -> &'static str {
        self.options.labelling.kind()
    }
}

/// Returns the number of generations after the initial one.
fn steps(row: &Row) -> u32 {
    row.generations_to_solve.unwrap_or(row.generations.saturating_sub(1))
}

/// The rounds of a milestone.
struct FormulaRounds<'a> {
    options: &'a FormulaOptions,
    milestone: &'a Milestone,
    search: &'a SearchConfig,
    max_steps: u32,
    train: RunConfig,
    judged: &'a Arc<Blocklist>,
    excluded: &'a Arc<Blocklist>,
    stop: &'a AtomicBool,
    on_step: &'a mut dyn FnMut(u64, u64, &StepStats),
}

/// Bytes of a buffer row: the number of a round and that of an example in its corpus.
const ROW_BYTES: u32 = 8;

impl sr_dagger::Task for FormulaRounds<'_> {
    type Error = anyhow::Error;

    fn rollouts(&mut self, round: &Round, out: &Path) -> anyhow::Result<()> {
        let options = self.options;
        let (n, config, blocklist) = (options.rounds.episodes_per_iter, self.config(), self.judged.clone());
        let (set, episodes) = self.milestone.training(n, round.index, &config, round.seed, blocklist, self.stop)?;
        // Corpora name their problems, so sets of different rounds need different names.
        let name = problems_name(round.index);
        set.write(out.join(&name))?;
        let searching = Searching::new(config, &options.preset, &name, &set, round.seed)?;
        let mut searcher = match &round.before {
            Some(checkpoint) if round.beta < 1.0 => {
                self.searcher(checkpoint, Share::Drawn(1.0 - round.beta, options.rounds.beta_level))?
            }
            _ => Searcher::Expert,
        };
        searching.record(&mut searcher, &episodes, &out.join(TRACE), self.stop)?;
        Ok(())
    }

    fn labels(&mut self, round: &Round, out: &Path) -> anyhow::Result<()> {
        let set = ProblemSet::read(round.stage(Stage::Rollouts).join(problems_name(round.index)))?;
        let mut instances: HashMap<&str, Arc<Instance>> = HashMap::new();
        for problem in &set.problems {
            instances.insert(&problem.id, Arc::new(problem.instance()?));
        }
        let formulas = set.problems.iter().filter_map(|problem| Some((&*problem.id, problem.source.as_ref()?)));
        let formulas: HashMap<&str, &Expr> = formulas.collect();
        let to = out.join(TRACE);
        if to.exists() {
            return Ok(());
        }
        let options =
            FileOptions { out: Some(&to), seed: round.seed, shard: None, resume: true, stop: Some(self.stop) };
        let counts = self.options.labelling.relabel_file(
            &round.stage(Stage::Rollouts).join(TRACE),
            &options,
            |id| instances.get(id).cloned(),
            |id| formulas.get(id).copied().cloned(),
            |_| (),
        )?;
        ensure!(!counts.stopped, Stopped);
        Ok(())
    }

    fn corpus(&mut self, round: &Round, out: &Path) -> anyhow::Result<()> {
        let problems = Problems::open(round.stage(Stage::Rollouts).join(problems_name(round.index)))?;
        let options = Options {
            targets: Targets::Labels,
            shape: match self.train.mode {
                Mode::Autoregressive => Shape::WholeGeneration { fitness: true },
                Mode::OneStep | Mode::Direct => Shape::EachChild,
            },
            exclude: Exclude::listed(self.excluded.clone()),
            val_fraction: self.options.val_fraction,
            states_per_search: self.options.states_per_search,
            is_part: true,
            // The run's seed instead of the round's keeps a formula on the same side in all rounds.
            seed: self.options.rounds.seed,
            ..Options::default()
        };
        match convert_trace(&round.stage(Stage::Labels).join(TRACE), &problems, &options, out, || ()) {
            Ok(_) => Ok(()),
            // A round may teach nothing, if no state has an improvement.
            Err(sr_corpus::Error::NoExamples { .. }) => {
                tracing::warn!(round = round.index, "no state has a label");
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn rows(&mut self, round: &Round) -> anyhow::Result<Vec<u8>> {
        let path = round.stage(Stage::Corpus).join("train.sr");
        if !path.exists() {
            return Ok(Vec::new());
        }
        let mut rows = Vec::new();
        for (number, example) in (0_u32..).zip(Corpus::open(path)?) {
            example?;
            rows.extend(round.index.to_le_bytes());
            rows.extend(number.to_le_bytes());
        }
        Ok(rows)
    }

    fn train(&mut self, round: &Round, buffer: &Buffer, out: &Path) -> anyhow::Result<()> {
        let run_dir = out.join("run");
        if out.join(TRAINED).exists() {
            // The run was killed while this folder was being removed.
            if run_dir.exists() {
                fs::remove_dir_all(&run_dir)?;
            }
            return Ok(());
        }
        let options = &self.options.rounds;
        let mut config = self.train.clone();
        config.seed = round.seed;
        let drawn = options.draw(buffer, round)?;
        config.training.rows_per_batch = drawn.batch;
        config.training.steps = drawn.batches().count() as u64;
        let row = |&slot: &u64| -> sr_dagger::Result<_> {
            let row = buffer.row(slot)?;
            let words = row.as_chunks().0;
            Ok((u32::from_le_bytes(words[0]), u32::from_le_bytes(words[1])))
        };
        let drawn: Vec<(u32, u32)> = drawn.rows.iter().map(row).collect::<Result<_, _>>()?;
        let corpus = |index: u32, side: &str| round.earlier(index, Stage::Corpus).join(side);
        let problems = |index: u32| round.earlier(index, Stage::Rollouts).join(problems_name(index));
        let corpora: Vec<(PathBuf, PathBuf)> =
            (0..=round.index).map(|i| (corpus(i, "train.sr"), problems(i))).collect();
        let (examples, language) = load_drawn_examples(&corpora, &drawn, &config)?;

        let of_problems: Vec<PathBuf> = (0..=round.index).map(problems).collect();
        let mut validated = Vec::new();
        let mut n_validated = 0;
        // Validation reads the newest rounds, at most as many states as the buffer may hold, so that memory stays
        // bounded.
        for path in (0..=round.index).rev().map(|index| corpus(index, "val.sr")).filter(|path| path.exists()) {
            let n = Corpus::open(&path)?.count() as u64;
            if n > 0 && n_validated < options.max_buffer_size {
                validated.push(path);
                n_validated += n;
            }
        }
        validated.reverse();
        // In the first rounds there may be no formula to validate on.
        let on_training_states = validated.is_empty();
        let validation = match on_training_states {
            true => examples.clone(),
            false => load_examples(&validated, &of_problems, &config, Split::Validation)?.0,
        };

        let start = round.before.clone().map_or(Start::Fresh, Start::Checkpoint);
        let compared = config.training.eval_samples.min(validation.n_states()) as u64;
        let steps = config.training.steps;
        let mut trainer = Trainer::builder(config, &examples, &validation)
            .language(&language)
            .init(&start)
            .device(self.options.device)
            .resume(&run_dir)?;
        let limits = Limits { stop: Some(self.stop), ..Limits::default() };
        let summary = trainer.fit(limits, &mut |step, stats| (self.on_step)(step, steps, stats))?;
        ensure!(summary.steps >= steps || !self.stop.load(Ordering::Relaxed), Stopped);

        for entry in fs::read_dir(&summary.best)? {
            let path = entry?.path();
            fs::copy(&path, out.join(path.file_name().context("a file has a name")?))?;
        }
        // The log lies beside the rounds and not in the stage, because speeds differ between equal runs.
        let log = round.dir.with_file_name(format!("training-{:03}.jsonl", round.index));
        write_atomically(&log, &fs::read(run_dir.join("metrics.jsonl"))?)?;
        let trained = Trained {
            steps: summary.steps,
            imitation_loss: summary.val_loss,
            agreement: summary.scores.map(|scores| scores.exact_match),
            compared,
            on_training_states,
        };
        // This file is written last: files that exist without it may be of a killed attempt.
        write_atomically(&out.join(TRAINED), (serde_json::to_string_pretty(&trained)? + "\n").as_bytes())?;
        fs::remove_dir_all(&run_dir)?;
        Ok(())
    }

    fn evaluate(&mut self, round: &Round, out: &Path) -> anyhow::Result<Evaluation> {
        let options = self.options;
        let checkpoint = round.stage(Stage::Checkpoint);
        let text = fs::read_to_string(checkpoint.join(TRAINED))?;
        let trained: Trained = serde_json::from_str(&text)?;
        let (n, seed) = (options.rounds.eval_episodes, options.rounds.seed);
        let (set, episodes) = self.milestone.evaluation(n, self.search, seed, self.stop)?;
        set.write(out.join(PROBLEMS))?;
        let searching = Searching::new(self.config(), &options.preset, PROBLEMS, &set, seed)?;
        let mut searcher = self.searcher(&checkpoint, Share::EveryKth(1))?;
        let rows = searching.record(&mut searcher, &episodes, &out.join(TRACE), self.stop)?;
        let trajectories = read_trace(&out.join(TRACE))?;
        Ok(metrics::evaluation(&rows, &trajectories, &trained, seed))
    }
}

fn problems_name(round: u32) -> String {
    format!("problems-{round:03}.sr")
}

fn read_trace(path: &Path) -> anyhow::Result<Vec<Trajectory>> {
    Ok(TraceReader::open(path)?.collect::<sr_trace::Result<_>>()?)
}

impl FormulaRounds<'_> {
    /// Returns the settings of searches with as many steps as the milestone allows.
    fn config(&self) -> SearchConfig {
        SearchConfig { generations: self.max_steps.saturating_add(1), ..self.search.clone() }
    }

    /// Returns a learner that takes its share of the offspring.
    fn searcher(&self, checkpoint: &Path, share: Share) -> anyhow::Result<Searcher> {
        let (device, sampling) = (self.options.device.to_string(), self.options.sampling);
        let learner = crate::learner::open(checkpoint, &device, sampling)?;
        // A learner that is alone gets every generation.
        Searcher::learner(learner, checkpoint, (share != Share::EveryKth(1)).then_some(share))
    }
}

/// The settings and header for recording searches of one problem set.
struct Searching {
    config: SearchConfig,
    header: TraceHeader,
}

impl Searching {
    fn new(config: SearchConfig, preset: &str, problems: &str, set: &ProblemSet, seed: u64) -> anyhow::Result<Self> {
        let header = record::header(problems, set, &config, preset, seed)?;
        Ok(Searching { config, header })
    }

    /// Searches all episodes, except those that an interrupted run has recorded, and judges the formulas that were
    /// found.
    fn record(
        &self,
        searcher: &mut Searcher,
        episodes: &[Episode],
        path: &Path,
        stop: &AtomicBool,
    ) -> anyhow::Result<Vec<Row>> {
        let mut jobs = Vec::new();
        for episode in episodes {
            jobs.extend(record::jobs_of(episode.problem.clone(), [episode.seed])?);
        }
        if !path.exists() {
            let header = searcher.describe(self.header.clone());
            let recording = Recording { out: path, header: &header, config: &self.config, jobs: &jobs, batch: BATCH };
            let summary = recording.resume()?.run(searcher, &mut Monitor::new(stop, |_| ()), &mut |_| ())?;
            ensure!(summary.ended == Ended::Finished && !stop.load(Ordering::Relaxed), Stopped);
        }
        let trajectories = read_trace(path)?;
        let pairs = jobs.par_iter().zip(&trajectories);
        pairs.map(|(job, trajectory)| self.judge(job, trajectory)).collect()
    }

    /// Judges the formula that a recorded search found.
    fn judge(&self, job: &Job, trajectory: &Trajectory) -> anyhow::Result<Row> {
        let generations = &trajectory.generations;
        let solved = matches!(trajectory.stop, StopReason::Solved { .. });
        let winner = trajectory.winners(&self.config).pop().expect("the initial population has a best individual");
        let tree = &*self.config.formula_of(winner.expr, &job.instance);
        let fresh = job.problem.fresh_points(FRESH_POINTS, 0);
        let fresh = fresh.as_ref().map(|(x, y)| (x, &y[..]));
        let verdict = judge(tree, self.config.semantics, &job.instance, fresh);
        let children = || generations.iter().skip(1).map(|g| g.individuals().filter(|i| i.origin != Origin::Elite));
        let distinct = |made: &mut dyn Iterator<Item = IndividualRecord<'_>>| {
            made.map(|individual| individual.expr).collect::<HashSet<&Tree>>().len() as u64
        };
        let sampling = trajectory.sampling.unwrap_or_default();
        let evaluations = trajectory.evaluations.search;
        Ok(Row {
            method: "learner".to_owned(),
            problem: job.problem.id.clone(),
            seed: job.seed,
            solved: verdict.solved,
            mse_train: Some(verdict.fit.mse).filter(|mse| mse.is_finite()),
            r2_test: verdict.r2.filter(|r2| r2.is_finite()),
            generations: generations.len() as u32,
            evaluations,
            generations_to_solve: solved.then(|| generations.len() as u32 - 1),
            evaluations_to_solve: solved.then_some(evaluations),
            size: tree.size(),
            expression: tree.display(self.config.semantics).to_string(),
            well_formed: sampling.well_formed,
            fallback: sampling.fallback,
            children: children().map(|made| made.count() as u64).sum(),
            distinct: children().map(|mut made| distinct(&mut made)).sum(),
            ..Row::default()
        })
    }
}

/// Writes pages of the first searches of a stage's trace; existing pages stay.
fn record(folder: &Path, n: u32, name: &dyn Fn(usize, bool, u32) -> PathBuf) -> anyhow::Result<()> {
    let reader = TraceReader::open(folder.join(TRACE))?;
    let header = reader.header().clone();
    let set = ProblemSet::read(folder.join(&header.problems))?;
    for (episode, trajectory) in reader.take(n as usize).enumerate() {
        let trajectory = trajectory?;
        let success = matches!(trajectory.stop, StopReason::Solved { .. });
        let path = name(episode, success, trajectory.generations.len() as u32 - 1);
        if path.exists() {
            continue;
        }
        let problem = set.problems.iter().find(|problem| problem.id == trajectory.problem_id);
        let problem = problem.with_context(|| format!("problem {} is not there", trajectory.problem_id))?;
        let info = sr_report::RecordingInfo {
            method: header.policy.name().to_owned(),
            config: header.engine.clone(),
            formula: problem.formula(),
        };
        let page = sr_report::recording_page(&trajectory, &problem.instance()?, &info);
        fs::create_dir_all(path.parent().context("a page is in a folder")?)?;
        write_atomically(&path, page.as_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The law is 3*x0 + 5, of which a search with fitted constants keeps `x0`.
    #[test]
    fn formulas_with_fitted_constants_are_judged_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let table = folder.path().join("line.csv");
        let rows: String = (0..20).map(|row| format!("{row},{}\n", 3 * row + 5)).collect();
        fs::write(&table, format!("x,y\n{rows}")).expect("written");
        let operators = vec![sr_expr::Op::Add, sr_expr::Op::Mul];
        let options = sr_problems::TableOptions { operators, ..sr_problems::TableOptions::new("y") };
        let set = sr_problems::from_table(&table, &options).expect("a table").set;
        let job = record::jobs_of(set.problems[0].clone(), [1]).expect("a problem").next().expect("a job");
        let searching = Searching::new(SearchConfig::default(), "default", "line.sr", &set, 1).expect("settings");
        let mut search = [sr_engine::Search::new(job.instance.clone(), SearchConfig::default(), 1).expect("a search")];
        let mut recorder = [sr_trace::Recorder::new(1)];
        let outcome = sr_engine::run(&mut search, &mut sr_engine::Expert, &mut recorder).expect("a search").remove(0);
        let [recorder] = recorder;
        let row = searching.judge(&job, &recorder.finish(&outcome).expect("recorded")).expect("judged");
        assert!(row.solved, "{}", row.expression);
        assert_eq!((&*row.expression, row.size), ("((x0 * 3.0) + 5.0)", 5));
    }
}
