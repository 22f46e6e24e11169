//! The file of results: a line of settings, and one line a run. It can be gone on with: what stands there is not made
//! again, and a last line that was cut is.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::wire::{Report, Request};
use super::{Judge, Method, Syntax, Task};

/// The version of the file.
const FORMAT: u32 = 1;

/// A formula that solved a problem, when it was first there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// The seconds.
    pub seconds: f64,
    /// The formula, in the system's syntax.
    pub formula: String,
}

/// A judged formula.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// The formula, in the system's syntax.
    pub formula: String,
    /// The nodes of the simplified formula; 0 if it could not be read.
    pub size: usize,
    /// R² on fresh rows; `None` if a prediction is not finite, and for a constant law.
    pub r2: Option<f64>,
    /// The largest relative error on fresh rows; `None` if a prediction is not finite.
    pub error: Option<f64>,
    /// Whether it is exact.
    pub exact: bool,
    /// Whether its form is right.
    #[serde(rename = "form_right")]
    pub right_shape: bool,
}

/// One run: what one method did with one task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// The name of the problem.
    pub problem: String,
    /// The seed of the draw and of the search.
    pub seed: u64,
    /// The name of the method.
    pub method: String,
    /// The version of the method.
    pub version: String,
    /// The law.
    pub law: String,
    /// The number of rows.
    pub rows: usize,
    /// The seconds that were spent.
    pub seconds: f64,
    /// The number of reports. With one, or with those of `chosen` at the end only, times are those of the end.
    pub reports: usize,
    /// The first exact formula of the front.
    pub exact_in_front: Option<Found>,
    /// The first formula of the front whose form is right.
    #[serde(rename = "form_in_front")]
    pub shape_in_front: Option<Found>,
    /// The formula that was chosen at the end.
    pub chosen: Option<Judged>,
    /// The seconds since which the chosen formula was exact without a break.
    pub exact_chosen: Option<f64>,
    /// The seconds since which the form of the chosen formula was right without a break.
    #[serde(rename = "form_chosen")]
    pub shape_chosen: Option<f64>,
    /// Whether the method claimed that its choice is exact; `None` if it makes no such claims.
    pub claims_exact: Option<bool>,
    /// The front at the end.
    pub front: Vec<Judged>,
    /// The reason why the method gave no last report.
    pub failure: Option<String>,
}

impl Run {
    /// Asks a method to fit a task, and judges what it reports. A failure of the method is a run too.
    ///
    /// A formula counts if it was reported by the end of the time, or soon after: a tenth of it and half a second, as
    /// methods end between generations.
    pub fn make(task: &Task, method: &mut dyn Method, seconds: f64, threads: usize) -> Run {
        let n_columns = task.x.n_columns();
        let request = Request {
            task: "fit",
            peer: String::new(),
            columns: (0..n_columns).map(|column| task.x.column(column).to_vec()).collect(),
            names: (0..n_columns).map(|column| format!("x{column}")).collect(),
            y: task.y.clone(),
            operators: task.operators.iter().map(|op| op.name()).collect(),
            constants: task.constants.clone(),
            seconds,
            threads,
            seed: task.seed,
            id: task.problem.clone(),
        };
        let mut reports = Vec::new();
        // Nothing is judged while the method runs: it may use all cores.
        let outcome = method.fit(&request, &mut |report| reports.push(report));
        let failure = outcome.err().map(|error| format!("{error:#}"));
        Run::of(task, method.name(), method.version(), method.syntax(), &reports, seconds, failure)
    }

    fn of(
        task: &Task,
        method: &str,
        version: &str,
        syntax: Syntax,
        reports: &[Report],
        seconds: f64,
        failure: Option<String>,
    ) -> Run {
        let mut judge = Judge::new(task, syntax);
        let latest = 1.1 * seconds + 0.5;
        let in_time: Vec<&Report> = reports.iter().filter(|report| report.seconds <= latest).collect();
        let mut first = |right: &mut dyn FnMut(&mut Judge<'_>, &str) -> bool| {
            let candidates =
                in_time.iter().flat_map(|report| report.front.iter().map(move |one| (report.seconds, one)));
            let found = candidates.into_iter().find(|(_, one)| right(&mut judge, &one.formula));
            let found = found.map(|(seconds, one)| Found { seconds, formula: one.formula.clone() });
            // The last choice counts from when it was right and stayed so.
            let mut since = None;
            for report in in_time.iter().rev() {
                match &report.chosen {
                    Some(chosen) if right(&mut judge, chosen) => since = Some(report.seconds),
                    _ => break,
                }
            }
            (found, since)
        };
        let (exact_in_front, exact_chosen) = first(&mut |judge, text| judge.verdict(text).exact);
        let (shape_in_front, shape_chosen) = first(&mut |judge, text| judge.has_right_shape(text));
        let mut judged = |formula: &String| {
            let verdict = judge.verdict(formula);
            Judged {
                formula: formula.clone(),
                size: verdict.size,
                r2: verdict.r2.filter(|r2| r2.is_finite()),
                error: Some(verdict.error).filter(|error| error.is_finite()),
                exact: verdict.exact,
                right_shape: judge.has_right_shape(formula),
            }
        };
        let last = in_time.last();
        Run {
            problem: task.problem.clone(),
            seed: task.seed,
            method: method.into(),
            version: version.into(),
            law: task.law.display(task.semantics).to_string(),
            rows: task.y.len(),
            seconds: reports.last().map_or(seconds, |report| report.seconds),
            reports: reports.len(),
            exact_in_front,
            shape_in_front,
            chosen: last.and_then(|report| report.chosen.as_ref()).map(&mut judged),
            exact_chosen,
            shape_chosen,
            claims_exact: last.and_then(|report| report.claims_exact),
            front: last.iter().flat_map(|report| &report.front).map(|one| judged(&one.formula)).collect(),
            failure,
        }
    }

    /// Returns whether this is the run of a task by a version of a method.
    pub fn is_of(&self, task: &Task, method: &str, version: &str) -> bool {
        self.problem == task.problem && self.seed == task.seed && self.method == method && self.version == version
    }
}

/// The file of results, open to be gone on with.
#[derive(Debug)]
pub struct Results {
    path: PathBuf,
    file: File,
    runs: Vec<Run>,
}

impl Results {
    /// Opens a file of results, or begins one. A last line that was cut is dropped.
    ///
    /// - settings: what all runs of the file have in common
    ///
    /// # Errors
    /// Returns an error if the file cannot be read or written, was made with other settings, or has a line that is no
    /// run; the error names the setting or the line.
    pub fn open(path: &Path, settings: &Value) -> anyhow::Result<Self> {
        let header = json!({ "bench-accuracy": FORMAT, "settings": settings });
        let about = || format!("{}", path.display());
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path).with_context(about)?;
        let text = std::fs::read_to_string(path).with_context(about)?;
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        if whole < text.len() {
            file.set_len(whole as u64).with_context(about)?;
        }
        let mut lines = text[..whole].lines();
        match lines.next() {
            None => writeln!(file, "{header}").with_context(about)?,
            Some(first) => {
                let made: Value = serde_json::from_str(first).with_context(|| format!("{}, line 1", about()))?;
                ensure!(made["bench-accuracy"] == FORMAT, "{} is no file of results of format {FORMAT}", about());
                if let Some(difference) = sr_cli::difference(&made["settings"], settings) {
                    bail!("{} has runs of other settings: {difference}; choose another --out", about());
                }
            }
        }
        let run = |(number, line)| serde_json::from_str(line).with_context(|| format!("{}, line {number}", about()));
        let runs = (2..).zip(lines).map(run).collect::<anyhow::Result<_>>()?;
        Ok(Results { path: path.to_owned(), file, runs })
    }

    /// Returns the runs, in the order of the file.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// Appends a run.
    ///
    /// # Errors
    /// Returns an error if it cannot be written.
    pub fn append(&mut self, run: Run) -> anyhow::Result<()> {
        let line = serde_json::to_string(&run)? + "\n";
        let written = self.file.write_all(line.as_bytes()).and_then(|()| self.file.sync_data());
        written.with_context(|| format!("writing {}", self.path.display()))?;
        self.runs.push(run);
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// A run that solved its problem after these seconds, or not.
    pub(crate) fn run(problem: &str, method: &str, in_front: Option<f64>, chosen: Option<f64>) -> Run {
        let judged = Judged {
            formula: "x0".into(),
            size: 1,
            r2: Some(if chosen.is_some() { 1.0 } else { 0.5 }),
            error: Some(0.0),
            exact: chosen.is_some(),
            right_shape: chosen.is_some(),
        };
        let found = in_front.map(|seconds| Found { seconds, formula: "x0".into() });
        Run {
            problem: problem.into(),
            seed: 1,
            method: method.into(),
            version: "1".into(),
            law: "x0".into(),
            rows: 20,
            seconds: 5.0,
            reports: 3,
            exact_in_front: found.clone(),
            shape_in_front: found,
            chosen: Some(judged),
            exact_chosen: chosen,
            shape_chosen: chosen,
            claims_exact: None,
            front: vec![],
            failure: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::run;
    use super::*;
    use crate::accuracy::suites::testing::task;
    use crate::accuracy::wire::Candidate;

    fn report(seconds: f64, front: &[&str], chosen: &str) -> Report {
        let candidate = |formula: &&str| Candidate { formula: (*formula).into(), size: 1.0, error: 0.0 };
        let front = front.iter().map(candidate).collect();
        Report { seconds, front, chosen: Some(chosen.into()), ..Report::default() }
    }

    #[test]
    fn times_are_those_of_the_first_front_and_of_the_last_choice() {
        let task = task("x0*x1 + 1", [[1.0, 3.0], [0.5, 2.0]], 0.0);
        let reports = [
            report(0.1, &["x0"], "x0"),
            report(0.2, &["x0", "x1*x0 + 1"], "x1*x0 + 1"),
            report(0.3, &["x0", "1 + x1*x0"], "x0"),
            report(0.4, &["x0"], "1 + x0*x1"),
            report(0.5, &["x0"], "1 + x1*x0"),
        ];
        let of = |reports: &[Report]| Run::of(&task, "m", "1", Syntax::Ours, reports, 1.0, None);
        let run = of(&reports);
        assert_eq!(run.exact_in_front, Some(Found { seconds: 0.2, formula: "x1*x0 + 1".into() }));
        assert_eq!((run.exact_chosen, run.shape_chosen, run.seconds), (Some(0.4), Some(0.4), 0.5));
        assert!(run.chosen.is_some_and(|chosen| chosen.exact && chosen.size == 5));
        assert_eq!(of(&reports[..3]).exact_chosen, None);
        assert!(of(&reports[..3]).exact_in_front.is_some());
        // Too late is as good as never.
        let late = of(&[report(0.9, &["x0"], "x0"), report(1.7, &["x0*x1 + 1"], "x0*x1 + 1")]);
        assert_eq!((late.exact_in_front, late.exact_chosen, late.seconds), (None, None, 1.7));
        let failed = Run::of(&task, "m", "1", Syntax::Ours, &[], 1.0, Some("no".into()));
        assert_eq!((failed.chosen, failed.seconds), (None, 1.0));
    }

    #[test]
    fn runs_that_stand_in_the_file_are_read_and_a_cut_one_is_dropped() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("r.jsonl");
        let settings = json!({ "suite": "nguyen", "seconds": 5.0 });
        let runs = [run("a", "m", Some(0.1), None), run("b", "m", None, Some(2.0)), run("c", "m", None, None)];
        let mut results = Results::open(&path, &settings).expect("a new file");
        runs.iter().for_each(|run| results.append(run.clone()).expect("written"));
        let whole = std::fs::read(&path).expect("read");
        assert_eq!(Results::open(&path, &settings).expect("the file").runs(), runs);
        // Cut anywhere, the file gives its whole runs, and can be gone on with to the same bytes.
        for end in (0..whole.len()).step_by(23).chain(whole.len() - 3..whole.len()) {
            std::fs::write(&path, &whole[..end]).expect("written");
            let mut results = Results::open(&path, &settings).expect("the file");
            let n = results.runs().len();
            assert_eq!(results.runs(), &runs[..n]);
            runs[n..].iter().for_each(|run| results.append(run.clone()).expect("written"));
            assert_eq!(std::fs::read(&path).expect("read"), whole, "cut at {end}");
        }
    }

    #[test]
    fn other_settings_and_other_files_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("r.jsonl");
        let mut results = Results::open(&path, &json!({ "seconds": 5.0 })).expect("a new file");
        results.append(run("a", "m", None, None)).expect("written");
        let error = Results::open(&path, &json!({ "seconds": 6.0 })).expect_err("other settings").to_string();
        assert!(error.contains("seconds 5.0, asked for 6.0"), "{error}");
        let text = std::fs::read_to_string(&path).expect("read") + "{\"problem\": 1}\n";
        std::fs::write(&path, text).expect("written");
        let error = Results::open(&path, &json!({ "seconds": 5.0 })).expect_err("no run");
        assert!(format!("{error:#}").contains("line 3"), "{error:#}");
        std::fs::write(&path, "hello\n").expect("written");
        assert!(Results::open(&path, &json!({})).is_err());
    }
}
