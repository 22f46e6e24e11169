//! Writes children token by token, for any source of logits.

use rayon::prelude::*;
use sr_cpu::{Next, PromptCache, Siblings, Weights};

use super::{Constraint, DecodeRequest, Sample, Uniform};
use crate::Error;
use crate::sample::{Candidate, Choice, Dead};
use crate::taken::{Node, Taken, Walk};

/// The way in which the next token of a child is chosen.
pub(super) struct Sampler<'a, G: Constraint> {
    pub(super) request: &'a DecodeRequest<'a>,
    pub(super) uniform: &'a Uniform<'a>,
    pub(super) grammar: &'a G,
}

/// A child that is being written.
pub(super) struct Growing<'t, G: Constraint> {
    pub(super) state: usize,
    pub(super) sibling: usize,
    pub(super) sample: Sample,
    pub(super) grammar: G::Child,
    /// Its place among the texts taken so far, if texts must differ.
    pub(super) walk: Option<Walk<'t>>,
    /// The step of its first random number.
    pub(super) first_draw: usize,
    /// The token that it reads next.
    pub(super) next: i32,
    pub(super) feature: i32,
}

/// Reusable memory for a choice.
#[derive(Default)]
pub(super) struct Scratch {
    pub(super) allowed: Vec<bool>,
    pub(super) candidates: Vec<Candidate>,
}

impl<G: Constraint> Sampler<'_, G> {
    pub(super) fn child<'t>(
        &self,
        state: usize,
        sibling: usize,
        walk: Option<Walk<'t>>,
        first_draw: usize,
    ) -> Growing<'t, G> {
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

    /// Returns the children of some states, in order. `write` receives children of each state and writes them to their
    /// ends: once, or in waves if they must be distinct.
    pub(super) fn siblings(
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

    /// Returns children as [`siblings`](Self::siblings) does, sampled without replacement.
    ///
    /// The children of a wave are independent: each is drawn from the texts not taken before the wave. Then, in the
    /// order of siblings, the first occurrence of each text is taken, and repeats are dropped. This is sampling without
    /// replacement: drawing from what is left equals drawing from all texts until one comes that is not taken. So texts
    /// in the order of their first occurrence have one distribution, wherever waves end.
    ///
    /// That order is the order of the result: taken texts move up to the first free places, and the remaining places
    /// are drawn in the next wave, with new random numbers. If each place waited for its own new draw instead, texts
    /// drawn for later places would be missing from it, and only the first sibling would have the right distribution.
    ///
    /// The first child of a wave is always taken, so a state needs no more waves than siblings. A state's texts depend
    /// only on the draws of its own children.
    pub(super) fn distinct_siblings(
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

    /// Returns the children of a state to write in a wave, given the texts taken and found before it.
    pub(super) fn wave<'t>(
        &self,
        state: usize,
        wave: usize,
        taken: &'t Taken,
        found: &[Sample],
    ) -> Vec<Growing<'t, G>> {
        let mut places = found.len()..self.request.siblings[state];
        if taken.is_exhausted() {
            places.end = places.start;
        } else if self.request.sampling().is_greedy() {
            // In greedy mode all children of a wave would be the same.
            places.end = places.end.min(places.start + 1);
        }
        let first_draw = wave.saturating_mul(self.request.max_new_tokens);
        places.map(|sibling| self.child(state, sibling, Some(Walk::new(taken)), first_draw)).collect()
    }

    /// Computes which tokens may come next in a child, one entry per token of the vocabulary.
    pub(super) fn mask(&self, child: &Growing<'_, G>, allowed: &mut [bool]) {
        allowed.fill(true);
        self.grammar.mask(child.state, &child.grammar, allowed);
    }

    /// Chooses a child's next token among the candidates, see [`Sampling::choose`](crate::sample::Sampling::choose).
    pub(super) fn choose(
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
    pub(super) fn write(
        &self,
        weights: &Weights,
        children: &mut [(&PromptCache, &mut Growing<'_, G>)],
    ) -> Result<(), Error> {
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
