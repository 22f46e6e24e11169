//! The linear systems of a fit, solved for those constants only that the data identify.

use sr_expr::NormalEquations;

/// The smallest pivot that is trusted, as a share of the largest one. Pivots are squares, so this is a share of 1e-5 of
/// a column of the Jacobian that the columns before it do not explain; the rounding of JᵀJ is far below it.
const LEAST_PIVOT: f64 = 1e-10;

/// The normal equations at one point, with the pivoted Cholesky factorisation (Businger & Golub, 1965, for the order)
/// that says which constants are identifiable there. It owns the memory that this needs.
///
/// Every constant is measured in units of its column's length, so that JᵀJ has a diagonal of ones: neither which
/// constants are trusted nor a damped step depends on the units of constants. Linear coefficients come first in the
/// order, so that of a linear coefficient and another constant that do the same, the linear one is moved.
#[derive(Debug, Clone, Default)]
pub(crate) struct Steps {
    /// The identifiable constants, in the order of their pivots.
    order: Vec<usize>,
    /// The lengths of the Jacobian's columns, `[order]`.
    lengths: Vec<f64>,
    /// JᵀJ by the lengths, `[order, order]`.
    matrix: Vec<f64>,
    /// Jᵀr by the lengths, `[order]`.
    vector: Vec<f64>,
    /// The triangle that a system is factored into, `[order, order]`.
    factor: Vec<f64>,
    /// The diagonal that is left while the order is found.
    left: Vec<f64>,
    solution: Vec<f64>,
}

impl Steps {
    /// Forgets the point, so that no constant is identified.
    pub(crate) fn clear(&mut self) {
        self.order.clear();
    }

    /// Sets the point at which steps are computed for the first `linear.len()` constants; others are not moved.
    /// `linear` tells linear coefficients. O(constants³).
    pub(crate) fn set(&mut self, normal: &NormalEquations, linear: &[bool]) {
        let n = normal.n_constants();
        let (products, gradient) = (normal.matrix(), normal.vector());
        let Steps { order, lengths, matrix, vector, factor, left, .. } = self;
        order.clear();
        lengths.clear();
        for constant in 0..linear.len() {
            let length = products[constant * n + constant].sqrt();
            if length > 0.0 && length.is_finite() && gradient[constant].is_finite() {
                order.push(constant);
                lengths.push(length);
            }
        }
        let m = order.len();
        factor.clear();
        factor.resize(m * m, 0.0);
        left.clear();
        left.resize(m, 1.0);
        let scaled = |order: &[usize], lengths: &[f64], i: usize, j: usize| {
            products[order[i] * n + order[j]] / lengths[i] / lengths[j]
        };
        let mut rank = 0;
        while rank < m {
            // No diagonal is above 1.
            let key = |at: usize| if linear[order[at]] && left[at] > LEAST_PIVOT { 2.0 + left[at] } else { left[at] };
            let mut pivot = rank;
            for candidate in rank + 1..m {
                if key(candidate) > key(pivot) {
                    pivot = candidate;
                }
            }
            // The largest pivot is the first one, 1.
            if left[pivot] <= LEAST_PIVOT {
                break;
            }
            order.swap(rank, pivot);
            lengths.swap(rank, pivot);
            left.swap(rank, pivot);
            for k in 0..rank {
                factor.swap(rank * m + k, pivot * m + k);
            }
            let diagonal = left[rank].sqrt();
            factor[rank * m + rank] = diagonal;
            for row in rank + 1..m {
                let mut entry = scaled(order, lengths, row, rank);
                for k in 0..rank {
                    entry -= factor[row * m + k] * factor[rank * m + k];
                }
                entry /= diagonal;
                factor[row * m + rank] = entry;
                left[row] -= entry * entry;
            }
            rank += 1;
        }
        order.truncate(rank);
        lengths.truncate(rank);
        matrix.clear();
        vector.clear();
        for i in 0..rank {
            matrix.extend((0..rank).map(|j| scaled(order, lengths, i, j)));
            vector.push(gradient[order[i]] / lengths[i]);
        }
    }

    /// Returns the number of identifiable constants.
    pub(crate) fn rank(&self) -> usize {
        self.order.len()
    }

    /// Moves `constants` by the step of Levenberg and Marquardt, δ = −(JᵀJ + diag(damping))⁻¹ Jᵀr in units of the
    /// columns' lengths, and returns by how much the sum of squares falls if the predictions are linear in the
    /// constants. A constant of infinite damping stays where it is.
    ///
    /// It returns `None`, and may have changed `constants`, if there is no such step in floating point.
    pub(crate) fn step(&mut self, damping: impl Fn(usize) -> f64, constants: &mut [f64]) -> Option<f64> {
        let Steps { order, lengths, matrix, vector, factor, solution, .. } = self;
        let n = order.len();
        factor.resize(n * n, 0.0);
        solution.clear();
        // Factorisation and forward substitution, row by row.
        for row in 0..n {
            let mut diagonal = matrix[row * n + row] + damping(order[row]);
            let mut value = vector[row];
            for column in 0..row {
                let mut entry = matrix[row * n + column];
                for k in 0..column {
                    entry -= factor[row * n + k] * factor[column * n + k];
                }
                entry /= factor[column * n + column];
                factor[row * n + column] = entry;
                diagonal -= entry * entry;
                value -= entry * solution[column];
            }
            let diagonal = diagonal.sqrt();
            factor[row * n + row] = diagonal;
            solution.push(value / diagonal);
        }
        for row in (0..n).rev() {
            let mut value = solution[row];
            for below in row + 1..n {
                value -= factor[below * n + row] * solution[below];
            }
            solution[row] = value / factor[row * n + row];
        }
        let mut fall = 0.0;
        for row in (0..n).filter(|&row| solution[row] != 0.0) {
            fall += solution[row] * (vector[row] + damping(order[row]) * solution[row]);
            constants[order[row]] -= solution[row] / lengths[row];
        }
        (fall.is_finite() && order.iter().all(|&constant| constants[constant].is_finite())).then_some(fall)
    }
}
