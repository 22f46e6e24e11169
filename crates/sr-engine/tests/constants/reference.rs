//! The plain method: Levenberg–Marquardt with a dense Jacobian, row by row from dual numbers.

use sr_engine::Instance;
use sr_expr::{Expr, Node, Semantics, Tree, reference};

/// Returns a tree with other constants.
pub(crate) fn with_constants(tree: &Tree, constants: &[f64]) -> Expr {
    let mut constants = constants.iter();
    let node = |node: &Node| match node {
        Node::Const(_) => Node::Const(*constants.next().expect("a value for each constant")),
        &node => node,
    };
    Expr::new(tree.nodes().iter().map(node).collect()).expect("only constants were changed")
}

/// The residuals by the target's deviation, and their Jacobian, `[rows][constants]`.
fn linearise(tree: &Tree, instance: &Instance, semantics: Semantics) -> (Vec<f64>, Vec<Vec<f64>>) {
    let n_constants = tree.constants().count();
    let mut row = Vec::new();
    let (mut residuals, mut jacobian) = (Vec::new(), Vec::new());
    for (index, y) in instance.y().iter().enumerate() {
        let root = instance.weights().map_or(1.0, |weights| weights[index].sqrt()) / instance.scale();
        instance.x().copy_row(index, &mut row);
        residuals.push(root * (reference::eval_row(tree, &row, semantics) - y));
        let by = |constant: usize| root * reference::eval_row_dual(tree, &row, semantics, constant).1;
        jacobian.push((0..n_constants).map(by).collect());
    }
    (residuals, jacobian)
}

/// Solves a system by elimination with partial pivoting; `None` if it is singular.
fn eliminate(mut matrix: Vec<Vec<f64>>, mut vector: Vec<f64>) -> Option<Vec<f64>> {
    let n = vector.len();
    for column in 0..n {
        let pivot = (column..n).max_by(|&a, &b| matrix[a][column].abs().total_cmp(&matrix[b][column].abs()))?;
        matrix.swap(column, pivot);
        vector.swap(column, pivot);
        for row in column + 1..n {
            let factor = matrix[row][column] / matrix[column][column];
            for at in column..n {
                matrix[row][at] -= factor * matrix[column][at];
            }
            vector[row] -= factor * vector[column];
        }
    }
    for row in (0..n).rev() {
        let rest: f64 = (row + 1..n).map(|at| matrix[row][at] * vector[at]).sum();
        vector[row] = (vector[row] - rest) / matrix[row][row];
    }
    vector.iter().all(|value| value.is_finite()).then_some(vector)
}

/// Fits all constants alike: δ = −(JᵀJ + λ diag(JᵀJ))⁻¹ Jᵀr, λ a tenth of what it was after a step that lowers the
/// error and ten times as much after one that does not.
pub(crate) fn fit(tree: &Tree, instance: &Instance, semantics: Semantics, steps: u32) -> Expr {
    let squares = |residuals: &[f64]| residuals.iter().map(|residual| residual * residual).sum::<f64>();
    let mut best = tree.to_owned();
    let (mut residuals, mut jacobian) = linearise(&best, instance, semantics);
    let mut damping = 1e-2;
    for _ in 0..steps {
        let constants: Vec<f64> = best.constants().collect();
        let n = constants.len();
        let product = |a: usize, b: usize| jacobian.iter().map(|row| row[a] * row[b]).sum::<f64>();
        let entry = |a: usize, b: usize| product(a, b) * if a == b { 1.0 + damping } else { 1.0 };
        let matrix = (0..n).map(|a| (0..n).map(|b| entry(a, b)).collect()).collect();
        let vector = (0..n).map(|a| -jacobian.iter().zip(&residuals).map(|(row, r)| row[a] * r).sum::<f64>()).collect();
        damping *= 10.0;
        let Some(step) = eliminate(matrix, vector) else { continue };
        let moved: Vec<f64> = constants.iter().zip(&step).map(|(constant, step)| constant + step).collect();
        let trial = with_constants(tree, &moved);
        let at_trial = linearise(&trial, instance, semantics);
        if squares(&at_trial.0) < squares(&residuals) {
            (residuals, jacobian) = at_trial;
            best = trial;
            damping /= 100.0;
        }
    }
    best
}
