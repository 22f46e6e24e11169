//! The results of milestones, in tables that are written after each milestone.

use std::path::Path;

use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

use crate::rounds::write_atomically;
use crate::{Error, Metric};

/// The status of a milestone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Status {
    /// All of its rounds are done.
    Completed,
    /// The expert did not pass the gate, or an error occurred; the reason has the details.
    Failed,
    /// The milestone was not selected.
    Skipped,
}

impl Status {
    /// Returns the name in files.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// The result of a milestone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MilestoneResult {
    /// The milestone's id.
    pub milestone_id: String,
    /// The milestone's index, from 0.
    pub index: usize,
    /// The time at which it ended, in seconds since 1970.
    pub timestamp: u64,
    /// The same time in UTC, as ISO 8601.
    #[serde(default)]
    pub timestamp_iso: String,
    /// The status of the milestone.
    pub status: Status,
    /// The reason of the status; `None` if it is completed.
    pub reason: Option<String>,
    /// The success rate of the expert.
    pub expert_success_rate: Option<f64>,
    /// Mean steps of the expert's successful episodes.
    pub expert_mean_steps: Option<f64>,
    /// Standard deviation of these steps.
    pub expert_std_steps: Option<f64>,
    /// The most steps of the learner's episodes.
    pub max_episode_steps: Option<u32>,
    /// The success rate of the last round's learner.
    pub dagger_final_success_rate: Option<f64>,
    /// The success rate of the best round's learner.
    pub dagger_best_success_rate: Option<f64>,
    /// The index of the best round, from 0.
    pub best_round: Option<u32>,
    /// The kind of the labels: `teacher`, or `privileged` if they come from the known answer.
    pub labels: String,
    /// The metrics of each round.
    pub rounds: Vec<RoundRow>,
}

/// The metrics of a round.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RoundRow {
    /// The index of the round, from 0.
    pub round: u32,
    /// The probability with which the expert acted.
    pub beta: f64,
    /// The number of rows in the buffer.
    pub buffered: u64,
    /// The success rate of the learner.
    pub success_rate: f64,
    /// All metrics of the evaluation.
    pub metrics: Vec<Metric>,
}

impl MilestoneResult {
    /// Returns a result with nothing but its status.
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

/// Formats seconds since 1970 as ISO 8601, in UTC.
pub(super) fn iso(timestamp: u64) -> String {
    let (days, seconds) = (timestamp / 86_400, timestamp % 86_400);
    // Days are counted from a 1 March, in cycles of 400 years or 146,097 days (H. Hinnant, chrono-compatible low-level
    // date algorithms, 2013).
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

/// The results of a run, which are rewritten after every milestone.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// The results of the milestones, in the order of the curriculum.
    pub milestones: Vec<MilestoneResult>,
}

/// The columns of the original's table.
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
    /// Reads `results.json` of a folder; returns empty results if there is no such file.
    ///
    /// # Errors
    /// If the file cannot be read, or is damaged.
    pub fn read(dir: &Path) -> Result<Self, Error> {
        let path = dir.join("results.json");
        match std::fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text).map_err(|error| Error::Damaged { path, reason: error.to_string() }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Results::default()),
            Err(error) => Err(Error::io(&path)(error)),
        }
    }

    /// Returns the result of a milestone.
    pub fn get(&self, id: &str) -> Option<&MilestoneResult> {
        self.milestones.iter().find(|result| result.milestone_id == id)
    }

    /// Adds a result, or replaces an earlier one of the milestone. A skipped milestone never replaces an earlier
    /// result, and a result that equals the earlier one keeps its time.
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

    /// Returns the table with the original's columns; unknown values are empty.
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
    /// If a file cannot be written.
    pub fn write(&self, dir: &Path) -> Result<(), Error> {
        let json = serde_json::to_string_pretty(self).expect("plain data") + "\n";
        write_atomically(&dir.join("results.json"), json.as_bytes())?;
        write_atomically(&dir.join("results.csv"), self.csv().as_bytes())
    }
}
