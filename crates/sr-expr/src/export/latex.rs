//! LaTeX, as mathematics without dollar signs; it needs amsmath.

use std::fmt::{Formatter, Result, Write};

use super::infix::{ATOM, Exponent, Infix, Nodes, Notation, Operand, POWER, PRODUCT, Piece, Syntax};
use super::names::{Identifiers, digit, greek, greek_letter};
use super::{Export, Target, comments, groups};
use crate::op::{MAX_EXPONENT, MAX_TAN, MIN_DIVISOR, MIN_INVERSE, MIN_LOG};
use crate::{Op, Semantics, python_float};

pub(super) fn write(export: &Export<'_>, f: &mut Formatter<'_>) -> Result {
    let identifiers = Identifiers::new(Target::Latex, export.names, export.n_columns());
    let nodes = Nodes::new(export.tree);
    let protected = export.semantics == Semantics::Protected;
    let syntax = nodes.syntax(&identifiers, |_, value| number(value), operators(&nodes, protected));
    comments(f, "%", export.title_line())?;
    comments(f, "%", export.mapping(&identifiers, export.used_columns()))?;
    let guards = Op::ALL.iter().copied().filter(|op| protected && op.is_guarded());
    let guards = guards.filter(|op| export.tree.nodes().contains(&crate::Node::Op(*op)));
    comments(f, "%", guards.filter_map(definition))?;
    Infix::new(Notation::Latex, syntax).write(f)?;
    f.write_char('\n')?;
    groups::write(export, &identifiers.columns, f)
}

/// Returns a number with all of its digits, large and small ones with a power of ten.
pub(super) fn number(value: f64) -> Syntax {
    let negative = value.is_sign_negative() && !value.is_nan();
    let magnitude = value.abs();
    if value.is_nan() {
        return Syntax::Number("\\mathrm{NaN}".into(), false, ATOM);
    }
    if value.is_infinite() {
        return Syntax::Number("\\infty".into(), negative, ATOM);
    }
    let text = python_float(magnitude);
    let Some((mantissa, exponent)) = text.split_once('e') else {
        return Syntax::Number(text.strip_suffix(".0").unwrap_or(&text).to_owned(), negative, ATOM);
    };
    let exponent = exponent.parse::<i32>().expect("an exponent is an integer");
    match mantissa {
        "1" => Syntax::Number(format!("10^{{{exponent}}}"), negative, POWER),
        _ => Syntax::Number(format!("{mantissa} \\times 10^{{{exponent}}}"), negative, PRODUCT),
    }
}

fn operators(nodes: &Nodes<'_>, protected: bool) -> impl FnMut(usize, Op, &[usize]) -> Syntax {
    let powers = nodes.powers();
    move |node, op, operands| {
        if let Some((base, exponent)) = powers[node] {
            return Syntax::Power(Operand::Node(base), Exponent::Text(exponent.to_string()));
        }
        let a = operands[0];
        let b = operands.get(1).copied().unwrap_or(a);
        if protected && op.is_guarded() {
            let open = format!("\\operatorname{{{}}}\\left(", op.name_in(Semantics::Protected));
            let comma = if op.arity() == 2 { vec![Piece::Text(", ".into()), Piece::Node(b)] } else { Vec::new() };
            let close = Piece::Text("\\right)".into());
            return Syntax::Around([vec![Piece::Text(open), Piece::Node(a)], comma, vec![close]].concat(), POWER);
        }
        // A power of a function has parentheses around the function.
        let function = |name: &str| match Syntax::around(format!("{name}\\left("), a, "\\right)") {
            Syntax::Around(pieces, _) => Syntax::Around(pieces, POWER),
            syntax => syntax,
        };
        match op {
            Op::Add => Syntax::Sum(a, b),
            Op::Sub => Syntax::Difference(a, b),
            Op::Mul => Syntax::Product(a, b),
            Op::Div => Syntax::Quotient(Operand::Node(a), b),
            Op::Inv => Syntax::Quotient(Operand::Text("1"), a),
            Op::Pow => Syntax::Power(Operand::Node(a), Exponent::Node(b)),
            Op::Neg => Syntax::Negation(a),
            Op::Abs => Syntax::around("\\left|", a, "\\right|"),
            Op::Sqrt => Syntax::around("\\sqrt{", a, "}"),
            Op::Exp => function("\\exp"),
            Op::Log => function("\\ln"),
            Op::Sin => function("\\sin"),
            Op::Cos => function("\\cos"),
            Op::Tan => function("\\tan"),
            Op::Tanh => function("\\tanh"),
            Op::Asin => function("\\arcsin"),
            Op::Acos => function("\\arccos"),
            Op::Atan => function("\\arctan"),
            Op::Pow2 | Op::Pow3 => unreachable!("these are powers"),
        }
    }
}

/// Returns what a guarded operator is.
fn definition(op: Op) -> Option<String> {
    let number = |value: f64| match number(value) {
        Syntax::Number(text, ..) => text,
        _ => unreachable!("a number has the syntax of one"),
    };
    let cases = |guarded: String, plain: &str, of: &str, least: f64| {
        let (least, of) = (number(least), format!("\\left|{of}\\right|"));
        let rows = format!("{guarded} & {of} < {least} \\\\ {plain} & \\text{{otherwise}}");
        format!("\\begin{{cases}} {rows} \\end{{cases}}")
    };
    let (arguments, value) = match op {
        Op::Div => ("a, b", cases(format!("\\frac{{a}}{{{}}}", number(MIN_DIVISOR)), "\\frac{a}{b}", "b", MIN_DIVISOR)),
        Op::Inv => ("a", cases(number(1.0 / MIN_INVERSE), "\\frac{1}{a}", "a", MIN_INVERSE)),
        Op::Exp => {
            let most = number(MAX_EXPONENT);
            ("a", format!("\\exp\\left(\\max\\left(-{most}, \\min\\left({most}, a\\right)\\right)\\right)"))
        }
        Op::Log => ("a", format!("\\ln\\left(\\max\\left({}, \\left|a\\right|\\right)\\right)", number(MIN_LOG))),
        Op::Sqrt => ("a", "\\sqrt{\\left|a\\right|}".to_owned()),
        Op::Tan => {
            let most = number(MAX_TAN);
            ("a", format!("\\max\\left(-{most}, \\min\\left({most}, \\tan\\left(a\\right)\\right)\\right)"))
        }
        _ => return None,
    };
    let name = op.name_in(Semantics::Protected);
    Some(format!("\\operatorname{{{name}}}\\left({arguments}\\right) = {value}"))
}

/// Returns a name as a symbol: a letter, or a Greek one, which may have an index: `x`, `x_{12}`, `\theta_{1}`, `m_{e}`.
/// `None` for other names.
pub(super) fn symbol(name: &str) -> Option<String> {
    let (letter, index) = letter_and_index(name)?;
    let letter = match greek(letter) {
        Some(greek) => format!("\\{greek}"),
        None => letter.to_string(),
    };
    Some(if index.is_empty() { letter } else { format!("{letter}_{{{index}}}") })
}

/// Returns the letter and the index, which may be empty, of a name that is a symbol.
pub(super) fn letter_and_index(name: &str) -> Option<(char, String)> {
    let is_index = |c: char| c.is_ascii_digit() || digit(c).is_some();
    let base = name.trim_end_matches(is_index);
    let (base, index): (&str, String) = match base.strip_suffix('_') {
        Some(letter) if base.len() < name.len() => (letter, name[base.len()..].into()),
        _ if base.len() < name.len() => (base, name[base.len()..].into()),
        _ => match name.rsplit_once('_') {
            Some((letter, index)) if index.len() == 1 && index.is_ascii() => (letter, index.into()),
            _ => (name, String::new()),
        },
    };
    let index: String = index.chars().map(|c| digit(c).unwrap_or(c)).collect();
    let is_command = |greek: &str| !LIKE_LATIN.contains(&greek);
    let mut letters = base.chars();
    let letter = match (letters.next()?, letters.next()) {
        (c, None) if c.is_ascii_alphabetic() => c,
        (c, None) if greek(c).is_some_and(is_command) => c,
        _ => greek_letter(base).filter(|_| is_command(base))?,
    };
    index.chars().all(|c| c.is_ascii_alphanumeric()).then_some((letter, index))
}

/// Returns the symbol of a column by its number.
pub(super) fn numbered(number: &str) -> String {
    format!("x_{{{number}}}")
}

/// Greek letters that LaTeX has no command for, because Latin ones look like them.
const LIKE_LATIN: [&str; 15] = [
    "omicron", "Alpha", "Beta", "Epsilon", "Zeta", "Eta", "Iota", "Kappa", "Mu", "Nu", "Omicron", "Rho", "Tau", "Chi",
    "Upsilon",
];

/// Returns a name as it is, upright. Different names have different texts, but for control characters.
pub(super) fn verbatim(name: &str) -> String {
    let mut text = String::from("\\mathrm{");
    let mut foreign = false;
    for c in name.chars() {
        if foreign == c.is_ascii() {
            text.push_str(if foreign { "}" } else { "\\text{" });
            foreign = !foreign;
        }
        match c {
            '_' | '%' | '&' | '#' | '$' | '{' | '}' => text.extend(['\\', c]),
            '~' => text.push_str("{\\sim}"),
            '^' => text.push_str("{\\wedge}"),
            '\\' => text.push_str("{\\backslash}"),
            ' ' => text.push_str("\\ "),
            '\'' => text.push_str("{\\prime}"),
            c if c.is_control() => text.push_str("{?}"),
            // What is an operator or a sign in mathematics would have spaces around it.
            c if c.is_ascii_punctuation() => text.extend(['{', c, '}']),
            c => text.push(c),
        }
    }
    text.push_str(if foreign { "}}" } else { "}" });
    text
}
