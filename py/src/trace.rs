//! Traces as columns: one row for each individual of each generation.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard};

use pyo3::exceptions::PyKeyError;
use pyo3::prelude::*;
use pyo3::types::PyByteArray;
use sr_lab::sr_trace::{self, TraceReader, Trajectory};

use crate::value_error;

/// What stands for a parent that an individual does not have.
const NONE: i32 = -1;

/// A trace whose searches are read into columns, a few at a time. A column is given away when it is taken, so that
/// nothing is in memory twice but the column under way.
#[pyclass(frozen)]
pub(crate) struct Trace {
    table: Mutex<Table>,
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trace").finish_non_exhaustive()
    }
}

struct Table {
    reader: TraceReader,
    /// The number of the next search.
    search: u32,
    problems: Texts,
    expressions: Texts,
    origins: Texts,
    columns: Columns,
}

/// The columns by their names, which people see.
#[derive(Default)]
struct Columns {
    search: Vec<u32>,
    problem: Vec<u32>,
    seed: Vec<u64>,
    generation: Vec<u32>,
    index: Vec<u32>,
    expression: Vec<u32>,
    size: Vec<u16>,
    mse: Vec<f64>,
    fitness: Vec<f32>,
    origin: Vec<u32>,
    parent_1: Vec<i32>,
    parent_2: Vec<i32>,
    log_prob: Vec<f32>,
    is_best: Vec<u8>,
}

/// Texts by numbers, each once.
#[derive(Default)]
struct Texts {
    numbers: HashMap<String, u32>,
}

impl Texts {
    fn number(&mut self, text: String) -> u32 {
        let next = self.numbers.len() as u32;
        *self.numbers.entry(text).or_insert(next)
    }

    /// Gives the texts away in the order of their numbers.
    fn take(&mut self) -> Vec<String> {
        let mut texts = vec![String::new(); self.numbers.len()];
        for (text, number) in std::mem::take(&mut self.numbers) {
            texts[number as usize] = text;
        }
        texts
    }
}

#[pymethods]
impl Trace {
    /// Opens a file.
    #[new]
    fn new(path: PathBuf) -> PyResult<Self> {
        let reader = TraceReader::open(path).map_err(value_error)?;
        let (problems, expressions, origins) = Default::default();
        let table = Table { reader, search: 0, problems, expressions, origins, columns: Columns::default() };
        Ok(Trace { table: Mutex::new(table) })
    }

    /// Returns what all searches have in common, as JSON.
    fn header(&self) -> PyResult<String> {
        serde_json::to_string(self.table().reader.header()).map_err(value_error)
    }

    /// Reads up to so many searches, and returns how many these were; 0 at the end.
    fn read(&self, py: Python<'_>, most: usize) -> PyResult<usize> {
        py.detach(|| self.table().read(most)).map_err(value_error)
    }

    /// Gives a column away, as its bytes. Texts are numbers.
    fn take<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyByteArray>> {
        let Columns {
            search,
            problem,
            seed,
            generation,
            index,
            expression,
            size,
            mse,
            fitness,
            origin,
            parent_1,
            parent_2,
            log_prob,
            is_best,
        } = &mut self.table().columns;
        Ok(match name {
            "search" => bytes(py, search, u32::to_ne_bytes),
            "problem" => bytes(py, problem, u32::to_ne_bytes),
            "seed" => bytes(py, seed, u64::to_ne_bytes),
            "generation" => bytes(py, generation, u32::to_ne_bytes),
            "index" => bytes(py, index, u32::to_ne_bytes),
            "expression" => bytes(py, expression, u32::to_ne_bytes),
            "size" => bytes(py, size, u16::to_ne_bytes),
            "mse" => bytes(py, mse, f64::to_ne_bytes),
            "fitness" => bytes(py, fitness, f32::to_ne_bytes),
            "origin" => bytes(py, origin, u32::to_ne_bytes),
            "parent_1" => bytes(py, parent_1, i32::to_ne_bytes),
            "parent_2" => bytes(py, parent_2, i32::to_ne_bytes),
            "log_prob" => bytes(py, log_prob, f32::to_ne_bytes),
            "best" => bytes(py, is_best, u8::to_ne_bytes),
            _ => return Err(PyKeyError::new_err(name.to_owned())),
        })
    }

    /// Gives away the texts that the numbers of a column stand for.
    fn take_texts(&self, name: &str) -> PyResult<Vec<String>> {
        let mut table = self.table();
        Ok(match name {
            "problem" => table.problems.take(),
            "expression" => table.expressions.take(),
            "origin" => table.origins.take(),
            _ => return Err(PyKeyError::new_err(name.to_owned())),
        })
    }
}

impl Trace {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().expect("reading does not panic")
    }
}

fn bytes<'py, T: Copy, const N: usize>(
    py: Python<'py>,
    column: &mut Vec<T>,
    to_bytes: fn(T) -> [u8; N],
) -> Bound<'py, PyByteArray> {
    let column = std::mem::take(column);
    let fill = |bytes: &mut [u8]| {
        bytes.chunks_exact_mut(N).zip(&column).for_each(|(chunk, &value)| chunk.copy_from_slice(&to_bytes(value)));
        Ok(())
    };
    PyByteArray::new_with(py, N * column.len(), fill).expect("memory for a column")
}

impl Table {
    fn read(&mut self, most: usize) -> sr_trace::Result<usize> {
        for done in 0..most {
            let Some(trajectory) = self.reader.next_trajectory()? else { return Ok(done) };
            self.add(&trajectory);
            self.search += 1;
        }
        Ok(most)
    }

    fn add(&mut self, trajectory: &Trajectory) {
        let semantics = self.reader.header().engine.semantics;
        let problem = self.problems.number(trajectory.problem_id.clone());
        // Most expressions occur in several generations.
        let expressions = trajectory.generations.expressions();
        let mut numbers: Vec<Option<u32>> = vec![None; expressions.len()];
        let columns = &mut self.columns;
        for generation in trajectory.generations.iter() {
            let ids = generation.expression_ids();
            for ((index, individual), id) in (0..).zip(generation.individuals()).zip(ids) {
                let expression = numbers[id as usize]
                    .get_or_insert_with(|| self.expressions.number(individual.expr.display(semantics).to_string()));
                let mut parents = individual.parents.iter().map(|parent| parent as i32);
                columns.search.push(self.search);
                columns.problem.push(problem);
                columns.seed.push(trajectory.seed);
                columns.generation.push(generation.generation);
                columns.index.push(index);
                columns.expression.push(*expression);
                columns.size.push(individual.expr.size() as u16);
                columns.mse.push(trajectory.mse(individual.mse));
                columns.fitness.push(individual.fitness);
                columns.origin.push(self.origins.number(individual.origin.name().to_owned()));
                columns.parent_1.push(parents.next().unwrap_or(NONE));
                columns.parent_2.push(parents.next().unwrap_or(NONE));
                columns.log_prob.push(individual.log_prob.unwrap_or(f32::NAN));
                columns.is_best.push((index == generation.best_index).into());
            }
        }
    }
}
