//! Labels that lead to a formula: that of the problem, or one that the search itself found. Only labels use it: a policy
//! cannot reach the formula through a state.

use std::borrow::Cow;
use std::collections::HashSet;

use sr_engine::{Child, Edit, Objective, Offspring, Origin, Parents, Replacement, Scorer, State, StopReason};
use sr_expr::{Expr, Node, Tree};
use sr_trace::{Gain, GenerationRecord, LabelParams, Labels, Trajectory};
use strum::IntoStaticStr;

use crate::labeller::{Labeller, label_of, of_best};

/// The part of the formula that a label reveals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum Telling {
    /// The next step towards the formula: of the expressions between an individual and the formula that improve on the
    /// best individual, the one with the fewest nodes to write.
    Path,
    /// The whole formula.
    Target,
}

impl Telling {
    /// Returns the mode's name in label sets.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// The origin of the formula that labels lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum FormulaSource {
    /// The problem's own formula, which has to be known. Labels from it are privileged.
    Given,
    /// The formula that the labelled search found at its end, so that nobody has to know one: what a solved search shows
    /// in hindsight (Andrychowicz et al., 2017). States of a search that solved nothing get no label.
    Found,
}

/// A labeller that knows a formula and gives each state one label. A solved state gets none, and neither does a state whose
/// limits or primitives do not allow the formula.
///
/// Where the search fits constants, those of individuals and of the formula count as equal, and the label's are fitted.
#[derive(Debug, Clone)]
pub struct FormulaLabeller {
    telling: Telling,
    source: FormulaSource,
    /// `None` if the search found none.
    formula: Option<Expr>,
    scorer: Scorer,
}

/// The error at or below which a state counts as solved, if its search has no such threshold.
const SOLVED: f64 = 3e-16;

impl FormulaLabeller {
    /// Returns a labeller for this formula, which is the problem's.
    pub fn new(telling: Telling, formula: Expr) -> Self {
        FormulaLabeller { telling, source: FormulaSource::Given, formula: Some(formula), scorer: Scorer::default() }
    }

    /// Returns a labeller for the formula that a search found: of the individuals that solved the problem, the one with the
    /// fewest nodes. It gives no labels if the search did not end because it had solved the problem.
    pub fn found(telling: Telling, trajectory: &Trajectory) -> Self {
        let solved = match trajectory.stop {
            StopReason::Solved { mse } => mse as f32,
            _ => f32::NEG_INFINITY,
        };
        let individuals = trajectory.generations.iter().flat_map(|record| record.individuals());
        let found = individuals.filter(|individual| individual.mse <= solved).map(|individual| individual.expr);
        let formula = found.min_by_key(|tree| tree.size()).map(Tree::to_owned);
        FormulaLabeller { telling, source: FormulaSource::Found, formula, scorer: Scorer::default() }
    }

    /// Returns the formula as a state has it: without an offset and a factor, which a search that fits constants puts
    /// around every individual. Returns `None` if a search with these limits and primitives could not produce it.
    fn formula(&self, state: &State<'_>) -> Option<&Tree> {
        let whole = self.formula.as_deref()?;
        let formula = if state.config.fitting.is_some() { whole.core() } else { whole };
        let primitives = state.instance.primitives();
        let is_listed =
            |value: f64| primitives.constants().iter().any(|constant| constant.to_bits() == value.to_bits());
        let is_allowed = |node: &Node| match *node {
            Node::Op(op) => primitives.ops().contains(&op),
            Node::Var(index) => index < primitives.n_variables(),
            Node::Const(value) => fits_constants(state) || is_listed(value),
        };
        (formula.size() <= state.limits().max_size && formula.nodes().iter().all(is_allowed)).then_some(formula)
    }
}

/// Returns whether the constants of a state's children are fitted, so that their values tell nothing.
fn fits_constants(state: &State<'_>) -> bool {
    state.config.fitting.is_some_and(|fitting| fitting.steps > 0)
}

/// Returns a tree as it is compared with others: where constants are fitted, all of them are the same.
fn compared<'t>(tree: &'t Tree, state: &State<'_>) -> Cow<'t, Tree> {
    let is_constant = |node: &Node| matches!(node, Node::Const(_));
    if !fits_constants(state) || !tree.nodes().iter().any(is_constant) {
        return Cow::Borrowed(tree);
    }
    let nodes = tree.nodes().iter().map(|node| if is_constant(node) { Node::Const(1.0) } else { *node });
    Cow::Owned(Expr::new(nodes.collect()).expect("the nodes of a tree"))
}

impl Labeller for FormulaLabeller {
    fn mode(&self) -> &'static str {
        self.telling.name()
    }

    fn source(&self) -> &'static str {
        match self.source {
            FormulaSource::Given => "formula",
            FormulaSource::Found => "search",
        }
    }

    fn params(&self, seed: u64, _: usize) -> LabelParams {
        LabelParams { seed, samples: 1, ..LabelParams::default() }
    }

    fn label(&mut self, state: &State<'_>, _: Option<GenerationRecord<'_>>, _: usize) -> Labels {
        let threshold = state.config.early_stop_mse.unwrap_or(SOLVED);
        let solved = match state.config.objective {
            Objective::Masked => threshold,
            Objective::Mse => threshold.max(state.instance.tolerance()),
        };
        let Some(formula) = self.formula(state).filter(|_| state.best.score.mse > solved) else {
            return Labels::default();
        };
        let steps = match self.telling {
            Telling::Target => vec![formula.to_owned()],
            Telling::Path => steps(formula, state),
        };
        let population: Vec<Cow<'_, Tree>> = state.population.iter().map(|made| compared(made.tree, state)).collect();
        let population: Vec<&Tree> = population.iter().map(|tree| &**tree).collect();
        let subtrees = population.iter().flat_map(|tree| (0..tree.size()).map(|root| tree.subtree(root)));
        let known: HashSet<&Tree> = subtrees.collect();
        let as_compared: Vec<Cow<'_, Tree>> = steps.iter().map(|child| compared(child, state)).collect();
        let edits: Vec<(usize, Edit<'_>)> =
            as_compared.iter().map(|child| shortest(child, &population, &known)).collect();
        let mut offspring = Offspring::default();
        for (child, (_, edit)) in steps.iter().zip(&edits) {
            // Where constants are fitted, the search drops the edits of children that have some.
            let (parents, edit) = (Parents::One(edit.parent), Some(edit.clone()));
            offspring.push(&Child { tree: child, origin: Origin::Injected, parents, edit, log_prob: None });
        }
        let scored = self.scorer.score(state, &mut offspring);
        let improves = |&index: &usize| {
            let gain = Gain::of((scored[index].score.mse as f32, steps[index].size()), of_best(state));
            scored[index].is_new && gain.is_improvement()
        };
        // The formula comes last, so that among equally short steps an intermediate one wins.
        let cost = |&index: &usize| edits[index].0;
        let Some(step) = (0..steps.len()).filter(improves).min_by_key(cost) else { return Labels::default() };
        let (child, score) = (offspring.get(step).expect("a step"), scored[step].score);
        [label_of(state, child, score, 1.0)].into_iter().collect()
    }
}

/// Returns the expressions between the population and the formula: the formula's subtrees by themselves, and individuals in
/// which one wrong subtree is replaced by the formula's. The formula itself is the last one.
fn steps(formula: &Tree, state: &State<'_>) -> Vec<Expr> {
    let max_size = state.limits().max_size;
    let as_compared = compared(formula, state);
    let mut seen: HashSet<Expr> =
        state.population.iter().map(|individual| compared(individual.tree, state).into_owned()).collect();
    let mut steps = Vec::new();
    let mut add = |child: Expr| {
        let key = compared(&child, state).into_owned();
        if child.size() <= max_size && *key != *as_compared && seen.insert(key) {
            steps.push(child);
        }
    };
    for root in 0..formula.size() {
        add(formula.subtree(root).to_owned());
    }
    for individual in state.population.iter() {
        for (from, to) in wrong(&compared(individual.tree, state), &as_compared) {
            add(individual.tree.replaced(from, formula.subtree(to)));
        }
    }
    steps.push(formula.to_owned());
    steps
}

/// Returns the places, from the root down, at which an individual differs from the formula, and the formula's subtrees
/// there.
fn wrong(individual: &Tree, formula: &Tree) -> Vec<(usize, usize)> {
    let mut open = vec![(individual.size() - 1, formula.size() - 1)];
    let mut wrong = Vec::new();
    while let Some((from, to)) = open.pop() {
        let (a, b) = (individual.nodes()[from], formula.nodes()[to]);
        if a != b {
            wrong.push((from, to));
        } else if a.arity() > 0 {
            open.push((from - 1, to - 1));
            if a.arity() == 2 {
                open.push((individual.subtree_start(from - 1) - 1, formula.subtree_start(to - 1) - 1));
            }
        }
    }
    wrong
}

/// Returns the edit that turns an individual into the child with the fewest nodes to write, and that number. A subtree
/// that occurs in the population counts as one node, because it can be copied.
fn shortest<'c>(child: &'c Tree, population: &[&Tree], known: &HashSet<&Tree>) -> (usize, Edit<'c>) {
    let edits = (0..).zip(population).map(|(index, parent)| Edit::between(index, parent, child));
    let costed = edits.map(|edit| match &edit.replacement {
        Replacement::Written(tree) => (written(tree, known), edit),
        Replacement::Donor { .. } => (1, edit),
    });
    costed.min_by_key(|(cost, edit)| (*cost, edit.parent)).expect("a population has individuals")
}

/// Returns the number of nodes to write; a known subtree counts as one.
fn written(tree: &Tree, known: &HashSet<&Tree>) -> usize {
    let (mut nodes, mut root) = (0, tree.size());
    while root > 0 {
        nodes += 1;
        let subtree = tree.subtree(root - 1);
        // A written node is followed by its operands; a copied subtree is skipped.
        root -= if known.contains(subtree) { subtree.size() } else { 1 };
    }
    nodes
}
