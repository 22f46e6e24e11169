//! A search, of one law for all rows or of one for many groups of them.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::{Value, json};
use sr_cli::{Exit, Given, Output};
use sr_lab::Monitor;
use sr_lab::fit::{EpochRecorder, FitOptions, Fitted, Fitting, fit_groups};
use sr_lab::sr_problems::from_table;

use crate::args::{Args, claim_predictions, claim_trace, operators, options, standard_input, validation_table, warn};
use crate::folder::Folder;
use crate::predict::NewTable;
use crate::{folder, groups, predict, report};

/// The least time between two saves of the state, so that saving takes no visible part of a search.
const SAVE_EVERY: Duration = Duration::from_secs(1);

/// Searches, or goes on with a search.
pub(crate) fn search(args: &Args, started: Instant) -> anyhow::Result<Exit> {
    let Some(target) = &args.target else { bail!("--target COL is missing: the column to be explained") };
    let operators = operators(args)?;
    let file = standard_input(&args.file);
    let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let out = args.out.clone().unwrap_or_else(|| Path::new("runs").join(format!("{name}-fit")));
    let inputs = || std::iter::once(&file).chain(&args.validation).chain(&args.predict);
    let output = folder::claim(&out, inputs(), args.resume, args.output.force)?;
    let predictions = claim_predictions(args, inputs())?;
    let trace = claim_trace(args, inputs())?;

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
    let mut recorder = trace.is_some().then(|| EpochRecorder::new(problem, &fitting)).transpose()?;
    let (fitting, fitted) =
        run(args, fitting, &options, begun, &names, recorder.as_mut(), |fitting| folder.save(fitting))?;
    tracing::debug!("searched in {:.3} s", begun.elapsed().as_secs_f64());
    folder.save(&fitting)?;
    if let (Some(recorder), Some(trace)) = (recorder, &trace) {
        write_trace(recorder, &fitting, &file, trace)?;
    }
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
pub(crate) fn search_groups(args: &Args, given: &Given, started: Instant) -> anyhow::Result<Exit> {
    given.refuse(
        &["validation", "guess", "memory", "predict", "predict_out", "out", "resume", "force"],
        "with --group, whose result is printed and written nowhere",
    )?;
    let Some(target) = &args.target else { bail!("--target COL is missing: the column to be explained") };
    let operators = operators(args)?;
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

/// Writes the recorded epochs of a fit that has ended.
pub(crate) fn write_trace(
    recorder: EpochRecorder,
    fitting: &Fitting,
    table: &Path,
    out: &Output,
) -> anyhow::Result<()> {
    // What `sr-generate csv` makes of the table.
    let problems = format!("{}.sr", table.file_stem().unwrap_or_default().to_string_lossy());
    if !recorder.write(&problems, fitting, out.path())? {
        tracing::warn!("--trace {} is not written: the search ended before its first epoch", out.path().display());
    }
    Ok(())
}

/// Searches to the end, and saves the state of a search in between.
pub(crate) fn run(
    args: &Args,
    mut fitting: Fitting,
    options: &FitOptions,
    begun: Instant,
    names: &[String],
    mut recorder: Option<&mut EpochRecorder>,
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
        if let Some(recorder) = &mut recorder {
            recorder.on_epoch(&fitting)?;
        }
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
