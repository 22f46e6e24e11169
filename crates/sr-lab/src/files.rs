//! Atomic writes of small files.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use anyhow::Context;

/// Writes a temporary file, syncs it and renames it into place.
///
/// # Errors
/// If any step fails; the old file is then untouched.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let aside = sr_codec::partial_path(path);
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&aside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&aside, path)
    };
    // A partial file is deleted: it is small enough to be written again.
    write().inspect_err(|_| drop(fs::remove_file(&aside))).with_context(|| format!("writing {}", path.display()))
}
