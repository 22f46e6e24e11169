//! Parsing: ordinary infix with precedence, of which the printed form is a special case.

use std::str::FromStr;

use crate::{Expr, Node, Op};

/// Deepest nesting that the parser follows; more is an error, not a stack overflow.
const MAX_NESTING: usize = 256;

/// Why a text is no expression, with the byte where it shows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} at byte {position} of {text:?}")]
pub struct ParseError {
    /// What was expected and what was found.
    pub message: String,
    /// Byte offset into the text.
    pub position: usize,
    /// The whole text.
    pub text: String,
}

/// Reads `x0*x0 + sin(x1)`, `(x0 + (x1 * 1.0))`, `x0^2`, `x0**2`, `pow(x0, 2)`, `-x0`, `pi`, and the words of the E2E
/// generator's infix, `((x_1 mul x_4) mul 3.14)`.
///
/// Precedence: `^` and `**` (right), unary minus, `* /`, `+ -`. A minus before a number makes a negative constant.
impl FromStr for Expr {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let mut parser = Parser { text, at: 0, nodes: Vec::new(), nesting: 0 };
        parser.sum()?;
        parser.skip_space();
        if parser.at < text.len() {
            return Err(parser.error("expected an operator or the end"));
        }
        Ok(Expr::new(parser.nodes).expect("the parser writes operands before operators"))
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    nodes: Vec<Node>,
    nesting: usize,
}

impl Parser<'_> {
    fn error(&self, expected: &str) -> ParseError {
        let found = match self.text[self.at..].chars().next() {
            Some(c) => format!(", found '{c}'"),
            None => ", found the end".into(),
        };
        ParseError { message: format!("{expected}{found}"), position: self.at, text: self.text.into() }
    }

    fn skip_space(&mut self) {
        self.at += self.text[self.at..].len() - self.text[self.at..].trim_start().len();
    }

    /// Takes the token if it is next.
    fn take(&mut self, token: &str) -> bool {
        self.skip_space();
        let found = self.text[self.at..].starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    /// Takes an infix word (`mul`) if it is next and ends there.
    fn take_word(&mut self, word: &str) -> bool {
        self.skip_space();
        let rest = &self.text[self.at..];
        let found = rest.strip_prefix(word).is_some_and(|after| !after.starts_with(is_name_char));
        if found {
            self.at += word.len();
        }
        found
    }

    fn expect(&mut self, token: &str) -> Result<(), ParseError> {
        if self.take(token) { Ok(()) } else { Err(self.error(&format!("expected '{token}'"))) }
    }

    fn sum(&mut self) -> Result<(), ParseError> {
        self.nesting += 1;
        if self.nesting > MAX_NESTING {
            return Err(self.error("nested too deeply"));
        }
        self.product()?;
        loop {
            let op = if self.take("+") || self.take_word("add") {
                Op::Add
            } else if self.take("-") || self.take_word("sub") {
                Op::Sub
            } else {
                self.nesting -= 1;
                return Ok(());
            };
            self.product()?;
            self.nodes.push(Node::Op(op));
        }
    }

    fn product(&mut self) -> Result<(), ParseError> {
        self.signed()?;
        loop {
            self.skip_space();
            let power = self.text[self.at..].starts_with("**");
            let op = if !power && (self.take("*") || self.take_word("mul")) {
                Op::Mul
            } else if self.take("/") || self.take_word("div") {
                Op::Div
            } else {
                return Ok(());
            };
            self.signed()?;
            self.nodes.push(Node::Op(op));
        }
    }

    fn signed(&mut self) -> Result<(), ParseError> {
        if self.take("+") {
            return self.guarded(Self::signed);
        }
        if !self.take("-") {
            return self.power();
        }
        let first = self.nodes.len();
        let literal = {
            self.skip_space();
            self.text[self.at..].starts_with(|c: char| c.is_ascii_digit() || c == '.')
                || self.take_ahead("inf")
                || self.take_ahead("nan")
        };
        self.guarded(Self::signed)?;
        // `-2` is a constant; `-2^2` is minus the power, `-(2)` the negation that was written.
        match &mut self.nodes[first..] {
            [Node::Const(value)] if literal => *value = -*value,
            _ => self.nodes.push(Node::Op(Op::Neg)),
        }
        Ok(())
    }

    fn take_ahead(&self, word: &str) -> bool {
        self.text[self.at..].strip_prefix(word).is_some_and(|after| !after.starts_with(is_name_char))
    }

    fn guarded(&mut self, rule: fn(&mut Self) -> Result<(), ParseError>) -> Result<(), ParseError> {
        self.nesting += 1;
        if self.nesting > MAX_NESTING {
            return Err(self.error("nested too deeply"));
        }
        rule(self)?;
        self.nesting -= 1;
        Ok(())
    }

    fn power(&mut self) -> Result<(), ParseError> {
        self.primary()?;
        if self.take("**") || self.take("^") || self.take_word("pow") {
            self.guarded(Self::signed)?;
            self.nodes.push(Node::Op(Op::Pow));
        }
        Ok(())
    }

    fn primary(&mut self) -> Result<(), ParseError> {
        self.skip_space();
        let rest = &self.text[self.at..];
        match rest.chars().next() {
            Some('(') => {
                self.at += 1;
                self.sum()?;
                self.expect(")")
            }
            Some(c) if c.is_ascii_digit() || c == '.' => self.number(),
            Some(c) if c.is_ascii_alphabetic() || c == '_' => self.name(),
            _ => Err(self.error("expected a number, a variable, a function or '('")),
        }
    }

    fn number(&mut self) -> Result<(), ParseError> {
        let rest = &self.text[self.at..];
        let bytes = rest.as_bytes();
        let mut end = bytes.iter().take_while(|b| b.is_ascii_digit() || **b == b'.').count();
        if matches!(bytes.get(end), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
            let digits = bytes[end + 1 + sign..].iter().take_while(|b| b.is_ascii_digit()).count();
            if digits > 0 {
                end += 1 + sign + digits;
            }
        }
        let value = rest[..end].parse().map_err(|_| self.error("expected a number"))?;
        self.at += end;
        self.nodes.push(Node::Const(value));
        Ok(())
    }

    fn name(&mut self) -> Result<(), ParseError> {
        let start = self.at;
        let rest = &self.text[start..];
        let name = &rest[..rest.find(|c| !is_name_char(c)).unwrap_or(rest.len())];
        self.at += name.len();
        if let Some(index) = name.strip_prefix("x_").or(name.strip_prefix('x'))
            && let Ok(index) = index.parse()
        {
            self.nodes.push(Node::Var(index));
            return Ok(());
        }
        let constant = match name {
            "pi" => Some(std::f64::consts::PI),
            "e" => Some(std::f64::consts::E),
            "inf" => Some(f64::INFINITY),
            "nan" => Some(f64::NAN),
            _ => None,
        };
        if let Some(value) = constant {
            self.nodes.push(Node::Const(value));
            return Ok(());
        }
        let Some(op) = Op::from_name(name) else {
            self.at = start;
            return Err(self.error(&format!("unknown name '{name}'")));
        };
        self.expect("(")?;
        for operand in 0..op.arity() {
            if operand > 0 {
                self.expect(",")?;
            }
            self.sum()?;
        }
        self.expect(")")?;
        self.nodes.push(Node::Op(op));
        Ok(())
    }
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, printed: &str) {
        let expr: Expr = text.parse().unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(expr.to_string(), printed, "{text}");
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
        check("((x_1 mul x_4) mul 3.14)", "((x1 * x4) * 3.14)");
        check("pow(x0, 2) + square(x1)", "((x0 ** 2.0) + pow2(x1))");
        check("2*pi", "(2.0 * 3.141592653589793)");
        check("(x0 ** 2.0)", "(x0 ** 2.0)");
        check("-inf", "-inf");
    }

    #[test]
    fn errors_say_where() {
        for (text, position) in
            [("", 0), ("x0 +", 4), ("sinh(x0)", 0), ("(x0 + 1", 7), ("x0 x1", 3), ("pow(x0)", 6), ("sin x0", 4)]
        {
            let error = text.parse::<Expr>().expect_err(text);
            assert_eq!(error.position, position, "{error}");
        }
        assert!("(".repeat(100_000).parse::<Expr>().is_err());
        assert!("-".repeat(100_000).parse::<Expr>().is_err());
    }
}
