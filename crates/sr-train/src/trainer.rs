//! The training loop.

use std::ops::AddAssign;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use burn::optim::ModuleOptimizer;
use burn::tensor::Device;
use serde_json::{Value, json};
use sr_model::{Checkpoint, DeviceKind, Model};
use sr_neural::{CheckpointMeta, Language};

use crate::evaluate::Probe;
use crate::examples::{Order, Selection};
use crate::folder::{Meta, Patience, RunFolder, difference};
use crate::passes::{Passes, Sums};
use crate::update::{self, average, clip, optimiser};
use crate::{Error, Examples, RunConfig, Scores};

/// The source of a run's initial weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// New weights from the seed.
    Fresh,
    /// The weights of a folder: a checkpoint of the same mode, language and shape, with a fresh optimiser; or a GPT-Neo
    /// model of `transformers`, of which blocks, last norm and positions are used. Their sizes must be the run's; all
    /// other weights are new, because the tokens differ.
    Checkpoint(PathBuf),
}

/// The limits at which to stop before the configured number of steps. The learning rate does not depend on them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limits<'a> {
    /// The number of steps of the whole run after which to stop.
    pub max_steps: Option<u64>,
    /// The time after which to stop, at the end of a step.
    pub max_time: Option<Duration>,
    /// A flag that stops the run after the current step.
    pub stop: Option<&'a AtomicBool>,
}

/// A training run: a model, its optimiser and its folder.
#[derive(Debug)]
pub struct Trainer<'a> {
    config: RunConfig,
    examples: &'a Examples,
    order: Order,
    validation: Vec<Vec<Selection>>,
    validation_examples: &'a Examples,
    probe: Option<Probe>,
    passes: Passes,
    /// The model, on no graph.
    model: Model,
    /// The moving average of the weights.
    average: Option<Model>,
    optimiser: Optimiser,
    folder: RunFolder,
    meta: Meta,
}

/// A [`ModuleOptimizer`] without its long debug output.
struct Optimiser(ModuleOptimizer);

impl std::fmt::Debug for Optimiser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("optimiser")
    }
}

/// The reason why a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// The configured number of steps was reached.
    Steps,
    /// The validation loss had not improved for `patience` validations.
    Patience,
    /// One of the [`Limits`] was reached.
    Limit,
}

/// The result of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// The number of steps of the whole run, including those before a resumption.
    pub steps: u64,
    /// Loss per target token since the line of metrics before the last step, in nats; `None` if no step was made.
    pub train_loss: Option<f64>,
    /// Loss per target token on the validation examples at the end, in nats.
    pub val_loss: f64,
    /// Scores of predictions at the end; `None` without a sample of validation states.
    pub scores: Option<Scores>,
    /// The reason why the run ended.
    pub stop: StopReason,
    /// Tokens of prompts and targets per second of training, without padding; `None` if no step was made.
    pub tokens_per_second: Option<f64>,
    /// Targets per second of training; `None` if no step was made.
    pub examples_per_second: Option<f64>,
    /// The checkpoint with the lowest validation loss.
    pub best: PathBuf,
    /// The checkpoint of the last step.
    pub last: PathBuf,
}

/// The statistics of one or several steps.
#[derive(Debug, Clone, Copy, Default)]
pub struct StepStats {
    sums: Sums,
    /// The time that the steps took.
    pub time: Duration,
    /// The norm of the gradients before clipping, in the last step.
    pub grad_norm: f64,
}

impl StepStats {
    /// Returns the mean loss per target token, in nats.
    pub fn loss(&self) -> f64 {
        self.sums.mean_loss()
    }

    /// Returns the tokens of prompts and targets per second; 0 before the first step.
    pub fn tokens_per_second(&self) -> f64 {
        self.per_second(self.sums.tokens)
    }

    /// Returns the targets per second; 0 before the first step.
    pub fn examples_per_second(&self) -> f64 {
        self.per_second(self.sums.examples)
    }

    fn per_second(&self, count: u64) -> f64 {
        if self.time.is_zero() { 0.0 } else { count as f64 / self.time.as_secs_f64() }
    }

    /// Returns the share of padding in the batches, in [0, 1).
    pub fn padding(&self) -> f64 {
        self.sums.padding()
    }
}

impl AddAssign for StepStats {
    fn add_assign(&mut self, more: Self) {
        self.sums.add(more.sums);
        self.time += more.time;
        self.grad_norm = more.grad_norm;
    }
}

/// A run that is still to be begun, see [`Trainer::builder`].
#[derive(Debug, Clone)]
pub struct TrainerBuilder<'a> {
    config: RunConfig,
    language: Language,
    init: Start,
    examples: &'a Examples,
    validation: &'a Examples,
    device: DeviceKind,
}

impl<'a> TrainerBuilder<'a> {
    /// Sets how prompts and targets are written. It has to be the language of the examples; that of [`Language::default`]
    /// unless set.
    #[must_use]
    pub fn language(self, language: &Language) -> Self {
        TrainerBuilder { language: language.clone(), ..self }
    }

    /// Sets where the weights come from: [`Start::Fresh`] unless set.
    #[must_use]
    pub fn init(self, init: &Start) -> Self {
        TrainerBuilder { init: init.clone(), ..self }
    }

    /// Sets the device that trains: the CPU unless set.
    #[must_use]
    pub fn device(self, device: DeviceKind) -> Self {
        TrainerBuilder { device, ..self }
    }

    /// Starts a run in a new or empty folder.
    ///
    /// # Errors
    /// If the folder is not empty, or the checkpoint to start from does not match the run's mode, language, shape or
    /// vocabulary.
    pub fn start(self, out: &Path) -> Result<Trainer<'a>, Error> {
        self.config.training.validate()?;
        let model = initial(&self.config, &self.language, &self.init, &self.device.open()?)?;
        let probe = probe(&self.config, self.validation)?;
        let folder = RunFolder::create(out, &self.config, id(&self.init)?.as_deref())?;
        let meta = Meta::new(&self.config, &self.language, self.examples);
        Ok(self.build(model, folder, meta, probe))
    }

    /// Continues an interrupted run from its `last` checkpoint, with the same weights as an undisturbed run. A run
    /// without a checkpoint starts over, and so does one whose folder is empty.
    ///
    /// # Errors
    /// If the settings, training examples or initial weights differ from the run's, or the checkpoint cannot be read.
    pub fn resume(self, out: &Path) -> Result<Trainer<'a>, Error> {
        self.config.training.validate()?;
        let device = self.device.open()?;
        let probe = probe(&self.config, self.validation)?;
        let fresh = Meta::new(&self.config, &self.language, self.examples);
        let (folder, found) = RunFolder::resume(out, &self.config, id(&self.init)?.as_deref(), &fresh, &device)?;
        let Some((checkpoint, meta)) = found else {
            let model = initial(&self.config, &self.language, &self.init, &device)?;
            return Ok(self.build(model, folder, fresh, probe));
        };
        let model = checkpoint.model.with_precision(self.config.training.precision);
        let mut trainer = self.build(model, folder, meta, probe);
        let step = trainer.meta.step;
        trainer.optimiser.0 = trainer.folder.load_optimiser(trainer.optimiser.0, step)?;
        trainer.average = trainer.average.map(|frame| trainer.folder.load_average(frame, step)).transpose()?;
        Ok(trainer)
    }

    fn build(self, model: Model, folder: RunFolder, meta: Meta, probe: Option<Probe>) -> Trainer<'a> {
        let TrainerBuilder { config, examples, validation: validation_examples, device, .. } = self;
        let t = &config.training;
        let order = Order::new(config.seed, t.rows_per_batch, t.max_targets);
        let validation = validation_examples.sample(config.seed, t.eval_batches, t.rows_per_batch, t.max_targets);
        let optimiser = Optimiser(optimiser(&model, t));
        let average = (t.ema_decay > 0.0).then(|| model.clone());
        let passes = Passes::new(device, t.gradient_checkpointing);
        Trainer {
            order,
            validation,
            probe,
            passes,
            average,
            optimiser,
            config,
            examples,
            validation_examples,
            model,
            folder,
            meta,
        }
    }
}

impl<'a> Trainer<'a> {
    /// Prepares a run with these settings, training examples and validation examples.
    pub fn builder(config: RunConfig, examples: &'a Examples, validation: &'a Examples) -> TrainerBuilder<'a> {
        let (language, init, device) = (Language::default(), Start::Fresh, DeviceKind::Cpu);
        TrainerBuilder { config, language, init, examples, validation, device }
    }

    /// Returns the number of steps made so far.
    pub fn step(&self) -> u64 {
        self.meta.step
    }

    /// Returns the current model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Trains up to the configured number of steps or a limit, and calls `on_step` after every step.
    ///
    /// # Errors
    /// If the loss or a gradient is no longer finite, or a file cannot be written. `last` is then the previous one.
    pub fn fit(&mut self, limits: Limits<'_>, on_step: &mut dyn FnMut(u64, &StepStats)) -> Result<Summary, Error> {
        let started = Instant::now();
        let training = self.config.training.clone();
        let steps = limits.max_steps.unwrap_or(u64::MAX).min(training.steps);
        let (mut window, mut total, mut train_loss) = (StepStats::default(), StepStats::default(), None);
        // All steps since the last line of metrics; `window` has only those of this process, whose time is known.
        let mut untold: Sums = self.meta.window.take().map(Sums::from).unwrap_or_default();
        let mut stop = self.stop_reason(steps);
        // Metrics and checkpoints are due at the same steps as in an undisturbed run.
        let due = |step: u64, every: u64| step >= training.steps || step.is_multiple_of(every);
        let begun_at = self.meta.step;
        if !due(begun_at, training.eval_every) {
            // An earlier call may have stopped here, and an undisturbed run has no validation at this step.
            self.folder.cut_validation(begun_at)?;
        }
        // If nothing is left to do, only the scores of the model are computed. Where a validation is due, its line is
        // already there.
        let mut validated = match stop {
            None => None,
            Some(_) if due(begun_at, training.eval_every) => Some(self.validate(&self.judged())?),
            Some(_) => Some(self.evaluate_at_limit()?),
        };
        while stop.is_none() {
            let rate = training.learning_rate(self.meta.step);
            let stats = self.update(rate)?;
            let step = self.meta.step;
            window += stats;
            total += stats;
            untold.add(stats.sums);
            on_step(step, &stats);

            let out_of_time = limits.max_time.is_some_and(|time| started.elapsed() >= time);
            let told_to_stop = limits.stop.is_some_and(|stop| stop.load(Ordering::Relaxed));
            let last_step = step >= steps || out_of_time || told_to_stop;
            let validate = due(step, training.eval_every);
            train_loss = Some(untold.mean_loss());
            if validate || due(step, training.log_every) {
                self.log(rate, &untold, &window)?;
                (untold, window) = (Sums::default(), StepStats::default());
            }
            if validate {
                validated = Some(self.evaluate()?);
            } else if last_step {
                validated = Some(self.evaluate_at_limit()?);
            }
            stop = self.stop_reason(steps).or(last_step.then_some(StopReason::Limit));
            // This comes before `last`: a run that is killed in between writes it again.
            if training.keep_every > 0 && step.is_multiple_of(training.keep_every) {
                self.folder.save_kept(self.judged(), &self.meta, training.keep_last)?;
            }
            if stop.is_some() || due(step, training.save_every) {
                let meta = Meta { window: (untold.cells > 0).then(|| untold.into()), ..self.meta.clone() };
                self.folder.save_last(self.model.clone(), &self.optimiser.0, self.average.as_ref(), &meta)?;
            }
        }
        let (val_loss, scores) = validated.expect("the last step was validated");
        Ok(Summary {
            steps: self.meta.step,
            train_loss,
            val_loss,
            scores,
            stop: stop.expect("the loop ends when there is one"),
            tokens_per_second: (!total.time.is_zero()).then(|| total.tokens_per_second()),
            examples_per_second: (!total.time.is_zero()).then(|| total.examples_per_second()),
            best: self.folder.best(),
            last: self.folder.last(),
        })
    }

    /// Returns the reason why nothing is left to do, if so; `steps` is the caller's limit.
    fn stop_reason(&self, steps: u64) -> Option<StopReason> {
        let training = &self.config.training;
        if self.meta.step >= training.steps {
            Some(StopReason::Steps)
        } else if training.patience > 0 && self.meta.patience.waited >= training.patience {
            Some(StopReason::Patience)
        } else {
            (self.meta.step >= steps).then_some(StopReason::Limit)
        }
    }

    /// Returns the model that validations use: the average of the weights if there is one.
    fn judged(&self) -> Model {
        self.average.clone().unwrap_or_else(|| self.model.clone())
    }

    /// Makes one update of the weights: micro-batches, clipping, optimiser, average.
    fn update(&mut self, rate: f64) -> Result<StepStats, Error> {
        let started = Instant::now();
        let accumulation = self.config.training.accumulation;
        let first = self.meta.step * accumulation as u64;
        let batches = (0..accumulation as u64).map(|i| self.order.batch(self.examples, first + i).to_vec());
        let batches: Vec<Vec<Selection>> = batches.collect();
        let (mut gradients, sums) = self.passes.gradients(&self.model, self.examples, &batches)?;
        let clip_norm = self.config.training.clip_norm;
        let grad_norm = self.passes.alone(|| clip(&self.model, &mut gradients, clip_norm));
        let (step, loss) = (self.meta.step + 1, sums.mean_loss());
        if !(loss.is_finite() && grad_norm.is_finite()) {
            return Err(self.diverged(&batches, loss, grad_norm));
        }
        let (model, optimiser) = (&self.model, &mut self.optimiser.0);
        self.model = self.passes.alone(|| update::step(optimiser, rate, model.clone(), gradients));
        self.meta.step = step;
        let decay = self.config.training.ema_decay;
        self.average = self.average.take().map(|before| average(before, &self.model, decay, step));
        Ok(StepStats { sums, time: started.elapsed(), grad_norm })
    }

    /// Saves the batch at which the next step diverged.
    fn diverged(&self, batches: &[Vec<Selection>], loss: f64, norm: f64) -> Error {
        let step = self.meta.step + 1;
        let rows = |batch: &Vec<Selection>| batch.iter().map(|row| self.examples.describe(row)).collect::<Vec<_>>();
        let report = json!({
            "step": step,
            "seed": self.config.seed,
            "loss": loss.to_string(),
            "grad_norm": norm.to_string(),
            "batches": batches.iter().map(rows).collect::<Vec<_>>(),
        });
        let saved = self.folder.save_diverged(step, &report);
        let batch = saved.inspect_err(|error| tracing::error!(%error, "the batch cannot be saved")).ok();
        Error::Diverged { step, loss, norm, batch }
    }

    /// Returns the loss of a model on the fixed validation batches, and the scores of its predictions.
    fn validate(&self, model: &Model) -> Result<(f64, Option<Scores>), Error> {
        let loss = self.passes.loss(model, self.validation_examples, &self.validation)?.mean_loss();
        if !loss.is_finite() {
            return Err(Error::Validation { step: self.meta.step, loss });
        }
        let scores = self.probe.as_ref().map(|probe| probe.score(model, self.validation_examples)).transpose()?;
        Ok((loss, scores))
    }

    /// Validates the model, logs the result, and saves the model if it is the best so far.
    fn evaluate(&mut self) -> Result<(f64, Option<Scores>), Error> {
        let (model, step) = (self.judged(), self.meta.step);
        let (val_loss, scores) = self.validate(&model)?;
        self.meta.val_loss = Some(val_loss);
        self.meta.patience.count(val_loss, self.config.training.min_delta);
        let is_best = self.meta.best_val_loss.is_none_or(|best| val_loss < best);
        if is_best {
            self.meta.best_val_loss = Some(val_loss);
            self.folder.save_best(model, &self.meta)?;
        }
        tracing::info!(step, val_loss, is_best, exact_match = scores.map(|s| s.exact_match), "validation");
        self.log_validation(val_loss, scores)?;
        Ok((val_loss, scores))
    }

    /// Validates the model where an undisturbed run would not, and logs the result, which stays until the run goes on.
    /// It does not count for patience or `best`: if no model is saved yet, this one is, until the next validation that
    /// is due.
    fn evaluate_at_limit(&mut self) -> Result<(f64, Option<Scores>), Error> {
        let model = self.judged();
        let (val_loss, scores) = self.validate(&model)?;
        if self.meta.best_val_loss.is_none() {
            self.folder.save_best(model, &Meta { val_loss: Some(val_loss), ..self.meta.clone() })?;
        }
        tracing::info!(step = self.meta.step, val_loss, exact_match = scores.map(|s| s.exact_match), "validation");
        self.log_validation(val_loss, scores)?;
        Ok((val_loss, scores))
    }

    /// Logs the result of a validation.
    fn log_validation(&mut self, val_loss: f64, scores: Option<Scores>) -> Result<(), Error> {
        let mut line = json!({"step": self.meta.step, "val_loss": val_loss});
        if let Some(Scores { token_accuracy, exact_match, fit }) = scores {
            line["val_token_accuracy"] = token_accuracy.into();
            line["val_exact_match"] = exact_match.into();
            if let Some(fit) = fit {
                line["val_r2"] = fit.r2.into();
                line["val_r2_above_99"] = fit.r2_above_99.into();
            }
        }
        self.folder.log(&line)
    }

    /// Logs the results of steps. `told` has all steps since the last line; speeds are those of `made`, the steps of
    /// this process.
    fn log(&mut self, rate: f64, told: &Sums, made: &StepStats) -> Result<(), Error> {
        self.folder.log(&json!({
            "step": self.meta.step,
            "loss": told.mean_loss(),
            "lr": rate,
            "grad_norm": made.grad_norm,
            "tokens_per_second": made.tokens_per_second().round(),
            "examples_per_second": (made.examples_per_second() * 10.0).round() / 10.0,
            "padding": (told.padding() * 1e4).round() / 1e4,
        }))
    }
}

/// Returns the sample of validation states for the scores.
fn probe(config: &RunConfig, validation: &Examples) -> Result<Option<Probe>, Error> {
    let t = &config.training;
    Probe::new(validation, config.seed, t.eval_samples, t.max_targets)
}

/// Returns the initial model of a run.
fn initial(config: &RunConfig, language: &Language, start: &Start, device: &Device) -> Result<Model, Error> {
    let precision = config.training.precision;
    let fresh = || Model::new(&config.model, config.seed, device);
    let Start::Checkpoint(path) = start else {
        return Ok(fresh()?.with_precision(precision));
    };
    if sr_model::is_gpt_neo(path) {
        let from = sr_model::load_gpt_neo(path, device)?;
        let weights = |reason: String| Error::Weights { path: path.clone(), reason };
        let (model, taken) = sr_model::take_backbone(fresh()?, &from).map_err(|error| weights(error.to_string()))?;
        tell_of_backbone(&from, &taken);
        return Ok(model.with_precision(precision));
    }
    let checkpoint = Checkpoint::load(path, device)?;
    sr_prompt::check_tokenizer(&checkpoint.tokenizer)
        .map_err(|source| Error::Vocabulary { path: path.clone(), source })?;
    check_language(path, &checkpoint.meta, config, language)?;
    let json = |model| serde_json::to_value(model).expect("plain data");
    match difference(&json(checkpoint.model.config()), &json(&config.model)) {
        Some((key, found, expected)) => Err(Error::Shape { path: path.clone(), key, found, expected }),
        None => Ok(checkpoint.model.with_precision(precision)),
    }
}

/// Returns the id of the initial weights; `None` if they are new.
fn id(start: &Start) -> Result<Option<String>, Error> {
    let Start::Checkpoint(path) = start else { return Ok(None) };
    if sr_model::is_gpt_neo(path) {
        return Ok(Some(sr_model::gpt_neo_id(path)?));
    }
    Checkpoint::check_kind(path)?;
    Ok(Some(sr_neural::checkpoint_id(path).map_err(Error::io(path))?))
}

fn tell_of_backbone(from: &Model, taken: &sr_model::Imported) {
    let parts = |names: &[String]| {
        let mut parts: Vec<&str> = names.iter().map(|name| name.split('.').next().unwrap_or_default()).collect();
        parts.dedup();
        parts.join(", ")
    };
    let (parameters, theirs) = (taken.imported.len(), parts(&taken.imported));
    tracing::info!(parameters, taken = theirs, new = parts(&taken.kept), "weights of a GPT-Neo model");
    if from.config().attention_layers.contains(&sr_model::Attention::Local) {
        tracing::warn!("its blocks with local attention become global ones, which every block of a run has");
    }
}

/// Checks mode and language: weights learned in another one would read and write other things by the same tokens. A key
/// that a checkpoint lacks has the value from before it existed.
fn check_language(path: &Path, meta: &Value, config: &RunConfig, language: &Language) -> Result<(), Error> {
    let fail = |what: String, found: String, expected: String| {
        Err(Error::Start { path: path.to_owned(), what, found, expected })
    };
    let found = CheckpointMeta::from_json(meta)
        .map_err(|error| Error::Corrupt { path: path.join("meta.json"), reason: error.to_string() })?;
    if found.mode != config.mode {
        return fail("mode".to_owned(), found.mode.name().to_owned(), config.mode.name().to_owned());
    }
    let json = |language: &Language| serde_json::to_value(language).expect("plain data");
    match difference(&json(&found.language), &json(language)) {
        Some((key, found, expected)) => fail(key, found, expected),
        None => Ok(()),
    }
}

impl Meta {
    fn new(config: &RunConfig, language: &Language, examples: &Examples) -> Self {
        Meta {
            format_version: sr_model::FORMAT_VERSION,
            checkpoint: CheckpointMeta {
                mode: config.mode,
                fitness: examples.target_fitness(),
                language: language.clone(),
                conditions: examples.conditions(),
                ask: None,
            },
            step: 0,
            seed: config.seed,
            window: None,
            vocabulary: format!("{:016x}", sr_prompt::fingerprint()),
            examples: format!("{:016x}", examples.fingerprint()),
            val_loss: None,
            best_val_loss: None,
            patience: Patience::default(),
            config: config.clone(),
        }
    }
}
