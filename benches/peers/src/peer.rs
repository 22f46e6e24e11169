//! The other systems: programs that measure one at a time, in turns with us.
//!
//! A driver reads one JSON request a line from its input and answers it by one line. Its first line says which systems
//! it runs, `{"peers": {NAME: VERSION}, "missing": {NAME: WHY}}`. The requests are (`trees` is a file's path):
//!
//! | task | fields | answer |
//! |---|---|---|
//! | `eval_throughput` | `peer`, `trees`, `rows`, `type`, `mode` | a [`Figure`] in node·rows/s, with `last` |
//! | `search` | `peer`, `rows`, `generations`, `seconds`, `max_size` or `null`, `seed` | a [`Figure`] in individuals/s |
//! | `fit` | see [`accuracy::wire`](crate::accuracy::wire) | several lines |
//!
//! Any answer may be `{"error": WHY}` instead.
//!
//! The timed results are also checked on this side, by `last`: each tree's value at the last row, `null` if it is not
//! finite.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::Case;

/// A measurement of a peer, as drivers print it.
#[derive(Debug, Clone, Deserialize)]
pub struct Figure {
    /// The system, possibly with its version.
    pub peer: String,
    /// The name of the task.
    pub task: String,
    /// The parameters of the measurement.
    pub params: Params,
    /// The measured value, per second.
    pub value: f64,
    /// Mean nodes of an individual at the end of a search, if the system reports it.
    pub mean_size: Option<f64>,
    /// The values of the trees at the last row, in the order of the file.
    pub last: Option<Vec<Option<f64>>>,
}

/// Parameters of a measurement.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Params {
    /// Rows of the data.
    pub rows: usize,
    /// Name of the file of trees.
    pub set: String,
    /// Kind of number: `f32` or `f64`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The mode of evaluation.
    pub mode: String,
    /// The function of the system that was called, if it has several.
    pub route: Option<String>,
}

impl Figure {
    /// Reads the figures of a file of JSON values, one a line or otherwise.
    ///
    /// # Errors
    /// If the file cannot be read, or contains anything but figures.
    pub fn read(path: &Path) -> anyhow::Result<Vec<Figure>> {
        let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        let figures: Result<_, _> = serde_json::Deserializer::from_str(&text).into_iter().collect();
        figures.with_context(|| format!("reading {}: expected measurements, as the drivers print them", path.display()))
    }

    /// Returns whether `case` is compared with this figure.
    pub fn is_for(&self, set: &str, case: Case, rows: usize) -> bool {
        let Params { rows: measured, set: of, kind, mode, route } = &self.params;
        let one_by_one = route.as_ref().is_some_and(|route| route != "EvaluateTrees");
        let fits = MODES.iter().any(|m| m.mode == mode && m.kind == kind && m.cases.contains(&case));
        self.task == "eval_throughput" && *measured == rows && of == set && fits && !one_by_one
    }
}

/// A way in which a peer evaluates.
#[derive(Debug)]
pub struct Mode {
    /// The system.
    pub peer: &'static str,
    /// The name in requests and answers.
    pub mode: &'static str,
    /// The kind of number.
    pub kind: &'static str,
    /// The cases that it is shown beside.
    pub cases: &'static [Case],
    /// Whether the case is compared with it; otherwise it is only shown.
    pub compared: bool,
}

const fn mode(peer: &'static str, mode: &'static str, kind: &'static str, cases: &'static [Case]) -> Mode {
    Mode { peer, mode, kind, cases, compared: true }
}

/// All ways in which peers are measured.
pub const MODES: [Mode; 7] = [
    mode("dynamic_expressions", "finite_check_compile_each", "f32", &[Case::Stored]),
    mode("dynamic_expressions", "no_check_precompiled", "f32", &[Case::Compiled]),
    mode("dynamic_expressions", "finite_check_compile_each", "f64", &[Case::StoredF64]),
    mode("dynamic_expressions", "no_check_precompiled", "f64", &[Case::CompiledF64]),
    mode("pyoperon", "gross", "f32", &[Case::Stored]),
    Mode { compared: false, ..mode("pyoperon", "net_of_list_conversion", "f32", &[Case::Stored]) },
    mode("gplearn", "execute", "f64", &[Case::StoredF64]),
];

/// A running driver.
#[derive(Debug)]
pub struct Peer {
    child: Child,
    requests: Option<ChildStdin>,
    /// The lines that it writes; closed once it has ended.
    answers: Receiver<std::io::Result<String>>,
    /// The systems that it runs, with their versions.
    pub versions: BTreeMap<String, String>,
    /// The systems that it should run but cannot, with the reasons.
    pub missing: BTreeMap<String, String>,
}

impl Peer {
    /// Starts a driver, limited to one thread.
    ///
    /// # Errors
    /// If it cannot be started, or its first line is not the introduction.
    pub fn start(command: &mut Command) -> anyhow::Result<Self> {
        Self::start_with_threads(command, 1)
    }

    /// Starts a driver whose libraries may use so many threads.
    ///
    /// # Errors
    /// If it cannot be started, or its first line is not the introduction.
    pub fn start_with_threads(command: &mut Command, threads: usize) -> anyhow::Result<Self> {
        #[derive(Deserialize)]
        struct Introduction {
            peers: BTreeMap<String, String>,
            missing: BTreeMap<String, String>,
        }
        for name in ["RAYON", "OMP", "OPENBLAS", "MKL", "NUMEXPR"] {
            command.env(format!("{name}_NUM_THREADS"), threads.to_string());
        }
        let program = command.get_program().to_string_lossy().into_owned();
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.with_context(|| format!("starting {program}"))?;
        let requests = child.stdin.take();
        let (sender, answers) = channel();
        let lines = BufReader::new(child.stdout.take().expect("it was piped")).lines();
        // It ends with the driver, whose output is then closed.
        std::thread::spawn(move || lines.map(|line| sender.send(line)).take_while(Result::is_ok).for_each(drop));
        let (versions, missing) = Default::default();
        let mut peer = Peer { child, requests, answers, versions, missing };
        let introduction =
            serde_json::from_value(peer.answer()?).with_context(|| format!("the first line of {program}"))?;
        Introduction { peers: peer.versions, missing: peer.missing } = introduction;
        Ok(peer)
    }

    fn answer(&mut self) -> anyhow::Result<Value> {
        let line = self.answers.recv().context("the driver ended")??;
        Self::read(&line)
    }

    /// Waits for the next answer, for so long at most. `None` if there is none in this time.
    ///
    /// # Errors
    /// If the driver has ended or answers with an error.
    pub fn answer_within(&mut self, time: Duration) -> anyhow::Result<Option<Value>> {
        match self.answers.recv_timeout(time) {
            Ok(line) => Self::read(&line?).map(Some),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => bail!("the driver ended"),
        }
    }

    fn read(line: &str) -> anyhow::Result<Value> {
        let answer: Value = serde_json::from_str(line).with_context(|| format!("the answer {line:?}"))?;
        match answer["error"].as_str() {
            Some(error) => bail!("{error}"),
            None => Ok(answer),
        }
    }

    /// Asks without waiting for answers.
    ///
    /// # Errors
    /// If the driver has ended.
    pub fn request(&mut self, request: &impl serde::Serialize) -> anyhow::Result<()> {
        let line = serde_json::to_string(request)? + "\n";
        let mut requests = self.requests.as_ref().expect("it runs");
        requests.write_all(line.as_bytes()).context("the driver ended")
    }

    /// Ends the driver at once, whatever it does.
    pub fn kill(mut self) {
        self.child.kill().ok();
    }

    fn ask(&mut self, request: &Value) -> anyhow::Result<Value> {
        self.request(request)?;
        self.answer()
    }

    /// Takes one sample of evaluation and returns node·rows per second.
    ///
    /// - last: the expected values of the trees at the last row
    ///
    /// # Errors
    /// If the driver has ended, answers with an error, or its last values differ.
    pub fn evaluate(&mut self, mode: &Mode, trees: &Path, rows: usize, last: &[f64]) -> anyhow::Result<f64> {
        let answer = self.ask(&json!({
            "task": "eval_throughput", "peer": mode.peer, "trees": trees, "rows": rows, "type": mode.kind,
            "mode": mode.mode,
        }))?;
        let figure: Figure = serde_json::from_value(answer)?;
        let found = figure.last.context("an answer without the values of the last row")?;
        let differing = differing(last, &found);
        // Single precision makes a few values differ, and protected operators a few more.
        ensure!(25 * differing <= last.len(), "{differing} of {} trees have other values at {rows} rows", last.len());
        Ok(figure.value)
    }

    /// Runs one search; the figure is in individuals per second.
    ///
    /// # Errors
    /// If the driver has ended or answers with an error.
    pub fn search(&mut self, request: &Value) -> anyhow::Result<Figure> {
        Ok(serde_json::from_value(self.ask(request)?)?)
    }
}

/// Counts trees whose expected value is finite and not huge, and whose found value is more than 1 % off.
fn differing(expected: &[f64], found: &[Option<f64>]) -> usize {
    let differs = |(index, expected): (usize, &f64)| {
        let found = found.get(index).copied().flatten().unwrap_or(f64::NAN);
        let is_near = (expected - found).abs() <= 1e-2 * (1e-3 + expected.abs());
        expected.abs() < 1e6 && !is_near
    };
    expected.iter().enumerate().filter(|&pair| differs(pair)).count()
}

/// Closes the driver's input, which ends the driver, and waits for its end.
impl Drop for Peer {
    fn drop(&mut self) {
        self.requests = None;
        self.child.wait().ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_stands_beside_its_case_only() {
        let line = r#"{"peer": "pyoperon", "version": "0.6.2", "task": "eval_throughput", "value": 1e9, "unit": "node*rows/s",
            "params": {"set": "math", "rows": 50, "type": "f32", "route": "EvaluateTrees", "mode": "gross"}}"#;
        let mut figure: Figure = serde_json::from_str(line).expect("a figure");
        assert!(figure.is_for("math", Case::Stored, 50));
        assert!(!figure.is_for("math", Case::Compiled, 50));
        assert!(!figure.is_for("math", Case::StoredF64, 50));
        assert!(!figure.is_for("arith", Case::Stored, 50));
        assert!(!figure.is_for("math", Case::Stored, 100));
        figure.params.route = Some("per_tree_call".into());
        assert!(!figure.is_for("math", Case::Stored, 50));
    }

    #[test]
    fn other_values_are_counted() {
        let expected = [1.0, f64::NAN, -3.0, 1e9, 0.5];
        assert_eq!(differing(&expected, &[Some(1.001), None, Some(-3.0), None, Some(0.5)]), 0);
        assert_eq!(differing(&expected, &[Some(1.1), Some(1.0), None, Some(1.0)]), 3);
    }

    #[test]
    fn a_driver_that_is_not_there_or_says_nothing_is_an_error() {
        assert!(Peer::start(&mut Command::new("/nonexistent/driver")).is_err());
        assert!(Peer::start(&mut Command::new("true")).is_err());
    }
}
