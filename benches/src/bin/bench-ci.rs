//! Collects the results of the tracked benches and compares them with the recorded baseline of this kind of machine.
//!
//! The exit code is 0 if no bench is more than 15 % slower or there is no baseline for this kind of machine yet, 1 if a
//! bench is slower or was not run, and 2 for an error.

#![allow(clippy::print_stdout)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use serde_json::{Value, json};

/// The ratio to its baseline above which a bench counts as a regression.
const TOLERANCE: f64 = 1.15;

/// Compares the last criterion run with the recorded baseline of this kind of machine
#[derive(Parser)]
struct Args {
    /// Where criterion wrote its results
    #[arg(long, default_value = "target/criterion")]
    criterion: PathBuf,
    /// Folder of the recorded baselines
    #[arg(long, default_value = "benches/record")]
    record: PathBuf,
    /// Write this run's figures here
    #[arg(long, default_value = "target/bench-ci.json")]
    out: PathBuf,
    /// Make this run the baseline of this kind of machine
    #[arg(long)]
    accept: bool,
    /// Only write the results of all benches that were run, with throughput, as CSV
    #[arg(long, value_name = "FILE", conflicts_with = "accept")]
    csv: Option<PathBuf>,
}

fn main() -> ExitCode {
    match real_main(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn real_main(args: &Args) -> anyhow::Result<bool> {
    let mut results = BTreeMap::new();
    collect(&args.criterion, &mut results)
        .with_context(|| format!("reading {}; run the benches first", args.criterion.display()))?;
    anyhow::ensure!(!results.is_empty(), "{} holds no results", args.criterion.display());
    let machine = machine_kind();
    if let Some(path) = &args.csv {
        let mut csv = format!("# {machine}\nbench,median_ns,per_second,unit\n");
        for (id, Measured { median, work, unit }) in &results {
            csv += &format!("{id},{median:.0},{:.4e},{unit}\n", work / median * 1e9);
        }
        std::fs::write(path, csv).with_context(|| format!("writing {}", path.display()))?;
        println!("recorded {} benches in {}", results.len(), path.display());
        return Ok(true);
    }
    let medians: BTreeMap<String, f64> = results.into_iter().map(|(id, measured)| (id, measured.median)).collect();
    let run = json!({ "machine": machine, "unit": "ns", "medians": medians });
    std::fs::write(&args.out, serde_json::to_string_pretty(&run)?)
        .with_context(|| format!("writing {}", args.out.display()))?;
    let baseline_path = args.record.join(format!("ci-{}.json", slug(&machine)));
    if args.accept {
        std::fs::write(&baseline_path, serde_json::to_string_pretty(&run)? + "\n")
            .with_context(|| format!("writing {}", baseline_path.display()))?;
        println!("recorded {} benches in {}", medians.len(), baseline_path.display());
        return Ok(true);
    }
    let baseline: Value = match std::fs::read(&baseline_path) {
        Ok(bytes) => serde_json::from_slice(&bytes).with_context(|| format!("reading {}", baseline_path.display()))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            println!("no baseline for \"{machine}\"; `just bench-ci --accept` makes this run the baseline");
            return Ok(true);
        }
        Err(error) => return Err(error).with_context(|| format!("reading {}", baseline_path.display())),
    };
    Ok(compare(&medians, &baseline["medians"]))
}

/// Prints the table; returns whether no bench is slower than tolerated or missing.
fn compare(medians: &BTreeMap<String, f64>, baseline: &Value) -> bool {
    let mut fine = true;
    println!("{:<44} {:>14} {:>14} {:>7}", "bench", "baseline ns", "now ns", "ratio");
    for (id, &now) in medians {
        let Some(before) = baseline[id].as_f64() else {
            println!("{id:<44} {:>14} {now:>14.0}", "new");
            continue;
        };
        let slower = now > before * TOLERANCE;
        fine &= !slower;
        println!("{id:<44} {before:>14.0} {now:>14.0} {:>7.3}{}", now / before, if slower { "  SLOWER" } else { "" });
    }
    for id in baseline.as_object().into_iter().flat_map(|map| map.keys()).filter(|id| !medians.contains_key(*id)) {
        println!("{id:<44} was not run");
        fine = false;
    }
    fine
}

/// The result of one bench: the median in nanoseconds, and the amount and unit of work done in that time.
struct Measured {
    median: f64,
    work: f64,
    unit: String,
}

/// Collects results by bench id from `**/new/{benchmark,estimates}.json`.
fn collect(folder: &Path, results: &mut BTreeMap<String, Measured>) -> anyhow::Result<()> {
    let read =
        |name: &str| -> anyhow::Result<Value> { Ok(serde_json::from_slice(&std::fs::read(folder.join(name))?)?) };
    if folder.ends_with("new") && folder.join("estimates.json").exists() {
        let bench = read("benchmark.json")?;
        let id = bench["full_id"].as_str().context("a bench without full_id")?.to_owned();
        let median = read("estimates.json")?["median"]["point_estimate"].as_f64().context("a bench without median")?;
        let throughput = bench["throughput"].as_object().and_then(|object| object.iter().next());
        let (unit, work) = throughput.map_or(("runs", 1.0), |(unit, work)| (unit, work.as_f64().unwrap_or(1.0)));
        results.insert(id, Measured { median, work, unit: unit.to_lowercase() });
        return Ok(());
    }
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, results)?;
        }
    }
    Ok(())
}

/// Returns the processor's name, its widest vectors and the number of cores, which determine the speed of a bench.
fn machine_kind() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line = info.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_once(':').map_or("", |(_, value)| value.trim()).to_owned()
    };
    let flags = field("flags");
    let vectors = ["avx512f", "avx2"].into_iter().find(|flag| flags.split(' ').any(|f| f == *flag)).unwrap_or("base");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{} {vectors} {cores} cores", field("model name"))
}

fn slug(text: &str) -> String {
    let words = text.to_lowercase();
    let words = words.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-")
}
