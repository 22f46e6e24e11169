//! Draws the rows of a [`Buffer`] that a round is trained on.

use std::collections::BTreeMap;
use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use sr_engine::random::{Key, Purpose, Rng};

use crate::buffer::DRAW;
use crate::{Buffer, Error, Result};

/// The distribution of draws. Its text is `uniform` or `recency:λ`.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Draw {
    /// All rows are drawn equally often: one random permutation of all rows after the other.
    #[default]
    Uniform,
    /// A row is drawn with replacement, in proportion to exp(−λ·age). The age is counted in rounds; the newest round
    /// has age 0.
    Recency {
        /// λ, at least 0.
        lambda: f64,
    },
}

/// The rows to draw from, and their distribution.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// The distribution of the rows.
    pub draw: Draw,
    /// Whether to draw from earlier rounds too; otherwise from the newest alone.
    pub use_dagger: bool, // true; without, the learner forgets what it was told in earlier rounds
}

impl Default for Sampling {
    fn default() -> Self {
        Sampling { draw: Draw::Uniform, use_dagger: true }
    }
}

/// The amount of training in a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amount {
    /// A number of updates.
    Steps {
        /// The number of updates.
        steps: u32,
        /// The rows of an update, at least 1.
        batch: u32,
    },
    /// A number of passes over all rows, in batches of min([`LARGEST_BATCH`], rows / mini-batches), at least 1.
    Epochs {
        /// The number of passes.
        epochs: u32,
        /// The least number of batches of a pass, at least 1.
        mini_batches: u32,
    },
}

/// The most rows of a batch when a round is trained for epochs.
pub const LARGEST_BATCH: usize = 512;

/// The rows drawn for a round, as slots of its buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drawn {
    /// The slots, in the order of training.
    pub rows: Vec<u64>,
    /// The rows of an update.
    pub batch: usize,
    /// The rows of an epoch; the last batch of an epoch may be smaller.
    pub epoch: usize,
}

impl Drawn {
    /// Returns the rows of each update, in order.
    pub fn batches(&self) -> impl Iterator<Item = &[u64]> {
        self.rows.chunks(self.epoch.max(1)).flat_map(|epoch| epoch.chunks(self.batch))
    }
}

impl Buffer {
    /// Draws the rows that the newest round is trained on. The result depends only on the rounds, the seed and the
    /// settings.
    ///
    /// An epoch of [`Draw::Recency`] has as many draws as there are rows.
    ///
    /// # Errors
    /// [`Error::NoRows`] if there are no rows to draw from.
    ///
    /// # Panics
    /// If `amount` has a batch of 0 rows, or 0 mini-batches.
    pub fn draw(&self, sampling: &Sampling, amount: Amount, seed: u64) -> Result<Drawn> {
        let newest = self.rounds().saturating_sub(1);
        let mut rounds: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
        for (slot, round) in self.slots().filter(|&(_, round)| sampling.use_dagger || round == newest) {
            rounds.entry(round).or_default().push(slot);
        }
        let size = rounds.values().map(Vec::len).sum();
        if size == 0 {
            return Err(Error::NoRows { path: self.path().to_owned(), newest: !sampling.use_dagger });
        }
        let (n_rows, batch, epoch) = match amount {
            Amount::Steps { steps, batch } => {
                assert!(batch > 0, "a batch of no rows");
                let n_rows = steps as usize * batch as usize;
                (n_rows, batch as usize, n_rows)
            }
            Amount::Epochs { epochs, mini_batches } => {
                (epochs as usize * size, LARGEST_BATCH.min(size / mini_batches as usize).max(1), size)
            }
        };
        let key = Key::new(seed, Purpose::Buffer, 0).generation(newest).draw(DRAW);
        let rows = match sampling.draw {
            Draw::Uniform => permutations(rounds.into_values().flatten().collect(), n_rows, key),
            Draw::Recency { lambda } => weighted(&rounds, lambda, n_rows, key.rng()),
        };
        Ok(Drawn { rows, batch, epoch })
    }
}

/// Returns the first `n_rows` slots of permutations one after the other.
fn permutations(slots: Vec<u64>, n_rows: usize, key: Key) -> Vec<u64> {
    let mut rows = Vec::with_capacity(n_rows);
    for permutation in 0.. {
        let left = n_rows - rows.len();
        if left == 0 {
            break;
        }
        let mut order = slots.clone();
        key.slot(permutation).rng().shuffle(&mut order);
        rows.extend(order.into_iter().take(left));
    }
    rows
}

/// Draws a round by the total weight of its rows, then one of its rows.
fn weighted(rounds: &BTreeMap<u32, Vec<u64>>, lambda: f64, n_rows: usize, mut rng: Rng) -> Vec<u64> {
    // Rows of the newest round have weight 1, so that not all weights are 0, however large λ is.
    let newest = *rounds.last_key_value().expect("rows").0;
    let weight = |round: u32, slots: &[u64]| slots.len() as f64 * libm::exp(-lambda * f64::from(newest - round));
    let weights: Vec<f64> = rounds.iter().map(|(&round, slots)| weight(round, slots)).collect();
    let slots: Vec<&[u64]> = rounds.values().map(Vec::as_slice).collect();
    let mut draw = |_| {
        let round = rng.weighted(&weights);
        *rng.choose(slots[round])
    };
    (0..n_rows).map(&mut draw).collect()
}

impl FromStr for Draw {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.split_once(':') {
            None if text == "uniform" => Ok(Draw::Uniform),
            Some(("recency", number)) => match number.parse::<f64>() {
                Ok(lambda) if lambda >= 0.0 && lambda.is_finite() => Ok(Draw::Recency { lambda }),
                _ => {
                    let expected = "a number λ, at least 0";
                    Err(Error::OutOfRange { what: "way to draw", found: text.to_owned(), expected })
                }
            },
            _ => {
                let known = "uniform or recency:LAMBDA";
                Err(Error::Unknown { what: "way to draw", found: text.to_owned(), supported: known })
            }
        }
    }
}

impl fmt::Display for Draw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Draw::Uniform => f.write_str("uniform"),
            Draw::Recency { lambda } => write!(f, "recency:{lambda}"),
        }
    }
}

impl TryFrom<String> for Draw {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Draw> for String {
    fn from(draw: Draw) -> Self {
        draw.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BufferOptions;

    /// Returns a buffer with rounds of these numbers of rows.
    fn buffer(folder: &tempfile::TempDir, rounds: &[u32]) -> Buffer {
        let mut buffer = Buffer::open(folder.path().join("buffer"), BufferOptions::new(1)).expect("a buffer");
        for (round, &rows) in rounds.iter().enumerate() {
            buffer.append(round as u32, &vec![round as u8; rows as usize]).expect("rows");
        }
        buffer
    }

    fn steps(steps: u32, batch: u32) -> Amount {
        Amount::Steps { steps, batch }
    }

    #[test]
    fn uniform_draws_take_every_row_once_before_any_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let buffer = buffer(&folder, &[3, 4]);
        let drawn = buffer.draw(&Sampling::default(), steps(5, 4), 1).expect("rows");
        assert_eq!((drawn.rows.len(), drawn.batches().count()), (20, 5));
        assert!(drawn.batches().all(|batch| batch.len() == 4));
        for permutation in drawn.rows.chunks(7) {
            let mut sorted = permutation.to_vec();
            sorted.sort_unstable();
            sorted.dedup();
            assert_eq!(sorted.len(), permutation.len());
        }
        assert_ne!(drawn.rows[..7], drawn.rows[7..14]);
        assert_eq!(drawn, buffer.draw(&Sampling::default(), steps(5, 4), 1).expect("rows"));
        assert_ne!(drawn, buffer.draw(&Sampling::default(), steps(5, 4), 2).expect("rows"));
    }

    #[test]
    fn without_dagger_the_newest_round_is_all() {
        let folder = tempfile::tempdir().expect("a folder");
        let newest = Sampling { use_dagger: false, ..Sampling::default() };
        let mut buffer = buffer(&folder, &[3, 4]);
        let mut rows = buffer.draw(&newest, steps(1, 4), 1).expect("rows").rows;
        rows.sort_unstable();
        assert_eq!(rows, [3, 4, 5, 6]);
        buffer.append(2, &[]).expect("no rows");
        let error = buffer.draw(&newest, steps(1, 4), 1).expect_err("no rows").to_string();
        assert!(error.ends_with("no row to draw of the newest round"), "{error}");
        assert!(buffer.draw(&Sampling::default(), steps(1, 4), 1).is_ok());
    }

    #[test]
    fn recent_rows_are_drawn_in_proportion() {
        let folder = tempfile::tempdir().expect("a folder");
        let buffer = buffer(&folder, &[10, 20, 5]);
        let lambda = 0.7;
        let counts = |lambda: f64| {
            let sampling = Sampling { draw: Draw::Recency { lambda }, use_dagger: true };
            let mut counts = [0_u32; 35];
            let drawn = buffer.draw(&sampling, steps(1000, 100), 1).expect("rows");
            drawn.rows.iter().for_each(|&row| counts[row as usize] += 1);
            counts
        };
        let found = counts(lambda);
        let weight = |row: u64| (-lambda * f64::from(2 - buffer.round_of(row).expect("a row"))).exp();
        let total: f64 = (0..35).map(weight).sum();
        for row in 0..35 {
            let expected = 1e5 * weight(row) / total;
            let deviations = (f64::from(found[row as usize]) - expected) / expected.sqrt();
            assert!(deviations.abs() < 4.5, "row {row}: {} of {expected}", found[row as usize]);
        }
        assert!(counts(1e9)[..30].iter().all(|&count| count == 0), "a large λ leaves the newest round");
        assert!(counts(0.0).iter().all(|&count| (2600..3120).contains(&count)), "λ = 0 takes all alike");
    }

    #[test]
    fn epochs_are_fresh_permutations_in_batches_that_fit() {
        let folder = tempfile::tempdir().expect("a folder");
        let buffer = buffer(&folder, &[600, 700]);
        let epochs = |epochs, mini_batches| {
            buffer.draw(&Sampling::default(), Amount::Epochs { epochs, mini_batches }, 1).expect("rows")
        };
        let drawn = epochs(3, 4);
        assert_eq!(drawn.batch, 325);
        assert_eq!(drawn.batches().map(<[u64]>::len).collect::<Vec<_>>(), [325; 12]);
        for epoch in drawn.rows.chunks(1300) {
            let mut sorted = epoch.to_vec();
            sorted.sort_unstable();
            assert!(sorted.into_iter().eq(0..1300) && !epoch.is_sorted());
        }
        assert_ne!(drawn.rows[..1300], drawn.rows[1300..2600]);
        assert_eq!(epochs(2, 1).batches().map(<[u64]>::len).collect::<Vec<_>>(), [512, 512, 276, 512, 512, 276]);
        assert_eq!(epochs(1, 10_000).batch, 1);
    }

    #[test]
    fn names_round_trip() {
        for text in ["uniform", "recency:0.5"] {
            assert_eq!(text.parse::<Draw>().expect(text).to_string(), text);
        }
        let error = |text: &str| text.parse::<Draw>().expect_err(text).to_string();
        assert_eq!(error("priority"), "unknown way to draw \"priority\", expected uniform or recency:LAMBDA");
        assert_eq!(error("recency:-1"), "way to draw \"recency:-1\": expected a number λ, at least 0");
    }
}
