//! Decoding many siblings of many prompts with a key/value cache, in which shared prefixes are computed once.

use crate::attention::Seen;
use crate::math::{activate, add_bias, add_weighted, dots, softmax};
use crate::pass::{Pass, Until, embed_token, norm};
use crate::product::{Into, Left, product};
use crate::rows::Rows;
use crate::weights::Weights;

/// A prompt that was read, as the keys and values that its siblings attend to.
#[derive(Debug, Default)]
pub struct PromptCache {
    /// The number of points and tokens.
    len: usize,
    /// The keys and values, `[layers][heads]`.
    blocks: Vec<Vec<Seen>>,
}

impl PromptCache {
    /// Reads a prompt, which has to be one row. Its siblings will see all its positions.
    ///
    /// # Panics
    /// Panics if there is not exactly one row, or it breaks a rule of [`Rows`].
    pub fn read(weights: &Weights, prompt: &Rows, pass: &mut Pass) -> Self {
        let mut cache = PromptCache::default();
        cache.refill(weights, prompt, pass);
        cache
    }

    /// Reads a prompt like [`read`](Self::read), and reuses the memory of one that is no longer needed.
    ///
    /// # Panics
    /// Panics where [`read`](Self::read) does.
    pub fn refill(&mut self, weights: &Weights, prompt: &Rows, pass: &mut Pass) {
        assert_eq!(prompt.rows.len(), 1, "one prompt");
        let (len, shape) = (prompt.len(), &weights.shape);
        self.len = len;
        if len == 0 {
            self.blocks.clear();
            return;
        }
        pass.forward(weights, prompt, Until::LastKeys);
        self.blocks.resize_with(shape.layers, Vec::new);
        for (layer, heads) in self.blocks.iter_mut().enumerate() {
            heads.resize_with(shape.heads, Seen::default);
            for (head, seen) in heads.iter_mut().enumerate() {
                seen.set(pass.heads(layer), len, head, shape);
            }
        }
    }
}

/// The prefixes of a prompt's siblings: a tree, in which a prefix that several siblings share is computed once.
///
/// A prefix is its last token after a shorter prefix. It has a number, in the order in which prefixes are added.
#[derive(Debug, Clone, Default)]
pub struct Prefixes {
    /// The prefix that each one goes on from.
    parents: Vec<u32>,
    /// The keys and values of the last token of each prefix, for each block, `[prefixes, 2C]`.
    blocks: Vec<Vec<f32>>,
}

impl Prefixes {
    /// The number of the empty prefix, right after the prompt.
    pub const NONE: u32 = u32::MAX;

    /// Returns the number of prefixes, which is that of the next one.
    pub fn len(&self) -> usize {
        self.parents.len()
    }

    /// Returns whether there are none yet.
    pub fn is_empty(&self) -> bool {
        self.parents.is_empty()
    }

    /// Removes all prefixes and keeps the memory.
    pub fn clear(&mut self) {
        self.parents.clear();
        self.blocks.iter_mut().for_each(Vec::clear);
    }

    /// Adds the numbers of a prefix and of those that it goes on from to `path`, the shortest first.
    fn path(&self, prefix: u32, path: &mut Vec<u32>) {
        let start = path.len();
        let mut at = prefix;
        while at != Prefixes::NONE {
            path.push(at);
            at = self.parents[at as usize];
        }
        path[start..].reverse();
    }
}

/// A token that makes a new prefix of an old one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Next {
    /// The number of the old one; [`Prefixes::NONE`] for the first token after the prompt.
    pub prefix: u32,
    /// The token.
    pub token: i32,
    /// Its position.
    pub position: i32,
    /// Its feature.
    pub feature: i32,
}

/// The prefixes of a prompt that are computed together with those of others.
#[derive(Debug)]
pub struct Growth<'a> {
    /// The prompt.
    pub prompt: &'a PromptCache,
    /// Its prefixes so far, to which the new ones are added.
    pub prefixes: &'a mut Prefixes,
    /// The number of new ones.
    pub n_new: usize,
}

/// Computes the logits after new prefixes. It holds memory that is used again.
#[derive(Debug)]
pub struct Siblings<'a> {
    weights: &'a Weights,
    x: Vec<f32>,
    normed: Vec<f32>,
    qkv: Vec<f32>,
    context: Vec<f32>,
    hidden: Vec<f32>,
    scores: Vec<f32>,
    logits: Vec<f32>,
    /// The numbers of the prefixes that each new one sees, itself included, one new one after the other.
    paths: Vec<u32>,
    /// The end of each of them in `paths`.
    ends: Vec<usize>,
    /// The keys and values of the paths of one prompt, `[tokens, 2C]`.
    own: Vec<f32>,
}

impl<'a> Siblings<'a> {
    /// Makes an empty memory for these weights.
    pub fn new(weights: &'a Weights) -> Self {
        Siblings {
            weights,
            x: Vec::new(),
            normed: Vec::new(),
            qkv: Vec::new(),
            context: Vec::new(),
            hidden: Vec::new(),
            scores: Vec::new(),
            logits: Vec::new(),
            paths: Vec::new(),
            ends: Vec::new(),
            own: Vec::new(),
        }
    }

    /// Adds prefixes to those of some prompts, and returns the logits of the token after each, `[new prefixes, V]`.
    /// `next` has the new ones of the first prompt, then those of the second, and so on; they get numbers in this
    /// order. No bit of a result depends on the other prefixes.
    ///
    /// # Panics
    /// Panics if `next` has not as many as `growths` says, names a prefix that is not there yet, or is beyond the tables.
    pub fn advance(&mut self, growths: &mut [Growth<'_>], next: &[Next]) -> &[f32] {
        let Weights { shape, layout, flat, blocks, head } = self.weights;
        let (c, hidden, v, n) = (shape.width, shape.hidden, shape.vocabulary, next.len());
        assert_eq!(growths.iter().map(|growth| growth.n_new).sum::<usize>(), n, "the tokens of all new prefixes");
        self.x.clear();
        self.paths.clear();
        self.ends.clear();
        for next in next {
            embed_token(self.weights, next.token, next.position, next.feature, &mut self.x);
        }
        let mut rest = next;
        for growth in growths.iter_mut() {
            growth.prefixes.blocks.resize_with(shape.layers, Vec::new);
            let (of_prompt, others) = rest.split_at(growth.n_new);
            rest = others;
            let before = growth.prefixes.len();
            for (index, next) in of_prompt.iter().enumerate() {
                assert!(next.prefix == Prefixes::NONE || (next.prefix as usize) < before, "a prefix that is there");
                growth.prefixes.parents.push(next.prefix);
                growth.prefixes.path((before + index) as u32, &mut self.paths);
                self.ends.push(self.paths.len());
            }
        }
        for (layer, (block, packed)) in layout.blocks.iter().zip(blocks).enumerate() {
            norm(shape, flat, &block.attention_norm, &self.x, &mut self.normed);
            self.qkv.resize(n * 3 * c, 0.0);
            product(Left::rows(&self.normed, n, c, c), &packed.heads, 3 * c, &mut self.qkv, 3 * c, Into::Set);
            let mut qkv = self.qkv.chunks_exact(3 * c);
            for growth in growths.iter_mut() {
                for qkv in qkv.by_ref().take(growth.n_new) {
                    growth.prefixes.blocks[layer].extend_from_slice(&qkv[c..]);
                }
            }
            self.attend(layer, growths);
            product(Left::rows(&self.context, n, c, c), &packed.out, c, &mut self.x, c, Into::Add);
            add_bias(&mut self.x, &flat[block.out_bias.clone()]);

            norm(shape, flat, &block.mlp_norm, &self.x, &mut self.normed);
            self.qkv.resize(n * hidden, 0.0);
            product(Left::rows(&self.normed, n, c, c), &packed.up, hidden, &mut self.qkv, hidden, Into::Set);
            add_bias(&mut self.qkv, &flat[block.up_bias.clone()]);
            self.hidden.resize(n * hidden, 0.0);
            activate(shape.activation, &self.qkv[..n * hidden], &mut self.hidden);
            product(Left::rows(&self.hidden, n, hidden, hidden), &packed.down, c, &mut self.x, c, Into::Add);
            add_bias(&mut self.x, &flat[block.down_bias.clone()]);
        }
        norm(shape, flat, &layout.final_norm, &self.x, &mut self.normed);
        self.logits.resize(n * v, 0.0);
        product(Left::rows(&self.normed, n, c, c), head, v, &mut self.logits, v, Into::Set);
        &self.logits[..n * v]
    }

    /// Computes the attention of all new prefixes over their prompts and their own tokens.
    fn attend(&mut self, layer: usize, growths: &[Growth<'_>]) {
        let shape = &self.weights.shape;
        let (c, d) = (shape.width, shape.head());
        self.context.resize(self.ends.len() * c, 0.0);
        let mut start = 0;
        for Growth { prompt, prefixes, n_new: n } in growths {
            if *n == 0 {
                continue;
            }
            let first = if start == 0 { 0 } else { self.ends[start - 1] };
            let ends = &self.ends[start..start + n];
            let tokens = |row: usize| (if row == 0 { 0 } else { ends[row - 1] - first })..ends[row] - first;
            self.own.clear();
            for &prefix in &self.paths[first..ends[n - 1]] {
                self.own.extend_from_slice(&prefixes.blocks[layer][prefix as usize * 2 * c..][..2 * c]);
            }
            let most = (0..*n).map(|row| tokens(row).len()).max().unwrap_or(0);
            let stride = prompt.len + most;
            self.scores.resize(n * stride, 0.0);
            for head in 0..shape.heads {
                // An empty prompt has no keys.
                let seen = prompt.blocks.get(layer).map(|heads| &heads[head]);
                let queries = &self.qkv[start * 3 * c + head * d..];
                let context = &mut self.context[start * c + head * d..];
                let left = Left::rows(queries, *n, d, 3 * c);
                if let Some(seen) = seen {
                    product(left, &seen.keys, prompt.len, &mut self.scores, stride, Into::Set);
                }
                for row in 0..*n {
                    let own = &self.own[tokens(row).start * 2 * c..tokens(row).end * 2 * c];
                    let all = prompt.len + tokens(row).len();
                    let scores = &mut self.scores[row * stride..][..all];
                    dots(&queries[row * 3 * c..][..d], &own[head * d..], 2 * c, &mut scores[prompt.len..]);
                    if shape.scale != 1.0 {
                        scores.iter_mut().for_each(|score| *score *= shape.scale);
                    }
                    softmax(scores, 1, all, all, all);
                }
                match seen {
                    Some(seen) => {
                        let weights = Left::rows(&self.scores, *n, prompt.len, stride);
                        product(weights, &seen.values, d, context, c, Into::Set);
                    }
                    None => context.chunks_mut(c).take(*n).for_each(|context| context[..d].fill(0.0)),
                }
                for row in 0..*n {
                    let own = &self.own[tokens(row).start * 2 * c..tokens(row).end * 2 * c];
                    let weights = &self.scores[row * stride + prompt.len..][..tokens(row).len()];
                    add_weighted(&mut context[row * c..][..d], weights, &own[c + head * d..], 2 * c);
                }
            }
            start += n;
        }
    }
}
