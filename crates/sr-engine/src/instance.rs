//! The input of a search: data and primitives, but never the formula behind them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sr_expr::rules::Rules;
use sr_expr::{Columns, Loss, Machine, Op, Semantics, Tree};

use crate::loss::{LossError, best_constant, mean_loss, squares};

/// The terminals and operators that expressions are built from.
#[derive(Debug, Clone, PartialEq)]
pub struct PrimitiveSet {
    ops: Vec<Op>,
    constants: Vec<f64>,
    n_variables: u16,
}

/// The reason why an instance cannot be searched.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InstanceError {
    /// There is neither a variable nor a constant, so no expression exists.
    #[error("a primitive set needs at least one variable or constant")]
    NoTerminals,
    /// A listed constant is NaN or infinite.
    #[error("constant {value} is not finite")]
    ConstantNotFinite {
        /// The constant.
        value: f64,
    },
    /// There are no rows of data.
    #[error("there are no rows of data")]
    NoRows,
    /// A target is NaN or infinite.
    #[error("y of row {} is {value}; targets have to be finite", .row + 1)]
    TargetNotFinite {
        /// The row, from 0.
        row: usize,
        /// The row's target.
        value: f64,
    },
    /// The number of weights is not the number of rows.
    #[error("y has {rows} rows, there are {weights} weights")]
    WeightRows {
        /// The number of rows of y.
        rows: usize,
        /// The number of weights.
        weights: usize,
    },
    /// A weight is negative, NaN or infinite.
    #[error("the weight of row {} is {value}; weights have to be finite and 0 or more", .row + 1)]
    Weight {
        /// The row, from 0.
        row: usize,
        /// The row's weight.
        value: f64,
    },
    /// All weights are zero.
    #[error("all weights are zero, so no row counts")]
    NoWeight,
    /// X and y differ in their number of rows.
    #[error("X has {x_rows} rows, y has {y_rows}")]
    Rows {
        /// The number of rows of X.
        x_rows: usize,
        /// The number of rows of y.
        y_rows: usize,
    },
    /// The loss is not defined for a target.
    #[error(transparent)]
    Loss(#[from] LossError),
    /// X has fewer columns than the primitive set has variables.
    #[error("X has {columns} columns, the primitive set {n_variables} variables")]
    Variables {
        /// The number of columns of X.
        columns: usize,
        /// The number of variables of the primitive set.
        n_variables: u16,
    },
}

impl PrimitiveSet {
    /// Makes a primitive set. It sorts the operators into table order and drops repeats, so that equal sets are equal.
    ///
    /// # Errors
    /// Returns an error if there is no terminal, or a constant is not finite.
    pub fn new(mut ops: Vec<Op>, constants: Vec<f64>, n_variables: u16) -> Result<Self, InstanceError> {
        if n_variables == 0 && constants.is_empty() {
            return Err(InstanceError::NoTerminals);
        }
        if let Some(&value) = constants.iter().find(|c| !c.is_finite()) {
            return Err(InstanceError::ConstantNotFinite { value });
        }
        ops.sort_unstable();
        ops.dedup();
        Ok(PrimitiveSet { ops, constants, n_variables })
    }

    /// Returns all operators, in table order.
    pub fn ops(&self) -> &[Op] {
        &self.ops
    }

    /// Returns the operators with `arity` operands, in table order.
    pub fn ops_of(&self, arity: usize) -> impl Iterator<Item = Op> + Clone + '_ {
        self.ops.iter().copied().filter(move |op| op.arity() == arity)
    }

    /// Returns the listed constants.
    pub fn constants(&self) -> &[f64] {
        &self.constants
    }

    /// Returns the number of variables.
    pub fn n_variables(&self) -> u16 {
        self.n_variables
    }
}

/// The data and primitives of one problem.
#[derive(Debug, Clone)]
pub struct Instance {
    id: Arc<str>,
    x: Columns,
    y: Vec<f64>,
    weights: Option<Vec<f64>>,
    target: Target,
    /// `None` for squares.
    loss: Option<Arc<RowLoss>>,
    /// `None` if all formulas are allowed.
    rules: Option<Arc<Rules>>,
    primitives: PrimitiveSet,
    serial: u64,
}

/// A loss beside the square, with what it is measured by.
#[derive(Debug)]
struct RowLoss {
    loss: Arc<dyn crate::Loss>,
    /// The weights that were given; those of the instance have the factor of the squares, too, if the loss is such.
    weights: Option<Vec<f64>>,
    /// Whether the loss is a weighted square, so that the instance's weights say it all.
    is_square: bool,
    /// The loss that is computed with, and the factor, a power of two, of its targets and predictions: 1 unless squares of
    /// y are beyond the numbers.
    measured: Arc<dyn crate::Loss>,
    unit: f64,
    /// The targets in these units; empty if they are those of y.
    y: Vec<f64>,
    /// The mean loss of the best constant, or what stands for it where that is 0.
    baseline: f64,
    tolerance: f64,
}

/// Properties of y and its weights that [`Objective::Mse`](crate::Objective::Mse) needs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target {
    /// A power of two by which errors are multiplied before they are squared, so that the squares are finite for
    /// targets of any magnitude.
    pub(crate) unit: f64,
    /// The sum of the weights, or the number of rows.
    weight: f64,
    /// The square of `scale · unit`.
    variance: f64,
    scale: f64,
    tolerance: f64,
    /// Whether y varies at all.
    varies: bool,
    /// The magnitude up to which targets are too small for the mean squared error to say anything about them; `None` if
    /// few rows have such targets.
    hidden_below: Option<f64>,
    /// The largest error of a row with a small target that is rounding, of the numbers that it may be a difference of or of
    /// the digits that y is written with.
    rounding: f64,
    /// The upper median of |y|.
    median: f64,
    /// Half a unit of the last decimal that any target has, where y is written with decimals; else 0.
    half_decimal: f64,
}

/// The quality with which an expression fits all rows of an instance, computed in f64.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fit {
    /// The weighted mean loss over all rows, lower is better: `mse` unless the instance has another [`Loss`](crate::Loss).
    pub loss: f64,
    /// The weighted mean squared error over all rows, in the square of the target's units. It is infinite if a
    /// prediction is NaN or infinite, or if the square overflows. It is 0 only if every error is 0: a square that
    /// underflows is the smallest positive number.
    pub mse: f64,
    /// The root of `mse`, in the target's units. It is exact also where `mse` overflows or underflows: 1e-200 for errors
    /// of 1e-200.
    pub rmse: f64,
    /// The quotient of `mse` and the square of [`Instance::scale`]; 1 − R² if the target varies. With another loss it is the
    /// quotient of `loss` and that of the best constant, 1 − D².
    pub relative: f64,
    /// The number of rows whose prediction is NaN, infinite, or 1e6 or more in magnitude.
    /// [`Objective::Masked`](crate::Objective::Masked) leaves these rows out of its error.
    pub masked_rows: usize,
    /// Whether the target varies. If not, `relative` compares with the target's magnitude.
    pub varies: bool,
    /// Whether `relative` is at most [`Instance::tolerance`], and rows with small targets are right too. Such rows
    /// count where they are more than one in twenty, and at least two: those with targets so small beside the others
    /// that predicting 0 would be within the tolerance. Their own errors then have to be below a thousandth of their
    /// targets.
    pub is_solved: bool,
}

impl Fit {
    /// Returns the coefficient of determination, 1 − `relative`: R², or the share D² of the best constant's loss that is
    /// explained. It is `None` if a prediction is NaN or infinite, or if
    /// the target does not vary, so that there is nothing to explain.
    pub fn r2(&self) -> Option<f64> {
        (self.varies && self.is_finite()).then_some(1.0 - self.relative)
    }

    /// Returns whether `relative` is finite, which needs every prediction to be.
    pub fn is_finite(&self) -> bool {
        self.relative.is_finite()
    }
}

impl Instance {
    /// Makes an instance from data and primitives.
    ///
    /// - id: the problem's name, which is part of the key of its random streams
    /// - x: `[rows, variables]`; y: `[rows]`
    ///
    /// # Errors
    /// Returns an error if there are no rows, the rows of x and y differ in number, a target is not finite, or x has
    /// fewer columns than there are variables. Numbers in x that are not finite are no error; predictions that they
    /// make NaN or infinite count as such.
    pub fn new(id: &str, x: Columns, y: Vec<f64>, primitives: PrimitiveSet) -> Result<Self, InstanceError> {
        if x.n_rows() != y.len() {
            return Err(InstanceError::Rows { x_rows: x.n_rows(), y_rows: y.len() });
        }
        if y.is_empty() {
            return Err(InstanceError::NoRows);
        }
        if let Some((row, &value)) = y.iter().enumerate().find(|(_, value)| !value.is_finite()) {
            return Err(InstanceError::TargetNotFinite { row, value });
        }
        if x.n_columns() < usize::from(primitives.n_variables) {
            return Err(InstanceError::Variables { columns: x.n_columns(), n_variables: primitives.n_variables });
        }
        let (target, serial) = (Target::of(&y, None), next_serial());
        Ok(Instance { id: id.into(), x, y, weights: None, target, loss: None, rules: None, primitives, serial })
    }

    /// Returns the same problem with the squared error of row `i` counted `weights[i]` times. A row of weight 0 does
    /// not count at all, and only ratios of weights matter. [`Objective::Masked`](crate::Objective::Masked) ignores
    /// weights.
    ///
    /// # Errors
    /// Returns an error if the number of weights is not the number of rows, a weight is negative or not finite, or all
    /// are zero.
    pub fn with_weights(mut self, weights: Vec<f64>) -> Result<Self, InstanceError> {
        let loss = self.loss.take().map(|row_loss| row_loss.loss.clone());
        if weights.len() != self.y.len() {
            return Err(InstanceError::WeightRows { rows: self.y.len(), weights: weights.len() });
        }
        if let Some((row, &value)) = weights.iter().enumerate().find(|(_, w)| !(w.is_finite() && **w >= 0.0)) {
            return Err(InstanceError::Weight { row, value });
        }
        let largest = weights.iter().copied().fold(0.0, f64::max);
        if largest == 0.0 {
            return Err(InstanceError::NoWeight);
        }
        // A power of two changes no ratio, and keeps sums of weights finite.
        let shrink = power_of_two_near(largest).recip();
        let weights: Vec<f64> = weights.into_iter().map(|weight| weight * shrink).collect();
        self.target = Target::of(&self.y, Some(&weights));
        self.weights = Some(weights);
        self.serial = next_serial();
        match loss {
            None => Ok(self),
            Some(loss) => self.with_checked_loss(loss),
        }
    }

    /// Returns the same problem with another loss than the square of the error. [`Objective::Mse`](crate::Objective::Mse) and
    /// [`ConstantFitter`](crate::ConstantFitter) then make the weighted mean of that loss small, relative to the loss of
    /// the best constant. [`Objective::Masked`](crate::Objective::Masked) ignores it.
    ///
    /// A loss that is a [weighted square](crate::Loss::square) is as fast as the square; others take a pass more.
    ///
    /// # Errors
    /// If the loss is not defined for a target.
    pub fn with_loss(self, loss: Arc<dyn crate::Loss>) -> Result<Self, InstanceError> {
        loss.check(&self.y)?;
        self.with_checked_loss(loss)
    }

    /// Does the same without asking the loss, for a part of rows that were checked as a whole: a part may well have only
    /// one of two classes.
    ///
    /// # Errors
    /// If the squares of the loss are no weights.
    pub fn with_checked_loss(mut self, loss: Arc<dyn crate::Loss>) -> Result<Self, InstanceError> {
        // A second loss replaces the first and its weights.
        let weights = match self.loss.take() {
            Some(before) => before.weights.clone(),
            None => self.weights.take(),
        };
        let factors = squares(&*loss, &self.y).transpose()?;
        let is_square = factors.is_some();
        let counted = match factors {
            Some(factors) => {
                let weight = |row: usize| weights.as_ref().map_or(1.0, |weights| weights[row]);
                let product = factors.iter().enumerate().map(|(row, factor)| weight(row) * factor).collect();
                self.loss = None;
                self = self.with_weights(product)?;
                self.weights.take()
            }
            None => weights.clone(),
        };
        self.target = Target::of(&self.y, counted.as_deref());
        self.weights = counted;
        let is_extreme = !is_square && is_extreme(self.target.unit);
        let in_units = if is_extreme { loss.in_units(self.target.unit) } else { None };
        let unit = if in_units.is_some() { self.target.unit } else { 1.0 };
        let measured = in_units.unwrap_or_else(|| loss.clone());
        let scaled: Vec<f64> = if unit == 1.0 { Vec::new() } else { self.y.iter().map(|y| y * unit).collect() };
        let y = if unit == 1.0 { &self.y } else { &scaled };
        let mean = |predictions: &[f64]| mean_loss(&*measured, predictions, y, weights.as_deref());
        let constant = best_constant(&*measured, y, weights.as_deref());
        let baselines = [constant, 0.0].map(|constant| mean(&vec![constant; y.len()]));
        let baseline = baselines.into_iter().find(|loss| *loss > 0.0 && loss.is_finite()).unwrap_or(1.0);
        let tolerance = match (is_square, loss.predicts_target()) {
            (true, _) => self.target.tolerance,
            (false, false) => 0.0,
            (false, true) => {
                let error = self.target.tolerance.sqrt() * self.target.scale * unit;
                mean(&y.iter().map(|y| y + error).collect::<Vec<f64>>()) / baseline
            }
        };
        let y = scaled;
        self.loss = Some(Arc::new(RowLoss { loss, weights, is_square, measured, unit, y, baseline, tolerance }));
        self.serial = next_serial();
        Ok(self)
    }

    /// Returns the same problem with rules for formulas: the score of one that breaks them is that of one that is not valid,
    /// and parsimony goes by the rules' [`complexity`](Rules::complexity). [`fit`](Self::fit) measures any formula.
    pub fn with_rules(mut self, rules: Rules) -> Self {
        self.rules = (rules != Rules::default()).then(|| Arc::new(rules));
        self.serial = next_serial();
        self
    }

    /// Returns the same data with other primitives.
    ///
    /// # Errors
    /// Returns an error if x has fewer columns than the primitives have variables.
    pub fn with_primitives(&self, primitives: PrimitiveSet) -> Result<Self, InstanceError> {
        if self.x.n_columns() < usize::from(primitives.n_variables) {
            return Err(InstanceError::Variables { columns: self.x.n_columns(), n_variables: primitives.n_variables });
        }
        Ok(Instance { primitives, serial: next_serial(), ..self.clone() })
    }

    /// Returns the problem's name.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns the inputs, `[rows, variables]`.
    pub fn x(&self) -> &Columns {
        &self.x
    }

    /// Returns the target, `[rows]`.
    pub fn y(&self) -> &[f64] {
        &self.y
    }

    /// Returns the weights of the rows, `[rows]`, up to a common factor; `None` if all rows count the same.
    pub fn weights(&self) -> Option<&[f64]> {
        self.weights.as_deref()
    }

    /// Returns the loss, `None` for the square of the error.
    pub fn loss(&self) -> Option<&dyn crate::Loss> {
        self.loss.as_ref().map(|row_loss| &*row_loss.loss)
    }

    /// Returns the loss if it is no weighted square, so that it has to be computed row by row from predictions: the loss of
    /// predictions and targets [in its units](Self::loss_scale).
    pub(crate) fn row_loss(&self) -> Option<&dyn crate::Loss> {
        self.loss.as_ref().filter(|row_loss| !row_loss.is_square).map(|row_loss| &*row_loss.measured)
    }

    /// Returns the factor, a power of two, by which predictions and targets are multiplied for the
    /// [`row_loss`](Self::row_loss): 1, or the unit of [`target`](Self::target) where that is extreme.
    pub(crate) fn loss_scale(&self) -> f64 {
        self.loss.as_ref().map_or(1.0, |row_loss| row_loss.unit)
    }

    /// Returns the targets in the units of the [`row_loss`](Self::row_loss).
    pub(crate) fn loss_targets(&self) -> &[f64] {
        self.loss.as_ref().filter(|row_loss| !row_loss.y.is_empty()).map_or(&self.y, |row_loss| &row_loss.y)
    }

    /// Returns the mean loss of predictions relative to that of the best constant, infinite if one is not finite.
    ///
    /// # Panics
    /// Panics if there is no [`row_loss`](Self::row_loss).
    pub(crate) fn relative_loss(&self, predictions: &[f64]) -> f64 {
        match self.loss_scale() {
            1.0 => self.relative_loss_in_its_units(predictions),
            unit => self.relative_loss_in_its_units(&predictions.iter().map(|p| p * unit).collect::<Vec<f64>>()),
        }
    }

    /// The same of predictions in the units of the loss.
    ///
    /// # Panics
    /// Panics if there is no [`row_loss`](Self::row_loss).
    pub(crate) fn relative_loss_in_its_units(&self, predictions: &[f64]) -> f64 {
        let RowLoss { measured, weights, baseline, .. } = &**self.loss.as_ref().expect("there is a loss");
        mean_loss(&**measured, predictions, self.loss_targets(), weights.as_deref()) / baseline
    }

    /// Returns the factor by which a sum of losses with the instance's weights is multiplied for
    /// [`relative_loss`](Self::relative_loss).
    pub(crate) fn loss_unit(&self) -> f64 {
        let weight: f64 = self.weights().map_or(self.y.len() as f64, |weights| weights.iter().sum());
        1.0 / (weight * self.loss.as_ref().map_or(1.0, |row_loss| row_loss.baseline))
    }

    /// Returns the rules for formulas; `None` if all are allowed and sizes are numbers of nodes.
    pub fn rules(&self) -> Option<&Rules> {
        self.rules.as_deref()
    }

    /// Returns whether a formula keeps the rules.
    #[inline]
    pub fn allows(&self, tree: &Tree) -> bool {
        self.rules.as_ref().is_none_or(|rules| rules.allow(tree))
    }

    /// Returns the size of a formula by the rules: its number of nodes, unless some of them count more.
    #[inline]
    pub fn size_of(&self, tree: &Tree) -> usize {
        self.rules.as_ref().map_or(tree.size(), |rules| rules.complexity.of(tree))
    }

    /// Returns the terminals and operators.
    pub fn primitives(&self) -> &PrimitiveSet {
        &self.primitives
    }

    /// Returns the weighted standard deviation of y. For a y that does not vary it returns its magnitude, and 1 if y is
    /// zero. [`Objective::Mse`](crate::Objective::Mse) measures errors by it.
    pub fn scale(&self) -> f64 {
        self.target.scale
    }

    /// Returns the largest value of [`Fit::relative`] that cannot be told from an exact fit. It is 1e-12, or more if
    /// the digits of y need it: for the rounding of 64-bit numbers (large offsets with little variation), up to 0.1, and, where y
    /// has decimals, for half a unit of the last decimal that any target has, up to 1e-6.
    ///
    /// With another loss it is what errors of that size lose, and 0 if predictions are not the target itself.
    pub fn tolerance(&self) -> f64 {
        self.loss.as_ref().map_or(self.target.tolerance, |row_loss| row_loss.tolerance)
    }

    /// Computes how well a tree fits all rows. O(size · rows).
    pub fn fit(&self, tree: &Tree, semantics: Semantics) -> Fit {
        let mut machine = Machine::new();
        let mut sums = |loss| machine.sum(tree, &self.x, semantics, loss).clone();
        let sum = sums(self.squares());
        let valid = sums(Loss::Squares { y: &self.y, limit: crate::fitness::MAX_PREDICTION }).count;
        let mean = if sum.count == self.y.len() { sum.squares() / self.target.weight } else { f64::INFINITY };
        let (mse, rmse, relative) = if mean.is_finite() {
            let (mse, rmse) = (mean / self.target.unit / self.target.unit, mean.sqrt() / self.target.unit);
            let least = if mean > 0.0 { SMALLEST } else { 0.0 };
            (mse.max(least), rmse, self.target.relative(sum.squares()))
        } else {
            let mut predicted = Vec::new();
            machine.predict(tree, &self.x, semantics, &mut predicted);
            let rmse = self.large_rmse(&predicted, self.weights());
            let relative = rmse / self.target.scale;
            (rmse * rmse, rmse, relative * relative)
        };
        let is_solved = relative <= self.target.tolerance && !self.hides_errors(tree, semantics);
        let masked_rows = self.y.len() - valid;
        let fit = Fit { loss: mse, mse, rmse, relative, masked_rows, varies: self.target.varies, is_solved };
        match &self.loss {
            None => fit,
            Some(row_loss) => self.fit_by_loss(fit, row_loss, tree, semantics),
        }
    }

    /// Puts another loss in the place of squares.
    fn fit_by_loss(&self, fit: Fit, row_loss: &RowLoss, tree: &Tree, semantics: Semantics) -> Fit {
        let RowLoss { loss, weights, is_square, .. } = row_loss;
        let mut predictions = Vec::new();
        Machine::new().predict(tree, &self.x, semantics, &mut predictions);
        let mean = mean_loss(&**loss, &predictions, &self.y, weights.as_deref());
        if *is_square {
            // The factors of the loss do not belong to the squared error.
            let mse = mean_loss(&Square, &predictions, &self.y, weights.as_deref());
            let rmse = if mse.is_normal() { mse.sqrt() } else { self.large_rmse(&predictions, weights.as_deref()) };
            let least = if rmse > 0.0 { SMALLEST } else { 0.0 };
            return Fit { loss: mean, mse: mse.max(least), rmse, ..fit };
        }
        let relative = self.relative_loss(&predictions);
        // A loss that underflows is that of an error.
        let least = if relative > 0.0 { SMALLEST } else { 0.0 };
        let mean = if mean == 0.0 { least } else { mean };
        Fit { loss: mean, relative, is_solved: fit.is_solved && loss.predicts_target(), ..fit }
    }

    /// The root of the mean squared error where squares of errors are beyond the numbers there are; infinite where a
    /// prediction is no number.
    fn large_rmse(&self, predicted: &[f64], weights: Option<&[f64]>) -> f64 {
        let weight = |row: usize| weights.map_or(1.0, |weights| weights[row]);
        // Halves, for the difference of two numbers may be none.
        let errors = || predicted.iter().zip(&self.y).map(|(predicted, y)| 0.5 * predicted - 0.5 * y);
        if !errors().all(f64::is_finite) {
            return f64::INFINITY;
        }
        let largest = errors().map(f64::abs).fold(0.0, f64::max);
        if largest == 0.0 {
            return 0.0;
        }
        let squares = errors().enumerate().map(|(row, error)| weight(row) * (error / largest).powi(2));
        let total: f64 = weights.map_or(self.y.len() as f64, |weights| weights.iter().sum());
        let root = largest * (squares.sum::<f64>() / total).sqrt();
        2.0 * root
    }

    /// Returns whether a tree whose error over all rows is within the tolerance is wrong on many rows with small
    /// targets, see [`Fit::is_solved`]. Most instances have no such rows, for which it takes O(1).
    pub(crate) fn hides_errors(&self, tree: &Tree, semantics: Semantics) -> bool {
        let Some(below) = self.target.hidden_below else { return false };
        let mut predicted = Vec::new();
        Machine::new().predict(tree, &self.x, semantics, &mut predicted);
        let rows = predicted.iter().zip(&self.y).enumerate();
        let rows = rows.filter(|&(row, (_, y))| y.abs() <= below && self.weights().is_none_or(|w| w[row] > 0.0));
        // In units of `below`, so that squares are numbers.
        let (mut errors, mut targets, mut worst) = (0.0, 0.0, 0.0_f64);
        for (_, (predicted, y)) in rows {
            let (error, y) = ((predicted - y) / below, y / below);
            (errors, targets, worst) = (errors + error * error, targets + y * y, worst.max(error.abs()));
        }
        errors > HIDDEN_TOLERANCE * targets && worst * below > self.target.rounding
    }

    /// Returns whether a tree is right on every row that has a weight: within 1e-11 of |y|, but of y's deviation where |y|
    /// is larger, and of 1e-3 of the median of |y| where it is smaller; within the rounding of y, which is two to four of the
    /// distances between numbers there, and of that median or of 16 deviations, whichever is less; or, where y has decimals,
    /// within half a unit of the last decimal that any target has. O(size · rows).
    ///
    /// Predictions that are not the target itself, such as log-odds, are never exact.
    pub fn is_exact(&self, tree: &Tree, semantics: Semantics) -> bool {
        if self.loss().is_some_and(|loss| !loss.predicts_target()) {
            return false;
        }
        let mut predicted = Vec::new();
        Machine::new().predict(tree, &self.x, semantics, &mut predicted);
        let counts = |row: usize| self.weights().is_none_or(|weights| weights[row] > 0.0);
        predicted.iter().zip(&self.y).enumerate().all(|(row, (predicted, y))| {
            let size = y.abs().max(1e-3 * self.target.median).min(self.target.scale);
            let bound = EXACT * size + self.target.rounding_of(*y) + self.target.half_decimal;
            (predicted - y).abs() <= bound || !counts(row)
        })
    }

    /// Returns the number of digits that a target says of a formula: the logarithm of its deviation over the error with which
    /// it is known, at least 0. That is 1e-11 of the deviation or half of the distance between numbers as large as y, whichever
    /// is larger, and half a unit of the last decimal.
    pub fn digits(&self) -> f64 {
        let Target { scale, half_decimal, median, .. } = self.target;
        let known = (EXACT * scale).max(0.5 * f64::EPSILON * median);
        (scale / (known + half_decimal)).log10().max(0.0)
    }

    /// Returns the sum of scaled squares that the objective consists of.
    pub(crate) fn squares(&self) -> Loss<'_, f64> {
        Loss::ScaledSquares { y: &self.y, w: self.weights(), scale: self.target.unit }
    }

    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// Returns a number that only this instance and its copies have in this process.
    pub(crate) fn serial(&self) -> u64 {
        self.serial
    }
}

/// (p − y)²
#[derive(Debug)]
pub(crate) struct Square;

impl crate::Loss for Square {
    fn name(&self) -> String {
        "mse".into()
    }

    fn loss(&self, prediction: f64, y: f64) -> f64 {
        (prediction - y).powi(2)
    }

    fn derivative(&self, prediction: f64, y: f64) -> f64 {
        2.0 * (prediction - y)
    }

    fn curvature(&self, _: f64, _: f64) -> f64 {
        2.0
    }
}

fn next_serial() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Target {
    /// Returns the objective for a sum Σ w ((p − y) · unit)².
    #[inline]
    pub(crate) fn relative(&self, squares: f64) -> f64 {
        squares / self.weight / self.variance
    }

    /// The rounding of a target, two to four of the distances between numbers there; and that of the terms that it may be a
    /// difference of. Targets that are all about the same are none of larger terms.
    fn rounding_of(&self, y: f64) -> f64 {
        let terms = self.median.min(16.0 * self.scale);
        2.0 * f64::EPSILON * y.abs() + 16.0 * f64::EPSILON * terms
    }

    fn of(y: &[f64], weights: Option<&[f64]>) -> Self {
        let weight_of = |row: usize| weights.map_or(1.0, |weights| weights[row]);
        let counted = || y.iter().enumerate().filter(|&(row, _)| weight_of(row) > 0.0);
        let weight = y.iter().enumerate().map(|(row, _)| weight_of(row)).sum::<f64>();
        let largest = counted().map(|(_, y)| y.abs()).fold(0.0, f64::max);
        // Moments of y in units in which its largest value is about 1.
        let near_one = power_of_two_near(largest).recip();
        let moment = |term: &dyn Fn(f64) -> f64| {
            counted().map(|(row, &y)| weight_of(row) * term(y * near_one)).sum::<f64>() / weight
        };
        let mean = moment(&|y| y);
        let mut variance = moment(&|y| (y - mean) * (y - mean));
        if variance.sqrt() <= OFFSET * largest * near_one {
            // The rounding of the mean may be as large as the deviation, that of differences of targets is not.
            let first = counted().next().map_or(0.0, |(_, y)| y * near_one);
            let mean = moment(&|y| y - first);
            variance = moment(&|y| (y - first - mean) * (y - first - mean));
        }
        // One to two of the distances between numbers there: a constant that was computed has as much.
        let rounding = f64::EPSILON * largest * near_one;
        let varies = variance.sqrt() > rounding;
        let square = match largest == 0.0 {
            true => 1.0,
            false if varies => variance,
            false => moment(&|y| y * y),
        };
        let scale = square.sqrt() / near_one;
        let unit = power_of_two_near(scale).recip();
        let ratio = unit / near_one;
        let relative_rounding = 2.0 * f64::EPSILON * largest / scale;
        let decimals = if largest == 0.0 { None } else { last_decimal(counted().map(|(_, &y)| y)) };
        let by_decimals = decimals.map_or(0.0, |decimal| (0.5 * decimal / scale).powi(2)).min(MOST_BY_DECIMALS);
        let by_rounding = (relative_rounding * relative_rounding).min(MOST_BY_ROUNDING);
        let tolerance = LEAST_TOLERANCE.max(by_rounding).max(by_decimals);
        let (rows, below) = (counted().count(), tolerance.sqrt() * scale);
        let hidden = counted().filter(|(_, y)| y.abs() <= below).count();
        let is_hiding = hidden >= 2 && 20 * hidden > rows && below > 0.0;
        let median = median(counted().map(|(_, y)| y.abs()));
        let half_decimal = decimals.map_or(0.0, |decimal| 0.5 * decimal);
        Target {
            unit,
            weight,
            variance: square * ratio * ratio,
            scale,
            tolerance,
            varies,
            hidden_below: is_hiding.then_some(below),
            rounding: 16.0 * f64::EPSILON * median + half_decimal,
            median,
            half_decimal,
        }
    }
}

/// Errors are computed in the units of y while the unit of its squares is within this factor of 1, so that squares of
/// errors and derivatives are finite and accurate.
const PLAIN_UNITS: f64 = 1e60;
/// Targets that vary by less than this, relative to their magnitude, are an offset first of all.
const OFFSET: f64 = 1e-7;
/// Relative errors up to this are rounding, see [`Instance::is_exact`].
const EXACT: f64 = 1e-11;
/// An error relative to the target's variance that is below this is rounding.
const LEAST_TOLERANCE: f64 = 1e-12;
/// The square of the share of small targets that their errors may have, see [`Fit::is_solved`].
const HIDDEN_TOLERANCE: f64 = 1e-6;
/// The smallest positive number.
const SMALLEST: f64 = 5e-324;
/// The largest tolerance that the rounding of targets can give: what leaves a tenth of the variance is more than that.
const MOST_BY_ROUNDING: f64 = 0.1;
/// The largest tolerance that targets of few decimals can give.
const MOST_BY_DECIMALS: f64 = 1e-6;
/// Targets with more decimals than this were computed, not written down.
const MOST_DECIMALS: i32 = 12;

/// Returns the upper median, 0 of nothing.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    let middle = values.len() / 2;
    match values.is_empty() {
        true => 0.0,
        false => *values.select_nth_unstable_by(middle, f64::total_cmp).1,
    }
}

/// Returns the power of two at or below a number, or 1 for zero. Its exponent is limited so that its reciprocal is a
/// power of two as well.
pub(crate) fn power_of_two_near(value: f64) -> f64 {
    if value == 0.0 { 1.0 } else { 2.0_f64.powi((value.log2().floor() as i32).clamp(-1022, 1022)) }
}

/// Returns whether squares of errors in the units of y are not sure to be numbers, where errors are multiplied by this for
/// the objective.
pub(crate) fn is_extreme(unit: f64) -> bool {
    !(PLAIN_UNITS.recip()..PLAIN_UNITS).contains(&unit)
}

/// Returns the unit of the last decimal that any of the numbers has in its shortest decimal form: 0.01 for 2.5 and
/// 3.25. It is `None` if all are whole numbers, which may be exact, or one has so many decimals that it was not rounded
/// to them.
fn last_decimal(numbers: impl Iterator<Item = f64>) -> Option<f64> {
    let mut most = 0;
    for number in numbers {
        let text = format!("{number:e}");
        let (mantissa, exponent) = text.split_once('e')?;
        let digits = mantissa.bytes().filter(u8::is_ascii_digit).count() as i32;
        most = most.max(digits - 1 - exponent.parse::<i32>().ok()?);
        if most > MOST_DECIMALS {
            return None;
        }
    }
    (most > 0).then(|| 10.0_f64.powi(-most))
}

#[cfg(test)]
mod tests {
    use sr_expr::Expr;

    use super::*;

    fn instance(x: &[f64], y: &[f64]) -> Result<Instance, InstanceError> {
        let primitives = PrimitiveSet::new(vec![Op::Add], vec![], 1)?;
        Instance::new("t", Columns::new(x.len(), 1, x.to_vec()), y.to_vec(), primitives)
    }

    fn fit(text: &str, x: &[f64], y: &[f64]) -> Fit {
        let tree: sr_expr::Expr = text.parse().expect(text);
        instance(x, y).expect("an instance").fit(&tree, Semantics::Ieee)
    }

    #[test]
    fn the_scale_is_the_deviation_or_the_magnitude_or_one() {
        let scale = |y: &[f64]| instance(&vec![0.0; y.len()], y).expect("an instance").scale();
        assert_eq!(scale(&[1.0, 3.0]), 1.0);
        let is_near = |y: &[f64], expected: f64| (scale(y) / expected - 1.0).abs() < 1e-15;
        assert!(is_near(&[1e300, 3e300], 1e300) && is_near(&[1e-300, 3e-300], 1e-300));
        assert!(is_near(&[-5.0, -5.0, -5.0], 5.0) && is_near(&[7.0], 7.0));
        assert_eq!(scale(&[0.0, 0.0]), 1.0);
        let noise = [0.1 + 0.2, 0.3];
        assert!((scale(&noise) - 0.3).abs() < 1e-15, "rounding is no variation");
    }

    #[test]
    fn a_fit_is_over_all_rows_in_the_units_of_y() {
        let x = [1.0, 2.0, 3.0, 4.0];
        let found = fit("x0 + 2", &x, &x);
        assert_eq!((found.mse, found.relative, found.masked_rows, found.is_solved), (4.0, 3.2, 0, false));
        let found = fit("x0 * x0", &[1e3, 2e3], &[1e6, 4e6]);
        assert_eq!((found.mse, found.masked_rows, found.is_solved, found.r2()), (0.0, 2, true, Some(1.0)));
        let found = fit("log(x0)", &[-1.0, 1.0, 2.0], &[0.0, 0.0, 1.0]);
        assert_eq!((found.mse, found.r2(), found.masked_rows), (f64::INFINITY, None, 1));
        // The square of the error is beyond the numbers, the fit is not.
        let found = fit("x0 * 1.1", &[1e300, 2e300], &[1e300, 2e300]);
        assert_eq!(found.mse, f64::INFINITY);
        assert!((found.relative - 0.1).abs() < 1e-12, "{found:?}");
    }

    #[test]
    fn what_is_told_of_a_fit_is_true_of_squares_that_are_no_numbers_and_of_constants() {
        let x = [1e-200, 2e-200, 3e-200, 4e-200];
        let found = fit("x0", &x, &[3e-200, 1e-200, 7e-200, 2e-200]);
        assert!(found.mse == SMALLEST && (found.rmse / 2.5e-200 - 1.0).abs() < 1e-12, "{found:?}");
        assert!(!found.is_solved && found.r2().is_some_and(|r2| (r2 + 0.2048).abs() < 1e-3), "{found:?}");
        let found = fit("x0", &[1e300, -1e300], &[-1e300, 1e300]);
        assert_eq!((found.mse, found.rmse), (f64::INFINITY, 2e300));
        let found = fit("x0", &[1e200, -1e200], &[1.0, 2.0]);
        assert_eq!((found.mse, found.rmse, found.r2()), (f64::INFINITY, 1e200, None));
        let found = fit("x0", &[f64::NAN, 1e200], &[1.0, 2.0]);
        assert_eq!((found.mse, found.rmse), (f64::INFINITY, f64::INFINITY));
        let found = fit("x0 * x0", &[1e3, 2e3, 3e3], &[5e6; 3]);
        assert!(!found.varies && found.r2().is_none() && found.is_finite() && found.relative > 0.4, "{found:?}");
        assert_eq!(fit("x0 - x0 + 5", &x, &[5.0; 4]).mse, 0.0);
    }

    #[test]
    fn rows_that_the_error_says_nothing_of_are_looked_at_themselves() {
        let x = [1.0, 2.0, 3.0, 1e5, 2e5, 3e5];
        let is_solved = |text: &str, y: &[f64; 6]| fit(text, &x, y).is_solved;
        let squares = x.map(|x| x * x);
        assert!(is_solved("x0*x0", &squares));
        let [mut wrong, mut near] = [squares; 2];
        wrong[..3].copy_from_slice(&[7.0, 7.0, 7.0]);
        assert!(!is_solved("x0*x0", &wrong));
        near[0] += 1e-4;
        assert!(is_solved("x0*x0", &near), "a thousandth is allowed");
        // A single row that is zero, or nearly, is no group.
        let line: Vec<f64> = (0..100).map(f64::from).collect();
        let near_zero =
            line.iter().map(|x| x * (1.0 + 1e-8)).map(|y| if y == 0.0 { 1e-9 } else { y }).collect::<Vec<_>>();
        assert!(fit("x0", &line, &near_zero).is_solved);
    }

    #[test]
    fn exact_is_right_on_every_row() {
        let x: Vec<f64> = (1..=40).map(|i| f64::from(i) / 3.0).collect();
        let is_exact = |text: &str, law: &dyn Fn(f64) -> f64| {
            let y: Vec<f64> = x.iter().map(|&x| law(x)).collect();
            instance(&x, &y).expect("an instance").is_exact(&text.parse::<Expr>().expect(text), Semantics::Ieee)
        };
        assert!(is_exact("x0*x0*3.1", &|x| 3.1 * x * x));
        // A mean error of 1e-14 of the variance is no law.
        assert!(!is_exact("x0*x0*3.1000001", &|x| 3.1 * x * x));
        // One row of forty.
        assert!(!is_exact("x0", &|x| if x == 1.0 { 1.0 + 1e-9 } else { x }));
        // Beside a large offset the deviation counts, but the rounding of the offset is allowed.
        assert!(!is_exact("1e6 + sin(x0)", &|x| 1e6 + (1.0 + 1e-7) * libm::sin(x)));
        assert!(is_exact("sin(x0) + 1e6", &|x| libm::sin(x) + 1e6 + 1e-10));
        // Small targets beside large ones count by themselves.
        assert!(!is_exact("exp(x0*2.0)", &|x| libm::exp(2.0 * x) * (1.0 + if x < 1.0 { 1e-8 } else { 0.0 })));
        // Decimals allow half a unit of the last one.
        assert!(is_exact("x0*x0/7.0", &|x| (x * x / 7.0 * 1e3).round() / 1e3));
        assert!(!is_exact("x0*x0/7.01", &|x| (x * x / 7.0 * 1e3).round() / 1e3));
    }

    #[test]
    fn a_target_varies_if_it_does_by_more_than_the_rounding_of_its_numbers() {
        let of = |y: &[f64]| instance(&vec![1.0; y.len()], y).expect("an instance");
        let varies = |y: &[f64]| of(y).fit(&Expr::constant(y[0]), Semantics::Ieee).varies;
        // The distance between numbers at 1e15 is 1/8.
        let eighths: Vec<f64> = (0..19).map(|k| 1e15 + f64::from(k) / 8.0).collect();
        assert!(varies(&eighths));
        let deviation = (18.0_f64 * 20.0 / 12.0).sqrt() / 8.0;
        assert!((of(&eighths).scale() / deviation - 1.0).abs() < 1e-12, "{} {deviation}", of(&eighths).scale());
        // At 1.7e18 it is 256.
        let nanoseconds: Vec<f64> = (0..20).map(|i| 1.7e18 + f64::from((i * 7) % 20 - 10) * 150.0).collect();
        assert!(varies(&nanoseconds));
        for rows in [2, 3, 1000, 100_000] {
            assert!(!varies(&vec![0.1; rows]), "however many are added up");
            let noise: Vec<f64> = (0..rows).map(|i| if i % 2 == 0 { 0.1 + 0.2 } else { 0.3 }).collect();
            assert!(!varies(&noise), "the rounding of one value computed in two ways");
        }
    }

    #[test]
    fn exact_is_within_some_distances_between_numbers_at_each_target() {
        let x: Vec<f64> = (0..20).map(f64::from).collect();
        let is_exact = |text: &str, y: &[f64]| {
            let instance = instance(&x, y).expect("an instance");
            let tree: Expr = text.parse().expect(text);
            let fit = instance.fit(&tree, Semantics::Ieee);
            (instance.is_exact(&tree, Semantics::Ieee), fit.is_solved)
        };
        // No constant is exact, nor solves, where y varies; the law is and does.
        let eighths: Vec<f64> = x.iter().map(|x| 1e15 + x / 8.0).collect();
        assert_eq!(is_exact("1000000000000001.2", &eighths), (false, false));
        assert_eq!(is_exact("x0*0.125 + 1e15", &eighths), (true, true));
        let decimals: Vec<f64> = x.iter().map(|x| 1e14 + ((x * 377.0) % 1000.0) / 1000.0).collect();
        assert_eq!(is_exact("100000000000000.5", &decimals), (false, false));
        let times: Vec<f64> = x.iter().map(|x| 1.7e18 + (x * 7.0 % 20.0 - 10.0) * 150.0).collect();
        assert_eq!(is_exact("1.7e18", &times), (false, false));
        let seconds: Vec<f64> = x.iter().map(|x| 1.7e18 + x * 1024.0).collect();
        assert_eq!(is_exact("x0*1024.0 + 1.7e18", &seconds), (true, true));
        assert_eq!(is_exact("1700000000000009728.0", &seconds), (false, false));
        // Small targets beside one that is large are not within the rounding of that.
        let mut mixed: Vec<f64> = x.iter().map(|x| 1.0 + x * 1e-3).collect();
        mixed[19] = 1e15;
        let ones: Vec<f64> = (0..20).map(|i| if i == 19 { 1e15 } else { 1.0 }).collect();
        let beside = fit("x0", &ones, &mixed);
        assert!(!beside.is_solved && !instance(&ones, &mixed).expect("rows").is_exact(&Expr::var(0), Semantics::Ieee));
        // Sums of the largest numbers are numbers.
        let x = [1.0, 2.0, 3.0, 4.0];
        let largest = instance(&x, &[1e308, -1e308, 1.7e308, 0.0]).expect("an instance");
        assert!(!largest.is_exact(&Expr::constant(0.0), Semantics::Ieee));
        let fit = largest.fit(&Expr::constant(0.0), Semantics::Ieee);
        assert!(fit.varies && (fit.rmse / 1.105_667_219_374_799e308 - 1.0).abs() < 1e-12, "{fit:?}");
        // The mean is 0.425e308, and Σ (y − mean)² that of Σ y² less 4 · mean².
        let expected = (4.89_f64 - 4.0 * 0.425 * 0.425).sqrt() / 2.0 * 1e308;
        assert!((largest.scale() / expected - 1.0).abs() < 1e-12, "{} {expected}", largest.scale());
        assert!(fit.r2().is_some_and(|r2| (r2 + 0.1734).abs() < 1e-3), "{fit:?}");
    }

    #[test]
    fn weightless_rows_may_be_wrong_and_digits_are_counted() {
        let x = [1.0, 2.0, 3.0, 4.0];
        let with = |weights: [f64; 4]| {
            instance(&x, &[1.0, 2.0, 3.0, 9.0]).expect("an instance").with_weights(weights.to_vec()).expect("weights")
        };
        let exact = |instance: &Instance| instance.is_exact(&Expr::var(0), Semantics::Ieee);
        assert!(exact(&with([1.0, 2.0, 1.0, 0.0])) && !exact(&with([1.0; 4])));
        // Whole numbers may be exact; two decimals of values with a deviation near 1 are some two digits.
        let digits = |y: &[f64]| instance(&x, y).expect("an instance").digits();
        assert!((digits(&[1.0, 2.0, 3.0, 4.0]) - 11.0).abs() < 1e-9);
        // Four numbers that are two distances apart each say about one digit.
        let quarters = digits(&[1e15, 1e15 + 0.25, 1e15 + 0.5, 1e15 + 0.75]);
        assert!((0.0..1.0).contains(&quarters), "{quarters}");
        assert!((digits(&[1.25, 2.5, 3.0, 4.0]) - 2.3).abs() < 0.1, "{}", digits(&[1.25, 2.5, 3.0, 4.0]));
    }

    #[test]
    fn the_tolerance_is_what_the_digits_of_y_allow() {
        let tolerance = |y: &[f64]| instance(&vec![0.0; y.len()], y).expect("an instance").tolerance();
        assert_eq!(tolerance(&[1.0, 2.0, 3.0]), 1e-12, "whole numbers may be exact");
        assert_eq!(tolerance(&[0.010000000000000002, 408.03999999999996, 942.49]), 1e-12);
        let thousandths = tolerance(&[0.0, 2.125, 4.25]);
        assert!((thousandths / ((0.0005_f64 / 1.7351).powi(2)) - 1.0).abs() < 1e-3, "{thousandths}");
        assert_eq!(tolerance(&[0.1, 0.2, 0.3]), 1e-6, "a tenth is too coarse to say that a law is exact");
        // 0.001 on top of 1e9: the numbers in between are 1.2e-7 apart.
        let offset = tolerance(&[1e9, 1e9 + 0.0009765625]);
        assert!((1e-9..1e-6).contains(&offset), "{offset}");
    }

    #[test]
    fn weights_count_rows() {
        let weighted = |y: &[f64], weights: &[f64]| {
            instance(&vec![0.0; y.len()], y).and_then(|instance| instance.with_weights(weights.to_vec()))
        };
        let fit = |weights: &[f64], text: &str| {
            let tree: sr_expr::Expr = text.parse().expect(text);
            weighted(&[1.0, 3.0], weights).expect("weights").fit(&tree, Semantics::Ieee)
        };
        // The best constant is the weighted mean, (0.1 · 1 + 10 · 3) / 10.1.
        let best = fit(&[0.1, 10.0], "2.98019801980198");
        assert!(best.mse < fit(&[0.1, 10.0], "2.97").mse && best.mse < fit(&[0.1, 10.0], "2.99").mse);
        assert!((best.mse - 0.1 * 10.0 * 4.0 / (10.1 * 10.1)).abs() < 1e-12, "{best:?}");
        assert!((best.relative - 1.0).abs() < 1e-12, "the mean explains nothing: {best:?}");
        assert_eq!(fit(&[0.2, 20.0], "2.0"), fit(&[0.1, 10.0], "2.0"), "only ratios matter");
        assert_eq!(fit(&[0.0, 5.0], "3.0").mse, 0.0, "a row of weight 0 is absent");
        assert_eq!(fit(&[0.0, 5.0], "3.0 + 0 * log(0 - 1)").mse, f64::INFINITY);
        let y = [1.0, 3.0];
        assert_eq!(weighted(&y, &[1.0]).err(), Some(InstanceError::WeightRows { rows: 2, weights: 1 }));
        assert_eq!(weighted(&y, &[1.0, -1.0]).err(), Some(InstanceError::Weight { row: 1, value: -1.0 }));
        assert_eq!(weighted(&y, &[0.0, 0.0]).err(), Some(InstanceError::NoWeight));
        assert!(weighted(&y, &[f64::INFINITY, 0.0]).is_err());
        assert!(weighted(&y, &[1e300, 1e308]).is_ok_and(|instance| instance.scale() > 0.0));
    }

    #[test]
    fn a_loss_takes_the_place_of_squares() {
        let with = |name: &str, y: &[f64]| {
            let choice: crate::LossChoice = name.parse().expect(name);
            let instance = instance(&vec![1.0; y.len()], y).expect("an instance");
            match choice.loss(1.0) {
                Some(loss) => instance.with_loss(loss).expect("a loss"),
                None => instance,
            }
        };
        let fit = |instance: &Instance, text: &str| {
            instance.fit(&text.parse::<sr_expr::Expr>().expect(text), Semantics::Ieee)
        };
        let y = [1.0, 2.0, 6.0];
        let mae = fit(&with("mae", &y), "3.0");
        assert_eq!((mae.loss, mae.mse), (2.0, 14.0 / 3.0));
        assert!((mae.relative - 6.0 / 5.0).abs() < 1e-15, "the median 2 has a loss of 5/3: {mae:?}");
        assert_eq!(fit(&with("mae", &y), "2.0").r2(), Some(0.0));
        let huber = fit(&with("huber:1.0", &y), "3.0");
        assert_eq!(huber.loss, (1.5 + 0.5 + 2.5) / 3.0);
        let relative = fit(&with("relative", &y), "3.0");
        assert!((relative.loss - (4.0 + 0.25 + 0.25) / 3.0).abs() < 1e-15 && (relative.mse - 14.0 / 3.0).abs() < 1e-15);
        let best = with("relative", &y);
        let constant = (1.0 + 0.5 + 1.0 / 6.0) / (1.0 + 0.25 + 1.0 / 36.0);
        assert!((fit(&best, &format!("{constant:?}")).relative - 1.0).abs() < 1e-12);
        let logistic = with("logistic", &[0.0, 1.0, 1.0]);
        assert!((fit(&logistic, "0.0").loss - std::f64::consts::LN_2).abs() < 1e-15);
        assert!((fit(&logistic, "0.6931471805599453").relative - 1.0).abs() < 1e-12, "odds of 2 to 1");
        // Exact is exact whatever the loss; log-odds are no target.
        assert!(fit(&with("mae", &[1.0, 1.0]), "x0").is_solved && fit(&with("relative", &[1.0, 1.0]), "x0").is_solved);
        assert!(!fit(&logistic, "x0").is_solved);
        // Weights and losses go together in any order.
        let weights = vec![1.0, 0.0, 3.0];
        for name in ["mae", "relative", "huber:2.0"] {
            let loss = name.parse::<crate::LossChoice>().expect(name).loss(1.0).expect("a loss");
            let [a, b] = [true, false].map(|weights_first| {
                let plain = instance(&[1.0; 3], &y).expect("an instance");
                let both = match weights_first {
                    true => plain.with_weights(weights.clone()).and_then(|i| i.with_loss(loss.clone())),
                    false => plain.with_loss(loss.clone()).and_then(|i| i.with_weights(weights.clone())),
                };
                fit(&both.expect("both"), "4.0")
            });
            assert_eq!(a, b, "{name}");
        }
        let zero = instance(&[1.0], &[0.0]).expect("an instance");
        let relative = "relative".parse::<crate::LossChoice>().expect("a name").loss(1.0).expect("a loss");
        assert!(matches!(zero.with_loss(relative), Err(InstanceError::Loss(LossError::Zero { row: 1 }))));
    }

    #[test]
    fn targets_have_to_be_finite_and_there() {
        let nan = instance(&[1.0, 2.0], &[1.0, f64::NAN]).expect_err("y is NaN");
        assert_eq!(nan.to_string(), "y of row 2 is NaN; targets have to be finite");
        assert_eq!(instance(&[], &[]).err(), Some(InstanceError::NoRows));
        assert!(instance(&[f64::NAN], &[1.0]).is_ok());
    }
}
