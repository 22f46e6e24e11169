//! Measures how fast the trees of a file are evaluated, after checking each result.
//!
//! The exit code is 0 if everything was measured, 1 if a result is wrong, and 2 for a usage or data error.

use std::path::PathBuf;
use std::process::ExitCode;

use bench_peers::measure::Workload;
use bench_peers::{Case, Figure, Series, TreeSet};
use clap::Parser;
use serde_json::json;
use sr_cli::Exit;
use sr_expr::Level;

/// Checks and times the evaluation of trees; one JSON object a case and number of rows on stdout
#[derive(Parser)]
#[command(version)]
struct Args {
    /// One tree a line in postfix order, such as "x0 c1.5 * sin"; variables x0 x1 x2
    trees: PathBuf,
    /// Rows of the data
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "10,50,100,200,1000,10000", value_parser = rows)]
    rows: Vec<usize>,
    /// Figures to compare with: measurements as the drivers of the peers print them; the fastest peer counts
    #[arg(long, value_name = "FILE")]
    json_peers: Option<PathBuf>,
    /// Measure double precision too
    #[arg(long)]
    f64: bool,
    /// Vectors to use: portable, avx2 or avx512 [default: the best there are]
    #[arg(long, value_parser = level)]
    level: Option<Level>,
    /// Samples a figure, of a tenth of a second at least; the median is told
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    reps: u32,
}

fn rows(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|rows| (1..=1 << 24).contains(rows)).ok_or("expected 1 to 16777216".into())
}

fn level(text: &str) -> Result<Level, String> {
    let level = Level::ALL.into_iter().find(|level| level.name() == text).ok_or("expected portable, avx2 or avx512")?;
    if level.is_available() { Ok(level) } else { Err(format!("this computer has no {text}")) }
}

fn main() -> ExitCode {
    let args = Args::parse();
    sr_args::run(|| real_main(&args))
}

fn real_main(args: &Args) -> anyhow::Result<Exit> {
    let set = TreeSet::read(&args.trees)?;
    let peers = args.json_peers.as_deref().map(Figure::read).transpose()?.unwrap_or_default();
    let level = args.level.unwrap_or_default();
    let cases = Case::ALL.into_iter().filter(|case| args.f64 || !case.is_double());
    for &rows in &args.rows {
        let mut workload = Workload::new(&set.trees, rows, level);
        for double in [false, true].into_iter().take(1 + usize::from(args.f64)) {
            let checked = workload.check(double);
            if !checked.wrong.is_empty() {
                checked.wrong.iter().take(10).for_each(|wrong| eprintln!("wrong: {wrong}"));
                eprintln!("{} of {} trees have wrong results", checked.wrong.len(), set.trees.len());
                return Ok(Exit::Negative);
            }
            let share = 100.0 * checked.sharp as f64 / checked.values as f64;
            let kind = if double { "f64" } else { "f32" };
            eprintln!("{rows} rows, {kind}, {}: all results are right, {share:.1} % sharply checked", level.name());
        }
        let mut figures: Vec<(Case, Series)> = cases.clone().map(|case| (case, Series::default())).collect();
        for _ in 0..args.reps {
            figures.iter_mut().for_each(|(case, series)| series.push(workload.sample(*case)));
        }
        for (case, series) in figures {
            let of_case = peers.iter().filter(|figure| figure.is_for(&set.name, case, rows));
            let peer = of_case.map(|figure| figure.value).max_by(f64::total_cmp);
            let line = json!({
                "case": case.name(), "rows": rows, "node_rows_per_second": series.median(), "peer": peer,
                "ratio": peer.map(|peer| series.median() / peer),
            });
            sr_cli::out(&line.to_string())?;
        }
    }
    Ok(Exit::Ok)
}
