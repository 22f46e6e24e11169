//! Properties of grammars: what they allow is well-formed, and what is well-formed they allow.

use proptest::prelude::*;
use sr_engine::PrimitiveSet;
use sr_engine::random::{Key, Purpose, Rng};
use sr_expr::testing::expr_of;
use sr_expr::{Expr, Node, Op, Tree};
use sr_prompt::{
    FreeConstants, Grammar, GrammarLimits, Rules, Token, VOCABULARY_CAPACITY, decode, decode_generation,
    encode_generation, encode_target, to_text,
};

const TRIGONOMETRY: [Op; 6] = [Op::Sin, Op::Cos, Op::Tan, Op::Asin, Op::Acos, Op::Atan];

/// The rules as they read, without any counting.
fn keeps_to(rules: Rules, tree: &Tree) -> bool {
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

/// Follows a text and checks at each token that it may come next, and `<eos>` only at the end.
fn follow(grammar: &Grammar, ids: &[i32]) -> Result<(), TestCaseError> {
    let mut state = grammar.start();
    for (position, &id) in ids.iter().enumerate() {
        prop_assert!(grammar.allows(&state, id), "token {} of {}", position, to_text(ids));
        grammar.advance(&mut state, id);
    }
    prop_assert!(grammar.is_complete(&state));
    Ok(())
}

/// A text of tokens drawn from what is allowed. `<eos>` is left out.
fn walk(grammar: &Grammar, rng: &mut Rng) -> Vec<i32> {
    let (mut ids, mut state) = (Vec::new(), grammar.start());
    let mut mask = vec![false; VOCABULARY_CAPACITY];
    loop {
        grammar.mask(&state, &mut mask);
        let allowed: Vec<i32> = (0..mask.len() as i32).filter(|&id| mask[id as usize]).collect();
        assert!(!allowed.is_empty(), "a dead end after {}", to_text(&ids));
        assert_eq!(allowed.contains(&Token::Eos.id()), grammar.is_complete(&state));
        // Numbers have hundreds of tokens, and a text of them alone would show little.
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

fn primitives() -> impl Strategy<Value = PrimitiveSet> {
    let ops = prop_oneof![
        3 => proptest::sample::subsequence(Op::ALL.to_vec(), 0..=Op::ALL.len()),
        1 => Just(vec![Op::Add, Op::Sin, Op::Atan]),
    ];
    let constants = proptest::sample::subsequence((0..18).map(f64::from).collect::<Vec<_>>(), 0..=18);
    (ops, constants, 0..6u16).prop_filter_map("no terminal", |(ops, constants, n_variables)| {
        PrimitiveSet::new(ops, constants, n_variables).ok()
    })
}

fn limits() -> impl Strategy<Value = GrammarLimits> {
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

fn rules() -> impl Strategy<Value = Rules> {
    (any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |(no_nested_trigonometry, contains_variable, no_constant_operators)| Rules {
            no_nested_trigonometry,
            contains_variable,
            no_constant_operators,
        },
    )
}

/// The expression of a text; a placeholder stands for some number.
fn read(ids: &[i32], primitives: &PrimitiveSet, max_size: usize) -> Expr {
    let number = encode_target(&Expr::constant(0.125), &[]).expect("a number");
    let filled: Vec<i32> =
        ids.iter().flat_map(|&id| if id == Token::Constant.id() { number[..4].to_vec() } else { vec![id] }).collect();
    decode(&filled, primitives, max_size).unwrap_or_else(|error| panic!("{}: {error}", to_text(ids)))
}

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
            let tree = read(&ids, &primitives, limits.max_size);
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
        let keeps = |rule: Rules| keeps_to(rule, &tree);
        let Rules { no_nested_trigonometry, contains_variable, no_constant_operators } = rules;
        let rules = Rules {
            no_nested_trigonometry: no_nested_trigonometry
                && keeps(Rules { no_nested_trigonometry, ..Rules::default() }),
            contains_variable: contains_variable && keeps(Rules { contains_variable, ..Rules::default() }),
            no_constant_operators: no_constant_operators && keeps(Rules { no_constant_operators, ..Rules::default() }),
        };
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
        // No room for more than this expression.
        let limits = GrammarLimits {
            max_size: tree.size(),
            max_depth: tree.depth(),
            max_tokens: target.len(),
            free_constants: FreeConstants::Numbers,
        };
        follow(&Grammar::new(&primitives, limits, rules).expect("a grammar"), &target)?;
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
