//! Problem sets.

use std::path::PathBuf;
use std::sync::Mutex;

use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyDict};
use sr_lab::sr_problems::{Problem, ProblemFile};

use crate::value_error;

/// A problem file, whose problems are read one by one.
#[pyclass(frozen)]
#[derive(Debug)]
pub(crate) struct Problems {
    file: Mutex<ProblemFile>,
}

#[pymethods]
impl Problems {
    /// Opens a file.
    #[new]
    fn new(path: PathBuf) -> PyResult<Self> {
        Ok(Problems { file: Mutex::new(ProblemFile::open(path).map_err(value_error)?) })
    }

    fn __len__(&self) -> usize {
        self.file.lock().expect("reading does not panic").len()
    }

    /// Returns what all problems have in common, as JSON.
    fn header(&self) -> PyResult<String> {
        let file = self.file.lock().expect("reading does not panic");
        serde_json::to_string(file.params()).map_err(value_error)
    }

    /// Returns a problem; arrays are the bytes of 64-bit floats, those of x column after column.
    fn problem<'py>(&self, py: Python<'py>, index: usize) -> PyResult<Bound<'py, PyDict>> {
        let read = || self.file.lock().expect("reading does not panic").problem(index);
        let problem: Problem = py.detach(read).map_err(value_error)?;
        let operators: Vec<&str> = problem.operators.iter().map(|op| op.name()).collect();
        let bytes = |values: &mut dyn Iterator<Item = f64>| {
            PyByteArray::new(py, &values.flat_map(f64::to_ne_bytes).collect::<Vec<u8>>())
        };
        let found = PyDict::new(py);
        found.set_item("id", &problem.id)?;
        found.set_item("formula", problem.formula())?;
        found.set_item("variables", problem.x.n_columns())?;
        found.set_item("rows", problem.y.len())?;
        found.set_item("x", bytes(&mut problem.x.values().copied()))?;
        found.set_item("y", bytes(&mut problem.y.iter().copied()))?;
        found.set_item("weights", problem.weights.as_ref().map(|weights| bytes(&mut weights.iter().copied())))?;
        found.set_item("operators", operators)?;
        found.set_item("constants", problem.constants)?;
        found.set_item("seed", problem.seed)?;
        Ok(found)
    }
}
