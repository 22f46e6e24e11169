//! Elementwise functions: activations, softmax, layer norms. They are loops that the compiler turns into vectors.
//!
//! Nothing here depends on the level: no multiplication is fused with an addition, sums have [`PARTS`], and logarithms
//! are those of `libm`, not of the operating system.

use crate::shape::Activation;
use sr_simd::leveled;

/// The number of parts of a sum, so that vectors can add them. It does not depend on the machine.
const PARTS: usize = 16;

/// Returns eˣ to about 2 ULP, with x clipped to −87 to 88.
#[inline(always)]
fn exp(x: f32) -> f32 {
    const SHIFT: f32 = 12_582_912.0; // 1.5 · 2²³: adding it rounds to a whole number
    let x = x.clamp(-87.0, 88.0);
    let whole = x * std::f32::consts::LOG2_E + SHIFT;
    let bits = whole.to_bits() << 23;
    let whole = whole - SHIFT;
    // ln 2 in two parts, the first of which times a small whole number is exact.
    let r = (x - whole * 0.693_359_4) + whole * 2.121_944_4e-4;
    // Cephes' expf.
    let p = 1.987_569_2e-4;
    let p = p * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 0.166_666_65;
    let p = p * r + 0.5;
    let p = p * r * r + r + 1.0;
    f32::from_bits(p.to_bits().wrapping_add(bits))
}

/// Returns the distribution function of a standard normal number at x, and its density there.
///
/// It uses Abramowitz & Stegun 7.1.26, whose error is at most 1.5·10⁻⁷.
#[inline(always)]
fn normal(x: f32) -> (f32, f32) {
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let e = exp(-z * z);
    let p = 1.061_405_4;
    let p = p * t - 1.453_152;
    let p = p * t + 1.421_413_7;
    let p = p * t - 0.284_496_73;
    let p = p * t + 0.254_829_6;
    let tail = 0.5 * p * t * e;
    (if x < 0.0 { tail } else { 1.0 - tail }, e * 0.398_942_3)
}

/// √(2/π), of the tanh approximation of GELU.
const SLOPE: f32 = 0.797_884_6;
const CUBE: f32 = 0.044_715;

/// Returns the tanh within `gelu_new`.
#[inline(always)]
fn inner_tanh(x: f32) -> f32 {
    1.0 - 2.0 / (exp(2.0 * SLOPE * (x + CUBE * x * x * x)) + 1.0)
}

/// Writes the activations of `before` to `after`.
pub(crate) fn activate(activation: Activation, before: &[f32], after: &mut [f32]) {
    leveled! {
        fn gelu(before: &[f32], after: &mut [f32]) {
            before.iter().zip(after).for_each(|(&x, y)| *y = x * normal(x).0);
        }
    }
    leveled! {
        fn gelu_new(before: &[f32], after: &mut [f32]) {
            before.iter().zip(after).for_each(|(&x, y)| *y = 0.5 * x * (1.0 + inner_tanh(x)));
        }
    }
    match activation {
        Activation::Gelu => gelu(before, after),
        Activation::GeluNew => gelu_new(before, after),
    }
}

/// Multiplies `gradient` by the activation's derivative at `before`.
pub(crate) fn activate_back(activation: Activation, before: &[f32], gradient: &mut [f32]) {
    leveled! {
        fn gelu(before: &[f32], gradient: &mut [f32]) {
            before.iter().zip(gradient).for_each(|(&x, g)| {
                let (distribution, density) = normal(x);
                *g *= distribution + x * density;
            });
        }
    }
    leveled! {
        fn gelu_new(before: &[f32], gradient: &mut [f32]) {
            before.iter().zip(gradient).for_each(|(&x, g)| {
                let t = inner_tanh(x);
                *g *= 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * SLOPE * (1.0 + 3.0 * CUBE * x * x);
            });
        }
    }
    match activation {
        Activation::Gelu => gelu(before, gradient),
        Activation::GeluNew => gelu_new(before, gradient),
    }
}

#[inline(always)]
fn parted(len: usize, term: impl Fn(usize) -> f32) -> f32 {
    let mut parts = [0.0f32; PARTS];
    let whole = len - len % PARTS;
    for start in (0..whole).step_by(PARTS) {
        for (part, sum) in parts.iter_mut().enumerate() {
            *sum += term(start + part);
        }
    }
    for i in whole..len {
        parts[i - whole] += term(i);
    }
    let mut width = PARTS / 2;
    while width > 0 {
        for i in 0..width {
            parts[i] += parts[i + width];
        }
        width /= 2;
    }
    parts[0]
}

leveled! {
    /// Computes the products of `a` with rows that are `stride` apart.
    pub(crate) fn dots(a: &[f32], rows: &[f32], stride: usize, out: &mut [f32]) {
        for (row, out) in rows.chunks(stride).zip(out) {
            let row = &row[..a.len()];
            *out = parted(a.len(), |i| a[i] * row[i]);
        }
    }
}

leveled! {
    /// Adds Σ weightᵢ · rowᵢ to `to`, for rows that are `stride` apart.
    pub(crate) fn add_weighted(to: &mut [f32], weights: &[f32], rows: &[f32], stride: usize) {
        for (row, weight) in rows.chunks(stride).zip(weights) {
            to.iter_mut().zip(row).for_each(|(to, from)| *to += weight * from);
        }
    }
}

leveled! {
    /// Adds `factor · from` to `to`.
    pub(crate) fn add_scaled(to: &mut [f32], from: &[f32], factor: f32) {
        to.iter_mut().zip(from).for_each(|(to, from)| *to += factor * from);
    }
}

#[inline(always)]
fn highest(x: &[f32]) -> f32 {
    let mut parts = [f32::NEG_INFINITY; PARTS];
    let mut chunks = x.chunks_exact(PARTS);
    for chunk in &mut chunks {
        parts.iter_mut().zip(chunk).for_each(|(h, &x)| *h = if x > *h { x } else { *h });
    }
    chunks.remainder().iter().chain(&parts).fold(f32::NEG_INFINITY, |h, &x| if x > h { x } else { h })
}

leveled! {
    /// Computes the softmax of each of `rows` rows of `length` numbers that are `stride` apart. In row i the first
    /// `first + i` numbers count and the others become 0; all count if there are no more.
    pub(crate) fn softmax(scores: &mut [f32], rows: usize, length: usize, stride: usize, first: usize) {
        for i in 0..rows {
            let row = &mut scores[i * stride..][..length];
            let (live, dead) = row.split_at_mut(length.min(first + i));
            let highest = highest(live);
            live.iter_mut().for_each(|x| *x = exp(*x - highest));
            let factor = 1.0 / parted(live.len(), |i| live[i]);
            live.iter_mut().for_each(|x| *x *= factor);
            dead.fill(0.0);
        }
    }
}

leveled! {
    /// Replaces the gradient at the weights of a softmax by that at its scores: `w (g − Σ w g)`, row by row.
    pub(crate) fn softmax_back(weights: &[f32], gradient: &mut [f32], length: usize) {
        for (weights, gradient) in weights.chunks_exact(length).zip(gradient.chunks_exact_mut(length)) {
            let mean = parted(length, |i| weights[i] * gradient[i]);
            weights.iter().zip(gradient).for_each(|(w, g)| *g = w * (*g - mean));
        }
    }
}

#[inline(always)]
fn moments(x: &[f32], epsilon: f32) -> (f32, f32) {
    let n = x.len() as f32;
    let mean = parted(x.len(), |i| x[i]) / n;
    let variance = parted(x.len(), |i| (x[i] - mean) * (x[i] - mean)) / n;
    (mean, 1.0 / (variance + epsilon).sqrt())
}

leveled! {
    /// Computes the layer norm of each row (Ba, Kiros & Hinton, 2016).
    pub(crate) fn layer_norm(x: &[f32], gamma: &[f32], beta: &[f32], epsilon: f32, out: &mut [f32]) {
        let width = gamma.len();
        for (x, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
            let (mean, scale) = moments(x, epsilon);
            for i in 0..width {
                out[i] = (x[i] - mean) * scale * gamma[i] + beta[i];
            }
        }
    }
}

leveled! {
    /// Computes the gradients of a layer norm from the gradient `dy` at its result. It adds them to `dx`, `dgamma` and
    /// `dbeta`.
    pub(crate) fn layer_norm_back(
        x: &[f32], gamma: &[f32], epsilon: f32, dy: &[f32], dx: &mut [f32], dgamma: &mut [f32], dbeta: &mut [f32],
    ) {
        let width = gamma.len();
        let n = width as f32;
        for ((x, dy), dx) in x.chunks_exact(width).zip(dy.chunks_exact(width)).zip(dx.chunks_exact_mut(width)) {
            let (mean, scale) = moments(x, epsilon);
            let sum = parted(width, |i| dy[i] * gamma[i]) / n;
            let product = parted(width, |i| dy[i] * gamma[i] * ((x[i] - mean) * scale)) / n;
            for i in 0..width {
                let normal = (x[i] - mean) * scale;
                dx[i] += scale * (dy[i] * gamma[i] - sum - normal * product);
                dgamma[i] += dy[i] * normal;
                dbeta[i] += dy[i];
            }
        }
    }
}

leveled! {
    /// Adds a bias to each row.
    pub(crate) fn add_bias(x: &mut [f32], bias: &[f32]) {
        for row in x.chunks_exact_mut(bias.len()) {
            row.iter_mut().zip(bias).for_each(|(x, b)| *x += b);
        }
    }
}

leveled! {
    /// Adds all rows of `x` to `sums`.
    pub(crate) fn add_rows(sums: &mut [f32], x: &[f32]) {
        for row in x.chunks_exact(sums.len()) {
            sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
        }
    }
}

leveled! {
    /// Returns ln Σ eˣ.
    pub fn log_sum_exp(x: &[f32]) -> f32 {
        let highest = highest(x);
        highest + libm::logf(parted(x.len(), |i| exp(x[i] - highest)))
    }
}

leveled! {
    /// Returns Σ x², in double precision.
    pub fn sum_of_squares(x: &[f32]) -> f64 {
        let mut parts = [0.0f64; PARTS];
        let mut chunks = x.chunks_exact(PARTS);
        for chunk in &mut chunks {
            parts.iter_mut().zip(chunk).for_each(|(sum, &x)| *sum += f64::from(x) * f64::from(x));
        }
        parts.iter_mut().zip(chunks.remainder()).for_each(|(sum, &x)| *sum += f64::from(x) * f64::from(x));
        parts.iter().sum()
    }
}

leveled! {
    /// Replaces x by max(x, 0); NaN stays.
    pub(crate) fn relu(x: &mut [f32]) {
        x.iter_mut().for_each(|x| *x = if *x < 0.0 { 0.0 } else { *x });
    }
}

leveled! {
    /// Clears the gradient wherever `after`, the result of [`relu`], is zero.
    pub(crate) fn relu_back(after: &[f32], gradient: &mut [f32]) {
        after.iter().zip(gradient).for_each(|(&y, g)| *g = if y == 0.0 { 0.0 } else { *g });
    }
}

leveled! {
    /// Replaces logits by the gradient of `weight · (ln Σ eˣ − x[label])`.
    pub(crate) fn cross_entropy_back(x: &mut [f32], log_total: f32, label: usize, weight: f32) {
        x.iter_mut().for_each(|x| *x = weight * exp(*x - log_total));
        x[label] -= weight;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns every 97th f32 in a range.
    fn floats(from: f32, to: f32) -> impl Iterator<Item = f32> {
        (0..200_000).map(move |i| from + (to - from) * i as f32 / 200_000.0)
    }

    #[test]
    fn exponentials_are_right_to_a_few_units() {
        for x in floats(-86.0, 88.0) {
            let (found, expected) = (f64::from(exp(x)), f64::from(x).exp());
            assert!((found / expected - 1.0).abs() < 3e-7, "{x}: {found} {expected}");
        }
        assert!(exp(f32::NEG_INFINITY) < 1e-37);
    }

    #[test]
    fn activations_and_their_derivatives_are_right() {
        let h = 1e-3;
        for x in floats(-9.0, 9.0).step_by(101) {
            let value = |activation, x: f32| {
                let mut y = [0.0];
                activate(activation, &[x], &mut y);
                f64::from(y[0])
            };
            let x64 = f64::from(x);
            // GELU by its integral form, summed: Φ(x) = ½ + ∫φ.
            let steps = 2000;
            let width = x64 / f64::from(steps);
            let density = |t: f64| (-0.5 * t * t).exp() / (2.0 * std::f64::consts::PI).sqrt();
            let integral: f64 = (0..steps).map(|i| density((f64::from(i) + 0.5) * width) * width).sum();
            assert!((value(Activation::Gelu, x) - x64 * (0.5 + integral)).abs() < 2e-6, "{x}");
            let u = (2.0 / std::f64::consts::PI).sqrt() * (x64 + 0.044715 * x64.powi(3));
            assert!((value(Activation::GeluNew, x) - 0.5 * x64 * (1.0 + u.tanh())).abs() < 2e-6, "{x}");
            for activation in [Activation::Gelu, Activation::GeluNew] {
                let mut gradient = [1.0];
                activate_back(activation, &[x], &mut gradient);
                let slope = (value(activation, x + h) - value(activation, x - h)) / (2.0 * f64::from(h));
                assert!((f64::from(gradient[0]) - slope).abs() < 2e-3, "{activation:?} {x}: {gradient:?} {slope}");
            }
        }
    }

    #[test]
    fn a_softmax_counts_what_it_may_see() {
        let mut scores: Vec<f32> = (0..40).map(|i| (i as f32 * 0.7).sin() * 20.0).collect();
        let before = scores.clone();
        softmax(&mut scores, 2, 18, 20, 17);
        for i in 0..2 {
            let row = |all: &[f32]| all[i * 20..i * 20 + 18].iter().map(|&x| f64::from(x)).collect::<Vec<_>>();
            let (found, before) = (row(&scores), row(&before));
            let total: f64 = before[..17 + i].iter().map(|x| x.exp()).sum();
            for (j, &w) in found.iter().enumerate() {
                let expected = if j < 17 + i { before[j].exp() / total } else { 0.0 };
                assert!((w - expected).abs() < 1e-6);
            }
        }
        assert_eq!(scores[18..20], before[18..20], "what lies between rows stays");
    }
}
