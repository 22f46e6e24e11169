//! Expert and learner on one problem.

use std::time::Instant;

use anyhow::Context;
use comfy_table::{Table, presets};
use serde_json::{Value, json};
use sr_cli::Exit;
use sr_lab::compare::{Place, Searched, find, improvement, search, time_ratio};
use sr_lab::sr_engine::{Expert, Fit};
use sr_lab::sr_problems::Problem;

use crate::{Args, step};

/// Searches a problem twice and compares.
pub(crate) fn run(name: &str, args: &Args) -> anyhow::Result<Exit> {
    let started = Instant::now();
    args.common.init()?;
    let place = match (&args.one.problems, &args.one.suite) {
        (Some(path), _) => Place::File(path),
        (None, Some(suite)) => Place::Suite(suite),
        (None, None) => Place::AllSuites,
    };
    let problem = find(name, place, args.common.seed)?;
    let checkpoint = args.one.checkpoint.as_deref().context("--checkpoint is needed")?;
    let mut learner = args.sampling.learner(checkpoint, &args.one.device)?;
    sr_lab::learner::check_problems(&learner, [(&*problem.id, problem.x.n_columns())])?;
    let config = args.search.config(problem.source.is_none())?;
    let expert = search("expert", &problem, &mut Expert, &config, args.common.seed)?;
    let learned = search("learner", &problem, &mut learner, &config, args.common.seed)?;
    let both = [expert, learned];
    let mut result = json!({ "problem": problem.id, "seed": args.common.seed });
    for one in &both {
        result[&one.name] = summary(one);
    }
    let [expert, learner] = &both;
    result["improvement"] = json!(improvement(&expert.fit, &learner.fit).filter(|ratio| ratio.is_finite()));
    result["time_ratio"] = json!(time_ratio(expert, learner));
    if args.one.step {
        if args.common.json {
            result["generations"] = step::json(&both);
        } else {
            step::show(&both, &args.one)?;
        }
    }
    args.common.report("sr-compare", started, result, &text(&problem, args.common.seed, &both))?;
    Ok(Exit::Ok)
}

/// The mean squared error in words, which may be a number where its square is none.
fn mse_text(fit: &Fit) -> String {
    match (fit.is_finite(), fit.mse.is_finite()) {
        (false, _) => "invalid".into(),
        (true, false) => format!("above {:.1e}", f64::MAX),
        (true, true) => step::number(fit.mse),
    }
}

fn summary(one: &Searched) -> Value {
    let winner = one.outcome.winner();
    json!({
        "expression": one.formula(),
        "mse": Some(one.fit.mse).filter(|mse| mse.is_finite()),
        "r2": one.fit.r2(),
        "solved": one.solved,
        "size": winner.expr.size(),
        "generations": one.outcome.generations,
        "generations_to_solve": one.outcome.generations_to_solve,
        "evaluations": one.outcome.evaluations.search,
        "seconds": one.outcome.elapsed.as_secs_f64(),
        "well_formed": one.well_formed(),
    })
}

fn text(problem: &Problem, seed: u64, both: &[Searched; 2]) -> String {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_header(["", &both[0].name, &both[1].name]);
    let mut row = |what: &str, value: &dyn Fn(&Searched) -> String| {
        table.add_row([what.to_owned(), value(&both[0]), value(&both[1])]);
    };
    row("MSE", &|one| mse_text(&one.fit));
    row("R²", &|one| one.fit.r2().map_or("–".into(), |r2| format!("{r2:.6}")));
    row("solved", &|one| match (one.solved, one.outcome.generations_to_solve) {
        (true, Some(generation)) => format!("yes, in generation {generation}"),
        (true, None) => "yes".into(),
        (false, _) => "no".into(),
    });
    row("time", &|one| format!("{:.4} s", one.outcome.elapsed.as_secs_f64()));
    row("generations", &|one| one.outcome.generations.to_string());
    row("evaluations", &|one| one.outcome.evaluations.search.to_string());
    row("size", &|one| one.outcome.winner().expr.size().to_string());
    row("well-formed", &|one| step::of_all(one.well_formed()));
    row("expression", &Searched::formula);
    let [expert, learner] = both;
    let better = match improvement(&expert.fit, &learner.fit) {
        None => "both are invalid".into(),
        Some(1.0) => "equal MSE".into(),
        Some(ratio) if ratio > 1.0 => format!("the learner's MSE is lower, {} times", step::number(ratio)),
        Some(ratio) => format!("the expert's MSE is lower, {} times", step::number(1.0 / ratio)),
    };
    let ratio = step::number(time_ratio(expert, learner));
    format!("{}, seed {seed}\n{table}\n{better}; the learner took {ratio} times the expert's time\n", problem.id)
}
