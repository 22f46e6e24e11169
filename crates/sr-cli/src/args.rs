//! Flags that more than one binary has.

use std::time::Duration;

use sr_engine::SearchConfig;
use sr_prompt::{Condition, Rules};

/// A named set of search settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Preset {
    /// The reference engine ("BasicSR"): tournament 3, crossover 0.7, elitism 1, parsimony 0.01, protected operators
    Basic,
}

impl Preset {
    /// The name in headers and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Preset::Basic => "basic",
        }
    }
}

/// Settings of a search, on top of a preset.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Search settings")]
pub struct SearchArgs {
    /// Settings to start from
    #[arg(long, value_enum, default_value = "basic")]
    pub preset: Preset,
    /// Individuals in a generation
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub population_size: usize,
    /// Populations in a trajectory, the initial one included
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub generations: u32,
    /// Most nodes of an individual made by the expert
    #[arg(long, value_name = "N", default_value_t = 25)]
    pub max_size: usize,
    /// Deepest new random tree, in edges
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub max_depth: usize,
    /// Mean squared error at which a problem counts as solved and the search stops
    #[arg(long, value_name = "MSE", default_value_t = 3e-16)]
    pub early_stop_mse: f64,
    /// Generations to go on after solving, looking for a simpler form
    #[arg(long, value_name = "N", default_value_t = 500)]
    pub extra_generations: u32,
    /// Stop each search before it exceeds this many evaluations
    #[arg(long, value_name = "N")]
    pub max_evaluations: Option<u64>,
    /// Stop each search after this many seconds; results then depend on the machine
    #[arg(long, value_name = "SECONDS")]
    pub time_limit: Option<f64>,
}

impl SearchArgs {
    /// The settings, checked.
    ///
    /// # Errors
    /// If one is out of range.
    pub fn config(&self) -> anyhow::Result<SearchConfig> {
        let mut config = match self.preset {
            Preset::Basic => SearchConfig::basic(),
        };
        config.population_size = self.population_size;
        config.generations = self.generations;
        config.limits.max_size = self.max_size;
        config.limits.max_depth = self.max_depth;
        config.early_stop_mse = Some(self.early_stop_mse);
        config.extra_generations = self.extra_generations;
        config.max_evaluations = self.max_evaluations;
        let limit = |seconds| {
            Duration::try_from_secs_f64(seconds)
                .map_err(|_| anyhow::anyhow!("--time-limit {seconds}: expected seconds, 0 or more"))
        };
        config.time_limit = self.time_limit.map(limit).transpose()?;
        config.validate()?;
        Ok(config)
    }
}

/// How a learner's children are sampled.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Sampling from the learner")]
pub struct SamplingArgs {
    /// Divides the logits; 0 takes the likeliest token
    #[arg(long, value_name = "T", default_value_t = 0.8)]
    pub temperature: f64,
    /// Sample among this many likeliest tokens only
    #[arg(long, value_name = "K")]
    pub top_k: Option<usize>,
    /// Sample among the fewest likeliest tokens that hold this much probability
    #[arg(long, value_name = "P")]
    pub top_p: Option<f64>,
    /// Sample the children of a state without replacement: no text twice. Other words for the same formula are another
    /// text. Where there are fewer texts than children, the expert makes the rest. An error with mode autoregressive,
    /// which writes all children as one text
    #[arg(long)]
    pub distinct: bool,
    /// Most nodes of a child
    #[arg(long, value_name = "N", default_value_t = 63)]
    pub max_child_size: usize,
    /// Most positions in one model call; larger batches are split, with the same results [default: 32768, on a GPU 524288]
    #[arg(long, value_name = "N")]
    pub max_batch_tokens: Option<usize>,
    /// Whether only legal expressions can be written; off leaves it to the model, and children that are none are replaced
    #[arg(long, value_enum, default_value = "on")]
    pub grammar: Switch,
    /// What the grammar forbids beside the illegal
    #[arg(long, value_enum, value_delimiter = ',', value_name = "RULE,…")]
    pub rules: Vec<Rule>,
    /// What kind of children to ask for: ALL for what the expert would do, GAIN_0 to GAIN_4 for children that gain so much
    /// [default: ALL, or the highest gain of a checkpoint that has not learned it]
    #[arg(long, value_name = "NAME", value_parser = condition)]
    pub condition: Option<Condition>,
    /// What the checkpoint has to write; told by the checkpoint itself unless given, and an error if it differs
    #[arg(long, value_enum)]
    pub mode: Option<LearnerMode>,
}

fn condition(text: &str) -> Result<Condition, String> {
    let names = Condition::ALL.map(Condition::name).join(", ");
    Condition::from_name(&text.to_uppercase()).ok_or_else(|| format!("expected one of {names}"))
}

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Switch {
    /// Yes
    On,
    /// No
    Off,
}

/// A rule of the grammar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Rule {
    /// No sin, cos, tan, asin, acos or atan within one another
    NoNestedTrigonometry,
    /// A variable in every expression
    ContainsVariable,
    /// No operator with constants only below it
    NoConstantOperators,
}

impl Rule {
    /// The name in files and flags.
    pub fn name(self) -> &'static str {
        match self {
            Rule::NoNestedTrigonometry => "no-nested-trigonometry",
            Rule::ContainsVariable => "contains-variable",
            Rule::NoConstantOperators => "no-constant-operators",
        }
    }
}

/// What a learner writes at a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LearnerMode {
    /// One child a text
    OneStep,
    /// The whole next generation
    Autoregressive,
    /// A formula from the data alone
    Direct,
}

impl LearnerMode {
    /// The name in files and flags.
    pub fn name(self) -> &'static str {
        match self {
            LearnerMode::OneStep => "one-step",
            LearnerMode::Autoregressive => "autoregressive",
            LearnerMode::Direct => "direct",
        }
    }
}

impl SamplingArgs {
    /// Fails if a number is out of its range.
    ///
    /// # Errors
    /// Naming the flag and the range.
    pub fn check(&self) -> anyhow::Result<()> {
        let Self { temperature, top_k, top_p, max_child_size, max_batch_tokens, .. } = *self;
        anyhow::ensure!(
            temperature.is_finite() && temperature >= 0.0,
            "--temperature {temperature}: expected a number, 0 or more"
        );
        anyhow::ensure!(
            top_k != Some(0),
            "--top-k 0: expected 1 or more; without the flag all tokens are sampled among"
        );
        if let Some(top_p) = top_p.filter(|top_p| !(*top_p > 0.0 && *top_p <= 1.0)) {
            anyhow::bail!("--top-p {top_p}: expected a number above 0 and at most 1");
        }
        anyhow::ensure!(max_child_size > 0, "--max-child-size 0: expected 1 or more");
        anyhow::ensure!(max_batch_tokens != Some(0), "--max-batch-tokens 0: expected 1 or more");
        Ok(())
    }

    /// The rules of the grammar, `None` if it is off.
    ///
    /// # Errors
    /// If there are rules and no grammar.
    pub fn grammar(&self) -> anyhow::Result<Option<Rules>> {
        if self.grammar == Switch::Off {
            anyhow::ensure!(self.rules.is_empty(), "--rules need --grammar on");
            return Ok(None);
        }
        let has = |rule| self.rules.contains(&rule);
        Ok(Some(Rules {
            no_nested_trigonometry: has(Rule::NoNestedTrigonometry),
            contains_variable: has(Rule::ContainsVariable),
            no_constant_operators: has(Rule::NoConstantOperators),
        }))
    }

    /// Fails if the learner's mode is not the one asked for.
    ///
    /// # Errors
    /// Naming both.
    pub fn check_mode(&self, found: &str) -> anyhow::Result<()> {
        match self.mode.map(LearnerMode::name) {
            Some(asked) if asked != found => {
                anyhow::bail!("--mode {asked}: the checkpoint was trained for mode {found}")
            }
            _ => Ok(()),
        }
    }
}
