//! The export for other tools: a JSON object a line for each (prompt, target), in the original system's text.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use sr_codec::partial_path;
use sr_prompt::infix;

use crate::{CorpusHeader, Direct, Error, OneStep, Problems, Result};

/// Writes `PATH.partial`, which [`finish`](Self::finish) renames to `PATH`.
pub(crate) struct JsonlWriter {
    path: PathBuf,
    partial: PathBuf,
    out: BufWriter<File>,
}

/// One line of a one-step export. Fields in the original's order.
#[derive(Serialize)]
struct OneStepLine<'a> {
    context: &'a str,
    population: &'a str,
    target: String,
    expression_id: &'a str,
    metadata: OneStepMetadata<'a>,
}

#[derive(Serialize)]
struct OneStepMetadata<'a> {
    source_expressions_file: &'a str,
    traces: Option<&'a str>,
    dagger: bool,
    seed: u64,
    generation: u32,
    slot: u32,
    condition: &'a str,
    weight: f32,
}

/// One line of a direct export, with the data.
#[derive(Serialize)]
#[allow(non_snake_case)] // the original's names
struct DirectLine<'a> {
    X_data: Vec<Vec<f64>>,
    y_data: &'a [f64],
    target: String,
    expression_id: &'a str,
    metadata: DirectMetadata<'a>,
}

#[derive(Serialize)]
struct DirectMetadata<'a> {
    source_expressions_file: &'a str,
}

impl JsonlWriter {
    pub(crate) fn create(path: PathBuf) -> Result<Self> {
        let partial = partial_path(&path);
        let file = File::create(&partial).map_err(Error::io(&partial, "create"))?;
        Ok(JsonlWriter { path, partial, out: BufWriter::new(file) })
    }

    pub(crate) fn one_step(&mut self, header: &CorpusHeader, example: &OneStep) -> Result<()> {
        let context = infix::basic_context(example.generation, &example.problem.primitives);
        let population = example.population.iter().map(|i| (&**i.expr, f64::from(i.fitness)));
        let population = infix::population(population);
        for target in &example.targets {
            self.line(&OneStepLine {
                context: &context,
                population: &population,
                target: target.expr.to_string(),
                expression_id: &example.problem.id,
                metadata: OneStepMetadata {
                    source_expressions_file: &example.problem.source,
                    traces: header.traces.as_deref(),
                    dagger: header.dagger,
                    seed: example.seed,
                    generation: example.generation,
                    slot: target.slot,
                    condition: example.condition.name(),
                    weight: target.weight,
                },
            })?;
        }
        Ok(())
    }

    pub(crate) fn direct(&mut self, example: &Direct, problems: &Problems) -> Result<()> {
        let problem = problems.get(&example.problem)?;
        let row = |row| (0..problem.x.n_columns()).map(|column| problem.x.column(column)[row]).collect();
        self.line(&DirectLine {
            X_data: (0..problem.x.n_rows()).map(row).collect(),
            y_data: &problem.y,
            target: example.target.to_string(),
            expression_id: &example.problem.id,
            metadata: DirectMetadata { source_expressions_file: &example.problem.source },
        })
    }

    pub(crate) fn finish(mut self) -> Result<()> {
        self.out.flush().map_err(Error::io(&self.partial, "write"))?;
        self.out.get_ref().sync_all().map_err(Error::io(&self.partial, "sync"))?;
        fs::rename(&self.partial, &self.path).map_err(Error::io(&self.path, "rename the finished file to"))
    }

    fn line(&mut self, line: &impl Serialize) -> Result<()> {
        let mut text = serde_json::to_vec(line).expect("texts and numbers are JSON");
        text.push(b'\n');
        self.out.write_all(&text).map_err(Error::io(&self.partial, "write"))
    }
}

/// Where the export of `corpus` (`train.sr`) goes: `train.jsonl`.
pub(crate) fn jsonl_path(corpus: &Path) -> PathBuf {
    corpus.with_extension("jsonl")
}
