//! The whole configuration of a search on one screen.

use std::borrow::Cow;
use std::time::Duration;

use sr_expr::{Semantics, Tree};
use strum::IntoStaticStr;

use crate::{ConstantFitter, Instance, Score};

/// The greatest depth of a random tree. The reference engine grows a whole tree before it looks at its size, and a tree
/// has 1.2 to 1.4 times as many nodes with each level: some hundreds on average at depth 20, too many to grow at depth
/// 60.
const MAX_DEPTH: usize = 20;

/// Bounds on the trees that a search makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Limits {
    /// The largest number of nodes of an individual. A larger offspring is replaced by its parent.
    pub max_size: usize,
    /// The greatest depth of a new random tree, in edges; at most 20. Crossover and mutation check the size alone, as
    /// the reference engine does.
    pub max_depth: usize,
}

/// The rule by which the individuals of the next generation are selected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "lowercase"))]
#[strum(serialize_all = "lowercase")]
pub enum Survival {
    /// The children replace the population, except for the elite.
    Generational,
    /// The best of parents and children together live on ((μ + λ) selection). Surviving parents have the origin
    /// "elite".
    Plus,
    /// Half of the places go to the best of parents and children by non-dominated sorting on error and size, with
    /// crowding (NSGA-II: Deb et al., 2002), half to the fittest of the others. Of individuals with the same size and
    /// error one is kept. The population is in this order: a smaller index is a better rank.
    Pareto,
}

/// The operators by which the [`Expert`](crate::Expert) makes children.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, IntoStaticStr)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "lowercase"))]
#[strum(serialize_all = "lowercase")]
pub enum Variation {
    /// Subtree crossover and subtree mutation, as in the reference engine.
    #[default]
    Subtree,
    /// Subtree crossover, and mutations of nodes: one is replaced, inserted, deleted or moved, a term or factor is added,
    /// constants are drawn anew.
    Node,
}

/// Least squares before an individual is scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Fitting {
    /// The steps of Levenberg and Marquardt by which the constants of a child are fitted. What is fitted lives on
    /// (Lamarckian evolution). 0 leaves constants as they are.
    pub steps: u32,
}

impl Survival {
    /// Returns the name that JSON and flags use.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// The error of an individual, which a search minimises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, IntoStaticStr)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "lowercase"))]
#[strum(serialize_all = "lowercase")]
pub enum Objective {
    /// The reference engine's error: the mean squared error over the rows whose prediction is finite and below 1e6 in
    /// magnitude. An individual with fewer such rows than half of all has a fitness of −1e10. Errors, parsimony and
    /// early stop are in the target's own units.
    Masked,
    /// The mean squared error over *all* rows, weighted where the instance has weights and divided by the square of
    /// [`Instance::scale`](crate::Instance::scale). 0 is exact, 1 is no better than the mean of y, and a change of
    /// units changes nothing. It is 1 − R² if the target varies. An individual with one prediction that is NaN or
    /// infinite is the worst there is. Parsimony and early stop are on this scale too.
    Mse,
}

impl Objective {
    /// All objectives.
    pub const ALL: [Objective; 2] = [Objective::Masked, Objective::Mse];

    /// Returns the name that files and flags use.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Returns the score of an individual that is not valid. With [`Objective::Mse`] no valid individual has a lower
    /// fitness.
    pub fn invalid(self) -> Score {
        match self {
            Objective::Masked => Score::INVALID,
            Objective::Mse => Score { mse: f64::INFINITY, fitness: f64::NEG_INFINITY },
        }
    }
}

/// The settings of a search. [`SearchConfig::default`] finds most; [`SearchConfig::basic`] is the reference engine, whose
/// records a learner is trained on.
///
/// Write it as `SearchConfig { generations: 100, ..SearchConfig::default() }`: later versions add settings. With feature
/// `serde` it can be written and read; an objective that is the reference's is left out, as in the first trace files.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct SearchConfig {
    /// The number of individuals in a generation, at least 2. Preset basic has 20, as in recorded traces; the reference
    /// engine's default is 100.
    pub population_size: usize,
    /// The number of populations in the trajectory, the initial one included: `g` gives generations 0 to `g − 1`.
    pub generations: u32,
    /// The number of individuals drawn, without replacement, for one tournament; at most `population_size`.
    pub tournament_size: usize,
    /// The probability that a child is made by crossover and not by mutation.
    pub crossover_probability: f64,
    /// The number of best individuals that are copied to the front of the next generation, 0 or 1.
    pub elitism: usize,
    /// The error that the search minimises.
    #[cfg_attr(feature = "serde", serde(default = "masked", skip_serializing_if = "is_masked"))]
    pub objective: Objective,
    /// The penalty per node, on the objective's scale, which is subtracted from fitness (Koza-style parsimony); 0 turns
    /// it off.
    pub parsimony_coefficient: f64,
    /// The limits on size and depth.
    pub limits: Limits,
    /// The semantics of the operators, protected or plain.
    pub semantics: Semantics,
    /// The error, on the objective's scale, at or below which a search counts as solved; `None` never stops early. With
    /// [`Objective::Mse`] the search also counts as solved at an error up to
    /// [`Instance::tolerance`](crate::Instance::tolerance), which the digits of the target cannot tell from zero.
    pub early_stop_mse: Option<f64>,
    /// The number of generations to go on after solving, in search of a simpler expression. The count starts again at
    /// each improvement.
    pub extra_generations: u32,
    /// The rule by which the next generation is selected.
    pub survival: Survival,
    /// The operators of the expert.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "is_default"))]
    pub variation: Variation,
    /// With it, an individual f has the error of a + b·f, with the a and b of least squares (Keijzer, 2003), and its own
    /// constants may be fitted too. It needs [`Objective::Mse`]. Under [`unique`](Self::unique) two expressions are then
    /// the same if they have the same [structure](sr_expr::Tree::structure) inside of a and b.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "is_default"))]
    pub fitting: Option<Fitting>,
    /// Whether the search takes each expression only once.
    pub unique: bool,
    /// The number of evaluations allowed, `None` for no limit. An evaluation is one individual whose fitness is needed.
    pub max_evaluations: Option<u64>,
    /// The wall-clock time allowed, `None` for no limit. With a limit, results depend on the machine.
    pub time_limit: Option<Duration>,
}

#[cfg(feature = "serde")]
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(feature = "serde")]
fn masked() -> Objective {
    Objective::Masked
}

#[cfg(feature = "serde")]
fn is_masked(objective: &Objective) -> bool {
    *objective == Objective::Masked
}

/// Has the settings of preset `default`: constants are fitted, individuals are kept by a Pareto order of error and size,
/// operators have their plain meaning. See `docs/algorithms/search.md`.
impl Default for SearchConfig {
    fn default() -> Self {
        SearchConfig {
            population_size: 120,
            generations: 100,
            tournament_size: 3,
            crossover_probability: 0.3,
            elitism: 0,
            objective: Objective::Mse,
            parsimony_coefficient: 1e-4,
            limits: Limits { max_size: 30, max_depth: 4 },
            semantics: Semantics::Ieee,
            early_stop_mse: Some(1e-20),
            extra_generations: 20,
            survival: Survival::Pareto,
            variation: Variation::Node,
            fitting: Some(Fitting { steps: SearchConfig::DEFAULT_STEPS }),
            unique: true,
            max_evaluations: None,
            time_limit: None,
        }
    }
}

impl SearchConfig {
    /// The steps of Levenberg and Marquardt for each child by default.
    pub const DEFAULT_STEPS: u32 = 4;

    /// Returns the settings of the reference engine ("BasicSR"): tournament 3, crossover 0.7, elitism 1, parsimony 0.01
    /// per node, protected operators.
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
            variation: Variation::Subtree,
            fitting: None,
            unique: false,
            max_evaluations: None,
            time_limit: None,
        }
    }

    /// Returns the formula whose error an individual of this tree has: where constants are [fitted](Self::fitting) that is
    /// a + b · `tree` with the a and b of least squares on the instance's rows, else `tree` itself. O(size · rows).
    pub fn formula_of<'a>(&self, tree: &'a Tree, instance: &Instance) -> Cow<'a, Tree> {
        match self.fitting {
            Some(_) => Cow::Owned(ConstantFitter::new().scale(tree, instance, self.semantics).tree.to_owned()),
            None => Cow::Borrowed(tree),
        }
    }

    /// Returns a number that is equal for expressions that [`unique`](Self::unique) takes for the same one.
    pub fn identity(&self, tree: &Tree) -> u64 {
        match self.fitting {
            Some(_) => tree.core().structure(),
            None => tree.hash64(),
        }
    }

    /// Checks that every field is in its range.
    ///
    /// # Errors
    /// Returns an error that names the first field out of range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let can_fit = self.fitting.is_none() || self.objective == Objective::Mse;
        let rules: [(&'static str, bool, &'static str); 10] = [
            ("population_size", (2..=1 << 20).contains(&self.population_size), "2 to 1048576"),
            ("generations", self.generations >= 1, "at least 1"),
            ("tournament_size", (1..=self.population_size).contains(&self.tournament_size), "1 to population_size"),
            ("crossover_probability", (0.0..=1.0).contains(&self.crossover_probability), "0 to 1"),
            ("elitism", self.elitism <= 1, "0 or 1"),
            ("parsimony_coefficient", (0.0..f64::MAX).contains(&self.parsimony_coefficient), "0 or more"),
            ("max_size", (1..=4096).contains(&self.limits.max_size), "1 to 4096"),
            ("max_depth", self.limits.max_depth <= MAX_DEPTH, "0 to 20"),
            ("objective", can_fit, "mse where constants are fitted"),
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
    /// The name of the setting.
    pub field: &'static str,
    /// The range of allowed values, as text.
    pub expected: &'static str,
}
