//! The gate of a milestone: the expert's success rate, and the limit on the learner's steps.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One episode of the expert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Episode {
    /// Whether the episode reached its goal.
    pub success: bool,
    /// The number of steps; in a search, generations.
    pub steps: u32,
}

/// The expert's results on the episodes of a milestone.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ExpertStats {
    /// The number of episodes.
    pub episodes: u32,
    /// The share of successful episodes, in [0, 1].
    pub success_rate: f64,
    /// Mean steps of the successful episodes; `None` if there are none.
    pub mean_steps: Option<f64>,
    /// Sample standard deviation of these steps; 0 if there is one.
    pub std_steps: Option<f64>,
}

impl ExpertStats {
    /// Computes the statistics of some episodes.
    pub fn of(episodes: &[Episode]) -> Self {
        let steps: Vec<f64> = episodes.iter().filter(|e| e.success).map(|e| f64::from(e.steps)).collect();
        let n = steps.len() as f64;
        let mean = steps.iter().sum::<f64>() / n;
        let squares = steps.iter().map(|steps| (steps - mean) * (steps - mean)).sum::<f64>();
        let any = !steps.is_empty();
        ExpertStats {
            episodes: episodes.len() as u32,
            success_rate: n / (episodes.len().max(1) as f64),
            mean_steps: any.then_some(mean),
            std_steps: any.then_some((squares / (n - 1.0).max(1.0)).sqrt()),
        }
    }

    /// Returns the most steps of the learner's episodes: the expert's mean steps times the multiplier, rounded down, at
    /// least 1; `None` without a success.
    pub fn max_steps(&self, multiplier: StepMultiplier) -> Option<u32> {
        let factor = multiplier.factor(self.success_rate);
        Some(((self.mean_steps? * factor).floor() as u32).max(1))
    }
}

/// The limit on the learner's steps, relative to the expert's mean.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "MultiplierRepr", into = "MultiplierRepr")]
pub enum StepMultiplier {
    /// A fixed factor.
    Fixed(f64),
    /// A factor by the expert's success rate: 1.5 above 95 %, 3 between 60 and 80 %, otherwise 2.
    Auto,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum MultiplierRepr {
    Number(f64),
    Text(String),
}

impl TryFrom<MultiplierRepr> for StepMultiplier {
    type Error = String;

    fn try_from(value: MultiplierRepr) -> Result<Self, String> {
        match value {
            MultiplierRepr::Number(number) => number.to_string().parse(),
            MultiplierRepr::Text(text) => text.parse(),
        }
    }
}

impl From<StepMultiplier> for MultiplierRepr {
    fn from(multiplier: StepMultiplier) -> Self {
        match multiplier {
            StepMultiplier::Fixed(factor) => MultiplierRepr::Number(factor),
            StepMultiplier::Auto => MultiplierRepr::Text("auto".to_owned()),
        }
    }
}

impl StepMultiplier {
    pub(super) fn factor(self, success_rate: f64) -> f64 {
        match self {
            StepMultiplier::Fixed(factor) => factor,
            StepMultiplier::Auto if success_rate > 0.95 => 1.5,
            StepMultiplier::Auto if (0.6..=0.8).contains(&success_rate) => 3.0,
            StepMultiplier::Auto => 2.0,
        }
    }
}

impl FromStr for StepMultiplier {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "auto" {
            return Ok(StepMultiplier::Auto);
        }
        let factor = text.parse().ok().filter(|factor: &f64| factor.is_finite() && *factor > 0.0);
        factor.map(StepMultiplier::Fixed).ok_or_else(|| "expected auto, or a number above 0".to_owned())
    }
}

impl fmt::Display for StepMultiplier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StepMultiplier::Fixed(factor) => factor.fmt(f),
            StepMultiplier::Auto => f.write_str("auto"),
        }
    }
}
