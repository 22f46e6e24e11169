//! `sr-relabel`: what the expert would have done in the states of a trace.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use clap::Parser;
use serde_json::json;
use sr_args::LabelArgs;
use sr_cli::{Claim, Common, Exit, OutputArgs, Shard};
use sr_dagger::FileOptions;
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
    #[command(flatten)]
    labels: LabelArgs,
    /// Do part I of N of the problems only; the parts merge to the bytes of one run
    #[arg(long, value_name = "I/N", requires = "out")]
    shard: Option<Shard>,
    /// Continue an interrupted run of the same flags from OUT.partial; a new one is begun if there is none, and nothing is
    /// done if OUT is the finished result of this command. Other settings or another trace are an error
    #[arg(long, conflicts_with = "force")]
    resume: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    common: Common,
}

fn main() -> ExitCode {
    sr_args::run(|| {
        let started = Instant::now();
        let (args, given) = sr_cli::parse::<Args>();
        args.common.init()?;
        if args.out.is_none() {
            given.refuse(&["force"], "without --out: labels replace the trace")?;
        }
        let labelling = args.labels.labelling()?;
        let reader = TraceReader::open(&args.traces)?;
        let problems = args.problems.clone().unwrap_or_else(|| args.traces.with_file_name(&reader.header().problems));
        let claim = match &args.out {
            Some(out) => {
                let may_exist = args.output.force || args.resume;
                let inputs = [&args.traces, &problems];
                Claim::file(out).inputs(inputs).may_exist(may_exist).unfinished(".partial", may_exist)
            }
            // In place.
            None => Claim::file(&args.traces).flag("--traces").inputs([&problems]).may_exist(true),
        };
        let _output = claim.take()?;
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
        let begun = Instant::now();
        let sources = set.problems.iter().filter_map(|problem| Some((&*problem.id, problem.source.as_ref()?)));
        let sources: HashMap<&str, &Expr> = sources.collect();
        let formula = |id: &str| sources.get(id).copied().cloned();
        let counts = labelling.relabel_file(&args.traces, &options, instance, formula, |done| bar.inc(done))?;
        bar.finish_and_clear();
        if let Some(out) = out.filter(|_| counts.was_there) {
            sr_cli::out(&format!("{} is complete, nothing is left to do", out.display()))?;
            return Ok(Exit::Ok);
        }
        if counts.stopped {
            return Ok(sr_cli::stopped(&format!(
                "after {} trajectories, from which --resume goes on",
                counts.trajectories
            )));
        }
        let labels_per_second = (counts.labels as f64 / begun.elapsed().as_secs_f64()).round();
        // In place the trace's own run file stays: it says how the trace was made.
        let noted = out.map_or_else(|| args.traces.with_added_extension("relabel"), Path::to_owned);
        // What the trace was made of, its labels are too.
        let mut settings = sr_cli::settings_of(&args.traces)?.unwrap_or_else(|| json!({}));
        match args.shard {
            None => {}
            Some(shard) if settings["shard"].is_null() => settings["shard"] = json!(shard.to_string()),
            Some(_) => settings = serde_json::Value::Null, // a part of a part has no number
        }
        sr_cli::write_run_file_with(&noted, &args.common, started, &settings)?;
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
