//! Scores of a model's predictions, beside the loss, on a fixed sample of validation states.

use std::collections::BTreeMap;
use std::sync::Arc;

use sr_expr::Semantics;
use sr_model::{CpuModel, DecodeRequest, Decoder, Free, Model, Pass, Prompt, Sample};
use sr_problems::Problem;
use sr_prompt::Token;

use crate::examples::Selection;
use crate::{Error, Examples};

/// The most tokens of a greedy prediction, including `<eos>`: one more than the largest child of a search.
const MAX_TOKENS: usize = 64;
/// Rows × positions of a forward pass for the token accuracy.
const POSITIONS: usize = 4096;
/// The least R² at which a formula counts as a fit, as in Kamienny et al. (2022).
const FIT: f64 = 0.99;

/// A fixed sample of validation states.
#[derive(Debug, Clone)]
pub(crate) struct Probe {
    selections: Vec<Selection>,
    /// Indices of the states by the token that begins their children.
    by_start: BTreeMap<i32, Vec<usize>>,
    prompts: Vec<Prompt>,
    /// The problems of the states, if predictions are formulas.
    problems: Vec<Option<Judge>>,
    /// Computes the feature of each token of a prediction.
    feature: fn(&[i32]) -> i32,
}

/// The problem that a formula must fit.
#[derive(Debug, Clone)]
struct Judge {
    problem: Arc<Problem>,
    primitives: sr_engine::PrimitiveSet,
    semantics: Semantics,
}

/// The scores of predictions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scores {
    /// Share of the target tokens that were the likeliest ones, given the tokens before them.
    pub token_accuracy: f64,
    /// Share of the states whose greedy prediction is one of their targets.
    pub exact_match: f64,
    /// Fit of the greedy formulas to their problems' data; `None` if the data is unknown, or predictions are edits.
    pub fit: Option<Fit>,
}

/// The fit of formulas to data.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fit {
    /// Mean R², each clamped to [0, 1]; 0 for a prediction that is not a formula of the problem's primitives.
    pub r2: f64,
    /// Share of the problems with R² ≥ 0.99.
    pub r2_above_99: f64,
}

impl Probe {
    /// Returns a sample of at most `n` states with at most `max_targets` targets each; `None` if there are none, none
    /// leaves room for a prediction, or targets are whole generations.
    pub(crate) fn new(examples: &Examples, seed: u64, n: usize, max_targets: usize) -> Result<Option<Self>, Error> {
        if examples.target_fitness().is_some() {
            return Ok(None); // a whole generation is hardly ever written exactly, and takes long
        }
        let selections = examples.choose(seed, n, MAX_TOKENS, max_targets);
        if selections.is_empty() {
            return Ok(None);
        }
        let (mut by_start, mut prompts) = (BTreeMap::<i32, Vec<usize>>::new(), Vec::new());
        for (index, selection) in selections.iter().enumerate() {
            let (prompt, start) = examples.prompt(selection.state());
            by_start.entry(start).or_default().push(index);
            prompts.push(prompt);
        }
        let problem = |selection: &Selection| {
            let Some(source) = examples.source(selection.state()) else { return Ok(None) };
            let (problem, primitives) = (source.set.get(&source.problem)?, source.problem.primitives.clone());
            Ok(Some(Judge { problem, primitives, semantics: source.semantics }))
        };
        let problems = selections.iter().map(problem).collect::<Result<_, Error>>()?;
        Ok(Some(Probe { selections, by_start, prompts, problems, feature: examples.feature() }))
    }

    /// Scores a model without an autodiff graph.
    pub(crate) fn score(&self, model: &Model, examples: &Examples) -> Result<Scores, Error> {
        let predictions = self.predict(model)?;
        let matches = self
            .selections
            .iter()
            .zip(&predictions)
            .filter(|(selection, sample)| sample.finished && examples.is_target(selection.state(), &sample.tokens));
        Ok(Scores {
            token_accuracy: self.token_accuracy(model, examples)?,
            exact_match: matches.count() as f64 / self.selections.len() as f64,
            fit: self.fit(&predictions),
        })
    }

    fn token_accuracy(&self, model: &Model, examples: &Examples) -> Result<f64, Error> {
        let (mut hits, mut total) = (0, 0);
        let (fast, mut memory) = (CpuModel::new(model), Pass::default());
        for part in examples.cut(&self.selections, POSITIONS) {
            let batch = examples.pack(&part)?;
            if let Some(fast) = &fast {
                let (more, labels) = fast.hits(&batch, &mut memory)?;
                (hits, total) = (hits + more, total + labels);
                continue;
            }
            let likeliest = model.forward(&batch)?.argmax(2).try_into_vec_as::<i32>();
            let likeliest = likeliest.map_err(|e| sr_model::Error::Read(e.to_string()))?;
            for (label, found) in batch.labels.iter().zip(&likeliest).filter(|(label, _)| **label >= 0) {
                total += 1;
                hits += usize::from(label == found);
            }
        }
        Ok(hits as f64 / total as f64)
    }

    /// Returns the greedy prediction of each state.
    fn predict(&self, model: &Model) -> Result<Vec<Sample>, Error> {
        let decoder = Decoder::new(model);
        let mut predictions = vec![Sample::default(); self.prompts.len()];
        for (&start, states) in &self.by_start {
            let prompts: Vec<Prompt> = states.iter().map(|&state| self.prompts[state].clone()).collect();
            let one_each = vec![1; states.len()];
            let request = DecodeRequest {
                max_new_tokens: MAX_TOKENS,
                temperature: 0.0,
                feature: self.feature,
                ..DecodeRequest::new(&prompts, &one_each, start, Token::Eos.id())
            };
            let children = decoder.decode(&request, &|_, _, _| 0.0, &Free)?;
            for (&state, sample) in states.iter().zip(children.into_iter().flatten()) {
                predictions[state] = sample;
            }
        }
        Ok(predictions)
    }

    fn fit(&self, predictions: &[Sample]) -> Option<Fit> {
        let r2 = |(judge, sample): (&Option<Judge>, &Sample)| {
            let Judge { problem, primitives, semantics } = judge.as_ref()?;
            let formula =
                sr_prompt::decode_expression(&sample.tokens, primitives, MAX_TOKENS).ok().filter(|_| sample.finished);
            let Some(formula) = formula else { return Some(0.0) };
            sr_eval::r_squared(&sr_expr::predict(&formula, &problem.x, *semantics), &problem.y)
        };
        let found: Vec<f64> = self.problems.iter().zip(predictions).filter_map(r2).collect();
        let n = found.len() as f64;
        let mean = found.iter().map(|r2| r2.clamp(0.0, 1.0)).sum::<f64>() / n;
        let above = found.iter().filter(|&&r2| r2 >= FIT).count() as f64 / n;
        (n > 0.0).then_some(Fit { r2: mean, r2_above_99: above })
    }
}
