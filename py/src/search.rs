//! A search for the formula of a table.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use pyo3::prelude::*;
use serde_json::{Value, json};
use sr_lab::fit::{
    FitOptions, Fitted, Fitting, FrontFormula, State, Stop, parse_complexity, parse_guess, parse_nesting,
};
use sr_lab::sr_expr::rules::{Rules, UnitRule};
use sr_lab::sr_expr::units::{ConstantUnits, Unit};
use sr_lab::sr_expr::{Columns, Expr, Semantics};
use sr_lab::sr_problems::{Problem, Sampler, parse_operators};

use crate::{floats, value_error};

/// How often Python is asked whether Ctrl-C was pressed.
const POLL: Duration = Duration::from_millis(50);
/// The least time between two reports of progress.
const TELL_EVERY: Duration = Duration::from_millis(100);

/// What a search is asked for, by the names of the flags of `sr-fit`. Names that `None` may stand for have its defaults.
#[derive(Debug, FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Settings {
    /// The name of the table, by which the random streams are keyed.
    name: String,
    variables: Vec<String>,
    /// Whether the variables have names of their own, and not only numbers.
    has_names: bool,
    operators: Option<String>,
    max_size: usize,
    time_limit: Option<f64>,
    epochs: Option<u32>,
    max_work: Option<u64>,
    /// In megabytes.
    memory: usize,
    loss: String,
    guesses: Vec<String>,
    /// The units of the variables, and that of the target.
    units: Option<(Vec<String>, String)>,
    unit_constants: bool,
    complexity: Option<String>,
    nesting: Option<String>,
    max_depth: Option<usize>,
    max_constants: Option<usize>,
    seed: u64,
    threads: usize,
}

impl Settings {
    fn options(&self) -> anyhow::Result<FitOptions> {
        let default = FitOptions::default();
        let operators = self.operators.as_deref().map(parse_operators).transpose().context("operators")?;
        let operators = operators.unwrap_or(default.operators.clone());
        let guess = |text: &String| -> anyhow::Result<Expr> {
            let guess = parse_guess(text, &self.variables, &operators).with_context(|| format!("guess {text:?}"))?;
            let (size, most) = (guess.size(), self.max_size);
            ensure!(size <= most, "guess {text:?} has {size} nodes, expected {most} at most; raise max_size");
            Ok(guess)
        };
        let time_limit = |seconds| Duration::try_from_secs_f64(seconds).context("time_limit");
        Ok(FitOptions {
            seed: self.seed,
            threads: self.threads,
            guesses: self.guesses.iter().map(guess).collect::<anyhow::Result<_>>()?,
            operators,
            max_size: self.max_size,
            time_limit: self.time_limit.map(time_limit).transpose()?,
            epochs: self.epochs,
            max_work: self.max_work,
            memory: self.memory << 20,
            loss: self.loss.parse().context("loss")?,
            rules: self.rules()?,
            ..default
        })
    }

    fn rules(&self) -> anyhow::Result<Rules> {
        let constants = if self.unit_constants { ConstantUnits::Free } else { ConstantUnits::Dimensionless };
        let unit = |text: &String| text.parse::<Unit>().context("units");
        let units = |(variables, target): &(Vec<String>, String)| -> anyhow::Result<UnitRule> {
            let variables = variables.iter().map(unit).collect::<anyhow::Result<_>>()?;
            Ok(UnitRule { variables, target: unit(target)?, constants })
        };
        let complexity = self.complexity.as_deref().map(|text| parse_complexity(text, &self.variables));
        let nesting = self.nesting.as_deref().map(parse_nesting);
        Ok(Rules {
            units: self.units.as_ref().map(units).transpose()?,
            nesting: nesting.transpose().context("nesting")?.unwrap_or_default(),
            max_depth: self.max_depth,
            max_constants: self.max_constants,
            complexity: complexity.transpose().context("complexity")?.unwrap_or_default(),
        })
    }

    /// Returns the names that are shown.
    fn names(&self) -> &[String] {
        if self.has_names { &self.variables } else { &[] }
    }

    /// Makes the problem of a table of this name, as reading it from a file does.
    fn problem(&self, x: &[u8], y: &[u8], weights: Option<&[u8]>) -> anyhow::Result<Problem> {
        let (y, n_columns) = (floats(y), self.variables.len());
        ensure!(x.len() == 8 * y.len() * n_columns, "X has another shape than y and the names of its columns");
        Ok(Problem {
            id: self.name.clone(),
            source: None,
            semantics: Semantics::Ieee,
            x: Columns::new(y.len(), n_columns, floats(x)),
            y,
            weights: weights.map(floats),
            operators: FitOptions::default().operators,
            constants: vec![1.0],
            sampler: Sampler::Fixed,
            seed: 0,
        })
    }
}

/// What a search tells while it runs.
struct Told {
    /// The share that is done.
    share: f64,
    formula: String,
    /// The error of the formula on training rows, relative to the variance of y.
    error: f64,
}

/// Looks for the formula of a table. Other threads of Python run meanwhile.
///
/// - x: the bytes of the columns, one after the other
/// - state: the state of an earlier search of the same data and settings, to go on from
/// - progress: is called with the share that is done, the best formula so far and its error
///
/// Returns what was found as JSON, the state as JSON, and the exception that ended the search before its time: that of
/// Ctrl-C, or what `progress` has raised.
#[pyfunction]
#[pyo3(signature = (x, y, weights, settings, state=None, progress=None))]
pub(crate) fn search(
    py: Python<'_>,
    x: &[u8],
    y: &[u8],
    weights: Option<&[u8]>,
    settings: Settings,
    state: Option<&str>,
    progress: Option<Bound<'_, PyAny>>,
) -> PyResult<(String, String, Option<PyErr>)> {
    let stop = AtomicBool::new(false);
    let (sender, receiver) = channel();
    let sender = progress.is_some().then_some(sender);
    let (ended, mut over) = channel::<()>();
    let mut raised: Option<PyErr> = None;
    // Only the thread of Python can learn of Ctrl-C, so that the search has one of its own.
    let outcome = std::thread::scope(|scope| {
        let (settings, stop) = (&settings, &stop);
        let worker = scope.spawn(move || {
            let outcome = run((x, y, weights), settings, state, stop, sender);
            drop(ended);
            outcome
        });
        loop {
            let over = &mut over;
            let is_over = py.detach(move || over.recv_timeout(POLL)) == Err(RecvTimeoutError::Disconnected);
            // The newest report is the one to be shown.
            let told = receiver.try_iter().last();
            if raised.is_none() {
                let told = told.zip(progress.as_ref());
                let tell = |(told, progress): (Told, &Bound<'_, PyAny>)| {
                    progress.call1((told.share, told.formula, told.error)).map(drop)
                };
                raised = py.check_signals().and_then(|()| told.map_or(Ok(()), tell)).err();
                stop.fetch_or(raised.is_some(), Ordering::Relaxed);
            }
            if is_over {
                break;
            }
        }
        py.detach(|| worker.join()).unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    let (found, state) = outcome.map_err(value_error)?;
    Ok((found, state, raised))
}

fn run(
    (x, y, weights): (&[u8], &[u8], Option<&[u8]>),
    settings: &Settings,
    state: Option<&str>,
    stop: &AtomicBool,
    sender: Option<Sender<Told>>,
) -> anyhow::Result<(String, String)> {
    let begun = Instant::now();
    let options = settings.options()?;
    let mut fitting = {
        let problem = settings.problem(x, y, weights)?;
        match state {
            None => Fitting::new(&problem, &options)?,
            Some(text) => {
                let state = State::of_json(&serde_json::from_str(text)?).context("the fitted state")?;
                Fitting::resume(&problem, None, &options, &state).context("warm_start")?
            }
        }
    };
    let mut told = Instant::now();
    while fitting.advance(begun, stop)? {
        if let Some(sender) = sender.as_ref().filter(|_| told.elapsed() >= TELL_EVERY) {
            told = Instant::now();
            // Nobody listens if the search is to stop.
            let _ = sender.send(tell(&fitting, settings, begun));
        }
    }
    let fitted = fitting.fitted_in_time(begun);
    fitted.check_found(&options)?;
    Ok((json_of(&fitted, settings).to_string(), serde_json::to_string(&fitting.state())?))
}

fn tell(fitting: &Fitting, settings: &Settings, begun: Instant) -> Told {
    let shares = [
        settings.time_limit.map(|limit| begun.elapsed().as_secs_f64() / limit),
        settings.max_work.map(|work| fitting.work() as f64 / work as f64),
        settings.epochs.map(|epochs| f64::from(fitting.epochs()) / f64::from(epochs.max(1))),
    ];
    let share = shares.into_iter().flatten().fold(0.0, f64::max).min(1.0);
    let (formula, error) = match fitting.best() {
        Some((expr, error)) => (expr.display(Semantics::Ieee).with_names(settings.names()).to_string(), error),
        None => (String::new(), f64::NAN),
    };
    Told { share, formula, error }
}

/// Returns what was found, by the names of `sr-fit --json`.
fn json_of(fitted: &Fitted, settings: &Settings) -> Value {
    let formula = |formula: &FrontFormula| {
        let text = formula.expr.display(fitted.semantics);
        json!({
            "size": formula.size,
            "loss": formula.fit.loss,
            "rmse": formula.fit.rmse,
            "r2": formula.fit.r2(),
            "loss_held_out": formula.held_out.map(|fit| fit.loss),
            "r2_held_out": formula.held_out.and_then(|fit| fit.r2()),
            "exact": formula.is_exact,
            "method": formula.method.name(),
            "formula": text.with_names(settings.names()).to_string(),
            "expression": formula.expr.display(fitted.semantics).to_string(),
        })
    };
    json!({
        "front": fitted.front.iter().map(formula).collect::<Vec<_>>(),
        "mean": formula(&fitted.mean),
        "linear": fitted.linear.as_ref().map(formula),
        "chosen": fitted.choice,
        "reason": fitted.reason.name(),
        "loss": fitted.loss.as_deref().unwrap_or("mse"),
        "epochs": fitted.epochs,
        "work": fitted.work,
        "stop": fitted.stop.map(Stop::name),
        "held_out_rows": fitted.n_held_out,
        "better_than_mean": fitted.is_better_than_mean(),
    })
}
