//! Evaluation of methods × problems × seeds: which searches solve their problem, and at what cost.
//!
//! ```
//! use sr_engine::SearchConfig;
//! use sr_lab::evaluate::{Evaluation, Policy, Rows};
//! use sr_lab::{Ended, Monitor};
//!
//! fn main() -> anyhow::Result<()> {
//!     let set = sr_problems::suite("ultra-simple", 1)?;
//!     let config = SearchConfig { generations: 10, ..SearchConfig::basic() };
//!     let methods = ["expert".parse().map_err(anyhow::Error::msg)?];
//!     let evaluation = Evaluation { seeds: 2, ..Evaluation::new(&set, &methods, &config) };
//!     let mut policies = methods.iter().map(Policy::new).collect::<anyhow::Result<Vec<_>>>()?;
//!     let mut rows = Rows::in_memory();
//!     let ended = evaluation.plan()?.run(&mut policies, &mut rows, &mut Monitor::none())?;
//!     assert_eq!(ended, Ended::Finished);
//!     let [summary] = &sr_eval::summarise(rows.rows(), 0)[..] else { unreachable!("one method") };
//!     println!("{:.0} % of {} searches solved their problem", 100.0 * summary.solved, summary.n);
//!     # assert!(summary.n == 10 && summary.solved > 0.5);
//!     Ok(())
//! }
//! ```
//!
//! `docs/comparison.md` explains the figures.

mod method;
mod rows;
mod runner;
mod source;

use std::collections::{HashMap, HashSet};

use anyhow::{Context, ensure};
use sr_engine::SearchConfig;
use sr_eval::{Equal, Row};
use sr_problems::ProblemSet;

#[cfg(feature = "learner")]
pub use method::{Learning, policies};
pub use method::{Method, MethodKind, Policy};
pub use rows::{Rows, Settings};
pub(crate) use runner::{Task, search};
pub use source::{Source, fingerprint};

use crate::record::{Job, jobs};
use crate::{Ended, Monitor};

/// An evaluation: methods, problems, seeds and settings.
#[derive(Debug, Clone, Copy)]
pub struct Evaluation<'a> {
    /// The problems.
    pub set: &'a ProblemSet,
    /// The methods; their names must differ.
    pub methods: &'a [Method],
    /// The settings of all searches; a method may override some.
    pub config: &'a SearchConfig,
    /// The tables, in each of which all searches may spend the same and have no limit on generations: `max_evaluations`
    /// evaluations or `time_limit` seconds. Each of these two must be set if and only if its table is here. If it is
    /// empty, there is one table with all limits.
    pub equal: &'a [Equal],
    /// Searches of each problem by each method.
    pub seeds: u64,
    /// The seed of the first search of a problem; the others count up from it.
    pub seed: u64,
    /// Searches that advance together. Apart from seconds, results do not depend on it.
    pub batch: usize,
    /// Whether rows contain the curve of the least error.
    pub curve: bool,
}

impl<'a> Evaluation<'a> {
    /// Returns an evaluation with one search of each problem by each method, with seed 0.
    pub fn new(set: &'a ProblemSet, methods: &'a [Method], config: &'a SearchConfig) -> Self {
        Evaluation { set, methods, config, equal: &[], seeds: 1, seed: 0, batch: 64, curve: false }
    }

    /// Checks all settings and problems before the first search.
    ///
    /// # Errors
    /// If two methods have the same name, a limit has no table or a table no limit, `seeds` is 0 or the seeds overflow,
    /// or a problem's data or primitives are invalid.
    pub fn plan(&self) -> anyhow::Result<Plan<'a>> {
        check_names(self.methods)?;
        let passes = self.passes()?;
        Ok(Plan { evaluation: *self, passes, jobs: jobs_from(self.set, self.seeds, self.seed)? })
    }

    /// Returns each table's settings, and the quantity that its searches may spend equally.
    fn passes(&self) -> anyhow::Result<Vec<(Option<Equal>, SearchConfig)>> {
        if self.equal.is_empty() {
            return Ok(vec![(None, self.config.clone())]);
        }
        let has = |what| self.equal.contains(&what);
        let (evaluations, seconds) = (has(Equal::Evaluations), has(Equal::Seconds));
        ensure!(
            evaluations == self.config.max_evaluations.is_some(),
            "--equal evaluations and --max-evaluations need each other"
        );
        ensure!(seconds == self.config.time_limit.is_some(), "--equal seconds and --time-limit need each other");
        let unlimited = SearchConfig { generations: u32::MAX, ..self.config.clone() };
        let by_evaluations = SearchConfig { time_limit: None, ..unlimited.clone() };
        let by_seconds = SearchConfig { max_evaluations: None, ..unlimited };
        let passes = [(evaluations, Equal::Evaluations, by_evaluations), (seconds, Equal::Seconds, by_seconds)];
        Ok(passes.into_iter().filter(|pass| pass.0).map(|(_, budget, config)| (Some(budget), config)).collect())
    }
}

/// Checks that the names of methods differ.
///
/// # Errors
/// If two methods have the same name; the error names it.
pub fn check_names(methods: &[Method]) -> anyhow::Result<()> {
    for (index, method) in methods.iter().enumerate() {
        let name = &method.name;
        ensure!(methods[..index].iter().all(|other| other.name != *name), "two of the --methods have the name {name}");
    }
    Ok(())
}

/// Returns the jobs of `seeds` consecutive seeds from the first one on.
pub(crate) fn jobs_from(set: &ProblemSet, seeds: u64, first: u64) -> anyhow::Result<Vec<Job>> {
    jobs(set, first..=last_seed(seeds, first)?)
}

/// Returns the last of `seeds` consecutive seeds.
pub(crate) fn last_seed(seeds: u64, first: u64) -> anyhow::Result<u64> {
    let more = seeds.checked_sub(1).context("--seeds 0: expected 1 or more")?;
    first.checked_add(more).with_context(|| format!("--seeds {seeds}: seeds from {first} on end before"))
}

/// The checked searches of an evaluation.
#[derive(Debug)]
pub struct Plan<'a> {
    evaluation: Evaluation<'a>,
    passes: Vec<(Option<Equal>, SearchConfig)>,
    /// Jobs by problem, and by seed for each problem.
    jobs: Vec<Job>,
}

impl Plan<'_> {
    /// Returns the number of searches.
    pub fn searches(&self) -> usize {
        self.passes.len() * self.evaluation.methods.len() * self.jobs.len()
    }

    /// Runs the searches that have no row yet. At the end the rows are sorted by table, method, problem and seed.
    ///
    /// - policies: the policies of the methods, in the same order
    /// - monitor: counts searches; a stop takes effect after the batch
    ///
    /// # Errors
    /// If a setting is out of range, a learner fails or the rows cannot be written. If there are no rows yet, their
    /// file is deleted.
    ///
    /// # Panics
    /// If the number of policies differs from that of methods.
    pub fn run(&self, policies: &mut [Policy], rows: &mut Rows, monitor: &mut Monitor<'_>) -> anyhow::Result<Ended> {
        let Evaluation { set, methods, batch, curve, .. } = self.evaluation;
        assert_eq!(policies.len(), methods.len(), "each method has a policy");
        monitor.advance(rows.rows().len() as u64);
        for (budget, common) in &self.passes {
            for (method, policy) in methods.iter().zip(&mut *policies) {
                let left = self.left(rows, *budget, method);
                let (config, names) = (method.config(common), set.variable_names());
                let task = Task { method: &method.name, budget: *budget, config, progress: curve, names };
                for batch in left.chunks(batch) {
                    if monitor.is_stopped() {
                        return Ok(Ended::Stopped { done: rows.rows().len() as u64 });
                    }
                    let found = search(&task, policy, batch).inspect_err(|_| rows.discard_if_empty())?;
                    rows.append(found)?;
                    monitor.advance(batch.len() as u64);
                }
            }
        }
        let places: HashMap<(&str, u64), usize> =
            self.jobs.iter().enumerate().map(|(place, job)| ((&*job.problem.id, job.seed), place)).collect();
        rows.sort_by_key(|row| {
            let pass = self.passes.iter().position(|(budget, _)| *budget == row.budget);
            let method = methods.iter().position(|method| method.name == row.method);
            (pass, method, places.get(&(&*row.problem, row.seed)).copied())
        });
        Ok(Ended::Finished)
    }

    /// Returns the searches of a method in a table that have no row yet.
    fn left(&self, rows: &Rows, budget: Option<Equal>, method: &Method) -> Vec<Job> {
        let of_task = |row: &&Row| row.budget == budget && row.method == method.name;
        let done: HashSet<(&str, u64)> =
            rows.rows().iter().filter(of_task).map(|row| (&*row.problem, row.seed)).collect();
        self.jobs.iter().filter(|job| !done.contains(&(&*job.problem.id, job.seed))).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::{Duration, Instant};

    use serde_json::json;
    use sr_engine::{Expert, PolicyError, Request};

    use super::*;

    fn methods(names: &[&str]) -> Vec<Method> {
        names.iter().map(|name| name.parse().expect(name)).collect()
    }

    /// Returns the rows without their times.
    fn timeless(rows: &[Row]) -> Vec<Row> {
        rows.iter().map(|row| Row { seconds: 0.0, seconds_to_solve: None, ..row.clone() }).collect()
    }

    #[test]
    fn a_policy_of_ones_own_is_compared_as_any_other() {
        let set = sr_problems::suite("simple", 1).expect("a suite");
        let config = SearchConfig { generations: 8, ..SearchConfig::basic() };
        let methods = methods(&["expert", "mine=expert"]);
        let evaluation = Evaluation { seeds: 2, batch: 3, ..Evaluation::new(&set, &methods, &config) };
        let mut rows = Rows::in_memory();
        let mut policies = [Policy::Expert, Policy::Custom(Box::new(Expert))];
        let plan = evaluation.plan().expect("a plan");
        assert_eq!(plan.run(&mut policies, &mut rows, &mut Monitor::none()).expect("searched"), Ended::Finished);
        let rows = timeless(rows.rows());
        let (expert, mine) = rows.split_at(rows.len() / 2);
        let renamed: Vec<Row> = mine.iter().map(|row| Row { method: "expert".into(), ..row.clone() }).collect();
        assert_eq!((expert.len(), expert), (plan.searches() / 2, &renamed[..]));
        assert_eq!((expert[1].seed, &expert[2].problem), (1, &set.problems[1].id));
    }

    /// The expert, which forgets one of the searches when it is asked for the first time, and so is asked again for it.
    struct Forgetful;

    impl sr_engine::Policy for Forgetful {
        fn propose(&mut self, requests: &mut [Request<'_>]) -> Result<(), PolicyError> {
            let forgotten = usize::from(requests.len() > 1);
            Expert.propose(&mut requests[forgotten..])
        }
    }

    #[test]
    fn the_seconds_of_searches_that_advance_together_are_those_that_passed() {
        let set = sr_problems::suite("nguyen", 1).expect("a suite");
        let time_limit = Some(Duration::from_millis(50));
        let config = SearchConfig { early_stop_mse: None, unique: true, time_limit, ..SearchConfig::basic() };
        let methods = methods(&["mine=expert"]);
        let plan = Evaluation { equal: &[Equal::Seconds], ..Evaluation::new(&set, &methods, &config) };
        let plan = plan.plan().expect("a plan");
        let search = || {
            let mut rows = Rows::in_memory();
            let mut policies = [Policy::Custom(Box::new(Forgetful))];
            let ended = plan.run(&mut policies, &mut rows, &mut Monitor::none()).expect("searched");
            assert_eq!(ended, Ended::Finished);
            rows.rows().iter().map(|row| row.seconds).sum::<f64>()
        };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a thread");
        let begun = Instant::now();
        let (seconds, passed) = (pool.install(search), begun.elapsed().as_secs_f64());
        assert!(seconds < passed, "{seconds} of {passed}");
    }

    #[test]
    fn a_stopped_comparison_goes_on_to_the_same_rows() {
        let folder = tempfile::tempdir().expect("a folder");
        let out = folder.path().join("r.json");
        let set = sr_problems::suite("ultra-simple", 1).expect("a suite");
        let config = SearchConfig { generations: 5, ..SearchConfig::basic() };
        let methods = methods(&["expert", "random"]);
        let plan = Evaluation { batch: 2, ..Evaluation::new(&set, &methods, &config) }.plan().expect("a plan");
        let settings = json!({ "seeds": 1 }).as_object().expect("an object").clone();
        let run = |mut rows: Rows, last: u64| {
            let (stop, mut done) = (AtomicBool::new(false), 0);
            let mut monitor = Monitor::new(&stop, |searches| {
                done += searches;
                stop.store(done >= last, Ordering::Relaxed);
            });
            let mut policies = methods.iter().map(Policy::new).collect::<anyhow::Result<Vec<_>>>().expect("policies");
            let ended = plan.run(&mut policies, &mut rows, &mut monitor).expect("searched");
            (ended, rows)
        };
        let (ended, whole) = run(Rows::in_memory(), u64::MAX);
        assert_eq!((ended, whole.rows().len()), (Ended::Finished, 10));
        let (ended, rows) = run(Rows::begin(&out, &settings).expect("begun"), 4);
        assert_eq!((ended, rows.rows().len()), (Ended::Stopped { done: 4 }, 4));
        drop(rows);
        let (ended, rows) = run(Rows::resume(&out, &settings).expect("resumed"), u64::MAX);
        assert_eq!((ended, timeless(rows.rows())), (Ended::Finished, timeless(whole.rows())));
        rows.finish().expect("deleted");
        assert_eq!(std::fs::read_dir(folder.path()).expect("listed").count(), 0);
    }

    #[test]
    fn what_cannot_be_compared_is_told_before_the_first_search() {
        let set = sr_problems::suite("ultra-simple", 1).expect("a suite");
        let config = SearchConfig::basic();
        let (one, two) = (methods(&["expert"]), methods(&["expert", "expert=random"]));
        let plain = Evaluation::new(&set, &one, &config);
        let limited = SearchConfig { max_evaluations: Some(99), ..config.clone() };
        for (evaluation, expected) in [
            (Evaluation { methods: &two, ..plain }, "two of the --methods have the name expert"),
            (Evaluation { equal: &[Equal::Seconds], ..plain }, "--equal seconds and --time-limit need each other"),
            (
                Evaluation { equal: &[Equal::Seconds], config: &limited, ..plain },
                "--equal evaluations and --max-evaluations need each other",
            ),
            (Evaluation { seed: u64::MAX, seeds: 2, ..plain }, "seeds from 18446744073709551615 on end before"),
            (Evaluation { seeds: 0, ..plain }, "--seeds 0: expected 1 or more"),
        ] {
            let error = evaluation.plan().expect_err(expected).to_string();
            assert!(error.contains(expected), "{error}");
        }
        assert!(Evaluation { seed: u64::MAX, ..plain }.plan().is_ok());
    }
}
