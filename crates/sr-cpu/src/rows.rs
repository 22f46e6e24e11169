//! What a pass works on: rows of positions without any padding, and who sees whom in them.

/// A stretch of a row whose positions see alike: all positions before `sees`, and then one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// Its first position in the row.
    pub start: usize,
    /// Its positions, at least one.
    pub len: usize,
    /// Positions of the row that all of them see, from the first one on; at most `start`.
    pub sees: usize,
    /// Whether a position sees itself and those of the run before it, or the whole run.
    pub causal: bool,
}

/// A position to predict a token after.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Label {
    /// Among the tokens of all rows.
    pub token: usize,
    /// What follows it.
    pub label: usize,
    /// Weight of its loss.
    pub weight: f32,
}

/// A row: embedded points, then tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Row {
    /// Points before the tokens.
    pub prefix: usize,
    /// Tokens.
    pub tokens: usize,
    /// Its runs in order; they cover prefix and tokens.
    pub runs: Vec<Run>,
}

/// Rows one after the other.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rows {
    /// The rows.
    pub rows: Vec<Row>,
    /// Token ids of all rows.
    pub tokens: Vec<i32>,
    /// The position of each token.
    pub positions: Vec<i32>,
    /// The feature of each token; empty for 0 everywhere.
    pub features: Vec<i32>,
    /// The marks of each token, any number of them but the same for all, `[tokens, marks]`: 0 for none, k ≥ 1 for row k − 1
    /// of their embedding. Empty for none everywhere.
    pub marks: Vec<i32>,
    /// Embedded points of all rows, `[points, C]`.
    pub prefix: Vec<f32>,
    /// What is to be predicted.
    pub labels: Vec<Label>,
}

impl Row {
    /// Points and tokens.
    pub fn len(&self) -> usize {
        self.prefix + self.tokens
    }

    /// Returns whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Rows {
    /// Points and tokens of all rows.
    pub fn len(&self) -> usize {
        self.rows.iter().map(Row::len).sum()
    }

    /// Returns the rows of the embedding of marks that a token has.
    pub(crate) fn marks(&self, token: usize) -> impl Iterator<Item = usize> + '_ {
        let each = self.marks.len() / self.tokens.len().max(1);
        self.marks[token * each..(token + 1) * each].iter().filter(|&&mark| mark > 0).map(|&mark| mark as usize - 1)
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Asserts what the passes rely on.
    pub(crate) fn check(&self, width: usize) {
        let tokens: usize = self.rows.iter().map(|row| row.tokens).sum();
        let points: usize = self.rows.iter().map(|row| row.prefix).sum();
        assert_eq!((self.tokens.len(), self.positions.len()), (tokens, tokens), "a token and a position each");
        assert!(self.features.is_empty() || self.features.len() == tokens, "a feature each, or none");
        assert!(self.marks.len().is_multiple_of(tokens.max(1)), "as many marks each");
        assert_eq!(self.prefix.len(), points * width, "a vector for each point");
        for row in &self.rows {
            let mut end = 0;
            for run in &row.runs {
                assert!(run.start == end && run.len > 0 && run.sees <= end, "runs without gaps that look back");
                end += run.len;
            }
            assert_eq!(end, row.len(), "runs cover their row");
        }
    }
}
