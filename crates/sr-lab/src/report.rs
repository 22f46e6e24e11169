//! Reports of results: which files a report of a folder is made of.
//!
//! ```
//! use sr_lab::report;
//! use sr_lab::sr_report::report_page;
//!
//! # fn main() -> anyhow::Result<()> {
//! # let folder = tempfile::tempdir()?;
//! # let run = folder.path().join("model");
//! # std::fs::create_dir(&run)?;
//! let line = |step: u32, loss: f64| format!("{{\"step\": {step}, \"loss\": {loss}}}\n");
//! std::fs::write(run.join("metrics.jsonl"), line(25, 2.5) + &line(50, 1.75))?;
//! let page = report_page(&[report::read(&run)?]);
//! assert!(page.contains("Training of model") && page.contains("Learning curves") && !page.contains("://"));
//! # Ok(())
//! # }
//! ```

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use serde_json::Value;
use sr_report::{FitRow, Section, report_page};

/// The name of the report in a folder.
pub const REPORT: &str = "report.html";

/// Most rows of a table that a report of a fit shows.
pub const MOST_ROWS: usize = 1000;

/// Reads a result of `sr-fit`, `sr-train` or `sr-dagger` from its folder, or one of `sr-evaluate --out` from its file.
///
/// # Errors
/// If there is no such result, or it is damaged.
pub fn read(path: &Path) -> anyhow::Result<Section> {
    ensure!(path.exists(), "{} does not exist", path.display());
    let reading = || format!("reading {}", path.display());
    if !path.is_dir() {
        let json = read_json(path)?;
        let is_result = (json["rows"].is_array() && json["summary"].is_array()) || json["methods"].is_array();
        ensure!(
            is_result,
            "{} is no result of sr-evaluate --out; of other results a report is made of the folder",
            path.display()
        );
        return Section::evaluation(&name(path), &json).with_context(reading);
    }
    let [fit, metrics, results] = ["fit.json", "metrics.jsonl", "results.json"].map(|name| path.join(name));
    if fit.exists() {
        let rows = path.join("points.csv");
        let rows = if rows.exists() { read_rows(&rows)? } else { Vec::new() };
        return Section::fit(&name(path), &read_json(&fit)?, &rows).with_context(reading);
    }
    if metrics.exists() {
        let read = |name: &str| {
            let path = path.join(name);
            path.exists().then(|| read_json(&path)).transpose()
        };
        let (config, run) = (read("config.json")?, read("train.run.json")?);
        // Time and machine stand there too, and no page tells them.
        let data = run.as_ref().map(|run| &run["settings"]);
        return Ok(Section::training(&name(path), &read_lines(&metrics)?, config.as_ref(), data));
    }
    if results.exists() {
        let config = path.join("config.json");
        let config = config.exists().then(|| read_json(&config)).transpose()?;
        return Section::dagger(&name(path), &read_json(&results)?, config.as_ref()).with_context(reading);
    }
    bail!(
        "{} has no fit.json of sr-fit, metrics.jsonl of sr-train or results.json of sr-dagger to report on",
        path.display()
    )
}

/// Returns the page of the result in a folder.
///
/// # Errors
/// See [`read`].
pub fn page(folder: &Path) -> anyhow::Result<String> {
    Ok(report_page(&[read(folder)?]))
}

/// Returns the rows of a fit's report: at most [`MOST_ROWS`], evenly spread over the table.
///
/// - y: the target in all rows
/// - predicted: the value of the marked formula in the same rows
pub fn rows(y: &[f64], predicted: &[f64]) -> Vec<FitRow> {
    let n = y.len();
    let most = n.min(MOST_ROWS);
    // The first and the last row are among them.
    let row = |index: usize| if n <= MOST_ROWS { index } else { index * (n - 1) / (most - 1) };
    (0..most).map(row).map(|row| FitRow { row: row + 1, observed: y[row], predicted: predicted[row] }).collect()
}

/// Returns rows as CSV: `points.csv` of a fit.
pub fn rows_csv(rows: &[FitRow]) -> String {
    let row = |row: &FitRow| format!("{},{:?},{:?}\n", row.row, row.observed, row.predicted);
    std::iter::once(format!("{HEADER}\n")).chain(rows.iter().map(row)).collect()
}

const HEADER: &str = "row,observed,predicted";

/// Reads rows from CSV.
fn read_rows(path: &Path) -> anyhow::Result<Vec<FitRow>> {
    let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let row = |line: &str| {
        let mut fields = line.split(',');
        let (row, observed, predicted) = (fields.next()?, fields.next()?, fields.next()?);
        Some(FitRow { row: row.parse().ok()?, observed: observed.parse().ok()?, predicted: predicted.parse().ok()? })
    };
    let mut lines = text.lines().enumerate();
    ensure!(lines.next().is_some_and(|(_, line)| line == HEADER), "{} does not begin with {HEADER}", path.display());
    let read = |(index, line)| row(line).with_context(|| format!("{}: line {} is no row", path.display(), index + 1));
    lines.map(read).collect()
}

/// Returns what a result is called: its folder, and of a file its name without the ending too.
fn name(path: &Path) -> String {
    // Of `.` too.
    let whole = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let text = |name: Option<&OsStr>| name.unwrap_or_default().to_string_lossy().into_owned();
    match whole.is_dir() {
        true => text(whole.file_name()),
        false => format!("{}/{}", text(whole.parent().and_then(Path::file_name)), text(whole.file_stem())),
    }
}

fn read_json(path: &Path) -> anyhow::Result<Value> {
    let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is no JSON, or is cut off", path.display()))
}

fn read_lines(path: &Path) -> anyhow::Result<Vec<Value>> {
    let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    // A run that goes on may be writing its last line.
    let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
    let line = |(index, line): (usize, &str)| {
        serde_json::from_str(line).with_context(|| format!("{}: line {} is no JSON", path.display(), index + 1))
    };
    whole.lines().enumerate().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_spread_over_the_table_and_read_as_they_were_written() {
        let y: Vec<f64> = (0..2500).map(|row| f64::from(row) / 7.0).collect();
        let found = rows(&y, &y);
        assert_eq!((found.len(), found[0].row, found[MOST_ROWS - 1].row), (MOST_ROWS, 1, 2500));
        assert!(found.is_sorted_by(|a, b| a.row < b.row));
        let found = rows(&[1.5, f64::MAX], &[f64::NAN, 1e-300]);
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("points.csv");
        fs::write(&path, rows_csv(&found)).expect("written");
        assert_eq!(fs::read_to_string(&path).expect("read").lines().nth(1), Some("1,1.5,NaN"));
        let read = read_rows(&path).expect("rows");
        assert_eq!((read.len(), read[1]), (2, found[1]));
        fs::write(&path, format!("{HEADER}\n1,x,2\n")).expect("written");
        assert!(read_rows(&path).expect_err("no row").to_string().ends_with("points.csv: line 2 is no row"));
    }

    #[test]
    fn what_is_no_result_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let error = |path: &Path| format!("{:#}", read(path).expect_err("no result"));
        assert!(error(&folder.path().join("none")).ends_with("none does not exist"));
        assert!(error(folder.path()).contains("no fit.json of sr-fit"));
        let file = folder.path().join("a.json");
        fs::write(&file, "{\"front\": []}").expect("written");
        assert!(error(&file).contains("no result of sr-evaluate --out"));
        fs::write(&file, "{\"rows\": [{}], \"summary\": []}").expect("written");
        assert!(error(&file).contains("reading rows: missing field"), "{}", error(&file));
        fs::write(folder.path().join("fit.json"), "{}").expect("written");
        assert!(error(folder.path()).ends_with("a fit has no valid field front"));
    }
}
