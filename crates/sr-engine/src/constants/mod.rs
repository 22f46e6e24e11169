//! Constants of an expression fitted to the data of an instance, by least squares or another loss.

mod descent;
mod groups;
mod linear;
mod orthogonal;
mod scaling;
mod solve;

use sr_expr::{Expr, Level, Node, Op, Semantics, Tree};

use crate::Instance;
use crate::instance::{is_extreme, power_of_two_near};
use crate::random::{Key, Rng};
use descent::{Data, Descent, ROUNDING};
pub use groups::{ConstantRole, GroupFit, GroupFitter, GroupRows};
use scaling::{Added, Wrapping};

/// Fits the constants of trees to data by least squares, and owns the memory that this needs.
///
/// Every [`Node::Const`] of a tree is a parameter. The error is that of [`Objective::Mse`](crate::Objective::Mse): the
/// weighted sum of squares over all rows relative to the variance of y. A fit
///
/// 1. solves for all constants in which the predictions are jointly linear by one undamped Gauss–Newton step, which
///    is exact for them (the projection of Golub & Pereyra, 1973);
/// 2. takes steps of Levenberg (1944) and Marquardt (1963) for all constants at once. Linear ones are not damped; the
///    damping of the others follows how well the last step was predicted (Nielsen, 1999).
///
/// A step that does not lower the error is rejected and tried again with more damping, and so is one after which the
/// error is not finite. A constant that the data do not identify, be it because it changes no prediction or because
/// others do the same (`c0*(c1*x0)`), stays where it is: only pivots of JᵀJ above 1e-10 of the largest one are trusted.
/// Where a linear coefficient has none, as beside a variable whose offset is large (`c0 + c1*x0`, x0 being years), J itself
/// is factored, in which such coefficients are told apart up to rounding; searches do without, for their children stand in
/// a + b · tree.
///
/// With another [`Loss`](crate::Loss) each step is one of least squares too, of the parabolas that touch the losses at the
/// predictions (iteratively reweighted least squares), and all constants are damped. Where the loss has a kink, the last
/// steps go onto the rows that are nearly met. The error is the mean loss relative to that of the best constant.
///
/// The result has never a larger error than the start. It is the same, in every bit, on every machine and [`Level`].
/// Nothing is allocated once memory has grown; keep a fitter per worker.
///
/// ```
/// use sr_engine::{ConstantFitter, Instance, PrimitiveSet};
/// use sr_expr::{Columns, Expr, Op, Semantics};
///
/// let x: Vec<f64> = (0..50).map(|i| f64::from(i) / 10.0).collect();
/// let y = x.iter().map(|x| 3.0 * (1.5 * x).sin() + 0.5).collect();
/// let primitives = PrimitiveSet::new(vec![Op::Add, Op::Mul, Op::Sin], vec![1.0], 1)?;
/// let instance = Instance::new("wave", Columns::new(50, 1, x), y, primitives)?;
///
/// let tree: Expr = "1.0*sin(1.2*x0) + 1.0".parse()?;
/// let mut fitter = ConstantFitter::new();
/// let fitted = fitter.fit(&tree, &instance, Semantics::Ieee, 10);
/// assert!(fitted.error < 1e-20 && fitted.error <= fitted.start);
/// let constants: Vec<f64> = fitted.tree.constants().collect();
/// assert!((constants[1] - 1.5).abs() < 1e-9, "{constants:?}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct ConstantFitter {
    descent: Descent,
    /// The tree with its constants.
    nodes: Vec<Node>,
    /// Memory for the tree inside of a + b · tree.
    inside: Vec<Node>,
    /// What was added to the tree for a + b · tree.
    added: Added,
    /// The constants that were given, those of the best fit so far, and those of another start.
    start: Vec<f64>,
    best: Vec<f64>,
    trial: Vec<f64>,
    predictions: Vec<f64>,
    /// The target in other units, for an instance in extreme ones, and the serial number of that instance.
    target: Vec<f64>,
    serial: Option<u64>,
}

/// A tree with fitted constants, which lies in the memory of the fitter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fitted<'a> {
    /// The tree with its new constants.
    pub tree: &'a Tree,
    /// The error with the new constants on the scale of [`Objective::Mse`](crate::Objective::Mse), as in
    /// [`Score::mse`](crate::Score::mse). It is infinite if a prediction is NaN or infinite.
    pub error: f64,
    /// The error of the tree that was given, on the same scale. `error` is never larger.
    pub start: f64,
    /// The number of constants that the data identify at the last point that was accepted. It is less than the number
    /// of constants where some could be merged or dropped, and 0 if the start is not valid.
    pub identified: usize,
    /// The number of values (nodes times rows) that were computed, derivatives not counted. It is the same on every
    /// machine, so that it can be budgeted.
    pub work: u64,
}

/// The constants of a tree that stands in a + b · tree.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Inside<'a> {
    /// The constants of the tree, in post-order.
    pub(crate) constants: &'a [f64],
    /// The error of a + b · tree, infinite if a prediction is NaN or infinite, or if the rules do not allow it.
    pub(crate) error: f64,
    /// The number of values that were computed.
    pub(crate) work: u64,
}

/// Fits the constants of `tree` in at most `steps` steps and returns the expression and its error, see
/// [`ConstantFitter::fit`]. For many trees keep a [`ConstantFitter`].
///
/// # Panics
/// Panics if the tree has 2²⁹ nodes or more.
pub fn fit_constants(tree: &Tree, instance: &Instance, semantics: Semantics, steps: u32) -> (Expr, f64) {
    let mut fitter = ConstantFitter::new();
    let fitted = fitter.fit(tree, instance, semantics, steps);
    (fitted.tree.to_owned(), fitted.error)
}

impl ConstantFitter {
    /// Makes a fitter of the highest available level.
    pub fn new() -> Self {
        ConstantFitter::default()
    }

    /// Makes a fitter of one level, to compare levels.
    ///
    /// # Panics
    /// Panics if this computer does not have it.
    pub fn with_level(level: Level) -> Self {
        ConstantFitter { descent: Descent::with_level(level), ..ConstantFitter::default() }
    }

    /// Fits the constants of `tree`, from where they are, in at most `steps` steps of Levenberg and Marquardt after the
    /// linear one. O((size + constants²) · rows + constants³) a step.
    ///
    /// A tree whose error is not finite is returned as it is.
    ///
    /// # Panics
    /// Panics if the tree has 2²⁹ nodes or more.
    pub fn fit(&mut self, tree: &Tree, instance: &Instance, semantics: Semantics, steps: u32) -> Fitted<'_> {
        self.descent.be_thorough(true);
        self.set(tree);
        self.run(instance, semantics, steps, None)
    }

    /// Fits the constants of `tree` from where they are, and from `restarts` other points as well, and returns the
    /// best fit; of equal ones the first.
    ///
    /// Start i > 0 draws from the stream `key.draw(i)`: odd ones near the constants, c + |c| N/2, even ones anywhere, N
    /// times a power of ten between 0.1 and 10. Constants that the predictions are linear in are not drawn, because
    /// they are solved for first. There are no further starts once the error is one of rounding.
    ///
    /// # Panics
    /// Panics if the tree has 2²⁹ nodes or more.
    pub fn fit_restarts(
        &mut self,
        tree: &Tree,
        instance: &Instance,
        semantics: Semantics,
        steps: u32,
        restarts: u32,
        key: Key,
    ) -> Fitted<'_> {
        self.descent.be_thorough(true);
        self.set(tree);
        self.run(instance, semantics, steps, Some((restarts, key)))
    }

    /// Scales `tree` linearly: returns a + b · tree for the a and b of least squares, in closed form from the moments
    /// of predictions and target (Keijzer, 2003). O(size · rows).
    ///
    /// Under another [`Loss`](crate::Loss) a and b are found in some steps from there. If the [rules](Instance::with_rules)
    /// do not allow a + b · tree, it is b · tree that is tried.
    ///
    /// It takes the operators that the instance has. Where there is no `+` it subtracts −a, where there is no `*` it
    /// divides by 1 / b; without a sum or a product a is 0, or b is 1 or, if `neg` or `-` can write it, −1.
    ///
    /// Constants that the tree has at its root are changed rather than further ones added: `2*x0 + 1` stays as large as
    /// it is. A tree whose predictions are not finite, or which a and b do not improve, is returned as it is.
    ///
    /// # Panics
    /// Panics if the tree has 2²⁹ nodes or more.
    pub fn scale(&mut self, tree: &Tree, instance: &Instance, semantics: Semantics) -> Fitted<'_> {
        let [start, error] = self.set_scaled(tree, instance, semantics);
        let work = self.take_work(instance);
        Fitted { tree: self.tree(), error, start, identified: 0, work }
    }

    /// [Scales](Self::scale) `tree` and then [fits](Self::fit) all constants of the result, a and b among them.
    ///
    /// # Panics
    /// Panics if the tree has 2²⁹ nodes or more.
    pub fn fit_scaled(&mut self, tree: &Tree, instance: &Instance, semantics: Semantics, steps: u32) -> Fitted<'_> {
        self.descent.be_thorough(true);
        let [start, _] = self.set_scaled(tree, instance, semantics);
        let fitted = self.run(instance, semantics, steps, None);
        Fitted { start, ..fitted }
    }

    /// Fits the constants of `tree` where it stands in a + b · `tree`: [scales](Self::scale) it, fits all constants of the
    /// result in at most `steps` steps, scales it anew, and returns the constants of `tree` itself with the error of the
    /// whole. So the error is that of the tree with these constants, whichever steps led to them. With 0 steps its
    /// constants stay as they are.
    ///
    /// # Panics
    /// Panics if the tree has 2²⁹ nodes or more.
    pub(crate) fn fit_inside(
        &mut self,
        tree: &Tree,
        instance: &Instance,
        semantics: Semantics,
        steps: u32,
    ) -> Inside<'_> {
        let n_constants = tree.constants().count();
        // Many children are fitted like this, and the scaling of the whole has no need of it.
        self.descent.be_thorough(false);
        let [_, mut error] = self.set_scaled(tree, instance, semantics);
        self.start.clear();
        self.start.extend(tree.constants());
        if steps > 0 && n_constants > 0 && error.is_finite() {
            self.run(instance, semantics, steps, None);
            // Without a and b, and with the constants that the steps have changed.
            self.added.remove(&mut self.nodes, tree.size());
            self.start.clear();
            self.start.extend(self.nodes.iter().filter_map(|node| match *node {
                Node::Const(value) => Some(value),
                _ => None,
            }));
            std::mem::swap(&mut self.nodes, &mut self.inside);
            let nodes = std::mem::take(&mut self.inside);
            let inside = Tree::new(&nodes).expect("only constants of a tree were changed");
            [_, error] = self.set_scaled(inside, instance, semantics);
            self.inside = nodes;
        }
        let work = self.take_work(instance);
        // Constants that were fitted may be exponents that no unit has.
        let error = if instance.allows(self.tree()) { error } else { f64::INFINITY };
        Inside { constants: &self.start, error, work }
    }

    fn set(&mut self, tree: &Tree) {
        self.nodes.clear();
        self.nodes.extend_from_slice(tree.nodes());
    }

    fn tree(&self) -> &Tree {
        Tree::new(&self.nodes).expect("only constants of a tree were changed, and whole operations added")
    }

    /// Sets the tree to a + b · `tree`, or to `tree` if that is no better. Returns the errors of `tree` and of what was
    /// set.
    fn set_scaled(&mut self, tree: &Tree, instance: &Instance, semantics: Semantics) -> [f64; 2] {
        self.set(tree);
        self.added = Added::default();
        let start = self.descent.error_of(tree, instance, semantics);
        // Beside tiny targets the errors of what is not scaled are no numbers, though the predictions are.
        if !start.is_finite() && !is_extreme(instance.target().unit) {
            return [start, start];
        }
        self.descent.predict(instance, &mut self.predictions);
        let wrapping = Wrapping::of(instance.primitives().ops());
        let (mut least, mut best) = (start, None);
        for form in wrapping.forms() {
            let scaling = match instance.row_loss() {
                None => scaling::least_squares(&self.predictions, instance, form),
                Some(loss) => scaling::least_loss(&self.predictions, instance, loss, form),
            };
            let Some((scaling, added)) =
                scaling.and_then(|found| Some((found, wrapping.write(found, &mut self.nodes)?)))
            else {
                break;
            };
            let scaled = Tree::new(&self.nodes).expect("whole operations were added");
            let is_allowed = instance.allows(scaled);
            let error = if is_allowed { self.descent.error_of(scaled, instance, semantics) } else { f64::INFINITY };
            if error < start && form.factor.is_none() {
                self.added = added;
                return [start, error];
            }
            if error < least {
                (least, best) = (error, Some(scaling));
            }
            self.set(tree);
            // The rules may allow b · tree alone, be it for its unit or for the number of constants.
            if is_allowed && form.factor.is_none() {
                break;
            }
        }
        if let Some(added) = best.and_then(|scaling| wrapping.write(scaling, &mut self.nodes)) {
            self.added = added;
        }
        [start, least]
    }

    /// Fits the constants of the tree in `nodes`, from other points too if there are a number of them and a key.
    fn run(
        &mut self,
        instance: &Instance,
        semantics: Semantics,
        steps: u32,
        restarts: Option<(u32, Key)>,
    ) -> Fitted<'_> {
        let ConstantFitter { descent, nodes, start, best, trial, target, serial, .. } = self;
        start.clear();
        start.extend(nodes.iter().filter_map(|node| if let Node::Const(value) = *node { Some(value) } else { None }));
        let unit = instance.target().unit;
        // Losses of one's own may have no other units.
        let is_extreme = is_extreme(unit) && (instance.row_loss().is_none() || instance.loss_scale() == unit);
        let data = if is_extreme {
            // Half of the way to the units of the objective: derivatives by constants in the units of y are then as
            // large as those by constants of about 1 are small.
            let factor = power_of_two_near(unit.sqrt());
            if *serial != Some(instance.serial()) {
                *serial = Some(instance.serial());
                target.clear();
                target.extend(instance.y().iter().map(|y| y * factor));
            }
            nodes.extend([Node::Const(factor), Node::Op(Op::Mul)]);
            Data { instance, y: target, scale: unit / factor }
        } else {
            Data { instance, y: instance.y(), scale: unit }
        };
        let tree = Tree::new(nodes).expect("the nodes of a tree, and perhaps an operation");
        descent.compile(tree, semantics, instance.x().n_columns(), is_extreme);
        if is_extreme {
            nodes.truncate(nodes.len() - 2);
        }

        let start_error = descent.begin(&data, start);
        let (mut error, mut identified) = (start_error, descent.rank());
        best.clone_from(start);
        let (restarts, key) = restarts.map_or((0, None), |(restarts, key)| (restarts, Some(key)));
        for attempt in 0..=restarts {
            if let (1.., Some(key)) = (attempt, key) {
                if error <= ROUNDING {
                    break;
                }
                draw_start(start, descent.linear(), attempt % 2 == 1, &mut key.draw(attempt).rng(), trial);
                descent.begin(&data, trial);
            }
            let found = descent.descend(&data, steps);
            if found < error {
                (error, identified) = (found, descent.rank());
                best.copy_from_slice(descent.constants());
            }
        }
        let constants =
            nodes.iter_mut().filter_map(|node| if let Node::Const(value) = node { Some(value) } else { None });
        constants.zip(&*best).for_each(|(constant, &value)| *constant = value);
        let work = self.take_work(instance);
        Fitted { tree: self.tree(), error, start: start_error, identified, work }
    }

    fn take_work(&mut self, instance: &Instance) -> u64 {
        self.descent.take_sweeps() * self.nodes.len() as u64 * instance.y().len() as u64
    }
}

/// Overwrites `to` with another start: `near` the constants given or anywhere. Linear coefficients stay.
fn draw_start(constants: &[f64], linear: &[bool], near: bool, rng: &mut Rng, to: &mut Vec<f64>) {
    to.clear();
    to.extend(constants.iter().zip(linear).map(|(&constant, &is_linear)| match (is_linear, near) {
        (true, _) => constant,
        (false, true) if constant != 0.0 => constant + 0.5 * constant.abs() * rng.normal(),
        (false, true) => 0.5 * rng.normal(),
        (false, false) => rng.normal() * libm::exp(rng.uniform(-1.0, 1.0) * std::f64::consts::LN_10),
    }));
}
