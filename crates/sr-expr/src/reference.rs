//! The definition of evaluation, one row at a time. Slow and clear; the machine is tested against it.

use crate::{Columns, Node, Semantics, Tree};

/// The value of `tree` for one row, `[variables]`. A variable that the row does not have is NaN.
pub fn eval_row(tree: &Tree, row: &[f64], semantics: Semantics) -> f64 {
    let mut stack = Vec::new();
    for &node in tree.nodes() {
        let mut operand = || stack.pop().expect("operands come before their operator");
        let value = match node {
            Node::Var(index) => row.get(usize::from(index)).copied().unwrap_or(f64::NAN),
            Node::Const(value) => value,
            Node::Op(op) if op.arity() == 1 => op.apply(semantics, operand(), f64::NAN),
            Node::Op(op) => {
                let b = operand();
                let a = operand();
                op.apply(semantics, a, b)
            }
        };
        stack.push(value);
    }
    stack[0]
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
