//! Tests of the point embedder `set`: it ignores order, padding and scale, and is trained with the rest.

use burn::{
    module::{Module, ModuleMapper, ModuleVisitor, Param},
    optim::{AdamWConfig, GradientsParams},
    tensor::{Device, Tensor},
};
use sr_model::{DeviceKind, IGNORE, Model, ModelConfig, PointBatch, Points, PointsConfig, TrainBatch};

/// Numbers per point: two variables, y and the best individual's residual.
const WIDTH: usize = 4;

fn config(n_points: usize) -> ModelConfig {
    let points = PointsConfig { n_points, n_queries: 3, n_variables: 2, hidden: 32, ..PointsConfig::set() };
    ModelConfig {
        n_positions: 16,
        d_model: 16,
        n_layers: 2,
        n_heads: 2,
        d_mlp: 32,
        points: Some(points),
        ..ModelConfig::micro(12)
    }
}

fn device() -> Device {
    DeviceKind::Cpu.open().unwrap()
}

/// Enlarges the weights of the decoder, which are so small at first that the prefix hardly matters. Those of the
/// embedder stay: enlarged, each query would read a single point.
#[derive(Default)]
struct EnlargeDecoder(Vec<String>);

impl ModuleMapper for EnlargeDecoder {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.0.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.0.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if self.0[0] == "point_embedder" { param } else { param.map(|weight| weight * 5.0) }
    }
}

fn model(n_points: usize) -> Model {
    Model::new(&config(n_points), 5, &device()).unwrap().map(&mut EnlargeDecoder::default())
}

/// Returns the same four tokens for each row of points; the label of the last one is `labels[row]`.
fn batch(model: &Model, points: &[Points], labels: &[i32]) -> TrainBatch {
    let rows = points.len();
    TrainBatch {
        rows,
        length: 4,
        tokens: [3, 1, 4, 2].repeat(rows),
        positions: [0, 1, 2, 3].repeat(rows),
        segments: [0, 0, 0, 1].repeat(rows),
        labels: labels.iter().flat_map(|&label| [IGNORE, IGNORE, IGNORE, label]).collect(),
        weights: vec![1.0; 4 * rows],
        points: Some(PointBatch::pack(model.config(), &points.iter().collect::<Vec<_>>()).unwrap()),
        ..TrainBatch::default()
    }
}

/// Returns the logits, `[B, T · vocabulary]`.
fn logits(model: &Model, points: &[Points]) -> Vec<Vec<f32>> {
    let batch = batch(model, points, &vec![0; points.len()]);
    let logits: Vec<f32> = model.forward(&batch).unwrap().try_into_vec_as().unwrap();
    logits.chunks(4 * 12).map(<[f32]>::to_vec).collect()
}

fn apart(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    assert!(a.iter().chain(b).all(|v| v.is_finite()));
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// Returns points of y = f(x) at x = 1, 2, …, with the residual of the constant 2.
fn points(n: usize, f: impl Fn(f32) -> f32) -> Points {
    let point = |i: usize| {
        let x = i as f32 + 1.0;
        [x, -0.5 * x, f(x), f(x) - 2.0]
    };
    Points { values: (0..n).flat_map(point).collect() }
}

#[test]
fn the_order_of_points_and_the_room_for_more_do_not_matter() {
    let rows = [points(6, |x| x * x), points(3, |x| 1e-6 * x), points(8, |x| -x)];
    let permuted = rows.clone().map(|Points { mut values }| {
        values.rotate_left(2 * WIDTH);
        let (first, rest) = values.split_at_mut(WIDTH);
        first.swap_with_slice(&mut rest[..WIDTH]);
        Points { values }
    });
    let small = logits(&model(8), &rows);
    for (n_points, rows) in [(8, &permuted), (8, &rows), (40, &rows), (40, &permuted)] {
        for (a, b) in small.iter().zip(logits(&model(n_points), rows)) {
            assert!(apart(a, &b) < 1e-5, "{n_points}: {}", apart(a, &b));
        }
    }
    assert!(apart(&small[0], &small[2]) > 0.01, "points are not read");
}

#[test]
fn every_channel_counts_whatever_its_scale() {
    let model = model(8);
    let with = |column: usize, value: f32| {
        let Points { mut values } = points(5, |x| x);
        values.iter_mut().skip(column).step_by(WIDTH).for_each(|cell| *cell = value);
        logits(&model, &[Points { values }]).remove(0)
    };
    for column in 0..WIDTH {
        for (a, b) in [(1e-9, 0.0), (1e-9, 3e-9), (1e9, 3e9), (1e9, -1e9), (1.0, 1.01), (f32::NAN, f32::INFINITY)] {
            let difference = apart(&with(column, a), &with(column, b));
            assert!(difference > 1e-4, "column {column}, {a} and {b}: {difference}");
        }
    }
}

#[test]
fn a_row_without_points_reads_like_one_without_prefix() {
    let model = model(8);
    let two = logits(&model, &[Points::default(), points(4, |x| x)]);
    let without = TrainBatch { points: None, ..batch(&model, &[Points::default()], &[0]) };
    let without: Vec<f32> = model.forward(&without).unwrap().try_into_vec_as().unwrap();
    assert!(apart(&two[0], &without) < 1e-5);
    assert!(apart(&two[1], &without) > 0.01);
}

/// Collects the greatest gradient of each parameter.
struct Greatest(GradientsParams, Vec<f32>);

impl ModuleVisitor for Greatest {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let gradient = self.0.get::<D>(param.id).expect("every parameter takes part");
        self.1.push(gradient.abs().max().into_scalar::<f32>());
    }
}

#[test]
fn gradients_reach_every_part() {
    let model = Model::new(&config(8), 5, &device().autodiff()).unwrap();
    assert_eq!(model.num_params(), config(8).parameter_count());
    // A row without points must not spoil the others.
    let batch = batch(&model, &[points(6, |x| x * x), Points::default()], &[7, 9]);
    let gradients = GradientsParams::from_grads(model.loss(&batch).unwrap().value.backward(), &model);
    let mut greatest = Greatest(gradients, Vec::new());
    model.visit(&mut greatest);
    // Token and position tables, the MLP, queries, norm and block of the pooling, the blocks, the last norm.
    assert_eq!(greatest.1.len(), 2 + 4 + (1 + 2 + 13) + 2 * 13 + 2);
    assert!(greatest.1.iter().all(|g| g.is_finite() && *g > 0.0), "{:?}", greatest.1);
}

#[test]
fn a_model_learns_to_tell_sets_apart() {
    let mut model = Model::new(&config(8), 5, &device().autodiff()).unwrap();
    let mut optimiser = AdamWConfig::new().init();
    let rows = [points(6, |x| x), points(6, |x| x * x), points(5, |x| 1e-4 / x)];
    let batch = batch(&model, &rows, &[7, 9, 5]);
    for _ in 0..80 {
        let gradients = GradientsParams::from_grads(model.loss(&batch).unwrap().value.backward(), &model);
        model = optimiser.step(0.003, model, gradients);
    }
    // A model that cannot tell the rows apart has a loss of at least ln 3.
    let loss = model.valid().loss(&batch).unwrap().value.into_scalar::<f32>();
    assert!(loss < 0.2, "{loss}");
}
