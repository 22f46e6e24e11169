//! Derivatives with respect to constants: against dual numbers, differences, and each other.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use sr_expr::testing::{columns, expr};
use sr_expr::{Columns, Expr, Gradient, Level, Loss, Machine, Node, NormalEquations, Op, Semantics, Tree, reference};

const SEMANTICS: [Semantics; 2] = [Semantics::Ieee, Semantics::Protected];

fn levels() -> impl Iterator<Item = Level> {
    Level::ALL.into_iter().filter(|level| level.is_available())
}

fn semantics() -> impl Strategy<Value = Semantics> {
    prop::sample::select(SEMANTICS.to_vec())
}

/// Equal bits, any NaN equal to any other: the sign and payload of a NaN is not defined by IEEE 754.
fn same(a: f64, b: f64) -> bool {
    a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
}

fn all_same(a: &[f64], b: &[f64]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(&a, &b)| same(a, b))
}

fn parse(text: &str) -> Expr {
    text.parse().expect("test expression")
}

fn jacobian(gradient: &mut Gradient<f64>, tree: &Tree, data: &Columns, semantics: Semantics) -> (Vec<f64>, Vec<f64>) {
    let (mut values, mut derivatives) = (vec![f64::NAN; 3], vec![f64::NAN; 3]);
    gradient.compile(tree, semantics, data.n_columns());
    gradient.jacobian(data, &mut values, &mut derivatives);
    (values, derivatives)
}

/// The factors of each constant's derivative at one row, `[constants][operators above it]`.
fn factors(tree: &Tree, row: &[f64], semantics: Semantics) -> Vec<Vec<f64>> {
    let mut of_constants: Vec<Vec<f64>> = Vec::new();
    // Values of subtrees, each with the first of the constants in it.
    let mut stack: Vec<(f64, usize)> = Vec::new();
    for &node in tree.nodes() {
        let first = of_constants.len();
        let subtree = match node {
            Node::Var(index) => (row.get(usize::from(index)).copied().unwrap_or(f64::NAN), first),
            Node::Const(value) => {
                of_constants.push(Vec::new());
                (value, first)
            }
            Node::Op(op) => {
                let (b, first_of_b) = if op.arity() == 2 { stack.pop().expect("operand") } else { (f64::NAN, first) };
                let (a, first_of_a) = stack.pop().expect("operand");
                let [by_a, by_b] = reference::derivatives(op, semantics, a, b);
                let value = op.apply(semantics, a, b);
                for factors in &mut of_constants[first_of_a..first_of_b] {
                    factors.push(by_a);
                }
                for factors in &mut of_constants[first_of_b..] {
                    if op == Op::Div && !(semantics == Semantics::Protected && b.abs() < 1e-10) {
                        // In the two steps in which it is computed, either of which may underflow.
                        factors.extend([1.0 / b, -value]);
                    } else {
                        factors.push(by_b);
                    }
                }
                (value, first_of_a)
            }
        };
        stack.push(subtree);
    }
    of_constants
}

/// Whether a product is the same in every order but for rounding: no part of it can overflow or underflow.
fn is_ordinary(factors: &[f64]) -> bool {
    factors.iter().map(|factor| factor.abs().log2().abs()).sum::<f64>() < 900.0
}

/// Compares a Jacobian with dual numbers. Returns how many derivatives were compared, and how many there are.
fn compare(
    tree: &Tree,
    data: &Columns,
    semantics: Semantics,
    derivatives: &[f64],
) -> Result<(usize, usize), TestCaseError> {
    let n_rows = data.n_rows();
    let mut compared = 0;
    let mut row = Vec::new();
    for index in 0..n_rows {
        data.copy_row(index, &mut row);
        for (constant, factors) in factors(tree, &row, semantics).iter().enumerate() {
            let found = derivatives[constant * n_rows + index];
            let finite = factors.iter().all(|factor| factor.is_finite());
            if finite && factors.contains(&0.0) && is_ordinary(&nonzero(factors)) {
                prop_assert!(found == 0.0, "{} for 0 of constant {} at {:?} of {}", found, constant, row, tree);
            } else if finite && is_ordinary(factors) {
                let (_, expected) = reference::eval_row_dual(tree, &row, semantics, constant);
                let error = (found - expected).abs() / expected.abs();
                let allowed = 1e-15 * (4 + 2 * factors.len()) as f64;
                prop_assert!(
                    error <= allowed,
                    "{} for {} of constant {} at {:?} of {}",
                    found,
                    expected,
                    constant,
                    row,
                    tree
                );
            } else {
                continue;
            }
            compared += 1;
        }
    }
    Ok((compared, derivatives.len()))
}

fn nonzero(factors: &[f64]) -> Vec<f64> {
    factors.iter().copied().filter(|&factor| factor != 0.0).collect()
}

proptest! {
    #[test]
    fn derivatives_are_those_of_dual_numbers(
        e in expr(3, 40), other in expr(3, 40), data in columns(2, 300), semantics in semantics(),
    ) {
        for level in levels() {
            let mut gradient = Gradient::with_level(level);
            // Memory that another tree has used.
            jacobian(&mut gradient, &other, &data, semantics);
            let (values, derivatives) = jacobian(&mut gradient, &e, &data, semantics);
            prop_assert!(all_same(&values, &reference::predict(&e, &data, semantics)));
            prop_assert_eq!(derivatives.len(), gradient.n_constants() * data.n_rows());
            compare(&e, &data, semantics, &derivatives)?;
        }
    }

    #[test]
    fn levels_give_the_same_bits(
        e in expr(3, 40), data in columns(2, 300), semantics in semantics(), weighted: bool, limit in 1.0..1e3,
    ) {
        let y: Vec<f64> = (0..data.n_rows()).map(|row| (row as f64).sin()).collect();
        let weights = weighted.then_some(&y[..]);
        let at = |level| {
            let mut gradient = Gradient::with_level(level);
            let jacobian = jacobian(&mut gradient, &e, &data, semantics);
            (jacobian, gradient.normal_equations(&data, &y, limit, weights).clone())
        };
        let (expected_jacobian, expected) = at(Level::Portable);
        for level in levels() {
            let (jacobian, normal) = at(level);
            prop_assert!(all_same(&jacobian.0, &expected_jacobian.0), "{}", level.name());
            prop_assert!(all_same(&jacobian.1, &expected_jacobian.1), "{}", level.name());
            prop_assert!(all_same(normal.matrix(), expected.matrix()), "{}", level.name());
            prop_assert!(all_same(normal.vector(), expected.vector()), "{}", level.name());
            prop_assert!(same(normal.squares(), expected.squares()), "{}", level.name());
            prop_assert_eq!((normal.count(), normal.singular()), (expected.count(), expected.singular()));
        }
    }

    #[test]
    fn normal_equations_are_the_jacobians(
        e in expr(3, 40), data in columns(2, 300), semantics in semantics(), weighted: bool, limit in 1.0..1e3,
    ) {
        let n_rows = data.n_rows();
        let y: Vec<f64> = (0..n_rows).map(|row| (row as f64).sin()).collect();
        let w: Vec<f64> = (0..n_rows).map(|row| (row % 3) as f64 + 0.5).collect();
        for level in levels() {
            let mut gradient = Gradient::with_level(level);
            let (values, derivatives) = jacobian(&mut gradient, &e, &data, semantics);
            let normal = gradient.normal_equations(&data, &y, limit, weighted.then_some(&w[..]));
            let expected = from_jacobian(&values, &derivatives, &y, limit, weighted.then_some(&w[..]));
            prop_assert_eq!((normal.count(), normal.singular()), (expected.count, expected.singular));
            let close = |found: f64, (sum, magnitude): (f64, f64)| {
                // Products may overflow or underflow in one order and not in another.
                magnitude.is_nan() || magnitude > 1e300 || (found - sum).abs() <= 1e-13 * magnitude + 1e-300
            };
            let n = normal.n_constants();
            for (i, row) in expected.products.chunks_exact(n + 1).enumerate() {
                for (j, &product) in row[..n].iter().enumerate() {
                    let found = if i < n { normal.matrix()[i * n + j] } else { normal.vector()[j] };
                    prop_assert!(close(found, product), "{} for {:?} at {}, {} of {}", found, product, i, j, e);
                }
            }
            let squares = expected.products[(n + 1) * (n + 1) - 1];
            prop_assert!(close(normal.squares(), squares), "{} for {:?}", normal.squares(), squares);
        }
    }

    #[test]
    fn predictions_and_losses_are_the_machines(
        e in expr(3, 40), data in columns(2, 300), semantics in semantics(), limit in 1.0..1e3,
    ) {
        let y: Vec<f64> = (0..data.n_rows()).map(|row| (row as f64).sin()).collect();
        let losses = [
            Loss::Squares { y: &y, limit },
            Loss::WeightedSquares { y: &y, w: &y, limit },
            Loss::Moments { y: &y, limit, p_pivot: 0.5, y_pivot: 0.25 },
        ];
        for level in levels() {
            let (mut gradient, mut machine) = (Gradient::with_level(level), Machine::with_level(level));
            gradient.compile(&e, semantics, data.n_columns());
            let (mut found, mut expected) = (Vec::new(), Vec::new());
            gradient.predict(&data, &mut found);
            machine.predict(&e, &data, semantics, &mut expected);
            prop_assert!(all_same(&found, &expected));
            for loss in losses {
                prop_assert_eq!(&gradient.sum(&data, loss), machine.sum(&e, &data, semantics, loss));
            }
        }
    }

    #[test]
    fn changed_constants_are_as_if_compiled(e in expr(3, 40), data in columns(2, 60), semantics in semantics()) {
        let changed: Vec<f64> = e.constants().map(|c| 0.5 * c + 1.0).collect();
        let mut next = changed.iter();
        let nodes = e.nodes().iter().map(|&node| match node {
            Node::Const(_) => Node::Const(*next.next().expect("as many")),
            _ => node,
        });
        let other = Expr::new(nodes.collect()).expect("the same form");
        let mut gradient = Gradient::new();
        let expected = jacobian(&mut gradient, &other, &data, semantics);
        gradient.compile(&e, semantics, data.n_columns());
        gradient.set_constants(&changed);
        prop_assert_eq!(gradient.constants(), &changed);
        let (mut values, mut derivatives) = (Vec::new(), Vec::new());
        gradient.jacobian(&data, &mut values, &mut derivatives);
        prop_assert!(all_same(&values, &expected.0) && all_same(&derivatives, &expected.1));
    }
}

struct Expected {
    count: usize,
    singular: usize,
    /// The products of (J r), `[constants + 1, constants + 1]`: sums, and sums of magnitudes.
    products: Vec<(f64, f64)>,
}

fn from_jacobian(values: &[f64], derivatives: &[f64], y: &[f64], limit: f64, weights: Option<&[f64]>) -> Expected {
    let n_rows = values.len();
    let n = derivatives.len() / n_rows + 1;
    let mut expected = Expected { count: 0, singular: 0, products: vec![(0.0, 0.0); n * n] };
    for row in (0..n_rows).filter(|&row| values[row].abs() < limit) {
        let mut columns: Vec<f64> = (0..n - 1).map(|constant| derivatives[constant * n_rows + row]).collect();
        if columns.iter().any(|derivative| !derivative.is_finite()) {
            expected.singular += 1;
            continue;
        }
        expected.count += 1;
        columns.push(values[row] - y[row]);
        let weight = weights.map_or(1.0, |w| w[row]);
        for (i, a) in columns.iter().enumerate() {
            for (j, b) in columns.iter().enumerate() {
                let product = weight * a * b;
                let (sum, magnitude) = &mut expected.products[i * n + j];
                *sum += product;
                *magnitude += product.abs();
            }
        }
    }
    expected
}

/// Points at which an operator is smooth, on both sides of what guards there are: `(a, b)`.
fn smooth_points(op: Op) -> Vec<(f64, f64)> {
    let unary = |points: &[f64]| points.iter().map(|&a| (a, 0.0)).collect();
    match op {
        Op::Add | Op::Sub | Op::Mul => vec![(1.5, -2.5), (0.0, 3.0), (-4.0, 0.25)],
        Op::Div => vec![(1.5, -2.5), (0.0, 3.0), (-4.0, 0.25), (2.0, 0.125)],
        Op::Pow => vec![(1.5, -2.5), (3.0, 2.0), (0.25, 0.5), (2.0, 0.0)],
        Op::Log => unary(&[0.125, 1.0, 7.5]),
        Op::Sqrt => unary(&[0.125, 1.0, 7.5]),
        Op::Asin | Op::Acos => unary(&[-0.875, -0.25, 0.0, 0.5]),
        Op::Inv | Op::Abs => unary(&[-3.0, -0.25, 0.5, 2.0]),
        _ => unary(&[-3.0, -0.25, 0.0, 0.5, 2.0]),
    }
}

/// Derivatives of `op` over two constants, or one.
fn of_operator(op: Op, semantics: Semantics, a: f64, b: f64, level: Level) -> Vec<f64> {
    let (a, b) = (Expr::constant(a), Expr::constant(b));
    let tree = if op.arity() == 1 { Expr::unary(op, &a) } else { Expr::binary(op, &a, &b) };
    jacobian(&mut Gradient::with_level(level), &tree, &Columns::new(1, 1, vec![0.0]), semantics).1
}

fn assert_central_differences(op: Op, semantics: Semantics, (a, b): (f64, f64), step: f64) {
    let at = |a, b| op.apply(semantics, a, b);
    let differences =
        [(at(a + step, b) - at(a - step, b)) / (2.0 * step), (at(a, b + step) - at(a, b - step)) / (2.0 * step)];
    for level in levels() {
        let found = of_operator(op, semantics, a, b, level);
        assert_eq!(found.len(), op.arity());
        for (&found, &difference) in found.iter().zip(&differences) {
            let error = (found - difference).abs();
            assert!(error <= 1e-6 * (1.0 + found.abs()), "{op}({a}, {b}) {semantics:?}: {found} for {difference}");
        }
    }
}

#[test]
fn operators_have_the_slope_of_central_differences() {
    for &op in Op::ALL {
        for semantics in SEMANTICS {
            for point in smooth_points(op) {
                assert_central_differences(op, semantics, point, 1e-6);
            }
        }
    }
    // Protected operators have values where others have none, and are flat where they are clipped.
    let protected = |op, a, b, step| assert_central_differences(op, Semantics::Protected, (a, b), step);
    protected(Op::Log, -2.0, 0.0, 1e-6);
    protected(Op::Log, 5e-13, 0.0, 1e-14);
    protected(Op::Sqrt, -2.0, 0.0, 1e-6);
    protected(Op::Exp, 14.5, 0.0, 1e-6);
    protected(Op::Exp, -14.5, 0.0, 1e-6);
    protected(Op::Exp, -13.5, 0.0, 1e-6);
    protected(Op::Tan, std::f64::consts::FRAC_PI_2 - 1e-7, 0.0, 1e-8);
    protected(Op::Inv, -5e-7, 0.0, 1e-8);
    protected(Op::Div, 1e-10, 5e-11, 1e-12);
}

#[test]
fn trees_have_the_slope_of_central_differences() {
    let data = Columns::from_fn(50, 2, |row, column| 0.3 + 0.05 * row as f64 + 0.2 * column as f64);
    for text in [
        "1.5*x0 + 0.5*x1 - 2.0",
        "sin(1.5*x0 + 0.5) * exp(0.0 - 0.3*x1)",
        "(x0 - 2.0) / (x1 + 1.5) / 3.0",
        "tanh(0.7*pow(x0, 1.3)) + sqrt(x1*2.0 + 0.5)",
        "log(2.5 + cos(3.0*x0)) * atan(x1 - 1.25) + abs(x0 - 17.0)",
        "inv(1.0 + pow2(0.5*x0)) - pow3(0.25*x1) + asin(0.1*x0) * acos(0.2*x1) - tan(0.2*x0)",
        "pow(1.5*x0, 0.5 + x1) / (2.0 + x0)",
    ] {
        let e = parse(text);
        let mut gradient = Gradient::new();
        let (_, derivatives) = jacobian(&mut gradient, &e, &data, Semantics::Ieee);
        let constants = gradient.constants().to_vec();
        for index in 0..constants.len() {
            let mut at = |offset: f64| {
                let mut moved = constants.clone();
                moved[index] += offset;
                gradient.set_constants(&moved);
                let mut out = Vec::new();
                gradient.predict(&data, &mut out);
                out
            };
            let (above, below) = (at(1e-6), at(-1e-6));
            for row in 0..data.n_rows() {
                let (found, difference) =
                    (derivatives[index * data.n_rows() + row], (above[row] - below[row]) / (2.0 * 1e-6));
                let error = (found - difference).abs();
                assert!(error <= 1e-7 * (1.0 + found.abs()), "{text}, constant {index}: {found} for {difference}");
            }
        }
    }
}

#[test]
fn most_derivatives_of_random_trees_can_be_compared() {
    // Guards the test against dual numbers, which leaves out what overflows.
    let mut runner = TestRunner::deterministic();
    let (mut compared, mut all) = (0, 0);
    for _ in 0..1000 {
        let (e, data) = (expr(3, 40), columns(3, 20)).new_tree(&mut runner).expect("a case").current();
        let (_, derivatives) = jacobian(&mut Gradient::new(), &e, &data, Semantics::Protected);
        let (some, of) = compare(&e, &data, Semantics::Protected, &derivatives).expect("equal");
        (compared, all) = (compared + some, all + of);
    }
    assert!(all > 1000 && 2 * compared > all, "{compared} of {all}");
}

#[test]
fn edges() {
    for level in levels() {
        let at = |op, semantics, a, b| of_operator(op, semantics, a, b, level);
        for semantics in SEMANTICS {
            assert_eq!(at(Op::Abs, semantics, 0.0, 0.0), [0.0]);
            assert_eq!(at(Op::Sqrt, semantics, 0.0, 0.0), [f64::INFINITY]);
            // Powers of 0: no 0 · −∞.
            assert_eq!(at(Op::Pow, semantics, 0.0, 2.0), [0.0, 0.0]);
            assert_eq!(at(Op::Pow, semantics, 0.0, 1.0), [1.0, 0.0]);
            assert_eq!(at(Op::Pow, semantics, 0.0, 0.0), [0.0, 0.0]);
            assert_eq!(at(Op::Pow, semantics, 0.0, 0.5), [f64::INFINITY, 0.0]);
            // Whole powers of negative numbers.
            assert_eq!(at(Op::Pow, semantics, -3.0, 2.0), [-6.0, 0.0]);
            assert_eq!(at(Op::Pow, semantics, -2.0, -1.0), [-0.25, 0.0]);
            assert!(at(Op::Pow, semantics, -2.0, 0.5).iter().all(|derivative| derivative.is_nan()));
        }
        // The bounds themselves are not clipped.
        assert_eq!(at(Op::Exp, Semantics::Protected, 14.0, 0.0), [libm::exp(14.0)]);
        assert_eq!(at(Op::Div, Semantics::Protected, 3.0, 1e-11), [1e10, 0.0]);
        for &op in Op::ALL {
            for semantics in SEMANTICS {
                let derivatives = at(op, semantics, f64::NAN, 0.5);
                assert!(derivatives[0].is_nan() || matches!(op, Op::Add | Op::Sub | Op::Mul | Op::Neg | Op::Div));
            }
        }
    }
}

#[test]
fn trees_without_constants() {
    let data = Columns::from_rows(&[[1.0], [2.0], [f64::NAN]]);
    for text in ["x0", "x0 * sin(x0)"] {
        let mut gradient = Gradient::new();
        let (values, derivatives) = jacobian(&mut gradient, &parse(text), &data, Semantics::Ieee);
        assert_eq!((values.len(), derivatives.len(), gradient.n_constants()), (3, 0, 0));
        let normal = gradient.normal_equations(&data, &values, f64::INFINITY, None);
        assert_eq!((normal.squares(), normal.count(), normal.singular()), (0.0, 2, 0));
        assert!(normal.matrix().is_empty() && normal.vector().is_empty());
    }
}

#[test]
fn a_lone_constant() {
    let data = Columns::<f64>::new(3, 0, vec![]);
    let mut gradient = Gradient::new();
    let (values, derivatives) = jacobian(&mut gradient, &parse("2.5"), &data, Semantics::Ieee);
    assert_eq!((values, derivatives), (vec![2.5; 3], vec![1.0; 3]));
    let normal = gradient.normal_equations(&data, &[2.0, 2.5, 4.0], f64::INFINITY, Some(&[1.0, 10.0, 2.0]));
    assert_eq!((normal.matrix(), normal.vector()), (&[13.0][..], &[0.5 - 3.0][..]));
    assert_eq!((normal.squares(), normal.count()), (0.25 + 4.5, 3));
}

#[test]
fn subtrees_of_constants_are_not_folded() {
    let data = Columns::from_rows(&[[1.0], [2.0]]);
    let mut gradient = Gradient::new();
    // (2 * 3 + x0) * (5 / 4)
    let (values, derivatives) = jacobian(&mut gradient, &parse("(2.0*3.0 + x0) * (5.0 / 4.0)"), &data, Semantics::Ieee);
    assert_eq!(values, [8.75, 10.0]);
    assert_eq!(gradient.constants(), [2.0, 3.0, 5.0, 4.0]);
    assert_eq!(derivatives, [3.75, 3.75, 2.5, 2.5, 1.75, 2.0, -2.1875, -2.5]);
}

#[test]
fn rows_that_do_not_count() {
    // Valid, NaN, beyond the limit, valid but without a finite derivative, valid.
    let data = Columns::from_rows(&[[4.0], [f64::NAN], [1e6], [0.0], [1.0]]);
    let y = [1.0, 0.0, 0.0, f64::NAN, 1.0];
    for level in levels() {
        let mut gradient = Gradient::with_level(level);
        gradient.compile(&parse("sqrt(x0 * 1.0)"), Semantics::Ieee, 1);
        let normal = gradient.normal_equations(&data, &y, 1e3, None).clone();
        assert_eq!((normal.count(), normal.singular()), (2, 1));
        // d/dc sqrt(c x) = sqrt(x) / 2 at c = 1.
        assert_eq!((normal.matrix(), normal.vector()), (&[1.25][..], &[1.0][..]));
        assert_eq!(normal.squares(), 1.0);
        let y = [1.0, 0.0, 0.0, 1.0, 1.0];
        let sums = gradient.sum(&data, Loss::Squares { y: &y, limit: 1e3 });
        assert_eq!((sums.count, sums.squares()), (3, 2.0), "a loss counts the row without a derivative");
    }
}

#[test]
fn variables_that_the_data_does_not_have() {
    let data = Columns::from_rows(&[[1.0], [2.0]]);
    let mut gradient = Gradient::new();
    let (values, derivatives) = jacobian(&mut gradient, &parse("2.0 * x0 + x7 * 3.0"), &data, Semantics::Ieee);
    assert!(values.iter().all(|value| value.is_nan()));
    assert_eq!(derivatives[..2], [1.0, 2.0]);
    assert!(derivatives[2..].iter().all(|derivative| derivative.is_nan()));
    assert_eq!(gradient.normal_equations(&data, &[0.0; 2], f64::INFINITY, None).count(), 0);
}

#[test]
fn no_rows() {
    let data = Columns::<f64>::new(0, 1, vec![]);
    let mut gradient = Gradient::new();
    let (values, derivatives) = jacobian(&mut gradient, &parse("2.0 * x0"), &data, Semantics::Ieee);
    assert!(values.is_empty() && derivatives.is_empty());
    let normal = gradient.normal_equations(&data, &[], f64::INFINITY, None);
    assert_eq!((normal.matrix(), normal.vector(), normal.count()), (&[0.0][..], &[0.0][..], 0));
}

#[test]
fn any_number_of_rows() {
    let e = parse("1.5*sin(x0*0.25) + x1/(2.0 + x0*x0)");
    for n_rows in (1..40).chain([63, 64, 65, 127, 128, 129, 255, 257, 1000, 4095, 4096, 4097, 10_000]) {
        let data = Columns::from_fn(n_rows, 2, |row, column| ((row * 7 + column * 3) % 11) as f64 - 5.0);
        let y: Vec<f64> = (0..n_rows).map(|row| (row % 5) as f64).collect();
        let single: Vec<f32> = y.iter().map(|&y| y as f32).collect();
        let mut gradient = Gradient::new();
        let (values, derivatives) = jacobian(&mut gradient, &e, &data, Semantics::Ieee);
        assert_eq!(compare(&e, &data, Semantics::Ieee, &derivatives).expect("equal").1, 3 * n_rows);
        let normal = gradient.normal_equations(&data, &y, f64::INFINITY, None);
        let expected = from_jacobian(&values, &derivatives, &y, f64::INFINITY, None);
        assert_eq!(normal.count(), n_rows);
        assert_close(normal, &expected, 1e-13);
        for level in levels() {
            let mut gradient = Gradient::<f32>::with_level(level);
            gradient.compile(&e, Semantics::Ieee, 2);
            let normal = gradient.normal_equations(&data.convert(), &single, f32::INFINITY, None);
            assert_eq!(normal.count(), n_rows);
            assert_close(normal, &expected, 1e-5);
        }
    }
}

fn assert_close(normal: &NormalEquations, expected: &Expected, tolerance: f64) {
    let n = normal.n_constants();
    for (i, row) in expected.products.chunks_exact(n + 1).enumerate() {
        for (j, &(sum, magnitude)) in row.iter().enumerate() {
            let found = match (i < n, j < n) {
                (true, true) => normal.matrix()[i * n + j],
                (false, false) => normal.squares(),
                _ => normal.vector()[i.min(j)],
            };
            assert!((found - sum).abs() <= tolerance * magnitude, "{found} for {sum} at {i}, {j}");
        }
    }
}

#[test]
fn single_precision_is_near_double() {
    let data = Columns::from_fn(500, 2, |row, column| 0.3 + 0.005 * row as f64 + 0.2 * column as f64);
    let texts = [
        "sin(1.5*x0 + 0.5) * exp(0.0 - 0.3*x1)",
        "(x0 - 2.0) / (x1 + 1.5) / 3.0",
        "tanh(0.7*pow(x0, 1.3)) + sqrt(x1*2.0 + 0.5)",
        "log(2.5 + cos(3.0*x0)) * atan(x1 - 1.25) + abs(x0 - 17.0)",
        "inv(1.0 + pow2(0.5*x0)) - pow3(0.25*x1) + asin(0.1*x0) * acos(0.2*x1) - tan(0.2*x0)",
    ];
    for (text, semantics) in texts.into_iter().flat_map(|text| SEMANTICS.map(|semantics| (text, semantics))) {
        let e = parse(text);
        let (_, expected) = jacobian(&mut Gradient::new(), &e, &data, semantics);
        for level in levels() {
            let mut gradient = Gradient::<f32>::with_level(level);
            gradient.compile(&e, semantics, 2);
            let (mut values, mut found) = (Vec::new(), Vec::new());
            gradient.jacobian(&data.convert(), &mut values, &mut found);
            assert_eq!(found.len(), expected.len());
            for (&found, &expected) in found.iter().zip(&expected) {
                let error = (f64::from(found) - expected).abs();
                assert!(error <= 1e-5 * (1.0 + expected.abs()), "{text}: {found} for {expected}");
            }
        }
    }
}

const CHAIN: usize = 100_000;

#[test]
fn long_chains_of_unary_operators() {
    let mut nodes = vec![Node::Const(0.5)];
    nodes.resize(CHAIN, Node::Op(Op::Sin));
    let e = Expr::new(nodes).expect("a chain");
    let data = Columns::<f64>::new(20, 0, vec![]);
    let (_, derivatives) = jacobian(&mut Gradient::new(), &e, &data, Semantics::Ieee);
    let (_, expected) = reference::eval_row_dual(&e, &[], Semantics::Ieee, 0);
    assert!(expected > 1e-10 && derivatives.iter().all(|found| (found - expected).abs() < 1e-9 * expected));
}

#[test]
fn long_chains_of_constants() {
    let data = Columns::from_rows(&[[0.5], [-1.0], [0.999]]);
    // c0 + x0 (c1 + x0 (c2 + …)), which leans to the right.
    let n = CHAIN / 4;
    let mut nodes = Vec::new();
    for _ in 0..n {
        nodes.extend([Node::Const(1.0), Node::Var(0)]);
    }
    nodes.push(Node::Const(1.0));
    nodes.resize(nodes.len() + 2 * n, Node::Op(Op::Mul));
    let first_operator = nodes.len() - 2 * n;
    for add in nodes[first_operator..].iter_mut().skip(1).step_by(2) {
        *add = Node::Op(Op::Add);
    }
    let right = Expr::new(nodes).expect("Horner's rule");
    let (_, derivatives) = jacobian(&mut Gradient::new(), &right, &data, Semantics::Ieee);
    assert_eq!(derivatives.len(), 3 * (n + 1));
    for constant in [0, 1, 2, 10, 500] {
        for (row, x) in [0.5_f64, -1.0, 0.999].into_iter().enumerate() {
            let expected = x.powi(constant as i32);
            assert!((derivatives[3 * constant + row] - expected).abs() < 1e-12 * expected.abs());
        }
    }
    // ((c0 x0 + c1 x0) + c2 x0) + …, which leans to the left.
    let product = [Node::Const(2.0), Node::Var(0), Node::Op(Op::Mul)];
    let mut nodes = product.to_vec();
    for _ in 1..n {
        nodes.extend(product);
        nodes.push(Node::Op(Op::Add));
    }
    let left = Expr::new(nodes).expect("a sum");
    let (_, derivatives) = jacobian(&mut Gradient::new(), &left, &data, Semantics::Ieee);
    assert!(derivatives.chunks_exact(3).all(|of_constant| of_constant == [0.5, -1.0, 0.999]));
}

#[test]
#[should_panic(expected = "a compiled tree")]
fn nothing_runs_before_a_tree_is_compiled() {
    Gradient::new().predict(&Columns::<f64>::new(1, 0, vec![]), &mut Vec::new());
}

#[test]
#[should_panic(expected = "targets and weights for 2 rows")]
fn targets_have_to_fit() {
    let mut gradient = Gradient::new();
    gradient.compile(&parse("2.0 * x0"), Semantics::Ieee, 1);
    gradient.normal_equations(&Columns::from_rows(&[[1.0], [2.0]]), &[1.0], f64::INFINITY, None);
}
