//! The rule by which fitnesses follow from errors and sizes.

use sr_engine::SearchConfig;

/// The rule by which fitness follows from an error and a number of nodes, in f32.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FitnessRule {
    /// The search's penalty per node.
    pub(super) parsimony: f64,
    /// The fitness of an individual that is not valid.
    pub(super) invalid: f32,
}

impl FitnessRule {
    /// The rule for records whose fitnesses are written whole.
    pub(crate) const NONE: FitnessRule = FitnessRule { parsimony: 0.0, invalid: f32::NEG_INFINITY };

    /// Returns the rule of a search with these settings.
    pub(crate) fn of(config: &SearchConfig) -> Self {
        FitnessRule { parsimony: config.parsimony_coefficient, invalid: config.objective.invalid().fitness as f32 }
    }

    pub(crate) fn fitness(self, mse: f32, size: usize) -> f32 {
        if mse.is_finite() { (-f64::from(mse) - self.parsimony * size as f64) as f32 } else { self.invalid }
    }
}

/// Returns the number that is `steps` (an `i8`) places further in the order of all f32.
pub(crate) fn stepped(number: f32, steps: u8) -> f32 {
    let rank = rank(number).wrapping_add(i32::from(steps.cast_signed()));
    f32::from_bits((rank ^ ((rank >> 31) & i32::MAX)).cast_unsigned())
}

/// Returns the rank of a number in the order of all f32; neighbours differ by 1.
pub(super) fn rank(number: f32) -> i32 {
    let bits = number.to_bits().cast_signed();
    bits ^ ((bits >> 31) & i32::MAX)
}
