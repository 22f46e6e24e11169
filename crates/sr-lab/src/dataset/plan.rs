//! The settings of a data set, and the checked plan of a build.

use std::num::NonZeroU32;
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sr_corpus::{Context, Exclude, Mode, Options, Shape, SplitBy, Targets};
use sr_engine::{PrimitiveSet, SearchConfig};
use sr_problems::{Blocklist, Generator, ProblemSet, RandomParams, SetParams, suite};
use sr_trace::TraceHeader;

/// File name of the problem set in the folder.
pub const PROBLEMS: &str = "problems.sr";
/// File name of the trace.
pub const TRACE: &str = "trace.sr";
/// Folder of the corpora.
pub const CORPUS: &str = "corpus";

/// The settings of a data set.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Seed of problems, searches and split; their random streams differ by purpose.
    pub seed: u64,
    /// The source of the problems.
    pub problems: ProblemSource,
    /// Test suites and problem files whose formulas are excluded.
    pub exclude: Vec<String>,
    /// The searches; `None` in mode direct, which has none.
    pub search: Option<SearchSettings>,
    /// The settings of the examples.
    pub corpus: CorpusSettings,
}

/// The source of problems.
#[derive(Debug, Clone, PartialEq)]
pub enum ProblemSource {
    /// Random problems. The seed of the parameters is replaced by that of the [`Settings`].
    Random {
        /// The distribution of the problems.
        params: RandomParams,
        /// The number of problems, at least 1.
        count: u32,
    },
    /// The name of a suite.
    Suite(String),
}

/// The settings of the searches to record.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchSettings {
    /// Settings of all searches: at least two generations, and no time limit, because it would not end at the same
    /// generation everywhere.
    pub config: SearchConfig,
    /// Name of the preset that `config` started from, for the header of the trace.
    pub preset: String,
    /// Searches of each problem, at least 1; their seeds count up from that of the data set.
    pub runs: u64,
}

/// The settings of the examples. Fields that a file leaves out have their defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CorpusSettings {
    /// The mode of the examples; one-step by default.
    pub mode: Mode,
    /// The context of a problem that prompts contain.
    pub context: Context,
    /// Whether autoregressive targets contain the fitness of each individual; true by default.
    pub fitness: bool,
    /// Whether only ancestors of the best individual become examples; for mode one-step.
    pub ancestors_only: bool,
    /// Whether the copied elite becomes examples too; for mode one-step.
    pub include_elite: bool,
    /// Share of examples to keep, above 0 and at most 1.
    pub sample_fraction: f64,
    /// The most states of a search, one of each stage of its progress by turns; all by default. For traces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub states_per_search: Option<NonZeroU32>,
    /// Share of formulas for validation, 0 or more and below 1.
    pub val_fraction: f64,
    /// What training and validation must not share; `None` stands for [`SplitBy::Function`]. Setting it without
    /// validation examples is an error.
    #[serde(rename = "apart")]
    pub split_by: Option<SplitBy>,
    /// Whether the examples are also written as text.
    pub jsonl: bool,
}

impl Default for CorpusSettings {
    fn default() -> Self {
        let Options { context, sample_fraction, val_fraction, jsonl, .. } = Options::default();
        Self {
            mode: Mode::OneStep,
            context,
            fitness: true,
            ancestors_only: false,
            include_elite: false,
            sample_fraction,
            states_per_search: None,
            val_fraction,
            split_by: None,
            jsonl,
        }
    }
}

/// Checked settings of a data set, with everything derived from them.
#[derive(Debug)]
pub struct Plan {
    pub(super) seed: u64,
    pub(super) source: Source,
    pub(super) params: SetParams,
    pub(super) blocklist: Arc<Blocklist>,
    pub(super) search: Option<SearchPlan>,
    pub(super) corpus: CorpusSettings,
}

#[derive(Debug)]
pub(super) enum Source {
    Random { generator: Box<Generator>, count: u32 },
    Suite(ProblemSet),
}

#[derive(Debug)]
pub(super) struct SearchPlan {
    pub(super) settings: SearchSettings,
    pub(super) header: TraceHeader,
}

impl Plan {
    /// Checks all settings and returns the plan; nothing is written.
    ///
    /// # Errors
    /// If a setting is out of range or has no meaning beside the others, or a file of excluded formulas cannot be read.
    pub fn new(settings: Settings) -> anyhow::Result<Self> {
        let Settings { seed, problems, exclude, search, mut corpus } = settings;
        let blocklist = Arc::new(Blocklist::of(exclude).context("exclude")?);
        let (source, params) = problems.resolve(seed, &blocklist).context("[problems]")?;
        let search = match (search, corpus.mode) {
            (Some(_), Mode::Direct) => bail!("mode direct needs no traces; leave [search] out"),
            (None, Mode::Direct) => None,
            (Some(search), _) => Some(search.resolve(&params, seed).context("[search]")?),
            (None, _) => bail!("[search] is missing: only mode direct has no searches"),
        };
        let CorpusSettings { sample_fraction, val_fraction, .. } = corpus;
        ensure!(
            sample_fraction > 0.0 && sample_fraction <= 1.0,
            "[corpus]: sample_fraction must be above 0 and at most 1, found {sample_fraction}"
        );
        ensure!(
            corpus.mode != Mode::Direct || corpus.states_per_search.is_none(),
            "[corpus]: states_per_search is for traces; mode direct has no states"
        );
        ensure!(
            (0.0..1.0).contains(&val_fraction),
            "[corpus]: val_fraction must be 0 or more and below 1, found {val_fraction}"
        );
        ensure!(
            val_fraction > 0.0 || corpus.split_by.is_none(),
            "[corpus]: apart has no effect with val_fraction 0, where nothing is for validation"
        );
        corpus.split_by.get_or_insert(SplitBy::Function);
        ensure!(corpus.mode == Mode::OneStep || !corpus.ancestors_only, "ancestors_only is for mode one-step");
        ensure!(corpus.mode == Mode::OneStep || !corpus.include_elite, "include_elite is for mode one-step");
        ensure!(corpus.mode == Mode::Autoregressive || corpus.fitness, "fitness is for mode autoregressive");
        Ok(Plan { seed, source, params, blocklist, search, corpus })
    }

    /// Returns the seed.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Returns the parameters that the header of the problem set will contain.
    pub fn params(&self) -> &SetParams {
        &self.params
    }

    /// Returns the settings of the searches; `None` in mode direct.
    pub fn search(&self) -> Option<&SearchSettings> {
        self.search.as_ref().map(|search| &search.settings)
    }

    /// Returns the settings of the examples.
    pub fn corpus(&self) -> &CorpusSettings {
        &self.corpus
    }

    /// Returns the number of problems.
    pub fn problems(&self) -> u64 {
        match &self.source {
            Source::Random { count, .. } => u64::from(*count),
            Source::Suite(set) => set.problems.len() as u64,
        }
    }

    /// Returns the number of searches.
    pub fn searches(&self) -> u64 {
        self.search.as_ref().map_or(0, |search| self.problems() * search.settings.runs)
    }

    /// Returns the number of steps that a build reports to its monitor: problems drawn, searches, and searches or
    /// problems converted.
    pub fn pieces(&self) -> u64 {
        self.problems() + self.searches() + self.converted()
    }

    /// Returns the number of searches that are converted, or of problems in mode direct.
    pub(super) fn converted(&self) -> u64 {
        if self.search.is_some() { self.searches() } else { self.problems() }
    }

    /// Returns all settings that determine the bytes, without paths.
    pub(super) fn resolved(&self) -> Value {
        let search =
            self.search.as_ref().map(|search| json!({ "runs": search.settings.runs, "header": search.header }));
        json!({
            "exclude": self.blocklist.sources(),
            "problems": { "count": self.problems(), "params": self.params },
            "search": search,
            "corpus": self.corpus,
        })
    }

    pub(super) fn options(&self) -> Options<'static> {
        let CorpusSettings { mode, context, fitness, ancestors_only, include_elite, .. } = self.corpus;
        let CorpusSettings { sample_fraction, states_per_search, val_fraction, split_by, jsonl, .. } = self.corpus;
        Options {
            context,
            targets: match ancestors_only {
                true => Targets::Ancestors { include_elite },
                false => Targets::NextGeneration { include_elite },
            },
            shape: match mode {
                Mode::Autoregressive => Shape::WholeGeneration { fitness },
                Mode::OneStep | Mode::Direct => Shape::EachChild,
            },
            exclude: Exclude::listed(self.blocklist.clone()),
            stop: None,
            sample_fraction,
            states_per_search,
            val_fraction,
            is_part: false,
            split_by: split_by.unwrap_or(SplitBy::Function),
            seed: self.seed,
            jsonl,
        }
    }
}

impl ProblemSource {
    fn resolve(self, seed: u64, blocklist: &Arc<Blocklist>) -> anyhow::Result<(Source, SetParams)> {
        match self {
            ProblemSource::Suite(name) => {
                let set = suite(&name, seed)?;
                let params = set.params.clone();
                Ok((Source::Suite(set), params))
            }
            ProblemSource::Random { params, count } => {
                ensure!(count > 0, "count, the number of problems, is 0");
                let generator = Generator::new(RandomParams { seed, ..params })?.excluding(blocklist.clone());
                generator.check_size(count)?;
                let params = generator.generate(0, || ())?.params;
                Ok((Source::Random { generator: Box::new(generator), count }, params))
            }
        }
    }
}

impl SearchSettings {
    fn resolve(self, set: &SetParams, seed: u64) -> anyhow::Result<SearchPlan> {
        let SearchSettings { config, preset, runs } = &self;
        config.validate()?;
        ensure!(config.time_limit.is_none(), "time_limit: results would depend on the machine");
        ensure!(config.generations > 1, "generations must be 2 or more: an example is a step from one to the next");
        ensure!(*runs > 0, "runs must be 1 or more");
        ensure!(seed.checked_add(runs - 1).is_some(), "runs {runs}: seeds from {seed} on end before");
        // The header names operators and constants; variables are the problems' own.
        let primitives = PrimitiveSet::new(set.operators.clone(), set.constants.clone(), 1)?;
        let header = TraceHeader::of_expert(PROBLEMS, &primitives, config, preset, seed);
        Ok(SearchPlan { settings: self, header })
    }
}
