//! The sweeps over tiles of rows, compiled for every instruction set.
//!
//! A tile goes through the forward sweep, the reverse sweep and into the sums before the next one, so that the values
//! that the sweeps keep stay in the cache. Instructions read and write memory, not registers as those of a
//! [`Machine`](crate::Machine) do, because most values have to be kept anyway.
//!
//! No closure may take a vector: it would be a function compiled for the baseline wherever it is not inlined.

#![allow(unsafe_code)]

use sr_simd::{at_level, for_level};

use super::tape::{Place, Rule, Tape};
use crate::Level;
use crate::Real;
use crate::kernel::{Kernel, Sink, finish};
use crate::op::{MAX_EXPONENT, MAX_TAN, MIN_DIVISOR, MIN_INVERSE, MIN_LOG};
use crate::simd::{self, Mask, Vector};

/// The largest number of vectors of a block.
pub(crate) const MAX_TILE: usize = 16;

/// Returns the number of blocks that [`Output::Products`] needs besides the tape's: one a constant, and three for
/// residuals, weights and a factor.
pub(crate) fn spare_blocks(n_constants: usize) -> usize {
    n_constants + 3
}

/// Returns the number of products of pairs that [`Output::Products`] adds up.
pub(crate) fn n_products(n_constants: usize) -> usize {
    // The kernels use this number without bounds checks.
    (n_constants + 1).checked_mul(n_constants + 2).expect("as many products of constants as fit memory") / 2
}

/// A tape and the rows that it runs over.
#[derive(Debug)]
pub struct Job<'a, T> {
    pub(crate) tape: &'a Tape,
    /// The values of the tape's constants.
    pub(crate) constants: &'a [T],
    /// All columns with their padding.
    pub(crate) columns: &'a [T],
    /// The number of elements from the start of a column to that of the next one.
    pub(crate) stride: usize,
    /// `[blocks][tile]` vectors.
    pub(crate) blocks: *mut T,
    /// The number of vectors of a block, at most [`MAX_TILE`].
    pub(crate) tile: usize,
    /// The first row, a multiple of 16.
    pub(crate) from: usize,
    /// The end of the rows.
    pub(crate) to: usize,
}

/// The destination of the predictions and their derivatives.
#[derive(Debug)]
pub enum Output<'a, T> {
    /// Only the predictions are used.
    Predictions(Sink<'a, T>),
    /// Predictions and derivatives are stored, `[rows]` and `[constants][rows]`.
    Jacobian(&'a mut [T], &'a mut [T]),
    /// The products of pairs are added up.
    Products(Products<'a, T>),
}

/// Sums of the products of all pairs of columns of (J r), r being p − y.
#[derive(Debug)]
pub struct Products<'a, T> {
    /// The target, `[rows]`.
    pub(crate) y: &'a [T],
    /// The weights, `[rows]`.
    pub(crate) weights: Option<&'a [T]>,
    /// The magnitude at and beyond which predictions are left out.
    pub(crate) limit: T,
    /// `[pairs]` vectors: the upper triangle by rows.
    pub(crate) lanes: *mut T,
    /// The number of rows in the sums.
    pub(crate) count: usize,
    /// The number of rows left out because a derivative is not finite.
    pub(crate) singular: usize,
}

/// Pointers to the data and blocks of one tile.
struct Tile<'a, T> {
    job: &'a Job<'a, T>,
    /// The first row.
    row: usize,
    /// The number of elements of a block.
    length: usize,
}

impl<T> Tile<'_, T> {
    #[inline(always)]
    fn block(&self, index: usize) -> *mut T {
        self.job.blocks.wrapping_add(index * self.length)
    }

    #[inline(always)]
    fn read(&self, place: Place) -> *const T {
        let column = self.job.columns.as_ptr().wrapping_add(place.index() * self.job.stride + self.row);
        if place.is_column() { column } else { self.block(place.index()) }
    }
}

/// Runs a job's rows.
///
/// # Safety
/// It has to be inlined into code compiled for the level of `V`, on a machine that has it. The tape has to be compiled.
/// Columns, constants, blocks and the places of the output have to be as many and as long as the tape and the job say.
#[inline(always)]
unsafe fn sweep<V: Kernel>(job: &Job<'_, V::Element>, output: &mut Output<'_, V::Element>) {
    let tape = job.tape;
    let mut tile = Tile { job, row: job.from, length: job.tile * V::LANES };
    let fixed = [(tape.one(), V::Element::from_f64(1.0)), (tape.nan(), V::Element::NAN)];
    let constants = job.constants.iter().enumerate().map(|(index, &constant)| (Tape::constant(index), constant));
    for (place, value) in constants.chain(fixed) {
        for i in 0..job.tile {
            // SAFETY: the caller's promise.
            unsafe { V::splat(value).store(tile.block(place.index()).add(i * V::LANES)) };
        }
    }
    while tile.row < job.to {
        let n = job.tile.min((job.to - tile.row).div_ceil(V::LANES));
        for step in &tape.forward {
            let (a, b, out) = (tile.read(step.a), tile.read(step.b), tile.block(step.out.index()));
            // SAFETY: the caller's promise, and a tape only names columns and blocks that there are.
            unsafe { V::block(step.op, tape.semantics, a, b, out, n) };
        }
        if !matches!(output, Output::Predictions(_)) {
            for step in &tape.reverse {
                let (g, a, b) = (tile.read(step.adjoint), tile.read(step.a), tile.read(step.b));
                let (value, out) = (tile.read(step.value), tile.block(step.out.index()));
                // SAFETY: as above.
                unsafe { reverse::<V>(step.rule, g, a, b, value, out, n) };
            }
        }
        match output {
            Output::Predictions(sink) => {
                for i in 0..n {
                    // SAFETY: as above, and the caller's promise for the sink.
                    unsafe {
                        let value = V::load(tile.read(tape.root).add(i * V::LANES));
                        finish([value], tile.row + i * V::LANES, job.to, sink);
                    }
                }
            }
            Output::Jacobian(values, jacobian) => {
                let rows = tile.row..job.to.min(tile.row + n * V::LANES);
                let n_rows = values.len();
                let derivatives = tape.derivatives.iter().zip(jacobian.chunks_exact_mut(n_rows));
                for (&place, to) in derivatives.chain([(&tape.root, &mut **values)]) {
                    let to = &mut to[rows.clone()];
                    // SAFETY: the place has `n` vectors, and is in no output.
                    unsafe { to.as_mut_ptr().copy_from_nonoverlapping(tile.read(place), to.len()) };
                }
            }
            // SAFETY: the caller's promise.
            Output::Products(products) => unsafe { multiply::<V>(&tile, products, n) },
        }
        tile.row += n * V::LANES;
    }
}

/// Runs one instruction of the reverse sweep over `n` vectors.
///
/// # Safety
/// The conditions are those of [`sweep`]. The operands that the rule reads and `out` have to hold `n` vectors. `out`
/// may be any of the operands.
#[inline(always)]
unsafe fn reverse<V: Vector>(
    rule: Rule,
    g: *const V::Element,
    a: *const V::Element,
    b: *const V::Element,
    v: *const V::Element,
    out: *mut V::Element,
    n: usize,
) {
    use crate::math::Functions;
    let constant = |value: f64| V::splat(V::Element::from_f64(value));
    let (zero, one) = (constant(0.0), constant(1.0));
    // Loads the operands named, computes and stores.
    macro_rules! each {
        ($($operand:ident)*: $value:expr) => {
            for i in 0..n {
                // SAFETY: the caller's promise.
                unsafe {
                    $(let $operand = V::load($operand.add(i * V::LANES));)*
                    $value.store(out.add(i * V::LANES));
                }
            }
        };
    }
    match rule {
        Rule::Same => unreachable!("no instruction"),
        Rule::Negate => each!(g: g.neg()),
        Rule::TimesA => each!(g a: g.mul(a)),
        Rule::TimesB => each!(g b: g.mul(b)),
        Rule::TimesValue => each!(g v: g.mul(v)),
        Rule::OverA => each!(g a: g.div(a)),
        Rule::OverB => each!(g b: g.div(b)),
        Rule::OverGuardedB => {
            let least = constant(MIN_DIVISOR);
            each!(g b: g.div(V::select(b.abs().lt(least), least, b)))
        }
        Rule::Divisor => each!(g v: g.mul(v).neg()),
        Rule::GuardedDivisor => each!(g b v: V::select(b.abs().lt(constant(MIN_DIVISOR)), zero, g.mul(v).neg())),
        Rule::Base => each!(g a b v: {
            // v / a saves a second power; at a = 0 it would be 0 / 0.
            let flat = one.lt(b).or(b.eq(zero));
            let at_zero = V::select(b.eq(one), one, V::select(flat, zero, b.mul(constant(f64::INFINITY))));
            g.mul(V::select(a.eq(zero), at_zero, b.mul(v.div(a))))
        }),
        // For a below 0 the power exists at whole b only and has no derivative; at 0 its limit is 0.
        Rule::Exponent => each!(g a v: g.mul(V::select(zero.lt(a), v.mul(V::Element::log(a)), v.mul(zero)))),
        Rule::Abs => each!(g a: g.mul(V::select(zero.lt(a), one, V::select(a.lt(zero), one.neg(), a)))),
        Rule::GuardedExp => each!(g a v: V::select(constant(MAX_EXPONENT).lt(a.abs()), zero, g.mul(v))),
        Rule::GuardedLog => each!(g a: V::select(a.abs().lt(constant(MIN_LOG)), zero, g.div(a))),
        Rule::Sqrt => each!(g v: g.div(v.add(v))),
        Rule::GuardedSqrt => each!(g a v: {
            let slope = g.div(v.add(v));
            V::select(a.lt(zero), slope.neg(), slope)
        }),
        Rule::Sin => each!(g a: g.mul(V::Element::cos(a))),
        Rule::Cos => each!(g a: g.mul(V::Element::sin(a)).neg()),
        Rule::Tan => each!(g v: g.mul(one.add(v.mul(v)))),
        Rule::GuardedTan => {
            each!(g v: V::select(constant(MAX_TAN).le(v.abs()), zero, g.mul(one.add(v.mul(v)))))
        }
        Rule::Inverse => each!(g v: g.mul(v.mul(v)).neg()),
        Rule::GuardedInverse => {
            each!(g a v: V::select(a.abs().lt(constant(MIN_INVERSE)), zero, g.mul(v.mul(v)).neg()))
        }
        Rule::Square => each!(g a: g.mul(a.add(a))),
        Rule::Cube => each!(g a: g.mul(constant(3.0).mul(a.mul(a)))),
        Rule::Tanh => each!(g v: g.mul(one.sub(v.mul(v)))),
        Rule::Asin => each!(g a: g.div(one.sub(a).mul(one.add(a)).sqrt())),
        Rule::Acos => each!(g a: g.div(one.sub(a).mul(one.add(a)).sqrt()).neg()),
        Rule::Atan => each!(g a: g.div(one.add(a.mul(a)))),
    }
}

/// Adds a tile's products to the sums.
///
/// # Safety
/// The conditions are those of [`sweep`].
#[inline(always)]
unsafe fn multiply<V: Kernel>(tile: &Tile<'_, V::Element>, products: &mut Products<'_, V::Element>, n: usize) {
    let &Tile { job, row, .. } = tile;
    let tape = job.tape;
    let n_constants = tape.n_constants;
    let spare = |index: usize| tile.block(tape.n_blocks + index);
    let (residuals, weights, factor) = (spare(n_constants), spare(n_constants + 1), spare(n_constants + 2));
    let root = tile.read(tape.root);
    let (zero, infinity) = (V::splat(V::Element::ZERO), V::splat(V::Element::from_f64(f64::INFINITY)));
    let limit = V::splat(products.limit);
    let mut masks = [V::Mask::first(0); MAX_TILE];
    // SAFETY: the caller's promise; a tape only names columns and blocks that there are, and they have `n` vectors.
    unsafe {
        let mut valid = 0;
        for i in 0..n {
            let there = V::Mask::first(job.to - row - i * V::LANES);
            masks[i] = V::load(root.add(i * V::LANES)).abs().lt(limit).and(there);
            valid += masks[i].count();
        }
        for &place in &tape.derivatives {
            for i in 0..n {
                let derivative = V::load(tile.read(place).add(i * V::LANES));
                masks[i] = masks[i].and(derivative.abs().lt(infinity));
            }
        }
        let mut count = 0;
        for mask in &masks[..n] {
            count += mask.count();
        }
        products.count += count;
        products.singular += valid - count;
        for i in 0..n {
            let at = i * V::LANES;
            let residual = V::load(root.add(at)).sub(rows_at(products.y, row + at, job.to));
            V::select(masks[i], residual, zero).store(residuals.add(at));
            if let Some(w) = products.weights {
                V::select(masks[i], rows_at(w, row + at, job.to), zero).store(weights.add(at));
            }
        }
        // Rows that are left out become zeros. Only a tile with such rows has to be copied for it.
        let whole = count == n * V::LANES;
        if !whole {
            for (index, &place) in tape.derivatives.iter().enumerate() {
                for i in 0..n {
                    let derivative = V::load(tile.read(place).add(i * V::LANES));
                    V::select(masks[i], derivative, zero).store(spare(index).add(i * V::LANES));
                }
            }
        }
        let column = |index: usize| match index {
            _ if index == n_constants => residuals.cast_const(),
            _ if whole => tile.read(tape.derivatives[index]),
            _ => spare(index).cast_const(),
        };
        let mut lanes = products.lanes;
        for first in 0..=n_constants {
            let mut left = column(first);
            if products.weights.is_some() {
                for at in (0..n).map(|i| i * V::LANES) {
                    V::load(weights.add(at)).mul(V::load(left.add(at))).store(factor.add(at));
                }
                left = factor;
            }
            // Several sums are computed at once, because each is a chain of dependent additions.
            let mut second = first;
            while second <= n_constants {
                let pairs = match n_constants + 1 - second {
                    4.. => {
                        add_products::<V, 4>(left, std::array::from_fn(|i| column(second + i)), lanes, n);
                        4
                    }
                    2.. => {
                        add_products::<V, 2>(left, std::array::from_fn(|i| column(second + i)), lanes, n);
                        2
                    }
                    _ => {
                        add_products::<V, 1>(left, [column(second)], lanes, n);
                        1
                    }
                };
                lanes = lanes.add(pairs * V::LANES);
                second += pairs;
            }
        }
    }
}

/// Returns a vector of the numbers of the rows from `row` on, zero beyond `to`.
///
/// # Safety
/// It has to be inlined into code compiled for the level of `V`, on a machine that has it.
#[inline(always)]
unsafe fn rows_at<V: Vector>(from: &[V::Element], row: usize, to: usize) -> V {
    let rows = &from[row..to];
    if rows.len() >= V::LANES {
        // SAFETY: the rows are there.
        unsafe { V::load(rows.as_ptr()) }
    } else {
        V::load_first(rows)
    }
}

/// Adds `left * right[i]` to `lanes[i]` for every vector of a tile, in order.
///
/// # Safety
/// The conditions are those of [`sweep`]. `left` and all of `right` have to hold `n` vectors, and `lanes` one vector a
/// pair.
#[inline(always)]
unsafe fn add_products<V: Vector, const PAIRS: usize>(
    left: *const V::Element,
    right: [*const V::Element; PAIRS],
    lanes: *mut V::Element,
    n: usize,
) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut sums = [V::splat(V::Element::ZERO); PAIRS];
        for pair in 0..PAIRS {
            sums[pair] = V::load(lanes.add(pair * V::LANES));
        }
        for i in 0..n {
            let factor = V::load(left.add(i * V::LANES));
            for pair in 0..PAIRS {
                sums[pair] = factor.mul_add(V::load(right[pair].add(i * V::LANES)), sums[pair]);
            }
        }
        for pair in 0..PAIRS {
            sums[pair].store(lanes.add(pair * V::LANES));
        }
    }
}

/// Types of numbers that have sweeps.
pub trait Differentiate: Sized {
    /// Runs [`sweep`] at a level.
    ///
    /// # Safety
    /// The level has to be available; the other conditions are those of [`sweep`].
    unsafe fn sweep(level: Level, job: &Job<'_, Self>, output: &mut Output<'_, Self>);
}

macro_rules! level {
    ($level:ident $name:ident) => {
        for_level! { $level:
            unsafe fn $name<V: Kernel>(job: &Job<'_, V::Element>, output: &mut Output<'_, V::Element>) {
                // SAFETY: the caller's promise.
                unsafe { sweep::<V>(job, output) }
            }
        }
    };
}
level!(portable portable_sweep);
level!(avx2 avx2_sweep);
level!(avx512 avx512_sweep);

macro_rules! differentiate {
    ($element:ty: $portable:ty, $avx2:ty, $avx512:ty) => {
        impl Differentiate for $element {
            unsafe fn sweep(level: Level, job: &Job<'_, Self>, output: &mut Output<'_, Self>) {
                // SAFETY: the caller's promise.
                unsafe {
                    at_level!(
                        level,
                        portable => portable_sweep::<$portable>(job, output),
                        avx2 => avx2_sweep::<$avx2>(job, output),
                        avx512 => avx512_sweep::<$avx512>(job, output),
                    )
                }
            }
        }
    };
}
differentiate!(f64: simd::PortableF64, simd::Avx2F64, simd::Avx512F64);
differentiate!(f32: simd::PortableF32, simd::Avx2F32, simd::Avx512F32);
