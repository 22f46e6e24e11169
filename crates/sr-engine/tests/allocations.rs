//! Once warm, a search allocates only when its best individual improves.

use std::ops::ControlFlow;
use std::sync::Arc;

use sr_engine::random::{Key, Purpose};
use sr_engine::{Expert, Generation, Instance, PrimitiveSet, Search, SearchConfig, Survival};
use sr_expr::{Columns, Op};
use sr_testing::CountingAllocator;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// Generations after which vectors have grown to what this search needs.
const WARM: u32 = 1000;

/// Allocations in the generations after the warm-up in which the best individual did not improve, and how many those
/// are, in a search for what its operators cannot express.
fn allocations(ops: &[Op], config: SearchConfig) -> (u64, u32) {
    let rows = 50;
    let mut rng = Key::new(1, Purpose::Rows, 0).rng();
    let x: Vec<f64> = (0..2 * rows).map(|_| rng.uniform(-2.0, 2.0)).collect();
    let y = (0..rows).map(|row| libm::floor(5.0 * x[row]) + libm::cos(x[rows + row])).collect();
    let primitives = PrimitiveSet::new(ops.to_vec(), vec![1.0], 2).expect("primitives");
    let instance = Arc::new(Instance::new("p", Columns::new(rows, 2, x), y, primitives).expect("instance"));
    let mut search = Search::new(instance, SearchConfig { generations: 3 * WARM, ..config }, 1).expect("config");
    let (mut best, mut before, mut found, mut counted) = (f64::NAN, 0, 0, 0);
    let mut observer = |generation: &Generation<'_>| {
        let now = sr_testing::allocations();
        if generation.generation > WARM && generation.best.score.fitness == best {
            found += now - before;
            counted += 1;
        }
        (best, before) = (generation.best.score.fitness, now);
        ControlFlow::Continue(())
    };
    search.run_with(&mut Expert, &mut observer).expect("the expert never fails");
    (found, counted)
}

#[test]
fn generations_without_improvement_do_not_allocate() {
    let arith = &[Op::Add, Op::Sub, Op::Mul];
    let math = &[Op::Add, Op::Mul, Op::Div, Op::Sin, Op::Exp, Op::Log, Op::Sqrt];
    let basic = SearchConfig::basic();
    let plus = SearchConfig { survival: Survival::Plus, population_size: 100, ..basic.clone() };
    for (ops, config) in [(&arith[..], basic.clone()), (math, basic), (arith, plus)] {
        let (found, counted) = allocations(ops, config);
        assert!(counted > WARM, "the best individual seldom improves: {counted} generations");
        assert_eq!(found, 0, "in {counted} generations");
    }
}
