//! Measures traces beside the original system's files: size, reading, and the cost of recording.
//!
//! The exit code is 0 if every bar that could be measured is reached, 1 if one is not, and 2 for an error.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, ensure};
use bench_peers::search::{self, Recording};
use bench_peers::{Series, machine};
use clap::Parser;
use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Value, json};
use sr_cli::Exit;
use sr_corpus::{Options, Problems, convert_trace};
use sr_engine::{Expert, PrimitiveSet, Search, SearchConfig, run};
use sr_problems::{ARITH, Generator, ProblemSet, RandomParams};
use sr_trace::{Recorder, TraceHeader, TraceReader, TraceWriter, Trajectory};

#[global_allocator]
static GLOBAL: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Bytes of a one-step example in the original's JSON lines, with problems by reference.
const ORIGINAL_EXAMPLE_BYTES: f64 = 1308.0;

/// Measures trace files and the original system's layout of the same trajectories, and prints a table
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Problems to search
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    problems: u32,
    /// Generations of a search
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(2..))]
    generations: u32,
    /// Samples a figure
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Problems of the whole run from the command line, 100 generations each; 0 leaves it out
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    whole: u32,
    /// Folder of our binaries
    #[arg(long, value_name = "DIR", default_value = "target/release")]
    bin: PathBuf,
    /// Python interpreter that has numpy
    #[arg(long, value_name = "FILE", default_value = "runs/peers-venv/bin/python")]
    python: PathBuf,
    /// Writer of the original's layout
    #[arg(long, value_name = "FILE", default_value = "benches/peers/python/pickles.py")]
    driver: PathBuf,
    /// Write the table to NAME.md and all samples to NAME.json
    #[arg(long, value_name = "NAME")]
    out: Option<PathBuf>,
}

/// A figure and the bar that it has to reach.
struct Row {
    what: &'static str,
    value: f64,
    unit: &'static str,
    /// `(at_least, bar)`: whether the bar is a lower bound, and its value.
    bar: Option<(bool, f64)>,
}

impl Row {
    fn passes(&self) -> Option<bool> {
        self.bar.map(|(at_least, bar)| if at_least { self.value >= bar } else { self.value <= bar })
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    sr_args::run(|| real_main(&args))
}

fn real_main(args: &Args) -> anyhow::Result<Exit> {
    let folder = tempfile::tempdir()?;
    let (problems_file, trace) = (folder.path().join("problems.sr"), folder.path().join("trace.sr"));
    let params = RandomParams::arith(ARITH.to_vec(), vec![1.0], 0.5, 1);
    let set = Generator::new(params)?.generate(args.problems, || ())?;
    set.write(&problems_file)?;
    eprintln!("searching {} problems", args.problems);
    let config = SearchConfig { generations: args.generations, early_stop_mse: None, ..SearchConfig::basic() };
    write_trace(&set, &config, &trace)?;
    let trajectories: Vec<Trajectory> = TraceReader::open(&trace)?.collect::<Result<_, _>>()?;
    let individuals: usize = trajectories.iter().map(|t| t.generations.n_individuals()).sum();
    let per_individual = |path: &Path| Ok::<_, anyhow::Error>(fs::metadata(path)?.len() as f64 / individuals as f64);

    let mut rows = Vec::new();
    let mut row = |what, value, unit, bar| rows.push(Row { what, value, unit, bar });
    let mut samples = serde_json::Map::new();
    let ours = per_individual(&trace)?;
    row("bytes an individual: trace", ours, "", None);

    let mut reading = Series::default();
    let pickled = pickles(args, folder.path(), &trajectories);
    drop(trajectories);
    for _ in 0..args.rounds {
        let started = Instant::now();
        let read: Vec<Trajectory> = TraceReader::open(&trace)?.collect::<Result<_, _>>()?;
        reading.push(started.elapsed().as_secs_f64());
        ensure!(read.len() == args.problems as usize, "{} trajectories were read", read.len());
    }
    let nanoseconds = |seconds: f64| seconds / individuals as f64 * 1e9;
    row("reading an individual: trace", nanoseconds(reading.median()), "ns", None);
    match pickled {
        Ok((file, unpickling)) => {
            let theirs = per_individual(&file)?;
            row("bytes an individual: gzipped pickle", theirs, "", None);
            row("reading an individual: gzipped pickle", nanoseconds(unpickling.median()), "ns", None);
            row("bytes: trace ÷ pickle", ours / theirs, "", Some((false, 0.5)));
            let ratio = unpickling.over(&reading).median();
            row("time to read: pickle ÷ trace", ratio, "", Some((true, 20.0)));
            samples.insert("unpickling".into(), json!(unpickling));
        }
        Err(error) => eprintln!("pickles are left out: {error:#}"),
    }
    samples.insert("reading".into(), json!(reading));

    let mut speeds: Vec<Series> = vec![Series::default(); Recording::ALL.len()];
    for round in 1..=args.rounds {
        eprintln!("recording, round {round} of {}", args.rounds);
        for (series, recording) in speeds.iter_mut().zip(Recording::ALL) {
            series.push(search::basic(recording)?);
        }
    }
    let [off, memory, file] = <[Series; 3]>::try_from(speeds).expect("three kinds of recording");
    row("basic search, not recorded", off.median() / 1e6, "million children/s", None);
    row("basic search, recorded in memory", memory.median() / 1e6, "million children/s", None);
    row("basic search, recorded to a file", file.median() / 1e6, "million children/s", Some((true, 1.5)));
    let overhead = 100.0 * (off.over(&file).median() - 1.0);
    row("recording, share of the search's time", overhead, "%", Some((false, 10.0)));
    for (recording, series) in Recording::ALL.iter().zip([&off, &memory, &file]) {
        samples.insert(recording.name().into(), json!(series));
    }

    let counts = convert_trace(&trace, &Problems::open(&problems_file)?, &Options::default(), folder.path(), || ())?;
    row("bytes of a one-step example", counts.bytes_per_example, "", Some((false, 40.0)));
    row("original's ÷ ours", ORIGINAL_EXAMPLE_BYTES / counts.bytes_per_example, "", None);

    if args.whole > 0 {
        eprintln!("{} problems from the command line", args.whole);
        let seconds = whole_run(args, folder.path())?;
        let bar = (args.whole == 10_000).then_some((false, 20.0));
        row("10,000 problems × 100 generations, all cores", seconds, "s", bar);
    }

    let text = to_markdown(args, &rows);
    sr_cli::out(&text)?;
    if let Some(name) = &args.out {
        let with = |extension: &str| PathBuf::from(format!("{}.{extension}", name.display()));
        sr_cli::write_atomically(&with("md"), text.as_bytes())?;
        sr_cli::write_atomically(&with("json"), format!("{:#}\n", Value::Object(samples)).as_bytes())?;
    }
    Ok(if rows.iter().all(|row| row.passes() != Some(false)) { Exit::Ok } else { Exit::Negative })
}

fn write_trace(set: &ProblemSet, config: &SearchConfig, path: &Path) -> anyhow::Result<()> {
    let primitives = PrimitiveSet::new(set.params.operators.clone(), set.params.constants.clone(), 1)?;
    let header = TraceHeader::of_expert("problems.sr", &primitives, config, "basic", 1);
    let mut writer = TraceWriter::create(path, &header)?;
    for problem in &set.problems {
        let mut search = [Search::new(Arc::new(problem.instance()?), config.clone(), 1)?];
        let mut recorder = [Recorder::new(1)];
        let outcome = run(&mut search, &mut Expert, &mut recorder).expect("the expert never fails").remove(0);
        let [recorder] = recorder;
        writer.append_record(recorder.record(&outcome)?)?;
    }
    writer.finish()?;
    Ok(())
}

/// Writes the same trajectories as a gzipped pickle; returns its path, and the seconds that Python takes to read it.
fn pickles(args: &Args, folder: &Path, trajectories: &[Trajectory]) -> anyhow::Result<(PathBuf, Series)> {
    let file = folder.join("trajectories.pkl.gz");
    let mut python = Command::new(&args.python)
        .arg(&args.driver)
        .arg(&file)
        .arg(args.rounds.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting {}", args.python.display()))?;
    let mut input = python.stdin.take().expect("a pipe");
    for trajectory in trajectories {
        let generation = |g: sr_trace::GenerationRecord<'_>| {
            let all = || g.individuals();
            json!({
                "expressions": all().map(|i| i.expr.to_string()).collect::<Vec<_>>(),
                "fitnesses": all().map(|i| i.fitness).collect::<Vec<_>>(),
                "heritages": all().map(|i| i.parents.iter().collect::<Vec<_>>()).collect::<Vec<_>>(),
                "best": g.best_index,
            })
        };
        writeln!(input, "{}", json!(trajectory.generations.iter().map(generation).collect::<Vec<_>>()))?;
    }
    drop(input);
    let output = python.wait_with_output()?;
    ensure!(output.status.success(), "{} failed", args.driver.display());
    let answer: Value = serde_json::from_slice(&output.stdout)?;
    let mut seconds = Series::default();
    for sample in answer["seconds"].as_array().into_iter().flatten() {
        seconds.push(sample.as_f64().context("seconds are numbers")?);
    }
    Ok((file, seconds))
}

/// Returns the seconds of generating and searching problems with the binaries, end to end.
fn whole_run(args: &Args, folder: &Path) -> anyhow::Result<f64> {
    let (problems, trace) = (folder.join("whole.sr"), folder.join("whole-trace.sr"));
    let count = args.whole.to_string();
    let started = Instant::now();
    let run = |binary: &str, flags: &[&str], out: &Path| {
        let binary = args.bin.join(binary);
        let status = Command::new(&binary).args(flags).arg("--quiet").arg("--out").arg(out).status();
        let status = status.with_context(|| format!("starting {}; `just build` makes it", binary.display()))?;
        ensure!(status.success(), "{} failed", binary.display());
        Ok(())
    };
    run("sr-generate", &["random", "--count", &count, "--operators", "arith"], &problems)?;
    let problems = problems.to_string_lossy().into_owned();
    run("sr-search", &["--problems", &problems, "--generations", "100"], &trace)?;
    Ok(started.elapsed().as_secs_f64())
}

fn to_markdown(args: &Args, rows: &[Row]) -> String {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_header(["what", "figure", "", "bar", ""]);
    for row in rows {
        let bar = row.bar.map(|(at_least, bar)| format!("{} {bar}", if at_least { "≥" } else { "≤" }));
        let passes = row.passes().map_or("", |passes| if passes { "pass" } else { "MISS" });
        let figure = if row.value < 10.0 { format!("{:.2}", row.value) } else { format!("{:.1}", row.value) };
        table.add_row([row.what, &figure, row.unit, &bar.unwrap_or_default(), passes]);
    }
    table.column_mut(1).expect("five columns").set_cell_alignment(CellAlignment::Right);
    format!(
        "# Traces\n\nWritten by `just bench-traces`: {} problems, {} generations, population 20, medians of {} rounds.\n{}, {}, commit {}.\n\n{table}\n",
        args.problems,
        args.generations,
        args.rounds,
        machine::processor(),
        machine::rustc(),
        machine::commit(),
    )
}
