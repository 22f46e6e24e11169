//! The states that a search visited.

use std::collections::HashSet;

use sr_engine::random::{Key, Purpose, problem_key};
use sr_engine::{
    Budget, Evaluator, Individual, IndividualRef, Instance, Origin, Population, PrimitiveSet, Score, SearchConfig,
    State, Survival,
};
use sr_expr::Tree;
use sr_expr::hash::GOLDEN;
use sr_trace::{GenerationRecord, IndividualRecord, OtherProblem, Trajectory};

use crate::Result;

/// Calls `show` with every state of a trajectory, including the last one, as the search saw it: population with scores
/// and origins, best individual, stagnation, budget of generations and evaluations. Everything is read from the
/// trajectory and no search is run, so labels of one state cannot change the next. `show` also gets the state's record,
/// and the record of the generation that the search produced from it (`None` for the last state). The instance gives
/// the data only; the primitives are those of the trajectory.
///
/// The state's key is that of the labels: (`seed` and the trajectory's own, [`Purpose::Labels`], problem, generation),
/// so that two searches of one problem get different random numbers. There is no time limit, because labels must not
/// depend on the machine. In a search with unique expressions, those that were proposed and did not survive are not in
/// the trajectory, and so not in `seen`.
///
/// # Errors
/// If the instance is not the one that was searched.
pub fn visit_states(
    trajectory: &Trajectory,
    instance: &Instance,
    config: &SearchConfig,
    seed: u64,
    mut show: impl FnMut(&State<'_>, GenerationRecord<'_>, Option<GenerationRecord<'_>>),
) -> Result<()> {
    config.validate()?;
    // The problem's own primitives may differ from those of the search.
    let own = instance.primitives() == &trajectory.primitives;
    let searched = if own { None } else { Some(with_primitives(instance, &trajectory.primitives)?) };
    let instance = searched.as_ref().unwrap_or(instance);
    let exprs = trajectory.generations.expressions().iter();
    let (expected, found) = (exprs.map(Tree::n_variables).max().unwrap_or(0), instance.x().n_columns());
    if expected > found {
        return Err(OtherProblem::Variables { problem: instance.id().to_owned(), expected, found }.into());
    }
    let config = SearchConfig { time_limit: None, ..config.clone() };
    let seed = seed.wrapping_add(trajectory.seed.wrapping_mul(GOLDEN));
    let key = Key::new(seed, Purpose::Labels, problem_key(instance.id()));
    let known = vec![None; trajectory.generations.expressions().len()];
    let mut scorer = Scorer { instance, config: &config, evaluator: Evaluator::default(), known, scores: Vec::new() };
    let mut best: Option<Individual> = None;
    let mut stagnation = 0;
    let mut seen = HashSet::new();
    let mut evaluations = 0;
    let successors = trajectory.generations.iter().skip(1).map(Some).chain([None]);
    for (record, next) in trajectory.generations.iter().zip(successors) {
        let population = scorer.population(record)?;
        match &best {
            Some(_) if !record.improved => stagnation += 1,
            // A continued search may have had a better individual before, which is not recorded.
            _ => (best, stagnation) = (population.get(record.best_index as usize).map(Individual::from), 0),
        }
        if config.unique {
            seen.extend(population.iter().map(|individual| config.identity(individual.tree)));
        }
        evaluations += match config.survival {
            _ if evaluations == 0 => population.len(),
            // In a search with unique expressions a generation may have fewer offspring than wanted.
            Survival::Generational => population.iter().filter(|i| i.origin != Origin::Elite).count(),
            Survival::Plus | Survival::Pareto => config.population_size - config.elitism,
        };
        let state = State {
            instance,
            config: &config,
            generation: record.generation,
            population: &population,
            best: best.as_ref().expect("the first state sets it"),
            stagnation,
            budget: Budget {
                generations: config.generations.saturating_sub(record.generation + 1),
                evaluations: config.max_evaluations.map(|max| max.saturating_sub(evaluations as u64)),
                time: None,
            },
            seen: &seen,
            key: key.generation(record.generation + 1),
            stop: None,
        };
        show(&state, record, next);
    }
    Ok(())
}

fn with_primitives(instance: &Instance, primitives: &PrimitiveSet) -> Result<Instance> {
    let (expected, found) = (usize::from(primitives.n_variables()), instance.x().n_columns());
    instance
        .with_primitives(primitives.clone())
        .map_err(|_| OtherProblem::Variables { problem: instance.id().to_owned(), expected, found }.into())
}

/// Recomputes the scores of recorded individuals in f64, once for each expression.
struct Scorer<'a> {
    instance: &'a Instance,
    config: &'a SearchConfig,
    evaluator: Evaluator,
    /// The scores by expression.
    known: Vec<Option<Score>>,
    /// The scores of the current generation.
    scores: Vec<Score>,
}

impl Scorer<'_> {
    fn population(&mut self, record: GenerationRecord<'_>) -> Result<Population> {
        self.scores.clear();
        for (form, individual) in record.expression_ids().zip(record.individuals()) {
            let score = self.score(form, &individual, record.generation)?;
            self.scores.push(score);
        }
        let members = record.individuals().zip(&self.scores).map(|(individual, &score)| {
            let IndividualRecord { expr: tree, origin, parents, edit, log_prob, .. } = individual;
            IndividualRef { tree, score, origin, parents, edit, log_prob }
        });
        Ok(Population::new(members))
    }

    fn score(&mut self, form: u32, recorded: &IndividualRecord<'_>, generation: u32) -> Result<Score> {
        let &IndividualRecord { expr: tree, mse, fitness, .. } = recorded;
        let score =
            *self.known[form as usize].get_or_insert_with(|| self.evaluator.score(tree, self.instance, self.config));
        if score.fitness as f32 == fitness {
            return Ok(score);
        }
        // A search whose time is over stops scoring, and the remaining individuals have an infinite error.
        if !mse.is_infinite() {
            return Err(OtherProblem::Fitness {
                problem: self.instance.id().to_owned(),
                generation,
                expr: tree.to_string(),
                expected: fitness,
                found: score.fitness as f32,
            }
            .into());
        }
        Ok(self.config.objective.invalid())
    }
}
