//! A trajectory in memory.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sr_engine::{Edit, Evaluations, Member, Origin, Parents, PrimitiveSet, StopReason};
use sr_expr::Expr;

/// Everything one search did.
///
/// A trajectory has at least one generation, a generation at least one individual; generations are numbered without
/// gaps; parents, edits and [`best_index`](GenerationRecord::best_index) point to individuals that exist, and those of
/// the first generation have no parents. [`TraceWriter`](crate::TraceWriter) checks this, and what
/// [`TraceReader`](crate::TraceReader) gives holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct Trajectory {
    /// The problem that was searched.
    pub problem_id: String,
    /// What its expressions were built from. Problems of one file can differ in it.
    pub primitives: PrimitiveSet,
    /// The search's seed.
    pub seed: u64,
    /// Why it ended.
    pub stop: StopReason,
    /// What it spent.
    pub evaluations: Evaluations,
    /// What the learner wrote, if one took part.
    pub sampling: Option<SamplingCounts>,
    /// Its generations, the initial one first.
    pub generations: Vec<GenerationRecord>,
    /// Labels of its states, the newest set last.
    pub labels: Vec<LabelSet>,
}

/// How much of what a learner wrote could be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SamplingCounts {
    /// Texts that were expressions.
    pub well_formed: u64,
    /// Children that the expert made in place of the others.
    pub fallback: u64,
    /// Children that the learner was asked for.
    pub children: u64,
}

/// One generation.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerationRecord {
    /// Its number; 0 is the initial population.
    pub generation: u32,
    /// The population, in slot order.
    pub individuals: Vec<IndividualRecord>,
    /// The fittest of them, decided in f64: fitnesses that are equal here need not have been.
    pub best_index: u32,
    /// Whether that one is fitter than any before it.
    pub improved: bool,
}

/// One individual of a generation.
#[derive(Debug, Clone, PartialEq)]
pub struct IndividualRecord {
    /// The expression. Equal ones of a trajectory that was read share their memory.
    pub expr: Arc<Expr>,
    /// Mean squared error, infinite if it is invalid.
    pub mse: f32,
    /// Fitness; higher is better.
    pub fitness: f32,
    /// Who made it.
    pub origin: Origin,
    /// Indices of its parents in the generation before.
    pub parents: Parents,
    /// The change that made it from its first parent, where there is one.
    pub edit: Option<Edit<'static>>,
    /// Log-probability under the policy that proposed it, where it has one; not NaN.
    pub log_prob: Option<f32>,
}

/// What a labeller would have done in the states of a trajectory.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelSet {
    /// How the labels were chosen: `all` for every child of one expert generation.
    pub mode: String,
    /// The labeller's settings.
    pub params: LabelParams,
    /// Who labelled: `basic_sr` for the expert.
    pub source: String,
    /// Labelled states, in order of generation.
    pub states: Vec<StateLabels>,
}

/// Settings of a labeller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelParams {
    /// Seed of its random streams.
    pub seed: u64,
    /// Children that it made of each state.
    pub samples: u32,
}

/// The labels of one state.
#[derive(Debug, Clone, PartialEq)]
pub struct StateLabels {
    /// The state: this generation of the trajectory.
    pub generation: u32,
    /// [`GenerationRecord::state_hash`] of the state that the labeller saw.
    pub state_hash: u64,
    /// The labels.
    pub children: Vec<Label>,
}

/// A child that a labeller proposes for a state.
#[derive(Debug, Clone, PartialEq)]
pub struct Label {
    /// The child; its parents and its edit refer to the individuals of the state.
    pub child: IndividualRecord,
    /// Its fitness less that of its first parent; 0 without parents.
    pub gain_parent: f32,
    /// Its fitness less that of the fittest individual seen so far.
    pub gain_best: f32,
    /// Its weight in training.
    pub weight: f32,
}

/// A point of the best progression.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// In this generation the best individual changed,
    pub generation: u32,
    /// to this expression,
    pub expr: Arc<Expr>,
    /// with this error.
    pub mse: f32,
}

impl Trajectory {
    /// Ancestors of the best individual of the last generation: for each generation their sorted indices.
    ///
    /// # Panics
    /// If parents point to individuals that do not exist.
    pub fn lineage(&self) -> Vec<Vec<u32>> {
        let Some(last) = self.generations.last() else { return Vec::new() };
        let parents: Vec<Vec<Parents>> =
            self.generations.iter().map(|g| g.individuals.iter().map(|i| i.parents).collect()).collect();
        sr_engine::lineage(&parents, last.best_index as usize)
    }

    /// Every change of the best individual.
    pub fn best_progression(&self) -> Vec<Progress> {
        let progress = |record: &GenerationRecord| {
            let best = record.best();
            Progress { generation: record.generation, expr: best.expr.clone(), mse: best.mse }
        };
        self.generations.iter().filter(|record| record.improved).map(progress).collect()
    }

    /// The record of a generation by its number.
    pub fn generation(&self, generation: u32) -> Option<&GenerationRecord> {
        let first = self.generations.first()?.generation;
        self.generations.get(generation.checked_sub(first)? as usize)
    }

    /// The labels that count for a state: those of the newest label set; `None` if that has none for it.
    pub fn dagger_labels(&self, generation: u32) -> Option<&StateLabels> {
        self.labels.last()?.states.iter().find(|state| state.generation == generation)
    }

    /// What the expert would have produced from generation `generation`; `None` if that state is not labelled.
    pub fn dagger_expressions(&self, generation: u32) -> Option<impl ExactSizeIterator<Item = &Arc<Expr>>> {
        self.dagger_labels(generation).map(|state| state.children.iter().map(|label| &label.child.expr))
    }

    /// Adds a label set as the one that counts. An older one with the same mode, parameters and source gives way.
    pub fn add_labels(&mut self, labels: LabelSet) {
        self.labels.retain(|old| (&old.mode, old.params, &old.source) != (&labels.mode, labels.params, &labels.source));
        self.labels.push(labels);
    }
}

impl GenerationRecord {
    /// The fittest individual.
    ///
    /// # Panics
    /// If `best_index` points nowhere.
    pub fn best(&self) -> &IndividualRecord {
        &self.individuals[self.best_index as usize]
    }

    /// Share of distinct expressions, in (0, 1].
    pub fn diversity(&self) -> f64 {
        let distinct: std::collections::HashSet<&Expr> = self.individuals.iter().map(|i| &*i.expr).collect();
        distinct.len() as f64 / self.individuals.len() as f64
    }

    /// A number for the expressions and their order, by which labels recognise their state.
    pub fn state_hash(&self) -> u64 {
        state_hash(self.individuals.iter().map(|i| &*i.expr))
    }
}

/// A number for a list of expressions, the same on every machine.
pub fn state_hash<'a>(exprs: impl Iterator<Item = &'a Expr>) -> u64 {
    exprs.fold(0xcbf2_9ce4_8422_2325, |hash: u64, expr| {
        // FNV-1a with a 64-bit number in the place of a byte; the rotation lets high bits reach low ones.
        (hash ^ expr.hash64()).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(29)
    })
}

impl From<Member<'_>> for IndividualRecord {
    fn from(individual: Member<'_>) -> Self {
        IndividualRecord {
            expr: Arc::new(individual.tree.to_owned()),
            mse: individual.score.mse as f32,
            fitness: individual.score.fitness as f32,
            origin: individual.origin,
            parents: individual.parents,
            edit: individual.edit.map(Edit::into_owned),
            log_prob: individual.log_prob.filter(|p| !p.is_nan()),
        }
    }
}
