//! Counts of a policy's proposals.

use std::collections::HashSet;
use std::ops::ControlFlow;

use sr_engine::{Generation, Observer, Origin};
use sr_expr::Tree;

/// An observer that counts the offspring of one search by origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Number of children that were made and evaluated, whether they lived on or not.
    pub children: u64,
    /// Number of those that a generation had: all of them, but where survival is a contest with the parents.
    pub lived: u64,
    /// Number of offspring that a learner wrote and that parsed.
    pub well_formed: u64,
    /// Number of offspring that the expert made in place of a learner's that did not parse.
    pub fallback: u64,
    /// Number of distinct expressions of each generation, summed over generations.
    pub distinct: u64,
    /// Number of evaluations when it began.
    initial: Option<u64>,
}

impl Observer for Tally {
    fn on_generation(&mut self, generation: &Generation<'_>) -> ControlFlow<()> {
        let evaluations = generation.evaluations.search;
        let initial = *self.initial.get_or_insert(evaluations);
        self.children = evaluations - initial;
        if generation.generation > 0 {
            let mut forms: HashSet<&Tree> = HashSet::new();
            for child in generation.population.iter().filter(|i| i.origin != Origin::Elite) {
                self.lived += 1;
                self.well_formed += u64::from(child.origin == Origin::Learner);
                self.fallback += u64::from(child.origin == Origin::Fallback);
                forms.insert(child.tree);
            }
            self.distinct += forms.len() as u64;
        }
        ControlFlow::Continue(())
    }
}
