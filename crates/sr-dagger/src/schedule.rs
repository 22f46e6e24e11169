//! The schedule of β: the probability, round by round, with which the expert still acts.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The expert's share β of acting, by round: π_i = β_i π* + (1 − β_i) π̂_i (Ross, Gordon & Bagnell, 2011, algorithm
/// 3.1).
///
/// The no-regret guarantee requires that the mean of β over the rounds goes to 0. The paper names two such schedules:
/// β_i = p^(i−1), here [`Exponential`](Beta::Exponential), and the parameter-free β_i = I(i = 1), here
/// [`Indicator`](Beta::Indicator) of one round, which it found as good or better. The paper counts rounds from 1, this
/// crate from 0.
///
/// Its text is `constant:0.5`, `linear:5`, `exponential:0.5`, `indicator:1` or `two-phase:1`; the last two mean the
/// same.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Beta {
    /// The same β in each round, from 0 (the learner acts alone) to 1 (behaviour cloning).
    Constant(f64),
    /// A β that falls from 1 by the same amount each round: max(0, 1 − i / rounds).
    Linear {
        /// The first round without the expert; at least 1.
        rounds: u32,
    },
    /// A β that falls by the same factor each round: base^i.
    Exponential {
        /// The factor, from 0 to 1.
        base: f64,
    },
    /// A β of 1 before this round, and of 0 from it on.
    Indicator {
        /// The first round without the expert; at least 1.
        rounds: u32,
    },
    /// The same as [`Indicator`](Beta::Indicator), under the name of its two phases: rollouts of the expert, then of
    /// the learner.
    TwoPhase {
        /// The first round of the second phase; at least 1.
        rounds: u32,
    },
}

impl Beta {
    /// Returns β of a round, counted from 0.
    pub fn at(self, round: u32) -> f64 {
        match self {
            Beta::Constant(beta) => beta,
            Beta::Linear { rounds } => (1.0 - f64::from(round) / f64::from(rounds)).max(0.0),
            Beta::Exponential { base } => libm::pow(base, f64::from(round)),
            Beta::Indicator { rounds } | Beta::TwoPhase { rounds } => f64::from(u8::from(round < rounds)),
        }
    }
}

impl Default for Beta {
    /// Returns the paper's choice without parameters: the expert acts in the first round only.
    fn default() -> Self {
        Beta::Indicator { rounds: 1 }
    }
}

const WHAT: &str = "schedule of β";

impl FromStr for Beta {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let known = "constant:B, linear:ROUNDS, exponential:BASE, indicator:ROUNDS or two-phase:ROUNDS";
        let unknown = || Error::Unknown { what: WHAT, found: text.to_owned(), supported: known };
        let (name, number) = text.split_once(':').ok_or_else(unknown)?;
        let out_of_range = |expected| Error::OutOfRange { what: WHAT, found: text.to_owned(), expected };
        let share = || match number.parse() {
            Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
            _ => Err(out_of_range("a number from 0 to 1")),
        };
        let rounds = || match number.parse() {
            Ok(rounds @ 1..) => Ok(rounds),
            _ => Err(out_of_range("a number of rounds, at least 1; constant:0 is the learner alone")),
        };
        match name {
            "constant" => Ok(Beta::Constant(share()?)),
            "linear" => Ok(Beta::Linear { rounds: rounds()? }),
            "exponential" => Ok(Beta::Exponential { base: share()? }),
            "indicator" => Ok(Beta::Indicator { rounds: rounds()? }),
            "two-phase" => Ok(Beta::TwoPhase { rounds: rounds()? }),
            _ => Err(unknown()),
        }
    }
}

impl fmt::Display for Beta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Beta::Constant(beta) => write!(f, "constant:{beta}"),
            Beta::Linear { rounds } => write!(f, "linear:{rounds}"),
            Beta::Exponential { base } => write!(f, "exponential:{base}"),
            Beta::Indicator { rounds } => write!(f, "indicator:{rounds}"),
            Beta::TwoPhase { rounds } => write!(f, "two-phase:{rounds}"),
        }
    }
}

impl TryFrom<String> for Beta {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Beta> for String {
    fn from(beta: Beta) -> Self {
        beta.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(schedule: &str) -> Vec<f64> {
        let beta: Beta = schedule.parse().expect(schedule);
        (0..5).map(|round| beta.at(round)).collect()
    }

    #[test]
    fn schedules_have_their_closed_forms() {
        assert_eq!(first("constant:0.3"), [0.3; 5]);
        assert_eq!(first("linear:4"), [1.0, 0.75, 0.5, 0.25, 0.0]);
        assert_eq!(first("linear:1"), [1.0, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(first("exponential:0.5"), [1.0, 0.5, 0.25, 0.125, 0.0625]);
        assert_eq!(first("exponential:0"), [1.0, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(first("exponential:1"), [1.0; 5]);
        assert_eq!(first("indicator:1"), [1.0, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(first("two-phase:3"), [1.0, 1.0, 1.0, 0.0, 0.0]);
        assert_eq!(first("indicator:3"), first("two-phase:3"));
        for round in 0..2000 {
            let exponential = Beta::Exponential { base: 0.9 }.at(round);
            assert!((exponential - 0.9_f64.powi(round as i32)).abs() <= 1e-12 * exponential, "{round}");
        }
        assert_eq!(Beta::Exponential { base: 0.5 }.at(u32::MAX), 0.0);
        assert_eq!(Beta::Linear { rounds: 5 }.at(u32::MAX), 0.0);
    }

    #[test]
    fn the_mean_goes_to_zero_where_the_theorem_asks_for_it() {
        for schedule in [Beta::default(), Beta::Exponential { base: 0.7 }, Beta::Linear { rounds: 10 }] {
            let mean = (0..10_000).map(|round| schedule.at(round)).sum::<f64>() / 1e4;
            assert!(mean < 1e-3, "{schedule}: {mean}");
        }
    }

    #[test]
    fn names_round_trip_also_as_json() {
        for text in ["constant:0.25", "linear:5", "exponential:0.5", "indicator:3", "two-phase:3"] {
            let beta: Beta = text.parse().expect(text);
            assert_eq!(beta.to_string(), text);
            let json = serde_json::to_string(&beta).expect("JSON");
            assert_eq!(json, format!("{text:?}"));
            assert_eq!(serde_json::from_str::<Beta>(&json).expect("a schedule"), beta);
        }
    }

    #[test]
    fn errors_name_what_is_known() {
        let error = |text: &str| text.parse::<Beta>().expect_err(text).to_string();
        let known = "constant:B, linear:ROUNDS, exponential:BASE, indicator:ROUNDS or two-phase:ROUNDS";
        assert_eq!(error("cosine:3"), format!("unknown schedule of β \"cosine:3\", expected {known}"));
        assert_eq!(error("linear"), format!("unknown schedule of β \"linear\", expected {known}"));
        assert_eq!(error("constant:1.5"), "schedule of β \"constant:1.5\": expected a number from 0 to 1");
        assert_eq!(error("constant:nan"), "schedule of β \"constant:nan\": expected a number from 0 to 1");
        for text in ["linear:0", "indicator:0", "two-phase:0", "indicator:-1", "two-phase:1.5", "linear:4294967296"] {
            let expected = "a number of rounds, at least 1; constant:0 is the learner alone";
            assert_eq!(error(text), format!("schedule of β {text:?}: expected {expected}"));
        }
        let json = serde_json::from_str::<Beta>("\"x\"").expect_err("x").to_string();
        assert!(json.contains(known), "{json}");
    }
}
