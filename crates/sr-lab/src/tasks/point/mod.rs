//! Point control: a second task, in which behaviour cloning drifts and DAgger does not.
//!
//! The teacher sees the full state and never leaves its target's side, so its states do not show what to do elsewhere:
//! there the readings of the distance are noise, and the last action is the best forecast of the next. A student cloned
//! from them copies its own last action, its error grows, and it is lost. In the states that the student visits, the
//! teacher's labels pull back, and the student learns to do the same.

mod task;
mod teacher;
mod world;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};
use sr_dagger::{Curriculum, RoundResult, Rounds, run_rounds};
use sr_engine::random::Purpose;
use sr_model::DeviceKind;
use sr_train::Mlp;

use super::milestones::read_milestones;
use super::{Named, RoundsOptions, Task};
use crate::files::write_atomically;
use task::{Outcome, PointTask, ROW_BYTES};
pub use world::World;

/// The milestones that come with the program.
const BUILT_IN: &str = include_str!("../../../../../configs/milestones-point-control.toml");
/// The most steps of all episodes of a round; at 400 bytes of observation each, 1.6 GB.
const MOST_STEPS: u64 = 4_000_000;

/// A world in a file of milestones; fields that are left out have the values of the default world.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: String,
    #[serde(default)]
    about: String,
    push: Option<f64>,
    wind: Option<f64>,
    spin: Option<f64>,
    noise: Option<[f64; 2]>,
    tolerance: Option<f64>,
    steps: Option<u32>,
}

/// A milestone of point control: a named world.
#[derive(Debug, Clone, PartialEq)]
pub struct Milestone {
    /// The name, used in folders and flags.
    pub id: String,
    /// A description for people.
    pub about: String,
    /// The world in which points must stay near their targets.
    pub world: World,
}

impl Named for Entry {
    fn id(&self) -> &str {
        &self.id
    }
}

/// Reads the milestones of a file, or returns those that come with the project.
///
/// # Errors
/// If the file cannot be read, has an unknown key, or a world is out of range.
pub fn milestones(path: Option<&Path>) -> anyhow::Result<Vec<Milestone>> {
    let name = path.map_or("the built-in milestones".to_owned(), |path| path.display().to_string());
    let of_entry = |entry: Entry| {
        let world = entry.world()?;
        Ok(Milestone { id: entry.id, about: entry.about, world })
    };
    let read = || read_milestones(path, BUILT_IN)?.into_iter().map(of_entry).collect::<anyhow::Result<Vec<_>>>();
    read().with_context(|| format!("reading {name}"))
}

impl Entry {
    /// Returns the world, or an error if a value is out of range.
    fn world(&self) -> anyhow::Result<World> {
        let calm = World::default();
        let world = World {
            push: self.push.unwrap_or(calm.push),
            wind: self.wind.unwrap_or(calm.wind),
            spin: self.spin.unwrap_or(calm.spin),
            noise: self.noise.unwrap_or(calm.noise),
            tolerance: self.tolerance.unwrap_or(calm.tolerance),
            steps: self.steps.unwrap_or(calm.steps),
        };
        let World { push, wind, spin, noise, tolerance, steps } = world;
        let numbers = [("push", push), ("wind", wind), ("spin", spin), ("noise", noise[0]), ("noise", noise[1])];
        for (key, number) in numbers {
            let is_fine = (0.0..=100.0).contains(&number);
            ensure!(is_fine, "milestone {}: {key} is {number}, expected a number from 0 to 100", self.id);
        }
        let is_fine = tolerance > 0.0 && tolerance <= 100.0;
        ensure!(is_fine, "milestone {}: tolerance is {tolerance}, expected a number above 0, at most 100", self.id);
        let is_fine = (1..=10_000).contains(&steps);
        ensure!(is_fine, "milestone {}: steps is {steps}, expected 1 to 10000", self.id);
        Ok(world)
    }
}

/// The options of point control.
#[derive(Debug, Clone)]
pub struct PointOptions {
    /// The options of the rounds.
    pub rounds: RoundsOptions,
    /// The milestones, see [`milestones`].
    pub milestones: Vec<Milestone>,
    /// The device on which the student computes.
    pub device: DeviceKind,
}

impl Default for PointOptions {
    /// Returns options with the milestones that come with the project, on the CPU.
    fn default() -> Self {
        let milestones = milestones(None).expect("they are tested");
        PointOptions { rounds: RoundsOptions::default(), milestones, device: DeviceKind::Cpu }
    }
}

/// Point control as a task. A round's model is a student in `student.bpk`, not a checkpoint of the learner.
#[derive(Debug)]
pub struct PointControl<'a> {
    options: PointOptions,
    stop: &'a AtomicBool,
}

impl<'a> PointControl<'a> {
    /// Checks all options. Once `stop` is true, a run ends.
    ///
    /// # Errors
    /// If there are more steps than fit in memory, there is no such device, or the checkpoint is not a student of this
    /// width.
    pub fn new(options: PointOptions, stop: &'a AtomicBool) -> anyhow::Result<Self> {
        options.device.open()?;
        let rounds = &options.rounds;
        let steps = options.milestones.iter().map(|milestone| milestone.world.steps).max().unwrap_or_default();
        for (flag, n) in [("--episodes-per-iter", rounds.episodes_per_iter), ("--eval-episodes", rounds.eval_episodes)]
        {
            let most = MOST_STEPS / u64::from(steps.max(1));
            ensure!(u64::from(n) <= most, "{flag} {n}: expected at most {most} for episodes of {steps} steps");
        }
        if let Some(checkpoint) = &rounds.checkpoint {
            check_student(checkpoint)?;
            let found = task::load(checkpoint, options.device)?.hidden();
            let wanted = rounds.hidden_dim as usize;
            ensure!(
                found == wanted,
                "--checkpoint {}: its width is {found}, --hidden-dim {wanted}",
                checkpoint.display()
            );
        }
        Ok(PointControl { options, stop })
    }
}

impl Task for PointControl<'_> {
    const NAME: &'static str = "point-control";

    fn options(&self) -> &RoundsOptions {
        &self.options.rounds
    }

    fn settings(&self) -> anyhow::Result<Value> {
        let milestone = |milestone: &Milestone| json!({ "id": milestone.id, "world": milestone.world });
        Ok(json!({ "milestones": self.options.milestones.iter().map(milestone).collect::<Vec<_>>() }))
    }

    fn about(&self) -> Vec<String> {
        self.options.milestones.iter().map(|milestone| milestone.about.clone()).collect()
    }

    fn record(folder: &Path, n: u32, name: &dyn Fn(usize, bool, u32) -> PathBuf) -> anyhow::Result<()> {
        record(folder, n, name)
    }
}

impl Curriculum for PointControl<'_> {
    type Error = anyhow::Error;

    fn ids(&self) -> Vec<String> {
        self.options.milestones.iter().map(|milestone| milestone.id.clone()).collect()
    }

    fn expert(&mut self, milestone: usize, out: &Path) -> anyhow::Result<Vec<sr_dagger::Episode>> {
        let (options, world) = (&self.options.rounds, self.options.milestones[milestone].world);
        let points = (0..options.eval_episodes).map(|n| world.point(options.seed, Purpose::Evaluation, n));
        let episodes = task::teach(&world, points.collect(), world.steps)?;
        episodes.write_outcomes(&world, out)?;
        let episode = |outcome: &Outcome| sr_dagger::Episode { success: outcome.success, steps: outcome.steps };
        Ok(episodes.outcomes.iter().map(episode).collect())
    }

    /// Runs the rounds with at most the teacher's steps: a longer episode would be harder, not easier.
    fn rounds(
        &mut self,
        milestone: usize,
        max_steps: u32,
        init: Option<&Path>,
        dir: &Path,
        on_round: &mut dyn FnMut(&RoundResult),
    ) -> anyhow::Result<Rounds> {
        let options = &self.options.rounds;
        let config = options.config(init, ROW_BYTES);
        let world = self.options.milestones[milestone].world;
        let max_steps = max_steps.min(world.steps);
        let mut task = PointTask { options, world, max_steps, device: self.options.device, stop: self.stop };
        run_rounds(&mut task, dir, &config, on_round)
    }

    fn is_of_milestone(&self, error: &anyhow::Error) -> bool {
        let is = |cause: &(dyn std::error::Error + 'static)| {
            matches!(cause.downcast_ref(), Some(sr_dagger::Error::NoRows { .. }))
                || matches!(cause.downcast_ref(), Some(sr_train::Error::Update { .. }))
        };
        error.chain().any(is)
    }

    fn labels(&self) -> &'static str {
        "privileged"
    }
}

/// Fails if a folder has no student, and says what it has instead.
fn check_student(folder: &Path) -> anyhow::Result<()> {
    if folder.join(Mlp::WEIGHTS).exists() {
        return Ok(());
    }
    let told = format!("--checkpoint {}", folder.display());
    ensure!(
        !sr_model::weights_file(folder).exists(),
        "{told}: this is a model that writes formulas, for --task search; point control has students"
    );
    let found = ["best", "final", "checkpoint"].map(|name| folder.join(name));
    let found = found.iter().filter(|path| path.join(Mlp::WEIGHTS).exists()).map(|path| path.display().to_string());
    let found = found.collect::<Vec<_>>().join(" and ");
    ensure!(found.is_empty(), "{told}: this is no student but a folder of some, such as {found}");
    ensure!(
        !folder.join("models").is_dir(),
        "{told}: this is the folder of a run; its students are in {}/models/ID/best and final",
        folder.display()
    );
    bail!("{told}: there is no student; one is a folder such as models/ID/final")
}

/// Writes a page that plays all episodes of a folder side by side, as seen from their targets, unless `n` is 0.
fn record(folder: &Path, n: u32, name: &dyn Fn(usize, bool, u32) -> PathBuf) -> anyhow::Result<()> {
    let outcomes: Vec<Outcome> = serde_json::from_str(&fs::read_to_string(folder.join("outcomes.json"))?)?;
    let kept = outcomes.iter().filter(|outcome| outcome.success).count();
    let steps = outcomes.iter().map(|outcome| outcome.steps).sum::<u32>() / outcomes.len().max(1) as u32;
    let path = name(0, kept == outcomes.len(), steps);
    if n == 0 || path.exists() {
        return Ok(());
    }
    let world: World = serde_json::from_str(&fs::read_to_string(folder.join("world.json"))?)?;
    let frames = task::read(&folder.join("frames.f32"))?;
    let positions: &[[f32; 2]] = frames.as_chunks().0;
    let stage = folder.file_name().unwrap_or_default().to_string_lossy();
    let episode = sr_report::Episode {
        title: format!("{stage}: {} points as seen from their targets", outcomes.len()),
        dt: world::DT as f32,
        frames: positions.chunks(outcomes.len().max(1)).map(<[_]>::to_vec).collect(),
        targets: vec![[0.0; 2]],
        radius: world.tolerance as f32,
        labels: vec![format!(
            "{kept} of {} points stay within the circle; a lost one stops where it is",
            outcomes.len()
        )],
    };
    fs::create_dir_all(path.parent().context("a page is in a folder")?)?;
    write_atomically(&path, sr_report::episode_page(&episode).as_bytes())
}

#[cfg(test)]
mod tests {
    use sr_dagger::{Amount, Beta, Stage};
    use sr_neural::Per;

    use super::*;

    static STOP: AtomicBool = AtomicBool::new(false);

    /// Returns a few small rounds in the first world.
    fn options(rounds: u32, steps: u32, beta: Beta) -> PointOptions {
        let rounds = RoundsOptions {
            dagger_iterations: rounds,
            episodes_per_iter: 100,
            eval_episodes: 100,
            amount: Amount::Steps { steps, batch: 128 },
            learning_rate: 1e-3,
            hidden_dim: 128,
            beta,
            seed: 1,
            ..RoundsOptions::default()
        };
        PointOptions { rounds, ..PointOptions::default() }
    }

    fn rounds(folder: &Path, options: PointOptions) -> Rounds {
        let mut curriculum = PointControl::new(options, &STOP).expect("a curriculum");
        curriculum.rounds(0, 100, None, folder, &mut |_| ()).expect("rounds")
    }

    #[test]
    fn the_teacher_never_fails_and_stays_near() {
        for Milestone { id, world, .. } in PointOptions::default().milestones {
            let points = (0..200).map(|n| world.point(5, Purpose::Evaluation, n)).collect();
            let outcomes = task::teach(&world, points, world.steps).expect("episodes").outcomes;
            let far = outcomes.iter().map(|outcome| outcome.error).fold(0.0, f64::max);
            assert!(outcomes.iter().all(|o| o.success && o.steps == world.steps) && far < 0.05, "{id}: {far}");
        }
    }

    #[test]
    fn cloning_drifts_and_dagger_does_not() {
        let folder = tempfile::tempdir().expect("a folder");
        // Both get the same number of episodes and updates. Labels of lost points are left out, so DAgger has fewer
        // rows.
        let last = |name: &str, beta: Beta| {
            let rounds = rounds(&folder.path().join(name), options(4, 500, beta));
            let last = rounds.last();
            (last.evaluation.success_rate(), last.buffered)
        };
        let (cloned, cloned_rows) = last("cloned", Beta::Constant(1.0));
        let (dagger, dagger_rows) = last("dagger", Beta::TwoPhase { rounds: 1 });
        assert!(dagger_rows <= cloned_rows);
        assert!(dagger > 0.9 && cloned < 0.5, "cloning {cloned}, DAgger {dagger}");
    }

    #[test]
    fn labels_are_what_the_teacher_does_in_the_visited_states() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut mixed = options(2, 2, Beta::Linear { rounds: 2 });
        (mixed.rounds.episodes_per_iter, mixed.rounds.beta_level) = (3, Per::Generation);
        let rounds = rounds(folder.path(), mixed);
        for round in &rounds.rounds {
            let both = round.round.index == 1;
            let path = |stage| round.round.stage(stage);
            let states = task::read(&path(Stage::Rollouts).join("states.f32")).expect("states");
            let labels = task::read(&path(Stage::Labels).join("actions.f32")).expect("labels");
            let rows = task::read(&path(Stage::Corpus).join("rows.f32")).expect("rows");
            let actors = fs::read(path(Stage::Rollouts).join("actors.u8")).expect("actors");
            assert_eq!(both, actors.contains(&0), "β is 1 and then one half");
            assert!(actors.contains(&1));
            let asked = states.as_chunks().0.iter().map(|state| teacher::act(&World::default(), state));
            assert!(asked.eq(labels.as_chunks().0.iter().copied()));
            let kept: Vec<_> =
                actors.iter().zip(labels.chunks(4)).filter(|(actor, _)| **actor != 2).map(|(_, l)| l).collect();
            assert!(rows.chunks(104).map(|row| &row[100..]).eq(kept), "masked rows are left out");
        }
    }
}
