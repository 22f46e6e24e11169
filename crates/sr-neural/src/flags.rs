//! The learner that flags of a program ask for.

use std::path::Path;

use anyhow::Context;
use sr_cli::SamplingArgs;
use sr_trace::SamplingSettings;

use crate::{Learner, Sampling, Share};

/// How flags ask to sample a learner. [`Sampling::validate`] says whether a model can be sampled so.
///
/// # Errors
/// If the flags do not go together.
pub fn sampling(args: &SamplingArgs) -> anyhow::Result<Sampling> {
    let SamplingArgs { temperature, top_k, top_p, distinct, max_child_size, max_batch_tokens, condition, .. } = *args;
    let grammar = args.grammar()?;
    Ok(Sampling { temperature, top_k, top_p, distinct, max_child_size, max_batch_tokens, condition, grammar })
}

/// Loads the learner of a checkpoint, to be sampled as the flags say on a device such as `cpu`.
///
/// # Errors
/// If there is no such device, the checkpoint cannot be loaded, or the flags do not go with it.
pub fn load(checkpoint: &Path, device: &str, args: &SamplingArgs) -> anyhow::Result<Learner> {
    let device = sr_model::open(device.parse()?)?;
    let learner = Learner::load(checkpoint, &device, sampling(args)?)
        .with_context(|| format!("loading the checkpoint {}", checkpoint.display()))?;
    args.check_mode(learner.mode().name())?;
    Ok(learner)
}

/// Checks that the learner can read all problems, each given by its id and its number of variables. Called before anything
/// is written, it leaves nothing behind.
///
/// # Errors
/// If one has too many variables: it names the problem and both numbers.
pub fn check_problems<'a>(
    learner: &Learner,
    problems: impl IntoIterator<Item = (&'a str, usize)>,
) -> anyhow::Result<()> {
    for (id, n_variables) in problems {
        learner.check_variables(n_variables).with_context(|| format!("problem {id}"))?;
    }
    Ok(())
}

/// What the header of a trace tells of the sampling.
///
/// - share: of the learner in a search that it shares with the expert
///
/// # Errors
/// If the flags do not go together.
pub fn settings(args: &SamplingArgs, learner: &Learner, share: Option<Share>) -> anyhow::Result<SamplingSettings> {
    Ok(SamplingSettings {
        temperature: args.temperature,
        top_k: args.top_k,
        top_p: args.top_p,
        distinct: args.distinct,
        max_child_size: args.max_child_size,
        grammar: args.grammar()?.is_some(),
        rules: args.rules.iter().map(|rule| rule.name().to_owned()).collect(),
        condition: Some(learner.condition().name().to_owned()),
        share: share.map(|share| share.to_string()),
    })
}
