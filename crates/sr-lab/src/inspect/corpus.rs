//! Corpora.

use std::path::Path;

use serde_json::{Value, json};
use sr_corpus::{CORPUS_VERSION, Corpus, Direct, Example, OneStep, find_problems};
use sr_expr::{Semantics, Tree};
use sr_trace::TraceReader;

use super::{Contexts, Record, Spread, View};

pub(super) struct Corpora {
    corpus: Corpus,
    /// The semantics of the operators; `None` if neither the trace nor the problem set is found.
    semantics: Option<Semantics>,
    finished: bool,
    file_bytes: u64,
    examples: u64,
    targets: Spread,
    sizes: Spread,
    problems: std::collections::HashSet<String>,
}

impl Corpora {
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        let corpus = Corpus::open(path)?;
        Ok(Corpora {
            semantics: corpus.header().traces.as_deref().and_then(|name| semantics_of(path, name)),
            corpus,
            finished: sr_codec::Reader::open_any(path)?.stated_records().is_some(),
            file_bytes: std::fs::metadata(path)?.len(),
            examples: 0,
            targets: Spread::default(),
            sizes: Spread::default(),
            problems: Default::default(),
        })
    }
}

/// Returns the semantics of the searches of a trace that lies beside a corpus, or one folder up.
fn semantics_of(corpus: &Path, trace: &str) -> Option<Semantics> {
    let path = find_problems(corpus, trace, None).ok()?; // it looks for any file
    Some(TraceReader::open(path).ok()?.header().engine.semantics)
}

/// An example, and the semantics that operators are displayed with.
pub(super) struct Shown {
    example: Example,
    semantics: Option<Semantics>,
}

impl Shown {
    fn text(&self, tree: &Tree) -> String {
        tree.display(self.semantics.unwrap_or_default()).to_string()
    }
}

impl View for Corpora {
    fn kind(&self) -> &'static str {
        "corpus"
    }

    fn columns(&self) -> Vec<String> {
        ["problem", "# generation", "# population", "# targets", "first target"].map(String::from).to_vec()
    }

    fn format_version(&self) -> u32 {
        CORPUS_VERSION
    }

    fn header(&self) -> Value {
        serde_json::to_value(self.corpus.header()).expect("a header is plain data")
    }

    fn is_finished(&self) -> bool {
        self.finished
    }

    fn next_record(&mut self) -> anyhow::Result<Option<Box<dyn Record>>> {
        let example = self.corpus.next().transpose()?;
        if let Some(example) = &example {
            self.examples += example.n_targets() as u64;
            self.targets.add(example.n_targets() as f64);
            if !self.problems.contains(&example.problem().id) {
                self.problems.insert(example.problem().id.clone());
            }
            match example {
                Example::OneStep(state) | Example::Autoregressive(state) => {
                    state.targets.iter().for_each(|t| self.sizes.add(t.expr.size() as f64))
                }
                Example::Direct(direct) => self.sizes.add(direct.target.size() as f64),
            }
        }
        let semantics = self.semantics;
        Ok(example.map(|example| Box::new(Shown { example, semantics }) as Box<dyn Record>))
    }

    fn notes(&self) -> String {
        match (&self.corpus.header().traces, self.semantics) {
            (Some(trace), None) => format!(
                "operators have their plain names: whether they are guarded is told by the trace {trace}, which is not here\n"
            ),
            _ => String::new(),
        }
    }

    fn statistics(&self) -> Vec<(&'static str, Value)> {
        vec![
            ("examples", json!(self.examples)),
            ("problems", json!(self.problems.len())),
            ("targets of a prompt", self.targets.json()),
            ("target sizes", self.sizes.json()),
            ("bytes per example", json!(self.file_bytes as f64 / self.examples as f64)),
        ]
    }
}

impl Record for Shown {
    fn id(&self) -> &str {
        &self.example.problem().id
    }

    fn row(&self) -> Vec<String> {
        let [generation, population, target] = match &self.example {
            Example::OneStep(state) | Example::Autoregressive(state) => [
                state.generation.to_string(),
                state.population.len().to_string(),
                state.targets.first().map_or(String::new(), |target| self.text(&target.expr)),
            ],
            Example::Direct(direct) => [String::new(), String::new(), self.text(&direct.target)],
        };
        let targets = self.example.n_targets().to_string();
        vec![self.id().to_owned(), generation, population, targets, target]
    }

    fn contexts(&self, contexts: &Contexts) -> anyhow::Result<Vec<String>> {
        let generation = match &self.example {
            Example::OneStep(state) | Example::Autoregressive(state) => state.generation,
            Example::Direct(_) => 0,
        };
        Ok(vec![contexts.of_example(self.example.problem(), generation)?])
    }

    fn json(&self) -> Value {
        let problem = self.example.problem();
        let mut value = json!({ "problem_id": problem.id, "source": problem.source });
        match &self.example {
            Example::OneStep(state) | Example::Autoregressive(state) => {
                let OneStep { seed, generation, population, targets, .. } = state;
                value["seed"] = json!(seed);
                value["generation"] = json!(generation);
                let individuals = population.iter();
                value["population"] = individuals
                    .map(|i| json!({ "expression": self.text(&i.expr), "mse": i.mse, "fitness": i.fitness }))
                    .collect();
                let target = |t: &sr_corpus::Target| {
                    json!({
                        "expression": self.text(&t.expr),
                        "mse": t.mse,
                        "fitness": t.fitness,
                        "weight": t.weight,
                        "slot": t.slot,
                    })
                };
                value["targets"] = targets.iter().map(target).collect();
            }
            Example::Direct(Direct { target, .. }) => value["target"] = json!(self.text(target)),
        }
        value
    }
}
