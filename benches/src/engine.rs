//! The `basic` search on one core: population 20, 50 rows, 100 generations. Throughput counts children.

use std::sync::Arc;

use criterion::{Criterion, Throughput};
use sr_engine::random::{Key, Purpose};
use sr_engine::{Expert, Instance, PrimitiveSet, Search, SearchConfig, run};
use sr_expr::{Columns, Op};

/// A target that arithmetic cannot reach, so that no search stops early.
fn instance(ops: &[Op], rows: usize) -> Arc<Instance> {
    let mut rng = Key::new(1, Purpose::Rows, 0).rng();
    let x: Vec<f64> = (0..2 * rows).map(|_| rng.uniform(-2.0, 2.0)).collect();
    let y = (0..rows).map(|row| (3.0 * x[row]).sin() + (x[rows + row] * x[rows + row]).cos()).collect();
    let primitives = PrimitiveSet::new(ops.to_vec(), vec![1.0], 2).expect("primitives");
    Arc::new(Instance::new("bench", Columns::new(rows, 2, x), y, primitives).expect("instance"))
}

fn search(c: &mut Criterion, case: &str, ops: &[Op]) {
    const GENERATIONS: u32 = 101;
    let instance = instance(ops, 50);
    let config = SearchConfig { generations: GENERATIONS, early_stop_mse: None, ..SearchConfig::basic() };
    let children = 19 * u64::from(GENERATIONS - 1);
    let mut group = c.benchmark_group("engine/basic-search");
    group.throughput(Throughput::Elements(children));
    group.bench_function(format!("{case}/pop-20-rows-50"), |b| {
        b.iter(|| {
            let mut search = Search::new(instance.clone(), config.clone(), 1).expect("config");
            let outcome = run(std::slice::from_mut(&mut search), &mut Expert, &mut [()]).remove(0);
            assert_eq!(outcome.evaluations.search, children + 20);
            outcome
        });
    });
    group.finish();
}

pub fn define(c: &mut Criterion) {
    search(c, "arith", &[Op::Add, Op::Sub, Op::Mul]);
    search(c, "math", &[Op::Add, Op::Sub, Op::Mul, Op::Div, Op::Sin, Op::Cos, Op::Exp, Op::Log, Op::Sqrt]);
}

pub fn define_ci(c: &mut Criterion) {
    search(c, "arith", &[Op::Add, Op::Sub, Op::Mul]);
}
