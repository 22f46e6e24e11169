//! Formula search as a task: an episode is a search, a step a generation, the teacher genetic programming.

pub(crate) mod metrics;
mod problems;

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, ensure};
use rayon::prelude::*;
use serde_json::json;
use sr_args::{SamplingArgs, Switch};
use sr_corpus::{Corpus, Exclude, Options, Problems, Shape, Targets, convert_trace};
use sr_dagger::{
    Buffer, Curriculum, Draws, Evaluation, ExpertConfig, FileOptions, Labelling, Round, RoundResult, Rounds, Stage,
    Task, Telling, Weights, run_rounds,
};
use sr_engine::{Instance, Origin, PrimitiveSet, SearchConfig, StopReason};
use sr_eval::{FRESH_POINTS, Row, judge};
use sr_expr::{Expr, Tree};
use sr_lab::record::{self, Job, Recording, Searcher};
use sr_lab::{Ended, Monitor};
use sr_model::DeviceKind;
use sr_neural::Share;
use sr_problems::{Blocklist, ProblemSet};
use sr_prompt::Condition;
use sr_trace::{IndividualRecord, TraceHeader, TraceReader, Trajectory};
use sr_train::{Limits, Mode, RunConfig, Split, Start, StepStats, Trainer, load, load_drawn};

use crate::args::Settings;
use crate::{Stopped, Unusable};
use metrics::Trained;
use problems::{Episode, Milestone};

/// Searches that advance together. Results do not depend on it.
const BATCH: usize = 64;
const TRACE: &str = "trace.sr";
const PROBLEMS: &str = "problems.sr";
const TRAINED: &str = "training.json";

/// All milestones of formula search.
pub(crate) struct SearchCurriculum<'a> {
    settings: &'a Settings,
    milestones: Vec<Milestone>,
    /// Whether each is of somebody's own table, and how it is searched then.
    own_data: Vec<bool>,
    configs: Vec<SearchConfig>,
    labelling: Labelling,
    /// Formulas of which no problem is trained on: those that are judged on, of all milestones, and the excluded ones.
    judged: Arc<Blocklist>,
    /// The excluded ones, which nothing that is learned from may contain. With those of the easy milestones, which every
    /// population has, this would leave nothing to learn from.
    excluded: Arc<Blocklist>,
    /// Why milestones cannot be run, and what tells the problems of those that bring their own.
    seen: Vec<Result<String, String>>,
    device: DeviceKind,
    stop: &'static AtomicBool,
}

impl<'a> SearchCurriculum<'a> {
    /// Checks all settings.
    pub(crate) fn new(settings: &'a Settings, stop: &'static AtomicBool) -> anyhow::Result<Self> {
        let args = &settings.args;
        let milestones = problems::milestones(args.milestones.as_deref())?;
        ensure!(settings.train.mode != Mode::Direct, "mode direct learns no steps; take one-step or autoregressive");
        let labelling = args.labels.labelling()?;
        let sets: Vec<Option<anyhow::Result<ProblemSet>>> =
            milestones.iter().map(|milestone| milestone.problems.as_deref().map(|path| milestone.read(path))).collect();
        let is_own = |set: &Option<anyhow::Result<ProblemSet>>| {
            set.as_ref().and_then(|set| set.as_ref().ok()).is_some_and(ProblemSet::is_own_data)
        };
        let own_data: Vec<bool> = sets.iter().map(is_own).collect();
        // A rollout ends when it is solved; looking for a simpler form teaches nothing that is judged.
        let config = |&is_own: &bool| Ok(SearchConfig { extra_generations: 0, ..args.search.config(is_own)? });
        let configs = own_data.iter().map(config).collect::<anyhow::Result<Vec<SearchConfig>>>()?;
        let device: DeviceKind = args.device.parse()?;
        sr_model::open(device)?;
        let excluded = Arc::new(Blocklist::of(&args.dagger.exclude)?);
        let mut judged = Blocklist::of(&args.dagger.exclude)?;
        args.sampling.check_mode(settings.train.mode.name())?;
        check_condition(args.sampling.condition, labelling)?;
        let (n, seed) = (args.dagger.eval_episodes, args.common.seed);
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
                milestone.training(args.dagger.episodes_per_iter, 0, config, seed, judged.clone(), stop)
            });
            if let Err(error) = tried {
                *seen = Err(unusable(error)?);
            }
        }
        if let Some(checkpoint) = &args.dagger.checkpoint {
            check_checkpoint(checkpoint, settings)?;
        }
        Ok(SearchCurriculum {
            settings,
            milestones,
            own_data,
            configs,
            labelling,
            judged,
            excluded,
            seen,
            device,
            stop,
        })
    }

    /// All that decides the bytes of the results.
    pub(crate) fn resolved(&self) -> serde_json::Value {
        let (args, train) = (&self.settings.args, self.settings.train.clone());
        let primitives = PrimitiveSet::new(vec![sr_expr::Op::Add], Vec::new(), 1).expect("one operator");
        json!({
            "milestones": self.milestones,
            "search": TraceHeader::of_expert(PROBLEMS, &primitives, &self.configs[0], args.search.preset.name(), 0),
            "own_data": self.own_data,
            "labels": labels_json(self.labelling),
            "sampling": sampling_json(&args.sampling),
            "training": train.resolve(0), // each round has a seed of its own
            "excluded": self.excluded.sources(),
        })
    }

    /// What each milestone is, for people.
    pub(crate) fn about(&self) -> Vec<String> {
        self.milestones.iter().map(|milestone| milestone.about.clone()).collect()
    }
}

/// The reason why a milestone cannot be run, if the error is one of a milestone.
fn unusable(error: anyhow::Error) -> anyhow::Result<String> {
    error.downcast::<Unusable>().map(|Unusable(reason)| reason)
}

/// Fails if no label will ever have the condition that children are asked for under.
fn check_condition(condition: Option<Condition>, labelling: Labelling) -> anyhow::Result<()> {
    let Some(condition) = condition else { return Ok(()) };
    let taught = match labelling {
        Labelling::Expert(ExpertConfig { mode: sr_dagger::Mode::All, .. }) => vec![Condition::All],
        Labelling::Formula(Telling::Path) => vec![Condition::Path],
        Labelling::Formula(Telling::Target) => vec![Condition::Target],
        Labelling::Expert(_) => (0..=4).map(Condition::Gain).collect(),
    };
    let names = taught.iter().map(|condition| condition.name()).collect::<Vec<_>>().join(", ");
    ensure!(
        taught.contains(&condition),
        "--condition {}: these labels teach {names} only; see --labels",
        condition.name()
    );
    Ok(())
}

/// Fails if the model cannot be begun with: what training and searching with it would find, before anything is done.
fn check_checkpoint(folder: &Path, settings: &Settings) -> anyhow::Result<()> {
    let (args, train) = (&settings.args, &settings.train);
    ensure!(
        folder.join("config.json").exists(),
        "--checkpoint {}: there is no checkpoint; one is a folder with config.json and model.bpk, such as best/ of a run",
        folder.display()
    );
    let learner = args.sampling.learner(folder, &args.device)?;
    let (found, expected) = (learner.mode().name(), train.mode.name());
    ensure!(found == expected, "--checkpoint {}: it was trained for mode {found}, not {expected}", folder.display());
    let read = |name: &str| -> anyhow::Result<serde_json::Value> {
        Ok(serde_json::from_str(&fs::read_to_string(folder.join(name))?)?)
    };
    let (config, meta) = (read("config.json")?, read("meta.json")?);
    let shape = serde_json::to_value(train.model_config())?;
    let differs = |a: &serde_json::Value, b: &serde_json::Value| {
        let fields = b.as_object().expect("settings are objects");
        let other = |(key, expected): (&String, &serde_json::Value)| {
            let found = a.get(key).filter(|found| *found != expected)?;
            Some(format!("{key} is {found}, the settings have {expected}"))
        };
        fields.iter().find_map(other)
    };
    let differing = differs(&config, &shape).or(differs(&meta, &serde_json::to_value(&train.language)?));
    ensure!(
        differing.is_none(),
        "--checkpoint {}: {}; make them alike in [model] and [language] of --config, or by --hidden-dim",
        folder.display(),
        differing.unwrap_or_default()
    );
    Ok(())
}

/// Who labels and how, with the names of the flags.
fn labels_json(labelling: Labelling) -> serde_json::Value {
    let ExpertConfig { mode, draws, keep, horizon, weights } = match labelling {
        Labelling::Expert(config) => config,
        Labelling::Formula(telling) => return json!({ "labels": telling.name() }),
    };
    let mut labels = json!({ "labels": mode.name() });
    if weights == Weights::Gain {
        labels["weights"] = "gain".into();
    }
    use sr_dagger::Mode::{All, BestOfK, Lineage, Pooled, TopK};
    if matches!(mode, TopK | BestOfK | Pooled) {
        labels["samples"] = match draws {
            Draws::UntilImproved => "auto".into(),
            Draws::Exactly(draws) => draws.into(),
        };
    }
    match mode {
        TopK | Pooled => labels["keep"] = keep.into(),
        Lineage => labels["horizon"] = horizon.into(),
        All | BestOfK => {}
    }
    labels
}

/// How the learner is sampled, with the names of the flags. What does not change results is left out.
fn sampling_json(args: &SamplingArgs) -> serde_json::Value {
    json!({
        "temperature": args.temperature,
        "top_k": args.top_k,
        "top_p": args.top_p,
        "distinct": args.distinct,
        "max_child_size": args.max_child_size,
        "grammar": args.grammar == Switch::On,
        "rules": args.rules.iter().map(|rule| rule.name()).collect::<Vec<_>>(),
        "condition": args.condition.map(Condition::name),
    })
}

impl Curriculum for SearchCurriculum<'_> {
    type Error = anyhow::Error;

    fn ids(&self) -> Vec<String> {
        self.milestones.iter().map(|milestone| milestone.id.clone()).collect()
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
        let args = &self.settings.args;
        let (milestone, config) = (&self.milestones[milestone], &self.configs[milestone]);
        let (set, episodes) = milestone.evaluation(args.dagger.eval_episodes, config, args.common.seed, self.stop)?;
        set.write(out.join(PROBLEMS))?;
        let searching = Searching::new(config.clone(), args.search.preset.name(), PROBLEMS, &set, args.common.seed)?;
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
        let config = crate::rounds_config(&self.settings.args, init, ROW_BYTES);
        let train = self.settings.train.clone().resolve(self.settings.args.common.seed);
        let (milestone, search) = (&self.milestones[milestone], &self.configs[milestone]);
        let mut task = SearchTask { of: self, milestone, search, max_steps, train };
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
        self.labelling.kind()
    }
}

/// Generations after the initial one.
fn steps(row: &Row) -> u32 {
    row.generations_to_solve.unwrap_or(row.generations.saturating_sub(1))
}

/// A milestone's rounds.
struct SearchTask<'a> {
    of: &'a SearchCurriculum<'a>,
    milestone: &'a Milestone,
    search: &'a SearchConfig,
    max_steps: u32,
    train: RunConfig,
}

/// A row of the buffer: which round, and which state of its corpus.
const ROW_BYTES: u32 = 8;

impl Task for SearchTask<'_> {
    type Error = anyhow::Error;

    fn rollouts(&mut self, round: &Round, out: &Path) -> anyhow::Result<()> {
        let args = &self.of.settings.args;
        let (n, config, blocklist) = (args.dagger.episodes_per_iter, self.config(), self.of.judged.clone());
        let (set, episodes) = self.milestone.training(n, round.index, &config, round.seed, blocklist, self.of.stop)?;
        // Corpora name their problems, so sets of different rounds need different names.
        let name = problems_name(round.index);
        set.write(out.join(&name))?;
        let searching = Searching::new(config, args.search.preset.name(), &name, &set, round.seed)?;
        let mut searcher = match &round.before {
            Some(checkpoint) if round.beta < 1.0 => {
                self.searcher(checkpoint, Share::Drawn(1.0 - round.beta, args.dagger.beta_level))?
            }
            _ => Searcher::Expert,
        };
        searching.record(&mut searcher, &episodes, &out.join(TRACE), self.of.stop)?;
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
            FileOptions { out: Some(&to), seed: round.seed, shard: None, resume: true, stop: Some(self.of.stop) };
        let counts = self.of.labelling.relabel_file(
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
        let args = &self.of.settings.args;
        let problems = Problems::open(round.stage(Stage::Rollouts).join(problems_name(round.index)))?;
        let options = Options {
            targets: Targets::Labels,
            shape: match self.train.mode {
                Mode::Autoregressive => Shape::WholeGeneration { fitness: true },
                Mode::OneStep | Mode::Direct => Shape::EachChild,
            },
            exclude: Exclude::listed(self.of.excluded.clone()),
            val_fraction: args.dagger.val_fraction,
            is_part: true,
            // Of the run, not of the round, so that a formula is on one side in all rounds.
            seed: args.common.seed,
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
            // Killed while the trainer's folder was being removed.
            if run_dir.exists() {
                fs::remove_dir_all(&run_dir)?;
            }
            return Ok(());
        }
        let args = &self.of.settings.args;
        let mut config = self.train.clone();
        config.seed = round.seed;
        let drawn = crate::draw(buffer, args, round)?;
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
        let (examples, language) = load_drawn(&corpora, &drawn, &config)?;

        let of_problems: Vec<PathBuf> = (0..=round.index).map(problems).collect();
        let mut validated = Vec::new();
        let mut n_validated = 0;
        // The newest rounds', as many as the buffer may have, so that memory is bounded however many rounds there are.
        for path in (0..=round.index).rev().map(|index| corpus(index, "val.sr")).filter(|path| path.exists()) {
            let n = Corpus::open(&path)?.count() as u64;
            if n > 0 && n_validated < args.dagger.max_buffer_size {
                validated.push(path);
                n_validated += n;
            }
        }
        validated.reverse();
        // In the first rounds there may be no formula to validate on.
        let on_training_states = validated.is_empty();
        let validation = match on_training_states {
            true => examples.clone(),
            false => load(&validated, &of_problems, &config, Split::Validation)?.0,
        };

        let start = round.before.clone().map_or(Start::Fresh, Start::Checkpoint);
        let compared = config.training.eval_samples.min(validation.n_states()) as u64;
        let steps = config.training.steps;
        let mut trainer = Trainer::resume(&run_dir, config, &language, &start, &examples, &validation, self.of.device)?;
        let bar = args.common.progress(steps, "steps");
        bar.set_position(trainer.step());
        let mut on_step = |step: u64, stats: &StepStats| {
            bar.set_message(format!("loss {:.3}, {:.0} tokens/s", stats.loss(), stats.tokens_per_second()));
            bar.set_position(step);
        };
        let limits = Limits { stop: Some(self.of.stop), ..Limits::default() };
        let summary = trainer.fit(limits, &mut on_step)?;
        bar.finish_and_clear();
        ensure!(summary.steps >= steps || !self.of.stop.load(Ordering::Relaxed), Stopped);

        for entry in fs::read_dir(&summary.best)? {
            let path = entry?.path();
            fs::copy(&path, out.join(path.file_name().context("a file has a name")?))?;
        }
        // Beside the rounds and not in the stage: speeds differ between equal runs, and so do losses over the steps since a
        // resumption.
        let log = round.dir.with_file_name(format!("training-{:03}.jsonl", round.index));
        sr_cli::write_atomically(&log, &fs::read(run_dir.join("metrics.jsonl"))?)?;
        let trained = Trained {
            steps: summary.steps,
            imitation_loss: summary.val_loss,
            agreement: summary.scores.map(|scores| scores.exact_match),
            compared,
            on_training_states,
        };
        // The last file: what is there before it may be of an attempt that was killed.
        sr_cli::write_atomically(&out.join(TRAINED), (serde_json::to_string_pretty(&trained)? + "\n").as_bytes())?;
        fs::remove_dir_all(&run_dir)?;
        Ok(())
    }

    fn evaluate(&mut self, round: &Round, out: &Path) -> anyhow::Result<Evaluation> {
        let args = &self.of.settings.args;
        let checkpoint = round.stage(Stage::Checkpoint);
        let text = fs::read_to_string(checkpoint.join(TRAINED))?;
        let trained: Trained = serde_json::from_str(&text)?;
        let (set, episodes) =
            self.milestone.evaluation(args.dagger.eval_episodes, self.search, args.common.seed, self.of.stop)?;
        set.write(out.join(PROBLEMS))?;
        let searching = Searching::new(self.config(), args.search.preset.name(), PROBLEMS, &set, args.common.seed)?;
        let mut searcher = self.searcher(&checkpoint, Share::EveryKth(1))?;
        let rows = searching.record(&mut searcher, &episodes, &out.join(TRACE), self.of.stop)?;
        let trajectories = read_trace(&out.join(TRACE))?;
        Ok(metrics::evaluation(&rows, &trajectories, &trained))
    }
}

fn problems_name(round: u32) -> String {
    format!("problems-{round:03}.sr")
}

fn read_trace(path: &Path) -> anyhow::Result<Vec<Trajectory>> {
    Ok(TraceReader::open(path)?.collect::<sr_trace::Result<_>>()?)
}

impl SearchTask<'_> {
    /// Searches that may take as many steps as the milestone gives them.
    fn config(&self) -> SearchConfig {
        SearchConfig { generations: self.max_steps.saturating_add(1), ..self.search.clone() }
    }

    /// A learner that makes its share of the children.
    fn searcher(&self, checkpoint: &Path, share: Share) -> anyhow::Result<Searcher> {
        let args = &self.of.settings.args;
        let learner = args.sampling.learner(checkpoint, &args.device)?;
        // A learner alone has every generation.
        Searcher::learner(learner, checkpoint, (share != Share::EveryKth(1)).then_some(share))
    }
}

/// Searches of one problem set that are recorded.
struct Searching {
    config: SearchConfig,
    header: TraceHeader,
}

impl Searching {
    fn new(config: SearchConfig, preset: &str, problems: &str, set: &ProblemSet, seed: u64) -> anyhow::Result<Self> {
        let header = record::header(problems, set, &config, preset, seed)?;
        Ok(Searching { config, header })
    }

    /// Does all episodes, those left out that an interrupted run has recorded, and judges what was found.
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

    /// What a recorded search came to.
    fn judge(&self, job: &Job, trajectory: &Trajectory) -> anyhow::Result<Row> {
        let generations = &trajectory.generations;
        let solved = matches!(trajectory.stop, StopReason::Solved { .. });
        // Of the individuals that ended the search the smallest; a fitter one may be smaller and wrong.
        let exact = generations.last().individuals().min_by(|a, b| {
            let size = |i: &IndividualRecord<'_>| i.expr.size();
            a.mse.total_cmp(&b.mse).then(size(a).cmp(&size(b)))
        });
        let fittest = trajectory.best_progression().pop().expect("the initial population has a best individual");
        let tree = match exact {
            Some(exact) if solved => exact.expr,
            _ => fittest.expr,
        };
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

/// Makes pages of the first searches of a stage's trace; those that are there stay.
pub(crate) fn record(folder: &Path, n: u32, name: &dyn Fn(usize, bool, u32) -> PathBuf) -> anyhow::Result<()> {
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
            early_stop_mse: header.engine.early_stop_mse.unwrap_or(0.0),
            formula: problem.formula(),
            semantics: header.engine.semantics,
        };
        let page = sr_report::recording(&trajectory, &problem.instance()?, &info);
        fs::create_dir_all(path.parent().context("a page is in a folder")?)?;
        sr_cli::write_atomically(&path, page.as_bytes())?;
    }
    Ok(())
}
