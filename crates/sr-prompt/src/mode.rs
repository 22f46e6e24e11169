//! The modes of models.

use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

/// The kind of target that a model learns to write, and with it the kind of a corpus's examples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, IntoStaticStr)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Mode {
    /// One child of a state: context and population → one individual of the next generation.
    OneStep,
    /// The whole next population of a state.
    Autoregressive,
    /// The formula of a problem, from its points alone.
    Direct,
}

impl Mode {
    /// Returns the name that files and flags use: `one-step`, `autoregressive` or `direct`.
    pub fn name(self) -> &'static str {
        self.into()
    }
}
