//! Checkpoints: the files of a folder, in memory. The first byte says which file the others are, and the others of a small
//! model are right. One that loads also becomes a learner.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::{Corpus, fuzz_target};
use sr_fuzz::{Scratch, of_project, use_one_thread, write_seeds};
use sr_model::{Checkpoint, DeviceKind, Files, Model, ModelConfig, PointsConfig};
use sr_neural::{CheckpointMeta, Learner, Sampling};

/// The files of a model, small so that most of an input is not weights.
struct Whole {
    weights: Vec<u8>,
    config: String,
    tokenizer: String,
    meta: String,
}

static WHOLE: LazyLock<Whole> = LazyLock::new(|| {
    let points = PointsConfig { hidden: 1, n_variables: 1, ..PointsConfig::learner(2) };
    let (d_model, n_heads, n_layers, d_mlp, n_positions, n_features) = (2, 1, 1, 1, 2, 1);
    let size = ModelConfig { d_model, n_heads, n_layers, d_mlp, n_positions, n_features, ..ModelConfig::tiny(2) };
    let config = ModelConfig { points: Some(points), ..size };
    let meta = serde_json::json!({
        "mode": "one-step", "step": 7, "conditions": ["ALL"], "actions": "edit", "marks": ["error"],
    });
    let model = Model::new(&config, 1, &DeviceKind::Cpu.open().expect("always there")).expect("a small model");
    let folder = Scratch::new("checkpoint").file(b"").with_extension("model");
    let checkpoint = Checkpoint { model, tokenizer: sr_prompt::tokenizer_json(), meta };
    checkpoint.save_small(&folder).expect("a folder in memory");
    let read = |name: &str| std::fs::read(folder.join(name)).expect(name);
    let text = |name: &str| String::from_utf8(read(name)).expect(name);
    let whole = Whole {
        weights: read("model.safetensors"),
        config: text("config.json"),
        tokenizer: text("tokenizer.json"),
        meta: text("meta.json"),
    };
    std::fs::remove_dir_all(&folder).expect("its own folder");
    whole
});

fn seeds() -> Vec<Vec<u8>> {
    let Whole { weights, config, tokenizer, meta } = &*WHOLE;
    let files = [weights, config.as_bytes(), tokenizer.as_bytes(), meta.as_bytes()];
    let mut seeds: Vec<Vec<u8>> = (0..).zip(files).map(|(file, bytes)| [&[file], bytes].concat()).collect();
    for (file, name) in [(1, "config.json"), (3, "meta.json")] {
        let bytes = std::fs::read(of_project("models/arithmetic").join(name)).expect(name);
        seeds.push([&[file], &bytes[..]].concat());
    }
    seeds
}

fuzz_target!(init: { use_one_thread(); write_seeds(seeds); }, |input: &[u8]| -> Corpus {
    let Some((&file, bytes)) = input.split_first() else { return Corpus::Reject };
    let Whole { weights, config, tokenizer, meta } = &*WHOLE;
    let text = std::str::from_utf8(bytes);
    let right = Files { weights, config, tokenizer, meta };
    let files = match (file, text) {
        (0, _) => Files { weights: bytes, ..right },
        (1, Ok(config)) => Files { config, ..right },
        (2, Ok(tokenizer)) => Files { tokenizer, ..right },
        (3, Ok(meta)) => Files { meta, ..right },
        _ => return Corpus::Reject,
    };
    match Checkpoint::of_files(&files, &DeviceKind::Cpu.open().expect("always there")) {
        Ok(checkpoint) => {
            let _ = CheckpointMeta::from_json(&checkpoint.meta);
            let _ = Learner::of_checkpoint(&checkpoint, Sampling::default());
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    Corpus::Keep
});
