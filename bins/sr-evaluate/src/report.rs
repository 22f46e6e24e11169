//! What a comparison is told as: JSON and text.

use anyhow::Context;
use serde_json::{Value, json};
use sr_args::counted;
use sr_lab::beside::{self, Published};
use sr_lab::evaluate::{Settings, fingerprint};
use sr_lab::sr_engine::SearchConfig;
use sr_lab::sr_eval::{Equal, Row, against_table, median_curves, summarise, summarise_against, summary_table};
use sr_lab::sr_neural::{Per, Swap};
use sr_lab::sr_problems::ProblemSet;

use crate::{Args, equal};

/// What rows depend on, by the names of the flags; not the threads, the device's name or the batches.
pub(crate) fn settings(args: &Args, set: &ProblemSet, search: &SearchConfig) -> anyhow::Result<Settings> {
    let mut checkpoints = Settings::new();
    for method in &args.methods {
        if let Some(folder) = method.checkpoint() {
            let id =
                sr_lab::sr_neural::checkpoint_id(folder).with_context(|| format!("reading {}", folder.display()))?;
            checkpoints.insert(method.name.clone(), id.into());
        }
    }
    let sampling = &args.sampling;
    let methods = args.methods.iter().map(|method| format!("{}={}", method.name, method.written)).collect::<Vec<_>>();
    let mut settings = json!({
        "problems": fingerprint(set),
        "methods": methods,
        "checkpoints": checkpoints,
        "seeds": args.seeds,
        "seed": args.common.seed,
        "equal": equal(args).into_iter().map(Equal::name).collect::<Vec<_>>(),
        "curve": args.curve,
        "neural-prob": args.neural_prob,
        "neural-per": args.neural_per.map(Per::name),
        "neural-every": args.neural_every,
        "preset": args.search.preset.name(),
        "objective": search.objective.name(),
        "population-size": search.population_size,
        "generations": search.generations,
        "tournament-size": search.tournament_size,
        "crossover": search.crossover_probability,
        "elitism": search.elitism,
        "parsimony": search.parsimony_coefficient,
        "survival": search.survival.name(),
        "unique": search.unique,
        "semantics": search.semantics.name(),
        "max-size": search.limits.max_size,
        "max-depth": search.limits.max_depth,
        "early-stop-mse": search.early_stop_mse,
        "extra-generations": search.extra_generations,
        "max-evaluations": search.max_evaluations,
        "time-limit": search.time_limit.map(|limit| limit.as_secs_f64()),
        "temperature": sampling.temperature,
        "top-k": sampling.top_k,
        "top-p": sampling.top_p,
        "distinct": sampling.distinct,
        "max-child-size": sampling.max_child_size,
        "grammar": sampling.grammar()?.is_some(),
        "rules": sampling.rules.iter().map(|rule| rule.name()).collect::<Vec<_>>(),
        "condition": sampling.condition.map(|conditions| conditions.to_string()),
    });
    if let Some(swap) = args.swap {
        // Rows depend on the batches then.
        settings["swap"] = json!({ "what": Swap::from(swap).name(), "batch-size": args.batch_size });
    }
    Ok(settings.as_object().expect("an object was made").clone())
}

/// What is written and printed as JSON.
pub(crate) fn result(args: &Args, settings: &Settings, rows: &[Row], published: Option<&Published>) -> Value {
    let mut result = json!({ "settings": settings, "rows": rows, "summary": summarise(rows, args.common.seed) });
    if let Some(against) = &args.against {
        result["against"] = json!({ "method": against, "summary": summarise_against(against, rows, args.common.seed) });
    }
    if args.curve {
        result["curves"] = json!(median_curves(rows));
    }
    if let Some(published) = published {
        result["published"] = json!(published);
    }
    result
}

/// What is printed.
pub(crate) fn text(args: &Args, set: &ProblemSet, rows: &[Row], published: Option<&Published>) -> String {
    let mut text = summary_table(&summarise(rows, args.common.seed));
    if let Some(against) = &args.against {
        text += &format!("\n\n{}", against_table(&summarise_against(against, rows, args.common.seed)));
    }
    if set.is_own_data() {
        text += &format!("\n\n{}", best_formulas(rows));
    }
    let masked = rows.iter().filter(|row| row.masked > 0).count();
    if masked > 0 {
        text += &format!(
            "\n\n{masked} of {} {} values of 1e6 and more, or none, which the objective masked leaves out of the error that \
             searches go by; MSE and R² are over all rows",
            counted(rows.len(), "formula"),
            if masked == 1 { "has" } else { "have" }
        );
    }
    if let Some(published) = published {
        text += &format!("\n\n{}", beside::tables(rows, published));
    }
    text
}

/// The best formula of each method, whole, in the names of the columns.
fn best_formulas(rows: &[Row]) -> String {
    let mut lines: Vec<String> = Vec::new();
    for group in rows.chunk_by(|a, b| (a.budget, &a.method) == (b.budget, &b.method)) {
        let error = |row: &Row| row.mse_train.unwrap_or(f64::INFINITY);
        let Some(best) = group.iter().min_by(|a, b| error(a).total_cmp(&error(b)).then(a.size.cmp(&b.size))) else {
            continue;
        };
        let mse = match (best.mse_train, best.r2_train) {
            (Some(mse), _) => format!("{mse:.4e}"),
            (None, Some(_)) => format!("above {:.1e}", f64::MAX),
            (None, None) => "infinite".into(),
        };
        let r2 = best.r2_train.map_or("–".into(), |r2| format!("{r2:.6}"));
        let budget = best.budget.map_or(String::new(), |budget| format!(" at equal {}", budget.name()));
        let formula = best.formula.as_deref().unwrap_or(&best.expression);
        let (method, size, seed) = (&best.method, best.size, best.seed);
        lines.push(format!("{method}{budget}: MSE {mse}, R² {r2}, size {size}, seed {seed}\n  {formula}"));
    }
    format!("best of all seeds\n{}", lines.join("\n"))
}
