//! The header of a trace file.

use serde::{Deserialize, Serialize};
use sr_engine::{Objective, PrimitiveSet, SearchConfig};
use strum::IntoStaticStr;

/// The latest version of trace files. Files of searches with [`Objective::Masked`] are still version 2, byte for byte,
/// and others of searches version 3.
pub const TRACE_VERSION: u32 = 4;

/// The properties that every trajectory of a file has in common. Equal runs have equal headers, which hold no times,
/// paths, hosts or threads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TraceHeader {
    /// The name of the problem set's file, without folders.
    pub problems: String,
    /// The names of the run's operators, in table order. Those of a trajectory may differ, see
    /// [`Trajectory::primitives`](crate::Trajectory::primitives).
    pub operators: Vec<String>,
    /// The run's constants. Those of a trajectory may differ too.
    pub constants: Vec<f64>,
    /// The search's settings.
    pub engine: SearchConfig,
    /// The name of the preset that the settings started from.
    pub preset: String,
    /// The kind of policy that proposed the offspring.
    pub policy: PolicyKind,
    /// The id of the learner's checkpoint, if there was a learner.
    pub checkpoint: Option<String>,
    /// The settings for sampling the learner's children, if there was a learner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampling: Option<SamplingSettings>,
    /// The run's seed; each trajectory has its own.
    pub seed: u64,
    /// Whether the trajectories carry labels.
    pub dagger: bool,
    /// The origin of the labelled states: `basic_sr` for the expert's, `neural_sr` for a learner's.
    pub original_source: Option<String>,
    /// Whether a generation is an epoch of a fit with many populations: some formulas of its front, see
    /// `docs/formats.md`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub epochs: bool,
}

/// The settings for sampling a learner's children.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SamplingSettings {
    /// The divisor of the logits; 0 takes the likeliest token.
    pub temperature: f64,
    /// The number of likeliest tokens that are sampled from.
    pub top_k: Option<usize>,
    /// The probability that the sampled tokens hold: only the fewest tokens that hold this much are sampled from.
    pub top_p: Option<f64>,
    /// Whether the texts of a state's children all differ.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub distinct: bool,
    /// The largest number of nodes of a child.
    pub max_child_size: usize,
    /// Whether a grammar ruled out everything that is no expression.
    #[serde(default)]
    pub grammar: bool,
    /// The rules that forbade more than that.
    #[serde(default)]
    pub rules: Vec<String>,
    /// The condition that children were sampled under, such as `ALL` or `GAIN_4`; `None` in older files.
    #[serde(default)]
    pub condition: Option<String>,
    /// The rule for which children were the learner's in a search shared with the expert, such as `child 0.5` or `every
    /// 3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<String>,
}

/// The kind of policy that proposed the offspring of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum PolicyKind {
    /// Genetic programming.
    Expert,
    /// A learner.
    Neural,
    /// An expert and a learner.
    Hybrid,
}

impl PolicyKind {
    /// Returns the name that files and tables use.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Returns the name that labelled traces use: `basic_sr`, or `neural_sr` where a learner took part.
    pub fn source_name(self) -> &'static str {
        match self {
            PolicyKind::Expert => "basic_sr",
            PolicyKind::Neural | PolicyKind::Hybrid => "neural_sr",
        }
    }
}

impl TraceHeader {
    /// Returns the version of a file with this header. It is 2, and 3 where errors are relative to the target, because
    /// earlier programs would read them as errors in the target's units. It is 4 where generations are epochs, which
    /// earlier programs would read as those of one population.
    pub fn version(&self) -> u32 {
        match self.engine.objective {
            _ if self.epochs => 4,
            Objective::Masked => 2,
            Objective::Mse => 3,
        }
    }

    /// Makes the header of a run of the expert.
    pub fn of_expert(
        problems: &str,
        primitives: &PrimitiveSet,
        engine: &SearchConfig,
        preset: &str,
        seed: u64,
    ) -> Self {
        TraceHeader {
            problems: problems.to_owned(),
            operators: primitives.ops().iter().map(|op| op.name().to_owned()).collect(),
            constants: primitives.constants().to_vec(),
            engine: engine.clone(),
            preset: preset.to_owned(),
            policy: PolicyKind::Expert,
            checkpoint: None,
            sampling: None,
            seed,
            dagger: false,
            original_source: None,
            epochs: false,
        }
    }
}
