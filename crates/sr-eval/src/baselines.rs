//! Baseline policies: one that knows nothing, and one that is allowed too much.

use std::collections::HashSet;

use sr_engine::{Child, Expert, Offspring, Origin, Policy, PolicyError, Request, Scorer, random_tree};

/// A policy whose children are all fresh random trees, to show what a search finds without selection.
#[derive(Debug, Default, Clone, Copy)]
pub struct RandomTrees;

impl Policy for RandomTrees {
    fn propose(&mut self, requests: &mut [Request<'_>]) -> Result<(), PolicyError> {
        for Request { state, wanted, offspring } in requests {
            let (primitives, limits) = (state.instance.primitives(), state.limits());
            for slot in 0..*wanted {
                let tree = random_tree(primitives, limits, state.key.slot(slot as u32));
                offspring.push(&Child::orphan(&tree, Origin::Random));
            }
        }
        Ok(())
    }
}

/// A policy that proposes for each child the best of `k` children of the expert. Scoring them is not counted, so it
/// cheats: it is an upper bound for policies that propose as well as the best of `k`, and no method.
///
/// The best child has the least error among new expressions, those neither in the population nor proposed for it
/// already; then the smallest size; then the first draw. If none is new, the first draw is proposed. `k = 1` is the
/// expert.
#[derive(Debug, Clone)]
pub struct BestOf {
    k: usize,
    scorer: Scorer,
    /// Seed and problem of the scores that `scorer` remembers.
    of: Option<(u64, u64)>,
    proposals: u64,
}

impl BestOf {
    /// Returns a policy that draws `k` children, at least 1, for each one.
    pub fn new(k: usize) -> Self {
        BestOf { k: k.max(1), scorer: Scorer::default(), of: None, proposals: 0 }
    }

    /// Returns the number of children drawn and scored so far. The search itself only counts those that were chosen.
    pub fn proposals(&self) -> u64 {
        self.proposals
    }
}

impl Policy for BestOf {
    fn propose(&mut self, requests: &mut [Request<'_>]) -> Result<(), PolicyError> {
        for Request { state, wanted, offspring } in requests {
            let wanted = *wanted;
            // A scorer remembers the scores of one problem, so each search should have its own policy.
            let of = Some((state.key.seed, state.key.problem));
            if self.of != of {
                (self.scorer, self.of) = (Scorer::default(), of);
            }
            let mut drawn = Offspring::default();
            (0..wanted * self.k).for_each(|slot| Expert::child(state, slot, &mut drawn));
            let scored = self.scorer.score(state, &mut drawn);
            self.proposals += drawn.len() as u64;
            let mut proposed: HashSet<u32> = HashSet::new();
            for slot in 0..wanted {
                let candidates = slot * self.k..(slot + 1) * self.k;
                let new = candidates.clone().filter(|&child| {
                    scored[child].is_new
                        && scored[child].score.is_valid()
                        && !proposed.contains(&scored[child].expression)
                });
                let best = new.min_by(|&a, &b| {
                    let by_error = scored[a].score.mse.total_cmp(&scored[b].score.mse);
                    by_error.then(drawn.tree(a).size().cmp(&drawn.tree(b).size())) // the first of equals
                });
                let chosen = best.unwrap_or(candidates.start);
                proposed.insert(scored[chosen].expression);
                offspring.push(&drawn.get(chosen).expect("it was drawn"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sr_engine::{Instance, PrimitiveSet, Search, SearchConfig, run};
    use sr_expr::{Columns, Op};

    use super::*;

    fn search(seed: u64, config: SearchConfig) -> Search {
        let x = Columns::new(20, 1, (0..20).map(|i| f64::from(i) / 7.0 - 1.0).collect());
        let y = x.column(0).iter().map(|x| x * x * x + x * 1.7).collect();
        let primitives = PrimitiveSet::new(vec![Op::Add, Op::Mul, Op::Sin], vec![1.0, 2.0], 1).expect("primitives");
        let instance = Instance::new("p", x, y, primitives).expect("an instance");
        Search::new(Arc::new(instance), config, seed).expect("a search")
    }

    fn config() -> SearchConfig {
        SearchConfig { generations: 12, ..SearchConfig::basic() }
    }

    #[test]
    fn the_best_of_one_is_the_expert() {
        let outcome = |policy: &mut dyn Policy| {
            let mut searches = [search(1, config()), search(2, config())];
            run(&mut searches, policy, &mut [(), ()])
                .expect("they never fail")
                .into_iter()
                .map(|o| (o.progression, o.evaluations))
                .collect::<Vec<_>>()
        };
        let mut one = BestOf::new(1);
        assert_eq!(outcome(&mut one), outcome(&mut Expert));
        assert_eq!(one.proposals(), 2 * 11 * 19);
    }

    #[test]
    fn more_draws_give_no_worse_children_and_are_counted() {
        let search = search(3, config());
        let best = |k: usize| {
            let (mut policy, mut offspring) = (BestOf::new(k), Offspring::default());
            policy.propose_one(search.state(), 19, &mut offspring).expect("it never fails");
            assert_eq!(policy.proposals(), 19 * k as u64);
            let scored = Scorer::default().score(&search.state(), &mut offspring);
            let mut forms: Vec<u32> = scored.iter().filter(|s| s.is_new).map(|s| s.expression).collect();
            let new = forms.len();
            forms.sort_unstable();
            forms.dedup();
            (new, forms.len(), scored.iter().map(|s| s.score.mse).fold(f64::INFINITY, f64::min))
        };
        let (one, many) = (best(1), best(32));
        assert!(many.2 <= one.2 && (many.0, many.1) == (19, 19), "{one:?} {many:?}");
    }

    #[test]
    fn random_trees_stand_within_the_limits_and_have_no_parents() {
        for max_size in [1, 3, 25] {
            let mut config = config();
            config.limits.max_size = max_size;
            let search = search(4, config);
            let mut offspring = Offspring::default();
            RandomTrees.propose_one(search.state(), 200, &mut offspring).expect("it never fails");
            assert_eq!(offspring.len(), 200);
            for child in offspring.iter() {
                assert!(child.tree.size() <= max_size && child.origin == Origin::Random && child.edit.is_none());
            }
        }
    }
}
