//! Flags that more than one binary has, and what they mean: [`SearchArgs`] give a `SearchConfig`, [`SamplingArgs`] a
//! `Sampling` of the learner (feature `learner`), [`LabelArgs`] a `Labelling`,
//! [`TableArgs`] a `TableOptions`.
//!
//! A flag that was not given is `None`, so that it never overrides a preset.

use std::ffi::OsStr;

use clap::builder::{PossibleValue, TypedValueParser};
use clap::{Arg, Command};

mod labels;
mod sampling;
mod search;
mod table;

pub use labels::{LabelArgs, LabelsArg, WeightsArg};
pub use sampling::{ModeArg, Rule, SamplingArgs, Switch};
pub use search::{ObjectiveArg, SearchArgs, SearchPreset, SemanticsArg, SurvivalArg};
pub use table::{MissingArg, ReadingArgs, TableArgs, counted, table_in_words, table_json};

/// The parser of the name of a suite. `--help` lists the names and shells complete them; what is none of them is told in one
/// line by what looks for the suite.
#[derive(Debug, Clone, Copy)]
pub struct SuiteName;

impl TypedValueParser for SuiteName {
    type Value = String;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<String, clap::Error> {
        clap::builder::StringValueParser::new().parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(sr_lab::sr_problems::suite_names().map(PossibleValue::new)))
    }
}

/// [`sr_cli::run`], after a look at `SR_SIMD`: a level of instructions that this machine or version does not have is an
/// error before anything is computed.
pub fn run(main: impl FnOnce() -> anyhow::Result<sr_cli::Exit>) -> std::process::ExitCode {
    sr_cli::run(|| {
        sr_expr::Level::of_environment().map_err(anyhow::Error::msg)?;
        main()
    })
}
