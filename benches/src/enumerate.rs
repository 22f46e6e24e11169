//! Benches of the enumeration of distinct expressions on one core, 64 rows each, hashed and scored.
//!
//! Throughput counts expressions that are equal to none before them, not those that were computed: example `speed` of
//! `sr-enumerate` prints both.

use criterion::{BenchmarkId, Criterion, Throughput};
use sr_engine::random::{Key, Purpose};
use sr_enumerate::{Data, Distinct, Options, count_distinct};
use sr_expr::{Columns, Op};

/// Arithmetic first, then functions.
const OPS: &[Op] = &[Op::Add, Op::Sub, Op::Mul, Op::Div, Op::Pow2, Op::Sqrt, Op::Exp, Op::Log, Op::Sin, Op::Cos];

/// Benches `enumerate/STORED/CASE/variables-N`: an enumeration until there are at least `at_least` distinct expressions.
fn enumerate(c: &mut Criterion, case: &str, ops: &[Op], variables: usize, at_least: usize, stored: bool) {
    let mut rng = Key::new(1, Purpose::Rows, 0).rng();
    let x = Columns::new(64, variables, (0..64 * variables).map(|_| rng.uniform(0.5, 2.5)).collect());
    let y: Vec<f64> = (0..64).map(|_| rng.uniform(0.5, 2.5)).collect();
    let options = Options { operators: ops.to_vec(), max_cost: 30, ..Options::default() };
    let data = Data { x: &x, y: &y, weights: None };
    let run = || count_distinct(data, &options, at_least, stored).expect("usable data");
    let Distinct { computed, distinct, .. } = run();
    assert!(distinct >= at_least && computed >= distinct as u64 - 10);
    let mut group = c.benchmark_group(if stored { "enumerate/stored" } else { "enumerate/distinct" });
    group.sample_size(10);
    group.throughput(Throughput::Elements(distinct as u64));
    let id = BenchmarkId::new(case, format!("variables-{variables}"));
    group.bench_function(id, |b| {
        b.iter(|| assert_eq!(run().distinct, distinct));
    });
    group.finish();
}

pub fn define(c: &mut Criterion) {
    for stored in [false, true] {
        for (case, ops) in [("arithmetic", &OPS[..4]), ("math", OPS)] {
            for variables in [1, 2, 3, 5] {
                enumerate(c, case, ops, variables, 500_000, stored);
            }
        }
    }
}

pub fn define_ci(c: &mut Criterion) {
    enumerate(c, "math", OPS, 2, 30_000, false);
}
