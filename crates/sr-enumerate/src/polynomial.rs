//! *P*: g(y / m) is a polynomial of the variables, with negative exponents as well, and of at most one further column.
//!
//! One basis serves all targets g(y / m): a target of its space has a dot product of 0 with an annihilator of the basis,
//! so that nearly every target is rejected by one product.

use rayon::prelude::*;

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
    let columns: Vec<Vec<f64>> = exponents.iter().map(|e| monomial_values(e, &data.fit_x, data.fit.len())).collect();
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
const MAX_COLUMNS: usize = 8000;
/// The columns that are tried times the terms squared, at most: larger bases get fewer columns.
const MAX_COLUMN_WORK: usize = 2_000_000;
/// The largest degree of a polynomial beside a column.
const MAX_DEGREE_WITH_COLUMN: u32 = 3;
/// The targets that are tried with each column.
const MAX_TARGETS_WITH_COLUMN: usize = 300;
/// The exponents of a column as a factor of m, and the other factors.
const COLUMN_POWERS: [f64; 4] = [1.0, -1.0, 0.5, -0.5];
const MAX_MONOMIALS_WITH_COLUMN: usize = 100;

/// A law that was found with a column: what it adds to the size, the column, the target and the column's power.
type Hit = (usize, u32, usize, f64);

/// Looks for polynomials of the variables and of one column h of the bank, and for polynomials p with y = m · hᵖ · p.
/// This is how UDFS augments data (Kahlmeyer et al., 2024).
///
/// `tried` is the number of columns that were tried before.
pub(crate) fn search_with_columns(search: &mut Search<'_>, bank: &Bank, targets: &Targets, tried: &mut usize) {
    let n = (*tried).max(search.data.n_used());
    *tried = bank.len().min(MAX_COLUMNS);
    let ids: Vec<u32> =
        (n..bank.len().min(MAX_COLUMNS)).map(|id| id as u32).filter(|&id| !bank.is_constant(id)).collect();
    augmented(search, bank, targets, &ids);
    if !search.is_done() {
        divided(search, bank, &ids);
    }
}

/// Returns the terms Π xᵉ · hᵏ of polynomials of the variables and one column, smaller ones first.
fn shapes(n: usize, most: usize) -> Vec<Vec<(Vec<i32>, i32)>> {
    let mut shapes: Vec<Vec<(Vec<i32>, i32)>> = Vec::new();
    for (degree, column_degree) in [(1, 1), (2, 1), (2, 2), (3, 1), (3, 2)] {
        // The factors of h's powers are of one degree less than the other terms, or of the same.
        for factor_degree in [degree - 1, degree] {
            let terms = |k: i32| {
                let degree = if k == 0 { degree } else { factor_degree };
                monomials(n, degree, degree.max(1) as i32, false, most + 1).into_iter().map(move |e| (e, k))
            };
            let shape: Vec<(Vec<i32>, i32)> = (0..=column_degree).flat_map(terms).collect();
            if shape.len() <= most {
                shapes.push(shape);
            }
        }
    }
    shapes.sort_by_key(Vec::len);
    shapes
}

/// Looks for g(y / m) = polynomial of x and h, on the working rows.
fn augmented(search: &mut Search<'_>, bank: &Bank, targets: &Targets, ids: &[u32]) {
    let data = search.data;
    let rows = data.n_working();
    let scaled = |target: &Target| spread(&target.values[..rows]);
    let first: Vec<(usize, &Target, f64)> = (targets.all.iter().enumerate())
        .take(MAX_TARGETS_WITH_COLUMN)
        .map(|(index, target)| (index, target, scaled(target)))
        .collect();
    for shape in shapes(data.n_used(), max_terms(rows)) {
        let powers: Vec<Vec<f64>> = shape.iter().map(|(e, _)| monomial_values(e, &data.fit_x, rows)).collect();
        let hits_of = |&id: &u32| -> Vec<Hit> {
            let h = &bank.column(id).0[..rows];
            let columns: Vec<Vec<f64>> = (powers.iter().zip(&shape))
                .map(|(values, (_, k))| {
                    values.iter().zip(h).map(|(v, h)| (0..*k).fold(*v, |product, _| product * h)).collect()
                })
                .collect();
            let Some(space) = Space::new(Vec::new(), &columns) else { return Vec::new() };
            let hits = first.iter().filter(|(_, target, scale)| space.contains(&target.values[..rows], *scale));
            hits.map(|(index, ..)| (bank.cost(id) + targets.cost(*index), id, *index, 1.0)).collect()
        };
        let terms = shape.len();
        let ids = &ids[..ids.len().min(MAX_COLUMN_WORK / (terms * terms))];
        search.spend(ids.len() * rows * (terms * terms + first.len() / 4));
        let hits = search.pool.install(|| ids.par_iter().flat_map_iter(hits_of).collect());
        for (_, id, index, _) in best(hits) {
            let h = bank.expr(id);
            let term = |(e, k): &(Vec<i32>, i32)| {
                let mut factors = monomial_factors(data, e);
                factors.extend((*k != 0).then(|| (h.clone(), f64::from(*k))));
                factors
            };
            let terms = shape.iter().map(term).collect();
            search.offer(&Law { stage: Stage::Polynomial, outer: targets.outer(data, index), terms });
        }
        if search.is_done() {
            return;
        }
    }
}

/// Looks for y = m · hᵖ · polynomial of x, on the working rows.
///
/// With a vector a orthogonal to the polynomials, Σ a · y / (m · hᵖ) has to vanish; a · y / m is computed once.
fn divided(search: &mut Search<'_>, bank: &Bank, ids: &[u32]) {
    let data = search.data;
    let rows = data.n_working();
    let monomials = monomials_of(data, MAX_DEGREE, MAX_MONOMIALS_WITH_COLUMN);
    let quotient = |e: &Vec<i32>| {
        data.fit_y[..rows].iter().zip(monomial_values(e, &data.fit_x, rows)).map(|(y, m)| y / m).collect()
    };
    let quotients: Vec<Vec<f64>> = monomials.iter().map(quotient).collect();
    for exponents in polynomials(search, MAX_DEGREE_WITH_COLUMN) {
        if exponents.len() > max_terms(rows) {
            return;
        }
        let columns: Vec<Vec<f64>> = exponents.iter().map(|e| monomial_values(e, &data.fit_x, rows)).collect();
        let terms = exponents.iter().map(|e| monomial_factors(data, e)).collect();
        let Some(space) = Space::new(terms, &columns) else { continue };
        let weighted: Vec<(Vec<f64>, f64)> = quotients
            .iter()
            .map(|quotient| {
                let weighted = quotient.iter().zip(&space.annihilator).map(|(y, a)| y * a).collect();
                (weighted, norm(quotient))
            })
            .collect();
        search.spend(ids.len() * rows * COLUMN_POWERS.len() * monomials.len() / 4);
        let hits_of = |&id: &u32| {
            let h = &bank.column(id).0[..rows];
            let mut hits: Vec<Hit> = Vec::new();
            for p in COLUMN_POWERS {
                let powers: Vec<f64> = h.iter().map(|h| 1.0 / power(*h, p)).collect();
                let largest = powers.iter().fold(0.0_f64, |largest, v| largest.max(v.abs()));
                for (index, (weighted, norm)) in weighted.iter().enumerate() {
                    if dot(weighted, &powers).abs() >= NOISE_FREE * norm * largest {
                        continue;
                    }
                    let target: Vec<f64> = quotients[index].iter().zip(&powers).map(|(y, h)| y * h).collect();
                    if space.contains(&target, spread(&target)) {
                        let degree: u32 = monomials[index].iter().map(|e| e.unsigned_abs()).sum();
                        hits.push((bank.cost(id) + 2 * degree as usize, id, index, p));
                    }
                }
            }
            hits
        };
        let hits = search.pool.install(|| ids.par_iter().flat_map_iter(hits_of).collect());
        for (_, id, index, p) in best(hits) {
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

/// Returns the hits that promise the smallest laws.
fn best(mut hits: Vec<Hit>) -> Vec<Hit> {
    hits.sort_by(|a, b| (a.0, a.1, a.2).cmp(&(b.0, b.1, b.2)).then(b.3.total_cmp(&a.3)));
    hits.truncate(MAX_HITS);
    hits
}
