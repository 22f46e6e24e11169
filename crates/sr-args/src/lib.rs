//! Flags that more than one binary has, and what they mean: [`SearchArgs`] give a `SearchConfig`, [`SamplingArgs`] a
//! `Sampling` of the learner (feature `learner`), [`LabelArgs`] a `Labelling`,
//! [`TableArgs`] a `TableOptions`.
//!
//! A flag that was not given is `None`, so that it never overrides a preset.

mod labels;
mod sampling;
mod search;
mod table;

pub use labels::{LabelArgs, LabelsArg, WeightsArg};
pub use sampling::{ModeArg, Rule, SamplingArgs, Switch};
pub use search::{ObjectiveArg, SearchArgs, SearchPreset, SemanticsArg, SurvivalArg};
pub use table::{MissingArg, ReadingArgs, TableArgs, counted, table_in_words, table_json};

/// [`sr_cli::run`], after a look at `SR_SIMD`: a level of instructions that this machine or version does not have is an
/// error before anything is computed.
pub fn run(main: impl FnOnce() -> anyhow::Result<sr_cli::Exit>) -> std::process::ExitCode {
    sr_cli::run(|| {
        sr_expr::Level::of_environment().map_err(anyhow::Error::msg)?;
        main()
    })
}
