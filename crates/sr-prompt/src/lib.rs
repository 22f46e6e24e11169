//! The text that the model reads and writes. Training and inference share this code.
//!
//! A [`PromptState`] holds what a model may know of a search: generation, primitives and the population with its
//! errors. [`PromptWriter`] writes it, and what a [`Context`] adds about the data, as ids of [`Token`]s, the compact
//! domain language of `docs/prompt.md`. [`encode_target`] writes the expression to learn, [`decode_expression`] reads the one that
//! a model wrote. [`encode_generation`] and [`decode_generation`] do so for a whole population. [`encode_edit`] and
//! [`decode_edit`] do so for a child as an edit of an individual of the prompt. A [`Grammar`] decides which token may
//! come next, so that every text is well-formed. [`infix`] is the original system's text, which is an export format and
//! not what the model reads.
//!
//! ```
//! use sr_engine::PrimitiveSet;
//! use sr_expr::{Columns, Expr, Op};
//! use sr_prompt::{PromptState, PromptWriter, decode_expression, encode_target, to_text};
//!
//! let primitives = PrimitiveSet::new(vec![Op::Add, Op::Mul], vec![2.5], 1)?;
//! let (a, b): (Expr, Expr) = ("x0 * x0".parse()?, "x0 + 2.5".parse()?);
//! let state = PromptState::new(3, &primitives, [(&*a, 0.5), (&*b, 2e-5), (&*a, 0.5)]);
//! let (x, y) = (Columns::from_rows(&[[1.0], [2.0]]), [3.5, 4.5]);
//! let prompt = PromptWriter::default().write(&state, &x, &y)?;
//! assert_eq!(
//!     to_text(&prompt),
//!     "<bos> <context> G3 V1 + * c0 N+ M25 M00 E0 <population> F22 + x0 c0 F31 n2 * x0 x0 <target>"
//! );
//!
//! let target = encode_target(&b, primitives.constants())?;
//! assert_eq!(to_text(&target), "+ x0 c0 <eos>");
//! assert_eq!(decode_expression(&target[..3], &primitives, 63)?, b);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! This crate makes ids, no tensors. Points are not text; they reach the model through an embedder.

mod conditions;
mod data;
mod edit;
mod error;
mod expression;
mod generation;
mod grammar;
pub mod infix;
mod marks;
mod mode;
mod prompt;
mod vocabulary;

pub use conditions::Conditions;
pub use edit::{DecodedEdit, EditWriter, Slots, decode_edit, edit_feature, encode_edit, encode_full};
pub use error::{DecodeError, Error, Result};
pub use expression::{
    ConstantStyle, FEATURES, PLACEHOLDER, Template, decode_expression, decode_template, encode_target, encode_template,
    target_feature,
};
pub use generation::{decode_generation, encode_generation, generation_feature};
pub use grammar::{FreeConstants, Grammar, GrammarLimits, GrammarState, MAX_DEPTH, Rules};
pub use marks::{Mark, marks};
pub use mode::Mode;
pub use prompt::{Actions, Context, PopulationOrder, PromptState, PromptWriter, individual_ranges};
pub use vocabulary::{
    Condition, LISTED_CONSTANTS, POSITIONS, SLOTS, Token, VARIABLES, VOCABULARY_CAPACITY, VOCABULARY_SIZE,
    check_tokenizer, fingerprint, to_text, tokenizer_json,
};
