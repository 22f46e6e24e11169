//! The expert: genetic programming as in the reference engine ("BasicSR").

use sr_expr::{Expr, Node, Op};

use crate::random::Rng;
use crate::{Edit, Instance, Offspring, Origin, Parents, Policy, Population, PrimitiveSet, Replacement, State};

/// Probability that a terminal is a variable rather than a listed constant.
const VARIABLE_PROBABILITY: f64 = 0.7;
/// Probability that a node below the root of a random tree is a terminal.
const TERMINAL_PROBABILITY: f64 = 0.3;
/// Probability that an inner node of a random tree is unary, if there are unary operators.
const UNARY_PROBABILITY: f64 = 0.35;
/// Probability that mutation writes a terminal rather than a random subtree.
const POINT_MUTATION_PROBABILITY: f64 = 0.5;
/// Depth of the random subtree that mutation writes, in edges.
const MUTATION_DEPTH: usize = 2;
/// Random trees drawn for a place of the initial population before a terminal takes it.
const INITIAL_ATTEMPTS: u32 = 100;

/// Genetic programming (Koza, 1992) with tournament selection, subtree crossover and subtree mutation.
#[derive(Debug, Default, Clone, Copy)]
pub struct Expert;

impl Policy for Expert {
    fn propose(&mut self, states: &[State<'_>], wanted: &[usize]) -> Vec<Vec<Offspring>> {
        let propose =
            |(state, &wanted): (&State<'_>, &usize)| (0..wanted).map(|slot| Expert::child(state, slot)).collect();
        states.iter().zip(wanted).map(propose).collect()
    }
}

impl Expert {
    /// The child of one slot: crossover of two tournament winners, or mutation of one.
    pub fn child(state: &State<'_>, slot: usize) -> Offspring {
        let mut rng = state.key.slot(slot as u32).rng();
        if rng.chance(state.config.crossover_probability) {
            crossover(state, &mut rng)
        } else {
            mutation(state, &mut rng)
        }
    }
}

/// Replaces a random subtree of one parent by a random subtree of another. Too large: a copy of the first parent.
fn crossover(state: &State<'_>, rng: &mut Rng) -> Offspring {
    let (receiver, donor) = (tournament(state, rng), tournament(state, rng));
    let (parent, giver) = (state.population[receiver].tree(), state.population[donor].tree());
    let (cut, from) = (rng.below(parent.size()), rng.below(giver.size()));
    let graft = giver.subtree(from);
    let (expr, edit) = if parent.size() - parent.subtree(cut).size() + graft.size() > state.limits().max_size {
        (parent.to_owned(), Edit::copy(receiver as u32, parent))
    } else {
        let replacement = Replacement::Donor { parent: donor as u32, node: from as u32 };
        (parent.replaced(cut, graft), Edit { parent: receiver as u32, node: cut as u32, replacement })
    };
    let parents = Parents::Two(receiver as u32, donor as u32);
    Offspring { expr, origin: Origin::Crossover, parents, edit: Some(edit), log_prob: None }
}

/// Replaces a random subtree by a terminal or a small random tree. Too large: a copy of the parent.
fn mutation(state: &State<'_>, rng: &mut Rng) -> Offspring {
    let index = tournament(state, rng);
    let parent = state.population[index].tree();
    let cut = rng.below(parent.size());
    let primitives = state.instance.primitives();
    let written = if rng.chance(POINT_MUTATION_PROBABILITY) {
        Expr::leaf(terminal(primitives, rng))
    } else {
        random_tree(primitives, MUTATION_DEPTH, rng)
    };
    let (expr, edit) = if parent.size() - parent.subtree(cut).size() + written.size() > state.limits().max_size {
        (parent.to_owned(), Edit::copy(index as u32, parent))
    } else {
        let expr = parent.replaced(cut, &written);
        (expr, Edit { parent: index as u32, node: cut as u32, replacement: Replacement::Written(written) })
    };
    let parents = Parents::One(index as u32);
    Offspring { expr, origin: Origin::Mutation, parents, edit: Some(edit), log_prob: None }
}

/// Index of the fittest of `tournament_size` distinct individuals; the first drawn of equals.
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
    for count in 0..size {
        let last = population.len() - size + count;
        let candidate = rng.below(last + 1);
        drawn[count] = if drawn[..count].contains(&candidate) { last } else { candidate };
    }
    let mut winner = drawn[0];
    for &index in &drawn[1..] {
        if population[index].score.fitness > population[winner].score.fitness {
            winner = index;
        }
    }
    winner
}

/// A variable with probability 0.7, else a listed constant; always a variable without constants, and the reverse.
fn terminal(primitives: &PrimitiveSet, rng: &mut Rng) -> Node {
    let constants = primitives.constants();
    let variables = usize::from(primitives.n_variables());
    if variables > 0 && (constants.is_empty() || rng.chance(VARIABLE_PROBABILITY)) {
        Node::Var(rng.below(variables) as u16)
    } else {
        Node::Const(*rng.choose(constants))
    }
}

/// A random tree, `depth` edges deep at most: a terminal at that depth, or below the root with probability 0.3; else a
/// unary operator with probability 0.35, else a binary one.
pub fn random_tree(primitives: &PrimitiveSet, depth: usize, rng: &mut Rng) -> Expr {
    let unary: Vec<Op> = primitives.ops_of(1).collect();
    let binary: Vec<Op> = primitives.ops_of(2).collect();
    let mut nodes = Vec::new();
    grow(primitives, &unary, &binary, depth, true, rng, &mut nodes);
    Expr::new(nodes).expect("operands are written before their operator")
}

fn grow(
    primitives: &PrimitiveSet,
    unary: &[Op],
    binary: &[Op],
    depth: usize,
    root: bool,
    rng: &mut Rng,
    nodes: &mut Vec<Node>,
) {
    let no_operators = unary.is_empty() && binary.is_empty();
    if depth == 0 || no_operators || (!root && rng.chance(TERMINAL_PROBABILITY)) {
        nodes.push(terminal(primitives, rng));
        return;
    }
    let is_unary = binary.is_empty() || (!unary.is_empty() && rng.chance(UNARY_PROBABILITY));
    let op = *rng.choose(if is_unary { unary } else { binary });
    for _ in 0..op.arity() {
        grow(primitives, unary, binary, depth - 1, false, rng, nodes);
    }
    nodes.push(Node::Op(op));
}

/// The initial population of the reference engine, in this order and then cut to size: every variable; every constant;
/// `x + c` and `x * c` for every pair; `x * x`; `u(x)` for every unary operator; then random trees within the limits.
///
/// Forms that need an operator outside of the primitive set, or are larger than the limit, are left out.
pub(crate) fn initial_population(
    instance: &Instance,
    config: &crate::SearchConfig,
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
    forms.retain(|form| form.size() <= config.limits.max_size);
    forms.truncate(config.population_size);
    while forms.len() < config.population_size {
        let mut rng = rng(forms.len() as u32);
        let tree = (0..INITIAL_ATTEMPTS)
            .map(|_| random_tree(primitives, config.limits.max_depth, &mut rng))
            .find(|tree| tree.size() <= config.limits.max_size);
        forms.push(tree.unwrap_or_else(|| Expr::leaf(terminal(primitives, &mut rng))));
    }
    forms
}
