//! Dense linear algebra in f64: orthonormal bases, annihilators and least squares.

use sr_expr::hash::mix;
use sr_simd::leveled;

/// A column whose part outside of the columns before it is smaller than this, relative to itself, depends on them.
const DEPENDENT: f64 = 1e-12;

/// The number of partial sums of a dot product: whole vectors of every instruction set, so that all of them round alike.
const LANES: usize = 8;

leveled! {
    /// Returns Σ aᵢ bᵢ of two slices of one length, in an order that does not depend on the machine.
    pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
        let mut lanes = [0.0; LANES];
        let (a_blocks, a_rest) = a.as_chunks::<LANES>();
        let (b_blocks, b_rest) = b.as_chunks::<LANES>();
        for (a, b) in a_blocks.iter().zip(b_blocks) {
            for lane in 0..LANES {
                lanes[lane] += a[lane] * b[lane];
            }
        }
        let rest: f64 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
        lanes.iter().sum::<f64>() + rest
    }
}

leveled! {
    /// Computes `to += factor · from`.
    fn add_scaled(to: &mut [f64], from: &[f64], factor: f64) {
        to.iter_mut().zip(from).for_each(|(to, from)| *to += factor * from);
    }
}

/// Returns the Euclidean norm.
pub(crate) fn norm(a: &[f64]) -> f64 {
    dot(a, a).sqrt()
}

/// Returns the norm of a column less its mean, which is what a + b·f cannot explain by a alone.
pub(crate) fn spread(a: &[f64]) -> f64 {
    let mean = a.iter().sum::<f64>() / a.len().max(1) as f64;
    a.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>().sqrt()
}

/// An orthonormal basis of the space of some columns, `[rows]` each.
///
/// It is made by modified Gram-Schmidt with a second pass, which is as accurate as Householder's method ("twice is
/// enough", Giraud, Langou & Rozložník, 2005).
#[derive(Debug, Clone)]
pub(crate) struct Basis {
    rows: usize,
    vectors: Vec<Vec<f64>>,
}

impl Basis {
    pub(crate) fn new(rows: usize) -> Self {
        Basis { rows, vectors: Vec::new() }
    }

    /// Makes the basis of columns; those that are not finite or depend on earlier ones add nothing. O(rows · columns²).
    pub(crate) fn of<'a>(rows: usize, columns: impl IntoIterator<Item = &'a [f64]>) -> Self {
        let mut basis = Basis::new(rows);
        for column in columns {
            basis.add(column);
        }
        basis
    }

    /// Adds the direction of one more column, and returns whether there was one.
    pub(crate) fn add(&mut self, column: &[f64]) -> bool {
        let before = norm(column);
        if !(before.is_finite() && before > 0.0) {
            return false;
        }
        let mut rest: Vec<f64> = column.iter().map(|v| v / before).collect();
        self.remove_from(&mut rest);
        let after = norm(&rest);
        if after < DEPENDENT {
            return false;
        }
        rest.iter_mut().for_each(|v| *v /= after);
        // What is left of a nearly dependent column has to be made orthogonal once more at its own scale.
        self.remove_from(&mut rest);
        let after = norm(&rest);
        rest.iter_mut().for_each(|v| *v /= after);
        self.vectors.push(rest);
        true
    }

    /// Returns the number of dimensions.
    pub(crate) fn dimensions(&self) -> usize {
        self.vectors.len()
    }

    fn remove_from(&self, column: &mut [f64]) {
        for _ in 0..2 {
            for vector in &self.vectors {
                let along = dot(vector, column);
                add_scaled(column, vector, -along);
            }
        }
    }

    /// Returns the part of a column outside of the space.
    pub(crate) fn residual(&self, column: &[f64]) -> Vec<f64> {
        let mut rest = column.to_vec();
        self.remove_from(&mut rest);
        rest
    }

    /// Returns `n` orthonormal vectors outside of the space, the same for every run, or `None` if there is no room.
    ///
    /// A column of the space has a dot product of 0 with each of them, so one product rejects nearly every other column.
    pub(crate) fn annihilators(&self, n: usize) -> Option<Vec<Vec<f64>>> {
        if self.rows < self.dimensions() + n {
            return None;
        }
        let mut all = self.clone();
        let mut state = 0;
        // A direction drawn at random lies in the space with probability 0, the bound is for safety alone.
        for _ in 0..4 * n {
            let draw = (0..self.rows).map(|_| {
                state = mix(state, 1);
                (state >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
            });
            all.add(&draw.collect::<Vec<f64>>());
            if all.dimensions() == self.dimensions() + n {
                return Some(all.vectors.split_off(self.dimensions()));
            }
        }
        None
    }
}

/// The coefficients of a least-squares fit.
#[derive(Debug, Clone)]
pub(crate) struct Fit {
    /// The coefficients, `[columns]`; 0 for a column that depends on those before it.
    pub(crate) coefficients: Vec<f64>,
    /// The norm of the residual.
    pub(crate) residual: f64,
    /// The diagonal of (AᵀA)⁻¹, `[columns]`: times the variance of the noise, it is the variance of the coefficients.
    pub(crate) variances: Vec<f64>,
}

/// Fits Σ cᵢ · columnᵢ to a target by QR with one step of refinement. O(rows · columns²).
pub(crate) fn least_squares(columns: &[Vec<f64>], target: &[f64]) -> Option<Fit> {
    let (rows, n) = (target.len(), columns.len());
    if n > rows || !columns.iter().flatten().chain(target).all(|v| v.is_finite()) {
        return None;
    }
    let mut basis = Basis::new(rows);
    // used[k] is the column behind vector k.
    let used: Vec<usize> = (0..n).filter(|&i| basis.add(&columns[i])).collect();
    let k = used.len();
    let r: Vec<Vec<f64>> =
        (0..k).map(|i| (i..k).map(|j| dot(&basis.vectors[i], &columns[used[j]])).collect()).collect();
    let solve = |target: &[f64]| {
        let mut rest = target.to_vec();
        let mut along = vec![0.0; k];
        for _ in 0..2 {
            for (along, vector) in along.iter_mut().zip(&basis.vectors) {
                let step = dot(vector, &rest);
                *along += step;
                add_scaled(&mut rest, vector, -step);
            }
        }
        for i in (0..k).rev() {
            let sum: f64 = (i + 1..k).map(|j| r[i][j - i] * along[j]).sum();
            along[i] = (along[i] - sum) / r[i][0];
        }
        along
    };
    let mut solution = solve(target);
    let mut rest = residual(columns, &used, &solution, target);
    let step = solve(&rest);
    solution.iter_mut().zip(step).for_each(|(c, step)| *c += step);
    rest = residual(columns, &used, &solution, target);
    let (mut coefficients, mut variances) = (vec![0.0; n], vec![f64::INFINITY; n]);
    // Row i of R⁻¹, whose squared norm is the diagonal element of (RᵀR)⁻¹.
    let mut inverse = vec![vec![0.0; k]; k];
    for column in 0..k {
        for i in (0..=column).rev() {
            let sum: f64 = (i + 1..=column).map(|j| r[i][j - i] * inverse[j][column]).sum();
            inverse[i][column] = (f64::from(u8::from(i == column)) - sum) / r[i][0];
        }
    }
    for (i, &column) in used.iter().enumerate() {
        coefficients[column] = solution[i];
        variances[column] = dot(&inverse[i], &inverse[i]);
    }
    Some(Fit { coefficients, residual: norm(&rest), variances })
}

fn residual(columns: &[Vec<f64>], used: &[usize], solution: &[f64], target: &[f64]) -> Vec<f64> {
    let mut rest = target.to_vec();
    for (&column, &c) in used.iter().zip(solution) {
        add_scaled(&mut rest, &columns[column], -c);
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn powers(n: usize, degree: i32) -> Vec<Vec<f64>> {
        let x = |row: usize| 1.0 + 4.0 * row as f64 / n as f64;
        (0..=degree).map(|p| (0..n).map(|row| x(row).powi(p)).collect()).collect()
    }

    #[test]
    fn polynomials_are_fitted_to_rounding() {
        let columns = powers(40, 5);
        let truth = [3.0, 0.0, -2.0, 0.5, 0.0, 1.0];
        let target: Vec<f64> =
            (0..40).map(|row| truth.iter().zip(&columns).map(|(c, column)| c * column[row]).sum()).collect();
        let fit = least_squares(&columns, &target).expect("a fit");
        assert!(fit.residual < 1e-13 * norm(&target));
        for (got, want) in fit.coefficients.iter().zip(truth) {
            assert!((got - want).abs() < 1e-8, "{got} for {want}");
        }
    }

    #[test]
    fn annihilators_are_orthogonal_to_the_space_only() {
        let columns = powers(40, 5);
        let basis = Basis::of(40, columns.iter().map(Vec::as_slice));
        let annihilators = basis.annihilators(4).expect("room for four");
        for a in &annihilators {
            assert!((norm(a) - 1.0).abs() < 1e-14);
            assert!(columns.iter().all(|column| dot(a, column).abs() < 1e-14 * norm(column)));
        }
        assert!(dot(&annihilators[0], &powers(40, 9)[9]).abs() > 1.0);
        assert!(basis.annihilators(35).is_none());
    }

    #[test]
    fn columns_that_depend_on_others_get_no_coefficient() {
        let mut columns = powers(20, 1);
        columns.push(columns[1].iter().map(|v| 2.0 * v + 1.0).collect());
        let fit = least_squares(&columns, &columns[2]).expect("a fit");
        assert!((fit.coefficients[1] - 2.0).abs() < 1e-12 && fit.coefficients[2] == 0.0);
        assert!(least_squares(&columns, &[f64::NAN; 20]).is_none());
    }

    #[test]
    fn variances_are_those_of_the_normal_equations() {
        // For a straight line, the variance of the slope is 1 / Σ (x - mean)².
        let columns = powers(20, 1);
        let fit = least_squares(&columns, &columns[1]).expect("a fit");
        assert!((fit.variances[1] * spread(&columns[1]).powi(2) - 1.0).abs() < 1e-12);
    }
}
