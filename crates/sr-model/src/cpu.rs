//! The model on a CPU: `sr-cpu` computes losses, gradients and texts with the same weights, without the tensor
//! framework, whose kernels differ from machine to machine.

use std::sync::Once;

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};
use sr_cpu::{Embedder, EmbedderShape, Label, Pass, Row, Rows, Shape, Transposes, Weights};

use crate::device::{is_flex, is_gpu};
use crate::points::float_features;
use crate::visibility::runs;
use crate::{Activation, Error, Model, ModelConfig, PointBatch, PointEmbedding, Precision, TrainBatch};

/// A snapshot of a model's weights for passes on a CPU.
#[derive(Debug)]
pub struct CpuModel {
    config: ModelConfig,
    device: Device,
    snapshot: Snapshot,
    transposes: Transposes,
}

/// The name of the embedder's module.
const POINT_EMBEDDER: &str = "point_embedder";

impl CpuModel {
    /// Takes a snapshot of the model, which may be in training. Returns `None` if the model is not on the CPU backend
    /// or has something that `sr-cpu` lacks; the caller then uses the tensor framework, and the reason is logged once.
    pub fn new(model: &Model) -> Option<Self> {
        let snapshot = Snapshot::of(&model.valid())?;
        let transposes = snapshot.weights.transposes();
        let (config, device) = (model.config().clone(), model.valid().device());
        Some(CpuModel { config, device, snapshot, transposes })
    }

    /// Returns the weighted sum of the losses of the batch's labels, in nats, and the sum of their weights.
    ///
    /// # Errors
    /// Those of [`Model::loss`].
    pub fn loss(&self, batch: &TrainBatch, pass: &mut Pass) -> Result<(f64, f64), Error> {
        let (rows, weight) = self.rows(batch)?;
        Ok((pass.loss(&self.snapshot.weights, &rows), weight))
    }

    /// Returns how many of the batch's labels are the likeliest tokens at their positions, and the number of labels.
    ///
    /// # Errors
    /// Those of [`Model::loss`].
    pub fn hits(&self, batch: &TrainBatch, pass: &mut Pass) -> Result<(usize, usize), Error> {
        let (rows, _) = self.rows(batch)?;
        let likeliest = pass.likeliest(&self.snapshot.weights, &rows);
        let hits = rows.labels.iter().zip(likeliest).filter(|(label, likeliest)| label.label == *likeliest).count();
        Ok((hits, rows.labels.len()))
    }

    fn rows(&self, batch: &TrainBatch) -> Result<(Rows, f64), Error> {
        batch.check(&self.config)?;
        let (prefix, counts) = match self.snapshot.embedder(batch.points.as_ref()) {
            Some((embedder, points)) => {
                let (inputs, counts) = real(points, embedder);
                (embedder.forward(&inputs, &counts).prefix, prefixes(&counts, embedder))
            }
            None => (Vec::new(), vec![0; batch.rows]),
        };
        rows(batch, &self.config, &counts, prefix, 1.0)
    }

    /// Returns the same as [`loss`](Self::loss), and adds the gradients of the sum divided by `total` to `gradients`,
    /// which must have [`n_weights`](Self::n_weights) entries. The third value says whether the batch has points;
    /// without points, the entries of the embedder are not gradients.
    ///
    /// # Errors
    /// Those of [`Model::loss`].
    pub fn gradients(
        &self,
        batch: &TrainBatch,
        total: f64,
        pass: &mut Pass,
        gradients: &mut [f32],
    ) -> Result<(f64, f64, bool), Error> {
        batch.check(&self.config)?;
        let weights = &self.snapshot.weights;
        let (of_decoder, of_embedder) = gradients.split_at_mut(weights.shape().n_weights());
        let Some((embedder, points)) = self.snapshot.embedder(batch.points.as_ref()) else {
            let (rows, weight) = rows(batch, &self.config, &vec![0; batch.rows], Vec::new(), total)?;
            let (loss, _) = pass.gradients(weights, &self.transposes, &rows, of_decoder);
            return Ok((loss * total, weight, false));
        };
        let (inputs, counts) = real(points, embedder);
        let mut embedded = embedder.forward(&inputs, &counts);
        let prefix = std::mem::take(&mut embedded.prefix);
        let (rows, weight) = rows(batch, &self.config, &prefixes(&counts, embedder), prefix, total)?;
        let (loss, dprefix) = pass.gradients(weights, &self.transposes, &rows, of_decoder);
        embedded.prefix = rows.prefix;
        embedder.backward(&inputs, &embedded, &dprefix, of_embedder);
        Ok((loss * total, weight, true))
    }

    /// Returns the number of entries of a gradient.
    pub fn n_weights(&self) -> usize {
        let embedder = self.snapshot.embedder.as_ref().map_or(0, |embedder| embedder.shape().n_weights());
        self.snapshot.weights.shape().n_weights() + embedder
    }

    /// Registers the sums of [`gradients`](Self::gradients) by parameter; those of the embedder only if `has_points`.
    pub fn register(&self, model: &Model, gradients: &[f32], has_points: bool, into: &mut GradientsParams) {
        let (of_decoder, of_embedder) = gradients.split_at(self.snapshot.weights.shape().n_weights());
        let (ids, embedder_ids) = (&self.snapshot.ids, &self.snapshot.embedder_ids);
        let mut register = |ids, rest| model.visit(&mut Register { ids, rest, into, device: &self.device });
        register(ids, of_decoder);
        if has_points {
            register(embedder_ids, of_embedder);
        }
    }
}

/// The weights of a model without a graph, with the ids of their parameters.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) weights: Weights,
    embedder: Option<Embedder>,
    ids: Vec<ParamId>,
    embedder_ids: Vec<ParamId>,
}

impl Snapshot {
    /// Takes a snapshot; `None` on another device, or if the model has something that `sr-cpu` lacks.
    pub(crate) fn of(model: &Model) -> Option<Self> {
        let config = model.config();
        if let Some(reason) = missing(model) {
            static TOLD: Once = Once::new();
            if !is_gpu(&model.device()) {
                TOLD.call_once(|| {
                    tracing::warn!(
                        "the tensor framework computes instead of the CPU code of this program, because of {reason}: \
                         slower, and results may differ from machine to machine"
                    );
                });
            }
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
        let Collect { decoder, embedder, .. } = collect;
        let embedder_shape = config.points.as_ref().map(|points| EmbedderShape {
            model: shape,
            inputs: points.inputs(),
            hidden: points.hidden,
            queries: match points.kind {
                PointEmbedding::E2e => 0,
                PointEmbedding::Set => points.n_queries,
            },
        });
        Some(Snapshot {
            weights: Weights::new(shape, decoder.values),
            embedder: embedder_shape.map(|shape| Embedder::new(shape, embedder.values)),
            ids: decoder.ids,
            embedder_ids: embedder.ids,
        })
    }

    fn embedder<'a>(&'a self, points: Option<&'a PointBatch>) -> Option<(&'a Embedder, &'a PointBatch)> {
        self.embedder.as_ref().zip(points)
    }

    /// Returns the prefix of one prompt, `[P, C]`.
    pub(crate) fn prefix(&self, points: Option<&PointBatch>) -> Vec<f32> {
        self.embedder(points).map_or(Vec::new(), |(embedder, points)| {
            let (inputs, counts) = real(points, embedder);
            embedder.forward(&inputs, &counts).prefix
        })
    }
}

/// Returns the reason why `sr-cpu` cannot compute the model, if there is one.
fn missing(model: &Model) -> Option<&'static str> {
    if !is_flex(&model.device()) {
        Some("the device")
    } else if model.precision() != Precision::F32 {
        Some("precision bf16")
    } else if model.config().local_window().is_some() {
        Some("local attention")
    } else {
        None
    }
}

/// Returns the real points of all rows as inputs of the embedder, and the number of points of each row.
fn real(points: &PointBatch, embedder: &Embedder) -> (Vec<f32>, Vec<usize>) {
    let PointBatch { n_points, width, values, mask, .. } = points;
    let real = values.chunks_exact(*width).zip(mask).filter(|(_, real)| **real);
    let values: Vec<f32> = real.flat_map(|(values, _)| values).copied().collect();
    let counts = mask.chunks_exact(*n_points).map(|row| row.iter().filter(|&&real| real).count()).collect();
    let inputs = if embedder.shape().queries > 0 { float_features(&values) } else { values };
    (inputs, counts)
}

/// Returns the number of prefix positions for each number of points.
fn prefixes(counts: &[usize], embedder: &Embedder) -> Vec<usize> {
    let of_row = |&count: &usize| match embedder.shape().queries {
        0 => count,
        queries if count > 0 => queries,
        _ => 0,
    };
    counts.iter().map(of_row).collect()
}

fn floats<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.try_into_vec_as::<f32>().expect("a tensor of the CPU")
}

/// Removes the padding of a batch. `counts` has the number of embedded positions in `prefix` of each row. The weights
/// of labels are divided by `total`; their sum is returned too.
fn rows(
    batch: &TrainBatch,
    config: &ModelConfig,
    counts: &[usize],
    prefix: Vec<f32>,
    total: f64,
) -> Result<(Rows, f64), Error> {
    let length = batch.length;
    let (mut rows, mut weight) = (Rows { prefix, ..Rows::default() }, 0.0);
    for (row, &real) in counts.iter().enumerate() {
        let cells = row * length..(row + 1) * length;
        let segments = &batch.segments[cells.clone()];
        let n_tokens = segments.iter().position(|&segment| segment < 0).unwrap_or(length);
        let cells = cells.start..cells.start + n_tokens;
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

/// Collects weights in the order of the module's fields, as [`Shape::n_weights`] and [`EmbedderShape::n_weights`] count
/// them.
#[derive(Default)]
struct Collect {
    /// The path of the current module.
    path: Vec<String>,
    decoder: Part,
    embedder: Part,
}

#[derive(Default)]
struct Part {
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
        let is_embedder = self.path.iter().any(|name| name == POINT_EMBEDDER);
        let part = if is_embedder { &mut self.embedder } else { &mut self.decoder };
        part.values.extend(floats(param.val()));
        part.ids.push(param.id);
    }
}

/// Registers gradients in the same order.
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
