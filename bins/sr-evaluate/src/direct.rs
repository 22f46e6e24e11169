//! Models that write a formula from the data alone, problem by problem.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, ensure};
use serde_json::json;
use sr_args::SamplingArgs;
use sr_cli::{Claim, Common, Exit, OutputArgs};
use sr_engine::{Brood, Instance, Origin, Policy, Search, SearchConfig};
use sr_eval::{DirectRow, FRESH_POINTS, direct_tables, judge, r_squared, summarise_direct};
use sr_expr::Expr;
use sr_neural::{Learner, Mode};
use sr_problems::Problem;

/// Formulas that can be asked for, of a problem and of all problems that are read together.
const MOST_SAMPLES: u64 = 1_000_000;

/// Write the formula of each problem from its data alone, with a checkpoint of mode direct
///
/// Two picks: the greedy formula, and with --samples the sampled one with the least error on the training
/// points, the smallest of equals.
/// Exact means node for node the problem's formula; solved is told by values, as for searches.
#[derive(clap::Args)]
pub(crate) struct DirectArgs {
    /// Checkpoint folder
    #[arg(long, value_name = "DIR")]
    checkpoint: PathBuf,
    #[command(flatten)]
    problems: crate::ProblemArgs,
    /// Formulas to sample for each problem beside the greedy one
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=MOST_SAMPLES))]
    samples: u64,
    /// Problems that are read together; fewer where their samples would be more than a million
    #[arg(long, value_name = "B", default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..))]
    batch_size: u64,
    /// Where the model computes: cpu, ndarray or cuda
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    device: String,
    /// Also write rows and summary to this JSON file
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    sampling: SamplingArgs,
    #[command(flatten)]
    common: Common,
}

/// Evaluates a checkpoint.
pub(crate) fn run(args: &DirectArgs, given: &sr_cli::Given) -> anyhow::Result<Exit> {
    let started = Instant::now();
    args.common.init()?;
    if args.samples == 0 {
        let why = "without --samples: the greedy formula takes the likeliest tokens";
        given.refuse(&["temperature", "top_k", "top_p", "distinct"], why)?;
    }
    if args.out.is_none() {
        given.refuse(&["force"], "without --out")?;
    }
    let crate::Source { set, files } = args.problems.read(args.common.seed)?;
    let inputs = files.iter().chain([&args.checkpoint]);
    let claim = |out| Claim::file(out).inputs(inputs).may_exist(args.output.force).take();
    let _output = args.out.as_deref().map(claim).transpose()?;
    let sampled = args.sampling.learner(&args.checkpoint, &args.device)?;
    let found = sampled.mode().name();
    ensure!(
        sampled.mode() == Mode::Direct,
        "{}: the checkpoint was trained for mode {found}, not direct; compare it with --methods NAME=neural:{0}",
        args.checkpoint.display()
    );
    let problems = set.problems.iter().map(|problem| (&*problem.id, problem.x.n_columns()));
    sr_lab::learner::check_problems(&sampled, problems)?;
    let greedy = SamplingArgs { temperature: 0.0, top_k: None, top_p: None, distinct: false, ..args.sampling.clone() };
    let greedy = greedy.learner(&args.checkpoint, &args.device)?;
    let mut picks = vec![("greedy".to_owned(), greedy, 1)];
    if args.samples > 0 {
        picks.push((format!("best of {}", args.samples), sampled, args.samples as usize));
    }

    let progress = args.common.progress(set.problems.len() as u64, "problems");
    let mut rows = Vec::new();
    let together = args.batch_size.min(MOST_SAMPLES / args.samples.max(1));
    for batch in set.problems.chunks(together as usize) {
        let mut of_picks = Vec::new();
        for (pick, learner, samples) in &mut picks {
            of_picks.push(pick_formulas(pick, learner, *samples, batch, args.common.seed)?);
        }
        // By problem, so that its picks stand together.
        let mut of_picks: Vec<_> = of_picks.into_iter().map(Vec::into_iter).collect();
        for _ in batch {
            rows.extend(of_picks.iter_mut().filter_map(Iterator::next));
        }
        progress.inc(batch.len() as u64);
    }
    progress.finish_and_clear();

    let summary = summarise_direct(&rows);
    let id = sr_neural::checkpoint_id(&args.checkpoint);
    let settings = json!({
        "problems": crate::fingerprint(&set),
        "checkpoint": id.with_context(|| format!("reading {}", args.checkpoint.display()))?,
        "samples": args.samples,
        "seed": args.common.seed,
        "temperature": args.sampling.temperature,
        "top-k": args.sampling.top_k,
        "top-p": args.sampling.top_p,
        "distinct": args.sampling.distinct,
        "max-child-size": args.sampling.max_child_size,
        "grammar": args.sampling.grammar()?.is_some(),
        "rules": args.sampling.rules.iter().map(|rule| rule.name()).collect::<Vec<_>>(),
    });
    let result = json!({ "settings": settings, "rows": rows, "summary": summary });
    if let Some(out) = &args.out {
        sr_cli::write_atomically(out, serde_json::to_string_pretty(&result)?.as_bytes())?;
        sr_cli::write_run_file(out, &args.common, started)?;
    }
    args.common.report("sr-evaluate", started, result, &direct_tables(&rows, &summary))?;
    Ok(Exit::Ok)
}

/// The best of some formulas for each problem.
fn pick_formulas(
    pick: &str,
    learner: &mut Learner,
    samples: usize,
    problems: &[Problem],
    seed: u64,
) -> anyhow::Result<Vec<DirectRow>> {
    // A learner answers in states of searches; of these it reads the data only.
    let search = |problem: &Problem| -> anyhow::Result<Search> {
        let config = SearchConfig { semantics: problem.semantics, ..SearchConfig::basic() };
        let instance = problem.instance().with_context(|| format!("problem {}", problem.id))?;
        Ok(Search::new(Arc::new(instance), config, seed)?)
    };
    let searches = problems.iter().map(search).collect::<anyhow::Result<Vec<_>>>()?;
    let states: Vec<_> = searches.iter().map(Search::state).collect();
    let mut broods = vec![Brood::default(); states.len()];
    learner.propose(&states, &vec![samples; states.len()], &mut broods);
    if let Some(error) = learner.error() {
        anyhow::bail!("the model failed: {error}");
    }
    let instances = searches.iter().map(|search| &**search.instance());
    let answers = problems.iter().zip(instances).zip(&broods);
    Ok(answers.map(|((problem, instance), brood)| row(pick, problem, instance, brood)).collect())
}

fn row(pick: &str, problem: &Problem, instance: &Instance, brood: &Brood) -> DirectRow {
    let written = brood.iter().filter(|child| child.origin == Origin::Learner);
    // The values of a problem are those of its formula.
    let semantics = problem.semantics;
    let mse = |formula: &Expr| instance.fit(formula, semantics).mse;
    let scored = written.clone().map(|child| (mse(&child.tree.to_owned()), child.tree.to_owned()));
    let best = scored.min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.size().cmp(&b.1.size()))); // the first of equals
    let fresh = problem.fresh_points(FRESH_POINTS, 0);
    let fresh = fresh.as_ref().map(|(x, y)| (x, &y[..]));
    let verdict = best.as_ref().map(|(_, formula)| judge(formula, semantics, instance, fresh));
    let r2_test = match verdict {
        Some(verdict) => verdict.r2,
        None => fresh.and_then(|(_, y)| r_squared(&vec![f64::NAN; y.len()], y)),
    };
    DirectRow {
        problem: problem.id.clone(),
        pick: pick.into(),
        exact: problem.source.as_ref().map(|source| best.as_ref().is_some_and(|(_, formula)| formula == source)),
        solved: verdict.is_some_and(|verdict| verdict.solved),
        r2_test,
        mse_train: best.as_ref().map(|(mse, _)| *mse).filter(|mse| mse.is_finite()),
        size: best.as_ref().map_or(0, |(_, formula)| formula.size()),
        expression: best.as_ref().map_or(String::new(), |(_, formula)| formula.display(semantics).to_string()),
        samples: brood.len() as u64,
        well_formed: written.count() as u64,
    }
}
