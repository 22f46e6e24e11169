//! What can go wrong, in one line each.

use std::path::PathBuf;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    // Devices.
    /// A device name other than `cpu`, `ndarray` or `cuda`.
    #[error("unknown device `{0}`, expected cpu, ndarray or cuda")]
    UnknownDevice(String),
    /// The device exists in principle, but this build was made without its backend.
    #[error("built without {device}; rebuild with --features {feature}")]
    NotBuilt {
        /// The device as people write it.
        device: &'static str,
        /// The cargo feature that brings it.
        feature: &'static str,
    },
    /// The backend is compiled in, but the machine has no such device (or no driver).
    #[error("no {0} device found on this machine")]
    NoDevice(&'static str),

    /// The tensor framework would read an optimiser's state on a device that the machine lacks.
    #[error(
        "states of optimisers are read on the default device of this build, which is CUDA, and the machine has none: set \
         BURN_DEVICE=flex"
    )]
    DefaultDevice,

    // Configurations and inputs.
    /// A configuration that describes no model.
    #[error("model configuration: {0}")]
    Config(String),
    /// A batch, prompt or request that does not fit the model.
    #[error("model input: {0}")]
    Input(String),

    // Sampling.
    /// The grammar mask left no token to choose.
    #[error("no legal token for sibling {sibling} of state {state} after {step} tokens")]
    NoLegalToken {
        /// Index into the request's prompts.
        state: usize,
        /// Index among the state's siblings.
        sibling: usize,
        /// Tokens written so far.
        step: usize,
    },
    /// The model gave NaN or infinite logits, as broken weights do.
    #[error("logits are not finite for sibling {sibling} of state {state} after {step} tokens")]
    NotFinite {
        /// Index into the request's prompts.
        state: usize,
        /// Index among the state's siblings.
        sibling: usize,
        /// Tokens written so far.
        step: usize,
    },
    /// It was told to stop.
    #[error("stopped while children were written")]
    Stopped,
    /// Results could not be copied from the device.
    #[error("reading from the device: {0}")]
    Read(String),

    // Checkpoints.
    /// A file of a checkpoint could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A checkpoint that a later version of this program wrote.
    #[error("{path}: the checkpoint has format {found}, this version reads formats up to {supported}: update it")]
    Newer {
        /// The checkpoint.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// The latest known one.
        supported: u64,
    },
    /// A folder that is no checkpoint but something that is taken for one.
    #[error("{path}: {reason}")]
    NoCheckpoint {
        /// The folder.
        path: PathBuf,
        /// What it is, and what to give instead.
        reason: String,
    },
    /// A file of a checkpoint is there but is not what it should be.
    #[error("{path}: {reason}")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What was expected or found.
        reason: String,
    },
}
