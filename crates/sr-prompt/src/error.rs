//! The errors of the model's text.

use sr_expr::Op;

use crate::{Token, VARIABLES};

/// The result of writing model text.
pub type Result<T> = std::result::Result<T, Error>;

/// The reason why a text cannot be written for the model, or by it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    // Writing.
    /// The language has no names for so many variables.
    #[error("expected at most {VARIABLES} variables, found {found}")]
    TooManyVariables {
        /// The number of variables of the problem, or one more than the highest index in the target.
        found: usize,
    },
    /// The context alone is longer than the prompt may be.
    #[error("the context needs {needed} tokens, a prompt may have {max}")]
    PromptTooLong {
        /// The number of tokens of a prompt without any individual.
        needed: usize,
        /// The limit.
        max: usize,
    },
    /// A target contains NaN or an infinite number.
    #[error("constant {value} of a target is not finite")]
    ConstantNotFinite {
        /// The constant.
        value: f64,
    },

    /// An edit refers to an individual or node that its population does not have.
    #[error("node {node} of individual {parent} is outside of the population")]
    OutsideOfPopulation {
        /// The index of the individual.
        parent: u32,
        /// The node, a post-order index.
        node: u32,
    },

    // Grammars.
    /// No text keeps to the limits and rules of a grammar.
    #[error("no expression keeps to the limits and rules: {reason}")]
    NoExpression {
        /// The limit or rule that leaves no text.
        reason: &'static str,
    },

    // The tokenizer of a checkpoint.
    /// The text is no `tokenizer.json` of a word-level model.
    #[error("not the tokenizer of a checkpoint: {reason}")]
    NotATokenizer {
        /// The fault.
        reason: String,
    },
    /// The checkpoint was trained with other tokens or another order of them.
    #[error("checkpoint of another vocabulary: expected token {id} to be {expected:?}, found {found:?}")]
    OtherVocabulary {
        /// The first id with another meaning.
        id: usize,
        /// The token of this vocabulary, empty beyond its last one.
        expected: String,
        /// The checkpoint's token, empty if it has none with this id.
        found: String,
    },
}

/// The reason why ids are not one well-formed expression over the primitive set. Positions are counted from 0.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The vocabulary has no such id.
    #[error("id {id} at position {position} is not in the vocabulary")]
    UnknownId {
        /// The position of the token.
        position: usize,
        /// The id.
        id: i32,
    },
    /// A token has no place in an expression here: it belongs to prompts, is reserved, or is a misplaced part of a
    /// number.
    #[error("token {token} at position {position} has no place there")]
    Misplaced {
        /// The position of the token.
        position: usize,
        /// The token.
        token: Token,
    },
    /// The problem lacks this variable.
    #[error("x{index} at position {position}, but the problem has {n_variables} variables")]
    NoSuchVariable {
        /// The position of the token.
        position: usize,
        /// The variable.
        index: u8,
        /// The number of variables of the problem.
        n_variables: u16,
    },
    /// The list of constants is shorter.
    #[error("c{index} at position {position}, but {listed} constants are listed")]
    NoSuchConstant {
        /// The position of the token.
        position: usize,
        /// The slot.
        index: u8,
        /// The number of listed constants.
        listed: usize,
    },
    /// The operator is not in the primitive set.
    #[error("operator {op} at position {position} is not in the primitive set")]
    NoSuchOperator {
        /// The position of the token.
        position: usize,
        /// The operator.
        op: Op,
    },
    /// The prompt has fewer individuals.
    #[error("S{index} at position {position}, but the prompt has {slots} slots")]
    NoSuchSlot {
        /// The position of the token.
        position: usize,
        /// The slot.
        index: u8,
        /// The number of slots of the prompt.
        slots: usize,
    },
    /// The individual has fewer nodes.
    #[error("P{index} at position {position}, but the individual has {size} nodes")]
    NoSuchNode {
        /// The position of the token.
        position: usize,
        /// The node.
        index: u8,
        /// The number of nodes of the individual.
        size: usize,
    },
    /// The text goes on after the expression is complete.
    #[error("the expression ends before position {position}, {more} tokens are left over")]
    Leftover {
        /// The position of the first token too many.
        position: usize,
        /// The number of tokens from there on.
        more: usize,
    },
    /// The text ends before the expression is complete.
    #[error("the expression is incomplete: {missing} operands are missing")]
    Incomplete {
        /// The number of operands that are still open.
        missing: usize,
    },
    /// There are more nodes than allowed.
    #[error("the expression has more than {max_size} nodes")]
    TooLarge {
        /// The limit.
        max_size: usize,
    },
}
