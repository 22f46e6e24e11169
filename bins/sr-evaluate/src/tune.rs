//! Settings of the expert that were searched for, on problems that nobody is compared on.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, ensure};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sr_args::SearchArgs;
use sr_cli::{Claim, Common, Exit, OutputArgs};
use sr_engine::random::{Key, Purpose, Rng, problem_key};
use sr_engine::{SearchConfig, Survival};
use sr_eval::{Trial, aligned, area};

use crate::method::Policy;
use crate::runner::{Task, evaluate};

/// The settings that the method `tuned` has.
const TUNED: &str = include_str!("../../../configs/tuned.toml");

/// What is searched for; everything else is common to all methods.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    population_size: usize,
    tournament_size: usize,
    crossover_probability: f64,
    elitism: usize,
    parsimony_coefficient: f64,
    /// Whether the best of parents and children live on, and not the children alone.
    plus: bool,
    unique: bool,
}

impl Settings {
    /// The ones that were found.
    pub(crate) fn tuned() -> Self {
        toml::from_str(TUNED).expect("the embedded file is tested")
    }

    fn of(config: &SearchConfig) -> Self {
        Settings {
            population_size: config.population_size,
            tournament_size: config.tournament_size,
            crossover_probability: config.crossover_probability,
            elitism: config.elitism,
            parsimony_coefficient: config.parsimony_coefficient,
            plus: config.survival == Survival::Plus,
            unique: config.unique,
        }
    }

    pub(crate) fn apply(&self, common: &SearchConfig) -> SearchConfig {
        SearchConfig {
            population_size: self.population_size,
            tournament_size: self.tournament_size,
            crossover_probability: self.crossover_probability,
            elitism: self.elitism,
            parsimony_coefficient: self.parsimony_coefficient,
            survival: if self.plus { Survival::Plus } else { Survival::Generational },
            unique: self.unique,
            ..common.clone()
        }
    }

    /// Settings at random, to three digits.
    fn draw(rng: &mut Rng) -> Self {
        let population_size = *rng.choose(&[10, 20, 40, 80, 160, 320]);
        let digits = |value: f64| -> f64 { format!("{value:.2e}").parse().expect("a number") };
        Settings {
            population_size,
            tournament_size: *rng.choose(&[2, 3, 4, 5, 7, 10]),
            crossover_probability: digits(rng.uniform(0.2, 0.95)),
            elitism: rng.below(2),
            parsimony_coefficient: if rng.chance(0.2) { 0.0 } else { digits(libm::exp10(rng.uniform(-5.0, -1.0))) },
            plus: rng.chance(0.5),
            unique: rng.chance(0.5),
        }
    }
}

/// Search for settings of the expert that solve most with least evaluations
///
/// Settings are drawn at random and scored by the area under the share solved against the decades of evaluations, all with
/// the same number of evaluations; the best of them are scored once more with all seeds. The settings that the search
/// starts from are among both. Use problems whose formulas are in no test. The method "tuned" has what stands in
/// configs/tuned.toml when the program is compiled.
#[derive(clap::Args)]
pub(crate) struct TuneArgs {
    /// Problem set
    #[arg(long, value_name = "FILE")]
    problems: PathBuf,
    /// Settings to draw
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    trials: u32,
    /// Of these those that are scored again
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    finalists: u32,
    /// Searches of each problem for the finalists, and a quarter as many for the others
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=crate::MOST_SEEDS))]
    seeds: u64,
    /// File for the settings
    #[arg(long, value_name = "FILE", default_value = "configs/tuned.toml")]
    out: PathBuf,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    search: SearchArgs,
    #[command(flatten)]
    common: Common,
}

pub(crate) fn run(args: &TuneArgs, given: &sr_cli::Given) -> anyhow::Result<Exit> {
    let started = Instant::now();
    args.common.init()?;
    given.refuse(&["generations"], "with tune, where --max-evaluations is the only limit")?;
    ensure!(args.search.time_limit.is_none(), "--time-limit would make the settings depend on the machine");
    let needed = "--max-evaluations is needed, so that all settings may spend the same";
    let most = args.search.max_evaluations.context(needed)?;
    let set = sr_problems::ProblemSet::read(&args.problems)?;
    let base = args.search.config(set.is_own_data())?;
    let common = SearchConfig { generations: u32::MAX, ..base };
    ensure!(!set.problems.is_empty(), "there are no problems");
    let _output = Claim::file(&args.out).inputs([&args.problems]).may_exist(args.output.force).take()?;
    let score = |settings: &Settings, seeds: u64| -> anyhow::Result<(f64, f64)> {
        let items = crate::items(&set, seeds, args.common.seed)?;
        let task =
            Task { method: "tuned", budget: None, config: settings.apply(&common), progress: false, names: None };
        let rows = evaluate(&task, &mut Policy::Expert, &items)?;
        let trials: Vec<Trial> = rows.iter().map(sr_eval::Row::trial).collect();
        let solved = rows.iter().filter(|row| row.solved).count() as f64 / rows.len() as f64;
        Ok((area(&trials, most as f64), solved))
    };

    let key = Key::new(args.common.seed, Purpose::Evaluation, problem_key("tune"));
    let drawn = (0..args.trials).map(|trial| Settings::draw(&mut key.slot(trial).rng()));
    let fits = |settings: &Settings| settings.apply(&common).validate().is_ok();
    let trials: Vec<Settings> = std::iter::once(Settings::of(&common)).chain(drawn.filter(fits)).collect();
    let progress = args.common.progress(trials.len() as u64 + u64::from(args.finalists), "settings");
    let mut screened: Vec<(f64, usize)> = trials
        .par_iter()
        .enumerate()
        .map(|(index, settings)| {
            let scored = score(settings, args.seeds.div_ceil(4))?;
            progress.inc(1);
            Ok((scored.0, index))
        })
        .collect::<anyhow::Result<_>>()?;
    screened.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let mut finalists: Vec<usize> = screened.iter().take(args.finalists as usize).map(|&(_, index)| index).collect();
    if !finalists.contains(&0) {
        finalists.push(0);
    }
    let mut scored: Vec<((f64, f64), usize)> = finalists
        .par_iter()
        .map(|&index| {
            let scored = score(&trials[index], args.seeds)?;
            progress.inc(1);
            Ok((scored, index))
        })
        .collect::<anyhow::Result<_>>()?;
    progress.finish_and_clear();
    scored.sort_by(|a, b| b.0.0.total_cmp(&a.0.0).then(a.1.cmp(&b.1)));

    let (best, before) = (&scored[0], scored.iter().find(|(_, index)| *index == 0).expect("it is a finalist"));
    let command: Vec<String> = std::env::args().skip(1).collect();
    let text = format!(
        "# Settings of the expert for the method `tuned`: area {:.4}, {:.1} % solved, where those it started from have {:.4} and \
         {:.1} %.\n# Found by: sr-evaluate {}\n{}",
        best.0.0,
        100.0 * best.0.1,
        before.0.0,
        100.0 * before.0.1,
        command.join(" "),
        toml::to_string(&trials[best.1])?
    );
    sr_cli::write_atomically(&args.out, text.as_bytes())?;
    let lines = scored.iter().map(|&((area, solved), index)| {
        let s = &trials[index];
        vec![
            if index == 0 { "start".into() } else { index.to_string() },
            format!("{area:.4}"),
            format!("{:.1} %", 100.0 * solved),
            s.population_size.to_string(),
            s.tournament_size.to_string(),
            s.crossover_probability.to_string(),
            s.elitism.to_string(),
            s.parsimony_coefficient.to_string(),
            s.plus.to_string(),
            s.unique.to_string(),
        ]
    });
    let headers =
        ["trial", "area", "solved", "population", "tournament", "crossover", "elite", "parsimony", "plus", "unique"];
    let found: Vec<_> = scored
        .iter()
        .map(|&((area, solved), index)| json!({ "area": area, "solved": solved, "settings": trials[index] }))
        .collect();
    args.common.report("sr-evaluate", started, json!({ "finalists": found }), &aligned(&headers, lines))?;
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_settings_are_valid_and_only_those_change() {
        let common = SearchConfig::basic();
        let config = Settings::tuned().apply(&common);
        assert_eq!(config.validate(), Ok(()));
        assert_eq!(Settings::of(&config), Settings::tuned());
        assert_eq!(Settings::of(&common).apply(&config), common, "and nothing else is touched");
    }
}
