//! What holds for every trajectory of a file.

use serde::{Deserialize, Serialize};
use sr_engine::{Objective, PrimitiveSet, SearchConfig};
use strum::IntoStaticStr;

/// The latest version of trace files. Files of searches with [`Objective::Masked`] are of version 2 still, byte for byte.
pub const TRACE_VERSION: u32 = 3;

/// What every trajectory of a file has in common. Equal runs have equal headers: no times, paths, hosts or threads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TraceHeader {
    /// Name of the problem set's file, without folders.
    pub problems: String,
    /// Names of the run's operators, in table order; a trajectory's own count, see
    /// [`Trajectory::primitives`](crate::Trajectory::primitives).
    pub operators: Vec<String>,
    /// The run's constants, likewise.
    pub constants: Vec<f64>,
    /// The search's settings.
    pub engine: SearchConfig,
    /// Name of the preset that the settings started from.
    pub preset: String,
    /// Who proposed the offspring.
    pub policy: PolicyKind,
    /// The learner's checkpoint, if there was one, by its id.
    pub checkpoint: Option<String>,
    /// How the learner's children were sampled, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampling: Option<SamplingSettings>,
    /// The run's seed; each trajectory has its own.
    pub seed: u64,
    /// Whether the trajectories carry labels.
    pub dagger: bool,
    /// Whose states were labelled: `basic_sr` for the expert's own, `neural_sr` for a learner's.
    pub original_source: Option<String>,
}

/// How a learner's children were sampled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SamplingSettings {
    /// Divides the logits; 0 takes the likeliest token.
    pub temperature: f64,
    /// Only this many likeliest tokens.
    pub top_k: Option<usize>,
    /// Only the fewest tokens that hold this much probability.
    pub top_p: Option<f64>,
    /// Whether the texts of a state's children all differ.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub distinct: bool,
    /// Most nodes of a child.
    pub max_child_size: usize,
    /// Whether a grammar left nothing illegal to be written.
    #[serde(default)]
    pub grammar: bool,
    /// What it forbade beside the illegal.
    #[serde(default)]
    pub rules: Vec<String>,
    /// What children were asked to be, such as `ALL` or `GAIN_4`; older files do not tell.
    #[serde(default)]
    pub condition: Option<String>,
    /// Which children were the learner's in a search shared with the expert, such as `child 0.5` or `every 3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<String>,
}

/// Who proposed the offspring of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum PolicyKind {
    /// Genetic programming.
    Expert,
    /// A learner.
    Neural,
    /// Both.
    Hybrid,
}

impl PolicyKind {
    /// The name in files and tables.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// What labelled traces call it: `basic_sr`, or `neural_sr` where a learner took part.
    pub fn source_name(self) -> &'static str {
        match self {
            PolicyKind::Expert => "basic_sr",
            PolicyKind::Neural | PolicyKind::Hybrid => "neural_sr",
        }
    }
}

impl TraceHeader {
    /// The version of a file with this header: 2, and 3 where errors are relative to the target, which earlier programs
    /// would take for errors in its units.
    pub fn version(&self) -> u32 {
        match self.engine.objective {
            Objective::Masked => 2,
            Objective::Mse => 3,
        }
    }

    /// The header of a run of the expert.
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
        }
    }
}
