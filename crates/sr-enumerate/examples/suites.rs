//! Runs the search on the problems of named suites and prints, per problem, whether it is solved, by which stage, in what
//! time and by which formula.
//!
//! ```text
//! cargo run --release -p sr-enumerate --example suites -- nguyen,livermore,feynman [rows] [work] [threads] [seed] [filter]
//! ```

#![allow(clippy::print_stdout)]

use std::time::Instant;

use sr_enumerate::{Data, EXACT, Options, search};
use sr_expr::{Columns, Semantics, predict};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number =
        |index: usize, default: f64| arguments.get(index).and_then(|text| text.parse().ok()).unwrap_or(default);
    let suites = arguments.first().map_or("nguyen,livermore,feynman", String::as_str);
    let (rows, work, threads) = (number(1, 200.0) as usize, number(2, 4e9) as u64, number(3, 1.0) as usize);
    let seed = number(4, 1.0) as u64;
    let filter = arguments.get(5).map_or("", String::as_str);
    for suite in suites.split(',') {
        let set = match sr_problems::suite(suite, seed) {
            Ok(set) => set,
            Err(error) => {
                println!("{error}");
                continue;
            }
        };
        let (mut n, mut n_exact, mut n_right, mut seconds) = (0, 0, 0, Vec::new());
        for problem in set.problems.iter().filter(|problem| problem.id.ends_with(filter)) {
            let kept = problem.y.len().min(rows);
            let x = Columns::from_fn(kept, problem.x.n_columns(), |row, column| problem.x.column(column)[row]);
            let options = Options {
                operators: problem.operators.clone(),
                constants: problem.constants.clone(),
                max_work: work,
                threads,
                ..Options::default()
            };
            let start = Instant::now();
            let outcome = search(Data { x: &x, y: &problem.y[..kept], weights: None }, &options, &|| false)
                .expect("problems of suites are finite");
            let time = start.elapsed().as_secs_f64();
            n += 1;
            let source = problem.source.as_ref().expect("suites have formulas");
            let (fresh, truth) = problem.fresh_points(1000, 0).expect("fresh points");
            let (mark, shown) = match outcome.exact() {
                Some(exact) => {
                    n_exact += 1;
                    seconds.push(time);
                    // Right on fresh points too, to 1e-9 of |y| as the tables of accuracy demand.
                    let predicted = predict(&exact.expr, &fresh, Semantics::Ieee);
                    let worst = predicted.iter().zip(&truth).map(|(p, y)| (p - y).abs() / y.abs().max(1e-300));
                    let is_right = worst.fold(0.0, f64::max) < 1e-9;
                    n_right += usize::from(is_right);
                    (if is_right { "exact" } else { "WRONG" }, Some(exact))
                }
                None => ("-", outcome.candidates.last()),
            };
            let Some(shown) = shown else { continue };
            println!(
                "{:<22} {mark:<6} {:<12} {time:>7.3} s  size {:>3} of {:>3}  error {:.1e}  bank {} (cost {}), {:.1e} enumerated, work {:.1e}  {}  [{source}]",
                problem.id,
                shown.stage.name(),
                shown.expr.size(),
                source.size(),
                shown.max_error,
                outcome.columns,
                outcome.complete_cost,
                outcome.enumerated as f64,
                outcome.work as f64,
                shown.expr,
            );
        }
        seconds.sort_by(f64::total_cmp);
        let median = seconds.get(seconds.len() / 2).copied().unwrap_or(f64::NAN);
        let slowest = seconds.last().copied().unwrap_or(f64::NAN);
        println!(
            "{suite}: {n_exact} of {n} exact to {EXACT:e}, {n_right} right on fresh points; median {median:.3} s, slowest {slowest:.3} s\n"
        );
    }
}
