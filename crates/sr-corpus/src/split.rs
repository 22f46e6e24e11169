//! The split into training and validation problems.

use std::borrow::Borrow;
use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};
use sr_engine::random::{Key, Purpose, problem_key};
use sr_problems::Problem;

/// A side of the split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The training side.
    Train,
    /// The validation side.
    Val,
}

/// The split of problems into training and validation.
///
/// Problems whose formulas share a skeleton (the expression without its numbers) are one group; a problem without a
/// formula is its own group. A group is for validation if its random number in `[0, 1)`, keyed by seed and skeleton, is
/// below `val_fraction`. So a formula is on the same side in every problem set and every trace of it, and data
/// aggregated over rounds do not leak. If one side would be empty although there are two or more groups, the group
/// nearest to the border changes sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    val: HashSet<String>,
}

impl Split {
    /// Splits all problems of a set, so that the side does not depend on which of them were searched.
    ///
    /// `val_fraction` is in `[0, 1)`; at 0 there is no validation.
    pub fn new<P: Borrow<Problem>>(problems: impl IntoIterator<Item = P>, val_fraction: f64, seed: u64) -> Self {
        Self::draw(problems, val_fraction, seed, true)
    }

    /// Splits like [`new`](Self::new), but no group changes sides, so a side may be empty. It is for parts of an
    /// aggregate, in which a formula that changed sides in one part would be on the other side in the next.
    pub fn of_part<P: Borrow<Problem>>(problems: impl IntoIterator<Item = P>, val_fraction: f64, seed: u64) -> Self {
        Self::draw(problems, val_fraction, seed, false)
    }

    fn draw<P: Borrow<Problem>>(
        problems: impl IntoIterator<Item = P>,
        val_fraction: f64,
        seed: u64,
        both_sides: bool,
    ) -> Self {
        let mut by_group: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for problem in problems {
            let problem = problem.borrow();
            let group = match &problem.source {
                Some(source) => source.skeleton(),
                None => format!("problem {}", problem.id),
            };
            by_group.entry(group).or_default().push(problem.id.clone());
        }
        let draw = |group: &str| Key::new(seed, Purpose::Split, problem_key(group)).rng().unit();
        let mut groups: Vec<(f64, Vec<String>)> =
            by_group.into_iter().map(|(group, ids)| (draw(&group), ids)).collect();
        groups.sort_by(|a, b| a.0.total_cmp(&b.0)); // stable: equal numbers stay in order of their skeletons
        let below = groups.iter().filter(|(number, _)| *number < val_fraction).count();
        let n_val = match groups.len() {
            _ if val_fraction <= 0.0 => 0,
            _ if !both_sides => below,
            0 | 1 => 0,
            several => below.clamp(1, several - 1),
        };
        groups.truncate(n_val);
        Split { val: groups.into_iter().flat_map(|(_, ids)| ids).collect() }
    }

    /// Returns the side of a problem.
    pub fn side(&self, id: &str) -> Side {
        if self.val.contains(id) { Side::Val } else { Side::Train }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sr_problems::{Generator, RandomParams, parse_operators};

    fn problems(n: u32) -> Vec<Problem> {
        let operators = parse_operators("arith").expect("operators");
        let generator = Generator::new(RandomParams::arith(operators, vec![1.0, 2.5], 0.3, 1)).expect("settings");
        (0..n).map(|index| generator.problem(index).expect("a problem")).collect()
    }

    fn skeletons(problems: &[Problem], split: &Split, side: Side) -> HashSet<String> {
        let of_side = problems.iter().filter(|problem| split.side(&problem.id) == side);
        of_side.map(|problem| problem.source.as_ref().expect("random problems have formulas").skeleton()).collect()
    }

    #[test]
    fn parts_agree_with_each_other() {
        let problems = problems(60);
        let of = |split: &Split, part: &[Problem]| -> Vec<Side> { part.iter().map(|p| split.side(&p.id)).collect() };
        let whole = of(&Split::of_part(&problems, 0.1, 3), &problems);
        let parts = problems.chunks(4).flat_map(|part| of(&Split::of_part(part, 0.1, 3), part));
        assert_eq!(parts.collect::<Vec<_>>(), whole);
        assert!(whole.contains(&Side::Val));
    }

    #[test]
    fn no_skeleton_is_on_both_sides() {
        let problems = problems(300);
        let distinct: HashSet<String> =
            problems.iter().map(|p| p.source.as_ref().expect("a formula").skeleton()).collect();
        assert!(distinct.len() < problems.len(), "no two problems share a skeleton: the test shows nothing");
        for seed in 0..5 {
            let split = Split::new(&problems, 0.2, seed);
            let val = skeletons(&problems, &split, Side::Val);
            assert!(val.is_disjoint(&skeletons(&problems, &split, Side::Train)));
            assert!((distinct.len() / 10..distinct.len() * 3 / 10).contains(&val.len()), "{}", val.len());
        }
    }

    #[test]
    fn the_side_depends_on_seed_and_skeleton_alone() {
        let problems = problems(300);
        let (whole, part) = (Split::new(&problems, 0.2, 7), Split::new(&problems[50..250], 0.2, 7));
        assert!(problems[50..250].iter().all(|problem| whole.side(&problem.id) == part.side(&problem.id)));
        assert_ne!(whole, Split::new(&problems, 0.2, 8));
    }

    #[test]
    fn both_sides_get_a_group_if_there_are_two() {
        let mut problems = problems(2);
        problems[0].source = Some("x0 + 1".parse().expect("a formula"));
        problems[1].source = Some("x0 * 1".parse().expect("a formula"));
        for fraction in [1e-9, 0.5, 0.999_999] {
            let split = Split::new(&problems, fraction, 3);
            let n_val = problems.iter().filter(|problem| split.side(&problem.id) == Side::Val).count();
            assert_eq!(n_val, 1, "{fraction}");
        }
        let one_side = |problems: &[Problem], fraction| Split::new(problems, fraction, 3).val.is_empty();
        assert!(one_side(&problems, 0.0), "no validation was asked for");
        problems[1].source = Some("x0 + 2".parse().expect("a formula"));
        assert!(one_side(&problems, 0.9), "one group cannot be split");
        problems.iter_mut().for_each(|problem| problem.source = None);
        assert!(!one_side(&problems, 0.5), "without formulas every problem is a group");
    }
}
