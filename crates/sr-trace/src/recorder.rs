//! Making records of searches.

use std::ops::ControlFlow;

use sr_engine::{Evaluations, Generation, Objective, Observer, Outcome, PrimitiveSet};

use crate::record::{Encoder, FitnessRule, View};
use crate::{Record, RecordError, TargetScale, Trajectory};

/// Watches one search and records it.
///
/// It has to be shown every generation of that search, in order: a generation is written as what changed since the one
/// before. Where that does not hold, [`record`](Self::record) says so.
///
/// It writes the compact form at once, so that memory grows by some seven bytes for each individual.
#[derive(Debug, Clone)]
pub struct Recorder {
    seed: u64,
    encoder: Encoder,
    /// Once a generation was seen.
    seen: Option<Seen>,
    /// What could not be recorded; nothing is from there on.
    error: Option<RecordError>,
}

/// What a recorder knows of the search that it watches.
#[derive(Debug, Clone)]
struct Seen {
    problem_id: String,
    primitives: PrimitiveSet,
    /// What its errors are relative to, if they are relative.
    target: Option<TargetScale>,
    /// The newest generation, and evaluations up to it.
    generation: u32,
    evaluations: u64,
    /// Fitness of the best individual so far, in f64.
    best: f64,
}

impl Recorder {
    /// `seed` is the search's.
    pub fn new(seed: u64) -> Self {
        Recorder { seed, encoder: Encoder::default(), seen: None, error: None }
    }

    /// The record of a search that has ended. Sampling counts are the policy's to add.
    ///
    /// # Errors
    /// If the search has not ended, or the recorder was shown no search, two of them or not all of one; or if a policy
    /// proposed what no record can hold: an expression of more than [`MAX_NODES`](crate::expressions::MAX_NODES) nodes, or
    /// parents that are none.
    pub fn record(self, outcome: &Outcome) -> Result<Record, RecordError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let Some(Seen { problem_id, primitives, target, .. }) = self.seen else {
            return Err(RecordError::Empty { field: "generations" });
        };
        let stop = outcome.stop.ok_or(RecordError::Unfinished)?;
        let mut record = self.encoder.finish(problem_id, &primitives, self.seed, stop, outcome.evaluations);
        record.set_target(target);
        Ok(record)
    }

    /// The trajectory of a search that has ended.
    ///
    /// # Errors
    /// As for [`record`](Self::record).
    pub fn finish(self, outcome: &Outcome) -> Result<Trajectory, RecordError> {
        self.record(outcome)?.decode(FitnessRule::NONE)
    }

    fn add(&mut self, shown: &Generation<'_>) -> Result<(), RecordError> {
        let &Generation { generation, population, evaluations: Evaluations { search: evaluations, .. }, .. } = shown;
        // Populations that were made by hand have no numbers by which their expressions are known.
        if population.expression_id(0).is_none() {
            return Err(RecordError::OtherSearch { generation });
        }
        let best_index = population.best_index();
        let fitness = population.score(best_index).fitness;
        let is_first = self.seen.is_none();
        let improved = match &mut self.seen {
            None => {
                // A search that is continued knows a best individual from before, which may be fitter.
                let best = shown.best.score.fitness.max(fitness);
                let instance = shown.instance;
                let (problem_id, primitives) = (instance.id().to_owned(), instance.primitives().clone());
                let target = TargetScale { scale: instance.scale(), tolerance: instance.tolerance() };
                let target = (shown.config.objective == Objective::Mse).then_some(target);
                self.seen = Some(Seen { problem_id, primitives, target, generation, evaluations, best });
                best == fitness
            }
            Some(seen) => {
                let last = seen.generation;
                if last.checked_add(1) != Some(generation) {
                    return Err(RecordError::Gap { last, found: generation });
                }
                // Every generation costs evaluations, and a search counts its own: two that look alike differ in that.
                if evaluations <= seen.evaluations || seen.problem_id != shown.instance.id() {
                    return Err(RecordError::OtherSearch { generation });
                }
                let improved = fitness > seen.best;
                (seen.generation, seen.evaluations, seen.best) = (generation, evaluations, seen.best.max(fitness));
                improved
            }
        };
        let individuals = (0..population.len()).map(|index| {
            let view = View::of(population, index);
            if is_first { view.orphaned() } else { view }
        });
        self.encoder.generation(generation, individuals, best_index as u32, improved)
    }
}

impl Observer for Recorder {
    fn on_generation(&mut self, shown: &Generation<'_>) -> ControlFlow<()> {
        if self.error.is_none() {
            self.error = self.add(shown).err();
        }
        ControlFlow::Continue(())
    }
}
