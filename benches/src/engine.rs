//! Benches of searches on one core. Throughput counts offspring.

use std::sync::Arc;

use criterion::{Criterion, Throughput};
use sr_engine::random::{Key, Purpose};
use sr_engine::{Expert, Instance, PrimitiveSet, Search, SearchConfig, Survival};
use sr_expr::{Columns, Op};

const ARITH: &[Op] = &[Op::Add, Op::Sub, Op::Mul];
const MATH: &[Op] = &[Op::Add, Op::Sub, Op::Mul, Op::Div, Op::Sin, Op::Cos, Op::Exp, Op::Log, Op::Sqrt];

/// Returns an instance whose target arithmetic cannot reach, so that no search stops early.
fn instance(ops: &[Op], rows: usize) -> Arc<Instance> {
    let mut rng = Key::new(1, Purpose::Rows, 0).rng();
    let x: Vec<f64> = (0..2 * rows).map(|_| rng.uniform(-2.0, 2.0)).collect();
    let y = (0..rows).map(|row| (3.0 * x[row]).sin() + (x[rows + row] * x[rows + row]).cos()).collect();
    let primitives = PrimitiveSet::new(ops.to_vec(), vec![1.0], 2).expect("primitives");
    Arc::new(Instance::new("bench", Columns::new(rows, 2, x), y, primitives).expect("instance"))
}

/// Benches a search as `engine/GROUP/CASE/pop-N-rows-M`.
fn search(c: &mut Criterion, group: &str, case: &str, ops: &[Op], rows: usize, config: SearchConfig) {
    let instance = instance(ops, rows);
    let config = SearchConfig { early_stop_mse: None, ..config };
    let children = (config.population_size - config.elitism) as u64 * u64::from(config.generations - 1);
    let mut group = c.benchmark_group(format!("engine/{group}"));
    group.throughput(Throughput::Elements(children));
    group.bench_function(format!("{case}/pop-{}-rows-{rows}", config.population_size), |b| {
        b.iter(|| {
            let mut search = Search::new(instance.clone(), config.clone(), 1).expect("config");
            let outcome = search.run(&mut Expert).expect("the expert never fails");
            assert_eq!(outcome.evaluations.search, children + config.population_size as u64);
            outcome
        });
    });
    group.finish();
}

pub fn define(c: &mut Criterion) {
    let basic = SearchConfig { generations: 101, ..SearchConfig::basic() };
    search(c, "basic-search", "arith", ARITH, 50, basic.clone());
    search(c, "basic-search", "math", MATH, 50, basic.clone());
    // The most rows without kept subtrees, and the fewest with them.
    search(c, "basic-search", "math", MATH, 127, basic.clone());
    search(c, "basic-search", "math", MATH, 128, basic.clone());
    search(c, "basic-search", "math", MATH, 1_000, basic.clone());
    let plus = SearchConfig { survival: Survival::Plus, ..basic.clone() };
    search(c, "plus-search", "math", MATH, 1_000, plus);
    let large = SearchConfig { population_size: 1_000, generations: 21, ..basic };
    search(c, "large-search", "math", MATH, 100, large.clone());
    search(c, "large-search", "math", MATH, 1_000, large);
}

pub fn define_ci(c: &mut Criterion) {
    let basic = SearchConfig { generations: 101, ..SearchConfig::basic() };
    search(c, "basic-search", "arith", ARITH, 50, basic.clone());
    search(c, "basic-search", "math", MATH, 300, basic);
}
