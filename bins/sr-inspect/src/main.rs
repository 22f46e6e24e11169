//! `sr-inspect`: what a problem set, trace, corpus or checkpoint holds.

mod checkpoint;
mod corpus;
mod json;
mod problems;
mod trace;
mod view;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use sr_cli::{Common, Exit};
use sr_codec::Kind;

#[global_allocator]
static GLOBAL: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Show a problem set, trace, corpus, checkpoint, or a JSON file beside them: header, statistics and records
///
/// A file that was cut or damaged is shown up to that place; the exit code is 2 then.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// A record file, the folder of a checkpoint or training run (or a .bpk file in it), or a .json or .jsonl file
    file: PathBuf,
    /// Records to show: a number or all [default: all with --json or if the file was cut, else 10]
    #[arg(long, value_name = "N|all", value_parser = parse_head)]
    head: Option<usize>,
    /// Show one record in detail: its number, counted from 0, or its problem's id (the first of several)
    #[arg(long, value_name = "K", conflicts_with = "head")]
    id: Option<String>,
    /// With that record, the context as the original system writes it: of a problem, an example, or each generation
    #[arg(long, value_name = "KIND", requires = "id", value_parser = ["basic", "rich", "superrich"])]
    context: Option<String>,
    /// Problem set of the context [default: the one that the file names, beside it]
    #[arg(long, value_name = "FILE", requires = "context")]
    problems: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

fn parse_head(text: &str) -> Result<usize, String> {
    match text {
        "all" => Ok(usize::MAX),
        _ => text.parse().map_err(|_| "expected a number or all".to_owned()),
    }
}

fn main() -> ExitCode {
    sr_cli::run(|| {
        let started = Instant::now();
        let args = Args::parse();
        args.common.init()?;
        // Weights and optimiser state are told by the folder that they are part of.
        let is_weights = args.file.extension().is_some_and(|extension| extension == "bpk");
        let folder = args.file.parent().filter(|_| is_weights && args.file.exists()).map(Path::to_path_buf);
        let file =
            &folder.map_or(args.file.clone(), |folder| if folder == Path::new("") { ".".into() } else { folder });
        let context = args.context.as_deref().and_then(sr_prompt::Context::from_name);
        let contexts = context.map(|kind| view::Contexts::open(kind, file, args.problems.as_deref())).transpose()?;
        let options = view::Options { head: args.head, id: args.id, contexts, json: args.common.json, started };
        if file.is_dir() {
            view::show(checkpoint::Checkpoint::open(file)?, options)?;
        } else if json::Json::is_named(file) {
            view::show(json::Json::open(file)?, options)?;
        } else {
            match sr_codec::peek(file)?.kind {
                Kind::Problems => view::show(problems::Problems::open(file)?, options),
                Kind::Trace => view::show(trace::Trace::open(file)?, options),
                Kind::Corpus => view::show(corpus::Corpora::open(file)?, options),
            }?;
        }
        Ok(Exit::Ok)
    })
}
