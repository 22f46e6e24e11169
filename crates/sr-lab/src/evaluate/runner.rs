//! Runs the searches of one method and measures their seconds.

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::time::Instant;

use anyhow::Context;
use rayon::prelude::*;
use sr_engine::{Expert, Generation, Objective, Observer, Outcome, PolicyError, Request, Search, SearchConfig, run};
use sr_eval::{BestOf, Enumeration, Equal, FRESH_POINTS, Progress, RandomTrees, Row, Tally, judge};

use crate::evaluate::Policy;
use crate::record::Job;

/// Searches of one method in one table.
pub(crate) struct Task<'a> {
    pub(crate) method: &'a str,
    pub(crate) budget: Option<Equal>,
    pub(crate) config: SearchConfig,
    /// Whether rows contain their progress.
    pub(crate) progress: bool,
    /// The column names of the user's own data.
    pub(crate) names: Option<&'a [String]>,
}

/// Searches a batch with one method and judges the formulas that were found.
///
/// Without a learner each search has one thread, and its seconds are that thread's. With a learner all threads advance
/// the batch together: the time of a generation is divided equally among the searches that take part in it, and is
/// multiplied by the number of threads.
pub(crate) fn search(task: &Task<'_>, policy: &mut Policy, jobs: &[Job]) -> anyhow::Result<Vec<Row>> {
    let found = match policy {
        Policy::Expert => alone(task, jobs, || Expert, |_| 0)?,
        Policy::Random => alone(task, jobs, || RandomTrees, |_| 0)?,
        Policy::Enumeration => alone(task, jobs, Enumeration::default, |_| 0)?,
        Policy::BestOf(k) => alone(task, jobs, || BestOf::new(*k), BestOf::proposals)?,
        #[cfg(feature = "learner")]
        Policy::Learner(learner) => {
            let found = together(task, jobs, &mut **learner);
            found.with_context(|| format!("the learner of {} failed", task.method))?
        }
        Policy::Custom(policy) => {
            let found = together(task, jobs, &mut **policy);
            found.with_context(|| format!("{} failed", task.method))?
        }
    };
    Ok(jobs.par_iter().zip(found).map(|(job, found)| row(task, job, found)).collect())
}

/// The result of a search that has ended, with its measurements.
struct Found {
    outcome: Outcome,
    proposals: u64,
    tally: Tally,
    progress: Vec<Progress>,
    seconds: f64,
    seconds_to_solve: Option<f64>,
}

/// Runs each search with a policy of its own.
fn alone<P: sr_engine::Policy>(
    task: &Task<'_>,
    jobs: &[Job],
    policy: impl Fn() -> P + Sync,
    proposals: impl Fn(&P) -> u64 + Sync,
) -> anyhow::Result<Vec<Found>> {
    let search = |job: &Job| {
        let mut watch = Watch::new(Time::Own(Instant::now()), &task.config);
        let mut search = Search::new(job.instance.clone(), task.config.clone(), job.seed)?;
        let mut policy = policy();
        let outcome = search.run_with(&mut policy, &mut watch)?;
        watch.seconds = outcome.elapsed.as_secs_f64();
        Ok(watch.found(outcome, proposals(&policy)))
    };
    // Jobs are handed out one by one, because long and short searches are mixed.
    jobs.par_iter().with_max_len(1).map(search).collect()
}

/// Runs all searches with one policy. A search whose seconds are over ends after its current generation.
fn together(task: &Task<'_>, jobs: &[Job], policy: &mut dyn sr_engine::Policy) -> anyhow::Result<Vec<Found>> {
    let clock = RefCell::new(Clock { last: Instant::now(), active: jobs.len(), has_asked: false, share: 0.0 });
    let config = SearchConfig { time_limit: None, ..task.config.clone() };
    let searches = jobs.par_iter().map(|job| Search::new(job.instance.clone(), config.clone(), job.seed));
    let mut searches = searches.collect::<Result<Vec<_>, _>>()?;
    let mut watches: Vec<_> = jobs.iter().map(|_| Watch::new(Time::Shared(&clock), &task.config)).collect();
    let outcomes = run(&mut searches, &mut Timed { policy, clock: &clock }, &mut watches);
    let outcomes = outcomes?;
    Ok(watches.into_iter().zip(outcomes).map(|(watch, outcome)| watch.found(outcome, 0)).collect())
}

/// The seconds of each search of a batch so far, summed over threads.
struct Clock {
    last: Instant,
    /// The number of searches that have not ended.
    active: usize,
    /// Whether the policy has been asked for children of this generation. It is asked again for those of some searches,
    /// whose children had been met before.
    has_asked: bool,
    share: f64,
}

impl Clock {
    fn now(&mut self) -> f64 {
        let now = Instant::now();
        let threads = rayon::current_num_threads() as f64;
        self.share += now.duration_since(self.last).as_secs_f64() * threads / self.active.max(1) as f64;
        self.last = now;
        self.share
    }
}

/// A policy that tells the clock how many searches have not ended.
struct Timed<'a> {
    policy: &'a mut dyn sr_engine::Policy,
    clock: &'a RefCell<Clock>,
}

impl sr_engine::Policy for Timed<'_> {
    fn propose(&mut self, requests: &mut [Request<'_>]) -> Result<(), PolicyError> {
        let mut clock = self.clock.borrow_mut();
        clock.now();
        if !std::mem::replace(&mut clock.has_asked, true) {
            clock.active = requests.len();
        }
        drop(clock);
        self.policy.propose(requests)
    }
}

/// The source of a search's seconds.
enum Time<'a> {
    Own(Instant),
    Shared(&'a RefCell<Clock>),
}

/// The observer of one search.
struct Watch<'a> {
    time: Time<'a>,
    /// Seconds after which the search ends, if the engine does not enforce the limit.
    limit: Option<f64>,
    /// The error at or below which the search counts as solved.
    solved_at: Option<f64>,
    tally: Tally,
    progress: Vec<Progress>,
    seconds: f64,
    seconds_to_solve: Option<f64>,
}

impl<'a> Watch<'a> {
    fn new(time: Time<'a>, config: &SearchConfig) -> Self {
        let limit = config.time_limit.filter(|_| matches!(time, Time::Shared(_)));
        Watch {
            time,
            limit: limit.map(|limit| limit.as_secs_f64()),
            solved_at: config.early_stop_mse,
            tally: Tally::default(),
            progress: Vec::new(),
            seconds: 0.0,
            seconds_to_solve: None,
        }
    }

    fn found(self, outcome: Outcome, proposals: u64) -> Found {
        let Watch { tally, progress, seconds, seconds_to_solve, .. } = self;
        Found { outcome, proposals, tally, progress, seconds, seconds_to_solve }
    }
}

impl Observer for Watch<'_> {
    fn on_generation(&mut self, seen: &Generation<'_>) -> ControlFlow<()> {
        self.seconds = match self.time {
            Time::Own(started) => started.elapsed().as_secs_f64(),
            Time::Shared(clock) => {
                let mut clock = clock.borrow_mut();
                clock.has_asked = false;
                clock.now()
            }
        };
        let _ = self.tally.on_generation(seen); // it never stops a search
        let errors = (0..seen.population.len()).map(|index| seen.population.score(index));
        let least = errors.filter(|score| score.is_valid()).map(|score| score.mse).fold(f64::INFINITY, f64::min);
        if self.progress.last().map_or(f64::INFINITY, |step| step.2) > least {
            self.progress.push(Progress(seen.evaluations.search, self.seconds, least));
        }
        if self.seconds_to_solve.is_none() && self.solved_at.is_some_and(|mse| least <= mse) {
            self.seconds_to_solve = Some(self.seconds);
        }
        match self.limit.is_some_and(|limit| self.seconds >= limit) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }
}

/// Converts errors to the square of y's units; an objective may have them relative to the variance of y.
fn in_units(progress: Vec<Progress>, task: &Task<'_>, job: &Job) -> Vec<Progress> {
    let unit = match task.config.objective {
        Objective::Masked => 1.0,
        Objective::Mse => job.instance.scale() * job.instance.scale(),
    };
    progress.into_iter().map(|Progress(evaluations, seconds, mse)| Progress(evaluations, seconds, unit * mse)).collect()
}

fn row(task: &Task<'_>, job: &Job, found: Found) -> Row {
    let Found { outcome, proposals, tally, progress, seconds, seconds_to_solve } = found;
    let winner = outcome.winner();
    let fresh = job.problem.fresh_points(FRESH_POINTS, 0);
    let fresh = fresh.as_ref().map(|(x, y)| (x, &y[..]));
    let (tree, semantics) = (winner.tree(), task.config.semantics);
    // The objective may mask rows; the reported figures of the formula may not.
    let verdict = judge(tree, semantics, &job.instance, fresh);
    let fit = verdict.fit;
    let masked = if task.config.objective == Objective::Masked { fit.masked_rows as u64 } else { 0 };
    Row {
        budget: task.budget,
        method: task.method.into(),
        problem: job.problem.id.clone(),
        seed: job.seed,
        solved: verdict.solved,
        mse_train: Some(fit.mse).filter(|mse| mse.is_finite()),
        r2_train: fit.r2(),
        masked,
        r2_test: verdict.r2.filter(|r2| r2.is_finite()),
        stop_reason: outcome.stop.map_or("stopped", |stop| stop.name()).into(),
        generations: outcome.generations,
        evaluations: outcome.evaluations.search,
        generations_to_solve: outcome.generations_to_solve,
        evaluations_to_solve: outcome.evaluations_to_solve,
        work: task.config.fitting.map(|_| outcome.work),
        work_to_solve: outcome.work_to_solve.filter(|_| task.config.fitting.is_some()),
        proposals,
        seconds,
        seconds_to_solve,
        size: winner.expr.size(),
        expression: tree.display(semantics).to_string(),
        formula: task.names.map(|names| tree.display(semantics).with_names(names).to_string()),
        well_formed: tally.well_formed,
        fallback: tally.fallback,
        children: tally.children,
        lived: (tally.lived < tally.children).then_some(tally.lived),
        distinct: tally.distinct,
        progress: task.progress.then(|| in_units(progress, task, job)),
    }
}
