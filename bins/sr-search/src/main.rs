//! Searches every problem of a set and records the trajectories.

mod report;

use std::ffi::OsString;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use clap::Parser;
use rayon::prelude::*;
use serde_json::{Value, json};
use sr_cli::output::{seed_in_name, short_number, with_ending};
use sr_cli::{Claim, Common, Exit, Given, OutputArgs, SamplingArgs, SearchArgs, Shard};
use sr_engine::{
    Expert, Generation, Instance, Observer, Origin, Outcome, PrimitiveSet, Search, SearchConfig, run_parallel_until,
    run_until,
};
use sr_eval::Tally;
use sr_neural::{Hybrid, Per, Share};
use sr_problems::{Problem, ProblemSet};
use sr_trace::{
    Packed, Policy, Record, Recorder, SamplingCounts, SamplingSettings, TraceHeader, TraceReader, TraceWriter,
};

use crate::report::{Found, Totals};

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
/// Ctrl-C ends after the current generation and exits with 130; searches that are not done then are done again later. A
/// second Ctrl-C stops at once. After either, a kill or a full disk, the same command with --resume goes on, to the bytes
/// of an undisturbed run. A kill loses the searches of --batch-size at most.
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
    #[arg(long, value_name = "WHAT", requires = "neural_prob", conflicts_with = "neural_every")]
    neural_per: Option<Per>,
    /// With --policy hybrid the learner makes every K-th generation, and the expert the others
    #[arg(long, value_name = "K")]
    neural_every: Option<u32>,
    /// Where the learner computes: cpu, ndarray or cuda
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    device: String,
    /// Operators instead of the problem file's: arith, full, or a list such as "+,*,sin"
    #[arg(long, value_name = "LIST", allow_hyphen_values = true)]
    operators: Option<String>,
    /// Constants instead of the problem file's, such as "1.0,2.5"; "" for none
    #[arg(long, value_name = "LIST", allow_hyphen_values = true)]
    constants: Option<String>,
    /// Search the first N problems only
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    max_problems: Option<u64>,
    /// Searches of each problem, with the seeds SEED, SEED + 1, …
    #[arg(long, value_name = "R", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    runs: u64,
    /// Searches that advance together: one model call a generation serves them all
    #[arg(long, value_name = "B", default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..))]
    batch_size: u64,
    /// Do part I of N only; the parts merge to the bytes of one run
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    /// Continue an interrupted run of the same flags from OUT.partial; a new one is begun if there is none, and nothing is
    /// done if OUT is the finished trace of this command. Other settings or other problems are an error
    #[arg(long, conflicts_with = "force")]
    resume: bool,
    /// Also search one by one, and print both times and whether the results are equal
    #[arg(long)]
    compare_sequential: bool,
    /// Trace file to write [default: named after policy, generations and problems, such as gen1k_arith_1k_c05, with seed and
    /// shard, and six digits for settings that are not the default]
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
    let (args, given) = sr_cli::parse::<Args>();
    sr_cli::run(|| real_main(&args, &given))
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

    /// Refuses flags that would do nothing.
    fn check_flags(&self, given: &Given) -> anyhow::Result<()> {
        if self.policy == PolicyArg::Expert {
            let why = "with --policy expert";
            given.refuse(&["checkpoint", "device"], why)?;
            given.refuse_all::<SamplingArgs>(why)?;
        }
        let last = self.common.seed.checked_add(self.runs - 1);
        ensure!(last.is_some(), "--runs {}: seeds from {} on end before", self.runs, self.common.seed);
        Ok(())
    }
}

/// One search to do.
struct Item {
    problem: Arc<Problem>,
    instance: Arc<Instance>,
    seed: u64,
}

fn real_main(args: &Args, given: &Given) -> anyhow::Result<Exit> {
    let started = Instant::now();
    args.common.init()?;
    args.check_flags(given)?;
    let set = ProblemSet::read(&args.problems)?;
    let config = match args.policy {
        PolicyArg::Expert => args.search.expert_config(set.is_own_data())?,
        PolicyArg::Neural | PolicyArg::Hybrid => args.search.config(set.is_own_data())?,
    };
    let (items, primitives) = items(args, &set)?;
    let mut searcher = Searcher::new(args)?;
    let out = args.out.clone().unwrap_or_else(|| default_name(args, given, &config));
    let header = TraceHeader {
        policy: match args.policy {
            PolicyArg::Expert => Policy::Expert,
            PolicyArg::Neural => Policy::Neural,
            PolicyArg::Hybrid => Policy::Hybrid,
        },
        checkpoint: searcher.checkpoint_id(),
        sampling: searcher.settings(args)?,
        ..TraceHeader::of_expert(
            file_name(&args.problems)?,
            &primitives,
            &config,
            args.search.preset.name(),
            args.common.seed,
        )
    };
    if let Searcher::Neural { hybrid, .. } = &searcher {
        let problems = items.iter().map(|item| (item.instance.id(), item.instance.x().n_columns()));
        sr_neural::flags::check_problems(hybrid.learner(), problems)?;
    }
    let output = Claim::file(&out)
        .also([".partial.run.json"])
        .inputs(std::iter::once(&args.problems).chain(&args.checkpoint))
        .may_exist(args.output.force || args.resume)
        .unfinished(".partial", args.output.force || args.resume)
        .take()?;
    let settings = settings(args, &set);
    if args.resume && output.existed() {
        check_finished(&out, &header, &settings, &items)?;
        sr_cli::out(&format!("{} is complete, nothing is left to do", out.display()))?;
        return Ok(Exit::Ok);
    }
    let partial = with_ending(&out, ".partial");
    if args.resume
        && partial.exists()
        && let Some(made) = sr_cli::settings_of(&partial)?
    {
        sr_cli::check_made_alike(&partial, &made, &settings)?;
    }
    let (mut writer, done) =
        if args.resume { TraceWriter::resume(&out, &header)? } else { (TraceWriter::create(&out, &header)?, 0) };
    if done > 0 {
        check_records(&mut TraceReader::open(&partial)?, &partial, done, &items)?;
    }
    let stop = sr_cli::on_interrupt("the current generation")?;
    // What the partial file does not tell of itself, for a resumption to compare. Where it cannot be written, nor can
    // records, which is told then.
    sr_cli::write_run_file_with(&partial, &args.common, started, &settings).ok();
    let left = items.get(done as usize..).unwrap_or_default();
    let names = set.variable_names().unwrap_or_default();
    let kept = |records: u64| format!("after {records} of {} searches, from which --resume goes on", items.len());

    let progress = args.common.progress(items.len() as u64, "searches");
    progress.inc(done);
    let mut total = Totals::default();
    let mut flushed: Option<Instant> = None;
    let searched = left.chunks(args.batch_size as usize).try_for_each(|batch| -> anyhow::Result<()> {
        if stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        let Batch { records, found, time } = searcher.search(batch, &config, names, stop)?;
        let count = records.len() as u64;
        if args.compare_sequential {
            let one_by_one = Instant::now();
            for (item, batched) in batch.iter().zip(records.iter().zip(&found)) {
                let item = std::slice::from_ref(item);
                let alone = searcher.search(item, &config, names, &AtomicBool::new(false))?;
                let (found, _) = &batched.1;
                total.compare((batched.0, found), (&alone.records[0], &alone.found[0].0));
            }
            total.sequential += one_by_one.elapsed();
        }
        total.batched += time;
        records.iter().zip(found).for_each(|(record, (found, tally))| total.add(record, found, tally));
        let packed: Vec<Packed> = records.into_par_iter().map(|record| record.pack(&header)).collect();
        for record in &packed {
            writer.append_packed(record).with_context(|| kept(writer.records()))?;
        }
        if flushed.is_none_or(|at| at.elapsed() >= FLUSH_EVERY) {
            writer.flush().with_context(|| kept(writer.records()))?;
            flushed = Some(Instant::now());
        }
        progress.inc(count);
        Ok(())
    });
    if let Err(error) = searched {
        // There is nothing to go on from.
        if writer.records() == 0 {
            writer.discard();
            remove_settings(&partial);
        }
        return Err(error);
    }
    progress.finish_and_clear();
    let records = writer.records();
    if records < items.len() as u64 {
        writer.flush().with_context(|| kept(records))?;
        return Ok(sr_cli::stopped(&kept(records)));
    }
    writer.finish().with_context(|| kept(records))?;
    sr_cli::write_run_file_with(&out, &args.common, started, &settings)?;
    remove_settings(&partial);
    total.report(args, &config, started, &out, searcher.legal_mass())
}

/// What decides which searches a trace has beside its header: it stands in the run file, so that traces of equal searches
/// have equal bytes.
fn settings(args: &Args, set: &ProblemSet) -> Value {
    json!({
        "problems": format!("{} problems {:016x}", set.problems.len(), set.fingerprint()),
        "operators": args.operators,
        "constants": args.constants,
        "max_problems": args.max_problems,
        "runs": args.runs,
        "shard": args.shard.map(|shard| shard.to_string()),
    })
}

/// The run file of what is not finished.
fn remove_settings(partial: &Path) {
    std::fs::remove_file(with_ending(partial, ".run.json")).ok();
}

/// Fails unless a finished trace is what this command would make.
fn check_finished(out: &Path, header: &TraceHeader, settings: &Value, items: &[Item]) -> anyhow::Result<()> {
    let mut reader = TraceReader::open(out)?;
    sr_cli::check_made_alike(out, &serde_json::to_value(reader.header())?, &serde_json::to_value(header)?)?;
    match sr_cli::settings_of(out)? {
        Some(made) => sr_cli::check_made_alike(out, &made, settings)?,
        None => tracing::warn!(
            "{} has no run file: its problems, seeds and errors are compared instead, record by record",
            out.display()
        ),
    }
    let Some(records) = reader.stated_records() else {
        bail!("{}: cut short; delete it, or begin anew with --force in place of --resume", out.display());
    };
    check_records(&mut reader, out, records, items)?;
    let records = json!({ "searches": records });
    sr_cli::check_made_alike(out, &records, &json!({ "searches": items.len() }))
}

/// Fails unless the first records of a trace are of these searches: problem, seed, primitives and points.
fn check_records(reader: &mut TraceReader, path: &Path, records: u64, items: &[Item]) -> anyhow::Result<()> {
    let config = reader.header().engine.clone();
    for (record, item) in (0..records).zip(items) {
        let Some(trajectory) = reader.next_trajectory()? else { break };
        let made = json!({ "problem": trajectory.problem_id, "seed": trajectory.seed });
        let asked = json!({ "problem": item.instance.id(), "seed": item.seed });
        let told = || format!("{}: record {record} (counted from 0)", path.display());
        sr_cli::check_made_alike(path, &made, &asked).with_context(told)?;
        ensure!(
            trajectory.primitives == *item.instance.primitives(),
            "{} was made with other settings: other operators or constants of problem {:?}",
            path.display(),
            item.instance.id()
        );
        trajectory.check_searched(&item.instance, &config).with_context(told)?;
    }
    Ok(())
}

/// The searches of this run, in the order of their records, and the primitives for the header.
fn items(args: &Args, set: &ProblemSet) -> anyhow::Result<(Vec<Item>, PrimitiveSet)> {
    let operators = args.operators.as_deref().map(sr_problems::parse_operators).transpose()?;
    let constants = args.constants.as_deref().map(sr_problems::parse_constants).transpose()?;
    ensure!(!set.problems.is_empty(), "{} holds no problems", args.problems.display());
    let most = args.max_problems.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX));
    let mut items = Vec::new();
    for (index, problem) in set.problems.iter().enumerate().take(most) {
        if args.shard.is_some_and(|shard| !shard.holds(index)) {
            continue;
        }
        let mut problem = problem.clone();
        problem.operators = operators.clone().unwrap_or(problem.operators);
        problem.constants = constants.clone().unwrap_or(problem.constants);
        let instance = problem.instance().with_context(|| format!("problem {}", problem.id))?;
        let (problem, instance) = (Arc::new(problem), Arc::new(instance));
        let item = |run| Item { problem: problem.clone(), instance: instance.clone(), seed: args.common.seed + run };
        items.extend((0..args.runs).map(item));
    }
    let primitives = PrimitiveSet::new(
        operators.unwrap_or_else(|| set.params.operators.clone()),
        constants.unwrap_or_else(|| set.params.constants.clone()),
        1, // the header names operators and constants; variables are the problems' own
    )?;
    Ok((items, primitives))
}

/// The searches of a batch that ended, in order.
struct Batch {
    records: Vec<Record>,
    found: Vec<(Found, Option<Tally>)>,
    /// What the searches took together.
    time: Duration,
}

/// Records a search and, of a learner's, counts its children.
struct Watch {
    recorder: Recorder,
    tally: Option<Tally>,
}

impl Observer for Watch {
    fn on_generation(&mut self, generation: &Generation<'_>) -> ControlFlow<()> {
        if let Some(tally) = &mut self.tally {
            let _ = tally.on_generation(generation); // it never stops a search
        }
        self.recorder.on_generation(generation)
    }
}

/// Runs batches of searches with the policy of the command line.
enum Searcher {
    Expert,
    Neural { hybrid: Box<Hybrid>, id: String },
}

impl Searcher {
    fn new(args: &Args) -> anyhow::Result<Self> {
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

    /// The records of a batch, in order, and the time that the searches took. Once `stop` is true every search ends, and
    /// only the first ones that were done have a record.
    fn search(
        &mut self,
        items: &[Item],
        config: &SearchConfig,
        names: &[String],
        stop: &AtomicBool,
    ) -> anyhow::Result<Batch> {
        let started = Instant::now();
        let mut searches = items
            .par_iter()
            .map(|item| Search::new_until(item.instance.clone(), config.clone(), item.seed, Some(stop)))
            .collect::<Result<Vec<_>, _>>()?;
        let is_neural = matches!(self, Searcher::Neural { .. });
        let watch = |item: &Item| Watch { recorder: Recorder::new(item.seed), tally: is_neural.then(Tally::default) };
        let mut watches: Vec<Watch> = items.iter().map(watch).collect();
        let outcomes: Vec<Outcome> = match self {
            Searcher::Expert => run_parallel_until(&mut searches, || Expert, &mut watches, stop),
            Searcher::Neural { hybrid, .. } => {
                let outcomes = run_until(&mut searches, &mut **hybrid, &mut watches, stop);
                if let Some(error) = hybrid.learner().error() {
                    bail!("the learner failed: {error}");
                }
                outcomes
            }
        };
        let time = started.elapsed();
        let finish = |((watch, outcome), item): ((Watch, &Outcome), &Item)| {
            let mut record = watch.recorder.record(outcome)?;
            if is_neural {
                record.set_sampling(sampling_counts(&record));
            }
            Ok((record, (Found::new(item, outcome, names), watch.tally)))
        };
        // A trace holds whole searches in their order.
        let done: Vec<&Outcome> = outcomes.iter().take_while(|outcome| outcome.stop.is_some()).collect();
        watches.truncate(done.len());
        let ended = watches.into_par_iter().zip(done).zip(items);
        let ended = ended.map(finish).collect::<anyhow::Result<Vec<_>>>()?;
        let (records, found) = ended.into_iter().unzip();
        Ok(Batch { records, found, time })
    }
}

fn sampling_counts(record: &Record) -> SamplingCounts {
    let children = record.children();
    let (well_formed, fallback) = (children[Origin::Learner as usize], children[Origin::Fallback as usize]);
    SamplingCounts { well_formed, fallback, children: well_formed + fallback }
}

fn file_name(path: &Path) -> anyhow::Result<&str> {
    let name = path.file_name().unwrap_or_default().to_str();
    name.with_context(|| {
        format!("{}: its name is no UTF-8, and a trace names its problem set; rename it", path.display())
    })
}

fn default_name(args: &Args, given: &Given, config: &SearchConfig) -> PathBuf {
    let mut name = OsString::from(match args.policy {
        PolicyArg::Expert => "",
        PolicyArg::Neural => "neural_",
        PolicyArg::Hybrid => "hybrid_",
    });
    name.push(format!("gen{}_", short_number(config.generations.into())));
    name.push(args.problems.file_stem().unwrap_or_default());
    name.push(seed_in_name(args.common.seed));
    let named = ["problems", "policy", "generations", "shard"];
    let changes_nothing = ["batch_size", "device", "max_batch_tokens", "compare_sequential"];
    name.push(given.digits(&[&named[..], &changes_nothing[..]].concat()));
    name.push(args.shard.map(Shard::in_name).unwrap_or_default());
    name.push(".sr");
    name.into()
}
