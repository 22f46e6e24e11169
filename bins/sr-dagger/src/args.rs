//! Flags, and the configuration file whose tables are flags too.
//!
//! A key of the tables `[dagger]`, `[labels]`, `[search]` and `[sampling]` is a flag with `_` for `-`, so that every setting
//! has one name, one meaning and one check; what the command line says counts. The model and its training are tables as in
//! the files of `sr-train`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{Args as _, CommandFactory, FromArgMatches, Parser};
use serde::Deserialize;
use sr_cli::{Common, LabelArgs, SamplingArgs, SearchArgs};
use sr_dagger::{Beta, Init, Keep, StepMultiplier};
use sr_neural::Per;
use sr_train::TrainConfig;

/// Train a learner by DAgger, milestone after milestone: roll out, relabel, aggregate, train, evaluate
///
/// A milestone is a kind of problems. The expert is tried on it first: it has to succeed often
/// enough, and its steps decide how many the learner may take. Then come rounds of DAgger. All
/// settings can stand in the configuration file, as keys with _ for -, and flags count more.
///
/// Whatever moment it is stopped or killed at, the same command goes on in --out, to the bytes
/// of an undisturbed run.
///
///   OUT/config.json             settings; a folder of other settings is an error
///   OUT/results.csv, .json      after every milestone
///   OUT/expert_eval/ID/         the expert's episodes
///   OUT/rollouts/ID/round-000/  rollouts, labels, corpus, checkpoint, evaluation
///   OUT/models/ID/best, final   checkpoints for --policy neural and --methods NAME=neural:DIR
///   OUT/recordings/ID/          episodes to watch in a browser
///   OUT/plots/ID.svg            success by round
///   OUT/tracking/ID/            metrics for other programs, with --track
#[derive(Debug, Parser)]
#[command(name = "sr-dagger", version, verbatim_doc_comment, args_override_self = true)]
pub(crate) struct Args {
    /// What is learned
    #[arg(long, value_enum, default_value = "search")]
    pub(crate) task: TaskArg,
    /// Settings; see configs/dagger-*.toml
    #[arg(long, value_name = "C.toml", conflicts_with = "preset_name")]
    pub(crate) config: Option<PathBuf>,
    /// Settings that come with the program: quick (a small model and few episodes, for two cores) or quality (more of both,
    /// for a GPU) [default: quick]
    #[arg(long = "settings", id = "preset_name", value_name = "NAME", value_parser = ["quick", "quality"])]
    pub(crate) settings: Option<String>,
    /// Milestones; see configs/milestones.toml [default: those that come with the program]
    #[arg(long, value_name = "M.toml")]
    pub(crate) milestones: Option<PathBuf>,
    /// Folder of the run
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Run this milestone only
    #[arg(long, value_name = "ID")]
    pub(crate) milestone: Option<String>,
    /// Begin with this milestone; results of those before it stay
    #[arg(long, value_name = "ID")]
    pub(crate) resume_from: Option<String>,
    /// Leave these milestones out
    #[arg(long, value_name = "ID", num_args = 1.., value_delimiter = ',')]
    pub(crate) skip_milestones: Vec<String>,
    /// Where the learner computes: cpu, ndarray or cuda
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    pub(crate) device: String,
    /// Write metrics of every round to OUT/tracking/ID: lines of JSON and a file for TensorBoard
    #[arg(long)]
    pub(crate) track: bool,
    /// Project on Weights & Biases: with --track a script that sends the metrics is written instead of the file for
    /// TensorBoard
    #[arg(long, value_name = "NAME", requires = "track")]
    pub(crate) track_project: Option<String>,
    /// User or team on Weights & Biases
    #[arg(long, value_name = "NAME", requires = "track_project")]
    pub(crate) track_entity: Option<String>,
    /// Record no episodes
    #[arg(long)]
    pub(crate) no_record: bool,
    #[command(flatten)]
    pub(crate) dagger: DaggerArgs,
    #[command(flatten)]
    pub(crate) labels: LabelArgs,
    #[command(flatten)]
    pub(crate) search: SearchArgs,
    #[command(flatten)]
    pub(crate) sampling: SamplingArgs,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// What is learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum TaskArg {
    /// To search for formulas, from genetic programming
    Search,
    /// To steer points, from a controller that sees what the learner does not
    PointControl,
}

/// Settings of the rounds.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Rounds of DAgger")]
pub(crate) struct DaggerArgs {
    /// Rounds of a milestone at most
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) dagger_iterations: u32,
    /// Episodes that a round adds
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) episodes_per_iter: u32,
    /// Episodes that expert and learner are judged on, the same ones for both
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) eval_episodes: u32,
    /// Updates of the model in a round
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) train_steps_per_iter: u32,
    /// Instead: passes over the buffer in a round
    #[arg(long, value_name = "E", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) train_epochs_per_iter: Option<u32>,
    /// With --train-epochs-per-iter: batches of a pass; they have at most 512 states
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) mini_batches: u32,
    /// States of an update
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) batch_size: u32,
    /// The highest learning rate
    #[arg(long, value_name = "R", default_value_t = 3e-4)]
    pub(crate) learning_rate: f64,
    /// Width of the model
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) hidden_dim: u32,
    /// Steps that the learner may take for one of the expert's: a number, or auto for 1.5, 2 or 3 by the expert's success
    #[arg(long, value_name = "X", default_value = "2")]
    pub(crate) step_multiplier: StepMultiplier,
    /// Share of successes below which the expert is not imitated, and the milestone fails
    #[arg(long, value_name = "P", default_value_t = 0.6, value_parser = share)]
    pub(crate) min_success_rate: f64,
    /// The model that a milestone begins with: a fresh one, or the final one of the milestone before
    #[arg(long, value_enum, default_value = "fresh")]
    pub(crate) init: InitArg,
    /// Begin with this checkpoint instead of a fresh model
    #[arg(long, value_name = "DIR")]
    pub(crate) checkpoint: Option<PathBuf>,
    /// How often the expert acts, by round: constant:B, linear:ROUNDS, exponential:BASE, indicator:ROUNDS or
    /// two-phase:ROUNDS
    #[arg(long, value_name = "SCHEDULE", default_value = "two-phase:1")]
    pub(crate) beta: Beta,
    /// What it is drawn for who acts: child, generation or search
    #[arg(long, value_name = "WHAT", default_value = "search")]
    pub(crate) beta_level: Per,
    /// States in the buffer at most
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=u64::from(u32::MAX)))]
    pub(crate) max_buffer_size: u64,
    /// What stays in a full buffer: fifo (the newest), reservoir (a random choice), or quota:N (at most N of each round)
    #[arg(long, value_name = "WHAT", default_value = "fifo")]
    pub(crate) keep_states: Keep,
    /// Whether rounds before the newest are learned from
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    pub(crate) use_dagger: bool,
    /// States are drawn with a probability that falls with their age in rounds as exp(-LAMBDA · age)
    #[arg(long, value_name = "LAMBDA", default_value_t = 0.0)]
    pub(crate) recency: f64,
    /// Share of the formulas that is not learned from but validated on
    #[arg(long, value_name = "P", default_value_t = 0.1, value_parser = share)]
    pub(crate) val_fraction: f64,
    /// Stop a milestone after this many rounds without a better model; 0 for never
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) patience: u32,
    /// Stop a milestone once the learner has this share of successes
    #[arg(long, value_name = "P", value_parser = share)]
    pub(crate) enough: Option<f64>,
    /// Suites and problem files whose formulas are kept out of all training
    #[arg(long, value_name = "SUITE|FILE", num_args = 1.., value_delimiter = ',')]
    pub(crate) exclude: Vec<String>,
    /// Episodes of each round, and of the expert, to record
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub(crate) record_episodes: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum InitArg {
    /// A new one
    Fresh,
    /// That of the milestone before
    Previous,
}

impl From<InitArg> for Init {
    fn from(init: InitArg) -> Self {
        match init {
            InitArg::Fresh => Init::Fresh,
            InitArg::Previous => Init::Previous,
        }
    }
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share: &f64| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "expected a number from 0 to 1".to_owned())
}

/// Tables of flags.
const FLAG_TABLES: [&str; 4] = ["dagger", "labels", "search", "sampling"];
/// Tables of the model and its training.
const MODEL_TABLES: [&str; 3] = ["model", "language", "training"];
/// Keys outside of tables.
const KEYS: [&str; 3] = ["task", "milestones", "mode"];

const QUICK: &str = include_str!("../../../configs/dagger-quick.toml");
const POINT: &str = include_str!("../../../configs/point-control.toml");
const QUALITY: &str = include_str!("../../../configs/dagger-quality.toml");

/// What the command line and the configuration say together.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) args: Args,
    /// The model and its training, of task search.
    pub(crate) train: TrainConfig,
}

impl Settings {
    /// Of a command line.
    ///
    /// # Errors
    /// If the configuration cannot be read or has a key that nobody knows, or settings do not go together. What is wrong
    /// on the command line itself ends the program as clap does.
    pub(crate) fn parse(argv: Vec<OsString>) -> anyhow::Result<Self> {
        let given = Args::parse_from(&argv);
        let name = given.settings.as_deref().unwrap_or("quick");
        let (text, path) = match &given.config {
            Some(path) => {
                (std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?, &**path)
            }
            None if given.task == TaskArg::PointControl => {
                (POINT.to_owned(), Path::new("the settings of point control"))
            }
            None if name == "quality" => (QUALITY.to_owned(), Path::new("the settings quality")),
            None => (QUICK.to_owned(), Path::new("the settings quick")),
        };
        let is_file = given.config.is_some();
        Self::merged(&argv, &text, path, is_file).with_context(|| format!("reading {}", path.display()))
    }

    fn merged(argv: &[OsString], text: &str, path: &Path, is_file: bool) -> anyhow::Result<Self> {
        let mut table: toml::Table = toml::from_str(text).map_err(|error| anyhow::anyhow!("{error}"))?;
        let tables = FLAG_TABLES.iter().chain(&MODEL_TABLES).chain(&KEYS).copied();
        if let Some(unknown) = table.keys().find(|key| !tables.clone().any(|known| known == *key)) {
            bail!("unknown key {unknown:?}{}", nearest(unknown, tables));
        }
        let mut flags = vec![argv[0].clone()];
        if let Some(task) = table.remove("task") {
            flags.push(flag("task", &task)?.into());
        }
        if let Some(milestones) = table.remove("milestones") {
            let name = milestones.as_str().context("milestones: expected the name of a file")?;
            ensure!(is_file, "milestones: the built-in settings have built-in milestones");
            let file = path.parent().unwrap_or(Path::new("")).join(name);
            flags.push(format!("--milestones={}", file.display()).into());
        }
        for name in FLAG_TABLES {
            let Some(value) = table.remove(name) else { continue };
            let of_table = value.as_table().with_context(|| format!("{name}: expected a table"))?;
            for (key, value) in of_table {
                flags.push(flag(key, value).with_context(|| format!("[{name}]"))?.into());
            }
        }
        // What is on the command line comes last, and so counts.
        flags.extend(argv[1..].iter().cloned());
        let matches = Args::command().try_get_matches_from(flags).map_err(|error| setting_error(&error))?;
        let args = Args::from_arg_matches(&matches).map_err(|error| setting_error(&error))?;
        if args.task == TaskArg::PointControl {
            let flags = LabelArgs::augment_args(clap::Command::new("labels"));
            let flags = SamplingArgs::augment_args(SearchArgs::augment_args(flags));
            let is_given =
                |arg: &&clap::Arg| matches.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine);
            if let Some(flag) = flags.get_arguments().find(is_given).and_then(clap::Arg::get_long) {
                bail!("--{flag} says nothing with --task point-control");
            }
        }
        table.entry("mode").or_insert_with(|| "one-step".into());
        table.entry("model").or_insert_with(|| toml::Table::from_iter([("preset".to_owned(), "tiny".into())]).into());
        let train = toml::to_string(&table).expect("it was read from text");
        let mut train = TrainConfig::from_toml(&train)?;
        train.training.steps = args.dagger.train_steps_per_iter.into();
        train.training.rows_per_batch = args.dagger.batch_size as usize;
        train.training.learning_rate = args.dagger.learning_rate;
        train.model.d_model = Some(args.dagger.hidden_dim as usize);
        ensure!(args.dagger.recency >= 0.0 && args.dagger.recency.is_finite(), "recency: expected 0 or more");
        ensure!(args.search.time_limit.is_none(), "time_limit: results would depend on the machine");
        Ok(Settings { args, train })
    }
}

/// A key and its value as a flag.
fn flag(key: &str, value: &toml::Value) -> anyhow::Result<String> {
    let one = |value: &toml::Value| match value {
        toml::Value::String(text) => Ok(text.clone()),
        toml::Value::Table(_) | toml::Value::Array(_) => bail!("{key}: expected a value, or a list of values"),
        value => Ok(value.to_string()),
    };
    let text = match value {
        toml::Value::Array(values) => values.iter().map(one).collect::<anyhow::Result<Vec<_>>>()?.join(","),
        value => one(value)?,
    };
    let flag = key.replace('_', "-");
    Ok(match value {
        toml::Value::Boolean(true) if is_switch(&flag) => format!("--{flag}"),
        toml::Value::Boolean(false) if is_switch(&flag) => bail!("{key}: leave it out instead of setting it to false"),
        _ => format!("--{flag}={text}"),
    })
}

/// Whether a flag has no value.
fn is_switch(flag: &str) -> bool {
    let command = Args::command();
    let found = command.get_arguments().find(|arg| arg.get_long() == Some(flag));
    found.is_some_and(|arg| !arg.get_action().takes_values())
}

/// What clap says of a setting, in one line; keys are written as they are in the file.
fn setting_error(error: &clap::Error) -> anyhow::Error {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => texts.first().cloned(),
        _ => None,
    };
    let key = |flag: &str| flag.trim_start_matches("--").split('=').next().unwrap_or_default().replace('-', "_");
    match (error.kind(), text(ContextKind::InvalidArg)) {
        (ErrorKind::UnknownArgument, Some(flag)) => {
            let command = Args::command();
            let known: Vec<String> =
                command.get_arguments().filter_map(|arg| arg.get_long()).map(|long| long.replace('-', "_")).collect();
            anyhow::anyhow!("unknown key {:?}{}", key(&flag), nearest(&key(&flag), known.iter().map(String::as_str)))
        }
        _ => {
            let text = error.to_string();
            let line = text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
            anyhow::anyhow!(line)
        }
    }
}

/// The known name that is most like a wrong one, as the end of a message.
fn nearest<'a>(wrong: &str, known: impl Iterator<Item = &'a str>) -> String {
    let near = known.max_by(|a, b| strsim::jaro_winkler(wrong, a).total_cmp(&strsim::jaro_winkler(wrong, b)));
    near.map_or(String::new(), |near| format!(", the nearest that there is: {near:?}"))
}

/// The milestones of a file; unknown keys are errors that name the nearest one.
pub(crate) fn from_toml<T: for<'a> Deserialize<'a>>(text: &str) -> anyhow::Result<T> {
    toml::from_str(text).map_err(|error| {
        let message = error.message();
        // serde: unknown field `a`, expected one of `b`, `c`
        let mut names = message.split('`').skip(1).step_by(2);
        match names.next() {
            Some(wrong) if message.starts_with("unknown field") => {
                let line = error.span().map_or(0, |span| text[..span.start].lines().count().max(1));
                anyhow::anyhow!("line {line}: unknown key {wrong:?}{}", nearest(wrong, names))
            }
            _ => anyhow::anyhow!("{error}"),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_that_come_with_the_project_are_read() {
        let parse = |flags: &[&str]| {
            let argv = ["sr-dagger", "--out", "x"].iter().chain(flags).map(OsString::from).collect();
            Settings::parse(argv).expect("settings")
        };
        let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs");
        for name in ["dagger-quick", "dagger-quality", "dagger-demo", "dagger-compare", "point-control"] {
            let file = configs.join(format!("{name}.toml"));
            parse(&["--config", file.to_str().expect("UTF-8")]);
        }
        assert_eq!(parse(&["--settings", "quality"]).args.dagger.dagger_iterations, 10);
        // What the command line says counts more than the file.
        let settings = parse(&["--settings", "quality", "--dagger-iterations", "3", "--hidden-dim", "64"]);
        assert_eq!((settings.args.dagger.dagger_iterations, settings.train.model.d_model), (3, Some(64)));
    }
}
