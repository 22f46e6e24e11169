//! The learner of `--learner`, which proposes formulas to a search.

use std::path::Path;

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};
use sr_lab::fit::Fitting;
use sr_lab::learner;
use sr_lab::sr_neural::{self, Learner, LearnerMode, Sampling};

use crate::args::Args;

/// A learner that is asked for formulas.
pub(crate) struct Asked {
    pub(crate) learner: Learner,
    checkpoint: String,
    id: String,
    share: f64,
}

/// Loads the learner of the flags. Where its model cannot read a table of so many variables, the search goes on without it,
/// which is told.
pub(crate) fn of_args(args: &Args, n_variables: usize) -> anyhow::Result<Option<Asked>> {
    let Some(checkpoint) = &args.learner else { return Ok(None) };
    let asked = Asked::load(checkpoint, args.max_size.into(), args.policy_share())?;
    match asked.learner.check_variables(n_variables) {
        Ok(()) => Ok(Some(asked)),
        Err(error) => {
            tracing::warn!("--learner {}: {error}; the search goes on without it", checkpoint.display());
            Ok(None)
        }
    }
}

/// Loads the learner that the settings of an earlier run name.
pub(crate) fn of_settings(settings: &Value, max_size: usize) -> anyhow::Result<Option<Asked>> {
    let settings = &settings["learner"];
    let Some(checkpoint) = settings["checkpoint"].as_str() else { return Ok(None) };
    let share = settings["share"].as_f64().context("the run has a learner without a share of the work")?;
    Asked::load(Path::new(checkpoint), max_size, share).map(Some)
}

impl Asked {
    fn load(checkpoint: &Path, max_size: usize, share: f64) -> anyhow::Result<Self> {
        let sampling = Sampling { max_child_size: max_size, ..Sampling::default() };
        let learner = learner::open(checkpoint, "cpu", sampling)?;
        let name = checkpoint.display().to_string();
        ensure!(
            learner.mode() == LearnerMode::OneStep,
            "--learner {name}: the model is of mode {}, expected one-step, which writes children of formulas",
            learner.mode().name()
        );
        if !learner.writes_constants() {
            bail!(
                "--learner {name}: the model writes no constants that a fit could find the values of; take functions"
            );
        }
        let id = sr_neural::checkpoint_id(checkpoint).with_context(|| format!("reading {name}"))?;
        Ok(Asked { learner, checkpoint: name, id, share })
    }

    /// What a result depends on.
    pub(crate) fn settings(&self) -> Value {
        json!({ "checkpoint": self.checkpoint, "id": self.id, "share": self.share })
    }

    /// What it has proposed, as JSON.
    pub(crate) fn json(&self, fitting: &Fitting) -> Value {
        let (proposed, _) = fitting.proposed();
        json!({ "checkpoint": self.checkpoint, "calls": proposed.calls, "children": proposed.children })
    }

    /// The same in words, with its share of the time since `begun`.
    pub(crate) fn text(&self, fitting: &Fitting, seconds: f64) -> String {
        let (proposed, took) = fitting.proposed();
        let share = 100.0 * took.as_secs_f64() / seconds.max(1e-9);
        let (name, calls) = (&self.checkpoint, proposed.calls);
        let times = if calls == 1 { "time" } else { "times" };
        match calls {
            0 => format!(
                "the learner {name} was not asked: it may take {:.3} % of the work, which was not enough for a question, or \
                 evolution never stagnated; --learner-share gives it more",
                100.0 * self.share
            ),
            _ => format!(
                "the learner {name} was asked {calls} {times} for {} formulas in all, {share:.1} % of the time",
                proposed.children
            ),
        }
    }
}
