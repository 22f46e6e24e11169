//! The errors of a training run.

use std::path::PathBuf;

/// The reason why a run cannot start or continue.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    // Errors of the configuration.
    /// The TOML text does not describe a run: a syntax error, an unknown key, a missing one or a wrong type.
    #[error("configuration: {0}")]
    Toml(String),
    /// A value is out of range.
    #[error("configuration: {key} is {found}, expected {expected}")]
    Setting {
        /// The key in the file.
        key: &'static str,
        /// The value that was given.
        found: String,
        /// The values that are accepted.
        expected: String,
    },

    // Errors of examples.
    /// The corpus is for another mode.
    #[error("{path}: the corpus is for mode {found}, the configuration for {expected}")]
    Mode {
        /// The corpus.
        path: PathBuf,
        /// Mode of the configuration.
        expected: &'static str,
        /// Mode of the corpus.
        found: &'static str,
    },
    /// The corpora have different contexts; a model has one context for all prompts.
    #[error("{path}: prompts of context {found} do not go with those of context {expected}")]
    Context {
        /// The corpus.
        path: PathBuf,
        /// The context of the earlier corpora.
        expected: &'static str,
        /// The context of the corpus.
        found: &'static str,
    },
    /// Some corpora have the errors of individuals in whole generations, others do not; a model needs one kind.
    #[error("{path}: generations with fitness and without do not go together; convert both with the same --fitness")]
    Fitness {
        /// The corpus.
        path: PathBuf,
    },
    /// The corpus has no examples.
    #[error("the {split} corpus has no examples")]
    Empty {
        /// `training` or `validation`.
        split: &'static str,
    },
    /// A condition has a share of training, and the corpora have no example of it.
    #[error("training.shares: the corpora have no examples of condition {condition}")]
    NoStates {
        /// The condition.
        condition: &'static str,
    },

    // Errors of the run folder.
    /// The output folder is not empty, and the run is not resumed.
    #[error("{0}: the folder is not empty; give another one, or --resume to go on with its run")]
    Exists(PathBuf),
    /// The folder to resume is not that of a training run.
    #[error("{path}: this is no folder of a training run ({reason}), and nothing in it is replaced; give another one")]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// The evidence.
        reason: String,
    },
    /// The folder to resume has another run.
    #[error("{path}: cannot resume with another {what}: it was {was}, is now {now}")]
    Resume {
        /// The run folder.
        path: PathBuf,
        /// The setting that differs.
        what: String,
        /// Its value in the folder.
        was: String,
        /// Its value now.
        now: String,
    },
    /// The checkpoint to start from has another shape than the configuration.
    #[error("{path}: the checkpoint's {key} is {found}, the configuration's {expected}")]
    Shape {
        /// The checkpoint.
        path: PathBuf,
        /// The first key of the model that differs.
        key: String,
        /// The value in the checkpoint.
        found: String,
        /// The value in the configuration.
        expected: String,
    },
    /// The checkpoint to start from has another mode or language than the run.
    #[error("{path}: the checkpoint's {what} is {found}, the run's {expected}; its weights would mean something else")]
    Start {
        /// The checkpoint.
        path: PathBuf,
        /// The part that differs: the mode, or a part of the language.
        what: String,
        /// The value of the checkpoint.
        found: String,
        /// The value of the run.
        expected: String,
    },
    /// Weights of another program do not fit the configuration.
    #[error("{path}: {reason}")]
    Weights {
        /// The folder.
        path: PathBuf,
        /// The difference.
        reason: String,
    },
    /// The tokens of the checkpoint differ from this version's.
    #[error("{path}: {source}")]
    Vocabulary {
        /// The checkpoint.
        path: PathBuf,
        /// The first token that differs.
        source: sr_prompt::Error,
    },
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// A file of a run folder is damaged.
    #[error("{path}: {reason}")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// The fault.
        reason: String,
    },

    // Errors of training itself.
    /// Loss or gradient norm is NaN or infinite; the weights are those before the step.
    #[error(
        "step {step}: loss {loss}, gradient norm {norm}; {}; a lower learning_rate or clip_norm may help",
        batch.as_ref().map_or("its batch could not be saved".to_owned(), |path| format!("its batch is in {}", path.display()))
    )]
    Diverged {
        /// The number of the step, from 1.
        step: u64,
        /// The loss per target token.
        loss: f64,
        /// The norm of the gradients before clipping.
        norm: f64,
        /// The file with the batch: token ids, labels and points; `None` if it could not be saved.
        batch: Option<PathBuf>,
    },
    /// The loss of an [`Mlp`](crate::Mlp) is NaN or infinite.
    #[error("the loss of update {update} is {loss}; a lower --learning-rate may help, in another folder")]
    Update {
        /// The number of the update, from 0.
        update: usize,
        /// The mean squared error.
        loss: f64,
    },
    /// The validation loss is NaN or infinite, so models cannot be compared by it.
    #[error("step {step}: validation loss {loss}; has the validation corpus values that no training example has?")]
    Validation {
        /// The number of the step, from 1.
        step: u64,
        /// The loss per target token.
        loss: f64,
    },

    // Errors of other crates.
    /// An error of the corpus files.
    #[error(transparent)]
    Corpus(#[from] sr_corpus::Error),
    /// An error of the model's input.
    #[error(transparent)]
    Input(#[from] sr_neural::Error),
    /// An error of the model's targets.
    #[error(transparent)]
    Prompt(#[from] sr_prompt::Error),
    /// An error of models, checkpoints or devices.
    #[error(transparent)]
    Model(#[from] sr_model::Error),
}

impl Error {
    /// Wraps an I/O error with its path.
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Error::Io { path, source }
    }
}
