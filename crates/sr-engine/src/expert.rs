//! The expert: genetic programming as in the reference engine ("BasicSR").

use std::borrow::Cow;
use std::collections::HashSet;

use smallvec::SmallVec;
use sr_expr::{Expr, Node, Op, Tree};

use crate::random::{Key, Rng};
use crate::search::UNIQUE_ATTEMPTS;
use crate::{
    Deadline, Edit, Instance, Limits, Offspring, Origin, Parents, Policy, PolicyError, Population, PrimitiveSet,
    Replacement, Request, State, Variation, variation,
};

/// Probability that a terminal is a variable rather than a listed constant.
const VARIABLE_PROBABILITY: f64 = 0.7;
/// Probability that a node below the root of a random tree is a terminal.
const TERMINAL_PROBABILITY: f64 = 0.3;
/// Probability that an inner node of a random tree is unary, if there are unary operators.
const UNARY_PROBABILITY: f64 = 0.35;
/// Probability that mutation writes a terminal rather than a random subtree.
const POINT_MUTATION_PROBABILITY: f64 = 0.5;
/// Depth of the random subtree that mutation writes, in edges.
pub(crate) const MUTATION_DEPTH: usize = 2;
/// Random trees drawn for a slot of the initial population before a terminal fills it.
const INITIAL_ATTEMPTS: u32 = 100;

/// The nodes of a random tree that is being grown. Mutation writes 7 nodes at most, so it allocates nothing.
type Nodes = SmallVec<[Node; 8]>;
/// Operators of one arity.
type Ops = SmallVec<[Op; 20]>;

/// Genetic programming (Koza, 1992) with tournament selection, subtree crossover and subtree mutation.
#[derive(Debug, Default, Clone, Copy)]
pub struct Expert;

impl Policy for Expert {
    fn propose(&mut self, requests: &mut [Request<'_>]) -> Result<(), PolicyError> {
        for Request { state, wanted, offspring } in requests {
            Expert::children(state, *wanted, offspring);
        }
        Ok(())
    }
}

impl Expert {
    /// Adds the children of the first `wanted` slots.
    pub fn children(state: &State<'_>, wanted: usize, offspring: &mut Offspring) {
        (0..wanted).for_each(|slot| Expert::child(state, slot, offspring));
    }

    /// Adds the child of one slot, as [`child`](Self::child) does. Under [`SearchConfig::unique`](crate::SearchConfig) it
    /// is drawn again, up to 20 times, until it is new: the search has not met it, and it is not in `met`, to which it is
    /// added. If none is, the last one is added, and the search refuses it.
    ///
    /// A policy that asks the expert for some children has its own ones in `met`.
    pub fn new_child(state: &State<'_>, slot: usize, offspring: &mut Offspring, met: &mut HashSet<u64>) {
        let before = offspring.len();
        for attempt in 0..UNIQUE_ATTEMPTS {
            offspring.retain_from(before, |_| false);
            // The search itself asks again with the draws below.
            let key = state.key.draw(state.key.draw + attempt * UNIQUE_ATTEMPTS);
            Expert::child(&State { key, ..*state }, slot, offspring);
            let identity = state.config.identity(offspring.tree(before));
            if !state.config.unique || !state.seen.contains(&identity) && met.insert(identity) {
                return;
            }
        }
    }

    /// Adds the child of one slot: crossover of two tournament winners, or mutation of one.
    pub fn child(state: &State<'_>, slot: usize, offspring: &mut Offspring) {
        let mut rng = state.key.slot(slot as u32).rng();
        if state.config.variation == Variation::Node {
            variation::child(state, &mut rng, offspring);
        } else if rng.chance(state.config.crossover_probability) {
            crossover(state, &mut rng, offspring);
        } else {
            mutation(state, &mut rng, offspring);
        }
    }
}

/// Replaces a random subtree of one parent by a random subtree of another. If the child is too large, it is a copy of
/// the first parent.
fn crossover(state: &State<'_>, rng: &mut Rng, offspring: &mut Offspring) {
    let (receiver, donor) = (tournament(state, rng), tournament(state, rng));
    let node = rng.below(state.population.tree(receiver).size()) as u32;
    let graft = rng.below(state.population.tree(donor).size()) as u32;
    let (receiver, donor) = (receiver as u32, donor as u32);
    let edit = Edit { parent: receiver, node, replacement: Replacement::Donor { parent: donor, node: graft } };
    let parents = Parents::Two(receiver, donor);
    offspring.graft(state.population, &edit, state.limits().max_size, Origin::Crossover, parents);
}

/// Replaces a random subtree by a terminal or by a small random tree. If the child is too large, it is a copy of the
/// parent.
fn mutation(state: &State<'_>, rng: &mut Rng, offspring: &mut Offspring) {
    let primitives = state.instance.primitives();
    let index = tournament(state, rng);
    let node = rng.below(state.population.tree(index).size()) as u32;
    let mut written = Nodes::new();
    if rng.chance(POINT_MUTATION_PROBABILITY) {
        written.push(terminal(primitives, rng));
    } else {
        Grower::new(primitives).grow(MUTATION_DEPTH, true, rng, &mut written);
    }
    let parent = index as u32;
    let written = Tree::new(&written).expect("what is grown is one tree");
    let edit = Edit { parent, node, replacement: Replacement::Written(Cow::Borrowed(written)) };
    offspring.graft(state.population, &edit, state.limits().max_size, Origin::Mutation, Parents::One(parent));
}

/// Returns the index of the fittest of `tournament_size` distinct individuals. Among equals the first drawn wins.
fn tournament(state: &State<'_>, rng: &mut Rng) -> usize {
    let population: &Population = state.population;
    let size = state.config.tournament_size.min(population.len());
    // Floyd's sampling without replacement (Bentley & Floyd, 1987): one draw for each contestant.
    let mut drawn = [0; 16];
    let mut many;
    let drawn = if size <= drawn.len() {
        &mut drawn[..size]
    } else {
        many = vec![0; size];
        &mut many[..]
    };
    let mut winner = (0, f64::NEG_INFINITY);
    for count in 0..size {
        let last = population.len() - size + count;
        let candidate = rng.below(last + 1);
        let index = if drawn[..count].contains(&candidate) { last } else { candidate };
        drawn[count] = index;
        let fitness = population.score(index).fitness;
        if count == 0 || fitness > winner.1 {
            winner = (index, fitness);
        }
    }
    winner.0
}

/// Returns a variable with probability 0.7, else a listed constant. If there are only variables or only constants, it
/// returns one of those.
#[inline(always)]
fn terminal(primitives: &PrimitiveSet, rng: &mut Rng) -> Node {
    let constants = primitives.constants();
    let variables = usize::from(primitives.n_variables());
    let is_variable = variables > 0 && (constants.is_empty() || rng.chance(VARIABLE_PROBABILITY));
    let index = rng.below(if is_variable { variables } else { constants.len() });
    if is_variable { Node::Var(index as u16) } else { Node::Const(constants[index]) }
}

/// Returns a random tree within limits. It calls [`try_random_tree`] up to 100 times, each time with another draw of
/// `key`, and then returns a terminal. O(100 · `max_size`) at most, whatever the depth.
///
/// # Panics
/// Panics if `max_size` is 0.
pub fn random_tree(primitives: &PrimitiveSet, limits: Limits, key: Key) -> Expr {
    assert!(limits.max_size > 0, "a tree has a node");
    let mut draws = (0..INITIAL_ATTEMPTS).map(|attempt| key.draw(attempt).rng());
    let tree = draws.find_map(|mut rng| try_random_tree(primitives, limits, &mut rng));
    tree.unwrap_or_else(|| Expr::leaf(terminal(primitives, &mut key.draw(INITIAL_ATTEMPTS).rng())))
}

/// Draws a random tree once; returns `None` as soon as the tree is sure to outgrow `limits.max_size`. O(`max_size`).
///
/// A node is a terminal at the greatest depth, or below the root with probability 0.3; else a unary operator with
/// probability 0.35, else a binary one. Each level of an unlimited tree has 1.2 to 1.4 times the nodes of the one
/// above.
pub fn try_random_tree(primitives: &PrimitiveSet, limits: Limits, rng: &mut Rng) -> Option<Expr> {
    let mut nodes = Nodes::new();
    let fits = Grower::new(primitives).grow_within(limits, rng, &mut nodes);
    fits.then(|| Expr::new(nodes.into_vec()).expect("operands are written before their operator"))
}

/// Draws random trees.
pub(crate) struct Grower<'a> {
    primitives: &'a PrimitiveSet,
    unary: Ops,
    binary: Ops,
}

impl<'a> Grower<'a> {
    pub(crate) fn new(primitives: &'a PrimitiveSet) -> Self {
        Grower { primitives, unary: primitives.ops_of(1).collect(), binary: primitives.ops_of(2).collect() }
    }

    /// Writes a tree.
    pub(crate) fn grow(&self, depth: usize, is_root: bool, rng: &mut Rng, nodes: &mut Nodes) {
        match self.operator(depth, is_root, rng) {
            None => nodes.push(terminal(self.primitives, rng)),
            Some(op) => {
                (0..op.arity()).for_each(|_| self.grow(depth - 1, false, rng, nodes));
                nodes.push(Node::Op(op));
            }
        }
    }

    /// Writes a tree, without recursion. Returns `false` as soon as the tree is sure to have more nodes than the limit.
    fn grow_within(&self, limits: Limits, rng: &mut Rng, nodes: &mut Nodes) -> bool {
        /// A part still to be written: a subtree of this depth at most, or the operator over subtrees written before.
        enum Open {
            Subtree(usize),
            Operator(Op),
        }
        let mut open = vec![Open::Subtree(limits.max_depth)];
        while let Some(next) = open.pop() {
            match next {
                Open::Operator(op) => nodes.push(Node::Op(op)),
                Open::Subtree(depth) => {
                    let is_root = nodes.is_empty() && open.is_empty();
                    match self.operator(depth, is_root, rng) {
                        None => nodes.push(terminal(self.primitives, rng)),
                        Some(op) => {
                            open.push(Open::Operator(op));
                            open.extend((0..op.arity()).map(|_| Open::Subtree(depth - 1)));
                        }
                    }
                }
            }
            if nodes.len() + open.len() > limits.max_size {
                return false; // each of them is a node at least
            }
        }
        true
    }

    /// Returns the size of the tree that [`grow`](Self::grow) would write, which may be large. It draws the same
    /// numbers.
    fn size(&self, depth: usize, rng: &mut Rng) -> usize {
        let mut size = 0;
        let mut open = SmallVec::<[usize; 32]>::from_slice(&[depth]);
        while let Some(depth) = open.pop() {
            size += 1;
            match self.operator(depth, size == 1, rng) {
                None => drop(terminal(self.primitives, rng)),
                Some(op) => (0..op.arity()).for_each(|_| open.push(depth - 1)),
            }
        }
        size
    }

    /// Returns the operator of the next node, or `None` if the node is a terminal.
    #[inline(always)]
    fn operator(&self, depth: usize, is_root: bool, rng: &mut Rng) -> Option<Op> {
        let Grower { unary, binary, .. } = self;
        let no_operators = unary.is_empty() && binary.is_empty();
        if depth == 0 || no_operators || (!is_root && rng.chance(TERMINAL_PROBABILITY)) {
            return None;
        }
        let is_unary = binary.is_empty() || (!unary.is_empty() && rng.chance(UNARY_PROBABILITY));
        Some(*rng.choose(if is_unary { unary } else { binary }))
    }
}

/// Returns the initial population of the reference engine, in this order and then cut to size: every variable; every
/// constant; `x + c` and `x * c` for every pair; `x * x`; `u(x)` for every unary operator; then random trees within the
/// limits.
///
/// Expressions that need an operator outside of the primitive set, or are larger than the limit, are left out. Past the
/// deadline no more random trees are grown.
pub(crate) fn initial_population(
    instance: &Instance,
    config: &crate::SearchConfig,
    deadline: Deadline<'_>,
    mut rng: impl FnMut(u32) -> Rng,
) -> Vec<Expr> {
    let primitives = instance.primitives();
    let has = |op: Op| primitives.ops().contains(&op);
    let variables: Vec<Expr> = (0..primitives.n_variables()).map(Expr::var).collect();
    let constants: Vec<Expr> = primitives.constants().iter().map(|&c| Expr::constant(c)).collect();
    let mut forms: Vec<Expr> = variables.iter().chain(&constants).cloned().collect();
    for x in &variables {
        for c in &constants {
            for op in [Op::Add, Op::Mul].into_iter().filter(|&op| has(op)) {
                forms.push(Expr::binary(op, x, c));
            }
        }
    }
    if has(Op::Mul) {
        forms.extend(variables.iter().map(|x| Expr::binary(Op::Mul, x, x)));
    }
    for x in &variables {
        forms.extend(primitives.ops_of(1).map(|op| Expr::unary(op, x)));
    }
    let Limits { max_size, max_depth } = config.limits;
    forms.retain(|form| form.size() <= max_size);
    forms.truncate(config.population_size);
    let grower = Grower::new(primitives);
    while forms.len() < config.population_size && !(forms.len().is_multiple_of(64) && deadline.has_passed()) {
        let mut rng = rng(forms.len() as u32);
        let tree = (0..INITIAL_ATTEMPTS).find_map(|_| {
            let mut start = rng.clone();
            let size = grower.size(max_depth, &mut rng);
            (size <= max_size).then(|| {
                let mut nodes = Nodes::new();
                grower.grow(max_depth, true, &mut start, &mut nodes);
                Expr::new(nodes.into_vec()).expect("operands are written before their operator")
            })
        });
        forms.push(tree.unwrap_or_else(|| Expr::leaf(terminal(primitives, &mut rng))));
    }
    forms
}
