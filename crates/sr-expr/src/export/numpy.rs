//! NumPy: a Python function of the columns, which may be arrays of any shape or numbers.

use std::fmt::{Formatter, Result, Write};

use super::infix::{ATOM, Exponent, Infix, Nodes, Notation, Operand, Syntax};
use super::names::{self, Identifiers};
use super::{Export, Target, comments, groups, head};
use crate::op::{MAX_EXPONENT, MAX_TAN, MIN_DIVISOR, MIN_INVERSE, MIN_LOG};
use crate::{Node, Op, Semantics, python_float};

pub(super) fn write(export: &Export<'_>, f: &mut Formatter<'_>) -> Result {
    let mut identifiers = Identifiers::new(Target::Numpy, export.names, export.n_columns());
    let nodes = Nodes::new(export.tree);
    let columns = identifiers.columns.clone();
    let mut helpers = Helpers { protected: export.semantics == Semantics::Protected, used: Vec::new() };
    let beside = nodes.beside_variable();
    let python = python_numbers(&nodes);
    let number = |node: usize, value: f64| number(value, beside[node]);
    let syntax = nodes
        .syntax(&identifiers, number, |node, op, operands| operator(&nodes, &python, &mut helpers, node, op, operands));
    let infix = Infix::with_locals(Notation::Code, syntax, &nodes, &mut identifiers);

    comments(f, "#", export.title_line())?;
    comments(f, "#", export.mapping(&identifiers, 0..columns.len()))?;
    f.write_str("import numpy as np\n\n\n")?;
    for helper in &helpers.used {
        write!(f, "{}\n\n", helper_text(*helper))?;
    }
    let function = names::function(Target::Numpy, export.function);
    writeln!(f, "{}", head(&format!("def {function}("), &columns, "):"))?;
    for column in export.used_columns() {
        writeln!(f, "    {0} = np.asarray({0}, dtype=float)", columns[column])?;
    }
    for (node, name) in infix.locals() {
        write!(f, "    {name} = ")?;
        infix.write_node(f, node)?;
        f.write_char('\n')?;
    }
    let root = nodes.nodes.len() - 1;
    let (open, close) = match (nodes.nodes[root], nodes.has_variable[root], columns.first()) {
        // Not the caller's own array.
        (Node::Var(_), ..) => ("+".to_owned(), ""),
        (_, true, _) => (String::new(), ""),
        (_, false, Some(column)) => (format!("np.full(np.shape({column}), "), ")"),
        (_, false, None) => ("np.float64(".to_owned(), ")"),
    };
    write!(f, "    return {open}")?;
    infix.write(f)?;
    writeln!(f, "{close}")?;
    groups::write(export, &columns, f)
}

/// Returns whether a number can be written as an integer.
pub(super) fn is_integer(value: f64) -> bool {
    value.fract() == 0.0 && value.abs() < 1e16 && (value != 0.0 || value.is_sign_positive())
}

/// Returns for each node whether Python computes it as a number of its own, which it divides and raises to powers with
/// errors where IEEE 754 has values.
fn python_numbers(nodes: &Nodes<'_>) -> Vec<bool> {
    let mut python: Vec<bool> = Vec::with_capacity(nodes.nodes.len());
    for (index, node) in nodes.nodes.iter().enumerate() {
        python.push(match node {
            Node::Var(_) => false,
            Node::Const(_) => true,
            Node::Op(Op::Add | Op::Sub | Op::Mul | Op::Neg) => {
                !nodes.is_square(index) && nodes.operands(index).into_iter().all(|operand| python[operand])
            }
            Node::Op(_) => false,
        });
    }
    python
}

fn number(value: f64, beside_variable: bool) -> Syntax {
    let negative = value.is_sign_negative() && !value.is_nan();
    let text = match value.abs() {
        magnitude if magnitude.is_nan() => "np.nan".into(),
        f64::INFINITY => "np.inf".into(),
        // Integers of Python among themselves would be computed to the last digit.
        magnitude if beside_variable && is_integer(value) => format!("{magnitude:.0}"),
        magnitude => python_float(magnitude),
    };
    Syntax::Number(text, negative, ATOM)
}

/// The functions that a text needs, in the order in which they are met.
struct Helpers {
    protected: bool,
    used: Vec<Op>,
}

impl Helpers {
    fn call(&mut self, op: Op) -> String {
        if !self.used.contains(&op) {
            self.used.push(op);
        }
        format!("{}(", helper_name(op))
    }
}

fn helper_name(op: Op) -> String {
    match op {
        Op::Pow3 => "_cube".into(),
        _ => format!("_{}", op.name_in(Semantics::Protected)),
    }
}

fn helper_text(op: Op) -> String {
    let (parameters, value) = match op {
        // `np.clip` and `np.maximum` keep NaN, and nothing is divided by zero on the way.
        Op::Div => ("a, b", format!("a / np.where(np.abs(b) < {MIN_DIVISOR:e}, {MIN_DIVISOR:e}, b)")),
        Op::Inv => ("a", format!("1.0 / np.where(np.abs(a) < {MIN_INVERSE:e}, {MIN_INVERSE:e}, a)")),
        Op::Exp => ("a", format!("np.exp(np.clip(a, -{MAX_EXPONENT:?}, {MAX_EXPONENT:?}))")),
        Op::Log => ("a", format!("np.log(np.maximum(np.abs(a), {MIN_LOG:e}))")),
        Op::Sqrt => ("a", "np.sqrt(np.abs(a))".into()),
        Op::Tan => ("a", format!("np.clip(np.tan(a), -{MAX_TAN:?}, {MAX_TAN:?})")),
        _ => ("a", "a * a * a".into()),
    };
    format!("def {}({parameters}):\n    return {value}\n", helper_name(op))
}

fn operator(
    nodes: &Nodes<'_>,
    python: &[bool],
    helpers: &mut Helpers,
    node: usize,
    op: Op,
    operands: &[usize],
) -> Syntax {
    let a = operands[0];
    let b = operands.get(1).copied().unwrap_or(a);
    if helpers.protected && op.is_guarded() {
        let open = helpers.call(op);
        return if op.arity() == 2 { Syntax::call2(open, a, b) } else { Syntax::call(open, a) };
    }
    // One operand of NumPy is enough for its rules to hold.
    let first = if python[a] && python[b] { Operand::Call("np.float64(", a) } else { Operand::Node(a) };
    let one = if python[a] { "np.float64(1.0)" } else { "1" };
    let square_of = |operand: usize| match nodes.nodes[operand] {
        Node::Var(_) => Syntax::Product(operand, operand),
        _ => Syntax::call("np.square(", operand),
    };
    match op {
        Op::Add => Syntax::Sum(a, b),
        Op::Sub => Syntax::Difference(a, b),
        Op::Mul if nodes.is_square(node) => square_of(a),
        Op::Mul => Syntax::Product(a, b),
        Op::Div => Syntax::Quotient(first, b),
        Op::Inv => Syntax::Quotient(Operand::Text(one), a),
        Op::Pow => Syntax::Power(first, Exponent::Node(b)),
        Op::Neg => Syntax::Negation(a),
        Op::Pow2 => square_of(a),
        Op::Pow3 => Syntax::call(helpers.call(op), a),
        Op::Abs => Syntax::call("np.abs(", a),
        Op::Exp => Syntax::call("np.exp(", a),
        Op::Log => Syntax::call("np.log(", a),
        Op::Sqrt => Syntax::call("np.sqrt(", a),
        Op::Sin => Syntax::call("np.sin(", a),
        Op::Cos => Syntax::call("np.cos(", a),
        Op::Tan => Syntax::call("np.tan(", a),
        Op::Tanh => Syntax::call("np.tanh(", a),
        Op::Asin => Syntax::call("np.arcsin(", a),
        Op::Acos => Syntax::call("np.arccos(", a),
        Op::Atan => Syntax::call("np.arctan(", a),
    }
}
