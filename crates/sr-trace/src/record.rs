//! A trajectory as it lies in a file: columns over all of its generations.
//!
//! Fields are described in `docs/formats.md`; they can be added to and never change their meaning.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use sr_engine::{Edit, Evaluations, INVALID_FITNESS, Origin, Parents, PrimitiveSet, Replacement, StopReason};
use sr_expr::{Expr, Op};

use crate::columns::Bytes;
use crate::forms::{FormError, FormTable, FormTableBuilder};
use crate::{
    GenerationRecord, IndividualRecord, Label, LabelParams, LabelSet, RecordError, SamplingCounts, StateLabels,
    Trajectory,
};

/// One record of a trace file.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    problem_id: String,
    primitives: Primitives,
    seed: u64,
    #[serde(with = "StopReasonDef")]
    stop: StopReason,
    #[serde(with = "EvaluationsDef")]
    evaluations: Evaluations,
    sampling: Option<SamplingCounts>,
    /// Distinct scored expressions, in order of first appearance.
    forms: FormTable,
    mse: Bytes,
    /// Four bytes each, or one where they follow from the errors, see [`fitness_steps`].
    fitness: Bytes,
    /// Subtrees that edits write, in the order in which they are needed.
    written: FormTable,
    first_generation: u32,
    /// Individuals of each generation.
    sizes: Vec<u32>,
    /// Index of the fittest individual of each generation.
    best: Vec<u32>,
    /// 1 for a generation with a new best individual.
    improved: Bytes,
    individuals: Children,
    labels: Vec<Labels>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Primitives {
    operators: Vec<String>,
    constants: Vec<f64>,
    variables: u16,
}

#[derive(Debug, Serialize, Deserialize)]
struct Labels {
    mode: String,
    params: LabelParams,
    source: String,
    /// The labelled generations, their hashes and numbers of labels.
    generations: Vec<u32>,
    hashes: Vec<u64>,
    sizes: Vec<u32>,
    children: Children,
    gain_parent: Bytes,
    gain_best: Bytes,
    weight: Bytes,
}

/// Individuals or labels, one after the other.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Children {
    /// 0: the next scored expression that has not occurred yet; k: the one k places before that.
    forms: Vec<u32>,
    origins: Bytes,
    /// Number of parents + 4 · code of the edit.
    links: Bytes,
    parents: Vec<u32>,
    nodes: Vec<u32>,
    grafts: Vec<u32>,
    /// Indices of individuals that an edit refers to, where they are not the parents.
    others: Vec<u32>,
    log_probs: Option<Bytes>,
}

// Codes of edits.
const NO_EDIT: u8 = 0;
/// A subtree of the second parent in the first.
const GRAFT: u8 = 1;
/// A written subtree in the first parent.
const WRITE: u8 = 2;
/// The first parent's root in place of itself.
const COPY: u8 = 3;
/// As `GRAFT`, but the parent and the donor are in `others`.
const GRAFT_OTHERS: u8 = 4;
/// As `WRITE`, but the parent is in `others`.
const WRITE_OTHER: u8 = 5;

#[derive(Serialize, Deserialize)]
#[serde(remote = "StopReason", rename_all = "kebab-case")]
enum StopReasonDef {
    Solved { mse: f64 },
    Generations(u32),
    Evaluations(u64),
    TimeLimit(Duration),
    Exhausted,
    Observer,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Evaluations")]
struct EvaluationsDef {
    search: u64,
    duplicates: u64,
    proposals: u64,
}

impl Record {
    /// `parsimony` is the search's penalty per node.
    ///
    /// # Errors
    /// If the trajectory breaks a rule of [`Trajectory`], or a table is too large.
    pub(crate) fn encode(trajectory: &Trajectory, parsimony: f64) -> Result<Record, RecordError> {
        check(trajectory)?;
        let mut encoder = Encoder::default();
        let mut individuals = Children::default();
        for (index, record) in trajectory.generations.iter().enumerate() {
            let parents = index.checked_sub(1).map_or(&[][..], |before| &trajectory.generations[before].individuals);
            for individual in &record.individuals {
                encoder.child(individual, parents, &mut individuals)?;
            }
        }
        individuals.drop_empty_log_probs();
        let labels = trajectory.labels.iter().map(|set| encoder.labels(set, trajectory)).collect::<Result<_, _>>()?;
        let generations = &trajectory.generations;
        Ok(Record {
            problem_id: trajectory.problem_id.clone(),
            primitives: Primitives::encode(&trajectory.primitives),
            seed: trajectory.seed,
            stop: trajectory.stop,
            evaluations: trajectory.evaluations,
            sampling: trajectory.sampling,
            forms: encoder.forms.build(),
            fitness: fitness_steps(&encoder.scores, parsimony)
                .unwrap_or_else(|| Bytes::of_floats(encoder.scores.iter().map(|s| s.fitness))),
            mse: Bytes::of_floats(encoder.scores.iter().map(|s| s.mse)),
            written: encoder.written.build(),
            first_generation: generations[0].generation,
            sizes: generations.iter().map(|g| g.individuals.len() as u32).collect(),
            best: generations.iter().map(|g| g.best_index).collect(),
            improved: Bytes(generations.iter().map(|g| u8::from(g.improved)).collect()),
            individuals,
            labels,
        })
    }

    /// `parsimony` is what it was written with.
    ///
    /// # Errors
    /// If the columns do not describe a trajectory. Nothing that can be read makes it panic.
    pub(crate) fn decode(self, parsimony: f64) -> Result<Trajectory, RecordError> {
        let forms = self.forms.decode().map_err(in_field("forms"))?;
        let mse = self.mse.floats("mse", forms.len())?;
        let fitness = if self.fitness.0.len() == forms.len() {
            let scored = forms.iter().zip(&mse).zip(&self.fitness.0);
            scored.map(|((form, &mse), &steps)| stepped(expected_fitness(mse, form.size(), parsimony), steps)).collect()
        } else {
            self.fitness.floats("fitness", forms.len())?
        };
        let mut decoder = Decoder {
            mse,
            fitness,
            forms,
            seen: 0,
            written: self.written.decode().map_err(in_field("written"))?.into_iter(),
        };
        let n_generations = self.sizes.len();
        same_length("best", n_generations, self.best.len())?;
        same_length("improved", n_generations, self.improved.0.len())?;
        let mut generations: Vec<GenerationRecord> = Vec::new();
        let mut individuals = Cursor::new(self.individuals);
        for (index, &size) in self.sizes.iter().enumerate() {
            let generation = u32::try_from(index).ok().and_then(|index| self.first_generation.checked_add(index));
            let parents = generations.last().map_or(&[][..], |record| &record.individuals);
            let individuals = decoder.children(&mut individuals, size, parents)?;
            generations.push(GenerationRecord {
                generation: generation.ok_or(RecordError::NumberTooLarge)?,
                individuals,
                best_index: self.best[index],
                improved: self.improved.0[index] != 0,
            });
        }
        individuals.finish()?;
        let mut trajectory = Trajectory {
            problem_id: self.problem_id,
            primitives: self.primitives.decode()?,
            seed: self.seed,
            stop: self.stop,
            evaluations: self.evaluations,
            sampling: self.sampling,
            generations,
            labels: Vec::new(),
        };
        for labels in self.labels {
            let set = decoder.labels(labels, &trajectory)?;
            trajectory.labels.push(set);
        }
        check(&trajectory)?;
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

    fn decode(self) -> Result<PrimitiveSet, RecordError> {
        let op = |name: &String| {
            Op::from_name(name)
                .ok_or_else(|| RecordError::Primitives { reason: format!("there is no operator {name:?}") })
        };
        let operators = self.operators.iter().map(op).collect::<Result<_, _>>()?;
        PrimitiveSet::new(operators, self.constants, self.variables)
            .map_err(|error| RecordError::Primitives { reason: error.to_string() })
    }
}

/// Fitnesses as what an error and a size make them, corrected for the rounding of the error to f32.
///
/// Errors take four bytes that no compressor makes smaller; fitnesses would take four more for what is known already.
/// `None` if a fitness is another function.
fn fitness_steps(scores: &[Score], parsimony: f64) -> Option<Bytes> {
    let steps = |score: &Score| {
        let expected = expected_fitness(score.mse, score.size, parsimony);
        i8::try_from(i64::from(rank(score.fitness)) - i64::from(rank(expected))).ok().map(i8::cast_unsigned)
    };
    scores.iter().map(steps).collect::<Option<_>>().map(Bytes)
}

fn expected_fitness(mse: f32, size: usize, parsimony: f64) -> f32 {
    if mse.is_finite() { (-f64::from(mse) - parsimony * size as f64) as f32 } else { INVALID_FITNESS as f32 }
}

/// The number `steps` (an `i8`) places further in the order of all f32.
fn stepped(number: f32, steps: u8) -> f32 {
    let rank = rank(number).wrapping_add(i32::from(steps.cast_signed()));
    f32::from_bits((rank ^ ((rank >> 31) & i32::MAX)).cast_unsigned())
}

/// The place of a number in the order of all f32; neighbours differ by 1.
fn rank(number: f32) -> i32 {
    let bits = number.to_bits().cast_signed();
    bits ^ ((bits >> 31) & i32::MAX)
}

/// The rules of [`Trajectory`].
fn check(trajectory: &Trajectory) -> Result<(), RecordError> {
    let first = trajectory.generations.first().ok_or(RecordError::Empty { field: "generations" })?;
    let mut parents: &[IndividualRecord] = &[];
    for (record, expected) in trajectory.generations.iter().zip(first.generation..) {
        if record.generation != expected {
            return Err(RecordError::Numbering { expected, found: record.generation });
        }
        if record.individuals.is_empty() {
            return Err(RecordError::Empty { field: "individuals" });
        }
        in_range("best", record.best_index, record.individuals.len())?;
        record.individuals.iter().try_for_each(|individual| check_child(individual, parents))?;
        parents = &record.individuals;
    }
    for state in trajectory.labels.iter().flat_map(|set| &set.states) {
        let parents = labelled_state(trajectory, state.generation)?;
        state.children.iter().try_for_each(|label| check_child(&label.child, parents))?;
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
    match edit.replacement {
        Replacement::Donor { parent, node: graft } => node(parent, graft),
        Replacement::Written(_) => Ok(()),
    }
}

fn labelled_state(trajectory: &Trajectory, generation: u32) -> Result<&[IndividualRecord], RecordError> {
    let len = trajectory.generations.len();
    let outside = RecordError::Index { field: "labels.generations", index: generation.into(), len };
    Ok(&trajectory.generation(generation).ok_or(outside)?.individuals)
}

#[derive(Default)]
struct Encoder<'a> {
    forms: FormTableBuilder,
    scores: Vec<Score>,
    /// Places of scored expressions. By the scores' bits: one expression may have two scores when time ran out.
    places: FxHashMap<(&'a Expr, u32, u32), u32>,
    written: FormTableBuilder,
}

struct Score {
    mse: f32,
    fitness: f32,
    size: usize,
}

impl<'a> Encoder<'a> {
    fn child(
        &mut self,
        child: &'a IndividualRecord,
        parents: &[IndividualRecord],
        out: &mut Children,
    ) -> Result<(), RecordError> {
        let key = (&*child.expr, child.mse.to_bits(), child.fitness.to_bits());
        out.forms.push(match self.places.get(&key) {
            Some(&place) => self.scores.len() as u32 - place,
            None => {
                self.places.insert(key, self.forms.push(&child.expr).map_err(in_field("forms"))?);
                self.scores.push(Score { mse: child.mse, fitness: child.fitness, size: child.expr.size() });
                0
            }
        });
        out.origins.0.push(child.origin as u8);
        out.parents.extend(child.parents.iter());
        let code = match &child.edit {
            Some(edit) => self.edit(edit, child.parents, parents, out)?,
            None => NO_EDIT,
        };
        out.links.0.push(child.parents.iter().count() as u8 | code << 2);
        let log_probs = out.log_probs.get_or_insert_default();
        log_probs.0.extend(child.log_prob.unwrap_or(f32::NAN).to_le_bytes());
        Ok(())
    }

    fn edit(
        &mut self,
        edit: &Edit<'_>,
        of: Parents,
        parents: &[IndividualRecord],
        out: &mut Children,
    ) -> Result<u8, RecordError> {
        let mut of = of.iter();
        let (first, second) = (of.next(), of.next());
        let usual = first == Some(edit.parent);
        if usual && *edit == Edit::copy(edit.parent, &parents[edit.parent as usize].expr) {
            return Ok(COPY);
        }
        out.nodes.push(edit.node);
        match &edit.replacement {
            Replacement::Donor { parent, node } => {
                out.grafts.push(*node);
                if usual && second == Some(*parent) {
                    return Ok(GRAFT);
                }
                out.others.extend([edit.parent, *parent]);
                Ok(GRAFT_OTHERS)
            }
            Replacement::Written(tree) => {
                self.written.push(tree).map_err(in_field("written"))?;
                if usual {
                    return Ok(WRITE);
                }
                out.others.push(edit.parent);
                Ok(WRITE_OTHER)
            }
        }
    }

    fn labels(&mut self, set: &'a LabelSet, trajectory: &Trajectory) -> Result<Labels, RecordError> {
        let mut children = Children::default();
        for state in &set.states {
            let parents = labelled_state(trajectory, state.generation)?;
            for label in &state.children {
                self.child(&label.child, parents, &mut children)?;
            }
        }
        children.drop_empty_log_probs();
        let labels = || set.states.iter().flat_map(|state| &state.children);
        Ok(Labels {
            mode: set.mode.clone(),
            params: set.params,
            source: set.source.clone(),
            generations: set.states.iter().map(|state| state.generation).collect(),
            hashes: set.states.iter().map(|state| state.state_hash).collect(),
            sizes: set.states.iter().map(|state| state.children.len() as u32).collect(),
            children,
            gain_parent: Bytes::of_floats(labels().map(|label| label.gain_parent)),
            gain_best: Bytes::of_floats(labels().map(|label| label.gain_best)),
            weight: Bytes::of_floats(labels().map(|label| label.weight)),
        })
    }
}

impl Children {
    /// A column in which nobody has a log-probability is left out.
    fn drop_empty_log_probs(&mut self) {
        self.log_probs.take_if(|column| column.0.chunks_exact(4).all(|b| b == f32::NAN.to_le_bytes()));
    }
}

/// Walks through the columns of [`Children`].
struct Cursor {
    forms: Column<u32>,
    origins: Column<u8>,
    links: Column<u8>,
    parents: Column<u32>,
    nodes: Column<u32>,
    grafts: Column<u32>,
    others: Column<u32>,
    log_probs: Option<Column<u8>>,
}

struct Column<T> {
    field: &'static str,
    values: std::vec::IntoIter<T>,
}

impl<T> Column<T> {
    fn new(field: &'static str, values: Vec<T>) -> Self {
        Column { field, values: values.into_iter() }
    }

    fn take(&mut self) -> Result<T, RecordError> {
        self.values.next().ok_or(RecordError::Column { field: self.field, short: true })
    }

    fn finish(&self) -> Result<(), RecordError> {
        match self.values.len() {
            0 => Ok(()),
            _ => Err(RecordError::Column { field: self.field, short: false }),
        }
    }
}

impl Cursor {
    fn new(children: Children) -> Self {
        Cursor {
            forms: Column::new("forms", children.forms),
            origins: Column::new("origins", children.origins.0),
            links: Column::new("links", children.links.0),
            parents: Column::new("parents", children.parents),
            nodes: Column::new("nodes", children.nodes),
            grafts: Column::new("grafts", children.grafts),
            others: Column::new("others", children.others),
            log_probs: children.log_probs.map(|column| Column::new("log_probs", column.0)),
        }
    }

    fn log_prob(&mut self) -> Result<Option<f32>, RecordError> {
        let Some(column) = &mut self.log_probs else { return Ok(None) };
        let mut bytes = [0; 4];
        for byte in &mut bytes {
            *byte = column.take()?;
        }
        Ok(Some(f32::from_le_bytes(bytes)).filter(|p| !p.is_nan()))
    }

    fn finish(self) -> Result<(), RecordError> {
        [&self.forms, &self.parents, &self.nodes, &self.grafts, &self.others]
            .into_iter()
            .try_for_each(Column::finish)?;
        [&self.origins, &self.links].into_iter().chain(&self.log_probs).try_for_each(Column::finish)
    }
}

struct Decoder {
    forms: Vec<Arc<Expr>>,
    mse: Vec<f32>,
    fitness: Vec<f32>,
    /// Scored expressions met so far.
    seen: usize,
    written: std::vec::IntoIter<Arc<Expr>>,
}

impl Decoder {
    fn children(
        &mut self,
        columns: &mut Cursor,
        size: u32,
        parents: &[IndividualRecord],
    ) -> Result<Vec<IndividualRecord>, RecordError> {
        (0..size).map(|_| self.child(columns, parents)).collect()
    }

    fn child(&mut self, columns: &mut Cursor, parents: &[IndividualRecord]) -> Result<IndividualRecord, RecordError> {
        let back = columns.forms.take()?;
        let outside = RecordError::Index { field: "forms", index: back.into(), len: self.forms.len() };
        let place = self.seen.checked_sub(back as usize).ok_or(outside.clone())?;
        let expr = self.forms.get(place).ok_or(outside)?.clone();
        self.seen += usize::from(back == 0);
        let origin = columns.origins.take()?;
        let link = columns.links.take()?;
        let of = match link & 3 {
            0 => Parents::None,
            1 => Parents::One(columns.parents.take()?),
            2 => Parents::Two(columns.parents.take()?, columns.parents.take()?),
            _ => return Err(RecordError::Code { field: "links", code: link }),
        };
        Ok(IndividualRecord {
            expr,
            mse: self.mse[place],
            fitness: self.fitness[place],
            origin: *Origin::ALL
                .get(usize::from(origin))
                .ok_or(RecordError::Code { field: "origins", code: origin })?,
            parents: of,
            edit: self.edit(link, of, columns, parents)?,
            log_prob: columns.log_prob()?,
        })
    }

    fn edit(
        &mut self,
        link: u8,
        of: Parents,
        columns: &mut Cursor,
        parents: &[IndividualRecord],
    ) -> Result<Option<Edit<'static>>, RecordError> {
        let bad = RecordError::Code { field: "links", code: link };
        let mut of = of.iter();
        let (first, second) = (of.next(), of.next());
        let code = link >> 2;
        let parent = match code {
            NO_EDIT => return Ok(None),
            GRAFT | WRITE | COPY => first.ok_or(bad.clone())?,
            GRAFT_OTHERS | WRITE_OTHER => columns.others.take()?,
            _ => return Err(bad),
        };
        if code == COPY {
            in_range("parents", parent, parents.len())?;
            return Ok(Some(Edit::copy(parent, &parents[parent as usize].expr)));
        }
        let node = columns.nodes.take()?;
        let replacement = match code {
            GRAFT | GRAFT_OTHERS => Replacement::Donor {
                parent: if code == GRAFT { second.ok_or(bad)? } else { columns.others.take()? },
                node: columns.grafts.take()?,
            },
            _ => {
                let tree = self.written.next().ok_or(RecordError::Column { field: "written", short: true })?;
                Replacement::Written(Cow::Owned(Arc::unwrap_or_clone(tree)))
            }
        };
        Ok(Some(Edit { parent, node, replacement }))
    }

    fn labels(&mut self, labels: Labels, trajectory: &Trajectory) -> Result<LabelSet, RecordError> {
        let n_states = labels.generations.len();
        same_length("labels.hashes", n_states, labels.hashes.len())?;
        same_length("labels.sizes", n_states, labels.sizes.len())?;
        let n_labels = labels.children.origins.0.len();
        let gain_parent = labels.gain_parent.floats("labels.gain_parent", n_labels)?;
        let gain_best = labels.gain_best.floats("labels.gain_best", n_labels)?;
        let weight = labels.weight.floats("labels.weight", n_labels)?;
        let mut columns = Cursor::new(labels.children);
        let mut states = Vec::new();
        let mut at = 0;
        for ((&generation, &state_hash), &size) in labels.generations.iter().zip(&labels.hashes).zip(&labels.sizes) {
            let parents = labelled_state(trajectory, generation)?;
            let mut children = Vec::new();
            for child in self.children(&mut columns, size, parents)? {
                children.push(Label {
                    child,
                    gain_parent: gain_parent[at],
                    gain_best: gain_best[at],
                    weight: weight[at],
                });
                at += 1;
            }
            states.push(StateLabels { generation, state_hash, children });
        }
        columns.finish()?;
        Ok(LabelSet { mode: labels.mode, params: labels.params, source: labels.source, states })
    }
}

fn in_field(field: &'static str) -> impl FnOnce(FormError) -> RecordError {
    move |source| RecordError::Forms { field, source }
}

fn in_range(field: &'static str, index: u32, len: usize) -> Result<(), RecordError> {
    if (index as usize) < len { Ok(()) } else { Err(RecordError::Index { field, index: index.into(), len }) }
}

fn same_length(field: &'static str, expected: usize, found: usize) -> Result<(), RecordError> {
    if expected == found { Ok(()) } else { Err(RecordError::Length { field, expected, found }) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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
        let record = Record::encode(&trajectory, 0.01).expect("it keeps the rules");
        let codes: Vec<u8> = record.individuals.links.0.iter().map(|link| link >> 2).collect();
        let orphans = [NO_EDIT; 2];
        assert_eq!(codes[..2], orphans);
        assert_eq!(codes[2..], [NO_EDIT, GRAFT, WRITE, COPY, GRAFT_OTHERS, WRITE_OTHER]);
        assert_eq!(record.decode(0.01).expect("what was written"), trajectory);
    }

    #[test]
    fn broken_rules_are_refused_by_field() {
        let refused = |change: fn(&mut Trajectory)| {
            let mut trajectory = example();
            change(&mut trajectory);
            Record::encode(&trajectory, 0.01).expect_err("a broken rule").to_string()
        };
        assert_eq!(refused(|t| t.generations.clear()), "generations: empty");
        assert_eq!(refused(|t| t.generations[0].individuals.clear()), "individuals: empty");
        assert_eq!(refused(|t| t.generations[1].generation = 9), "generations: expected number 8, found 9");
        assert_eq!(refused(|t| t.generations[1].best_index = 6), "best: 6 is out of range, there are 6");
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
    }

    #[test]
    fn columns_of_wrong_length_are_refused_by_field() {
        let refused = |change: fn(&mut Record)| {
            let mut record = Record::encode(&example(), 0.01).expect("it keeps the rules");
            change(&mut record);
            record.decode(0.01).expect_err("a wrong column").to_string()
        };
        assert_eq!(refused(|r| r.mse.0.truncate(5)), "mse: expected 20 values, found 5");
        assert_eq!(refused(|r| r.best.push(0)), "best: expected 2 values, found 3");
        assert_eq!(refused(|r| r.sizes[1] = 7), "forms: too short");
        assert_eq!(refused(|r| r.sizes[1] = 5), "forms: too long");
        assert_eq!(refused(|r| r.individuals.nodes.push(0)), "nodes: too long");
        assert_eq!(refused(|r| r.individuals.forms[0] = 1), "forms: 1 is out of range, there are 5");
        assert_eq!(refused(|r| r.individuals.origins.0[0] = 99), "origins: unknown code 99");
        assert_eq!(refused(|r| r.individuals.links.0[0] = 3), "links: unknown code 3");
        assert_eq!(refused(|r| r.labels[0].hashes.clear()), "labels.hashes: expected 1 values, found 0");
        assert_eq!(refused(|r| r.first_generation = u32::MAX), "generations: numbers go beyond 4294967295");
        assert_eq!(refused(|r| r.primitives.operators[1] = "sinh".into()), "primitives: there is no operator \"sinh\"");
        assert_eq!(
            refused(|r| (r.primitives.constants, r.primitives.variables) = (vec![], 0)),
            "primitives: a primitive set needs at least one variable or constant"
        );
        let written = refused(|r| r.written = FormTable::default());
        assert_eq!(written, "written: too short");
    }

    #[test]
    fn fitnesses_that_follow_from_errors_take_a_byte() {
        let score = |mse: f64, size: usize| {
            let fitness = if mse.is_finite() { -mse - 0.01 * size as f64 } else { INVALID_FITNESS };
            Score { mse: mse as f32, fitness: fitness as f32, size }
        };
        let mut scores: Vec<Score> =
            (0..2000).map(|i| score(1.7_f64.powi(i / 10 - 100) / 3.0, i as usize % 25)).collect();
        scores.push(score(f64::INFINITY, 3));
        scores.push(score(0.0, 0));
        let steps = fitness_steps(&scores, 0.01).expect("every one of them does");
        assert!(steps.0.iter().any(|&s| s != 0), "rounding has to be corrected somewhere");
        for (score, &steps) in scores.iter().zip(&steps.0) {
            let fitness = stepped(expected_fitness(score.mse, score.size, 0.01), steps);
            assert_eq!(fitness.to_bits(), score.fitness.to_bits());
        }
        scores[7].fitness += 0.5;
        assert_eq!(fitness_steps(&scores, 0.01), None);
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
        let (mut parents, mut edit) = (Parents::None, None);
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
        // NaN scores would not be equal to themselves; the engine writes none.
        let number = |x: f32| if x.is_nan() { f32::INFINITY } else { x };
        let (mse, fitness, origin) = (number(mse), number(fitness), Origin::ALL[origin]);
        IndividualRecord { expr: Arc::new(expr), mse, fitness, origin, parents, edit, log_prob }
    }

    proptest! {
        #[test]
        fn trajectories_round_trip(trajectory in trajectory()) {
            let record = Record::encode(&trajectory, 0.01).expect("it keeps the rules");
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
            let mut bytes = bytes(&Record::encode(&trajectory, 0.01).expect("it keeps the rules"));
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
