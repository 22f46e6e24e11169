//! Whole data sets: problems, traces of the expert, training examples, and a manifest of them.
//!
//! A [`Plan`] checks all settings before anything is written. [`build()`] builds a folder from it and continues one that
//! was stopped or killed, with the same bytes; [`validate()`] checks a whole folder from its files alone; [`merge()`] joins
//! the shards of a trace.
//!
//! ```text
//! DIR/manifest.json       settings, counts, sizes, SHA-256 of every file; the same for equal builds
//! DIR/problems.sr         the problem set
//! DIR/trace.sr            the searches, but in mode direct
//! DIR/corpus/train.sr     training examples, and val.sr
//! ```
//!
//! ```
//! use sr_engine::SearchConfig;
//! use sr_lab::dataset::{self, CorpusSettings, Plan, ProblemSource, SearchSettings, Settings};
//! use sr_lab::{Ended, Monitor};
//!
//! # fn main() -> anyhow::Result<()> {
//! # let folder = tempfile::tempdir()?;
//! # let out = folder.path().join("set");
//! let config = SearchConfig { generations: 4, ..SearchConfig::basic() };
//! let plan = Plan::new(Settings {
//!     seed: 1,
//!     problems: ProblemSource::Suite("simple".into()),
//!     exclude: Vec::new(),
//!     search: Some(SearchSettings { config, preset: "basic".into(), runs: 2 }),
//!     corpus: CorpusSettings { val_fraction: 0.3, ..CorpusSettings::default() },
//! })?;
//! let built = dataset::build(&plan, &out, &mut Monitor::none())?;
//! assert_eq!(built.ended, Ended::Finished);
//! let traces = built.manifest.traces.expect("a finished build has all stages");
//! assert_eq!(traces.trajectories, 20);
//!
//! // What is there already is kept.
//! assert_eq!(dataset::build(&plan, &out, &mut Monitor::none())?.kept, ["problems", "traces", "corpus"]);
//! let checked = dataset::validate(&out, &[], &mut Monitor::none())?;
//! assert!(checked.failures.is_empty());
//! # Ok(())
//! # }
//! ```

mod build;
mod manifest;
mod merge;
mod plan;
mod validate;

pub use build::{Built, build};
pub(crate) use manifest::check_version;
pub use manifest::{CorpusStage, FileEntry, Formats, MANIFEST, Manifest, ProblemsStage, TracesStage};
pub use merge::{Merge, Merged, Shard, find_problem_set, merge};
pub use plan::{CORPUS, CorpusSettings, PROBLEMS, Plan, ProblemSource, SearchSettings, Settings, TRACE};
pub use validate::{Checked, validate};

use serde_json::Value;

/// Returns the first field in which two values differ: its name, and its value in each.
fn difference<'a>(at: &str, a: &'a Value, b: &'a Value) -> Option<(String, &'a Value, &'a Value)> {
    match (a, b) {
        (Value::Object(map_a), Value::Object(map_b)) => map_a.keys().chain(map_b.keys()).find_map(|key| {
            let at = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
            difference(&at, a.get(key).unwrap_or(&Value::Null), b.get(key).unwrap_or(&Value::Null))
        }),
        _ if a == b => None,
        _ => Some((at.to_owned(), a, b)),
    }
}
