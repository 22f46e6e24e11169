//! Tests of checkpoints: bit-exact, replaced as a whole, and clear errors.

use std::fs;

use burn::{
    module::{Module, ModuleVisitor, Param, ParamId},
    tensor::{Device, Tensor},
};
use sr_model::{Checkpoint, DeviceKind, FORMAT_VERSION, Files, Model, ModelConfig, PointsConfig};

fn device() -> Device {
    DeviceKind::Cpu.open().unwrap()
}

fn checkpoint(seed: u64) -> Checkpoint {
    checkpoint_with(PointsConfig::learner(2), seed)
}

fn checkpoint_with(points: PointsConfig, seed: u64) -> Checkpoint {
    let points = PointsConfig { n_variables: 1, hidden: 4, ..points };
    let config = ModelConfig {
        n_positions: 16,
        d_model: 8,
        n_layers: 1,
        n_heads: 2,
        d_mlp: 16,
        points: Some(points),
        ..ModelConfig::micro(10)
    };
    Checkpoint {
        model: Model::new(&config, seed, &device()).unwrap(),
        tokenizer: "{\"opaque\": true}".to_owned(),
        meta: serde_json::json!({"step": 7}),
    }
}

#[derive(Default, PartialEq, Debug)]
struct Weights(Vec<(ParamId, Vec<f32>)>);

impl ModuleVisitor for Weights {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0.push((param.id, param.val().try_into_vec_as().unwrap()));
    }
}

fn weights(model: &Model) -> Weights {
    let mut weights = Weights::default();
    model.visit(&mut weights);
    weights
}

#[test]
fn saving_and_loading_keeps_every_bit_and_id() {
    for points in [PointsConfig::learner(2), PointsConfig { n_queries: 3, ..PointsConfig::set() }] {
        is_kept(&checkpoint_with(points, 1));
    }
}

#[test]
fn a_configuration_claims_no_memory_that_the_weights_do_not_fill() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("claims");
    checkpoint(1).save_small(&dir).unwrap();
    let read = |name: &str| fs::read_to_string(dir.join(name)).unwrap();
    let (weights, config) = (fs::read(dir.join("model.safetensors")).unwrap(), read("config.json"));
    let (tokenizer, meta) = (read("tokenizer.json"), read("meta.json"));
    // 16 million blocks would be allocated one by one, 16 million positions at once.
    for (key, value, huge) in [("n_layers", 1, 16_000_000), ("n_positions", 16, 16_000_000)] {
        let claims = config.replacen(&format!("\"{key}\": {value}"), &format!("\"{key}\": {huge}"), 1);
        assert_ne!(claims, config);
        let files = Files { weights: &weights, config: &claims, tokenizer: &tokenizer, meta: &meta };
        let of_memory = Checkpoint::of_files(&files, &device()).unwrap_err().to_string();
        fs::write(dir.join("config.json"), &claims).unwrap();
        let of_folder = Checkpoint::load(&dir, &device()).unwrap_err().to_string();
        for error in [of_memory, of_folder] {
            assert!(error.contains("config.json") && error.contains("parameters, the weights have"), "{error}");
        }
    }
}

fn is_kept(saved: &Checkpoint) {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("best");
    saved.save(&dir).unwrap();
    let loaded = Checkpoint::load(&dir, &device().autodiff()).unwrap();
    assert_eq!(weights(&loaded.model), weights(&saved.model));
    assert_eq!(loaded.model.config(), saved.model.config());
    assert_eq!((loaded.tokenizer, loaded.meta), (saved.tokenizer.clone(), saved.meta.clone()));

    let again = folder.path().join("again");
    saved.save(&again).unwrap();
    for file in ["model.bpk", "config.json", "tokenizer.json", "meta.json", "SHA256SUMS"] {
        assert_eq!(fs::read(dir.join(file)).unwrap(), fs::read(again.join(file)).unwrap(), "{file}");
    }
}

#[test]
fn a_later_format_is_told_before_anything_else_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("best");
    let mut saved = checkpoint(1);
    saved.meta = serde_json::json!({"format_version": FORMAT_VERSION});
    saved.save(&dir).unwrap();
    Checkpoint::load(&dir, &device()).unwrap();
    saved.meta = serde_json::json!({"format_version": FORMAT_VERSION + 1});
    saved.save(&dir).unwrap();
    fs::write(dir.join("config.json"), "{\"a key that is not known yet\": 1}").unwrap();
    let message = Checkpoint::load(&dir, &device()).unwrap_err().to_string();
    assert!(
        message.ends_with("best: the checkpoint has format 2, this version reads formats up to 1: update it"),
        "{message}"
    );
}

#[test]
fn saving_replaces_an_older_checkpoint_and_leaves_nothing_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("last");
    checkpoint(1).save(&dir).unwrap();
    checkpoint(2).save(&dir).unwrap();
    assert_eq!(weights(&Checkpoint::load(&dir, &device()).unwrap().model), weights(&checkpoint(2).model));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn an_interrupted_replacement_leaves_the_old_checkpoint_readable() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("last");
    checkpoint(1).save(&dir).unwrap();
    fs::rename(&dir, folder.path().join(".last.old")).unwrap();
    fs::create_dir(folder.path().join(".last.new")).unwrap();
    assert_eq!(weights(&Checkpoint::load(&dir, &device()).unwrap().model), weights(&checkpoint(1).model));
    checkpoint(2).save(&dir).unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn errors_name_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("c");
    let message = || Checkpoint::load(&dir, &device()).unwrap_err().to_string();
    assert!(message().ends_with("c/config.json: No such file or directory (os error 2)"), "{}", message());
    checkpoint(1).save(&dir).unwrap();

    let config = fs::read_to_string(dir.join("config.json")).unwrap();
    fs::write(dir.join("config.json"), config.replacen('{', "{\"dropout\": 1,", 1)).unwrap();
    assert!(message().contains("c/config.json: unknown field `dropout`"), "{}", message());
    fs::write(dir.join("config.json"), config.replace("\"d_mlp\": 16", "\"d_mlp\": 20")).unwrap();
    assert!(message().contains("c/model.bpk: ") && message().contains("shape mismatch"), "{}", message());
    fs::write(dir.join("config.json"), config.replace("\"n_heads\": 2", "\"n_heads\": 3")).unwrap();
    assert!(message().contains("c/config.json: model configuration: d_model 8"), "{}", message());
    fs::write(dir.join("config.json"), &config).unwrap();

    let weights = fs::read(dir.join("model.bpk")).unwrap();
    for cut in [0, 3, 40, weights.len() / 2, weights.len() - 1] {
        fs::write(dir.join("model.bpk"), &weights[..cut]).unwrap();
        assert!(message().contains("c/model.bpk: "), "cut at {cut}: {}", message());
        assert!(!message().contains('\n'), "{}", message());
    }
    fs::remove_file(dir.join("model.bpk")).unwrap();
    assert!(message().ends_with("c/model.bpk: No such file or directory (os error 2)"), "{}", message());
}

#[test]
fn folders_of_something_else_say_what_they_are_and_where_the_checkpoints_are() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let write = |name: &str, text: &str| {
        fs::create_dir_all(at(name).parent().unwrap()).unwrap();
        fs::write(at(name), text).unwrap();
    };
    let message = |name: &str| Checkpoint::load(&at(name), &device()).unwrap_err().to_string();
    let said = |name: &str, expected: &str| {
        let (message, root) = (message(name), format!("{}/", folder.path().display()));
        assert_eq!(message.replace(&root, ""), format!("{name}: {expected}"));
    };

    // A run of sr-dagger, from its beginning to its end.
    write("d/config.json", r#"{"task": "search", "seed": 0, "dagger": {"beta": "two-phase:1"}, "training": {}}"#);
    said("d", "this is the folder of a run of sr-dagger, which has no checkpoint yet");
    for place in ["rollouts/a/round-000/checkpoint", "models/a/best", "models/a/final", "models/b/best"] {
        checkpoint(1).save(&at("d").join(place)).unwrap();
    }
    let all = "its checkpoints are d/models/a/best, d/models/a/final and d/models/b/best";
    said("d", &format!("this is the folder of a run of sr-dagger; {all}"));
    said("d/models", &format!("this is no checkpoint but a folder of some; {all}"));
    let of_a = "its checkpoints are d/models/a/best and d/models/a/final";
    said("d/models/a", &format!("this is no checkpoint but a folder of some; {of_a}"));
    let inner = "its checkpoint is d/rollouts/a/round-000/checkpoint";
    said("d/rollouts/a/round-000", &format!("this is no checkpoint but a folder of some; {inner}"));
    Checkpoint::load(&at("d/models/a/best"), &device()).unwrap();

    write("p/config.json", r#"{"task": "point-control", "dagger": {}}"#);
    said("p", "this is the folder of a run of sr-dagger on point control, whose students write no formulas");
    write("p/models/calm/best/student.bpk", "");
    write("p/models/calm/best/config.json", r#"{"hidden": 8}"#);
    let what = "this is a student of point control, which writes no formulas; `sr-dagger --task point-control`";
    said("p/models/calm/best", &format!("{what} can begin with it"));

    write("t/config.json", r#"{"mode": "one-step", "training": {}, "model": {}}"#);
    said("t", "this is the folder of a training run, which has no checkpoint yet");
    for name in ["last", "best", "step-00000001"] {
        checkpoint(1).save(&at("t").join(name)).unwrap();
    }
    said("t", "this is the folder of a training run; its checkpoints are t/best and t/last");

    write("c/train.sr", "");
    said("c", "this is a corpus; `sr-train --train` makes checkpoints of it");
    write("s/manifest.json", r#"{"format": "sr-dataset"}"#);
    said("s", "this is a data set; `sr-train` makes checkpoints of its corpus");
    said("c/train.sr", "this is a file, and a checkpoint is a folder");
    said("t/best/model.bpk", "a checkpoint is the folder that this file is in");
    fs::create_dir(at("empty")).unwrap();
    said("empty", "there is no checkpoint in this folder, which would have config.json and model.bpk");
    for n in 0..9 {
        checkpoint(1).save(&at(&format!("many/{n}"))).unwrap();
    }
    let first = (0..6).map(|n| format!("many/{n}")).collect::<Vec<_>>().join(", ");
    said("many", &format!("this is no checkpoint but a folder of some; of its 9 checkpoints the first are {first}"));
}
