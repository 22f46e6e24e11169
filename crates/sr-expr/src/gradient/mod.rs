//! Derivatives of predictions with respect to the constants.

mod kernel;
mod tape;

pub(crate) use kernel::Differentiate;

use crate::kernel::Sink;
use crate::machine::{Line, SPILL_ROWS};
use crate::{Columns, Level, Loss, Real, Semantics, Sums, Tree};
use kernel::{Job, MAX_TILE, Output, Products};
use tape::Tape;

/// The number of bytes that the blocks of a tree should take at most. They fit a second-level cache and leave room for
/// the data.
const WORKSPACE: usize = 512 << 10;

/// Derivatives of one tree's predictions with respect to its constants, by reverse-mode differentiation over blocks of
/// rows (Griewank & Walther, "Evaluating Derivatives", 2008), at one [`Level`].
///
/// A tree is compiled once; its constants can then be changed as often as a fit needs. Constants are numbered in
/// post-order, from left to right in the printed text. All of them count, also those in a subtree of constants only.
/// Keep one per worker: once its memory has grown, it allocates nothing.
///
/// In `f64` all levels give the same bits.
///
/// # Derivatives at the edges
///
/// * Where [`Semantics::Protected`] replaces an operand or cuts off a value, the derivative is 0.
/// * `abs` has the derivative 0 at 0. `sqrt` has an infinite one there, `asin` and `acos` at ±1.
/// * `pow(a, b)` has the derivative 0 with respect to b at a = 0, b ≥ 0 (the limit from the right). It also has 0 where
///   a is negative, so that b is a whole number: there is no derivative, and with 0 a fit of `x0 ** 2` leaves the
///   exponent alone on such rows but may use them for everything else.
/// * Elsewhere a derivative is the result of the chain rule in floating point. It may be NaN or infinite where the
///   prediction is finite, for instance 0 · ∞.
///
/// # Example
///
/// One Gauss–Newton step, which is all that a model linear in its constants needs:
///
/// ```
/// use sr_expr::{Columns, Expr, Gradient, Semantics};
///
/// let tree: Expr = "1.0*x0 + 0.0".parse()?;
/// let data = Columns::from_rows(&[[0.0], [1.0], [2.0]]);
/// let y = [1.0, 3.0, 5.0];
///
/// let mut gradient = Gradient::new();
/// gradient.compile(&tree, Semantics::Ieee, data.n_columns());
/// let normal = gradient.normal_equations(&data, &y, f64::INFINITY, None);
/// assert_eq!(normal.matrix(), [5.0, 3.0, 3.0, 3.0]);
/// assert_eq!(normal.vector(), [-8.0, -6.0]);
///
/// // (JᵀJ) δ = −Jᵀr, by Cramer's rule.
/// let (m, v) = (normal.matrix(), normal.vector());
/// let determinant = m[0] * m[3] - m[1] * m[2];
/// let step = [(m[1] * v[1] - m[3] * v[0]) / determinant, (m[2] * v[0] - m[0] * v[1]) / determinant];
/// let moved = [gradient.constants()[0] + step[0], gradient.constants()[1] + step[1]];
/// gradient.set_constants(&moved);
/// assert_eq!(gradient.constants(), [2.0, 1.0]);
/// # Ok::<(), sr_expr::ParseError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Gradient<T> {
    level: Level,
    tape: Tape,
    constants: Vec<T>,
    workspace: Vec<Line>,
    /// The sums of products by lane, as in [`Sums`].
    lanes: Vec<Line>,
    normal: NormalEquations,
}

/// The sums over rows that a step of least squares needs. With the Jacobian J, `[rows, constants]`, the residuals r =
/// prediction − y and the weights W (1 if there are none), the step δ of Gauss and Newton is (JᵀWJ) δ = −JᵀWr.
///
/// The sums are `f64`, whatever the type of the numbers summed.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NormalEquations {
    matrix: Vec<f64>,
    vector: Vec<f64>,
    squares: f64,
    count: usize,
    singular: usize,
    /// The sums of products, the upper triangle of (J r)ᵀ(J r) by rows.
    products: Vec<f64>,
}

impl NormalEquations {
    /// Returns the number of constants.
    pub fn n_constants(&self) -> usize {
        self.vector.len()
    }

    /// Returns JᵀWJ, `[constants, constants]`, symmetric.
    pub fn matrix(&self) -> &[f64] {
        &self.matrix
    }

    /// Returns JᵀWr, `[constants]`: the gradient of Σ w r² / 2.
    pub fn vector(&self) -> &[f64] {
        &self.vector
    }

    /// Returns Σ w r² over the rows that are in the sums.
    pub fn squares(&self) -> f64 {
        self.squares
    }

    /// Returns the number of rows in the sums: those with a valid prediction and finite derivatives.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Returns the number of rows left out because a derivative is not finite, although the prediction is valid. If
    /// there are some, [`NormalEquations::squares`] is over fewer rows than the same sum of [`Gradient::sum`].
    pub fn singular(&self) -> usize {
        self.singular
    }

    fn reset(&mut self, n_constants: usize) {
        (self.count, self.singular) = (0, 0);
        self.products.clear();
        self.products.resize(kernel::n_products(n_constants), 0.0);
    }

    /// Adds the lanes to the products and empties them.
    fn collect<T: Real>(&mut self, lanes: &mut [T]) {
        let n_lanes = if T::IS_DOUBLE { 8 } else { 16 };
        for (product, lanes) in self.products.iter_mut().zip(lanes.chunks_exact_mut(n_lanes)) {
            *product += lanes.iter().map(|lane| lane.to_f64()).sum::<f64>();
            lanes.fill(T::ZERO);
        }
    }

    fn finish(&mut self, n_constants: usize) {
        let n = n_constants;
        self.matrix.resize(n * n, 0.0);
        self.vector.resize(n, 0.0);
        let mut products = self.products.iter();
        let mut next = || *products.next().expect("one a pair");
        for i in 0..n {
            for j in i..n {
                let product = next();
                self.matrix[i * n + j] = product;
                self.matrix[j * n + i] = product;
            }
            self.vector[i] = next();
        }
        self.squares = next();
    }
}

impl<T: Real> Gradient<T> {
    /// Makes a gradient of the highest available level. A tree has to be compiled before it is used.
    pub fn new() -> Self {
        Gradient::default()
    }

    /// Makes a gradient of one level, to compare levels.
    ///
    /// # Panics
    /// Panics if this computer does not have it.
    pub fn with_level(level: Level) -> Self {
        assert!(level.is_available(), "this computer has no {}", level.name());
        Gradient { level, ..Gradient::default() }
    }

    /// Returns the level that it runs at.
    pub fn level(&self) -> Level {
        self.level
    }

    /// Compiles `tree` for data of `n_columns` columns, replaces the tree compiled before, and sets the constants to
    /// the tree's. A variable beyond the columns is NaN. O(size), no recursion.
    ///
    /// # Panics
    /// Panics if the tree has 2²⁹ nodes or more.
    pub fn compile(&mut self, tree: &Tree, semantics: Semantics, n_columns: usize) {
        self.tape.compile(tree, semantics, n_columns);
        self.constants.clear();
        self.constants.extend(tree.constants().map(T::from_f64));
    }

    /// Returns the number of constants of the compiled tree.
    pub fn n_constants(&self) -> usize {
        self.constants.len()
    }

    /// Returns the constants' current values, in post-order.
    pub fn constants(&self) -> &[T] {
        &self.constants
    }

    /// Changes the constants' values.
    ///
    /// # Panics
    /// Panics if `constants` does not have [`n_constants`](Self::n_constants) values.
    pub fn set_constants(&mut self, constants: &[T]) {
        self.constants.copy_from_slice(constants);
    }

    /// Overwrites `out` with the predictions for every row of `data`, `[rows]`, at the current constants. O(size ·
    /// rows).
    ///
    /// # Panics
    /// Panics if no tree is compiled or the data has fewer columns than it was compiled for; so do the other methods.
    pub fn predict(&mut self, data: &Columns<T>, out: &mut Vec<T>) {
        out.resize(data.n_rows(), T::ZERO);
        self.run(data, 0, data.n_rows(), 0, &mut Output::Predictions(Sink::Store(out)));
    }

    /// Sums a loss over all rows at the current constants, as [`Machine::sum`] does, for the trial steps of a fit.
    ///
    /// [`Machine::sum`]: crate::Machine::sum
    ///
    /// # Panics
    /// Panics if there is not one target (and weight) for each row.
    pub fn sum(&mut self, data: &Columns<T>, loss: Loss<'_, T>) -> Sums<T> {
        loss.check(data.n_rows());
        let mut sums = Sums::default();
        for (from, to) in spans::<T>(data.n_rows()) {
            self.run(data, from, to, 0, &mut Output::Predictions(Sink::Sum(loss, &mut sums)));
            if !T::IS_DOUBLE {
                sums.spill();
            }
        }
        sums
    }

    /// Overwrites `out_values` with the predictions, `[rows]`, and `out_jacobian` with their derivatives with respect
    /// to the constants, `[constants, rows]`. Nothing is left out: see [`Gradient`] for derivatives that are not
    /// finite.
    ///
    /// O((size + constants) · rows).
    pub fn jacobian(&mut self, data: &Columns<T>, out_values: &mut Vec<T>, out_jacobian: &mut Vec<T>) {
        out_values.resize(data.n_rows(), T::ZERO);
        out_jacobian.resize(self.n_constants() * data.n_rows(), T::ZERO);
        self.run(data, 0, data.n_rows(), 0, &mut Output::Jacobian(out_values, out_jacobian));
    }

    /// Computes the sums over the rows that a step of least squares needs. The Jacobian is never stored.
    ///
    /// A row whose prediction is not below `limit` in magnitude is left out, as in [`Loss::Squares`]. A row with a
    /// derivative that is not finite is left out too, and counted by [`NormalEquations::singular`]. It is left out
    /// wholly, because without its worst derivative it would distort the step. Targets and weights are used as they
    /// are.
    ///
    /// O((size + constants²) · rows), and memory for constants² sums.
    ///
    /// # Panics
    /// Panics if there is not one target (and weight) for each row.
    pub fn normal_equations(
        &mut self,
        data: &Columns<T>,
        y: &[T],
        limit: T,
        weights: Option<&[T]>,
    ) -> &NormalEquations {
        let (n_rows, n_constants) = (data.n_rows(), self.n_constants());
        assert!(
            y.len() == n_rows && weights.is_none_or(|w| w.len() == n_rows),
            "targets and weights for {n_rows} rows"
        );
        let mut lanes = std::mem::take(&mut self.lanes);
        let n_products = kernel::n_products(n_constants);
        if lanes.len() < n_products {
            lanes.resize(n_products, Line::default());
        }
        let lines = &mut lanes[..n_products];
        lines.fill(Line::default());
        self.normal.reset(n_constants);
        for (from, to) in spans::<T>(n_rows) {
            let products =
                Products { y, weights, limit, lanes: Line::elements(lines).as_mut_ptr(), count: 0, singular: 0 };
            let mut output = Output::Products(products);
            self.run(data, from, to, kernel::spare_blocks(n_constants), &mut output);
            if let Output::Products(products) = output {
                self.normal.count += products.count;
                self.normal.singular += products.singular;
            }
            self.normal.collect(Line::elements::<T>(lines));
        }
        self.lanes = lanes;
        self.normal.finish(n_constants);
        &self.normal
    }

    /// Runs the tape over rows `from..to`, with `spare` blocks besides its own.
    #[allow(unsafe_code)]
    fn run(&mut self, data: &Columns<T>, from: usize, to: usize, spare: usize, output: &mut Output<'_, T>) {
        let tape = &self.tape;
        assert!(tape.n_blocks > 0, "a compiled tree");
        assert!(tape.n_columns <= data.n_columns(), "{} columns", tape.n_columns);
        let vectors = (to - from).div_ceil(if T::IS_DOUBLE { 8 } else { 16 });
        if vectors == 0 {
            return;
        }
        let n_blocks = tape.n_blocks + spare;
        let most = (WORKSPACE / (n_blocks * size_of::<Line>())).clamp(1, MAX_TILE);
        // As few tiles as possible, of equal size except for the last.
        let tile = vectors.div_ceil(vectors.div_ceil(most));
        if self.workspace.len() < n_blocks * tile {
            self.workspace.resize(n_blocks * tile, Line::default());
        }
        let job = Job {
            tape,
            constants: &self.constants,
            columns: data.padded(),
            stride: data.stride(),
            blocks: Line::elements(&mut self.workspace).as_mut_ptr(),
            tile,
            from,
            to,
        };
        // SAFETY: the level is available. The data has the columns that the tape was compiled for, and the workspace its
        // blocks. The callers have made room for outputs and checked targets and weights.
        unsafe { T::sweep(self.level, &job, output) }
    }
}

/// Returns the spans of rows after which sums are moved from `f32` to `f64`; in `f64` there is only one.
fn spans<T: Real>(n_rows: usize) -> impl Iterator<Item = (usize, usize)> {
    let length = if T::IS_DOUBLE { n_rows.max(1) } else { SPILL_ROWS };
    (0..n_rows).step_by(length).map(move |from| (from, n_rows.min(from + length)))
}
