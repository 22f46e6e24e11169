//! Examples in memory.

use std::sync::Arc;

use sr_engine::PrimitiveSet;
use sr_engine::random::problem_key;
use sr_expr::Expr;
use sr_prompt::{Condition, PromptState, encode_generation};

/// What a model is trained on.
#[derive(Debug, Clone, PartialEq)]
pub enum Example {
    /// A state and its children, each of which is to be written.
    OneStep(OneStep),
    /// A state whose targets, in the order of their slots, are to be written as one text: the whole next population.
    Autoregressive(OneStep),
    /// A problem and its formula.
    Direct(Direct),
}

/// The problem of an example: enough to write the prompt, and to find the points.
#[derive(Debug, Clone, PartialEq)]
pub struct ProblemRef {
    /// Its id.
    pub id: String,
    /// Name of the problem set's file, without folders.
    pub source: String,
    /// [`Problem::fingerprint`](sr_problems::Problem::fingerprint): its points, so that another set of the same name is
    /// noticed.
    pub fingerprint: u64,
    /// What it was searched with.
    pub primitives: PrimitiveSet,
}

/// A state of a search and the children to learn from it. They share the prompt; in counts each is an example, unless
/// they are written together.
#[derive(Debug, Clone, PartialEq)]
pub struct OneStep {
    /// The problem.
    pub problem: Arc<ProblemRef>,
    /// Seed of the search.
    pub seed: u64,
    /// Index of the state's generation.
    pub generation: u32,
    /// The population, in slot order.
    pub population: Vec<Individual>,
    /// Which kind of children these are.
    pub condition: Condition,
    /// The children; at least one.
    pub targets: Vec<Target>,
}

/// An individual of a state.
#[derive(Debug, Clone, PartialEq)]
pub struct Individual {
    /// The expression.
    pub expr: Arc<Expr>,
    /// Mean squared error, infinite if it is invalid.
    pub mse: f32,
    /// Fitness; higher is better.
    pub fitness: f32,
}

/// A child to learn.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// The expression.
    pub expr: Arc<Expr>,
    /// Its mean squared error, infinite if it is invalid.
    pub mse: f32,
    /// Its fitness.
    pub fitness: f32,
    /// Weight in the loss, finite and not negative; 1 unless a labeller says otherwise.
    pub weight: f32,
    /// Its place in the next generation, or among the labels.
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
    /// The problem.
    pub fn problem(&self) -> &Arc<ProblemRef> {
        match self {
            Example::OneStep(example) | Example::Autoregressive(example) => &example.problem,
            Example::Direct(example) => &example.problem,
        }
    }

    /// Number of (prompt, target) pairs.
    pub fn n_targets(&self) -> usize {
        match self {
            Example::OneStep(example) => example.targets.len(),
            Example::Autoregressive(_) | Example::Direct(_) => 1,
        }
    }
}

impl OneStep {
    /// What the prompt says of the state: the same as the search that recorded it would have said.
    pub fn prompt_state(&self) -> PromptState<'_> {
        let population = self.population.iter().map(|individual| (&**individual.expr, individual.mse));
        let key = problem_key(&self.problem.id) ^ self.seed;
        PromptState::new(self.generation, &self.problem.primitives, population).shuffled_by(key)
    }

    /// The ids of all targets as one text, with their errors if `errors` is set.
    ///
    /// # Errors
    /// As [`encode_generation`].
    pub fn encode_generation(&self, errors: bool) -> sr_prompt::Result<Vec<i32>> {
        let targets = self.targets.iter().map(|target| (&**target.expr, target.mse));
        encode_generation(targets, self.problem.primitives.constants(), errors)
    }
}
