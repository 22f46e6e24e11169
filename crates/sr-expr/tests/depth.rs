//! Expressions of any depth: what is done with them takes no stack.

use sr_expr::{Expr, Formula, Node, Op, Semantics, Simplified, Target};

#[test]
fn any_depth_is_exported() {
    const DEPTH: usize = 20_000;
    let x0 = Node::Var(0);
    let unary = [vec![x0], vec![Node::Op(Op::Log); DEPTH]].concat();
    let right = [vec![x0; DEPTH + 1], vec![Node::Op(Op::Pow); DEPTH]].concat();
    let left = [vec![x0], [x0, Node::Op(Op::Div)].repeat(DEPTH)].concat();
    let squares = [vec![x0], [Node::Op(Op::Pow2), Node::Op(Op::Neg)].repeat(DEPTH / 2)].concat();
    for nodes in [unary, right, left, squares] {
        let expr = Expr::new(nodes).expect("a chain");
        for semantics in [Semantics::Ieee, Semantics::Protected] {
            for target in Target::ALL {
                let text = expr.export(target, semantics).to_string();
                assert!((DEPTH..200 * DEPTH).contains(&text.len()), "{target}: {} bytes", text.len());
            }
        }
        assert_eq!(Simplified::new(&expr, 0.0), None);
        assert_eq!(expr.clone().depth(), DEPTH);
        assert!(expr.skeleton().len() > DEPTH && expr.structure() != 0 && expr.core().size() >= DEPTH);
    }
}

#[test]
fn long_texts_that_are_no_formula_are_refused_where_they_end() {
    for text in ["x0 + ", "sin(", "x0*(", "-", "+", "(", "pow(x0,"] {
        let text = text.repeat(100_000);
        let error = text.parse::<Formula>().expect_err("it has no end");
        assert_eq!(error.position, text.len(), "{error}");
        assert!(error.to_string().len() < 300, "{error}");
    }
}
