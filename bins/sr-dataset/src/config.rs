//! What is to be made.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use clap::Parser;
use clap::error::ErrorKind;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sr_args::SearchArgs;
use sr_cli::output::{seed_in_name, short_number};
use sr_corpus::{Apart, Context, Exclude, Mode, Options, Shape, Targets};
use sr_engine::{PrimitiveSet, SearchConfig};
use sr_problems::{
    Blocklist, Generator, Origin, Preset, ProblemSet, RandomParams, SetParams, parse_operators, suite, suite_names,
};
use sr_trace::TraceHeader;

/// The problem set's name in the folder.
pub(crate) const PROBLEMS: &str = "problems.sr";
/// The trace's.
pub(crate) const TRACE: &str = "trace.sr";
/// The folder of the corpora.
pub(crate) const CORPUS: &str = "corpus";

/// A configuration as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Suites and problem files of a test.
    #[serde(default)]
    exclude: Vec<String>,
    problems: ProblemsTable,
    /// The flags of `sr-search`, with `_` for `-`; in mode direct there is none.
    search: Option<toml::Table>,
    #[serde(default)]
    corpus: CorpusTable,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProblemsTable {
    suite: Option<String>,
    count: Option<u32>,
    preset: Option<PresetName>,
    operators: Option<String>,
    complexity: Option<f64>,
    constants: Option<Vec<f64>>,
    max_variables: Option<u16>,
    points: Option<u32>,
    max_y: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum PresetName {
    Arith,
    E2e,
}

/// What examples are; every field is resolved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct CorpusTable {
    pub(crate) mode: Mode,
    pub(crate) context: Context,
    /// Whether autoregressive targets have the fitness of each individual.
    pub(crate) fitness: bool,
    pub(crate) ancestors_only: bool,
    pub(crate) include_elite: bool,
    pub(crate) sample_fraction: f64,
    pub(crate) val_fraction: f64,
    pub(crate) apart: Apart,
    pub(crate) jsonl: bool,
}

impl Default for CorpusTable {
    fn default() -> Self {
        let Options { context, sample_fraction, val_fraction, jsonl, .. } = Options::default();
        let (fitness, ancestors_only, include_elite) = (true, false, false);
        let (mode, apart) = (Mode::OneStep, Apart::Function);
        Self { mode, context, fitness, ancestors_only, include_elite, sample_fraction, val_fraction, apart, jsonl }
    }
}

impl Config {
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)?;
        toml::from_str(&text).map_err(|error| anyhow::anyhow!("{error}"))
    }
}

/// Searches to be recorded.
pub(crate) struct SearchPlan {
    pub(crate) config: SearchConfig,
    pub(crate) header: TraceHeader,
    /// Searches of each problem.
    pub(crate) runs: u64,
}

/// Where problems come from.
pub(crate) enum Source {
    Random { generator: Box<Generator>, count: u32 },
    Suite(ProblemSet),
}

/// A configuration with all that follows from it.
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) source: Source,
    pub(crate) params: SetParams,
    pub(crate) blocklist: Arc<Blocklist>,
    pub(crate) search: Option<SearchPlan>,
    pub(crate) corpus: CorpusTable,
}

impl Plan {
    /// Checks all of it before anything is made. `path` is the configuration's: files are named relative to its folder.
    pub(crate) fn new(config: Config, path: &Path, seed: u64, generations: Option<u32>) -> anyhow::Result<Self> {
        let Config { exclude, problems, search, corpus } = config;
        let folder = path.parent().unwrap_or(Path::new(""));
        let located = exclude.into_iter().map(|name| match suite_names().any(|suite| suite == name) {
            true => name,
            false => folder.join(name).to_string_lossy().into_owned(),
        });
        let blocklist = Arc::new(Blocklist::of(located.collect::<Vec<_>>()).context("exclude")?);
        let (source, params) = problems.source(seed, &blocklist).context("[problems]")?;
        let search = match (search, corpus.mode) {
            (Some(_), Mode::Direct) => bail!("mode direct needs no traces; leave [search] out"),
            (None, Mode::Direct) => {
                ensure!(generations.is_none(), "--generations has no meaning in mode direct");
                None
            }
            (search, _) => {
                let table = search.unwrap_or_default();
                Some(SearchPlan::new(table, generations, &params, seed).context("[search]")?)
            }
        };
        let CorpusTable { sample_fraction, val_fraction, .. } = corpus;
        ensure!(
            sample_fraction > 0.0 && sample_fraction <= 1.0,
            "[corpus]: sample_fraction must be above 0 and at most 1, found {sample_fraction}"
        );
        ensure!(
            (0.0..1.0).contains(&val_fraction),
            "[corpus]: val_fraction must be 0 or more and below 1, found {val_fraction}"
        );
        ensure!(corpus.mode == Mode::OneStep || !corpus.ancestors_only, "ancestors_only is for mode one-step");
        ensure!(corpus.mode == Mode::OneStep || !corpus.include_elite, "include_elite is for mode one-step");
        ensure!(corpus.mode == Mode::Autoregressive || corpus.fitness, "fitness is for mode autoregressive");
        Ok(Plan { seed, source, params, blocklist, search, corpus })
    }

    /// Number of problems.
    pub(crate) fn problems(&self) -> u64 {
        match &self.source {
            Source::Random { count, .. } => u64::from(*count),
            Source::Suite(set) => set.problems.len() as u64,
        }
    }

    /// All settings that decide the bytes, without a path.
    pub(crate) fn resolved(&self) -> Value {
        let search = self.search.as_ref().map(|search| json!({ "runs": search.runs, "header": search.header }));
        json!({
            "exclude": self.blocklist.sources(),
            "problems": { "count": self.problems(), "params": self.params },
            "search": search,
            "corpus": self.corpus,
        })
    }

    pub(crate) fn options(&self) -> Options<'static> {
        let CorpusTable { mode, context, fitness, ancestors_only, include_elite, .. } = self.corpus;
        let CorpusTable { sample_fraction, val_fraction, apart, jsonl, .. } = self.corpus;
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
            stop: None, // a corpus that was not finished is made anew
            sample_fraction,
            val_fraction,
            is_part: false,
            apart,
            seed: self.seed,
            jsonl,
        }
    }

    /// A folder's name that says what is in it.
    pub(crate) fn name(&self) -> String {
        let problems = match (&self.source, &self.params.origin) {
            (Source::Random { count, .. }, Origin::Random(params)) => {
                let count = short(*count);
                let mut name = match params.label().split_once('_') {
                    Some((operators, complexity)) => format!("{operators}_{count}_{complexity}"),
                    None => format!("{}_{count}", params.label()),
                };
                if params.preset != Preset::E2e && params.max_variables != 3 {
                    name += &format!("_v{}", params.max_variables);
                }
                if params.constants != [1.0] {
                    name += &format!("_k{}", params.constants.len());
                }
                name
            }
            (_, Origin::Suite { name, .. }) => name.clone(),
            _ => "problems".into(),
        };
        let searches = self.search.as_ref().map(|search| format!("gen{}_", short(search.config.generations)));
        let mode =
            if self.corpus.mode == Mode::OneStep { String::new() } else { format!("_{}", self.corpus.mode.name()) };
        format!("{}{problems}{mode}{}", searches.unwrap_or_default(), seed_in_name(self.seed))
    }
}

fn short(n: u32) -> String {
    short_number(n.into())
}

impl ProblemsTable {
    fn source(self, seed: u64, blocklist: &Arc<Blocklist>) -> anyhow::Result<(Source, SetParams)> {
        let Self { suite: name, count, preset, operators, complexity, constants, max_variables, points, max_y } = self;
        if let Some(name) = name {
            let given = [
                ("count", count.is_some()),
                ("preset", preset.is_some()),
                ("operators", operators.is_some()),
                ("complexity", complexity.is_some()),
                ("constants", constants.is_some()),
                ("max_variables", max_variables.is_some()),
                ("points", points.is_some()),
                ("max_y", max_y.is_some()),
            ];
            if let Some((other, _)) = given.iter().find(|(_, given)| *given) {
                bail!("{other} has no meaning beside suite");
            }
            let set = suite(&name, seed)?;
            let params = set.params.clone();
            return Ok((Source::Suite(set), params));
        }
        let count = count.filter(|&count| count > 0).context("count, the number of problems, is missing or 0")?;
        let constants = constants.unwrap_or_else(|| vec![1.0]);
        let operators = operators.as_deref().map(parse_operators).transpose()?;
        let mut params = match preset.unwrap_or(PresetName::Arith) {
            PresetName::E2e if complexity.is_some() => bail!("complexity goes with preset arith only"),
            PresetName::E2e => RandomParams::e2e(constants, seed),
            PresetName::Arith => {
                RandomParams::arith(parse_operators("arith")?, constants, complexity.unwrap_or(0.5), seed)
            }
        };
        params.operators = operators.unwrap_or(params.operators);
        params.max_variables = max_variables.unwrap_or(params.max_variables);
        params.points = points;
        params.max_y = max_y.unwrap_or(params.max_y);
        let generator = Box::new(Generator::new(params)?.excluding(blocklist.clone()));
        let params = generator.generate(0, || ())?.params;
        Ok((Source::Random { generator, count }, params))
    }
}

/// The flags of a search, so that they have one meaning and one set of defaults here and in `sr-search`.
#[derive(Parser)]
struct SearchFlags {
    /// Searches of each problem.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    runs: u64,
    #[command(flatten)]
    search: SearchArgs,
}

impl SearchPlan {
    fn new(mut table: toml::Table, generations: Option<u32>, set: &SetParams, seed: u64) -> anyhow::Result<Self> {
        ensure!(!table.contains_key("time_limit"), "time_limit: results would depend on the machine");
        if let Some(generations) = generations {
            table.insert("generations".into(), generations.into());
        }
        let flag = |(key, value): (&String, &toml::Value)| {
            let value = match value {
                toml::Value::String(text) => text.clone(),
                toml::Value::Table(_) | toml::Value::Array(_) => bail!("{key}: expected a single value"),
                value => value.to_string(),
            };
            Ok(format!("--{}={value}", key.replace('_', "-")))
        };
        let flags: Vec<String> = table.iter().map(flag).collect::<anyhow::Result<_>>()?;
        let name = ["sr-search".to_owned()];
        let flags = SearchFlags::try_parse_from(name.into_iter().chain(flags)).map_err(|error| {
            let text = error.to_string();
            let line = text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
            match error.kind() {
                ErrorKind::UnknownArgument => anyhow::anyhow!("{line}; settings are the search flags of sr-search"),
                _ => anyhow::anyhow!(line),
            }
        })?;
        let config = flags.search.config(false)?;
        ensure!(config.generations > 1, "generations must be 2 or more: an example is a step from one to the next");
        ensure!(seed.checked_add(flags.runs - 1).is_some(), "runs {}: seeds from {seed} on end before", flags.runs);
        // The header names operators and constants; variables are the problems' own.
        let primitives = PrimitiveSet::new(set.operators.clone(), set.constants.clone(), 1)?;
        let header = TraceHeader::of_expert(PROBLEMS, &primitives, &config, flags.search.preset.name(), seed);
        Ok(SearchPlan { config, header, runs: flags.runs })
    }
}
