//! Batches for training: rows of tokens, each a prompt shared by several targets.
//!
//! Shape letters of this crate: `B` rows, `T` tokens of a row, `N` points, `P` prefix positions, `L = P + T`, `C` width,
//! `H` heads.

use crate::{Error, ModelConfig, PointEmbedding, PointsConfig};

/// The label of positions that have no loss.
pub const IGNORE: i32 = -1;

/// Rows for training or scoring, row-major, padded to one length.
///
/// A row is a prompt followed by any number of targets. Each target sees the points, the prompt and itself, never
/// another target, and has the positions after the prompt as if it stood there alone. Loss and gradients equal those of
/// one row per target, but the prompt is encoded only once.
///
/// With the prompt `p q` and the targets `a b` and `c`:
/// ```text
/// tokens     p  q  a  b  c  pad
/// positions  0  1  2  3  2  0
/// segments   0  0  1  1  2  -1
/// ```
///
/// A prompt may have individuals side by side. Each sees the tokens before the first individual, and itself; tokens
/// after the last individual see all of them. Positions restart in each individual, so their order does not matter:
/// ```text
/// tokens       q  r  a  b  c  d  e  t
/// individuals  0  0  1  1  2  2  2  0
/// positions    0  1  2  3  2  3  4  2
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TrainBatch {
    /// Number of rows, `B`.
    pub rows: usize,
    /// Tokens per row, padding included, `T`.
    pub length: usize,
    /// `[B, T]`: token ids; any id of the vocabulary in padding.
    pub tokens: Vec<i32>,
    /// `[B, T]`: positions, below `n_positions`.
    pub positions: Vec<i32>,
    /// `[B, T]`: the feature of each token, below `n_features`; empty for 0 everywhere.
    pub features: Vec<i32>,
    /// `[B, T, marks]`: the marks of each token, the same number for all: 0 for none, k ≥ 1 for the k-th of `n_marks`.
    /// Empty for no marks.
    pub marks: Vec<i32>,
    /// `[B, T]`: -1 padding, 0 prompt, k ≥ 1 the k-th target.
    pub segments: Vec<i32>,
    /// `[B, T]`: 0, or k ≥ 1 for a token of the prompt's k-th individual; empty for 0 everywhere.
    pub individuals: Vec<i32>,
    /// `[B, T]`: the token to predict *after* each position, or [`IGNORE`].
    pub labels: Vec<i32>,
    /// `[B, T]`: weight of each label's loss, finite and not negative.
    pub weights: Vec<f32>,
    /// The points of all rows; `None` for no prefix, which equals a prefix without real points.
    pub points: Option<PointBatch>,
}

/// The points of one prompt.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Points {
    /// `[n, width]` with n ≤ `n_points`; the columns are those of
    /// [`PointsConfig::columns`](crate::PointsConfig::columns).
    pub values: Vec<f32>,
}

/// The points of several rows, padded to the most points that the model reads.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PointBatch {
    /// Number of rows, `B`.
    pub rows: usize,
    /// Points per row, padding included, `N`.
    pub n_points: usize,
    /// Numbers per point.
    pub width: usize,
    /// `[B, N, width]`, zero where padded.
    pub values: Vec<f32>,
    /// `[B, N]`: true for real points.
    pub mask: Vec<bool>,
}

impl PointBatch {
    /// Pads each row's points to the most points that the model reads.
    ///
    /// # Errors
    /// [`Error::Input`] if the model has no embedder, or a row has too many points or not a whole number of them.
    pub fn pack(config: &ModelConfig, rows: &[&Points]) -> Result<Self, Error> {
        let Some(points) = &config.points else {
            return Err(Error::Input("points given to a model without a point embedder".to_owned()));
        };
        let (n_points, width) = (points.n_points, points.width());
        let mut batch = Self { rows: rows.len(), n_points, width, values: Vec::new(), mask: Vec::new() };
        for (row, Points { values }) in rows.iter().enumerate() {
            let real = values.len() / width;
            if !values.len().is_multiple_of(width) || real > n_points {
                return Err(Error::Input(format!(
                    "row {row} has {} values of points, expected at most {n_points} points of {width}",
                    values.len()
                )));
            }
            batch.values.extend_from_slice(values);
            batch.values.resize((row + 1) * n_points * width, 0.0);
            batch.mask.extend((0..n_points).map(|point| point < real));
        }
        Ok(batch)
    }

    /// Returns `[B, P]`, true for prefix positions that tokens may see. In a row without points, the queries of a set
    /// have nothing to read and stay hidden.
    pub(crate) fn prefix(&self, config: &PointsConfig) -> Vec<bool> {
        match config.kind {
            PointEmbedding::E2e => self.mask.clone(),
            PointEmbedding::Set => {
                let rows = self.mask.chunks_exact(self.n_points);
                rows.flat_map(|row| std::iter::repeat_n(row.contains(&true), config.n_queries)).collect()
            }
        }
    }
}

impl TrainBatch {
    /// Checks sizes and ranges against the model.
    ///
    /// # Errors
    /// [`Error::Input`] naming the first field that does not fit.
    pub fn check(&self, config: &ModelConfig) -> Result<(), Error> {
        let cells = self.rows * self.length;
        let fail = |what: String| Err(Error::Input(what));
        if cells == 0 {
            return fail("a batch without tokens".to_owned());
        }
        let lengths = [
            ("tokens", self.tokens.len()),
            ("positions", self.positions.len()),
            ("features", if self.features.is_empty() { cells } else { self.features.len() }),
            ("segments", self.segments.len()),
            ("individuals", if self.individuals.is_empty() { cells } else { self.individuals.len() }),
            ("labels", self.labels.len()),
            ("weights", self.weights.len()),
        ];
        if let Some((name, len)) = lengths.into_iter().find(|&(_, len)| len != cells) {
            return fail(format!("{len} {name} for {} rows of {} tokens", self.rows, self.length));
        }
        check_ids("token", &self.tokens, 0, config.vocab_size)?;
        check_ids("position", &self.positions, 0, config.n_positions)?;
        check_ids("feature", &self.features, 0, config.n_features)?;
        check_marks(&self.marks, cells, config.n_marks)?;
        check_ids("segment", &self.segments, -1, i32::MAX as usize)?;
        check_ids("individual", &self.individuals, 0, i32::MAX as usize)?;
        check_ids("label", &self.labels, IGNORE, config.vocab_size)?;
        if let Some(weight) = self.weights.iter().find(|w| !(w.is_finite() && **w >= 0.0)) {
            return fail(format!("weight {weight}, expected a finite number that is not negative"));
        }
        if let Some(points) = &self.points {
            let expected = config.points.as_ref().map(|p| (self.rows, p.n_points, p.width()));
            if expected != Some((points.rows, points.n_points, points.width)) {
                return fail(format!(
                    "points of {} rows × {} × {}, expected {expected:?}",
                    points.rows, points.n_points, points.width
                ));
            }
            let cells = points.rows * points.n_points;
            if points.mask.len() != cells || points.values.len() != cells * points.width {
                return fail(format!(
                    "{} values and {} mask entries for {cells} points",
                    points.values.len(),
                    points.mask.len()
                ));
            }
        }
        Ok(())
    }
}

/// Checks that all tokens have the same number of marks, each at most `n_marks`.
pub(crate) fn check_marks(marks: &[i32], tokens: usize, n_marks: usize) -> Result<(), Error> {
    if !marks.len().is_multiple_of(tokens.max(1)) {
        return Err(Error::Input(format!("{} marks for {tokens} tokens", marks.len())));
    }
    check_ids("mark", marks, 0, if n_marks == 0 { 0 } else { n_marks + 1 })
}

/// Checks `lowest <= id < end` for every id.
pub(crate) fn check_ids(name: &str, ids: &[i32], lowest: i32, end: usize) -> Result<(), Error> {
    if let (0, Some(id)) = (end, ids.first()) {
        return Err(Error::Input(format!("{name} {id} given to a model without {name}s")));
    }
    match ids.iter().find(|&&id| id < lowest || i64::from(id) >= end as i64) {
        Some(id) => Err(Error::Input(format!("{name} {id}, expected {lowest} to {}", end - 1))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PointsConfig;

    fn config() -> ModelConfig {
        ModelConfig {
            points: Some(PointsConfig { n_variables: 1, ..PointsConfig::learner(2) }),
            ..ModelConfig::micro(8)
        }
    }

    #[test]
    fn packing_pads_with_masked_zeros_and_refuses_too_many_points() {
        let (one, none) = (Points { values: vec![1.0, 2.0, 3.0] }, Points::default());
        let batch = PointBatch::pack(&config(), &[&one, &none]).unwrap();
        assert_eq!(batch.values, [1.0, 2.0, 3.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(batch.mask, [true, false, false, false]);
        let message = PointBatch::pack(&config(), &[&Points { values: vec![0.0; 9] }]).unwrap_err().to_string();
        assert_eq!(message, "model input: row 0 has 9 values of points, expected at most 2 points of 3");
    }

    #[test]
    fn a_batch_that_does_not_fit_the_model_is_refused() {
        let good = TrainBatch {
            rows: 1,
            length: 2,
            tokens: vec![1, 7],
            positions: vec![0, 1],
            features: vec![],
            marks: vec![],
            segments: vec![0, 1],
            individuals: vec![],
            labels: vec![IGNORE, 3],
            weights: vec![0.0, 1.0],
            points: None,
        };
        good.check(&config()).unwrap();
        let message = |batch: TrainBatch| batch.check(&config()).unwrap_err().to_string();
        assert_eq!(message(TrainBatch { tokens: vec![1, 8], ..good.clone() }), "model input: token 8, expected 0 to 7");
        assert_eq!(
            message(TrainBatch { features: vec![0, 1], ..good.clone() }),
            "model input: feature 0 given to a model without features"
        );
        assert_eq!(
            message(TrainBatch { labels: vec![-2, 1], ..good.clone() }),
            "model input: label -2, expected -1 to 7"
        );
        assert_eq!(
            message(TrainBatch { weights: vec![1.0], ..good.clone() }),
            "model input: 1 weights for 1 rows of 2 tokens"
        );
        assert_eq!(
            message(TrainBatch { weights: vec![f32::NAN, 1.0], ..good }),
            "model input: weight NaN, expected a finite number that is not negative"
        );
    }
}
