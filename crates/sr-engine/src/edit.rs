//! The edit that makes a child from its parent.

use std::borrow::Cow;

use sr_expr::{Expr, Node, Tree};

use crate::Population;

/// The replacement of one subtree of a parent. Every child of crossover and mutation is exactly one edit. A child that
/// would be too large is a copy of the parent instead, whose edit replaces the parent's root by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit<'a> {
    /// Index of the parent in the previous generation.
    pub parent: u32,
    /// Root of the replaced subtree, a post-order index into the parent.
    pub node: u32,
    /// The nodes that replace the subtree.
    pub replacement: Replacement<'a>,
}

/// The nodes that an [`Edit`] puts in the place of a subtree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replacement<'a> {
    /// A copy of a subtree of the previous generation.
    Donor {
        /// Index of the donor in the previous generation.
        parent: u32,
        /// Root of the copied subtree, a post-order index into the donor.
        node: u32,
    },
    /// Newly written nodes.
    Written(Cow<'a, Tree>),
}

/// An [`Edit`] that is `Copy` and borrows its nodes, so that looking at every individual allocates nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EditRef<'a> {
    /// The borrowed [`Replacement::Donor`].
    Donor {
        /// [`Edit::parent`]
        parent: u32,
        /// [`Edit::node`]
        node: u32,
        /// Index of the donor in the previous generation.
        donor: u32,
        /// Root of the copied subtree, a post-order index into the donor.
        from: u32,
    },
    /// The borrowed [`Replacement::Written`].
    Written {
        /// [`Edit::parent`]
        parent: u32,
        /// [`Edit::node`]
        node: u32,
        /// The new nodes.
        tree: &'a Tree,
    },
}

impl<'a> From<&'a Edit<'_>> for EditRef<'a> {
    fn from(edit: &'a Edit<'_>) -> Self {
        let Edit { parent, node, ref replacement } = *edit;
        match replacement {
            &Replacement::Donor { parent: donor, node: from } => EditRef::Donor { parent, node, donor, from },
            Replacement::Written(tree) => EditRef::Written { parent, node, tree },
        }
    }
}

impl<'a> From<EditRef<'a>> for Edit<'a> {
    #[inline]
    fn from(edit: EditRef<'a>) -> Self {
        match edit {
            EditRef::Donor { parent, node, donor, from } => {
                Edit { parent, node, replacement: Replacement::Donor { parent: donor, node: from } }
            }
            EditRef::Written { parent, node, tree } => {
                Edit { parent, node, replacement: Replacement::Written(Cow::Borrowed(tree)) }
            }
        }
    }
}

impl<'a> Edit<'a> {
    /// Returns the edit that copies an individual unchanged.
    pub fn copy(parent: u32, tree: &Tree) -> Self {
        let node = tree.size() as u32 - 1;
        Edit { parent, node, replacement: Replacement::Donor { parent, node } }
    }

    /// Returns the same edit, which owns its nodes.
    pub fn into_owned(self) -> Edit<'static> {
        let Edit { parent, node, replacement } = self;
        let replacement = match replacement {
            Replacement::Donor { parent, node } => Replacement::Donor { parent, node },
            Replacement::Written(tree) => Replacement::Written(Cow::Owned(tree.into_owned())),
        };
        Edit { parent, node, replacement }
    }

    /// Returns the child that the edit makes from `population`, or `None` if it points outside of it.
    pub fn apply(&self, population: &Population) -> Option<Expr> {
        let parent = subject(population, self.parent, self.node)?;
        Some(match &self.replacement {
            Replacement::Donor { parent: donor, node } => {
                let donor = subject(population, *donor, *node)?;
                parent.replaced(self.node as usize, donor.subtree(*node as usize))
            }
            Replacement::Written(tree) => parent.replaced(self.node as usize, tree),
        })
    }

    /// Returns the edit of `parent` (individual `index`) to `child` that writes the fewest nodes. It replaces the
    /// deepest subtree outside of which both agree.
    pub fn between(index: u32, parent: &Tree, child: &'a Tree) -> Self {
        let mut from = parent.size() - 1;
        let mut to = child.size() - 1;
        // Descend while exactly one operand differs.
        while let (Node::Op(a), Node::Op(b)) = (parent.nodes()[from], child.nodes()[to])
            && a == b
        {
            let last = (from - 1, to - 1);
            let mut differing = vec![last];
            if a.arity() == 2 {
                differing.push((parent.subtree_start(from - 1) - 1, child.subtree_start(to - 1) - 1));
            }
            differing.retain(|&(p, c)| parent.subtree(p) != child.subtree(c));
            match differing[..] {
                [] => {
                    // Equal trees: any node does; the last operand is the shortest to write down.
                    (from, to) = last;
                }
                [one] => (from, to) = one,
                _ => break,
            }
        }
        Edit { parent: index, node: from as u32, replacement: Replacement::Written(Cow::Borrowed(child.subtree(to))) }
    }
}

fn subject(population: &Population, index: u32, node: u32) -> Option<&Tree> {
    let tree = population.get(index as usize)?.tree;
    ((node as usize) < tree.size()).then_some(tree)
}
