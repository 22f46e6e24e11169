//! The whole configuration of a search on one screen.

use std::time::Duration;

use sr_expr::Semantics;
use strum::IntoStaticStr;

use crate::Score;

/// Deepest random tree. The reference grows a tree whole before it looks at its size, and a tree has 1.2 to 1.4 times as
/// many nodes a level down: at depth 20 some hundreds on average, at depth 60 more than there is time for.
const MAX_DEPTH: usize = 20;

/// Bounds on the trees that a search makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Limits {
    /// Most nodes of an individual. An offspring above it is replaced by its parent.
    pub max_size: usize,
    /// Deepest new random tree, in edges, 20 at most. Crossover and mutation check the size alone, as the reference engine does.
    pub max_depth: usize,
}

/// Who lives on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "lowercase"))]
#[strum(serialize_all = "lowercase")]
pub enum Survival {
    /// The children replace the population; only the elite stays.
    Generational,
    /// The best of parents and children together ((μ + λ) selection); survivors keep the origin "elite".
    Plus,
}

impl Survival {
    /// The name in JSON and flags.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// What the error of an individual is, and so what a search makes small.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, IntoStaticStr)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "lowercase"))]
#[strum(serialize_all = "lowercase")]
pub enum Objective {
    /// The reference engine's: the mean squared error over the rows whose prediction is finite and below 1e6 in
    /// magnitude, if they are at least half of the rows; an individual with fewer has a fitness of −1e10.
    /// Errors, parsimony and early stop are in the target's own units.
    Masked,
    /// The mean squared error over *all* rows, weighted where the instance has weights and divided by the square of
    /// [`Instance::scale`](crate::Instance::scale): 0 is exact, 1 is no better than the mean of y, and a change of
    /// units changes nothing. For a target that varies it is 1 − R². One prediction that is NaN or infinite makes an
    /// individual the worst there is. Parsimony and early stop are on this scale too.
    Mse,
}

impl Objective {
    /// All of them.
    pub const ALL: [Objective; 2] = [Objective::Masked, Objective::Mse];

    /// The name in files and flags.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The score of an individual that is not valid; no valid one's fitness is below it with [`Objective::Mse`].
    pub fn invalid(self) -> Score {
        match self {
            Objective::Masked => Score::INVALID,
            Objective::Mse => Score { mse: f64::INFINITY, fitness: f64::NEG_INFINITY },
        }
    }
}

/// Settings of a search. [`SearchConfig::basic`] is the reference behaviour.
///
/// Write it as `SearchConfig { generations: 100, ..SearchConfig::default() }`: later versions add settings. With feature
/// `serde` it can be written and read; an objective that is the reference's is left out, as in the first trace files.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct SearchConfig {
    /// Individuals in a generation, at least 2. 20 as in recorded traces; the reference engine's own default is 100.
    pub population_size: usize,
    /// Populations in the trajectory, the initial one included: `g` records generations 0 to `g − 1`.
    pub generations: u32,
    /// Individuals drawn, without replacement, for one tournament; no more than the population has.
    pub tournament_size: usize,
    /// Probability of crossover; otherwise mutation.
    pub crossover_probability: f64,
    /// Best individuals that are copied to the front of the next generation, 0 or 1.
    pub elitism: usize,
    /// What is made small.
    #[cfg_attr(feature = "serde", serde(default = "masked", skip_serializing_if = "is_masked"))]
    pub objective: Objective,
    /// Penalty per node, subtracted from fitness (Koza-style parsimony), on the objective's scale; 0 turns it off.
    pub parsimony_coefficient: f64,
    /// Size and depth limits.
    pub limits: Limits,
    /// Guarded or plain operators.
    pub semantics: Semantics,
    /// Error, on the objective's scale, at which a search counts as solved; `None` never stops early. With
    /// [`Objective::Mse`] an error counts that the digits of the target do not allow to tell from zero
    /// ([`Instance::tolerance`](crate::Instance::tolerance)), whatever is said here.
    pub early_stop_mse: Option<f64>,
    /// Generations to go on after solving, looking for a simpler form; starts anew at each improvement.
    pub extra_generations: u32,
    /// Who lives on.
    pub survival: Survival,
    /// Whether a form may be met only once in a search.
    pub unique: bool,
    /// Evaluations allowed, `None` for no limit. An evaluation is one individual whose fitness is needed.
    pub max_evaluations: Option<u64>,
    /// Wall-clock time allowed, `None` for no limit. Results then depend on the machine.
    pub time_limit: Option<Duration>,
}

#[cfg(feature = "serde")]
fn masked() -> Objective {
    Objective::Masked
}

#[cfg(feature = "serde")]
fn is_masked(objective: &Objective) -> bool {
    *objective == Objective::Masked
}

/// The settings of [`SearchConfig::basic`].
impl Default for SearchConfig {
    fn default() -> Self {
        SearchConfig::basic()
    }
}

impl SearchConfig {
    /// The reference engine ("BasicSR"): tournament 3, crossover 0.7, elitism 1, parsimony 0.01 per node, protected
    /// operators.
    pub fn basic() -> Self {
        SearchConfig {
            population_size: 20,
            generations: 50,
            tournament_size: 3,
            crossover_probability: 0.7,
            elitism: 1,
            objective: Objective::Masked,
            parsimony_coefficient: 0.01,
            limits: Limits { max_size: 25, max_depth: 10 },
            semantics: Semantics::Protected,
            early_stop_mse: Some(3e-16),
            extra_generations: 500,
            survival: Survival::Generational,
            unique: false,
            max_evaluations: None,
            time_limit: None,
        }
    }

    /// Checks ranges.
    ///
    /// # Errors
    /// Names the first field that is out of range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let rules: [(&'static str, bool, &'static str); 9] = [
            ("population_size", (2..=1 << 20).contains(&self.population_size), "2 to 1048576"),
            ("generations", self.generations >= 1, "at least 1"),
            ("tournament_size", (1..=self.population_size).contains(&self.tournament_size), "1 to population_size"),
            ("crossover_probability", (0.0..=1.0).contains(&self.crossover_probability), "0 to 1"),
            ("elitism", self.elitism <= 1, "0 or 1"),
            ("parsimony_coefficient", (0.0..f64::MAX).contains(&self.parsimony_coefficient), "0 or more"),
            ("max_size", (1..=4096).contains(&self.limits.max_size), "1 to 4096"),
            ("max_depth", self.limits.max_depth <= MAX_DEPTH, "0 to 20"),
            ("early_stop_mse", self.early_stop_mse.is_none_or(|mse| mse >= 0.0), "0 or more"),
        ];
        match rules.into_iter().find(|(_, holds, _)| !holds) {
            Some((field, _, expected)) => Err(ConfigError { field, expected }),
            None => Ok(()),
        }
    }
}

/// A setting out of range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} must be {expected}")]
pub struct ConfigError {
    /// The setting.
    pub field: &'static str,
    /// What it may be.
    pub expected: &'static str,
}
