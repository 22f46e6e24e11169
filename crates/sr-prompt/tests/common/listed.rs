//! Expressions whose constants are all listed.

use sr_expr::{Expr, Node};

/// Returns the expression with every constant replaced by a listed one.
pub(crate) fn listed(tree: &Expr, constants: &[f64]) -> Expr {
    let mut next = 0;
    let node = |node: &Node| match node {
        Node::Const(_) => {
            next += 1;
            Node::Const(constants[next % constants.len()])
        }
        &other => other,
    };
    Expr::new(tree.nodes().iter().map(node).collect()).expect("the shape is the same")
}
