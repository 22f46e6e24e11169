//! A trajectory as it lies in a file: columns over all of its generations.
//!
//! Fields are described in `docs/formats.md`; they can be added to and never change their meaning. An individual is the
//! edit that made it of the generation before, and its score stands where its expression occurs for the first time:
//! most individuals of a search repeat one. What has neither edit nor predecessor is written out.

mod encoder;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sr_codec::Packed;
use sr_engine::{Edit, Evaluations, INVALID_FITNESS, Origin, Parents, PrimitiveSet, Replacement, StopReason};
use sr_expr::{Expr, Op, Tree};

pub(crate) use self::encoder::{Encoder, View};
use crate::columns::{Bytes, Column};
use crate::forms::{FormError, FormTable, Forms, MAX_NODES, subtree};
use crate::interner::Interner;
use crate::{
    GenerationRecord, IndividualRecord, Label, LabelParams, LabelSet, RecordError, SamplingCounts, StateLabels,
    TraceHeader, Trajectory,
};

/// One record of a trace file: a trajectory in its compact form, as a [`Recorder`](crate::Recorder) makes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    problem_id: String,
    primitives: Primitives,
    seed: u64,
    #[serde(with = "StopReasonDef")]
    stop: StopReason,
    #[serde(with = "EvaluationsDef")]
    evaluations: Evaluations,
    sampling: Option<SamplingCounts>,
    first_generation: u32,
    /// Individuals of each generation.
    sizes: Bytes,
    /// Index of the fittest individual of each generation.
    best: Bytes,
    /// 1 for a generation with a new best individual.
    improved: Bytes,
    /// Expressions that are written out, in the order in which individuals and labels need them.
    written: FormTable,
    /// What [`Children::kinds`] refers to.
    kinds: Vec<Kind>,
    individuals: Children,
    scores: Scores,
    labels: Vec<Labels>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Primitives {
    operators: Vec<String>,
    constants: Vec<f64>,
    variables: u16,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Labels {
    mode: String,
    params: LabelParams,
    source: String,
    /// The labelled generations, their hashes and numbers of labels.
    generations: Bytes,
    hashes: Vec<u64>,
    sizes: Bytes,
    children: Children,
    gain_parent: Bytes,
    gain_best: Bytes,
    weight: Bytes,
}

/// Individuals or labels, one after the other. All columns are of numbers but the last one.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Children {
    kinds: Bytes,
    parents: Bytes,
    nodes: Bytes,
    grafts: Bytes,
    /// Indices of individuals that an edit refers to, where they are not the parents.
    others: Bytes,
    /// k: the expression of the k-th last score.
    repeats: Bytes,
    log_probs: Option<Bytes>,
    /// Individuals so far, as long as the record is written.
    #[serde(skip)]
    len: usize,
}

/// What is often the same of individuals: origin, number of parents, [`Change`], and 1 where a score stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Kind(u8, u8, u8, u8);

/// The scores of individuals whose expression has not had that score before, in order.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Scores {
    /// Numbers: 0 for the next of `mse`; k for that which stands k places before that.
    errors: Bytes,
    mse: Bytes,
    /// Four bytes each, or one where they follow from the errors, see [`Record::shorten_fitness`].
    fitness: Bytes,
    /// What the columns are of, as long as the record is in memory.
    #[serde(skip)]
    given: Vec<Given>,
}

/// A score, and the nodes of its expression.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Given {
    mse: f32,
    fitness: f32,
    size: u16,
}

impl Given {
    /// Whether both are the same bits.
    #[inline]
    fn is(&self, other: &Given) -> bool {
        [self.mse, self.fitness].map(f32::to_bits) == [other.mse, other.fitness].map(f32::to_bits)
    }
}

/// How an individual came to its expression. The numbers are part of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Change {
    /// It is the next of those written out; no edit.
    Written,
    /// A subtree of the second parent in the first.
    Graft,
    /// A written subtree in the first parent.
    Write,
    /// The first parent's root in place of itself.
    Copy,
    /// As `Graft`, but the parent and the donor are in `others`.
    GraftOthers,
    /// As `Write`, but the parent is in `others`.
    WriteOther,
    /// It is the first parent's; no edit.
    Carried,
    /// It is one met before; no edit.
    Repeat,
}

impl Change {
    const ALL: [Change; 8] = [
        Change::Written,
        Change::Graft,
        Change::Write,
        Change::Copy,
        Change::GraftOthers,
        Change::WriteOther,
        Change::Carried,
        Change::Repeat,
    ];
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "StopReason", rename_all = "kebab-case")]
pub(crate) enum StopReasonDef {
    Solved { mse: f64 },
    Generations(u32),
    Evaluations(u64),
    TimeLimit(Duration),
    Exhausted,
    Observer,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Evaluations")]
pub(crate) struct EvaluationsDef {
    search: u64,
    duplicates: u64,
    proposals: u64,
}

impl Record {
    /// The compact form of a trajectory.
    ///
    /// # Errors
    /// If the trajectory breaks a rule of [`Trajectory`], or an expression is too large.
    pub fn encode(trajectory: &Trajectory) -> Result<Record, RecordError> {
        check(trajectory)?;
        Encoder::encode(trajectory)
    }

    /// The problem.
    pub fn problem_id(&self) -> &str {
        &self.problem_id
    }

    /// Why the search ended.
    pub fn stop(&self) -> StopReason {
        self.stop
    }

    /// What the search spent.
    pub fn evaluations(&self) -> Evaluations {
        self.evaluations
    }

    /// Individuals by [`Origin`], those of the first generation left out.
    pub fn children(&self) -> [u64; Origin::ALL.len()] {
        let mut kinds = Column::new("kinds", &self.individuals.kinds);
        let first = Column::new("sizes", &self.sizes).number().unwrap_or(0);
        let kinds = std::iter::from_fn(|| kinds.number().ok()).skip(first as usize);
        let mut counts = [0; Origin::ALL.len()];
        kinds.filter_map(|kind| self.kinds.get(kind as usize)).for_each(|kind| counts[usize::from(kind.0)] += 1);
        counts
    }

    /// What a learner wrote, if there was one.
    pub fn sampling(&self) -> Option<SamplingCounts> {
        self.sampling
    }

    /// Notes what a learner wrote.
    pub fn set_sampling(&mut self, counts: SamplingCounts) {
        self.sampling = Some(counts);
    }

    /// Fitnesses as what an error and a size make them, corrected for the rounding of the error to f32: one byte in
    /// the place of four, if all of them are that function. `parsimony` is the search's penalty per node.
    pub(crate) fn shorten_fitness(&mut self, parsimony: f64) {
        let steps = |given: &Given| {
            let expected = expected_fitness(given.mse, usize::from(given.size), parsimony);
            let steps = i64::from(rank(given.fitness)) - i64::from(rank(expected));
            i8::try_from(steps).ok().map(i8::cast_unsigned)
        };
        if let Some(steps) = self.scores.given.iter().map(steps).collect() {
            self.scores.fitness = Bytes(steps);
        }
    }

    /// The record as it goes into a file with this header; compressing is most of the work, and threads can do it.
    ///
    /// # Panics
    /// If memory runs out.
    pub fn pack(self, header: &TraceHeader) -> Packed {
        self.pack_with(header.engine.parsimony_coefficient)
    }

    pub(crate) fn pack_with(mut self, parsimony: f64) -> Packed {
        self.shorten_fitness(parsimony);
        Packed::new(sr_codec::Kind::Trace, &self).expect("a record is MessagePack")
    }

    /// The trajectory. `parsimony` is that of [`shorten_fitness`](Self::shorten_fitness).
    ///
    /// # Errors
    /// If the columns do not describe a trajectory. Nothing that can be read makes it panic.
    pub(crate) fn decode(&self, parsimony: f64) -> Result<Trajectory, RecordError> {
        let mut decoder = Decoder::new(self, parsimony)?;
        let n_generations = self.improved.0.len();
        let mut generations = Vec::with_capacity(n_generations);
        let (mut sizes, mut best) = (Column::new("sizes", &self.sizes), Column::new("best", &self.best));
        let mut individuals = Cursor::new(&self.individuals);
        let mut ids = Vec::new(); // of every generation, the numbers of its expressions
        for (index, &improved) in self.improved.0.iter().enumerate() {
            let generation = u32::try_from(index).ok().and_then(|index| self.first_generation.checked_add(index));
            let before = ids.last().map_or(&[][..], |ids: &Vec<u32>| ids);
            let (individuals, these) = decoder.children(&mut individuals, sizes.number()?, before)?;
            generations.push(GenerationRecord {
                generation: generation.ok_or(RecordError::NumberTooLarge)?,
                individuals,
                best_index: best.number()?,
                improved: improved != 0,
            });
            ids.push(these);
        }
        [sizes, best].iter().try_for_each(Column::finish)?;
        individuals.finish()?;
        let mut trajectory = Trajectory {
            problem_id: self.problem_id.clone(),
            primitives: self.primitives.decode()?,
            seed: self.seed,
            stop: self.stop,
            evaluations: self.evaluations,
            sampling: self.sampling,
            generations,
            labels: Vec::new(),
        };
        for labels in &self.labels {
            let set = decoder.labels(labels, &trajectory, &ids)?;
            trajectory.labels.push(set);
        }
        decoder.finish()?;
        check_generations(&trajectory)?; // parents and edits were followed
        Ok(trajectory)
    }
}

impl Primitives {
    fn encode(primitives: &PrimitiveSet) -> Self {
        Primitives {
            operators: primitives.ops().iter().map(|op| op.name().to_owned()).collect(),
            constants: primitives.constants().to_vec(),
            variables: primitives.n_variables(),
        }
    }

    pub(crate) fn decode(&self) -> Result<PrimitiveSet, RecordError> {
        let op = |name: &String| {
            Op::from_name(name)
                .ok_or_else(|| RecordError::Primitives { reason: format!("there is no operator {name:?}") })
        };
        let operators = self.operators.iter().map(op).collect::<Result<_, _>>()?;
        PrimitiveSet::new(operators, self.constants.clone(), self.variables)
            .map_err(|error| RecordError::Primitives { reason: error.to_string() })
    }
}

/// What fitness follows from an error and a number of nodes, in f32.
pub(crate) fn expected_fitness(mse: f32, size: usize, parsimony: f64) -> f32 {
    if mse.is_finite() { (-f64::from(mse) - parsimony * size as f64) as f32 } else { INVALID_FITNESS as f32 }
}

/// The number `steps` (an `i8`) places further in the order of all f32.
pub(crate) fn stepped(number: f32, steps: u8) -> f32 {
    let rank = rank(number).wrapping_add(i32::from(steps.cast_signed()));
    f32::from_bits((rank ^ ((rank >> 31) & i32::MAX)).cast_unsigned())
}

/// The place of a number in the order of all f32; neighbours differ by 1.
fn rank(number: f32) -> i32 {
    let bits = number.to_bits().cast_signed();
    bits ^ ((bits >> 31) & i32::MAX)
}

/// The rules of [`Trajectory`].
pub(crate) fn check(trajectory: &Trajectory) -> Result<(), RecordError> {
    check_generations(trajectory)?;
    let mut parents: &[IndividualRecord] = &[];
    for record in &trajectory.generations {
        record.individuals.iter().try_for_each(|individual| check_child(individual, parents))?;
        parents = &record.individuals;
    }
    for state in trajectory.labels.iter().flat_map(|set| &set.states) {
        let parents = labelled_state(trajectory, state.generation)?;
        state.children.iter().try_for_each(|label| check_child(&label.child, parents))?;
    }
    Ok(())
}

/// Those that say nothing of parents and edits.
fn check_generations(trajectory: &Trajectory) -> Result<(), RecordError> {
    let first = trajectory.generations.first().ok_or(RecordError::Empty { field: "generations" })?;
    for (record, expected) in trajectory.generations.iter().zip(first.generation..) {
        if record.generation != expected {
            return Err(RecordError::Numbering { expected, found: record.generation });
        }
        if record.individuals.is_empty() {
            return Err(RecordError::Empty { field: "individuals" });
        }
        in_range("best", record.best_index, record.individuals.len())?;
    }
    Ok(())
}

fn check_child(child: &IndividualRecord, parents: &[IndividualRecord]) -> Result<(), RecordError> {
    child.parents.iter().try_for_each(|parent| in_range("parents", parent, parents.len()))?;
    let Some(edit) = &child.edit else { return Ok(()) };
    let node = |individual: u32, node: u32| {
        in_range("edit", individual, parents.len())?;
        in_range("nodes", node, parents[individual as usize].expr.size())
    };
    node(edit.parent, edit.node)?;
    let parent = &parents[edit.parent as usize].expr;
    let makes = match &edit.replacement {
        Replacement::Donor { parent: donor, node: root } => {
            node(*donor, *root)?;
            is_made(parent, edit.node, parents[*donor as usize].expr.subtree(*root as usize), &child.expr)
        }
        Replacement::Written(tree) => is_made(parent, edit.node, tree, &child.expr),
    };
    if makes { Ok(()) } else { Err(RecordError::Edit { expression: child.expr.to_string() }) }
}

/// Whether `child` is `parent` with `graft` in the place of the subtree whose root is `node`.
fn is_made(parent: &Tree, node: u32, graft: &Tree, child: &Tree) -> bool {
    let (parent, start, graft, child) =
        (parent.nodes(), parent.subtree_start(node as usize), graft.nodes(), child.nodes());
    let (head, tail) = (&parent[..start], &parent[node as usize + 1..]);
    head.len() + graft.len() + tail.len() == child.len()
        && child.starts_with(head)
        && child.ends_with(tail)
        && child[start..start + graft.len()] == *graft
}

pub(crate) fn labelled_state(trajectory: &Trajectory, generation: u32) -> Result<&[IndividualRecord], RecordError> {
    let len = trajectory.generations.len();
    let outside = RecordError::Index { field: "labels.generations", index: generation.into(), len };
    Ok(&trajectory.generation(generation).ok_or(outside)?.individuals)
}

/// Errors by how far back they stand.
struct Errors<'a> {
    mse: &'a [[u8; 4]],
    /// Those met so far.
    seen: usize,
}

impl<'a> Errors<'a> {
    fn new(mse: &'a Bytes) -> Self {
        Errors { mse: mse.0.as_chunks().0, seen: 0 }
    }

    fn next(&mut self, errors: &mut Column<'_>) -> Result<f32, RecordError> {
        let back = errors.number()?;
        let outside = RecordError::Index { field: "mse", index: back.into(), len: self.seen };
        let place = self.seen.checked_sub(back as usize).ok_or(outside)?;
        let bytes = self.mse.get(place).ok_or(RecordError::Column { field: "mse", short: true })?;
        self.seen += usize::from(back == 0);
        Ok(f32::from_le_bytes(*bytes))
    }
}

/// Walks through the columns of [`Children`].
struct Cursor<'a> {
    kinds: Column<'a>,
    parents: Column<'a>,
    nodes: Column<'a>,
    grafts: Column<'a>,
    others: Column<'a>,
    repeats: Column<'a>,
    log_probs: Option<Column<'a>>,
}

impl<'a> Cursor<'a> {
    fn new(children: &'a Children) -> Self {
        Cursor {
            kinds: Column::new("kinds", &children.kinds),
            parents: Column::new("parents", &children.parents),
            nodes: Column::new("nodes", &children.nodes),
            grafts: Column::new("grafts", &children.grafts),
            others: Column::new("others", &children.others),
            repeats: Column::new("repeats", &children.repeats),
            log_probs: children.log_probs.as_ref().map(|column| Column::new("log_probs", column)),
        }
    }

    fn finish(self) -> Result<(), RecordError> {
        let Cursor { kinds, parents, nodes, grafts, others, repeats, log_probs } = self;
        [kinds, parents, nodes, grafts, others, repeats].iter().chain(&log_probs).try_for_each(Column::finish)
    }
}

struct Decoder<'a> {
    kinds: Vec<(Origin, u8, Change, bool)>,
    table: &'a FormTable,
    written: Forms,
    /// Those of `written` that were taken.
    taken: usize,
    /// All that occurred, as symbols of `table`.
    expressions: Interner<u32>,
    /// `[expressions]`
    exprs: Vec<Arc<Expr>>,
    /// `[expressions]` with error and fitness that each had last.
    scores: Vec<Option<(f32, f32)>>,
    /// Expressions of the scores so far.
    scored: Vec<u32>,
    places: Column<'a>,
    errors: Errors<'a>,
    fitness: Column<'a>,
    /// Whether fitness has one byte.
    is_short: bool,
    parsimony: f64,
    /// An expression in the making.
    symbols: Vec<u32>,
}

impl<'a> Decoder<'a> {
    fn new(record: &'a Record, parsimony: f64) -> Result<Self, RecordError> {
        let kind = |&Kind(origin, parents, change, score): &Kind| {
            let code = |field, code| RecordError::Code { field, code };
            let origin = *Origin::ALL.get(usize::from(origin)).ok_or(code("kinds", origin))?;
            let change = *Change::ALL.get(usize::from(change)).ok_or(code("kinds", change))?;
            if parents > 2 || score > 1 {
                return Err(code("kinds", parents.max(score)));
            }
            Ok((origin, parents, change, score == 1))
        };
        let Scores { errors, mse, fitness, .. } = &record.scores;
        // An error takes at least one byte of the column.
        let is_short = fitness.0.len() == errors.0.iter().filter(|&&byte| byte < 128).count();
        Ok(Decoder {
            kinds: record.kinds.iter().map(kind).collect::<Result<_, _>>()?,
            table: &record.written,
            written: record.written.symbols().map_err(in_field("written"))?,
            taken: 0,
            expressions: Interner::default(),
            exprs: Vec::new(),
            scores: Vec::new(),
            scored: Vec::new(),
            places: Column::new("errors", errors),
            errors: Errors::new(mse),
            fitness: Column::new("fitness", fitness),
            is_short,
            parsimony,
            symbols: Vec::new(),
        })
    }

    /// The individuals of a generation with the numbers of their expressions.
    fn children(
        &mut self,
        columns: &mut Cursor<'_>,
        size: u32,
        before: &[u32],
    ) -> Result<(Vec<IndividualRecord>, Vec<u32>), RecordError> {
        // A damaged size must not ask for more memory than the record has individuals.
        let expected = (size as usize).min(columns.kinds.len());
        let (mut individuals, mut ids) = (Vec::with_capacity(expected), Vec::with_capacity(expected));
        for _ in 0..size {
            let (individual, id) = self.child(columns, before)?;
            individuals.push(individual);
            ids.push(id);
        }
        Ok((individuals, ids))
    }

    fn child(&mut self, columns: &mut Cursor<'_>, before: &[u32]) -> Result<(IndividualRecord, u32), RecordError> {
        let kind = columns.kinds.number()?;
        let outside = RecordError::Index { field: "kinds", index: kind.into(), len: self.kinds.len() };
        let (origin, n_parents, change, is_scored) = *self.kinds.get(kind as usize).ok_or(outside)?;
        let mut parent = || {
            let parent = columns.parents.number()?;
            in_range("parents", parent, before.len()).map(|()| parent)
        };
        let parents = match n_parents {
            0 => Parents::None,
            1 => Parents::One(parent()?),
            _ => Parents::Two(parent()?, parent()?),
        };
        let (id, edit) = self.change(change, parents, columns, before)?;
        if is_scored {
            let mse = self.errors.next(&mut self.places)?;
            let fitness = if self.is_short {
                let size = self.exprs[id as usize].size();
                stepped(expected_fitness(mse, size, self.parsimony), self.fitness.byte()?)
            } else {
                self.fitness.float()?
            };
            self.scores[id as usize] = Some((mse, fitness));
            self.scored.push(id);
        }
        let expr = self.exprs[id as usize].clone();
        let Some((mse, fitness)) = self.scores[id as usize] else {
            return Err(RecordError::Unscored { expression: expr.to_string() });
        };
        let log_prob = match &mut columns.log_probs {
            Some(column) => Some(column.float()?).filter(|p| !p.is_nan()),
            None => None,
        };
        Ok((IndividualRecord { expr, mse, fitness, origin, parents, edit, log_prob }, id))
    }

    /// The number of an individual's expression, and the edit that made it.
    fn change(
        &mut self,
        change: Change,
        parents: Parents,
        columns: &mut Cursor<'_>,
        before: &[u32],
    ) -> Result<(u32, Option<Edit<'static>>), RecordError> {
        let mut of = parents.iter();
        let missing = RecordError::Column { field: "parents", short: true };
        let (first, second) = (of.next().ok_or(missing.clone()), of.next().ok_or(missing));
        let parent = match change {
            Change::Written => {
                let written = self.take_written()?;
                self.symbols.clear();
                self.symbols.extend_from_slice(self.written.get(written));
                return Ok((self.intern(), None));
            }
            Change::Repeat => {
                let back = columns.repeats.number()?;
                let len = self.scored.len();
                let outside = RecordError::Index { field: "repeats", index: back.into(), len };
                let place = len.checked_sub(back as usize).filter(|&place| place < len).ok_or(outside)?;
                return Ok((self.scored[place], None));
            }
            Change::Carried => return Ok((before[first? as usize], None)),
            Change::Copy => {
                let first = first?;
                let id = before[first as usize];
                return Ok((id, Some(Edit::copy(first, &self.exprs[id as usize]))));
            }
            Change::Graft | Change::Write => first?,
            Change::GraftOthers | Change::WriteOther => columns.others.number()?,
        };
        let node = columns.nodes.number()?;
        in_range("others", parent, before.len())?;
        let parent_form = before[parent as usize];
        in_range("nodes", node, self.expressions.tree(parent_form).len())?;
        let cut = subtree(self.expressions.tree(parent_form), node as usize);
        self.symbols.clear();
        self.symbols.extend_from_slice(&self.expressions.tree(parent_form)[..cut.start]);
        let replacement = match change {
            Change::Graft | Change::GraftOthers => {
                let donor = if change == Change::Graft { second? } else { columns.others.number()? };
                let node = columns.grafts.number()?;
                in_range("others", donor, before.len())?;
                let tree = self.expressions.tree(before[donor as usize]);
                in_range("grafts", node, tree.len())?;
                self.symbols.extend_from_slice(&tree[subtree(tree, node as usize)]);
                Replacement::Donor { parent: donor, node }
            }
            _ => {
                let written = self.take_written()?;
                let symbols = self.written.get(written);
                self.symbols.extend_from_slice(symbols);
                Replacement::Written(Cow::Owned(self.table.expr(symbols)))
            }
        };
        self.symbols.extend_from_slice(&self.expressions.tree(parent_form)[cut.end..]);
        if self.symbols.len() > MAX_NODES {
            return Err(RecordError::Forms { field: "edit", source: FormError::TooLarge { form: self.exprs.len() } });
        }
        Ok((self.intern(), Some(Edit { parent, node, replacement })))
    }

    /// The place of the next expression that is written out.
    fn take_written(&mut self) -> Result<usize, RecordError> {
        let place = self.taken;
        if place == self.written.len() {
            return Err(RecordError::Column { field: "written", short: true });
        }
        self.taken += 1;
        Ok(place)
    }

    /// The number of the expression in `self.symbols`, which is a whole tree.
    fn intern(&mut self) -> u32 {
        let (id, is_new) = self.expressions.intern(&self.symbols);
        if is_new {
            self.exprs.push(Arc::new(self.table.expr(&self.symbols)));
            self.scores.push(None);
        }
        id
    }

    fn labels(&mut self, labels: &Labels, trajectory: &Trajectory, ids: &[Vec<u32>]) -> Result<LabelSet, RecordError> {
        let mut columns = Cursor::new(&labels.children);
        let number = |field, bytes| Column::new(field, bytes);
        let (mut generations, mut sizes) =
            (number("labels.generations", &labels.generations), number("labels.sizes", &labels.sizes));
        let (mut gain_parent, mut gain_best, mut weight) = (
            number("labels.gain_parent", &labels.gain_parent),
            number("labels.gain_best", &labels.gain_best),
            number("labels.weight", &labels.weight),
        );
        let mut states = Vec::new();
        for &state_hash in &labels.hashes {
            let generation = generations.number()?;
            labelled_state(trajectory, generation)?;
            let before = &ids[(generation - trajectory.generations[0].generation) as usize];
            let mut children = Vec::new();
            for child in self.children(&mut columns, sizes.number()?, before)?.0 {
                let (gain_parent, gain_best) = (gain_parent.float()?, gain_best.float()?);
                children.push(Label { child, gain_parent, gain_best, weight: weight.float()? });
            }
            states.push(StateLabels { generation, state_hash, children });
        }
        columns.finish()?;
        [generations, sizes, gain_parent, gain_best, weight].iter().try_for_each(Column::finish)?;
        Ok(LabelSet { mode: labels.mode.clone(), params: labels.params, source: labels.source.clone(), states })
    }

    fn finish(&self) -> Result<(), RecordError> {
        let long = |field| Err(RecordError::Column { field, short: false });
        if self.taken < self.written.len() {
            return long("written");
        }
        if self.errors.seen < self.errors.mse.len() {
            return long("mse");
        }
        [&self.places, &self.fitness].into_iter().try_for_each(Column::finish)
    }
}

pub(crate) fn in_field(field: &'static str) -> impl FnOnce(FormError) -> RecordError {
    move |source| RecordError::Forms { field, source }
}

#[inline]
pub(crate) fn in_range(field: &'static str, index: u32, len: usize) -> Result<(), RecordError> {
    if (index as usize) < len { Ok(()) } else { Err(RecordError::Index { field, index: index.into(), len }) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As it goes into a file.
    fn encode(trajectory: &Trajectory) -> Result<Record, RecordError> {
        let mut record = Record::encode(trajectory)?;
        record.shorten_fitness(0.01);
        Ok(record)
    }

    fn bytes(record: &Record) -> Vec<u8> {
        rmp_serde::to_vec_named(record).expect("a record is MessagePack")
    }

    /// Two generations and a label: the second individual of the last one is the best.
    fn example() -> Trajectory {
        let individual = |text: &str, origin, parents, edit| IndividualRecord {
            expr: Arc::new(text.parse().expect(text)),
            mse: 1.5,
            fitness: -1.5,
            origin,
            parents,
            edit,
            log_prob: None,
        };
        let orphan = |text| individual(text, Origin::Random, Parents::None, None);
        let written = |parent, node, text: &str| {
            Some(Edit { parent, node, replacement: Replacement::Written(Cow::Owned(text.parse().expect(text))) })
        };
        let graft = |parent, node, donor, from| {
            Some(Edit { parent, node, replacement: Replacement::Donor { parent: donor, node: from } })
        };
        let second = vec![
            individual("x1", Origin::Elite, Parents::One(1), None),
            individual("x0 + x1", Origin::Crossover, Parents::Two(0, 1), graft(0, 1, 1, 0)),
            individual("x0 + sin(x0)", Origin::Mutation, Parents::One(0), written(0, 1, "sin(x0)")),
            individual("x0 + 2", Origin::Crossover, Parents::Two(0, 1), graft(0, 2, 0, 2)),
            individual("x1", Origin::Learner, Parents::None, graft(0, 2, 1, 0)),
            individual("2.5", Origin::Fallback, Parents::Two(1, 0), written(0, 2, "2.5")),
            individual("x0 + sin(x0)", Origin::Learner, Parents::Two(1, 0), None),
            IndividualRecord { mse: 2.5, ..individual("x0 + x1", Origin::Learner, Parents::None, None) },
        ];
        let child = individual("x0 + x1", Origin::Crossover, Parents::Two(0, 1), graft(0, 1, 1, 0));
        let labels = LabelSet {
            mode: "all".into(),
            params: LabelParams { seed: 3, samples: 1 },
            source: "basic_sr".into(),
            states: vec![StateLabels {
                generation: 7,
                state_hash: 11,
                children: vec![Label { child, gain_parent: 0.5, gain_best: -0.25, weight: 1.0 }],
            }],
        };
        let generation = |generation, individuals, best_index| GenerationRecord {
            generation,
            individuals,
            best_index,
            improved: best_index == 1,
        };
        Trajectory {
            problem_id: "p".into(),
            primitives: PrimitiveSet::new(vec![Op::Sin, Op::Add], vec![2.5], 2).expect("primitives"),
            seed: 5,
            stop: StopReason::Solved { mse: 1e-17 },
            evaluations: Evaluations { search: 12, duplicates: 3, proposals: 10 },
            sampling: Some(SamplingCounts { well_formed: 1, fallback: 1, children: 2 }),
            generations: vec![generation(7, vec![orphan("x0 + 2"), orphan("x1")], 0), generation(8, second, 1)],
            labels: vec![labels],
        }
    }

    #[test]
    fn every_kind_of_edit_round_trips() {
        let trajectory = example();
        let record = encode(&trajectory).expect("it keeps the rules");
        let kinds = record.individuals.kinds.0.iter().map(|&kind| record.kinds[usize::from(kind)]);
        let changes: Vec<Change> = kinds.clone().map(|kind| Change::ALL[usize::from(kind.2)]).collect();
        assert_eq!(changes[..2], [Change::Written; 2]);
        let [_, graft, write, copy, graft_others, write_other, carried, repeat] = Change::ALL;
        assert_eq!(changes[2..], [carried, graft, write, copy, graft_others, write_other, repeat, repeat]);
        let scored: Vec<u8> = kinds.map(|kind| kind.3).collect();
        assert_eq!(scored, [1, 1, 0, 1, 1, 0, 0, 1, 0, 1], "a score stands where it is new");
        assert_eq!(record.scores.mse.0.len(), 8, "equal errors stand there once");
        assert_eq!(record.decode(0.01).expect("what was written"), trajectory);
    }

    #[test]
    fn broken_rules_are_refused_by_field() {
        let refused = |change: fn(&mut Trajectory)| {
            let mut trajectory = example();
            change(&mut trajectory);
            encode(&trajectory).expect_err("a broken rule").to_string()
        };
        assert_eq!(refused(|t| t.generations.clear()), "generations: empty");
        assert_eq!(refused(|t| t.generations[0].individuals.clear()), "individuals: empty");
        assert_eq!(refused(|t| t.generations[1].generation = 9), "generations: expected number 8, found 9");
        assert_eq!(refused(|t| t.generations[1].best_index = 8), "best: 8 is out of range, there are 8");
        let parents = "parents: 2 is out of range, there are 2";
        assert_eq!(refused(|t| t.generations[1].individuals[0].parents = Parents::One(2)), parents);
        assert_eq!(refused(|t| t.labels[0].states[0].children[0].child.parents = Parents::One(2)), parents);
        let first = "parents: 0 is out of range, there are 0";
        assert_eq!(refused(|t| t.generations[0].individuals[0].parents = Parents::One(0)), first);
        let node = "nodes: 3 is out of range, there are 3";
        assert_eq!(
            refused(|t| t.generations[1].individuals[0].edit =
                Some(Edit { parent: 0, node: 3, replacement: Replacement::Written(Cow::Owned(Expr::var(0))) })),
            node
        );
        let state = "labels.generations: 9 is out of range, there are 2";
        assert_eq!(refused(|t| t.labels[0].states[0].generation = 9), state);
        let edit = "edit: it does not make (x0 + x0)";
        for index in [1, 2, 3] {
            let mut trajectory = example();
            trajectory.generations[1].individuals[index].expr = Arc::new("x0 + x0".parse().expect("an expression"));
            assert_eq!(encode(&trajectory).expect_err("a wrong edit").to_string(), edit);
        }
        let label =
            |t: &mut Trajectory| t.labels[0].states[0].children[0].child.expr = Arc::new("x0 + x0".parse().unwrap());
        assert_eq!(refused(label), edit);
    }

    #[test]
    fn columns_of_wrong_length_are_refused_by_field() {
        let refused = |change: fn(&mut Record)| {
            let mut record = encode(&example()).expect("it keeps the rules");
            change(&mut record);
            record.decode(0.01).expect_err("a wrong column").to_string()
        };
        assert_eq!(refused(|r| r.scores.mse.0.truncate(5)), "mse: too short");
        assert_eq!(refused(|r| r.scores.mse.0.extend([0; 4])), "mse: too long");
        assert_eq!(refused(|r| r.scores.fitness.0.push(0)), "fitness: too long");
        assert_eq!(refused(|r| r.best.0.push(0)), "best: too long");
        assert_eq!(refused(|r| r.sizes.0[1] = 9), "kinds: too short");
        assert_eq!(refused(|r| r.sizes.0[1] = 7), "kinds: too long");
        assert_eq!(refused(|r| r.individuals.nodes.0.push(0)), "nodes: too long");
        assert_eq!(refused(|r| r.individuals.nodes.0[0] = 3), "nodes: 3 is out of range, there are 3");
        assert_eq!(refused(|r| r.individuals.grafts.0[0] = 1), "grafts: 1 is out of range, there are 1");
        assert_eq!(refused(|r| r.individuals.parents.0[0] = 2), "parents: 2 is out of range, there are 2");
        assert_eq!(refused(|r| r.individuals.others.0[1] = 2), "others: 2 is out of range, there are 2");
        assert_eq!(refused(|r| r.individuals.repeats.0[0] = 9), "repeats: 9 is out of range, there are 5");
        assert_eq!(refused(|r| r.individuals.repeats.0[0] = 0), "repeats: 0 is out of range, there are 5");
        assert_eq!(refused(|r| r.individuals.kinds.0[0] = 99), "kinds: 99 is out of range, there are 9");
        assert_eq!(refused(|r| r.kinds[0].0 = 99), "kinds: unknown code 99");
        assert_eq!(refused(|r| r.kinds[0].1 = 3), "kinds: unknown code 3");
        assert_eq!(refused(|r| r.kinds[0].2 = 8), "kinds: unknown code 8");
        assert_eq!(refused(|r| r.kinds[0].3 = 0), "scores: there is none of (x0 + 2.0)");
        assert_eq!(refused(|r| r.labels[0].hashes.clear()), "kinds: too long");
        assert_eq!(refused(|r| r.first_generation = u32::MAX), "generations: numbers go beyond 4294967295");
        assert_eq!(refused(|r| r.primitives.operators[1] = "sinh".into()), "primitives: there is no operator \"sinh\"");
        assert_eq!(
            refused(|r| (r.primitives.constants, r.primitives.variables) = (vec![], 0)),
            "primitives: a primitive set needs at least one variable or constant"
        );
        assert_eq!(refused(|r| r.written = FormTable::default()), "written: too short");
    }

    #[test]
    fn fitnesses_that_follow_from_errors_take_a_byte() {
        let mut trajectory = example();
        let individuals = &mut trajectory.generations[0].individuals;
        let scored = |mse: f64, expr: Arc<Expr>| {
            let fitness = if mse.is_finite() { -mse - 0.01 * expr.size() as f64 } else { INVALID_FITNESS };
            IndividualRecord {
                mse: mse as f32,
                fitness: fitness as f32,
                expr,
                ..example().generations[0].individuals[0].clone()
            }
        };
        for i in 0..2000_u16 {
            let expr = (0..i % 25).fold(Expr::var(i), |expr, _| Expr::unary(Op::Sin, &expr));
            individuals.push(scored(1.7_f64.powi(i32::from(i) / 10 - 100) / 3.0, Arc::new(expr)));
        }
        individuals.push(scored(f64::INFINITY, Arc::new(Expr::constant(7.0))));
        individuals.push(scored(0.0, Arc::new(Expr::constant(8.0))));
        // The other individuals of the example do not follow.
        assert_eq!(encode(&trajectory).expect("it keeps the rules").scores.fitness.0.len() % 4, 0);
        trajectory.generations.truncate(1);
        trajectory.labels.clear();
        trajectory.generations[0].individuals.drain(..2);
        let record = encode(&trajectory).expect("it keeps the rules");
        assert_eq!(record.scores.fitness.0.len(), 2002);
        assert!(record.scores.fitness.0.iter().any(|&s| s != 0), "rounding has to be corrected somewhere");
        assert_eq!(record.decode(0.01).expect("what was written"), trajectory);
    }

    /// A trajectory that keeps the rules, with every value drawn.
    fn trajectory() -> impl Strategy<Value = Trajectory> {
        let expr = || sr_expr::testing::expr(3, 12);
        let child = (expr(), any::<(f32, f32)>(), 0..Origin::ALL.len(), any::<[u16; 6]>(), expr(), any::<i16>());
        let generation = (proptest::collection::vec(child, 1..8), any::<u16>(), any::<bool>());
        let label = any::<(f32, f32, f32)>();
        (proptest::collection::vec(generation, 1..5), 0..1000u32, any::<u64>(), label).prop_map(
            |(drawn, first, seed, (gain_parent, gain_best, weight))| {
                let mut generations: Vec<GenerationRecord> = Vec::new();
                for (index, (children, best, improved)) in drawn.into_iter().enumerate() {
                    let previous = generations.last().map(|g| &g.individuals[..]).unwrap_or_default();
                    let individuals: Vec<_> = children.into_iter().map(|drawn| drawn_child(drawn, previous)).collect();
                    generations.push(GenerationRecord {
                        generation: first + index as u32,
                        best_index: u32::from(best) % individuals.len() as u32,
                        individuals,
                        improved,
                    });
                }
                let state = |pair: &[GenerationRecord]| StateLabels {
                    generation: pair[0].generation,
                    state_hash: pair[0].state_hash(),
                    children: pair[1]
                        .individuals
                        .iter()
                        .map(|child| Label { child: child.clone(), gain_parent, gain_best, weight })
                        .collect(),
                };
                let states: Vec<_> = generations.windows(2).map(state).collect();
                let set = |samples| LabelSet {
                    mode: "all".into(),
                    params: LabelParams { seed, samples },
                    source: "basic_sr".into(),
                    states: states.clone(),
                };
                Trajectory {
                    problem_id: format!("p{seed}"),
                    primitives: PrimitiveSet::new(Op::ALL.to_vec(), vec![f64::from(first)], 3).expect("terminals"),
                    seed,
                    stop: StopReason::TimeLimit(Duration::from_micros(seed >> 20)),
                    evaluations: Evaluations { search: seed, duplicates: 1, proposals: 2 },
                    sampling: None,
                    labels: vec![set(1), set(2)],
                    generations,
                }
            },
        )
    }

    type Drawn = (Expr, (f32, f32), usize, [u16; 6], Expr, i16);

    fn drawn_child(drawn: Drawn, previous: &[IndividualRecord]) -> IndividualRecord {
        let (expr, (mse, fitness), origin, numbers, written, log_prob) = drawn;
        let [a, b, kind, node, donor, graft] = numbers.map(u32::from);
        let index = |n: u32| n % previous.len() as u32;
        let node_of = |parent: u32, n: u32| n % previous[parent as usize].expr.size() as u32;
        let (mut parents, mut edit, mut expr) = (Parents::None, None, Arc::new(expr));
        if !previous.is_empty() {
            parents = match kind % 3 {
                0 => Parents::None,
                1 => Parents::One(index(a)),
                _ => Parents::Two(index(a), index(b)),
            };
            let parent = if kind % 2 == 0 { index(a) } else { index(donor) };
            edit = match kind % 5 {
                0 => None,
                1 => Some(Edit::copy(parent, &previous[parent as usize].expr)),
                2 => Some(Edit {
                    parent,
                    node: node_of(parent, node),
                    replacement: Replacement::Written(Cow::Owned(written)),
                }),
                _ => {
                    let donor = if kind % 7 < 4 { index(b) } else { index(donor) };
                    let replacement = Replacement::Donor { parent: donor, node: node_of(donor, graft) };
                    Some(Edit { parent, node: node_of(parent, node), replacement })
                }
            };
        }
        let log_prob = (log_prob > 0).then(|| f32::from(log_prob));
        let tree = |parent: u32| &previous[parent as usize].expr;
        if let Some(Edit { parent, node, replacement }) = &edit {
            expr = Arc::new(match replacement {
                Replacement::Donor { parent: donor, node: graft } => {
                    tree(*parent).replaced(*node as usize, tree(*donor).subtree(*graft as usize))
                }
                Replacement::Written(written) => tree(*parent).replaced(*node as usize, written),
            });
        } else if kind % 3 == 1 && !previous.is_empty() {
            expr = tree(index(a)).clone(); // most often without an edit it is carried over
        }
        // NaN scores would not be equal to themselves; the engine writes none.
        let number = |x: f32| if x.is_nan() { f32::INFINITY } else { x };
        let (mse, fitness, origin) = (number(mse), number(fitness), Origin::ALL[origin]);
        IndividualRecord { expr, mse, fitness, origin, parents, edit, log_prob }
    }

    proptest! {
        #[test]
        fn trajectories_round_trip(trajectory in trajectory()) {
            let record = encode(&trajectory).expect("it keeps the rules");
            let record: Record = rmp_serde::from_slice(&bytes(&record)).expect("what was written");
            let decoded = record.decode(0.01).expect("what was written");
            // Gains may be NaN, so compare text.
            prop_assert_eq!(format!("{decoded:?}"), format!("{trajectory:?}"));
        }

        #[test]
        fn damaged_records_never_panic(
            trajectory in trajectory(),
            damage in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..4),
        ) {
            let mut bytes = bytes(&encode(&trajectory).expect("it keeps the rules"));
            for (at, value) in damage {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            if let Ok(Ok(decoded)) = rmp_serde::from_slice::<Record>(&bytes).map(|record| record.decode(0.01)) {
                // What is accepted keeps the rules.
                prop_assert!(check(&decoded).is_ok());
                prop_assert_eq!(decoded.lineage().len(), decoded.generations.len());
            }
        }
    }
}
