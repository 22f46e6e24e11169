//! `sr-dagger`: DAgger over milestones, by itself for as long as it takes.

mod args;
mod point;
mod search;
mod watcher;

use std::fmt;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};
use sr_cli::Exit;
use sr_dagger::{
    Amount, Buffer, BufferOptions, Curriculum, Draw, Drawn, Init, MilestonesConfig, Results, Round, RoundsConfig,
    Sampling, Selection, Status, run_milestones,
};

use crate::args::{Args, InitArg, MOST_DRAWN, Settings, TaskArg};
use crate::point::PointCurriculum;
use crate::search::SearchCurriculum;
use crate::watcher::{Watcher, summary};

#[global_allocator]
static GLOBAL: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    sr_args::run(|| {
        let settings = Settings::parse(std::env::args_os().collect())?;
        // The rounds' lines say what training came to.
        settings.args.common.init_with_quiet(&["sr_train"])?;
        match real_main(&settings) {
            // While the settings were checked and problems made.
            Err(error) if error.is::<Stopped>() => Ok(sr_cli::stopped("nothing has been begun")),
            result => result,
        }
    })
}

/// A milestone cannot be run for this reason; others can.
#[derive(Debug, Clone)]
pub(crate) struct Unusable(pub(crate) String);

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unusable {}

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
    let folder = RunFolder::open(&args.out)?;
    let begins = begins_with_model(args, &ids, &selection)?;
    if args.dagger.beta.at(0) < 1.0 && !begins {
        let (beta, first) = (args.dagger.beta, args.dagger.beta.at(0));
        bail!(
            "--beta {beta}: the first round has β {first}, and there is no model to act in it; give one with --checkpoint, \
             or a schedule that begins with 1, such as two-phase:1"
        );
    }
    for change in folder.keep_settings(&resolved(args, task))? {
        if !args.common.quiet {
            eprintln!("{change}");
        }
    }

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
        Err(error) => {
            folder.leave_nothing();
            return Err(error);
        }
        Ok(results) => results,
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

/// Whether the first milestone that is run begins with a model.
fn begins_with_model(args: &Args, ids: &[String], selection: &Selection) -> anyhow::Result<bool> {
    if args.dagger.checkpoint.is_some() {
        return Ok(true);
    }
    let reasons = selection.reasons(ids)?;
    let first = reasons.iter().position(Option::is_none).unwrap_or(0);
    let results = Results::read(&args.out)?;
    let is_completed = |id: &String| results.get(id).is_some_and(|result| result.status == Status::Completed);
    Ok(args.dagger.init == InitArg::Previous && ids[..first].iter().any(is_completed))
}

/// All settings that decide the bytes of the results.
fn resolved(args: &Args, task: Value) -> Value {
    let d = &args.dagger;
    let mut dagger = json!({
        "dagger_iterations": d.dagger_iterations,
        "episodes_per_iter": d.episodes_per_iter,
        "eval_episodes": d.eval_episodes,
        "learning_rate": d.learning_rate,
        "hidden_dim": d.hidden_dim,
        "step_multiplier": d.step_multiplier,
        "min_success_rate": d.min_success_rate,
        "init": Init::from(d.init),
        "checkpoint": d.checkpoint,
        "beta": d.beta,
        "beta_level": d.beta_level.name(),
        "max_buffer_size": d.max_buffer_size,
        "keep_states": d.keep_states,
        "use_dagger": d.use_dagger,
        "recency": d.recency,
        "patience": d.patience,
        "enough": d.enough,
    });
    if args.task == TaskArg::Search {
        dagger["val_fraction"] = d.val_fraction.into();
    }
    // What a round is trained for is told in one of two ways.
    let amount = match d.train_epochs_per_iter {
        Some(epochs) => json!({ "train_epochs_per_iter": epochs, "mini_batches": d.mini_batches }),
        None => json!({ "train_steps_per_iter": d.train_steps_per_iter, "batch_size": d.batch_size }),
    };
    let mut settings = json!({ "task": args.task, "seed": args.common.seed });
    let fields = |value: Value| match value {
        Value::Object(fields) => fields,
        _ => unreachable!("objects are made"),
    };
    dagger.as_object_mut().expect("an object").extend(fields(amount));
    let all = settings.as_object_mut().expect("an object");
    all.insert("dagger".to_owned(), dagger);
    all.extend(fields(task));
    settings
}

/// Settings that may change while a folder goes on: gates and lengths. What they would have led to is there or is still to
/// be done.
const MAY_CHANGE: [&str; 6] = [
    "dagger.min_success_rate",
    "dagger.dagger_iterations",
    "dagger.patience",
    "dagger.enough",
    "dagger.step_multiplier",
    "search.engine.generations",
];

/// The folder of a run, which no other run works in meanwhile.
struct RunFolder {
    path: PathBuf,
    /// Whether this run has made it.
    is_new: bool,
    /// Held while the run lasts.
    _lock: Option<File>,
}

const CONFIG: &str = "config.json";

impl RunFolder {
    /// A new folder, an empty one, or one of an earlier run. It is made if it is not there.
    fn open(path: &Path) -> anyhow::Result<Self> {
        let is_new = !path.exists();
        ensure!(is_new || path.is_dir(), "--out {}: this is a file, expected a folder", path.display());
        let is_own = path.join(CONFIG).exists();
        if !is_new && !is_own {
            let entries = std::fs::read_dir(path).with_context(|| format!("reading {}", path.display()))?;
            // A run that was killed while it wrote its settings is one of ours.
            let is_other = |name: &std::ffi::OsStr| name != format!("{CONFIG}.partial").as_str();
            ensure!(
                !entries.flatten().any(|entry| is_other(&entry.file_name())),
                "--out {}: the folder is not empty and has no {CONFIG} of sr-dagger; give another one",
                path.display()
            );
        }
        std::fs::create_dir_all(path).with_context(|| format!("creating {}", path.display()))?;
        Ok(RunFolder { path: path.to_owned(), is_new: is_new || !is_own, _lock: lock(path)? })
    }

    /// Writes the settings of a new run, or makes sure that a folder is of the same ones but for those that may change, and
    /// tells how these do.
    fn keep_settings(&self, settings: &Value) -> anyhow::Result<Vec<String>> {
        let path = self.path.join(CONFIG);
        let write = || sr_cli::write_atomically(&path, (serde_json::to_string_pretty(settings)? + "\n").as_bytes());
        if !path.exists() {
            write()?;
            return Ok(Vec::new());
        }
        let read = || format!("reading {}", path.display());
        let old: Value =
            serde_json::from_str(&std::fs::read_to_string(&path).with_context(read)?).with_context(read)?;
        let is_ours = old.get("task").is_some() && old.get("dagger").is_some();
        ensure!(is_ours, "{} is not of sr-dagger; give another folder", path.display());
        let mut differing = Vec::new();
        differences("", &old, settings, &mut differing);
        if let Some((key, old, new)) = differing.iter().find(|(key, ..)| !MAY_CHANGE.contains(&key.as_str())) {
            let changing = MAY_CHANGE.map(flag_of).join(", ");
            bail!(
                "{} is of other settings: {} was {old} and is {new}; choose another folder (only {changing} may change)",
                self.path.display(),
                flag_of(key)
            );
        }
        let told = differing.iter().map(|(key, old, new)| {
            format!("{} was {old} and is {new} from here on; what is finished is kept", flag_of(key))
        });
        let told = told.collect();
        if !differing.is_empty() {
            write()?;
        }
        Ok(told)
    }

    /// Removes what an error has left that came before anything was done.
    fn leave_nothing(&self) {
        if self.is_new {
            remove_empty(&self.path.join("expert_eval"));
            let left = std::fs::read_dir(&self.path).map(|entries| entries.flatten().map(|e| e.file_name()).collect());
            if left.is_ok_and(|names: Vec<_>| names == [CONFIG]) {
                std::fs::remove_file(self.path.join(CONFIG)).ok();
                std::fs::remove_dir(&self.path).ok();
            }
        }
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        // An error before the settings were written leaves no folder.
        if self.is_new && !self.path.join(CONFIG).exists() {
            std::fs::remove_dir(&self.path).ok();
        }
    }
}

/// Removes a folder with nothing but empty folders in it.
fn remove_empty(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        remove_empty(&entry.path());
    }
    std::fs::remove_dir(folder).ok();
}

/// The lock of a folder. None where the file system has no locks.
fn lock(folder: &Path) -> anyhow::Result<Option<File>> {
    // A folder can be opened on Unix only.
    let Ok(file) = File::open(folder) else { return Ok(None) };
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => bail!("{}: another sr-dagger works in this folder", folder.display()),
        Err(TryLockError::Error(error)) => {
            tracing::debug!("{}: {error}; nothing keeps other runs out", folder.display());
            Ok(None)
        }
    }
}

/// A key of `config.json` as the flag that sets it, where there is one.
fn flag_of(key: &str) -> String {
    match key
        .strip_prefix("dagger.")
        .or_else(|| key.strip_prefix("search.engine."))
        .or_else(|| key.strip_prefix("sampling."))
    {
        Some(name) if !name.contains('.') => format!("--{}", name.replace('_', "-")),
        None if matches!(key, "seed" | "task") => format!("--{key}"),
        _ => key.to_owned(),
    }
}

/// The keys whose values differ, and the two values.
fn differences(key: &str, a: &Value, b: &Value, found: &mut Vec<(String, String, String)>) {
    let below = |name: &str| if key.is_empty() { name.to_owned() } else { format!("{key}.{name}") };
    match (a, b) {
        (Value::Object(x), Value::Object(y)) => {
            let keys = x.keys().chain(y.keys().filter(|name| !x.contains_key(*name)));
            let value = |of: &serde_json::Map<String, Value>, name: &String| of.get(name).cloned().unwrap_or_default();
            keys.for_each(|name| differences(&below(name), &value(x, name), &value(y, name), found));
        }
        (Value::Array(x), Value::Array(y)) if x.len() == y.len() => {
            (0..x.len()).for_each(|index| differences(&below(&index.to_string()), &x[index], &y[index], found));
        }
        _ if a != b => found.push((key.to_owned(), a.to_string(), b.to_string())),
        _ => {}
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
        Some(epochs) if u64::from(epochs) * buffer.size() > MOST_DRAWN => bail!(
            "--train-epochs-per-iter {epochs}: a round would draw each of {} states so often, more than {MOST_DRAWN} in all",
            buffer.size()
        ),
        Some(epochs) => Amount::Epochs { epochs, mini_batches: d.mini_batches },
        None => Amount::Steps { steps: d.train_steps_per_iter, batch: d.batch_size },
    };
    Ok(buffer.draw(&Sampling { draw, use_dagger: d.use_dagger }, amount, round.seed)?)
}
