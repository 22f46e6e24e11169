//! Values of subtrees that were met before.

use std::ops::Range;

use sr_expr::hash::GOLDEN;
use sr_expr::{Columns, Machine, Node, Op, Semantics, Tree, TreeBuilder};

/// The fewest rows for which looking a subtree up is cheaper than computing it.
const MIN_ROWS: usize = 128;
/// The bytes for values: a part of the second-level cache, from which reading is faster than computing.
const BYTES: usize = 1 << 20;
/// The largest number of subtrees that are kept.
const MAX_KEPT: usize = 256;
/// The number of nodes of the largest subtree that is kept.
const MAX_SIZE: usize = 32;
/// The number of places for subtrees that were met; a later subtree overwrites an earlier one.
const PLACES: usize = 1 << 12;

/// Keeps the values of subtrees whose root is a slow function (`sin`, `exp`, `pow`, …), so that children that inherit
/// such a subtree read it like a variable. The bits of a score are the same with it and without.
///
/// The kept subtrees are further columns of the data; a tree is evaluated with each of them in the place of the subtree.
/// A subtree is kept from the second time it is met, and the one that has been kept longest makes room.
#[derive(Debug, Clone)]
pub(crate) struct Subtrees {
    /// The instance's columns, then one for each kept subtree.
    columns: Columns,
    n_variables: usize,
    kept: Vec<Kept>,
    /// The nodes of the kept subtrees, `[kept][MAX_SIZE]`.
    forms: Vec<Node>,
    /// The index of the next subtree to be replaced.
    next: usize,
    /// The number of trees so far.
    tree: u64,
    /// The subtrees that were met, by hash.
    met: Vec<Met>,
    /// The nodes of the rewritten tree.
    rewritten: TreeBuilder,
    /// The subtrees of that tree that wait for their operator.
    waiting: Vec<Waiting>,
    values: Vec<f64>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Met {
    hash: u64,
    /// The index in `kept`, if it is still kept.
    index: u32,
}

#[derive(Debug, Clone, Copy, Default)]
struct Kept {
    hash: u64,
    size: usize,
    /// The number of the tree that last used it. That tree may use it again, and needs it until it is evaluated.
    tree: u64,
}

#[derive(Debug, Clone)]
struct Waiting {
    hash: u64,
    /// The index of its first node in the original tree.
    start: usize,
}

impl Subtrees {
    /// Returns `None` for data with few rows or without slow functions, for which keeping subtrees does not pay.
    pub(crate) fn for_data(x: &Columns, ops: &[Op]) -> Option<Self> {
        if x.n_rows() < MIN_ROWS || !ops.iter().any(|&op| is_slow(op)) {
            return None;
        }
        let n_kept = (BYTES / (size_of::<f64>() * x.n_rows())).min(MAX_KEPT);
        (n_kept > 0 && x.n_columns() + n_kept <= usize::from(u16::MAX)).then(|| Subtrees::new(x, n_kept))
    }

    fn new(x: &Columns, n_kept: usize) -> Self {
        let n_variables = x.n_columns();
        let value = |row: usize, column: usize| if column < n_variables { x.column(column)[row] } else { 0.0 };
        Subtrees {
            columns: Columns::from_fn(x.n_rows(), n_variables + n_kept, value),
            n_variables,
            kept: vec![Kept::default(); n_kept],
            forms: vec![Node::Var(0); n_kept * MAX_SIZE],
            next: 0,
            tree: 0,
            met: vec![Met::default(); PLACES],
            rewritten: TreeBuilder::default(),
            waiting: Vec::new(),
            values: Vec::new(),
        }
    }

    /// Returns a tree and columns that give the values of `tree` on the data.
    pub(crate) fn rewrite(
        &mut self,
        tree: &Tree,
        semantics: Semantics,
        machine: &mut Machine<f64>,
    ) -> (&Tree, &Columns) {
        self.rewritten.clear();
        self.waiting.clear();
        self.tree += 1;
        for (at, &node) in tree.nodes().iter().enumerate() {
            let b = if node.arity() > 0 { self.waiting.pop() } else { None };
            let a = if node.arity() > 1 { self.waiting.pop() } else { None };
            let start = a.as_ref().or(b.as_ref()).map_or(at, |first| first.start);
            let hash =
                [&a, &b].into_iter().flatten().fold(mix(0, node.bits()), |hash, operand| mix(hash, operand.hash));
            self.rewritten.push(node);
            match node {
                Node::Var(index) if usize::from(index) >= self.n_variables => {
                    // Columns that the data does not have are NaN, but here they hold kept values.
                    self.rewritten.replace_last(Node::Const(f64::NAN));
                }
                Node::Op(op) if is_slow(op) => {
                    let original = start..at + 1;
                    if let Some(index) = self.find_or_keep(tree, original, hash, semantics, machine) {
                        self.rewritten.replace_last(Node::Var((self.n_variables + index) as u16));
                    }
                }
                _ => {}
            }
            self.waiting.push(Waiting { hash, start });
        }
        (self.rewritten.last(), &self.columns)
    }

    /// Returns the place of a subtree that is kept, `None` for one that was not met before.
    fn find_or_keep(
        &mut self,
        tree: &Tree,
        original: Range<usize>,
        hash: u64,
        semantics: Semantics,
        machine: &mut Machine<f64>,
    ) -> Option<usize> {
        let original = &tree.nodes()[original];
        let size = original.len();
        if size > MAX_SIZE {
            return None;
        }
        let met = &mut self.met[hash as usize % PLACES];
        if met.hash != hash {
            met.hash = hash;
            return None;
        }
        let kept = &mut self.kept[met.index as usize];
        if kept.hash == hash && self.forms[met.index as usize * MAX_SIZE..][..kept.size] == *original {
            kept.tree = self.tree;
            return Some(met.index as usize);
        }
        let n_kept = self.kept.len();
        let index = (self.next..self.next + n_kept).map(|index| index % n_kept).find(|&index| {
            self.kept[index].tree != self.tree // the tree at hand reads the others
        })?;
        self.next = (index + 1) % n_kept;
        met.index = index as u32;
        machine.predict(self.rewritten.last(), &self.columns, semantics, &mut self.values);
        self.columns.set_column(self.n_variables + index, &self.values);
        self.kept[index] = Kept { hash, size, tree: self.tree };
        self.forms[index * MAX_SIZE..][..size].copy_from_slice(original);
        Some(index)
    }
}

/// Returns whether reading a value takes less time than computing it.
fn is_slow(op: Op) -> bool {
    matches!(op, Op::Pow | Op::Exp | Op::Log | Op::Sin | Op::Cos | Op::Tan | Op::Tanh | Op::Asin | Op::Acos | Op::Atan)
}

fn mix(hash: u64, value: u64) -> u64 {
    // The upper bits, which are the best mixed ones, go back to the lower ones.
    let product = (hash ^ value).wrapping_mul(GOLDEN);
    product ^ product >> 29
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Key, Purpose};
    use crate::{Limits, PrimitiveSet, random_tree};

    /// Every kind of subtree, with so little room that most of what is kept makes room soon.
    #[test]
    fn values_are_the_same_with_and_without() {
        let ops = vec![Op::Add, Op::Sub, Op::Mul, Op::Div, Op::Sin, Op::Exp, Op::Log, Op::Pow];
        let primitives = PrimitiveSet::new(ops, vec![1.0, 2.5], 3).expect("primitives");
        let x = Columns::from_fn(37, 2, |row, column| 0.1 + 0.3 * row as f64 + column as f64);
        let (mut machine, mut values, mut expected) = (Machine::new(), Vec::new(), Vec::new());
        for n_kept in [1, 2, 7, 100] {
            let mut subtrees = Subtrees::new(&x, n_kept);
            let mut rewrites = 0;
            for slot in 0..3000 {
                let key = Key::new(1, Purpose::Generator, 0).slot(slot);
                let tree = random_tree(&primitives, Limits { max_size: 100, max_depth: 5 }, key);
                let (rewritten, columns) = subtrees.rewrite(&tree, Semantics::Protected, &mut machine);
                rewrites += usize::from(rewritten.size() < tree.size());
                machine.predict(rewritten, columns, Semantics::Protected, &mut values);
                machine.predict(&tree, &x, Semantics::Protected, &mut expected);
                let same = |(a, b): (&f64, &f64)| a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan());
                assert!(values.iter().zip(&expected).all(same), "{tree} as {rewritten} with {n_kept} kept");
            }
            assert!(rewrites > 100, "{rewrites} of 3000 trees had a subtree that was kept");
        }
    }
}
