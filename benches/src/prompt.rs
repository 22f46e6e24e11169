//! Encoding prompts: the states of one trajectory. Throughput counts tokens.

use criterion::{Criterion, Throughput};
use sr_expr::Columns;
use sr_prompt::{PromptState, PromptWriter};

pub fn define(c: &mut Criterion) {
    let trajectory = crate::trace::trajectories(1).remove(0);
    let (x, y) = (Columns::new(0, 1, vec![]), []); // the basic context tells nothing of the data
    let writer = PromptWriter::default();
    let encode = || -> usize {
        let state = |generation: sr_trace::GenerationRecord<'_>| {
            let population = generation.individuals().map(|i| (i.expr, i.mse));
            let state = PromptState::new(generation.generation, &trajectory.primitives, population);
            writer.write(&state, &x, &y).expect("a prompt").len()
        };
        trajectory.generations.iter().map(state).sum()
    };
    let tokens = encode();
    let mut group = c.benchmark_group("prompt");
    group.throughput(Throughput::Elements(tokens as u64));
    group.bench_function("encode/states-50", |b| b.iter(|| assert_eq!(encode(), tokens)));
    group.finish();
}

pub fn define_ci(c: &mut Criterion) {
    define(c);
}
