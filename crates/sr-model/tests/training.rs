//! Tests of loss and gradients: packing targets behind one prompt changes only the cost.

use burn::{
    module::{Module, ModuleVisitor, Param},
    optim::{AdamWConfig, GradientsParams},
    tensor::{Device, Tensor},
};
use sr_model::{
    Activation, Attention, Channel, CpuModel, DeviceKind, IGNORE, Model, ModelConfig, Pass, PointBatch, PointEmbedding,
    Points, PointsConfig, Population, Precision, PrefixAttention, TrainBatch,
};

fn config() -> ModelConfig {
    let points =
        PointsConfig { n_variables: 2, channels: vec![Channel::X, Channel::Y], hidden: 8, ..PointsConfig::learner(4) };
    ModelConfig {
        n_positions: 32,
        d_model: 16,
        n_layers: 2,
        n_heads: 2,
        d_mlp: 32,
        points: Some(points),
        ..ModelConfig::micro(20)
    }
}

fn device() -> Device {
    DeviceKind::Cpu.open().unwrap()
}

/// Returns one row with the prompt and all targets, with a label at every target token but the last of each.
fn row(prompt: &[i32], targets: &[&[i32]], length: usize) -> TrainBatch {
    let mut batch = TrainBatch { rows: 1, length, ..TrainBatch::default() };
    let mut push = |token, position: usize, segment, label| {
        batch.tokens.push(token);
        batch.positions.push(position as i32);
        batch.segments.push(segment);
        batch.labels.push(label);
        batch.weights.push(if label == IGNORE { 0.0 } else { 1.0 });
    };
    for (i, &token) in prompt.iter().enumerate() {
        push(token, i, 0, IGNORE);
    }
    for (k, target) in targets.iter().enumerate() {
        for (i, &token) in target.iter().enumerate() {
            push(token, prompt.len() + i, k as i32 + 1, target.get(i + 1).copied().unwrap_or(IGNORE));
        }
    }
    for _ in prompt.len() + targets.iter().map(|t| t.len()).sum::<usize>()..length {
        push(0, 0, -1, IGNORE);
    }
    batch
}

fn stack(rows: Vec<TrainBatch>) -> TrainBatch {
    let mut all = TrainBatch { rows: rows.len(), length: rows[0].length, ..TrainBatch::default() };
    for row in rows {
        all.tokens.extend(row.tokens);
        all.positions.extend(row.positions);
        all.segments.extend(row.segments);
        all.labels.extend(row.labels);
        all.weights.extend(row.weights);
    }
    all
}

fn points(rows: usize) -> Option<PointBatch> {
    let points = Points { values: vec![0.5, -1.0, 2.0, 1.5, 0.25, -0.75] };
    Some(PointBatch::pack(&config(), &vec![&points; rows]).unwrap())
}

/// Collects every parameter's gradient, in the order of the module.
struct Collect(GradientsParams, Vec<Vec<f32>>);

impl ModuleVisitor for Collect {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let gradient = self.0.get::<D>(param.id).expect("every parameter takes part");
        self.1.push(gradient.try_into_vec_as().unwrap());
    }
}

fn loss_and_gradients(model: &Model, batch: &TrainBatch) -> (f32, Vec<Vec<f32>>) {
    let loss = model.loss(batch).unwrap().value;
    let value = loss.clone().into_scalar::<f32>();
    let mut collect = Collect(GradientsParams::from_grads(loss.backward(), model), Vec::new());
    model.visit(&mut collect);
    (value, collect.1)
}

#[test]
fn gradients_of_the_fast_path_equal_those_of_the_framework() {
    let targets: [&[i32]; 3] = [&[9, 2, 6, 5], &[9, 3, 5], &[9, 8, 9, 7, 9]];
    for prefix_attention in [PrefixAttention::Causal, PrefixAttention::Bidirectional] {
        for activation in [Activation::Gelu, Activation::GeluNew] {
            // Each activation is tested with another embedder.
            let embedder = config().points.map(|points| match activation {
                Activation::Gelu => points,
                Activation::GeluNew => PointsConfig { kind: PointEmbedding::Set, n_queries: 3, ..points },
            });
            let config =
                ModelConfig { prefix_attention, activation, attention_scale: Some(0.8), points: embedder, ..config() };
            let model = Model::new(&config, 5, &device().autodiff()).unwrap();
            let rows = vec![row(&[3, 1, 4, 1, 5], &targets, 20), row(&[2, 7], &targets[1..], 20)];
            let two = [vec![0.5, -1.0, 2.0, 1.5, 0.25, -0.75], vec![3.0, 0.1, -2.0]].map(|values| Points { values });
            let packed = PointBatch::pack(&config, &[&two[0], &two[1]]).unwrap();
            let mut batch = TrainBatch { points: Some(packed), ..stack(rows) };
            // Individuals of two and one tokens in the first row; unequal weights; fewer points in the second row.
            batch.individuals = vec![0; 40];
            batch.individuals[1..4].copy_from_slice(&[1, 1, 2]);
            batch.weights.iter_mut().zip(0..).for_each(|(weight, i)| *weight *= 0.5 + i as f32 * 0.1);

            let (expected, of_expected) = loss_and_gradients(&model, &batch);
            let fast = CpuModel::new(&model).unwrap();
            let mut flat = vec![0.0; fast.n_weights()];
            let total: f64 =
                batch.weights.iter().zip(&batch.labels).filter(|(_, l)| **l >= 0).map(|(w, _)| f64::from(*w)).sum();
            let (loss, weight, has_points) = fast.gradients(&batch, total, &mut Pass::default(), &mut flat).unwrap();
            assert!(has_points);
            assert!((weight - total).abs() < 1e-6 && (loss / total - f64::from(expected)).abs() < 1e-5);
            assert!((fast.loss(&batch, &mut Pass::default()).unwrap().0 - loss).abs() < 1e-4);
            let likeliest: Vec<i32> = model.valid().forward(&batch).unwrap().argmax(2).try_into_vec_as().unwrap();
            let labels = || batch.labels.iter().zip(&likeliest).filter(|(label, _)| **label >= 0);
            let expected = (labels().filter(|(label, found)| label == found).count(), labels().count());
            assert_eq!(fast.hits(&batch, &mut Pass::default()).unwrap(), expected);
            let mut gradients = GradientsParams::new();
            fast.register(&model, &flat, has_points, &mut gradients);
            let mut collect = Collect(gradients, Vec::new());
            model.visit(&mut collect);
            for (a, b) in of_expected.iter().zip(&collect.1) {
                let scale = a.iter().fold(1e-3f32, |m, g| m.max(g.abs()));
                let worst = a.iter().zip(b).fold(0.0f32, |m, (a, b)| m.max((a - b).abs()));
                assert!(a.len() == b.len() && worst < 1e-5 * scale.max(1.0), "{worst} of {scale}");
            }
        }
    }
}

#[test]
fn without_points_the_embedder_has_no_gradients() {
    let model = Model::new(&config(), 5, &device().autodiff()).unwrap();
    let batch = row(&[3, 1, 4], &[&[9, 2]], 8);
    let fast = CpuModel::new(&model).unwrap();
    let mut flat = vec![0.0; fast.n_weights()];
    let (loss, _, has_points) = fast.gradients(&batch, 2.0, &mut Pass::default(), &mut flat).unwrap();
    assert!(!has_points && loss > 0.0);
    let mut gradients = GradientsParams::new();
    fast.register(&model, &flat, has_points, &mut gradients);
    let framework = GradientsParams::from_grads(model.loss(&batch).unwrap().value.backward(), &model);
    assert_eq!(gradients.len(), framework.len(), "as many parameters take part as by the framework");
    // A row whose points are all padding equals one without points.
    let empty = PointBatch::pack(&config(), &[&Points::default()]).unwrap();
    let padded = TrainBatch { points: Some(empty), ..batch };
    let (of_padded, _, _) = fast.gradients(&padded, 2.0, &mut Pass::default(), &mut flat).unwrap();
    assert_eq!(of_padded, loss);
}

#[test]
fn shared_prompt_rows_equal_separate_rows() {
    let prompt = [3, 1, 4, 1, 5];
    let targets: [&[i32]; 3] = [&[9, 2, 6, 5], &[9, 3, 5], &[9, 8, 9, 7, 9]];
    let local = ModelConfig {
        attention_window: Some(3),
        attention_layers: vec![Attention::Local, Attention::Global],
        population: Population::Text,
        ..config()
    };
    for config in [ModelConfig { prefix_attention: PrefixAttention::Causal, ..config() }, config(), local] {
        let model = Model::new(&config, 5, &device().autodiff()).unwrap();
        let packed = TrainBatch { points: points(1), ..row(&prompt, &targets, 18) };
        let separate = stack(targets.iter().map(|target| row(&prompt, &[target], 11)).collect());
        let separate = TrainBatch { points: points(3), ..separate };
        let (a, of_a) = loss_and_gradients(&model, &packed);
        let (b, of_b) = loss_and_gradients(&model, &separate);
        assert!((a - b).abs() < 1e-5 * b, "{a} {b}");
        assert_eq!(of_a.len(), 2 + 4 + 2 * 13 + 2);
        for (a, b) in of_a.iter().zip(&of_b) {
            let scale = b.iter().fold(0.0f32, |m, g| m.max(g.abs()));
            assert!(scale > 0.0, "a gradient is zero");
            for (a, b) in a.iter().zip(b) {
                assert!((a - b).abs() <= 1e-5 * scale, "{a} {b}");
            }
        }
    }
}

#[test]
fn weights_scale_the_loss_of_their_tokens() {
    let model = Model::new(&config(), 5, &device()).unwrap();
    let targets: [&[i32]; 2] = [&[9, 2], &[9, 7]];
    let value = |batch: &TrainBatch| model.loss(batch).unwrap().value.into_scalar::<f32>();
    let single = targets.map(|target| value(&row(&[1, 2], &[target], 6)));
    let mut both = row(&[1, 2], &targets, 6);
    both.weights[2] = 3.0;
    let loss = model.loss(&both).unwrap();
    assert_eq!((loss.tokens, loss.weight), (2, 4.0));
    let expected = (3.0 * single[0] + single[1]) / 4.0;
    assert!((loss.value.into_scalar::<f32>() - expected).abs() < 1e-5);
    both.weights.fill(0.0);
    assert_eq!(model.loss(&both).unwrap_err().to_string(), "model input: a batch without labels");
}

#[test]
fn masked_points_and_padding_do_not_count() {
    let model = Model::new(&config(), 5, &device()).unwrap();
    let logits = |batch: &TrainBatch, n: usize| -> Vec<f32> {
        model.forward(batch).unwrap().narrow(1, 0, n).try_into_vec_as().unwrap()
    };
    let close = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5);
    let plain = row(&[3, 1, 4], &[&[9, 2]], 5);

    let mut spoiled = TrainBatch { points: points(1), ..row(&[3, 1, 4], &[&[9, 2]], 9) };
    let with_points = logits(&spoiled, 5);
    spoiled.tokens[5..].fill(7);
    spoiled.points.as_mut().unwrap().values[6..].fill(1e3);
    assert!(close(&logits(&spoiled, 5), &with_points), "padding leaks");
    assert!(!close(&logits(&plain, 5), &with_points), "points are not read");

    spoiled.points.as_mut().unwrap().mask.fill(false);
    assert!(close(&logits(&spoiled, 5), &logits(&plain, 5)), "masked points leak");
}

#[test]
fn bidirectional_prefix_ignores_the_order_of_points_and_causal_does_not() {
    let swap = |points: &PointBatch| {
        let mut points = points.clone();
        points.values[..6].rotate_left(3);
        points
    };
    for (prefix_attention, order_matters) in [(PrefixAttention::Bidirectional, false), (PrefixAttention::Causal, true)]
    {
        let model = Model::new(&ModelConfig { prefix_attention, ..config() }, 5, &device()).unwrap();
        let a = TrainBatch { points: points(1), ..row(&[3, 1, 4], &[&[9, 2]], 5) };
        let b = TrainBatch { points: a.points.as_ref().map(swap), ..a.clone() };
        let difference = (model.forward(&a).unwrap() - model.forward(&b).unwrap()).abs().max().into_scalar::<f32>();
        assert_eq!(difference > 1e-6, order_matters, "{difference}");
    }
}

#[test]
fn equal_seeds_give_equal_weights() {
    let bytes = |seed| Model::new(&config(), seed, &device()).unwrap().into_record().into_bytes().unwrap();
    assert_eq!(bytes(1)[..], bytes(1)[..]);
    assert_ne!(bytes(1)[..], bytes(2)[..]);
    assert_eq!(Model::new(&config(), 1, &device()).unwrap().num_params(), config().parameter_count());
}

#[test]
fn bfloat16_products_stay_near_single_precision() {
    let batch = TrainBatch { points: points(1), ..row(&[3, 1, 4], &[&[9, 2, 6]], 8) };
    let model = Model::new(&config(), 5, &device().autodiff()).unwrap();
    let (exact, _) = loss_and_gradients(&model, &batch);
    let narrow = model.with_precision(Precision::Bf16);
    let (rounded, _) = loss_and_gradients(&narrow, &batch);
    let decoded = narrow.valid().loss(&batch).unwrap().value.into_scalar::<f32>();
    assert!(rounded != exact && (rounded - exact).abs() < 0.01, "{rounded} {exact}");
    assert!((decoded - exact).abs() < 0.01, "{decoded} {exact}");
}

#[test]
fn a_few_steps_learn_a_row_by_heart() {
    let mut model = Model::new(&config(), 5, &device().autodiff()).unwrap();
    let mut optimiser = AdamWConfig::new().init();
    let batch = TrainBatch { points: points(1), ..row(&[3, 1, 4, 1, 5], &[&[9, 2, 6, 5], &[8, 3, 5]], 14) };
    for _ in 0..30 {
        let gradients = model.loss(&batch).unwrap().value.backward();
        let gradients = GradientsParams::from_grads(gradients, &model);
        model = optimiser.step(0.01, model, gradients);
    }
    let value = model.valid().loss(&batch).unwrap().value.into_scalar::<f32>();
    assert!(value < 0.1, "{value}");
}
