//! Fits a model to corpora.

mod export;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Parser;
use serde_json::json;
use sr_cli::{Claim, Common, Exit};
use sr_lab::sr_train::{Scores, Start, StepStats, StopReason, Summary, TrainConfig};
use sr_lab::train::{Fitted, Training};
use sr_lab::{Ended, Monitor, report};

#[global_allocator]
static GLOBAL: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Fit a model to corpora and keep its best and last state as checkpoints
///
/// Batches depend on --seed and the step alone, so a run that was stopped or killed and is resumed has the weights of
/// an undisturbed one.
///
/// --out gets best/ and last/, metrics.jsonl, report.html with the learning curves, and by the settings step-N/, event files for TensorBoard or a script for
/// Weights & Biases. A loss that is no number ends the run, and its batch is in diverged-N.json.
#[derive(Parser)]
#[command(name = "sr-train", version, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// Settings: mode, model, language, training, tracking; see configs/
    #[arg(long, value_name = "C.toml", required = true)]
    config: Option<PathBuf>,
    /// Corpora to learn from
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    train: Vec<PathBuf>,
    /// Corpus to validate on
    #[arg(long, value_name = "FILE", required = true)]
    val: Option<PathBuf>,
    /// Problem sets that the corpora were made from [default: by the name each corpus gives, beside it or one folder up]
    #[arg(long, value_name = "FILE", num_args = 1..)]
    problems: Vec<PathBuf>,
    /// Folder of the run
    #[arg(long, value_name = "DIR", required = true)]
    out: Option<PathBuf>,
    /// Begin with the weights of this checkpoint instead of random ones: one of the same mode, language and shape, or the
    /// folder of a GPT-Neo model of the transformers library, whose blocks, last norm and positions are taken. With
    /// --resume it has to be the one that the run began with
    #[arg(long, value_name = "CKPT")]
    init: Option<PathBuf>,
    /// Go on with the run in --out; a new one if there is none
    #[arg(long)]
    resume: bool,
    /// Where to compute: cpu, ndarray or cuda
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    device: String,
    /// Stop after N steps in all, as if interrupted: the learning rate falls as configured
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    max_steps: Option<u64>,
    /// Stop after M minutes, likewise
    #[arg(long, value_name = "M", value_parser = minutes)]
    max_minutes: Option<Duration>,
    #[command(flatten)]
    common: Common,
}

#[derive(clap::Subcommand)]
enum Command {
    Export(export::ExportArgs),
}

fn main() -> ExitCode {
    let (args, _) = sr_cli::parse::<Args>();
    sr_args::run(|| match &args.command {
        Some(Command::Export(args)) => export::export(args),
        None => fit(&args),
    })
}

fn fit(args: &Args) -> anyhow::Result<Exit> {
    let started = Instant::now();
    args.common.init()?;
    // Only a command of its own does without them.
    let (Some(config), Some(val), Some(out)) = (&args.config, &args.val, &args.out) else {
        anyhow::bail!("--config, --val and --out are needed")
    };
    let read = || format!("reading {}", config.display());
    let text = std::fs::read_to_string(config).with_context(read)?;
    let training = Training {
        corpora: args.train.clone(),
        validation: val.clone(),
        problems: args.problems.clone(),
        config: TrainConfig::from_toml(&text).with_context(read)?.resolve(args.common.seed),
        start: args.init.clone().map_or(Start::Fresh, Start::Checkpoint),
        out: out.clone(),
        resume: args.resume,
        device: args.device.parse()?,
        max_steps: args.max_steps,
        max_time: args.max_minutes,
    };
    let inputs = args.train.iter().chain([val, config]).chain(&args.problems);
    let files = ["metrics.jsonl", "train.run.json", report::REPORT];
    let _output = Claim::folder(out).also(files).inputs(inputs).may_exist(true).take()?;
    let loaded = training.load()?;

    let steps = training.steps();
    let progress = args.common.progress(steps, "steps");
    let stop = sr_cli::on_interrupt("this step, and saving")?;
    let mut monitor = Monitor::new(stop, |steps| progress.inc(steps));
    let mut on_step = |_, stats: &StepStats| {
        progress.set_message(format!("loss {:.3}, {:.0} tokens/s", stats.loss(), stats.tokens_per_second()));
    };
    let Fitted { ended, summary } = loaded.fit(&mut monitor, &mut on_step)?;
    drop(monitor);
    progress.finish_and_clear();
    if let Ended::Stopped { done } = ended {
        return Ok(sr_cli::stopped(&format!("after {done} of {steps} steps, from which --resume goes on")));
    }
    sr_cli::write_run_file_with(&out.join("train"), &args.common, started, &loaded.data())?;
    let page = out.join(report::REPORT);
    // Without tracking there are no losses to show.
    let has_page = out.join("metrics.jsonl").exists();
    if has_page {
        sr_cli::write_atomically(&page, report::page(out)?.as_bytes())?;
    }
    tell(args, started, &summary, has_page.then_some(&page))?;
    Ok(Exit::Ok)
}

fn tell(args: &Args, started: Instant, summary: &Summary, page: Option<&PathBuf>) -> anyhow::Result<()> {
    let Summary { steps, train_loss, val_loss, scores, stop, tokens_per_second, examples_per_second, best, last } =
        summary;
    let fit = scores.and_then(|scores| scores.fit);
    let result = json!({
        "steps": steps,
        "stop": match stop {
            StopReason::Steps => "steps",
            StopReason::Patience => "patience",
            StopReason::Limit => "limit",
        },
        "train_loss": train_loss,
        "val_loss": val_loss,
        "val_token_accuracy": scores.map(|scores| scores.token_accuracy),
        "val_exact_match": scores.map(|scores| scores.exact_match),
        "val_r2": fit.map(|fit| fit.r2),
        "val_r2_above_99": fit.map(|fit| fit.r2_above_99),
        "tokens_per_second": tokens_per_second.map(f64::round),
        "examples_per_second": examples_per_second.map(|rate| (rate * 10.0).round() / 10.0),
        "best": best.display().to_string(),
        "last": last.display().to_string(),
    });
    let early = if *stop == StopReason::Patience { ", stopped early" } else { "" };
    let scores = scores.map_or(String::new(), |Scores { token_accuracy, exact_match, fit }| {
        let fit = fit.map_or(String::new(), |fit| format!(", R² {:.3}", fit.r2));
        format!(", {:.1} % of tokens, {:.1} % exact matches{fit}", 100.0 * token_accuracy, 100.0 * exact_match)
    });
    let speed = tokens_per_second.map_or("nothing left to train".to_owned(), |rate| format!("{rate:.0} tokens/s"));
    let curves = page.map_or(String::new(), |page| format!(", learning curves in {}", page.display()));
    let text = format!(
        "{steps} steps{early}, validation loss {val_loss:.4}{scores}, {speed}\nbest model in {}, last in {}{curves}",
        best.display(),
        last.display()
    );
    args.common.report("sr-train", started, result, &text)
}

fn minutes(text: &str) -> Result<Duration, String> {
    let minutes: f64 = text.parse().map_err(|_| "expected a number of minutes".to_owned())?;
    Duration::try_from_secs_f64(minutes * 60.0).map_err(|e| e.to_string())
}
