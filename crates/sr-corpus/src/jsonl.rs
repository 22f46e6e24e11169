//! The export for other tools: one JSON object a line for each example, in the original system's text.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use sr_codec::partial_path;
use sr_problems::Problem;
use sr_prompt::infix;

use crate::{CorpusHeader, Direct, Error, Mode, OneStep, Result};

/// A writer of `PATH.partial`, which [`finish`](Self::finish) renames to `PATH`.
pub(crate) struct JsonlWriter {
    path: PathBuf,
    partial: PathBuf,
    out: BufWriter<File>,
}

/// One line of a one-step or autoregressive export. The fields are in the original's order.
#[derive(Serialize)]
struct StateLine<'a> {
    context: &'a str,
    population: &'a str,
    target: String,
    expression_id: &'a str,
    metadata: StateMetadata<'a>,
}

#[derive(Serialize)]
struct StateMetadata<'a> {
    source_expressions_file: &'a str,
    traces: Option<&'a str>,
    dagger: bool,
    seed: u64,
    generation: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    slot: Option<u32>,
    condition: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    weight: Option<f32>,
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

    /// Writes a line for each target, or one for all of them.
    pub(crate) fn state(&mut self, header: &CorpusHeader, example: &OneStep, problem: &Problem) -> Result<()> {
        let primitives = &example.problem.primitives;
        let context = infix::context(header.context, example.generation, primitives, &problem.x, &problem.y);
        let population = example.population.iter().map(|i| (&**i.expr, f64::from(i.fitness)));
        let population = infix::population(population);
        let mut line = |target: String, slot_and_weight: Option<(u32, f32)>| {
            self.line(&StateLine {
                context: &context,
                population: &population,
                target,
                expression_id: &example.problem.id,
                metadata: StateMetadata {
                    source_expressions_file: &example.problem.source,
                    traces: header.traces.as_deref(),
                    dagger: header.dagger,
                    seed: example.seed,
                    generation: example.generation,
                    slot: slot_and_weight.map(|(slot, _)| slot),
                    condition: example.condition.name(),
                    weight: slot_and_weight.map(|(_, weight)| weight),
                },
            })
        };
        let mut targets = example.targets.iter();
        match (header.mode, header.target_fitness) {
            (Mode::Autoregressive, Some(false)) => {
                let texts: Vec<String> = targets.map(|target| target.expr.to_string()).collect();
                line(texts.join(" "), None)
            }
            (Mode::Autoregressive, _) => {
                line(infix::population(targets.map(|target| (&**target.expr, f64::from(target.fitness)))), None)
            }
            _ => targets.try_for_each(|t| line(t.expr.to_string(), Some((t.slot, t.weight)))),
        }
    }

    pub(crate) fn direct(&mut self, example: &Direct, problem: &Problem) -> Result<()> {
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

/// Returns the path of the export of `corpus` (`train.sr`): `train.jsonl`.
pub(crate) fn jsonl_path(corpus: &Path) -> PathBuf {
    corpus.with_extension("jsonl")
}
