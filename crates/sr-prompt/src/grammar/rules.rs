//! Limits and rules for expressions.

use super::MAX_DEPTH;

/// The constants that are not listed, in texts of a grammar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum FreeConstants {
    /// They are forbidden.
    Forbidden,
    /// They are numbers of four digits.
    #[default]
    Numbers,
    /// They are `<constant>`, to be fitted.
    Placeholders,
    /// They may be either.
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

/// The limits on the size of an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GrammarLimits {
    /// The largest number of nodes of an expression, at least 1. 63 by default, as for a learner's children.
    pub max_size: usize,
    /// The largest number of edges from the root to a leaf. It is [`MAX_DEPTH`] by default and at most.
    pub max_depth: usize,
    /// The largest number of tokens of a text, `<eos>` included. A number is four tokens. The default `usize::MAX` is
    /// no limit.
    pub max_tokens: usize,
    /// The style of constants that are not listed. Numbers by default.
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

/// The rules that an expression has to keep. By default there are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Rules {
    /// `sin`, `cos`, `tan`, `asin`, `acos` and `atan` are not nested in each other, however far apart.
    pub no_nested_trigonometry: bool,
    /// The expression contains a variable.
    pub contains_variable: bool,
    /// Every operator has a variable somewhere below it. `2 * 3` and `sin(1)` are constants, which a single node can
    /// express.
    pub no_constant_operators: bool,
}

impl Rules {
    /// Returns the names of the rules that hold, as flags and files use them.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + use<> {
        let named = [
            (self.no_nested_trigonometry, "no-nested-trigonometry"),
            (self.contains_variable, "contains-variable"),
            (self.no_constant_operators, "no-constant-operators"),
        ];
        named.into_iter().filter_map(|(holds, name)| holds.then_some(name))
    }
}
