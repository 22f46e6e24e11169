//! One operator over slices at a given level, for tests and tools. Expressions are evaluated by a
//! [`Machine`](crate::Machine).

use crate::Level;
use crate::{Op, Real, Semantics};

/// Computes `out[i] = op(a[i], b[i])`. Unary operators ignore `b`, which may then be empty.
///
/// In `f64` the bits are those of [`Op::apply`], except that any NaN may stand for another; in `f32` the error is at
/// most [`max_ulp`].
///
/// ```
/// use sr_expr::{Level, Op, Semantics, map::map};
///
/// let mut out = [0.0; 3];
/// map(Level::detect(), Op::Log, Semantics::Ieee, &[1.0, 0.0, -1.0], &[], &mut out);
/// assert_eq!(out[..2], [0.0, f64::NEG_INFINITY]);
/// assert!(out[2].is_nan());
/// ```
///
/// # Panics
/// Panics if this machine does not have the level, or the slices differ in length.
#[allow(unsafe_code)]
pub fn map<T: Real>(level: Level, op: Op, semantics: Semantics, a: &[T], b: &[T], out: &mut [T]) {
    assert!(level.is_available(), "{} is not available", level.name());
    assert_eq!(a.len(), out.len(), "first operand and results");
    if op.arity() == 2 {
        assert_eq!(b.len(), out.len(), "second operand and results");
    }
    let b = if op.arity() == 2 { b } else { a };
    let whole = out.len() - out.len() % PADDED;
    let n = out.len() / PADDED;
    // SAFETY: the level is available; there are `n` times sixteen elements.
    unsafe { T::block(level, op, semantics, a.as_ptr(), b.as_ptr(), out.as_mut_ptr(), n) };
    let (mut last_a, mut last_b, mut last_out) = ([T::ZERO; PADDED], [T::ZERO; PADDED], [T::ZERO; PADDED]);
    let tail = out.len() - whole;
    last_a[..tail].copy_from_slice(&a[whole..]);
    last_b[..tail].copy_from_slice(&b[whole..]);
    // SAFETY: the level is available; there are sixteen elements.
    unsafe { T::block(level, op, semantics, last_a.as_ptr(), last_b.as_ptr(), last_out.as_mut_ptr(), 1) };
    out[whole..].copy_from_slice(&last_out[..tail]);
}

/// The number of elements that fill whole vectors of `f64` and of `f32`.
const PADDED: usize = 16;

/// Returns the largest error of `op` in `f32`, in units in the last place of the exact value. That is the value of the
/// operator, protected or not, at its (clipped) operands. The transcendental functions were measured for every `f32`
/// (`just ulp-exhaustive`), powers for a sample.
pub const fn max_ulp(op: Op) -> f32 {
    match op {
        Op::Add | Op::Sub | Op::Mul | Op::Div | Op::Neg | Op::Abs | Op::Sqrt | Op::Inv | Op::Pow2 => 0.5,
        // The square's rounding can count double in the product.
        Op::Pow3 => 1.5,
        Op::Pow => 0.75,
        Op::Log => 1.0,
        Op::Exp | Op::Asin | Op::Acos => 1.25,
        Op::Tanh => 1.5,
        Op::Sin | Op::Cos | Op::Tan | Op::Atan => 1.75,
    }
}

/// Returns how far `got` is from the value `exact`, in units in the last place of an `f32` of that size. Returns `None`
/// if only one is NaN, if an exact zero or infinity is missed, or a zero has the wrong sign.
///
/// An infinity in `got` counts as 2^128, and so do larger values of `exact`, because `f32` rounds to infinity from
/// there on.
#[inline]
pub fn error_in_ulp(got: f32, exact: f64) -> Option<f32> {
    const OVERFLOW: f64 = (1_u128 << 127) as f64 * 2.0;
    if got.is_nan() || exact.is_nan() {
        return (got.is_nan() && exact.is_nan()).then_some(0.0);
    }
    if (got == 0.0 || exact == 0.0) && got.is_sign_negative() != exact.is_sign_negative() {
        return None;
    }
    if exact == 0.0 {
        return (got == 0.0).then_some(0.0);
    }
    if exact.is_infinite() {
        return (f64::from(got) == exact).then_some(0.0);
    }
    let got = f64::from(got).clamp(-OVERFLOW, OVERFLOW);
    let exact = exact.clamp(-OVERFLOW, OVERFLOW);
    let exponent = (exact.abs().to_bits() >> 52) as i32 - 1023;
    let units = f64::from_bits(((1023 + 23 - exponent.clamp(-126, 127)) as u64) << 52);
    Some(((got - exact).abs() * units) as f32)
}
