//! Which milestones are run.

use crate::Error;

/// Which milestones of a curriculum are run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Only this one; the other two are ignored then.
    pub only: Option<String>,
    /// This one and those after it.
    pub resume_from: Option<String>,
    /// All but these.
    pub skip: Vec<String>,
}

impl Selection {
    /// For each milestone why it is not run; `None` for those that are.
    ///
    /// # Errors
    /// If a name is no milestone's; the error lists those that are.
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
