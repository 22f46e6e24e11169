//! Two 256-bit registers a vector. Used only where `Level::Avx2` is available.

use std::arch::x86_64::*;

use super::{Bits, Mask, Vector};

macro_rules! avx2 {
    ($vector:ident, $mask:ident, $bits:ident, $element:ty, $int:ty, $lanes:literal, $raw:ty,
     $set1:ident $loadu:ident $storeu:ident $add:ident $sub:ident $mul:ident $div:ident $sqrt:ident
     $cmp:ident $blendv:ident $movemask:ident $to:ident $from:ident
     $iset1:ident $iadd:ident $isub:ident $slli:ident $srli:ident $igt:ident $ieq:ident
     $fmadd:ident $min:ident $max:ident $round:ident $mantissa:literal $sqrt_half:literal) => {
        #[derive(Clone, Copy)]
        pub(crate) struct $vector([$raw; 2]);
        /// A mask: all bits of a lane are set, or none.
        #[derive(Clone, Copy)]
        pub(crate) struct $mask([$raw; 2]);
        #[derive(Clone, Copy)]
        pub(crate) struct $bits([__m256i; 2]);

        // SAFETY (of every block): the level is available wherever this type is used.
        #[allow(unsafe_code, clippy::undocumented_unsafe_blocks)]
        impl Vector for $vector {
            type Element = $element;
            type Mask = $mask;
            type Bits = $bits;
            const LANES: usize = $lanes;
            const MAX_TILE: usize = 7;
            const LONG_TILE: usize = 4;
            const FUSES: bool = true;
            type Wide = F64x8;

            #[inline(always)]
            fn splat(value: $element) -> Self {
                $vector([unsafe { $set1(value) }; 2])
            }
            #[inline(always)]
            unsafe fn load(from: *const $element) -> Self {
                $vector(unsafe { [$loadu(from), $loadu(from.add($lanes / 2))] })
            }
            #[inline(always)]
            unsafe fn store(self, to: *mut $element) {
                unsafe {
                    $storeu(to, self.0[0]);
                    $storeu(to.add($lanes / 2), self.0[1]);
                }
            }
            #[inline(always)]
            fn add(self, other: Self) -> Self {
                $vector(unsafe { [$add(self.0[0], other.0[0]), $add(self.0[1], other.0[1])] })
            }
            #[inline(always)]
            fn sub(self, other: Self) -> Self {
                $vector(unsafe { [$sub(self.0[0], other.0[0]), $sub(self.0[1], other.0[1])] })
            }
            #[inline(always)]
            fn mul(self, other: Self) -> Self {
                $vector(unsafe { [$mul(self.0[0], other.0[0]), $mul(self.0[1], other.0[1])] })
            }
            #[inline(always)]
            fn div(self, other: Self) -> Self {
                $vector(unsafe { [$div(self.0[0], other.0[0]), $div(self.0[1], other.0[1])] })
            }
            #[inline(always)]
            fn sqrt(self) -> Self {
                $vector(unsafe { [$sqrt(self.0[0]), $sqrt(self.0[1])] })
            }
            #[inline(always)]
            fn neg(self) -> Self {
                Self::from_bits(self.to_bits().xor($bits::splat(<$int>::MIN as i64)))
            }
            #[inline(always)]
            fn abs(self) -> Self {
                Self::from_bits(self.to_bits().and($bits::splat(<$int>::MAX as i64)))
            }
            #[inline(always)]
            fn mul_add(self, by: Self, plus: Self) -> Self {
                self.multiply_add(by, plus)
            }
            #[inline(always)]
            fn mul_add_any(self, by: Self, plus: Self) -> Self {
                $vector(unsafe { [$fmadd(self.0[0], by.0[0], plus.0[0]), $fmadd(self.0[1], by.0[1], plus.0[1])] })
            }
            #[inline(always)]
            fn min(self, other: Self) -> Self {
                $vector(unsafe { [$min(self.0[0], other.0[0]), $min(self.0[1], other.0[1])] })
            }
            #[inline(always)]
            fn max(self, other: Self) -> Self {
                $vector(unsafe { [$max(self.0[0], other.0[0]), $max(self.0[1], other.0[1])] })
            }
            #[inline(always)]
            fn trunc(self) -> Self {
                const TOWARDS_ZERO: i32 = _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC;
                $vector(unsafe { [$round::<TOWARDS_ZERO>(self.0[0]), $round::<TOWARDS_ZERO>(self.0[1])] })
            }
            #[inline(always)]
            fn scale(self, n: Self) -> Self {
                self.scale_by_bits::<$mantissa>(n, <$element>::MAX_EXP as i64 - 1)
            }
            #[inline(always)]
            fn split(self) -> (Self, Self) {
                self.split_by_bits::<$mantissa>(<$element>::MAX_EXP as i64 - 1, $sqrt_half)
            }
            #[inline(always)]
            fn widen(self) -> [F64x8; 2] {
                self.to_wide()
            }
            #[inline(always)]
            fn narrow(halves: [F64x8; 2]) -> Self {
                Self::from_wide(halves)
            }
            #[inline(always)]
            fn lt(self, other: Self) -> $mask {
                $mask(unsafe { [$cmp::<_CMP_LT_OQ>(self.0[0], other.0[0]), $cmp::<_CMP_LT_OQ>(self.0[1], other.0[1])] })
            }
            #[inline(always)]
            fn le(self, other: Self) -> $mask {
                $mask(unsafe { [$cmp::<_CMP_LE_OQ>(self.0[0], other.0[0]), $cmp::<_CMP_LE_OQ>(self.0[1], other.0[1])] })
            }
            #[inline(always)]
            fn eq(self, other: Self) -> $mask {
                $mask(unsafe { [$cmp::<_CMP_EQ_OQ>(self.0[0], other.0[0]), $cmp::<_CMP_EQ_OQ>(self.0[1], other.0[1])] })
            }
            #[inline(always)]
            fn select(mask: $mask, yes: Self, no: Self) -> Self {
                $vector(unsafe { [$blendv(no.0[0], yes.0[0], mask.0[0]), $blendv(no.0[1], yes.0[1], mask.0[1])] })
            }
            #[inline(always)]
            fn to_bits(self) -> $bits {
                $bits(unsafe { [$to(self.0[0]), $to(self.0[1])] })
            }
            #[inline(always)]
            fn from_bits(bits: $bits) -> Self {
                $vector(unsafe { [$from(bits.0[0]), $from(bits.0[1])] })
            }
        }

        // SAFETY (of every block): the level is available wherever this type is used.
        #[allow(unsafe_code, clippy::undocumented_unsafe_blocks)]
        impl Mask for $mask {
            #[inline(always)]
            fn first(n: usize) -> Self {
                const LANE: [$int; $lanes] = {
                    let mut lane = [0; $lanes];
                    let mut i = 0;
                    while i < $lanes {
                        lane[i] = i as $int;
                        i += 1;
                    }
                    lane
                };
                let n = n.min($lanes) as i64;
                let lanes = unsafe {
                    let lane = LANE.as_ptr().cast::<__m256i>();
                    $bits([_mm256_loadu_si256(lane), _mm256_loadu_si256(lane.add(1))])
                };
                $bits::splat(n).gt(lanes)
            }
            #[inline(always)]
            fn and(self, other: Self) -> Self {
                Self::of(Bits::and(self.bits(), other.bits()))
            }
            #[inline(always)]
            fn or(self, other: Self) -> Self {
                Self::of(Bits::or(self.bits(), other.bits()))
            }
            #[inline(always)]
            fn not(self) -> Self {
                Self::of(self.bits().xor($bits::splat(-1)))
            }
            #[inline(always)]
            fn to_u16(self) -> u16 {
                unsafe { ($movemask(self.0[0]) | $movemask(self.0[1]) << ($lanes / 2)) as u16 }
            }
        }

        // SAFETY (of every block): the level is available wherever this type is used.
        #[allow(unsafe_code, clippy::undocumented_unsafe_blocks)]
        impl $mask {
            #[inline(always)]
            fn bits(self) -> $bits {
                $bits(unsafe { [$to(self.0[0]), $to(self.0[1])] })
            }
            #[inline(always)]
            fn of(bits: $bits) -> Self {
                $mask(unsafe { [$from(bits.0[0]), $from(bits.0[1])] })
            }
        }

        // SAFETY (of every block): the level is available wherever this type is used.
        #[allow(unsafe_code, clippy::undocumented_unsafe_blocks)]
        impl Bits for $bits {
            type Mask = $mask;
            #[inline(always)]
            fn splat(value: i64) -> Self {
                $bits([unsafe { $iset1(value as $int) }; 2])
            }
            #[inline(always)]
            fn add(self, other: Self) -> Self {
                $bits(unsafe { [$iadd(self.0[0], other.0[0]), $iadd(self.0[1], other.0[1])] })
            }
            #[inline(always)]
            fn sub(self, other: Self) -> Self {
                $bits(unsafe { [$isub(self.0[0], other.0[0]), $isub(self.0[1], other.0[1])] })
            }
            #[inline(always)]
            fn and(self, other: Self) -> Self {
                $bits(unsafe { [_mm256_and_si256(self.0[0], other.0[0]), _mm256_and_si256(self.0[1], other.0[1])] })
            }
            #[inline(always)]
            fn or(self, other: Self) -> Self {
                $bits(unsafe { [_mm256_or_si256(self.0[0], other.0[0]), _mm256_or_si256(self.0[1], other.0[1])] })
            }
            #[inline(always)]
            fn xor(self, other: Self) -> Self {
                $bits(unsafe { [_mm256_xor_si256(self.0[0], other.0[0]), _mm256_xor_si256(self.0[1], other.0[1])] })
            }
            #[inline(always)]
            fn shl<const N: u32>(self) -> Self {
                let n = unsafe { _mm_cvtsi32_si128(N as i32) };
                $bits(unsafe { [$slli(self.0[0], n), $slli(self.0[1], n)] })
            }
            #[inline(always)]
            fn shr<const N: u32>(self) -> Self {
                let n = unsafe { _mm_cvtsi32_si128(N as i32) };
                $bits(unsafe { [$srli(self.0[0], n), $srli(self.0[1], n)] })
            }
            #[inline(always)]
            fn gt(self, other: Self) -> $mask {
                $mask::of($bits(unsafe { [$igt(self.0[0], other.0[0]), $igt(self.0[1], other.0[1])] }))
            }
            #[inline(always)]
            fn eq(self, other: Self) -> $mask {
                $mask::of($bits(unsafe { [$ieq(self.0[0], other.0[0]), $ieq(self.0[1], other.0[1])] }))
            }
            #[inline(always)]
            fn select(mask: $mask, yes: Self, no: Self) -> Self {
                $vector::select(mask, $vector::from_bits(yes), $vector::from_bits(no)).to_bits()
            }
        }
    };
}

avx2!(F64x8, M64x8, I64x8, f64, i64, 8, __m256d,
    _mm256_set1_pd _mm256_loadu_pd _mm256_storeu_pd _mm256_add_pd _mm256_sub_pd _mm256_mul_pd _mm256_div_pd
    _mm256_sqrt_pd _mm256_cmp_pd _mm256_blendv_pd _mm256_movemask_pd _mm256_castpd_si256 _mm256_castsi256_pd
    _mm256_set1_epi64x _mm256_add_epi64 _mm256_sub_epi64 _mm256_sll_epi64 _mm256_srl_epi64 _mm256_cmpgt_epi64
    _mm256_cmpeq_epi64 _mm256_fmadd_pd _mm256_min_pd _mm256_max_pd _mm256_round_pd 52 0x3fe6_a09e_0000_0000);
avx2!(F32x16, M32x16, I32x16, f32, i32, 16, __m256,
    _mm256_set1_ps _mm256_loadu_ps _mm256_storeu_ps _mm256_add_ps _mm256_sub_ps _mm256_mul_ps _mm256_div_ps
    _mm256_sqrt_ps _mm256_cmp_ps _mm256_blendv_ps _mm256_movemask_ps _mm256_castps_si256 _mm256_castsi256_ps
    _mm256_set1_epi32 _mm256_add_epi32 _mm256_sub_epi32 _mm256_sll_epi32 _mm256_srl_epi32 _mm256_cmpgt_epi32
    _mm256_cmpeq_epi32 _mm256_fmadd_ps _mm256_min_ps _mm256_max_ps _mm256_round_ps 23 0x3f35_04f3);

impl F64x8 {
    #[inline(always)]
    fn multiply_add(self, by: Self, plus: Self) -> Self {
        self.mul(by).add(plus)
    }
    #[inline(always)]
    fn to_wide(self) -> [F64x8; 2] {
        [self; 2]
    }
    #[inline(always)]
    fn from_wide([first, _]: [F64x8; 2]) -> Self {
        first
    }
}

// SAFETY (of every block): the level is available wherever this type is used.
#[allow(unsafe_code, clippy::undocumented_unsafe_blocks)]
impl F32x16 {
    #[inline(always)]
    fn multiply_add(self, by: Self, plus: Self) -> Self {
        self.mul_add_any(by, plus)
    }
    #[inline(always)]
    fn to_wide(self) -> [F64x8; 2] {
        let [first, second] = self.0;
        unsafe {
            [
                F64x8([
                    _mm256_cvtps_pd(_mm256_castps256_ps128(first)),
                    _mm256_cvtps_pd(_mm256_extractf128_ps::<1>(first)),
                ]),
                F64x8([
                    _mm256_cvtps_pd(_mm256_castps256_ps128(second)),
                    _mm256_cvtps_pd(_mm256_extractf128_ps::<1>(second)),
                ]),
            ]
        }
    }
    #[inline(always)]
    fn from_wide([first, second]: [F64x8; 2]) -> Self {
        F32x16(unsafe {
            [
                _mm256_set_m128(_mm256_cvtpd_ps(first.0[1]), _mm256_cvtpd_ps(first.0[0])),
                _mm256_set_m128(_mm256_cvtpd_ps(second.0[1]), _mm256_cvtpd_ps(second.0[0])),
            ]
        })
    }
}
