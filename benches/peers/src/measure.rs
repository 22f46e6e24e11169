//! Timing of the evaluation of trees.

use std::hint::black_box;
use std::time::{Duration, Instant};

use sr_expr::{Columns, Expr, Level, Loss, Machine, Program, Real, Semantics};

use crate::check::{Checked, check};
use crate::data;

/// The least time of a sample.
const SAMPLE: Duration = Duration::from_millis(100);

/// A timed case of evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    /// Every tree is evaluated once from its stored nodes, with the sum of squares.
    Stored,
    /// Programs compiled before, without a loss.
    Compiled,
    /// [`Case::Stored`] in double precision.
    StoredF64,
    /// [`Case::Compiled`] in double precision.
    CompiledF64,
}

impl Case {
    /// All cases.
    pub const ALL: [Case; 4] = [Case::Stored, Case::Compiled, Case::StoredF64, Case::CompiledF64];

    /// Returns the name in JSON and tables.
    pub fn name(self) -> &'static str {
        match self {
            Case::Stored => "stored",
            Case::Compiled => "compiled",
            Case::StoredF64 => "stored-f64",
            Case::CompiledF64 => "compiled-f64",
        }
    }

    /// Returns the name of the kind of number.
    pub fn kind(self) -> &'static str {
        if self.is_double() { f64::NAME } else { f32::NAME }
    }

    /// Returns whether the case is in double precision.
    pub fn is_double(self) -> bool {
        matches!(self, Case::StoredF64 | Case::CompiledF64)
    }
}

/// Takes one sample and returns work per second: node·rows, children or whatever `work` counts for a pass. An untimed
/// pass comes first, to warm up and to find how many passes make a sample. The drivers of the peers do the same.
pub fn sample(work: f64, mut pass: impl FnMut()) -> f64 {
    let started = Instant::now();
    pass();
    let passes = (SAMPLE.as_secs_f64() / started.elapsed().as_secs_f64()).ceil().clamp(1.0, 1e5) as u32;
    let started = Instant::now();
    (0..passes).for_each(|_| pass());
    work * f64::from(passes) / started.elapsed().as_secs_f64()
}

/// Trees with data of some number of rows, in both kinds of number.
#[derive(Debug)]
pub struct Workload<'a> {
    trees: &'a [Expr],
    single: Typed<f32>,
    double: Typed<f64>,
}

#[derive(Debug)]
struct Typed<T> {
    x: Columns<T>,
    y: Vec<T>,
    machine: Machine<T>,
    programs: Vec<Program<T>>,
    out: Vec<T>,
}

impl<'a> Workload<'a> {
    /// Generates the data and compiles the trees.
    ///
    /// # Panics
    /// If this computer does not support the level.
    pub fn new(trees: &'a [Expr], rows: usize, level: Level) -> Self {
        let (x, y) = data::evaluation(rows);
        Workload { trees, single: Typed::new(trees, &x, &y, level), double: Typed::new(trees, &x, &y, level) }
    }

    /// Checks every result of the cases in single or in double precision.
    pub fn check(&self, double: bool) -> Checked {
        if double { self.double.check(self.trees) } else { self.single.check(self.trees) }
    }

    /// Takes one sample and returns node·rows per second.
    pub fn sample(&mut self, case: Case) -> f64 {
        match case {
            Case::Stored => self.single.stored(self.trees),
            Case::Compiled => self.single.compiled(self.trees),
            Case::StoredF64 => self.double.stored(self.trees),
            Case::CompiledF64 => self.double.compiled(self.trees),
        }
    }
}

impl<T: Real> Typed<T> {
    fn new(trees: &[Expr], x: &Columns, y: &[f64], level: Level) -> Self {
        Typed {
            x: x.convert(),
            y: y.iter().map(|&y| T::from_f64(y)).collect(),
            machine: Machine::with_level(level),
            programs: trees.iter().map(|tree| Program::new(tree, Semantics::Ieee, x.n_columns())).collect(),
            out: Vec::new(),
        }
    }

    fn check(&self, trees: &[Expr]) -> Checked {
        check(trees, &self.x, &self.y, &self.machine)
    }

    fn work(&self, trees: &[Expr]) -> f64 {
        (trees.iter().map(|tree| tree.size()).sum::<usize>() * self.x.n_rows()) as f64
    }

    fn stored(&mut self, trees: &[Expr]) -> f64 {
        let work = self.work(trees);
        let Typed { x, y, machine, .. } = self;
        let loss = Loss::Squares { y, limit: T::from_f64(f64::INFINITY) };
        sample(work, || {
            for tree in trees {
                black_box(machine.sum(tree, x, Semantics::Ieee, loss));
            }
        })
    }

    fn compiled(&mut self, trees: &[Expr]) -> f64 {
        let work = self.work(trees);
        let Typed { x, machine, programs, out, .. } = self;
        sample(work, || {
            for program in programs.iter() {
                machine.predict_compiled(program, x, out);
                black_box(out.last());
            }
        })
    }
}
