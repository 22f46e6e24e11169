//! Random problems: the generator of E2E (Kamienny et al., "End-to-end symbolic regression with transformers", 2022)
//! on the tree sampling of Lample & Charton ("Deep learning for symbolic mathematics", 2020).
//!
//! An expression is made in four steps: a uniformly drawn binary tree, its leaves, unary operators put into it, and
//! (preset `e2e`) affine constants. It counts if it uses all its variables and is finite on all its points; otherwise
//! another expression is drawn.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sr_engine::random::{Key, Purpose, Rng, problem_key};
use sr_expr::{Expr, Machine, Node, Op, Semantics, Tree};

use crate::primitives::{in_table_order, names};
use crate::problem::check_points;
use crate::{ARITH, Blocklist, Error, Exclusion, Mixture, Problem, ProblemSet, Provenance, Sampler, SetParams};

/// The probability that a leaf is a listed constant, once every variable has its leaf (preset `arith`).
const CONSTANT_PROBABILITY: f64 = 0.2;
/// A unary operator is put above subtrees of fewer nodes than this (the paper's maximal unary depth).
const UNARY_BELOW_SIZE: usize = 6;
/// The largest number of unary operators of an expression, preset `e2e`.
const E2E_UNARY: usize = 4;
/// An expression of the preset `e2e` has at most its number of variables plus this many binary operators.
const E2E_BINARY_OFFSET: usize = 3;
/// The largest number of points of a problem, if no number is asked for.
const MAX_POINTS: usize = 200;
/// The smallest number of points with the preset `arith`.
const MIN_POINTS: usize = 50;
/// The smallest number of points for each variable with the preset `e2e`.
const E2E_POINTS_PER_VARIABLE: usize = 5;
/// The bound on |y|. Its square still fits 32 bits, so that an MSE does.
const MAX_Y: f64 = 1e18;
/// The largest number of variables. The tree counts grow like 4 to the number of operators and have to stay finite.
const MAX_VARIABLES: u16 = 100;
/// The number of expressions drawn for one problem before giving up.
const MAX_ATTEMPTS: u32 = 10_000;

/// The settings of the random generator, which the header of its files holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandomParams {
    /// The kind of expressions.
    pub preset: GeneratorPreset,
    /// The operators that expressions consist of and searches may use, in table order.
    #[serde(with = "names")]
    pub operators: Vec<Op>,
    /// The constants that searches may use. With [`GeneratorPreset::Arith`] they are the only numbers in the
    /// expressions.
    pub constants: Vec<f64>,
    /// The largest number of variables, 1 to 100; the number is uniform from 1 to this. It is 10 in the paper, and 3
    /// for `arith`, whose searches are short.
    pub max_variables: u16,
    /// The number of points of every problem, at least 2. With `None` it is uniform in 50 to 200 for `arith`, and from
    /// 5 a variable to 200 for `e2e`.
    pub points: Option<u32>,
    /// The bound that |y| has to stay below, else the expression is dropped. 1e18 lets an MSE fit 32 bits; the paper
    /// has 1e103.
    pub max_y: f64,
    /// The seed of every problem.
    pub seed: u64,
    /// The sources of excluded formulas. [`Generator::excluding`] sets it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<Exclusion>,
}

/// The two kinds of random expressions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GeneratorPreset {
    /// The paper's defaults: up to D + 3 binary and 4 unary operators, free constants in affine positions.
    E2e,
    /// Listed constants on the leaves and no others. With `n = round(4 · complexity)` there are up to `b + b · D`
    /// binary operators, where `b = max(1, n)`, and up to `n` unary ones.
    Arith {
        /// The complexity, 0 to 1.
        complexity: f64,
    },
}

impl RandomParams {
    /// Returns the settings of the paper's distribution over the paper's operators (those that it draws at all).
    pub fn e2e(constants: Vec<f64>, seed: u64) -> Self {
        let operators = "+,-,*,abs,inv,sqrt,log,exp,sin,cos,tan,atan,pow2,pow3";
        let operators = crate::parse_operators(operators).expect("every name is in the table");
        let preset = GeneratorPreset::E2e;
        let exclude = Vec::new();
        Self { preset, operators, constants, max_variables: 10, points: None, max_y: MAX_Y, seed, exclude }
    }

    /// Returns settings for expressions of these operators and constants, with up to 3 variables.
    pub fn arith(operators: Vec<Op>, constants: Vec<f64>, complexity: f64, seed: u64) -> Self {
        let preset = GeneratorPreset::Arith { complexity };
        let exclude = Vec::new();
        Self { preset, operators, constants, max_variables: 3, points: None, max_y: MAX_Y, seed, exclude }
    }

    /// Returns the first part of the problems' names: `e2e`, or operators and complexity, as in `arith_c05`.
    pub fn label(&self) -> String {
        let GeneratorPreset::Arith { complexity } = self.preset else { return "e2e".into() };
        let operators = match &*self.operators {
            operators if operators == ARITH => "arith",
            operators if operators == Op::ALL => "full",
            _ => "custom",
        };
        format!("{operators}_c{}", format!("{complexity:?}").replace('.', ""))
    }

    fn check(&self) -> Result<(), Error> {
        let fails = |name, value, expected| Err(Error::Setting { name, value, expected });
        match self.preset {
            GeneratorPreset::Arith { complexity } if !(0.0..=1.0).contains(&complexity) => {
                return fails("complexity", complexity, "0 to 1");
            }
            GeneratorPreset::E2e if !self.operators.contains(&Op::Add) || !self.operators.contains(&Op::Mul) => {
                return Err(Error::NoAffineOperators);
            }
            _ => {}
        }
        if let Some(&value) = self.constants.iter().find(|c| !c.is_finite()) {
            return Err(Error::BadConstant { text: value.to_string() });
        }
        match self {
            _ if !self.operators.iter().any(|op| op.arity() == 2) => Err(Error::NoBinaryOperator),
            Self { max_variables: n, .. } if !(1..=MAX_VARIABLES).contains(n) => {
                fails("max_variables", f64::from(*n), "1 to 100")
            }
            // One point cannot be standardised.
            Self { points: Some(n @ 0..2), .. } => fails("points", f64::from(*n), "2 or more"),
            Self { max_y, .. } if max_y.is_nan() || *max_y <= 0.0 => fails("max_y", *max_y, "a bound on |y| above 0"),
            Self { points: Some(points), max_variables, .. } => check_points(*points, (*max_variables).into(), 1),
            _ => Ok(()),
        }
    }
}

/// Returns how often the generator draws an operator, relative to the others of its arity: the paper's weights.
///
/// The paper gives `div`, `arcsin` and `arccos` the weight 0 and does not have the rest. Here they have 1, because an
/// operator that is listed should occur.
fn weight(op: Op) -> f64 {
    match op {
        Op::Sqrt => 5.0,
        Op::Inv | Op::Pow2 => 3.0,
        Op::Tan | Op::Atan => 0.2,
        _ => 1.0,
    }
}

/// A generator that makes random problems by number.
#[derive(Debug, Clone)]
pub struct Generator {
    params: RandomParams,
    label: String,
    counts: TreeCounts,
    unary: Weighted,
    binary: Weighted,
    blocklist: Option<Arc<Blocklist>>,
}

impl Generator {
    /// Checks the settings and makes a generator.
    ///
    /// # Errors
    /// Returns an error if a setting is out of its range or the operators do not suffice.
    pub fn new(mut params: RandomParams) -> Result<Self, Error> {
        params.operators = in_table_order(params.operators);
        params.check()?;
        let of_arity = |arity| Weighted::new(params.operators.iter().copied().filter(|op| op.arity() == arity));
        let (unary, binary) = (of_arity(1), of_arity(2));
        let counts = TreeCounts::new(max_binary(params.preset, params.max_variables.into()));
        Ok(Generator { label: params.label(), params, counts, unary, binary, blocklist: None })
    }

    /// Drops expressions that are on the list and draws others in their place, as with invalid ones. The list counts
    /// them. All other problems stay as they are.
    pub fn excluding(mut self, blocklist: Arc<Blocklist>) -> Self {
        self.params.exclude = blocklist.sources().to_vec();
        self.blocklist = Some(blocklist);
        self
    }

    /// Makes the first `count` problems, in parallel on the current rayon pool. It calls `done` after each.
    ///
    /// # Errors
    /// Returns an error where [`Generator::problem`] does, and if all of them would have more than 16 GiB of points.
    pub fn generate(&self, count: u32, done: impl Fn() + Sync) -> Result<ProblemSet, Error> {
        let made = self.generate_until(count, &AtomicBool::new(false), done)?;
        Ok(made.expect("nobody stops it"))
    }

    /// Makes problems like [`generate`](Self::generate), until `stop` is true. Returns `None` if it was stopped before
    /// the last problem.
    ///
    /// # Errors
    /// Returns an error where [`Generator::generate`] does.
    pub fn generate_until(
        &self,
        count: u32,
        stop: &AtomicBool,
        done: impl Fn() + Sync,
    ) -> Result<Option<ProblemSet>, Error> {
        self.check_size(count)?;
        let make = |index| match stop.load(Ordering::Relaxed) {
            true => None,
            false => Some(self.problem(index).inspect(|_| done())),
        };
        let problems: Vec<Problem> = (0..count).into_par_iter().map(make).while_some().collect::<Result<_, _>>()?;
        if problems.len() < count as usize {
            return Ok(None);
        }
        let params = SetParams {
            operators: self.params.operators.clone(),
            constants: self.params.constants.clone(),
            seed: self.params.seed,
            origin: Provenance::Random(self.params.clone()),
        };
        Ok(Some(ProblemSet { params, problems }))
    }

    /// Checks that `count` problems of a stated number of points do not have more than 16 GiB.
    ///
    /// # Errors
    /// Returns an [`Error::TooLarge`] that names both numbers, or an [`Error::TooManyPoints`].
    pub fn check_size(&self, count: u32) -> Result<(), Error> {
        match self.params.points {
            Some(points) => check_points(points, self.params.max_variables.into(), count as usize),
            None => Ok(()),
        }
    }

    /// Makes problem number `index`, which does not depend on the others. All of an expression's points are drawn
    /// together, and one bad value drops the expression; the number of variables and of points is kept.
    ///
    /// # Errors
    /// Returns an error if 10,000 expressions in a row are not valid, as with `log` and little else, or excluded.
    pub fn problem(&self, index: u32) -> Result<Problem, Error> {
        let RandomParams { preset, seed, .. } = self.params;
        let key = Key::new(seed, Purpose::Generator, problem_key("random")).slot(index);
        let mut rng = key.rng();
        let n_variables = 1 + rng.below(self.params.max_variables.into());
        let n_points = match (self.params.points, preset) {
            (Some(n), _) => n as usize,
            (None, GeneratorPreset::E2e) => {
                let least = MAX_POINTS.min(E2E_POINTS_PER_VARIABLE * n_variables);
                least + rng.below(MAX_POINTS - least + 1)
            }
            (None, GeneratorPreset::Arith { .. }) => MIN_POINTS + rng.below(MAX_POINTS - MIN_POINTS + 1),
        };
        let (mut machine, mut y) = (Machine::new(), Vec::new());
        for attempt in 1..=MAX_ATTEMPTS {
            let key = key.draw(attempt);
            let source = self.expression(n_variables, &mut key.rng());
            if !(0..n_variables).all(|variable| source.uses_variable(variable as u16)) {
                continue;
            }
            let (mixture, x) = Mixture::sample(n_variables, n_points, &mut Key { purpose: Purpose::Rows, ..key }.rng());
            machine.predict(&source, &x, Semantics::Ieee, &mut y);
            let is_valid = y.iter().all(|y| y.abs() < self.params.max_y);
            let is_excluded = || self.blocklist.as_ref().is_some_and(|list| !list.is_empty() && list.excludes(&source));
            if is_valid && !is_excluded() {
                return Ok(Problem {
                    id: format!("{}_s{seed}_{index:06}", self.label),
                    source: Some(source),
                    semantics: Semantics::Ieee,
                    x,
                    y,
                    weights: None,
                    operators: self.params.operators.clone(),
                    constants: self.params.constants.clone(),
                    sampler: Sampler::E2eMixture(mixture),
                    seed,
                });
            }
        }
        Err(Error::NoExpression { index, attempts: MAX_ATTEMPTS, n_variables: n_variables as u16 })
    }

    /// Draws a random expression, which may not use all variables.
    fn expression(&self, n_variables: usize, rng: &mut Rng) -> Expr {
        let n_binary = rng.below(max_binary(self.params.preset, n_variables) + 1);
        let n_unary = rng.below(max_unary(self.params.preset) + 1);
        let tree = self.binary_tree(n_binary, n_variables, rng);
        let tree = self.with_unary_operators(&tree, n_unary, rng);
        match self.params.preset {
            GeneratorPreset::E2e => with_affine_constants(&tree, rng),
            GeneratorPreset::Arith { .. } => tree,
        }
    }

    /// Draws a uniform binary tree (Lample & Charton, 2020, appendix C) with operators and leaves.
    fn binary_tree(&self, n_binary: usize, n_variables: usize, rng: &mut Rng) -> Expr {
        // The nodes in order of creation. A node without operator and operands is empty, and a leaf in the end.
        let mut nodes: Vec<Option<(Op, [usize; 2])>> = vec![None];
        let (mut next, mut empty) = (0, 1);
        for left in (1..=n_binary).rev() {
            let skipped = self.counts.position(empty, left, rng);
            next += skipped;
            nodes[next] = Some((self.binary.draw(rng), [nodes.len(), nodes.len() + 1]));
            nodes.extend([None, None]);
            next += 1;
            empty = empty - skipped + 1;
        }
        let mut order: Vec<usize> = (0..nodes.len()).filter(|&node| nodes[node].is_none()).collect();
        rng.shuffle(&mut order);
        let mut leaves = vec![Node::Var(0); nodes.len()]; // only those of `order` are looked at
        for (rank, &node) in order.iter().enumerate() {
            leaves[node] = self.leaf(rank, n_variables, rng);
        }
        let mut out = Vec::with_capacity(nodes.len());
        write_post_order(0, &nodes, &leaves, &mut out);
        Expr::new(out).expect("operands are written before their operator")
    }

    /// Draws leaf number `rank`: first every variable in turn, then a listed constant or any variable.
    fn leaf(&self, rank: usize, n_variables: usize, rng: &mut Rng) -> Node {
        let RandomParams { preset, constants, .. } = &self.params;
        if rank < n_variables {
            Node::Var(rank as u16)
        } else if *preset != GeneratorPreset::E2e && !constants.is_empty() && rng.chance(CONSTANT_PROBABILITY) {
            Node::Const(*rng.choose(constants))
        } else {
            Node::Var(rng.below(n_variables) as u16)
        }
    }

    /// Puts up to `n` unary operators above small subtrees, at most one above each and none above the root.
    ///
    /// The paper puts one above each and removes a random choice of them, which gives the same distribution.
    fn with_unary_operators(&self, tree: &Tree, n: usize, rng: &mut Rng) -> Expr {
        if self.unary.ops.is_empty() {
            return tree.to_owned();
        }
        let small = |&node: &usize| tree.subtree(node).size() < UNARY_BELOW_SIZE;
        let mut places: Vec<usize> = (0..tree.size() - 1).filter(small).collect();
        rng.shuffle(&mut places);
        places.truncate(n);
        let mut out = Vec::with_capacity(tree.size() + n);
        for (index, &node) in tree.nodes().iter().enumerate() {
            out.push(node);
            // In post-order, an operator behind a subtree's root is applied to that subtree.
            if places.contains(&index) {
                out.push(Node::Op(self.unary.draw(rng)));
            }
        }
        Expr::new(out).expect("a unary operator after a subtree keeps the order")
    }
}

/// Returns the largest number of binary operators of an expression.
fn max_binary(preset: GeneratorPreset, n_variables: usize) -> usize {
    match preset {
        GeneratorPreset::E2e => n_variables + E2E_BINARY_OFFSET,
        GeneratorPreset::Arith { .. } => {
            let b = max_unary(preset).max(1);
            b + b * n_variables
        }
    }
}

/// Returns the largest number of unary operators of an expression.
fn max_unary(preset: GeneratorPreset) -> usize {
    match preset {
        GeneratorPreset::E2e => E2E_UNARY,
        GeneratorPreset::Arith { complexity } => (4.0 * complexity).round_ties_even() as usize,
    }
}

fn write_post_order(node: usize, nodes: &[Option<(Op, [usize; 2])>], leaves: &[Node], out: &mut Vec<Node>) {
    match nodes[node] {
        None => out.push(leaves[node]),
        Some((op, operands)) => {
            operands.iter().for_each(|&operand| write_post_order(operand, nodes, leaves, out));
            out.push(Node::Op(op));
        }
    }
}

/// Puts affine constants into a tree as the paper's published generator does: `a + tree`; a factor for every operand of
/// `+` and `-` that is no sum itself; `a + b · u` inside every unary operator whose operand is no sum; and a factor for
/// the whole tree if it got none by these rules.
fn with_affine_constants(tree: &Tree, rng: &mut Rng) -> Expr {
    let mut inner = Vec::new();
    write_affine(tree, rng, &mut inner);
    let untouched = inner.len() == tree.size();
    let mut out = vec![random_constant(rng)];
    if untouched {
        out.push(random_constant(rng));
    }
    out.extend(inner);
    if untouched {
        out.push(Node::Op(Op::Mul));
    }
    out.push(Node::Op(Op::Add));
    Expr::new(out).expect("constants and operators come in pairs")
}

fn write_affine(tree: &Tree, rng: &mut Rng, out: &mut Vec<Node>) {
    let is_sum = |tree: &Tree| matches!(tree.nodes().last(), Some(Node::Op(Op::Add | Op::Sub)));
    let root = tree.size() - 1;
    match tree.nodes()[root] {
        Node::Op(op) if op.arity() == 2 => {
            let second = tree.subtree(root - 1);
            let first = tree.subtree(root - 1 - second.size());
            for operand in [first, second] {
                let scaled = is_sum(tree) && !is_sum(operand);
                if scaled {
                    out.push(random_constant(rng));
                }
                write_affine(operand, rng, out);
                if scaled {
                    out.push(Node::Op(Op::Mul));
                }
            }
        }
        Node::Op(_) => {
            let operand = tree.subtree(root - 1);
            let shifted = !is_sum(operand);
            if shifted {
                out.extend([random_constant(rng), random_constant(rng)]);
            }
            write_affine(operand, rng, out);
            if shifted {
                out.extend([Node::Op(Op::Mul), Node::Op(Op::Add)]);
            }
        }
        Node::Var(_) | Node::Const(_) => {}
    }
    out.push(tree.nodes()[root]);
}

/// Draws ± a number of three digits, 0.001 to 99.9 in size: sign, mantissa 1 to 999 and exponent −3 to −1 are uniform.
fn random_constant(rng: &mut Rng) -> Node {
    let sign = if rng.chance(0.5) { 1.0 } else { -1.0 };
    let mantissa = (1 + rng.below(999)) as f64;
    // Division by a power of ten rounds once, so that the number prints with its three digits.
    Node::Const(sign * mantissa / rng.choose(&[1000.0, 100.0, 10.0]))
}

/// Operators and the weights by which they are drawn.
#[derive(Debug, Clone)]
struct Weighted {
    ops: Vec<Op>,
    weights: Vec<f64>,
}

impl Weighted {
    fn new(ops: impl Iterator<Item = Op>) -> Self {
        let ops: Vec<Op> = ops.collect();
        Weighted { weights: ops.iter().map(|&op| weight(op)).collect(), ops }
    }

    fn draw(&self, rng: &mut Rng) -> Op {
        self.ops[rng.weighted(&self.weights)]
    }
}

/// `counts[n][e]`: the number of binary trees with `n` operators that `e` empty nodes can grow into.
///
/// `D(0, e) = 1`, `D(n, 0) = 0`, `D(n, e) = D(n, e − 1) + D(n − 1, e + 1)`: the first empty node stays a leaf, or
/// becomes an operator with two empty nodes. They are floats, because 4^n outgrows every integer type. They are exact
/// up to about 26 operators and good to 15 digits above.
#[derive(Debug, Clone)]
struct TreeCounts(Vec<Vec<f64>>);

impl TreeCounts {
    fn new(max_ops: usize) -> Self {
        // Each row is one shorter than the previous one: growing from one empty node never needs more.
        let mut counts: Vec<Vec<f64>> = vec![vec![1.0; max_ops + 2]];
        for n in 1..=max_ops {
            let mut row = vec![0.0];
            for e in 1..max_ops + 2 - n {
                row.push(row[e - 1] + counts[n - 1][e + 1]);
            }
            counts.push(row);
        }
        TreeCounts(counts)
    }

    /// Draws how many of `empty` nodes stay leaves before the one that gets the next of `ops` operators.
    fn position(&self, empty: usize, ops: usize, rng: &mut Rng) -> usize {
        let ways: Vec<f64> = (0..empty).map(|skipped| self.0[ops - 1][empty - skipped + 1]).collect();
        rng.weighted(&ways)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::atomic::AtomicU32;

    use super::*;

    fn generator(params: RandomParams) -> Generator {
        Generator::new(params).expect("test settings")
    }

    #[test]
    fn counts_are_catalan_numbers_and_the_table_stays_finite() {
        let catalan = [1.0, 1.0, 2.0, 5.0, 14.0, 42.0, 132.0, 429.0];
        let counts = TreeCounts::new(7);
        assert!((1..=7).all(|n| counts.0[n][1] == catalan[n]));
        let largest = TreeCounts::new(max_binary(GeneratorPreset::Arith { complexity: 1.0 }, MAX_VARIABLES.into()));
        assert!(largest.0.iter().flatten().all(|count| count.is_finite()));
    }

    #[test]
    fn binary_trees_are_uniform() {
        let generator = generator(RandomParams::arith(vec![Op::Add], vec![], 1.0, 0));
        let mut rng = Key::new(1, Purpose::Generator, 0).rng();
        let mut shapes: HashMap<String, i32> = HashMap::new();
        let n = 14 * 500;
        for _ in 0..n {
            *shapes.entry(generator.binary_tree(4, 1, &mut rng).to_string()).or_default() += 1;
        }
        assert_eq!(shapes.len(), 14);
        // 500 expected of each, standard deviation 21.5; five of them.
        assert!(shapes.values().all(|&count| (count - 500).abs() < 108), "{shapes:?}");
    }

    #[test]
    fn affine_constants_stand_where_the_paper_puts_them() {
        for (text, skeleton) in [
            ("x0", "(C + (C * x0))"),
            ("x0 * x1", "(C + (C * (x0 * x1)))"),
            ("x0 + x1", "(C + ((C * x0) + (C * x1)))"),
            ("x0 - (x0 + x1)", "(C + ((C * x0) - ((C * x0) + (C * x1))))"),
            ("sin(x0) * x1", "(C + (sin((C + (C * x0))) * x1))"),
            ("exp(x0 + x1)", "(C + exp(((C * x0) + (C * x1))))"),
        ] {
            let tree: Expr = text.parse().unwrap();
            let mut rng = Key::new(1, Purpose::Generator, 0).rng();
            let expr = with_affine_constants(&tree, &mut rng);
            assert_eq!(expr.skeleton(), skeleton);
            for node in expr.nodes() {
                let Node::Const(c) = node else { continue };
                assert!((0.001..=99.9).contains(&c.abs()) && c.to_string().len() <= 6, "{c}");
            }
        }
    }

    #[test]
    fn unary_operators_stand_above_small_subtrees_and_not_above_the_root() {
        let generator = generator(RandomParams::arith(vec![Op::Add, Op::Sin], vec![], 1.0, 0));
        let mut rng = Key::new(1, Purpose::Generator, 0).rng();
        let tree: Expr = "((x0 + x1) + (x2 + x3)) + x4".parse().unwrap();
        for n in 0..4 {
            let expr = generator.with_unary_operators(&tree, n, &mut rng);
            assert_eq!(expr.size(), tree.size() + n);
            assert_eq!(expr.nodes().last(), Some(&Node::Op(Op::Add)));
        }
        let expr = generator.with_unary_operators(&tree, 100, &mut rng);
        assert_eq!(expr.to_string().matches("sin").count(), 7, "five leaves and two pairs: {expr}");
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        let message = |params: RandomParams| Generator::new(params).unwrap_err().to_string();
        let arith = RandomParams::arith(ARITH.to_vec(), vec![1.0], 0.5, 0);
        let complexity = GeneratorPreset::Arith { complexity: 1.5 };
        assert!(message(RandomParams { preset: complexity, ..arith.clone() }).contains("complexity is 1.5"));
        assert!(message(RandomParams { max_variables: 0, ..arith.clone() }).contains("variables is 0"));
        assert!(message(RandomParams { points: Some(1), ..arith.clone() }).contains("points is 1"));
        let most = (1 << 30) / 32; // of three variables and y
        assert!(Generator::new(RandomParams { points: Some(most), ..arith.clone() }).is_ok());
        let too_many = message(RandomParams { points: Some(most + 1), ..arith.clone() });
        assert_eq!(
            too_many,
            "points is 33554433, expected at most 33554432 with 3 variables: a problem has to fit 1 GiB"
        );
        let many = generator(RandomParams { points: Some(most), ..arith.clone() }).generate(17, || ()).unwrap_err();
        assert_eq!(many.to_string(), "17 problems of 33554432 points: expected less than 16 GiB in all");
        assert!(message(RandomParams { max_y: f64::NAN, ..arith.clone() }).contains("|y|"));
        assert!(message(RandomParams { constants: vec![f64::NAN], ..arith.clone() }).contains("NaN"));
        assert!(message(RandomParams { operators: vec![Op::Sin], ..arith }).contains("binary"));
        let e2e = RandomParams::e2e(vec![], 0);
        assert!(message(RandomParams { operators: vec![Op::Sub, Op::Sin], ..e2e }).contains("affine"));
    }

    #[test]
    fn a_generator_stops_when_it_is_told() {
        let generator = generator(RandomParams::arith(ARITH.to_vec(), vec![1.0], 0.5, 0));
        let (stop, made) = (AtomicBool::new(false), AtomicU32::new(0));
        let count = || {
            if made.fetch_add(1, Ordering::Relaxed) == 20 {
                stop.store(true, Ordering::Relaxed);
            }
        };
        assert_eq!(generator.generate_until(100_000, &stop, count).unwrap(), None);
        assert!((21..1000).contains(&made.into_inner()), "the problems that were begun are ended");
        let whole = generator.generate_until(30, &AtomicBool::new(false), || ()).unwrap();
        assert_eq!(whole, Some(generator.generate(30, || ()).unwrap()));
    }

    #[test]
    fn hopeless_settings_end_with_an_error() {
        let params = RandomParams::arith(vec![Op::Add], vec![], 0.0, 0);
        let params = RandomParams { max_y: 1e-300, ..params };
        assert!(matches!(generator(params).problem(0), Err(Error::NoExpression { attempts: MAX_ATTEMPTS, .. })));
    }
}
