//! Decoding many siblings of many prompts with a key/value cache.

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

/// The next token of a sibling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Next {
    /// The token.
    pub token: i32,
    /// Its position.
    pub position: i32,
    /// Its feature.
    pub feature: i32,
}

/// Siblings that are being decoded. Those of one prompt are next to each other.
#[derive(Debug)]
pub struct Siblings<'a> {
    weights: &'a Weights,
    rows: Vec<Sibling<'a>>,
    x: Vec<f32>,
    normed: Vec<f32>,
    qkv: Vec<f32>,
    context: Vec<f32>,
    hidden: Vec<f32>,
    scores: Vec<f32>,
    logits: Vec<f32>,
}

#[derive(Debug)]
struct Sibling<'a> {
    prompt: &'a PromptCache,
    /// The keys and values of its own tokens for each block, `[tokens, 2C]`.
    own: Vec<Vec<f32>>,
}

impl<'a> Siblings<'a> {
    /// Makes an empty list of siblings.
    pub fn new(weights: &'a Weights) -> Self {
        Siblings {
            weights,
            rows: Vec::new(),
            x: Vec::new(),
            normed: Vec::new(),
            qkv: Vec::new(),
            context: Vec::new(),
            hidden: Vec::new(),
            scores: Vec::new(),
            logits: Vec::new(),
        }
    }

    /// Adds siblings of a prompt at the end.
    pub fn add(&mut self, prompt: &'a PromptCache, siblings: usize) {
        let sibling = || Sibling { prompt, own: vec![Vec::new(); self.weights.shape.layers] };
        self.rows.extend(std::iter::repeat_with(sibling).take(siblings));
    }

    /// Drops the siblings for which `live` is false; the others keep their order.
    pub fn retain(&mut self, mut live: impl FnMut(usize) -> bool) {
        let mut index = 0;
        self.rows.retain(|_| {
            index += 1;
            live(index - 1)
        });
    }

    /// Feeds a token to each sibling and returns the logits of the token after it, `[siblings, V]`.
    ///
    /// # Panics
    /// Panics if there is not one token a sibling, or one is beyond the tables.
    pub fn advance(&mut self, next: &[Next]) -> &[f32] {
        let Weights { shape, layout, flat, blocks, head } = self.weights;
        let (c, hidden, v, n) = (shape.width, shape.hidden, shape.vocabulary, self.rows.len());
        assert_eq!(next.len(), n, "a token for each sibling");
        self.x.clear();
        for next in next {
            embed_token(self.weights, next.token, next.position, next.feature, &mut self.x);
        }
        for (layer, (block, packed)) in layout.blocks.iter().zip(blocks).enumerate() {
            norm(shape, flat, &block.attention_norm, &self.x, &mut self.normed);
            self.qkv.resize(n * 3 * c, 0.0);
            product(Left::rows(&self.normed, n, c, c), &packed.heads, 3 * c, &mut self.qkv, 3 * c, Into::Set);
            for (sibling, qkv) in self.rows.iter_mut().zip(self.qkv.chunks_exact(3 * c)) {
                sibling.own[layer].extend_from_slice(&qkv[c..]);
            }
            self.attend(layer);
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
        &self.logits
    }

    /// Computes the attention of all siblings over their prompts and their own tokens.
    fn attend(&mut self, layer: usize) {
        let shape = &self.weights.shape;
        let (c, d) = (shape.width, shape.head());
        self.context.resize(self.rows.len() * c, 0.0);
        let mut start = 0;
        for siblings in self.rows.chunk_by(|a, b| std::ptr::eq(a.prompt, b.prompt)) {
            let (n, prompt) = (siblings.len(), siblings[0].prompt);
            let most = siblings.iter().map(|sibling| sibling.own[layer].len() / (2 * c)).max().unwrap_or(0);
            let stride = prompt.len + most;
            self.scores.resize(n * stride, 0.0);
            for head in 0..shape.heads {
                // An empty prompt has no keys.
                let seen = prompt.blocks.get(layer).map(|heads| &heads[head]);
                let queries = &self.qkv[start * 3 * c + head * d..];
                let context = &mut self.context[start * c + head * d..];
                let left = Left::rows(queries, n, d, 3 * c);
                if let Some(seen) = seen {
                    product(left, &seen.keys, prompt.len, &mut self.scores, stride, Into::Set);
                }
                for (row, sibling) in siblings.iter().enumerate() {
                    let own = &sibling.own[layer];
                    let all = prompt.len + own.len() / (2 * c);
                    let scores = &mut self.scores[row * stride..][..all];
                    dots(&queries[row * 3 * c..][..d], &own[head * d..], 2 * c, &mut scores[prompt.len..]);
                    if shape.scale != 1.0 {
                        scores.iter_mut().for_each(|score| *score *= shape.scale);
                    }
                    softmax(scores, 1, all, all, all);
                }
                match seen {
                    Some(seen) => {
                        let weights = Left::rows(&self.scores, n, prompt.len, stride);
                        product(weights, &seen.values, d, context, c, Into::Set);
                    }
                    None => context.chunks_mut(c).take(n).for_each(|context| context[..d].fill(0.0)),
                }
                for (row, sibling) in siblings.iter().enumerate() {
                    let own = &sibling.own[layer];
                    let weights = &self.scores[row * stride + prompt.len..][..own.len() / (2 * c)];
                    add_weighted(&mut context[row * c..][..d], weights, &own[c + head * d..], 2 * c);
                }
            }
            start += n;
        }
    }
}
