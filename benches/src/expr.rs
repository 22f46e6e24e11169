//! Expression evaluation: 100 random trees, three variables. Throughput counts node·rows.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use sr_engine::random::{Key, Purpose};
use sr_engine::{PrimitiveSet, random_tree};
use sr_expr::{Columns, Expr, Machine, Op, Semantics};

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

pub fn define(c: &mut Criterion) {
    evaluate(c, "arith", &[Op::Add, Op::Sub, Op::Mul, Op::Div], &[10, 50, 1_000, 10_000]);
    let math = [Op::Add, Op::Sub, Op::Mul, Op::Div, Op::Sin, Op::Cos, Op::Exp, Op::Log, Op::Sqrt];
    evaluate(c, "math", &math, &[10, 50, 1_000, 10_000]);
}

pub fn define_ci(c: &mut Criterion) {
    evaluate(c, "arith", &[Op::Add, Op::Sub, Op::Mul, Op::Div], &[50, 1_000]);
}
