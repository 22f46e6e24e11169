//! `sr-report`: results as one page.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use serde_json::json;
use sr_cli::{Claim, Common, Exit, OutputArgs};
use sr_lab::report;
use sr_lab::sr_report::{Section, report_page};

#[global_allocator]
static GLOBAL: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Show results as one page: formulas, comparisons, learning curves, rounds of DAgger
///
/// The page is one HTML file that needs no network. It has charts with tooltips, tables that can be sorted and filtered, a
/// light and a dark look, and can be printed. Several results are tabs of one page. Equal results give equal bytes.
#[derive(Parser)]
#[command(name = "sr-report", version)]
struct Args {
    /// Folders of sr-fit, sr-train and sr-dagger, and files of sr-evaluate --out
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The page, an HTML file
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
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
        given.refuse(&["seed", "threads"], "here, where nothing is drawn or computed")?;
        let output = Claim::file(&args.out).inputs(&args.paths).may_exist(args.output.force).take()?;
        let sections = args.paths.iter().map(|path| report::read(path)).collect::<anyhow::Result<Vec<Section>>>()?;
        let page = report_page(&sections);
        sr_cli::write_atomically(output.path(), page.as_bytes())?;
        drop(output);
        let out = args.out.display().to_string();
        let kinds: Vec<&str> = sections.iter().map(Section::kind).collect();
        let text = format!("{out}: {} bytes, {}", page.len(), kinds.join(", "));
        args.common.report(
            "sr-report",
            started,
            json!({ "sections": kinds, "bytes": page.len(), "out": out }),
            &text,
        )?;
        Ok(Exit::Ok)
    })
}
