//! Reads files of milestones.

use std::path::Path;

use anyhow::ensure;
use serde::Deserialize;

/// A milestone with an id.
pub(crate) trait Named {
    fn id(&self) -> &str;
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MilestoneFile<T> {
    milestone: Vec<T>,
}

/// Reads the milestones of a file, or of the built-in text. Their ids are distinct and can name folders.
pub(crate) fn read_milestones<T: for<'a> Deserialize<'a> + Named>(
    path: Option<&Path>,
    built_in: &str,
) -> anyhow::Result<Vec<T>> {
    let text = path.map(std::fs::read_to_string).transpose()?;
    let MilestoneFile { milestone } = from_toml(text.as_deref().unwrap_or(built_in))?;
    ensure!(!milestone.is_empty(), "there is no milestone");
    check_names(&milestone)?;
    Ok(milestone)
}

/// Fails if an id cannot name a folder, or two are equal.
pub(crate) fn check_names(milestones: &[impl Named]) -> anyhow::Result<()> {
    for (index, one) in milestones.iter().enumerate() {
        let name = one.id();
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let is_fine = !name.is_empty() && !name.starts_with('.') && name.chars().all(is_name);
        ensure!(is_fine, "milestone {index}: id {name:?} cannot name a folder, expected letters, digits, - and _");
        let is_new = milestones[..index].iter().all(|earlier| earlier.id() != name);
        ensure!(is_new, "milestone {index}: there is one called {name:?} already");
    }
    Ok(())
}

/// Parses a TOML text; unknown keys are errors that name the nearest one.
fn from_toml<T: for<'a> Deserialize<'a>>(text: &str) -> anyhow::Result<T> {
    toml::from_str(text).map_err(|error| {
        let message = error.message();
        // serde: unknown field `a`, expected one of `b`, `c`
        let mut names = message.split('`').skip(1).step_by(2);
        match names.next() {
            Some(wrong) if message.starts_with("unknown field") => {
                let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
                anyhow::anyhow!("line {line}: unknown key {wrong:?}{}", nearest(wrong, names))
            }
            _ => anyhow::anyhow!("{error}"),
        }
    })
}

/// Returns the known name that is most similar to a wrong one, as the end of a message:
/// `, the nearest that there is: "seed"`.
pub fn nearest<'a>(wrong: &str, known: impl Iterator<Item = &'a str>) -> String {
    let near = known.max_by(|a, b| strsim::jaro_winkler(wrong, a).total_cmp(&strsim::jaro_winkler(wrong, b)));
    near.map_or(String::new(), |near| format!(", the nearest that there is: {near:?}"))
}
