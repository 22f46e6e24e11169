//! Which formula of the front is told first.

use std::collections::BTreeSet;

use sr_expr::{Node, Tree};
use strum::IntoStaticStr;

use super::FrontFormula;
use super::rows::Rows;

/// Formulas whose error on rows that were held out is within this factor of the least are as good there.
pub(super) const AS_GOOD: f64 = 1.5;
/// Errors below this, relative to the root of the variance of y, are rounding.
pub(super) const ROUNDING: f64 = 1e-12;

/// Why a formula was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Reason {
    /// It is exact on all rows, and no smaller one is.
    Exact,
    /// It has the shortest description: that of the formula and that of what it leaves of y (Rissanen, 1978).
    DescriptionLength,
    /// Likewise, among formulas whose error on rows that were held out is at most 1.5 times the least.
    HeldOut,
}

impl Reason {
    /// Returns the name that JSON uses.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Returns the reason in words.
    pub fn in_words(self) -> &'static str {
        match self {
            Reason::Exact => "the smallest that is exact on all rows",
            Reason::DescriptionLength => "the shortest description of formula and errors together",
            Reason::HeldOut => "the shortest description among those as good on the rows that were held out",
        }
    }
}

/// The index of the chosen formula, of at least one.
pub(super) fn choose(front: &[FrontFormula], rows: &Rows) -> (usize, Reason) {
    if let Some(exact) = front.iter().position(|formula| formula.is_exact) {
        return (exact, Reason::Exact);
    }
    let n_rows = rows.whole().y().len();
    let loss = rows.training().loss();
    let held_out = |formula: &FrontFormula| {
        let relative = formula.held_out.map_or(0.0, |fit| fit.relative.max(ROUNDING * ROUNDING));
        loss.map_or(relative.sqrt(), |loss| loss.size_of_errors(relative))
    };
    let least = front.iter().map(held_out).fold(f64::INFINITY, f64::min);
    let length = |formula: &FrontFormula| {
        let relative = formula.fit.relative;
        // The unit of the loss is the same for all, but that of what is told already.
        let nats = loss.map_or_else(
            || nats_of_errors(relative, rows),
            |loss| match loss.predicts_target() {
                true => loss.nats(relative.max(ROUNDING * ROUNDING)),
                false => loss.nats(formula.fit.loss),
            },
        );
        description_length(&formula.expr, nats, n_rows)
    };
    let good = front.iter().enumerate().filter(|(_, formula)| held_out(formula) <= AS_GOOD * least);
    let shortest = good.min_by(|(_, a), (_, b)| length(a).total_cmp(&length(b)));
    let reason = if rows.held_out().is_some() { Reason::HeldOut } else { Reason::DescriptionLength };
    (shortest.map_or(0, |(index, _)| index), reason)
}

/// Nats of errors of a row: the logarithm of their size, relative to the deviation of y. Errors below the digits that y is
/// given with say nothing, for nobody knows what comes after these.
///
/// - relative: the mean square of errors, relative to the variance of y
pub(super) fn nats_of_errors(relative: f64, rows: &Rows) -> f64 {
    let digits = rows.all().digits() * std::f64::consts::LN_10;
    (0.5 * relative.max(ROUNDING * ROUNDING).ln()).max(-digits)
}

/// Nats that it takes to tell a formula and errors of so many nats a row. A constant takes the digits that it is written
/// with, or those that the rows determine if these are fewer (Rissanen, 1978): they are the more the smaller the errors.
pub(super) fn description_length(tree: &Tree, nats: f64, n_rows: usize) -> f64 {
    let n_rows = n_rows as f64;
    let determined = 0.5 * n_rows.ln() - nats.min(0.0);
    let constants: f64 = tree.constants().map(|constant| written(constant).min(determined)).sum();
    formula_length(tree) + constants + n_rows * nats
}

/// Nats that it takes to tell the operators and variables of a formula, and where its constants stand.
fn formula_length(tree: &Tree) -> f64 {
    // Constants are told by themselves, and as symbols are all the same one.
    let symbols: BTreeSet<u64> =
        tree.nodes().iter().map(|node| if matches!(node, Node::Const(_)) { 0 } else { node.bits() }).collect();
    tree.size() as f64 * (symbols.len().max(2) as f64).ln()
}

/// Nats of the digits that a constant is written with.
fn written(constant: f64) -> f64 {
    let text = format!("{constant:e}");
    let mantissa = text.split('e').next().unwrap_or_default();
    mantissa.bytes().filter(u8::is_ascii_digit).count() as f64 * std::f64::consts::LN_10
}

/// Returns whether rows of so many nats each say enough to call a formula exact that is right on all of them: a formula
/// with as many digits in its constants as the rows have is right by construction.
pub(super) fn is_told_by(tree: &Tree, nats: f64, n_rows: usize) -> bool {
    let constants: f64 = tree.constants().map(|constant| written(constant).min(nats)).sum();
    n_rows as f64 * nats > 2.0 * (formula_length(tree) + constants)
}

#[cfg(test)]
mod tests {
    use sr_expr::Expr;

    use super::*;

    #[test]
    fn a_description_weighs_nodes_and_constants_against_errors() {
        let length = |text: &str, relative: f64| {
            description_length(&text.parse::<Expr>().expect(text), 0.5 * relative.ln(), 100)
        };
        assert!(length("x0", 0.1) < length("x0 + x0*x0", 0.1), "a smaller one that is as good");
        assert!(length("x0 + x0*x0", 0.01) < length("x0", 0.1), "a larger one that is better");
        assert!(length("x0 * 2", 0.1) < length("x0 * 2.345678", 0.1), "a constant of fewer digits");
    }

    #[test]
    fn of_few_rows_a_formula_with_few_constants_is_chosen_though_others_come_closer() {
        // Kepler's law and two formulas that were fitted to the same eight planets.
        let length =
            |text: &str, relative: f64| description_length(&text.parse::<Expr>().expect(text), 0.5 * relative.ln(), 8);
        let kepler = length("365.01098751427924 * sqrt(pow3(x0))", 2.7e-8);
        assert!(kepler < length("365.5060476303645 * exp(1.4995864995786718 * log(x0))", 9.3e-9));
        assert!(
            kepler
                < length(
                    "pow3(1.0942327182500617e-05/pow2(sin(x0)) - sqrt(x0))*-364.9936547981151 + 0.36371115",
                    2.7e-10
                )
        );
    }

    #[test]
    fn a_formula_with_as_many_digits_as_the_rows_is_not_told_by_them() {
        let told = |text: &str, nats, n_rows| is_told_by(&text.parse::<Expr>().expect(text), nats, n_rows);
        assert!(told("x0*x0*x0", 25.0, 1) && told("2*x0 + 1", 25.0, 3));
        assert!(!told("2.123456789012345*x0 + 1.123456789012345", 25.0, 2));
        assert!(told("2.123456789012345*x0 + 1.123456789012345", 25.0, 10));
        // Eight rows of six digits.
        assert!(!told("sin(1.234567*x0 + 2.345678)*3.456789 + 4.567891*x0", 15.0, 8));
    }
}
