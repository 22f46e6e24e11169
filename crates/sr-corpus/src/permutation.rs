//! A random order that takes no memory.

use sr_engine::random::{Key, Purpose, problem_key};

/// A random order of `0..n`, computed place by place.
///
/// A Feistel network, whose rounds draw from the stream of seed, epoch, round and half, permutes the numbers of as many
/// bits; what falls outside is permuted again until it falls inside (cycle walking: Black & Rogaway, 2002), less than
/// four times on average.
#[derive(Debug, Clone, Copy)]
pub struct Permutation {
    key: Key,
    n: u64,
    /// Bits of a half: the network permutes the numbers of twice as many, fewer than 4·n of them.
    half: u32,
}

/// Four make a network a pseudo-random permutation (Luby & Rackoff, 1988), but only of many numbers: of 5, some were at
/// some places a third too often.
const ROUNDS: u32 = 8;

impl Permutation {
    /// The order of an epoch.
    pub fn new(n: u64, seed: u64, epoch: u32) -> Self {
        let key = Key::new(seed, Purpose::Training, problem_key("permutation")).generation(epoch);
        let bits = u64::BITS - n.saturating_sub(1).leading_zeros();
        Permutation { key, n, half: bits.div_ceil(2).max(1) }
    }

    /// How many numbers there are.
    pub fn len(&self) -> u64 {
        self.n
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.n == 0
    }

    /// The number at a place.
    ///
    /// # Panics
    /// If `place` is not below `n`.
    pub fn get(&self, place: u64) -> u64 {
        assert!(place < self.n, "place {place} of {}", self.n);
        let mut number = place;
        loop {
            number = self.permuted(number);
            if number < self.n {
                return number;
            }
        }
    }

    /// All of them in order.
    pub fn iter(&self) -> impl Iterator<Item = u64> {
        let order = *self;
        (0..self.n).map(move |place| order.get(place))
    }

    fn permuted(&self, number: u64) -> u64 {
        let mask = (1 << self.half) - 1;
        let (mut left, mut right) = (number >> self.half, number & mask);
        for round in 0..ROUNDS {
            let drawn = self.key.slot(right as u32).draw(round).rng().next_u64();
            (left, right) = (right, left ^ (drawn & mask));
        }
        left << self.half | right
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_number_comes_once(n in 0..3000_u64, seed: u64, epoch: u32) {
            let order = Permutation::new(n, seed, epoch);
            let mut numbers: Vec<u64> = order.iter().collect();
            prop_assert!(numbers.iter().enumerate().all(|(place, &number)| order.get(place as u64) == number));
            numbers.sort_unstable();
            prop_assert!(numbers.into_iter().eq(0..n));
        }

        #[test]
        fn large_ranges_are_kept_to(n in 1..=u64::MAX, seed: u64, place: u64) {
            prop_assert!(Permutation::new(n, seed, 0).get(place % n) < n);
        }
    }

    #[test]
    fn seeds_and_epochs_have_orders_of_their_own() {
        let order = |seed, epoch| Permutation::new(100, seed, epoch).iter().collect::<Vec<_>>();
        assert_eq!(order(1, 2), order(1, 2));
        assert!(order(1, 2) != order(1, 3) && order(1, 2) != order(2, 2) && !order(1, 2).is_sorted());
    }

    #[test]
    fn every_number_is_as_likely_at_every_place() {
        for n in [2, 3, 5, 8] {
            let mut counts = vec![vec![0_u32; n]; n];
            for seed in 0..4000 {
                let order = Permutation::new(n as u64, seed, 0);
                order.iter().enumerate().for_each(|(place, number)| counts[place][number as usize] += 1);
            }
            let (expected, n) = (4000.0 / n as f64, n as f64);
            let deviation = (expected * (1.0 - 1.0 / n)).sqrt();
            let worst = counts.iter().flatten().map(|&count| (f64::from(count) - expected).abs() / deviation);
            assert!(worst.clone().fold(0.0, f64::max) < 4.5, "{n}: {:?}", counts);
        }
    }
}
