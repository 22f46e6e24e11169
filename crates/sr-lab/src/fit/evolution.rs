//! Evolution on islands, in epochs, whose best formulas have their constants fitted.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use rayon::prelude::*;
use sr_engine::{
    ConstantFitter, Expert, Generation, Instance, Limits, Objective, Population, Recorded, Search, SearchConfig,
    Survival, run_until,
};
use sr_expr::{Expr, Semantics};

use super::front::Front;
use super::rows::Rows;
use super::{FitOptions, Method};

/// Populations that evolve by themselves for an epoch, whatever the number of threads.
const ISLANDS: usize = 8;
const POPULATION: usize = 128;
/// Generations of an epoch.
const GENERATIONS: u32 = 25;
/// Individuals of each population whose constants are fitted after an epoch.
const FITTED: usize = 24;
/// Steps of Levenberg and Marquardt for each.
const STEPS: u32 = 5;
/// Formulas of the front that every second island begins an epoch with.
const FROM_FRONT: usize = 12;
/// Individuals that go on to the next island.
const MIGRANTS: usize = 2;
/// Epochs after which an island begins anew, one island after the other.
const AGE: u32 = 12;

/// The populations between epochs.
#[derive(Debug)]
pub(super) struct Islands {
    working: Arc<Instance>,
    config: SearchConfig,
    seed: u64,
    epoch: u32,
    /// The fittest first; empty before the first epoch.
    populations: Vec<Vec<Expr>>,
    fitters: Vec<ConstantFitter>,
}

/// What an island has after an epoch.
struct Evolved {
    population: Vec<Expr>,
    /// The best of each size, with fitted constants.
    best: Vec<Expr>,
    work: u64,
}

impl Islands {
    pub(super) fn new(rows: &Rows, options: &FitOptions) -> Self {
        let config = SearchConfig {
            population_size: POPULATION,
            generations: GENERATIONS,
            crossover_probability: 0.5,
            objective: Objective::Mse,
            limits: Limits { max_size: options.max_size, max_depth: 6 },
            semantics: Semantics::Ieee,
            early_stop_mse: None,
            survival: Survival::Plus,
            unique: true,
            ..SearchConfig::default()
        };
        Islands {
            working: Arc::new(rows.working().clone()),
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
        let from_front: Vec<Expr> = front.iter().rev().take(FROM_FRONT).map(|found| found.expr.clone()).collect();
        let (populations, epoch) = (&self.populations, self.epoch);
        let starts: Vec<Vec<Expr>> = (0..ISLANDS)
            .map(|island| {
                if epoch % AGE == AGE - 1 && island == (epoch / AGE) as usize % ISLANDS {
                    return Vec::new();
                }
                let before = &populations[(island + ISLANDS - 1) % ISLANDS];
                let guests = before.iter().take(MIGRANTS);
                let guests = guests.chain(from_front.iter().filter(|_| island % 2 == 0));
                // Guests take the places of the least fit.
                let own = populations[island].iter();
                guests.chain(own).take(POPULATION).cloned().collect()
            })
            .collect();
        let config = SearchConfig { time_limit: left, ..self.config.clone() };
        let (working, seed) = (&self.working, self.seed);
        let evolve = |(island, (start, fitter)): (usize, (Vec<Expr>, &mut ConstantFitter))| {
            // Small formulas are worth more on some islands than on others.
            let parsimony_coefficient = [1e-3, 1e-4, 1e-5, 1e-2][island % 4];
            let config = SearchConfig { parsimony_coefficient, ..config.clone() };
            let seed = seed.wrapping_mul(ISLANDS as u64).wrapping_add(island as u64) ^ u64::from(epoch) << 32;
            evolve(working, config, seed, start, stop, fitter)
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
    let mut work = 0;
    let mut watch = |generation: &Generation<'_>| {
        let nodes: usize = generation.population.iter().map(|individual| individual.tree.size()).sum();
        work += (nodes * instance.y().len()) as u64;
        if generation.generation + 1 == GENERATIONS {
            last = by_fitness(generation.population);
        }
        ControlFlow::Continue(())
    };
    run_until(&mut search, &mut Expert, std::slice::from_mut(&mut watch), stop).expect("the expert never fails");
    if last.is_empty() {
        return None;
    }
    // The fittest, and the best of each size, with fitted constants; what is fitted lives on (Lamarckian evolution).
    let mut sizes = vec![false; max_size + 1];
    let mut population = Vec::with_capacity(last.len());
    let mut best = Vec::new();
    for (place, (_, expr)) in last.into_iter().enumerate() {
        let is_first = !std::mem::replace(&mut sizes[expr.size().min(max_size)], true);
        if !is_first && place >= FITTED {
            population.push(expr);
            continue;
        }
        let fitted = fitter.fit(&expr, instance, Semantics::Ieee, STEPS);
        work += fitted.work;
        let fitted = fitted.tree.to_owned();
        let scaled = fitter.fit_scaled(&expr, instance, Semantics::Ieee, STEPS);
        work += scaled.work;
        let scaled = scaled.tree.to_owned();
        if scaled.size() <= max_size {
            best.push(scaled);
        }
        best.push(fitted.clone());
        population.push(fitted);
    }
    Some(Evolved { population, best, work })
}

/// The individuals that are valid, the fittest first, and equal ones in slot order.
fn by_fitness(population: &Population) -> Vec<(f64, Expr)> {
    let valid = population.iter().filter(|individual| individual.score.is_valid());
    let mut all: Vec<(f64, Expr)> =
        valid.map(|individual| (individual.score.fitness, individual.tree.to_owned())).collect();
    all.sort_by(|a, b| b.0.total_cmp(&a.0));
    all
}

/// What a fit saves, and goes on from.
impl Islands {
    /// The populations, the fittest first; empty before the first epoch.
    pub(super) fn populations(&self) -> &[Vec<Expr>] {
        &self.populations
    }

    /// Puts populations in the place of these. Those of an earlier run have to be as many.
    pub(super) fn restore(&mut self, epoch: u32, populations: Vec<Vec<Expr>>) {
        (self.epoch, self.populations) = (epoch, populations);
    }
}
