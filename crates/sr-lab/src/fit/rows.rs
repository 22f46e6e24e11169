//! Which rows are fitted, and which are kept to judge by.

use anyhow::{Context, ensure};
use sr_engine::{Instance, PrimitiveSet};
use sr_expr::{Columns, Expr, Op, Semantics, Tree};
use sr_problems::Problem;

use super::choice::is_told_by;
use super::{FrontFormula, Method};

/// Fewest rows of a table of which some are held out.
const FEWEST_TO_HOLD_OUT: usize = 60;
/// One row in so many is held out.
const HELD_OUT_EACH: usize = 5;
/// Rows that evolution computes on at most.
const WORKING_ROWS: usize = 256;
/// Rows that constants are fitted to during the search at most, and that errors are compared on.
const TRAINING_ROWS: usize = 4096;
/// Rows that closed forms are looked for in at most. They are tried on all of these, though made of a few hundred.
const ALGEBRA_ROWS: usize = 16_384;
/// The fewest of those, whatever the memory.
const FEWEST_ALGEBRA_ROWS: usize = 320;

/// The rows of a problem, as instances of the same variables and operators.
#[derive(Debug)]
pub(super) struct Rows {
    all: Instance,
    training: Instance,
    /// All training rows, if `training` is but a part of them and they are not `all`.
    whole: Option<Instance>,
    /// A part of the training rows.
    working: Instance,
    held_out: Option<Instance>,
    /// Whether the held-out rows are those of a table of their own.
    has_validation: bool,
    /// Whether `training` is but a part of the training rows.
    is_sampled: bool,
}

impl Rows {
    /// Splits the rows of a problem. With a problem of validation nothing is split: its rows are held out.
    ///
    /// # Errors
    /// If the data cannot be searched, or the problems differ in their number of variables.
    pub(super) fn new(problem: &Problem, validation: Option<&Problem>, operators: &[Op]) -> anyhow::Result<Self> {
        let n_rows = problem.y.len();
        // By y, so that every part spans its range; rows of equal y by their number.
        let mut order: Vec<usize> = (0..n_rows).collect();
        order.sort_by(|&a, &b| problem.y[a].total_cmp(&problem.y[b]).then(a.cmp(&b)));
        let holds_out = validation.is_none() && n_rows >= FEWEST_TO_HOLD_OUT;
        // The middle one of five, so that the ends of the range are fitted.
        let is_held_out = |place: usize| holds_out && place % HELD_OUT_EACH == HELD_OUT_EACH / 2;
        let in_order = |is_in: bool| -> Vec<usize> {
            order.iter().enumerate().filter(|(place, _)| is_held_out(*place) == is_in).map(|(_, &row)| row).collect()
        };
        let (trained, held) = (in_order(false), in_order(true));
        let part = |rows: &[usize], most: usize| {
            let mut rows = spread(rows, most);
            rows.sort_unstable();
            instance(problem, operators, Some(&rows))
        };
        let is_sampled = trained.len() > TRAINING_ROWS;
        let held_out = match validation {
            Some(validation) => {
                let (found, expected) = (validation.x.n_columns(), problem.x.n_columns());
                ensure!(found == expected, "the rows of validation have {found} variables, expected {expected}");
                Some(instance(validation, operators, None).context("the rows of validation")?)
            }
            None if holds_out => Some(part(&held, usize::MAX)?),
            None => None,
        };
        Ok(Rows {
            all: instance(problem, operators, None)?,
            training: part(&trained, TRAINING_ROWS)?,
            whole: if is_sampled && holds_out { Some(part(&trained, usize::MAX)?) } else { None },
            working: part(&trained, WORKING_ROWS)?,
            held_out,
            has_validation: validation.is_some(),
            is_sampled,
        })
    }

    /// All rows.
    pub(super) fn all(&self) -> &Instance {
        &self.all
    }

    /// The rows that constants are fitted to during the search: at most some thousands, spread by y.
    pub(super) fn training(&self) -> &Instance {
        &self.training
    }

    /// All rows that constants may be fitted to.
    pub(super) fn whole(&self) -> &Instance {
        match &self.whole {
            Some(whole) => whole,
            None if self.is_sampled => &self.all,
            None => &self.training,
        }
    }

    /// Whether there are more rows that constants may be fitted to than [`training`](Self::training) has.
    pub(super) fn is_sampled(&self) -> bool {
        self.is_sampled
    }

    /// The training rows that evolution computes on.
    pub(super) fn working(&self) -> &Instance {
        &self.working
    }

    /// The training rows in which closed forms are looked for, so many that their copies take at most an eighth of
    /// `memory` bytes, or all of it if there are very many columns. `None` if these are the [whole](Self::whole).
    ///
    /// # Errors
    /// If even few rows need more memory.
    pub(super) fn algebra(&self, memory: usize) -> anyhow::Result<Option<Columned>> {
        let whole = self.whole();
        let n_columns = whole.x().n_columns();
        // The columns themselves, copies of them, and an order by each.
        let row_bytes = 3 * size_of::<f64>() * (n_columns + 1);
        let most = (memory / 8 / row_bytes).clamp(FEWEST_ALGEBRA_ROWS, ALGEBRA_ROWS);
        let needed = row_bytes * whole.y().len().min(most);
        ensure!(
            needed <= memory,
            "{n_columns} columns need {} MB of memory beside the table, more than the {} MB that are allowed",
            needed.div_ceil(1 << 20),
            memory >> 20
        );
        if whole.y().len() <= most {
            return Ok(None);
        }
        let mut order: Vec<usize> = (0..whole.y().len()).collect();
        order.sort_by(|&a, &b| whole.y()[a].total_cmp(&whole.y()[b]).then(a.cmp(&b)));
        let mut rows = spread(&order, most);
        rows.sort_unstable();
        let x = Columns::from_fn(rows.len(), n_columns, |row, column| whole.x().column(column)[rows[row]]);
        let pick = |values: &[f64]| rows.iter().map(|&row| values[row]).collect::<Vec<f64>>();
        let weights = whole.weights().map(pick).filter(|weights| weights.iter().any(|&weight| weight > 0.0));
        Ok(Some(Columned { x, y: pick(whole.y()), weights }))
    }

    /// The rows that nothing is fitted to.
    pub(super) fn held_out(&self) -> Option<&Instance> {
        self.held_out.as_ref()
    }

    pub(super) fn n_variables(&self) -> usize {
        self.all.primitives().n_variables().into()
    }

    /// Whether a formula is exact on all rows, those of a validation table too, and these have enough digits to say so.
    pub(super) fn has_exact(&self, tree: &Tree) -> bool {
        let is_exact = |rows: &Instance| rows.is_exact(tree, Semantics::Ieee);
        is_told_by(tree, self.all.digits() * std::f64::consts::LN_10, self.all.y().len())
            && is_exact(&self.all)
            && (!self.has_validation || self.held_out.as_ref().is_none_or(is_exact))
    }

    /// A formula with how well it fits.
    pub(super) fn measured(&self, expr: Expr, method: Method) -> FrontFormula {
        FrontFormula {
            fit: self.all.fit(&expr, Semantics::Ieee),
            is_exact: self.has_exact(&expr),
            held_out: self.held_out.as_ref().map(|rows| rows.fit(&expr, Semantics::Ieee)),
            expr,
            method,
        }
    }
}

/// Some rows by columns.
pub(super) struct Columned {
    pub(super) x: Columns,
    pub(super) y: Vec<f64>,
    pub(super) weights: Option<Vec<f64>>,
}

/// At most so many elements, evenly spread, with the first and the last.
fn spread(rows: &[usize], most: usize) -> Vec<usize> {
    match rows.len() {
        n if n <= most => rows.to_vec(),
        n => (0..most).map(|i| rows[i * (n - 1) / (most - 1)]).collect(),
    }
}

/// These rows of a problem, or all.
fn instance(problem: &Problem, operators: &[Op], rows: Option<&[usize]>) -> anyhow::Result<Instance> {
    let n_variables = u16::try_from(problem.x.n_columns()).unwrap_or(u16::MAX);
    let primitives = PrimitiveSet::new(operators.to_vec(), vec![1.0], n_variables)?;
    let pick = |values: &[f64]| match rows {
        Some(rows) => rows.iter().map(|&row| values[row]).collect(),
        None => values.to_vec(),
    };
    let x = match rows {
        Some(rows) => {
            Columns::from_fn(rows.len(), problem.x.n_columns(), |row, column| problem.x.column(column)[rows[row]])
        }
        None => problem.x.clone(),
    };
    let instance =
        Instance::new(&problem.id, x, pick(&problem.y), primitives).context("the rows cannot be searched")?;
    match problem.weights.as_deref().map(pick) {
        // A part whose weights are all 0 says nothing, and counts as if it had none.
        Some(weights) if weights.iter().any(|&weight| weight > 0.0) => Ok(instance.with_weights(weights)?),
        _ => Ok(instance),
    }
}

#[cfg(test)]
mod tests {
    use sr_problems::Sampler;

    use super::*;

    fn problem(n_rows: usize) -> Problem {
        let x = Columns::from_fn(n_rows, 2, |row, column| ((row * 7919 + column) % 10_007) as f64);
        Problem {
            id: "rows".into(),
            source: None,
            semantics: Semantics::Ieee,
            y: x.column(0).to_vec(),
            x,
            weights: None,
            operators: vec![Op::Add],
            constants: vec![],
            sampler: Sampler::Fixed,
            seed: 0,
        }
    }

    #[test]
    fn few_rows_are_fitted_whole_and_of_many_a_sample_that_spans_y() {
        let rows = |n| Rows::new(&problem(n), None, &[Op::Add]).expect("rows");
        let few = rows(59);
        assert!(few.held_out().is_none() && !few.is_sampled() && few.training().y().len() == 59);
        let some = rows(5000);
        assert_eq!((some.training().y().len(), some.held_out().expect("rows").y().len()), (4000, 1000));
        assert!(!some.is_sampled() && some.whole().y().len() == 4000);
        assert!(some.algebra(512 << 20).expect("rows").is_none());
        let many = rows(30_000);
        assert!(many.is_sampled());
        assert_eq!((many.training().y().len(), many.whole().y().len(), many.all().y().len()), (4096, 24_000, 30_000));
        let range =
            |y: &[f64]| (y.iter().copied().fold(f64::MAX, f64::min), y.iter().copied().fold(f64::MIN, f64::max));
        assert_eq!(range(many.training().y()), range(many.all().y()));
        assert_eq!(many.algebra(512 << 20).expect("rows").expect("a part").y.len(), ALGEBRA_ROWS);
        assert_eq!(many.algebra(1 << 20).expect("rows").expect("a part").y.len(), (1 << 17) / (3 * 8 * 3));
    }

    #[test]
    fn rows_of_validation_are_held_out_and_none_else() {
        let rows = Rows::new(&problem(100), Some(&problem(30)), &[Op::Add]).expect("rows");
        assert_eq!((rows.training().y().len(), rows.held_out().expect("rows").y().len()), (100, 30));
        let sampled = Rows::new(&problem(9000), Some(&problem(30)), &[Op::Add]).expect("rows");
        assert_eq!((sampled.training().y().len(), sampled.whole().y().len()), (TRAINING_ROWS, 9000));
    }
}
