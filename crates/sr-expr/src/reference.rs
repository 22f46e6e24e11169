//! The definition of evaluation, one row at a time. Slow and clear; the block evaluator is tested against it.

use crate::{Columns, Node, Semantics, Tree};

/// The value of `tree` for one row, `[variables]`. A variable that the row does not have is NaN.
pub fn eval_row(tree: &Tree, row: &[f64], semantics: Semantics) -> f64 {
    eval_node(tree, tree.size() - 1, row, semantics)
}

fn eval_node(tree: &Tree, node: usize, row: &[f64], semantics: Semantics) -> f64 {
    match tree.nodes()[node] {
        Node::Var(index) => row.get(usize::from(index)).copied().unwrap_or(f64::NAN),
        Node::Const(value) => value,
        Node::Op(op) if op.arity() == 1 => op.apply(semantics, eval_node(tree, node - 1, row, semantics), f64::NAN),
        Node::Op(op) => {
            let a = eval_node(tree, tree.subtree_start(node - 1) - 1, row, semantics);
            let b = eval_node(tree, node - 1, row, semantics);
            op.apply(semantics, a, b)
        }
    }
}

/// The values of `tree` for every row, `[rows]`.
pub fn predict(tree: &Tree, data: &Columns, semantics: Semantics) -> Vec<f64> {
    let mut row = Vec::new();
    (0..data.n_rows())
        .map(|index| {
            data.copy_row(index, &mut row);
            eval_row(tree, &row, semantics)
        })
        .collect()
}
