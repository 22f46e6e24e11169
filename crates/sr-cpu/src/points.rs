//! The point embedder, which turns the numbers of points into vectors before the tokens, forward and backward.
//!
//! Each point goes through a two-layer MLP with ReLU. Without queries its outputs are the prefix. With queries, these
//! read the outputs by one layer of cross-attention with an MLP behind it (PMA: Lee et al., 2019), and are the prefix.

use std::ops::Range;

use crate::math::{
    activate, activate_back, add_bias, add_rows, add_scaled, layer_norm, layer_norm_back, relu, relu_back, softmax,
    softmax_back,
};
use crate::product::{Into, Left, Packed, product};
use crate::shape::{NormLayout, Shape};

/// The shape of a point embedder.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EmbedderShape {
    /// The shape of the model that it stands before. Width, heads, MLP, scale, activation and epsilon are the model's.
    pub model: Shape,
    /// The number of inputs of a point.
    pub inputs: usize,
    /// The hidden width of the MLP on each point.
    pub hidden: usize,
    /// The number of queries that read the points; 0 if the points are the prefix themselves.
    pub queries: usize,
}

/// The range of each weight in the vector of all weights.
#[derive(Debug, Clone)]
struct Layout {
    up: Range<usize>,
    up_bias: Range<usize>,
    down: Range<usize>,
    down_bias: Range<usize>,
    pooling: Option<PoolingLayout>,
    len: usize,
}

#[derive(Debug, Clone)]
struct PoolingLayout {
    queries: Range<usize>,
    point_norm: NormLayout,
    query_norm: NormLayout,
    /// The matrices of query, key and value.
    heads: [Range<usize>; 3],
    out: Range<usize>,
    out_bias: Range<usize>,
    mlp_norm: NormLayout,
    mlp_up: Range<usize>,
    mlp_up_bias: Range<usize>,
    mlp_down: Range<usize>,
    mlp_down_bias: Range<usize>,
}

impl EmbedderShape {
    /// Returns the number of all weights, which are in this order: the MLP's first matrix and bias, its second matrix
    /// and bias; with queries those, the norm of the points (gamma, beta), that of the queries, query, key, value,
    /// output and its bias, the norm before the second MLP, its first matrix and bias, its second matrix and bias.
    pub fn n_weights(&self) -> usize {
        self.layout().len
    }

    fn layout(&self) -> Layout {
        let (c, m) = (self.model.width, self.model.hidden);
        let mut end = 0;
        let mut take = |len: usize| {
            end += len;
            end - len..end
        };
        let up = take(self.inputs * self.hidden);
        let up_bias = take(self.hidden);
        let down = take(self.hidden * c);
        let down_bias = take(c);
        let pooling = (self.queries > 0).then(|| PoolingLayout {
            queries: take(self.queries * c),
            point_norm: NormLayout { gamma: take(c), beta: take(c) },
            query_norm: NormLayout { gamma: take(c), beta: take(c) },
            heads: [take(c * c), take(c * c), take(c * c)],
            out: take(c * c),
            out_bias: take(c),
            mlp_norm: NormLayout { gamma: take(c), beta: take(c) },
            mlp_up: take(c * m),
            mlp_up_bias: take(m),
            mlp_down: take(m * c),
            mlp_down_bias: take(c),
        });
        Layout { up, up_bias, down, down_bias, pooling, len: end }
    }
}

/// A point embedder. It is made again whenever its weights change.
#[derive(Debug)]
pub struct Embedder {
    shape: EmbedderShape,
    layout: Layout,
    flat: Vec<f32>,
    up: Packed,
    down: Packed,
    pooling: Option<Pooling>,
}

/// The values that do not depend on the points.
#[derive(Debug)]
struct Pooling {
    /// The normed queries; `asked` are they after the query matrix, `[Q, C]` each.
    normed: Vec<f32>,
    asked: Vec<f32>,
    key: Packed,
    value: Packed,
    out: Packed,
    mlp_up: Packed,
    mlp_down: Packed,
}

/// The values of a forward pass that the backward pass needs. The points of all rows are one after the other, and so
/// are their queries.
#[derive(Debug)]
pub struct Embedded {
    /// The prefix of all rows, `[points or R · Q, C]`; a row without points has none.
    pub prefix: Vec<f32>,
    /// The number of points of each row.
    counts: Vec<usize>,
    /// The hidden layer after ReLU, `[points, hidden]`.
    hidden: Vec<f32>,
    read: Option<Read>,
}

#[derive(Debug)]
struct Read {
    /// The outputs of the MLP; `normed` are they after the norm, `[points, C]` each.
    embedded: Vec<f32>,
    normed: Vec<f32>,
    keys: Vec<f32>,
    values: Vec<f32>,
    /// The attention weights of each row and head, `[Q, points]`.
    weights: Vec<Vec<f32>>,
    /// The attention output of the queries of all rows, `[R · Q, C]`; `between` is the stream between attention and
    /// MLP.
    context: Vec<f32>,
    between: Vec<f32>,
    /// The second MLP before the activation, `[R · Q, M]`.
    mlp_hidden: Vec<f32>,
}

impl Embedder {
    /// Makes an embedder from all weights, in the order of [`EmbedderShape::n_weights`].
    ///
    /// # Panics
    /// Panics if there are more or fewer weights.
    pub fn new(shape: EmbedderShape, flat: Vec<f32>) -> Self {
        let layout = shape.layout();
        assert_eq!(flat.len(), layout.len, "as many weights as the shape has");
        let (c, m) = (shape.model.width, shape.model.hidden);
        let up = Packed::rows(&flat[layout.up.clone()], shape.inputs, shape.hidden, shape.hidden);
        let down = Packed::rows(&flat[layout.down.clone()], shape.hidden, c, c);
        let pooling = layout.pooling.as_ref().map(|at| {
            let square = |range: &Range<usize>| Packed::rows(&flat[range.clone()], c, c, c);
            let normed = norm(&shape, &flat, &at.query_norm, &flat[at.queries.clone()]);
            let asked = times(&normed, &square(&at.heads[0]), c, c);
            Pooling {
                normed,
                asked,
                key: square(&at.heads[1]),
                value: square(&at.heads[2]),
                out: square(&at.out),
                mlp_up: Packed::rows(&flat[at.mlp_up.clone()], c, m, m),
                mlp_down: Packed::rows(&flat[at.mlp_down.clone()], m, c, c),
            }
        });
        Embedder { shape, layout, flat, up, down, pooling }
    }

    /// Returns the shape.
    pub fn shape(&self) -> &EmbedderShape {
        &self.shape
    }

    /// Embeds the points of all rows. `inputs` is `[points, inputs]`, and `counts` gives the number of points of each
    /// row.
    ///
    /// # Panics
    /// Panics if there are more or fewer points.
    pub fn forward(&self, inputs: &[f32], counts: &[usize]) -> Embedded {
        let Embedder { shape, layout, flat, .. } = self;
        let (c, n) = (shape.model.width, counts.iter().sum::<usize>());
        assert_eq!(inputs.len(), n * shape.inputs, "the points of all rows");
        let counts = counts.to_vec();
        if n == 0 {
            return Embedded { prefix: Vec::new(), counts, hidden: Vec::new(), read: None };
        }
        let mut hidden = times(inputs, &self.up, shape.inputs, shape.hidden);
        add_bias(&mut hidden, &flat[layout.up_bias.clone()]);
        relu(&mut hidden);
        let mut embedded = times(&hidden, &self.down, shape.hidden, c);
        add_bias(&mut embedded, &flat[layout.down_bias.clone()]);
        match self.pooling.as_ref().zip(layout.pooling.as_ref()) {
            None => Embedded { prefix: embedded, counts, hidden, read: None },
            Some((pooling, at)) => {
                let (prefix, read) = self.read(pooling, at, embedded, &counts);
                Embedded { prefix, counts, hidden, read: Some(read) }
            }
        }
    }

    /// Computes the prefix that the queries read from embedded points.
    fn read(&self, pooling: &Pooling, at: &PoolingLayout, embedded: Vec<f32>, counts: &[usize]) -> (Vec<f32>, Read) {
        let Embedder { shape, flat, .. } = self;
        let (c, m, d, q) = (shape.model.width, shape.model.hidden, shape.model.head(), shape.queries);
        let normed = norm(shape, flat, &at.point_norm, &embedded);
        let (keys, values) = (times(&normed, &pooling.key, c, c), times(&normed, &pooling.value, c, c));
        let (mut context, mut between, mut weights) = (Vec::new(), Vec::new(), Vec::new());
        let (mut pack, mut start) = (Packed::default(), 0);
        for &n in counts.iter().filter(|&&n| n > 0) {
            let first = context.len();
            context.resize(first + q * c, 0.0);
            between.extend_from_slice(&flat[at.queries.clone()]);
            for head in (0..c).step_by(d) {
                pack.set_transposed(&keys[start * c + head..], d, n, c);
                let mut scores = vec![0.0; q * n];
                product(Left::rows(&pooling.asked[head..], q, d, c), &pack, n, &mut scores, n, Into::Set);
                scale(&mut scores, shape.model.scale);
                softmax(&mut scores, q, n, n, n);
                pack.set_rows(&values[start * c + head..], n, d, c);
                product(Left::rows(&scores, q, n, n), &pack, d, &mut context[first + head..], c, Into::Set);
                weights.push(scores);
            }
            start += n;
        }
        let rows = context.len() / c;
        product(Left::rows(&context, rows, c, c), &pooling.out, c, &mut between, c, Into::Add);
        add_bias(&mut between, &flat[at.out_bias.clone()]);
        let mut mlp_hidden = times(&norm(shape, flat, &at.mlp_norm, &between), &pooling.mlp_up, c, m);
        add_bias(&mut mlp_hidden, &flat[at.mlp_up_bias.clone()]);
        let mut active = vec![0.0; rows * m];
        activate(shape.model.activation, &mlp_hidden, &mut active);
        let mut prefix = between.clone();
        product(Left::rows(&active, rows, m, m), &pooling.mlp_down, c, &mut prefix, c, Into::Add);
        add_bias(&mut prefix, &flat[at.mlp_down_bias.clone()]);
        (prefix, Read { embedded, normed, keys, values, weights, context, between, mlp_hidden })
    }

    /// Computes the gradients at the weights from that at the prefix of a forward pass of the same `inputs`, and adds
    /// them to `into`.
    ///
    /// # Panics
    /// Panics if the sizes are not those of that pass.
    pub fn backward(&self, inputs: &[f32], embedded: &Embedded, dprefix: &[f32], into: &mut [f32]) {
        let Embedder { shape, layout, flat, .. } = self;
        assert_eq!(into.len(), layout.len, "a gradient for each weight");
        assert_eq!(dprefix.len(), embedded.prefix.len(), "a gradient for each number of the prefix");
        let (c, h, n) = (shape.model.width, shape.hidden, embedded.counts.iter().sum::<usize>());
        if n == 0 {
            return;
        }
        let of_read;
        let dembedded = match (&embedded.read, &self.pooling, &layout.pooling) {
            (Some(read), Some(pooling), Some(at)) => {
                of_read = self.read_back(pooling, at, read, &embedded.counts, dprefix, into);
                &of_read
            }
            _ => dprefix,
        };
        let mut pack = Packed::rows(dembedded, n, c, c);
        let hidden = Left::transposed(&embedded.hidden, h, n, h);
        product(hidden, &pack, c, &mut into[layout.down.clone()], c, Into::Add);
        add_rows(&mut into[layout.down_bias.clone()], dembedded);
        let turned = Packed::transposed(&flat[layout.down.clone()], c, h, c);
        let mut dhidden = times(dembedded, &turned, c, h);
        relu_back(&embedded.hidden, &mut dhidden);
        pack.set_rows(&dhidden, n, h, h);
        let inputs = Left::transposed(inputs, shape.inputs, n, shape.inputs);
        product(inputs, &pack, h, &mut into[layout.up.clone()], h, Into::Add);
        add_rows(&mut into[layout.up_bias.clone()], &dhidden);
    }

    /// Returns the gradient at the outputs of the points' MLP, `[points, C]`.
    fn read_back(
        &self,
        pooling: &Pooling,
        at: &PoolingLayout,
        read: &Read,
        counts: &[usize],
        dprefix: &[f32],
        into: &mut [f32],
    ) -> Vec<f32> {
        let Embedder { shape, flat, .. } = self;
        let (c, m, d, q) = (shape.model.width, shape.model.hidden, shape.model.head(), shape.queries);
        let rows = dprefix.len() / c;
        let activation = shape.model.activation;
        let turned = |range: &Range<usize>, k: usize, n: usize| Packed::transposed(&flat[range.clone()], k, n, k);

        // The MLP behind the attention.
        let mut active = vec![0.0; rows * m];
        activate(activation, &read.mlp_hidden, &mut active);
        let mut pack = Packed::rows(dprefix, rows, c, c);
        product(Left::transposed(&active, m, rows, m), &pack, c, &mut into[at.mlp_down.clone()], c, Into::Add);
        add_rows(&mut into[at.mlp_down_bias.clone()], dprefix);
        let mut dhidden = times(dprefix, &turned(&at.mlp_down, c, m), c, m);
        activate_back(activation, &read.mlp_hidden, &mut dhidden);
        pack.set_rows(&dhidden, rows, m, m);
        let normed = norm(shape, flat, &at.mlp_norm, &read.between);
        product(Left::transposed(&normed, c, rows, c), &pack, m, &mut into[at.mlp_up.clone()], m, Into::Add);
        add_rows(&mut into[at.mlp_up_bias.clone()], &dhidden);
        let dnormed = times(&dhidden, &turned(&at.mlp_up, m, c), m, c);
        let mut dbetween = dprefix.to_vec();
        self.norm_back(&at.mlp_norm, &read.between, &dnormed, &mut dbetween, into);

        // The attention output.
        pack.set_rows(&dbetween, rows, c, c);
        product(Left::transposed(&read.context, c, rows, c), &pack, c, &mut into[at.out.clone()], c, Into::Add);
        add_rows(&mut into[at.out_bias.clone()], &dbetween);
        let dcontext = times(&dbetween, &turned(&at.out, c, c), c, c);

        // Attention of each row and head.
        let (mut dasked, mut dkeys, mut dvalues) =
            (vec![0.0; q * c], vec![0.0; read.keys.len()], vec![0.0; read.values.len()]);
        let (mut start, mut first) = (0, 0);
        let mut weights = read.weights.iter();
        for &n in counts.iter().filter(|&&n| n > 0) {
            for head in (0..c).step_by(d) {
                let weights = weights.next().expect("weights of each row and head");
                let dout = &dcontext[first * c + head..];
                pack.set_rows(dout, q, d, c);
                product(Left::transposed(weights, n, q, n), &pack, d, &mut dvalues[start * c + head..], c, Into::Set);
                pack.set_transposed(&read.values[start * c + head..], d, n, c);
                let mut dscores = vec![0.0; q * n];
                product(Left::rows(dout, q, d, c), &pack, n, &mut dscores, n, Into::Set);
                softmax_back(weights, &mut dscores, n);
                scale(&mut dscores, shape.model.scale);
                pack.set_rows(&read.keys[start * c + head..], n, d, c);
                product(Left::rows(&dscores, q, n, n), &pack, d, &mut dasked[head..], c, Into::Add);
                pack.set_rows(&pooling.asked[head..], q, d, c);
                product(Left::transposed(&dscores, n, q, n), &pack, d, &mut dkeys[start * c + head..], c, Into::Set);
            }
            start += n;
            first += q;
        }

        // Queries, which are the same in every row.
        let mut dqueries = vec![0.0; q * c];
        dbetween.chunks_exact(q * c).for_each(|of_row| add_scaled(&mut dqueries, of_row, 1.0));
        pack.set_rows(&dasked, q, c, c);
        product(Left::transposed(&pooling.normed, c, q, c), &pack, c, &mut into[at.heads[0].clone()], c, Into::Add);
        let dnormed = times(&dasked, &turned(&at.heads[0], c, c), c, c);
        self.norm_back(&at.query_norm, &flat[at.queries.clone()], &dnormed, &mut dqueries, into);
        add_scaled(&mut into[at.queries.clone()], &dqueries, 1.0);

        // Keys and values.
        let n = read.keys.len() / c;
        let normed = Left::transposed(&read.normed, c, n, c);
        pack.set_rows(&dkeys, n, c, c);
        product(normed, &pack, c, &mut into[at.heads[1].clone()], c, Into::Add);
        pack.set_rows(&dvalues, n, c, c);
        product(normed, &pack, c, &mut into[at.heads[2].clone()], c, Into::Add);
        let mut dnormed = times(&dkeys, &turned(&at.heads[1], c, c), c, c);
        let turned = turned(&at.heads[2], c, c);
        product(Left::rows(&dvalues, n, c, c), &turned, c, &mut dnormed, c, Into::Add);
        let mut dembedded = vec![0.0; n * c];
        self.norm_back(&at.point_norm, &read.embedded, &dnormed, &mut dembedded, into);
        dembedded
    }

    fn norm_back(&self, at: &NormLayout, x: &[f32], dy: &[f32], dx: &mut [f32], into: &mut [f32]) {
        let (dgamma, dbeta) = into[at.gamma.start..at.beta.end].split_at_mut(at.gamma.len());
        layer_norm_back(x, &self.flat[at.gamma.clone()], self.shape.model.epsilon, dy, dx, dgamma, dbeta);
    }
}

/// Multiplies `x` `[.., k]` by a matrix `[k, n]`.
fn times(x: &[f32], matrix: &Packed, k: usize, n: usize) -> Vec<f32> {
    let rows = x.len() / k;
    let mut out = vec![0.0; rows * n];
    product(Left::rows(x, rows, k, k), matrix, n, &mut out, n, Into::Set);
    out
}

fn norm(shape: &EmbedderShape, flat: &[f32], at: &NormLayout, x: &[f32]) -> Vec<f32> {
    let mut out = vec![0.0; x.len()];
    layer_norm(x, &flat[at.gamma.clone()], &flat[at.beta.clone()], shape.model.epsilon, &mut out);
    out
}

fn scale(scores: &mut [f32], factor: f32) {
    if factor != 1.0 {
        scores.iter_mut().for_each(|score| *score *= factor);
    }
}
