//! Searches every problem of a set and records the trajectories.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use clap::Parser;
use rayon::prelude::*;
use serde_json::json;
use sr_cli::{Common, Exit, SamplingArgs, SearchArgs, Shard};
use sr_engine::{Expert, Instance, Origin, Outcome, PrimitiveSet, Search, SearchConfig, run, run_parallel_until};
use sr_neural::{Hybrid, Per, Share};
use sr_problems::ProblemSet;
use sr_trace::{Packed, Policy, Record, Recorder, SamplingCounts, SamplingSettings, TraceHeader, TraceWriter};

#[global_allocator]
static GLOBAL: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Records are handed to the operating system this often, and after each batch that takes longer. A kill loses what came
/// since, and the batch that is being searched.
const FLUSH_EVERY: Duration = Duration::from_millis(50);

/// Search the problems of a set and record every generation as a trace
///
/// Equal flags give equal trace files, whatever --threads, --batch-size and --shard are. What differs between equal
/// runs (time, host, command line) goes to OUT.run.json.
///
/// Ctrl-C finishes the searches that have begun (with a learner the batch) and exits with 130; a second Ctrl-C stops at
/// once. After either, a kill or a full disk, the same command with --resume goes on, to the bytes of an undisturbed run.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Problem set
    #[arg(long, value_name = "FILE")]
    problems: PathBuf,
    /// Who proposes the next generation
    #[arg(long, value_enum, default_value = "expert")]
    policy: PolicyArg,
    /// Checkpoint folder of the learner
    #[arg(long, value_name = "DIR", required_if_eq_any([("policy", "neural"), ("policy", "hybrid")]))]
    checkpoint: Option<PathBuf>,
    /// With --policy hybrid what --neural-per says is the learner's with this probability, and else the expert's
    #[arg(long, value_name = "P", conflicts_with = "neural_every")]
    neural_prob: Option<f64>,
    /// What --neural-prob is drawn for: child, generation or search [default: child]
    #[arg(long, value_name = "WHAT", requires = "neural_prob")]
    neural_per: Option<Per>,
    /// With --policy hybrid the learner makes every K-th generation, and the expert the others
    #[arg(long, value_name = "K")]
    neural_every: Option<u32>,
    /// Where the learner computes: cpu, ndarray or cuda
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    device: String,
    /// Operators instead of the problem file's: arith, full, or a list such as "+,*,sin"
    #[arg(long, value_name = "LIST")]
    operators: Option<String>,
    /// Constants instead of the problem file's, such as "1.0,2.5"; "" for none
    #[arg(long, value_name = "LIST", allow_hyphen_values = true)]
    constants: Option<String>,
    /// Search the first N problems only
    #[arg(long, value_name = "N")]
    max_problems: Option<usize>,
    /// Searches of each problem, with the seeds SEED, SEED + 1, …
    #[arg(long, value_name = "R", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    runs: u64,
    /// Searches that advance together: one model call a generation serves them all
    #[arg(long, value_name = "B", default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..))]
    batch_size: u64,
    /// Do part I of N only; the parts merge to the bytes of one run
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    /// Continue an interrupted run of the same flags from OUT.partial; a new one is begun if there is none
    #[arg(long)]
    resume: bool,
    /// Also search one by one, and print both times and whether the results are equal
    #[arg(long)]
    compare_sequential: bool,
    /// Trace file to write [default: named after policy, generations and problems]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    search: SearchArgs,
    #[command(flatten)]
    sampling: SamplingArgs,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum PolicyArg {
    /// Genetic programming
    Expert,
    /// The learner of --checkpoint
    Neural,
    /// Both, see --neural-prob and --neural-every
    Hybrid,
}

fn main() -> ExitCode {
    let args = Args::parse();
    sr_cli::run(|| real_main(&args))
}

impl Args {
    /// The learner's share of a hybrid search.
    fn share(&self) -> anyhow::Result<Option<Share>> {
        let share = Share::of_flags(self.neural_prob, self.neural_per, self.neural_every)?;
        match self.policy {
            PolicyArg::Hybrid => ensure!(share.is_some(), "--policy hybrid needs --neural-prob or --neural-every"),
            _ => ensure!(share.is_none(), "--neural-prob and --neural-every are for --policy hybrid"),
        }
        Ok(share)
    }
}

/// One search to do.
struct Item {
    instance: Arc<Instance>,
    seed: u64,
}

fn real_main(args: &Args) -> anyhow::Result<Exit> {
    let started = Instant::now();
    args.common.init()?;
    ensure!(
        args.policy != PolicyArg::Expert || !args.sampling.distinct,
        "--distinct says nothing with --policy expert"
    );
    ensure!(
        args.policy != PolicyArg::Expert || args.sampling.condition.is_none(),
        "--condition says nothing with --policy expert"
    );
    let set = ProblemSet::read(&args.problems)?;
    let config = args.search.config(set.is_own_data())?;
    let (items, primitives) = items(args, &set)?;
    let mut searcher = Searcher::new(args)?;
    let out = args.out.clone().unwrap_or_else(|| default_name(args, &config));
    let header = TraceHeader {
        policy: match args.policy {
            PolicyArg::Expert => Policy::Expert,
            PolicyArg::Neural => Policy::Neural,
            PolicyArg::Hybrid => Policy::Hybrid,
        },
        checkpoint: searcher.checkpoint_id(),
        sampling: searcher.settings(args)?,
        ..TraceHeader::of_expert(
            &file_name(&args.problems),
            &primitives,
            &config,
            args.search.preset.name(),
            args.common.seed,
        )
    };
    if args.resume && out.exists() {
        sr_cli::out(&format!("{} is complete, nothing is left to do", out.display()))?;
        return Ok(Exit::Ok);
    }
    let (mut writer, done) =
        if args.resume { TraceWriter::resume(&out, &header)? } else { (TraceWriter::create(&out, &header)?, 0) };
    let left = items.get(done as usize..).unwrap_or_default();
    let stop = sr_cli::on_interrupt(match args.policy {
        PolicyArg::Expert => "the current searches",
        PolicyArg::Neural | PolicyArg::Hybrid => "the current batch",
    })?;
    let kept = |records: u64| format!("after {records} of {} searches, from which --resume goes on", items.len());

    let progress = args.common.progress(items.len() as u64, "searches");
    progress.inc(done);
    let mut total = Totals::default();
    let mut flushed: Option<Instant> = None;
    for batch in left.chunks(args.batch_size as usize) {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let (records, time) = searcher.search(batch, &config, stop)?;
        let count = records.len() as u64;
        if args.compare_sequential {
            let one_by_one = Instant::now();
            for (item, expected) in batch.iter().zip(&records) {
                let (alone, _) = searcher.search(std::slice::from_ref(item), &config, &AtomicBool::new(false))?;
                total.differing += u64::from(alone[0] != *expected);
            }
            total.sequential += one_by_one.elapsed();
        }
        total.batched += time;
        records.iter().for_each(|record| total.add(record));
        let packed: Vec<Packed> = records.into_par_iter().map(|record| record.pack(&header)).collect();
        for record in &packed {
            writer.append_packed(record).with_context(|| kept(writer.records()))?;
        }
        if flushed.is_none_or(|at| at.elapsed() >= FLUSH_EVERY) {
            writer.flush().with_context(|| kept(writer.records()))?;
            flushed = Some(Instant::now());
        }
        progress.inc(count);
    }
    progress.finish_and_clear();
    let records = writer.records();
    if records < items.len() as u64 {
        writer.flush().with_context(|| kept(records))?;
        return Ok(sr_cli::stopped(&kept(records)));
    }
    writer.finish().with_context(|| kept(records))?;
    sr_cli::write_run_file(&out, &args.common, started)?;
    total.report(args, started, &out, left.len(), searcher.legal_mass())
}

/// The searches of this run, in the order of their records, and the primitives for the header.
fn items(args: &Args, set: &ProblemSet) -> anyhow::Result<(Vec<Item>, PrimitiveSet)> {
    let operators = args.operators.as_deref().map(sr_problems::parse_operators).transpose()?;
    let constants = args.constants.as_deref().map(sr_problems::parse_constants).transpose()?;
    ensure!(!set.problems.is_empty(), "{} holds no problems", args.problems.display());
    let mut items = Vec::new();
    for (index, problem) in set.problems.iter().enumerate().take(args.max_problems.unwrap_or(usize::MAX)) {
        if args.shard.is_some_and(|shard| !shard.holds(index)) {
            continue;
        }
        let mut problem = problem.clone();
        problem.operators = operators.clone().unwrap_or(problem.operators);
        problem.constants = constants.clone().unwrap_or(problem.constants);
        let instance = problem.instance().with_context(|| format!("problem {}", problem.id))?;
        let instance = Arc::new(instance);
        let item = |run| Item { instance: instance.clone(), seed: args.common.seed.wrapping_add(run) };
        items.extend((0..args.runs).map(item));
    }
    let primitives = PrimitiveSet::new(
        operators.unwrap_or_else(|| set.params.operators.clone()),
        constants.unwrap_or_else(|| set.params.constants.clone()),
        1, // the header names operators and constants; variables are the problems' own
    )?;
    Ok((items, primitives))
}

/// Runs batches of searches with the policy of the command line.
enum Searcher {
    Expert,
    Neural { hybrid: Box<Hybrid>, id: String },
}

impl Searcher {
    fn new(args: &Args) -> anyhow::Result<Self> {
        sr_model::open(args.device.parse()?)?; // also without a learner a device has to be there
        let share = args.share()?;
        let Some(folder) = args.checkpoint.as_ref().filter(|_| args.policy != PolicyArg::Expert) else {
            return Ok(Searcher::Expert);
        };
        let learner = sr_neural::flags::load(folder, &args.device, &args.sampling)?;
        let id = sr_neural::checkpoint_id(folder)?;
        // A learner alone has every generation.
        let hybrid = Hybrid::new(learner, share.unwrap_or(Share::EveryKth(1)));
        Ok(Searcher::Neural { hybrid: Box::new(hybrid), id })
    }

    fn checkpoint_id(&self) -> Option<String> {
        match self {
            Searcher::Expert => None,
            Searcher::Neural { id, .. } => Some(id.clone()),
        }
    }

    /// How the learner is sampled.
    fn settings(&self, args: &Args) -> anyhow::Result<Option<SamplingSettings>> {
        match self {
            Searcher::Expert => Ok(None),
            Searcher::Neural { hybrid, .. } => {
                sr_neural::flags::settings(&args.sampling, hybrid.learner(), args.share()?).map(Some)
            }
        }
    }

    /// The mean share of probability that the learner gave to what the grammar allowed.
    fn legal_mass(&self) -> Option<f64> {
        match self {
            Searcher::Expert => None,
            Searcher::Neural { hybrid, .. } => hybrid.learner().written().legal_mass(),
        }
    }

    /// The records of a batch, in order, and the time that the searches took.
    /// Once `stop` is true the expert begins no further search, and only the first ones have a record.
    fn search(
        &mut self,
        items: &[Item],
        config: &SearchConfig,
        stop: &AtomicBool,
    ) -> anyhow::Result<(Vec<Record>, Duration)> {
        let started = Instant::now();
        let mut searches = items
            .par_iter()
            .map(|item| Search::new(item.instance.clone(), config.clone(), item.seed))
            .collect::<Result<Vec<_>, _>>()?;
        let mut recorders: Vec<Recorder> = items.iter().map(|item| Recorder::new(item.seed)).collect();
        let outcomes: Vec<Outcome> = match self {
            Searcher::Expert => run_parallel_until(&mut searches, || Expert, &mut recorders, stop),
            Searcher::Neural { hybrid, .. } => {
                let outcomes = run(&mut searches, &mut **hybrid, &mut recorders);
                if let Some(error) = hybrid.learner().error() {
                    bail!("the learner failed: {error}");
                }
                outcomes
            }
        };
        let time = started.elapsed();
        let is_neural = matches!(self, Searcher::Neural { .. });
        let finish = |(recorder, outcome): (Recorder, &Outcome)| {
            let mut record = recorder.record(outcome)?;
            if is_neural {
                record.set_sampling(sampling_counts(&record));
            }
            Ok(record)
        };
        Ok((recorders.into_iter().zip(&outcomes).map(finish).collect::<anyhow::Result<_>>()?, time))
    }
}

fn sampling_counts(record: &Record) -> SamplingCounts {
    let children = record.children();
    let (well_formed, fallback) = (children[Origin::Learner as usize], children[Origin::Fallback as usize]);
    SamplingCounts { well_formed, fallback, children: well_formed + fallback }
}

/// What a run adds up to.
#[derive(Default)]
struct Totals {
    children: u64,
    evaluations: u64,
    solved: u64,
    well_formed: u64,
    fallback: u64,
    batched: Duration,
    sequential: Duration,
    differing: u64,
}

impl Totals {
    fn add(&mut self, record: &Record) {
        let children = record.children();
        self.children += children.iter().sum::<u64>() - children[Origin::Elite as usize];
        self.evaluations += record.evaluations().search;
        self.solved += u64::from(matches!(record.stop(), sr_engine::StopReason::Solved { .. }));
        let counts = record.sampling().unwrap_or_default();
        self.well_formed += counts.well_formed;
        self.fallback += counts.fallback;
    }

    fn report(
        &self,
        args: &Args,
        started: Instant,
        out: &Path,
        searches: usize,
        legal_mass: Option<f64>,
    ) -> anyhow::Result<Exit> {
        let problems = searches as u64 / args.runs;
        let rate = self.children as f64 / self.batched.as_secs_f64().max(1e-9);
        let mut result = json!({
            "problems": problems,
            "searches": searches,
            "children": self.children,
            "evaluations": self.evaluations,
            "children_per_second": rate.round(),
            "well_formed": self.well_formed,
            "fallback": self.fallback,
            "legal_mass": legal_mass,
            "stopped_solved": self.solved,
            "out": out.display().to_string(),
        });
        let mut text = format!(
            "{searches} searches of {problems} problems: {} children, {:.0} children/s, {} evaluations, {} stopped as solved\n",
            self.children, rate, self.evaluations, self.solved
        );
        if args.policy != PolicyArg::Expert {
            let share = 100.0 * self.well_formed as f64 / (self.well_formed + self.fallback).max(1) as f64;
            text += &format!("well-formed {share:.1} % ({} children), fallback {}\n", self.well_formed, self.fallback);
            if args.sampling.grammar == sr_cli::Switch::On {
                let mass = legal_mass.unwrap_or(1.0);
                text +=
                    &format!("legal mass {mass:.4}: probability of a token that the grammar allows, before it does\n");
            }
        }
        if args.compare_sequential {
            let speed_up = self.sequential.as_secs_f64() / self.batched.as_secs_f64().max(1e-9);
            result["sequential_seconds"] = json!(sr_cli::seconds(self.sequential));
            result["batched_seconds"] = json!(sr_cli::seconds(self.batched));
            result["speed_up"] = json!(speed_up);
            result["differing"] = json!(self.differing);
            text += &format!(
                "batched {:.2} s, one by one {:.2} s: {speed_up:.2} times as fast; {} of {searches} trajectories differ\n",
                self.batched.as_secs_f64(),
                self.sequential.as_secs_f64(),
                self.differing
            );
        }
        text += &format!("trace: {}", out.display());
        args.common.report("sr-search", started, result, &text)?;
        Ok(if self.differing == 0 { Exit::Ok } else { Exit::Negative })
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn default_name(args: &Args, config: &SearchConfig) -> PathBuf {
    let policy = match args.policy {
        PolicyArg::Expert => "",
        PolicyArg::Neural => "neural_",
        PolicyArg::Hybrid => "hybrid_",
    };
    let problems = args.problems.file_stem().unwrap_or_default().to_string_lossy();
    let generations = match config.generations {
        n if n >= 1000 && n % 1000 == 0 => format!("{}k", n / 1000),
        n => n.to_string(),
    };
    PathBuf::from(format!("{policy}gen{generations}_{problems}_trace.sr"))
}
