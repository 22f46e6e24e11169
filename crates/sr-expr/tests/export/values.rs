//! Random expressions over all operators have the values of the reference in all systems.

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use serde_json::Value;
use sr_expr::{Expr, Node, Op, Semantics, Target, Tree, reference, testing};

use crate::reader;
use crate::systems::{self, Work};

const BOTH: [Semantics; 2] = [Semantics::Ieee, Semantics::Protected];

/// Expressions of three variables. All operators are among them (checked).
fn expressions(count: usize, max_size: usize) -> Vec<Expr> {
    let mut runner = TestRunner::deterministic();
    let strategy = testing::expr(3, max_size);
    let mut drawn: Vec<Expr> =
        (0..count).map(|_| strategy.new_tree(&mut runner).expect("an expression").current()).collect();
    // Each operator of plain variables, and of constants alone.
    for &op in Op::ALL {
        for leaves in [[Expr::var(0), Expr::var(1)], [Expr::constant(2.5), Expr::constant(-0.5)]] {
            drawn.push(if op.arity() == 1 {
                Expr::unary(op, &leaves[0])
            } else {
                Expr::binary(op, &leaves[0], &leaves[1])
            });
        }
    }
    for text in [
        "1/0",
        "0 - 1/0",
        "0*(1/0)",
        "(-8)^0.5",
        "0^-1",
        "10^400",
        "-0.0",
        "x0*0 + 1.0",
        "inv(0)",
        "7",
        "x1",
        "x0/(0.12290123 - 0.12340123)",
        "log(abs(-0.2)) + x0^2",
        "x0-(x1-x2)",
        "-x0^2",
        "(-x0)^2",
        "2^-3^2",
        "x0/(x1*x2)",
        "-(x0*x1)",
        "neg(neg(x0 - x1))*x2",
        "(x0 + 1)*(x0 + 1)",
        "pow2(pow2(x0)) - pow3(neg(x1))",
        "1e300*x0",
        "x0^4e-320",
        "x2 - -5e-324",
        "1e22 + x0",
    ] {
        drawn.push(text.parse().expect(text));
    }
    drawn.push(Expr::binary(Op::Add, &Expr::constant(f64::NAN), &Expr::var(0)));
    drawn.push(Expr::binary(Op::Mul, &Expr::constant(f64::NEG_INFINITY), &Expr::var(0)));
    drawn.push(Expr::binary(Op::Pow, &Expr::constant(-0.0), &Expr::var(0)));
    assert!(Op::ALL.iter().all(|op| drawn.iter().any(|expr| expr.nodes().contains(&Node::Op(*op)))));
    drawn
}

fn rows() -> Vec<Vec<f64>> {
    let mut runner = TestRunner::deterministic();
    let value = proptest::prop_oneof![4 => -4.0..4.0f64, 1 => -60.0..60.0f64];
    let strategy = proptest::collection::vec(value, 3);
    let mut rows: Vec<Vec<f64>> = (0..6).map(|_| strategy.new_tree(&mut runner).expect("a row").current()).collect();
    rows.extend([vec![0.0, 1.0, -1.0], vec![2.0, 4.0, 0.0], vec![1e-12, -1e-7, 0.5]]);
    rows
}

/// Which operators a system computes to within rounding only; the others it computes to the bit.
#[derive(Clone, Copy, PartialEq)]
enum Rounds {
    /// Functions of the mathematical library.
    Functions,
    /// All of them, as terms and factors may be in another order; it has no infinities, and no smallest number.
    Everything,
}

/// The value of an expression at a row, if rounding in the system leaves 13 digits of it.
fn stable(tree: &Tree, row: &[f64], semantics: Semantics, rounds: Rounds) -> Option<f64> {
    let exact = reference::eval_row(tree, row, semantics);
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..12 {
        let mut stack: Vec<f64> = Vec::new();
        for node in tree.nodes() {
            let value = match *node {
                Node::Var(index) => row[usize::from(index)],
                Node::Const(value) => value,
                Node::Op(op) => {
                    let b = if op.arity() == 2 { stack.pop().expect("an operand") } else { f64::NAN };
                    let a = stack.pop().expect("an operand");
                    let value = op.apply(semantics, a, b);
                    let arithmetic = matches!(
                        op,
                        Op::Add
                            | Op::Sub
                            | Op::Mul
                            | Op::Div
                            | Op::Neg
                            | Op::Abs
                            | Op::Inv
                            | Op::Sqrt
                            | Op::Pow2
                            | Op::Pow3
                    );
                    if rounds == Rounds::Everything {
                        let vanishes = value.abs() < 1e-290 && a != 0.0 && b != 0.0 && !matches!(op, Op::Add | Op::Sub);
                        if !value.is_finite() || value.abs() > 1e290 || vanishes {
                            return None;
                        }
                    }
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    let noise = ((random >> 40) as f64 / (1_u64 << 24) as f64 - 0.5) * 2e-15;
                    if arithmetic && rounds == Rounds::Functions { value } else { value * (1.0 + noise) }
                }
            };
            stack.push(value);
        }
        if !agrees(stack[0], exact, 1e-13) {
            return None;
        }
    }
    Some(exact)
}

fn agrees(a: f64, b: f64, tolerance: f64) -> bool {
    a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= tolerance * b.abs()
}

/// Compares the values of a system with the reference, where rounding leaves any to compare: 12 digits have to agree.
fn compare(what: &str, cases: &[(Expr, Semantics)], rows: &[Vec<f64>], values: &[Vec<f64>], rounds: Rounds) {
    assert_eq!(values.len(), cases.len(), "{what}");
    let mut compared = 0;
    for ((expr, semantics), values) in cases.iter().zip(values) {
        assert_eq!(values.len(), rows.len(), "{what}");
        for (row, &value) in rows.iter().zip(values) {
            let Some(expected) = stable(expr, row, *semantics, rounds) else { continue };
            let shown = expr.display(*semantics);
            assert!(agrees(value, expected, 1e-12), "{what}: {shown} at {row:?} is {value:e}, not {expected:e}");
            compared += 1;
        }
    }
    let share = f64::from(compared) / (cases.len() * rows.len()) as f64;
    eprintln!("{what}: {compared} values compared, {share:.3} of all");
    assert!(share > 0.4, "{what}: only {share} of the values were compared");
}

fn cases(count: usize, max_size: usize) -> Vec<(Expr, Semantics)> {
    let pair = |expr: Expr| BOTH.map(|semantics| (expr.clone(), semantics));
    expressions(count, max_size).into_iter().flat_map(pair).collect()
}

fn names() -> Vec<String> {
    ["x0", "x1", "x2"].map(String::from).to_vec()
}

fn texts(target: Target, cases: &[(Expr, Semantics)], names: &[String]) -> Vec<String> {
    let text = |(index, (expr, semantics)): (usize, &(Expr, Semantics))| {
        let (name, title) = (format!("f_{index}"), expr.to_string());
        let export = expr.export(target, *semantics).with_names(names).with_function(&name);
        // Every other one with a title.
        if index % 2 == 0 { export.to_string() } else { export.with_title(&title).to_string() }
    };
    cases.iter().enumerate().map(text).collect()
}

fn check(target: Target, system: impl FnOnce(&std::path::Path, &Work<'_>) -> Option<Vec<Vec<f64>>>) {
    let folder = tempfile::tempdir().expect("a folder");
    let (cases, rows) = (cases(120, 40), rows());
    let work = Work { texts: texts(target, &cases, &names()), rows: &rows };
    let Some(values) = system(folder.path(), &work) else { return };
    compare(target.name(), &cases, &rows, &values, Rounds::Functions);
}

#[test]
fn numpy_computes_the_values_of_the_reference() {
    check(Target::Numpy, systems::numpy);
}

#[test]
fn rust_computes_the_values_of_the_reference() {
    check(Target::Rust, systems::rust);
}

#[test]
fn c_computes_the_values_of_the_reference() {
    check(Target::C, systems::c);
}

#[test]
fn sympy_computes_the_values_of_the_reference() {
    let folder = tempfile::tempdir().expect("a folder");
    // It takes long for guarded operators in guarded operators.
    let (cases, rows) = (cases(30, 10), rows());
    let work = Work { texts: texts(Target::Sympy, &cases, &names()), rows: &rows[..5] };
    let Some(values) = systems::sympy(folder.path(), &work, &names()) else { return };
    compare("sympy", &cases, work.rows, &values, Rounds::Everything);
}

#[test]
fn latex_means_the_values_of_the_reference() {
    let (cases, rows) = (cases(400, 40), rows());
    let of = |text: &String| -> Vec<f64> {
        let line = text.lines().last().expect("a line");
        let columns = ["x_{0}", "x_{1}", "x_{2}"];
        rows.iter().map(|row| reader::latex(line, &columns, row).unwrap_or_else(|e| panic!("{line}: {e}"))).collect()
    };
    let values: Vec<Vec<f64>> = texts(Target::Latex, &cases, &names()).iter().map(of).collect();
    compare("latex", &cases, &rows, &values, Rounds::Everything);
}

#[test]
fn json_is_read_back_as_the_same_tree() {
    for (expr, semantics) in cases(400, 40) {
        let names: Vec<String> = ["a \"b\" \\ \n", "θ", "x0"].map(String::from).to_vec();
        let text = expr.export(Target::Json, semantics).with_names(&names).to_string();
        assert_eq!(text.lines().count(), 1);
        let value: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!((&value["format"], &value["version"]), (&"sr-expression".into(), &1.into()));
        assert_eq!(value["semantics"], semantics.name());
        assert_eq!(value["variables"], Value::from(names.clone()));
        assert_eq!(reader::json(&value["expression"], &names, semantics), expr, "{text}");
    }
}

#[test]
fn guarded_operators_of_numpy_give_no_warnings() {
    let Some(python) = sr_testing::python(&["numpy"]) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let guarded: Vec<Expr> = Op::ALL
        .iter()
        .filter(|op| op.is_guarded())
        .map(|&op| {
            if op.arity() == 1 {
                Expr::unary(op, &Expr::var(0))
            } else {
                Expr::binary(op, &Expr::var(1), &Expr::var(0))
            }
        })
        .collect();
    let cases: Vec<(Expr, Semantics)> = guarded.into_iter().map(|expr| (expr, Semantics::Protected)).collect();
    let names = names();
    let mut script = texts(Target::Numpy, &cases, &names).join("\n\n");
    script += "\nimport warnings\nwarnings.simplefilter('error')\n";
    script += "x = np.array([0.0, -0.0, 1e-300, -1e-11, 1e-7, -3.0, 5.0, 800.0, -800.0, np.pi / 2])\n";
    for index in 0..cases.len() {
        script += &format!("assert np.all(np.isfinite(f_{index}(x, x + 1, x)))\n");
    }
    std::fs::write(folder.path().join("main.py"), script).expect("written");
    sr_testing::succeeds(std::process::Command::new(python).arg("main.py").current_dir(folder.path()));
}
