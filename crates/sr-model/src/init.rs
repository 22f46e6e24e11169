//! Initial weights from a seed, without any global random state.

use burn::{
    module::{Param, ParamId},
    tensor::{Device, Tensor, TensorData},
};

/// The standard deviation of initial weights (GPT-2 and GPT-Neo).
const STANDARD_DEVIATION: f64 = 0.02;

/// Creates the parameters of a model one by one. The n-th parameter has its own random stream and the fixed id n, so
/// that equal seeds give checkpoints with equal bytes.
pub(crate) struct Initialiser<'a> {
    seed: Option<u64>,
    pub(crate) device: &'a Device,
    made: u64,
    /// Whether matrices get the standard deviation 1/√inputs, which preserves the variance of their inputs (LeCun et
    /// al., 1998), instead of GPT-Neo's.
    pub(crate) keep_variance: bool,
}

impl<'a> Initialiser<'a> {
    pub(crate) fn seeded(seed: u64, device: &'a Device) -> Self {
        Self { seed: Some(seed), device, made: 0, keep_variance: false }
    }

    /// Returns an initialiser with all weights zero, for a model that a checkpoint is loaded into.
    pub(crate) fn frame(device: &'a Device) -> Self {
        Self { seed: None, device, made: 0, keep_variance: false }
    }

    pub(crate) fn normal(&mut self, shape: [usize; 2]) -> Param<Tensor<2>> {
        let len = shape[0] * shape[1];
        let deviation = if self.keep_variance { (shape[0] as f64).sqrt().recip() } else { STANDARD_DEVIATION };
        let values = match self.seed {
            Some(seed) => normals(seed, self.made, len, deviation),
            None => vec![0.0; len],
        };
        self.param(TensorData::new(values, shape))
    }

    pub(crate) fn constant(&mut self, value: f32, len: usize) -> Param<Tensor<1>> {
        self.param(TensorData::new(vec![value; len], [len]))
    }

    fn param<const D: usize>(&mut self, data: TensorData) -> Param<Tensor<D>> {
        self.made += 1;
        let mut param = Param::from_tensor(Tensor::from_data(data, self.device));
        param.id = ParamId::from(self.made);
        param
    }
}

/// Returns `len` normal numbers of stream `stream`, by Box–Muller from SplitMix64 (Steele, Lea & Flood, 2014). The
/// functions are those of `libm`, with the same bits on every machine.
fn normals(seed: u64, stream: u64, len: usize, deviation: f64) -> Vec<f32> {
    let mut state = mix(seed ^ mix(stream.wrapping_mul(GOLDEN)));
    let mut uniform = move || {
        state = state.wrapping_add(GOLDEN);
        // 53 bits, in (0, 1]: the logarithm below must be finite.
        ((mix(state) >> 11) + 1) as f64 / (1u64 << 53) as f64
    };
    let mut values = Vec::with_capacity(len + 1);
    while values.len() < len {
        let radius = deviation * (-2.0 * libm::log(uniform())).sqrt();
        let (sin, cos) = libm::sincos(std::f64::consts::TAU * uniform());
        values.extend([(radius * cos) as f32, (radius * sin) as f32]);
    }
    values.truncate(len);
    values
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normals_have_the_wanted_moments_and_independent_streams() {
        let normals = |seed, stream, len| normals(seed, stream, len, STANDARD_DEVIATION);
        let values = normals(7, 0, 20_001);
        let n = values.len() as f64;
        let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
        let variance = values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / n - mean * mean;
        assert!(mean.abs() < 5e-4, "{mean}");
        assert!((variance.sqrt() / STANDARD_DEVIATION - 1.0).abs() < 0.02, "{variance}");
        assert_eq!(values[..8], normals(7, 0, 8), "a prefix does not depend on the length");
        assert_ne!(values[..8], normals(7, 1, 8));
        assert_ne!(values[..8], normals(8, 0, 8));
    }
}
