//! Steps of Levenberg and Marquardt from one start.

use sr_expr::{Columns, Gradient, Level, Loss, Semantics, Tree};

use super::linear::LinearConstants;
use super::solve::Steps;
use crate::Instance;

/// The damping of the first step, in units of the diagonal of JᵀJ. This and the next two were tuned for how many
/// planted constants are found in 4, 10 and 50 steps (`docs/algorithms/constants.md`).
const FIRST_DAMPING: f64 = 1e-3;
/// The factor of the damping after a step that went as predicted.
const SHRINK: f64 = 0.03;
/// The factor of the damping after the first of some rejected steps; it doubles with each.
const GROWTH: f64 = 8.0;
/// The damping below which it no longer falls: the rounding of JᵀJ.
const LEAST_DAMPING: f64 = 1e-14;
/// The damping at which a fit gives up: a step is then below the rounding of the constants.
const MOST_DAMPING: f64 = 1e14;
/// The share of the sum of squares by which a step has to be expected to lower it.
const LEAST_FALL: f64 = 1e-14;
/// An error relative to the target's variance that is nothing but rounding, so that no step can lower it.
pub(super) const ROUNDING: f64 = f64::EPSILON * f64::EPSILON;

/// The largest curvature of a loss with a kink, in medians of the others: a row that is met exactly then counts a million
/// times as much as the others, and what is left of its error is far below theirs.
const MOST_CURVATURE: f64 = 1e6;
/// Steps onto the rows that are nearly met, which the best constants of a loss with a kink meet exactly.
const ONTO_ROWS: u32 = 3;

/// The largest Jacobian that is made, in numbers: half of a gigabyte.
const MOST_DERIVATIVES: usize = 1 << 26;

/// Sums of squares in the units of the objective whose terms are finite, and accurate or negligible, in those of y too.
const SAFE_SQUARES: std::ops::Range<f64> = 1e-100..1e100;

/// What is fitted to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Data<'a> {
    pub(super) instance: &'a Instance,
    /// The target, of the instance or in other units.
    pub(super) y: &'a [f64],
    /// The factor, a power of two, that turns errors in the units of `y` into those of the objective.
    pub(super) scale: f64,
}

impl Data<'_> {
    fn x(&self) -> &Columns {
        self.instance.x()
    }

    fn loss(&self) -> Loss<'_, f64> {
        Loss::ScaledSquares { y: self.y, w: self.instance.weights(), scale: self.scale }
    }

    /// Returns the loss whose steps are computed from predictions, `None` for squares.
    fn row_loss(&self) -> Option<&dyn crate::Loss> {
        self.instance.row_loss()
    }

    /// Returns the factor, a power of two, that turns the units of `y` into those in which a step lowers squares: those of
    /// the objective, or with a loss of rows those of its predictions.
    fn step_scale(&self) -> f64 {
        match self.row_loss() {
            Some(_) if self.instance.loss_scale() == 1.0 => 1.0,
            _ => self.scale,
        }
    }

    /// Returns the fall of the objective for that of squares, in the units of [`step_scale`](Self::step_scale). With a loss
    /// of rows these are the squares that touch the losses, halves of which are their parabolas.
    fn fall(&self, squares: f64) -> f64 {
        match self.row_loss() {
            None => squares,
            Some(_) => 0.5 * squares * self.instance.loss_unit(),
        }
    }

    /// Returns the objective for a sum of squares in its units. What is kept of a loss of rows is the objective itself.
    fn relative(&self, squares: f64) -> f64 {
        match self.row_loss() {
            None => self.instance.target().relative(squares),
            Some(_) => squares,
        }
    }
}

/// A compiled tree, the constants reached, and the system of equations there.
#[derive(Debug, Clone, Default)]
pub(super) struct Descent {
    gradient: Gradient<f64>,
    finder: LinearConstants,
    steps: Steps,
    /// Whether each constant that is fitted is a linear coefficient. There may be one more constant, which is not.
    linear: Vec<bool>,
    /// The constants of the point reached.
    constants: Vec<f64>,
    trial: Vec<f64>,
    /// The sum of squares at `constants`, in the units of the objective; the objective itself with a loss of rows.
    squares: f64,
    /// The predictions at the point tried last, and the targets and weights of the squares that touch the losses there.
    predictions: Vec<f64>,
    targets: Vec<f64>,
    curvatures: Vec<f64>,
    order: Vec<u32>,
    /// Whether the Jacobian itself is looked at where the normal equations do not identify a linear coefficient.
    is_thorough: bool,
    /// The predictions and the Jacobian, for that.
    values: Vec<f64>,
    jacobian: Vec<f64>,
    /// The number of sweeps over all rows so far.
    sweeps: u64,
}

impl Descent {
    pub(super) fn with_level(level: Level) -> Self {
        Descent { gradient: Gradient::with_level(level), ..Descent::default() }
    }

    /// Compiles `tree` and returns its error on the instance.
    pub(super) fn error_of(&mut self, tree: &Tree, instance: &Instance, semantics: Semantics) -> f64 {
        let data = Data { instance, y: instance.y(), scale: instance.target().unit };
        self.gradient.compile(tree, semantics, instance.x().n_columns());
        let squares = self.sum(&data);
        data.relative(squares)
    }

    /// Overwrites `out` with the predictions of the compiled tree.
    pub(super) fn predict(&mut self, instance: &Instance, out: &mut Vec<f64>) {
        self.sweeps += 1;
        self.gradient.predict(instance.x(), out);
    }

    /// Compiles `tree` to fit its constants, all of them or, if it is a tree multiplied by a factor, all but the last.
    pub(super) fn compile(&mut self, tree: &Tree, semantics: Semantics, n_columns: usize, has_factor: bool) {
        self.finder.find(tree, &mut self.linear);
        self.linear.truncate(self.linear.len() - usize::from(has_factor));
        self.gradient.compile(tree, semantics, n_columns);
    }

    /// Makes linear coefficients as good as the numbers are, at the cost of the Jacobian where the normal equations do not
    /// tell them apart; or not.
    pub(super) fn be_thorough(&mut self, is_thorough: bool) {
        self.is_thorough = is_thorough;
    }

    /// Looks at the Jacobian of the compiled tree if that is asked for and the equations set last do not identify all linear
    /// coefficients.
    fn refine(&mut self, x: &Columns, y: &[f64], weights: Option<&[f64]>) {
        let is_small = self.gradient.n_constants().saturating_mul(y.len()) <= MOST_DERIVATIVES;
        if !self.is_thorough || !is_small || self.steps.has_all(&self.linear) {
            return;
        }
        self.sweeps += 1;
        self.gradient.jacobian(x, &mut self.values, &mut self.jacobian);
        self.steps.set_orthogonal(&self.jacobian, &self.values, y, weights, &self.linear);
    }

    /// Returns the number of sweeps over all rows since the last call.
    pub(super) fn take_sweeps(&mut self) -> u64 {
        std::mem::take(&mut self.sweeps)
    }

    /// Returns whether each of the fitted constants is a linear coefficient.
    pub(super) fn linear(&self) -> &[bool] {
        &self.linear
    }

    /// Returns the fitted constants at the point reached.
    pub(super) fn constants(&self) -> &[f64] {
        &self.constants[..self.linear.len()]
    }

    /// Returns the number of constants that the data identify at the point reached.
    pub(super) fn rank(&self) -> usize {
        self.steps.rank()
    }

    /// Goes to a start, the values of the fitted constants, and returns its error, which is infinite if a prediction is
    /// not finite.
    pub(super) fn begin(&mut self, data: &Data<'_>, start: &[f64]) -> f64 {
        self.trial.clear();
        self.trial.extend_from_slice(start);
        self.trial.extend_from_slice(&self.gradient.constants()[start.len()..]);
        self.constants.clone_from(&self.trial);
        self.steps.clear();
        self.squares = self.evaluate(data, f64::INFINITY);
        self.error(data)
    }

    /// Takes at most `steps` steps after the linear one and returns the error at the point reached. It is not larger
    /// than that of the start, but for the rounding of weighted sums.
    pub(super) fn descend(&mut self, data: &Data<'_>, mut steps: u32) -> f64 {
        if self.linear.contains(&true) {
            self.step(data, f64::INFINITY);
        }
        if !self.linear.contains(&false) && data.row_loss().is_none() {
            // One more step takes away the rounding of the first.
            steps = steps.min(1);
        }
        let (mut damping, mut growth) = (FIRST_DAMPING, GROWTH);
        for _ in 0..steps {
            if data.relative(self.squares) <= ROUNDING || damping > MOST_DAMPING {
                break;
            }
            match self.step(data, damping) {
                None => break,
                Some(gain) if gain > 0.0 => {
                    let wave = 2.0 * gain - 1.0;
                    damping = (damping * (1.0 - wave * wave * wave).clamp(SHRINK, 2.0)).max(LEAST_DAMPING);
                    growth = GROWTH;
                }
                Some(_) => {
                    damping *= growth;
                    growth *= 2.0;
                }
            }
        }
        if data.row_loss().is_some_and(crate::Loss::has_kink) {
            self.step_onto_rows(data);
        }
        self.error(data)
    }

    /// Moves the constants, of a loss with a kink, so that as many rows as there are constants are met: those whose errors
    /// are smallest. A step that does not lower the error is taken back.
    fn step_onto_rows(&mut self, data: &Data<'_>) {
        for _ in 0..ONTO_ROWS {
            let rank = self.steps.rank();
            self.gradient.set_constants(&self.constants);
            self.gradient.predict(data.x(), &mut self.predictions);
            let Descent { gradient, steps, linear, predictions, curvatures, order, .. } = self;
            let weights = data.instance.weights();
            order.clear();
            order.extend((0..data.y.len() as u32).filter(|&row| weights.is_none_or(|w| w[row as usize] > 0.0)));
            if rank == 0 || rank >= order.len() {
                return;
            }
            let error = |row: u32| (predictions[row as usize] - data.y[row as usize]).abs();
            order.select_nth_unstable_by(rank - 1, |&a, &b| error(a).total_cmp(&error(b)).then(a.cmp(&b)));
            curvatures.clear();
            curvatures.resize(data.y.len(), 0.0);
            order[..rank].iter().for_each(|&row| curvatures[row as usize] = 1.0);
            steps.set(gradient.normal_equations(data.x(), data.y, f64::INFINITY, Some(curvatures)), linear);
            self.sweeps += 2;
            self.trial.clone_from(&self.constants);
            if self.steps.step(|_| 0.0, data.step_scale(), &mut self.trial).is_none() {
                return;
            }
            let squares = self.evaluate(data, self.squares);
            if squares >= self.squares {
                return;
            }
            std::mem::swap(&mut self.constants, &mut self.trial);
            self.squares = squares;
        }
    }

    /// Tries a step in which constants that are not linear are damped. Returns the fall of the sum of squares relative to
    /// the one expected; the step was accepted if that is above 0. There is no step to try, `None`, if no constant is
    /// identified or none would change the sum by more than rounding.
    fn step(&mut self, data: &Data<'_>, damping: f64) -> Option<f64> {
        self.trial.clone_from(&self.constants);
        let linear = &self.linear;
        // The squares that touch other losses are not these losses, so that a whole step may go too far.
        let is_exact = data.row_loss().is_none() || damping.is_infinite();
        let damping = |constant: usize| if linear[constant] && is_exact { 0.0 } else { damping };
        let expected = data.fall(self.steps.step(damping, data.step_scale(), &mut self.trial)?);
        if expected <= LEAST_FALL * self.squares {
            return None;
        }
        let squares = self.evaluate(data, self.squares);
        let fall = self.squares - squares;
        if squares < self.squares {
            std::mem::swap(&mut self.constants, &mut self.trial);
            self.squares = squares;
        }
        // An error that is no number has to count as a rejection too.
        Some(if fall > 0.0 { fall / expected } else { 0.0 })
    }

    /// Returns the sum of squares at `trial`, infinite if a prediction is not finite. If it is less than `below`, it
    /// also sets the system of equations to that of `trial`.
    fn evaluate(&mut self, data: &Data<'_>, below: f64) -> f64 {
        if data.row_loss().is_some() {
            return self.evaluate_losses(data, below);
        }
        let Descent { gradient, steps, linear, trial, sweeps, .. } = self;
        let (y, weights) = (data.y, data.instance.weights());
        gradient.set_constants(trial);
        *sweeps += 1;
        // The derivatives are of use only if the step is accepted, but most are, and then the values need not be
        // computed twice.
        let normal = gradient.normal_equations(data.x(), y, f64::INFINITY, weights);
        let squares = normal.squares() * data.scale * data.scale;
        if normal.count() == y.len() && squares.is_finite() {
            if squares < below {
                steps.set(normal, linear);
                self.refine(data.x(), y, weights);
            }
            return squares;
        }
        // Rows were left out, for their predictions or only for their derivatives, or squares are finite only in the
        // units of the objective.
        let squares = self.sum(data);
        if squares < below {
            self.sweeps += 1;
            self.steps.set(self.gradient.normal_equations(data.x(), y, f64::INFINITY, weights), &self.linear);
            self.refine(data.x(), y, weights);
        }
        squares
    }

    /// The same for a loss of rows: the equations are those of the parabolas that touch the losses.
    fn evaluate_losses(&mut self, data: &Data<'_>, below: f64) -> f64 {
        let Descent { gradient, steps, linear, trial, sweeps, predictions, targets, curvatures, .. } = self;
        gradient.set_constants(trial);
        *sweeps += 1;
        gradient.predict(data.x(), predictions);
        let scale = data.step_scale();
        rescale(predictions, scale);
        let relative = data.instance.relative_loss_in_its_units(predictions);
        if relative < below
            && let Some(loss) = data.row_loss()
        {
            touch(loss, predictions, data.instance.loss_targets(), data.instance.weights(), targets, curvatures);
            rescale(targets, scale.recip());
            *sweeps += 1;
            steps.set(gradient.normal_equations(data.x(), targets, f64::INFINITY, Some(curvatures)), linear);
            let (targets, curvatures) = (std::mem::take(targets), std::mem::take(curvatures));
            self.refine(data.x(), &targets, Some(&curvatures));
            (self.targets, self.curvatures) = (targets, curvatures);
        }
        relative
    }

    /// Returns the sum of squares of the compiled tree, infinite if a prediction is not finite.
    fn sum(&mut self, data: &Data<'_>) -> f64 {
        self.sweeps += 1;
        if data.row_loss().is_some() {
            self.gradient.predict(data.x(), &mut self.predictions);
            rescale(&mut self.predictions, data.step_scale());
            return data.instance.relative_loss_in_its_units(&self.predictions);
        }
        let sums = self.gradient.sum(data.x(), data.loss());
        if sums.count < data.y.len() { f64::INFINITY } else { sums.squares() }
    }

    /// Returns the error at the point reached as an evaluator computes it.
    fn error(&mut self, data: &Data<'_>) -> f64 {
        // There, weights are multiplied in another order, and errors are scaled before they are squared. The latter
        // makes a difference only where squares come near to the smallest or largest numbers.
        let has_its_bits =
            data.row_loss().is_some() || data.instance.weights().is_none() && SAFE_SQUARES.contains(&self.squares);
        if self.squares.is_finite() && !has_its_bits {
            self.gradient.set_constants(&self.constants);
            return data.relative(self.sum(data));
        }
        data.relative(self.squares)
    }
}

/// Multiplies by a power of two.
fn rescale(values: &mut [f64], factor: f64) {
    if factor != 1.0 {
        values.iter_mut().for_each(|value| *value *= factor);
    }
}

/// Overwrites targets and curvatures with those of the parabolas ½ h (p − t)² that touch the losses at the predictions, but
/// for a constant each: h being the curvature, t = p − derivative / h.
pub(super) fn touch(
    loss: &dyn crate::Loss,
    predictions: &[f64],
    y: &[f64],
    weights: Option<&[f64]>,
    targets: &mut Vec<f64>,
    curvatures: &mut Vec<f64>,
) {
    curvatures.clear();
    curvatures.extend(predictions.iter().zip(y).map(|(&p, &y)| loss.curvature(p, y)));
    if loss.has_kink() {
        targets.clear();
        targets.extend(curvatures.iter().filter(|h| h.is_finite()));
        let middle = targets.len() / 2;
        let most = match targets.is_empty() {
            true => 1.0,
            false => MOST_CURVATURE * *targets.select_nth_unstable_by(middle, f64::total_cmp).1,
        };
        curvatures.iter_mut().for_each(|h| *h = h.min(most));
    }
    targets.clear();
    targets.extend(predictions.iter().zip(y).zip(&*curvatures).map(|((&p, &y), h)| p - loss.derivative(p, y) / h));
    if let Some(weights) = weights {
        curvatures.iter_mut().zip(weights).for_each(|(h, weight)| *h *= weight);
    }
}
