//! A table of data, stored column by column.

use crate::Real;

/// Every column is padded to a multiple of this number of rows, which fills whole vectors of `f64` and of `f32`.
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
    /// Makes a table from column-major values; `values.len()` has to be `n_rows * n_columns`.
    ///
    /// # Panics
    /// Panics if the length does not fit, or memory cannot hold the table.
    pub fn new(n_rows: usize, n_columns: usize, values: Vec<T>) -> Self {
        let expected = n_rows.checked_mul(n_columns).unwrap_or_else(|| too_large(n_rows, n_columns));
        assert_eq!(values.len(), expected, "values for {n_rows} rows of {n_columns} columns");
        Columns::from_fn(n_rows, n_columns, |row, column| values[column * n_rows + row])
    }

    /// Makes a table from rows.
    pub fn from_rows<const N: usize>(rows: &[[T; N]]) -> Self {
        Columns::from_fn(rows.len(), N, |row, column| rows[row][column])
    }

    /// Makes a table from a function of row and column.
    ///
    /// # Panics
    /// Panics if memory cannot hold the table.
    pub fn from_fn(n_rows: usize, n_columns: usize, value: impl Fn(usize, usize) -> T) -> Self {
        let per_column = n_rows.div_ceil(PADDING);
        // Kernels use these numbers without bounds checks, so none of them may wrap.
        let room = per_column.checked_mul(PADDING).and_then(|_| per_column.checked_mul(n_columns)?.checked_add(1));
        let mut chunks = Vec::new();
        if room.is_none_or(|room| chunks.try_reserve_exact(room).is_err()) {
            too_large(n_rows, n_columns);
        }
        let chunk = |index: usize| {
            let (column, first) = (index / per_column, index % per_column * PADDING);
            Chunk(std::array::from_fn(|i| value((first + i).min(n_rows - 1), column)))
        };
        // One more chunk at the end, as tiles may read a vector beyond the last column.
        let end = (n_columns > 0 && n_rows > 0).then(|| chunk(per_column * n_columns - 1));
        chunks.extend((0..per_column * n_columns).map(chunk).chain(end));
        Columns { n_rows, n_columns, chunks }
    }

    /// Returns the same table in another kind of number, every value rounded to nearest.
    pub fn convert<U: Real>(&self) -> Columns<U> {
        Columns::from_fn(self.n_rows, self.n_columns, |row, column| U::from_f64(self.column(column)[row].to_f64()))
    }

    /// Returns the number of rows.
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// Returns the number of columns (variables).
    pub fn n_columns(&self) -> usize {
        self.n_columns
    }

    /// Returns one column, `[rows]`.
    ///
    /// # Panics
    /// Panics if there is no such column.
    pub fn column(&self, index: usize) -> &[T] {
        assert!(index < self.n_columns, "column {index} of {}", self.n_columns);
        &self.padded()[index * self.stride()..][..self.n_rows]
    }

    /// Replaces a column, `[rows]`.
    ///
    /// # Panics
    /// Panics if there is no such column, or it has another number of rows.
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

    /// Overwrites `row` with one row, `[variables]`.
    ///
    /// # Panics
    /// Panics if there is no such row.
    pub fn copy_row(&self, index: usize, row: &mut Vec<T>) {
        assert!(index < self.n_rows, "row {index} of {}", self.n_rows);
        row.clear();
        row.extend((0..self.n_columns).map(|column| self.column(column)[index]));
    }

    /// Returns all values, column-major, without the padding.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        (0..self.n_columns).flat_map(|column| self.column(column))
    }

    /// Returns the number of elements from the start of a column to that of the next one.
    pub(crate) fn stride(&self) -> usize {
        self.n_rows.div_ceil(PADDING) * PADDING
    }

    /// Returns all columns with their padding; column `c` starts at `c * stride`. After the last one there is padding
    /// for one more vector.
    #[allow(unsafe_code)]
    pub(crate) fn padded(&self) -> &[T] {
        // SAFETY: a chunk is an array of `PADDING` elements and nothing else (its size is a multiple of its alignment
        // for 4- and 8-byte elements), so the chunks are one run of elements.
        unsafe { std::slice::from_raw_parts(self.chunks.as_ptr().cast(), self.chunks.len() * PADDING) }
    }
}

fn too_large(n_rows: usize, n_columns: usize) -> ! {
    panic!("a table of {n_rows} rows and {n_columns} columns does not fit memory")
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

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

    #[test]
    #[cfg_attr(miri, ignore = "Miri ends where memory is refused")]
    fn sizes_that_wrap_are_refused() {
        // 2^20 rows of 2^48 columns are 2^64 chunks, which wraps to none.
        let sizes = [(16 << 16, 1 << 48), (usize::MAX, 1), (usize::MAX, usize::MAX), (usize::MAX, 0), (1, usize::MAX)];
        for (n_rows, n_columns) in sizes.into_iter().chain([(1 << 58, 3), (usize::MAX / 2 + 1, 2)]) {
            let expected = format!("a table of {n_rows} rows and {n_columns} columns does not fit memory");
            let refused = catch_unwind(|| Columns::from_fn(n_rows, n_columns, |_, _| 1.0)).expect_err("too large");
            assert_eq!(refused.downcast_ref::<String>(), Some(&expected));
            if n_columns > 1 {
                assert!(catch_unwind(|| Columns::<f32>::new(n_rows, n_columns, vec![])).is_err());
            }
        }
    }

    #[test]
    #[should_panic(expected = "row 3 of 3")]
    fn a_table_without_columns_has_its_rows_only() {
        Columns::<f64>::new(3, 0, vec![]).copy_row(3, &mut Vec::new());
    }
}
