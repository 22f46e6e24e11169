//! Making trajectories.

use std::ops::ControlFlow;

use sr_engine::{Generation, Observer, Outcome, Parents, PrimitiveSet};

use crate::{GenerationRecord, IndividualRecord, Trajectory};

/// Watches one search and records it.
#[derive(Debug, Clone)]
pub struct Recorder {
    /// Id and primitives of the problem, once a generation was seen.
    problem: Option<(String, PrimitiveSet)>,
    seed: u64,
    generations: Vec<GenerationRecord>,
    /// Fitness of the best individual so far, in f64.
    best: f64,
}

impl Recorder {
    /// `seed` is the search's.
    pub fn new(seed: u64) -> Self {
        Recorder { problem: None, seed, generations: Vec::new(), best: f64::NEG_INFINITY }
    }

    /// The trajectory of a search that has ended. Sampling counts are the policy's to add.
    ///
    /// # Panics
    /// If the recorder watched no search.
    pub fn finish(self, outcome: &Outcome) -> Trajectory {
        let (problem_id, primitives) = self.problem.expect("a search shows its initial population at least");
        Trajectory {
            problem_id,
            primitives,
            seed: self.seed,
            stop: outcome.stop,
            evaluations: outcome.evaluations,
            sampling: None,
            generations: self.generations,
            labels: Vec::new(),
        }
    }
}

impl Observer for Recorder {
    fn on_generation(&mut self, seen: &Generation<'_>) -> ControlFlow<()> {
        let before = self.generations.last().map_or(&[][..], |record| &record.individuals);
        let mut individuals: Vec<IndividualRecord> =
            seen.population.iter().map(|member| IndividualRecord::of(member, before)).collect();
        let best = seen.population.best();
        if self.problem.is_none() {
            self.problem = Some((seen.instance.id().to_owned(), seen.instance.primitives().clone()));
            // A search that is continued knows a best individual from before, and parents that are not recorded here.
            if seen.best.score.fitness > best.score.fitness {
                self.best = seen.best.score.fitness;
            }
            for individual in &mut individuals {
                individual.parents = Parents::None;
                individual.edit = None;
            }
        }
        let improved = best.score.fitness > self.best;
        self.best = self.best.max(best.score.fitness);
        self.generations.push(GenerationRecord {
            generation: seen.generation,
            individuals,
            best_index: seen.population.best_index() as u32,
            improved,
        });
        ControlFlow::Continue(())
    }
}
