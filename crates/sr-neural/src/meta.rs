//! What a checkpoint tells of its model beside weights and shape.

use serde::{Deserialize, Serialize};
use sr_prompt::{Condition, Conditions, Mode};

use crate::{Error, Language, LearnerMode};

/// What `meta.json` of a checkpoint tells whoever uses its model. The file has more fields, which belong to the run that
/// trained it.
///
/// Fields that came later have the value that older checkpoints were trained with where the file lacks them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckpointMeta {
    /// What the model writes.
    pub mode: Mode,
    /// Mode `autoregressive` alone: whether an error follows each expression. Without it there are errors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fitness: Option<bool>,
    /// How prompts and targets are written.
    #[serde(flatten)]
    pub language: Language,
    /// The conditions under which children were learned; none in older files, whose models have learned the one of their
    /// mode.
    #[serde(default)]
    pub conditions: Vec<Condition>,
    /// The conditions that searches ask for by default; `None` for that of the mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ask: Option<Conditions>,
}

impl CheckpointMeta {
    /// Reads the content of a `meta.json`.
    ///
    /// # Errors
    /// [`Error::Meta`] if the mode is missing, or a field has a value that this version does not know.
    pub fn from_json(meta: &serde_json::Value) -> Result<Self, Error> {
        CheckpointMeta::deserialize(meta).map_err(|error| Error::Meta { reason: error.to_string() })
    }

    /// The mode as a policy has it.
    pub fn learner_mode(&self) -> LearnerMode {
        match self.mode {
            Mode::OneStep => LearnerMode::OneStep,
            Mode::Autoregressive => LearnerMode::Autoregressive { errors: self.fitness.unwrap_or(true) },
            Mode::Direct => LearnerMode::Direct,
        }
    }

    /// Returns the conditions to ask for: the given ones, which the model must have learned; without them its default,
    /// that of the mode, or else the best that the model has learned.
    ///
    /// # Errors
    /// [`Error::Condition`] with the first that the model has not learned.
    pub fn conditions(&self, given: Option<Conditions>) -> Result<Conditions, Error> {
        let default = self.learner_mode().condition();
        let learned = if self.conditions.is_empty() { &[default][..] } else { &self.conditions };
        let best = learned.iter().copied().max_by_key(|condition| condition.id()).expect("there is one");
        let Some(given) = given.or(self.ask) else {
            return Ok(if learned.contains(&default) { default } else { best }.into());
        };
        match given.iter().find(|(condition, _)| !learned.contains(condition)) {
            None => Ok(given),
            Some((unknown, _)) => Err(Error::Condition {
                asked: unknown.name(),
                learned: learned.iter().map(|condition| condition.name()).collect::<Vec<_>>().join(", "),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use sr_prompt::Context;

    use super::*;

    #[test]
    fn what_older_files_lack_is_as_it_was() {
        let meta = CheckpointMeta::from_json(&json!({ "mode": "autoregressive", "step": 7 })).expect("an old file");
        assert_eq!((&meta.language, meta.fitness), (&Language::default(), None));
        assert_eq!(meta.learner_mode(), LearnerMode::Autoregressive { errors: true });
        assert_eq!(meta.conditions(None).ok(), Some(Condition::All.into()));
        assert!(meta.conditions(Some(Condition::Path.into())).is_err());
    }

    #[test]
    fn what_is_written_is_read_back() {
        let language = Language::of(Context::SuperRich);
        let conditions = vec![Condition::Gain(4), Condition::Path];
        let meta = CheckpointMeta { mode: Mode::OneStep, fitness: None, language, conditions, ask: None };
        let json = serde_json::to_value(&meta).expect("plain data");
        assert_eq!((&json["mode"], &json["context"]), (&json!("one-step"), &json!("superrich")));
        assert_eq!(json["conditions"], json!(["GAIN_4", "PATH"]));
        assert_eq!(CheckpointMeta::from_json(&json).ok(), Some(meta.clone()));
        assert_eq!(meta.conditions(None).ok(), Some(Condition::Path.into()), "the best, for ALL was not learned");
        let ask: Option<Conditions> = "GAIN_4:5,PATH:12".parse().ok();
        let asked = CheckpointMeta { ask, ..meta };
        let read = CheckpointMeta::from_json(&serde_json::to_value(&asked).expect("plain data")).expect("the same");
        assert_eq!(read.conditions(None).ok(), ask);
        assert_eq!(read.conditions(Some(Condition::Path.into())).ok(), Some(Condition::Path.into()));
    }

    #[test]
    fn unknown_values_are_named() {
        for (json, word) in [
            (json!({}), "mode"),
            (json!({ "mode": "two-step" }), "two-step"),
            (json!({ "mode": "one-step", "context": "richer" }), "richer"),
            (json!({ "mode": "one-step", "conditions": ["GAIN_9"] }), "GAIN_9"),
        ] {
            let error = CheckpointMeta::from_json(&json).expect_err(word).to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
