//! Many trees in one piece of memory.

use std::fmt;

use crate::expr::check;
use crate::{ExprError, Node, Tree};

/// An arena of trees: they lie side by side in one piece of memory and are numbered from 0 in the order in which they
/// were added. Adding allocates nothing once there was room for as many, and clearing keeps the memory.
///
/// Only whole trees get in, so what [`get`](Self::get) gives is a tree without being checked again.
///
/// ```
/// use sr_expr::{Expr, Forest};
///
/// let (parent, donor): (Expr, Expr) = ("x0 * x1".parse()?, "sin(x2)".parse()?);
/// let mut forest = Forest::default();
/// let [child, graft] = forest.splice(&parent, 1, &donor, 10).expect("no more than 10 nodes");
/// assert_eq!(forest.get(child).to_string(), "(x0 * sin(x2))");
/// assert_eq!(forest.get(graft), &*donor);
/// # Ok::<(), sr_expr::ParseError>(())
/// ```
#[derive(Clone, Default)]
pub struct Forest {
    nodes: Vec<Node>,
    spans: Vec<Span>,
}

/// Where a tree lies. Trees may share nodes.
#[derive(Debug, Clone, Copy)]
struct Span {
    start: u32,
    size: u32,
}

impl Forest {
    /// Makes a forest with room for so many trees, which together have so many nodes.
    pub fn with_capacity(trees: usize, nodes: usize) -> Self {
        Forest { nodes: Vec::with_capacity(nodes), spans: Vec::with_capacity(trees) }
    }

    /// Makes room for so many more trees and nodes.
    pub fn reserve(&mut self, trees: usize, nodes: usize) {
        self.spans.reserve(trees);
        self.nodes.reserve(nodes);
    }

    /// The number of trees.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there are no trees.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Removes all trees and keeps the memory.
    pub fn clear(&mut self) {
        self.nodes.clear();
        self.spans.clear();
    }

    /// Adds a copy of a tree and returns its number.
    ///
    /// # Panics
    /// If the forest then had 2³² nodes or more. This holds for whatever adds to it.
    #[inline]
    pub fn push(&mut self, tree: &Tree) -> usize {
        self.nodes.extend_from_slice(tree.nodes());
        self.add_last(tree.size())
    }

    /// Adds the tree that these nodes are in post-order, and returns its number.
    ///
    /// # Errors
    /// As [`Expr::new`](crate::Expr::new); the forest stays as it was.
    pub fn push_nodes(&mut self, nodes: impl IntoIterator<Item = Node>) -> Result<usize, ExprError> {
        let start = self.nodes.len();
        self.nodes.extend(nodes);
        match check(&self.nodes[start..]) {
            Ok(()) => Ok(self.add_last(self.nodes.len() - start)),
            Err(error) => {
                self.nodes.truncate(start);
                Err(error)
            }
        }
    }

    /// Adds a copy of `parent` in which `replacement` stands in the place of the subtree rooted at `node`, and returns the
    /// numbers of the copy and, as a tree that shares its nodes, of the replacement in it. Returns `None` and adds nothing
    /// if the copy had more than `max_size` nodes.
    ///
    /// # Panics
    /// If the parent has no such node.
    #[inline]
    pub fn splice(&mut self, parent: &Tree, node: usize, replacement: &Tree, max_size: usize) -> Option<[usize; 2]> {
        let start = parent.subtree_start(node);
        let (parent, replacement) = (parent.nodes(), replacement.nodes());
        let size = parent.len() - (node + 1 - start) + replacement.len();
        if size > max_size {
            return None;
        }
        self.nodes.reserve(size);
        self.nodes.extend_from_slice(&parent[..start]);
        self.nodes.extend_from_slice(replacement);
        self.nodes.extend_from_slice(&parent[node + 1..]);
        let copy = self.add_last(size);
        let start = self.spans[copy].start + start as u32;
        self.spans.push(Span { start, size: replacement.len() as u32 });
        Some([copy, copy + 1])
    }

    /// Adds a copy of a tree of this forest with other constants, in post-order, and returns its number.
    ///
    /// # Panics
    /// If there is no such tree, or it has more constants than are given.
    pub fn push_with_constants(&mut self, tree: usize, constants: &[f64]) -> usize {
        let Span { start, size } = self.spans[tree];
        let copy = self.nodes.len();
        self.nodes.extend_from_within(start as usize..(start + size) as usize);
        let mut constants = constants.iter();
        for node in &mut self.nodes[copy..] {
            if let Node::Const(value) = node {
                *value = *constants.next().expect("a constant for each of the tree");
            }
        }
        self.add_last(size as usize)
    }

    /// The tree with a number.
    ///
    /// # Panics
    /// If there is none.
    #[inline]
    pub fn get(&self, tree: usize) -> &Tree {
        let Span { start, size } = self.spans[tree];
        Tree::from_valid(&self.nodes[start as usize..][..size as usize])
    }

    /// All trees, in the order of their numbers.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Tree> + DoubleEndedIterator + Clone {
        (0..self.len()).map(|tree| self.get(tree))
    }

    /// Numbers the last `size` nodes, which are a whole tree.
    #[inline]
    fn add_last(&mut self, size: usize) -> usize {
        // A number that was cut would make a part of a tree look like a tree.
        let end = u32::try_from(self.nodes.len()).expect("a forest of less than 2^32 nodes");
        debug_assert_eq!(check(&self.nodes[self.nodes.len() - size..]), Ok(()));
        let size = size as u32;
        self.spans.push(Span { start: end - size, size });
        self.len() - 1
    }
}

impl fmt::Debug for Forest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// A tree that is written node by node, in post-order. It knows where the operands begin that still wait for their
/// operator, and can take back the last of them.
///
/// ```
/// use sr_expr::{Node, Op, TreeBuilder};
///
/// let mut builder = TreeBuilder::default();
/// for node in [Node::Var(0), Node::Var(1), Node::Op(Op::Sin), Node::Op(Op::Add)] {
///     builder.push(node);
/// }
/// assert_eq!(builder.last().to_string(), "(x0 + sin(x1))");
/// builder.replace_last(Node::Var(2));
/// assert_eq!(builder.last().to_string(), "x2");
/// ```
#[derive(Debug, Clone, Default)]
pub struct TreeBuilder {
    nodes: Vec<Node>,
    /// Where each operand starts that waits for its operator.
    starts: Vec<usize>,
}

impl TreeBuilder {
    /// Removes all that was written and keeps the memory.
    pub fn clear(&mut self) {
        self.nodes.clear();
        self.starts.clear();
    }

    /// Writes a node, whose operands are what was written last.
    ///
    /// # Panics
    /// If there are not as many operands.
    #[inline]
    pub fn push(&mut self, node: Node) {
        let mut start = self.nodes.len();
        for _ in 0..node.arity() {
            start = self.starts.pop().expect("an operator comes after its operands");
        }
        self.starts.push(start);
        self.nodes.push(node);
    }

    /// The tree whose root was written last; the whole tree, once the last operator is written.
    ///
    /// # Panics
    /// If nothing was written.
    #[inline]
    pub fn last(&self) -> &Tree {
        Tree::from_valid(&self.nodes[*self.starts.last().expect("a node was written")..])
    }

    /// Puts a leaf in the place of the tree whose root was written last.
    ///
    /// # Panics
    /// If nothing was written, or the node is no leaf.
    #[inline]
    pub fn replace_last(&mut self, leaf: Node) {
        assert_eq!(leaf.arity(), 0, "{leaf:?} is no leaf");
        self.nodes.truncate(*self.starts.last().expect("a node was written"));
        self.nodes.push(leaf);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Expr, Op};

    #[test]
    fn trees_are_numbered_in_order() {
        let exprs = ["x0 + 1", "x1", "sin(x0 * x1)"].map(|text| text.parse::<Expr>().expect(text));
        let mut forest = Forest::default();
        assert!(forest.is_empty());
        assert!(exprs.iter().map(|expr| forest.push(expr)).eq(0..3));
        assert!(forest.iter().eq(exprs.iter().map(|expr| &**expr)));
        forest.clear();
        assert!(forest.is_empty());
    }

    #[test]
    fn nodes_that_are_no_tree_are_refused_and_leave_no_trace() {
        let mut forest = Forest::default();
        assert_eq!(forest.push_nodes([]), Err(ExprError::Empty));
        assert_eq!(forest.push_nodes([Node::Var(0), Node::Var(1)]), Err(ExprError::ManyRoots { roots: 2 }));
        assert_eq!(forest.push_nodes([Node::Var(0), Node::Var(1), Node::Op(Op::Add)]), Ok(0));
        assert_eq!(format!("{forest:?}").matches("Var").count(), 2);
    }

    #[test]
    #[should_panic(expected = "after its operands")]
    fn an_operator_without_operands_is_refused() {
        let mut builder = TreeBuilder::default();
        builder.push(Node::Var(0));
        builder.push(Node::Op(Op::Add));
    }

    proptest! {
        #[test]
        fn a_splice_is_the_parent_with_a_subtree_replaced(
            parent in crate::testing::expr(3, 20),
            donor in crate::testing::expr(3, 20),
            node in any::<prop::sample::Index>(),
        ) {
            let node = node.index(parent.size());
            let mut forest = Forest::default();
            forest.push(&donor);
            let expected = parent.replaced(node, &donor);
            prop_assert_eq!(forest.splice(&parent, node, &donor, expected.size() - 1), None);
            let [child, graft] = forest.splice(&parent, node, &donor, expected.size()).expect("small enough");
            prop_assert_eq!(forest.get(child), &*expected);
            prop_assert_eq!(forest.get(graft), &*donor);
            prop_assert_eq!(forest.len(), 3);
        }

        #[test]
        fn what_was_written_last_is_the_subtree(expr in crate::testing::expr(3, 20)) {
            let mut builder = TreeBuilder::default();
            for (index, &node) in expr.nodes().iter().enumerate() {
                builder.push(node);
                prop_assert_eq!(builder.last(), expr.subtree(index));
            }
        }
    }
}
