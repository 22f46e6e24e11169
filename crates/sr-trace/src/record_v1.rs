//! Records of version 1, which are only read. `docs/formats.md` describes the fields.

use std::borrow::Cow;
use std::sync::Arc;

use serde::Deserialize;
use sr_engine::{Edit, EditRef, Evaluations, Origin, Parents, Replacement, StopReason};
use sr_expr::Expr;

use crate::columns::Bytes;
use crate::expressions::ExpressionTable;
use crate::record::{FitnessRule, Primitives, in_field, stepped};
use crate::trajectory::{check_labels, in_range, labelled_state};
use crate::{
    Generations, GenerationsBuilder, IndividualRecord, Label, LabelParams, LabelSet, Labels as LabelList, RecordError,
    SamplingCounts, StateLabels, Trajectory,
};

/// One record of a trace file.
#[derive(Debug, Deserialize)]
pub(crate) struct Record {
    problem_id: String,
    primitives: Primitives,
    seed: u64,
    stop: StopReason,
    evaluations: Evaluations,
    sampling: Option<SamplingCounts>,
    /// The distinct scored expressions, in order of first appearance.
    forms: ExpressionTable,
    mse: Bytes,
    /// Four bytes each, or one where they follow from the errors, see [`FitnessRule`].
    fitness: Bytes,
    /// The subtrees that edits write, in the order in which they are needed.
    written: ExpressionTable,
    first_generation: u32,
    /// The number of individuals of each generation.
    sizes: Vec<u32>,
    /// The index of the fittest individual of each generation.
    best: Vec<u32>,
    /// 1 for a generation with a new best individual.
    improved: Bytes,
    individuals: Children,
    labels: Vec<Labels>,
}

#[derive(Debug, Deserialize)]
struct Labels {
    mode: String,
    params: LabelParams,
    source: String,
    /// The labelled generations; `hashes` and `sizes` are their hashes and numbers of labels.
    generations: Vec<u32>,
    hashes: Vec<u64>,
    sizes: Vec<u32>,
    children: Children,
    gain_parent: Bytes,
    gain_best: Bytes,
    weight: Bytes,
}

/// Individuals or labels, one after the other.
#[derive(Debug, Deserialize)]
struct Children {
    /// Expressions: 0 is the next scored expression that has not occurred yet; k is the one k places before that.
    forms: Vec<u32>,
    origins: Bytes,
    /// The number of parents + 4 · the code of the edit.
    links: Bytes,
    parents: Vec<u32>,
    nodes: Vec<u32>,
    grafts: Vec<u32>,
    /// The indices of individuals that an edit refers to, where they are not the parents.
    others: Vec<u32>,
    log_probs: Option<Bytes>,
}

// Codes of edits.
const NO_EDIT: u8 = 0;
/// The first parent with a subtree of the second.
const GRAFT: u8 = 1;
/// The first parent with a written subtree.
const WRITE: u8 = 2;
/// A copy of the first parent, as an edit that replaces the root by itself.
const COPY: u8 = 3;
/// The same as [`GRAFT`], but the parent and the donor are in `others`.
const GRAFT_OTHERS: u8 = 4;
/// The same as [`WRITE`], but the parent is in `others`.
const WRITE_OTHER: u8 = 5;

impl Record {
    /// Decodes the trajectory; `rule` is the one that the record was written with. It never panics, whatever was read.
    ///
    /// # Errors
    /// Returns an error if the columns do not describe a trajectory.
    pub(crate) fn decode(self, rule: FitnessRule) -> Result<Trajectory, RecordError> {
        let forms = self.forms.decode().map_err(in_field("forms"))?;
        let mse = self.mse.floats("mse", forms.len())?;
        let fitness = if self.fitness.0.len() == forms.len() {
            let scored = forms.iter().zip(&mse).zip(&self.fitness.0);
            scored.map(|((form, &mse), &steps)| stepped(rule.fitness(mse, form.size()), steps)).collect()
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
        let mut builder = GenerationsBuilder::new(self.first_generation);
        let mut individuals = Cursor::new(self.individuals);
        let mut before = Vec::new();
        for (index, &size) in self.sizes.iter().enumerate() {
            let children = decoder.children(&mut individuals, size, &before)?;
            builder.push(children.iter().map(Child::record), self.best[index], self.improved.0[index] != 0)?;
            before = children.into_iter().map(|child| child.expr).collect();
        }
        individuals.finish()?;
        let mut trajectory = Trajectory {
            problem_id: self.problem_id,
            primitives: self.primitives.decode()?,
            seed: self.seed,
            stop: self.stop,
            evaluations: self.evaluations,
            sampling: self.sampling,
            target: None,
            generations: builder.build()?,
            labels: Vec::new(),
        };
        // Once for all states that are labelled: a record may name a generation any number of times.
        let trees = trajectory.generations.expressions().iter();
        let trees: Vec<Arc<Expr>> = trees.map(|tree| Arc::new(tree.to_owned())).collect();
        let labelled = trajectory.generations.iter().take(if self.labels.is_empty() { 0 } else { usize::MAX });
        let all: Vec<Arc<Expr>> =
            labelled.flat_map(|generation| generation.expression_ids()).map(|id| trees[id as usize].clone()).collect();
        for labels in self.labels {
            let set = decoder.labels(labels, &trajectory.generations, &all)?;
            trajectory.labels.push(set);
        }
        check_labels(&trajectory)?;
        Ok(trajectory)
    }
}

/// An individual that owns its expression.
#[derive(Debug, Clone)]
pub(crate) struct Child {
    pub(crate) expr: Arc<Expr>,
    pub(crate) mse: f32,
    pub(crate) fitness: f32,
    pub(crate) origin: Origin,
    pub(crate) parents: Parents,
    pub(crate) edit: Option<Edit<'static>>,
    pub(crate) log_prob: Option<f32>,
}

impl Child {
    pub(crate) fn record(&self) -> IndividualRecord<'_> {
        let Child { ref expr, mse, fitness, origin, parents, ref edit, log_prob } = *self;
        IndividualRecord {
            expr,
            mse,
            fitness,
            origin,
            parents,
            edit: edit.as_ref().map(|edit| Edit::from(EditRef::from(edit))),
            log_prob,
        }
    }
}

/// A cursor over the columns of [`Children`].
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
    /// The number of scored expressions met so far.
    seen: usize,
    written: std::vec::IntoIter<Arc<Expr>>,
}

impl Decoder {
    fn children(&mut self, columns: &mut Cursor, size: u32, parents: &[Arc<Expr>]) -> Result<Vec<Child>, RecordError> {
        (0..size).map(|_| self.child(columns, parents)).collect()
    }

    fn child(&mut self, columns: &mut Cursor, parents: &[Arc<Expr>]) -> Result<Child, RecordError> {
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
        Ok(Child {
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
        parents: &[Arc<Expr>],
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
            return Ok(Some(Edit::copy(parent, &parents[parent as usize])));
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

    /// Reads labels; `all` has the expressions of all individuals of the generations.
    fn labels(
        &mut self,
        labels: Labels,
        generations: &Generations,
        all: &[Arc<Expr>],
    ) -> Result<LabelSet, RecordError> {
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
            let parents = &all[labelled_state(generations, generation)?.places()];
            let mut children = LabelList::default();
            for child in &self.children(&mut columns, size, parents)? {
                children.push(&Label {
                    child: child.record(),
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

fn same_length(field: &'static str, expected: usize, found: usize) -> Result<(), RecordError> {
    if expected == found { Ok(()) } else { Err(RecordError::Length { field, expected, found }) }
}
