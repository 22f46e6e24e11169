//! What the tests of the binary share.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

pub(crate) fn sr_fit(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sr-fit")).current_dir(folder).args(args).output().expect("sr-fit runs")
}

/// Runs it with a text on standard input.
#[allow(dead_code, reason = "not every test file has an input")]
pub(crate) fn sr_fit_of(folder: &Path, input: &str, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sr-fit"));
    let command = command.current_dir(folder).args(args);
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("sr-fit starts");
    std::io::Write::write_all(&mut child.stdin.take().expect("a pipe"), input.as_bytes()).expect("written");
    child.wait_with_output().expect("sr-fit runs")
}

#[allow(dead_code, reason = "not every test file reads JSON")]
pub(crate) fn json(folder: &Path, args: &[&str]) -> Value {
    let output = sr_fit(folder, &[args, &["--json", "--force"]].concat());
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {stderr}"))
}

#[allow(dead_code, reason = "not every test file reads JSON")]
pub(crate) fn chosen(result: &Value) -> &Value {
    &result["front"][result["chosen"].as_u64().expect("an index") as usize]
}

#[allow(dead_code, reason = "not every test file reads texts")]
pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

/// The one line of an error, after the exit code of errors.
#[allow(dead_code, reason = "not every test file has errors")]
pub(crate) fn error(output: &Output) -> String {
    let stderr = String::from_utf8(output.stderr.clone()).expect("UTF-8");
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(output.stdout.is_empty(), "an error prints nothing on stdout");
    let errors: Vec<&str> = stderr.lines().filter(|line| !line.contains("WARN")).collect();
    assert_eq!(errors.len(), 1, "{stderr}");
    errors[0].to_owned()
}

pub(crate) fn write(folder: &Path, name: &str, rows: impl IntoIterator<Item = String>) {
    fs::write(folder.join(name), rows.into_iter().collect::<Vec<_>>().join("\n") + "\n").expect("written");
}

/// A table of 40 rows with columns a and b and y = 3a + b² or so, with noise, so that no formula is exact.
#[allow(dead_code, reason = "not every test file needs noise")]
pub(crate) fn noisy(folder: &Path, name: &str) {
    let row = |i: u32| {
        let (a, b) = (f64::from(i * 37 % 41) / 8.0, f64::from(i * 29 % 43) / 9.0);
        format!("{a},{b},{}", 3.0 * a + b * b + f64::from(i * 7919 % 101) / 300.0)
    };
    write(folder, name, std::iter::once("a,b,y".to_owned()).chain((1..=40).map(row)));
}
