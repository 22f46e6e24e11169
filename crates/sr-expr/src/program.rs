//! The compiled expression: a program of an accumulator machine.
//!
//! A tree of n nodes becomes about n/2 instructions. One value, the accumulator, stays in registers. Leaves are
//! operands of the instruction that uses them: a column is read in place, a constant is part of the instruction. A
//! value is stored to a slot only where both operands of an operator have to be computed. Constant subtrees are folded.
//! Where the program needs many slots, the operand that needs more of them is computed first, after Sethi & Ullman
//! ("The generation of optimal code for arithmetic expressions", 1970); then a tree of n nodes needs no more than log₂
//! n.

use std::hint;
use std::mem::MaybeUninit;

use crate::{Node, Op, Real, Semantics, Tree};

/// One instruction. `a` and `b` are indices of columns or slots, according to `code`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Instruction<T> {
    pub(crate) code: Code,
    /// The operator of [`Code::Math`] and [`Code::MathColumn`].
    pub(crate) op: Op,
    pub(crate) a: u16,
    pub(crate) b: u16,
    /// The slot in which an instruction whose operands are leaves first stores the accumulator.
    pub(crate) spill: u16,
    pub(crate) constant: T,
}

/// The operation of an instruction. Operands are written in order: `SubColumnAcc` is `column − accumulator`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[rustfmt::skip]
pub(crate) enum Code {
    /// accumulator = column
    Load,
    /// accumulator = constant
    Constant,
    AddAccColumn, AddAccConstant, AddAccSlot, AddColumnColumn, AddColumnConstant,
    MulAccColumn, MulAccConstant, MulAccSlot, MulColumnColumn, MulColumnConstant,
    SubAccColumn, SubColumnAcc, SubAccConstant, SubConstantAcc, SubAccSlot, SubSlotAcc,
    SubColumnColumn, SubColumnConstant, SubConstantColumn,
    DivAccColumn, DivColumnAcc, DivAccConstant, DivConstantAcc, DivAccSlot, DivSlotAcc,
    DivColumnColumn, DivColumnConstant, DivConstantColumn,
    GuardedDivAccColumn, GuardedDivColumnAcc, GuardedDivAccConstant, GuardedDivConstantAcc, GuardedDivAccSlot,
    GuardedDivSlotAcc, GuardedDivColumnColumn, GuardedDivColumnConstant, GuardedDivConstantColumn,
    Neg, Abs, Square, Cube, Sqrt, GuardedSqrt, Inverse, GuardedInverse,
    /// accumulator = op(accumulator), for the functions that are out of line
    Math,
    /// accumulator = op(column)
    MathColumn,
    PowAccColumn, PowColumnAcc, PowAccConstant, PowConstantAcc, PowAccSlot, PowSlotAcc,
    PowColumnColumn, PowColumnConstant, PowConstantColumn,
}

/// The place of an operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Place {
    Column,
    Constant,
    Accumulator,
    Slot,
}

/// A value that waits for its operator.
#[derive(Debug, Clone, Copy)]
struct Operand {
    place: Place,
    /// The index of the column or slot.
    index: u32,
    /// The value of a constant.
    value: f64,
}

/// `BINARY[operator][4 * first operand's place + second operand's place]`. An operand is in a slot only if the other
/// one is in the accumulator; two constants are folded. `Load` fills the combinations that do not occur.
#[rustfmt::skip]
const BINARY: [[Code; 16]; 6] = {
    use Code::*;
    [
        [AddColumnColumn, AddColumnConstant, AddAccColumn, Load, AddColumnConstant, Load, AddAccConstant, Load,
         AddAccColumn, AddAccConstant, Load, AddAccSlot, Load, Load, AddAccSlot, Load],
        [SubColumnColumn, SubColumnConstant, SubColumnAcc, Load, SubConstantColumn, Load, SubConstantAcc, Load,
         SubAccColumn, SubAccConstant, Load, SubAccSlot, Load, Load, SubSlotAcc, Load],
        [MulColumnColumn, MulColumnConstant, MulAccColumn, Load, MulColumnConstant, Load, MulAccConstant, Load,
         MulAccColumn, MulAccConstant, Load, MulAccSlot, Load, Load, MulAccSlot, Load],
        [DivColumnColumn, DivColumnConstant, DivColumnAcc, Load, DivConstantColumn, Load, DivConstantAcc, Load,
         DivAccColumn, DivAccConstant, Load, DivAccSlot, Load, Load, DivSlotAcc, Load],
        [GuardedDivColumnColumn, GuardedDivColumnConstant, GuardedDivColumnAcc, Load, GuardedDivConstantColumn, Load,
         GuardedDivConstantAcc, Load, GuardedDivAccColumn, GuardedDivAccConstant, Load, GuardedDivAccSlot, Load, Load,
         GuardedDivSlotAcc, Load],
        [PowColumnColumn, PowColumnConstant, PowColumnAcc, Load, PowConstantColumn, Load, PowConstantAcc, Load,
         PowAccColumn, PowAccConstant, Load, PowAccSlot, Load, Load, PowSlotAcc, Load],
    ]
};

/// An expression compiled for kernels over `T`. It depends on the number of columns of the data, and on nothing else of
/// it.
///
/// Reuse one for many trees: compiling allocates only when a tree is larger than all before it.
#[derive(Debug, Clone, Default)]
pub struct Program<T> {
    code: Vec<Instruction<T>>,
    n_slots: usize,
    n_columns: usize,
    semantics: Semantics,
    operands: Vec<Operand>,
}

impl<T: Real> Program<T> {
    /// Compiles one tree, see [`Program::compile`].
    pub fn new(tree: &Tree, semantics: Semantics, n_columns: usize) -> Self {
        let mut program = Program::default();
        program.compile(tree, semantics, n_columns);
        program
    }

    /// Returns the instructions in order of execution.
    pub(crate) fn instructions(&self) -> &[Instruction<T>] {
        &self.code
    }

    /// Returns the number of instructions, at least 1.
    #[allow(clippy::len_without_is_empty)] // never empty once compiled
    pub fn len(&self) -> usize {
        self.code.len()
    }

    /// Returns the number of slots that the program needs at once.
    pub fn n_slots(&self) -> usize {
        self.n_slots
    }

    /// Returns the number of columns that the data has to have at least.
    pub fn n_columns(&self) -> usize {
        self.n_columns
    }

    pub(crate) fn semantics(&self) -> Semantics {
        self.semantics
    }

    /// Compiles `tree` for data of `n_columns` columns and replaces the program compiled before. A variable beyond the
    /// columns is NaN. O(size), no recursion. It allocates only for a tree larger than all before, and for one whose
    /// operands have to be reordered because it needs many slots.
    ///
    /// # Panics
    /// Panics if the tree has 2³² nodes or more: slots are counted in 32 bits.
    pub fn compile(&mut self, tree: &Tree, semantics: Semantics, n_columns: usize) {
        /// The number of slots beyond which a better order is tried: eight kilobytes.
        const MANY_SLOTS: usize = 8;
        assert!(u32::try_from(tree.size()).is_ok(), "a tree of {} nodes", tree.size());
        self.semantics = semantics;
        self.n_columns = n_columns;
        self.write(tree.nodes().iter().map(|node| (node, false)));
        if self.n_slots > MANY_SLOTS {
            self.write(sethi_ullman(tree.nodes()).iter().map(|(node, reversed)| (node, *reversed)));
        }
    }

    /// Writes the instructions of a tree in post-order. Each node comes with whether its operands are in reverse order.
    ///
    /// A random tree gives random branches, and one mispredicted branch costs as much as five nodes. So only the branch
    /// between leaf and operator and those of rare cases are left; everything else that depends on a node is looked up
    /// or selected. Pointers replace bounds checks, which took a third of the time.
    #[allow(unsafe_code)]
    fn write<'a>(&mut self, nodes: impl ExactSizeIterator<Item = (&'a Node, bool)>) {
        let Program { code, operands, semantics, n_columns, .. } = self;
        let (semantics, n_columns) = (*semantics, *n_columns);
        if operands.len() < nodes.len() + 1 {
            operands.resize(nodes.len() + 1, Operand { place: Place::Constant, index: 0, value: 0.0 });
        }
        code.clear();
        code.reserve(nodes.len());
        let table = &TABLE[usize::from(semantics == Semantics::Protected)];
        let (first, bottom) = (code.as_mut_ptr(), operands.as_mut_ptr());
        let mut next = first;
        let mut top = bottom; // the operand last pushed; the first place is none
        let mut accumulator = bottom; // the operand that is in the accumulator
        let mut slots = 0;
        let mut most_slots = 1;
        // SAFETY: the nodes are a whole tree in post-order: there are never more operands than nodes, nor fewer than an
        // operator takes; and an operator, or a lone leaf, makes one instruction.
        unsafe {
            for (node, reversed) in nodes {
                let Node::Op(op) = *node else {
                    top = top.add(1);
                    top.write(Operand::leaf(node, n_columns));
                    continue;
                };
                let entry = &table[op as usize];
                let last = top;
                top = top.sub(entry.below);
                let (a, b) = if reversed { (last, top) } else { (top, last) };
                let places = 4 * (*a).place as usize + (*b).place as usize;
                if places == BOTH_CONSTANT {
                    (*top).value = op.apply(semantics, (*a).value, (*b).value);
                    continue;
                }
                // An instruction whose operands are leaves stores the accumulator, if it holds a value, in a slot.
                let starts = STARTS >> places & 1 == 1;
                (*accumulator).place = hint::select_unpredictable(starts, Place::Slot, (*accumulator).place);
                (*accumulator).index = slots;
                let spill = slots as u16;
                slots += u32::from(starts);
                most_slots = slots.max(most_slots);
                slots -= u32::from((*a).place == Place::Slot || reversed && (*b).place == Place::Slot);
                let indexed = hint::select_unpredictable(A_HAS_INDEX >> places & 1 == 1, a, b);
                let constant = hint::select_unpredictable((*b).place == Place::Constant, b, a);
                next.write(Instruction {
                    code: entry.codes[places & 15],
                    op,
                    a: (*indexed).index as u16,
                    b: (*b).index as u16,
                    spill,
                    constant: T::from_f64((*constant).value),
                });
                next = next.add(1);
                accumulator = top;
                (*top).place = Place::Accumulator;
            }
            // A tree without an instruction is a leaf, or folded to one.
            if next == first {
                let Operand { place, index, value } = *top;
                let code = if place == Place::Column { Code::Load } else { Code::Constant };
                let constant = T::from_f64(value);
                next.write(Instruction { code, op: Op::Add, a: index as u16, b: 0, spill: 0, constant });
                next = next.add(1);
            }
            code.set_len(next.offset_from_unsigned(first));
        }
        self.n_slots = most_slots as usize;
    }
}

/// Returns the nodes of a tree in an order that needs log₂ n slots at most, each with whether the operands of an
/// operator are in reverse order. Of two operands that have to be computed, the one that needs more slots comes first.
fn sethi_ullman(nodes: &[Node]) -> Vec<(Node, bool)> {
    let mut start = vec![0; nodes.len()];
    let mut slots = vec![0; nodes.len()];
    let is_leaf = |index: usize| nodes[index].arity() == 0;
    for (index, node) in nodes.iter().enumerate() {
        (start[index], slots[index]) = match node.arity() {
            0 => (index, 0),
            1 => (start[index - 1], slots[index - 1]),
            _ => {
                let b = index - 1;
                let a = start[b] - 1;
                let both = usize::from(!is_leaf(a) && !is_leaf(b));
                (start[a], slots[a].max(slots[b]).max(both * (slots[a].min(slots[b]) + 1)))
            }
        };
    }
    // The order is built from the root down, which is backwards.
    let mut order = Vec::with_capacity(nodes.len());
    let mut todo = vec![nodes.len() - 1];
    while let Some(at) = todo.pop() {
        let mut reversed = false;
        match nodes[at].arity() {
            0 => {}
            1 => todo.push(at - 1),
            _ => {
                let b = at - 1;
                let a = start[b] - 1;
                reversed = slots[b] > slots[a];
                let (first, last) = if reversed { (b, a) } else { (a, b) };
                todo.extend([first, last]);
            }
        }
        order.push((nodes[at], reversed));
    }
    order.reverse();
    order
}

/// The places of operands (as [`BINARY`] is indexed) for which both operands are leaves.
const STARTS: usize = 0b11_0011;
const BOTH_CONSTANT: usize = 5;
/// The places of operands for which the first one is a column or a slot.
const A_HAS_INDEX: usize = 0b1111_0000_0000_1111;

impl Operand {
    /// Makes an operand from a variable or constant, without a branch between the two.
    #[inline(always)]
    #[allow(unsafe_code)]
    fn leaf(node: &Node, n_columns: usize) -> Self {
        let is_constant = matches!(node, Node::Const(_));
        let node = std::ptr::from_ref(node);
        // SAFETY: a `Node` is `repr(u8)`: the index of a variable stands at byte 2, the value of a constant at byte 8.
        // What is read there of the other kind may be uninitialised, and is not selected.
        unsafe {
            let index = node.byte_add(2).cast::<MaybeUninit<u16>>().read();
            let value = node.byte_add(8).cast::<MaybeUninit<f64>>().read();
            let index = hint::select_unpredictable(is_constant, MaybeUninit::new(0), index).assume_init();
            let value = hint::select_unpredictable(is_constant, value, MaybeUninit::new(f64::NAN)).assume_init();
            let is_column = !is_constant & (usize::from(index) < n_columns);
            let place = hint::select_unpredictable(is_column, Place::Column, Place::Constant);
            Operand { place, index: u32::from(index), value }
        }
    }
}

/// The properties of an operator that compiling needs.
#[derive(Clone, Copy)]
struct Entry {
    /// The number of operands below the last one.
    below: usize,
    /// The codes by the operands' places, as [`BINARY`] is indexed. A unary operator counts its one operand as both.
    codes: [Code; 16],
}

/// The entries by semantics (IEEE, protected) and operator.
const TABLE: [[Entry; Op::ALL.len()]; 2] = {
    let mut table = [[Entry { below: 0, codes: [Code::Load; 16] }; Op::ALL.len()]; 2];
    let mut index = 0;
    while index < Op::ALL.len() {
        let op = Op::ALL[index];
        let mut protected = 0;
        while protected < 2 {
            let semantics = if protected == 1 { Semantics::Protected } else { Semantics::Ieee };
            let codes = match op {
                Op::Add => BINARY[0],
                Op::Sub => BINARY[1],
                Op::Mul => BINARY[2],
                Op::Div => BINARY[3 + protected],
                Op::Pow => BINARY[5],
                _ => {
                    let mut codes = [Code::Load; 16];
                    codes[5 * Place::Column as usize] = Code::MathColumn;
                    codes[5 * Place::Accumulator as usize] = match inline_unary(op, semantics) {
                        Some(code) => code,
                        None => Code::Math,
                    };
                    codes
                }
            };
            table[protected][index] = Entry { below: op.arity() - 1, codes };
            protected += 1;
        }
        index += 1;
    }
    table
};

/// Returns the code of a unary operator that is inlined in the interpreter.
const fn inline_unary(op: Op, semantics: Semantics) -> Option<Code> {
    let guarded = matches!(semantics, Semantics::Protected);
    Some(match op {
        Op::Neg => Code::Neg,
        Op::Abs => Code::Abs,
        Op::Pow2 => Code::Square,
        Op::Pow3 => Code::Cube,
        Op::Sqrt if guarded => Code::GuardedSqrt,
        Op::Sqrt => Code::Sqrt,
        Op::Inv if guarded => Code::GuardedInverse,
        Op::Inv => Code::Inverse,
        _ => return None,
    })
}
