//! `sr-train export`: a checkpoint for searches alone, small enough to pass on.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use serde_json::json;
use sr_cli::{Claim, Common, Exit, OutputArgs};
use sr_lab::sr_prompt::Conditions;

/// Write a checkpoint for searches alone: weights in bf16 as safetensors, half the size, without what a training needs to
/// go on
///
/// Children are those of the rounded weights, and may differ from those of the original.
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

/// The files of what is written.
const FILES: [&str; 5] = ["model.safetensors", "config.json", "tokenizer.json", "meta.json", "SHA256SUMS"];

/// Returns the name of a file in the folder that is not one of [`FILES`].
fn others(folder: &Path) -> anyhow::Result<Option<String>> {
    if !folder.exists() {
        return Ok(None);
    }
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    // The lock of this run's claim is hidden, or ends so.
    Ok(names.into_iter().find(|name| !FILES.contains(&&**name) && !name.ends_with(".lock") && !name.starts_with('.')))
}

pub(crate) fn export(args: &ExportArgs) -> anyhow::Result<Exit> {
    let started = Instant::now();
    args.common.init()?;
    let claim = Claim::folder(&args.out).also(FILES).inputs([&args.checkpoint]);
    let _output = claim.may_exist(args.output.force).take()?;
    // The folder is replaced as a whole.
    if let Some(other) = others(&args.out)? {
        anyhow::bail!(
            "{} has {other} in it, which is no part of a checkpoint; take another folder",
            args.out.display()
        );
    }
    let bytes = sr_lab::learner::export(&args.checkpoint, &args.out, args.condition)?;
    let out = args.out.display().to_string();
    let text = format!("{out}: {:.2} MB", bytes as f64 / 1e6);
    args.common.report("sr-train export", started, json!({ "out": out, "bytes": bytes }), &text)?;
    Ok(Exit::Ok)
}
