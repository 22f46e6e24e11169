//! Infix text with the fewest parentheses that keep the value.
//!
//! In all targets a sign binds as in mathematics: looser than a power, tighter than a product, so that `-x**2` is
//! −(x²). A minus moves out of products, and a sum with it is a difference: `a + -2.0 * b` is written `a - 2.0 * b`,
//! which has the same bits.

use std::collections::HashMap;
use std::fmt::{Result, Write};

use super::names::Identifiers;
use crate::{Node, Op, Tree};

/// How tightly the outermost operation of a text binds.
pub(super) type Precedence = u8;

pub(super) const SUM: Precedence = 1;
pub(super) const PRODUCT: Precedence = 2;
pub(super) const SIGN: Precedence = 3;
pub(super) const POWER: Precedence = 4;
pub(super) const ATOM: Precedence = 5;

/// The nesting of operations above which a subtree becomes a local variable. Python's parser accepts 200 parentheses,
/// and compilers recurse.
const DEEPEST: usize = 32;

/// What a target makes of a node. Operands are indices of nodes.
#[derive(Debug, Clone)]
pub(super) enum Syntax {
    /// A number: its magnitude as text, whether it is negative, and how tightly the magnitude binds.
    Number(String, bool, Precedence),
    /// The name of a column.
    Name(String),
    Sum(usize, usize),
    Difference(usize, usize),
    Product(usize, usize),
    Quotient(Operand, usize),
    Negation(usize),
    Power(Operand, Exponent),
    /// Text around operands, which need no parentheses there, and how tightly it binds.
    Around(Vec<Piece>, Precedence),
}

/// A part of [`Syntax::Around`].
#[derive(Debug, Clone)]
pub(super) enum Piece {
    Text(String),
    Node(usize),
    /// A node that is multiplied or divided.
    Factor(usize),
}

/// An operand that may be more than a node.
#[derive(Debug, Clone, Copy)]
pub(super) enum Operand {
    Node(usize),
    Text(&'static str),
    /// A function applied to a node, opened by this text.
    Call(&'static str, usize),
}

/// An exponent.
#[derive(Debug, Clone)]
pub(super) enum Exponent {
    Node(usize),
    Text(String),
}

impl Syntax {
    /// Returns a function applied to one operand; `name` includes the opening parenthesis.
    pub(super) fn call(open: impl Into<String>, node: usize) -> Syntax {
        Syntax::around(open, node, ")")
    }

    /// Returns a function applied to two operands; `name` includes the opening parenthesis.
    pub(super) fn call2(open: impl Into<String>, a: usize, b: usize) -> Syntax {
        let text = |text: &str| Piece::Text(text.to_owned());
        Syntax::Around(vec![Piece::Text(open.into()), Piece::Node(a), text(", "), Piece::Node(b), text(")")], ATOM)
    }

    /// Returns one operand between two texts.
    pub(super) fn around(open: impl Into<String>, node: usize, close: impl Into<String>) -> Syntax {
        Syntax::Around(vec![Piece::Text(open.into()), Piece::Node(node), Piece::Text(close.into())], ATOM)
    }
}

/// A tree with what its targets ask for. Everything is O(size).
pub(super) struct Nodes<'a> {
    pub(super) nodes: &'a [Node],
    starts: Vec<usize>,
    /// Whether the subtree has a variable.
    pub(super) has_variable: Vec<bool>,
    /// Equal for equal subtrees only.
    pub(super) ids: Vec<usize>,
}

impl<'a> Nodes<'a> {
    pub(super) fn new(tree: &'a Tree) -> Self {
        let (nodes, starts) = (tree.nodes(), tree.subtree_starts());
        let mut this = Nodes { nodes, starts, has_variable: Vec::new(), ids: Vec::new() };
        let mut known = HashMap::new();
        for (index, node) in nodes.iter().enumerate() {
            let operands = this.operands(index);
            let has_variable = matches!(node, Node::Var(_)) || operands.iter().any(|&o| this.has_variable[o]);
            this.has_variable.push(has_variable);
            let ids: Vec<usize> = operands.iter().map(|&operand| this.ids[operand]).collect();
            let id = *known.entry((*node, ids)).or_insert(index);
            this.ids.push(id);
        }
        this
    }

    /// Returns the roots of a node's operands.
    pub(super) fn operands(&self, node: usize) -> Vec<usize> {
        match self.nodes[node].arity() {
            0 => Vec::new(),
            1 => vec![node - 1],
            _ => vec![self.starts[node - 1] - 1, node - 1],
        }
    }

    /// Returns whether both operands of a node are the same expression.
    pub(super) fn is_square(&self, node: usize) -> bool {
        match *self.operands(node) {
            [a, b] => self.ids[a] == self.ids[b],
            _ => false,
        }
    }

    /// Returns for each node the base and the exponent, if it is a product of equal factors or `pow2`, `pow3`.
    pub(super) fn powers(&self) -> Vec<Option<(usize, u32)>> {
        let mut powers: Vec<Option<(usize, u32)>> = Vec::with_capacity(self.nodes.len());
        for (index, node) in self.nodes.iter().enumerate() {
            let power = match (*node, &*self.operands(index)) {
                (Node::Op(Op::Pow2), &[a]) => Some((a, 2)),
                (Node::Op(Op::Pow3), &[a]) => Some((a, 3)),
                (Node::Op(Op::Mul), &[a, b]) => {
                    let of = |operand: usize| match self.nodes[operand] {
                        Node::Op(Op::Mul) => powers[operand].unwrap_or((operand, 1)),
                        _ => (operand, 1),
                    };
                    let ((a, n), (b, m)) = (of(a), of(b));
                    (self.ids[a] == self.ids[b]).then_some((a, n + m))
                }
                _ => None,
            };
            powers.push(power);
        }
        powers
    }

    /// Returns for each node whether it is the operand of an operator whose other operand has a variable.
    pub(super) fn beside_variable(&self) -> Vec<bool> {
        let mut beside = vec![false; self.nodes.len()];
        for node in 0..self.nodes.len() {
            if let [a, b] = *self.operands(node) {
                (beside[a], beside[b]) = (self.has_variable[b], self.has_variable[a]);
            }
        }
        beside
    }

    /// Returns the syntax of all nodes. `operator` is asked for those with operands.
    pub(super) fn syntax(
        &self,
        identifiers: &Identifiers,
        mut number: impl FnMut(usize, f64) -> Syntax,
        mut operator: impl FnMut(usize, Op, &[usize]) -> Syntax,
    ) -> Vec<Syntax> {
        let syntax = |(index, node): (usize, &Node)| match *node {
            Node::Var(column) => Syntax::Name(identifiers.columns[usize::from(column)].clone()),
            Node::Const(value) => number(index, value),
            Node::Op(op) => operator(index, op, &self.operands(index)),
        };
        self.nodes.iter().enumerate().map(syntax).collect()
    }
}

/// How operations are written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Notation {
    /// `a*b`, `a/b`, `a**b`, `a + b`
    Sympy,
    /// `a * b`, `a / b`, `a**b`, `a + b`
    Code,
    /// `a \cdot b`, `\frac{a}{b}`, `a^{b}`. Sums and products in sums and products have no parentheses, as numbers are
    /// those of mathematics, and no sign follows an operator.
    Latex,
    /// The same as elements: `<mfrac>`, `<msup>`, and `<mo>` for signs.
    MathMl,
}

/// What stands between operands.
struct Signs {
    plus: &'static str,
    minus: &'static str,
    times: &'static str,
    /// The sign of a number or term.
    negative: &'static str,
    parentheses: [&'static str; 2],
    /// Before, between and behind the parts of a fraction.
    fraction: [&'static str; 3],
    power: [&'static str; 3],
}

const CODE: Signs = Signs {
    plus: " + ",
    minus: " - ",
    times: " * ",
    negative: "-",
    parentheses: ["(", ")"],
    fraction: ["", " / ", ""],
    power: ["", "**", ""],
};
const SYMPY: Signs = Signs { times: "*", fraction: ["", "/", ""], ..CODE };
const LATEX: Signs = Signs {
    times: " \\cdot ",
    parentheses: ["\\left(", "\\right)"],
    fraction: ["\\frac{", "}{", "}"],
    power: ["", "^{", "}"],
    ..CODE
};
const MATHML: Signs = Signs {
    plus: "<mo>+</mo>",
    minus: "<mo>−</mo>",
    times: "<mo>⋅</mo>",
    negative: "<mo>−</mo>",
    parentheses: ["<mrow><mo>(</mo>", "<mo>)</mo></mrow>"],
    fraction: ["<mfrac><mrow>", "</mrow><mrow>", "</mrow></mfrac>"],
    power: ["<msup><mrow>", "</mrow><mrow>", "</mrow></msup>"],
};

impl Notation {
    fn signs(self) -> &'static Signs {
        match self {
            Notation::Sympy => &SYMPY,
            Notation::Code => &CODE,
            Notation::Latex => &LATEX,
            Notation::MathMl => &MATHML,
        }
    }

    /// Returns whether operands stand above and below one another, as in mathematics.
    fn is_typeset(self) -> bool {
        matches!(self, Notation::Latex | Notation::MathMl)
    }
}

#[derive(Debug, Clone, Copy)]
struct Shape {
    precedence: Precedence,
    /// Whether the text begins with a minus.
    minus: bool,
    /// The precedence without that minus.
    bare: Precedence,
}

impl Shape {
    const ATOM: Shape = Shape { precedence: ATOM, minus: false, bare: ATOM };

    /// Returns whether the minus is of the whole text, so that it may move out.
    fn is_negative(self) -> bool {
        self.minus && self.precedence >= PRODUCT
    }
}

/// An expression that can be written.
pub(super) struct Infix {
    notation: Notation,
    syntax: Vec<Syntax>,
    shapes: Vec<Shape>,
    /// Names of the subtrees that are local variables.
    locals: Vec<Option<String>>,
}

enum Part<'a> {
    Text(&'a str),
    Node { node: usize, at_least: Precedence, strip: bool },
}

impl Infix {
    pub(super) fn new(notation: Notation, syntax: Vec<Syntax>) -> Self {
        let mut this = Infix { notation, shapes: Vec::new(), locals: vec![None; syntax.len()], syntax };
        for node in 0..this.syntax.len() {
            this.shapes.push(this.shape(node));
        }
        this
    }

    /// Makes local variables of what is nested deeply, with new names.
    pub(super) fn with_locals(
        notation: Notation,
        syntax: Vec<Syntax>,
        nodes: &Nodes<'_>,
        names: &mut Identifiers,
    ) -> Self {
        let mut this = Infix { notation, shapes: Vec::new(), locals: vec![None; syntax.len()], syntax };
        let mut depths: Vec<usize> = Vec::new();
        for node in 0..this.syntax.len() {
            let below = nodes.operands(node).into_iter().map(|operand| depths[operand]).max();
            let depth = below.map_or(0, |below| below + 1);
            if depth >= DEEPEST && node + 1 < this.syntax.len() {
                this.locals[node] = Some(names.fresh("t"));
                this.shapes.push(Shape::ATOM);
                depths.push(0);
            } else {
                this.shapes.push(this.shape(node));
                depths.push(depth);
            }
        }
        this
    }

    /// Returns the local variables and their nodes, in the order in which they have to be computed.
    pub(super) fn locals(&self) -> impl Iterator<Item = (usize, &str)> {
        self.locals.iter().enumerate().filter_map(|(node, name)| Some((node, name.as_deref()?)))
    }

    /// Writes the whole expression, or what it is computed from local variables.
    pub(super) fn write(&self, f: &mut impl Write) -> Result {
        self.write_node(f, self.syntax.len() - 1)
    }

    /// Writes the subtree of a node in O(its size), without recursion.
    pub(super) fn write_node(&self, f: &mut impl Write, root: usize) -> Result {
        let mut parts = Vec::new();
        let mut expanded = Vec::new();
        self.expand(root, false, &mut expanded);
        parts.extend(expanded.drain(..).rev());
        while let Some(part) = parts.pop() {
            match part {
                Part::Text(text) => f.write_str(text)?,
                Part::Node { node, at_least, strip } => {
                    if let Some(name) = &self.locals[node] {
                        f.write_str(name)?;
                        continue;
                    }
                    let Shape { precedence, bare, .. } = self.shapes[node];
                    if (if strip { bare } else { precedence }) < at_least {
                        let [open, close] = self.notation.signs().parentheses;
                        f.write_str(open)?;
                        parts.push(Part::Text(close));
                    }
                    self.expand(node, strip, &mut expanded);
                    parts.extend(expanded.drain(..).rev());
                }
            }
        }
        Ok(())
    }

    fn shape(&self, node: usize) -> Shape {
        let of = |node: usize| self.shapes[node];
        let plain = |precedence| Shape { precedence, minus: false, bare: precedence };
        match self.syntax[node] {
            Syntax::Number(_, false, precedence) | Syntax::Around(_, precedence) => plain(precedence),
            Syntax::Number(_, true, bare) => Shape { precedence: bare.min(SIGN), minus: true, bare },
            Syntax::Name(_) => Shape::ATOM,
            Syntax::Sum(a, _) | Syntax::Difference(a, _) => Shape { minus: of(a).minus, ..plain(SUM) },
            Syntax::Quotient(a, _) if self.notation.is_typeset() => match self.operand(a).is_negative() {
                true => Shape { precedence: SIGN, minus: true, bare: POWER },
                false => plain(POWER),
            },
            Syntax::Product(a, _) => Shape { minus: of(a).is_negative(), ..plain(PRODUCT) },
            Syntax::Quotient(a, _) => Shape { minus: self.operand(a).is_negative(), ..plain(PRODUCT) },
            Syntax::Negation(a) if of(a).is_negative() => plain(of(a).bare),
            Syntax::Negation(a) if of(a).precedence >= PRODUCT => {
                Shape { precedence: of(a).precedence.min(SIGN), minus: true, bare: of(a).precedence }
            }
            Syntax::Negation(_) => Shape { precedence: SIGN, minus: true, bare: ATOM },
            Syntax::Power(..) => plain(POWER),
        }
    }

    fn operand(&self, operand: Operand) -> Shape {
        match operand {
            Operand::Node(node) => self.shapes[node],
            Operand::Text(_) | Operand::Call(..) => Shape::ATOM,
        }
    }

    /// Adds the parts of a node's text, from left to right; with `strip` without the minus at its beginning.
    fn expand<'a>(&'a self, node: usize, strip: bool, out: &mut Vec<Part<'a>>) {
        let (signs, is_typeset) = (self.notation.signs(), self.notation.is_typeset());
        let part = |node, at_least, strip| Part::Node { node, at_least, strip };
        // The right operand of what is associative in mathematics.
        let right = |node: usize, same: Precedence, other: Precedence| {
            let shape = self.shapes[node];
            part(node, if is_typeset && shape.precedence == same && !shape.minus { same } else { other }, false)
        };
        match &self.syntax[node] {
            Syntax::Number(text, negative, _) => {
                out.extend((*negative && !strip).then_some(Part::Text(signs.negative)));
                out.push(Part::Text(text));
            }
            Syntax::Name(name) => out.push(Part::Text(name)),
            &Syntax::Sum(a, b) if self.shapes[b].is_negative() => {
                out.extend([part(a, SUM, false), Part::Text(signs.minus), part(b, PRODUCT, true)]);
            }
            &Syntax::Sum(a, b) => out.extend([part(a, SUM, false), Part::Text(signs.plus), right(b, SUM, PRODUCT)]),
            &Syntax::Difference(a, b) if self.shapes[b].is_negative() => {
                out.extend([part(a, SUM, false), Part::Text(signs.plus), part(b, PRODUCT, true)]);
            }
            &Syntax::Difference(a, b) => {
                out.extend([part(a, SUM, false), Part::Text(signs.minus), part(b, PRODUCT, false)]);
            }
            &Syntax::Product(a, b) => {
                let tightest = if is_typeset { POWER } else { SIGN };
                out.extend([part(a, PRODUCT, strip), Part::Text(signs.times), right(b, PRODUCT, tightest)]);
            }
            &Syntax::Quotient(a, b) => {
                let [open, over, close] = signs.fraction;
                let is_moved = is_typeset && self.operand(a).is_negative();
                out.extend((is_moved && !strip).then_some(Part::Text(signs.negative)));
                out.push(Part::Text(open));
                match is_typeset {
                    true => self.expand_operand(a, 0, is_moved, out),
                    false => self.expand_operand(a, PRODUCT, strip, out),
                }
                out.extend([Part::Text(over), part(b, if is_typeset { 0 } else { SIGN }, false), Part::Text(close)]);
            }
            &Syntax::Negation(a) if self.shapes[a].is_negative() => out.push(part(a, PRODUCT, true)),
            &Syntax::Negation(a) => {
                out.extend((!strip).then_some(Part::Text(signs.negative)));
                out.push(part(a, PRODUCT, false));
            }
            Syntax::Power(base, exponent) => {
                let [open, to, close] = signs.power;
                out.push(Part::Text(open));
                self.expand_operand(*base, ATOM, false, out);
                out.push(Part::Text(to));
                out.push(match exponent {
                    Exponent::Node(exponent) => part(*exponent, if is_typeset { 0 } else { SIGN }, false),
                    Exponent::Text(text) => Part::Text(text),
                });
                out.push(Part::Text(close));
            }
            Syntax::Around(pieces, _) => out.extend(pieces.iter().map(|piece| match piece {
                Piece::Text(text) => Part::Text(text),
                Piece::Node(node) => part(*node, 0, false),
                Piece::Factor(node) => part(*node, if self.shapes[*node].minus { POWER } else { PRODUCT }, false),
            })),
        }
    }

    fn expand_operand(&self, operand: Operand, at_least: Precedence, strip: bool, out: &mut Vec<Part<'_>>) {
        match operand {
            Operand::Node(node) => out.push(Part::Node { node, at_least, strip }),
            Operand::Text(text) => out.push(Part::Text(text)),
            Operand::Call(open, node) => {
                let node = Part::Node { node, at_least: 0, strip: false };
                out.extend([Part::Text(open), node, Part::Text(")")]);
            }
        }
    }
}
