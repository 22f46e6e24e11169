//! Functions of `f64`, with the bits of the `libm` crate.
//!
//! Each function does what `libm` 0.2.16 does (fdlibm, by way of musl), the same operations in the same order, and
//! chooses between its branches lane by lane. Only additions, multiplications, divisions and roots that IEEE 754
//! defines, never fused: so the bits are equal on every level. Branches that end in the same bits are left out, and the
//! comments say why they do. `libm` compares the upper halves of numbers; [`high`] makes them whole ones.

// Constants are written as in the original.
#![allow(clippy::excessive_precision, clippy::approx_constant)]

use std::ops::{Add, Div, Mul, Neg, Sub};

use super::{Functions, redo, scale_below_normal};
use crate::simd::{Bits, Mask, Vector};

/// A vector with operators, so that formulas can be compared with their originals.
#[derive(Clone, Copy)]
struct Lanes<V>(V);

macro_rules! operators {
    ($($trait:ident $method:ident)*) => { $(
        impl<V: Vector<Element = f64>> $trait for Lanes<V> {
            type Output = Self;
            #[inline(always)]
            fn $method(self, other: Self) -> Self {
                Lanes(V::$method(self.0, other.0))
            }
        }
        impl<V: Vector<Element = f64>> $trait<f64> for Lanes<V> {
            type Output = Self;
            #[inline(always)]
            fn $method(self, other: f64) -> Self {
                Lanes(V::$method(self.0, V::splat(other)))
            }
        }
        impl<V: Vector<Element = f64>> $trait<Lanes<V>> for f64 {
            type Output = Lanes<V>;
            #[inline(always)]
            fn $method(self, other: Lanes<V>) -> Lanes<V> {
                Lanes(V::$method(V::splat(self), other.0))
            }
        }
    )* };
}
operators!(Add add Sub sub Mul mul Div div);

impl<V: Vector<Element = f64>> Neg for Lanes<V> {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        Lanes(self.0.neg())
    }
}

impl<V: Vector<Element = f64>> Lanes<V> {
    #[inline(always)]
    fn splat(value: f64) -> Self {
        Lanes(V::splat(value))
    }
    #[inline(always)]
    fn abs(self) -> Self {
        Lanes(self.0.abs())
    }
    #[inline(always)]
    fn lt(self, other: f64) -> V::Mask {
        self.0.lt(V::splat(other))
    }
    #[inline(always)]
    fn ge(self, other: f64) -> V::Mask {
        V::splat(other).le(self.0)
    }
    #[inline(always)]
    fn select(mask: V::Mask, yes: Self, no: Self) -> Self {
        Lanes(V::select(mask, yes.0, no.0))
    }
    #[inline(always)]
    fn choose(mask: V::Mask, yes: f64, no: f64) -> Self {
        Lanes(V::select(mask, V::splat(yes), V::splat(no)))
    }
    /// Returns `self * factor + sum` where the product is exact, so that fusing changes nothing.
    #[inline(always)]
    fn times_exact(self, factor: f64, sum: Self) -> Self {
        Lanes(self.0.mul_add_any(V::splat(factor), sum.0))
    }
    /// Returns this number with its sign flipped where the sign bit of `sign` is set.
    #[inline(always)]
    fn flip(self, sign: V::Bits) -> V {
        V::from_bits(self.0.to_bits().xor(sign.and(V::Bits::splat(SIGN))))
    }
    /// Returns whether the exponent is greater than `other`'s by more than `bits`.
    #[inline(always)]
    fn exceeds(self, other: Self, bits: i64) -> V::Mask {
        let (a, b) = (self.0.to_bits().and(V::Bits::splat(EXPONENT)), other.0.to_bits().and(V::Bits::splat(EXPONENT)));
        a.sub(b).gt(V::Bits::splat(bits << 52))
    }
    /// Returns `with_set_low_word(self, 0)` of the original.
    #[inline(always)]
    fn zero_low_word(self) -> Self {
        Lanes(V::from_bits(self.0.to_bits().and(V::Bits::splat(!0xffff_ffff))))
    }
}

const SIGN: i64 = i64::MIN;
const EXPONENT: i64 = 0x7ff << 52;

/// Returns the least number whose upper half is `word`.
const fn high(word: u32) -> f64 {
    f64::from_bits((word as u64) << 32)
}

/// A number that, added and subtracted again, rounds to an integer; the last bits of the sum are that integer (`TO_INT`
/// of `rem_pio2`).
const ROUND: f64 = 6_755_399_441_055_744.0; // 1.5 * 2^52

const LN2_HI: f64 = 6.93147180369123816490e-01;
const LN2_LO: f64 = 1.90821492927058770002e-10;
const INV_LN2: f64 = 1.44269504088896338700e+00;

/// Returns the `k` of `exp` and `expm1`: `x / ln 2` rounded half away from zero.
#[inline(always)]
fn power_of_two<V: Vector<Element = f64>>(x: Lanes<V>) -> Lanes<V> {
    let half = V::from_bits(x.0.to_bits().and(V::Bits::splat(SIGN)).or(V::splat(0.5).to_bits()));
    let k = Lanes((INV_LN2 * x + Lanes(half)).0.trunc());
    // Up to 1.5 ln 2 the originals set 1 or -1 without multiplying; that is what is found here too.
    Lanes::select(x.abs().lt(high(0x3fd6_2e43)), Lanes::splat(0.0), k)
}

/// The result of `rem_pio2`, for `x` that are not negative: `x - n pi/2` in two parts, bits whose last two are those of
/// `n`, whether `n` is 0, and lanes that have to be redone.
struct Remainder<V: Vector> {
    y: [Lanes<V>; 2],
    n: V::Bits,
    first: V::Mask,
    redo: V::Mask,
}

#[inline(always)]
fn rem_pio2<V: Vector<Element = f64>>(x: Lanes<V>) -> Remainder<V> {
    const INV_PIO2: f64 = 6.36619772367581382433e-01;
    const PIO2_1: f64 = 1.57079632673412561417e+00;
    const PIO2_1T: f64 = 6.07710050650619224932e-11;
    const PIO2_2: f64 = 6.07710050630396597660e-11;
    const PIO2_2T: f64 = 2.02226624879595063154e-21;
    // Up to 9 pi/4 the original finds `n` by comparing upper halves with odd multiples of pi/4 and then does the same
    // operations with multiples of the constants. The comparison differs from rounding within 2^-18 of such a multiple.
    const CLOSE: f64 = 0.785_39; // pi/4 - 2^-17
    const HUGE: f64 = high(0x4139_21fb);

    let sum = x * INV_PIO2 + ROUND;
    let f_n = sum - ROUND;
    let mut r = f_n.times_exact(-PIO2_1, x);
    let mut w = f_n * PIO2_1T;
    let mut y0 = r - w;
    // More rounds follow if the exponents of `x` and `y0` differ by more than 16; here a bit too often.
    let size = y0.abs();
    let cancelled = (size * 65536.0).0.lt(x.0);
    // NaN is excluded, so that it costs no more than numbers.
    let doubtful = cancelled.or(V::splat(CLOSE).lt(size.0)).or(x.ge(HUGE));
    let mut redo = Mask::first(0);
    if doubtful.any() {
        let small = x.lt(high(0x401c_463c));
        let second = x.exceeds(y0, 16).and(small.not());
        let t = r;
        let w_1 = f_n * PIO2_2;
        let r_1 = t - w_1;
        let w_2 = f_n * PIO2_2T - ((t - r_1) - w_1);
        r = Lanes::select(second, r_1, r);
        w = Lanes::select(second, w_2, w);
        y0 = r - w;
        let third = second.and(x.exceeds(y0, 49));
        let huge = x.ge(HUGE).and(x.lt(f64::INFINITY));
        redo = huge.or(third).or(small.and(doubtful));
    }
    let y1 = (r - y0) - w;
    Remainder { y: [y0, y1], n: sum.0.to_bits(), first: f_n.0.eq(V::splat(0.0)), redo }
}

/// Computes `k_sin(x, y, 1)`, or `k_sin(x, 0.0, 0)` where `first` is set.
#[inline(always)]
fn k_sin<V: Vector<Element = f64>>([x, y]: [Lanes<V>; 2], first: Option<V::Mask>) -> Lanes<V> {
    const S1: f64 = -1.66666666666666324348e-01;
    const S2: f64 = 8.33333333332248946124e-03;
    const S3: f64 = -1.98412698298579493134e-04;
    const S4: f64 = 2.75573137070700676789e-06;
    const S5: f64 = -2.50507602534068634195e-08;
    const S6: f64 = 1.58969099521155010221e-10;
    let z = x * x;
    let w = z * z;
    let r = S2 + z * (S3 + z * S4) + z * w * (S5 + z * S6);
    let v = z * x;
    let reduced = x - ((z * y.times_exact(0.5, -(v * r)) - y) - v * S1);
    match first {
        Some(first) => Lanes::select(first, x + v * (S1 + z * r), reduced),
        None => reduced,
    }
}

#[inline(always)]
fn k_cos<V: Vector<Element = f64>>([x, y]: [Lanes<V>; 2]) -> Lanes<V> {
    const C1: f64 = 4.16666666666666019037e-02;
    const C2: f64 = -1.38888888888741095749e-03;
    const C3: f64 = 2.48015872894767294178e-05;
    const C4: f64 = -2.75573143513906633035e-07;
    const C5: f64 = 2.08757232129817482790e-09;
    const C6: f64 = -1.13596475577881948265e-11;
    let z = x * x;
    let w = z * z;
    let r = z * (C1 + z * (C2 + z * C3)) + w * w * (C4 + z * (C5 + z * C6));
    let hz = 0.5 * z;
    let w = z.times_exact(-0.5, Lanes::splat(1.0));
    w + (((1.0 - w) - hz) + (z * r - x * y))
}

#[inline(always)]
fn k_tan<V: Vector<Element = f64>>([x, y]: [Lanes<V>; 2], odd: V::Mask) -> Lanes<V> {
    const T: [f64; 13] = [
        3.33333333333334091986e-01,
        1.33333333333201242699e-01,
        5.39682539762260521377e-02,
        2.18694882948595424599e-02,
        8.86323982359930005737e-03,
        3.59207910759131235356e-03,
        1.45620945432529025516e-03,
        5.88041240820264096874e-04,
        2.46463134818469906812e-04,
        7.81794442939557092300e-05,
        7.14072491382608190305e-05,
        -1.85586374855275456654e-05,
        2.59073051863633712884e-05,
    ];
    const PIO4: f64 = 7.85398163397448278999e-01;
    const PIO4_LO: f64 = 3.06161699786838301793e-17;
    let sign = x.0.to_bits();
    let big = x.abs().ge(high(0x3fe5_9428));
    let folded = (PIO4 - x.abs()) + (PIO4_LO - Lanes(y.flip(sign)));
    let x = Lanes::select(big, folded, x);
    let y = Lanes::select(big, Lanes::splat(0.0), y);
    let z = x * x;
    let w = z * z;
    let r = T[1] + w * (T[3] + w * (T[5] + w * (T[7] + w * (T[9] + w * T[11]))));
    let v = z * (T[2] + w * (T[4] + w * (T[6] + w * (T[8] + w * (T[10] + w * T[12])))));
    let s = z * x;
    let r = y + z * (s * (r + v) + y) + s * T[0];
    let w = x + r;
    // One division for the branches that have one.
    let s = Lanes::choose(odd, -1.0, 1.0);
    let quotient = Lanes::select(big, w * w, Lanes::splat(-1.0)) / Lanes::select(big, w + s, w);
    let v = (x + (r - quotient)).times_exact(-2.0, s);
    let big_result = Lanes(v.flip(sign));
    let w0 = w.zero_low_word();
    let v = r - (w0 - x);
    let a = quotient;
    let a0 = a.zero_low_word();
    let inverse = a0 + a * (1.0 + a0 * w0 + a0 * v);
    Lanes::select(big, big_result, Lanes::select(odd, inverse, w))
}

/// Computes `expm1` for `x` in -0.52..=44, where `k` is in -1..=63.
#[inline(always)]
fn expm1<V: Vector<Element = f64>>(x: Lanes<V>) -> Lanes<V> {
    const Q1: f64 = -3.33333333333331316428e-02;
    const Q2: f64 = 1.58730158725481460165e-03;
    const Q3: f64 = -7.93650757867487942473e-05;
    const Q4: f64 = 4.00821782732936239552e-06;
    const Q5: f64 = -2.01099218183624371326e-07;
    let k = power_of_two(x);
    let hi = k.times_exact(-LN2_HI, x);
    let lo = k * LN2_LO;
    // If `k` is 0, `x` is unchanged and `c` is 0. So is `e` for a tiny `x`, which the original returns at once.
    let x = hi - lo;
    let c = (hi - x) - lo;
    let hfx = 0.5 * x;
    let hxs = x * hfx;
    let r1 = 1.0 + hxs * (Q1 + hxs * (Q2 + hxs * (Q3 + hxs * (Q4 + hxs * Q5))));
    let t = 3.0 - r1 * hfx;
    let e = hxs * ((r1 - t) / (6.0 - x * t));
    let unscaled = x - (x * e - hxs);
    let e = x * (e - c) - c;
    let e = e - hxs;
    let difference = x - e;
    let halved = difference.times_exact(0.5, Lanes::splat(-0.5));
    let doubled = Lanes::select(x.lt(-0.25), -2.0 * (e - (x + 0.5)), difference.times_exact(2.0, Lanes::splat(1.0)));
    let k_bits = (k + ROUND).0.to_bits();
    let two_k = Lanes(V::from_bits(k_bits.add(V::Bits::splat(1023)).shl::<52>()));
    let uf = Lanes(V::from_bits(V::Bits::splat(1023).sub(k_bits).shl::<52>()));
    let below_20 = (difference + (1.0 - uf)) * two_k;
    let up_to_56 = (x - (e + uf) + 1.0) * two_k;
    let above_56 = (difference + 1.0) * two_k - 1.0;
    let result = Lanes::select(k.ge(57.0), above_56, up_to_56);
    let result = Lanes::select(k.lt(20.0), below_20, result);
    let result = Lanes::select(k.lt(2.0), doubled, result);
    let result = Lanes::select(k.lt(1.0), unscaled, result);
    Lanes::select(k.lt(0.0), halved, result)
}

const PIO2_HI: f64 = 1.57079632679489655800e+00;
const PIO2_LO: f64 = 6.12323399573676603587e-17;

/// Computes the `comp_r` of `asin`, which is the `r` of `acos`.
#[inline(always)]
fn asin_ratio<V: Vector<Element = f64>>(z: Lanes<V>) -> Lanes<V> {
    const P_S0: f64 = 1.66666666666666657415e-01;
    const P_S1: f64 = -3.25565818622400915405e-01;
    const P_S2: f64 = 2.01212532134862925881e-01;
    const P_S3: f64 = -4.00555345006794114027e-02;
    const P_S4: f64 = 7.91534994289814532176e-04;
    const P_S5: f64 = 3.47933107596021167570e-05;
    const Q_S1: f64 = -2.40339491173441421878e+00;
    const Q_S2: f64 = 2.02094576023350569471e+00;
    const Q_S3: f64 = -6.88283971605453293030e-01;
    const Q_S4: f64 = 7.70381505559019352791e-02;
    let p = z * (P_S0 + z * (P_S1 + z * (P_S2 + z * (P_S3 + z * (P_S4 + z * P_S5)))));
    let q = 1.0 + z * (Q_S1 + z * (Q_S2 + z * (Q_S3 + z * Q_S4)));
    p / q
}

impl Functions for f64 {
    #[inline(always)]
    fn exp<V: Vector<Element = Self>>(x: V) -> V {
        const P1: f64 = 1.66666666666666019037e-01;
        const P2: f64 = -2.77777777770155933842e-03;
        const P3: f64 = 6.61375632143793436117e-05;
        const P4: f64 = -1.65339022054652515390e-06;
        const P5: f64 = 4.13813679705723846039e-08;
        let low = x.lt(V::splat(-707.0));
        // Above, the scaling overflows as the original does. The order keeps NaN.
        let original = Lanes(V::splat(710.0).min(x));
        let tiny = original.abs().lt(high(0x3e30_0001));
        let k = power_of_two(original);
        let hi = k.times_exact(-LN2_HI, original);
        let lo = k * LN2_LO;
        let x = hi - lo;
        let xx = x * x;
        let c = x - xx * (P1 + xx * (P2 + xx * (P3 + xx * (P4 + xx * P5))));
        let y = 1.0 + (x * c / (2.0 - c) - lo + hi);
        if low.any() {
            let below = original.lt(-745.13321910194110842);
            let k = V::select(below, V::splat(0.0), k.0);
            let result = V::select(below, V::splat(0.0), scale_below_normal(y.0, k, -1022.0));
            return Lanes::select(tiny, 1.0 + original, Lanes(result)).0;
        }
        Lanes::select(tiny, 1.0 + original, Lanes(y.0.scale(k.0))).0
    }

    #[inline(always)]
    fn log<V: Vector<Element = Self>>(x: V) -> V {
        const LG1: f64 = 6.666666666666735130e-01;
        const LG2: f64 = 3.999999999940941908e-01;
        const LG3: f64 = 2.857142874366239149e-01;
        const LG4: f64 = 2.222219843214978396e-01;
        const LG5: f64 = 1.818357216161805012e-01;
        const LG6: f64 = 1.531383769920937332e-01;
        const LG7: f64 = 1.479819860511658591e-01;
        // A sum with 0 has no negative zero, of which the mantissa may be wrong.
        let (m, dk) = (Lanes(x) + 0.0).0.split();
        let (m, dk) = (Lanes(m), Lanes(dk));
        let f = m - 1.0;
        let hfsq = 0.5 * f * f;
        let s = f / (2.0 + f);
        let z = s * s;
        let w = z * z;
        let t1 = w * (LG2 + w * (LG4 + w * LG6));
        let t2 = z * (LG1 + w * (LG3 + w * (LG5 + w * LG7)));
        let r = t2 + t1;
        dk.times_exact(LN2_HI, s * (hfsq + r) + dk * LN2_LO - hfsq + f).0
    }

    /// Computes the sine of `|x|`, because the function is odd and so are the steps of the original. Its branch for
    /// tiny `x` returns `x`, to which the formula rounds too.
    #[inline(always)]
    fn sin<V: Vector<Element = Self>>(x: V) -> V {
        let Remainder { y, n, first, redo: lanes } = rem_pio2(Lanes(x.abs()));
        let odd = n.and(V::Bits::splat(1)).eq(V::Bits::splat(1));
        let result = Lanes::select(odd, k_cos(y), k_sin(y, Some(first)));
        redo(result.flip(n.shl::<62>().xor(x.to_bits())), x, lanes, libm::sin)
    }

    /// Computes the cosine of `|x|`, because it is even. For tiny `x` the formula rounds to the 1 that the original
    /// returns.
    #[inline(always)]
    fn cos<V: Vector<Element = Self>>(x: V) -> V {
        let Remainder { y, n, redo: lanes, .. } = rem_pio2(Lanes(x.abs()));
        let odd = n.and(V::Bits::splat(1)).eq(V::Bits::splat(1));
        let result = Lanes::select(odd, k_sin(y, None), k_cos(y));
        redo(result.flip(n.add(V::Bits::splat(1)).shl::<62>()), x, lanes, libm::cos)
    }

    /// Computes the tangent of `|x|`, because it is odd. For tiny `x` the formula rounds to `x`.
    #[inline(always)]
    fn tan<V: Vector<Element = Self>>(x: V) -> V {
        let Remainder { y, n, redo: lanes, .. } = rem_pio2(Lanes(x.abs()));
        let odd = n.and(V::Bits::splat(1)).eq(V::Bits::splat(1));
        redo(k_tan(y, odd).flip(x.to_bits()), x, lanes, libm::tan)
    }

    #[inline(always)]
    fn tanh<V: Vector<Element = Self>>(x: V) -> V {
        // From 22 on the formula gives 1. The order keeps NaN.
        let size = Lanes(V::splat(22.0).min(x.abs()));
        let large = size.ge(high(0x3fe1_93eb));
        let small = size.lt(high(0x3fd0_58af));
        let twice = 2.0 * size;
        let t = expm1(Lanes::select(small, -twice, twice));
        let numerator = Lanes::select(large, Lanes::splat(2.0), Lanes::select(small, -t, t));
        let quotient = numerator / (t + 2.0);
        Lanes::select(large, 1.0 - quotient, quotient).flip(x.to_bits())
    }

    /// Computes the arc sine of `|x|`, because it is odd. For tiny `x` the formula rounds to `x`, and for 1 to pi/2.
    /// Above 1 the root is NaN.
    #[inline(always)]
    fn asin<V: Vector<Element = Self>>(x: V) -> V {
        let size = Lanes(x.abs());
        let small = size.lt(0.5);
        let z = Lanes::select(small, size * size, (1.0 - size) * 0.5);
        let r = asin_ratio(z);
        let s = Lanes(z.0.sqrt());
        let near_one = PIO2_HI - (2.0 * (s + s * r) - PIO2_LO);
        let f = s.zero_low_word();
        let c = (z - f * f) / (s + f);
        let middle = 0.5 * PIO2_HI - (2.0 * s * r - (PIO2_LO - 2.0 * c) - (0.5 * PIO2_HI - 2.0 * f));
        let result = Lanes::select(size.ge(high(0x3fef_3333)), near_one, middle);
        Lanes::select(small, size + size * r, result).flip(x.to_bits())
    }

    /// Computes the arc cosine. For tiny `x` the formula rounds to pi/2, for -1 to pi; 1 would be 0/0. Beyond ±1 the
    /// root is NaN.
    #[inline(always)]
    fn acos<V: Vector<Element = Self>>(x: V) -> V {
        let (x, size) = (Lanes(x), Lanes(x.abs()));
        let small = size.lt(0.5);
        let z = Lanes::select(small, size * size, (1.0 - size) * 0.5);
        let r = asin_ratio(z);
        let s = Lanes(z.0.sqrt());
        let middle = PIO2_HI - (x - (PIO2_LO - x * r));
        let negative = 2.0 * (PIO2_HI - (s + (r * s - PIO2_LO)));
        let df = s.zero_low_word();
        let c = (z - df * df) / (s + df);
        let positive = 2.0 * (df + (r * s + c));
        let positive = Lanes::select(x.0.eq(V::splat(1.0)), Lanes::splat(0.0), positive);
        Lanes::select(small, middle, Lanes::select(x.lt(0.0), negative, positive)).0
    }

    /// Computes the arc tangent of `|x|`, because it is odd. For tiny `x` the formula rounds to `x`, for huge ones and
    /// infinity to pi/2.
    #[inline(always)]
    fn atan<V: Vector<Element = Self>>(x: V) -> V {
        const AT: [f64; 11] = [
            3.33333333333329318027e-01,
            -1.99999999998764832476e-01,
            1.42857142725034663711e-01,
            -1.11111104054623557880e-01,
            9.09088713343650656196e-02,
            -7.69187620504482999495e-02,
            6.66107313738753120669e-02,
            -5.83357013379057348645e-02,
            4.97687799461593236017e-02,
            -3.65315727442169155270e-02,
            1.62858201153657823623e-02,
        ];
        let size = Lanes(x.abs());
        // The branches, from the last to the first; each is a numerator, a denominator, and the arc tangent of the point
        // that is the origin of its formula. Below 7/16 that is 0: dividing by 1 and subtracting from 0 change nothing.
        let mut numerator = Lanes::splat(-1.0);
        let mut denominator = size;
        let mut hi = Lanes::splat(1.57079632679489655800e+00);
        let mut lo = Lanes::splat(6.12323399573676603587e-17);
        for (below, n, d, atan_hi, atan_lo) in [
            (high(0x4003_8000), size - 1.5, 1.0 + 1.5 * size, 9.82793723247329054082e-01, 1.39033110312309984516e-17),
            (high(0x3ff3_0000), size - 1.0, size + 1.0, 7.85398163397448278999e-01, 3.06161699786838301793e-17),
            (high(0x3fe6_0000), 2.0 * size - 1.0, 2.0 + size, 4.63647609000806093515e-01, 2.26987774529616870924e-17),
            (high(0x3fdc_0000), size, Lanes::splat(1.0), 0.0, 0.0),
        ] {
            let here = size.lt(below);
            numerator = Lanes::select(here, n, numerator);
            denominator = Lanes::select(here, d, denominator);
            hi = Lanes::select(here, Lanes::splat(atan_hi), hi);
            lo = Lanes::select(here, Lanes::splat(atan_lo), lo);
        }
        let t = numerator / denominator;
        let z = t * t;
        let w = z * z;
        let s1 = z * (AT[0] + w * (AT[2] + w * (AT[4] + w * (AT[6] + w * (AT[8] + w * AT[10])))));
        let s2 = w * (AT[1] + w * (AT[3] + w * (AT[5] + w * (AT[7] + w * AT[9]))));
        (hi - (t * (s1 + s2) - lo - t)).flip(x.to_bits())
    }

    #[inline(always)]
    fn pow<V: Vector<Element = Self>>(x: V, y: V) -> V {
        let (one, size) = (V::splat(1.0), Lanes(x.abs()));
        let mut result = pow_of_size(size, Lanes(y)).0;
        // The results for -1 and 1, and for NaN.
        result = V::select(size.0.eq(V::splat(1.0)), one, result);
        let unknown = x.eq(x).and(y.eq(y)).not();
        result = V::select(unknown, V::splat(f64::NAN), result);
        // Negative numbers have integral powers only, the odd ones of which are negative.
        let half = y.mul(V::splat(0.5));
        let integral = y.trunc().eq(y);
        let odd = integral.and(half.trunc().eq(half).not());
        let negative = x.lt(V::splat(0.0));
        result = V::select(negative.and(odd), result.neg(), result);
        result = V::select(negative.and(integral.not()), V::splat(f64::NAN), result);
        // The exponents that the original treats alone.
        let (zero, identity, square) = (y.eq(V::splat(0.0)), y.eq(one), y.eq(V::splat(2.0)));
        let (inverse, root) = (y.eq(V::splat(-1.0)), y.eq(V::splat(0.5)).and(V::splat(0.0).le(x)));
        result = V::select(square, x.mul(x), result);
        result = V::select(identity, x, result);
        if inverse.or(root).any() {
            result = V::select(inverse, one.div(x), result);
            result = V::select(root, x.sqrt(), result);
        }
        result = V::select(zero.or(x.eq(one)), one, result);
        // Bases that are 0, subnormal or infinite, and exponents that are infinite or nearly so, are redone.
        let known = size.ge(f64::MIN_POSITIVE).and(size.lt(f64::INFINITY)).and(Lanes(y.abs()).lt(high(0x41e0_0001)));
        let done = known.or(zero).or(identity).or(square).or(inverse).or(unknown);
        let others = done.not().to_u16();
        if others == 0 {
            return result;
        }
        let (mut patched, a, b) = (result, x, y);
        V::patch_pairs(&mut patched, &a, &b, others, libm::pow);
        patched
    }
}

/// Returns the main path of `pow` for normal numbers `x` and finite `y` up to 2^31.
#[inline(always)]
fn pow_of_size<V: Vector<Element = f64>>(x: Lanes<V>, y: Lanes<V>) -> Lanes<V> {
    const DP_H: f64 = 5.84962487220764160156e-01;
    const DP_L: f64 = 1.35003920212974897128e-08;
    const L1: f64 = 5.99999999999994648725e-01;
    const L2: f64 = 4.28571428578550184252e-01;
    const L3: f64 = 3.33333329818377432918e-01;
    const L4: f64 = 2.72728123808534006489e-01;
    const L5: f64 = 2.30660745775561754067e-01;
    const L6: f64 = 2.06975017800338417784e-01;
    const P1: f64 = 1.66666666666666019037e-01;
    const P2: f64 = -2.77777777770155933842e-03;
    const P3: f64 = 6.61375632143793436117e-05;
    const P4: f64 = -1.65339022054652515390e-06;
    const P5: f64 = 4.13813679705723846039e-08;
    const LG2: f64 = 6.93147180559945286227e-01;
    const LG2_H: f64 = 6.93147182464599609375e-01;
    const LG2_L: f64 = -1.90465429995776804525e-09;
    const OVT: f64 = 8.0085662595372944372e-017;
    const CP: f64 = 9.61796693925975554329e-01;
    const CP_H: f64 = 9.61796700954437255859e-01;
    const CP_L: f64 = -7.02846165095275826516e-09;
    const TWO_52: f64 = (1_u64 << 52) as f64;
    let bits = V::Bits::splat;
    // x = 2^n ax, ax near 1 or, where `k` is 1, near 3/2.
    let exponent = Lanes(V::from_bits(x.0.to_bits().shr::<52>().or(V::splat(TWO_52).to_bits())));
    let m = x.0.to_bits().and(bits((1 << 52) - 1)).or(V::splat(1.0).to_bits());
    let m = Lanes(V::from_bits(m));
    let above = m.ge(high(0x3ffb_b67a));
    let k = m.ge(high(0x3ff3_988f)).and(above.not());
    let ax = Lanes::select(above, m * 0.5, m);
    let t = exponent - Lanes::choose(above, TWO_52 + 1022.0, TWO_52 + 1023.0);
    // ss = s_h + s_l = (ax - bp)/(ax + bp)
    let bp = Lanes::choose(k, 1.5, 1.0);
    let u = ax - bp;
    let v = 1.0 / (ax + bp);
    let ss = u * v;
    let s_h = ss.zero_low_word();
    let t_h = ax.0.to_bits().shr::<33>().or(bits(0x2000_0000)).add(bits(0x0008_0000));
    let t_h = t_h.add(V::Bits::select(k, bits(1 << 18), bits(0)));
    let t_h = Lanes(V::from_bits(t_h.shl::<32>()));
    let t_l = ax - (t_h - bp);
    let s_l = v * ((u - s_h * t_h) - s_h * t_l);
    // The logarithm of ax.
    let s2 = ss * ss;
    let r = s2 * s2 * (L1 + s2 * (L2 + s2 * (L3 + s2 * (L4 + s2 * (L5 + s2 * L6)))));
    let r = r + s_l * (s_h + ss);
    let s2 = s_h * s_h;
    let t_h = (3.0 + s2 + r).zero_low_word();
    let t_l = r - ((t_h - 3.0) - s2);
    let u = s_h * t_h;
    let v = s_l * t_h + t_l * ss;
    let p_h = (u + v).zero_low_word();
    let p_l = v - (p_h - u);
    let z_h = CP_H * p_h;
    let z_l = CP_L * p_h + p_l * CP + Lanes::choose(k, DP_L, 0.0);
    // t1 + t2 = log2 x
    let dp_h = Lanes::choose(k, DP_H, 0.0);
    let t1 = (((z_h + z_l) + dp_h) + t).zero_low_word();
    let t2 = z_l - (((t1 - t) - dp_h) - z_h);
    // p_h + p_l = y log2 x
    let y1 = y.zero_low_word();
    let p_l = (y - y1) * t1 + y * t2;
    let p_h = y1 * t1;
    let z = p_l + p_h;
    let at_most = z.0.eq(V::splat(1024.0)).and((z - p_h).0.lt((p_l + OVT).0));
    let at_least = z.0.eq(V::splat(-1075.0)).and(p_l.0.le((z - p_h).0));
    let (over, under) = (V::splat(1024.0).lt(z.0).or(at_most), z.lt(-1075.0).or(at_least));
    // 2^(p_h + p_l), in units of 2^n
    let half = Lanes(V::from_bits(z.0.to_bits().and(bits(SIGN)).or(V::splat(0.5).to_bits())));
    let n = Lanes::select(z.abs().lt(high(0x3fe0_0001)), Lanes::splat(0.0), Lanes((z + half).0.trunc()));
    // Beyond the results that are kept, only the scaling has to be in its range, and had better not underflow.
    let n = Lanes(V::select(under, V::splat(0.0), V::splat(1100.0).min(n.0)));
    let p_h = p_h - n;
    let t = (p_l + p_h).zero_low_word();
    let u = t * LG2_H;
    let v = (p_l - (t - p_h)) * LG2 + t * LG2_L;
    let z = u + v;
    let w = v - (z - u);
    let t = z * z;
    let t1 = z - t * (P1 + t * (P2 + t * (P3 + t * (P4 + t * P5))));
    let r = (z * t1) / (t1 - 2.0) - (w + z * w);
    let z = Lanes((1.0 - (r - z)).0.scale(n.0));
    let z = Lanes::select(over, Lanes::splat(f64::INFINITY), z);
    Lanes::select(under, Lanes::splat(0.0), z)
}
