//! Rules that formulas have to keep, whoever made them: units, nesting, depth, the number of constants; and what a node
//! counts in the size of a formula.
//!
//! ```
//! use sr_expr::rules::{Nesting, Rules};
//! use sr_expr::{Expr, Op};
//!
//! let rules = Rules { nesting: vec![Nesting { outer: Op::Sin, inner: Op::Sin, most: 0 }], ..Rules::default() };
//! assert!(rules.allow(&"sin(x0) + sin(x1)".parse::<Expr>()?));
//! assert!(!rules.allow(&"sin(1.5 * sin(x1))".parse::<Expr>()?));
//! # Ok::<(), sr_expr::ParseError>(())
//! ```

use crate::units::{ConstantUnits, Unit, check};
use crate::{Node, Op, Tree};

/// Rules for formulas. The default allows all of them and counts every node once.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rules {
    /// The units of variables and target.
    pub units: Option<UnitRule>,
    /// How often operators may occur inside of others.
    pub nesting: Vec<Nesting>,
    /// The most edges from the root to a leaf; `None` for any number.
    pub max_depth: Option<usize>,
    /// The most numbers in a formula; `None` for any number.
    pub max_constants: Option<usize>,
    /// What nodes count in the size.
    pub complexity: Complexity,
}

/// The units of the data. Formulas have to have the unit of the target.
#[derive(Debug, Clone, PartialEq)]
pub struct UnitRule {
    /// The units of the variables; those after the last one have the unit 1.
    pub variables: Vec<Unit>,
    /// The unit of the target.
    pub target: Unit,
    /// The units that numbers may have.
    pub constants: ConstantUnits,
}

/// How often an operator may occur inside of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nesting {
    /// The operator around.
    pub outer: Op,
    /// The operator inside of it.
    pub inner: Op,
    /// The most occurrences of `inner` on a path from an operand of `outer` down to a leaf.
    pub most: u32,
}

/// What nodes count in the size of a formula: 1, unless it is said otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Complexity {
    /// Operators and what they count.
    pub operators: Vec<(Op, u16)>,
    /// Variables and what they count.
    pub variables: Vec<(u16, u16)>,
    /// What a number counts.
    pub constant: Option<u16>,
}

impl Complexity {
    /// Returns whether every node counts 1.
    pub fn is_plain(&self) -> bool {
        self.operators.is_empty() && self.variables.is_empty() && self.constant.is_none()
    }

    /// Returns the size of a formula: the sum of what its nodes count.
    pub fn of(&self, tree: &Tree) -> usize {
        if self.is_plain() { tree.size() } else { tree.nodes().iter().map(|node| self.of_node(*node)).sum() }
    }

    fn of_node(&self, node: Node) -> usize {
        let counted = match node {
            Node::Op(op) => self.operators.iter().find(|(of, _)| *of == op).map(|(_, count)| *count),
            Node::Var(index) => self.variables.iter().find(|(of, _)| *of == index).map(|(_, count)| *count),
            Node::Const(_) => self.constant,
        };
        counted.unwrap_or(1).into()
    }
}

impl Rules {
    /// Returns whether every formula is allowed.
    pub fn allow_all(&self) -> bool {
        self.units.is_none() && self.nesting.is_empty() && self.max_depth.is_none() && self.max_constants.is_none()
    }

    /// Returns whether a formula keeps the rules.
    pub fn allow(&self, tree: &Tree) -> bool {
        let is_few = |most: usize| tree.constants().count() <= most;
        let has_unit = |rule: &UnitRule| {
            check(tree, &rule.variables, rule.constants).is_some_and(|quantity| quantity.may_be(&rule.target))
        };
        self.max_constants.is_none_or(is_few) && self.allow_shape(tree) && self.units.as_ref().is_none_or(has_unit)
    }

    /// Returns whether a formula that keeps the rules may have this one as a part: its unit is any, and it may have any
    /// number of constants, because what was computed with numbers may be written with fewer.
    pub fn allow_part(&self, tree: &Tree) -> bool {
        let has_unit = |rule: &UnitRule| check(tree, &rule.variables, rule.constants).is_some();
        self.allow_shape(tree) && self.units.as_ref().is_none_or(has_unit)
    }

    fn allow_shape(&self, tree: &Tree) -> bool {
        self.max_depth.is_none_or(|most| tree.depth() <= most) && self.nesting.iter().all(|rule| rule.allows(tree))
    }
}

impl Nesting {
    /// Returns whether a formula keeps the rule. O(size).
    pub fn allows(&self, tree: &Tree) -> bool {
        // The most occurrences of `inner` on a path through each subtree that waits for its operator.
        let mut stack: Vec<u32> = Vec::new();
        for node in tree.nodes() {
            let operands = stack.len() - node.arity();
            let below = stack.drain(operands..).max().unwrap_or(0);
            if *node == Node::Op(self.outer) && below > self.most {
                return false;
            }
            stack.push(below + u32::from(*node == Node::Op(self.inner)));
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Expr;

    fn parse(text: &str) -> Expr {
        text.parse().expect(text)
    }

    #[test]
    fn nesting_counts_along_paths() {
        let allows = |outer, inner, most, text: &str| Nesting { outer, inner, most }.allows(&parse(text));
        assert!(allows(Op::Sin, Op::Sin, 0, "sin(x0) * sin(x1)"));
        assert!(!allows(Op::Sin, Op::Sin, 0, "sin(x0 + exp(sin(x1)))"));
        assert!(allows(Op::Sin, Op::Exp, 1, "sin(exp(x0) + exp(x1))"), "there is one on each path");
        assert!(!allows(Op::Sin, Op::Exp, 1, "1.0 + sin(2.0 * exp(x0 * exp(x1)))"));
        assert!(allows(Op::Sin, Op::Exp, 0, "exp(sin(x0))"), "the other way round is allowed");
    }

    #[test]
    fn depth_constants_and_units_are_kept() {
        let shallow = Rules { max_depth: Some(2), ..Rules::default() };
        assert!(shallow.allow(&parse("x0 + sin(x1)")) && !shallow.allow(&parse("x0 + sin(x1 * x1)")));
        let few = Rules { max_constants: Some(1), ..Rules::default() };
        assert!(few.allow(&parse("2.0 * x0")) && !few.allow(&parse("2.0 * x0 + 1.0")));
        assert!(few.allow_part(&parse("2.0 * x0 + 1.0")));
        let rule = UnitRule {
            variables: vec!["m".parse().expect("metre"), "s".parse().expect("second")],
            target: "m/s".parse().expect("a speed"),
            constants: ConstantUnits::Dimensionless,
        };
        let units = Rules { units: Some(rule), ..Rules::default() };
        assert!(units.allow(&parse("x0 / x1")) && !units.allow(&parse("x0")) && units.allow_part(&parse("x0")));
        assert!(!units.allow_part(&parse("x0 + x1")));
        assert!(Rules::default().allow_all() && !units.allow_all() && Rules::default().allow(&parse("x0 + x1")));
    }

    #[test]
    fn sizes_are_sums_of_what_nodes_count() {
        let complexity = Complexity { operators: vec![(Op::Sin, 3)], variables: vec![(1, 2)], constant: Some(4) };
        assert_eq!(complexity.of(&parse("sin(x0) + 2.5*x1")), 3 + 1 + 1 + 4 + 1 + 2);
        assert_eq!(Complexity::default().of(&parse("sin(x0) + 2.5*x1")), 6);
    }
}
