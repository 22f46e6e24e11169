//! Expressions as bytes: the table in which a record keeps its expressions. Corpora store theirs in it too.
//!
//! An expression is its nodes in prefix order, one byte a node; since arities are known it needs no length.
//!
//! | byte | node |
//! |---|---|
//! | 0 to 63 | operator, by its place in [`Op::ALL`] |
//! | 64 to 127 | constant 0 to 63 of the table |
//! | 128 to 254 | variable 0 to 126 |
//! | 255 | any other leaf; four bytes follow, little-endian: the constant's index, or 2³¹ + the variable's |
//!
//! `(x0 + 1.0)` with the constants `[1.0]` is `0, 128, 64`.
//! The bytes are part of the file formats: they can be added to and never change their meaning.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use sr_expr::{Expr, Node, Op, Tree};

use crate::columns::Bytes;

/// Most nodes of a stored expression, the largest that an engine may be configured for.
pub const MAX_NODES: usize = 4096;
/// Most expressions of one table, so that a damaged file cannot claim all memory.
pub const MAX_FORMS: usize = 1 << 24;

const FIRST_CONSTANT: u8 = 64;
const FIRST_VARIABLE: u8 = 128;
const ESCAPE: u8 = 255;
/// Nodes of an expression that is written without memory of its own.
const SMALL: usize = 16;
/// Marks a variable in the four bytes after [`ESCAPE`].
const VARIABLE_BIT: u32 = 1 << 31;

/// Why expressions cannot be stored, or stored bytes are no expressions. Forms are counted from 0.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FormError {
    /// An expression has more than [`MAX_NODES`] nodes.
    #[error("form {form} has more than {MAX_NODES} nodes")]
    TooLarge {
        /// Its place in the table.
        form: usize,
    },
    /// A table has more than [`MAX_FORMS`] expressions.
    #[error("more than {MAX_FORMS} forms in one table")]
    TooMany,
    /// The bytes end within an expression.
    #[error("form {form} ends too early")]
    Cut {
        /// Its place in the table.
        form: usize,
    },
    /// A byte below 64 is no operator of this version.
    #[error("form {form}: there is no operator {index}")]
    UnknownOperator {
        /// Its place in the table.
        form: usize,
        /// The byte.
        index: u8,
    },
    /// A constant's index is beyond the list of constants.
    #[error("form {form}: constant {index} of {constants}")]
    UnknownConstant {
        /// Its place in the table.
        form: usize,
        /// The index.
        index: u32,
        /// Constants in the list.
        constants: usize,
    },
    /// A variable's index does not fit 16 bits.
    #[error("form {form}: variable {index} is beyond 65535")]
    UnknownVariable {
        /// Its place in the table.
        form: usize,
        /// The index.
        index: u32,
    },
}

/// A list of expressions as it is stored. [`FormTableBuilder`] makes one, [`decode`](FormTable::decode) reads it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct FormTable {
    /// Every constant that occurs, once, in order of first use.
    constants: Vec<f64>,
    /// The expressions, one after the other.
    tokens: Bytes,
}

impl FormTable {
    /// The expressions, in order.
    ///
    /// # Errors
    /// If the bytes are not a list of expressions; none of them makes it panic.
    pub fn decode(&self) -> Result<Vec<Arc<Expr>>, FormError> {
        let forms = self.symbols()?;
        Ok((0..forms.len()).map(|form| Arc::new(self.expr(forms.get(form)))).collect())
    }

    /// The expressions as symbols.
    ///
    /// # Errors
    /// As [`decode`](Self::decode).
    pub(crate) fn symbols(&self) -> Result<Forms, FormError> {
        let mut forms = Forms { symbols: Vec::with_capacity(self.tokens.0.len()), ends: Vec::new() };
        // Operators whose operands are still being read, with the number of operands missing.
        let mut open: Vec<(u32, usize)> = Vec::new();
        let mut rest = &self.tokens.0[..];
        while !rest.is_empty() {
            let form = forms.len();
            if form == MAX_FORMS {
                return Err(FormError::TooMany);
            }
            let start = forms.symbols.len();
            loop {
                if forms.symbols.len() - start + open.len() == MAX_NODES {
                    return Err(FormError::TooLarge { form });
                }
                let symbol = self.next_symbol(&mut rest, form)?;
                match arity(symbol) {
                    0 => forms.symbols.push(symbol),
                    operands => {
                        open.push((symbol, operands));
                        continue;
                    }
                }
                // A leaf may complete any number of operators; post-order writes them then.
                while let Some((_, missing)) = open.last_mut() {
                    *missing -= 1;
                    if *missing > 0 {
                        break;
                    }
                    forms.symbols.extend(open.pop().map(|(op, _)| op));
                }
                if open.is_empty() {
                    break;
                }
            }
            forms.ends.push(forms.symbols.len());
        }
        Ok(forms)
    }

    fn next_symbol(&self, rest: &mut &[u8], form: usize) -> Result<u32, FormError> {
        let byte = *rest.split_off_first().ok_or(FormError::Cut { form })?;
        let constant = |index: u32| match (index as usize) < self.constants.len() {
            true => Ok(CONSTANT_BIT | index),
            false => Err(FormError::UnknownConstant { form, index, constants: self.constants.len() }),
        };
        match byte {
            0..FIRST_CONSTANT => match Op::from_index(byte) {
                Some(_) => Ok(byte.into()),
                None => Err(FormError::UnknownOperator { form, index: byte }),
            },
            FIRST_CONSTANT..FIRST_VARIABLE => constant(u32::from(byte - FIRST_CONSTANT)),
            FIRST_VARIABLE..ESCAPE => Ok(VARIABLE_SYMBOL | u32::from(byte - FIRST_VARIABLE)),
            ESCAPE => {
                let (bytes, after) = rest.split_first_chunk().ok_or(FormError::Cut { form })?;
                *rest = after;
                let index = u32::from_le_bytes(*bytes);
                if index < VARIABLE_BIT {
                    return constant(index);
                }
                let index = index - VARIABLE_BIT;
                match u16::try_from(index) {
                    Ok(index) => Ok(VARIABLE_SYMBOL | u32::from(index)),
                    Err(_) => Err(FormError::UnknownVariable { form, index }),
                }
            }
        }
    }

    /// The expression of symbols of this table that are one tree in post-order.
    pub(crate) fn expr(&self, symbols: &[u32]) -> Expr {
        let node = |&symbol: &u32| match symbol {
            0..VARIABLE_SYMBOL => Node::Op(Op::ALL[symbol as usize]),
            VARIABLE_SYMBOL..CONSTANT_BIT => Node::Var(symbol as u16),
            _ => Node::Const(self.constants[(symbol - CONSTANT_BIT) as usize]),
        };
        Expr::new(symbols.iter().map(node).collect()).expect("a tree in post-order")
    }
}

/// Expressions in post-order, a symbol a node: an operator's number, [`VARIABLE_SYMBOL`] + a variable's, or
/// [`CONSTANT_BIT`] + a constant's place in the table. A quarter of the memory of nodes, and quicker to compare.
#[derive(Debug)]
pub(crate) struct Forms {
    symbols: Vec<u32>,
    ends: Vec<usize>,
}

/// Added to the number of a variable.
const VARIABLE_SYMBOL: u32 = 1 << 30;
/// Added to the place of a constant.
const CONSTANT_BIT: u32 = 1 << 31;

impl Forms {
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// One expression.
    pub(crate) fn get(&self, form: usize) -> &[u32] {
        let start = if form == 0 { 0 } else { self.ends[form - 1] };
        &self.symbols[start..self.ends[form]]
    }
}

/// Operands of a symbol.
#[inline]
fn arity(symbol: u32) -> usize {
    const ARITY: [u8; Op::ALL.len()] = {
        let mut table = [0; Op::ALL.len()];
        let mut op = 0;
        while op < table.len() {
            table[op] = Op::ALL[op].arity() as u8;
            op += 1;
        }
        table
    };
    ARITY.get(symbol as usize).map_or(0, |&arity| arity.into())
}

/// The part of a tree that is the subtree with this root.
#[inline]
pub(crate) fn subtree(tree: &[u32], root: usize) -> std::ops::Range<usize> {
    let (mut start, mut open) = (root, arity(tree[root]));
    while open > 0 {
        start -= 1;
        open = open + arity(tree[start]) - 1;
    }
    start..root + 1
}

/// Makes a [`FormTable`].
#[derive(Debug, Clone, Default)]
pub struct FormTableBuilder {
    table: FormTable,
    forms: usize,
    /// Places of the forms that went through [`insert`](Self::insert).
    known: FxHashMap<Expr, u32>,
    /// Places of constants, by their bits.
    constants: FxHashMap<u64, u32>,
}

impl FormTableBuilder {
    /// An empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of expressions so far.
    pub fn len(&self) -> usize {
        self.forms
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.forms == 0
    }

    /// The place of an expression, which is added if it was not inserted before.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub fn insert(&mut self, tree: &Tree) -> Result<u32, FormError> {
        if let Some(&place) = self.known.get(tree) {
            return Ok(place);
        }
        let place = self.push(tree)?;
        self.known.insert(tree.to_owned(), place);
        Ok(place)
    }

    /// Adds an expression, be it there already or not, and gives its place.
    ///
    /// # Errors
    /// If it is larger than [`MAX_NODES`], or the table has [`MAX_FORMS`]. The table stays as it was.
    pub fn push(&mut self, tree: &Tree) -> Result<u32, FormError> {
        if tree.size() > MAX_NODES {
            return Err(FormError::TooLarge { form: self.forms });
        }
        if self.forms == MAX_FORMS {
            return Err(FormError::TooMany);
        }
        match tree.nodes() {
            &[leaf] => self.write(leaf),
            nodes if nodes.len() <= SMALL => self.write_small(nodes),
            _ => tree.to_prefix().into_iter().for_each(|node| self.write(node)),
        }
        self.forms += 1;
        Ok(self.forms as u32 - 1)
    }

    /// The table.
    pub fn build(self) -> FormTable {
        self.table
    }

    /// Writes a tree that needs no memory to be turned round, as those that mutation writes.
    fn write_small(&mut self, nodes: &[Node]) {
        let mut sizes = [1_u8; SMALL]; // of the subtrees
        for (root, node) in nodes.iter().enumerate() {
            for _ in 0..node.arity() {
                sizes[root] += sizes[root - usize::from(sizes[root])];
            }
        }
        // A root comes before its operands, whose places follow from their sizes.
        let (mut places, mut order) = ([0_u8; SMALL], [0_u8; SMALL]);
        for root in (0..nodes.len()).rev() {
            order[usize::from(places[root])] = root as u8;
            let (mut end, mut end_place) = (root, places[root] + sizes[root]);
            for _ in 0..nodes[root].arity() {
                let size = sizes[end - 1];
                end_place -= size;
                places[end - 1] = end_place;
                end -= usize::from(size);
            }
        }
        order[..nodes.len()].iter().for_each(|&node| self.write(nodes[usize::from(node)]));
    }

    #[inline]
    fn write(&mut self, node: Node) {
        let FormTable { constants, tokens: Bytes(tokens) } = &mut self.table;
        let escaped = match node {
            Node::Op(op) => return tokens.push(op as u8),
            Node::Var(index) if index < u16::from(ESCAPE - FIRST_VARIABLE) => {
                return tokens.push(FIRST_VARIABLE + index as u8);
            }
            Node::Var(index) => VARIABLE_BIT + u32::from(index),
            // Most sets have one constant.
            Node::Const(value) if constants.first().is_some_and(|first| first.to_bits() == value.to_bits()) => {
                return tokens.push(FIRST_CONSTANT);
            }
            Node::Const(value) => {
                let place = *self.constants.entry(value.to_bits()).or_insert_with(|| {
                    constants.push(value);
                    constants.len() as u32 - 1
                });
                if place < u32::from(FIRST_VARIABLE - FIRST_CONSTANT) {
                    return tokens.push(FIRST_CONSTANT + place as u8);
                }
                place
            }
        };
        tokens.push(ESCAPE);
        tokens.extend(escaped.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn table(forms: &[Expr]) -> FormTable {
        let mut builder = FormTableBuilder::new();
        for form in forms {
            builder.push(form).expect("small forms");
        }
        builder.build()
    }

    fn of_bytes(constants: &[f64], tokens: &[u8]) -> FormTable {
        FormTable { constants: constants.to_vec(), tokens: Bytes(tokens.to_vec()) }
    }

    #[test]
    fn bytes_are_as_documented() {
        let forms = ["x0 + 1.0", "2.5", "x126 * 1.0"].map(|text| text.parse().expect(text));
        assert_eq!(table(&forms), of_bytes(&[1.0, 2.5], &[0, 128, 64, 65, 2, 254, 64]));
        let escaped = table(&[Expr::var(127)]);
        assert_eq!(escaped, of_bytes(&[], &[255, 127, 0, 0, 128]));
        assert!(Op::ALL.len() <= usize::from(FIRST_CONSTANT), "operators have their range");
    }

    #[test]
    fn many_constants_and_variables_are_escaped() {
        let forms: Vec<Expr> = (0..200)
            .map(|i| Expr::constant(f64::from(i)))
            .chain([0, 126, 127, u16::MAX].map(Expr::var))
            .chain([Expr::constant(f64::NAN), Expr::constant(-0.0)])
            .collect();
        let decoded = table(&forms).decode().expect("what was written");
        assert!(decoded.iter().map(|form| &**form).eq(&forms));
    }

    #[test]
    fn insert_finds_what_was_inserted() {
        let mut builder = FormTableBuilder::new();
        let places: Vec<u32> = ["x0", "x1 + 1", "x0", "x1 + 1", "x2"]
            .map(|text| builder.insert(&text.parse::<Expr>().expect(text)).expect("small"))
            .to_vec();
        assert_eq!(places, [0, 1, 0, 1, 2]);
        assert_eq!(builder.len(), 3);
    }

    #[test]
    fn errors_name_the_form() {
        let error = |constants: &[f64], tokens: &[u8]| of_bytes(constants, tokens).decode().expect_err("bad bytes");
        assert_eq!(error(&[], &[128, 0, 128]), FormError::Cut { form: 1 });
        assert_eq!(error(&[], &[255, 1]), FormError::Cut { form: 0 });
        assert_eq!(error(&[], &[128, 63]), FormError::UnknownOperator { form: 1, index: 63 });
        assert_eq!(error(&[1.0], &[65]), FormError::UnknownConstant { form: 0, index: 1, constants: 1 });
        assert_eq!(error(&[], &[255, 0, 0, 1, 128]), FormError::UnknownVariable { form: 0, index: 1 << 16 });
        assert_eq!(error(&[], &vec![Op::Sin as u8; 1 << 20]), FormError::TooLarge { form: 0 });
        let deepest = [vec![Op::Sin as u8; MAX_NODES - 1], vec![128]].concat();
        assert_eq!(of_bytes(&[], &deepest).decode().expect("just small enough")[0].size(), MAX_NODES);
    }

    proptest! {
        #[test]
        fn forms_round_trip(forms in proptest::collection::vec(sr_expr::testing::expr(300, 40), 0..20)) {
            let decoded = table(&forms).decode().expect("what was written");
            prop_assert!(decoded.iter().map(|form| &**form).eq(&forms));
        }

        #[test]
        fn any_bytes_are_forms_or_an_error(
            constants in proptest::collection::vec(any::<f64>(), 0..4),
            tokens in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            if let Ok(forms) = of_bytes(&constants, &tokens).decode() {
                let forms: Vec<Expr> = forms.iter().map(|form| Expr::clone(form)).collect();
                prop_assert_eq!(table(&forms).decode().expect("what was written").len(), forms.len());
            }
        }
    }
}
