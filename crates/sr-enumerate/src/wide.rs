//! What [`crate::kernel`] computes of a column, with 8 rows in a vector: the compiler takes the vectors of such loops apart,
//! because they end in sums over lanes. Every function has the bits of its namesake there.

#![allow(unsafe_code)]

use std::arch::x86_64::*;

use sr_expr::hash::{GOLDEN, quick, spread};
use sr_simd::for_level;

use crate::kernel::{Column, Judged, Moments, ROUNDED_BITS, VANISHING};
use crate::prepare::ROWS;

/// The bits by which [`quick`] rotates.
const ROTATED: i32 = 23;
/// The vectors of a column.
pub(crate) const STEPS: usize = ROWS / 8;
/// The values of a column in registers.
pub(crate) type Wide = [__m512d; STEPS];

for_level! { avx512:
    #[inline]
    pub(crate) fn load(column: &Column) -> Wide {
        let mut values = [_mm512_setzero_pd(); STEPS];
        let (vectors, _) = column.0.as_chunks::<8>();
        for i in 0..STEPS {
            // SAFETY: eight numbers are read, of any alignment.
            values[i] = unsafe { _mm512_loadu_pd(vectors[i].as_ptr()) };
        }
        values
    }
}

for_level! { avx512:
    /// Adds lanes in the order of [`crate::kernel::total`].
    #[inline]
    fn total(lanes: __m512d) -> f64 {
        let halves = _mm256_add_pd(_mm512_castpd512_pd256(lanes), _mm512_extractf64x4_pd::<1>(lanes));
        let quarters = _mm_add_pd(_mm256_castpd256_pd128(halves), _mm256_extractf128_pd::<1>(halves));
        _mm_cvtsd_f64(_mm_add_sd(quarters, _mm_unpackhi_pd(quarters, quarters)))
    }
}

for_level! { avx512:
    /// Returns the product of two columns, never fused.
    #[inline]
    pub(crate) fn dot(values: &Wide, probe: &Wide) -> f64 {
        let mut lanes = _mm512_setzero_pd();
        for i in 0..STEPS {
            lanes = _mm512_add_pd(lanes, _mm512_mul_pd(values[i], probe[i]));
        }
        total(lanes)
    }
}

for_level! { avx512:
    #[inline]
    pub(crate) fn moments(values: &Wide, target: &Wide) -> Moments {
        let mut sum = _mm512_setzero_pd();
        for i in 0..STEPS {
            sum = _mm512_add_pd(sum, values[i]);
        }
        Moments { sum: total(sum), squares: dot(values, values), target: dot(values, target) }
    }
}

for_level! { avx512:
    #[inline]
    fn hash(values: &Wide) -> u64 {
        let mut largest = _mm512_setzero_pd();
        for i in 0..STEPS {
            // Where a value is NaN, that is the second operand.
            largest = _mm512_max_pd(_mm512_abs_pd(values[i]), largest);
        }
        let halves = _mm256_max_pd(_mm512_castpd512_pd256(largest), _mm512_extractf64x4_pd::<1>(largest));
        let quarters = _mm_max_pd(_mm256_castpd256_pd128(halves), _mm256_extractf128_pd::<1>(halves));
        let largest = _mm_max_sd(quarters, _mm_unpackhi_pd(quarters, quarters));
        let least = _mm512_broadcastsd_pd(_mm_mul_sd(largest, _mm_set_sd(VANISHING)));
        let half = _mm512_set1_epi64(1 << (ROUNDED_BITS - 1));
        let golden = _mm512_set1_epi64(GOLDEN as i64);
        let mut hashes = _mm512_setzero_si512();
        for i in 0..STEPS {
            let is_visible = _mm512_cmp_pd_mask::<_CMP_GT_OQ>(_mm512_abs_pd(values[i]), least);
            let bits = _mm512_add_epi64(_mm512_castpd_si512(values[i]), half);
            let rounded = _mm512_maskz_srli_epi64::<ROUNDED_BITS>(is_visible, bits);
            let turned = _mm512_rol_epi64::<ROTATED>(hashes);
            hashes = _mm512_mullo_epi64(_mm512_xor_si512(turned, rounded), golden);
        }
        // Half of the lanes are hashed into the other one, three times.
        let (low, high) = (_mm512_castsi512_si256(hashes), _mm512_extracti64x4_epi64::<1>(hashes));
        let golden = _mm512_castsi512_si256(golden);
        let four = _mm256_mullo_epi64(_mm256_xor_si256(_mm256_rol_epi64::<ROTATED>(low), high), golden);
        let (low, high) = (_mm256_castsi256_si128(four), _mm256_extracti128_si256::<1>(four));
        let golden = _mm256_castsi256_si128(golden);
        let two = _mm_mullo_epi64(_mm_xor_si128(_mm_rol_epi64::<ROTATED>(low), high), golden);
        let (low, high) = (_mm_cvtsi128_si64(two) as u64, _mm_extract_epi64::<1>(two) as u64);
        spread(quick(low, high))
    }
}

for_level! { avx512:
    #[inline]
    pub(crate) fn judge(values: &Wide, target: &Wide) -> Judged {
        Judged { moments: moments(values, target), hash: hash(values) }
    }
}
