//! Data by column.

use crate::Real;

/// Rows that a column is padded to a multiple of: whole vectors of either kind.
const PADDING: usize = 16;

/// Sixteen rows of a column. Aligned to cache lines, so that no vector of a column straddles two.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C, align(64))]
struct Chunk<T>([T; PADDING]);

/// A table of numbers stored column by column: `[rows, variables]`.
///
/// Every column starts on a cache line and is padded with copies of its last row to whole vectors, so that kernels read
/// it in place and to its end without a special case. Cloning copies; share it behind an `Arc`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Columns<T = f64> {
    n_rows: usize,
    n_columns: usize,
    chunks: Vec<Chunk<T>>,
}

impl<T: Real> Columns<T> {
    /// From column-major values; `values.len()` has to be `n_rows * n_columns`.
    ///
    /// # Panics
    /// If the length does not fit.
    pub fn new(n_rows: usize, n_columns: usize, values: Vec<T>) -> Self {
        assert_eq!(values.len(), n_rows * n_columns, "values for {n_rows} rows of {n_columns} columns");
        Columns::from_fn(n_rows, n_columns, |row, column| values[column * n_rows + row])
    }

    /// From rows.
    pub fn from_rows<const N: usize>(rows: &[[T; N]]) -> Self {
        Columns::from_fn(rows.len(), N, |row, column| rows[row][column])
    }

    /// From a function of row and column.
    pub fn from_fn(n_rows: usize, n_columns: usize, value: impl Fn(usize, usize) -> T) -> Self {
        let per_column = n_rows.div_ceil(PADDING);
        let chunk = |index: usize| {
            let (column, first) = (index / per_column, index % per_column * PADDING);
            Chunk(std::array::from_fn(|i| value((first + i).min(n_rows - 1), column)))
        };
        // One more at the end, as tiles may reach a vector further than the last column does.
        let end = (n_columns > 0 && n_rows > 0).then(|| chunk(per_column * n_columns - 1));
        Columns { n_rows, n_columns, chunks: (0..per_column * n_columns).map(chunk).chain(end).collect() }
    }

    /// The same table in another kind of number, every value rounded to nearest.
    pub fn convert<U: Real>(&self) -> Columns<U> {
        Columns::from_fn(self.n_rows, self.n_columns, |row, column| U::from_f64(self.column(column)[row].to_f64()))
    }

    /// Number of rows.
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// Number of columns (variables).
    pub fn n_columns(&self) -> usize {
        self.n_columns
    }

    /// One column, `[rows]`.
    ///
    /// # Panics
    /// If there is no such column.
    pub fn column(&self, index: usize) -> &[T] {
        assert!(index < self.n_columns, "column {index} of {}", self.n_columns);
        &self.padded()[index * self.stride()..][..self.n_rows]
    }

    /// Replaces a column, `[rows]`.
    ///
    /// # Panics
    /// If there is no such column, or it has another number of rows.
    #[allow(unsafe_code)]
    pub fn set_column(&mut self, index: usize, values: &[T]) {
        assert!(index < self.n_columns && values.len() == self.n_rows, "column {index} of {}", self.n_columns);
        let stride = self.stride();
        // SAFETY: as for `padded`.
        let padded = unsafe {
            std::slice::from_raw_parts_mut(self.chunks.as_mut_ptr().cast::<T>(), self.chunks.len() * PADDING)
        };
        let column = &mut padded[index * stride..(index + 1) * stride];
        column[..values.len()].copy_from_slice(values);
        if let Some(&last) = values.last() {
            column[values.len()..].fill(last);
        }
    }

    /// One row, copied to `row`, `[variables]`.
    pub fn copy_row(&self, index: usize, row: &mut Vec<T>) {
        row.clear();
        row.extend((0..self.n_columns).map(|column| self.column(column)[index]));
    }

    /// All values, column-major, without the padding.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        (0..self.n_columns).flat_map(|column| self.column(column))
    }

    /// Elements from the start of a column to that of the next one.
    pub(crate) fn stride(&self) -> usize {
        self.n_rows.div_ceil(PADDING) * PADDING
    }

    /// All columns with their padding; column `c` starts at `c * stride`. After the last one there is padding for one more
    /// vector.
    #[allow(unsafe_code)]
    pub(crate) fn padded(&self) -> &[T] {
        // SAFETY: a chunk is an array of `PADDING` elements and nothing else (its size is a multiple of its alignment
        // for 4- and 8-byte elements), so the chunks are one run of elements.
        unsafe { std::slice::from_raw_parts(self.chunks.as_ptr().cast(), self.chunks.len() * PADDING) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_padded_with_their_last_row() {
        let data = Columns::new(3, 2, vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0_f32]);
        assert_eq!(data.column(1), [4.0, 5.0, 6.0]);
        assert_eq!(data.padded()[data.stride() + 2..][..14], [6.0; 14]);
        assert!(data.values().eq(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]));
        assert_eq!(data.convert::<f64>(), Columns::from_rows(&[[1.0, 4.0], [2.0, 5.0], [3.0, 6.0]]));
        let mut row = Vec::new();
        data.copy_row(1, &mut row);
        assert_eq!(row, [2.0, 5.0]);
    }

    #[test]
    fn empty_tables() {
        assert!(Columns::<f64>::new(0, 3, vec![]).column(2).is_empty());
        assert_eq!(Columns::<f64>::default().n_columns(), 0);
    }
}
