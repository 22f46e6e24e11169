//! Making records of searches.

use std::ops::ControlFlow;

use sr_engine::{Generation, Objective, Observer, Outcome, PrimitiveSet};

use crate::record::{Encoder, FitnessRule, View};
use crate::{Record, RecordError, TargetScale, Trajectory};

/// Watches one search and records it.
///
/// It writes the compact form at once, so that memory grows by some seven bytes for each individual.
#[derive(Debug, Clone)]
pub struct Recorder {
    /// Id and primitives of the problem, once a generation was seen.
    problem: Option<(String, PrimitiveSet, Option<TargetScale>)>,
    seed: u64,
    encoder: Encoder,
    /// Fitness of the best individual so far, in f64.
    best: f64,
    /// What could not be recorded; nothing is from there on.
    error: Option<RecordError>,
}

impl Recorder {
    /// `seed` is the search's.
    pub fn new(seed: u64) -> Self {
        Recorder { problem: None, seed, encoder: Encoder::default(), best: f64::NEG_INFINITY, error: None }
    }

    /// The record of a search that has ended. Sampling counts are the policy's to add.
    ///
    /// # Errors
    /// If a policy proposed what no record can hold: an expression of more than
    /// [`MAX_NODES`](crate::forms::MAX_NODES) nodes, or parents that are none; or if the search has not ended.
    ///
    /// # Panics
    /// If the recorder watched no search.
    pub fn record(self, outcome: &Outcome) -> Result<Record, RecordError> {
        let (problem_id, primitives, target) = self.problem.expect("a search shows its initial population at least");
        if let Some(error) = self.error {
            return Err(error);
        }
        let stop = outcome.stop.ok_or(RecordError::Unfinished)?;
        let mut record = self.encoder.finish(problem_id, &primitives, self.seed, stop, outcome.evaluations);
        record.set_target(target);
        Ok(record)
    }

    /// The trajectory of a search that has ended.
    ///
    /// # Panics
    /// If the recorder watched no search, or [`record`](Self::record) has an error.
    pub fn finish(self, outcome: &Outcome) -> Trajectory {
        let record = self.record(outcome).expect("policies propose what can be recorded");
        record.decode(FitnessRule::NONE).expect("what was recorded")
    }
}

impl Observer for Recorder {
    fn on_generation(&mut self, seen: &Generation<'_>) -> ControlFlow<()> {
        if self.error.is_some() {
            return ControlFlow::Continue(());
        }
        let best_index = seen.population.best_index();
        let fitness = seen.population.score(best_index).fitness;
        let is_first = self.problem.is_none();
        if is_first {
            let instance = seen.instance;
            let target = TargetScale { scale: instance.scale(), tolerance: instance.tolerance() };
            let target = (seen.config.objective == Objective::Mse).then_some(target);
            self.problem = Some((instance.id().to_owned(), instance.primitives().clone(), target));
            // A search that is continued knows a best individual from before.
            if seen.best.score.fitness > fitness {
                self.best = seen.best.score.fitness;
            }
        }
        let improved = fitness > self.best;
        self.best = self.best.max(fitness);
        let individuals = (0..seen.population.len()).map(|index| {
            let view = View::of(seen.population, index);
            if is_first { view.orphaned() } else { view }
        });
        let added = self.encoder.generation(seen.generation, individuals, best_index as u32, improved);
        self.error = added.err();
        ControlFlow::Continue(())
    }
}
