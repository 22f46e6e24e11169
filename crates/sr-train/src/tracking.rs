//! The metrics of a run: lines of JSON, and files for TensorBoard or Weights & Biases.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::events::EventFile;
use crate::folder::{sum, write_aside};
use crate::{Error, Tracking, TrackingKind};

const METRICS: &str = "metrics.jsonl";
/// A script that uploads the metrics. The client of Weights & Biases is a Python package with an undocumented file
/// format, so only the client can write its files.
const WANDB: &str = "wandb-sync.py";
/// The prefix of validation metrics.
const VALIDATION: &str = "val_";
/// The group of validation metrics in TensorBoard.
const VALIDATION_GROUP: &str = "validation";

/// The open logs of a run: lines of JSON, and the files of the kind of tracking.
#[derive(Debug)]
pub struct Tracker {
    path: PathBuf,
    metrics: Option<File>,
    events: Option<EventFile>,
}

impl Tracker {
    /// Opens the logs of a run's folder for appending after those of steps up to `step`; later ones are cut off.
    ///
    /// # Errors
    /// If a log cannot be read or written.
    pub fn open(dir: &Path, tracking: &Tracking, step: u64) -> Result<Self, Error> {
        let kind = tracking.kind;
        let path = dir.join(METRICS);
        let made = |line: &Value| line["step"].as_u64().is_some_and(|of| of <= step);
        let metrics = (kind != TrackingKind::None).then(|| open_metrics(&path, made)).transpose()?;
        let events = (kind == TrackingKind::Tensorboard).then(|| EventFile::open(dir, step)).transpose()?;
        if kind == TrackingKind::Wandb {
            let path = dir.join(WANDB);
            // A resumed run keeps its id, even if its folder has moved.
            let before = fs::read_to_string(&path).unwrap_or_default();
            let id = run_id(&before).map_or_else(|| new_run_id(dir), str::to_owned);
            write_aside(&path, wandb_script(dir, tracking, &id).as_bytes())?;
        }
        Ok(Tracker { path, metrics, events })
    }

    /// Cuts the logs off from the validation of a step on, if they have one.
    pub(crate) fn cut_validation(&mut self, step: u64) -> Result<(), Error> {
        let is_other = |line: &Value| {
            let is_validation = line.as_object().is_some_and(|line| line.keys().any(|key| key.starts_with(VALIDATION)));
            line["step"] != step || !is_validation
        };
        if self.metrics.is_some() {
            self.metrics = Some(open_metrics(&self.path, is_other)?);
        }
        if let Some(events) = &mut self.events {
            events.cut(&format!("{VALIDATION_GROUP}/"), step)?;
        }
        Ok(())
    }

    /// Appends the metrics of a step, an object that includes `step`. For TensorBoard, names that begin with `val_` go
    /// under `validation/`, names with a `/` stay, and all others go under `train/`.
    ///
    /// # Errors
    /// If a log cannot be written.
    ///
    /// # Panics
    /// If `line` is not an object, or has no `step`.
    pub fn log(&mut self, line: &Value) -> Result<(), Error> {
        if let Some(file) = &mut self.metrics {
            file.write_all(format!("{line}\n").as_bytes()).map_err(Error::io(&self.path))?;
        }
        if let Some(events) = &mut self.events {
            let metrics = line.as_object().expect("metrics are an object");
            let tag = |key: &str| match key.strip_prefix(VALIDATION) {
                Some(name) => format!("{VALIDATION_GROUP}/{name}"),
                None if key.contains('/') => key.to_owned(), // it has a group already
                None => format!("train/{key}"),
            };
            let scalars = metrics.iter().filter(|(key, _)| *key != "step");
            let scalars: Vec<(String, f64)> =
                scalars.filter_map(|(key, value)| Some((tag(key), value.as_f64()?))).collect();
            let step = line["step"].as_u64().expect("metrics have a step");
            events.scalars(step, scalars.iter().map(|(tag, value)| (&**tag, *value)))?;
        }
        Ok(())
    }
}

/// Opens metrics for appending after the first lines, those up to the first that is not `kept`.
fn open_metrics(path: &Path, kept: impl Fn(&Value) -> bool) -> Result<File, Error> {
    let old = match fs::read_to_string(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(Error::io(path)(error)),
        old => old.unwrap_or_default(),
    };
    // A line that a killed process left unfinished is not JSON and is dropped too.
    let is_kept = |line: &&str| serde_json::from_str::<Value>(line).is_ok_and(|line| kept(&line));
    let kept: String = old.lines().take_while(is_kept).map(|line| format!("{line}\n")).collect();
    if kept != old {
        write_aside(path, kept.as_bytes())?;
    }
    OpenOptions::new().append(true).create(true).open(path).map_err(Error::io(path))
}

/// The start of the script's line with the id.
const RUN_ID: &str = "RUN_ID = \"";

/// Returns the id in an earlier script.
fn run_id(script: &str) -> Option<&str> {
    script.lines().find_map(|line| line.strip_prefix(RUN_ID)?.strip_suffix('"'))
}

/// Returns an id for the run in a folder, which differs from that of any other folder.
fn new_run_id(dir: &Path) -> String {
    let whole = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    format!("sr-{}", &sum(whole.as_os_str().as_encoded_bytes())[..16])
}

/// Returns a script that uploads the metrics to one run on Weights & Biases, however often it is started.
fn wandb_script(dir: &Path, tracking: &Tracking, id: &str) -> String {
    // A JSON string is also a Python string.
    let literal =
        |text: &Option<String>| text.as_ref().map_or("None".to_owned(), |text| Value::from(&**text).to_string());
    let name = tracking.run_name.clone().or_else(|| Some(dir.file_name()?.to_string_lossy().into_owned()));
    let project = tracking.project.clone().or_else(|| Some("sr".to_owned()));
    format!(
        r#"# Sends the metrics of this run to Weights & Biases:
#
#     pip install wandb
#     python {WANDB}
#
# With WANDB_MODE=offline it writes a folder `wandb`, which `wandb sync` sends from another machine.
# Started again, it goes on with the same run and sends the steps that are new.
import json
from pathlib import Path

import wandb

{RUN_ID}{id}"
folder = Path(__file__).resolve().parent
config = json.loads((folder / "config.json").read_text())
run = wandb.init(
    project={project}, entity={entity}, name={name}, id=RUN_ID, resume="allow", config=config, dir=folder
)
sent = run.step  # of an earlier start; 0 in a new run
for line in (folder / "{METRICS}").read_text().splitlines():
    values = json.loads(line)
    step = values.pop("step")
    if step >= sent:
        run.log(values, step=step)
run.finish()
"#,
        project = literal(&project),
        entity = literal(&tracking.entity),
        name = literal(&name),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_kind_writes_its_files() {
        for (kind, expected) in [
            (TrackingKind::None, &[][..]),
            (TrackingKind::Jsonl, &["metrics.jsonl"]),
            (TrackingKind::Tensorboard, &["events.out.tfevents.0.sr-train", "metrics.jsonl"]),
            (TrackingKind::Wandb, &["metrics.jsonl", "wandb-sync.py"]),
        ] {
            let folder = tempfile::tempdir().expect("a folder");
            let tracking = Tracking { kind, ..Tracking::default() };
            let mut tracker = Tracker::open(folder.path(), &tracking, 0).expect("logs");
            tracker.log(&json!({"step": 1, "loss": 0.5})).expect("written");
            let entries =
                fs::read_dir(folder.path()).expect("listed").map(|entry| entry.expect("an entry").file_name());
            let mut names: Vec<String> = entries.map(|name| name.into_string().expect("UTF-8")).collect();
            names.sort();
            assert_eq!(names, expected, "{kind:?}");
        }
    }

    #[test]
    fn a_validation_is_cut_from_all_logs_and_nothing_else_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let tracking = Tracking { kind: TrackingKind::Tensorboard, ..Tracking::default() };
        let mut tracker = Tracker::open(folder.path(), &tracking, 0).expect("logs");
        let mut log = |line: Value| tracker.log(&line).expect("written");
        log(json!({"step": 1, "val_loss": 0.75}));
        log(json!({"step": 2, "loss": 0.5}));
        log(json!({"step": 2, "val_loss": 0.25}));
        let read = |name: &str| fs::read(folder.path().join(name)).expect("a log");
        let (lines, events) = (read(METRICS), read("events.out.tfevents.0.sr-train"));
        tracker.cut_validation(3).expect("there is none");
        assert!(read(METRICS) == lines && read("events.out.tfevents.0.sr-train") == events);
        tracker.cut_validation(2).expect("cut");
        let expected = "{\"step\":1,\"val_loss\":0.75}\n{\"loss\":0.5,\"step\":2}\n";
        assert_eq!(String::from_utf8(read(METRICS)).expect("text"), expected);
        let cut = read("events.out.tfevents.0.sr-train");
        assert!(cut.len() < events.len() && events.starts_with(&cut));
        tracker.log(&json!({"step": 2, "val_loss": 0.25})).expect("written again");
        assert_eq!((read(METRICS), read("events.out.tfevents.0.sr-train").len()), (lines, events.len()));
    }

    #[test]
    fn the_script_for_wandb_names_project_entity_and_run() {
        let tracking = Tracking {
            kind: TrackingKind::Wandb,
            project: None,
            entity: Some("a \"team\"".to_owned()),
            run_name: None,
        };
        let script = wandb_script(Path::new("runs/onestep"), &tracking, "sr-1");
        let call =
            "project=\"sr\", entity=\"a \\\"team\\\"\", name=\"onestep\", id=RUN_ID, resume=\"allow\", config=config";
        assert!(script.contains(call), "{script}");
        let named =
            Tracking { project: Some("p".to_owned()), entity: None, run_name: Some("r".to_owned()), ..tracking };
        let script = wandb_script(Path::new("x"), &named, "sr-1");
        assert!(script.contains(r#"project="p", entity=None, name="r", "#), "{script}");
    }

    #[test]
    fn a_run_has_one_id_on_wandb_wherever_it_goes_on() {
        let folder = tempfile::tempdir().expect("a folder");
        let tracking = Tracking { kind: TrackingKind::Wandb, ..Tracking::default() };
        let id = |name: &str| {
            let dir = folder.path().join(name);
            fs::create_dir_all(&dir).expect("made");
            drop(Tracker::open(&dir, &tracking, 0).expect("logs"));
            let script = fs::read_to_string(dir.join(WANDB)).expect("a script");
            run_id(&script).expect("an id").to_owned()
        };
        let first = id("a");
        assert_eq!(id("a"), first, "resumed");
        assert_ne!(id("b"), first, "another run");
        fs::rename(folder.path().join("a"), folder.path().join("c")).expect("moved");
        assert_eq!(id("c"), first, "moved and resumed");
        fs::write(folder.path().join("c").join(WANDB), "import wandb\n").expect("written");
        assert_ne!(id("c"), first, "a script of before has none");
    }
}
