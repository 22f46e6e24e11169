//! The printer, which writes the fully parenthesised infix text of the original system.

use std::fmt::{Display, Formatter, Result};

use crate::{Expr, Node, Op, Semantics, Tree};

/// Prints `(x0 + (x1 * 1.0))`, `sin(x0)`, `(x0 ** 2.0)`; constants as Python's `repr` does.
///
/// Guarded operators have their plain names here, as in record files. [`Tree::display`] prints the text for people.
impl Display for Tree {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        self.display(Semantics::Ieee).fmt(f)
    }
}

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        (**self).fmt(f)
    }
}

impl Tree {
    /// Returns the expression as text that shows its semantics. Under [`Semantics::Protected`] the guarded operators
    /// are `pdiv(x0, x1)`, `plog(x0)`, …, see [`Op::name_in`]. [`Formula`](crate::Formula) reads it back as the same
    /// expression and semantics.
    pub fn display(&self, semantics: Semantics) -> Printed<'_> {
        Printed { tree: self, semantics, names: &[], hide_constants: false }
    }

    /// Returns the expression as text in which every constant is `C`.
    pub(crate) fn display_skeleton(&self) -> Printed<'_> {
        Printed { hide_constants: true, ..self.display(Semantics::Ieee) }
    }
}

/// An expression to be printed, see [`Tree::display`].
#[derive(Debug, Clone, Copy)]
pub struct Printed<'a> {
    tree: &'a Tree,
    semantics: Semantics,
    names: &'a [String],
    hide_constants: bool,
}

impl<'a> Printed<'a> {
    /// Prints these names in place of `x0`, `x1`, …; a variable beyond them keeps its own.
    ///
    /// A name that could be read as anything else, such as `a+b` or the `x0` of another column, is put in backticks.
    pub fn with_names(self, names: &'a [String]) -> Self {
        Printed { names, ..self }
    }
}

/// Returns a column's name as it is written in formulas.
pub(crate) fn variable_name(name: &str) -> String {
    if crate::parse::is_bare_name(name) {
        return name.to_owned();
    }
    let mut quoted = String::from("`");
    for c in name.chars() {
        match c {
            '`' => quoted.push_str("``"),
            // Control characters are escaped, so that a name is one line.
            c if c.is_control() => quoted.extend(c.escape_default()),
            c => quoted.push(c),
        }
    }
    quoted.push('`');
    quoted
}

impl Display for Printed<'_> {
    /// Writes the text in O(size), without recursion: depth is limited by memory alone.
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        enum Part {
            Subtree(usize),
            Text(&'static str),
        }
        let nodes = self.tree.nodes();
        let starts = self.tree.subtree_starts();
        let mut parts = vec![Part::Subtree(nodes.len() - 1)];
        while let Some(part) = parts.pop() {
            let node = match part {
                Part::Text(text) => {
                    f.write_str(text)?;
                    continue;
                }
                Part::Subtree(node) => node,
            };
            match nodes[node] {
                Node::Var(index) => match self.names.get(usize::from(index)) {
                    Some(name) => f.write_str(&variable_name(name))?,
                    None => write!(f, "x{index}")?,
                },
                Node::Const(_) if self.hide_constants => f.write_str("C")?,
                Node::Const(value) => f.write_str(&python_float(value))?,
                Node::Op(op) if op.arity() == 1 => {
                    write!(f, "{}(", op.name_in(self.semantics))?;
                    parts.extend([Part::Text(")"), Part::Subtree(node - 1)]);
                }
                Node::Op(op) => {
                    let first = starts[node - 1] - 1;
                    if op.is_guarded() && self.semantics == Semantics::Protected {
                        write!(f, "{}(", op.name_in(self.semantics))?;
                        parts.extend([
                            Part::Text(")"),
                            Part::Subtree(node - 1),
                            Part::Text(", "),
                            Part::Subtree(first),
                        ]);
                        continue;
                    }
                    let symbol = if op == Op::Pow { "**" } else { op.name() };
                    // A power binds tighter than a sign: `-2.0 ** x0` would be read as `-(2.0 ** x0)`.
                    let signed_base = op == Op::Pow
                        && !self.hide_constants
                        && matches!(nodes[first], Node::Const(base) if base.is_sign_negative() && !base.is_nan());
                    let (open, close) = if signed_base { ("((", ") ") } else { ("(", " ") };
                    f.write_str(open)?;
                    parts.extend([Part::Text(")"), Part::Subtree(node - 1), Part::Text(" "), Part::Text(symbol)]);
                    parts.extend([Part::Text(close), Part::Subtree(first)]);
                }
            }
        }
        Ok(())
    }
}

/// Formats a float as Python's `repr` does: `1.0`, `0.0001`, `1e-05`, `1e+16`, `nan`, `inf`.
///
/// Both languages print the shortest digits that read back the same; they differ in how they write exponents.
pub fn python_float(value: f64) -> String {
    if value.is_nan() {
        return "nan".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.into();
    }
    let magnitude = value.abs();
    if magnitude != 0.0 && !(1e-4..1e16).contains(&magnitude) {
        let text = format!("{value:e}");
        let (mantissa, exponent) = text.split_once('e').expect("LowerExp writes an exponent");
        let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
        return format!("{mantissa}e{sign}{digits:0>2}");
    }
    format!("{value:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deep_chains_print_without_recursion() {
        const DEPTH: usize = 100_000;
        let unary = [vec![Node::Var(0)], vec![Node::Op(Op::Sin); DEPTH]].concat();
        let right = [vec![Node::Var(0); DEPTH + 1], vec![Node::Op(Op::Add); DEPTH]].concat();
        let left = [vec![Node::Var(0)], [Node::Var(0), Node::Op(Op::Add)].repeat(DEPTH)].concat();
        for (nodes, length) in [(unary, 2 + 5 * DEPTH), (right, 2 + 7 * DEPTH), (left, 2 + 7 * DEPTH)] {
            assert_eq!(Expr::new(nodes).expect("a chain").to_string().len(), length);
        }
    }

    #[test]
    fn guarded_operators_are_printed_as_what_they_are() {
        let printed = |text: &str| text.parse::<Expr>().expect(text).display(Semantics::Protected).to_string();
        assert_eq!(printed("x0 / (x1 * x0)"), "pdiv(x0, (x1 * x0))");
        assert_eq!(printed("log(sqrt(exp(tan(inv(x0)))))"), "plog(psqrt(pexp(ptan(pinv(x0)))))");
        assert_eq!(printed("sin(x0) ** 2 - neg(x1)"), "((sin(x0) ** 2.0) - neg(x1))");
        assert_eq!(printed("(-1)^(x0/x1)"), "((-1.0) ** pdiv(x0, x1))");
        assert_eq!("x0 / x1".parse::<Expr>().expect("plain").display(Semantics::Ieee).to_string(), "(x0 / x1)");
    }

    #[test]
    fn names_that_could_be_anything_else_are_quoted() {
        let names =
            ["a+b", "speed", "2x", "x0", "sin", "θ", "plog", "pi", "a`b", "a\nb", "", "X_1", "mul"].map(String::from);
        let shown: Vec<String> =
            (0..14).map(|i| Expr::var(i).display(Semantics::Ieee).with_names(&names).to_string()).collect();
        let expected = [
            "`a+b`", "speed", "`2x`", "`x0`", "`sin`", "θ", "`plog`", "`pi`", "`a``b`", "`a\\nb`", "``", "X_1",
            "`mul`", "x13",
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn floats_print_as_in_python() {
        // Each pair was printed by CPython's repr.
        for (value, text) in [
            (1.0, "1.0"),
            (-2.5, "-2.5"),
            (0.1, "0.1"),
            (3.25, "3.25"),
            (1e-4, "0.0001"),
            (1e-5, "1e-05"),
            (1.5e-7, "1.5e-07"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1.25e100, "1.25e+100"),
            (5e-324, "5e-324"),
            (-0.0, "-0.0"),
            (f64::INFINITY, "inf"),
            (f64::NAN, "nan"),
        ] {
            assert_eq!(python_float(value), text);
        }
    }
}
