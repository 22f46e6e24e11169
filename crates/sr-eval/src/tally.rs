//! Counts of what a policy proposed.

use std::collections::HashSet;
use std::ops::ControlFlow;

use sr_engine::{Generation, Observer, Origin};
use sr_expr::Tree;

/// Watches one search and counts its children by origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Children of all generations: everything but the initial population and those carried over.
    pub children: u64,
    /// Children that a learner wrote and that parsed.
    pub well_formed: u64,
    /// Children that the expert made in place of a learner's that did not parse.
    pub fallback: u64,
    /// Forms that differ within their generation, summed over generations.
    pub distinct: u64,
}

impl Observer for Tally {
    fn on_generation(&mut self, generation: &Generation<'_>) -> ControlFlow<()> {
        if generation.generation > 0 {
            let mut forms: HashSet<&Tree> = HashSet::new();
            for child in generation.population.iter().filter(|i| i.origin != Origin::Elite) {
                self.children += 1;
                self.well_formed += u64::from(child.origin == Origin::Learner);
                self.fallback += u64::from(child.origin == Origin::Fallback);
                forms.insert(child.tree);
            }
            self.distinct += forms.len() as u64;
        }
        ControlFlow::Continue(())
    }
}
