//! A list of expressions in one piece of memory.

use std::fmt;

use sr_expr::{Node, Tree};

/// A list of expressions, numbered from 0 in the order in which they were added.
#[derive(Clone, Default)]
pub struct Trees {
    nodes: Vec<Node>,
    /// The end of each tree in `nodes`; it starts where the previous one ends.
    ends: Vec<usize>,
}

impl Trees {
    /// Makes a list of trees, each up to its place in `ends`.
    ///
    /// # Safety
    /// Each of them has to be one tree in post-order, and together they have to be all nodes.
    #[allow(unsafe_code)]
    pub(crate) unsafe fn from_parts(nodes: Vec<Node>, ends: Vec<usize>) -> Self {
        let trees = Trees { nodes, ends };
        debug_assert!((0..trees.len()).all(|tree| is_one_tree(&trees.nodes[trees.range(tree)])));
        trees
    }

    /// Makes an empty list with room for `trees` trees that have `nodes` nodes together.
    pub(crate) fn with_capacity(trees: usize, nodes: usize) -> Self {
        Trees { nodes: Vec::with_capacity(nodes), ends: Vec::with_capacity(trees) }
    }

    /// Returns the number of trees.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Returns whether there are no trees.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Adds a tree and returns its number.
    pub fn push(&mut self, tree: &Tree) -> usize {
        self.nodes.extend_from_slice(tree.nodes());
        self.ends.push(self.nodes.len());
        self.len() - 1
    }

    /// Returns the tree with a number.
    ///
    /// # Panics
    /// Panics if there is no such tree.
    #[inline]
    #[allow(unsafe_code)]
    pub fn tree(&self, number: usize) -> &Tree {
        // SAFETY: these nodes were pushed as a tree, or are one by the promise of `from_parts`.
        unsafe { Tree::from_nodes_unchecked(&self.nodes[self.range(number)]) }
    }

    /// Returns an iterator over all trees, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Tree> + DoubleEndedIterator + Clone {
        (0..self.len()).map(|number| self.tree(number))
    }

    #[inline]
    fn range(&self, number: usize) -> std::ops::Range<usize> {
        let start = if number == 0 { 0 } else { self.ends[number - 1] };
        start..self.ends[number]
    }
}

fn is_one_tree(nodes: &[Node]) -> bool {
    let roots = nodes.iter().try_fold(0_usize, |roots, node| roots.checked_sub(node.arity()).map(|left| left + 1));
    roots == Some(1)
}

impl fmt::Debug for Trees {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use sr_expr::Expr;

    use super::*;

    #[test]
    fn trees_are_numbered_in_order() {
        let exprs = ["x0 + 1", "x1", "sin(x0 * x1)"].map(|text| text.parse::<Expr>().expect(text));
        let mut trees = Trees::default();
        assert!(trees.is_empty());
        assert!(exprs.iter().map(|expr| trees.push(expr)).eq(0..3));
        assert_eq!(trees.len(), 3);
        assert!(trees.iter().eq(exprs.iter().map(|expr| &**expr)));
        assert_eq!(trees.tree(1), &*exprs[1]);
    }
}
