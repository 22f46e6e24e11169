//! Sampling many siblings for many prompts with a key/value cache.
//!
//! A prompt is encoded once and its siblings attend to it. Everything that shapes a state's arithmetic (padded prompt
//! length, padded number of siblings, length of the cache) follows from the state and the step alone, and states of one
//! shape are stacked in the outermost dimension. On a GPU, where kernels are picked by size and speed, a state's children
//! are the same up to rounding whatever is decoded beside them.
//!
//! On a CPU `sr-cpu` decodes, without padding and with states and siblings shared out to the threads; there they are the
//! same bits. [`Decoder::reference`] decodes on the tensor framework there too.
//!
//! Siblings that are to be distinct are written in waves from the prompts that were read once, see [`Sampler::siblings`].

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use burn::{
    module::Module,
    tensor::{Int, Tensor, TensorData},
};

use rayon::prelude::*;
use sr_cpu::{Next, Pass, PromptCache, Row, Rows, Siblings, Weights};

use crate::{
    Error, Model, ModelConfig, PointBatch, PointEmbedding, Points,
    batch::{check_ids, check_marks},
    cpu::{self, Snapshot},
    mask::{Bias, HIDDEN},
    sample::{Candidate, Choice, Dead, Sampling},
    taken::{Node, Taken, Walk},
};

/// Prompts are padded to multiples of this many tokens.
const PROMPT_TILE: usize = 32;
/// Siblings are padded to multiples of this; at least two rows keep matrix products off the vector kernels, which round differently.
const SIBLING_TILE: usize = 4;
/// The cache grows by this many steps at a time: a balance of copying it and attending to slots not yet written.
const STEP_TILE: usize = 8;

/// Positions held at once, unless the request says how many. On a GPU a `tiny` model keeps two gigabytes of them.
const CPU_BATCH_TOKENS: usize = 1 << 15;
const GPU_BATCH_TOKENS: usize = 1 << 19;

/// What a state's children are conditioned on.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Prompt {
    /// Token ids; may be empty.
    pub tokens: Vec<i32>,
    /// Where the individuals among the tokens begin, and where the last one ends: they lie side by side, and see each
    /// other as [`Population::Apart`](crate::Population::Apart) says. Empty for a prompt that is one text.
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

    fn check(&self, state: usize) -> Result<(), Error> {
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
pub trait Grammar: Sync {
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

impl Grammar for Free {
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

    fn check_stop(&self) -> Result<(), Error> {
        if self.stop.is_some_and(|stop| stop.load(Ordering::Relaxed)) { Err(Error::Stopped) } else { Ok(()) }
    }

    /// What steps of random numbers are below: each wave has `max_new_tokens` of its own. At temperature 0, where none is
    /// used, there may be more.
    pub fn max_steps(&self) -> usize {
        self.max_new_tokens.saturating_mul(if self.distinct { Self::MAX_WAVES } else { 1 })
    }

    fn sampling(&self) -> Sampling {
        Sampling { temperature: self.temperature, top_k: self.top_k, top_p: self.top_p }
    }

    fn check(&self, model: &Model) -> Result<(), Error> {
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

/// A model made ready for decoding. Cheap to clone; weights are shared.
#[derive(Debug, Clone)]
pub struct Decoder {
    model: Model,
    /// `[1, C, vocab_size]`
    head: Tensor<3>,
    /// The weights for a CPU.
    cpu: Option<Arc<Snapshot>>,
    memory: Arc<Memory>,
}

/// Memory of earlier requests on a CPU: fresh pages cost as much as a tenth of the work.
#[derive(Debug, Default)]
struct Memory {
    passes: Pool<Pass>,
    prompts: Pool<PromptCache>,
}

/// Things to use again.
#[derive(Debug, Default)]
struct Pool<T>(Mutex<Vec<T>>);

impl<T: Default> Pool<T> {
    fn take(&self) -> T {
        self.0.lock().expect("nobody panics with it").pop().unwrap_or_default()
    }

    fn give(&self, used: impl IntoIterator<Item = T>) {
        self.0.lock().expect("nobody panics with it").extend(used);
    }
}

impl Decoder {
    /// Takes a snapshot of the model, which may be in training.
    pub fn new(model: &Model) -> Self {
        let decoder = Decoder::reference(model);
        let cpu = Snapshot::of(&decoder.model).map(Arc::new);
        Decoder { cpu, ..decoder }
    }

    /// As [`new`](Self::new), to decode on the tensor framework on a CPU too. It is slower there: what the fast path is
    /// compared with.
    pub fn reference(model: &Model) -> Self {
        let model = model.valid();
        let head = model.narrow(model.head().unsqueeze());
        Decoder { model: model.narrowed(), head, cpu: None, memory: Arc::default() }
    }

    /// The snapshot.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Samples the children of every state, in order.
    ///
    /// # Errors
    /// [`Error::Input`] if the request does not fit the model, [`Error::NoLegalToken`] if the grammar forbids everything,
    /// [`Error::NotFinite`] if the weights are broken.
    pub fn decode<G: Grammar>(
        &self,
        request: &DecodeRequest<'_>,
        uniform: &Uniform<'_>,
        grammar: &G,
    ) -> Result<Vec<Vec<Sample>>, Error> {
        request.check(&self.model)?;
        let sampler = Sampler { request, uniform, grammar };
        match &self.cpu {
            Some(snapshot) => self.decode_on_cpu(snapshot, &sampler),
            None => self.decode_in_waves(&sampler),
        }
    }

    fn max_batch_tokens(&self, request: &DecodeRequest<'_>) -> usize {
        let default = if self.model.is_for_gpu() { GPU_BATCH_TOKENS } else { CPU_BATCH_TOKENS };
        request.max_batch_tokens.unwrap_or(default)
    }

    fn decode_in_waves<G: Grammar>(&self, sampler: &Sampler<'_, G>) -> Result<Vec<Vec<Sample>>, Error> {
        let request = sampler.request;
        let mut samples = vec![Vec::new(); request.prompts.len()];
        let mut shapes: BTreeMap<Shape, Vec<usize>> = BTreeMap::new();
        for (state, (prompt, &siblings)) in request.prompts.iter().zip(request.siblings).enumerate() {
            if siblings > 0 {
                shapes.entry(Shape::of(prompt, siblings)).or_default().push(state);
            }
        }
        if self.model.is_for_gpu() {
            shapes = Shape::merge(shapes);
        }
        for (shape, states) in shapes {
            let prefix =
                if shape.has_points { self.model.config().points.as_ref().map_or(0, |p| p.n_prefix()) } else { 0 };
            // Prompts that are needed again are kept beside the cache of the siblings, which begins with a copy.
            let prompts = (prefix + shape.prompt) * if request.distinct { 2 } else { 1 };
            let per_state = prompts + shape.siblings * request.max_new_tokens.next_multiple_of(STEP_TILE);
            for states in states.chunks((self.max_batch_tokens(request) / per_state).max(1)) {
                let mut read = Some(Wave::prefill(self, request, shape, states)?);
                let of_states = sampler.siblings(states, |children| {
                    let wave =
                        if request.distinct { read.as_ref().map(|read| read.again(children)) } else { read.take() };
                    wave.expect("without distinct there is one wave").write(sampler, children)
                })?;
                states.iter().zip(of_states).for_each(|(&state, of_state)| samples[state] = of_state);
            }
        }
        Ok(samples)
    }

    /// Reads the prompts, state by state, and then writes the children: threads share both out.
    fn decode_on_cpu<G: Grammar>(
        &self,
        snapshot: &Snapshot,
        sampler: &Sampler<'_, G>,
    ) -> Result<Vec<Vec<Sample>>, Error> {
        let request = sampler.request;
        let n_points = self.model.config().points.as_ref().map_or(0, |points| points.n_prefix());
        let positions = |state: usize| {
            n_points + request.prompts[state].tokens.len() + request.siblings[state] * request.max_new_tokens
        };
        let n_states = request.prompts.len();
        let mut samples = Vec::with_capacity(n_states);
        while samples.len() < n_states {
            let first = samples.len();
            let mut end = first + 1;
            let mut held = positions(first);
            while end < n_states && held + positions(end) <= self.max_batch_tokens(request) {
                held += positions(end);
                end += 1;
            }
            let states: Vec<usize> = (first..end).collect();
            let read = |&state: &usize| {
                request.check_stop()?;
                self.read(snapshot, &request.prompts[state])
            };
            let caches: Vec<PromptCache> = states.par_iter().map(read).collect::<Result<_, _>>()?;
            samples.extend(sampler.siblings(&states, |children| {
                let mut all: Vec<_> = caches
                    .iter()
                    .zip(children)
                    .flat_map(|(cache, of_state)| of_state.iter_mut().map(move |child| (cache, child)))
                    .collect();
                let share = all.len().div_ceil(rayon::current_num_threads()).max(1);
                all.par_chunks_mut(share).try_for_each(|children| sampler.write(&snapshot.weights, children))
            })?);
            self.memory.prompts.give(caches);
        }
        Ok(samples)
    }

    fn read(&self, snapshot: &Snapshot, prompt: &Prompt) -> Result<PromptCache, Error> {
        let config = self.model.config();
        let points = prompt.points.as_ref().map(|points| PointBatch::pack(config, &[points])).transpose()?;
        let prefix = snapshot.prefix(points.as_ref());
        let n_points = prefix.len() / config.d_model;
        let (segments, individuals) = (vec![0; prompt.tokens.len()], prompt.individual_numbers().collect::<Vec<_>>());
        let runs = cpu::runs(n_points, &segments, &individuals, config.prefix_attention);
        let rows = Rows {
            rows: vec![Row { prefix: n_points, tokens: prompt.tokens.len(), runs }],
            tokens: prompt.tokens.clone(),
            positions: prompt.positions().collect(),
            marks: prompt.marks.clone(),
            prefix,
            ..Rows::default()
        };
        let (mut pass, mut cache) = (self.memory.passes.take(), self.memory.prompts.take());
        cache.refill(&snapshot.weights, &rows, &mut pass);
        self.memory.passes.give([pass]);
        Ok(cache)
    }
}

/// How the next token of a child is chosen.
struct Sampler<'a, G: Grammar> {
    request: &'a DecodeRequest<'a>,
    uniform: &'a Uniform<'a>,
    grammar: &'a G,
}

/// A child in the making.
struct Growing<'t, G: Grammar> {
    state: usize,
    sibling: usize,
    sample: Sample,
    grammar: G::Child,
    /// Where it is among the texts taken, if it is to be none of them.
    walk: Option<Walk<'t>>,
    /// The step of its first random number.
    first_draw: usize,
    /// What it reads next.
    next: i32,
    feature: i32,
}

/// Memory for choosing.
#[derive(Default)]
struct Scratch {
    allowed: Vec<bool>,
    candidates: Vec<Candidate>,
}

impl<G: Grammar> Sampler<'_, G> {
    fn child<'t>(&self, state: usize, sibling: usize, walk: Option<Walk<'t>>, first_draw: usize) -> Growing<'t, G> {
        Growing {
            state,
            sibling,
            sample: Sample::default(),
            grammar: self.grammar.start(state),
            walk,
            first_draw,
            next: self.request.start_token,
            feature: (self.request.feature)(&[]),
        }
    }

    /// The children of some states, in order. `write` is given children of each of the states and writes them to their
    /// ends: once, or, if they are to be distinct, in waves.
    fn siblings(
        &self,
        states: &[usize],
        mut write: impl FnMut(&mut [Vec<Growing<'_, G>>]) -> Result<(), Error>,
    ) -> Result<Vec<Vec<Sample>>, Error> {
        if self.request.distinct {
            return self.distinct_siblings(states, write);
        }
        let child = |state| move |sibling| self.child(state, sibling, None, 0);
        let of_state = |&state: &usize| (0..self.request.siblings[state]).map(child(state)).collect();
        let mut children: Vec<Vec<_>> = states.iter().map(of_state).collect();
        write(&mut children)?;
        Ok(children.into_iter().map(|of_state| of_state.into_iter().map(|child| child.sample).collect()).collect())
    }

    /// As [`siblings`](Self::siblings), sampled without replacement.
    ///
    /// The children of a wave do not know of one another: each is drawn from the texts that were not taken before the
    /// wave. In the order of siblings the first appearance of each text is then taken, and the others are dropped. This is
    /// sampling without replacement: to draw from what is left is to draw from all, again and again until a text comes
    /// that is not taken. So texts in the order of their first appearance have one distribution, wherever waves end.
    ///
    /// That order is the order of the result: texts that are taken move up to the first free places, and the places left
    /// free are drawn in the next wave, with random numbers of their own. If each place waited for a draw of its own
    /// instead, what was drawn for later places would be missing from it, and only the first sibling would be right.
    ///
    /// The first child of a wave is always taken, so a state needs no more waves than it has siblings. What a state gets
    /// depends on the draws of its own children alone.
    fn distinct_siblings(
        &self,
        states: &[usize],
        mut write: impl FnMut(&mut [Vec<Growing<'_, G>>]) -> Result<(), Error>,
    ) -> Result<Vec<Vec<Sample>>, Error> {
        let DecodeRequest { siblings, eos, .. } = *self.request;
        let sampling = self.request.sampling();
        let mut all: Vec<(Taken, Vec<Sample>)> = states.iter().map(|_| Default::default()).collect();
        let waves = if sampling.is_greedy() { usize::MAX } else { DecodeRequest::MAX_WAVES };
        for wave in 0..waves {
            let of_states = states.iter().zip(&all);
            let mut children: Vec<Vec<Growing<'_, G>>> =
                of_states.map(|(&state, (taken, found))| self.wave(state, wave, taken, found)).collect();
            if children.iter().all(Vec::is_empty) {
                break;
            }
            write(&mut children)?;
            let written = |child: Growing<'_, G>| (child.sample, child.walk.map_or(vec![], Walk::into_fresh));
            let written: Vec<Vec<(Sample, Vec<Node>)>> =
                children.into_iter().map(|of_state| of_state.into_iter().map(written).collect()).collect();
            all.par_iter_mut().zip(written).for_each(|((taken, found), written)| {
                for (sample, fresh) in written {
                    let end = sample.finished.then_some(eos);
                    let text: Vec<i32> = sample.tokens.iter().copied().chain(end).collect();
                    if taken.take(&text, fresh, sampling) {
                        found.push(sample);
                    }
                }
            });
        }
        let fill = |(&state, (_, mut found)): (&usize, (Taken, Vec<Sample>))| {
            found.resize(siblings[state], Sample::default());
            found
        };
        Ok(states.iter().zip(all).map(fill).collect())
    }

    /// The children of a state to write in a wave, with what was taken and found before it.
    fn wave<'t>(&self, state: usize, wave: usize, taken: &'t Taken, found: &[Sample]) -> Vec<Growing<'t, G>> {
        let mut places = found.len()..self.request.siblings[state];
        if taken.is_exhausted() {
            places.end = places.start;
        } else if self.request.sampling().is_greedy() {
            // All of them would be the same.
            places.end = places.end.min(places.start + 1);
        }
        let first_draw = wave.saturating_mul(self.request.max_new_tokens);
        places.map(|sibling| self.child(state, sibling, Some(Walk::new(taken)), first_draw)).collect()
    }

    /// What may come next in a child, one entry per token of the vocabulary.
    fn mask(&self, child: &Growing<'_, G>, allowed: &mut [bool]) {
        allowed.fill(true);
        self.grammar.mask(child.state, &child.grammar, allowed);
    }

    /// Chooses a child's next token among the candidates, see [`Sampling::choose`].
    fn choose(
        &self,
        child: &mut Growing<'_, G>,
        step: usize,
        candidates: &mut Vec<Candidate>,
        log_total_of_all: Option<f64>,
    ) -> Result<(), Error> {
        let (sampling, eos) = (self.request.sampling(), self.request.eos);
        let Growing { state, sibling, first_draw, .. } = *child;
        let uniform = (self.uniform)(state, sibling, first_draw + step);
        let choice = match &mut child.walk {
            None => sampling.choose(candidates, log_total_of_all, uniform),
            Some(walk) => walk.choose(sampling, candidates, log_total_of_all, uniform),
        };
        let Choice { token, log_prob, log_legal } = choice.map_err(|dead| match dead {
            Dead::NoLegalToken => Error::NoLegalToken { state, sibling, step },
            Dead::NotFinite => Error::NotFinite { state, sibling, step },
        })?;
        let token = token as i32;
        child.sample.log_prob += log_prob as f32;
        child.sample.log_legal += log_legal as f32;
        child.next = token;
        if token == eos {
            child.sample.finished = true;
            return Ok(());
        }
        child.sample.tokens.push(token);
        self.grammar.advance(state, &mut child.grammar, token);
        child.feature = (self.request.feature)(&child.sample.tokens);
        Ok(())
    }

    /// Writes children to their ends on this thread.
    fn write(&self, weights: &Weights, children: &mut [(&PromptCache, &mut Growing<'_, G>)]) -> Result<(), Error> {
        let mut siblings = Siblings::new(weights);
        for of_prompt in children.chunk_by(|a, b| std::ptr::eq(a.0, b.0)) {
            siblings.add(of_prompt[0].0, of_prompt.len());
        }
        let mut live: Vec<&mut Growing<'_, G>> = children.iter_mut().map(|(_, child)| &mut **child).collect();
        let (mut next, mut scratch) = (Vec::new(), Scratch::default());
        let vocabulary = weights.shape().vocabulary;
        for step in 0..self.request.max_new_tokens {
            self.request.check_stop()?;
            next.clear();
            next.extend(live.iter().map(|child| Next {
                token: child.next,
                position: (self.request.prompts[child.state].next_position() + step) as i32,
                feature: child.feature,
            }));
            let logits = siblings.advance(&next);
            for (child, logits) in live.iter_mut().zip(logits.chunks_exact(vocabulary)) {
                let Scratch { allowed, candidates } = &mut scratch;
                allowed.resize(vocabulary, true);
                self.mask(child, allowed);
                candidates.clear();
                candidates.extend((0..vocabulary).filter(|&id| allowed[id]).map(|id| Candidate::new(id, logits[id])));
                let is_free = candidates.len() == vocabulary;
                let log_total_of_all = (!is_free).then(|| f64::from(sr_cpu::log_sum_exp(logits)));
                self.choose(child, step, candidates, log_total_of_all)?;
            }
            siblings.retain(|row| !live[row].sample.finished);
            live.retain(|child| !child.sample.finished);
            if live.is_empty() {
                break;
            }
        }
        Ok(())
    }
}

/// What shapes the arithmetic of a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Shape {
    /// Prompt tokens, padded.
    prompt: usize,
    /// Siblings, padded.
    siblings: usize,
    has_points: bool,
}

impl Shape {
    fn of(prompt: &Prompt, siblings: usize) -> Self {
        Self {
            prompt: prompt.tokens.len().max(1).next_multiple_of(PROMPT_TILE),
            siblings: siblings.next_multiple_of(SIBLING_TILE),
            has_points: prompt.points.is_some(),
        }
    }

    /// States with points in one shape and those without in another: a GPU rather computes padding than a wave more.
    fn merge(shapes: BTreeMap<Shape, Vec<usize>>) -> BTreeMap<Shape, Vec<usize>> {
        let mut merged: BTreeMap<bool, (Shape, Vec<usize>)> = BTreeMap::new();
        for (shape, states) in shapes {
            let (largest, all) = merged.entry(shape.has_points).or_insert((shape, Vec::new()));
            largest.prompt = largest.prompt.max(shape.prompt);
            largest.siblings = largest.siblings.max(shape.siblings);
            all.extend(states);
        }
        merged.values_mut().for_each(|(_, states)| states.sort_unstable());
        merged.into_values().collect()
    }
}

/// The unfinished children of a state and which of its `K` lanes in a [`Wave`] each has.
type Lanes<'c, 't, G> = Vec<(usize, &'c mut Growing<'t, G>)>;

/// States of one shape that are decoded together. Dimensions: `S` live states, `K` siblings, `P` prompt keys (points
/// and padding included).
#[derive(Clone)]
struct Wave<'a> {
    decoder: &'a Decoder,
    request: &'a DecodeRequest<'a>,
    /// The request's index of each live state.
    states: Vec<usize>,
    /// `K`.
    siblings: usize,
    /// `P`.
    prompt_keys: usize,
    /// How many of the prompt keys are points.
    prefix: usize,
    /// Keys and values of each block, `[S, H, P + K·steps, C/H]`: the prompt, then for each step its K siblings.
    caches: Vec<(Tensor<4>, Tensor<4>)>,
    /// Steps that the caches have room for.
    room: usize,
    /// Of the prompts, `[S, 1, 1, P]`.
    bias: Tensor<4>,
    /// `[S, K]`: the token each sibling reads next.
    last: Vec<i32>,
    /// `[S, K]`: the feature that comes with it.
    features: Vec<i32>,
}

impl<'a> Wave<'a> {
    /// Encodes the prompts.
    fn prefill(
        decoder: &'a Decoder,
        request: &'a DecodeRequest<'a>,
        shape: Shape,
        states: &[usize],
    ) -> Result<Self, Error> {
        let model = &decoder.model;
        let (s, t, k) = (states.len(), shape.prompt, shape.siblings);
        let (mut tokens, mut positions, mut segments) = (vec![0; s * t], vec![0; s * t], vec![-1; s * t]);
        let mut individuals = vec![0; s * t];
        let each = |prompt: &Prompt| prompt.marks.len() / prompt.tokens.len().max(1);
        let each = states.iter().map(|&state| each(&request.prompts[state])).max().unwrap_or(0);
        let mut marks = vec![0; s * t * each];
        for (row, &state) in states.iter().enumerate() {
            let prompt = &request.prompts[state];
            marks[row * t * each..][..prompt.marks.len()].copy_from_slice(&prompt.marks);
            let cells = prompt.tokens.iter().zip(prompt.positions()).zip(prompt.individual_numbers());
            for (i, ((&token, position), individual)) in cells.enumerate() {
                let cell = row * t + i;
                (tokens[cell], positions[cell], segments[cell], individuals[cell]) = (token, position, 0, individual);
            }
        }
        let points: Vec<&Points> = states.iter().filter_map(|&state| request.prompts[state].points.as_ref()).collect();
        let points = if points.is_empty() { None } else { Some(PointBatch::pack(model.config(), &points)?) };

        let embedded = model.with_marks(model.embed_tokens(tokens, positions.clone(), vec![], [s, t]), &marks);
        let (mut x, bias) = model.with_prefix(embedded, points.as_ref(), &positions, &segments, &individuals);
        let blocks = model.blocks();
        let mut caches = Vec::with_capacity(blocks.len());
        for (i, block) in blocks.iter().enumerate() {
            let (q, k, v) = block.heads(model, x.clone());
            // Of the last block only keys and values are wanted.
            if i + 1 < blocks.len() {
                let context = model.attend(q, k.clone(), v.clone(), bias.of(model.config().attention(i)));
                x = block.finish(model, x, context);
            }
            caches.push((model.narrow(k), model.narrow(v)));
        }

        let prefix = model.prefix(points.as_ref());
        let n = prefix.len() / s;
        let prompt_keys = n + t;
        let mut visible = Vec::with_capacity(s * prompt_keys);
        for row in 0..s {
            visible.extend(prefix[row * n..(row + 1) * n].iter().map(|&real| if real { 0.0 } else { HIDDEN }));
            visible.extend(
                segments[row * t..(row + 1) * t].iter().map(|&segment| if segment == 0 { 0.0 } else { HIDDEN }),
            );
        }
        let bias = Tensor::<4>::from_data(TensorData::new(visible, [s, 1, 1, prompt_keys]), &model.device());
        Ok(Self {
            decoder,
            request,
            states: states.to_vec(),
            siblings: k,
            prompt_keys,
            prefix: n,
            caches,
            room: 0,
            bias: model.narrow(bias),
            last: vec![request.start_token; s * k],
            features: vec![(request.feature)(&[]); s * k],
        })
    }

    /// This wave as it was before its first step, of those states only that have children to write. It keeps its lanes,
    /// though fewer may be wanted: their number shapes the arithmetic and must not follow from other states. A GPU, which
    /// may round otherwise, goes on with as many as are wanted.
    fn again<G: Grammar>(&self, children: &[Vec<Growing<'_, G>>]) -> Self {
        let kept: Vec<usize> = (0..children.len()).filter(|&row| !children[row].is_empty()).collect();
        let mut again = self.clone();
        if self.decoder.model.is_for_gpu() {
            let widest = children.iter().map(Vec::len).max().unwrap_or(0);
            again.siblings = widest.next_multiple_of(SIBLING_TILE).min(self.siblings);
        }
        if kept.len() < self.states.len() {
            let rows = TensorData::new(kept.iter().map(|&row| row as i32).collect(), [kept.len()]);
            let rows = Tensor::<1, Int>::from_data(rows, &self.decoder.model.device());
            let of_kept = |all: &Tensor<4>| all.clone().select(0, rows.clone());
            again.caches = self.caches.iter().map(|(keys, values)| (of_kept(keys), of_kept(values))).collect();
            again.bias = of_kept(&self.bias);
            again.states = kept.iter().map(|&row| self.states[row]).collect();
        }
        again.last.truncate(kept.len() * again.siblings);
        again.features.truncate(kept.len() * again.siblings);
        again
    }

    /// Writes the children of its states to their ends.
    fn write<G: Grammar>(
        mut self,
        sampler: &Sampler<'_, G>,
        children: &mut [Vec<Growing<'_, G>>],
    ) -> Result<(), Error> {
        let of_states = children.iter_mut().filter(|of_state| !of_state.is_empty());
        let mut rows: Vec<Lanes<'_, '_, G>> =
            of_states.map(|of_state| of_state.iter_mut().enumerate().collect()).collect();
        for step in 0..self.request.max_new_tokens {
            let logits = self.advance(step)?;
            if !self.sample(step, logits, sampler, &mut rows)? {
                break;
            }
        }
        Ok(())
    }

    /// Feeds the last tokens and gives the next logits, `[S, K, vocab_size]`. A GPU may still be computing them.
    fn advance(&mut self, step: usize) -> Result<Tensor<3>, Error> {
        if step.is_multiple_of(STEP_TILE) {
            self.grow();
        }
        let model = &self.decoder.model;
        let (s, k) = (self.states.len(), self.siblings);
        let positions = self
            .states
            .iter()
            .flat_map(|&state| std::iter::repeat_n((self.request.prompts[state].next_position() + step) as i32, k));
        if model.config().n_features > 0 {
            check_ids("feature", &self.features, 0, model.config().n_features)?;
        }
        let mut x = model.embed_tokens(self.last.clone(), positions.collect(), self.features.clone(), [s, k]);

        let slots = self.prompt_keys + step * k..self.prompt_keys + (step + 1) * k;
        let global = self.bias(step);
        let local =
            model.config().local_window().map(|window| global.clone() + model.narrow(self.outside(window, step)));
        let bias = Bias { global, local };
        for (i, (block, (keys, values))) in model.blocks().iter().zip(&mut self.caches).enumerate() {
            let (q, key, value) = block.heads(model, x.clone());
            let (key, value) = (model.narrow(key), model.narrow(value));
            let [_, h, _, d] = key.dims();
            // In place as long as nobody else holds the cache, which is why it is cloned for the attention only.
            keys.inplace(|keys| keys.slice_assign([0..s, 0..h, slots.clone(), 0..d], key));
            values.inplace(|values| values.slice_assign([0..s, 0..h, slots.clone(), 0..d], value));
            let context = model.attend(q, keys.clone(), values.clone(), bias.of(model.config().attention(i)));
            x = block.finish(model, x, context);
        }
        Ok(model.product(model.final_norm(x), self.decoder.head.clone()))
    }

    /// What each sibling sees at `step`, `[S, 1, K, P + K·steps]`: the prompt, and its own tokens so far.
    fn bias(&self, step: usize) -> Tensor<4> {
        let (s, k, p) = (self.states.len(), self.siblings, self.prompt_keys);
        let width = k * self.room;
        let mut own = vec![HIDDEN; k * width];
        for (sibling, row) in own.chunks_exact_mut(width).enumerate() {
            row.iter_mut().skip(sibling).step_by(k).take(step + 1).for_each(|cell| *cell = 0.0);
        }
        let model = &self.decoder.model;
        let own = model.narrow(Tensor::<4>::from_data(TensorData::new(own, [1, 1, k, width]), &model.device()));
        Tensor::cat(vec![self.bias.clone().expand([s, 1, k, p]), own.expand([s, 1, k, width])], 3)
    }

    /// Hides the keys that local attention cannot see at `step`, `[S, 1, 1, P + K·steps]`: all siblings of a state stand at
    /// one position, and each slot of the cache has one too.
    fn outside(&self, window: usize, step: usize) -> Tensor<4> {
        let (s, keys) = (self.states.len(), self.prompt_keys + self.siblings * self.room);
        let mut hidden = vec![0.0; s * keys];
        for (row, &state) in hidden.chunks_mut(keys).zip(&self.states) {
            let (prompt, children) = row.split_at_mut(self.prompt_keys);
            let prompt = &mut prompt[self.prefix..];
            let length = self.request.prompts[state].tokens.len();
            let first_seen = (length + step + 1).saturating_sub(window);
            prompt[..first_seen.min(length)].fill(HIDDEN);
            children[..first_seen.saturating_sub(length) * self.siblings].fill(HIDDEN);
        }
        Tensor::from_data(TensorData::new(hidden, [s, 1, 1, keys]), &self.decoder.model.device())
    }

    /// Adds room for [`STEP_TILE`] more steps.
    fn grow(&mut self) {
        let model = &self.decoder.model;
        let (s, k) = (self.states.len(), self.siblings);
        for cache in self.caches.iter_mut().flat_map(|(keys, values)| [keys, values]) {
            cache.inplace(|cache| {
                let [_, h, _, d] = cache.dims();
                let empty = model.narrow(Tensor::zeros([s, h, k * STEP_TILE, d], &model.device()));
                Tensor::cat(vec![cache, empty], 2)
            });
        }
        self.room += STEP_TILE;
    }

    /// Chooses the next tokens of `rows`, the unfinished children of each live state, from `logits`. False when all are
    /// done.
    fn sample<G: Grammar>(
        &mut self,
        step: usize,
        logits: Tensor<3>,
        sampler: &Sampler<'_, G>,
        rows: &mut Vec<Lanes<'_, '_, G>>,
    ) -> Result<bool, Error> {
        let (vocabulary, k) = (logits.dims()[2], self.siblings);
        let cells = rows.iter_mut().enumerate();
        let mut writing: Vec<(usize, &mut Growing<'_, G>)> = cells
            .flat_map(|(row, lanes)| lanes.iter_mut().map(move |(lane, child)| (row * k + *lane, &mut **child)))
            .collect();
        // What may come next follows from what is written: found while the device computes the logits, of which only
        // those are read.
        let mut allowed = vec![true; writing.len() * vocabulary];
        allowed.par_chunks_mut(vocabulary).zip(&writing).for_each(|(row, (_, child))| sampler.mask(child, row));
        let any = |mut any: Vec<bool>, row: &[bool]| {
            any.iter_mut().zip(row).for_each(|(any, allowed)| *any |= allowed);
            any
        };
        let none = || vec![false; vocabulary];
        let read = allowed.par_chunks(vocabulary).fold(none, any).reduce(none, |a, b| any(a, &b));
        let read: Vec<usize> = (0..vocabulary).filter(|&id| read[id]).collect();
        let is_free = read.len() == vocabulary;
        let logits = if is_free { logits } else { some_and_total(logits, &read) };
        let width = logits.dims()[2];
        let logits = logits.try_into_vec_as::<f32>().map_err(|error| Error::Read(error.to_string()))?;

        let allowed = allowed.par_chunks(vocabulary);
        writing.par_iter_mut().zip(allowed).try_for_each_init(Vec::new, |candidates, ((cell, child), allowed)| {
            let logits = &logits[*cell * width..][..width];
            let of_read = read.iter().zip(logits).filter(|(id, _)| allowed[**id]);
            candidates.clear();
            candidates.extend(of_read.map(|(&id, &logit)| Candidate::new(id, logit)));
            let log_total_of_all = (candidates.len() < vocabulary).then(|| match is_free {
                true => f64::from(sr_cpu::log_sum_exp(logits)),
                false => f64::from(logits[read.len()]),
            });
            sampler.choose(child, step, candidates, log_total_of_all)
        })?;
        for (cell, child) in writing {
            (self.last[cell], self.features[cell]) = (child.next, child.feature);
        }
        rows.iter_mut().for_each(|lanes| lanes.retain(|(_, child)| !child.sample.finished));
        let live = rows.iter().filter(|lanes| !lanes.is_empty()).count();
        let widest = rows.iter().map(Vec::len).max().unwrap_or(0);
        // Copying the cache costs about a step, so drop what is finished only when that halves the work to come. Fewer
        // lanes are another shape, and so other rounding, which only a GPU may have for what else is decoded.
        let lanes = if self.decoder.model.is_for_gpu() { widest.next_multiple_of(SIBLING_TILE) } else { k };
        if live > 0 && 2 * live * lanes <= rows.len() * k {
            let kept: Vec<(usize, Vec<usize>)> = rows
                .iter()
                .enumerate()
                .filter(|(_, of_row)| !of_row.is_empty())
                .map(|(row, of_row)| {
                    (row, if lanes < k { of_row.iter().map(|(lane, _)| *lane).collect() } else { (0..k).collect() })
                })
                .collect();
            self.keep(&kept);
            rows.retain(|lanes| !lanes.is_empty());
            if lanes < k {
                rows.iter_mut()
                    .for_each(|of_row| of_row.iter_mut().enumerate().for_each(|(new, (lane, _))| *lane = new));
            }
        }
        Ok(live > 0)
    }

    /// Goes on with these lanes of these rows only, padded to an equal number of lanes.
    fn keep(&mut self, kept: &[(usize, Vec<usize>)]) {
        let device = self.decoder.model.device();
        let (k, p, room) = (self.siblings, self.prompt_keys, self.room);
        let lanes = kept.iter().map(|(_, lanes)| lanes.len()).max().unwrap_or(0).next_multiple_of(SIBLING_TILE).min(k);
        // Lanes that are padding repeat one that is not.
        let lane = |of_row: &[usize], i: usize| of_row[i.min(of_row.len() - 1)];
        let ints = |values: Vec<i32>| {
            let len = values.len();
            Tensor::<1, Int>::from_data(TensorData::new(values, [len]), &device)
        };
        let slots_of = |(row, of_row): &(usize, Vec<usize>), slots_before: usize| -> Vec<i32> {
            let own = (0..room).flat_map(|step| (0..lanes).map(move |i| p + step * k + lane(of_row, i)));
            (0..p).chain(own).map(|slot| (row * slots_before + slot) as i32).collect()
        };
        let (s, n) = (kept.len(), p + lanes * room);
        let [_, h, keys, d] = self.caches[0].0.dims();
        let slots = ints(kept.iter().flat_map(|kept| slots_of(kept, h * keys)).collect());
        let of_head = Tensor::<1, Int>::arange(0..h as i64, &device) * keys as i64;
        let at = slots.reshape([s, 1, n]) + of_head.reshape([1, h, 1]);
        let at = at.reshape([s * h * n]);
        for cache in self.caches.iter_mut().flat_map(|(keys, values)| [keys, values]) {
            cache.inplace(|cache| cache.reshape([-1, d as i64]).select(0, at.clone()).reshape([s, h, n, d]));
        }
        let rows = ints(kept.iter().map(|(row, _)| *row as i32).collect());
        self.bias.inplace(|bias| bias.select(0, rows));
        for cells in [&mut self.last, &mut self.features] {
            let of_kept = |(row, of_row): &(usize, Vec<usize>)| -> Vec<i32> {
                (0..lanes).map(|i| cells[row * k + lane(of_row, i)]).collect()
            };
            *cells = kept.iter().flat_map(of_kept).collect();
        }
        self.states = kept.iter().map(|(row, _)| self.states[*row]).collect();
        self.siblings = lanes;
    }
}

/// The logits `[S, K, V]` of some tokens, and behind them the logarithm of the sum of exp(logit) over all of them.
fn some_and_total(logits: Tensor<3>, ids: &[usize]) -> Tensor<3> {
    let at = TensorData::new(ids.iter().map(|&id| id as i32).collect(), [ids.len()]);
    let some = logits.clone().select(2, Tensor::<1, Int>::from_data(at, &logits.device()));
    let highest = logits.clone().max_dim(2);
    let total = (logits - highest.clone()).exp().sum_dim(2).log() + highest;
    Tensor::cat(vec![some, total], 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Attention, Channel, DeviceKind, IGNORE, ModelConfig, PointsConfig, Population, TrainBatch, open};

    fn model(attention_layers: &[Attention], points: PointsConfig) -> Model {
        let points = PointsConfig { n_variables: 1, channels: vec![Channel::X, Channel::Y], hidden: 8, ..points };
        let config = ModelConfig {
            n_positions: 96,
            n_features: 5,
            n_marks: 3,
            d_model: 16,
            n_layers: 2,
            n_heads: 2,
            d_mlp: 32,
            points: Some(points),
            attention_window: Some(5),
            attention_layers: attention_layers.to_vec(),
            population: Population::Text,
            ..ModelConfig::micro(24)
        };
        // Logits of fresh weights are nearly flat; scaled up, a wrong position or mask shows.
        Model::new(&config, 3, &open(DeviceKind::Cpu).unwrap()).unwrap().map(&mut Scale)
    }

    /// A feature that depends on all tokens so far.
    fn feature(so_far: &[i32]) -> i32 {
        (so_far.iter().sum::<i32>() + so_far.len() as i32) % 4 + 1
    }

    struct Scale;

    impl burn::module::ModuleMapper for Scale {
        fn map_float<const D: usize>(
            &mut self,
            param: burn::module::Param<Tensor<D>>,
        ) -> burn::module::Param<Tensor<D>> {
            if D == 2 { param.map(|weight| weight * 12.0) } else { param }
        }
    }

    #[test]
    fn cached_logits_equal_the_plain_forward_pass() {
        for layers in [&[][..], &[Attention::Local, Attention::Global], &[Attention::Global, Attention::Local]] {
            let points = Points { values: vec![0.5, -1.0, 2.0, 1.5] };
            let model = model(layers, PointsConfig::learner(3));
            cached_equals_plain(&model, None);
            cached_equals_plain(&model, Some(points));
        }
        let set = model(&[Attention::Local, Attention::Global], PointsConfig { n_queries: 3, ..PointsConfig::set() });
        for n_points in [0, 1, 50] {
            cached_equals_plain(&set, Some(Points { values: (0..2 * n_points).map(|i| i as f32 - 7.0).collect() }));
        }
    }

    fn cached_equals_plain(model: &Model, points: Option<Points>) {
        let decoder = Decoder::reference(model);
        let (tokens, marks) = (0..37).map(|i| ((i * 7 + 3) % 24, [i % 4, i * 5 % 4])).unzip::<_, _, _, Vec<_>>();
        let prompts = [Prompt { tokens, marks: marks.concat(), points, ..Prompt::default() }];
        let request = DecodeRequest { feature, ..DecodeRequest::new(&prompts, &[5], 1, 0) };
        let mut wave = Wave::prefill(&decoder, &request, Shape::of(&prompts[0], 5), &[0]).unwrap();
        let mut written: Vec<Vec<i32>> = vec![vec![1]; 5];
        for step in 0..11 {
            let logits: Vec<f32> = wave.advance(step).unwrap().try_into_vec_as().unwrap();
            for sibling in 0..5 {
                let tokens: Vec<i32> = prompts[0].tokens.iter().chain(&written[sibling]).copied().collect();
                let n = tokens.len();
                let batch = TrainBatch {
                    rows: 1,
                    length: n,
                    tokens,
                    positions: (0..n as i32).collect(),
                    features: (0..n).map(|i| if i < 37 { 0 } else { feature(&written[sibling][1..=i - 37]) }).collect(),
                    marks: prompts[0].marks.iter().copied().chain(vec![0; 2 * (n - 37)]).collect(),
                    segments: vec![0; n],
                    individuals: vec![],
                    labels: vec![IGNORE; n],
                    weights: vec![0.0; n],
                    points: prompts[0].points.as_ref().map(|p| PointBatch::pack(model.config(), &[p]).unwrap()),
                };
                let plain: Vec<f32> = model.forward(&batch).unwrap().narrow(1, n - 1, 1).try_into_vec_as().unwrap();
                for (cached, plain) in logits[sibling * 24..].iter().zip(&plain) {
                    assert!(
                        (cached - plain).abs() < 1e-4 * plain.abs().max(1.0),
                        "step {step} sibling {sibling}: {cached} {plain}"
                    );
                }
                let next = ((sibling * 5 + step * 11) % 24) as i32;
                written[sibling].push(next);
                wave.last[sibling] = next;
                wave.features[sibling] = feature(&written[sibling][1..]);
            }
        }
    }

    /// What training learns is what sampling follows: with weights so large that every mistake shows.
    #[test]
    fn a_childs_log_probability_is_what_training_takes_for_it() {
        let points = PointsConfig {
            n_variables: 1,
            channels: vec![Channel::X, Channel::Y],
            hidden: 8,
            ..PointsConfig::learner(3)
        };
        let config = ModelConfig {
            n_positions: 64,
            n_features: 5,
            n_marks: 3,
            d_model: 16,
            n_layers: 2,
            n_heads: 2,
            d_mlp: 32,
            points: Some(points),
            ..ModelConfig::micro(24)
        };
        let model = Model::new(&config, 3, &open(DeviceKind::Cpu).unwrap()).unwrap().map(&mut Scale);
        let (start, eos) = (1, 0);
        let many: Vec<u32> = (0..30).map(|i| 9 + i * 7 + i % 3).collect();
        let prompts: Vec<Prompt> = [vec![], vec![3, 7, 8, 14], vec![2, 20], many]
            .into_iter()
            .zip(2..)
            .map(|(individuals, seed)| {
                let length = individuals.last().map_or(21, |&end| end as i32 + 4);
                Prompt {
                    tokens: (0..length).map(|t| (t * t * seed + 3) % 24).collect(),
                    individuals,
                    marks: if seed % 2 == 0 { (0..2 * length).map(|i| i * seed % 4).collect() } else { vec![] },
                    points: (seed > 2).then(|| Points { values: vec![0.5, -1.0, 2.0, 1.5] }),
                }
            })
            .collect();
        let request = DecodeRequest { feature, max_new_tokens: 9, ..DecodeRequest::new(&prompts, &[6; 4], start, eos) };
        let uniform =
            |state: usize, sibling: usize, step: usize| ((state * 7 + sibling * 31 + step * 13) % 97) as f64 / 97.0;
        for decoder in [Decoder::new(&model), Decoder::reference(&model)] {
            let children = decoder.decode(&request, &uniform, &Free).unwrap();
            for (prompt, children) in prompts.iter().zip(&children) {
                for child in children {
                    let labels: Vec<i32> = child.tokens.iter().copied().chain(child.finished.then_some(eos)).collect();
                    let n = prompt.tokens.len();
                    let of_child = |of: &dyn Fn(usize) -> i32| (0..labels.len()).map(of).collect::<Vec<i32>>();
                    let both = |a: Vec<i32>, b: Vec<i32>| [a, b].concat();
                    let batch = TrainBatch {
                        rows: 1,
                        length: n + labels.len(),
                        tokens: both(prompt.tokens.clone(), of_child(&|i| if i == 0 { start } else { labels[i - 1] })),
                        positions: both(
                            prompt.positions().collect(),
                            of_child(&|i| (prompt.next_position() + i) as i32),
                        ),
                        features: both(vec![0; n], of_child(&|i| feature(&labels[..i]))),
                        marks: [&prompt.marks[..], &vec![0; prompt.marks.len() / n * labels.len()]].concat(),
                        segments: both(vec![0; n], of_child(&|_| 1)),
                        individuals: both(prompt.individual_numbers().collect(), of_child(&|_| 0)),
                        labels: both(vec![IGNORE; n], labels.clone()),
                        weights: [vec![0.0; n], vec![1.0; labels.len()]].concat(),
                        points: prompt.points.as_ref().map(|p| PointBatch::pack(model.config(), &[p]).unwrap()),
                    };
                    let expected = -(labels.len() as f32) * model.loss(&batch).unwrap().value.into_scalar::<f32>();
                    let fast =
                        crate::CpuModel::new(&model).unwrap().loss(&batch, &mut Pass::default()).unwrap().0 as f32;
                    for found in [child.log_prob, -fast] {
                        assert!((found - expected).abs() < 1e-3 * expected.abs().max(1.0), "{found} {expected}");
                    }
                }
            }
        }
    }

    #[test]
    fn keeping_some_rows_changes_nothing_for_them() {
        let model = model(&[Attention::Global, Attention::Local], PointsConfig::learner(3));
        let decoder = Decoder::reference(&model);
        let prompts: Vec<Prompt> = (1..4).map(|i| Prompt { tokens: vec![i; 5], ..Prompt::default() }).collect();
        let request = DecodeRequest::new(&prompts, &[7, 7, 7], 1, 0);
        let shape = Shape::of(&prompts[0], 7);
        let start = || Wave::prefill(&decoder, &request, shape, &[0, 1, 2]).unwrap();
        let logits = |wave: &mut Wave<'_>, step| -> Vec<f32> { wave.advance(step).unwrap().try_into_vec_as().unwrap() };
        let (mut whole, mut rows, mut lanes) = (start(), start(), start());
        whole.last = (0..24).map(|cell| cell % 5 + 1).collect();
        (rows.last, lanes.last) = (whole.last.clone(), whole.last.clone());
        let (kept_rows, kept_lanes) = ([(2, (0..8).collect())], [(0, vec![1, 2, 6]), (2, vec![5])]);
        for step in 0..10 {
            let all = logits(&mut whole, step);
            let some = logits(&mut rows, step);
            let few = logits(&mut lanes, step);
            let of = |row: usize, lane: usize| &all[(row * 8 + lane) * 24..][..24];
            if step < 4 {
                assert!(all == some && all == few, "step {step}");
            } else {
                assert_eq!(some, &all[2 * 8 * 24..], "step {step}");
                for (at, (row, lane)) in [(0, (0, 1)), (1, (0, 2)), (2, (0, 6)), (4, (2, 5))] {
                    let near = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-4 * a.abs().max(1.0);
                    assert!(few[at * 24..].iter().zip(of(row, lane)).all(near), "step {step} row {row} lane {lane}");
                }
            }
            if step == 3 {
                rows.keep(&kept_rows);
                lanes.keep(&kept_lanes);
                assert_eq!((lanes.siblings, &lanes.states[..]), (4, &[0, 2][..]));
            }
        }
    }

    #[test]
    fn the_ways_of_a_gpu_write_the_same_children() {
        let model = model(&[], PointsConfig::learner(3));
        let points = |i: i32| (i % 2 == 0).then(|| Points { values: vec![i as f32, 1.5] });
        let prompts: Vec<Prompt> = (1..6)
            .map(|i| Prompt {
                tokens: (0..i * 9).map(|t| t * i % 24).collect(),
                points: points(i),
                ..Prompt::default()
            })
            .collect();
        let request =
            DecodeRequest { feature, max_new_tokens: 20, ..DecodeRequest::new(&prompts, &[9, 1, 0, 19, 5], 1, 0) };
        let uniform =
            |state: usize, sibling: usize, step: usize| ((state * 7 + sibling * 31 + step * 13) % 97) as f64 / 97.0;
        let decode = |decoder: Decoder| decoder.decode(&request, &uniform, &Free).unwrap();
        let on_gpu = || Decoder { model: model.clone().valid().with_gpu_ways(), ..Decoder::reference(&model) };
        let expected = decode(Decoder::reference(&model));
        let found = decode(on_gpu());
        let lengths: Vec<usize> = expected.iter().flatten().map(|sample| sample.tokens.len()).collect();
        assert!(lengths.iter().min() < Some(&5) && lengths.iter().max() == Some(&20), "{lengths:?}");
        for (expected, found) in expected.iter().flatten().zip(found.iter().flatten()) {
            assert_eq!(expected.tokens, found.tokens);
            assert!((expected.log_prob - found.log_prob).abs() < 1e-3 * expected.log_prob.abs().max(1.0));
        }

        // In waves, with fewer states and lanes from one to the next.
        let texts = |decoder: Decoder, distinct| -> Vec<Vec<Vec<i32>>> {
            let request = DecodeRequest { distinct, temperature: 0.4, max_new_tokens: 5, ..request };
            let children = decoder.decode(&request, &uniform, &Free).unwrap();
            children.into_iter().map(|of_state| of_state.into_iter().map(|child| child.tokens).collect()).collect()
        };
        let (distinct, plain) = (texts(on_gpu(), true), texts(on_gpu(), false));
        assert_eq!(distinct, texts(Decoder::reference(&model), true));
        let in_one_wave = distinct.iter().zip(&plain).filter(|(distinct, plain)| distinct == plain).count();
        assert!(in_one_wave > 1 && in_one_wave < 5, "{in_one_wave} of 5 states needed one wave only");
    }
}
