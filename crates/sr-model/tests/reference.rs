//! Compares the decoder with one written out in f64 without tensors.
//!
//! It follows GPT-Neo as published (Black et al., 2021; `modeling_gpt_neo.py`): pre-LayerNorm, attention scores without
//! 1/√d, `gelu_new`, tied head.

use std::collections::HashMap;

use burn::{
    module::{Module, ModuleVisitor, Param},
    tensor::Tensor,
};
use sr_model::{Activation, DeviceKind, IGNORE, Model, ModelConfig, TrainBatch};

type Matrix = Vec<Vec<f64>>;

/// Parameters by path; vectors are matrices of one row.
#[derive(Default)]
struct Weights {
    path: Vec<String>,
    by_path: HashMap<String, Matrix>,
}

impl ModuleVisitor for Weights {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let tensor = param.val();
        let columns = tensor.dims()[D - 1];
        let values: Vec<f32> = tensor.try_into_vec_as().unwrap();
        let rows = values.chunks(columns).map(|row| row.iter().map(|&v| f64::from(v)).collect()).collect();
        self.by_path.insert(self.path.join("."), rows);
    }
}

impl Weights {
    fn get(&self, path: &str) -> &Matrix {
        self.by_path.get(path).unwrap_or_else(|| panic!("{path} among {:?}", self.by_path.keys()))
    }

    fn linear(&self, path: &str, x: &Matrix) -> Matrix {
        let weight = self.get(&format!("{path}.weight"));
        let bias = self.by_path.get(&format!("{path}.bias"));
        let one = |row: &Vec<f64>| {
            let dot =
                |j: usize| row.iter().zip(weight).map(|(x, w)| x * w[j]).sum::<f64>() + bias.map_or(0.0, |b| b[0][j]);
            (0..weight[0].len()).map(dot).collect()
        };
        x.iter().map(one).collect()
    }

    fn norm(&self, path: &str, x: &Matrix) -> Matrix {
        let (gamma, beta) = (&self.get(&format!("{path}.gamma"))[0], &self.get(&format!("{path}.beta"))[0]);
        let one = |row: &Vec<f64>| {
            let mean = row.iter().sum::<f64>() / row.len() as f64;
            let variance = row.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / row.len() as f64;
            row.iter().enumerate().map(|(j, v)| (v - mean) / (variance + 1e-5).sqrt() * gamma[j] + beta[j]).collect()
        };
        x.iter().map(one).collect()
    }

    fn logits(&self, config: &ModelConfig, tokens: &[i32]) -> Matrix {
        let (tokens_table, positions) = (self.get("token_embedding"), self.get("position_embedding"));
        let mut x: Matrix =
            tokens.iter().enumerate().map(|(i, &t)| add(&tokens_table[t as usize], &positions[i])).collect();
        for layer in 0..config.n_layers {
            let at = |name: &str| format!("blocks.{layer}.{name}");
            let normed = self.norm(&at("attention_norm"), &x);
            let [q, k, v] = ["query", "key", "value"].map(|name| self.linear(&at(name), &normed));
            let width = config.d_model / config.n_heads;
            let mut context = vec![vec![0.0; config.d_model]; x.len()];
            for head in 0..config.n_heads {
                let columns = head * width..(head + 1) * width;
                for i in 0..x.len() {
                    let weights: Vec<f64> =
                        (0..=i).map(|j| columns.clone().map(|c| q[i][c] * k[j][c]).sum::<f64>().exp()).collect();
                    let total: f64 = weights.iter().sum();
                    for c in columns.clone() {
                        context[i][c] = weights.iter().enumerate().map(|(j, w)| w / total * v[j][c]).sum();
                    }
                }
            }
            x = add_rows(&x, &self.linear(&at("out"), &context));
            let hidden = self.linear(&at("up"), &self.norm(&at("mlp_norm"), &x));
            let hidden = hidden.into_iter().map(|row| row.into_iter().map(gelu_new).collect()).collect();
            x = add_rows(&x, &self.linear(&at("down"), &hidden));
        }
        let x = self.norm("final_norm", &x);
        x.iter()
            .map(|row| tokens_table.iter().map(|token| row.iter().zip(token).map(|(a, b)| a * b).sum()).collect())
            .collect()
    }
}

fn add(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

fn add_rows(a: &Matrix, b: &Matrix) -> Matrix {
    a.iter().zip(b).map(|(a, b)| add(a, b)).collect()
}

fn gelu_new(x: f64) -> f64 {
    0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh())
}

#[test]
fn logits_equal_gpt_neo_written_out() {
    let config = ModelConfig {
        n_positions: 16,
        d_model: 16,
        n_layers: 2,
        n_heads: 2,
        d_mlp: 32,
        points: None,
        activation: Activation::GeluNew,
        ..ModelConfig::micro(12)
    };
    let device = DeviceKind::Cpu.open().unwrap();
    let model = Model::new(&config, 9, &device).unwrap().map(&mut Enlarge);
    let mut weights = Weights::default();
    model.visit(&mut weights);
    let tokens = vec![3, 11, 0, 7, 7, 2, 5, 9, 1];
    let n = tokens.len();
    let expected = weights.logits(&config, &tokens);
    let batch = TrainBatch {
        rows: 1,
        length: n,
        tokens,
        positions: (0..n as i32).collect(),
        features: vec![],
        marks: vec![],
        segments: vec![0; n],
        individuals: vec![],
        labels: vec![IGNORE; n],
        weights: vec![0.0; n],
        points: None,
    };
    // The fused and the differentiable attention are different code.
    for model in [model.clone().train(), model.valid()] {
        let logits: Vec<f32> = model.forward(&batch).unwrap().try_into_vec_as().unwrap();
        for (fast, slow) in logits.iter().zip(expected.iter().flatten()) {
            assert!((f64::from(*fast) - slow).abs() < 2e-5 * slow.abs().max(1.0), "{fast} {slow}");
        }
    }
}

/// Enlarges the weights: fresh ones are so small that attention is nearly uniform.
struct Enlarge;

impl burn::module::ModuleMapper for Enlarge {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|weight| weight * 8.0 + 0.05)
    }
}
