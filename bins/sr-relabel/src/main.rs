//! `sr-relabel`: what the expert would have done in the states of a trace.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use serde_json::{Value, json};
use sr_args::LabelArgs;
use sr_cli::{Claim, Common, Exit, Given, OutputArgs, Shard};
use sr_lab::relabel::{self, Relabelled, Relabelling};
use sr_lab::sr_trace::TraceReader;
use sr_lab::{Ended, Monitor};

#[global_allocator]
static GLOBAL: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Label every state of a trace with what the expert would do in it (DAgger)
///
/// The states are those that were visited; what the search did stays as it is beside the labels. The trace is untouched
/// until all is done.
///
/// Ctrl-C finishes the trajectories that have begun and exits with 130; a second Ctrl-C stops at once. After either, a kill
/// or a full disk, the same command with --resume goes on, to the bytes of an undisturbed run. Without --resume the work in
/// place begins anew, to the same bytes, and with --out what was begun is kept and told as an error.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// The trace; of a link, the file that it leads to
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
    let (args, given) = sr_cli::parse::<Args>();
    sr_args::run(|| real_main(&args, &given))
}

fn real_main(args: &Args, given: &Given) -> anyhow::Result<Exit> {
    let started = Instant::now();
    args.common.init()?;
    if args.out.is_none() {
        given.refuse(&["force"], "without --out: labels replace the trace")?;
    }
    let relabelling = Relabelling {
        traces: args.traces.clone(),
        problems: relabel::find_problems(&args.traces, args.problems.as_deref())?,
        out: args.out.clone(),
        labelling: args.labels.labelling()?,
        seed: args.common.seed,
        shard: args.shard.map(Shard::index_and_count),
        resume: args.resume,
    };
    // What is labelled in place, and not the link that leads to it.
    let target = relabel::target(&args.traces)?;
    let out = args.out.as_deref().unwrap_or(&target);
    let claim = match &args.out {
        Some(out) => {
            let may_exist = args.output.force || args.resume;
            let inputs = [&args.traces, &relabelling.problems];
            Claim::file(out).inputs(inputs).may_exist(may_exist).unfinished(".partial", may_exist)
        }
        None => Claim::file(&target).flag("--traces").inputs([&relabelling.problems]).may_exist(true),
    };
    let _output = claim.take()?;
    let records = TraceReader::open(&args.traces)?.stated_records();
    let bar = args.common.progress(records.unwrap_or(0), "trajectories");
    let stop = sr_cli::on_interrupt("the current trajectories")?;
    let begun = Instant::now();
    let Relabelled { ended, counts } = relabelling.run(&mut Monitor::new(stop, |done| bar.inc(done)))?;
    bar.finish_and_clear();
    if let Ended::Stopped { done } = ended {
        return Ok(sr_cli::stopped(&format!("after {done} trajectories, from which --resume goes on")));
    }
    let rate = (!counts.was_there).then(|| (counts.labels as f64 / begun.elapsed().as_secs_f64()).round());
    if !counts.was_there {
        // In place the trace's own run file stays: it says how the trace was made.
        let noted = if args.out.is_some() { out.to_owned() } else { out.with_added_extension("relabel") };
        sr_cli::write_run_file_with(&noted, &args.common, started, &settings(args, &target, &relabelling)?)?;
    }
    let result = json!({
        "out": out.display().to_string(),
        "trajectories": counts.trajectories,
        "states": counts.states,
        "labels": counts.labels,
        "improving": counts.improving,
        "labels_per_second": rate,
    });
    let text = match rate {
        None => format!("{} is complete, nothing is left to do", out.display()),
        Some(rate) => format!(
            "{} labels of {} states in {} trajectories, {} of them fitter than the best individual so far ({rate} labels/s)",
            counts.labels, counts.states, counts.trajectories, counts.improving
        ),
    };
    args.common.report("sr-relabel", started, result, &text)?;
    Ok(Exit::Ok)
}

/// What decides the bytes: what the trace was made of, then what its labels were, those of before first.
fn settings(args: &Args, target: &Path, relabelling: &Relabelling) -> anyhow::Result<Value> {
    let of_trace = match sr_cli::settings_of(&args.traces)? {
        None => sr_cli::settings_of(target)?,
        found => found,
    };
    let mut settings = of_trace.unwrap_or_else(|| json!({}));
    let mut labels = relabelling.labelling.settings();
    labels["seed"] = relabelling.seed.into();
    match &mut settings["labels"] {
        Value::Array(before) => before.push(labels),
        none => *none = json!([labels]),
    }
    match args.shard {
        None => {}
        Some(shard) if settings["shard"].is_null() => settings["shard"] = json!(shard.to_string()),
        Some(_) => settings = Value::Null, // a part of a part has no number
    }
    Ok(settings)
}
