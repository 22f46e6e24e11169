//! Tests of fingerprints: they are the same however a function is written, and differ between functions.

use std::sync::Arc;

use proptest::prelude::*;
use sr_engine::random::{Key, Purpose};
use sr_expr::testing::{expr, expr_of};
use sr_expr::{Columns, Expr, Node, Op, Semantics, Tree, reference};
use sr_problems::{Blocklist, Fingerprint, Generator, ProblemSet, Provenance, RandomParams, parse_operators};
use tempfile::tempdir;

fn rename(formula: &Tree, names: &[u16]) -> Expr {
    let node = |&node: &Node| if let Node::Var(index) = node { Node::Var(names[usize::from(index)]) } else { node };
    Expr::new(formula.nodes().iter().map(node).collect()).unwrap()
}

/// Returns the formula with the operands of every sum and product exchanged.
fn commuted(formula: &Tree) -> Expr {
    let root = formula.size() - 1;
    match formula.nodes()[root] {
        Node::Op(op) if op.arity() == 1 => Expr::unary(op, &commuted(formula.subtree(root - 1))),
        Node::Op(op) => {
            let b = formula.subtree(root - 1);
            let a = commuted(formula.subtree(root - 1 - b.size()));
            let b = commuted(b);
            if matches!(op, Op::Add | Op::Mul) { Expr::binary(op, &b, &a) } else { Expr::binary(op, &a, &b) }
        }
        leaf => Expr::leaf(leaf),
    }
}

/// Returns the formula with squares, quotients and products of sums written otherwise.
fn rewritten(formula: &Tree) -> Expr {
    let root = formula.size() - 1;
    match formula.nodes()[root] {
        Node::Op(op) if op.arity() == 1 => {
            let a = rewritten(formula.subtree(root - 1));
            match op {
                Op::Pow2 => Expr::binary(Op::Mul, &a, &a),
                Op::Inv => Expr::binary(Op::Div, &Expr::constant(1.0), &a),
                op => Expr::unary(op, &a),
            }
        }
        Node::Op(op) => {
            let b = formula.subtree(root - 1);
            let a = rewritten(formula.subtree(root - 1 - b.size()));
            let b = rewritten(b);
            match (op, a.nodes().last()) {
                (Op::Div, _) => Expr::binary(Op::Mul, &a, &Expr::unary(Op::Inv, &b)),
                (Op::Mul, Some(Node::Op(Op::Add))) => {
                    let second = a.subtree(a.size() - 2);
                    let first = a.subtree(a.size() - 2 - second.size());
                    let product = |a: &Tree| Expr::binary(Op::Mul, a, &b);
                    Expr::binary(Op::Add, &product(first), &product(second))
                }
                _ => Expr::binary(op, &a, &b),
            }
        }
        leaf => Expr::leaf(leaf),
    }
}

/// Formulas without cancellation, which would blow rounding up to any size.
fn well_conditioned(ops: &[Op]) -> impl Strategy<Value = Expr> {
    let moderate = |formula: &Expr| formula.constants().all(|c| (0.1..100.0).contains(&c));
    expr_of(ops.to_vec(), 4, 15).prop_filter("constants", moderate)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn names_and_the_order_of_operands_do_not_count(
        formula in expr(6, 30),
        names in Just((0..9_u16).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let fingerprint = Fingerprint::of(&formula);
        prop_assert!(fingerprint.same(&fingerprint));
        let other = commuted(&rename(&formula, &names));
        prop_assert!(Fingerprint::of(&other).same(&fingerprint), "{} and {}", formula, other);
        let mut blocklist = Blocklist::default();
        blocklist.insert(&formula);
        prop_assert!(blocklist.contains(&other));
    }

    #[test]
    fn the_way_of_writing_does_not_count(
        formula in well_conditioned(&[Op::Add, Op::Mul, Op::Div, Op::Pow2, Op::Inv, Op::Sqrt, Op::Atan]),
    ) {
        let other = rewritten(&formula);
        prop_assert!(Fingerprint::of(&other).same(&Fingerprint::of(&formula)), "{} and {}", formula, other);
    }

    #[test]
    fn another_constant_is_another_function(formula in well_conditioned(&[Op::Add, Op::Mul, Op::Sin])) {
        let shifted = |by| Expr::binary(Op::Add, &Expr::constant(by), &Expr::unary(Op::Sin, &formula));
        prop_assert!(!Fingerprint::of(&shifted(1.0)).same(&Fingerprint::of(&shifted(1.000_001))));
    }
}

fn generator(complexity: f64) -> Generator {
    let operators = parse_operators("+,-,*,/,neg,pow2").unwrap();
    Generator::new(RandomParams::arith(operators, vec![1.0], complexity, 11)).unwrap()
}

/// Returns whether some exchange of three variables makes the values equal at points that no fingerprint uses.
fn equal_somehow(a: &Tree, b: &Tree, x: &Columns) -> bool {
    let values = |formula: &Tree| reference::predict(formula, x, Semantics::Ieee);
    let expected = values(a);
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    orders.iter().any(|names| {
        let found = values(&rename(b, names));
        let equal = |(a, b): (&f64, &f64)| (a.is_nan() && b.is_nan()) || a == b || (a - b).abs() < 1e-7 * a.abs();
        expected.iter().zip(&found).all(equal)
    })
}

#[test]
fn fingerprints_agree_with_values_at_other_points() {
    let set = generator(0.25).generate(300, || ()).unwrap();
    let formulas: Vec<&Expr> = set.problems.iter().map(|problem| problem.source.as_ref().unwrap()).collect();
    let fingerprints: Vec<Fingerprint> = formulas.iter().map(|formula| Fingerprint::of(formula)).collect();
    let mut rng = Key::new(0, Purpose::Evaluation, 0).rng();
    let values = (0..3 * 30).map(|_| rng.uniform(-3.0, 3.0)).collect();
    let x = Columns::new(30, 3, values);
    let mut n_same = 0;
    for i in 0..formulas.len() {
        for j in 0..i {
            let same = fingerprints[i].same(&fingerprints[j]);
            assert_eq!(same, equal_somehow(formulas[i], formulas[j], &x), "{} and {}", formulas[i], formulas[j]);
            n_same += i32::from(same);
        }
    }
    assert!(n_same > 30, "{n_same} equal pairs show nothing");
}

fn bytes(set: &ProblemSet) -> Vec<u8> {
    let folder = tempdir().unwrap();
    let path = folder.path().join("set.sr");
    set.write(&path).unwrap();
    assert_eq!(&ProblemSet::read(&path).unwrap(), set);
    std::fs::read(path).unwrap()
}

#[test]
fn excluded_formulas_are_replaced_and_the_others_stay() {
    let plain = generator(0.25).generate(60, || ()).unwrap();
    let test = ProblemSet { problems: plain.problems[..6].to_vec(), ..plain.clone() };
    let generate = |count| {
        let mut blocklist = Blocklist::default();
        blocklist.add("test.sr", &test).unwrap();
        let blocklist = Arc::new(blocklist);
        let set = generator(0.25).excluding(blocklist.clone()).generate(count, || ()).unwrap();
        (set, blocklist)
    };
    let (set, blocklist) = generate(60);
    let mut replaced = 0;
    for (problem, before) in set.problems.iter().zip(&plain.problems) {
        assert_eq!(problem.id, before.id);
        assert!(!blocklist.contains(problem.source.as_ref().unwrap()), "{}", problem.id);
        let was_on_it = blocklist.contains(before.source.as_ref().unwrap());
        assert_eq!(problem == before, !was_on_it, "{}", problem.id);
        replaced += u64::from(was_on_it);
    }
    assert!(replaced >= 6 && blocklist.excluded() >= replaced, "{replaced} replaced, {}", blocklist.excluded());
    assert_eq!((&generate(60).0, generate(60).1.excluded()), (&set, blocklist.excluded()));
    assert_eq!(generate(20).0.problems, set.problems[..20]);
    let Provenance::Random(params) = &set.params.origin else { panic!("{:?}", set.params.origin) };
    assert_eq!((&*params.exclude[0].name, params.exclude[0].formulas), ("test.sr", 6));
    assert_eq!(bytes(&set), bytes(&generate(60).0));
}

#[test]
fn nothing_left_to_draw_is_an_error() {
    let params = RandomParams { max_variables: 1, ..RandomParams::arith(vec![Op::Add], vec![], 0.0, 0) };
    let mut blocklist = Blocklist::default();
    ["x0", "x0 + x0", "3*x0"].iter().for_each(|text| blocklist.insert(&text.parse::<Expr>().unwrap()));
    let error = Generator::new(params).unwrap().excluding(Arc::new(blocklist)).problem(0).unwrap_err().to_string();
    assert!(error.contains("not excluded"), "{error}");
}
