//! Training examples in memory.

use std::sync::Arc;

use sr_engine::PrimitiveSet;
use sr_engine::random::problem_key;
use sr_expr::Expr;
use sr_prompt::{Condition, PromptState, encode_generation};

/// A training example.
#[derive(Debug, Clone, PartialEq)]
pub enum Example {
    /// A state and its children. The model learns to write each of them.
    OneStep(OneStep),
    /// A state and its targets, in the order of their slots. The model learns to write them as one text, the whole next
    /// population.
    Autoregressive(OneStep),
    /// A problem and its formula.
    Direct(Direct),
}

/// A reference to the problem of an example. It is enough to write the prompt, and to find the points.
#[derive(Debug, Clone, PartialEq)]
pub struct ProblemRef {
    /// The problem's id.
    pub id: String,
    /// The name of the problem set's file, without folders.
    pub source: String,
    /// The [`Problem::fingerprint`](sr_problems::Problem::fingerprint) of its points, which shows that another set of
    /// the same name is another one.
    pub fingerprint: u64,
    /// The primitives that it was searched with.
    pub primitives: PrimitiveSet,
}

/// A state of a search and the children to learn from it, which share the prompt. In counts each child is an example,
/// unless they are written together.
#[derive(Debug, Clone, PartialEq)]
pub struct OneStep {
    /// The problem.
    pub problem: Arc<ProblemRef>,
    /// The seed of the search.
    pub seed: u64,
    /// The index of the state's generation.
    pub generation: u32,
    /// The population, in slot order.
    pub population: Vec<Individual>,
    /// The kind of these children.
    pub condition: Condition,
    /// The children; at least one.
    pub targets: Vec<Target>,
}

/// An individual of a state.
#[derive(Debug, Clone, PartialEq)]
pub struct Individual {
    /// The expression.
    pub expr: Arc<Expr>,
    /// The error as in the trace, infinite if it is invalid.
    pub mse: f32,
    /// The fitness; higher is better.
    pub fitness: f32,
}

/// A child to learn.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// The expression.
    pub expr: Arc<Expr>,
    /// The error as in the trace, infinite if it is invalid.
    pub mse: f32,
    /// The fitness; higher is better.
    pub fitness: f32,
    /// The weight in the loss, finite and not negative; 1 unless a labeller says otherwise.
    pub weight: f32,
    /// The slot in the next generation, or the index among the labels.
    pub slot: u32,
}

/// A problem and its formula.
#[derive(Debug, Clone, PartialEq)]
pub struct Direct {
    /// The problem.
    pub problem: Arc<ProblemRef>,
    /// The formula.
    pub target: Arc<Expr>,
}

impl Example {
    /// Returns the problem.
    pub fn problem(&self) -> &Arc<ProblemRef> {
        match self {
            Example::OneStep(example) | Example::Autoregressive(example) => &example.problem,
            Example::Direct(example) => &example.problem,
        }
    }

    /// Returns the number of (prompt, target) pairs.
    pub fn n_targets(&self) -> usize {
        match self {
            Example::OneStep(example) => example.targets.len(),
            Example::Autoregressive(_) | Example::Direct(_) => 1,
        }
    }
}

impl OneStep {
    /// Returns the prompt state of this example, which equals that of the recorded search.
    pub fn prompt_state(&self) -> PromptState<'_> {
        let population = self.population.iter().map(|individual| (&**individual.expr, individual.mse));
        let key = problem_key(&self.problem.id) ^ self.seed;
        PromptState::new(self.generation, &self.problem.primitives, population).shuffled_by(key)
    }

    /// Encodes all targets as one text, with their errors if `errors` is set.
    ///
    /// # Errors
    /// Returns an error where [`encode_generation`] does.
    pub fn encode_generation(&self, errors: bool) -> sr_prompt::Result<Vec<i32>> {
        let targets = self.targets.iter().map(|target| (&**target.expr, target.mse));
        encode_generation(targets, self.problem.primitives.constants(), errors)
    }
}
