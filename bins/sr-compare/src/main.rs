//! Two reports of evaluations, or expert and learner on one problem: which is better.

mod problem;
mod reports;
mod step;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use sr_args::{SamplingArgs, SearchArgs};
use sr_cli::Common;

#[global_allocator]
static GLOBAL: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Compare two reports of sr-evaluate, or expert and learner on one problem
///
/// Reports are compared over the searches that both have, those of equal problem and seed. Intervals are 95 % intervals
/// of a bootstrap over these pairs. The exit code is 1 if a method solves significantly less in B than in A (the
/// interval of the difference lies below 0), else 0. Reports of other problems or search settings are refused.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Two reports, as sr-evaluate --out writes them
    #[arg(num_args = 2, value_names = ["A.json", "B.json"], required_unless_present = "problem",
          conflicts_with_all = ["problem", "checkpoint", "problems", "suite", "step", "device"])]
    reports: Vec<PathBuf>,
    /// The method of A and that of B, where their names differ [default: all methods that both have]
    #[arg(long, value_name = "X,Y", value_parser = two_methods, conflicts_with = "problem")]
    methods: Option<(String, String)>,
    /// Compare reports of other problems or search settings too, and say what differs
    #[arg(long, conflicts_with = "problem")]
    allow_other_settings: bool,
    #[command(flatten)]
    one: OneArgs,
    #[command(flatten)]
    search: SearchArgs,
    #[command(flatten)]
    sampling: SamplingArgs,
    #[command(flatten)]
    common: Common,
}

/// Flags for one problem.
#[derive(clap::Args)]
#[command(next_help_heading = "Expert and learner on one problem")]
struct OneArgs {
    /// The problem
    #[arg(long, value_name = "NAME", requires = "checkpoint")]
    problem: Option<String>,
    /// Checkpoint folder of the learner
    #[arg(long, value_name = "DIR", requires = "problem")]
    checkpoint: Option<PathBuf>,
    /// Problem set that has it
    #[arg(long, value_name = "FILE", requires = "problem", conflicts_with = "suite")]
    problems: Option<PathBuf>,
    /// Suite that has it [default: the first one that does]
    #[arg(long, value_name = "NAME", requires = "problem", value_parser = sr_args::SuiteName)]
    suite: Option<String>,
    /// Where the learner computes: cpu, ndarray or cuda
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    device: String,
    /// Show both searches generation by generation. Keys: Enter, space or → next, b or ← back, a number and Enter that
    /// generation, q quit
    #[arg(long, requires = "problem")]
    step: bool,
    /// With --step print all generations one after the other, as is done without a terminal
    #[arg(long, requires = "step")]
    non_interactive: bool,
    /// With --step the fittest individuals to list of each generation [default: all, on a terminal those that fit]
    #[arg(long, value_name = "N", requires = "step")]
    show: Option<usize>,
}

fn two_methods(text: &str) -> Result<(String, String), String> {
    match text.split_once(',') {
        Some((x, y)) if !x.is_empty() && !y.is_empty() && !y.contains(',') => Ok((x.into(), y.into())),
        _ => Err("expected X,Y".into()),
    }
}

fn main() -> ExitCode {
    let (args, given) = sr_cli::parse::<Args>();
    sr_args::run(|| match (&*args.reports, &args.one.problem) {
        ([a, b], _) => {
            let why = "with two reports, which are of searches that were done";
            given.refuse_all::<SearchArgs>(why)?;
            given.refuse_all::<SamplingArgs>(why)?;
            given.refuse_all::<OneArgs>(why)?;
            reports::run(a, b, &args)
        }
        (_, Some(name)) => {
            if args.common.json {
                given.refuse(
                    &["show", "non_interactive"],
                    "with --json, which has all individuals of all generations",
                )?;
            }
            problem::run(name, &args)
        }
        _ => anyhow::bail!("two reports or --problem are needed"),
    })
}
