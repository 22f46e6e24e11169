//! Expert and learner on one problem.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, bail};
use comfy_table::{Table, presets};
use serde_json::{Value, json};
use sr_cli::Exit;
use sr_engine::{Expert, Fit, Instance, Origin, Outcome, Policy, Search, run as search};
use sr_eval::{FRESH_POINTS, judge};
use sr_expr::Semantics;
use sr_problems::{Problem, ProblemSet};
use sr_trace::{GenerationRecord, Recorder, Trajectory};

use crate::{Args, OneArgs, step};

/// A search that has ended.
pub(crate) struct Searched {
    /// Who searched.
    pub(crate) name: &'static str,
    /// What it found.
    pub(crate) outcome: Outcome,
    /// What it did.
    pub(crate) trajectory: Trajectory,
    /// Whether the formula solves the problem.
    pub(crate) solved: bool,
    /// How the formula fits all rows.
    pub(crate) fit: Fit,
    /// What operators do in it.
    pub(crate) semantics: Semantics,
}

/// Searches a problem twice and compares.
pub(crate) fn run(name: &str, args: &Args) -> anyhow::Result<Exit> {
    let started = Instant::now();
    args.common.init()?;
    let problem = find(name, &args.one, args.common.seed)?;
    let checkpoint = args.one.checkpoint.as_deref().context("--checkpoint is needed")?;
    let mut learner = args.sampling.learner(checkpoint, &args.one.device)?;
    sr_lab::learner::check_problems(&learner, [(&*problem.id, problem.x.n_columns())])?;
    let expert = searched("expert", &problem, &mut Expert, args)?;
    let learned = searched("learner", &problem, &mut learner, args)?;
    if let Some(error) = learner.error() {
        bail!("the learner failed: {error}");
    }
    let both = [expert, learned];
    let mut result = json!({ "problem": problem.id, "seed": args.common.seed });
    for one in &both {
        result[one.name] = summary(one);
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

/// The problem of this name.
fn find(name: &str, args: &OneArgs, seed: u64) -> anyhow::Result<Problem> {
    let of_set = |set: &mut ProblemSet| -> Option<Problem> {
        let index = set.problems.iter().position(|problem| problem.id == name)?;
        Some(set.problems.swap_remove(index))
    };
    let (mut set, place) = match (&args.problems, &args.suite) {
        (Some(path), _) => (ProblemSet::read(path)?, path.display().to_string()),
        (None, Some(suite)) => (sr_problems::suite(suite, seed)?, format!("suite {suite}")),
        (None, None) => {
            let mut all: Vec<String> = Vec::new();
            for suite in sr_problems::suite_names() {
                let mut set = sr_problems::suite(suite, seed)?;
                if let Some(problem) = of_set(&mut set) {
                    return Ok(problem);
                }
                all.extend(set.problems.into_iter().map(|problem| problem.id));
            }
            bail!("no suite has a problem \"{name}\"; {}", nearest(name, all.iter().map(String::as_str)));
        }
    };
    of_set(&mut set).with_context(|| {
        let ids = set.problems.iter().map(|problem| &*problem.id);
        format!("{place} has no problem \"{name}\"; {}", nearest(name, ids))
    })
}

/// The few names that are most like one, and how many there are.
fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    const SHOWN: usize = 3;
    let likeness = |known: &str| strsim::jaro_winkler(&name.to_lowercase(), &known.to_lowercase());
    let mut known: Vec<(f64, &str)> = known.map(|known| (likeness(known), known)).collect();
    // Of equals the first of the set.
    known.sort_by(|a, b| b.0.total_cmp(&a.0));
    let names: Vec<&str> = known.iter().take(SHOWN).map(|(_, name)| *name).collect();
    format!("of its {} the nearest are {}", known.len(), names.join(", "))
}

fn searched(name: &'static str, problem: &Problem, policy: &mut dyn Policy, args: &Args) -> anyhow::Result<Searched> {
    let config = args.search.config(problem.source.is_none())?;
    let semantics = config.semantics;
    let instance: Instance = problem.instance().with_context(|| format!("problem {}", problem.id))?;
    let instance = Arc::new(instance);
    let mut searches = [Search::new(instance.clone(), config, args.common.seed)?];
    let mut recorders = [Recorder::new(args.common.seed)];
    let outcome = search(&mut searches, policy, &mut recorders).remove(0);
    let [recorder] = recorders;
    let trajectory = recorder.finish(&outcome).with_context(|| format!("recording the search of the {name}"))?;
    let fresh = problem.fresh_points(FRESH_POINTS, 0);
    let winner = outcome.winner();
    let verdict = judge(winner.tree(), semantics, &instance, fresh.as_ref().map(|(x, y)| (x, &y[..])));
    Ok(Searched { name, solved: verdict.solved, fit: verdict.fit, semantics, outcome, trajectory })
}

/// Of how many children that the learner was asked for how many parsed; `None` if it was asked for none.
pub(crate) fn well_formed<'a>(generations: impl Iterator<Item = GenerationRecord<'a>>) -> Option<(u64, u64)> {
    let origins = generations.flat_map(|record| record.individuals().map(|individual| individual.origin));
    let (written, all) = origins.fold((0, 0), |(written, all), origin| match origin {
        Origin::Learner => (written + 1, all + 1),
        Origin::Fallback => (written, all + 1),
        _ => (written, all),
    });
    (all > 0).then_some((written, all))
}

/// The mean squared error in words, which may be a number where its square is none.
fn mse_text(fit: &Fit) -> String {
    match (fit.is_finite(), fit.mse.is_finite()) {
        (false, _) => "invalid".into(),
        (true, false) => format!("above {:.1e}", f64::MAX),
        (true, true) => step::number(fit.mse),
    }
}

/// The formula that was found, guarded operators by their own names.
fn formula(one: &Searched) -> String {
    one.outcome.winner().tree().display(one.semantics).to_string()
}

/// How many times as large the expert's error is as the learner's: above 1 the learner is better. Equal errors, such as
/// two of 0, are 1; two that are invalid have no ratio. Both are of the same rows, and relative to the same variance they
/// are numbers where their squares are none.
fn improvement(expert: &Fit, learner: &Fit) -> Option<f64> {
    if expert.relative == learner.relative && expert.is_finite() {
        return Some(1.0);
    }
    Some(expert.relative / learner.relative).filter(|ratio| !ratio.is_nan())
}

/// How many times as long as the expert the learner took.
fn time_ratio(expert: &Searched, learner: &Searched) -> f64 {
    learner.outcome.elapsed.as_secs_f64() / expert.outcome.elapsed.as_secs_f64().max(1e-9)
}

fn summary(one: &Searched) -> Value {
    let winner = one.outcome.winner();
    json!({
        "expression": formula(one),
        "mse": Some(one.fit.mse).filter(|mse| mse.is_finite()),
        "r2": one.fit.r2(),
        "solved": one.solved,
        "size": winner.expr.size(),
        "generations": one.outcome.generations,
        "generations_to_solve": one.outcome.generations_to_solve,
        "evaluations": one.outcome.evaluations.search,
        "seconds": one.outcome.elapsed.as_secs_f64(),
        "well_formed": well_formed(one.trajectory.generations.iter()),
    })
}

fn text(problem: &Problem, seed: u64, both: &[Searched; 2]) -> String {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_header(["", both[0].name, both[1].name]);
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
    row("well-formed", &|one| step::of_all(well_formed(one.trajectory.generations.iter())));
    row("expression", &formula);
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
