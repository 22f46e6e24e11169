//! Which token may come next: the grammar of targets, by counting.
//!
//! In prefix order a text that is being written is a path from the root to the operand that comes next. Everything that
//! decides about its token is a handful of numbers: nodes and tokens left, the depth of that operand, which of the
//! operators above it still wait for a second operand (a set of depths, hence a bit mask), and what the rules remember.
//! Each open operand can be closed with a single token, so there is a dead end only where fewer nodes or tokens are
//! left than operands are open, and the grammar never lets that happen.
//!
//! What is allowed is a row of a table that is made once a problem: [`Grammar::mask`] selects one and copies it.

use sr_engine::PrimitiveSet;
use sr_expr::Op;

use crate::{Error, LISTED_CONSTANTS, Result, Token, VARIABLES, VOCABULARY_CAPACITY, VOCABULARY_SIZE};

/// Deepest expression that a grammar can write, in edges. It is the number of bits that hold the path.
pub const MAX_DEPTH: usize = u128::BITS as usize - 1;
/// Tokens of a number: sign, twice two digits, exponent.
const NUMBER_TOKENS: usize = 4;

/// Constants that are not listed, in what a grammar allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum FreeConstants {
    /// None.
    Forbidden,
    /// As numbers of four digits.
    #[default]
    Numbers,
    /// As `<constant>`, to be fitted.
    Placeholders,
    /// Both.
    NumbersAndPlaceholders,
}

impl FreeConstants {
    fn numbers(self) -> bool {
        matches!(self, FreeConstants::Numbers | FreeConstants::NumbersAndPlaceholders)
    }

    fn placeholders(self) -> bool {
        matches!(self, FreeConstants::Placeholders | FreeConstants::NumbersAndPlaceholders)
    }
}

/// How large an expression may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GrammarLimits {
    /// Most nodes of an expression, at least 1. 63 by default, as for a learner's children.
    pub max_size: usize,
    /// Most edges from the root to a leaf. [`MAX_DEPTH`] by default; more counts as that.
    pub max_depth: usize,
    /// Most tokens of a text, `<eos>` included, `usize::MAX` (the default) for no limit. A number is four tokens.
    pub max_tokens: usize,
    /// Constants that are not listed. Numbers by default.
    pub free_constants: FreeConstants,
}

impl Default for GrammarLimits {
    fn default() -> Self {
        GrammarLimits {
            max_size: 63,
            max_depth: MAX_DEPTH,
            max_tokens: usize::MAX,
            free_constants: FreeConstants::default(),
        }
    }
}

/// What an expression may not be. By default anything goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Rules {
    /// `sin`, `cos`, `tan`, `asin`, `acos` and `atan` do not stand within one another, however far apart.
    pub no_nested_trigonometry: bool,
    /// The expression contains a variable.
    pub contains_variable: bool,
    /// Every operator has a variable somewhere below it: `2 * 3` and `sin(1)` are constants, and there are shorter ones.
    pub no_constant_operators: bool,
}

/// Tokens allowed, by id.
type Row = [bool; VOCABULARY_CAPACITY];

/// Tells token by token what may come next in a target, so that every text which keeps to it is well-formed.
///
/// It begins behind the condition token and ends with `<eos>`, which is allowed exactly when the text is complete.
/// At every state at least one token is allowed, and every expression within limits and rules can be written, as
/// [`encode_target`](crate::encode_target) writes it. A number has one text only: it begins with a digit other than 0,
/// or is `N+ M00 M00 E0`.
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
    /// Expressions of a text.
    individuals: usize,
    /// Whether an error follows each of them.
    errors: bool,
    has_binary: bool,
    /// One row for each sum of what is [`given`], then those of [`Expects::WITH_ROW`].
    rows: Vec<Row>,
}

/// Where a text stands: what the next token has to be. Small and copied, not shared: one a child that is being written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GrammarState {
    expects: Expects,
    /// Expressions to come behind this one.
    individuals_left: usize,
    /// For the operands of this expression; what has to follow it is taken off.
    tokens_left: usize,
    nodes_left: usize,
    /// Of the operand to come, in edges.
    depth: u8,
    /// Bit `d` is set where the operator above at depth `d` waits for its second operand.
    waiting: u128,
    /// Depth of the trigonometric function above the operand to come, kept up where they may not be nested.
    trigonometry: Option<u8>,
    /// Whether a variable stands in this expression.
    has_variable: bool,
    /// Whether the operand to come has to have a variable, kept up where no operator may be constant.
    needs_variable: bool,
}

/// The kind of token that comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expects {
    /// A node.
    Operand,
    /// The first two digits of a number that is not negative.
    HighOfPositive,
    /// Of a negative one, which is not 0.
    HighOfNegative,
    Low,
    /// Further parts of 0.
    LowOfZero,
    Exponent,
    ExponentOfZero,
    /// The error of the individual.
    Error,
    End,
}

/// What an operand may be, one bit each. Together they are the index of a row, and a token is allowed there if all that
/// it needs is given.
mod given {
    pub(super) const UNARY: usize = 1;
    pub(super) const BINARY: usize = 1 << 1;
    pub(super) const TRIGONOMETRY: usize = 1 << 2;
    pub(super) const CONSTANT: usize = 1 << 3;
    pub(super) const NUMBER: usize = 1 << 4;
    pub(super) const ROWS: usize = 1 << 5;
}

impl Grammar {
    /// The grammar of a single expression: `expression <eos>`.
    ///
    /// # Errors
    /// If there are more than 32 variables, or no expression keeps to limits and rules.
    pub fn new(primitives: &PrimitiveSet, limits: GrammarLimits, rules: Rules) -> Result<Self> {
        Grammar::generation(primitives, limits, rules, 1, false)
    }

    /// The grammar of a whole generation, see [`encode_generation`](crate::encode_generation): `individuals`
    /// expressions, each followed by its error if `errors` is set, and `<eos>`. Limits of size and depth and the rules
    /// hold for each expression, `max_tokens` for the text.
    ///
    /// # Errors
    /// As [`Grammar::new`].
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
        // What must be given for each token, `None` for those that are no operand or not of this problem.
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
        Ok(Grammar { limits, rules, individuals, errors, has_binary, rows })
    }

    /// The state before the first token.
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
        };
        self.next_individual(&mut state);
        state
    }

    /// Most tokens that a text can have, `<eos>` included. Limits of depth and rules can make it less.
    pub fn longest(&self) -> usize {
        let leaves = if self.has_binary { self.limits.max_size.div_ceil(2) } else { 1 };
        let leaf_tokens = if self.limits.free_constants.numbers() { NUMBER_TOKENS } else { 1 };
        let expression = self.limits.max_size - leaves + leaves * leaf_tokens;
        let text = self.individuals.saturating_mul(expression + usize::from(self.errors)).saturating_add(1);
        text.min(self.limits.max_tokens)
    }

    /// Writes what may come next: `allowed[id]` for every id of the vocabulary, false beyond it. O(vocabulary): one row
    /// of the table is copied.
    ///
    /// # Panics
    /// If `allowed` is shorter than the vocabulary.
    pub fn mask(&self, state: &GrammarState, allowed: &mut [bool]) {
        assert!(allowed.len() >= VOCABULARY_SIZE, "a mask of {} tokens", allowed.len());
        let row = self.row(state);
        let common = allowed.len().min(row.len());
        allowed[..common].copy_from_slice(&row[..common]);
        allowed[common..].fill(false);
    }

    /// Whether this token may come next. O(1).
    pub fn allows(&self, state: &GrammarState, id: i32) -> bool {
        usize::try_from(id).ok().and_then(|id| self.row(state).get(id)).is_some_and(|&allowed| allowed)
    }

    /// Whether the text is complete, so that only `<eos>` may come next.
    pub fn is_complete(&self, state: &GrammarState) -> bool {
        state.expects == Expects::End
    }

    /// The state after one more token. O(1).
    ///
    /// # Panics
    /// If the token may not come next.
    pub fn advance(&self, state: &mut GrammarState, id: i32) {
        assert!(self.allows(state, id), "id {id} may not come next");
        match Token::from_id(id).expect("what is allowed is in the vocabulary") {
            Token::Op(op) => self.open(state, op),
            Token::Variable(_) => self.close(state, true, 1),
            Token::Listed(_) | Token::Constant => self.close(state, false, 1),
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
            Token::Exponent(_) => self.close(state, false, NUMBER_TOKENS),
            Token::Fitness(_) | Token::FitnessZero | Token::FitnessInvalid => self.next_individual(state),
            Token::Eos => {} // nothing follows
            token => unreachable!("no row has {token}"),
        }
    }

    fn row(&self, state: &GrammarState) -> &Row {
        let index = match state.expects {
            Expects::Operand => self.given(state),
            other => given::ROWS + other as usize - Expects::WITH_ROW[0] as usize,
        };
        &self.rows[index]
    }

    /// What the operand to come may be.
    fn given(&self, state: &GrammarState) -> usize {
        // The operands behind this one take at least one node each; their tokens, one each, are taken off already.
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

    /// Whether the operand to come has to have a variable.
    fn needs_variable(&self, state: &GrammarState) -> bool {
        if self.rules.no_constant_operators {
            return state.needs_variable;
        }
        self.rules.contains_variable && !state.has_variable && state.waiting == 0
    }

    /// An operator: its operands are one deeper.
    fn open(&self, state: &mut GrammarState, op: Op) {
        let is_binary = op.arity() == 2;
        state.nodes_left -= 1;
        // This token was taken off for the operand whose place it takes; its own operands are taken off now.
        state.tokens_left -= op.arity();
        if is_binary {
            state.waiting |= 1 << state.depth;
        }
        if self.rules.no_nested_trigonometry && is_trigonometric(op) {
            state.trigonometry = Some(state.depth);
        }
        // The first of two operands may be a constant, for the second need not be one.
        state.needs_variable = !is_binary;
        state.depth += 1;
    }

    /// A leaf of so many tokens: the operand to come is now the second one of the lowest operator that waits for it.
    fn close(&self, state: &mut GrammarState, has_variable: bool, tokens: usize) {
        state.nodes_left -= 1;
        state.tokens_left -= tokens - 1;
        state.has_variable |= has_variable;
        state.expects = Expects::Operand;
        let Some(operator) = state.waiting.checked_ilog2() else {
            return self.end_expression(state);
        };
        let depth = operator as u8 + 1;
        state.waiting &= !(1 << operator);
        // Below an operator there is a variable, if constant ones are forbidden; so the leaf has to be its first operand.
        state.needs_variable = !has_variable && state.depth == depth;
        state.depth = depth;
        state.trigonometry = state.trigonometry.filter(|&above| above < depth);
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
        };
    }
}

impl Expects {
    /// Those for which the same tokens are allowed in every problem, in order.
    const WITH_ROW: [Expects; 8] = [
        Expects::HighOfPositive,
        Expects::HighOfNegative,
        Expects::Low,
        Expects::LowOfZero,
        Expects::Exponent,
        Expects::ExponentOfZero,
        Expects::Error,
        Expects::End,
    ];

    /// Whether such a token is meant.
    fn has(self, token: Token) -> bool {
        match (self, token) {
            (Expects::HighOfPositive, Token::Mantissa(digits)) => digits == 0 || digits >= 10,
            (Expects::HighOfNegative, Token::Mantissa(digits)) => digits >= 10,
            (Expects::LowOfZero, Token::Mantissa(digits)) => digits == 0,
            (Expects::ExponentOfZero, Token::Exponent(exponent)) => exponent == 0,
            (Expects::Low, Token::Mantissa(_))
            | (Expects::Exponent, Token::Exponent(_))
            | (Expects::Error, Token::Fitness(_) | Token::FitnessZero | Token::FitnessInvalid)
            | (Expects::End, Token::Eos) => true,
            _ => false,
        }
    }
}

/// Those that [`Rules::no_nested_trigonometry`] keeps apart. All are unary.
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

    /// Every text of a grammar, `<eos>` left out.
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
