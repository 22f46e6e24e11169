//! Linear scaling of a whole tree: a + b f, as far as there are operators to write it.

use smallvec::SmallVec;
use sr_expr::{Node, Op, Tree};

use super::descent::touch;
use crate::instance::{is_extreme, power_of_two_near};
use crate::{Instance, Loss};

/// The operators that write a + b f. [`Tree::core`] takes away whatever they add, so they are those that a search has:
/// else it could not write the formulas that it scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wrapping {
    /// `+`, or `-` where there is no `+`.
    offset: Option<Op>,
    /// `*`, or `/` where there is no `*`.
    factor: Option<Op>,
    /// What writes −f where there is no factor: `neg`, or `-` as in a − f.
    minus: Option<Op>,
}

/// Which of a and b are free.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Form {
    /// Whether there is an a, which else is 0.
    pub(super) has_offset: bool,
    /// The b that is given, `None` if it is free.
    pub(super) factor: Option<f64>,
}

impl Form {
    /// Both are free.
    #[cfg(test)]
    pub(super) const WHOLE: Form = Form { has_offset: true, factor: None };
    /// b f.
    pub(super) const THROUGH_ORIGIN: Form = Form { has_offset: false, factor: None };
}

/// What was written around a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Added {
    /// The number of nodes before it.
    before: usize,
    /// Where the nodes of a factor are, and how many, with those before the tree counted.
    factor: Option<(usize, usize)>,
}

impl Added {
    /// Takes away what was added to a tree of this size.
    pub(super) fn remove(self, nodes: &mut Vec<Node>, size: usize) {
        if let Some((at, count)) = self.factor {
            nodes.drain(at..at + count);
        }
        nodes.drain(..self.before);
        nodes.truncate(size);
    }
}

impl Wrapping {
    pub(super) fn of(ops: &[Op]) -> Self {
        let first = |wanted: [Op; 2]| wanted.into_iter().find(|op| ops.contains(op));
        let offset = first([Op::Add, Op::Sub]);
        Wrapping { offset, factor: first([Op::Mul, Op::Div]), minus: first([Op::Neg, Op::Sub]) }
    }

    /// Returns the forms that can be written. Of a free b there is only one, and a second one through the origin, for
    /// rules that do not allow an offset; of a given b all are to be tried.
    pub(super) fn forms(self) -> SmallVec<[Form; 2]> {
        let has_offset = self.offset.is_some();
        let given = |factor: f64| Form { has_offset, factor: Some(factor) };
        match (self.factor, has_offset) {
            (Some(_), true) => [Form { has_offset, factor: None }, Form::THROUGH_ORIGIN].into_iter().collect(),
            (Some(_), false) => [Form::THROUGH_ORIGIN].into_iter().collect(),
            (None, true) if self.minus.is_some() => [given(1.0), given(-1.0)].into_iter().collect(),
            (None, true) => [given(1.0)].into_iter().collect(),
            (None, false) if self.minus.is_some() => [given(-1.0)].into_iter().collect(),
            (None, false) => SmallVec::new(),
        }
    }

    /// Turns the nodes of a tree f into those of a + b f; `None`, and nothing is changed, where a number of it is not
    /// finite.
    pub(super) fn write(self, [a, b]: [f64; 2], nodes: &mut Vec<Node>) -> Option<Added> {
        let is_usual = matches!(self.offset, Some(Op::Add) | None) && (self.factor == Some(Op::Mul) || b == 1.0);
        if is_usual {
            let factor = write([a, b], nodes);
            return Some(Added { before: 0, factor: factor.map(|at| (at, 2)) });
        }
        let end = nodes.len();
        match self.factor {
            _ if b == 1.0 => {}
            Some(Op::Mul) => nodes.extend([Node::Const(b), Node::Op(Op::Mul)]),
            Some(op) => {
                let divisor = b.recip();
                if !divisor.is_finite() || divisor == 0.0 {
                    return None;
                }
                nodes.extend([Node::Const(divisor), Node::Op(op)]);
            }
            None if self.minus == Some(Op::Sub) => {
                nodes.insert(0, Node::Const(a));
                nodes.push(Node::Op(Op::Sub));
                return Some(Added { before: 1, factor: None });
            }
            None => nodes.push(Node::Op(Op::Neg)),
        }
        let factor = (nodes.len() > end).then(|| (end, nodes.len() - end));
        match self.offset {
            Some(Op::Sub) if a != 0.0 => nodes.extend([Node::Const(-a), Node::Op(Op::Sub)]),
            Some(op) if a != 0.0 => nodes.extend([Node::Const(a), Node::Op(op)]),
            _ => {}
        }
        Some(Added { before: 0, factor })
    }
}

/// Returns the a and b for which a + b · `predictions` is nearest to the target in (weighted) least squares, in closed
/// form. Predictions that do not vary get b = 1.
///
/// Moments are of the deviations from the means, in units in which predictions and target are about 1: neither large
/// offsets nor extreme units cost accuracy. It is `None` if a prediction that counts, a or b is not finite.
pub(super) fn least_squares(predictions: &[f64], instance: &Instance, form: Form) -> Option<[f64; 2]> {
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
    let (mean_p, mean_y) = if form.has_offset { (sum_p / sum, sum_y / sum) } else { (0.0, 0.0) };
    let (mut square, mut product) = (0.0, 0.0);
    for row in counted() {
        let (w, [p, y]) = (weight(row), point(row));
        let (p, y) = (p - mean_p, y - mean_y);
        (square, product) = (square + w * p * p, product + w * p * y);
    }
    let varies = (square / sum).sqrt() > 4.0 * f64::EPSILON * largest * p_unit;
    let free = if varies { product / square * p_unit / y_unit } else { 1.0 };
    let factor = form.factor.unwrap_or(free);
    let offset = mean_y / y_unit - factor * (mean_p / p_unit);
    (factor.is_finite() && offset.is_finite()).then_some([offset, factor])
}

/// Steps that a and b take at most.
const STEPS: u32 = 12;
/// Halvings of a step that goes too far.
const HALVINGS: u32 = 6;
/// The share of the loss by which a step has to lower it for another one to be taken.
const LEAST_FALL: f64 = 1e-9;

/// Returns an a and b for which a + b · `predictions` loses little: from those of least squares, or no prediction at all, in
/// steps of least squares of the parabolas that touch the losses.
pub(super) fn least_loss(predictions: &[f64], instance: &Instance, loss: &dyn Loss, form: Form) -> Option<[f64; 2]> {
    // Extreme predictions are measured in units in which they are about 1, for their squares are numbers then.
    let (unit, targets_of_loss) = (instance.loss_scale(), instance.loss_targets());
    let largest = predictions.iter().map(|p| p.abs()).fold(0.0, f64::max);
    let p_unit = power_of_two_near(largest).recip();
    let p_unit = if is_extreme(p_unit) { p_unit } else { 1.0 };
    let measured: Vec<f64>;
    let raw = predictions;
    let predictions = match p_unit {
        1.0 => predictions,
        p_unit => {
            measured = predictions.iter().map(|p| p * p_unit).collect();
            &measured
        }
    };
    let mut scaled = Vec::new();
    let mut loss_of = |[a, b]: [f64; 2]| {
        scaled.clear();
        scaled.extend(predictions.iter().map(|p| a + b * p));
        instance.relative_loss_in_its_units(&scaled)
    };
    let in_units = |[a, b]: [f64; 2]| [a * unit, b * unit / p_unit];
    let given = form.factor.map(|b| b * unit / p_unit);
    let starts = [least_squares(raw, instance, form).map(in_units), Some([0.0, given.unwrap_or(0.0)])];
    let starts = starts.into_iter().flatten().map(|start| (loss_of(start), start));
    let (mut least, mut best) = starts.min_by(|a, b| a.0.total_cmp(&b.0)).filter(|(least, _)| least.is_finite())?;
    let (mut targets, mut curvatures) = (Vec::new(), Vec::new());
    for _ in 0..STEPS {
        let at: Vec<f64> = predictions.iter().map(|p| best[0] + best[1] * p).collect();
        touch(loss, &at, targets_of_loss, instance.weights(), &mut targets, &mut curvatures);
        let sum = |of: &dyn Fn(usize) -> f64| (0..at.len()).map(|row| curvatures[row] * of(row)).sum::<f64>();
        let total = sum(&|_| 1.0);
        let mean_of = |values: &[f64]| if form.has_offset { sum(&|row| values[row]) / total } else { 0.0 };
        let (mean_p, mean_t) = (mean_of(predictions), mean_of(&targets));
        let square = sum(&|row| (predictions[row] - mean_p).powi(2));
        let product = sum(&|row| (predictions[row] - mean_p) * (targets[row] - mean_t));
        let free = if square > 0.0 { product / square } else { best[1] };
        let factor = given.unwrap_or(free);
        let step = [mean_t - factor * mean_p - best[0], factor - best[1]];
        let step = if form.has_offset { step } else { [0.0, step[1]] };
        let tries = (0..=HALVINGS).map(|halvings| 0.5_f64.powi(halvings as i32));
        let found = tries
            .map(|share| [best[0] + share * step[0], best[1] + share * step[1]])
            .map(|point| (loss_of(point), point))
            .find(|(found, _)| *found < least);
        let Some((found, point)) = found else { break };
        let fall = (least - found) / least;
        (least, best) = (found, point);
        if fall < LEAST_FALL {
            break;
        }
    }
    let [a, b] = [best[0] / unit, form.factor.unwrap_or(best[1] / unit * p_unit)];
    (a.is_finite() && b.is_finite()).then_some([a, b])
}

/// Turns the nodes of a tree f into those of a + b f. Constants at the root are changed rather than more added: c·g + d
/// becomes (b c)·g + (a + b d). Neither a = 0 nor b = 1 adds anything. Returns where the two nodes of a new factor are,
/// if there is one; those of a new offset come last.
pub(super) fn write([a, b]: [f64; 2], nodes: &mut Vec<Node>) -> Option<usize> {
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
    let factor = constant_operand(nodes, from, to, Op::Mul);
    let added = (factor.is_none() && b != 1.0).then_some(to + 1);
    if let Some(factor) = factor {
        change(&mut nodes[factor], |value| b * value);
    }
    if let Some(at) = added {
        nodes.splice(at..at, [Node::Const(b), Node::Op(Op::Mul)]);
    }
    if constant.is_none() && a != 0.0 {
        nodes.extend([Node::Const(a), Node::Op(Op::Add)]);
    }
    added
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
            let [a, b] = least_squares(&p, &instance(&[5.0, 7.0, 11.0, 19.0]), Form::WHOLE).expect("finite");
            for (p, y) in p.iter().zip([5.0, 7.0, 11.0, 19.0]) {
                let rounding = 1e-15 * (1.0 + (b * p).abs());
                assert!((a + b * p - y).abs() <= 8.0 * rounding, "{a} + {b} * {p} is not {y}");
            }
        }
        assert_eq!(least_squares(&[3.0; 3], &instance(&[1.0, 2.0, 3.0]), Form::WHOLE), Some([-1.0, 1.0]));
        assert_eq!(least_squares(&[f64::NAN, 1.0], &instance(&[1.0, 2.0]), Form::WHOLE), None);
        assert_eq!(least_squares(&[f64::INFINITY, 1.0], &instance(&[1.0, 2.0]), Form::WHOLE), None);
        assert_eq!(
            least_squares(&[5e-324, 0.0], &instance(&[0.0, 1e300]), Form::WHOLE),
            None,
            "the factor is beyond the numbers"
        );
    }

    #[test]
    fn rows_of_weight_zero_do_not_count() {
        let weighted = instance(&[1.0, 5.0, 9.0]).with_weights(vec![2.0, 0.0, 1.0]).expect("weights");
        assert_eq!(least_squares(&[0.0, f64::NAN, 2.0], &weighted, Form::WHOLE), Some([1.0, 4.0]));
    }

    #[test]
    fn a_line_may_go_through_the_origin_and_lose_little_of_another_loss() {
        let y = instance(&[5.0, 7.0, 11.0, 19.0]);
        let [a, b] = least_squares(&[1.0, 2.0, 4.0, 8.0], &y, Form::THROUGH_ORIGIN).expect("finite");
        assert!(a == 0.0 && (b - (5.0 + 14.0 + 44.0 + 152.0) / 85.0).abs() < 1e-15, "{a} {b}");
        // Four points on 3 + 2 p and one far away.
        let mae = crate::LossChoice::Mae.loss(1.0).expect("a loss");
        let y = instance(&[5.0, 7.0, 11.0, 19.0, 500.0]).with_loss(mae.clone()).expect("a loss");
        let [a, b] = least_loss(&[1.0, 2.0, 4.0, 8.0, 3.0], &y, &*mae, Form::WHOLE).expect("finite");
        assert!((a - 3.0).abs() < 0.1 && (b - 2.0).abs() < 0.05, "{a} {b}");
        let logistic = crate::LossChoice::Logistic.loss(1.0).expect("a loss");
        let y = instance(&[0.0, 0.0, 1.0, 0.0, 1.0, 1.0]).with_loss(logistic.clone()).expect("a loss");
        let [a, b] = least_loss(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &y, &*logistic, Form::WHOLE).expect("finite");
        assert!(b > 0.5 && (-a / b - 3.5).abs() < 1e-6, "half of the odds are in the middle: {a} {b}");
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
