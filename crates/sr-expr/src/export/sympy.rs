//! SymPy: one line that `sympify` reads, whose symbols are identifiers that SymPy has no meaning for.

use std::fmt::{Formatter, Result, Write};

use super::infix::{ATOM, Exponent, Infix, Nodes, Notation, Operand, PRODUCT, Piece, Syntax};
use super::names::Identifiers;
use super::numpy::is_integer;
use super::{Export, Target, groups};
use crate::op::{MAX_EXPONENT, MAX_TAN, MIN_DIVISOR, MIN_INVERSE, MIN_LOG};
use crate::{Node, Op, Semantics, python_float};

pub(super) fn write(export: &Export<'_>, f: &mut Formatter<'_>) -> Result {
    let identifiers = Identifiers::new(Target::Sympy, export.names, export.n_columns());
    let nodes = Nodes::new(export.tree);
    let exact = exact(&nodes);
    let number = |node: usize, value: f64| number(value, exact[node]);
    let protected = export.semantics == Semantics::Protected;
    let powers = nodes.powers();
    let syntax = nodes.syntax(&identifiers, number, |node, op, operands| match powers[node] {
        Some((base, exponent)) => Syntax::Power(Operand::Node(base), Exponent::Text(exponent.to_string())),
        None => operator(op, operands, &nodes, protected),
    });
    Infix::new(Notation::Sympy, syntax).write(f)?;
    // `sympify` joins lines, so all comments follow on the same one.
    let names = export.mapping(&identifiers, export.used_columns()).join(", ");
    let comments = export.title_line().into_iter().chain([names]);
    let comments: Vec<String> =
        comments.chain(groups::comment(export, &identifiers.columns)).filter(|c| !c.is_empty()).collect();
    if !comments.is_empty() {
        write!(f, "  # {}", comments.join("; "))?;
    }
    f.write_char('\n')
}

/// The largest integer that is an exact exponent: SymPy computes powers of integers to the last digit.
const LARGEST_EXPONENT: f64 = 1000.0;

/// Returns for each node whether an integer there is written as one, so that SymPy computes with it exactly.
///
/// Where constants are raised to constants it would compute for ever on the digits of `10**10**10`; there they are
/// floats.
fn exact(nodes: &Nodes<'_>) -> Vec<bool> {
    let mut has_power = vec![false; nodes.nodes.len()];
    let mut exact = vec![true; nodes.nodes.len()];
    for (index, node) in nodes.nodes.iter().enumerate() {
        let is_power = matches!(node, Node::Op(Op::Pow | Op::Pow2 | Op::Pow3));
        has_power[index] = is_power || nodes.operands(index).iter().any(|&operand| has_power[operand]);
        if let (Node::Op(Op::Pow), Node::Const(exponent)) = (node, nodes.nodes[index.saturating_sub(1)]) {
            exact[index - 1] = exponent.abs() <= LARGEST_EXPONENT;
        }
    }
    for index in (0..nodes.nodes.len()).rev() {
        exact[index] &= nodes.has_variable[index] || !has_power[index];
        if !nodes.has_variable[index] && !exact[index] {
            nodes.operands(index).into_iter().for_each(|operand| exact[operand] = false);
        }
    }
    exact
}

fn number(value: f64, exact: bool) -> Syntax {
    let negative = value.is_sign_negative() && !value.is_nan();
    let text = match value.abs() {
        magnitude if magnitude.is_nan() => "nan".into(),
        f64::INFINITY => "oo".into(),
        magnitude if exact && is_integer(value) => format!("{magnitude:.0}"),
        magnitude => python_float(magnitude),
    };
    Syntax::Number(text, negative, ATOM)
}

fn operator(op: Op, operands: &[usize], nodes: &Nodes<'_>, protected: bool) -> Syntax {
    let a = operands[0];
    let b = operands.get(1).copied().unwrap_or(a);
    let text = |text: String| Piece::Text(text);
    // The operand where it is large enough to divide by. A variable is written where it stands, anything else once, as
    // the argument of a function.
    let divisor = |before: &str, operand: usize, least: f64| match nodes.nodes[operand] {
        Node::Var(_) => vec![
            text(format!("{before}Piecewise(({least:e}, Abs(")),
            Piece::Node(operand),
            text(format!(") < {least:e}), (")),
            Piece::Node(operand),
            text(", True))".into()),
        ],
        _ => vec![
            text(format!("{before}Lambda(d, Piecewise(({least:e}, Abs(d) < {least:e}), (d, True)))(")),
            Piece::Node(operand),
            text(")".into()),
        ],
    };
    match op {
        Op::Add => Syntax::Sum(a, b),
        Op::Sub => Syntax::Difference(a, b),
        Op::Mul => Syntax::Product(a, b),
        Op::Div if protected => {
            Syntax::Around([vec![Piece::Factor(a)], divisor("/", b, MIN_DIVISOR)].concat(), PRODUCT)
        }
        Op::Div => Syntax::Quotient(Operand::Node(a), b),
        Op::Inv if protected => Syntax::Around(divisor("1/", a, MIN_INVERSE), PRODUCT),
        Op::Inv => Syntax::Quotient(Operand::Text("1"), a),
        Op::Pow => Syntax::Power(Operand::Node(a), Exponent::Node(b)),
        Op::Neg => Syntax::Negation(a),
        Op::Sqrt if protected => Syntax::around("sqrt(Abs(", a, "))"),
        Op::Log if protected => Syntax::around("log(Max(Abs(", a, format!("), {MIN_LOG:e}))")),
        Op::Exp if protected => Syntax::around(format!("exp(Max(-{MAX_EXPONENT}, Min({MAX_EXPONENT}, "), a, ")))"),
        Op::Tan if protected => Syntax::around(format!("Max(-{MAX_TAN}, Min({MAX_TAN}, tan("), a, ")))"),
        Op::Abs => Syntax::call("Abs(", a),
        Op::Exp | Op::Log | Op::Sqrt | Op::Sin | Op::Cos | Op::Tan | Op::Tanh | Op::Asin | Op::Acos | Op::Atan => {
            Syntax::call(format!("{}(", op.name()), a)
        }
        Op::Pow2 => Syntax::Power(Operand::Node(a), Exponent::Text("2".into())),
        Op::Pow3 => Syntax::Power(Operand::Node(a), Exponent::Text("3".into())),
    }
}
