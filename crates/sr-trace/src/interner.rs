//! A table that numbers trees.

use std::ops::Range;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use sr_expr::Node;
use sr_expr::hash::quick;

/// The elements of the trees.
pub(crate) trait Symbol: Copy + Eq {
    /// An arbitrary symbol.
    const ANY: Self;

    /// Returns a number that equal trees share, and others seldom. `tree` has at least [`PADDING`] symbols beyond its
    /// `len`.
    fn hash(tree: &[Self], len: usize) -> u64;
}

/// The number of symbols behind a tree that [`Symbol::hash`] may read.
const PADDING: usize = 8;

impl Symbol for Node {
    const ANY: Node = Node::Var(0);

    #[inline]
    fn hash(tree: &[Node], len: usize) -> u64 {
        tree[..len].iter().fold(0, |hash, node| quick(hash, node.bits()))
    }
}

impl Symbol for u32 {
    const ANY: u32 = 0;

    #[inline]
    fn hash(tree: &[u32], len: usize) -> u64 {
        tree[..len].iter().fold(0, |hash, &symbol| quick(hash, symbol.into()))
    }
}

impl Symbol for u8 {
    const ANY: u8 = 0;

    /// Hashes eight symbols at a time. The last ones are filled up with [`Symbol::ANY`].
    #[inline]
    fn hash(tree: &[u8], len: usize) -> u64 {
        let (words, _) = tree[..len.next_multiple_of(8)].as_chunks();
        words.iter().fold(len as u64, |hash, &word| quick(hash, u64::from_le_bytes(word)))
    }
}

/// A table that gives equal trees the same number, counting from 0 in the order in which they come. It keeps their
/// symbols.
#[derive(Debug, Clone)]
pub(crate) struct Interner<S> {
    /// The trees one after the other, then the one that is being written, then at least [`SLACK`] symbols.
    symbols: Vec<S>,
    /// The start of the tree that is being written; `end` is its end.
    start: usize,
    end: usize,
    /// The place of each tree in `symbols`.
    spans: Vec<Span>,
    /// By hash.
    places: HashTable<Place>,
}

#[derive(Debug, Clone, Copy)]
struct Span {
    start: usize,
    end: usize,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    /// The upper half of the tree's hash, which is the better one of a product.
    hash: u32,
    number: u32,
}

impl Place {
    /// The table looks at both ends of a hash.
    #[inline]
    fn spread(hash: u32) -> u64 {
        u64::from(hash) << 32 | u64::from(hash)
    }
}

/// Symbols copied at a time, which is most trees at once: copying too many is quicker than counting.
const CHUNK: usize = 16;
/// The symbols that copies and [`PADDING`] may need beyond the end.
const SLACK: usize = 2 * CHUNK;

impl<S: Symbol> Default for Interner<S> {
    fn default() -> Self {
        Interner::new(Vec::new(), 0)
    }
}

impl<S: Symbol> Interner<S> {
    /// Makes a table with room for `trees` trees, or for some if they are very many. Parts can be copied from `symbols`
    /// as well as from the trees.
    pub(crate) fn new(mut symbols: Vec<S>, trees: usize) -> Self {
        let trees = trees.min(1 << 16);
        let start = symbols.len();
        symbols.resize(start + 16 * trees + SLACK, S::ANY);
        let places = HashTable::with_capacity(trees);
        Interner { symbols, start, end: start, spans: Vec::with_capacity(trees), places }
    }

    /// Returns the number of trees so far.
    pub(crate) fn len(&self) -> usize {
        self.spans.len()
    }

    /// Returns the number of a tree, given as its symbols, and whether it is new.
    pub(crate) fn intern(&mut self, tree: &[S]) -> (u32, bool) {
        self.make_room(tree.len());
        self.symbols[self.start..][..tree.len()].copy_from_slice(tree);
        self.end = self.start + tree.len();
        self.finish()
    }

    /// Makes room for the next tree, whose parts have at most `symbols` symbols together.
    #[inline]
    pub(crate) fn make_room(&mut self, symbols: usize) {
        if self.start + symbols + SLACK > self.symbols.len() {
            self.symbols.resize(2 * (self.start + symbols + SLACK), S::ANY);
        }
    }

    /// Appends a part of [`symbols`](Self::symbols) to the next tree.
    ///
    /// # Panics
    /// Panics if there is [no room](Self::make_room).
    #[inline]
    pub(crate) fn copy(&mut self, part: Range<usize>) {
        let (mut from, mut to) = (part.start, self.end);
        self.end += part.len();
        while from < part.end {
            let chunk: [S; CHUNK] = *self.symbols[from..].first_chunk().expect("slack");
            *self.symbols[to..].first_chunk_mut().expect("slack") = chunk;
            (from, to) = (from + CHUNK, to + CHUNK);
        }
    }

    /// Returns the number of symbols of the tree that is being written.
    #[inline]
    pub(crate) fn size(&self) -> usize {
        self.end - self.start
    }

    /// Completes the tree that is being written. Returns its number and whether it is new.
    #[inline]
    pub(crate) fn finish(&mut self) -> (u32, bool) {
        let (start, end) = (self.start, self.end);
        self.symbols[end..][..PADDING].fill(S::ANY);
        let hash = (S::hash(&self.symbols[start..], end - start) >> 32) as u32;
        let Interner { symbols, spans, places, .. } = self;
        let is_equal = |place: &Place| {
            let Span { start: from, end: to } = spans[place.number as usize];
            place.hash == hash && symbols[from..to] == symbols[start..end]
        };
        match places.entry(Place::spread(hash), is_equal, |place| Place::spread(place.hash)) {
            Entry::Occupied(place) => {
                self.end = start;
                (place.get().number, false)
            }
            Entry::Vacant(place) => {
                let number = spans.len() as u32;
                place.insert(Place { hash, number });
                spans.push(Span { start, end });
                self.start = end;
                (number, true)
            }
        }
    }

    /// Returns the place of a tree in [`symbols`](Self::symbols).
    #[inline]
    pub(crate) fn range(&self, number: u32) -> Range<usize> {
        let Span { start, end } = self.spans[number as usize];
        start..end
    }

    /// Returns the symbols given to [`new`](Self::new), then all trees, one after the other.
    #[inline]
    pub(crate) fn symbols(&self) -> &[S] {
        &self.symbols[..self.start]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;
    use sr_expr::Expr;

    use super::*;

    proptest! {
        #[test]
        fn equal_trees_have_one_number(exprs in proptest::collection::vec(sr_expr::testing::expr(2, 6), 0..600)) {
            let mut interner = Interner::default();
            let mut numbers: HashMap<&Expr, u32> = HashMap::new();
            for expr in &exprs {
                let next = numbers.len() as u32;
                let (number, is_new) = interner.intern(expr.nodes());
                prop_assert_eq!(is_new, number == next);
                prop_assert_eq!(number, *numbers.entry(expr).or_insert(next));
                prop_assert_eq!(&interner.symbols()[interner.range(number)], expr.nodes());
            }
            prop_assert_eq!(interner.len(), numbers.len());
        }
    }
}
