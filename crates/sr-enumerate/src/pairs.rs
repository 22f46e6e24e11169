//! *D*: g(y / m) = p(x) + b · f₁ + c · f₂, and with a third column among the smallest ones, by elimination.

use rayon::prelude::*;

use crate::Stage;
use crate::affine::bases;
use crate::bank::Bank;
use crate::law::Law;
use crate::rounds::Targets;
use crate::search::Search;

/// The columns that pairs are made of at most; the work is N log N for each target.
const MAX_COLUMNS: usize = 300_000;
/// The columns that a third one is chosen from, and that it is combined with.
const MAX_THIRD: usize = 40;
const MAX_COLUMNS_OF_THREE: usize = 20_000;
/// The laws of one basis that are fitted in full.
const MAX_HITS: usize = 24;
/// The targets that are searched for at least and at most.
const MAX_TARGETS: usize = 400;

/// Looks for pairs and triples within a budget. The first basis that has an exact law ends the search.
pub(crate) fn search(search: &mut Search<'_>, bank: &Bank, targets: &Targets, budget: u64) {
    let bases = bases(search);
    let share = budget / bases.len().max(1) as u64;
    let n = bank.len().min(MAX_COLUMNS);
    for eliminated in &bases {
        let table = eliminated.directions(search, bank, n);
        let per_target = (table.len().max(1) * crate::prepare::ROWS) as u64;
        let n_targets = (share / per_target).min(MAX_TARGETS as u64) as usize;
        let directions: Vec<_> = (targets.all.iter().enumerate())
            .filter_map(|(index, target)| Some((index, eliminated.outside.direction(&target.values)?)))
            .take(n_targets)
            .collect();
        search.spend(directions.len() * per_target as usize);
        let pairs = |(index, direction): &(usize, [f64; 4])| {
            let explains = |ids: &[u32]| {
                let columns: Vec<&[f64]> = ids.iter().map(|&id| &bank.column(id).0[..]).collect();
                eliminated.explains(&columns, &targets.all[*index].values)
            };
            let pairs = table.pairs(direction).into_iter().map(|(a, b)| vec![a, b]);
            pairs.filter(|ids| explains(ids)).take(MAX_HITS).map(|ids| (*index, ids)).collect::<Vec<_>>()
        };
        let mut hits: Vec<(usize, Vec<u32>)> =
            search.pool.install(|| directions.par_iter().flat_map_iter(pairs).collect());
        if hits.is_empty() && table.len() <= MAX_COLUMNS_OF_THREE {
            let thirds = table.smallest(MAX_THIRD);
            let n_targets = (n_targets / MAX_THIRD).max(1).min(directions.len());
            search.spend(n_targets * thirds.len() * per_target as usize);
            let triples = |(index, direction): &(usize, [f64; 4])| {
                let target = &targets.all[*index].values;
                let mut found = Vec::new();
                for (third, third_direction) in &thirds {
                    for (a, b) in table.pairs_with(direction, third_direction) {
                        let columns = [a, b, *third].map(|id| &bank.column(id).0[..]);
                        if a != *third && b != *third && eliminated.explains(&columns, target) {
                            found.push((*index, vec![a, b, *third]));
                        }
                    }
                }
                found
            };
            hits = search.pool.install(|| directions[..n_targets].par_iter().flat_map_iter(triples).collect());
        }
        let size = |ids: &[u32]| ids.iter().map(|&id| bank.cost(id)).sum::<usize>();
        hits.sort_by_cached_key(|(index, ids)| (size(ids) + targets.cost(*index), *index, ids.clone()));
        for (index, ids) in hits.into_iter().take(MAX_HITS) {
            let mut terms = eliminated.terms.clone();
            terms.extend(ids.iter().map(|&id| vec![(bank.expr(id), 1.0)]));
            search.offer(&Law { stage: Stage::Pairs, outer: targets.outer(search.data, index), terms });
        }
        if search.is_done() {
            return;
        }
    }
}
