//! Data by column.

/// A table of numbers stored column by column: `[rows, variables]`.
///
/// Cloning copies; share it behind an `Arc`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Columns {
    n_rows: usize,
    n_columns: usize,
    values: Vec<f64>,
}

impl Columns {
    /// From column-major values; `values.len()` has to be `n_rows * n_columns`.
    ///
    /// # Panics
    /// If the length does not fit.
    pub fn new(n_rows: usize, n_columns: usize, values: Vec<f64>) -> Self {
        assert_eq!(values.len(), n_rows * n_columns, "values for {n_rows} rows of {n_columns} columns");
        Columns { n_rows, n_columns, values }
    }

    /// From rows.
    pub fn from_rows<const N: usize>(rows: &[[f64; N]]) -> Self {
        let values = (0..N).flat_map(|column| rows.iter().map(move |row| row[column])).collect();
        Columns::new(rows.len(), N, values)
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
    pub fn column(&self, index: usize) -> &[f64] {
        assert!(index < self.n_columns, "column {index} of {}", self.n_columns);
        &self.values[index * self.n_rows..(index + 1) * self.n_rows]
    }

    /// One row, copied to `row`, `[variables]`.
    pub fn copy_row(&self, index: usize, row: &mut Vec<f64>) {
        row.clear();
        row.extend((0..self.n_columns).map(|column| self.values[column * self.n_rows + index]));
    }

    /// All values, column-major.
    pub fn values(&self) -> &[f64] {
        &self.values
    }
}
