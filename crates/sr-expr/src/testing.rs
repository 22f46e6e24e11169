//! Strategies for property tests (feature `testing`).

use proptest::prelude::*;

use crate::{Columns, Expr, Node, Op};

/// Returns an expression over `n_variables` variables with at most `max_size` nodes and any operator.
pub fn expr(n_variables: u16, max_size: usize) -> impl Strategy<Value = Expr> {
    expr_of(Op::ALL.to_vec(), n_variables, max_size)
}

/// Returns an expression like [`expr`], with these operators only.
pub fn expr_of(ops: Vec<Op>, n_variables: u16, max_size: usize) -> impl Strategy<Value = Expr> {
    let leaf = prop_oneof![
        3 => (0..n_variables.max(1)).prop_map(Expr::var),
        1 => constant().prop_map(Expr::constant),
    ];
    leaf.prop_recursive(8, max_size as u32, 2, move |inner| {
        let ops = ops.clone();
        (proptest::sample::select(ops), inner.clone(), inner).prop_map(|(op, a, b)| match op.arity() {
            1 => Expr::unary(op, &a),
            _ => Expr::binary(op, &a, &b),
        })
    })
    .prop_filter("size", move |e| e.size() <= max_size)
}

/// Returns a finite constant of either sign, small ones often, extreme ones sometimes.
pub fn constant() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => (-100..=100i32).prop_map(|n| f64::from(n) / 8.0),
        1 => proptest::num::f64::NORMAL | proptest::num::f64::SUBNORMAL | proptest::num::f64::ZERO,
    ]
}

/// Returns a table of `n_variables` columns and 1 to `max_rows` rows, with infinities and NaN now and then.
pub fn columns(n_variables: usize, max_rows: usize) -> impl Strategy<Value = Columns> {
    let value = prop_oneof![8 => -10.0..10.0f64, 1 => proptest::num::f64::ANY];
    (1..=max_rows).prop_flat_map(move |rows| {
        proptest::collection::vec(value.clone(), rows * n_variables)
            .prop_map(move |values| Columns::new(rows, n_variables, values))
    })
}

/// Returns any array of nodes, valid or not.
pub fn nodes(max_len: usize) -> impl Strategy<Value = Vec<Node>> {
    let node = prop_oneof![
        (0..4u16).prop_map(Node::Var),
        constant().prop_map(Node::Const),
        proptest::sample::select(Op::ALL.to_vec()).prop_map(Node::Op),
    ];
    proptest::collection::vec(node, 0..=max_len)
}
