//! Methods × problems × seeds: who solves what, at what cost.

mod direct;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use clap::Parser;
use serde_json::json;
use sr_cli::{Common, Exit, SamplingArgs, SearchArgs};
use sr_engine::{Expert, Instance, Outcome, Search, SearchConfig, run, run_parallel};
use sr_eval::{FRESH_POINTS, Row, Tally, judge, summarise, table};
use sr_neural::{Hybrid, Learner, Mode, Per, Sampling, Share};
use sr_problems::{Problem, ProblemSet};

#[global_allocator]
static GLOBAL: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Compare methods on problems over seeds, all with the same search settings
///
/// A problem is solved when 1 - R² is at most 1e-10 on 1000 fresh points (own data: when the training MSE is at most
/// 3e-16). Intervals are 95 % Wilson intervals. Seconds are wall-clock time of the batch, shared out over its searches.
#[derive(Parser)]
#[command(version, subcommand_negates_reqs = true, args_conflicts_with_subcommands = true)]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    problems: ProblemArgs,
    /// Methods to compare: expert, NAME=expert, NAME=neural:CHECKPOINT, NAME=hybrid:CHECKPOINT, NAME=direct:CHECKPOINT
    #[arg(long, value_delimiter = ',', default_value = "expert")]
    methods: Vec<Method>,
    /// In hybrids what --neural-per says is the learner's with this probability, and else the expert's
    #[arg(long, value_name = "P", conflicts_with = "neural_every")]
    neural_prob: Option<f64>,
    /// What --neural-prob is drawn for: child, generation or search [default: child]
    #[arg(long, value_name = "WHAT", requires = "neural_prob")]
    neural_per: Option<Per>,
    /// In hybrids the learner makes every K-th generation, and the expert the others
    #[arg(long, value_name = "K")]
    neural_every: Option<u32>,
    /// Searches of each problem by each method, with the seeds SEED, SEED + 1, …
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// Searches that advance together
    #[arg(long, value_name = "B", default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..))]
    batch_size: u64,
    /// Where learners compute: cpu, ndarray or cuda
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    device: String,
    /// Also write rows and summary to this JSON file
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    search: SearchArgs,
    #[command(flatten)]
    sampling: SamplingArgs,
    #[command(flatten)]
    common: Common,
}

/// What is evaluated on.
#[derive(clap::Args)]
struct ProblemArgs {
    /// Problem set
    #[arg(long, value_name = "FILE", required_unless_present = "suite", conflicts_with = "suite")]
    problems: Option<PathBuf>,
    /// Named suite instead of a problem set
    #[arg(long, value_name = "NAME")]
    suite: Option<String>,
}

#[derive(clap::Subcommand)]
enum Command {
    Direct(Box<direct::DirectArgs>),
}

/// A named way to choose the next generation.
#[derive(Debug, Clone)]
struct Method {
    name: String,
    kind: MethodKind,
}

#[derive(Debug, Clone)]
enum MethodKind {
    Expert,
    /// A learner that sees the population.
    Neural(PathBuf),
    /// Such a one and the expert.
    Hybrid(PathBuf),
    /// One that writes formulas from the data alone.
    Direct(PathBuf),
}

impl FromStr for Method {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, kind) = text.split_once('=').unwrap_or((text, text));
        let kind = match kind.split_once(':') {
            None if kind == "expert" => MethodKind::Expert,
            Some(("neural", checkpoint)) if !checkpoint.is_empty() => MethodKind::Neural(checkpoint.into()),
            Some(("hybrid", checkpoint)) if !checkpoint.is_empty() => MethodKind::Hybrid(checkpoint.into()),
            Some(("direct", checkpoint)) if !checkpoint.is_empty() => MethodKind::Direct(checkpoint.into()),
            _ => return Err("expected expert, NAME=expert, NAME=neural:CHECKPOINT, NAME=hybrid:CHECKPOINT or NAME=direct:CHECKPOINT".into()),
        };
        Ok(Method { name: name.into(), kind })
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    sr_cli::run(|| match &args.command {
        Some(Command::Direct(args)) => direct::run(args),
        None => real_main(&args),
    })
}

fn real_main(args: &Args) -> anyhow::Result<Exit> {
    let started = Instant::now();
    args.common.init()?;
    let config = args.search.config()?;
    let set = args.problems.read(args.common.seed)?;
    // Everything that can be wrong is found before the first search.
    sr_model::open(args.device.parse()?)?;
    let learns = args.methods.iter().any(|method| !matches!(method.kind, MethodKind::Expert));
    ensure!(learns || !args.sampling.distinct, "--distinct says nothing without a learner among the --methods");
    ensure!(
        learns || args.sampling.condition.is_none(),
        "--condition says nothing without a learner among the --methods"
    );
    let is_hybrid = args.methods.iter().any(|method| matches!(method.kind, MethodKind::Hybrid(_)));
    let is_shared = args.neural_prob.is_some() || args.neural_every.is_some();
    ensure!(is_hybrid || !is_shared, "--neural-prob and --neural-every are for hybrids among the --methods");
    let mut policies =
        args.methods.iter().map(|method| Policy::new(method, args)).collect::<anyhow::Result<Vec<_>>>()?;
    let items = items(&set, args)?;

    let progress = args.common.progress((items.len() * policies.len()) as u64, "searches");
    let mut rows = Vec::new();
    for (method, policy) in args.methods.iter().zip(&mut policies) {
        for batch in items.chunks(args.batch_size as usize) {
            rows.extend(evaluate(&method.name, policy, batch, &config)?);
            progress.inc(batch.len() as u64);
        }
    }
    progress.finish_and_clear();

    let summary = summarise(&rows);
    let result = json!({ "rows": rows, "summary": summary });
    if let Some(out) = &args.out {
        sr_cli::write_atomically(out, serde_json::to_string_pretty(&result)?.as_bytes())?;
        sr_cli::write_run_file(out, &args.common, started)?;
    }
    args.common.report("sr-evaluate", started, result, &table(&summary))?;
    Ok(Exit::Ok)
}

impl ProblemArgs {
    fn read(&self, seed: u64) -> anyhow::Result<ProblemSet> {
        let set = match (&self.problems, &self.suite) {
            (Some(path), _) => ProblemSet::read(path)?,
            (None, Some(name)) => sr_problems::suite(name, seed)?,
            (None, None) => bail!("--problems or --suite is needed"),
        };
        ensure!(!set.problems.is_empty(), "there are no problems");
        Ok(set)
    }
}

/// The learner of a checkpoint.
fn load(checkpoint: &Path, device: &str, args: &SamplingArgs) -> anyhow::Result<Learner> {
    let device = sr_model::open(device.parse()?)?;
    let SamplingArgs { temperature, top_k, top_p, distinct, max_child_size, max_batch_tokens, condition, .. } =
        args.clone();
    let grammar = args.grammar()?;
    let sampling =
        Sampling { temperature, top_k, top_p, distinct, max_child_size, max_batch_tokens, condition, grammar };
    let learner = Learner::load(checkpoint, &device, sampling)
        .with_context(|| format!("loading the checkpoint {}", checkpoint.display()))?;
    args.check_mode(learner.mode().name())?;
    Ok(learner)
}

/// One search to do.
struct Item<'a> {
    problem: &'a Problem,
    instance: Arc<Instance>,
    seed: u64,
}

fn items<'a>(set: &'a ProblemSet, args: &Args) -> anyhow::Result<Vec<Item<'a>>> {
    let mut items = Vec::new();
    for problem in &set.problems {
        let instance = Arc::new(problem.instance().with_context(|| format!("problem {}", problem.id))?);
        let seeds = (0..args.seeds).map(|run| args.common.seed.wrapping_add(run));
        items.extend(seeds.map(|seed| Item { problem, instance: instance.clone(), seed }));
    }
    Ok(items)
}

enum Policy {
    Expert,
    Learner(Box<Hybrid>),
}

impl Policy {
    fn new(method: &Method, args: &Args) -> anyhow::Result<Self> {
        let (checkpoint, is_direct) = match &method.kind {
            MethodKind::Expert => return Ok(Policy::Expert),
            MethodKind::Neural(checkpoint) | MethodKind::Hybrid(checkpoint) => (checkpoint, false),
            MethodKind::Direct(checkpoint) => (checkpoint, true),
        };
        let learner = load(checkpoint, &args.device, &args.sampling)?;
        let (name, mode) = (&method.name, learner.mode());
        if is_direct != (mode == Mode::Direct) {
            let (kind, path) = (if is_direct { "neural" } else { "direct" }, checkpoint.display());
            bail!("{path}: the checkpoint was trained for mode {}; name it {name}={kind}:{path}", mode.name());
        }
        // A learner alone has every generation.
        let share = match method.kind {
            MethodKind::Hybrid(_) => Share::of_flags(args.neural_prob, args.neural_per, args.neural_every)?,
            _ => Some(Share::EveryKth(1)),
        };
        let share = share.with_context(|| format!("{name}: a hybrid needs --neural-prob or --neural-every"))?;
        Ok(Policy::Learner(Box::new(Hybrid::new(learner, share))))
    }
}

/// Searches a batch with one method and judges what was found.
fn evaluate(method: &str, policy: &mut Policy, items: &[Item<'_>], config: &SearchConfig) -> anyhow::Result<Vec<Row>> {
    let started = Instant::now();
    let mut searches = items
        .iter()
        .map(|item| Search::new(item.instance.clone(), config.clone(), item.seed))
        .collect::<Result<Vec<_>, _>>()?;
    let mut tallies = vec![Tally::default(); items.len()];
    let outcomes = match policy {
        Policy::Expert => run_parallel(&mut searches, || Expert, &mut tallies),
        Policy::Learner(learner) => {
            let outcomes = run(&mut searches, &mut **learner, &mut tallies);
            if let Some(error) = learner.learner().error() {
                bail!("the learner of {method} failed: {error}");
            }
            outcomes
        }
    };
    let seconds = started.elapsed().as_secs_f64() / items.len() as f64;
    let row = |((item, outcome), tally): ((&Item<'_>, &Outcome), &Tally)| {
        let winner = outcome.winner();
        let fresh = item.problem.fresh_points(FRESH_POINTS, 0);
        let fresh = fresh.as_ref().map(|(x, y)| (x, &y[..]));
        let verdict = judge(winner.tree(), config.semantics, winner.score.mse, fresh);
        Row {
            method: method.into(),
            problem: item.problem.id.clone(),
            seed: item.seed,
            solved: verdict.solved,
            mse_train: winner.score.is_valid().then_some(winner.score.mse),
            r2_test: verdict.r2.filter(|r2| r2.is_finite()),
            generations: outcome.generations,
            evaluations: outcome.evaluations.search,
            generations_to_solve: outcome.generations_to_solve,
            evaluations_to_solve: outcome.evaluations_to_solve,
            seconds,
            size: winner.expr.size(),
            expression: winner.expr.to_string(),
            well_formed: tally.well_formed,
            fallback: tally.fallback,
            children: tally.children,
            distinct: tally.distinct,
        }
    };
    Ok(items.iter().zip(&outcomes).zip(&tallies).map(row).collect())
}
