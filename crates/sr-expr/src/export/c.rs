//! C99: a function of `double` that needs the mathematical library. Its helpers have guards of the preprocessor, so
//! that several texts may stand in one file.

use std::fmt::{Formatter, Result};

use super::infix::{ATOM, Infix, Nodes, Notation, Operand, Syntax};
use super::names::{self, Identifiers};
use super::{Export, Target, comments, groups, head};
use crate::op::{MAX_EXPONENT, MAX_TAN, MIN_DIVISOR, MIN_INVERSE, MIN_LOG};
use crate::{Node, Op, Semantics, python_float};

pub(super) fn write(export: &Export<'_>, f: &mut Formatter<'_>) -> Result {
    let mut identifiers = Identifiers::new(Target::C, export.names, export.n_columns());
    let nodes = Nodes::new(export.tree);
    let columns = identifiers.columns.clone();
    let protected = export.semantics == Semantics::Protected;
    let mut helpers: Vec<Helper> = Vec::new();
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
    let function = names::function(Target::C, export.function);

    comments(f, "//", export.title_line())?;
    comments(f, "//", export.mapping(&identifiers, 0..columns.len()))?;
    f.write_str("#include <math.h>\n\n")?;
    for Helper { name, parameters, value } in &helpers {
        let guard = name.to_uppercase();
        writeln!(f, "#ifndef {guard}\n#define {guard}")?;
        writeln!(f, "static double {name}({parameters}) {{ return {value}; }}\n#endif\n")?;
    }
    let parameters = match &*columns {
        [] => vec!["void".to_owned()],
        columns => columns.iter().map(|column| format!("double {column}")).collect(),
    };
    writeln!(f, "{}", head(&format!("double {function}("), &parameters, ") {"))?;
    for (column, _) in export.used().iter().enumerate().filter(|(_, is_used)| !**is_used) {
        writeln!(f, "    (void){};", columns[column])?;
    }
    for (node, name) in infix.locals() {
        write!(f, "    const double {name} = ")?;
        infix.write_node(f, node)?;
        f.write_str(";\n")?;
    }
    f.write_str("    return ")?;
    infix.write(f)?;
    f.write_str(";\n}\n")?;
    groups::write(export, &columns, f)
}

fn number(value: f64) -> Syntax {
    let negative = value.is_sign_negative() && !value.is_nan();
    let text = match value.abs() {
        magnitude if magnitude.is_nan() => "NAN".into(),
        f64::INFINITY => "INFINITY".into(),
        // With a point or an exponent, so that nothing is divided as integers.
        magnitude => python_float(magnitude),
    };
    Syntax::Number(text, negative, ATOM)
}

/// A function that a text defines.
#[derive(PartialEq)]
struct Helper {
    name: String,
    parameters: &'static str,
    value: String,
}

/// Returns a node's syntax, and the function that it calls.
fn operator(nodes: &Nodes<'_>, node: usize, op: Op, operands: &[usize], protected: bool) -> (Syntax, Option<Helper>) {
    let a = operands[0];
    let b = operands.get(1).copied().unwrap_or(a);
    let helper = |name: &str, parameters, value: String| {
        let name = format!("sr_{name}");
        let open = format!("{name}(");
        let syntax =
            if op.arity() == 2 && name == "sr_pdiv" { Syntax::call2(open, a, b) } else { Syntax::call(open, a) };
        (syntax, Some(Helper { name, parameters, value }))
    };
    if let Some((parameters, value)) = guarded(op).filter(|_| protected) {
        return helper(op.name_in(Semantics::Protected), parameters, value);
    }
    let is_square = op == Op::Pow2 || (op == Op::Mul && nodes.is_square(node));
    if is_square && !matches!(nodes.nodes[a], Node::Var(_)) {
        return helper("square", "double a", "a * a".into());
    }
    let function = |name: &str| Syntax::call(format!("{name}("), a);
    let syntax = match op {
        Op::Add => Syntax::Sum(a, b),
        Op::Sub => Syntax::Difference(a, b),
        Op::Mul => Syntax::Product(a, b),
        Op::Div => Syntax::Quotient(Operand::Node(a), b),
        Op::Inv => Syntax::Quotient(Operand::Text("1.0"), a),
        Op::Neg => Syntax::Negation(a),
        Op::Pow2 => Syntax::Product(a, a),
        Op::Pow3 => return helper("cube", "double a", "a * a * a".into()),
        Op::Pow => Syntax::call2("pow(", a, b),
        Op::Abs => function("fabs"),
        Op::Exp | Op::Log | Op::Sqrt | Op::Sin | Op::Cos | Op::Tan | Op::Tanh | Op::Asin | Op::Acos | Op::Atan => {
            function(op.name())
        }
    };
    (syntax, None)
}

/// Returns the parameters and the value of a guarded operator. NaN is kept: no comparison with it holds.
fn guarded(op: Op) -> Option<(&'static str, String)> {
    let (one, two) = ("double a", "double a, double b");
    Some(match op {
        Op::Div => (two, format!("a / (fabs(b) < {MIN_DIVISOR:e} ? {MIN_DIVISOR:e} : b)")),
        Op::Inv => (one, format!("1.0 / (fabs(a) < {MIN_INVERSE:e} ? {MIN_INVERSE:e} : a)")),
        Op::Exp => (one, {
            let most = MAX_EXPONENT;
            format!("exp(a < -{most:?} ? -{most:?} : a > {most:?} ? {most:?} : a)")
        }),
        Op::Log => (one, format!("log(fabs(a) < {MIN_LOG:e} ? {MIN_LOG:e} : fabs(a))")),
        Op::Sqrt => (one, "sqrt(fabs(a))".into()),
        Op::Tan => (one, {
            let most = MAX_TAN;
            format!("tan(a) < -{most:?} ? -{most:?} : tan(a) > {most:?} ? {most:?} : tan(a)")
        }),
        _ => return None,
    })
}
