//! The error of an individual under an [`Objective`], and its fitness with parsimony.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sr_expr::{Loss, Machine, Sums, Tree};

use crate::subtrees::Subtrees;
use crate::{ConstantFitter, Instance, Objective, SearchConfig};

/// Predictions of this magnitude or more count as invalid points, as in the reference engine.
pub(crate) const MAX_PREDICTION: f64 = 1e6;
/// The number of points that have to be valid whatever their share, or all points if there are fewer.
const MIN_VALID_POINTS: usize = 3;
/// The share of the points that has to be valid.
const MIN_VALID_SHARE: f64 = 0.5;
/// The fitness of an individual that has too few valid points, as in the reference engine. It is finite, as JSON needs,
/// and below every valid fitness unless errors exceed 1e10. [`Objective::Mse`] has no such number.
pub const INVALID_FITNESS: f64 = -1e10;
/// Rows between two checks of the clock: well under a millisecond a node.
const ROWS_PER_CLOCK: usize = 1 << 14;
/// Rows between two checks of whether an individual can still be good enough.
const ROWS_PER_BOUND: usize = 1 << 9;
/// Values (rows times nodes) computed between two checks of the clock by trees of few rows: some tenths of a
/// millisecond.
const VALUES_PER_CLOCK: usize = 1 << 18;

/// Error and fitness of an individual.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    /// The error on the scale of the [`Objective`]; lower is better. It is infinite if the individual is not valid.
    /// Under [`Objective::Masked`] it is a mean squared error in the target's units. Under [`Objective::Mse`] it is
    /// relative to the target's variance, and [`Instance::fit`] gives it in the target's units.
    pub mse: f64,
    /// The fitness, `−mse − parsimony_coefficient · size`; higher is better.
    pub fitness: f64,
}

impl Score {
    /// The score under [`Objective::Masked`] of an individual with too few valid points or an error that is not finite.
    pub const INVALID: Score = Score { mse: f64::INFINITY, fitness: INVALID_FITNESS };

    /// The score of an individual that was given up, which is the lowest of all.
    pub(crate) const ABANDONED: Score = Score { mse: f64::INFINITY, fitness: f64::NEG_INFINITY };

    /// The score of a tree with this error under [`Objective::Mse`].
    fn of_mse(mse: f64, tree: &Tree, instance: &Instance, config: &SearchConfig) -> Score {
        match mse.is_finite() {
            true => Score { mse, fitness: -mse - config.parsimony_coefficient * instance.size_of(tree) as f64 },
            false => Objective::Mse.invalid(),
        }
    }

    /// Returns whether the error is finite.
    pub fn is_valid(self) -> bool {
        self.mse.is_finite()
    }
}

/// The end of a search, which comes at a time or when a flag is set.
#[derive(Debug, Clone, Copy, Default)]
pub struct Deadline<'a> {
    at: Option<Instant>,
    stop: Option<&'a AtomicBool>,
}

impl<'a> Deadline<'a> {
    /// The deadline that never passes.
    pub const NEVER: Deadline<'static> = Deadline { at: None, stop: None };

    /// Returns the deadline that passes this time from now; for `None` it never passes.
    pub fn after(limit: Option<Duration>) -> Self {
        Deadline { at: limit.and_then(|limit| Instant::now().checked_add(limit)), stop: None }
    }

    /// Returns a deadline at the same time that also passes once `stop` is true. It replaces an earlier flag.
    pub fn or_when(self, stop: Option<&'a AtomicBool>) -> Self {
        Deadline { stop, ..self }
    }

    /// Returns whether the deadline has passed.
    pub fn has_passed(self) -> bool {
        self.is_stopped() || self.at.is_some_and(|at| Instant::now() >= at)
    }

    /// Returns whether the stop flag is set.
    #[inline]
    pub fn is_stopped(self) -> bool {
        self.stop.is_some_and(|stop| stop.load(Ordering::Relaxed))
    }

    /// Returns the time left, or `None` without a time limit.
    pub fn left(self) -> Option<Duration> {
        self.at.map(|at| at.saturating_duration_since(Instant::now()))
    }
}

/// Scores expressions and owns the memory that this needs.
#[derive(Debug, Default, Clone)]
pub struct Evaluator {
    machine: Machine<f64>,
    /// Of an instance with a loss that is no sum of squares.
    predictions: Vec<f64>,
    /// Values computed since the last check of the clock.
    values: usize,
    fitter: ConstantFitter,
    /// All values that were asked for, rows times nodes.
    work: u64,
}

impl Evaluator {
    /// Returns the score of `tree` on the instance's data.
    ///
    /// It is O(size · rows), and it allocates nothing once its memory has grown.
    pub fn score(&mut self, tree: &Tree, instance: &Instance, config: &SearchConfig) -> Score {
        self.score_until(tree, instance, config, Deadline::NEVER).expect("there is no deadline")
    }

    /// Returns the score of `tree` as [`score`](Self::score) does, or `None` if the deadline passed on the way.
    pub fn score_until(
        &mut self,
        tree: &Tree,
        instance: &Instance,
        config: &SearchConfig,
        deadline: Deadline<'_>,
    ) -> Option<Score> {
        self.score_above(f64::NEG_INFINITY, None, tree, instance, config, deadline)
    }

    /// Fits the constants of `tree` inside of a + b · `tree`, see [`Fitting`](crate::Fitting), and returns them with the
    /// score; `None` if the deadline passed.
    pub(crate) fn fit(
        &mut self,
        tree: &Tree,
        instance: &Instance,
        config: &SearchConfig,
        steps: u32,
        deadline: Deadline<'_>,
    ) -> Option<(&[f64], Score)> {
        if self.is_over(instance.y().len() * steps as usize, tree, deadline) {
            return None;
        }
        let inside = self.fitter.fit_inside(tree, instance, config.semantics, steps);
        self.work += inside.work;
        Some((inside.constants, Score::of_mse(inside.error, tree, instance, config)))
    }

    /// Returns the number of values that were computed, nodes times rows, where all rows were looked at.
    pub(crate) fn work(&self) -> u64 {
        self.work
    }

    /// Counts the values of a tree and returns whether the deadline has passed, looking at the clock now and then.
    fn is_over(&mut self, n_rows: usize, tree: &Tree, deadline: Deadline<'_>) -> bool {
        self.values += n_rows.min(ROWS_PER_CLOCK) * tree.size();
        self.values >= VALUES_PER_CLOCK && {
            self.values = 0;
            deadline.has_passed()
        }
    }

    /// As [`Evaluator::score_until`], with the values of subtrees of the same instance; and an individual whose fitness is at
    /// most `needed` may be given up on the way, as [`Score::ABANDONED`].
    pub(crate) fn score_above(
        &mut self,
        needed: f64,
        subtrees: Option<&mut Subtrees>,
        tree: &Tree,
        instance: &Instance,
        config: &SearchConfig,
        deadline: Deadline<'_>,
    ) -> Option<Score> {
        let n_rows = instance.y().len();
        if self.is_over(n_rows, tree, deadline) {
            return None;
        }
        if config.fitting.is_some() {
            let inside = self.fitter.fit_inside(tree, instance, config.semantics, 0);
            self.work += inside.work;
            return Some(Score::of_mse(inside.error, tree, instance, config));
        }
        self.work += (n_rows * tree.size()) as u64;
        let loss = match config.objective {
            Objective::Masked => Loss::Squares { y: instance.y(), limit: MAX_PREDICTION },
            Objective::Mse => instance.squares(),
        };
        let penalty = config.parsimony_coefficient * instance.size_of(tree) as f64;
        let invalid = config.objective.invalid();
        if !instance.allows(tree) {
            return Some(invalid);
        }
        if config.objective == Objective::Mse && instance.row_loss().is_some() {
            self.machine.predict(tree, instance.x(), config.semantics, &mut self.predictions);
            return Some(Score::of_mse(instance.relative_loss(&self.predictions), tree, instance, config));
        }
        // The error that corresponds to a sum of squares over so many rows.
        let error = |sums: &Sums<f64>, rows: usize| match config.objective {
            Objective::Masked => sums.squares() / rows as f64,
            Objective::Mse => instance.target().relative(sums.squares()),
        };
        // An individual that is not valid is no worse than `invalid`, whatever its error.
        let may_abandon = needed > f64::NEG_INFINITY && needed >= invalid.fitness;
        let rows_per_look = if may_abandon { ROWS_PER_BOUND } else { ROWS_PER_CLOCK };
        let (mut looks, mut abandoned) = (0, false);
        let go_on = |sums: &Sums<f64>| {
            // The rows that follow can only make the sum larger or be left out.
            let least_error = error(sums, n_rows);
            abandoned = may_abandon && least_error.is_finite() && -least_error - penalty <= needed;
            looks += 1;
            let is_time_to_look = looks % (ROWS_PER_CLOCK / rows_per_look) == 0;
            !(abandoned || is_time_to_look && deadline.has_passed())
        };
        let sums = match subtrees {
            Some(subtrees) => {
                let (rewritten, x) = subtrees.rewrite(tree, config.semantics, &mut self.machine);
                self.machine.sum_while(rewritten, x, config.semantics, loss, rows_per_look, go_on)
            }
            None => self.machine.sum_while(tree, instance.x(), config.semantics, loss, rows_per_look, go_on),
        };
        let Some(sums) = sums else { return abandoned.then_some(Score::ABANDONED) };
        let enough = match config.objective {
            Objective::Masked => MIN_VALID_POINTS.min(n_rows).max((MIN_VALID_SHARE * n_rows as f64) as usize),
            Objective::Mse => n_rows,
        };
        let mse = error(sums, sums.count);
        if sums.count < enough || !mse.is_finite() {
            return Some(invalid);
        }
        Some(Score { mse, fitness: -mse - penalty })
    }
}

#[cfg(test)]
mod tests {
    use sr_expr::{Columns, Expr, Node, Op};

    use super::*;
    use crate::PrimitiveSet;

    fn score(text: &str, x: &[f64], y: &[f64]) -> Score {
        score_by(Objective::Masked, text, x, y)
    }

    fn score_by(objective: Objective, text: &str, x: &[f64], y: &[f64]) -> Score {
        let primitives = PrimitiveSet::new(vec![Op::Add], vec![], 1).expect("primitives");
        let instance =
            Instance::new("t", Columns::new(x.len(), 1, x.to_vec()), y.to_vec(), primitives).expect("instance");
        let expr: Expr = text.parse().expect(text);
        Evaluator::default().score(&expr, &instance, &SearchConfig { objective, ..SearchConfig::basic() })
    }

    proptest::proptest! {
        /// What lives on from a search is scored anew by labellers, traces and continued searches, from its tree alone.
        #[test]
        fn the_score_of_a_fit_is_that_of_the_tree_with_its_constants(
            tree in sr_expr::testing::expr(2, 12),
            root in 0..6,
            steps in 1..5u32,
        ) {
            // Roots that a + b · tree changes, and some that it adds to.
            let (a, b) = (Expr::constant(1.5), Expr::constant(-0.25));
            let tree = match root {
                0 => Expr::binary(Op::Add, &tree, &a),
                1 => Expr::binary(Op::Add, &a, &tree),
                2 => Expr::binary(Op::Mul, &tree, &b),
                3 => Expr::binary(Op::Add, &Expr::binary(Op::Mul, &tree, &b), &a),
                4 => Expr::binary(Op::Add, &a, &Expr::binary(Op::Mul, &b, &tree)),
                _ => tree,
            };
            let x = Columns::from_fn(40, 2, |row, column| 0.3 + ((row * 7 + column * 5) % 13) as f64 / 5.0);
            let y = (0..40).map(|row| 2.0 + x.column(0)[row] * libm::sin(x.column(1)[row])).collect();
            let primitives = PrimitiveSet::new(vec![Op::Add, Op::Mul], vec![], 2).expect("primitives");
            let instance = Instance::new("t", x, y, primitives).expect("an instance");
            let (config, mut evaluator) = (SearchConfig::default(), Evaluator::default());
            let (constants, score) = evaluator.fit(&tree, &instance, &config, steps, Deadline::NEVER).expect("no deadline");
            let mut constants = constants.iter();
            let with_constant = |node: &Node| match *node {
                Node::Const(_) => Node::Const(*constants.next().expect("one for each")),
                other => other,
            };
            let nodes = tree.nodes().iter().map(with_constant).collect();
            let fitted = Expr::new(nodes).expect("the same nodes");
            proptest::prop_assert_eq!(evaluator.score(&fitted, &instance, &config), score, "{} from {}", fitted, tree);
            let before = evaluator.score(&tree, &instance, &config);
            proptest::prop_assert!(score.mse <= before.mse * (1.0 + 1e-9), "{} from {}", score.mse, before.mse);
        }
    }

    #[test]
    fn fitness_is_error_plus_parsimony() {
        let x = [1.0, 2.0, 3.0, 4.0];
        assert_eq!(score("x0", &x, &x), Score { mse: 0.0, fitness: -0.01 });
        assert_eq!(score("x0 + 2", &x, &x), Score { mse: 4.0, fitness: -4.03 });
    }

    #[test]
    fn invalid_points_are_masked_until_too_few_are_left() {
        // Half of the points valid: floor(0.5 · 6) = 3 is just enough.
        assert_eq!(score("x0", &[0.0, 0.0, 0.0, 1e6, 1e7, f64::NAN], &[1.0; 6]).mse, 1.0);
        assert_eq!(score("x0", &[0.0, 0.0, f64::INFINITY, 1e6, 1e7, f64::NAN], &[1.0; 6]), Score::INVALID);
        // Two of three points are not enough, one or two points are if there are no more.
        assert_eq!(score("x0", &[0.0, 0.0, f64::NAN], &[1.0; 3]), Score::INVALID);
        assert_eq!(score("x0", &[0.0, 0.0], &[1.0; 2]).mse, 1.0);
        assert_eq!(score("x0", &[f64::NAN], &[1.0]), Score::INVALID);
    }

    #[test]
    fn the_plain_objective_is_the_error_over_all_rows_by_the_variance() {
        let x = [1.0, 2.0, 3.0, 4.0];
        let mse = |text, x: &[f64], y: &[f64]| score_by(Objective::Mse, text, x, y).mse;
        assert_eq!(score_by(Objective::Mse, "x0", &x, &x), Score { mse: 0.0, fitness: -0.01 });
        assert_eq!(mse("x0 + 2", &x, &x), 4.0 / 1.25);
        // Units change nothing: these are powers of two, so not one bit.
        for unit in [2.0_f64.powi(-900), 2.0_f64.powi(-20), 2.0_f64.powi(40), 2.0_f64.powi(900)] {
            let [x, y] = [&x, &[1.0, 3.0, 2.0, 5.0]].map(|values| values.map(|value| value * unit));
            assert_eq!(mse("x0", &x, &y), mse("x0", &[1.0, 2.0, 3.0, 4.0], &[1.0, 3.0, 2.0, 5.0]));
        }
        // Rows beyond 1e6 count like any others.
        assert_eq!(mse("x0*x0", &[1e3, 2e3, 3e3], &[1e6, 4e6, 9e6]), 0.0);
        assert_eq!(score("x0*x0", &[1e3, 2e3, 3e3], &[1e6, 4e6, 9e6]), Score::INVALID);
        // One or two rows are data too.
        assert_eq!(mse("x0*x0*x0", &[2.0], &[8.0]), 0.0);
        assert_eq!(mse("x0", &[2.0], &[8.0]), 36.0 / 64.0);
    }

    #[test]
    fn what_is_no_number_is_the_worst_of_all_and_equal() {
        let fitness = |text| score_by(Objective::Mse, text, &[1.0, 2.0, 710.0], &[1.0, 2.0, 3.0]).fitness;
        let invalid = Objective::Mse.invalid();
        assert_eq!(fitness("x0 + 1e300*1e300 - 1e300*1e300"), invalid.fitness, "not a number");
        assert_eq!(fitness("1e300*1e300*x0"), invalid.fitness);
        assert!(fitness("1e140*x0") < -1e280 && fitness("1e140*x0") > invalid.fitness);
        assert!(fitness("5 + x0") > fitness("1e140*x0"));
    }

    #[test]
    fn a_passed_deadline_is_noticed_within_an_evaluation() {
        let n = 2 * ROWS_PER_CLOCK;
        let primitives = PrimitiveSet::new(vec![], vec![], 1).expect("primitives");
        let instance =
            Instance::new("t", Columns::new(n, 1, vec![1.0; n]), vec![1.0; n], primitives).expect("instance");
        let config = SearchConfig::basic();
        let score = |deadline| Evaluator::default().score_until(&Expr::var(0), &instance, &config, deadline);
        assert_eq!(score(Deadline::after(Some(Duration::ZERO))), None);
        let stop = AtomicBool::new(false);
        assert!(score(Deadline::NEVER.or_when(Some(&stop))).is_some());
        stop.store(true, Ordering::Relaxed);
        assert_eq!(score(Deadline::NEVER.or_when(Some(&stop))), None);
    }

    #[test]
    fn a_passed_deadline_is_noticed_between_evaluations_of_few_rows() {
        let primitives = PrimitiveSet::new(vec![], vec![], 1).expect("primitives");
        let instance =
            Instance::new("t", Columns::new(8, 1, vec![1.0; 8]), vec![1.0; 8], primitives).expect("an instance");
        let (config, stop, mut evaluator) = (SearchConfig::basic(), AtomicBool::new(true), Evaluator::default());
        let mut score =
            || evaluator.score_until(&Expr::var(0), &instance, &config, Deadline::NEVER.or_when(Some(&stop)));
        assert!((0..VALUES_PER_CLOCK / 8).any(|_| score().is_none()));
    }
}
