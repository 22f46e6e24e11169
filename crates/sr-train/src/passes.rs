//! Forward and backward passes; on a CPU several run at once.
//!
//! On a CPU, passes use `sr-cpu` if it supports the model, and the tensor framework otherwise.
//!
//! A batch is cut into passes of a few rows, whose activations stay in a core's cache. Threads take one pass after the
//! other, each with its own graph. One large pass over all rows, with the threads inside its operations, was slower and
//! took several times the memory on two cores.
//!
//! Nothing within a pass is parallel, and results are added in the order of the passes, so the number of threads
//! changes no bit.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use burn::optim::{GradientsAccumulator, GradientsParams};
use rayon::{ThreadPool, ThreadPoolBuilder};
use sr_model::{CpuModel, DeviceKind, Model, Pass, TrainBatch};

use crate::examples::Selection;
use crate::update::on_graph;
use crate::{Error, Examples};

/// Rows × positions of a pass on a CPU; a pass has at least one row.
const CPU_POSITIONS: usize = 512;

/// Computes passes.
#[derive(Debug)]
pub(crate) struct Passes {
    /// Pools of one thread each, in which nothing runs in parallel; none for a GPU, which is fastest with large passes
    /// from one thread.
    workers: Vec<ThreadPool>,
    /// Whether graphs compute cheap activations again instead of keeping them.
    recompute: bool,
    /// Whether to use the tensor framework on a CPU too.
    is_reference: bool,
}

/// The sums over passes.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Sums {
    /// The sum of the losses of all labels, in nats times weight.
    pub(crate) loss: f64,
    /// The sum of the weights of all labels.
    pub(crate) weight: f64,
    /// The number of tokens, without padding.
    pub(crate) tokens: u64,
    /// The number of tokens, with padding.
    pub(crate) cells: u64,
    /// The number of targets.
    pub(crate) examples: u64,
}

impl Passes {
    /// Returns passes for this device, on as many threads as the current pool has.
    ///
    /// # Panics
    /// If the operating system cannot start the threads.
    pub(crate) fn new(device: DeviceKind, recompute: bool) -> Self {
        let threads = if device == DeviceKind::Cuda { 0 } else { rayon::current_num_threads() };
        let pool = |_| ThreadPoolBuilder::new().num_threads(1).build().expect("a process can have a few more threads");
        Passes { workers: (0..threads).map(pool).collect(), recompute, is_reference: false }
    }

    /// Returns the gradients of the mean loss over the labels of all batches together, as if they were one batch.
    pub(crate) fn gradients(
        &self,
        model: &Model,
        examples: &Examples,
        batches: &[Vec<Selection>],
    ) -> Result<(GradientsParams, Sums), Error> {
        let passes = self.cut(examples, batches);
        let total: f64 = passes.iter().flatten().map(|selection| examples.weight(selection)).sum();
        let mut sums = Sums::default();
        if let Some(fast) = self.fast(model) {
            let (mut summed, mut has_points) = (vec![0.0; fast.n_weights()], false);
            let pass = |index: usize, pass: &mut Pass| {
                let batch = examples.pack(&passes[index])?;
                let mut gradients = vec![0.0; fast.n_weights()];
                let (loss, weight, points) = fast.gradients(&batch, total, pass, &mut gradients)?;
                Ok((gradients, points, Sums::of(&batch, &passes[index], loss, weight)))
            };
            self.each(passes.len(), pass, |(gradients, points, more)| {
                summed.iter_mut().zip(gradients).for_each(|(sum, gradient)| *sum += gradient);
                has_points |= points;
                sums.add(more);
            })?;
            let mut gradients = GradientsParams::new();
            fast.register(model, &summed, has_points, &mut gradients);
            return Ok((gradients, sums));
        }
        let mut accumulator = GradientsAccumulator::new();
        let pass = |index: usize, _: &mut Pass| {
            let batch = examples.pack(&passes[index])?;
            let model = on_graph(model, self.recompute); // leaves of its own, so that no other thread's graph joins this one
            let loss = model.loss(&batch)?;
            let value = loss.value.clone().without_autodiff();
            let gradients = (loss.value * (loss.weight / total)).backward();
            let gradients = GradientsParams::from_grads(gradients, &model);
            // The loss is read last: a GPU would be idle while the host waits for it.
            let mean = f64::from(value.into_scalar::<f32>());
            Ok((gradients, Sums::of(&batch, &passes[index], mean * loss.weight, loss.weight)))
        };
        self.each(passes.len(), pass, |(gradients, more)| {
            accumulator.accumulate(model, gradients);
            sums.add(more);
        })?;
        Ok((accumulator.grads(), sums))
    }

    /// Returns the loss over all batches, without a graph.
    pub(crate) fn loss(&self, model: &Model, examples: &Examples, batches: &[Vec<Selection>]) -> Result<Sums, Error> {
        let fast = self.fast(model);
        let passes = self.cut(examples, batches);
        let mut sums = Sums::default();
        let pass = |index: usize, pass: &mut Pass| {
            let batch = examples.pack(&passes[index])?;
            let (loss, weight) = match &fast {
                Some(fast) => fast.loss(&batch, pass)?,
                None => {
                    let loss = model.loss(&batch)?;
                    (f64::from(loss.value.into_scalar::<f32>()) * loss.weight, loss.weight)
                }
            };
            Ok(Sums::of(&batch, &passes[index], loss, weight))
        };
        self.each(passes.len(), pass, |more| sums.add(more))?;
        Ok(sums)
    }

    fn fast(&self, model: &Model) -> Option<CpuModel> {
        if self.is_reference { None } else { CpuModel::new(model) }
    }

    /// Runs work outside of passes that must not depend on the number of threads.
    pub(crate) fn alone<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        match self.workers.first() {
            Some(worker) => worker.install(work),
            None => work(),
        }
    }

    fn cut(&self, examples: &Examples, batches: &[Vec<Selection>]) -> Vec<Vec<Selection>> {
        match self.workers.len() {
            0 => batches.to_vec(),
            _ => batches.iter().flat_map(|batch| examples.cut(batch, CPU_POSITIONS)).collect(),
        }
    }

    /// Computes `pass` of 0 to `n` and gives the results to `take`, in order.
    fn each<T: Send>(
        &self,
        n: usize,
        pass: impl Fn(usize, &mut Pass) -> Result<T, Error> + Sync,
        take: impl FnMut(T) + Send,
    ) -> Result<(), Error> {
        let (next, line) = (AtomicUsize::new(0), Mutex::new(Line { turn: 0, early: BTreeMap::new(), take }));
        let work = || {
            let mut memory = Pass::default();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= n {
                    return Ok(());
                }
                let result = pass(index, &mut memory).inspect_err(|_| next.store(n, Ordering::Relaxed))?;
                line.lock().expect("a panic ends the run").come(index, result);
            }
        };
        if self.workers.is_empty() {
            return work();
        }
        std::thread::scope(|scope| {
            let threads: Vec<_> = self.workers.iter().map(|worker| scope.spawn(|| worker.install(work))).collect();
            let results = threads.into_iter().map(|thread| thread.join().expect("a panic ends the run"));
            results.collect::<Vec<_>>().into_iter().collect()
        })
    }
}

/// Reorders results that arrive in any order.
struct Line<T, F> {
    turn: usize,
    early: BTreeMap<usize, T>,
    take: F,
}

impl<T, F: FnMut(T)> Line<T, F> {
    fn come(&mut self, index: usize, result: T) {
        self.early.insert(index, result);
        while let Some(result) = self.early.remove(&self.turn) {
            (self.take)(result);
            self.turn += 1;
        }
    }
}

impl Sums {
    fn of(batch: &TrainBatch, selections: &[Selection], loss: f64, weight: f64) -> Self {
        Sums {
            loss,
            weight,
            tokens: batch.segments.iter().filter(|&&segment| segment >= 0).count() as u64,
            cells: batch.segments.len() as u64,
            examples: selections.iter().map(|selection| selection.n_targets() as u64).sum(),
        }
    }

    /// Returns the mean loss per unit of weight, in nats.
    pub(crate) fn mean_loss(&self) -> f64 {
        self.loss / self.weight
    }

    /// Returns the share of padding, in [0, 1).
    pub(crate) fn padding(&self) -> f64 {
        1.0 - self.tokens as f64 / self.cells as f64
    }

    pub(crate) fn add(&mut self, more: Sums) {
        self.loss += more.loss;
        self.weight += more.weight;
        self.tokens += more.tokens;
        self.cells += more.cells;
        self.examples += more.examples;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::module::{Module, ModuleVisitor, Param};
    use burn::tensor::Tensor;
    use sr_model::{ModelConfig, Prompt};
    use sr_prompt::{Condition, Token};

    struct Flat(GradientsParams, Vec<f32>);

    impl ModuleVisitor for Flat {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let gradient = self.0.get::<D>(param.id).expect("a gradient");
            self.1.extend(gradient.try_into_vec_as::<f32>().expect("f32"));
        }
    }

    fn config() -> ModelConfig {
        ModelConfig { d_model: 16, n_layers: 1, n_heads: 2, d_mlp: 32, points: None, ..ModelConfig::micro(32) }
    }

    /// Numbers of labels and weights differ, so a mean of the passes' means would be wrong.
    fn examples() -> Examples {
        let mut examples = Examples::new(&config());
        for state in 0..6_i32 {
            let prompt = Prompt { tokens: vec![4; 100 + state as usize], ..Prompt::default() };
            let ids: Vec<i32> = (0..=state).map(|i| 10 + i).collect();
            let weight = 1.0 + state as f32;
            examples.push(&prompt, Token::Condition(Condition::All), [(&ids[..], weight)]).expect("it fits");
        }
        examples
    }

    fn gradients(passes: &Passes, batches: &[Vec<Selection>]) -> (Vec<f32>, Sums) {
        let device = DeviceKind::Cpu.open().expect("the CPU");
        let model = Model::new(&config(), 1, &device).expect("a model");
        let (gradients, sums) = passes.gradients(&model, &examples(), batches).expect("gradients");
        let mut flat = Flat(gradients, Vec::new());
        model.visit(&mut flat);
        let loss = passes.loss(&model, &examples(), batches).expect("a loss").loss;
        assert!((loss - sums.loss).abs() < 1e-5 * loss, "with and without a graph: {loss} {}", sums.loss);
        (flat.1, sums)
    }

    #[test]
    fn micro_batches_and_passes_equal_one_batch() {
        let whole = examples().sample(3, 1, 6, 1);
        let parts: Vec<Vec<Selection>> = whole[0].chunks(4).map(<[_]>::to_vec).collect();
        let as_on_a_gpu = Passes { workers: Vec::new(), recompute: false, is_reference: true };
        let (expected, sums) = gradients(&as_on_a_gpu, &whole);
        assert_eq!((sums.tokens, sums.cells, sums.examples), (6 * 100 + 15 + 21, 6 * 112, 6));
        let scale = expected.iter().fold(0.0f32, |m, g| m.max(g.abs()));
        for passes in [&as_on_a_gpu, &Passes::new(DeviceKind::Cpu, false)] {
            let (found, of_found) = gradients(passes, &parts);
            assert!((of_found.mean_loss() - sums.mean_loss()).abs() < 1e-5);
            assert_eq!((of_found.tokens, of_found.examples), (sums.tokens, sums.examples));
            assert!(expected.iter().zip(&found).all(|(a, b)| (a - b).abs() <= 1e-5 * scale));
        }
    }

    #[test]
    fn the_number_of_threads_changes_no_bit() {
        let batches = examples().sample(3, 1, 6, 1);
        let on = |threads: usize| {
            let pool = ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
            gradients(&pool.install(|| Passes::new(DeviceKind::Cpu, false)), &batches)
        };
        let one = on(1);
        assert_eq!(examples().cut(&batches[0], CPU_POSITIONS).len(), 2, "there is something to share");
        assert!(one == on(2) && one == on(3));
    }
}
