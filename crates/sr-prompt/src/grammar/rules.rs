//! How large an expression may be, and what it may not be.

use super::MAX_DEPTH;

/// Constants that are not listed, in what a grammar allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum FreeConstants {
    /// None.
    Forbidden,
    /// As numbers of four digits.
    #[default]
    Numbers,
    /// As `<constant>`, to be fitted.
    Placeholders,
    /// Both.
    NumbersAndPlaceholders,
}

impl FreeConstants {
    pub(super) fn numbers(self) -> bool {
        matches!(self, FreeConstants::Numbers | FreeConstants::NumbersAndPlaceholders)
    }

    pub(super) fn placeholders(self) -> bool {
        matches!(self, FreeConstants::Placeholders | FreeConstants::NumbersAndPlaceholders)
    }
}

/// How large an expression may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GrammarLimits {
    /// Most nodes of an expression, at least 1. 63 by default, as for a learner's children.
    pub max_size: usize,
    /// Most edges from the root to a leaf. [`MAX_DEPTH`] by default; more counts as that.
    pub max_depth: usize,
    /// Most tokens of a text, `<eos>` included, `usize::MAX` (the default) for no limit. A number is four tokens.
    pub max_tokens: usize,
    /// Constants that are not listed. Numbers by default.
    pub free_constants: FreeConstants,
}

impl Default for GrammarLimits {
    fn default() -> Self {
        GrammarLimits {
            max_size: 63,
            max_depth: MAX_DEPTH,
            max_tokens: usize::MAX,
            free_constants: FreeConstants::default(),
        }
    }
}

/// What an expression may not be. By default anything goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Rules {
    /// `sin`, `cos`, `tan`, `asin`, `acos` and `atan` do not stand within one another, however far apart.
    pub no_nested_trigonometry: bool,
    /// The expression contains a variable.
    pub contains_variable: bool,
    /// Every operator has a variable somewhere below it: `2 * 3` and `sin(1)` are constants, and there are shorter ones.
    pub no_constant_operators: bool,
}

impl Rules {
    /// The names of those that hold, as flags and files have them.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + use<> {
        let named = [
            (self.no_nested_trigonometry, "no-nested-trigonometry"),
            (self.contains_variable, "contains-variable"),
            (self.no_constant_operators, "no-constant-operators"),
        ];
        named.into_iter().filter_map(|(holds, name)| holds.then_some(name))
    }
}
