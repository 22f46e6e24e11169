//! Scores of children outside of a search, such as a labeller's.

use std::collections::HashMap;

use sr_expr::Semantics;

use crate::cache::ScoreCache;
use crate::subtrees::Subtrees;
use crate::{Deadline, Evaluator, Fitting, Instance, Objective, Offspring, Score, SearchConfig, State};

/// Scores children of states of one instance. It computes the score of an expression once for as long as it remembers
/// it.
#[derive(Debug, Clone, Default)]
pub struct Scorer {
    cache: ScoreCache,
    evaluator: Evaluator,
    /// The subtrees of the instance, `None` until the first state.
    subtrees: Option<Option<Subtrees>>,
    /// The number of states so far.
    states: u32,
    /// The first form of each structure of the population and of its children, where constants are fitted.
    structures: HashMap<u64, u32>,
    /// The origin of the remembered scores: the instance's serial number and the settings that scores depend on.
    of: Option<(u64, Objective, Semantics, u64, Option<Fitting>)>,
}

/// A child's score and identity.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scored {
    /// The child's score.
    pub score: Score,
    /// A number that only equal children of the offspring share. Where constants are fitted, children of one structure
    /// are equal.
    pub expression: u32,
    /// Whether no individual of the population has the same expression or, where constants are fitted, the same
    /// structure.
    pub is_new: bool,
}

/// Scores a child as every search does: where constants are fitted, the child gets those that fit best first. Returns
/// the child's form in the cache, or `None` if the time is over.
///
/// - needed: the fitness below which a child's exact score does not matter, see [`Evaluator::score_above`]
pub(crate) fn score_child(
    child: usize,
    offspring: &mut Offspring,
    needed: f64,
    (cache, evaluator, subtrees): (&mut ScoreCache, &mut Evaluator, Option<&mut Subtrees>),
    (instance, config): (&Instance, &SearchConfig),
    deadline: Deadline<'_>,
) -> Option<u32> {
    let steps = config.fitting.map_or(0, |fitting| fitting.steps);
    if steps > 0 && offspring.tree(child).constants().next().is_some() {
        let (constants, score) = evaluator.fit(offspring.tree(child), instance, config, steps, deadline)?;
        offspring.set_constants(child, constants);
        return cache.find_or_score(offspring.tree(child), offspring.hash(child), || Some(score));
    }
    let tree = offspring.tree(child);
    let score = || evaluator.score_above(needed, subtrees, tree, instance, config, deadline);
    cache.find_or_score(tree, offspring.hash(child), score)
}

impl Scorer {
    /// Scores the children of the offspring, in order. Where the search fits constants, the children get those that fit
    /// best, as they do in the search. There is no deadline: labels do not depend on the machine.
    ///
    /// States of one instance and one configuration share the remembered scores; another one clears them.
    pub fn score(&mut self, state: &State<'_>, offspring: &mut Offspring) -> Vec<Scored> {
        let mut scored = Vec::with_capacity(offspring.len());
        self.begin(state, offspring.len());
        self.score_more(state, offspring, &mut scored);
        scored
    }

    /// Begins with a state, of which at most `children` children will be [scored](Self::score_more).
    pub fn begin(&mut self, state: &State<'_>, children: usize) {
        let SearchConfig { objective, semantics, parsimony_coefficient, fitting, .. } = *state.config;
        let of = Some((state.instance.serial(), objective, semantics, parsimony_coefficient.to_bits(), fitting));
        if self.of != of {
            *self = Scorer { of, ..Scorer::default() };
        }
        let Scorer { cache, states, structures, .. } = self;
        *states += 1;
        let population = state.population;
        let room = population.len() + children;
        if !cache.has_room(room) {
            cache.clear(room);
        }
        structures.clear();
        for index in 0..population.len() {
            let form =
                cache.find_or_score(population.tree(index), population.hash(index), || Some(population.score(index)));
            let form = form.expect("there is a score");
            cache.mark(form, *states);
            if fitting.is_some() {
                structures.entry(state.config.identity(population.tree(index))).or_insert(form);
            }
        }
    }

    /// Scores the children of the offspring that `scored` does not have yet and adds the scores to it. The offspring
    /// has to belong to the state of the last call of [`begin`](Self::begin).
    pub fn score_more(&mut self, state: &State<'_>, offspring: &mut Offspring, scored: &mut Vec<Scored>) {
        let Scorer { cache, evaluator, subtrees, states, structures, .. } = self;
        let (instance, config) = (state.instance, state.config);
        let subtrees = subtrees.get_or_insert_with(|| Subtrees::for_data(instance.x(), instance.primitives().ops()));
        for child in scored.len()..offspring.len() {
            let tools = (&mut *cache, &mut *evaluator, subtrees.as_mut());
            let any = f64::NEG_INFINITY;
            let form = score_child(child, offspring, any, tools, (instance, config), Deadline::NEVER);
            let form = form.expect("there is no deadline");
            let expression = match config.fitting {
                Some(_) => *structures.entry(config.identity(offspring.tree(child))).or_insert(form),
                None => form,
            };
            scored.push(Scored { score: cache.score(form), expression, is_new: !cache.is_marked(expression, *states) });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sr_expr::{Columns, Op};

    use super::*;
    use crate::{Expert, Instance, PrimitiveSet, Search, SearchConfig};

    #[test]
    fn another_instance_or_configuration_has_scores_of_its_own() {
        let primitives = PrimitiveSet::new(vec![Op::Add, Op::Mul], vec![1.0], 1).expect("primitives");
        let x = Columns::new(4, 1, vec![1.0, 2.0, 3.0, 4.0]);
        let mut scorer = Scorer::default();
        for (offset, objective) in
            [(0.0, Objective::Masked), (5.0, Objective::Masked), (5.0, Objective::Mse), (0.0, Objective::Masked)]
        {
            let y = (0..4).map(|i| f64::from(i) * 2.0 + offset).collect();
            let instance = Arc::new(Instance::new("p", x.clone(), y, primitives.clone()).expect("an instance"));
            let config = SearchConfig { objective, ..SearchConfig::basic() };
            let search = Search::new(instance.clone(), config, 1).expect("a search");
            let state = search.state();
            let mut offspring = Offspring::default();
            Expert::children(&state, 50, &mut offspring);
            let scored = scorer.score(&state, &mut offspring);
            for (scored, child) in scored.iter().zip(offspring.iter()) {
                let expected = Evaluator::default().score(child.tree, &instance, state.config);
                assert_eq!(scored.score, expected);
            }
        }
    }

    #[test]
    fn scores_are_the_evaluators_and_forms_are_told_apart() {
        let x = Columns::new(20, 2, (0..40).map(|i| f64::from(i) / 7.0 - 2.0).collect());
        let y = (0..20).map(|i| f64::from(i * i)).collect();
        let primitives = PrimitiveSet::new(vec![Op::Add, Op::Mul, Op::Sin], vec![1.0], 2).expect("primitives");
        let instance = Arc::new(Instance::new("p", x, y, primitives).expect("an instance"));
        let mut scorer = Scorer::default();
        for seed in 0..3 {
            let search = Search::new(instance.clone(), SearchConfig::basic(), seed).expect("a search");
            let state = search.state();
            let mut offspring = Offspring::default();
            Expert::children(&state, 700, &mut offspring);
            let scored = scorer.score(&state, &mut offspring);
            for (a, child) in scored.iter().zip(offspring.iter()) {
                let expected = Evaluator::default().score(child.tree, &instance, state.config);
                assert_eq!(a.score, expected);
                assert_eq!(a.is_new, state.population.iter().all(|individual| individual.tree != child.tree));
                for (b, other) in scored.iter().zip(offspring.iter()).take(40) {
                    assert_eq!(a.expression == b.expression, child.tree == other.tree);
                }
            }
            assert!(scored.iter().any(|child| child.is_new) && scored.iter().any(|child| !child.is_new));
        }
    }
}
