//! `sr-dagger`: DAgger over milestones, by itself for as long as it takes.

mod args;
mod watcher;

use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use serde_json::json;
use sr_cli::Exit;
use sr_lab::sr_dagger::Selection;
use sr_lab::sr_train::StepStats;
use sr_lab::tasks::formula::{self, Formula, FormulaOptions};
use sr_lab::tasks::point::{self, PointControl, PointOptions};
use sr_lab::tasks::{self, Ran, Run, Stopped, Task, Track};
use sr_lab::{Ended, report};

use crate::args::{Args, Settings, TaskArg};
use crate::watcher::{Watcher, summary};

#[global_allocator]
static GLOBAL: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    sr_args::run(|| {
        let settings = Settings::parse(std::env::args_os().collect())?;
        // The rounds' lines say what training came to.
        settings.args.common.init_with_quiet(&["sr_train"])?;
        let stop = sr_cli::on_interrupt("this step, and saving")?;
        let run = match settings.args.task {
            TaskArg::Search => run_formula,
            TaskArg::PointControl => run_points,
        };
        match run(&settings, stop) {
            // While the settings were checked and problems made.
            Err(error) if error.is::<Stopped>() => Ok(sr_cli::stopped("nothing has been begun")),
            result => result,
        }
    })
}

fn run_formula(settings: &Settings, stop: &AtomicBool) -> anyhow::Result<Exit> {
    let Settings { args, train } = settings;
    args.sampling.check_mode(train.mode.name())?;
    let options = FormulaOptions {
        rounds: args.rounds(),
        milestones: formula::milestones(args.milestones.as_deref())?,
        search: args.search.config(false)?,
        search_own_data: args.search.config(true)?,
        preset: args.search.preset.name().to_owned(),
        labelling: args.labels.labelling()?,
        sampling: args.sampling.sampling()?,
        train: train.clone(),
        device: args.device.parse()?,
        exclude: args.dagger.exclude.clone(),
        val_fraction: args.dagger.val_fraction,
        states_per_search: args.dagger.states_per_search,
    };
    // One for each training.
    let mut bar = None;
    let on_step = |step: u64, steps: u64, stats: &StepStats| {
        let current = bar.get_or_insert_with(|| args.common.progress(steps, "steps"));
        current.set_message(format!("loss {:.3}, {:.0} tokens/s", stats.loss(), stats.tokens_per_second()));
        current.set_position(step);
        if step >= steps {
            current.finish_and_clear();
            bar = None;
        }
    };
    run(args, &mut Formula::new(options, stop)?.on_step(on_step))
}

fn run_points(settings: &Settings, stop: &AtomicBool) -> anyhow::Result<Exit> {
    let args = &settings.args;
    let options = PointOptions {
        rounds: args.rounds(),
        milestones: point::milestones(args.milestones.as_deref())?,
        device: args.device.parse()?,
    };
    run(args, &mut PointControl::new(options, stop)?)
}

fn run<T: Task>(args: &Args, task: &mut T) -> anyhow::Result<Exit> {
    let started = Instant::now();
    let selection = Selection {
        only: args.milestone.clone(),
        resume_from: args.resume_from.clone(),
        skip: args.skip_milestones.clone(),
    };
    selection.reasons(&task.ids())?;
    if args.milestone.is_some() && (args.resume_from.is_some() || !args.skip_milestones.is_empty()) {
        tracing::warn!("--milestone runs one milestone; --resume-from and --skip-milestones are ignored");
    }
    let track = Track { project: args.track_project.clone(), entity: args.track_entity.clone() };
    let run = Run {
        out: args.out.clone(),
        selection,
        record_episodes: (!args.no_record).then_some(args.dagger.record_episodes),
        track: args.track.then_some(track),
    };
    let mut watcher = Watcher::new(args, task.about());
    let Ran { ended, results, worked } = tasks::run(task, &run, &mut |told| watcher.see(&told))?;
    if ended != Ended::Finished {
        return Ok(sr_cli::stopped(&format!("{} is kept; the same command goes on", args.out.display())));
    }
    // What the program itself costs: all but searches, labels, training and evaluation.
    let (seconds, worked) = (started.elapsed().as_secs_f64(), worked.as_secs_f64());
    let overhead = if worked > 0.0 { (seconds - worked).max(0.0) / seconds } else { 0.0 };
    sr_cli::write_atomically(&args.out.join(report::REPORT), report::page(&args.out)?.as_bytes())?;
    sr_cli::write_run_file(&args.out.join("dagger"), &args.common, started)?;
    let result =
        json!({ "milestones": results.milestones, "overhead": overhead, "out": args.out.display().to_string() });
    args.common.report("sr-dagger", started, result, &summary(&results, args))?;
    Ok(Exit::Ok)
}
