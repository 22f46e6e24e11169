//! Writes children token by token, for any source of logits.

use std::collections::HashSet;
use std::ops::Range;

use rayon::prelude::*;
use sr_cpu::{Growth, Next, Prefixes, PromptCache, Siblings, Weights};

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
    /// The number of the prefix before that token, where siblings share prefixes.
    pub(super) prefix: u32,
}

/// The children of a prompt, or some of them, and the prefixes that they share.
pub(super) struct Stem<'a, 't, G: Constraint> {
    pub(super) prompt: &'a PromptCache,
    pub(super) prefixes: &'a mut Prefixes,
    pub(super) children: &'a mut [Growing<'t, G>],
}

/// The siblings of a state that begin with one token.
struct Group {
    /// The index of this group's state.
    state: usize,
    start: i32,
    /// Their numbers among all siblings of the state.
    places: Range<usize>,
    taken: Taken,
    found: Vec<Sample>,
    /// The number of texts drawn so far.
    drawn: usize,
}

/// What a state has found, for what must not be found again.
#[derive(Default)]
struct Met {
    texts: HashSet<Vec<i32>>,
    identities: HashSet<u64>,
}

impl<G: Constraint> Sampler<'_, G> {
    fn child<'t>(
        &self,
        (state, start): (usize, i32),
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
            next: start,
            feature: (self.request.feature)(&[]),
            prefix: Prefixes::NONE,
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
        let child = |state| move |sibling| self.child((state, self.request.start_of(state, sibling)), sibling, None, 0);
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
    /// in the order of their first occurrence have one distribution, wherever waves end. Those that are not wanted, or
    /// the same child as one before, are left out of that order.
    ///
    /// It is the order of the result: wanted texts move up to the first free places, and the remaining places are
    /// drawn in the next wave, with new random numbers. If each place waited for its own new draw instead, texts drawn
    /// for later places would be missing from it, and only the first sibling would have the right distribution. A wave
    /// may draw more texts than there are places; once all are filled, the rest is dropped.
    ///
    /// The first child of a wave is always taken, so without texts to leave out a state needs no more waves than
    /// siblings. A state's texts depend only on the draws of its own children.
    fn distinct_siblings(
        &self,
        states: &[usize],
        mut write: impl FnMut(&mut [Vec<Growing<'_, G>>]) -> Result<(), Error>,
    ) -> Result<Vec<Vec<Sample>>, Error> {
        let eos = self.request.eos;
        let sampling = self.request.sampling();
        let mut all: Vec<(Vec<Group>, Met)> =
            states.iter().map(|&state| (self.groups(state), Met::default())).collect();
        let waves = if sampling.is_greedy() { usize::MAX } else { DecodeRequest::MAX_WAVES };
        for wave in 0..waves {
            let of_state = |(groups, _): &(Vec<Group>, Met)| -> Vec<(usize, usize)> {
                let drawn = groups.iter().map(|group| self.n_draws(group)).enumerate();
                drawn.flat_map(|(group, draws)| std::iter::repeat_n(group, draws).enumerate()).collect()
            };
            let draws: Vec<Vec<(usize, usize)>> = all.iter().map(of_state).collect();
            if draws.iter().all(Vec::is_empty) {
                break;
            }
            let mut children: Vec<Vec<Growing<'_, G>>> = Vec::with_capacity(all.len());
            for ((groups, _), draws) in all.iter().zip(&draws) {
                children.push(draws.iter().map(|&(nth, group)| self.in_wave(wave, nth, &groups[group])).collect());
            }
            write(&mut children)?;
            let written = |child: Growing<'_, G>| (child.sample, child.walk.map_or(vec![], Walk::into_fresh));
            let written: Vec<Vec<(Sample, Vec<Node>)>> =
                children.into_iter().map(|of_state| of_state.into_iter().map(written).collect()).collect();
            all.par_iter_mut().zip(draws).zip(written).for_each(|(((groups, met), draws), written)| {
                let is_one = groups.len() == 1;
                for ((_, group), (sample, fresh)) in draws.into_iter().zip(written) {
                    let group = &mut groups[group];
                    if group.found.len() == group.places.len() {
                        continue;
                    }
                    group.drawn += 1;
                    let end = sample.finished.then_some(eos);
                    let text: Vec<i32> = sample.tokens.iter().copied().chain(end).collect();
                    let is_new = group.taken.take(&text, fresh, sampling) && (is_one || met.texts.insert(text));
                    if is_new && self.is_wanted(group.state, &sample, met) {
                        group.found.push(sample);
                    }
                }
            });
        }
        let fill = |(groups, _): (Vec<Group>, Met)| {
            let filled = groups.into_iter().flat_map(|mut group| {
                group.found.resize(group.places.len(), Sample::default());
                group.found
            });
            // What no group has found stands at the end.
            let (missing, mut found): (Vec<Sample>, Vec<Sample>) = filled.partition(Sample::is_missing);
            found.extend(missing);
            found
        };
        Ok(all.into_iter().map(fill).collect())
    }

    /// Returns the n-th child of a group in a wave, which differs from all texts taken before the wave.
    fn in_wave<'t>(&self, wave: usize, nth: usize, group: &'t Group) -> Growing<'t, G> {
        let first_draw = wave.saturating_mul(self.request.max_new_tokens);
        let sibling = group.sibling(nth, self.request.siblings[group.state]);
        self.child((group.state, group.start), sibling, Some(Walk::new(&group.taken)), first_draw)
    }

    /// Returns whether a text may be a sibling, and notes it: it is neither refused nor the same child as one before.
    fn is_wanted(&self, state: usize, sample: &Sample, met: &mut Met) -> bool {
        match self.request.identity {
            None => true,
            Some(identity) => identity(state, sample).is_some_and(|identity| met.identities.insert(identity)),
        }
    }

    fn groups(&self, state: usize) -> Vec<Group> {
        let starts: Vec<i32> =
            (0..self.request.siblings[state]).map(|sibling| self.request.start_of(state, sibling)).collect();
        let mut end = 0;
        let groups = starts.chunk_by(|a, b| a == b).map(|same| {
            let places = end..end + same.len();
            end = places.end;
            Group { state, start: same[0], places, taken: Taken::default(), found: Vec::new(), drawn: 0 }
        });
        groups.collect()
    }

    /// Returns the number of texts to draw for a group in the next wave: as many as are likely to fill its free places,
    /// and no more than it has places.
    fn n_draws(&self, group: &Group) -> usize {
        let free = group.places.len() - group.found.len();
        if group.taken.is_exhausted() {
            return 0;
        }
        if self.request.sampling().is_greedy() {
            return free.min(1); // all children of a wave would be the same
        }
        if self.request.identity.is_none() {
            return free; // repeats are rare
        }
        let needed = (free * group.drawn).div_ceil(group.found.len().max(1));
        needed.clamp(free, group.places.len())
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
        candidates: &mut Vec<Candidate>,
        log_total_of_all: Option<f64>,
    ) -> Result<(), Error> {
        let sampling = self.request.sampling();
        let Growing { state, sibling, prefix, .. } = *child;
        let (step, uniform) = (child.sample.tokens.len(), self.next_uniform(child));
        let choice = match &mut child.walk {
            None => sampling.choose(candidates, log_total_of_all, uniform),
            Some(walk) => walk.choose(sampling, candidates, log_total_of_all, uniform, prefix),
        };
        let choice = choice.map_err(|dead| match dead {
            Dead::NoLegalToken => Error::NoLegalToken { state, sibling, step },
            Dead::NotFinite => Error::NotFinite { state, sibling, step },
        })?;
        self.append(child, choice);
        Ok(())
    }

    fn next_uniform(&self, child: &Growing<'_, G>) -> f64 {
        (self.uniform)(child.state, child.sibling, child.first_draw + child.sample.tokens.len())
    }

    fn append(&self, child: &mut Growing<'_, G>, Choice { token, log_prob, log_legal }: Choice) {
        let token = token as i32;
        child.sample.log_prob += log_prob as f32;
        child.sample.log_legal += log_legal as f32;
        child.next = token;
        if token == self.request.eos {
            child.sample.finished = true;
            return;
        }
        child.sample.tokens.push(token);
        self.grammar.advance(child.state, &mut child.grammar, token);
        child.feature = (self.request.feature)(&child.sample.tokens);
    }

    /// Returns whether a child is written to its end.
    fn is_done(&self, child: &Growing<'_, G>) -> bool {
        child.sample.finished || child.sample.tokens.len() >= self.request.max_new_tokens
    }

    /// Writes a child as far as it follows texts that were taken, for which nothing has to be computed.
    fn follow(&self, child: &mut Growing<'_, G>) {
        while !self.is_done(child) {
            let Some(mut walk) = child.walk.take() else { return };
            let followed = walk.follow(self.request.sampling(), || self.next_uniform(child));
            child.walk = Some(walk);
            let Some((choice, prefix)) = followed else { return };
            child.prefix = prefix;
            self.append(child, choice);
        }
    }

    /// Writes children to their ends on this thread. A prefix that several of them share is computed once.
    pub(super) fn write(&self, weights: &Weights, stems: &mut [Stem<'_, '_, G>]) -> Result<(), Error> {
        let mut siblings = Siblings::new(weights);
        let vocabulary = weights.shape().vocabulary;
        let (mut next, mut row_of) = (Vec::new(), Vec::new());
        let (mut allowed, mut of_row, mut candidates) = (vec![true; vocabulary], Vec::new(), Vec::new());
        stems.iter_mut().flat_map(|stem| &mut *stem.children).for_each(|child| self.follow(child));
        loop {
            self.request.check_stop()?;
            next.clear();
            row_of.clear();
            let mut growths: Vec<Growth<'_>> = Vec::with_capacity(stems.len());
            for Stem { prompt, prefixes, children } in stems.iter_mut() {
                let first = next.len();
                for child in children.iter().filter(|child| !self.is_done(child)) {
                    let of_child = Next {
                        prefix: child.prefix,
                        token: child.next,
                        position: (self.request.prompts[child.state].next_position() + child.sample.tokens.len())
                            as i32,
                        feature: child.feature,
                    };
                    let row = next[first..].iter().position(|next| *next == of_child);
                    row_of.push(first + row.unwrap_or(next.len() - first));
                    if row.is_none() {
                        next.push(of_child);
                    }
                }
                growths.push(Growth { prompt, prefixes, n_new: next.len() - first });
            }
            if next.is_empty() {
                return Ok(());
            }
            let numbers: Vec<u32> = growths
                .iter()
                .flat_map(|growth| {
                    let first = growth.prefixes.len();
                    (first..first + growth.n_new).map(|number| number as u32)
                })
                .collect();
            let logits = siblings.advance(&mut growths, &next);
            let live = stems.iter_mut().flat_map(|stem| &mut *stem.children).filter(|child| !self.is_done(child));
            let mut row_before = None;
            let mut log_total_of_all = None;
            for (child, &row) in live.zip(&row_of) {
                // Children with one prefix have the same candidates.
                if row_before != Some(row) {
                    let logits = &logits[row * vocabulary..][..vocabulary];
                    self.mask(child, &mut allowed);
                    of_row.clear();
                    let legal = (0..vocabulary).filter(|&id| allowed[id]);
                    of_row.extend(legal.map(|id| Candidate::new(id, logits[id])));
                    let is_free = of_row.len() == vocabulary;
                    log_total_of_all = (!is_free).then(|| f64::from(sr_cpu::log_sum_exp(logits)));
                    row_before = Some(row);
                }
                candidates.clone_from(&of_row);
                child.prefix = numbers[row];
                self.choose(child, &mut candidates, log_total_of_all)?;
            }
        }
    }
}

impl Group {
    /// Returns the number, for random draws, of the n-th text of the next wave: that of the free place, and for texts
    /// beyond the places one that no other group has.
    fn sibling(&self, nth: usize, n_siblings: usize) -> usize {
        let place = self.places.start + self.found.len() + nth;
        match place.checked_sub(self.places.end) {
            None => place,
            Some(beyond) => n_siblings * (1 + beyond) + self.places.start,
        }
    }
}
