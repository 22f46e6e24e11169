//! Elementary functions over vectors.
//!
//! `f64`: the algorithms of fdlibm (Sun Microsystems, 1993) as the `libm` crate has them, operation for operation, so
//! that every lane has the bits that the scalar function gives. `f32`: own polynomials, within 2 ULP.

mod double;
mod single;

use crate::simd::Vector;

/// The functions of one kind of number, over any vector of it.
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
    /// `x` to the power of `y`.
    fn pow<V: Vector<Element = Self>>(x: V, y: V) -> V;
}
