//! A set of hashes that is asked about many at once. It takes the place of a common hash table because that has no way to
//! begin many looks before the first one ends, and most looks wait for memory.

/// The most hashes that are asked about at once.
pub(crate) const BATCH: usize = 64;
/// Where a slot holds no hash. A hash of 0 counts as 1.
const EMPTY: u64 = 0;
/// The slots of a new set.
const FIRST: usize = 1 << 10;

/// A set of hashes in one table of open addresses, at most half full: a look reads one line of memory, most often.
#[derive(Debug)]
pub(crate) struct Hashes {
    slots: Vec<u64>,
    len: usize,
}

impl Hashes {
    pub(crate) fn new() -> Self {
        Hashes { slots: vec![EMPTY; FIRST], len: 0 }
    }

    fn start(&self, hash: u64) -> usize {
        hash as usize & (self.slots.len() - 1)
    }

    /// Reads the slots where the looks for some hashes begin, all of them before anything depends on one, so that they are
    /// waited for together.
    #[inline]
    pub(crate) fn first_slots(&self, hashes: impl Iterator<Item = u64>) -> [u64; BATCH] {
        let mut first = [EMPTY; BATCH];
        for (first, hash) in first.iter_mut().zip(hashes) {
            *first = self.slots[self.start(hash)];
        }
        first
    }

    /// Returns whether a hash is there. `first` is what [`Hashes::first_slots`] read, maybe before other hashes came.
    #[inline]
    pub(crate) fn contains(&self, hash: u64, first: u64) -> bool {
        let hash = hash.max(1);
        first == hash || self.find(hash).is_ok()
    }

    /// Adds a hash, and returns whether it is new. `first` is as above.
    #[inline]
    pub(crate) fn insert(&mut self, hash: u64, first: u64) -> bool {
        let hash = hash.max(1);
        if first == hash {
            return false;
        }
        let Err(place) = self.find(hash) else { return false };
        self.slots[place] = hash;
        self.len += 1;
        if 2 * self.len > self.slots.len() {
            self.grow();
        }
        true
    }

    /// Returns the place of a hash, or the empty one where it belongs.
    #[inline]
    fn find(&self, hash: u64) -> Result<usize, usize> {
        let mut place = self.start(hash);
        loop {
            match self.slots[place] {
                EMPTY => return Err(place),
                other if other == hash => return Ok(place),
                _ => place = (place + 1) & (self.slots.len() - 1),
            }
        }
    }

    fn grow(&mut self) {
        let larger = vec![EMPTY; 2 * self.slots.len()];
        for hash in std::mem::replace(&mut self.slots, larger) {
            if hash != EMPTY {
                let place = self.find(hash).unwrap_or_else(|place| place);
                self.slots[place] = hash;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_set(all in prop::collection::vec(prop_oneof![0..3_000_u64, (0..100_u64).prop_map(|h| h << 40)], 0..6_000)) {
            let (mut hashes, mut reference) = (Hashes::new(), HashSet::new());
            // Numbers 0 and 1 are the same to it.
            for batch in all.chunks(BATCH) {
                let first = hashes.first_slots(batch.iter().copied());
                for (&hash, &first) in batch.iter().zip(&first) {
                    prop_assert_eq!(hashes.contains(hash, first), reference.contains(&hash.max(1)));
                    prop_assert_eq!(hashes.insert(hash, first), reference.insert(hash.max(1)));
                    prop_assert!(hashes.contains(hash, EMPTY));
                }
            }
            prop_assert_eq!(hashes.len, reference.len());
        }
    }
}
