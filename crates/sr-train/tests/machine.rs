//! Tests that training and a learner's searches give the same bytes on every machine: their hashes are committed, and
//! every instruction level of the test's machine must give them.

mod support;

use std::cell::Cell;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use burn::module::{ModuleVisitor, Param};
use burn::tensor::Tensor;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sr_corpus::Problems;
use sr_engine::{Generation, Origin, Search, SearchConfig, run};
use sr_expr::Level;
use sr_model::{Checkpoint, DeviceKind, Model};
use sr_neural::{Learner, Sampling};
use sr_train::{Limits, Split, TrainConfig, Trainer, load_examples};

/// Both point embedders, both optimisers and both action languages, with the longest prompts.
const RUNS: [(&str, &str); 2] = [
    (
        "e2e",
        "mode = \"one-step\"\n[model]\npreset = \"micro\"\nd_model = 32\nn_layers = 2\nn_heads = 2\nd_mlp = 48\n\
         points = \"e2e\"\nn_points = 8\npoint_hidden = 24\n\
         [training]\nsteps = 20\nrows_per_batch = 4\naccumulation = 2\nmax_targets = 5\nwarmup_steps = 4\n\
         learning_rate = 0.01\nlog_every = 5\neval_every = 10\neval_batches = 2\neval_samples = 8\n\
         optimiser = \"muon\"\nclip_norm = 0.5\nema_decay = 0.9\n",
    ),
    (
        "set",
        "mode = \"one-step\"\n[model]\npreset = \"micro\"\nd_model = 24\nn_layers = 1\nn_heads = 3\nd_mlp = 40\n\
         points = \"set\"\nn_points = 11\nn_queries = 3\nn_variables = 3\npoint_hidden = 20\nactivation = \"gelu_new\"\n\
         attention_scale = 0.5\n\
         [language]\nactions = \"edit\"\npopulation_order = \"shuffled\"\nmarks = [\"rank\", \"size\", \"correlation_y\"]\n\
         [training]\nsteps = 20\nrows_per_batch = 4\nmax_targets = 5\nwarmup_steps = 4\nlearning_rate = 0.01\n\
         log_every = 5\neval_every = 10\neval_batches = 2\neval_samples = 8\n",
    ),
];

#[test]
fn training_and_searches_have_the_committed_hashes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/learner/hashes.json");
    let expected: Value = serde_json::from_slice(&fs::read(&path).expect("the hashes")).expect("JSON");
    let folder = tempfile::tempdir().expect("a folder");
    support::corpora(folder.path(), 6, 5);
    let found: serde_json::Map<String, Value> =
        RUNS.iter().map(|(name, text)| ((*name).to_owned(), hashes(folder.path(), name, text))).collect();
    let (found, level) = (Value::from(found), Level::detect().name());
    assert_eq!(found, expected, "with {level} and fixtures/learner/hashes.json; found\n{found:#}");
}

#[test]
fn every_level_of_this_machine_gives_them() {
    for level in Level::ALL.into_iter().filter(|level| level.is_available()) {
        let output = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "training_and_searches_have_the_committed_hashes", "--nocapture"])
            .env(Level::VARIABLE, level.name())
            .output()
            .expect("the test starts");
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.contains("1 passed"), "{}: {said}", level.name());
    }
}

#[test]
fn the_number_of_threads_changes_none_of_them() {
    let folder = tempfile::tempdir().expect("a folder");
    support::corpora(folder.path(), 6, 5);
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        pool.install(|| hashes(folder.path(), &format!("on-{threads}"), RUNS[1].1))
    };
    assert_eq!(on(1), on(3));
}

/// Returns hashes of the weights after a short training, of its metrics without speeds, and of searches with the model.
fn hashes(folder: &Path, name: &str, text: &str) -> Value {
    let config = TrainConfig::from_toml(text).expect("a configuration").resolve(11);
    let read = |file: &str, split: Split| {
        load_examples(&[folder.join("onestep").join(file)], &[], &config, split).expect(file)
    };
    let ((train, language), (val, _)) = (read("train.sr", Split::Training), read("val.sr", Split::Validation));
    let out = folder.join("runs").join(name);
    let mut trainer = Trainer::builder(config, &train, &val).language(&language).start(&out).expect("a run");
    let summary = trainer.fit(Limits::default(), &mut |_, _| {}).expect("a run");

    let device = DeviceKind::Cpu.open().expect("the CPU");
    let model = |path: &Path| Checkpoint::load(path, &device).expect("a checkpoint").model;
    json!({
        "weights": of_weights(&model(&summary.last)),
        "best": of_weights(&model(&summary.best)),
        "metrics": of_metrics(&out),
        "search": of_search(folder, &summary.best),
    })
}

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn of_weights(model: &Model) -> String {
    struct Bits(Sha256);
    impl ModuleVisitor for Bits {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let values: Vec<f32> = param.val().try_into_vec_as().expect("f32");
            values.iter().for_each(|value| self.0.update(value.to_bits().to_le_bytes()));
        }
    }
    let mut bits = Bits(Sha256::new());
    burn::module::Module::visit(model, &mut bits);
    hex(bits.0)
}

fn of_metrics(out: &Path) -> String {
    let text = fs::read_to_string(out.join("metrics.jsonl")).expect("metrics");
    let mut hash = Sha256::new();
    for line in text.lines() {
        let mut line: Value = serde_json::from_str(line).expect("JSON");
        let fields = line.as_object_mut().expect("an object");
        fields.retain(|key, _| !key.ends_with("_per_second"));
        hash.update(line.to_string());
    }
    hex(hash)
}

fn of_search(folder: &Path, checkpoint: &Path) -> String {
    let sampling = Sampling { max_child_size: 15, distinct: true, ..Sampling::default() };
    let device = DeviceKind::Cpu.open().expect("the CPU");
    let mut learner = Learner::load(checkpoint, &device, sampling).expect("a learner");
    let corpus = sr_corpus::Corpus::open(folder.join("onestep/train.sr")).expect("a corpus");
    let problems: Problems = corpus.problems(None).expect("the problems");
    let mut searches = Vec::new();
    let mut seen = Vec::new();
    for example in corpus {
        let example = example.expect("an example");
        if seen.len() < 3 && !seen.contains(&example.problem().id) {
            seen.push(example.problem().id.clone());
            let instance = problems.get(example.problem()).expect("a problem").instance().expect("an instance");
            let config = SearchConfig { population_size: 10, generations: 4, ..SearchConfig::basic() };
            searches.push(Search::new(Arc::new(instance), config, 5).expect("a search"));
        }
    }
    let (mut hash, children) = (vec![Sha256::new(); searches.len()], Cell::new(0));
    let mut observers: Vec<_> = hash
        .iter_mut()
        .map(|hash| {
            |generation: &Generation<'_>| {
                for individual in generation.population.iter() {
                    children.set(children.get() + usize::from(individual.origin == Origin::Learner));
                    hash.update(format!("{} {:?}\n", individual.tree, individual.origin));
                    hash.update(individual.score.fitness.to_bits().to_le_bytes());
                    hash.update(individual.log_prob.map_or(0, f32::to_bits).to_le_bytes());
                }
                ControlFlow::Continue(())
            }
        })
        .collect();
    run(&mut searches, &mut learner, &mut observers).expect("children");
    drop(observers);
    assert!(children.get() > 40, "{children:?} children are the learner's");
    let mut all = Sha256::new();
    hash.into_iter().for_each(|hash| all.update(hex(hash)));
    hex(all)
}
