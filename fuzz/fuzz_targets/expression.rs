//! Formulas as people write them: what is read prints as a text that is read as the same, and everything that can be done
//! with an expression can be done with it.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use sr_expr::units::Unit;
use sr_expr::{Columns, Expr, Formula, Machine, Op, Semantics, Simplified, Target, reference};
use sr_fuzz::write_seeds;

/// Names of columns, some of which need backticks.
static NAMES: LazyLock<[String; 4]> = LazyLock::new(|| ["mass", "x1", "a+b", "θ`"].map(String::from));

/// The operators with which simplified trees are written: all, or few.
const WRITTEN_WITH: [&[Op]; 3] =
    [&Op::ALL, &[Op::Add, Op::Sub, Op::Mul], &[Op::Add, Op::Mul, Op::Div, Op::Pow, Op::Sin]];

/// An expression is written in at most so many bytes a node, names and numbers included, in any target.
const MOST_BYTES: usize = 1000;

fn seeds() -> Vec<Vec<u8>> {
    let suites = ["nguyen", "feynman", "keijzer"].map(|name| sr_problems::suite(name, 0).expect(name));
    let formulas = suites.iter().flat_map(|set| &set.problems).filter_map(|problem| problem.formula()).step_by(4);
    let more = [
        "-2^-x0**.5e-3 + (pi*e)",
        "plog(psqrt(pdiv(x0, x1)))",
        "((x_1 mul x_4) mul 3.14)",
        "mass*`a+b` - `θ```",
        "pow2(inv(pow3(1 + x0))) - max(x0, -inf)",
        "kg*m^2/s^(3/2)",
        "1/m",
    ];
    formulas.chain(more.map(String::from)).map(String::into_bytes).collect()
}

fuzz_target!(init: write_seeds(seeds), |input: &str| {
    if let Ok(unit) = input.parse::<Unit>() {
        let printed = unit.to_string();
        assert_eq!(printed.parse::<Unit>().as_ref(), Ok(&unit), "{printed}");
    }
    let names = if input.len() % 2 == 0 { &NAMES[..] } else { &[] };
    let Ok(Formula { expr, semantics }) = Formula::parse(input, names) else { return };
    let both = [Semantics::Ieee, Semantics::Protected];
    let of_formula = semantics.unwrap_or(Semantics::Ieee);

    let printed = expr.display(of_formula).with_names(names).to_string();
    let read = Formula::parse(&printed, names);
    assert_eq!(read, Ok(Formula { expr: expr.clone(), semantics }), "{printed}");
    assert_eq!(Expr::from_prefix(&expr.to_prefix()).as_ref(), Ok(&expr));
    assert_eq!(Expr::new(expr.nodes().to_vec()).as_ref(), Ok(&expr));
    assert!(expr.depth() < expr.size());
    let _ = (expr.skeleton(), expr.structure(), expr.core().size(), expr.hash64());

    // One of the targets each time, and a title now and then, as all would take most of the time. Functions have a parameter
    // for each column up to the last.
    let hash = expr.hash64() as usize;
    let targets = if expr.n_variables() <= 100 { &Target::ALL[..] } else { &[Target::Latex, Target::Sympy] };
    let (target, semantics) = (targets[hash % targets.len()], both[hash / 7 % 2]);
    let title = if hash / 14 % 4 == 0 { input } else { "" };
    let text = expr.export(target, semantics).with_names(names).with_title(title).to_string();
    assert!(text.len() <= MOST_BYTES * (expr.size() + names.len()) + 10 * title.len() + 5000, "{target}: {text}");
    for near in [0.0, 1e-7] {
        let Some(simplified) = Simplified::new(&expr, near) else { continue };
        let _ = (simplified.size(), simplified.n_constants());
        simplified.write(WRITTEN_WITH[expr.size() % WRITTEN_WITH.len()]);
    }

    // All evaluators give the same bits, NaN aside.
    let n_variables = expr.n_variables();
    if n_variables > 8 {
        return;
    }
    let x = Columns::from_fn(3, n_variables, |row, column| [-1.5, 0.0, 2.0][row] + column as f64);
    for semantics in both {
        let mut y = Vec::new();
        Machine::new().predict(&expr, &x, semantics, &mut y);
        for (row, y) in y.into_iter().enumerate() {
            let point: Vec<f64> = (0..n_variables).map(|column| [-1.5, 0.0, 2.0][row] + column as f64).collect();
            let expected = reference::eval_row(&expr, &point, semantics);
            assert!(y.to_bits() == expected.to_bits() || y.is_nan() && expected.is_nan(), "{y} and {expected}");
        }
    }
});
