//! Counts who finds the law behind the data, ours and other systems on the same rows, seconds and threads.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail, ensure};
use bench_peers::accuracy::basic::Basic;
use bench_peers::accuracy::fitting::Fit;
use bench_peers::accuracy::methods::Driver;
use bench_peers::accuracy::suites::{self, Operators};
use bench_peers::accuracy::tables::Tables;
use bench_peers::accuracy::{Method, Results, Run, Syntax, Task};
use bench_peers::machine;
use clap::Parser;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde_json::json;
use sr_cli::{Claim, Exit};
use sr_lab::fit::{FitOptions, Part};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs sr and other systems on the problems of a suite and counts the laws that they find
///
/// Every run is one line of NAME.jsonl. A run that stands there is not made again, so an interrupted call is gone on
/// with by the same call, and more seeds, problems or methods can be added.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// The suite: one of crates/sr-problems/suites, or heldout (random formulas that nothing is tuned on)
    suite: String,
    /// Seconds of each run
    #[arg(long, value_name = "S", default_value_t = 20.0, allow_negative_numbers = true)]
    seconds: f64,
    /// Threads of each run [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    /// Seeds; each has its own draw of the rows
    #[arg(long, value_name = "SEED,…", value_delimiter = ',', default_value = "1")]
    seeds: Vec<u64>,
    /// Methods: ours, learner (ours with a learner), basic (the preset), pyoperon, symbolic_regression, gplearn, and those of --driver [default: all but learner and basic]
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    methods: Vec<String>,
    /// A method of your own, or another program in the place of one: a command that speaks JSON lines
    #[arg(long, value_name = "NAME=COMMAND")]
    driver: Vec<String>,
    /// Leave out parts of ours, to see what each is worth
    #[arg(long, value_name = "PART,…", value_delimiter = ',')]
    #[arg(value_parser = PossibleValuesParser::new(Part::ALL.iter().map(|part| part.name())).map(|name| name.parse::<Part>().expect("a name")))]
    without: Vec<Part>,
    /// The checkpoint of the method learner
    #[arg(long, value_name = "NAME|DIR", default_value = "functions")]
    checkpoint: PathBuf,
    /// The share of the work that the learner may take
    #[arg(long, value_name = "SHARE", default_value_t = FitOptions::default().policy_share)]
    learner_share: f64,
    /// The budget of ours in node · rows, beside the seconds: the same result on any machine
    #[arg(long, value_name = "N")]
    max_work: Option<u64>,
    /// These problems only
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    problems: Vec<String>,
    /// Only problems whose names contain this
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Only so many problems, drawn by --sample-seed
    #[arg(long, value_name = "N")]
    sample: Option<usize>,
    /// The seed of --sample
    #[arg(long, value_name = "SEED", default_value_t = 0, requires = "sample")]
    sample_seed: u64,
    /// Operators that methods may use
    #[arg(long, value_enum, default_value_t = Operators::Listed)]
    operators: Operators,
    /// Most rows of a problem that is no grid [default: 200 for feynman, feynman-bonus and heldout, else the suite's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rows: Option<u32>,
    /// Noise of y: the standard deviation relative to the root mean square of y
    #[arg(long, value_name = "A", default_value_t = 0.0, allow_negative_numbers = true)]
    noise: f64,
    /// Write runs to NAME.jsonl, tables to NAME.md and curves to NAME.svg [default: a name in runs/accuracy]
    #[arg(long, value_name = "NAME")]
    out: Option<PathBuf>,
    /// Driver of symbolic_regression
    #[arg(long, value_name = "FILE", default_value = "runs/peers-rust/release/peers-rust")]
    native: String,
    /// Python interpreter that has pyoperon and gplearn
    #[arg(long, value_name = "FILE", default_value = "runs/peers-venv/bin/python")]
    python: String,
    /// Driver of pyoperon and gplearn
    #[arg(long, value_name = "FILE", default_value = "benches/peers/python/accuracy.py")]
    python_driver: String,
}

fn main() -> ExitCode {
    let args = Args::parse();
    sr_args::run(|| real_main(&args))
}

fn real_main(args: &Args) -> anyhow::Result<Exit> {
    ensure!(args.seconds > 0.0 && args.seconds.is_finite(), "--seconds {}: expected more than 0", args.seconds);
    ensure!(args.noise >= 0.0 && args.noise.is_finite(), "--noise {}: expected 0 or more", args.noise);
    let threads = args.threads.map_or_else(available, usize::from);
    let tasks = tasks(args)?;
    let out = match &args.out {
        Some(name) => name.clone(),
        None => default_name(args)?,
    };
    let with = |extension: &str| PathBuf::from(format!("{}.{extension}", out.display()));
    let path = with("jsonl");
    let _claim = Claim::file(&path).may_exist(true).take()?;
    let operators = if args.operators == Operators::Listed { "listed" } else { "default" };
    let settings = json!({
        "suite": args.suite, "operators": operators, "rows": args.rows, "seconds": args.seconds, "threads": threads,
        "noise": args.noise,
    });
    let mut results = Results::open(&path, &settings)?;
    let (mut methods, missing) = methods(args, threads)?;
    let stop = sr_cli::on_interrupt("the run that was begun")?;
    let ended = make_runs(args, &tasks, &mut methods, threads, &mut results, stop)?;

    let about = about(args, &methods, &missing, threads, operators);
    let is_current = |run: &&Run| {
        methods.iter().any(|method| tasks.iter().any(|task| run.is_of(task, method.name(), method.version())))
    };
    let noise = if args.noise > 0.0 { format!(", noise {}", args.noise) } else { String::new() };
    let tables = Tables {
        title: format!("{}, {} operators, {} s{noise}", args.suite, operators, args.seconds),
        about,
        methods: methods.iter().map(|method| method.name().to_owned()).collect(),
        runs: results.runs().iter().filter(is_current).collect(),
        seconds: args.seconds,
        is_noisy: args.noise > 0.0,
    };
    let text = tables.to_markdown();
    sr_cli::out(&text)?;
    sr_cli::write_atomically(&with("md"), text.as_bytes())?;
    sr_cli::write_atomically(&with("svg"), tables.plot().svg().as_bytes())?;
    Ok(if ended { Exit::Ok } else { Exit::Interrupted })
}

fn available() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Returns the tasks that were asked for, problem by problem.
fn tasks(args: &Args) -> anyhow::Result<Vec<Task>> {
    let mut by_seed = Vec::new();
    for &seed in &args.seeds {
        let rows = args.rows.map(|rows| rows as usize);
        by_seed.push(suites::tasks(&args.suite, seed, rows, args.operators, args.noise)?);
    }
    let names: Vec<String> = by_seed.first().into_iter().flatten().map(|task| task.problem.clone()).collect();
    if let Some(unknown) = args.problems.iter().find(|name| !names.contains(name)) {
        bail!("--problems {unknown}: {} has no such problem", args.suite);
    }
    let is_asked_for = |name: &String| {
        (args.problems.is_empty() || args.problems.contains(name))
            && args.only.as_ref().is_none_or(|text| name.contains(text.as_str()))
    };
    let mut asked: Vec<&String> = names.iter().filter(|name| is_asked_for(name)).collect();
    if let Some(n) = args.sample {
        asked = suites::sample(asked.len(), n, args.sample_seed).into_iter().map(|index| asked[index]).collect();
    }
    ensure!(!asked.is_empty(), "no problem of {} is left", args.suite);
    let of = |name: &&String| {
        let name = (*name).clone();
        by_seed.iter().flatten().filter(move |task| task.problem == name).cloned()
    };
    Ok(asked.iter().flat_map(of).collect())
}

fn default_name(args: &Args) -> anyhow::Result<PathBuf> {
    let folder = Path::new("runs/accuracy");
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let mut name = format!("{}-{}s", args.suite, args.seconds);
    if args.operators == Operators::Default {
        name.push_str("-default-operators");
    }
    if let Some(rows) = args.rows {
        name.push_str(&format!("-{rows}-rows"));
    }
    if args.noise > 0.0 {
        name.push_str(&format!("-noise-{}", args.noise));
    }
    Ok(folder.join(name))
}

/// The methods that could be started, and those that are left out with the reasons.
type Methods = (Vec<Box<dyn Method>>, Vec<(String, String)>);

fn methods(args: &Args, threads: usize) -> anyhow::Result<Methods> {
    let mut drivers: Vec<(&str, Option<&str>, Syntax, Vec<String>)> = vec![
        ("pyoperon", Some("pyoperon"), Syntax::Operon, vec![args.python.clone(), args.python_driver.clone()]),
        ("symbolic_regression", Some("symbolic_regression"), Syntax::SymbolicRegression, vec![args.native.clone()]),
        ("gplearn", Some("gplearn"), Syntax::Gplearn, vec![args.python.clone(), args.python_driver.clone()]),
    ];
    for given in &args.driver {
        let (name, command) =
            given.split_once('=').with_context(|| format!("--driver {given}: expected NAME=COMMAND"))?;
        let command: Vec<String> = command.split_whitespace().map(String::from).collect();
        drivers.retain(|driver| driver.0 != name);
        drivers.push((name, None, Syntax::Ours, command));
    }
    let ours_is_given = drivers.iter().any(|driver| driver.0 == "ours");
    let names: Vec<&str> =
        ["ours", "learner", "basic"].into_iter().chain(drivers.iter().map(|driver| driver.0)).collect();
    if let Some(unknown) = args.methods.iter().find(|name| !names.contains(&name.as_str())) {
        bail!("--methods {unknown}: expected some of {}", names.join(", "));
    }
    let is_asked_for = |name: &str| args.methods.is_empty() || args.methods.iter().any(|asked| asked == name);
    let (mut found, mut missing): Methods = (Vec::new(), Vec::new());
    let fit = || Fit::new(args.without.iter().copied().collect(), args.max_work);
    if is_asked_for("ours") && !ours_is_given {
        found.push(Box::new(fit()));
    }
    if args.methods.iter().any(|name| name == "learner") {
        found.push(Box::new(fit().with_learner(&args.checkpoint, args.learner_share)?));
    }
    if args.methods.iter().any(|name| name == "basic") {
        found.push(Box::new(Basic::new()));
    }
    for (name, peer, syntax, command) in drivers.into_iter().filter(|driver| is_asked_for(driver.0)) {
        match Driver::start(name, peer, syntax, command, threads) {
            Ok(driver) => found.push(Box::new(driver)),
            Err(error) => {
                eprintln!("{name} is left out: {error:#}");
                missing.push((name.to_owned(), format!("{error:#}")));
            }
        }
    }
    Ok((found, missing))
}

/// Makes the runs that do not stand in the file yet. Methods take turns on each task, so that the machine's moods hit
/// all of them. Returns whether it came to the end.
fn make_runs(
    args: &Args,
    tasks: &[Task],
    methods: &mut [Box<dyn Method>],
    threads: usize,
    results: &mut Results,
    stop: &std::sync::atomic::AtomicBool,
) -> anyhow::Result<bool> {
    let n_methods = methods.len();
    let n = tasks.len() * n_methods;
    for (index, task) in tasks.iter().enumerate() {
        for (turn, method) in methods.iter_mut().enumerate() {
            if stop.load(std::sync::atomic::Ordering::Relaxed) {
                return Ok(false);
            }
            if results.runs().iter().any(|run| run.is_of(task, method.name(), method.version())) {
                continue;
            }
            let run = Run::make(task, method.as_mut(), args.seconds, threads);
            let seconds = if args.noise > 0.0 { run.shape_chosen } else { run.exact_chosen };
            let outcome = match (seconds, &run.failure, &run.chosen) {
                (Some(seconds), _, _) => format!("solved after {seconds:.2} s"),
                (None, Some(failure), _) => format!("failed: {failure}"),
                (None, None, Some(chosen)) => format!("not solved, R² {}", chosen.r2.unwrap_or(f64::NEG_INFINITY)),
                (None, None, None) => "not solved".into(),
            };
            let number = index * n_methods + turn + 1;
            eprintln!("{number} of {n}: {}, seed {}, {}: {outcome}", task.problem, task.seed, method.name());
            results.append(run)?;
        }
    }
    Ok(true)
}

fn about(
    args: &Args,
    methods: &[Box<dyn Method>],
    missing: &[(String, String)],
    threads: usize,
    operators: &str,
) -> Vec<(String, String)> {
    let mut about = vec![
        ("processor".to_owned(), machine::processor()),
        ("rustc".to_owned(), machine::rustc()),
        ("seconds, threads of a run".to_owned(), format!("{}, {threads}", args.seconds)),
        ("operators".to_owned(), operators.to_owned()),
        ("seeds".to_owned(), args.seeds.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
    ];
    if let Some(n) = args.sample {
        about.push(("problems".into(), format!("{n}, drawn by seed {}", args.sample_seed)));
    }
    about.extend(methods.iter().map(|method| (method.name().to_owned(), method.version().to_owned())));
    about.extend(missing.iter().map(|(name, why)| (name.clone(), format!("left out: {why}"))));
    about
}
