//! The flags that choose labels.

use anyhow::bail;
use clap::ValueEnum;
use sr_dagger::{Draws, ExpertConfig, FormulaSource, LabelMode, Labelling, Telling, Weights};

/// Which labels the states of a trace get.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Labels")]
pub struct LabelArgs {
    /// Which children of the expert become labels
    #[arg(long, value_enum, default_value_t = LabelsArg::All)]
    pub labels: LabelsArg,
    /// Children of the expert to choose from in each state; auto draws until four different ones improve on the best
    /// individual, at most 1024 [default: auto; --labels top-k, best-of-k, pooled]
    #[arg(long, value_name = "K", value_parser = samples)]
    pub samples: Option<Draws>,
    /// Labels of a state at most [default: 4; --labels top-k, pooled]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub keep: Option<u32>,
    /// Generations that the expert goes on from a state [default: 20; --labels lineage]
    #[arg(long, value_name = "H", value_parser = clap::value_parser!(u32).range(1..))]
    pub horizon: Option<u32>,
    /// The formula that labels lead to [default: given; --labels path, target]
    #[arg(long, value_enum, value_name = "WHOSE")]
    pub formula: Option<FormulaArg>,
    /// How much labels count in training
    #[arg(long, value_enum, default_value_t = WeightsArg::Equal)]
    pub weights: WeightsArg,
}

/// A label mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LabelsArg {
    /// All children of one generation: what the expert would do
    All,
    /// The best new forms of many children
    TopK,
    /// The best new form of many children
    BestOfK,
    /// Children that the expert's best individual descends from some generations later
    Lineage,
    /// The best new forms of many children and of those that the search made of the state itself
    Pooled,
    /// A step towards a formula of the problem, see --formula
    Path,
    /// A formula of the problem, see --formula
    Target,
}

/// Whose formula labels lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FormulaArg {
    /// The problem's own, which has to be known
    Given,
    /// The one that the search found at its end, so that nobody has to know one; a search that solved nothing gets no labels
    Found,
}

/// How much labels count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum WeightsArg {
    /// All alike
    Equal,
    /// By the decades that the error falls below that of the best individual, at most 1; what improves nothing has none
    Gain,
}

/// Of `--samples`.
fn samples(text: &str) -> Result<Draws, String> {
    match text {
        "auto" => Ok(Draws::UntilImproved),
        number => match number.parse() {
            Ok(draws @ 1..=1_000_000) => Ok(Draws::Exactly(draws)),
            _ => Err("expected auto, or a number from 1 to 1000000".into()),
        },
    }
}

impl LabelArgs {
    /// What is to be done.
    ///
    /// # Errors
    /// Naming the flag that does not go with `--labels`.
    pub fn labelling(&self) -> anyhow::Result<Labelling> {
        let (mode, telling) = match self.labels {
            LabelsArg::All => (LabelMode::All, None),
            LabelsArg::TopK => (LabelMode::TopK, None),
            LabelsArg::BestOfK => (LabelMode::BestOfK, None),
            LabelsArg::Lineage => (LabelMode::Lineage, None),
            LabelsArg::Pooled => (LabelMode::Pooled, None),
            LabelsArg::Path => (LabelMode::All, Some(Telling::Path)),
            LabelsArg::Target => (LabelMode::All, Some(Telling::Target)),
        };
        let name = telling.map_or(mode.name(), Telling::name);
        let draws = matches!(mode, LabelMode::TopK | LabelMode::BestOfK | LabelMode::Pooled);
        let fits = [
            ("--samples", self.samples.is_some(), draws),
            ("--keep", self.keep.is_some(), draws && mode != LabelMode::BestOfK),
            ("--horizon", self.horizon.is_some(), mode == LabelMode::Lineage),
            ("--formula", self.formula.is_some(), telling.is_some()),
            ("--weights", self.weights != WeightsArg::Equal, telling.is_none()),
        ];
        if let Some((flag, ..)) = fits.into_iter().find(|&(_, given, fits)| given && !fits) {
            bail!("{flag} has no effect with --labels {name}");
        }
        if let Some(telling) = telling {
            let found = self.formula == Some(FormulaArg::Found);
            return Ok(Labelling::Formula(telling, if found { FormulaSource::Found } else { FormulaSource::Given }));
        }
        let default = ExpertConfig::default();
        Ok(Labelling::Expert(ExpertConfig {
            mode,
            draws: self.samples.unwrap_or(default.draws),
            keep: self.keep.unwrap_or(default.keep),
            horizon: self.horizon.unwrap_or(default.horizon),
            weights: if self.weights == WeightsArg::Gain { Weights::Gain } else { Weights::Equal },
        }))
    }
}
