//! The stored trajectory: columns over all of its generations.
//!
//! `docs/formats.md` describes the fields. New ones can be added, but none may change its meaning. An individual is
//! stored as the edit that made it from the previous generation. Its score is stored where its expression first occurs,
//! because most individuals of a search repeat an expression. An individual with neither edit nor parent is written
//! out.

mod decode;
mod encoder;
mod fitness;
mod opened;

use serde::{Deserialize, Serialize};
use sr_codec::Packed;
use sr_engine::{Evaluations, Origin, PrimitiveSet, StopReason};
use sr_expr::Op;

pub(crate) use self::encoder::{Encoder, View};
use self::fitness::rank;
pub(crate) use self::fitness::{FitnessRule, stepped};
pub use self::opened::Opened;
use crate::columns::{Bytes, Column};
use crate::expressions::{ExpressionError, ExpressionTable};
use crate::trajectory::{check_labels, in_range, labelled_state};
use crate::{LabelParams, RecordError, SamplingCounts, TargetScale, TraceHeader, Trajectory};

/// One record of a trace file: a trajectory in its compact form, as a [`Recorder`](crate::Recorder) makes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    problem_id: String,
    primitives: Primitives,
    seed: u64,
    stop: StopReason,
    evaluations: Evaluations,
    sampling: Option<SamplingCounts>,
    /// The scale of the errors, where the objective is relative.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    target: Option<TargetScale>,
    first_generation: u32,
    /// The number of individuals of each generation.
    sizes: Bytes,
    /// The index of the fittest individual of each generation.
    best: Bytes,
    /// 1 for a generation with a new best individual.
    improved: Bytes,
    /// The expressions that are written out, in the order in which individuals and labels need them.
    written: ExpressionTable,
    /// The kinds that [`Children::kinds`] refers to.
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
    /// The labelled generations; `hashes` and `sizes` are their hashes and numbers of labels.
    generations: Bytes,
    hashes: Vec<u64>,
    sizes: Bytes,
    children: Children,
    gain_parent: Bytes,
    gain_best: Bytes,
    weight: Bytes,
    /// The candidates, or `None` where labels were not chosen among others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    candidates: Option<CandidateColumns>,
}

/// The [`Candidates`](crate::Candidates) of each labelled state; `drawn` is 0 for a state without.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct CandidateColumns {
    drawn: Bytes,
    distinct: Bytes,
    improving: Bytes,
    /// Three 32-bit floats for each state.
    gains: Bytes,
}

/// Individuals or labels, one after the other. All columns are of numbers but the last one.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Children {
    kinds: Bytes,
    parents: Bytes,
    nodes: Bytes,
    grafts: Bytes,
    /// The indices of individuals that an edit refers to, where they are not the parents.
    others: Bytes,
    /// Repeated expressions: k is the expression of the k-th last score.
    repeats: Bytes,
    log_probs: Option<Bytes>,
    /// The number of individuals so far, while the record is being written.
    #[serde(skip)]
    len: usize,
}

/// The properties that are often the same for individuals: origin, number of parents, [`Change`], and 1 where there is
/// a score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Kind(u8, u8, u8, u8);

impl Kind {
    /// The number of values that [`index`](Self::index) can return.
    const COUNT: usize = Origin::ALL.len() * 3 * Change::ALL.len() * 2;

    /// Returns a number that no other kind has. The codes of the kind have to be valid.
    #[inline(always)]
    fn index(self) -> usize {
        let Kind(origin, parents, change, score) = self;
        ((usize::from(origin) * 3 + usize::from(parents)) * Change::ALL.len() + usize::from(change)) * 2
            + usize::from(score)
    }
}

/// The scores, in order, of individuals whose expression did not have that score before.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Scores {
    /// Numbers: 0 is the next error of `mse`; k is the one k places before that.
    errors: Bytes,
    mse: Bytes,
    /// Four bytes each, or one where they follow from the errors, see [`Record::shorten_fitness`].
    fitness: Bytes,
    /// The scores themselves, while the record is in memory.
    #[serde(skip)]
    given: Vec<Given>,
}

/// A score, and the number of nodes of its expression.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Given {
    mse: f32,
    fitness: f32,
    size: u16,
}

impl Given {
    /// Returns whether both have the same bits.
    #[inline]
    fn is(&self, other: &Given) -> bool {
        [self.mse, self.fitness].map(f32::to_bits) == [other.mse, other.fitness].map(f32::to_bits)
    }
}

/// The origin of an individual's expression. The numbers are part of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Change {
    /// The next expression of those written out; no edit.
    Written,
    /// The first parent with a subtree of the second.
    Graft,
    /// The first parent with a written subtree.
    Write,
    /// A copy of the first parent, as an edit that replaces the root by itself.
    Copy,
    /// The same as `Graft`, but the parent and the donor are in `others`.
    GraftOthers,
    /// The same as `Write`, but the parent is in `others`.
    WriteOther,
    /// The first parent's expression; no edit.
    Carried,
    /// An expression met before; no edit.
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

impl Record {
    /// Returns the compact form of a trajectory.
    ///
    /// # Errors
    /// Returns an error if the trajectory breaks a rule of [`Trajectory`], or an expression is too large.
    pub fn encode(trajectory: &Trajectory) -> Result<Record, RecordError> {
        check_labels(trajectory)?;
        Encoder::encode(trajectory)
    }

    /// Returns the problem's id.
    pub fn problem_id(&self) -> &str {
        &self.problem_id
    }

    /// Returns why the search ended.
    pub fn stop(&self) -> StopReason {
        self.stop
    }

    /// Returns the evaluations that the search spent.
    pub fn evaluations(&self) -> Evaluations {
        self.evaluations
    }

    /// Returns the number of individuals by [`Origin`], without those of the first generation.
    pub fn children(&self) -> [u64; Origin::ALL.len()] {
        let mut kinds = Column::new("kinds", &self.individuals.kinds);
        let first = Column::new("sizes", &self.sizes).number().unwrap_or(0);
        let kinds = std::iter::from_fn(|| kinds.number().ok()).skip(first as usize);
        let mut counts = [0; Origin::ALL.len()];
        kinds.filter_map(|kind| self.kinds.get(kind as usize)).for_each(|kind| counts[usize::from(kind.0)] += 1);
        counts
    }

    /// Returns the number of individuals of the first generation.
    pub fn initial(&self) -> u64 {
        Column::new("sizes", &self.sizes).number().unwrap_or(0).into()
    }

    /// Returns the counts of what a learner wrote, if there was one.
    pub fn sampling(&self) -> Option<SamplingCounts> {
        self.sampling
    }

    /// Returns the scale of the errors, if they are relative.
    pub fn target(&self) -> Option<TargetScale> {
        self.target
    }

    /// Sets the scale of the errors.
    pub(crate) fn set_target(&mut self, target: Option<TargetScale>) {
        self.target = target;
    }

    /// Sets the counts of what a learner wrote.
    pub fn set_sampling(&mut self, counts: SamplingCounts) {
        self.sampling = Some(counts);
    }

    /// Stores each fitness in one byte instead of four, if all of them follow from error and size: as a correction for
    /// the rounding of the error to f32. `rule` is the search's.
    pub(crate) fn shorten_fitness(&mut self, rule: FitnessRule) {
        let steps = |given: &Given| {
            let expected = rule.fitness(given.mse, usize::from(given.size));
            let steps = i64::from(rank(given.fitness)) - i64::from(rank(expected));
            i8::try_from(steps).ok().map(i8::cast_unsigned)
        };
        if let Some(steps) = self.scores.given.iter().map(steps).collect() {
            self.scores.fitness = Bytes(steps);
        }
    }

    /// Packs the record for a file with this header. Compressing is most of the work, and any thread can do it.
    ///
    /// # Panics
    /// Panics if memory runs out.
    pub fn pack(self, header: &TraceHeader) -> Packed {
        self.pack_with(FitnessRule::of(&header.engine))
    }

    pub(crate) fn pack_with(mut self, rule: FitnessRule) -> Packed {
        self.shorten_fitness(rule);
        Packed::new(sr_codec::Kind::Trace, &self).expect("a record is MessagePack")
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

pub(crate) fn in_field(field: &'static str) -> impl FnOnce(ExpressionError) -> RecordError {
    move |source| RecordError::Expressions { field, source }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::sync::Arc;

    use proptest::prelude::*;
    use sr_expr::Expr;

    use sr_engine::{Edit, INVALID_FITNESS, Parents, Replacement};

    use super::*;
    use crate::Generations;

    const BASIC: FitnessRule = FitnessRule { parsimony: 0.01, invalid: INVALID_FITNESS as f32 };
    use crate::record_v1::Child;
    use crate::{Candidates, GenerationRecord, GenerationsBuilder, Label, LabelSet, StateLabels};

    /// A trajectory that can be changed.
    #[derive(Debug, Clone)]
    struct Draft {
        first: u32,
        generations: Vec<Generation>,
        /// A set of labels of one state.
        labels: Vec<(u32, Child)>,
    }

    #[derive(Debug, Clone)]
    struct Generation {
        individuals: Vec<Child>,
        best_index: u32,
        improved: bool,
    }

    impl Draft {
        fn build(&self) -> Result<Trajectory, RecordError> {
            let mut builder = GenerationsBuilder::new(self.first);
            for Generation { individuals, best_index, improved } in &self.generations {
                builder.push(individuals.iter().map(Child::record), *best_index, *improved)?;
            }
            let state = |(generation, child): &(u32, Child)| {
                let label = Label { child: child.record(), gain_parent: 0.5, gain_best: -0.25, weight: 1.0 };
                StateLabels { generation: *generation, state_hash: 11, children: [label].into_iter().collect() }
            };
            let set = LabelSet {
                mode: "all".into(),
                params: LabelParams { seed: 3, samples: 1, keep: Some(2), ..LabelParams::default() },
                source: "basic_sr".into(),
                states: self.labels.iter().map(state).collect(),
            };
            Ok(Trajectory {
                problem_id: "p".into(),
                primitives: PrimitiveSet::new(vec![Op::Sin, Op::Add], vec![2.5], 2).expect("primitives"),
                seed: 5,
                stop: StopReason::Solved { mse: 1e-17 },
                evaluations: Evaluations { search: 12, duplicates: 3, proposals: 10 },
                sampling: Some(SamplingCounts { well_formed: 1, fallback: 1, children: 2 }),
                target: Some(TargetScale { scale: 1e-9, tolerance: 1e-12 }),
                generations: builder.build()?,
                labels: if self.labels.is_empty() { vec![] } else { vec![set] },
            })
        }

        fn encode(&self) -> Result<Record, RecordError> {
            encode(&self.build()?)
        }
    }

    /// Returns the record as it goes into a file.
    fn encode(trajectory: &Trajectory) -> Result<Record, RecordError> {
        let mut record = Record::encode(trajectory)?;
        record.shorten_fitness(BASIC);
        Ok(record)
    }

    fn bytes(record: &Record) -> Vec<u8> {
        rmp_serde::to_vec_named(record).expect("a record is MessagePack")
    }

    /// Returns two generations and a label: the second individual of the last one is the best.
    fn example() -> Draft {
        let individual = |text: &str, origin, parents, edit| Child {
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
            Child { mse: 2.5, ..individual("x0 + x1", Origin::Learner, Parents::None, None) },
        ];
        let child = individual("x0 + x1", Origin::Crossover, Parents::Two(0, 1), graft(0, 1, 1, 0));
        let generation = |individuals, best_index| Generation { individuals, best_index, improved: best_index == 1 };
        Draft {
            first: 7,
            generations: vec![generation(vec![orphan("x0 + 2"), orphan("x1")], 0), generation(second, 1)],
            labels: vec![(7, child)],
        }
    }

    #[test]
    fn every_kind_of_edit_round_trips() {
        let trajectory = example().build().expect("it keeps the rules");
        let record = encode(&trajectory).expect("it keeps the rules");
        let kinds = record.individuals.kinds.0.iter().map(|&kind| record.kinds[usize::from(kind)]);
        let changes: Vec<Change> = kinds.clone().map(|kind| Change::ALL[usize::from(kind.2)]).collect();
        assert_eq!(changes[..2], [Change::Written; 2]);
        let [_, graft, write, copy, graft_others, write_other, carried, repeat] = Change::ALL;
        assert_eq!(changes[2..], [carried, graft, write, copy, graft_others, write_other, repeat, repeat]);
        let scored: Vec<u8> = kinds.map(|kind| kind.3).collect();
        assert_eq!(scored, [1, 1, 0, 1, 1, 0, 0, 1, 0, 1], "a score stands where it is new");
        assert_eq!(record.scores.mse.0.len(), 8, "equal errors stand there once");
        assert_eq!(record.decode(BASIC).expect("what was written"), trajectory);
    }

    #[test]
    fn broken_rules_are_refused_by_field() {
        let refused = |change: fn(&mut Draft)| {
            let mut draft = example();
            change(&mut draft);
            draft.encode().expect_err("a broken rule").to_string()
        };
        assert_eq!(refused(|t| t.generations.clear()), "generations: empty");
        assert_eq!(refused(|t| t.generations[0].individuals.clear()), "individuals: empty");
        assert_eq!(refused(|t| t.first = u32::MAX), "generations: numbers go beyond 4294967295");
        assert_eq!(refused(|t| t.generations[1].best_index = 8), "best: 8 is out of range, there are 8");
        let parents = "parents: 2 is out of range, there are 2";
        assert_eq!(refused(|t| t.generations[1].individuals[0].parents = Parents::One(2)), parents);
        assert_eq!(refused(|t| t.labels[0].1.parents = Parents::One(2)), parents);
        let first = "parents: 0 is out of range, there are 0";
        assert_eq!(refused(|t| t.generations[0].individuals[0].parents = Parents::One(0)), first);
        let node = "nodes: 3 is out of range, there are 3";
        assert_eq!(
            refused(|t| t.generations[1].individuals[0].edit =
                Some(Edit { parent: 0, node: 3, replacement: Replacement::Written(Cow::Owned(Expr::var(0))) })),
            node
        );
        let state = "labels.generations: 9 is out of range, there are 2";
        assert_eq!(refused(|t| t.labels[0].0 = 9), state);
        let edit = "edit: it does not make (x0 + x0)";
        for index in [1, 2, 3] {
            let mut draft = example();
            draft.generations[1].individuals[index].expr = Arc::new("x0 + x0".parse().expect("an expression"));
            assert_eq!(draft.encode().expect_err("a wrong edit").to_string(), edit);
        }
        assert_eq!(refused(|t| t.labels[0].1.expr = Arc::new("x0 + x0".parse().expect("an expression"))), edit);
    }

    #[test]
    fn a_refused_generation_leaves_the_builder_as_it_was() {
        let Draft { first, generations, .. } = example();
        let mut builder = GenerationsBuilder::new(first);
        let push = |builder: &mut GenerationsBuilder, g: &Generation| {
            builder.push(g.individuals.iter().map(Child::record), g.best_index, g.improved)
        };
        push(&mut builder, &generations[0]).expect("it keeps the rules");
        push(&mut builder, &Generation { best_index: 8, ..generations[1].clone() }).expect_err("no such individual");
        push(&mut builder, &generations[1]).expect("it keeps the rules");
        assert_eq!(builder.build().expect("two generations"), example().build().expect("the same").generations);
    }

    #[test]
    fn columns_of_wrong_length_are_refused_by_field() {
        let refused = |change: fn(&mut Record)| {
            let mut record = example().encode().expect("it keeps the rules");
            change(&mut record);
            record.decode(BASIC).expect_err("a wrong column").to_string()
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
        assert_eq!(refused(|r| r.written = ExpressionTable::default()), "written: too short");
    }

    #[test]
    fn fitnesses_that_follow_from_errors_take_a_byte() {
        let mut draft = example();
        let individuals = &mut draft.generations[0].individuals;
        let scored = |mse: f64, expr: Arc<Expr>| {
            let fitness = if mse.is_finite() { -mse - 0.01 * expr.size() as f64 } else { INVALID_FITNESS };
            Child { mse: mse as f32, fitness: fitness as f32, expr, ..example().generations[0].individuals[0].clone() }
        };
        for i in 0..2000_u16 {
            let expr = (0..i % 25).fold(Expr::var(i), |expr, _| Expr::unary(Op::Sin, &expr));
            individuals.push(scored(1.7_f64.powi(i32::from(i) / 10 - 100) / 3.0, Arc::new(expr)));
        }
        individuals.push(scored(f64::INFINITY, Arc::new(Expr::constant(7.0))));
        individuals.push(scored(0.0, Arc::new(Expr::constant(8.0))));
        // The other individuals of the example do not follow.
        assert_eq!(draft.encode().expect("it keeps the rules").scores.fitness.0.len() % 4, 0);
        draft.generations.truncate(1);
        draft.labels.clear();
        draft.generations[0].individuals.drain(..2);
        let trajectory = draft.build().expect("it keeps the rules");
        let record = encode(&trajectory).expect("it keeps the rules");
        assert_eq!(record.scores.fitness.0.len(), 2002);
        assert!(record.scores.fitness.0.iter().any(|&s| s != 0), "rounding has to be corrected somewhere");
        assert_eq!(record.decode(BASIC).expect("what was written"), trajectory);
    }

    #[test]
    fn many_constants_and_variables_are_read_too() {
        // More than fit symbols of one byte: 0 to 199 as constants, 100 to 299 as variables, each in a sum and grafted.
        let leaves = (0..200).map(|i| Expr::constant(f64::from(i))).chain((100..300).map(Expr::var));
        let mut draft = example();
        draft.labels.clear();
        draft.generations.truncate(1);
        let first = draft.generations[0].individuals[0].clone();
        let child = |expr: Expr| Child { expr: Arc::new(expr), ..first.clone() };
        draft.generations[0].individuals = leaves.clone().map(child).collect();
        let x0 = Expr::var(0);
        let sum = |(parent, leaf): (u32, Expr)| {
            let expr = Expr::binary(Op::Add, &leaf, &x0);
            let edit = Edit { parent, node: 0, replacement: Replacement::Written(Cow::Owned(expr.clone())) };
            Child { edit: Some(edit), parents: Parents::One(parent), ..child(expr) }
        };
        draft.generations.push(Generation {
            individuals: (0..).zip(leaves).map(sum).collect(),
            best_index: 0,
            improved: false,
        });
        let trajectory = draft.build().expect("it keeps the rules");
        let record = encode(&trajectory).expect("it keeps the rules");
        assert!(!record.written.is_narrow());
        assert_eq!(record.decode(BASIC).expect("what was written"), trajectory);
    }

    /// Returns a trajectory that keeps the rules, with every value drawn.
    fn trajectory() -> impl Strategy<Value = Trajectory> {
        let expr = || sr_expr::testing::expr(3, 12);
        let child = (expr(), any::<(f32, f32)>(), 0..Origin::ALL.len(), any::<[u16; 6]>(), expr(), any::<i16>());
        let generation = (proptest::collection::vec(child, 1..8), any::<u16>(), any::<bool>());
        let label = any::<(f32, f32, f32)>();
        (proptest::collection::vec(generation, 1..5), 0..1000u32, any::<u64>(), label).prop_map(
            |(drawn, first, seed, (gain_parent, gain_best, weight))| {
                let mut generations: Vec<Generation> = Vec::new();
                for (children, best, improved) in drawn {
                    let previous = generations.last().map(|g| &g.individuals[..]).unwrap_or_default();
                    let individuals: Vec<_> = children.into_iter().map(|drawn| drawn_child(drawn, previous)).collect();
                    let best_index = u32::from(best) % individuals.len() as u32;
                    generations.push(Generation { individuals, best_index, improved });
                }
                let trajectory = Draft { first, generations, labels: vec![] }.build().expect("it keeps the rules");
                let states = trajectory.generations.iter().zip(trajectory.generations.iter().skip(1));
                let state = |(state, next): (GenerationRecord<'_>, GenerationRecord<'_>)| {
                    let label = |child| Label { child, gain_parent, gain_best, weight };
                    let mut children: crate::Labels = next.individuals().map(label).collect();
                    children.candidates = (next.len() % 2 > 0 && next.len() < 6)
                        .then(|| Candidates::new(next.len() as u32 * 100, 1, &[0.5, 0.25, -1.0][..next.len() / 2]));
                    StateLabels { generation: state.generation, state_hash: state.state_hash(), children }
                };
                let states: Vec<_> = states.map(state).collect();
                let set = |samples| LabelSet {
                    mode: "all".into(),
                    params: LabelParams { seed, samples, ..LabelParams::default() },
                    source: "basic_sr".into(),
                    states: states.clone(),
                };
                Trajectory {
                    problem_id: format!("p{seed}"),
                    primitives: PrimitiveSet::new(Op::ALL.to_vec(), vec![f64::from(first)], 3).expect("terminals"),
                    seed,
                    stop: StopReason::TimeLimit(std::time::Duration::from_micros(seed >> 20)),
                    evaluations: Evaluations { search: seed, duplicates: 1, proposals: 2 },
                    sampling: None,
                    target: None,
                    labels: vec![set(1), set(2)],
                    ..trajectory
                }
            },
        )
    }

    type Drawn = (Expr, (f32, f32), usize, [u16; 6], Expr, i16);

    fn drawn_child(drawn: Drawn, previous: &[Child]) -> Child {
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
        Child { expr, mse, fitness, origin, parents, edit, log_prob }
    }

    /// Returns the same by the builder, which checks the rules.
    fn rebuilt(generations: &Generations) -> Result<Generations, RecordError> {
        let mut builder = GenerationsBuilder::new(generations.first().generation);
        for record in generations.iter() {
            builder.push(record.individuals(), record.best_index, record.improved)?;
        }
        builder.build()
    }

    proptest! {
        #[test]
        fn trajectories_round_trip(trajectory in trajectory()) {
            let record = encode(&trajectory).expect("it keeps the rules");
            let record: Record = rmp_serde::from_slice(&bytes(&record)).expect("what was written");
            let decoded = record.decode(BASIC).expect("what was written");
            // Gains may be NaN, so compare text.
            prop_assert_eq!(format!("{decoded:?}"), format!("{trajectory:?}"));
        }

        #[test]
        fn labels_are_added_as_if_all_was_written_at_once(trajectory in trajectory()) {
            let sets = &trajectory.labels;
            for had in [vec![], vec![sets[0].clone()], sets.clone()] {
                let before = Trajectory { labels: had, ..trajectory.clone() };
                let opened = Opened::new(encode(&before).expect("it keeps the rules"), BASIC).expect("what was written");
                prop_assert_eq!(format!("{:?}", opened.trajectory()), format!("{before:?}"));
                let mut expected = before;
                expected.add_labels(sets[0].clone());
                let mut found = opened.with_labels(sets[0].clone()).expect("it keeps the rules");
                found.shorten_fitness(BASIC);
                prop_assert_eq!(bytes(&found), bytes(&encode(&expected).expect("it keeps the rules")));
            }
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
            if let Ok(Ok(decoded)) = rmp_serde::from_slice::<Record>(&bytes).map(|record| record.decode(BASIC)) {
                // What is accepted keeps the rules.
                prop_assert!(check_labels(&decoded).is_ok());
                prop_assert_eq!(format!("{:?}", rebuilt(&decoded.generations).expect("it keeps the rules")), format!("{:?}", decoded.generations));
                prop_assert_eq!(decoded.lineage().len(), decoded.generations.len());
            }
        }
    }
}
