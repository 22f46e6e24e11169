//! Points that must stay near their targets against wind, push and noise.
//!
//! A target moves on a circle; the point has four thrusters. Seen from the target, a point at e obeys
//!
//! ```text
//! e″ = F·(a₀ − a₁, a₂ − a₃) + wind + k·e − target″
//! ```
//!
//! With k > 0 it is unstable: without feedback a small error grows as exp(√k·t). An episode is lost once |e| is beyond
//! the tolerance. The wind is an Ornstein-Uhlenbeck process that no sensor shows. An observation has noisy readings of
//! e, the target's phase and the last actions, of the last [`READINGS`] steps.

use sr_engine::random::{Key, Purpose, Rng};

/// The number of thrusters, each from 0 to 1.
pub(super) const ACTION: usize = 4;
/// The size of an observation: readings, the newest first.
pub(super) const OBSERVATION: usize = READINGS * READING;
/// The size of a state: e, e′, wind, phase.
pub(super) const STATE: usize = 7;
/// The length of a step in seconds.
pub(super) const DT: f64 = 0.05;
/// The acceleration of a thruster that is fully on.
pub(super) const THRUST: f64 = 6.0;

const READINGS: usize = 10;
/// The size of a reading: a fine and a coarse reading of e, the phase's cosine and sine, the last action.
const READING: usize = 10;
/// Radius of the target's circle.
const RADIUS: f64 = 1.0;
/// Standard deviation of the noise that each step adds to the velocity.
const KICK: f64 = 0.005;
/// The share of the wind that is left after a step.
const WIND_LEFT: f64 = 0.98;

/// The parameters of a world, which decide how hard a milestone is.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct World {
    /// The factor k, in 1/s², of the push away from the target.
    pub push: f64,
    /// Standard deviation of the wind's acceleration.
    pub wind: f64,
    /// The target's angular speed.
    pub spin: f64,
    /// Standard deviations of the fine and the coarse reading of e.
    pub noise: [f64; 2],
    /// Distance from the target at which an episode is lost.
    pub tolerance: f64,
    /// The number of steps of an episode.
    pub steps: u32,
}

impl Default for World {
    /// Returns a world with a slow target and a light wind.
    fn default() -> Self {
        World { push: 2.0, wind: 0.3, spin: 0.5, noise: [0.03, 0.1], tolerance: 0.5, steps: 100 }
    }
}

/// A point during its episode.
#[derive(Debug, Clone)]
pub(super) struct Point {
    /// The full state, which only the teacher sees.
    pub(super) state: [f32; STATE],
    /// The observation, which the student sees.
    pub(super) observation: [f32; OBSERVATION],
    /// Whether the point has always been within the tolerance.
    pub(super) alive: bool,
    rng: Rng,
}

impl World {
    /// Returns a point at its target.
    pub(super) fn point(&self, seed: u64, purpose: Purpose, episode: u32) -> Point {
        let mut rng = Key::new(seed, purpose, 0).slot(episode).rng();
        let wind = [(); 2].map(|()| (self.wind * rng.normal()) as f32);
        let phase = rng.uniform(0.0, std::f64::consts::TAU) as f32;
        let state = [0.0, 0.0, 0.0, 0.0, wind[0], wind[1], phase];
        let mut point = Point { state, observation: [0.0; OBSERVATION], alive: true, rng };
        point.look(self, [0.5; ACTION]);
        point
    }

    /// Returns the acceleration of the target in a state.
    pub(super) fn target_acceleration(&self, state: &[f32; STATE]) -> [f64; 2] {
        let phase = f64::from(state[6]);
        [libm::cos(phase), libm::sin(phase)].map(|part| -self.spin * self.spin * RADIUS * part)
    }

    /// Advances a point by a step. The noise does not depend on the action.
    pub(super) fn step(&self, point: &mut Point, action: [f32; ACTION]) {
        let action = action.map(|thrust| if thrust.is_nan() { 0.5 } else { thrust.clamp(0.0, 1.0) });
        let target = self.target_acceleration(&point.state);
        let noise = [(); 4].map(|()| point.rng.normal());
        let state = point.state.map(f64::from);
        let gust = self.wind * (1.0 - WIND_LEFT * WIND_LEFT).sqrt();
        for axis in 0..2 {
            let thrust = THRUST * (f64::from(action[2 * axis]) - f64::from(action[2 * axis + 1]));
            let acceleration = thrust + state[4 + axis] + self.push * state[axis] - target[axis];
            let velocity = state[2 + axis] + DT * acceleration + KICK * noise[axis];
            point.state[axis] = (state[axis] + DT * velocity) as f32;
            point.state[2 + axis] = velocity as f32;
            point.state[4 + axis] = (WIND_LEFT * state[4 + axis] + gust * noise[2 + axis]) as f32;
        }
        point.state[6] = (state[6] + DT * self.spin) as f32;
        point.alive &= point.distance() <= self.tolerance;
        point.look(self, action);
    }
}

impl Point {
    /// Returns the distance from the target.
    pub(super) fn distance(&self) -> f64 {
        libm::hypot(f64::from(self.state[0]), f64::from(self.state[1]))
    }

    /// Adds a reading of the sensors to the observation.
    fn look(&mut self, world: &World, action: [f32; ACTION]) {
        self.observation.copy_within(..OBSERVATION - READING, READING);
        let [x, y, .., phase] = self.state.map(f64::from);
        let mut read = |value: f64, deviation: f64| ((value + deviation * self.rng.normal()) / world.tolerance) as f32;
        let [fine, coarse] = world.noise;
        let seen = [read(x, fine), read(y, fine), read(x, coarse), read(y, coarse)];
        self.observation[..4].copy_from_slice(&seen);
        self.observation[4..6].copy_from_slice(&[libm::cos(phase) as f32, libm::sin(phase) as f32]);
        self.observation[6..READING].copy_from_slice(&action.map(|thrust| 2.0 * thrust - 1.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_point_meets_does_not_depend_on_what_it_does() {
        let mut points = [(); 2].map(|()| World::default().point(1, Purpose::Rows, 3));
        for _ in 0..100 {
            World::default().step(&mut points[0], [0.5; ACTION]);
            World::default().step(&mut points[1], [1.0, 0.0, 0.2, 0.9]);
        }
        assert_eq!(points[0].state[4..], points[1].state[4..]);
        assert_ne!(points[0].state[..4], points[1].state[..4]);
    }

    #[test]
    fn left_alone_a_point_is_lost() {
        for episode in 0..20 {
            let mut point = World::default().point(1, Purpose::Rows, episode);
            (0..100).for_each(|_| World::default().step(&mut point, [0.5; ACTION]));
            assert!(!point.alive);
        }
    }

    #[test]
    fn an_action_that_is_no_number_does_nothing() {
        let mut points = [(); 2].map(|()| World::default().point(1, Purpose::Rows, 0));
        World::default().step(&mut points[0], [f32::NAN; ACTION]);
        World::default().step(&mut points[1], [0.5; ACTION]);
        assert_eq!(points[0].state, points[1].state);
    }
}
