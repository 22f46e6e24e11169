//! *P*: g(y / m) is a polynomial of the variables, with negative exponents as well, and of at most one further column.
//!
//! One basis serves all targets g(y / m): a target of its space has a dot product of 0 with an annihilator of the basis,
//! so that nearly every target is rejected by one product.

use rayon::prelude::*;
use sr_expr::Expr;

use crate::Stage;
use crate::bank::Bank;
use crate::build::Factor;
use crate::law::{Law, NOISE_FREE};
use crate::linear::{Basis, dot, norm, spread};
use crate::outer::{Chain, Outer, Target, monomial_factors, monomial_values, monomials, monomials_of, power, targets};
use crate::rounds::Targets;
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
            let exponents = monomials(n, degree, max_exponent, is_signed, MAX_TERMS + 1);
            if exponents.len() <= most && !all.contains(&exponents) {
                all.push(exponents);
            }
        }
    }
    all.sort_by_key(Vec::len);
    all
}

/// Looks for polynomials. The first basis that has exact laws ends the search, and the smallest of them stays.
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
        search.spend(data.fit.len() * (exponents.len() * exponents.len() + targets.len()));
        let mut outers = Vec::new();
        // The best polynomial of y itself is worth showing even if it is not exact.
        if exponents.iter().flatten().all(|&e| e >= 0) {
            outers.push(Outer { chain: Chain::default(), factors: vec![] });
        }
        let hits = targets.iter().zip(&scales).filter(|(target, scale)| space.contains(&target.values, **scale));
        outers.extend(hits.take(MAX_HITS).map(|(target, _)| {
            let factors = monomial_factors(data, &monomials[target.monomial]);
            Outer { chain: chains[target.chain].clone(), factors }
        }));
        let mut is_found = false;
        for outer in outers {
            let law = Law { stage: Stage::Polynomial, outer, terms: space.terms.clone() };
            is_found |= search.offer(&law).is_some();
        }
        // An exact law of an earlier stage does not end this one.
        if is_found || search.is_spent() {
            return;
        }
    }
}

/// The smallest columns that are tried as one more variable of a polynomial, or as a factor of m.
const MAX_COLUMNS: usize = 2000;
/// The largest degree in the column, and in all.
const MAX_COLUMN_DEGREE: i32 = 2;
/// The targets that are tried with each column.
const MAX_TARGETS_WITH_COLUMN: usize = 300;
/// The exponents of a column as a factor of m.
const COLUMN_POWERS: [f64; 4] = [1.0, -1.0, 0.5, -0.5];

/// Looks for polynomials of the variables and of one column h of the bank, and for polynomials p with y = m · hᵖ · p.
/// This is how UDFS augments data (Kahlmeyer et al., 2024).
pub(crate) fn search_with_columns(search: &mut Search<'_>, bank: &Bank, targets: &Targets) {
    let data = search.data;
    let rows = data.fit.len();
    let n = data.n_used();
    let most = max_terms(rows);
    // Every power of a basis times hᵏ is a term; larger bases come later.
    let mut shapes: Vec<Vec<(Vec<i32>, i32)>> = Vec::new();
    for degree in 1..=3_u32 {
        for column_degree in 1..=MAX_COLUMN_DEGREE.min(degree as i32) {
            let terms = |k: i32| monomials(n, degree.max(k as u32) - u32::from(k > 0), 3, false, MAX_TERMS).into_iter().map(move |e| (e, k));
            let shape: Vec<(Vec<i32>, i32)> = (0..=column_degree).flat_map(terms).collect();
            if shape.len() <= most.min(50) && !shapes.contains(&shape) {
                shapes.push(shape);
            }
        }
    }
    shapes.sort_by_key(Vec::len);
    let first: Vec<(usize, &Target, f64)> = (targets.all.iter().enumerate())
        .take(MAX_TARGETS_WITH_COLUMN)
        .map(|(index, target)| (index, target, spread(&target.values)))
        .collect();
    let columns: Vec<(u32, Vec<f64>)> = (n..bank.len().min(MAX_COLUMNS))
        .map(|id| id as u32)
        .filter(|&id| !bank.is_constant(id))
        .map(|id| (id, search.finisher().values(&bank.expr(id))))
        .filter(|(_, values)| values.iter().all(|v| v.is_finite()))
        .collect();
    let factors_of = |e: &[i32], h: &Expr, k: i32| {
        let mut factors = monomial_factors(data, e);
        factors.extend((k != 0).then(|| (h.clone(), f64::from(k))));
        factors
    };
    for shape in &shapes {
        let powers: Vec<Vec<f64>> = shape.iter().map(|(e, _)| monomial_values(e, &data.fit_x, rows)).collect();
        let hits_of = |(id, h): &(u32, Vec<f64>)| {
            let values = powers.iter().zip(shape).map(|(values, (_, k))| {
                values.iter().zip(h).map(|(v, h)| (0..*k).fold(*v, |v, _| v * h)).collect::<Vec<f64>>()
            });
            let columns: Vec<Vec<f64>> = values.collect();
            let Some(space) = Space::new(Vec::new(), &columns) else { return Vec::new() };
            let hits = first.iter().filter(|(_, target, scale)| space.contains(&target.values, *scale));
            hits.map(|(index, ..)| (bank.size(*id) + targets.cost(*index), *id, *index)).collect()
        };
        search.spend(columns.len() * rows * (shape.len() * shape.len() / 4 + first.len()));
        let mut hits: Vec<(usize, u32, usize)> =
            search.pool.install(|| columns.par_iter().flat_map_iter(hits_of).collect());
        hits.sort_unstable();
        for (_, id, index) in hits.into_iter().take(MAX_HITS) {
            let h = bank.expr(id);
            let terms = shape.iter().map(|(e, k)| factors_of(e, &h, *k)).collect();
            search.offer(&Law { stage: Stage::Polynomial, outer: targets.outer(data, index), terms });
        }
        if search.is_done() {
            return;
        }
    }
    divided(search, bank, &columns);
}

/// Looks for y = m · hᵖ · polynomial.
fn divided(search: &mut Search<'_>, bank: &Bank, columns: &[(u32, Vec<f64>)]) {
    let data = search.data;
    let rows = data.fit.len();
    let monomials = monomials_of(data, 3, 100);
    let quotients: Vec<Vec<f64>> = monomials
        .iter()
        .map(|e| data.fit_y.iter().zip(monomial_values(e, &data.fit_x, rows)).map(|(y, m)| y / m).collect())
        .collect();
    for exponents in polynomials(search, 3) {
        if exponents.len() > 40 {
            break;
        }
        let Some(space) = space(search, &exponents) else { continue };
        search.spend(columns.len() * rows * COLUMN_POWERS.len() * monomials.len());
        let hits_of = |(id, h): &(u32, Vec<f64>)| {
            let mut hits = Vec::new();
            for p in COLUMN_POWERS {
                let powers: Vec<f64> = h.iter().map(|h| power(*h, p)).collect();
                for (index, quotient) in quotients.iter().enumerate() {
                    let target: Vec<f64> = quotient.iter().zip(&powers).map(|(y, h)| y / h).collect();
                    if space.contains(&target, spread(&target)) {
                        let degree: i32 = monomials[index].iter().map(|e| e.abs()).sum();
                        hits.push((bank.size(*id) + 2 * degree as usize, *id, index, p));
                    }
                }
            }
            hits
        };
        let mut hits: Vec<(usize, u32, usize, f64)> =
            search.pool.install(|| columns.par_iter().flat_map_iter(hits_of).collect());
        hits.sort_by(|a, b| (a.0, a.1, a.2).cmp(&(b.0, b.1, b.2)).then(b.3.total_cmp(&a.3)));
        for (_, id, index, p) in hits.into_iter().take(MAX_HITS) {
            let mut factors = monomial_factors(data, &monomials[index]);
            factors.push((bank.expr(id), p));
            let outer = Outer { chain: Chain::default(), factors };
            search.offer(&Law { stage: Stage::Polynomial, outer, terms: space.terms.clone() });
        }
        if search.is_done() {
            return;
        }
    }
}
