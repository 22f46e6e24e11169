//! `sr-train export`: a checkpoint for searches alone, small enough to pass on.

use std::path::PathBuf;
use std::time::Instant;

use serde_json::json;
use sr_cli::{Claim, Common, Exit, OutputArgs};
use sr_lab::sr_prompt::Conditions;

/// Write a checkpoint for searches alone: weights in bf16 as safetensors, half the size, without what a training needs to
/// go on
///
/// Searches round the weights anew on reading, so the children are those of the rounded model, not to the last bit those
/// of the original.
#[derive(clap::Args)]
pub(crate) struct ExportArgs {
    /// Checkpoint to write anew
    #[arg(value_name = "CKPT")]
    checkpoint: PathBuf,
    /// Folder to write
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The conditions that searches ask it for where --condition does not say: those that were chosen on validation
    /// problems
    #[arg(long, value_name = "NAME[:SHARE],…")]
    condition: Option<Conditions>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    common: Common,
}

pub(crate) fn export(args: &ExportArgs) -> anyhow::Result<Exit> {
    let started = Instant::now();
    args.common.init()?;
    let _output = Claim::folder(&args.out).inputs([&args.checkpoint]).may_exist(args.output.force).take()?;
    let bytes = sr_lab::learner::export(&args.checkpoint, &args.out, args.condition)?;
    let out = args.out.display().to_string();
    let text = format!("{out}: {:.2} MB", bytes as f64 / 1e6);
    args.common.report("sr-train export", started, json!({ "out": out, "bytes": bytes }), &text)?;
    Ok(Exit::Ok)
}
