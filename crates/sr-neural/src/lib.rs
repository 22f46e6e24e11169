//! The learner: a transformer as a search [`Policy`](sr_engine::Policy).
//!
//! [`InputWriter`] converts a state to the model's input, in training and in search. [`Learner`] samples all offspring
//! of all states in one batch; a child that does not parse is replaced by one of the expert's, with
//! [`Origin::Fallback`](sr_engine::Origin::Fallback). This crate does not train.
//!
//! ```
//! use std::sync::Arc;
//!
//! use sr_engine::{Instance, PrimitiveSet, Search, SearchConfig};
//! use sr_expr::{Columns, Op};
//! use sr_model::{Decoder, DeviceKind, Model, ModelConfig, PointsConfig};
//! use sr_neural::{Language, Learner, LearnerMode, Sampling};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let x = Columns::from_rows(&[[1.0], [2.0], [3.0], [4.0]]);
//! let primitives = PrimitiveSet::new(vec![Op::Add, Op::Mul], vec![1.0], 1)?;
//! let instance = Arc::new(Instance::new("quadratic", x, vec![3.0, 7.0, 13.0, 21.0], primitives)?);
//! let config = SearchConfig { population_size: 10, generations: 3, ..SearchConfig::basic() };
//!
//! // A model that was never trained; `Learner::load` takes a checkpoint.
//! let points = Some(PointsConfig { hidden: 8, ..PointsConfig::learner(1) });
//! let micro = ModelConfig::micro(sr_prompt::VOCABULARY_SIZE);
//! let tiny = ModelConfig { d_model: 16, n_layers: 1, n_heads: 2, d_mlp: 32, points, ..micro };
//! let model = Model::new(&tiny, 1, &DeviceKind::Cpu.open()?)?;
//! let sampling = Sampling { max_child_size: 7, ..Sampling::default() };
//! let mut learner = Learner::new(Decoder::new(&model), LearnerMode::OneStep, &Language::default(), sampling);
//!
//! let outcome = Search::new(instance, config, 1)?.run(&mut learner)?;
//! assert!(outcome.best.score.mse.is_finite());
//! # Ok(())
//! # }
//! ```

mod hybrid;
mod input;
mod learner;
mod meta;
pub mod shipped;
#[cfg(feature = "testing")]
pub mod testing;

pub use hybrid::{Hybrid, Per, Share};
pub use input::{Data, InputWriter, Language, ROOM_FOR_CHILD, embedder_points, fittest_tree};
pub use learner::{Learner, LearnerMode, Sampling, Swap, Written, checkpoint_id};
pub use meta::CheckpointMeta;

/// The reason why a learner cannot be used, or a problem cannot be shown to it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The point embedder has too few inputs.
    #[error(
        "the problem has {found} variables, this model's point embedder reads at most {max}; a model with the embedder \
         `set` can read as many as its n_variables"
    )]
    TooManyVariables {
        /// The number of the problem's variables.
        found: usize,
        /// The most variables that the embedder reads.
        max: usize,
    },
    /// A setting of sampling is out of range.
    #[error("{flag} is {found}, expected {expected}")]
    Sampling {
        /// The flag of the setting.
        flag: &'static str,
        /// The value that was given.
        found: String,
        /// The values that are accepted.
        expected: String,
    },
    /// The checkpoint was trained for another mode.
    #[error("the checkpoint was trained for mode {found}, not {expected}")]
    Mode {
        /// The mode that was asked for.
        expected: String,
        /// The checkpoint's mode.
        found: String,
    },
    /// The checkpoint tells of its model what this version does not know.
    #[error("meta.json of the checkpoint: {reason}")]
    Meta {
        /// What is missing or not known.
        reason: String,
    },
    /// The checkpoint has not learned the condition that is asked for.
    #[error("the checkpoint has not learned children of condition {asked}, only of {learned}")]
    Condition {
        /// The condition that was asked for.
        asked: &'static str,
        /// The conditions that it has learned.
        learned: String,
    },
    /// Distinct texts are not possible in this mode.
    #[error("--distinct: {reason}")]
    Distinct {
        /// The reason.
        reason: String,
    },
    /// A setting of the share is out of range.
    #[error("{flag} is {found}, expected {expected}")]
    Share {
        /// The flag of the setting.
        flag: &'static str,
        /// The value that was given.
        found: String,
        /// The values that are accepted.
        expected: &'static str,
    },
    /// An error of the prompt or the vocabulary.
    #[error(transparent)]
    Prompt(#[from] sr_prompt::Error),
    /// An error of the model or the checkpoint.
    #[error(transparent)]
    Model(#[from] sr_model::Error),
}
