//! Formulas that were found: their values, and their texts in other systems.

use anyhow::{Context, ensure};
use pyo3::prelude::*;
use pyo3::types::PyByteArray;
use sr_lab::sr_expr::{self, Columns, Expr, Semantics, Target};

use crate::{floats, value_error};

/// Returns the values of a formula as the bytes of 64-bit floats, one a row.
///
/// - expression: the formula over x0, x1, …
/// - x: the bytes of the columns, one after the other
#[pyfunction]
pub(crate) fn predict<'py>(
    py: Python<'py>,
    expression: &str,
    x: &[u8],
    n_rows: usize,
) -> PyResult<Bound<'py, PyByteArray>> {
    let values = py.detach(|| -> anyhow::Result<Vec<u8>> {
        let expr = parse(expression)?;
        let n_columns = x.len() / 8 / n_rows.max(1);
        ensure!(n_rows > 0, "there is no row to predict");
        ensure!(expr.n_variables() <= n_columns, "the formula has more variables than the {n_columns} columns of X");
        let data = Columns::new(n_rows, n_columns, floats(x));
        let values = sr_expr::predict(&expr, &data, Semantics::Ieee);
        Ok(values.into_iter().flat_map(f64::to_ne_bytes).collect())
    });
    Ok(PyByteArray::new(py, &values.map_err(value_error)?))
}

/// Returns a formula as text of another system.
///
/// - names: the names of x0, x1, …
#[pyfunction]
pub(crate) fn export(expression: &str, names: Vec<String>, target: &str) -> PyResult<String> {
    let target: Target = target.parse().map_err(|error| value_error(anyhow::anyhow!("target {target:?}: {error}")))?;
    let expr = parse(expression).map_err(value_error)?;
    let text = expr.export(target, Semantics::Ieee).with_names(&names).to_string();
    Ok(text.trim_end_matches('\n').to_owned())
}

fn parse(expression: &str) -> anyhow::Result<Expr> {
    expression.parse().context("the fitted formula cannot be read")
}
