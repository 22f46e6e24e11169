//! Scores of forms met before.

use sr_expr::{Node, Tree};

use crate::Score;

/// Marks a place of the table that is free.
const FREE: u32 = u32::MAX;
/// Forms that are remembered, or twice what one generation needs.
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
    /// Forms that were ever new.
    met: u32,
}

#[derive(Debug, Clone, Copy)]
struct Form {
    hash: u64,
    start: usize,
    size: usize,
    score: Score,
    /// The last generation that it stood in.
    generation: Option<u32>,
    /// Counts forms that were new.
    serial: u32,
}

impl Known {
    /// Whether as many more forms may be remembered.
    pub(crate) fn has_room(&self, count: usize) -> bool {
        2 * (self.forms.len() + count) <= self.places.len()
    }

    /// Forgets everything and makes room for twice as many forms at least.
    pub(crate) fn clear(&mut self, count: usize) {
        self.nodes.clear();
        self.forms.clear();
        self.places.clear();
        self.places.resize((2 * CAPACITY.max(2 * count)).next_power_of_two(), FREE);
    }

    /// The form of a tree, remembered from now on with the score that `score` gives, if that is not `None`.
    ///
    /// - hash: the tree's in its offspring
    #[inline]
    pub(crate) fn form(&mut self, tree: &Tree, hash: u64, score: impl FnOnce() -> Option<Score>) -> Option<u32> {
        let mask = self.places.len() - 1;
        let mut place = (hash >> 32) as usize & mask; // the upper half is the better one of a product
        loop {
            let index = self.places[place];
            let Some(form) = self.forms.get(index as usize) else { break };
            if form.hash == hash && self.nodes[form.start..form.start + form.size] == *tree.nodes() {
                return Some(index);
            }
            place = (place + 1) & mask;
        }
        let (form, start) = (self.forms.len() as u32, self.nodes.len());
        self.forms.push(Form { hash, start, size: tree.size(), score: score()?, generation: None, serial: self.met });
        self.met += 1;
        self.nodes.extend_from_slice(tree.nodes());
        self.places[place] = form;
        Some(form)
    }

    /// The score of a form.
    #[inline]
    pub(crate) fn score(&self, form: u32) -> Score {
        self.forms[form as usize].score
    }

    /// A number that no other form of the search has. A form that was forgotten gets another one when it comes back.
    #[inline]
    pub(crate) fn serial(&self, form: u32) -> u32 {
        self.forms[form as usize].serial
    }

    /// Gives a form that stayed in the population the number back that it had before everything was forgotten.
    pub(crate) fn set_serial(&mut self, form: u32, serial: u32) {
        self.forms[form as usize].serial = serial;
    }

    /// Notes that a form stands in a generation.
    #[inline]
    pub(crate) fn mark(&mut self, form: u32, generation: u32) {
        self.forms[form as usize].generation = Some(generation);
    }

    /// Whether a form was last marked as one of this generation.
    #[inline]
    pub(crate) fn is_marked(&self, form: u32, generation: u32) -> bool {
        self.forms[form as usize].generation == Some(generation)
    }
}
