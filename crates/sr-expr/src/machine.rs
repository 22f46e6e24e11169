//! Evaluation of trees over columns of data: predictions and losses.

use crate::Level;
use crate::kernel::{Job, MAX_TILE, Sink};
use crate::simd::Vector;
use crate::{Columns, Program, Real, Semantics, Tree};

/// The number of rows after which the lanes of single precision are emptied. That is 256 additions a lane, an error of
/// 256 · 2⁻²⁴ at most.
pub(crate) const SPILL_ROWS: usize = 4096;

/// Sixty-four bytes of a slot, aligned for every vector.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C, align(64))]
pub(crate) struct Line([f64; 8]);

impl Line {
    /// Views lines as numbers, 8 of `f64` or 16 of `f32` a line.
    #[allow(unsafe_code)]
    pub(crate) fn elements<T: Real>(lines: &mut [Line]) -> &mut [T] {
        let n = size_of_val(lines) / size_of::<T>();
        // SAFETY: a line is 64 bytes and aligned for numbers, which have no invalid bits.
        unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), n) }
    }
}

/// An evaluator that runs programs at one [`Level`] and owns the memory for it. Keep one per worker: once its memory
/// has grown, it allocates nothing.
#[derive(Debug, Clone)]
pub struct Machine<T> {
    level: Level,
    program: Program<T>,
    slots: Vec<Line>,
    sums: Sums<T>,
}

/// The sums over the rows that a [`Machine`] can compute.
#[derive(Debug, Clone, Copy)]
pub enum Loss<'a, T> {
    /// Sums `count`, the valid rows, and `squares`, Σ (p − y)² over them. A row is valid if |p| is below `limit`; NaN
    /// never is.
    Squares {
        /// The target, `[rows]`.
        y: &'a [T],
        /// The magnitude at and beyond which predictions are left out; infinity leaves out those that are not finite.
        limit: T,
    },
    /// Sums like [`Loss::Squares`], but `squares` is Σ w (p − y)², and `weights` is Σ w.
    WeightedSquares {
        /// The target, `[rows]`.
        y: &'a [T],
        /// The weights, `[rows]`.
        w: &'a [T],
        /// The limit, as in [`Loss::Squares`].
        limit: T,
    },
    /// Sums `count`, the rows whose prediction is finite or whose weight is 0, and `squares`, Σ w ((p − y) · scale)²
    /// over them. Errors are scaled before they are squared, so that large and small targets neither overflow nor
    /// underflow.
    ScaledSquares {
        /// The target, `[rows]`.
        y: &'a [T],
        /// The weights, `[rows]`; without them every weight is 1.
        w: Option<&'a [T]>,
        /// The factor that errors are multiplied by. A power of two does not round them.
        scale: T,
    },
    /// Sums the moments for linear scaling (Keijzer, 2003), of p and y less the pivots, over the valid rows.
    Moments {
        /// The target, `[rows]`.
        y: &'a [T],
        /// The limit, as in [`Loss::Squares`].
        limit: T,
        /// The number subtracted from every prediction; it should be near their mean, to avoid cancellation.
        p_pivot: T,
        /// The number subtracted from the target.
        y_pivot: T,
    },
}

impl<T> Loss<'_, T> {
    /// Checks that there is a target, and a weight where there are weights, for each row.
    ///
    /// # Panics
    /// Panics if there is not.
    pub(crate) fn check(&self, n_rows: usize) {
        let fits = match self {
            Loss::Squares { y, .. } | Loss::Moments { y, .. } => y.len() == n_rows,
            Loss::WeightedSquares { y, w, .. } => y.len() == n_rows && w.len() == n_rows,
            Loss::ScaledSquares { y, w, .. } => y.len() == n_rows && w.is_none_or(|w| w.len() == n_rows),
        };
        assert!(fits, "a target for each of {n_rows} rows");
    }
}

/// Sums by lane. Row i belongs to lane i mod 8 in `f64` and i mod 16 in `f32`. Every lane adds its rows in order, so
/// that a result depends neither on the level nor on how the rows were cut.
#[derive(Debug, Clone, PartialEq)]
pub struct Sums<T> {
    /// The number of valid rows.
    pub count: usize,
    /// Σ(p−y)² | Σw(p−y)², Σw | Σp, Σy, Σp², Σpy, Σy²
    lanes: [[T; 16]; N_SUMS],
    /// The sums that full lanes of `f32` were moved to.
    spilled: [f64; N_SUMS],
}

const N_SUMS: usize = 5;

impl<T: Real> Default for Sums<T> {
    fn default() -> Self {
        Sums { count: 0, lanes: [[T::ZERO; 16]; N_SUMS], spilled: [0.0; N_SUMS] }
    }
}

impl<T: Real> Sums<T> {
    fn get(&self, index: usize) -> f64 {
        let lanes = &self.lanes[index];
        if T::IS_DOUBLE {
            return lanes[..8].iter().map(|lane| lane.to_f64()).sum();
        }
        // The lanes are added in pairs: nothing prescribes the order here, and a chain of sixteen additions is slower.
        let mut pairs: [f64; 8] = std::array::from_fn(|i| lanes[i].to_f64() + lanes[i + 8].to_f64());
        for width in [4, 2, 1] {
            for i in 0..width {
                pairs[i] += pairs[i + width];
            }
        }
        self.spilled[index] + pairs[0]
    }

    /// Empties the sums that `loss` uses, which is quicker than emptying all.
    fn clear(&mut self, loss: Loss<'_, T>) {
        let used = match loss {
            Loss::Squares { .. } | Loss::ScaledSquares { .. } => 1,
            Loss::WeightedSquares { .. } => 2,
            Loss::Moments { .. } => N_SUMS,
        };
        self.count = 0;
        self.lanes[..used].fill([T::ZERO; 16]);
        self.spilled[..used].fill(0.0);
    }

    /// Moves the lanes of single precision to `spilled`.
    pub(crate) fn spill(&mut self) {
        self.spilled = std::array::from_fn(|index| self.get(index));
        self.lanes = [[T::ZERO; 16]; N_SUMS];
    }

    #[inline(always)]
    #[allow(unsafe_code)]
    pub(crate) fn load<V: Vector<Element = T>>(&self, index: usize) -> V {
        // SAFETY: sixteen elements are a vector or more.
        unsafe { V::load(self.lanes[index].as_ptr()) }
    }

    #[inline(always)]
    #[allow(unsafe_code)]
    pub(crate) fn store<V: Vector<Element = T>>(&mut self, index: usize, lanes: V) {
        // SAFETY: sixteen elements are a vector or more.
        unsafe { lanes.store(self.lanes[index].as_mut_ptr()) }
    }

    /// Returns Σ (p − y)² or Σ w (p − y)².
    pub fn squares(&self) -> f64 {
        self.get(0)
    }

    /// Returns Σ w.
    pub fn weights(&self) -> f64 {
        self.get(1)
    }

    /// Returns Σp, Σy, Σp², Σpy, Σy², of p and y less their pivots.
    pub fn moments(&self) -> [f64; N_SUMS] {
        std::array::from_fn(|index| self.get(index))
    }
}

impl<T: Real> Default for Machine<T> {
    fn default() -> Self {
        Machine { level: Level::detect(), program: Program::default(), slots: Vec::new(), sums: Sums::default() }
    }
}

impl<T: Real> Machine<T> {
    /// Makes a machine of the highest available level.
    pub fn new() -> Self {
        Machine::default()
    }

    /// Makes a machine of one level, to compare levels.
    ///
    /// # Panics
    /// Panics if this computer does not have it.
    pub fn with_level(level: Level) -> Self {
        assert!(level.is_available(), "this computer has no {}", level.name());
        Machine { level, ..Machine::default() }
    }

    /// Returns the level that it runs at.
    pub fn level(&self) -> Level {
        self.level
    }

    /// Overwrites `out` with the value of `tree` for every row of `data`, `[rows]`. A variable that the data does not
    /// have is NaN. O(size · rows).
    pub fn predict(&mut self, tree: &Tree, data: &Columns<T>, semantics: Semantics, out: &mut Vec<T>) {
        out.resize(data.n_rows(), T::ZERO);
        self.program.compile(tree, semantics, data.n_columns());
        run(self.level, &self.program, &mut self.slots, data, 0, data.n_rows(), &mut Sink::Store(out));
    }

    /// Overwrites `out` with the values of a compiled program, `[rows]`.
    ///
    /// # Panics
    /// Panics if nothing was compiled (the program is a `default`), or the data has fewer columns than the program was
    /// compiled for.
    pub fn predict_compiled(&mut self, program: &Program<T>, data: &Columns<T>, out: &mut Vec<T>) {
        out.resize(data.n_rows(), T::ZERO);
        run(self.level, program, &mut self.slots, data, 0, data.n_rows(), &mut Sink::Store(out));
    }

    /// Sums a loss over all rows.
    ///
    /// # Panics
    /// Panics if there is not one target (and weight) for each row.
    pub fn sum(&mut self, tree: &Tree, data: &Columns<T>, semantics: Semantics, loss: Loss<'_, T>) -> &Sums<T> {
        self.sum_while(tree, data, semantics, loss, usize::MAX, |_| true).expect("nobody stops it")
    }

    /// Sums a loss over all rows. After every `every` rows (rounded up to whole vectors) it asks `go_on` whether to
    /// continue, and returns `None` if not. `go_on` gets the sums so far: a partial sum of squares is a lower bound.
    ///
    /// # Panics
    /// Panics if there is not one target (and weight) for each row.
    pub fn sum_while(
        &mut self,
        tree: &Tree,
        data: &Columns<T>,
        semantics: Semantics,
        loss: Loss<'_, T>,
        every: usize,
        mut go_on: impl FnMut(&Sums<T>) -> bool,
    ) -> Option<&Sums<T>> {
        let n = data.n_rows();
        loss.check(n);
        let Machine { level, program, slots, sums } = self;
        sums.clear(loss);
        program.compile(tree, semantics, data.n_columns());
        let every = every.max(1).min(n).next_multiple_of(16);
        let mut asked = 0;
        let mut start = 0;
        while start < n {
            let end = n.min(asked + every).min((start / SPILL_ROWS + 1) * SPILL_ROWS);
            run(*level, program, slots, data, start, end, &mut Sink::Sum(loss, &mut *sums));
            if !T::IS_DOUBLE && end.is_multiple_of(SPILL_ROWS) {
                sums.spill();
            }
            start = end;
            if end == asked + every {
                asked = end;
                if end < n && !go_on(sums) {
                    return None;
                }
            }
        }
        Some(sums)
    }
}

/// Runs a program over rows `from..to`.
#[allow(unsafe_code)]
fn run<T: Real>(
    level: Level,
    program: &Program<T>,
    slots: &mut Vec<Line>,
    data: &Columns<T>,
    from: usize,
    to: usize,
    sink: &mut Sink<'_, T>,
) {
    assert!(program.len() > 0, "a program that was compiled");
    let (needed, found) = (program.n_columns(), data.n_columns());
    assert!(needed <= found, "a program for this data: it has {found} columns of {needed}");
    assert!(from <= to && to <= data.n_rows());
    // Two more slots for functions that are out of line.
    let lines = (program.n_slots() + 2) * MAX_TILE;
    if slots.len() < lines {
        slots.resize(lines, Line::default());
    }
    let job = Job { program, columns: data.padded(), stride: data.stride(), slots: slots.as_mut_ptr().cast(), to };
    // SAFETY: a machine's level is available; slots and columns are as long as they have to be; the callers have
    // checked targets and places.
    unsafe { T::run(level, &job, from, sink) }
}

/// Returns the value of `tree` for every row of `data`, `[rows]`. For many trees, keep a [`Machine`].
pub fn predict(tree: &Tree, data: &Columns, semantics: Semantics) -> Vec<f64> {
    let mut out = Vec::new();
    Machine::new().predict(tree, data, semantics, &mut out);
    out
}
