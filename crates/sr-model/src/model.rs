//! The decoder: weights, forward pass and loss.

use burn::{
    module::{Module, ModuleMapper, Param},
    tensor::{
        Device, FloatDType, Int, Tensor, TensorData, activation,
        module::{attention, layer_norm},
        ops::AttentionModuleOptions,
    },
};
use serde::{Deserialize, Serialize};

use crate::{
    Activation, Error, ModelConfig, PointBatch, TrainBatch,
    device::is_gpu,
    init::Initialiser,
    points::PointEmbedder,
    visibility::{Bias, Visibility},
};

/// A GPT-Neo-style causal decoder with an optional prefix of embedded points.
///
/// It has learned token positions, pre-LayerNorm blocks with global or local attention, query/key/value projections
/// without bias, and an output head tied to the token embedding. To train it, create it on an autodiff device
/// ([`Device::autodiff`]); [`Module::valid`] returns the copy for decoding.
#[derive(Module, Debug)]
pub struct Model {
    token_embedding: Param<Tensor<2>>,
    position_embedding: Param<Tensor<2>>,
    feature_embedding: Option<Param<Tensor<2>>>,
    mark_embedding: Option<Param<Tensor<2>>>,
    point_embedder: Option<PointEmbedder>,
    blocks: Vec<Block>,
    final_norm: Norm,
    #[module(skip)]
    config: ModelConfig,
    #[module(skip)]
    precision: Precision,
    #[module(skip)]
    is_for_gpu: bool,
}

/// The number format of matrix products. Weights, gradients, norms and loss are always f32, and so is the softmax of
/// inference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Single precision (on CUDA the tensor cores may use TF32).
    #[default]
    F32,
    /// bfloat16 operands: twice as fast on recent GPUs, and slower than f32 on a CPU.
    Bf16,
}

/// The result of [`Model::loss`].
#[derive(Debug, Clone)]
pub struct Loss {
    /// Weighted mean negative log-likelihood in nats, `[1]`, ready for `backward()`.
    pub value: Tensor<1>,
    /// The number of labels in the mean.
    pub tokens: usize,
    /// The sum of their weights, for averaging over batches.
    pub weight: f64,
}

impl Model {
    /// Returns a new model. Weights are normal with standard deviation 0.02, or 1/√inputs for the matrices of a `set`
    /// embedder; biases are 0. Equal seeds give equal bytes.
    ///
    /// # Errors
    /// [`Error::Config`], as for [`ModelConfig::validate`].
    pub fn new(config: &ModelConfig, seed: u64, device: &Device) -> Result<Self, Error> {
        Self::build(config, &mut Initialiser::seeded(seed, device))
    }

    pub(crate) fn frame(config: &ModelConfig, device: &Device) -> Result<Self, Error> {
        Self::build(config, &mut Initialiser::frame(device))
    }

    fn build(config: &ModelConfig, init: &mut Initialiser<'_>) -> Result<Self, Error> {
        config.validate()?;
        let c = config.d_model;
        Ok(Self {
            token_embedding: init.normal([config.vocab_size, c]),
            position_embedding: init.normal([config.n_positions, c]),
            feature_embedding: (config.n_features > 0).then(|| init.normal([config.n_features, c])),
            mark_embedding: (config.n_marks > 0).then(|| init.normal([config.n_marks, c])),
            point_embedder: config.points.as_ref().map(|points| PointEmbedder::new(init, config, points)),
            blocks: (0..config.n_layers).map(|_| Block::new(init, config)).collect(),
            final_norm: Norm::new(init, config),
            config: config.clone(),
            precision: Precision::F32,
            is_for_gpu: is_gpu(init.device),
        })
    }

    /// Returns the model with another number format for matrix products.
    #[must_use]
    pub fn with_precision(mut self, precision: Precision) -> Self {
        self.precision = precision;
        self
    }

    /// Returns whether the model uses the equivalent operations that are faster on a GPU.
    pub(crate) fn is_for_gpu(&self) -> bool {
        self.is_for_gpu
    }

    /// Returns whether its weights are on a device with memory of its own, apart from the host.
    pub fn is_on_gpu(&self) -> bool {
        is_gpu(&self.device())
    }

    /// Returns the model with the operations for a GPU, to check them on a CPU.
    #[cfg(test)]
    pub(crate) fn with_gpu_ways(self) -> Self {
        Self { is_for_gpu: true, ..self }
    }

    /// Returns the shape of the model.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Returns the device of its weights.
    pub fn device(&self) -> Device {
        self.token_embedding.val().device()
    }

    /// Returns the weighted cross-entropy of the batch's labels, and their number. The output head runs on labelled
    /// positions only.
    ///
    /// # Errors
    /// [`Error::Input`] if the batch does not fit the model or has no label of positive weight.
    pub fn loss(&self, batch: &TrainBatch) -> Result<Loss, Error> {
        batch.check(&self.config)?;
        let labelled: Vec<usize> =
            (0..batch.labels.len()).filter(|&i| batch.labels[i] >= 0 && batch.weights[i] > 0.0).collect();
        let n = labelled.len();
        let weight: f64 = labelled.iter().map(|&i| f64::from(batch.weights[i])).sum();
        if n == 0 {
            return Err(Error::Input("a batch without labels".to_owned()));
        }
        let device = self.device();
        // On a GPU the head runs on all positions, for the reason given at `lookup`.
        let at: Vec<usize> = if self.is_for_gpu { (0..batch.labels.len()).collect() } else { labelled };
        let labels = ints(at.iter().map(|&i| batch.labels[i].max(0)).collect(), &device);
        let share = |&i: &usize| if batch.labels[i] < 0 { 0.0 } else { f64::from(batch.weights[i]).max(0.0) / weight };
        let weights: Vec<f32> = at.iter().map(|i| share(i) as f32).collect();
        let weights = Tensor::<1>::from_data(TensorData::new(weights, [at.len()]), &device);

        let hidden = self.hidden(batch);
        let head = self.token_embedding.val().transpose();
        let logits = if self.is_for_gpu {
            self.product(hidden, head.unsqueeze()).flatten::<2>(0, 1)
        } else {
            let at = ints(at.iter().map(|&i| i as i32).collect(), &device);
            self.product(hidden.flatten::<2>(0, 1).select(0, at), head)
        };
        let log_likelihood = activation::log_softmax(logits, 1).gather(1, labels.unsqueeze_dim(1)).squeeze_dim(1);
        Ok(Loss { value: (log_likelihood * weights).sum().neg(), tokens: n, weight })
    }

    /// Returns the logits of every token position, `[B, T, vocab_size]`.
    ///
    /// # Errors
    /// [`Error::Input`] if the batch does not fit the model.
    pub fn forward(&self, batch: &TrainBatch) -> Result<Tensor<3>, Error> {
        batch.check(&self.config)?;
        Ok(self.product(self.hidden(batch), self.token_embedding.val().transpose().unsqueeze()))
    }

    /// Returns the residual stream after the last norm at the token positions, `[B, T, C]`.
    fn hidden(&self, batch: &TrainBatch) -> Tensor<3> {
        let shape = [batch.rows, batch.length];
        let tokens = self.embed_tokens(batch.tokens.clone(), batch.positions.clone(), batch.features.clone(), shape);
        let tokens = self.with_marks(tokens, &batch.marks);
        let (mut x, bias) =
            self.with_prefix(tokens, batch.points.as_ref(), &batch.positions, &batch.segments, &batch.individuals);
        for (layer, block) in self.blocks.iter().enumerate() {
            let (q, k, v) = block.heads(self, x.clone());
            let context = self.attend(q, k, v, bias.of(self.config.attention(layer)));
            x = block.finish(self, x, context);
        }
        let prefix = x.dims()[1] - batch.length;
        self.final_norm.forward(self, x.narrow(1, prefix, batch.length))
    }

    /// Embeds `B·T` ids and positions to `[B, T, C]`.
    pub(crate) fn embed_tokens(
        &self,
        tokens: Vec<i32>,
        positions: Vec<i32>,
        mut features: Vec<i32>,
        [rows, length]: [usize; 2],
    ) -> Tensor<3> {
        let device = self.device();
        features.resize(tokens.len(), 0);
        let ids = |ids: Vec<i32>| Tensor::<2, Int>::from_data(TensorData::new(ids, [rows, length]), &device);
        let mut sum =
            self.lookup(&self.token_embedding, ids(tokens)) + self.lookup(&self.position_embedding, ids(positions));
        if let Some(embedding) = &self.feature_embedding {
            sum = sum + self.lookup(embedding, ids(features));
        }
        sum
    }

    /// Adds the embeddings of the marks `[B, T, marks]` to embedded tokens `[B, T, C]`.
    pub(crate) fn with_marks(&self, mut tokens: Tensor<3>, marks: &[i32]) -> Tensor<3> {
        let Some(embedding) = &self.mark_embedding else { return tokens };
        let ([rows, length, c], device) = (tokens.dims(), self.device());
        let each = marks.len() / (rows * length);
        for index in 0..each {
            let ids = marks.iter().skip(index).step_by(each);
            let is_set: Vec<f32> = ids.clone().map(|&id| if id > 0 { 1.0 } else { 0.0 }).collect();
            let is_set = Tensor::<3>::from_data(TensorData::new(is_set, [rows, length, 1]), &device);
            let ids: Vec<i32> = ids.map(|&id| (id - 1).max(0)).collect();
            let ids = Tensor::<2, Int>::from_data(TensorData::new(ids, [rows, length]), &device);
            tokens = tokens + self.lookup(embedding, ids) * is_set.expand([rows, length, c]);
        }
        tokens
    }

    /// Returns the rows of a table, one per id: `[B, T] → [B, T, C]`.
    ///
    /// In training on a GPU this is a product with ones and zeros: the framework's gradient of a selection loops over
    /// all ids with one thread per column, which takes longer than the rest of the pass.
    fn lookup(&self, table: &Param<Tensor<2>>, ids: Tensor<2, Int>) -> Tensor<3> {
        let table = table.val();
        let ([rows, length], [n, c]) = (ids.dims(), table.dims());
        if !(self.is_for_gpu && table.is_autodiff()) {
            return table.select(0, ids.flatten(0, 1)).reshape([rows, length, c]);
        }
        let columns = Tensor::<1, Int>::arange(0..n as i64, &ids.device()).reshape([1, 1, n]).expand([rows, length, n]);
        let ones = ids.unsqueeze_dim::<3>(2).expand([rows, length, n]).equal(columns).float();
        self.product(ones, table.unsqueeze())
    }

    /// Returns a vector `[C]` for each position of `rows` rows, `[B or 1, 1, C]`.
    ///
    /// In training on a GPU each row gets a copy. The framework's gradient of a vector repeated over all positions
    /// loops over them with one thread per column; with copies it has one thread per row and column.
    fn for_rows(&self, vector: &Param<Tensor<1>>, rows: usize) -> Tensor<3> {
        let vector = vector.val().unsqueeze::<3>();
        if self.is_for_gpu && vector.is_autodiff() {
            let [_, _, c] = vector.dims();
            return vector.expand([rows, 1, c]);
        }
        vector
    }

    /// Puts embedded points before embedded tokens; returns `[B, L, C]` and the biases `[B, 1, L, L]`.
    pub(crate) fn with_prefix(
        &self,
        tokens: Tensor<3>,
        points: Option<&PointBatch>,
        positions: &[i32],
        segments: &[i32],
        individuals: &[i32],
    ) -> (Tensor<3>, Bias) {
        let device = self.device();
        let [rows, length, _] = tokens.dims();
        let prefix = self.prefix(points);
        let prefix_attention = self.config.prefix_attention;
        let visibility = Visibility { rows, points: &prefix, segments, individuals, positions, prefix_attention };
        let l = length + prefix.len() / rows;
        let bias = |window| match self.is_for_gpu {
            true => visibility.bias_on(window, &device),
            false => Tensor::from_data(TensorData::new(visibility.bias(window), [rows, 1, l, l]), &device),
        };
        let bias = Bias { global: bias(None), local: self.config.local_window().map(|window| bias(Some(window))) };
        let x = match self.point_embedder.as_ref().zip(points) {
            Some((embedder, points)) => Tensor::cat(vec![embedder.forward(self, points), tokens], 1),
            None => tokens,
        };
        (x, bias)
    }

    /// Returns `[B, P]`, true for the prefix positions that tokens may see; empty without points.
    pub(crate) fn prefix(&self, points: Option<&PointBatch>) -> Vec<bool> {
        self.config.points.as_ref().zip(points).map_or(Vec::new(), |(config, points)| points.prefix(config))
    }

    /// Computes the attention of queries `[B, H, Q, D]` over keys and values `[B, H, K, D]` with bias `[B, 1, Q, K]`.
    ///
    /// Inference on a CPU uses the fused operation; in this burn it has no fused backward pass, and with a bias nothing
    /// is fused on a GPU. Otherwise the division by the softmax's sum comes after the product with the values, where
    /// there is less to divide, which saves two passes over the scores in each direction.
    pub(crate) fn attend(&self, q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, bias: Tensor<4>) -> Tensor<4> {
        let scale = self.config.attention_scale.unwrap_or(1.0);
        if q.is_autodiff() || self.is_for_gpu {
            let q = if scale == 1.0 { q } else { q * scale };
            // Scores are the largest tensors of a pass. They stay narrow between the two products, which round them
            // anyway.
            let scores = self.narrow(q).matmul(self.narrow(k).transpose()) + self.narrow(bias);
            let highest = scores.clone().detach().max_dim(3);
            let weights = (scores - highest).exp();
            let total = self.widen(weights.clone().sum_dim(3));
            return self.widen(weights.matmul(self.narrow(v))) / total;
        }
        let options = AttentionModuleOptions { scale: Some(scale), softcap: None, is_causal: false };
        let bias = Some(self.narrow(bias));
        self.widen(attention(self.narrow(q), self.narrow(k), self.narrow(v), None, bias, options))
    }

    /// Multiplies matrices in the model's precision; f32 in, f32 out.
    pub(crate) fn product<const D: usize>(&self, a: Tensor<D>, b: Tensor<D>) -> Tensor<D> {
        match self.precision {
            Precision::F32 => a.matmul(b),
            Precision::Bf16 => self.widen(self.narrow(a).matmul(self.narrow(b))),
        }
    }

    /// Converts to the precision of operands of matrix products.
    pub(crate) fn narrow<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        match self.precision {
            Precision::F32 => x,
            Precision::Bf16 => x.cast(FloatDType::BF16),
        }
    }

    /// Returns the model with narrow matrices, for inference.
    pub(crate) fn narrowed(self) -> Self {
        match self.precision {
            Precision::F32 => self,
            Precision::Bf16 => self.map(&mut Narrow::default()),
        }
    }

    fn widen<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        match self.precision {
            Precision::F32 => x,
            Precision::Bf16 => x.cast(FloatDType::F32),
        }
    }

    pub(crate) fn precision(&self) -> Precision {
        self.precision
    }

    pub(crate) fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    pub(crate) fn final_norm(&self, x: Tensor<3>) -> Tensor<3> {
        self.final_norm.forward(self, x)
    }

    /// Returns the output head as a contiguous `[C, vocab_size]` matrix.
    pub(crate) fn head(&self) -> Tensor<2> {
        let embedding = self.token_embedding.val().without_autodiff();
        let device = embedding.device();
        Tensor::from_data(embedding.transpose().into_data(), &device)
    }
}

/// Converts the matrices of [`Projection`]s to bf16.
#[derive(Default)]
struct Narrow {
    path: Vec<String>,
}

impl ModuleMapper for Narrow {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        match self.path.last().map(String::as_str) {
            Some("weight") => param.map(|weight| weight.cast(FloatDType::BF16)),
            _ => param,
        }
    }
}

/// A matrix `[in, out]` and an optional bias `[out]`.
#[derive(Module, Debug)]
pub(crate) struct Projection {
    weight: Param<Tensor<2>>,
    bias: Option<Param<Tensor<1>>>,
}

impl Projection {
    pub(crate) fn new(init: &mut Initialiser<'_>, inputs: usize, outputs: usize, bias: bool) -> Self {
        Self { weight: init.normal([inputs, outputs]), bias: bias.then(|| init.constant(0.0, outputs)) }
    }

    /// Multiplies `[B, T, in] → [B, T, out]`.
    ///
    /// Training multiplies all rows at once, except on a GPU, where the gradient of a large sum of products of long
    /// vectors would keep only a few processors busy. Inference multiplies row by row of the batch, so that on a CPU
    /// each row's result comes from the same kernel call whatever else is in the batch.
    pub(crate) fn forward(&self, model: &Model, x: Tensor<3>) -> Tensor<3> {
        let weight = self.weight.val();
        let [rows, length, inputs] = x.dims();
        let y = if weight.is_autodiff() && !model.is_for_gpu {
            let outputs = weight.dims()[1];
            model.product(x.reshape([rows * length, inputs]), weight).reshape([rows, length, outputs])
        } else {
            model.product(x, weight.unsqueeze())
        };
        match &self.bias {
            Some(bias) => y + model.for_rows(bias, rows),
            None => y,
        }
    }
}

#[derive(Module, Debug)]
pub(crate) struct Norm {
    gamma: Param<Tensor<1>>,
    beta: Param<Tensor<1>>,
    #[module(skip)]
    epsilon: f64,
}

impl Norm {
    pub(crate) fn new(init: &mut Initialiser<'_>, config: &ModelConfig) -> Self {
        Self {
            gamma: init.constant(1.0, config.d_model),
            beta: init.constant(0.0, config.d_model),
            epsilon: config.layer_norm_eps,
        }
    }

    pub(crate) fn forward(&self, model: &Model, x: Tensor<3>) -> Tensor<3> {
        if !(model.is_for_gpu && x.is_autodiff()) {
            return layer_norm(x, self.gamma.val(), Some(self.beta.val()), self.epsilon);
        }
        let [rows, ..] = x.dims();
        let centred = x.clone() - x.mean_dim(2);
        let deviation = (centred.clone().square().mean_dim(2) + self.epsilon).sqrt();
        centred / deviation * model.for_rows(&self.gamma, rows) + model.for_rows(&self.beta, rows)
    }
}

/// One pre-LayerNorm block: attention, then a two-layer MLP, each added to the residual stream.
#[derive(Module, Debug)]
pub(crate) struct Block {
    attention_norm: Norm,
    query: Projection,
    key: Projection,
    value: Projection,
    out: Projection,
    mlp_norm: Norm,
    up: Projection,
    down: Projection,
}

impl Block {
    pub(crate) fn new(init: &mut Initialiser<'_>, config: &ModelConfig) -> Self {
        let (c, m) = (config.d_model, config.d_mlp);
        Self {
            attention_norm: Norm::new(init, config),
            query: Projection::new(init, c, c, false),
            key: Projection::new(init, c, c, false),
            value: Projection::new(init, c, c, false),
            out: Projection::new(init, c, c, true),
            mlp_norm: Norm::new(init, config),
            up: Projection::new(init, c, m, true),
            down: Projection::new(init, m, c, true),
        }
    }

    /// Returns queries, keys and values of `[B, L, C]`, each `[B, H, L, C/H]`.
    pub(crate) fn heads(&self, model: &Model, x: Tensor<3>) -> (Tensor<4>, Tensor<4>, Tensor<4>) {
        let x = self.attention_norm.forward(model, x);
        let part = |projection: &Projection| split(model, projection.forward(model, x.clone()));
        (part(&self.query), part(&self.key), part(&self.value))
    }

    /// Computes the block as cross-attention: `x` `[B, Q, C]` reads `from` `[B, N, C]`, which is normed already, with
    /// the bias `[B, 1, Q, N]`.
    pub(crate) fn read(&self, model: &Model, x: Tensor<3>, from: Tensor<3>, bias: Tensor<4>) -> Tensor<3> {
        let queries = split(model, self.query.forward(model, self.attention_norm.forward(model, x.clone())));
        let keys = split(model, self.key.forward(model, from.clone()));
        let values = split(model, self.value.forward(model, from));
        let context = model.attend(queries, keys, values, bias);
        self.finish(model, x, context)
    }

    /// Computes the rest of the block after attention: `x` `[B, L, C]`, `context` `[B, H, L, C/H]`.
    pub(crate) fn finish(&self, model: &Model, x: Tensor<3>, context: Tensor<4>) -> Tensor<3> {
        let shape = x.dims();
        let x = x + self.out.forward(model, context.swap_dims(1, 2).reshape(shape));
        let hidden = self.up.forward(model, self.mlp_norm.forward(model, x.clone()));
        let hidden = match model.config.activation {
            Activation::Gelu => activation::gelu(hidden),
            Activation::GeluNew => activation::gelu_approximate(hidden),
        };
        x + self.down.forward(model, hidden)
    }
}

/// Splits `[B, L, C]` into heads, `[B, H, L, C/H]`.
fn split(model: &Model, x: Tensor<3>) -> Tensor<4> {
    let [rows, length, c] = x.dims();
    let heads = model.config.n_heads;
    x.reshape([rows, length, heads, c / heads]).swap_dims(1, 2)
}

/// Returns token ids, positions or indices on the device, `[len]`.
fn ints(values: Vec<i32>, device: &Device) -> Tensor<1, Int> {
    let len = values.len();
    Tensor::from_data(TensorData::new(values, [len]), device)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DeviceKind, IGNORE, Points, PointsConfig};
    use burn::module::ModuleVisitor;

    struct Flat<'a>(&'a burn::tensor::Gradients, Vec<f32>);

    impl ModuleVisitor for Flat<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let gradient = param.val().grad(self.0).expect("a gradient");
            self.1.extend(gradient.try_into_vec_as::<f32>().expect("f32"));
        }
    }

    #[test]
    fn the_ways_of_a_gpu_give_the_same_loss_and_gradients() {
        let points = PointsConfig { n_variables: 1, hidden: 8, ..PointsConfig::learner(3) };
        let config = ModelConfig {
            n_features: 3,
            n_marks: 4,
            d_model: 16,
            n_layers: 2,
            n_heads: 2,
            d_mlp: 32,
            points: Some(points),
            ..ModelConfig::micro(24)
        };
        let points =
            Points { values: (0..2 * config.points.as_ref().unwrap().width()).map(|i| i as f32 / 7.0).collect() };
        let (rows, length) = (2, 9);
        let batch = TrainBatch {
            rows,
            length,
            tokens: (0..18).map(|i| (i * 7) % 24).collect(),
            positions: (0..18).map(|i| i % 9).collect(),
            features: (0..18).map(|i| i % 3).collect(),
            marks: (0..36).map(|i| i * 7 % 5).collect(),
            segments: [0, 0, 0, 1, 1, 2, 2, 2, -1].repeat(rows),
            individuals: vec![],
            labels: [IGNORE, IGNORE, IGNORE, 4, 7, 9, IGNORE, 3, IGNORE].repeat(rows),
            weights: [0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 3.0, 0.0].repeat(rows),
            points: Some(PointBatch::pack(&config, &[&points, &points]).unwrap()),
        };
        let found = |is_for_gpu: bool| {
            let device = DeviceKind::Cpu.open().unwrap().autodiff();
            let model = Model::new(&config, 1, &device).unwrap();
            let model = if is_for_gpu { model.with_gpu_ways() } else { model };
            let loss = model.loss(&batch).unwrap();
            let mut flat = Flat(&loss.value.backward(), vec![loss.value.into_scalar(), loss.weight as f32]);
            model.visit(&mut flat);
            flat.1
        };
        let (plain, gpu) = (found(false), found(true));
        let highest = plain[2..].iter().fold(0.0f32, |highest, gradient| highest.max(gradient.abs()));
        assert!(highest > 0.0 && plain.len() == gpu.len());
        assert!(plain.iter().zip(&gpu).all(|(a, b)| (a - b).abs() <= 1e-5 * highest.max(a.abs())));
    }
}
