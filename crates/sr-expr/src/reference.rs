//! The definition of evaluation and of derivatives, one row at a time. Slow and clear; the machine and the gradient are
//! tested against it.

use crate::op::{MAX_EXPONENT, MAX_TAN, MIN_DIVISOR, MIN_INVERSE, MIN_LOG};
use crate::{Columns, Node, Op, Semantics, Tree};

/// Returns the value of `tree` for one row, `[variables]`. A variable that the row does not have is NaN.
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

/// Returns the values of `tree` for every row, `[rows]`.
pub fn predict(tree: &Tree, data: &Columns, semantics: Semantics) -> Vec<f64> {
    let mut row = Vec::new();
    (0..data.n_rows())
        .map(|index| {
            data.copy_row(index, &mut row);
            eval_row(tree, &row, semantics)
        })
        .collect()
}

/// Returns the derivatives of `op` with respect to its operands, at `a` and `b`; the second is 0 for unary operators.
///
/// Where a guard replaces an operand or a value, they are 0. [`Gradient`](crate::Gradient) lists the other conventions.
pub fn derivatives(op: Op, semantics: Semantics, a: f64, b: f64) -> [f64; 2] {
    let protected = semantics == Semantics::Protected;
    let v = op.apply(semantics, a, b);
    let of_a = match op {
        Op::Add => return [1.0, 1.0],
        Op::Sub => return [1.0, -1.0],
        Op::Mul => return [b, a],
        Op::Div if protected && b.abs() < MIN_DIVISOR => return [1.0 / MIN_DIVISOR, 0.0],
        Op::Div => return [1.0 / b, -v / b],
        Op::Pow => {
            let of_a = match a {
                0.0 if b == 1.0 => 1.0,
                0.0 if b > 1.0 || b == 0.0 => 0.0,
                0.0 => b * f64::INFINITY,
                _ => b * (v / a),
            };
            return [of_a, if a > 0.0 { v * libm::log(a) } else { v * 0.0 }];
        }
        Op::Neg => -1.0,
        Op::Abs if a == 0.0 || a.is_nan() => a,
        Op::Abs => a.signum(),
        Op::Exp if protected && a.abs() > MAX_EXPONENT => 0.0,
        Op::Exp => v,
        Op::Log if protected && a.abs() < MIN_LOG => 0.0,
        Op::Log => 1.0 / a,
        Op::Sqrt if protected && a < 0.0 => -0.5 / v,
        Op::Sqrt => 0.5 / v,
        Op::Sin => libm::cos(a),
        Op::Cos => -libm::sin(a),
        Op::Tan if protected && v.abs() >= MAX_TAN => 0.0,
        Op::Tan => 1.0 + v * v,
        Op::Inv if protected && a.abs() < MIN_INVERSE => 0.0,
        Op::Inv => -v * v,
        Op::Pow2 => 2.0 * a,
        Op::Pow3 => 3.0 * a * a,
        Op::Tanh => 1.0 - v * v,
        Op::Asin => 1.0 / ((1.0 - a) * (1.0 + a)).sqrt(),
        Op::Acos => -1.0 / ((1.0 - a) * (1.0 + a)).sqrt(),
        Op::Atan => 1.0 / (1.0 + a * a),
    };
    [of_a, 0.0]
}

/// Returns the value of `tree` for one row, `[variables]`, and its derivative with respect to constant `index` (in
/// post-order): the tree over dual numbers (forward mode; Wengert, 1964).
pub fn eval_row_dual(tree: &Tree, row: &[f64], semantics: Semantics, index: usize) -> (f64, f64) {
    let mut constants = 0;
    let mut stack: Vec<(f64, f64)> = Vec::new();
    for &node in tree.nodes() {
        let mut operand = || stack.pop().expect("operands come before their operator");
        let dual = match node {
            Node::Var(variable) => (row.get(usize::from(variable)).copied().unwrap_or(f64::NAN), 0.0),
            Node::Const(value) => {
                constants += 1;
                (value, if constants - 1 == index { 1.0 } else { 0.0 })
            }
            Node::Op(op) => {
                let (b, of_b) = if op.arity() == 2 { operand() } else { (f64::NAN, 0.0) };
                let (a, of_a) = operand();
                let [by_a, by_b] = derivatives(op, semantics, a, b);
                // The constant is in one operand at most. The other's derivative is 0, and 0 times infinity would be
                // NaN.
                let derivative = match (of_a, of_b) {
                    (0.0, 0.0) => 0.0,
                    (_, 0.0) => by_a * of_a,
                    _ => by_b * of_b,
                };
                (op.apply(semantics, a, b), derivative)
            }
        };
        stack.push(dual);
    }
    stack[0]
}
