//! Flags, and the configuration file whose tables are flags too.
//!
//! A key of the tables `[dagger]`, `[labels]`, `[search]` and `[sampling]` is a flag with `_` for `-`, so that every setting
//! has one name, one meaning and one check; what the command line says counts. The model and its training are tables as in
//! the files of `sr-train`. The default of a flag is what the settings say that hold without it, and so does its help.

use std::ffi::OsString;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{ArgMatches, Args as _, CommandFactory, FromArgMatches, Parser, ValueEnum};
use sr_args::{LabelArgs, SamplingArgs, SearchArgs};
use sr_cli::Common;
use sr_lab::sr_dagger::{Amount, Beta, Init, Keep, StepMultiplier};
use sr_lab::sr_neural::Per;
use sr_lab::sr_train::TrainConfig;
use sr_lab::tasks::{MOST_DRAWN, RoundsOptions, nearest};

/// Train a learner by DAgger, milestone after milestone: roll out, relabel, aggregate, train, evaluate
///
/// A milestone is a kind of problems. The expert is tried on it first: it has to succeed often
/// enough, and its steps decide how many the learner may take. Then come rounds of DAgger. All
/// settings can stand in the configuration file, as keys with _ for -, and flags count more.
/// Without one, those of --settings quick hold; keys that a file leaves out are as in original.
///
/// Whatever moment it is stopped or killed at, the same command goes on in --out, to the bytes
/// of an undisturbed run. A milestone that failed is tried again by it. --min-success-rate,
/// --dagger-iterations, --patience, --enough, --step-multiplier and --generations may be others
/// then: what is finished is kept, and rounds that have begun keep their steps.
///
///   OUT/config.json             settings; a folder of other ones, or of something else, is an error
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
    /// Settings that come with the program: quick (a small model and few episodes, for two cores), original (the values of
    /// the original's pipeline) or quality (more of both than quick, for a GPU) [default: quick]
    #[arg(long = "settings", id = "preset_name", value_name = "NAME", value_parser = ["quick", "original", "quality"])]
    pub(crate) settings: Option<String>,
    /// Milestones; see configs/milestones.toml, and for point control docs/algorithms/dagger.md [default: those that come
    /// with the program]
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

impl Args {
    /// The settings of the rounds.
    pub(crate) fn rounds(&self) -> RoundsOptions {
        let dagger = self.dagger.clone();
        RoundsOptions {
            dagger_iterations: dagger.dagger_iterations,
            episodes_per_iter: dagger.episodes_per_iter,
            eval_episodes: dagger.eval_episodes,
            amount: match dagger.train_epochs_per_iter {
                Some(epochs) => Amount::Epochs { epochs, mini_batches: dagger.mini_batches },
                None => Amount::Steps { steps: dagger.train_steps_per_iter, batch: dagger.batch_size },
            },
            learning_rate: dagger.learning_rate,
            hidden_dim: dagger.hidden_dim,
            step_multiplier: dagger.step_multiplier,
            min_success_rate: dagger.min_success_rate,
            init: dagger.init.into(),
            checkpoint: dagger.checkpoint,
            beta: dagger.beta,
            beta_level: dagger.beta_level,
            max_buffer_size: dagger.max_buffer_size,
            keep_states: dagger.keep_states,
            use_dagger: dagger.use_dagger,
            recency: dagger.recency,
            patience: dagger.patience,
            enough: dagger.enough,
            seed: self.common.seed,
        }
    }
}

/// Settings of the rounds.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Rounds of DAgger")]
pub(crate) struct DaggerArgs {
    /// Rounds of a milestone at most
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_ROUNDS)))]
    pub(crate) dagger_iterations: u32,
    /// Episodes that a round adds
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) episodes_per_iter: u32,
    /// Episodes that expert and learner are judged on, the same ones for both
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) eval_episodes: u32,
    /// Updates of the model in a round, of --batch-size states each
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    pub(crate) train_steps_per_iter: u32,
    /// Instead: passes over the buffer in a round, in --mini-batches
    #[arg(long, value_name = "E", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) train_epochs_per_iter: Option<u32>,
    /// With --train-epochs-per-iter: batches of a pass; they have at most 512 states
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) mini_batches: u32,
    /// States of an update
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub(crate) batch_size: u32,
    /// The highest learning rate
    #[arg(long, value_name = "R", default_value_t = 3e-4)]
    pub(crate) learning_rate: f64,
    /// Width of the model
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=4096))]
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
    /// two-phase:ROUNDS; without --checkpoint it has to begin with 1
    #[arg(long, value_name = "SCHEDULE", default_value = "two-phase:1")]
    pub(crate) beta: Beta,
    /// What it is drawn for who acts: child, generation or search
    #[arg(long, value_name = "WHAT", default_value = "search")]
    pub(crate) beta_level: Per,
    /// States in the buffer at most. In the file, and in memory while they are drawn from, a state takes 12 bytes here,
    /// beside the examples that a round draws, and 420 bytes with --task point-control: 1000000 are 420 MB, 500000 half of
    /// that
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=u64::from(u32::MAX)))]
    pub(crate) max_buffer_size: u64,
    /// What stays in a full buffer: fifo (the newest), reservoir (a random choice), or quota:N (at most N of each round)
    #[arg(long, value_name = "WHAT", default_value = "fifo")]
    pub(crate) keep_states: Keep,
    /// Whether rounds before the newest are learned from; the buffer keeps them either way
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    pub(crate) use_dagger: bool,
    /// States are drawn with a probability that falls with their age in rounds as exp(-LAMBDA · age)
    #[arg(long, value_name = "LAMBDA", default_value_t = 0.0, value_parser = decay)]
    pub(crate) recency: f64,
    /// Share of the formulas that is not learned from but validated on
    #[arg(long, value_name = "P", default_value_t = 0.1, value_parser = part)]
    pub(crate) val_fraction: f64,
    /// States of each search that are learned from at most: one of each stage by turns (early, improving, stagnated, near
    /// the target) [default: all]
    #[arg(long, value_name = "N")]
    pub(crate) states_per_search: Option<NonZeroU32>,
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

fn part(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share: &f64| (0.0..1.0).contains(share));
    share.ok_or_else(|| "expected a number from 0 to below 1".to_owned())
}

fn decay(text: &str) -> Result<f64, String> {
    let decay = text.parse().ok().filter(|decay: &f64| *decay >= 0.0 && decay.is_finite());
    decay.ok_or_else(|| "expected a number, 0 or more".to_owned())
}

/// Tables of flags.
const FLAG_TABLES: [&str; 4] = ["dagger", "labels", "search", "sampling"];
/// Tables of the model and its training.
const MODEL_TABLES: [&str; 3] = ["model", "language", "training"];
/// Keys outside of tables.
const KEYS: [&str; 3] = ["task", "milestones", "mode"];
/// Flags that have no group and may stand in `[dagger]`.
const OTHERS: [&str; 6] = ["seed", "device", "track", "track_project", "track_entity", "no_record"];
/// Keys of the model and its training that flags set.
const SET_BY_FLAGS: [(&str, &str, &str); 4] = [
    ("training", "steps", "train_steps_per_iter"),
    ("training", "rows_per_batch", "batch_size"),
    ("training", "learning_rate", "learning_rate"),
    ("model", "d_model", "hidden_dim"),
];

const QUICK: &str = include_str!("../../../configs/dagger-quick.toml");
const ORIGINAL: &str = include_str!("../../../configs/dagger-original.toml");
const QUALITY: &str = include_str!("../../../configs/dagger-quality.toml");
const POINT: &str = include_str!("../../../configs/point-control.toml");
/// The settings that come with the program, in the order in which help tells them.
const BUILT_IN: [(&str, &str); 4] =
    [("quick", QUICK), ("original", ORIGINAL), ("quality", QUALITY), ("point control", POINT)];

/// Rounds of a milestone at most.
const MOST_ROUNDS: u32 = 10_000;

/// The command line. Where the settings that come with the program have a value for a flag, its help tells all of them.
pub(crate) fn command() -> clap::Command {
    let tables = BUILT_IN.map(|(name, text)| (name, toml::from_str::<toml::Table>(text).expect("it is tested")));
    Args::command().mut_args(|arg| {
        let Some(key) = arg.get_long().map(|long| long.replace('-', "_")) else { return arg };
        let own: Vec<String> =
            arg.get_default_values().iter().map(|value| value.to_string_lossy().into_owned()).collect();
        let own = (!own.is_empty()).then(|| own.join(","));
        let of = |table: &toml::Table| {
            let value = FLAG_TABLES.iter().find_map(|name| table.get(*name)?.get(&key));
            value.map(|value| value_text(&key, value).expect("it is tested"))
        };
        let is_of_dagger = group("dagger").contains(&key);
        let told = tables.iter().filter(|(name, _)| *name != "point control" || is_of_dagger);
        let values: Vec<(&str, Option<String>)> = told.map(|(name, table)| (*name, of(table))).collect();
        if values.iter().all(|(_, value)| value.is_none()) {
            return arg;
        }
        let values = values.into_iter().filter_map(|(name, value)| Some(format!("{name} {}", value.or(own.clone())?)));
        let values = values.collect::<Vec<_>>().join(", ");
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let takes_value = arg.get_action().takes_values();
        arg.hide_default_value(takes_value).help(format!("{help} [by --settings: {values}]"))
    })
}

/// The keys of a table of flags.
fn group(table: &str) -> Vec<String> {
    let command = clap::Command::new("group");
    let command = match table {
        "dagger" => DaggerArgs::augment_args(command),
        "labels" => LabelArgs::augment_args(command),
        "search" => SearchArgs::augment_args(command),
        _ => SamplingArgs::augment_args(command),
    };
    let keys = command.get_arguments().filter_map(|arg| arg.get_long()).map(|long| long.replace('-', "_"));
    let others = OTHERS.map(str::to_owned).into_iter().filter(|_| table == "dagger");
    keys.chain(others).collect()
}

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
        sr_cli::print_generated(command(), argv.iter().cloned());
        let parsed = sr_cli::try_matches_from(command(), argv).unwrap_or_else(|error| error.exit());
        let sr_cli::Parsed { matches, args: argv, .. } = parsed;
        let given = Args::from_arg_matches(&matches).map_err(|error| setting_error(&error))?;
        let name = given.settings.as_deref();
        ensure!(
            name.is_none() || given.task == TaskArg::Search,
            "--settings says nothing with --task point-control, which has settings of its own"
        );
        let (text, path) = match &given.config {
            Some(path) => {
                (std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?, &**path)
            }
            None if given.task == TaskArg::PointControl => {
                (POINT.to_owned(), Path::new("the settings of point control"))
            }
            None if name == Some("original") => (ORIGINAL.to_owned(), Path::new("the settings original")),
            None if name == Some("quality") => (QUALITY.to_owned(), Path::new("the settings quality")),
            None => (QUICK.to_owned(), Path::new("the settings quick")),
        };
        let own = check_together(&matches, &|id| format!("--{}", id.replace('_', "-")));
        own.and_then(|()| Self::merged(&argv, &given, &matches, &text, path))
    }

    fn merged(argv: &[OsString], given: &Args, own: &ArgMatches, text: &str, path: &Path) -> anyhow::Result<Self> {
        let reading = || format!("reading {}", path.display());
        let mut file = File::read(text, path, given.config.is_some()).with_context(reading)?;
        file.check_alone().with_context(reading)?;
        let is_own = |id: &str| is_given(own, id);
        // What the command line replaces is not there.
        if is_own("train_steps_per_iter") {
            file.drop_flags(&["train_epochs_per_iter", "mini_batches"]);
        }
        if is_own("labels") {
            let labels = given.labels.labels.to_possible_value().expect("each has a name");
            let of_labels = group("labels");
            for (key, value) in file.flags.clone().into_iter().filter(|(key, _)| of_labels.contains(key)) {
                let alone = ["labels", "--labels", labels.get_name(), &value];
                let matches = LabelArgs::augment_args(clap::Command::new("labels")).try_get_matches_from(alone);
                let fits = matches.ok().and_then(|matches| LabelArgs::from_arg_matches(&matches).ok());
                if fits.is_none_or(|labels| labels.labelling().is_err()) {
                    file.drop_flags(&[&key]);
                }
            }
        }
        let flags = file.flags.iter().map(|(_, flag)| flag.into());
        // What is on the command line comes last, and so counts.
        let flags: Vec<OsString> = argv[..1].iter().cloned().chain(flags).chain(argv[1..].iter().cloned()).collect();
        let merged = command().try_get_matches_from(flags).map_err(|error| setting_error(&error));
        let merged = merged.with_context(reading)?;
        let mut args = Args::from_arg_matches(&merged).map_err(|error| setting_error(&error))?;
        let name = |id: &str| {
            if is_own(id) { format!("--{}", id.replace('_', "-")) } else { format!("{id} in {}", path.display()) }
        };
        if args.task == TaskArg::PointControl {
            let of_search = ["labels", "search", "sampling"].into_iter().flat_map(group);
            let of_search =
                of_search.chain(["exclude".to_owned(), "val_fraction".to_owned(), "states_per_search".to_owned()]);
            if let Some(id) = of_search.into_iter().find(|id| is_given(&merged, id)) {
                bail!("{} says nothing with --task point-control", name(&id));
            }
            if let Some(table) = file.model.keys().next() {
                let what = if table == "mode" { "mode" } else { &format!("[{table}]") };
                bail!("{what} in {} says nothing with --task point-control", path.display());
            }
            if args.dagger.beta_level == Per::Child {
                bail!(
                    "{}: with --task point-control a step is one action; take generation, who acts in each step, or search, \
                     in each episode",
                    name("beta_level")
                );
            }
        }
        if args.dagger.train_epochs_per_iter.is_none() && is_given(&merged, "mini_batches") {
            bail!("{} says nothing without --train-epochs-per-iter", name("mini_batches"));
        }
        if args.dagger.train_epochs_per_iter.is_some() && is_own("batch_size") {
            bail!("{} says nothing with {}", name("batch_size"), name("train_epochs_per_iter"));
        }
        if args.dagger.recency > 0.0 && !args.dagger.use_dagger {
            bail!("{} says nothing with {}, which takes the newest round alone", name("recency"), name("use_dagger"));
        }
        let is_drawn = (0..MOST_ROUNDS).map(|round| args.dagger.beta.at(round)).any(|beta| beta > 0.0 && beta < 1.0);
        if is_own("beta_level") && !is_drawn {
            bail!(
                "{} says nothing with --beta {}, by which expert or learner has a whole round",
                name("beta_level"),
                args.dagger.beta
            );
        }
        if is_given(&merged, "extra_generations") {
            bail!("{} says nothing here: an episode ends when it is solved", name("extra_generations"));
        }
        ensure!(args.search.time_limit.is_none(), "{}: results would depend on the machine", name("time_limit"));
        if args.dagger.train_epochs_per_iter.is_none() {
            let drawn = u64::from(args.dagger.train_steps_per_iter) * u64::from(args.dagger.batch_size);
            ensure!(
                drawn <= MOST_DRAWN,
                "{} and {}: a round would draw {drawn} states, more than {MOST_DRAWN}",
                name("train_steps_per_iter"),
                name("batch_size")
            );
        }
        if args.no_record {
            args.dagger.record_episodes = 0;
        }
        let train = file.train_config(&args, &name)?;
        if args.task == TaskArg::Search {
            check_sampling(&args.sampling, &train, &name)?;
        }
        Ok(Settings { args, train })
    }
}

/// Whether a flag was given, with the default's value or another.
fn is_given(matches: &ArgMatches, id: &str) -> bool {
    matches.try_contains_id(id).unwrap_or(false) && matches.value_source(id) == Some(ValueSource::CommandLine)
}

/// Flags of one source that do not go together: one of them would say nothing.
fn check_together(matches: &ArgMatches, name: &dyn Fn(&str) -> String) -> anyhow::Result<()> {
    let apart = [
        ("train_steps_per_iter", "train_epochs_per_iter"),
        ("batch_size", "train_epochs_per_iter"),
        ("record_episodes", "no_record"),
    ];
    match apart.into_iter().find(|(a, b)| is_given(matches, a) && is_given(matches, b)) {
        Some((a, b)) => bail!("{} says nothing with {}", name(a), name(b)),
        None => Ok(()),
    }
}

/// Fails where the model to be trained could not be sampled as the flags say.
fn check_sampling(args: &SamplingArgs, train: &TrainConfig, name: &dyn Fn(&str) -> String) -> anyhow::Result<()> {
    match args.sampling()?.validate(&train.model_config(), train.language.actions) {
        Err(sr_lab::sr_neural::Error::Sampling { flag, found, expected }) => {
            bail!("{} is {found}, expected {expected}", name(&flag.trim_start_matches("--").replace('-', "_")))
        }
        other => Ok(other?),
    }
}

/// A configuration file: flags, and tables of the model.
struct File<'a> {
    text: &'a str,
    /// Keys with the flags that they are.
    flags: Vec<(String, String)>,
    /// The tables of the model and its training, and the mode.
    model: toml::Table,
}

impl<'a> File<'a> {
    /// Of a text; keys that nobody knows are errors.
    fn read(text: &'a str, path: &Path, is_file: bool) -> anyhow::Result<Self> {
        let mut table: toml::Table = toml::from_str(text).map_err(|error| anyhow::anyhow!("{error}"))?;
        let tables = FLAG_TABLES.iter().chain(&MODEL_TABLES).chain(&KEYS).copied();
        if let Some(unknown) = table.keys().find(|key| !tables.clone().any(|known| known == *key)) {
            bail!("{}unknown key {unknown:?}{}", line(text, "", unknown), nearest(unknown, tables));
        }
        let mut flags = Vec::new();
        if let Some(task) = table.remove("task") {
            flags.push(("task".to_owned(), flag("task", &task)?));
        }
        if let Some(milestones) = table.remove("milestones") {
            let name = milestones.as_str().context("milestones: expected the name of a file")?;
            ensure!(is_file, "milestones: the built-in settings have built-in milestones");
            let file = path.parent().unwrap_or(Path::new("")).join(name);
            flags.push(("milestones".to_owned(), format!("--milestones={}", file.display())));
        }
        for name in FLAG_TABLES {
            let Some(value) = table.remove(name) else { continue };
            let of_table = value.as_table().with_context(|| format!("{name}: expected a table"))?;
            let known = group(name);
            for (key, value) in of_table {
                if !known.contains(key) {
                    let other = FLAG_TABLES.into_iter().find(|other| group(other).contains(key));
                    let hint = match other {
                        Some(other) => format!(", which belongs to [{other}]"),
                        None => nearest(key, known.iter().map(String::as_str)),
                    };
                    bail!("{}unknown key {key:?} of [{name}]{hint}", line(text, name, key));
                }
                flags.push((key.clone(), flag(key, value).with_context(|| format!("[{name}]"))?));
            }
        }
        for (name, key, set_by) in SET_BY_FLAGS {
            if table.get(name).and_then(|table| table.get(key)).is_some() {
                bail!("{}{key} of [{name}] says nothing here: {set_by} of [dagger] sets it", line(text, name, key));
            }
        }
        Ok(File { text, flags, model: table })
    }

    /// The flags by themselves: whether each is one, and which of them do not go together. Errors name line and key.
    fn check_alone(&self) -> anyhow::Result<()> {
        // The folder is the command line's to name.
        let always = ["sr-dagger", "--out=x"].map(str::to_owned);
        for (key, flag) in &self.flags {
            let table = FLAG_TABLES.into_iter().find(|table| group(table).contains(key)).unwrap_or_default();
            let alone = always.iter().chain([flag]);
            // Some need another one.
            let parsed = command().try_get_matches_from(alone);
            if let Err(error) = parsed.as_ref()
                && error.kind() != ErrorKind::MissingRequiredArgument
            {
                return Err(setting_error(error).context(format!("{}{key}", line(self.text, table, key))));
            }
        }
        let all = always.iter().chain(self.flags.iter().map(|(_, flag)| flag));
        let matches = command().try_get_matches_from(all).map_err(|error| setting_error(&error))?;
        check_together(&matches, &str::to_owned)
    }

    fn drop_flags(&mut self, keys: &[&str]) {
        self.flags.retain(|(key, _)| !keys.contains(&key.as_str()));
    }

    /// The model and its training, checked as `sr-train` checks its files, with what flags say of them.
    fn train_config(&self, args: &Args, name: &dyn Fn(&str) -> String) -> anyhow::Result<TrainConfig> {
        let mut table = self.model.clone();
        table.entry("mode").or_insert_with(|| "one-step".into());
        table.entry("model").or_insert_with(|| toml::Table::from_iter([("preset".to_owned(), "tiny".into())]).into());
        table.entry("training").or_insert_with(|| toml::Table::new().into());
        let dagger = &args.dagger;
        // The student of point control is none of these models.
        let width = (args.task == TaskArg::Search).then(|| i64::from(dagger.hidden_dim).into());
        let set = [
            ("training", "steps", Some(i64::from(dagger.train_steps_per_iter).into())),
            ("training", "rows_per_batch", Some(i64::from(dagger.batch_size).into())),
            ("training", "learning_rate", Some(dagger.learning_rate.into())),
            ("model", "d_model", width),
        ];
        for (name, key, value) in set {
            let of = table.get_mut(name).and_then(toml::Value::as_table_mut);
            let of = of.with_context(|| format!("{name}: expected a table"))?;
            of.extend(value.map(|value: toml::Value| (key.to_owned(), value)));
        }
        let text = toml::to_string(&table).expect("it was read from text");
        TrainConfig::from_toml(&text).map_err(|error| {
            let message = error.to_string();
            // What flags set has their names; lines of the text made here are nobody's.
            let by_flag = SET_BY_FLAGS.iter().find(|(table, key, _)| {
                message.contains(&format!("{table}.{key} ")) || message.contains(&format!(" {key} "))
            });
            match by_flag {
                Some((table, key, flag)) => {
                    let rest = message.trim_start_matches("configuration: ");
                    let rest = rest.replace(&format!("{table}.{key} "), &format!("{} ", name(flag)));
                    let rest =
                        rest.trim_start_matches("model: ").replace("d_model ", &format!("{} ", name("hidden_dim")));
                    anyhow::anyhow!(rest)
                }
                None => self.located(error),
            }
        })
    }

    /// What is wrong with the tables of the model, with the line of this file and not of the text that was checked.
    fn located(&self, error: sr_lab::sr_train::Error) -> anyhow::Error {
        let sr_lab::sr_train::Error::Toml(message) = &error else { return error.into() };
        let message = match message.split_once(": ") {
            Some((line, rest)) if line.starts_with("line ") => rest,
            _ => message,
        };
        // serde: unknown field `a`, expected one of `b`, `c`
        let mut names = message.split('`').skip(1).step_by(2);
        let unknown = names.next().filter(|_| message.starts_with("unknown field"));
        let of = |key: &str| {
            MODEL_TABLES.into_iter().find(|name| self.model.get(*name).is_some_and(|of| of.get(key).is_some()))
        };
        match unknown.and_then(|key| Some((key, of(key)?))) {
            Some((key, table)) => anyhow::anyhow!(
                "{}unknown key {key:?} of [{table}]{}",
                line(self.text, table, key),
                nearest(key, names)
            ),
            None => anyhow::anyhow!("{message}"),
        }
    }
}

/// Where a key of a table stands in a text, as the beginning of a message; nothing if it cannot be told.
fn line(text: &str, table: &str, key: &str) -> String {
    let mut current = String::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            current = name.trim().to_owned();
            if table.is_empty() && current == key {
                return format!("line {number}: ");
            }
        }
        let is_key = line.strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with('='));
        if is_key && current == table {
            return format!("line {number}: ");
        }
    }
    String::new()
}

/// A key and its value as a flag.
fn flag(key: &str, value: &toml::Value) -> anyhow::Result<String> {
    let flag = key.replace('_', "-");
    let text = value_text(key, value)?;
    Ok(match value {
        toml::Value::Boolean(true) if is_switch(&flag) => format!("--{flag}"),
        toml::Value::Boolean(false) if is_switch(&flag) => bail!("{key}: leave it out instead of setting it to false"),
        _ => format!("--{flag}={text}"),
    })
}

/// A value as a flag has it.
fn value_text(key: &str, value: &toml::Value) -> anyhow::Result<String> {
    let one = |value: &toml::Value| match value {
        toml::Value::String(text) => Ok(text.clone()),
        toml::Value::Table(_) | toml::Value::Array(_) => bail!("{key}: expected a value, or a list of values"),
        value => Ok(value.to_string()),
    };
    match value {
        toml::Value::Array(values) => Ok(values.iter().map(one).collect::<anyhow::Result<Vec<_>>>()?.join(",")),
        value => one(value),
    }
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
        for name in ["dagger-quick", "dagger-original", "dagger-quality", "dagger-demo", "point-control"] {
            let file = configs.join(format!("{name}.toml"));
            parse(&["--config", file.to_str().expect("UTF-8")]);
        }
        assert_eq!(parse(&["--settings", "quality"]).args.dagger.dagger_iterations, 10);
        // What the command line says counts more than the file.
        let settings = parse(&["--settings", "quality", "--dagger-iterations", "3", "--hidden-dim", "64"]);
        assert_eq!((settings.args.dagger.dagger_iterations, settings.train.model.d_model), (3, Some(64)));
    }

    #[test]
    fn a_file_leaves_out_what_is_as_in_original() {
        let parse = |flags: &[&str]| {
            let argv = ["sr-dagger", "--out", "x"].iter().chain(flags).map(OsString::from).collect();
            Settings::parse(argv).expect("settings")
        };
        let folder = tempfile::tempdir().expect("a folder");
        let empty = folder.path().join("empty.toml");
        std::fs::write(&empty, "").expect("written");
        let (left_out, original) =
            (parse(&["--config", empty.to_str().expect("UTF-8")]), parse(&["--settings", "original"]));
        assert_eq!(left_out.train, original.train);
        let text = |settings: &Settings| {
            let Args { dagger, labels, search, sampling, .. } = &settings.args;
            format!("{dagger:?} {labels:?} {:?} {sampling:?}", search.config(false).expect("settings"))
        };
        assert_eq!(text(&left_out), text(&original));
        let dagger = &original.args.dagger;
        let counts = [dagger.dagger_iterations, dagger.episodes_per_iter, dagger.eval_episodes];
        assert_eq!(counts, [10, 10, 5]);
        assert_eq!((dagger.train_steps_per_iter, dagger.batch_size, dagger.hidden_dim), (2000, 64, 256));
        assert_eq!((dagger.learning_rate, dagger.min_success_rate, dagger.init), (3e-4, 0.6, InitArg::Fresh));
        assert_eq!(dagger.step_multiplier, StepMultiplier::Fixed(2.0));
        assert_eq!(original.args.labels.labels, sr_args::LabelsArg::All);
    }
}
