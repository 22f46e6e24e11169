//! *H*: g(y) = c · Π xᵖ · f₁^q · f₂^r with enumerated columns f: an affine law, and a pair, of logarithms.

use rayon::prelude::*;
use sr_expr::{Level, Op, Semantics, map};

use crate::Stage;
use crate::bank::Bank;
use crate::build::Factor;
use crate::eliminate::{Direction, Directions, Outside, directions};
use crate::law::{Law, NOISE_FREE};
use crate::linear::{Basis, least_squares, norm, spread};
use crate::outer::{Chain, Outer, log_magnitude};
use crate::prepare::ROWS;
use crate::search::Search;
use crate::snap::exponent;

/// The columns that products are made of at most.
const MAX_COLUMNS: usize = 300_000;
/// The laws of one target that are fitted in full.
const MAX_HITS: usize = 24;
/// An exponent of a law is a simple fraction to this distance.
const TOLERANCE: f64 = 1e-6;
/// An exponent larger than this is an approximation of something else.
const MAX_EXPONENT: f64 = 6.0;

/// Looks for products within a budget. The first function g that has an exact law ends the search.
pub(crate) fn search(search: &mut Search<'_>, bank: &Bank, budget: u64) {
    let data = search.data;
    let n = data.n_working();
    // Variables that are 0 somewhere have no logarithm, and take part as columns of the bank only where they are not.
    let with_logs: Vec<usize> = (0..data.n_used()).filter(|&i| data.fit_x[i].iter().all(|x| *x != 0.0)).collect();
    let logs: Vec<Vec<f64>> =
        with_logs.iter().map(|&i| data.fit_x[i].iter().map(|&x| log_magnitude(x)).collect()).collect();
    let ones = vec![1.0; data.fit.len()];
    let basis = Basis::of(n, [&ones].into_iter().chain(&logs).map(|column| &column[..n]));
    let Some(outside) = Outside::of(&basis) else { return };
    let level = Level::detect();
    let log_column = |id: usize, out: &mut [f64; ROWS]| {
        let magnitudes = bank.column(id as u32).0.map(f64::abs);
        map::map(level, Op::Log, Semantics::Ieee, &magnitudes, &[], out);
        !bank.is_constant(id as u32) && out.iter().all(|v| v.is_finite())
    };
    let n_columns = bank.len().min(MAX_COLUMNS);
    search.spend(n_columns * ROWS * 6);
    let table = Directions::new(directions(search.pool, &outside, n_columns, log_column));
    let per_target = table.len().max(1) * ROWS;
    let most = (budget as usize / per_target).max(1);
    let chains: Vec<Chain> = Chain::all(search.builder).into_iter().filter(Chain::is_product).collect();
    let target = |chain: &Chain| {
        let mut values = data.fit_y.clone();
        if !chain.apply(&mut values) {
            return None;
        }
        values.iter_mut().for_each(|v| *v = log_magnitude(*v));
        let direction = values.iter().all(|v| v.is_finite()).then(|| outside.direction(&values)).flatten()?;
        Some((chain.clone(), values, direction))
    };
    let targets: Vec<(Chain, Vec<f64>, Direction)> = chains.iter().filter_map(target).take(most).collect();
    search.spend(targets.len() * per_target);
    let explains = |ids: &[u32], target: &[f64]| {
        let mut basis = basis.clone();
        let mut log = [0.0; ROWS];
        for &id in ids {
            log_column(id as usize, &mut log);
            basis.add(&log[..n]);
        }
        norm(&basis.residual(&target[..n])) < NOISE_FREE * spread(&target[..n])
    };
    let found = |(_, values, direction): &(Chain, Vec<f64>, Direction)| {
        let alone = table.parallel_to(direction).map(|id| vec![id]);
        let pairs = table.pairs(direction).into_iter().map(|(a, b)| vec![a, b]);
        let all = alone.into_iter().chain(pairs);
        all.filter(|ids| explains(ids, values)).take(MAX_HITS).collect::<Vec<_>>()
    };
    let hits: Vec<Vec<Vec<u32>>> = search.pool.install(|| targets.par_iter().map(found).collect());
    for ((chain, values, _), mut hits) in targets.into_iter().zip(hits) {
        hits.sort_by_cached_key(|ids| (ids.iter().map(|&id| bank.cost(id)).sum::<usize>(), ids.clone()));
        for ids in hits {
            let factors: Vec<Factor> = with_logs
                .iter()
                .map(|&i| (data.variable(i), 1.0))
                .chain(ids.iter().map(|&id| (bank.expr(id), 1.0)))
                .collect();
            if let Some(term) = exponents(search, &logs, &ids, bank, factors, &values) {
                let outer = Outer { chain: chain.clone(), factors: vec![] };
                search.offer(&Law { stage: Stage::Products, outer, terms: vec![term] });
            }
        }
        if search.is_done() {
            return;
        }
    }
}

/// Fits the exponents of factors to a target of logarithms, and snaps them.
fn exponents(
    search: &mut Search<'_>,
    logs: &[Vec<f64>],
    ids: &[u32],
    bank: &Bank,
    mut factors: Vec<Factor>,
    target: &[f64],
) -> Option<Vec<Factor>> {
    let mut columns = logs.to_vec();
    for (&id, factor) in ids.iter().zip(logs.len()..) {
        let values = search.finisher().values(&bank.expr(id));
        // Logarithms of f and −f are equal, but only a positive one has a root.
        if values.iter().all(|v| *v < 0.0) {
            factors[factor].0 = search.builder.negative(&factors[factor].0)?;
        }
        columns.push(values.into_iter().map(log_magnitude).collect());
    }
    columns.push(vec![1.0; target.len()]);
    let fit = least_squares(&columns, target)?;
    for ((_, p), fitted) in factors.iter_mut().zip(&fit.coefficients) {
        *p = exponent(*fitted, TOLERANCE).filter(|p| p.abs() <= MAX_EXPONENT)?;
    }
    factors.retain(|(_, p)| *p != 0.0);
    Some(factors)
}
