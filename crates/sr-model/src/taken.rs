//! The texts that were already drawn from a state, so that no other child repeats them.
//!
//! This is incremental sampling without replacement (Shi, Bieber & Sutton, ICML 2020): a trie of the taken texts stores
//! what share of the probability is left below each prefix, and a token's probability is multiplied by what is left
//! below it.
//!
//! Shares are stored as logarithms and summed from what is left, never subtracted from 1: even if a model puts all but
//! 1e-300 on one text, the rest is drawn correctly. At temperature 0, the limit, the sum of the shares becomes their
//! maximum, and a share's logarithm is the difference between a token's logit and the likeliest one's.

use crate::sample::{Candidate, Choice, Dead, Sampling, Sums, pick};

/// The texts taken from one state: a trie of their tokens, including the end token.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// The nodes; the first one is the root. A prefix has a node if a text that begins with it was taken.
    nodes: Vec<Node>,
    /// Whether there was something to draw from, and nothing of it is left.
    is_exhausted: bool,
}

/// A prefix and the tokens that may follow.
#[derive(Debug)]
pub(crate) struct Node {
    /// The logarithm of the sum of shares before any text is taken; at temperature 0, of their maximum.
    log_total: f64,
    /// The tokens to draw from, in the order of the draw.
    branches: Vec<Branch>,
    /// The log-probability of all legal tokens together, as in [`Choice`].
    log_legal: f64,
    /// Where the decoder keeps this prefix, so that no text has to compute it again.
    place: u32,
}

#[derive(Debug, Clone, Copy)]
struct Branch {
    token: usize,
    /// The logarithm of its share relative to the likeliest token, ≤ 0.
    log_share: f64,
    /// The logarithm of what is left of its share: 0 for all, -∞ for nothing.
    log_left: f64,
    /// Its log-probability, as in [`Choice`].
    log_prob: f64,
    /// The node of the prefix with this token.
    next: Option<usize>,
}

impl Node {
    /// Returns the node of the candidates that [`Sampling::cut`] has kept, given the sums of all candidates.
    fn new(candidates: &[Candidate], sums: &Sums, sampling: Sampling, place: u32) -> Self {
        let branch = |candidate: &Candidate| Branch {
            token: candidate.id,
            log_share: (candidate.logit - sums.highest()) / sampling.divisor(),
            log_left: 0.0,
            log_prob: sums.choice(candidate).log_prob,
            next: None,
        };
        let log_legal = candidates.first().map_or(0.0, |first| sums.choice(first).log_legal);
        let branches = candidates.iter().map(branch).collect();
        let mut node = Node { log_total: 0.0, branches, log_legal, place };
        node.log_total = node.log_left(sampling);
        node
    }

    fn highest(&self) -> f64 {
        self.branches.iter().map(|branch| branch.log_share + branch.log_left).fold(f64::NEG_INFINITY, f64::max)
    }

    /// Returns the logarithm of the share of this prefix that is left, ≤ 0 except for rounding. The cost is the number
    /// of branches.
    fn log_left(&self, sampling: Sampling) -> f64 {
        let highest = self.highest();
        if sampling.is_greedy() || highest == f64::NEG_INFINITY {
            return highest - self.log_total;
        }
        highest + libm::log(self.masses(highest).sum::<f64>()) - self.log_total
    }

    /// Returns what is left of each branch, relative to `exp(highest)`.
    fn masses(&self, highest: f64) -> impl Iterator<Item = f64> + Clone {
        self.branches.iter().map(move |branch| libm::exp(branch.log_share + branch.log_left - highest))
    }

    /// Draws a branch at `uniform` in [0, 1), among those of which something is left. There is one, because a walk only
    /// follows such branches.
    fn draw(&self, sampling: Sampling, uniform: f64) -> &Branch {
        let highest = self.highest();
        debug_assert!(highest > f64::NEG_INFINITY, "something is left");
        let drawn = if sampling.is_greedy() {
            self.branches.iter().position(|branch| branch.log_share + branch.log_left == highest)
        } else {
            pick(self.masses(highest), uniform)
        };
        &self.branches[drawn.expect("something is left")]
    }
}

/// A text that is being written, different from all texts taken.
#[derive(Debug)]
pub(crate) struct Walk<'t> {
    taken: &'t Taken,
    /// Its node among those of `taken`, as long as it follows a taken text.
    node: Option<usize>,
    /// The nodes of its further prefixes: once it leaves the trie, it never comes back.
    fresh: Vec<Node>,
}

impl<'t> Walk<'t> {
    /// Returns a walk that starts at the root.
    pub(crate) fn new(taken: &'t Taken) -> Self {
        Walk { taken, node: (!taken.nodes.is_empty()).then_some(0), fresh: Vec::new() }
    }

    /// Chooses a token, as [`choose`](Self::choose) does, where the prefix is one of a taken text. Returns it with the
    /// place of the prefix, or `None` where logits are needed.
    pub(crate) fn follow(&mut self, sampling: Sampling, uniform: impl FnOnce() -> f64) -> Option<(Choice, u32)> {
        let node = &self.taken.nodes[self.node?];
        let branch = node.draw(sampling, uniform());
        self.node = branch.next;
        let choice = Choice { token: branch.token, log_prob: branch.log_prob, log_legal: node.log_legal };
        Some((choice, node.place))
    }

    /// Chooses a token as [`Sampling::choose`] does, among what is left. While nothing is taken, it chooses the same
    /// tokens. `place` is where the decoder keeps the prefix.
    pub(crate) fn choose(
        &mut self,
        sampling: Sampling,
        candidates: &mut Vec<Candidate>,
        log_total_of_all: Option<f64>,
        uniform: f64,
        place: u32,
    ) -> Result<Choice, Dead> {
        let sums = Sums::of(candidates, log_total_of_all)?;
        let node = match self.node {
            // The shares of the first visit count, so that rounding, which may differ from lane to lane, neither adds
            // to what is left nor takes from it.
            Some(node) => &self.taken.nodes[node],
            None => {
                sampling.cut(candidates, sums.highest());
                self.fresh.push(Node::new(candidates, &sums, sampling, place));
                self.fresh.last().expect("just pushed")
            }
        };
        let branch = node.draw(sampling, uniform);
        self.node = branch.next;
        let chosen = candidates.iter().find(|candidate| candidate.id == branch.token);
        Ok(sums.choice(chosen.expect("a prefix has the same legal tokens every time")))
    }

    /// Returns the nodes for [`Taken::take`].
    pub(crate) fn into_fresh(self) -> Vec<Node> {
        self.fresh
    }
}

impl Taken {
    /// Returns whether every text that could be drawn is taken.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.is_exhausted
    }

    /// Takes a text, including the end token if it has one. Returns false, without a change, if it is taken already.
    ///
    /// `fresh` must be the nodes of the text's walk. The cost is its length times the branches of a node.
    pub(crate) fn take(&mut self, text: &[i32], fresh: Vec<Node>, sampling: Sampling) -> bool {
        // Another lane may have added some of the prefixes first; then its nodes are kept and those here are dropped.
        let known = text.len() - fresh.len();
        let mut fresh = fresh.into_iter();
        let mut path: Vec<(usize, usize)> = Vec::with_capacity(text.len());
        for (depth, &token) in text.iter().enumerate() {
            let own = if depth < known { None } else { fresh.next() };
            let there = match path.last() {
                Some(&(node, branch)) => self.nodes[node].branches[branch].next,
                None => (!self.nodes.is_empty()).then_some(0),
            };
            let node = there.unwrap_or_else(|| {
                self.nodes.push(own.expect("a walk has a node of each prefix that is not known"));
                let node = self.nodes.len() - 1;
                if let Some(&(parent, branch)) = path.last() {
                    self.nodes[parent].branches[branch].next = Some(node);
                }
                node
            });
            let branch = self.nodes[node].branches.iter().position(|branch| branch.token == token as usize);
            // If lanes round differently, the node of another lane may lack a token at the edge of top-k or top-p. Such
            // a text counts as not drawn.
            let Some(branch) = branch else { return false };
            path.push((node, branch));
        }
        if path.last().is_none_or(|&(node, branch)| self.nodes[node].branches[branch].log_left == f64::NEG_INFINITY) {
            return false;
        }
        let mut log_left = f64::NEG_INFINITY;
        for (node, branch) in path.into_iter().rev() {
            self.nodes[node].branches[branch].log_left = log_left;
            log_left = self.nodes[node].log_left(sampling);
        }
        self.is_exhausted = log_left == f64::NEG_INFINITY;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const PLAIN: Sampling = Sampling { temperature: 1.0, top_k: None, top_p: None };
    const EOS: i32 = 0;
    /// The most tokens of a text: 13 texts have an end, 27 are cut off.
    const MOST: usize = 3;

    /// Returns a number in [0, 1) that depends on a key.
    fn hash(key: u64) -> f64 {
        let mut z = key.wrapping_add(0x9e37_79b9_7f4a_7c15);
        for _ in 0..3 {
            z = (z ^ (z >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        }
        (z >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Returns the logits of a model of four tokens after a prefix, at most `scale` apart.
    fn logits(prefix: &[i32], scale: f64) -> Vec<f32> {
        let at = prefix.iter().fold(1, |at, &token| 4 * at + token as u64);
        (0..4).map(|token| (scale * hash(100 * at + token)) as f32).collect()
    }

    fn candidates(prefix: &[i32], scale: f64) -> Vec<Candidate> {
        logits(prefix, scale).into_iter().enumerate().map(|(id, logit)| Candidate::new(id, logit)).collect()
    }

    fn is_whole(text: &[i32]) -> bool {
        text.last() == Some(&EOS) || text.len() == MOST
    }

    /// Returns a text with the tokens that `choose` returns for each prefix.
    fn write(mut choose: impl FnMut(&[i32], f64) -> Choice, seed: u64) -> Vec<i32> {
        let mut text = Vec::new();
        while !is_whole(&text) {
            let uniform = hash(seed * MOST as u64 + text.len() as u64);
            text.push(choose(&text, uniform).token as i32);
        }
        text
    }

    /// Returns a text that was not taken, and the nodes of its walk.
    fn walk(taken: &Taken, sampling: Sampling, scale: f64, seed: u64) -> (Vec<i32>, Vec<Node>) {
        let mut walk = Walk::new(taken);
        let choose = |prefix: &[i32], uniform| {
            walk.choose(sampling, &mut candidates(prefix, scale), None, uniform, 0).expect("a choice")
        };
        (write(choose, seed), walk.into_fresh())
    }

    /// Returns the next text without replacement.
    fn next(taken: &mut Taken, sampling: Sampling, scale: f64, seed: u64) -> Vec<i32> {
        let (text, fresh) = walk(taken, sampling, scale, seed);
        assert!(taken.take(&text, fresh, sampling), "{text:?} is new");
        text
    }

    /// Returns the logarithm of the mass of every text; at temperature 0, the sum of its logit differences. It does not
    /// use [`Sampling`].
    fn all_texts(sampling: Sampling, scale: f64) -> BTreeMap<Vec<i32>, f64> {
        let divisor = if sampling.temperature == 0.0 { 1.0 } else { sampling.temperature };
        let (mut whole, mut begun) = (BTreeMap::new(), vec![(Vec::new(), 0.0)]);
        while let Some((text, log_mass)) = begun.pop() {
            if is_whole(&text) {
                whole.insert(text, log_mass);
                continue;
            }
            let weights: Vec<f64> = logits(&text, scale).iter().map(|&logit| f64::from(logit) / divisor).collect();
            let highest = weights.iter().fold(f64::NEG_INFINITY, |a, &b| a.max(b));
            let mut order: Vec<usize> = (0..4).collect();
            order.sort_by(|&a, &b| weights[b].total_cmp(&weights[a]));
            order.truncate(sampling.top_k.unwrap_or(4));
            let total = |tokens: &[usize]| tokens.iter().map(|&token| (weights[token] - highest).exp()).sum::<f64>();
            let holds = |n: &usize| sampling.top_p.is_some_and(|p| total(&order[..*n]) >= p * total(&order));
            let fewest = (1..order.len()).find(holds);
            order.truncate(fewest.unwrap_or(order.len()));
            let log_total = if sampling.temperature == 0.0 { 0.0 } else { total(&order).ln() };
            for token in order {
                let more = weights[token] - highest - log_total;
                begun.push(([&text[..], &[token as i32]].concat(), log_mass + more));
            }
        }
        whole
    }

    /// Returns the excess of Pearson's statistic of counts over its degrees of freedom, in standard deviations.
    fn excess(counts: &BTreeMap<Vec<Vec<i32>>, f64>, expected: &BTreeMap<Vec<Vec<i32>>, f64>) -> f64 {
        assert!(counts.keys().all(|key| expected.contains_key(key)), "nothing that cannot be");
        let (mut statistic, mut cells) = (0.0, 0.0);
        let mut rare = (0.0, 0.0);
        for (key, &expected) in expected {
            let count = counts.get(key).copied().unwrap_or(0.0);
            if expected < 10.0 {
                rare = (rare.0 + count, rare.1 + expected);
            } else {
                statistic += (count - expected).powi(2) / expected;
                cells += 1.0;
            }
        }
        statistic += if rare.1 > 0.0 { (rare.0 - rare.1).powi(2) / rare.1 } else { 0.0 };
        (statistic - cells) / (2.0 * f64::max(cells, 1.0)).sqrt()
    }

    #[test]
    fn pairs_have_the_probabilities_of_sampling_without_replacement() {
        let samplings = [
            PLAIN,
            Sampling { temperature: 0.5, ..PLAIN },
            Sampling { top_k: Some(2), ..PLAIN },
            Sampling { temperature: 1.5, top_p: Some(0.8), ..PLAIN },
        ];
        for sampling in samplings {
            let texts = all_texts(sampling, 4.0);
            assert!((texts.values().map(|log_mass| log_mass.exp()).sum::<f64>() - 1.0).abs() < 1e-12);
            let seeds = 20_000;
            let mut expected = BTreeMap::new();
            for (first, p) in texts.iter().map(|(text, log_mass)| (text, log_mass.exp())) {
                for (second, q) in texts.iter().filter(|(text, _)| *text != first) {
                    expected.insert(vec![first.clone(), second.clone()], f64::from(seeds) * p * q.exp() / (1.0 - p));
                }
            }
            let mut counts = BTreeMap::new();
            for seed in 0..seeds as u64 {
                let mut taken = Taken::default();
                let pair = (0..2).map(|k| next(&mut taken, sampling, 4.0, 2 * seed + k)).collect();
                *counts.entry(pair).or_insert(0.0) += 1.0;
            }
            let excess = excess(&counts, &expected);
            assert!(excess.abs() < 4.0, "{sampling:?}: {excess} standard deviations");
        }
    }

    #[test]
    fn while_nothing_is_taken_texts_are_those_of_plain_sampling() {
        for (scale, top_p) in [(1.0, None), (9.0, None), (3.0, Some(0.9))] {
            for seed in 0..500 {
                let sampling = Sampling { temperature: 0.8, top_p, ..PLAIN };
                let choose = |prefix: &[i32], uniform| {
                    sampling.choose(&mut candidates(prefix, scale), None, uniform).expect("a choice")
                };
                assert_eq!(walk(&Taken::default(), sampling, scale, seed).0, write(choose, seed));
            }
        }
    }

    #[test]
    fn a_text_is_taken_once() {
        let mut taken = Taken::default();
        // Two walks start from one trie and have nodes of the same prefixes.
        let first = walk(&taken, PLAIN, 4.0, 1);
        let again = walk(&taken, PLAIN, 4.0, 1);
        let other = (2..)
            .map(|seed| walk(&taken, PLAIN, 4.0, seed))
            .find(|(text, _)| text[0] == first.0[0] && *text != first.0);
        assert!(taken.take(&first.0, first.1, PLAIN));
        let before = format!("{taken:?}");
        assert!(!taken.take(&again.0, again.1, PLAIN));
        assert_eq!(format!("{taken:?}"), before);
        let other = other.expect("there are seeds enough");
        assert!(taken.take(&other.0, other.1, PLAIN));
    }

    proptest! {
        /// Tests any spread of probability: with logits 1e5 apart, all but a part in 10^43000 may be on one text. Top-k
        /// finds the likeliest as long as their probabilities are above 0 in `f64`.
        #[test]
        fn every_text_comes_once_and_then_none(
            log_scale in -2.0f64..5.0,
            temperature in prop::sample::select(vec![0.0, 0.1, 1.0, 2.0]),
            top_k in prop::option::of(1usize..4),
            top_p in prop::option::of(0.01f64..=1.0),
            seed in 0u64..1000,
        ) {
            let top_k = top_k.filter(|_| log_scale < 1.5);
            let (sampling, scale) = (Sampling { temperature, top_k, top_p }, 10f64.powf(log_scale));
            let (mut left, mut taken) = (all_texts(sampling, scale), Taken::default());
            while !left.is_empty() {
                prop_assert!(!taken.is_exhausted());
                let text = next(&mut taken, sampling, scale, 1000 * seed + left.len() as u64);
                let log_mass = left.remove(&text);
                prop_assert!(log_mass.is_some(), "{text:?} came before or cannot be");
                if sampling.is_greedy() {
                    // The text with the least loss comes first.
                    let best = left.values().fold(f64::NEG_INFINITY, |a, &b| a.max(b));
                    prop_assert!(log_mass.expect("found") >= best - 1e-9 * scale, "{log_mass:?} {best}");
                }
            }
            prop_assert!(taken.is_exhausted());
        }
    }
}
