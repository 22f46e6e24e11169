//! The formulas of all systems, read by our parser.

use sr_expr::{Expr, Formula, Node, Op, ParseError, Semantics};

/// The way in which a system writes formulas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syntax {
    /// Our own, with `plog` and so on for guarded operators.
    Ours,
    /// Operon's infix, as `((-0.5) + (2.0 * (x0 ^ 2)))`. Its numbers have single precision.
    Operon,
    /// The infix of the crate `symbolic_regression`, as `(abs2(x0) * -0.5) - -(x1)`.
    SymbolicRegression,
    /// gplearn's calls, as `add(mul(x0, x0), sqrt(-0.5))`. Its square root and logarithm take the magnitude of their
    /// operands.
    Gplearn,
}

/// A formula that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// The expression, with the meaning of its operators written out.
    pub expr: Expr,
    /// The semantics of the expression's operators.
    pub semantics: Semantics,
    /// The nodes of the formula as the system writes it, where a guard is part of an operator.
    pub size: usize,
}

impl Syntax {
    /// Reads a formula.
    ///
    /// gplearn's quotients with divisors below 0.001 in magnitude are 1, its logarithms of such numbers and their
    /// inverses 0; that is not read, because nobody who reads the formula would.
    ///
    /// # Errors
    /// Returns an error if the text is no formula.
    pub fn read(self, text: &str) -> Result<Reading, ParseError> {
        let (expr, semantics) = match self {
            Syntax::Ours => {
                let Formula { expr, semantics } = text.parse()?;
                (expr, semantics.unwrap_or_default())
            }
            Syntax::Operon => (text.parse()?, Semantics::Ieee),
            Syntax::SymbolicRegression => (renamed(text, &[("abs2", "pow2")]).parse()?, Semantics::Ieee),
            Syntax::Gplearn => (from_calls(text)?, Semantics::Ieee),
        };
        let expr = with_whole_powers(&expr);
        let size = expr.size();
        let expr = if self == Syntax::Gplearn { with_magnitudes(&expr) } else { expr };
        Ok(Reading { expr, semantics, size })
    }
}

fn is_name_char(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Returns the text with whole words replaced.
fn renamed(text: &str, names: &[(&str, &str)]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_alphabetic()) {
        let end = rest[start..].find(|c| !is_name_char(c)).map_or(rest.len(), |length| start + length);
        let word = &rest[start..end];
        out.push_str(&rest[..start]);
        out.push_str(names.iter().find(|(name, _)| *name == word).map_or(word, |(_, other)| other));
        rest = &rest[end..];
    }
    out + rest
}

/// Reads nested calls. Operators that stand between operands elsewhere have names here.
fn from_calls(text: &str) -> Result<Expr, ParseError> {
    let fail = |position: usize, message: String| Err(ParseError { message, position, text: text.into() });
    let mut prefix = Vec::new();
    let mut at = 0;
    for word in text.split_inclusive(['(', ',', ')']) {
        let token = word.trim_matches(|c: char| c.is_whitespace() || matches!(c, '(' | ',' | ')'));
        if word.ends_with('(') {
            match Op::from_name(token) {
                Some(op) => prefix.push(Node::Op(op)),
                None => return fail(at, format!("'{token}' is no function")),
            }
        } else if !token.is_empty() {
            // A terminal, by the parser that reads all numbers and variables.
            let leaf: Expr = token.parse().map_err(|error: ParseError| ParseError { position: at, ..error })?;
            prefix.extend_from_slice(leaf.nodes());
        }
        at += word.len();
    }
    Expr::from_prefix(&prefix).or_else(|error| fail(0, error.to_string()))
}

/// Writes the powers of 2 and 3 as the operators that they are, so that no fit moves the exponent.
fn with_whole_powers(expr: &Expr) -> Expr {
    let mut nodes: Vec<Node> = Vec::with_capacity(expr.size());
    for &node in expr.nodes() {
        let power = match (node, nodes.last()) {
            (Node::Op(Op::Pow), Some(Node::Const(2.0))) => Some(Op::Pow2),
            (Node::Op(Op::Pow), Some(Node::Const(3.0))) => Some(Op::Pow3),
            _ => None,
        };
        match power {
            Some(op) => {
                nodes.pop();
                nodes.push(Node::Op(op));
            }
            None => nodes.push(node),
        }
    }
    Expr::new(nodes).expect("a constant and an operator became one operator")
}

/// Puts `abs` below square roots and logarithms.
fn with_magnitudes(expr: &Expr) -> Expr {
    let guarded = |&node: &Node| match node {
        Node::Op(Op::Sqrt | Op::Log) => [Some(Node::Op(Op::Abs)), Some(node)],
        _ => [None, Some(node)],
    };
    Expr::new(expr.nodes().iter().flat_map(guarded).flatten().collect()).expect("unary operators were added")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(syntax: Syntax, text: &str, row: &[f64]) -> f64 {
        let reading = syntax.read(text).unwrap_or_else(|error| panic!("{error}"));
        sr_expr::reference::eval_row(&reading.expr, row, reading.semantics)
    }

    #[test]
    fn operon() {
        // Printed by pyoperon 0.6.2.
        let text = "((-0.00021896635007579) + (1.00031793117523193 * (sin(((-1.94823372364044189) * x0)) + \
                    (((0.36157846450805664 * x1) - ((-1.90575885772705078) * x0)) + \
                    ((1.00080192089080811 * x1) ^ 2)))))";
        let (x0, x1) = (0.7_f64, -1.3_f64);
        let inner = 0.36157846450805664 * x1 + 1.905_758_857_727_050_8 * x0 + (1.000_801_920_890_808 * x1).powi(2);
        let expected = -0.00021896635007579 + 1.000_317_931_175_232 * ((-1.948_233_723_640_442 * x0).sin() + inner);
        assert!((values(Syntax::Operon, text, &[x0, x1]) - expected).abs() < 1e-14);
        let text = "(0.10000000149011611938476562500 + ((2.0 * x0) ^ (0.5 * x1)))";
        assert!((values(Syntax::Operon, text, &[2.0, 3.0]) - 8.100_000_001_490_116).abs() < 1e-14);
    }

    #[test]
    fn symbolic_regression() {
        // Printed by the crate, version 0.12.3.
        let text = "(abs2((x0 * 3.886370900680698) + -3.7276509917483156) + 4.9151589674711476) / x1";
        let expected = ((1.5 * 3.886370900680698 - 3.7276509917483156_f64).powi(2) + 4.9151589674711476) / 2.0;
        assert!((values(Syntax::SymbolicRegression, text, &[1.5, 2.0]) - expected).abs() < 1e-12);
        assert_eq!(values(Syntax::SymbolicRegression, "pow(-2, x0) - -(x1)", &[2.0, 5.0]), 9.0);
        assert_eq!(values(Syntax::SymbolicRegression, "inv(neg(x0))", &[2.0]), -0.5);
        assert_eq!(Syntax::SymbolicRegression.read("abs2(x0)").expect("read").size, 2);
        assert!(Syntax::SymbolicRegression.read("cosh(x0)").is_err());
    }

    #[test]
    fn gplearn() {
        // Printed by the driver of gplearn 0.4.3.
        let text = "add(pow2(add(div(x0, 0.6583928584026943), sqrt(-0.2466065169751408))), exp(-0.9834237139351503))";
        let expected =
            (1.5 / 0.6583928584026943 + 0.2466065169751408_f64.sqrt()).powi(2) + (-0.9834237139351503_f64).exp();
        assert!((values(Syntax::Gplearn, text, &[1.5]) - expected).abs() < 1e-12);
        assert_eq!(Syntax::Gplearn.read(text).expect("read").size, 10, "a guard is no node");
        assert_eq!(values(Syntax::Gplearn, "x1", &[1.5, 2.0]), 2.0);
        assert_eq!(values(Syntax::Gplearn, "sub(neg(x0), log(-1.0))", &[1.5]), -1.5);
        for bad in ["add(x0)", "add(x0, x1, x2)", "hypot(x0, x1)", "", "add(x0, y)"] {
            assert!(Syntax::Gplearn.read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn ours_and_powers() {
        assert_eq!(Syntax::Ours.read("plog(x0)").expect("read").semantics, Semantics::Protected);
        assert_eq!(
            Syntax::Ours.read("x0^2 + x0**3 + x0^2.5").expect("read").expr.to_string(),
            "((pow2(x0) + pow3(x0)) + (x0 ** 2.5))"
        );
    }
}
