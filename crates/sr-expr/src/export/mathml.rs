//! MathML, as a `math` element of HTML, which browsers typeset by themselves.

use std::fmt::{Formatter, Result};

use super::infix::{ATOM, Exponent, Infix, Nodes, Notation, Operand, POWER, PRODUCT, Piece, Syntax};
use super::latex::letter_and_index;
use super::names::Identifiers;
use super::{Export, Target, groups};
use crate::op::{MAX_EXPONENT, MAX_TAN, MIN_DIVISOR, MIN_INVERSE, MIN_LOG};
use crate::{Op, Semantics, python_float};

pub(super) fn write(export: &Export<'_>, f: &mut Formatter<'_>) -> Result {
    let identifiers = Identifiers::new(Target::MathMl, export.names, export.n_columns());
    let nodes = Nodes::new(export.tree);
    let protected = export.semantics == Semantics::Protected;
    let syntax = nodes.syntax(&identifiers, |_, value| number(value), operators(&nodes, protected));
    let guards = Op::ALL.iter().copied().filter(|op| protected && op.is_guarded());
    let guards = guards.filter(|op| export.tree.nodes().contains(&crate::Node::Op(*op)));
    let comments = export.title_line().into_iter().chain(export.mapping(&identifiers, export.used_columns()));
    for line in comments.chain(guards.filter_map(definition)) {
        // A comment of XML has no two hyphens side by side; of three the first pass leaves two.
        writeln!(f, "<!-- {} -->", line.replace("--", "- -").replace("--", "- -"))?;
    }
    f.write_str("<math display=\"block\"><mrow>")?;
    Infix::new(Notation::MathMl, syntax).write(f)?;
    f.write_str("</mrow></math>\n")?;
    groups::write(export, &identifiers.columns, f)
}

/// Returns a number with all of its digits, large and small ones with a power of ten.
fn number(value: f64) -> Syntax {
    let negative = value.is_sign_negative() && !value.is_nan();
    let magnitude = value.abs();
    if value.is_nan() {
        return Syntax::Number("<mi>NaN</mi>".into(), false, ATOM);
    }
    if value.is_infinite() {
        return Syntax::Number("<mi>∞</mi>".into(), negative, ATOM);
    }
    let text = python_float(magnitude);
    let Some((mantissa, exponent)) = text.split_once('e') else {
        let text = text.strip_suffix(".0").unwrap_or(&text);
        return Syntax::Number(format!("<mn>{text}</mn>"), negative, ATOM);
    };
    let exponent = exponent.parse::<i32>().expect("an exponent is an integer");
    let sign = if exponent < 0 { "<mo>−</mo>" } else { "" };
    let power = format!("<msup><mn>10</mn><mrow>{sign}<mn>{}</mn></mrow></msup>", exponent.abs());
    match mantissa {
        "1" => Syntax::Number(power, negative, POWER),
        _ => Syntax::Number(format!("<mn>{mantissa}</mn><mo>×</mo>{power}"), negative, PRODUCT),
    }
}

/// Returns a number with its sign.
pub(super) fn signed(value: f64) -> String {
    match number(value) {
        Syntax::Number(text, is_negative, _) => format!("{}{text}", if is_negative { "<mo>−</mo>" } else { "" }),
        _ => unreachable!("a number has the syntax of one"),
    }
}

fn operators(nodes: &Nodes<'_>, protected: bool) -> impl FnMut(usize, Op, &[usize]) -> Syntax {
    let powers = nodes.powers();
    move |node, op, operands| {
        if let Some((base, exponent)) = powers[node] {
            return Syntax::Power(Operand::Node(base), Exponent::Text(format!("<mn>{exponent}</mn>")));
        }
        let a = operands[0];
        let b = operands.get(1).copied().unwrap_or(a);
        // A power of a function has parentheses around the function. U+2061 is the sign that a function is applied.
        let function = |name: &str| {
            let open = format!("<mrow><mi>{name}</mi><mo>&#8289;</mo><mrow><mo>(</mo>");
            let mut pieces = vec![Piece::Text(open), Piece::Node(a)];
            if op.arity() == 2 {
                pieces.extend([Piece::Text("<mo>,</mo>".into()), Piece::Node(b)]);
            }
            pieces.push(Piece::Text("<mo>)</mo></mrow></mrow>".into()));
            Syntax::Around(pieces, POWER)
        };
        if protected && op.is_guarded() {
            return function(op.name_in(Semantics::Protected));
        }
        match op {
            Op::Add => Syntax::Sum(a, b),
            Op::Sub => Syntax::Difference(a, b),
            Op::Mul => Syntax::Product(a, b),
            Op::Div => Syntax::Quotient(Operand::Node(a), b),
            Op::Inv => Syntax::Quotient(Operand::Text("<mn>1</mn>"), a),
            Op::Pow => Syntax::Power(Operand::Node(a), Exponent::Node(b)),
            Op::Neg => Syntax::Negation(a),
            Op::Abs => Syntax::around("<mrow><mo>|</mo>", a, "<mo>|</mo></mrow>"),
            Op::Sqrt => Syntax::around("<msqrt>", a, "</msqrt>"),
            Op::Exp => function("exp"),
            Op::Log => function("ln"),
            Op::Sin => function("sin"),
            Op::Cos => function("cos"),
            Op::Tan => function("tan"),
            Op::Tanh => function("tanh"),
            Op::Asin => function("arcsin"),
            Op::Acos => function("arccos"),
            Op::Atan => function("arctan"),
            Op::Pow2 | Op::Pow3 => unreachable!("these are powers"),
        }
    }
}

/// Returns what a guarded operator is, as a line of text.
fn definition(op: Op) -> Option<String> {
    let name = op.name_in(Semantics::Protected);
    Some(match op {
        Op::Div => format!("{name}(a, b) = a / b, and a / {MIN_DIVISOR:e} where |b| is less than {MIN_DIVISOR:e}"),
        Op::Inv => format!("{name}(a) = 1 / a, and {:e} where |a| is less than {MIN_INVERSE:e}", 1.0 / MIN_INVERSE),
        Op::Exp => format!("{name}(a) = exp(max(-{MAX_EXPONENT}, min({MAX_EXPONENT}, a)))"),
        Op::Log => format!("{name}(a) = ln(max({MIN_LOG:e}, |a|))"),
        Op::Sqrt => format!("{name}(a) = sqrt(|a|)"),
        Op::Tan => format!("{name}(a) = max(-{MAX_TAN:e}, min({MAX_TAN:e}, tan(a)))"),
        _ => return None,
    })
}

/// Returns a name as a symbol: a letter, or a Greek one, which may have an index. `None` for other names.
pub(super) fn symbol(name: &str) -> Option<String> {
    let (letter, index) = letter_and_index(name)?;
    let element = if index.chars().all(|c| c.is_ascii_digit()) { "mn" } else { "mi" };
    Some(match &*index {
        "" => format!("<mi>{letter}</mi>"),
        index => format!("<msub><mi>{letter}</mi><{element}>{index}</{element}></msub>"),
    })
}

/// Returns the symbol of a column by its number.
pub(super) fn numbered(number: &str) -> String {
    format!("<msub><mi>x</mi><mn>{number}</mn></msub>")
}

/// Returns a name as it is, upright.
pub(super) fn verbatim(name: &str) -> String {
    format!("<mtext>{}</mtext>", escaped(name))
}

/// Returns what is seen of an element without an index.
pub(super) fn visible(element: &str) -> &str {
    let inner = |name: &str| element.strip_prefix(&format!("<{name}>"))?.strip_suffix(&format!("</{name}>"));
    inner("mi").or_else(|| inner("mtext")).unwrap_or(element)
}

/// Returns a name as text of XML. Blanks stay as wide as they are, and what cannot be seen is �.
pub(super) fn escaped(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            '&' => text.push_str("&amp;"),
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            ' ' => text.push('\u{a0}'),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => text.push('\u{fffd}'),
            c => text.push(c),
        }
    }
    text
}
