//! How many published laws are found within a small budget of work. The bounds are a little below what is found today.

use sr_enumerate::{Data, Options, Stages, search};
use sr_expr::{Columns, Semantics, predict};

/// Returns how many problems of a suite are found exactly, and checks that each of them is right on fresh points.
fn n_exact(suite: &str, rows: usize, options: &Options) -> usize {
    let set = sr_problems::suite(suite, 1).expect("a suite");
    let mut n = 0;
    for problem in &set.problems {
        let kept = problem.y.len().min(rows);
        let x = Columns::from_fn(kept, problem.x.n_columns(), |row, column| problem.x.column(column)[row]);
        let options =
            Options { operators: problem.operators.clone(), constants: problem.constants.clone(), ..options.clone() };
        let data = Data { x: &x, y: &problem.y[..kept], weights: None };
        let outcome = search(data, &options, &|| false).expect("problems of suites are finite");
        if let Some(exact) = outcome.exact() {
            n += 1;
            let (fresh, truth) = problem.fresh_points(1000, 0).expect("suites have formulas");
            let scale = (truth.iter().map(|y| y * y).sum::<f64>() / truth.len() as f64).sqrt();
            for (got, want) in predict(&exact.expr, &fresh, Semantics::Ieee).iter().zip(&truth) {
                let error = (got - want).abs() / want.abs().max(1e-3 * scale);
                assert!(error < 1e-9, "{}: {} is off by {error:e}", problem.id, exact.expr);
            }
        }
    }
    n
}

#[test]
fn small_suites_are_mostly_exact() {
    let options = Options { max_work: 300_000_000, ..Options::default() };
    assert!(n_exact("nguyen", 200, &options) >= 11);
    assert!(n_exact("livermore", 200, &options) >= 19);
}

#[test]
fn closed_forms_find_most_laws_of_physics() {
    let stages = Stages { monomials: true, polynomials: true, ..Stages::NONE };
    assert!(n_exact("feynman", 200, &Options { stages, ..Options::default() }) >= 70);
}
