//! The trajectory in memory.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};
use sr_engine::{
    Edit, Evaluations, INVALID_FITNESS, IndividualRef, Origin, Parents, PrimitiveSet, Replacement, SearchConfig,
    StopReason,
};
use sr_expr::hash::{FNV_OFFSET, fnv1a_step};
use sr_expr::{Forest, Tree};

use crate::RecordError;
use crate::interner::Interner;

/// Everything one search did.
///
/// Labels have to be of generations that exist, and the parents and edits of labels have to point to individuals of
/// their generation. A [`TraceReader`](crate::TraceReader) returns only such trajectories, and a
/// [`TraceWriter`](crate::TraceWriter) checks it. The rules of [`Generations`] always hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Trajectory {
    /// The id of the problem that was searched.
    pub problem_id: String,
    /// The primitives of its expressions. Problems of one file can differ in them.
    pub primitives: PrimitiveSet,
    /// The search's seed.
    pub seed: u64,
    /// The reason why the search ended.
    pub stop: StopReason,
    /// The evaluations that it spent.
    pub evaluations: Evaluations,
    /// The counts of what the learner wrote, if one took part.
    pub sampling: Option<SamplingCounts>,
    /// The scale of its errors; `None` if they are in the square of the target's units
    /// ([`Objective::Masked`](sr_engine::Objective::Masked)).
    pub target: Option<TargetScale>,
    /// The generations, the initial one first.
    pub generations: Generations,
    /// The labels of its states, the newest set last.
    pub labels: Vec<LabelSet>,
}

/// The counts of how much of a learner's writing could be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SamplingCounts {
    /// The number of texts that were expressions.
    pub well_formed: u64,
    /// The number of children that the expert made in place of the others.
    pub fallback: u64,
    /// The number of children that the learner was asked for.
    pub children: u64,
}

/// The scale of the errors of a search with [`Objective::Mse`](sr_engine::Objective::Mse).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TargetScale {
    /// The value of [`Instance::scale`](sr_engine::Instance::scale): an error times its square is in the square of the
    /// target's units.
    pub scale: f64,
    /// The value of [`Instance::tolerance`](sr_engine::Instance::tolerance): errors up to this cannot be told from
    /// zero.
    pub tolerance: f64,
}

impl Trajectory {
    /// Converts a recorded error to a mean squared error in the square of the target's units. Records keep 32 bits of
    /// it.
    pub fn mse(&self, recorded: f32) -> f64 {
        let scale = self.target.map_or(1.0, |target| target.scale);
        f64::from(recorded) * scale * scale
    }
}

/// The generations of a search, in a few pieces of memory. [`GenerationsBuilder`] or a
/// [`TraceReader`](crate::TraceReader) makes it.
///
/// There is at least one generation, and in each at least one individual. Generations are numbered without gaps.
/// Parents, edits and [`best_index`](GenerationRecord::best_index) point to individuals that exist, and an edit makes
/// its individual. Individuals of the first generation have no parents.
#[derive(Clone)]
pub struct Generations {
    /// The number of the first generation.
    first: u32,
    spans: Vec<Span>,
    individuals: Individuals,
}

/// The place of a generation among the others.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    /// The end of its individuals; they start where those of the previous generation end.
    pub(crate) end: usize,
    pub(crate) best_index: u32,
    pub(crate) improved: bool,
}

/// Individuals in arrays, without pointers.
#[derive(Clone, Default)]
pub(crate) struct Individuals {
    pub(crate) rows: Vec<Row>,
    /// The log-probabilities, NaN for individuals without. It is shorter than `rows` if the last individuals have none.
    pub(crate) log_probs: Vec<f32>,
    /// The expressions, by [`Row::form`].
    pub(crate) trees: Forest,
    /// The subtrees that edits wrote, by [`EditRow::Written::tree`].
    pub(crate) written: Forest,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    pub(crate) form: u32,
    pub(crate) mse: f32,
    pub(crate) fitness: f32,
    pub(crate) origin: Origin,
    pub(crate) parents: Parents,
    pub(crate) edit: EditRow,
}

/// An edit as numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) enum EditRow {
    None,
    Donor { parent: u32, node: u32, donor: u32, graft: u32 },
    Written { parent: u32, node: u32, tree: u32 },
}

/// One generation of [`Generations`].
#[derive(Clone, Copy)]
pub struct GenerationRecord<'a> {
    /// The number of the generation; 0 is the initial population.
    pub generation: u32,
    /// The index of the fittest individual. It was decided in f64: fitnesses that are equal here need not have been.
    pub best_index: u32,
    /// Whether that individual is fitter than any before it.
    pub improved: bool,
    individuals: &'a Individuals,
    /// The start of its individuals; `end` is their end.
    start: usize,
    end: usize,
}

/// One individual of a generation.
#[derive(Debug, Clone, PartialEq)]
pub struct IndividualRecord<'a> {
    /// The expression.
    pub expr: &'a Tree,
    /// The error on the scale of the search's objective, infinite if the individual is invalid.
    pub mse: f32,
    /// The fitness; higher is better.
    pub fitness: f32,
    /// The operator or policy that made it.
    pub origin: Origin,
    /// The indices of its parents in the previous generation.
    pub parents: Parents,
    /// The change that made it from its first parent, if there is one.
    pub edit: Option<Edit<'a>>,
    /// The log-probability under the policy that proposed it, if it has one; not NaN.
    pub log_prob: Option<f32>,
}

/// The labels of the states of a trajectory: what a labeller would have done in them.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelSet {
    /// The way in which the labels were chosen: `all` for every child of one expert generation.
    pub mode: String,
    /// The labeller's settings.
    pub params: LabelParams,
    /// The name of the labeller: `basic_sr` for the expert.
    pub source: String,
    /// The labelled states, in order of generation.
    pub states: Vec<StateLabels>,
}

/// The settings of a labeller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LabelParams {
    /// Seed of its random streams.
    pub seed: u64,
    /// The largest number of children made for each state.
    pub samples: u32,
    /// The number of different improvements after which no more children were made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u32>,
    /// The largest number of labels of a state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<u32>,
    /// The number of generations that the labeller searched on from each state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub horizon: Option<u32>,
    /// Whether labels are weighted by their gain.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub weighted: bool,
}

/// The labels of one state.
#[derive(Debug, Clone, PartialEq)]
pub struct StateLabels {
    /// The generation of the trajectory that is the state.
    pub generation: u32,
    /// The [`GenerationRecord::state_hash`] of the state that the labeller saw.
    pub state_hash: u64,
    /// The labels.
    pub children: Labels,
}

/// A list of labels.
#[derive(Clone, Default)]
pub struct Labels {
    pub(crate) individuals: Individuals,
    pub(crate) gains: Vec<Gains>,
    /// The candidates that the labels were chosen from, if they were chosen.
    pub candidates: Option<Candidates>,
}

/// Statistics of the children of a state among which a labeller chose.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidates {
    /// The number of children, at least 1.
    pub drawn: u32,
    /// The number of different valid expressions that are not in the state.
    pub distinct: u32,
    /// The number of those whose error is [clearly](crate::Gain::is_improvement) below that of the best individual seen
    /// so far.
    pub improving: u32,
    /// Median, ninth decile and maximum of [`Label::gain_best`] over the different expressions; −∞ if there are none.
    pub gains: [f32; 3],
}

impl Candidates {
    /// Makes the statistics of `drawn` children, `improving` of which improve. `gains` has to hold the gains of the
    /// different ones, the largest first.
    pub fn new(drawn: u32, improving: u32, gains: &[f32]) -> Self {
        let above = |share: usize| gains.get(gains.len() / share).copied().unwrap_or(f32::NEG_INFINITY);
        let best = gains.first().copied().unwrap_or(f32::NEG_INFINITY);
        Candidates { drawn, distinct: gains.len() as u32, improving, gains: [above(2), above(10), best] }
    }
}

/// The numbers that a [`Label`] has beside the child.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gains {
    pub(crate) parent: f32,
    pub(crate) best: f32,
    pub(crate) weight: f32,
}

/// A child that a labeller proposes for a state.
#[derive(Debug, Clone, PartialEq)]
pub struct Label<'a> {
    /// The child; its parents and its edit refer to individuals of the state.
    pub child: IndividualRecord<'a>,
    /// The child's fitness less that of its first parent; 0 without parents.
    pub gain_parent: f32,
    /// The child's fitness less that of the fittest individual seen so far.
    pub gain_best: f32,
    /// The weight in training.
    pub weight: f32,
}

/// A change of the best individual, one point of the best progression.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress<'a> {
    /// The generation of the change.
    pub generation: u32,
    /// The new best expression.
    pub expr: &'a Tree,
    /// The error of that expression.
    pub mse: f32,
}

impl Trajectory {
    /// Returns the ancestors of the best individual of the last generation: for each generation their sorted indices.
    pub fn lineage(&self) -> Vec<Vec<u32>> {
        let parents = |record: GenerationRecord<'_>| record.individuals().map(|i| i.parents).collect();
        let parents: Vec<Vec<Parents>> = self.generations.iter().map(parents).collect();
        sr_engine::lineage(&parents, self.generations.last().best_index as usize)
    }

    /// Returns every change of the best individual.
    pub fn best_progression(&self) -> Vec<Progress<'_>> {
        let best =
            self.generations.iter().filter(|record| record.improved).map(|record| (record.generation, record.best()));
        best.map(|(generation, best)| Progress { generation, expr: best.expr, mse: best.mse }).collect()
    }

    /// Returns the recorded error at which a search with this configuration counts as solved, `None` if it never does.
    pub fn early_stop(&self, config: &SearchConfig) -> Option<f32> {
        let tolerance = self.target.map_or(0.0, |target| target.tolerance);
        config.early_stop_mse.map(|mse| mse.max(tolerance) as f32)
    }

    /// Returns every change of the winner, at least one: what [`Outcome::winner`](sr_engine::Outcome::winner) would be if
    /// the search had ended there. That is the fittest individual with at most the early-stop error, else the fittest one,
    /// which may be smaller and wrong. O(individuals).
    ///
    /// The configuration is that of the search. A continued search may have had a fitter individual before; here it begins
    /// with the best one of its first generation.
    pub fn winners(&self, config: &SearchConfig) -> Vec<Progress<'_>> {
        let threshold = self.early_stop(config);
        let mut winners = Vec::new();
        let mut solved: Option<f32> = None;
        for record in self.generations.iter() {
            let solves = |i: &IndividualRecord<'_>| threshold.is_some_and(|most| i.mse <= most);
            // Of equals the first.
            let fittest = record.individuals().filter(solves).min_by(|a, b| b.fitness.total_cmp(&a.fitness));
            let found = match fittest {
                Some(found) if solved.is_none_or(|fitness| found.fitness > fitness) => {
                    solved = Some(found.fitness);
                    Some(found)
                }
                _ => (solved.is_none() && (record.improved || winners.is_empty())).then(|| record.best()),
            };
            winners.extend(found.map(|i| Progress { generation: record.generation, expr: i.expr, mse: i.mse }));
        }
        winners
    }

    /// Returns the record of a generation by its number, or `None` if there is none.
    pub fn generation(&self, generation: u32) -> Option<GenerationRecord<'_>> {
        self.generations.get(generation.checked_sub(self.generations.first)? as usize)
    }

    /// Returns the labels of a state in the newest label set, or `None` if that has none.
    pub fn dagger_labels(&self, generation: u32) -> Option<&StateLabels> {
        self.labels.last()?.states.iter().find(|state| state.generation == generation)
    }

    /// Returns the expressions of [`dagger_labels`](Self::dagger_labels): what the expert would have produced from that
    /// state.
    pub fn dagger_expressions(&self, generation: u32) -> Option<impl ExactSizeIterator<Item = &Tree>> {
        self.dagger_labels(generation).map(|state| state.children.iter().map(|label| label.child.expr))
    }

    /// Adds a label set, which becomes the newest. It replaces an older one with the same mode, parameters and source.
    pub fn add_labels(&mut self, labels: LabelSet) {
        self.labels.retain(|old| (&old.mode, old.params, &old.source) != (&labels.mode, labels.params, &labels.source));
        self.labels.push(labels);
    }
}

impl Generations {
    /// Makes generations from their parts, which have to keep the rules.
    pub(crate) fn new(first: u32, spans: Vec<Span>, individuals: Individuals) -> Self {
        Generations { first, spans, individuals }
    }

    /// Returns the number of generations, at least 1.
    #[expect(clippy::len_without_is_empty, reason = "they are never empty")]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Returns the number of individuals in all generations.
    pub fn n_individuals(&self) -> usize {
        self.individuals.rows.len()
    }

    /// Returns a generation by its index. [`Trajectory::generation`] finds one by its number.
    pub fn get(&self, index: usize) -> Option<GenerationRecord<'_>> {
        (index < self.len()).then(|| self.at(index))
    }

    fn at(&self, index: usize) -> GenerationRecord<'_> {
        let Span { end, best_index, improved } = self.spans[index];
        let start = if index == 0 { 0 } else { self.spans[index - 1].end };
        let (generation, individuals) = (self.first + index as u32, &self.individuals);
        GenerationRecord { generation, best_index, improved, individuals, start, end }
    }

    /// Returns the initial generation, or the one with which a search was continued.
    pub fn first(&self) -> GenerationRecord<'_> {
        self.at(0)
    }

    /// Returns the newest generation.
    pub fn last(&self) -> GenerationRecord<'_> {
        self.at(self.len() - 1)
    }

    /// Returns an iterator over all generations, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = GenerationRecord<'_>> + DoubleEndedIterator + Clone {
        (0..self.len()).map(|index| self.at(index))
    }

    /// Returns all different expressions, by [`GenerationRecord::expression_ids`].
    pub fn expressions(&self) -> &Forest {
        &self.individuals.trees
    }
}

impl<'a> GenerationRecord<'a> {
    /// Returns the number of individuals, at least 1.
    #[expect(clippy::len_without_is_empty, reason = "a generation is never empty")]
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// Returns the population, in slot order.
    #[inline]
    pub fn individuals(
        &self,
    ) -> impl ExactSizeIterator<Item = IndividualRecord<'a>> + DoubleEndedIterator + Clone + use<'a> {
        let individuals = self.individuals;
        (self.start..self.end).map(|index| individuals.get(index))
    }

    /// Returns the places of its individuals among those of all generations.
    pub(crate) fn places(&self) -> std::ops::Range<usize> {
        self.start..self.end
    }

    /// Returns the individual in a slot.
    ///
    /// # Panics
    /// Panics if there is no such slot.
    pub fn individual(&self, slot: usize) -> IndividualRecord<'a> {
        assert!(slot < self.len(), "slot {slot} of {}", self.len());
        self.individuals.get(self.start + slot)
    }

    /// Returns the indices of the individuals' expressions in [`Generations::expressions`]. Equal expressions have the
    /// same index.
    #[inline]
    pub fn expression_ids(&self) -> impl ExactSizeIterator<Item = u32> + Clone + use<'a> {
        self.individuals.rows[self.start..self.end].iter().map(|row| row.form)
    }

    /// Returns the fittest individual.
    pub fn best(&self) -> IndividualRecord<'a> {
        self.individual(self.best_index as usize)
    }

    /// Returns the share of distinct expressions, in (0, 1].
    pub fn diversity(&self) -> f64 {
        let mut forms: Vec<u32> = self.expression_ids().collect();
        forms.sort_unstable();
        forms.dedup();
        forms.len() as f64 / self.len() as f64
    }

    /// Returns a hash of the expressions and their order, by which labels recognise their state.
    pub fn state_hash(&self) -> u64 {
        state_hash(self.individuals().map(|i| i.expr))
    }
}

/// Returns a hash of a list of expressions, which is the same on every machine.
pub fn state_hash<'a>(exprs: impl Iterator<Item = &'a Tree>) -> u64 {
    // The rotation lets high bits reach low ones.
    exprs.fold(FNV_OFFSET, |hash, expr| fnv1a_step(hash, expr.hash64()).rotate_left(29))
}

impl Individuals {
    #[inline]
    fn get(&self, index: usize) -> IndividualRecord<'_> {
        let Row { form, mse, fitness, origin, parents, edit } = self.rows[index];
        let edit = match edit {
            EditRow::None => None,
            EditRow::Donor { parent, node, donor, graft } => {
                Some(Edit { parent, node, replacement: Replacement::Donor { parent: donor, node: graft } })
            }
            EditRow::Written { parent, node, tree } => {
                let tree = Cow::Borrowed(self.written.get(tree as usize));
                Some(Edit { parent, node, replacement: Replacement::Written(tree) })
            }
        };
        let log_prob = self.log_probs.get(index).copied().filter(|p| !p.is_nan());
        IndividualRecord { expr: self.trees.get(form as usize), mse, fitness, origin, parents, edit, log_prob }
    }

    /// Adds an individual whose expression is in `trees` already.
    fn push(&mut self, individual: &IndividualRecord<'_>, form: u32) {
        let IndividualRecord { mse, fitness, origin, parents, ref edit, log_prob, .. } = *individual;
        let edit = match edit {
            None => EditRow::None,
            Some(Edit { parent, node, replacement }) => match replacement {
                &Replacement::Donor { parent: donor, node: graft } => {
                    EditRow::Donor { parent: *parent, node: *node, donor, graft }
                }
                Replacement::Written(tree) => {
                    let tree = self.written.push(tree) as u32;
                    EditRow::Written { parent: *parent, node: *node, tree }
                }
            },
        };
        if let Some(log_prob) = log_prob {
            self.log_probs.resize(self.rows.len(), f32::NAN);
            self.log_probs.push(log_prob);
        }
        self.rows.push(Row { form, mse, fitness, origin, parents, edit });
    }

    fn truncate(&mut self, len: usize) {
        self.rows.truncate(len);
        self.log_probs.truncate(len);
    }
}

/// A builder that makes [`Generations`] of individuals and checks that they keep the rules.
#[derive(Default)]
pub struct GenerationsBuilder {
    first: u32,
    spans: Vec<Span>,
    individuals: Individuals,
    forms: Interner<sr_expr::Node>,
}

impl std::fmt::Debug for GenerationsBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GenerationsBuilder")
            .field("first", &self.first)
            .field("generations", &self.spans.len())
            .finish_non_exhaustive()
    }
}

impl GenerationsBuilder {
    /// Makes a builder. `first` is the number of the first generation: 0, unless a search was continued.
    pub fn new(first: u32) -> Self {
        GenerationsBuilder { first, ..GenerationsBuilder::default() }
    }

    /// Adds the next generation; [`GenerationRecord`] explains the other parameters.
    ///
    /// # Errors
    /// Returns an error if there are no individuals, parents or an edit point to nothing in the previous generation, an
    /// edit makes another expression, `best_index` is out of range, or there are no more numbers for generations. The
    /// builder then has the generations that it had before.
    pub fn push<'a>(
        &mut self,
        individuals: impl IntoIterator<Item = IndividualRecord<'a>>,
        best_index: u32,
        improved: bool,
    ) -> Result<(), RecordError> {
        let start = self.individuals.rows.len();
        let added = self.add(individuals, best_index, improved);
        if added.is_err() {
            self.individuals.truncate(start);
        }
        added
    }

    fn add<'a>(
        &mut self,
        individuals: impl IntoIterator<Item = IndividualRecord<'a>>,
        best_index: u32,
        improved: bool,
    ) -> Result<(), RecordError> {
        let number = u32::try_from(self.spans.len()).ok().and_then(|index| self.first.checked_add(index));
        number.ok_or(RecordError::NumberTooLarge)?;
        let end = |spans: &[Span]| spans.last().map_or(0, |span| span.end);
        let (before, start) = (end(&self.spans[..self.spans.len().saturating_sub(1)]), end(&self.spans));
        for individual in individuals {
            let tree = |index: usize| self.individuals.trees.get(self.individuals.rows[before + index].form as usize);
            check_child(&individual, start - before, tree)?;
            let (form, is_new) = self.forms.intern(individual.expr.nodes());
            if is_new {
                self.individuals.trees.push(individual.expr);
            }
            self.individuals.push(&individual, form);
        }
        let end = self.individuals.rows.len();
        if end == start {
            return Err(RecordError::Empty { field: "individuals" });
        }
        in_range("best", best_index, end - start)?;
        self.spans.push(Span { end, best_index, improved });
        Ok(())
    }

    /// Returns the generations.
    ///
    /// # Errors
    /// Returns an error if there are none.
    pub fn build(self) -> Result<Generations, RecordError> {
        match self.spans.is_empty() {
            true => Err(RecordError::Empty { field: "generations" }),
            false => Ok(Generations::new(self.first, self.spans, self.individuals)),
        }
    }
}

/// Checks the parents and the edit of an individual. `tree` returns the expressions of the `len` individuals of its
/// state.
fn check_child<'a>(
    child: &IndividualRecord<'_>,
    len: usize,
    tree: impl Fn(usize) -> &'a Tree,
) -> Result<(), RecordError> {
    child.parents.iter().try_for_each(|parent| in_range("parents", parent, len))?;
    let Some(edit) = &child.edit else { return Ok(()) };
    let node = |individual: u32, node: u32| {
        in_range("edit", individual, len)?;
        let tree = tree(individual as usize);
        in_range("nodes", node, tree.size()).map(|()| tree)
    };
    let parent = node(edit.parent, edit.node)?;
    let makes = match &edit.replacement {
        &Replacement::Donor { parent: donor, node: root } => {
            is_made(parent, edit.node, node(donor, root)?.subtree(root as usize), child.expr)
        }
        Replacement::Written(tree) => is_made(parent, edit.node, tree, child.expr),
    };
    if makes { Ok(()) } else { Err(RecordError::Edit { expression: child.expr.to_string() }) }
}

/// Checks the labels of a trajectory by the rules of [`Trajectory`].
pub(crate) fn check_labels(trajectory: &Trajectory) -> Result<(), RecordError> {
    trajectory.labels.iter().try_for_each(|set| check_label_set(set, &trajectory.generations))
}

/// Checks one set of labels by those rules.
pub(crate) fn check_label_set(labels: &LabelSet, generations: &Generations) -> Result<(), RecordError> {
    for state in &labels.states {
        let record = labelled_state(generations, state.generation)?;
        let tree = |index| record.individual(index).expr;
        state.children.iter().try_for_each(|label| check_child(&label.child, record.len(), tree))?;
    }
    Ok(())
}

/// Returns the generation with this number, or an error that the label set labels no generation.
pub(crate) fn labelled_state(generations: &Generations, number: u32) -> Result<GenerationRecord<'_>, RecordError> {
    let index = number.checked_sub(generations.first).map(|index| index as usize);
    index.and_then(|index| generations.get(index)).ok_or_else(|| RecordError::Index {
        field: "labels.generations",
        index: number.into(),
        len: generations.len(),
    })
}

/// Returns whether `child` is `parent` with `graft` in the place of the subtree rooted at `node`.
fn is_made(parent: &Tree, node: u32, graft: &Tree, child: &Tree) -> bool {
    let (parent, start, graft, child) =
        (parent.nodes(), parent.subtree_start(node as usize), graft.nodes(), child.nodes());
    let (head, tail) = (&parent[..start], &parent[node as usize + 1..]);
    head.len() + graft.len() + tail.len() == child.len()
        && child.starts_with(head)
        && child.ends_with(tail)
        && child[start..start + graft.len()] == *graft
}

#[inline]
pub(crate) fn in_range(field: &'static str, index: u32, len: usize) -> Result<(), RecordError> {
    if (index as usize) < len { Ok(()) } else { Err(RecordError::Index { field, index: index.into(), len }) }
}

impl Labels {
    /// Returns the number of labels.
    pub fn len(&self) -> usize {
        self.gains.len()
    }

    /// Returns whether there are no labels.
    pub fn is_empty(&self) -> bool {
        self.gains.is_empty()
    }

    /// Returns the number of labels that are valid and fitter than the fittest individual seen so far.
    pub fn improving(&self) -> usize {
        let is_valid = |row: &Row| row.mse.is_finite() || row.fitness > INVALID_FITNESS as f32;
        self.gains.iter().zip(&self.individuals.rows).filter(|(gains, row)| gains.best > 0.0 && is_valid(row)).count()
    }

    /// Makes an empty list with room for `labels` labels that have `nodes` nodes together.
    pub fn with_capacity(labels: usize, nodes: usize) -> Self {
        let trees = Forest::with_capacity(labels, nodes);
        let individuals = Individuals { rows: Vec::with_capacity(labels), trees, ..Individuals::default() };
        Labels { individuals, gains: Vec::with_capacity(labels), candidates: None }
    }

    /// Adds a label.
    pub fn push(&mut self, label: &Label<'_>) {
        let form = self.individuals.trees.push(label.child.expr) as u32;
        self.individuals.push(&label.child, form);
        self.gains.push(Gains { parent: label.gain_parent, best: label.gain_best, weight: label.weight });
    }

    /// Returns an iterator over all labels, in the order in which they were added.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Label<'_>> + DoubleEndedIterator + Clone {
        self.gains.iter().enumerate().map(|(index, gains)| Label {
            child: self.individuals.get(index),
            gain_parent: gains.parent,
            gain_best: gains.best,
            weight: gains.weight,
        })
    }
}

impl<'a> FromIterator<Label<'a>> for Labels {
    fn from_iter<I: IntoIterator<Item = Label<'a>>>(labels: I) -> Self {
        let mut list = Labels::default();
        labels.into_iter().for_each(|label| list.push(&label));
        list
    }
}

impl<'a> From<IndividualRef<'a>> for IndividualRecord<'a> {
    fn from(individual: IndividualRef<'a>) -> Self {
        let IndividualRef { tree, score, origin, parents, edit, log_prob } = individual;
        let (mse, fitness) = (score.mse as f32, score.fitness as f32);
        let log_prob = log_prob.filter(|p| !p.is_nan());
        IndividualRecord { expr: tree, mse, fitness, origin, parents, edit, log_prob }
    }
}

// The content is compared and printed, not how it lies in memory.

impl PartialEq for Generations {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl PartialEq for GenerationRecord<'_> {
    fn eq(&self, other: &Self) -> bool {
        let rest = |g: &Self| (g.generation, g.best_index, g.improved);
        rest(self) == rest(other) && self.individuals().eq(other.individuals())
    }
}

impl PartialEq for Labels {
    fn eq(&self, other: &Self) -> bool {
        self.candidates == other.candidates && self.iter().eq(other.iter())
    }
}

impl fmt::Debug for Generations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl fmt::Debug for GenerationRecord<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GenerationRecord")
            .field("generation", &self.generation)
            .field("best_index", &self.best_index)
            .field("improved", &self.improved)
            .field("individuals", &self.individuals().collect::<Vec<_>>())
            .finish()
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list = f.debug_list();
        if let Some(candidates) = &self.candidates {
            list.entry(candidates);
        }
        list.entries(self.iter()).finish()
    }
}
