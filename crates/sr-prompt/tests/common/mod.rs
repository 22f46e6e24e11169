//! Functions that the tests of grammars and edits share.

use proptest::prelude::*;
use sr_engine::PrimitiveSet;
use sr_engine::random::Rng;
use sr_expr::{Node, Op, Tree};
use sr_prompt::{FreeConstants, Grammar, GrammarLimits, Rules, Token, VOCABULARY_CAPACITY, to_text};

const TRIGONOMETRY: [Op; 6] = [Op::Sin, Op::Cos, Op::Tan, Op::Asin, Op::Acos, Op::Atan];

/// Returns whether a tree keeps the rules, checked by their wording and without any counting.
pub(crate) fn keeps_to(rules: Rules, tree: &Tree) -> bool {
    let is_trigonometric = |node: &Node| matches!(node, Node::Op(op) if TRIGONOMETRY.contains(op));
    let has_variable = |tree: &Tree| tree.nodes().iter().any(|node| matches!(node, Node::Var(_)));
    let mut subtrees = (0..tree.size()).map(|node| tree.subtree(node));
    let fine = |part: &Tree| {
        let (root, below) = part.nodes().split_last().expect("a tree has a root");
        let nested = is_trigonometric(root) && below.iter().any(is_trigonometric);
        let constant = root.arity() > 0 && !has_variable(part);
        !(rules.no_nested_trigonometry && nested || rules.no_constant_operators && constant)
    };
    subtrees.all(fine) && (has_variable(tree) || !rules.contains_variable)
}

/// Returns those of the rules that a tree keeps.
pub(crate) fn kept(rules: Rules, tree: &Tree) -> Rules {
    let Rules { no_nested_trigonometry, contains_variable, no_constant_operators } = rules;
    let keeps = |rule: Rules| keeps_to(rule, tree);
    Rules {
        no_nested_trigonometry: no_nested_trigonometry && keeps(Rules { no_nested_trigonometry, ..Rules::default() }),
        contains_variable: contains_variable && keeps(Rules { contains_variable, ..Rules::default() }),
        no_constant_operators: no_constant_operators && keeps(Rules { no_constant_operators, ..Rules::default() }),
    }
}

/// Follows a target to its end and checks at each token that it may come next.
pub(crate) fn follow(grammar: &Grammar, ids: &[i32]) -> Result<(), TestCaseError> {
    let mut state = grammar.start();
    for (position, &id) in ids.iter().enumerate() {
        prop_assert!(grammar.allows(&state, id), "token {} of {}", position, to_text(ids));
        grammar.advance(&mut state, id);
    }
    prop_assert!(grammar.is_complete(&state));
    prop_assert!(ids.len() <= grammar.longest());
    Ok(())
}

/// A text of tokens drawn from what is allowed. `<eos>` is left out.
pub(crate) fn walk(grammar: &Grammar, rng: &mut Rng) -> Vec<i32> {
    let (mut ids, mut state) = (Vec::new(), grammar.start());
    let mut mask = vec![false; VOCABULARY_CAPACITY];
    loop {
        grammar.mask(&state, &mut mask);
        let allowed: Vec<i32> = (0..mask.len() as i32).filter(|&id| mask[id as usize]).collect();
        assert!(!allowed.is_empty(), "a dead end after {}", to_text(&ids));
        assert_eq!(allowed.contains(&Token::Eos.id()), grammar.is_complete(&state));
        let id = allowed[rng.below(allowed.len())];
        if id == Token::Eos.id() {
            assert_eq!(allowed.len(), 1);
            assert!(ids.len() < grammar.longest());
            return ids;
        }
        ids.push(id);
        grammar.advance(&mut state, id);
    }
}

pub(crate) fn primitives() -> impl Strategy<Value = PrimitiveSet> {
    let ops = prop_oneof![
        3 => proptest::sample::subsequence(Op::ALL.to_vec(), 0..=Op::ALL.len()),
        1 => Just(vec![Op::Add, Op::Sin, Op::Atan]),
    ];
    let constants = proptest::sample::subsequence((0..18).map(f64::from).collect::<Vec<_>>(), 0..=18);
    (ops, constants, 0..6u16).prop_filter_map("no terminal", |(ops, constants, n_variables)| {
        PrimitiveSet::new(ops, constants, n_variables).ok()
    })
}

pub(crate) fn limits() -> impl Strategy<Value = GrammarLimits> {
    let free_constants = proptest::sample::select(vec![
        FreeConstants::Forbidden,
        FreeConstants::Numbers,
        FreeConstants::Placeholders,
        FreeConstants::NumbersAndPlaceholders,
    ]);
    let depth = prop_oneof![0..10usize, Just(usize::MAX)];
    let tokens = prop_oneof![2..60usize, Just(usize::MAX)];
    (1..40usize, depth, tokens, free_constants).prop_map(|(max_size, max_depth, max_tokens, free_constants)| {
        GrammarLimits { max_size, max_depth, max_tokens, free_constants }
    })
}

pub(crate) fn rules() -> impl Strategy<Value = Rules> {
    (any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |(no_nested_trigonometry, contains_variable, no_constant_operators)| Rules {
            no_nested_trigonometry,
            contains_variable,
            no_constant_operators,
        },
    )
}
