//! Untrained checkpoints for tests of binaries.

use std::path::Path;

use sr_model::{Checkpoint, DeviceKind, Model, ModelConfig, PointsConfig};

/// Saves a small untrained checkpoint of a mode, such as `one-step`.
///
/// # Panics
/// If the checkpoint cannot be written.
pub fn untrained_checkpoint(folder: &Path, mode: &str) {
    untrained_checkpoint_of(folder, serde_json::json!({ "mode": mode }));
}

/// Saves a small untrained checkpoint with this `meta.json`, which names its language.
///
/// # Panics
/// If the checkpoint cannot be written.
pub fn untrained_checkpoint_of(folder: &Path, meta: serde_json::Value) {
    let config = ModelConfig {
        d_model: 16,
        n_layers: 1,
        n_heads: 2,
        d_mlp: 32,
        points: Some(PointsConfig { hidden: 8, ..PointsConfig::learner(4) }),
        ..ModelConfig::micro(sr_prompt::VOCABULARY_SIZE)
    };
    let model = Model::new(&config, 1, &DeviceKind::Cpu.open().expect("CPU")).expect("model");
    Checkpoint { model, tokenizer: sr_prompt::tokenizer_json(), meta }.save(folder).expect("saved");
}
