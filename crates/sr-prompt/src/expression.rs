//! Expressions in prefix order, one token a node (four for a number). Populations consist of them, and models write
//! them.

use serde::{Deserialize, Serialize};
use sr_engine::PrimitiveSet;
use sr_expr::{Expr, Node, Tree};

use crate::{DecodeError, Error, LISTED_CONSTANTS, Result, Slots, Token, VARIABLES};

/// The style of constants that are not listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConstantStyle {
    /// They are numbers, which keep four digits.
    #[default]
    Numbers,
    /// They are `<constant>`, whose values are fitted later.
    Placeholders,
}

/// Encodes a target: the expression and `<eos>`.
///
/// Constants that equal a listed one, bit for bit, are slots. Others are numbers, which keep four digits.
///
/// # Errors
/// Returns an error if it has a variable beyond `x31` or a constant that is not finite.
pub fn encode_target(tree: &Tree, constants: &[f64]) -> Result<Vec<i32>> {
    encode(tree, constants, ConstantStyle::Numbers)
}

/// Encodes a target like [`encode_target`], with `<constant>` in place of every constant that is not listed.
///
/// # Errors
/// Returns an error where [`encode_target`] does.
pub fn encode_template(tree: &Tree, constants: &[f64]) -> Result<Vec<i32>> {
    encode(tree, constants, ConstantStyle::Placeholders)
}

fn encode(tree: &Tree, constants: &[f64], style: ConstantStyle) -> Result<Vec<i32>> {
    check(tree)?;
    let mut ids = Vec::with_capacity(tree.size() + 1);
    push_expression(tree, constants, style, &mut ids);
    ids.push(Token::Eos.id());
    Ok(ids)
}

/// Returns an error if the expression cannot be written in the language.
pub(crate) fn check(tree: &Tree) -> Result<()> {
    if tree.n_variables() > VARIABLES {
        return Err(Error::TooManyVariables { found: tree.n_variables() });
    }
    for &node in tree.nodes() {
        if let Node::Const(value) = node
            && !value.is_finite()
        {
            return Err(Error::ConstantNotFinite { value });
        }
    }
    Ok(())
}

/// The number of values of [`target_feature`], plus one for 0, the feature of every token of a prompt.
pub const FEATURES: usize = 32;

/// Returns the feature that the model gets with each token of a target: 1 plus the number of operands that the text so
/// far leaves open, at most `FEATURES − 1`. So it is 2 with the condition token, before anything is written, and 1 once
/// the expression is complete. A small model that has to count by itself writes many texts that stop too early or too
/// late.
pub fn target_feature(so_far: &[i32]) -> i32 {
    let open = so_far.iter().fold(1, |open, &id| (open + opened_by(id)).max(0));
    feature_of(open)
}

/// Returns the change that a token makes to the number of open operands: its arity − 1, or 0 if it completes no node.
pub(crate) fn opened_by(id: i32) -> i32 {
    match Token::from_id(id) {
        Some(Token::Op(op)) => op.arity() as i32 - 1,
        // The last token of a number completes it.
        Some(Token::Variable(_) | Token::Listed(_) | Token::Constant | Token::Exponent(_)) => -1,
        _ => 0,
    }
}

pub(crate) fn feature_of(open: i32) -> i32 {
    1 + open.min(FEATURES as i32 - 2)
}

/// Appends the ids of an expression. Nodes that the language cannot express become `<unk>`.
pub(crate) fn push_expression(tree: &Tree, constants: &[f64], style: ConstantStyle, ids: &mut Vec<i32>) {
    for node in tree.to_prefix() {
        match node {
            Node::Op(op) => ids.push(Token::Op(op).id()),
            Node::Var(index) if usize::from(index) < VARIABLES => ids.push(Token::Variable(index as u8).id()),
            Node::Var(_) => ids.push(Token::Unk.id()),
            Node::Const(value) => {
                let listed = constants.iter().take(LISTED_CONSTANTS).position(|c| c.to_bits() == value.to_bits());
                match (listed, style) {
                    (Some(index), _) => ids.push(Token::Listed(index as u8).id()),
                    (None, ConstantStyle::Numbers) => ids.extend(Token::number(value).map(Token::id)),
                    (None, ConstantStyle::Placeholders) => ids.push(Token::Constant.id()),
                }
            }
        }
    }
}

/// Decodes the ids that a model wrote, without the condition token and `<eos>`.
///
/// They have to be exactly one complete expression of at most `max_size` nodes over the primitive set. Any number is
/// accepted as a constant, listed or not.
///
/// # Errors
/// Returns a [`DecodeError`] that names the first fault; such an output is not well-formed.
pub fn decode_expression(
    ids: &[i32],
    primitives: &PrimitiveSet,
    max_size: usize,
) -> std::result::Result<Expr, DecodeError> {
    let reading = Reading { primitives, max_nodes: max_size, max_size, placeholders: false, slots: None };
    reading.read(ids, 0).map(|text| text.expr())
}

/// An expression some of whose constants are to be fitted.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    /// The expression, with [`PLACEHOLDER`] for every `<constant>`.
    pub expr: Expr,
    /// The post-order indices of the placeholders, in text order. There are as many values to fit.
    pub placeholders: Vec<u32>,
}

/// The value of a constant before it is fitted.
pub const PLACEHOLDER: f64 = 1.0;

/// Decodes texts like [`decode_expression`], which may also have `<constant>`. [`decode_expression`] refuses it because it has no value.
///
/// # Errors
/// Returns an error where [`decode_expression`] does.
pub fn decode_template(
    ids: &[i32],
    primitives: &PrimitiveSet,
    max_size: usize,
) -> std::result::Result<Template, DecodeError> {
    let reading = Reading { primitives, max_nodes: max_size, max_size, placeholders: true, slots: None };
    reading.read(ids, 0).map(|text| text.template())
}

/// The reader of an expression and its limits.
pub(crate) struct Reading<'a> {
    pub(crate) primitives: &'a PrimitiveSet,
    /// The largest number of nodes that may be read.
    pub(crate) max_nodes: usize,
    /// The limit that `max_nodes` follows from, for the error.
    pub(crate) max_size: usize,
    /// Whether there may be placeholders.
    pub(crate) placeholders: bool,
    /// The slots that `COPY` refers to, where it is allowed.
    pub(crate) slots: Option<&'a Slots<'a>>,
}

/// An expression that was read.
pub(crate) struct Text {
    prefix: Vec<Node>,
    /// The indices of placeholders in `prefix`.
    placeholders: Vec<usize>,
    /// The individual and post-order node of every `COPY`.
    pub(crate) copies: Vec<(u32, u32)>,
}

impl Reading<'_> {
    /// Reads the ids from `position` on, which have to be one expression.
    pub(crate) fn read(&self, ids: &[i32], mut position: usize) -> std::result::Result<Text, DecodeError> {
        let mut text = Text {
            prefix: Vec::with_capacity(ids.len().min(self.max_nodes)),
            placeholders: Vec::new(),
            copies: Vec::new(),
        };
        let mut open = 1; // operands still to come
        while position < ids.len() {
            if open == 0 {
                return Err(DecodeError::Leftover { position, more: ids.len() - position });
            }
            open -= 1;
            if let Some(slots) = self.slots
                && ids[position] == Token::Copy.id()
            {
                position += 1;
                let (slot, node) = slots.node_at(ids, &mut position)?;
                text.prefix.extend(slot.tree.subtree(node as usize).to_prefix());
                text.copies.push((slot.individual, node));
            } else if self.placeholders && ids[position] == Token::Constant.id() {
                position += 1;
                text.placeholders.push(text.prefix.len());
                text.prefix.push(Node::Const(PLACEHOLDER));
            } else {
                let node = node_at(ids, &mut position, self.primitives)?;
                open += node.arity();
                text.prefix.push(node);
            }
            if text.prefix.len() > self.max_nodes {
                return Err(DecodeError::TooLarge { max_size: self.max_size });
            }
        }
        match open {
            0 => Ok(text),
            missing => Err(DecodeError::Incomplete { missing }),
        }
    }
}

impl Text {
    fn expr(&self) -> Expr {
        Expr::from_prefix(&self.prefix).expect("every operand was counted")
    }

    pub(crate) fn template(&self) -> Template {
        let expr = self.expr();
        let order = prefix_order(&expr);
        let placeholders = self.placeholders.iter().map(|&place| order[place]).collect();
        Template { expr, placeholders }
    }
}

/// Returns the post-order indices of a tree's nodes in prefix order.
pub(crate) fn prefix_order(tree: &Tree) -> Vec<u32> {
    let mut order = Vec::with_capacity(tree.size());
    let mut stack = vec![tree.size() - 1];
    while let Some(node) = stack.pop() {
        order.push(node as u32);
        // Operands end just before their operator, the last one first.
        let mut end = node;
        for _ in 0..tree.nodes()[node].arity() {
            stack.push(end - 1);
            end = tree.subtree_start(end - 1);
        }
    }
    order
}

/// Reads the node that begins at `position`, which moves behind it.
fn node_at(ids: &[i32], position: &mut usize, primitives: &PrimitiveSet) -> std::result::Result<Node, DecodeError> {
    let at = *position;
    let token = token_at(ids, position)?;
    match token {
        Token::Op(op) if !primitives.ops().contains(&op) => Err(DecodeError::NoSuchOperator { position: at, op }),
        Token::Op(op) => Ok(Node::Op(op)),
        Token::Variable(index) => match primitives.n_variables() {
            n_variables if u16::from(index) >= n_variables => {
                Err(DecodeError::NoSuchVariable { position: at, index, n_variables })
            }
            _ => Ok(Node::Var(u16::from(index))),
        },
        Token::Listed(index) => match primitives.constants().get(usize::from(index)) {
            Some(&value) => Ok(Node::Const(value)),
            None => {
                let listed = primitives.constants().len();
                Err(DecodeError::NoSuchConstant { position: at, index, listed })
            }
        },
        Token::Positive | Token::Negative => {
            let [high, low] = [mantissa_at(ids, position)?, mantissa_at(ids, position)?];
            let exponent_position = *position;
            match token_at(ids, position)? {
                Token::Exponent(exponent) => {
                    let negative = token == Token::Negative;
                    Ok(Node::Const(Token::number_value(negative, high, low, exponent)))
                }
                token => Err(DecodeError::Misplaced { position: exponent_position, token }),
            }
        }
        token => Err(DecodeError::Misplaced { position: at, token }),
    }
}

fn mantissa_at(ids: &[i32], position: &mut usize) -> std::result::Result<u8, DecodeError> {
    let at = *position;
    match token_at(ids, position)? {
        Token::Mantissa(digits) => Ok(digits),
        token => Err(DecodeError::Misplaced { position: at, token }),
    }
}

pub(crate) fn token_at(ids: &[i32], position: &mut usize) -> std::result::Result<Token, DecodeError> {
    let at = *position;
    *position += 1;
    // Only numbers, `EDIT` and `COPY` can be cut: elsewhere the caller has checked that there is a token.
    let &id = ids.get(at).ok_or(DecodeError::Incomplete { missing: 1 })?;
    Token::from_id(id).ok_or(DecodeError::UnknownId { position: at, id })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::to_text;
    use sr_expr::Op;

    fn primitives() -> PrimitiveSet {
        PrimitiveSet::new(vec![Op::Add, Op::Mul, Op::Sin], vec![1.0, 2.5], 2).expect("primitives")
    }

    fn ids(text: &str) -> Vec<i32> {
        let id = |word| Token::all().find(|token| token.to_string() == word).map_or(-1, Token::id);
        text.split_whitespace().map(id).collect()
    }

    #[test]
    fn the_feature_counts_open_operands() {
        let expr: Expr = "x0 * (1.0 + 0.25)".parse().expect("test expression");
        let ids = encode_target(&expr, &[1.0]).expect("a target");
        // * x0 + c0 N+ M25 M00 E-1 <eos>
        let features: Vec<i32> = (0..ids.len()).map(|n| target_feature(&ids[..n])).collect();
        assert_eq!(features, [2, 3, 2, 3, 2, 2, 2, 2, 1]);
        assert_eq!(target_feature(&[Token::Op(sr_expr::Op::Add).id(); 99]), FEATURES as i32 - 1);
        assert_eq!(target_feature(&ids[1..2].repeat(3)), 1, "what follows a complete expression opens nothing");
    }

    #[test]
    fn constants_are_slots_if_listed_and_numbers_if_not() {
        let expr: Expr = "x1 * 2.5 + sin(1.0) + 0.333333".parse().expect("test expression");
        let target = encode_target(&expr, primitives().constants()).expect("a target");
        assert_eq!(to_text(&target), "+ + * x1 c1 sin c0 N+ M33 M33 E-1 <eos>");
        let read = decode_expression(&target[..target.len() - 1], &primitives(), 63).expect("well-formed");
        assert_eq!(read.to_string(), "(((x1 * 2.5) + sin(1.0)) + 0.3333)");
    }

    #[test]
    fn placeholders_are_constants_without_a_value() {
        let expr: Expr = "0.25 * x1 + sin(2.5 - 0.333333)".parse().expect("test expression");
        let target = encode_template(&expr, primitives().constants()).expect("a target");
        assert_eq!(to_text(&target), "+ * <constant> x1 sin - c1 <constant> <eos>");
        let primitives = PrimitiveSet::new(Op::ALL.to_vec(), vec![1.0, 2.5], 2).expect("primitives");
        let text = &target[..target.len() - 1];
        let read = decode_template(text, &primitives, 63).expect("well-formed");
        assert_eq!(read.expr.to_string(), "((1.0 * x1) + sin((2.5 - 1.0)))");
        assert_eq!(read.placeholders, [0, 4]);
        let refused = decode_expression(text, &primitives, 63);
        assert_eq!(refused, Err(DecodeError::Misplaced { position: 2, token: Token::Constant }));
        let none = decode_template(&ids("+ x0 c1"), &primitives, 63).expect("well-formed");
        assert!(none.placeholders.is_empty());
    }

    #[test]
    fn targets_beyond_the_language_are_errors() {
        let error = encode_target(&Expr::var(32), &[]).expect_err("x32");
        assert_eq!(error.to_string(), "expected at most 32 variables, found 33");
        assert!(matches!(encode_target(&Expr::constant(f64::NAN), &[]), Err(Error::ConstantNotFinite { .. })));
    }

    #[test]
    fn what_is_not_one_expression_is_refused_with_its_reason() {
        for (text, reason) in [
            ("", "the expression is incomplete: 1 operands are missing"),
            ("+ x0", "the expression is incomplete: 1 operands are missing"),
            ("+ + x0", "the expression is incomplete: 2 operands are missing"),
            ("x0 x1", "the expression ends before position 1, 1 tokens are left over"),
            ("+ x0 x1 <eos>", "the expression ends before position 3, 1 tokens are left over"),
            ("sin x2", "x2 at position 1, but the problem has 2 variables"),
            ("sin c2", "c2 at position 1, but 2 constants are listed"),
            ("cos x0", "operator cos at position 0 is not in the primitive set"),
            ("sin <eos>", "token <eos> at position 1 has no place there"),
            ("sin ALL", "token ALL at position 1 has no place there"),
            ("sin M31", "token M31 at position 1 has no place there"),
            ("N+ M31 x0 E0", "token x0 at position 2 has no place there"),
            ("N+ M31 M40 x0", "token x0 at position 3 has no place there"),
            ("N+ M31", "the expression is incomplete: 1 operands are missing"),
            ("sin sinh", "id -1 at position 1 is not in the vocabulary"),
            ("sin sin sin sin x0", "the expression has more than 4 nodes"),
        ] {
            let error = decode_expression(&ids(text), &primitives(), 4).expect_err(text);
            assert_eq!(error.to_string(), reason, "{text}");
        }
        assert!(decode_expression(&ids("sin sin sin x0"), &primitives(), 4).is_ok());
    }

    #[test]
    fn every_operator_is_written_and_read() {
        let primitives = PrimitiveSet::new(Op::ALL.to_vec(), vec![], 1).expect("primitives");
        for &op in Op::ALL {
            let x = Expr::var(0);
            let expr = if op.arity() == 1 { Expr::unary(op, &x) } else { Expr::binary(op, &x, &x) };
            let target = encode_target(&expr, &[]).expect("a target");
            assert_eq!(decode_expression(&target[..target.len() - 1], &primitives, 3), Ok(expr));
        }
    }
}
