//! Vectors of fixed width, implemented for three levels of instruction sets.
//!
//! A vector has 8 `f64` or 16 `f32` lanes on every level: one AVX-512 register, two of AVX2, or an array. Code written
//! over [`Vector`] therefore does the same operations in the same order everywhere, and in `f64` gives the same bits:
//! no operation fuses there, unless its product is exact anyway ([`Vector::mul_add_any`]). In `f32`,
//! [`Vector::mul_add`] fuses where the level can.
//!
//! How calls stay inside the right instruction set: every method is `#[inline(always)]`, so is all generic code built
//! on them, and the outermost function of each level ([`sr_simd::for_level!`]) carries the `target_feature` attribute. Nothing
//! in between may be a call of its own, or it would be compiled for the baseline and pass vectors through memory.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;

#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::{F32x16 as Avx2F32, F64x8 as Avx2F64};
#[cfg(target_arch = "x86_64")]
pub(crate) use avx512::{F32x16 as Avx512F32, F64x8 as Avx512F64};
pub(crate) use portable::{F32x16 as PortableF32, F64x8 as PortableF64};

/// A vector of `LANES` numbers.
///
/// The implementations for AVX2 and AVX-512 may only be used where that level is available; the crate makes sure of
/// that in one place, the dispatch by [`Level`].
#[allow(missing_docs, unsafe_code)] // methods named after what they do
pub trait Vector: Copy {
    /// `f32` or `f64`.
    type Element: crate::Real;
    /// One truth value for each lane.
    type Mask: Mask;
    /// Integers of the element's width, one for each lane, wrapping.
    type Bits: Bits<Mask = Self::Mask>;

    /// The number of lanes, 8 for `f64`, 16 for `f32`: 64 bytes.
    const LANES: usize;
    /// The largest number of vectors of this type that are worth keeping in registers at once. Each tile of a tree has
    /// its own mispredicted branches, so few rows want one tile, even if some of its values are in memory.
    const MAX_TILE: usize;
    /// The best tile for many rows, whose branches are predicted from earlier tiles: the registers hold all of it.
    const LONG_TILE: usize;
    /// Whether [`Vector::mul_add`] fuses in `f32`, and [`Vector::mul_add_any`] in both.
    const FUSES: bool;
    /// The `f64` vector of the same level, two of which hold the lanes of an `f32` vector. For `f64` it is the vector
    /// itself.
    type Wide: Vector<Element = f64>;

    fn splat(value: Self::Element) -> Self;
    /// Loads `LANES` elements.
    ///
    /// # Safety
    /// `from` has to be valid for reading `LANES` elements, of any alignment.
    unsafe fn load(from: *const Self::Element) -> Self;
    /// Stores `LANES` elements.
    ///
    /// # Safety
    /// `to` has to be valid for writing `LANES` elements, of any alignment.
    unsafe fn store(self, to: *mut Self::Element);

    /// Loads the first lanes from a slice that is shorter than a vector; the others are zero.
    #[inline(always)]
    fn load_first(from: &[Self::Element]) -> Self {
        let mut lanes = [<Self::Element as crate::Real>::ZERO; 16];
        let n = from.len().min(Self::LANES);
        lanes[..n].copy_from_slice(&from[..n]);
        // SAFETY: 16 elements hold the lanes of every kind.
        unsafe { Self::load(lanes.as_ptr()) }
    }
    /// Stores the first lanes to a slice that is shorter than a vector.
    #[inline(always)]
    fn store_first(self, to: &mut [Self::Element]) {
        let mut lanes = [<Self::Element as crate::Real>::ZERO; 16];
        // SAFETY: 16 elements hold the lanes of every kind.
        unsafe { self.store(lanes.as_mut_ptr()) };
        let n = to.len().min(Self::LANES);
        to[..n].copy_from_slice(&lanes[..n]);
    }

    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;
    fn div(self, other: Self) -> Self;
    fn sqrt(self) -> Self;
    fn neg(self) -> Self;
    fn abs(self) -> Self;
    /// Returns `self * by + plus`; fused in `f32` where the level can, never in `f64`.
    fn mul_add(self, by: Self, plus: Self) -> Self;

    /// Returns `self * by + plus`, fused or not as the level likes. In `f64` it may be used only for values that are
    /// then rounded to `f32`.
    fn mul_add_any(self, by: Self, plus: Self) -> Self;
    /// Returns the lesser number, or `other` if either is NaN.
    fn min(self, other: Self) -> Self;
    /// Returns the greater number, or `other` if either is NaN.
    fn max(self, other: Self) -> Self;
    /// Rounds to an integer, towards zero.
    fn trunc(self) -> Self;
    /// Returns `self * 2^n`, rounded once. `n` has to be integral, at most 252 in magnitude in `f32` and 2044 in `f64`;
    /// it may be NaN if `self` is.
    fn scale(self, n: Self) -> Self;
    /// Returns `(m, e)` with `self = m * 2^e`, `e` integral and `m` in `[√½, √2)`, where √½ is cut after 20 bits in
    /// `f64` (as fdlibm does) and after 23 in `f32`. For infinity and zero it returns `(1, ±∞)`, so that `log m + e log
    /// 2` is right, but for the negative zero `m` may be -1. For negative numbers and NaN, one of them is NaN.
    fn split(self) -> (Self, Self);
    /// Returns every lane as `f64`, the first half of them and the second. An `f64` vector is returned twice.
    fn widen(self) -> [Self::Wide; 2];
    /// Returns the inverse of [`Vector::widen`], each lane rounded. An `f64` vector is the first half.
    fn narrow(halves: [Self::Wide; 2]) -> Self;

    /// Returns `self < other`, false for NaN.
    fn lt(self, other: Self) -> Self::Mask;
    /// Returns `self <= other`, false for NaN.
    fn le(self, other: Self) -> Self::Mask;
    /// Returns `self == other`, false for NaN.
    fn eq(self, other: Self) -> Self::Mask;
    /// Returns `yes` where the mask is set, `no` elsewhere.
    fn select(mask: Self::Mask, yes: Self, no: Self) -> Self;

    fn to_bits(self) -> Self::Bits;
    fn from_bits(bits: Self::Bits) -> Self;

    /// Computes the lanes in `lanes` one by one with `f`. It is for the rare ones that a fast path cannot do.
    #[cold]
    #[inline(never)]
    fn patch(result: &mut Self, x: &Self, lanes: u16, f: fn(Self::Element) -> Self::Element) {
        let mut from = [<Self::Element as crate::Real>::ZERO; 16];
        let mut to = from;
        // SAFETY: 16 elements hold the lanes of every kind.
        unsafe {
            x.store(from.as_mut_ptr());
            result.store(to.as_mut_ptr());
            for lane in (0..Self::LANES).filter(|lane| lanes >> lane & 1 == 1) {
                to[lane] = f(from[lane]);
            }
            *result = Self::load(to.as_ptr());
        }
    }

    /// Does what [`Vector::patch`] does, for a function of two numbers.
    #[cold]
    #[inline(never)]
    fn patch_pairs(
        result: &mut Self,
        x: &Self,
        y: &Self,
        lanes: u16,
        f: fn(Self::Element, Self::Element) -> Self::Element,
    ) {
        let mut from = [[<Self::Element as crate::Real>::ZERO; 16]; 2];
        let mut to = from[0];
        // SAFETY: 16 elements hold the lanes of every kind.
        unsafe {
            x.store(from[0].as_mut_ptr());
            y.store(from[1].as_mut_ptr());
            result.store(to.as_mut_ptr());
            for lane in (0..Self::LANES).filter(|lane| lanes >> lane & 1 == 1) {
                to[lane] = f(from[0][lane], from[1][lane]);
            }
            *result = Self::load(to.as_ptr());
        }
    }

    /// Computes [`Vector::trunc`] for levels without an instruction for it. `integral` is the least number of this type
    /// from which on all are integral: adding it rounds.
    #[inline(always)]
    fn trunc_by_addition(self, integral: Self::Element) -> Self {
        let (size, integral) = (self.abs(), Self::splat(integral));
        let nearest = size.add(integral).sub(integral);
        let below = Self::select(size.lt(nearest), nearest.sub(number(1.0)), nearest);
        let below = Self::select(size.lt(integral), below, size);
        Self::from_bits(below.to_bits().or(self.to_bits().xor(size.to_bits())))
    }

    /// Computes [`Vector::scale`] for levels without an instruction for it. It multiplies by `2^(n/2)` twice, because
    /// `2^n` may overflow where the product does not. `bias` is that of exponents, `MANTISSA` the bits of a mantissa
    /// without the leading one.
    #[inline(always)]
    fn scale_by_bits<const MANTISSA: u32>(self, n: Self, bias: i64) -> Self {
        // The last bits of this number are 0; adding an integer puts that integer there.
        let aligned: Self = number(1.5 * (1_u64 << MANTISSA) as f64);
        let sum = n.add(aligned).to_bits().sub(aligned.to_bits()).add(Self::Bits::splat(2 * bias));
        let first = sum.shr::<1>();
        let second = sum.sub(first);
        self.mul(Self::from_bits(first.shl::<MANTISSA>())).mul(Self::from_bits(second.shl::<MANTISSA>()))
    }

    /// Computes [`Vector::split`] for levels without instructions for it. `lowest` are the bits of √½.
    #[inline(always)]
    fn split_by_bits<const MANTISSA: u32>(self, bias: i64, lowest: i64) -> (Self, Self) {
        // These include 0 and negative numbers, which are handled below.
        let small = self.lt(number(f64::from_bits(((1024 - bias) as u64) << 52)));
        let up = f64::from(MANTISSA + 1);
        let x = Self::select(small, self.mul(number((1_u64 << (MANTISSA + 1)) as f64)), self);
        // Counted from √½, the exponent field is the exponent of the result; the bias makes it positive.
        let bits = Self::Bits::splat;
        let offset = x.to_bits().add(bits(((2 * bias) << MANTISSA) - lowest));
        let m = offset.and(bits((1 << MANTISSA) - 1)).add(bits(lowest));
        // The last bits of 2^MANTISSA plus an integer are that integer.
        let base = (1_u64 << MANTISSA) as f64;
        let e = Self::from_bits(offset.shr::<MANTISSA>().or(number::<Self>(base).to_bits()));
        let zero = base + 2.0 * bias as f64;
        let e = e.sub(Self::select(small, number(zero + up), number(zero)));
        let e = Self::select(self.lt(number(f64::INFINITY)), e, self);
        let e = Self::select(self.lt(number(0.0)), number(f64::NAN), e);
        let e = Self::select(self.eq(number(0.0)), number(f64::NEG_INFINITY), e);
        (Self::from_bits(m), e)
    }

    /// Adds the lanes in `f64`, from the first to the last.
    #[inline(always)]
    fn sum_in_order(self) -> f64 {
        let mut lanes = [<Self::Element as crate::Real>::ZERO; 16];
        // SAFETY: 16 elements hold the lanes of every kind.
        unsafe { self.store(lanes.as_mut_ptr()) };
        lanes[..Self::LANES].iter().map(|&lane| crate::Real::to_f64(lane)).sum()
    }
}

/// Returns a vector with `value` in every lane.
#[inline(always)]
pub(crate) fn number<V: Vector>(value: f64) -> V {
    V::splat(crate::Real::from_f64(value))
}

/// A vector of one truth value for each lane.
#[allow(missing_docs)]
pub trait Mask: Copy {
    /// Returns a mask of the first `n` lanes, or of all if there are fewer.
    fn first(n: usize) -> Self;
    fn and(self, other: Self) -> Self;
    fn or(self, other: Self) -> Self;
    fn not(self) -> Self;
    /// Returns lane `i` as bit `i`.
    fn to_u16(self) -> u16;
    #[inline(always)]
    fn any(self) -> bool {
        self.to_u16() != 0
    }
    #[inline(always)]
    fn count(self) -> usize {
        self.to_u16().count_ones() as usize
    }
}

/// A vector of wrapping integers of an element's width, one for each lane. Constants are given as `i64` and cut to the
/// width.
#[allow(missing_docs)]
pub trait Bits: Copy {
    type Mask: Mask;
    fn splat(value: i64) -> Self;
    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    fn and(self, other: Self) -> Self;
    fn or(self, other: Self) -> Self;
    fn xor(self, other: Self) -> Self;
    fn shl<const N: u32>(self) -> Self;
    /// Shifts right, zeros in.
    fn shr<const N: u32>(self) -> Self;
    /// Returns signed `self > other`.
    fn gt(self, other: Self) -> Self::Mask;
    fn eq(self, other: Self) -> Self::Mask;
    fn select(mask: Self::Mask, yes: Self, no: Self) -> Self;
}
