//! The input distribution of the E2E generator.

use serde::{Deserialize, Serialize};
use sr_engine::random::Rng;
use sr_expr::Columns;

use crate::sampler::to_f32;

/// The largest number of components of a mixture (Kamienny et al., 2022: 1 to 9 centroids).
const MAX_COMPONENTS: usize = 9;

/// A mixture of Gaussians or of rotated boxes, already standardised (Kamienny et al., "End-to-end symbolic regression
/// with transformers", 2022). A point is `centre + noise · axes` of a component drawn by weight.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mixture {
    /// The distribution along every axis.
    pub noise: Noise,
    /// The components, at least one, of equal dimension.
    pub components: Vec<Component>,
}

/// The distribution along the axes of a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Noise {
    /// Standard normal.
    Gaussian,
    /// Uniform in `[-1, 1)`.
    Uniform,
}

/// One cluster of points; `V` is the number of variables.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Component {
    /// The share of the points, up to a common factor; not negative.
    pub weight: f64,
    /// The centre, `[V]`.
    pub centre: Vec<f64>,
    /// The axes, `[V, V]`, one a row: direction times spread. They were at right angles before standardisation.
    pub axes: Vec<Vec<f64>>,
}

impl Mixture {
    /// Draws a random mixture and `n_points` points of it, `[points, V]`, in 32-bit precision. The points have mean 0
    /// and variance 1 in every dimension, and the mixture is scaled and shifted with them.
    pub(crate) fn sample(n_variables: usize, n_points: usize, rng: &mut Rng) -> (Mixture, Columns) {
        let mut mixture = Mixture::random(n_variables, rng);
        let rows: Vec<Vec<f64>> = (0..n_points).map(|_| mixture.draw(rng)).collect();
        let mut values = Vec::with_capacity(n_points * n_variables);
        for variable in 0..n_variables {
            let column = rows.iter().map(|row| row[variable]);
            let mean = column.clone().sum::<f64>() / n_points as f64;
            let variance = column.clone().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n_points as f64;
            let deviation = variance.sqrt();
            values.extend(column.map(|x| to_f32((x - mean) / deviation)));
            for component in &mut mixture.components {
                component.centre[variable] = (component.centre[variable] - mean) / deviation;
                component.axes.iter_mut().for_each(|axis| axis[variable] /= deviation);
            }
        }
        (mixture, Columns::new(n_points, n_variables, values))
    }

    fn random(n_variables: usize, rng: &mut Rng) -> Mixture {
        let noise = if rng.chance(0.5) { Noise::Gaussian } else { Noise::Uniform };
        let component = |rng: &mut Rng| {
            let weight = 1.0 - rng.unit(); // never 0: one component alone has to be drawable
            // The paper rotates centre and noise together; a rotated standard normal centre is a standard normal one.
            let centre = (0..n_variables).map(|_| rng.normal()).collect();
            let mut axes = random_orthogonal(n_variables, rng);
            for axis in &mut axes {
                let spread = rng.unit().sqrt(); // the paper draws the variance
                axis.iter_mut().for_each(|x| *x *= spread);
            }
            Component { weight, centre, axes }
        };
        let n_components = 1 + rng.below(MAX_COMPONENTS);
        Mixture { noise, components: (0..n_components).map(|_| component(rng)).collect() }
    }

    /// Draws one point, `[V]`, in full precision.
    pub(crate) fn draw(&self, rng: &mut Rng) -> Vec<f64> {
        let weights: Vec<f64> = self.components.iter().map(|component| component.weight).collect();
        let component = &self.components[rng.weighted(&weights)];
        let mut point = component.centre.clone();
        for axis in &component.axes {
            let noise = match self.noise {
                Noise::Gaussian => rng.normal(),
                Noise::Uniform => rng.uniform(-1.0, 1.0),
            };
            point.iter_mut().zip(axis).for_each(|(x, axis)| *x += noise * axis);
        }
        point
    }

    /// Checks that every component is a cluster in `n_variables` dimensions that can be drawn from.
    pub(crate) fn check(&self, n_variables: usize) -> Result<(), String> {
        let shape = |c: &Component| {
            c.centre.len() == n_variables
                && c.axes.len() == n_variables
                && c.axes.iter().all(|axis| axis.len() == n_variables)
        };
        if !self.components.iter().all(shape) {
            return Err(format!("the mixture is not of {n_variables} variables"));
        }
        let mut weights = self.components.iter().map(|c| c.weight);
        let total = weights.clone().sum::<f64>();
        if !(weights.all(|w| w >= 0.0) && total > 0.0 && total.is_finite()) {
            return Err("the mixture's weights are no distribution".into());
        }
        Ok(())
    }
}

/// Draws a uniform orthogonal matrix `[n, n]`: Gram & Schmidt on normal vectors (Stewart, 1980).
///
/// Reflections are not removed: noise and centre are symmetric, so the points have the same distribution with and
/// without them.
fn random_orthogonal(n: usize, rng: &mut Rng) -> Vec<Vec<f64>> {
    let mut rows: Vec<Vec<f64>> = Vec::with_capacity(n);
    while rows.len() < n {
        let mut row: Vec<f64> = (0..n).map(|_| rng.normal()).collect();
        for known in &rows {
            let along: f64 = row.iter().zip(known).map(|(a, b)| a * b).sum();
            row.iter_mut().zip(known).for_each(|(x, k)| *x -= along * k);
        }
        let length = row.iter().map(|x| x * x).sum::<f64>().sqrt();
        // A row that is almost in the plane of the others would be rounding error after scaling.
        if length > 1e-6 {
            row.iter_mut().for_each(|x| *x /= length);
            rows.push(row);
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use sr_engine::random::{Key, Purpose};

    use super::*;

    #[test]
    fn axes_are_orthonormal() {
        let mut rng = Key::new(3, Purpose::Rows, 0).rng();
        let q = random_orthogonal(7, &mut rng);
        for i in 0..7 {
            for j in 0..7 {
                let dot: f64 = q[i].iter().zip(&q[j]).map(|(a, b)| a * b).sum();
                assert!((dot - f64::from(u8::from(i == j))).abs() < 1e-12, "{i} {j} {dot}");
            }
        }
    }

    #[test]
    fn points_are_standardised_and_fresh_ones_follow() {
        for seed in 0..20 {
            let mut rng = Key::new(seed, Purpose::Rows, 1).rng();
            let (mixture, x) = Mixture::sample(3, 150, &mut rng);
            assert_eq!(mixture.check(3), Ok(()));
            assert!(mixture.check(2).is_err());
            for variable in 0..3 {
                let moments = |values: &[f64]| {
                    let mean = values.iter().sum::<f64>() / values.len() as f64;
                    (mean, values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64)
                };
                let (mean, variance) = moments(x.column(variable));
                assert!(mean.abs() < 1e-6 && (variance - 1.0).abs() < 1e-5, "{mean} {variance}");
                let fresh: Vec<f64> = (0..4000).map(|_| mixture.draw(&mut rng)[variable]).collect();
                let (mean, variance) = moments(&fresh);
                assert!(mean.abs() < 0.4 && (0.5..2.0).contains(&variance), "seed {seed}: {mean} {variance}");
            }
        }
    }
}
