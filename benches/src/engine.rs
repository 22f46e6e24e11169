//! Benches of searches on one core. Throughput counts offspring.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput};
use sr_engine::random::{Key, Purpose};
use sr_engine::{
    ConstantFitter, Expert, Instance, Limits, PrimitiveSet, Search, SearchConfig, Survival, try_random_tree,
};
use sr_expr::{Columns, Expr, Op, Semantics};

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

/// Benches a search of preset `default`, whose children have their constants fitted. Throughput counts children, which are
/// fewer than the population where all structures have been met.
fn fitting_search(c: &mut Criterion, rows: usize) {
    let instance = instance(MATH, rows);
    let config = SearchConfig { generations: 21, early_stop_mse: None, ..SearchConfig::default() };
    let run = || {
        let mut search = Search::new(instance.clone(), config.clone(), 1).expect("config");
        search.run(&mut Expert).expect("the expert never fails")
    };
    let children = run().evaluations.search - config.population_size as u64;
    let mut group = c.benchmark_group("engine/default-search");
    group.throughput(Throughput::Elements(children));
    group.bench_function(format!("math/pop-{}-rows-{rows}", config.population_size), |b| b.iter(run));
    group.finish();
}

/// Returns random trees of 9 to 20 nodes with three constants that the instance's data identify.
fn trees_with_three_constants(ops: &[Op], instance: &Instance) -> Vec<Expr> {
    let primitives = PrimitiveSet::new(ops.to_vec(), vec![0.5, 1.0, 2.0], 2).expect("primitives");
    let mut rng = Key::new(1, Purpose::Generator, 0).rng();
    let limits = Limits { max_size: 1 << 7, max_depth: 6 }; // no tree of this depth has more nodes
    let drawn = std::iter::repeat_with(|| try_random_tree(&primitives, limits, &mut rng)).flatten();
    let wanted = |tree: &Expr| {
        let identified = || ConstantFitter::new().fit(tree, instance, Semantics::Ieee, 4).identified;
        (9..=20).contains(&tree.size()) && tree.constants().count() == 3 && identified() == 3
    };
    drawn.filter(wanted).take(100).collect()
}

/// Benches fits of children with three constants, each from its nodes, as `engine/constants/CASE/steps-N-rows-M`.
/// Throughput counts fits.
fn constants(c: &mut Criterion, case: &str, ops: &[Op], rows: usize, weighted: bool) {
    const STEPS: u32 = 4;
    let instance = instance(ops, rows);
    let instance = if weighted {
        let weights = instance.y().iter().map(|y| 1.0 / (y.abs() + 1e-3)).collect();
        Arc::new(Instance::clone(&instance).with_weights(weights).expect("weights"))
    } else {
        instance
    };
    let trees = trees_with_three_constants(ops, &instance);
    let mut fitter = ConstantFitter::new();
    for tree in &trees {
        let fitted = fitter.fit(tree, &instance, Semantics::Ieee, STEPS);
        let (error, start) = (fitted.error, fitted.start);
        let found = instance.fit(fitted.tree, Semantics::Ieee).relative;
        assert!(error <= start && (error - found).abs() <= 1e-12 * error, "{error} for {found} of {tree}");
    }
    let mut group = c.benchmark_group("engine/constants");
    group.throughput(Throughput::Elements(trees.len() as u64));
    group.bench_function(format!("{case}/steps-{STEPS}-rows-{rows}"), |b| {
        b.iter(|| {
            for tree in &trees {
                black_box(fitter.fit(tree, &instance, Semantics::Ieee, STEPS));
            }
        });
    });
    group.finish();
}

pub fn define(c: &mut Criterion) {
    constants(c, "arith", &[Op::Add, Op::Sub, Op::Mul, Op::Div], 200, false);
    constants(c, "math", MATH, 200, false);
    constants(c, "math-weighted", MATH, 200, true);
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
    fitting_search(c, 200);
}

pub fn define_ci(c: &mut Criterion) {
    let basic = SearchConfig { generations: 101, ..SearchConfig::basic() };
    search(c, "basic-search", "arith", ARITH, 50, basic.clone());
    search(c, "basic-search", "math", MATH, 300, basic);
}
