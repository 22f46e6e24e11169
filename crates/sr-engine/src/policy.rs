//! The interface of policies, which propose the next generation.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use sr_expr::{Columns, Machine, Semantics, Tree};
use strum::IntoStaticStr;

use crate::random::Key;
use crate::{Individual, Instance, Limits, Offspring, Population, SearchConfig};

/// The error of a policy that could not propose. It has the text and the cause of the policy's own error.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct PolicyError(Box<dyn std::error::Error + Send + Sync>);

impl PolicyError {
    /// Wraps the policy's own error, or a text.
    pub fn new(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        PolicyError(error.into())
    }
}

/// A request to a policy for children of one state.
#[derive(Debug)]
pub struct Request<'a> {
    /// The state.
    pub state: State<'a>,
    /// The number of children to add.
    pub wanted: usize,
    /// The collection that the children are added to. It may hold some already.
    pub offspring: &'a mut Offspring,
}

impl<'a> Request<'a> {
    /// Asks for `wanted` children of a state.
    pub fn new(state: State<'a>, wanted: usize, offspring: &'a mut Offspring) -> Self {
        Request { state, wanted, offspring }
    }
}

/// Proposes offspring. GP, a learner and a mixture of both implement it; the search loop uses nothing else.
pub trait Policy {
    /// Adds the wanted number of children to each request. It gets all requests at once, so that a learner can batch.
    ///
    /// It may add fewer children only with [`SearchConfig::unique`], if it found no new expression. What it proposes
    /// for a state must depend on that state (its key included) alone and never on the others, so that results are the
    /// same for any batch.
    ///
    /// Children consist of the instance's operators and variables, and name parents that are in the population. The
    /// policy has to keep the limits on size: the search takes children of any size. An edit that a child is pushed
    /// with has to make that child from the state's population, because records hold the edit in the place of the
    /// child. The search panics where a policy breaks one of these rules, the size excepted.
    ///
    /// # Errors
    /// Returns an error if the policy cannot propose. The searches then stand at their last whole generation, and the
    /// offspring are not used.
    fn propose(&mut self, requests: &mut [Request<'_>]) -> Result<(), PolicyError>;

    /// Proposes for one state.
    ///
    /// # Errors
    /// Returns an error where [`propose`](Self::propose) does.
    fn propose_one(&mut self, state: State<'_>, wanted: usize, offspring: &mut Offspring) -> Result<(), PolicyError> {
        self.propose(&mut [Request::new(state, wanted, offspring)])
    }
}

/// All that a policy may look at. Nothing reachable from here holds the source formula.
#[derive(Debug, Clone, Copy)]
pub struct State<'a> {
    /// The data and primitives.
    pub instance: &'a Instance,
    /// The search's settings.
    pub config: &'a SearchConfig,
    /// The index of this generation; its offspring make the next one.
    pub generation: u32,
    /// The population with its scores.
    pub population: &'a Population,
    /// The fittest individual seen so far.
    pub best: &'a Individual,
    /// The number of generations since `best` last improved.
    pub stagnation: u32,
    /// The budget that is left.
    pub budget: Budget,
    /// The expressions met so far, by [`Tree::hash64`]; filled only under [`SearchConfig::unique`].
    pub seen: &'a std::collections::HashSet<u64>,
    /// The key of this generation's random stream; child `i` draws from slot `i`.
    pub key: Key,
    /// A flag that is true once the search is being stopped. The offspring are then not used, so a policy that takes
    /// long may return.
    pub stop: Option<&'a AtomicBool>,
}

/// The budget that a search has left.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Budget {
    /// The number of generations after this one.
    pub generations: u32,
    /// The number of evaluations, `None` without a limit.
    pub evaluations: Option<u64>,
    /// The wall-clock time, `None` without a limit.
    pub time: Option<Duration>,
}

impl State<'_> {
    /// Returns the limits on size and depth.
    pub fn limits(&self) -> Limits {
        self.config.limits
    }

    /// Returns the semantics of the operators, protected or plain.
    pub fn semantics(&self) -> Semantics {
        self.config.semantics
    }

    /// Writes the predictions of an individual, or of any subtree of one, on the instance's own rows to `out`,
    /// `[rows]`.
    pub fn predict(&self, tree: &Tree, machine: &mut Machine<f64>, out: &mut Vec<f64>) {
        self.predict_on(tree, self.instance.x(), machine, out);
    }

    /// Writes the predictions on any other rows to `out`, `[rows]`.
    pub fn predict_on(&self, tree: &Tree, rows: &Columns, machine: &mut Machine<f64>, out: &mut Vec<f64>) {
        machine.predict(tree, rows, self.config.semantics, out);
    }
}

/// The way in which an individual was made. The discriminant is part of the file formats: append, never reorder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, IntoStaticStr)]
#[repr(u8)]
#[strum(serialize_all = "lowercase")]
pub enum Origin {
    /// A copy of an individual: the elite, or a survivor under [`Survival::Plus`](crate::Survival::Plus).
    Elite,
    /// The crossover of two parents: a subtree of one replaces a subtree of the other (Koza, 1992).
    Crossover,
    /// The mutation of one parent, which gets a new subtree.
    Mutation,
    /// A new expression without parents, as in the initial population.
    Random,
    /// An expression that a learner wrote.
    Learner,
    /// A child of the expert, made because the learner's output was no expression.
    Fallback,
    /// An expression that was given from outside of the search.
    Injected,
}

impl Origin {
    /// All origins, in the order of their discriminants.
    pub const ALL: [Origin; 7] = [
        Origin::Elite,
        Origin::Crossover,
        Origin::Mutation,
        Origin::Random,
        Origin::Learner,
        Origin::Fallback,
        Origin::Injected,
    ];

    /// Returns the name that JSON and tables use.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// The indices of up to two parents in the previous generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Parents {
    /// No parents.
    None,
    /// The parent of a mutation, or the elite itself.
    One(u32),
    /// The parents of a crossover: the one that received a subtree and the one that gave it.
    Two(u32, u32),
}

impl Parents {
    /// Returns the indices, the first parent's first.
    pub fn iter(self) -> impl Iterator<Item = u32> {
        let (first, second) = match self {
            Parents::None => (None, None),
            Parents::One(a) => (Some(a), None),
            Parents::Two(a, b) => (Some(a), Some(b)),
        };
        first.into_iter().chain(second)
    }
}
