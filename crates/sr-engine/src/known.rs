//! Scores of forms met before.

use sr_expr::{Node, Tree};

use crate::brood::as_tree;
use crate::{Population, Score};

/// Marks a place of the table that is free.
const FREE: u32 = u32::MAX;
/// Forms that are remembered, if the population is not larger than a quarter of it.
const CAPACITY: usize = 1024;

/// Remembers the score of every form met since it was last full: a search makes the same small forms again and again.
///
/// A hash table with open addressing (linear probing) over forms in one piece of memory, all of which is used again.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    nodes: Vec<Node>,
    forms: Vec<Form>,
    /// Indices of forms, a power of two of places, at least half of them free.
    places: Vec<u32>,
}

#[derive(Debug, Clone, Copy)]
struct Form {
    hash: u64,
    start: usize,
    size: usize,
    score: Score,
    /// The last generation whose population was seen to have it.
    generation: Option<u32>,
}

impl Known {
    /// Notes which forms a population has. There is room for as many children after it.
    pub(crate) fn see(&mut self, population: &Population, generation: u32) {
        let capacity = CAPACITY.max(4 * population.len());
        if self.places.len() < 2 * capacity || self.forms.len() + 2 * population.len() > capacity {
            self.nodes.clear();
            self.forms.clear();
            self.places.clear();
            self.places.resize((2 * capacity).next_power_of_two(), FREE);
        }
        for index in 0..population.len() {
            let (tree, hash) = (population.tree(index), population.hash(index));
            let form = match self.place(tree, hash) {
                Ok(form) => form,
                Err(place) => self.insert(place, tree, hash, population.score(index)),
            };
            self.forms[form].generation = Some(generation);
        }
    }

    /// The score of a tree, and whether it stands in the population seen last; or `score` of it, which is remembered.
    ///
    /// - hash: the tree's in its brood
    #[inline]
    pub(crate) fn score(
        &mut self,
        tree: &Tree,
        hash: u64,
        generation: u32,
        score: impl FnOnce(&Tree) -> Option<Score>,
    ) -> Option<(Score, bool)> {
        match self.place(tree, hash) {
            Ok(form) => Some((self.forms[form].score, self.forms[form].generation == Some(generation))),
            Err(place) => {
                let score = score(tree)?;
                self.insert(place, tree, hash, score);
                Some((score, false))
            }
        }
    }

    /// The form, or else the free place where its index has to stand.
    #[inline]
    fn place(&self, tree: &Tree, hash: u64) -> Result<usize, usize> {
        let mask = self.places.len() - 1;
        let mut place = (hash >> 32) as usize & mask; // the upper half is the better one of a product
        loop {
            let Some(form) = self.forms.get(self.places[place] as usize) else { return Err(place) };
            if form.hash == hash && as_tree(&self.nodes[form.start..form.start + form.size]) == tree {
                return Ok(self.places[place] as usize);
            }
            place = (place + 1) & mask;
        }
    }

    fn insert(&mut self, place: usize, tree: &Tree, hash: u64, score: Score) -> usize {
        let (form, start) = (self.forms.len(), self.nodes.len());
        self.nodes.extend_from_slice(tree.nodes());
        self.forms.push(Form { hash, start, size: tree.size(), score, generation: None });
        self.places[place] = form as u32;
        form
    }
}
