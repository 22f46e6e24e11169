//! Searches every problem of a set and records the trajectories.

mod report;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use clap::Parser;
use serde_json::{Value, json};
use sr_args::{SamplingArgs, SearchArgs};
use sr_cli::output::{seed_in_name, short_number, with_ending};
use sr_cli::{Claim, Common, Exit, Given, OutputArgs, Shard};
use sr_lab::record::{self, Job, Recorded, Recording, Searcher};
use sr_lab::sr_engine::{PrimitiveSet, SearchConfig};
use sr_lab::sr_neural::{Per, Share};
use sr_lab::sr_problems::ProblemSet;
use sr_lab::sr_trace::{TraceHeader, TraceReader};
use sr_lab::{Ended, Monitor};

use crate::report::Totals;

#[global_allocator]
static GLOBAL: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Searches of one command at most, of all shards together: their results are kept until the end.
const MOST_SEARCHES: u64 = 10_000_000;

/// Search the problems of a set and record every generation as a trace
///
/// Equal flags give equal trace files, whatever --threads, --batch-size and --shard are. What differs between equal
/// runs (time, host, command line) goes to OUT.run.json.
///
/// Ctrl-C ends after the current generation, tells the best formulas so far and exits with 130; searches that are not done
/// then are done again later, from their beginning. A second Ctrl-C stops at once. After either, a kill or a full disk, the same command with --resume goes on, to the bytes
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
    /// Checkpoint folder of the learner, or the name of a shipped model: arithmetic, arithmetic-expert-only, or functions,
    /// which is for searches that fit constants (--preset default) [default: arithmetic]
    #[arg(long, value_name = "DIR")]
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
    sr_args::run(|| real_main(&args, &given))
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

fn real_main(args: &Args, given: &Given) -> anyhow::Result<Exit> {
    let started = Instant::now();
    args.common.init()?;
    args.check_flags(given)?;
    let set = ProblemSet::read(&args.problems)?;
    let config = match args.policy {
        PolicyArg::Expert => args.search.expert_config(set.is_own_data())?,
        PolicyArg::Neural | PolicyArg::Hybrid => args.search.config(set.is_own_data())?,
    };
    let (jobs, primitives) = jobs(args, &set)?;
    let mut searcher = searcher(args)?;
    let out = args.out.clone().unwrap_or_else(|| default_name(args, given, &config));
    let (preset, seed) = (args.search.preset.name(), args.common.seed);
    let header =
        searcher.describe(TraceHeader::of_expert(file_name(&args.problems)?, &primitives, &config, preset, seed));
    if let Searcher::Learner(learner) = &searcher {
        let problems = jobs.iter().map(|job| (job.instance.id(), job.instance.x().n_columns()));
        sr_lab::learner::check_problems(learner.hybrid.learner(), problems)?;
    }
    let output = Claim::file(&out)
        .also([".partial.run.json"])
        .inputs(std::iter::once(&args.problems).chain(&args.checkpoint))
        .may_exist(args.output.force || args.resume)
        .unfinished(".partial", args.output.force || args.resume)
        .take()?;
    let settings = settings(args, &set);
    if args.resume && output.existed() {
        check_finished(&out, &header, &settings, &jobs)?;
        let text = format!("{} is complete, nothing is left to do", out.display());
        let result = json!({ "searches": jobs.len(), "complete": true, "out": out.display().to_string() });
        args.common.report("sr-search", started, result, &text)?;
        return Ok(Exit::Ok);
    }
    let partial = with_ending(&out, ".partial");
    if args.resume
        && partial.exists()
        && let Some(made) = sr_cli::settings_of(&partial)?
    {
        sr_cli::check_same_settings(&partial, &made, &settings)?;
    }
    let batch = args.batch_size as usize;
    let recording = Recording { out: &out, header: &header, config: &config, jobs: &jobs, batch };
    let begun = if args.resume { recording.resume()? } else { recording.begin()? };
    let stop = sr_cli::on_interrupt("the current generation")?;
    // What the partial file does not tell of itself, for a resumption to compare. Where it cannot be written, nor can
    // records, which is told then.
    sr_cli::write_run_file_with(&partial, &args.common, started, &settings).ok();

    let names = set.variable_names().unwrap_or_default();
    let progress = args.common.progress(jobs.len() as u64, "searches");
    let mut total = Totals::default();
    let mut on_search = |search: Recorded<'_>| total.add(&search, names, args.compare_sequential);
    let mut monitor = Monitor::new(stop, |pieces| progress.inc(pieces));
    let recorded = begun.run(&mut searcher, &mut monitor, &mut on_search);
    drop(monitor);
    progress.finish_and_clear();
    let summary = recorded.inspect_err(|_| {
        if !partial.exists() {
            remove_settings(&partial);
        }
    })?;
    if let Ended::Stopped { done } = summary.ended {
        report::stopped(args, started, &summary.stopped, names)?;
        return Ok(sr_cli::stopped(&recording.kept(done)));
    }
    total.batched = summary.searching;
    if args.compare_sequential {
        total.compare_with_alone(&mut searcher, &jobs, &config)?;
    }
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
fn check_finished(out: &Path, header: &TraceHeader, settings: &Value, jobs: &[Job]) -> anyhow::Result<()> {
    let mut reader = TraceReader::open(out)?;
    sr_cli::check_same_settings(out, &serde_json::to_value(reader.header())?, &serde_json::to_value(header)?)?;
    match sr_cli::settings_of(out)? {
        Some(made) => sr_cli::check_same_settings(out, &made, settings)?,
        None => tracing::warn!(
            "{} has no run file: its problems, seeds and errors are compared instead, record by record",
            out.display()
        ),
    }
    let Some(records) = reader.stated_records() else {
        bail!("{}: cut short; delete it, or begin anew with --force in place of --resume", out.display());
    };
    record::check_records(&mut reader, out, records, jobs)?;
    let records = json!({ "searches": records });
    sr_cli::check_same_settings(out, &records, &json!({ "searches": jobs.len() }))
}

/// The searches of this run, in the order of their records, and the primitives for the header.
fn jobs(args: &Args, set: &ProblemSet) -> anyhow::Result<(Vec<Job>, PrimitiveSet)> {
    let operators = args.operators.as_deref().map(sr_lab::sr_problems::parse_operators).transpose()?;
    let constants = args.constants.as_deref().map(sr_lab::sr_problems::parse_constants).transpose()?;
    ensure!(!set.problems.is_empty(), "{} holds no problems", args.problems.display());
    let most = args.max_problems.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX));
    let searches = args.runs.saturating_mul(most.min(set.problems.len()) as u64);
    ensure!(
        searches <= MOST_SEARCHES,
        "--runs {}: these are {searches} searches, {MOST_SEARCHES} at most; take several commands with other seeds",
        args.runs
    );
    let mut jobs = Vec::new();
    for (index, problem) in set.problems.iter().enumerate().take(most) {
        if args.shard.is_some_and(|shard| !shard.holds(index)) {
            continue;
        }
        let mut problem = problem.clone();
        problem.operators = operators.clone().unwrap_or(problem.operators);
        problem.constants = constants.clone().unwrap_or(problem.constants);
        jobs.extend(record::jobs_of(problem, (0..args.runs).map(|run| args.common.seed + run))?);
    }
    let primitives = PrimitiveSet::new(
        operators.unwrap_or_else(|| set.params.operators.clone()),
        constants.unwrap_or_else(|| set.params.constants.clone()),
        1, // the header names operators and constants; variables are the problems' own
    )?;
    Ok((jobs, primitives))
}

/// The searcher that the flags ask for.
fn searcher(args: &Args) -> anyhow::Result<Searcher> {
    let share = args.share()?;
    if args.policy == PolicyArg::Expert {
        return Ok(Searcher::Expert);
    }
    let shipped = || Path::new(sr_lab::sr_neural::shipped::DEFAULT);
    let folder = args.checkpoint.as_deref().unwrap_or_else(shipped);
    Searcher::learner(args.sampling.learner(folder, &args.device)?, folder, share)
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
