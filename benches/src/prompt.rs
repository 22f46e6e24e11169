//! Benches of prompts, of the states of one trajectory, and of grammars. Throughput counts tokens.

use std::borrow::Cow;

use criterion::{Criterion, Throughput};
use sr_engine::{Edit, Replacement};
use sr_expr::{Columns, Tree};
use sr_prompt::{
    ConstantStyle, Grammar, GrammarLimits, PromptState, PromptWriter, Rules, VOCABULARY_CAPACITY, encode_edit,
    encode_target,
};

pub fn define(c: &mut Criterion) {
    encoding(c);
    grammar(c);
}

pub fn define_ci(c: &mut Criterion) {
    define(c);
}

fn encoding(c: &mut Criterion) {
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

/// Benches the masks for every token of the last population's expressions, each written as a whole or in place of the
/// root of the next one, and the tables that a problem or a state needs for them.
fn grammar(c: &mut Criterion) {
    let trajectory = crate::trace::trajectories(1).remove(0);
    let (primitives, constants) = (&trajectory.primitives, trajectory.primitives.constants());
    let trees: Vec<&Tree> = trajectory.generations.last().individuals().map(|individual| individual.expr).collect();
    let state = PromptState::new(0, primitives, trees.iter().map(|&tree| (tree, 1.0)));
    let columns = Columns::new(0, 1, vec![]);
    let (_, slots) = PromptWriter::default().write_with_slots(&state, &columns, &[]).expect("a prompt");
    let rules = Rules::default(); // whatever the search made is allowed
    let new = || Grammar::new(primitives, GrammarLimits::default(), rules).expect("a grammar");
    let edits = || Grammar::edits(primitives, GrammarLimits::default(), rules, &slots).expect("a grammar");
    let whole: Vec<Vec<i32>> = trees.iter().map(|tree| encode_target(tree, constants).expect("a target")).collect();
    let edited: Vec<Vec<i32>> = (0..trees.len())
        .map(|parent| {
            let replacement = Replacement::Written(Cow::Borrowed(trees[(parent + 1) % trees.len()]));
            let edit = Edit { parent: parent as u32, node: trees[parent].size() as u32 - 1, replacement };
            encode_edit(&edit, &slots, constants, ConstantStyle::Numbers).expect("a target")
        })
        .collect();
    let mut group = c.benchmark_group("grammar");
    for (name, grammar, targets) in [("expression", new(), whole), ("edit", edits(), edited)] {
        let tokens: usize = targets.iter().map(Vec::len).sum();
        let mut allowed = vec![false; VOCABULARY_CAPACITY];
        let mut follow = || {
            for target in &targets {
                let mut state = grammar.start();
                for &id in target {
                    grammar.mask(&state, &mut allowed);
                    assert!(allowed[id as usize]);
                    grammar.advance(&mut state, id);
                }
            }
        };
        group.throughput(Throughput::Elements(tokens as u64));
        group.bench_function(format!("mask-and-advance/{name}"), |b| b.iter(&mut follow));
    }
    group.throughput(Throughput::Elements(1));
    group.bench_function("new/expression", |b| b.iter(new));
    group.bench_function("new/edit", |b| b.iter(edits));
    group.finish();
}
