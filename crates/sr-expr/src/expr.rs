//! The expression itself: a flat post-order array.

use std::borrow::Borrow;
use std::fmt::Write as _;
use std::hash::{Hash, Hasher};
use std::ops::Deref;

use crate::Op;
use crate::hash::{GOLDEN, mix};

/// One node of an expression.
///
/// Two constants are equal when their bits are, so that `Eq` and `Hash` hold for NaN and −0 too.
#[derive(Debug, Clone, Copy)]
#[repr(u8)] // its layout is defined, which the compiler of programs uses
pub enum Node {
    /// Variable `x{index}`.
    Var(u16),
    /// A number.
    Const(f64),
    /// An operator; its operands are the subtrees that end just before it.
    Op(Op),
}

impl Node {
    /// Returns the number of operands: 0, 1 or 2.
    #[inline]
    pub fn arity(self) -> usize {
        match self {
            Node::Op(op) => op.arity(),
            Node::Var(_) | Node::Const(_) => 0,
        }
    }

    /// Returns a number that is equal for equal nodes only, up to collisions of 64 bits with constants.
    #[inline]
    pub fn bits(self) -> u64 {
        match self {
            Node::Var(index) => 0x7ff8_0001_0000_0000 | u64::from(index),
            Node::Op(op) => 0x7ff8_0002_0000_0000 | op as u64,
            Node::Const(value) => value.to_bits(),
        }
    }
}

impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Node::Var(a), Node::Var(b)) => a == b,
            (Node::Const(a), Node::Const(b)) => a.to_bits() == b.to_bits(),
            (Node::Op(a), Node::Op(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Node {}

impl Hash for Node {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.bits().hash(state);
    }
}

/// The reason why an array of nodes is no expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExprError {
    /// There are no nodes.
    #[error("an expression has at least one node")]
    Empty,
    /// An operator comes before its operands.
    #[error("node {node} ({op}) wants {arity} operands, {found} come before it", arity = op.arity())]
    MissingOperand {
        /// Index of the operator.
        node: usize,
        /// The operator.
        op: Op,
        /// The number of complete subtrees before it.
        found: usize,
    },
    /// More than one subtree is left at the end.
    #[error("{roots} roots, expected one")]
    ManyRoots {
        /// The number of subtrees left.
        roots: usize,
    },
}

/// Checks that nodes are one expression in post-order.
#[inline]
pub(crate) fn check(nodes: &[Node]) -> Result<(), ExprError> {
    // Every operator has its operands exactly if at least one subtree stands at each place, itself included.
    let (mut roots, mut is_right) = (0_usize, true);
    for node in nodes {
        roots = roots.wrapping_add(1).wrapping_sub(node.arity());
        is_right &= roots.wrapping_sub(1) < nodes.len();
    }
    if is_right && roots == 1 { Ok(()) } else { Err(fault(nodes)) }
}

/// What keeps nodes from being one expression in post-order.
#[cold]
fn fault(nodes: &[Node]) -> ExprError {
    let mut roots = 0;
    for (node, &kind) in nodes.iter().enumerate() {
        if let Node::Op(op) = kind {
            if roots < op.arity() {
                return ExprError::MissingOperand { node, op, found: roots };
            }
            roots -= op.arity();
        }
        roots += 1;
    }
    if roots == 0 { ExprError::Empty } else { ExprError::ManyRoots { roots } }
}

/// An owned expression: nodes in post-order, the root last, every subtree a contiguous slice.
///
/// `(x0 + 1.0)` is `[x0, 1.0, +]`. It dereferences to [`Tree`], which has the reading methods.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Expr {
    nodes: Vec<Node>,
}

impl Expr {
    /// Makes an expression of nodes that are in post-order.
    ///
    /// # Errors
    /// Returns an error that says which node breaks the order.
    pub fn new(nodes: Vec<Node>) -> Result<Self, ExprError> {
        check(&nodes).map(|()| Expr { nodes })
    }

    /// Makes an expression of nodes in prefix order (the root first), the order that the model writes.
    ///
    /// # Errors
    /// Returns an error where [`Expr::new`] does, and if nodes are left over after the root's subtree.
    pub fn from_prefix(prefix: &[Node]) -> Result<Self, ExprError> {
        // Reading prefix order backwards meets every operand before its operator.
        let mut roots = 0;
        for (node, &kind) in prefix.iter().enumerate().rev() {
            if let Node::Op(op) = kind {
                if roots < op.arity() {
                    return Err(ExprError::MissingOperand { node, op, found: roots });
                }
                roots -= op.arity();
            }
            roots += 1;
        }
        match roots {
            0 => return Err(ExprError::Empty),
            1 => {}
            roots => return Err(ExprError::ManyRoots { roots }),
        }
        // Operators whose operands are still being read, with the number of operands missing. O(size) at any depth.
        let mut open: Vec<(Node, usize)> = Vec::new();
        let mut nodes = Vec::with_capacity(prefix.len());
        for &node in prefix {
            if node.arity() > 0 {
                open.push((node, node.arity()));
                continue;
            }
            nodes.push(node);
            // A leaf may complete any number of operators.
            while let Some((op, missing)) = open.last_mut() {
                *missing -= 1;
                if *missing > 0 {
                    break;
                }
                nodes.push(*op);
                open.pop();
            }
        }
        Ok(Expr { nodes })
    }

    /// Makes an expression of a single node, which has to be a leaf.
    ///
    /// # Panics
    /// Panics if it is an operator.
    pub fn leaf(node: Node) -> Self {
        assert_eq!(node.arity(), 0, "{node:?} is no leaf");
        Expr { nodes: vec![node] }
    }

    /// Makes the variable `x{index}`.
    pub fn var(index: u16) -> Self {
        Expr::leaf(Node::Var(index))
    }

    /// Makes a constant.
    pub fn constant(value: f64) -> Self {
        Expr::leaf(Node::Const(value))
    }

    /// Applies `op` to a copy of one operand.
    ///
    /// # Panics
    /// Panics if the operator is not unary.
    pub fn unary(op: Op, a: &Tree) -> Self {
        assert_eq!(op.arity(), 1, "{op} is not unary");
        let mut nodes = Vec::with_capacity(a.size() + 1);
        nodes.extend_from_slice(a.nodes());
        nodes.push(Node::Op(op));
        Expr { nodes }
    }

    /// Applies `op` to copies of two operands.
    ///
    /// # Panics
    /// Panics if the operator is not binary.
    pub fn binary(op: Op, a: &Tree, b: &Tree) -> Self {
        assert_eq!(op.arity(), 2, "{op} is not binary");
        let mut nodes = Vec::with_capacity(a.size() + b.size() + 1);
        nodes.extend_from_slice(a.nodes());
        nodes.extend_from_slice(b.nodes());
        nodes.push(Node::Op(op));
        Expr { nodes }
    }

    /// Returns the nodes, in post-order.
    pub fn into_nodes(self) -> Vec<Node> {
        self.nodes
    }
}

impl Deref for Expr {
    type Target = Tree;

    fn deref(&self) -> &Tree {
        Tree::from_valid(&self.nodes)
    }
}

impl Borrow<Tree> for Expr {
    fn borrow(&self) -> &Tree {
        self
    }
}

impl AsRef<Tree> for Expr {
    fn as_ref(&self) -> &Tree {
        self
    }
}

impl From<&Tree> for Expr {
    fn from(tree: &Tree) -> Self {
        tree.to_owned()
    }
}

/// A borrowed expression: the slice of an [`Expr`] that is one whole subtree.
#[derive(Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Tree([Node]);

impl ToOwned for Tree {
    type Owned = Expr;

    fn to_owned(&self) -> Expr {
        Expr { nodes: self.0.to_vec() }
    }
}

// Hashes as a slice, so that `Expr` and `Tree` hash alike, as `Borrow` demands (a `Vec` hashes as its slice).
impl Hash for Tree {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl Tree {
    /// Borrows nodes as the expression that they are in post-order. O(nodes).
    ///
    /// # Errors
    /// As [`Expr::new`].
    pub fn new(nodes: &[Node]) -> Result<&Tree, ExprError> {
        check(nodes).map(|()| Tree::from_valid(nodes))
    }

    /// Borrows nodes that are known to be one expression: evaluation relies on it and would read outside of its memory.
    #[allow(unsafe_code)]
    #[inline]
    pub(crate) fn from_valid(nodes: &[Node]) -> &Tree {
        debug_assert!(!nodes.is_empty());
        // SAFETY: `Tree` is a transparent wrapper of `[Node]`, so both have the same layout and metadata.
        unsafe { &*(std::ptr::from_ref(nodes) as *const Tree) }
    }

    /// Returns the nodes, in post-order.
    pub fn nodes(&self) -> &[Node] {
        &self.0
    }

    /// Returns the number of nodes, at least 1.
    pub fn size(&self) -> usize {
        self.0.len()
    }

    /// Returns the number of edges on the longest path from the root to a leaf; a leaf has depth 0.
    pub fn depth(&self) -> usize {
        // Depths of the subtrees that wait for their operator.
        let mut stack: Vec<usize> = Vec::new();
        for node in &self.0 {
            let operands = stack.len() - node.arity();
            let depth = stack.drain(operands..).max().map_or(0, |below| below + 1);
            stack.push(depth);
        }
        stack[0]
    }

    /// Returns the index of the first node of the subtree whose root is `node`. O(size of the subtree).
    ///
    /// # Panics
    /// Panics if there is no such node.
    #[inline]
    pub fn subtree_start(&self, node: usize) -> usize {
        let mut open = 1;
        let mut at = node + 1;
        while open > 0 {
            at -= 1;
            open = open + self.0[at].arity() - 1;
        }
        at
    }

    /// Returns the subtree whose root is `node`.
    ///
    /// # Panics
    /// Panics if there is no such node.
    #[inline]
    pub fn subtree(&self, node: usize) -> &Tree {
        Tree::from_valid(&self.0[self.subtree_start(node)..=node])
    }

    /// Returns a copy in which the subtree rooted at `node` is replaced.
    ///
    /// # Panics
    /// Panics if there is no such node.
    pub fn replaced(&self, node: usize, replacement: &Tree) -> Expr {
        let start = self.subtree_start(node);
        let mut nodes = Vec::with_capacity(start + replacement.size() + self.size() - node - 1);
        nodes.extend_from_slice(&self.0[..start]);
        nodes.extend_from_slice(&replacement.0);
        nodes.extend_from_slice(&self.0[node + 1..]);
        Expr { nodes }
    }

    /// Returns the nodes in prefix order: the root first, then its operands from left to right.
    pub fn to_prefix(&self) -> Vec<Node> {
        let starts = self.subtree_starts();
        let mut out = Vec::with_capacity(self.size());
        let mut stack = vec![self.size() - 1];
        while let Some(node) = stack.pop() {
            out.push(self.0[node]);
            let mut child = node;
            for _ in 0..self.0[node].arity() {
                stack.push(child - 1);
                child = starts[child - 1];
            }
        }
        out
    }

    /// Returns for each node the index of the first node of its subtree. O(size).
    pub(crate) fn subtree_starts(&self) -> Vec<usize> {
        let mut starts: Vec<usize> = Vec::with_capacity(self.size());
        for (index, node) in self.0.iter().enumerate() {
            let mut start = index;
            for _ in 0..node.arity() {
                start = starts[start - 1];
            }
            starts.push(start);
        }
        starts
    }

    /// Returns the constants, in post-order: from left to right in the printed text.
    pub fn constants(&self) -> impl Iterator<Item = f64> {
        self.0.iter().filter_map(|node| if let Node::Const(value) = *node { Some(value) } else { None })
    }

    /// Returns the number of variables that an input needs: one more than the highest index, 0 without variables.
    pub fn n_variables(&self) -> usize {
        self.0.iter().map(|n| if let Node::Var(i) = n { usize::from(*i) + 1 } else { 0 }).max().unwrap_or(0)
    }

    /// Returns whether variable `index` occurs.
    pub fn uses_variable(&self, index: u16) -> bool {
        self.0.contains(&Node::Var(index))
    }

    /// Returns the printed expression with every constant written `C`.
    ///
    /// Two problems with the same skeleton differ in constants only, so they may not lie on both sides of a split.
    pub fn skeleton(&self) -> String {
        let mut text = String::new();
        write!(text, "{}", self.display_skeleton()).expect("writing to a string");
        text
    }

    /// Returns a 64-bit hash: equal for equal trees and, except for collisions, for no others. It is the same on every
    /// machine.
    pub fn hash64(&self) -> u64 {
        self.0.iter().fold(GOLDEN ^ self.size() as u64, |hash, node| mix(hash, node.bits()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expr(text: &str) -> Expr {
        text.parse().expect("test expression")
    }

    #[test]
    fn new_rejects_what_is_no_post_order() {
        let add = Node::Op(Op::Add);
        assert_eq!(Expr::new(vec![]), Err(ExprError::Empty));
        assert_eq!(
            Expr::new(vec![Node::Var(0), add]),
            Err(ExprError::MissingOperand { node: 1, op: Op::Add, found: 1 })
        );
        assert_eq!(Expr::new(vec![Node::Var(0), Node::Var(1)]), Err(ExprError::ManyRoots { roots: 2 }));
        assert!(Expr::new(vec![Node::Var(0), Node::Var(1), add]).is_ok());
    }

    proptest::proptest! {
        #[test]
        fn the_check_accepts_what_a_stack_does(
            kinds in proptest::collection::vec(proptest::prelude::prop_oneof![
                3 => proptest::prelude::Just(Node::Var(0)),
                1 => proptest::prelude::Just(Node::Op(Op::Sin)),
                2 => proptest::prelude::Just(Node::Op(Op::Add)),
            ], 0..9),
        ) {
            let push = |stack: Option<usize>, node: &Node| Some(stack?.checked_sub(node.arity())? + 1);
            let is_expression = kinds.iter().fold(Some(0), push) == Some(1);
            proptest::prop_assert_eq!(check(&kinds).is_ok(), is_expression);
        }
    }

    #[test]
    fn subtrees_are_slices() {
        let e = expr("(x0 + 1.0) * sin(x1)");
        assert_eq!((e.size(), e.depth()), (6, 2));
        assert_eq!(e.subtree(2).to_string(), "(x0 + 1.0)");
        assert_eq!(e.subtree(4).to_string(), "sin(x1)");
        assert_eq!(e.replaced(2, e.subtree(4)).to_string(), "(sin(x1) * sin(x1))");
        assert_eq!(expr("x0").depth(), 0);
    }

    #[test]
    fn skeleton_hides_constants_only() {
        assert_eq!(expr("2.5*x0 + 1").skeleton(), "((C * x0) + C)");
        assert_ne!(expr("x0 + 1").skeleton(), expr("x1 + 1").skeleton());
    }

    #[test]
    fn prefix_order_round_trips() {
        let e = expr("(x0 - 1.0) / sin(x1 * x2)");
        let prefix = e.to_prefix();
        assert_eq!(prefix[0], Node::Op(Op::Div));
        assert_eq!(prefix[1], Node::Op(Op::Sub));
        assert_eq!(Expr::from_prefix(&prefix), Ok(e));
        assert!(Expr::from_prefix(&prefix[..3]).is_err());
        assert!(Expr::from_prefix(&[]).is_err());
        assert!(Expr::from_prefix(&[Node::Var(0), Node::Var(1)]).is_err());
    }

    #[test]
    fn equality_is_by_bits() {
        assert_eq!(Expr::constant(f64::NAN), Expr::constant(f64::NAN));
        assert_ne!(Expr::constant(0.0), Expr::constant(-0.0));
        assert_ne!(expr("x0 - x1").hash64(), expr("x1 - x0").hash64());
    }
}
