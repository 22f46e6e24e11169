//! `sr-fit`: the formula of a table.

mod asked;
mod groups;
mod report;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Parser;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use sr_args::TableArgs;
use sr_cli::{Common, Exit, Given};
use sr_lab::Monitor;
use sr_lab::fit::{FitOptions, fit, fit_groups};
use sr_lab::sr_expr::Target;
use sr_lab::sr_problems::{from_table, parse_operators};

#[global_allocator]
static GLOBAL: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
/// Ctrl-C ends the search, prints what was found and exits with 130. The exit code is 1 if nothing is better than the mean.
#[derive(Parser)]
#[command(version)]
struct Args {
    #[command(flatten)]
    table: TableArgs,
    #[command(flatten)]
    asked: asked::Asked,
    /// Operators of formulas: arith (+ - *), full, or a list [default: + - * / neg exp log sqrt sin cos inv pow2 pow3]
    #[arg(long, value_name = "LIST", allow_hyphen_values = true)]
    operators: Option<String>,
    /// Seconds to look for a formula [default: 20, and no limit with --epochs]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    time_limit: Option<Duration>,
    /// Most epochs of evolution; unlike the time, the same number gives the same result on any machine
    #[arg(long, value_name = "N")]
    epochs: Option<u32>,
    /// Most nodes of a formula that evolution looks at
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=1000))]
    max_size: u16,
    /// Mark the largest formula of no more nodes than this, instead of the choice
    #[arg(long, value_name = "SIZE")]
    pick: Option<usize>,
    /// Print the marked formula, and nothing else, as text of another system; with --json as the field export
    #[arg(long, value_name = "SYSTEM")]
    #[arg(value_parser = PossibleValuesParser::new(Target::ALL.map(Target::name)).try_map(|name| name.parse::<Target>()))]
    export: Option<Target>,
    #[command(flatten)]
    common: Common,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.filter(|time| !time.is_zero()).ok_or_else(|| "expected a number of seconds above 0".to_owned())
}

fn main() -> ExitCode {
    let (args, given) = sr_cli::parse::<Args>();
    sr_args::run(|| real_main(&args, &given))
}

fn real_main(args: &Args, _: &Given) -> anyhow::Result<Exit> {
    let started = Instant::now();
    args.common.init()?;
    let operators = args.operators.as_deref().map(parse_operators).transpose().context("--operators")?;
    let table = from_table(&args.table.file, &args.asked.table_options(args.table.options()))?;
    for warning in &table.report.warnings {
        tracing::warn!("{warning}");
    }
    let default = FitOptions::default();
    let options = FitOptions {
        seed: args.common.seed,
        threads: args.common.threads.map_or_else(cores, usize::from),
        operators: operators.unwrap_or(default.operators),
        max_size: args.max_size.into(),
        time_limit: args.time_limit.or(default.time_limit.filter(|_| args.epochs.is_none())),
        epochs: args.epochs,
        loss: args.asked.loss.clone(),
        rules: args.asked.rules(&table.report)?,
        ..default
    };
    let (length, unit) = match options.time_limit {
        _ if table.groups.is_some() => (1000, "‰ of the work"),
        Some(_) => (1000, "‰ of the time"),
        None => (options.epochs.unwrap_or(0).into(), "epochs"),
    };
    let progress = args.common.progress(length, unit);
    let mut monitor = Monitor::new(sr_cli::on_interrupt("the current epoch")?, |done| progress.inc(done));
    if let Some(groups) = &table.groups {
        let fitted = fit_groups(&table.set.problems[0], groups, &options, &mut monitor)?;
        drop(monitor);
        progress.finish_and_clear();
        let picked = args.pick.map(|size| picked(size, fitted.front.iter().map(|law| law.size))).transpose()?;
        let view = groups::View::new(&fitted, &table.report, picked);
        match args.export.filter(|_| !args.common.json) {
            Some(target) => sr_cli::out(view.export(target).trim_end_matches('\n'))?,
            None => args.common.report("sr-fit", started, view.json(args.export), &view.text())?,
        }
        return Ok(exit(fitted.is_stopped, fitted.is_better_than_mean()));
    }
    let fitted = fit(&table.set.problems[0], &options, &mut monitor)?;
    drop(monitor);
    progress.finish_and_clear();

    let marked = match args.pick {
        None => fitted.choice,
        Some(size) => picked(size, fitted.front.iter().map(|formula| formula.size))?,
    };
    let view = report::View { fitted: &fitted, table: &table.report, marked, is_picked: args.pick.is_some() };
    match args.export.filter(|_| !args.common.json) {
        Some(target) => sr_cli::out(view.export(target).trim_end_matches('\n'))?,
        None => args.common.report("sr-fit", started, view.json(args.export), &view.text())?,
    }
    Ok(exit(fitted.is_stopped, fitted.is_better_than_mean()))
}

/// The index of the largest formula of no larger size than this.
fn picked(size: usize, sizes: impl Iterator<Item = usize> + Clone) -> anyhow::Result<usize> {
    let found = sizes.clone().enumerate().filter(|(_, other)| *other <= size).last();
    let smallest = sizes.min().unwrap_or(0);
    found
        .map(|(index, _)| index)
        .with_context(|| format!("--pick {size}: the smallest formula has a size of {smallest}"))
}

fn exit(is_stopped: bool, is_better_than_mean: bool) -> Exit {
    match is_better_than_mean {
        _ if is_stopped => Exit::Interrupted,
        true => Exit::Ok,
        false => Exit::Negative,
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
