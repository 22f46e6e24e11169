//! Scores of expressions that the search has met before.

use sr_expr::{Node, Tree};

use crate::Score;

/// The mark of a free place of the table.
const FREE: u32 = u32::MAX;
/// The number of expressions that are remembered, or twice what one generation needs if that is more.
const CAPACITY: usize = 1024;

/// The scores of all expressions met since the table was last full. A search makes the same small expressions again and
/// again.
///
/// It is a hash table with open addressing (linear probing). The nodes of all expressions lie in one vector, whose
/// memory is reused.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    nodes: Vec<Node>,
    forms: Vec<Form>,
    /// Indices into `forms`. The length is a power of two, and at least half of the places are free.
    places: Vec<u32>,
    /// The number of expressions that were new when met, since the search began.
    met: u32,
}

#[derive(Debug, Clone, Copy)]
struct Form {
    hash: u64,
    start: usize,
    size: usize,
    score: Score,
    /// The last generation that the expression was part of.
    generation: Option<u32>,
    /// The value of `met` when the expression was new.
    serial: u32,
}

impl Known {
    /// Returns whether `count` more expressions can be remembered.
    pub(crate) fn has_room(&self, count: usize) -> bool {
        2 * (self.forms.len() + count) <= self.places.len()
    }

    /// Forgets everything and makes room for at least twice as many expressions.
    pub(crate) fn clear(&mut self, count: usize) {
        self.nodes.clear();
        self.forms.clear();
        self.places.clear();
        self.places.resize((2 * CAPACITY.max(2 * count)).next_power_of_two(), FREE);
    }

    /// Returns the index of a tree's expression. If it is new, remembers it with the score that `score` returns;
    /// returns `None` if `score` does.
    ///
    /// - hash: the hash of the tree in its offspring
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

    /// Returns the score of an expression.
    #[inline]
    pub(crate) fn score(&self, form: u32) -> Score {
        self.forms[form as usize].score
    }

    /// Returns a number that no other expression of the search has. An expression that was forgotten gets another one
    /// when it comes back.
    #[inline]
    pub(crate) fn serial(&self, form: u32) -> u32 {
        self.forms[form as usize].serial
    }

    /// Gives an expression that stayed in the population the number that it had before everything was forgotten.
    pub(crate) fn set_serial(&mut self, form: u32, serial: u32) {
        self.forms[form as usize].serial = serial;
    }

    /// Notes that an expression is part of a generation.
    #[inline]
    pub(crate) fn mark(&mut self, form: u32, generation: u32) {
        self.forms[form as usize].generation = Some(generation);
    }

    /// Returns whether an expression was last marked as part of this generation.
    #[inline]
    pub(crate) fn is_marked(&self, form: u32, generation: u32) -> bool {
        self.forms[form as usize].generation == Some(generation)
    }
}
