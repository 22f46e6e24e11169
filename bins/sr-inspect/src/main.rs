//! `sr-inspect`: what a file or folder of ours holds.

mod print;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::ensure;
use clap::Parser;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use sr_cli::{Common, Exit};
use sr_lab::inspect::{self, Contexts, Options};
use sr_lab::sr_codec::Kind;
use sr_lab::sr_expr::Target;

#[global_allocator]
static GLOBAL: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Show what any file or folder of sr holds: header, statistics and records
///
/// Problem sets, traces, corpora, checkpoints, folders of sr-fit, sr-train, sr-dagger, sr-dataset and sr-convert, DAgger
/// buffers, reports and other JSON files. Guarded operators are shown as what they are: pdiv, plog, psqrt, pexp, ptan, pinv.
///
/// Where the problem set of a trace lies beside it, or is given with --problems, errors are computed again from the formula
/// over all rows, and formulas have the names of columns; else errors are shown as recorded. Columns of another problem set
/// are found by their names if the search's own set lies beside the trace; else they are taken in their order, which is said.
///
/// A file that was cut or damaged is shown up to that place; the exit code is 2 then.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// A file or folder, or - for a file on standard input; of weights (.bpk, .safetensors) their folder is shown
    file: PathBuf,
    /// Records to show: a number or all [default: all with --json or if the file was cut, else 10]
    #[arg(long, value_name = "N|all", value_parser = parse_head)]
    head: Option<usize>,
    /// Show one record in detail: its number, counted from 0, or its problem's id (the first of several)
    #[arg(long, value_name = "K", conflicts_with = "head")]
    id: Option<String>,
    /// Of a trace: the best formula of each search, whole, with its error over all rows; with --json without generations
    #[arg(long)]
    best: bool,
    /// With --best: print the best formula of each search, and nothing else, as text of another system: mathematics of
    /// LaTeX, a line for SymPy, a function of NumPy, Rust or C, or a JSON tree; with --json as the field export
    #[arg(long, value_name = "SYSTEM", requires = "best", conflicts_with = "context", value_parser = targets())]
    export: Option<Target>,
    /// Of a trace, with --id: what the search's best formula says of each row of the problem set; with --problems of other
    /// rows than those that it was found on, too
    #[arg(long, requires = "id", conflicts_with_all = ["context", "best"])]
    predict: bool,
    /// Of a trace: the error at which a search counts as converged: the mean squared error, if R² is 0.999 or more, and of
    /// searches with --objective mse 1 - R²; over all rows where the problem set is at hand, else as recorded
    #[arg(long, value_name = "ERROR", default_value_t = DEFAULT_THRESHOLD, value_parser = parse_threshold)]
    threshold: f64,
    /// With --id, the context as the original system writes it: of a problem, an example, or each generation
    #[arg(long, value_name = "KIND", requires = "id", value_parser = ["basic", "rich", "superrich"])]
    context: Option<String>,
    /// Problem set of a trace, or of the context [default: the one that the file names, beside it or one folder up]
    #[arg(long, value_name = "FILE")]
    problems: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

/// That of the original system.
const DEFAULT_THRESHOLD: f64 = 1e-6;

fn targets() -> impl TypedValueParser<Value = Target> {
    PossibleValuesParser::new(Target::ALL.map(Target::name)).try_map(|name| name.parse::<Target>())
}

fn parse_threshold(text: &str) -> Result<f64, String> {
    let threshold = text.parse().ok().filter(|threshold: &f64| *threshold >= 0.0 && threshold.is_finite());
    threshold.ok_or_else(|| "expected a number, 0 or more".to_owned())
}

fn parse_head(text: &str) -> Result<usize, String> {
    match text {
        "all" => Ok(usize::MAX),
        _ => text.parse().map_err(|_| "expected a number or all".to_owned()),
    }
}

fn main() -> ExitCode {
    sr_args::run(|| {
        let started = Instant::now();
        let (mut args, given) = sr_cli::parse::<Args>();
        args.common.init()?;
        // It lasts until all is shown.
        let mut _copy = None;
        if args.file == Path::new("-") {
            args.problems = args.problems.take().map(std::path::absolute).transpose()?;
            let (folder, name) = sr_cli::copy_of_standard_input()?;
            (args.file, _copy) = (name, Some(folder));
        }
        given.refuse(&["seed"], "here, where nothing is drawn")?;
        let kind = inspect::record_kind(&args.file)?;
        let of_trace = [
            (given.has("threshold"), "--threshold"),
            (args.problems.is_some() && (args.context.is_none() || kind == Some(Kind::Problems)), "--problems"),
        ];
        if let Some((_, flag)) = of_trace.into_iter().find(|(given, _)| *given) {
            ensure!(kind == Some(Kind::Trace), "{flag} is for traces; {} is none", args.file.display());
        }
        let is_export = args.export.is_some() && !args.common.json;
        ensure!(!is_export || !given.has("threshold"), "--threshold has no effect on --export but with --json");
        let context = args.context.as_deref().and_then(sr_lab::sr_prompt::Context::from_name);
        let contexts = context.map(|kind| Contexts::open(kind, &args.file, args.problems.as_deref())).transpose()?;
        let options = Options {
            threshold: args.threshold,
            best: args.best,
            export: args.export,
            predict: args.predict,
            problems: args.problems.filter(|_| kind == Some(Kind::Trace)),
        };
        let mut view = inspect::open(&args.file, &options)?;
        let shown = print::Shown {
            head: args.head,
            id: args.id,
            contexts,
            json: args.common.json,
            best: args.best,
            export: args.export.is_some(),
            started,
        };
        print::show(&mut *view, shown)?;
        Ok(Exit::Ok)
    })
}
