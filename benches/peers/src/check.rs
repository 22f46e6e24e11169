//! Checks results: a bench of wrong results measures nothing.
//!
//! In `f64`, results must be those of [`sr_expr::reference`], bit for bit, except for the kind of NaN.
//!
//! In `f32` there is no single right result: every operation rounds, and a tree may magnify that without bound. So the
//! reference is computed as an interval of all values that the tree can have if every operation rounds to nearest and
//! every function is within two units in the last place. That is running error analysis (Higham, "Accuracy and
//! Stability of Numerical Algorithms", 2002, § 3.3) by interval arithmetic in `f64`. A result outside of its interval
//! is wrong. A wide interval says little; [`Checked::sharp`] counts the values whose interval was narrow.

use rayon::prelude::*;
use sr_expr::{Columns, Expr, Loss, Machine, Node, Op, Program, Real, Semantics, Tree, reference};

/// The relative error of rounding to nearest, half a unit in the last place, and a thousandth for the interval's own
/// rounding.
const ARITHMETIC: f64 = 1.001 * f32::EPSILON as f64 / 2.0;
/// The relative error of a function, two units in the last place.
const FUNCTION: f64 = 2.001 * f32::EPSILON as f64;
/// The relative width up to which an interval tells right from wrong.
const SHARP: f64 = 1e-3;
/// The relative error of a sum: a lane of `f32` adds 256 squares of three roundings each before it is emptied into
/// `f64`.
const SUM: f64 = 264.0 * f32::EPSILON as f64 / 2.0;

/// The result of a check.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Checked {
    /// The number of values compared.
    pub values: usize,
    /// The number of values whose interval was narrower than 10⁻³ of the value, or that must be NaN.
    pub sharp: usize,
    /// The faults, one line a tree.
    pub wrong: Vec<String>,
}

impl Checked {
    fn and(mut self, other: Checked) -> Self {
        self.values += other.values;
        self.sharp += other.sharp;
        self.wrong.extend(other.wrong);
        self
    }
}

/// Checks every tree's predictions and sum of squares, both stored and compiled, with `machine`.
pub fn check<T: Real>(trees: &[Expr], x: &Columns<T>, y: &[T], machine: &Machine<T>) -> Checked {
    let exact = x.convert::<f64>();
    let checked = trees.par_iter().enumerate().map_init(
        || (machine.clone(), Vec::new()),
        |(machine, out), (index, tree)| {
            let name = || format!("tree {} ({tree}), {} rows, {}", index + 1, x.n_rows(), T::NAME);
            machine.predict(tree, x, Semantics::Ieee, out);
            let mut checked = predictions(tree, &exact, out);
            let stored: Vec<f64> = out.iter().map(|value| value.to_f64()).collect();
            machine.predict_compiled(&Program::new(tree, Semantics::Ieee, x.n_columns()), x, out);
            if !out.iter().zip(&stored).all(|(a, b)| same(a.to_f64(), *b)) {
                checked.wrong.push("compiled, it has other values than stored".into());
            }
            let loss = Loss::Squares { y, limit: T::from_f64(f64::INFINITY) };
            let sums = machine.sum(tree, x, Semantics::Ieee, loss);
            checked.wrong.extend(sum_of_squares(&stored, y, sums.count, sums.squares(), T::NAME == f32::NAME));
            checked.wrong.truncate(1);
            checked.wrong.iter_mut().for_each(|wrong| *wrong = format!("{}: {wrong}", name()));
            checked
        },
    );
    checked.reduce(Checked::default, Checked::and)
}

fn same(a: f64, b: f64) -> bool {
    a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan()
}

/// Compares predictions with the reference on the same data, `[rows]`.
fn predictions<T: Real>(tree: &Tree, data: &Columns, found: &[T]) -> Checked {
    let mut checked = Checked { values: found.len(), ..Checked::default() };
    let (mut row, mut stack) = (Vec::new(), Vec::new());
    for (index, value) in found.iter().map(|value| value.to_f64()).enumerate() {
        data.copy_row(index, &mut row);
        let expected = if T::NAME == f64::NAME {
            let expected = reference::eval_row(tree, &row, Semantics::Ieee);
            checked.sharp += 1;
            (!same(value, expected)).then(|| format!("{expected}"))
        } else {
            let interval = Interval::of(tree, &row, &mut stack);
            checked.sharp += usize::from(interval.is_sharp());
            (!interval.contains(value)).then(|| format!("{interval:?}"))
        };
        if let Some(expected) = expected {
            checked.wrong.push(format!("row {index} is {value}, expected {expected}"));
        }
    }
    checked
}

/// Describes the fault of a count and sum of squares over correct predictions, if there is one.
fn sum_of_squares<T: Real>(p: &[f64], y: &[T], count: usize, squares: f64, single: bool) -> Option<String> {
    let terms = p.iter().zip(y).filter(|(p, _)| p.is_finite()).map(|(p, y)| (p - y.to_f64()).powi(2));
    let valid = terms.clone().count();
    let expected: f64 = terms.clone().sum();
    let tolerance = if single { SUM } else { p.len() as f64 * f64::EPSILON };
    // A lane that exceeds single precision is infinite.
    let overflows = single && squares == f64::INFINITY && expected > 0.99 * f64::from(f32::MAX);
    let right =
        count == valid && (overflows || (squares - expected).abs() <= tolerance * expected || squares == expected);
    (!right).then(|| format!("squares of {count} rows sum to {squares}, expected {valid} and {expected}"))
}

/// The values that a rounded evaluation may have: those between the bounds, or NaN. If `low > high`, only NaN.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Interval {
    low: f64,
    high: f64,
    may_be_nan: bool,
}

impl Interval {
    const NAN: Interval = Interval { low: f64::INFINITY, high: f64::NEG_INFINITY, may_be_nan: true };

    fn of(tree: &Tree, row: &[f64], stack: &mut Vec<Interval>) -> Interval {
        stack.clear();
        for &node in tree.nodes() {
            let mut operand = || stack.pop().expect("operands come before their operator");
            let value = match node {
                Node::Var(index) => {
                    Interval { low: row[usize::from(index)], high: row[usize::from(index)], may_be_nan: false }
                }
                Node::Const(value) => Interval { low: value, high: value, may_be_nan: false }.rounded(ARITHMETIC),
                Node::Op(op) if op.arity() == 1 => operand().function(op),
                Node::Op(op) => {
                    let b = operand();
                    operand().arithmetic(op, b)
                }
            };
            stack.push(value);
        }
        stack[0]
    }

    fn contains(self, value: f64) -> bool {
        if value.is_nan() { self.may_be_nan } else { self.low <= value && value <= self.high }
    }

    fn is_nan(self) -> bool {
        self.low > self.high
    }

    fn is_sharp(self) -> bool {
        self.is_nan() || !self.may_be_nan && self.high - self.low <= SHARP * self.low.abs().max(self.high.abs())
    }

    fn has(self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }

    fn has_infinity(self) -> bool {
        self.has(f64::INFINITY) || self.has(f64::NEG_INFINITY)
    }

    /// Returns the smallest interval around some of its values; NaN among them is ignored.
    fn around(values: [f64; 4], may_be_nan: bool) -> Interval {
        let fold = |bound: fn(f64, f64) -> f64, from| values.into_iter().fold(from, bound); // min and max pass over NaN
        Interval { low: fold(f64::min, f64::INFINITY), high: fold(f64::max, f64::NEG_INFINITY), may_be_nan }
    }

    fn arithmetic(self, op: Op, b: Interval) -> Interval {
        let a = self;
        if a.is_nan() || b.is_nan() {
            return Interval::NAN;
        }
        let inherited = a.may_be_nan || b.may_be_nan;
        let opposed =
            a.has(f64::INFINITY) && b.has(f64::NEG_INFINITY) || a.has(f64::NEG_INFINITY) && b.has(f64::INFINITY);
        let value = match op {
            Op::Add => {
                let or = |sum: f64, bound| if sum.is_nan() { bound } else { sum };
                let (low, high) = (or(a.low + b.low, f64::NEG_INFINITY), or(a.high + b.high, f64::INFINITY));
                Interval { low, high, may_be_nan: inherited || opposed }
            }
            Op::Sub => return a.arithmetic(Op::Add, Interval { low: -b.high, high: -b.low, ..b }),
            Op::Mul => {
                let times = |x: f64, y: f64| if x == 0.0 || y == 0.0 { 0.0 } else { x * y };
                let products = [times(a.low, b.low), times(a.low, b.high), times(a.high, b.low), times(a.high, b.high)];
                let may_be_nan = a.has(0.0) && b.has_infinity() || a.has_infinity() && b.has(0.0);
                Interval::around(products, inherited || may_be_nan)
            }
            Op::Div if b.has(0.0) => Interval {
                low: f64::NEG_INFINITY,
                high: f64::INFINITY,
                may_be_nan: inherited || a.has(0.0) || a.has_infinity() && b.has_infinity(),
            },
            Op::Div => {
                let quotients = [a.low / b.low, a.low / b.high, a.high / b.low, a.high / b.high];
                Interval::around(quotients, inherited || a.has_infinity() && b.has_infinity())
            }
            op => unreachable!("{op} does not occur in files of trees"),
        };
        value.rounded(ARITHMETIC)
    }

    fn function(self, op: Op) -> Interval {
        let Interval { low, high, may_be_nan } = self;
        if self.is_nan() {
            return Interval::NAN;
        }
        let monotonic = |f: fn(f64) -> f64, from: f64| {
            let defined = Interval { low: f(low.max(from)), high: f(high), may_be_nan: may_be_nan || low < from };
            if high < from { Interval::NAN } else { defined }
        };
        match op {
            Op::Sqrt => monotonic(f64::sqrt, 0.0).rounded(ARITHMETIC),
            Op::Log => monotonic(f64::ln, 0.0).rounded(FUNCTION),
            Op::Exp => {
                let value = monotonic(f64::exp, f64::NEG_INFINITY).rounded(FUNCTION);
                Interval { low: value.low.max(0.0), ..value }
            }
            Op::Sin | Op::Cos => {
                // The slope of both functions is at most 1.
                let (middle, radius) = (low + (high - low) / 2.0, (high - low) / 2.0);
                let value = if op == Op::Sin { middle.sin() } else { middle.cos() };
                // An infinite bound gives NaN, which becomes the bound of the function.
                let (low, high) = ((value - radius).max(-1.0), (value + radius).min(1.0));
                Interval { low, high, may_be_nan: may_be_nan || self.has_infinity() }.rounded(FUNCTION)
            }
            op => unreachable!("{op} does not occur in files of trees"),
        }
    }

    /// Widens the bounds by what rounding to single precision within this relative error may do.
    fn rounded(self, error: f64) -> Interval {
        const MAX: f64 = f32::MAX as f64;
        const SMALLEST: f64 = f32::MIN_POSITIVE as f64;
        if self.is_nan() {
            return Interval::NAN;
        }
        // Subnormal numbers have fewer digits, or are flushed to zero.
        let slack = |bound: f64| {
            if bound == 0.0 { 0.0 } else { error * bound.abs() + if bound.abs() < SMALLEST { SMALLEST } else { 0.0 } }
        };
        let (low, high) = (self.low - slack(self.low), self.high + slack(self.high));
        Interval {
            low: if low < -MAX { f64::NEG_INFINITY } else { low.min(MAX) },
            high: if high > MAX { f64::INFINITY } else { high.max(-MAX) },
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{TreeSet, data};

    fn interval(text: &str, row: &[f64]) -> Interval {
        let tree: Expr = text.parse().expect(text);
        Interval::of(&tree, row, &mut Vec::new())
    }

    fn file(name: &str) -> TreeSet {
        TreeSet::read(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("trees").join(name)).expect(name)
    }

    #[test]
    fn intervals_hold_what_rounding_may_give() {
        let sum = interval("x0 + 0.1", &[1.0]);
        assert!(sum.contains(f64::from(1.0_f32 + 0.1)) && sum.is_sharp());
        assert!(!sum.contains(f64::from(1.0_f32 + 0.100_001)));
        assert_eq!(interval("x0 - x0", &[1.5]), Interval { low: 0.0, high: 0.0, may_be_nan: false });
        // 10⁸ absorbs 1: only the size of the difference is known.
        assert!(!interval("(x0 + 1e8) - 1e8", &[1.0]).is_sharp());
        assert!(interval("log(0 - x0)", &[1.0]).is_nan());
        assert_eq!(interval("x0 / (x0 - x0)", &[1.0]).high, f64::INFINITY);
        assert!(interval("exp(x0)", &[100.0]).contains(f64::INFINITY), "it overflows in single precision");
        assert!(interval("sin(exp(x0))", &[100.0]).contains(f64::NAN));
        assert!(interval("sin(x0)", &[1.0]).contains(f64::from(1.0_f32.sin())));
        assert!(!interval("sin(x0)", &[1.0]).contains(f64::from(1.0_f32.sin()) * 1.000_001));
    }

    #[test]
    fn the_files_of_trees_pass_and_most_of_them_is_sharply_checked() {
        for (name, sharp) in [("arith.txt", 0.98), ("math.txt", 0.95)] {
            let set = file(name);
            let (x, y) = data::evaluation(17);
            let double = check(&set.trees, &x, &y, &Machine::new());
            assert_eq!(double.wrong, [""; 0]);
            let y: Vec<f32> = y.iter().map(|&y| y as f32).collect();
            let single = check(&set.trees, &x.convert(), &y, &Machine::new());
            assert_eq!(single.wrong, [""; 0]);
            let share = single.sharp as f64 / single.values as f64;
            assert!(share > sharp, "{name}: {share} of the values are checked sharply");
        }
    }

    #[test]
    fn a_result_that_is_off_by_little_is_found() {
        let (x, y) = data::evaluation(100);
        let x = x.convert::<f32>();
        let tree: Expr = "(x0 * x1) / (x2 + 0.5)".parse().expect("a tree");
        let mut found = Vec::new();
        Machine::new().predict(&tree, &x, Semantics::Ieee, &mut found);
        let exact = x.convert::<f64>();
        assert_eq!(predictions(&tree, &exact, &found).wrong, [""; 0]);
        found[99] *= 1.0 + 1e-6;
        assert_eq!(predictions(&tree, &exact, &found).wrong.len(), 1);
        let p = vec![1.5; 100];
        let squares: f64 = y.iter().map(|y| (1.5 - y).powi(2)).sum();
        assert_eq!(sum_of_squares(&p, &y, 100, squares, false), None);
        assert!(sum_of_squares(&p, &y, 99, squares, false).is_some());
        assert!(sum_of_squares(&p, &y, 100, squares * (1.0 + 1e-12), false).is_some());
        assert!(sum_of_squares(&p, &y, 100, squares * (1.0 + 1e-4), true).is_some());
    }
}
