//! Sampling of many siblings for many prompts with a key/value cache.
//!
//! A prompt is encoded once and its siblings attend to it. Everything that shapes a state's arithmetic (padded prompt
//! length, padded number of siblings, length of the cache) depends on the state and the step alone, and states of one
//! shape are stacked in the outermost dimension. On a GPU, where kernels are chosen by size and speed, a state's
//! children are the same up to rounding, whatever else is in the batch.
//!
//! On a CPU `sr-cpu` decodes, without padding, and threads share states and siblings; there a state's children are the
//! same bits. [`Decoder::reference`] uses the tensor framework there too.
//!
//! Distinct siblings are written in waves after the prompts have been read once, see [`Sampler::siblings`].

mod request;
mod sampler;
mod wave;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use burn::module::Module;
use burn::tensor::Tensor;
use rayon::prelude::*;
use sr_cpu::{Pass, Prefixes, PromptCache, Row, Rows};

pub use request::{Constraint, DecodeRequest, Free, Identity, Prompt, Sample, Uniform};
use sampler::{Growing, Sampler, Stem};
use wave::{STEP_TILE, Shape, Wave};

use crate::cpu::Snapshot;
use crate::visibility::runs;
use crate::{Error, Model, PointBatch};

/// The most positions held at once by default. On a GPU a `tiny` model needs two gigabytes for them.
const CPU_BATCH_TOKENS: usize = 1 << 15;
const GPU_BATCH_TOKENS: usize = 1 << 19;

/// A model prepared for decoding. It is cheap to clone, because weights are shared.
#[derive(Debug, Clone)]
pub struct Decoder {
    model: Model,
    /// `[1, C, vocab_size]`
    head: Tensor<3>,
    /// The weights for `sr-cpu`; `None` where the tensor framework decodes.
    cpu: Option<Arc<Snapshot>>,
    memory: Arc<Memory>,
}

/// Memory of earlier requests on a CPU, for reuse: fresh pages cost up to a tenth of the work.
#[derive(Debug, Default)]
struct Memory {
    passes: Pool<Pass>,
    prompts: Pool<PromptCache>,
}

/// Objects for reuse.
#[derive(Debug, Default)]
struct Pool<T>(Mutex<Vec<T>>);

impl<T: Default> Pool<T> {
    fn take(&self) -> T {
        self.0.lock().expect("nobody panics with it").pop().unwrap_or_default()
    }

    fn give(&self, used: impl IntoIterator<Item = T>) {
        self.0.lock().expect("nobody panics with it").extend(used);
    }
}

impl Decoder {
    /// Takes a snapshot of the model, which may be in training.
    pub fn new(model: &Model) -> Self {
        let decoder = Decoder::reference(model);
        let cpu = Snapshot::of(&decoder.model).map(Arc::new);
        Decoder { cpu, ..decoder }
    }

    /// Takes a snapshot that decodes on the tensor framework on a CPU too. It is slower there, and serves to check the
    /// fast path.
    pub fn reference(model: &Model) -> Self {
        let model = model.valid();
        let head = model.narrow(model.head().unsqueeze());
        Decoder { model: model.narrowed(), head, cpu: None, memory: Arc::default() }
    }

    /// Returns the model of the snapshot.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Samples the children of every state, in order.
    ///
    /// # Errors
    /// [`Error::Input`] if the request does not fit the model, [`Error::NoLegalToken`] if the grammar allows no token,
    /// [`Error::NotFinite`] if the logits are not finite, [`Error::Stopped`] if the request's flag is set.
    pub fn decode<G: Constraint>(
        &self,
        request: &DecodeRequest<'_>,
        uniform: &Uniform<'_>,
        grammar: &G,
    ) -> Result<Vec<Vec<Sample>>, Error> {
        request.check(&self.model)?;
        let sampler = Sampler { request, uniform, grammar };
        match &self.cpu {
            Some(snapshot) => self.decode_on_cpu(snapshot, &sampler),
            None => self.decode_in_waves(&sampler),
        }
    }

    fn max_batch_tokens(&self, request: &DecodeRequest<'_>) -> usize {
        let default = if self.model.is_for_gpu() { GPU_BATCH_TOKENS } else { CPU_BATCH_TOKENS };
        request.max_batch_tokens.unwrap_or(default)
    }

    fn decode_in_waves<G: Constraint>(&self, sampler: &Sampler<'_, G>) -> Result<Vec<Vec<Sample>>, Error> {
        let request = sampler.request;
        let mut samples = vec![Vec::new(); request.prompts.len()];
        let mut shapes: BTreeMap<Shape, Vec<usize>> = BTreeMap::new();
        for (state, (prompt, &siblings)) in request.prompts.iter().zip(request.siblings).enumerate() {
            if siblings > 0 {
                shapes.entry(Shape::of(prompt, siblings)).or_default().push(state);
            }
        }
        if self.model.is_for_gpu() {
            shapes = Shape::merge(shapes);
        }
        for (shape, states) in shapes {
            let prefix =
                if shape.has_points { self.model.config().points.as_ref().map_or(0, |p| p.n_prefix()) } else { 0 };
            // With distinct siblings the prompts are kept beside the cache of the siblings, which starts as a copy of
            // them.
            let prompts = (prefix + shape.prompt) * if request.distinct { 2 } else { 1 };
            let per_state = prompts + shape.siblings * request.max_new_tokens.next_multiple_of(STEP_TILE);
            for states in states.chunks((self.max_batch_tokens(request) / per_state).max(1)) {
                let mut read = Some(Wave::prefill(self, request, shape, states)?);
                let of_states = sampler.siblings(states, |children| {
                    let wave =
                        if request.distinct { read.as_ref().map(|read| read.again(children)) } else { read.take() };
                    wave.expect("without distinct there is one wave").write(sampler, children)
                })?;
                states.iter().zip(of_states).for_each(|(&state, of_state)| samples[state] = of_state);
            }
        }
        Ok(samples)
    }

    /// Reads the prompts, state by state, and then writes the children; threads share both.
    fn decode_on_cpu<G: Constraint>(
        &self,
        snapshot: &Snapshot,
        sampler: &Sampler<'_, G>,
    ) -> Result<Vec<Vec<Sample>>, Error> {
        let request = sampler.request;
        let n_points = self.model.config().points.as_ref().map_or(0, |points| points.n_prefix());
        let positions = |state: usize| {
            n_points + request.prompts[state].tokens.len() + request.siblings[state] * request.max_new_tokens
        };
        let n_states = request.prompts.len();
        let mut samples = Vec::with_capacity(n_states);
        while samples.len() < n_states {
            let first = samples.len();
            let mut end = first + 1;
            let mut held = positions(first);
            while end < n_states && held + positions(end) <= self.max_batch_tokens(request) {
                held += positions(end);
                end += 1;
            }
            let states: Vec<usize> = (first..end).collect();
            let read = |&state: &usize| {
                request.check_stop()?;
                self.read(snapshot, &request.prompts[state])
            };
            let caches: Vec<PromptCache> = states.par_iter().map(read).collect::<Result<_, _>>()?;
            let mut prefixes: Vec<Prefixes> = caches.iter().map(|_| Prefixes::default()).collect();
            let threads = rayon::current_num_threads();
            samples.extend(sampler.siblings(&states, |children| {
                let share = children.iter().map(Vec::len).sum::<usize>().div_ceil(threads).max(1);
                let of_states = caches.iter().zip(&mut prefixes).zip(children);
                let mut own: Vec<Prefixes> = Vec::new();
                let stems: Vec<Stem<'_, '_, G>> = if request.distinct {
                    // The prefixes of one wave serve the next, so the children of a state stay together.
                    of_states.map(|((prompt, prefixes), children)| Stem { prompt, prefixes, children }).collect()
                } else {
                    let pieces: Vec<(&PromptCache, &mut [Growing<'_, G>])> = of_states
                        .flat_map(|((prompt, _), children)| {
                            children.chunks_mut(share).map(move |piece| (prompt, piece))
                        })
                        .collect();
                    own.resize_with(pieces.len(), Prefixes::default);
                    let stems = pieces.into_iter().zip(&mut own);
                    stems.map(|((prompt, children), prefixes)| Stem { prompt, prefixes, children }).collect()
                };
                let mut of_threads: Vec<Vec<Stem<'_, '_, G>>> = (0..threads).map(|_| Vec::new()).collect();
                let mut before = 0;
                for stem in stems {
                    let n = stem.children.len();
                    of_threads[(before / share).min(threads - 1)].push(stem);
                    before += n;
                }
                of_threads.par_iter_mut().try_for_each(|stems| sampler.write(&snapshot.weights, stems))
            })?);
            self.memory.prompts.give(caches);
        }
        Ok(samples)
    }

    fn read(&self, snapshot: &Snapshot, prompt: &Prompt) -> Result<PromptCache, Error> {
        let config = self.model.config();
        let points = prompt.points.as_ref().map(|points| PointBatch::pack(config, &[points])).transpose()?;
        let prefix = snapshot.prefix(points.as_ref());
        let n_points = prefix.len() / config.d_model;
        let (segments, individuals) = (vec![0; prompt.tokens.len()], prompt.individual_numbers().collect::<Vec<_>>());
        let runs = runs(n_points, &segments, &individuals, config.prefix_attention);
        let rows = Rows {
            rows: vec![Row { prefix: n_points, tokens: prompt.tokens.len(), runs }],
            tokens: prompt.tokens.clone(),
            positions: prompt.positions().collect(),
            marks: prompt.marks.clone(),
            prefix,
            ..Rows::default()
        };
        let (mut pass, mut cache) = (self.memory.passes.take(), self.memory.prompts.take());
        cache.refill(&snapshot.weights, &rows, &mut pass);
        self.memory.passes.give([pass]);
        Ok(cache)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Attention, Channel, DeviceKind, IGNORE, ModelConfig, Points, PointsConfig, Population, TrainBatch};

    fn model(attention_layers: &[Attention], points: PointsConfig) -> Model {
        let points = PointsConfig { n_variables: 1, channels: vec![Channel::X, Channel::Y], hidden: 8, ..points };
        let config = ModelConfig {
            n_positions: 96,
            n_features: 5,
            n_marks: 3,
            d_model: 16,
            n_layers: 2,
            n_heads: 2,
            d_mlp: 32,
            points: Some(points),
            attention_window: Some(5),
            attention_layers: attention_layers.to_vec(),
            population: Population::Text,
            ..ModelConfig::micro(24)
        };
        // Logits of fresh weights are nearly flat; scaled up, a wrong position or mask shows.
        Model::new(&config, 3, &DeviceKind::Cpu.open().unwrap()).unwrap().map(&mut Scale)
    }

    /// Returns a feature that depends on all tokens so far.
    fn feature(so_far: &[i32]) -> i32 {
        (so_far.iter().sum::<i32>() + so_far.len() as i32) % 4 + 1
    }

    struct Scale;

    impl burn::module::ModuleMapper for Scale {
        fn map_float<const D: usize>(
            &mut self,
            param: burn::module::Param<Tensor<D>>,
        ) -> burn::module::Param<Tensor<D>> {
            if D == 2 { param.map(|weight| weight * 12.0) } else { param }
        }
    }

    #[test]
    fn cached_logits_equal_the_plain_forward_pass() {
        for layers in [&[][..], &[Attention::Local, Attention::Global], &[Attention::Global, Attention::Local]] {
            let points = Points { values: vec![0.5, -1.0, 2.0, 1.5] };
            let model = model(layers, PointsConfig::learner(3));
            cached_equals_plain(&model, None);
            cached_equals_plain(&model, Some(points));
        }
        let set = model(&[Attention::Local, Attention::Global], PointsConfig { n_queries: 3, ..PointsConfig::set() });
        for n_points in [0, 1, 50] {
            cached_equals_plain(&set, Some(Points { values: (0..2 * n_points).map(|i| i as f32 - 7.0).collect() }));
        }
    }

    fn cached_equals_plain(model: &Model, points: Option<Points>) {
        let decoder = Decoder::reference(model);
        let (tokens, marks) = (0..37).map(|i| ((i * 7 + 3) % 24, [i % 4, i * 5 % 4])).unzip::<_, _, _, Vec<_>>();
        let prompts = [Prompt { tokens, marks: marks.concat(), points, ..Prompt::default() }];
        let request = DecodeRequest { feature, ..DecodeRequest::new(&prompts, &[5], 1, 0) };
        let mut wave = Wave::prefill(&decoder, &request, Shape::of(&prompts[0], 5), &[0]).unwrap();
        let mut written: Vec<Vec<i32>> = vec![vec![1]; 5];
        for step in 0..11 {
            let logits: Vec<f32> = wave.advance(step).unwrap().try_into_vec_as().unwrap();
            for sibling in 0..5 {
                let tokens: Vec<i32> = prompts[0].tokens.iter().chain(&written[sibling]).copied().collect();
                let n = tokens.len();
                let batch = TrainBatch {
                    rows: 1,
                    length: n,
                    tokens,
                    positions: (0..n as i32).collect(),
                    features: (0..n).map(|i| if i < 37 { 0 } else { feature(&written[sibling][1..=i - 37]) }).collect(),
                    marks: prompts[0].marks.iter().copied().chain(vec![0; 2 * (n - 37)]).collect(),
                    segments: vec![0; n],
                    individuals: vec![],
                    labels: vec![IGNORE; n],
                    weights: vec![0.0; n],
                    points: prompts[0].points.as_ref().map(|p| PointBatch::pack(model.config(), &[p]).unwrap()),
                };
                let plain: Vec<f32> = model.forward(&batch).unwrap().narrow(1, n - 1, 1).try_into_vec_as().unwrap();
                for (cached, plain) in logits[sibling * 24..].iter().zip(&plain) {
                    assert!(
                        (cached - plain).abs() < 1e-4 * plain.abs().max(1.0),
                        "step {step} sibling {sibling}: {cached} {plain}"
                    );
                }
                let next = ((sibling * 5 + step * 11) % 24) as i32;
                written[sibling].push(next);
                wave.last[sibling] = next;
                wave.features[sibling] = feature(&written[sibling][1..]);
            }
        }
    }

    /// Tests that sampling follows the same distribution as training, with weights so large that every mistake shows.
    #[test]
    fn a_childs_log_probability_is_what_training_takes_for_it() {
        let points = PointsConfig {
            n_variables: 1,
            channels: vec![Channel::X, Channel::Y],
            hidden: 8,
            ..PointsConfig::learner(3)
        };
        let config = ModelConfig {
            n_positions: 64,
            n_features: 5,
            n_marks: 3,
            d_model: 16,
            n_layers: 2,
            n_heads: 2,
            d_mlp: 32,
            points: Some(points),
            ..ModelConfig::micro(24)
        };
        let model = Model::new(&config, 3, &DeviceKind::Cpu.open().unwrap()).unwrap().map(&mut Scale);
        let (start, eos) = (1, 0);
        let many: Vec<u32> = (0..30).map(|i| 9 + i * 7 + i % 3).collect();
        let prompts: Vec<Prompt> = [vec![], vec![3, 7, 8, 14], vec![2, 20], many]
            .into_iter()
            .zip(2..)
            .map(|(individuals, seed)| {
                let length = individuals.last().map_or(21, |&end| end as i32 + 4);
                Prompt {
                    tokens: (0..length).map(|t| (t * t * seed + 3) % 24).collect(),
                    individuals,
                    marks: if seed % 2 == 0 { (0..2 * length).map(|i| i * seed % 4).collect() } else { vec![] },
                    points: (seed > 2).then(|| Points { values: vec![0.5, -1.0, 2.0, 1.5] }),
                }
            })
            .collect();
        let request = DecodeRequest { feature, max_new_tokens: 9, ..DecodeRequest::new(&prompts, &[6; 4], start, eos) };
        let uniform =
            |state: usize, sibling: usize, step: usize| ((state * 7 + sibling * 31 + step * 13) % 97) as f64 / 97.0;
        for decoder in [Decoder::new(&model), Decoder::reference(&model)] {
            let children = decoder.decode(&request, &uniform, &Free).unwrap();
            for (prompt, children) in prompts.iter().zip(&children) {
                for child in children {
                    let labels: Vec<i32> = child.tokens.iter().copied().chain(child.finished.then_some(eos)).collect();
                    let n = prompt.tokens.len();
                    let of_child = |of: &dyn Fn(usize) -> i32| (0..labels.len()).map(of).collect::<Vec<i32>>();
                    let both = |a: Vec<i32>, b: Vec<i32>| [a, b].concat();
                    let batch = TrainBatch {
                        rows: 1,
                        length: n + labels.len(),
                        tokens: both(prompt.tokens.clone(), of_child(&|i| if i == 0 { start } else { labels[i - 1] })),
                        positions: both(
                            prompt.positions().collect(),
                            of_child(&|i| (prompt.next_position() + i) as i32),
                        ),
                        features: both(vec![0; n], of_child(&|i| feature(&labels[..i]))),
                        marks: [&prompt.marks[..], &vec![0; prompt.marks.len() / n * labels.len()]].concat(),
                        segments: both(vec![0; n], of_child(&|_| 1)),
                        individuals: both(prompt.individual_numbers().collect(), of_child(&|_| 0)),
                        labels: both(vec![IGNORE; n], labels.clone()),
                        weights: [vec![0.0; n], vec![1.0; labels.len()]].concat(),
                        points: prompt.points.as_ref().map(|p| PointBatch::pack(model.config(), &[p]).unwrap()),
                    };
                    let expected = -(labels.len() as f32) * model.loss(&batch).unwrap().value.into_scalar::<f32>();
                    let fast =
                        crate::CpuModel::new(&model).unwrap().loss(&batch, &mut Pass::default()).unwrap().0 as f32;
                    for found in [child.log_prob, -fast] {
                        assert!((found - expected).abs() < 1e-3 * expected.abs().max(1.0), "{found} {expected}");
                    }
                }
            }
        }
    }

    #[test]
    fn keeping_some_rows_changes_nothing_for_them() {
        let model = model(&[Attention::Global, Attention::Local], PointsConfig::learner(3));
        let decoder = Decoder::reference(&model);
        let prompts: Vec<Prompt> = (1..4).map(|i| Prompt { tokens: vec![i; 5], ..Prompt::default() }).collect();
        let request = DecodeRequest::new(&prompts, &[7, 7, 7], 1, 0);
        let shape = Shape::of(&prompts[0], 7);
        let start = || Wave::prefill(&decoder, &request, shape, &[0, 1, 2]).unwrap();
        let logits = |wave: &mut Wave<'_>, step| -> Vec<f32> { wave.advance(step).unwrap().try_into_vec_as().unwrap() };
        let (mut whole, mut rows, mut lanes) = (start(), start(), start());
        whole.last = (0..24).map(|cell| cell % 5 + 1).collect();
        (rows.last, lanes.last) = (whole.last.clone(), whole.last.clone());
        let (kept_rows, kept_lanes) = ([(2, (0..8).collect())], [(0, vec![1, 2, 6]), (2, vec![5])]);
        for step in 0..10 {
            let all = logits(&mut whole, step);
            let some = logits(&mut rows, step);
            let few = logits(&mut lanes, step);
            let of = |row: usize, lane: usize| &all[(row * 8 + lane) * 24..][..24];
            if step < 4 {
                assert!(all == some && all == few, "step {step}");
            } else {
                assert_eq!(some, &all[2 * 8 * 24..], "step {step}");
                for (at, (row, lane)) in [(0, (0, 1)), (1, (0, 2)), (2, (0, 6)), (4, (2, 5))] {
                    let near = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-4 * a.abs().max(1.0);
                    assert!(few[at * 24..].iter().zip(of(row, lane)).all(near), "step {step} row {row} lane {lane}");
                }
            }
            if step == 3 {
                rows.keep(&kept_rows);
                lanes.keep(&kept_lanes);
                assert_eq!((lanes.siblings, &lanes.states[..]), (4, &[0, 2][..]));
            }
        }
    }

    #[test]
    fn the_ways_of_a_gpu_write_the_same_children() {
        let model = model(&[], PointsConfig::learner(3));
        let points = |i: i32| (i % 2 == 0).then(|| Points { values: vec![i as f32, 1.5] });
        let prompts: Vec<Prompt> = (1..6)
            .map(|i| Prompt {
                tokens: (0..i * 9).map(|t| t * i % 24).collect(),
                points: points(i),
                ..Prompt::default()
            })
            .collect();
        let request =
            DecodeRequest { feature, max_new_tokens: 20, ..DecodeRequest::new(&prompts, &[9, 1, 0, 19, 5], 1, 0) };
        let uniform =
            |state: usize, sibling: usize, step: usize| ((state * 7 + sibling * 31 + step * 13) % 97) as f64 / 97.0;
        let decode = |decoder: Decoder| decoder.decode(&request, &uniform, &Free).unwrap();
        let on_gpu = || Decoder { model: model.clone().valid().with_gpu_ways(), ..Decoder::reference(&model) };
        let expected = decode(Decoder::reference(&model));
        let found = decode(on_gpu());
        let lengths: Vec<usize> = expected.iter().flatten().map(|sample| sample.tokens.len()).collect();
        assert!(lengths.iter().min() < Some(&5) && lengths.iter().max() == Some(&20), "{lengths:?}");
        for (expected, found) in expected.iter().flatten().zip(found.iter().flatten()) {
            assert_eq!(expected.tokens, found.tokens);
            assert!((expected.log_prob - found.log_prob).abs() < 1e-3 * expected.log_prob.abs().max(1.0));
        }

        // Waves have fewer and fewer states and lanes.
        let texts = |decoder: Decoder, distinct| -> Vec<Vec<Vec<i32>>> {
            let request = DecodeRequest { distinct, temperature: 0.4, max_new_tokens: 5, ..request };
            let children = decoder.decode(&request, &uniform, &Free).unwrap();
            children.into_iter().map(|of_state| of_state.into_iter().map(|child| child.tokens).collect()).collect()
        };
        let (distinct, plain) = (texts(on_gpu(), true), texts(on_gpu(), false));
        assert_eq!(distinct, texts(Decoder::reference(&model), true));
        let in_one_wave = distinct.iter().zip(&plain).filter(|(distinct, plain)| distinct == plain).count();
        assert!(in_one_wave > 1 && in_one_wave < 5, "{in_one_wave} of 5 states needed one wave only");
    }
}
