//! Measures how many expressions are enumerated in a second, stored and on the fly, for a target that none of them is.
//!
//! ```text
//! cargo run --release -p sr-enumerate --example speed -- [threads] [MiB]
//! ```

#![allow(clippy::print_stdout)]

use std::time::Instant;

use sr_enumerate::{Data, Options, Stages, count_distinct, search};
use sr_expr::hash::mix;
use sr_expr::{Columns, Op};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize, default| arguments.get(index).and_then(|text| text.parse().ok()).unwrap_or(default);
    let (threads, mebibytes) = (number(0, 1), number(1, 256));
    let random = |seed: usize, row: usize| 0.5 + (mix(seed as u64, row as u64) >> 11) as f64 / (1_u64 << 52) as f64;
    let all = [Op::Add, Op::Sub, Op::Mul, Op::Div, Op::Pow2, Op::Sqrt, Op::Exp, Op::Log, Op::Sin, Op::Cos];
    for (name, operators) in [("arithmetic", &all[..4]), ("arithmetic and six functions", &all[..])] {
        for n in [1, 2, 3, 5] {
            let x = Columns::from_fn(200, n, random);
            let y: Vec<f64> = (0..200).map(|row| random(100, row)).collect();
            let stages = |enumeration: bool| Stages { affine: !enumeration, enumeration, ..Stages::NONE };
            let run = |enumeration: bool, max_work: u64| {
                let options = Options {
                    operators: operators.to_vec(),
                    max_work,
                    memory: mebibytes << 20,
                    threads,
                    stages: stages(enumeration),
                    max_cost: 30,
                    ..Options::default()
                };
                let start = Instant::now();
                let outcome = search(Data { x: &x, y: &y, weights: None }, &options, &|| false).expect("usable data");
                (outcome, start.elapsed().as_secs_f64())
            };
            // The bank alone, with its affine laws, and then the same with sizes on the fly behind it.
            let (bank, seconds) = run(false, u64::MAX);
            let (all, more) = run(true, bank.work + 2_000_000_000);
            for stored in [false, true] {
                let options = Options { operators: operators.to_vec(), threads, max_cost: 30, ..Options::default() };
                let start = Instant::now();
                let data = Data { x: &x, y: &y, weights: None };
                let counted = count_distinct(data, &options, bank.columns, stored).expect("usable data");
                let seconds = start.elapsed().as_secs_f64();
                println!(
                    "{:.2e} computed/s, {:.2e} distinct/s{}",
                    counted.computed as f64 / seconds,
                    counted.distinct as f64 / seconds,
                    if stored { ", all columns stored" } else { "" },
                );
            }
            let (stored, computed) = (bank.columns as f64, bank.enumerated as f64);
            let on_the_fly = (all.enumerated - bank.enumerated.min(all.enumerated)) as f64;
            println!(
                "{name}, {n} variables: bank of {stored:.2e} distinct of {computed:.2e} (cost {}) in {seconds:.2} s, \
                 {:.2e} distinct/s; with {on_the_fly:.2e} on the fly {more:.2} s",
                bank.complete_cost,
                stored / seconds,
            );
        }
    }
}
