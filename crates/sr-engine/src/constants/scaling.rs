//! Linear scaling of a whole tree: a + b f.

use sr_expr::{Node, Op, Tree};

use crate::Instance;
use crate::instance::power_of_two_near;

/// Returns the a and b for which a + b · `predictions` is nearest to the target in (weighted) least squares, in closed
/// form. Predictions that do not vary get b = 1.
///
/// Moments are of the deviations from the means, in units in which predictions and target are about 1: neither large
/// offsets nor extreme units cost accuracy. It is `None` if a prediction that counts, a or b is not finite.
pub(super) fn least_squares(predictions: &[f64], instance: &Instance) -> Option<[f64; 2]> {
    let weight = |row: usize| instance.weights().map_or(1.0, |weights| weights[row]);
    let counted = || (0..predictions.len()).filter(|&row| weight(row) > 0.0);
    let largest = counted().map(|row| predictions[row].abs()).fold(0.0, f64::max);
    let (p_unit, y_unit) = (power_of_two_near(largest).recip(), instance.target().unit);
    let point = |row: usize| [predictions[row] * p_unit, instance.y()[row] * y_unit];
    let (mut sum, mut sum_p, mut sum_y) = (0.0, 0.0, 0.0);
    for row in counted() {
        let (w, [p, y]) = (weight(row), point(row));
        (sum, sum_p, sum_y) = (sum + w, sum_p + w * p, sum_y + w * y);
    }
    let (mean_p, mean_y) = (sum_p / sum, sum_y / sum);
    let (mut square, mut product) = (0.0, 0.0);
    for row in counted() {
        let (w, [p, y]) = (weight(row), point(row));
        let (p, y) = (p - mean_p, y - mean_y);
        (square, product) = (square + w * p * p, product + w * p * y);
    }
    let varies = (square / sum).sqrt() > 4.0 * f64::EPSILON * largest * p_unit;
    let factor = if varies { product / square * p_unit / y_unit } else { 1.0 };
    let offset = mean_y / y_unit - factor * (mean_p / p_unit);
    (factor.is_finite() && offset.is_finite()).then_some([offset, factor])
}

/// Turns the nodes of a tree f into those of a + b f. Constants at the root are changed rather than more added: c·g + d
/// becomes (b c)·g + (a + b d). Neither a = 0 nor b = 1 adds anything.
pub(super) fn write([a, b]: [f64; 2], nodes: &mut Vec<Node>) {
    let last = nodes.len() - 1;
    let (constant, to) = match constant_operand(nodes, 0, last, Op::Add) {
        // The other operand ends before the constant or before the operator.
        Some(constant) if constant == last - 1 => (Some(constant), last - 2),
        Some(constant) => (Some(constant), last - 1),
        None => (None, last),
    };
    let from = if constant == Some(0) { 1 } else { 0 };
    if let Some(constant) = constant {
        change(&mut nodes[constant], |value| a + b * value);
    }
    match constant_operand(nodes, from, to, Op::Mul) {
        Some(factor) => change(&mut nodes[factor], |value| b * value),
        None if b != 1.0 => drop(nodes.splice(to + 1..to + 1, [Node::Const(b), Node::Op(Op::Mul)])),
        None => {}
    }
    if constant.is_none() && a != 0.0 {
        nodes.extend([Node::Const(a), Node::Op(Op::Add)]);
    }
}

/// Returns the operand that is a constant of the subtree `from..=root`, if its operator is `op` and it has one; of two
/// the right one.
fn constant_operand(nodes: &[Node], from: usize, root: usize, op: Op) -> Option<usize> {
    if nodes[root] != Node::Op(op) {
        return None;
    }
    let is_constant = |node: usize| matches!(nodes[node], Node::Const(_));
    if is_constant(root - 1) {
        return Some(root - 1);
    }
    let subtree = Tree::new(&nodes[from..=root]).expect("a subtree");
    (is_constant(from) && subtree.subtree_start(root - 1 - from) == 1).then_some(from)
}

fn change(node: &mut Node, new: impl Fn(f64) -> f64) {
    if let Node::Const(value) = node {
        *value = new(*value);
    }
}

#[cfg(test)]
mod tests {
    use sr_expr::{Columns, Expr};

    use super::*;
    use crate::PrimitiveSet;

    fn instance(y: &[f64]) -> Instance {
        let primitives = PrimitiveSet::new(vec![Op::Add], vec![], 1).expect("primitives");
        Instance::new("t", Columns::new(y.len(), 1, vec![0.0; y.len()]), y.to_vec(), primitives).expect("an instance")
    }

    #[test]
    fn moments_are_right_at_any_offset_and_unit() {
        for [unit, offset] in [[1.0, 0.0], [1.0, 1e8], [1e-200, 1e-200], [1e250, -1e250], [1e-7, 1e-4]] {
            let p = [1.0, 2.0, 4.0, 8.0].map(|p| p * unit + offset);
            let [a, b] = least_squares(&p, &instance(&[5.0, 7.0, 11.0, 19.0])).expect("finite");
            for (p, y) in p.iter().zip([5.0, 7.0, 11.0, 19.0]) {
                let rounding = 1e-15 * (1.0 + (b * p).abs());
                assert!((a + b * p - y).abs() <= 8.0 * rounding, "{a} + {b} * {p} is not {y}");
            }
        }
        assert_eq!(least_squares(&[3.0; 3], &instance(&[1.0, 2.0, 3.0])), Some([-1.0, 1.0]));
        assert_eq!(least_squares(&[f64::NAN, 1.0], &instance(&[1.0, 2.0])), None);
        assert_eq!(least_squares(&[f64::INFINITY, 1.0], &instance(&[1.0, 2.0])), None);
        assert_eq!(least_squares(&[5e-324, 0.0], &instance(&[0.0, 1e300])), None, "the factor is beyond the numbers");
    }

    #[test]
    fn rows_of_weight_zero_do_not_count() {
        let weighted = instance(&[1.0, 5.0, 9.0]).with_weights(vec![2.0, 0.0, 1.0]).expect("weights");
        assert_eq!(least_squares(&[0.0, f64::NAN, 2.0], &weighted), Some([1.0, 4.0]));
    }

    #[test]
    fn constants_at_the_root_are_used() {
        let scaled = |text: &str, [a, b]: [f64; 2]| {
            let mut nodes = text.parse::<Expr>().expect(text).into_nodes();
            write([a, b], &mut nodes);
            Expr::new(nodes).expect("a tree").to_string()
        };
        assert_eq!(scaled("x0", [3.0, 2.0]), "((x0 * 2.0) + 3.0)");
        assert_eq!(scaled("sin(x0*x1)", [3.0, 1.0]), "(sin((x0 * x1)) + 3.0)");
        assert_eq!(scaled("x0 + x1", [0.0, 2.0]), "((x0 + x1) * 2.0)");
        assert_eq!(scaled("5.0*x0", [3.0, 2.0]), "((10.0 * x0) + 3.0)");
        assert_eq!(scaled("x0 * 5.0", [3.0, 2.0]), "((x0 * 10.0) + 3.0)");
        assert_eq!(scaled("5.0*x0 + 1.0", [3.0, 2.0]), "((10.0 * x0) + 5.0)");
        assert_eq!(scaled("1.0 + x0*5.0", [3.0, 2.0]), "(5.0 + (x0 * 10.0))");
        assert_eq!(scaled("1.0 + (x0 - x1)", [3.0, 2.0]), "(5.0 + ((x0 - x1) * 2.0))");
        assert_eq!(scaled("(x0 - x1) + 1.0", [3.0, 2.0]), "(((x0 - x1) * 2.0) + 5.0)");
        assert_eq!(scaled("1.5", [3.0, 2.0]), "((1.5 * 2.0) + 3.0)");
        assert_eq!(scaled("1.5 + 2.5", [3.0, 2.0]), "((1.5 * 2.0) + 8.0)");
        assert_eq!(scaled("5.0 * 2.0 * x0 + x1", [3.0, 2.0]), "(((((5.0 * 2.0) * x0) + x1) * 2.0) + 3.0)");
    }
}
