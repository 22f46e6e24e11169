//! The decoder of a record's columns.
//!
//! Most of the work is to make each individual's expression again. So expressions are symbols here, one byte each
//! unless a record has more than 64 constants or 127 variables. They are looked up where they were written. Nodes are
//! made at the end, once for every different expression.

use std::ops::Range;

use sr_engine::{Origin, Parents};
use sr_expr::Forest;

use super::{CandidateColumns, Change, Children, FitnessRule, Given, Kind, Labels, Record, Scores, in_field, stepped};
use crate::columns::{Bytes, Column};
use crate::expressions::{ExpressionError, Forms, MAX_NODES, MAX_RECORD_NODES, Nodes, Symbol, subtree_start};
use crate::interner::Interner;
use crate::trajectory::{EditRow, Gains, Individuals, Row, Span, in_range, labelled_state};
use crate::{Candidates, Generations, LabelSet, Labels as LabelList, RecordError, StateLabels, Trajectory};

impl Record {
    /// Decodes the trajectory. `rule` is that of [`shorten_fitness`](Self::shorten_fitness). It never panics, whatever
    /// was read.
    ///
    /// # Errors
    /// Returns an error if the columns do not describe a trajectory.
    pub(crate) fn decode(&self, rule: FitnessRule) -> Result<Trajectory, RecordError> {
        self.decode_scored(rule).map(|(trajectory, _)| trajectory)
    }

    /// Decodes the trajectory, and the scores that an encoder needs to continue it.
    pub(super) fn decode_scored(&self, rule: FitnessRule) -> Result<(Trajectory, Scored), RecordError> {
        match self.written.is_narrow() {
            true => self.decode_as::<u8>(rule),
            false => self.decode_as::<u32>(rule),
        }
    }

    fn decode_as<S: Symbol>(&self, rule: FitnessRule) -> Result<(Trajectory, Scored), RecordError> {
        let mut decoder = Decoder::<S>::new(self, rule)?;
        let generations = decoder.generations(self)?;
        // Once for all states that are labelled: a record may name a generation any number of times.
        let labelled = generations.iter().take(if self.labels.is_empty() { 0 } else { usize::MAX });
        let forms: Vec<u32> = labelled.flat_map(|generation| generation.expression_ids()).collect();
        let labels = self.labels.iter().map(|labels| decoder.labels(labels, &generations, &forms));
        let labels = labels.collect::<Result<_, _>>()?;
        decoder.finish()?;
        let trajectory = Trajectory {
            problem_id: self.problem_id.clone(),
            primitives: self.primitives.decode()?,
            seed: self.seed,
            stop: self.stop,
            evaluations: self.evaluations,
            sampling: self.sampling,
            target: self.target,
            generations,
            labels,
        };
        Ok((trajectory, Scored { forms: decoder.scored, given: decoder.given, written: decoder.taken }))
    }
}

/// The scores of a record in memory.
pub(super) struct Scored {
    /// The expression of each score, by its number among those of the trajectory's generations. Expressions of labels
    /// have other numbers.
    pub(super) forms: Vec<u32>,
    pub(super) given: Vec<Given>,
    /// The number of expressions that are written out.
    pub(super) written: usize,
}

/// A reader of errors, which are stored as how far back they are.
pub(super) struct Errors<'a> {
    mse: &'a [[u8; 4]],
    /// The number of errors met so far.
    seen: usize,
}

impl<'a> Errors<'a> {
    pub(super) fn new(mse: &'a Bytes) -> Self {
        Errors { mse: mse.0.as_chunks().0, seen: 0 }
    }

    #[inline]
    pub(super) fn next(&mut self, errors: &mut Column<'_>) -> Result<f32, RecordError> {
        let back = errors.number()?;
        let Some(place) = self.seen.checked_sub(back as usize) else {
            return Err(RecordError::Index { field: "mse", index: back.into(), len: self.seen });
        };
        let Some(bytes) = self.mse.get(place) else {
            return Err(RecordError::Column { field: "mse", short: true });
        };
        self.seen += usize::from(back == 0);
        Ok(f32::from_le_bytes(*bytes))
    }
}

/// A cursor over the columns of [`Children`].
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

    /// Reads an index of `parents`.
    #[inline]
    fn parent(&mut self, len: usize) -> Result<u32, RecordError> {
        let parent = self.parents.number()?;
        in_range("parents", parent, len).map(|()| parent)
    }

    /// Reads an index of `others`.
    #[inline]
    fn other(&mut self, len: usize) -> Result<u32, RecordError> {
        let other = self.others.number()?;
        in_range("others", other, len).map(|()| other)
    }
}

/// A cursor over the columns of [`CandidateColumns`].
struct CandidateCursor<'a> {
    drawn: Column<'a>,
    distinct: Column<'a>,
    improving: Column<'a>,
    gains: Column<'a>,
}

impl<'a> CandidateCursor<'a> {
    fn new(columns: &'a CandidateColumns) -> Self {
        CandidateCursor {
            drawn: Column::new("candidates.drawn", &columns.drawn),
            distinct: Column::new("candidates.distinct", &columns.distinct),
            improving: Column::new("candidates.improving", &columns.improving),
            gains: Column::new("candidates.gains", &columns.gains),
        }
    }

    fn next(&mut self) -> Result<Option<Candidates>, RecordError> {
        let CandidateCursor { drawn, distinct, improving, gains } = self;
        let (drawn, distinct, improving) = (drawn.number()?, distinct.number()?, improving.number()?);
        let gains = [gains.float()?, gains.float()?, gains.float()?];
        Ok((drawn > 0).then_some(Candidates { drawn, distinct, improving, gains }))
    }

    fn finish(self) -> Result<(), RecordError> {
        let CandidateCursor { drawn, distinct, improving, gains } = self;
        [drawn, distinct, improving, gains].iter().try_for_each(Column::finish)
    }
}

struct Decoder<'a, S> {
    kinds: Vec<(Origin, u8, Change, bool)>,
    nodes: Nodes<'a>,
    /// The end of each expression that is written out, among the symbols.
    ends: Vec<usize>,
    /// The number of those that were read.
    taken: usize,
    /// All expressions that occurred, after those that are written out.
    expressions: Interner<S>,
    /// The error and fitness that each expression had last, `[expressions]`.
    scores: Vec<Option<(f32, f32)>>,
    /// The expression of each score so far.
    scored: Vec<u32>,
    given: Vec<Given>,
    places: Column<'a>,
    errors: Errors<'a>,
    fitness: Column<'a>,
    /// Whether a fitness has one byte.
    is_short: bool,
    rule: FitnessRule,
}

impl<'a, S: Symbol> Decoder<'a, S> {
    fn new(record: &'a Record, rule: FitnessRule) -> Result<Self, RecordError> {
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
        let n_scores = errors.0.iter().filter(|&&byte| byte < 128).count();
        let Forms { symbols, ends } = record.written.symbols().map_err(in_field("written"))?;
        Ok(Decoder {
            kinds: record.kinds.iter().map(kind).collect::<Result<_, _>>()?,
            nodes: Nodes::new(&record.written),
            ends,
            taken: 0,
            // Nearly every score is that of a new expression.
            expressions: Interner::new(symbols, n_scores),
            scores: Vec::with_capacity(n_scores),
            scored: Vec::with_capacity(n_scores),
            given: Vec::with_capacity(n_scores),
            places: Column::new("errors", errors),
            errors: Errors::new(mse),
            fitness: Column::new("fitness", fitness),
            is_short: fitness.0.len() == n_scores,
            rule,
        })
    }

    fn generations(&mut self, record: &Record) -> Result<Generations, RecordError> {
        let mut columns = Cursor::new(&record.individuals);
        let (mut sizes, mut best) = (Column::new("sizes", &record.sizes), Column::new("best", &record.best));
        let mut spans = Vec::with_capacity(record.improved.0.len());
        // An individual takes at least one byte of this column.
        let rows = Vec::with_capacity(columns.kinds.len());
        let mut individuals = Individuals { rows, ..Individuals::default() };
        let (mut before, mut current) = (Vec::new(), Vec::new()); // numbers of expressions
        for &improved in &record.improved.0 {
            current.clear();
            self.children(&mut columns, sizes.number()?, &before, &mut current, &mut individuals)?;
            if current.is_empty() {
                return Err(RecordError::Empty { field: "individuals" });
            }
            let best_index = best.number()?;
            in_range("best", best_index, current.len())?;
            spans.push(Span { end: individuals.rows.len(), best_index, improved: improved != 0 });
            std::mem::swap(&mut before, &mut current);
        }
        [sizes, best].iter().try_for_each(Column::finish)?;
        columns.finish()?;
        let Some(last) = spans.len().checked_sub(1) else {
            return Err(RecordError::Empty { field: "generations" });
        };
        if u32::try_from(last).ok().and_then(|last| record.first_generation.checked_add(last)).is_none() {
            return Err(RecordError::NumberTooLarge);
        }
        individuals.trees = self.trees((0..self.expressions.len()).map(|number| number as u32));
        individuals.written = self.written(0);
        Ok(Generations::new(record.first_generation, spans, individuals))
    }

    /// Returns expressions by their numbers.
    fn trees(&self, numbers: impl ExactSizeIterator<Item = u32> + Clone) -> Forest {
        self.to_forest(numbers.map(|number| self.expressions.range(number)))
    }

    /// Returns the expressions written out from place `from` on, as far as they were read.
    fn written(&self, from: usize) -> Forest {
        self.to_forest((from..self.taken).map(|place| self.written_start(place)..self.ends[place]))
    }

    /// Returns expressions by their places among the symbols.
    fn to_forest(&self, ranges: impl ExactSizeIterator<Item = Range<usize>> + Clone) -> Forest {
        let mut forest = Forest::with_capacity(ranges.len(), ranges.clone().map(|range| range.len()).sum());
        for range in ranges {
            let nodes = self.expressions.symbols()[range].iter().map(|symbol| symbol.node(&self.nodes));
            forest.push_nodes(nodes).expect("it was written out, or is one with a tree in the place of a subtree");
        }
        forest
    }

    /// Returns the start of the expression written out at a place; after the last place, the end.
    #[inline]
    fn written_start(&self, place: usize) -> usize {
        if place == 0 { 0 } else { self.ends[place - 1] }
    }

    /// Adds `size` individuals whose parents have the expressions `before`, and their own expressions to `forms`.
    fn children(
        &mut self,
        columns: &mut Cursor<'_>,
        size: u32,
        before: &[u32],
        forms: &mut Vec<u32>,
        out: &mut Individuals,
    ) -> Result<(), RecordError> {
        for _ in 0..size {
            forms.push(self.child(columns, before, &mut out.rows)?);
            if let Some(column) = &mut columns.log_probs {
                out.log_probs.push(column.float()?);
            }
        }
        Ok(())
    }

    /// Adds an individual whose parents have the expressions `before`, and returns its own expression.
    #[inline]
    fn child(&mut self, columns: &mut Cursor<'_>, before: &[u32], out: &mut Vec<Row>) -> Result<u32, RecordError> {
        let kind = columns.kinds.number()?;
        let Some(&(origin, n_parents, change, is_scored)) = self.kinds.get(kind as usize) else {
            return Err(RecordError::Index { field: "kinds", index: kind.into(), len: self.kinds.len() });
        };
        let parents = match n_parents {
            0 => Parents::None,
            1 => Parents::One(columns.parent(before.len())?),
            _ => Parents::Two(columns.parent(before.len())?, columns.parent(before.len())?),
        };
        let (form, edit) = self.change(change, parents, columns, before)?;
        if is_scored {
            let mse = self.errors.next(&mut self.places)?;
            let size = self.expressions.range(form).len();
            let fitness = if self.is_short {
                stepped(self.rule.fitness(mse, size), self.fitness.byte()?)
            } else {
                self.fitness.float()?
            };
            self.scores[form as usize] = Some((mse, fitness));
            self.scored.push(form);
            self.given.push(Given { mse, fitness, size: size as u16 });
        }
        let Some((mse, fitness)) = self.scores[form as usize] else { return Err(self.unscored(form)) };
        out.push(Row { form, mse, fitness, origin, parents, edit });
        Ok(form)
    }

    #[cold]
    fn unscored(&self, form: u32) -> RecordError {
        RecordError::Unscored { expression: self.trees([form].into_iter()).get(0).to_string() }
    }

    /// Returns the number of an individual's expression, and the edit that made it.
    #[inline]
    fn change(
        &mut self,
        change: Change,
        parents: Parents,
        columns: &mut Cursor<'_>,
        before: &[u32],
    ) -> Result<(u32, EditRow), RecordError> {
        let (first, second) = match parents {
            Parents::None => (None, None),
            Parents::One(first) => (Some(first), None),
            Parents::Two(first, second) => (Some(first), Some(second)),
        };
        let known = |parent: Option<u32>| parent.ok_or(RecordError::Column { field: "parents", short: true });
        let parent = match change {
            Change::Written => {
                let (_, written) = self.take_written()?;
                self.expressions.make_room(MAX_NODES);
                self.expressions.copy(written);
                return Ok((self.intern()?, EditRow::None));
            }
            Change::Repeat => {
                let (back, len) = (columns.repeats.number()?, self.scored.len());
                let place = len.checked_sub(back as usize).filter(|&place| place < len);
                let outside = || RecordError::Index { field: "repeats", index: back.into(), len };
                return Ok((self.scored[place.ok_or_else(outside)?], EditRow::None));
            }
            Change::Carried => return Ok((before[known(first)? as usize], EditRow::None)),
            Change::Copy => {
                let parent = known(first)?;
                let form = before[parent as usize];
                let root = self.expressions.range(form).len() as u32 - 1;
                return Ok((form, EditRow::Donor { parent, node: root, donor: parent, graft: root }));
            }
            Change::Graft | Change::Write => known(first)?,
            Change::GraftOthers | Change::WriteOther => columns.other(before.len())?,
        };
        let node = columns.nodes.number()?;
        let tree = self.expressions.range(before[parent as usize]);
        in_range("nodes", node, tree.len())?;
        let root = tree.start + node as usize;
        let start = subtree_start(self.expressions.symbols(), root);
        let (graft, edit) = match change {
            Change::Graft | Change::GraftOthers => {
                let donor = if change == Change::Graft { known(second)? } else { columns.other(before.len())? };
                let graft = columns.grafts.number()?;
                let donated = self.expressions.range(before[donor as usize]);
                in_range("grafts", graft, donated.len())?;
                let graft_root = donated.start + graft as usize;
                let graft_start = subtree_start(self.expressions.symbols(), graft_root);
                (graft_start..graft_root + 1, EditRow::Donor { parent, node, donor, graft })
            }
            _ => {
                let (place, written) = self.take_written()?;
                (written, EditRow::Written { parent, node, tree: place as u32 })
            }
        };
        // A quarter of all edits replace a subtree by an equal one.
        let symbols = self.expressions.symbols();
        if graft.len() == root + 1 - start && symbols[graft.clone()] == symbols[start..=root] {
            return Ok((before[parent as usize], edit));
        }
        self.expressions.make_room(2 * MAX_NODES);
        self.expressions.copy(tree.start..start);
        self.expressions.copy(graft);
        self.expressions.copy(root + 1..tree.end);
        Ok((self.intern()?, edit))
    }

    /// Reads the next expression that is written out. Returns its number among them and its place among the symbols.
    #[inline]
    fn take_written(&mut self) -> Result<(usize, Range<usize>), RecordError> {
        let place = self.taken;
        let Some(&end) = self.ends.get(place) else {
            return Err(RecordError::Column { field: "written", short: true });
        };
        self.taken += 1;
        Ok((place, self.written_start(place)..end))
    }

    /// Completes the expression that was written, a whole tree, and returns its number.
    #[inline]
    fn intern(&mut self) -> Result<u32, RecordError> {
        if self.expressions.size() > MAX_NODES {
            let source = ExpressionError::TooLarge { expression: self.expressions.len() };
            return Err(RecordError::Expressions { field: "edit", source });
        }
        if self.expressions.symbols().len() > MAX_RECORD_NODES {
            return Err(RecordError::Expressions { field: "edit", source: ExpressionError::TooManyNodes });
        }
        let (form, is_new) = self.expressions.finish();
        if is_new {
            self.scores.push(None);
        }
        Ok(form)
    }

    /// Reads labels; `all` has the expressions of all individuals of the generations.
    fn labels(&mut self, labels: &Labels, generations: &Generations, all: &[u32]) -> Result<LabelSet, RecordError> {
        let mut columns = Cursor::new(&labels.children);
        let number = |field, bytes| Column::new(field, bytes);
        let (mut numbers, mut sizes) =
            (number("labels.generations", &labels.generations), number("labels.sizes", &labels.sizes));
        let (mut gain_parent, mut gain_best, mut weight) = (
            number("labels.gain_parent", &labels.gain_parent),
            number("labels.gain_best", &labels.gain_best),
            number("labels.weight", &labels.weight),
        );
        let mut candidates = labels.candidates.as_ref().map(CandidateCursor::new);
        let mut states = Vec::new();
        for &state_hash in &labels.hashes {
            let generation = numbers.number()?;
            let before = &all[labelled_state(generations, generation)?.places()];
            let (mut individuals, mut forms, taken) = (Individuals::default(), Vec::new(), self.taken);
            self.children(&mut columns, sizes.number()?, before, &mut forms, &mut individuals)?;
            individuals.trees = self.trees(forms.iter().copied());
            individuals.written = self.written(taken);
            // The numbers in the record become those among these labels.
            for (number, row) in (0..).zip(&mut individuals.rows) {
                row.form = number;
                if let EditRow::Written { tree, .. } = &mut row.edit {
                    *tree -= taken as u32;
                }
            }
            let mut gains =
                || Ok(Gains { parent: gain_parent.float()?, best: gain_best.float()?, weight: weight.float()? });
            let gains = forms.iter().map(|_| gains()).collect::<Result<_, RecordError>>()?;
            let candidates = candidates.as_mut().map_or(Ok(None), CandidateCursor::next)?;
            let children = LabelList { individuals, gains, candidates };
            states.push(StateLabels { generation, state_hash, children });
        }
        columns.finish()?;
        candidates.map_or(Ok(()), CandidateCursor::finish)?;
        [numbers, sizes, gain_parent, gain_best, weight].iter().try_for_each(Column::finish)?;
        Ok(LabelSet { mode: labels.mode.clone(), params: labels.params, source: labels.source.clone(), states })
    }

    fn finish(&self) -> Result<(), RecordError> {
        let long = |field| Err(RecordError::Column { field, short: false });
        if self.taken < self.ends.len() {
            return long("written");
        }
        if self.errors.seen < self.errors.mse.len() {
            return long("mse");
        }
        [&self.places, &self.fitness].into_iter().try_for_each(Column::finish)
    }
}
