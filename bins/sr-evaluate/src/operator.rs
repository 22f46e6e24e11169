//! What methods propose in a frozen set of states, which predicts in seconds what searches show in hours.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sr_args::{SamplingArgs, SearchArgs};
use sr_cli::output::with_ending;
use sr_cli::{Claim, Common, Exit, OutputArgs};
use sr_engine::random::{Key, Purpose, problem_key};
use sr_engine::{
    Brood, Budget, Expert, Individual, Instance, Origin, Population, PrimitiveSet, Scorer, Search, SearchConfig, State,
};
use sr_eval::{BestOf, RandomTrees, aligned, wilson};
use sr_problems::ProblemSet;
use sr_trace::{Gain, Recorder, TraceHeader, TraceReader, TraceWriter, decades};

use crate::method::{self, Method, Policy};

/// Early, middle and late: a trajectory gives one state of each third.
const PHASES: [&str; 3] = ["early", "middle", "late"];
/// Seeds that are tried to find enough searches of a problem that last.
const MOST_SEEDS: u64 = 1000;
/// Decades that count as a state's gain at most; an exact formula would have infinitely many.
const MOST_DECADES: f64 = 4.0;
/// States that a learner is asked at once.
const BATCH: usize = 64;
/// What is added to the name of a bank for that of its problems.
const PROBLEMS: &str = ".problems";
/// Times that a method that never repeats a form is asked again.
const ATTEMPTS: u32 = 20;
/// The exponent that predictions are made with.
const CALIBRATION: &str = include_str!("../../../configs/operator-calibration.toml");

/// Measure what methods propose in a frozen set of states, and predict how much faster than the expert they search
///
/// With --build the set is made: states of the expert's searches of the problems, one each of the first, the second and the
/// last third of a search. It is a trace, with its problems beside it. An improvement is a new form whose mean squared
/// error is at least 0.02 decades below the best one's. docs/comparison.md has the definitions.
#[derive(clap::Args)]
pub(crate) struct OperatorArgs {
    /// Build a set of states and write it to --bank
    #[arg(long)]
    build: bool,
    /// The set of states
    #[arg(long, value_name = "FILE")]
    bank: PathBuf,
    /// Problem set to search, with --build
    #[arg(long, value_name = "FILE", requires = "build", conflicts_with = "suite")]
    problems: Option<PathBuf>,
    /// Named suite to search, with --build
    #[arg(long, value_name = "NAME", requires = "build")]
    suite: Option<String>,
    /// States to draw, with --build; a multiple of three
    #[arg(long, value_name = "N", requires = "build", default_value_t = 300, value_parser = clap::value_parser!(u64).range(3..))]
    states: u64,
    /// Fit predictions to the expected running times of expert and cheat:best-of-K in this result of sr-evaluate, and write
    /// them to --out
    #[arg(long, value_name = "FILE", conflicts_with = "build", requires = "out")]
    calibrate: Option<PathBuf>,
    /// Methods to measure, as for comparisons; the expert is always measured
    #[arg(long, value_delimiter = ',', default_value = "expert", conflicts_with = "build")]
    methods: Vec<Method>,
    /// Where learners compute: cpu, ndarray or cuda
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    device: String,
    /// Also write the result to this JSON file; with --calibrate the calibration, as TOML
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    search: SearchArgs,
    #[command(flatten)]
    sampling: SamplingArgs,
    #[command(flatten)]
    common: Common,
}

pub(crate) fn run(args: &OperatorArgs, given: &sr_cli::Given) -> anyhow::Result<Exit> {
    let started = Instant::now();
    args.common.init()?;
    match args.build {
        true => {
            given.refuse_all::<SamplingArgs>("with --build")?;
            given.refuse(&["device", "out"], "with --build")?;
            given.refuse(&["extra_generations"], "with --build, whose searches end when they solve their problem")?;
        }
        false => given.refuse_all::<SearchArgs>("without --build")?,
    }
    let claim = |out, flag, inputs: &[&PathBuf]| {
        Claim::file(out).flag(flag).inputs(inputs.iter().copied()).may_exist(args.output.force).take()
    };
    if args.build {
        let problems = with_ending(&args.bank, PROBLEMS);
        let inputs: Vec<&PathBuf> = args.problems.iter().collect();
        let _outputs = [claim(&args.bank, "--bank", &inputs)?, claim(&problems, "--bank", &inputs)?];
        return build(args, &problems, started);
    }
    if args.calibrate.is_some() {
        let why = "with --calibrate, which measures the expert and cheat:best-of-K";
        given.refuse(&["methods", "device"], why)?;
        given.refuse_all::<SamplingArgs>(why)?;
    }
    if args.out.is_none() {
        given.refuse(&["force"], "without --out or --build")?;
    }
    let bank_problems = problems_of(&args.bank)?;
    let checkpoints = args.methods.iter().filter_map(Method::checkpoint);
    let inputs: Vec<&PathBuf> =
        [&args.bank, &bank_problems].into_iter().chain(&args.calibrate).chain(checkpoints).collect();
    let _output = args.out.as_deref().map(|out| claim(out, "--out", &inputs)).transpose()?;
    sr_model::open(args.device.parse()?)?;
    let mut methods: Vec<Method> = vec!["expert".parse().expect("it is known")];
    match args.calibrate {
        None => {
            // The expert is measured once under its own name.
            let is_expert = |method: &&Method| (&*method.name, &*method.written) == ("expert", "expert");
            methods.extend(args.methods.iter().filter(|method| !is_expert(method)).cloned());
            method::check(&methods, given)?;
        }
        Some(_) => methods.extend([2, 4, 8, 16].map(|k| format!("cheat:best-of-{k}").parse().expect("it is known"))),
    }
    let mut policies = methods
        .iter()
        .map(|method| Policy::new(method, &args.device, &args.sampling, None))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let (config, states) = read(&args.bank)?;
    let exponent = toml::from_str::<Calibration>(CALIBRATION).expect("the embedded file is tested").exponent;
    let mut measured: Vec<Measured> = Vec::new();
    for (method, policy) in methods.iter().zip(&mut policies) {
        let begun = Instant::now();
        let config = method.config(&config);
        let broods = propose(policy, &config, &states);
        if let Policy::Learner(hybrid) = policy
            && let Some(error) = hybrid.learner().error()
        {
            bail!("the learner of {} failed: {error}", method.name);
        }
        let mut found = measure(&method.name, &states, &broods);
        found.seconds = begun.elapsed().as_secs_f64();
        let ratio =
            found.states_improved / measured.first().map_or(found.states_improved, |expert| expert.states_improved);
        found.ratio = Some(ratio).filter(|ratio| ratio.is_finite());
        found.predicted_speed_up = found.ratio.map(|ratio| ratio.powf(exponent));
        measured.push(found);
    }
    if let Some(report) = &args.calibrate {
        return calibrate(args, report, &measured, started);
    }
    let result = json!({ "states": states.len(), "exponent": exponent, "methods": measured });
    if let Some(out) = &args.out {
        sr_cli::write_atomically(out, serde_json::to_string_pretty(&result)?.as_bytes())?;
        sr_cli::write_run_file(out, &args.common, started)?;
    }
    args.common.report("sr-evaluate", started, result, &table(&measured))?;
    Ok(Exit::Ok)
}

fn build(args: &OperatorArgs, problems: &Path, started: Instant) -> anyhow::Result<Exit> {
    let seed = args.common.seed;
    let set = match (&args.problems, &args.suite) {
        (Some(path), _) => ProblemSet::read(path)?,
        (None, Some(name)) => sr_problems::suite(name, seed)?,
        (None, None) => bail!("--build needs --problems or --suite"),
    };
    ensure!(!set.problems.is_empty(), "there are no problems");
    ensure!(args.states.is_multiple_of(PHASES.len() as u64), "--states {}: expected a multiple of three", args.states);
    ensure!(seed.checked_add(MOST_SEEDS).is_some(), "--seed {seed}: up to {MOST_SEEDS} seeds from it on are needed");
    ensure!(args.search.time_limit.is_none(), "--time-limit would make the states depend on the machine");
    // A search that has solved its problem has nothing to improve.
    let config = SearchConfig { extra_generations: 0, ..args.search.config(set.is_own_data())? };
    let instances = set.problems.iter().map(|problem| problem.instance().map(Arc::new));
    let instances = instances.collect::<Result<Vec<_>, _>>()?;
    let primitives = PrimitiveSet::new(set.params.operators.clone(), set.params.constants.clone(), 1)?;
    let name = problems.file_name().and_then(|name| name.to_str());
    let name = name.with_context(|| format!("--bank {}: the name is not UTF-8", args.bank.display()))?;
    let header = TraceHeader::of_expert(name, &primitives, &config, args.search.preset.name(), seed);
    let wanted = usize::try_from(args.states).unwrap_or(usize::MAX) / PHASES.len();
    let mut writer = TraceWriter::create(&args.bank, &header)?;
    if let Err(error) = fill(&mut writer, wanted, &instances, &config, seed).and_then(|()| Ok(set.write(problems)?)) {
        writer.discard();
        return Err(error);
    }
    writer.finish()?;
    sr_cli::write_run_file(&args.bank, &args.common, started)?;
    let states = wanted * PHASES.len();
    let text = format!("{}: {states} states of {wanted} searches", args.bank.display());
    args.common.report("sr-evaluate", started, json!({ "states": states, "searches": wanted }), &text)?;
    Ok(Exit::Ok)
}

/// Writes as many searches that last.
fn fill(
    writer: &mut TraceWriter,
    wanted: usize,
    instances: &[Arc<Instance>],
    config: &SearchConfig,
    seed: u64,
) -> anyhow::Result<()> {
    let mut written = 0;
    // By seed, so that all problems have their share.
    for run_seed in seed..seed + MOST_SEEDS {
        let search = |instance: &Arc<Instance>| -> anyhow::Result<_> {
            let mut recorder = Recorder::new(run_seed);
            let mut searches = [Search::new(instance.clone(), config.clone(), run_seed)?];
            let outcome = sr_engine::run(&mut searches, &mut Expert, std::slice::from_mut(&mut recorder)).remove(0);
            Ok((outcome.generations as usize > PHASES.len(), recorder.finish(&outcome)?))
        };
        let found = instances.par_iter().map(search).collect::<anyhow::Result<Vec<_>>>()?;
        for (_, trajectory) in found.into_iter().filter(|(lasts, _)| *lasts).take(wanted - written) {
            writer.append(&trajectory)?;
            written += 1;
        }
        if written == wanted {
            break;
        }
    }
    ensure!(written == wanted, "only {written} of {wanted} searches lasted: the problems are too easy");
    Ok(())
}

/// The problem set of a bank.
fn problems_of(bank: &Path) -> anyhow::Result<PathBuf> {
    Ok(bank.with_file_name(&TraceReader::open(bank)?.header().problems))
}

/// A state that outlives its trajectory.
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

/// The states of a bank, and the settings of the searches that they are of.
fn read(bank: &Path) -> anyhow::Result<(SearchConfig, Vec<Snapshot>)> {
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
        sr_dagger::visit(&trajectory, instance, &config, seed, |state, _, _| {
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
    Ok((config, states))
}

/// One generation of children of each state.
fn propose(policy: &mut Policy, config: &SearchConfig, states: &[Snapshot]) -> Vec<Brood> {
    match policy {
        Policy::Expert => each(&|| Expert, config, states),
        Policy::Random => each(&|| RandomTrees, config, states),
        Policy::BestOf(k) => each(&|| BestOf::new(*k), config, states),
        Policy::Learner(hybrid) => {
            let none = HashSet::new();
            let of_batch = |batch: &[Snapshot]| {
                let states: Vec<State<'_>> = batch.iter().map(|state| state.state(config, &none)).collect();
                let wanted: Vec<usize> = batch.iter().map(n_children).collect();
                let mut broods = vec![Brood::default(); batch.len()];
                sr_engine::Policy::propose(&mut **hybrid, &states, &wanted, &mut broods);
                broods
            };
            states.chunks(BATCH).flat_map(of_batch).collect()
        }
    }
}

/// As many as the search of a state wanted.
fn n_children(state: &Snapshot) -> usize {
    state.population.len().saturating_sub(1).max(1)
}

fn each<P: sr_engine::Policy>(
    policy: &(dyn Fn() -> P + Sync),
    config: &SearchConfig,
    states: &[Snapshot],
) -> Vec<Brood> {
    let none = HashSet::new();
    let of_state = |snapshot: &Snapshot| {
        let (state, wanted) = (snapshot.state(config, &none), n_children(snapshot));
        let mut policy = policy();
        let mut kept = [Brood::default()];
        if !config.unique {
            policy.propose(&[state], &[wanted], &mut kept);
            return std::mem::take(&mut kept[0]);
        }
        // As the search does: what was met before is drawn anew.
        let mut met: HashSet<u64> = snapshot.population.iter().map(|individual| individual.tree.hash64()).collect();
        for attempt in 0..ATTEMPTS {
            let missing = wanted - kept[0].len();
            let mut drawn = [Brood::default()];
            let state = State { key: state.key.draw(attempt), ..state };
            policy.propose(&[state], &[missing], &mut drawn);
            drawn[0].iter().filter(|child| met.insert(child.tree.hash64())).for_each(|child| kept[0].push(&child));
            if kept[0].len() == wanted {
                break;
            }
        }
        std::mem::take(&mut kept[0])
    };
    states.par_iter().map(of_state).collect()
}

/// What is known of the proposals of one method.
#[derive(Debug, Clone, Serialize)]
struct Measured {
    method: String,
    /// Children of all states.
    children: u64,
    /// Share of them that improve.
    improving: f64,
    /// Share of the states with a child that improves: its inverse is the expected number of generations to an improvement.
    states_improved: f64,
    /// Its 95 % Wilson interval.
    lo: f64,
    hi: f64,
    /// The same in early, middle and late states.
    by_phase: [f64; 3],
    /// Mean over the states of the decades that the best child of a generation gains, each at most 4.
    best_gain: f64,
    /// Share of the children whose form differs from the others of their state.
    distinct: f64,
    /// Share of the children of a learner that are expressions.
    well_formed: Option<f64>,
    /// States improved, relative to the expert.
    ratio: Option<f64>,
    /// By which factor it searches faster than the expert, in evaluations.
    predicted_speed_up: Option<f64>,
    seconds: f64,
}

fn measure(method: &str, states: &[Snapshot], broods: &[Brood]) -> Measured {
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
    let of_state = |(snapshot, brood): (&Snapshot, &Brood)| {
        let scored = Scorer::default().score(&snapshot.state(&config, &none), brood);
        let best = (snapshot.best.score.mse as f32, snapshot.best.expr.size());
        let mut of_state =
            OfState { children: brood.len(), improving: 0, gain: 0.0, distinct: 0, learners: 0, fallback: 0 };
        let mut forms = HashSet::new();
        for (child, scored) in brood.iter().zip(&scored) {
            let mse = scored.score.mse as f32;
            if scored.is_new && scored.score.is_valid() {
                of_state.improving += usize::from(Gain::of((mse, child.tree.size()), best).is_improvement());
                of_state.gain = of_state.gain.max(decades(mse, best.0).min(MOST_DECADES));
            }
            forms.insert(scored.form);
            of_state.learners += usize::from(child.origin == Origin::Learner);
            of_state.fallback += usize::from(child.origin == Origin::Fallback);
        }
        of_state.distinct = forms.len();
        of_state
    };
    let all: Vec<OfState> = states.par_iter().zip(broods).map(of_state).collect();
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

fn table(measured: &[Measured]) -> String {
    let headers = [
        "method",
        "improving children",
        "states improved",
        "95 % interval",
        "early",
        "middle",
        "late",
        "best gain",
        "distinct",
        "well-formed",
        "predicted speed-up",
        "seconds",
    ];
    let percent = |share: f64| format!("{:.1} %", 100.0 * share);
    let rows = measured.iter().map(|m| {
        vec![
            m.method.clone(),
            format!("{:.2} %", 100.0 * m.improving),
            percent(m.states_improved),
            format!("{:.1}–{:.1} %", 100.0 * m.lo, 100.0 * m.hi),
            percent(m.by_phase[0]),
            percent(m.by_phase[1]),
            percent(m.by_phase[2]),
            format!("{:.3}", m.best_gain),
            percent(m.distinct),
            m.well_formed.map_or("–".into(), percent),
            m.predicted_speed_up.map_or("–".into(), |speed_up| format!("{speed_up:.2}")),
            format!("{:.2}", m.seconds),
        ]
    });
    aligned(&headers, rows)
}

/// How the rate of improvements tells the speed of searches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Calibration {
    /// Speed-up = ratio of states improved to this power.
    exponent: f64,
    /// What it was fitted to.
    points: Vec<Point>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Point {
    method: String,
    /// States improved, relative to the expert.
    ratio: f64,
    /// The expert's expected running time in evaluations, relative to the method's.
    speed_up: f64,
}

/// The line through the expert, whose ratio and speed-up are 1, in logarithms: least squares.
fn fit(points: &[Point]) -> f64 {
    let logs = points.iter().map(|point| (point.ratio.ln(), point.speed_up.ln()));
    let (xy, xx) = logs.fold((0.0, 0.0), |(xy, xx), (x, y)| (xy + x * y, xx + x * x));
    xy / xx
}

fn calibrate(args: &OperatorArgs, report: &Path, measured: &[Measured], started: Instant) -> anyhow::Result<Exit> {
    #[derive(Deserialize)]
    struct Report {
        summary: Vec<sr_eval::Summary>,
    }
    let text = std::fs::read_to_string(report).with_context(|| format!("reading {}", report.display()))?;
    let report: Report = serde_json::from_str(&text).with_context(|| format!("{} is no result", report.display()))?;
    let ert = |method: &str| {
        let of_method = report.summary.iter().find(|summary| summary.method == method);
        of_method.and_then(|summary| summary.ert).with_context(|| format!("the result has no running time of {method}"))
    };
    let expert = ert("expert")?;
    let point = |m: &Measured| {
        let ratio = m.ratio.context("the expert improves no state of the bank")?;
        Ok(Point { method: m.method.clone(), ratio, speed_up: expert / ert(&m.method)? })
    };
    let points = measured[1..].iter().map(point).collect::<anyhow::Result<Vec<_>>>()?;
    let exponent = fit(&points);
    ensure!(exponent.is_finite(), "the ratios do not differ from 1");
    let lines = points.iter().map(|point| {
        let predicted = point.ratio.powf(exponent);
        vec![
            point.method.clone(),
            format!("{:.3}", point.ratio),
            format!("{:.3}", point.speed_up),
            format!("{predicted:.3}"),
        ]
    });
    let table = aligned(&["method", "ratio", "measured speed-up", "predicted"], lines);
    let calibration = Calibration { exponent, points };
    let command: Vec<String> = std::env::args().skip(1).collect();
    let text = format!("# Made by: sr-evaluate {}\n{}", command.join(" "), toml::to_string(&calibration)?);
    let out = args.out.as_ref().context("--calibrate needs --out")?;
    sr_cli::write_atomically(out, text.as_bytes())?;
    args.common.report(
        "sr-evaluate",
        started,
        json!({ "calibration": calibration }),
        &format!("{table}\nexponent {exponent:.3}"),
    )?;
    Ok(Exit::Ok)
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
}
