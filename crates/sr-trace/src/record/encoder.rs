//! The encoder of a record's columns, for a [`Recorder`](crate::Recorder) while a search runs and for a [`Trajectory`]
//! in memory.

use hashbrown::HashTable;
use sr_engine::{EditRef, Evaluations, Origin, Parents, Population, PrimitiveSet, StopReason};
use sr_expr::Tree;
use sr_expr::hash::{quick, spread};

use super::decode::Scored;
use super::{
    CandidateColumns, Change, Children, Given, Kind, Labels, Primitives, Record, Scores, in_field, in_range,
    labelled_state,
};
use crate::columns::{Bytes, push_number};
use crate::expressions::{ExpressionError, ExpressionTableBuilder, MAX_NODES};
use crate::interner::Interner;
use crate::{Candidates, Generations, IndividualRecord, LabelSet, RecordError, Trajectory};

/// The number of generations that there is room for from the start: growing from nothing took as long as writing.
const ROOM: usize = 32;

/// The properties of an individual that the encoder needs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'a> {
    tree: &'a Tree,
    /// A number that no other expression has.
    form: u32,
    mse: f32,
    fitness: f32,
    origin: Origin,
    parents: Parents,
    edit: Option<EditRef<'a>>,
    log_prob: Option<f32>,
}

impl<'a> View<'a> {
    /// Returns the view of an individual of a search.
    #[inline]
    pub(crate) fn of(population: &'a Population, index: usize) -> Self {
        let score = population.score(index);
        View {
            tree: population.tree(index),
            form: population.expression_id(index).expect("a search numbers its forms"),
            mse: score.mse as f32,
            fitness: score.fitness as f32,
            origin: population.origin(index),
            parents: population.parents(index),
            edit: population.edit(index),
            log_prob: population.log_prob(index).filter(|p| !p.is_nan()),
        }
    }

    /// Returns the view without parents and edit, for a search that is continued: its parents were not recorded.
    pub(crate) fn orphaned(self) -> Self {
        View { parents: Parents::None, edit: None, ..self }
    }

    fn of_record(individual: &'a IndividualRecord<'a>, form: u32) -> Self {
        let &IndividualRecord { expr: tree, mse, fitness, origin, parents, ref edit, log_prob } = individual;
        View { tree, form, mse, fitness, origin, parents, edit: edit.as_ref().map(EditRef::from), log_prob }
    }
}

/// A writer of the columns of a record. It takes constant time for each individual whose expression is not written out.
#[derive(Debug, Clone, Default)]
pub(crate) struct Encoder {
    /// The place of each expression's last score, counted from 1.
    places: Vec<u32>,
    /// The expressions of the previous generation.
    before: Vec<u32>,
    current: Vec<u32>,
    first_generation: u32,
    sizes: Bytes,
    best: Bytes,
    improved: Bytes,
    written: ExpressionTableBuilder,
    kinds: Vec<Kind>,
    /// The places in `kinds`, by [`Kind::index`], counted from 1.
    kind_places: Vec<u32>,
    individuals: Children,
    scores: Scores,
    errors: ErrorPlaces,
    labels: Vec<Labels>,
}

impl Encoder {
    /// Adds a generation. The caller has to ensure that edits make their individuals.
    ///
    /// # Errors
    /// Returns an error if an individual's parents do not exist, or it is too large.
    #[inline]
    pub(crate) fn generation<'a>(
        &mut self,
        number: u32,
        individuals: impl ExactSizeIterator<Item = View<'a>>,
        best: u32,
        improved: bool,
    ) -> Result<(), RecordError> {
        if self.improved.0.is_empty() {
            self.first_generation = number;
            self.reserve(ROOM * individuals.len());
        }
        push_number(&mut self.sizes, individuals.len() as u32);
        push_number(&mut self.best, best);
        self.improved.0.push(u8::from(improved));
        let (before, mut current) = (std::mem::take(&mut self.before), std::mem::take(&mut self.current));
        let mut columns = std::mem::take(&mut self.individuals);
        current.clear();
        let mut added = Ok(());
        for child in individuals {
            current.push(child.form);
            added = self.child(&child, &before, &mut columns);
            if added.is_err() {
                break;
            }
        }
        (self.before, self.current, self.individuals) = (current, before, columns);
        added
    }

    /// Makes room for individuals, a third of which have a new score.
    fn reserve(&mut self, individuals: usize) {
        let Children { kinds, parents, nodes, grafts, .. } = &mut self.individuals;
        [kinds, nodes, grafts].into_iter().for_each(|column| column.0.reserve(individuals));
        parents.0.reserve(2 * individuals);
        let scores = individuals / 3;
        self.places.reserve(scores);
        self.scores.errors.0.reserve(scores);
        self.scores.mse.0.reserve(2 * scores);
        self.scores.given.reserve(scores);
    }

    /// Adds an individual; `before` are the expressions of its state.
    #[inline(always)]
    fn child(&mut self, child: &View<'_>, before: &[u32], out: &mut Children) -> Result<(), RecordError> {
        if child.tree.size() > MAX_NODES {
            let source = ExpressionError::TooLarge { expression: self.written.len() };
            return Err(RecordError::Expressions { field: "written", source });
        }
        let mut add_parent = |parent: u32| {
            in_range("parents", parent, before.len())?;
            push_number(&mut out.parents, parent);
            Ok(Some(parent))
        };
        let (first, second, n_parents) = match child.parents {
            Parents::None => (None, None, 0),
            Parents::One(first) => (add_parent(first)?, None, 1),
            Parents::Two(first, second) => (add_parent(first)?, add_parent(second)?, 2),
        };
        let form = child.form as usize;
        if form >= self.places.len() {
            self.places.resize((form + 1).next_power_of_two(), 0);
        }
        let place = self.places[form];
        let change = match child.edit {
            Some(EditRef::Donor { parent, node, donor, from }) => {
                let is_usual = first == Some(parent);
                // A root that replaces itself makes a copy of the parent.
                if is_usual && (donor, from) == (parent, node) && from as usize + 1 == child.tree.size() {
                    Change::Copy
                } else {
                    push_number(&mut out.nodes, node);
                    push_number(&mut out.grafts, from);
                    if is_usual && second == Some(donor) {
                        Change::Graft
                    } else {
                        push_number(&mut out.others, parent);
                        push_number(&mut out.others, donor);
                        Change::GraftOthers
                    }
                }
            }
            Some(EditRef::Written { parent, node, tree }) => {
                push_number(&mut out.nodes, node);
                self.written.push(tree).map_err(in_field("written"))?;
                if first == Some(parent) {
                    Change::Write
                } else {
                    push_number(&mut out.others, parent);
                    Change::WriteOther
                }
            }
            None if first.is_some_and(|first| before[first as usize] == child.form) => Change::Carried,
            None if place > 0 => {
                push_number(&mut out.repeats, self.scores.given.len() as u32 + 1 - place);
                Change::Repeat
            }
            None => {
                self.written.push(child.tree).map_err(in_field("written"))?;
                Change::Written
            }
        };
        let given = Given { mse: child.mse, fitness: child.fitness, size: child.tree.size() as u16 };
        let is_scored = place == 0 || !self.scores.given[place as usize - 1].is(&given);
        if is_scored {
            self.scores.given.push(given);
            self.places[form] = self.scores.given.len() as u32;
            push_number(&mut self.scores.errors, self.errors.back(given.mse, &mut self.scores.mse));
        }
        let kind = self.kind(Kind(child.origin as u8, n_parents, change as u8, u8::from(is_scored)));
        push_number(&mut out.kinds, kind);
        if let Some(log_prob) = child.log_prob {
            out.fill_log_probs();
            out.log_probs.get_or_insert_default().0.extend(log_prob.to_le_bytes());
        }
        out.len += 1;
        Ok(())
    }

    /// Returns the index of a kind in `kinds`, to which it is added if it is new.
    #[inline(always)]
    fn kind(&mut self, kind: Kind) -> u32 {
        let index = kind.index();
        match self.kind_places.get(index) {
            Some(&place) if place > 0 => place - 1,
            _ => self.add_kind(kind, index),
        }
    }

    #[cold]
    fn add_kind(&mut self, kind: Kind, index: usize) -> u32 {
        self.kind_places.resize(Kind::COUNT, 0);
        self.kinds.push(kind);
        self.kind_places[index] = self.kinds.len() as u32;
        self.kinds.len() as u32 - 1
    }

    fn labels(
        &mut self,
        set: &LabelSet,
        generations: &Generations,
        mut form: impl FnMut(&Tree) -> u32,
    ) -> Result<Labels, RecordError> {
        let mut children = Children::default();
        let (mut numbers, mut sizes) = (Bytes::default(), Bytes::default());
        for labelled in &set.states {
            push_number(&mut numbers, labelled.generation);
            push_number(&mut sizes, labelled.children.len() as u32);
            let before: Vec<u32> = labelled_state(generations, labelled.generation)?.expression_ids().collect();
            for label in labelled.children.iter() {
                let view = View::of_record(&label.child, form(label.child.expr));
                self.child(&view, &before, &mut children)?;
            }
        }
        children.finish();
        let gains = || set.states.iter().flat_map(|state| &state.children.gains);
        Ok(Labels {
            mode: set.mode.clone(),
            params: set.params,
            source: set.source.clone(),
            generations: numbers,
            hashes: set.states.iter().map(|state| state.state_hash).collect(),
            sizes,
            children,
            gain_parent: Bytes::of_floats(gains().map(|gains| gains.parent)),
            gain_best: Bytes::of_floats(gains().map(|gains| gains.best)),
            weight: Bytes::of_floats(gains().map(|gains| gains.weight)),
            candidates: candidates(set),
        })
    }

    /// Encodes a trajectory, which has to keep the rules.
    pub(super) fn encode(trajectory: &Trajectory) -> Result<Record, RecordError> {
        let mut encoder = Encoder::default();
        let generations = &trajectory.generations;
        for record in generations.iter() {
            let individuals: Vec<IndividualRecord<'_>> = record.individuals().collect();
            let views = individuals
                .iter()
                .zip(record.expression_ids())
                .map(|(individual, form)| View::of_record(individual, form));
            encoder.generation(record.generation, views, record.best_index, record.improved)?;
        }
        encoder.labelled(trajectory, &trajectory.labels)
    }

    /// Encodes labels and returns the record. The encoder has to hold the generations of this trajectory.
    pub(super) fn labelled(mut self, trajectory: &Trajectory, labels: &[LabelSet]) -> Result<Record, RecordError> {
        if !labels.is_empty() {
            let expressions = trajectory.generations.expressions();
            let mut forms = Interner::new(Vec::new(), expressions.len());
            expressions.iter().for_each(|tree| _ = forms.intern(tree.nodes()));
            for set in labels {
                let labels = self.labels(set, &trajectory.generations, |tree| forms.intern(tree.nodes()).0)?;
                self.labels.push(labels);
            }
        }
        let Trajectory { problem_id, primitives, seed, stop, evaluations, sampling, target, .. } = trajectory;
        let record = self.finish(problem_id.clone(), primitives, *seed, *stop, *evaluations);
        Ok(Record { sampling: *sampling, target: *target, ..record })
    }

    /// Returns the encoder in the state in which it had written a record of `n_individuals` without labels.
    pub(super) fn reopen(record: Record, scored: Scored, n_individuals: usize) -> Self {
        let Record { first_generation, sizes, best, improved, written, kinds, individuals, scores, .. } = record;
        let n_forms = scored.forms.iter().max().map_or(0, |&form| form as usize + 1);
        let mut places = vec![0; n_forms.next_power_of_two()];
        (1..).zip(&scored.forms).for_each(|(place, &form)| places[form as usize] = place);
        let mut kind_places = vec![0; Kind::COUNT];
        (1..).zip(&kinds).for_each(|(place, kind)| kind_places[kind.index()] = place);
        Encoder {
            places,
            first_generation,
            sizes,
            best,
            improved,
            written: ExpressionTableBuilder::reopen(written, scored.written),
            kinds,
            kind_places,
            individuals: Children { len: n_individuals, ..individuals },
            scores: Scores { given: scored.given, ..scores },
            ..Encoder::default()
        }
    }

    /// Returns the record of everything added.
    pub(crate) fn finish(
        self,
        problem_id: String,
        primitives: &PrimitiveSet,
        seed: u64,
        stop: StopReason,
        evaluations: Evaluations,
    ) -> Record {
        let (mut individuals, mut scores) = (self.individuals, self.scores);
        individuals.finish();
        scores.fitness = Bytes::of_floats(scores.given.iter().map(|given| given.fitness));
        Record {
            problem_id,
            primitives: Primitives::encode(primitives),
            seed,
            stop,
            evaluations,
            sampling: None,
            target: None,
            first_generation: self.first_generation,
            sizes: self.sizes,
            best: self.best,
            improved: self.improved,
            written: self.written.build(),
            kinds: self.kinds,
            individuals,
            scores,
            labels: self.labels,
        }
    }
}

fn candidates(set: &LabelSet) -> Option<CandidateColumns> {
    let each = || set.states.iter().map(|state| state.children.candidates);
    each().any(|candidates| candidates.is_some()).then(|| {
        let mut columns = CandidateColumns::default();
        let none = Candidates { drawn: 0, distinct: 0, improving: 0, gains: [f32::NEG_INFINITY; 3] };
        for Candidates { drawn, distinct, improving, gains } in each().map(|candidates| candidates.unwrap_or(none)) {
            push_number(&mut columns.drawn, drawn);
            push_number(&mut columns.distinct, distinct);
            push_number(&mut columns.improving, improving);
            columns.gains.0.extend(gains.iter().flat_map(|gain| gain.to_le_bytes()));
        }
        columns
    })
}

impl Children {
    /// Fills the column with NaN up to the next individual.
    fn fill_log_probs(&mut self) {
        let column = self.log_probs.get_or_insert_default();
        let missing = self.len - column.0.len() / 4;
        column.0.extend(std::iter::repeat_n(f32::NAN.to_le_bytes(), missing).flatten());
    }

    /// Completes the columns. The column of log-probabilities is left out if no individual has one.
    fn finish(&mut self) {
        if self.log_probs.is_some() {
            self.fill_log_probs();
        }
    }
}

/// Finds errors in the column of different ones.
#[derive(Debug, Clone, Default)]
struct ErrorPlaces {
    /// Indices in the column, by the errors there.
    places: HashTable<u32>,
}

impl ErrorPlaces {
    /// Returns how far an error is from the end of the column; 0 if it is new, and then it is added.
    #[inline]
    fn back(&mut self, error: f32, column: &mut Bytes) -> u32 {
        let count = column.0.len() / 4;
        if self.places.is_empty() {
            // The column of a record that goes on.
            (0..count).for_each(|index| self.insert(index, column));
        }
        let (errors, error) = (column.0.as_chunks::<4>().0, error.to_le_bytes());
        if let Some(&index) = self.places.find(Self::hash(error), |&index| errors[index as usize] == error) {
            return count as u32 - index;
        }
        column.0.extend_from_slice(&error);
        self.insert(count, column);
        0
    }

    /// Adds the error at an index of the column.
    #[inline]
    fn insert(&mut self, index: usize, column: &Bytes) {
        let errors = column.0.as_chunks::<4>().0;
        let hash = |&index: &u32| Self::hash(errors[index as usize]);
        self.places.insert_unique(Self::hash(errors[index]), index as u32, hash);
    }

    #[inline]
    fn hash(error: [u8; 4]) -> u64 {
        spread(quick(0, u32::from_le_bytes(error).into()))
    }
}
