//! `sr-dagger`: DAgger over milestones, by itself for as long as it takes.

mod args;
mod point;
mod search;
mod watcher;

use std::fmt;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};
use sr_cli::Exit;
use sr_dagger::{
    Amount, Buffer, BufferOptions, Curriculum, Draw, Drawn, MilestonesConfig, Round, RoundsConfig, Sampling, Selection,
    run_milestones,
};

use crate::args::{Args, Settings, TaskArg};
use crate::point::PointCurriculum;
use crate::search::SearchCurriculum;
use crate::watcher::{Watcher, summary};

#[global_allocator]
static GLOBAL: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    sr_cli::run(|| {
        let settings = Settings::parse(std::env::args_os().collect())?;
        // The rounds' lines say what training came to.
        settings.args.common.init_with_quiet(&["sr_train"])?;
        real_main(&settings)
    })
}

/// Ctrl-C came; what is done is kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stopped;

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("stopped")
    }
}

impl std::error::Error for Stopped {}

fn real_main(settings: &Settings) -> anyhow::Result<Exit> {
    let args = &settings.args;
    let stop = sr_cli::on_interrupt("this step, and saving")?;
    match args.task {
        TaskArg::Search => {
            let mut curriculum = SearchCurriculum::new(settings, stop)?;
            let resolved = curriculum.resolved();
            let about = curriculum.about();
            run(args, &mut curriculum, resolved, Watcher::new(args, about, search::record))
        }
        TaskArg::PointControl => {
            let mut curriculum = PointCurriculum::new(settings, stop)?;
            let (resolved, about) = (curriculum.resolved(), curriculum.about());
            run(args, &mut curriculum, resolved, Watcher::new(args, about, point::record))
        }
    }
}

fn run<C: Curriculum<Error = anyhow::Error>>(
    args: &Args,
    curriculum: &mut C,
    task: Value,
    mut watcher: Watcher<'_>,
) -> anyhow::Result<Exit> {
    let started = Instant::now();
    let ids = curriculum.ids();
    let selection = Selection {
        only: args.milestone.clone(),
        resume_from: args.resume_from.clone(),
        skip: args.skip_milestones.clone(),
    };
    selection.reasons(&ids)?;
    if args.milestone.is_some() && (args.resume_from.is_some() || !args.skip_milestones.is_empty()) {
        tracing::warn!("--milestone runs one milestone; --resume-from and --skip-milestones are ignored");
    }
    std::fs::create_dir_all(&args.out).with_context(|| format!("creating {}", args.out.display()))?;
    keep_settings(&args.out, &resolved(args, task))?;

    let config = MilestonesConfig {
        selection,
        step_multiplier: args.dagger.step_multiplier,
        min_success_rate: args.dagger.min_success_rate,
        init: args.dagger.init.into(),
        first_init: args.dagger.checkpoint.clone(),
    };
    let results = run_milestones(curriculum, &args.out, &config, &mut |event| watcher.see(&event));
    let results = match results {
        Err(error) if error.chain().any(|cause| cause.is::<Stopped>()) => {
            return Ok(sr_cli::stopped(&format!("{} is kept; the same command goes on", args.out.display())));
        }
        results => results?,
    };
    if let Some(error) = watcher.error {
        return Err(error);
    }
    let seconds = started.elapsed().as_secs_f64();
    // What the program itself costs: all but searches, labels, training and evaluation.
    let overhead = if watcher.worked > 0.0 { (seconds - watcher.worked).max(0.0) / seconds } else { 0.0 };
    sr_cli::write_run_file(&args.out.join("dagger"), &args.common, started)?;
    let result =
        json!({ "milestones": results.milestones, "overhead": overhead, "out": args.out.display().to_string() });
    args.common.report("sr-dagger", started, result, &summary(&results, &args.out))?;
    Ok(Exit::Ok)
}

/// All settings that decide the bytes of the results.
fn resolved(args: &Args, task: Value) -> Value {
    let d = &args.dagger;
    json!({
        "task": format!("{:?}", args.task),
        "seed": args.common.seed,
        "dagger": {
            "dagger_iterations": d.dagger_iterations,
            "episodes_per_iter": d.episodes_per_iter,
            "eval_episodes": d.eval_episodes,
            "train_steps_per_iter": d.train_steps_per_iter,
            "train_epochs_per_iter": d.train_epochs_per_iter,
            "mini_batches": d.mini_batches,
            "batch_size": d.batch_size,
            "learning_rate": d.learning_rate,
            "hidden_dim": d.hidden_dim,
            "step_multiplier": d.step_multiplier,
            "min_success_rate": d.min_success_rate,
            "init": format!("{:?}", d.init),
            "checkpoint": d.checkpoint,
            "beta": d.beta,
            "beta_level": d.beta_level.name(),
            "max_buffer_size": d.max_buffer_size,
            "keep_states": d.keep_states.to_string(),
            "use_dagger": d.use_dagger,
            "recency": d.recency,
            "val_fraction": d.val_fraction,
            "patience": d.patience,
            "enough": d.enough,
        },
        "on": task,
    })
}

/// Writes the settings of a new run, or makes sure that a folder is of the same ones.
fn keep_settings(out: &Path, settings: &Value) -> anyhow::Result<()> {
    let path = out.join("config.json");
    if !path.exists() {
        for name in ["results.json", "rollouts", "models"] {
            ensure!(
                !out.join(name).exists(),
                "{} holds {name} and no config.json; choose another folder",
                out.display()
            );
        }
        return sr_cli::write_atomically(&path, (serde_json::to_string_pretty(settings)? + "\n").as_bytes());
    }
    let read = || format!("reading {}", path.display());
    let old: Value = serde_json::from_str(&std::fs::read_to_string(&path).with_context(read)?).with_context(read)?;
    if let Some((key, old, new)) = difference("", &old, settings) {
        bail!("{} is of other settings: {key} was {old} and is {new}; choose another folder", out.display());
    }
    Ok(())
}

/// The first key whose values differ, and the two values.
fn difference(key: &str, a: &Value, b: &Value) -> Option<(String, String, String)> {
    let below = |name: &str| if key.is_empty() { name.to_owned() } else { format!("{key}.{name}") };
    match (a, b) {
        (Value::Object(x), Value::Object(y)) => {
            let keys = x.keys().chain(y.keys().filter(|name| !x.contains_key(*name)));
            let value = |of: &serde_json::Map<String, Value>, name: &String| of.get(name).cloned().unwrap_or_default();
            keys.into_iter().find_map(|name| difference(&below(name), &value(x, name), &value(y, name)))
        }
        (Value::Array(x), Value::Array(y)) if x.len() == y.len() => {
            (0..x.len()).find_map(|index| difference(&below(&index.to_string()), &x[index], &y[index]))
        }
        _ => (a != b).then(|| (key.to_owned(), a.to_string(), b.to_string())),
    }
}

/// The rounds of a milestone that begins with the model `init`, if there is one, as flags give them.
pub(crate) fn rounds_config(args: &Args, init: Option<&Path>, row_bytes: u32) -> RoundsConfig {
    let (d, seed) = (&args.dagger, args.common.seed);
    RoundsConfig {
        rounds: d.dagger_iterations,
        beta: d.beta,
        seed,
        init: init.map(Path::to_owned),
        buffer: BufferOptions { row_bytes, max_rows: d.max_buffer_size, keep: d.keep_states, seed },
        patience: d.patience,
        enough: d.enough,
    }
}

/// The rows that a round is trained on.
pub(crate) fn draw(buffer: &Buffer, args: &Args, round: &Round) -> anyhow::Result<Drawn> {
    let d = &args.dagger;
    let draw = if d.recency > 0.0 { Draw::Recency { lambda: d.recency } } else { Draw::Uniform };
    let amount = match d.train_epochs_per_iter {
        Some(epochs) => Amount::Epochs { epochs, mini_batches: d.mini_batches },
        None => Amount::Steps { steps: d.train_steps_per_iter, batch: d.batch_size },
    };
    Ok(buffer.draw(&Sampling { draw, use_dagger: d.use_dagger }, amount, round.seed)?)
}
