//! Evolution on islands, in epochs, with fitted constants.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use rayon::prelude::*;
use sr_engine::{
    ConstantFitter, Expert, Fitting, Generation, Instance, Limits, Objective, Recorded, Search, SearchConfig, Survival,
    Variation, run_until,
};
use sr_expr::{Expr, Semantics};

use super::front::Front;
use super::rows::Rows;
use super::{FitOptions, Method};

/// Populations that evolve by themselves for an epoch, whatever the number of threads.
const ISLANDS: usize = 8;
const POPULATION: usize = 120;
/// Generations of an epoch.
const GENERATIONS: u32 = 12;
/// Steps of Levenberg and Marquardt for each child.
const STEPS: u32 = 4;
/// Formulas of the front that every second island begins an epoch with.
const FROM_FRONT: usize = 10;
/// Individuals that go on to the next island.
const MIGRANTS: usize = 3;
/// Epochs after which an island begins anew, one island after the other.
const AGE: u32 = 5;

/// The populations between epochs.
#[derive(Debug)]
pub(super) struct Islands {
    working: Arc<Instance>,
    /// The same rows with weights that make errors relative to y, where y spans decades.
    relative: Option<Arc<Instance>>,
    config: SearchConfig,
    seed: u64,
    epoch: u32,
    /// The best rank first; empty before the first epoch.
    populations: Vec<Vec<Expr>>,
    fitters: Vec<ConstantFitter>,
}

/// What an island has after an epoch.
struct Evolved {
    population: Vec<Expr>,
    /// The best of each size, scaled.
    best: Vec<Expr>,
    work: u64,
}

impl Islands {
    pub(super) fn new(rows: &Rows, options: &FitOptions) -> Self {
        let config = SearchConfig {
            population_size: POPULATION,
            generations: GENERATIONS,
            tournament_size: 3,
            crossover_probability: 0.3,
            elitism: 0,
            objective: Objective::Mse,
            limits: Limits { max_size: options.max_size, max_depth: 4 },
            semantics: Semantics::Ieee,
            early_stop_mse: None,
            survival: Survival::Pareto,
            variation: Variation::Node,
            fitting: Some(Fitting { steps: STEPS }),
            unique: true,
            ..SearchConfig::default()
        };
        Islands {
            working: Arc::new(rows.working().clone()),
            relative: relative(rows.working()).map(Arc::new),
            config,
            seed: options.seed,
            epoch: 0,
            populations: vec![Vec::new(); ISLANDS],
            fitters: vec![ConstantFitter::new(); ISLANDS],
        }
    }

    /// The number of whole epochs.
    pub(super) fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Evolves for an epoch, and adds what was found to the front. Returns the work in
    /// node · rows; or none, and leaves all as it was, if the time was over before its end.
    pub(super) fn advance(
        &mut self,
        rows: &Rows,
        front: &mut Front,
        left: Option<Duration>,
        stop: &AtomicBool,
    ) -> Option<u64> {
        let started = Instant::now();
        let from_front: Vec<Expr> =
            front.iter().rev().take(FROM_FRONT).map(|found| found.expr.core().to_owned()).collect();
        let (populations, epoch) = (&self.populations, self.epoch);
        let starts: Vec<Vec<Expr>> = (0..ISLANDS)
            .map(|island| {
                if epoch % AGE == AGE - 1 && island == (epoch / AGE) as usize % ISLANDS {
                    return Vec::new();
                }
                let before = &populations[(island + ISLANDS - 1) % ISLANDS];
                let guests = before.iter().take(MIGRANTS);
                let guests = guests.chain(from_front.iter().filter(|_| island % 2 == 0));
                // Guests take the places of the worst ranks.
                let own = populations[island].iter();
                guests.chain(own).take(POPULATION).cloned().collect()
            })
            .collect();
        let config = SearchConfig { time_limit: left, ..self.config.clone() };
        let (working, relative, seed) = (&self.working, &self.relative, self.seed);
        let evolve = |(island, (start, fitter)): (usize, (Vec<Expr>, &mut ConstantFitter))| {
            // Small formulas are worth more on some islands than on others; and every fourth knows no constants but
            // those of the linear scaling.
            let parsimony_coefficient = [1e-3, 1e-4, 1e-5, 1e-3][island % 4];
            let steps = if island % 4 == 3 { 0 } else { STEPS };
            let instance = relative.as_ref().filter(|_| island % 2 == 1).unwrap_or(working);
            let config = SearchConfig { parsimony_coefficient, fitting: Some(Fitting { steps }), ..config.clone() };
            let seed = seed.wrapping_mul(ISLANDS as u64).wrapping_add(island as u64) ^ u64::from(epoch) << 32;
            evolve(instance, config, seed, start, stop, fitter)
        };
        let evolved: Vec<Option<Evolved>> = starts
            .into_iter()
            .zip(&mut self.fitters)
            .enumerate()
            .collect::<Vec<_>>()
            .into_par_iter()
            .map(evolve)
            .collect();
        let is_late = left.is_some_and(|left| started.elapsed() >= left);
        let Some(evolved) = evolved.into_iter().collect::<Option<Vec<Evolved>>>().filter(|_| !is_late) else {
            return None;
        };
        self.epoch += 1;
        let training = rows.training();
        let work = evolved.iter().map(|island| island.work).sum();
        for (island, Evolved { population, best, .. }) in evolved.into_iter().enumerate() {
            for expr in best {
                let error = training.fit(&expr, Semantics::Ieee).relative;
                front.add(expr, Method::Evolution, error);
            }
            self.populations[island] = population;
        }
        front.polish(&mut self.fitters[0], training);
        Some(work)
    }
}

/// Returns the same rows weighted by about 1/y², if |y| spans two decades: else a few large values would be all that is
/// fitted.
fn relative(working: &Instance) -> Option<Instance> {
    let mut sizes: Vec<f64> = working.y().iter().map(|y| y.abs()).collect();
    sizes.sort_unstable_by(f64::total_cmp);
    let [tenth, median, most] = [sizes.len() / 10, sizes.len() / 2, sizes.len() - 1].map(|at| sizes[at]);
    if working.weights().is_some() || working.loss().is_some() || median == 0.0 || most < 100.0 * tenth {
        return None;
    }
    let floor = 0.1 * median;
    let weights = working.y().iter().map(|y| (median / (y.abs() + floor)).powi(2)).collect();
    working.clone().with_weights(weights).ok()
}

/// One epoch of one island; `None` if it was stopped.
fn evolve(
    instance: &Arc<Instance>,
    config: SearchConfig,
    seed: u64,
    start: Vec<Expr>,
    stop: &AtomicBool,
    fitter: &mut ConstantFitter,
) -> Option<Evolved> {
    let max_size = config.limits.max_size;
    let search = match start.is_empty() {
        true => Search::new_until(instance.clone(), config, seed, Some(stop)),
        false => {
            let recorded = Recorded { generation: 0, population: start, best: None, stagnation: 0 };
            Search::resume_from(instance.clone(), config, seed, recorded)
        }
    };
    let mut search = [search.expect("settings are in range")];
    let mut last: Vec<(f64, Expr)> = Vec::new();
    let mut is_whole = false;
    let mut watch = |generation: &Generation<'_>| {
        if generation.generation + 1 == GENERATIONS {
            is_whole = true;
            let valid = generation.population.iter().filter(|individual| individual.score.is_valid());
            last = valid.map(|individual| (individual.score.mse, individual.tree.to_owned())).collect();
        }
        ControlFlow::Continue(())
    };
    run_until(&mut search, &mut Expert, std::slice::from_mut(&mut watch), stop).expect("the expert never fails");
    if !is_whole {
        return None;
    }
    let mut best: Vec<Option<(f64, &Expr)>> = vec![None; max_size + 1];
    for (error, expr) in &last {
        let place = &mut best[expr.size().min(max_size)];
        if place.is_none_or(|(least, _)| *error < least) {
            *place = Some((*error, expr));
        }
    }
    let best =
        best.into_iter().flatten().map(|(_, expr)| fitter.scale(expr, instance, Semantics::Ieee).tree.to_owned());
    let best = best.collect();
    Some(Evolved { population: last.into_iter().map(|(_, expr)| expr).collect(), best, work: search[0].work() })
}
