//! The two types of number that kernels are compiled for.

use crate::gradient::Differentiate;
use crate::kernel::Run;
use crate::math::Functions;

/// The two types of number: `f64`, which searches use for every score that they act on, and `f32`, which is about twice
/// as fast to compute with.
pub trait Real: Functions + Run + Differentiate {
    /// The name in tables and JSON.
    const NAME: &'static str;
    /// The number 0.
    const ZERO: Self;
    /// Positive infinity.
    const INFINITY: Self;
    /// A NaN.
    const NAN: Self;
    /// Rounds a number to the nearest one of this type.
    fn from_f64(value: f64) -> Self;
    /// Converts a number exactly.
    fn to_f64(self) -> f64;
}

macro_rules! real {
    ($($kind:ident)*) => { $(
        impl Real for $kind {
            const NAME: &'static str = stringify!($kind);
            const ZERO: Self = 0.0;
            const INFINITY: Self = Self::INFINITY;
            const NAN: Self = $kind::NAN;
            #[inline(always)]
            fn from_f64(value: f64) -> Self {
                value as $kind
            }
            #[inline(always)]
            fn to_f64(self) -> f64 {
                self as f64
            }
        }
    )* };
}
real!(f32 f64);
