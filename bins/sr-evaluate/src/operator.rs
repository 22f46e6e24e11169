//! What methods propose in a frozen set of states.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, bail};
use serde::Deserialize;
use serde_json::json;
use sr_args::{SamplingArgs, SearchArgs, counted};
use sr_cli::{Claim, Common, Exit, OutputArgs};
use sr_lab::evaluate::{Method, Policy, Source, check_names};
use sr_lab::operator::{Bank, BankOptions, Calibration, Measured, build, problems_beside, problems_of};
use sr_lab::sr_eval::{Summary, aligned_table};
use sr_lab::{Ended, Monitor};

use crate::methods;

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
    #[arg(long, value_name = "NAME", requires = "build", value_parser = sr_args::SuiteName)]
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
    /// Also show the result as a page, this HTML file: docs/report.md
    #[arg(long, value_name = "FILE", conflicts_with_all = ["build", "calibrate"])]
    report: Option<PathBuf>,
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
        let problems = problems_beside(&args.bank);
        let inputs: Vec<&PathBuf> = args.problems.iter().collect();
        let _outputs = [claim(&args.bank, "--bank", &inputs)?, claim(&problems, "--bank", &inputs)?];
        return build_bank(args, started);
    }
    if args.calibrate.is_some() {
        let why = "with --calibrate, which measures the expert and cheat:best-of-K";
        given.refuse(&["methods", "device"], why)?;
        given.refuse_all::<SamplingArgs>(why)?;
    }
    if args.out.is_none() && args.report.is_none() {
        given.refuse(&["force"], "without --out, --report or --build")?;
    }
    let bank_problems = problems_of(&args.bank)?;
    let checkpoints = args.methods.iter().filter_map(Method::checkpoint);
    let inputs: Vec<&PathBuf> =
        [&args.bank, &bank_problems].into_iter().chain(&args.calibrate).chain(checkpoints).collect();
    let _output = args.out.as_deref().map(|out| claim(out, "--out", &inputs)).transpose()?;
    let _report = args.report.as_deref().map(|page| claim(page, "--report", &inputs)).transpose()?;
    let expert: Method = "expert".parse().expect("it is known");
    let mut all = vec![expert.clone()];
    match args.calibrate {
        // The expert is measured once under its own name.
        None => all.extend(args.methods.iter().filter(|method| **method != expert).cloned()),
        Some(_) => all.extend([2, 4, 8, 16].map(|k| format!("cheat:best-of-{k}").parse().expect("it is known"))),
    }
    check_names(&all)?;
    if args.calibrate.is_none() {
        methods::check_learners(&all, given)?;
    }
    let learning = methods::learning(&args.device, &args.sampling, None, None)?;
    let policies = all.iter().map(|method| Policy::load(method, &learning));
    let mut policies = policies.collect::<anyhow::Result<Vec<_>>>()?;
    let bank = Bank::read(&args.bank)?;
    let progress = args.common.progress(all.len() as u64, "methods");
    let measured = bank.measure(&all, &mut policies, &mut Monitor::of_progress(|methods| progress.inc(methods)))?;
    progress.finish_and_clear();
    if let Some(report) = &args.calibrate {
        return calibrate(args, report, &measured, started);
    }
    let result = json!({ "states": bank.len(), "exponent": Calibration::embedded().exponent, "methods": measured });
    if let Some(out) = &args.out {
        sr_cli::write_atomically(out, serde_json::to_string_pretty(&result)?.as_bytes())?;
        sr_cli::write_run_file(out, &args.common, started)?;
    }
    crate::write_report(args.report.as_deref(), &result)?;
    args.common.report("sr-evaluate", started, result, &table(&measured))?;
    Ok(Exit::Ok)
}

fn build_bank(args: &OperatorArgs, started: Instant) -> anyhow::Result<Exit> {
    let seed = args.common.seed;
    let set = match (&args.problems, &args.suite) {
        (Some(path), _) => sr_lab::sr_problems::ProblemSet::read(path)?,
        (None, Some(name)) => Source::suite(name, seed)?.set,
        (None, None) => bail!("--build needs --problems or --suite"),
    };
    let config = args.search.config(set.is_own_data())?;
    let (states, preset) = (args.states, args.search.preset.name());
    let options = BankOptions { set: &set, config: &config, preset, states, seed };
    let progress = args.common.progress(states, "states");
    let ended = build(&args.bank, &options, &mut Monitor::of_progress(|states| progress.inc(states)))?;
    progress.finish_and_clear();
    debug_assert_eq!(ended, Ended::Finished, "nobody stops it");
    sr_cli::write_run_file(&args.bank, &args.common, started)?;
    let searches = states / 3;
    let text = format!("{}: {states} states of {}", args.bank.display(), counted(searches as usize, "search"));
    args.common.report("sr-evaluate", started, json!({ "states": states, "searches": searches }), &text)?;
    Ok(Exit::Ok)
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
    aligned_table(&headers, rows)
}

fn calibrate(args: &OperatorArgs, report: &Path, measured: &[Measured], started: Instant) -> anyhow::Result<Exit> {
    #[derive(Deserialize)]
    struct Report {
        summary: Vec<Summary>,
    }
    let text = std::fs::read_to_string(report).with_context(|| format!("reading {}", report.display()))?;
    let report: Report = serde_json::from_str(&text).with_context(|| format!("{} is no result", report.display()))?;
    let calibration = Calibration::fit(measured, &report.summary)?;
    let lines = calibration.points.iter().map(|point| {
        let predicted = point.ratio.powf(calibration.exponent);
        vec![
            point.method.clone(),
            format!("{:.3}", point.ratio),
            format!("{:.3}", point.speed_up),
            format!("{predicted:.3}"),
        ]
    });
    let table = aligned_table(&["method", "ratio", "measured speed-up", "predicted"], lines);
    let command: Vec<String> = std::env::args().skip(1).collect();
    let text = format!("# Made by: sr-evaluate {}\n{}", command.join(" "), toml::to_string(&calibration)?);
    let out = args.out.as_ref().context("--calibrate needs --out")?;
    sr_cli::write_atomically(out, text.as_bytes())?;
    args.common.report(
        "sr-evaluate",
        started,
        json!({ "calibration": calibration }),
        &format!("{table}\nexponent {:.3}", calibration.exponent),
    )?;
    Ok(Exit::Ok)
}
