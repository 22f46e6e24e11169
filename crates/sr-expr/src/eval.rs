//! Evaluation over blocks of rows.
//!
//! The definition is [`crate::reference`]: every node applies its operator to its operands, row by row.
//! Here every node is applied to a whole block of rows before the next node, so that the interpreter's cost is paid
//! once a block and the loops over rows vectorise. Why the code differs from the definition:
//!
//! 1. Leaves are operands, not steps: a column is read in place, a constant stays a number.
//! 2. Results live in a stack of slots; an operator writes over the slot of its first operand that has one, so the
//!    stack is never higher than the tree is deep.
//! 3. No fused multiply-add anywhere: all instruction sets then give the same bits.

use std::ops::Range;

use crate::{Columns, Node, Op, Semantics, Tree};

/// Rows in a block: eight slots of 256 rows are 16 KiB and stay in the first-level cache.
pub const BLOCK_ROWS: usize = 256;

/// Memory that evaluation reuses; one per worker. It grows to the highest stack met and is never shrunk.
#[derive(Debug, Default, Clone)]
pub struct Scratch {
    slots: Vec<f64>,
    stack: Vec<Operand>,
}

/// What waits for its operator.
#[derive(Debug, Clone, Copy)]
enum Operand {
    Slot,
    Column(usize),
    Constant(f64),
}

/// Evaluates one block of at most [`BLOCK_ROWS`] rows, `[rows]`.
///
/// A variable that the data does not have is NaN. No allocation once `scratch` is warm. O(size · rows).
///
/// # Panics
/// If the range is longer than a block or reaches beyond the data.
pub fn eval_block<'a>(
    tree: &Tree,
    data: &'a Columns,
    rows: Range<usize>,
    semantics: Semantics,
    scratch: &'a mut Scratch,
) -> &'a [f64] {
    let n = rows.len();
    assert!(n <= BLOCK_ROWS && rows.end <= data.n_rows(), "rows {rows:?} of {}", data.n_rows());
    let Scratch { slots, stack } = scratch;
    stack.clear();
    let mut height = 0; // slots in use
    for &node in tree.nodes() {
        let result = match node {
            Node::Var(index) if usize::from(index) < data.n_columns() => Operand::Column(index.into()),
            Node::Var(_) => Operand::Constant(f64::NAN),
            Node::Const(value) => Operand::Constant(value),
            Node::Op(op) => {
                let b = stack.pop().expect("post-order");
                let a = if op.arity() == 2 { stack.pop().expect("post-order") } else { b };
                let held = [a, b][..op.arity()].iter().filter(|o| matches!(o, Operand::Slot)).count();
                let target = height - held;
                height = target + 1;
                if slots.len() < height * BLOCK_ROWS {
                    slots.resize(height * BLOCK_ROWS, 0.0);
                }
                let (out, above) = slots[target * BLOCK_ROWS..].split_at_mut(BLOCK_ROWS);
                let column = |index: usize| &data.column(index)[rows.clone()];
                apply(op, semantics, a, b, &mut out[..n], above.get(..n).unwrap_or(&[]), column);
                Operand::Slot
            }
        };
        stack.push(result);
    }
    match stack.pop().expect("an expression has a root") {
        Operand::Slot => &slots[..n],
        Operand::Column(index) => &data.column(index)[rows],
        Operand::Constant(value) => {
            slots.resize(slots.len().max(BLOCK_ROWS), 0.0);
            slots[..n].fill(value);
            &slots[..n]
        }
    }
}

/// The values of `tree` for every row of `data`, `[rows]`; `out` is overwritten.
pub fn predict(tree: &Tree, data: &Columns, semantics: Semantics, scratch: &mut Scratch, out: &mut Vec<f64>) {
    out.clear();
    for start in (0..data.n_rows()).step_by(BLOCK_ROWS) {
        let rows = start..(start + BLOCK_ROWS).min(data.n_rows());
        out.extend_from_slice(eval_block(tree, data, rows, semantics, scratch));
    }
}

/// One operator over one block. `above` is the slot of the second operand when both are slots.
#[inline]
fn apply<'a>(
    op: Op,
    semantics: Semantics,
    a: Operand,
    b: Operand,
    out: &mut [f64],
    above: &[f64],
    column: impl Fn(usize) -> &'a [f64],
) {
    // Each arm fixes operator and semantics, so that the loop inside has neither in it.
    macro_rules! dispatch {
        ($($variant:ident)*) => {
            match (op, semantics) {
                $((Op::$variant, Semantics::Ieee) =>
                    run(|a, b| Op::$variant.apply(Semantics::Ieee, a, b), op, a, b, out, above, column),
                (Op::$variant, Semantics::Protected) =>
                    run(|a, b| Op::$variant.apply(Semantics::Protected, a, b), op, a, b, out, above, column),)*
            }
        };
    }
    dispatch!(Add Sub Mul Div Pow Neg Abs Exp Log Sqrt Sin Cos Tan Inv Pow2 Pow3 Tanh Asin Acos Atan)
}

#[inline(always)]
fn run<'a>(
    f: impl Fn(f64, f64) -> f64,
    op: Op,
    a: Operand,
    b: Operand,
    out: &mut [f64],
    above: &[f64],
    column: impl Fn(usize) -> &'a [f64],
) {
    use Operand::{Column, Constant, Slot};
    if op.arity() == 1 {
        match a {
            Slot => out.iter_mut().for_each(|o| *o = f(*o, 0.0)),
            Column(a) => out.iter_mut().zip(column(a)).for_each(|(o, &a)| *o = f(a, 0.0)),
            Constant(a) => out.fill(f(a, 0.0)),
        }
        return;
    }
    match (a, b) {
        (Slot, Slot) => out.iter_mut().zip(above).for_each(|(o, &b)| *o = f(*o, b)),
        (Slot, Column(b)) => out.iter_mut().zip(column(b)).for_each(|(o, &b)| *o = f(*o, b)),
        (Slot, Constant(b)) => out.iter_mut().for_each(|o| *o = f(*o, b)),
        (Column(a), Slot) => out.iter_mut().zip(column(a)).for_each(|(o, &a)| *o = f(a, *o)),
        (Constant(a), Slot) => out.iter_mut().for_each(|o| *o = f(a, *o)),
        (Column(a), Column(b)) => {
            out.iter_mut().zip(column(a)).zip(column(b)).for_each(|((o, &a), &b)| *o = f(a, b));
        }
        (Column(a), Constant(b)) => out.iter_mut().zip(column(a)).for_each(|(o, &a)| *o = f(a, b)),
        (Constant(a), Column(b)) => out.iter_mut().zip(column(b)).for_each(|(o, &b)| *o = f(a, b)),
        (Constant(a), Constant(b)) => out.fill(f(a, b)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Expr, reference};

    #[test]
    fn leaves_long_data_and_missing_variables() {
        let n = 3 * BLOCK_ROWS + 7;
        let data = Columns::new(n, 1, (0..n).map(|i| i as f64).collect());
        let mut scratch = Scratch::default();
        let mut out = Vec::new();
        for text in ["x0", "2.5", "x7", "x0 - 1", "1 - x0", "(x0*x0) - (x0/3)", "sin(2)", "1 - (2 - (3 - (4 - x0)))"] {
            let expr: Expr = text.parse().expect(text);
            predict(&expr, &data, Semantics::Ieee, &mut scratch, &mut out);
            let expected = reference::predict(&expr, &data, Semantics::Ieee);
            assert!(out.iter().zip(&expected).all(|(a, b)| a.to_bits() == b.to_bits()), "{text}");
            assert_eq!(out.len(), n);
        }
    }
}
