//! `sr-fit`: the formula of a table.

mod folder;
mod groups;
mod predict;
mod report;
mod requirements;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use clap::Parser;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde_json::{Value, json};
use sr_args::ReadingArgs;
use sr_cli::{Claim, Common, Exit, Given, Output, OutputArgs};
use sr_lab::Monitor;
use sr_lab::fit::{FitOptions, Fitted, Fitting, fit_groups, parse_guess};
use sr_lab::sr_expr::{Expr, Op, Semantics, Target};
use sr_lab::sr_problems::{Problem, Table, TableOptions, from_table, parse_operators};

use folder::{Folder, Run};
use predict::NewTable;

#[global_allocator]
static GLOBAL: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The least time between two saves of the state, so that saving takes no visible part of a search.
const SAVE_EVERY: Duration = Duration::from_secs(1);

/// Find the formula of a table
///
/// Prints the formulas that no shorter one is as good as, with the names of the columns, and marks one with the reason of
/// the choice: the smallest that is exact on all rows; else the one that takes the fewest words to tell together with its
/// errors. The mean of y and a linear model of all variables come first, to compare with.
///
/// First closed forms are looked for (products of powers, polynomials, small expressions with constants around them),
/// then evolution goes on with fitted constants until the time is over or a formula is exact. Of tables of 60 rows and
/// more one row in five is kept to judge by. Operators have their plain meaning: log(-1) is no number.
///
/// The result is also written to a folder, see --out. Ctrl-C ends the search, prints and writes what was found and exits
/// with 130; after that or a kill, the same command with --resume goes on. The exit code is 1 if nothing is better than the
/// mean.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// The table, CSV or Parquet, or - for one on standard input; the random streams are keyed by its name. With --predict
    /// or --export it may be the folder of an earlier run, whose formula is then taken without a search
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Column to be explained
    #[arg(long, value_name = "COL")]
    target: Option<String>,
    #[command(flatten)]
    reading: ReadingArgs,
    /// Judge formulas by the rows of this table, whose columns have the same names, and fit all rows of FILE
    #[arg(long, value_name = "FILE")]
    validation: Option<PathBuf>,
    #[command(flatten)]
    requirements: requirements::RequirementArgs,
    /// Operators of formulas: arith (+ - *), full, or a list [default: + - * / neg exp log sqrt sin cos inv pow2 pow3]
    #[arg(long, value_name = "LIST", allow_hyphen_values = true)]
    operators: Option<String>,
    /// Begin with this formula too, of columns or x0, x1, …; its constants are fitted. May be given several times
    #[arg(long, value_name = "FORMULA", allow_hyphen_values = true)]
    guess: Vec<String>,
    /// Seconds to look for a formula, after the table was read [default: 20, and no limit with --epochs or --max-work]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    time_limit: Option<Duration>,
    /// Most epochs of evolution; unlike the time, the same number gives the same result on any machine
    #[arg(long, value_name = "N")]
    epochs: Option<u32>,
    /// Budget in values, one node of a formula in one row; it is exceeded by an epoch at most, and the same budget gives
    /// the same result on any machine. 1e9 are about a second of one core
    #[arg(long, value_name = "N", value_parser = work)]
    max_work: Option<u64>,
    /// Megabytes that a search may take beside four copies of the table; results depend on it
    #[arg(long, value_name = "MB", default_value_t = 512, value_parser = clap::value_parser!(u32).range(16..=1_048_576))]
    memory: u32,
    /// Most nodes of a formula that evolution looks at
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=1000))]
    max_size: u16,
    /// Mark the largest formula of no more nodes than this, instead of the choice
    #[arg(long, value_name = "SIZE")]
    pick: Option<usize>,
    /// Print the marked formula, and nothing else, as text of another system; with --json as the field export
    #[arg(long, value_name = "SYSTEM")]
    #[arg(value_parser = PossibleValuesParser::new(Target::ALL.map(Target::name)).try_map(|name| name.parse::<Target>()))]
    export: Option<Target>,
    /// Print what the marked formula predicts for the rows of this table, and nothing else; columns are found by their
    /// names. With --json as the field predictions
    #[arg(long, value_name = "FILE", conflicts_with = "export")]
    predict: Option<PathBuf>,
    /// Write the predictions to this file instead
    #[arg(long, value_name = "FILE", requires = "predict")]
    predict_out: Option<PathBuf>,
    /// Folder to write [default: runs/NAME-fit, after the name of the table]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Go on with the search in the folder, up to larger budgets if these are given; a new one is begun if there is none.
    /// Other data or other settings are an error
    #[arg(long, conflicts_with = "force")]
    resume: bool,
    /// Repeat the run in this folder on the same table exactly, also where the clock ended it, and compare the formulas.
    /// Settings are those of the run, and nothing is written. The exit code is 1 if a formula differs
    #[arg(long, value_name = "DIR", conflicts_with_all = ["resume", "force", "out"])]
    replay: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    common: Common,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.filter(|time| !time.is_zero()).ok_or_else(|| "expected a number of seconds above 0".to_owned())
}

/// Reads a whole number, which may be written as 1e9.
fn work(text: &str) -> Result<u64, String> {
    let whole = |number: f64| (number.fract() == 0.0 && (1.0..=1e18).contains(&number)).then_some(number as u64);
    let found = text.parse::<u64>().ok().filter(|&number| number > 0);
    found
        .or_else(|| text.parse().ok().and_then(whole))
        .ok_or_else(|| "expected a whole number above 0, such as 1e9".into())
}

fn main() -> ExitCode {
    let (args, given) = sr_cli::parse::<Args>();
    sr_args::run(|| real_main(&args, &given))
}

fn real_main(args: &Args, given: &Given) -> anyhow::Result<Exit> {
    let started = Instant::now();
    args.common.init()?;
    match &args.replay {
        Some(folder) => replay(args, given, started, folder),
        None if args.file.is_dir() => apply(args, given, started),
        None if args.requirements.group.is_some() => search_groups(args, given, started),
        None => search(args, started),
    }
}

/// Searches, or goes on with a search.
fn search(args: &Args, started: Instant) -> anyhow::Result<Exit> {
    let Some(target) = &args.target else { bail!("--target COL is missing: the column to be explained") };
    let operators = args.operators.as_deref().map(parse_operators).transpose().context("--operators")?;
    let operators = operators.unwrap_or_else(|| FitOptions::default().operators);
    let file = standard_input(&args.file);
    let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let out = args.out.clone().unwrap_or_else(|| Path::new("runs").join(format!("{name}-fit")));
    let inputs = || std::iter::once(&file).chain(&args.validation).chain(&args.predict);
    let output = folder::claim(&out, inputs(), args.resume, args.output.force)?;
    let predictions = claim_predictions(args, inputs())?;

    let table = from_table(&file, &args.requirements.table_options(args.reading.options(target)))?;
    warn(&table.report.warnings);
    let names = table.report.variables.clone();
    let validation = args.validation.as_deref().map(|path| validation_table(args, path, &table)).transpose()?;
    let new = args.predict.as_deref().map(|path| NewTable::read(path, &names, &args.reading)).transpose()?;
    let options = options(args, operators, &table)?;
    let problem = &table.set.problems[0];
    let validation = validation.as_ref().map(|table| &table.set.problems[0]);
    let folder = Folder { path: &out, settings: folder::settings(&table, validation, &options, &args.requirements) };
    let state = if args.resume { folder.state()? } else { None };
    folder.prepare(args.output.force)?;

    tracing::debug!("read in {:.3} s", started.elapsed().as_secs_f64());
    let begun = Instant::now();
    let fitting = match &state {
        Some(state) => Fitting::resume(problem, validation, &options, state)
            .with_context(|| format!("--resume {}", out.display()))?,
        None => Fitting::with_validation(problem, validation, &options)?,
    };
    let (fitting, fitted) = run(args, fitting, &options, begun, &names, |fitting| folder.save(fitting))?;
    tracing::debug!("searched in {:.3} s", begun.elapsed().as_secs_f64());
    folder.save(&fitting)?;
    let view = report::View::new(&fitted, &table.report, args.pick)?;
    folder.write(&view, &options)?;
    sr_cli::write_run_file(&out.join("fit"), &args.common, started)?;
    drop(output);

    let expr = &fitted.front[view.marked].expr;
    let predicted = new.map(|new| new.predict(expr)).transpose()?;
    let mut result = view.json(args.export);
    result["out"] = json!(out.display().to_string());
    let text = format!("{}\n  written to {}", view.text(), out.display());
    tell(args, started, target, (result, text), args.export.map(|target| view.export(target)), predicted, predictions)?;
    Ok(match fitted.is_better_than_mean() {
        _ if fitted.is_stopped => {
            sr_cli::stopped(&format!("{} is kept; the same command with --resume goes on", out.display()))
        }
        true => Exit::Ok,
        false => Exit::Negative,
    })
}

/// Searches for one law of many groups of rows.
fn search_groups(args: &Args, given: &Given, started: Instant) -> anyhow::Result<Exit> {
    given.refuse(
        &["validation", "guess", "memory", "predict", "predict_out", "out", "resume", "force"],
        "with --group, whose result is printed and written nowhere",
    )?;
    let Some(target) = &args.target else { bail!("--target COL is missing: the column to be explained") };
    let operators = args.operators.as_deref().map(parse_operators).transpose().context("--operators")?;
    let operators = operators.unwrap_or_else(|| FitOptions::default().operators);
    let file = standard_input(&args.file);
    let table = from_table(&file, &args.requirements.table_options(args.reading.options(target)))?;
    warn(&table.report.warnings);
    let options = options(args, operators, &table)?;
    let groups = table.groups.as_ref().context("--group: the table has no groups")?;
    let progress = args.common.progress(1000, "‰ of the work");
    let mut monitor = Monitor::new(sr_cli::on_interrupt("the current epoch")?, |done| progress.inc(done));
    let fitted = fit_groups(&table.set.problems[0], groups, &options, &mut monitor)?;
    drop(monitor);
    progress.finish_and_clear();
    let picked = match args.pick {
        None => None,
        Some(size) => {
            let found = fitted.front.iter().rposition(|law| law.size <= size);
            let smallest = fitted.front.first().map_or(0, |law| law.size);
            Some(found.with_context(|| format!("--pick {size}: the smallest formula has a size of {smallest}"))?)
        }
    };
    let view = groups::View::new(&fitted, &table.report, picked);
    match args.export.filter(|_| !args.common.json) {
        Some(target) => sr_cli::out(view.export(target).trim_end_matches('\n'))?,
        None => args.common.report("sr-fit", started, view.json(args.export), &view.text())?,
    }
    Ok(match fitted.is_better_than_mean() {
        _ if fitted.is_stopped => Exit::Interrupted,
        true => Exit::Ok,
        false => Exit::Negative,
    })
}

/// Applies or exports the formula of an earlier run.
fn apply(args: &Args, given: &Given, started: Instant) -> anyhow::Result<Exit> {
    let folder = &args.file;
    ensure!(
        args.predict.is_some() || args.export.is_some(),
        "{} is a folder: --predict FILE applies the formula of the run in it, and --export SYSTEM prints it; a search needs \
         a table",
        folder.display()
    );
    given.refuse(
        &[
            "target",
            "features",
            "drop",
            "weights",
            "validation",
            "operators",
            "guess",
            "time_limit",
            "epochs",
            "max_work",
            "memory",
            "max_size",
            "resume",
            "loss",
            "sigma",
            "group",
            "units",
            "unit_constants",
            "complexity",
            "nesting",
            "max_depth",
            "max_constants",
        ],
        "with the folder of an earlier run, whose formula is taken without a search",
    )?;
    given.refuse(&["out"], "with the folder of an earlier run; --predict-out FILE is where predictions are written")?;
    let run = Run::read(folder)?;
    let predictions = claim_predictions(args, args.predict.iter().chain([folder]))?;
    let expr = run.marked(args.pick)?;
    let export = args.export.map(|target| expr.export(target, Semantics::Ieee).with_names(&run.variables).to_string());
    let predicted = match &args.predict {
        Some(path) => Some(predict::of_used_columns(path, &expr, &run.variables, &args.reading)?),
        None => None,
    };
    let formula = expr.display(Semantics::Ieee).with_names(&run.variables).to_string();
    let mut result = json!({ "formula": formula, "expression": expr.to_string(), "run": folder.display().to_string() });
    if let Some(export) = &export {
        result["export"] = json!(export);
    }
    let text = format!("{} = {formula}", run.target);
    tell(args, started, &run.target, (result, text), export, predicted, predictions)?;
    Ok(Exit::Ok)
}

/// Repeats an earlier run and compares the formulas.
fn replay(args: &Args, given: &Given, started: Instant, folder: &Path) -> anyhow::Result<Exit> {
    given.refuse(
        &[
            "target",
            "features",
            "drop",
            "weights",
            "operators",
            "guess",
            "time_limit",
            "epochs",
            "max_work",
            "memory",
            "max_size",
            "seed",
            "loss",
            "sigma",
            "group",
            "units",
            "unit_constants",
            "complexity",
            "nesting",
            "max_depth",
            "max_constants",
            "predict",
            "export",
            "pick",
            "missing",
            "no_header",
        ],
        "with --replay: settings are those of the run",
    )?;
    let run = Run::read(folder)?;
    let file = standard_input(&args.file);
    let reading = TableOptions { separator: args.reading.separator, ..run.reading()? };
    let reading = run.requirements()?.table_options(reading);
    let table = from_table(&file, &reading)?;
    let read = |path: &PathBuf| from_table(path, &TableOptions { weights: None, sigma: None, ..reading.clone() });
    let validation = args.validation.as_ref().map(read).transpose()?;
    let validation = validation.as_ref().map(|table| &table.set.problems[0]);
    let requirements = run.requirements()?;
    let rules = requirements.rules(&table.report)?;
    let options = FitOptions { threads: threads(args), loss: requirements.loss.clone(), rules, ..run.options()? };
    let settings = folder::settings(&table, validation, &options, &requirements);
    if let Some(difference) = sr_cli::difference(&run.settings, &settings) {
        bail!("--replay {}: the run was made with other data: {difference}", folder.display());
    }
    let fitting = Fitting::with_validation(&table.set.problems[0], validation, &options)?;
    let (_, fitted) = run_quietly(args, fitting, &options, &table.report.variables)?;
    if fitted.is_stopped {
        return Ok(sr_cli::stopped("nothing was compared; the same command begins anew"));
    }
    let expressions: Vec<String> =
        fitted.front.iter().map(|formula| formula.expr.display(fitted.semantics).to_string()).collect();
    let differing = run.expressions.iter().zip(&expressions).position(|(a, b)| a != b);
    let differing = differing.or_else(|| {
        let (a, b) = (run.expressions.len(), expressions.len());
        (a != b).then_some(a.min(b))
    });
    let is_equal = differing.is_none() && fitted.choice == run.chosen;
    let text = match differing {
        _ if is_equal => format!("the same {} formulas as in {}", expressions.len(), folder.display()),
        None => format!("the same formulas as in {}, but another choice", folder.display()),
        Some(index) => {
            let shown = |list: &[String]| list.get(index).cloned().unwrap_or_else(|| "none".into());
            let (before, now) = (shown(&run.expressions), shown(&expressions));
            format!("other formulas than in {}: the first that differs was {before} and is {now}", folder.display())
        }
    };
    let result = json!({ "equal": is_equal, "run": folder.display().to_string(), "expressions": expressions });
    args.common.report("sr-fit", started, result, &text)?;
    Ok(if is_equal { Exit::Ok } else { Exit::Negative })
}

/// Searches to the end, and saves the state of a search in between.
fn run(
    args: &Args,
    mut fitting: Fitting,
    options: &FitOptions,
    begun: Instant,
    names: &[String],
    save: impl Fn(&Fitting) -> anyhow::Result<()>,
) -> anyhow::Result<(Fitting, Fitted)> {
    let stop = sr_cli::on_interrupt("the current epoch")?;
    let (length, unit) = match (options.time_limit, options.max_work) {
        (Some(_), _) => (1000, "‰ of the time"),
        (None, Some(_)) => (1000, "‰ of the work"),
        (None, None) => (options.epochs.unwrap_or(0).into(), "epochs"),
    };
    let progress = args.common.progress(length, unit);
    let mut saved: Option<Instant> = None;
    while fitting.advance(begun, stop)? {
        let share = |done: f64, all: f64| (1000.0 * done / all).min(1000.0) as u64;
        progress.set_position(match (options.time_limit, options.max_work) {
            (Some(limit), _) => share(begun.elapsed().as_secs_f64(), limit.as_secs_f64()),
            (None, Some(work)) => share(fitting.work() as f64, work as f64),
            (None, None) => fitting.epochs().into(),
        });
        if let Some((expr, error)) = fitting.best() {
            progress.set_message(report::best_so_far(expr, error, names));
        }
        if saved.is_none_or(|saved| saved.elapsed() >= SAVE_EVERY) {
            save(&fitting)?;
            saved = Some(Instant::now());
        }
    }
    let fitted = fitting.fitted_in_time(begun);
    progress.finish_and_clear();
    fitted.check_found(options)?;
    Ok((fitting, fitted))
}

fn run_quietly(
    args: &Args,
    fitting: Fitting,
    options: &FitOptions,
    names: &[String],
) -> anyhow::Result<(Fitting, Fitted)> {
    run(args, fitting, options, Instant::now(), names, |_| Ok(()))
}

/// Prints the result, or the text of another system or the predictions alone.
fn tell(
    args: &Args,
    started: Instant,
    target: &str,
    (mut result, text): (Value, String),
    export: Option<String>,
    predicted: Option<Vec<f64>>,
    predictions: Option<Output>,
) -> anyhow::Result<()> {
    if let Some(predicted) = &predicted {
        predict::warn_of_nan(predicted);
        match &predictions {
            Some(output) => {
                sr_cli::write_atomically(output.path(), predict::csv(target, predicted).as_bytes())?;
                result["predict_out"] = json!(output.path().display().to_string());
            }
            None => result["predictions"] = predict::json(predicted),
        }
    }
    match (export, predicted) {
        _ if args.common.json => args.common.report("sr-fit", started, result, ""),
        (Some(export), _) => sr_cli::out(export.trim_end_matches('\n')),
        (None, Some(predicted)) if predictions.is_none() => sr_cli::out(&predict::csv(target, &predicted)),
        _ => args.common.report("sr-fit", started, result, &text),
    }
}

fn claim_predictions<'a>(args: &'a Args, inputs: impl Iterator<Item = &'a PathBuf>) -> anyhow::Result<Option<Output>> {
    let Some(path) = &args.predict_out else { return Ok(None) };
    let claim = Claim::file(path).flag("--predict-out").inputs(inputs.filter(|path| path.exists()));
    claim.may_exist(args.output.force).take().map(Some)
}

fn options(args: &Args, operators: Vec<Op>, table: &Table) -> anyhow::Result<FitOptions> {
    let default = FitOptions::default();
    let guess = |text: &String| -> anyhow::Result<Expr> {
        let expr =
            parse_guess(text, &table.report.variables, &operators).with_context(|| format!("--guess {text:?}"))?;
        let (size, most) = (expr.size(), args.max_size);
        ensure!(size <= most.into(), "--guess {text:?} has {size} nodes, expected {most} at most; raise --max-size");
        Ok(expr)
    };
    let has_budget = args.epochs.is_some() || args.max_work.is_some();
    Ok(FitOptions {
        seed: args.common.seed,
        threads: threads(args),
        guesses: args.guess.iter().map(guess).collect::<anyhow::Result<_>>()?,
        operators,
        max_size: args.max_size.into(),
        time_limit: args.time_limit.or(default.time_limit.filter(|_| !has_budget)),
        epochs: args.epochs,
        max_work: args.max_work,
        memory: args.memory as usize * (1 << 20),
        loss: args.requirements.loss.clone(),
        rules: args.requirements.rules(&table.report)?,
        ..default
    })
}

fn validation_table(args: &Args, path: &Path, table: &Table) -> anyhow::Result<Table> {
    let report = &table.report;
    let options = TableOptions {
        features: Some(report.variables.clone()),
        drop: Vec::new(),
        ..args.reading.options(&report.target)
    };
    let validation = from_table(&standard_input(path), &options).context("--validation")?;
    warn(&validation.report.warnings);
    Ok(validation)
}

fn warn(warnings: &[sr_lab::sr_problems::TableWarning]) {
    for warning in warnings {
        tracing::warn!("{warning}");
    }
}

/// The path of a table, where - is standard input.
fn standard_input(path: &Path) -> PathBuf {
    if path == Path::new("-") { PathBuf::from("/dev/stdin") } else { path.to_owned() }
}

fn threads(args: &Args) -> usize {
    args.common.threads.map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), usize::from)
}

/// Returns the data of a problem in a short form, by which it is recognised.
pub(crate) fn data_of(problem: &Problem) -> String {
    format!("{:016x}", problem.fingerprint())
}
