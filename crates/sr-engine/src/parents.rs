//! Ancestry: likely parents of individuals without recorded ones, and the lineage of the winner.

use std::collections::HashMap;

use sr_expr::{Node, Tree};

use crate::{Parents, Population};

/// Operators that a shared subtree needs to count as inherited; smaller subtrees are shared by chance.
const MIN_SHARED_OPERATORS: usize = 2;

/// Returns up to two likely parents of a child that was not made by an edit (a learner's). They are the individuals
/// that share the largest subtrees, of at least two operators, with the child. The second one has to share another
/// subtree than the first, not a part of it. The lower index wins among equals.
pub fn likely_parents(child: &Tree, population: &Population) -> Parents {
    // Subtrees of the child that are large enough, largest first.
    let mut wanted: Vec<(usize, usize)> = (0..child.size())
        .filter_map(|root| {
            let start = child.subtree_start(root);
            let operators = child.nodes()[start..=root].iter().filter(|n| matches!(n, Node::Op(_))).count();
            (operators >= MIN_SHARED_OPERATORS).then_some((start, root))
        })
        .collect();
    if wanted.is_empty() {
        return Parents::None;
    }
    wanted.sort_by_key(|&(start, root)| (std::cmp::Reverse(root - start), start));
    let mut owner: HashMap<&[Node], u32> = HashMap::new();
    for (index, individual) in population.iter().enumerate() {
        let tree = individual.tree;
        for root in 0..tree.size() {
            if tree.nodes()[root].arity() > 0 {
                owner.entry(tree.subtree(root).nodes()).or_insert(index as u32);
            }
        }
    }
    let mut first: Option<(u32, usize, usize)> = None;
    for (start, root) in wanted {
        let Some(&index) = owner.get(&child.nodes()[start..=root]) else { continue };
        match first {
            None => first = Some((index, start, root)),
            Some((parent, from, to)) if index != parent && (root < from || start > to) => {
                return Parents::Two(parent, index);
            }
            Some(_) => {}
        }
    }
    first.map_or(Parents::None, |(index, ..)| Parents::One(index))
}

/// Returns the ancestors of individual `winner` of the last generation: for each generation the sorted indices of those
/// it descends from, in the last one its own.
///
/// - `parents`: `[generations][individuals]`, parents as indices into the generation before
pub fn lineage(parents: &[Vec<Parents>], winner: usize) -> Vec<Vec<u32>> {
    let mut line = vec![Vec::new(); parents.len()];
    let Some(last) = line.last_mut() else { return line };
    last.push(winner as u32);
    for generation in (1..parents.len()).rev() {
        let mut ancestors: Vec<u32> =
            line[generation].iter().flat_map(|&index| parents[generation][index as usize].iter()).collect();
        ancestors.sort_unstable();
        ancestors.dedup();
        line[generation - 1] = ancestors;
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Child, IndividualRef, Origin, Score};

    fn population(texts: &[&str]) -> Population {
        let exprs: Vec<sr_expr::Expr> = texts.iter().map(|text| text.parse().expect(text)).collect();
        Population::new(
            exprs.iter().map(|expr| IndividualRef::new(Child::orphan(expr, Origin::Random), Score::INVALID)),
        )
    }

    #[test]
    fn heritage_finds_the_largest_shared_subtrees() {
        let parents = population(&["x0", "x0*x1 + 1", "sin(x1*x2) - x0", "x0*x1 + 1"]);
        let of = |text: &str| likely_parents(&text.parse::<sr_expr::Expr>().expect(text), &parents);
        assert_eq!(of("(x0*x1 + 1) * sin(x1*x2)"), Parents::Two(1, 2));
        assert_eq!(of("(x0*x1 + 1) * x2"), Parents::One(1));
        assert_eq!(of("x0*x1 + x2"), Parents::None, "one operator is chance");
        assert_eq!(of("x0"), Parents::None);
    }

    #[test]
    fn lineage_runs_backwards_from_the_winner() {
        use Parents::{None, One, Two};
        let parents = vec![vec![None; 3], vec![One(0), Two(1, 2), One(2)], vec![One(0), Two(1, 1), Two(2, 1)]];
        assert_eq!(lineage(&parents, 2), [vec![1, 2], vec![1, 2], vec![2]]);
        assert_eq!(lineage(&parents, 0), [vec![0], vec![0], vec![0]]);
        assert!(lineage(&[], 0).is_empty());
    }
}
