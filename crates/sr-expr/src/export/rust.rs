//! Rust: a function of `f64` that needs the standard library only. Its helpers are inside of it.

use std::fmt::{Formatter, Result};

use super::infix::{ATOM, Infix, Nodes, Notation, Operand, Syntax};
use super::names::{self, Identifiers};
use super::{Export, Target, comments, groups, head};
use crate::op::{MAX_EXPONENT, MAX_TAN, MIN_DIVISOR, MIN_INVERSE, MIN_LOG};
use crate::{Node, Op, Semantics, python_float};

pub(super) fn write(export: &Export<'_>, f: &mut Formatter<'_>) -> Result {
    let mut identifiers = Identifiers::new(Target::Rust, export.names, export.n_columns());
    let nodes = Nodes::new(export.tree);
    let columns = identifiers.columns.clone();
    let protected = export.semantics == Semantics::Protected;
    let mut helpers: Vec<String> = Vec::new();
    let syntax = nodes.syntax(
        &identifiers,
        |_, value| number(value),
        |node, op, operands| {
            let (syntax, helper) = operator(&nodes, node, op, operands, protected);
            if let Some(helper) = helper.filter(|helper| !helpers.contains(helper)) {
                helpers.push(helper);
            }
            syntax
        },
    );
    let infix = Infix::with_locals(Notation::Code, syntax, &nodes, &mut identifiers);
    let function = names::function(Target::Rust, export.function);

    comments(f, "//", export.title_line())?;
    comments(f, "//", export.mapping(&identifiers, 0..columns.len()))?;
    let has_capitals = columns.iter().chain([&function]).any(|name| name.contains(|c: char| c.is_ascii_uppercase()));
    let allowed = [
        (columns.len() > 7, "clippy::too_many_arguments"),
        (has_capitals, "non_snake_case"),
        (export.used().contains(&false), "unused_variables"),
    ];
    let allowed: Vec<&str> = allowed.into_iter().filter_map(|(is_met, lint)| is_met.then_some(lint)).collect();
    if !allowed.is_empty() {
        writeln!(f, "#[allow({})]", allowed.join(", "))?;
    }
    let parameters: Vec<String> = columns.iter().map(|column| format!("{column}: f64")).collect();
    writeln!(f, "{}", head(&format!("pub fn {function}("), &parameters, ") -> f64 {"))?;
    helpers.iter().try_for_each(|helper| writeln!(f, "    {helper}"))?;
    for (node, name) in infix.locals() {
        write!(f, "    let {name} = ")?;
        infix.write_node(f, node)?;
        f.write_str(";\n")?;
    }
    f.write_str("    ")?;
    infix.write(f)?;
    f.write_str("\n}\n")?;
    groups::write(export, &columns, f)
}

fn number(value: f64) -> Syntax {
    let negative = value.is_sign_negative() && !value.is_nan();
    let text = match value.abs() {
        magnitude if magnitude.is_nan() => "f64::NAN".into(),
        f64::INFINITY => "f64::INFINITY".into(),
        magnitude => python_float(magnitude),
    };
    Syntax::Number(text, negative, ATOM)
}

/// Returns a node's syntax, and the function that it calls.
fn operator(nodes: &Nodes<'_>, node: usize, op: Op, operands: &[usize], protected: bool) -> (Syntax, Option<String>) {
    let a = operands[0];
    let b = operands.get(1).copied().unwrap_or(a);
    if let Some((parameters, value)) = guarded(op).filter(|_| protected) {
        let name = op.name_in(Semantics::Protected);
        let open = format!("{name}(");
        let syntax = if op.arity() == 2 { Syntax::call2(open, a, b) } else { Syntax::call(open, a) };
        return (syntax, Some(format!("fn {name}({parameters}) -> f64 {{ {value} }}")));
    }
    let is_square = op == Op::Pow2 || (op == Op::Mul && nodes.is_square(node));
    if is_square && !matches!(nodes.nodes[a], Node::Var(_)) {
        return (Syntax::call("square(", a), Some("fn square(a: f64) -> f64 { a * a }".into()));
    }
    let function = |name: &str| Syntax::call(format!("f64::{name}("), a);
    let syntax = match op {
        Op::Add => Syntax::Sum(a, b),
        Op::Sub => Syntax::Difference(a, b),
        Op::Mul => Syntax::Product(a, b),
        Op::Div => Syntax::Quotient(Operand::Node(a), b),
        Op::Inv => Syntax::Quotient(Operand::Text("1.0"), a),
        Op::Neg => Syntax::Negation(a),
        Op::Pow2 => Syntax::Product(a, a),
        Op::Pow3 => return (Syntax::call("cube(", a), Some("fn cube(a: f64) -> f64 { a * a * a }".into())),
        Op::Pow => Syntax::call2("f64::powf(", a, b),
        Op::Abs => function("abs"),
        Op::Exp => function("exp"),
        Op::Log => function("ln"),
        Op::Sqrt => function("sqrt"),
        Op::Sin => function("sin"),
        Op::Cos => function("cos"),
        Op::Tan => function("tan"),
        Op::Tanh => function("tanh"),
        Op::Asin => function("asin"),
        Op::Acos => function("acos"),
        Op::Atan => function("atan"),
    };
    (syntax, None)
}

/// Returns the parameters and the value of a guarded operator.
fn guarded(op: Op) -> Option<(&'static str, String)> {
    Some(match op {
        Op::Div => ("a: f64, b: f64", format!("a / if b.abs() < {MIN_DIVISOR:e} {{ {MIN_DIVISOR:e} }} else {{ b }}")),
        Op::Inv => ("a: f64", format!("1.0 / if a.abs() < {MIN_INVERSE:e} {{ {MIN_INVERSE:e} }} else {{ a }}")),
        Op::Exp => ("a: f64", format!("a.clamp(-{MAX_EXPONENT:?}, {MAX_EXPONENT:?}).exp()")),
        Op::Log => ("a: f64", format!("f64::ln(if a.abs() < {MIN_LOG:e} {{ {MIN_LOG:e} }} else {{ a.abs() }})")),
        Op::Sqrt => ("a: f64", "a.abs().sqrt()".into()),
        Op::Tan => ("a: f64", format!("a.tan().clamp(-{MAX_TAN:?}, {MAX_TAN:?})")),
        _ => return None,
    })
}
