//! The decoder: weights, forward pass and loss.

use burn::{
    module::{Module, Param},
    tensor::{
        Device, FloatDType, Int, Tensor, TensorData, activation,
        module::{attention, layer_norm},
        ops::AttentionModuleOptions,
    },
};
use serde::{Deserialize, Serialize};

use crate::{
    Activation, Error, ModelConfig, PointBatch, TrainBatch,
    init::Initialiser,
    mask::{Bias, Layout},
    points::PointEmbedder,
};

/// A GPT-Neo-style causal decoder with an optional prefix of embedded points.
///
/// Learned token positions, pre-LayerNorm blocks with global or local attention, query/key/value projections without bias, output head tied to the token
/// embedding. It trains where its weights live on an autodiff device ([`Device::autodiff`]); [`Module::valid`] gives the
/// copy to decode with.
#[derive(Module, Debug)]
pub struct Model {
    token_embedding: Param<Tensor<2>>,
    position_embedding: Param<Tensor<2>>,
    feature_embedding: Option<Param<Tensor<2>>>,
    point_embedder: Option<PointEmbedder>,
    blocks: Vec<Block>,
    final_norm: Norm,
    #[module(skip)]
    config: ModelConfig,
    #[module(skip)]
    precision: Precision,
}

/// Number format of matrix products. Weights, gradients, norms, softmax and loss are f32 either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Single precision (on CUDA the tensor cores may use TF32).
    #[default]
    F32,
    /// bfloat16 operands: twice as fast on recent GPUs, and slower than f32 on a CPU.
    Bf16,
}

/// Result of [`Model::loss`].
#[derive(Debug, Clone)]
pub struct Loss {
    /// Weighted mean negative log-likelihood in nats, `[1]`, ready for `backward()`.
    pub value: Tensor<1>,
    /// Number of labels it is the mean of.
    pub tokens: usize,
    /// Sum of their weights, for averaging over batches.
    pub weight: f64,
}

impl Model {
    /// A new model. Weights are normal with standard deviation 0.02, those of a `set` embedder's matrices with 1/√inputs;
    /// biases are 0. Equal seeds give equal bytes.
    ///
    /// # Errors
    /// [`Error::Config`] as [`ModelConfig::validate`].
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
            point_embedder: config.points.as_ref().map(|points| PointEmbedder::new(init, config, points)),
            blocks: (0..config.n_layers).map(|_| Block::new(init, config)).collect(),
            final_norm: Norm::new(init, config),
            config: config.clone(),
            precision: Precision::F32,
        })
    }

    /// The model with another number format for matrix products.
    #[must_use]
    pub fn with_precision(mut self, precision: Precision) -> Self {
        self.precision = precision;
        self
    }

    /// The shape it was built with.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Where its weights are.
    pub fn device(&self) -> Device {
        self.token_embedding.val().device()
    }

    /// Weighted cross-entropy of the batch's labels, and how many there are. The output head runs on labelled positions only.
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
        let at = ints(labelled.iter().map(|&i| i as i32).collect(), &device);
        let labels = ints(labelled.iter().map(|&i| batch.labels[i]).collect(), &device);
        let weights: Vec<f32> = labelled.iter().map(|&i| (f64::from(batch.weights[i]) / weight) as f32).collect();
        let weights = Tensor::<1>::from_data(TensorData::new(weights, [n]), &device);

        let hidden = self.hidden(batch).reshape([batch.rows * batch.length, self.config.d_model]).select(0, at);
        let logits = self.product(hidden, self.token_embedding.val().transpose());
        let log_likelihood = activation::log_softmax(logits, 1).gather(1, labels.unsqueeze_dim(1)).squeeze_dim(1);
        Ok(Loss { value: (log_likelihood * weights).sum().neg(), tokens: n, weight })
    }

    /// Logits of every token position, `[B, T, vocab_size]`.
    ///
    /// # Errors
    /// [`Error::Input`] if the batch does not fit the model.
    pub fn forward(&self, batch: &TrainBatch) -> Result<Tensor<3>, Error> {
        batch.check(&self.config)?;
        Ok(self.product(self.hidden(batch), self.token_embedding.val().transpose().unsqueeze()))
    }

    /// The residual stream after the last norm at the token positions, `[B, T, C]`.
    fn hidden(&self, batch: &TrainBatch) -> Tensor<3> {
        let shape = [batch.rows, batch.length];
        let tokens = self.embed_tokens(batch.tokens.clone(), batch.positions.clone(), batch.features.clone(), shape);
        let (mut x, bias) =
            self.with_prefix(tokens, batch.points.as_ref(), &batch.positions, &batch.segments, &batch.individuals);
        for (layer, block) in self.blocks.iter().enumerate() {
            let (q, k, v) = block.heads(self, x.clone());
            let context = self.attend(q, k, v, bias.of(self.config.attention(layer)));
            x = block.finish(self, x, context);
        }
        let prefix = x.dims()[1] - batch.length;
        self.final_norm.forward(x.narrow(1, prefix, batch.length))
    }

    /// `[B, T, C]` from `B·T` ids and positions.
    pub(crate) fn embed_tokens(
        &self,
        tokens: Vec<i32>,
        positions: Vec<i32>,
        mut features: Vec<i32>,
        [rows, length]: [usize; 2],
    ) -> Tensor<3> {
        let device = self.device();
        features.resize(tokens.len(), 0);
        let tokens = self.token_embedding.val().select(0, ints(tokens, &device));
        let positions = self.position_embedding.val().select(0, ints(positions, &device));
        let mut sum = tokens + positions;
        if let Some(embedding) = &self.feature_embedding {
            sum = sum + embedding.val().select(0, ints(features, &device));
        }
        sum.reshape([rows, length, self.config.d_model])
    }

    /// Puts embedded points before embedded tokens: `[B, L, C]` and the biases `[B, 1, L, L]`.
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
        let layout = Layout { rows, points: &prefix, segments, individuals, positions, prefix_attention };
        let l = length + prefix.len() / rows;
        let bias = |window| Tensor::from_data(TensorData::new(layout.bias(window), [rows, 1, l, l]), &device);
        let bias = Bias { global: bias(None), local: self.config.local_window().map(|window| bias(Some(window))) };
        let x = match self.point_embedder.as_ref().zip(points) {
            Some((embedder, points)) => Tensor::cat(vec![embedder.forward(self, points), tokens], 1),
            None => tokens,
        };
        (x, bias)
    }

    /// `[B, P]`, true for the prefix positions that tokens may see; empty without points.
    pub(crate) fn prefix(&self, points: Option<&PointBatch>) -> Vec<bool> {
        self.config.points.as_ref().zip(points).map_or(Vec::new(), |(config, points)| points.prefix(config))
    }

    /// Attention of queries `[B, H, Q, D]` over keys and values `[B, H, K, D]` with bias `[B, 1, Q, K]`.
    ///
    /// Inference uses the fused operation, which has no fused backward in this burn. Training divides by the softmax's sum
    /// after the product with the values, where there is less to divide: two passes over the scores less in each direction.
    pub(crate) fn attend(&self, q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, bias: Tensor<4>) -> Tensor<4> {
        let scale = self.config.attention_scale.unwrap_or(1.0);
        if q.is_autodiff() {
            let q = if scale == 1.0 { q } else { q * scale };
            let scores = self.product(q, k.transpose()) + bias;
            let highest = scores.clone().detach().max_dim(3);
            let weights = (scores - highest).exp();
            let total = weights.clone().sum_dim(3);
            return self.product(weights, v) / total;
        }
        let options = AttentionModuleOptions { scale: Some(scale), softcap: None, is_causal: false };
        let narrow = |x: Tensor<4>| match self.precision {
            Precision::F32 => x,
            Precision::Bf16 => x.cast(FloatDType::BF16),
        };
        let context = attention(narrow(q), narrow(k), narrow(v), None, Some(narrow(bias)), options);
        self.widen(context)
    }

    /// Matrix product in the model's precision; f32 in, f32 out.
    pub(crate) fn product<const D: usize>(&self, a: Tensor<D>, b: Tensor<D>) -> Tensor<D> {
        match self.precision {
            Precision::F32 => a.matmul(b),
            Precision::Bf16 => self.widen(a.cast(FloatDType::BF16).matmul(b.cast(FloatDType::BF16))),
        }
    }

    fn widen<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        match self.precision {
            Precision::F32 => x,
            Precision::Bf16 => x.cast(FloatDType::F32),
        }
    }

    pub(crate) fn point_embedder(&self) -> Option<&PointEmbedder> {
        self.point_embedder.as_ref()
    }

    pub(crate) fn precision(&self) -> Precision {
        self.precision
    }

    pub(crate) fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    pub(crate) fn final_norm(&self, x: Tensor<3>) -> Tensor<3> {
        self.final_norm.forward(x)
    }

    /// The output head as a contiguous `[C, vocab_size]` matrix.
    pub(crate) fn head(&self) -> Tensor<2> {
        let embedding = self.token_embedding.val().without_autodiff();
        let device = embedding.device();
        Tensor::from_data(embedding.transpose().into_data(), &device)
    }
}

/// A matrix `[in, out]` and perhaps a bias `[out]`.
#[derive(Module, Debug)]
pub(crate) struct Projection {
    weight: Param<Tensor<2>>,
    bias: Option<Param<Tensor<1>>>,
}

impl Projection {
    pub(crate) fn new(init: &mut Initialiser<'_>, inputs: usize, outputs: usize, bias: bool) -> Self {
        Self { weight: init.normal([inputs, outputs]), bias: bias.then(|| init.constant(0.0, outputs)) }
    }

    /// `[B, T, in] → [B, T, out]`.
    ///
    /// Training multiplies all rows at once. Inference multiplies row by row of the batch, so that on a CPU each row's
    /// result comes from the same kernel call whatever stands beside it.
    pub(crate) fn forward(&self, model: &Model, x: Tensor<3>) -> Tensor<3> {
        let weight = self.weight.val();
        let [rows, length, inputs] = x.dims();
        let y = if weight.is_autodiff() {
            let outputs = weight.dims()[1];
            model.product(x.reshape([rows * length, inputs]), weight).reshape([rows, length, outputs])
        } else {
            model.product(x, weight.unsqueeze())
        };
        match &self.bias {
            Some(bias) => y + bias.val().unsqueeze(),
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

    pub(crate) fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        layer_norm(x, self.gamma.val(), Some(self.beta.val()), self.epsilon)
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

    /// Queries, keys and values of `[B, L, C]`, each `[B, H, L, C/H]`.
    pub(crate) fn heads(&self, model: &Model, x: Tensor<3>) -> (Tensor<4>, Tensor<4>, Tensor<4>) {
        let x = self.attention_norm.forward(x);
        let part = |projection: &Projection| split(model, projection.forward(model, x.clone()));
        (part(&self.query), part(&self.key), part(&self.value))
    }

    /// The block as cross-attention: `x` `[B, Q, C]` reads `from` `[B, N, C]`, which is normed already, with the bias
    /// `[B, 1, Q, N]`.
    pub(crate) fn read(&self, model: &Model, x: Tensor<3>, from: Tensor<3>, bias: Tensor<4>) -> Tensor<3> {
        let queries = split(model, self.query.forward(model, self.attention_norm.forward(x.clone())));
        let keys = split(model, self.key.forward(model, from.clone()));
        let values = split(model, self.value.forward(model, from));
        let context = model.attend(queries, keys, values, bias);
        self.finish(model, x, context)
    }

    /// The rest of the block after attention: `x` `[B, L, C]`, `context` `[B, H, L, C/H]`.
    pub(crate) fn finish(&self, model: &Model, x: Tensor<3>, context: Tensor<4>) -> Tensor<3> {
        let shape = x.dims();
        let x = x + self.out.forward(model, context.swap_dims(1, 2).reshape(shape));
        let hidden = self.up.forward(model, self.mlp_norm.forward(x.clone()));
        let hidden = match model.config.activation {
            Activation::Gelu => activation::gelu(hidden),
            Activation::GeluNew => activation::gelu_approximate(hidden),
        };
        x + self.down.forward(model, hidden)
    }
}

/// `[B, L, C]` to heads, `[B, H, L, C/H]`.
fn split(model: &Model, x: Tensor<3>) -> Tensor<4> {
    let [rows, length, c] = x.dims();
    let heads = model.config.n_heads;
    x.reshape([rows, length, heads, c / heads]).swap_dims(1, 2)
}

/// Token ids, positions or indices on the device, `[len]`.
fn ints(values: Vec<i32>, device: &Device) -> Tensor<1, Int> {
    let len = values.len();
    Tensor::from_data(TensorData::new(values, [len]), device)
}
