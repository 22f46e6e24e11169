//! One operator over the working rows, and the sums that a column is judged by.

use sr_expr::hash::{quick, spread};
use sr_expr::{Level, Op, Semantics, map};
use sr_simd::leveled;

use crate::prepare::ROWS;

/// The number of hashes of a column that are computed side by side.
const HASHED: usize = 8;
/// The bits of a value that are hashed away: 30 of 52 bits remain, so that rounding tells no columns apart.
const ROUNDED_BITS: u32 = 22;
/// Values below this share of a column's largest are rounding, and hashed as 0.
const VANISHING: f64 = 1e-11;

/// The values of an expression at the working rows.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C, align(64))]
pub(crate) struct Column(pub(crate) [f64; ROWS]);

impl Column {
    pub(crate) const ZERO: Column = Column([0.0; ROWS]);

    /// Returns a hash that is equal for columns whose values agree to about nine digits.
    pub(crate) fn hash(&self) -> u64 {
        spread(lanes(&self.0).into_iter().fold(0, quick))
    }
}

leveled! {
    /// Hashes the rows of each lane. All rows count: |sin x| may differ from sin x in few of them.
    fn lanes(values: &[f64; ROWS]) -> [u64; HASHED] {
        let mut largest = [0.0_f64; HASHED];
        for start in (0..ROWS).step_by(HASHED) {
            for lane in 0..HASHED {
                largest[lane] = largest[lane].max(values[start + lane].abs());
            }
        }
        let least = VANISHING * largest.iter().fold(0.0_f64, |largest, v| largest.max(*v));
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

/// Sums over the working rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Sums {
    pub(crate) sum: f64,
    pub(crate) squares: f64,
    pub(crate) target: f64,
    pub(crate) outside: [f64; 2],
}

impl Sums {
    /// Returns whether all values are finite, and not so large or small that their squares are not.
    pub(crate) fn is_usable(&self) -> bool {
        self.squares > 1e-200 && self.squares < 1e200
    }

    /// Returns Σ (f − mean)² over Σ f².
    pub(crate) fn relative_spread(&self) -> f64 {
        (1.0 - self.sum * self.sum / ROWS as f64 / self.squares).max(0.0)
    }

    /// Returns the squared correlation with the target.
    pub(crate) fn correlation(&self) -> f64 {
        self.target * self.target / (self.squares * self.relative_spread())
    }
}

leveled! {
    /// Returns the sums of a column. Every lane adds its rows in order, on every machine.
    pub(crate) fn sums(column: &Column, probes: &Probes) -> Sums {
        const LANES: usize = 8;
        let (mut sum, mut squares, mut target) = ([0.0; LANES], [0.0; LANES], [0.0; LANES]);
        let (mut first, mut second) = ([0.0; LANES], [0.0; LANES]);
        for start in (0..ROWS).step_by(LANES) {
            for lane in 0..LANES {
                let f = column.0[start + lane];
                sum[lane] += f;
                squares[lane] += f * f;
                target[lane] += f * probes.target.0[start + lane];
                first[lane] += f * probes.outside[0].0[start + lane];
                second[lane] += f * probes.outside[1].0[start + lane];
            }
        }
        #[inline(always)]
        fn total(l: [f64; LANES]) -> f64 {
            ((l[0] + l[4]) + (l[2] + l[6])) + ((l[1] + l[5]) + (l[3] + l[7]))
        }
        Sums { sum: total(sum), squares: total(squares), target: total(target), outside: [total(first), total(second)] }
    }
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn sums_are_sums() {
        let f = column(|row| row as f64 - 10.0);
        let probes = Probes { target: column(|_| 1.0), outside: [column(|row| row as f64), column(|_| 2.0)] };
        let got = sums(&f, &probes);
        assert_eq!((got.sum, got.target, got.outside[1]), (1376.0, 1376.0, 2752.0));
        assert_eq!(got.squares, f.0.iter().map(|v| v * v).sum::<f64>());
        assert!((got.relative_spread() * got.squares - (got.squares - 1376.0 * 1376.0 / 64.0)).abs() < 1e-9);
    }
}
