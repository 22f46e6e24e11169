//! The model on a CPU: the same weights in `sr-cpu`, which computes losses, gradients and children without the tensor
//! framework. The point embedder stays with the framework: its few products are a hundredth of the work, and its
//! gradient continues from the one that comes back at the embedded points.

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};
use sr_cpu::{Label, Pass, Row, Rows, Run, Shape, Transposes, Weights};

use crate::device::is_flex;
use crate::{Activation, Error, Model, ModelConfig, PointBatch, Precision, PrefixAttention, TrainBatch};

/// A snapshot of a model's weights for passes on a CPU.
#[derive(Debug)]
pub struct CpuModel {
    model: Model,
    weights: Weights,
    transposes: Transposes,
    /// The parameters that `weights` are, in their order.
    ids: Vec<ParamId>,
}

/// The module that is not part of the snapshot's weights.
const POINT_EMBEDDER: &str = "point_embedder";

impl CpuModel {
    /// The snapshot, if the model is on a CPU and in single precision. The model may be in training.
    pub fn new(model: &Model) -> Option<Self> {
        let model = model.valid();
        let (weights, ids) = weights(&model)?;
        let transposes = weights.transposes();
        Some(CpuModel { model, weights, transposes, ids })
    }

    /// The weighted sum of the losses of the batch's labels, in nats, and the sum of their weights.
    ///
    /// # Errors
    /// As [`Model::loss`].
    pub fn loss(&self, batch: &TrainBatch, pass: &mut Pass) -> Result<(f64, f64), Error> {
        batch.check(self.model.config())?;
        let embedded = batch.points.as_ref().and_then(|points| embed(&self.model, points));
        let prefix = self.model.prefix(batch.points.as_ref());
        let (rows, weight) = rows(batch, self.model.config(), &prefix, embedded.as_deref().unwrap_or_default(), 1.0)?;
        Ok((pass.loss(&self.weights, &rows), weight))
    }

    /// How many of the batch's labels are the likeliest tokens at their places, and how many there are.
    ///
    /// # Errors
    /// As [`Model::loss`].
    pub fn hits(&self, batch: &TrainBatch, pass: &mut Pass) -> Result<(usize, usize), Error> {
        batch.check(self.model.config())?;
        let embedded = batch.points.as_ref().and_then(|points| embed(&self.model, points));
        let prefix = self.model.prefix(batch.points.as_ref());
        let (rows, _) = rows(batch, self.model.config(), &prefix, embedded.as_deref().unwrap_or_default(), 1.0)?;
        let likeliest = pass.likeliest(&self.weights, &rows);
        let hits = rows.labels.iter().zip(likeliest).filter(|(label, likeliest)| label.label == *likeliest).count();
        Ok((hits, rows.labels.len()))
    }

    /// As [`loss`](Self::loss), and adds the gradients of the sum divided by `total` to `gradients`, which has
    /// [`n_weights`](Self::n_weights) entries. Those of the point embedder are given back.
    ///
    /// # Errors
    /// As [`Model::loss`].
    pub fn gradients(
        &self,
        batch: &TrainBatch,
        total: f64,
        pass: &mut Pass,
        gradients: &mut [f32],
    ) -> Result<(f64, f64, GradientsParams), Error> {
        batch.check(self.model.config())?;
        let embedder = self.model.point_embedder().zip(batch.points.as_ref());
        // Parameters of its own, so that no other thread's graph joins this one.
        let embedder = embedder.map(|(embedder, points)| (embedder.clone().train(), points));
        let embedded = embedder.as_ref().map(|(embedder, points)| embedder.forward(&self.model, points));
        let values = embedded.as_ref().map(|embedded| floats(embedded.clone().inner())).unwrap_or_default();
        let prefix = self.model.prefix(batch.points.as_ref());
        let (rows, weight) = rows(batch, self.model.config(), &prefix, &values, total)?;
        let (loss, dprefix) = pass.gradients(&self.weights, &self.transposes, &rows, gradients);
        let mut of_embedder = GradientsParams::new();
        if let (Some((embedder, _)), Some(embedded)) = (embedder, embedded) {
            let padded = pad(&dprefix, &prefix, self.model.config().d_model);
            let gradient = Tensor::<3>::from_data(TensorData::new(padded, embedded.dims()), &embedded.device());
            of_embedder = GradientsParams::from_grads((embedded * gradient).sum().backward(), &embedder);
        }
        Ok((loss * total, weight, of_embedder))
    }

    /// Entries of a gradient, those of the point embedder left out.
    pub fn n_weights(&self) -> usize {
        self.weights.shape().n_weights()
    }

    /// Adds what [`gradients`](Self::gradients) summed up to gradients by parameter.
    pub fn register(&self, gradients: &[f32], into: &mut GradientsParams) {
        let device = &self.model.device();
        self.model.visit(&mut Register { ids: &self.ids, rest: gradients, into, device });
    }
}

/// A CPU model's weights, and which parameters they are; `None` on another device, or where `sr-cpu` lacks something that the model has.
pub(crate) fn weights(model: &Model) -> Option<(Weights, Vec<ParamId>)> {
    let config = model.config();
    if !is_flex(&model.device()) || model.precision() != Precision::F32 || config.local_window().is_some() {
        return None;
    }
    let shape = Shape {
        vocabulary: config.vocab_size,
        positions: config.n_positions,
        features: config.n_features,
        marks: config.n_marks,
        width: config.d_model,
        layers: config.n_layers,
        heads: config.n_heads,
        hidden: config.d_mlp,
        scale: config.attention_scale.unwrap_or(1.0) as f32,
        activation: match config.activation {
            Activation::Gelu => sr_cpu::Activation::Gelu,
            Activation::GeluNew => sr_cpu::Activation::GeluNew,
        },
        epsilon: config.layer_norm_eps as f32,
    };
    let mut collect = Collect::default();
    model.visit(&mut collect);
    Some((Weights::new(shape, collect.values), collect.ids))
}

/// The embedded points of a model without a graph, `[B, N, C]`; `None` if it has no embedder.
pub(crate) fn embed(model: &Model, points: &PointBatch) -> Option<Vec<f32>> {
    model.point_embedder().map(|embedder| floats(embedder.forward(model, points)))
}

fn floats<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.try_into_vec_as::<f32>().expect("a tensor of the CPU")
}

/// The batch without padding. `prefix` and `embedded` have the prefix positions of all rows, `[B, P]` and `[B, P, C]`,
/// padded; weights of labels are divided by `total`, their sum is given too.
fn rows(
    batch: &TrainBatch,
    config: &ModelConfig,
    prefix: &[bool],
    embedded: &[f32],
    total: f64,
) -> Result<(Rows, f64), Error> {
    let (length, c, n_prefix) = (batch.length, config.d_model, prefix.len() / batch.rows);
    let (mut rows, mut weight) = (Rows::default(), 0.0);
    for row in 0..batch.rows {
        let cells = row * length..(row + 1) * length;
        let segments = &batch.segments[cells.clone()];
        let n_tokens = segments.iter().position(|&segment| segment < 0).unwrap_or(length);
        let cells = cells.start..cells.start + n_tokens;
        let real = prefix[row * n_prefix..(row + 1) * n_prefix].iter().filter(|&&real| real).count();
        rows.prefix.extend_from_slice(&embedded[row * n_prefix * c..][..real * c]);
        let first = rows.tokens.len();
        rows.tokens.extend_from_slice(&batch.tokens[cells.clone()]);
        rows.positions.extend_from_slice(&batch.positions[cells.clone()]);
        rows.features.extend(batch.features.get(cells.clone()).into_iter().flatten());
        let each = batch.marks.len() / (batch.rows * length);
        rows.marks.extend_from_slice(&batch.marks[cells.start * each..cells.end * each]);
        for (offset, cell) in cells.clone().enumerate().filter(|&(_, cell)| batch.labels[cell] >= 0) {
            let of_label = f64::from(batch.weights[cell]);
            weight += of_label;
            if of_label > 0.0 {
                let (token, label) = (first + offset, batch.labels[cell] as usize);
                rows.labels.push(Label { token, label, weight: (of_label / total) as f32 });
            }
        }
        let individuals = batch.individuals.get(cells.clone()).unwrap_or_default();
        let runs = runs(real, &segments[..n_tokens], individuals, config.prefix_attention);
        rows.rows.push(Row { prefix: real, tokens: n_tokens, runs });
    }
    if rows.labels.is_empty() {
        return Err(Error::Input("a batch without labels".to_owned()));
    }
    Ok((rows, weight))
}

/// Who sees whom in a row, as `mask.rs` says it: points, then tokens of these segments and individuals (empty for none).
pub(crate) fn runs(points: usize, segments: &[i32], individuals: &[i32], attention: PrefixAttention) -> Vec<Run> {
    let mut runs = Vec::new();
    if points > 0 {
        runs.push(Run { start: 0, len: points, sees: 0, causal: attention == PrefixAttention::Causal });
    }
    let part = |token: usize| (segments[token], individuals.get(token).copied().unwrap_or(0));
    let prompt = points + segments.iter().take_while(|&&segment| segment == 0).count();
    let context = (0..segments.len()).take_while(|&token| part(token) == (0, 0)).count();
    let mut token = 0;
    while token < segments.len() {
        let (segment, individual) = part(token);
        let len = (token..segments.len()).take_while(|&next| part(next) == (segment, individual)).count();
        let start = points + token;
        let sees = match (segment, individual) {
            (0, 0) if token == 0 => points,
            (0, 0) => start,
            (0, _) => points + context,
            _ => prompt,
        };
        runs.push(Run { start, len, sees, causal: true });
        token += len;
    }
    runs
}

/// Gradients at real prefix positions, with zeros for the padded ones.
fn pad(gradients: &[f32], prefix: &[bool], width: usize) -> Vec<f32> {
    let mut real = gradients.chunks_exact(width);
    let mut padded = vec![0.0; prefix.len() * width];
    for (out, _) in padded.chunks_exact_mut(width).zip(prefix).filter(|(_, real)| **real) {
        out.copy_from_slice(real.next().expect("a gradient for each real position"));
    }
    padded
}

/// Collects weights in the order of the module's fields, which is that of [`Shape::n_weights`].
#[derive(Default)]
struct Collect {
    /// Where it is.
    path: Vec<String>,
    values: Vec<f32>,
    ids: Vec<ParamId>,
}

impl ModuleVisitor for Collect {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if !self.path.iter().any(|name| name == POINT_EMBEDDER) {
            self.values.extend(floats(param.val()));
            self.ids.push(param.id);
        }
    }
}

/// Gives gradients out in the same order.
struct Register<'a> {
    ids: &'a [ParamId],
    rest: &'a [f32],
    into: &'a mut GradientsParams,
    device: &'a Device,
}

impl ModuleVisitor for Register<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if self.ids.contains(&param.id) {
            let shape = param.val().dims();
            let (values, rest) = self.rest.split_at(shape.iter().product());
            self.rest = rest;
            let data = TensorData::new(values.to_vec(), shape);
            self.into.register(param.id, Tensor::<D>::from_data(data, self.device));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_say_what_the_mask_says() {
        let cases: [(usize, &[i32], &[i32]); 5] = [
            (2, &[0, 0, 1, 1, 2], &[]),
            (0, &[0, 0, 0], &[]),
            (3, &[0, 0, 0, 0, 0, 0, 1, 1, 2], &[0, 1, 1, 2, 3, 0, 0, 0, 0]),
            (0, &[0, 0, 0], &[1, 1, 2]),
            (1, &[1, 2, 2], &[]),
        ];
        for (points, segments, individuals) in cases {
            for prefix_attention in [PrefixAttention::Causal, PrefixAttention::Bidirectional] {
                let mask = vec![true; points];
                let positions = &vec![0; segments.len()];
                let layout =
                    crate::mask::Layout { rows: 1, points: &mask, segments, individuals, positions, prefix_attention };
                let expected: Vec<bool> = layout.bias(None).iter().map(|&bias| bias == 0.0).collect();
                let len = points + segments.len();
                let mut found = vec![false; len * len];
                for run in runs(points, segments, individuals, prefix_attention) {
                    for i in run.start..run.start + run.len {
                        let last = if run.causal { i + 1 } else { run.start + run.len };
                        (0..run.sees).chain(run.start..last).for_each(|j| found[i * len + j] = true);
                    }
                }
                assert_eq!(found, expected, "{points} {segments:?} {individuals:?} {prefix_attention:?}");
            }
        }
    }
}
