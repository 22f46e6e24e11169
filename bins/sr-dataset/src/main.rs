//! `sr-dataset`: data sets in one go, checked, and put together from shards.

mod build;
mod config;
mod manifest;
mod validate;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, ensure};
use clap::{Parser, Subcommand};
use serde_json::json;
use sr_cli::{Common, Exit};
use sr_codec::Kind;

use crate::config::{Config, Plan};

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
    /// A build that was interrupted goes on where it was when it is started again, and ends with the same bytes.
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
        /// Problem files whose formulas were kept out; suites need not be named
        #[arg(long, num_args = 1.., value_name = "FILE")]
        exclude: Vec<PathBuf>,
    },
    /// Join the shards of a trace (sr-search --shard I/N), given in order, into the bytes of one run
    Merge {
        /// The shards: 1/N, 2/N, …
        #[arg(required = true, value_name = "SHARD")]
        shards: Vec<PathBuf>,
        /// File to write
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}

fn main() -> ExitCode {
    let args = Args::parse();
    sr_cli::run(|| {
        args.common.init()?;
        match &args.command {
            Command::Build { config, out, generations } => build(&args.common, config, out.as_deref(), *generations),
            Command::Validate { dir, exclude } => validate(&args.common, dir, exclude),
            Command::Merge { shards, out } => merge(&args.common, shards, out),
        }
    })
}

fn build(common: &Common, config: &Path, out: Option<&Path>, generations: Option<u32>) -> anyhow::Result<Exit> {
    let started = Instant::now();
    let plan = Config::read(config)
        .and_then(|read| Plan::new(read, config, common.seed, generations))
        .with_context(|| format!("reading {}", config.display()))?;
    let out = out.map_or_else(|| PathBuf::from(plan.name()), Path::to_owned);
    let built = build::build(&plan, &out, common)?;
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
        text += &format!("; {} examples were left out, by reason in manifest.json", corpus.excluded.total());
    }
    if !built.kept.is_empty() {
        text += &format!("; {} were there already", built.kept.join(", "));
    }
    common.report("sr-dataset build", started, result, &text)?;
    Ok(Exit::Ok)
}

fn validate(common: &Common, dir: &Path, exclude: &[PathBuf]) -> anyhow::Result<Exit> {
    let started = Instant::now();
    let checked = validate::validate(dir, exclude, common)?;
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

fn merge(common: &Common, shards: &[PathBuf], out: &Path) -> anyhow::Result<Exit> {
    let started = Instant::now();
    for shard in shards {
        let kind = sr_codec::peek(shard)?.kind;
        ensure!(
            kind == Kind::Trace,
            "{}: its kind is {kind}; shards of a trace can be merged, problem sets and corpora are made whole",
            shard.display()
        );
        let same = |a: &Path| a.canonicalize().ok();
        ensure!(same(out).is_none() || same(out) != same(shard), "--out {} is a shard", out.display());
    }
    let trajectories = sr_trace::merge(shards, out)?;
    sr_cli::write_run_file(out, common, started)?;
    let result = json!({
        "shards": shards.len(),
        "trajectories": trajectories,
        "bytes": std::fs::metadata(out)?.len(),
        "out": out.display().to_string(),
    });
    let text = format!("{}: {trajectories} trajectories of {} shards", out.display(), shards.len());
    common.report("sr-dataset merge", started, result, &text)?;
    Ok(Exit::Ok)
}
