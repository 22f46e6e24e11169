//! The parser of ordinary infix with precedence. The printed text is a special case of it.

use std::str::FromStr;

use crate::print::variable_name;
use crate::{Expr, Node, Op, Semantics};

/// Texts of at most so many bytes are shown whole in an error.
const SHOWN: usize = 120;

/// The reason why a text is no expression, with its position in bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} at byte {position} of {}", excerpt(text, *position))]
pub struct ParseError {
    /// The message, which says what was expected and what was found.
    pub message: String,
    /// The byte offset into the text.
    pub position: usize,
    /// The whole text.
    pub text: String,
}

/// Returns the text, or the part around the position of a long one.
fn excerpt(text: &str, position: usize) -> String {
    if text.len() <= SHOWN {
        return format!("{text:?}");
    }
    let boundary = |at: usize| (0..=at).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    let start = boundary(position.saturating_sub(SHOWN / 2));
    let end = boundary((start + SHOWN).min(text.len()));
    let (before, after) = (if start > 0 { "…" } else { "" }, if end < text.len() { "…" } else { "" });
    format!("{before}{:?}{after}", &text[start..end])
}

/// A formula as people write it: an expression, and the semantics of its operators.
///
/// It reads what [`Tree::display`](crate::Tree::display) prints: `plog(x0)`, `pdiv(x0, x1)` and so on are the guarded
/// operators of [`Semantics::Protected`], `log(x0)` and `x0 / x1` the plain ones. A formula with operators of both
/// kinds is an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Formula {
    /// The expression.
    pub expr: Expr,
    /// The semantics; `None` if no operator has guards, so that both semantics give the same values.
    pub semantics: Option<Semantics>,
}

impl Formula {
    /// Reads a formula in which `names[i]` may stand for the variable `xi`, as
    /// [`Printed::with_names`](crate::Printed::with_names) writes them.
    ///
    /// # Errors
    /// Returns an error if the text is no formula, or has a quoted name that is not one of `names`.
    pub fn parse(text: &str, names: &[String]) -> Result<Self, ParseError> {
        let parser = Parser { text, at: 0, names, nodes: Vec::new(), pending: Vec::new(), semantics: None };
        parser.formula()
    }
}

impl FromStr for Formula {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Formula::parse(text, &[])
    }
}

/// Reads `x0*x0 + sin(x1)`, `(x0 + (x1 * 1.0))`, `x0^2`, `x0**2`, `pow(x0, 2)`, `-x0`, `pi`, and the words of the E2E
/// generator's infix, `((x_1 mul x_4) mul 3.14)`. Nesting is limited by memory alone.
///
/// Precedence is that of Python: `^` and `**` (from the right), a sign, `* /`, `+ -`; so `-x0^2` is `-(x0^2)` and
/// `2^-x0` needs no brackets. A minus before a number makes a negative constant. A number that 64 bits cannot hold
/// (`1e400`) is an error; `inf` and `nan` are read, because they are printed. Guarded operators (`plog`) are an error,
/// because an expression has no semantics: [`Formula`] has.
impl FromStr for Expr {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let Formula { expr, semantics } = text.parse()?;
        match semantics {
            Some(Semantics::Protected) => {
                let is_name_start = |at: usize| !text[..at].ends_with(is_name_char);
                let guarded = Op::ALL.iter().filter(|op| op.is_guarded()).map(|op| op.name_in(Semantics::Protected));
                let position =
                    guarded.filter_map(|name| text.match_indices(name).map(|(at, _)| at).find(|&at| is_name_start(at)));
                let message = "guarded operators (plog, pdiv, …) have no place here, only plain ones".into();
                Err(ParseError { message, position: position.min().unwrap_or(0), text: text.into() })
            }
            _ => Ok(expr),
        }
    }
}

/// An open bracket or operator that waits for the operand that is being read.
#[derive(Debug, Clone, Copy)]
enum Pending {
    /// A `(`.
    Bracket,
    /// The `(` of a function, after so many whole operands.
    Call { op: Op, operands: usize },
    /// An operator between two operands.
    Binary(Op),
    /// A minus before the nodes from `first` on; `is_literal` if a number comes next.
    Minus { first: usize, is_literal: bool },
}

/// The precedence of a sign, between `*` and `**`.
const SIGN: u8 = 3;

fn precedence(op: Op) -> u8 {
    match op {
        Op::Add | Op::Sub => 1,
        Op::Mul | Op::Div => 2,
        _ => 4,
    }
}

/// A parser by Dijkstra's shunting yard. The output is the post-order array itself. The stack is a vector, so that
/// depth is limited by memory alone.
struct Parser<'a> {
    text: &'a str,
    at: usize,
    names: &'a [String],
    nodes: Vec<Node>,
    pending: Vec<Pending>,
    /// The semantics of the guarded or plain operators so far.
    semantics: Option<Semantics>,
}

impl Parser<'_> {
    fn fail<T>(&self, message: String) -> Result<T, ParseError> {
        Err(ParseError { message, position: self.at, text: self.text.into() })
    }

    fn expected<T>(&self, what: &str) -> Result<T, ParseError> {
        match self.text[self.at..].chars().next() {
            Some(c) => self.fail(format!("expected {what}, found '{c}'")),
            None => self.fail(format!("expected {what}, found the end")),
        }
    }

    fn skip_space(&mut self) {
        self.at += self.text[self.at..].len() - self.text[self.at..].trim_start().len();
    }

    /// Returns the next character that is no space.
    fn next(&mut self) -> Option<char> {
        self.skip_space();
        self.text[self.at..].chars().next()
    }

    fn formula(mut self) -> Result<Formula, ParseError> {
        loop {
            self.operand()?;
            if !self.operator()? {
                let expr = Expr::new(self.nodes).expect("operands are written before their operators");
                return Ok(Formula { expr, semantics: self.semantics });
            }
        }
    }

    /// Reads up to the end of a number or variable, with all brackets, functions and signs before it.
    fn operand(&mut self) -> Result<(), ParseError> {
        loop {
            match self.next() {
                Some('+') => self.at += 1,
                Some('-') => {
                    self.at += 1;
                    let is_digit = |c: char| c.is_ascii_digit() || c == '.';
                    let is_literal = self.next().is_some_and(is_digit) || self.is_word("inf") || self.is_word("nan");
                    self.pending.push(Pending::Minus { first: self.nodes.len(), is_literal });
                }
                Some('(') => {
                    self.at += 1;
                    self.pending.push(Pending::Bracket);
                }
                Some(c) if c.is_ascii_digit() || c == '.' => return self.number(),
                Some('`') => return self.quoted_name(),
                Some(c) if c.is_alphabetic() || c == '_' => {
                    if self.name()? {
                        return Ok(());
                    }
                }
                Some('|') => return self.fail("bars are not read: write abs(…)".into()),
                _ => return self.expected("a number, a variable, a function or '('"),
            }
        }
    }

    /// Reads from the end of an operand to the start of the next one. Returns false at the end of the text.
    fn operator(&mut self) -> Result<bool, ParseError> {
        loop {
            let start = self.at;
            let Some(next) = self.next() else {
                self.reduce(0);
                return match self.pending.last() {
                    None => Ok(false),
                    Some(_) => self.expected(self.closing()),
                };
            };
            if let Some(op) = self.binary() {
                if op.is_guarded() {
                    let end = std::mem::replace(&mut self.at, start);
                    self.skip_space();
                    self.mean(op, Semantics::Ieee)?;
                    self.at = end;
                }
                // Operators of the same precedence are applied first, except for powers, which are applied from the
                // right.
                self.reduce(precedence(op) + u8::from(op == Op::Pow));
                self.pending.push(Pending::Binary(op));
                return Ok(true);
            }
            if next != ')' && next != ',' {
                return self.expected(match self.opened() {
                    None => "an operator or the end",
                    Some(_) => "an operator, ',' or ')'",
                });
            }
            match (self.opened(), next) {
                (Some(Pending::Bracket), ')') => {
                    self.reduce(0);
                    self.pending.pop();
                }
                (Some(Pending::Call { op, operands }), ')') if operands + 1 == op.arity() => {
                    self.reduce(0);
                    self.pending.pop();
                    self.nodes.push(Node::Op(op));
                }
                (Some(Pending::Call { op, operands }), ',') if operands + 1 < op.arity() => {
                    self.reduce(0);
                    self.pending.pop();
                    self.pending.push(Pending::Call { op, operands: operands + 1 });
                    self.at += 1;
                    return Ok(true);
                }
                (None, _) => return self.expected("an operator or the end"),
                _ => return self.expected(self.closing()),
            }
            self.at += 1;
        }
    }

    /// Returns the innermost open bracket or function.
    fn opened(&self) -> Option<Pending> {
        let is_open = |pending: &&Pending| matches!(pending, Pending::Bracket | Pending::Call { .. });
        self.pending.iter().rev().find(is_open).copied()
    }

    /// Returns the character that the open bracket or function waits for, in quotes.
    fn closing(&self) -> &'static str {
        match self.opened() {
            Some(Pending::Call { op, operands }) if operands + 1 < op.arity() => "','",
            _ => "')'",
        }
    }

    /// Writes the waiting operators of precedence `least` or more, down to the open bracket.
    fn reduce(&mut self, least: u8) {
        while let Some(&pending) = self.pending.last() {
            match pending {
                Pending::Binary(op) if precedence(op) >= least => self.nodes.push(Node::Op(op)),
                Pending::Minus { first, is_literal } if SIGN >= least => match &mut self.nodes[first..] {
                    // `-2` is a constant, `-2^2` the negative of the power, `-(2)` a negation. NaN is printed without a
                    // sign, so it is read without one.
                    [Node::Const(value)] if is_literal => *value = if value.is_nan() { *value } else { -*value },
                    _ => self.nodes.push(Node::Op(Op::Neg)),
                },
                _ => return,
            }
            self.pending.pop();
        }
    }

    /// Reads the operator between two operands, if one is next.
    fn binary(&mut self) -> Option<Op> {
        const SYMBOLS: [(&str, Op); 6] =
            [("**", Op::Pow), ("^", Op::Pow), ("*", Op::Mul), ("/", Op::Div), ("+", Op::Add), ("-", Op::Sub)];
        const WORDS: [(&str, Op); 5] =
            [("add", Op::Add), ("sub", Op::Sub), ("mul", Op::Mul), ("div", Op::Div), ("pow", Op::Pow)];
        let rest = &self.text[self.at..];
        let symbol = SYMBOLS.into_iter().find(|(symbol, _)| rest.starts_with(symbol));
        let (taken, op) = symbol.or_else(|| WORDS.into_iter().find(|(word, _)| self.is_word(word)))?;
        self.at += taken.len();
        Some(op)
    }

    /// Returns whether this word is next and ends there.
    fn is_word(&self, word: &str) -> bool {
        self.text[self.at..].strip_prefix(word).is_some_and(|after| !after.starts_with(is_name_char))
    }

    /// Notes the semantics that an operator with guards implies. It fails if an earlier operator implies the other.
    fn mean(&mut self, op: Op, semantics: Semantics) -> Result<(), ParseError> {
        match self.semantics.replace(semantics) {
            Some(before) if before != semantics => {
                let (name, plain) = (op.name_in(semantics), semantics == Semantics::Ieee);
                let (this, other) = if plain { ("plain", "guarded") } else { ("guarded", "plain") };
                self.fail(format!("the {this} operator '{name}' in a formula with {other} ones"))
            }
            _ => Ok(()),
        }
    }

    fn number(&mut self) -> Result<(), ParseError> {
        let rest = &self.text[self.at..];
        let bytes = rest.as_bytes();
        let mantissa = bytes.iter().take_while(|b| b.is_ascii_digit() || **b == b'.').count();
        let mut end = mantissa;
        if matches!(bytes.get(end), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
            let digits = bytes[(end + 1 + sign).min(bytes.len())..].iter().take_while(|b| b.is_ascii_digit()).count();
            if digits > 0 {
                end += 1 + sign + digits;
            }
        }
        let text = &rest[..end];
        match text.parse::<f64>() {
            Err(_) => self.fail(format!("'{text}' is no number")),
            Ok(value) if value.is_infinite() => self.fail(format!("'{text}' is beyond the largest number")),
            // Only a zero that was written as one is read as 0.
            Ok(0.0) if bytes[..mantissa].iter().any(|b| matches!(b, b'1'..=b'9')) => {
                self.fail(format!("'{text}' is below the smallest number"))
            }
            Ok(value) => {
                self.at += end;
                self.nodes.push(Node::Const(value));
                Ok(())
            }
        }
    }

    /// Reads a name. Returns true after a variable or constant, false after a function and its bracket.
    fn name(&mut self) -> Result<bool, ParseError> {
        let rest = &self.text[self.at..];
        let name = &rest[..rest.find(|c| !is_name_char(c)).unwrap_or(rest.len())];
        let node = match self.names.iter().position(|own| own == name && is_bare_name(own)) {
            Some(column) => u16::try_from(column).ok().map(Node::Var),
            None => match variable(name) {
                Some(Err(())) => return self.fail(format!("'{name}': variables go up to x{}", u16::MAX)),
                Some(Ok(index)) => Some(Node::Var(index)),
                None => constant(name).map(Node::Const),
            },
        };
        if let Some(node) = node {
            self.at += name.len();
            self.nodes.push(node);
            return Ok(true);
        }
        let guarded = Op::from_guarded_name(name);
        let Some(op) = guarded.or_else(|| Op::from_name(name)) else {
            return self.fail(format!("unknown name '{name}'{}", self.hint(name)));
        };
        if op.is_guarded() {
            self.mean(op, if guarded.is_some() { Semantics::Protected } else { Semantics::Ieee })?;
        }
        self.at += name.len();
        if self.next() != Some('(') {
            return self.expected("'('");
        }
        self.at += 1;
        self.pending.push(Pending::Call { op, operands: 0 });
        Ok(false)
    }

    /// Returns a hint at what an unknown name may have meant.
    fn hint(&self, name: &str) -> String {
        let lower = name.to_lowercase();
        let is_known = |name: &str| {
            matches!(variable(name), Some(Ok(_))) || constant(name).is_some() || Op::from_name(name).is_some()
        };
        match () {
            () if is_known(&lower) => format!(" (did you mean '{lower}'?)"),
            () if lower == "x" => " (variables are x0, x1, …)".into(),
            () => String::new(),
        }
    }

    /// Reads a column's name in backticks.
    fn quoted_name(&mut self) -> Result<(), ParseError> {
        let rest = &self.text[self.at..];
        // Two backticks within stand for one of the name.
        let mut end = 1;
        loop {
            let Some(at) = rest[end..].find('`') else { return self.fail("a name in backticks does not end".into()) };
            end += at + 1;
            match rest[end..].starts_with('`') {
                true => end += 1,
                false => break,
            }
        }
        let quoted = &rest[..end];
        let Some(column) = self.names.iter().position(|name| variable_name(name) == *quoted) else {
            return self.fail(format!("unknown column {quoted}"));
        };
        match u16::try_from(column) {
            Err(_) => self.fail(format!("{quoted}: variables go up to x{}", u16::MAX)),
            Ok(index) => {
                self.at += end;
                self.nodes.push(Node::Var(index));
                Ok(())
            }
        }
    }
}

/// Returns the index of a variable's name, `x3` or `x_3`; an error if the index is too large.
fn variable(name: &str) -> Option<Result<u16, ()>> {
    let index = name.strip_prefix("x_").or(name.strip_prefix('x'))?;
    let is_index = !index.is_empty() && index.bytes().all(|b| b.is_ascii_digit());
    is_index.then(|| index.parse().map_err(|_| ()))
}

fn constant(name: &str) -> Option<f64> {
    match name {
        "pi" => Some(std::f64::consts::PI),
        "e" => Some(std::f64::consts::E),
        "inf" => Some(f64::INFINITY),
        "nan" => Some(f64::NAN),
        _ => None,
    }
}

/// Returns whether a column's name needs no backticks, because it cannot be read as anything else.
pub(crate) fn is_bare_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_alphabetic() || c == '_')
        && name.chars().all(is_name_char)
        && variable(name).is_none()
        && constant(name).is_none()
        && Op::from_name(name).is_none()
        && Op::from_guarded_name(name).is_none()
}

fn is_name_char(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::eval_row;

    fn check(text: &str, printed: &str) {
        let expr: Expr = text.parse().unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(expr.to_string(), printed, "{text}");
    }

    fn value(text: &str, row: &[f64]) -> f64 {
        let Formula { expr, semantics } = text.parse().unwrap_or_else(|e| panic!("{e}"));
        eval_row(&expr, row, semantics.unwrap_or_default())
    }

    fn error(text: &str) -> ParseError {
        text.parse::<Formula>().expect_err(text)
    }

    #[test]
    fn precedence_and_spellings() {
        check("x0+x1*x2", "(x0 + (x1 * x2))");
        check("x0 - x1 - x2", "((x0 - x1) - x2)");
        check("2^3^2", "(2.0 ** (3.0 ** 2.0))");
        check("-x0^2", "neg((x0 ** 2.0))");
        check("-2", "-2.0");
        check("-2^2", "neg((2.0 ** 2.0))");
        check("(-2)^x0", "((-2.0) ** x0)");
        check("x0^-1", "(x0 ** -1.0)");
        check("x0 - -1.5e-3", "(x0 - -0.0015)");
        check("neg(1.5)", "neg(1.5)");
        check("-(2)", "neg(2.0)");
        check("-x0*x1", "(neg(x0) * x1)");
        check("x0*-x1+2", "((x0 * neg(x1)) + 2.0)");
        check("((x_1 mul x_4) mul 3.14)", "((x1 * x4) * 3.14)");
        check("x0 pow 2 div x1 sub x2 add 1", "((((x0 ** 2.0) / x1) - x2) + 1.0)");
        check("pow(x0, 2) + square(x1)", "((x0 ** 2.0) + pow2(x1))");
        check("2*pi", "(2.0 * 3.141592653589793)");
        check("(x0 ** 2.0)", "(x0 ** 2.0)");
        check("-inf", "-inf");
        check("((((x0))))", "x0");
    }

    #[test]
    fn values_are_those_of_python() {
        for (text, expected) in [
            ("-x0^2", -9.0),
            ("-2^2", -4.0),
            ("(-2)^2", 4.0),
            ("2^-x0", 0.125),
            ("2**-3**2", 0.001953125),
            ("-1+1", 0.0),
            ("10/-1", -10.0),
            ("2---1", 1.0),
            ("2--1", 3.0),
            ("-(2+2)+8*5", 36.0),
            ("3*-(2+2)", -12.0),
            ("+x0 - +2", 1.0),
            ("x0^2", 9.0),
            ("x0**2", 9.0),
            ("pow(x0,2)", 9.0),
            ("square(x0)", 9.0),
            ("2e2", 200.0),
            ("1E+5", 100_000.0),
            ("1e-5", 0.000_01),
            (".5e1", 5.0),
            ("x0*e", 3.0 * std::f64::consts::E),
            ("log(abs(-0.2)) + x0^2", 9.0 - 1.609_437_912_434_100_3),
        ] {
            assert_eq!(value(text, &[3.0]), expected, "{text}");
        }
        for (text, expected) in [
            ("x0-(x1-x2)", 6.0),
            ("x0/(x1/x2)", 4.0),
            ("x0-x1-x2", 2.0),
            ("x0/x1/x2", 1.0),
            ("x0^(x1^x2)", 281_474_976_710_656.0),
            ("(x0^x1)^x2", 16_777_216.0),
        ] {
            assert_eq!(value(text, &[8.0, 4.0, 2.0]), expected, "{text}");
        }
        let spread = value("x0/(0.12290123 - 0.12340123)", &[1.0]);
        assert_eq!(spread, 1.0 / (0.122_901_23 - 0.123_401_23));
        check("x0/(0.12290123 - 0.12340123)", "(x0 / (0.12290123 - 0.12340123))");
    }

    #[test]
    fn guarded_names_are_read_as_guarded_operators() {
        let infinite = f64::INFINITY;
        for (plain, guarded, row, ieee, protected) in [
            ("1/x0", "pdiv(1.0, x0)", 0.0, infinite, 1e10),
            ("1/x0", "pdiv(1.0, x0)", -1e-11, -1e11, 1e10),
            ("log(x0)", "plog(x0)", -2.0, f64::NAN, std::f64::consts::LN_2),
            ("log(x0)", "plog(x0)", 0.0, -infinite, -27.631_021_115_928_547),
            ("sqrt(x0)", "psqrt(x0)", -4.0, f64::NAN, 2.0),
            ("exp(x0)", "pexp(x0)", 20.0, 485_165_195.409_790_3, 1_202_604.284_164_776_8),
            ("inv(x0)", "pinv(x0)", -1e-7, -1e7, 1e6),
            ("tan(x0)", "ptan(x0)", std::f64::consts::FRAC_PI_2, 1.633_123_935_319_537e16, 1e6),
        ] {
            let of_plain: Formula = plain.parse().expect(plain);
            let of_guarded: Formula = guarded.parse().expect(guarded);
            assert_eq!(of_plain.expr, of_guarded.expr);
            assert_eq!((of_plain.semantics, of_guarded.semantics), (Some(Semantics::Ieee), Some(Semantics::Protected)));
            assert_eq!(of_plain.expr.display(Semantics::Protected).to_string(), guarded);
            let close = |a: f64, b: f64| a == b || (a.is_nan() && b.is_nan()) || (a / b - 1.0).abs() < 1e-15;
            assert!(close(value(plain, &[row]), ieee), "{plain} at {row}: {}", value(plain, &[row]));
            assert!(close(value(guarded, &[row]), protected), "{guarded} at {row}: {}", value(guarded, &[row]));
        }
        assert_eq!("x0*sin(x0)".parse::<Formula>().map(|formula| formula.semantics), Ok(None));
        let mixed = error("plog(x0) + x0 / x1");
        assert_eq!((mixed.position, &*mixed.message), (14, "the plain operator '/' in a formula with guarded ones"));
        assert_eq!(error("log(x0)*pinv(x0)").message, "the guarded operator 'pinv' in a formula with plain ones");
        let plain = "x0 + plog(x0)".parse::<Expr>().expect_err("guarded");
        assert_eq!((plain.position, plain.message.starts_with("guarded operators")), (5, true), "{plain}");
    }

    #[test]
    fn powers_are_as_ieee_has_them() {
        assert!(value("x0^0.3333333333333333", &[-8.0]).is_nan());
        assert_eq!(value("x0^3", &[-8.0]), -512.0);
        assert_eq!(value("x0^-1", &[0.0]), f64::INFINITY);
        let nodes = |base: Node| vec![base, Node::Var(0), Node::Op(Op::Pow)];
        for (base, text, at_2) in [(-1.0, "((-1.0) ** x0)", 1.0), (-0.0, "((-0.0) ** x0)", 0.0)] {
            let expr = Expr::new(nodes(Node::Const(base))).expect("a power");
            assert_eq!(expr.to_string(), text);
            assert_eq!(text.parse::<Expr>().as_ref(), Ok(&expr));
            assert_eq!(eval_row(&expr, &[2.0], Semantics::Ieee), at_2);
        }
        check("neg(x0)^2", "(neg(x0) ** 2.0)");
    }

    #[test]
    fn names_of_columns_are_read_as_they_are_printed() {
        let names = ["a+b", "a", "2x", "x0", "sin", "θ", "a`b", "a\nb"].map(String::from);
        for index in 0..names.len() as u16 {
            let expr = Expr::binary(Op::Mul, &Expr::constant(3.0), &Expr::var(index));
            let printed = expr.display(Semantics::Ieee).with_names(&names).to_string();
            assert_eq!(Formula::parse(&printed, &names).map(|formula| formula.expr), Ok(expr), "{printed}");
        }
        assert_eq!(Formula::parse("x0 + x3", &names).map(|f| f.expr.to_string()), Ok("(x0 + x3)".into()));
        assert_eq!(Formula::parse("`c` + 1", &names).expect_err("no such column").message, "unknown column `c`");
        assert_eq!(error("`a`").message, "unknown column `a`");
        assert_eq!(error("`a").message, "a name in backticks does not end");
    }

    #[test]
    fn errors_say_where() {
        for (text, position) in [
            ("", 0),
            ("x0 +", 4),
            ("sinh(x0)", 0),
            ("(x0 + 1", 7),
            ("x0 x1", 3),
            ("pow(x0)", 6),
            ("sin x0", 4),
            ("2e", 1),
            ("1e", 1),
            ("e2", 0),
            ("x1e5", 0),
            ("x0 + )", 5),
            ("x0)", 2),
            ("x0, x1", 2),
            ("sin(x0, x1)", 6),
            ("()", 1),
            ("x0²", 0),
            ("x0 − 1", 3),
            ("(x0 > 0.5)*2", 4),
        ] {
            let error = error(text);
            assert_eq!(error.position, position, "{error}");
        }
        for (text, message) in [
            ("max(x0, 3)", "unknown name 'max'"),
            ("X0 + 1", "unknown name 'X0' (did you mean 'x0'?)"),
            ("Sin(x0)", "unknown name 'Sin' (did you mean 'sin'?)"),
            ("2*x", "unknown name 'x' (variables are x0, x1, …)"),
            ("x65536", "'x65536': variables go up to x65535"),
            ("1.2.3", "'1.2.3' is no number"),
            (".", "'.' is no number"),
            ("1e400*x0", "'1e400' is beyond the largest number"),
            ("1e-400", "'1e-400' is below the smallest number"),
            ("log(|0.2|)", "bars are not read: write abs(…)"),
            ("pow(x0)", "expected ',', found ')'"),
            ("sin(x0", "expected ')', found the end"),
        ] {
            assert_eq!(error(text).message, message);
        }
        assert_eq!(value("0e-400 + 0.0", &[]), 0.0);
        let long = format!("{} + sinh(x0) + {}", "x0 + ".repeat(200) + "x0", "x0 + ".repeat(200) + "x0");
        let told = error(&long).to_string();
        assert!(told.len() < 250 && told.contains("sinh(x0)") && told.contains('…'), "{told}");
    }

    #[test]
    fn nan_has_no_sign() {
        for text in ["-nan", "- nan", "--nan", "(-nan)"] {
            let read = text.parse::<Expr>().expect(text);
            assert_eq!(read.to_string().parse(), Ok(read), "{text}");
        }
        assert_eq!("-nan".parse(), Ok(Expr::constant(f64::NAN)));
        assert_eq!("-inf".parse(), Ok(Expr::constant(f64::NEG_INFINITY)));
    }

    #[test]
    fn any_depth_is_read() {
        const DEPTH: usize = 100_000;
        let x0 = Node::Var(0);
        let unary = [vec![x0], vec![Node::Op(Op::Sin); DEPTH]].concat();
        let right = [vec![x0; DEPTH + 1], vec![Node::Op(Op::Pow); DEPTH]].concat();
        let left = [vec![x0], [x0, Node::Op(Op::Div)].repeat(DEPTH)].concat();
        for nodes in [unary, right, left] {
            let expr = Expr::new(nodes).expect("a chain");
            for semantics in [Semantics::Ieee, Semantics::Protected] {
                let read: Formula = expr.display(semantics).to_string().parse().expect("printed");
                assert_eq!(read.expr, expr);
            }
            assert_eq!(Expr::from_prefix(&expr.to_prefix()), Ok(expr));
        }
        assert_eq!("(".repeat(DEPTH).parse::<Expr>().map_err(|error| error.position), Err(DEPTH));
        assert!("-".repeat(DEPTH).parse::<Expr>().is_err());
        assert_eq!(format!("{}x0{}", "(".repeat(DEPTH), ")".repeat(DEPTH)).parse::<Expr>(), Ok(Expr::var(0)));
    }
}
