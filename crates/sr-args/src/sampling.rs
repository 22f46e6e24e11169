//! The flags that say how a learner is sampled.

use sr_prompt::{Conditions, Rules};

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
    /// Sample the children of a state without replacement: no text twice; --unique includes it. Other words for the same formula are another
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
    /// What kind of children to ask for: ALL for what the expert would do, GAIN_0 to GAIN_4 for children that gain so
    /// much, PATH for a step towards the formula, TARGET for the formula; several with their shares of the children as in
    /// PATH:12,GAIN_4:5,TARGET:2 [default: ALL, or the highest of a checkpoint that has not learned it]
    #[arg(long, value_name = "NAME[:SHARE],…")]
    pub condition: Option<Conditions>,
    /// What the checkpoint has to write; told by the checkpoint itself unless given, and an error if it differs
    #[arg(long, value_enum)]
    pub mode: Option<ModeArg>,
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
pub enum ModeArg {
    /// One child a text
    OneStep,
    /// The whole next generation
    Autoregressive,
    /// A formula from the data alone
    Direct,
}

impl ModeArg {
    /// The name in files and flags.
    pub fn name(self) -> &'static str {
        match self {
            ModeArg::OneStep => "one-step",
            ModeArg::Autoregressive => "autoregressive",
            ModeArg::Direct => "direct",
        }
    }
}

impl SamplingArgs {
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

    /// How to sample a learner. [`Sampling::validate`](sr_neural::Sampling::validate) says whether a model can be sampled
    /// so.
    ///
    /// # Errors
    /// If there are rules and no grammar.
    #[cfg(feature = "learner")]
    pub fn sampling(&self) -> anyhow::Result<sr_neural::Sampling> {
        Ok(sr_neural::Sampling {
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            distinct: self.distinct,
            max_child_size: self.max_child_size,
            max_batch_tokens: self.max_batch_tokens,
            conditions: self.condition,
            grammar: self.grammar()?,
            swap: None,
        })
    }

    /// The learner of a checkpoint, to be sampled so on a device such as `cpu`.
    ///
    /// # Errors
    /// If it cannot be loaded, or is not the one that the flags ask for.
    #[cfg(feature = "learner")]
    pub fn learner(&self, checkpoint: &std::path::Path, device: &str) -> anyhow::Result<sr_neural::Learner> {
        let learner = sr_lab::learner::open(checkpoint, device, self.sampling()?)?;
        self.check_mode(learner.mode().name())?;
        Ok(learner)
    }

    /// Fails if the learner's mode is not the one asked for.
    ///
    /// # Errors
    /// Naming both.
    pub fn check_mode(&self, found: &str) -> anyhow::Result<()> {
        match self.mode.map(ModeArg::name) {
            Some(asked) if asked != found => {
                anyhow::bail!("--mode {asked}: the checkpoint was trained for mode {found}")
            }
            _ => Ok(()),
        }
    }
}
