//! Methods × problems × seeds: who solves what, at what cost.

mod direct;
mod methods;
mod operator;
mod plots;
mod report;
mod tune;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{bail, ensure};
use clap::Parser;
use serde_json::Value;
use sr_args::{SamplingArgs, SearchArgs, counted};
use sr_cli::{Claim, Common, Exit, Given, OutputArgs};
use sr_lab::beside::Published;
use sr_lab::evaluate::{Evaluation, Method, Rows, Source, check_names, policies};
use sr_lab::sr_engine::SearchConfig;
use sr_lab::sr_eval::Equal;
use sr_lab::sr_neural::{Per, Share, Swap};
use sr_lab::sr_problems::ProblemSet;
use sr_lab::sr_report::{Section, report_page};
use sr_lab::{Ended, Monitor};

#[global_allocator]
static GLOBAL: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Compare methods on problems over seeds, all with the same search settings
///
/// A problem is solved when 1 - R² is at most 1e-10 on 1000 fresh points (own data: when 1 - R² over all rows is no more than
/// the digits of y leave open). Intervals of shares are 95 % Wilson intervals; those of expected running times (ERT: evaluations of all searches
/// by success) and of differences from the first method are of a paired bootstrap over problems and seeds. Seconds are
/// those of one thread; a batch with a learner has all threads, and each search its share of them. What all of it means
/// stands in docs/comparison.md.
///
/// Ctrl-C finishes the current batch and exits with 130; after it, or a kill, the same command with --resume goes on.
#[derive(Parser)]
#[command(version, subcommand_negates_reqs = true, args_conflicts_with_subcommands = true)]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    problems: ProblemArgs,
    /// Methods to compare, each also as NAME=…: expert; basic (the reference engine's, whatever
    /// --unique and --survival say); unique (never repeats a form); tuned (with searched settings);
    /// random (random trees); enumeration (the smallest expressions first); cheat:best-of-K (the best of K children for
    /// each, a bound and no method); and
    /// NAME=neural:CHECKPOINT, NAME=direct:CHECKPOINT, NAME=hybrid:CHECKPOINT, NAME=hybrid:CHECKPOINT@every=K,
    /// NAME=hybrid:CHECKPOINT@p=P
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
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=MOST_SEEDS))]
    seeds: u64,
    /// Searches that advance together
    #[arg(long, value_name = "B", default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..))]
    batch_size: u64,
    /// Where learners compute: cpu, ndarray or cuda
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    device: String,
    /// Show each learner the points, or the population, of the search half a batch away: a check of what it makes of them,
    /// for one that uses them solves less then
    #[arg(long, value_name = "WHAT")]
    swap: Option<SwapArg>,
    /// One table each in which all searches may spend the same: --max-evaluations evaluations, --time-limit seconds.
    /// There is then no limit on generations
    #[arg(long, value_name = "WHAT", value_delimiter = ',')]
    equal: Vec<EqualArg>,
    /// Also tell how the least error falls with evaluations and seconds: of each search, and as medians of each problem
    #[arg(long)]
    curve: bool,
    /// Also tell the differences from this one of --methods, beside those from the first
    #[arg(long, value_name = "METHOD")]
    against: Option<String>,
    /// Also print the shares solved problem by problem, beside figures that somebody has published: a JSON file such as
    /// fixtures/published/original-harder.json
    #[arg(long, value_name = "FILE")]
    beside: Option<PathBuf>,
    /// Also draw the share solved against evaluations, or seconds, into this SVG file, and with tables at equal
    /// evaluations and seconds the latter into FILE-seconds.svg; with --curve also the median error
    /// against seconds, into FILE-mse.svg
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Also show the result as a page, this HTML file: docs/report.md
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Also write rows and summary to this JSON file; rows that are done stand in FILE.rows until then
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Continue an interrupted run of the same flags from FILE.rows; a new one is begun if there is none, and of a finished
    /// one only the plots and the report are made that are not there
    #[arg(long, requires = "out", conflicts_with = "force")]
    resume: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    search: SearchArgs,
    #[command(flatten)]
    sampling: SamplingArgs,
    #[command(flatten)]
    common: Common,
}

/// Searches of one problem by one method that can be asked for.
const MOST_SEEDS: u64 = 1_000_000;

/// What is evaluated on.
#[derive(clap::Args)]
struct ProblemArgs {
    /// Problem set, or a corpus (train.sr, val.sr) whose problems are meant
    #[arg(long, value_name = "FILE", required_unless_present = "suite", conflicts_with = "suite")]
    problems: Option<PathBuf>,
    /// Named suite instead of a problem set
    #[arg(long, value_name = "NAME", value_parser = sr_args::SuiteName)]
    suite: Option<String>,
}

#[derive(clap::Subcommand)]
enum Command {
    Direct(Box<direct::DirectArgs>),
    Operator(Box<operator::OperatorArgs>),
    Tune(Box<tune::TuneArgs>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum EqualArg {
    /// As many evaluations
    Evaluations,
    /// As many seconds
    Seconds,
}

impl From<EqualArg> for Equal {
    fn from(arg: EqualArg) -> Self {
        match arg {
            EqualArg::Evaluations => Equal::Evaluations,
            EqualArg::Seconds => Equal::Seconds,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum SwapArg {
    /// The points of the data
    Points,
    /// The texts of the individuals with their marks
    Populations,
}

impl From<SwapArg> for Swap {
    fn from(arg: SwapArg) -> Self {
        match arg {
            SwapArg::Points => Swap::Points,
            SwapArg::Populations => Swap::Populations,
        }
    }
}

fn main() -> ExitCode {
    let (args, given) = sr_cli::parse::<Args>();
    sr_args::run(|| match &args.command {
        Some(Command::Direct(args)) => direct::run(args, &given),
        Some(Command::Operator(args)) => operator::run(args, &given),
        Some(Command::Tune(args)) => tune::run(args, &given),
        None => compare(&args, &given),
    })
}

/// Compares the methods.
fn compare(args: &Args, given: &Given) -> anyhow::Result<Exit> {
    let started = Instant::now();
    args.common.init()?;
    ensure!(
        args.equal.is_empty() || !given.has("generations"),
        "--generations has no effect with --equal, where there is no limit on generations"
    );
    ensure!(
        !args.curve || args.plot.is_some() || args.out.is_some() || args.common.json,
        "--curve has no effect without --out, --plot or --json"
    );
    for (index, equal) in args.equal.iter().enumerate() {
        let name = Equal::from(*equal).name();
        ensure!(!args.equal[..index].contains(equal), "--equal has {name} twice");
    }
    if args.out.is_none() && args.plot.is_none() && args.report.is_none() {
        given.refuse(&["force"], "without --out, --plot or --report")?;
    }
    check_names(&args.methods)?;
    if let Some(against) = &args.against {
        let names: Vec<&str> = args.methods.iter().map(|method| &*method.name).collect();
        ensure!(names.contains(&&**against), "--against {against}: the methods are {}", names.join(", "));
    }
    methods::check_learners(&args.methods, given)?;
    methods::check_search(&args.methods, !args.equal.is_empty(), given)?;
    let share = Share::of_flags(args.neural_prob, args.neural_per, args.neural_every)?;
    methods::check_share(&args.methods, share)?;
    let plots = args.plot.as_deref().map(|plot| plots::files(plot, args)).transpose()?.unwrap_or_default();
    let Source { set, files } = args.problems.read(args.common.seed)?;
    let inputs = files.iter().chain(&args.beside).chain(args.methods.iter().filter_map(Method::checkpoint));
    let claim = |path, may_exist| Claim::file(path).inputs(inputs.clone()).may_exist(may_exist);
    let may_exist = args.output.force || args.resume;
    let of_out = |out| claim(out, may_exist).also([".rows"]).unfinished(".rows", may_exist).take();
    let _output = args.out.as_deref().map(of_out).transpose()?;
    let (config, equal) = (config(args, &set)?, equal(args));
    let evaluation = Evaluation {
        set: &set,
        methods: &args.methods,
        config: &config,
        equal: &equal,
        seeds: args.seeds,
        seed: args.common.seed,
        batch: args.batch_size as usize,
        curve: args.curve,
    };
    // Everything that can be wrong is found before the first search.
    let plan = evaluation.plan()?;
    let ids = || set.problems.iter().map(|problem| &*problem.id);
    let published = args.beside.as_deref().map(|path| Published::read(path, ids())).transpose()?;
    let learning = methods::learning(&args.device, &args.sampling, share, args.swap.map(Swap::from))?;
    let mut policies = policies(&args.methods, &set, &learning)?;
    let settings = report::settings(args, &set, &config)?;
    let finished = match args.out.as_ref().filter(|_| args.resume) {
        Some(out) => Rows::finished(out, &settings)?,
        None => None,
    };
    // The plots of a finished result may be there, if they are the ones that would be drawn.
    let of_plot = |plot| claim(plot, args.output.force || finished.is_some()).flag("--plot").take();
    // So may its report, which is made anew.
    let of_report = |page| claim(page, args.output.force || finished.is_some()).flag("--report").take();
    let _report = args.report.as_deref().map(of_report).transpose()?;
    let _plots = plots.iter().map(|plot| of_plot(plot)).collect::<anyhow::Result<Vec<_>>>()?;
    if let Some(rows) = finished {
        plots::write_missing(&plots, &plots::draw(&rows, args))?;
        let result = report::result(args, &settings, &rows, published.as_ref());
        write_report(args.report.as_deref(), &result)?;
        let out = args.out.as_ref().expect("it was read").display();
        args.common.report("sr-evaluate", started, result, &format!("{out} is complete, nothing is left to do"))?;
        return Ok(Exit::Ok);
    }
    let mut rows = match &args.out {
        None => Rows::in_memory(),
        Some(out) if args.resume => Rows::resume(out, &settings)?,
        Some(out) => Rows::begin(out, &settings)?,
    };
    let progress = args.common.progress(plan.searches() as u64, "searches");
    let mut monitor = Monitor::new(sr_cli::on_interrupt("the current batch")?, |searches| progress.inc(searches));
    let ended = plan.run(&mut policies, &mut rows, &mut monitor)?;
    drop(monitor);
    if let Ended::Stopped { done } = ended {
        let how = if rows.are_kept() { ", from which --resume goes on" } else { "; only with --out they are kept" };
        return Ok(sr_cli::stopped(&format!("after {done} of {}{how}", counted(plan.searches(), "search"))));
    }
    progress.finish_and_clear();

    let result = report::result(args, &settings, rows.rows(), published.as_ref());
    if let Some(out) = &args.out {
        sr_cli::write_atomically(out, serde_json::to_string_pretty(&result)?.as_bytes())?;
        sr_cli::write_run_file(out, &args.common, started)?;
    }
    write_report(args.report.as_deref(), &result)?;
    let rows = rows.finish()?;
    if !plots.is_empty() {
        for (path, bytes) in plots.iter().zip(plots::draw(&rows, args)) {
            sr_cli::write_atomically(path, &bytes)?;
        }
    }
    let text = report::text(args, &set, &rows, published.as_ref());
    args.common.report("sr-evaluate", started, result, &text)?;
    Ok(Exit::Ok)
}

/// Writes the page of `--report`.
fn write_report(path: Option<&Path>, result: &Value) -> anyhow::Result<()> {
    let Some(path) = path else { return Ok(()) };
    let section = Section::evaluation("sr-evaluate", result)?;
    sr_cli::write_atomically(path, report_page(&[section]).as_bytes())
}

/// The settings that all methods of a table share.
fn config(args: &Args, set: &ProblemSet) -> anyhow::Result<SearchConfig> {
    match args.methods.iter().any(|method| method.checkpoint().is_some()) {
        true => args.search.config(set.is_own_data()),
        false => args.search.expert_config(set.is_own_data()),
    }
}

/// What is equal in a table each.
fn equal(args: &Args) -> Vec<Equal> {
    args.equal.iter().map(|&equal| equal.into()).collect()
}

impl ProblemArgs {
    fn read(&self, seed: u64) -> anyhow::Result<Source> {
        match (&self.problems, &self.suite) {
            (Some(path), _) => Source::read(path),
            (None, Some(name)) => Source::suite(name, seed),
            (None, None) => bail!("--problems or --suite is needed"),
        }
    }
}
