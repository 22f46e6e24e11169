//! Settings of the expert that are searched for.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context;
use serde_json::json;
use sr_args::SearchArgs;
use sr_cli::{Claim, Common, Exit, OutputArgs};
use sr_lab::Monitor;
use sr_lab::sr_eval::aligned_table;
use sr_lab::tune::{Finalist, Tuning};

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
    let set = sr_lab::sr_problems::ProblemSet::read(&args.problems)?;
    let config = args.search.config(set.is_own_data())?;
    let TuneArgs { trials, finalists, seeds, .. } = *args;
    let tuning = Tuning { set: &set, config: &config, trials, finalists, seeds, seed: args.common.seed };
    tuning.check()?;
    let _output = Claim::file(&args.out).inputs([&args.problems]).may_exist(args.output.force).take()?;
    let progress = args.common.progress(tuning.scores(), "settings");
    let found = tuning.run(&mut Monitor::of_progress(|settings| progress.inc(settings)))?;
    let found = found.context("the search for settings was stopped")?;
    progress.finish_and_clear();

    let (best, before) = (&found[0], found.iter().find(|found| found.trial == 0).expect("it is a finalist"));
    let command: Vec<String> = std::env::args().skip(1).collect();
    let text = format!(
        "# Settings of the expert for the method `tuned`: area {:.4}, {:.1} % solved, where those it started from have {:.4} and \
         {:.1} %.\n# Found by: sr-evaluate {}\n{}",
        best.area,
        100.0 * best.solved,
        before.area,
        100.0 * before.solved,
        command.join(" "),
        toml::to_string(&best.settings)?
    );
    sr_cli::write_atomically(&args.out, text.as_bytes())?;
    let lines = found.iter().map(|Finalist { trial, area, solved, settings: s }| {
        vec![
            if *trial == 0 { "start".into() } else { trial.to_string() },
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
    let found: Vec<_> = found
        .iter()
        .map(|found| json!({ "area": found.area, "solved": found.solved, "settings": found.settings }))
        .collect();
    args.common.report("sr-evaluate", started, json!({ "finalists": found }), &aligned_table(&headers, lines))?;
    Ok(Exit::Ok)
}
