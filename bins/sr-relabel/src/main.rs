//! `sr-relabel`: what the expert would have done in the states of a trace.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, bail};
use clap::{Parser, ValueEnum};
use serde_json::json;
use sr_cli::{Common, Exit, Shard};
use sr_dagger::{
    Draws, ExpertConfig, ExpertLabeller, FileOptions, FormulaLabeller, Mode, Telling, Weights, relabel_file,
};
use sr_expr::Expr;
use sr_problems::ProblemSet;
use sr_trace::TraceReader;

#[global_allocator]
static GLOBAL: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Label every state of a trace with what the expert would do in it (DAgger)
///
/// The states are those that were visited; what the search did stays as it is beside the labels. The trace is untouched
/// until all is done.
///
/// Ctrl-C finishes the trajectories that have begun and exits with 130; a second Ctrl-C stops at once. After either, a kill
/// or a full disk, the same command with --resume goes on, and without it begins anew, in both cases to the same bytes.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// The trace
    #[arg(long, value_name = "FILE")]
    traces: PathBuf,
    /// File for the labelled trace [default: replace the trace, in one step when all is done]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The problem set that was searched [default: the file that the trace names, in the trace's folder]
    #[arg(long, value_name = "FILE")]
    problems: Option<PathBuf>,
    /// Which children of the expert become labels
    #[arg(long, value_enum, default_value_t = Labels::All)]
    labels: Labels,
    /// Children of the expert to choose from in each state; auto draws until four different ones improve on the best
    /// individual, at most 1024 [default: auto; --labels top-k, best-of-k, pooled]
    #[arg(long, value_name = "K", value_parser = samples)]
    samples: Option<Draws>,
    /// Labels of a state at most [default: 4; --labels top-k, pooled]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    keep: Option<u32>,
    /// Generations that the expert goes on from a state [default: 20; --labels lineage]
    #[arg(long, value_name = "H", value_parser = clap::value_parser!(u32).range(1..))]
    horizon: Option<u32>,
    /// How much labels count in training
    #[arg(long, value_enum, default_value_t = WeightsArg::Equal)]
    weights: WeightsArg,
    /// Do part I of N of the problems only; the parts merge to the bytes of one run
    #[arg(long, value_name = "I/N", requires = "out")]
    shard: Option<Shard>,
    /// Continue an interrupted run of the same flags from OUT.partial; a new one is begun if there is none
    #[arg(long)]
    resume: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Clone, Copy, ValueEnum)]
enum Labels {
    /// All children of one generation: what the expert would do
    All,
    /// The best new forms of many children
    TopK,
    /// The best new form of many children
    BestOfK,
    /// Children that the expert's best individual descends from some generations later
    Lineage,
    /// The best new forms of many children and of those that the search made of the state itself
    Pooled,
    /// A step towards the problem's formula, which has to be known
    Path,
    /// The problem's formula, which has to be known
    Target,
}

/// Who labels.
enum Labelling {
    /// The expert.
    Expert(ExpertConfig),
    /// Somebody who knows the formula.
    Formula(Telling),
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum WeightsArg {
    /// All alike
    Equal,
    /// By the decades that the error falls below that of the best individual, at most 1; what improves nothing has none
    Gain,
}

/// Of `--samples`.
fn samples(text: &str) -> Result<Draws, String> {
    match text {
        "auto" => Ok(Draws::UntilImproved),
        number => match number.parse() {
            Ok(draws @ 1..=1_000_000) => Ok(Draws::Exactly(draws)),
            _ => Err("expected auto, or a number from 1 to 1000000".into()),
        },
    }
}

impl Args {
    /// What is to be done, or the flag that does not go with --labels.
    fn labels(&self) -> anyhow::Result<Labelling> {
        let (mode, telling) = match self.labels {
            Labels::All => (Mode::All, None),
            Labels::TopK => (Mode::TopK, None),
            Labels::BestOfK => (Mode::BestOfK, None),
            Labels::Lineage => (Mode::Lineage, None),
            Labels::Pooled => (Mode::Pooled, None),
            Labels::Path => (Mode::All, Some(Telling::Path)),
            Labels::Target => (Mode::All, Some(Telling::Target)),
        };
        let name = telling.map_or(mode.name(), Telling::name);
        let draws = matches!(mode, Mode::TopK | Mode::BestOfK | Mode::Pooled);
        let fits = [
            ("--samples", self.samples.is_some(), draws),
            ("--keep", self.keep.is_some(), draws && mode != Mode::BestOfK),
            ("--horizon", self.horizon.is_some(), mode == Mode::Lineage),
            ("--weights", self.weights != WeightsArg::Equal, telling.is_none()),
        ];
        if let Some((flag, ..)) = fits.into_iter().find(|&(_, given, fits)| given && !fits) {
            bail!("{flag} says nothing with --labels {name}");
        }
        if let Some(telling) = telling {
            return Ok(Labelling::Formula(telling));
        }
        let default = ExpertConfig::default();
        Ok(Labelling::Expert(ExpertConfig {
            mode,
            draws: self.samples.unwrap_or(default.draws),
            keep: self.keep.unwrap_or(default.keep),
            horizon: self.horizon.unwrap_or(default.horizon),
            weights: if self.weights == WeightsArg::Gain { Weights::Gain } else { Weights::Equal },
        }))
    }
}

fn main() -> ExitCode {
    sr_cli::run(|| {
        let started = Instant::now();
        let args = Args::parse();
        args.common.init()?;
        let labels = args.labels()?;
        if let Some(out) = args.out.as_ref().filter(|out| args.resume && out.exists()) {
            sr_cli::out(&format!("{} is complete, nothing is left to do", out.display()))?;
            return Ok(Exit::Ok);
        }
        let reader = TraceReader::open(&args.traces)?;
        let problems = args.problems.unwrap_or_else(|| args.traces.with_file_name(&reader.header().problems));
        let set = ProblemSet::read(&problems)
            .with_context(|| "reading the problems of the trace (--problems says where they are)")?;
        let mut instances = HashMap::with_capacity(set.problems.len());
        for problem in &set.problems {
            let instance = problem.instance().with_context(|| format!("problem {}", problem.id))?;
            instances.insert(problem.id.as_str(), Arc::new(instance));
        }
        let instance = |id: &str| instances.get(id).cloned();
        let bar = args.common.progress(reader.stated_records().unwrap_or(0), "trajectories");
        let out = args.out.as_deref();
        let options = FileOptions {
            out,
            seed: args.common.seed,
            shard: args.shard.map(Shard::index_and_count),
            resume: args.resume,
            stop: Some(sr_cli::on_interrupt("the current trajectories")?),
        };
        let labelling = Instant::now();
        let progress = |done| bar.inc(done);
        let counts = match labels {
            Labelling::Expert(config) => {
                relabel_file(&args.traces, &options, instance, |_| Ok(ExpertLabeller::new(config)), progress)?
            }
            Labelling::Formula(telling) => {
                let sources = set.problems.iter().filter_map(|problem| Some((&*problem.id, problem.source.as_ref()?)));
                let sources: HashMap<&str, &Expr> = sources.collect();
                let labeller = |id: &str| match sources.get(id) {
                    Some(&formula) => Ok(FormulaLabeller::new(telling, formula.clone())),
                    None => Err(sr_dagger::Error::NoFormula { problem: id.to_owned() }),
                };
                relabel_file(&args.traces, &options, instance, labeller, progress)?
            }
        };
        bar.finish_and_clear();
        if counts.stopped {
            return Ok(sr_cli::stopped(&format!(
                "after {} trajectories, from which --resume goes on",
                counts.trajectories
            )));
        }
        let labels_per_second = (counts.labels as f64 / labelling.elapsed().as_secs_f64()).round();
        // In place the trace's own run file stays: it says how the trace was made.
        let noted = out.map_or_else(|| args.traces.with_added_extension("relabel"), Path::to_owned);
        sr_cli::write_run_file(&noted, &args.common, started)?;
        let result = json!({
            "trajectories": counts.trajectories,
            "states": counts.states,
            "labels": counts.labels,
            "improving": counts.improving,
            "labels_per_second": labels_per_second,
        });
        let text = format!(
            "{} labels of {} states in {} trajectories, {} of them fitter than the best individual so far ({labels_per_second} labels/s)",
            counts.labels, counts.states, counts.trajectories, counts.improving
        );
        args.common.report("sr-relabel", started, result, &text)?;
        Ok(Exit::Ok)
    })
}
