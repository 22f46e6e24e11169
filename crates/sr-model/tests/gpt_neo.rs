//! Tests that a GPT-Neo checkpoint gives the logits that `transformers` computed with it; see
//! `fixtures/gpt-neo/make.py`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use burn::{module::Module, tensor::Device};
use serde::Deserialize;
use sr_model::{DeviceKind, IGNORE, TrainBatch, load_gpt_neo};

#[derive(Deserialize)]
struct Expected {
    tokens: Vec<i32>,
    /// `[tokens, vocabulary]`
    logits: Vec<f32>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/gpt-neo")
}

fn device() -> Device {
    DeviceKind::Cpu.open().unwrap()
}

#[test]
fn logits_are_those_of_transformers() {
    let model = load_gpt_neo(&folder(), &device().autodiff()).unwrap();
    let expected: Vec<Expected> =
        serde_json::from_str(&fs::read_to_string(folder().join("expected.json")).unwrap()).unwrap();
    assert!(expected.iter().any(|e| e.tokens.len() > 3 * model.config().attention_window.unwrap()));
    for Expected { tokens, logits: expected } in expected {
        let n = tokens.len();
        let batch = TrainBatch {
            rows: 1,
            length: n,
            tokens,
            positions: (0..n as i32).collect(),
            segments: vec![0; n],
            labels: vec![IGNORE; n],
            weights: vec![0.0; n],
            ..TrainBatch::default()
        };
        // The fused and the differentiable attention are different code.
        for model in [model.clone(), model.valid()] {
            let logits: Vec<f32> = model.forward(&batch).unwrap().try_into_vec_as().unwrap();
            assert_eq!(logits.len(), expected.len());
            let farthest = logits.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(farthest < 1e-5, "{farthest} apart on {n} tokens");
        }
    }
}

#[test]
fn errors_name_the_file_and_what_is_wrong_with_it() {
    let copy = tempfile::tempdir().unwrap();
    let [config, weights] = ["config.json", "model.safetensors"].map(|file| copy.path().join(file));
    let message = || load_gpt_neo(copy.path(), &device()).unwrap_err().to_string();
    assert!(message().ends_with("config.json: No such file or directory (os error 2)"), "{}", message());
    let text = fs::read_to_string(folder().join("config.json")).unwrap();
    fs::write(&config, &text).unwrap();
    assert!(message().ends_with("model.safetensors: No such file or directory (os error 2)"), "{}", message());
    let bytes = fs::read(folder().join("model.safetensors")).unwrap();
    for cut in [0, 100, bytes.len() / 2, bytes.len() - 1] {
        fs::write(&weights, &bytes[..cut]).unwrap();
        assert!(message().contains("model.safetensors: not safetensors"), "{}", message());
    }
    fs::write(&weights, bytes).unwrap();
    load_gpt_neo(copy.path(), &device()).unwrap();
    fs::write(&config, text.replace("\"vocab_size\": 40", "\"vocab_size\": 41")).unwrap();
    assert!(
        message().ends_with("`transformer.wte.weight` has the shape [40, 16], by config.json it is [41, 16]"),
        "{}",
        message()
    );
    fs::write(&config, text.replace("\"num_heads\": 4", "\"num_heads\": 5")).unwrap();
    assert!(message().contains("config.json: model configuration: d_model 16"), "{}", message());
}
