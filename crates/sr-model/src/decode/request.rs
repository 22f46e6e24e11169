//! Requests for decoding, and their results.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::batch::{check_ids, check_marks};
use crate::sample::Sampling;
use crate::{Error, Model, ModelConfig, PointEmbedding, Points};

/// The prompt of a state, which its children are conditioned on.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Prompt {
    /// Token ids; may be empty.
    pub tokens: Vec<i32>,
    /// The start of each individual among the tokens, and the end of the last one. Individuals lie side by side, and
    /// attention connects them as in [`Population::Separate`](crate::Population::Separate). Empty for a prompt that is
    /// one text.
    pub individuals: Vec<u32>,
    /// The marks of each token, `[tokens, marks]`, as in [`TrainBatch`](crate::TrainBatch); empty for no marks.
    pub marks: Vec<i32>,
    /// The points for the prefix; `None` for no points.
    pub points: Option<Points>,
}

impl Prompt {
    /// Returns for each token 0, or k ≥ 1 if it belongs to the k-th individual.
    pub fn individual_numbers(&self) -> impl Iterator<Item = i32> + '_ {
        (0..self.tokens.len() as u32).map(|token| {
            let begun = self.individuals.partition_point(|&start| start <= token);
            if begun < self.individuals.len() { begun as i32 } else { 0 }
        })
    }

    /// Returns the position of each token. Positions restart in each individual, and after the last one.
    pub fn positions(&self) -> impl Iterator<Item = i32> + '_ {
        (0..self.tokens.len() as u32).map(|token| {
            let begun = self.individuals.partition_point(|&start| start <= token);
            let start = if begun == 0 { 0 } else { self.individuals[begun - 1] - self.individuals[0] };
            (token - start) as i32
        })
    }

    /// Returns the position of the first token after the prompt.
    pub fn next_position(&self) -> usize {
        let end = match (self.individuals.first(), self.individuals.last()) {
            (Some(first), Some(last)) => last - first,
            _ => 0,
        };
        self.tokens.len() - end as usize
    }

    /// Returns the number of positions that the prompt needs.
    pub fn n_positions(&self) -> usize {
        self.positions().max().map_or(0, |highest| highest as usize + 1).max(self.next_position())
    }

    /// Returns the number of prefix positions for the prompt's points.
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

/// A request to sample children.
#[derive(Clone, Copy)]
pub struct DecodeRequest<'a> {
    /// One prompt per state.
    pub prompts: &'a [Prompt],
    /// The number of children of each state; may be 0.
    pub siblings: &'a [usize],
    /// The token fed to every sibling right after the prompt; not part of its tokens.
    pub start_token: i32,
    /// The token of each sibling of each state in place of that one; `None` for one token for all. Siblings of a state
    /// with the same token must be next to each other.
    pub starts: Option<&'a [Vec<i32>]>,
    /// Returns the feature of the last of the tokens so far, or of the start token if there are none yet. Prompts have
    /// feature 0. A model without features ignores it.
    pub feature: fn(&[i32]) -> i32,
    /// The token that ends a sibling; not part of its tokens.
    pub eos: i32,
    /// The most tokens sampled per sibling, including `eos`. The default is 64, one more than the largest child.
    pub max_new_tokens: usize,
    /// The divisor of logits before sampling, ≥ 0; 0 takes the likeliest token. The default is 1.
    pub temperature: f64,
    /// The number of likeliest tokens to sample from, ≥ 1; `None` for all.
    pub top_k: Option<usize>,
    /// Samples from the fewest likeliest tokens that hold this much probability, in (0, 1]; `None` for all.
    pub top_p: Option<f64>,
    /// Whether the texts of a state's children must differ. Two texts are the same if they have the same tokens and
    /// both are finished or both are cut off. The default is false.
    ///
    /// The first text is drawn as usual, and each further one from the same distribution (after temperature, top-k,
    /// top-p and grammar), restricted to texts not yet drawn for the state: sampling without replacement. At
    /// temperature 0 the order is the limit of that: by the sum of the differences between the likeliest logit and the
    /// logit of each token, least first. Top-k applies, and top-p to the probabilities of temperature 1.
    ///
    /// Siblings with different [`starts`](Self::starts) are drawn from different distributions, and differ too.
    ///
    /// A state may have fewer texts than siblings. Above temperature 0 a state also ends after
    /// [`MAX_WAVES`](Self::MAX_WAVES) waves, each of which adds at least one text. Missing texts come last, see
    /// [`Sample::is_missing`].
    pub distinct: bool,
    /// What a text stands for; for distinct siblings. Of texts with equal identities the first becomes a sibling, and a
    /// text without an identity never does. The texts that are left out are drawn like the others, and not again.
    pub identity: Option<&'a Identity<'a>>,
    /// The most prompt and sibling positions held in memory at once. Larger requests are split, with the same results.
    /// `None` for a default that suits the device.
    pub max_batch_tokens: Option<usize>,
    /// A flag; once it is true, decoding on a CPU ends within a token with [`Error::Stopped`].
    pub stop: Option<&'a AtomicBool>,
}

/// The text of a child.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sample {
    /// The tokens, without start and end.
    pub tokens: Vec<i32>,
    /// Whether the text reached `eos`.
    pub finished: bool,
    /// The sum of the log-probabilities of the tokens in nats, including `eos`, under the model at temperature 1,
    /// restricted to the tokens that the grammar allowed.
    pub log_prob: f32,
    /// The sum over steps of the logarithm of the total probability that the model gave to allowed tokens; 0 if it
    /// needs no grammar.
    pub log_legal: f32,
}

impl Sample {
    /// Returns whether this stands for a text that [`DecodeRequest::distinct`] did not find. It is then empty and not
    /// finished, which no text is: a text without an end has the most tokens.
    pub fn is_missing(&self) -> bool {
        !self.finished && self.tokens.is_empty()
    }
}

/// A function from `(state, sibling, step)` to a uniform number in [0, 1). It depends on these alone, so samples do not
/// depend on batching. Steps are below [`DecodeRequest::max_steps`].
pub type Uniform<'a> = dyn Fn(usize, usize, usize) -> f64 + Sync + 'a;

/// A function from a state and a text to what the text stands for; `None` for a text that is not wanted.
pub type Identity<'a> = dyn Fn(usize, &Sample) -> Option<u64> + Sync + 'a;

/// A grammar: the tokens that may come next in the children of a state.
pub trait Constraint: Sync {
    /// The grammar's state after a child's tokens so far.
    type Child: Clone + Send + Sync;

    /// Returns the grammar's state before a child's first token.
    fn start(&self, state: usize) -> Self::Child;

    /// Sets `allowed[id]` to false for every token that may not come next. All entries, one per token of the
    /// vocabulary, are true before.
    fn mask(&self, state: usize, child: &Self::Child, allowed: &mut [bool]);

    /// Advances the grammar's state by the child's next token.
    fn advance(&self, state: usize, child: &mut Self::Child, token: i32);
}

/// A grammar that allows every token.
#[derive(Debug, Clone, Copy, Default)]
pub struct Free;

impl Constraint for Free {
    type Child = ();
    fn start(&self, _: usize) {}
    fn mask(&self, _: usize, _: &(), _: &mut [bool]) {}
    fn advance(&self, _: usize, _: &mut (), _: i32) {}
}

impl std::fmt::Debug for DecodeRequest<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let DecodeRequest { siblings, max_new_tokens, temperature, top_k, top_p, distinct, .. } = self;
        let mut debug = f.debug_struct("DecodeRequest");
        debug.field("siblings", siblings).field("max_new_tokens", max_new_tokens).field("temperature", temperature);
        debug.field("top_k", top_k).field("top_p", top_p).field("distinct", distinct).finish_non_exhaustive()
    }
}

impl<'a> DecodeRequest<'a> {
    /// The most waves in which distinct siblings are drawn above temperature 0. A model that puts nearly all
    /// probability on one text after the other needs a wave for each sibling, others need a few.
    pub const MAX_WAVES: usize = 64;

    /// Returns a request with defaults for everything else.
    pub fn new(prompts: &'a [Prompt], siblings: &'a [usize], start_token: i32, eos: i32) -> Self {
        Self {
            prompts,
            siblings,
            start_token,
            starts: None,
            feature: |_| 0,
            eos,
            max_new_tokens: 64,
            temperature: 1.0,
            top_k: None,
            top_p: None,
            distinct: false,
            identity: None,
            max_batch_tokens: None,
            stop: None,
        }
    }

    /// Returns the token that a sibling begins with.
    pub(super) fn start_of(&self, state: usize, sibling: usize) -> i32 {
        self.starts.map_or(self.start_token, |starts| starts[state][sibling])
    }

    pub(super) fn check_stop(&self) -> Result<(), Error> {
        if self.stop.is_some_and(|stop| stop.load(Ordering::Relaxed)) { Err(Error::Stopped) } else { Ok(()) }
    }

    /// Returns the bound below which the steps of random numbers are: each wave has its own `max_new_tokens`. At
    /// temperature 0, where random numbers are not used, there may be more waves.
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
        if let Some(starts) = self.starts {
            let is_each = starts.iter().map(Vec::len).eq(self.siblings.iter().copied());
            if !is_each {
                return fail("the start tokens are not one for each sibling of each state".to_owned());
            }
            starts.iter().try_for_each(|starts| check_ids("start token", starts, 0, config.vocab_size))?;
        }
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
