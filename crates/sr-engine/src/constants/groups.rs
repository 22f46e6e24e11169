//! Constants of one tree fitted to many groups of rows at once: some are shared by all groups, others are each group's own.

use std::sync::Arc;

use sr_expr::{Columns, Gradient, Semantics, Tree};

use super::descent::touch;
use crate::Loss;
use crate::instance::Square;

/// The damping of the first step, in units of the diagonal of the equations, and the range of it.
const FIRST_DAMPING: f64 = 1e-3;
const LEAST_DAMPING: f64 = 1e-12;
const MOST_DAMPING: f64 = 1e12;
/// The factors of the damping after a step that was taken, and after one that was not.
const SHRINK: f64 = 0.1;
const GROWTH: f64 = 8.0;
/// The share of the loss by which steps have to lower it.
const LEAST_FALL: f64 = 1e-13;
/// Pivots below this, of a diagonal of ones, are rounding: the constant stays where it is.
const LEAST_PIVOT: f64 = 1e-12;

/// The rows of a group.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupRows {
    /// The variables, `[rows, variables]`.
    pub x: Columns,
    /// The target, `[rows]`.
    pub y: Vec<f64>,
    /// The weights, `[rows]`, in the same units for all groups; `None` counts all rows once.
    pub weights: Option<Vec<f64>>,
}

/// To whom a constant belongs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ConstantRole {
    /// Each group has its own.
    Group,
    /// All groups have the same.
    Shared,
    /// It stays as it is in the first group.
    Fixed,
}

/// Constants of groups, and how well they do.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupFit {
    /// The constants, `[groups, constants]`, in post-order.
    pub constants: Vec<Vec<f64>>,
    /// The weighted mean loss over the rows of all groups, infinite if a prediction is not finite.
    pub loss: f64,
}

/// Fits constants of trees to groups of rows, and owns the memory that this needs.
///
/// The steps are those of Levenberg (1944) and Marquardt (1963), of squares or of the parabolas that touch another loss. A
/// group's own constants are eliminated group by group (the Schur complement), so a step takes O(rows · (size +
/// constants²) + groups · constants³).
///
/// ```
/// use sr_engine::{ConstantRole, GroupFitter, GroupRows};
/// use sr_expr::{Columns, Expr, Semantics};
///
/// // y = a x + 5 with a = 1 and 2: the slope is a group's own, the offset is shared.
/// let x: Vec<f64> = (0..10).map(f64::from).collect();
/// let rows = |slope: f64| {
///     let y = x.iter().map(|x| slope * x + 5.0).collect();
///     GroupRows { x: Columns::new(10, 1, x.clone()), y, weights: None }
/// };
/// let mut fitter = GroupFitter::new(vec![rows(1.0), rows(2.0)], None);
/// let tree: Expr = "0.0*x0 + 0.0".parse()?;
/// let roles = [ConstantRole::Group, ConstantRole::Shared];
/// let fit = fitter.fit(&tree, Semantics::Ieee, &roles, vec![vec![0.5, 0.0], vec![0.5, 0.0]], 50);
/// assert!(fit.loss < 1e-20 && (fit.constants[1][0] - 2.0).abs() < 1e-9);
/// assert_eq!(fit.constants[0][1], fit.constants[1][1]);
/// # Ok::<(), sr_expr::ParseError>(())
/// ```
#[derive(Debug, Clone)]
pub struct GroupFitter {
    groups: Vec<GroupRows>,
    loss: Arc<dyn Loss>,
    /// The sum of all weights.
    weight: f64,
    gradient: Gradient<f64>,
    predictions: Vec<f64>,
    targets: Vec<f64>,
    curvatures: Vec<f64>,
}

/// The equations of one group: JᵀHJ and Jᵀg.
#[derive(Debug, Clone, Default)]
struct Equations {
    matrix: Vec<f64>,
    vector: Vec<f64>,
}

impl GroupFitter {
    /// Makes a fitter of groups and a loss; `None` is the square of the error.
    pub fn new(groups: Vec<GroupRows>, loss: Option<Arc<dyn Loss>>) -> Self {
        let weight_of = |group: &GroupRows| match &group.weights {
            Some(weights) => weights.iter().sum::<f64>(),
            None => group.y.len() as f64,
        };
        GroupFitter {
            weight: groups.iter().map(weight_of).sum(),
            groups,
            loss: loss.unwrap_or_else(|| Arc::new(Square)),
            gradient: Gradient::new(),
            predictions: Vec::new(),
            targets: Vec::new(),
            curvatures: Vec::new(),
        }
    }

    /// Returns the groups.
    pub fn groups(&self) -> &[GroupRows] {
        &self.groups
    }

    /// Returns the weighted mean loss of each group with its constants, `[groups, constants]`; infinite if a prediction is
    /// not finite, and 0 for a group without weight.
    ///
    /// # Panics
    /// Panics if a group has another number of constants than the tree.
    pub fn losses(&mut self, tree: &Tree, semantics: Semantics, constants: &[Vec<f64>]) -> Vec<f64> {
        let n_columns = self.groups.iter().map(|group| group.x.n_columns()).min().unwrap_or(0);
        self.gradient.compile(tree, semantics, n_columns);
        let of = |group: usize| {
            let (sum, weight) = self.sum(group, &constants[group]);
            if weight > 0.0 { sum / weight } else { sum }
        };
        (0..constants.len()).map(of).collect()
    }

    /// Returns the weighted mean loss over all rows.
    ///
    /// # Panics
    /// As [`losses`](Self::losses).
    pub fn loss(&mut self, tree: &Tree, semantics: Semantics, constants: &[Vec<f64>]) -> f64 {
        let n_columns = self.groups.iter().map(|group| group.x.n_columns()).min().unwrap_or(0);
        self.gradient.compile(tree, semantics, n_columns);
        self.mean(constants)
    }

    /// Fits the constants of `tree` from a start, `[groups, constants]`, in at most `steps` steps. Shared and fixed ones
    /// begin with those of the first group. The loss is never larger than that of the start; a start without a finite
    /// loss is returned as it is.
    ///
    /// # Panics
    /// Panics if there is not one role for each constant of the tree, and one start for each group.
    pub fn fit(
        &mut self,
        tree: &Tree,
        semantics: Semantics,
        roles: &[ConstantRole],
        start: Vec<Vec<f64>>,
        steps: u32,
    ) -> GroupFit {
        assert_eq!(start.len(), self.groups.len(), "one start for each group");
        let mut constants = start;
        let first = constants.first().cloned().unwrap_or_default();
        assert_eq!(roles.len(), tree.constants().count(), "one role for each constant");
        for own in &mut constants {
            (0..roles.len()).filter(|&at| roles[at] != ConstantRole::Group).for_each(|at| own[at] = first[at]);
        }
        let mut loss = self.loss(tree, semantics, &constants);
        if !loss.is_finite() || roles.iter().all(|role| *role == ConstantRole::Fixed) {
            return GroupFit { constants, loss };
        }
        let (mut damping, mut idle) = (FIRST_DAMPING, 0);
        let mut equations = self.equations(&constants);
        for _ in 0..steps {
            if damping > MOST_DAMPING || loss == 0.0 || idle > 2 {
                break;
            }
            let trial = stepped(&equations, roles, &constants, damping);
            let found = self.mean(&trial);
            if found < loss {
                idle = if loss - found < LEAST_FALL * loss { idle + 1 } else { 0 };
                (constants, loss) = (trial, found);
                damping = (damping * SHRINK).max(LEAST_DAMPING);
                equations = self.equations(&constants);
            } else {
                damping *= GROWTH;
            }
        }
        GroupFit { constants, loss }
    }

    fn mean(&mut self, constants: &[Vec<f64>]) -> f64 {
        let sum: f64 = (0..self.groups.len()).map(|group| self.sum(group, &constants[group]).0).sum();
        let mean = sum / self.weight;
        if mean.is_nan() { f64::INFINITY } else { mean }
    }

    /// Returns the weighted sum of the losses of a group, and the sum of its weights.
    fn sum(&mut self, group: usize, constants: &[f64]) -> (f64, f64) {
        let GroupFitter { groups, loss, gradient, predictions, .. } = self;
        let GroupRows { x, y, weights } = &groups[group];
        gradient.set_constants(constants);
        gradient.predict(x, predictions);
        if !predictions.iter().all(|p| p.is_finite()) {
            return (f64::INFINITY, 1.0);
        }
        let (mut sum, mut total) = (0.0, 0.0);
        for (row, (&prediction, &y)) in predictions.iter().zip(y).enumerate() {
            let weight = weights.as_ref().map_or(1.0, |weights| weights[row]);
            if weight > 0.0 {
                sum += weight * loss.loss(prediction, y);
                total += weight;
            }
        }
        (sum, total)
    }

    fn equations(&mut self, constants: &[Vec<f64>]) -> Vec<Equations> {
        let GroupFitter { groups, loss, gradient, predictions, targets, curvatures, .. } = self;
        let of = |(group, own): (&GroupRows, &Vec<f64>)| {
            gradient.set_constants(own);
            gradient.predict(&group.x, predictions);
            touch(&**loss, predictions, &group.y, group.weights.as_deref(), targets, curvatures);
            let normal = gradient.normal_equations(&group.x, targets, f64::INFINITY, Some(curvatures));
            Equations { matrix: normal.matrix().to_vec(), vector: normal.vector().to_vec() }
        };
        groups.iter().zip(constants).map(of).collect()
    }
}

/// Returns the constants after the step δ = −(JᵀHJ + damping · its diagonal)⁻¹ Jᵀg of all groups together.
fn stepped(equations: &[Equations], roles: &[ConstantRole], constants: &[Vec<f64>], damping: f64) -> Vec<Vec<f64>> {
    let n = roles.len();
    let of = |role: ConstantRole| (0..n).filter(|&at| roles[at] == role).collect::<Vec<usize>>();
    let (own, shared) = (of(ConstantRole::Group), of(ConstantRole::Shared));
    let (p, s) = (own.len(), shared.len());
    // The equations of shared constants, from which those of each group are subtracted.
    let (mut matrix, mut vector) = (vec![0.0; s * s], vec![0.0; s]);
    let mut diagonal = vec![0.0; s];
    let mut eliminated: Vec<(Vec<f64>, Vec<f64>)> = Vec::with_capacity(equations.len());
    for Equations { matrix: all, vector: all_vector } in equations {
        let block: Vec<f64> = (0..p * p)
            .map(|at| {
                let (row, column) = (own[at / p], own[at % p]);
                all[row * n + column] * if row == column { 1.0 + damping } else { 1.0 }
            })
            .collect();
        // Right-hand sides, one a column: the gradient, then the columns of the shared constants.
        let mut sides = vec![0.0; p * (1 + s)];
        for row in 0..p {
            sides[row * (1 + s)] = all_vector[own[row]];
            for column in 0..s {
                sides[row * (1 + s) + 1 + column] = all[own[row] * n + shared[column]];
            }
        }
        let solved = solve(block, sides.clone(), 1 + s);
        for row in 0..s {
            vector[row] += all_vector[shared[row]];
            diagonal[row] += all[shared[row] * n + shared[row]];
            for column in 0..s {
                matrix[row * s + column] += all[shared[row] * n + shared[column]];
            }
            for k in 0..p {
                let coupling = sides[k * (1 + s) + 1 + row];
                vector[row] -= coupling * solved[k * (1 + s)];
                for column in 0..s {
                    matrix[row * s + column] -= coupling * solved[k * (1 + s) + 1 + column];
                }
            }
        }
        eliminated.push((solved, sides));
    }
    (0..s).for_each(|at| matrix[at * s + at] += damping * diagonal[at]);
    let shared_step = solve(matrix, vector, 1);
    let moved = |(group, (solved, _)): (usize, &(Vec<f64>, Vec<f64>))| {
        let mut moved = constants[group].clone();
        for row in 0..p {
            let coupled: f64 = (0..s).map(|column| solved[row * (1 + s) + 1 + column] * shared_step[column]).sum();
            moved[own[row]] -= solved[row * (1 + s)] - coupled;
        }
        (0..s).for_each(|at| moved[shared[at]] -= shared_step[at]);
        moved
    };
    eliminated.iter().enumerate().map(moved).collect()
}

/// Solves M X = B for a symmetric, positive semi-definite M, `[n, n]`, and sides B, `[n, sides]`, by Cholesky. An unknown
/// without a pivot is 0.
fn solve(matrix: Vec<f64>, sides: Vec<f64>, n_sides: usize) -> Vec<f64> {
    let n = sides.len() / n_sides.max(1);
    let lengths: Vec<f64> = (0..n).map(|at| matrix[at * n + at].max(0.0).sqrt()).collect();
    let is_used = |at: usize| lengths[at] > 0.0 && lengths[at].is_finite();
    let scaled = |row: usize, column: usize| matrix[row * n + column] / lengths[row] / lengths[column];
    let mut factor = vec![0.0; n * n];
    let mut pivots = vec![false; n];
    for row in (0..n).filter(|&at| is_used(at)) {
        for column in (0..row).filter(|&at| is_used(at)) {
            if !pivots[column] {
                continue;
            }
            let mut entry = scaled(row, column);
            for k in 0..column {
                entry -= factor[row * n + k] * factor[column * n + k];
            }
            factor[row * n + column] = entry / factor[column * n + column];
        }
        let below: f64 = (0..row).map(|k| factor[row * n + k] * factor[row * n + k]).sum();
        let pivot = 1.0 - below;
        pivots[row] = pivot > LEAST_PIVOT;
        if pivots[row] {
            factor[row * n + row] = pivot.sqrt();
        } else {
            factor[row * n..(row + 1) * n].fill(0.0);
        }
    }
    let mut solution = vec![0.0; n * n_sides];
    for side in 0..n_sides {
        for row in (0..n).filter(|&at| pivots[at]) {
            let mut value = sides[row * n_sides + side] / lengths[row];
            for k in 0..row {
                value -= factor[row * n + k] * solution[k * n_sides + side];
            }
            solution[row * n_sides + side] = value / factor[row * n + row];
        }
        for row in (0..n).rev().filter(|&at| pivots[at]) {
            let mut value = solution[row * n_sides + side];
            for below in row + 1..n {
                value -= factor[below * n + row] * solution[below * n_sides + side];
            }
            solution[row * n_sides + side] = value / factor[row * n + row];
        }
        (0..n).filter(|&at| pivots[at]).for_each(|row| solution[row * n_sides + side] /= lengths[row]);
    }
    solution
}

#[cfg(test)]
mod tests {
    use sr_expr::Expr;

    use super::*;
    use crate::LossChoice;

    fn rows(n: i32, shift: f64, y: impl Fn(f64) -> f64) -> GroupRows {
        let x: Vec<f64> = (0..n).map(|i| f64::from(i) / 10.0 + shift).collect();
        let y = x.iter().map(|x| y(*x)).collect();
        GroupRows { x: Columns::new(x.len(), 1, x), y, weights: None }
    }

    fn decays() -> Vec<GroupRows> {
        let law = |a: f64, k: f64| move |x: f64| a * (-k * x).exp() + 0.7;
        vec![rows(20, 0.0, law(3.0, 0.5)), rows(30, 0.1, law(1.0, 2.0)), rows(25, 0.05, law(5.0, 1.2))]
    }

    #[test]
    fn shared_constants_are_found_beside_those_of_groups() {
        let tree: Expr = "1.0*exp(-1.0*x0) + 0.0".parse().expect("a tree");
        let roles = [ConstantRole::Group, ConstantRole::Group, ConstantRole::Shared];
        let fit =
            GroupFitter::new(decays(), None).fit(&tree, Semantics::Ieee, &roles, vec![vec![1.0, -1.0, 0.0]; 3], 100);
        assert!(fit.loss < 1e-20, "{fit:?}");
        for (own, expected) in fit.constants.iter().zip([[3.0, -0.5, 0.7], [1.0, -2.0, 0.7], [5.0, -1.2, 0.7]]) {
            assert!(own.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-7), "{fit:?}");
        }
    }

    #[test]
    fn a_joint_fit_is_that_of_one_tree_with_a_switch() {
        // Two groups of noisy lines with a shared slope: by hand, slope = Σ Sxy / Σ Sxx within groups.
        let noise = |x: f64| ((x * 7919.0).sin() * 1e4).fract();
        let groups = vec![rows(12, 0.0, |x| 2.0 * x + 1.0 + noise(x)), rows(17, 3.0, |x| 2.0 * x - 4.0 + noise(x))];
        let sums = |group: &GroupRows| {
            let n = group.y.len() as f64;
            let (mx, my) = (group.x.column(0).iter().sum::<f64>() / n, group.y.iter().sum::<f64>() / n);
            let pairs = || group.x.column(0).iter().zip(&group.y);
            let sxy: f64 = pairs().map(|(x, y)| (x - mx) * (y - my)).sum();
            let sxx: f64 = pairs().map(|(x, _)| (x - mx) * (x - mx)).sum();
            [sxy, sxx, mx, my]
        };
        let [a, b] = [sums(&groups[0]), sums(&groups[1])];
        let slope = (a[0] + b[0]) / (a[1] + b[1]);
        let tree: Expr = "0.0*x0 + 0.0".parse().expect("a tree");
        let roles = [ConstantRole::Shared, ConstantRole::Group];
        let fit = GroupFitter::new(groups, None).fit(&tree, Semantics::Ieee, &roles, vec![vec![0.0; 2]; 2], 50);
        assert!((fit.constants[0][0] - slope).abs() < 1e-10, "{fit:?} {slope}");
        assert!((fit.constants[1][1] - (b[3] - slope * b[2])).abs() < 1e-9, "{fit:?}");
    }

    #[test]
    fn fixed_constants_stay_and_other_losses_are_fitted_too() {
        let mut groups = decays();
        groups[1].y[3] += 100.0;
        let tree: Expr = "1.0*exp(-1.0*x0) + 0.0".parse().expect("a tree");
        let roles = [ConstantRole::Group, ConstantRole::Group, ConstantRole::Fixed];
        let start = vec![vec![1.0, -1.0, 0.7]; 3];
        let mae = LossChoice::Mae.loss(1.0);
        let mut fitter = GroupFitter::new(groups, mae);
        let fit = fitter.fit(&tree, Semantics::Ieee, &roles, start, 200);
        assert!(fit.constants.iter().all(|own| own[2] == 0.7), "{fit:?}");
        assert!((fit.loss - 100.0 / 75.0).abs() < 1e-3 && (fit.constants[1][1] + 2.0).abs() < 1e-3, "{fit:?}");
        assert_eq!(fitter.loss(&tree, Semantics::Ieee, &fit.constants), fit.loss);
        let losses = fitter.losses(&tree, Semantics::Ieee, &fit.constants);
        assert!(losses[0] < 1e-3 && losses[1] > 3.0);
    }

    #[test]
    fn constants_that_do_nothing_and_starts_without_a_loss_stay() {
        let groups = vec![rows(5, 1.0, |x| 2.0 * x), rows(5, 1.0, |x| 3.0 * x)];
        let mut fitter = GroupFitter::new(groups, None);
        let tree: Expr = "x0*1.0 + 0.0*(2.0 - 2.0)".parse().expect("a tree");
        let roles = [ConstantRole::Group, ConstantRole::Fixed, ConstantRole::Shared, ConstantRole::Shared];
        let fit = fitter.fit(&tree, Semantics::Ieee, &roles, vec![vec![1.0, 0.0, 2.0, 2.0]; 2], 30);
        assert!(fit.loss < 1e-20 && fit.constants[0][2] == 2.0, "{fit:?}");
        let tree: Expr = "1.0*log(x0 - 9.0)".parse().expect("a tree");
        let fit = fitter.fit(&tree, Semantics::Ieee, &[ConstantRole::Group; 2], vec![vec![1.0, 9.0]; 2], 30);
        assert_eq!(fit, GroupFit { constants: vec![vec![1.0, 9.0]; 2], loss: f64::INFINITY });
    }
}
