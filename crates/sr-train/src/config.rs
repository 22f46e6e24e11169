//! Settings of a run: a commented TOML file, checked and resolved before anything is loaded.

use serde::{Deserialize, Serialize};
use sr_model::{
    Activation, Channel, ModelConfig, PointEmbedding, PointsConfig, Population, Precision, PrefixAttention,
};

use sr_neural::Language;
use sr_prompt::{Actions, Conditions, ConstantStyle, Context, Mark, Mode, PopulationOrder};

use crate::Error;

/// A training run as its TOML file describes it. Unknown keys are errors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// The mode of the model.
    pub mode: Mode,
    /// The shape of the model.
    pub model: ModelSection,
    /// The language of its prompts and targets.
    #[serde(default)]
    pub language: LanguageSection,
    /// The settings of training.
    #[serde(default)]
    pub training: Training,
    /// The settings of metrics.
    #[serde(default)]
    pub tracking: Tracking,
}

/// The language of prompts and targets, without the context, which the corpus determines.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LanguageSection {
    /// The order of a prompt's individuals.
    pub population_order: PopulationOrder,
    /// Whether children are written as whole expressions or as edits of individuals.
    pub actions: Actions,
    /// How constants are written that are not listed: as numbers, or as placeholders, whose values searches fit.
    pub constants: ConstantStyle,
    /// The marks that come with each token of an individual.
    pub marks: Vec<Mark>,
}

/// A preset of [`ModelConfig`], and the settings that differ from it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSection {
    /// The shape to start from.
    pub preset: ModelPreset,
    /// The longest prompt plus target, in tokens.
    pub n_positions: Option<usize>,
    /// Width of the residual stream.
    pub d_model: Option<usize>,
    /// Number of blocks.
    pub n_layers: Option<usize>,
    /// Attention heads per block.
    pub n_heads: Option<usize>,
    /// Hidden width of each block's MLP.
    pub d_mlp: Option<usize>,
    /// How attention connects the individuals of a prompt.
    pub population: Option<Population>,
    /// The kind of point embedder.
    pub points: Option<PointEmbedding>,
    /// The most points that the model reads; 0 for a model that reads tokens only.
    pub n_points: Option<usize>,
    /// The number of prefix positions that the embedder `set` outputs.
    pub n_queries: Option<usize>,
    /// The most variables of a problem.
    pub n_variables: Option<usize>,
    /// The channels of each point.
    pub channels: Option<Vec<Channel>>,
    /// Hidden width of the point embedder.
    pub point_hidden: Option<usize>,
    /// How attention connects the points.
    pub prefix_attention: Option<PrefixAttention>,
    /// The factor on attention scores; by default 1, as in GPT-Neo.
    pub attention_scale: Option<f64>,
    /// Non-linearity of the MLPs.
    pub activation: Option<Activation>,
}

/// Named shapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ModelPreset {
    /// [`ModelConfig::micro`]
    Micro,
    /// [`ModelConfig::tiny`]
    Tiny,
    /// [`ModelConfig::s`]
    S,
}

/// The optimiser.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimiserKind {
    /// AdamW (Loshchilov & Hutter, 2019) for all parameters.
    Adamw,
    /// Muon (Jordan et al., 2024) for the matrices of the blocks, with steps as large as AdamW's (Liu et al., 2025);
    /// AdamW for embeddings, norms and biases.
    Muon,
}

/// The course of the learning rate from its highest value, after the warm-up, to its lowest, at the last step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// Half a cosine.
    Cosine,
    /// A straight line.
    Linear,
    /// No change.
    Constant,
}

/// The settings of training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Training {
    /// The number of updates; the learning rate reaches its minimum at the last one.
    pub steps: u64,
    /// The number of states in one forward pass. Memory grows with it.
    pub rows_per_batch: usize,
    /// The number of forward passes whose gradients make one update.
    pub accumulation: usize,
    /// The most targets of a state in one pass; others are drawn in other epochs.
    pub max_targets: usize,
    /// The conditions that are learned, each with its share of the states of an epoch, such as
    /// `"PATH:12,GAIN_4:5,TARGET:2"`; by default all states that there are. Conditions that it does not name are left
    /// out. Of a condition with fewer states than its share some are repeated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shares: Option<Conditions>,
    /// The optimiser.
    pub optimiser: OptimiserKind,
    /// The highest learning rate.
    pub learning_rate: f64,
    /// The number of updates until the learning rate reaches its highest value.
    pub warmup_steps: u64,
    /// The course of the learning rate after the warm-up.
    pub schedule: Schedule,
    /// The learning rate of the last update as a share of the highest; ignored if the schedule is constant.
    pub min_learning_rate_ratio: f64,
    /// The weight decay of matrices; biases, norms and embeddings have none.
    pub weight_decay: f64,
    /// The largest norm of the gradients, of all parameters together; larger gradients are scaled down to it.
    pub clip_norm: f64,
    /// The decay of AdamW's second moment; below its usual 0.999, because runs are short.
    pub beta2: f64,
    /// The share that the moving average of the weights keeps at an update; 0 for no average. Validations and all
    /// checkpoints but `last` use the average.
    pub ema_decay: f64,
    /// The number format of matrix products.
    pub precision: Precision,
    /// Whether cheap activations are recomputed in the backward pass instead of kept: less memory, more time. It has no
    /// effect in single precision on a CPU, which keeps few of them anyway.
    pub gradient_checkpointing: bool,
    /// The number of updates between validations.
    pub eval_every: u64,
    /// The most batches of a validation; they are always the same.
    pub eval_batches: usize,
    /// The number of validation states whose greedy predictions are compared with the targets; always the same, 0 for
    /// none.
    pub eval_samples: usize,
    /// The number of validations in a row without improvement after which the run ends; 0 for never.
    pub patience: u64,
    /// The least fall of the validation loss that counts as an improvement for `patience`.
    pub min_delta: f64,
    /// The number of updates between saves of `last`.
    pub save_every: u64,
    /// The number of updates between checkpoints that are kept, `step-00001000`; 0 for none.
    pub keep_every: u64,
    /// The most checkpoints that are kept; older ones are removed.
    pub keep_last: usize,
    /// The number of updates between lines of metrics.
    pub log_every: u64,
}

impl Default for Training {
    /// Returns settings for `micro` on a CPU.
    fn default() -> Self {
        Training {
            steps: 2000,
            rows_per_batch: 16,
            accumulation: 1,
            max_targets: 19,
            shares: None,
            optimiser: OptimiserKind::Adamw,
            learning_rate: 1e-3,
            warmup_steps: 100,
            schedule: Schedule::Cosine,
            min_learning_rate_ratio: 0.1,
            weight_decay: 0.01,
            clip_norm: 1.0,
            beta2: 0.98,
            ema_decay: 0.0,
            precision: Precision::F32,
            gradient_checkpointing: false,
            eval_every: 200,
            eval_batches: 8,
            eval_samples: 64,
            patience: 0,
            min_delta: 0.0,
            save_every: 200,
            keep_every: 0,
            keep_last: 3,
            log_every: 10,
        }
    }
}

/// The settings of metrics.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tracking {
    /// The kind of log.
    pub kind: TrackingKind,
    /// The project on Weights & Biases; `sr` by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// The user or team on Weights & Biases; the one logged in by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entity: Option<String>,
    /// The name of the run on Weights & Biases; that of its folder by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_name: Option<String>,
}

/// Kinds of metric logs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TrackingKind {
    /// No log.
    None,
    /// `metrics.jsonl` in the run folder.
    #[default]
    Jsonl,
    /// `metrics.jsonl`, and an event file for TensorBoard.
    Tensorboard,
    /// `metrics.jsonl`, and `wandb-sync.py`, a script that uploads it to Weights & Biases.
    Wandb,
}

/// The settings of a run with all defaults filled in; stored in its folder and its checkpoints.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// The mode of the model.
    pub mode: Mode,
    /// The shape of the model.
    pub model: ModelConfig,
    /// The language of its prompts and targets.
    #[serde(default)]
    pub language: LanguageSection,
    /// The settings of training.
    pub training: Training,
    /// The settings of metrics.
    pub tracking: Tracking,
    /// The seed of the initial weights and of the order of examples.
    pub seed: u64,
}

impl TrainConfig {
    /// Reads and checks a TOML text.
    ///
    /// [`Error::Toml`] with the line if the text does not parse or has an unknown key; [`Error::Setting`] or
    /// [`Error::Model`] if a value is out of range.
    pub fn from_toml(text: &str) -> Result<Self, Error> {
        let config: TrainConfig = toml::from_str(text).map_err(|e| Error::Toml(one_line(text, &e)))?;
        config.validate()?;
        Ok(config)
    }

    /// Checks all values, as [`from_toml`](Self::from_toml) does.
    ///
    /// # Errors
    /// [`Error::Setting`] or [`Error::Model`], naming the first value that is out of range.
    pub fn validate(&self) -> Result<(), Error> {
        self.training.validate()?;
        self.language.check(self.mode)?;
        let model = self.model_config();
        let needed = least_positions(&model);
        if model.n_positions < needed {
            let (key, found) = ("model.n_positions", model.n_positions.to_string());
            return Err(Error::Setting {
                key,
                found,
                expected: format!("at least {needed}, for a prompt and a child"),
            });
        }
        Ok(model.validate()?)
    }

    /// Fills in the defaults.
    pub fn resolve(&self, seed: u64) -> RunConfig {
        let (training, tracking) = (self.training.clone(), self.tracking.clone());
        let language = self.language.clone();
        RunConfig { mode: self.mode, model: self.model_config(), language, training, tracking, seed }
    }

    /// Returns the model's shape: the preset with the overrides, for the vocabulary of this version.
    pub fn model_config(&self) -> ModelConfig {
        let section = &self.model;
        let mut model = match section.preset {
            ModelPreset::Micro => ModelConfig::micro(sr_prompt::VOCABULARY_CAPACITY),
            ModelPreset::Tiny => ModelConfig::tiny(sr_prompt::VOCABULARY_CAPACITY),
            ModelPreset::S => ModelConfig::s(sr_prompt::VOCABULARY_CAPACITY),
        };
        fn set<T: Clone>(value: &mut T, given: &Option<T>) {
            if let Some(given) = given {
                *value = given.clone();
            }
        }
        model.n_features = sr_prompt::FEATURES;
        model.n_marks = self.language.with(Context::Basic).n_marks();
        set(&mut model.n_positions, &section.n_positions);
        set(&mut model.d_model, &section.d_model);
        set(&mut model.n_layers, &section.n_layers);
        set(&mut model.n_heads, &section.n_heads);
        set(&mut model.d_mlp, &section.d_mlp);
        set(&mut model.prefix_attention, &section.prefix_attention);
        set(&mut model.population, &section.population);
        set(&mut model.activation, &section.activation);
        model.attention_scale = section.attention_scale.or(model.attention_scale);
        let points = model.points.get_or_insert_with(|| PointsConfig::learner(0));
        if section.points == Some(PointEmbedding::Set) {
            *points = PointsConfig::set();
        }
        set(&mut points.n_points, &section.n_points);
        set(&mut points.n_queries, &section.n_queries);
        set(&mut points.n_variables, &section.n_variables);
        set(&mut points.hidden, &section.point_hidden);
        if self.mode == Mode::Direct {
            points.channels = vec![Channel::X, Channel::Y]; // there is no best individual
        }
        set(&mut points.channels, &section.channels);
        model.points.take_if(|points| points.n_points == 0);
        model
    }
}

/// Returns the least positions with which a model can read a prompt: those reserved for a child, and some for a
/// context.
fn least_positions(model: &ModelConfig) -> usize {
    match model.population {
        Population::Text => sr_neural::ROOM_FOR_CHILD + LEAST_PROMPT,
        Population::Separate => LEAST_PROMPT,
    }
}

/// The tokens of a context with a few operators.
const LEAST_PROMPT: usize = 32;

/// Checks that a learning rate is in (0, 1].
///
/// # Errors
/// [`Error::Setting`] with `key`, the name that the user knows the setting by.
pub fn check_learning_rate(key: &'static str, rate: f64) -> Result<(), Error> {
    match rate > 0.0 && rate <= 1.0 {
        true => Ok(()),
        false => Err(Error::Setting { key, found: rate.to_string(), expected: "a number in (0, 1]".to_owned() }),
    }
}

impl LanguageSection {
    /// Returns the language of corpora with this context.
    pub fn with(&self, context: Context) -> Language {
        let &LanguageSection { population_order, actions, constants, ref marks } = self;
        Language { context, population_order, actions, constants, marks: marks.clone() }
    }

    fn check(&self, mode: Mode) -> Result<(), Error> {
        let fail =
            |key, found: String, expected: &str| Err(Error::Setting { key, found, expected: expected.to_owned() });
        if self.actions == Actions::Edit && mode != Mode::OneStep {
            return fail("language.actions", "edit".to_owned(), "`expression` in every mode but one-step");
        }
        if self.constants == ConstantStyle::Placeholders && mode != Mode::OneStep {
            return fail("language.constants", "placeholders".to_owned(), "`numbers` in every mode but one-step");
        }
        if mode == Mode::Direct && *self != LanguageSection::default() {
            return fail("language", "set".to_owned(), "nothing in mode direct, whose prompts have no individuals");
        }
        let twice = self.marks.iter().enumerate().find(|(index, mark)| self.marks[..*index].contains(mark));
        match twice {
            Some((_, mark)) => fail("language.marks", format!("{:?} twice", mark), "each mark once"),
            None => Ok(()),
        }
    }
}

impl Training {
    /// Checks all values.
    ///
    /// # Errors
    /// [`Error::Setting`], naming the first value that is out of range.
    pub fn validate(&self) -> Result<(), Error> {
        let fail = |key, found: &dyn ToString, expected: &str| {
            Err(Error::Setting { key, found: found.to_string(), expected: expected.to_owned() })
        };
        let counts = [
            ("training.steps", self.steps),
            ("training.rows_per_batch", self.rows_per_batch as u64),
            ("training.accumulation", self.accumulation as u64),
            ("training.max_targets", self.max_targets as u64),
            ("training.eval_every", self.eval_every),
            ("training.eval_batches", self.eval_batches as u64),
            ("training.save_every", self.save_every),
            ("training.log_every", self.log_every),
            ("training.keep_last", self.keep_last as u64),
        ];
        if let Some((key, _)) = counts.into_iter().find(|&(_, count)| count == 0) {
            return fail(key, &0, "at least 1");
        }
        check_learning_rate("training.learning_rate", self.learning_rate)?;
        if !(0.0..=1.0).contains(&self.min_learning_rate_ratio) {
            return fail("training.min_learning_rate_ratio", &self.min_learning_rate_ratio, "a number in [0, 1]");
        }
        if self.clip_norm.is_nan() || self.clip_norm <= 0.0 {
            return fail("training.clip_norm", &self.clip_norm, "a positive number");
        }
        if !(self.weight_decay >= 0.0 && self.weight_decay.is_finite()) {
            return fail("training.weight_decay", &self.weight_decay, "a number that is not negative");
        }
        if !(0.0..1.0).contains(&self.beta2) {
            return fail("training.beta2", &self.beta2, "a number in [0, 1)");
        }
        if !(0.0..1.0).contains(&self.ema_decay) {
            return fail("training.ema_decay", &self.ema_decay, "a number in [0, 1)");
        }
        if !(self.min_delta >= 0.0 && self.min_delta.is_finite()) {
            return fail("training.min_delta", &self.min_delta, "a number that is not negative");
        }
        Ok(())
    }

    /// Returns warnings about settings that are probably a mistake, one sentence each.
    pub fn warnings(&self) -> Vec<String> {
        let Training { steps, warmup_steps, learning_rate, .. } = *self;
        let mut warnings = Vec::new();
        if warmup_steps >= steps {
            let highest = self.learning_rate(steps - 1);
            warnings.push(format!(
                "training.warmup_steps is {warmup_steps} of {steps} steps: the learning rate never falls, and rises to \
                 {highest:e} of {learning_rate:e}"
            ));
        }
        warnings
    }

    /// Returns the learning rate of update `step`, counted from 0: a linear rise to the highest rate, then the
    /// schedule's fall to the lowest, which the last update has.
    pub fn learning_rate(&self, step: u64) -> f64 {
        if step < self.warmup_steps {
            return self.learning_rate * (step + 1) as f64 / self.warmup_steps as f64;
        }
        let falling = self.steps.saturating_sub(self.warmup_steps + 1).max(1);
        let progress = ((step - self.warmup_steps) as f64 / falling as f64).min(1.0);
        let left = match self.schedule {
            Schedule::Cosine => 0.5 * (1.0 + libm::cos(std::f64::consts::PI * progress)),
            Schedule::Linear => 1.0 - progress,
            Schedule::Constant => 1.0,
        };
        let lowest = self.min_learning_rate_ratio;
        self.learning_rate * (lowest + (1.0 - lowest) * left)
    }
}

/// Returns the message of a TOML error with its line number, without the excerpt.
fn one_line(text: &str, error: &toml::de::Error) -> String {
    let line = error.span().map(|span| text[..span.start].matches('\n').count() + 1);
    let message = error.message().replace('\n', ", ");
    line.map_or(message.clone(), |line| format!("line {line}: {message}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Result<TrainConfig, String> {
        TrainConfig::from_toml(text).map_err(|e| e.to_string())
    }

    #[test]
    fn ready_files_resolve_to_their_presets() {
        let [micro, tiny, s] = [ModelConfig::micro(512), ModelConfig::tiny(512), ModelConfig::s(512)];
        for (text, mode, base) in [
            (include_str!("../../../configs/onestep-micro.toml"), Mode::OneStep, &micro),
            (include_str!("../../../configs/onestep-tiny.toml"), Mode::OneStep, &tiny),
            (include_str!("../../../configs/onestep-s.toml"), Mode::OneStep, &s),
            (include_str!("../../../configs/autoreg-micro.toml"), Mode::Autoregressive, &micro),
            (include_str!("../../../configs/autoreg-tiny.toml"), Mode::Autoregressive, &tiny),
            (include_str!("../../../configs/autoreg-s.toml"), Mode::Autoregressive, &s),
            (include_str!("../../../configs/direct-micro.toml"), Mode::Direct, &micro),
            (include_str!("../../../configs/direct-tiny.toml"), Mode::Direct, &tiny),
            (include_str!("../../../configs/direct-s.toml"), Mode::Direct, &s),
        ] {
            let config = config(text).expect("a ready file");
            assert_eq!(config.mode, mode);
            let model = config.model_config();
            assert_eq!((model.d_model, model.n_layers), (base.d_model, base.n_layers));
            let residual = model.points.expect("points").channels.contains(&Channel::BestResidual);
            assert_eq!(residual, mode != Mode::Direct);
            // Users look in these files for what can be set, so every key must be there.
            let keys = serde_json::to_value(&config.training).expect("plain data");
            for key in keys.as_object().expect("a structure").keys() {
                assert!(text.contains(&format!("\n{key} = ")), "{key} is missing in the {mode:?} {:?}", base.d_model);
            }
        }
    }

    #[test]
    fn overrides_replace_what_the_preset_says() {
        let text = "mode = \"direct\"\n[model]\npreset = \"tiny\"\nn_points = 8\nchannels = [\"y\"]\nactivation = \"gelu_new\"";
        let model = config(text).expect("a configuration").model_config();
        let points = model.points.expect("points");
        assert_eq!((points.n_points, points.channels), (8, vec![Channel::Y]));
        assert_eq!((model.activation, model.vocab_size), (Activation::GeluNew, 512));
        let none = config("mode = \"one-step\"\n[model]\npreset = \"micro\"\nn_points = 0").expect("a configuration");
        assert_eq!(none.model_config().points, None);

        let set = "mode = \"one-step\"\n[model]\npreset = \"micro\"\npoints = \"set\"\nn_queries = 8";
        let points = config(set).expect("a configuration").model_config().points.expect("points");
        assert_eq!(points, PointsConfig { n_queries: 8, ..PointsConfig::set() });
    }

    #[test]
    fn mistakes_name_key_and_line() {
        let base = "mode = \"one-step\"\n[model]\npreset = \"micro\"\n";
        let message = |text: &str| config(&format!("{base}{text}")).expect_err("a mistake");
        assert!(message("dropout = 0.1").starts_with("configuration: line 4: unknown field `dropout`"));
        assert!(message("[training]\nstep = 3").starts_with("configuration: line 5: unknown field `step`"));
        assert!(message("[tracking]\nkind = \"mlflow\"").contains("line 5: unknown variant `mlflow`"));
        assert!(
            message("[training]\noptimiser = \"sgd\"").contains("line 5: unknown variant `sgd`, expected `adamw` or")
        );
        assert!(
            message("[training]\nprecision = \"f16\"").contains("line 5: unknown variant `f16`, expected `f32` or")
        );
        assert_eq!(
            message("[training]\nema_decay = 1.0"),
            "configuration: training.ema_decay is 1, expected a number in [0, 1)"
        );
        assert_eq!(message("[training]\nsteps = 0"), "configuration: training.steps is 0, expected at least 1");
        assert_eq!(
            message("[training]\nlearning_rate = -1.0"),
            "configuration: training.learning_rate is -1, expected a number in (0, 1]"
        );
        assert_eq!(
            message("[language]\nmarks = [\"rank\", \"size\", \"rank\"]"),
            "configuration: language.marks is Rank twice, expected each mark once"
        );
        let autoregressive = "mode = \"autoregressive\"\n[model]\npreset = \"micro\"\n[language]\nactions = \"edit\"";
        assert_eq!(
            config(autoregressive).expect_err("a mistake"),
            "configuration: language.actions is edit, expected `expression` in every mode but one-step"
        );
        assert!(message("[language]\nactions = \"edits\"").contains("line 5: unknown variant `edits`"));
        assert_eq!(message("n_heads = 3"), "model configuration: d_model 128 is not a multiple of n_heads 3");
        assert!(
            message("n_variables = 12")
                .ends_with("points.n_variables is 12, the embedder `e2e` has room for 10; take `set`")
        );
        assert!(config("mode = \"one-step\"").expect_err("no model").contains("missing field `model`"));
    }

    #[test]
    fn a_rate_that_no_run_can_be_made_with_is_refused() {
        for rate in [-1.0, 0.0, -0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e30, 1.0 + f64::EPSILON] {
            let message = check_learning_rate("--learning-rate", rate).expect_err("no rate").to_string();
            assert_eq!(message, format!("configuration: --learning-rate is {rate}, expected a number in (0, 1]"));
            let training = Training { learning_rate: rate, ..Training::default() };
            assert!(training.validate().is_err(), "{rate}");
        }
        for rate in [f64::MIN_POSITIVE, 3e-4, 1.0] {
            check_learning_rate("--learning-rate", rate).expect("a rate");
        }
    }

    #[test]
    fn a_rise_that_does_not_end_is_told_and_few_positions_are_refused() {
        let long = Training { steps: 100, warmup_steps: 200, learning_rate: 0.01, ..Training::default() };
        assert_eq!(
            long.warnings(),
            ["training.warmup_steps is 200 of 100 steps: the learning rate never falls, and rises to 5e-3 of 1e-2"]
        );
        assert!(Training { warmup_steps: 99, ..long }.warnings().is_empty());
        let text = "mode = \"one-step\"\n[model]\npreset = \"micro\"\nn_positions = 10";
        assert_eq!(
            config(text).expect_err("too few"),
            "configuration: model.n_positions is 10, expected at least 288, for a prompt and a child"
        );
    }

    #[test]
    fn the_rate_never_falls_below_its_lowest_and_counts_updates() {
        let training = Training { steps: 10, warmup_steps: 2, accumulation: 8, ..Training::default() };
        let rates: Vec<f64> = (0..200).map(|step| training.learning_rate(step)).collect();
        let lowest = training.learning_rate * training.min_learning_rate_ratio;
        assert!(rates[2..].iter().all(|&rate| rate >= lowest * (1.0 - 1e-12)), "{rates:?}");
        assert!((rates[9] - lowest).abs() < 1e-15, "the tenth update has the lowest");
    }

    #[test]
    fn the_learning_rate_rises_and_falls() {
        let training = Training {
            steps: 111,
            warmup_steps: 10,
            learning_rate: 0.5,
            min_learning_rate_ratio: 0.2,
            ..Training::default()
        };
        let rates: Vec<f64> = (0..111).map(|step| training.learning_rate(step)).collect();
        assert_eq!((rates[0], rates[9], rates[10]), (0.05, 0.5, 0.5));
        assert!((rates[60] - 0.3).abs() < 1e-12, "half way down: {}", rates[60]);
        assert!((rates[110] - 0.1).abs() < 1e-12 && (training.learning_rate(10_000) - 0.1).abs() < 1e-12);
        assert!(rates[10..].windows(2).all(|pair| pair[1] < pair[0]));
        let constant = Training { schedule: Schedule::Constant, ..training.clone() };
        assert_eq!([5, 60, 110].map(|step| constant.learning_rate(step)), [0.3, 0.5, 0.5]);
        let linear = Training { schedule: Schedule::Linear, ..training.clone() };
        assert!((linear.learning_rate(35) - 0.4).abs() < 1e-12 && (linear.learning_rate(110) - 0.1).abs() < 1e-12);
        let at_once = Training { steps: 1, warmup_steps: 0, ..training };
        assert_eq!(at_once.learning_rate(0), 0.5);
    }
}
