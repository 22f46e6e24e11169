//! Point embedders: data points in, prefix positions out.

use burn::{
    module::{Module, Param},
    tensor::{Tensor, TensorData, activation},
};

use crate::{
    Model, ModelConfig, PointBatch, PointEmbedding, PointsConfig,
    init::Initialiser,
    model::{Block, Norm, Projection},
    visibility::HIDDEN,
};

/// The number of inputs for one number in [`PointEmbedding::Set`]: its sign, its exponent (as a number and as eight
/// bits) and its mantissa (as a number and as five bits).
pub(crate) const FLOAT_FEATURES: usize = 1 + (1 + EXPONENT_BITS) + (1 + MANTISSA_BITS);
const EXPONENT_BITS: usize = 8;
/// The number of leading bits. The mantissa as a number keeps all 23 bits.
const MANTISSA_BITS: usize = 5;

/// A two-layer MLP on each point and, for [`PointEmbedding::Set`], attention pooling of its outputs.
#[derive(Module, Debug)]
pub(crate) struct PointEmbedder {
    up: Projection,
    down: Projection,
    pooling: Option<Pooling>,
}

/// Learned queries that read the points: pooling by multi-head attention (PMA; Lee et al., 2019), here with the layer
/// norms before attention and MLP, as in the rest of the model.
#[derive(Module, Debug)]
struct Pooling {
    /// `[Q, C]`; named an embedding so that it is not decayed.
    query_embedding: Param<Tensor<2>>,
    point_norm: Norm,
    block: Block,
}

impl PointEmbedder {
    pub(crate) fn new(init: &mut Initialiser<'_>, config: &ModelConfig, points: &PointsConfig) -> Self {
        let queries = (points.kind == PointEmbedding::Set).then(|| init.normal([points.n_queries, config.d_model]));
        // With GPT-Neo's small weights, six in a row, the points would be so faint beside the queries that training
        // stops before it can tell points apart.
        init.keep_variance = queries.is_some();
        let embedder = Self {
            up: Projection::new(init, points.inputs(), points.hidden, true),
            down: Projection::new(init, points.hidden, config.d_model, true),
            pooling: queries.map(|query_embedding| Pooling {
                query_embedding,
                point_norm: Norm::new(init, config),
                block: Block::new(init, config),
            }),
        };
        init.keep_variance = false;
        embedder
    }

    /// Returns prefix positions `[B, P, C]`. Those of padding points or rows have no meaning.
    pub(crate) fn forward(&self, model: &Model, points: &PointBatch) -> Tensor<3> {
        let PointBatch { rows, n_points, width, values, mask } = points;
        let device = model.device();
        let inputs = match self.pooling {
            Some(_) => TensorData::new(float_features(values), [*rows, *n_points, width * FLOAT_FEATURES]),
            None => TensorData::new(values.clone(), [*rows, *n_points, *width]),
        };
        let hidden = activation::relu(self.up.forward(model, Tensor::from_data(inputs, &device)));
        let embedded = self.down.forward(model, hidden);
        match &self.pooling {
            Some(pooling) => pooling.forward(model, embedded, mask),
            None => embedded,
        }
    }
}

impl Pooling {
    /// Pools `[B, N, C] → [B, Q, C]`; `mask` is `[B, N]`, true for real points.
    fn forward(&self, model: &Model, points: Tensor<3>, mask: &[bool]) -> Tensor<3> {
        let [rows, n_points, _] = points.dims();
        let queries = self.query_embedding.val().unsqueeze::<3>();
        // Rows without points see their padding, because seeing nothing would give NaN; their output is never read.
        let seen = mask.chunks_exact(n_points).flat_map(|row| {
            let empty = !row.contains(&true);
            row.iter().map(move |&real| if real || empty { 0.0 } else { HIDDEN })
        });
        let bias = TensorData::new(seen.collect::<Vec<f32>>(), [rows, 1, 1, n_points]);
        let bias = Tensor::<4>::from_data(bias, &model.device()).repeat_dim(2, queries.dims()[1]);
        self.block.read(model, queries.repeat_dim(0, rows), self.point_norm.forward(model, points), bias)
    }
}

/// Returns [`FLOAT_FEATURES`] inputs for each value, all within [-1, 1] except the exponent, which is within [-8, 8].
///
/// The parts of an IEEE-754 number describe 1e-9 as well as 1e9, whatever the scale of a problem; bits as inputs are
/// due to Biggio et al. (2021), who used those of half precision. For zero all features are 0, so that a variable that
/// a problem lacks adds nothing. Subnormal numbers count as zero, NaN as an infinity without sign.
pub(crate) fn float_features(values: &[f32]) -> Vec<f32> {
    let mut features = vec![0.0; values.len() * FLOAT_FEATURES];
    for (value, out) in values.iter().zip(features.chunks_exact_mut(FLOAT_FEATURES)) {
        let bits = value.to_bits();
        let exponent = bits >> 23 & 0xff;
        if exponent == 0 {
            continue;
        }
        let fraction = if value.is_nan() { 0 } else { bits & 0x7f_ffff };
        let bit = |word: u32, place: usize| if word >> place & 1 == 1 { 1.0 } else { -1.0 };
        out[0] = if value.is_nan() { 0.0 } else { value.signum() };
        out[1] = (exponent as f32 - 127.0) / 16.0;
        for i in 0..EXPONENT_BITS {
            out[2 + i] = bit(exponent, EXPONENT_BITS - 1 - i);
        }
        let mantissa = &mut out[2 + EXPONENT_BITS..];
        mantissa[0] = fraction as f32 / (1 << 22) as f32 - 1.0;
        for i in 0..MANTISSA_BITS {
            mantissa[1 + i] = bit(fraction, 22 - i);
        }
    }
    features
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_the_parts_of_the_number() {
        let of = |value: f32| float_features(&[value]);
        assert_eq!(of(0.0), [0.0; FLOAT_FEATURES]);
        assert_eq!(of(1e-40), [0.0; FLOAT_FEATURES]);
        // -2.5 = -1.25·2: exponent 1, which is 128 = 10000000₂ with its bias, and the fraction .01₂.
        let bits = [1.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0];
        assert_eq!(of(-2.5), [&[-1.0, 1.0 / 16.0][..], &bits, &[-0.5], &[-1.0, 1.0, -1.0, -1.0, -1.0]].concat());
        assert_eq!(of(f32::INFINITY)[..2], [1.0, 8.0]);
        assert_eq!(of(f32::NAN)[..2], [0.0, 8.0]);
        assert_eq!(of(f32::NAN)[2..], of(f32::INFINITY)[2..]);
        let (small, large) = (of(3e-9), of(3e-9 * 1024.0));
        assert_eq!((small[0], &small[10..]), (large[0], &large[10..]), "scale is in the exponent alone");
        assert_eq!(large[1] - small[1], 10.0 / 16.0);
        let all = [1.0, -3.7e30, 5e-30, f32::MAX, f32::MIN_POSITIVE];
        assert!(float_features(&all).iter().all(|f| f.abs() <= 8.0));
    }
}
