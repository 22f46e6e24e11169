//! *S*: g(y / m) = p(x) + b · f with one enumerated column f and a small polynomial p.

use crate::Stage;
use crate::bank::{Bank, Recipe};
use crate::build::Factor;
use crate::eliminate::{Directions, Outside, directions, key, projective};
use crate::kernel::Sums;
use crate::law::{Law, NOISE_FREE};
use crate::linear::{Basis, norm, spread};
use crate::outer::{Chain, Outer, Target, monomial_factors, monomial_values};
use crate::polynomial::polynomials;
use crate::prepare::{Prepared, ROWS};
use crate::rounds::Targets;
use crate::search::Search;

/// The laws of one basis that are fitted in full.
const MAX_HITS: usize = 24;
/// The most terms of p: each takes a row of the working set.
const MAX_TERMS: usize = 36;
/// The columns of each bank whose affine laws are shown although they are not exact.
const SHOWN: usize = 4;
/// Keys of a column that was computed on the fly, and of a target, are compared to this distance.
const TOLERANCE: f64 = 1e-8;
/// The largest degree of p.
const MAX_DEGREE: u32 = 3;

/// A basis of polynomial terms at the working rows, with the vectors that eliminate it.
#[derive(Debug)]
pub(crate) struct Eliminated {
    pub(crate) terms: Vec<Vec<Factor>>,
    pub(crate) basis: Basis,
    pub(crate) outside: Outside,
}

/// Returns the polynomials p, the constant first, that leave at least as many rows as they have terms.
pub(crate) fn bases(search: &Search<'_>) -> Vec<Eliminated> {
    let data = search.data;
    let n = data.n_working();
    let mut exponents = vec![vec![vec![0; data.n_used()]]];
    exponents.extend(polynomials(search, MAX_DEGREE));
    exponents.retain(|e| e.len() <= MAX_TERMS.min(n / 2));
    let eliminated = |exponents: Vec<Vec<i32>>| {
        let columns: Vec<Vec<f64>> = exponents.iter().map(|e| monomial_values(e, &data.fit_x, n)).collect();
        if !columns.iter().flatten().all(|v| v.is_finite()) {
            return None;
        }
        let basis = Basis::of(n, columns.iter().map(Vec::as_slice));
        let outside = Outside::of(&basis)?;
        Some(Eliminated { terms: exponents.iter().map(|e| monomial_factors(data, e)).collect(), basis, outside })
    };
    exponents.into_iter().filter_map(eliminated).collect()
}

impl Eliminated {
    /// Returns the directions of all columns of the bank.
    pub(crate) fn directions(&self, search: &mut Search<'_>, bank: &Bank, n: usize) -> Directions {
        search.spend(n * ROWS * 4);
        let column = |id: usize, out: &mut [f64; ROWS]| {
            *out = bank.column(id as u32).0;
            !bank.is_constant(id as u32)
        };
        Directions::new(directions(search.pool, &self.outside, n, column))
    }

    /// Returns whether the basis and further columns, `[working rows]` each or more, explain a target to rounding.
    pub(crate) fn explains(&self, columns: &[&[f64]], target: &[f64]) -> bool {
        let n = self.rows();
        let mut basis = self.basis.clone();
        columns.iter().for_each(|column| _ = basis.add(&column[..n]));
        norm(&basis.residual(&target[..n])) < NOISE_FREE * spread(&target[..n])
    }

    fn rows(&self) -> usize {
        self.outside.rows()
    }
}

/// Looks for affine laws of the bank's columns. The first basis that has an exact one ends the search.
pub(crate) fn search(search: &mut Search<'_>, bank: &Bank, targets: &Targets) {
    for eliminated in bases(search) {
        let directions = eliminated.directions(search, bank, bank.len());
        search.spend(targets.all.len() * ROWS * 4);
        let mut hits: Vec<(usize, u32, usize)> = Vec::new();
        for (index, target) in targets.all.iter().enumerate() {
            let Some(direction) = eliminated.outside.direction(&target.values) else { continue };
            let Some(id) = directions.parallel_to(&direction) else { continue };
            if eliminated.explains(&[&bank.column(id).0], &target.values) {
                hits.push((bank.cost(id) + targets.cost(index), id, index));
            }
        }
        hits.sort_unstable();
        for (_, id, index) in hits.into_iter().take(MAX_HITS) {
            let mut terms = eliminated.terms.clone();
            terms.push(vec![(bank.expr(id), 1.0)]);
            search.offer(&Law { stage: Stage::Affine, outer: targets.outer(search.data, index), terms });
        }
        if search.is_done() {
            return;
        }
    }
}

/// Offers a + b · f for the columns of each cost with the largest correlations among those since the last call.
pub(crate) fn show_best(search: &mut Search<'_>, bank: &Bank, shown: &mut usize) {
    let mut best: Vec<Vec<u32>> = vec![Vec::new(); bank.complete_cost() + 2];
    for id in (*shown..bank.len()).map(|id| id as u32).filter(|&id| !bank.is_constant(id)) {
        let best = &mut best[bank.cost(id)];
        let at = best.partition_point(|&other| bank.score(other) >= bank.score(id));
        if at < SHOWN {
            best.insert(at, id);
            best.truncate(SHOWN);
        }
    }
    for id in best.into_iter().flatten() {
        let outer = Outer { chain: Chain::default(), factors: vec![] };
        let column = vec![(bank.expr(id), 1.0)];
        if search.options.rules.units.is_some() {
            // A number beside it would need its unit.
            search.offer(&Law { stage: Stage::Affine, outer: outer.clone(), terms: vec![column.clone()] });
        }
        search.offer(&Law { stage: Stage::Affine, outer, terms: vec![vec![], column] });
    }
    *shown = bank.len();
}

/// Computes all expressions of a cost on the fly and looks for a + b · f among them.
pub(crate) fn scan(search: &mut Search<'_>, bank: &mut Bank, targets: &Targets, cost: usize) {
    let n = search.data.n_working();
    let basis = Basis::of(n, [vec![1.0; n].as_slice()]);
    let Some(outside) = Outside::of(&basis) else { return };
    let eliminated = Eliminated { terms: vec![vec![]], basis, outside };
    // The probes of the bank are the first two components of these directions.
    let keyed = |(index, target): (usize, &Target)| {
        let direction = eliminated.outside.direction(&target.values)?;
        Some((key(&direction), index))
    };
    let mut keys: Vec<(f64, usize)> = targets.all.iter().enumerate().filter_map(keyed).collect();
    keys.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let filter = Filter::new(&keys);
    let pool = search.pool;
    let mut hits: Vec<(usize, Recipe, usize)> = Vec::new();
    let wanted = |sums: &Sums| filter.may_contain(projective(sums.outside[0], sums.outside[1]));
    let found = |bank: &Bank, recipe: Recipe| {
        let column = bank.compute(recipe);
        let Some(direction) = eliminated.outside.direction(&column.0) else { return };
        let wanted = key(&direction);
        let from = keys.partition_point(|(key, _)| *key < wanted - TOLERANCE);
        for &(_, index) in keys[from..].iter().take_while(|(key, _)| *key < wanted + TOLERANCE) {
            if hits.len() < 4 * MAX_HITS && eliminated.explains(&[&column.0], &targets.all[index].values) {
                hits.push((targets.cost(index), recipe, index));
            }
        }
    };
    bank.scan(pool, cost, wanted, found, |work| {
        search.spend(work);
        !search.is_done()
    });
    hits.sort_by_key(|&(cost, _, index)| (cost, index));
    for (_, recipe, index) in hits.into_iter().take(MAX_HITS) {
        let terms = vec![vec![], vec![(bank.expr_of(recipe), 1.0)]];
        search.offer(&Law { stage: Stage::Enumeration, outer: targets.outer(search.data, index), terms });
    }
}

/// A set of keys, in which nearly every other number is seen to be missing by one look.
#[derive(Debug)]
struct Filter {
    bits: Vec<u64>,
}

impl Filter {
    const BITS: u32 = 22;

    fn new(keys: &[(f64, usize)]) -> Self {
        let mut filter = Filter { bits: vec![0; 1 << (Self::BITS - 6)] };
        for (key, _) in keys {
            // A key near the edge of a cell is in both.
            for place in [Self::place(key - TOLERANCE), Self::place(key + TOLERANCE)] {
                filter.bits[place / 64] |= 1 << (place % 64);
            }
        }
        filter
    }

    /// Keys are in -1..=3.
    fn place(key: f64) -> usize {
        (((key + 1.0) * f64::from(1_u32 << (Self::BITS - 2))) as usize).min((1 << Self::BITS) - 1)
    }

    fn may_contain(&self, key: f64) -> bool {
        let place = Self::place(key);
        self.bits[place / 64] >> (place % 64) & 1 != 0
    }
}

impl Targets {
    /// Returns what a target adds to the size of a law, about.
    pub(crate) fn cost(&self, index: usize) -> usize {
        let target = &self.all[index];
        let degree: u32 = self.monomials[target.monomial].iter().map(|e| e.unsigned_abs()).sum();
        self.chains[target.chain].0.len() + 2 * degree as usize
    }

    /// Returns a target's function.
    pub(crate) fn outer(&self, data: &Prepared, index: usize) -> Outer {
        let target = &self.all[index];
        let factors = monomial_factors(data, &self.monomials[target.monomial]);
        Outer { chain: self.chains[target.chain].clone(), factors }
    }
}
