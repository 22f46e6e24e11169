//! A causal transformer with a point embedder prefix, and sampling from its logits.
//!
//! [`Model`] is a GPT-Neo-style decoder (Black et al., 2021): token ids in, logits out. It trains on rows in which one
//! prompt is shared by many targets ([`TrainBatch`], [`Model::loss`]) and decodes many siblings per prompt with a
//! key/value cache ([`Decoder`]). Data points `(x, y, …)` are read as *prefix* positions by one of two embedders
//! ([`PointsConfig`]). A trained model is saved in a folder ([`Checkpoint`]); GPT-Neo weights of the `transformers`
//! library can be loaded too ([`load_gpt_neo`]).
//!
//! ```
//! use sr_model::{DecodeRequest, Decoder, DeviceKind, Free, Model, ModelConfig, Prompt, };
//!
//! let device = DeviceKind::Cpu.open()?;
//! let config = ModelConfig { d_model: 16, n_layers: 1, n_heads: 2, d_mlp: 32, points: None, ..ModelConfig::micro(8) };
//! let model = Model::new(&config, 1, &device)?;
//! let prompts = [Prompt { tokens: vec![3, 4, 5], ..Prompt::default() }];
//! let request = DecodeRequest { max_new_tokens: 4, ..DecodeRequest::new(&prompts, &[2], 1, 2) };
//! let children = Decoder::new(&model).decode(&request, &|_, sibling, _| 0.3 * sibling as f64, &Free)?;
//! assert_eq!(children[0].len(), 2);
//! # Ok::<(), sr_model::Error>(())
//! ```
//!
//! This crate does not know expressions, problem files or searches. It has no tokenizer and no random state: weights
//! come from a seed, samples from uniform numbers that the caller supplies.
//!
//! The features are `cuda` (NVRTC), `fusion` (CUDA kernel fusion) and `ndarray` (deprecated upstream). The CPU backend
//! is always included.

mod batch;
mod checkpoint;
mod config;
mod cpu;
mod decode;
mod device;
mod error;
mod gpt_neo;
mod init;
mod model;
mod points;
mod sample;
mod taken;
mod tensors;
mod visibility;

pub use batch::{IGNORE, PointBatch, Points, TrainBatch};
pub use checkpoint::{Checkpoint, FORMAT_VERSION, Files, weights_file};
pub use config::{
    Activation, Attention, Channel, ModelConfig, PointEmbedding, PointsConfig, Population, PrefixAttention,
};
pub use cpu::CpuModel;
pub use decode::{Constraint, DecodeRequest, Decoder, Free, Identity, Prompt, Sample, Uniform};
pub use device::{DeviceKind, check_default_device};
pub use error::Error;
pub use gpt_neo::{Imported, gpt_neo_id, is_gpt_neo, load_gpt_neo, take_backbone};
pub use model::{Loss, Model, Precision};
pub use sr_cpu::Pass;
