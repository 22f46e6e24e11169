//! Properties of grammars: what they allow is well-formed, and what is well-formed they allow.

mod common;

use common::{follow, keeps_to, limits, primitives, rules, walk};
use proptest::prelude::*;
use sr_engine::PrimitiveSet;
use sr_engine::random::{Key, Purpose};
use sr_expr::testing::expr_of;
use sr_expr::{Expr, Node, Op};
use sr_prompt::{
    FreeConstants, Grammar, GrammarLimits, Rules, Token, decode_generation, decode_template, encode_generation,
    encode_target, encode_template,
};

proptest! {
    // 256 grammars of 400 children each: more than 10⁵.
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn whatever_is_allowed_is_well_formed(primitives in primitives(), limits in limits(), rules in rules(), seed: u64) {
        let grammar = match Grammar::new(&primitives, limits, rules) {
            Ok(grammar) => grammar,
            Err(error) => {
                prop_assert!(rules.contains_variable && primitives.n_variables() == 0, "{}", error);
                return Ok(());
            }
        };
        for slot in 0..400 {
            let ids = walk(&grammar, &mut Key::new(seed, Purpose::Learner, 0).slot(slot).rng());
            prop_assert!(ids.len() < limits.max_tokens);
            let tree = decode_template(&ids, &primitives, limits.max_size).expect("well-formed").expr;
            prop_assert!(tree.depth() <= limits.max_depth, "{}", tree);
            prop_assert!(keeps_to(rules, &tree), "{}", tree);
            if ids.contains(&Token::Positive.id()) || ids.contains(&Token::Negative.id()) {
                let free = limits.free_constants;
                prop_assert!(matches!(free, FreeConstants::Numbers | FreeConstants::NumbersAndPlaceholders));
            }
        }
    }

    #[test]
    fn whole_generations_are_well_formed(
        primitives in primitives(),
        limits in limits(),
        rules in rules(),
        individuals in 0..8usize,
        errors: bool,
        seed: u64,
    ) {
        let Ok(grammar) = Grammar::generation(&primitives, limits, rules, individuals, errors) else { return Ok(()) };
        for slot in 0..20 {
            let ids = walk(&grammar, &mut Key::new(seed, Purpose::Learner, 1).slot(slot).rng());
            prop_assert!(ids.len() < limits.max_tokens);
            if matches!(limits.free_constants, FreeConstants::Forbidden | FreeConstants::Numbers) {
                let trees = decode_generation(&ids, &primitives, limits.max_size);
                prop_assert_eq!(trees.len(), individuals);
                for tree in trees {
                    prop_assert!(tree.is_ok_and(|tree| tree.depth() <= limits.max_depth && keeps_to(rules, &tree)));
                }
            }
        }
    }
}

/// An expression with operators of its own kind, numbers of all sizes, and some rules that it keeps to.
fn expression() -> impl Strategy<Value = (Expr, Rules)> {
    let ops = proptest::sample::subsequence(Op::ALL.to_vec(), 1..=Op::ALL.len());
    (ops.prop_flat_map(|ops| expr_of(ops, 4, 40)), rules()).prop_map(|(tree, rules)| {
        let rules = common::kept(rules, &tree);
        (tree, rules)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn whatever_is_within_limits_and_rules_is_allowed((tree, rules) in expression()) {
        let mut constants: Vec<f64> = tree.constants().filter(|value| value.is_finite()).step_by(2).collect();
        constants.dedup_by_key(|value| value.to_bits());
        let ops = tree.nodes().iter().filter_map(|node| if let Node::Op(op) = node { Some(*op) } else { None });
        let primitives = PrimitiveSet::new(ops.collect(), constants, 4).expect("primitives");
        let target = encode_target(&tree, primitives.constants()).expect("a target");
        let template = encode_template(&tree, primitives.constants()).expect("a target");
        for (target, free_constants) in [(target, FreeConstants::Numbers), (template, FreeConstants::Placeholders)] {
            // No room for more than this expression.
            let (max_size, max_depth, max_tokens) = (tree.size(), tree.depth(), target.len());
            let limits = GrammarLimits { max_size, max_depth, max_tokens, free_constants };
            follow(&Grammar::new(&primitives, limits, rules).expect("a grammar"), &target)?;
        }
    }

    #[test]
    fn whatever_generation_is_within_limits_is_allowed(
        population in prop::collection::vec((expr_of(Op::ALL.to_vec(), 4, 20), 0.0..2.0f32), 0..8),
        errors: bool,
    ) {
        let primitives = PrimitiveSet::new(Op::ALL.to_vec(), vec![1.0], 4).expect("primitives");
        let scored = population.iter().map(|(tree, mse)| (&**tree, *mse));
        let target = encode_generation(scored, primitives.constants(), errors).expect("a target");
        let limits = GrammarLimits { max_size: 20, max_tokens: target.len(), ..GrammarLimits::default() };
        let grammar = Grammar::generation(&primitives, limits, Rules::default(), population.len(), errors);
        follow(&grammar.expect("a grammar"), &target)?;
    }
}
