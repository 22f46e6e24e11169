//! Functions of `f32`, within 2 ULP.
//!
//! The polynomials are minimax ones, from `minimax.py` beside this file; it says what each of them approximates.
//! Constants that split a number into parts whose sum is more exact have the source named with them.

use super::{Functions, polynomial, redo, scale_below_normal};
use crate::simd::{Bits, Mask, Vector};

const EXP: [f32; 7] = [1.0, 1.0, 4.999_999_4e-1, 1.666_652e-1, 4.166_839_3e-2, 8.368_781e-3, 1.381_447_1e-3];
const LOG: [f32; 8] = [
    3.333_333e-1,
    -2.500_082e-1,
    2.000_122_7e-1,
    -1.662_335_8e-1,
    1.420_176e-1,
    -1.316_018_1e-1,
    1.276_156_5e-1,
    -7.634_485_5e-2,
];
const SIN: [f32; 3] = [-1.666_665_4e-1, 8.332_137e-3, -1.951_202e-4];
const COS: [f32; 5] = [1.0, -0.5, 4.166_664_6e-2, -1.388_728_4e-3, 2.442_942_8e-5];
const TAN: [f32; 7] =
    [3.333_335_2e-1, 1.333_261_3e-1, 5.406_578_6e-2, 2.125_100_4e-2, 1.091_879_1e-2, -1.824_261_7e-5, 4.430_655_4e-3];
const TANH: [f32; 5] = [-3.333_328e-1, 1.333_144_2e-1, -5.373_971_5e-2, 2.063_908_4e-2, -5.704_984_5e-3];
const ASIN: [f32; 5] = [1.666_675_2e-1, 7.495_297_5e-2, 4.547_037e-2, 2.417_953_1e-2, 4.216_629e-2];
const ATAN: [f32; 9] = [
    -3.333_33e-1,
    1.999_854_9e-1,
    -1.426_424_2e-1,
    1.095_218_7e-1,
    -8.403_455e-2,
    5.795_766e-2,
    -3.117_790_5e-2,
    1.091_463_3e-2,
    -1.793_627_3e-3,
];
const LOG2_1P: [f64; 14] = [
    1.442_695_040_886_574_4,
    -7.213_475_203_275_658e-1,
    4.808_983_488_029_949e-1,
    -3.606_737_931_352_990_7e-1,
    2.885_387_957_163_028_6e-1,
    -2.404_464_336_575_227_7e-1,
    2.061_071_234_093_845_6e-1,
    -1.804_367_491_821_085_3e-1,
    1.602_166_623_644_254e-1,
    -1.424_986_514_548_346e-1,
    1.302_756_536_586_515_4e-1,
    -1.346_292_466_986_391_5e-1,
    1.325_118_946_018_025e-1,
    -6.973_913_817_445_7e-2,
];
const EXP2: [f64; 7] = [
    1.000_000_000_554_223_3,
    6.931_472_057_371_079e-1,
    2.402_264_689_040_059_2e-1,
    5.550_328_777_512_284e-2,
    9.618_488_985_756_457e-3,
    1.339_993_104_882_398_8e-3,
    1.534_580_407_137_049_8e-4,
];

/// A number that, added and subtracted again, rounds `f32` up to 2^22 in magnitude to integers. The last bits of the
/// sum are the integer's.
const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23
/// The same for `f64`, up to 2^51.
const ROUND_WIDE: f64 = 6_755_399_441_055_744.0; // 1.5 * 2^52
const SIGN: i64 = 1 << 31;

/// ln 2 in two parts, the first of 10 bits: its product with an exponent is exact (Cephes, `expf.c`).
const LN_2_PARTS: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
/// ln 2 in two parts of one sign, so that an infinite exponent stays infinite; the first has 17 bits (fdlibm, `e_logf.c`).
const LN_2_POSITIVE_PARTS: [f32; 2] = [6.931_381e-1, 9.058_001e-6];
/// pi/2 in two parts: the nearest `f32` and its error.
const FRAC_PI_2_PARTS: [f32; 2] = [std::f32::consts::FRAC_PI_2, -4.371_139e-8];

/// The largest argument that [`quadrant`] reduces in `f32`, if products fuse.
const MAX_NARROW: f32 = 65_536.0;
/// pi/2 in three parts, each the nearest `f32` to the error of the parts before it.
const FRAC_PI_2_NARROW: [f32; 3] = [std::f32::consts::FRAC_PI_2, -4.371_139e-8, -1.715_124_5e-15];
/// pi/2 in three parts, of 23, 23 and 53 bits, so that products of the first two with integers below 2^30 are exact.
const FRAC_PI_2_WIDE: [f64; 3] = [1.570796251296997, 7.549789415861596e-08, 5.390302858158119e-15];

/// Returns the largest argument that is reduced in vectors. Up to there the integer multiple of pi/2 is the right one,
/// and its products with the parts are exact.
#[inline(always)]
fn max_wide<V: Vector<Element = f32>>() -> f32 {
    if V::FUSES { (1_u64 << 44) as f32 } else { (1_u64 << 30) as f32 }
}

/// The decomposition `x = r + n pi/2` of any `x` that is not negative, with `r` in about ±pi/4.
struct Quadrant<V: Vector> {
    /// `r` with an error of about one unit in the last place. The compiler drops it where it is not used.
    r: V,
    /// `r` in two parts.
    parts: [V; 2],
    /// Bits whose last two are those of `n`.
    n: V::Bits,
}

/// Computes the quadrant of `x`. It is NaN for infinity and NaN, and wrong for other `x` above [`max_wide`].
#[inline(always)]
fn quadrant<V: Vector<Element = f32>>(x: V) -> Quadrant<V> {
    // NaN does not count as far: both paths return it, and the narrow one is quicker.
    let far = V::splat(MAX_NARROW).lt(x);
    if V::FUSES && !far.any() {
        let [a, b, c] = FRAC_PI_2_NARROW.map(|part| V::splat(-part));
        let sum = x.mul_add(V::splat(std::f32::consts::FRAC_2_PI), V::splat(ROUND));
        let n = sum.sub(V::splat(ROUND));
        // Fused, the first difference is exact: a multiple of the last bit of pi/2 and less than 1.
        let first = n.mul_add(a, x);
        let r = n.mul_add(c, n.mul_add(b, first));
        // The product and the sum are each computed in two parts, with their rounding errors (Knuth's TwoSum).
        let product = n.mul(b);
        let missed = n.mul_add(b, product.neg());
        let head = first.add(product);
        let added = head.sub(first);
        let lost = first.sub(head.sub(added)).add(product.sub(added));
        return Quadrant { r, parts: [head, n.mul_add(c, lost.add(missed))], n: sum.to_bits() };
    }
    let [first, second] = x.widen();
    let ((r0, n0), (r1, n1)) = (wide_quadrant(first), wide_quadrant(second));
    let r = V::narrow([r0, r1]);
    let [narrowed0, narrowed1] = r.widen();
    let rest = V::narrow([r0.sub(narrowed0), r1.sub(narrowed1)]);
    Quadrant { r, parts: [r, rest], n: V::narrow([n0, n1]).add(V::splat(ROUND)).to_bits() }
}

/// Computes [`quadrant`] in double precision, without the second part; `n` is one of -2..=2.
#[inline(always)]
fn wide_quadrant<W: Vector<Element = f64>>(x: W) -> (W, W) {
    let round = W::splat(ROUND_WIDE);
    let n = x.mul(W::splat(std::f64::consts::FRAC_2_PI)).add(round).sub(round);
    let turns = n.mul(W::splat(0.25)).add(round).sub(round);
    (minus_multiple(x, n, FRAC_PI_2_WIDE), n.sub(turns.mul(W::splat(4.0))))
}

/// Decomposes `|x|`, above 2^28, as `r + n pi/2` with `r` within ±pi/4 (Payne & Hanek, 1983).
fn huge_quadrant(x: f32) -> (f64, u128) {
    /// The first 256 bits of 2/pi.
    const FRAC_2_PI: [u128; 2] = [0xa2f9_836e_4e44_1529_fc27_57d1_f534_ddc0, 0xdb62_9599_3c43_9041_fe51_63ab_debb_c561];
    const UNIT: f64 = std::f64::consts::FRAC_PI_2 / (1_u64 << 62) as f64;
    let bits = x.abs().to_bits();
    let mantissa = u128::from(bits & 0x7f_ffff | 0x80_0000);
    // |x| is the mantissa times a power of two; of that times 2/pi, whole turns and what is above them are left out.
    let turns = (bits >> 23) - 127 - 23 - 2;
    let rest = FRAC_2_PI[0] << turns | FRAC_2_PI[1] >> (128 - turns);
    let product = rest.wrapping_mul(mantissa);
    // In the upper two bits are the quadrants.
    let n = product.wrapping_add(1 << 125) >> 126;
    let r = product.wrapping_sub(n << 126) as i128;
    ((r >> 64) as i64 as f64 * UNIT, n)
}

fn huge_sin(x: f32) -> f32 {
    let (r, n) = huge_quadrant(x);
    shifted_sin(r, n) as f32 * 1.0_f32.copysign(x)
}

fn huge_cos(x: f32) -> f32 {
    let (r, n) = huge_quadrant(x);
    shifted_sin(r, n + 1) as f32
}

fn huge_tan(x: f32) -> f32 {
    let (r, n) = huge_quadrant(x);
    let tan = libm::tan(r);
    (if n & 1 == 0 { tan } else { -1.0 / tan }) as f32 * 1.0_f32.copysign(x)
}

/// Computes sin (r + n pi/2).
fn shifted_sin(r: f64, n: u128) -> f64 {
    match n & 3 {
        0 => libm::sin(r),
        1 => libm::cos(r),
        2 => -libm::sin(r),
        _ => -libm::cos(r),
    }
}

/// Redoes finite lanes that [`quadrant`] cannot reduce.
#[inline(always)]
fn redo_huge<V: Vector<Element = f32>>(result: V, x: V, size: V, f: fn(f32) -> f32) -> V {
    let huge = V::splat(max_wide::<V>()).lt(size);
    if !huge.any() {
        return result;
    }
    redo(result, x, huge.and(size.lt(V::splat(f32::INFINITY))), f)
}

/// Returns the sine and the cosine of `r` in about ±pi/4.
#[inline(always)]
fn sin_and_cos<V: Vector<Element = f32>>(r: V) -> (V, V) {
    let z = r.mul(r);
    (r.mul(z).mul_add(polynomial(z, SIN), r), polynomial(z, COS))
}

/// Returns `x` with its sign flipped where the sign bit of `sign` is set.
#[inline(always)]
fn flip<V: Vector<Element = f32>>(x: V, sign: V::Bits) -> V {
    V::from_bits(x.to_bits().xor(sign.and(V::Bits::splat(SIGN))))
}

/// Computes `e^x` as `p * 2^n`, for `x` up to 89. Where `e^x` rounds to 0, `p` and `n` are meaningless.
#[inline(always)]
fn exp_in_range<V: Vector<Element = f32>>(x: V) -> (V, V) {
    let n = x.mul_add(V::splat(std::f32::consts::LOG2_E), V::splat(ROUND)).sub(V::splat(ROUND));
    (polynomial(minus_multiple(x, n, LN_2_PARTS), EXP), n)
}

/// Computes `|x|^y` in double precision. It is NaN where the value is not the limit of its neighbours.
#[inline(always)]
fn power<W: Vector<Element = f64>>(x: W, y: W) -> W {
    let (m, e) = x.split();
    let f = m.sub(W::splat(1.0));
    let exponent = wide_polynomial(f, LOG2_1P).mul_add_any(f, e).mul(y);
    // Beyond ±200 the `f32` result is 0 or infinite. Clipping is quicker than rounding to 0. The order keeps NaN.
    let exponent = W::splat(-200.0).max(W::splat(200.0).min(exponent));
    let n = exponent.add(W::splat(ROUND_WIDE)).sub(W::splat(ROUND_WIDE));
    let result = wide_polynomial(exponent.sub(n), EXP2).scale(n);
    W::select(exponent.lt(W::splat(-151.0)), W::splat(0.0), result)
}

/// Computes a [`polynomial`] for values that are then rounded to `f32`.
#[inline(always)]
fn wide_polynomial<W: Vector<Element = f64>, const N: usize>(x: W, c: [f64; N]) -> W {
    let mut sum = W::splat(c[N - 1]);
    for i in (0..N - 1).rev() {
        sum = sum.mul_add_any(x, W::splat(c[i]));
    }
    sum
}

/// Subtracts `n` times each of the parts from `x`.
#[inline(always)]
fn minus_multiple<V: Vector, const N: usize>(x: V, n: V, parts: [V::Element; N]) -> V {
    let mut rest = x;
    for part in parts {
        rest = n.mul_add_any(V::splat(part).neg(), rest);
    }
    rest
}

impl Functions for f32 {
    #[inline(always)]
    fn exp<V: Vector<Element = Self>>(x: V) -> V {
        let low = x.lt(V::splat(-87.0));
        // Above, the result is infinite. The order keeps NaN.
        let (p, n) = exp_in_range(V::splat(89.0).min(x));
        if low.any() {
            let zero = V::splat(0.0);
            let below = x.lt(V::splat(-104.0));
            return V::select(below, zero, scale_below_normal(p, V::select(below, zero, n), -126.0));
        }
        p.scale(n)
    }

    #[inline(always)]
    fn log<V: Vector<Element = Self>>(x: V) -> V {
        let (m, e) = x.split();
        let f = m.sub(V::splat(1.0));
        let z = f.mul(f);
        let rest = polynomial(f, LOG).mul(z.mul(f));
        let rest = e.mul_add(V::splat(LN_2_POSITIVE_PARTS[1]), rest);
        let rest = z.mul_add(V::splat(-0.5), rest);
        e.mul_add(V::splat(LN_2_POSITIVE_PARTS[0]), f.add(rest))
    }

    #[inline(always)]
    fn sin<V: Vector<Element = Self>>(x: V) -> V {
        let size = x.abs();
        let Quadrant { r, n, .. } = quadrant(size);
        let (sin, cos) = sin_and_cos(r);
        let odd = n.and(V::Bits::splat(1)).eq(V::Bits::splat(1));
        let result = flip(V::select(odd, cos, sin), n.shl::<30>().xor(x.to_bits()));
        redo_huge(result, x, size, huge_sin)
    }

    #[inline(always)]
    fn cos<V: Vector<Element = Self>>(x: V) -> V {
        let size = x.abs();
        let Quadrant { r, n, .. } = quadrant(size);
        let (sin, cos) = sin_and_cos(r);
        let odd = n.and(V::Bits::splat(1)).eq(V::Bits::splat(1));
        let result = flip(V::select(odd, sin, cos), n.add(V::Bits::splat(1)).shl::<30>());
        redo_huge(result, x, size, huge_cos)
    }

    #[inline(always)]
    fn tan<V: Vector<Element = Self>>(x: V) -> V {
        let size = x.abs();
        let Quadrant { parts: [r, rest], n, .. } = quadrant(size);
        let z = r.mul(r);
        // d tan r / dr = 1 + tan^2 r, of which the first term in z is enough for so small a rest.
        let tail = r.mul(z).mul_add(polynomial(z, TAN), rest.mul_add(z, rest));
        let tan = r.add(tail);
        // -1/(t + d) is about q + q^2 d for q = -1/t; without it the rounding of t would count for too much.
        let missed = tail.sub(tan.sub(r));
        let inverse = V::splat(-1.0).div(tan);
        let inverse = inverse.mul(inverse).mul_add(missed, inverse);
        let odd = n.and(V::Bits::splat(1)).eq(V::Bits::splat(1));
        let result = flip(V::select(odd, inverse, tan), x.to_bits());
        redo_huge(result, x, size, huge_tan)
    }

    #[inline(always)]
    fn tanh<V: Vector<Element = Self>>(x: V) -> V {
        let size = x.abs();
        let z = size.mul(size);
        let small = size.mul(z).mul_add(polynomial(z, TANH), size);
        // From 10 on the result is 1.
        let size = V::splat(10.0).min(size);
        let one = V::splat(1.0);
        let (p, n) = exp_in_range(size.add(size));
        let large = one.sub(V::splat(2.0).div(p.scale(n).add(one)));
        flip(V::select(size.lt(V::splat(0.625)), small, large), x.to_bits())
    }

    #[inline(always)]
    fn asin<V: Vector<Element = Self>>(x: V) -> V {
        let size = x.abs();
        let (large, t, tail) = asin_or_half(size);
        let [hi, lo] = FRAC_PI_2_PARTS.map(V::splat);
        // The difference is above 1 for some results below, where its rounding counts double.
        let (twice, head) = (t.add(t), hi.sub(t.add(t)));
        let missed = hi.sub(head).sub(twice);
        let rest = tail.add(tail).sub(lo.add(missed));
        flip(V::select(large, head.sub(rest), t.add(tail)), x.to_bits())
    }

    #[inline(always)]
    fn acos<V: Vector<Element = Self>>(x: V) -> V {
        let (large, t, tail) = asin_or_half(x.abs());
        let p = t.add(tail);
        let [hi, lo] = FRAC_PI_2_PARTS.map(V::splat);
        // acos x = pi/2 - asin x; for large x it is 2 asin √((1 - x)/2), and acos -x = pi - acos x.
        let zero = V::splat(0.0);
        let negative = x.lt(zero);
        let hi = V::select(large, V::select(negative, hi.add(hi), zero), hi);
        let lo = V::select(large, V::select(negative, lo.add(lo), zero), lo);
        let p = V::select(large, p.add(p).neg(), p);
        hi.sub(flip(p, x.to_bits()).sub(lo))
    }

    #[inline(always)]
    fn atan<V: Vector<Element = Self>>(x: V) -> V {
        let (size, one) = (x.abs(), V::splat(1.0));
        // The inverse of what is above 1. The order keeps NaN.
        let t = one.min(size).div(one.max(size));
        let z = t.mul(t);
        let p = t.mul(z).mul_add(polynomial(z, ATAN), t);
        let [hi, lo] = FRAC_PI_2_PARTS.map(V::splat);
        flip(V::select(one.lt(size), hi.sub(p.sub(lo)), p), x.to_bits())
    }

    /// Follows C99: `x^0` and `1^y` are 1 even for NaN; a negative number has integral powers only.
    #[inline(always)]
    fn pow<V: Vector<Element = Self>>(x: V, y: V) -> V {
        let (zero, one, infinity) = (V::splat(0.0), V::splat(1.0), V::splat(f32::INFINITY));
        let size = x.abs();
        let ([x0, x1], [y0, y1]) = (size.widen(), y.widen());
        let result = V::narrow([power(x0, y0), power(x1, y1)]);
        let half = y.mul(V::splat(0.5));
        let integral = y.trunc().eq(y);
        let odd = integral.and(half.trunc().eq(half).not());
        let result = V::select(odd, flip(result, x.to_bits()), result);
        let undefined = x.lt(zero).and(size.lt(infinity)).and(integral.not());
        let result = V::select(undefined, V::splat(f32::NAN), result);
        let unit = y.eq(zero).or(x.eq(one)).or(size.eq(one).and(y.abs().eq(infinity)));
        V::select(unit, one, result)
    }
}

/// Returns asin √((1 - x)/2), half of acos x, for `x` above 1/2, and asin x for others; the mask tells which. The
/// result is in two parts to be added, the first much the greater. It is NaN above 1.
#[inline(always)]
fn asin_or_half<V: Vector<Element = f32>>(x: V) -> (V::Mask, V, V) {
    let half = V::splat(0.5);
    let large = half.lt(x);
    let z = V::select(large, V::splat(1.0).sub(x).mul(half), x.mul(x));
    let t = V::select(large, z.sqrt(), x);
    (large, t, t.mul(z).mul(polynomial(z, ASIN)))
}
