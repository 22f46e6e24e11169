//! The student: an MLP from observations to thrusts, `[B, 100] → [B, 4]`.

use std::fs;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use burn::module::{Module, Param, ParamId};
use burn::optim::{AdamWConfig, GradientsParams};
use burn::store::ModuleRecord;
use burn::tensor::{Bytes, Device, Tensor, TensorData, activation};
use serde::{Deserialize, Serialize};
use sr_engine::random::{Key, Purpose};

use super::world::{ACTION, OBSERVATION};
use crate::tasks::Unusable;

const WEIGHTS: &str = "student.bpk";
const CONFIG: &str = "config.json";

#[derive(Module, Debug)]
struct Layer {
    weight: Param<Tensor<2>>,
    bias: Param<Tensor<1>>,
}

/// Two hidden layers with ReLU.
#[derive(Module, Debug)]
pub(super) struct Student {
    first: Layer,
    second: Layer,
    last: Layer,
}

#[derive(Debug, Serialize, Deserialize)]
struct Config {
    hidden: usize,
}

impl Layer {
    /// He et al. (2015), for layers of ReLU; parameters have the fixed ids 2n + 1 and 2n + 2.
    fn new(n: u32, shape: [usize; 2], scale: f64, seed: u64, device: &Device) -> Self {
        let mut rng = Key::new(seed, Purpose::Training, 0).slot(n).rng();
        let deviation = scale * (2.0 / shape[0] as f64).sqrt();
        let values: Vec<f32> = (0..shape[0] * shape[1]).map(|_| (deviation * rng.normal()) as f32).collect();
        let mut weight = Param::from_tensor(Tensor::from_data(TensorData::new(values, shape), device));
        weight.id = ParamId::from(u64::from(2 * n + 1));
        let zeros = TensorData::new(vec![0.0_f32; shape[1]], [shape[1]]);
        let mut bias = Param::from_tensor(Tensor::from_data(zeros, device));
        bias.id = ParamId::from(u64::from(2 * n + 2));
        Layer { weight, bias }
    }

    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        x.matmul(self.weight.val()) + self.bias.val().unsqueeze()
    }
}

impl Student {
    /// A student that knows nothing: it begins with thrusts near one half.
    pub(super) fn new(hidden: usize, seed: u64, device: &Device) -> Self {
        Student {
            first: Layer::new(0, [OBSERVATION, hidden], 1.0, seed, device),
            second: Layer::new(1, [hidden, hidden], 1.0, seed, device),
            last: Layer::new(2, [hidden, ACTION], 0.1, seed, device),
        }
    }

    /// Thrusts less one half, doubled, `[B, 4]`.
    fn forward(&self, observations: Tensor<2>) -> Tensor<2> {
        let x = activation::relu(self.first.forward(observations));
        self.last.forward(activation::relu(self.second.forward(x)))
    }

    /// What it does on each of the observations, one after the other.
    pub(super) fn act(&self, observations: Vec<f32>) -> anyhow::Result<Vec<[f32; ACTION]>> {
        let device = self.first.weight.val().device();
        let n = observations.len() / OBSERVATION;
        let out = self.forward(Tensor::from_data(TensorData::new(observations, [n, OBSERVATION]), &device));
        let values = out.try_into_vec_as::<f32>().map_err(|error| anyhow::anyhow!("{error:?}"))?;
        Ok(values.as_chunks().0.iter().map(|action: &[f32; ACTION]| action.map(|value| 0.5 + value / 2.0)).collect())
    }

    /// Fits the student to batches of observations and actions by their squared error; AdamW (Loshchilov & Hutter, 2019),
    /// the rate falling to 0 by the same amount each of the `n_batches` updates. Gives the mean loss of the last quarter.
    ///
    /// # Errors
    /// If a loss is no number, or of a batch.
    pub(super) fn train(
        mut self,
        batches: impl Iterator<Item = anyhow::Result<(Vec<f32>, Vec<f32>)>>,
        n_batches: usize,
        learning_rate: f64,
    ) -> anyhow::Result<(Self, f64)> {
        let device = self.first.weight.val().device();
        let mut optimiser = AdamWConfig::new().with_epsilon(1e-8).with_weight_decay(1e-4).init();
        let mut losses = Vec::new();
        for (update, batch) in batches.enumerate() {
            let (observations, actions) = batch?;
            let n = observations.len() / OBSERVATION;
            let inputs = Tensor::<2>::from_data(TensorData::new(observations, [n, OBSERVATION]), &device);
            let actions: Vec<f32> = actions.into_iter().map(|thrust| 2.0 * thrust - 1.0).collect();
            let wanted = Tensor::<2>::from_data(TensorData::new(actions, [n, ACTION]), &device);
            let loss = (self.forward(inputs) - wanted).square().mean();
            let value = f64::from(loss.clone().into_scalar::<f32>());
            ensure!(
                value.is_finite(),
                Unusable(format!(
                    "the loss of update {update} is {value}; a lower --learning-rate may help, in another folder"
                ))
            );
            if 4 * (update + 1) > 3 * n_batches {
                losses.push(value);
            }
            let gradients = GradientsParams::from_grads(loss.backward(), &self);
            let rate = learning_rate * (1.0 - update as f64 / n_batches as f64);
            self = optimiser.step(rate, self, gradients);
        }
        Ok((self, losses.iter().sum::<f64>() / losses.len().max(1) as f64))
    }

    /// Fails where a folder holds no student, and says what it is.
    pub(super) fn check_kind(folder: &Path) -> anyhow::Result<()> {
        if folder.join(WEIGHTS).exists() {
            return Ok(());
        }
        let told = format!("--checkpoint {}", folder.display());
        ensure!(
            !folder.join("model.bpk").exists(),
            "{told}: this is a model that writes formulas, for --task search; point control has students"
        );
        let found = ["best", "final", "checkpoint"].map(|name| folder.join(name));
        let found = found.iter().filter(|path| path.join(WEIGHTS).exists()).map(|path| path.display().to_string());
        let found = found.collect::<Vec<_>>().join(" and ");
        ensure!(found.is_empty(), "{told}: this is no student but a folder of some, such as {found}");
        ensure!(
            !folder.join("models").is_dir(),
            "{told}: this is the folder of a run; its students are in {}/models/ID/best and final",
            folder.display()
        );
        bail!("{told}: there is no student; one is a folder such as models/ID/final")
    }

    /// Its width.
    pub(super) fn hidden(&self) -> usize {
        self.first.weight.val().dims()[1]
    }

    /// Writes it into a folder.
    pub(super) fn save(&self, folder: &Path) -> anyhow::Result<()> {
        let hidden = self.hidden();
        let weights = self.clone().into_record().into_bytes().map_err(|error| anyhow::anyhow!("{error}"))?;
        fs::write(folder.join(WEIGHTS), &weights[..])?;
        fs::write(folder.join(CONFIG), serde_json::to_string_pretty(&Config { hidden })? + "\n")?;
        Ok(())
    }

    /// Reads it from a folder.
    pub(super) fn load(folder: &Path, device: &Device) -> anyhow::Result<Self> {
        let read = || -> anyhow::Result<Self> {
            let config: Config = serde_json::from_str(&fs::read_to_string(folder.join(CONFIG))?)?;
            let frame = Student::new(config.hidden, 0, device);
            let bytes = Bytes::from_bytes_vec(fs::read(folder.join(WEIGHTS))?);
            let record = ModuleRecord::from_bytes(bytes).and_then(|record| frame.try_load_record(record));
            record.map_err(|error| anyhow::anyhow!("{error}"))
        };
        read().with_context(|| format!("loading the checkpoint {}", folder.display()))
    }
}
