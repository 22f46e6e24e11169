//! What a run tells about its searches.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sr_args::Switch;
use sr_cli::Exit;
use sr_lab::record::{Job, Recorded, Searcher};
use sr_lab::sr_engine::{Fit, Objective, Origin, Outcome, SearchConfig, StopReason};
use sr_lab::sr_eval::{FRESH_POINTS, judge};
use sr_lab::sr_trace::Record;

use crate::{Args, PolicyArg};

/// Searches that are told one by one; of more there are counts.
const MOST_TOLD: usize = 20;
/// A formula that is farther off on its own rows is no solution, so that fresh points need not be drawn.
const FAR_OFF: f64 = 1e-6;

/// What one search found, as people are told.
pub(crate) struct Found {
    problem: String,
    seed: u64,
    stop: &'static str,
    solved: bool,
    generations: u32,
    /// Generation in which the early-stop error was reached.
    generations_to_solve: Option<u32>,
    /// Of the formula over all rows, computed anew.
    fit: Fit,
    size: usize,
    /// In the variables `x0`, `x1`, …, with the names of operators as they are.
    expression: String,
    /// The same with the names of columns, where there are any.
    formula: String,
}

impl Found {
    /// - names: of the variables, where they have any
    fn new(job: &Job, outcome: &Outcome, names: &[String]) -> Self {
        let (winner, semantics) = (outcome.winner(), outcome.semantics());
        let mut fit = job.instance.fit(winner.tree(), semantics);
        if !job.problem.is_own_data() {
            let may_be_solved = fit.relative <= FAR_OFF;
            let fresh = if may_be_solved { job.problem.fresh_points(FRESH_POINTS, 0) } else { None };
            let fresh = fresh.as_ref().map(|(x, y)| (x, &y[..]));
            fit.is_solved = may_be_solved && judge(winner.tree(), semantics, &job.instance, fresh).solved;
        }
        Found {
            problem: job.instance.id().to_owned(),
            seed: job.seed,
            stop: outcome.stop.map_or("stopped", StopReason::name),
            solved: fit.is_solved,
            generations: outcome.generations,
            generations_to_solve: outcome.generations_to_solve,
            fit,
            size: winner.expr.size(),
            expression: winner.tree().display(semantics).to_string(),
            formula: winner.tree().display(semantics).with_names(names).to_string(),
        }
    }

    /// One line of the formula, one of how good it is.
    fn text(&self) -> String {
        let Found { problem, seed, formula, size, generations, stop, .. } = self;
        let Fit { mse, rmse, relative, .. } = self.fit;
        // Where squares of errors are no numbers their root is.
        let error = if mse.is_normal() || mse == 0.0 { format!("MSE {mse:.3e}") } else { format!("RMSE {rmse:.3e}") };
        let error = match self.fit.r2() {
            _ if !self.fit.is_finite() => "no value on some rows".to_owned(),
            // There is no R² of a y that does not vary.
            None if relative == 0.0 => format!("{error} of a y that does not vary"),
            None => format!("{error}, {:.1e} of the size of a y that does not vary", relative.sqrt()),
            Some(_) if relative < 1e-3 => format!("{error}, 1 - R² {relative:.1e}"),
            Some(r2) => format!("{error}, R² {r2:.6}"),
        };
        let solved = if self.solved { "solved" } else { "not solved" };
        format!(
            "{problem}, seed {seed}: {formula}\n    {error} over all rows, {}, {solved}; {}, stopped by: {stop}\n",
            counted(*size, "node", "nodes"),
            counted(*generations as usize, "generation", "generations"),
        )
    }

    fn json(&self) -> Value {
        json!({
            "problem": self.problem,
            "seed": self.seed,
            "solved": self.solved,
            "stop_reason": self.stop,
            "generations": self.generations,
            "generations_to_solve": self.generations_to_solve,
            "mse": Some(self.fit.mse).filter(|mse| mse.is_finite()),
            "rmse": Some(self.fit.rmse).filter(|rmse| rmse.is_finite()),
            "r2": self.fit.r2(),
            "masked_rows": self.fit.masked_rows,
            "size": self.size,
            "expression": self.expression,
            "formula": self.formula,
        })
    }
}

/// Tells the best formulas so far of searches that were stopped, with nothing of which a trace could go on.
pub(crate) fn stopped(
    args: &Args,
    started: Instant,
    searches: &[(Job, Outcome)],
    names: &[String],
) -> anyhow::Result<()> {
    if searches.is_empty() {
        return Ok(());
    }
    let found: Vec<Found> = searches.iter().map(|(job, outcome)| Found::new(job, outcome, names)).collect();
    let result = json!({ "stopped": true, "results": found.iter().map(Found::json).collect::<Vec<_>>() });
    let mut text = String::new();
    found.iter().take(MOST_TOLD).for_each(|found| text += &found.text());
    if found.len() > MOST_TOLD {
        writeln!(text, "and {} searches more that have not ended", found.len() - MOST_TOLD)?;
    }
    args.common.report("sr-search", started, result, &text)
}

fn counted(n: usize, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

/// A search of a batch beside the same search alone.
struct Pair {
    problem: String,
    seed: u64,
    batched: Fit,
    alone: Fit,
    is_equal: bool,
}

/// What a run adds up to.
#[derive(Default)]
pub(crate) struct Totals {
    children: u64,
    /// Those of them that a generation had.
    lived: u64,
    evaluations: u64,
    stopped_solved: u64,
    well_formed: u64,
    fallback: u64,
    distinct: u64,
    pub(crate) batched: Duration,
    sequential: Duration,
    found: Vec<Found>,
    /// Records of the searches that are compared with the same ones alone.
    kept: Vec<Record>,
    pairs: Vec<Pair>,
}

impl Totals {
    /// Counts a search.
    ///
    /// - names: of the variables, where they have any
    /// - keep: whether it will be compared with the same search alone
    pub(crate) fn add(&mut self, search: &Recorded<'_>, names: &[String], keep: bool) {
        let record = search.record;
        let kinds = record.children();
        self.lived += kinds.iter().sum::<u64>() - kinds[Origin::Elite as usize];
        self.children += record.evaluations().search.saturating_sub(record.initial());
        self.evaluations += record.evaluations().search;
        self.stopped_solved += u64::from(matches!(record.stop(), StopReason::Solved { .. }));
        let counts = record.sampling().unwrap_or_default();
        self.well_formed += counts.well_formed;
        self.fallback += counts.fallback;
        self.distinct += search.tally.map_or(0, |tally| tally.distinct);
        self.found.push(Found::new(search.job, search.outcome, names));
        self.kept.extend(keep.then(|| record.clone()));
    }

    /// Does all searches that were kept again, one by one, and compares.
    pub(crate) fn compare_with_alone(
        &mut self,
        searcher: &mut Searcher,
        jobs: &[Job],
        config: &SearchConfig,
    ) -> anyhow::Result<()> {
        let started = Instant::now();
        // Those that an earlier run has done come first and are not among them.
        let jobs = &jobs[jobs.len() - self.kept.len()..];
        for (job, (record, found)) in jobs.iter().zip(self.kept.iter().zip(&self.found)) {
            let alone = searcher.search(std::slice::from_ref(job), config, &AtomicBool::new(false))?.ended.remove(0);
            self.pairs.push(Pair {
                problem: found.problem.clone(),
                seed: found.seed,
                batched: found.fit,
                alone: Found::new(job, &alone.outcome, &[]).fit,
                is_equal: *record == alone.record,
            });
        }
        self.sequential = started.elapsed();
        Ok(())
    }

    pub(crate) fn report(
        &self,
        args: &Args,
        config: &SearchConfig,
        started: Instant,
        out: &Path,
        legal_mass: Option<f64>,
    ) -> anyhow::Result<Exit> {
        let searches = self.found.len();
        let problems = searches as u64 / args.runs;
        let rate = self.children as f64 / self.batched.as_secs_f64().max(1e-9);
        let solved = self.found.iter().filter(|found| found.solved).count();
        let left_out: Vec<&Found> = match config.objective {
            Objective::Masked => self.found.iter().filter(|found| found.fit.masked_rows > 0).collect(),
            Objective::Mse => Vec::new(),
        };
        let differing = self.pairs.iter().filter(|pair| !pair.is_equal).count();
        let mut result = json!({
            "problems": problems,
            "searches": searches,
            "children": self.children,
            "evaluations": self.evaluations,
            "children_per_second": rate.round(),
            "well_formed": self.well_formed,
            "fallback": self.fallback,
            "distinct": (args.policy != PolicyArg::Expert).then_some(self.distinct),
            "legal_mass": legal_mass,
            "objective": config.objective.name(),
            "solved": solved,
            "stopped_solved": self.stopped_solved,
            "masked_winners": left_out.len(),
            "results": self.found.iter().map(Found::json).collect::<Vec<_>>(),
            "out": out.display().to_string(),
        });
        let mut text = String::new();
        if searches <= MOST_TOLD {
            self.found.iter().for_each(|found| text += &found.text());
        }
        let mut stops: Vec<(&str, usize)> = Vec::new();
        for found in &self.found {
            match stops.iter_mut().find(|(name, _)| *name == found.stop) {
                Some((_, count)) => *count += 1,
                None => stops.push((found.stop, 1)),
            }
        }
        let stops: Vec<String> = stops.iter().map(|(name, count)| format!("{name} {count}")).collect();
        writeln!(
            text,
            "{} of {}: {solved} solved; {} children, {rate:.0} children/s, {} evaluations; stopped by: {}",
            counted(searches, "search", "searches"),
            counted(problems as usize, "problem", "problems"),
            self.children,
            self.evaluations,
            stops.join(", ")
        )?;
        if let Some(first) = left_out.first() {
            writeln!(
                text,
                "{} of the formulas were judged without some rows, where their value is 1e6 or more or no number ({} rows of {}, seed {}): --objective mse counts all rows",
                left_out.len(),
                first.fit.masked_rows,
                first.problem,
                first.seed
            )?;
        }
        if args.policy != PolicyArg::Expert {
            let share = |part: u64, whole: u64| 100.0 * part as f64 / whole.max(1) as f64;
            writeln!(
                text,
                "well-formed {:.1} % ({} children), fallback {}, distinct within their generation {:.1} %",
                share(self.well_formed, self.well_formed + self.fallback),
                self.well_formed,
                self.fallback,
                share(self.distinct, self.lived)
            )?;
            if args.sampling.grammar == Switch::On {
                let mass = legal_mass.unwrap_or(1.0);
                writeln!(text, "legal mass {mass:.4}: probability of a token that the grammar allows, before it does")?;
            }
        }
        if args.compare_sequential {
            let speed_up = self.sequential.as_secs_f64() / self.batched.as_secs_f64().max(1e-9);
            result["sequential_seconds"] = json!(sr_cli::seconds(self.sequential));
            result["batched_seconds"] = json!(sr_cli::seconds(self.batched));
            result["speed_up"] = json!(speed_up);
            result["differing"] = json!(differing);
            let number = |fit: &Fit| Some(fit.mse).filter(|mse| mse.is_finite());
            let pair = |pair: &Pair| {
                json!({
                    "problem": pair.problem,
                    "seed": pair.seed,
                    "mse_batched": number(&pair.batched),
                    "mse_alone": number(&pair.alone),
                    "equal": pair.is_equal,
                })
            };
            result["pairs"] = self.pairs.iter().map(pair).collect();
            for pair in self.pairs.iter().take(MOST_TOLD) {
                let equal = if pair.is_equal { "equal" } else { "DIFFERENT" };
                writeln!(
                    text,
                    "{}, seed {}: MSE {:.3e} in the batch, {:.3e} alone, {equal} trajectories",
                    pair.problem, pair.seed, pair.batched.mse, pair.alone.mse
                )?;
            }
            writeln!(
                text,
                "batched {:.2} s, one by one {:.2} s: {speed_up:.2} times as fast; {differing} of {searches} trajectories differ",
                self.batched.as_secs_f64(),
                self.sequential.as_secs_f64(),
            )?;
        }
        write!(text, "trace: {}", out.display())?;
        args.common.report("sr-search", started, result, &text)?;
        Ok(if differing == 0 { Exit::Ok } else { Exit::Negative })
    }
}
