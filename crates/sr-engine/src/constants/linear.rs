//! Which constants of a tree its predictions are linear in.

use sr_expr::{Node, Op, Tree};

/// Finds the linear coefficients of trees and owns the memory that this needs.
#[derive(Debug, Clone, Default)]
pub(crate) struct LinearConstants {
    /// The number of linear coefficients of each node's subtree.
    counts: Vec<u32>,
    /// The nodes whose subtrees wait for their operator.
    stack: Vec<u32>,
    /// The nodes of the operands, the same one twice for a unary operator.
    operands: Vec<[u32; 2]>,
    /// Whether the predictions are linear in the node's value, with linear coefficients below it.
    open: Vec<bool>,
}

impl LinearConstants {
    /// Overwrites `linear` with whether each constant, in post-order, belongs to a set of constants in which the
    /// predictions are jointly linear (up to a term without them) while all other constants are fixed. O(size).
    ///
    /// Sums pass linearity on to both operands, a quotient to its dividend, and a product to the factor with more
    /// linear coefficients, the left one of equals: `c0 * (c1 * x0 + c2)` is linear in c1 and c2 at a fixed c0.
    pub(crate) fn find(&mut self, tree: &Tree, linear: &mut Vec<bool>) {
        self.count(tree);
        self.open.clear();
        self.open.resize(tree.size(), false);
        self.open[tree.size() - 1] = true;
        linear.clear();
        for (index, &node) in tree.nodes().iter().enumerate().rev() {
            let (is_open, [a, b]) = (self.open[index], self.operands[index]);
            let [a, b] = [a as usize, b as usize];
            match node {
                Node::Const(_) => linear.push(is_open),
                Node::Op(Op::Add | Op::Sub | Op::Neg) if is_open => (self.open[a], self.open[b]) = (true, true),
                Node::Op(Op::Mul) if is_open => {
                    let factor = if self.counts[b] > self.counts[a] { b } else { a };
                    self.open[factor] = true;
                }
                Node::Op(Op::Div) if is_open => self.open[a] = true,
                Node::Op(_) | Node::Var(_) => {}
            }
        }
        linear.reverse();
    }

    fn count(&mut self, tree: &Tree) {
        self.counts.clear();
        self.operands.clear();
        self.stack.clear();
        for (index, &node) in tree.nodes().iter().enumerate() {
            let mut operands = [0; 2];
            let count = match node {
                Node::Const(_) => 1,
                Node::Var(_) => 0,
                Node::Op(op) => {
                    let b = self.stack.pop().expect("operands come before their operator");
                    let a = if op.arity() == 2 { self.stack.pop().expect("as above") } else { b };
                    operands = [a, b];
                    let [in_a, in_b] = operands.map(|operand| self.counts[operand as usize]);
                    match op {
                        Op::Add | Op::Sub => in_a + in_b,
                        Op::Mul => in_a.max(in_b),
                        Op::Div | Op::Neg => in_a,
                        _ => 0,
                    }
                }
            };
            self.counts.push(count);
            self.operands.push(operands);
            self.stack.push(index as u32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coefficients_of_sums_products_and_quotients_are_linear() {
        let find = |text: &str| {
            let tree: sr_expr::Expr = text.parse().expect(text);
            let mut linear = vec![true; 9];
            LinearConstants::default().find(&tree, &mut linear);
            linear.iter().map(|&is_linear| if is_linear { 'l' } else { '.' }).collect::<String>()
        };
        assert_eq!(find("2.0*x0 + 3.0"), "ll");
        assert_eq!(find("2.0*sin(3.0*x0) - (4.0 - x1)"), "l.l");
        assert_eq!(find("2.0*(3.0*x0 + 4.0)"), ".ll");
        assert_eq!(find("(3.0*x0 + 4.0)*2.0"), "ll.");
        assert_eq!(find("2.0*(3.0*x0)"), "l.", "the left one of equals");
        assert_eq!(find("(2.0 + x0)*(3.0*x1 + 4.0)"), ".ll");
        assert_eq!(find("(2.0*x0 + 1.0)/(3.0*x1 + x0)"), "ll.");
        assert_eq!(find("exp(2.0*x0 + 1.0)"), "..");
        assert_eq!(find("-(2.0*x0) + pow(x0, 3.0)"), "l.");
        assert_eq!(find("x0"), "");
        assert_eq!(find("2.0"), "l");
    }
}
