//! Benches of expression evaluation: 100 random trees, three variables. Throughput counts node·rows.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use sr_engine::random::{Key, Purpose};
use sr_engine::{Limits, PrimitiveSet, try_random_tree};
use sr_expr::map::map;
use sr_expr::{Columns, Expr, Gradient, Level, Loss, Machine, Op, Program, Real, Semantics};

const ARITH: &[Op] = &[Op::Add, Op::Sub, Op::Mul, Op::Div];
const MATH: &[Op] = &[Op::Add, Op::Sub, Op::Mul, Op::Div, Op::Sin, Op::Cos, Op::Exp, Op::Log, Op::Sqrt];

/// Returns random trees of 15 to 30 nodes.
fn trees(ops: &[Op]) -> Vec<Expr> {
    let primitives = PrimitiveSet::new(ops.to_vec(), vec![1.0, 2.5], 3).expect("primitives");
    let mut rng = Key::new(1, Purpose::Generator, 0).rng();
    let limits = Limits { max_size: 1 << 9, max_depth: 8 }; // no tree of this depth has more nodes
    let drawn = std::iter::repeat_with(|| try_random_tree(&primitives, limits, &mut rng)).flatten();
    drawn.filter(|tree| (15..=30).contains(&tree.size())).take(100).collect()
}

fn data<T: Real>(rows: usize) -> Columns<T> {
    let mut rng = Key::new(1, Purpose::Rows, 0).rng();
    Columns::new(rows, 3, (0..rows * 3).map(|_| T::from_f64(rng.uniform(0.5, 3.0))).collect())
}

/// Checks that in `f64` every value has the bits of the reference, and that in `f32` nearly all are close to it (trees
/// that cancel are not).
fn check<T: Real>(machine: &mut Machine<T>, trees: &[Expr], data: &Columns<T>) {
    let (mut out, mut close, mut all) = (Vec::new(), 0, 0);
    for tree in trees {
        machine.predict(tree, data, Semantics::Ieee, &mut out);
        let expected = sr_expr::reference::predict(tree, &data.convert(), Semantics::Ieee);
        for (a, &b) in out.iter().map(|a| a.to_f64()).zip(&expected) {
            assert!(T::NAME == "f32" || a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()), "{tree}");
            close += usize::from((a - b).abs() <= 1e-3 * b.abs() || !a.is_finite() || !b.is_finite());
            all += 1;
        }
    }
    assert!(close as f64 > 0.99 * all as f64, "{close} of {all} values are close");
}

/// Benches the loss of each tree once, from its nodes, as `expr/eval-CASE/KIND/ROWS`.
fn evaluate<T: Real>(c: &mut Criterion, case: &str, ops: &[Op], level: Level, sizes: &[usize]) {
    let trees = trees(ops);
    let nodes: usize = trees.iter().map(|tree| tree.size()).sum();
    let mut group = c.benchmark_group(format!("expr/eval-{case}"));
    let kind = if level == Level::detect() { T::NAME.to_owned() } else { format!("{}-{}", T::NAME, level.name()) };
    for &rows in sizes {
        let data = data::<T>(rows);
        let y = data.column(0).to_vec();
        let mut machine = Machine::with_level(level);
        check(&mut machine, &trees, &data);
        group.throughput(Throughput::Elements((nodes * rows) as u64));
        group.bench_with_input(BenchmarkId::new(&kind, rows), &data, |b, data| {
            b.iter(|| {
                for tree in &trees {
                    let loss = Loss::Squares { y: &y, limit: T::from_f64(1e6) };
                    black_box(machine.sum(tree, data, Semantics::Ieee, loss));
                }
            });
        });
    }
    group.finish();
}

/// Benches compilation alone. Throughput counts nodes.
fn compile(c: &mut Criterion) {
    let trees = trees(ARITH);
    let nodes: usize = trees.iter().map(|tree| tree.size()).sum();
    let mut program = Program::<f64>::default();
    let mut group = c.benchmark_group("expr/compile");
    group.throughput(Throughput::Elements(nodes as u64));
    group.bench_function("arith", |b| {
        b.iter(|| {
            for tree in &trees {
                program.compile(tree, Semantics::Ieee, 3);
                assert!(program.len() <= tree.size());
            }
        });
    });
    group.finish();
}

/// Benches single operators over 1,024 rows in the first-level cache, the machine's roofline. Throughput counts values.
fn operators<T: Real>(c: &mut Criterion) {
    let data = data::<T>(1_024);
    let (a, b, mut out) = (data.column(0), data.column(1), data.column(2).to_vec());
    let mut group = c.benchmark_group(format!("expr/operator-{}", T::NAME));
    group.throughput(Throughput::Elements(1_024));
    for op in
        [Op::Add, Op::Mul, Op::Div, Op::Sqrt, Op::Exp, Op::Log, Op::Sin, Op::Cos, Op::Tan, Op::Tanh, Op::Atan, Op::Pow]
    {
        // This check also runs if a filter leaves the bench out.
        map(Level::detect(), op, Semantics::Ieee, a, b, &mut out);
        let expected = op.apply(Semantics::Ieee, a[7].to_f64(), b[7].to_f64());
        assert!((out[7].to_f64() - expected).abs() <= 1e-6 * expected.abs(), "{op}");
        group.bench_function(op.name().replace('/', "div"), |bench| {
            bench.iter(|| map(Level::detect(), op, Semantics::Ieee, a, b, black_box(&mut out)));
        });
    }
    group.finish();
}

/// Benches normal equations with respect to all constants, of trees compiled before.
fn gradient(c: &mut Criterion) {
    let trees = trees(ARITH);
    let nodes: usize = trees.iter().map(|tree| tree.size()).sum();
    let mut group = c.benchmark_group("expr/gradient/normal-equations-arith");
    for rows in [50, 1_000, 10_000] {
        let data = data::<f64>(rows);
        let y = vec![1.0; rows];
        let mut gradients = vec![Gradient::new(); trees.len()];
        let (mut out, mut jacobian, mut row) = (Vec::new(), Vec::new(), Vec::new());
        data.copy_row(0, &mut row);
        for (tree, gradient) in trees.iter().zip(&mut gradients) {
            gradient.compile(tree, Semantics::Ieee, data.n_columns());
            gradient.jacobian(&data, &mut out, &mut jacobian);
            for constant in 0..gradient.n_constants() {
                let found = jacobian[constant * rows];
                let (_, expected) = sr_expr::reference::eval_row_dual(tree, &row, Semantics::Ieee, constant);
                let both = found.is_finite() && expected.is_finite();
                assert!(
                    !both || (found - expected).abs() <= 1e-12 * expected.abs(),
                    "{found} for {expected} of {tree}"
                );
            }
            let finite = |row: usize| (0..gradient.n_constants()).all(|i| jacobian[i * rows + row].is_finite());
            let count = (0..rows).filter(|&row| out[row].is_finite() && finite(row)).count();
            assert_eq!(gradient.normal_equations(&data, &y, f64::INFINITY, None).count(), count);
        }
        group.throughput(Throughput::Elements((nodes * rows) as u64));
        group.bench_with_input(BenchmarkId::new("rows", rows), &data, |b, data| {
            b.iter(|| {
                for gradient in &mut gradients {
                    black_box(gradient.normal_equations(data, &y, f64::INFINITY, None));
                }
            });
        });
    }
    group.finish();
}

pub fn define(c: &mut Criterion) {
    let sizes = [10, 50, 200, 1_000, 10_000];
    evaluate::<f64>(c, "arith", ARITH, Level::detect(), &sizes);
    evaluate::<f64>(c, "math", MATH, Level::detect(), &sizes);
    evaluate::<f32>(c, "arith", ARITH, Level::detect(), &sizes);
    evaluate::<f32>(c, "math", MATH, Level::detect(), &sizes);
    for level in Level::ALL.into_iter().filter(|&level| level < Level::detect()) {
        evaluate::<f64>(c, "arith", ARITH, level, &[200]);
        evaluate::<f64>(c, "math", MATH, level, &[200]);
    }
    compile(c);
    gradient(c);
    operators::<f32>(c);
    operators::<f64>(c);
}

pub fn define_ci(c: &mut Criterion) {
    evaluate::<f64>(c, "arith", ARITH, Level::detect(), &[50, 1_000]);
    evaluate::<f64>(c, "math", MATH, Level::detect(), &[200]);
}
