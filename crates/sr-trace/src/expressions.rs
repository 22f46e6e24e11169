//! The table in which records keep their expressions as bytes. Corpora use it too.
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
//! `(x0 + 1.0)` with the constants `[1.0]` is `0, 128, 64`. The bytes are part of the file formats: new ones can be
//! added, but none may change its meaning.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use sr_expr::{Expr, Node, Op, Tree};

use crate::columns::Bytes;

/// The largest number of nodes of a stored expression, which is the largest that an engine may be configured for.
pub const MAX_NODES: usize = 4096;
/// The largest number of expressions of one table, so that a damaged file cannot claim all memory.
pub const MAX_EXPRESSIONS: usize = 1 << 24;
/// The largest number of nodes of the different expressions of one search that is read, 4 GiB. An edit of some bytes makes
/// an expression of up to [`MAX_NODES`], so that a small file could claim all memory otherwise.
pub const MAX_RECORD_NODES: usize = 1 << 28;

const FIRST_CONSTANT: u8 = 64;
const FIRST_VARIABLE: u8 = 128;
const ESCAPE: u8 = 255;
/// Expressions of at most so many nodes are written without allocating.
const SMALL: usize = 16;
/// The bit that marks a variable in the four bytes after [`ESCAPE`].
const VARIABLE_BIT: u32 = 1 << 31;

/// The reason why expressions cannot be stored, or why stored bytes are no expressions. Expressions are counted from 0.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExpressionError {
    /// An expression has more than [`MAX_NODES`] nodes.
    #[error("expression {expression} has more than {MAX_NODES} nodes")]
    TooLarge {
        /// Its place in the table.
        expression: usize,
    },
    /// A table has more than [`MAX_EXPRESSIONS`] expressions.
    #[error("more than {MAX_EXPRESSIONS} expressions in one table")]
    TooMany,
    /// The expressions of a record have more than [`MAX_RECORD_NODES`] nodes.
    #[error("more than {MAX_RECORD_NODES} nodes in the different expressions of one search")]
    TooManyNodes,
    /// The bytes end within an expression.
    #[error("expression {expression} ends too early")]
    Cut {
        /// Its place in the table.
        expression: usize,
    },
    /// A byte below 64 is no operator of this version.
    #[error("expression {expression}: there is no operator {index}")]
    UnknownOperator {
        /// Its place in the table.
        expression: usize,
        /// The byte.
        index: u8,
    },
    /// A constant's index is beyond the list of constants.
    #[error("expression {expression}: constant {index} of {constants}")]
    UnknownConstant {
        /// Its place in the table.
        expression: usize,
        /// The index.
        index: u32,
        /// The number of constants in the list.
        constants: usize,
    },
    /// A variable's index does not fit 16 bits.
    #[error("expression {expression}: variable {index} is beyond 65535")]
    UnknownVariable {
        /// Its place in the table.
        expression: usize,
        /// The index.
        index: u32,
    },
}

/// A list of expressions as it is stored. [`ExpressionTableBuilder`] makes one, [`decode`](ExpressionTable::decode)
/// reads it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ExpressionTable {
    /// Every constant that occurs, once, in order of first use.
    constants: Vec<f64>,
    /// The expressions, one after the other.
    tokens: Bytes,
}

impl ExpressionTable {
    /// Returns the expressions, in order. It never panics, whatever the bytes.
    ///
    /// # Errors
    /// Returns an error if the bytes are not a list of expressions.
    pub fn decode(&self) -> Result<Vec<Arc<Expr>>, ExpressionError> {
        let forms = self.symbols::<u32>()?;
        let node = |&symbol: &u32| self.node(symbol).expect("a symbol of the table");
        let mut start = 0;
        let expr = |&end: &usize| {
            let symbols = &forms.symbols[std::mem::replace(&mut start, end)..end];
            Arc::new(Expr::new(symbols.iter().map(node).collect()).expect("a tree in post-order"))
        };
        Ok(forms.ends.iter().map(expr).collect())
    }

    /// Returns whether symbols of this table fit in 8 bits.
    pub(crate) fn is_narrow(&self) -> bool {
        !self.tokens.0.contains(&ESCAPE)
    }

    /// Returns the expressions as symbols, which have to fit.
    ///
    /// # Errors
    /// Returns an error where [`decode`](Self::decode) does.
    pub(crate) fn symbols<S: Symbol>(&self) -> Result<Forms<S>, ExpressionError> {
        let mut forms = Forms { symbols: Vec::with_capacity(self.tokens.0.len()), ends: Vec::new() };
        // A table that has a constant twice still gives equal expressions equal symbols.
        let mut places = FxHashMap::default();
        let place = |(index, value): (usize, &f64)| *places.entry(value.to_bits()).or_insert(index as u32);
        let places: Vec<u32> = self.constants.iter().enumerate().map(place).collect();
        // Operators whose operands are still being read, with the number of operands missing.
        let mut open: Vec<(S, usize)> = Vec::new();
        let mut rest = &self.tokens.0[..];
        while !rest.is_empty() {
            let expression = forms.ends.len();
            if expression == MAX_EXPRESSIONS {
                return Err(ExpressionError::TooMany);
            }
            let start = forms.symbols.len();
            loop {
                if forms.symbols.len() - start + open.len() == MAX_NODES {
                    return Err(ExpressionError::TooLarge { expression });
                }
                let symbol = S::of(next_symbol(&mut rest, &places, expression)?);
                match symbol.arity() {
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

    /// Returns the node of a symbol; `None` if the table has none.
    fn node(&self, symbol: u32) -> Option<Node> {
        let constant = |index: u32| self.constants.get(index as usize).map(|&value| Node::Const(value));
        match symbol {
            0..FIRST_CONSTANT_SYMBOL => Op::ALL.get(symbol as usize).map(|&op| Node::Op(op)),
            FIRST_CONSTANT_SYMBOL..FIRST_VARIABLE_SYMBOL => constant(symbol - FIRST_CONSTANT_SYMBOL),
            FIRST_VARIABLE_SYMBOL..ESCAPE_SYMBOL => Some(Node::Var((symbol - FIRST_VARIABLE_SYMBOL) as u16)),
            ESCAPE_SYMBOL..VARIABLE_BIT => constant(symbol - ESCAPE_SYMBOL),
            VARIABLE_BIT.. => Some(Node::Var(symbol as u16)),
        }
    }
}

/// Reads the next symbol; `constants` holds the place of each constant.
#[inline]
fn next_symbol(rest: &mut &[u8], constants: &[u32], expression: usize) -> Result<u32, ExpressionError> {
    let byte = *rest.split_off_first().ok_or(ExpressionError::Cut { expression })?;
    let constant = |index: u32| match constants.get(index as usize) {
        Some(&place) if place < FIRST_VARIABLE_SYMBOL - FIRST_CONSTANT_SYMBOL => Ok(FIRST_CONSTANT_SYMBOL + place),
        Some(&place) => Ok(ESCAPE_SYMBOL + place),
        None => Err(ExpressionError::UnknownConstant { expression, index, constants: constants.len() }),
    };
    match byte {
        0..FIRST_CONSTANT if usize::from(byte) < Op::ALL.len() => Ok(byte.into()),
        0..FIRST_CONSTANT => Err(ExpressionError::UnknownOperator { expression, index: byte }),
        FIRST_CONSTANT..FIRST_VARIABLE => constant(u32::from(byte - FIRST_CONSTANT)),
        FIRST_VARIABLE..ESCAPE => Ok(byte.into()),
        ESCAPE => match escaped(rest, expression)? {
            index @ 0..VARIABLE_BIT => constant(index),
            variable => variable_symbol(variable - VARIABLE_BIT, expression),
        },
    }
}

/// Reads the four bytes after [`ESCAPE`].
#[cold]
fn escaped(rest: &mut &[u8], expression: usize) -> Result<u32, ExpressionError> {
    let (bytes, after) = rest.split_first_chunk().ok_or(ExpressionError::Cut { expression })?;
    *rest = after;
    Ok(u32::from_le_bytes(*bytes))
}

#[cold]
fn variable_symbol(index: u32, expression: usize) -> Result<u32, ExpressionError> {
    match u16::try_from(index) {
        Ok(index) if index < u16::from(ESCAPE - FIRST_VARIABLE) => Ok(u32::from(FIRST_VARIABLE) + u32::from(index)),
        Ok(index) => Ok(VARIABLE_BIT | u32::from(index)),
        Err(_) => Err(ExpressionError::UnknownVariable { expression, index }),
    }
}

/// The nodes of a table's symbols, for looking up. The type of the next node cannot be predicted, so looking up is
/// quicker than branching.
pub(crate) struct Nodes<'a> {
    table: &'a ExpressionTable,
    narrow: [Node; 256],
}

impl<'a> Nodes<'a> {
    pub(crate) fn new(table: &'a ExpressionTable) -> Self {
        Nodes { table, narrow: std::array::from_fn(|symbol| table.node(symbol as u32).unwrap_or(Node::Var(0))) }
    }
}

/// A node as a small number. It is the byte of the node in a table (see the [module](self)) or, if that is more than a
/// byte, 255 + the number of a constant or [`VARIABLE_BIT`] + that of a variable. Nodes are equal if their symbols are.
pub(crate) trait Symbol: crate::interner::Symbol {
    /// Makes a symbol of a number, which has to fit.
    fn of(number: u32) -> Self;

    fn number(self) -> u32;

    /// Returns the node, or an arbitrary one if the table has no such symbol.
    fn node(self, nodes: &Nodes<'_>) -> Node;

    /// Returns the number of operands of the node.
    #[inline]
    fn arity(self) -> usize {
        ARITY[self.number().min(u32::from(u8::MAX)) as usize].into()
    }
}

impl Symbol for u8 {
    #[inline]
    fn of(number: u32) -> Self {
        debug_assert!(number < ESCAPE_SYMBOL);
        number as u8
    }

    #[inline]
    fn number(self) -> u32 {
        self.into()
    }

    #[inline]
    fn node(self, nodes: &Nodes<'_>) -> Node {
        nodes.narrow[usize::from(self)]
    }
}

impl Symbol for u32 {
    #[inline]
    fn of(number: u32) -> Self {
        number
    }

    #[inline]
    fn number(self) -> u32 {
        self
    }

    fn node(self, nodes: &Nodes<'_>) -> Node {
        nodes.table.node(self).unwrap_or(Node::Var(0))
    }
}

const FIRST_CONSTANT_SYMBOL: u32 = FIRST_CONSTANT as u32;
const FIRST_VARIABLE_SYMBOL: u32 = FIRST_VARIABLE as u32;
const ESCAPE_SYMBOL: u32 = ESCAPE as u32;

/// The number of operands by symbol. Symbols from the number of operators on are leaves.
const ARITY: [u8; 256] = {
    let mut table = [0; 256];
    let mut op = 0;
    while op < Op::ALL.len() {
        table[op] = Op::ALL[op].arity() as u8;
        op += 1;
    }
    table
};

/// A list of expressions as symbols, each in post-order.
#[derive(Debug)]
pub(crate) struct Forms<S> {
    pub(crate) symbols: Vec<S>,
    /// The end of each expression in `symbols`.
    pub(crate) ends: Vec<usize>,
}

/// Returns the start of the subtree with this root in a list of trees.
#[inline]
pub(crate) fn subtree_start<S: Symbol>(symbols: &[S], root: usize) -> usize {
    let (mut start, mut open) = (root, symbols[root].arity());
    while open > 0 {
        start -= 1;
        open = open + symbols[start].arity() - 1;
    }
    start
}

/// A builder of an [`ExpressionTable`].
#[derive(Debug, Clone, Default)]
pub struct ExpressionTableBuilder {
    table: ExpressionTable,
    forms: usize,
    /// The places of the expressions that were [inserted](Self::insert).
    known: FxHashMap<Expr, u32>,
    /// The places of the constants, by their bits.
    constants: FxHashMap<u64, u32>,
}

impl ExpressionTableBuilder {
    /// Makes an empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// Continues a table that has `forms` expressions; none of them counts as [inserted](Self::insert).
    pub(crate) fn reopen(table: ExpressionTable, forms: usize) -> Self {
        let mut constants = FxHashMap::default();
        for (place, value) in (0..).zip(&table.constants) {
            constants.entry(value.to_bits()).or_insert(place);
        }
        ExpressionTableBuilder { table, forms, constants, ..Self::default() }
    }

    /// Returns the number of expressions so far.
    pub fn len(&self) -> usize {
        self.forms
    }

    /// Returns whether there are no expressions.
    pub fn is_empty(&self) -> bool {
        self.forms == 0
    }

    /// Returns the place of an expression. It adds the expression unless it was inserted before.
    ///
    /// # Errors
    /// Returns an error where [`push`](Self::push) does.
    pub fn insert(&mut self, tree: &Tree) -> Result<u32, ExpressionError> {
        if let Some(&place) = self.known.get(tree) {
            return Ok(place);
        }
        let place = self.push(tree)?;
        self.known.insert(tree.to_owned(), place);
        Ok(place)
    }

    /// Adds an expression, even if it is there already, and returns its place.
    ///
    /// # Errors
    /// Returns an error if it has more than [`MAX_NODES`] nodes, or the table is full ([`MAX_EXPRESSIONS`]). The table
    /// is then unchanged.
    pub fn push(&mut self, tree: &Tree) -> Result<u32, ExpressionError> {
        if tree.size() > MAX_NODES {
            return Err(ExpressionError::TooLarge { expression: self.forms });
        }
        if self.forms == MAX_EXPRESSIONS {
            return Err(ExpressionError::TooMany);
        }
        match tree.nodes() {
            &[leaf] => self.write(leaf),
            nodes if nodes.len() <= SMALL => self.write_small(nodes),
            _ => tree.to_prefix().into_iter().for_each(|node| self.write(node)),
        }
        self.forms += 1;
        Ok(self.forms as u32 - 1)
    }

    /// Returns the table.
    pub fn build(self) -> ExpressionTable {
        self.table
    }

    /// Writes a tree of at most [`SMALL`] nodes without allocating.
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
        let ExpressionTable { constants, tokens: Bytes(tokens) } = &mut self.table;
        let escaped = match node {
            Node::Op(op) => return tokens.push(op as u8),
            Node::Var(index) if index < u16::from(ESCAPE - FIRST_VARIABLE) => {
                return tokens.push(FIRST_VARIABLE + index as u8);
            }
            Node::Var(index) => VARIABLE_BIT + u32::from(index),
            // Most primitive sets have one constant.
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

    fn table(forms: &[Expr]) -> ExpressionTable {
        let mut builder = ExpressionTableBuilder::new();
        for expression in forms {
            builder.push(expression).expect("small forms");
        }
        builder.build()
    }

    fn of_bytes(constants: &[f64], tokens: &[u8]) -> ExpressionTable {
        ExpressionTable { constants: constants.to_vec(), tokens: Bytes(tokens.to_vec()) }
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
        assert!(decoded.iter().map(|expression| &**expression).eq(&forms));
    }

    #[test]
    fn equal_expressions_have_equal_symbols() {
        let twice = of_bytes(&[1.0, 2.0, 1.0], &[66, 255, 2, 0, 0, 0, 255, 3, 0, 0, 128, 131]);
        assert_eq!(twice.symbols::<u32>().expect("forms").symbols, [64, 64, 131, 131]);
        assert!(!twice.is_narrow());
        assert_eq!(of_bytes(&[1.0, 1.0], &[64, 65]).symbols::<u8>().expect("forms").symbols, [64, 64]);
    }

    #[test]
    fn insert_finds_what_was_inserted() {
        let mut builder = ExpressionTableBuilder::new();
        let places: Vec<u32> = ["x0", "x1 + 1", "x0", "x1 + 1", "x2"]
            .map(|text| builder.insert(&text.parse::<Expr>().expect(text)).expect("small"))
            .to_vec();
        assert_eq!(places, [0, 1, 0, 1, 2]);
        assert_eq!(builder.len(), 3);
    }

    #[test]
    fn errors_name_the_form() {
        let error = |constants: &[f64], tokens: &[u8]| of_bytes(constants, tokens).decode().expect_err("bad bytes");
        assert_eq!(error(&[], &[128, 0, 128]), ExpressionError::Cut { expression: 1 });
        assert_eq!(error(&[], &[255, 1]), ExpressionError::Cut { expression: 0 });
        assert_eq!(error(&[], &[128, 63]), ExpressionError::UnknownOperator { expression: 1, index: 63 });
        assert_eq!(error(&[1.0], &[65]), ExpressionError::UnknownConstant { expression: 0, index: 1, constants: 1 });
        assert_eq!(
            error(&[], &[255, 0, 0, 1, 128]),
            ExpressionError::UnknownVariable { expression: 0, index: 1 << 16 }
        );
        assert_eq!(error(&[], &vec![Op::Sin as u8; 1 << 20]), ExpressionError::TooLarge { expression: 0 });
        let deepest = [vec![Op::Sin as u8; MAX_NODES - 1], vec![128]].concat();
        assert_eq!(of_bytes(&[], &deepest).decode().expect("just small enough")[0].size(), MAX_NODES);
    }

    proptest! {
        #[test]
        fn forms_round_trip(forms in proptest::collection::vec(sr_expr::testing::expr(300, 40), 0..20)) {
            let decoded = table(&forms).decode().expect("what was written");
            prop_assert!(decoded.iter().map(|expression| &**expression).eq(&forms));
        }

        #[test]
        fn any_bytes_are_forms_or_an_error(
            constants in proptest::collection::vec(any::<f64>(), 0..4),
            tokens in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            if let Ok(forms) = of_bytes(&constants, &tokens).decode() {
                let forms: Vec<Expr> = forms.iter().map(|expression| Expr::clone(expression)).collect();
                prop_assert_eq!(table(&forms).decode().expect("what was written").len(), forms.len());
            }
        }
    }
}
