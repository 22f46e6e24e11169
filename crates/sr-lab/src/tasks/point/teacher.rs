//! The teacher: a privileged PD controller that sees the point's true position, its velocity and the wind.

use super::world::{ACTION, STATE, THRUST, World};

/// Gains in 1/s² and 1/s: critically damped, and as fast as a student can follow in spite of the readings' noise.
const PROPORTIONAL: f64 = 9.0;
const DERIVATIVE: f64 = 6.0;

/// Returns the teacher's action in a state: it cancels wind, push and the target's acceleration, and pulls e to 0.
pub(super) fn act(world: &World, state: &[f32; STATE]) -> [f32; ACTION] {
    let target = world.target_acceleration(state);
    let wanted = |axis: usize| {
        let [e, velocity, wind] = [0, 2, 4].map(|part| f64::from(state[part + axis]));
        target[axis] - wind - (world.push + PROPORTIONAL) * e - DERIVATIVE * velocity
    };
    let pair = |force: f64| [1.0, -1.0].map(|sign| (0.5 + sign * force / (2.0 * THRUST)).clamp(0.0, 1.0) as f32);
    let ([right, left], [up, down]) = (pair(wanted(0)), pair(wanted(1)));
    [right, left, up, down]
}
