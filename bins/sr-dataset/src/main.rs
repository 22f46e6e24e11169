//! `sr-dataset`: data sets in one go, checked, and put together from shards.

mod config;
mod name;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;
use clap::{Parser, Subcommand};
use serde_json::json;
use sr_args::counted;
use sr_cli::{Claim, Common, Exit, OutputArgs};
use sr_lab::dataset::{self, Manifest, Merge, Merged, Plan, Shard};
use sr_lab::{Ended, Monitor};

use crate::config::Config;

#[global_allocator]
static GLOBAL: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Make and check whole data sets: problems, traces of the expert, training examples, and a manifest of them
#[derive(Parser)]
#[command(version)]
struct Args {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    common: Common,
}

#[derive(Subcommand)]
enum Command {
    /// Problems, traces and corpus from a configuration
    ///
    /// A build that was stopped (Ctrl-C) or killed goes on where it was when it is started again, and ends with the same
    /// bytes.
    ///
    ///   DIR/manifest.json       settings, counts, sizes, SHA-256 of every file; the same for equal builds
    ///   DIR/problems.sr         as from sr-generate
    ///   DIR/trace.sr            as from sr-search
    ///   DIR/corpus/train.sr     as from sr-convert, and val.sr
    #[command(verbatim_doc_comment)]
    Build {
        /// Settings: problems, search, corpus; see configs/dataset-*.toml
        #[arg(value_name = "CONFIG.toml")]
        config: PathBuf,
        /// Folder to write to [default: named after what it holds, such as gen1k_arith_1k_c05]
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
        /// Populations in a trajectory instead of the configuration's
        #[arg(long, value_name = "N")]
        generations: Option<u32>,
    },
    /// Check a data set: hashes, counts, every record, references, the split, excluded formulas
    ///
    /// Prints a line for each failure and exits with 1 if there is one.
    Validate {
        /// The folder
        dir: PathBuf,
        /// The problem files whose formulas were kept out; suites need not be named
        #[arg(long, num_args = 1.., value_name = "FILE")]
        exclude: Vec<PathBuf>,
    },
    /// Join the shards of a trace (sr-search --shard I/N), given in order, into the bytes of one run
    ///
    /// Which shard a file is stands in its run file, SHARD.run.json; beside that, no problem may be in two of them, and they
    /// have to be in the order of the problem set if that is found.
    Merge {
        /// The shards: 1/N, 2/N, …
        #[arg(required = true, value_name = "SHARD")]
        shards: Vec<PathBuf>,
        /// The problem set that was searched [default: the file that the shards name, in their folder or the one above]
        #[arg(long, value_name = "FILE")]
        problems: Option<PathBuf>,
        /// File to write
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        #[command(flatten)]
        output: OutputArgs,
    },
}

fn main() -> ExitCode {
    let (args, given) = sr_cli::parse::<Args>();
    sr_args::run(|| {
        args.common.init()?;
        match &args.command {
            Command::Build { config, out, generations } => build(&args.common, config, out.as_deref(), *generations),
            Command::Validate { dir, exclude } => {
                given.refuse(&["seed"], "with validate, which draws nothing")?;
                validate(&args.common, dir, exclude)
            }
            Command::Merge { shards, problems, out, output } => {
                given.refuse(&["seed"], "with merge, which draws nothing")?;
                merge(&args.common, shards, problems.as_deref(), out, *output)
            }
        }
    })
}

fn build(common: &Common, config: &Path, out: Option<&Path>, generations: Option<u32>) -> anyhow::Result<Exit> {
    let started = Instant::now();
    let plan = Config::read(config)
        .and_then(|read| Plan::new(read.settings(config, common.seed, generations)?))
        .with_context(|| format!("reading {}", config.display()))?;
    let stop = sr_cli::on_interrupt("the current searches, or what else it is at")?;
    let out = out.map_or_else(|| PathBuf::from(name::of_plan(&plan)), Path::to_owned);
    let files = ["manifest.json", "problems.sr", "trace.sr", "dataset.run.json"];
    let _output = Claim::folder(&out).also(files).inputs([config]).may_exist(true).take()?;
    let bar = common.progress(plan.pieces(), "problems, searches and their examples");
    let progress = bar.clone();
    let built = dataset::build(&plan, &out, &mut Monitor::new(stop, move |pieces| progress.inc(pieces)))?;
    bar.finish_and_clear();
    if let Ended::Stopped { done } = built.ended {
        let (out, pieces) = (out.display(), plan.pieces());
        return Ok(sr_cli::stopped(&format!("{out} has {done} of {pieces} parts; the same command goes on")));
    }
    sr_cli::write_run_file(&out.join("dataset"), common, started)?;

    let manifest = &built.manifest;
    let problems = manifest.problems.as_ref().map_or(0, |stage| stage.problems);
    let trajectories = manifest.traces.as_ref().map_or(0, |stage| stage.trajectories);
    let corpus = manifest.corpus.as_ref().context("a finished build has a corpus")?;
    let bytes: u64 = manifest.files().map(|file| file.bytes).sum();
    let result = json!({
        "problems": problems,
        "trajectories": trajectories,
        "train": corpus.train,
        "val": corpus.val,
        "excluded": corpus.excluded.total(),
        "bytes": bytes,
        "kept": built.kept,
        "out": out.display().to_string(),
    });
    let mut text = format!(
        "{}: {problems} problems, {trajectories} trajectories, {} training and {} validation examples, {bytes} bytes",
        out.display(),
        corpus.train,
        corpus.val
    );
    if corpus.excluded.total() > 0 {
        let left_out = corpus.excluded.total();
        let were = if left_out == 1 { "was" } else { "were" };
        text += &format!("; {} {were} left out, by reason in manifest.json", counted(left_out as usize, "example"));
    }
    if !built.kept.is_empty() {
        text += &format!("; {} were there already", built.kept.join(", "));
    }
    common.report("sr-dataset build", started, result, &text)?;
    Ok(Exit::Ok)
}

fn validate(common: &Common, dir: &Path, exclude: &[PathBuf]) -> anyhow::Result<Exit> {
    let started = Instant::now();
    let bar = common.progress(Manifest::read(dir)?.records(), "records");
    let checked = dataset::validate(dir, exclude, &mut Monitor::of_progress(|records| bar.inc(records)))?;
    bar.finish_and_clear();
    let is_valid = checked.failures.is_empty();
    let result = json!({
        "valid": is_valid,
        "files": checked.files,
        "records": checked.records,
        "failures": checked.failures,
    });
    let text = match is_valid {
        true => format!("{}: valid, {} files, {} records", dir.display(), checked.files, checked.records),
        false => checked.failures.join("\n"),
    };
    common.report("sr-dataset validate", started, result, &text)?;
    Ok(if is_valid { Exit::Ok } else { Exit::Negative })
}

fn merge(
    common: &Common,
    shards: &[PathBuf],
    problems: Option<&Path>,
    out: &Path,
    output: OutputArgs,
) -> anyhow::Result<Exit> {
    let started = Instant::now();
    let shards = shards.iter().map(|path| shard(path)).collect::<anyhow::Result<Vec<_>>>()?;
    let found = dataset::find_problem_set(&shards, problems)?;
    let inputs = shards.iter().map(|shard| &*shard.path).chain(found.as_deref());
    let _output = Claim::file(out).inputs(inputs).may_exist(output.force).take()?;
    let Merged { trajectories, settings } = dataset::merge(&Merge { shards: &shards, problems, out })?;
    sr_cli::write_run_file_with(out, common, started, &settings.unwrap_or_default())?;
    let result = json!({
        "shards": shards.len(),
        "trajectories": trajectories,
        "bytes": std::fs::metadata(out)?.len(),
        "out": out.display().to_string(),
    });
    let text = format!("{}: {trajectories} trajectories of {}", out.display(), counted(shards.len(), "shard"));
    common.report("sr-dataset merge", started, result, &text)?;
    Ok(Exit::Ok)
}

/// A file, and what its run file says of it.
fn shard(path: &Path) -> anyhow::Result<Shard> {
    let mut settings = sr_cli::settings_of(path)?;
    let number = settings.as_mut().map(|settings| settings["shard"].take());
    let index = match number.as_ref().and_then(|number| number.as_str()) {
        None => None,
        Some(text) => {
            let parsed = text.parse::<sr_cli::Shard>();
            let parsed =
                parsed.map_err(|error| anyhow::anyhow!("{}.run.json: shard {text:?}: {error}", path.display()))?;
            Some(parsed.index_and_count())
        }
    };
    Ok(Shard { path: path.to_owned(), settings, index })
}
