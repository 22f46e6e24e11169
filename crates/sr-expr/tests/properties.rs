//! Properties of expressions.

use proptest::prelude::*;
use sr_expr::testing::{columns, expr, nodes};
use sr_expr::{Expr, Formula, Semantics, predict, reference};

/// Equal bits, any NaN equal to any other: the sign and payload of a NaN is not defined by IEEE 754.
fn same(a: f64, b: f64) -> bool {
    a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
}

proptest! {
    #[test]
    fn printed_text_parses_to_the_same_expression(e in expr(12, 40)) {
        prop_assert_eq!(e.to_string().parse::<Expr>().expect("printed"), e);
    }

    #[test]
    fn text_that_tells_the_meaning_parses_to_the_same_values(
        e in expr(3, 40),
        data in columns(2, 60),
        protected: bool,
    ) {
        let semantics = if protected { Semantics::Protected } else { Semantics::Ieee };
        let text = e.display(semantics).to_string();
        let read: Formula = text.parse().expect("printed");
        let meant = read.semantics.unwrap_or_default();
        prop_assert_eq!(read.expr.display(meant).to_string(), text, "a fixed point");
        let (out, expected) = (predict(&read.expr, &data, meant), predict(&e, &data, semantics));
        prop_assert!(out.iter().zip(&expected).all(|(a, b)| same(*a, *b)));
        prop_assert_eq!(read.expr, e);
    }

    #[test]
    fn evaluation_equals_the_reference(e in expr(3, 40), data in columns(2, 600), protected: bool) {
        let semantics = if protected { Semantics::Protected } else { Semantics::Ieee };
        let out = predict(&e, &data, semantics);
        let expected = reference::predict(&e, &data, semantics);
        prop_assert_eq!(out.len(), expected.len());
        for (row, (&a, &b)) in out.iter().zip(&expected).enumerate() {
            prop_assert!(same(a, b), "row {}: {} is not {} for {}", row, a, b, e);
        }
    }

    #[test]
    fn prefix_order_round_trips(e in expr(3, 40)) {
        prop_assert_eq!(Expr::from_prefix(&e.to_prefix()).expect("prefix"), e);
    }

    #[test]
    fn splicing_keeps_the_invariant(a in expr(3, 40), b in expr(3, 40), at: prop::sample::Index) {
        let node = at.index(a.size());
        let child = a.replaced(node, &b);
        prop_assert_eq!(child.size(), a.size() - a.subtree(node).size() + b.size());
        prop_assert_eq!(Expr::new(child.clone().into_nodes()).expect("valid"), child);
    }

    #[test]
    fn any_node_array_is_accepted_or_refused_without_a_panic(nodes in nodes(12)) {
        if let Ok(e) = Expr::new(nodes.clone()) {
            prop_assert!(e.depth() < e.size());
            prop_assert_eq!(e.subtree(e.size() - 1), &*e);
        }
        let _ = Expr::from_prefix(&nodes);
    }

    #[test]
    fn any_text_is_parsed_or_refused_without_a_panic(text in "[x0-9+*/() .,a-z^`|θ-]{0,40}") {
        if let Ok(read) = text.parse::<Formula>() {
            let printed = read.expr.display(read.semantics.unwrap_or_default()).to_string();
            prop_assert_eq!(printed.parse::<Formula>().expect("printed"), read);
        }
    }

    #[test]
    fn hashes_follow_equality(a in expr(2, 6), b in expr(2, 6)) {
        prop_assert_eq!(a == b, a.hash64() == b.hash64());
    }
}
