//! Scores of expressions met before.

use hashbrown::HashTable;
use sr_expr::hash::spread;
use sr_expr::{Forest, Tree};

use crate::Score;

/// Expressions that are remembered, or twice what one generation needs.
const CAPACITY: usize = 1024;

/// Remembers the score of every expression met since it was last full: a search makes the same small ones again and again.
#[derive(Debug, Clone, Default)]
pub(crate) struct ScoreCache {
    trees: Forest,
    /// One for each tree, by the same numbers.
    entries: Vec<Entry>,
    /// Numbers of trees, by the trees' hashes.
    places: HashTable<u32>,
    /// Expressions that may be remembered.
    capacity: usize,
    /// Expressions that were ever new.
    met: u32,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    hash: u64,
    score: Score,
    /// The last generation that it stood in.
    generation: Option<u32>,
    /// Counts expressions that were new.
    serial: u32,
}

impl ScoreCache {
    /// Whether as many more expressions may be remembered.
    pub(crate) fn has_room(&self, count: usize) -> bool {
        self.entries.len() + count <= self.capacity
    }

    /// Forgets everything and makes room for twice as many expressions at least.
    pub(crate) fn clear(&mut self, count: usize) {
        self.trees.clear();
        self.entries.clear();
        self.places.clear();
        self.capacity = CAPACITY.max(2 * count).next_power_of_two();
        self.places.reserve(self.capacity, |_| unreachable!("there are no places"));
    }

    /// Returns the number of a tree's expression, which is remembered from now on with the score that `score` gives, if
    /// that is not `None`.
    ///
    /// - hash: the tree's in its offspring
    #[inline]
    pub(crate) fn find_or_score(
        &mut self,
        tree: &Tree,
        hash: u64,
        score: impl FnOnce() -> Option<Score>,
    ) -> Option<u32> {
        let ScoreCache { trees, entries, places, .. } = self;
        let is_equal = |&number: &u32| {
            let number = number as usize;
            entries[number].hash == hash && trees.get(number) == tree
        };
        if let Some(&number) = places.find(spread(hash), is_equal) {
            return Some(number);
        }
        let number = entries.len() as u32;
        let score = score()?;
        entries.push(Entry { hash, score, generation: None, serial: self.met });
        self.met += 1;
        trees.push(tree);
        places.insert_unique(spread(hash), number, |&number| spread(entries[number as usize].hash));
        Some(number)
    }

    /// The score of an expression.
    #[inline]
    pub(crate) fn score(&self, expression: u32) -> Score {
        self.entries[expression as usize].score
    }

    /// A number that no other expression of the search has. One that was forgotten gets another when it comes back.
    #[inline]
    pub(crate) fn serial(&self, expression: u32) -> u32 {
        self.entries[expression as usize].serial
    }

    /// Gives an expression that stayed in the population the number back that it had before everything was forgotten.
    pub(crate) fn set_serial(&mut self, expression: u32, serial: u32) {
        self.entries[expression as usize].serial = serial;
    }

    /// Notes that an expression stands in a generation.
    #[inline]
    pub(crate) fn mark(&mut self, expression: u32, generation: u32) {
        self.entries[expression as usize].generation = Some(generation);
    }

    /// Whether an expression was last marked as one of this generation.
    #[inline]
    pub(crate) fn is_marked(&self, expression: u32, generation: u32) -> bool {
        self.entries[expression as usize].generation == Some(generation)
    }
}
