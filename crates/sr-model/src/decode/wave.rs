//! Decodes states of one shape together on the tensor framework.

use std::collections::BTreeMap;

use burn::tensor::{Int, Tensor, TensorData};
use rayon::prelude::*;

use super::sampler::{Growing, Sampler};
use super::{Constraint, DecodeRequest, Decoder, Prompt};
use crate::batch::check_ids;
use crate::sample::Candidate;
use crate::visibility::{Bias, HIDDEN};
use crate::{Error, PointBatch, Points};

/// Prompts are padded to multiples of this many tokens.
pub(super) const PROMPT_TILE: usize = 32;
/// Siblings are padded to multiples of this. Two rows or more avoid the vector kernels, which round differently.
pub(super) const SIBLING_TILE: usize = 4;
/// The cache grows by this many steps at a time, which balances copying it and attending to empty slots.
pub(super) const STEP_TILE: usize = 8;

/// The sizes that shape the arithmetic of a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Shape {
    /// The number of prompt tokens, padded.
    pub(super) prompt: usize,
    /// The number of siblings, padded.
    pub(super) siblings: usize,
    pub(super) has_points: bool,
}

impl Shape {
    pub(super) fn of(prompt: &Prompt, siblings: usize) -> Self {
        Self {
            prompt: prompt.tokens.len().max(1).next_multiple_of(PROMPT_TILE),
            siblings: siblings.next_multiple_of(SIBLING_TILE),
            has_points: prompt.points.is_some(),
        }
    }

    /// Merges the shapes of all states with points, and of all without: on a GPU padding is cheaper than another wave.
    pub(super) fn merge(shapes: BTreeMap<Shape, Vec<usize>>) -> BTreeMap<Shape, Vec<usize>> {
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

/// The unfinished children of a state, each with its lane of the `K` in a [`Wave`].
pub(super) type Lanes<'c, 't, G> = Vec<(usize, &'c mut Growing<'t, G>)>;

/// States of one shape that are decoded together. Dimensions: `S` live states, `K` siblings, `P` prompt keys (points
/// and padding included).
#[derive(Clone)]
pub(super) struct Wave<'a> {
    pub(super) decoder: &'a Decoder,
    pub(super) request: &'a DecodeRequest<'a>,
    /// For each live state its index in the request.
    pub(super) states: Vec<usize>,
    /// The number of siblings, `K`.
    pub(super) siblings: usize,
    /// The number of prompt keys, `P`.
    pub(super) prompt_keys: usize,
    /// The number of prompt keys that are points.
    pub(super) prefix: usize,
    /// Keys and values of each block, `[S, H, P + K·steps, C/H]`: the prompt, then for each step its K siblings.
    pub(super) caches: Vec<(Tensor<4>, Tensor<4>)>,
    /// The number of steps that the caches have room for.
    pub(super) room: usize,
    /// The bias of the prompts, `[S, 1, 1, P]`.
    pub(super) bias: Tensor<4>,
    /// `[S, K]`: the token that each sibling reads next.
    pub(super) last: Vec<i32>,
    /// `[S, K]`: the feature of that token.
    pub(super) features: Vec<i32>,
}

impl<'a> Wave<'a> {
    /// Encodes the prompts.
    pub(super) fn prefill(
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
            // The last block only needs keys and values.
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

    /// Returns this wave as it was before its first step, with only the states that have children to write. The number
    /// of lanes stays, even if fewer are needed: it shapes the arithmetic and must not depend on other states. On a
    /// GPU, where rounding may differ, it shrinks to what is needed.
    pub(super) fn again<G: Constraint>(&self, children: &[Vec<Growing<'_, G>>]) -> Self {
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
    pub(super) fn write<G: Constraint>(
        mut self,
        sampler: &Sampler<'_, G>,
        children: &mut [Vec<Growing<'_, G>>],
    ) -> Result<(), Error> {
        let of_states = children.iter_mut().filter(|of_state| !of_state.is_empty());
        let mut rows: Vec<Lanes<'_, '_, G>> =
            of_states.map(|of_state| of_state.iter_mut().enumerate().collect()).collect();
        for (row, lanes) in rows.iter().enumerate() {
            lanes.iter().for_each(|(lane, child)| self.last[row * self.siblings + lane] = child.next);
        }
        for step in 0..self.request.max_new_tokens {
            let logits = self.advance(step)?;
            if !self.sample(logits, sampler, &mut rows)? {
                break;
            }
        }
        Ok(())
    }

    /// Feeds the last tokens and returns the next logits, `[S, K, vocab_size]`. A GPU may still be computing them.
    pub(super) fn advance(&mut self, step: usize) -> Result<Tensor<3>, Error> {
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
            // This works in place as long as nothing else holds the cache, so the cache is cloned only for the
            // attention.
            keys.inplace(|keys| keys.slice_assign([0..s, 0..h, slots.clone(), 0..d], key));
            values.inplace(|values| values.slice_assign([0..s, 0..h, slots.clone(), 0..d], value));
            let context = model.attend(q, keys.clone(), values.clone(), bias.of(model.config().attention(i)));
            x = block.finish(model, x, context);
        }
        Ok(model.product(model.final_norm(x), self.decoder.head.clone()))
    }

    /// Returns the bias of each sibling at `step`, `[S, 1, K, P + K·steps]`: it sees the prompt and its own tokens so
    /// far.
    pub(super) fn bias(&self, step: usize) -> Tensor<4> {
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

    /// Returns a bias that hides the keys out of reach of local attention at `step`, `[S, 1, 1, P + K·steps]`: all
    /// siblings of a state have the same position, and each slot of the cache has one too.
    pub(super) fn outside(&self, window: usize, step: usize) -> Tensor<4> {
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
    pub(super) fn grow(&mut self) {
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

    /// Chooses the next tokens of `rows`, the unfinished children of each live state, from `logits`. Returns false once
    /// all are done.
    pub(super) fn sample<G: Constraint>(
        &mut self,
        logits: Tensor<3>,
        sampler: &Sampler<'_, G>,
        rows: &mut Vec<Lanes<'_, '_, G>>,
    ) -> Result<bool, Error> {
        let (vocabulary, k) = (logits.dims()[2], self.siblings);
        let cells = rows.iter_mut().enumerate();
        let mut writing: Vec<(usize, &mut Growing<'_, G>)> = cells
            .flat_map(|(row, lanes)| lanes.iter_mut().map(move |(lane, child)| (row * k + *lane, &mut **child)))
            .collect();
        // The allowed tokens follow from the text so far. They are computed while the device computes the logits, and
        // only their logits are read.
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
            sampler.choose(child, candidates, log_total_of_all)
        })?;
        for (cell, child) in writing {
            (self.last[cell], self.features[cell]) = (child.next, child.feature);
        }
        rows.iter_mut().for_each(|lanes| lanes.retain(|(_, child)| !child.sample.finished));
        let live = rows.iter().filter(|lanes| !lanes.is_empty()).count();
        let widest = rows.iter().map(Vec::len).max().unwrap_or(0);
        // Copying the cache costs about a step, so finished lanes are dropped only if that halves the remaining work.
        // Fewer lanes are another shape with other rounding, which may depend on the rest of the batch only on a GPU.
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

    /// Continues with these lanes of these rows only, padded to an equal number of lanes.
    pub(super) fn keep(&mut self, kept: &[(usize, Vec<usize>)]) {
        let device = self.decoder.model.device();
        let (k, p, room) = (self.siblings, self.prompt_keys, self.room);
        let lanes = kept.iter().map(|(_, lanes)| lanes.len()).max().unwrap_or(0).next_multiple_of(SIBLING_TILE).min(k);
        // Padding lanes repeat a real one.
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

/// Returns the logits `[S, K, V]` of some tokens, followed by the logarithm of the sum of exp(logit) over all tokens.
pub(super) fn some_and_total(logits: Tensor<3>, ids: &[usize]) -> Tensor<3> {
    let at = TensorData::new(ids.iter().map(|&id| id as i32).collect(), [ids.len()]);
    let some = logits.clone().select(2, Tensor::<1, Int>::from_data(at, &logits.device()));
    let highest = logits.clone().max_dim(2);
    let total = (logits - highest.clone()).exp().sum_dim(2).log() + highest;
    Tensor::cat(vec![some, total], 2)
}
