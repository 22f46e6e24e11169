//! One problem: data, what may be used to fit them, and the formula behind them.

use sr_engine::random::{Key, Purpose, problem_key};
use sr_engine::{Instance, InstanceError, PrimitiveSet};
use sr_expr::{Columns, Expr, Op, Semantics, Tree, reference};

use crate::{Error, Sampler};

/// Points drawn for one row before the formula counts as nowhere finite.
const MAX_TRIES: u32 = 1000;

/// A regression problem.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// Its name, unique in its set; random streams are keyed by it.
    pub id: String,
    /// The formula, where it is known.
    pub source: Option<Expr>,
    /// What the formula's operators do outside their domain. Only formulas that were written with guarded operators
    /// (`plog(x0)`) are [`Semantics::Protected`]; a search has semantics of its own.
    pub semantics: Semantics,
    /// Inputs, `[rows, variables]`; every value is exact in 32 bits, because files keep them so.
    pub x: Columns,
    /// Target, `[rows]`, finite; where the formula is known, its value for each row of `x`.
    pub y: Vec<f64>,
    /// Operators a search may use, in table order.
    pub operators: Vec<Op>,
    /// Constants a search may use; none means variables are the only terminals.
    pub constants: Vec<f64>,
    /// Where `x` came from, and where fresh points do.
    pub sampler: Sampler,
    /// The seed `x` was drawn with, and fresh points are.
    pub seed: u64,
}

impl Problem {
    /// A problem with points drawn for a formula: `n_rows` of them, or the whole grid of a [`Sampler::Even`].
    pub(crate) fn sampled(
        id: String,
        (source, semantics): (Expr, Semantics),
        sampler: Sampler,
        n_rows: usize,
        (operators, constants): (Vec<Op>, Vec<f64>),
        seed: u64,
    ) -> Result<Self, Error> {
        let points = match sampler.grid() {
            Some(grid) => finite_points(&source, semantics, grid).ok_or((1, 1)),
            None => {
                let key = Key::new(seed, Purpose::Rows, problem_key(&id));
                draw_points(&source, semantics, &sampler, n_rows, key).map_err(|row| (row + 1, MAX_TRIES))
            }
        };
        match points {
            Ok((x, y)) => {
                Ok(Problem { id, source: Some(source), semantics, x, y, operators, constants, sampler, seed })
            }
            Err((row, tries)) => {
                Err(Error::NoFiniteRow { id, formula: source.display(semantics).to_string(), row, tries })
            }
        }
    }

    /// The problem as a search sees it, without the formula.
    ///
    /// # Errors
    /// If a search could build no expression, or a field breaks its rule.
    pub fn instance(&self) -> Result<Instance, InstanceError> {
        // More columns than indices cannot be named; the variables that can be are searched.
        let n_variables = u16::try_from(self.x.n_columns()).unwrap_or(u16::MAX);
        let primitives = PrimitiveSet::new(self.operators.clone(), self.constants.clone(), n_variables)?;
        Instance::new(&self.id, self.x.clone(), self.y.clone(), primitives)
    }

    /// `n` new points `[n, variables]` of the problem's distribution and the formula's values `[n]` there, all finite,
    /// for judging results. Streams differ from each other and from the data; a stream always gives the same points,
    /// and its first ones whatever `n` is.
    ///
    /// `None` if the formula or the distribution is not known, or no finite value was found.
    pub fn fresh_points(&self, n: usize, stream: u32) -> Option<(Columns, Vec<f64>)> {
        let key = Key::new(self.seed, Purpose::Evaluation, problem_key(&self.id)).generation(stream);
        draw_points(self.source.as_ref()?, self.semantics, &self.sampler, n, key).ok()
    }

    /// The formula as people read it, `pdiv(x0, x1)` where it is guarded.
    pub fn formula(&self) -> Option<String> {
        self.source.as_ref().map(|source| source.display(self.semantics).to_string())
    }

    /// 64 bits of id and data, the same on every machine: two files that agree in it hold the same problem.
    pub fn fingerprint(&self) -> u64 {
        let data = self.x.values().chain(&self.y).map(|value| value.to_bits());
        data.fold(problem_key(&self.id) ^ self.x.n_columns() as u64, mix)
    }
}

/// One step of a fingerprint: the finaliser of SplitMix64 (Steele, Lea & Flood, 2014).
pub(crate) fn mix(hash: u64, word: u64) -> u64 {
    let mut z = (hash ^ word).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// `n` points where `source` is finite; each row has a stream of its own, a new draw of it for every try.
/// The error is the row (from 0) for which none was found.
fn draw_points(
    source: &Tree,
    semantics: Semantics,
    sampler: &Sampler,
    n: usize,
    key: Key,
) -> Result<(Columns, Vec<f64>), usize> {
    let draw = |row: usize| {
        let key = key.slot(row as u32);
        let mut tries = (0..MAX_TRIES).map_while(|attempt| sampler.draw(&mut key.draw(attempt).rng()));
        tries.find(|point| reference::eval_row(source, point, semantics).is_finite()).ok_or(row)
    };
    let rows = (0..n).map(draw).collect::<Result<Vec<_>, _>>()?;
    finite_points(source, semantics, rows).ok_or(0)
}

/// Those of the rows where `source` is finite, with its values; `None` if there are none.
fn finite_points(source: &Tree, semantics: Semantics, rows: Vec<Vec<f64>>) -> Option<(Columns, Vec<f64>)> {
    let valued = rows.into_iter().map(|row| (reference::eval_row(source, &row, semantics), row));
    let (y, rows): (Vec<f64>, Vec<Vec<f64>>) = valued.filter(|(y, _)| y.is_finite()).unzip();
    let n_variables = rows.first()?.len();
    let values = (0..n_variables).flat_map(|variable| rows.iter().map(move |row| row[variable])).collect();
    Some((Columns::new(rows.len(), n_variables, values), y))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ARITH;

    fn problem(formula: &str, sampler: Sampler) -> Result<Problem, Error> {
        let source = formula.parse().expect("test formula");
        Problem::sampled("p".into(), (source, Semantics::Ieee), sampler, 30, (ARITH.to_vec(), vec![1.0]), 5)
    }

    fn uniform(low: f64, high: f64) -> Sampler {
        Sampler::Uniform { ranges: vec![[low, high]] }
    }

    #[test]
    fn rows_without_a_value_are_drawn_again() {
        let p = problem("log(x0)", uniform(-1.0, 1.0)).unwrap();
        assert_eq!(p.y.len(), 30);
        assert!(p.x.values().all(|&x| x > 0.0));
        let error = problem("log(x0)", uniform(-2.0, -1.0)).unwrap_err().to_string();
        assert!(error.contains("log(x0)") && error.contains("row 1"), "{error}");
    }

    #[test]
    fn a_grid_leaves_out_rows_without_a_value() {
        let p = problem("1/x0", Sampler::Even { ranges: vec![[-1.0, 1.0]], points: vec![5] }).unwrap();
        assert_eq!(p.x.column(0), [-1.0, -0.5, 0.5, 1.0]);
        assert_eq!(p.y, [-1.0, -2.0, 2.0, 1.0]);
    }

    #[test]
    fn fresh_points_are_new_and_their_start_is_stable() {
        let p = problem("x0*x0", uniform(-1.0, 1.0)).unwrap();
        let (x, y) = p.fresh_points(50, 0).unwrap();
        assert_eq!(p.fresh_points(20, 0).unwrap().0.column(0), &x.column(0)[..20]);
        assert!(x.column(0).iter().zip(&y).all(|(x, y)| x * x == *y && x.abs() <= 1.0));
        assert_ne!(&x.column(0)[..30], p.x.column(0));
        assert_ne!(p.fresh_points(50, 1).unwrap().0, x);
        assert_eq!(Problem { source: None, ..p.clone() }.fresh_points(5, 0), None);
        assert_eq!(Problem { sampler: Sampler::Fixed, ..p }.fresh_points(5, 0), None);
    }

    #[test]
    fn the_fingerprint_sees_id_and_data() {
        let p = problem("x0", uniform(0.0, 1.0)).unwrap();
        let mut other = p.clone();
        assert_eq!(other.fingerprint(), p.fingerprint());
        other.y[7] += 1e-12;
        assert_ne!(other.fingerprint(), p.fingerprint());
        assert_ne!(Problem { id: "q".into(), ..p.clone() }.fingerprint(), p.fingerprint());
    }
}
