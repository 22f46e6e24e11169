//! The sampler of a problem's points.

use serde::{Deserialize, Serialize};
use sr_engine::random::Rng;

use crate::Mixture;

/// The distribution of points, for the data of a problem and again for judging its results.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Sampler {
    /// Every variable is uniform in its own range.
    Uniform {
        /// The range `[low, high]` of each variable.
        ranges: Vec<[f64; 2]>,
    },
    /// The data are all points of a grid, with the first variable running slowest. Fresh points are uniform in the
    /// ranges.
    Even {
        /// The range `[low, high]` of each variable, both ends on the grid.
        ranges: Vec<[f64; 2]>,
        /// The number of points along each variable, at least 2.
        points: Vec<u32>,
    },
    /// The input mixture of the E2E generator.
    E2eMixture(Mixture),
    /// The data were given, so there is nothing to draw from.
    Fixed,
}

impl Sampler {
    /// Draws one fresh point within the ranges, in 32-bit precision unless a range is too narrow for that. Returns
    /// `None` if the data were given.
    pub(crate) fn draw(&self, rng: &mut Rng) -> Option<Vec<f64>> {
        match self {
            Sampler::Uniform { ranges } | Sampler::Even { ranges, .. } => {
                Some(ranges.iter().map(|&[low, high]| to_f32_within(rng.uniform(low, high), low, high)).collect())
            }
            Sampler::E2eMixture(mixture) => Some(mixture.draw(rng).into_iter().map(to_f32).collect()),
            Sampler::Fixed => None,
        }
    }

    /// Returns the rows of the grid, in 32-bit precision unless a range is too narrow for that, or `None` if there is
    /// no grid.
    pub(crate) fn grid(&self) -> Option<Vec<Vec<f64>>> {
        let Sampler::Even { ranges, points } = self else { return None };
        let mut rows = vec![Vec::new()];
        for (&[low, high], &n) in ranges.iter().zip(points) {
            let value = |i: u32| to_f32_within(low + (high - low) * f64::from(i) / f64::from(n - 1), low, high);
            rows = rows
                .iter()
                .flat_map(|row: &Vec<f64>| (0..n).map(move |i| row.iter().copied().chain([value(i)]).collect()))
                .collect();
        }
        Some(rows)
    }

    /// Checks that the sampler draws points of `n_variables` variables. The error says why not.
    pub(crate) fn check(&self, n_variables: usize) -> Result<(), String> {
        match self {
            Sampler::Uniform { ranges } | Sampler::Even { ranges, .. } if ranges.len() != n_variables => {
                Err(format!("{} ranges for {n_variables} variables", ranges.len()))
            }
            Sampler::Uniform { ranges } | Sampler::Even { ranges, .. }
                if !ranges.iter().all(|[low, high]| low < high && (high - low).is_finite()) =>
            {
                Err("a range is not low < high".into())
            }
            Sampler::Even { points, .. } if points.len() != n_variables || points.iter().any(|&n| n < 2) => {
                Err(format!("a grid of {n_variables} variables needs 2 points or more for each"))
            }
            Sampler::E2eMixture(mixture) => mixture.check(n_variables),
            _ => Ok(()),
        }
    }
}

/// Rounds to the nearest number of 32-bit precision.
pub(crate) fn to_f32(value: f64) -> f64 {
    f64::from(value as f32)
}

/// Rounds like [`to_f32`], but not out of `[low, high]`: 0.3 would become 0.30000001, outside of a range that ends
/// there, and `log` or `asin` may end there too. In a range that 32 bits hardly resolve, such as seconds since 1970 or
/// anything beyond 1e38, the number stays as it is.
fn to_f32_within(value: f64, low: f64, high: f64) -> f64 {
    if !resolves(low, high) {
        return value;
    }
    let nearest = value as f32;
    let inside = match f64::from(nearest) {
        rounded if rounded > high => nearest.next_down(),
        rounded if rounded < low => nearest.next_up(),
        _ => nearest,
    };
    let fits = (low..=high).contains(&f64::from(inside));
    f64::from(if fits { inside } else { nearest })
}

/// Returns whether there are at least 1024 numbers of 32 bits in a range.
fn resolves(low: f64, high: f64) -> bool {
    let (low, high) = (low as f32, high as f32);
    // Bit patterns count floats away from 0.
    let place = |value: f32| {
        let magnitude = i64::from(value.abs().to_bits());
        if value < 0.0 { -magnitude } else { magnitude }
    };
    low.is_finite() && high.is_finite() && place(high) - place(low) >= 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grid_has_its_ends_and_every_pair() {
        let sampler = Sampler::Even { ranges: vec![[-1.0, 1.0], [0.0, 0.5]], points: vec![3, 2] };
        let rows = sampler.grid().unwrap();
        assert_eq!(rows, [[-1.0, 0.0], [-1.0, 0.5], [0.0, 0.0], [0.0, 0.5], [1.0, 0.0], [1.0, 0.5]]);
        assert_eq!(Sampler::Fixed.grid(), None);
    }

    #[test]
    fn rounding_stays_inside() {
        assert!(f64::from(0.3_f32) > 0.3);
        assert!(to_f32_within(0.3, 0.1, 0.3) <= 0.3);
        assert!(to_f32_within(0.7, 0.7, 0.9) >= 0.7);
        assert_eq!(to_f32_within(0.5, 0.0, 1.0), 0.5);
        assert_eq!(to_f32_within(0.1, -5.0, 5.0), to_f32(0.1));
    }

    #[test]
    fn ranges_that_32_bits_do_not_resolve_keep_their_numbers() {
        for [low, high] in [[1.7e9, 1.7e9 + 10.0], [1e300, 2e300], [1e-50, 2e-50], [-2e-50, -1e-50]] {
            let value = low + (high - low) * 0.3;
            assert_eq!(to_f32_within(value, low, high), value);
        }
    }

    #[test]
    fn bad_samplers_are_found() {
        let uniform = |ranges: &[[f64; 2]]| Sampler::Uniform { ranges: ranges.to_vec() };
        assert_eq!(uniform(&[[0.0, 1.0]]).check(1), Ok(()));
        assert!(uniform(&[[0.0, 1.0]]).check(2).is_err());
        assert!(uniform(&[[1.0, 1.0]]).check(1).is_err());
        assert!(uniform(&[[f64::NAN, 1.0]]).check(1).is_err());
        assert!(Sampler::Even { ranges: vec![[0.0, 1.0]], points: vec![1] }.check(1).is_err());
    }
}
