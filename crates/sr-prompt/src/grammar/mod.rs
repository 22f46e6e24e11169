//! The grammar of targets, which decides by counting which token may come next.
//!
//! In prefix order an unfinished text is a path from the root to the operand that comes next. Its token depends on a
//! few numbers: nodes and tokens left, the depth of that operand, which of the operators above it still wait for a
//! second operand (a set of depths, hence a bit mask), and the state of the rules. Each open operand can be closed with
//! a single token, so there is a dead end only where fewer nodes or tokens are left than operands are open, and the
//! grammar never lets that happen.
//!
//! The allowed tokens are a row of a table that is made once a problem: [`Grammar::mask`] selects one and copies it.

mod rules;

use sr_engine::PrimitiveSet;
use sr_expr::{Node, Op};

use crate::edit::{Slot, facts};
use crate::{
    Error, LISTED_CONSTANTS, POSITIONS, Result, SLOTS, Slots, Token, VARIABLES, VOCABULARY_CAPACITY, VOCABULARY_SIZE,
};

pub use rules::{FreeConstants, GrammarLimits, Rules};

/// The greatest depth of an expression that a grammar can write, in edges. It follows from the number of bits that hold
/// the path.
pub const MAX_DEPTH: usize = u128::BITS as usize - 1;
/// The number of tokens of a number: sign, twice two digits, exponent.
const NUMBER_TOKENS: usize = 4;
/// The number of tokens of `COPY S P`.
const COPY_TOKENS: usize = 3;

/// For each id, whether the token is allowed.
type Row = [bool; VOCABULARY_CAPACITY];

/// The rules that decide token by token what may come next in a target, so that every text is well-formed.
///
/// A grammar begins behind the condition token and ends with `<eos>`, which is allowed exactly when the text is
/// complete. At every state at least one token is allowed, and every expression within limits and rules can be written,
/// as [`encode_target`](crate::encode_target) writes it. A number has one text only: it begins with a digit other than
/// 0, or is `N+ M00 M00 E0`.
///
/// ```
/// use sr_engine::PrimitiveSet;
/// use sr_expr::Op;
/// use sr_prompt::{Grammar, GrammarLimits, Rules, Token};
///
/// let primitives = PrimitiveSet::new(vec![Op::Add, Op::Sin], vec![2.5], 1)?;
/// let limits = GrammarLimits { max_size: 3, ..GrammarLimits::default() };
/// let grammar = Grammar::new(&primitives, limits, Rules::default())?;
/// let mut state = grammar.start();
/// for token in [Token::Op(Op::Add), Token::Variable(0)] {
///     grammar.advance(&mut state, token.id());
/// }
/// assert!(!grammar.allows(&state, Token::Op(Op::Sin).id()), "a fourth node");
/// assert!(!grammar.allows(&state, Token::Eos.id()), "an operand is missing");
/// grammar.advance(&mut state, Token::Listed(0).id());
/// assert!(grammar.is_complete(&state) && grammar.allows(&state, Token::Eos.id()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Grammar {
    limits: GrammarLimits,
    rules: Rules,
    /// The number of expressions of a text.
    individuals: usize,
    /// Whether an error follows each expression.
    errors: bool,
    has_binary: bool,
    has_variables: bool,
    /// The nodes to edit and to copy, in the language of edits.
    edits: Option<Vec<SlotTable>>,
    /// One row for each sum of [`given`], then those of [`Expects::WITH_ROW`].
    rows: Vec<Row>,
}

/// The uses of the nodes of a slot, `[positions]` in prefix order.
#[derive(Debug, Clone)]
struct SlotTable {
    targets: Vec<Target>,
    sources: Vec<Source>,
}

/// The place of a replacement in the child.
#[derive(Debug, Clone, Copy)]
struct Target {
    /// The number of nodes that it may have; 0 where no replacement gives a child within limits and rules.
    nodes: usize,
    /// The depth of the node, in edges; at most `MAX_DEPTH` where a replacement is possible.
    depth: usize,
    /// Whether a trigonometric function is above it.
    in_trigonometry: bool,
    /// Whether a variable is outside of it.
    has_variable: bool,
    /// Whether it has to contain a variable, because otherwise an operator above it would be constant.
    needs_variable: bool,
}

/// A subtree that may be copied.
#[derive(Debug, Clone, Copy)]
struct Source {
    size: usize,
    height: usize,
    has_variable: bool,
    has_trigonometry: bool,
    /// Whether it breaks a rule by itself.
    is_broken: bool,
}

/// The state of a text, which decides what the next token may be. It is small and `Copy`; each text that is being
/// written has its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GrammarState {
    expects: Expects,
    /// The number of expressions after this one.
    individuals_left: usize,
    /// The number of tokens left for the operands of this expression. Tokens that have to follow it are subtracted.
    tokens_left: usize,
    nodes_left: usize,
    /// The depth of the next operand, in edges.
    depth: u8,
    /// Bit `d` is set if the operator above at depth `d` waits for its second operand.
    waiting: u128,
    /// The depth of the trigonometric function above the next operand. It is kept only where they may not be nested.
    trigonometry: Option<u8>,
    /// Whether this expression has a variable so far.
    has_variable: bool,
    /// Whether the next operand has to contain a variable. It is kept only where no operator may be constant.
    needs_variable: bool,
    /// Whether operands may be copied, as in the replacement of an edit.
    copies: bool,
    /// The slot that was written last.
    slot: u8,
}

/// The kind of token that comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expects {
    /// A node.
    Operand,
    /// The first two digits of a number that is not negative.
    HighOfPositive,
    /// The first two digits of a negative number, which is not 0.
    HighOfNegative,
    Low,
    /// The second two digits of 0.
    LowOfZero,
    Exponent,
    ExponentOfZero,
    /// The error of the individual.
    Error,
    End,
    /// `EDIT` or `FULL`.
    Action,
    /// The individual to edit.
    TargetSlot,
    TargetNode,
    /// The individual to copy from.
    CopySlot,
    CopyNode,
}

/// The conditions for an operand's token, one bit each. Their sum is the index of a row. A token is allowed there if
/// all conditions that it needs are given.
mod given {
    pub(super) const UNARY: usize = 1;
    pub(super) const BINARY: usize = 1 << 1;
    pub(super) const TRIGONOMETRY: usize = 1 << 2;
    pub(super) const CONSTANT: usize = 1 << 3;
    pub(super) const NUMBER: usize = 1 << 4;
    pub(super) const ROWS: usize = 1 << 5;
}

impl Grammar {
    /// Makes the grammar of a single expression: `expression <eos>`.
    ///
    /// # Errors
    /// Returns an error if there are more than 32 variables, or no expression keeps to limits and rules.
    pub fn new(primitives: &PrimitiveSet, limits: GrammarLimits, rules: Rules) -> Result<Self> {
        Grammar::generation(primitives, limits, rules, 1, false)
    }

    /// Makes the grammar of a whole generation, see [`encode_generation`](crate::encode_generation): `individuals`
    /// expressions, each followed by its error if `errors` is set, and `<eos>`. Limits of size and depth and the rules
    /// hold for each expression, `max_tokens` for the text.
    ///
    /// # Errors
    /// Returns an error where [`Grammar::new`] does.
    pub fn generation(
        primitives: &PrimitiveSet,
        limits: GrammarLimits,
        rules: Rules,
        individuals: usize,
        errors: bool,
    ) -> Result<Self> {
        let n_variables = usize::from(primitives.n_variables());
        if n_variables > VARIABLES {
            return Err(Error::TooManyVariables { found: n_variables });
        }
        let shortest = individuals.saturating_mul(1 + usize::from(errors)).saturating_add(1);
        let nothing = |reason| Err(Error::NoExpression { reason });
        if limits.max_size == 0 {
            return nothing("it has at least one node");
        }
        if limits.max_tokens < shortest {
            return nothing("the text has too few tokens");
        }
        if rules.contains_variable && n_variables == 0 {
            return nothing("it has to have a variable and there is none");
        }
        let limits = GrammarLimits { max_depth: limits.max_depth.min(MAX_DEPTH), ..limits };
        // Without variables every operator is constant.
        let ops = if rules.no_constant_operators && n_variables == 0 { &[] } else { primitives.ops() };
        // The conditions that each token needs, `None` for tokens that are no operand or not of this problem.
        let needed = Token::all().map(|token| match token {
            Token::Op(op) if !ops.contains(&op) => None,
            Token::Op(op) if op.arity() == 2 => Some(given::BINARY),
            Token::Op(op) if is_trigonometric(op) => Some(given::UNARY | given::TRIGONOMETRY),
            Token::Op(_) => Some(given::UNARY),
            Token::Variable(index) => (usize::from(index) < n_variables).then_some(0),
            Token::Listed(index) => {
                (usize::from(index) < primitives.constants().len().min(LISTED_CONSTANTS)).then_some(given::CONSTANT)
            }
            Token::Constant => limits.free_constants.placeholders().then_some(given::CONSTANT),
            Token::Positive | Token::Negative => {
                limits.free_constants.numbers().then_some(given::CONSTANT | given::NUMBER)
            }
            _ => None,
        });
        let mut rows: Vec<Row> = vec![[false; VOCABULARY_CAPACITY]; given::ROWS];
        for (id, needed) in needed.enumerate() {
            let Some(needed) = needed else { continue };
            rows.iter_mut().enumerate().for_each(|(given, row)| row[id] = given & needed == needed);
        }
        rows.extend(Expects::WITH_ROW.map(|expects| {
            let mut row = [false; VOCABULARY_CAPACITY];
            row.iter_mut().zip(Token::all()).for_each(|(allowed, token)| *allowed = expects.has(token));
            row
        }));
        let has_binary = ops.iter().any(|op| op.arity() == 2);
        let has_variables = n_variables > 0;
        Ok(Grammar { limits, rules, individuals, errors, has_binary, has_variables, edits: None, rows })
    }

    /// Makes the grammar of the language of edits, see [`encode_edit`](crate::encode_edit), for the individuals of a
    /// prompt.
    ///
    /// Limits and rules hold for the child. Nodes are offered for replacement where the rest of the individual leaves
    /// room and breaks no rule by itself, and subtrees for copying where they fit. The root of every individual is
    /// offered. Free constants in a copied subtree do not matter. `max_tokens` holds for the text.
    ///
    /// # Errors
    /// Returns an error where [`Grammar::new`] does.
    pub fn edits(primitives: &PrimitiveSet, limits: GrammarLimits, rules: Rules, slots: &Slots<'_>) -> Result<Self> {
        let grammar = Grammar::new(primitives, limits, rules)?;
        if limits.max_tokens < 3 {
            return Err(Error::NoExpression { reason: "the text has too few tokens" });
        }
        let edits = slots.iter().map(|slot| grammar.slot_table(slot)).collect();
        Ok(Grammar { edits: Some(edits), ..grammar })
    }

    fn slot_table(&self, slot: &Slot<'_>) -> SlotTable {
        let prefix: Vec<Node> = slot.order.iter().map(|&node| slot.tree.nodes()[node as usize]).collect();
        let facts = facts(&prefix);
        let is_trigonometric = |index: usize| matches!(prefix[index], Node::Op(op) if is_trigonometric(op));
        let is_constant = |index: usize| prefix[index].arity() > 0 && facts[index].variables == 0;
        let n_nodes = prefix.len();
        // These count, for each node, the trigonometric functions and the constant operators above it.
        let (mut trigonometry_above, mut constant_above) = (vec![0; n_nodes], vec![0; n_nodes]);
        for index in 1..n_nodes {
            let parent = facts[index].parent;
            trigonometry_above[index] = trigonometry_above[parent] + usize::from(is_trigonometric(parent));
            constant_above[index] = constant_above[parent] + usize::from(is_constant(parent));
        }
        let forbids_nesting = self.rules.no_nested_trigonometry;
        let forbids_constants = self.rules.no_constant_operators;
        // For each node, the number of earlier nodes that break a rule whatever is edited elsewhere. Constant operators
        // above an edit do not count, because the edit may give them a variable.
        let counts = |counted: &dyn Fn(usize) -> bool| -> Vec<usize> {
            let mut counts = vec![0; n_nodes + 1];
            (0..n_nodes).for_each(|index| counts[index + 1] = counts[index] + usize::from(counted(index)));
            counts
        };
        let is_nested = |index: usize| is_trigonometric(index) && trigonometry_above[index] > 0;
        let too_deep = counts(&|index| facts[index].depth > self.limits.max_depth);
        let nested = counts(&|index| forbids_nesting && is_nested(index));
        let constant = counts(&|index| forbids_constants && is_constant(index));
        let trigonometry = counts(&is_trigonometric);
        // The number of counted nodes inside of a subtree, which is a range in prefix order.
        let inside = |counts: &[usize], index: usize| counts[index + facts[index].size] - counts[index];
        let outside = |counts: &[usize], index: usize| counts[n_nodes] - inside(counts, index);
        let target = |index: usize| {
            let fact = facts[index];
            let variables_outside = facts[0].variables - fact.variables;
            let kept = n_nodes - fact.size;
            let above = if forbids_constants { constant_above[index] } else { 0 };
            let broken = outside(&too_deep, index) + outside(&nested, index) + outside(&constant, index) - above;
            let is_only = index > 0 && facts[fact.parent].variables == fact.variables;
            let needs_variable = forbids_constants && is_only || self.rules.contains_variable && variables_outside == 0;
            let is_possible =
                broken == 0 && fact.depth <= self.limits.max_depth && (self.has_variables || !needs_variable);
            Target {
                nodes: if is_possible { self.limits.max_size.saturating_sub(kept) } else { 0 },
                depth: fact.depth,
                in_trigonometry: trigonometry_above[index] > 0,
                has_variable: variables_outside > 0,
                needs_variable,
            }
        };
        let source = |index: usize| {
            let fact = facts[index];
            // The functions that are nested within the subtree, whatever is above it, are all but the outermost ones.
            let mut end = 0;
            let mut is_outermost = |node: usize| {
                let outermost = node >= end && is_trigonometric(node);
                end = if outermost { node + facts[node].size } else { end };
                outermost
            };
            let outermost = (index..index + fact.size).filter(|&node| is_outermost(node)).count();
            let functions = inside(&trigonometry, index);
            let nested = forbids_nesting && functions > outermost;
            Source {
                size: fact.size,
                height: fact.height,
                has_variable: fact.variables > 0,
                has_trigonometry: functions > 0,
                is_broken: nested || inside(&constant, index) > 0,
            }
        };
        let positions = 0..n_nodes.min(POSITIONS);
        SlotTable { targets: positions.clone().map(target).collect(), sources: positions.map(source).collect() }
    }

    /// Returns the state before the first token.
    pub fn start(&self) -> GrammarState {
        let tokens_after = self.individuals * (1 + usize::from(self.errors)) + 1;
        let mut state = GrammarState {
            expects: Expects::End,
            individuals_left: self.individuals,
            tokens_left: self.limits.max_tokens - tokens_after,
            nodes_left: 0,
            depth: 0,
            waiting: 0,
            trigonometry: None,
            has_variable: false,
            needs_variable: false,
            copies: false,
            slot: 0,
        };
        if self.edits.is_some() {
            // `EDIT` or `FULL` is one token more than an expression has.
            return GrammarState { expects: Expects::Action, tokens_left: state.tokens_left - 1, ..state };
        }
        self.next_individual(&mut state);
        state
    }

    /// Returns a bound on the number of tokens of a text, `<eos>` included. Limits of depth and rules may keep texts
    /// shorter.
    pub fn longest(&self) -> usize {
        let leaves = if self.has_binary { self.limits.max_size.div_ceil(2) } else { 1 };
        let leaf_tokens = match &self.edits {
            _ if self.limits.free_constants.numbers() => NUMBER_TOKENS,
            Some(slots) if !slots.is_empty() => COPY_TOKENS,
            _ => 1,
        };
        let action = if self.edits.is_some() { 3 } else { 0 };
        let expression = self.limits.max_size - leaves + leaves * leaf_tokens;
        let text = self.individuals.saturating_mul(expression + usize::from(self.errors)).saturating_add(action + 1);
        text.min(self.limits.max_tokens)
    }

    /// Writes the tokens that may come next: `allowed[id]` for every id of the vocabulary, false beyond it.
    /// O(vocabulary): one row of the table is copied. Slots and positions of edits are looked up one by one.
    ///
    /// # Panics
    /// Panics if `allowed` is shorter than the vocabulary.
    pub fn mask(&self, state: &GrammarState, allowed: &mut [bool]) {
        assert!(allowed.len() >= VOCABULARY_SIZE, "a mask of {} tokens", allowed.len());
        let row = self.row(state);
        let common = allowed.len().min(row.len());
        allowed[..common].copy_from_slice(&row[..common]);
        allowed[common..].fill(false);
        let Some(edits) = &self.edits else { return };
        let (first, count) = match state.expects {
            Expects::Action => (Token::Edit, 1),
            Expects::Operand => (Token::Copy, 1),
            Expects::TargetSlot | Expects::CopySlot => (Token::Slot(0), SLOTS),
            Expects::TargetNode | Expects::CopyNode => (Token::Position(0), POSITIONS),
            _ => return,
        };
        for id in (first.id()..).take(count) {
            allowed[id as usize] = Token::from_id(id).is_some_and(|token| self.refers(edits, state, token));
        }
    }

    /// Returns whether this token may come next. It takes O(1), except for `COPY` and the slot after it, for which it
    /// searches a subtree that fits.
    pub fn allows(&self, state: &GrammarState, id: i32) -> bool {
        let in_row = usize::try_from(id).ok().and_then(|id| self.row(state).get(id)).is_some_and(|&allowed| allowed);
        let refers = |edits: &Vec<SlotTable>| Token::from_id(id).is_some_and(|token| self.refers(edits, state, token));
        in_row || self.edits.as_ref().is_some_and(refers)
    }

    /// Returns whether a token that refers to individuals may come next.
    fn refers(&self, edits: &[SlotTable], state: &GrammarState, token: Token) -> bool {
        let fits = |source: &Source| self.fits(state, source);
        let any_fits = |slot: &SlotTable| slot.sources.iter().any(fits);
        match (state.expects, token) {
            (Expects::Action, Token::Edit) => !edits.is_empty() && state.tokens_left >= 2,
            (Expects::TargetSlot, Token::Slot(index)) => usize::from(index) < edits.len(),
            (Expects::TargetNode, Token::Position(index)) => {
                let target = edits[usize::from(state.slot)].targets.get(usize::from(index));
                target.is_some_and(|target| target.nodes > 0)
            }
            (Expects::Operand, Token::Copy) => {
                state.copies && state.tokens_left >= COPY_TOKENS - 1 && edits.iter().any(any_fits)
            }
            (Expects::CopySlot, Token::Slot(index)) => edits.get(usize::from(index)).is_some_and(any_fits),
            (Expects::CopyNode, Token::Position(index)) => {
                edits[usize::from(state.slot)].sources.get(usize::from(index)).is_some_and(fits)
            }
            _ => false,
        }
    }

    /// Returns whether the next operand may be this subtree.
    fn fits(&self, state: &GrammarState, source: &Source) -> bool {
        source.size + state.waiting.count_ones() as usize <= state.nodes_left
            && usize::from(state.depth) + source.height <= self.limits.max_depth
            && (source.has_variable || !self.needs_variable(state))
            && !(state.trigonometry.is_some() && source.has_trigonometry)
            && !source.is_broken
    }

    /// Returns whether the text is complete, so that only `<eos>` may come next.
    pub fn is_complete(&self, state: &GrammarState) -> bool {
        state.expects == Expects::End
    }

    /// Advances the state by one token. O(1).
    ///
    /// # Panics
    /// Panics if the token may not come next.
    pub fn advance(&self, state: &mut GrammarState, id: i32) {
        assert!(self.allows(state, id), "id {id} may not come next");
        match Token::from_id(id).expect("what is allowed is in the vocabulary") {
            Token::Op(op) => self.open(state, op),
            Token::Variable(_) => self.close(state, true, 1, 1),
            Token::Listed(_) | Token::Constant => self.close(state, false, 1, 1),
            Token::Positive => state.expects = Expects::HighOfPositive,
            Token::Negative => state.expects = Expects::HighOfNegative,
            Token::Mantissa(digits) => {
                state.expects = match state.expects {
                    Expects::HighOfPositive if digits == 0 => Expects::LowOfZero,
                    Expects::HighOfPositive | Expects::HighOfNegative => Expects::Low,
                    Expects::LowOfZero => Expects::ExponentOfZero,
                    _ => Expects::Exponent,
                }
            }
            Token::Exponent(_) => self.close(state, false, 1, NUMBER_TOKENS),
            Token::Fitness(_) | Token::FitnessZero | Token::FitnessInvalid => self.next_individual(state),
            Token::Eos => {} // nothing follows
            Token::Full => self.next_individual(state),
            Token::Edit => {
                state.tokens_left -= 2;
                state.expects = Expects::TargetSlot;
            }
            Token::Copy => state.expects = Expects::CopySlot,
            Token::Slot(index) => {
                state.slot = index;
                state.expects =
                    if state.expects == Expects::TargetSlot { Expects::TargetNode } else { Expects::CopyNode };
            }
            Token::Position(index) => {
                let slot = &self.edits.as_ref().expect("edits have positions")[usize::from(state.slot)];
                match state.expects {
                    Expects::TargetNode => self.replace(state, slot.targets[usize::from(index)]),
                    _ => {
                        let Source { size, has_variable, .. } = slot.sources[usize::from(index)];
                        self.close(state, has_variable, size, COPY_TOKENS);
                    }
                }
            }
            token => unreachable!("no row has {token}"),
        }
    }

    fn row(&self, state: &GrammarState) -> &Row {
        let index = match state.expects {
            Expects::Operand => self.given(state),
            Expects::TargetSlot | Expects::TargetNode | Expects::CopySlot | Expects::CopyNode => return &NO_TOKEN,
            other => given::ROWS + other as usize - Expects::WITH_ROW[0] as usize,
        };
        &self.rows[index]
    }

    /// Returns the conditions that the next operand gives, see [`given`].
    fn given(&self, state: &GrammarState) -> usize {
        // The operands after this one take at least one node each; their tokens, one each, are subtracted already.
        let nodes = state.nodes_left - state.waiting.count_ones() as usize;
        let is_deepest = usize::from(state.depth) >= self.limits.max_depth;
        [
            (given::UNARY, !is_deepest && nodes >= 2 && state.tokens_left >= 1),
            (given::BINARY, !is_deepest && nodes >= 3 && state.tokens_left >= 2),
            (given::TRIGONOMETRY, state.trigonometry.is_none()),
            (given::CONSTANT, !self.needs_variable(state)),
            (given::NUMBER, state.tokens_left >= NUMBER_TOKENS - 1),
        ]
        .into_iter()
        .map(|(bit, holds)| if holds { bit } else { 0 })
        .sum()
    }

    /// Returns whether the next operand has to contain a variable.
    fn needs_variable(&self, state: &GrammarState) -> bool {
        if self.rules.no_constant_operators {
            return state.needs_variable;
        }
        // If the last open operand contains a variable, the expression does.
        self.rules.contains_variable && !state.has_variable && state.waiting == 0
    }

    /// Opens an operator, whose operands are one deeper.
    fn open(&self, state: &mut GrammarState, op: Op) {
        let is_binary = op.arity() == 2;
        state.nodes_left -= 1;
        // The token of the operand that this operator is was subtracted already; those of its own operands are
        // subtracted now.
        state.tokens_left -= op.arity();
        if is_binary {
            state.waiting |= 1 << state.depth;
        }
        if self.rules.no_nested_trigonometry && is_trigonometric(op) {
            state.trigonometry = Some(state.depth);
        }
        // The first of two operands may be a constant, because the second need not be one.
        state.needs_variable = !is_binary;
        state.depth += 1;
    }

    /// Closes an operand by a leaf or a copied subtree of so many nodes and tokens. The next operand is the second one
    /// of the lowest operator that waits for it.
    fn close(&self, state: &mut GrammarState, has_variable: bool, nodes: usize, tokens: usize) {
        state.nodes_left -= nodes;
        state.tokens_left -= tokens - 1;
        state.has_variable |= has_variable;
        state.expects = Expects::Operand;
        let Some(operator) = state.waiting.checked_ilog2() else {
            return self.end_expression(state);
        };
        let depth = operator as u8 + 1;
        state.waiting &= !(1 << operator);
        // If constant operators are forbidden, there is a variable below each operator; so the leaf has to be its first
        // operand.
        state.needs_variable = !has_variable && state.depth == depth;
        state.depth = depth;
        state.trigonometry = state.trigonometry.filter(|&above| above < depth);
    }

    /// Begins the replacement of a node.
    fn replace(&self, state: &mut GrammarState, target: Target) {
        let Target { nodes, depth, in_trigonometry, has_variable, needs_variable } = target;
        *state = GrammarState {
            expects: Expects::Operand,
            individuals_left: 0,
            nodes_left: nodes,
            depth: depth as u8,
            // The function is above all that is written; which one it is does not matter.
            trigonometry: (self.rules.no_nested_trigonometry && in_trigonometry).then_some(0),
            has_variable,
            needs_variable,
            copies: true,
            ..*state
        };
    }

    fn end_expression(&self, state: &mut GrammarState) {
        if self.errors {
            state.expects = Expects::Error;
        } else {
            self.next_individual(state);
        }
    }

    fn next_individual(&self, state: &mut GrammarState) {
        if state.individuals_left == 0 {
            state.expects = Expects::End;
            return;
        }
        *state = GrammarState {
            expects: Expects::Operand,
            individuals_left: state.individuals_left - 1,
            tokens_left: state.tokens_left,
            nodes_left: self.limits.max_size,
            depth: 0,
            waiting: 0,
            trigonometry: None,
            has_variable: false,
            needs_variable: self.rules.contains_variable,
            copies: false,
            slot: 0,
        };
    }
}

/// The row of states whose tokens are looked up.
static NO_TOKEN: Row = [false; VOCABULARY_CAPACITY];

impl Expects {
    /// The states in which the same tokens are allowed in every problem, in order.
    const WITH_ROW: [Expects; 9] = [
        Expects::HighOfPositive,
        Expects::HighOfNegative,
        Expects::Low,
        Expects::LowOfZero,
        Expects::Exponent,
        Expects::ExponentOfZero,
        Expects::Error,
        Expects::End,
        Expects::Action,
    ];

    /// Returns whether the token is of the expected kind.
    fn has(self, token: Token) -> bool {
        match (self, token) {
            (Expects::HighOfPositive, Token::Mantissa(digits)) => digits == 0 || digits >= 10,
            (Expects::HighOfNegative, Token::Mantissa(digits)) => digits >= 10,
            (Expects::LowOfZero, Token::Mantissa(digits)) => digits == 0,
            (Expects::ExponentOfZero, Token::Exponent(exponent)) => exponent == 0,
            (Expects::Low, Token::Mantissa(_))
            | (Expects::Exponent, Token::Exponent(_))
            | (Expects::Error, Token::Fitness(_) | Token::FitnessZero | Token::FitnessInvalid)
            | (Expects::End, Token::Eos)
            | (Expects::Action, Token::Full) => true,
            _ => false,
        }
    }
}

/// Returns whether [`Rules::no_nested_trigonometry`] applies to the operator. All of these are unary.
fn is_trigonometric(op: Op) -> bool {
    matches!(op, Op::Sin | Op::Cos | Op::Tan | Op::Asin | Op::Acos | Op::Atan)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::to_text;

    fn primitives(ops: &[Op], constants: &[f64], n_variables: u16) -> PrimitiveSet {
        PrimitiveSet::new(ops.to_vec(), constants.to_vec(), n_variables).expect("primitives")
    }

    fn limits(max_size: usize) -> GrammarLimits {
        GrammarLimits { max_size, free_constants: FreeConstants::Forbidden, ..GrammarLimits::default() }
    }

    /// Returns every text of a grammar, `<eos>` left out.
    fn texts(grammar: &Grammar) -> Vec<String> {
        fn go_on(grammar: &Grammar, state: GrammarState, ids: &mut Vec<i32>, texts: &mut Vec<String>) {
            if grammar.is_complete(&state) {
                texts.push(to_text(ids));
                return;
            }
            for id in (0..VOCABULARY_SIZE as i32).filter(|&id| grammar.allows(&state, id)) {
                let mut next = state;
                grammar.advance(&mut next, id);
                ids.push(id);
                go_on(grammar, next, ids, texts);
                ids.pop();
            }
        }
        let mut texts = Vec::new();
        go_on(grammar, grammar.start(), &mut Vec::new(), &mut texts);
        texts
    }

    fn check(primitives: &PrimitiveSet, limits: GrammarLimits, rules: Rules, expected: &[&str]) {
        let grammar = Grammar::new(primitives, limits, rules).expect("a grammar");
        assert_eq!(texts(&grammar), expected);
    }

    #[test]
    fn all_expressions_within_the_limits() {
        let few = primitives(&[Op::Add, Op::Sin], &[2.5], 1);
        check(&few, limits(1), Rules::default(), &["x0", "c0"]);
        let two = ["sin x0", "sin c0", "x0", "c0"];
        check(&few, limits(2), Rules::default(), &two);
        check(&few, GrammarLimits { max_depth: 0, ..limits(9) }, Rules::default(), &["x0", "c0"]);
        let shallow = ["+ x0 x0", "+ x0 c0", "+ c0 x0", "+ c0 c0", "sin x0", "sin c0", "x0", "c0"];
        check(&few, GrammarLimits { max_depth: 1, ..limits(9) }, Rules::default(), &shallow);
        check(&few, GrammarLimits { max_tokens: 3, ..limits(9) }, Rules::default(), &two);
        let placeholders = GrammarLimits { free_constants: FreeConstants::Placeholders, ..limits(1) };
        check(&few, placeholders, Rules::default(), &["<constant>", "x0", "c0"]);
    }

    #[test]
    fn all_expressions_within_the_rules() {
        let few = primitives(&[Op::Add, Op::Sin], &[2.5], 1);
        let rules = Rules { no_nested_trigonometry: true, ..Rules::default() };
        let flat = ["+ x0 x0", "+ x0 c0", "+ c0 x0", "+ c0 c0", "sin x0", "sin c0", "x0", "c0"];
        check(&few, limits(3), rules, &flat);
        let rules = Rules { contains_variable: true, ..Rules::default() };
        check(&few, limits(3), rules, &["+ x0 x0", "+ x0 c0", "+ c0 x0", "sin sin x0", "sin x0", "x0"]);
        let rules = Rules { no_constant_operators: true, ..Rules::default() };
        check(&few, limits(3), rules, &["+ x0 x0", "+ x0 c0", "+ c0 x0", "sin sin x0", "sin x0", "x0", "c0"]);
        // Without variables an operator would be constant.
        check(&primitives(&[Op::Add], &[1.0], 0), limits(3), rules, &["c0"]);
    }

    #[test]
    fn numbers_have_one_text() {
        let one = primitives(&[], &[], 1);
        let free = |max_tokens| GrammarLimits { max_tokens, free_constants: FreeConstants::Numbers, ..limits(1) };
        let grammar = Grammar::new(&one, free(usize::MAX), Rules::default()).expect("a grammar");
        assert_eq!(grammar.longest(), 5);
        // How many tokens may come next, before each of these and after them.
        let choices = |tokens: [Token; 4]| {
            let mut state = grammar.start();
            let mut choices = Vec::new();
            for id in tokens.map(Token::id).into_iter().chain([Token::Eos.id()]) {
                choices.push((0..VOCABULARY_SIZE as i32).filter(|&id| grammar.allows(&state, id)).count());
                grammar.advance(&mut state, id);
            }
            choices
        };
        assert_eq!(choices(Token::number(3.25)), [3, 91, 100, 41, 1]);
        assert_eq!(choices(Token::number(-1e-20)), [3, 90, 100, 41, 1]);
        assert_eq!(choices(Token::number(0.0)), [3, 91, 1, 1, 1]);
        check(&one, free(4), Rules::default(), &["x0"]);
    }

    #[test]
    fn a_generation_has_its_number_of_individuals() {
        let one = primitives(&[Op::Sin], &[], 1);
        let grammar = |limits, errors| Grammar::generation(&one, limits, Rules::default(), 2, errors);
        let pairs = grammar(limits(2), false).expect("a grammar");
        assert_eq!(texts(&pairs), ["sin x0 sin x0", "sin x0 x0", "x0 sin x0", "x0 x0"]);
        assert_eq!(pairs.longest(), 5);
        let short = grammar(GrammarLimits { max_tokens: 4, ..limits(2) }, false).expect("a grammar");
        assert_eq!(texts(&short), ["sin x0 x0", "x0 sin x0", "x0 x0"]);
        let with_errors = texts(&grammar(limits(1), true).expect("a grammar"));
        assert_eq!(with_errors.len(), 66 * 66);
        assert!(with_errors.contains(&"x0 F31 x0 FINVALID".into()));
        assert!(grammar(GrammarLimits { max_tokens: 4, ..limits(1) }, true).is_err());
    }

    #[test]
    fn a_grammar_without_any_text_is_refused() {
        let constants = primitives(&[Op::Add], &[1.0], 0);
        let refused = |limits, rules| Grammar::new(&constants, limits, rules).expect_err("nothing").to_string();
        let rules = Rules { contains_variable: true, ..Rules::default() };
        assert!(refused(limits(9), rules).ends_with("it has to have a variable and there is none"));
        assert!(refused(limits(0), Rules::default()).ends_with("it has at least one node"));
        let short = GrammarLimits { max_tokens: 1, ..limits(9) };
        assert!(refused(short, Rules::default()).ends_with("the text has too few tokens"));
        let many = Grammar::new(&primitives(&[], &[], 33), limits(1), Rules::default());
        assert_eq!(many.expect_err("33 variables"), Error::TooManyVariables { found: 33 });
    }

    #[test]
    fn masks_of_any_length_are_filled() {
        let grammar = Grammar::new(&primitives(&[Op::Sin], &[], 2), limits(3), Rules::default()).expect("a grammar");
        for len in [VOCABULARY_SIZE, VOCABULARY_CAPACITY, 700] {
            let mut allowed = vec![true; len];
            grammar.mask(&grammar.start(), &mut allowed);
            assert_eq!(allowed.iter().filter(|&&allowed| allowed).count(), 3);
        }
    }

    #[test]
    #[should_panic(expected = "id 2 may not come next")]
    fn what_may_not_come_next_is_refused() {
        let grammar = Grammar::new(&primitives(&[], &[], 1), limits(3), Rules::default()).expect("a grammar");
        grammar.advance(&mut grammar.start(), Token::Eos.id());
    }
}
