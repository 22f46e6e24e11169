//! Attention of the runs of one row, head by head, forward and backward.

use crate::math::{softmax, softmax_back};
use crate::product::{Into, Left, Packed, product};
use crate::rows::{Row, Run};
use crate::shape::Shape;

/// The packed keys and values of a stretch of a row, for one head: `[D, len]` and `[len, D]`.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) keys: Packed,
    pub(crate) values: Packed,
}

impl Seen {
    /// Packs a stretch; `qkv` are the rows `[3C]` from its first position on.
    pub(crate) fn set(&mut self, qkv: &[f32], len: usize, head: usize, shape: &Shape) {
        let (c, d) = (shape.width, shape.head());
        self.keys.set_transposed(&qkv[c + head * d..], d, len, 3 * c);
        self.values.set_rows(&qkv[2 * c + head * d..], len, d, 3 * c);
    }
}

/// Memory that passes reuse.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// The keys and values that several runs see; `own` are those of the run itself.
    shared: Seen,
    own: Seen,
    weights: Vec<f32>,
    gradient: Vec<f32>,
    pack: Packed,
}

/// Returns the largest number of positions that a run of the row sees before it.
fn shared(row: &Row) -> usize {
    row.runs.iter().map(|run| run.sees).max().unwrap_or(0)
}

/// The number of positions of a causal run that are processed together. It fills whole panels and whole tiles on any
/// machine.
const BLOCK: usize = 96;

/// Returns the blocks of a run, each with the end of the positions that it sees. Without blocks, half of a long causal
/// run's products would be with positions that are not seen.
fn blocks(run: &Run) -> impl Iterator<Item = (std::ops::Range<usize>, usize)> {
    let (len, size) = (run.len, if run.causal { BLOCK } else { run.len });
    (0..len).step_by(size).map(move |start| start..len.min(start + size)).map(|block| (block.clone(), block.end))
}

/// Computes the attention weights `[len, sees + len]` of a run.
fn weigh(run: &Run, head: usize, qkv: &[f32], shape: &Shape, shared: &Seen, own: &Seen, weights: &mut Vec<f32>) {
    let (c, d) = (shape.width, shape.head());
    let (len, all) = (run.len, run.sees + run.len);
    weights.resize(len * all, 0.0);
    let queries = Left::rows(&qkv[run.start * 3 * c + head * d..], len, d, 3 * c);
    product(queries, &shared.keys, run.sees, weights, all, Into::Set);
    for (block, end) in blocks(run) {
        let queries = Left::rows(&qkv[(run.start + block.start) * 3 * c + head * d..], block.len(), d, 3 * c);
        product(queries, &own.keys, end, &mut weights[block.start * all + run.sees..], all, Into::Set);
    }
    if shape.scale != 1.0 {
        weights.iter_mut().for_each(|score| *score *= shape.scale);
    }
    softmax(weights, len, all, all, if run.causal { run.sees + 1 } else { all });
}

/// Computes the attention output of each position, `[len, C]`, from `qkv` `[len, 3C]` of a row.
pub(crate) fn forward(row: &Row, shape: &Shape, qkv: &[f32], context: &mut [f32], scratch: &mut Scratch) {
    let (c, d) = (shape.width, shape.head());
    let Scratch { shared: common, own, weights, .. } = scratch;
    let n_shared = shared(row);
    for head in 0..shape.heads {
        if n_shared > 0 {
            common.set(qkv, n_shared, head, shape);
        }
        for run in &row.runs {
            own.set(&qkv[run.start * 3 * c..], run.len, head, shape);
            weigh(run, head, qkv, shape, common, own, weights);
            let (len, all) = (run.len, run.sees + run.len);
            let out = &mut context[run.start * c + head * d..];
            for (block, end) in blocks(run) {
                let weights = Left::rows(&weights[block.start * all + run.sees..], block.len(), end, all);
                product(weights, &own.values, d, &mut out[block.start * c..], c, Into::Set);
            }
            if run.sees > 0 {
                product(Left::rows(weights, len, run.sees, all), &common.values, d, out, c, Into::Add);
            }
        }
    }
}

/// Computes the gradient at `qkv` from the gradient `[len, C]` at the attention output, and adds it to `dqkv` `[len,
/// 3C]`.
pub(crate) fn backward(
    row: &Row,
    shape: &Shape,
    qkv: &[f32],
    dcontext: &[f32],
    dqkv: &mut [f32],
    scratch: &mut Scratch,
) {
    let (c, d) = (shape.width, shape.head());
    let Scratch { shared: common, own, weights, gradient, pack } = scratch;
    let n_shared = shared(row);
    for head in 0..shape.heads {
        let (query, key, value) = (head * d, c + head * d, 2 * c + head * d);
        let mut values_turned = Packed::default();
        let mut keys = Packed::default();
        if n_shared > 0 {
            common.set(qkv, n_shared, head, shape);
            values_turned.set_transposed(&qkv[value..], d, n_shared, 3 * c);
            keys.set_rows(&qkv[key..], n_shared, d, 3 * c);
        }
        for run in &row.runs {
            let (start, len, sees, all) = (run.start * 3 * c, run.len, run.sees, run.sees + run.len);
            own.set(&qkv[start..], len, head, shape);
            weigh(run, head, qkv, shape, common, own, weights);

            // Values: each gets the gradients of the positions that weighed it.
            let dout = &dcontext[run.start * c + head * d..];
            pack.set_rows(dout, len, d, c);
            product(Left::transposed(weights, sees, len, all), pack, d, &mut dqkv[value..], 3 * c, Into::Add);
            for (block, end) in blocks(run) {
                pack.set_rows(&dout[block.start * c..], block.len(), d, c);
                let own_weights = Left::transposed(&weights[block.start * all + sees..], end, block.len(), all);
                product(own_weights, pack, d, &mut dqkv[start + value..], 3 * c, Into::Add);
            }

            // Weights, then scores.
            gradient.resize(len * all, 0.0);
            product(Left::rows(dout, len, d, c), &values_turned, sees, gradient, all, Into::Set);
            pack.set_transposed(&qkv[start + value..], d, len, 3 * c);
            for (block, end) in blocks(run) {
                let dout = Left::rows(&dout[block.start * c..], block.len(), d, c);
                product(dout, pack, end, &mut gradient[block.start * all + sees..], all, Into::Set);
                // Positions that are not seen have no weight, and so no gradient. They are cleared, because a NaN may
                // have been there.
                block.for_each(|row| gradient[row * all + sees + end..(row + 1) * all].fill(0.0));
            }
            softmax_back(weights, gradient, all);
            if shape.scale != 1.0 {
                gradient.iter_mut().for_each(|score| *score *= shape.scale);
            }

            // Queries and keys.
            if sees > 0 {
                let scores = Left::rows(gradient, len, sees, all);
                product(scores, &keys, d, &mut dqkv[start + query..], 3 * c, Into::Add);
            }
            pack.set_rows(&qkv[start + key..], len, d, 3 * c);
            for (block, end) in blocks(run) {
                let own_scores = Left::rows(&gradient[block.start * all + sees..], block.len(), end, all);
                product(own_scores, pack, d, &mut dqkv[start + block.start * 3 * c + query..], 3 * c, Into::Add);
            }
            pack.set_rows(&qkv[start + query..], len, d, 3 * c);
            product(Left::transposed(gradient, sees, len, all), pack, d, &mut dqkv[key..], 3 * c, Into::Add);
            for (block, end) in blocks(run) {
                pack.set_rows(&qkv[start + block.start * 3 * c + query..], block.len(), d, 3 * c);
                let own_scores = Left::transposed(&gradient[block.start * all + sees..], end, block.len(), all);
                product(own_scores, pack, d, &mut dqkv[start + key..], 3 * c, Into::Add);
            }
        }
    }
}
