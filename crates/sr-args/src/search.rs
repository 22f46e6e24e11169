//! The flags that set a search.

use std::time::Duration;

use anyhow::bail;
use sr_engine::{Limits, Objective, SearchConfig, Survival};
use sr_expr::Semantics;

/// A named set of search settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum SearchPreset {
    /// The reference engine ("BasicSR"): tournament 3, crossover 0.7, elitism 1, parsimony 0.01, protected operators
    Basic,
    /// Constants are fitted, a Pareto order of error and size decides who lives on, operators have their plain meaning:
    /// population 120, generations 100, crossover 0.3, elitism 0, parsimony 1e-4, size 30, extra generations 20
    Default,
}

impl SearchPreset {
    /// The name in headers and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            SearchPreset::Basic => "basic",
            SearchPreset::Default => "default",
        }
    }
}

/// What a search makes small.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ObjectiveArg {
    /// The reference's: rows whose prediction is 1e6 or more in magnitude, or no number, are left out of the error
    Masked,
    /// The mean squared error over all rows, relative to the variance of y
    Mse,
}

/// Which operators a search has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum SemanticsArg {
    /// /, log, sqrt, exp, inv and tan are guarded, so that they have a value everywhere (printed as pdiv, plog, …)
    Protected,
    /// As in mathematics: log(-1) is no number
    Ieee,
}

/// Who lives on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum SurvivalArg {
    /// The children take the population's place; only the elite stays
    Generational,
    /// The best of parents and children together
    Plus,
    /// The best of parents and children by a Pareto order of error and size
    Pareto,
}

/// Settings of a search. What is not given is the preset's; the defaults that flags name are those of preset.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Search settings")]
pub struct SearchArgs {
    /// Settings to start from
    #[arg(long, value_enum, default_value = "basic")]
    pub preset: SearchPreset,
    /// What is made small [default: mse for own data (CSV, Parquet), and else the preset's: masked]
    #[arg(long, value_enum)]
    pub objective: Option<ObjectiveArg>,
    /// Individuals in a generation [default: 20]
    #[arg(long, value_name = "N")]
    pub population_size: Option<usize>,
    /// Populations in a trajectory, the initial one included [default: 50]
    #[arg(long, value_name = "N")]
    pub generations: Option<u32>,
    /// Individuals drawn for one tournament [default: 3]
    #[arg(long, value_name = "N")]
    pub tournament_size: Option<usize>,
    /// Probability of crossover; otherwise mutation [default: 0.7]
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    pub crossover: Option<f64>,
    /// Best individuals that are copied to the next generation, 0 or 1 [default: 1]
    #[arg(long, value_name = "N")]
    pub elitism: Option<usize>,
    /// Penalty per node on the scale of the objective: of the mean squared error with masked, relative to the variance
    /// of y with mse [default: 0.01]
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    pub parsimony: Option<f64>,
    /// Who lives on [default: generational]
    #[arg(long, value_enum)]
    pub survival: Option<SurvivalArg>,
    /// Look at no expression twice in a search [default: true where the expert alone searches own data, which finds more
    /// of the same evaluations]
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "true|false")]
    pub unique: Option<bool>,
    /// Which operators there are [default: protected]
    #[arg(long, value_enum)]
    pub semantics: Option<SemanticsArg>,
    /// Most nodes of an individual made by the expert [default: 25]
    #[arg(long, value_name = "N")]
    pub max_size: Option<usize>,
    /// Deepest new random tree, in edges, 20 at most [default: 10]
    #[arg(long, value_name = "N")]
    pub max_depth: Option<usize>,
    /// Error, on the scale of the objective, at which a problem counts as solved; the search then goes on for the extra
    /// generations. With mse it is 1 - R², and errors that the digits of y do not tell from zero count too
    /// [default: 3e-16]
    #[arg(long, value_name = "ERROR", allow_negative_numbers = true)]
    pub early_stop_mse: Option<f64>,
    /// Generations to go on after solving, looking for a simpler form, but not past --generations [default: 500]
    #[arg(long, value_name = "N")]
    pub extra_generations: Option<u32>,
    /// Stop each search before it exceeds this many evaluations; not less than the population
    #[arg(long, value_name = "N")]
    pub max_evaluations: Option<u64>,
    /// Stop each search after this many seconds; results then depend on the machine
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    pub time_limit: Option<f64>,
}

impl SearchArgs {
    /// The settings, checked.
    ///
    /// - is_own_data: whether the problems are somebody's own table, which is searched for the plain error unless a flag
    ///   says otherwise
    ///
    /// # Errors
    /// If one is out of range.
    pub fn config(&self, is_own_data: bool) -> anyhow::Result<SearchConfig> {
        let preset = match self.preset {
            SearchPreset::Basic => SearchConfig::basic(),
            SearchPreset::Default => SearchConfig::default(),
        };
        let objective = match self.objective {
            None if is_own_data => Objective::Mse,
            None => preset.objective,
            Some(ObjectiveArg::Masked) => Objective::Masked,
            Some(ObjectiveArg::Mse) => Objective::Mse,
        };
        let limit = |seconds| {
            Duration::try_from_secs_f64(seconds)
                .map_err(|_| anyhow::anyhow!("--time-limit {seconds}: expected seconds, from 0 to 1e19"))
        };
        let config = SearchConfig {
            objective,
            population_size: self.population_size.unwrap_or(preset.population_size),
            generations: self.generations.unwrap_or(preset.generations),
            tournament_size: self.tournament_size.unwrap_or(preset.tournament_size),
            crossover_probability: self.crossover.unwrap_or(preset.crossover_probability),
            elitism: self.elitism.unwrap_or(preset.elitism),
            parsimony_coefficient: self.parsimony.unwrap_or(preset.parsimony_coefficient),
            limits: Limits {
                max_size: self.max_size.unwrap_or(preset.limits.max_size),
                max_depth: self.max_depth.unwrap_or(preset.limits.max_depth),
            },
            semantics: match self.semantics {
                None => preset.semantics,
                Some(SemanticsArg::Protected) => Semantics::Protected,
                Some(SemanticsArg::Ieee) => Semantics::Ieee,
            },
            early_stop_mse: self.early_stop_mse.map_or(preset.early_stop_mse, Some),
            extra_generations: self.extra_generations.unwrap_or(preset.extra_generations),
            survival: match self.survival {
                None => preset.survival,
                Some(SurvivalArg::Generational) => Survival::Generational,
                Some(SurvivalArg::Plus) => Survival::Plus,
                Some(SurvivalArg::Pareto) => Survival::Pareto,
            },
            variation: preset.variation,
            fitting: preset.fitting,
            unique: self.unique.unwrap_or(preset.unique),
            max_evaluations: self.max_evaluations.or(preset.max_evaluations),
            time_limit: self.time_limit.map(limit).transpose()?.or(preset.time_limit),
        };
        self.check(&config)?;
        Ok(config)
    }

    /// The settings of searches by the expert alone, checked: as [`config`](Self::config), but searches of own data look at
    /// no expression twice unless a flag says otherwise.
    ///
    /// # Errors
    /// If one is out of range.
    pub fn expert_config(&self, is_own_data: bool) -> anyhow::Result<SearchConfig> {
        let config = self.config(is_own_data)?;
        Ok(SearchConfig { unique: self.unique.unwrap_or(config.unique || is_own_data), ..config })
    }

    /// Says what is wrong in the words of the flags.
    fn check(&self, config: &SearchConfig) -> anyhow::Result<()> {
        let population = config.population_size;
        if let Some(max) = config.max_evaluations.filter(|&max| max < population as u64) {
            bail!("--max-evaluations {max} is less than the {population} individuals of --population-size");
        }
        if population >= 2 && config.tournament_size > population {
            bail!(
                "--tournament-size {} is more than the {population} individuals of --population-size",
                config.tournament_size
            );
        }
        config.validate().map_err(|error| {
            let flag = match error.field {
                "crossover_probability" => "crossover",
                "parsimony_coefficient" => "parsimony",
                field => field,
            };
            anyhow::anyhow!("--{} must be {}", flag.replace('_', "-"), error.expected)
        })
    }
}
