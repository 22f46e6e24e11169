//! Searches for settings of the expert, on problems that no comparison uses.
//!
//! The method `tuned` has the settings that were in `configs/tuned.toml` when the program was compiled.

use std::sync::mpsc;

use anyhow::ensure;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sr_engine::random::{Key, Purpose, Rng, problem_key};
use sr_engine::{SearchConfig, Survival};
use sr_eval::{Trial, area_under_curve};
use sr_problems::ProblemSet;

use crate::Monitor;
use crate::evaluate::{self, Policy, Task, jobs_from, last_seed};

/// The file with the settings of the method `tuned`.
const TUNED: &str = include_str!("../../../configs/tuned.toml");

/// The settings that tuning chooses; all others are common to all methods.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The number of individuals in a generation.
    pub population_size: usize,
    /// The number of individuals drawn for one tournament.
    pub tournament_size: usize,
    /// The probability of crossover; otherwise mutation.
    pub crossover_probability: f64,
    /// The number of best individuals that are copied to the next generation.
    pub elitism: usize,
    /// The penalty per node.
    pub parsimony_coefficient: f64,
    /// Whether the best of parents and offspring survive, instead of the offspring alone.
    pub plus: bool,
    /// Whether no expression is evaluated twice.
    pub unique: bool,
}

impl Settings {
    /// Returns the settings of the method `tuned`.
    pub fn tuned() -> Self {
        toml::from_str(TUNED).expect("the embedded file is tested")
    }

    /// Returns the tuned settings of a search's settings.
    pub fn of(config: &SearchConfig) -> Self {
        Settings {
            population_size: config.population_size,
            tournament_size: config.tournament_size,
            crossover_probability: config.crossover_probability,
            elitism: config.elitism,
            parsimony_coefficient: config.parsimony_coefficient,
            plus: config.survival == Survival::Plus,
            unique: config.unique,
        }
    }

    /// Returns the settings of a search with these replaced.
    pub fn apply(&self, common: &SearchConfig) -> SearchConfig {
        SearchConfig {
            population_size: self.population_size,
            tournament_size: self.tournament_size,
            crossover_probability: self.crossover_probability,
            elitism: self.elitism,
            parsimony_coefficient: self.parsimony_coefficient,
            survival: if self.plus { Survival::Plus } else { Survival::Generational },
            unique: self.unique,
            ..common.clone()
        }
    }

    /// Draws random settings, with three digits.
    fn draw(rng: &mut Rng) -> Self {
        let population_size = *rng.choose(&[10, 20, 40, 80, 160, 320]);
        let digits = |value: f64| -> f64 { format!("{value:.2e}").parse().expect("a number") };
        Settings {
            population_size,
            tournament_size: *rng.choose(&[2, 3, 4, 5, 7, 10]),
            crossover_probability: digits(rng.uniform(0.2, 0.95)),
            elitism: rng.below(2),
            parsimony_coefficient: if rng.chance(0.2) { 0.0 } else { digits(libm::exp10(rng.uniform(-5.0, -1.0))) },
            plus: rng.chance(0.5),
            unique: rng.chance(0.5),
        }
    }
}

/// A search for the settings that solve most problems with the fewest evaluations. Random settings, and those that it
/// starts from, are scored by the area under the share solved against the decades of evaluations, all with the same
/// number of evaluations. The best of them are scored again with all seeds, together with those it started from.
#[derive(Debug, Clone, Copy)]
pub struct Tuning<'a> {
    /// Problems whose formulas are in no test.
    pub set: &'a ProblemSet,
    /// The common settings, from which the search starts. `max_evaluations` must be set, and applies to all; the limit
    /// on generations is ignored. A time limit is an error, because the result would depend on the machine.
    pub config: &'a SearchConfig,
    /// The number of random settings.
    pub trials: u32,
    /// The number of the best settings that are scored again.
    pub finalists: u32,
    /// The number of searches of each problem for the finalists; the others get a quarter.
    pub seeds: u64,
    /// The seed of the draws, and the first seed of the searches.
    pub seed: u64,
}

/// Settings that were scored with all seeds.
#[derive(Debug, Clone, PartialEq)]
pub struct Finalist {
    /// The number of the trial; 0 is the settings that the search started from.
    pub trial: usize,
    /// Area under the share solved against the decades of evaluations, see [`area_under_curve`].
    pub area: f64,
    /// Share of the searches that solved their problem.
    pub solved: f64,
    /// The settings.
    pub settings: Settings,
}

impl Tuning<'_> {
    /// Returns the number of times that settings are scored: the trials, the initial settings and the finalists. It is
    /// one more if the initial settings are no finalist, and fewer if drawn settings are invalid.
    pub fn scores(&self) -> u64 {
        u64::from(self.trials) + 1 + u64::from(self.finalists)
    }

    /// Checks the settings before the first search.
    ///
    /// # Errors
    /// If a limit is missing or invalid, or there are no problems or seeds.
    pub fn check(&self) -> anyhow::Result<()> {
        ensure!(self.config.time_limit.is_none(), "--time-limit would make the settings depend on the machine");
        let needed = "--max-evaluations is needed, so that all settings may spend the same";
        ensure!(self.config.max_evaluations.is_some(), needed);
        ensure!(!self.set.problems.is_empty(), "there are no problems");
        last_seed(self.seeds, self.seed).map(drop)
    }

    /// Returns the finalists, the best first; `None` if it was stopped.
    ///
    /// - monitor: counts scored settings
    ///
    /// # Errors
    /// Those of [`check`](Self::check), and if a problem is invalid.
    pub fn run(&self, monitor: &mut Monitor<'_>) -> anyhow::Result<Option<Vec<Finalist>>> {
        self.check()?;
        let most = self.config.max_evaluations.unwrap_or_default() as f64;
        let common = SearchConfig { generations: u32::MAX, ..self.config.clone() };
        let all = jobs_from(self.set, self.seeds, self.seed)?;
        let few = jobs_from(self.set, self.seeds.div_ceil(4), self.seed)?;
        let score = |settings: &Settings, jobs: &[_]| -> anyhow::Result<(f64, f64)> {
            let task =
                Task { method: "tuned", budget: None, config: settings.apply(&common), progress: false, names: None };
            let rows = evaluate::search(&task, &mut Policy::Expert, jobs)?;
            let trials: Vec<Trial> = rows.iter().map(sr_eval::Row::trial).collect();
            let solved = rows.iter().filter(|row| row.solved).count() as f64 / rows.len() as f64;
            Ok((area_under_curve(&trials, most), solved))
        };

        let key = Key::new(self.seed, Purpose::Evaluation, problem_key("tune"));
        let drawn = (0..self.trials).map(|trial| Settings::draw(&mut key.slot(trial).rng()));
        let fits = |settings: &Settings| settings.apply(&common).validate().is_ok();
        let trials: Vec<Settings> = std::iter::once(Settings::of(&common)).chain(drawn.filter(fits)).collect();
        let Some(mut screened) =
            for_all((0..trials.len()).collect(), monitor, |index| Ok((score(&trials[index], &few)?.0, index)))?
        else {
            return Ok(None);
        };
        screened.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let mut finalists: Vec<usize> =
            screened.iter().take(self.finalists as usize).map(|&(_, index)| index).collect();
        if !finalists.contains(&0) {
            finalists.push(0);
        }
        let Some(mut scored) = for_all(finalists, monitor, |trial| {
            let (area, solved) = score(&trials[trial], &all)?;
            Ok(Finalist { trial, area, solved, settings: trials[trial].clone() })
        })?
        else {
            return Ok(None);
        };
        scored.sort_by(|a, b| b.area.total_cmp(&a.area).then(a.trial.cmp(&b.trial)));
        Ok(Some(scored))
    }
}

/// Returns the result of `work` for each item, computed by all threads; `None` if the monitor stopped it.
fn for_all<T: Send>(
    items: Vec<usize>,
    monitor: &mut Monitor<'_>,
    work: impl Fn(usize) -> anyhow::Result<T> + Sync,
) -> anyhow::Result<Option<Vec<T>>> {
    let stop = monitor.stop();
    let (done, told) = mpsc::channel();
    // This thread reports progress, because the monitor cannot be shared; the others work.
    let found = std::thread::scope(|scope| {
        let one = |done: &mut mpsc::Sender<()>, item| {
            if stop.load(std::sync::atomic::Ordering::Relaxed) {
                return Ok(None);
            }
            let found = work(item)?;
            done.send(()).ok(); // somebody listens until all are done
            Ok(Some(found))
        };
        let all =
            scope.spawn(move || items.into_par_iter().map_with(done, one).collect::<anyhow::Result<Option<Vec<T>>>>());
        told.iter().for_each(|()| monitor.advance(1));
        all.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_settings_are_valid_and_only_those_change() {
        let common = SearchConfig::basic();
        let config = Settings::tuned().apply(&common);
        assert_eq!(config.validate(), Ok(()));
        assert_eq!(Settings::of(&config), Settings::tuned());
        assert_eq!(Settings::of(&common).apply(&config), common, "and nothing else is touched");
    }

    #[test]
    fn a_search_for_settings_tells_how_far_it_is_and_stops() {
        use std::sync::atomic::{AtomicBool, Ordering};
        let set = sr_problems::suite("ultra-simple", 1).expect("a suite");
        let config = SearchConfig { max_evaluations: Some(100), ..SearchConfig::basic() };
        let tuning = Tuning { set: &set, config: &config, trials: 5, finalists: 2, seeds: 2, seed: 3 };
        let (stop, mut told) = (AtomicBool::new(false), 0);
        let found = tuning.run(&mut Monitor::new(&stop, |scores| told += scores)).expect("searched").expect("found");
        assert!(found.windows(2).all(|pair| pair[0].area >= pair[1].area), "{found:?}");
        let start = found.iter().find(|found| found.trial == 0).expect("it is a finalist");
        assert_eq!(start.settings, Settings::of(&config));
        assert!((3..=tuning.scores() + 1).contains(&told), "{told}");
        stop.store(true, Ordering::Relaxed);
        assert_eq!(tuning.run(&mut Monitor::new(&stop, |_| ())).expect("stopped"), None);
        let endless = SearchConfig { max_evaluations: None, ..config.clone() };
        let error = Tuning { config: &endless, ..tuning }.run(&mut Monitor::none()).expect_err("no limit").to_string();
        assert!(error.starts_with("--max-evaluations is needed"), "{error}");
    }
}
