//! What has become of milestones, as tables that are written after each of them.

use std::path::Path;

use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

use crate::rounds::write_atomically;
use crate::{Error, Metric};

/// What became of a milestone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Status {
    /// All of its rounds were done.
    Completed,
    /// The expert does not pass its gate, or something went wrong; the reason says what.
    Failed,
    /// It was not to be run.
    Skipped,
}

impl Status {
    /// The name in files.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// A milestone in the tables of results.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MilestoneResult {
    /// Its name.
    pub milestone_id: String,
    /// Its place, from 0.
    pub index: usize,
    /// When it ended, in seconds since 1970.
    pub timestamp: u64,
    /// The same as ISO 8601 has it, in UTC.
    #[serde(default)]
    pub timestamp_iso: String,
    /// What became of it.
    pub status: Status,
    /// Why, unless it is completed.
    pub reason: Option<String>,
    /// Share of the expert's successes.
    pub expert_success_rate: Option<f64>,
    /// Mean steps of them.
    pub expert_mean_steps: Option<f64>,
    /// Their standard deviation.
    pub expert_std_steps: Option<f64>,
    /// Steps that the learner's episodes may take.
    pub max_episode_steps: Option<u32>,
    /// Share of the successes of the last round's learner.
    pub dagger_final_success_rate: Option<f64>,
    /// The same of the best round's.
    pub dagger_best_success_rate: Option<f64>,
    /// The best round, from 0.
    pub best_round: Option<u32>,
    /// Whose labels it learned from: `teacher`, or `privileged` where they came of the known answer.
    pub labels: String,
    /// Each round's metrics.
    pub rounds: Vec<RoundRow>,
}

/// A round in the results.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RoundRow {
    /// Which one, from 0.
    pub round: u32,
    /// How often the expert acted.
    pub beta: f64,
    /// Rows in the buffer.
    pub buffered: u64,
    /// Share of successes.
    pub success_rate: f64,
    /// What else was measured.
    pub metrics: Vec<Metric>,
}

impl MilestoneResult {
    /// One of which nothing is known yet.
    pub fn new(milestone_id: &str, index: usize, status: Status, reason: Option<String>) -> Self {
        MilestoneResult {
            milestone_id: milestone_id.to_owned(),
            index,
            timestamp: 0,
            timestamp_iso: String::new(),
            status,
            reason,
            expert_success_rate: None,
            expert_mean_steps: None,
            expert_std_steps: None,
            max_episode_steps: None,
            dagger_final_success_rate: None,
            dagger_best_success_rate: None,
            best_round: None,
            labels: String::new(),
            rounds: Vec::new(),
        }
    }

    fn end_at(&mut self, timestamp: u64) {
        self.timestamp = timestamp;
        self.timestamp_iso = iso(timestamp);
    }
}

/// Seconds since 1970 as ISO 8601 has them, in UTC.
pub(super) fn iso(timestamp: u64) -> String {
    let (days, seconds) = (timestamp / 86_400, timestamp % 86_400);
    // Days from a 1 March on, in cycles of 400 years of 146,097 days (H. Hinnant, chrono-compatible low-level date
    // algorithms, 2013).
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = 400 * era + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// The results of a run, which are written anew after every milestone.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// In the order of the curriculum.
    pub milestones: Vec<MilestoneResult>,
}

/// The original's columns.
const COLUMNS: [&str; 8] = [
    "milestone_id",
    "index",
    "timestamp",
    "status",
    "expert_success_rate",
    "expert_mean_steps",
    "max_episode_steps",
    "dagger_final_success_rate",
];

impl Results {
    /// Those of `results.json` in a folder; none if there is no such file.
    ///
    /// # Errors
    /// If it cannot be read, or is damaged.
    pub fn read(dir: &Path) -> Result<Self, Error> {
        let path = dir.join("results.json");
        match std::fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text).map_err(|error| Error::Damaged { path, reason: error.to_string() }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Results::default()),
            Err(error) => Err(Error::io(&path)(error)),
        }
    }

    /// The result of a milestone.
    pub fn get(&self, id: &str) -> Option<&MilestoneResult> {
        self.milestones.iter().find(|result| result.milestone_id == id)
    }

    /// Puts a result in the place of an earlier one of that milestone. One that only says that it was skipped does not
    /// replace what is known, and one that says the same as before keeps its time.
    pub fn put(&mut self, mut result: MilestoneResult, now: u64) {
        let old = self.milestones.iter().position(|old| old.milestone_id == result.milestone_id);
        if let Some(old) = old {
            if result.status == Status::Skipped {
                return;
            }
            result.end_at(self.milestones[old].timestamp);
            if result != self.milestones[old] {
                result.end_at(now);
                self.milestones[old] = result;
            }
        } else {
            result.end_at(now);
            self.milestones.push(result);
        }
        self.milestones.sort_by_key(|result| result.index);
    }

    /// The table with the original's columns; what is not known is empty.
    pub fn csv(&self) -> String {
        let mut table = csv::Writer::from_writer(Vec::new());
        table.write_record(COLUMNS).expect("memory can be written");
        let number = |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
        for result in &self.milestones {
            let cells = [
                result.milestone_id.clone(),
                result.index.to_string(),
                result.timestamp.to_string(),
                result.status.name().to_owned(),
                number(result.expert_success_rate),
                number(result.expert_mean_steps),
                result.max_episode_steps.map_or(String::new(), |steps| steps.to_string()),
                number(result.dagger_final_success_rate),
            ];
            table.write_record(cells).expect("as many cells as columns");
        }
        String::from_utf8(table.into_inner().expect("flushed")).expect("cells are text")
    }

    /// Writes `results.csv` and `results.json`.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn write(&self, dir: &Path) -> Result<(), Error> {
        let json = serde_json::to_string_pretty(self).expect("plain data") + "\n";
        write_atomically(&dir.join("results.json"), json.as_bytes())?;
        write_atomically(&dir.join("results.csv"), self.csv().as_bytes())
    }
}
