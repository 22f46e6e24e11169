//! What methods are asked and what they answer, one JSON value a line.
//!
//! A driver is a program that first says which systems it runs, `{"peers": {NAME: VERSION}, "missing": {NAME: WHY}}`.
//! For every [`Request`] that it reads it writes [`Report`]s: any number while it searches, at best whenever its front
//! changes, and a last one with `"end": true`. An answer `{"error": WHY}` ends a fit too.
//!
//! Formulas use the names of the request, which are `x0`, `x1`, … in the order of the columns. Seconds count from the
//! arrival of the request.

use serde::{Deserialize, Serialize};

/// The table to fit, and what may be spent on it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Request {
    /// The name of the task, `fit`.
    pub task: &'static str,
    /// The system that is asked, one of those that the driver introduced.
    pub peer: String,
    /// The inputs, `[columns, rows]`.
    pub columns: Vec<Vec<f64>>,
    /// The names of the columns.
    pub names: Vec<String>,
    /// The target, `[rows]`.
    pub y: Vec<f64>,
    /// The names of the operators that formulas may have.
    pub operators: Vec<&'static str>,
    /// The constants that formulas may have, for a system that fits none.
    pub constants: Vec<f64>,
    /// The seconds of wall-clock time.
    pub seconds: f64,
    /// The number of threads.
    pub threads: usize,
    /// The seed of the search.
    pub seed: u64,
    /// The name of the problem, which tells nothing about its formula.
    pub id: String,
}

/// One formula of a front, in the system's own syntax.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// The formula.
    pub formula: String,
    /// The size by the system's own count.
    pub size: f64,
    /// The error by the system's own measure.
    pub error: f64,
}

/// The state of a search.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Report {
    /// The seconds since the request arrived.
    pub seconds: f64,
    /// The front: formulas of which none is both larger and worse than another.
    pub front: Vec<Candidate>,
    /// The one formula that the system would print now; `None` if it has none.
    #[serde(default)]
    pub chosen: Option<String>,
    /// Whether the system claims that the chosen formula is exact; `None` if it makes no such claims.
    #[serde(default)]
    pub claims_exact: Option<bool>,
    /// Whether this is the last report of the fit.
    #[serde(default)]
    pub end: bool,
}
