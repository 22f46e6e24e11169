//! Formulas to begin with.

use anyhow::{Context, bail, ensure};
use sr_engine::random::{Key, Purpose};
use sr_engine::{ConstantFitter, Instance, PrimitiveSet};
use sr_expr::{Columns, Expr, Formula, Node, Op, Semantics, Tree};

use super::rows::Rows;
use super::snap::with_constants;
use super::{FitOptions, LAST_STEPS};

/// Further points from which the constants of a guess are fitted.
const RESTARTS: u32 = 8;
/// Whole numbers of a guess up to this magnitude are part of its form.
const MOST_OF_FORM: f64 = 10.0;
/// The largest numerator of an exponent in halves that other operators express.
const MOST_HALVES: i32 = 24;

/// Reads a formula to begin with, in which `names[i]` may stand for the variable `xi`.
///
/// `x^2`, `x**2`, `pow(x, 2)`, `pow2(x)` and `square(x)` mean the same. Powers with whole and half exponents are written
/// with `pow2`, `pow3`, `sqrt` and `inv` where `pow` is not among the operators.
///
/// # Errors
/// If the text is no formula, or has a name that is neither a column nor an operator of the search.
pub fn parse_guess(text: &str, names: &[String], operators: &[Op]) -> anyhow::Result<Expr> {
    let formula = Formula::parse(text, names).map_err(|error| {
        let columns = listed(names);
        let is_name = error.message.starts_with("unknown ");
        let hint = if is_name { format!("; the columns are {columns}") } else { String::new() };
        anyhow::anyhow!("{error}{hint}")
    })?;
    ensure!(
        formula.semantics != Some(Semantics::Protected),
        "guarded operators (plog, pdiv, …) have no place here, only plain ones"
    );
    let expr = formula.expr;
    if let Some(index) = (0..expr.n_variables()).rev().find(|&index| index >= names.len()) {
        bail!("x{index} is no column; there are {}, x0 to x{}: {}", names.len(), names.len() - 1, listed(names));
    }
    let expr = in_operators(&expr, operators);
    if let Some(op) = expr.nodes().iter().find_map(|node| match node {
        Node::Op(op) if !operators.contains(op) => Some(op),
        _ => None,
    }) {
        let known: Vec<&str> = operators.iter().map(|op| op.name()).collect();
        bail!("operator {} is not among those of the search: {}", op.name(), known.join(" "));
    }
    Ok(expr)
}

/// The first names of a list.
fn listed(names: &[String]) -> String {
    const SHOWN: usize = 20;
    let mut text = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text += &format!(" and {} more", names.len() - SHOWN);
    }
    text
}

/// Writes powers with constant exponents by the operators that there are.
fn in_operators(tree: &Tree, operators: &[Op]) -> Expr {
    let mut done: Vec<Expr> = Vec::new();
    for node in tree.nodes() {
        let expr = match *node {
            Node::Op(op) if op.arity() == 1 => {
                let a = done.pop().expect("an operand");
                match op {
                    Op::Pow2 if !operators.contains(&op) && operators.contains(&Op::Pow) => {
                        Expr::binary(Op::Pow, &a, &Expr::constant(2.0))
                    }
                    Op::Pow3 if !operators.contains(&op) && operators.contains(&Op::Pow) => {
                        Expr::binary(Op::Pow, &a, &Expr::constant(3.0))
                    }
                    op => Expr::unary(op, &a),
                }
            }
            Node::Op(op) => {
                let (b, a) = (done.pop().expect("an operand"), done.pop().expect("an operand"));
                let exponent = match *b.nodes() {
                    [Node::Const(value)] if op == Op::Pow => Some(value),
                    _ => None,
                };
                let power = exponent.and_then(|exponent| power(&a, exponent, operators));
                power.unwrap_or_else(|| Expr::binary(op, &a, &b))
            }
            leaf => Expr::leaf(leaf),
        };
        done.push(expr);
    }
    done.pop().expect("a tree has a root")
}

/// Returns a to the power of `exponent` by `pow2`, `pow3`, `sqrt` and `inv`, if these are there and express it.
fn power(a: &Expr, exponent: f64, operators: &[Op]) -> Option<Expr> {
    let halves = 2.0 * exponent;
    if halves.fract() != 0.0 || halves == 0.0 || halves.abs() > f64::from(MOST_HALVES) {
        return None;
    }
    let mut ops: Vec<Op> = Vec::new();
    let halves = halves as i32;
    let mut rest = halves.abs();
    if rest % 2 == 0 {
        rest /= 2;
    } else {
        ops.push(Op::Sqrt);
    }
    for (factor, op) in [(3, Op::Pow3), (2, Op::Pow2)] {
        while rest % factor == 0 {
            ops.push(op);
            rest /= factor;
        }
    }
    if halves < 0 {
        ops.push(Op::Inv);
    }
    (rest == 1 && ops.iter().all(|op| operators.contains(op)))
        .then(|| ops.iter().fold(a.clone(), |a, &op| Expr::unary(op, &a)))
}

/// Returns the guesses with constants that are fitted to the training rows, and their errors.
///
/// Small whole numbers, such as the 1 of `500*(1 - exp(-0.1*x))`, are part of the form and stay, if there are other
/// constants. A guess without a value on some row is left to evolution.
pub(super) fn fitted(guesses: &[Expr], rows: &Rows, options: &FitOptions) -> anyhow::Result<Vec<(Expr, f64)>> {
    let (training, mut fitter) = (rows.training(), ConstantFitter::new());
    let mut all = Vec::new();
    for (index, guess) in guesses.iter().enumerate() {
        let (number, size) = (index + 1, guess.size());
        let most = options.max_size;
        ensure!(size <= most, "guess {number} has {size} nodes, more than the {most} of the largest formulas");
        ensure!(guess.n_variables() <= rows.n_variables(), "guess {number} has more variables than the table");
        let key = Key::new(options.seed, Purpose::Constants, index as u64);
        let mut fit = |guess: &Tree, rows: &Instance| {
            fitter.fit_restarts(guess, rows, Semantics::Ieee, 4 * LAST_STEPS, RESTARTS, key).tree.to_owned()
        };
        let form: Vec<(usize, f64)> = (0..size)
            .filter_map(|node| match guess.nodes()[node] {
                Node::Const(value) if value.fract() == 0.0 && value.abs() <= MOST_OF_FORM => Some((node, value)),
                _ => None,
            })
            .collect();
        let expr = match form.len() {
            0 => fit(guess, training),
            n if n == guess.constants().count() => fit(guess, training),
            _ => fit_others(guess, &form, training, &mut fit)?,
        };
        let error = training.fit(&expr, Semantics::Ieee).relative;
        if error.is_finite() {
            all.push((expr, error));
        }
    }
    Ok(all)
}

/// Fits the constants of a formula to the instance but for those of `form`.
fn fit_others(
    guess: &Expr,
    form: &[(usize, f64)],
    instance: &Instance,
    fit: &mut dyn FnMut(&Tree, &Instance) -> Expr,
) -> anyhow::Result<Expr> {
    // The others are columns of their own for the time being, so that the fitter takes them as they are.
    let (x, n_columns) = (instance.x(), instance.x().n_columns());
    let n_variables = u16::try_from(n_columns + form.len()).context("there are too many columns for this guess")?;
    let columns = Columns::from_fn(x.n_rows(), n_variables.into(), |row, column| match column.checked_sub(n_columns) {
        Some(fixed) => form[fixed].1,
        None => x.column(column)[row],
    });
    let primitives = PrimitiveSet::new(instance.primitives().ops().to_vec(), vec![1.0], n_variables)?;
    let mut wider = Instance::new(instance.id(), columns, instance.y().to_vec(), primitives)?;
    if let Some(weights) = instance.weights() {
        wider = wider.with_weights(weights.to_vec())?;
    }
    let mut nodes = guess.nodes().to_vec();
    for (column, &(node, _)) in (n_columns..).zip(form) {
        nodes[node] = Node::Var(column as u16);
    }
    let fitted = fit(&Expr::new(nodes)?, &wider);
    Ok(with_constants(&fitted, form))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPERATORS: &[Op] = &[Op::Add, Op::Mul, Op::Sqrt, Op::Inv, Op::Pow2, Op::Pow3, Op::Log];

    fn names() -> Vec<String> {
        ["a", "b", "flow rate"].map(String::from).to_vec()
    }

    fn parsed(text: &str, operators: &[Op]) -> Result<String, String> {
        parse_guess(text, &names(), operators).map(|expr| expr.to_string()).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn a_power_has_one_meaning_in_all_its_spellings() {
        for text in ["a^2", "a**2", "pow(a, 2)", "pow2(a)", "square(a)", "x0^2.0", "x_0 pow 2"] {
            assert_eq!(parsed(text, OPERATORS).as_deref(), Ok("pow2(x0)"), "{text}");
            assert_eq!(parsed(text, &[Op::Pow]).as_deref(), Ok("(x0 ** 2.0)"), "{text}");
        }
        for (text, expected) in [
            ("b^1.5", "pow3(sqrt(x1))"),
            ("b^-2", "inv(pow2(x1))"),
            ("b^6", "pow2(pow3(x1))"),
            ("b^1", "x1"),
            ("`flow rate`*2.5", "(x2 * 2.5)"),
        ] {
            assert_eq!(parsed(text, OPERATORS).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_the_search_has_not_is_named() {
        for (text, expected) in [
            ("a*c", "unknown name 'c' at byte 2 of \"a*c\"; the columns are a, b, flow rate"),
            ("x_4*x_67", "x67 is no column; there are 3, x0 to x2: a, b, flow rate"),
            ("sin(a)", "operator sin is not among those of the search: + * sqrt inv pow2 pow3 log"),
            ("a^0.3", "operator pow is not among those of the search"),
            ("a^5", "operator pow is not among those of the search"),
            ("a +", "expected a number, a variable, a function or '(', found the end at byte 3"),
            ("plog(a)", "guarded operators"),
        ] {
            let error = parsed(text, OPERATORS).expect_err(text);
            assert!(error.contains(expected), "{error}");
        }
        for text in ["a^2", "a**2", "pow2(a)", "square(a)"] {
            assert!(
                parsed(text, &[Op::Add, Op::Mul]).expect_err(text).contains("is not among those of the search: + *")
            );
        }
    }
}
