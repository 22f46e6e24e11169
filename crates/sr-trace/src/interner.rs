//! Trees by number.

use sr_expr::Node;

/// What trees are made of here.
pub(crate) trait Symbol: Copy + Eq {
    /// A number that equal symbols have in common, and others seldom.
    fn word(self) -> u64;
}

impl Symbol for Node {
    #[inline]
    fn word(self) -> u64 {
        self.bits()
    }
}

impl Symbol for u32 {
    #[inline]
    fn word(self) -> u64 {
        self.into()
    }
}

/// Numbers equal trees alike, from 0 in the order in which they come. It keeps a copy of their symbols.
#[derive(Debug, Clone)]
pub(crate) struct Interner<S> {
    /// Trees one after the other.
    symbols: Vec<S>,
    /// Where each ends in `symbols`.
    ends: Vec<usize>,
    hashes: Vec<u64>,
    /// Numbers by hash, one place in two free at least; [`FREE`] where there is none. Its length is a power of two.
    places: Vec<u32>,
}

const FREE: u32 = u32::MAX;

impl<S> Default for Interner<S> {
    fn default() -> Self {
        Interner { symbols: Vec::new(), ends: Vec::new(), hashes: Vec::new(), places: Vec::new() }
    }
}

impl<S: Symbol> Interner<S> {
    /// Trees so far.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The number of a tree, given as its symbols, and whether it is new.
    pub(crate) fn intern(&mut self, tree: &[S]) -> (u32, bool) {
        if 2 * (self.len() + 1) > self.places.len() {
            self.grow();
        }
        let hash = hash(tree);
        let mask = self.places.len() - 1;
        let mut place = (hash >> 32) as usize & mask; // the upper half is the better one of a product
        loop {
            match self.places[place] {
                FREE => break,
                number if self.hashes[number as usize] == hash && self.tree(number) == tree => return (number, false),
                _ => place = (place + 1) & mask,
            }
        }
        let number = self.len() as u32;
        self.places[place] = number;
        self.symbols.extend_from_slice(tree);
        self.ends.push(self.symbols.len());
        self.hashes.push(hash);
        (number, true)
    }

    /// The symbols of a tree.
    #[inline]
    pub(crate) fn tree(&self, number: u32) -> &[S] {
        let number = number as usize;
        let start = if number == 0 { 0 } else { self.ends[number - 1] };
        &self.symbols[start..self.ends[number]]
    }

    fn grow(&mut self) {
        let places = (2 * self.places.len()).max(256);
        self.places.clear();
        self.places.resize(places, FREE);
        for (number, hash) in self.hashes.iter().enumerate() {
            let mut place = (hash >> 32) as usize & (places - 1);
            while self.places[place] != FREE {
                place = (place + 1) & (places - 1);
            }
            self.places[place] = number as u32;
        }
    }
}

/// Trees are compared too, so it only has to be quick: a symbol at a time, and no care for its low bits.
fn hash<S: Symbol>(tree: &[S]) -> u64 {
    let mix = |hash: u64, symbol: &S| (hash.rotate_left(23) ^ symbol.word()).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    tree.iter().fold(0, mix)
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
                prop_assert_eq!(interner.tree(number), expr.nodes());
            }
            prop_assert_eq!(interner.len(), numbers.len());
        }
    }
}
