//! The shape of a model, as in `config.json` and TOML files.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::{Error, points::FLOAT_FEATURES};

/// Shape of a [`Model`](crate::Model). Unknown keys are errors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// Number of token ids.
    pub vocab_size: usize,
    /// Number of learned token positions: the longest prompt plus target. Prefix points use none.
    pub n_positions: usize,
    /// Number of values of the feature of each token; each value has an embedding. 0 for no features.
    #[serde(default)]
    pub n_features: usize,
    /// Number of marks that tokens of a prompt may have; each has an embedding. 0 for no marks.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub n_marks: usize,
    /// Width of the residual stream; a multiple of `n_heads`.
    pub d_model: usize,
    /// Number of blocks.
    pub n_layers: usize,
    /// Attention heads per block.
    pub n_heads: usize,
    /// Hidden width of each block's MLP.
    pub d_mlp: usize,
    /// The embedder of data points; `None` for a model that reads tokens only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub points: Option<PointsConfig>,
    /// How attention connects prefix points.
    #[serde(default)]
    pub prefix_attention: PrefixAttention,
    /// How attention connects the individuals of a prompt.
    #[serde(default)]
    pub population: Population,
    /// Number of tokens that a block with local attention sees: the token itself and the `attention_window - 1` before
    /// it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attention_window: Option<usize>,
    /// The attention of each block, first to last; empty for global attention everywhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attention_layers: Vec<Attention>,
    /// The factor on attention scores. `None` is 1, as in GPT-Neo, which does not divide by √d.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attention_scale: Option<f64>,
    /// Non-linearity of the MLPs.
    #[serde(default)]
    pub activation: Activation,
    /// The number added to variances in layer norms.
    #[serde(default = "default_epsilon")]
    pub layer_norm_eps: f64,
}

/// How attention connects prefix positions. Tokens always see all real points; points never see tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PrefixAttention {
    /// A point sees itself and the points before it, as in a plain decoder.
    Causal,
    /// Every point sees every real point (prefix language model). This is the default because points are a set.
    #[default]
    Bidirectional,
}

/// How attention connects the individuals of a prompt. Tokens after them always see all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Population {
    /// The individuals are one text: each sees those before it, and positions continue. Checkpoints without the key
    /// have this.
    #[default]
    Text,
    /// Each individual sees the context and itself, and its positions start after the context. The order of individuals
    /// changes no logit, and a prompt needs no more positions than its longest individual.
    #[serde(rename = "apart")]
    Separate,
}

/// The tokens that a block sees. Points have no position, so tokens always see all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Attention {
    /// Every token up to the current one.
    #[default]
    Global,
    /// The last [`attention_window`](ModelConfig::attention_window) tokens, by position.
    Local,
}

/// Non-linearity of the MLPs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// Exact GELU, the default: burn differentiates it in one pass, and `gelu_new` in about six.
    #[default]
    Gelu,
    /// The tanh approximation of GELU, which GPT-Neo weights were trained with.
    GeluNew,
}

/// The point embedder, which turns data points into prefix positions. Padding points are masked, unused variables are
/// zero.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PointsConfig {
    /// The kind of embedder.
    #[serde(default)]
    pub kind: PointEmbedding,
    /// The most points of a prompt. For `e2e` this is the number of prefix positions: 64 in the paper; fewer are faster
    /// on a CPU.
    pub n_points: usize,
    /// The number of prefix positions of `set`, whatever the number of points; 0 for `e2e`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub n_queries: usize,
    /// The number of columns of channel [`Channel::X`]: the most variables of a problem.
    pub n_variables: usize,
    /// The channels of each point, in this order.
    pub channels: Vec<Channel>,
    /// The hidden width of the MLP.
    pub hidden: usize,
}

/// Kinds of point embedders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PointEmbedding {
    /// A two-layer MLP with ReLU turns each point's channels into one prefix position (Kamienny et al., 2022). It reads
    /// at most 10 variables, as in the paper.
    #[default]
    E2e,
    /// The points as a set: the same MLP reads the sign, exponent and mantissa of each number, and learned queries read
    /// its output by cross-attention (Set Transformer; Lee et al., 2019). The order of the points does not matter.
    ///
    /// The MLP's first matrix has its own rows for each variable and adds up their contributions. A variable that a
    /// problem lacks contributes nothing.
    Set,
}

/// The largest of any size, so that products of sizes can be computed.
pub(crate) const MAX_SIZE: usize = 1 << 24;
/// The most parameters, 2 TiB of 16-bit numbers: no machine that this is for holds more.
const MAX_PARAMETERS: u128 = 1 << 40;

/// The most variables of `e2e`.
const E2E_VARIABLES: usize = 10;

/// One named part of a point's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// The variables, `n_variables` columns, zero-padded.
    X,
    /// The target value.
    Y,
    /// The prediction of the best individual.
    BestPrediction,
    /// The residual of the best individual: y minus its prediction.
    BestResidual,
}

fn default_epsilon() -> f64 {
    1e-5
}

fn is_zero(n: &usize) -> bool {
    *n == 0
}

impl ModelConfig {
    /// Returns a model for training on a laptop CPU: 128 wide, 3 layers, 16 points.
    pub fn micro(vocab_size: usize) -> Self {
        Self {
            d_model: 128,
            n_layers: 3,
            n_heads: 4,
            d_mlp: 512,
            points: Some(PointsConfig::learner(16)),
            ..Self::tiny(vocab_size)
        }
    }

    /// Returns the core of the reference model: 256 wide, 4 layers, 64 points.
    pub fn tiny(vocab_size: usize) -> Self {
        Self {
            vocab_size,
            n_positions: 2048,
            n_features: 0,
            n_marks: 0,
            d_model: 256,
            n_layers: 4,
            n_heads: 8,
            d_mlp: 1024,
            points: Some(PointsConfig::learner(64)),
            prefix_attention: PrefixAttention::Bidirectional,
            population: Population::Text,
            attention_window: None,
            attention_layers: Vec::new(),
            attention_scale: None,
            activation: Activation::Gelu,
            layer_norm_eps: default_epsilon(),
        }
    }

    /// Returns a model for a GPU: 1024 wide, 16 layers, 64 points.
    pub fn s(vocab_size: usize) -> Self {
        Self { n_positions: 4096, d_model: 1024, n_layers: 16, n_heads: 16, d_mlp: 4096, ..Self::tiny(vocab_size) }
    }

    /// Checks that the values describe a model.
    ///
    /// # Errors
    /// [`Error::Config`], naming the first field that does not fit.
    pub fn validate(&self) -> Result<(), Error> {
        let fail = |what: String| Err(Error::Config(what));
        let sizes = [
            ("vocab_size", self.vocab_size),
            ("n_positions", self.n_positions),
            ("d_model", self.d_model),
            ("n_layers", self.n_layers),
            ("n_heads", self.n_heads),
            ("d_mlp", self.d_mlp),
        ];
        let points = self.points.iter().flat_map(|p| {
            [("points.n_points", p.n_points), ("points.hidden", p.hidden), ("points.channels", p.channels.len())]
        });
        for (name, size) in sizes.into_iter().chain(points) {
            if size == 0 {
                return fail(format!("{name} is 0"));
            }
        }
        let more = self.points.iter().flat_map(|p| {
            [("points.n_points", p.n_points), ("points.hidden", p.hidden), ("points.n_queries", p.n_queries)]
                .into_iter()
                .chain([("points.n_variables", p.n_variables), ("points.channels", p.channels.len())])
        });
        let counts = [("n_features", self.n_features), ("n_marks", self.n_marks)];
        for (name, size) in sizes.into_iter().chain(counts).chain(more) {
            if size > MAX_SIZE {
                return fail(format!("{name} is {size}, expected at most {MAX_SIZE}"));
            }
        }
        if self.parameters() > MAX_PARAMETERS {
            return fail(format!("it has {} parameters, expected at most {MAX_PARAMETERS}", self.parameters()));
        }
        if !self.d_model.is_multiple_of(self.n_heads) {
            return fail(format!("d_model {} is not a multiple of n_heads {}", self.d_model, self.n_heads));
        }
        if !(self.layer_norm_eps.is_finite() && self.layer_norm_eps > 0.0) {
            return fail(format!("layer_norm_eps is {}, expected a positive number", self.layer_norm_eps));
        }
        if self.attention_scale.is_some_and(|scale| !(scale.is_finite() && scale > 0.0)) {
            return fail("attention_scale must be a positive number".to_owned());
        }
        if !self.attention_layers.is_empty() && self.attention_layers.len() != self.n_layers {
            return fail(format!("attention_layers names {} of {} blocks", self.attention_layers.len(), self.n_layers));
        }
        if self.attention_layers.contains(&Attention::Local) && self.attention_window.is_none_or(|window| window == 0) {
            return fail("attention_layers has local attention and attention_window is missing or 0".to_owned());
        }
        if self.attention_layers.contains(&Attention::Local) && self.population == Population::Separate {
            return fail("local attention counts positions, which begin anew where population is `apart`".to_owned());
        }
        if let Some(points) = &self.points {
            if points.channels.contains(&Channel::X) && points.n_variables == 0 {
                return fail("points.n_variables is 0".to_owned());
            }
            match points.kind {
                PointEmbedding::E2e if points.n_variables > E2E_VARIABLES => {
                    return fail(format!(
                        "points.n_variables is {}, the embedder `e2e` has room for {E2E_VARIABLES}; take `set`",
                        points.n_variables
                    ));
                }
                PointEmbedding::E2e if points.n_queries > 0 => {
                    return fail("points.n_queries is for the embedder `set`, this one is `e2e`".to_owned());
                }
                PointEmbedding::Set if points.n_queries == 0 => {
                    return fail("points.n_queries is 0, the embedder `set` needs one at least".to_owned());
                }
                _ => {}
            }
            if points.channels.iter().enumerate().any(|(i, channel)| points.channels[..i].contains(channel)) {
                return fail("points.channels names a channel twice".to_owned());
            }
        }
        Ok(())
    }

    /// Returns the attention of block `layer`.
    pub fn attention(&self, layer: usize) -> Attention {
        self.attention_layers.get(layer).copied().unwrap_or_default()
    }

    /// Returns the window of the blocks with local attention; `None` if there are none.
    pub(crate) fn local_window(&self) -> Option<usize> {
        self.attention_window.filter(|_| self.attention_layers.contains(&Attention::Local))
    }

    /// Returns the number of trainable numbers; the output head is tied to the token embedding.
    pub fn parameter_count(&self) -> usize {
        usize::try_from(self.parameters()).unwrap_or(usize::MAX)
    }

    /// Returns their number in numbers that hold it for any sizes up to [`MAX_SIZE`].
    fn parameters(&self) -> u128 {
        let wide = |size: usize| size as u128;
        let (c, m) = (wide(self.d_model), wide(self.d_mlp));
        let attention = 4 * c * c + c;
        let mlp = 2 * c * m + m + c;
        let norm = 2 * c;
        let block = attention + mlp + 2 * norm;
        let points = self.points.as_ref().map_or(0, |points| {
            let pooling = match points.kind {
                PointEmbedding::E2e => 0,
                PointEmbedding::Set => wide(points.n_queries) * c + norm + block,
            };
            (wide(points.inputs()) + 1) * wide(points.hidden) + (wide(points.hidden) + 1) * c + pooling
        });
        [self.vocab_size, self.n_positions, self.n_features, self.n_marks].into_iter().map(wide).sum::<u128>() * c
            + points
            + wide(self.n_layers) * block
            + norm
    }
}

impl PointsConfig {
    /// Returns the learner's default: variables, target and residual of the best individual, embedded by `e2e`.
    pub fn learner(n_points: usize) -> Self {
        Self {
            kind: PointEmbedding::E2e,
            n_points,
            n_queries: 0,
            n_variables: E2E_VARIABLES,
            channels: vec![Channel::X, Channel::Y, Channel::BestResidual],
            hidden: 512,
        }
    }

    /// Returns the same channels embedded by `set`: up to 128 points of 32 variables become 16 prefix positions.
    pub fn set() -> Self {
        let kind = PointEmbedding::Set;
        Self { kind, n_queries: 16, n_variables: 32, hidden: 256, ..Self::learner(128) }
    }

    /// Returns the number of prefix positions.
    pub fn n_prefix(&self) -> usize {
        match self.kind {
            PointEmbedding::E2e => self.n_points,
            PointEmbedding::Set => self.n_queries,
        }
    }

    /// Returns the number of the MLP's inputs for one point.
    pub(crate) fn inputs(&self) -> usize {
        match self.kind {
            PointEmbedding::E2e => self.width(),
            PointEmbedding::Set => self.width() * FLOAT_FEATURES,
        }
    }

    /// Returns the numbers per point: `n_variables` for [`Channel::X`] and one for each other channel.
    pub fn width(&self) -> usize {
        self.columns().map(|(_, columns)| columns.len()).sum()
    }

    /// Returns the range of each channel in a point's row of [`width`](Self::width) numbers.
    pub fn columns(&self) -> impl Iterator<Item = (Channel, Range<usize>)> + '_ {
        self.channels.iter().scan(0, |start, &channel| {
            let width = if channel == Channel::X { self.n_variables } else { 1 };
            let columns = *start..*start + width;
            *start += width;
            Some((channel, columns))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_are_valid_and_count_their_parameters() {
        let set = ModelConfig { points: Some(PointsConfig::set()), ..ModelConfig::micro(300) };
        for config in [ModelConfig::micro(300), ModelConfig::tiny(300), ModelConfig::s(300), set] {
            config.validate().unwrap();
        }
        // GPT-Neo tiny as published, with its 50,261 tokens, and the E2E embedder with (x, y).
        let published = ModelConfig { points: None, ..ModelConfig::tiny(50_261) };
        assert_eq!(published.parameter_count(), 16_547_584);
        let e2e = PointsConfig { channels: vec![Channel::X, Channel::Y], ..PointsConfig::learner(64) };
        let with_points = ModelConfig { points: Some(e2e), ..published.clone() };
        assert_eq!(with_points.parameter_count() - published.parameter_count(), 137_472);
    }

    #[test]
    fn bad_configurations_name_the_field() {
        let message = |config: ModelConfig| config.validate().unwrap_err().to_string();
        let base = ModelConfig::micro(64);
        assert_eq!(
            message(ModelConfig { n_heads: 5, ..base.clone() }),
            "model configuration: d_model 128 is not a multiple of n_heads 5"
        );
        assert_eq!(message(ModelConfig { vocab_size: 0, ..base.clone() }), "model configuration: vocab_size is 0");
        let layers = vec![Attention::Global, Attention::Local, Attention::Global];
        assert_eq!(
            message(ModelConfig { attention_layers: layers[..2].to_vec(), attention_window: Some(4), ..base.clone() }),
            "model configuration: attention_layers names 2 of 3 blocks"
        );
        assert_eq!(
            message(ModelConfig { attention_layers: layers, ..base.clone() }),
            "model configuration: attention_layers has local attention and attention_window is missing or 0"
        );
        let points = |points| message(ModelConfig { points: Some(points), ..base.clone() });
        assert_eq!(
            points(PointsConfig { n_variables: 11, ..PointsConfig::learner(4) }),
            "model configuration: points.n_variables is 11, the embedder `e2e` has room for 10; take `set`"
        );
        assert_eq!(
            points(PointsConfig { n_queries: 0, ..PointsConfig::set() }),
            "model configuration: points.n_queries is 0, the embedder `set` needs one at least"
        );
        assert!(points(PointsConfig { n_queries: 4, ..PointsConfig::learner(4) }).contains("this one is `e2e`"));
        let twice = PointsConfig { channels: vec![Channel::Y, Channel::Y], ..PointsConfig::learner(4) };
        assert_eq!(points(twice), "model configuration: points.channels names a channel twice");
    }

    #[test]
    fn channels_lie_side_by_side() {
        let points = PointsConfig {
            channels: vec![Channel::Y, Channel::X, Channel::BestPrediction],
            n_variables: 3,
            ..PointsConfig::learner(4)
        };
        let columns: Vec<_> = points.columns().collect();
        assert_eq!(columns, [(Channel::Y, 0..1), (Channel::X, 1..4), (Channel::BestPrediction, 4..5)]);
        assert_eq!(points.width(), 5);
    }

    #[test]
    fn json_round_trips_and_refuses_unknown_keys() {
        let config = ModelConfig::micro(300);
        let json = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<ModelConfig>(&json).unwrap(), config);
        let spoiled = json.replacen("{", "{\"dropout\":0.1,", 1);
        assert!(
            serde_json::from_str::<ModelConfig>(&spoiled).unwrap_err().to_string().contains("unknown field `dropout`")
        );
    }

    #[test]
    fn files_from_before_some_fields_existed_are_read() {
        let old = r#"{"vocab_size": 300, "n_positions": 2048, "d_model": 128, "n_layers": 3, "n_heads": 4, "d_mlp": 512,
            "points": {"n_points": 16, "n_variables": 10, "channels": ["x", "y", "best_residual"], "hidden": 512}}"#;
        assert_eq!(serde_json::from_str::<ModelConfig>(old).unwrap(), ModelConfig::micro(300));
    }

    #[test]
    fn sizes_that_no_machine_holds_are_refused() {
        let told = |config: ModelConfig| config.validate().unwrap_err().to_string();
        for huge in [MAX_SIZE + 1, usize::MAX] {
            for (name, config) in [
                ("n_layers", ModelConfig { n_layers: huge, ..ModelConfig::tiny(9) }),
                ("vocab_size", ModelConfig { vocab_size: huge, ..ModelConfig::tiny(9) }),
                ("n_features", ModelConfig { n_features: huge, ..ModelConfig::tiny(9) }),
                ("points.hidden", {
                    let points = Some(PointsConfig { hidden: huge, ..PointsConfig::learner(4) });
                    ModelConfig { points, ..ModelConfig::tiny(9) }
                }),
                ("points.n_variables", {
                    let points = Some(PointsConfig { n_variables: huge, ..PointsConfig::set() });
                    ModelConfig { points, ..ModelConfig::tiny(9) }
                }),
            ] {
                let told = told(config);
                assert!(told.contains(&format!("{name} is {huge}, expected at most 16777216")), "{told}");
            }
        }
        let wide =
            ModelConfig { d_model: MAX_SIZE, n_heads: 1, n_layers: MAX_SIZE, d_mlp: MAX_SIZE, ..ModelConfig::tiny(9) };
        let told = told(wide);
        assert!(told.contains("parameters, expected at most 1099511627776"), "{told}");
    }
}
