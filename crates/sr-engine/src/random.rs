//! Counter-based randomness: every stream is found by its key, so threads, batches and shards change nothing.
//!
//! The generator is Philox4x64-10 (Salmon, Moraes, Dror & Shaw, "Parallel random numbers: as easy as 1, 2, 3", 2011):
//! a keyed bijection of a 256-bit counter. Distinct [`Key`]s are distinct (key, counter) pairs, so streams cannot
//! overlap. The distributions are written here because their bytes must never change with a library's version.

use sr_expr::hash::{GOLDEN, fnv1a};

/// The purpose of a stream. Streams of different purposes are never shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Purpose {
    /// Generating formulas.
    Generator = 1,
    /// Sampling data points.
    Rows = 2,
    /// The search itself.
    Search = 3,
    /// The expert's labels of visited states.
    Labels = 4,
    /// The learner's sampling.
    Learner = 5,
    /// Initialising and training a model.
    Training = 6,
    /// Splitting and sub-sampling examples.
    Split = 7,
    /// Fresh points that a result is judged on.
    Evaluation = 8,
    /// Whether expert or learner makes a child where they share a search.
    Mixture = 9,
    /// The rows that a buffer over rounds keeps, and the rows that are drawn from it.
    Buffer = 10,
    /// The seeds of rounds.
    Rounds = 11,
    /// Further starts of fitted constants.
    Constants = 12,
}

/// The address of one random stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    /// The user's seed.
    pub seed: u64,
    /// The purpose of the stream.
    pub purpose: Purpose,
    /// The problem, see [`problem_key`].
    pub problem: u64,
    /// The generation (or round, or epoch).
    pub generation: u32,
    /// The slot: individual, example or row.
    pub slot: u32,
    /// The attempt within the slot.
    pub draw: u32,
}

impl Key {
    /// Returns the key of generation 0, slot 0, draw 0.
    pub fn new(seed: u64, purpose: Purpose, problem: u64) -> Self {
        Key { seed, purpose, problem, generation: 0, slot: 0, draw: 0 }
    }

    /// Returns the same key with another generation.
    pub fn generation(self, generation: u32) -> Self {
        Key { generation, ..self }
    }

    /// Returns the same key with another slot.
    pub fn slot(self, slot: u32) -> Self {
        Key { slot, ..self }
    }

    /// Returns the same key with another draw.
    pub fn draw(self, draw: u32) -> Self {
        Key { draw, ..self }
    }

    /// Returns the stream of this key, from its start.
    pub fn rng(self) -> Rng {
        Rng {
            key: [self.seed, self.problem],
            counter: [
                0,
                u64::from(self.generation) << 32 | u64::from(self.slot),
                u64::from(self.draw) << 8 | self.purpose as u64,
                0,
            ],
            buffer: [[0; 4]; BLOCKS],
            used: 4 * BLOCKS,
        }
    }
}

/// Returns the number of a problem's name in a [`Key`]: FNV-1a of its bytes.
pub fn problem_key(id: &str) -> u64 {
    fnv1a(id.bytes())
}

/// One stream of random numbers.
#[derive(Debug, Clone)]
pub struct Rng {
    key: [u64; 2],
    counter: [u64; 4],
    buffer: [[u64; 4]; BLOCKS],
    used: usize,
}

/// The number of blocks that are computed at once. They are independent, so a processor works on them in parallel.
const BLOCKS: usize = 3;

impl Rng {
    /// Returns 64 uniform bits.
    #[inline]
    pub fn next_u64(&mut self) -> u64 {
        if self.used == 4 * BLOCKS {
            self.refill();
        }
        self.used += 1;
        self.buffer.as_flattened()[self.used - 1]
    }

    #[inline(never)]
    fn refill(&mut self) {
        for block in &mut self.buffer {
            *block = philox4x64(self.counter, self.key);
            self.counter[0] += 1; // 2^64 blocks are more than any stream draws
        }
        self.used = 0;
    }

    /// Returns a uniform number in `[0, 1)`, a multiple of 2⁻⁵³.
    #[inline]
    pub fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
    }

    /// Returns true with probability `p`.
    #[inline]
    pub fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    /// Returns a uniform number in `[low, high)`.
    pub fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Returns a uniform number in `0..n`, without bias (Lemire, 2019).
    ///
    /// # Panics
    /// Panics if `n` is 0.
    #[inline]
    pub fn below(&mut self, n: usize) -> usize {
        assert!(n > 0, "a draw from nothing");
        let n = n as u64;
        loop {
            let wide = u128::from(self.next_u64()) * u128::from(n);
            // The bound is 2^64 mod n; it is below n, so that the division is seldom needed.
            let low = wide as u64;
            if low >= n || low >= n.wrapping_neg() % n {
                return (wide >> 64) as usize;
            }
        }
    }

    /// Returns a standard normal number (Box & Muller, 1958). Its functions give the same bits on every machine.
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * libm::log(1.0 - self.unit())).sqrt();
        radius * libm::cos(std::f64::consts::TAU * self.unit())
    }

    /// Returns an element of a slice, each with the same probability.
    ///
    /// # Panics
    /// Panics if the slice is empty.
    pub fn choose<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    /// Returns an index drawn in proportion to `weights`.
    ///
    /// # Panics
    /// Panics if a weight is negative, infinite or NaN, all of them are zero, or their sum is infinite.
    pub fn weighted(&mut self, weights: &[f64]) -> usize {
        let sum = weights.iter().sum::<f64>();
        let are_weights = sum > 0.0 && sum.is_finite() && weights.iter().all(|&weight| weight >= 0.0);
        assert!(are_weights, "weights that are not negative and not all zero, not {weights:?}");
        let mut left = self.unit() * sum;
        for (index, &weight) in weights.iter().enumerate() {
            if left < weight {
                return index;
            }
            left -= weight;
        }
        weights.iter().rposition(|&w| w > 0.0).expect("a positive weight")
    }

    /// Permutes a slice uniformly, in place (Fisher & Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

/// Applies ten rounds of the Philox4x64 bijection.
#[inline]
fn philox4x64(mut counter: [u64; 4], mut key: [u64; 2]) -> [u64; 4] {
    for round in 0..10 {
        if round > 0 {
            key[0] = key[0].wrapping_add(GOLDEN);
            key[1] = key[1].wrapping_add(0xbb67_ae85_84ca_a73b);
        }
        let a = u128::from(counter[0]) * 0xd2e7_470e_e14c_6c93;
        let b = u128::from(counter[2]) * 0xca5a_8263_9512_1157;
        counter = [(b >> 64) as u64 ^ counter[1] ^ key[0], b as u64, (a >> 64) as u64 ^ counter[3] ^ key[1], a as u64];
    }
    counter
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn philox_gives_the_published_vectors() {
        // Random123's known-answer file, philox4x64-10.
        assert_eq!(
            philox4x64([0; 4], [0; 2]),
            [0x16554d9eca36314c, 0xdb20fe9d672d0fdc, 0xd7e772cee186176b, 0x7e68b68aec7ba23b]
        );
        assert_eq!(
            philox4x64([u64::MAX; 4], [u64::MAX; 2]),
            [0x87b092c3013fe90b, 0x438c3c67be8d0224, 0x9cc7d7c69cd777b6, 0xa09caebf594f0ba0]
        );
    }

    #[test]
    fn a_stream_is_its_blocks_in_a_row() {
        let mut rng = Key { seed: 1, purpose: Purpose::Search, problem: 2, generation: 3, slot: 4, draw: 5 }.rng();
        for block in 0..10 {
            let expected = philox4x64([block, 3 << 32 | 4, 5 << 8 | Purpose::Search as u64, 0], [1, 2]);
            assert_eq!(expected.map(|_| rng.next_u64()), expected);
        }
    }

    #[test]
    fn streams_of_different_keys_differ() {
        let base = Key::new(1, Purpose::Search, problem_key("p"));
        let keys = [
            base,
            Key { seed: 2, ..base },
            Key { purpose: Purpose::Labels, ..base },
            Key { purpose: Purpose::Rows, ..base },
            Key { purpose: Purpose::Generator, ..base },
            Key { purpose: Purpose::Learner, ..base },
            Key { purpose: Purpose::Training, ..base },
            Key { purpose: Purpose::Split, ..base },
            Key { purpose: Purpose::Evaluation, ..base },
            Key { purpose: Purpose::Mixture, ..base },
            Key { purpose: Purpose::Buffer, ..base },
            Key { purpose: Purpose::Rounds, ..base },
            Key { purpose: Purpose::Constants, ..base },
            Key { problem: problem_key("q"), ..base },
            base.generation(1),
            base.slot(1),
            base.draw(1),
        ];
        let firsts: std::collections::HashSet<u64> = keys.iter().map(|k| k.rng().next_u64()).collect();
        assert_eq!(firsts.len(), keys.len());
        assert_eq!(base.rng().next_u64(), base.rng().next_u64());
    }

    #[test]
    fn weights_that_are_none_are_refused() {
        let rng = || Key::new(1, Purpose::Rows, 0).rng();
        for bad in [&[f64::NAN, 1.0][..], &[0.0, 0.0], &[], &[-1.0, 2.0], &[1.0, f64::INFINITY], &[f64::MAX, f64::MAX]]
        {
            assert!(std::panic::catch_unwind(|| rng().weighted(bad)).is_err(), "{bad:?}");
        }
        assert_eq!(rng().weighted(&[0.0, 1e-300, 0.0]), 1);
    }

    #[test]
    fn distributions_have_their_moments() {
        let mut rng = Key::new(7, Purpose::Rows, 0).rng();
        let n: i32 = 20_000;
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let normal: Vec<f64> = (0..n).map(|_| rng.normal()).collect();
        assert!(mean(&normal).abs() < 0.03);
        assert!((mean(&normal.iter().map(|x| x * x).collect::<Vec<_>>()) - 1.0).abs() < 0.05);
        let mut counts = [0_i32; 3];
        (0..n).for_each(|_| counts[rng.below(3)] += 1);
        assert!(counts.iter().all(|&c| (c - n / 3).abs() < 300), "{counts:?}");
        let mut counts = [0_i32; 3];
        (0..n).for_each(|_| counts[rng.weighted(&[1.0, 0.0, 3.0])] += 1);
        assert_eq!(counts[1], 0);
        assert!((counts[2] - 3 * n / 4).abs() < 300, "{counts:?}");
    }
}
