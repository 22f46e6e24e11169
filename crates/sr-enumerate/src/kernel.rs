//! One operator over the working rows, and the sums that a column is judged by.

use sr_expr::hash::{quick, spread};
use sr_expr::{Level, Op, Semantics, map};
use sr_simd::{at_level, for_level, leveled};

use crate::prepare::ROWS;

/// The number of hashes of a column that are computed side by side.
const HASHED: usize = 8;
/// The bits of a value that are hashed away: 30 of 52 bits remain, so that rounding tells no columns apart.
pub(crate) const ROUNDED_BITS: u32 = 22;
/// Values below this share of a column's largest are rounding, and hashed as 0.
pub(crate) const VANISHING: f64 = 1e-11;

/// The values of an expression at the working rows.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C, align(64))]
pub(crate) struct Column(pub(crate) [f64; ROWS]);

impl Column {
    pub(crate) const ZERO: Column = Column([0.0; ROWS]);

    /// Returns a hash that is equal for columns whose values agree to about nine digits.
    #[cfg(test)]
    pub(crate) fn hash(&self) -> u64 {
        joined(lane_hashes(&self.0))
    }
}

/// Makes one hash of those of the lanes: half of them are hashed into the other one, three times.
#[inline(always)]
fn joined(lanes: [u64; HASHED]) -> u64 {
    let mut hashes = lanes;
    for half in [4, 2, 1] {
        for lane in 0..half {
            hashes[lane] = quick(hashes[lane], hashes[lane + half]);
        }
    }
    spread(hashes[0])
}

/// Hashes the rows of each lane. All rows count: |sin x| may differ from sin x in few of them.
#[inline(always)]
fn lane_hashes(values: &[f64; ROWS]) -> [u64; HASHED] {
    let mut largest = [0.0_f64; HASHED];
    for start in (0..ROWS).step_by(HASHED) {
        for lane in 0..HASHED {
            let magnitude = values[start + lane].abs();
            // As f64::max, in one instruction.
            largest[lane] = if magnitude > largest[lane] { magnitude } else { largest[lane] };
        }
    }
    let least = VANISHING * largest.iter().fold(0.0_f64, |largest, v| if *v > largest { *v } else { largest });
    let mut hashes = [0; HASHED];
    for start in (0..ROWS).step_by(HASHED) {
        for lane in 0..HASHED {
            let v = values[start + lane];
            // Adding half of the lost bits rounds to nearest; a carry into the exponent is right as well.
            let rounded = (v.to_bits() + (1 << (ROUNDED_BITS - 1))) >> ROUNDED_BITS;
            hashes[lane] = quick(hashes[lane], if v.abs() > least { rounded } else { 0 });
        }
    }
    hashes
}

macro_rules! loops {
    ($($name:ident($a:ident, $b:ident) = $value:expr;)*) => { $(
        leveled! {
            fn $name(a: &[f64; ROWS], b: &[f64; ROWS], out: &mut [f64; ROWS]) {
                for row in 0..ROWS {
                    let ($a, $b) = (a[row], b[row]);
                    out[row] = $value;
                }
            }
        }
    )* };
}
loops! {
    add(a, b) = a + b;
    subtract(a, b) = a - b;
    multiply(a, b) = a * b;
    divide(a, b) = a / b;
    negate(a, _b) = -a;
    magnitude(a, _b) = a.abs();
    root(a, _b) = a.sqrt();
    invert(a, _b) = 1.0 / a;
    square(a, _b) = a * a;
    cube(a, _b) = a * a * a;
}

/// Computes `out = op(a, b)` with the bits of [`Op::apply`]. Unary operators ignore `b`.
#[inline]
pub(crate) fn apply(level: Level, op: Op, a: &Column, b: &Column, out: &mut Column) {
    let (a, b, out) = (&a.0, &b.0, &mut out.0);
    match op {
        Op::Add => add(a, b, out),
        Op::Sub => subtract(a, b, out),
        Op::Mul => multiply(a, b, out),
        Op::Div => divide(a, b, out),
        Op::Neg => negate(a, a, out),
        Op::Abs => magnitude(a, a, out),
        Op::Sqrt => root(a, a, out),
        Op::Inv => invert(a, a, out),
        Op::Pow2 => square(a, a, out),
        Op::Pow3 => cube(a, a, out),
        slow => map::map(level, slow, Semantics::Ieee, a, b, out),
    }
}

/// What a column is multiplied with.
#[derive(Debug, Clone)]
pub(crate) struct Probes {
    /// The target less its mean, of norm 1.
    pub(crate) target: Column,
    /// Orthonormal vectors outside of a space, see [`crate::eliminate`].
    pub(crate) outside: [Column; 2],
}

/// Sums over the working rows that a column is scored by.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Moments {
    pub(crate) sum: f64,
    pub(crate) squares: f64,
    pub(crate) target: f64,
}

impl Moments {
    /// Returns whether all values are finite, and not so large or small that their squares are not.
    pub(crate) fn is_usable(&self) -> bool {
        self.squares > 1e-200 && self.squares < 1e200
    }

    /// Returns Σ (f − mean)² over Σ f².
    pub(crate) fn relative_spread(&self) -> f64 {
        (1.0 - self.sum * self.sum / ROWS as f64 / self.squares).max(0.0)
    }

    /// Returns whether the relative spread is above 0, without its division: only then is a quotient rounded to less than 1.
    #[inline]
    pub(crate) fn is_spread(&self) -> bool {
        self.sum * self.sum / (ROWS as f64) < self.squares
    }

    /// Returns the squared correlation with the target.
    pub(crate) fn correlation(&self) -> f64 {
        self.target * self.target / (self.squares * self.relative_spread())
    }
}

/// The moments, and the products with vectors outside of a space.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Sums {
    pub(crate) moments: Moments,
    pub(crate) outside: [f64; 2],
}

/// The rows that are added side by side.
const LANES: usize = 8;

#[inline(always)]
fn total(l: [f64; LANES]) -> f64 {
    ((l[0] + l[4]) + (l[2] + l[6])) + ((l[1] + l[5]) + (l[3] + l[7]))
}

/// Returns the moments of a column. Every lane adds its rows in order, on every machine.
#[inline(always)]
fn moments(values: &[f64; ROWS], probe: &Column) -> Moments {
    let (mut sum, mut squares, mut target) = ([0.0; LANES], [0.0; LANES], [0.0; LANES]);
    for start in (0..ROWS).step_by(LANES) {
        for lane in 0..LANES {
            let f = values[start + lane];
            sum[lane] += f;
            squares[lane] += f * f;
            target[lane] += f * probe.0[start + lane];
        }
    }
    Moments { sum: total(sum), squares: total(squares), target: total(target) }
}

#[inline(always)]
fn all_sums(values: &[f64; ROWS], probes: &Probes) -> Sums {
    let (mut first, mut second) = ([0.0; LANES], [0.0; LANES]);
    for start in (0..ROWS).step_by(LANES) {
        for lane in 0..LANES {
            let f = values[start + lane];
            first[lane] += f * probes.outside[0].0[start + lane];
            second[lane] += f * probes.outside[1].0[start + lane];
        }
    }
    Sums { moments: moments(values, &probes.target), outside: [total(first), total(second)] }
}

/// What a bank keeps a column for: its moments and its hash, of a column that was not written out.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Judged {
    pub(crate) moments: Moments,
    /// That of [`Column::hash`], if the moments are usable.
    pub(crate) hash: u64,
}

/// Computes the moments and the hash of a column in one pass over its rows.
#[inline(always)]
fn judge(values: &[f64; ROWS], target: &Column) -> Judged {
    Judged { moments: moments(values, target), hash: joined(lane_hashes(values)) }
}

/// One operator on a column and on each of a row of columns, judged while the values are in registers.
/// The columns are picked by their places; the n-th result is that of the n-th pick.
pub(crate) type BlockKernel = fn(&Column, &[Column], &[u8], &Probes, &mut [Judged]);
/// The same with the sums that columns on the fly are looked up by.
pub(crate) type SumKernel = fn(&Column, &[Column], &[u8], &Probes, &mut [Sums]);

macro_rules! blocks {
    ($($name:ident($a:ident, $b:ident) = $value:expr, $wide:expr;)*) => { $(
        mod $name {
            use super::*;

            dispatched! { judged, Judged }
            dispatched! { summed, Sums }

            /// The reference, and what runs where there are no vectors of 8 rows.
            pub(super) mod loops {
                use super::super::*;

                leveled! {
                    pub(crate) fn judged(a: &Column, others: &[Column], picks: &[u8], probes: &Probes, out: &mut [Judged]) {
                        for (&pick, out) in picks.iter().zip(out) {
                            *out = judge(&values(a, &others[usize::from(pick)]), &probes.target);
                        }
                    }
                }

                leveled! {
                    pub(crate) fn summed(a: &Column, others: &[Column], picks: &[u8], probes: &Probes, out: &mut [Sums]) {
                        for (&pick, out) in picks.iter().zip(out) {
                            *out = all_sums(&values(a, &others[usize::from(pick)]), probes);
                        }
                    }
                }

                #[inline(always)]
                fn values(a: &Column, b: &Column) -> [f64; ROWS] {
                    let mut values = [0.0; ROWS];
                    for row in 0..ROWS {
                        let ($a, $b) = (a.0[row], b.0[row]);
                        values[row] = $value;
                    }
                    values
                }
            }

            #[cfg(target_arch = "x86_64")]
            mod wide {
                #[allow(unused_imports)] // by the operand itself
                use std::arch::x86_64::*;

                use super::super::*;
                use crate::wide::{STEPS, Wide, dot, judge, load, moments};

                for_level! { avx512:
                    pub(super) fn judged(a: &Column, others: &[Column], picks: &[u8], probes: &Probes, out: &mut [Judged]) {
                        let (a, target) = (load(a), load(&probes.target));
                        for (&pick, out) in picks.iter().zip(out) {
                            *out = judge(&values(&a, &load(&others[usize::from(pick)])), &target);
                        }
                    }
                }

                for_level! { avx512:
                    pub(super) fn summed(a: &Column, others: &[Column], picks: &[u8], probes: &Probes, out: &mut [Sums]) {
                        let (a, target) = (load(a), load(&probes.target));
                        let [first, second] = [load(&probes.outside[0]), load(&probes.outside[1])];
                        for (&pick, out) in picks.iter().zip(out) {
                            let values = values(&a, &load(&others[usize::from(pick)]));
                            let outside = [dot(&values, &first), dot(&values, &second)];
                            *out = Sums { moments: moments(&values, &target), outside };
                        }
                    }
                }

                for_level! { avx512:
                    #[inline]
                    fn values(a: &Wide, b: &Wide) -> Wide {
                        let mut values = *b;
                        for i in 0..STEPS {
                            let ($a, $b) = (a[i], b[i]);
                            values[i] = $wide;
                        }
                        values
                    }
                }
            }
        }
    )* };
}
macro_rules! dispatched {
    ($name:ident, $out:ty) => {
        #[allow(unsafe_code)]
        pub(super) fn $name(a: &Column, others: &[Column], picks: &[u8], probes: &Probes, out: &mut [$out]) {
            at_level!(
                Level::detect(),
                portable => loops::$name(a, others, picks, probes, out),
                avx2 => loops::$name(a, others, picks, probes, out),
                // SAFETY: the machine has the level.
                avx512 => unsafe { wide::$name(a, others, picks, probes, out) },
            )
        }
    };
}
blocks! {
    block_add(a, b) = a + b, _mm512_add_pd(a, b);
    block_subtract(a, b) = a - b, _mm512_sub_pd(a, b);
    block_subtract_from(a, b) = b - a, _mm512_sub_pd(b, a);
    block_multiply(a, b) = a * b, _mm512_mul_pd(a, b);
    block_divide(a, b) = a / b, _mm512_div_pd(a, b);
    block_divide_by(a, b) = b / a, _mm512_div_pd(b, a);
    block_second(_a, b) = b, b;
}

/// Returns the kernels of op(a, b), or of op(b, a) if `is_reversed`, where there are any: those of an operator with a loop of
/// its own. They have the bits of [`apply`], [`sums`] and [`Column::hash`].
pub(crate) fn block_kernels(op: Op, is_reversed: bool) -> Option<(BlockKernel, SumKernel)> {
    Some(match (op, is_reversed) {
        (Op::Add, _) => (block_add::judged, block_add::summed),
        (Op::Mul, _) => (block_multiply::judged, block_multiply::summed),
        (Op::Sub, false) => (block_subtract::judged, block_subtract::summed),
        (Op::Sub, true) => (block_subtract_from::judged, block_subtract_from::summed),
        (Op::Div, false) => (block_divide::judged, block_divide::summed),
        (Op::Div, true) => (block_divide_by::judged, block_divide_by::summed),
        _ => return None,
    })
}

/// Judges a column that was written out.
pub(crate) fn judged(column: &Column, probes: &Probes) -> Judged {
    let mut out = Judged::default();
    block_second::judged(column, std::slice::from_ref(column), &[0], probes, std::slice::from_mut(&mut out));
    out
}

/// Returns the sums of a column that was written out.
pub(crate) fn sums(column: &Column, probes: &Probes) -> Sums {
    let mut out = Sums::default();
    block_second::summed(column, std::slice::from_ref(column), &[0], probes, std::slice::from_mut(&mut out));
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn column(f: impl Fn(usize) -> f64) -> Column {
        Column(std::array::from_fn(f))
    }

    #[test]
    fn operators_have_the_bits_of_the_table() {
        let (a, b) = (column(|row| row as f64 / 7.0 - 3.0), column(|row| 2.0 - row as f64 / 11.0));
        let mut out = Column::ZERO;
        for &op in Op::ALL {
            apply(Level::detect(), op, &a, &b, &mut out);
            for row in 0..ROWS {
                let expected = op.apply(Semantics::Ieee, a.0[row], b.0[row]);
                assert!(out.0[row] == expected || out.0[row].is_nan() && expected.is_nan(), "{op} row {row}");
            }
        }
    }

    #[test]
    fn hashes_ignore_rounding_only() {
        let f = column(|row| (row as f64 + 0.3).sin());
        let nearly = column(|row| (row as f64 + 0.3).sin() * (1.0 + 1e-15));
        let other = column(|row| (row as f64 + 0.3).sin() * (1.0 + 1e-7));
        assert_eq!(f.hash(), nearly.hash());
        assert_ne!(f.hash(), other.hash());
    }

    /// Any bits: subnormal numbers, infinities and NaN too.
    fn columns() -> impl Strategy<Value = Column> {
        let value = prop_oneof![8 => -3.0..3.0_f64, 1 => any::<f64>(), 1 => Just(0.0)];
        let some = prop::collection::vec(-100.0..100.0_f64, ROWS);
        let any = prop::collection::vec(value, ROWS);
        prop_oneof![some, any].prop_map(|values| column(|row| values[row]))
    }

    proptest! {
        #[test]
        fn kernels_judge_what_is_written_out(a in columns(), others in prop::collection::vec(columns(), 1..5), y in columns()) {
            let probes = Probes { target: y, outside: [a, others[0]] };
            let picks: Vec<u8> = (0..others.len() as u8).rev().collect();
            for (op, is_reversed) in [Op::Add, Op::Sub, Op::Mul, Op::Div].into_iter().flat_map(|op| [(op, false), (op, true)]) {
                let (judge, sum) = block_kernels(op, is_reversed).expect("one of its own");
                let (mut got, mut sums) = (vec![Judged::default(); picks.len()], vec![Sums::default(); picks.len()]);
                judge(&a, &others, &picks, &probes, &mut got);
                sum(&a, &others, &picks, &probes, &mut sums);
                for ((pick, got), sums) in picks.iter().zip(got).zip(sums) {
                    let b = &others[usize::from(*pick)];
                    let mut out = Column::ZERO;
                    let (left, right) = if is_reversed { (b, &a) } else { (&a, b) };
                    apply(Level::detect(), op, left, right, &mut out);
                    let expected = all_sums(&out.0, &probes);
                    let numbers = |m: Moments| [m.sum, m.squares, m.target];
                    let bits = |m: Moments| numbers(m).map(|v| if v.is_nan() { 0 } else { v.to_bits() });
                    prop_assert_eq!(bits(got.moments), bits(expected.moments));
                    prop_assert_eq!(bits(sums.moments), bits(expected.moments));
                    for (got, expected) in sums.outside.iter().zip(expected.outside) {
                        prop_assert!(got.to_bits() == expected.to_bits() || got.is_nan() && expected.is_nan());
                    }
                    prop_assert_eq!(got.moments.is_usable(), expected.moments.is_usable());
                    if got.moments.is_usable() {
                        prop_assert_eq!(got.hash, out.hash());
                        prop_assert_eq!(got.moments.is_spread(), got.moments.relative_spread() > 0.0);
                    }
                    let written = judged(&out, &probes);
                    prop_assert_eq!(bits(written.moments), bits(expected.moments));
                }
            }
        }
    }

    #[test]
    fn sums_are_sums() {
        let f = column(|row| row as f64 - 10.0);
        let probes = Probes { target: column(|_| 1.0), outside: [column(|row| row as f64), column(|_| 2.0)] };
        let got = sums(&f, &probes);
        assert_eq!((got.moments.sum, got.moments.target, got.outside[1]), (1376.0, 1376.0, 2752.0));
        let got = got.moments;
        assert_eq!(got.squares, f.0.iter().map(|v| v * v).sum::<f64>());
        assert!((got.relative_spread() * got.squares - (got.squares - 1376.0 * 1376.0 / 64.0)).abs() < 1e-9);
    }
}
