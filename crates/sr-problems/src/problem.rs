//! The problem: data, the primitives to fit them with, and the formula behind them.

use sr_engine::random::{Key, Purpose, problem_key};
use sr_engine::{Instance, InstanceError, PrimitiveSet};
use sr_expr::hash::mix;
use sr_expr::{Columns, Expr, Formula, Op, Semantics, Tree, reference};

use crate::error::short;
use crate::{Error, Sampler};

/// The number of points drawn for one row before the formula counts as nowhere finite.
const MAX_TRIES: u32 = 1000;

/// The bytes that a set of problems with a stated number of points may have, because it is made in memory.
pub(crate) const MAX_SET_BYTES: u64 = 16 << 30;

/// Returns an error for more points than can be made and written, of one problem or of all.
pub(crate) fn check_points(points: u32, variables: usize, problems: usize) -> Result<(), Error> {
    let row = 8 * (variables as u64 + 1);
    let most = sr_codec::MAX_RECORD_BYTES as u64 / row;
    if u64::from(points) > most {
        return Err(Error::TooManyPoints { points, variables, most });
    }
    match (u64::from(points) * row).saturating_mul(problems as u64) > MAX_SET_BYTES {
        true => Err(Error::TooLarge { problems, points }),
        false => Ok(()),
    }
}

/// A regression problem.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// The name, unique in its set, which is part of the key of its random streams.
    pub id: String,
    /// The formula, where it is known.
    pub source: Option<Expr>,
    /// The semantics of the formula's operators. Only formulas that were written with guarded operators (`plog(x0)`)
    /// are [`Semantics::Protected`]; a search has its own semantics.
    pub semantics: Semantics,
    /// The inputs, `[rows, variables]`. Inputs that were drawn are exact in 32 bits, unless their range is too narrow
    /// for that.
    pub x: Columns,
    /// The target, `[rows]`, finite. Where the formula is known, it is its value for each row of `x`.
    pub y: Vec<f64>,
    /// The weights of the rows, `[rows]`: finite, not negative, not all 0. `None` counts all rows the same.
    pub weights: Option<Vec<f64>>,
    /// The operators that a search may use, in table order.
    pub operators: Vec<Op>,
    /// The constants that a search may use. If there are none, variables are the only terminals.
    pub constants: Vec<f64>,
    /// The distribution of `x`, and of fresh points.
    pub sampler: Sampler,
    /// The seed of `x`, and of fresh points.
    pub seed: u64,
}

impl Problem {
    /// Makes a problem with points drawn for a formula: `n_rows` of them, or the whole grid of a [`Sampler::Even`].
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
                let source = Some(source);
                Ok(Problem { id, source, semantics, x, y, weights: None, operators, constants, sampler, seed })
            }
            Err((row, tries)) => {
                Err(Error::NoFiniteRow { id, formula: source.display(semantics).to_string(), row, tries })
            }
        }
    }

    /// Returns whether the data were given and no formula behind them is known, as with
    /// [`from_table`](crate::from_table).
    pub fn is_own_data(&self) -> bool {
        self.source.is_none() && self.sampler == Sampler::Fixed
    }

    /// Checks that every field keeps its rule and a file can hold the problem. The error says why not.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.check_fields()?;
        let Some(source) = &self.source else { return Ok(()) };
        // Every expression can be printed, but not every text is read as the same one.
        match source.display(self.semantics).to_string().parse::<Formula>() {
            Ok(read) if read.expr == *source => Ok(()),
            Ok(read) => Err(format!("the formula would be read as another one, {}", short(&read.expr.to_string()))),
            Err(error) => Err(format!("the formula could not be read again: {}", error.message)),
        }
    }

    /// Checks that every field keeps its rule. The error says which does not.
    pub(crate) fn check_fields(&self) -> Result<(), String> {
        let (rows, variables) = (self.x.n_rows(), self.x.n_columns());
        if self.y.len() != rows {
            return Err(format!("x has {rows} rows, y has {}", self.y.len()));
        }
        if let Some((row, y)) = (1..).zip(&self.y).find(|(_, y)| !y.is_finite()) {
            return Err(format!("row {row}: y is {y}, expected finite numbers"));
        }
        if let Some(weights) = &self.weights {
            if weights.len() != rows {
                return Err(format!("x has {rows} rows, there are {} weights", weights.len()));
            }
            if let Some((row, weight)) = (1..).zip(weights).find(|(_, weight)| !(weight.is_finite() && **weight >= 0.0))
            {
                return Err(format!(
                    "row {row}: the weight is {weight}, expected finite numbers that are not negative"
                ));
            }
            if weights.iter().all(|&weight| weight == 0.0) {
                return Err("every weight is 0".into());
            }
        }
        self.sampler.check(variables)?;
        match &self.source {
            Some(source) if source.n_variables() > variables => {
                Err(format!("the formula has more than the {variables} variables of x"))
            }
            _ => Ok(()),
        }
    }

    /// Returns the problem as a search sees it, without the formula.
    ///
    /// # Errors
    /// Returns an error if a search could build no expression, or a field breaks its rule.
    pub fn instance(&self) -> Result<Instance, InstanceError> {
        // Columns beyond the last index of a variable cannot be searched.
        let n_variables = u16::try_from(self.x.n_columns()).unwrap_or(u16::MAX);
        let primitives = PrimitiveSet::new(self.operators.clone(), self.constants.clone(), n_variables)?;
        let instance = Instance::new(&self.id, self.x.clone(), self.y.clone(), primitives)?;
        match &self.weights {
            Some(weights) => instance.with_weights(weights.clone()),
            None => Ok(instance),
        }
    }

    /// Draws `n` new points `[n, variables]` of the problem's distribution and returns them with the formula's values
    /// `[n]`, all finite, for judging results. Streams differ from each other and from the data. A stream always gives
    /// the same points, and the first ones do not depend on `n`.
    ///
    /// Returns `None` if the formula or the distribution is not known, or no finite value was found.
    pub fn fresh_points(&self, n: usize, stream: u32) -> Option<(Columns, Vec<f64>)> {
        let (source, n_variables) = (self.source.as_ref()?, self.x.n_columns());
        // Fields are public, so the sampler may be invalid or of another number of variables.
        if self.sampler.check(n_variables).is_err() || source.n_variables() > n_variables {
            return None;
        }
        let key = Key::new(self.seed, Purpose::Evaluation, problem_key(&self.id)).generation(stream);
        draw_points(source, self.semantics, &self.sampler, n, key).ok()
    }

    /// Returns the formula as people read it, with `pdiv(x0, x1)` where it is guarded.
    pub fn formula(&self) -> Option<String> {
        self.source.as_ref().map(|source| source.display(self.semantics).to_string())
    }

    /// Returns a 64-bit hash of id and data, the same on every machine. Two files with equal hashes hold the same
    /// problem.
    pub fn fingerprint(&self) -> u64 {
        let weights = self.weights.iter().flatten();
        let data = self.x.values().chain(&self.y).chain(weights).map(|value| value.to_bits());
        data.fold(problem_key(&self.id) ^ self.x.n_columns() as u64, mix)
    }
}

/// Draws `n` points where `source` is finite. Each row has its own stream, and each try a new draw of it. The error is
/// the row (from 0) for which no point was found.
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

/// Returns the rows where `source` is finite, with its values, or `None` if there are none.
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
    use crate::{ARITH, Component, Mixture, Noise};

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
    fn fresh_points_of_no_distribution_are_none() {
        let p = problem("x0*x0", uniform(-1.0, 1.0)).unwrap();
        let mixture = |weights: &[f64]| {
            let component = |&weight: &f64| Component { weight, centre: vec![0.0], axes: vec![vec![1.0]] };
            let components = weights.iter().map(component).collect();
            let sampler = Sampler::E2eMixture(Mixture { noise: Noise::Gaussian, components });
            Problem { sampler, ..p.clone() }.fresh_points(5, 0)
        };
        assert!(mixture(&[0.0, 2.0]).is_some());
        for weights in [&[][..], &[0.0], &[-1.0, 2.0], &[f64::NAN], &[f64::MAX, f64::MAX]] {
            assert_eq!(mixture(weights), None, "{weights:?}");
        }
        for sampler in [uniform(1.0, 1.0), Sampler::Uniform { ranges: vec![] }, uniform(f64::NAN, 1.0)] {
            assert_eq!(Problem { sampler, ..p.clone() }.fresh_points(5, 0), None);
        }
        assert_eq!(Problem { source: Some("x3".parse().unwrap()), ..p }.fresh_points(5, 0), None);
    }

    #[test]
    fn weights_reach_the_search() {
        let p = problem("x0", uniform(0.0, 1.0)).unwrap();
        let weights: Vec<f64> = (0..30).map(|row| f64::from(u8::from(row < 3))).collect();
        let weighted = Problem { weights: Some(weights), ..p.clone() };
        let mse = |problem: &Problem, formula: &str| {
            let formula: Expr = formula.parse().expect("test formula");
            problem.instance().unwrap().fit(&formula, Semantics::Ieee).mse
        };
        let squares: f64 = p.y[..3].iter().map(|y| (y - 1.0) * (y - 1.0)).sum();
        assert!((mse(&weighted, "1.0") - squares / 3.0).abs() < 1e-12);
        assert!(mse(&p, "1.0") != mse(&weighted, "1.0"));
        assert!(Problem { weights: Some(vec![0.0; 30]), ..p }.instance().is_err());
    }

    #[test]
    fn a_narrow_range_keeps_its_numbers() {
        let p = problem("x0 - 1700000000", uniform(1.7e9, 1.7e9 + 10.0)).unwrap();
        let mut x = p.x.column(0).to_vec();
        x.dedup();
        assert!(x.len() == 30 && p.y.iter().all(|y| (0.0..10.0).contains(y)), "{x:?}");
    }

    #[test]
    fn the_fingerprint_sees_id_and_data() {
        let p = problem("x0", uniform(0.0, 1.0)).unwrap();
        let mut other = p.clone();
        assert_eq!(other.fingerprint(), p.fingerprint());
        other.y[7] += 1e-12;
        assert_ne!(other.fingerprint(), p.fingerprint());
        assert_ne!(Problem { id: "q".into(), ..p.clone() }.fingerprint(), p.fingerprint());
        assert_ne!(Problem { weights: Some(vec![1.0; 30]), ..p.clone() }.fingerprint(), p.fingerprint());
    }
}
