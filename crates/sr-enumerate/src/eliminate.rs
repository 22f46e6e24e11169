//! Linear relations between columns, found by elimination instead of by trying: the affine law of one column and, above
//! all, all pairs of N columns in O(N log N).
//!
//! Let B be a basis (a constant, the variables, …), t the target and f₁, f₂ columns with t = b + β f₁ + γ f₂, b in the
//! span of B. Dot products with four vectors orthogonal to B map every column to a [`Direction`] in R⁴, in which the
//! relation is w(t) = β w(f₁) + γ w(f₂). So
//! - a column alone explains t, t = b + β f, iff w(f) and w(t) are parallel: equal keys, found by sorting;
//! - f₁ and f₂ together explain t iff, seen along w(t), w(f₁) and w(f₂) lie on one line: their projections onto a plane
//!   orthogonal to w(t) have equal angles, found by sorting N angles;
//! - a third column f₃ that is given is eliminated like t, which leaves a plane of R⁴.
//!
//! A Gram matrix would need 64 products for each of N² pairs. It would rank approximations too; this finds exact
//! relations only, which is what data without noise need, and every find is checked on all fitted rows.
//!
//! With logarithms of columns the same finds products of powers.

use rayon::ThreadPool;
use rayon::prelude::*;

use crate::linear::{Basis, dot};
use crate::prepare::ROWS;

/// The dot products of a column with four vectors orthogonal to the basis, divided by the column's norm.
pub(crate) type Direction = [f64; 4];

/// Directions shorter than this are of columns that the basis all but explains, whose rounding is too large.
const SHORTEST: f64 = 1e-6;
/// Projections shorter than this, relative to the direction, have no angle that rounding leaves intact.
const SHORTEST_PROJECTION: f64 = 1e-4;
/// Keys closer than this may be equal.
const TOLERANCE: f64 = 2e-9;
/// Directions are parallel, or lie in one plane, if the sine of the angle is below this.
const PARALLEL: f64 = 1e-7;
/// The columns of one plane that pairs are made of, the smallest expressions: any two explain the target.
const MAX_IN_PLANE: usize = 4;

/// Vectors orthogonal to a basis.
#[derive(Debug, Clone)]
pub(crate) struct Outside {
    vectors: Vec<Vec<f64>>,
}

impl Outside {
    /// Makes them for a basis of columns of at most [`ROWS`] rows, or returns `None` if it leaves no room for four.
    pub(crate) fn of(basis: &Basis) -> Option<Self> {
        basis.annihilators(4).map(|vectors| Outside { vectors })
    }

    /// Returns the number of rows of the basis.
    pub(crate) fn rows(&self) -> usize {
        self.vectors[0].len()
    }

    /// Returns vector `index` with zeros for the rows that the data do not have.
    pub(crate) fn padded(&self, index: usize) -> [f64; ROWS] {
        let vector = &self.vectors[index];
        std::array::from_fn(|row| vector.get(row).copied().unwrap_or(0.0))
    }

    /// Returns the direction of a column, or `None` if the basis explains it or it is not finite. More rows than the basis
    /// has are ignored.
    pub(crate) fn direction(&self, column: &[f64]) -> Option<Direction> {
        let column = &column[..self.vectors[0].len()];
        let norm = dot(column, column).sqrt();
        let direction = std::array::from_fn(|i| dot(&self.vectors[i], column) / norm);
        (length(&direction) > SHORTEST).then_some(direction)
    }
}

/// Columns by their directions, none of which is another one's but for the basis and a factor.
#[derive(Debug)]
pub(crate) struct Directions {
    /// Sorted by key.
    keys: Vec<f64>,
    directions: Vec<Direction>,
    ids: Vec<u32>,
}

impl Directions {
    /// Makes the table. Of columns that are equal but for the basis and a factor, the smallest id stays.
    pub(crate) fn new(columns: Vec<(u32, Direction)>) -> Self {
        let mut keyed: Vec<(f64, u32, Direction)> =
            columns.into_iter().map(|(id, direction)| (key(&direction), id, direction)).collect();
        keyed.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let mut table = Directions { keys: Vec::new(), directions: Vec::new(), ids: Vec::new() };
        let mut start = 0;
        let mut kept: Vec<usize> = Vec::new();
        while start < keyed.len() {
            // A run of neighbours with equal keys, in which the directions are compared in full.
            let mut end = start + 1;
            while end < keyed.len() && keyed[end].0 - keyed[end - 1].0 < TOLERANCE {
                end += 1;
            }
            let mut run: Vec<usize> = (start..end).collect();
            run.sort_by_key(|&i| keyed[i].1);
            kept.clear();
            for i in run {
                if !kept.iter().any(|&other| is_parallel(&keyed[other].2, &keyed[i].2)) {
                    kept.push(i);
                }
            }
            kept.sort_unstable();
            for &i in &kept {
                table.keys.push(keyed[i].0);
                table.ids.push(keyed[i].1);
                table.directions.push(keyed[i].2);
            }
            start = end;
        }
        table
    }

    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }

    /// Returns the column that alone explains a target. O(log N).
    pub(crate) fn parallel_to(&self, target: &Direction) -> Option<u32> {
        let wanted = key(target);
        let from = self.keys.partition_point(|k| *k < wanted - TOLERANCE);
        let near = (from..self.len()).take_while(|&i| self.keys[i] <= wanted + TOLERANCE);
        near.filter(|&i| is_parallel(&self.directions[i], target)).map(|i| self.ids[i]).min()
    }

    /// Returns pairs of columns that together explain a target, smallest ids first. O(N log N).
    pub(crate) fn pairs(&self, target: &Direction) -> Vec<(u32, u32)> {
        // In R³, so that the fourth component can reject chance.
        let [p, q] = plane3(target);
        let angle = |w: &Direction| {
            let (u, v) = (dot3(&p, w), dot3(&q, w));
            is_long(u, v, w).then(|| projective(u, v))
        };
        let mut found = Vec::new();
        self.in_planes(angle, |a, b| {
            if is_in_plane(target, &self.directions[a], &self.directions[b]) {
                found.push(ordered(self.ids[a], self.ids[b]));
            }
        });
        found.sort_unstable();
        found
    }

    /// Returns pairs that explain a target together with a third direction. O(N log N).
    pub(crate) fn pairs_with(&self, target: &Direction, third: &Direction) -> Vec<(u32, u32)> {
        let Some([p, q]) = plane4(target, third) else { return Vec::new() };
        let angle = |w: &Direction| {
            let (u, v) = (dot4(&p, w), dot4(&q, w));
            is_long(u, v, w).then(|| projective(u, v))
        };
        let mut found = Vec::new();
        self.in_planes(angle, |a, b| found.push(ordered(self.ids[a], self.ids[b])));
        found.sort_unstable();
        found
    }

    /// Calls `pair` with pairs of positions whose angles are equal.
    fn in_planes(&self, angle: impl Fn(&Direction) -> Option<f64>, mut pair: impl FnMut(usize, usize)) {
        let mut angles: Vec<(f64, u32)> = Vec::with_capacity(self.len());
        for (position, direction) in self.directions.iter().enumerate() {
            if let Some(angle) = angle(direction) {
                angles.push((angle, position as u32));
            }
        }
        angles.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let mut start = 0;
        let mut run: Vec<usize> = Vec::new();
        while start < angles.len() {
            let mut end = start + 1;
            while end < angles.len() && angles[end].0 - angles[end - 1].0 < TOLERANCE {
                end += 1;
            }
            if end - start > 1 {
                run.clear();
                run.extend(angles[start..end].iter().map(|&(_, position)| position as usize));
                run.sort_by_key(|&position| self.ids[position]);
                run.truncate(MAX_IN_PLANE);
                for (i, &a) in run.iter().enumerate() {
                    run[i + 1..].iter().for_each(|&b| pair(a, b));
                }
            }
            start = end;
        }
    }

    /// Returns the directions of the columns with the smallest ids, which are the smallest expressions.
    pub(crate) fn smallest(&self, n: usize) -> Vec<(u32, Direction)> {
        let mut all: Vec<(u32, Direction)> = self.ids.iter().copied().zip(self.directions.iter().copied()).collect();
        all.sort_unstable_by_key(|(id, _)| *id);
        all.truncate(n);
        all
    }
}

/// Computes the directions of columns 0 to n in parallel; `column` writes one into a buffer.
pub(crate) fn directions(
    pool: &ThreadPool,
    outside: &Outside,
    n: usize,
    column: impl Fn(usize, &mut [f64; ROWS]) -> bool + Sync,
) -> Vec<(u32, Direction)> {
    let direction = |id: usize| {
        let mut values = [0.0; ROWS];
        let is_there = column(id, &mut values);
        is_there.then(|| outside.direction(&values)).flatten().map(|direction| (id as u32, direction))
    };
    // `filter_map` of an indexed range keeps the order.
    pool.install(|| (0..n).into_par_iter().with_min_len(256).filter_map(direction).collect())
}

fn ordered(a: u32, b: u32) -> (u32, u32) {
    (a.min(b), a.max(b))
}

fn dot3(a: &[f64; 3], b: &Direction) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn dot4(a: &Direction, b: &Direction) -> f64 {
    (a[0] * b[0] + a[1] * b[1]) + (a[2] * b[2] + a[3] * b[3])
}

fn length(a: &Direction) -> f64 {
    dot4(a, a).sqrt()
}

fn is_long(u: f64, v: f64, w: &Direction) -> bool {
    u * u + v * v > SHORTEST_PROJECTION * SHORTEST_PROJECTION * dot4(w, w)
}

/// Returns a number for the line through 0 and (u, v): monotone in its angle, in -1..3, without an arc tangent.
pub(crate) fn projective(u: f64, v: f64) -> f64 {
    if u.abs() >= v.abs() { v / u } else { 2.0 - u / v }
}

/// Returns the key of a direction: equal for parallel ones.
pub(crate) fn key(w: &Direction) -> f64 {
    projective(w[0], w[1])
}

fn is_parallel(a: &Direction, b: &Direction) -> bool {
    let along = dot4(a, b) / dot4(a, a);
    let rest: Direction = std::array::from_fn(|i| b[i] - along * a[i]);
    length(&rest) < PARALLEL * length(b)
}

/// Returns whether a target lies in the plane of two directions.
fn is_in_plane(target: &Direction, a: &Direction, b: &Direction) -> bool {
    let along = dot4(a, b) / dot4(a, a);
    let b: Direction = std::array::from_fn(|i| b[i] - along * a[i]);
    let (on_a, on_b) = (dot4(target, a) / dot4(a, a), dot4(target, &b) / dot4(&b, &b));
    let rest: Direction = std::array::from_fn(|i| target[i] - on_a * a[i] - on_b * b[i]);
    length(&rest) < PARALLEL * length(target)
}

/// Returns orthonormal vectors of R³ that are orthogonal to the first three components of `w`.
fn plane3(w: &Direction) -> [[f64; 3]; 2] {
    let cross = |a: [f64; 3], b: [f64; 3]| {
        let c = [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
        let length = (c[0] * c[0] + c[1] * c[1] + c[2] * c[2]).sqrt();
        c.map(|v| v / length)
    };
    let w = [w[0], w[1], w[2]];
    let smallest = (0..3).min_by(|&a, &b| w[a].abs().total_cmp(&w[b].abs())).unwrap_or(0);
    let axis = std::array::from_fn(|i| if i == smallest { 1.0 } else { 0.0 });
    let p = cross(w, axis);
    [p, cross(w, p)]
}

/// Returns orthonormal vectors of R⁴ orthogonal to two directions, unless these are parallel.
fn plane4(a: &Direction, b: &Direction) -> Option<[Direction; 2]> {
    let basis = Basis::of(4, [a.as_slice(), b.as_slice()]);
    if basis.dimensions() < 2 || is_parallel(a, b) {
        return None;
    }
    let vectors = basis.annihilators(2)?;
    let direction = |v: &Vec<f64>| std::array::from_fn(|i| v[i]);
    Some([direction(&vectors[0]), direction(&vectors[1])])
}

#[cfg(test)]
mod tests {
    use sr_expr::hash::mix;

    use super::*;

    fn column(seed: u64) -> [f64; ROWS] {
        std::array::from_fn(|row| (mix(seed, row as u64) >> 11) as f64 / (1_u64 << 53) as f64)
    }

    fn eliminated() -> (Outside, Directions) {
        let linear: Vec<f64> = (0..ROWS).map(|row| row as f64).collect();
        let basis = Basis::of(ROWS, [[1.0; ROWS].as_slice(), &linear]);
        let outside = Outside::of(&basis).expect("room");
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().expect("threads");
        let columns = directions(&pool, &outside, 2000, |id, out| {
            *out = column(id as u64);
            true
        });
        (outside, Directions::new(columns))
    }

    fn target(coefficients: &[(u64, f64)]) -> [f64; ROWS] {
        std::array::from_fn(|row| {
            let terms = coefficients.iter().map(|&(seed, c)| c * column(seed)[row]);
            5.0 - 0.1 * row as f64 + terms.sum::<f64>()
        })
    }

    #[test]
    fn one_two_and_three_columns_are_found() {
        let (outside, table) = eliminated();
        let direction = |coefficients: &[(u64, f64)]| outside.direction(&target(coefficients)).expect("no basis");
        assert_eq!(table.parallel_to(&direction(&[(77, -3.0)])), Some(77));
        assert_eq!(table.parallel_to(&direction(&[(77, -3.0), (78, 1e-5)])), None);
        assert_eq!(table.pairs(&direction(&[(1203, 0.01), (9, 2.0)])), [(9, 1203)]);
        assert_eq!(table.pairs(&direction(&[(1, 1.0), (2, 1.0), (3, 1.0)])), []);
        let third = outside.direction(&column(500)).expect("no basis");
        let found = table.pairs_with(&direction(&[(1203, 0.7), (9, 2.0), (500, -1.0)]), &third);
        assert!(found.contains(&(9, 1203)), "{found:?}");
    }

    /// The definition of [`Directions::pairs`]: each pair is tried.
    fn pairs_by_trial(columns: &[[f64; ROWS]], basis: &Basis, target: &[f64]) -> Vec<(u32, u32)> {
        let mut found = Vec::new();
        for a in 0..columns.len() {
            for b in a + 1..columns.len() {
                let mut both = basis.clone();
                if both.add(&columns[a]) && both.add(&columns[b]) && crate::linear::norm(&both.residual(target)) < 1e-9
                {
                    found.push((a as u32, b as u32));
                }
            }
        }
        found
    }

    #[test]
    fn pairs_agree_with_trial() {
        let basis = Basis::of(ROWS, [[1.0; ROWS].as_slice()]);
        let outside = Outside::of(&basis).expect("room");
        let mut columns: Vec<[f64; ROWS]> = (0..12).map(column).collect();
        // Three columns of one plane, so that two pairs explain the target.
        columns.push(std::array::from_fn(|row| columns[0][row] * 2.0 + columns[1][row]));
        let target: [f64; ROWS] = std::array::from_fn(|row| 1.0 + columns[0][row] - columns[1][row]);
        let table = Directions::new(
            (columns.iter().enumerate()).filter_map(|(id, c)| Some((id as u32, outside.direction(c)?))).collect(),
        );
        let found = table.pairs(&outside.direction(&target).expect("no basis"));
        assert_eq!(found, pairs_by_trial(&columns, &basis, &target));
        assert_eq!(found.len(), 3);
    }

    #[test]
    fn columns_that_the_basis_makes_equal_are_one() {
        let (outside, _) = eliminated();
        let shifted: [f64; ROWS] = std::array::from_fn(|row| 7.0 + row as f64 - 2.0 * column(5)[row]);
        let direction = |values: &[f64]| outside.direction(values).expect("no basis");
        let table =
            Directions::new(vec![(1, direction(&column(6))), (2, direction(&shifted)), (0, direction(&column(5)))]);
        assert_eq!(table.len(), 2);
        assert_eq!(table.smallest(5).into_iter().map(|(id, _)| id).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(outside.direction(&[3.0; ROWS]), None);
    }
}
