//! The operators of [`Variation::Node`](crate::Variation::Node): small changes of a tree, and subtree crossover.

use smallvec::SmallVec;
use sr_expr::{Node, Op, Tree};

use crate::expert::{Grower, MUTATION_DEPTH};
use crate::random::Rng;
use crate::{Child, Offspring, Origin, Parents, Population, PrimitiveSet, State, Survival};

/// Draws of a child that is within the limits, before its parent is copied.
const ATTEMPTS: u32 = 5;
/// Probability that a mutation is followed by another one.
const SECOND_PROBABILITY: f64 = 0.5;
/// Probability that a terminal is a variable rather than a constant.
const VARIABLE_PROBABILITY: f64 = 0.7;
/// Probability that a constant that is drawn is 1, where constants are fitted.
const ONE_PROBABILITY: f64 = 0.4;
/// Probability that functions of one kind inside of each other are taken.
const NESTED_PROBABILITY: f64 = 0.1;

/// A change of one tree.
#[derive(Debug, Clone, Copy)]
enum Change {
    /// Another operator of the same arity, or another terminal.
    Point,
    /// An operator over a subtree.
    Insert,
    /// A subtree in the place of the operator over it.
    Delete,
    /// A random subtree in the place of another.
    Subtree,
    /// A copy of a subtree in the place of another one of the same tree.
    Copy,
    /// A random term at the root.
    Term,
    /// A constant that is added to a subtree or multiplies it.
    Constant,
    /// The operands of an operator the other way round.
    Swap,
    /// Other constants.
    Redraw,
}

/// Each change with its weight. Those of published engines, see `docs/algorithms/search.md`.
const CHANGES: [(Change, f64); 9] = [
    (Change::Point, 3.0),
    (Change::Insert, 4.0),
    (Change::Delete, 4.0),
    (Change::Subtree, 2.0),
    (Change::Copy, 1.0),
    (Change::Term, 1.5),
    (Change::Constant, 1.5),
    (Change::Swap, 0.5),
    (Change::Redraw, 0.5),
];

/// The nodes of a tree that is being changed.
type Nodes = SmallVec<[Node; 64]>;

/// Adds the child of one slot.
pub(crate) fn child(state: &State<'_>, rng: &mut Rng, offspring: &mut Offspring) {
    let population = state.population;
    let fits = state.config.fitting.is_some_and(|fitting| fitting.steps > 0);
    let maker = Maker { primitives: state.instance.primitives(), fits };
    let mut made = Nodes::new();
    for _ in 0..ATTEMPTS {
        let parent = tournament(state, rng);
        let tree = population.tree(parent);
        made.clear();
        made.extend_from_slice(tree.nodes());
        let (origin, parents) = if rng.chance(state.config.crossover_probability) {
            let donor = tournament(state, rng);
            crossover(&mut made, population.tree(donor), rng);
            (Origin::Crossover, Parents::Two(parent as u32, donor as u32))
        } else {
            maker.mutate(&mut made, rng);
            if rng.chance(SECOND_PROBABILITY) {
                maker.mutate(&mut made, rng);
            }
            (Origin::Mutation, Parents::One(parent as u32))
        };
        fold_constants(&mut made);
        let whole = Tree::new(&made).expect("changes make whole trees");
        let tree = if state.config.fitting.is_some() { whole.core() } else { whole };
        let is_sound = tree.size() <= state.limits().max_size
            && (tree.n_variables() > 0 || maker.primitives.n_variables() == 0)
            && (!is_nested(tree) || rng.chance(NESTED_PROBABILITY));
        if is_sound {
            return offspring.push(&Child { tree, origin, parents, edit: None, log_prob: None });
        }
    }
    let parent = tournament(state, rng);
    let parents = Parents::One(parent as u32);
    offspring.push(&Child {
        tree: population.tree(parent),
        origin: Origin::Mutation,
        parents,
        edit: None,
        log_prob: None,
    });
}

/// Returns the winner of a tournament: the fittest, or in half of the tournaments under [`Survival::Pareto`] the one of
/// the best rank.
fn tournament(state: &State<'_>, rng: &mut Rng) -> usize {
    let population: &Population = state.population;
    let by_rank = state.config.survival == Survival::Pareto && rng.chance(0.5);
    let mut contestants = (0..state.config.tournament_size).map(|_| rng.below(population.len()));
    let first = contestants.next().expect("a tournament has a contestant");
    contestants.fold(first, |best, other| {
        let is_better = match by_rank {
            true => other < best,
            false => population.score(other).fitness > population.score(best).fitness,
        };
        if is_better { other } else { best }
    })
}

fn crossover(nodes: &mut Nodes, donor: &Tree, rng: &mut Rng) {
    let graft = donor.subtree(rng.below(donor.size()));
    let at = rng.below(nodes.len());
    replace(nodes, at, graft.nodes());
}

/// Makes changes with the operators of a problem.
struct Maker<'a> {
    primitives: &'a PrimitiveSet,
    /// Whether constants are fitted, so that new ones can have any value.
    fits: bool,
}

impl Maker<'_> {
    /// Changes the tree once, or leaves it as it is where the change is not possible.
    fn mutate(&self, nodes: &mut Nodes, rng: &mut Rng) {
        let (change, _) = CHANGES[rng.weighted(&CHANGES.map(|(_, weight)| weight))];
        let at = rng.below(nodes.len());
        match change {
            Change::Point => self.point(nodes, at, rng),
            Change::Insert => self.insert(nodes, at, rng),
            Change::Delete => delete(nodes, rng),
            Change::Subtree => {
                let new = self.random(rng);
                replace(nodes, at, &new);
            }
            Change::Copy => {
                let from = rng.below(nodes.len());
                let copy = Nodes::from_slice(&nodes[start_of(nodes, from)..=from]);
                replace(nodes, at, &copy);
            }
            Change::Term => {
                let mut new = self.random(rng);
                if self.fits && self.has(Op::Mul) && rng.chance(0.5) {
                    new.extend([Node::Const(1.0), Node::Op(Op::Mul)]);
                }
                let ops: SmallVec<[Op; 2]> = [Op::Add, Op::Sub].into_iter().filter(|&op| self.has(op)).collect();
                if !ops.is_empty() {
                    nodes.extend(new);
                    nodes.push(Node::Op(*rng.choose(&ops)));
                }
            }
            Change::Constant => {
                let ops: SmallVec<[Op; 2]> = [Op::Add, Op::Mul].into_iter().filter(|&op| self.has(op)).collect();
                if self.fits && !ops.is_empty() {
                    let op = *rng.choose(&ops);
                    let value = if op == Op::Mul { 1.0 } else { self.constant(rng) };
                    let mut new = Nodes::from_slice(&nodes[start_of(nodes, at)..=at]);
                    new.extend([Node::Const(value), Node::Op(op)]);
                    replace(nodes, at, &new);
                }
            }
            Change::Swap => swap(nodes, at),
            Change::Redraw => {
                for node in nodes.iter_mut() {
                    if let Node::Const(value) = node {
                        *value =
                            if self.fits && *value != 0.0 { *value * (1.0 + rng.normal()) } else { self.constant(rng) };
                    }
                }
            }
        }
    }

    fn has(&self, op: Op) -> bool {
        self.primitives.ops().contains(&op)
    }

    fn point(&self, nodes: &mut Nodes, at: usize, rng: &mut Rng) {
        nodes[at] = match nodes[at] {
            Node::Op(op) => {
                let ops: SmallVec<[Op; 20]> = self.primitives.ops_of(op.arity()).collect();
                // A population that was recorded may have operators that the primitives have not.
                Node::Op(if ops.is_empty() { op } else { *rng.choose(&ops) })
            }
            _ => self.terminal(rng),
        };
    }

    fn insert(&self, nodes: &mut Nodes, at: usize, rng: &mut Rng) {
        if self.primitives.ops().is_empty() {
            return;
        }
        let op = *rng.choose(self.primitives.ops());
        let operand = Nodes::from_slice(&nodes[start_of(nodes, at)..=at]);
        let mut new = Nodes::new();
        if op.arity() == 1 {
            new.extend(operand);
        } else {
            let other = if rng.chance(0.7) { Nodes::from_slice(&[self.terminal(rng)]) } else { self.random(rng) };
            let (left, right) = if rng.chance(0.5) { (operand, other) } else { (other, operand) };
            new.extend(left);
            new.extend(right);
        }
        new.push(Node::Op(op));
        replace(nodes, at, &new);
    }

    fn random(&self, rng: &mut Rng) -> Nodes {
        let mut grown = SmallVec::new();
        Grower::new(self.primitives).grow(MUTATION_DEPTH, true, rng, &mut grown);
        let is_listed = |node: &Node| matches!(node, Node::Const(_));
        grown
            .iter()
            .map(|node| if self.fits && is_listed(node) { Node::Const(self.constant(rng)) } else { *node })
            .collect()
    }

    fn terminal(&self, rng: &mut Rng) -> Node {
        let variables = usize::from(self.primitives.n_variables());
        let has_constants = self.fits || !self.primitives.constants().is_empty();
        match variables > 0 && (!has_constants || rng.chance(VARIABLE_PROBABILITY)) {
            true => Node::Var(rng.below(variables) as u16),
            false => Node::Const(self.constant(rng)),
        }
    }

    fn constant(&self, rng: &mut Rng) -> f64 {
        match self.primitives.constants() {
            _ if self.fits && rng.chance(ONE_PROBABILITY) => 1.0,
            _ if self.fits => 2.0 * rng.normal(),
            [] => 1.0,
            listed => *rng.choose(listed),
        }
    }
}

/// Returns where the subtree with this root starts.
fn start_of(nodes: &[Node], root: usize) -> usize {
    let (mut at, mut missing) = (root, 1);
    loop {
        missing = missing - 1 + nodes[at].arity();
        if missing == 0 {
            return at;
        }
        at -= 1;
    }
}

fn replace(nodes: &mut Nodes, at: usize, new: &[Node]) {
    let start = start_of(nodes, at);
    let tail = Nodes::from_slice(&nodes[at + 1..]);
    nodes.truncate(start);
    nodes.extend_from_slice(new);
    nodes.extend_from_slice(&tail);
}

/// Puts one operand in the place of a random operator.
fn delete(nodes: &mut Nodes, rng: &mut Rng) {
    let operators = nodes.iter().filter(|node| node.arity() > 0).count();
    if operators == 0 {
        return;
    }
    let chosen = rng.below(operators);
    let at = (0..nodes.len()).filter(|&at| nodes[at].arity() > 0).nth(chosen).expect("it was counted");
    let right = at - 1;
    let operand = match nodes[at].arity() == 2 && rng.chance(0.5) {
        true => start_of(nodes, right) - 1,
        false => right,
    };
    let kept = Nodes::from_slice(&nodes[start_of(nodes, operand)..=operand]);
    replace(nodes, at, &kept);
}

fn swap(nodes: &mut Nodes, at: usize) {
    if nodes[at].arity() == 2 {
        let middle = start_of(nodes, at - 1);
        let start = start_of(nodes, middle - 1);
        nodes[start..at].rotate_left(middle - start);
    }
}

/// Computes operations on constants alone, where the result is finite.
fn fold_constants(nodes: &mut Nodes) {
    let mut kept = 0;
    for at in 0..nodes.len() {
        let node = nodes[at];
        let constant = |at: usize| match nodes[at] {
            Node::Const(value) => Some(value),
            _ => None,
        };
        let folded = match node {
            Node::Op(op) if op.arity() == 1 => {
                constant(kept - 1).map(|a| (1, op.apply(sr_expr::Semantics::Ieee, a, 0.0)))
            }
            Node::Op(op) => match (constant(kept - 1), kept.checked_sub(2).and_then(constant)) {
                (Some(b), Some(a)) => Some((2, op.apply(sr_expr::Semantics::Ieee, a, b))),
                _ => None,
            },
            _ => None,
        };
        match folded.filter(|(_, value)| value.is_finite()) {
            Some((operands, value)) => {
                kept -= operands;
                nodes[kept] = Node::Const(value);
            }
            None => nodes[kept] = node,
        }
        kept += 1;
    }
    nodes.truncate(kept);
}

/// Returns whether a sine, cosine or tangent stands inside of another, an exponential or logarithm inside of another, or
/// three squares, cubes or roots inside of each other, whose towers come near to any function.
fn is_nested(tree: &Tree) -> bool {
    const WAVE: u8 = 1;
    const EXPONENTIAL: u8 = 2;
    const POWER: u8 = 4;
    const POWER_OF_POWER: u8 = 8;
    let mut stack = SmallVec::<[u8; 32]>::new();
    for node in tree.nodes() {
        let mut inside = 0;
        for _ in 0..node.arity() {
            inside |= stack.pop().expect("operands come before their operator");
        }
        let own = match node {
            Node::Op(Op::Sin | Op::Cos | Op::Tan | Op::Tanh) => WAVE,
            Node::Op(Op::Exp | Op::Log) => EXPONENTIAL,
            Node::Op(Op::Pow2 | Op::Pow3 | Op::Sqrt | Op::Pow) => match inside & (POWER | POWER_OF_POWER) {
                0 => POWER,
                POWER => {
                    inside &= !POWER;
                    POWER_OF_POWER
                }
                _ => POWER_OF_POWER,
            },
            _ => 0,
        };
        if inside & own != 0 {
            return true;
        }
        stack.push(inside | own);
    }
    false
}

#[cfg(test)]
mod tests {
    use sr_expr::Expr;

    use super::*;
    use crate::random::{Key, Purpose};

    fn nodes(text: &str) -> Nodes {
        Nodes::from_vec(text.parse::<Expr>().expect(text).into_nodes())
    }

    fn text(nodes: &Nodes) -> String {
        Tree::new(nodes).expect("a tree").to_string()
    }

    #[test]
    fn constants_are_folded_where_they_are_alone() {
        for (before, after) in [
            ("x0 + 2.0*3.0", "(x0 + 6.0)"),
            ("sin(0.0)*x0", "(0.0 * x0)"),
            ("x0*2.0*3.0", "((x0 * 2.0) * 3.0)"),
            ("(1.0 + 1.0)/(2.0 - 2.0)", "(2.0 / 0.0)"),
            ("sqrt(2.0 + 2.0)", "2.0"),
        ] {
            let mut folded = nodes(before);
            fold_constants(&mut folded);
            assert_eq!(text(&folded), after);
        }
    }

    #[test]
    fn operands_are_swapped_and_subtrees_replaced() {
        let mut tree = nodes("x0*x1 - sin(x2)");
        let root = tree.len() - 1;
        swap(&mut tree, root);
        assert_eq!(text(&tree), "(sin(x2) - (x0 * x1))");
        replace(&mut tree, 1, nodes("x3 + 1.0").as_slice());
        assert_eq!(text(&tree), "((x3 + 1.0) - (x0 * x1))");
    }

    #[test]
    fn functions_of_one_kind_inside_of_each_other_are_seen() {
        let nested = |text: &str| is_nested(Tree::new(&nodes(text)).expect("a tree"));
        assert!(nested("sin(x0 + cos(x1))") && nested("log(1.0 + exp(x0))"));
        assert!(nested("sqrt(x0 + pow2(x1 + pow3(x0)))") && nested("pow2(pow2(pow2(x0)))"));
        assert!(!nested("sin(exp(x0))") && !nested("sin(x0)*sin(x1)"));
        assert!(!nested("pow2(pow2(x0) + x1) + pow3(sqrt(x0))"));
    }

    #[test]
    fn every_change_makes_whole_trees_of_the_primitives() {
        let primitives = PrimitiveSet::new(vec![Op::Add, Op::Sub, Op::Mul, Op::Sin], vec![1.0], 3).expect("primitives");
        for fits in [false, true] {
            let maker = Maker { primitives: &primitives, fits };
            let mut rng = Key::new(1, Purpose::Search, 1).rng();
            let mut tree = nodes("x0*x1 + sin(x2)");
            for _ in 0..5_000 {
                maker.mutate(&mut tree, &mut rng);
                fold_constants(&mut tree);
                let whole = Tree::new(&tree).expect("a tree");
                assert!(whole.n_variables() <= 3);
                let is_there = |node: &Node| !matches!(node, Node::Op(op) if !primitives.ops().contains(op));
                assert!(whole.nodes().iter().all(is_there));
                if tree.len() > 40 {
                    tree = nodes("x0*x1 + sin(x2)");
                }
            }
        }
    }
}
