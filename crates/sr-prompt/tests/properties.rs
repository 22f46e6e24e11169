//! Properties of the model's text.

#[path = "common/listed.rs"]
mod listed;

use std::ops::ControlFlow;
use std::sync::Arc;

use listed::listed;
use proptest::prelude::*;
use sr_engine::{Expert, Generation, Instance, PolicyError, PrimitiveSet, Request, Search, SearchConfig, State};
use sr_expr::testing::expr;
use sr_expr::{Columns, Expr, Node, Op};
use sr_prompt::{
    Context, PromptState, PromptWriter, Token, decode_expression, decode_generation, encode_generation, encode_target,
    to_text, tokenizer_json,
};

/// Returns a writer of the richest context.
fn writer() -> PromptWriter {
    PromptWriter { context: Context::SuperRich, ..PromptWriter::default() }
}

/// A short search whose every state has been written, from the live state and from what a trace keeps of it.
fn prompts_of_a_search(seed: u64) -> Vec<(Vec<i32>, Vec<i32>)> {
    /// Writes what it sees and lets the expert propose.
    struct Writing<'a>(&'a mut Vec<Vec<i32>>);
    impl sr_engine::Policy for Writing<'_> {
        fn propose(&mut self, requests: &mut [Request<'_>]) -> Result<(), PolicyError> {
            let write = |state: &State<'_>| {
                writer().write(&PromptState::of(state), state.instance.x(), state.instance.y()).expect("a prompt")
            };
            self.0.extend(requests.iter().map(|request| write(&request.state)));
            Expert.propose(requests)
        }
    }
    let x = Columns::new(20, 2, (0..40).map(|i| f64::from(i) / 7.0 - 2.0).collect());
    let y: Vec<f64> = x.column(0).iter().zip(x.column(1)).map(|(a, b)| a * a * b + a.abs().sqrt() / 3.0).collect();
    let primitives = PrimitiveSet::new(vec![Op::Add, Op::Sub, Op::Mul, Op::Div, Op::Sin], vec![1.0, 2.5], 2);
    let instance = Arc::new(Instance::new("p", x, y, primitives.expect("primitives")).expect("an instance"));
    let config = SearchConfig { generations: 12, ..SearchConfig::basic() };
    let mut search = Search::new(instance.clone(), config, seed).expect("a search");
    let mut recorded = Vec::new();
    let record = |g: &Generation<'_>| {
        let kept: Vec<(Expr, f32)> = g.population.iter().map(|i| (i.tree.to_owned(), i.score.mse as f32)).collect();
        recorded.push((g.generation, kept));
        ControlFlow::Continue(())
    };
    let mut live = Vec::new();
    search.run_with(&mut Writing(&mut live), &mut { record }).expect("the expert never fails");
    let read = recorded.iter().map(|(generation, kept)| {
        let population = kept.iter().map(|(expr, mse)| (&**expr, *mse));
        let state = PromptState::new(*generation, instance.primitives(), population);
        writer().write(&state, instance.x(), instance.y()).expect("a prompt")
    });
    live.into_iter().zip(read).collect()
}

#[test]
fn training_and_inference_read_the_same_prompt() {
    let prompts = prompts_of_a_search(1);
    assert_eq!(prompts.len(), 11);
    for (live, read) in prompts {
        assert_eq!(to_text(&live), to_text(&read));
    }
}

#[test]
fn the_tokenizers_library_reads_a_prompt_the_same() {
    let tokenizer = tokenizers::Tokenizer::from_bytes(tokenizer_json()).expect("our own tokenizer");
    for (ids, _) in prompts_of_a_search(2) {
        let theirs = tokenizer.encode_fast(to_text(&ids), false).expect("plain text");
        assert!(theirs.get_ids().iter().map(|&id| id as i32).eq(ids));
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(e in expr(5, 40)) {
        let constants = vec![1.0, -0.1, 1e300];
        let primitives = PrimitiveSet::new(Op::ALL.to_vec(), constants.clone(), 5).expect("primitives");
        let e = listed(&e, &constants);
        let target = encode_target(&e, &constants).expect("a target");
        prop_assert_eq!(target.len(), e.size() + 1);
        prop_assert_eq!(decode_expression(&target[..e.size()], &primitives, 40), Ok(e));
    }

    #[test]
    fn a_generation_is_read_again(
        population in prop::collection::vec((expr(5, 40), prop_oneof![Just(f32::INFINITY), 0.0..2.0f32]), 0..20),
        errors: bool,
    ) {
        let constants = vec![1.0, -0.1, 1e300];
        let primitives = PrimitiveSet::new(Op::ALL.to_vec(), constants.clone(), 5).expect("primitives");
        let population: Vec<(Expr, f32)> =
            population.into_iter().map(|(e, mse)| (listed(&e, &constants), mse)).collect();
        let scored = population.iter().map(|(e, mse)| (&**e, *mse));
        let target = encode_generation(scored, &constants, errors).expect("a target");
        let read = decode_generation(&target[..target.len() - 1], &primitives, 40);
        let read = read.into_iter().collect::<Result<Vec<Expr>, _>>();
        prop_assert_eq!(read, Ok(population.into_iter().map(|(e, _)| e).collect()));
    }

    #[test]
    fn numbers_come_back_within_four_digits(value in -1e6..1e6f64) {
        let primitives = PrimitiveSet::new(vec![], vec![], 1).expect("primitives");
        let target = encode_target(&Expr::constant(value), &[]).expect("a target");
        let read = decode_expression(&target[..4], &primitives, 1).expect("well-formed");
        let Node::Const(read) = read.nodes()[0] else { panic!("no constant") };
        prop_assert!((read - value).abs() <= 5.1e-4 * value.abs(), "{} became {}", value, read);
        // What was rounded once is not rounded again.
        let again = encode_target(&Expr::constant(read), &[]).expect("a target");
        prop_assert_eq!(target, again);
    }

    #[test]
    fn any_ids_are_read_or_refused_without_a_panic(ids in prop::collection::vec(-2..470i32, 0..12)) {
        let primitives = PrimitiveSet::new(Op::ALL.to_vec(), vec![1.0], 2).expect("primitives");
        for e in decode_generation(&ids, &primitives, 8).into_iter().chain([decode_expression(&ids, &primitives, 8)]).flatten() {
            prop_assert!(e.size() <= 8 && e.n_variables() <= 2);
        }
    }

    #[test]
    fn the_order_of_the_population_does_not_matter(
        population in prop::collection::vec((expr(3, 12), prop_oneof![Just(0.5_f32), 0.0..2.0f32]), 1..20),
        rotation in 0..20usize,
    ) {
        let primitives = PrimitiveSet::new(Op::ALL.to_vec(), vec![1.0], 3).expect("primitives");
        // One form has one error.
        let error_of = |e: &Expr| population.iter().find(|(other, _)| other == e).expect("it is one of them").1;
        let individuals: Vec<(&Expr, f32)> = population.iter().map(|(e, _)| (e, error_of(e))).collect();
        let write = |individuals: &[(&Expr, f32)]| {
            let state = PromptState::new(4, &primitives, individuals.iter().map(|&(e, mse)| (&**e, mse)));
            let writer = PromptWriter { max_tokens: 90, ..PromptWriter::default() };
            writer.write(&state, &Columns::new(0, 3, vec![]), &[]).expect("a prompt")
        };
        let mut rotated = individuals.clone();
        rotated.rotate_left(rotation % individuals.len());
        let prompt = write(&individuals);
        prop_assert!(prompt.len() <= 90);
        prop_assert_eq!(prompt.last(), Some(&Token::Target.id()));
        prop_assert_eq!(prompt, write(&rotated));
    }
}
