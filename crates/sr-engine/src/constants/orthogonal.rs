//! Least squares by reflections of the Jacobian, for constants that the normal equations cannot tell apart.

use crate::instance::power_of_two_near;

/// The smallest share of a column, that the columns before it do not explain, which is more than rounding. In the normal
/// equations it is squared, so that they end at 1e-5 where this begins.
const LEAST_SHARE: f64 = 1e-13;

/// The Jacobian J at one point and its residuals r, as Q R and Qᵀr, by Householder's reflections with exchange of columns
/// (Businger & Golub, 1965). Rows are exchanged too (Powell & Reid, 1969), so that no row of a small weight is lost in the
/// rounding of those with a large one. It owns the memory that this needs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Orthogonal {
    /// The columns of the fitted constants, then the residuals, `[constants + 1, rows]`. Columns have the length 1.
    columns: Vec<f64>,
    n_rows: usize,
    /// The constants in the order of their columns, the identifiable ones first.
    order: Vec<usize>,
    rank: usize,
    /// The lengths of the columns in units of their own, and these units, which are powers of two.
    lengths: Vec<f64>,
    units: Vec<f64>,
    /// The unit of the residuals.
    residual_unit: f64,
    /// Memory of one step: its matrix with the right-hand side, `[constants + 1, rows]`, and its solution.
    step: Vec<f64>,
    active: Vec<usize>,
    solution: Vec<f64>,
}

impl Orthogonal {
    /// Sets the point, for the constants that `linear` has, which tells the linear ones. Rows without a weight, a prediction
    /// or a derivative are left out. O(rows · constants²).
    ///
    /// - jacobian: `[constants, rows]`, there may be more constants
    pub(crate) fn set(
        &mut self,
        jacobian: &[f64],
        predictions: &[f64],
        y: &[f64],
        weights: Option<&[f64]>,
        linear: &[bool],
    ) {
        let (all, n) = (predictions.len(), linear.len());
        let Orthogonal { columns, order, lengths, units, .. } = self;
        let derivative = |constant: usize, row: usize| jacobian[constant * all + row];
        let weight = |row: usize| weights.map_or(1.0, |weights| weights[row]);
        let counts = |row: usize| {
            weight(row) > 0.0
                && predictions[row].is_finite()
                && (0..n).all(|constant| derivative(constant, row).is_finite())
        };
        columns.clear();
        order.clear();
        lengths.clear();
        units.clear();
        // Appends a column in a unit in which its largest number is about 1, and returns the unit.
        let append = |columns: &mut Vec<f64>, of: &dyn Fn(usize) -> f64| {
            let from = columns.len();
            columns.extend((0..all).filter(|&row| counts(row)).map(|row| of(row) * weight(row).sqrt()));
            let largest = columns[from..].iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
            let unit = power_of_two_near(largest).recip();
            columns[from..].iter_mut().for_each(|value| *value *= unit);
            unit
        };
        for constant in 0..n {
            let from = columns.len();
            let unit = append(columns, &|row| derivative(constant, row));
            let length = norm(&columns[from..]);
            if length > 0.0 && length.is_finite() {
                columns[from..].iter_mut().for_each(|value| *value /= length);
                order.push(constant);
                lengths.push(length);
                units.push(unit);
            } else {
                columns.truncate(from);
            }
        }
        let from = columns.len();
        self.residual_unit = append(columns, &|row| predictions[row] - y[row]);
        self.n_rows = columns.len() - from;
        let columns = order.len();
        self.rank = 0;
        while self.rank < columns.min(self.n_rows) && self.eliminate(linear) {
            self.rank += 1;
        }
    }

    /// Eliminates the column that is to come next, if one is identified.
    fn eliminate(&mut self, linear: &[bool]) -> bool {
        let (at, n, m) = (self.rank, self.order.len(), self.n_rows);
        let left = |column: usize| norm(&self.columns[column * m + at..(column + 1) * m]);
        let key = |column: usize| {
            let left = left(column);
            if linear[self.order[column]] && left > LEAST_SHARE { (true, left) } else { (false, left) }
        };
        let mut pivot = (at, key(at));
        for column in at + 1..n {
            let (is_linear, left) = key(column);
            if is_linear && !pivot.1.0 || is_linear == pivot.1.0 && left > pivot.1.1 {
                pivot = (column, (is_linear, left));
            }
        }
        let (column, (_, left)) = pivot;
        // A residual that is no number makes no step.
        if left.is_nan() || left <= LEAST_SHARE {
            return false;
        }
        self.order.swap(at, column);
        self.lengths.swap(at, column);
        self.units.swap(at, column);
        (0..if column == at { 0 } else { m }).for_each(|row| self.columns.swap(at * m + row, column * m + row));
        let size = |row: usize| self.columns[at * m + row].abs();
        let row = (at..m).fold(at, |largest, row| if size(row) > size(largest) { row } else { largest });
        (0..=n).for_each(|column| self.columns.swap(column * m + at, column * m + row));
        reflect(&mut self.columns, m, at, n + 1);
        true
    }

    /// Returns the identifiable constants, in the order of their columns.
    pub(crate) fn order(&self) -> &[usize] {
        &self.order[..self.rank]
    }

    /// Moves `constants` by the step δ that makes |J δ + r|² + Σ damping · δ² least, in units of the columns' lengths, and
    /// returns the fall as [`Steps::step`](super::solve::Steps::step) does.
    pub(crate) fn step(&mut self, damping: impl Fn(usize) -> f64, scale: f64, constants: &mut [f64]) -> Option<f64> {
        let Orthogonal { columns, n_rows: m, order, rank, lengths, units, residual_unit, step, active, solution } =
            self;
        let (m, rank, residuals) = (*m, *rank, order.len());
        active.clear();
        active.extend((0..rank).filter(|&column| damping(order[column]).is_finite()));
        let n = active.len();
        // The triangle, and a row for the damping of each constant.
        let rows = rank + n;
        step.clear();
        step.resize((n + 1) * rows, 0.0);
        for (to, &column) in active.iter().enumerate() {
            step[to * rows..to * rows + column + 1].copy_from_slice(&columns[column * m..column * m + column + 1]);
            step[to * rows + rank + to] = damping(order[column]).sqrt();
        }
        step[n * rows..n * rows + rank].copy_from_slice(&columns[residuals * m..residuals * m + rank]);
        (0..n).for_each(|at| reflect(step, rows, at, n + 1));
        solution.clear();
        solution.resize(n, 0.0);
        for row in (0..n).rev() {
            let mut value = step[n * rows + row];
            for column in row + 1..n {
                value -= step[column * rows + row] * solution[column];
            }
            solution[row] = value / step[row * rows + row];
        }
        let unit = scale / *residual_unit;
        let mut fall = 0.0;
        for row in 0..rank {
            let moved: f64 = (0..n).map(|at| triangle(columns, m, row, active[at]) * solution[at]).sum();
            fall += (moved * unit) * (columns[residuals * m + row] * unit);
        }
        for (at, &column) in active.iter().enumerate() {
            fall += damping(order[column]) * (solution[at] * unit) * (solution[at] * unit);
            constants[order[column]] -= solution[at] / lengths[column] * (units[column] / *residual_unit);
        }
        (fall.is_finite() && order.iter().all(|&constant| constants[constant].is_finite())).then_some(fall)
    }
}

/// An element of the triangle R, in columns of `m` numbers.
fn triangle(columns: &[f64], m: usize, row: usize, column: usize) -> f64 {
    if row <= column { columns[column * m + row] } else { 0.0 }
}

fn norm(values: &[f64]) -> f64 {
    values.iter().map(|value| value * value).sum::<f64>().sqrt()
}

/// Reflects the rows from `at` on, of columns of `m` numbers each, so that column `at` is 0 below row `at`; the columns after
/// it, up to `n`, change with it.
fn reflect(columns: &mut [f64], m: usize, at: usize, n: usize) {
    let (before, after) = columns.split_at_mut((at + 1) * m);
    let own = &mut before[at * m + at..];
    let length = norm(own);
    if length == 0.0 {
        return;
    }
    let diagonal = if own[0] > 0.0 { -length } else { length };
    own[0] -= diagonal;
    let square: f64 = own.iter().map(|value| value * value).sum();
    for column in after.chunks_exact_mut(m).take(n - at - 1) {
        let column = &mut column[at..];
        let product: f64 = own.iter().zip(&*column).map(|(own, value)| own * value).sum();
        let share = 2.0 * product / square;
        column.iter_mut().zip(&*own).for_each(|(value, own)| *value -= share * own);
    }
    own.fill(0.0);
    own[0] = diagonal;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The least squares of `columns` for y, from constants 0.
    fn solved(columns: &[Vec<f64>], y: &[f64], weights: Option<&[f64]>, damping: &[f64]) -> (Vec<f64>, usize) {
        let jacobian: Vec<f64> = columns.concat();
        let mut orthogonal = Orthogonal::default();
        orthogonal.set(&jacobian, &vec![0.0; y.len()], y, weights, &vec![true; columns.len()]);
        let mut constants = vec![0.0; columns.len()];
        orthogonal.step(|constant| damping[constant], 1.0, &mut constants).expect("a step");
        (constants, orthogonal.order().len())
    }

    #[test]
    fn columns_that_are_nearly_the_same_are_told_apart() {
        for offset in [0.0, 1e6, 20_240_101.0, 1.7e9, 1e11] {
            let x: Vec<f64> = (0..20).map(|i| offset + f64::from(i)).collect();
            let y: Vec<f64> = (0..20).map(|i| 3.0 + 0.5 * f64::from(i)).collect();
            let (constants, rank) = solved(&[vec![1.0; 20], x.clone()], &y, None, &[0.0; 2]);
            assert_eq!(rank, 2);
            // The rounding of a column is a share of its magnitude, not of its deviation.
            assert!((constants[1] - 0.5).abs() < 1e-15 * (1.0 + offset), "{constants:?} at {offset}");
            let (constants, rank) = solved(&[x.clone(), x.iter().map(|x| x / 3.0).collect()], &y, None, &[0.0; 2]);
            assert!(rank == 1 && constants.contains(&0.0), "{constants:?}");
        }
    }

    #[test]
    fn rows_of_small_weights_count_and_those_of_none_do_not() {
        let x = vec![1.0, 2.0, 3.0, 4.0, f64::NAN];
        let y = [2.0, 3.0, 5.0, 6.0, 1.0];
        // The first row is met; the slope is that of the others through it: Σ (x−1)(y−2) / Σ (x−1)².
        for weights in [[1e12, 1.0, 1.0, 1.0, 0.0], [1.0, 1e-18, 1e-18, 1e-18, 0.0]] {
            let (constants, rank) = solved(&[vec![1.0; 5], x.clone()], &y, Some(&weights), &[0.0; 2]);
            let slope = (1.0 + 6.0 + 12.0) / 14.0;
            assert!(rank == 2 && (constants[1] - slope).abs() < 1e-6, "{constants:?}");
            assert!((constants[0] + constants[1] - 2.0).abs() < 1e-9, "{constants:?}");
        }
    }

    #[test]
    fn units_are_of_no_account_and_damping_is_that_of_the_normal_equations() {
        let x: Vec<f64> = (1..=10).map(f64::from).collect();
        let y: Vec<f64> = x.iter().map(|x| 2.0 * x + 1.0).collect();
        for unit in [1e-300, 1e300] {
            let scaled: Vec<f64> = x.iter().map(|x| x * unit).collect();
            let (constants, _) = solved(&[vec![1.0; 10], scaled], &y, None, &[0.0; 2]);
            assert!((constants[0] - 1.0).abs() < 1e-12 && (constants[1] * unit - 2.0).abs() < 1e-12, "{constants:?}");
        }
        // Of one column x, of length 1: s (1 + d) = xᵀy / |x|.
        let square: f64 = x.iter().map(|x| x * x).sum();
        let product: f64 = x.iter().zip(&y).map(|(x, y)| x * y).sum();
        let (constants, _) = solved(std::slice::from_ref(&x), &y, None, &[3.0]);
        assert!((constants[0] - product / square / 4.0).abs() < 1e-13, "{constants:?}");
        let (constants, _) = solved(&[vec![1.0; 10], x.clone()], &y, None, &[0.0, f64::INFINITY]);
        assert!((constants[0] - 12.0).abs() < 1e-12 && constants[1] == 0.0, "{constants:?}");
    }
}
