//! Elementary functions over vectors.
//!
//! `f64`: the algorithms of fdlibm (Sun Microsystems, 1993) as the `libm` crate has them, operation for operation, so
//! that every lane has the bits that the scalar function gives. `f32`: own polynomials, within 2 ULP.

mod double;
mod single;

use crate::simd::{Bits, Mask, Vector, number};

/// The functions of one type of number, over any vector of it.
#[allow(missing_docs)] // named after what they compute
pub trait Functions: Copy + Default + PartialOrd + std::fmt::Debug + Send + Sync + 'static {
    fn exp<V: Vector<Element = Self>>(x: V) -> V;
    fn log<V: Vector<Element = Self>>(x: V) -> V;
    fn sin<V: Vector<Element = Self>>(x: V) -> V;
    fn cos<V: Vector<Element = Self>>(x: V) -> V;
    fn tan<V: Vector<Element = Self>>(x: V) -> V;
    fn tanh<V: Vector<Element = Self>>(x: V) -> V;
    fn asin<V: Vector<Element = Self>>(x: V) -> V;
    fn acos<V: Vector<Element = Self>>(x: V) -> V;
    fn atan<V: Vector<Element = Self>>(x: V) -> V;
    /// Raises `x` to the power of `y`.
    fn pow<V: Vector<Element = Self>>(x: V, y: V) -> V;
}

/// Computes `c[0] + x c[1] + x^2 c[2] + …` by Horner's rule.
#[inline(always)]
fn polynomial<V: Vector, const N: usize>(x: V, c: [V::Element; N]) -> V {
    let mut sum = V::splat(c[N - 1]);
    for i in (0..N - 1).rev() {
        sum = sum.mul_add(x, V::splat(c[i]));
    }
    sum
}

/// Computes `x * 2^n` for `x` in `[0.5, 1.5)`, rounded once, like [`Vector::scale`]. It is for lanes of which some are
/// subnormal: a product that underflows takes a hundred cycles, while the last bits of a sum are the same number.
#[inline(always)]
fn scale_below_normal<V: Vector>(x: V, n: V, lowest_exponent: f64) -> V {
    let one: V = number(1.0);
    let subnormal = n.lt(number(lowest_exponent));
    let scaled = x.scale(V::select(subnormal, n.sub(number(lowest_exponent)), n));
    let bits = scaled.add(one).to_bits().sub(one.to_bits());
    V::select(subnormal, V::from_bits(bits), scaled)
}

/// Computes lanes that a fast path cannot do one by one with `f`.
#[inline(always)]
fn redo<V: Vector>(result: V, x: V, lanes: V::Mask, f: fn(V::Element) -> V::Element) -> V {
    let lanes = lanes.to_u16();
    if lanes == 0 {
        return result;
    }
    // The copies have an address; without them `x` and `result` would live in memory in the common case too.
    let (mut patched, from) = (result, x);
    V::patch(&mut patched, &from, lanes, f);
    patched
}
