//! The machine against the reference, at every level that this computer has.

use proptest::prelude::*;
use sr_expr::map::{error_in_ulp, map, max_ulp};
use sr_expr::testing::{columns, expr};
use sr_expr::{Columns, Expr, Level, Loss, Machine, Node, Op, Program, Real, Semantics, Sums, Tree, reference};

fn levels() -> impl Iterator<Item = Level> {
    Level::ALL.into_iter().filter(|level| level.is_available())
}

const BOTH: [Semantics; 2] = [Semantics::Ieee, Semantics::Protected];

/// Equal bits, any NaN equal to any other.
fn same<T: Real>(a: T, b: T) -> bool {
    a.to_f64().to_bits() == b.to_f64().to_bits() || (a.to_f64().is_nan() && b.to_f64().is_nan())
}

/// Numbers that functions trip over, both signs of each.
fn special() -> Vec<f64> {
    use std::f64::consts::PI;
    let positive = [
        0.0,
        5e-324,
        1e-310,
        2.2e-308,
        1e-45,
        1e-38,
        1e-12,
        1e-10,
        9.9e-11,
        1e-6,
        9.9e-7,
        1e-3,
        0.1,
        0.5,
        0.7,
        0.999_999,
        1.0,
        1.000_001,
        1.4,
        2.0,
        2.5,
        3.0,
        PI / 2.0,
        PI,
        6.0,
        13.9,
        14.1,
        20.0,
        88.0,
        89.0,
        100.0,
        700.0,
        709.8,
        750.0,
        1e4,
        1e6,
        1e9,
        1e15,
        1e22,
        1e38,
        3.5e38,
        1e300,
        f64::MAX,
        f64::INFINITY,
    ];
    positive.iter().flat_map(|&value| [value, -value]).chain([f64::NAN]).collect()
}

/// Every pair of the special numbers, in two columns.
fn pairs<T: Real>() -> Columns<T> {
    let special = special();
    let n = special.len();
    Columns::from_fn(n * n, 2, |row, column| T::from_f64(special[if column == 0 { row / n } else { row % n }]))
}

/// An operand in each of its places: in a column, in the accumulator or a slot (changed in sign twice), a constant.
fn operands(variable: u16, constant: f64) -> [Expr; 3] {
    let x = Expr::var(variable);
    [x.clone(), Expr::unary(Op::Neg, &Expr::unary(Op::Neg, &x)), Expr::constant(constant)]
}

/// All trees of one operator, its operands in all places.
fn trees(op: Op) -> Vec<Expr> {
    let first = operands(0, -1.25);
    if op.arity() == 1 {
        return first.iter().map(|a| Expr::unary(op, a)).collect();
    }
    let second = operands(1, 2.5);
    first.iter().flat_map(|a| second.iter().map(move |b| Expr::binary(op, a, b))).collect()
}

#[test]
fn every_operator_in_every_place_has_the_bits_of_the_reference() {
    let data = pairs::<f64>();
    let mut out = Vec::new();
    for (op, semantics) in Op::ALL.iter().flat_map(|&op| BOTH.map(|semantics| (op, semantics))) {
        for tree in trees(op) {
            let expected = reference::predict(&tree, &data, semantics);
            for level in levels() {
                Machine::with_level(level).predict(&tree, &data, semantics, &mut out);
                for (row, (&a, &b)) in out.iter().zip(&expected).enumerate() {
                    let (x0, x1) = (data.column(0)[row], data.column(1)[row]);
                    assert!(same(a, b), "{tree} of {x0:e}, {x1:e}: {a:e}, not {b:e} ({semantics:?}, {})", level.name());
                }
            }
        }
    }
}

#[test]
fn single_precision_keeps_its_bounds() {
    let data = pairs::<f32>();
    let wide: Columns<f64> = data.convert();
    let mut out = Vec::new();
    for (op, semantics) in Op::ALL.iter().flat_map(|&op| BOTH.map(|semantics| (op, semantics))) {
        for tree in trees(op) {
            let expected = reference::predict(&tree, &wide, semantics);
            for level in levels() {
                Machine::with_level(level).predict(&tree, &data, semantics, &mut out);
                for (row, (&a, &b)) in out.iter().zip(&expected).enumerate() {
                    let (x0, x1) = (wide.column(0)[row], wide.column(1)[row]);
                    // A guard's threshold is rounded to f32 as well; next to it either branch will do.
                    let near =
                        |x: f64| [1e-10, 1e-6, 1e-12, 14.0].iter().any(|&edge| (x.abs() / edge - 1.0).abs() < 1e-6);
                    if semantics == Semantics::Protected && (near(x0) || near(x1)) {
                        continue;
                    }
                    let error = error_in_ulp(a, b).unwrap_or(f32::INFINITY);
                    let bound = max_ulp(op) + 0.01; // the reference rounds too
                    let context =
                        || format!("{tree} of {x0:e}, {x1:e}: {a:e}, not {b:e} ({semantics:?}, {})", level.name());
                    // What overflows on the way to a finite result, or vanishes, is no error of the last operator.
                    let extreme = op == Op::Pow3 && (x0 * x0 > f64::from(f32::MAX) || x0 * x0 < 1e-37);
                    assert!(error <= bound || extreme, "{error} ULP: {}", context());
                }
            }
        }
    }
}

/// One node after the other over whole columns: what the machine does, without its tiles, slots and fusions.
fn node_by_node<T: Real>(level: Level, tree: &Tree, data: &Columns<T>, semantics: Semantics) -> Vec<T> {
    let n = data.n_rows();
    // Constant subtrees have one value, which is folded in f64.
    let mut stack: Vec<(Vec<T>, Option<f64>)> = Vec::new();
    for &node in tree.nodes() {
        let value = match node {
            Node::Var(index) if usize::from(index) < data.n_columns() => (data.column(index.into()).to_vec(), None),
            Node::Var(_) => (vec![T::NAN; n], Some(f64::NAN)),
            Node::Const(value) => (vec![T::from_f64(value); n], Some(value)),
            Node::Op(op) => {
                let b = stack.pop().expect("an operand");
                let a = if op.arity() == 2 { stack.pop().expect("an operand") } else { b.clone() };
                if let (Some(x), Some(y)) = (a.1, b.1) {
                    let folded = op.apply(semantics, x, y);
                    (vec![T::from_f64(folded); n], Some(folded))
                } else {
                    let mut out = vec![T::ZERO; n];
                    map(level, op, semantics, &a.0, &b.0, &mut out);
                    (out, None)
                }
            }
        };
        stack.push(value);
    }
    stack.remove(0).0
}

/// A tree of exactly this depth: a chain in which operands on the way are small trees, left or right.
fn deep(depth: usize) -> impl Strategy<Value = Expr> {
    let step = (proptest::sample::select(Op::ALL.to_vec()), expr(3, 5), any::<bool>());
    (expr(3, 3), proptest::collection::vec(step, depth)).prop_map(|(start, steps)| {
        steps.into_iter().fold(start, |chain, (op, other, left)| match (op.arity(), left) {
            (1, _) => Expr::unary(op, &chain),
            (_, true) => Expr::binary(op, &chain, &other),
            (_, false) => Expr::binary(op, &other, &chain),
        })
    })
}

fn check_all<T: Real>(tree: &Tree, data: &Columns<T>, semantics: Semantics) -> Result<(), TestCaseError> {
    let mut out = Vec::new();
    for level in levels() {
        Machine::with_level(level).predict(tree, data, semantics, &mut out);
        let expected = node_by_node(level, tree, data, semantics);
        for (row, (&a, &b)) in out.iter().zip(&expected).enumerate() {
            prop_assert!(same(a, b), "row {}: {:?} is not {:?} ({} {})", row, a, b, T::NAME, level.name());
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn trees_equal_their_nodes(e in expr(3, 200), data in columns(2, 700), protected: bool) {
        let semantics = BOTH[usize::from(protected)];
        check_all(&e, &data, semantics)?;
        check_all(&e, &data.convert::<f32>(), semantics)?;
        let mut out = Vec::new();
        Machine::new().predict(&e, &data, semantics, &mut out);
        let expected = reference::predict(&e, &data, semantics);
        prop_assert!(out.iter().zip(&expected).all(|(&a, &b)| same(a, b)));
    }

    #[test]
    fn deep_trees_equal_their_nodes(e in deep(100), data in columns(3, 40)) {
        check_all(&e, &data, Semantics::Protected)?;
        check_all(&e, &data.convert::<f32>(), Semantics::Protected)?;
    }

    /// The sums do not depend on the level nor on where rows are cut; they are those of the predictions.
    #[test]
    fn sums_are_those_of_the_predictions(e in expr(2, 20), data in columns(2, 2000), every in 1..900_usize) {
        let n = data.n_rows();
        let y: Vec<f64> = (0..n).map(|row| (row % 17) as f64 - 8.0).collect();
        let w: Vec<f64> = (0..n).map(|row| (row % 5) as f64).collect();
        let limit = 1e6;
        let predicted = sr_expr::predict(&e, &data, Semantics::Protected);
        let valid: Vec<usize> = (0..n).filter(|&row| predicted[row].abs() < limit).collect();
        // Row i belongs to lane i mod 8; lanes are added first to last.
        let in_lanes = |term: &dyn Fn(usize) -> f64| {
            let mut lanes = [0.0; 8];
            valid.iter().for_each(|&row| lanes[row % 8] += term(row));
            lanes.iter().sum::<f64>()
        };
        let error = |row: usize| predicted[row] - y[row];
        let squares = in_lanes(&|row| error(row) * error(row));
        let weighted = in_lanes(&|row| w[row] * (error(row) * error(row)));
        let (p, t) = (|row: usize| predicted[row] - 0.5, |row: usize| y[row] - 1.0);
        let moments = [
            in_lanes(&p), in_lanes(&t), in_lanes(&|r| p(r) * p(r)), in_lanes(&|r| p(r) * t(r)), in_lanes(&|r| t(r) * t(r)),
        ];
        for level in levels() {
            let mut machine = Machine::with_level(level);
            let mut sum = |loss, count| {
                let cut = machine.sum_while(&e, &data, Semantics::Protected, loss, every, |_| true).expect("not stopped").clone();
                let whole = machine.sum(&e, &data, Semantics::Protected, loss).clone();
                let (a, b) = (cut.moments(), whole.moments());
                assert!(a.iter().zip(&b).all(|(&a, &b)| same(a, b)) && cut.count == whole.count, "{cut:?} is not {whole:?}");
                assert_eq!(whole.count, count);
                whole
            };
            let found = sum(Loss::Squares { y: &y, limit }, valid.len()).squares();
            prop_assert!(same(found, squares), "{} is not {}", found, squares);
            let sums = sum(Loss::WeightedSquares { y: &y, w: &w, limit }, valid.len());
            prop_assert!(same(sums.squares(), weighted));
            prop_assert!(same(sums.weights(), in_lanes(&|row| w[row])));
            let scale = 2.0_f64.powi(-40);
            let scaled = |weight: &dyn Fn(usize) -> f64| {
                let met: Vec<usize> = (0..n).filter(|&row| weight(row) == 0.0 || predicted[row].is_finite()).collect();
                let mut lanes = [0.0; 8];
                for &row in met.iter().filter(|&&row| weight(row) > 0.0) {
                    lanes[row % 8] += weight(row) * ((error(row) * scale) * (error(row) * scale));
                }
                (met.len(), lanes.iter().sum::<f64>())
            };
            let (met, expected) = scaled(&|_| 1.0);
            let found = sum(Loss::ScaledSquares { y: &y, w: None, scale }, met).squares();
            prop_assert!(same(found, expected));
            let (met, expected) = scaled(&|row| w[row]);
            let found = sum(Loss::ScaledSquares { y: &y, w: Some(&w), scale }, met).squares();
            prop_assert!(same(found, expected));
            let sums = sum(Loss::Moments { y: &y, limit, p_pivot: 0.5, y_pivot: 1.0 }, valid.len()).moments();
            prop_assert!(sums.iter().zip(moments).all(|(&a, b)| same(a, b)), "{:?} is not {:?}", sums, moments);
        }
    }
}

#[test]
fn sums_of_single_precision_are_close() {
    let n = 20_000;
    let data = Columns::from_fn(n, 1, |row, _| (row % 1000) as f32 * 0.001);
    let y: Vec<f32> = (0..n).map(|row| (row % 7) as f32).collect();
    let tree: Expr = "x0*x0 + 1".parse().expect("an expression");
    let expected: f64 = (0..n)
        .map(|row| {
            let x = f64::from(data.column(0)[row]);
            (x * x + 1.0 - f64::from(y[row])).powi(2)
        })
        .sum();
    for level in levels() {
        let loss = Loss::Squares { y: &y, limit: f32::INFINITY };
        let mut machine = Machine::with_level(level);
        let sums: &Sums<f32> = machine.sum(&tree, &data, Semantics::Ieee, loss);
        assert_eq!(sums.count, n);
        assert!((sums.squares() / expected - 1.0).abs() < 1e-5, "{} is not {expected}", sums.squares());
    }
}

#[test]
fn a_sum_is_stopped_when_asked() {
    let data = Columns::from_fn(5000, 1, |row, _| row as f64);
    let y = vec![0.0; 5000];
    let loss = Loss::Squares { y: &y, limit: f64::INFINITY };
    let mut seen = Vec::new();
    let mut machine = Machine::new();
    let stopped = machine.sum_while(&Expr::var(0), &data, Semantics::Ieee, loss, 1000, |sums| {
        seen.push(sums.count);
        seen.len() < 3
    });
    assert_eq!(stopped, None);
    assert_eq!(seen, [1008, 2016, 3024], "whole vectors of rows");
}

/// `x - (y - (x - …))` with operands that are leaves, computed, or computed in both places.
#[test]
fn long_chains_neither_overflow_nor_take_many_slots() {
    let n = 100_000;
    let data = Columns::from_fn(20, 2, |row, column| (row + 3 * column) as f64 * 0.25);
    let leaf = |i: usize| Node::Var((i % 2) as u16);
    let minus = Node::Op(Op::Sub);
    let left: Vec<Node> = std::iter::once(leaf(0)).chain((1..n).flat_map(|i| [leaf(i), minus])).collect();
    let right: Vec<Node> = (0..n).map(leaf).chain(std::iter::repeat_n(minus, n - 1)).collect();
    // Every operand computed: the worst for slots, unless the deeper one goes first.
    let computed = |i: usize| [leaf(i), leaf(i + 1), Node::Op(Op::Mul)];
    let both: Vec<Node> = (0..n / 4).flat_map(computed).chain(std::iter::repeat_n(minus, n / 4 - 1)).collect();
    let unary: Vec<Node> = std::iter::once(leaf(0)).chain(std::iter::repeat_n(Node::Op(Op::Sin), n)).collect();
    let mut out = Vec::new();
    for (name, nodes) in [("left", left), ("right", right), ("both", both), ("unary", unary)] {
        let tree = Expr::new(nodes).expect(name);
        assert!(tree.depth() > n / 5, "{name}");
        let program = Program::<f64>::new(&tree, Semantics::Ieee, 2);
        assert!(program.n_slots() <= 18, "{name} takes {} slots", program.n_slots());
        Machine::new().predict_compiled(&program, &data, &mut out);
        let expected = reference::predict(&tree, &data, Semantics::Ieee);
        assert!(out.iter().zip(&expected).all(|(&a, &b)| same(a, b)), "{name}");
    }
}

#[test]
fn a_program_serves_any_data_of_its_width() {
    let tree: Expr = "x0 * x1 - 0.5".parse().expect("an expression");
    let program = Program::<f64>::new(&tree, Semantics::Ieee, 2);
    let mut out = Vec::new();
    for n in [0, 1, 7, 8, 9, 128, 129, 1000] {
        let data = Columns::from_fn(n, 3, |row, column| (row + column) as f64);
        Machine::new().predict_compiled(&program, &data, &mut out);
        assert_eq!(out, reference::predict(&tree, &data, Semantics::Ieee), "{n} rows");
    }
}

#[test]
fn the_last_of_all_variables_is_no_constant() {
    let data = Columns::from_fn(2, 1 << 16, |row, column| (row + column) as f64);
    let tree: Expr = "x65535 * x0 + 2.5".parse().expect("an expression");
    assert_eq!(sr_expr::predict(&tree, &data, Semantics::Ieee), [2.5, 65538.5]);
}

#[test]
#[should_panic(expected = "a program for this data")]
fn data_that_is_too_narrow_is_refused() {
    let program = Program::<f64>::new(&Expr::var(2), Semantics::Ieee, 3);
    Machine::new().predict_compiled(&program, &Columns::from_fn(4, 2, |_, _| 1.0), &mut Vec::new());
}
