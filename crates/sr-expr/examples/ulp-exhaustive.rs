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
const CHUNK: u64 = 1 << 14;

/// The largest error of one function at one level.
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

/// `op` at every `stride`th bit pattern of either sign, one entry a level.
fn check(op: Op, levels: &[Level], stride: u64) -> Vec<Worst> {
    const SIGN: u64 = 1 << 31;
    let next = AtomicU64::new(0);
    let work = || {
        let mut worst = vec![Worst::default(); levels.len()];
        let (mut x, mut out, mut errors) = (Vec::new(), Vec::new(), Vec::new());
        loop {
            let start = next.fetch_add(1, Ordering::Relaxed) * CHUNK;
            let patterns = (start..start + CHUNK).map(|i| i * stride).take_while(|&bits| bits < SIGN);
            x.clear();
            x.extend(patterns.map(|bits| f32::from_bits(bits as u32)));
            if x.is_empty() {
                return worst;
            }
            let exact = with_negative(op, &mut x);
            errors.clear();
            errors.resize(x.len(), (f32::NAN, Some(0.0)));
            out.resize(x.len(), 0.0);
            for (&level, worst) in levels.iter().zip(&mut worst) {
                map(level, op, Semantics::Ieee, &x, &[], &mut out);
                for (i, &got) in out.iter().enumerate() {
                    // Most levels agree, and the last one's error is kept.
                    if got.to_bits() != errors[i].0.to_bits() || got.is_nan() {
                        errors[i] = (got, error_in_ulp(got, exact[i]));
                    }
                    match errors[i].1 {
                        Some(ulp) if ulp > worst.ulp => (worst.ulp, worst.at) = (ulp, x[i]),
                        Some(_) => {}
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

/// Adds to `x` its negative numbers, and returns the values of all. Those of odd and even functions are computed once:
/// in `f64` they are computed of the magnitude alone.
fn with_negative(op: Op, x: &mut Vec<f32>) -> Vec<f64> {
    let n = x.len();
    x.extend_from_within(..);
    x[n..].iter_mut().for_each(|x| *x = -*x);
    let wide: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
    let mut exact = vec![0.0; 2 * n];
    let evaluate = |x: &[f64], exact: &mut [f64]| map(Level::detect(), op, Semantics::Ieee, x, &[], exact);
    let (positive, negative) = exact.split_at_mut(n);
    evaluate(&wide[..n], positive);
    match op {
        Op::Cos => negative.copy_from_slice(positive),
        Op::Sin | Op::Tan | Op::Tanh | Op::Asin | Op::Atan => {
            negative.iter_mut().zip(positive).for_each(|(negative, positive)| *negative = -*positive);
        }
        _ => evaluate(&wide[n..], negative),
    }
    exact
}
