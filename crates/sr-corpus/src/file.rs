//! Corpus files, which are record files of kind `corpus`, see `docs/formats.md`.

use std::collections::{HashMap, VecDeque};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::slice::SliceIndex;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sr_codec::{Header, Kind, Reader, Writer};
use sr_engine::PrimitiveSet;
use sr_expr::{Expr, Op};
use sr_problems::Exclusion;
use sr_prompt::{Condition, Context, Mode};
use sr_trace::expressions::{ExpressionTable, ExpressionTableBuilder};

use crate::{Direct, Error, Example, Individual, OneStep, ProblemRef, Problems, Result, Side, Target, find_problems};

/// The version of the records of corpus files.
pub const CORPUS_VERSION: u32 = 1;

/// The properties that all examples of a corpus file have in common. Equal runs have equal headers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CorpusHeader {
    /// The kind of the examples.
    pub mode: Mode,
    /// The context of their prompts.
    pub context: Context,
    /// Whether the individuals of an autoregressive target come with their fitness; nil in other modes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_fitness: Option<bool>,
    /// The side of the split.
    pub split: Side,
    /// The name of the problem set's file, without folders.
    pub problems: String,
    /// The name of the trace, without folders, if the examples were made from one.
    pub traces: Option<String>,
    /// The names of the operators of the trace, or of the problem set. A problem may have its own.
    pub operators: Vec<String>,
    /// The constants of the trace, or of the problem set. A problem may have its own.
    pub constants: Vec<f64>,
    /// Whether the targets are an expert's labels of the states.
    pub dagger: bool,
    /// The origin of the states: `basic_sr` for the expert's, `neural_sr` for a learner's.
    pub original_source: Option<String>,
    /// Whether the targets are ancestors of the best individual only.
    pub ancestors_only: bool,
    /// Whether copied individuals (the elite) are targets too.
    pub include_elite: bool,
    /// The share of the examples that was kept.
    pub sample_fraction: f64,
    /// The most states of a search, spread over the stages of its progress; nil for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub states_per_search: Option<NonZeroU32>,
    /// The share of formulas that is for validation.
    pub val_fraction: f64,
    /// The seed of the split and the sampling.
    pub seed: u64,
    /// The sources of excluded formulas.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<Exclusion>,
    /// Whether the searches had plain operators ([`Semantics::Ieee`](sr_expr::Semantics)). Corpora without this field
    /// are of searches with guarded ones.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ieee: bool,
}

/// A writer of a corpus file, which gets its name when it is finished.
#[derive(Debug)]
pub struct CorpusWriter {
    writer: Writer,
}

impl CorpusWriter {
    /// Starts a new file.
    ///
    /// # Errors
    /// Returns an error where [`Writer::create`] does.
    pub fn create(path: impl AsRef<Path>, header: &CorpusHeader) -> Result<Self> {
        let header = Header { kind: Kind::Corpus, version: CORPUS_VERSION, params: header };
        Ok(CorpusWriter { writer: Writer::create(path, &header)? })
    }

    /// Adds states of one search as one record, because they share most of their expressions. It adds nothing if there
    /// are none.
    ///
    /// # Errors
    /// Returns an error if an expression is too large to be stored, or writing fails.
    ///
    /// # Panics
    /// Panics if they are of different searches.
    pub fn append_states(&mut self, states: &[OneStep]) -> Result<()> {
        let Some(first) = states.first() else { return Ok(()) };
        let mut table = ScoredForms::default();
        let states = states.iter().map(|state| {
            assert!(state.problem == first.problem && state.seed == first.seed, "states of one search");
            table.state(state)
        });
        let states = states.collect::<std::result::Result<Vec<_>, _>>();
        let states = states.map_err(|source| Error::Expression { problem: first.problem.id.clone(), source })?;
        let problem = ProblemRecord::encode(&first.problem);
        let ScoredForms { forms, mse, fitness, .. } = table;
        Ok(self.writer.append(&SearchRecord {
            problem,
            seed: first.seed,
            forms: forms.build(),
            mse,
            fitness,
            states,
        })?)
    }

    /// Adds a problem with its formula.
    ///
    /// # Errors
    /// Returns an error where [`append_states`](Self::append_states) does.
    pub fn append_direct(&mut self, example: &Direct) -> Result<()> {
        let mut forms = ExpressionTableBuilder::new();
        let id = || example.problem.id.clone();
        forms.push(&example.target).map_err(|source| Error::Expression { problem: id(), source })?;
        Ok(self
            .writer
            .append(&DirectRecord { problem: ProblemRecord::encode(&example.problem), target: forms.build() })?)
    }

    /// Completes the file, gives it its final name, and returns the number of records.
    ///
    /// # Errors
    /// Returns an error where [`Writer::finish`] does.
    pub fn finish(self) -> Result<u64> {
        Ok(self.writer.finish()?)
    }
}

/// A reader of a corpus file: an iterator over its examples, with one record in memory. From a cut or damaged file it
/// returns everything before the damage, then an error that names the record.
#[derive(Debug)]
pub struct Corpus {
    path: PathBuf,
    reader: Reader<CorpusHeader>,
    record: u64,
    examples: VecDeque<Example>,
    failed: bool,
}

impl Corpus {
    /// Opens a file and reads its header.
    ///
    /// # Errors
    /// Returns an error where [`Reader::open`] does.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_owned();
        let reader = Reader::open(&path, Kind::Corpus, CORPUS_VERSION)?;
        Ok(Corpus { path, reader, record: 0, examples: VecDeque::new(), failed: false })
    }

    /// Returns the header, which is common to all examples.
    pub fn header(&self) -> &CorpusHeader {
        &self.reader.header().params
    }

    /// Returns all remaining examples.
    ///
    /// # Errors
    /// Returns an error if the file is cut or damaged.
    pub fn read_all(self) -> Result<Vec<Example>> {
        self.collect()
    }

    /// Opens the problem set that the examples refer to: the given file, or the one that [`find_problems`] finds.
    ///
    /// # Errors
    /// Returns an error if it is not found or cannot be read.
    pub fn problems(&self, given: Option<&Path>) -> Result<Problems> {
        Problems::open(find_problems(&self.path, &self.header().problems, given)?)
    }

    /// Reads one more record. Returns false at the end.
    fn read_record(&mut self) -> Result<bool> {
        let mode = self.header().mode;
        let examples = match mode {
            Mode::Direct => self.reader.next_record::<DirectRecord>()?.map(DirectRecord::decode),
            _ => self.reader.next_record::<SearchRecord>()?.map(|record| record.decode(mode, ..)),
        };
        let Some(examples) = examples else { return Ok(false) };
        self.examples.extend(examples.map_err(|bad| bad.at(&self.path, self.record))?);
        self.record += 1;
        Ok(true)
    }
}

impl Iterator for Corpus {
    type Item = Result<Example>;

    fn next(&mut self) -> Option<Result<Example>> {
        while self.examples.is_empty() && !self.failed {
            match self.read_record() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => {
                    self.failed = true;
                    return Some(Err(error));
                }
            }
        }
        self.examples.pop_front().map(Ok)
    }
}

#[derive(Serialize, Deserialize)]
struct ProblemRecord {
    id: String,
    source: String,
    fingerprint: u64,
    variables: u16,
    operators: Vec<String>,
    constants: Vec<f64>,
}

/// The states of one search.
#[derive(Serialize, Deserialize)]
pub(crate) struct SearchRecord {
    problem: ProblemRecord,
    seed: u64,
    /// The distinct scored expressions of all states and their children.
    forms: ExpressionTable,
    mse: Vec<f32>,
    fitness: Vec<f32>,
    states: Vec<StateRecord>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct StateRecord {
    generation: u32,
    condition: String,
    /// The individuals, as indices into the table.
    population: Vec<u32>,
    /// The children, as indices into the table.
    targets: Vec<u32>,
    slots: Vec<u32>,
    /// The weights, absent if all are 1.
    weights: Option<Vec<f32>>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct DirectRecord {
    problem: ProblemRecord,
    target: ExpressionTable,
}

/// The field at fault in a record, and the reason.
pub(crate) struct Bad {
    field: &'static str,
    reason: String,
}

impl Bad {
    pub(crate) fn at(self, path: &Path, record: u64) -> Error {
        Error::BadRecord { path: path.to_owned(), record, field: self.field, reason: self.reason }
    }
}

fn bad(field: &'static str) -> impl Fn(String) -> Bad {
    move |reason| Bad { field, reason }
}

/// The table of a [`SearchRecord`] while it grows.
#[derive(Default)]
struct ScoredForms {
    forms: ExpressionTableBuilder,
    mse: Vec<f32>,
    fitness: Vec<f32>,
    places: HashMap<(Arc<Expr>, u32, u32), u32>,
}

impl ScoredForms {
    fn place(
        &mut self,
        expr: &Arc<Expr>,
        mse: f32,
        fitness: f32,
    ) -> std::result::Result<u32, sr_trace::expressions::ExpressionError> {
        let key = (expr.clone(), mse.to_bits(), fitness.to_bits());
        if let Some(&place) = self.places.get(&key) {
            return Ok(place);
        }
        let place = self.forms.push(expr)?;
        self.mse.push(mse);
        self.fitness.push(fitness);
        self.places.insert(key, place);
        Ok(place)
    }

    fn state(&mut self, state: &OneStep) -> std::result::Result<StateRecord, sr_trace::expressions::ExpressionError> {
        let population = state.population.iter().map(|i| self.place(&i.expr, i.mse, i.fitness));
        let population = population.collect::<std::result::Result<_, _>>()?;
        let targets = state.targets.iter().map(|t| self.place(&t.expr, t.mse, t.fitness));
        let targets = targets.collect::<std::result::Result<_, _>>()?;
        let weights: Vec<f32> = state.targets.iter().map(|target| target.weight).collect();
        Ok(StateRecord {
            generation: state.generation,
            condition: state.condition.name().to_owned(),
            population,
            targets,
            slots: state.targets.iter().map(|target| target.slot).collect(),
            weights: weights.iter().any(|&weight| weight != 1.0).then_some(weights),
        })
    }
}

impl ProblemRecord {
    fn encode(problem: &ProblemRef) -> Self {
        ProblemRecord {
            id: problem.id.clone(),
            source: problem.source.clone(),
            fingerprint: problem.fingerprint,
            variables: problem.primitives.n_variables(),
            operators: problem.primitives.ops().iter().map(|op| op.name().to_owned()).collect(),
            constants: problem.primitives.constants().to_vec(),
        }
    }

    fn decode(self) -> std::result::Result<Arc<ProblemRef>, Bad> {
        let ProblemRecord { id, source, fingerprint, variables, operators, constants } = self;
        let op = |name: &String| Op::from_name(name).ok_or_else(|| format!("unknown operator {name:?}"));
        let ops = operators.iter().map(op).collect::<std::result::Result<_, _>>().map_err(bad("operators"))?;
        let primitives = PrimitiveSet::new(ops, constants, variables);
        let primitives = primitives.map_err(|error| error.to_string()).map_err(bad("problem"))?;
        Ok(Arc::new(ProblemRef { id, source, fingerprint, primitives }))
    }
}

impl SearchRecord {
    /// Returns the examples of the `wanted` states.
    pub(crate) fn decode(
        self,
        mode: Mode,
        wanted: impl SliceIndex<[StateRecord], Output = [StateRecord]>,
    ) -> std::result::Result<Vec<Example>, Bad> {
        let problem = self.problem.decode()?;
        let forms = self.forms.decode().map_err(|error| error.to_string()).map_err(bad("forms"))?;
        if self.mse.len() != forms.len() || self.fitness.len() != forms.len() {
            let found = format!("{} errors and {} fitnesses", self.mse.len(), self.fitness.len());
            return Err(bad("forms")(format!("{} forms do not go with {found}", forms.len())));
        }
        let individual = |&place: &u32| match forms.get(place as usize) {
            Some(expr) => {
                let place = place as usize;
                Ok(Individual { expr: expr.clone(), mse: self.mse[place], fitness: self.fitness[place] })
            }
            None => Err(format!("there is no form {place}")),
        };
        let examples = self.states[wanted].iter().map(|state| {
            let n = state.targets.len();
            let weights = state.weights.clone().unwrap_or_else(|| vec![1.0; n]);
            if n == 0 || state.slots.len() != n || weights.len() != n {
                return Err(bad("targets")(format!("{n} do not go with slots and weights")));
            }
            if let Some(weight) = weights.iter().find(|weight| !weight.is_finite() || **weight < 0.0) {
                return Err(bad("weights")(format!("{weight} is no weight")));
            }
            let condition = Condition::from_name(&state.condition)
                .ok_or_else(|| bad("condition")(format!("unknown condition {:?}", state.condition)))?;
            let population: Vec<Individual> = state
                .population
                .iter()
                .map(individual)
                .collect::<std::result::Result<_, _>>()
                .map_err(bad("population"))?;
            let targets = state.targets.iter().zip(&state.slots).zip(weights).map(|((place, &slot), weight)| {
                let Individual { expr, mse, fitness } = individual(place)?;
                Ok(Target { expr, mse, fitness, weight, slot })
            });
            let targets = targets.collect::<std::result::Result<_, _>>().map_err(bad("targets"))?;
            let (problem, seed, generation) = (problem.clone(), self.seed, state.generation);
            let example = OneStep { problem, seed, generation, population, condition, targets };
            Ok(if mode == Mode::Autoregressive { Example::Autoregressive(example) } else { Example::OneStep(example) })
        });
        examples.collect()
    }
}

impl DirectRecord {
    pub(crate) fn decode(self) -> std::result::Result<Vec<Example>, Bad> {
        let problem = self.problem.decode()?;
        let forms = self.target.decode().map_err(|error| error.to_string()).map_err(bad("target"))?;
        match <[Arc<Expr>; 1]>::try_from(forms) {
            Ok([target]) => Ok(vec![Example::Direct(Direct { problem, target })]),
            Err(forms) => Err(bad("target")(format!("expected one expression, found {}", forms.len()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> SearchRecord {
        let primitives = PrimitiveSet::new(vec![Op::Add], vec![1.0], 1).expect("primitives");
        let problem = ProblemRef { id: "p".into(), source: "s".into(), fingerprint: 1, primitives };
        let mut forms = ExpressionTableBuilder::new();
        forms.push(&Expr::var(0)).expect("small");
        let weights = Some(vec![0.5]);
        let (population, targets, slots) = (vec![0, 0], vec![0], vec![1]);
        let state = StateRecord { generation: 3, condition: "ALL".into(), population, targets, slots, weights };
        let (mse, fitness, states) = (vec![2.0], vec![-2.01], vec![state]);
        SearchRecord { problem: ProblemRecord::encode(&problem), seed: 4, forms: forms.build(), mse, fitness, states }
    }

    #[test]
    fn records_that_do_not_fit_together_are_refused_by_field() {
        assert_eq!(record().decode(Mode::OneStep, ..).map_err(|bad| bad.reason).expect("it fits together").len(), 1);
        let field = |change: fn(&mut SearchRecord)| {
            let mut record = record();
            change(&mut record);
            record.decode(Mode::OneStep, ..).expect_err("refused").field
        };
        assert_eq!(field(|record| record.mse.clear()), "forms");
        assert_eq!(field(|record| record.states[0].population[1] = 1), "population");
        assert_eq!(field(|record| record.states[0].targets[0] = u32::MAX), "targets");
        assert_eq!(field(|record| record.states[0].targets.clear()), "targets");
        assert_eq!(field(|record| record.states[0].slots.clear()), "targets");
        assert_eq!(field(|record| record.states[0].weights = Some(vec![f32::NAN])), "weights");
        assert_eq!(field(|record| record.states[0].condition = "NONE".into()), "condition");
        assert_eq!(field(|record| record.problem.operators[0] = "sinh".into()), "operators");
        assert_eq!(field(|record| record.problem.constants[0] = f64::NAN), "problem");
    }
}
