//! Point control: a second task for rounds and milestones, where behaviour cloning drifts and DAgger does not.
//!
//! The teacher sees everything and never leaves its target's side, so nothing in its states says what to do elsewhere: the
//! readings of the distance are noise there, and the last action is the best forecast of the next. A student cloned from
//! them copies itself, its error grows, and it is lost. Asked where the student goes, the teacher pulls back, and the
//! student learns to.

mod student;
mod task;
mod teacher;
mod world;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use anyhow::{Context, ensure};
use serde_json::json;
use sr_dagger::{Curriculum, RoundResult, Rounds, run_rounds};
use sr_engine::random::Purpose;

use crate::args::Settings;
use task::{Outcome, PointTask, ROW_BYTES};
use world::World;

/// Milestones, what they are, and their worlds.
const MILESTONES: [(&str, &str, World); 2] = [
    ("calm", "a slow target in a breeze", World { push: 2.0, wind: 0.3, spin: 0.5 }),
    ("gusts", "a fast target, twice the wind and push", World { push: 4.0, wind: 0.6, spin: 1.0 }),
];

/// All milestones of point control.
pub(crate) struct PointCurriculum<'a> {
    settings: &'a Settings,
    device: burn::tensor::Device,
    stop: &'static AtomicBool,
}

impl<'a> PointCurriculum<'a> {
    /// Checks the settings.
    pub(crate) fn new(settings: &'a Settings, stop: &'static AtomicBool) -> anyhow::Result<Self> {
        let args = &settings.args;
        ensure!(args.milestones.is_none(), "--milestones: point control has milestones of its own, {}", names());
        if let Some(checkpoint) = &args.dagger.checkpoint {
            ensure!(checkpoint.join("student.bpk").exists(), "{}: there is no student", checkpoint.display());
        }
        Ok(PointCurriculum { settings, device: sr_model::open(args.device.parse()?)?, stop })
    }

    /// All that decides the bytes of the results.
    pub(crate) fn resolved(&self) -> serde_json::Value {
        json!({ "milestones": MILESTONES.map(|(id, _, world)| json!({ "id": id, "world": world })) })
    }

    /// What each milestone is, for people.
    pub(crate) fn about(&self) -> Vec<String> {
        MILESTONES.iter().map(|(_, about, _)| (*about).to_owned()).collect()
    }
}

fn names() -> String {
    MILESTONES.map(|(id, ..)| id).join(" and ")
}

impl Curriculum for PointCurriculum<'_> {
    type Error = anyhow::Error;

    fn ids(&self) -> Vec<String> {
        MILESTONES.iter().map(|(id, ..)| (*id).to_owned()).collect()
    }

    fn expert(&mut self, milestone: usize, out: &Path) -> anyhow::Result<Vec<sr_dagger::Episode>> {
        let (args, world) = (&self.settings.args, MILESTONES[milestone].2);
        let points = (0..args.dagger.eval_episodes).map(|n| world.point(args.common.seed, Purpose::Evaluation, n));
        let episodes = task::teach(&world, points.collect(), world::STEPS)?;
        episodes.write_outcomes(out)?;
        let episode = |outcome: &Outcome| sr_dagger::Episode { success: outcome.success, steps: outcome.steps };
        Ok(episodes.outcomes.iter().map(episode).collect())
    }

    /// Episodes never last longer than those of the teacher: more steps would be harder, not easier.
    fn rounds(
        &mut self,
        milestone: usize,
        max_steps: u32,
        init: Option<&Path>,
        dir: &Path,
        on_round: &mut dyn FnMut(&RoundResult),
    ) -> anyhow::Result<Rounds> {
        let args = &self.settings.args;
        let config = crate::rounds_config(args, init, ROW_BYTES);
        let (world, max_steps) = (MILESTONES[milestone].2, max_steps.min(world::STEPS));
        let mut task = PointTask { args, world, max_steps, device: self.device.clone(), stop: self.stop };
        run_rounds(&mut task, dir, &config, on_round)
    }

    fn is_of_milestone(&self, error: &anyhow::Error) -> bool {
        error.chain().any(|cause| matches!(cause.downcast_ref(), Some(sr_dagger::Error::NoRows { .. })))
    }

    fn labels(&self) -> &'static str {
        "privileged"
    }
}

/// Writes a page that plays all episodes of a folder side by side, seen from their targets, if any is to be recorded.
pub(crate) fn record(folder: &Path, n: u32, name: &dyn Fn(usize, bool, u32) -> PathBuf) -> anyhow::Result<()> {
    let outcomes: Vec<Outcome> = serde_json::from_str(&fs::read_to_string(folder.join("outcomes.json"))?)?;
    let kept = outcomes.iter().filter(|outcome| outcome.success).count();
    let steps = outcomes.iter().map(|outcome| outcome.steps).sum::<u32>() / outcomes.len().max(1) as u32;
    let path = name(0, kept == outcomes.len(), steps);
    if n == 0 || path.exists() {
        return Ok(());
    }
    let frames = task::read(&folder.join("frames.f32"))?;
    let positions: &[[f32; 2]] = frames.as_chunks().0;
    let stage = folder.file_name().unwrap_or_default().to_string_lossy();
    let episode = sr_report::Episode {
        title: format!("{stage}: {} points as seen from their targets", outcomes.len()),
        dt: world::DT as f32,
        frames: positions.chunks(outcomes.len().max(1)).map(<[_]>::to_vec).collect(),
        targets: vec![[0.0; 2]],
        radius: world::TUBE as f32,
        labels: vec![format!(
            "{kept} of {} points stay within the circle; a lost one stops where it is",
            outcomes.len()
        )],
    };
    fs::create_dir_all(path.parent().context("a page is in a folder")?)?;
    sr_cli::write_atomically(&path, sr_report::episode(&episode).as_bytes())
}

#[cfg(test)]
mod tests {
    use sr_dagger::Stage;

    use super::*;

    static STOP: AtomicBool = AtomicBool::new(false);

    fn settings(folder: &Path, more: &[&str]) -> Settings {
        let out = folder.to_str().expect("a path");
        let first = ["sr-dagger", "--task", "point-control", "--out", out];
        let argv = first.iter().chain(more);
        Settings::parse(argv.map(Into::into).collect()).expect("settings")
    }

    fn rounds(folder: &Path, more: &[&str]) -> Rounds {
        let settings = settings(folder, more);
        let mut curriculum = PointCurriculum::new(&settings, &STOP).expect("a curriculum");
        curriculum.rounds(0, world::STEPS, None, folder, &mut |_| ()).expect("rounds")
    }

    #[test]
    fn the_teacher_never_fails_and_stays_near() {
        for (id, _, world) in MILESTONES {
            let points = (0..200).map(|n| world.point(5, Purpose::Evaluation, n)).collect();
            let outcomes = task::teach(&world, points, world::STEPS).expect("episodes").outcomes;
            let far = outcomes.iter().map(|outcome| outcome.error).fold(0.0, f64::max);
            assert!(outcomes.iter().all(|o| o.success && o.steps == world::STEPS) && far < 0.05, "{id}: {far}");
        }
    }

    #[test]
    fn cloning_drifts_and_dagger_does_not() {
        let folder = tempfile::tempdir().expect("a folder");
        // As many episodes and updates for both; labels of lost points are left out, so that DAgger has fewer.
        let same = ["--dagger-iterations", "4", "--train-steps-per-iter", "500", "--seed", "1"];
        let last = |name: &str, beta: &str| {
            let rounds = rounds(&folder.path().join(name), &[&same[..], &["--beta", beta]].concat());
            let last = rounds.last();
            (last.evaluation.success_rate(), last.buffered)
        };
        let (cloned, cloned_rows) = last("cloned", "constant:1");
        let (dagger, dagger_rows) = last("dagger", "two-phase:1");
        assert!(dagger_rows <= cloned_rows);
        assert!(dagger > 0.9 && cloned < 0.5, "cloning {cloned}, DAgger {dagger}");
    }

    #[test]
    fn labels_are_what_the_teacher_does_in_the_visited_states() {
        let folder = tempfile::tempdir().expect("a folder");
        let few = ["--dagger-iterations", "2", "--train-steps-per-iter", "2", "--episodes-per-iter", "3"];
        let mixed = ["--beta", "linear:2", "--beta-level", "child"];
        let rounds = rounds(folder.path(), &[&few[..], &mixed].concat());
        for round in &rounds.rounds {
            let both = round.round.index == 1;
            let path = |stage| round.round.stage(stage);
            let states = task::read(&path(Stage::Rollouts).join("states.f32")).expect("states");
            let labels = task::read(&path(Stage::Labels).join("actions.f32")).expect("labels");
            let rows = task::read(&path(Stage::Corpus).join("rows.f32")).expect("rows");
            let actors = fs::read(path(Stage::Rollouts).join("actors.u8")).expect("actors");
            assert_eq!(both, actors.contains(&0), "β is 1 and then one half");
            assert!(actors.contains(&1));
            let asked = states.as_chunks().0.iter().map(|state| teacher::act(&MILESTONES[0].2, state));
            assert!(asked.eq(labels.as_chunks().0.iter().copied()));
            let kept: Vec<_> =
                actors.iter().zip(labels.chunks(4)).filter(|(actor, _)| **actor != 2).map(|(_, l)| l).collect();
            assert!(rows.chunks(104).map(|row| &row[100..]).eq(kept), "masked rows are left out");
        }
    }
}
