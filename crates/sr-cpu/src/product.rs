//! Matrix products with a right side that is packed beforehand.
//!
//! `C[m, n] = A[m, k] · B[k, n]`. B is in panels as wide as two vectors, so that a step of the innermost loop reads two
//! vectors of it in sequence. A is read in place, by any two strides. Every number of C is one chain of fused
//! multiplications and additions in the order of k, whatever the numbers of rows and columns. So a row's result does
//! not depend on the rows beside it, and no bit of it on the level. Levels without such an instruction compute the same
//! number with a few others (`fused`), about ten times as slowly.
//!
//! The scheme is that of Goto & van de Geijn, "Anatomy of High-Performance Matrix Multiplication" (2008), without their
//! packing of A, except for a transposed A, whose steps would each touch another page.

use sr_simd::{Level, at_level};

/// The largest number of rows of a tile, for any level.
const MAX_ROWS: usize = 12;
/// The numbers of A that are processed together: half of a small L2 cache.
const BLOCK: usize = 1 << 16;

/// A packed matrix, the right side of a product.
#[derive(Debug, Clone, Default)]
pub struct Packed {
    k: usize,
    n: usize,
    /// The panels, `[n / panel, k, panel]`, padded with zeros.
    panels: Vec<f32>,
}

/// The left side of a product: `m` rows of `k` numbers, with entry (i, p) at `i * row + p * step`.
#[derive(Debug, Clone, Copy)]
pub struct Left<'a> {
    values: &'a [f32],
    m: usize,
    k: usize,
    row: usize,
    step: usize,
}

impl<'a> Left<'a> {
    /// Views rows that begin `stride` apart.
    ///
    /// # Panics
    /// Panics if they go beyond the values.
    pub fn rows(values: &'a [f32], m: usize, k: usize, stride: usize) -> Self {
        assert!(m == 0 || k == 0 || is_within(values, m, k, stride), "a matrix within its memory");
        Left { values, m, k, row: stride, step: 1 }
    }

    /// Views the transpose of a matrix of `k` rows of `m` numbers that begin `stride` apart.
    ///
    /// # Panics
    /// Panics if they go beyond the values.
    pub fn transposed(values: &'a [f32], m: usize, k: usize, stride: usize) -> Self {
        assert!(m == 0 || k == 0 || is_within(values, k, m, stride), "a matrix within its memory");
        Left { values, m, k, row: 1, step: stride }
    }
}

/// Returns whether `values` contains `rows` rows, at least one, of `width` numbers that begin `stride` apart. Products
/// use these sizes without bounds checks, so none of them may wrap.
fn is_within(values: &[f32], rows: usize, width: usize, stride: usize) -> bool {
    let end = (rows - 1).checked_mul(stride).and_then(|start| start.checked_add(width));
    end.is_some_and(|end| end <= values.len())
}

/// Returns the number of columns of a panel at a level.
fn panel(level: Level) -> usize {
    if level == Level::Avx512 { 32 } else { 16 }
}

impl Packed {
    /// Packs `k` rows of `n` numbers that begin `stride` apart.
    pub fn rows(values: &[f32], k: usize, n: usize, stride: usize) -> Self {
        let mut packed = Packed::default();
        packed.set_rows(values, k, n, stride);
        packed
    }

    /// Packs the transpose of `n` rows of `k` numbers that begin `stride` apart.
    pub fn transposed(values: &[f32], k: usize, n: usize, stride: usize) -> Self {
        let mut packed = Packed::default();
        packed.set_transposed(values, k, n, stride);
        packed
    }

    /// Packs like [`rows`](Self::rows), in the same memory.
    pub fn set_rows(&mut self, values: &[f32], k: usize, n: usize, stride: usize) {
        assert_fits(k, n);
        let panel = self.reset(k, n);
        for (j, out) in self.panels.chunks_exact_mut(k * panel).enumerate() {
            let columns = j * panel..n.min((j + 1) * panel);
            for (p, out) in out.chunks_exact_mut(panel).enumerate() {
                out[..columns.len()].copy_from_slice(&values[p * stride..][columns.clone()]);
            }
        }
    }

    /// Packs like [`transposed`](Self::transposed), in the same memory.
    pub fn set_transposed(&mut self, values: &[f32], k: usize, n: usize, stride: usize) {
        assert_fits(k, n);
        let panel = self.reset(k, n);
        for (j, out) in self.panels.chunks_exact_mut(k * panel).enumerate() {
            for (column, from) in (j * panel..n.min((j + 1) * panel)).enumerate() {
                for (p, &value) in values[from * stride..][..k].iter().enumerate() {
                    out[p * panel + column] = value;
                }
            }
        }
    }

    #[cfg(test)]
    fn at(level: Level, values: &[f32], k: usize, n: usize) -> Self {
        let panel = panel(level);
        let mut panels = vec![0.0; n.div_ceil(panel) * panel * k];
        for (index, value) in values.iter().enumerate() {
            let (p, j) = (index / n, index % n);
            panels[j / panel * k * panel + p * panel + j % panel] = *value;
        }
        Packed { k, n, panels }
    }

    fn reset(&mut self, k: usize, n: usize) -> usize {
        assert!(k > 0, "a matrix has rows");
        let panel = panel(Level::detect());
        (self.k, self.n) = (k, n);
        self.panels.resize(n.div_ceil(panel) * panel * k, 0.0);
        // All other numbers are overwritten.
        let padded = n - n % panel;
        self.panels[padded * k..].fill(0.0);
        panel
    }

    /// Returns the number of columns.
    pub fn n(&self) -> usize {
        self.n
    }
}

/// Checks that the panels of such a matrix fit memory, whatever their width.
///
/// # Panics
/// Panics if they do not.
fn assert_fits(k: usize, n: usize) {
    let padded = n.checked_next_multiple_of(32).and_then(|n| n.checked_mul(k));
    let fits = padded.is_some_and(|numbers| numbers <= isize::MAX as usize / size_of::<f32>());
    assert!(fits, "a matrix of {k} rows and {n} columns fits memory");
}

/// The treatment of C's old contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Into {
    /// They are overwritten.
    Set,
    /// The product is added to them.
    Add,
}

/// Multiplies `a` by the first `a.k` rows and `n` columns of `b`, and writes or adds the product to rows of `c` that
/// begin `stride` apart.
///
/// # Panics
/// Panics if the sizes do not fit.
pub fn product(a: Left<'_>, b: &Packed, n: usize, c: &mut [f32], stride: usize, into: Into) {
    if a.m == 0 || n == 0 {
        return;
    }
    assert!(0 < a.k && a.k <= b.k && n <= b.n, "sizes that fit: {} of {} rows, {n} of {} columns", a.k, b.k, b.n);
    assert!(is_within(c, a.m, n, stride), "a result within its memory");
    product_at(Level::detect(), a, b, n, c, stride, into);
}

/// Computes the product at a level that the machine has. The sizes have to be checked, and the right side packed for
/// the level.
fn product_at(level: Level, a: Left<'_>, b: &Packed, n: usize, c: &mut [f32], stride: usize, into: Into) {
    // SAFETY: the machine has the level, and the sizes were checked.
    #[allow(unsafe_code)]
    unsafe {
        at_level!(
            level,
            portable => multiply::<[f32; 8]>(a, b, n, c, stride, into),
            avx2 => x86::avx2(a, b, n, c, stride, into),
            avx512 => x86::avx512(a, b, n, c, stride, into),
        )
    }
}

/// A vector.
trait Lanes: Copy {
    /// The number of lanes.
    const N: usize;
    /// The number of rows of a tile. With two vectors a row, the registers hold as many.
    const ROWS: usize;
    fn splat(value: f32) -> Self;
    #[allow(unsafe_code)]
    unsafe fn load(from: *const f32) -> Self;
    #[allow(unsafe_code)]
    unsafe fn store(self, to: *mut f32);
    fn add(self, other: Self) -> Self;
    /// Returns `self · factor + term`, fused.
    fn mul_add(self, factor: Self, term: Self) -> Self;
}

#[allow(unsafe_code, clippy::undocumented_unsafe_blocks)]
impl Lanes for [f32; 8] {
    const N: usize = 8;
    const ROWS: usize = 2;
    #[inline(always)]
    fn splat(value: f32) -> Self {
        [value; 8]
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        unsafe { from.cast::<Self>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        unsafe { to.cast::<Self>().write_unaligned(self) }
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        std::array::from_fn(|i| self[i] + other[i])
    }
    #[inline(always)]
    fn mul_add(self, factor: Self, term: Self) -> Self {
        std::array::from_fn(|i| fused(self[i], factor[i], term[i]))
    }
}

/// Returns `a · b + c`, rounded once.
///
/// The baseline of x86-64 has no fused instruction, and a call of the C library for each number is slower than this. In
/// double precision the product is exact. A sum that is rounded to odd (Boldo & Melquiond, 2008) can be rounded again
/// without harm, because it has two bits more than twice those of the result.
#[inline(always)]
#[cfg(any(target_arch = "x86_64", test))]
fn fused(a: f32, b: f32, c: f32) -> f32 {
    let (product, c) = (f64::from(a) * f64::from(b), f64::from(c));
    let sum = product + c;
    // This is the rounding error of the sum (Knuth's two-sum); it is NaN beside infinities.
    let of_c = sum - product;
    let missed = (product - (sum - of_c)) + (c - of_c);
    // If the sum ends in 0 it is moved towards the error; away from zero is one bit up.
    let bits = sum.to_bits();
    let is_even_and_inexact = bits & 1 == 0 && missed.abs() > 0.0;
    let is_away = (missed > 0.0) == (sum > 0.0);
    let odd = if is_away { bits.wrapping_add(1) } else { bits.wrapping_sub(1) };
    f64::from_bits(if is_even_and_inexact { odd } else { bits }) as f32
}

#[inline(always)]
#[cfg(not(any(target_arch = "x86_64", test)))]
fn fused(a: f32, b: f32, c: f32) -> f32 {
    a.mul_add(b, c)
}

/// Computes a product by tiles.
///
/// # Safety
/// The sizes have to be as [`product`] checks them, and the machine has to have the level of `L`.
#[inline(always)]
#[allow(unsafe_code)]
unsafe fn multiply<L: Lanes>(a: Left<'_>, b: &Packed, n: usize, c: &mut [f32], stride: usize, into: Into) {
    let panel = 2 * L::N;
    let block = (BLOCK / a.k).next_multiple_of(L::ROWS).max(L::ROWS);
    let out = c.as_mut_ptr();
    let mut turned = Vec::new();
    for start in (0..a.m).step_by(block) {
        let end = a.m.min(start + block);
        // These are the place of row `start` of A, and the distances to the next row, the next step and the next tile.
        let (left, row, step, next) = if a.step == 1 {
            (a.values[start * a.row..].as_ptr(), a.row, 1, L::ROWS * a.row)
        } else {
            turn(a, start..end, L::ROWS, &mut turned);
            (turned.as_ptr(), 1, L::ROWS, L::ROWS * a.k)
        };
        for j in 0..n.div_ceil(panel) {
            let width = panel.min(n - j * panel);
            // SAFETY: a panel has `b.k` rows, and there are enough of them for `b.n` columns.
            let right = unsafe { b.panels.as_ptr().add(j * b.k * panel) };
            for (tile, i) in (start..end).step_by(L::ROWS).enumerate() {
                // SAFETY: row i of A and of C, as far as there are rows.
                let tile = unsafe {
                    Tile {
                        k: a.k,
                        left: left.add(tile * next),
                        row,
                        step,
                        right,
                        out: out.add(i * stride + j * panel),
                        stride,
                        width,
                        into,
                    }
                };
                macro_rules! rows {
                    ($($rows:literal)*) => {
                        match L::ROWS.min(end - i) {
                            // SAFETY: that many rows are left.
                            $($rows => unsafe { tile.run::<L, $rows>() },)*
                            _ => unreachable!("a tile has at most {MAX_ROWS} rows"),
                        }
                    };
                }
                rows!(1 2 3 4 5 6 7 8 9 10 11 12);
            }
        }
    }
}

/// Copies rows of A as `[rows / tile, k, tile]`.
fn turn(a: Left<'_>, rows: std::ops::Range<usize>, tile: usize, out: &mut Vec<f32>) {
    out.clear();
    out.resize(rows.len().next_multiple_of(tile) * a.k, 0.0);
    for p in 0..a.k {
        let from = &a.values[p * a.step..][rows.clone()];
        for (of_tile, from) in from.chunks(tile).enumerate() {
            out[(of_tile * a.k + p) * tile..][..from.len()].copy_from_slice(from);
        }
    }
}

/// A few rows of one panel.
#[derive(Clone, Copy)]
struct Tile {
    k: usize,
    left: *const f32,
    row: usize,
    step: usize,
    right: *const f32,
    out: *mut f32,
    stride: usize,
    width: usize,
    into: Into,
}

impl Tile {
    /// Computes the rows of the tile.
    ///
    /// # Safety
    /// `ROWS` rows of A and C have to exist, and `width` columns of C.
    #[inline(always)]
    #[allow(unsafe_code)]
    unsafe fn run<L: Lanes, const ROWS: usize>(self) {
        let mut sums = [[L::splat(0.0); 2]; ROWS];
        let (mut left, mut right) = (self.left, self.right);
        for _ in 0..self.k {
            // SAFETY: within A and the panel.
            unsafe {
                let (b0, b1) = (L::load(right), L::load(right.add(L::N)));
                for (i, sum) in sums.iter_mut().enumerate() {
                    let a = L::splat(*left.add(i * self.row));
                    sum[0] = a.mul_add(b0, sum[0]);
                    sum[1] = a.mul_add(b1, sum[1]);
                }
                left = left.wrapping_add(self.step); // past the end after the last step
                right = right.add(2 * L::N);
            }
        }
        for (i, sum) in sums.into_iter().enumerate() {
            // SAFETY: row i of C has `width` columns here.
            unsafe {
                let out = self.out.add(i * self.stride);
                if self.width == 2 * L::N {
                    for (half, sum) in sum.into_iter().enumerate() {
                        let out = out.add(half * L::N);
                        let sum = if self.into == Into::Add { L::load(out).add(sum) } else { sum };
                        sum.store(out);
                    }
                } else {
                    let mut whole = [0.0f32; 32];
                    sum[0].store(whole.as_mut_ptr());
                    sum[1].store(whole.as_mut_ptr().add(L::N));
                    for (column, value) in whole[..self.width].iter().enumerate() {
                        let out = out.add(column);
                        *out = if self.into == Into::Add { *out + value } else { *value };
                    }
                }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code, clippy::undocumented_unsafe_blocks)]
mod x86 {
    use std::arch::x86_64::*;

    use sr_simd::for_level;

    use super::{Into, Lanes, Left, Packed, multiply};

    for_level! { avx2:
        pub(super) unsafe fn avx2(a: Left<'_>, b: &Packed, n: usize, c: &mut [f32], stride: usize, into: Into) {
            unsafe { multiply::<__m256>(a, b, n, c, stride, into) }
        }
    }

    for_level! { avx512:
        pub(super) unsafe fn avx512(a: Left<'_>, b: &Packed, n: usize, c: &mut [f32], stride: usize, into: Into) {
            unsafe { multiply::<__m512>(a, b, n, c, stride, into) }
        }
    }

    macro_rules! lanes {
        ($vector:ty, $n:literal, $rows:literal, $set:ident $load:ident $store:ident $add:ident $fma:ident) => {
            // SAFETY (of every block): used only where the level is available.
            impl Lanes for $vector {
                const N: usize = $n;
                const ROWS: usize = $rows;
                #[inline(always)]
                fn splat(value: f32) -> Self {
                    unsafe { $set(value) }
                }
                #[inline(always)]
                unsafe fn load(from: *const f32) -> Self {
                    unsafe { $load(from) }
                }
                #[inline(always)]
                unsafe fn store(self, to: *mut f32) {
                    unsafe { $store(to, self) }
                }
                #[inline(always)]
                fn add(self, other: Self) -> Self {
                    unsafe { $add(self, other) }
                }
                #[inline(always)]
                fn mul_add(self, factor: Self, term: Self) -> Self {
                    unsafe { $fma(self, factor, term) }
                }
            }
        };
    }
    lanes!(__m256, 8, 6, _mm256_set1_ps _mm256_loadu_ps _mm256_storeu_ps _mm256_add_ps _mm256_fmadd_ps);
    lanes!(__m512, 16, 12, _mm512_set1_ps _mm512_loadu_ps _mm512_storeu_ps _mm512_add_ps _mm512_fmadd_ps);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn numbers(len: usize, seed: u32) -> Vec<f32> {
        let mut state = seed.wrapping_mul(2_654_435_761) | 1;
        let next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        std::iter::repeat_with(next).take(len).collect()
    }

    proptest! {
        #[test]
        fn products_equal_their_definition(
            m in 1..40usize, k in 1..50usize, n in 1..70usize, extra in 0..5usize, seed: u32, flips in 0..8u32,
        ) {
            let (left_turned, right_turned, add) = (flips & 1 > 0, flips & 2 > 0, flips & 4 > 0);
            let (a, b) = (numbers((m + extra) * (k + extra), seed), numbers((k + extra) * (n + extra), !seed));
            let left = if left_turned { Left::transposed(&a, m, k, m + extra) } else { Left::rows(&a, m, k, k + extra) };
            let at = |i: usize, p: usize| if left_turned { a[p * (m + extra) + i] } else { a[i * (k + extra) + p] };
            let right = if right_turned {
                Packed::transposed(&b, k, n, k + extra)
            } else {
                Packed::rows(&b, k, n, n + extra)
            };
            let bt = |p: usize, j: usize| if right_turned { b[j * (k + extra) + p] } else { b[p * (n + extra) + j] };
            let mut c = vec![0.5; m * (n + extra)];
            product(left, &right, n, &mut c, n + extra, if add { Into::Add } else { Into::Set });
            for i in 0..m {
                for j in 0..n + extra {
                    let sum: f64 = (0..k).map(|p| f64::from(at(i, p)) * if j < n { f64::from(bt(p, j)) } else { 0.0 }).sum();
                    let expected = if j >= n { 0.5 } else if add { sum + 0.5 } else { sum };
                    let found = f64::from(c[i * (n + extra) + j]);
                    prop_assert!((found - expected).abs() < 1e-5, "({i}, {j}): {found} {expected}");
                }
            }
        }

        #[test]
        fn a_row_does_not_depend_on_its_neighbours(m in 1..30usize, k in 1..300usize, n in 1..40usize, seed: u32) {
            let (a, b) = (numbers(m * k, seed), numbers(k * n, !seed));
            let right = Packed::rows(&b, k, n, n);
            let mut all = vec![0.0; m * n];
            product(Left::rows(&a, m, k, k), &right, n, &mut all, n, Into::Set);
            for i in 0..m {
                let mut alone = vec![0.0; n];
                product(Left::rows(&a[i * k..], 1, k, k), &right, n, &mut alone, n, Into::Set);
                prop_assert_eq!(&alone, &all[i * n..(i + 1) * n]);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]
        #[test]
        fn fusing_rounds_once(a: u32, b: u32, c: u32, near in -40..40i32) {
            let (a, b) = (f32::from_bits(a), f32::from_bits(b));
            // Any number, and one of about the size of the product, where it is hard.
            let close = (f64::from(a) * f64::from(b)) as f32 * 2.0f32.powi(near) * (1.0 + (c & 0xff) as f32 / 256.0);
            for c in [f32::from_bits(c), close, -close] {
                let (found, expected) = (fused(a, b, c), a.mul_add(b, c));
                prop_assert!(found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan(), "{a} {b} {c}");
            }
        }
    }

    #[test]
    fn fusing_is_right_at_the_edges() {
        let edges =
            [0.0, -0.0, 1.0, -1.0, f32::MIN_POSITIVE, 1e-45, -1e-45, f32::MAX, f32::INFINITY, 1.0 + f32::EPSILON];
        for a in edges {
            for b in edges {
                for c in edges {
                    let (found, expected) = (fused(a, b, c), a.mul_add(b, c));
                    assert!(
                        found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan(),
                        "{a} {b} {c}"
                    );
                }
            }
        }
    }

    #[test]
    fn every_level_gives_the_same_bits() {
        for (m, k, n) in [(1, 1, 1), (7, 33, 5), (13, 300, 70), (30, 17, 32)] {
            let (a, b) = (numbers(m * k, 3), numbers(k * n, 4));
            let at = |level: Level| {
                let right = Packed::at(level, &b, k, n);
                let mut c = vec![0.25; m * n];
                product_at(level, Left::rows(&a, m, k, k), &right, n, &mut c, n, Into::Add);
                c.iter().map(|x| x.to_bits()).collect::<Vec<_>>()
            };
            let portable = at(Level::Portable);
            for level in Level::ALL.into_iter().filter(|level| level.is_available()) {
                assert!(at(level) == portable, "{} {m} {k} {n}", level.name());
            }
        }
    }

    #[test]
    fn sizes_that_wrap_are_refused() {
        use std::panic::catch_unwind;
        const HALF: usize = 1 << (usize::BITS - 1);
        let a = [1.0; 8];
        assert!(catch_unwind(|| Left::rows(&a, 3, 2, HALF)).is_err(), "2 rows of 2^63 numbers are none");
        assert!(catch_unwind(|| Left::transposed(&a, 2, 3, HALF)).is_err());
        // A panel of 2^60 + 1 rows would be one of a single row.
        for k in [(HALF >> 3) + 1, (HALF >> 4) + 1, usize::MAX, HALF] {
            assert!(catch_unwind(|| Packed::rows(&a, k, 8, 0)).is_err());
            assert!(catch_unwind(|| Packed::transposed(&a, k, 8, 0)).is_err());
        }
        let (left, right) = (Left::rows(&a, 3, 2, 2), Packed::rows(&a, 2, 2, 2));
        assert!(catch_unwind(|| product(left, &right, 2, &mut [0.0; 8], HALF, Into::Set)).is_err());
    }

    #[test]
    fn a_part_of_the_right_side_will_do() {
        let (a, b) = (numbers(6, 1), numbers(12, 2));
        let (whole, part) = (Packed::rows(&b, 3, 4, 4), Packed::rows(&b, 2, 3, 4));
        let (mut x, mut y) = (vec![0.0; 9], vec![0.0; 9]);
        product(Left::rows(&a, 3, 2, 2), &whole, 3, &mut x, 3, Into::Set);
        product(Left::rows(&a, 3, 2, 2), &part, 3, &mut y, 3, Into::Set);
        assert_eq!(x, y);
    }
}
