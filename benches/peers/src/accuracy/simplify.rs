//! The size of a formula in its shortest plain words, so that systems with a coefficient at every variable are not
//! charged for writing `1.0 * x0`.

use sr_expr::{Simplified, Tree};

/// Constants this near to a whole or half number, relative to it, are that number: a fit leaves such differences.
const NEAR: f64 = 1e-7;

/// Returns the number of nodes of the simplified tree, or of the tree itself if that is less.
pub fn size(tree: &Tree) -> usize {
    Simplified::new(tree, NEAR).map_or(tree.size(), |simplified| simplified.size().min(tree.size()))
}

/// Returns the number of constants of the simplified tree. `None` for a tree of more than 2,000 nodes.
pub fn n_constants(tree: &Tree) -> Option<usize> {
    Simplified::new(tree, NEAR).map(|simplified| simplified.n_constants())
}
