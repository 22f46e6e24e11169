//! Printing: the fully parenthesised infix text of the original system.

use std::fmt::{Display, Formatter, Result};

use crate::{Expr, Node, Op, Tree};

/// Prints `(x0 + (x1 * 1.0))`, `sin(x0)`, `(x0 ** 2.0)`; constants as Python's `repr` does.
impl Display for Tree {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write_tree(self, f, false)
    }
}

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        (**self).fmt(f)
    }
}

/// Prints every constant as `C`.
pub(crate) struct Skeleton<'a>(pub(crate) &'a Tree);

impl Display for Skeleton<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write_tree(self.0, f, true)
    }
}

/// O(size), without recursion: a chain may be as deep as memory goes.
fn write_tree(tree: &Tree, f: &mut Formatter<'_>, hide_constants: bool) -> Result {
    enum Part {
        Subtree(usize),
        Text(&'static str),
    }
    let nodes = tree.nodes();
    let starts = tree.subtree_starts();
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
            Node::Var(index) => write!(f, "x{index}")?,
            Node::Const(_) if hide_constants => f.write_str("C")?,
            Node::Const(value) => f.write_str(&python_float(value))?,
            Node::Op(op) if op.arity() == 1 => {
                write!(f, "{op}(")?;
                parts.extend([Part::Text(")"), Part::Subtree(node - 1)]);
            }
            Node::Op(op) => {
                let symbol = if op == Op::Pow { "**" } else { op.name() };
                let first = starts[node - 1] - 1;
                // A power binds tighter than a sign: `-2.0 ** x0` would be read as `-(2.0 ** x0)`.
                let signed_base = op == Op::Pow
                    && !hide_constants
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

/// A float as Python's `repr` writes it: `1.0`, `0.0001`, `1e-05`, `1e+16`, `nan`, `inf`.
///
/// Both languages print the shortest digits that read back the same; they differ in the exponent's form.
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
