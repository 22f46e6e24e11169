//! The methods that are measured: ours in this process, others as programs of their own.

use std::fmt::Debug;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::Syntax;
use super::wire::{Report, Request};
use crate::Peer;

/// A method: something that fits tables.
pub trait Method: Debug {
    /// Returns the name in tables and files.
    fn name(&self) -> &str;

    /// Returns the version. Runs of another version are other runs.
    fn version(&self) -> &str;

    /// Returns the way in which it writes formulas.
    fn syntax(&self) -> Syntax;

    /// Fits one table, and reports as it goes on; the last report has [`Report::end`].
    ///
    /// # Errors
    /// Returns an error if the method fails, ends, or does not come to an end long after its time. It can be asked
    /// again.
    fn fit(&mut self, request: &Request, on_report: &mut dyn FnMut(Report)) -> anyhow::Result<()>;
}

/// A method that is a program and speaks JSON lines, see [`wire`](super::wire).
#[derive(Debug)]
pub struct Driver {
    name: String,
    /// The name by which the program knows the system.
    peer: String,
    version: String,
    syntax: Syntax,
    command: Vec<String>,
    threads: usize,
    process: Option<Peer>,
}

impl Driver {
    /// Starts a program. Without `peer` it has to run one system only, whose version it is.
    ///
    /// - command: the program and its arguments, not empty
    ///
    /// # Errors
    /// Returns an error if the program cannot be started or cannot run the system; the error says why.
    pub fn start(
        name: &str,
        peer: Option<&str>,
        syntax: Syntax,
        command: Vec<String>,
        threads: usize,
    ) -> anyhow::Result<Self> {
        let process = start(&command, threads)?;
        let peer = match (peer, process.versions.keys().next()) {
            (Some(peer), _) => peer.to_owned(),
            (None, Some(only)) if process.versions.len() == 1 => only.clone(),
            _ => bail!("expected a program that introduces one system, found {}", process.versions.len()),
        };
        let Some(version) = process.versions.get(&peer).cloned() else {
            bail!("{}", process.missing.get(&peer).map_or("it is not there", String::as_str));
        };
        Ok(Driver { name: name.into(), peer, version, syntax, command, threads, process: Some(process) })
    }

    /// Returns a time after which a fit is given up.
    fn patience(seconds: f64) -> Duration {
        Duration::from_secs_f64(3.0 * seconds + 60.0)
    }
}

fn start(command: &[String], threads: usize) -> anyhow::Result<Peer> {
    let (program, arguments) = command.split_first().context("expected a program")?;
    Peer::start_with_threads(Command::new(program).args(arguments), threads)
}

impl Method for Driver {
    fn name(&self) -> &str {
        &self.name
    }

    fn version(&self) -> &str {
        &self.version
    }

    fn syntax(&self) -> Syntax {
        self.syntax
    }

    fn fit(&mut self, request: &Request, on_report: &mut dyn FnMut(Report)) -> anyhow::Result<()> {
        let mut process = match self.process.take() {
            Some(process) => process,
            None => start(&self.command, self.threads)?,
        };
        let request = Request { peer: self.peer.clone(), ..request.clone() };
        let started = Instant::now();
        process.request(&request)?;
        loop {
            let left = Self::patience(request.seconds).saturating_sub(started.elapsed());
            let answer = match process.answer_within(left) {
                Ok(Some(answer)) => answer,
                Ok(None) => {
                    process.kill();
                    bail!("it did not end within {:.0} s", started.elapsed().as_secs_f64());
                }
                Err(error) => {
                    process.kill();
                    return Err(error);
                }
            };
            let report: Report = serde_json::from_value(answer).context("a line of the driver")?;
            let is_last = report.end;
            on_report(report);
            if is_last {
                self.process = Some(process);
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a driver that is a line of shell, which answers each request with these lines.
    fn shell(introduction: &str, answers: &[&str]) -> anyhow::Result<Driver> {
        let said: String = answers.iter().map(|line| format!("echo '{line}'; ")).collect();
        let script = format!("echo '{introduction}'; while read -r line; do {said} done");
        let command = ["sh", "-c", &script].map(String::from).to_vec();
        Driver::start("test", None, Syntax::Ours, command, 1)
    }

    fn request() -> Request {
        Request {
            task: "fit",
            peer: String::new(),
            columns: vec![vec![1.0, 2.0]],
            names: vec!["x0".into()],
            y: vec![1.0, 2.0],
            operators: vec!["+"],
            constants: vec![],
            seconds: 1.0,
            threads: 1,
            seed: 0,
            id: "p".into(),
        }
    }

    const ONE: &str = r#"{"peers": {"a": "1.0"}, "missing": {}}"#;

    #[test]
    fn a_driver_reports_until_its_end_and_can_be_asked_again() {
        let first = r#"{"seconds": 0.1, "front": [{"formula": "x0", "size": 1, "error": 0}]}"#;
        let last = r#"{"seconds": 0.2, "front": [], "chosen": "x0", "claims_exact": true, "end": true}"#;
        let mut driver = shell(ONE, &[first, last]).expect("a driver");
        assert_eq!(driver.version(), "1.0");
        for _ in 0..2 {
            let mut reports = Vec::new();
            driver.fit(&request(), &mut |report| reports.push(report)).expect("a fit");
            assert_eq!(reports.len(), 2);
            assert_eq!(reports[0].front[0].formula, "x0");
            assert_eq!((reports[1].claims_exact, reports[1].chosen.as_deref()), (Some(true), Some("x0")));
        }
    }

    #[test]
    fn errors_and_ends_are_told() {
        let mut driver = shell(ONE, &[r#"{"error": "no memory"}"#]).expect("a driver");
        for _ in 0..2 {
            let error = driver.fit(&request(), &mut |_| ()).expect_err("an error").to_string();
            assert_eq!(error, "no memory");
        }
        let command = ["sh", "-c", &format!("echo '{ONE}'; read -r line")].map(String::from).to_vec();
        let mut driver = Driver::start("test", None, Syntax::Ours, command, 1).expect("a driver");
        assert!(driver.fit(&request(), &mut |_| ()).is_err());
    }

    #[test]
    fn what_is_not_there_is_an_error_that_says_why() {
        let two = r#"{"peers": {"a": "1.0", "b": "2"}, "missing": {"c": "no module named c"}}"#;
        assert!(shell(two, &[]).is_err());
        let script = format!("echo '{two}'");
        let command = ["sh", "-c", &script].map(String::from).to_vec();
        let of = |peer| Driver::start("test", Some(peer), Syntax::Ours, command.clone(), 1);
        assert_eq!(of("b").expect("a driver").version(), "2");
        assert_eq!(of("c").expect_err("missing").to_string(), "no module named c");
        let none = Driver::start("test", None, Syntax::Ours, vec!["none/program".into()], 1);
        assert!(none.expect_err("no program").to_string().contains("none/program"));
    }
}
