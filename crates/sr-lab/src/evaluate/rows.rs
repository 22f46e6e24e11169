//! The rows of an unfinished evaluation, kept in a file of JSON lines from which a run can resume.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::Deserialize;
use serde_json::{Map, Value};
use sr_eval::Row;

/// The settings that rows depend on, by the names of their flags.
pub type Settings = Map<String, Value>;

/// The rows of an evaluation so far: in memory alone, or also in the file `OUT.rows` beside the result, from which a
/// run can resume.
#[derive(Debug)]
pub struct Rows {
    rows: Vec<Row>,
    file: Option<RowsFile>,
}

impl Rows {
    /// Returns empty rows that are kept in memory alone.
    pub fn in_memory() -> Self {
        Rows { rows: Vec::new(), file: None }
    }

    /// Returns empty rows that are kept in `OUT.rows`, which is overwritten.
    ///
    /// - out: the path of the result
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn begin(out: &Path, settings: &Settings) -> anyhow::Result<Self> {
        Ok(Rows { rows: Vec::new(), file: Some(RowsFile::create(out, settings)?) })
    }

    /// Returns the rows in `OUT.rows`, without an incomplete last line; empty if there is no such file.
    ///
    /// # Errors
    /// If the file has other settings (the error names the first that differs), or cannot be read and written.
    pub fn resume(out: &Path, settings: &Settings) -> anyhow::Result<Self> {
        let (file, rows) = RowsFile::resume(out, settings)?;
        Ok(Rows { rows, file: Some(file) })
    }

    /// Returns the rows of a finished result; `None` if there is no result, or `OUT.rows` of an unfinished run exists.
    ///
    /// # Errors
    /// If the result has other settings (the error names the first that differs), or is not a result.
    pub fn finished(out: &Path, settings: &Settings) -> anyhow::Result<Option<Vec<Row>>> {
        #[derive(Deserialize)]
        struct Whole {
            settings: Settings,
            rows: Vec<Row>,
        }
        if !out.exists() || RowsFile::path(out).exists() {
            return Ok(None);
        }
        let text = read(out)?;
        let other = || format!("{} is no comparison that can be gone on with", out.display());
        let whole: Whole = serde_json::from_str(&text).with_context(other)?;
        compare(&whole.settings, settings, out)?;
        Ok(Some(whole.rows))
    }

    /// Returns all rows.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Returns whether the rows are kept in a file and so survive a kill.
    pub fn are_kept(&self) -> bool {
        self.file.is_some()
    }

    /// Adds rows. If they are kept in a file, they are on the disk when this returns.
    pub(crate) fn append(&mut self, rows: Vec<Row>) -> anyhow::Result<()> {
        if let Some(file) = &mut self.file {
            file.append(&rows)?;
        }
        self.rows.extend(rows);
        Ok(())
    }

    pub(crate) fn sort_by_key<K: Ord>(&mut self, key: impl Fn(&Row) -> K) {
        self.rows.sort_by_cached_key(key);
    }

    /// Deletes the file if it has no rows.
    pub(crate) fn discard_if_empty(&mut self) {
        if let Some(file) = self.file.take_if(|_| self.rows.is_empty()) {
            file.finish().ok();
        }
    }

    /// Deletes `OUT.rows` and returns all rows. Call it once the result is written.
    ///
    /// # Errors
    /// If the file cannot be deleted.
    pub fn finish(self) -> anyhow::Result<Vec<Row>> {
        self.file.map_or(Ok(()), RowsFile::finish)?;
        Ok(self.rows)
    }
}

/// The file `OUT.rows`: a line of settings, then a line for each finished search.
#[derive(Debug)]
struct RowsFile {
    path: PathBuf,
    file: File,
}

impl RowsFile {
    fn path(out: &Path) -> PathBuf {
        let mut path = OsString::from(out);
        path.push(".rows");
        path.into()
    }

    /// Creates the file, or overwrites it.
    fn create(out: &Path, settings: &Settings) -> anyhow::Result<Self> {
        let path = Self::path(out);
        let file = File::create(&path).with_context(|| format!("writing {}", path.display()))?;
        let mut rows = RowsFile { path, file };
        rows.write(&format!("{}\n", serde_json::to_string(settings)?))?;
        Ok(rows)
    }

    /// Opens the file and returns its rows. An incomplete last line, which a kill leaves, is dropped.
    fn resume(out: &Path, settings: &Settings) -> anyhow::Result<(Self, Vec<Row>)> {
        let path = Self::path(out);
        let text = if path.exists() { read(&path)? } else { String::new() };
        let Some((first, lines)) = text.split_once('\n') else {
            return Ok((Self::create(out, settings)?, Vec::new()));
        };
        let begun: Settings = serde_json::from_str(first).with_context(|| format!("{}: line 1", path.display()))?;
        compare(&begun, settings, &path)?;
        let whole = lines.rfind('\n').map_or(0, |end| end + 1);
        let mut rows = Vec::new();
        for (index, line) in lines[..whole].lines().enumerate() {
            let row = serde_json::from_str(line);
            rows.push(row.with_context(|| format!("{}: line {}", path.display(), index + 2))?);
        }
        let open = || -> std::io::Result<File> {
            let file = OpenOptions::new().append(true).open(&path)?;
            file.set_len((first.len() + 1 + whole) as u64)?;
            Ok(file)
        };
        let file = open().with_context(|| format!("writing {}", path.display()))?;
        Ok((RowsFile { path, file }, rows))
    }

    /// Adds rows, which are on the disk when this returns.
    fn append(&mut self, rows: &[Row]) -> anyhow::Result<()> {
        let mut lines = String::new();
        for row in rows {
            lines.push_str(&serde_json::to_string(row)?);
            lines.push('\n');
        }
        self.write(&lines)
    }

    fn write(&mut self, text: &str) -> anyhow::Result<()> {
        let mut write = || self.file.write_all(text.as_bytes()).and_then(|()| self.file.sync_data());
        write().with_context(|| format!("writing {}", self.path.display()))
    }

    /// Deletes the file, because the result is written.
    fn finish(self) -> anyhow::Result<()> {
        std::fs::remove_file(&self.path).with_context(|| format!("deleting {}", self.path.display()))
    }
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}

/// Fails with the first setting that differs from those in the file.
fn compare(begun: &Settings, now: &Settings, path: &Path) -> anyhow::Result<()> {
    for key in now.keys().chain(begun.keys()) {
        let (before, after) = (begun.get(key), now.get(key));
        if before != after {
            let text = |value: Option<&Value>| value.map_or("nothing".into(), Value::to_string);
            let (path, before, after) = (path.display(), text(before), text(after));
            bail!("{path} was begun with other settings: {key} was {before} and is now {after}");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn settings(seeds: u64) -> Settings {
        json!({ "seeds": seeds, "methods": ["expert"] }).as_object().expect("an object").clone()
    }

    fn row(seed: u64) -> Row {
        serde_json::from_value(json!({
            "method": "expert", "problem": "p", "seed": seed, "solved": true, "mse_train": 3.0 / (seed as f64 + 7.1e-30), "r2_test": null,
            "generations": 1, "evaluations": 20, "generations_to_solve": null, "evaluations_to_solve": null,
            "seconds": 0.3, "size": 1, "expression": "x0", "well_formed": 0, "fallback": 0, "children": 0, "distinct": 0,
        }))
        .expect("a row of an older file")
    }

    #[test]
    fn a_result_gives_the_rows_that_were_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let out = folder.path().join("r.json");
        let rows: Vec<Row> = (0..50)
            .map(|seed| Row {
                expression: r#"a "-1.5" \ 2.5"#.into(),
                mse_train: Some(1e-7 / (seed as f64 + 3.0)),
                ..row(seed)
            })
            .collect();
        let text = serde_json::to_string_pretty(&json!({ "settings": settings(3), "rows": rows })).expect("JSON");
        std::fs::write(&out, text).expect("written");
        assert_eq!(Rows::finished(&out, &settings(3)).expect("a result"), Some(rows));
        let error = Rows::finished(&out, &settings(4)).expect_err("another configuration").to_string();
        assert!(error.contains("seeds was 3 and is now 4"), "{error}");
        assert_eq!(Rows::finished(&folder.path().join("none"), &settings(3)).expect("nothing"), None);
    }

    #[test]
    fn a_file_cut_anywhere_gives_its_whole_rows() {
        let folder = tempfile::tempdir().expect("a folder");
        let out = folder.path().join("r.json");
        let mut file = RowsFile::create(&out, &settings(3)).expect("created");
        file.append(&[row(0), row(1)]).expect("written");
        let path = RowsFile::path(&out);
        let bytes = std::fs::read(&path).expect("read");
        for cut in (0..=bytes.len()).step_by(3).chain([bytes.len()]) {
            std::fs::write(&path, &bytes[..cut]).expect("written");
            let (mut file, rows) = RowsFile::resume(&out, &settings(3)).expect("resumed");
            assert_eq!(rows, [row(0), row(1)][..rows.len()]);
            assert_eq!(rows.len(), bytes[..cut].iter().filter(|&&b| b == b'\n').count().saturating_sub(1));
            file.append(&[row(0), row(1)][rows.len()..]).expect("written");
            assert_eq!(std::fs::read(&path).expect("read"), bytes);
        }
        let error = RowsFile::resume(&out, &settings(4)).expect_err("another configuration").to_string();
        assert!(error.contains("seeds was 3 and is now 4"), "{error}");
    }
}
