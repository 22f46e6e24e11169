//! Rounds of growing banks, each searched for affine laws, pairs and products; and the sizes beyond the last bank.

use crate::bank::{Bank, COLUMN_BYTES};
use crate::eliminate::Outside;
use crate::kernel::{Column, Probes};
use crate::linear::{Basis, norm};
use crate::outer::{Chain, Target, monomials_of, targets};
use crate::prepare::{Prepared, ROWS};
use crate::search::Search;
use crate::{affine, pairs, polynomial, products};

/// The columns of the bank in each round but the last, which is as large as memory allows.
const ROUNDS: [usize; 4] = [1_000, 5_000, 30_000, 200_000];
/// The monomials m and chains g of the targets g(y / m).
const MAX_MONOMIAL_DEGREE: u32 = 4;
const MAX_MONOMIALS: usize = 600;
const MAX_TARGETS: usize = 4000;
/// The share of the remaining budget that all pairs and products of a round may take.
const SHARE: u64 = 3;

/// What the rounds leave to report.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Report {
    pub(crate) columns: usize,
    pub(crate) complete_cost: usize,
    pub(crate) enumerated: u64,
}

/// A function g(y / m) with its values, and what its stage needs to write it down.
#[derive(Debug)]
pub(crate) struct Targets {
    pub(crate) chains: Vec<Chain>,
    pub(crate) monomials: Vec<Vec<i32>>,
    pub(crate) all: Vec<Target>,
}

/// Runs the rounds.
pub(crate) fn run(search: &mut Search<'_>) -> Report {
    let data = search.data;
    let chains: Vec<Chain> = Chain::all(search.builder).into_iter().filter(Chain::is_linear).collect();
    let monomials = monomials_of(data, MAX_MONOMIAL_DEGREE, MAX_MONOMIALS);
    let all = targets(data, &chains, &monomials, MAX_TARGETS);
    search.spend(all.len() * data.fit.len() * 4);
    let targets = Targets { chains, monomials, all };
    let Some(probes) = probes(data) else { return Report::default() };
    let mut bank = Bank::new(data, &search.options.operators, &search.options.constants, probes, &search.options.rules);
    let most = (search.options.memory / COLUMN_BYTES).max(100);
    let stages = search.options.stages;
    let (mut shown, mut tried) = (0, 0);
    for limit in ROUNDS.into_iter().filter(|limit| *limit < most).chain([most]) {
        let before = bank.len();
        let can_grow = bank.grow(search.pool, limit, search.options.max_cost, |work| {
            search.spend(work);
            !search.is_done()
        });
        if bank.len() > before || before <= data.n_used() + 1 {
            if stages.affine && !search.is_done() {
                affine::search(search, &bank, &targets);
                affine::show_best(search, &bank, &mut shown);
            }
            let budget = (search.options.max_work.saturating_sub(search.work)) / SHARE;
            if stages.products && !search.is_done() {
                products::search(search, &bank, budget);
            }
            if stages.polynomials && !search.is_done() {
                polynomial::search_with_columns(search, &bank, &targets, &mut tried);
            }
            if stages.pairs && !search.is_done() {
                pairs::search(search, &bank, &targets, budget);
            }
        }
        if !can_grow || search.is_done() {
            break;
        }
    }
    if stages.enumeration {
        for cost in bank.complete_cost() + 1..=search.options.max_cost {
            if search.is_done() {
                break;
            }
            affine::scan(search, &mut bank, &targets, cost);
        }
    }
    Report { columns: bank.len(), complete_cost: bank.complete_cost(), enumerated: bank.enumerated }
}

/// Returns the probes of the bank: the target, and what is orthogonal to a constant.
pub(crate) fn probes(data: &Prepared) -> Option<Probes> {
    let n = data.n_working();
    let basis = Basis::of(n, [vec![1.0; n].as_slice()]);
    let outside = Outside::of(&basis)?;
    let y = |row: usize| data.fit_y[row % n];
    let mean = (0..ROWS).map(y).sum::<f64>() / ROWS as f64;
    let target: Vec<f64> = (0..ROWS).map(|row| y(row) - mean).collect();
    let length = norm(&target);
    let target = Column(std::array::from_fn(|row| if length > 0.0 { target[row] / length } else { 0.0 }));
    Some(Probes { target, outside: [Column(outside.padded(0)), Column(outside.padded(1))] })
}
