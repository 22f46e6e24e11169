//! A search, of one law for all rows or of one for many groups of them.

use std::collections::HashSet;
use std::io::IsTerminal;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sr_args::table_in_words;
use sr_cli::{Exit, Given, Output};
use sr_lab::Monitor;
use sr_lab::fit::{Course, EpochRecorder, FitOptions, Fitted, Fitting, fit_groups};
use sr_lab::sr_engine::LossError;
use sr_lab::sr_problems::{GroupColumn, Problem, Table, from_table};

use crate::args::{Args, claim_predictions, claim_trace, operators, options, standard_input, validation_table, warn};
use crate::folder::Folder;
use crate::formula::Formula;
use crate::learner::Asked;
use crate::predict::NewTable;
use crate::{folder, groups, learner, predict, report};

/// The least time between two saves of the state, so that saving takes no visible part of a search.
const SAVE_EVERY: Duration = Duration::from_secs(1);

/// An epoch at whose end the least error had fallen.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Step {
    /// 0 is the search for closed forms.
    epoch: u32,
    /// 1 − R², or that of another loss.
    error: f64,
}

/// What a search found, as it is printed and written.
pub(crate) struct Found {
    pub(crate) target: String,
    /// The result as JSON.
    pub(crate) result: Value,
    text: String,
    /// The marked formula.
    pub(crate) formula: Formula,
    pub(crate) front_csv: String,
    /// The constants of the groups, if there are some.
    pub(crate) constants_csv: Option<String>,
    /// What repeats the search.
    pub(crate) course: Option<Course>,
    is_better_than_mean: bool,
    /// What is to be done if the search was stopped.
    stopped: Option<String>,
}

/// Searches, or goes on with a search.
pub(crate) fn search(args: &Args, given: &Given, started: Instant) -> anyhow::Result<Exit> {
    if args.requirements.group.is_some() {
        given.refuse(&["validation"], "with --group, which holds out rows of every group to judge by")?;
        given.refuse(
            &["resume"],
            "with --group, whose search keeps no state to go on from; --force begins anew, and --out DIR writes elsewhere",
        )?;
        given.refuse(&["memory", "learner", "learner_share"], "with --group")?;
    }
    let Some(target) = &args.target else { bail!("--target COL is missing: the column to be explained") };
    let operators = operators(args)?;
    let file = standard_input(&args.file);
    let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let out = args.out.clone().unwrap_or_else(|| Path::new("runs").join(format!("{name}-fit")));
    let inputs = || std::iter::once(&file).chain(&args.validation).chain(&args.predict);
    let resume = args.requirements.group.is_none().then_some(args.resume);
    let output = folder::claim(&out, inputs(), resume, args.output.force)?;
    folder::refuse_own(&out, "--trace", args.trace.as_deref())?;
    folder::refuse_own(&out, "--predict-out", args.predict_out.as_deref())?;
    if let (Some(trace), Some(predictions)) = (&args.trace, &args.predict_out) {
        ensure!(!folder::is_same(trace, predictions), "--trace and --predict-out name the same file");
    }
    let predictions = claim_predictions(args, inputs())?;
    let trace = claim_trace(args, inputs())?;

    let table = from_table(&file, &args.requirements.table_options(args.reading.options(target)))?;
    warn(&table.report.warnings);
    if std::io::stdout().is_terminal() && tells_result(args) {
        // Who waits sees a wrong separator or column before a search of it.
        sr_cli::out(table_in_words(&table.report).trim_start())?;
    }
    let validation = args.validation.as_deref().map(|path| validation_table(args, path, &table)).transpose()?;
    let new = args.predict.as_deref().map(|path| new_table(args, path, &table)).transpose()?;
    let options = options(args, operators, &table)?;
    let validation = validation.as_ref().map(|table| &table.set.problems[0]);
    let learner = learner::of_args(args, table.report.variables.len())?;
    let settings = folder::settings(&table, validation, &options, &args.requirements, learner.as_ref());
    let folder = Folder { path: &out, settings };
    tracing::debug!("read in {:.3} s", started.elapsed().as_secs_f64());
    let begun = Instant::now();
    let found = match &table.groups {
        None => of_all_rows(args, &table, validation, &options, &folder, (trace.as_ref(), learner))?,
        Some(groups) => of_groups(args, &table, groups, &options, &folder)?,
    };
    tracing::debug!("searched in {:.3} s", begun.elapsed().as_secs_f64());
    folder.write(&found, &options, &table)?;
    sr_cli::write_run_file(&out.join("fit"), &args.common, started)?;
    drop(output);

    let predicted = new.map(|new| new.predict(&found.formula));
    let export = args.export.map(|target| found.formula.export(target));
    let mut result = found.result;
    result["out"] = json!(out.display().to_string());
    if let Some(export) = &export {
        result["export"] = json!(export);
    }
    let head = match std::io::stdout().is_terminal() {
        true => String::new(), // it was told before
        false => format!("{}\n", table_in_words(&table.report).trim_start()),
    };
    let text = format!("{head}{}\n  written to {}", found.text, out.display());
    tell(args, started, target, (result, text), export, predicted, predictions)?;
    Ok(match found.stopped {
        Some(what) => sr_cli::stopped(&format!("{} is kept; {what}", out.display())),
        None if found.is_better_than_mean => Exit::Ok,
        None => Exit::Negative,
    })
}

/// Reads the table that predictions are made for. Its groups are numbered as the fit does, in the order of their first rows.
fn new_table(args: &Args, path: &Path, table: &Table) -> anyhow::Result<NewTable> {
    let mut groups: Vec<String> = Vec::new();
    let mut met: HashSet<&String> = HashSet::new();
    groups.extend(table.groups.iter().flatten().filter(|&group| met.insert(group)).cloned());
    let column = table.report.group.as_deref().map(|name| GroupColumn { name, groups: &groups });
    NewTable::read(path, &table.report.variables, column, &args.reading)
}

/// Searches for one formula for all rows.
fn of_all_rows(
    args: &Args,
    table: &Table,
    validation: Option<&Problem>,
    options: &FitOptions,
    folder: &Folder<'_>,
    (trace, mut learner): (Option<&Output>, Option<Asked>),
) -> anyhow::Result<Found> {
    let (state, mut progress) = match if args.resume { folder.state()? } else { None } {
        Some((state, progress)) => (Some(state), progress),
        None => (None, Vec::new()),
    };
    let (problem, names, begun) = (&table.set.problems[0], &table.report.variables, Instant::now());
    let fitting = match &state {
        Some(state) => Fitting::resume(problem, validation, options, state)
            .with_context(|| format!("--resume {}", folder.path.display()))?,
        None => Fitting::with_validation(problem, validation, options).map_err(|error| in_table(error, args, table))?,
    };
    // Whatever is wrong with data or flags was found before anything is replaced.
    folder.prepare(args.output.force)?;
    let mut recorder = trace.map(|_| EpochRecorder::new(problem, &fitting)).transpose()?;
    let watched = Watched { names, recorder: recorder.as_mut(), learner: learner.as_mut(), progress: &mut progress };
    let save = |fitting: &Fitting, progress: &[Step]| folder.save(fitting, progress);
    let (fitting, fitted) = run(args, fitting, options, begun, watched, save)?;
    let seconds = begun.elapsed().as_secs_f64();
    folder.save(&fitting, &progress)?;
    if let (Some(recorder), Some(trace)) = (recorder, trace) {
        write_trace(recorder, &fitting, trace)?;
    }
    let sizes: Vec<usize> = fitted.front.iter().map(|formula| formula.size).collect();
    let view = report::View::new(&fitted, &table.report, pick(args, &sizes))?;
    let (mut result, mut text) = (view.json(), view.text());
    result["progress"] = json!(progress);
    if let Some(learner) = &learner {
        result["learner"] = learner.json(&fitting);
        text.push_str(&format!("\n  {}", learner.text(&fitting, seconds)));
    }
    Ok(Found {
        target: table.report.target.clone(),
        result,
        text,
        formula: view.marked(),
        front_csv: fitted.front_csv(view.marked, names)?,
        constants_csv: None,
        course: Some(fitted.course.clone()),
        is_better_than_mean: fitted.is_better_than_mean(),
        stopped: fitted.is_stopped.then(|| "the same command with --resume goes on".to_owned()),
    })
}

/// Searches for one law of many groups of rows.
fn of_groups(
    args: &Args,
    table: &Table,
    groups: &[String],
    options: &FitOptions,
    folder: &Folder<'_>,
) -> anyhow::Result<Found> {
    let progress = args.common.progress_share("the work");
    let mut monitor = Monitor::new(sr_cli::on_interrupt("the current epoch")?, |done| progress.inc(done));
    let fitted = fit_groups(&table.set.problems[0], groups, options, &mut monitor);
    let fitted = fitted.map_err(|error| in_table(error, args, table))?;
    drop(monitor);
    progress.finish_and_clear();
    let sizes: Vec<usize> = fitted.front.iter().map(|law| law.size).collect();
    let view = groups::View::new(&fitted, &table.report, pick(args, &sizes))?;
    folder.prepare(args.output.force)?;
    Ok(Found {
        target: table.report.target.clone(),
        result: view.json(),
        text: view.text(),
        formula: view.marked(),
        front_csv: fitted.front_csv(view.marked, &table.report.variables)?,
        constants_csv: Some(fitted.constants_csv(view.marked, &table.report.variables, view.column())?),
        course: None,
        is_better_than_mean: fitted.is_better_than_mean(),
        stopped: fitted.is_stopped.then(|| "the same command with --force begins anew".to_owned()),
    })
}

/// The size of `--pick`, or that of the smallest formula if none is so small: a search is not lost by it.
fn pick(args: &Args, sizes: &[usize]) -> Option<usize> {
    let smallest = sizes.first().copied().unwrap_or(0);
    let pick = args.pick?;
    if pick < smallest {
        tracing::warn!("--pick {pick}: the smallest formula has a size of {smallest}, and is marked in its place");
    }
    Some(pick.max(smallest))
}

/// An error of a target with the table, the column and the row of the table.
fn in_table(error: anyhow::Error, args: &Args, table: &Table) -> anyhow::Error {
    let row = |row: usize| table.report.row(row - 1) + 1;
    let of_table = match error.downcast_ref() {
        Some(&LossError::Zero { row: found }) => LossError::Zero { row: row(found) },
        Some(&LossError::NotBinary { row: found, value }) => LossError::NotBinary { row: row(found), value },
        _ => return error,
    };
    anyhow::Error::new(of_table).context(format!("{}, column {}", args.file.display(), table.report.target))
}

/// Writes the recorded epochs of a fit that has ended.
pub(crate) fn write_trace(recorder: EpochRecorder, fitting: &Fitting, out: &Output) -> anyhow::Result<()> {
    if !recorder.write(fitting, out.path())? {
        tracing::warn!("--trace {} is not written: the search ended before its first epoch", out.path().display());
    }
    Ok(())
}

/// What takes part in a search beside the search itself.
pub(crate) struct Watched<'a> {
    pub(crate) names: &'a [String],
    pub(crate) recorder: Option<&'a mut EpochRecorder>,
    pub(crate) learner: Option<&'a mut Asked>,
    /// The progress so far, which goes on.
    pub(crate) progress: &'a mut Vec<Step>,
}

/// Searches to the end, and saves the state of a search in between.
pub(crate) fn run(
    args: &Args,
    mut fitting: Fitting,
    options: &FitOptions,
    begun: Instant,
    Watched { names, mut recorder, mut learner, progress: steps }: Watched<'_>,
    save: impl Fn(&Fitting, &[Step]) -> anyhow::Result<()>,
) -> anyhow::Result<(Fitting, Fitted)> {
    let stop = sr_cli::on_interrupt("the current epoch")?;
    let progress = match (options.time_limit, options.max_work) {
        (Some(_), _) => args.common.progress_share("the time"),
        (None, Some(_)) => args.common.progress_share("the work"),
        (None, None) => args.common.progress(options.epochs.unwrap_or(0).into(), "epochs"),
    };
    let mut saved: Option<Instant> = None;
    let mut advance = |fitting: &mut Fitting| match &mut learner {
        Some(asked) => fitting.advance_with(begun, stop, &mut asked.learner),
        None => fitting.advance(begun, stop),
    };
    while advance(&mut fitting)? {
        if let Some(recorder) = &mut recorder {
            recorder.on_epoch(&fitting)?;
        }
        let share = |done: f64, all: f64| (sr_cli::WHOLE as f64 * (done / all).min(1.0)) as u64;
        progress.set_position(match (options.time_limit, options.max_work) {
            (Some(limit), _) => share(begun.elapsed().as_secs_f64(), limit.as_secs_f64()),
            (None, Some(work)) => share(fitting.work() as f64, work as f64),
            (None, None) => fitting.epochs().into(),
        });
        if let Some((expr, error)) = fitting.best() {
            // What is done again, such as closed forms that were cut, counts once.
            let epoch = fitting.epochs();
            steps.retain(|step| step.epoch < epoch);
            if steps.last().is_none_or(|step| error < step.error) {
                steps.push(Step { epoch, error });
            }
            progress.set_message(report::best_so_far(expr, error, names));
        }
        if saved.is_none_or(|saved| saved.elapsed() >= SAVE_EVERY) {
            save(&fitting, steps)?;
            saved = Some(Instant::now());
        }
    }
    let fitted = fitting.fitted_in_time(begun);
    progress.finish_and_clear();
    fitted.check_found(options)?;
    Ok((fitting, fitted))
}

/// Whether a search prints its result, and not what it is asked for in its place alone: JSON, the text of another system, or
/// predictions.
fn tells_result(args: &Args) -> bool {
    !args.common.json && args.export.is_none() && (args.predict.is_none() || args.predict_out.is_some())
}

/// Prints the result, or the text of another system or the predictions alone.
pub(crate) fn tell(
    args: &Args,
    started: Instant,
    target: &str,
    (mut result, text): (Value, String),
    export: Option<String>,
    predicted: Option<Vec<f64>>,
    predictions: Option<Output>,
) -> anyhow::Result<()> {
    if let Some(predicted) = &predicted {
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
