//! The language of edits, for models that do not write whole expressions: a child is an edit of one of the prompt's
//! individuals.
//!
//! ```text
//! edit         EDIT S P replacement <eos> | FULL expression <eos>
//! replacement  operator replacement… | variable | slot | number | COPY S P
//! ```
//!
//! `S P` is a node of an individual: its slot in the prompt and its index in prefix order. The node's subtree is
//! replaced, or copied. Crossover is a replacement that is a single `COPY`, mutation one that is written. An unchanged
//! individual is a copy of its root in place of its root.

use std::borrow::Cow;
use std::collections::HashMap;

use sr_engine::{Edit, Parents, PrimitiveSet, Replacement};
use sr_expr::{Expr, Node, Tree};

use crate::expression::{Reading, Template, check, feature_of, opened_by, prefix_order, push_expression, token_at};
use crate::{ConstantStyle, DecodeError, Error, POSITIONS, Result, SLOTS, Token};

/// The individuals that edits can refer to: the first 32 of a prompt, and of each the first 64 nodes in prefix order.
///
/// [`PromptWriter::write_with_slots`](crate::PromptWriter::write_with_slots) makes them together with the prompt.
/// Indices of individuals are those of the population that the [`PromptState`](crate::PromptState) was made from. By
/// default there are no slots, as for a prompt without individuals.
#[derive(Debug, Clone, Default)]
pub struct Slots<'a> {
    population: Vec<&'a Tree>,
    slots: Vec<Slot<'a>>,
    /// The indices of the individuals that the prompt shows, including those without a slot.
    shown: Vec<u32>,
    /// The rank of each of them.
    ranks: Vec<usize>,
}

/// An individual with a slot.
#[derive(Debug, Clone)]
pub(crate) struct Slot<'a> {
    pub(crate) tree: &'a Tree,
    /// The index of the first individual with this expression.
    pub(crate) individual: u32,
    /// The post-order indices of its nodes, in prefix order.
    pub(crate) order: Vec<u32>,
}

impl<'a> Slots<'a> {
    /// Makes the slots. `shown` gives the individuals of the population that a prompt shows, in its order, each with
    /// its rank. Those beyond the last slot have none.
    pub(crate) fn new(population: Vec<&'a Tree>, shown: impl Iterator<Item = (u32, usize)>) -> Self {
        let (shown, ranks): (Vec<u32>, Vec<usize>) = shown.unzip();
        let slot = |individual: u32| {
            let tree = population[individual as usize];
            Slot { tree, individual, order: prefix_order(tree) }
        };
        let slots = shown.iter().take(SLOTS).copied().map(slot).collect();
        Slots { population, slots, shown, ranks }
    }

    /// Returns the individuals' expressions, in slot order.
    pub fn trees(&self) -> impl ExactSizeIterator<Item = &'a Tree> {
        self.slots.iter().map(|slot| slot.tree)
    }

    /// Returns the rank of each individual of the prompt, including those without a slot; 0 is the best.
    pub fn ranks(&self) -> &[usize] {
        &self.ranks
    }

    /// Returns individual `index` of the prompt, which need not have a slot, and its nodes in prefix order as
    /// post-order indices.
    pub(crate) fn shown(&self, index: usize) -> (&'a Tree, Vec<u32>) {
        let tree = self.population[self.shown[index] as usize];
        (tree, prefix_order(tree))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Slot<'a>> {
        self.slots.iter()
    }

    fn tree(&self, parent: u32, node: u32) -> Result<&'a Tree> {
        let tree = self.population.get(parent as usize).filter(|tree| (node as usize) < tree.size());
        tree.copied().ok_or(Error::OutsideOfPopulation { parent, node })
    }

    /// Returns the tokens `S P` of a node, or `None` if it has no slot or position.
    fn address(&self, parent: u32, node: u32) -> Option<[Token; 2]> {
        let tree = self.population[parent as usize];
        let slot = self.slots.iter().position(|slot| slot.tree == tree)?;
        let position = self.slots[slot].order.iter().take(POSITIONS).position(|&other| other == node)?;
        Some([Token::Slot(slot as u8), Token::Position(position as u8)])
    }

    /// Reads `S P` at `position` and returns the slot and the node, as a post-order index.
    pub(crate) fn node_at(
        &self,
        ids: &[i32],
        position: &mut usize,
    ) -> std::result::Result<(&Slot<'a>, u32), DecodeError> {
        let at = *position;
        let slot = match token_at(ids, position)? {
            Token::Slot(index) => self.slots.get(usize::from(index)).ok_or(DecodeError::NoSuchSlot {
                position: at,
                index,
                slots: self.slots.len(),
            })?,
            token => return Err(DecodeError::Misplaced { position: at, token }),
        };
        let at = *position;
        match token_at(ids, position)? {
            Token::Position(index) => match slot.order.get(usize::from(index)) {
                Some(&node) => Ok((slot, node)),
                None => Err(DecodeError::NoSuchNode { position: at, index, size: slot.tree.size() }),
            },
            token => Err(DecodeError::Misplaced { position: at, token }),
        }
    }
}

/// Encodes a child as an edit, `<eos>` included: `EDIT S P replacement <eos>`.
///
/// ```
/// use sr_engine::{Edit, PrimitiveSet, Replacement};
/// use sr_expr::{Columns, Expr, Op};
/// use sr_prompt::{ConstantStyle, PromptState, PromptWriter, decode_edit, encode_edit, to_text};
///
/// let primitives = PrimitiveSet::new(vec![Op::Add, Op::Sin], vec![], 2)?;
/// let (a, b): (Expr, Expr) = ("x0 + x1".parse()?, "sin(x0)".parse()?);
/// let state = PromptState::new(0, &primitives, [(&*a, 1.0), (&*b, 0.5)]);
/// let (_, slots) = PromptWriter::default().write_with_slots(&state, &Columns::new(0, 2, vec![]), &[])?;
/// // A copy of individual 1, its root included, in place of node 1 of individual 0, which is x1.
/// let edit = Edit { parent: 0, node: 1, replacement: Replacement::Donor { parent: 1, node: 1 } };
/// let target = encode_edit(&edit, &slots, &[], ConstantStyle::Numbers)?;
/// assert_eq!(to_text(&target), "EDIT S1 P2 COPY S0 P0 <eos>");
/// let read = decode_edit(&target[..target.len() - 1], &slots, &primitives, 63)?;
/// assert_eq!(read.child.expr.to_string(), "(x0 + sin(x0))");
/// assert_eq!(read.edit, Some(edit));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// The child is written as `FULL` if the edited node has no slot or position. A donor's subtree without one is written
/// out. `constants` are the listed ones; other constants are written as `style` says.
///
/// # Errors
/// Returns an error if the edit points outside of the population, or the written part has a variable beyond `x31` or a
/// constant that is not finite.
pub fn encode_edit(edit: &Edit<'_>, slots: &Slots<'_>, constants: &[f64], style: ConstantStyle) -> Result<Vec<i32>> {
    let parent = slots.tree(edit.parent, edit.node)?;
    let (written, donor) = match &edit.replacement {
        &Replacement::Donor { parent: donor, node } => {
            (slots.tree(donor, node)?.subtree(node as usize), slots.address(donor, node))
        }
        Replacement::Written(tree) => (&**tree, None),
    };
    let Some(target) = slots.address(edit.parent, edit.node) else {
        return encode_full(&parent.replaced(edit.node as usize, written), constants, style);
    };
    let mut ids: Vec<i32> = [Token::Edit].into_iter().chain(target).map(Token::id).collect();
    match donor {
        Some(address) => ids.extend([Token::Copy].into_iter().chain(address).map(Token::id)),
        None => {
            check(written)?;
            push_expression(written, constants, style, &mut ids);
        }
    }
    ids.push(Token::Eos.id());
    Ok(ids)
}

/// A writer that encodes children as the shortest edits of a state's individuals, whatever made them. Models learn
/// these.
///
/// The edit that made a child is not the only one that makes it, nor the shortest. The writer chooses the edit with the
/// fewest tokens; among equally short ones that of the first individual, then the one nearest to the root. So equal
/// children of a state read alike: a model has less to guess, and labels need not store their edits. A child that is an
/// individual is a copy of it. `FULL` is written only where it is shorter than every edit.
///
/// Where constants that are not listed are [placeholders](ConstantStyle::Placeholders), their values count for nothing:
/// a child whose constants were all fitted anew is the edit that gives its structure.
#[derive(Debug, Clone)]
pub struct EditWriter<'s, 'a> {
    slots: &'s Slots<'a>,
    constants: &'s [f64],
    style: ConstantStyle,
    /// The individuals as they are compared, in slot order.
    trees: Vec<Cow<'a, Tree>>,
    /// The first place of each subtree of an individual: slot and prefix index.
    copies: HashMap<Cow<'a, Tree>, (u8, u8)>,
}

/// The number of tokens of `EDIT S P`, and of `COPY S P`.
const ADDRESSED: usize = 3;

impl<'s, 'a> EditWriter<'s, 'a> {
    /// Makes a writer for the individuals of a prompt. `constants` are the listed ones; others are written as `style`
    /// says. O(nodes of all individuals × their depth).
    pub fn new(slots: &'s Slots<'a>, constants: &'s [f64], style: ConstantStyle) -> Self {
        let trees: Vec<Cow<'a, Tree>> =
            slots.trees().map(|tree| compared(Cow::Borrowed(tree), constants, style)).collect();
        let mut copies = HashMap::new();
        for ((slot, tree), index) in slots.slots.iter().zip(&trees).zip(0..) {
            for (&node, position) in slot.order.iter().take(POSITIONS).zip(0..) {
                let subtree = match tree {
                    Cow::Borrowed(tree) => Cow::Borrowed(tree.subtree(node as usize)),
                    Cow::Owned(tree) => Cow::Owned(tree.subtree(node as usize).to_owned()),
                };
                copies.entry(subtree).or_insert((index, position));
            }
        }
        EditWriter { slots, constants, style, trees, copies }
    }

    /// Encodes `child` as the shortest edit, `<eos>` included. O(individuals × size of the child).
    ///
    /// # Errors
    /// Returns an error if the child has a variable beyond `x31` or a constant that is not finite, and is no
    /// individual.
    pub fn encode(&self, child: &Tree) -> Result<Vec<i32>> {
        let EditWriter { constants, style, .. } = *self;
        let written = child;
        let child = &*compared(Cow::Borrowed(child), constants, style);
        if let Some(slot) = self.trees.iter().position(|tree| **tree == *child) {
            let root = [Token::Slot(slot as u8), Token::Position(0)];
            let ids = [Token::Edit].into_iter().chain(root).chain([Token::Copy]).chain(root).chain([Token::Eos]);
            return Ok(ids.map(Token::id).collect());
        }
        check(written)?;
        // The shortest text of each subtree, in post-order.
        let mut texts: Vec<Vec<i32>> = Vec::with_capacity(child.size());
        for (root, &node) in child.nodes().iter().enumerate() {
            let mut text = Vec::new();
            match node {
                Node::Op(op) => text.push(Token::Op(op).id()),
                _ => push_expression(child.subtree(root), constants, style, &mut text),
            }
            operands(child, root).into_iter().flatten().for_each(|operand| text.extend_from_slice(&texts[operand]));
            if text.len() > ADDRESSED
                && let Some(&(slot, position)) = self.copies.get(child.subtree(root))
            {
                text = [Token::Copy, Token::Slot(slot), Token::Position(position)].map(Token::id).into();
            }
            texts.push(text);
        }
        let mut shortest: Option<(u8, u8, &[i32])> = None;
        for ((slot, tree), index) in self.slots.iter().zip(&self.trees).zip(0..) {
            for (from, to) in differing(tree, child) {
                let position = slot.order.iter().take(POSITIONS).position(|&node| node as usize == from);
                let Some(position) = position else { continue };
                if shortest.is_none_or(|(.., text)| texts[to].len() < text.len()) {
                    shortest = Some((index, position as u8, &texts[to]));
                }
            }
        }
        let full = encode_full(child, constants, style)?;
        Ok(match shortest {
            Some((slot, position, text)) if ADDRESSED + text.len() < full.len() => {
                let address = [Token::Edit, Token::Slot(slot), Token::Position(position)].map(Token::id);
                address.iter().chain(text).copied().chain([Token::Eos.id()]).collect()
            }
            _ => full,
        })
    }
}

/// Returns a tree such that two of them are equal where they read alike: with [placeholders](ConstantStyle::Placeholders)
/// all constants that are not listed are the same.
fn compared<'t>(tree: Cow<'t, Tree>, constants: &[f64], style: ConstantStyle) -> Cow<'t, Tree> {
    let is_listed = |value: f64| constants.iter().any(|listed| listed.to_bits() == value.to_bits());
    let is_free = |node: &Node| matches!(*node, Node::Const(value) if !is_listed(value));
    if style == ConstantStyle::Numbers || !tree.nodes().iter().any(is_free) {
        return tree;
    }
    // A number that is not listed itself, and that no formula has.
    let unlikely = (0..).map(|below| f64::from_bits(f64::MAX.to_bits() - below)).find(|&value| !is_listed(value));
    let free = Node::Const(unlikely.expect("fewer constants are listed than there are numbers"));
    let nodes = tree.nodes().iter().map(|node| if is_free(node) { free } else { *node }).collect();
    Cow::Owned(Expr::new(nodes).expect("the nodes of a tree"))
}

/// Returns the roots of a node's operands, the left one first.
fn operands(tree: &Tree, root: usize) -> [Option<usize>; 2] {
    match tree.nodes()[root].arity() {
        0 => [None, None],
        1 => [Some(root - 1), None],
        _ => [Some(tree.subtree_start(root - 1) - 1), Some(root - 1)],
    }
}

/// Returns pairs of nodes of `parent` and `child`, from the roots down, such that the trees are the same outside of
/// their subtrees. It stops above a node where several operands differ.
fn differing(parent: &Tree, child: &Tree) -> Vec<(usize, usize)> {
    let mut pairs = vec![(parent.size() - 1, child.size() - 1)];
    while let Some(&(from, to)) = pairs.last()
        && parent.nodes()[from] == child.nodes()[to]
    {
        let both = operands(parent, from).into_iter().zip(operands(child, to)).filter_map(|(a, b)| a.zip(b));
        let mut differing = both.filter(|&(a, b)| parent.subtree(a) != child.subtree(b));
        match (differing.next(), differing.next()) {
            (Some(one), None) => pairs.push(one),
            _ => break,
        }
    }
    pairs
}

/// Encodes a child as a whole expression in the language of edits, `<eos>` included: `FULL expression <eos>`.
///
/// # Errors
/// Returns an error where [`encode_target`](crate::encode_target) does.
pub fn encode_full(tree: &Tree, constants: &[f64], style: ConstantStyle) -> Result<Vec<i32>> {
    check(tree)?;
    let mut ids = vec![Token::Full.id()];
    push_expression(tree, constants, style, &mut ids);
    ids.push(Token::Eos.id());
    Ok(ids)
}

/// Returns the feature of a target in the language of edits, like [`target_feature`](crate::target_feature): 1 plus the
/// number of operands that the replacement, or the whole expression, leaves open so far. The position of a `COPY`
/// closes it.
pub fn edit_feature(so_far: &[i32]) -> i32 {
    let is_copied = |at: usize| at >= 2 && so_far[at - 2] == Token::Copy.id();
    let opened = |(at, &id): (usize, &i32)| opened_by(id) - i32::from(is_copied(at));
    feature_of(so_far.iter().enumerate().map(opened).fold(1, |open, opened| (open + opened).max(0)))
}

/// A child that a model wrote as an edit.
#[derive(Debug, Clone, PartialEq)]
pub struct DecodedEdit {
    /// The child, and the written constants that are to be fitted.
    pub child: Template,
    /// The edit that makes the child from the population, before placeholders are fitted; `None` for a whole
    /// expression. A replacement that is a single `COPY` has a donor. All others are written nodes, also those that
    /// contain a `COPY`.
    pub edit: Option<Edit<'static>>,
    /// The edited individual and the first other one that something was copied from. Among equal individuals it is the
    /// one with the lowest index.
    pub parents: Parents,
}

/// Decodes the ids that a model wrote in the language of edits, without the condition token and `<eos>`.
///
/// The child may have at most `max_size` nodes. Copied nodes are accepted as they are. Written ones have to be of the
/// primitive set, as for [`decode_expression`](crate::decode_expression), and may have `<constant>`.
///
/// # Errors
/// Returns a [`DecodeError`] that names the first fault; such an output is not well-formed.
pub fn decode_edit(
    ids: &[i32],
    slots: &Slots<'_>,
    primitives: &PrimitiveSet,
    max_size: usize,
) -> std::result::Result<DecodedEdit, DecodeError> {
    let mut position = 0;
    match token_at(ids, &mut position)? {
        Token::Full => {
            let reading = Reading { primitives, max_nodes: max_size, max_size, placeholders: true, slots: None };
            let child = reading.read(ids, position)?.template();
            return Ok(DecodedEdit { child, edit: None, parents: Parents::None });
        }
        Token::Edit => {}
        token => return Err(DecodeError::Misplaced { position: 0, token }),
    }
    let (slot, node) = slots.node_at(ids, &mut position)?;
    let is_copy = ids.get(position) == Some(&Token::Copy.id());
    let start = slot.tree.subtree_start(node as usize);
    let kept = slot.tree.size() - (node as usize + 1 - start);
    let max_nodes = max_size.saturating_sub(kept);
    let reading = Reading { primitives, max_nodes, max_size, placeholders: true, slots: Some(slots) };
    let text = reading.read(ids, position)?;
    let written = text.template();
    let expr = slot.tree.replaced(node as usize, &written.expr);
    let parent = slot.individual;
    let parents = match text.copies.iter().find(|&&(donor, _)| donor != parent) {
        Some(&(donor, _)) => Parents::Two(parent, donor),
        None => Parents::One(parent),
    };
    let placeholders = written.placeholders.iter().map(|&place| place + start as u32).collect();
    let replacement = match text.copies[..] {
        [(parent, node)] if is_copy => Replacement::Donor { parent, node },
        _ => Replacement::Written(Cow::Owned(written.expr)),
    };
    Ok(DecodedEdit { child: Template { expr, placeholders }, edit: Some(Edit { parent, node, replacement }), parents })
}

/// The properties of a node that a grammar needs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts {
    /// The prefix index of the operator above it; its own for the root.
    pub(crate) parent: usize,
    /// The number of edges from the root.
    pub(crate) depth: usize,
    /// The number of nodes of its subtree.
    pub(crate) size: usize,
    /// The depth of its subtree.
    pub(crate) height: usize,
    /// The number of variables in its subtree.
    pub(crate) variables: usize,
}

/// Returns the properties of all nodes of a tree, in prefix order. O(size).
pub(crate) fn facts(prefix: &[Node]) -> Vec<Facts> {
    let mut facts: Vec<Facts> = Vec::with_capacity(prefix.len());
    let mut open: Vec<(usize, usize)> = Vec::new(); // operators and the operands that they wait for
    for (index, node) in prefix.iter().enumerate() {
        let parent = open.last().map_or(index, |&(parent, _)| parent);
        let variables = usize::from(matches!(node, Node::Var(_)));
        facts.push(Facts { parent, depth: open.len(), size: 1, height: 0, variables });
        if let Some((_, waiting)) = open.last_mut() {
            *waiting -= 1;
        }
        open.push((index, node.arity()));
        while open.last().is_some_and(|&(_, waiting)| waiting == 0) {
            open.pop();
        }
    }
    // Operands come after their operators.
    for index in (1..facts.len()).rev() {
        let Facts { parent, size, height, variables, .. } = facts[index];
        let above = &mut facts[parent];
        above.size += size;
        above.height = above.height.max(height + 1);
        above.variables += variables;
    }
    facts
}

#[cfg(test)]
mod tests {
    use sr_expr::{Columns, Expr, Op};

    use super::*;
    use crate::{Actions, Grammar, GrammarLimits, PromptState, PromptWriter, Rules, VOCABULARY_SIZE, to_text};

    fn expr(text: &str) -> Expr {
        text.parse().expect("test expression")
    }

    fn primitives() -> PrimitiveSet {
        PrimitiveSet::new(vec![Op::Add, Op::Mul, Op::Sin], vec![2.5], 2).expect("primitives")
    }

    /// `S0` is `x0 * sin(x1)`, individual 2; `S1` is `x1 + 2.5`, individuals 0 and 3; `S2` is `2.5`, individual 1.
    fn with_slots<T>(then: impl FnOnce(&PrimitiveSet, &Slots<'_>) -> T) -> T {
        let population = ["x1 + 2.5", "2.5", "x0 * sin(x1)", "x1 + 2.5"].map(expr);
        let primitives = primitives();
        let state = PromptState::new(0, &primitives, population.iter().map(|e| &**e).zip([1.0, 2.0, 0.0, 1.0]));
        let writer = PromptWriter { actions: Actions::Edit, ..PromptWriter::default() };
        let (ids, slots) = writer.write_with_slots(&state, &Columns::new(0, 2, vec![]), &[]).expect("a prompt");
        assert!(to_text(&ids).ends_with("S0 FZERO * x0 sin x1 S1 F32 n2 + x1 c0 S2 F32 c0 <target>"));
        then(&primitives, &slots)
    }

    fn ids(text: &str) -> Vec<i32> {
        let id = |word| Token::all().find(|token| token.to_string() == word).map_or(-1, Token::id);
        text.split_whitespace().map(id).collect()
    }

    #[test]
    fn crossover_mutation_and_copies_are_edits() {
        with_slots(|primitives, slots| {
            // Post-order: x0 x1 sin *, x1 2.5 +.
            let donor = |parent, node| Replacement::Donor { parent, node };
            let written = expr("x1 * 0.25");
            let parents = [Parents::Two(2, 0), Parents::One(0), Parents::One(2)];
            let edits = [
                (Edit { parent: 2, node: 2, replacement: donor(3, 1) }, "EDIT S0 P2 COPY S1 P2 <eos>"),
                (
                    Edit { parent: 3, node: 0, replacement: Replacement::Written(Cow::Borrowed(&written)) },
                    "EDIT S1 P1 * x1 N+ M25 M00 E-1 <eos>",
                ),
                (Edit::copy(2, slots.population[2]), "EDIT S0 P0 COPY S0 P0 <eos>"),
            ];
            let children = ["(x0 * 2.5)", "((x1 * 0.25) + 2.5)", "(x0 * sin(x1))"];
            for (((edit, text), child), parents) in edits.iter().zip(children).zip(parents) {
                let target = encode_edit(edit, slots, primitives.constants(), ConstantStyle::Numbers);
                let target = target.expect("a target");
                assert_eq!(to_text(&target), *text);
                let read = decode_edit(&target[..target.len() - 1], slots, primitives, 9).expect("well-formed");
                assert_eq!((read.child.expr.to_string().as_str(), read.parents), (child, parents));
                let first = |index: u32| if index == 3 { 0 } else { index }; // of equal individuals
                let made = read.edit.expect("an edit");
                assert_eq!((made.parent, made.node), (first(edit.parent), edit.node));
            }
            let outside = Edit { parent: 4, node: 0, replacement: donor(0, 0) };
            let error = encode_edit(&outside, slots, &[], ConstantStyle::Numbers);
            assert_eq!(error, Err(Error::OutsideOfPopulation { parent: 4, node: 0 }));
        });
    }

    #[test]
    fn a_replacement_mixes_what_is_written_and_copied() {
        with_slots(|primitives, slots| {
            let read = |text: &str| decode_edit(&ids(text), slots, primitives, 9);
            let mixed = read("EDIT S1 P2 * <constant> COPY S0 P2").expect("well-formed");
            assert_eq!(mixed.child.expr.to_string(), "(x1 + (1.0 * sin(x1)))");
            assert_eq!((mixed.child.placeholders, mixed.parents), (vec![1], Parents::Two(0, 2)));
            assert!(matches!(mixed.edit, Some(Edit { parent: 0, node: 1, replacement: Replacement::Written(_) })));
            let whole = read("FULL sin x0").expect("well-formed");
            assert_eq!((whole.edit, whole.parents), (None, Parents::None));
            let misplaced = |position, token| Err(DecodeError::Misplaced { position, token });
            assert_eq!(read(""), Err(DecodeError::Incomplete { missing: 1 }));
            assert_eq!(read("x0"), misplaced(0, Token::Variable(0)));
            assert_eq!(read("FULL COPY S0 P0"), misplaced(1, Token::Copy));
            assert_eq!(read("EDIT P0"), misplaced(1, Token::Position(0)));
            assert_eq!(read("EDIT S3 P0 x0"), Err(DecodeError::NoSuchSlot { position: 1, index: 3, slots: 3 }));
            assert_eq!(read("EDIT S1 P3 x0"), Err(DecodeError::NoSuchNode { position: 2, index: 3, size: 3 }));
            assert_eq!(read("EDIT S1 P0 COPY S0"), Err(DecodeError::Incomplete { missing: 1 }));
            assert_eq!(read("EDIT S1 P0 x0 x1"), Err(DecodeError::Leftover { position: 4, more: 1 }));
            assert_eq!(read("EDIT S1 P0 +"), Err(DecodeError::Incomplete { missing: 2 }));
            let too_large = decode_edit(&ids("EDIT S1 P2 COPY S0 P0"), slots, primitives, 5);
            assert_eq!(too_large, Err(DecodeError::TooLarge { max_size: 5 }));
        });
    }

    #[test]
    fn the_feature_counts_open_operands() {
        let ids = ids("EDIT S1 P2 * COPY S0 P2 + <constant> x0");
        let features: Vec<i32> = (0..=ids.len()).map(|n| edit_feature(&ids[..n])).collect();
        assert_eq!(features, [2, 2, 2, 2, 3, 3, 3, 2, 3, 2, 1]);
    }

    #[test]
    fn the_grammar_offers_what_fits() {
        with_slots(|primitives, slots| {
            let limits = GrammarLimits { max_size: 3, max_depth: 1, ..GrammarLimits::default() };
            let rules = Rules { contains_variable: true, ..Rules::default() };
            let grammar = Grammar::edits(primitives, limits, rules, slots).expect("a grammar");
            let offered = |text: &str| {
                let mut state = grammar.start();
                ids(text).into_iter().for_each(|id| grammar.advance(&mut state, id));
                let mut allowed = vec![false; VOCABULARY_SIZE];
                grammar.mask(&state, &mut allowed);
                let offered: Vec<i32> =
                    (0..).zip(&allowed).filter(|(_, allowed)| **allowed).map(|(id, _)| id).collect();
                assert!((0..).zip(&allowed).all(|(id, &allowed)| grammar.allows(&state, id) == allowed));
                to_text(&offered)
            };
            assert_eq!(offered(""), "EDIT FULL");
            assert_eq!(offered("EDIT"), "S0 S1 S2");
            // What is left of x0 * sin(x1) may have three nodes and one level.
            assert_eq!(offered("EDIT S0"), "P0 P2");
            assert_eq!(offered("EDIT S0 P2"), "COPY x0 x1 c0 N+ N-");
            assert_eq!(offered("EDIT S1"), "P0 P1 P2");
            assert_eq!(offered("EDIT S1 P1"), "COPY x0 x1");
            assert_eq!(offered("EDIT S1 P1 COPY"), "S0 S1");
            assert_eq!(offered("EDIT S1 P1 COPY S1"), "P1");
            assert_eq!(offered("EDIT S1 P1 COPY S1 P1"), "<eos>");
            assert_eq!(offered("EDIT S2 P0 + COPY"), "S0 S1 S2");
            assert_eq!(offered("EDIT S2 P0 + COPY S2 P0 COPY"), "S0 S1");
            assert_eq!(offered("FULL sin"), "x0 x1");
        });
    }
}
