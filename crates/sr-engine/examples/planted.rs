//! Counts how often planted constants are found, by the fitter and by the plain method of its tests:
//! `cargo run --release -p sr-engine --example planted`

#![allow(clippy::print_stdout)] // a program

#[path = "../tests/constants/planted.rs"]
mod planted;
#[path = "../tests/constants/reference.rs"]
mod reference;

use sr_engine::ConstantFitter;
use sr_engine::random::{Key, Purpose};
use sr_expr::Semantics;

/// The error below which constants count as found.
const FOUND: f64 = 1e-20;

fn main() {
    let mut fitter = ConstantFitter::new();
    println!("| start away by | steps | found | plain method | with 8 restarts | passes over the rows |");
    println!("|---|---|---|---|---|---|");
    for away in [0.1, 0.3, 1.0] {
        let problems = planted::planted(1, 1_000, 60, away);
        for steps in [4, 10, 50] {
            let (mut found, mut plain, mut restarted, mut passes) = (0, 0, 0, 0);
            for (problem, slot) in problems.iter().zip(0..) {
                let (start, data) = (&problem.start, &problem.instance);
                let fitted = fitter.fit(start, data, Semantics::Ieee, steps);
                found += u32::from(fitted.error < FOUND);
                passes += fitted.work / (start.size() * data.y().len()) as u64;
                let key = Key::new(1, Purpose::Constants, 0).slot(slot);
                let fitted = fitter.fit_restarts(start, data, Semantics::Ieee, steps, 8, key);
                restarted += u32::from(fitted.error < FOUND);
                let by_reference = reference::fit(start, data, Semantics::Ieee, steps);
                plain += u32::from(data.fit(&by_reference, Semantics::Ieee).relative < FOUND);
            }
            let share = |count: u32| format!("{:.1} %", 100.0 * f64::from(count) / problems.len() as f64);
            let passes = passes as f64 / problems.len() as f64;
            let [found, plain, restarted] = [found, plain, restarted].map(share);
            println!("| {away} | {steps} | {found} | {plain} | {restarted} | {passes:.1} |");
        }
    }
}
