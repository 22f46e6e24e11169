//! The input of a pass: rows of positions without padding, and which positions see each other.

/// A stretch of a row whose positions see all positions before `sees`, and each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// The index of its first position in the row.
    pub start: usize,
    /// The number of its positions, at least one.
    pub len: usize,
    /// The number of positions of the row that all of them see, from the first one on; at most `start`.
    pub sees: usize,
    /// Whether a position sees only itself and the earlier positions of the run, and not the whole run.
    pub causal: bool,
}

/// A token to be predicted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Label {
    /// The index, among the tokens of all rows, of the token that it follows.
    pub token: usize,
    /// The id of the token to be predicted.
    pub label: usize,
    /// The weight of its loss.
    pub weight: f32,
}

/// A row of embedded points and then tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Row {
    /// The number of points before the tokens.
    pub prefix: usize,
    /// The number of tokens.
    pub tokens: usize,
    /// The runs in order, which have to cover prefix and tokens without gaps.
    pub runs: Vec<Run>,
}

/// Rows one after the other.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rows {
    /// The rows.
    pub rows: Vec<Row>,
    /// The token ids of all rows.
    pub tokens: Vec<i32>,
    /// The position of each token.
    pub positions: Vec<i32>,
    /// The feature of each token. If it is empty, all features are 0.
    pub features: Vec<i32>,
    /// The marks of each token, `[tokens, marks]`, the same number for all tokens: 0 for none, k ≥ 1 for row k − 1 of
    /// their embedding. If it is empty, there are none.
    pub marks: Vec<i32>,
    /// The embedded points of all rows, `[points, C]`.
    pub prefix: Vec<f32>,
    /// The tokens to be predicted.
    pub labels: Vec<Label>,
}

impl Row {
    /// Returns the number of points and tokens.
    pub fn len(&self) -> usize {
        self.prefix + self.tokens
    }

    /// Returns whether the row has no points and no tokens.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Rows {
    /// Returns the number of points and tokens of all rows.
    pub fn len(&self) -> usize {
        self.rows.iter().map(Row::len).sum()
    }

    /// Returns the rows of the embedding of marks that a token has.
    pub(crate) fn marks(&self, token: usize) -> impl Iterator<Item = usize> + '_ {
        let each = self.marks.len() / self.tokens.len().max(1);
        self.marks[token * each..(token + 1) * each].iter().filter(|&&mark| mark > 0).map(|&mark| mark as usize - 1)
    }

    /// Returns whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Checks the rules that the passes rely on.
    ///
    /// # Panics
    /// Panics if one of them is broken.
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
