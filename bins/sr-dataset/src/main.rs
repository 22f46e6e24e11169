//! `sr-dataset`: data sets in one go, checked, and put together from shards.

mod build;
mod config;
mod manifest;
mod validate;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use clap::{Parser, Subcommand};
use serde_json::{Value, json};
use sr_cli::{Claim, Common, Exit, OutputArgs, Shard};
use sr_codec::Kind;
use sr_problems::ProblemSet;

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
    let (args, _) = sr_cli::parse::<Args>();
    sr_args::run(|| {
        args.common.init()?;
        match &args.command {
            Command::Build { config, out, generations } => build(&args.common, config, out.as_deref(), *generations),
            Command::Validate { dir, exclude } => validate(&args.common, dir, exclude),
            Command::Merge { shards, problems, out, output } => {
                merge(&args.common, shards, problems.as_deref(), out, *output)
            }
        }
    })
}

fn build(common: &Common, config: &Path, out: Option<&Path>, generations: Option<u32>) -> anyhow::Result<Exit> {
    let started = Instant::now();
    let plan = Config::read(config)
        .and_then(|read| Plan::new(read, config, common.seed, generations))
        .with_context(|| format!("reading {}", config.display()))?;
    let out = out.map_or_else(|| PathBuf::from(plan.name()), Path::to_owned);
    let files = ["manifest.json", "problems.sr", "trace.sr", "dataset.run.json"];
    let _output = Claim::folder(&out).also(files).inputs([config]).may_exist(true).take()?;
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

fn merge(
    common: &Common,
    shards: &[PathBuf],
    problems: Option<&Path>,
    out: &Path,
    output: OutputArgs,
) -> anyhow::Result<Exit> {
    let started = Instant::now();
    for shard in shards {
        let kind = sr_codec::peek(shard)?.kind;
        ensure!(
            kind == Kind::Trace,
            "{}: its kind is {kind}; shards of a trace can be merged, problem sets and corpora are made whole",
            shard.display()
        );
    }
    let _output = Claim::file(out).inputs(shards).inputs(problems).may_exist(output.force).take()?;
    let settings = shards.iter().map(|shard| sr_cli::settings_of(shard)).collect::<anyhow::Result<Vec<_>>>()?;
    let settings = check_shards(shards, settings)?;
    let ids = problem_ids(&shards[0], problems, settings.as_ref())?;
    if settings.is_none() && ids.is_none() {
        tracing::warn!(
            "neither run files nor the problem set were found, so a shard that is missing at the end is not noticed"
        );
    }
    let trajectories = sr_trace::merge_of(shards, out, ids.as_deref())?;
    sr_cli::write_run_file_with(out, common, started, &settings.unwrap_or_default())?;
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

/// Fails unless the run files say that these are all shards of one run, in order; gives the settings of the whole run,
/// `None` if a shard has no run file.
fn check_shards(files: &[PathBuf], settings: Vec<Option<Value>>) -> anyhow::Result<Option<Value>> {
    let mut first: Option<Value> = None;
    let mut found: BTreeMap<usize, &Path> = BTreeMap::new();
    let mut order = Vec::new();
    let mut is_known = true;
    for (file, settings) in files.iter().zip(settings) {
        let told = file.display();
        let Some(mut settings) = settings else {
            is_known = false;
            continue;
        };
        let shard = settings["shard"].take();
        let Some(shard) = shard.as_str() else {
            ensure!(files.len() == 1, "{told}: a whole run by its run file, and no shard");
            continue;
        };
        let (index, count) = shard
            .parse::<Shard>()
            .map_err(|error| anyhow::anyhow!("{told}.run.json: shard {shard:?}: {error}"))?
            .index_and_count();
        if count != files.len() && count < files.len() {
            bail!("{told}: a shard of {count}, and {} files are given", files.len());
        }
        if let Some(other) = found.insert(index, file) {
            bail!("shard {shard} is given twice: {} and {told}", other.display());
        }
        order.push((index, count, file));
        match &first {
            None => first = Some(settings),
            Some(first) => sr_cli::check_made_alike(file, &settings, first)
                .with_context(|| format!("{told} and {} are shards of different runs", files[0].display()))?,
        }
    }
    if let Some(&(_, count, file)) = order.iter().find(|&&(_, count, _)| count != order[0].1) {
        bail!("{} is a shard of {count}, {} of {}", file.display(), order[0].2.display(), order[0].1);
    }
    if is_known && let Some(&(_, count, _)) = order.first() {
        let missing: Vec<String> = (0..count)
            .filter(|index| !found.contains_key(index))
            .map(|index| format!("{}/{count}", index + 1))
            .collect();
        ensure!(missing.is_empty(), "of the shards {} are missing: {}", missing.len(), missing.join(", "));
        if let Some((place, (index, _, file))) = order.iter().enumerate().find(|(place, (index, ..))| place != index) {
            bail!(
                "the shards are out of order: {} is {}/{count}, expected {}/{count}",
                file.display(),
                index + 1,
                place + 1
            );
        }
    }
    Ok(first.filter(|_| is_known))
}

/// The ids of the problems that were searched, in their order; `None` if the problem set is not at hand.
fn problem_ids(shard: &Path, given: Option<&Path>, settings: Option<&Value>) -> anyhow::Result<Option<Vec<String>>> {
    let reader = sr_trace::TraceReader::open(shard)?;
    let Ok(path) = sr_corpus::find_problems(shard, &reader.header().problems, given) else { return Ok(None) };
    let set = ProblemSet::read(&path)?;
    let made_of = settings.and_then(|settings| settings["problems"].as_str());
    let found = format!("{} problems {:016x}", set.problems.len(), set.fingerprint());
    match made_of {
        Some(made_of) if made_of != found => {
            let told = format!("{}: {found}, the shards are of {made_of}", path.display());
            ensure!(given.is_none(), "{told}: this is another problem set");
            tracing::warn!("{told}: the order of problems is not checked");
            return Ok(None);
        }
        _ => {}
    }
    let most = settings.and_then(|settings| settings["max_problems"].as_u64()).unwrap_or(u64::MAX);
    let ids = set.problems.into_iter().map(|problem| problem.id);
    Ok(Some(ids.take(usize::try_from(most).unwrap_or(usize::MAX)).collect()))
}
