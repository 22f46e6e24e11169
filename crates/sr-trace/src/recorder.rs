//! The recorder of searches.

use std::ops::ControlFlow;

use sr_engine::{Evaluations, Generation, Objective, Observer, Outcome, PrimitiveSet};

use crate::record::{Encoder, FitnessRule, View};
use crate::{Record, RecordError, TargetScale, Trajectory};

/// An observer that records one search.
///
/// It has to see every generation of that search, in order, because a generation is written as its difference to the
/// one before. If it does not, [`record`](Self::record) returns an error.
///
/// It writes the compact form at once, so that memory grows by about seven bytes for each individual.
#[derive(Debug, Clone)]
pub struct Recorder {
    seed: u64,
    encoder: Encoder,
    /// The state of the search, once a generation was seen.
    seen: Option<Seen>,
    /// The first error, after which nothing is recorded.
    error: Option<RecordError>,
}

/// The state of the search that a recorder watches.
#[derive(Debug, Clone)]
struct Seen {
    problem_id: String,
    primitives: PrimitiveSet,
    /// The scale of its errors, if they are relative.
    target: Option<TargetScale>,
    /// The newest generation; `evaluations` are those up to it.
    generation: u32,
    evaluations: u64,
    /// The fitness of the best individual so far, in f64.
    best: f64,
}

impl Recorder {
    /// Makes a recorder for a search with this seed.
    pub fn new(seed: u64) -> Self {
        Recorder { seed, encoder: Encoder::default(), seen: None, error: None }
    }

    /// Returns the record of a search that has ended. The caller adds the policy's sampling counts.
    ///
    /// # Errors
    /// Returns an error if the search has not ended, or the recorder saw no search, two of them or not all of one. It
    /// also returns one if a policy proposed an expression of more than [`MAX_NODES`](crate::expressions::MAX_NODES)
    /// nodes, or parents that do not exist.
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

    /// Returns the trajectory of a search that has ended.
    ///
    /// # Errors
    /// Returns an error where [`record`](Self::record) does.
    pub fn finish(self, outcome: &Outcome) -> Result<Trajectory, RecordError> {
        self.record(outcome)?.decode(FitnessRule::NONE)
    }

    fn add(&mut self, shown: &Generation<'_>) -> Result<(), RecordError> {
        let &Generation { generation, population, evaluations: Evaluations { search: evaluations, .. }, .. } = shown;
        // A population that no search made has no numbers for its expressions.
        if population.expression_id(0).is_none() {
            return Err(RecordError::OtherSearch { generation });
        }
        let best_index = population.best_index();
        let fitness = population.score(best_index).fitness;
        let is_first = self.seen.is_none();
        let improved = match &mut self.seen {
            None => {
                // A search that is continued has a best individual from before, which may be fitter.
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
                // Every generation costs evaluations, and each search counts its own, so two similar searches differ in
                // that.
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
