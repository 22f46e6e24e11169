//! The shape of a transformer and where its weights lie.

use std::ops::Range;

/// Non-linearity of the MLPs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// Exact GELU (Hendrycks & Gimpel, 2016).
    Gelu,
    /// Its tanh approximation.
    GeluNew,
}

/// A GPT-Neo-style decoder: learned positions, pre-LayerNorm, no bias on queries, keys and values, tied head.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shape {
    /// Rows of the token embedding, and logits.
    pub vocabulary: usize,
    /// Rows of the position embedding.
    pub positions: usize,
    /// Rows of the feature embedding; 0 for none.
    pub features: usize,
    /// Rows of the embedding of marks; 0 for none.
    pub marks: usize,
    /// Width of the residual stream.
    pub width: usize,
    /// Blocks.
    pub layers: usize,
    /// Attention heads.
    pub heads: usize,
    /// Hidden width of the MLPs.
    pub hidden: usize,
    /// Factor on attention scores.
    pub scale: f32,
    /// Non-linearity of the MLPs.
    pub activation: Activation,
    /// Added to variances in layer norms.
    pub epsilon: f32,
}

/// Where each weight lies in one long vector. Matrices are `[in, out]`, row-major.
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
    /// Query, key, value.
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
    /// Numbers in all weights together, in this order: token, position, feature and mark embedding; of each block the
    /// attention's norm (gamma, beta), query, key, value, output and its bias, the MLP's norm, its first matrix and bias,
    /// its second matrix and bias; the final norm.
    pub fn n_weights(&self) -> usize {
        self.layout().len
    }

    /// Width of a head.
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
