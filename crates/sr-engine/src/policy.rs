//! The seam: who proposes the next generation.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use sr_expr::{Columns, Machine, Semantics, Tree};
use strum::IntoStaticStr;

use crate::random::Key;
use crate::{Individual, Instance, Limits, Offspring, Population, SearchConfig};

/// Why a policy could not propose: the policy's own error, whose text and cause it has.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct PolicyError(Box<dyn std::error::Error + Send + Sync>);

impl PolicyError {
    /// Takes the policy's own error, or a text.
    pub fn new(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        PolicyError(error.into())
    }
}

/// What a policy is asked for: children of one state.
#[derive(Debug)]
pub struct Request<'a> {
    /// The state.
    pub state: State<'a>,
    /// Children to add.
    pub wanted: usize,
    /// Where they go. There may be some already.
    pub offspring: &'a mut Offspring,
}

impl<'a> Request<'a> {
    /// Asks for `wanted` children of a state.
    pub fn new(state: State<'a>, wanted: usize, offspring: &'a mut Offspring) -> Self {
        Request { state, wanted, offspring }
    }
}

/// Proposes offspring. GP, a learner and a mixture of both implement it; the search loop knows no other way.
pub trait Policy {
    /// Adds as many children as are wanted to each request, for all of them at once, so that a learner can batch.
    ///
    /// Fewer than wanted is allowed only with [`SearchConfig::unique`], when no new form was found. What is proposed
    /// for a state must depend on that state (its key included) alone, never on the others: then results are the same
    /// for any batch.
    ///
    /// Children are made of the instance's operators and variables, and name parents that are in the population. Limits on
    /// size are the policy's duty: the search takes children of any size. An edit that a child is pushed with has to make
    /// that child of the state's population: records hold the edit in the place of the child. The search panics where
    /// one of these does not hold, the size excepted.
    ///
    /// # Errors
    /// If it cannot propose. The searches then stand at their last whole generation, and nobody looks at the offspring.
    fn propose(&mut self, requests: &mut [Request<'_>]) -> Result<(), PolicyError>;

    /// Proposes for one state.
    ///
    /// # Errors
    /// As [`propose`](Self::propose).
    fn propose_one(&mut self, state: State<'_>, wanted: usize, offspring: &mut Offspring) -> Result<(), PolicyError> {
        self.propose(&mut [Request::new(state, wanted, offspring)])
    }
}

/// What a policy may look at. Nothing reachable from here holds the source formula.
#[derive(Debug, Clone, Copy)]
pub struct State<'a> {
    /// Data and primitives.
    pub instance: &'a Instance,
    /// The search's settings.
    pub config: &'a SearchConfig,
    /// Index of this generation; its offspring make the next one.
    pub generation: u32,
    /// The population with its scores.
    pub population: &'a Population,
    /// The fittest individual seen so far.
    pub best: &'a Individual,
    /// Generations since `best` last improved.
    pub stagnation: u32,
    /// What is left to spend.
    pub budget: Budget,
    /// Forms met so far, by [`Tree::hash64`]; kept up only under [`SearchConfig::unique`].
    pub seen: &'a std::collections::HashSet<u64>,
    /// The random stream of this generation; offspring `i` draws from slot `i`.
    pub key: Key,
    /// Once this is true the search is being stopped, and nobody will look at the offspring: a policy that takes long may
    /// return.
    pub stop: Option<&'a AtomicBool>,
}

/// What a search has left.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Budget {
    /// Generations after this one.
    pub generations: u32,
    /// Evaluations, `None` without a limit.
    pub evaluations: Option<u64>,
    /// Wall-clock time, `None` without a limit.
    pub time: Option<Duration>,
}

impl State<'_> {
    /// Size and depth limits.
    pub fn limits(&self) -> Limits {
        self.config.limits
    }

    /// Guarded or plain operators.
    pub fn semantics(&self) -> Semantics {
        self.config.semantics
    }

    /// Predictions of an individual, or of any subtree of one, on the instance's own rows, `[rows]`.
    pub fn predict(&self, tree: &Tree, machine: &mut Machine<f64>, out: &mut Vec<f64>) {
        self.predict_on(tree, self.instance.x(), machine, out);
    }

    /// Predictions on any other rows, `[rows]`.
    pub fn predict_on(&self, tree: &Tree, rows: &Columns, machine: &mut Machine<f64>, out: &mut Vec<f64>) {
        machine.predict(tree, rows, self.config.semantics, out);
    }
}

/// Where an individual came from. The discriminant is part of the file formats: append, never reorder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, IntoStaticStr)]
#[repr(u8)]
#[strum(serialize_all = "lowercase")]
pub enum Origin {
    /// Carried over: the elite, or a survivor under [`Survival::Plus`](crate::Survival::Plus).
    Elite,
    /// A subtree of one parent in another (Koza, 1992).
    Crossover,
    /// A new subtree in one parent.
    Mutation,
    /// Made without parents, as the initial population is.
    Random,
    /// Written by a learner.
    Learner,
    /// Made by the expert because the learner's output was no expression.
    Fallback,
    /// Given from outside.
    Injected,
}

impl Origin {
    /// All of them, in order of their number.
    pub const ALL: [Origin; 7] = [
        Origin::Elite,
        Origin::Crossover,
        Origin::Mutation,
        Origin::Random,
        Origin::Learner,
        Origin::Fallback,
        Origin::Injected,
    ];

    /// The name in JSON and tables.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// Indices of up to two parents in the previous generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Parents {
    /// Made from nothing.
    None,
    /// Mutation, and the elite, whose parent is itself.
    One(u32),
    /// Crossover: the parent that received and the one that gave.
    Two(u32, u32),
}

impl Parents {
    /// The indices, first parent first.
    pub fn iter(self) -> impl Iterator<Item = u32> {
        let (first, second) = match self {
            Parents::None => (None, None),
            Parents::One(a) => (Some(a), None),
            Parents::Two(a, b) => (Some(a), Some(b)),
        };
        first.into_iter().chain(second)
    }
}
