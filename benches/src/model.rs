//! Benches of one training step: forward, backward, AdamW. Throughput counts tokens without padding.

use burn::optim::{AdamWConfig, GradientsParams};
use criterion::{Criterion, Throughput};
use sr_model::{DeviceKind, Model, ModelConfig, TrainBatch};
use sr_prompt::VOCABULARY_CAPACITY;

/// Returns rows of a prompt with targets that share it, all of the same length.
fn batch(rows: usize, prompt: usize, targets: usize, target: usize) -> TrainBatch {
    let length = prompt + targets * target;
    let mut batch = TrainBatch { rows, length, ..TrainBatch::default() };
    for cell in 0..rows * length {
        let at = cell % length;
        let (segment, offset) =
            if at < prompt { (0, at) } else { (1 + (at - prompt) / target, (at - prompt) % target) };
        let position = if segment == 0 { offset } else { prompt + offset };
        batch.tokens.push((cell * 7 % 400) as i32);
        batch.positions.push(position as i32);
        batch.segments.push(segment as i32);
        batch.labels.push(if segment == 0 { sr_model::IGNORE } else { (cell * 11 % 400) as i32 });
        batch.weights.push(1.0);
    }
    batch
}

fn train_step(c: &mut Criterion, case: &str, config: &ModelConfig, batch: &TrainBatch) {
    let device = DeviceKind::Cpu.open().expect("the CPU").autodiff();
    let mut model = Some(Model::new(config, 1, &device).expect("a model"));
    let mut optimiser = AdamWConfig::new().init();
    let mut group = c.benchmark_group("model/train-step");
    group.throughput(Throughput::Elements((batch.rows * batch.length) as u64));
    group.sample_size(10);
    group.bench_function(case, |b| {
        b.iter(|| {
            let taken = model.take().expect("put back below");
            let loss = taken.loss(batch).expect("a loss");
            let value = loss.value.clone().into_scalar::<f32>();
            assert!(value.is_finite() && value < 10.0, "{value}");
            let gradients = GradientsParams::from_grads(loss.value.backward(), &taken);
            model = Some(optimiser.step(1e-4, taken, gradients));
        });
    });
    group.finish();
}

pub fn define(c: &mut Criterion) {
    train_step(c, "tiny/rows-8x512", &ModelConfig::tiny(VOCABULARY_CAPACITY), &batch(8, 322, 19, 10));
    define_ci(c);
}

pub fn define_ci(c: &mut Criterion) {
    train_step(c, "micro/rows-8x294", &ModelConfig::micro(VOCABULARY_CAPACITY), &batch(8, 104, 19, 10));
}
