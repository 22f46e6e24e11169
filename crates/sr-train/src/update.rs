//! From gradients to new weights: clipping by the global norm, and AdamW that decays matrices only.

use burn::module::{Module, ModuleVisitor, Param, ParamGroup, ParamId};
use burn::optim::{AdamWConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::Tensor;
use sr_model::Model;

use crate::Training;

/// Added to the root of the second moment; burn's own default of 1e-5 would damp the small gradients of late training.
const EPSILON: f32 = 1e-8;

/// AdamW; biases, norms and embeddings are not decayed, as in GPT-3 (Brown et al., 2020).
pub(crate) fn optimiser(model: &Model, training: &Training) -> ModuleOptimizer {
    let adamw =
        |decay| AdamWConfig::new().with_beta_2(training.beta2 as f32).with_epsilon(EPSILON).with_weight_decay(decay);
    let undecayed = ParamGroup::from_ids(Undecayed::of(model));
    adamw(training.weight_decay as f32).init().with_group(undecayed, adamw(0.0).build(), None)
}

/// Scales the gradients so that the norm of all of them together is at most `max_norm`; gives the norm before.
///
/// burn's own clipping takes each parameter alone, which changes the direction of the step.
pub(crate) fn clip(model: &Model, gradients: &mut GradientsParams, max_norm: f64) -> f64 {
    let mut squares = Squares { gradients, sums: Vec::new() };
    model.visit(&mut squares);
    let norm = f64::from(Tensor::cat(squares.sums, 0).sum().sqrt().into_scalar::<f32>());
    if norm > max_norm {
        model.visit(&mut Scale { gradients, factor: max_norm / norm });
    }
    norm
}

/// Each gradient's sum of squares, `[1]`.
struct Squares<'a> {
    gradients: &'a GradientsParams,
    sums: Vec<Tensor<1>>,
}

impl ModuleVisitor for Squares<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.sums.extend(self.gradients.get::<D>(param.id).map(|gradient| gradient.square().sum()));
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

/// Finds vectors (biases and norms) and embedding tables.
#[derive(Default)]
struct Undecayed {
    path: Vec<String>,
    ids: Vec<ParamId>,
}

impl Undecayed {
    fn of(model: &Model) -> Vec<ParamId> {
        let mut found = Undecayed::default();
        model.visit(&mut found);
        found.ids
    }
}

impl ModuleVisitor for Undecayed {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if D == 1 || self.path.last().is_some_and(|name| name.ends_with("_embedding")) {
            self.ids.push(param.id);
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
        let device = sr_model::open(DeviceKind::Cpu).expect("the CPU").autodiff();
        Model::new(&config, 1, &device).expect("a model")
    }

    fn gradients(model: &Model) -> GradientsParams {
        let batch = TrainBatch {
            rows: 1,
            length: 3,
            tokens: vec![1, 2, 3],
            positions: vec![0, 1, 2],
            features: vec![],
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

    /// All numbers of the model with their names.
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

    #[test]
    fn only_matrices_decay() {
        let step = |weight_decay| {
            let model = model();
            let training = Training { weight_decay, ..Training::default() };
            let gradients = gradients(&model);
            named(&optimiser(&model, &training).step(0.1, model, gradients))
        };
        let decayed: Vec<String> =
            step(0.0).into_iter().zip(step(0.5)).filter(|(a, b)| a.1 != b.1).map(|(a, _)| a.0).collect();
        let matrices = named(&model()).into_iter().map(|(name, _)| name).filter(|name| name.ends_with("weight"));
        assert_eq!(decayed, matrices.collect::<Vec<_>>());
        assert_eq!(decayed.len(), 2 + 6);
    }

    #[test]
    fn clipping_bounds_the_norm_of_all_gradients_and_keeps_their_direction() {
        let model = model();
        let flat = |gradients: &GradientsParams| {
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
        };
        let norm = |values: &[f32]| values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
        let mut gradients = gradients(&model);
        let before = flat(&gradients);
        let found = clip(&model, &mut gradients, 1e9);
        assert!((found / norm(&before) - 1.0).abs() < 1e-5, "{found} {}", norm(&before));
        assert_eq!(flat(&gradients), before, "a small gradient stays as it is");
        assert_eq!(clip(&model, &mut gradients, found / 4.0), found);
        let after = flat(&gradients);
        assert!((norm(&after) * 4.0 / found - 1.0).abs() < 1e-5);
        assert!(before.iter().zip(&after).all(|(b, a)| (b / 4.0 - a).abs() <= 1e-6 * b.abs()));
    }
}
