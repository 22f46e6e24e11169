//! Forward and backward passes over [`Rows`].

use crate::attention::{self, Scratch};
use crate::math::{
    activate, activate_back, add_bias, add_rows, add_scaled, cross_entropy_back, layer_norm, layer_norm_back,
    log_sum_exp,
};
use crate::product::{Into, Left, Packed, product};
use crate::rows::Rows;
use crate::shape::{NormLayout, Shape};
use crate::weights::{Transposes, Weights};

/// A forward or backward pass and its memory, which the next one reuses.
#[derive(Debug, Default)]
pub struct Pass {
    /// The values of each block that its backward pass needs.
    saved: Vec<Saved>,
    /// The residual stream after the last block, `[L, C]`.
    x: Vec<f32>,
    normed: Vec<f32>,
    hidden: Vec<f32>,
    dx: Vec<f32>,
    dnormed: Vec<f32>,
    dhidden: Vec<f32>,
    dqkv: Vec<f32>,
    dcontext: Vec<f32>,
    pack: Packed,
    scratch: Scratch,
}

/// The end of a forward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// The keys and values of the last block.
    LastKeys,
    /// The end of the last block.
    End,
}

#[derive(Debug, Default)]
struct Saved {
    /// The residual stream before the block; `between` is that between attention and MLP, `[L, C]`.
    before: Vec<f32>,
    between: Vec<f32>,
    /// The queries, keys and values, `[L, 3C]`.
    qkv: Vec<f32>,
    /// The attention output, `[L, C]`.
    context: Vec<f32>,
    /// The MLP before the activation, `[L, M]`.
    hidden: Vec<f32>,
}

impl Pass {
    /// Returns the weighted sum of the labels' negative log-likelihoods, in nats.
    ///
    /// # Panics
    /// Panics if the rows break a rule of [`Rows`], or an id is beyond its table.
    pub fn loss(&mut self, weights: &Weights, rows: &Rows) -> f64 {
        self.forward(weights, rows, Until::End);
        let (logits, _) = self.logits(weights, rows);
        let v = weights.shape.vocabulary;
        let losses = rows.labels.iter().zip(logits.chunks_exact(v));
        losses.map(|(label, x)| f64::from(label.weight) * f64::from(log_sum_exp(x) - x[label.label])).sum()
    }

    /// Returns the likeliest token at each label, the lower id among equals.
    ///
    /// # Panics
    /// Panics where [`loss`](Self::loss) does.
    pub fn likeliest(&mut self, weights: &Weights, rows: &Rows) -> Vec<usize> {
        self.forward(weights, rows, Until::End);
        let (logits, _) = self.logits(weights, rows);
        let likeliest = |x: &[f32]| (1..x.len()).fold(0, |best, id| if x[id] > x[best] { id } else { best });
        logits.chunks_exact(weights.shape.vocabulary).map(likeliest).collect()
    }

    /// Returns the logits after every token, `[tokens, V]`.
    ///
    /// # Panics
    /// Panics where [`loss`](Self::loss) does.
    pub fn all_logits(&mut self, weights: &Weights, rows: &Rows) -> Vec<f32> {
        self.forward(weights, rows, Until::End);
        let every: Vec<usize> = token_places(rows).collect();
        self.logits_at(weights, &every).0
    }

    /// Computes the loss and its gradients. It adds those at the weights to `into`, and returns the loss and the
    /// gradient at the embedded points.
    ///
    /// # Panics
    /// Panics where [`loss`](Self::loss) does, and if `into` has another number of weights.
    pub fn gradients(
        &mut self,
        weights: &Weights,
        transposes: &Transposes,
        rows: &Rows,
        into: &mut [f32],
    ) -> (f64, Vec<f32>) {
        let Weights { shape, layout, flat, .. } = weights;
        assert_eq!(into.len(), layout.len, "a gradient for each weight");
        let (c, v, n) = (shape.width, shape.vocabulary, rows.len());
        self.forward(weights, rows, Until::End);

        // The head and the loss are computed on labelled positions only.
        let places: Vec<usize> = token_places(rows).collect();
        let (mut logits, last) = self.logits(weights, rows);
        let mut loss = 0.0;
        for (label, x) in rows.labels.iter().zip(logits.chunks_exact_mut(v)) {
            let log_total = log_sum_exp(x);
            loss += f64::from(label.weight) * f64::from(log_total - x[label.label]);
            cross_entropy_back(x, log_total, label.label, label.weight);
        }
        let m = rows.labels.len();
        let mut dlast = vec![0.0; m * c];
        if m > 0 {
            product(Left::rows(&logits, m, v, v), &transposes.head, c, &mut dlast, c, Into::Set);
            self.pack.set_rows(&last, m, c, c);
            let at = Left::transposed(&logits, v, m, v);
            product(at, &self.pack, c, &mut into[layout.token.clone()], c, Into::Add);
        }
        self.dx.clear();
        self.dx.resize(n * c, 0.0);
        for (label, dlast) in rows.labels.iter().zip(dlast.chunks_exact(c)) {
            let at = places[label.token] * c..(places[label.token] + 1) * c;
            let NormLayout { gamma, beta } = &layout.final_norm;
            let [dgamma, dbeta] = both(into, gamma, beta);
            let gamma = &flat[gamma.clone()];
            layer_norm_back(&self.x[at.clone()], gamma, shape.epsilon, dlast, &mut self.dx[at], dgamma, dbeta);
        }

        for layer in (0..shape.layers).rev() {
            self.block_back(weights, transposes, layer, rows, into);
        }

        // Embeddings.
        let mut dprefix = Vec::with_capacity(rows.prefix.len());
        let (mut at, mut token) = (0, 0);
        for row in &rows.rows {
            dprefix.extend_from_slice(&self.dx[at * c..(at + row.prefix) * c]);
            at += row.prefix;
            for dx in self.dx[at * c..(at + row.tokens) * c].chunks_exact(c) {
                let mut add = |table: &std::ops::Range<usize>, id: i32| {
                    add_scaled(&mut into[table.start + id as usize * c..][..c], dx, 1.0);
                };
                add(&layout.token, rows.tokens[token]);
                add(&layout.position, rows.positions[token]);
                if shape.features > 0 {
                    add(&layout.feature, rows.features.get(token).copied().unwrap_or(0));
                }
                rows.marks(token).for_each(|mark| add(&layout.mark, mark as i32));
                token += 1;
            }
            at += row.tokens;
        }
        (loss, dprefix)
    }

    /// Returns the queries, keys and values `[L, 3C]` of a block, after a forward pass.
    pub(crate) fn heads(&self, layer: usize) -> &[f32] {
        &self.saved[layer].qkv
    }

    pub(crate) fn forward(&mut self, weights: &Weights, rows: &Rows, until: Until) {
        let Weights { shape, layout, flat, blocks, .. } = weights;
        rows.check(shape.width);
        let (c, m, n) = (shape.width, shape.hidden, rows.len());
        self.x.clear();
        embed(weights, rows, &mut self.x);
        self.saved.resize_with(shape.layers, Saved::default);
        for (layer, saved) in self.saved.iter_mut().enumerate() {
            let (block, packed) = (&layout.blocks[layer], &blocks[layer]);
            saved.before.clone_from(&self.x);
            norm(shape, flat, &block.attention_norm, &self.x, &mut self.normed);
            saved.qkv.resize(n * 3 * c, 0.0);
            product(Left::rows(&self.normed, n, c, c), &packed.heads, 3 * c, &mut saved.qkv, 3 * c, Into::Set);
            if until == Until::LastKeys && layer + 1 == shape.layers {
                return;
            }
            saved.context.resize(n * c, 0.0);
            let mut at = 0;
            for row in &rows.rows {
                let span = at..at + row.len();
                let qkv = &saved.qkv[span.start * 3 * c..span.end * 3 * c];
                attention::forward(
                    row,
                    shape,
                    qkv,
                    &mut saved.context[span.start * c..span.end * c],
                    &mut self.scratch,
                );
                at = span.end;
            }
            product(Left::rows(&saved.context, n, c, c), &packed.out, c, &mut self.x, c, Into::Add);
            add_bias(&mut self.x, &flat[block.out_bias.clone()]);

            saved.between.clone_from(&self.x);
            norm(shape, flat, &block.mlp_norm, &self.x, &mut self.normed);
            saved.hidden.resize(n * m, 0.0);
            product(Left::rows(&self.normed, n, c, c), &packed.up, m, &mut saved.hidden, m, Into::Set);
            add_bias(&mut saved.hidden, &flat[block.up_bias.clone()]);
            self.hidden.resize(n * m, 0.0);
            activate(shape.activation, &saved.hidden, &mut self.hidden);
            product(Left::rows(&self.hidden, n, m, m), &packed.down, c, &mut self.x, c, Into::Add);
            add_bias(&mut self.x, &flat[block.down_bias.clone()]);
        }
    }

    /// Replaces the gradient after a block in `dx` by that before it.
    fn block_back(&mut self, weights: &Weights, transposes: &Transposes, layer: usize, rows: &Rows, into: &mut [f32]) {
        let Weights { shape, layout, flat, .. } = weights;
        let (block, turned, saved) = (&layout.blocks[layer], &transposes.blocks[layer], &self.saved[layer]);
        let (c, m, n) = (shape.width, shape.hidden, rows.len());
        let pack = &mut self.pack;

        // The MLP.
        self.hidden.resize(n * m, 0.0);
        activate(shape.activation, &saved.hidden, &mut self.hidden);
        pack.set_rows(&self.dx, n, c, c);
        product(Left::transposed(&self.hidden, m, n, m), pack, c, &mut into[block.down.clone()], c, Into::Add);
        add_rows(&mut into[block.down_bias.clone()], &self.dx);
        self.dhidden.resize(n * m, 0.0);
        product(Left::rows(&self.dx, n, c, c), &turned.down, m, &mut self.dhidden, m, Into::Set);
        activate_back(shape.activation, &saved.hidden, &mut self.dhidden);
        norm(shape, flat, &block.mlp_norm, &saved.between, &mut self.normed);
        pack.set_rows(&self.dhidden, n, m, m);
        product(Left::transposed(&self.normed, c, n, c), pack, m, &mut into[block.up.clone()], m, Into::Add);
        add_rows(&mut into[block.up_bias.clone()], &self.dhidden);
        self.dnormed.resize(n * c, 0.0);
        product(Left::rows(&self.dhidden, n, m, m), &turned.up, c, &mut self.dnormed, c, Into::Set);
        norm_back(shape, flat, &block.mlp_norm, &saved.between, &self.dnormed, &mut self.dx, into);

        // Attention.
        pack.set_rows(&self.dx, n, c, c);
        product(Left::transposed(&saved.context, c, n, c), pack, c, &mut into[block.out.clone()], c, Into::Add);
        add_rows(&mut into[block.out_bias.clone()], &self.dx);
        self.dcontext.resize(n * c, 0.0);
        product(Left::rows(&self.dx, n, c, c), &turned.out, c, &mut self.dcontext, c, Into::Set);
        self.dqkv.clear();
        self.dqkv.resize(n * 3 * c, 0.0);
        let mut at = 0;
        for row in &rows.rows {
            let (wide, narrow) = (at * 3 * c..(at + row.len()) * 3 * c, at * c..(at + row.len()) * c);
            let (qkv, dqkv) = (&saved.qkv[wide.clone()], &mut self.dqkv[wide]);
            attention::backward(row, shape, qkv, &self.dcontext[narrow], dqkv, &mut self.scratch);
            at += row.len();
        }
        norm(shape, flat, &block.attention_norm, &saved.before, &mut self.normed);
        for (part, matrix) in block.heads.iter().enumerate() {
            pack.set_rows(&self.dqkv[part * c..], n, c, 3 * c);
            product(Left::transposed(&self.normed, c, n, c), pack, c, &mut into[matrix.clone()], c, Into::Add);
        }
        product(Left::rows(&self.dqkv, n, 3 * c, 3 * c), &turned.heads, c, &mut self.dnormed, c, Into::Set);
        norm_back(shape, flat, &block.attention_norm, &saved.before, &self.dnormed, &mut self.dx, into);
    }

    /// Returns the logits at the labels, `[labels, V]`, and the normed residual stream there, `[labels, C]`.
    fn logits(&mut self, weights: &Weights, rows: &Rows) -> (Vec<f32>, Vec<f32>) {
        let places: Vec<usize> = token_places(rows).collect();
        let at: Vec<usize> = rows.labels.iter().map(|label| places[label.token]).collect();
        self.logits_at(weights, &at)
    }

    fn logits_at(&mut self, weights: &Weights, places: &[usize]) -> (Vec<f32>, Vec<f32>) {
        let Weights { shape, layout, flat, head, .. } = weights;
        let (c, v) = (shape.width, shape.vocabulary);
        let chosen: Vec<f32> = places.iter().flat_map(|&place| &self.x[place * c..(place + 1) * c]).copied().collect();
        let mut last = Vec::new();
        norm(shape, flat, &layout.final_norm, &chosen, &mut last);
        let mut logits = vec![0.0; places.len() * v];
        product(Left::rows(&last, places.len(), c, c), head, v, &mut logits, v, Into::Set);
        (logits, last)
    }
}

/// Returns the index of each token among all positions.
fn token_places(rows: &Rows) -> impl Iterator<Item = usize> {
    let mut start = 0;
    rows.rows.iter().flat_map(move |row| {
        start += row.len();
        start - row.tokens..start
    })
}

/// Appends the residual stream before the first block.
pub(crate) fn embed(weights: &Weights, rows: &Rows, x: &mut Vec<f32>) {
    let c = weights.shape.width;
    let (mut prefix, mut token) = (&rows.prefix[..], 0);
    for row in &rows.rows {
        let (points, rest) = prefix.split_at(row.prefix * c);
        x.extend_from_slice(points);
        prefix = rest;
        for _ in 0..row.tokens {
            let feature = rows.features.get(token).copied().unwrap_or(0);
            embed_token(weights, rows.tokens[token], rows.positions[token], feature, x);
            let start = x.len() - c;
            for mark in rows.marks(token) {
                add_scaled(&mut x[start..], &weights.flat[weights.layout.mark.clone()][mark * c..][..c], 1.0);
            }
            token += 1;
        }
    }
}

/// Appends a token's vector.
pub(crate) fn embed_token(weights: &Weights, token: i32, position: i32, feature: i32, x: &mut Vec<f32>) {
    let Weights { shape, layout, flat, .. } = weights;
    let c = shape.width;
    let row = |table: &std::ops::Range<usize>, id: i32| &flat[table.clone()][id as usize * c..][..c];
    let start = x.len();
    x.extend_from_slice(row(&layout.token, token));
    add_scaled(&mut x[start..], row(&layout.position, position), 1.0);
    if shape.features > 0 {
        add_scaled(&mut x[start..], row(&layout.feature, feature), 1.0);
    }
}

pub(crate) fn norm(shape: &Shape, flat: &[f32], at: &NormLayout, x: &[f32], out: &mut Vec<f32>) {
    out.resize(x.len(), 0.0);
    layer_norm(x, &flat[at.gamma.clone()], &flat[at.beta.clone()], shape.epsilon, out);
}

fn norm_back(shape: &Shape, flat: &[f32], at: &NormLayout, x: &[f32], dy: &[f32], dx: &mut [f32], into: &mut [f32]) {
    let [dgamma, dbeta] = both(into, &at.gamma, &at.beta);
    layer_norm_back(x, &flat[at.gamma.clone()], shape.epsilon, dy, dx, dgamma, dbeta);
}

/// Returns two ranges of one slice, the first of which ends where the second begins.
fn both<'a>(all: &'a mut [f32], a: &std::ops::Range<usize>, b: &std::ops::Range<usize>) -> [&'a mut [f32]; 2] {
    let (first, second) = all[a.start..b.end].split_at_mut(a.len());
    [first, second]
}
