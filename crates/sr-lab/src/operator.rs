//! Measures the offspring that methods propose in a frozen set of states, which predicts in seconds what searches show
//! in hours.
//!
//! A [`Bank`] has states of the expert's searches: [`build`] writes one, as a trace with its problems beside it.
//! [`Bank::measure`] asks methods for one generation of offspring of each state. An improvement is a new expression
//! whose mean squared error is at least 0.02 decades below the best one's. From the share of states improved, a
//! [`Calibration`] predicts how much faster than the expert a method searches. `docs/comparison.md` has the
//! definitions.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, ensure};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sr_engine::random::{Key, Purpose, problem_key};
use sr_engine::{
    Budget, Expert, Individual, Instance, Offspring, Origin, Population, PrimitiveSet, Request, Scorer, Search,
    SearchConfig, State,
};
use sr_eval::{BestOf, Enumeration, RandomTrees, Summary, wilson};
use sr_problems::ProblemSet;
use sr_trace::{Gain, Recorder, TraceHeader, TraceReader, TraceWriter, decades};

use crate::evaluate::{Method, Policy};
use crate::{Ended, Monitor};

/// Names of the phases of a search; a trajectory gives one state of each third.
const PHASES: [&str; 3] = ["early", "middle", "late"];
/// Most seeds that are tried to find enough long searches of a problem.
const MOST_SEEDS: u64 = 1000;
/// The most decades that count as a state's gain; an exact formula would have infinitely many.
const MOST_DECADES: f64 = 4.0;
/// States for which a learner is asked at once.
const BATCH: usize = 64;
/// Suffix that a bank's name gets for the file of its problems.
const PROBLEMS: &str = ".problems";
/// Times that a method with unique expressions is asked again.
const ATTEMPTS: u32 = 20;
/// The file with the exponent for predictions.
const CALIBRATION: &str = include_str!("../../../configs/operator-calibration.toml");

/// The settings of a bank.
#[derive(Debug, Clone, Copy)]
pub struct BankOptions<'a> {
    /// The problems that are searched.
    pub set: &'a ProblemSet,
    /// The settings of the searches. `extra_generations` is ignored: a search ends when it solves its problem, because
    /// nothing is left to improve. A time limit is an error, because it would make the states depend on the machine.
    pub config: &'a SearchConfig,
    /// Name of the preset that `config` started from.
    pub preset: &'a str,
    /// States to draw, a multiple of three.
    pub states: u64,
    /// The first seed that is tried.
    pub seed: u64,
}

/// Returns the path to which [`build`] writes the problems of a bank: `BANK.problems`.
pub fn problems_beside(bank: &Path) -> PathBuf {
    let mut path = OsString::from(bank);
    path.push(PROBLEMS);
    path.into()
}

/// Returns the path of the problems that an existing bank names.
///
/// # Errors
/// If the bank cannot be read.
pub fn problems_of(bank: &Path) -> anyhow::Result<PathBuf> {
    Ok(bank.with_file_name(&TraceReader::open(bank)?.header().problems))
}

/// Builds a bank and writes it, with its problems beside it. If it is stopped or too few searches last long enough, it
/// writes nothing and leaves an earlier bank unchanged.
///
/// - monitor: counts states
///
/// # Errors
/// If an option is invalid, too few searches last long enough, or a file cannot be written.
pub fn build(bank: &Path, options: &BankOptions<'_>, monitor: &mut Monitor<'_>) -> anyhow::Result<Ended> {
    let BankOptions { set, config, preset, states, seed } = *options;
    ensure!(!set.problems.is_empty(), "there are no problems");
    ensure!(states.is_multiple_of(PHASES.len() as u64), "--states {states}: expected a multiple of three");
    ensure!(seed.checked_add(MOST_SEEDS).is_some(), "--seed {seed}: up to {MOST_SEEDS} seeds from it on are needed");
    ensure!(config.time_limit.is_none(), "--time-limit would make the states depend on the machine");
    let config = SearchConfig { extra_generations: 0, ..config.clone() };
    let instances = set.problems.iter().map(|problem| problem.instance().map(Arc::new));
    let instances = instances.collect::<Result<Vec<_>, _>>()?;
    let primitives = PrimitiveSet::new(set.params.operators.clone(), set.params.constants.clone(), 1)?;
    let problems = problems_beside(bank);
    let name = problems.file_name().and_then(|name| name.to_str());
    let name = name.with_context(|| format!("--bank {}: the name is not UTF-8", bank.display()))?;
    let header = TraceHeader::of_expert(name, &primitives, &config, preset, seed);
    let wanted = usize::try_from(states).unwrap_or(usize::MAX) / PHASES.len();
    let mut writer = TraceWriter::create(bank, &header)?;
    let ended = fill(&mut writer, wanted, &instances, &config, seed, monitor).and_then(|ended| {
        if ended == Ended::Finished {
            set.write(&problems)?;
        }
        Ok(ended)
    });
    if !matches!(ended, Ok(Ended::Finished)) {
        writer.discard();
        return ended;
    }
    writer.finish()?;
    ended
}

/// Writes this many searches that last long enough.
fn fill(
    writer: &mut TraceWriter,
    wanted: usize,
    instances: &[Arc<Instance>],
    config: &SearchConfig,
    seed: u64,
    monitor: &mut Monitor<'_>,
) -> anyhow::Result<Ended> {
    let mut written = 0;
    // The outer loop is over seeds, so that all problems get their share.
    for run_seed in seed..seed + MOST_SEEDS {
        if monitor.is_stopped() {
            return Ok(Ended::Stopped { done: (written * PHASES.len()) as u64 });
        }
        let before = written;
        let search = |instance: &Arc<Instance>| -> anyhow::Result<_> {
            let mut recorder = Recorder::new(run_seed);
            let mut search = Search::new(instance.clone(), config.clone(), run_seed)?;
            let outcome = search.run_with(&mut Expert, &mut recorder)?;
            Ok((outcome.generations as usize > PHASES.len(), recorder.finish(&outcome)?))
        };
        let found = instances.par_iter().map(search).collect::<anyhow::Result<Vec<_>>>()?;
        for (_, trajectory) in found.into_iter().filter(|(lasts, _)| *lasts).take(wanted - written) {
            writer.append(&trajectory)?;
            written += 1;
        }
        monitor.advance(((written - before) * PHASES.len()) as u64);
        if written == wanted {
            break;
        }
    }
    ensure!(written == wanted, "only {written} of {wanted} searches lasted: the problems are too easy");
    Ok(Ended::Finished)
}

/// A frozen set of states.
#[derive(Debug)]
pub struct Bank {
    /// The settings of the searches that the states belong to.
    config: SearchConfig,
    states: Vec<Snapshot>,
}

/// A state, owned, without its trajectory.
#[derive(Debug)]
struct Snapshot {
    instance: Arc<Instance>,
    phase: usize,
    generation: u32,
    population: Population,
    best: Individual,
    stagnation: u32,
    budget: Budget,
    key: Key,
}

impl Snapshot {
    fn state<'a>(&'a self, config: &'a SearchConfig, seen: &'a HashSet<u64>) -> State<'a> {
        State {
            instance: &self.instance,
            config,
            generation: self.generation,
            population: &self.population,
            best: &self.best,
            stagnation: self.stagnation,
            budget: self.budget,
            seen,
            key: self.key,
            stop: None,
        }
    }
}

impl Bank {
    /// Reads a bank and its problems.
    ///
    /// # Errors
    /// If the bank or its problems cannot be read, or they do not belong together.
    pub fn read(bank: &Path) -> anyhow::Result<Self> {
        let reader = TraceReader::open(bank)?;
        let (config, seed) = (reader.header().engine.clone(), reader.header().seed);
        let set = ProblemSet::read(problems_of(bank)?).context("reading the problems of the bank")?;
        let mut instances: HashMap<&str, Arc<Instance>> = HashMap::new();
        for problem in &set.problems {
            instances.insert(&problem.id, Arc::new(problem.instance()?));
        }
        let mut states = Vec::new();
        for trajectory in reader {
            let trajectory = trajectory?;
            let id = &*trajectory.problem_id;
            let instance = instances.get(id).with_context(|| format!("{} has no problem {id}", bank.display()))?;
            let n = trajectory.generations.len() - 1;
            ensure!(n >= PHASES.len(), "{}: the search of {id} is too short for a bank", bank.display());
            let key = Key::new(trajectory.seed, Purpose::Evaluation, problem_key(id));
            let pick = |phase: usize| {
                let (start, end) = (phase * n / PHASES.len(), (phase + 1) * n / PHASES.len());
                start + key.slot(phase as u32).draw(1).rng().below(end - start)
            };
            let picks: [usize; 3] = std::array::from_fn(pick);
            let mut index = 0;
            sr_dagger::visit_states(&trajectory, instance, &config, seed, |state, _, _| {
                if let Some(phase) = picks.iter().position(|&pick| pick == index) {
                    states.push(Snapshot {
                        instance: instance.clone(),
                        phase,
                        generation: state.generation,
                        population: state.population.clone(),
                        best: state.best.clone(),
                        stagnation: state.stagnation,
                        budget: state.budget,
                        key: state.key,
                    });
                }
                index += 1;
            })?;
        }
        ensure!(!states.is_empty(), "{} holds no states", bank.display());
        Ok(Bank { config, states })
    }

    /// Returns the number of states.
    #[expect(clippy::len_without_is_empty, reason = "a bank has a state")]
    pub fn len(&self) -> usize {
        self.states.len()
    }

    /// Measures what methods propose. The first method, usually the expert, is the one that ratios are relative to.
    ///
    /// - policies: the policies of the methods, in the same order
    /// - monitor: counts methods; after a stop, the results of the first ones are returned
    ///
    /// # Errors
    /// If a learner fails.
    pub fn measure(
        &self,
        methods: &[Method],
        policies: &mut [Policy],
        monitor: &mut Monitor<'_>,
    ) -> anyhow::Result<Vec<Measured>> {
        let exponent = Calibration::embedded().exponent;
        let mut measured: Vec<Measured> = Vec::new();
        for (method, policy) in methods.iter().zip(policies) {
            if monitor.is_stopped() {
                break;
            }
            let begun = Instant::now();
            let mut all_offspring = propose(policy, &method.config(&self.config), &self.states)
                .with_context(|| format!("{} failed", method.name))?;
            let mut found = measure(&method.name, &self.states, &mut all_offspring);
            found.seconds = begun.elapsed().as_secs_f64();
            let ratio =
                found.states_improved / measured.first().map_or(found.states_improved, |expert| expert.states_improved);
            found.ratio = Some(ratio).filter(|ratio| ratio.is_finite());
            found.predicted_speed_up = found.ratio.map(|ratio| ratio.powf(exponent));
            measured.push(found);
            monitor.advance(1);
        }
        Ok(measured)
    }
}

/// Asks for one generation of offspring of each state.
fn propose(policy: &mut Policy, config: &SearchConfig, states: &[Snapshot]) -> anyhow::Result<Vec<Offspring>> {
    match policy {
        Policy::Expert => each(&|| Expert, config, states),
        Policy::Random => each(&|| RandomTrees, config, states),
        Policy::Enumeration => each(&Enumeration::default, config, states),
        Policy::BestOf(k) => each(&|| BestOf::new(*k), config, states),
        #[cfg(feature = "learner")]
        Policy::Learner(hybrid) => together(&mut **hybrid, config, states),
        Policy::Custom(policy) => together(&mut **policy, config, states),
    }
}

/// Asks one policy, batch by batch.
fn together(
    policy: &mut dyn sr_engine::Policy,
    config: &SearchConfig,
    states: &[Snapshot],
) -> anyhow::Result<Vec<Offspring>> {
    let none = HashSet::new();
    let mut all = Vec::new();
    for batch in states.chunks(BATCH) {
        let mut all_offspring = vec![Offspring::default(); batch.len()];
        let asked = batch.iter().zip(&mut all_offspring);
        let mut requests: Vec<Request<'_>> = asked
            .map(|(state, offspring)| Request::new(state.state(config, &none), n_children(state), offspring))
            .collect();
        policy.propose(&mut requests)?;
        all.extend(all_offspring);
    }
    Ok(all)
}

/// Returns the number of offspring that the search of a state asked for.
fn n_children(state: &Snapshot) -> usize {
    state.population.len().saturating_sub(1).max(1)
}

fn each<P: sr_engine::Policy>(
    policy: &(dyn Fn() -> P + Sync),
    config: &SearchConfig,
    states: &[Snapshot],
) -> anyhow::Result<Vec<Offspring>> {
    let none = HashSet::new();
    let of_state = |snapshot: &Snapshot| {
        let (state, wanted) = (snapshot.state(config, &none), n_children(snapshot));
        let mut policy = policy();
        let mut kept = Offspring::default();
        if !config.unique {
            policy.propose_one(state, wanted, &mut kept)?;
            return Ok(kept);
        }
        // As in a search, repeated expressions are drawn again.
        let mut met: HashSet<u64> = snapshot.population.iter().map(|individual| individual.tree.hash64()).collect();
        for attempt in 0..ATTEMPTS {
            let missing = wanted - kept.len();
            let mut drawn = Offspring::default();
            let state = State { key: state.key.draw(attempt), ..state };
            policy.propose_one(state, missing, &mut drawn)?;
            drawn.iter().filter(|child| met.insert(child.tree.hash64())).for_each(|child| kept.push(&child));
            if kept.len() == wanted {
                break;
            }
        }
        Ok(kept)
    };
    states.par_iter().map(of_state).collect()
}

/// The measurements of one method's proposals.
#[derive(Debug, Clone, Serialize)]
pub struct Measured {
    /// The method's name.
    pub method: String,
    /// The number of offspring of all states.
    pub children: u64,
    /// Share of the offspring that improve.
    pub improving: f64,
    /// Share of the states with an improving child; its inverse is the expected number of generations to an
    /// improvement.
    pub states_improved: f64,
    /// Lower end of the share's 95 % Wilson interval.
    pub lo: f64,
    /// Upper end of the interval.
    pub hi: f64,
    /// Share of improved states among the early, middle and late ones.
    pub by_phase: [f64; 3],
    /// Mean over the states of the decades that the best child of a generation gains, each at most 4.
    pub best_gain: f64,
    /// Share of the offspring whose expression differs from the others of their state.
    pub distinct: f64,
    /// Share of a learner's offspring that are expressions; `None` without a learner.
    pub well_formed: Option<f64>,
    /// Improved states relative to the first method; `None` if that improves none.
    pub ratio: Option<f64>,
    /// The factor by which the method searches faster than the first one, in evaluations, by the embedded
    /// [`Calibration`].
    pub predicted_speed_up: Option<f64>,
    /// Seconds that proposing and measuring took.
    pub seconds: f64,
}

fn measure(method: &str, states: &[Snapshot], all_offspring: &mut [Offspring]) -> Measured {
    struct OfState {
        children: usize,
        improving: usize,
        gain: f64,
        distinct: usize,
        learners: usize,
        fallback: usize,
    }
    let none = HashSet::new();
    let config = SearchConfig::basic(); // the error depends on the semantics alone
    let of_state = |(snapshot, offspring): (&Snapshot, &mut Offspring)| {
        let scored = Scorer::default().score(&snapshot.state(&config, &none), offspring);
        let best = (snapshot.best.score.mse as f32, snapshot.best.expr.size());
        let mut of_state =
            OfState { children: offspring.len(), improving: 0, gain: 0.0, distinct: 0, learners: 0, fallback: 0 };
        let mut forms = HashSet::new();
        for (child, scored) in offspring.iter().zip(&scored) {
            let mse = scored.score.mse as f32;
            if scored.is_new && scored.score.is_valid() {
                of_state.improving += usize::from(Gain::of((mse, child.tree.size()), best).is_improvement());
                of_state.gain = of_state.gain.max(decades(mse, best.0).min(MOST_DECADES));
            }
            forms.insert(scored.expression);
            of_state.learners += usize::from(child.origin == Origin::Learner);
            of_state.fallback += usize::from(child.origin == Origin::Fallback);
        }
        of_state.distinct = forms.len();
        of_state
    };
    let all: Vec<OfState> = states.par_iter().zip(all_offspring.par_iter_mut()).map(of_state).collect();
    let total = |field: &dyn Fn(&OfState) -> usize| all.iter().map(field).sum::<usize>();
    let share = |part: usize, whole: usize| if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
    let (children, learners) = (total(&|s| s.children), total(&|s| s.learners));
    let improved = total(&|s| usize::from(s.improving > 0));
    let of_phase = |phase: usize| {
        let own = states.iter().zip(&all).filter(|(state, _)| state.phase == phase);
        share(own.clone().filter(|(_, s)| s.improving > 0).count(), own.count())
    };
    let (lo, hi) = wilson(improved, all.len());
    let written = learners + total(&|s| s.fallback);
    Measured {
        method: method.to_owned(),
        children: children as u64,
        improving: share(total(&|s| s.improving), children),
        states_improved: share(improved, all.len()),
        lo,
        hi,
        by_phase: std::array::from_fn(of_phase),
        best_gain: all.iter().map(|s| s.gain).sum::<f64>() / all.len() as f64,
        distinct: share(total(&|s| s.distinct), children),
        well_formed: (written > 0).then(|| share(learners, written)),
        ratio: None,
        predicted_speed_up: None,
        seconds: 0.0,
    }
}

/// The fitted relation between the ratio of improved states and the speed of searches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// The exponent: the speed-up is the ratio of improved states to this power.
    pub exponent: f64,
    /// The points that it was fitted to.
    pub points: Vec<Point>,
}

/// The measurements of one method.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Point {
    /// The method's name.
    pub method: String,
    /// Improved states, relative to the expert.
    pub ratio: f64,
    /// The expert's expected running time in evaluations, relative to the method's.
    pub speed_up: f64,
}

/// Returns the least-squares slope, in logarithms, of the line through the expert, whose ratio and speed-up are 1.
fn fit(points: &[Point]) -> f64 {
    let logs = points.iter().map(|point| (point.ratio.ln(), point.speed_up.ln()));
    let (xy, xx) = logs.fold((0.0, 0.0), |(xy, xx), (x, y)| (xy + x * y, xx + x * x));
    xy / xx
}

impl Calibration {
    /// Returns the calibration used for predictions, from `configs/operator-calibration.toml`.
    pub fn embedded() -> Self {
        toml::from_str(CALIBRATION).expect("the embedded file is tested")
    }

    /// Fits the exponent to the expected running times of full searches.
    ///
    /// - measured: the measurements of the methods, the expert first
    /// - summaries: the summaries of an evaluation of the same methods, with their expected running times
    ///
    /// # Errors
    /// If a method has no running time, the expert improves no state, or no method differs from the expert.
    pub fn fit(measured: &[Measured], summaries: &[Summary]) -> anyhow::Result<Self> {
        let ert = |method: &str| {
            let of_method = summaries.iter().find(|summary| summary.method == method);
            let ert = of_method.and_then(|summary| summary.ert);
            ert.with_context(|| format!("the result has no running time of {method}"))
        };
        let Some((expert, others)) = measured.split_first() else { anyhow::bail!("nothing was measured") };
        let of_expert = ert(&expert.method)?;
        let point = |m: &Measured| {
            let ratio = m.ratio.context("the expert improves no state of the bank")?;
            Ok(Point { method: m.method.clone(), ratio, speed_up: of_expert / ert(&m.method)? })
        };
        let points = others.iter().map(point).collect::<anyhow::Result<Vec<_>>>()?;
        let exponent = fit(&points);
        ensure!(exponent.is_finite(), "the ratios do not differ from 1");
        Ok(Calibration { exponent, points })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_power_law_is_found() {
        let point = |ratio: f64| Point { method: String::new(), ratio, speed_up: ratio.powf(1.3) };
        assert!((fit(&[1.5, 2.0, 4.0].map(point)) - 1.3).abs() < 1e-12);
    }

    #[test]
    fn the_embedded_calibration_says_that_more_improvements_are_faster() {
        let calibration: Calibration = toml::from_str(CALIBRATION).expect("TOML");
        assert!(calibration.exponent > 0.0);
        assert!((calibration.exponent - fit(&calibration.points)).abs() < 1e-9);
    }

    #[test]
    fn a_bank_that_is_stopped_leaves_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let bank = folder.path().join("b.sr");
        let set = sr_problems::suite("harder", 1).expect("a suite");
        let config = SearchConfig { generations: 10, ..SearchConfig::basic() };
        let options = BankOptions { set: &set, config: &config, preset: "basic", states: 30, seed: 0 };
        let stop = std::sync::atomic::AtomicBool::new(true);
        let ended = build(&bank, &options, &mut Monitor::new(&stop, |_| ())).expect("stopped");
        assert_eq!(ended, Ended::Stopped { done: 0 });
        let odd = BankOptions { states: 4, ..options };
        let error = build(&bank, &odd, &mut Monitor::none()).expect_err("no multiple").to_string();
        assert_eq!(error, "--states 4: expected a multiple of three");
        assert_eq!(std::fs::read_dir(folder.path()).expect("listed").count(), 0);
        assert_eq!(build(&bank, &options, &mut Monitor::none()).expect("built"), Ended::Finished);
        assert_eq!(problems_of(&bank).expect("a bank"), problems_beside(&bank));
        let methods: Vec<Method> = ["expert", "mine=expert"].map(|name| name.parse().expect("known")).to_vec();
        let mut policies = [Policy::Expert, Policy::Custom(Box::new(Expert))];
        let bank = Bank::read(&bank).expect("a bank");
        let measured = bank.measure(&methods, &mut policies, &mut Monitor::none()).expect("measured");
        let [expert, mine] = &measured[..] else { panic!("two methods") };
        assert_eq!((bank.len(), expert.children, mine.children), (30, 30 * 19, 30 * 19));
        assert_eq!((mine.improving, mine.ratio), (expert.improving, Some(1.0)), "it is the expert");
    }
}
