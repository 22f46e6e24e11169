//! What a tree computes whatever its constants: a hash of its structure, and the tree without the constants around it.

use crate::hash::mix;
use crate::{Expr, Node, Op, Tree};

/// The structure of a subtree: what its operands are joined by, and a hash that does not depend on their order.
#[derive(Debug, Clone, Copy)]
enum Part {
    /// Any constant, or an operation on constants alone.
    Constant,
    /// A sum: the wrapping sum of the hashes of its terms, and whether a constant is among these.
    Sum(u64, bool),
    /// A product: the wrapping sum of the hashes of its factors, and whether a constant is among these.
    Product(u64, bool),
    /// A variable, or a function of operands.
    Atom(u64),
}

const CONSTANT: u64 = 1;
const SUM: u64 = 2;
const PRODUCT: u64 = 3;
const VARIABLE: u64 = 4;
const FUNCTION: u64 = 5;

impl Part {
    fn hash(self) -> u64 {
        match self {
            Part::Constant => mix(CONSTANT, 0),
            Part::Sum(terms, has_constant) => mix(mix(SUM, terms), has_constant.into()),
            Part::Product(factors, has_constant) => mix(mix(PRODUCT, factors), has_constant.into()),
            Part::Atom(hash) => hash,
        }
    }

    fn terms(self) -> (u64, bool) {
        match self {
            Part::Constant => (0, true),
            Part::Sum(terms, has_constant) => (terms, has_constant),
            other => (other.hash(), false),
        }
    }

    fn factors(self) -> (u64, bool) {
        match self {
            Part::Constant => (0, true),
            Part::Product(factors, has_constant) => (factors, has_constant),
            other => (other.hash(), false),
        }
    }

    /// Raises to a whole power.
    fn power(self, exponent: u64) -> Part {
        match self {
            Part::Constant => Part::Constant,
            other => {
                let (factors, has_constant) = other.factors();
                Part::Product(factors.wrapping_mul(exponent), has_constant)
            }
        }
    }

    fn apply(op: Op, a: Part, b: Part) -> Part {
        let is_constant = matches!(a, Part::Constant) && (op.arity() == 1 || matches!(b, Part::Constant));
        match op {
            _ if is_constant => Part::Constant,
            Op::Add | Op::Sub => {
                let ((a, a_constant), (b, b_constant)) = (a.terms(), b.terms());
                let b = if op == Op::Add { b } else { b.wrapping_neg() };
                Part::Sum(a.wrapping_add(b), a_constant || b_constant)
            }
            Op::Neg => {
                let (terms, has_constant) = a.terms();
                Part::Sum(terms.wrapping_neg(), has_constant)
            }
            Op::Mul | Op::Div => {
                let ((a, a_constant), (b, b_constant)) = (a.factors(), b.factors());
                let b = if op == Op::Mul { b } else { b.wrapping_neg() };
                Part::Product(a.wrapping_add(b), a_constant || b_constant)
            }
            Op::Inv => a.power(u64::MAX),
            Op::Pow2 => a.power(2),
            Op::Pow3 => a.power(3),
            _ if op.arity() == 1 => Part::Atom(mix(mix(FUNCTION, op as u64), a.hash())),
            _ => Part::Atom(mix(mix(mix(FUNCTION, op as u64), a.hash()), b.hash())),
        }
    }
}

impl Tree {
    /// Returns a hash of the structure: equal for trees that differ in their constants, in the order of terms and
    /// factors, in how sums and products are bracketed, or in how many constants stand in one sum or product. Trees of
    /// other functions have other hashes, but for collisions. O(size).
    ///
    /// ```
    /// use sr_expr::Expr;
    ///
    /// let structure = |text: &str| text.parse::<Expr>().expect(text).structure();
    /// assert_eq!(structure("x0*2.0 - (3.0 + x1)/x0"), structure("5.0*x0 - (x1 + 1.0)*inv(x0)"));
    /// assert_ne!(structure("x0 - x1"), structure("x1 - x0"));
    /// ```
    pub fn structure(&self) -> u64 {
        let mut stack = smallvec::SmallVec::<[Part; 32]>::new();
        for &node in self.nodes() {
            let part = match node {
                Node::Const(_) => Part::Constant,
                Node::Var(index) => Part::Atom(mix(VARIABLE, index.into())),
                Node::Op(op) => {
                    let last = stack.pop().expect("operands come before their operator");
                    match op.arity() {
                        1 => Part::apply(op, last, last),
                        _ => Part::apply(op, stack.pop().expect("operands come before their operator"), last),
                    }
                }
            };
            stack.push(part);
        }
        stack.pop().expect("a tree has a node").hash()
    }

    /// Returns the subtree f of a tree that is a + b·f, with constants a and b: what is left without the sums, differences
    /// and products with constants at the root.
    ///
    /// ```
    /// use sr_expr::Expr;
    ///
    /// let tree: Expr = "3.0 - 2.0*sin(x0)/1.5".parse()?;
    /// assert_eq!(tree.core().to_string(), "sin(x0)");
    /// # Ok::<(), sr_expr::ParseError>(())
    /// ```
    pub fn core(&self) -> &Tree {
        let mut root = self.size() - 1;
        loop {
            let is_constant = |node: usize| matches!(self.nodes()[node], Node::Const(_));
            root = match self.nodes()[root] {
                Node::Op(Op::Neg) => root - 1,
                Node::Op(op @ (Op::Add | Op::Sub | Op::Mul | Op::Div)) => {
                    let right = root - 1;
                    let left = self.subtree_start(right).checked_sub(1).expect("two operands");
                    if is_constant(right) {
                        left
                    } else if is_constant(left) && op != Op::Div {
                        right
                    } else {
                        return self.subtree(root);
                    }
                }
                _ => return self.subtree(root),
            };
        }
    }

    /// Returns the tree without the leaf at a node: the other operand stands in the place of the sum, difference, product
    /// or quotient that the leaf is an operand of. A difference or quotient whose first operand is left out becomes its
    /// second one. `None` if the node is no leaf, or no operand of these. O(size²).
    ///
    /// ```
    /// use sr_expr::Expr;
    ///
    /// let tree: Expr = "2.0*sin(x0) + 0.5".parse()?;
    /// let shorter: Vec<String> = (0..tree.size()).filter_map(|node| tree.without(node)).map(|expr| expr.to_string()).collect();
    /// assert_eq!(shorter, ["(sin(x0) + 0.5)", "(2.0 * sin(x0))"]);
    /// # Ok::<(), sr_expr::ParseError>(())
    /// ```
    pub fn without(&self, node: usize) -> Option<Expr> {
        let nodes = self.nodes();
        if !nodes.get(node).is_some_and(|node| !matches!(node, Node::Op(_))) {
            return None;
        }
        let is_parent = |&parent: &usize| match nodes[parent] {
            Node::Op(Op::Add | Op::Sub | Op::Mul | Op::Div) => {
                let right = parent - 1;
                right == node || self.subtree_start(right).checked_sub(1) == Some(node)
            }
            _ => false,
        };
        let parent = (node + 1..nodes.len()).find(is_parent)?;
        let kept = |&(index, _): &(usize, &Node)| index != node && index != parent;
        let left: Vec<Node> = nodes.iter().enumerate().filter(kept).map(|(_, node)| *node).collect();
        Some(Expr::new(left).expect("an operand in the place of its operation"))
    }
}

#[cfg(test)]
mod tests {
    use crate::Expr;

    #[test]
    fn a_leaf_is_left_out_with_the_operation_that_it_is_an_operand_of() {
        let shorter = |text: &str, node| expr(text).without(node).map(|expr| expr.to_string());
        assert_eq!(shorter("x0 - 1.5", 1).as_deref(), Some("x0"));
        assert_eq!(shorter("1.5 - x0", 0).as_deref(), Some("x0"));
        assert_eq!(shorter("sin(x0/(x1*2.0))", 2).as_deref(), Some("sin((x0 / x1))"));
        assert_eq!(shorter("1.5 + sin(2.0)*x0", 0).as_deref(), Some("(sin(2.0) * x0)"));
        // A leaf alone, the operand of a function, an operation, and a node that is not there.
        for (text, node) in [("x0", 0), ("sin(2.0)", 0), ("sin(2.0)*x0", 0), ("x0 + x1", 2), ("x0 + x1", 3)] {
            assert_eq!(shorter(text, node), None, "{text} {node}");
        }
    }

    fn expr(text: &str) -> Expr {
        text.parse().expect(text)
    }

    #[test]
    fn equal_structures_have_equal_hashes() {
        let equal = [
            ("x0 + x1 + x2", "x2 + (x1 + x0)"),
            ("x0*(x1*x2)", "x2*x0*x1"),
            ("x0*x0", "pow2(x0)"),
            ("x0*x0*x0", "pow3(x0)"),
            ("x0/x1/x2", "x0/(x1*x2)"),
            ("1.0*(2.0*x0)", "3.0*x0"),
            ("(x0 + 1.0) + 2.0", "x0 + 7.0"),
            ("x0 - x1", "neg(x1) + x0"),
            ("sin(exp(2.0) + x0)", "sin(x0 + 1.0)"),
            ("x0 + (x1 - x1)", "x0 + (x2 - x2)"),
        ];
        for (a, b) in equal {
            assert_eq!(expr(a).structure(), expr(b).structure(), "{a} and {b}");
        }
    }

    #[test]
    fn other_structures_have_other_hashes() {
        let texts = [
            "x0",
            "x1",
            "x0 + x1",
            "x0 - x1",
            "x1 - x0",
            "x0*x1",
            "x0/x1",
            "x1/x0",
            "2.0*x0 + x1",
            "2.0*(x0 + x1)",
            "sin(x0)",
            "cos(x0)",
            "sin(x0 + 1.0)",
            "sin(2.0*x0)",
            "sin(2.0*x0 + 1.0)",
            "pow(x0, x1)",
            "pow(x1, x0)",
            "x0 + 1.0",
            "sqrt(x0)",
            "x0*x0",
            "x0*x0*x0",
            "exp(x0)",
            "neg(x0)",
            "inv(x0)",
            "x0 + x0",
        ];
        let mut hashes: Vec<u64> = texts.iter().map(|text| expr(text).structure()).collect();
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), texts.len());
    }

    #[test]
    fn a_core_has_no_constants_around_it() {
        let cases = [
            ("x0", "x0"),
            ("2.0*x0 + 1.0", "x0"),
            ("1.0 + x0/2.0", "x0"),
            ("neg(3.0 - x0*x1)", "(x0 * x1)"),
            ("2.0/x0", "(2.0 / x0)"),
            ("x0 + x1", "(x0 + x1)"),
            ("2.0 + 3.0", "2.0"),
        ];
        for (text, core) in cases {
            assert_eq!(expr(text).core().to_string(), core, "{text}");
        }
    }
}
