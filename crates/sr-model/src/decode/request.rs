//! What decoding is asked for, and what it gives.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::batch::{check_ids, check_marks};
use crate::sample::Sampling;
use crate::{Error, Model, ModelConfig, PointEmbedding, Points};

/// What a state's children are conditioned on.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Prompt {
    /// Token ids; may be empty.
    pub tokens: Vec<i32>,
    /// Where the individuals among the tokens begin, and where the last one ends: they lie side by side, and see each
    /// other as [`Population::Separate`](crate::Population::Separate) says. Empty for a prompt that is one text.
    pub individuals: Vec<u32>,
    /// The marks of each token, `[tokens, marks]`, as in [`TrainBatch`](crate::TrainBatch); empty for none.
    pub marks: Vec<i32>,
    /// Points for the prefix; `None` for none.
    pub points: Option<Points>,
}

impl Prompt {
    /// For each token 0, or k ≥ 1 in the k-th individual.
    pub fn individual_numbers(&self) -> impl Iterator<Item = i32> + '_ {
        (0..self.tokens.len() as u32).map(|token| {
            let begun = self.individuals.partition_point(|&start| start <= token);
            if begun < self.individuals.len() { begun as i32 } else { 0 }
        })
    }

    /// For each token its position. It begins anew in each individual, and behind the last one.
    pub fn positions(&self) -> impl Iterator<Item = i32> + '_ {
        (0..self.tokens.len() as u32).map(|token| {
            let begun = self.individuals.partition_point(|&start| start <= token);
            let start = if begun == 0 { 0 } else { self.individuals[begun - 1] - self.individuals[0] };
            (token - start) as i32
        })
    }

    /// The position of the first token that follows it.
    pub fn next_position(&self) -> usize {
        let end = match (self.individuals.first(), self.individuals.last()) {
            (Some(first), Some(last)) => last - first,
            _ => 0,
        };
        self.tokens.len() - end as usize
    }

    /// Positions that it takes.
    pub fn n_positions(&self) -> usize {
        self.positions().max().map_or(0, |highest| highest as usize + 1).max(self.next_position())
    }

    /// Positions that its points become in front of it.
    pub fn n_prefix(&self, config: &ModelConfig) -> usize {
        let points = self.points.as_ref().zip(config.points.as_ref());
        points.map_or(0, |(points, config)| match config.kind {
            PointEmbedding::E2e => points.values.len() / config.width(),
            PointEmbedding::Set if points.values.is_empty() => 0,
            PointEmbedding::Set => config.n_queries,
        })
    }

    pub(super) fn check(&self, state: usize) -> Result<(), Error> {
        let ascend = self.individuals.windows(2).all(|pair| pair[0] < pair[1]);
        match ascend && self.individuals.last().is_none_or(|&end| end as usize <= self.tokens.len()) {
            true => Ok(()),
            false => Err(Error::Input(format!("state {state} has individuals beyond its tokens"))),
        }
    }
}

/// What to decode and how.
#[derive(Debug, Clone, Copy)]
pub struct DecodeRequest<'a> {
    /// One prompt per state.
    pub prompts: &'a [Prompt],
    /// Children wanted of each state; 0 is fine.
    pub siblings: &'a [usize],
    /// Fed to every sibling right after the prompt; not part of its tokens.
    pub start_token: i32,
    /// The feature that comes with the last of the tokens so far, or with the start token if there are none yet.
    /// Prompts have feature 0. Ignored by a model without features.
    pub feature: fn(&[i32]) -> i32,
    /// Ends a sibling; not part of its tokens.
    pub eos: i32,
    /// Tokens sampled per sibling at most, `eos` included. 64 by default, one more than the largest child.
    pub max_new_tokens: usize,
    /// Divides logits before sampling, ≥ 0; 0 takes the likeliest token. 1 by default.
    pub temperature: f64,
    /// Sample among this many likeliest tokens only, ≥ 1.
    pub top_k: Option<usize>,
    /// Sample among the fewest likeliest tokens that hold this much probability, in (0, 1].
    pub top_p: Option<f64>,
    /// Whether no two children of a state are the same text, that is the same tokens and both finished or both cut.
    /// False by default.
    ///
    /// The first is drawn as without it, each further one from the same distribution (after temperature, top-k, top-p and
    /// grammar) restricted to the texts not yet drawn for the state: sampling without replacement. At temperature 0 the
    /// order is the limit of that: by what the logits of a text's tokens lose against the likeliest at their places, in
    /// sum, least first; top-k holds, and top-p for the probabilities of temperature 1.
    ///
    /// A state may have fewer texts than siblings. Above temperature 0 it is also given up after
    /// [`MAX_WAVES`](Self::MAX_WAVES) waves, each of which adds one text at least. What is missing then is at the end, see
    /// [`Sample::is_missing`].
    pub distinct: bool,
    /// Memory bound: prompt and sibling positions held at once. Larger requests are split; the results stay the same.
    /// `None` for what suits the device.
    pub max_batch_tokens: Option<usize>,
    /// Once this is true, decoding on a CPU ends within a token with [`Error::Stopped`].
    pub stop: Option<&'a AtomicBool>,
}

/// One child.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sample {
    /// Its tokens, without start and end.
    pub tokens: Vec<i32>,
    /// Whether it reached `eos`.
    pub finished: bool,
    /// Sum of its tokens' log-probabilities in nats, `eos` included, under the model at temperature 1 restricted to the
    /// tokens that the grammar allowed.
    pub log_prob: f32,
    /// Sum of the logarithms of the probability that the model gave to all allowed tokens together, step by step: 0 if
    /// it would have kept to the grammar by itself.
    pub log_legal: f32,
}

impl Sample {
    /// Whether it is no text at all but stands for one that [`DecodeRequest::distinct`] did not find. Then it is empty and
    /// not finished, as no text is: one without an end has as many tokens as there may be.
    pub fn is_missing(&self) -> bool {
        !self.finished && self.tokens.is_empty()
    }
}

/// `(state, sibling, step)` to a uniform number in [0, 1). Keyed by these alone, it makes samples independent of batching.
/// Steps are below [`DecodeRequest::max_steps`].
pub type Uniform<'a> = dyn Fn(usize, usize, usize) -> f64 + Sync + 'a;

/// Which tokens may come next in the children of a state.
pub trait Constraint: Sync {
    /// What it has to know of a child's tokens so far.
    type Child: Clone + Send + Sync;

    /// A child of a state before its first token.
    fn start(&self, state: usize) -> Self::Child;

    /// Clears `allowed[id]` of every token that may not come next. It enters all true, one entry per token of the
    /// vocabulary.
    fn mask(&self, state: usize, child: &Self::Child, allowed: &mut [bool]);

    /// The child has got this token.
    fn advance(&self, state: usize, child: &mut Self::Child, token: i32);
}

/// Anything may come.
#[derive(Debug, Clone, Copy, Default)]
pub struct Free;

impl Constraint for Free {
    type Child = ();
    fn start(&self, _: usize) {}
    fn mask(&self, _: usize, _: &(), _: &mut [bool]) {}
    fn advance(&self, _: usize, _: &mut (), _: i32) {}
}

impl<'a> DecodeRequest<'a> {
    /// Waves in which distinct siblings are looked for, above temperature 0. A model that puts nearly all of its
    /// probability on one text after the other needs one for each sibling, others a few.
    pub const MAX_WAVES: usize = 64;

    /// A request with defaults for everything else.
    pub fn new(prompts: &'a [Prompt], siblings: &'a [usize], start_token: i32, eos: i32) -> Self {
        Self {
            prompts,
            siblings,
            start_token,
            feature: |_| 0,
            eos,
            max_new_tokens: 64,
            temperature: 1.0,
            top_k: None,
            top_p: None,
            distinct: false,
            max_batch_tokens: None,
            stop: None,
        }
    }

    pub(super) fn check_stop(&self) -> Result<(), Error> {
        if self.stop.is_some_and(|stop| stop.load(Ordering::Relaxed)) { Err(Error::Stopped) } else { Ok(()) }
    }

    /// What steps of random numbers are below: each wave has `max_new_tokens` of its own. At temperature 0, where none is
    /// used, there may be more.
    pub fn max_steps(&self) -> usize {
        self.max_new_tokens.saturating_mul(if self.distinct { Self::MAX_WAVES } else { 1 })
    }

    pub(super) fn sampling(&self) -> Sampling {
        Sampling { temperature: self.temperature, top_k: self.top_k, top_p: self.top_p }
    }

    pub(super) fn check(&self, model: &Model) -> Result<(), Error> {
        let config = model.config();
        let fail = |what: String| Err(Error::Input(what));
        if self.prompts.len() != self.siblings.len() {
            return fail(format!("{} prompts and {} sibling counts", self.prompts.len(), self.siblings.len()));
        }
        check_ids("start token", &[self.start_token], 0, config.vocab_size)?;
        check_ids("end token", &[self.eos], 0, config.vocab_size)?;
        for (state, prompt) in self.prompts.iter().enumerate() {
            check_ids("token", &prompt.tokens, 0, config.vocab_size)?;
            check_marks(&prompt.marks, prompt.tokens.len(), config.n_marks)?;
            prompt.check(state)?;
            let (taken, new, positions) = (prompt.next_position(), self.max_new_tokens, config.n_positions);
            if taken + new > positions || prompt.n_positions() > positions {
                let taken = taken.max(prompt.n_positions());
                return fail(format!(
                    "state {state} has a prompt of {taken} positions and {new} to come, the model has {positions} positions"
                ));
            }
        }
        if self.max_new_tokens == 0 || self.top_k == Some(0) {
            return fail("max_new_tokens and top_k must be at least 1".to_owned());
        }
        if !(self.temperature.is_finite() && self.temperature >= 0.0) {
            return fail(format!("temperature {}, expected 0 or more", self.temperature));
        }
        if self.top_p.is_some_and(|p| !(p > 0.0 && p <= 1.0)) {
            return fail("top_p must be above 0 and at most 1".to_owned());
        }
        Ok(())
    }
}
