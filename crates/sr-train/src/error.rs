//! What can go wrong in a training run, in one line each.

use std::path::PathBuf;

/// Why a run cannot start or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    // Configuration.
    /// The TOML text does not describe a run: a syntax error, an unknown key, a missing one or a wrong type.
    #[error("configuration: {0}")]
    Toml(String),
    /// A number that no run can be made with.
    #[error("configuration: {key} is {found}, expected {expected}")]
    Setting {
        /// The key as in the file.
        key: &'static str,
        /// Its value.
        found: String,
        /// What it may be.
        expected: String,
    },

    // Examples.
    /// The corpus was made for another mode.
    #[error("{path}: the corpus is for mode {found}, the configuration for {expected}")]
    Mode {
        /// The corpus.
        path: PathBuf,
        /// Mode of the configuration.
        expected: &'static str,
        /// Mode of the corpus.
        found: &'static str,
    },
    /// A model's prompts tell of every problem the same, in training and later.
    #[error("{path}: prompts of context {found} do not go with those of context {expected}")]
    Context {
        /// The corpus.
        path: PathBuf,
        /// Context of the corpora before it.
        expected: &'static str,
        /// Context of the corpus.
        found: &'static str,
    },
    /// Whole generations are written with the errors of their individuals, or without, in one model.
    #[error("{path}: generations with fitness and without do not go together; convert both with the same --fitness")]
    Fitness {
        /// The corpus.
        path: PathBuf,
    },
    /// There is nothing to learn from.
    #[error("the {split} corpus has no examples")]
    Empty {
        /// `training` or `validation`.
        split: &'static str,
    },

    // The run folder.
    /// The output folder is in use and the run is not a resumed one.
    #[error("{0}: the folder is not empty; give another one, or --resume to go on with its run")]
    Exists(PathBuf),
    /// The folder to resume is in use, and by no run of this trainer.
    #[error("{path}: this is no folder of a training run ({reason}), and nothing in it is replaced; give another one")]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// What shows it.
        reason: String,
    },
    /// The folder to resume holds another run.
    #[error("{path}: cannot resume with another {what}: it was {was}, is now {now}")]
    Resume {
        /// The run folder.
        path: PathBuf,
        /// What differs.
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
        /// First key of the model that differs.
        key: String,
        /// Value in the checkpoint.
        found: String,
        /// Value in the configuration.
        expected: String,
    },
    /// The checkpoint to start from reads or writes another language than the run.
    #[error("{path}: the checkpoint's {what} is {found}, the run's {expected}; its weights would mean something else")]
    Start {
        /// The checkpoint.
        path: PathBuf,
        /// What differs: the mode, or a part of the language.
        what: String,
        /// Of the checkpoint.
        found: String,
        /// Of the run.
        expected: String,
    },
    /// Weights of another program do not fit the configuration.
    #[error("{path}: {reason}")]
    Weights {
        /// The folder.
        path: PathBuf,
        /// What differs.
        reason: String,
    },
    /// A checkpoint whose tokens mean something else.
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
        /// What the system said.
        source: std::io::Error,
    },
    /// A file of a run folder is there but is not what it should be.
    #[error("{path}: {reason}")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },

    // Training itself.
    /// Loss or gradient norm is NaN or infinite; the weights are those before the step.
    #[error(
        "step {step}: loss {loss}, gradient norm {norm}; {}; a lower learning_rate or clip_norm may help",
        batch.as_ref().map_or("its batch could not be saved".to_owned(), |path| format!("its batch is in {}", path.display()))
    )]
    Diverged {
        /// The step, from 1.
        step: u64,
        /// Loss per target token.
        loss: f64,
        /// Norm of the gradients before clipping.
        norm: f64,
        /// The file with the batch: token ids, labels and points.
        batch: Option<PathBuf>,
    },
    /// The loss of an [`Mlp`](crate::Mlp) is NaN or infinite.
    #[error("the loss of update {update} is {loss}; a lower --learning-rate may help, in another folder")]
    Update {
        /// The update, from 0.
        update: usize,
        /// Mean squared error.
        loss: f64,
    },
    /// The validation loss is NaN or infinite, so that no model could be told from a better one.
    #[error("step {step}: validation loss {loss}; has the validation corpus values that no training example has?")]
    Validation {
        /// The step, from 1.
        step: u64,
        /// Loss per target token.
        loss: f64,
    },

    // From below.
    /// Corpus files.
    #[error(transparent)]
    Corpus(#[from] sr_corpus::Error),
    /// What the model reads.
    #[error(transparent)]
    Input(#[from] sr_neural::Error),
    /// What the model writes.
    #[error(transparent)]
    Prompt(#[from] sr_prompt::Error),
    /// Model, checkpoints and devices.
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
