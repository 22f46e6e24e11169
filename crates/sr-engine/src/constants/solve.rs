//! The linear systems of a fit, solved for those constants only that the data identify.

use sr_expr::NormalEquations;

use super::orthogonal::Orthogonal;

/// The smallest pivot that is trusted, as a share of the largest one. Pivots are squares, so this is a share of 1e-5 of
/// a column of the Jacobian that the columns before it do not explain; the rounding of JᵀJ is far below it. The columns
/// of a constant and of numbers with a large offset, such as years or seconds since 1970, have less:
/// [`Orthogonal`] tells them apart.
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
    /// The point by another method, if that is the one to step from.
    orthogonal: Orthogonal,
    is_orthogonal: bool,
}

impl Steps {
    /// Forgets the point, so that no constant is identified.
    pub(crate) fn clear(&mut self) {
        self.is_orthogonal = false;
        self.order.clear();
    }

    /// Sets the point at which steps are computed for the first `linear.len()` constants; others are not moved.
    /// `linear` tells linear coefficients. O(constants³).
    pub(crate) fn set(&mut self, normal: &NormalEquations, linear: &[bool]) {
        let n = normal.n_constants();
        let (products, gradient) = (normal.matrix(), normal.vector());
        let Steps { order, lengths, matrix, vector, factor, left, .. } = self;
        self.is_orthogonal = false;
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

    /// Returns whether all linear coefficients are identifiable.
    pub(crate) fn has_all(&self, linear: &[bool]) -> bool {
        let identified = self.order.iter().filter(|&&constant| linear[constant]).count();
        identified == linear.iter().filter(|is_linear| **is_linear).count()
    }

    /// Steps from the Jacobian itself, after [`set`](Self::set) at the same point, if more constants are identifiable by it:
    /// see [`Orthogonal::set`].
    pub(crate) fn set_orthogonal(
        &mut self,
        jacobian: &[f64],
        predictions: &[f64],
        y: &[f64],
        weights: Option<&[f64]>,
        linear: &[bool],
    ) {
        self.orthogonal.set(jacobian, predictions, y, weights, linear);
        self.is_orthogonal = self.orthogonal.order().len() > self.order.len();
    }

    /// Returns the number of identifiable constants.
    pub(crate) fn rank(&self) -> usize {
        if self.is_orthogonal { self.orthogonal.order().len() } else { self.order.len() }
    }

    /// Moves `constants` by the step of Levenberg and Marquardt, δ = −(JᵀJ + diag(damping))⁻¹ Jᵀr in units of the
    /// columns' lengths, and returns by how much the sum of squares falls if the predictions are linear in the
    /// constants. A constant of infinite damping stays where it is.
    ///
    /// The fall is told in units in which errors are `scale` times as large, a power of two; in their own it may be no
    /// number.
    ///
    /// It returns `None`, and may have changed `constants`, if there is no such step in floating point.
    pub(crate) fn step(&mut self, damping: impl Fn(usize) -> f64, scale: f64, constants: &mut [f64]) -> Option<f64> {
        if self.is_orthogonal {
            return self.orthogonal.step(damping, scale, constants);
        }
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
            fall += (solution[row] * scale) * ((vector[row] + damping(order[row]) * solution[row]) * scale);
            constants[order[row]] -= solution[row] / lengths[row];
        }
        (fall.is_finite() && order.iter().all(|&constant| constants[constant].is_finite())).then_some(fall)
    }
}

#[cfg(test)]
mod tests {
    use sr_expr::{Columns, Expr, Gradient, Semantics};

    use super::*;

    /// The steps at the constants of a tree, the target being `y`.
    fn steps(text: &str, y: impl Fn(f64, f64) -> f64, linear: &[bool]) -> (Steps, Vec<f64>, f64) {
        let tree: Expr = text.parse().expect(text);
        let x = Columns::from_fn(20, 2, |row, column| ((row * (3 + 4 * column)) % 17) as f64);
        let y: Vec<f64> = x.column(0).iter().zip(x.column(1)).map(|(&a, &b)| y(a, b)).collect();
        let mut gradient = Gradient::new();
        gradient.compile(&tree, Semantics::Ieee, 2);
        let normal = gradient.normal_equations(&x, &y, f64::INFINITY, None);
        let mut steps = Steps::default();
        steps.set(normal, linear);
        (steps, tree.constants().collect(), normal.squares())
    }

    #[test]
    fn an_undamped_step_is_exact_for_linear_constants_of_any_magnitude() {
        let y = |a, b| 3.0 * a - 2e-9 * b + 5e7;
        let (mut steps, mut constants, squares) = steps("1.0*x0 + 1.0*(x1*1e-9) + 1e7", y, &[true, true, false, true]);
        // The second constant and the third do the same.
        assert_eq!(steps.rank(), 3);
        let fall = steps.step(|_| 0.0, 1.0, &mut constants).expect("a step");
        assert!((fall / squares - 1.0).abs() < 1e-6, "{fall} of {squares}");
        assert!((constants[0] - 3.0).abs() < 1e-6, "{constants:?}");
    }

    #[test]
    fn of_constants_that_do_the_same_the_linear_one_is_moved() {
        let (mut steps, mut constants, _) = steps("exp(0.0 + 0.01*x0)*2.0", |a, _| a, &[false, false, true]);
        assert_eq!(steps.rank(), 2);
        steps.step(|_| 0.0, 1.0, &mut constants).expect("a step");
        assert!(constants[0] == 0.0 && constants[1] != 0.01 && constants[2] != 2.0, "{constants:?}");
    }

    #[test]
    fn infinite_damping_holds_a_constant_and_large_damping_shortens_the_step() {
        let is_linear = [true, false];
        let step = |damping: f64| {
            let (mut steps, mut constants, _) = steps("2.0*sin(1.5*x0)", |a, _| (1.4 * a).sin(), &is_linear);
            let fall = steps.step(|constant| if is_linear[constant] { 0.0 } else { damping }, 1.0, &mut constants);
            (fall.expect("a step"), constants)
        };
        let ((free, _), (damped, at_damped), (held, at_held)) = (step(0.0), step(1.0), step(f64::INFINITY));
        assert!(free > damped && damped > held && held > 0.0, "{free} {damped} {held}");
        assert!(at_held[1] == 1.5 && at_held[0] != 2.0 && at_damped[1] != 1.5, "{at_held:?} {at_damped:?}");
    }

    #[test]
    fn without_a_point_or_derivatives_there_is_nothing_to_move() {
        let mut constants = [1.0];
        assert_eq!(Steps::default().step(|_| 0.0, 1.0, &mut constants), Some(0.0));
        let (mut steps, mut constants, _) = steps("0.0*sin(1.5)", |a, _| a, &[false, false]);
        steps.step(|_| 0.0, 1.0, &mut constants).expect("a step");
        assert_eq!((steps.rank(), constants[1]), (1, 1.5));
        steps.clear();
        assert_eq!(steps.rank(), 0);
    }
}
