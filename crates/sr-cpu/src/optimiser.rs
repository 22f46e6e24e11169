//! Updates of weights, on plain slices: AdamW, and the orthogonal directions of Muon.

use crate::math::sum_of_squares;
use crate::product::{Into, Left, Packed, product};
use sr_simd::leveled;

/// The parameters of one step of AdamW (Loshchilov & Hutter, 2019).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamStep {
    /// The decay rates β of the first and of the second moment.
    pub beta: [f32; 2],
    /// The bias corrections 1 − βᵗ of both, after t steps, this one included.
    pub correction: [f32; 2],
    /// The number added to the root of the second moment.
    pub epsilon: f32,
    /// The learning rate.
    pub rate: f32,
    /// The factor on the weights, 1 − rate · decay.
    pub kept: f32,
}

leveled! {
    /// Does one step of AdamW, which updates weights and both moments.
    pub fn adamw(weights: &mut [f32], gradient: &[f32], first: &mut [f32], second: &mut [f32], step: &AdamStep) {
        let AdamStep { beta: [beta_1, beta_2], correction: [by_1, by_2], epsilon, rate, kept } = *step;
        let (new_1, new_2) = (1.0 - beta_1, 1.0 - beta_2);
        let moments = first.iter_mut().zip(second);
        for ((weight, &gradient), (first, second)) in weights.iter_mut().zip(gradient).zip(moments) {
            *first = *first * beta_1 + gradient * new_1;
            *second = *second * beta_2 + gradient * gradient * new_2;
            let delta = (*first / by_1) / ((*second / by_2).sqrt() + epsilon);
            *weight = *weight * kept - delta * rate;
        }
    }
}

/// The coefficients of the quintic iteration (Jordan et al., 2024).
const QUINTIC: [f32; 3] = [3.4445, -4.775, 2.0315];
const ITERATIONS: usize = 5;
/// The smallest norm to divide by.
const LEAST_NORM: f32 = 1e-7;

/// Returns the direction in which Muon moves a matrix of `columns` columns. It has about the same row and column
/// spaces, and singular values near 1, by Newton–Schulz iteration.
///
/// # Panics
/// Panics if `matrix` does not consist of whole rows.
pub fn orthogonalised(matrix: &[f32], columns: usize) -> Vec<f32> {
    assert!(columns > 0 && matrix.len().is_multiple_of(columns), "whole rows");
    let rows = matrix.len() / columns;
    let is_tall = rows > columns;
    let mut x = if is_tall { transposed(matrix, columns) } else { matrix.to_vec() };
    let (m, n) = (rows.min(columns), rows.max(columns));
    let norm = (sum_of_squares(&x).sqrt() as f32).max(LEAST_NORM);
    scale(&mut x, 1.0 / norm);
    let [a, b, c] = QUINTIC;
    let (mut gram, mut poly, mut pack) = (vec![0.0; m * m], vec![0.0; m * m], Packed::default());
    for _ in 0..ITERATIONS {
        pack.set_transposed(&x, n, m, n);
        product(Left::rows(&x, m, n, n), &pack, m, &mut gram, m, Into::Set);
        pack.set_rows(&gram, m, m, m);
        product(Left::rows(&gram, m, m, m), &pack, m, &mut poly, m, Into::Set);
        combine(&mut poly, c, &gram, b);
        pack.set_rows(&x, m, n, n);
        scale(&mut x, a);
        product(Left::rows(&poly, m, m, m), &pack, n, &mut x, n, Into::Add);
    }
    if is_tall { transposed(&x, n) } else { x }
}

leveled! {
    fn scale(x: &mut [f32], factor: f32) {
        x.iter_mut().for_each(|x| *x *= factor);
    }
}

leveled! {
    /// Computes `x ← x · of_x + y · of_y`.
    fn combine(x: &mut [f32], of_x: f32, y: &[f32], of_y: f32) {
        x.iter_mut().zip(y).for_each(|(x, y)| *x = *x * of_x + y * of_y);
    }
}

/// Transposes `[rows, columns]` to `[columns, rows]`.
fn transposed(values: &[f32], columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|column| values[column..].iter().step_by(columns)).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_of_adamw_is_what_its_paper_says() {
        let (mut w, mut m, mut v) = ([2.0f32], [0.5f32], [0.25f32]);
        let step = AdamStep { beta: [0.9, 0.98], correction: [0.19, 0.0396], epsilon: 1e-8, rate: 0.1, kept: 0.95 };
        adamw(&mut w, &[3.0], &mut m, &mut v, &step);
        assert!((m[0] - 0.75).abs() < 1e-6 && (v[0] - 0.425).abs() < 1e-6);
        let delta = (0.75 / 0.19) / (0.425f64 / 0.0396).sqrt();
        assert!((f64::from(w[0]) - (1.9 - 0.1 * delta)).abs() < 1e-6, "{w:?}");
    }

    #[test]
    fn singular_values_come_near_one() {
        for (rows, columns) in [(3, 8), (8, 3), (4, 4)] {
            let matrix: Vec<f32> = (0..rows * columns).map(|i| ((i * 7919 % 31) as f32 - 15.0) / 9.0).collect();
            let x = orthogonalised(&matrix, columns);
            // Of the smaller Gram matrix the trace is the sum of squared singular values, which the iteration leaves
            // within 0.7 and 1.2.
            let (m, squares) = (rows.min(columns) as f64, sum_of_squares(&x));
            assert!((0.45 * m..1.5 * m).contains(&squares), "{rows} {columns}: {squares}");
            let along: f64 = x.iter().zip(&matrix).map(|(a, b)| f64::from(a * b)).sum();
            assert!(along > 0.0, "it goes where the matrix goes");
        }
        assert_eq!(orthogonalised(&[0.0; 6], 3), [0.0; 6]);
    }
}
