//! Learners loaded from checkpoints.

use std::path::Path;

use anyhow::Context;
use sr_model::{Checkpoint, DeviceKind};
use sr_neural::{CheckpointMeta, Learner, Sampling, Share};
use sr_prompt::Conditions;
use sr_trace::SamplingSettings;

/// Loads the learner of a checkpoint, with these sampling settings, on a device such as `cpu`.
///
/// # Errors
/// If there is no such device, the checkpoint cannot be loaded, or the sampling settings do not suit it.
pub fn open(checkpoint: &Path, device: &str, sampling: Sampling) -> anyhow::Result<Learner> {
    let device = device.parse::<DeviceKind>()?.open()?;
    Learner::load(checkpoint, &device, sampling)
        .with_context(|| format!("loading the checkpoint {}", checkpoint.display()))
}

/// Writes a checkpoint anew for searches alone, see [`Checkpoint::save_small`]. Returns the bytes of its weights.
///
/// - conditions: those that searches ask for by default; `None` leaves them as they are
///
/// # Errors
/// If the checkpoint cannot be read, the model has not learned a condition, or writing fails.
pub fn export(checkpoint: &Path, out: &Path, conditions: Option<Conditions>) -> anyhow::Result<u64> {
    let loaded = || format!("loading the checkpoint {}", checkpoint.display());
    let mut of = Checkpoint::load(checkpoint, &DeviceKind::Cpu.open()?).with_context(loaded)?;
    if let Some(conditions) = conditions {
        CheckpointMeta::from_json(&of.meta).and_then(|meta| meta.conditions(Some(conditions))).with_context(loaded)?;
        of.meta["ask"] = conditions.to_string().into();
    }
    of.save_small(out)?;
    Ok(std::fs::metadata(sr_model::weights_file(out))?.len())
}

/// Checks that the learner can read all problems, each given by its id and its number of variables. Call it before
/// anything is written.
///
/// # Errors
/// If a problem has too many variables; the error names the problem and both numbers.
pub fn check_problems<'a>(
    learner: &Learner,
    problems: impl IntoIterator<Item = (&'a str, usize)>,
) -> anyhow::Result<()> {
    for (id, n_variables) in problems {
        learner.check_variables(n_variables).with_context(|| format!("problem {id}"))?;
    }
    Ok(())
}

/// Returns the sampling settings for the header of a trace.
///
/// - share: the learner's share, if it searches together with the expert
pub fn settings(learner: &Learner, share: Option<Share>) -> SamplingSettings {
    let sampling = learner.sampling();
    SamplingSettings {
        temperature: sampling.temperature,
        top_k: sampling.top_k,
        top_p: sampling.top_p,
        distinct: sampling.distinct,
        max_child_size: sampling.max_child_size,
        grammar: sampling.grammar.is_some(),
        rules: sampling.grammar.iter().flat_map(|rules| rules.names()).map(str::to_owned).collect(),
        condition: Some(learner.conditions().to_string()),
        share: share.map(|share| share.to_string()),
    }
}
