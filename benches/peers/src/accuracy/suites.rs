//! The problems that methods are measured on.

use anyhow::{Context, ensure};
use sr_engine::random::{Key, Purpose, problem_key};
use sr_eval::FRESH_POINTS;
use sr_expr::{Columns, Expr, Node, Op, Semantics};
use sr_problems::{Generator, Problem, RandomParams, Sampler, parse_operators, suite, suite_names};

use super::simplify;

/// The name of the suite of random formulas that nothing is tuned on.
pub const HELD_OUT: &str = "heldout";
/// The operators that a user gets who names none.
const DEFAULT: &str = "+,-,*,/,neg,inv,pow2,pow3,sqrt,exp,log,sin,cos";
/// The seed of the held-out formulas.
const SEED: u64 = 20_261_129;
/// The number of held-out formulas.
const COUNT: usize = 60;
/// The sizes of held-out formulas.
const SIZES: std::ops::RangeInclusive<usize> = 7..=19;
/// The largest number of constants of a held-out formula, put in plain words. Each number has the same share of the
/// suite.
const CONSTANTS: usize = 4;
/// The largest number of variables of a held-out formula.
const VARIABLES: u16 = 5;
/// The rows of drawn problems of the large suites, unless asked for otherwise.
const ROWS: usize = 200;
/// The stream of fresh rows that formulas are judged on. Those after it are the draws of the held-out suite's rows.
const JUDGED: u32 = 0;

/// The operators that methods may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Operators {
    /// Those of the suite.
    Listed,
    /// Those that a user gets who names none.
    Default,
}

/// One problem with one draw of its rows.
#[derive(Debug, Clone)]
pub struct Task {
    /// The name of the problem.
    pub problem: String,
    /// The seed of the draw and of the searches.
    pub seed: u64,
    /// The law.
    pub law: Expr,
    /// The semantics of the law's operators.
    pub semantics: Semantics,
    /// The inputs of the search, `[rows, columns]`.
    pub x: Columns,
    /// The target of the search, `[rows]`, with noise if there is some.
    pub y: Vec<f64>,
    /// The standard deviation of the noise of y, 0 without.
    pub sigma: f64,
    /// Fresh rows `[rows, columns]` and the law's values `[rows]`, without noise.
    pub fresh: (Columns, Vec<f64>),
    /// The operators that methods may use.
    pub operators: Vec<Op>,
    /// The constants that a method may use that fits none.
    pub constants: Vec<f64>,
}

/// Returns the names of all suites.
pub fn names() -> impl Iterator<Item = &'static str> {
    suite_names().chain([HELD_OUT])
}

/// Returns the tasks of a suite with the draw of one seed.
///
/// - rows: the most rows of a problem that is no grid; by default 200 for `feynman`, `feynman-bonus` and `heldout`, and
///   the suite's own number for the others
/// - noise: the standard deviation of the noise of y, relative to the root mean square of y
///
/// # Errors
/// Returns an error for a suite that is none of [`names`].
pub fn tasks(
    name: &str,
    seed: u64,
    rows: Option<usize>,
    operators: Operators,
    noise: f64,
) -> anyhow::Result<Vec<Task>> {
    let default = name.starts_with("feynman").then_some(ROWS);
    let problems = match name {
        HELD_OUT => held_out(seed, rows.unwrap_or(ROWS))?,
        _ => {
            let expected = || names().collect::<Vec<_>>().join(", ");
            suite(name, seed).with_context(|| format!("expected one of {}", expected()))?.problems
        }
    };
    problems.into_iter().map(|problem| task(problem, seed, rows.or(default), operators, noise)).collect()
}

fn task(problem: Problem, seed: u64, rows: Option<usize>, operators: Operators, noise: f64) -> anyhow::Result<Task> {
    let is_grid = matches!(problem.sampler, Sampler::Even { .. });
    let n_rows = rows.filter(|_| !is_grid).map_or(problem.y.len(), |rows| rows.min(problem.y.len()));
    let x = Columns::from_fn(n_rows, problem.x.n_columns(), |row, column| problem.x.column(column)[row]);
    let mut y = problem.y[..n_rows].to_vec();
    let sigma = noise * (y.iter().map(|y| y * y).sum::<f64>() / n_rows as f64).sqrt();
    if sigma > 0.0 {
        let key = Key::new(seed, Purpose::Evaluation, problem_key(&format!("noise of {}", problem.id)));
        for (row, y) in (0..).zip(&mut y) {
            *y += sigma * key.slot(row).rng().normal();
        }
    }
    let fresh = problem.fresh_points(FRESH_POINTS, JUDGED);
    let fresh = fresh.with_context(|| format!("{} has no fresh points", problem.id))?;
    let operators = match operators {
        Operators::Listed => problem.operators,
        Operators::Default => parse_operators(DEFAULT)?,
    };
    let law = problem.source.with_context(|| format!("the formula of {} is not known", problem.id))?;
    let (semantics, constants) = (problem.semantics, problem.constants);
    Ok(Task { problem: problem.id, seed, law, semantics, x, y, sigma, fresh, operators, constants })
}

/// Draws the held-out problems: formulas of the default operators, 7 to 19 nodes, 1 to 5 variables and 0 to 4 constants
/// of three digits inside them, by the random generator and a seed of their own. A formula that can be written with
/// less than 7 nodes is not one of them, nor one whose values hardly differ. Only the rows depend on `seed`.
fn held_out(seed: u64, rows: usize) -> anyhow::Result<Vec<Problem>> {
    let mut constants = Key::new(SEED, Purpose::Generator, problem_key("constants")).rng();
    let constants = (0..500).map(|_| {
        let sign = if constants.chance(0.5) { 1.0 } else { -1.0 };
        sign * (10 + constants.below(990)) as f64 / constants.choose(&[1000.0, 100.0, 10.0])
    });
    let params = RandomParams {
        max_variables: VARIABLES,
        points: Some(ROWS as u32),
        max_y: 1e6,
        ..RandomParams::arith(parse_operators(DEFAULT)?, constants.collect(), 0.75, SEED)
    };
    let generator = Generator::new(params)?;
    let share = COUNT / (CONSTANTS + 1);
    let mut found: Vec<Vec<Problem>> = vec![Vec::new(); CONSTANTS + 1];
    for index in 0.. {
        ensure!(index < 100_000, "the generator makes too few formulas of the held-out suite");
        if found.iter().all(|problems| problems.len() == share) {
            break;
        }
        let problem = generator.problem(index)?;
        let Some(law) = &problem.source else { continue };
        let Some(n_constants) = simplify::n_constants(law) else { continue };
        let is_one = SIZES.contains(&law.size())
            && n_constants <= CONSTANTS
            && found[n_constants].len() < share
            && law.nodes().iter().any(|node| matches!(node, Node::Op(op) if op.arity() == 2))
            && simplify::size(law) >= *SIZES.start()
            && varies(&problem.y);
        if !is_one {
            continue;
        }
        found[n_constants].push(problem);
    }
    let draw = |(index, problem): (usize, Problem)| {
        let stream = JUDGED + 1 + u32::try_from(seed).context("a seed of held-out rows has 32 bits")?;
        let id = format!("heldout-{:02}", index + 1);
        let (x, y) = problem.fresh_points(rows, stream).with_context(|| format!("{id} has no rows"))?;
        // The fresh points of the problem itself depend on its name: it keeps the generator's seed, under its new name.
        Ok(Problem { id, x, y, constants: vec![1.0], ..problem })
    };
    found.into_iter().flatten().enumerate().map(draw).collect()
}

/// Returns whether the values are spread over more than rounding, and not by a few that are far away.
fn varies(y: &[f64]) -> bool {
    let mean = y.iter().sum::<f64>() / y.len() as f64;
    let mut distances: Vec<f64> = y.iter().map(|y| (y - mean).abs()).collect();
    distances.sort_by(f64::total_cmp);
    let (middle, largest) = (distances[distances.len() / 2], distances[distances.len() - 1]);
    middle > 1e-3 * mean.abs() && middle > 1e-3 * largest
}

/// Draws `n` of the indices below `of`, in order.
pub fn sample(of: usize, n: usize, seed: u64) -> Vec<usize> {
    let mut indices: Vec<usize> = (0..of).collect();
    Key::new(seed, Purpose::Evaluation, problem_key("a sample of problems")).rng().shuffle(&mut indices);
    indices.truncate(n);
    indices.sort_unstable();
    indices
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// A task with a law of two variables, 200 rows of the search and 1,000 fresh ones.
    pub(crate) fn task(law: &str, ranges: [[f64; 2]; 2], noise: f64) -> Task {
        let law: Expr = law.parse().unwrap_or_else(|error| panic!("{error}"));
        let mut rng = Key::new(1, Purpose::Rows, 0).rng();
        let mut rows = |n: usize| {
            let values =
                ranges.iter().flat_map(|&[low, high]| (0..n).map(|_| rng.uniform(low, high)).collect::<Vec<_>>());
            Columns::new(n, 2, values.collect())
        };
        let (x, fresh) = (rows(200), rows(FRESH_POINTS));
        let [mut y, fresh_y] = [&x, &fresh].map(|x| sr_expr::predict(&law, x, Semantics::Ieee));
        let sigma = noise * (y.iter().map(|y| y * y).sum::<f64>() / 200.0).sqrt();
        y.iter_mut().for_each(|y| *y += sigma * rng.normal());
        Task {
            problem: "test".into(),
            seed: 1,
            law,
            semantics: Semantics::Ieee,
            x,
            y,
            sigma,
            fresh: (fresh, fresh_y),
            operators: vec![Op::Add, Op::Mul],
            constants: vec![1.0],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_have_their_rows_and_operators() {
        let listed = tasks("nguyen", 1, None, Operators::Listed, 0.0).expect("tasks");
        assert_eq!((listed.len(), listed[0].y.len(), listed[0].operators.len()), (12, 20, 8));
        let feynman = tasks("feynman", 1, None, Operators::Default, 0.0).expect("tasks");
        assert_eq!((feynman.len(), feynman[0].y.len(), feynman[0].operators.len()), (100, 200, 13));
        assert_eq!(feynman[0].fresh.1.len(), 1000);
        let grid = tasks("keijzer", 1, Some(5), Operators::Listed, 0.0).expect("tasks");
        assert_eq!(grid[0].y.len(), 21, "a grid stays whole");
        assert!(tasks("none", 1, None, Operators::Listed, 0.0).is_err());
    }

    #[test]
    fn seeds_draw_other_rows_and_noise_has_its_size() {
        let of = |seed, noise| tasks("feynman", seed, None, Operators::Listed, noise).expect("tasks").swap_remove(3);
        let (a, b, noisy) = (of(1, 0.0), of(2, 0.0), of(1, 0.1));
        assert_ne!(a.x, b.x);
        assert_eq!(a.fresh.1, noisy.fresh.1);
        assert_eq!(noisy.y, of(1, 0.1).y);
        let rms = (a.y.iter().map(|y| y * y).sum::<f64>() / 200.0).sqrt();
        assert!((noisy.sigma - 0.1 * rms).abs() < 1e-12);
        let noise: f64 = a.y.iter().zip(&noisy.y).map(|(a, b)| (a - b) * (a - b)).sum();
        let found = (noise / 200.0).sqrt() / noisy.sigma;
        assert!((0.8..1.2).contains(&found), "{found}");
    }

    #[test]
    fn held_out_formulas_are_the_same_with_any_seed_and_keep_their_bounds() {
        let (a, b) =
            (tasks(HELD_OUT, 1, None, Operators::Listed, 0.0), tasks(HELD_OUT, 2, None, Operators::Listed, 0.0));
        let (a, b) = (a.expect("tasks"), b.expect("tasks"));
        assert_eq!(a.len(), COUNT);
        let mut per_count = [0; CONSTANTS + 1];
        for (a, b) in a.iter().zip(&b) {
            assert_eq!(a.law, b.law);
            assert_ne!(a.x, b.x);
            assert!(SIZES.contains(&a.law.size()) && (1..=5).contains(&a.x.n_columns()));
            assert_eq!(a.y.len(), ROWS);
            assert!(a.y.iter().all(|y| y.is_finite()));
            per_count[simplify::n_constants(&a.law).expect("a small formula")] += 1;
        }
        assert_eq!(per_count, [COUNT / (CONSTANTS + 1); CONSTANTS + 1]);
    }

    #[test]
    fn samples_are_drawn_by_seed() {
        assert_eq!(sample(100, 10, 1), sample(100, 10, 1));
        assert_ne!(sample(100, 10, 1), sample(100, 10, 2));
        assert_eq!(sample(3, 10, 1), [0, 1, 2]);
    }
}
