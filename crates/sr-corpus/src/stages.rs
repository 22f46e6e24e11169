//! The choice of a few states of a search, spread over the stages of its progress.
//!
//! Consecutive states of a search are nearly the same, and a search that is stuck has many of them. A model that is
//! trained on all of them sees little else, and overfits within a pass.

use std::collections::HashSet;

use sr_engine::random::Key;
use sr_trace::Trajectory;

/// The number of generations that a search is young, and after which a best individual counts as old.
const FEW: usize = 3;

/// The factor by which the error has to fall, from the best of the first population, to be near the target.
const NEAR: f64 = 0.01;

/// A stage of a search's progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The first [`FEW`] generations.
    Early,
    /// The best individual so far was found in the last [`FEW`] generations.
    Improving,
    /// The best individual so far is older.
    Stagnated,
    /// The error is at most [`NEAR`] of that of the first population.
    Near,
}

impl Stage {
    /// All stages.
    const ALL: [Stage; 4] = [Stage::Early, Stage::Improving, Stage::Stagnated, Stage::Near];

    /// Returns the stage of each state from the least error of each population.
    fn of(errors: impl IntoIterator<Item = f64>) -> Vec<Stage> {
        let (mut first, mut best, mut improved) = (None, f64::INFINITY, 0);
        let stage = |(index, error): (usize, f64)| -> Stage {
            let first = *first.get_or_insert(error);
            if error < best {
                (best, improved) = (error, index);
            }
            if best <= NEAR * first && best.is_finite() {
                Stage::Near
            } else if index < FEW {
                Stage::Early
            } else if index - improved < FEW {
                Stage::Improving
            } else {
                Stage::Stagnated
            }
        };
        errors.into_iter().enumerate().map(stage).collect()
    }
}

/// Returns the generations of at most `most` of a trajectory's states: one of each stage by turns, beginning with a
/// random stage. A state whose population is that of an earlier one is left out. A smaller `most` gives a part of what
/// a larger one gives.
///
/// `candidates` are the generations to choose from. The result depends on them, the trajectory and the key alone.
pub(crate) fn spread(trajectory: &Trajectory, candidates: &HashSet<u32>, most: u32, key: Key) -> HashSet<u32> {
    let records = || trajectory.generations.iter();
    let stages = Stage::of(records().map(|record| f64::from(record.best().mse)));
    let mut met = HashSet::new();
    let mut of_stages: [Vec<u32>; Stage::ALL.len()] = Default::default();
    for (record, stage) in records().zip(stages) {
        if candidates.contains(&record.generation) && met.insert(record.state_hash()) {
            of_stages[stage as usize].push(record.generation);
        }
    }
    let mut rng = key.rng();
    rng.shuffle(&mut of_stages);
    of_stages.iter_mut().for_each(|of_stage| rng.shuffle(of_stage));
    let longest = of_stages.iter().map(Vec::len).max().unwrap_or(0);
    let by_turns = (0..longest).flat_map(|turn| of_stages.iter().filter_map(move |of_stage| of_stage.get(turn)));
    by_turns.copied().take(most as usize).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_follow_from_the_least_errors() {
        use Stage::{Early, Improving, Near, Stagnated};
        let errors = [8.0, 9.0, 8.0, 8.0, 5.0, 5.0, 6.0, 5.0, 0.05, 7.0];
        let stages = [Early, Early, Early, Stagnated, Improving, Improving, Improving, Stagnated, Near, Near];
        assert_eq!(Stage::of(errors), stages);
        assert_eq!(Stage::of([0.0, 0.0]), [Near, Near], "solved from the first population on");
        assert_eq!(Stage::of([f64::INFINITY; 5])[4], Stagnated, "nothing that can be told");
    }
}
