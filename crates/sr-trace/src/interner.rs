//! Trees by number.

use sr_expr::Node;

/// Numbers equal trees alike, from 0 in the order in which they come. What it keeps is a copy of their nodes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Interner {
    /// Trees one after the other.
    nodes: Vec<Node>,
    /// Where each ends in `nodes`.
    ends: Vec<usize>,
    hashes: Vec<u64>,
    /// Numbers by hash, one place in two free at least; [`FREE`] where there is none. Its length is a power of two.
    places: Vec<u32>,
}

const FREE: u32 = u32::MAX;

impl Interner {
    /// Trees so far.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The number of a tree, given as its nodes, and whether it is new.
    pub(crate) fn intern(&mut self, nodes: &[Node]) -> (u32, bool) {
        if 2 * (self.len() + 1) > self.places.len() {
            self.grow();
        }
        let hash = hash(nodes);
        let mask = self.places.len() - 1;
        let mut place = (hash >> 32) as usize & mask; // the upper half is the better one of a product
        loop {
            match self.places[place] {
                FREE => break,
                tree if self.hashes[tree as usize] == hash && self.nodes(tree) == nodes => return (tree, false),
                _ => place = (place + 1) & mask,
            }
        }
        let tree = self.len() as u32;
        self.places[place] = tree;
        self.nodes.extend_from_slice(nodes);
        self.ends.push(self.nodes.len());
        self.hashes.push(hash);
        (tree, true)
    }

    /// The nodes of a tree.
    pub(crate) fn nodes(&self, tree: u32) -> &[Node] {
        let tree = tree as usize;
        let start = if tree == 0 { 0 } else { self.ends[tree - 1] };
        &self.nodes[start..self.ends[tree]]
    }

    fn grow(&mut self) {
        let places = (2 * self.places.len()).max(256);
        self.places.clear();
        self.places.resize(places, FREE);
        for (tree, hash) in self.hashes.iter().enumerate() {
            let mut place = (hash >> 32) as usize & (places - 1);
            while self.places[place] != FREE {
                place = (place + 1) & (places - 1);
            }
            self.places[place] = tree as u32;
        }
    }
}

/// Trees are compared too, so it only has to be quick: a word at a time, and no care for its low bits.
fn hash(nodes: &[Node]) -> u64 {
    let mix = |hash: u64, node: &Node| (hash.rotate_left(23) ^ node.bits()).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    nodes.iter().fold(0, mix)
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
                prop_assert_eq!(interner.nodes(number), expr.nodes());
            }
            prop_assert_eq!(interner.len(), numbers.len());
        }
    }
}
