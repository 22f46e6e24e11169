//! Corpora.

use std::path::Path;

use serde_json::{Value, json};
use sr_corpus::{CORPUS_VERSION, Corpus, Direct, Example, OneStep, ProblemRef};

use crate::view::{Contexts, Record, Spread, View, ellipsis};

pub(crate) struct Corpora {
    corpus: Corpus,
    finished: bool,
    file_bytes: u64,
    examples: u64,
    targets: Spread,
    sizes: Spread,
    problems: std::collections::HashSet<String>,
}

impl Corpora {
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        Ok(Corpora {
            corpus: Corpus::open(path)?,
            finished: sr_codec::Reader::open_any(path)?.stated_records().is_some(),
            file_bytes: std::fs::metadata(path)?.len(),
            examples: 0,
            targets: Spread::default(),
            sizes: Spread::default(),
            problems: Default::default(),
        })
    }
}

impl View for Corpora {
    type Record = Example;
    const KIND: &'static str = "corpus";
    const COLUMNS: &'static [&'static str] = &["problem", "# generation", "# population", "# targets", "first target"];

    fn format_version(&self) -> u32 {
        CORPUS_VERSION
    }

    fn header(&self) -> Value {
        serde_json::to_value(self.corpus.header()).expect("a header is plain data")
    }

    fn is_finished(&self) -> bool {
        self.finished
    }

    fn next_record(&mut self) -> anyhow::Result<Option<Example>> {
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
        Ok(example)
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

impl Record for Example {
    fn id(&self) -> &str {
        &self.problem().id
    }

    fn row(&self) -> Vec<String> {
        let [generation, population, target] = match self {
            Example::OneStep(state) | Example::Autoregressive(state) => [
                state.generation.to_string(),
                state.population.len().to_string(),
                state.targets.first().map_or(String::new(), |target| target.expr.to_string()),
            ],
            Example::Direct(direct) => [String::new(), String::new(), direct.target.to_string()],
        };
        vec![self.problem().id.clone(), generation, population, self.n_targets().to_string(), ellipsis(&target)]
    }

    fn contexts(&self, contexts: &Contexts) -> anyhow::Result<Vec<String>> {
        let generation = match self {
            Example::OneStep(state) | Example::Autoregressive(state) => state.generation,
            Example::Direct(_) => 0,
        };
        let ProblemRef { id, primitives, .. } = &**self.problem();
        Ok(vec![contexts.text(id, generation, Some(primitives))?])
    }

    fn json(&self) -> Value {
        let problem = self.problem();
        let mut value = json!({ "problem_id": problem.id, "source": problem.source });
        match self {
            Example::OneStep(state) | Example::Autoregressive(state) => {
                let OneStep { seed, generation, population, targets, .. } = state;
                value["seed"] = json!(seed);
                value["generation"] = json!(generation);
                let individuals = population.iter();
                value["population"] = individuals
                    .map(|i| json!({ "expression": i.expr.to_string(), "mse": i.mse, "fitness": i.fitness }))
                    .collect();
                let target = |t: &sr_corpus::Target| {
                    json!({
                        "expression": t.expr.to_string(),
                        "mse": t.mse,
                        "fitness": t.fitness,
                        "weight": t.weight,
                        "slot": t.slot,
                    })
                };
                value["targets"] = targets.iter().map(target).collect();
            }
            Example::Direct(Direct { target, .. }) => value["target"] = json!(target.to_string()),
        }
        value
    }
}
