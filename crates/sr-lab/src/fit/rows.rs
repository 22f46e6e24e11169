//! Which rows are fitted, and which are kept to judge by.

use anyhow::Context;
use sr_engine::{Instance, PrimitiveSet};
use sr_expr::{Columns, Op};
use sr_problems::Problem;

/// Fewest rows of a table of which some are held out.
const FEWEST_TO_HOLD_OUT: usize = 60;
/// One row in so many is held out.
const HELD_OUT_EACH: usize = 5;
/// Rows that evolution computes on at most.
const WORKING_ROWS: usize = 256;

/// The rows of a problem, as instances of the same variables and operators.
#[derive(Debug)]
pub(super) struct Rows {
    all: Instance,
    training: Instance,
    /// A part of the training rows.
    working: Instance,
    held_out: Option<Instance>,
}

impl Rows {
    /// # Errors
    /// If the data cannot be searched.
    pub(super) fn new(problem: &Problem, operators: &[Op]) -> anyhow::Result<Self> {
        let n_rows = problem.y.len();
        // By y, so that every part spans its range; rows of equal y by their number.
        let mut order: Vec<usize> = (0..n_rows).collect();
        order.sort_by(|&a, &b| problem.y[a].total_cmp(&problem.y[b]).then(a.cmp(&b)));
        let holds_out = n_rows >= FEWEST_TO_HOLD_OUT;
        // The middle one of five, so that the ends of the range are fitted.
        let is_held_out = |place: usize| holds_out && place % HELD_OUT_EACH == HELD_OUT_EACH / 2;
        let part = |is_in: &dyn Fn(usize) -> bool| {
            let mut rows: Vec<usize> =
                order.iter().enumerate().filter(|(place, _)| is_in(*place)).map(|(_, &row)| row).collect();
            rows.sort_unstable();
            instance(problem, operators, &rows)
        };
        let training = part(&|place| !is_held_out(place))?;
        let held_out = if holds_out { Some(part(&is_held_out)?) } else { None };
        let trained: Vec<usize> =
            order.iter().enumerate().filter(|(place, _)| !is_held_out(*place)).map(|(_, &row)| row).collect();
        let mut working: Vec<usize> = match trained.len() {
            n if n <= WORKING_ROWS => trained,
            n => (0..WORKING_ROWS).map(|i| trained[i * (n - 1) / (WORKING_ROWS - 1)]).collect(),
        };
        working.sort_unstable();
        let all: Vec<usize> = (0..n_rows).collect();
        Ok(Rows {
            all: instance(problem, operators, &all)?,
            training,
            working: instance(problem, operators, &working)?,
            held_out,
        })
    }

    /// Applies a function to all instances, which does not change their rows.
    pub(super) fn map(self, of: impl Fn(Instance) -> anyhow::Result<Instance>) -> anyhow::Result<Self> {
        let Rows { all, training, working, held_out } = self;
        let held_out = held_out.map(&of).transpose()?;
        Ok(Rows { all: of(all)?, training: of(training)?, working: of(working)?, held_out })
    }

    /// All rows.
    pub(super) fn all(&self) -> &Instance {
        &self.all
    }

    /// The rows that constants are fitted to.
    pub(super) fn training(&self) -> &Instance {
        &self.training
    }

    /// The training rows that evolution computes on.
    pub(super) fn working(&self) -> &Instance {
        &self.working
    }

    /// The rows that nothing is fitted to.
    pub(super) fn held_out(&self) -> Option<&Instance> {
        self.held_out.as_ref()
    }

    pub(super) fn n_variables(&self) -> usize {
        self.all.primitives().n_variables().into()
    }
}

/// These rows of a problem.
fn instance(problem: &Problem, operators: &[Op], rows: &[usize]) -> anyhow::Result<Instance> {
    let n_variables = u16::try_from(problem.x.n_columns()).unwrap_or(u16::MAX);
    let primitives = PrimitiveSet::new(operators.to_vec(), vec![1.0], n_variables)?;
    let x = Columns::from_fn(rows.len(), problem.x.n_columns(), |row, column| problem.x.column(column)[rows[row]]);
    let y = rows.iter().map(|&row| problem.y[row]).collect();
    let instance = Instance::new(&problem.id, x, y, primitives).context("the rows cannot be searched")?;
    match &problem.weights {
        // A part whose weights are all 0 says nothing, and counts as if it had none.
        Some(weights) if rows.iter().any(|&row| weights[row] > 0.0) => {
            Ok(instance.with_weights(rows.iter().map(|&row| weights[row]).collect())?)
        }
        _ => Ok(instance),
    }
}
