//! The learner: a transformer as a search [`Policy`](sr_engine::Policy).
//!
//! [`InputWriter`] turns a state into what the model reads, in training as in search. [`Learner`] samples all children
//! of all states in one batch; a child that does not parse is replaced by one of the expert's, and its origin says so.
//! Nothing is trained here.

mod input;
mod learner;

pub use input::{Data, InputWriter, Language, fittest, points};
pub use learner::{Learner, Mode, Sampling, Written, checkpoint_id};

/// Why a learner cannot be used, or a problem not be shown to it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The point embedder has too few inputs.
    #[error(
        "the problem has {found} variables, this model's point embedder reads at most {max}; a model with the embedder \
         `set` can read as many as its n_variables"
    )]
    TooManyVariables {
        /// Variables of the problem.
        found: usize,
        /// Variables that the embedder has room for.
        max: usize,
    },
    /// The checkpoint was trained for something else.
    #[error("the checkpoint was trained for mode {found}, not {expected}")]
    Mode {
        /// Mode that was asked for.
        expected: String,
        /// Mode of the checkpoint.
        found: String,
    },
    /// The checkpoint's prompts told what this version does not know.
    #[error("the checkpoint was trained on prompts of context {found}, which is none of basic, rich and superrich")]
    Context {
        /// Context of the checkpoint.
        found: String,
    },
    /// The checkpoint's language is of another version.
    #[error("the checkpoint's prompts are not known to this version: {reason}")]
    Language {
        /// What is not known.
        reason: String,
    },
    /// Prompt or vocabulary.
    #[error(transparent)]
    Prompt(#[from] sr_prompt::Error),
    /// Model or checkpoint.
    #[error(transparent)]
    Model(#[from] sr_model::Error),
}
