//! The flags.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Parser;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use sr_args::ReadingArgs;
pub(crate) use sr_cli::standard_input;
use sr_cli::{Claim, Common, Output, OutputArgs};
use sr_lab::fit::{FitOptions, parse_guess};
use sr_lab::sr_expr::{Expr, Op, Target};
use sr_lab::sr_problems::{Table, TableOptions, from_table, parse_operators};

use crate::requirements::RequirementArgs;

/// Find the formula of a table
///
/// Prints the formulas that no shorter one is as good as, with the names of the columns, and marks one with the reason of
/// the choice: the smallest that is exact on all rows; else the one that takes the fewest words to tell together with its
/// errors. The mean of y and a linear model of all variables come first, to compare with.
///
/// First closed forms are looked for (products of powers, polynomials, small expressions with constants around them),
/// then evolution goes on with fitted constants until the time is over or a formula is exact. Of tables of 60 rows and
/// more one row in five is kept to judge by. Operators have their plain meaning: log(-1) is no number.
///
/// The result is also written to a folder, see --out. Ctrl-C ends the search, prints and writes what was found and exits
/// with 130; after that or a kill, the same command with --resume goes on. The exit code is 1 if nothing is better than the
/// mean.
#[derive(Parser)]
#[command(version)]
pub(crate) struct Args {
    /// The table, CSV or Parquet, or - for one on standard input; the random streams are keyed by its name. With --predict
    /// or --export it may be the folder of an earlier run, whose formula is then taken without a search
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Column to be explained
    #[arg(long, value_name = "COL")]
    pub(crate) target: Option<String>,
    #[command(flatten)]
    pub(crate) reading: ReadingArgs,
    /// Judge formulas by the rows of this table, whose columns have the same names, and fit all rows of FILE
    #[arg(long, value_name = "FILE")]
    pub(crate) validation: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) requirements: RequirementArgs,
    /// Operators of formulas: arith (+ - *), full, or a list [default: + - * / neg exp log sqrt sin cos inv pow2 pow3]
    #[arg(long, value_name = "LIST", allow_hyphen_values = true)]
    pub(crate) operators: Option<String>,
    /// Begin with this formula too, of columns or x0, x1, …; its constants are fitted. May be given several times
    #[arg(long, value_name = "FORMULA", allow_hyphen_values = true)]
    pub(crate) guess: Vec<String>,
    /// Let a learner propose formulas too, where the search begins or stagnates: the shipped model functions, or the
    /// checkpoint in a folder. It cannot read more variables than its model has; the search then goes on without it
    #[arg(long, value_name = "NAME|DIR", num_args = 0..=1, require_equals = true, default_missing_value = "functions")]
    pub(crate) learner: Option<PathBuf>,
    /// The share of the search's work that the learner may take at most; 1 for no limit [default: 0.03]
    #[arg(long, value_name = "SHARE", value_parser = share, requires = "learner")]
    pub(crate) learner_share: Option<f64>,
    /// Seconds to look for a formula, after the table was read [default: 20, and no limit with --epochs or --max-work]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) time_limit: Option<Duration>,
    /// Most epochs of evolution; unlike the time, the same number gives the same result on any machine
    #[arg(long, value_name = "N")]
    pub(crate) epochs: Option<u32>,
    /// Budget in values, one node of a formula in one row; it is exceeded by an epoch at most, and the same budget gives
    /// the same result on any machine. 1e9 are about a second of one core
    #[arg(long, value_name = "N", value_parser = work)]
    pub(crate) max_work: Option<u64>,
    /// Megabytes that a search may take beside four copies of the table; results depend on it
    #[arg(long, value_name = "MB", default_value_t = 512, value_parser = clap::value_parser!(u32).range(16..=1_048_576))]
    pub(crate) memory: u32,
    /// Most nodes of a formula that evolution looks at
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) max_size: u16,
    /// Mark the largest formula of a size of no more than this, instead of the choice
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) pick: Option<usize>,
    /// Print the marked formula, and nothing else, as text of another system; with --json as the field export
    #[arg(long, value_name = "SYSTEM")]
    #[arg(value_parser = PossibleValuesParser::new(Target::ALL.map(Target::name)).try_map(|name| name.parse::<Target>()))]
    pub(crate) export: Option<Target>,
    /// Print what the marked formula predicts for the rows of this table, and nothing else; columns are found by their
    /// names. With --json as the field predictions
    #[arg(long, value_name = "FILE", conflicts_with = "export")]
    pub(crate) predict: Option<PathBuf>,
    /// Write the predictions to this file instead
    #[arg(long, value_name = "FILE", requires = "predict")]
    pub(crate) predict_out: Option<PathBuf>,
    /// Folder to write [default: runs/NAME-fit, after the name of the table]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Go on with the search in the folder, up to larger budgets if these are given; a new one is begun if there is none.
    /// Other data or other settings are an error
    #[arg(long, conflicts_with = "force")]
    pub(crate) resume: bool,
    /// Record the epochs to this trace: up to 20 formulas of the front at the end of each. --replay makes the trace of a run
    /// that was continued, or that had none
    #[arg(long, value_name = "FILE", conflicts_with_all = ["resume", "group"])]
    pub(crate) trace: Option<PathBuf>,
    /// Repeat the run in this folder on the same table exactly, also where the clock ended it, and compare the formulas.
    /// Settings are those of the run, and nothing but --trace is written. The exit code is 1 if a formula differs
    #[arg(long, value_name = "DIR", conflicts_with_all = ["resume", "out"])]
    pub(crate) replay: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(flatten)]
    pub(crate) common: Common,
}

impl Args {
    /// The share of the work that a learner may take.
    pub(crate) fn policy_share(&self) -> f64 {
        self.learner_share.unwrap_or(FitOptions::default().policy_share)
    }
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| *share > 0.0 && *share <= 1.0);
    share.ok_or_else(|| "expected a share above 0 and up to 1, such as 0.03".to_owned())
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.filter(|time| !time.is_zero()).ok_or_else(|| "expected a number of seconds above 0".to_owned())
}

/// Reads a whole number, which may be written as 1e9.
fn work(text: &str) -> Result<u64, String> {
    let whole = |number: f64| (number.fract() == 0.0 && (1.0..=1e18).contains(&number)).then_some(number as u64);
    let found = text.parse::<u64>().ok().filter(|&number| number > 0);
    found
        .or_else(|| text.parse().ok().and_then(whole))
        .ok_or_else(|| "expected a whole number above 0, such as 1e9".into())
}

/// Claims the file of `--trace` before any work is done.
pub(crate) fn claim_trace<'a>(
    args: &'a Args,
    inputs: impl Iterator<Item = &'a PathBuf>,
) -> anyhow::Result<Option<Output>> {
    claim_file(args, "--trace", args.trace.as_deref(), inputs)
}

/// Does the same for the file of `--predict-out`.
pub(crate) fn claim_predictions<'a>(
    args: &'a Args,
    inputs: impl Iterator<Item = &'a PathBuf>,
) -> anyhow::Result<Option<Output>> {
    claim_file(args, "--predict-out", args.predict_out.as_deref(), inputs)
}

fn claim_file<'a>(
    args: &Args,
    flag: &'static str,
    path: Option<&'a Path>,
    inputs: impl Iterator<Item = &'a PathBuf>,
) -> anyhow::Result<Option<Output>> {
    let Some(path) = path else { return Ok(None) };
    let claim = Claim::file(path).flag(flag).inputs(inputs.filter(|path| path.exists()));
    claim.may_exist(args.output.force).take().map(Some)
}

/// The operators of formulas.
pub(crate) fn operators(args: &Args) -> anyhow::Result<Vec<Op>> {
    let operators = args.operators.as_deref().map(parse_operators).transpose().context("--operators")?;
    Ok(operators.unwrap_or_else(|| FitOptions::default().operators))
}

pub(crate) fn options(args: &Args, operators: Vec<Op>, table: &Table) -> anyhow::Result<FitOptions> {
    let default = FitOptions::default();
    let guess = |text: &String| -> anyhow::Result<Expr> {
        let expr =
            parse_guess(text, &table.report.variables, &operators).with_context(|| format!("--guess {text:?}"))?;
        let (size, most) = (expr.size(), args.max_size);
        ensure!(size <= most.into(), "--guess {text:?} has {size} nodes, expected {most} at most; raise --max-size");
        Ok(expr)
    };
    let has_budget = args.epochs.is_some() || args.max_work.is_some();
    Ok(FitOptions {
        seed: args.common.seed,
        threads: threads(args),
        guesses: args.guess.iter().map(guess).collect::<anyhow::Result<_>>()?,
        operators,
        max_size: args.max_size.into(),
        time_limit: args.time_limit.or(default.time_limit.filter(|_| !has_budget)),
        epochs: args.epochs,
        max_work: args.max_work,
        memory: args.memory as usize * (1 << 20),
        loss: args.requirements.loss.clone(),
        rules: args.requirements.rules(&table.report)?,
        policy_share: args.policy_share(),
        ..default
    })
}

fn parse_size(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&size| size > 0).ok_or_else(|| "expected a whole number, 1 or more".to_owned())
}

pub(crate) fn validation_table(args: &Args, path: &Path, table: &Table) -> anyhow::Result<Table> {
    let report = &table.report;
    let options = TableOptions {
        features: Some(report.variables.clone()),
        drop: Vec::new(),
        ..args.reading.options(&report.target)
    };
    let validation = from_table(&standard_input(path), &options).context("--validation")?;
    warn(&validation.report.warnings);
    Ok(validation)
}

pub(crate) fn warn(warnings: &[sr_lab::sr_problems::TableWarning]) {
    for warning in warnings {
        tracing::warn!("{warning}");
    }
}

pub(crate) fn threads(args: &Args) -> usize {
    args.common.threads.map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), usize::from)
}
