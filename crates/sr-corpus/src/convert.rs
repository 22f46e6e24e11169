//! The conversion of traces and problem sets to corpora.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::ErrorKind;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::{fmt, fs};

use serde::{Deserialize, Serialize};
use sr_codec::partial_path;
use sr_engine::random::{Key, Purpose, problem_key};
use sr_engine::{Origin, PrimitiveSet};
use sr_expr::hash::GOLDEN;
use sr_expr::{Expr, Semantics, Tree};
use sr_problems::{Blocklist, Exclusion, Problem};
use sr_prompt::{Condition, Context};
use sr_trace::{Gain, GenerationRecord, IndividualRecord, Label, TraceReader, Trajectory};

use crate::jsonl::{JsonlWriter, jsonl_path};
use crate::{
    CorpusHeader, CorpusWriter, Direct, Error, Individual, Mode, OneStep, ProblemRef, Problems, Result, Side, Split,
    Target, stages,
};

/// The draw of a [`Key`] that samples individuals or problems. The split has draw 0.
const SAMPLE_DRAW: u32 = 1;
/// The draw that samples whole trajectories.
const TRAJECTORY_DRAW: u32 = 2;
/// The draw that chooses states.
const STATES_DRAW: u32 = 3;

/// The mode of label sets that hold what the expert would do.
const ALL: &str = "all";

/// The targets that are learned from a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Targets {
    /// The individuals of the next generation: `(G − 1)·(P − 1)` for a trajectory of `G` generations.
    NextGeneration {
        /// Whether copied individuals (the elite) count too; then there are `(G − 1)·P`.
        include_elite: bool,
    },
    /// The individuals of the next generation that the best individual of the last generation descends from.
    Ancestors {
        /// Whether copied individuals (the elite) count too.
        include_elite: bool,
    },
    /// The labels that an expert gave the state (DAgger).
    Labels,
}

/// The way in which the targets of a state become examples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Each target is an example: one-step.
    EachChild,
    /// All targets, the elite included, are one text: autoregressive.
    WholeGeneration {
        /// Whether individuals come with their fitness.
        fitness: bool,
    },
}

/// The formulas that nothing may be learned of, such as those of a test set.
///
/// A problem with such a formula is on neither side. On the training side no expression may be one either: a child that
/// is one is no target, and a state that has one in its population is dropped.
#[derive(Clone, Default)]
pub struct Exclude {
    contains: Option<Arc<Contains>>,
    sources: Vec<Exclusion>,
}

type Contains = dyn Fn(&Expr) -> bool + Send + Sync;

impl Exclude {
    /// Excludes the formulas for which `contains` returns true.
    pub fn new(contains: impl Fn(&Expr) -> bool + Send + Sync + 'static) -> Self {
        Exclude { contains: Some(Arc::new(contains)), sources: Vec::new() }
    }

    /// Excludes the formulas of a list, whose sources are written into headers.
    pub fn listed(list: Arc<Blocklist>) -> Self {
        let sources = list.sources().to_vec();
        let contains = (!list.is_empty()).then(|| Arc::new(move |expr: &Expr| list.contains(expr)) as Arc<Contains>);
        Exclude { contains, sources }
    }

    /// Returns whether the problem's formula is excluded.
    fn has_formula_of(&self, problem: &Problem) -> bool {
        match (&self.contains, &problem.source) {
            (Some(contains), Some(source)) => contains(source),
            _ => false,
        }
    }

    /// Removes excluded expressions from the states of one search. If the targets of a state are one text (`whole`),
    /// one such target drops the state.
    fn retain(&self, states: &mut Vec<OneStep>, whole: bool, excluded: &mut Excluded) {
        let Some(contains) = &self.contains else { return };
        // A check takes microseconds, and an expression occurs in many states. Equal expressions of a trajectory share
        // their memory, so each is checked once.
        let exprs = states.iter().flat_map(|state| {
            let population = state.population.iter().map(|individual| &individual.expr);
            population.chain(state.targets.iter().map(|target| &target.expr))
        });
        let distinct: HashMap<*const Expr, &Expr> = exprs.map(|expr| (Arc::as_ptr(expr), &**expr)).collect();
        let held = distinct.into_values().filter(|expr| contains(expr)).map(std::ptr::from_ref);
        let held: HashSet<*const Expr> = held.collect();
        let holds = |expr: &Arc<Expr>| held.contains(&Arc::as_ptr(expr));
        states.retain_mut(|state| {
            let targets = state.targets.len() as u64;
            if state.population.iter().any(|individual| holds(&individual.expr)) {
                excluded.population += if whole { 1 } else { targets };
                return false;
            }
            if whole {
                let is_held = state.targets.iter().any(|target| holds(&target.expr));
                excluded.target += u64::from(is_held);
                return !is_held;
            }
            state.targets.retain(|target| !holds(&target.expr));
            excluded.target += targets - state.targets.len() as u64;
            !state.targets.is_empty()
        });
    }
}

impl fmt::Debug for Exclude {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.contains.is_some() { "Exclude(some)" } else { "Exclude(none)" })
    }
}

/// The property that training and validation formulas do not share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SplitBy {
    /// They share no skeleton, see [`Split`].
    #[default]
    Skeleton,
    /// They share no function either. A training problem is left out if its formula is that of a validation problem in
    /// another form, as `x1 + x0` is `x0 + x1`. It cannot go to the other side, because others with its skeleton would
    /// have to follow.
    Function,
}

/// The settings of a conversion.
#[derive(Debug, Clone)]
pub struct Options<'a> {
    /// The context of prompts.
    pub context: Context,
    /// The targets that are learned from a state. Direct examples have the formula.
    pub targets: Targets,
    /// The way in which targets become examples.
    pub shape: Shape,
    /// The formulas that nothing is learned of.
    pub exclude: Exclude,
    /// The share to keep, in `(0, 1]`: of individuals, of trajectories for whole generations, of problems in direct
    /// mode.
    pub sample_fraction: f64,
    /// The most states of a search, one of each stage of its progress by turns (early, improving, stagnated, near the
    /// target), each population once; `None` for all states. States whose targets are all left out do not count.
    pub states_per_search: Option<NonZeroU32>,
    /// The share of formulas for validation, in `[0, 1)`.
    pub val_fraction: f64,
    /// Whether this is a part of something larger, which is split by [`Split::of_part`], so that a side may have no
    /// problem.
    pub is_part: bool,
    /// The property that the two sides do not share.
    pub split_by: SplitBy,
    /// The seed of split and sampling.
    pub seed: u64,
    /// Whether to write the text export too. If not, the export of a corpus that is replaced is removed.
    pub jsonl: bool,
    /// A flag that ends the conversion with [`Error::Stopped`] once it is true.
    pub stop: Option<&'a AtomicBool>,
}

impl Default for Options<'_> {
    /// Uses the basic context, makes each child but the elite an example, and takes a tenth of the formulas for
    /// validation.
    fn default() -> Self {
        Options {
            context: Context::Basic,
            targets: Targets::NextGeneration { include_elite: false },
            shape: Shape::EachChild,
            exclude: Exclude::default(),
            sample_fraction: 1.0,
            states_per_search: None,
            val_fraction: 0.1,
            is_part: false,
            split_by: SplitBy::Skeleton,
            seed: 0,
            jsonl: false,
            stop: None,
        }
    }
}

impl Options<'_> {
    fn go_on(&self) -> Result<()> {
        match self.stop.is_some_and(|stop| stop.load(Ordering::Relaxed)) {
            true => Err(Error::Stopped),
            false => Ok(()),
        }
    }
}

/// The numbers of examples of a conversion.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Counts {
    /// The number of training examples, which are pairs of a prompt and a target.
    pub train: u64,
    /// The number of validation examples.
    pub val: u64,
    /// The numbers of examples left out.
    pub excluded: Excluded,
    /// The bytes of both corpora, divided by the number of examples.
    pub bytes_per_example: f64,
}

/// The numbers of examples that were left out, by the first reason that holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Excluded {
    /// Examples whose problem's formula is excluded. They are on neither side.
    pub problem: u64,
    /// Training examples whose problem's formula is the same function as a validation formula, with
    /// [`SplitBy::Function`].
    pub validation: u64,
    /// Training examples with an excluded individual in the population.
    pub population: u64,
    /// Training examples with an excluded target.
    pub target: u64,
}

impl Excluded {
    /// Returns the number of all of them.
    pub fn total(&self) -> u64 {
        self.problem + self.validation + self.population + self.target
    }
}

/// Converts a trace into `OUT/train.sr` and `OUT/val.sr` of one-step or autoregressive examples. It calls
/// `on_trajectory` after each trajectory.
///
/// # Errors
/// Returns an error if the trace or a problem of it is missing, cut or damaged, a problem is not the one that was
/// searched, the trace lacks the labels that were asked for, or there are no examples. Files of these names in `out`
/// are then unchanged.
pub fn convert_trace(
    trace: &Path,
    problems: &Problems,
    options: &Options<'_>,
    out: &Path,
    mut on_trajectory: impl FnMut(),
) -> Result<Counts> {
    check_name(trace)?;
    check_name(problems.path())?;
    let mut reader = TraceReader::open(trace)?;
    let traced = reader.header().clone();
    let mode = match options.shape {
        Shape::EachChild => Mode::OneStep,
        Shape::WholeGeneration { .. } => Mode::Autoregressive,
    };
    let header = CorpusHeader {
        traces: Some(trace.file_name().unwrap_or_default().to_string_lossy().into_owned()),
        operators: traced.operators.clone(),
        constants: traced.constants.clone(),
        original_source: Some(traced.policy.source_name().to_owned()),
        ieee: traced.engine.semantics == Semantics::Ieee,
        ..header(mode, problems, options)
    };
    write_corpus(trace, header, problems, options, out, |output| {
        while let Some(trajectory) = reader.next_trajectory()? {
            options.go_on()?;
            let problem = problems.by_id(&trajectory.problem_id)?;
            // Problems with the same id are different ones in different sets.
            let instance =
                problem.instance().map_err(|source| Error::Unsearchable { id: problem.id.clone(), source })?;
            trajectory
                .check_searched(&instance, &traced.engine)
                .map_err(|source| Error::OtherSearched { problems: problems.path().to_owned(), source })?;
            let found = Arc::new(problem_ref(&problem, problems, trajectory.primitives.clone()));
            output.see(&problem);
            output.states(&problem, one_step_examples(&trajectory, &found, options)?)?;
            on_trajectory();
        }
        Ok(())
    })
}

/// Converts a problem set into `OUT/train.sr` and `OUT/val.sr` of direct examples. It calls `on_problem` after each
/// problem.
///
/// # Errors
/// Returns an error if a problem has no formula or cannot be searched, or there are no examples. Files of these names
/// in `out` are then unchanged.
pub fn convert_problems(
    problems: &Problems,
    options: &Options<'_>,
    out: &Path,
    mut on_problem: impl FnMut(),
) -> Result<Counts> {
    check_name(problems.path())?;
    let header = header(Mode::Direct, problems, options);
    write_corpus(problems.path(), header, problems, options, out, |output| {
        for problem in problems.iter() {
            let problem = &problem?;
            options.go_on()?;
            let key = sample_key(options.seed, &problem.id, 0);
            output.see(problem);
            if key.rng().chance(options.sample_fraction) {
                output.direct(problem, &direct_example(problem, problems)?)?;
            }
            on_problem();
        }
        Ok(())
    })
}

/// Returns an error if the file's name is not UTF-8, so that a corpus could not name it.
fn check_name(path: &Path) -> Result<()> {
    match path.file_name().unwrap_or_default().to_str() {
        Some(_) => Ok(()),
        None => Err(Error::Name { path: path.to_owned() }),
    }
}

/// Returns the states of a trajectory that have targets, after sampling.
///
/// # Errors
/// Returns an error if labels are asked for and there are none, or they are those of another state.
pub fn one_step_examples(
    trajectory: &Trajectory,
    problem: &Arc<ProblemRef>,
    options: &Options<'_>,
) -> Result<Vec<OneStep>> {
    // Also of a trajectory that is not sampled.
    if options.targets == Targets::Labels && trajectory.labels.is_empty() {
        return Err(Error::NotRelabelled { id: trajectory.problem_id.clone(), seed: trajectory.seed });
    }
    let key = sample_key(options.seed, &trajectory.problem_id, trajectory.seed);
    let whole = options.shape != Shape::EachChild;
    if whole && !key.draw(TRAJECTORY_DRAW).rng().chance(options.sample_fraction) {
        return Ok(Vec::new());
    }
    // Each different expression is in memory once, however many populations have it.
    let exprs: Exprs = trajectory.generations.expressions().iter().map(owned).collect();
    let mut candidates = match options.targets {
        Targets::NextGeneration { include_elite } => {
            next_generations(trajectory, &exprs, include_elite || whole, |_, _| true)
        }
        Targets::Ancestors { include_elite } => {
            let lineage = trajectory.lineage();
            next_generations(trajectory, &exprs, include_elite, |index, slot| {
                lineage[index].binary_search(&slot).is_ok()
            })
        }
        Targets::Labels => labels(trajectory)?,
    };
    if let Some(most) = options.states_per_search {
        let with_targets = candidates.iter().filter(|candidate| !candidate.targets.is_empty());
        let generations = with_targets.map(|candidate| candidate.record.generation).collect();
        let kept = stages::spread(trajectory, &generations, most.get(), key.draw(STATES_DRAW));
        candidates.retain(|candidate| kept.contains(&candidate.record.generation));
    }
    let examples = candidates.into_iter().map(|Candidate { record, condition, targets }| {
        let key = key.generation(record.generation);
        let kept = |target: &Target| whole || key.slot(target.slot).rng().chance(options.sample_fraction);
        let individual = |(form, i): (u32, IndividualRecord<'_>)| Individual {
            expr: exprs[form as usize].clone(),
            mse: i.mse,
            fitness: i.fitness,
        };
        OneStep {
            problem: problem.clone(),
            seed: trajectory.seed,
            generation: record.generation,
            population: record.expression_ids().zip(record.individuals()).map(individual).collect(),
            condition,
            targets: targets.into_iter().filter(kept).collect(),
        }
    });
    Ok(examples.filter(|example| !example.targets.is_empty()).collect())
}

/// The expressions, by [`GenerationRecord::expression_ids`].
type Exprs = Vec<Arc<Expr>>;

fn owned(tree: &Tree) -> Arc<Expr> {
    Arc::new(tree.to_owned())
}

/// Returns a problem's direct example.
///
/// # Errors
/// Returns an error if the problem has no formula, or cannot be searched.
pub fn direct_example(problem: &Problem, problems: &Problems) -> Result<Direct> {
    let target = problem.source.clone().ok_or_else(|| Error::NoFormula { id: problem.id.clone() })?;
    let primitives = own_primitives(problem)?;
    Ok(Direct { problem: Arc::new(problem_ref(problem, problems, primitives)), target: Arc::new(target) })
}

/// Returns for each state but the last the individuals of the next generation for which `wanted(index of that
/// generation, slot)` is true.
fn next_generations<'a>(
    trajectory: &'a Trajectory,
    exprs: &Exprs,
    include_elite: bool,
    wanted: impl Fn(usize, u32) -> bool,
) -> Vec<Candidate<'a>> {
    let generations = trajectory.generations.iter();
    let pairs = generations.clone().zip(generations.skip(1)).enumerate();
    let targets = pairs.map(|(index, (state, next))| {
        let children = (0..).zip(next.expression_ids().zip(next.individuals()));
        let children = children
            .filter(|(slot, (_, child))| (include_elite || child.origin != Origin::Elite) && wanted(index + 1, *slot));
        let target = |(slot, (form, child))| target(exprs[form as usize].clone(), &child, slot, 1.0);
        Candidate { record: state, condition: Condition::All, targets: children.map(target).collect() }
    });
    targets.collect()
}

/// A state and its targets under one condition.
struct Candidate<'a> {
    record: GenerationRecord<'a>,
    condition: Condition,
    targets: Vec<Target>,
}

/// Returns the labels of each labelled state. Labels of mode `all` are what the expert does. Others were chosen for
/// their gain over the best individual, so each class of gain is its own condition.
fn labels(trajectory: &Trajectory) -> Result<Vec<Candidate<'_>>> {
    let (id, seed) = (|| trajectory.problem_id.clone(), trajectory.seed);
    let Some(set) = trajectory.labels.last() else {
        return Err(Error::NotRelabelled { id: id(), seed });
    };
    let mut candidates = Vec::with_capacity(set.states.len());
    for state in &set.states {
        let generation = state.generation;
        let record = trajectory.generation(generation).filter(|record| record.state_hash() == state.state_hash);
        let record = record.ok_or_else(|| Error::OtherState { id: id(), generation })?;
        let children = (0..).zip(state.children.iter());
        let best = record.best();
        let mut by_condition: BTreeMap<i32, Candidate<'_>> = BTreeMap::new();
        for (slot, label) in children {
            let Label { child, weight, .. } = label;
            let condition = match set.mode.as_str() {
                ALL => Condition::All,
                "path" => Condition::Path,
                "target" => Condition::Target,
                _ => Condition::Gain(Gain::of((child.mse, child.expr.size()), (best.mse, best.expr.size())).class()),
            };
            let candidate = Candidate { record, condition, targets: Vec::new() };
            let targets = &mut by_condition.entry(condition.id()).or_insert(candidate).targets;
            targets.push(target(owned(child.expr), &child, slot, weight));
        }
        candidates.extend(by_condition.into_values());
    }
    Ok(candidates)
}

fn target(expr: Arc<Expr>, child: &IndividualRecord<'_>, slot: u32, weight: f32) -> Target {
    Target { expr, mse: child.mse, fitness: child.fitness, weight, slot }
}

/// Returns the key that decides which examples of a search are kept. The caller sets generation and slot.
fn sample_key(seed: u64, problem_id: &str, search_seed: u64) -> Key {
    // Searches of one problem differ by their seed, for which a key has no other place.
    let problem = problem_key(problem_id) ^ search_seed.wrapping_mul(GOLDEN);
    Key::new(seed, Purpose::Split, problem).draw(SAMPLE_DRAW)
}

fn own_primitives(problem: &Problem) -> Result<PrimitiveSet> {
    let n_variables = u16::try_from(problem.x.n_columns()).unwrap_or(u16::MAX); // as in Problem::instance
    PrimitiveSet::new(problem.operators.clone(), problem.constants.clone(), n_variables)
        .map_err(|source| Error::Unsearchable { id: problem.id.clone(), source })
}

fn problem_ref(problem: &Problem, problems: &Problems, primitives: PrimitiveSet) -> ProblemRef {
    let (id, source, fingerprint) = (problem.id.clone(), problems.name(), problem.fingerprint());
    ProblemRef { id, source, fingerprint, primitives }
}

/// Returns the header of a corpus of this mode, for the training side.
fn header(mode: Mode, problems: &Problems, options: &Options<'_>) -> CorpusHeader {
    let params = problems.params();
    let traced = mode != Mode::Direct;
    CorpusHeader {
        mode,
        context: options.context,
        target_fitness: match (mode, options.shape) {
            (Mode::Autoregressive, Shape::WholeGeneration { fitness }) => Some(fitness),
            _ => None,
        },
        split: Side::Train,
        problems: problems.name(),
        traces: None,
        operators: params.operators.iter().map(|op| op.name().to_owned()).collect(),
        constants: params.constants.clone(),
        dagger: traced && options.targets == Targets::Labels,
        original_source: None,
        ancestors_only: traced && matches!(options.targets, Targets::Ancestors { .. }),
        include_elite: match options.targets {
            _ if !traced => false,
            Targets::NextGeneration { include_elite } => include_elite || mode == Mode::Autoregressive,
            Targets::Ancestors { include_elite } => include_elite,
            Targets::Labels => false,
        },
        sample_fraction: options.sample_fraction,
        states_per_search: options.states_per_search.filter(|_| traced),
        val_fraction: options.val_fraction,
        seed: options.seed,
        exclude: options.exclude.sources.clone(),
        ieee: false,
    }
}

/// The files of one side.
struct SideOutput {
    path: PathBuf,
    header: CorpusHeader,
    corpus: CorpusWriter,
    jsonl: Option<JsonlWriter>,
    examples: u64,
    seen: Seen,
}

/// The searches or problems of one side, before any is left out, and those of them that are excluded.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    all: u64,
    excluded: u64,
}

/// The files of both sides.
struct Output<'a> {
    exclude: &'a Exclude,
    excluded: Excluded,
    split: Split,
    /// The validation formulas, by their values; empty if functions may be shared.
    val_formulas: Blocklist,
    train: SideOutput,
    val: SideOutput,
}

impl SideOutput {
    fn create(path: PathBuf, header: CorpusHeader, jsonl: bool) -> Result<Self> {
        let corpus = CorpusWriter::create(&path, &header)?;
        let jsonl = jsonl.then(|| JsonlWriter::create(jsonl_path(&path))).transpose()?;
        Ok(SideOutput { path, header, corpus, jsonl, examples: 0, seen: Seen::default() })
    }

    /// Completes the files. Returns the number of examples and the bytes of the corpus.
    fn finish(self) -> Result<(u64, u64)> {
        self.corpus.finish()?;
        self.jsonl.map_or(Ok(()), JsonlWriter::finish)?;
        let bytes = fs::metadata(&self.path).map_err(Error::io(&self.path, "look at"))?.len();
        Ok((self.examples, bytes))
    }
}

impl Output<'_> {
    /// Counts a search of a problem, or the problem itself, so that it can be told why a side has no examples.
    fn see(&mut self, problem: &Problem) {
        let is_excluded = self.exclude.has_formula_of(problem);
        let side = self.split.side(&problem.id);
        let seen = &mut self.of(side).seen;
        seen.all += 1;
        seen.excluded += u64::from(is_excluded);
    }

    /// Returns why there are no examples of what was seen, with the numbers of those that were left out of it.
    fn why_empty(&self, seen: Seen, left_out: Excluded, options: &Options<'_>) -> String {
        let (one, many) = match self.train.header.mode {
            Mode::Direct => ("problem", "problems"),
            Mode::OneStep | Mode::Autoregressive => ("search", "searches"),
        };
        let pieces = |n: u64| if n == 1 { format!("1 {one}") } else { format!("{n} {many}") };
        let examples = |n: u64| if n == 1 { "1 example".to_owned() } else { format!("{n} examples") };
        let Seen { all, excluded } = seen;
        if all == 0 {
            return format!("there are no {many}");
        }
        if excluded == all {
            return format!("--exclude keeps out all that there is, {}", pieces(all));
        }
        let mut causes = Vec::new();
        if excluded > 0 {
            causes.push(format!("--exclude keeps out {}", pieces(excluded)));
        }
        if left_out.population + left_out.target > 0 {
            let n = examples(left_out.population + left_out.target);
            causes.push(format!("--exclude keeps out {n} for an expression in them"));
        }
        if left_out.validation > 0 {
            let n = examples(left_out.validation);
            causes.push(format!("--apart function keeps out {n} of validation formulas written otherwise"));
        }
        if options.sample_fraction < 1.0 {
            let (share, rest) = (options.sample_fraction, pieces(all - excluded));
            causes.push(format!("--sample-fraction {share} kept none of the examples of {rest}"));
        }
        if causes.is_empty() {
            let what = if options.targets == Targets::Labels { "label" } else { "child to learn" };
            return format!("no state of {} has a {what}", pieces(all));
        }
        causes.join(", and ")
    }

    /// Returns what is to be told of a side without examples.
    fn empty_side(&self, side: Side, options: &Options<'_>) -> Option<String> {
        let (this, other, name, left_out) = match side {
            Side::Train => (&self.train, "val.sr", "training", self.excluded),
            Side::Val => (&self.val, "train.sr", "validation", Excluded::default()),
        };
        let is_asked_for = side == Side::Val && options.val_fraction == 0.0;
        if this.examples > 0 || is_asked_for {
            return None;
        }
        let why = match this.seen.all {
            0 => format!(
                "the split put all that was converted into {other}: a formula goes into one file as a whole, and \
                 --val-fraction {} is the share of the formulas of the problem set that goes into val.sr",
                options.val_fraction
            ),
            _ => self.why_empty(this.seen, left_out, options),
        };
        Some(format!("no {name} examples: {why}"))
    }

    /// Returns the side that a problem's examples go to. If they are excluded, counts them and returns `None`.
    fn side(&mut self, problem: &Problem, examples: u64) -> Option<Side> {
        if self.exclude.has_formula_of(problem) {
            self.excluded.problem += examples;
            return None;
        }
        let side = self.split.side(&problem.id);
        let is_val_formula = || problem.source.as_ref().is_some_and(|source| self.val_formulas.contains(source));
        if side == Side::Train && is_val_formula() {
            self.excluded.validation += examples;
            return None;
        }
        Some(side)
    }

    fn of(&mut self, side: Side) -> &mut SideOutput {
        match side {
            Side::Train => &mut self.train,
            Side::Val => &mut self.val,
        }
    }

    /// Adds the states of one search.
    fn states(&mut self, problem: &Problem, mut states: Vec<OneStep>) -> Result<()> {
        let whole = self.train.header.mode == Mode::Autoregressive;
        let examples = |states: &[OneStep]| match whole {
            true => states.len() as u64,
            false => states.iter().map(|state| state.targets.len() as u64).sum(),
        };
        let Some(side) = self.side(problem, examples(&states)) else { return Ok(()) };
        if side == Side::Train {
            self.exclude.retain(&mut states, whole, &mut self.excluded);
        }
        let side = self.of(side);
        side.examples += examples(&states);
        side.corpus.append_states(&states)?;
        if let Some(jsonl) = &mut side.jsonl {
            states.iter().try_for_each(|state| jsonl.state(&side.header, state, problem))?;
        }
        Ok(())
    }

    fn direct(&mut self, problem: &Problem, example: &Direct) -> Result<()> {
        let Some(side) = self.side(problem, 1) else { return Ok(()) };
        let side = self.of(side);
        side.examples += 1;
        side.corpus.append_direct(example)?;
        side.jsonl.as_mut().map_or(Ok(()), |jsonl| jsonl.direct(example, problem))
    }
}

/// Makes both files with what `fill` adds to them. After an error nothing of them is left.
fn write_corpus(
    converted: &Path,
    header: CorpusHeader,
    problems: &Problems,
    options: &Options<'_>,
    out: &Path,
    fill: impl FnOnce(&mut Output<'_>) -> Result<()>,
) -> Result<Counts> {
    let check = |name, expected, value, holds: bool| match holds {
        true => Ok(()),
        false => Err(Error::Fraction { name, expected, value }),
    };
    let Options { sample_fraction, val_fraction, .. } = *options;
    check(
        "sample-fraction",
        "above 0 and at most 1",
        sample_fraction,
        sample_fraction > 0.0 && sample_fraction <= 1.0,
    )?;
    check("val-fraction", "0 or more and below 1", val_fraction, (0.0..1.0).contains(&val_fraction))?;
    let was_there = out.exists();
    fs::create_dir_all(out).map_err(Error::io(out, "create"))?;
    let paths = [out.join("train.sr"), out.join("val.sr")];
    let write = || {
        let side = |path: &PathBuf, split| {
            SideOutput::create(path.clone(), CorpusHeader { split, ..header.clone() }, options.jsonl)
        };
        let mut unreadable = None;
        let readable = problems.iter().map_while(|problem| problem.map_err(|error| unreadable = Some(error)).ok());
        let split = if options.is_part { Split::of_part } else { Split::new };
        let split = split(readable, options.val_fraction, options.seed);
        if let Some(error) = unreadable {
            return Err(error);
        }
        let mut val_formulas = Blocklist::default();
        for problem in problems.iter().filter(|_| options.split_by == SplitBy::Function) {
            let problem = problem?;
            if let (Side::Val, Some(source)) = (split.side(&problem.id), &problem.source) {
                val_formulas.insert(source);
            }
        }
        let (train, val) = (side(&paths[0], Side::Train)?, side(&paths[1], Side::Val)?);
        let excluded = Excluded::default();
        let mut output = Output { exclude: &options.exclude, excluded, split, val_formulas, train, val };
        fill(&mut output)?;
        if output.train.examples + output.val.examples == 0 {
            let [train, val] = [output.train.seen, output.val.seen];
            let seen = Seen { all: train.all + val.all, excluded: train.excluded + val.excluded };
            return Err(Error::NoExamples {
                file: converted.to_owned(),
                why: output.why_empty(seen, output.excluded, options),
            });
        }
        let warnings = [Side::Train, Side::Val].map(|side| output.empty_side(side, options));
        let excluded = output.excluded;
        let replaced = paths.iter().any(|path| path.exists());
        let ((train, train_bytes), (val, val_bytes)) = (output.train.finish()?, output.val.finish()?);
        for export in paths.iter().map(|path| jsonl_path(path)).filter(|_| replaced && !options.jsonl) {
            match fs::remove_file(&export) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(Error::io(&export, "remove")(error)),
                _ => {}
            }
        }
        for warning in warnings.into_iter().flatten().filter(|_| !options.is_part) {
            tracing::warn!("{warning}");
        }
        Ok(Counts { train, val, excluded, bytes_per_example: (train_bytes + val_bytes) as f64 / (train + val) as f64 })
    };
    let result = write();
    if !matches!(result, Ok(_) | Err(Error::File(sr_codec::Error::Locked { .. }))) {
        for path in &paths {
            // A file that was not begun cannot be removed; the error to report is the one above.
            fs::remove_file(partial_path(path)).ok();
            fs::remove_file(partial_path(jsonl_path(path))).ok();
        }
    }
    if result.is_err() && !was_there {
        fs::remove_dir(out).ok(); // fails where there is something in it
    }
    result
}
