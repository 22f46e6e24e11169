//! Functions around a law: y = m · g⁻¹(u), where g is a chain of inverse operators and m a monomial of the variables.
//!
//! A search that computes g(y / m) for many g and m once needs to find u alone, which is smaller than y's formula by all
//! the operators of g⁻¹ and m.

use sr_expr::{Expr, Op};

use crate::build::{Builder, Factor};
use crate::prepare::Prepared;

/// The most steps of a chain.
const MAX_STEPS: usize = 3;

/// A step of g, applied to values of y.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// v ↦ 1/v, undone by itself
    Inverse,
    /// v ↦ v², undone by a root; v has one sign
    Square,
    /// v ↦ √v, undone by a square
    Root,
    /// v ↦ ln v, undone by exp
    Log,
    /// v ↦ eᵛ, undone by log
    Exp,
    /// v ↦ v + 1, undone by − 1
    Increment,
    /// v ↦ v − 1, undone by + 1
    Decrement,
    /// v ↦ 1 − v, undone by itself
    Complement,
    /// v ↦ asin v, undone by sin
    Asin,
    /// v ↦ acos v, undone by cos
    Acos,
    /// v ↦ atan v, undone by tan
    Atan,
    /// v ↦ artanh v, undone by tanh
    Artanh,
    /// v ↦ sin v, undone by asin
    Sin,
    /// v ↦ cos v, undone by acos
    Cos,
    /// v ↦ tan v, undone by atan
    Tan,
}

impl Step {
    const ALL: [Step; 15] = {
        use Step::*;
        [Inverse, Square, Root, Log, Exp, Increment, Decrement, Complement, Asin, Acos, Atan, Artanh, Sin, Cos, Tan]
    };

    /// Computes the step. What it cannot undo, such as a square of mixed signs, is NaN.
    fn apply(self, values: &mut [f64]) {
        let is_negative = values.iter().all(|v| *v < 0.0);
        let map = |values: &mut [f64], f: &dyn Fn(f64) -> f64| values.iter_mut().for_each(|v| *v = f(*v));
        match self {
            Step::Inverse => map(values, &|v| 1.0 / v),
            Step::Square if !is_negative => map(values, &|v| if v < 0.0 { f64::NAN } else { v * v }),
            Step::Square => map(values, &|v| v * v),
            Step::Root => map(values, &f64::sqrt),
            Step::Log => map(values, &log),
            Step::Exp => map(values, &|v| Op::Exp.apply(sr_expr::Semantics::Ieee, v, 0.0)),
            Step::Increment => map(values, &|v| v + 1.0),
            Step::Decrement => map(values, &|v| v - 1.0),
            Step::Complement => map(values, &|v| 1.0 - v),
            Step::Asin => map(values, &|v| Op::Asin.apply(sr_expr::Semantics::Ieee, v, 0.0)),
            Step::Acos => map(values, &|v| Op::Acos.apply(sr_expr::Semantics::Ieee, v, 0.0)),
            Step::Atan => map(values, &|v| Op::Atan.apply(sr_expr::Semantics::Ieee, v, 0.0)),
            Step::Artanh => map(values, &|v| 0.5 * log((1.0 + v) / (1.0 - v))),
            // Their inverses give values of one branch only.
            Step::Sin => {
                map(values, &|v| within(Op::Sin, v, -std::f64::consts::FRAC_PI_2..=std::f64::consts::FRAC_PI_2))
            }
            Step::Cos => map(values, &|v| within(Op::Cos, v, 0.0..=std::f64::consts::PI)),
            Step::Tan => {
                map(values, &|v| within(Op::Tan, v, -std::f64::consts::FRAC_PI_2..=std::f64::consts::FRAC_PI_2))
            }
        }
    }

    /// Returns the operator that undoes the step, where it is one operator.
    fn undone_by(self) -> Option<Op> {
        match self {
            Step::Log => Some(Op::Exp),
            Step::Exp => Some(Op::Log),
            Step::Asin => Some(Op::Sin),
            Step::Acos => Some(Op::Cos),
            Step::Atan => Some(Op::Tan),
            Step::Artanh => Some(Op::Tanh),
            Step::Sin => Some(Op::Asin),
            Step::Cos => Some(Op::Acos),
            Step::Tan => Some(Op::Atan),
            _ => None,
        }
    }

    /// Returns whether an affine function follows or precedes such a step as well as not.
    fn is_affine(self) -> bool {
        matches!(self, Step::Increment | Step::Decrement | Step::Complement)
    }

    /// Returns whether a power follows such a step as well as not.
    fn is_power(self) -> bool {
        matches!(self, Step::Inverse | Step::Square | Step::Root)
    }
}

fn log(v: f64) -> f64 {
    Op::Log.apply(sr_expr::Semantics::Ieee, v, 0.0)
}

/// Returns ln |v|.
pub(crate) fn log_magnitude(v: f64) -> f64 {
    log(v.abs())
}

fn within(op: Op, v: f64, range: std::ops::RangeInclusive<f64>) -> f64 {
    if range.contains(&v) { op.apply(sr_expr::Semantics::Ieee, v, 0.0) } else { f64::NAN }
}

/// A chain of steps, the first one applied to y / m.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Chain(pub(crate) Vec<Step>);

impl Chain {
    /// Returns the chains that the operators can undo, shorter ones first, without those that are shorter otherwise.
    pub(crate) fn all(builder: &Builder) -> Vec<Chain> {
        let can_undo = |step: Step| match step {
            Step::Inverse => builder.product(1.0, &[(Expr::var(0), -1.0)]).is_some(),
            Step::Square => builder.product(1.0, &[(Expr::var(0), 0.5)]).is_some(),
            Step::Root => builder.product(1.0, &[(Expr::var(0), 2.0)]).is_some(),
            Step::Increment | Step::Decrement | Step::Complement => builder.has(Op::Add) || builder.has(Op::Sub),
            other => other.undone_by().is_some_and(|op| builder.has(op)),
        };
        let steps: Vec<Step> = Step::ALL.into_iter().filter(|&step| can_undo(step)).collect();
        let mut chains = vec![Chain::default()];
        let mut from = 0;
        for _ in 0..MAX_STEPS {
            let to = chains.len();
            for index in from..to {
                for &step in &steps {
                    let mut longer = chains[index].clone();
                    longer.0.push(step);
                    if longer.is_reduced() {
                        chains.push(longer);
                    }
                }
            }
            from = to;
        }
        chains
    }

    /// Returns whether no two neighbouring steps undo each other, commute or make one step.
    fn is_reduced(&self) -> bool {
        use Step::*;
        self.0.windows(2).all(|pair| match (pair[0], pair[1]) {
            (a, b) if a.is_affine() && b.is_affine() => false,
            (Square | Root, Inverse) | (Square, Square | Root) | (Root, Square | Root) | (Inverse, Inverse) => false,
            (Log, Exp) | (Exp, Log) | (Log, Log) | (Exp, Exp) => false,
            // log(v²), log(1/v): multiples of log v. eᵛ to a power, and eᵛ⁺¹ are multiples in the argument.
            (Inverse | Square | Root, Log)
            | (Exp, Inverse | Square | Root)
            | (Increment | Decrement | Complement, Exp) => false,
            (a, b) => {
                let is_angle = |s| matches!(s, Asin | Acos | Atan | Artanh | Sin | Cos | Tan);
                !(is_angle(a) && is_angle(b))
            }
        }) && self.0.iter().filter(|step| !step.is_affine() && !step.is_power()).count() <= 1
    }

    /// Returns whether u = a + Σ … of this chain is not the same law as with a shorter one.
    pub(crate) fn is_linear(&self) -> bool {
        self.0.last().is_none_or(|step| !step.is_affine())
    }

    /// Returns whether u = c · Π … of this chain is not the same law as with a shorter one.
    pub(crate) fn is_product(&self) -> bool {
        self.0.last().is_none_or(|step| !step.is_power())
    }

    /// Applies the chain to values and returns whether all of them stay finite.
    pub(crate) fn apply(&self, values: &mut [f64]) -> bool {
        for (index, step) in self.0.iter().enumerate() {
            // The root of a square needs the sign, which is known of the first step's values only, that of y / m.
            if *step == Step::Square && index > 0 && values[0] < 0.0 {
                return false;
            }
            step.apply(values);
            if !values.iter().all(|v| v.is_finite()) {
                return false;
            }
        }
        true
    }
}

/// The function g(y / m) whose values a stage looks for.
#[derive(Debug, Clone)]
pub(crate) struct Outer {
    pub(crate) chain: Chain,
    /// The factors of m, expressions in raw units with their exponents.
    pub(crate) factors: Vec<Factor>,
}

/// Values of g(y / m).
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// The chain, an index of the list that the target was made of.
    pub(crate) chain: usize,
    /// The monomial, an index likewise.
    pub(crate) monomial: usize,
    /// The values at the fitted rows.
    pub(crate) values: Vec<f64>,
}

/// Returns exponents of monomials of `n` variables with Σ|e| up to `max_degree`, |e| up to `max_exponent`, sorted by
/// Σ|e| and then by the number of negative exponents, at most `limit` of them. The first one is the constant.
pub(crate) fn monomials(n: usize, max_degree: u32, max_exponent: i32, is_signed: bool, limit: usize) -> Vec<Vec<i32>> {
    let mut all = vec![vec![0; n]];
    let mut shell: Vec<Vec<i32>> = all.clone();
    for _ in 0..max_degree {
        let mut next: Vec<Vec<i32>> = Vec::new();
        for exponents in &shell {
            // Raising the last variable in use, or one behind it, makes every monomial once.
            let first = exponents.iter().rposition(|&e| e != 0).unwrap_or(0);
            for index in first..n {
                for sign in [1_i32, -1] {
                    let e: i32 = exponents[index];
                    let is_allowed = (sign > 0 || is_signed) && e * sign >= 0 && e.abs() < max_exponent;
                    if is_allowed {
                        let mut longer = exponents.clone();
                        longer[index] += sign;
                        next.push(longer);
                    }
                }
            }
        }
        next.sort_by_key(|e| e.iter().filter(|&&e| e < 0).count());
        // A shell is whole or not there, but for the one that reaches the limit.
        next.truncate(limit.saturating_sub(all.len()));
        all.extend(next.iter().cloned());
        shell = next;
        if all.len() >= limit {
            break;
        }
    }
    all
}

/// Returns the monomials that targets are divided by: with negative exponents unless there are too many variables.
pub(crate) fn monomials_of(data: &Prepared, max_degree: u32, limit: usize) -> Vec<Vec<i32>> {
    let has_no_zero = data.fit_x.iter().flatten().all(|x| *x != 0.0);
    let n = data.n_used();
    if !has_no_zero {
        return vec![vec![0; n]];
    }
    monomials(n, max_degree, 4, true, limit)
}

/// Returns the values of a monomial of columns, `[rows]`.
pub(crate) fn monomial_values(exponents: &[i32], columns: &[Vec<f64>], rows: usize) -> Vec<f64> {
    let mut values = vec![1.0; rows];
    for (&e, column) in exponents.iter().zip(columns).filter(|(e, _)| **e != 0) {
        values.iter_mut().zip(column).for_each(|(v, x)| *v *= whole_power(*x, e));
    }
    values
}

/// Returns a monomial as factors in raw units.
pub(crate) fn monomial_factors(data: &Prepared, exponents: &[i32]) -> Vec<Factor> {
    let used = exponents.iter().enumerate().filter(|(_, e)| **e != 0);
    used.map(|(index, &e)| (data.variable(index), f64::from(e))).collect()
}

/// Computes the targets g(y / m) that are finite and not constant, for all chains and monomials, simple ones first.
pub(crate) fn targets(data: &Prepared, chains: &[Chain], monomials: &[Vec<i32>], limit: usize) -> Vec<Target> {
    let rows = data.fit.len();
    let mut pairs: Vec<(usize, usize)> =
        (0..chains.len()).flat_map(|chain| (0..monomials.len()).map(move |monomial| (chain, monomial))).collect();
    let cost = |&(chain, monomial): &(usize, usize)| {
        chains[chain].0.len() as i32 + monomials[monomial].iter().map(|e| e.abs()).sum::<i32>()
    };
    pairs.sort_by_key(cost);
    let mut quotients: Vec<Option<Vec<f64>>> = vec![None; monomials.len()];
    let mut found = Vec::new();
    for (chain, monomial) in pairs {
        if found.len() == limit {
            break;
        }
        let quotient = quotients[monomial].get_or_insert_with(|| {
            let m = monomial_values(&monomials[monomial], &data.fit_x, rows);
            data.fit_y.iter().zip(m).map(|(y, m)| y / m).collect()
        });
        let mut values = quotient.clone();
        if values.iter().all(|v| v.is_finite()) && chains[chain].apply(&mut values) {
            found.push(Target { chain, monomial, values });
        }
    }
    found
}

impl Outer {
    /// Returns g(y / m) for columns of y and m's factors, given the factors' values.
    pub(crate) fn values(&self, y: &[f64], factors: &[Vec<f64>]) -> Option<Vec<f64>> {
        let mut values = y.to_vec();
        for ((_, p), factor) in self.factors.iter().zip(factors) {
            values.iter_mut().zip(factor).for_each(|(v, f)| *v /= power(*f, *p));
        }
        (values.iter().all(|v| v.is_finite()) && self.chain.apply(&mut values)).then_some(values)
    }

    /// Returns m · g⁻¹(Σ cᵢ · termᵢ), or `None` if the operators cannot express it. `sign` is that of y / m where it
    /// was squared.
    pub(crate) fn undo(&self, builder: &Builder, terms: &[(f64, Vec<Factor>)], is_negative: bool) -> Option<Expr> {
        let terms = &*builder.with_squares(terms.to_vec());
        // The value so far is c · Π fᵖ: powers are merged into it, anything else makes it one expression.
        let (mut c, mut factors) = match terms {
            [(c, factors)] => (*c, factors.clone()),
            _ => {
                // A common coefficient is written once.
                let common = terms.first().map_or(1.0, |(c, _)| c.abs());
                match terms.iter().all(|(c, _)| c.abs() == common) {
                    true => {
                        let terms: Vec<_> = terms.iter().map(|(c, f)| (c.signum(), f.clone())).collect();
                        (common, vec![(builder.sum(&terms)?, 1.0)])
                    }
                    false => (1.0, vec![(builder.sum(terms)?, 1.0)]),
                }
            }
        };
        let one = Expr::constant(1.0);
        for (index, step) in self.chain.0.iter().enumerate().rev() {
            let p: f64 = match step {
                Step::Inverse => -1.0,
                Step::Square => 0.5,
                Step::Root => 2.0,
                _ => {
                    let inner = builder.product(c, &factors)?;
                    let whole = match step {
                        Step::Decrement => builder.sum(&[(1.0, vec![(inner, 1.0)]), (1.0, vec![])])?,
                        Step::Increment => builder.sum(&[(1.0, vec![(inner, 1.0)]), (-1.0, vec![])])?,
                        Step::Complement => builder
                            .binary(Op::Sub, &one, &inner)
                            .or_else(|| builder.sum(&[(-1.0, vec![(inner, 1.0)]), (1.0, vec![])]))?,
                        other => builder.unary(other.undone_by()?, &inner)?,
                    };
                    (c, factors) = (1.0, vec![(whole, 1.0)]);
                    continue;
                }
            };
            if c < 0.0 && p.fract() != 0.0 {
                // The root of a product with a negative constant: the other factors make it positive.
                factors = vec![(builder.product(c, &factors)?, 1.0)];
                c = 1.0;
            }
            c = power(c, p);
            // A power of a power of a variable with mixed signs is no product of exponents, so the inner one stays.
            factors = match p.fract() == 0.0 || factors.iter().all(|(_, inner)| inner.abs() == 1.0) {
                true => factors.into_iter().map(|(f, inner)| (f, inner * p)).collect(),
                false => vec![(builder.product(1.0, &factors)?, p)],
            };
            if *step == Step::Square && index == 0 && is_negative {
                c = -c;
            }
        }
        factors.splice(0..0, self.factors.iter().cloned());
        builder.product(c, &factors)
    }
}

/// Returns vⁿ by repeated products, whose rounding is the same on every machine.
fn whole_power(v: f64, n: i32) -> f64 {
    let product = (0..n.unsigned_abs()).fold(1.0, |product, _| product * v);
    if n < 0 { 1.0 / product } else { product }
}

/// Returns vᵖ, by whole powers where p is one.
pub(crate) fn power(v: f64, p: f64) -> f64 {
    match p {
        0.5 => v.sqrt(),
        -0.5 => 1.0 / v.sqrt(),
        _ if p.fract() == 0.0 && p.abs() <= 64.0 => whole_power(v, p as i32),
        _ => Op::Pow.apply(sr_expr::Semantics::Ieee, v, p),
    }
}

#[cfg(test)]
mod tests {
    use sr_expr::{Columns, Semantics, predict};

    use super::*;

    #[test]
    fn every_chain_is_undone() {
        let builder = Builder::new(Op::ALL);
        let chains = Chain::all(&builder);
        assert!(chains.len() > 50, "{}", chains.len());
        let y: Vec<f64> = (1..30).map(|i| 0.03 * f64::from(i)).collect();
        let mut n_applied = 0;
        for chain in &chains {
            let mut u = y.clone();
            if !chain.apply(&mut u) {
                continue;
            }
            n_applied += 1;
            let outer = Outer { chain: chain.clone(), factors: vec![(Expr::var(1), 1.0)] };
            let expr = outer.undo(&builder, &[(1.0, vec![(Expr::var(0), 1.0)])], false).expect("all operators");
            let columns = Columns::from_fn(u.len(), 2, |row, column| if column == 0 { u[row] } else { 2.0 });
            for (got, want) in predict(&expr, &columns, Semantics::Ieee).iter().zip(&y) {
                assert!((got - 2.0 * want).abs() < 1e-9, "{chain:?}: {expr} is {got} for {want}");
            }
        }
        assert!(n_applied > 40, "{n_applied}");
    }

    #[test]
    fn monomials_come_by_degree_and_once() {
        let all = monomials(3, 3, 2, true, usize::MAX);
        let mut sorted = all.clone();
        sorted.sort();
        sorted.dedup();
        assert_eq!(sorted.len(), all.len());
        // One, 2·3 of degree 1, 18 of degree 2, and of degree 3 those with exponents up to 2.
        assert_eq!(all.len(), 1 + 6 + (6 + 12) + (8 + 24));
        assert_eq!(monomials(2, 4, 9, false, usize::MAX).len(), 15);
        assert_eq!(monomials(2, 4, 9, false, 7).len(), 7);
    }
}
