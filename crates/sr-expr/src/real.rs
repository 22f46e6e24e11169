//! The two kinds of number that kernels are compiled for.

use crate::gradient::Differentiate;
use crate::kernel::Run;
use crate::math::Functions;

/// `f64`, in which searches are recorded and accepted, or `f32`, which is about twice as fast.
pub trait Real: Functions + Run + Differentiate {
    /// The name in tables and JSON.
    const NAME: &'static str;
    /// 0.
    const ZERO: Self;
    /// Positive infinity.
    const INFINITY: Self;
    /// Not a number.
    const NAN: Self;
    /// The nearest number of this kind.
    fn from_f64(value: f64) -> Self;
    /// The same number.
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
