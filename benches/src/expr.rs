//! Expression evaluation: 100 random trees, three variables. Throughput counts node·rows.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use sr_engine::random::{Key, Purpose};
use sr_engine::{PrimitiveSet, random_tree};
use sr_expr::{Columns, Expr, Gradient, Machine, Op, Semantics};

/// Random trees of 15 to 30 nodes.
fn trees(ops: &[Op]) -> Vec<Expr> {
    let primitives = PrimitiveSet::new(ops.to_vec(), vec![1.0, 2.5], 3).expect("primitives");
    let mut rng = Key::new(1, Purpose::Generator, 0).rng();
    let mut drawn = std::iter::repeat_with(|| random_tree(&primitives, 8, &mut rng));
    drawn.by_ref().filter(|tree| (15..=30).contains(&tree.size())).take(100).collect()
}

fn data(rows: usize) -> Columns {
    let mut rng = Key::new(1, Purpose::Rows, 0).rng();
    Columns::new(rows, 3, (0..rows * 3).map(|_| rng.uniform(0.5, 3.0)).collect())
}

fn evaluate(c: &mut Criterion, case: &str, ops: &[Op], sizes: &[usize]) {
    let trees = trees(ops);
    let nodes: usize = trees.iter().map(|tree| tree.size()).sum();
    let mut group = c.benchmark_group(format!("expr/eval-{case}"));
    for &rows in sizes {
        let data = data(rows);
        let (mut machine, mut out) = (Machine::new(), Vec::new());
        for tree in &trees {
            machine.predict(tree, &data, Semantics::Ieee, &mut out);
            let expected = sr_expr::reference::predict(tree, &data, Semantics::Ieee);
            assert!(out.iter().zip(&expected).all(|(a, b)| a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())));
        }
        group.throughput(Throughput::Elements((nodes * rows) as u64));
        group.bench_with_input(BenchmarkId::new("rows", rows), &data, |b, data| {
            b.iter(|| {
                for tree in &trees {
                    machine.predict(tree, data, Semantics::Ieee, &mut out);
                    black_box(out.last());
                }
            });
        });
    }
    group.finish();
}

/// Normal equations with respect to all constants, of trees compiled before.
fn gradient(c: &mut Criterion) {
    let trees = trees(&[Op::Add, Op::Sub, Op::Mul, Op::Div]);
    let nodes: usize = trees.iter().map(|tree| tree.size()).sum();
    let mut group = c.benchmark_group("expr/gradient/normal-equations-arith");
    for rows in [50, 1_000, 10_000] {
        let data = data(rows);
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
    gradient(c);
    evaluate(c, "arith", &[Op::Add, Op::Sub, Op::Mul, Op::Div], &[10, 50, 1_000, 10_000]);
    let math = [Op::Add, Op::Sub, Op::Mul, Op::Div, Op::Sin, Op::Cos, Op::Exp, Op::Log, Op::Sqrt];
    evaluate(c, "math", &math, &[10, 50, 1_000, 10_000]);
}

pub fn define_ci(c: &mut Criterion) {
    evaluate(c, "arith", &[Op::Add, Op::Sub, Op::Mul, Op::Div], &[50, 1_000]);
}
