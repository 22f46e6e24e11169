//! The error of every unary function in `f32`, for every argument there is, at every level of this machine.
//!
//! `just ulp-exhaustive`, or with an argument N, only every Nth bit pattern. The reference is the function in `f64`, which
//! has the bits of the `libm` crate (`tests/math.rs`) and takes a tenth of the time.
//! Exits 1 if a function is worse than `sr_expr::map::max_ulp` says, or wrong in a zero, an infinity or NaN.

#![allow(clippy::print_stdout)]

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use sr_expr::map::{error_in_ulp, map, max_ulp};
use sr_expr::{Level, Op, Semantics};

/// Arguments a thread takes at a time.
const CHUNK: u64 = 1 << 16;

/// What one function did at one level.
#[derive(Clone, Copy, Default)]
struct Worst {
    ulp: f32,
    at: f32,
    wrong: u64,
}

impl Worst {
    fn meet(&mut self, other: &Worst) {
        if other.ulp > self.ulp {
            (self.ulp, self.at) = (other.ulp, other.at);
        }
        self.wrong += other.wrong;
    }
}

fn main() -> ExitCode {
    let stride: u64 = std::env::args().nth(1).map_or(1, |n| n.parse().expect("a positive number of bit patterns"));
    let levels: Vec<Level> = Level::ALL.into_iter().filter(|level| level.is_available()).collect();
    let ops = [Op::Exp, Op::Log, Op::Sin, Op::Cos, Op::Tan, Op::Tanh, Op::Asin, Op::Acos, Op::Atan];
    println!("{:<8} {:<9} {:>9} {:>9}  {:<15} {:>5}", "function", "level", "max ulp", "stated", "at", "wrong");
    let mut kept = true;
    for op in ops {
        for (level, worst) in levels.iter().zip(check(op, &levels, stride)) {
            let Worst { ulp, at, wrong } = worst;
            println!("{:<8} {:<9} {ulp:>9.4} {:>9} {at:>16e} {wrong:>5}", op.name(), level.name(), max_ulp(op));
            kept &= ulp <= max_ulp(op) && wrong == 0;
        }
    }
    if kept { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// `op` at every `stride`th bit pattern, one entry a level.
fn check(op: Op, levels: &[Level], stride: u64) -> Vec<Worst> {
    let next = AtomicU64::new(0);
    let work = || {
        let mut worst = vec![Worst::default(); levels.len()];
        let (mut x, mut wide, mut exact, mut out) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        loop {
            let start = next.fetch_add(1, Ordering::Relaxed) * CHUNK;
            let patterns = (start..start + CHUNK).map(|i| i * stride).take_while(|&bits| bits <= u64::from(u32::MAX));
            x.clear();
            x.extend(patterns.map(|bits| f32::from_bits(bits as u32)));
            if x.is_empty() {
                return worst;
            }
            wide.clear();
            wide.extend(x.iter().map(|&x| f64::from(x)));
            exact.resize(x.len(), 0.0);
            map(Level::detect(), op, Semantics::Ieee, &wide, &[], &mut exact);
            out.resize(x.len(), 0.0);
            for (&level, worst) in levels.iter().zip(&mut worst) {
                map(level, op, Semantics::Ieee, &x, &[], &mut out);
                for ((&at, &got), &exact) in x.iter().zip(&out).zip(&exact) {
                    match error_in_ulp(got, exact) {
                        Some(ulp) => worst.meet(&Worst { ulp, at, wrong: 0 }),
                        None => worst.wrong += 1,
                    }
                }
            }
        }
    };
    let threads = thread::available_parallelism().map_or(1, |n| n.get());
    let mut all = vec![Worst::default(); levels.len()];
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            let part = worker.join().expect("a worker does not panic");
            all.iter_mut().zip(&part).for_each(|(all, part)| all.meet(part));
        }
    });
    all
}
