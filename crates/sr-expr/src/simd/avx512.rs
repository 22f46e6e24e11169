//! One 512-bit register a vector. Used only where `Level::Avx512` is available.

use std::arch::x86_64::*;

use super::{Bits, Mask, Vector};

macro_rules! avx512 {
    ($vector:ident, $mask:ident, $bits:ident, $element:ty, $int:ty, $lanes:literal, $raw:ty, $raw_mask:ty,
     $set1:ident $loadu:ident $storeu:ident $add:ident $sub:ident $mul:ident $div:ident $sqrt:ident $abs:ident
     $cmp:ident $blend:ident $to:ident $from:ident
     $iset1:ident $iadd:ident $isub:ident $slli:ident $srli:ident $igt:ident $ieq:ident $iblend:ident
     $fmadd:ident $min:ident $max:ident $round:ident $scalef:ident $getmant:ident $getexp:ident $mask_add:ident $mask_mul:ident
     $sqrt_2:literal) => {
        #[derive(Clone, Copy)]
        pub(crate) struct $vector($raw);
        #[derive(Clone, Copy)]
        pub(crate) struct $mask($raw_mask);
        #[derive(Clone, Copy)]
        pub(crate) struct $bits(__m512i);

        // SAFETY (of every block): the level is available wherever this type is used.
        #[allow(unsafe_code, clippy::undocumented_unsafe_blocks)]
        impl Vector for $vector {
            type Element = $element;
            type Mask = $mask;
            type Bits = $bits;
            const LANES: usize = $lanes;
            const MAX_TILE: usize = 16;
            const LONG_TILE: usize = 16;
            const FUSES: bool = true;
            type Wide = F64x8;

            #[inline(always)]
            fn splat(value: $element) -> Self {
                $vector(unsafe { $set1(value) })
            }
            #[inline(always)]
            unsafe fn load(from: *const $element) -> Self {
                $vector(unsafe { $loadu(from) })
            }
            #[inline(always)]
            unsafe fn store(self, to: *mut $element) {
                unsafe { $storeu(to, self.0) }
            }
            #[inline(always)]
            fn load_first(from: &[$element]) -> Self {
                $vector(unsafe { Self::load_masked($mask::first(from.len()), from.as_ptr()) })
            }
            #[inline(always)]
            fn store_first(self, to: &mut [$element]) {
                unsafe { self.store_masked($mask::first(to.len()), to.as_mut_ptr()) }
            }

            #[inline(always)]
            fn add(self, other: Self) -> Self {
                $vector(unsafe { $add(self.0, other.0) })
            }
            #[inline(always)]
            fn sub(self, other: Self) -> Self {
                $vector(unsafe { $sub(self.0, other.0) })
            }
            #[inline(always)]
            fn mul(self, other: Self) -> Self {
                $vector(unsafe { $mul(self.0, other.0) })
            }
            #[inline(always)]
            fn div(self, other: Self) -> Self {
                $vector(unsafe { $div(self.0, other.0) })
            }
            #[inline(always)]
            fn sqrt(self) -> Self {
                $vector(unsafe { $sqrt(self.0) })
            }
            #[inline(always)]
            fn neg(self) -> Self {
                Self::from_bits(self.to_bits().xor($bits::splat(<$int>::MIN as i64)))
            }
            #[inline(always)]
            fn abs(self) -> Self {
                $vector(unsafe { $abs(self.0) })
            }
            #[inline(always)]
            fn mul_add(self, by: Self, plus: Self) -> Self {
                self.multiply_add(by, plus)
            }
            #[inline(always)]
            fn mul_add_any(self, by: Self, plus: Self) -> Self {
                $vector(unsafe { $fmadd(self.0, by.0, plus.0) })
            }
            #[inline(always)]
            fn min(self, other: Self) -> Self {
                $vector(unsafe { $min(self.0, other.0) })
            }
            #[inline(always)]
            fn max(self, other: Self) -> Self {
                $vector(unsafe { $max(self.0, other.0) })
            }
            #[inline(always)]
            fn trunc(self) -> Self {
                $vector(unsafe { $round::<{ _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC }>(self.0) })
            }
            #[inline(always)]
            fn scale(self, n: Self) -> Self {
                $vector(unsafe { $scalef(self.0, n.0) })
            }
            #[inline(always)]
            fn split(self) -> (Self, Self) {
                unsafe {
                    let m = $getmant::<_MM_MANT_NORM_1_2, _MM_MANT_SIGN_NAN>(self.0);
                    let e = $getexp(self.0);
                    let above = $cmp::<_CMP_GE_OQ>(m, $set1(<$element>::from_bits($sqrt_2)));
                    ($vector($mask_mul(m, above, m, $set1(0.5))), $vector($mask_add(e, above, e, $set1(1.0))))
                }
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
                $mask(unsafe { $cmp::<_CMP_LT_OQ>(self.0, other.0) })
            }
            #[inline(always)]
            fn le(self, other: Self) -> $mask {
                $mask(unsafe { $cmp::<_CMP_LE_OQ>(self.0, other.0) })
            }
            #[inline(always)]
            fn eq(self, other: Self) -> $mask {
                $mask(unsafe { $cmp::<_CMP_EQ_OQ>(self.0, other.0) })
            }
            #[inline(always)]
            fn select(mask: $mask, yes: Self, no: Self) -> Self {
                $vector(unsafe { $blend(mask.0, no.0, yes.0) })
            }
            #[inline(always)]
            fn to_bits(self) -> $bits {
                $bits(unsafe { $to(self.0) })
            }
            #[inline(always)]
            fn from_bits(bits: $bits) -> Self {
                $vector(unsafe { $from(bits.0) })
            }
        }

        impl Mask for $mask {
            #[inline(always)]
            fn first(n: usize) -> Self {
                let all = <$raw_mask>::MAX;
                $mask(if n >= $lanes { all } else { !(all << n) })
            }
            #[inline(always)]
            fn and(self, other: Self) -> Self {
                $mask(self.0 & other.0)
            }
            #[inline(always)]
            fn or(self, other: Self) -> Self {
                $mask(self.0 | other.0)
            }
            #[inline(always)]
            fn not(self) -> Self {
                $mask(!self.0)
            }
            #[inline(always)]
            fn to_u16(self) -> u16 {
                u16::from(self.0)
            }
        }

        // SAFETY (of every block): the level is available wherever this type is used.
        #[allow(unsafe_code, clippy::undocumented_unsafe_blocks)]
        impl Bits for $bits {
            type Mask = $mask;
            #[inline(always)]
            fn splat(value: i64) -> Self {
                $bits(unsafe { $iset1(value as $int) })
            }
            #[inline(always)]
            fn add(self, other: Self) -> Self {
                $bits(unsafe { $iadd(self.0, other.0) })
            }
            #[inline(always)]
            fn sub(self, other: Self) -> Self {
                $bits(unsafe { $isub(self.0, other.0) })
            }
            #[inline(always)]
            fn and(self, other: Self) -> Self {
                $bits(unsafe { _mm512_and_si512(self.0, other.0) })
            }
            #[inline(always)]
            fn or(self, other: Self) -> Self {
                $bits(unsafe { _mm512_or_si512(self.0, other.0) })
            }
            #[inline(always)]
            fn xor(self, other: Self) -> Self {
                $bits(unsafe { _mm512_xor_si512(self.0, other.0) })
            }
            #[inline(always)]
            fn shl<const N: u32>(self) -> Self {
                $bits(unsafe { $slli::<N>(self.0) })
            }
            #[inline(always)]
            fn shr<const N: u32>(self) -> Self {
                $bits(unsafe { $srli::<N>(self.0) })
            }
            #[inline(always)]
            fn gt(self, other: Self) -> $mask {
                $mask(unsafe { $igt(self.0, other.0) })
            }
            #[inline(always)]
            fn eq(self, other: Self) -> $mask {
                $mask(unsafe { $ieq(self.0, other.0) })
            }
            #[inline(always)]
            fn select(mask: $mask, yes: Self, no: Self) -> Self {
                $bits(unsafe { $iblend(mask.0, no.0, yes.0) })
            }
        }
    };
}

avx512!(F64x8, M64x8, I64x8, f64, i64, 8, __m512d, __mmask8,
    _mm512_set1_pd _mm512_loadu_pd _mm512_storeu_pd _mm512_add_pd _mm512_sub_pd _mm512_mul_pd _mm512_div_pd
    _mm512_sqrt_pd _mm512_abs_pd _mm512_cmp_pd_mask _mm512_mask_blend_pd _mm512_castpd_si512 _mm512_castsi512_pd
    _mm512_set1_epi64 _mm512_add_epi64 _mm512_sub_epi64 _mm512_slli_epi64 _mm512_srli_epi64
    _mm512_cmpgt_epi64_mask _mm512_cmpeq_epi64_mask _mm512_mask_blend_epi64
    _mm512_fmadd_pd _mm512_min_pd _mm512_max_pd _mm512_roundscale_pd _mm512_scalef_pd _mm512_getmant_pd _mm512_getexp_pd
    _mm512_mask_add_pd _mm512_mask_mul_pd 0x3ff6_a09e_0000_0000);
avx512!(F32x16, M32x16, I32x16, f32, i32, 16, __m512, __mmask16,
    _mm512_set1_ps _mm512_loadu_ps _mm512_storeu_ps _mm512_add_ps _mm512_sub_ps _mm512_mul_ps _mm512_div_ps
    _mm512_sqrt_ps _mm512_abs_ps _mm512_cmp_ps_mask _mm512_mask_blend_ps _mm512_castps_si512 _mm512_castsi512_ps
    _mm512_set1_epi32 _mm512_add_epi32 _mm512_sub_epi32 _mm512_slli_epi32 _mm512_srli_epi32
    _mm512_cmpgt_epi32_mask _mm512_cmpeq_epi32_mask _mm512_mask_blend_epi32
    _mm512_fmadd_ps _mm512_min_ps _mm512_max_ps _mm512_roundscale_ps _mm512_scalef_ps _mm512_getmant_ps _mm512_getexp_ps
    _mm512_mask_add_ps _mm512_mask_mul_ps 0x3fb5_04f3);

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
        unsafe {
            let (first, second) = (_mm512_castps512_ps256(self.0), _mm512_extractf32x8_ps::<1>(self.0));
            [F64x8(_mm512_cvtps_pd(first)), F64x8(_mm512_cvtps_pd(second))]
        }
    }
    #[inline(always)]
    fn from_wide([first, second]: [F64x8; 2]) -> Self {
        F32x16(unsafe {
            let first = _mm512_castps256_ps512(_mm512_cvtpd_ps(first.0));
            _mm512_insertf32x8::<1>(first, _mm512_cvtpd_ps(second.0))
        })
    }
}

// Lanes that the mask leaves out are not accessed, so they may lie outside of the slice.
#[allow(unsafe_code, clippy::undocumented_unsafe_blocks)]
impl F64x8 {
    #[inline(always)]
    unsafe fn load_masked(mask: M64x8, from: *const f64) -> __m512d {
        unsafe { _mm512_maskz_loadu_pd(mask.0, from) }
    }
    #[inline(always)]
    unsafe fn store_masked(self, mask: M64x8, to: *mut f64) {
        unsafe { _mm512_mask_storeu_pd(to, mask.0, self.0) }
    }
}

// SAFETY (of every block): the level is available wherever this type is used.
#[allow(unsafe_code, clippy::undocumented_unsafe_blocks)]
impl F32x16 {
    #[inline(always)]
    unsafe fn load_masked(mask: M32x16, from: *const f32) -> __m512 {
        unsafe { _mm512_maskz_loadu_ps(mask.0, from) }
    }
    #[inline(always)]
    unsafe fn store_masked(self, mask: M32x16, to: *mut f32) {
        unsafe { _mm512_mask_storeu_ps(to, mask.0, self.0) }
    }
}
