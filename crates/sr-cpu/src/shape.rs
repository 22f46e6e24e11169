//! The shape of a transformer and the layout of its weights.

use std::ops::Range;

/// The non-linearity of the MLPs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// Exact GELU (Hendrycks & Gimpel, 2016).
    Gelu,
    /// The tanh approximation of GELU.
    GeluNew,
}

/// A GPT-Neo-style decoder: learned positions, pre-LayerNorm, no bias on queries, keys and values, tied head.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shape {
    /// The number of rows of the token embedding, and of logits.
    pub vocabulary: usize,
    /// The number of rows of the position embedding.
    pub positions: usize,
    /// The number of rows of the feature embedding; 0 for none.
    pub features: usize,
    /// The number of rows of the embedding of marks; 0 for none.
    pub marks: usize,
    /// The width of the residual stream.
    pub width: usize,
    /// The number of blocks.
    pub layers: usize,
    /// The number of attention heads.
    pub heads: usize,
    /// The hidden width of the MLPs.
    pub hidden: usize,
    /// The factor on attention scores.
    pub scale: f32,
    /// The non-linearity of the MLPs.
    pub activation: Activation,
    /// The number added to variances in layer norms.
    pub epsilon: f32,
}

/// The range of each weight in one long vector. Matrices are `[in, out]`, row-major.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub(crate) token: Range<usize>,
    pub(crate) position: Range<usize>,
    pub(crate) feature: Range<usize>,
    pub(crate) mark: Range<usize>,
    pub(crate) blocks: Vec<BlockLayout>,
    pub(crate) final_norm: NormLayout,
    pub(crate) len: usize,
}

#[derive(Debug, Clone)]
pub(crate) struct NormLayout {
    pub(crate) gamma: Range<usize>,
    pub(crate) beta: Range<usize>,
}

#[derive(Debug, Clone)]
pub(crate) struct BlockLayout {
    pub(crate) attention_norm: NormLayout,
    /// The matrices of query, key and value.
    pub(crate) heads: [Range<usize>; 3],
    pub(crate) out: Range<usize>,
    pub(crate) out_bias: Range<usize>,
    pub(crate) mlp_norm: NormLayout,
    pub(crate) up: Range<usize>,
    pub(crate) up_bias: Range<usize>,
    pub(crate) down: Range<usize>,
    pub(crate) down_bias: Range<usize>,
}

impl Shape {
    /// Returns the number of all weights, which are in this order: token, position, feature and mark embedding; of each
    /// block the attention's norm (gamma, beta), query, key, value, output and its bias, the MLP's norm, its first
    /// matrix and bias, its second matrix and bias; the final norm.
    pub fn n_weights(&self) -> usize {
        self.layout().len
    }

    /// Returns the width of a head.
    pub(crate) fn head(&self) -> usize {
        self.width / self.heads
    }

    pub(crate) fn layout(&self) -> Layout {
        let (c, m) = (self.width, self.hidden);
        let mut end = 0;
        let mut take = |len: usize| {
            end += len;
            end - len..end
        };
        let token = take(self.vocabulary * c);
        let position = take(self.positions * c);
        let feature = take(self.features * c);
        let mark = take(self.marks * c);
        let mut blocks = Vec::with_capacity(self.layers);
        for _ in 0..self.layers {
            blocks.push(BlockLayout {
                attention_norm: NormLayout { gamma: take(c), beta: take(c) },
                heads: [take(c * c), take(c * c), take(c * c)],
                out: take(c * c),
                out_bias: take(c),
                mlp_norm: NormLayout { gamma: take(c), beta: take(c) },
                up: take(c * m),
                up_bias: take(m),
                down: take(m * c),
                down_bias: take(c),
            });
        }
        let final_norm = NormLayout { gamma: take(c), beta: take(c) };
        Layout { token, position, feature, mark, blocks, final_norm, len: end }
    }
}
