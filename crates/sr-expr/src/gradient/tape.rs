//! The compiled tree for differentiation: the operators of both sweeps, and a plan of the memory.
//!
//! Every value of a tree is used once, so that its adjoint (the derivative of the prediction with respect to it) is one
//! product and never a sum. The plan uses this:
//!
//! * A subtree without a constant gets no adjoint.
//! * A block (some vectors of rows, the unit of memory) is freed as soon as nothing reads it again. For a value that no
//!   derivative needs, that is in the forward sweep.
//! * `+` passes its adjoint on unchanged, and so does `*` the other factor where the adjoint is 1. That takes no
//!   instruction, only the same block or the column of the data itself. Blocks therefore count their readers.

use crate::{Node, Op, Semantics, Tree};

/// The place of the numbers of a tile: a column of the data, or a block of the workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place(u32);

impl Place {
    const COLUMN: u32 = 1 << 31;

    fn column(index: u16) -> Self {
        Place(Place::COLUMN | u32::from(index))
    }

    fn block(index: usize) -> Self {
        debug_assert!(index < Place::COLUMN as usize);
        Place(index as u32)
    }

    pub(crate) fn is_column(self) -> bool {
        self.0 & Place::COLUMN != 0
    }

    /// Returns the index of the column or block.
    pub(crate) fn index(self) -> usize {
        (self.0 & !Place::COLUMN) as usize
    }
}

/// The instruction `out = op(a, b)`. `out` may be `a` or `b`; for a unary operator `b` is `a`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Forward {
    pub(crate) op: Op,
    pub(crate) a: Place,
    pub(crate) b: Place,
    pub(crate) out: Place,
}

/// The instruction that computes the adjoint of an operand from that of its operator and the operator's operands and
/// value. `out` may be any of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reverse {
    pub(crate) rule: Rule,
    pub(crate) adjoint: Place,
    pub(crate) a: Place,
    pub(crate) b: Place,
    pub(crate) value: Place,
    pub(crate) out: Place,
}

/// The formula of an operand's adjoint. g is the operator's adjoint, a and b are the operands, v is the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// g, so no instruction.
    Same,
    /// −g
    Negate,
    /// g a
    TimesA,
    /// g b
    TimesB,
    /// g v
    TimesValue,
    /// g / a
    OverA,
    /// g / b
    OverB,
    /// g / b, or g over the least divisor.
    OverGuardedB,
    /// −g v, where g is the result of [`Rule::OverB`]: the adjoint of a divisor.
    Divisor,
    /// −g v after [`Rule::OverGuardedB`]: 0 where b was replaced.
    GuardedDivisor,
    /// g b v / a
    Base,
    /// g v ln a
    Exponent,
    Abs,
    GuardedExp,
    GuardedLog,
    Sqrt,
    GuardedSqrt,
    Sin,
    Cos,
    Tan,
    GuardedTan,
    Inverse,
    GuardedInverse,
    Square,
    Cube,
    Tanh,
    Asin,
    Acos,
    Atan,
}

/// The bits of [`Rule::reads`].
const A: u8 = 1;
const B: u8 = 2;
const VALUE: u8 = 4;

impl Rule {
    /// Returns the rule for the first (0) or second (1) operand of an operator.
    fn of(op: Op, semantics: Semantics, operand: usize) -> Rule {
        let guarded = semantics == Semantics::Protected;
        match (op, operand) {
            (Op::Add, _) | (Op::Sub, 0) => Rule::Same,
            (Op::Sub, _) | (Op::Neg, _) => Rule::Negate,
            (Op::Mul, 0) => Rule::TimesB,
            (Op::Mul, _) => Rule::TimesA,
            (Op::Div, 0) if guarded => Rule::OverGuardedB,
            (Op::Div, 0) => Rule::OverB,
            (Op::Div, _) if guarded => Rule::GuardedDivisor,
            (Op::Div, _) => Rule::Divisor,
            (Op::Pow, 0) => Rule::Base,
            (Op::Pow, _) => Rule::Exponent,
            (Op::Abs, _) => Rule::Abs,
            (Op::Exp, _) if guarded => Rule::GuardedExp,
            (Op::Exp, _) => Rule::TimesValue,
            (Op::Log, _) if guarded => Rule::GuardedLog,
            (Op::Log, _) => Rule::OverA,
            (Op::Sqrt, _) if guarded => Rule::GuardedSqrt,
            (Op::Sqrt, _) => Rule::Sqrt,
            (Op::Sin, _) => Rule::Sin,
            (Op::Cos, _) => Rule::Cos,
            (Op::Tan, _) if guarded => Rule::GuardedTan,
            (Op::Tan, _) => Rule::Tan,
            (Op::Inv, _) if guarded => Rule::GuardedInverse,
            (Op::Inv, _) => Rule::Inverse,
            (Op::Pow2, _) => Rule::Square,
            (Op::Pow3, _) => Rule::Cube,
            (Op::Tanh, _) => Rule::Tanh,
            (Op::Asin, _) => Rule::Asin,
            (Op::Acos, _) => Rule::Acos,
            (Op::Atan, _) => Rule::Atan,
        }
    }

    /// Returns what the rule reads besides g. For a divisor it includes what the division before it reads.
    fn reads(self) -> u8 {
        match self {
            Rule::Same | Rule::Negate => 0,
            Rule::TimesB | Rule::OverB | Rule::OverGuardedB => B,
            Rule::Divisor | Rule::GuardedDivisor => B | VALUE,
            Rule::Base => A | B | VALUE,
            Rule::Exponent | Rule::GuardedExp | Rule::GuardedSqrt | Rule::GuardedInverse => A | VALUE,
            Rule::TimesValue | Rule::Sqrt | Rule::Tan | Rule::GuardedTan | Rule::Inverse | Rule::Tanh => VALUE,
            Rule::TimesA
            | Rule::OverA
            | Rule::Abs
            | Rule::GuardedLog
            | Rule::Sin
            | Rule::Cos
            | Rule::Square
            | Rule::Cube
            | Rule::Asin
            | Rule::Acos
            | Rule::Atan => A,
        }
    }
}

/// The state of a node while its tree is compiled.
#[derive(Debug, Clone, Copy)]
struct Info {
    /// The indices of the operand's nodes. For a unary operator both are its one operand.
    a: u32,
    b: u32,
    place: Place,
    /// The place of its adjoint. It is valid for active nodes once their parents are done.
    adjoint: Place,
    /// Whether there is a constant in the subtree.
    active: bool,
    /// Whether the reverse sweep reads the value.
    kept: bool,
}

/// Blocks, each with the number of its readers. Blocks below `first` are not managed.
#[derive(Debug, Clone, Default)]
struct Pool {
    first: usize,
    readers: Vec<u32>,
    free: Vec<Place>,
}

impl Pool {
    fn reset(&mut self, first: usize) {
        self.first = first;
        self.readers.clear();
        self.free.clear();
    }

    fn take(&mut self) -> Place {
        // The block freed last is the likeliest to be in the cache.
        let place = self.free.pop().unwrap_or_else(|| {
            self.readers.push(0);
            Place::block(self.first + self.readers.len() - 1)
        });
        self.readers[place.index() - self.first] = 1;
        place
    }

    fn is_managed(&self, place: Place) -> bool {
        !place.is_column() && place.index() >= self.first
    }

    fn share(&mut self, place: Place) -> Place {
        if self.is_managed(place) {
            self.readers[place.index() - self.first] += 1;
        }
        place
    }

    fn release(&mut self, place: Place) {
        if self.is_managed(place) {
            let readers = &mut self.readers[place.index() - self.first];
            *readers -= 1;
            if *readers == 0 {
                self.free.push(place);
            }
        }
    }

    fn n_blocks(&self) -> usize {
        self.first + self.readers.len()
    }
}

/// A tree compiled for both sweeps.
#[derive(Debug, Clone)]
pub(crate) struct Tape {
    pub(crate) semantics: Semantics,
    pub(crate) n_columns: usize,
    pub(crate) n_constants: usize,
    /// Blocks that the sweeps need: first the constants, then [`Tape::one`] and [`Tape::nan`].
    pub(crate) n_blocks: usize,
    pub(crate) forward: Vec<Forward>,
    pub(crate) reverse: Vec<Reverse>,
    /// The place of the prediction, which is kept through the reverse sweep.
    pub(crate) root: Place,
    /// The places of the derivatives, by constant, after the reverse sweep.
    pub(crate) derivatives: Vec<Place>,
    nodes: Vec<Info>,
    /// Subtrees that wait for their operator.
    stack: Vec<u32>,
    pool: Pool,
}

impl Default for Tape {
    fn default() -> Self {
        Tape {
            semantics: Semantics::default(),
            n_columns: 0,
            n_constants: 0,
            n_blocks: 0,
            forward: Vec::new(),
            reverse: Vec::new(),
            root: Place::block(0),
            derivatives: Vec::new(),
            nodes: Vec::new(),
            stack: Vec::new(),
            pool: Pool::default(),
        }
    }
}

impl Tape {
    /// Returns the block of ones.
    pub(crate) fn one(&self) -> Place {
        Place::block(self.n_constants)
    }

    /// Returns the block that is NaN, for variables that the data does not have.
    pub(crate) fn nan(&self) -> Place {
        Place::block(self.n_constants + 1)
    }

    /// Returns the block of constant `index`.
    pub(crate) fn constant(index: usize) -> Place {
        Place::block(index)
    }

    /// Compiles a tree in place of what was compiled before. O(size), no recursion.
    ///
    /// # Panics
    /// Panics if the tree has 2²⁹ nodes or more: places are numbers of 31 bits, and a node takes three of them at most.
    pub(crate) fn compile(&mut self, tree: &Tree, semantics: Semantics, n_columns: usize) {
        assert!(tree.size() < Place::COLUMN as usize / 4, "a tree of {} nodes", tree.size());
        self.semantics = semantics;
        self.n_columns = n_columns;
        self.n_constants = tree.nodes().iter().filter(|node| matches!(node, Node::Const(_))).count();
        self.pool.reset(self.n_constants + 2);
        self.compile_forward(tree);
        self.compile_reverse(tree);
        self.n_blocks = self.pool.n_blocks();
    }

    fn compile_forward(&mut self, tree: &Tree) {
        self.forward.clear();
        self.nodes.clear();
        self.stack.clear();
        let mut n_constants = 0;
        let (one, nan) = (self.one(), self.nan());
        for (index, &node) in tree.nodes().iter().enumerate() {
            let leaf = |place, active| Info { a: 0, b: 0, place, adjoint: one, active, kept: false };
            let info = match node {
                Node::Var(variable) if usize::from(variable) < self.n_columns => leaf(Place::column(variable), false),
                Node::Var(_) => leaf(nan, false),
                Node::Const(_) => {
                    n_constants += 1;
                    leaf(Tape::constant(n_constants - 1), true)
                }
                Node::Op(op) => self.operator(op),
            };
            self.nodes.push(info);
            self.stack.push(index as u32);
        }
        let root = self.nodes.last_mut().expect("a tree has a node");
        // The reverse sweep frees kept values, and the prediction is read after it.
        root.kept = false;
        self.root = root.place;
    }

    fn operator(&mut self, op: Op) -> Info {
        let b = self.stack.pop().expect("operands come before their operator");
        let a = if op.arity() == 2 { self.stack.pop().expect("operands come before their operator") } else { b };
        let operands = [a, b].map(|node| self.nodes[node as usize]);
        let reads: [u8; 2] = std::array::from_fn(|operand| {
            let active = operand < op.arity() && operands[operand].active;
            if active { Rule::of(op, self.semantics, operand).reads() } else { 0 }
        });
        let reads = reads[0] | reads[1];
        for (node, bit) in [(a, A), (b, B)].into_iter().take(op.arity()) {
            let info = &mut self.nodes[node as usize];
            info.kept |= reads & bit != 0;
            if !info.kept {
                self.pool.release(info.place);
            }
        }
        let out = self.pool.take();
        self.forward.push(Forward { op, a: operands[0].place, b: operands[1].place, out });
        let active = operands[0].active || operands[1].active;
        Info { a, b, place: out, adjoint: self.one(), active, kept: reads & VALUE != 0 }
    }

    fn compile_reverse(&mut self, tree: &Tree) {
        self.reverse.clear();
        self.derivatives.clear();
        self.derivatives.resize(self.n_constants, self.one());
        let mut constant = self.n_constants;
        for (index, &node) in tree.nodes().iter().enumerate().rev() {
            let info = self.nodes[index];
            match node {
                Node::Const(_) => {
                    constant -= 1;
                    self.derivatives[constant] = info.adjoint;
                }
                Node::Op(op) if info.active => self.differentiate(op, info),
                Node::Op(_) | Node::Var(_) => {}
            }
        }
    }

    /// Gives the active operands of an active operator their adjoints.
    fn differentiate(&mut self, op: Op, node: Info) {
        let operands = [node.a, node.b].map(|operand| self.nodes[operand as usize]);
        let place = [operands[0].place, operands[1].place];
        let mut adjoint = node.adjoint;
        let wanted: [bool; 2] = std::array::from_fn(|operand| operand < op.arity() && operands[operand].active);
        if op == Op::Div && wanted[1] {
            // Both derivatives are multiples of adjoint over divisor, so one division does for the two.
            self.pool.release(adjoint);
            let quotient = self.pool.take();
            self.push(Rule::of(op, self.semantics, 0), adjoint, place, node.place, quotient);
            adjoint = quotient;
        }
        // The last instruction may write to a place that it reads.
        let mut dead = [Some(adjoint), node.kept.then_some(node.place), None, None];
        for operand in 0..op.arity() {
            dead[2 + operand] = (!operands[operand].active && operands[operand].kept).then_some(place[operand]);
        }
        let last = if wanted[1] { 1 } else { 0 };
        for operand in 0..op.arity() {
            if !wanted[operand] {
                continue;
            }
            let rule = match Rule::of(op, self.semantics, operand) {
                Rule::OverB | Rule::OverGuardedB if wanted[1] => Rule::Same,
                rule => rule,
            };
            let same = match rule {
                Rule::Same => Some(adjoint),
                Rule::TimesA if adjoint == self.one() => Some(place[0]),
                Rule::TimesB if adjoint == self.one() => Some(place[1]),
                Rule::TimesValue if adjoint == self.one() => Some(node.place),
                _ => None,
            };
            let same = same.map(|place| self.pool.share(place));
            if operand == last {
                dead.into_iter().flatten().for_each(|place| self.pool.release(place));
            }
            let out = same.unwrap_or_else(|| {
                let out = self.pool.take();
                self.push(rule, adjoint, place, node.place, out);
                out
            });
            let node = if operand == 0 { node.a } else { node.b };
            self.nodes[node as usize].adjoint = out;
        }
    }

    fn push(&mut self, rule: Rule, adjoint: Place, [a, b]: [Place; 2], value: Place, out: Place) {
        self.reverse.push(Reverse { rule, adjoint, a, b, value, out });
    }
}
