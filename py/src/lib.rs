//! The extension module of the Python package `sr`: what Python cannot do itself, with texts and bytes as arguments.
//!
//! The classes and functions that people use are in `python/sr`. Arrays are passed as their bytes, column after column,
//! so that the module needs no other package; results are JSON or byte arrays that NumPy takes as they are.

mod formula;
mod problems;
mod search;
mod trace;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// Searches allocate as those of the binaries do.
#[global_allocator]
static GLOBAL: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[pymodule]
mod _native {
    #[pymodule_export]
    use super::formula::{export, predict};
    #[pymodule_export]
    use super::problems::Problems;
    #[pymodule_export]
    use super::search::search;
    #[pymodule_export]
    use super::trace::Trace;
}

/// Returns a chain of causes as a `ValueError` of one line.
fn value_error(error: impl Into<anyhow::Error>) -> PyErr {
    let error: anyhow::Error = error.into();
    PyValueError::new_err(format!("{error:#}").replace('\n', " "))
}

/// Reads the bytes of an array of 64-bit floats.
fn floats(bytes: &[u8]) -> Vec<f64> {
    let (values, _) = bytes.as_chunks();
    values.iter().map(|&value| f64::from_ne_bytes(value)).collect()
}
