//! Operators over vectors: [`Op::apply`] lane by lane.

use crate::op::{MAX_EXPONENT, MAX_TAN, MIN_DIVISOR, MIN_INVERSE, MIN_LOG};
use crate::simd::{Vector, number};
use crate::{Op, Semantics};

/// Applies `op` to every lane; unary operators ignore `b`.
///
/// In loops, call it with a constant operator and constant semantics, so that only one arm is left.
#[inline(always)]
pub(crate) fn operator<V: Vector>(op: Op, semantics: Semantics, a: V, b: V) -> V {
    use crate::math::Functions as F;
    let protected = semantics == Semantics::Protected;
    match op {
        Op::Add => a.add(b),
        Op::Sub => a.sub(b),
        Op::Mul => a.mul(b),
        Op::Div if protected => {
            let least: V = number(MIN_DIVISOR);
            a.div(V::select(b.abs().lt(least), least, b))
        }
        Op::Div => a.div(b),
        Op::Pow => F::pow(a, b),
        Op::Neg => a.neg(),
        Op::Abs => a.abs(),
        Op::Exp if protected => F::exp(within(a, MAX_EXPONENT)),
        Op::Exp => F::exp(a),
        Op::Log if protected => F::log(number::<V>(MIN_LOG).max(a.abs())),
        Op::Log => F::log(a),
        Op::Sqrt if protected => a.abs().sqrt(),
        Op::Sqrt => a.sqrt(),
        Op::Sin => F::sin(a),
        Op::Cos => F::cos(a),
        Op::Tan if protected => within(F::tan(a), MAX_TAN),
        Op::Tan => F::tan(a),
        Op::Inv if protected => {
            let small = a.abs().lt(number(MIN_INVERSE));
            V::select(small, number(1.0 / MIN_INVERSE), number::<V>(1.0).div(a))
        }
        Op::Inv => number::<V>(1.0).div(a),
        Op::Pow2 => a.mul(a),
        Op::Pow3 => a.mul(a).mul(a),
        Op::Tanh => F::tanh(a),
        Op::Asin => F::asin(a),
        Op::Acos => F::acos(a),
        Op::Atan => F::atan(a),
    }
}

/// Clips to ±`limit`. The order of the operands keeps NaN, as `f64::clamp` does.
#[inline(always)]
fn within<V: Vector>(x: V, limit: f64) -> V {
    number::<V>(-limit).max(number::<V>(limit).min(x))
}
