//! A multilayer perceptron that imitates actions: from observations to thrusts from 0 to 1, `[B, O] → [B, A]`.

use std::fs;
use std::path::Path;

use burn::module::{Module, Param, ParamId};
use burn::optim::{AdamWConfig, GradientsParams};
use burn::store::ModuleRecord;
use burn::tensor::{Bytes, Device, Tensor, TensorData, activation};
use serde::{Deserialize, Serialize};
use sr_engine::random::{Key, Purpose};

use sr_model::DeviceKind;

use crate::Error;

/// File of the weights, as point control calls it.
const WEIGHTS: &str = "student.bpk";
const CONFIG: &str = "config.json";

#[derive(Module, Debug)]
struct Layer {
    weight: Param<Tensor<2>>,
    bias: Param<Tensor<1>>,
}

/// A multilayer perceptron with two hidden layers of equal width and ReLU.
#[derive(Module, Debug)]
pub struct Mlp {
    first: Layer,
    second: Layer,
    last: Layer,
}

#[derive(Debug, Serialize, Deserialize)]
struct Config {
    hidden: usize,
}

impl Layer {
    /// Returns a layer initialised as in He et al. (2015), for ReLU; parameters have the fixed ids 2n + 1 and 2n + 2.
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

impl Mlp {
    /// The name of the file with the weights.
    pub const WEIGHTS: &'static str = WEIGHTS;

    /// Returns a new model for training; its first thrusts are near one half.
    ///
    /// # Errors
    /// If there is no such device.
    pub fn new([inputs, hidden, outputs]: [usize; 3], seed: u64, device: DeviceKind) -> Result<Self, Error> {
        Ok(Self::frame([inputs, hidden, outputs], seed, &device.open()?.autodiff()))
    }

    fn frame([inputs, hidden, outputs]: [usize; 3], seed: u64, device: &Device) -> Self {
        Mlp {
            first: Layer::new(0, [inputs, hidden], 1.0, seed, device),
            second: Layer::new(1, [hidden, hidden], 1.0, seed, device),
            last: Layer::new(2, [hidden, outputs], 0.1, seed, device),
        }
    }

    /// Loads a model with these numbers of inputs and outputs from a folder, for [`act`](Self::act).
    ///
    /// # Errors
    /// If there is no such device or file, or the file has another shape.
    pub fn load(folder: &Path, shape: [usize; 2], device: DeviceKind) -> Result<Self, Error> {
        Self::read(folder, shape, &device.open()?)
    }

    /// Loads a model as [`load_examples`](Self::load) does, for [`train`](Self::train).
    ///
    /// # Errors
    /// Those of [`load_examples`](Self::load).
    pub fn load_to_train(folder: &Path, shape: [usize; 2], device: DeviceKind) -> Result<Self, Error> {
        Self::read(folder, shape, &device.open()?.autodiff())
    }

    fn read(folder: &Path, [inputs, outputs]: [usize; 2], device: &Device) -> Result<Self, Error> {
        let corrupt = |path: &Path, reason: String| Error::Corrupt { path: path.to_owned(), reason };
        let path = folder.join(CONFIG);
        let text = fs::read_to_string(&path).map_err(Error::io(&path))?;
        let config: Config = serde_json::from_str(&text).map_err(|error| corrupt(&path, error.to_string()))?;
        let weights = folder.join(WEIGHTS);
        let bytes = Bytes::from_bytes_vec(fs::read(&weights).map_err(Error::io(&weights))?);
        // What the configuration claims takes no memory before the weights are there.
        if config.hidden == 0 || config.hidden.saturating_mul(config.hidden) > bytes.len() {
            let (hidden, bytes) = (config.hidden, bytes.len());
            return Err(corrupt(&path, format!("hidden is {hidden}, which {WEIGHTS} of {bytes} bytes does not hold")));
        }
        let frame = Self::frame([inputs, config.hidden, outputs], 0, device);
        let path = weights;
        let record = ModuleRecord::from_bytes(bytes).and_then(|record| frame.try_load_record(record));
        record.map_err(|error| corrupt(&path, error.to_string()))
    }

    /// Writes the model to a folder.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn save(&self, folder: &Path) -> Result<(), Error> {
        let write = |name: &str, bytes: &[u8]| {
            let path = folder.join(name);
            fs::write(&path, bytes).map_err(Error::io(path))
        };
        let weights = self.clone().into_record().into_bytes();
        let path = folder.join(WEIGHTS);
        let weights = weights.map_err(|error| Error::Corrupt { path, reason: error.to_string() })?;
        write(WEIGHTS, &weights)?;
        let config = Config { hidden: self.hidden() };
        write(CONFIG, (serde_json::to_string_pretty(&config).expect("plain data") + "\n").as_bytes())
    }

    /// Returns the width of the hidden layers.
    pub fn hidden(&self) -> usize {
        self.first.weight.val().dims()[1]
    }

    fn inputs(&self) -> usize {
        self.first.weight.val().dims()[0]
    }

    fn outputs(&self) -> usize {
        self.last.weight.val().dims()[1]
    }

    /// Returns the thrusts minus one half, doubled, `[B, A]`.
    fn forward(&self, observations: Tensor<2>) -> Tensor<2> {
        let x = activation::relu(self.first.forward(observations));
        self.last.forward(activation::relu(self.second.forward(x)))
    }

    /// Returns the thrusts for each observation: `[B · O]` numbers in, `[B · A]` out.
    ///
    /// # Errors
    /// If the device fails.
    pub fn act(&self, observations: Vec<f32>) -> Result<Vec<f32>, Error> {
        let device = self.first.weight.val().device();
        let shape = [observations.len() / self.inputs(), self.inputs()];
        let out = self.forward(Tensor::from_data(TensorData::new(observations, shape), &device));
        let values = out.try_into_vec_as::<f32>().map_err(|error| sr_model::Error::Read(format!("{error:?}")))?;
        Ok(values.into_iter().map(|value| 0.5 + value / 2.0).collect())
    }

    /// Trains the model on batches of observations and actions by their squared error, with AdamW (Loshchilov & Hutter,
    /// 2019). The learning rate falls linearly to 0 over the `n_batches` updates. Returns the model for
    /// [`act`](Self::act), and the mean loss of the last quarter.
    ///
    /// # Errors
    /// [`Error::Update`] if a loss is not finite, or the error of a batch.
    pub fn train<E: From<Error>>(
        mut self,
        batches: impl Iterator<Item = Result<(Vec<f32>, Vec<f32>), E>>,
        n_batches: usize,
        learning_rate: f64,
    ) -> Result<(Self, f64), E> {
        let device = self.first.weight.val().device();
        let (inputs, outputs) = (self.inputs(), self.outputs());
        let mut optimiser = AdamWConfig::new().with_epsilon(1e-8).with_weight_decay(1e-4).init();
        let mut losses = Vec::new();
        for (update, batch) in batches.enumerate() {
            let (observations, actions) = batch?;
            let n = observations.len() / inputs;
            let observed = Tensor::<2>::from_data(TensorData::new(observations, [n, inputs]), &device);
            let actions: Vec<f32> = actions.into_iter().map(|thrust| 2.0 * thrust - 1.0).collect();
            let wanted = Tensor::<2>::from_data(TensorData::new(actions, [n, outputs]), &device);
            let loss = (self.forward(observed) - wanted).square().mean();
            let value = f64::from(loss.clone().into_scalar::<f32>());
            if !value.is_finite() {
                return Err(Error::Update { update, loss: value }.into());
            }
            if 4 * (update + 1) > 3 * n_batches {
                losses.push(value);
            }
            let gradients = GradientsParams::from_grads(loss.backward(), &self);
            let rate = learning_rate * (1.0 - update as f64 / n_batches as f64);
            self = optimiser.step(rate, self, gradients);
        }
        Ok((self.valid(), losses.iter().sum::<f64>() / losses.len().max(1) as f64))
    }
}
