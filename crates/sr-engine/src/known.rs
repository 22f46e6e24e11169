//! Finding the trees of a population.

use sr_expr::Tree;

use crate::Population;

/// Marks a place of the table that is free.
const FREE: u32 = u32::MAX;

/// Finds individuals by their tree: a hash table with open addressing (linear probing), made anew for each generation
/// in the same memory.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    /// Indices of individuals, a power of two of places, at least half of them free.
    places: Vec<u32>,
}

impl Known {
    /// Forgets what it knew and learns a population; of equal trees the first.
    pub(crate) fn learn(&mut self, population: &Population) {
        self.places.clear();
        self.places.resize((2 * population.len()).next_power_of_two(), FREE);
        for index in 0..population.len() {
            if let Err(free) = self.place(population, population.tree(index), population.hash(index)) {
                self.places[free] = index as u32;
            }
        }
    }

    /// The individual of the population learnt that has this tree, whose hash is [`Brood::hash`](crate::Brood).
    #[inline]
    pub(crate) fn find(&self, population: &Population, tree: &Tree, hash: u64) -> Option<usize> {
        self.place(population, tree, hash).ok().map(|place| self.places[place] as usize)
    }

    /// Where the tree's index stands, or else where it would have to stand.
    #[inline]
    fn place(&self, population: &Population, tree: &Tree, hash: u64) -> Result<usize, usize> {
        let mask = self.places.len() - 1;
        let mut place = (hash >> 32) as usize & mask; // the upper half is the better one of a product
        loop {
            let index = self.places[place];
            if index == FREE {
                return Err(place);
            }
            if population.hash(index as usize) == hash && population.tree(index as usize) == tree {
                return Ok(place);
            }
            place = (place + 1) & mask;
        }
    }
}
