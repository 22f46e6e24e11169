//! Properties of the language of edits.

mod common;
#[path = "common/listed.rs"]
mod listed;

use std::borrow::Cow;
use std::sync::Arc;

use common::{follow, keeps_to, kept, limits, primitives, rules, walk};
use proptest::prelude::*;
use proptest::sample::Index;
use sr_engine::random::{Key, Purpose};
use sr_engine::{
    Child, Edit, Expert, IndividualRef, Instance, Origin, Parents, Policy, PolicyError, Population, PrimitiveSet,
    Replacement, Request, Score, Search, SearchConfig,
};
use sr_expr::testing::expr;
use sr_expr::{Columns, Expr, Node, Op, Tree};
use sr_prompt::{
    ConstantStyle, EditWriter, FreeConstants, Grammar, GrammarLimits, PopulationOrder, PromptState, PromptWriter,
    Rules, Slots, Token, decode_edit, encode_edit, encode_full, to_text,
};

const CONSTANTS: [f64; 2] = [1.0, -2.5];

fn all_primitives() -> PrimitiveSet {
    PrimitiveSet::new(Op::ALL.to_vec(), CONSTANTS.to_vec(), 4).expect("primitives")
}

fn slots<'a>(population: &'a [Expr], primitives: &'a PrimitiveSet, order: PopulationOrder) -> Slots<'a> {
    let scored = population.iter().enumerate().map(|(index, tree)| (&**tree, (index * 7 % 5) as f32));
    let state = PromptState::new(0, primitives, scored);
    let writer = PromptWriter { max_tokens: 3000, population_order: order, ..PromptWriter::default() };
    let columns = Columns::new(0, usize::from(primitives.n_variables()), vec![]);
    writer.write_with_slots(&state, &columns, &[]).expect("a prompt").1
}

/// Some trees are larger than there are positions, some populations than there are slots, and some forms stand twice.
fn population() -> impl Strategy<Value = Vec<Expr>> {
    let tree = prop_oneof![6 => expr(4, 20), 1 => expr(4, 150)].prop_map(|tree| listed::listed(&tree, &CONSTANTS));
    prop::collection::vec(tree, 1..50).prop_map(|mut trees| {
        trees.push(trees[0].clone());
        trees
    })
}

#[derive(Debug, Clone)]
enum Put {
    Donor(Index, Index),
    Written(Expr),
    Itself,
}

fn edit<'a>(population: &[Expr], parent: Index, node: Index, put: &'a Put) -> Edit<'a> {
    let individual = |index: &Index| index.index(population.len());
    let parent = individual(&parent);
    let node = node.index(population[parent].size()) as u32;
    let replacement = match put {
        Put::Donor(donor, node) => {
            let donor = individual(donor);
            Replacement::Donor { parent: donor as u32, node: node.index(population[donor].size()) as u32 }
        }
        Put::Written(tree) => Replacement::Written(Cow::Borrowed(tree)),
        Put::Itself => return Edit::copy(parent as u32, &population[parent]),
    };
    Edit { parent: parent as u32, node, replacement }
}

fn of_engine(population: &[Expr]) -> Population {
    let member = |tree| IndividualRef::new(Child::orphan(tree, Origin::Random), Score::INVALID);
    Population::new(population.iter().map(|tree| member(tree)))
}

fn order() -> impl Strategy<Value = PopulationOrder> {
    prop_oneof![Just(PopulationOrder::Sorted), Just(PopulationOrder::AsIs), Just(PopulationOrder::Shuffled)]
}

/// Writes an edit, reads it again, and follows it with a grammar that has no room for more.
fn check(edit: &Edit<'_>, population: &Population, slots: &Slots<'_>, rules: Rules) -> Result<(), TestCaseError> {
    let primitives = all_primitives();
    let child = edit.apply(population).expect("it points into the population");
    let target = encode_edit(edit, slots, &CONSTANTS, ConstantStyle::Numbers).expect("a target");
    let text = &target[..target.len() - 1];
    let read = decode_edit(text, slots, &primitives, child.size()).expect("well-formed");
    prop_assert_eq!(&read.child.expr, &child, "{}", to_text(&target));
    if let Some(made) = &read.edit {
        prop_assert!(made.apply(population).as_ref() == Some(&child));
        prop_assert_eq!(population.tree(made.parent as usize), population.tree(edit.parent as usize));
        let is_donor = |edit: &Edit<'_>| matches!(edit.replacement, Replacement::Donor { .. });
        prop_assert!(is_donor(edit) || !is_donor(made));
    } else {
        prop_assert_eq!(&target, &encode_full(&child, &CONSTANTS, ConstantStyle::Numbers).expect("a target"));
    }
    let limits = GrammarLimits {
        max_size: child.size(),
        max_depth: child.depth(),
        max_tokens: target.len(),
        free_constants: FreeConstants::Forbidden,
    };
    let grammar = Grammar::edits(&primitives, limits, kept(rules, &child), slots);
    follow(&grammar.expect("a grammar"), &target)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_is_edited_is_read_again_and_allowed(
        population in population(),
        order in order(),
        edits in prop::collection::vec((any::<Index>(), any::<Index>(), prop_oneof![
            (any::<Index>(), any::<Index>()).prop_map(|(donor, node)| Put::Donor(donor, node)),
            expr(4, 15).prop_map(|tree| Put::Written(listed::listed(&tree, &CONSTANTS))),
            Just(Put::Itself),
        ]), 1..10),
        rules in rules(),
    ) {
        let primitives = all_primitives();
        let slots = slots(&population, &primitives, order);
        let engine = of_engine(&population);
        for (parent, node, put) in &edits {
            check(&edit(&population, *parent, *node, put), &engine, &slots, rules)?;
        }
    }

    #[test]
    fn the_shortest_edit_makes_the_child_and_none_is_shorter(
        population in population(),
        order in order(),
        changes in prop::collection::vec((any::<Index>(), any::<Index>(), prop_oneof![
            (any::<Index>(), any::<Index>()).prop_map(|(donor, node)| Put::Donor(donor, node)),
            expr(4, 9).prop_map(|tree| Put::Written(listed::listed(&tree, &CONSTANTS))),
            Just(Put::Itself),
        ]), 1..10),
        stranger in expr(4, 30),
        rules in rules(),
    ) {
        let primitives = all_primitives();
        let slots = slots(&population, &primitives, order);
        let writer = EditWriter::new(&slots, &CONSTANTS, ConstantStyle::Numbers);
        let engine = of_engine(&population);
        let edits: Vec<Edit<'_>> = changes.iter().map(|(parent, node, put)| edit(&population, *parent, *node, put)).collect();
        let mut children: Vec<Expr> = edits.iter().map(|edit| edit.apply(&engine).expect("it points inside")).collect();
        children.push(listed::listed(&stranger, &CONSTANTS));
        for (index, child) in children.iter().enumerate() {
            let target = writer.encode(child).expect("a target");
            let read = decode_edit(&target[..target.len() - 1], &slots, &primitives, child.size());
            prop_assert_eq!(&read.expect("well-formed").child.expr, child, "{}", to_text(&target));
            let limits = GrammarLimits {
                max_size: child.size(),
                max_depth: child.depth(),
                max_tokens: target.len(),
                free_constants: FreeConstants::Forbidden,
            };
            follow(&Grammar::edits(&primitives, limits, kept(rules, child), &slots).expect("a grammar"), &target)?;
            let is_copy = slots.trees().any(|tree| tree == &**child);
            prop_assert!(!is_copy || to_text(&target).ends_with("P0 <eos>"), "{}", to_text(&target));
            let full = encode_full(child, &CONSTANTS, ConstantStyle::Numbers).expect("a target");
            let made = edits.get(index).map(|edit| encode_edit(edit, &slots, &CONSTANTS, ConstantStyle::Numbers));
            for other in std::iter::once(full).chain(made.map(|made| made.expect("a target"))) {
                prop_assert!(is_copy || target.len() <= other.len(), "{} {}", to_text(&target), to_text(&other));
            }
        }
    }

    #[test]
    fn fitted_values_do_not_change_an_edit_of_placeholders(
        population in population(),
        order in order(),
        parent: Index,
        node: Index,
        put in expr(4, 9),
    ) {
        let primitives = all_primitives();
        let slots = slots(&population, &primitives, order);
        let writer = EditWriter::new(&slots, &CONSTANTS, ConstantStyle::Placeholders);
        let child = edit(&population, parent, node, &Put::Written(put)).apply(&of_engine(&population));
        let child = child.expect("it points inside");
        // All constants but the listed ones have other values now, and none of these is a listed one.
        let moved = |value: f64| value * 1.25 + 0.0625;
        let fitted = |node: &Node| match *node {
            Node::Const(value) if CONSTANTS.contains(&value) => *node,
            Node::Const(value) if CONSTANTS.contains(&moved(value)) => Node::Const(value + 0.5),
            Node::Const(value) => Node::Const(moved(value)),
            other => other,
        };
        let is_listed = |expr: &Expr| expr.constants().all(|value| CONSTANTS.contains(&value));
        let refitted = Expr::new(child.nodes().iter().map(fitted).collect()).expect("the same nodes");
        prop_assume!(is_listed(&child) || refitted != child);
        let target = writer.encode(&refitted).expect("a target");
        prop_assert_eq!(&target, &writer.encode(&child).expect("a target"), "{}", to_text(&target));
        let read = decode_edit(&target[..target.len() - 1], &slots, &primitives, child.size());
        let read = read.expect("well-formed").child.expr;
        prop_assert_eq!(read.structure(), child.structure(), "{}", to_text(&target));
        let full = encode_full(&child, &CONSTANTS, ConstantStyle::Placeholders).expect("a target");
        let is_copy = to_text(&target).ends_with("P0 <eos>");
        prop_assert!(is_copy || target.len() <= full.len(), "{} {}", to_text(&target), to_text(&full));
    }

    #[test]
    fn whatever_edit_is_allowed_is_well_formed(
        population in population(),
        order in order(),
        primitives in primitives(),
        limits in limits(),
        rules in rules(),
        seed: u64,
    ) {
        let slots = slots(&population, &primitives, order);
        let Ok(grammar) = Grammar::edits(&primitives, limits, rules, &slots) else {
            prop_assert!(rules.contains_variable && primitives.n_variables() == 0 || limits.max_tokens < 3);
            return Ok(());
        };
        let engine = of_engine(&population);
        for slot in 0..50 {
            let ids = walk(&grammar, &mut Key::new(seed, Purpose::Learner, 0).slot(slot).rng());
            prop_assert!(ids.len() < limits.max_tokens);
            let read = decode_edit(&ids, &slots, &primitives, limits.max_size);
            prop_assert!(read.is_ok(), "{}: {:?}", to_text(&ids), read);
            let read = read.expect("it was asked for");
            let child = &read.child.expr;
            prop_assert!(child.depth() <= limits.max_depth && keeps_to(rules, child), "{} as {}", to_text(&ids), child);
            if let Some(edit) = &read.edit {
                prop_assert!(edit.apply(&engine).as_ref() == Some(child));
                prop_assert_eq!(read.parents.iter().next(), Some(edit.parent));
            }
            let written = ids.iter().filter(|&&id| id == Token::Constant.id()).count();
            prop_assert_eq!(read.child.placeholders.len(), written);
            for &place in &read.child.placeholders {
                prop_assert_eq!(child.nodes()[place as usize], sr_expr::Node::Const(sr_prompt::PLACEHOLDER));
            }
        }
    }

    #[test]
    fn any_ids_are_read_or_refused_without_a_panic(
        population in population(),
        ids in prop::collection::vec(prop_oneof![15..120i32, 134..184i32], 0..12),
        max_size in 0..30usize,
    ) {
        let primitives = all_primitives();
        let slots = slots(&population, &primitives, PopulationOrder::Sorted);
        if let Ok(read) = decode_edit(&ids, &slots, &primitives, max_size) {
            prop_assert!(read.child.expr.size() <= max_size);
        }
    }
}

/// Every child of the expert, as an edit of the prompt that the learner would read.
#[test]
fn the_experts_children_are_edits() {
    struct Checking<'a>(&'a mut [usize; 2]);
    impl Policy for Checking<'_> {
        fn propose(&mut self, requests: &mut [Request<'_>]) -> Result<(), PolicyError> {
            let before: Vec<usize> = requests.iter().map(|request| request.offspring.len()).collect();
            Expert.propose(requests)?;
            for (Request { state, offspring, .. }, before) in requests.iter().zip(before) {
                let (primitives, writer) = (state.instance.primitives(), PromptWriter::default());
                let (x, y) = (state.instance.x(), state.instance.y());
                let (_, slots) = writer.write_with_slots(&PromptState::of(state), x, y).expect("a prompt");
                let limits = GrammarLimits { max_size: state.limits().max_size, ..GrammarLimits::default() };
                let grammar = Grammar::edits(primitives, limits, Rules::default(), &slots).expect("a grammar");
                for child in offspring.iter().skip(before) {
                    let edit = child.edit.as_ref().expect("every child of the expert is an edit");
                    let constants = primitives.constants();
                    let target = encode_edit(edit, &slots, constants, ConstantStyle::Numbers).expect("a target");
                    assert_eq!(target[0], Token::Edit.id());
                    follow(&grammar, &target).expect("it is allowed");
                    let text = &target[..target.len() - 1];
                    let read = decode_edit(text, &slots, primitives, limits.max_size).expect("well-formed");
                    let made = read.edit.expect("an edit");
                    assert_eq!(
                        (&*read.child.expr, made.apply(state.population).as_deref()),
                        (child.tree, Some(child.tree))
                    );
                    let same = |index: u32, other: u32| -> bool {
                        let tree = |index: u32| -> &Tree { state.population.tree(index as usize) };
                        tree(index) == tree(other)
                    };
                    match (&edit.replacement, read.parents) {
                        (&Replacement::Donor { parent, .. }, Parents::Two(a, b)) => {
                            assert!(same(a, edit.parent) && same(b, parent));
                            self.0[0] += 1;
                        }
                        (&Replacement::Donor { parent, .. }, Parents::One(a)) => {
                            assert!(same(a, edit.parent) && same(a, parent));
                        }
                        (Replacement::Written(_), Parents::One(a)) => {
                            assert!(same(a, edit.parent));
                            self.0[1] += 1;
                        }
                        other => panic!("{other:?}"),
                    }
                }
            }
            Ok(())
        }
    }
    let x = Columns::new(20, 2, (0..40).map(|i| f64::from(i) / 7.0 - 2.0).collect());
    let y: Vec<f64> = x.column(0).iter().zip(x.column(1)).map(|(a, b)| a * a * b + a.abs().sqrt() / 3.0).collect();
    let primitives = PrimitiveSet::new(vec![Op::Add, Op::Sub, Op::Mul, Op::Div, Op::Sin], vec![1.0, 2.5], 2);
    let instance = Arc::new(Instance::new("p", x, y, primitives.expect("primitives")).expect("an instance"));
    let mut search = Search::new(instance, SearchConfig { generations: 30, ..SearchConfig::basic() }, 1).expect("one");
    let mut seen = [0; 2];
    let observe = |_: &sr_engine::Generation<'_>| std::ops::ControlFlow::<()>::Continue(());
    search.run_with(&mut Checking(&mut seen), &mut { observe }).expect("the expert never fails");
    assert!(seen.iter().all(|&count| count > 50), "crossovers and mutations: {seen:?}");
}
