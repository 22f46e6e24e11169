//! Configurations, as TOML.

use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use clap::Parser;
use clap::error::ErrorKind;
use serde::Deserialize;
use sr_args::SearchArgs;
use sr_lab::dataset::{CorpusSettings, ProblemSource, SearchSettings, Settings};
use sr_lab::sr_corpus::Mode;
use sr_lab::sr_problems::{RandomParams, parse_operators, suite_names};

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
    corpus: CorpusSettings,
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

impl Config {
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)?;
        toml::from_str(&text).map_err(|error| anyhow::anyhow!("{error}"))
    }

    /// All of it with its defaults. `path` is the configuration's: files are named relative to its folder.
    pub(crate) fn settings(self, path: &Path, seed: u64, generations: Option<u32>) -> anyhow::Result<Settings> {
        let Config { exclude, problems, search, corpus } = self;
        let folder = path.parent().unwrap_or(Path::new(""));
        let located = exclude.into_iter().map(|name| match suite_names().any(|suite| suite == name) {
            true => name,
            false => folder.join(name).to_string_lossy().into_owned(),
        });
        let search = match (search, corpus.mode) {
            (None, Mode::Direct) => {
                ensure!(generations.is_none(), "--generations has no meaning in mode direct");
                None
            }
            (search, _) => Some(searches(search.unwrap_or_default(), generations).context("[search]")?),
        };
        let problems = problems.source(seed).context("[problems]")?;
        Ok(Settings { seed, problems, exclude: located.collect(), search, corpus })
    }
}

impl ProblemsTable {
    fn source(self, seed: u64) -> anyhow::Result<ProblemSource> {
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
            return Ok(ProblemSource::Suite(name));
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
        Ok(ProblemSource::Random { params, count })
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

/// The settings of the searches: those flags of `sr-search`.
fn searches(mut table: toml::Table, generations: Option<u32>) -> anyhow::Result<SearchSettings> {
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
    Ok(SearchSettings { config, preset: flags.search.preset.name().to_owned(), runs: flags.runs })
}
