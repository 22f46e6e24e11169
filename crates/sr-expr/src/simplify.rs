//! A tree in its shortest plain words.
//!
//! It becomes a sum of terms, each a coefficient and a product of powers. Like terms and like factors are put together
//! and constants folded; nothing is expanded, and no root is taken of a square. Operators have their plain meaning.

use std::cmp::Ordering;

use crate::{Expr, Node, Op, Semantics, Tree};

/// Trees of more nodes are not simplified.
const MAX_NODES: usize = 2000;
/// Sums nested deeper, in functions and powers, are not simplified: comparing, writing and dropping them takes stack.
const MAX_NESTING: usize = 200;
/// No more nodes are written. A sum that is a whole power is written several times where there are no operators for
/// powers, and so on within, so that thirty powers in each other would fill all memory.
const MAX_WRITTEN: usize = 10 * MAX_NODES;
/// Constants up to this are 0 where constants are rounded: differences of equal numbers.
const ZERO: f64 = 1e-15;

/// A tree as a sum of products of powers.
///
/// ```
/// use sr_expr::{Expr, Op, Simplified};
///
/// let tree: Expr = "x0*x1*2.0 + sin(x0 + 1.0*x0) - x1*x0/inv(3.0) + (0.5 + 2.0)".parse()?;
/// let simplified = Simplified::new(&tree, 0.0).expect("a small tree");
/// assert_eq!(simplified.size(), 10);
/// let ops = [Op::Add, Op::Sub, Op::Mul, Op::Sin];
/// let written = simplified.write(&ops).expect("these operators suffice").to_string();
/// assert_eq!(written, "((2.5 + sin((2.0 * x0))) - (x0 * x1))");
/// # Ok::<(), sr_expr::ParseError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Simplified(Sum);

impl Simplified {
    /// Simplifies a tree; returns `None` if it has more than 2,000 nodes, or more than 200 sums in each other, in
    /// functions and powers.
    ///
    /// - near: constants within this of a whole or half number, relative to it, count as that number, and constants up to
    ///   1e-15 as 0; with `near` 0 no constant is changed. Sums and products of constants are rounded in any case.
    pub fn new(tree: &Tree, near: f64) -> Option<Self> {
        if tree.size() > MAX_NODES {
            return None;
        }
        let rounding = Rounding(near);
        // With each sum a bound of its nesting, which is counted only where the bound is too large.
        let mut stack: Vec<(Sum, usize)> = Vec::new();
        for &node in tree.nodes() {
            let (sum, mut nesting) = match node {
                Node::Const(value) => (Sum::number(rounding.of(value)), 0),
                Node::Var(index) => (Sum::atom(Atom::Variable(index), 1.0), 0),
                Node::Op(op) => {
                    let (second, nesting) = stack.pop()?;
                    if op.arity() == 1 {
                        (rounding.unary(op, second), nesting + 1)
                    } else {
                        let (first, other) = stack.pop()?;
                        (rounding.binary(op, first, second), nesting.max(other) + 1)
                    }
                }
            };
            if nesting > MAX_NESTING {
                nesting = sum.nesting();
            }
            if nesting > MAX_NESTING {
                return None;
            }
            stack.push((sum, nesting));
        }
        stack.pop().map(|(sum, _)| Simplified(sum))
    }

    /// Returns the number of nodes: what [`write`](Self::write) takes with all operators, where each root, square and
    /// cube is one node and any other power two.
    pub fn size(&self) -> usize {
        self.0.size()
    }

    /// Returns the number of constants: summands and coefficients but 1 and −1, and exponents but those that have an
    /// operator.
    pub fn n_constants(&self) -> usize {
        self.0.n_constants()
    }

    /// Writes the tree with these operators; returns `None` if they do not suffice, a constant is not finite, or there
    /// would be more than 20,000 nodes.
    pub fn write(&self, ops: &[Op]) -> Option<Expr> {
        Writer { ops }.sum(&self.0)
    }
}

/// `constant + Σ coefficient · product`.
#[derive(Debug, Clone, PartialEq, Default)]
struct Sum {
    constant: f64,
    terms: Vec<(Product, f64)>,
}

/// The factors with their exponents, sorted.
type Product = Vec<(Atom, f64)>;

#[derive(Debug, Clone, PartialEq)]
enum Atom {
    Variable(u16),
    /// A function of operands.
    Call(Op, Vec<Sum>),
    /// A sum of several terms, as a factor.
    Group(Sum),
}

/// How constants are rounded: to whole and half numbers that are within this of them, relative to these.
#[derive(Debug, Clone, Copy)]
struct Rounding(f64);

impl Rounding {
    fn of(self, value: f64) -> f64 {
        let near = (2.0 * value).round() / 2.0;
        if self.0 > 0.0 && value.abs() <= ZERO {
            0.0
        } else if (value - near).abs() <= self.0 * near.abs() {
            near
        } else {
            value
        }
    }

    fn unary(self, op: Op, a: Sum) -> Sum {
        match op {
            _ if a.terms.is_empty() => Sum::number(self.of(op.apply(Semantics::Ieee, a.constant, 0.0))),
            Op::Neg => self.scaled(a, -1.0),
            Op::Inv => self.power(a, -1.0),
            Op::Pow2 => self.power(a, 2.0),
            Op::Pow3 => self.power(a, 3.0),
            Op::Sqrt => self.power(a, 0.5),
            _ => Sum::atom(Atom::Call(op, vec![a]), 1.0),
        }
    }

    fn binary(self, op: Op, a: Sum, b: Sum) -> Sum {
        match op {
            Op::Add => self.plus(a, b),
            Op::Sub => self.plus(a, self.scaled(b, -1.0)),
            Op::Mul => self.times(a, b),
            Op::Div => self.times(a, self.power(b, -1.0)),
            _ if a.terms.is_empty() && b.terms.is_empty() => {
                Sum::number(self.of(op.apply(Semantics::Ieee, a.constant, b.constant)))
            }
            Op::Pow if b.terms.is_empty() => self.power(a, b.constant),
            _ => Sum::atom(Atom::Call(op, vec![a, b]), 1.0),
        }
    }

    fn plus(self, mut sum: Sum, other: Sum) -> Sum {
        sum.constant = self.of(sum.constant + other.constant);
        for (product, coefficient) in other.terms {
            match sum.terms.iter_mut().find(|(own, _)| *own == product) {
                Some((_, own)) => *own = self.of(*own + coefficient),
                None => sum.terms.push((product, coefficient)),
            }
        }
        sum.terms.retain(|(_, coefficient)| *coefficient != 0.0);
        sum.terms.sort_by(order_of_terms);
        sum
    }

    fn scaled(self, mut sum: Sum, by: f64) -> Sum {
        if by == 0.0 {
            return Sum::default();
        }
        sum.constant = self.of(sum.constant * by);
        sum.terms.iter_mut().for_each(|(_, coefficient)| *coefficient = self.of(*coefficient * by));
        sum
    }

    fn product(self, coefficient: f64, mut product: Product) -> Sum {
        product.retain(|(_, exponent)| *exponent != 0.0);
        if product.is_empty() || coefficient == 0.0 {
            return Sum::number(self.of(coefficient));
        }
        product.sort_by(order_of_factors);
        if let [(Atom::Group(sum), exponent)] = &*product
            && *exponent == 1.0
        {
            return self.scaled(sum.clone(), coefficient);
        }
        Sum { constant: 0.0, terms: vec![(product, self.of(coefficient))] }
    }

    fn times(self, a: Sum, b: Sum) -> Sum {
        if a.terms.is_empty() {
            return self.scaled(b, a.constant);
        }
        if b.terms.is_empty() {
            return self.scaled(a, b.constant);
        }
        let ((a, mut product), (b, factors)) = (a.factored(), b.factored());
        for (atom, exponent) in factors {
            match product.iter_mut().find(|(own, _)| *own == atom) {
                Some((_, own)) => *own = self.of(*own + exponent),
                None => product.push((atom, exponent)),
            }
        }
        self.product(a * b, product)
    }

    fn power(self, sum: Sum, exponent: f64) -> Sum {
        let exponent = self.of(exponent);
        if sum.terms.is_empty() {
            return Sum::number(self.of(Op::Pow.apply(Semantics::Ieee, sum.constant, exponent)));
        }
        let (coefficient, product) = sum.factored();
        let is_whole = exponent.fract() == 0.0;
        // A root of a square is a magnitude, so only first powers may have their roots taken one by one.
        if is_whole || (coefficient > 0.0 && matches!(&*product, [(_, own)] if *own == 1.0)) {
            let product = product.into_iter().map(|(atom, own)| (atom, self.of(own * exponent))).collect();
            return self.product(Op::Pow.apply(Semantics::Ieee, coefficient, exponent), product);
        }
        let inner = Sum { constant: 0.0, terms: vec![(product, coefficient)] };
        Sum::atom(Atom::Group(inner), exponent)
    }
}

/// Compares factors, by atom and then exponent. The order is total, NaN included: sorting may panic with any other.
fn order_of_factors((a, a_exponent): &(Atom, f64), (b, b_exponent): &(Atom, f64)) -> Ordering {
    a.order(b).then_with(|| a_exponent.total_cmp(b_exponent))
}

/// Compares terms, by product and then coefficient.
fn order_of_terms((a, a_coefficient): &(Product, f64), (b, b_coefficient): &(Product, f64)) -> Ordering {
    order_of_lists(a, b, order_of_factors).then_with(|| a_coefficient.total_cmp(b_coefficient))
}

/// Compares lists by their first elements that differ, then by length.
fn order_of_lists<T>(a: &[T], b: &[T], order: fn(&T, &T) -> Ordering) -> Ordering {
    let first = a.iter().zip(b).map(|(a, b)| order(a, b)).find(|order| order.is_ne());
    first.unwrap_or_else(|| a.len().cmp(&b.len()))
}

impl Sum {
    fn number(value: f64) -> Self {
        Sum { constant: value, terms: Vec::new() }
    }

    fn atom(atom: Atom, exponent: f64) -> Self {
        Sum { constant: 0.0, terms: vec![(vec![(atom, exponent)], 1.0)] }
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

    fn order(&self, other: &Sum) -> Ordering {
        let constants = self.constant.total_cmp(&other.constant);
        constants.then_with(|| order_of_lists(&self.terms, &other.terms, order_of_terms))
    }

    /// Returns how many sums are in each other below this one.
    fn nesting(&self) -> usize {
        let atoms = self.terms.iter().flat_map(|(product, _)| product).map(|(atom, _)| atom);
        atoms.map(Atom::nesting).max().unwrap_or(0)
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
    fn order(&self, other: &Atom) -> Ordering {
        match (self, other) {
            (Atom::Variable(a), Atom::Variable(b)) => a.cmp(b),
            (Atom::Call(op, operands), Atom::Call(other, others)) => {
                op.cmp(other).then_with(|| order_of_lists(operands, others, Sum::order))
            }
            (Atom::Group(a), Atom::Group(b)) => a.order(b),
            _ => self.kind().cmp(&other.kind()),
        }
    }

    fn kind(&self) -> u8 {
        match self {
            Atom::Variable(_) => 0,
            Atom::Call(..) => 1,
            Atom::Group(_) => 2,
        }
    }

    fn nesting(&self) -> usize {
        match self {
            Atom::Variable(_) => 0,
            Atom::Call(_, operands) => 1 + operands.iter().map(Sum::nesting).max().unwrap_or(0),
            Atom::Group(sum) => 1 + sum.nesting(),
        }
    }

    fn size(&self) -> usize {
        match self {
            Atom::Variable(_) => 1,
            Atom::Call(_, operands) => 1 + operands.iter().map(Sum::size).sum::<usize>(),
            Atom::Group(sum) => sum.size(),
        }
    }
}

/// Writes sums with some operators.
struct Writer<'a> {
    ops: &'a [Op],
}

impl Writer<'_> {
    fn has(&self, op: Op) -> bool {
        self.ops.contains(&op)
    }

    fn unary(&self, op: Op, a: &Expr) -> Option<Expr> {
        (self.has(op) && a.size() < MAX_WRITTEN).then(|| Expr::unary(op, a))
    }

    fn binary(&self, op: Op, a: &Expr, b: &Expr) -> Option<Expr> {
        (self.has(op) && a.size() + b.size() < MAX_WRITTEN).then(|| Expr::binary(op, a, b))
    }

    fn number(value: f64) -> Option<Expr> {
        value.is_finite().then(|| Expr::constant(value))
    }

    /// The positive terms first, so that the others can be subtracted.
    fn sum(&self, sum: &Sum) -> Option<Expr> {
        let is_negative = |coefficient: f64| coefficient < 0.0;
        let mut written: Option<Expr> = None;
        let is_first = sum.constant > 0.0 || sum.terms.iter().all(|(_, coefficient)| is_negative(*coefficient));
        if sum.terms.is_empty() || (is_first && sum.constant != 0.0) {
            written = Some(Self::number(sum.constant)?);
        }
        for (product, coefficient) in sum.terms.iter().filter(|(_, coefficient)| !is_negative(*coefficient)) {
            let term = self.term(product, *coefficient)?;
            written = Some(match written {
                None => term,
                Some(before) => self.binary(Op::Add, &before, &term)?,
            });
        }
        for (product, coefficient) in sum.terms.iter().filter(|(_, coefficient)| is_negative(*coefficient)) {
            written = Some(match written {
                // The coefficient carries the sign; one of −1 is a minus. No term is written twice: what is nested in it
                // would be written so often as there are ways through all of them.
                None if *coefficient == -1.0 && self.has(Op::Neg) => self.unary(Op::Neg, &self.term(product, 1.0)?)?,
                None => self.term(product, *coefficient)?,
                Some(before) if self.has(Op::Sub) => {
                    self.binary(Op::Sub, &before, &self.term(product, -coefficient)?)?
                }
                Some(before) => self.binary(Op::Add, &before, &self.term(product, *coefficient)?)?,
            });
        }
        match written {
            Some(before) if sum.constant < 0.0 && !is_first => {
                let difference = self.binary(Op::Sub, &before, &Self::number(-sum.constant)?);
                difference.or_else(|| self.binary(Op::Add, &before, &Self::number(sum.constant)?))
            }
            other => other,
        }
    }

    /// A coefficient times a product of powers. A coefficient other than 1 is written.
    fn term(&self, product: &Product, coefficient: f64) -> Option<Expr> {
        let mut above = if coefficient == 1.0 { None } else { Some(Self::number(coefficient)?) };
        let mut below: Option<Expr> = None;
        for (atom, exponent) in product {
            let power = self.power(atom, exponent.abs())?;
            let side = if *exponent > 0.0 { &mut above } else { &mut below };
            *side = Some(match side.take() {
                None => power,
                Some(before) => self.binary(Op::Mul, &before, &power)?,
            });
        }
        match (above, below) {
            (None, None) => Self::number(1.0),
            (Some(above), None) => Some(above),
            (None, Some(below)) => {
                self.unary(Op::Inv, &below).or_else(|| self.binary(Op::Div, &Expr::constant(1.0), &below))
            }
            (Some(above), Some(below)) => self
                .binary(Op::Div, &above, &below)
                .or_else(|| self.binary(Op::Mul, &above, &self.unary(Op::Inv, &below)?)),
        }
    }

    /// A positive power.
    fn power(&self, atom: &Atom, exponent: f64) -> Option<Expr> {
        let base = match atom {
            Atom::Variable(index) => Expr::var(*index),
            Atom::Call(op, operands) => match &**operands {
                [a] => self.unary(*op, &self.sum(a)?)?,
                [a, b] => self.binary(*op, &self.sum(a)?, &self.sum(b)?)?,
                _ => return None,
            },
            Atom::Group(sum) => self.sum(sum)?,
        };
        // What costs no more nodes than a general power comes before it, and what costs more after it.
        match exponent {
            1.0 | 2.0 | 3.0 | 4.0 | 6.0 => self.whole_power(&base, exponent),
            0.5 => self.unary(Op::Sqrt, &base),
            _ => None,
        }
        .or_else(|| self.binary(Op::Pow, &base, &Self::number(exponent)?))
        .or_else(|| match exponent.fract() {
            0.0 => self.whole_power(&base, exponent),
            0.5 if exponent > 1.0 => {
                let root = self.unary(Op::Sqrt, &base)?;
                self.binary(Op::Mul, &self.whole_power(&base, exponent.floor())?, &root)
            }
            _ => None,
        })
    }

    fn whole_power(&self, base: &Expr, exponent: f64) -> Option<Expr> {
        let square = |base: &Expr| self.unary(Op::Pow2, base).or_else(|| self.binary(Op::Mul, base, base));
        match exponent {
            1.0 => Some(base.clone()),
            2.0 => square(base),
            3.0 => self.unary(Op::Pow3, base).or_else(|| self.binary(Op::Mul, &square(base)?, base)),
            4.0 => square(&square(base)?),
            6.0 => square(&self.whole_power(base, 3.0)?),
            5.0 | 7.0 | 8.0 => {
                let rest = self.whole_power(base, exponent - 4.0)?;
                self.binary(Op::Mul, &self.whole_power(base, 4.0)?, &rest)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of(text: &str) -> usize {
        let tree: Expr = text.parse().unwrap_or_else(|error| panic!("{error}"));
        Simplified::new(&tree, 1e-7).expect("a small tree").size()
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
            let tree: Expr = text.parse().expect("a formula");
            assert_eq!(Simplified::new(&tree, 1e-7).expect("a small tree").n_constants(), n, "{text}");
        }
    }

    #[test]
    fn numbers_alone_are_one_node() {
        assert_eq!(size_of("sin(1) + 2*3"), 1);
        assert_eq!(size_of("0*x0"), 1);
    }

    /// Returns `open` around `inner` so many times.
    fn nested(open: &str, inner: &str, close: &str, times: usize) -> Expr {
        let text = format!("{}{inner}{}", open.repeat(times), close.repeat(times));
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn powers_in_each_other_are_not_written_out() {
        // Without an operator for it, each square has its base twice: 2^n copies of the innermost.
        let products = [Op::Add, Op::Mul];
        let of = |times| Simplified::new(&nested("pow2(1 + ", "x0", ")", times), 0.0).expect("not too deep");
        assert_eq!(of(3).write(&products).map(|written| written.size()), Some(43));
        assert_eq!(of(100).write(&products), None);
        assert_eq!(of(100).write(Op::ALL).map(|written| written.size()), Some(301));
    }

    #[test]
    fn no_term_is_written_twice() {
        // Each of a hundred minus signs would double the work, where there is no operator for it.
        let (negative, difference) = (nested("sin(-", "x0", ")", 100), nested("sin(1 - ", "x0", ")", 100));
        for (tree, size) in [(negative, 301), (difference, 501)] {
            let written = Simplified::new(&tree, 0.0).and_then(|tree| tree.write(&[Op::Add, Op::Mul, Op::Sin]));
            assert_eq!(written.map(|written| written.size()), Some(size));
        }
    }

    #[test]
    fn what_is_nested_deeply_is_left_alone() {
        for (open, close) in [("sin(", ")"), ("exp(1 + ", ")"), ("(1 + x1*", ")"), ("pow(x1, ", ")"), ("1/(x1 + ", ")")]
        {
            assert!(Simplified::new(&nested(open, "x0", close, 195), 0.0).is_some(), "{open}");
            assert!(Simplified::new(&nested(open, "x0", close, 399), 0.0).is_none(), "{open}");
        }
        // Long sums and products are not deep.
        for (open, size) in [("x0 + ", 3), ("x0*", 3), ("x0/", 4), ("-(", 1)] {
            let simplified = Simplified::new(&nested(open, "x0", if open == "-(" { ")" } else { "" }, 900), 0.0);
            assert_eq!(simplified.map(|tree| tree.size()), Some(size), "{open}");
        }
    }

    #[test]
    fn terms_with_nan_have_an_order() {
        // With any other order than a total one, sorting may panic from 21 elements on.
        let term =
            |index: usize| format!("{}(nan + {}*x{})", ["sin", "cos", "exp"][index % 3], index * 7 % 11, index % 5);
        let sum = (0..60).map(term).collect::<Vec<_>>().join(" + ");
        let product = (0..60).map(term).collect::<Vec<_>>().join("*");
        for text in [sum, product] {
            let tree: Expr = text.parse().expect("a formula");
            assert!(Simplified::new(&tree, 1e-7).is_some());
        }
    }

    #[test]
    fn what_is_written_has_the_values_of_the_tree_and_no_other_operator() {
        use crate::reference::eval_row;
        let all: Vec<Op> = Op::ALL.to_vec();
        let few = vec![Op::Add, Op::Mul, Op::Div, Op::Sqrt, Op::Sin, Op::Exp];
        let texts = [
            "x0 - x1*2.0 + 3.0*x1 - 1.0",
            "(x0 + x1)*(x0 + x1)/(x0 + x1)*x1",
            "x0*sqrt(x0)*x1/x1/x1",
            "sin(x0 + x0)*sin(2.0*x0) + 0.5 - 2.0",
            "2.0/(x0*x1*3.0)",
            "exp(x0 - x0 + x1)*1.0",
            "x0*x0*x0*x0*x0*x1*x1*x1",
            "(x0*2.0 + x1*4.0)*0.5",
            "sqrt(4.0*x0)",
            "-1.0*x0*x1 - 2.0",
            "0.0*x0",
        ];
        for text in texts {
            let tree: Expr = text.parse().expect(text);
            let simplified = Simplified::new(&tree, 0.0).expect("a small tree");
            for ops in [&all, &few] {
                let written = simplified.write(ops).unwrap_or_else(|| panic!("{text}"));
                let is_there = |node: &Node| !matches!(node, Node::Op(op) if !ops.contains(op));
                assert!(written.nodes().iter().all(is_there), "{text}: {written}");
                for point in [[0.7, 1.9], [3.1, 0.2]] {
                    let [a, b] = [&tree, &written].map(|tree| eval_row(tree, &point, Semantics::Ieee));
                    assert!((a - b).abs() <= 1e-12 * a.abs().max(1.0), "{text}: {written}, {a} and {b}");
                }
            }
            assert_eq!(simplified.write(&all).expect(text).size(), simplified.size(), "{text}");
        }
        let root: Expr = "x0^2.5".parse().expect("a power");
        assert_eq!(Simplified::new(&root, 0.0).and_then(|root| root.write(&few[..3])), None);
    }
}
