//! Evolution on islands, in epochs, with fitted constants.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use rayon::prelude::*;
use sr_engine::{
    ConstantFitter, Expert, Fitting, Instance, Limits, Policy, Recorded, Search, SearchConfig, StopReason, Survival,
    Variation, run_until,
};
use sr_expr::{Expr, Node, Op, Semantics};

use super::front::{Front, shortest};
use super::rows::Rows;
use super::{EPOCH_SIZE, FitOptions, Method, Part, epochs};

/// Generations of an epoch.
const GENERATIONS: u32 = 12;
/// Steps of Levenberg and Marquardt for each child.
const STEPS: u32 = SearchConfig::DEFAULT_STEPS;
/// Formulas of the front that every second island of the plain target begins an epoch with.
const FROM_FRONT: usize = 10;
/// Individuals that go on to the next island.
const MIGRANTS: usize = 3;
/// Epochs after which an island begins anew, one island after the other.
const AGE: u32 = 5;

/// What an island searches for.
#[derive(Debug)]
struct Island {
    /// The function g of the target: its individuals f are for g⁻¹(a + b·f).
    outer: Outer,
    /// The working rows, with g(y) as their target.
    instance: Arc<Instance>,
    /// Steps of Levenberg and Marquardt for each child; 0 knows no constants but a and b.
    steps: u32,
    parsimony: f64,
}

/// A function of the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outer {
    Identity,
    Inverse,
    Logarithm,
    Square,
}

impl Outer {
    fn apply(self, y: f64) -> f64 {
        match self {
            Outer::Identity => y,
            Outer::Inverse => 1.0 / y,
            Outer::Logarithm => libm::log(y),
            Outer::Square => y * y,
        }
    }

    /// The operator that undoes it.
    fn inverse(self) -> Option<Op> {
        match self {
            Outer::Identity => None,
            Outer::Inverse => Some(Op::Inv),
            Outer::Logarithm => Some(Op::Exp),
            Outer::Square => Some(Op::Sqrt),
        }
    }

    /// Returns the formula of y for one of g(y), if the operators can write it.
    fn undo(self, expr: &Expr, operators: &[Op]) -> Option<Expr> {
        match self.inverse() {
            None => Some(expr.clone()),
            Some(Op::Inv) if !operators.contains(&Op::Inv) => {
                operators.contains(&Op::Div).then(|| Expr::binary(Op::Div, &Expr::constant(1.0), expr))
            }
            Some(op) => operators.contains(&op).then(|| Expr::unary(op, expr)),
        }
    }
}

/// The populations between epochs.
#[derive(Debug)]
pub(super) struct Islands {
    islands: Vec<Island>,
    operators: Vec<Op>,
    simplifies: bool,
    config: SearchConfig,
    seed: u64,
    epoch: u32,
    /// The best rank first; empty before the first epoch.
    populations: Vec<Vec<Expr>>,
    /// The children of a policy, as formulas of y, for the next epoch, the least error first.
    guests: Vec<Expr>,
    /// Whether the last epoch has found a formula that no shorter one is as good as.
    has_improved: bool,
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
        let has = |part| !options.without.contains(&part);
        let default = SearchConfig::default();
        let config = SearchConfig {
            generations: GENERATIONS,
            limits: Limits { max_size: options.max_size, ..default.limits },
            early_stop_mse: None,
            survival: if has(Part::ParetoOrder) { Survival::Pareto } else { Survival::Plus },
            variation: if has(Part::NodeVariation) { Variation::Node } else { Variation::Subtree },
            ..default
        };
        let working = rows.working();
        let plain = Arc::new(working.clone());
        let relative = relative(working).filter(|_| has(Part::RelativeErrors));
        let relative = relative.map_or_else(|| plain.clone(), Arc::new);
        let of = |outer: Outer| {
            let can_undo = has(Part::TargetFunctions) && outer.undo(&Expr::var(0), &options.operators).is_some();
            can_undo.then(|| transformed(working, outer)).flatten().map(|instance| (outer, Arc::new(instance)))
        };
        // Targets that are not possible for these data leave their place to the plain one.
        let own = |outer: Outer| of(outer).unwrap_or((Outer::Identity, relative.clone()));
        let kinds = [
            ((Outer::Identity, plain.clone()), STEPS, 1e-3),
            ((Outer::Identity, relative.clone()), STEPS, 1e-4),
            ((Outer::Identity, plain.clone()), STEPS, 1e-5),
            ((Outer::Identity, relative.clone()), 0, 1e-3),
            (own(Outer::Inverse), STEPS, 1e-3),
            ((Outer::Identity, relative.clone()), STEPS, 1e-3),
            (of(Outer::Logarithm).unwrap_or_else(|| own(Outer::Square)), STEPS, 1e-3),
            ((Outer::Identity, plain), 0, 1e-4),
        ];
        let islands: Vec<Island> = kinds
            .into_iter()
            .map(|((outer, instance), steps, parsimony)| {
                let steps = if has(Part::ConstantFitting) { steps } else { 0 };
                Island { outer, instance, steps, parsimony }
            })
            .collect();
        Islands {
            config,
            operators: options.operators.clone(),
            simplifies: has(Part::Simplification),
            seed: options.seed,
            epoch: 0,
            populations: vec![Vec::new(); islands.len()],
            guests: Vec::new(),
            has_improved: true,
            fitters: vec![ConstantFitter::new(); islands.len()],
            islands,
        }
    }

    /// The number of whole epochs.
    pub(super) fn epoch(&self) -> u32 {
        self.epoch
    }

    /// The settings that the islands have in common.
    pub(super) fn config(&self) -> &SearchConfig {
        &self.config
    }

    /// Returns whether the populations that formulas of the front go to need something new: they are about to begin, one
    /// of all islands begins anew, or the last epoch has left the front as it was.
    pub(super) fn stagnates(&self) -> bool {
        self.epoch == 0 || self.epoch % AGE == AGE - 1 || !self.has_improved
    }

    /// Asks a policy for so many children of the front, which become guests of the next epoch. Returns the work in node ·
    /// rows.
    pub(super) fn ask(&mut self, front: &Front, policy: &mut dyn Policy, wanted: usize) -> anyhow::Result<u64> {
        let instance = &self.islands[0].instance;
        let (children, work) =
            epochs::proposed(instance, &self.config, self.seed, self.epoch, front, (policy, wanted))?;
        let mut scaled = |child: &Expr| self.fitters[0].scale(child, instance, Semantics::Ieee).tree.to_owned();
        // The front may have formulas of other operators, which a policy takes parts of.
        self.guests = children.iter().map(&mut scaled).filter(|child| is_of(child, &self.operators)).collect();
        Ok(work)
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
        let starts: Vec<Vec<Expr>> = (0..self.islands.len()).map(|island| self.start(island, front)).collect();
        let config = SearchConfig { time_limit: left, ..self.config.clone() };
        let (islands, seed, epoch) = (&self.islands, self.seed, self.epoch);
        let evolve = |(index, (start, fitter)): (usize, (Vec<Expr>, &mut ConstantFitter))| {
            let Island { instance, steps, parsimony, .. } = &islands[index];
            let fitting = Some(Fitting { steps: *steps });
            let config = SearchConfig { parsimony_coefficient: *parsimony, fitting, ..config.clone() };
            let seed = seed.wrapping_mul(islands.len() as u64).wrapping_add(index as u64) ^ u64::from(epoch) << 32;
            evolve(instance, config, seed, start, stop, fitter)
        };
        let starts: Vec<_> = starts.into_iter().zip(&mut self.fitters).enumerate().collect();
        let evolved: Option<Vec<Evolved>> = starts.into_par_iter().map(evolve).collect();
        let guests = std::mem::take(&mut self.guests);
        let is_late = left.is_some_and(|left| started.elapsed() >= left);
        let evolved = evolved.filter(|_| !is_late)?;
        self.epoch += 1;
        let (training, before) = (rows.training(), front.revision());
        for guest in guests {
            let (expr, error) = self.written(guest, training);
            front.add(expr, Method::Policy, error, training);
        }
        let work = evolved.iter().map(|island| island.work).sum();
        for (index, Evolved { population, best, .. }) in evolved.into_iter().enumerate() {
            let outer = self.islands[index].outer;
            for expr in best.iter().filter_map(|expr| outer.undo(expr, &self.operators)) {
                let (expr, error) = self.written(expr, training);
                front.add(expr, Method::Evolution, error, training);
            }
            self.populations[index] = population;
        }
        self.has_improved = front.revision() != before;
        front.polish(&mut self.fitters[0], training);
        Some(work)
    }

    /// Returns a formula as the front has it, with its error.
    fn written(&self, expr: Expr, training: &Instance) -> (Expr, f64) {
        if self.simplifies {
            return shortest(expr, training);
        }
        let error = training.fit(&expr, Semantics::Ieee).relative;
        (expr, error)
    }

    /// Returns what an island begins the next epoch with: guests, which take the places of the worst ranks, and its own
    /// population.
    fn start(&self, index: usize, front: &Front) -> Vec<Expr> {
        let n = self.islands.len();
        if self.epoch % AGE == AGE - 1 && index == (self.epoch / AGE) as usize % n {
            return Vec::new();
        }
        let outer = self.islands[index].outer;
        let before = (1..=n).map(|back| (index + n - back) % n).find(|&other| self.islands[other].outer == outer);
        let neighbours = before.into_iter().flat_map(|other| self.populations[other].iter().take(MIGRANTS));
        let takes_front = takes_front(index, outer);
        let from_front = front.iter().rev().take(if takes_front { FROM_FRONT } else { 0 });
        let proposed = self.guests.iter().filter(|_| takes_front).take(EPOCH_SIZE).map(|expr| expr.core().to_owned());
        let guests = proposed.chain(from_front.map(|found| found.expr.core().to_owned())).chain(neighbours.cloned());
        let all = guests.chain(self.populations[index].iter().cloned());
        // The linear model of the front needs sums and products, and guesses may have any operator; a search makes
        // children of what it begins with.
        all.filter(|expr| is_of(expr, &self.operators)).take(self.config.population_size).collect()
    }
}

/// Returns the same rows with another target, if that is finite on all of them and weights can stay as they are.
fn transformed(working: &Instance, outer: Outer) -> Option<Instance> {
    if outer == Outer::Square && working.y().iter().any(|y| *y < 0.0) {
        return None;
    }
    let y: Vec<f64> = working.y().iter().map(|y| outer.apply(*y)).collect();
    // Neither losses nor units are those of another target.
    let is_plain = working.weights().is_none() && working.loss().is_none() && working.rules().is_none();
    if !is_plain || !y.iter().all(|y| y.is_finite()) {
        return None;
    }
    let instance = Instance::new(working.id(), working.x().clone(), y, working.primitives().clone()).ok()?;
    Some(relative(&instance).unwrap_or(instance))
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
    run_until(&mut search, &mut Expert, &mut [()], stop).expect("the expert never fails");
    match search[0].stopped() {
        // Few operators make few formulas, and all of them may have been met.
        Some(StopReason::Generations(_) | StopReason::Exhausted) => {}
        _ => return None,
    }
    let population = search[0].state().population;
    let valid = population.iter().filter(|individual| individual.score.is_valid());
    let last: Vec<(f64, Expr)> = valid.map(|individual| (individual.score.mse, individual.tree.to_owned())).collect();
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

/// What a fit saves, and goes on from.
impl Islands {
    /// The populations, the fittest first; empty before the first epoch.
    pub(super) fn populations(&self) -> &[Vec<Expr>] {
        &self.populations
    }

    /// Puts populations in the place of these. Those of an earlier run have to be as many.
    pub(super) fn restore(&mut self, epoch: u32, populations: Vec<Vec<Expr>>, has_improved: bool) {
        (self.epoch, self.populations, self.has_improved) = (epoch, populations, has_improved);
    }

    /// Whether the last epoch has found a formula that no shorter one is as good as.
    pub(super) fn has_improved(&self) -> bool {
        self.has_improved
    }

    /// Puts formulas of y into the populations that formulas of the front go to.
    pub(super) fn add_guesses(&mut self, guesses: &[Expr]) {
        let places = self.islands.iter().zip(&mut self.populations).enumerate();
        for (_, (_, population)) in places.filter(|(index, (island, _))| takes_front(*index, island.outer)) {
            population.extend_from_slice(guesses);
        }
    }
}

/// Whether a formula has no operators but these.
fn is_of(expr: &Expr, operators: &[Op]) -> bool {
    expr.nodes().iter().all(|node| !matches!(node, Node::Op(op) if !operators.contains(op)))
}

/// Whether an island gets formulas of the front, which are for y itself.
fn takes_front(index: usize, outer: Outer) -> bool {
    outer == Outer::Identity && index.is_multiple_of(2)
}
