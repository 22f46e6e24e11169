//! Scoring: masked mean squared error, and fitness with parsimony.

use std::time::{Duration, Instant};

use sr_expr::{Loss, Machine, Sums, Tree};

use crate::subtrees::Subtrees;
use crate::{Instance, SearchConfig};

/// Predictions of this magnitude and beyond count as invalid points, as in the reference engine.
const MAX_PREDICTION: f64 = 1e6;
/// At least this many points have to be valid, whatever their share.
const MIN_VALID_POINTS: usize = 3;
/// At least this share of the points has to be valid.
const MIN_VALID_SHARE: f64 = 0.5;
/// Fitness of an individual that has too few valid points: below every valid fitness, and still finite in JSON.
pub const INVALID_FITNESS: f64 = -1e10;
/// Rows between two looks at the clock: well under a millisecond a node.
const ROWS_PER_CLOCK: usize = 1 << 14;
/// Rows between two looks at whether an individual can still be good enough.
const ROWS_PER_BOUND: usize = 1 << 9;

/// Error and fitness of an individual.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    /// Mean squared error over the valid points, infinite if there are too few. Lower is better.
    pub mse: f64,
    /// `−mse − parsimony_coefficient · size`. Higher is better.
    pub fitness: f64,
}

impl Score {
    /// Too few valid points, or an error that is no number.
    pub const INVALID: Score = Score { mse: f64::INFINITY, fitness: INVALID_FITNESS };

    /// Given up: worse than any other.
    pub(crate) const ABANDONED: Score = Score { mse: f64::INFINITY, fitness: f64::NEG_INFINITY };

    /// Whether there were enough valid points.
    pub fn is_valid(self) -> bool {
        self.mse.is_finite()
    }
}

/// When a search has to end.
#[derive(Debug, Clone, Copy, Default)]
pub struct Deadline(Option<Instant>);

impl Deadline {
    /// Never.
    pub const NEVER: Deadline = Deadline(None);

    /// After this time from now; `None` is never.
    pub fn after(limit: Option<Duration>) -> Self {
        Deadline(limit.and_then(|limit| Instant::now().checked_add(limit)))
    }

    /// Whether it has passed.
    pub fn has_passed(self) -> bool {
        self.0.is_some_and(|at| Instant::now() >= at)
    }

    /// Time left, `None` without a deadline.
    pub fn left(self) -> Option<Duration> {
        self.0.map(|at| at.saturating_duration_since(Instant::now()))
    }
}

/// Scores expressions; owns the memory that this needs.
#[derive(Debug, Default, Clone)]
pub struct Evaluator {
    machine: Machine<f64>,
}

impl Evaluator {
    /// The score of `tree` on the instance's data; `None` if the deadline passed on the way.
    ///
    /// Points where the prediction is not finite or at least 1e6 in magnitude are masked. No allocation once warm.
    pub fn score(
        &mut self,
        tree: &Tree,
        instance: &Instance,
        config: &SearchConfig,
        deadline: Deadline,
    ) -> Option<Score> {
        self.score_above(f64::NEG_INFINITY, None, tree, instance, config, deadline)
    }

    /// As [`Evaluator::score`], with the values of subtrees of the same instance; and an individual whose fitness is at
    /// most `needed` may be given up on the way, as [`Score::ABANDONED`].
    pub(crate) fn score_above(
        &mut self,
        needed: f64,
        subtrees: Option<&mut Subtrees>,
        tree: &Tree,
        instance: &Instance,
        config: &SearchConfig,
        deadline: Deadline,
    ) -> Option<Score> {
        let y = instance.y();
        let loss = Loss::Squares { y, limit: MAX_PREDICTION };
        let penalty = config.parsimony_coefficient * tree.size() as f64;
        // An individual of too few valid points is no worse than `INVALID_FITNESS`, whatever its error.
        let may_abandon = needed >= INVALID_FITNESS;
        let rows_per_look = if may_abandon { ROWS_PER_BOUND } else { ROWS_PER_CLOCK };
        let (mut looks, mut abandoned) = (0, false);
        let go_on = |sums: &Sums<f64>| {
            // All that is still to come makes the sum larger and leaves rows out.
            let least_mse = sums.squares() / y.len() as f64;
            abandoned = may_abandon && least_mse.is_finite() && -least_mse - penalty <= needed;
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
        let enough = MIN_VALID_POINTS.max((MIN_VALID_SHARE * y.len() as f64) as usize);
        let mse = sums.squares() / sums.count as f64;
        if sums.count < enough || !mse.is_finite() {
            return Some(Score::INVALID);
        }
        Some(Score { mse, fitness: -mse - penalty })
    }
}

#[cfg(test)]
mod tests {
    use sr_expr::{Columns, Expr, Op};

    use super::*;
    use crate::PrimitiveSet;

    fn score(text: &str, x: &[f64], y: &[f64]) -> Score {
        let primitives = PrimitiveSet::new(vec![Op::Add], vec![], 1).expect("primitives");
        let instance =
            Instance::new("t", Columns::new(x.len(), 1, x.to_vec()), y.to_vec(), primitives).expect("instance");
        let expr: Expr = text.parse().expect(text);
        Evaluator::default()
            .score(&expr, &instance, &SearchConfig::basic(), Deadline::NEVER)
            .expect("there is no deadline")
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
        // Fewer than three points are never enough.
        assert_eq!(score("x0", &[0.0, 0.0], &[1.0; 2]), Score::INVALID);
        assert_eq!(score("x0", &[0.0; 3], &[f64::NAN, 0.0, 0.0]), Score::INVALID);
    }

    #[test]
    fn a_passed_deadline_is_noticed_within_an_evaluation() {
        let n = 2 * ROWS_PER_CLOCK;
        let primitives = PrimitiveSet::new(vec![], vec![], 1).expect("primitives");
        let instance =
            Instance::new("t", Columns::new(n, 1, vec![1.0; n]), vec![1.0; n], primitives).expect("instance");
        let deadline = Deadline::after(Some(Duration::ZERO));
        let config = SearchConfig::basic();
        assert_eq!(Evaluator::default().score(&Expr::var(0), &instance, &config, deadline), None);
    }
}
