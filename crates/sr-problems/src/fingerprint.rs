//! Fingerprints, which tell by values whether two formulas are the same function, whatever their form or variable
//! names.
//!
//! A fingerprint has to be the same for `x0*x0 + x1` and `x0 + pow2(x2)`, and still cheap enough for every expression
//! of a large set. Values at fixed points do not depend on the form. To make them independent of the names, the points
//! are closed under renaming. A row of numbers `(r, a, b, c)` gives the points that have `a`, `b` and `c` at three
//! variables, in every choice and order, and `r` at all others. Renaming permutes these points, so the *sorted* values
//! do not change. With up to four variables these are all permutations of the row.
//!
//! Two forms differ in rounding. Sorted values differ no more than the values did, so fingerprints are compared with a
//! tolerance. They are not rounded and hashed, because equal values could then fall on two sides of a rounding border.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use sr_engine::random::problem_key;
use sr_expr::hash::mix;
use sr_expr::{Columns, Expr, Machine, Node, Semantics, Tree};

use crate::{Error, ProblemSet, suite, suite_names};

/// The rows `[r, a, b, c]`, without a pattern that a formula could share. Some are below 1 for `asin` and the like,
/// some of both signs to tell `abs(x0)` from `x0`, some above 1 for `sqrt(x0 - 1)`, and some further out.
const ROWS: [[f64; 4]; 8] = [
    [0.3347, 0.6712, 0.1247, 0.9391],
    [0.8419, 0.2276, 0.5533, 0.4028],
    [1.3719, 2.6184, 0.7543, 3.9071],
    [2.1937, 1.1628, 4.3375, 2.9516],
    [11.738, 17.291, 8.4362, 23.517],
    [-0.4177, 0.7361, -0.8826, 0.2593],
    [1.2869, -2.3514, 0.6478, -1.7325],
    [-3.1873, -0.5492, 2.4617, 1.0936],
];
/// The distance by which a variable is moved from `r` to see whether the formula depends on it.
const CHANGE: f64 = 0.0937;
/// The relative difference up to which values are equal: nine digits.
const TOLERANCE: f64 = 1e-9;
/// The share of the largest value of a row up to which differences do not count, because they are what remains of a sum
/// that ought to be 0.
const ZERO_TOLERANCE: f64 = 1e-13;
/// The largest number of points of a row. With more than 11 variables only `a` and `b` are placed, with more than 32
/// only `a`, with more than 1000 none. Then formulas that differ in what several variables do together can count as the
/// same, and a blocklist excludes some formulas too many.
const MAX_POINTS: usize = 1000;
/// Formulas of more variables than these are taken to depend on all of them.
const MAX_CHANGED: usize = 100;

/// The values of a formula that identify it as a function, see [`Fingerprint::same`].
#[derive(Debug, Clone, PartialEq)]
pub struct Fingerprint {
    /// The number of variables that its value depends on.
    n_variables: usize,
    /// The values at the points of each row, sorted.
    values: [Vec<f64>; ROWS.len()],
}

impl Fingerprint {
    /// Returns the fingerprint of a formula, by its IEEE values in 64 bits. Variables without effect, such as `x1` in
    /// `x0 + x1 - x1`, do not count.
    pub fn of(formula: &Tree) -> Self {
        let (mut machine, mut y) = (Machine::new(), Vec::new());
        let formula = with_needed_variables(formula, &mut machine, &mut y);
        let n_variables = formula.n_variables();
        let selections = selections(n_variables);
        let values = ROWS.map(|row| {
            let points = Columns::from_fn(selections.len(), n_variables, |point, variable| {
                coordinate(&row, &selections[point], variable)
            });
            machine.predict(&formula, &points, Semantics::Ieee, &mut y);
            // All NaNs become the same one, because their sign differs from machine to machine.
            let mut values: Vec<f64> = y.iter().map(|&y| if y.is_nan() { f64::NAN } else { y }).collect();
            values.sort_by(f64::total_cmp);
            values
        });
        Fingerprint { n_variables, values }
    }

    /// Returns whether two formulas are the same function of the same number of variables, whatever the variables are
    /// called. Their values have to agree to nine digits on every row where both are finite. `sqrt(x0)*sqrt(x0)` is the
    /// same as `x0`, `abs(x0)` is not.
    ///
    /// If there is no such row, the values have to agree on all rows, those without a value included.
    pub fn same(&self, other: &Self) -> bool {
        if self.n_variables != other.n_variables {
            return false;
        }
        let mut shared = self.values.iter().zip(&other.values).filter(|(a, b)| is_finite(a) && is_finite(b)).peekable();
        if shared.peek().is_none() {
            return self.values.iter().zip(&other.values).all(|(a, b)| agree(a, b));
        }
        shared.all(|(a, b)| agree(a, b))
    }
}

fn is_finite(values: &[f64]) -> bool {
    values.iter().all(|value| value.is_finite())
}

fn scale(values: &[f64]) -> f64 {
    values.iter().filter(|value| value.is_finite()).fold(0.0, |scale, value| value.abs().max(scale))
}

fn agree(a: &[f64], b: &[f64]) -> bool {
    let zero = ZERO_TOLERANCE * scale(a).max(scale(b));
    let close = |a: f64, b: f64| (a - b).abs() <= TOLERANCE * a.abs().max(b.abs()) + zero;
    a.iter()
        .zip(b)
        .all(|(&a, &b)| (a.is_nan() && b.is_nan()) || a == b || (a.is_finite() && b.is_finite() && close(a, b)))
}

/// Returns the value of a variable at the point of a row that a selection gives.
fn coordinate(row: &[f64; 4], selection: &[usize], variable: usize) -> f64 {
    selection.iter().position(|&chosen| chosen == variable).map_or(row[0], |place| row[1 + place])
}

/// Returns all choices of up to three variables, in every order.
fn selections(n_variables: usize) -> Vec<Vec<usize>> {
    let mut selections = vec![vec![]];
    for chosen in 0..n_variables.min(3) {
        if selections.len() * (n_variables - chosen) > MAX_POINTS {
            break;
        }
        selections = selections
            .iter()
            .flat_map(|start: &Vec<usize>| {
                let rest = (0..n_variables).filter(|variable| !start.contains(variable));
                rest.map(|variable| start.iter().copied().chain([variable]).collect())
            })
            .collect();
    }
    selections
}

/// Renames the variables that the formula's value depends on to `x0`, `x1`, …, and replaces the others by a number.
fn with_needed_variables(formula: &Tree, machine: &mut Machine<f64>, y: &mut Vec<f64>) -> Expr {
    let mut used: Vec<u16> = formula.nodes().iter().filter_map(variable).collect();
    used.sort_unstable();
    used.dedup();
    let renamed = rename(formula, |index| used.binary_search(&index).ok());
    if used.len() > MAX_CHANGED {
        return renamed;
    }

    // The points are those of the rows, and each with one variable changed in turn: renaming permutes these, too.
    let selections = selections(used.len());
    let n_points = used.len() + 1;
    let mut needed = vec![false; used.len()];
    let mut has_values = false;
    for row in &ROWS {
        if needed.iter().all(|&needed| needed) {
            break;
        }
        let points = Columns::from_fn(selections.len() * n_points, used.len(), |point, variable| {
            let changed = point % n_points == variable + 1;
            if changed { row[0] - CHANGE } else { coordinate(row, &selections[point / n_points], variable) }
        });
        machine.predict(&renamed, &points, Semantics::Ieee, y);
        for values in y.chunks_exact(n_points) {
            has_values |= !values[0].is_nan();
            for (needed, changed) in needed.iter_mut().zip(&values[1..]) {
                *needed |= !agree(&values[..1], &[*changed]);
            }
        }
    }
    // A formula without a value anywhere is taken to depend on all its variables.
    let index = |old: u16| usize::from(old);
    let place = |old| needed[..index(old)].iter().filter(|&&needed| needed).count();
    rename(&renamed, |old| if !has_values { Some(index(old)) } else { needed[index(old)].then(|| place(old)) })
}

fn variable(node: &Node) -> Option<u16> {
    if let Node::Var(index) = node { Some(*index) } else { None }
}

/// Gives variables their new indices, and replaces those without by a number.
fn rename(formula: &Tree, index: impl Fn(u16) -> Option<usize>) -> Expr {
    let renamed = |&node: &Node| match node {
        Node::Var(old) => index(old).map_or(Node::Const(ROWS[2][2]), |new| Node::Var(new as u16)),
        node => node,
    };
    Expr::new(formula.nodes().iter().map(renamed).collect()).expect("the arities stay")
}

/// Formulas that a set must not contain, such as those of the suites that a learner will be judged on.
///
/// ```
/// use sr_expr::Expr;
/// use sr_problems::Blocklist;
///
/// let blocklist = Blocklist::of(["nguyen"])?;
/// // Nguyen-2, x⁴ + x³ + x² + x, by another name of its variable and in Horner's way of writing it.
/// let horner: Expr = "x3 * (1 + x3 * (1 + x3 * (1 + x3)))".parse().expect("a formula");
/// assert!(blocklist.contains(&horner));
/// # Ok::<(), sr_problems::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct Blocklist {
    sources: Vec<Exclusion>,
    formulas: Vec<Fingerprint>,
    /// For each of the rows, the formulas with finite values there: the smallest of the values, and the index of the
    /// formula.
    by_value: [Vec<(f64, usize)>; ROWS.len()],
    /// The formulas without a row of finite values.
    nowhere: Vec<usize>,
    excluded: AtomicU64,
}

/// A source of the formulas of a [`Blocklist`]. Headers of files list them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exclusion {
    /// The name of the suite, or of the file without folders.
    pub name: String,
    /// The number of its formulas. Several may be the same function.
    pub formulas: u32,
    /// A 64-bit hash of their text.
    pub fingerprint: u64,
}

impl Blocklist {
    /// Makes a blocklist of the formulas of suites and problem files. A name that is a suite's stands for the suite.
    ///
    /// # Errors
    /// Returns an error if a name is neither, a file cannot be read, or a source has no known formula.
    pub fn of<S: AsRef<str>>(sources: impl IntoIterator<Item = S>) -> Result<Self, Error> {
        let mut blocklist = Blocklist::default();
        for source in sources {
            let source = source.as_ref();
            let path = Path::new(source);
            let (name, set) = if suite_names().any(|name| name == source) {
                (source.into(), suite(source, 0)?)
            } else if fs::exists(path).unwrap_or(true) {
                let name = path.file_name().unwrap_or(path.as_os_str());
                (name.to_string_lossy(), ProblemSet::read(path)?)
            } else {
                return Err(Error::NoSuchSource { name: source.into() });
            };
            blocklist.add(&name, &set)?;
        }
        Ok(blocklist)
    }

    /// Adds the formulas of a set.
    ///
    /// # Errors
    /// Returns an error if it has none.
    pub fn add(&mut self, name: &str, set: &ProblemSet) -> Result<(), Error> {
        let formulas = || set.problems.iter().filter_map(|problem| problem.source.as_ref());
        let Ok(n @ 1..) = u32::try_from(formulas().count()) else {
            return Err(Error::NothingToExclude { name: name.into() });
        };
        formulas().for_each(|formula| self.insert(formula));
        let fingerprint = formulas().map(|formula| problem_key(&formula.to_string())).fold(n.into(), mix);
        self.sources.push(Exclusion { name: name.into(), formulas: n, fingerprint });
        Ok(())
    }

    /// Adds a formula. It is not among the [`sources`](Self::sources).
    pub fn insert(&mut self, formula: &Tree) {
        let fingerprint = Fingerprint::of(formula);
        if self.find(&fingerprint) {
            return;
        }
        let index = self.formulas.len();
        for (sorted, values) in self.by_value.iter_mut().zip(&fingerprint.values) {
            if is_finite(values) {
                let at = sorted.partition_point(|(value, _)| *value < values[0]);
                sorted.insert(at, (values[0], index));
            }
        }
        if !fingerprint.values.iter().any(|values| is_finite(values)) {
            self.nowhere.push(index);
        }
        self.formulas.push(fingerprint);
    }

    /// Returns whether a formula is the same function as one of the list.
    pub fn contains(&self, formula: &Tree) -> bool {
        self.find(&Fingerprint::of(formula))
    }

    /// Returns what [`contains`](Self::contains) does, and counts the formula if it is true.
    pub fn excludes(&self, formula: &Tree) -> bool {
        let excluded = self.contains(formula);
        self.excluded.fetch_add(excluded.into(), Ordering::Relaxed);
        excluded
    }

    /// Returns how often [`excludes`](Self::excludes) was true.
    pub fn excluded(&self) -> u64 {
        self.excluded.load(Ordering::Relaxed)
    }

    /// Returns the sources of the formulas.
    pub fn sources(&self) -> &[Exclusion] {
        &self.sources
    }

    /// Returns the number of different functions.
    pub fn len(&self) -> usize {
        self.formulas.len()
    }

    /// Returns whether the list is empty.
    pub fn is_empty(&self) -> bool {
        self.formulas.is_empty()
    }

    fn find(&self, fingerprint: &Fingerprint) -> bool {
        let same = |&index: &usize| self.formulas[index].same(fingerprint);
        let mut nowhere = true;
        for (sorted, values) in self.by_value.iter().zip(&fingerprint.values) {
            if is_finite(values) {
                nowhere = false;
                // The margin is twice the tolerance, because the scale here is that of one of the two.
                let margin = 2.0 * (TOLERANCE * values[0].abs() + ZERO_TOLERANCE * scale(values));
                let start = sorted.partition_point(|(value, _)| *value < values[0] - margin);
                let near = sorted[start..].iter().take_while(|(value, _)| *value <= values[0] + margin);
                if near.map(|(_, index)| index).any(same) {
                    return true;
                }
            }
        }
        nowhere && self.nowhere.iter().any(same)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(a: &str, b: &str) -> bool {
        let of = |text: &str| Fingerprint::of(&text.parse::<Expr>().unwrap());
        assert!(of(a).same(&of(a)) && of(b).same(&of(b)), "{a}, {b}");
        assert_eq!(of(a).same(&of(b)), of(b).same(&of(a)), "{a}, {b}");
        of(a).same(&of(b))
    }

    #[test]
    fn ways_of_writing_and_names_do_not_count() {
        for (a, b) in [
            ("x0", "x7"),
            ("x0*x0 + x1", "x0 + pow2(x2)"),
            ("x0 - x1", "x1 - x0"),
            ("x0^3", "x0*x0*x0"),
            ("(x0 + 1)*(x0 - 1)", "x0*x0 - 1"),
            ("exp(2*log(x0))", "x0*x0"),
            ("sqrt(x0)*sqrt(x0)", "x0"),
            ("log(x0*x0)", "2*log(x0)"),
            ("sin(2*x0)", "2*sin(x0)*cos(x0)"),
            ("x0 + x1 - x1", "x0"),
            ("x1/x1*x0 + 0*x2", "x0"),
            ("x0/x0*2", "2"),
            ("asin(x0)", "asin(x3)"),
            ("sqrt(x0 - 20)", "sqrt(x1 - 20)"),
            ("x0*x1*x2*x3*x4 - x5", "x5*x4*x3*x2*x0 - x1"),
            ("0.1*x0 + 0.2*x0", "0.3*x0"),
            ("x0*1e-20", "x0/1e20"),
            ("sqrt(-1 - x0*x0)", "sqrt(-1 - x1*x1)"),
            ("x0^x1", "exp(log(x3)*x0)"),
        ] {
            assert!(same(a, b), "{a} is not {b}");
        }
    }

    #[test]
    fn other_functions_differ() {
        for (a, b) in [
            ("x0", "abs(x0)"),
            ("x0", "x0 + 1"),
            ("x0", "1.0000001*x0"),
            ("x0*1e-20", "x0*2e-20"),
            ("x0", "x0*x1"),
            ("x0 - x1", "x0 + x1"),
            ("x0 - 2*x1", "2*x0 + x1"),
            ("x0*x1 + x2", "x0*x1*x2"),
            ("x0*x1 + x2*x3", "x0*x1 + x2*x2*x3"),
            ("x0*x0*x1", "x0*x1"),
            ("2", "3"),
            ("2", "x0"),
            ("sqrt(-1 - x0*x0)", "x0"),
            ("sqrt(-1 - x0*x0)", "sqrt(-1 - x0*x1)"),
            ("exp(x0)", "exp(x0) + 1e-3"),
            ("x0 + x1 + x2 + x3 + x4 + x5", "x0 + x1 + x2 + x3 + x4 - x5"),
        ] {
            assert!(!same(a, b), "{a} is {b}");
        }
    }

    #[test]
    fn points_stay_few() {
        for (n_variables, expected) in
            [(0, 1), (1, 1), (2, 2), (3, 6), (4, 24), (9, 504), (11, 990), (12, 132), (33, 33), (1001, 1)]
        {
            assert_eq!(selections(n_variables).len(), expected, "{n_variables} variables");
        }
    }

    #[test]
    fn a_list_finds_what_is_in_it() {
        let suites: Vec<&str> = suite_names().collect();
        let blocklist = Blocklist::of(&suites).unwrap();
        for name in &suites {
            for problem in suite(name, 3).unwrap().problems {
                assert!(blocklist.contains(problem.source.as_ref().unwrap()), "{}", problem.id);
            }
        }
        assert_eq!(blocklist.sources().iter().map(|source| source.formulas).sum::<u32>(), 229);
        // Thirteen suites share formulas, such as the five of Feynman's that are a product of two variables.
        assert!((180..229).contains(&blocklist.len()), "{}", blocklist.len());
        for text in ["x0 + x1", "x0*x0*x0*x1", "sqrt(-1 - x0*x0)", "7"] {
            assert!(!blocklist.excludes(&text.parse::<Expr>().unwrap()), "{text}");
        }
        assert!(blocklist.excludes(&"x1*x0".parse::<Expr>().unwrap()));
        assert_eq!(blocklist.excluded(), 1);
    }

    #[test]
    fn sources_that_are_none_are_named() {
        let message = Blocklist::of(["nguyén"]).unwrap_err().to_string();
        assert!(message.contains("\"nguyén\" is neither a file nor a suite") && message.contains("korns"), "{message}");
        let mut set = suite("r", 0).unwrap();
        set.problems.iter_mut().for_each(|problem| problem.source = None);
        let message = Blocklist::default().add("mine.sr", &set).unwrap_err().to_string();
        assert_eq!(message, "mine.sr: no formulas to exclude");
    }
}
