//! The check whether a problem is the one that was searched.

use sr_engine::{Evaluator, Instance, SearchConfig};

use crate::Trajectory;

/// The reason why a problem is not the one of a trajectory.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum OtherProblem {
    /// An expression uses a variable that the problem does not have.
    #[error("problem {problem:?} has {found} variables, the trace uses {expected}: this is another problem set")]
    Variables {
        /// The problem's id.
        problem: String,
        /// The number of variables that the trace uses.
        expected: usize,
        /// The number of variables of the problem.
        found: usize,
    },
    /// An expression's fitness on the problem's points is not the one in the trajectory.
    #[error(
        "problem {problem:?}, generation {generation}: {expr} has fitness {found}, in the trace {expected}: \
         this is another problem set"
    )]
    Fitness {
        /// The problem's id.
        problem: String,
        /// The generation.
        generation: u32,
        /// The expression.
        expr: String,
        /// Its fitness in the trace.
        expected: f32,
        /// Its fitness on the problem's points.
        found: f32,
    },
}

impl Trajectory {
    /// Checks that the points of `instance` are those that were searched. It scores the first and the last generation
    /// again, with `config`, the settings in the trace's header. Problems with the same id are different problems in
    /// different problem sets, so whoever joins a trace with a problem set has to call this.
    ///
    /// # Errors
    /// Returns an error that names the first expression that does not fit. Individuals without a finite error are not
    /// compared.
    pub fn check_searched(&self, instance: &Instance, config: &SearchConfig) -> Result<(), OtherProblem> {
        let problem = || self.problem_id.clone();
        let expressions = self.generations.expressions();
        let expected = expressions.iter().map(|tree| tree.n_variables()).max().unwrap_or(0);
        let found = instance.x().n_columns();
        if expected > found {
            return Err(OtherProblem::Variables { problem: problem(), expected, found });
        }
        let mut evaluator = Evaluator::default();
        for record in [self.generations.first(), self.generations.last()] {
            for individual in record.individuals().filter(|individual| individual.mse.is_finite()) {
                let score = evaluator.score(individual.expr, instance, config);
                let found = score.fitness as f32;
                if found != individual.fitness {
                    return Err(OtherProblem::Fitness {
                        problem: problem(),
                        generation: record.generation,
                        expr: individual.expr.to_string(),
                        expected: individual.fitness,
                        found,
                    });
                }
            }
        }
        Ok(())
    }
}
