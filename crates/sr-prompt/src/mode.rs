//! What a model writes.

use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

/// What a model learns to write, and with it what an example of a corpus is.
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
    /// The name in files and flags: `one-step`, `autoregressive` or `direct`.
    pub fn name(self) -> &'static str {
        self.into()
    }
}
