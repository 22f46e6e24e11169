//! The size of a formula in its shortest plain words, so that systems with a coefficient at every variable are not
//! charged for writing `1.0 * x0`.
//!
//! A tree becomes a sum of terms, each a coefficient and a product of powers. Like terms and like factors are put
//! together and constants folded; nothing is expanded, and no root is taken of a square. The result is only counted,
//! never evaluated.

use std::cmp::Ordering;

use sr_expr::{Node, Op, Semantics, Tree};

/// Trees of more nodes are not simplified.
const MAX_NODES: usize = 2000;
/// Constants this near to a whole or half number, relative to it, are that number: a fit leaves such differences.
const NEAR: f64 = 1e-7;
/// Constants up to this are 0: differences of equal numbers.
const ZERO: f64 = 1e-15;

/// `constant + Σ coefficient · product`.
#[derive(Debug, Clone, PartialEq, PartialOrd, Default)]
struct Sum {
    constant: f64,
    terms: Vec<(Product, f64)>,
}

/// The factors with their exponents, sorted.
type Product = Vec<(Atom, f64)>;

#[derive(Debug, Clone, PartialEq, PartialOrd)]
enum Atom {
    Variable(u16),
    /// A function of operands, by the operator's index.
    Call(u8, Vec<Sum>),
    /// A sum of several terms, as a factor.
    Group(Sum),
}

/// Returns the number of nodes of the simplified tree, or of the tree itself if that is less.
pub fn size(tree: &Tree) -> usize {
    simplified(tree).map_or(tree.size(), |sum| sum.size().min(tree.size()))
}

/// Returns the number of constants of the simplified tree: summands and coefficients but 1 and −1, and exponents but
/// those that have an operator. `None` for a tree of more than 2,000 nodes.
pub fn n_constants(tree: &Tree) -> Option<usize> {
    simplified(tree).map(|sum| sum.n_constants())
}

/// Returns the sum that a tree is, unless it is too large.
fn simplified(tree: &Tree) -> Option<Sum> {
    if tree.size() > MAX_NODES {
        return None;
    }
    let mut stack: Vec<Sum> = Vec::new();
    for &node in tree.nodes() {
        let sum = match node {
            Node::Const(value) => Sum::number(value),
            Node::Var(index) => Sum::atom(Atom::Variable(index), 1.0),
            Node::Op(op) => {
                let second = stack.pop()?;
                if op.arity() == 1 { unary(op, second) } else { binary(op, stack.pop()?, second) }
            }
        };
        stack.push(sum);
    }
    stack.pop()
}

fn unary(op: Op, a: Sum) -> Sum {
    match op {
        _ if a.terms.is_empty() => Sum::number(op.apply(Semantics::Ieee, a.constant, 0.0)),
        Op::Neg => a.scaled(-1.0),
        Op::Inv => a.power(-1.0),
        Op::Pow2 => a.power(2.0),
        Op::Pow3 => a.power(3.0),
        Op::Sqrt => a.power(0.5),
        _ => Sum::atom(Atom::Call(op as u8, vec![a]), 1.0),
    }
}

fn binary(op: Op, a: Sum, b: Sum) -> Sum {
    match op {
        Op::Add => a.plus(b),
        Op::Sub => a.plus(b.scaled(-1.0)),
        Op::Mul => a.times(b),
        Op::Div => a.times(b.power(-1.0)),
        _ if a.terms.is_empty() && b.terms.is_empty() => Sum::number(op.apply(Semantics::Ieee, a.constant, b.constant)),
        Op::Pow if b.terms.is_empty() => a.power(b.constant),
        _ => Sum::atom(Atom::Call(op as u8, vec![a, b]), 1.0),
    }
}

fn order<T: PartialOrd>(a: &T, b: &T) -> Ordering {
    a.partial_cmp(b).unwrap_or(Ordering::Equal)
}

/// Returns the number, or the whole or half number near to it.
fn tidy(value: f64) -> f64 {
    let near = (2.0 * value).round() / 2.0;
    if value.abs() <= ZERO {
        0.0
    } else if (value - near).abs() <= NEAR * near.abs() {
        near
    } else {
        value
    }
}

impl Sum {
    fn number(value: f64) -> Self {
        Sum { constant: tidy(value), terms: Vec::new() }
    }

    fn atom(atom: Atom, exponent: f64) -> Self {
        Sum { constant: 0.0, terms: vec![(vec![(atom, exponent)], 1.0)] }
    }

    fn plus(mut self, other: Sum) -> Self {
        self.constant = tidy(self.constant + other.constant);
        for (product, coefficient) in other.terms {
            match self.terms.iter_mut().find(|(own, _)| *own == product) {
                Some((_, own)) => *own = tidy(*own + coefficient),
                None => self.terms.push((product, coefficient)),
            }
        }
        self.terms.retain(|(_, coefficient)| *coefficient != 0.0);
        self.terms.sort_by(order);
        self
    }

    fn scaled(mut self, by: f64) -> Self {
        if by == 0.0 {
            return Sum::default();
        }
        self.constant = tidy(self.constant * by);
        self.terms.iter_mut().for_each(|(_, coefficient)| *coefficient = tidy(*coefficient * by));
        self
    }

    /// Returns the sum as a coefficient and a product.
    fn factored(self) -> (f64, Product) {
        match self.terms.len() {
            0 => (self.constant, Vec::new()),
            1 if self.constant == 0.0 => {
                let (product, coefficient) = self.terms.into_iter().next().expect("one term");
                (coefficient, product)
            }
            _ => (1.0, vec![(Atom::Group(self), 1.0)]),
        }
    }

    fn of_product(coefficient: f64, mut product: Product) -> Self {
        product.retain(|(_, exponent)| *exponent != 0.0);
        if product.is_empty() || coefficient == 0.0 {
            return Sum::number(coefficient);
        }
        product.sort_by(order);
        if let [(Atom::Group(sum), exponent)] = &*product
            && *exponent == 1.0
        {
            return sum.clone().scaled(coefficient);
        }
        Sum { constant: 0.0, terms: vec![(product, tidy(coefficient))] }
    }

    fn times(self, other: Sum) -> Self {
        if self.terms.is_empty() {
            return other.scaled(self.constant);
        }
        if other.terms.is_empty() {
            return self.scaled(other.constant);
        }
        let ((a, mut product), (b, factors)) = (self.factored(), other.factored());
        for (atom, exponent) in factors {
            match product.iter_mut().find(|(own, _)| *own == atom) {
                Some((_, own)) => *own = tidy(*own + exponent),
                None => product.push((atom, exponent)),
            }
        }
        Sum::of_product(a * b, product)
    }

    fn power(self, exponent: f64) -> Self {
        let exponent = tidy(exponent);
        if self.terms.is_empty() {
            return Sum::number(self.constant.powf(exponent));
        }
        let (coefficient, product) = self.factored();
        let is_whole = exponent.fract() == 0.0;
        // A root of a square is a magnitude, so only first powers may have their roots taken one by one.
        if is_whole || (coefficient > 0.0 && matches!(&*product, [(_, own)] if *own == 1.0)) {
            let product = product.into_iter().map(|(atom, own)| (atom, tidy(own * exponent))).collect();
            return Sum::of_product(coefficient.powf(exponent), product);
        }
        let inner = Sum { constant: 0.0, terms: vec![(product, coefficient)] };
        Sum::atom(Atom::Group(inner), exponent)
    }

    fn n_constants(&self) -> usize {
        let terms = self.terms.iter().map(|(product, c)| usize::from(c.abs() != 1.0) + product_constants(product));
        usize::from(self.constant != 0.0) + terms.sum::<usize>()
    }

    fn size(&self) -> usize {
        let mut parts = usize::from(self.constant != 0.0);
        let mut nodes = parts;
        // A minus costs nothing where something stands before it.
        let mut has_positive = parts > 0;
        let mut has_negative = false;
        for (product, coefficient) in &self.terms {
            let is_unit = coefficient.abs() == 1.0;
            nodes += product_size(product, !is_unit);
            has_positive |= !is_unit || *coefficient > 0.0;
            has_negative |= *coefficient == -1.0;
            parts += 1;
        }
        if parts == 0 {
            return 1;
        }
        nodes + (parts - 1) + usize::from(has_negative && !has_positive)
    }
}

fn product_constants(product: &Product) -> usize {
    let of = |(atom, exponent): &(Atom, f64)| {
        let operands = match atom {
            Atom::Variable(_) => 0,
            Atom::Call(_, operands) => operands.iter().map(Sum::n_constants).sum(),
            Atom::Group(sum) => sum.n_constants(),
        };
        operands + usize::from(power_size(exponent.abs()) > 1)
    };
    product.iter().map(of).sum()
}

fn product_size(product: &Product, has_coefficient: bool) -> usize {
    let numerators = product.iter().filter(|(_, exponent)| *exponent > 0.0).count();
    let nodes: usize = product.iter().map(|(atom, exponent)| atom.size() + power_size(exponent.abs())).sum();
    let operators = product.len() - 1;
    // A coefficient is one more factor; a product of denominators alone needs an inverse.
    nodes + operators + if has_coefficient { 2 } else { usize::from(numerators == 0) }
}

fn power_size(exponent: f64) -> usize {
    match exponent {
        1.0 => 0,
        2.0 | 3.0 | 0.5 => 1,
        _ => 2,
    }
}

impl Atom {
    fn size(&self) -> usize {
        match self {
            Atom::Variable(_) => 1,
            Atom::Call(_, operands) => 1 + operands.iter().map(Sum::size).sum::<usize>(),
            Atom::Group(sum) => sum.size(),
        }
    }
}

#[cfg(test)]
mod tests {
    use sr_expr::Expr;

    use super::*;

    fn size_of(text: &str) -> usize {
        size(&text.parse::<Expr>().unwrap_or_else(|error| panic!("{error}")))
    }

    #[test]
    fn plain_formulas_keep_their_size() {
        for (text, nodes) in [
            ("x0", 1),
            ("x0 + x1", 3),
            ("x0 - x1", 3),
            ("-x0", 2),
            ("inv(x0)", 2),
            ("2/x0", 3),
            ("x0/x1", 3),
            ("sin(x0*x1 + 0.5)", 6),
            ("pow2(x0) + pow3(x1)", 5),
            ("x0^2.5", 3),
            ("sqrt(x0)", 2),
            ("exp(-pow2(x0)/2)/sqrt(2*pi)", 7),
            ("sqrt(pow2(x0))", 3),
        ] {
            assert_eq!(size_of(text), nodes, "{text}");
        }
    }

    #[test]
    fn superfluous_words_are_not_counted() {
        for (text, nodes) in [
            ("1*x0", 1),
            ("0.0 + 1.00000000001*(x0 + 0)", 1),
            ("x0 + x0", 3),
            ("x0*x0", 2),
            ("x0 - x0 + x1", 1),
            ("x0*x1/x0", 1),
            ("2*(3*x0)", 3),
            ("(0.5*x0)*(2*x1)", 3),
            ("neg(neg(x0))", 1),
            ("x0 + -(x1)", 3),
            ("(1*x0 + 1*x1)*1", 3),
            ("1 + 1 + sin(2 - 2 + x0)", 4),
            ("(2*x0)^2 / 4", 2),
            ("x0*x0*x0*x0", 3),
        ] {
            assert_eq!(size_of(text), nodes, "{text}");
        }
    }

    #[test]
    fn constants_are_those_that_are_left() {
        for (text, n) in [
            ("x0*x1", 0),
            ("pow2(x0) + sqrt(x1) - inv(x0)", 0),
            ("0.84/17.6 + x0", 1),
            ("(-0.41 + x1) + 0.423", 1),
            ("2.5*sin(1.5*x0 + 0.3) + 4*x0^2.5", 5),
        ] {
            assert_eq!(n_constants(&text.parse::<Expr>().expect("a formula")), Some(n), "{text}");
        }
    }

    #[test]
    fn numbers_alone_are_one_node() {
        assert_eq!(size_of("sin(1) + 2*3"), 1);
        assert_eq!(size_of("0*x0"), 1);
    }
}
