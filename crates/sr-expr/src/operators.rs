//! One operator over vectors: [`Op::apply`] lane by lane.

use crate::simd::Vector;
use crate::{Op, Real, Semantics};

/// `op` applied to every lane; `b` is ignored by unary operators.
#[inline(always)]
pub(crate) fn operator<V: Vector>(op: Op, semantics: Semantics, a: V, b: V) -> V {
    use crate::math::Functions;
    let constant = |value: f64| V::splat(V::Element::from_f64(value));
    let guarded = semantics == Semantics::Protected;
    match op {
        Op::Add => a.add(b),
        Op::Sub => a.sub(b),
        Op::Mul => a.mul(b),
        Op::Div if guarded => a.div(V::select(b.abs().lt(constant(1e-10)), constant(1e-10), b)),
        Op::Div => a.div(b),
        Op::Pow => V::Element::pow(a, b),
        Op::Neg => a.neg(),
        Op::Abs => a.abs(),
        Op::Exp if guarded => {
            let a = V::select(a.lt(constant(-14.0)), constant(-14.0), a);
            V::Element::exp(V::select(constant(14.0).lt(a), constant(14.0), a))
        }
        Op::Exp => V::Element::exp(a),
        Op::Log if guarded => V::Element::log(V::select(a.abs().lt(constant(1e-12)), constant(1e-12), a.abs())),
        Op::Log => V::Element::log(a),
        Op::Sqrt if guarded => a.abs().sqrt(),
        Op::Sqrt => a.sqrt(),
        Op::Sin => V::Element::sin(a),
        Op::Cos => V::Element::cos(a),
        Op::Tan if guarded => {
            let t = V::Element::tan(a);
            let t = V::select(t.lt(constant(-1e6)), constant(-1e6), t);
            V::select(constant(1e6).lt(t), constant(1e6), t)
        }
        Op::Tan => V::Element::tan(a),
        Op::Inv if guarded => V::select(a.abs().lt(constant(1e-6)), constant(1.0 / 1e-6), constant(1.0).div(a)),
        Op::Inv => constant(1.0).div(a),
        Op::Pow2 => a.mul(a),
        Op::Pow3 => a.mul(a).mul(a),
        Op::Tanh => V::Element::tanh(a),
        Op::Asin => V::Element::asin(a),
        Op::Acos => V::Element::acos(a),
        Op::Atan => V::Element::atan(a),
    }
}
