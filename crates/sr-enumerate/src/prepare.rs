//! The data as the stages see them: usable rows and columns, scales, and which rows are fitted, worked with or held out.

use sr_expr::hash::mix;
use sr_expr::{Columns, Expr, Op};

use crate::{Data, Error, Unused};

/// The number of rows that enumerated columns are computed on.
pub(crate) const ROWS: usize = 64;
/// The number of rows that constants are fitted to; published searches that recover laws use 100 to 250.
const FIT_ROWS: usize = 256;
/// A column is scaled if the median of its magnitudes lies outside of this range.
const UNSCALED: std::ops::RangeInclusive<f64> = 1e-2..=1e2;
/// Scales are powers of 64, whose square and cube roots are powers of two as well.
const SCALE_BITS: i32 = 6;

/// Data that the stages work on.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// All usable rows in raw units, `[rows, variables]`; unused columns as well, so that variables keep their indices.
    pub(crate) x: Columns,
    /// The target in raw units, `[rows]`.
    pub(crate) y: Vec<f64>,
    /// The weights, `[rows]`.
    pub(crate) weights: Vec<f64>,
    /// The indices of the columns that are worth using.
    pub(crate) used: Vec<u16>,
    pub(crate) unused: Vec<Unused>,
    pub(crate) dropped_rows: usize,
    /// The rows that constants are fitted to. The first [`ROWS`] of them are spread over the quantiles of y and all x.
    pub(crate) fit: Vec<usize>,
    /// The rows that nothing is fitted to.
    pub(crate) held: Vec<usize>,
    /// The columns of `used` in raw units at the fitted rows, `[used][fit]`.
    pub(crate) fit_x: Vec<Vec<f64>>,
    /// The target at the fitted rows.
    pub(crate) fit_y: Vec<f64>,
    /// All columns in raw units at the fitted rows.
    pub(crate) fit_table: Columns,
    /// The power of two of each column of `used` that brings its values near 1; 1 for most.
    pub(crate) scales: Vec<f64>,
}

impl Prepared {
    pub(crate) fn new(data: Data<'_>) -> Result<Self, Error> {
        let (rows, variables) = (data.x.n_rows(), data.x.n_columns());
        if data.y.len() != rows {
            return Err(Error::Targets { rows, found: data.y.len() });
        }
        if let Some(weights) = data.weights {
            if weights.len() != rows {
                return Err(Error::Weights { rows, found: weights.len() });
            }
            if let Some(row) = weights.iter().position(|w| !(w.is_finite() && *w >= 0.0)) {
                return Err(Error::Weight { row, weight: weights[row] });
            }
        }
        if variables > usize::from(u16::MAX) {
            return Err(Error::TooManyColumns { columns: variables });
        }
        let weight = |row: usize| data.weights.map_or(1.0, |weights| weights[row]);
        let is_usable = |&row: &usize| {
            data.y[row].is_finite() && weight(row) > 0.0 && (0..variables).all(|c| data.x.column(c)[row].is_finite())
        };
        let kept: Vec<usize> = (0..rows).filter(is_usable).collect();
        if kept.is_empty() {
            return Err(Error::NoRows { rows });
        }
        let n = kept.len();
        let x = Columns::from_fn(n, variables, |row, column| data.x.column(column)[kept[row]]);
        let y: Vec<f64> = kept.iter().map(|&row| data.y[row]).collect();
        let weights = kept.iter().map(|&row| weight(row)).collect();
        let (mut used, mut unused): (Vec<u16>, Vec<Unused>) = (Vec::new(), Vec::new());
        for column in 0..variables {
            let values = x.column(column);
            let twin = used.iter().find(|&&other| x.column(usize::from(other)) == values);
            match twin {
                _ if values.iter().all(|v| *v == values[0]) => unused.push(Unused::Constant { column }),
                Some(&of) => unused.push(Unused::Duplicate { column, of: usize::from(of) }),
                None => used.push(column as u16),
            }
        }
        let (fit, held) = split(&x, &y, &used);
        let pick = |values: &[f64]| -> Vec<f64> { fit.iter().map(|&row| values[row]).collect() };
        let fit_x: Vec<Vec<f64>> = used.iter().map(|&column| pick(x.column(usize::from(column)))).collect();
        let fit_table = Columns::from_fn(fit.len(), variables, |row, column| x.column(column)[fit[row]]);
        let scales = fit_x.iter().map(|column| scale(column)).collect();
        let fit_y = pick(&y);
        let dropped_rows = rows - n;
        Ok(Prepared { x, y, weights, used, unused, dropped_rows, fit, held, fit_x, fit_y, fit_table, scales })
    }

    /// Returns the number of variables that are used.
    pub(crate) fn n_used(&self) -> usize {
        self.used.len()
    }

    /// Returns how many distinct rows the working rows are, [`ROWS`] at most.
    pub(crate) fn n_working(&self) -> usize {
        self.fit.len().min(ROWS)
    }

    /// Returns used variable `index` as an expression of raw units.
    pub(crate) fn variable(&self, index: usize) -> Expr {
        Expr::var(self.used[index])
    }

    /// Returns used variable `index` as enumerated expressions have it: scaled where its values are far from 1.
    pub(crate) fn leaf(&self, index: usize) -> Expr {
        match self.scales[index] {
            1.0 => self.variable(index),
            scale => Expr::binary(Op::Mul, &self.variable(index), &Expr::constant(scale)),
        }
    }
}

/// Returns the power of 64 that brings the median magnitude near 1, or 1 if it is not far.
fn scale(column: &[f64]) -> f64 {
    let mut magnitudes: Vec<f64> = column.iter().map(|v| v.abs()).filter(|v| *v > 0.0).collect();
    magnitudes.sort_unstable_by(f64::total_cmp);
    match magnitudes.get(magnitudes.len() / 2) {
        Some(median) if !UNSCALED.contains(median) => {
            let steps = (-median.log2() / f64::from(SCALE_BITS)).round() as i32;
            // Beyond these, the scale itself would leave the range of f64.
            2.0_f64.powi(SCALE_BITS * steps.clamp(-160, 160))
        }
        _ => 1.0,
    }
}

/// Splits the rows into those that are fitted, in the order described at [`Prepared::fit`], and those held out: a fifth,
/// but at least 20 of 60, at most 10,000; of fewer than 5 rows none.
fn split(x: &Columns, y: &[f64], used: &[u16]) -> (Vec<usize>, Vec<usize>) {
    let n = y.len();
    let n_held = match n {
        0..5 => 0,
        5..60 => n / 5,
        _ => (n / 5).clamp(20, 10_000),
    };
    // The order is a hash of the row, so that data sorted by anything are split alike.
    let mut shuffled: Vec<usize> = (0..n).collect();
    shuffled.sort_by_key(|&row| mix(0, row as u64));
    let held = shuffled[..n_held].to_vec();
    let rest = &shuffled[n_held..];
    let orders: Vec<Vec<usize>> = std::iter::once(y)
        .chain(used.iter().map(|&column| x.column(usize::from(column))))
        .map(|values| {
            let mut order = rest.to_vec();
            order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
            order
        })
        .collect();
    let (mut fit, mut is_in) = (Vec::new(), vec![false; n]);
    // Every other row is drawn at random, the others by the quantiles of each order in turn.
    let mut random = rest.iter().copied();
    let mut turn = 0_u32;
    while fit.len() < rest.len().min(FIT_ROWS) {
        let order = &orders[turn as usize / 2 % orders.len()];
        let row = match turn.is_multiple_of(2) {
            true => {
                let quantile = van_der_corput(turn / 2 / orders.len() as u32 + 1);
                order[((quantile * order.len() as f64) as usize).min(order.len() - 1)]
            }
            false => match random.next() {
                Some(row) => row,
                None => break,
            },
        };
        turn += 1;
        if !std::mem::replace(&mut is_in[row], true) {
            fit.push(row);
        }
    }
    (fit, held)
}

/// Returns element `n` of the van der Corput sequence in base 2: 1/2, 1/4, 3/4, 1/8, …
fn van_der_corput(n: u32) -> f64 {
    f64::from(n.reverse_bits()) / 2.0_f64.powi(32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data<'a>(x: &'a Columns, y: &'a [f64]) -> Data<'a> {
        Data { x, y, weights: None }
    }

    #[test]
    fn useless_columns_and_rows_are_reported() {
        let x = Columns::from_fn(40, 4, |row, column| match column {
            0 => row as f64,
            1 => 7.0,
            2 if row == 3 => f64::NAN,
            2 => (row * row) as f64,
            _ => row as f64,
        });
        let y: Vec<f64> = (0..40).map(|row| if row == 5 { f64::INFINITY } else { row as f64 }).collect();
        let prepared = Prepared::new(data(&x, &y)).expect("usable");
        assert_eq!(prepared.used, [0, 2]);
        assert_eq!(prepared.unused, [Unused::Constant { column: 1 }, Unused::Duplicate { column: 3, of: 0 }]);
        assert_eq!(prepared.dropped_rows, 2);
        assert_eq!((prepared.fit.len(), prepared.held.len()), (31, 7));
    }

    #[test]
    fn rows_are_fitted_or_held_out() {
        let x = Columns::from_fn(5000, 2, |row, column| (mix(column as u64, row as u64) % 1000) as f64);
        let y: Vec<f64> = x.column(0).to_vec();
        let prepared = Prepared::new(data(&x, &y)).expect("usable");
        assert_eq!((prepared.fit.len(), prepared.held.len()), (FIT_ROWS, 1000));
        assert!(prepared.fit.iter().all(|row| !prepared.held.contains(row)));
        let mut working = prepared.fit_x[0][..ROWS].to_vec();
        working.sort_by(f64::total_cmp);
        assert!(working[0] < 100.0 && working[ROWS - 1] > 900.0 && (300.0..700.0).contains(&working[ROWS / 2]));
    }

    #[test]
    fn scales_are_exact_and_leave_usual_columns_alone() {
        assert_eq!(scale(&[1.0, 20.0, 90.0]), 1.0);
        let scaled = scale(&[3e-20; 5]) * 3e-20;
        assert!((0.1..10.0).contains(&scaled), "{scaled}");
        assert_eq!(scale(&[3e-20; 5]).log2().fract(), 0.0);
        assert_eq!(scale(&[0.0; 3]), 1.0);
        assert!(scale(&[1e-308; 5]).is_finite() && scale(&[1e308; 5]) > 0.0);
    }

    #[test]
    fn bad_data_are_refused() {
        let x = Columns::from_rows(&[[1.0], [2.0]]);
        assert!(matches!(Prepared::new(data(&x, &[1.0])), Err(Error::Targets { rows: 2, found: 1 })));
        assert!(matches!(Prepared::new(data(&x, &[f64::NAN; 2])), Err(Error::NoRows { rows: 2 })));
        let weighted = Data { weights: Some(&[1.0, -1.0]), ..data(&x, &[1.0, 2.0]) };
        assert!(matches!(Prepared::new(weighted), Err(Error::Weight { row: 1, .. })));
    }
}
