//! Updates weights by gradients: clipping by the global norm, AdamW with decay of matrices only, Muon, and the moving
//! average of the weights.
//!
//! On a CPU, norms, AdamW and Muon are computed by `sr-cpu`, with the same bits on every machine; the tensor framework
//! only does elementwise products and sums there, which round the same everywhere. In any case the states are those of
//! burn, so a run can continue on another device.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamGroup, ParamId};
use burn::optim::decay::WeightDecayConfig;
use burn::optim::momentum::{Momentum, MomentumConfig};
use burn::optim::{
    AdamWConfig, AdamWState, AdaptiveMomentumState, AdjustLrFn, GradientsParams, LearningRate, ModuleOptimizer,
    MuonConfig, MuonState, Optimizer,
};
use burn::tensor::{Device, GradientCheckpointingStrategy, Tensor, TensorData};
use sr_cpu::AdamStep;
use sr_model::Model;

use crate::{OptimiserKind, Training};

/// Added to the root of the second moment; burn's default of 1e-5 would damp the small gradients of late training.
const EPSILON: f32 = 1e-8;

/// Returns the optimiser; biases, norms and embeddings are not decayed, as in GPT-3 (Brown et al., 2020).
pub(crate) fn optimiser(model: &Model, training: &Training) -> ModuleOptimizer {
    if model.is_on_gpu() { of_burn(model, training) } else { on_cpu(model, training) }
}

fn of_burn(model: &Model, training: &Training) -> ModuleOptimizer {
    let decay = training.weight_decay as f32;
    let adamw =
        |decay| AdamWConfig::new().with_beta_2(training.beta2 as f32).with_epsilon(EPSILON).with_weight_decay(decay);
    let Groups { undecayed, block_matrices, .. } = Groups::of(model);
    let optimiser = adamw(decay).init().with_group(ParamGroup::from_ids(undecayed), adamw(0.0).build(), None);
    match training.optimiser {
        OptimiserKind::Adamw => optimiser,
        OptimiserKind::Muon => {
            // Steps are as large as AdamW's, so that the same learning rate and decay suit both.
            let muon = MuonConfig::new()
                .with_adjust_lr_fn(AdjustLrFn::MatchRmsAdamW)
                .with_weight_decay(Some(WeightDecayConfig { penalty: decay }));
            optimiser.with_group(ParamGroup::from_ids(block_matrices), muon.build(), None)
        }
    }
}

/// Returns the same optimiser with the steps of `sr-cpu`.
fn on_cpu(model: &Model, training: &Training) -> ModuleOptimizer {
    let adamw = |decay| Adam { beta: [BETA_1, training.beta2 as f32], decay };
    let Groups { undecayed, block_matrices, .. } = Groups::of(model);
    let optimiser = ModuleOptimizer::from(adamw(training.weight_decay));
    let optimiser = optimiser.with_group(ParamGroup::from_ids(undecayed), adamw(0.0), None);
    match training.optimiser {
        OptimiserKind::Adamw => optimiser,
        OptimiserKind::Muon => {
            let muon = CpuMuon { momentum: Momentum::new(&momentum()), decay: training.weight_decay };
            optimiser.with_group(ParamGroup::from_ids(block_matrices), muon, None)
        }
    }
}

/// The usual value, also burn's default.
const BETA_1: f32 = 0.9;

/// Returns the momentum of burn's Muon.
fn momentum() -> MomentumConfig {
    MomentumConfig { momentum: 0.95, dampening: 0.0, nesterov: true }
}

/// AdamW on a CPU.
#[derive(Clone)]
struct Adam {
    beta: [f32; 2],
    decay: f64,
}

impl Optimizer for Adam {
    type State<const D: usize> = AdamWState<D>;

    fn step<const D: usize>(
        &self,
        rate: LearningRate,
        tensor: Tensor<D>,
        gradient: Tensor<D>,
        state: Option<Self::State<D>>,
    ) -> (Tensor<D>, Option<Self::State<D>>) {
        let (shape, device) = (tensor.dims(), tensor.device());
        let (mut weights, gradient) = (numbers(tensor), numbers(gradient));
        let (before, mut first, mut second) = match state {
            Some(AdamWState { momentum }) => (momentum.time, numbers(momentum.moment_1), numbers(momentum.moment_2)),
            None => (0, vec![0.0; weights.len()], vec![0.0; weights.len()]),
        };
        let time = before + 1;
        let correction = self.beta.map(|beta| (1.0 - libm::pow(f64::from(beta), time as f64)) as f32);
        let kept = (1.0 - rate * self.decay) as f32;
        let step = AdamStep { beta: self.beta, correction, epsilon: EPSILON, rate: rate as f32, kept };
        sr_cpu::adamw(&mut weights, &gradient, &mut first, &mut second, &step);
        let tensor = |values: Vec<f32>| Tensor::from_data(TensorData::new(values, shape), &device);
        let momentum = AdaptiveMomentumState::new(time, tensor(first), tensor(second));
        (tensor(weights), Some(AdamWState { momentum }))
    }

    fn to_device<const D: usize>(mut state: Self::State<D>, device: &Device) -> Self::State<D> {
        state.momentum = state.momentum.to_device(device);
        state
    }
}

/// Muon on a CPU.
#[derive(Clone)]
struct CpuMuon {
    momentum: Momentum,
    decay: f64,
}

impl Optimizer for CpuMuon {
    type State<const D: usize> = MuonState<D>;

    fn step<const D: usize>(
        &self,
        rate: LearningRate,
        tensor: Tensor<D>,
        gradient: Tensor<D>,
        state: Option<Self::State<D>>,
    ) -> (Tensor<D>, Option<Self::State<D>>) {
        let (shape, device) = (tensor.dims(), tensor.device());
        let (rows, columns) = (shape[0], shape[D - 1]);
        let (gradient, momentum) = self.momentum.transform(gradient, state.map(|state| state.momentum));
        let direction = sr_cpu::orthogonalised(&numbers(gradient), columns);
        // Steps are as large as AdamW's, so that the same learning rate and decay suit both.
        let adjusted = rate * 0.2 * (rows.max(columns) as f64).sqrt();
        let direction = Tensor::from_data(TensorData::new(direction, shape), &device);
        (tensor * (1.0 - rate * self.decay) - direction * adjusted, Some(MuonState { momentum }))
    }

    fn to_device<const D: usize>(mut state: Self::State<D>, device: &Device) -> Self::State<D> {
        state.momentum = state.momentum.to_device(device);
        state
    }
}

/// Returns the numbers of a tensor on the host.
fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.try_into_vec_as().expect("f32 on a CPU")
}

/// Returns a copy of `model` whose parameters are leaves of a graph of their own, which keeps activations or, if
/// `recompute`, computes cheap ones again in the backward pass.
///
/// The framework holds on to every leaf until some backward pass ends. A model that is trained must therefore not be on
/// a graph itself: each step of the optimiser would add a leaf for each parameter, and the passes of a CPU, which need
/// no graph, would never free one.
pub(crate) fn on_graph(model: &Model, recompute: bool) -> Model {
    model.clone().map(&mut Leaves { recompute })
}

struct Leaves {
    recompute: bool,
}

impl ModuleMapper for Leaves {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let recompute = |weight: Tensor<D>| match self.recompute {
            true => weight.with_gradient_checkpointing_strategy(GradientCheckpointingStrategy::Balanced),
            false => weight,
        };
        param.map(|weight| recompute(weight.without_autodiff().autodiff())).set_require_grad(true)
    }
}

/// Returns the model, which is on no graph, after a step of the optimiser.
pub(crate) fn step(optimiser: &mut ModuleOptimizer, rate: f64, model: Model, gradients: GradientsParams) -> Model {
    // burn's optimiser refuses tensors that cannot be on a graph. These can, but are not, as they require no gradient.
    optimiser.step(rate, model.map(&mut Constants), gradients).valid()
}

struct Constants;

impl ModuleMapper for Constants {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(Tensor::autodiff)
    }
}

/// Moves an average of weights, which is not part of a graph, towards those of `model` after update `step`, counted
/// from 1.
///
/// At first it keeps less than `decay`, because the initial weights are random: (1 + step) / (10 + step), as in
/// TensorFlow's `ExponentialMovingAverage`.
pub(crate) fn average(average: Model, model: &Model, decay: f64, step: u64) -> Model {
    let kept = decay.min((1 + step) as f64 / (10 + step) as f64);
    let mut weights = Weights(GradientsParams::new());
    model.visit(&mut weights);
    average.map(&mut Towards { weights: weights.0, kept })
}

/// Weights by id, in burn's map of tensors by id.
struct Weights(GradientsParams);

impl ModuleVisitor for Weights {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0.register(param.id, param.val());
    }
}

struct Towards {
    weights: GradientsParams,
    kept: f64,
}

impl ModuleMapper for Towards {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        match self.weights.remove::<D>(param.id) {
            Some(new) => param.map(|old| old * self.kept + new * (1.0 - self.kept)),
            None => param,
        }
    }
}

/// Scales the gradients so that their common norm is at most `max_norm`, and returns the norm before.
///
/// burn's own clipping scales each parameter on its own, which changes the direction of the step.
pub(crate) fn clip(model: &Model, gradients: &mut GradientsParams, max_norm: f64) -> f64 {
    let norm = if model.is_on_gpu() {
        let mut squares = Squares { gradients, sums: Vec::new() };
        model.visit(&mut squares);
        f64::from(Tensor::cat(squares.sums, 0).sum().sqrt().into_scalar::<f32>())
    } else {
        let mut squares = HostSquares { gradients, sum: 0.0 };
        model.visit(&mut squares);
        squares.sum.sqrt()
    };
    if norm > max_norm {
        model.visit(&mut Scale { gradients, factor: max_norm / norm });
    }
    norm
}

/// Collects each gradient's sum of squares, `[1]`.
struct Squares<'a> {
    gradients: &'a GradientsParams,
    sums: Vec<Tensor<1>>,
}

impl ModuleVisitor for Squares<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.sums.extend(self.gradients.get::<D>(param.id).map(|gradient| gradient.square().sum()));
    }
}

/// Sums all squares, in double precision and in the order of the parameters.
struct HostSquares<'a> {
    gradients: &'a GradientsParams,
    sum: f64,
}

impl ModuleVisitor for HostSquares<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.get::<D>(param.id) {
            self.sum += sr_cpu::sum_of_squares(&numbers(gradient));
        }
    }
}

struct Scale<'a> {
    gradients: &'a mut GradientsParams,
    factor: f64,
}

impl ModuleVisitor for Scale<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.remove::<D>(param.id) {
            self.gradients.register(param.id, gradient * self.factor);
        }
    }
}

/// Parameters by the way they are optimised.
#[derive(Default)]
struct Groups {
    path: Vec<String>,
    /// Vectors (biases and norms) and embedding tables.
    undecayed: Vec<ParamId>,
    /// Matrices of the blocks, for Muon; the point embedder and the output head use AdamW, as in Muon's paper.
    block_matrices: Vec<ParamId>,
}

impl Groups {
    fn of(model: &Model) -> Self {
        let mut found = Groups::default();
        model.visit(&mut found);
        found
    }
}

impl ModuleVisitor for Groups {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if D == 1 || self.path.last().is_some_and(|name| name.ends_with("_embedding")) {
            self.undecayed.push(param.id);
        } else if D == 2 && self.path.first().is_some_and(|name| name == "blocks") {
            self.block_matrices.push(param.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sr_model::{DeviceKind, ModelConfig, PointsConfig, TrainBatch};

    fn model() -> Model {
        let points = PointsConfig { n_variables: 1, hidden: 4, ..PointsConfig::learner(2) };
        let config = ModelConfig {
            n_positions: 8,
            d_model: 8,
            n_layers: 1,
            n_heads: 2,
            d_mlp: 16,
            points: Some(points),
            ..ModelConfig::micro(10)
        };
        let device = DeviceKind::Cpu.open().expect("the CPU").autodiff();
        Model::new(&config, 1, &device).expect("a model")
    }

    fn gradients(model: &Model) -> GradientsParams {
        let batch = TrainBatch {
            rows: 1,
            length: 3,
            tokens: vec![1, 2, 3],
            positions: vec![0, 1, 2],
            features: vec![],
            marks: vec![],
            segments: vec![0, 0, 1],
            individuals: vec![],
            labels: vec![-1, -1, 4],
            weights: vec![0.0, 0.0, 1.0],
            points: Some(sr_model::PointBatch {
                rows: 1,
                n_points: 2,
                width: 3,
                values: vec![1.0; 6],
                mask: vec![true, true],
            }),
        };
        let loss = model.loss(&batch).expect("a loss").value;
        GradientsParams::from_grads(loss.backward(), model)
    }

    /// Returns all numbers of the model with their names.
    #[derive(Default)]
    struct Named(Vec<String>, Vec<(String, Vec<f32>)>);

    impl ModuleVisitor for Named {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.0.push(name.to_owned());
        }

        fn exit_module(&mut self, _: &str, _: &str) {
            self.0.pop();
        }

        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let values = param.val().try_into_vec_as::<f32>().expect("f32");
            self.1.push((self.0.join("."), values));
        }
    }

    fn named(model: &Model) -> Vec<(String, Vec<f32>)> {
        let mut named = Named::default();
        model.visit(&mut named);
        named.1
    }

    /// Returns the names of the parameters that differ after a step with one of the two settings.
    fn differing(a: Training, b: Training) -> Vec<String> {
        let step = |training: Training| {
            let model = model();
            let gradients = gradients(&model);
            named(&optimiser(&model, &training).step(0.1, model, gradients))
        };
        step(a).into_iter().zip(step(b)).filter(|(a, b)| a.1 != b.1).map(|(a, _)| a.0).collect()
    }

    #[test]
    fn only_matrices_decay() {
        for (optimiser, n_matrices) in [(OptimiserKind::Adamw, 2 + 6), (OptimiserKind::Muon, 2 + 6)] {
            let with = |weight_decay| Training { weight_decay, optimiser, ..Training::default() };
            let decayed = differing(with(0.0), with(0.5));
            let matrices = named(&model()).into_iter().map(|(name, _)| name).filter(|name| name.ends_with("weight"));
            assert_eq!(decayed, matrices.collect::<Vec<_>>(), "{optimiser:?}");
            assert_eq!(decayed.len(), n_matrices);
        }
    }

    #[test]
    fn muon_moves_the_matrices_of_the_blocks_by_orthogonal_steps() {
        let with = |optimiser| Training { optimiser, weight_decay: 0.0, ..Training::default() };
        let muons = differing(with(OptimiserKind::Adamw), with(OptimiserKind::Muon));
        assert_eq!(muons.len(), 6);
        assert!(muons.iter().all(|name| name.starts_with("blocks.0.") && name.ends_with(".weight")), "{muons:?}");

        let before = model();
        let gradients = gradients(&before);
        let after = optimiser(&before, &with(OptimiserKind::Muon)).step(0.1, before.clone(), gradients);
        let up = |model: &Model| named(model).into_iter().find(|(name, _)| name == "blocks.0.up.weight").expect("it").1;
        let step: Vec<f64> = up(&before).iter().zip(up(&after)).map(|(b, a)| f64::from(b - a)).collect();
        // 8 × 16: Newton-Schulz brings singular values near 1, and the rate is 0.1 · 0.2 · √16; a gradient of rank r
        // has √r times that as its norm.
        let norm = step.iter().map(|v| v * v).sum::<f64>().sqrt() / 0.08;
        assert!((0.6..1.3 * 8f64.sqrt()).contains(&norm), "{norm}");
    }

    #[test]
    fn steps_on_a_cpu_are_those_of_the_framework_and_so_are_their_states() {
        for kind in [OptimiserKind::Adamw, OptimiserKind::Muon] {
            let training = Training { optimiser: kind, weight_decay: 0.1, ..Training::default() };
            let (mut ours, mut theirs) = (model(), model());
            let (mut own, mut burns) = (optimiser(&ours, &training), of_burn(&theirs, &training));
            for step in 0..4 {
                let (a, b) = (gradients(&ours), gradients(&theirs));
                (ours, theirs) = (own.step(0.01, ours, a), burns.step(0.01, theirs, b));
                if step == 1 {
                    // Each continues from the other's state.
                    let bytes = (own.into_bytes().expect("a record"), burns.into_bytes().expect("a record"));
                    own = optimiser(&ours, &training).from_bytes(bytes.1).expect("our optimiser takes it");
                    burns = of_burn(&theirs, &training).from_bytes(bytes.0).expect("burn's optimiser takes it");
                }
            }
            for ((name, a), (_, b)) in named(&ours).iter().zip(&named(&theirs)) {
                let worst = a.iter().zip(b).fold(0.0f32, |worst, (a, b)| worst.max((a - b).abs()));
                assert!(worst < 2e-5, "{kind:?} {name}: {worst}");
            }
        }
    }

    #[test]
    fn the_average_follows_the_weights() {
        let model = || model().valid();
        let zero = model().map(&mut Times(0.0));
        let first = |model: &Model| named(model)[0].1[0];
        let weight = first(&model());
        let near = |found: f32, share: f32| assert!((found - share * weight).abs() < 1e-6, "{found} {share} {weight}");
        let one = average(zero.clone(), &model(), 0.9, 1);
        near(first(&one), 1.0 - 2.0 / 11.0);
        let late = average(zero, &model(), 0.9, 1000);
        near(first(&late), 0.1);
        near(first(&average(late, &model(), 0.9, 1001)), 0.19);
        assert!(!named(&one).iter().any(|(_, values)| values.iter().any(|v| !v.is_finite())));
    }

    struct Times(f32);

    impl ModuleMapper for Times {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            param.map(|weight| weight * self.0)
        }
    }

    #[test]
    fn recomputed_activations_give_the_same_gradients() {
        let with = |recompute: bool, strategy: GradientCheckpointingStrategy| {
            let model = on_graph(&model().valid(), recompute);
            assert_eq!(model.device().gradient_checkpointing_strategy(), Some(strategy));
            flat(&model, &gradients(&model))
        };
        let kept = with(false, GradientCheckpointingStrategy::Disabled);
        assert_eq!(kept, with(true, GradientCheckpointingStrategy::Balanced));
    }

    /// Returns all gradients, concatenated.
    fn flat(model: &Model, gradients: &GradientsParams) -> Vec<f32> {
        struct Flat<'a>(&'a GradientsParams, Vec<f32>);
        impl ModuleVisitor for Flat<'_> {
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                let gradient = self.0.get::<D>(param.id).expect("a gradient");
                self.1.extend(gradient.try_into_vec_as::<f32>().expect("f32"));
            }
        }
        let mut flat = Flat(gradients, Vec::new());
        model.visit(&mut flat);
        flat.1
    }

    #[test]
    fn the_norm_of_gradients_that_are_no_numbers_is_none() {
        let model = model();
        struct Spoil<'a>(&'a mut GradientsParams, f32);
        impl ModuleVisitor for Spoil<'_> {
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                if let Some(gradient) = self.0.remove::<D>(param.id) {
                    self.0.register(param.id, gradient * self.1);
                }
            }
        }
        for factor in [f32::NAN, f32::INFINITY] {
            let mut gradients = gradients(&model);
            model.visit(&mut Spoil(&mut gradients, factor));
            assert!(!clip(&model, &mut gradients, 1.0).is_finite(), "{factor}");
        }
        // Large numbers whose squares overflow 32 bits must still work.
        let mut gradients = gradients(&model);
        model.visit(&mut Spoil(&mut gradients, 1e25));
        assert!(clip(&model, &mut gradients, 1.0).is_finite());
        assert!((clip(&model, &mut gradients, 2.0) - 1.0).abs() < 1e-5);
    }

    #[test]
    fn clipping_bounds_the_norm_of_all_gradients_and_keeps_their_direction() {
        let model = model();
        let norm = |values: &[f32]| values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
        let mut gradients = gradients(&model);
        let before = flat(&model, &gradients);
        let found = clip(&model, &mut gradients, 1e9);
        assert!((found / norm(&before) - 1.0).abs() < 1e-5, "{found} {}", norm(&before));
        assert_eq!(flat(&model, &gradients), before, "a small gradient stays as it is");
        assert_eq!(clip(&model, &mut gradients, found / 4.0), found);
        let after = flat(&model, &gradients);
        assert!((norm(&after) * 4.0 / found - 1.0).abs() < 1e-5);
        assert!(before.iter().zip(&after).all(|(b, a)| (b / 4.0 - a).abs() <= 1e-6 * b.abs()));
    }
}
