//! Models that write a formula from the data alone, problem by problem.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context;
use serde_json::json;
use sr_args::SamplingArgs;
use sr_cli::{Claim, Common, Exit, OutputArgs};
use sr_lab::Monitor;
use sr_lab::direct::{Direct, Models};
use sr_lab::evaluate::{Source, fingerprint};
use sr_lab::sr_eval::{direct_tables, summarise_direct};

/// The most characters of a formula in a terminal's table.
const FORMULA_WIDTH: usize = 80;
/// Formulas of a problem that can be asked for.
const MOST_SAMPLES: u64 = 1_000_000;

/// Write the formula of each problem from its data alone, with a checkpoint of mode direct
///
/// Two picks: the greedy formula, and with --samples the sampled one with the least error on the training
/// points, the smallest of equals.
/// Exact means node for node the problem's formula; solved is told by values, as for searches.
#[derive(clap::Args)]
pub(crate) struct DirectArgs {
    /// Checkpoint folder
    #[arg(long, value_name = "DIR")]
    checkpoint: PathBuf,
    #[command(flatten)]
    problems: crate::ProblemArgs,
    /// Formulas to sample for each problem beside the greedy one
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=MOST_SAMPLES))]
    samples: u64,
    /// Problems that are read together; fewer where their samples would be more than a million
    #[arg(long, value_name = "B", default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..))]
    batch_size: u64,
    /// Where the model computes: cpu, ndarray or cuda
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    device: String,
    /// Also show the result as a page, this HTML file: docs/report.md
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Also write rows and summary to this JSON file
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    sampling: SamplingArgs,
    #[command(flatten)]
    common: Common,
}

/// Evaluates a checkpoint.
pub(crate) fn run(args: &DirectArgs, given: &sr_cli::Given) -> anyhow::Result<Exit> {
    let started = Instant::now();
    args.common.init()?;
    if args.samples == 0 {
        let why = "without --samples: the greedy formula takes the likeliest tokens";
        given.refuse(&["temperature", "top_k", "top_p", "distinct"], why)?;
        if args.problems.problems.is_some() {
            given.refuse(&["seed"], "with --problems and without --samples, where nothing is drawn")?;
        }
    }
    if args.out.is_none() && args.report.is_none() {
        given.refuse(&["force"], "without --out or --report")?;
    }
    let Source { set, files } = args.problems.read(args.common.seed)?;
    let inputs = files.iter().chain([&args.checkpoint]);
    let claim = |out, flag| Claim::file(out).flag(flag).inputs(inputs.clone()).may_exist(args.output.force).take();
    let _output = args.out.as_deref().map(|out| claim(out, "--out")).transpose()?;
    let _report = args.report.as_deref().map(|page| claim(page, "--report")).transpose()?;
    let mut models = Models::load(&args.checkpoint, &args.device, args.sampling.sampling()?)?;
    args.sampling.check_mode(models.learner().mode().name())?;
    let problems = &set.problems;
    let (samples, batch) = (args.samples as usize, args.batch_size as usize);
    let progress = args.common.progress(problems.len() as u64, "problems");
    let mut monitor = Monitor::of_progress(|problems| progress.inc(problems));
    let (rows, _) = Direct { problems, samples, batch, seed: args.common.seed }.run(&mut models, &mut monitor)?;
    progress.finish_and_clear();

    let summary = summarise_direct(&rows);
    let id = sr_lab::sr_neural::checkpoint_id(&args.checkpoint);
    let settings = json!({
        "problems": fingerprint(&set),
        "checkpoint": id.with_context(|| format!("reading {}", args.checkpoint.display()))?,
        "samples": args.samples,
        "seed": args.common.seed,
        "temperature": args.sampling.temperature,
        "top-k": args.sampling.top_k,
        "top-p": args.sampling.top_p,
        "distinct": args.sampling.distinct,
        "max-child-size": args.sampling.max_child_size,
        "grammar": args.sampling.grammar()?.is_some(),
        "rules": args.sampling.rules.iter().map(|rule| rule.name()).collect::<Vec<_>>(),
    });
    let result = json!({ "settings": settings, "rows": rows, "summary": summary });
    if let Some(out) = &args.out {
        sr_cli::write_atomically(out, serde_json::to_string_pretty(&result)?.as_bytes())?;
        sr_cli::write_run_file(out, &args.common, started)?;
    }
    crate::write_report(args.report.as_deref(), &result)?;
    // A line that a terminal breaks is hard to read; a file or pipe gets all of it.
    let most = std::io::stdout().is_terminal().then_some(FORMULA_WIDTH);
    args.common.report("sr-evaluate", started, result, &direct_tables(&rows, &summary, most))?;
    Ok(Exit::Ok)
}
