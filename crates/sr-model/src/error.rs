//! The errors of this crate.

use std::path::PathBuf;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    // Errors of devices.
    /// The device name is not `cpu`, `ndarray` or `cuda`.
    #[error("unknown device `{0}`, expected cpu, ndarray or cuda")]
    UnknownDevice(String),
    /// This build lacks the device's backend.
    #[error("built without {device}; rebuild with --features {feature}")]
    NotBuilt {
        /// The device's name in messages.
        device: &'static str,
        /// The cargo feature of the backend.
        feature: &'static str,
    },
    /// The backend is compiled in, but the machine has no such device or no driver.
    #[error("no {0} device found on this machine")]
    NoDevice(&'static str),

    /// The tensor framework would read an optimiser's state on a device that the machine lacks.
    #[error(
        "states of optimisers are read on the default device of this build, which is CUDA, and the machine has none: set \
         BURN_DEVICE=flex"
    )]
    DefaultDevice,

    // Errors of configurations and inputs.
    /// The configuration does not describe a model.
    #[error("model configuration: {0}")]
    Config(String),
    /// The batch, prompt or request does not fit the model.
    #[error("model input: {0}")]
    Input(String),

    // Errors of sampling.
    /// The grammar allowed no token.
    #[error("no legal token for sibling {sibling} of state {state} after {step} tokens")]
    NoLegalToken {
        /// The index of the prompt in the request.
        state: usize,
        /// The index among the state's siblings.
        sibling: usize,
        /// The number of tokens so far.
        step: usize,
    },
    /// The logits were NaN or infinite, as with broken weights.
    #[error("logits are not finite for sibling {sibling} of state {state} after {step} tokens")]
    NotFinite {
        /// The index of the prompt in the request.
        state: usize,
        /// The index among the state's siblings.
        sibling: usize,
        /// The number of tokens so far.
        step: usize,
    },
    /// Decoding was stopped by the request's flag.
    #[error("stopped while children were written")]
    Stopped,
    /// Results could not be copied from the device.
    #[error("reading from the device: {0}")]
    Read(String),

    // Errors of checkpoints.
    /// A file of a checkpoint could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The checkpoint was written by a later version of this program.
    #[error("{path}: the checkpoint has format {found}, this version reads formats up to {supported}: update it")]
    Newer {
        /// The checkpoint.
        path: PathBuf,
        /// The checkpoint's format.
        found: u64,
        /// The latest format that this version reads.
        supported: u64,
    },
    /// The folder is not a checkpoint, but something often mistaken for one.
    #[error("{path}: {reason}")]
    NoCheckpoint {
        /// The folder.
        path: PathBuf,
        /// A description of the folder, with what to give instead.
        reason: String,
    },
    /// A file of a checkpoint is damaged.
    #[error("{path}: {reason}")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// The fault.
        reason: String,
    },
}
