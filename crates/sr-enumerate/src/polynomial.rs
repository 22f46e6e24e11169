//! *P*: g(y / m) is a polynomial of the variables, with negative exponents as well, and of at most one further column.
//!
//! One basis serves all targets g(y / m): a target of its space has a dot product of 0 with an annihilator of the basis,
//! so that nearly every target is rejected by one product.

use crate::Stage;
use crate::build::Factor;
use crate::law::{Law, NOISE_FREE};
use crate::linear::{Basis, dot, norm, spread};
use crate::outer::{Chain, Outer, Target, monomial_factors, monomial_values, monomials, monomials_of, targets};
use crate::search::Search;

/// The most terms of a polynomial, whatever the number of rows.
const MAX_TERMS: usize = 100;
/// The largest degree of a polynomial of one variable, and of more.
const MAX_DEGREE_ALONE: u32 = 10;
const MAX_DEGREE: u32 = 4;
/// The monomials m that targets are divided by: total degree and number.
const MAX_MONOMIAL_DEGREE: u32 = 4;
const MAX_MONOMIALS: usize = 1000;
pub(crate) const MAX_TARGETS: usize = 8000;
/// The targets of one basis that are fitted in full: most of them are the same law, written otherwise.
const MAX_HITS: usize = 24;

/// A polynomial's terms and the space that they span.
#[derive(Debug)]
pub(crate) struct Space {
    pub(crate) terms: Vec<Vec<Factor>>,
    basis: Basis,
    annihilator: Vec<f64>,
}

impl Space {
    /// Makes the space of terms with their values at the fitted rows, `[terms][rows]`.
    pub(crate) fn new(terms: Vec<Vec<Factor>>, columns: &[Vec<f64>]) -> Option<Self> {
        let rows = columns.first()?.len();
        if !columns.iter().flatten().all(|v| v.is_finite()) {
            return None;
        }
        let basis = Basis::of(rows, columns.iter().map(Vec::as_slice));
        let annihilator = basis.annihilators(1)?.pop()?;
        Some(Space { terms, basis, annihilator })
    }

    /// Returns whether values lie in the space, to rounding.
    pub(crate) fn contains(&self, values: &[f64], scale: f64) -> bool {
        let is_near = |value: f64| value.abs() < NOISE_FREE * scale;
        is_near(dot(&self.annihilator, values)) && is_near(norm(&self.basis.residual(values)))
    }
}

/// Returns how many terms may be fitted to `rows` rows: two thirds of them, since what is claimed is checked on others.
pub(crate) fn max_terms(rows: usize) -> usize {
    (rows * 2 / 3).min(MAX_TERMS)
}

/// Makes the space of monomials with these exponents.
pub(crate) fn space(search: &Search<'_>, exponents: &[Vec<i32>]) -> Option<Space> {
    let data = search.data;
    let columns: Vec<Vec<f64>> =
        exponents.iter().map(|e| monomial_values(e, &data.fit_x, data.fit.len())).collect();
    Space::new(exponents.iter().map(|e| monomial_factors(data, e)).collect(), &columns)
}

/// Returns the exponents of polynomials, smaller ones first.
pub(crate) fn polynomials(search: &Search<'_>, max_degree: u32) -> Vec<Vec<Vec<i32>>> {
    let (n, most) = (search.data.n_used(), max_terms(search.data.fit.len()));
    let has_no_zero = search.data.fit_x.iter().flatten().all(|x| *x != 0.0);
    let mut all: Vec<Vec<Vec<i32>>> = Vec::new();
    for degree in 1..=max_degree {
        for is_signed in [false, true] {
            if is_signed && (!has_no_zero || degree > MAX_DEGREE) {
                continue;
            }
            let max_exponent = if is_signed { 2 } else { degree as i32 };
            let exponents = monomials(n, degree, max_exponent, is_signed, usize::MAX.min(4 * MAX_TERMS));
            if exponents.len() <= most && !all.contains(&exponents) {
                all.push(exponents);
            }
        }
    }
    all.sort_by_key(Vec::len);
    all
}

/// Looks for polynomials. Each basis offers its sparsest laws; the first basis that has an exact one ends the search.
pub(crate) fn search(search: &mut Search<'_>) {
    let data = search.data;
    let max_degree = if data.n_used() == 1 { MAX_DEGREE_ALONE } else { MAX_DEGREE };
    let chains: Vec<Chain> = Chain::all(search.builder).into_iter().filter(Chain::is_linear).collect();
    let monomials = monomials_of(data, MAX_MONOMIAL_DEGREE, MAX_MONOMIALS);
    let targets = targets(data, &chains, &monomials, MAX_TARGETS);
    search.spend(targets.len() * data.fit.len() * 4);
    let scales: Vec<f64> = targets.iter().map(|target| spread(&target.values)).collect();
    for exponents in polynomials(search, max_degree) {
        let Some(space) = space(search, &exponents) else { continue };
        // The best polynomial of y itself is worth showing even if it is not exact.
        if exponents.iter().flatten().all(|&e| e >= 0) {
            let outer = Outer { chain: Chain::default(), factors: vec![] };
            search.offer(&Law { stage: Stage::Polynomial, outer, terms: space.terms.clone() });
        }
        search.spend(data.fit.len() * (exponents.len() * exponents.len() + targets.len()));
        let hits: Vec<&Target> = (targets.iter().zip(&scales))
            .filter(|(target, scale)| space.contains(&target.values, **scale))
            .map(|(target, _)| target)
            .take(MAX_HITS)
            .collect();
        for target in hits {
            let factors = monomial_factors(data, &monomials[target.monomial]);
            let outer = Outer { chain: chains[target.chain].clone(), factors };
            search.offer(&Law { stage: Stage::Polynomial, outer, terms: space.terms.clone() });
        }
        if search.is_done() {
            return;
        }
    }
}
