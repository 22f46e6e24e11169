//! Round numbers in the place of constants that are as good as these.

use sr_engine::{ConstantFitter, Instance};
use sr_enumerate::snapped;
use sr_expr::{Expr, Node, Semantics, Tree};

use super::LAST_STEPS;

/// How much larger than before an error may be, beside what the data cannot tell from 0.
const AS_GOOD: f64 = 1.0 + 1e-6;
/// Errors above this, relative to the variance of y, are not of rounding.
const NOISE: f64 = 1e-10;
/// Constants are off by no more than this, relative to them, from what they are rounded to.
const NEAR: f64 = 1e-3;
/// The same for multiples of powers of π and of roots, of which there are many.
const TOO_NEAR_FOR_CHANCE: f64 = 1e-8;

/// A formula with round numbers.
pub(super) struct Rounded {
    pub(super) expr: Expr,
    /// On the instance, relative to the variance of y.
    pub(super) error: f64,
    /// The nodes of the constants that became round, and these.
    pub(super) fixed: Vec<(usize, f64)>,
}

/// Replaces constants by [round numbers](snapped), one after the other, where the error on the
/// instance stays as it is once the others are fitted again. Counts the work in node · rows. Returns `None` if it was not
/// to go on.
pub(super) fn rounded(
    fitter: &mut ConstantFitter,
    expr: &Expr,
    error: f64,
    instance: &Instance,
    go_on: &dyn Fn() -> bool,
    work: &mut u64,
) -> Option<Rounded> {
    let bound = (error * as_good(error, instance)).max(instance.tolerance().min(1e-20));
    let (mut expr, mut error) = (expr.clone(), error);
    let mut fixed: Vec<(usize, f64)> = Vec::new();
    let constants: Vec<usize> = (0..expr.size()).filter(|&node| matches!(expr.nodes()[node], Node::Const(_))).collect();
    for node in constants {
        let Node::Const(value) = expr.nodes()[node] else { continue };
        for round in [0.0].into_iter().chain(near(value)) {
            if !go_on() {
                return None;
            }
            let mut tried = fixed.clone();
            tried.push((node, round));
            let with = with_constants(&expr, &tried);
            // A term that matters is not made up for by the others.
            if round == 0.0 && value != 0.0 {
                *work += (with.size() * instance.y().len()) as u64;
                let without = instance.fit(&with, Semantics::Ieee).relative;
                if without.is_nan() || without > 100.0 * bound {
                    continue;
                }
            }
            // The others are fitted; those that are round stay.
            let fitted = fitter.fit(&with, instance, Semantics::Ieee, LAST_STEPS);
            *work += fitted.work + 2 * (with.size() * instance.y().len()) as u64;
            let refitted = with_constants(fitted.tree, &tried);
            let found = [with, refitted]
                .map(|expr| (instance.fit(&expr, Semantics::Ieee).relative, expr))
                .into_iter()
                .min_by(|a, b| a.0.total_cmp(&b.0))
                .expect("there are two");
            if found.0 <= bound {
                (error, expr) = found;
                fixed = tried;
                break;
            }
        }
    }
    Some(Rounded { expr, error, fixed })
}

/// How much larger an error may be after a constant has become round. Of noise it is what the constant's share of a
/// description is worth (½ ln rows; Rissanen, 1978), of rounding next to nothing.
pub(super) fn as_good(error: f64, instance: &Instance) -> f64 {
    let n_rows = instance.y().len() as f64;
    match error > NOISE {
        true => AS_GOOD.max((n_rows.ln() / n_rows).exp()),
        false => AS_GOOD,
    }
}

/// The tree with other constants at these nodes.
pub(super) fn with_constants(tree: &Tree, constants: &[(usize, f64)]) -> Expr {
    let mut nodes = tree.nodes().to_vec();
    for &(node, value) in constants {
        nodes[node] = Node::Const(value);
    }
    Expr::new(nodes).expect("the same nodes but for constants")
}

/// Round numbers near a value, the roundest first: whole numbers and fractions, and what else is too near for chance.
fn near(value: f64) -> Vec<f64> {
    [NEAR, TOO_NEAR_FOR_CHANCE].iter().flat_map(|&tolerance| snapped(value, tolerance)).collect()
}

#[cfg(test)]
mod tests {
    use sr_engine::PrimitiveSet;
    use sr_expr::{Columns, Op};

    use super::*;

    #[test]
    fn the_roundest_comes_first() {
        assert_eq!(near(2.0000001)[0], 2.0);
        assert_eq!(near(0.333_333)[0], 1.0 / 3.0);
        assert_eq!(near(9.424_777_961)[0], 3.0 * std::f64::consts::PI);
        assert!(near(0.123_456).is_empty());
    }

    #[test]
    fn constants_that_are_nearly_round_become_round_and_others_stay() {
        let x = Columns::from_fn(40, 1, |row, _| 0.1 + row as f64 / 7.0);
        let y = x.column(0).iter().map(|x| 2.0 * x + 0.123_456_789).collect();
        let primitives = PrimitiveSet::new(vec![Op::Add, Op::Mul], vec![1.0], 1).expect("primitives");
        let instance = Instance::new("line", x, y, primitives).expect("an instance");
        let expr: Expr = "1.9999999999999998*x0 + 0.1234567890000001".parse().expect("an expression");
        let error = instance.fit(&expr, Semantics::Ieee).relative;
        let mut work = 0;
        let Rounded { expr: found, error, fixed } =
            rounded(&mut ConstantFitter::new(), &expr, error, &instance, &|| true, &mut work).expect("it goes on");
        assert!(work > 0 && fixed.len() == 1);
        assert!(rounded(&mut ConstantFitter::new(), &expr, error, &instance, &|| false, &mut work).is_none());
        let constants: Vec<f64> = found.constants().collect();
        assert_eq!(constants[0], 2.0);
        assert!((constants[1] - 0.123_456_789).abs() < 1e-15 && error < 1e-28, "{found} {error}");
    }
}
