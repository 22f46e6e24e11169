//! One operator over slices, at a level of one's choice: for tests and tools. Expressions are evaluated elsewhere.

use crate::operators::operator;
use crate::simd::{self, Level, Vector};
use crate::{Op, Real, Semantics};

/// `out[i] = op(a[i], b[i])`. Unary operators ignore `b`, which may then be empty.
///
/// In `f64` the bits are those of [`Op::apply`], NaN being as good as NaN; in `f32` [`max_ulp`] is kept.
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
/// If this machine does not have the level, or the slices differ in length.
pub fn map<T: Real>(level: Level, op: Op, semantics: Semantics, a: &[T], b: &[T], out: &mut [T]) {
    assert!(level.is_available(), "{} is not available", level.name());
    assert_eq!(a.len(), out.len(), "first operand and results");
    if op.arity() == 2 {
        assert_eq!(b.len(), out.len(), "second operand and results");
    }
    let b = if op.arity() == 2 { b } else { a };
    let whole = out.len() - out.len() % PADDED;
    T::map(level, op, semantics, &a[..whole], &b[..whole], &mut out[..whole]);
    let (mut last_a, mut last_b, mut last_out) = ([T::ZERO; PADDED], [T::ZERO; PADDED], [T::ZERO; PADDED]);
    let tail = out.len() - whole;
    last_a[..tail].copy_from_slice(&a[whole..]);
    last_b[..tail].copy_from_slice(&b[whole..]);
    T::map(level, op, semantics, &last_a, &last_b, &mut last_out);
    out[whole..].copy_from_slice(&last_out[..tail]);
}

/// Whole vectors of either kind.
const PADDED: usize = 16;

/// Largest error of `op` in `f32`, in units in the last place of the exact value of the operator, protected or not, at
/// its (clipped) operands. The transcendental functions were measured for every `f32` (`just ulp-exhaustive`), powers
/// for a sample.
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

/// The element's part of [`map`].
pub trait Map: Sized {
    /// As [`map`], whose checks have passed, of whole vectors and with both operands.
    #[doc(hidden)]
    fn map(level: Level, op: Op, semantics: Semantics, a: &[Self], b: &[Self], out: &mut [Self]);
}

macro_rules! maps {
    ($($element:ident: $portable:ident $avx2:ident $avx512:ident;)*) => { $(
        impl Map for $element {
            #[allow(unsafe_code)]
            fn map(level: Level, op: Op, semantics: Semantics, a: &[Self], b: &[Self], out: &mut [Self]) {
                match level {
                    Level::Portable => operate::<simd::$portable>(op, semantics, a, b, out),
                    // SAFETY: `map` made sure of the level.
                    #[cfg(target_arch = "x86_64")]
                    Level::Avx2 => unsafe { operate_avx2::<simd::$avx2>(op, semantics, a, b, out) },
                    // SAFETY: `map` made sure of the level.
                    #[cfg(target_arch = "x86_64")]
                    Level::Avx512 => unsafe { operate_avx512::<simd::$avx512>(op, semantics, a, b, out) },
                    #[cfg(not(target_arch = "x86_64"))]
                    Level::Avx2 | Level::Avx512 => unreachable!("`map` made sure of the level"),
                }
            }
        }
    )* };
}
maps! {
    f32: PortableF32 Avx2F32 Avx512F32;
    f64: PortableF64 Avx2F64 Avx512F64;
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn operate_avx2<V: Vector>(op: Op, semantics: Semantics, a: &[V::Element], b: &[V::Element], out: &mut [V::Element]) {
    operate::<V>(op, semantics, a, b, out);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
fn operate_avx512<V: Vector>(op: Op, semantics: Semantics, a: &[V::Element], b: &[V::Element], out: &mut [V::Element]) {
    operate::<V>(op, semantics, a, b, out);
}

#[inline(always)]
#[allow(unsafe_code)]
fn operate<V: Vector>(op: Op, semantics: Semantics, a: &[V::Element], b: &[V::Element], out: &mut [V::Element]) {
    assert!(a.len() == out.len() && b.len() == out.len() && out.len() % V::LANES == 0, "whole vectors");
    // A closure in the place of the macro would not be sure to be inlined.
    macro_rules! each {
        ($op:ident $semantics:ident) => {
            for i in (0..out.len()).step_by(V::LANES) {
                // SAFETY: the slices have one length, a multiple of `LANES`.
                unsafe {
                    let (a, b) = (V::load(a.as_ptr().add(i)), V::load(b.as_ptr().add(i)));
                    operator(Op::$op, Semantics::$semantics, a, b).store(out.as_mut_ptr().add(i));
                }
            }
        };
    }
    // Each arm fixes operator and semantics, so that its loop has neither in it.
    macro_rules! arms {
        ($($guarded:ident)*; $($plain:ident)*) => {
            match (op, semantics) {
                $((Op::$guarded, Semantics::Protected) => each!($guarded Protected),)*
                $((Op::$guarded, Semantics::Ieee) => each!($guarded Ieee),)*
                $((Op::$plain, _) => each!($plain Ieee),)*
            }
        };
    }
    arms!(Div Exp Log Sqrt Tan Inv; Add Sub Mul Pow Neg Abs Sin Cos Pow2 Pow3 Tanh Asin Acos Atan);
}

/// How far `got` is from the value `exact`, in units in the last place of an `f32` of that size. None if only
/// one is NaN, if an exact zero or infinity is missed, or a zero has the wrong sign.
///
/// An infinity in `got` is taken for 2^128, and so are larger `exact` ones: that is where `f32` rounds to it.
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
