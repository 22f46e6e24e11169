//! The selection of milestones.

use crate::Error;

/// The milestones of a curriculum that are run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// The only milestone to run; if set, the other two fields are ignored.
    pub only: Option<String>,
    /// The first milestone to run.
    pub resume_from: Option<String>,
    /// Milestones to leave out.
    pub skip: Vec<String>,
}

impl Selection {
    /// Returns for each milestone the reason why it is not run, or `None` if it is.
    ///
    /// # Errors
    /// If an id is unknown; the error lists the known ones.
    pub fn reasons(&self, ids: &[String]) -> Result<Vec<Option<&'static str>>, Error> {
        let find = |id: &String| {
            let unknown = || Error::UnknownMilestone { id: id.clone(), supported: ids.join(", ") };
            ids.iter().position(|known| known == id).ok_or_else(unknown)
        };
        if let Some(only) = &self.only {
            let only = find(only)?;
            return Ok((0..ids.len()).map(|index| (index != only).then_some("another one was asked for")).collect());
        }
        let first = self.resume_from.as_ref().map(find).transpose()?.unwrap_or(0);
        let skipped = self.skip.iter().map(find).collect::<Result<Vec<_>, _>>()?;
        let reason = |index| match index {
            _ if index < first => Some("it comes before the one resumed from"),
            _ if skipped.contains(&index) => Some("--skip-milestones names it"),
            _ => None,
        };
        Ok((0..ids.len()).map(reason).collect())
    }
}
