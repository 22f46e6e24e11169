//! Scores of children outside of a search, such as a labeller's.

use sr_expr::Semantics;

use crate::cache::ScoreCache;
use crate::subtrees::Subtrees;
use crate::{Deadline, Evaluator, Objective, Offspring, Score, SearchConfig, State};

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
    /// The origin of the remembered scores: the instance's serial number and the settings that scores depend on.
    of: Option<(u64, Objective, Semantics, u64)>,
}

/// A child's score and identity.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scored {
    /// The child's score.
    pub score: Score,
    /// A number that only equal children of the offspring share.
    pub expression: u32,
    /// Whether no individual of the population has the same expression.
    pub is_new: bool,
}

impl Scorer {
    /// Scores the children of the offspring, in order. There is no deadline: labels do not depend on the machine.
    ///
    /// States of one instance and one configuration share the remembered scores; another one clears them.
    pub fn score(&mut self, state: &State<'_>, offspring: &Offspring) -> Vec<Scored> {
        let mut scored = Vec::with_capacity(offspring.len());
        self.begin(state, offspring.len());
        self.score_more(state, offspring, &mut scored);
        scored
    }

    /// Begins with a state, of which at most `children` children will be [scored](Self::score_more).
    pub fn begin(&mut self, state: &State<'_>, children: usize) {
        let SearchConfig { objective, semantics, parsimony_coefficient, .. } = *state.config;
        let of = Some((state.instance.serial(), objective, semantics, parsimony_coefficient.to_bits()));
        if self.of != of {
            *self = Scorer { of, ..Scorer::default() };
        }
        let Scorer { cache, states, .. } = self;
        *states += 1;
        let population = state.population;
        let room = population.len() + children;
        if !cache.has_room(room) {
            cache.clear(room);
        }
        for index in 0..population.len() {
            let form =
                cache.find_or_score(population.tree(index), population.hash(index), || Some(population.score(index)));
            cache.mark(form.expect("there is a score"), *states);
        }
    }

    /// Scores the children of the offspring that `scored` does not have yet and adds the scores to it. The offspring
    /// has to belong to the state of the last call of [`begin`](Self::begin).
    pub fn score_more(&mut self, state: &State<'_>, offspring: &Offspring, scored: &mut Vec<Scored>) {
        let Scorer { cache, evaluator, subtrees, states, .. } = self;
        let (instance, config) = (state.instance, state.config);
        let subtrees = subtrees.get_or_insert_with(|| Subtrees::for_data(instance.x(), instance.primitives().ops()));
        let score_child = |child| {
            let tree = offspring.tree(child);
            let score = || {
                let any = f64::NEG_INFINITY;
                evaluator.score_above(any, subtrees.as_mut(), tree, instance, config, Deadline::NEVER)
            };
            let form = cache.find_or_score(tree, offspring.hash(child), score).expect("there is no deadline");
            Scored { score: cache.score(form), expression: form, is_new: !cache.is_marked(form, *states) }
        };
        scored.extend((scored.len()..offspring.len()).map(score_child));
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
            for (scored, child) in scorer.score(&state, &offspring).iter().zip(offspring.iter()) {
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
            let scored = scorer.score(&state, &offspring);
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
