//! The kernels, which run programs over tiles of rows. They are compiled for every instruction set.
//!
//! A tile is `T` vectors of rows, 1 to 16 of them. It goes through the whole program before the next one. Its
//! accumulator stays in registers from instruction to instruction, stored values stay in the first-level cache, and the
//! interpreter's cost is paid once for T vectors. At the end the tile's predictions are still in registers and go
//! straight into the loss.

#![allow(unsafe_code)]

use sr_simd::{at_level, for_level};

use crate::Level;
use crate::operators::operator;
use crate::program::{Code, Instruction, Program};
use crate::simd::{self, Mask, Vector};
use crate::{Loss, Op, Real, Semantics, Sums};

/// The largest tile of any level, in vectors.
pub(crate) const MAX_TILE: usize = 16;

/// A program and the rows that it runs over.
#[derive(Debug)]
pub struct Job<'a, T> {
    pub(crate) program: &'a Program<T>,
    /// All columns with their padding, which extends one vector beyond the last row.
    pub(crate) columns: &'a [T],
    /// The number of elements from the start of a column to that of the next one.
    pub(crate) stride: usize,
    /// `[slots][MAX_TILE][64 bytes]`: the slots that the program needs, and two for functions out of line.
    pub(crate) slots: *mut T,
    /// The end of the rows.
    pub(crate) to: usize,
}

/// The destination of the predictions.
#[derive(Debug)]
pub enum Sink<'a, T> {
    /// The predictions are stored, `[rows]`.
    Store(&'a mut [T]),
    /// The loss of the predictions is added up.
    Sum(Loss<'a, T>, &'a mut Sums<T>),
}

/// The compiled versions of [`tiles`] and [`operator_block`]. It is implemented for the vectors of every level.
#[allow(unreachable_pub)] // in the signature of a public trait that is sealed
pub trait Kernel: Vector {
    /// Runs [`tiles`] for a tile size known at run time.
    ///
    /// # Safety
    /// The conditions are those of [`rows`].
    unsafe fn tiles(
        size: usize,
        job: &Job<'_, Self::Element>,
        row: usize,
        n: usize,
        sink: &mut Sink<'_, Self::Element>,
    );

    /// Runs [`operator_block`] out of line.
    ///
    /// # Safety
    /// The level has to be available; the other conditions are those of [`operator_block`].
    unsafe fn block(
        op: Op,
        semantics: Semantics,
        a: *const Self::Element,
        b: *const Self::Element,
        out: *mut Self::Element,
        n: usize,
    );
}

/// Runs rows `from..job.to`.
///
/// # Safety
/// The level of `V` has to be available. The job's slots and columns have to be as long as it says and the program
/// needs. Targets, weights and the places for predictions have to reach to `job.to`.
unsafe fn rows<V: Kernel>(job: &Job<'_, V::Element>, from: usize, sink: &mut Sink<'_, V::Element>) {
    let vectors = (job.to - from).div_ceil(V::LANES);
    if vectors == 0 {
        return;
    }
    // As few tiles as possible, of equal size except for the last; the larger sizes are even.
    let even = |size: usize| if size > 8 { size.next_multiple_of(2) } else { size };
    let most = if vectors > 4 * V::MAX_TILE { V::LONG_TILE } else { V::MAX_TILE };
    let size = even(vectors.div_ceil(vectors.div_ceil(most)));
    let (whole, rest) = (vectors / size, even(vectors % size));
    // SAFETY: the caller's promise.
    unsafe {
        if whole > 0 {
            V::tiles(size, job, from, whole, sink);
        }
        if rest > 0 {
            V::tiles(rest, job, from + whole * size * V::LANES, 1, sink);
        }
    }
}

/// Runs `n` tiles of `T` vectors from `row` on.
///
/// # Safety
/// The conditions are those of [`rows`]. It has to be inlined into code compiled for the level of `V`.
#[inline(always)]
unsafe fn tiles<V: Kernel, const T: usize>(
    job: &Job<'_, V::Element>,
    mut row: usize,
    n: usize,
    sink: &mut Sink<'_, V::Element>,
) {
    for _ in 0..n {
        let mut acc = [V::splat(V::Element::ZERO); T];
        // SAFETY: the caller's promise.
        unsafe {
            for &instruction in job.program.instructions() {
                execute(job, row, instruction, &mut acc);
            }
            finish::<V, T>(acc, row, job.to, sink);
        }
        row += T * V::LANES;
    }
}

/// Runs one instruction over one tile.
///
/// # Safety
/// The conditions are those of [`tiles`].
#[inline(always)]
#[allow(clippy::undocumented_unsafe_blocks)] // one reason for all of them, given once
unsafe fn execute<V: Kernel, const T: usize>(
    job: &Job<'_, V::Element>,
    row: usize,
    instruction: Instruction<V::Element>,
    acc: &mut [V; T],
) {
    let slot_size = MAX_TILE * V::LANES;
    let (a, b) = (usize::from(instruction.a), usize::from(instruction.b));
    // SAFETY (of all that follow): the compiler of programs only writes columns and slots that there are.
    let column_at = |column: usize| unsafe { job.columns.as_ptr().add(column * job.stride + row) };
    let slot_at = |slot: usize| unsafe { job.slots.add(slot * slot_size) };
    macro_rules! column {
        ($column:expr, $i:expr) => {
            unsafe { V::load(column_at($column).add($i * V::LANES)) }
        };
    }
    macro_rules! slot {
        ($i:expr) => {
            unsafe { V::load(slot_at(a).add($i * V::LANES)) }
        };
    }
    macro_rules! each {
        ($i:ident: $value:expr) => {{
            let mut next = *acc;
            for $i in 0..T {
                next[$i] = $value;
            }
            *acc = next;
        }};
    }
    macro_rules! with_constant {
        ($c:ident, $i:ident: $value:expr) => {{
            let $c = V::splat(instruction.constant);
            each!($i: $value)
        }};
    }
    macro_rules! store {
        ($to:expr) => {
            for i in 0..T {
                unsafe { acc[i].store($to.add(i * V::LANES)) };
            }
        };
    }
    // An instruction without the accumulator as operand stores the accumulator, needed or not: that is cheaper than a
    // branch.
    macro_rules! spill {
        () => {
            store!(slot_at(usize::from(instruction.spill)))
        };
    }
    let guard = |b: V| {
        let least = V::splat(V::Element::from_f64(crate::op::MIN_DIVISOR));
        V::select(b.abs().lt(least), least, b)
    };
    match instruction.code {
        Code::Load => {
            spill!();
            each!(i: column!(a, i))
        }
        Code::Constant => {
            spill!();
            *acc = [V::splat(instruction.constant); T]
        }
        Code::AddAccColumn => each!(i: acc[i].add(column!(a, i))),
        Code::AddAccConstant => with_constant!(c, i: acc[i].add(c)),
        Code::AddAccSlot => each!(i: acc[i].add(slot!(i))),
        Code::AddColumnColumn => {
            spill!();
            each!(i: column!(a, i).add(column!(b, i)))
        }
        Code::AddColumnConstant => {
            spill!();
            with_constant!(c, i: column!(a, i).add(c))
        }
        Code::MulAccColumn => each!(i: acc[i].mul(column!(a, i))),
        Code::MulAccConstant => with_constant!(c, i: acc[i].mul(c)),
        Code::MulAccSlot => each!(i: acc[i].mul(slot!(i))),
        Code::MulColumnColumn => {
            spill!();
            each!(i: column!(a, i).mul(column!(b, i)))
        }
        Code::MulColumnConstant => {
            spill!();
            with_constant!(c, i: column!(a, i).mul(c))
        }
        Code::SubAccColumn => each!(i: acc[i].sub(column!(a, i))),
        Code::SubColumnAcc => each!(i: column!(a, i).sub(acc[i])),
        Code::SubAccConstant => with_constant!(c, i: acc[i].sub(c)),
        Code::SubConstantAcc => with_constant!(c, i: c.sub(acc[i])),
        Code::SubAccSlot => each!(i: acc[i].sub(slot!(i))),
        Code::SubSlotAcc => each!(i: slot!(i).sub(acc[i])),
        Code::SubColumnColumn => {
            spill!();
            each!(i: column!(a, i).sub(column!(b, i)))
        }
        Code::SubColumnConstant => {
            spill!();
            with_constant!(c, i: column!(a, i).sub(c))
        }
        Code::SubConstantColumn => {
            spill!();
            with_constant!(c, i: c.sub(column!(a, i)))
        }
        Code::DivAccColumn => each!(i: acc[i].div(column!(a, i))),
        Code::DivColumnAcc => each!(i: column!(a, i).div(acc[i])),
        Code::DivAccConstant => with_constant!(c, i: acc[i].div(c)),
        Code::DivConstantAcc => with_constant!(c, i: c.div(acc[i])),
        Code::DivAccSlot => each!(i: acc[i].div(slot!(i))),
        Code::DivSlotAcc => each!(i: slot!(i).div(acc[i])),
        Code::DivColumnColumn => {
            spill!();
            each!(i: column!(a, i).div(column!(b, i)))
        }
        Code::DivColumnConstant => {
            spill!();
            with_constant!(c, i: column!(a, i).div(c))
        }
        Code::DivConstantColumn => {
            spill!();
            with_constant!(c, i: c.div(column!(a, i)))
        }
        Code::GuardedDivAccColumn => each!(i: acc[i].div(guard(column!(a, i)))),
        Code::GuardedDivColumnAcc => each!(i: column!(a, i).div(guard(acc[i]))),
        Code::GuardedDivAccConstant => with_constant!(c, i: acc[i].div(guard(c))),
        Code::GuardedDivConstantAcc => with_constant!(c, i: c.div(guard(acc[i]))),
        Code::GuardedDivAccSlot => each!(i: acc[i].div(guard(slot!(i)))),
        Code::GuardedDivSlotAcc => each!(i: slot!(i).div(guard(acc[i]))),
        Code::GuardedDivColumnColumn => {
            spill!();
            each!(i: column!(a, i).div(guard(column!(b, i))))
        }
        Code::GuardedDivColumnConstant => {
            spill!();
            with_constant!(c, i: column!(a, i).div(guard(c)))
        }
        Code::GuardedDivConstantColumn => {
            spill!();
            with_constant!(c, i: c.div(guard(column!(a, i))))
        }
        Code::Neg => each!(i: acc[i].neg()),
        Code::Abs => each!(i: acc[i].abs()),
        Code::Square => each!(i: acc[i].mul(acc[i])),
        Code::Cube => each!(i: acc[i].mul(acc[i]).mul(acc[i])),
        Code::Sqrt => each!(i: acc[i].sqrt()),
        Code::GuardedSqrt => each!(i: acc[i].abs().sqrt()),
        Code::Inverse => each!(i: operator(Op::Inv, Semantics::Ieee, acc[i], acc[i])),
        Code::GuardedInverse => each!(i: operator(Op::Inv, Semantics::Protected, acc[i], acc[i])),
        Code::Math | Code::MathColumn => {
            let spare = slot_at(job.program.n_slots());
            let from = if instruction.code == Code::Math {
                store!(spare);
                spare.cast_const()
            } else {
                spill!();
                column_at(a)
            };
            unsafe { V::block(instruction.op, job.program.semantics(), from, from, spare, T) };
            each!(i: unsafe { V::load(spare.add(i * V::LANES)) });
        }
        Code::PowAccColumn
        | Code::PowColumnAcc
        | Code::PowAccConstant
        | Code::PowConstantAcc
        | Code::PowAccSlot
        | Code::PowSlotAcc
        | Code::PowColumnColumn
        | Code::PowColumnConstant
        | Code::PowConstantColumn => {
            // `pow` is so slow that all its operands may go through memory.
            let (spare, constant) = (slot_at(job.program.n_slots()), slot_at(job.program.n_slots() + 1));
            for i in 0..T {
                unsafe { V::splat(instruction.constant).store(constant.add(i * V::LANES)) };
            }
            let (x, y) = match instruction.code {
                Code::PowColumnColumn => (column_at(a), column_at(b)),
                Code::PowColumnConstant => (column_at(a), constant.cast_const()),
                Code::PowConstantColumn => (constant.cast_const(), column_at(a)),
                Code::PowAccColumn => (spare.cast_const(), column_at(a)),
                Code::PowColumnAcc => (column_at(a), spare.cast_const()),
                Code::PowAccConstant => (spare.cast_const(), constant.cast_const()),
                Code::PowConstantAcc => (constant.cast_const(), spare.cast_const()),
                Code::PowAccSlot => (spare.cast_const(), slot_at(a).cast_const()),
                _ => (slot_at(a).cast_const(), spare.cast_const()),
            };
            // Stores the accumulator if the next line would overwrite it.
            spill!();
            store!(spare);
            unsafe { V::block(Op::Pow, job.program.semantics(), x, y, spare, T) };
            each!(i: unsafe { V::load(spare.add(i * V::LANES)) });
        }
    }
}

/// Passes a tile's predictions, those of the rows before `to`, to the sink.
///
/// # Safety
/// The conditions are those of [`tiles`].
#[inline(always)]
pub(crate) unsafe fn finish<V: Vector, const T: usize>(
    acc: [V; T],
    row: usize,
    to: usize,
    sink: &mut Sink<'_, V::Element>,
) {
    // Whether all rows of vector `i` are there.
    let whole = |i: usize| row + (i + 1) * V::LANES <= to;
    // These are macros, because a closure over vectors may become a function of its own, compiled for the baseline.
    macro_rules! load {
        ($from:expr, $i:expr) => {{
            let first = row + $i * V::LANES;
            if whole($i) {
                // SAFETY: the rows are there.
                unsafe { V::load($from.as_ptr().add(first)) }
            } else {
                V::load_first($from[..to].get(first..).unwrap_or(&[]))
            }
        }};
    }
    match sink {
        Sink::Store(out) => {
            for i in 0..T {
                let first = row + i * V::LANES;
                if whole(i) {
                    // SAFETY: the rows are there.
                    unsafe { acc[i].store(out.as_mut_ptr().add(first)) };
                } else {
                    acc[i].store_first(out[..to].get_mut(first..).unwrap_or(&mut []));
                }
            }
        }
        Sink::Sum(loss, sums) => {
            let zero = V::splat(V::Element::ZERO);
            let mut count = 0;
            macro_rules! valid {
                ($i:expr, $limit:expr) => {{
                    let valid = acc[$i].abs().lt(V::splat($limit));
                    let rows = to.saturating_sub(row + $i * V::LANES);
                    let valid = if whole($i) { valid } else { valid.and(V::Mask::first(rows)) };
                    count += valid.count();
                    valid
                }};
            }
            match *loss {
                Loss::Squares { y, limit } => {
                    let mut squares = sums.load::<V>(0);
                    for i in 0..T {
                        let mask = valid!(i, limit);
                        let error = acc[i].sub(load!(y, i));
                        squares = squares.add(V::select(mask, error.mul(error), zero));
                    }
                    sums.store(0, squares);
                }
                Loss::WeightedSquares { y, w, limit } => {
                    let (mut squares, mut weights) = (sums.load::<V>(0), sums.load::<V>(1));
                    for i in 0..T {
                        let mask = valid!(i, limit);
                        let (error, w) = (acc[i].sub(load!(y, i)), load!(w, i));
                        squares = squares.add(V::select(mask, w.mul(error.mul(error)), zero));
                        weights = weights.add(V::select(mask, w, zero));
                    }
                    sums.store(0, squares);
                    sums.store(1, weights);
                }
                Loss::ScaledSquares { y, w: None, scale } => {
                    let mut squares = sums.load::<V>(0);
                    for i in 0..T {
                        let mask = valid!(i, V::Element::INFINITY);
                        let error = acc[i].sub(load!(y, i)).mul(V::splat(scale));
                        squares = squares.add(V::select(mask, error.mul(error), zero));
                    }
                    sums.store(0, squares);
                }
                Loss::ScaledSquares { y, w: Some(w), scale } => {
                    let mut squares = sums.load::<V>(0);
                    for i in 0..T {
                        let (target, w) = (load!(y, i), load!(w, i));
                        // A row of weight 0 counts as predicted exactly.
                        let prediction = V::select(zero.lt(w), acc[i], target);
                        let valid = prediction.abs().lt(V::splat(V::Element::INFINITY));
                        let rows = to.saturating_sub(row + i * V::LANES);
                        let valid = if whole(i) { valid } else { valid.and(V::Mask::first(rows)) };
                        count += valid.count();
                        let error = prediction.sub(target).mul(V::splat(scale));
                        squares = squares.add(V::select(valid, w.mul(error.mul(error)), zero));
                    }
                    sums.store(0, squares);
                }
                Loss::Moments { y, limit, p_pivot, y_pivot } => {
                    let mut totals = [zero; 5];
                    for (index, total) in totals.iter_mut().enumerate() {
                        *total = sums.load(index);
                    }
                    for i in 0..T {
                        let mask = valid!(i, limit);
                        let p = V::select(mask, acc[i].sub(V::splat(p_pivot)), zero);
                        let y = V::select(mask, load!(y, i).sub(V::splat(y_pivot)), zero);
                        let values = [p, y, p.mul(p), p.mul(y), y.mul(y)];
                        for index in 0..5 {
                            totals[index] = totals[index].add(values[index]);
                        }
                    }
                    for (index, total) in totals.into_iter().enumerate() {
                        sums.store(index, total);
                    }
                }
            }
            sums.count += count;
        }
    }
}

/// Computes one operator over `n` vectors: `out[i] = op(a[i], b[i])`. `out` may be `a` or `b`.
///
/// # Safety
/// It has to be inlined into code compiled for the level of `V`, on a machine that has it. `a`, `b` and `out` have to
/// hold `n` vectors.
#[inline(always)]
unsafe fn operator_block<V: Vector>(
    op: Op,
    semantics: Semantics,
    a: *const V::Element,
    b: *const V::Element,
    out: *mut V::Element,
    n: usize,
) {
    macro_rules! each {
        ($op:ident $semantics:ident) => {
            for i in 0..n {
                // SAFETY: the caller's promise.
                unsafe {
                    let (x, y) = (V::load(a.add(i * V::LANES)), V::load(b.add(i * V::LANES)));
                    operator(Op::$op, Semantics::$semantics, x, y).store(out.add(i * V::LANES));
                }
            }
        };
    }
    // Each arm fixes operator and semantics, so that its loop has neither in it.
    macro_rules! arms {
        ($($guarded:ident)*; $($plain:ident)*) => {
            match (op, semantics) {
                $((Op::$guarded, Semantics::Protected) => each!($guarded Protected),)*
                $((Op::$guarded, Semantics::Ieee) => each!($guarded Ieee),)*
                $((Op::$plain, _) => each!($plain Ieee),)*
            }
        };
    }
    arms!(Div Exp Log Sqrt Tan Inv; Add Sub Mul Pow Neg Abs Sin Cos Pow2 Pow3 Tanh Asin Acos Atan)
}

/// Compiles the kernels for one level and implements [`Kernel`] for its vectors.
macro_rules! level {
    ($level:ident $tiles:ident $block:ident $double:ty, $single:ty: $($size:literal)*) => {
        for_level! { $level:
            unsafe fn $tiles<V: Kernel, const T: usize>(
                job: &Job<'_, V::Element>,
                row: usize,
                n: usize,
                sink: &mut Sink<'_, V::Element>,
            ) {
                // SAFETY: the caller's promise.
                unsafe { tiles::<V, T>(job, row, n, sink) }
            }
        }
        for_level! { $level:
            unsafe fn $block<V: Vector>(
                op: Op,
                semantics: Semantics,
                a: *const V::Element,
                b: *const V::Element,
                out: *mut V::Element,
                n: usize,
            ) {
                // SAFETY: the caller's promise.
                unsafe { operator_block::<V>(op, semantics, a, b, out, n) }
            }
        }
        level!(@ $tiles $block $double: $($size)*);
        level!(@ $tiles $block $single: $($size)*);
    };
    (@ $tiles:ident $block:ident $vector:ty: $($size:literal)*) => {
        impl Kernel for $vector {
            unsafe fn tiles(
                size: usize,
                job: &Job<'_, Self::Element>,
                row: usize,
                n: usize,
                sink: &mut Sink<'_, Self::Element>,
            ) {
                match size {
                    // SAFETY: the caller's promise.
                    $($size => unsafe { $tiles::<Self, $size>(job, row, n, sink) },)*
                    _ => unreachable!("tiles of {size} vectors"),
                }
            }
            unsafe fn block(
                op: Op,
                semantics: Semantics,
                a: *const Self::Element,
                b: *const Self::Element,
                out: *mut Self::Element,
                n: usize,
            ) {
                // SAFETY: the caller's promise.
                unsafe { $block::<Self>(op, semantics, a, b, out, n) }
            }
        }
    };
}

level!(portable portable_tiles portable_block simd::PortableF64, simd::PortableF32: 1 2);
#[cfg(target_arch = "x86_64")]
level!(avx2 avx2_tiles avx2_block simd::Avx2F64, simd::Avx2F32: 1 2 3 4 5 6 7);
#[cfg(target_arch = "x86_64")]
level!(avx512 avx512_tiles avx512_block simd::Avx512F64, simd::Avx512F32: 1 2 3 4 5 6 7 8 10 12 14 16);

/// Types of numbers that have kernels.
pub trait Run: Sized {
    /// Whether this is `f64`.
    const IS_DOUBLE: bool;
    /// Runs a job's rows at a level.
    ///
    /// # Safety
    /// The level has to be available; the other conditions are those of [`tiles`].
    unsafe fn run(level: Level, job: &Job<'_, Self>, from: usize, sink: &mut Sink<'_, Self>);
    /// Computes one operator over `n` times sixteen elements at a level.
    ///
    /// # Safety
    /// The level has to be available; the other conditions are those of [`operator_block`].
    unsafe fn block(
        level: Level,
        op: Op,
        semantics: Semantics,
        a: *const Self,
        b: *const Self,
        out: *mut Self,
        n: usize,
    );
}

macro_rules! runs {
    ($element:ty, $double:literal: $portable:ty, $avx2:ty, $avx512:ty) => {
        impl Run for $element {
            const IS_DOUBLE: bool = $double;
            unsafe fn run(level: Level, job: &Job<'_, Self>, from: usize, sink: &mut Sink<'_, Self>) {
                // SAFETY: the caller's promise.
                unsafe {
                    at_level!(
                        level,
                        portable => rows::<$portable>(job, from, sink),
                        avx2 => rows::<$avx2>(job, from, sink),
                        avx512 => rows::<$avx512>(job, from, sink),
                    )
                }
            }
            unsafe fn block(
                level: Level,
                op: Op,
                semantics: Semantics,
                a: *const Self,
                b: *const Self,
                out: *mut Self,
                n: usize,
            ) {
                let n = n * 16 / <$portable as Vector>::LANES;
                // SAFETY: the caller's promise.
                unsafe {
                    at_level!(
                        level,
                        portable => <$portable>::block(op, semantics, a, b, out, n),
                        avx2 => <$avx2>::block(op, semantics, a, b, out, n),
                        avx512 => <$avx512>::block(op, semantics, a, b, out, n),
                    )
                }
            }
        }
    };
}
runs!(f64, true: simd::PortableF64, simd::Avx2F64, simd::Avx512F64);
runs!(f32, false: simd::PortableF32, simd::Avx2F32, simd::Avx512F32);
