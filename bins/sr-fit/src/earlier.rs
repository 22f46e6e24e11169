//! What is done with an earlier run: its formula applied or exported, and the whole of it repeated.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{bail, ensure};
use serde_json::json;
use sr_args::{ReadingArgs, counted};
use sr_cli::{Exit, Given};
use sr_lab::fit::{EpochRecorder, FitOptions, Fitting};
use sr_lab::sr_problems::{TableOptions, from_table};

use crate::args::{Args, claim_predictions, claim_trace, standard_input, threads};
use crate::folder::Run;
use crate::requirements::RequirementArgs;
use crate::search::{Watched, tell, write_trace};
use crate::{folder, learner, predict, search};

/// The flags of a search that an earlier run has set, beside what its formulas had to be.
const OF_A_SEARCH: [&str; 13] = [
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
    "learner",
    "learner_share",
];

/// Fails if neither a table nor the folder of a run is there. Which of them was meant, and so which flags are missing, is not
/// known then.
pub(crate) fn check_there(args: &Args) -> anyhow::Result<()> {
    let is_missing = |error: std::io::Error| matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory);
    let is_there = args.file == Path::new("-") || !args.file.metadata().is_err_and(is_missing);
    ensure!(is_there, "{}: there is no such file or folder", args.file.display());
    Ok(())
}

/// Applies or exports the formula of an earlier run.
pub(crate) fn apply(args: &Args, given: &Given, started: Instant) -> anyhow::Result<Exit> {
    let folder = &args.file;
    ensure!(
        args.predict.is_some() || args.export.is_some(),
        "{} is a folder: --predict FILE applies the formula of the run in it, --export SYSTEM prints it, and sr-inspect shows \
         all formulas; a search needs a table",
        folder.display()
    );
    let why = "with the folder of an earlier run, whose formula is taken without a search";
    given.refuse(&OF_A_SEARCH, why)?;
    given.refuse(&["validation", "resume", "trace", "seed"], why)?;
    given.refuse_all::<RequirementArgs>(why)?;
    given.refuse(&["out"], "with the folder of an earlier run; --predict-out FILE is where predictions are written")?;
    if args.predict.is_none() {
        given.refuse_all::<ReadingArgs>("with --export and the folder of an earlier run, where no table is read")?;
    }
    if args.predict_out.is_none() {
        given.refuse(
            &["force"],
            "with the folder of an earlier run and without --predict-out, where nothing is written",
        )?;
    }
    let run = Run::read(folder)?;
    let predictions = claim_predictions(args, args.predict.iter().chain([folder]))?;
    let formula = run.marked(args.pick)?;
    let export = args.export.map(|target| formula.export(target));
    let predict = |path: &PathBuf| predict::of_used_columns(path, &formula, &args.reading);
    let predicted = args.predict.as_ref().map(predict).transpose()?;
    let (formula, expression) = (formula.text(), formula.expr.to_string());
    let mut result = json!({ "formula": formula, "expression": expression, "run": folder.display().to_string() });
    if let Some(export) = &export {
        result["export"] = json!(export);
    }
    let text = format!("{} = {formula}", run.target);
    tell(args, started, &run.target, (result, text), export, predicted, predictions)?;
    Ok(Exit::Ok)
}

/// Repeats an earlier run and compares the formulas.
pub(crate) fn replay(args: &Args, given: &Given, started: Instant, folder: &Path) -> anyhow::Result<Exit> {
    let why = "with --replay: settings are those of the run";
    given.refuse(&OF_A_SEARCH, why)?;
    given.refuse(&["seed", "predict", "export", "pick", "missing", "no_header", "decimal"], why)?;
    given.refuse_all::<RequirementArgs>(why)?;
    if args.trace.is_none() {
        given.refuse(&["force"], "with --replay, which replaces nothing but the file of --trace")?;
    }
    let run = Run::read(folder)?;
    ensure!(
        run.group().is_none(),
        "--replay {}: a run with --group keeps no course to repeat; the same command with --out DIR makes it again",
        folder.display()
    );
    let file = standard_input(&args.file);
    let reading = TableOptions { separator: args.reading.separator, ..run.reading()? };
    let reading = run.requirements()?.table_options(reading);
    let table = from_table(&file, &reading)?;
    let read = |path: &PathBuf| from_table(path, &TableOptions { sigma: None, ..reading.clone() });
    let validation = args.validation.as_ref().map(read).transpose()?;
    let validation = validation.as_ref().map(|table| &table.set.problems[0]);
    let requirements = run.requirements()?;
    let rules = requirements.rules(&table.report)?;
    let options = FitOptions { threads: threads(args), loss: requirements.loss.clone(), rules, ..run.options()? };
    let mut learner = learner::of_settings(&run.settings, options.max_size)?;
    let settings = folder::settings(&table, validation, &options, &requirements, learner.as_ref());
    if let Some(difference) = sr_cli::difference(&run.settings, &settings) {
        bail!("--replay {}: the run was made with other data: {difference}", folder.display());
    }
    folder::refuse_own(folder, "--trace", args.trace.as_deref())?;
    let trace = claim_trace(args, std::iter::once(&file).chain(&args.validation))?;
    let problem = &table.set.problems[0];
    let fitting = Fitting::with_validation(problem, validation, &options)?;
    let mut recorder = trace.is_some().then(|| EpochRecorder::new(problem, &fitting)).transpose()?;
    let names = &table.report.variables;
    let mut progress = Vec::new();
    let watched = Watched { names, recorder: recorder.as_mut(), learner: learner.as_mut(), progress: &mut progress };
    let (fitting, fitted) = search::run(args, fitting, &options, Instant::now(), watched, |_, _| Ok(()))?;
    if fitted.is_stopped {
        return Ok(sr_cli::stopped("nothing was compared; the same command begins anew"));
    }
    if let (Some(recorder), Some(trace)) = (recorder, &trace) {
        write_trace(recorder, &fitting, trace)?;
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
        _ if is_equal => format!("the same {} as in {}", counted(expressions.len(), "formula"), folder.display()),
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
