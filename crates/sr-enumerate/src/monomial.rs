//! *M*: y = m · g⁻¹(c · Π xᵖ), by least squares of logarithms.

use crate::Stage;
use crate::law::{Law, NOISE_FREE};
use crate::linear::{Basis, dot, least_squares, spread};
use crate::outer::{Chain, Outer, log_magnitude, monomial_factors, monomials_of, targets};
use crate::search::Search;
use crate::snap::exponent;

/// The monomials m that targets are divided by: total degree and number.
const MAX_DEGREE: u32 = 4;
const MAX_MONOMIALS: usize = 400;
const MAX_TARGETS: usize = 20_000;
/// The laws that are fitted in full: most of them are one law, written otherwise.
const MAX_HITS: usize = 48;
/// A fitted exponent is snapped within this distance if there is no noise, and within 3 standard deviations otherwise.
const TOLERANCE: f64 = 1e-6;

/// Columns of logarithms of all variables and a column of ones, `[used + 1][fit]`. Variables with zeros have none; their
/// products are found by enumeration.
fn log_columns(search: &Search<'_>) -> Option<Vec<Vec<f64>>> {
    let data = search.data;
    let log = |column: &Vec<f64>| column.iter().map(|&x| log_magnitude(x)).collect();
    let mut columns: Vec<Vec<f64>> = data.fit_x.iter().map(log).collect();
    columns.push(vec![1.0; data.fit.len()]);
    (data.fit.len() >= columns.len() + 2 && columns.iter().flatten().all(|v| v.is_finite())).then_some(columns)
}

/// Looks for exact monomials inside of other functions. All that are found are offered, and the smallest stays.
pub(crate) fn search_inside(search: &mut Search<'_>) {
    let data = search.data;
    let rows = data.fit.len();
    let Some(columns) = log_columns(search) else { return };
    let chains: Vec<Chain> =
        Chain::all(search.builder).into_iter().filter(|c| c.is_product() && !c.0.is_empty()).collect();
    let monomials = monomials_of(data, MAX_DEGREE, MAX_MONOMIALS);
    let basis = Basis::of(rows, columns.iter().map(Vec::as_slice));
    let Some(annihilators) = basis.annihilators(1) else { return };
    let targets = targets(data, &chains, &monomials, MAX_TARGETS);
    search.spend(targets.len() * rows * 8);
    let mut n_hits = 0;
    for target in targets {
        let log: Vec<f64> = target.values.iter().map(|&v| log_magnitude(v)).collect();
        let scale = spread(&log);
        let is_near = |value: f64| value.abs() < NOISE_FREE * scale;
        if !scale.is_finite() || !is_near(dot(&annihilators[0], &log)) {
            continue;
        }
        let Some(fit) = least_squares(&columns, &log).filter(|fit| is_near(fit.residual)) else { continue };
        let fitted = &fit.coefficients[..data.n_used()];
        let exponents: Option<Vec<f64>> = fitted.iter().map(|&p| exponent(p, TOLERANCE)).collect();
        let Some(exponents) = exponents else { continue };
        let factors = monomial_factors(data, &monomials[target.monomial]);
        offer(search, Outer { chain: chains[target.chain].clone(), factors }, &exponents);
        n_hits += 1;
        if n_hits == MAX_HITS || search.is_spent() {
            return;
        }
    }
}

/// Fits y = c · Π xᵖ, also to noisy data, and offers it with snapped exponents and, where powers can be expressed, with
/// those fitted.
pub(crate) fn search(search: &mut Search<'_>) {
    let data = search.data;
    let Some(columns) = log_columns(search) else { return };
    let rows: Vec<usize> = (0..data.fit.len()).filter(|&row| data.fit_y[row] != 0.0).collect();
    let pick = |column: &Vec<f64>| rows.iter().map(|&row| column[row]).collect::<Vec<f64>>();
    let columns: Vec<Vec<f64>> = columns.iter().map(pick).collect();
    let log: Vec<f64> = rows.iter().map(|&row| log_magnitude(data.fit_y[row])).collect();
    if rows.len() < columns.len() + 2 {
        return;
    }
    let Some(fit) = least_squares(&columns, &log) else { return };
    search.spend(rows.len() * columns.len());
    let sigma = fit.residual / ((rows.len() - columns.len()).max(1) as f64).sqrt();
    let tolerance = |i: usize| (3.0 * sigma * fit.variances[i].sqrt()).clamp(TOLERANCE, 0.2);
    let fitted = &fit.coefficients[..data.n_used()];
    let snapped: Vec<f64> = fitted.iter().enumerate().map(|(i, &p)| exponent(p, tolerance(i)).unwrap_or(p)).collect();
    let outer = || Outer { chain: Chain::default(), factors: vec![] };
    offer(search, outer(), &snapped);
    if !search.is_done() && snapped != fitted {
        offer(search, outer(), fitted);
    }
}

fn offer(search: &mut Search<'_>, outer: Outer, exponents: &[f64]) {
    let used = exponents.iter().enumerate().filter(|(_, p)| **p != 0.0);
    let term = used.map(|(index, &p)| (search.data.variable(index), p)).collect();
    search.offer(&Law { stage: Stage::Monomial, outer, terms: vec![term] });
}
