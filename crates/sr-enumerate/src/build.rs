//! Expressions of products and sums, made of the operators that a search may use.

use sr_expr::{Expr, Node, Op, Tree};

/// A factor of a product: an expression and its exponent.
pub(crate) type Factor = (Expr, f64);

/// Makes expressions of a given set of operators. What the set cannot express is `None`.
#[derive(Debug, Clone)]
pub(crate) struct Builder {
    has: [bool; 256],
}

impl Builder {
    pub(crate) fn new(operators: &[Op]) -> Self {
        let mut has = [false; 256];
        operators.iter().for_each(|&op| has[op as usize] = true);
        Builder { has }
    }

    pub(crate) fn has(&self, op: Op) -> bool {
        self.has[op as usize]
    }

    /// Applies an operator of the set.
    pub(crate) fn unary(&self, op: Op, a: &Tree) -> Option<Expr> {
        self.has(op).then(|| Expr::unary(op, a))
    }

    /// Applies an operator of the set.
    pub(crate) fn binary(&self, op: Op, a: &Tree, b: &Tree) -> Option<Expr> {
        self.has(op).then(|| Expr::binary(op, a, b))
    }

    /// Returns a / b.
    fn quotient(&self, a: &Tree, b: &Tree) -> Option<Expr> {
        let inverse = || self.binary(Op::Mul, a, &self.unary(Op::Inv, b)?);
        self.binary(Op::Div, a, b).or_else(inverse)
    }

    /// Returns 1 / a.
    fn inverse(&self, a: &Tree) -> Option<Expr> {
        self.unary(Op::Inv, a).or_else(|| self.binary(Op::Div, &Expr::constant(1.0), a))
    }

    /// Returns −a.
    pub(crate) fn negative(&self, a: &Tree) -> Option<Expr> {
        if let [.., Node::Op(Op::Sub)] = a.nodes() {
            let second = a.size() - 2;
            let first = a.subtree_start(second) - 1;
            return Some(Expr::binary(Op::Sub, a.subtree(second), a.subtree(first)));
        }
        self.unary(Op::Neg, a)
            .or_else(|| self.binary(Op::Mul, &Expr::constant(-1.0), a))
            .or_else(|| self.binary(Op::Sub, &Expr::constant(0.0), a))
    }

    /// Returns aⁿ for n ≥ 1, of squares and cubes where the set has them.
    fn whole_power(&self, a: &Tree, n: u32) -> Option<Expr> {
        let by = |op: Op, k: u32| match n.is_multiple_of(k) && self.has(op) {
            true => self.whole_power(a, n / k).map(|inner| Expr::unary(op, &inner)),
            false => None,
        };
        if n == 1 {
            return Some(a.to_owned());
        }
        let shorter = |best: Option<Expr>, other: Option<Expr>| match (best, other) {
            (Some(best), Some(other)) if other.size() < best.size() => Some(other),
            (best, other) => best.or(other),
        };
        let product = || self.binary(Op::Mul, &self.whole_power(a, n - 1)?, a);
        let power = || self.binary(Op::Pow, a, &Expr::constant(f64::from(n)));
        [by(Op::Pow3, 3), product(), power()].into_iter().fold(by(Op::Pow2, 2), shorter)
    }

    /// Returns √a.
    fn root(&self, a: &Tree) -> Option<Expr> {
        self.unary(Op::Sqrt, a).or_else(|| self.real_power(a, 0.5))
    }

    /// Returns aᵖ, by a power or by exp(p · log a).
    fn real_power(&self, a: &Tree, p: f64) -> Option<Expr> {
        let logarithm = || {
            let log = self.unary(Op::Log, a)?;
            self.unary(Op::Exp, &self.binary(Op::Mul, &Expr::constant(p), &log)?)
        };
        self.binary(Op::Pow, a, &Expr::constant(p)).or_else(logarithm)
    }

    /// Returns aᵖ for p > 0.
    fn power(&self, a: &Tree, p: f64) -> Option<Expr> {
        let whole = p.floor();
        if whole > 64.0 {
            return self.real_power(a, p);
        }
        match p - whole {
            0.0 => self.whole_power(a, whole as u32),
            0.5 if whole == 0.0 => self.root(a),
            0.5 => self.binary(Op::Mul, &self.whole_power(a, whole as u32)?, &self.root(a)?),
            _ => self.real_power(a, p),
        }
    }

    /// Returns a · b · c · … or `None` for no factors at all.
    fn chain(&self, factors: impl IntoIterator<Item = Option<Expr>>) -> Option<Option<Expr>> {
        let mut all: Option<Expr> = None;
        for factor in factors {
            let factor = factor?;
            all = Some(match all {
                None => factor,
                Some(before) => self.binary(Op::Mul, &before, &factor)?,
            });
        }
        Some(all)
    }

    /// Returns c · Π fᵖ. Equal factors are merged, and half powers share one root where that is shorter.
    pub(crate) fn product(&self, c: f64, factors: &[Factor]) -> Option<Expr> {
        let merged = merged(factors);
        let is_half = |p: f64| (2.0 * p) % 2.0 != 0.0 && (2.0 * p).fract() == 0.0;
        let halves = merged.iter().filter(|&&(_, p)| is_half(p)).count();
        if halves > 1 && self.has(Op::Sqrt) {
            // √(Π f^(2p)) if all powers are halves, otherwise the whole part stays outside.
            let inside: Vec<Factor> = match halves == merged.len() {
                true => merged.iter().map(|(f, p)| (f.clone(), 2.0 * p)).collect(),
                false => merged.iter().filter(|f| is_half(f.1)).map(|(f, p)| (f.clone(), p.signum())).collect(),
            };
            let mut outside: Vec<Factor> = Vec::new();
            if halves < merged.len() {
                let rest = |&(_, p): &Factor| if is_half(p) { p - p.signum() / 2.0 } else { p };
                outside = merged.iter().map(|f| (f.0.clone(), rest(f))).collect();
            }
            outside.push((Expr::unary(Op::Sqrt, &self.product(1.0, &inside)?), 1.0));
            return self.plain_product(c, &outside);
        }
        self.plain_product(c, &merged)
    }

    fn plain_product(&self, c: f64, factors: &[Factor]) -> Option<Expr> {
        let above = factors.iter().filter(|f| f.1 > 0.0).map(|(f, p)| self.power(f, *p));
        let below = factors.iter().filter(|f| f.1 < 0.0).map(|(f, p)| self.power(f, -p));
        let (above, below) = (self.chain(above)?, self.chain(below)?);
        match (above, below) {
            (None, None) => Some(Expr::constant(c)),
            (Some(above), None) => self.scaled(c, &above),
            (None, Some(below)) if c == 1.0 => self.inverse(&below),
            (None, Some(below)) => self.quotient(&Expr::constant(c), &below),
            (Some(above), Some(below)) => self.quotient(&self.scaled(c, &above)?, &below),
        }
    }

    /// Returns c · a.
    fn scaled(&self, c: f64, a: &Tree) -> Option<Expr> {
        match c {
            1.0 => Some(a.to_owned()),
            -1.0 => self.negative(a),
            _ => self
                .binary(Op::Mul, &Expr::constant(c), a)
                .or_else(|| self.binary(Op::Div, a, &Expr::constant(1.0 / c))),
        }
    }

    /// Merges three terms c·u², ±2·√(c·d)·u·v and d·v² into c·(u ± r·v)² as long as there are such.
    pub(crate) fn with_squares(&self, mut terms: Vec<(f64, Vec<Factor>)>) -> Vec<(f64, Vec<Factor>)> {
        while let Some(([i, j, mixed], square)) = self.square_in(&terms) {
            terms[i] = square;
            let (first, second) = (j.max(mixed), j.min(mixed));
            terms.remove(first);
            terms.remove(second);
        }
        terms
    }

    /// Finds the positions of u², v² and u · v, and the square that they make.
    #[allow(clippy::type_complexity)]
    fn square_in(&self, terms: &[(f64, Vec<Factor>)]) -> Option<([usize; 3], (f64, Vec<Factor>))> {
        let root = |factors: &[Factor]| -> Option<Vec<Factor>> {
            let is_even = factors.iter().all(|(_, p)| p % 2.0 == 0.0) && !factors.is_empty();
            is_even.then(|| factors.iter().map(|(f, p)| (f.clone(), p / 2.0)).collect())
        };
        for (i, (c, u)) in terms.iter().enumerate() {
            let Some(u) = root(u) else { continue };
            for (j, (d, v)) in terms.iter().enumerate().skip(i + 1) {
                let Some(v) = root(v).filter(|_| c * d > 0.0) else { continue };
                let both = merged(u.iter().chain(&v));
                let is_product = |factors: &[Factor]| {
                    factors.len() == both.len() && both.iter().all(|factor| factors.contains(factor))
                };
                for (mixed, (e, factors)) in terms.iter().enumerate() {
                    let ratio = (d / c).sqrt();
                    if mixed == i
                        || mixed == j
                        || !is_product(factors)
                        || (e.abs() - 2.0 * (c * ratio).abs()).abs() > 1e-14 * e.abs()
                    {
                        continue;
                    }
                    let sign = (e * c).signum();
                    let sum = self.sum(&[(1.0, u.clone()), (sign * ratio, v.clone())])?;
                    return Some(([i, j, mixed], (*c, vec![(sum, 2.0)])));
                }
            }
        }
        None
    }

    /// Returns Σ cᵢ · Π fᵖ. A term without factors is a constant. Terms with positive coefficients come first.
    pub(crate) fn sum(&self, terms: &[(f64, Vec<Factor>)]) -> Option<Expr> {
        let mut terms: Vec<_> = terms.iter().filter(|(c, _)| *c != 0.0).collect();
        terms.sort_by_key(|(c, factors)| (*c < 0.0, factors.is_empty()));
        let mut sum: Option<Expr> = None;
        for (c, factors) in terms {
            sum = Some(match sum {
                None => self.product(*c, factors)?,
                Some(before) if *c < 0.0 && self.has(Op::Sub) => {
                    Expr::binary(Op::Sub, &before, &self.product(-c, factors)?)
                }
                Some(before) => self.binary(Op::Add, &before, &self.product(*c, factors)?)?,
            });
        }
        Some(sum.unwrap_or_else(|| Expr::constant(0.0)))
    }
}

/// Returns a product in which every factor occurs once.
fn merged<'a>(factors: impl IntoIterator<Item = &'a Factor>) -> Vec<Factor> {
    let mut merged: Vec<Factor> = Vec::new();
    for (f, p) in factors {
        match merged.iter_mut().find(|(other, _)| other == f) {
            Some((_, sum)) => *sum += p,
            None => merged.push((f.clone(), *p)),
        }
    }
    merged.retain(|&(_, p)| p != 0.0);
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built(operators: &str, c: f64, factors: &[(&str, f64)]) -> Option<String> {
        let operators: Vec<Op> = operators.split(' ').map(|name| Op::from_name(name).expect(name)).collect();
        let factors: Vec<Factor> = factors.iter().map(|(f, p)| (f.parse().expect("a factor"), *p)).collect();
        Builder::new(&operators).product(c, &factors).map(|expr| expr.to_string())
    }

    #[test]
    fn powers_are_made_of_what_there_is() {
        let all = "+ - * / sqrt pow2 pow3 inv";
        assert_eq!(built(all, 1.0, &[("x0", 2.0), ("x1", -3.0)]).as_deref(), Some("(pow2(x0) / pow3(x1))"));
        assert_eq!(built(all, 1.0, &[("x0", 4.0)]).as_deref(), Some("pow2(pow2(x0))"));
        assert_eq!(built("*", 1.0, &[("x0", 3.0)]).as_deref(), Some("((x0 * x0) * x0)"));
        assert_eq!(built("*", 1.0, &[("x0", -1.0)]), None);
        assert_eq!(built("* log exp", 1.0, &[("x0", 0.5)]).as_deref(), Some("exp((0.5 * log(x0)))"));
        assert_eq!(built(all, 2.0, &[("x0", 1.0), ("x0", 0.5)]).as_deref(), Some("(2.0 * (x0 * sqrt(x0)))"));
        assert_eq!(built(all, 1.0, &[("x0", -1.0)]).as_deref(), Some("inv(x0)"));
        assert_eq!(built(all, 1.0, &[("x0", 1.0 / 3.0)]), None);
    }

    #[test]
    fn half_powers_share_a_root() {
        let all = "+ - * / sqrt pow2";
        let whole = built(all, 1.0, &[("x0", 0.5), ("x1", 0.5), ("x2", -0.5)]);
        assert_eq!(whole.as_deref(), Some("sqrt(((x0 * x1) / x2))"));
        let part = built(all, 3.0, &[("x0", 1.0), ("x1", 0.5), ("x2", -0.5)]);
        assert_eq!(part.as_deref(), Some("(3.0 * (x0 * sqrt((x1 / x2))))"));
    }

    #[test]
    fn squares_are_completed() {
        let builder = Builder::new(&[Op::Add, Op::Sub, Op::Mul, Op::Pow2]);
        let x = |index, p| (Expr::var(index), p);
        let terms = vec![
            (3.0, vec![x(0, 2.0)]),
            (-12.0, vec![x(1, 1.0), x(0, 1.0)]),
            (1.0, vec![x(2, 1.0)]),
            (12.0, vec![x(1, 2.0)]),
        ];
        let text = builder.sum(&builder.with_squares(terms)).map(|expr| expr.to_string());
        assert_eq!(text.as_deref(), Some("((3.0 * pow2((x0 - (2.0 * x1)))) + x2)"));
    }

    #[test]
    fn sums_subtract_where_they_can() {
        let builder = |ops: &[Op]| Builder::new(ops);
        let x = |index| vec![(Expr::var(index), 1.0)];
        let terms = [(-1.0, vec![]), (2.0, x(0)), (-1.0, x(1))];
        let text = |ops: &[Op]| builder(ops).sum(&terms).map(|expr| expr.to_string());
        assert_eq!(text(&[Op::Add, Op::Sub, Op::Mul]).as_deref(), Some("(((2.0 * x0) - x1) - 1.0)"));
        assert_eq!(text(&[Op::Add, Op::Mul]).as_deref(), Some("(((2.0 * x0) + (-1.0 * x1)) + -1.0)"));
        assert_eq!(text(&[Op::Sub]), None);
    }
}
