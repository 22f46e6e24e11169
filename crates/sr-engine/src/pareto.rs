//! Survival by non-dominated sorting on error and size.

use crate::Score;

/// Error and size of a candidate for survival.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Point {
    pub(crate) score: Score,
    pub(crate) size: usize,
}

/// Memory for the sorting, to be reused.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sorting {
    order: Vec<u32>,
    rank: Vec<u32>,
    crowding: Vec<f64>,
    /// The error of the last point of each front.
    last: Vec<f64>,
    front: Vec<u32>,
    is_in: Vec<bool>,
}

/// Errors that agree in this many bits of their mantissa, five decimal digits, are the same error.
const SAME_ERROR_BITS: u32 = 52 - 17;

impl Sorting {
    /// Writes the indices of the `count` points that survive to `survivors`, the best rank first. O(n log n).
    pub(crate) fn select(&mut self, points: &[Point], count: usize, survivors: &mut Vec<u32>) {
        survivors.clear();
        self.sort(points);
        let Sorting { order, rank, crowding, is_in, .. } = self;
        // Better ranks first; in a rank those with more room around them; equals in the order of their indices.
        order.sort_unstable_by(|&a, &b| {
            let (a_at, b_at) = (a as usize, b as usize);
            rank[a_at].cmp(&rank[b_at]).then(crowding[b_at].total_cmp(&crowding[a_at])).then(a.cmp(&b))
        });
        survivors.extend(order.iter().take(count.div_ceil(2)));
        is_in.clear();
        is_in.resize(points.len(), false);
        survivors.iter().for_each(|&index| is_in[index as usize] = true);
        let fitness = |index: u32| points[index as usize].score.fitness;
        order.retain(|&index| !is_in[index as usize]);
        order.sort_unstable_by(|&a, &b| fitness(b).total_cmp(&fitness(a)).then(a.cmp(&b)));
        survivors.extend(order.iter().take(count - survivors.len()));
    }

    /// Ranks the points without repeats, which are left in `order`.
    fn sort(&mut self, points: &[Point]) {
        let Sorting { order, rank, crowding, last, front, .. } = self;
        let error = |index: u32| {
            f64::from_bits(points[index as usize].score.mse.to_bits() >> SAME_ERROR_BITS << SAME_ERROR_BITS)
        };
        let size = |index: u32| points[index as usize].size;
        order.clear();
        order.extend(0..points.len() as u32);
        order.sort_unstable_by(|&a, &b| size(a).cmp(&size(b)).then(error(a).total_cmp(&error(b))).then(b.cmp(&a)));
        // Of equals the youngest stays.
        order.dedup_by(|a, b| size(*a) == size(*b) && error(*a) == error(*b));
        rank.clear();
        rank.resize(points.len(), u32::MAX);
        crowding.clear();
        crowding.resize(points.len(), 0.0);
        last.clear();
        // The first front whose last point, which is not larger, has a larger error; their last errors ascend.
        for &index in order.iter() {
            let at = last.partition_point(|&last| last <= error(index));
            match last.get_mut(at) {
                Some(last) => *last = error(index),
                None => last.push(error(index)),
            }
            rank[index as usize] = at as u32;
        }
        // Crowding by size and by the logarithm of the error, whose ranges are about alike.
        for this in 0..last.len() as u32 {
            front.clear();
            front.extend(order.iter().filter(|&&index| rank[index as usize] == this));
            for at in 0..front.len() {
                let room = match (at.checked_sub(1).map(|before| front[before]), front.get(at + 1)) {
                    (Some(before), Some(&after)) => {
                        let errors = (error(before).max(1e-300) / error(after).max(1e-300)).ln();
                        (size(after) - size(before)) as f64 + if errors.is_finite() { errors } else { 1e3 }
                    }
                    _ => f64::INFINITY,
                };
                crowding[front[at] as usize] = room;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(size: usize, mse: f64) -> Point {
        Point { score: Score { mse, fitness: -mse - 1e-3 * size as f64 }, size }
    }

    /// The rank by its definition: one more than the greatest rank of those that dominate it.
    fn slow_ranks(points: &[Point]) -> Vec<u32> {
        let dominates = |a: &Point, b: &Point| {
            a.size <= b.size && a.score.mse <= b.score.mse && (a.size, a.score.mse) != (b.size, b.score.mse)
        };
        let mut order: Vec<usize> = (0..points.len()).collect();
        order.sort_by(|&a, &b| {
            points[a].size.cmp(&points[b].size).then(points[a].score.mse.total_cmp(&points[b].score.mse))
        });
        let mut ranks = vec![0; points.len()];
        for (at, &index) in order.iter().enumerate() {
            let above = order[..at].iter().filter(|&&other| dominates(&points[other], &points[index]));
            ranks[index] = above.map(|&other| ranks[other] + 1).max().unwrap_or(0);
        }
        ranks
    }

    #[test]
    fn ranks_are_those_of_their_definition() {
        let mut state = 7_u64;
        let mut draw = |below: u64| {
            state = sr_expr::hash::mix(state, 1);
            state % below
        };
        for _ in 0..200 {
            let mut points: Vec<Point> =
                (0..1 + draw(40)).map(|_| point(1 + draw(6) as usize, draw(9) as f64 / 4.0)).collect();
            points.sort_by(|a, b| a.size.cmp(&b.size).then(a.score.mse.total_cmp(&b.score.mse)));
            points.dedup();
            let mut sorting = Sorting::default();
            sorting.sort(&points);
            assert_eq!(sorting.rank, slow_ranks(&points));
        }
    }

    #[test]
    fn the_front_comes_first_and_repeats_go() {
        let points =
            [point(3, 0.5), point(1, 1.0), point(5, 0.1), point(5, 0.2), point(3, 0.5), point(7, f64::INFINITY)];
        let mut survivors = Vec::new();
        Sorting::default().select(&points, 6, &mut survivors);
        let mut front = survivors[..3].to_vec();
        front.sort_unstable();
        assert_eq!(front, [1, 2, 4], "the younger of the equals, the best of each size");
        assert_eq!(survivors[3..], [3, 5], "then the fittest");
        Sorting::default().select(&points, 2, &mut survivors);
        assert_eq!(survivors.len(), 2);
    }
}
