//! The stages of a round of point control.
//!
//! ```text
//! rollouts/    observations.f32 [T, N, 100], states.f32 [T, N, 7], actors.u8 [T, N], frames.f32 [T + 1, N, 2], outcomes.json,
//!              world.json
//! labels/      actions.f32 [T, N, 4]
//! corpus/      rows.f32 [rows, 100 + 4]: 416 bytes a row
//! checkpoint/  student.bpk, config.json, training.json
//! evaluation/  frames.f32, outcomes.json, world.json
//! ```
//! T steps of N episodes side by side, numbers little-endian. An actor is 0 for the student, 1 for the teacher and 2
//! from the step at which the episode is lost; only rows before that are learned from.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};
use sr_dagger::{Buffer, Evaluation, Metric, Round, Stage, Task};
use sr_engine::random::{Key, Purpose};
use sr_model::DeviceKind;
use sr_neural::Per;
use sr_train::Mlp;

use super::teacher;
use super::world::{ACTION, OBSERVATION, Point, STATE, World};
use crate::tasks::metrics::{mean, share};
use crate::tasks::{RoundsOptions, Stopped};

/// Bytes of a buffer row.
pub(super) const ROW_BYTES: u32 = 4 * (OBSERVATION + ACTION) as u32;
const STUDENT: u8 = 0;
const TEACHER: u8 = 1;
const LOST: u8 = 2;

/// The rounds of a milestone.
pub(super) struct PointTask<'a> {
    pub(super) options: &'a RoundsOptions,
    pub(super) world: World,
    pub(super) max_steps: u32,
    pub(super) device: DeviceKind,
    pub(super) stop: &'a AtomicBool,
}

/// The outcome of an episode.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Outcome {
    pub(super) success: bool,
    /// Steps within the tolerance.
    pub(super) steps: u32,
    /// Mean distance from the target in these steps.
    pub(super) error: f64,
}

/// Episodes side by side; the top of this file has the shapes.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Episodes {
    observations: Vec<f32>,
    states: Vec<f32>,
    actors: Vec<u8>,
    frames: Vec<f32>,
    pub(super) outcomes: Vec<Outcome>,
}

/// Plays episodes. At each step `act` returns the action of every point and the actor that chose it.
pub(super) fn play(
    world: &World,
    mut points: Vec<Point>,
    max_steps: u32,
    mut act: impl FnMut(u32, &[Point]) -> anyhow::Result<Vec<([f32; ACTION], u8)>>,
) -> anyhow::Result<Episodes> {
    let mut episodes = Episodes::default();
    let (mut steps, mut errors) = (vec![0_u32; points.len()], vec![0.0; points.len()]);
    episodes.frames.extend(points.iter().flat_map(|point| [point.state[0], point.state[1]]));
    for step in 0..max_steps {
        for (index, (action, actor)) in act(step, &points)?.into_iter().enumerate() {
            let point = &mut points[index];
            episodes.observations.extend(point.observation);
            episodes.states.extend(point.state);
            episodes.actors.push(if point.alive { actor } else { LOST });
            if point.alive {
                world.step(point, action); // a lost one stays where it is
                steps[index] += u32::from(point.alive);
                errors[index] += point.distance();
            }
            episodes.frames.extend([point.state[0], point.state[1]]);
        }
    }
    let outcome = |(index, point): (usize, &Point)| Outcome {
        success: point.alive,
        steps: steps[index],
        error: errors[index] / f64::from(steps[index] + u32::from(!point.alive)).max(1.0),
    };
    episodes.outcomes = points.iter().enumerate().map(outcome).collect();
    Ok(episodes)
}

/// Plays episodes of the teacher alone.
pub(super) fn teach(world: &World, points: Vec<Point>, max_steps: u32) -> anyhow::Result<Episodes> {
    play(world, points, max_steps, |_, points| {
        Ok(points.iter().map(|point| (teacher::act(world, &point.state), TEACHER)).collect())
    })
}

impl Episodes {
    /// Writes the frames, the world and the outcomes, which a page needs.
    pub(super) fn write_outcomes(&self, world: &World, out: &Path) -> anyhow::Result<()> {
        write(&out.join("frames.f32"), &self.frames)?;
        fs::write(out.join("world.json"), serde_json::to_string_pretty(world)? + "\n")?;
        let path = out.join("outcomes.json");
        fs::write(&path, serde_json::to_string_pretty(&self.outcomes)? + "\n")
            .with_context(|| format!("writing {}", path.display()))
    }
}

impl PointTask<'_> {
    fn points(&self, n: u32, seed: u64, purpose: Purpose) -> Vec<Point> {
        (0..n).map(|episode| self.world.point(seed, purpose, episode)).collect()
    }
}

/// The sizes of a student's input and output.
const SHAPE: [usize; 2] = [OBSERVATION, ACTION];

/// Loads a student.
pub(super) fn load(folder: &Path, device: DeviceKind) -> anyhow::Result<Mlp> {
    Mlp::load(folder, SHAPE, device).with_context(|| loading(folder))
}

fn loading(folder: &Path) -> String {
    format!("loading the checkpoint {}", folder.display())
}

/// Returns the student's action for each point.
fn act(student: &Mlp, points: &[Point]) -> anyhow::Result<Vec<[f32; ACTION]>> {
    let actions = student.act(points.iter().flat_map(|point| point.observation).collect())?;
    Ok(actions.as_chunks().0.to_vec())
}

impl Task for PointTask<'_> {
    type Error = anyhow::Error;

    fn rollouts(&mut self, round: &Round, out: &Path) -> anyhow::Result<()> {
        let options = self.options;
        let student = match &round.before {
            Some(before) if round.beta < 1.0 => Some(load(before, self.device)?),
            _ => None,
        };
        let points = self.points(options.episodes_per_iter, round.seed, Purpose::Rows);
        let coin = Key::new(round.seed, Purpose::Mixture, 0);
        let episodes = play(&self.world, points, self.max_steps, |step, points| {
            ensure!(!self.stop.load(Ordering::Relaxed), Stopped);
            let students = student.as_ref().map(|student| act(student, points)).transpose()?;
            let act = |(index, point): (usize, &Point)| {
                let per_step = if options.beta_level == Per::Search { 0 } else { step };
                let teaches = coin.slot(index as u32).generation(per_step).rng().chance(round.beta);
                match &students {
                    Some(actions) if !teaches => (actions[index], STUDENT),
                    _ => (teacher::act(&self.world, &point.state), TEACHER),
                }
            };
            Ok(points.iter().enumerate().map(act).collect())
        })?;
        write(&out.join("observations.f32"), &episodes.observations)?;
        write(&out.join("states.f32"), &episodes.states)?;
        fs::write(out.join("actors.u8"), &episodes.actors)?;
        episodes.write_outcomes(&self.world, out)
    }

    fn labels(&mut self, round: &Round, out: &Path) -> anyhow::Result<()> {
        let states = read(&round.stage(Stage::Rollouts).join("states.f32"))?;
        let states: &[[f32; STATE]] = states.as_chunks().0;
        let actions: Vec<f32> = states.iter().flat_map(|state| teacher::act(&self.world, state)).collect();
        write(&out.join("actions.f32"), &actions)
    }

    fn corpus(&mut self, round: &Round, out: &Path) -> anyhow::Result<()> {
        let rollouts = round.stage(Stage::Rollouts);
        let observations = read(&rollouts.join("observations.f32"))?;
        let actions = read(&round.stage(Stage::Labels).join("actions.f32"))?;
        let actors = fs::read(rollouts.join("actors.u8"))?;
        let pairs = observations.chunks(OBSERVATION).zip(actions.chunks(ACTION)).zip(actors);
        let rows: Vec<f32> =
            pairs.filter(|(_, actor)| *actor != LOST).flat_map(|((o, a), _)| [o, a].concat()).collect();
        write(&out.join("rows.f32"), &rows)
    }

    fn rows(&mut self, round: &Round) -> anyhow::Result<Vec<u8>> {
        let path = round.stage(Stage::Corpus).join("rows.f32");
        fs::read(&path).with_context(|| format!("reading {}", path.display()))
    }

    fn train(&mut self, round: &Round, buffer: &Buffer, out: &Path) -> anyhow::Result<()> {
        let options = self.options;
        let student = match &round.before {
            Some(before) => Mlp::load_to_train(before, SHAPE, self.device).with_context(|| loading(before))?,
            None => Mlp::new([OBSERVATION, options.hidden_dim as usize, ACTION], round.seed, self.device)?,
        };
        let drawn = options.draw(buffer, round)?;
        let batches = drawn.batches().map(|slots| {
            ensure!(!self.stop.load(Ordering::Relaxed), Stopped);
            let (mut observations, mut actions) = (Vec::new(), Vec::new());
            for &slot in slots {
                let row = buffer.row(slot)?;
                let mut numbers = row.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
                observations.extend(numbers.by_ref().take(OBSERVATION));
                actions.extend(numbers);
            }
            Ok((observations, actions))
        });
        let n_batches = drawn.batches().count();
        let (student, loss) = student.train(batches, n_batches, options.learning_rate)?;
        student.save(out)?;
        let trained = serde_json::json!({ "updates": n_batches, "imitation_loss": loss });
        fs::write(out.join("training.json"), serde_json::to_string_pretty(&trained)? + "\n")?;
        Ok(())
    }

    fn evaluate(&mut self, round: &Round, out: &Path) -> anyhow::Result<Evaluation> {
        let checkpoint = round.stage(Stage::Checkpoint);
        let student = load(&checkpoint, self.device)?;
        let n = self.options.eval_episodes;
        let points = self.points(n, self.options.seed, Purpose::Evaluation);
        let episodes = play(&self.world, points, self.max_steps, |_, points| {
            ensure!(!self.stop.load(Ordering::Relaxed), Stopped);
            Ok(act(&student, points)?.into_iter().map(|action| (action, STUDENT)).collect())
        })?;
        episodes.write_outcomes(&self.world, out)?;
        let successes = episodes.outcomes.iter().filter(|outcome| outcome.success).count() as u32;
        let steps: Vec<f64> = episodes.outcomes.iter().map(|outcome| f64::from(outcome.steps)).collect();
        let errors: Vec<f64> = episodes.outcomes.iter().map(|outcome| outcome.error).collect();
        let trained: serde_json::Value = serde_json::from_str(&fs::read_to_string(checkpoint.join("training.json"))?)?;
        let loss = trained["imitation_loss"].as_f64();
        let metrics = vec![
            share("solved", successes.into(), n.into()),
            mean("steps", &steps, self.options.seed),
            mean("tracking_error", &errors, self.options.seed),
            Metric { name: "imitation_loss".to_owned(), value: loss, lo: None, hi: None },
        ];
        Ok(Evaluation { episodes: n, successes, score: steps.iter().sum::<f64>() / steps.len() as f64, metrics })
    }
}

fn write(path: &Path, numbers: &[f32]) -> anyhow::Result<()> {
    let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    fs::write(path, bytes).with_context(|| format!("writing {}", path.display()))
}

pub(super) fn read(path: &Path) -> anyhow::Result<Vec<f32>> {
    let bytes = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    Ok(bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
}
