//! Expressions that are nested ten thousand times.

use std::time::Instant;

use sr_expr::{Expr, Node, Op, Semantics, Target, reference};

use crate::systems::{self, System, Work};

const DEPTH: usize = 10_000;

/// Chains whose values stay small.
fn chains() -> Vec<Expr> {
    let (x, y) = (Node::Var(0), Node::Var(1));
    let op = Node::Op;
    let unary = [vec![x], vec![op(Op::Sin); DEPTH]].concat();
    let right = [vec![x; DEPTH + 1], vec![op(Op::Sub); DEPTH]].concat();
    let left = [vec![x], [y, op(Op::Sub)].repeat(DEPTH)].concat();
    let quotients =
        [[x, Node::Const(4.0)].repeat(DEPTH / 2), vec![y], [op(Op::Sub), op(Op::Div)].repeat(DEPTH / 2)].concat();
    let signs = [vec![x], [op(Op::Neg), y, op(Op::Mul), op(Op::Cos)].repeat(DEPTH / 3)].concat();
    let powers = [vec![x], [op(Op::Pow2), op(Op::Tanh), op(Op::Cos)].repeat(DEPTH / 3)].concat();
    [unary, right, left, quotients, signs, powers].into_iter().map(|nodes| Expr::new(nodes).expect("a chain")).collect()
}

#[test]
fn deep_trees_are_exported_in_linear_time_without_recursion() {
    for semantics in [Semantics::Ieee, Semantics::Protected] {
        for expr in chains() {
            assert!(expr.depth() >= DEPTH - 2);
            for target in Target::ALL {
                let started = Instant::now();
                let text = expr.export(target, semantics).to_string();
                assert!(text.len() < 150 * expr.size(), "{target}: {} bytes", text.len());
                assert!(started.elapsed().as_secs() < 20, "{target}");
            }
        }
    }
}

#[test]
fn compilers_read_deep_functions() {
    let rows = [vec![0.25, 0.125], vec![1.5, -0.75]];
    let cases: Vec<(Expr, Semantics)> =
        chains().into_iter().flat_map(|e| [(e.clone(), Semantics::Ieee), (e, Semantics::Protected)]).collect();
    let names = ["a", "b"].map(String::from);
    let texts = |target| {
        let text = |(index, (expr, semantics)): (usize, &(Expr, Semantics))| {
            expr.export(target, *semantics).with_names(&names).with_function(&format!("f_{index}")).to_string()
        };
        cases.iter().enumerate().map(text).collect::<Vec<_>>()
    };
    let systems: [(Target, System); 3] =
        [(Target::Numpy, systems::numpy), (Target::Rust, systems::rust), (Target::C, systems::c)];
    for (target, system) in systems {
        let folder = tempfile::tempdir().expect("a folder");
        let Some(values) = system(folder.path(), &Work { texts: texts(target), rows: &rows }) else { continue };
        for ((expr, semantics), values) in cases.iter().zip(values) {
            for (row, value) in rows.iter().zip(values) {
                let expected = reference::eval_row(expr, row, *semantics);
                assert!((value - expected).abs() <= 1e-9 * expected.abs(), "{target}: {value} is not {expected}");
            }
        }
    }
}
