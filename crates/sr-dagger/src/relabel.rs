//! Labels: what an expert would have done in the states of a trace.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use rayon::prelude::*;
use sr_engine::{
    Brood, Deadline, Evaluator, Expert, INVALID_FITNESS, Instance, Member, Offspring, Policy, Score, SearchConfig,
    State,
};
use sr_expr::Tree;
use sr_trace::{Label, LabelParams, LabelSet, StateLabels, TraceReader, TraceWriter, Trajectory};

use crate::{Error, Result, visit};

/// Answers what to do in a state.
pub trait Labeller {
    /// How labels are chosen, as label sets name it.
    fn mode(&self) -> &'static str;

    /// Who answers, as label sets name it.
    fn source(&self) -> &'static str;

    /// Children for one state, `wanted` of them or fewer, drawn from the state's key alone.
    fn label(&mut self, state: &State<'_>, wanted: usize) -> Vec<Label>;
}

/// Mode `all`: every child of one generation of the expert, all with weight 1.
#[derive(Debug, Default, Clone)]
pub struct ExpertLabeller {
    evaluator: Evaluator,
}

impl Labeller for ExpertLabeller {
    fn mode(&self) -> &'static str {
        "all"
    }

    fn source(&self) -> &'static str {
        "basic_sr"
    }

    fn label(&mut self, state: &State<'_>, wanted: usize) -> Vec<Label> {
        let known: HashMap<&Tree, Score> = state.population.iter().map(|i| (i.tree, i.score)).collect();
        let mut brood = Brood::default();
        Expert.propose(&[*state], &[wanted], std::slice::from_mut(&mut brood));
        let label = |child: Offspring<'_>| {
            let score = known.get(child.tree).copied();
            let score = score
                .or_else(|| self.evaluator.score(child.tree, state.instance, state.config, Deadline::NEVER))
                .expect("there is no deadline");
            let gain = |over: Score| (score.fitness - over.fitness) as f32;
            let parent = child.parents.iter().next().map(|index| state.population.score(index as usize));
            Label {
                gain_parent: parent.map_or(0.0, gain),
                gain_best: gain(state.best.score),
                weight: 1.0,
                child: Member::new(child, score).into(),
            }
        };
        brood.iter().map(label).collect()
    }
}

/// The labels of every state of a trajectory that has a successor: as many children as a generation has.
///
/// - config: the trace's, see [`TraceHeader::engine`](sr_trace::TraceHeader::engine)
/// - seed: of the labels; the states come from the trajectory whatever it is
///
/// # Errors
/// If the instance is not the one that was searched.
pub fn label(
    trajectory: &Trajectory,
    instance: &Instance,
    config: &SearchConfig,
    seed: u64,
    labeller: &mut impl Labeller,
) -> Result<LabelSet> {
    let wanted = config.population_size.saturating_sub(config.elitism);
    let mut states = Vec::new();
    visit(trajectory, instance, config, seed, |state, record| {
        let children = labeller.label(state, wanted);
        states.push(StateLabels { generation: state.generation, state_hash: record.state_hash(), children });
    })?;
    Ok(LabelSet {
        mode: labeller.mode().to_owned(),
        params: LabelParams { seed, samples: wanted as u32 },
        source: labeller.source().to_owned(),
        states,
    })
}

/// What was relabelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Trajectories.
    pub trajectories: u64,
    /// States.
    pub states: u64,
    /// Labels.
    pub labels: u64,
    /// Labels that are fitter than the best individual seen until then.
    pub improving: u64,
}

/// Relabels a trace in parallel, a few trajectories in memory at a time; the result does not depend on the number of
/// threads. Labels that a trajectory has already stay, and the new ones come last; see [`Trajectory::add_labels`].
///
/// The result replaces `traces`, or is put under `out`, in one step at the end; until then, and after an error, both
/// are as they were. `progress` is told how many more trajectories are done.
///
/// - instances: the problem with an id; it is asked from several threads
/// - labeller: makes one for each trajectory
///
/// # Errors
/// If the trace cannot be read to its end or the result not written, or if a problem is missing or not the one that was
/// searched.
pub fn relabel_file<L: Labeller>(
    traces: &Path,
    out: Option<&Path>,
    seed: u64,
    instances: impl Fn(&str) -> Option<Arc<Instance>> + Sync,
    labeller: impl Fn() -> L + Sync,
    mut progress: impl FnMut(u64),
) -> Result<Counts> {
    let mut reader = TraceReader::open(traces)?;
    let mut header = reader.header().clone();
    header.dagger = true;
    header.original_source.get_or_insert_with(|| header.policy.source_name().to_owned());
    let relabel = |mut trajectory: Trajectory| {
        let id = &trajectory.problem_id;
        let instance = instances(id).ok_or_else(|| Error::UnknownProblem { problem: id.clone() })?;
        let labels = label(&trajectory, &instance, &header.engine, seed, &mut labeller())?;
        let mut counts = Counts { trajectories: 1, ..Counts::default() };
        counts.add(&labels);
        trajectory.add_labels(labels);
        Ok((trajectory, counts))
    };
    let mut writer = TraceWriter::create(out.unwrap_or(traces), &header)?;
    let mut copy = || -> Result<Counts> {
        let mut total = Counts::default();
        loop {
            let chunk = reader.by_ref().take(4 * rayon::current_num_threads());
            let chunk = chunk.collect::<sr_trace::Result<Vec<Trajectory>>>()?;
            if chunk.is_empty() {
                return Ok(total);
            }
            let relabelled: Vec<Result<(Trajectory, Counts)>> = chunk.into_par_iter().map(relabel).collect();
            for result in relabelled {
                let (trajectory, counts) = result?;
                writer.append(&trajectory)?;
                total.trajectories += counts.trajectories;
                total.states += counts.states;
                total.labels += counts.labels;
                total.improving += counts.improving;
                progress(1);
            }
        }
    };
    match copy() {
        Ok(counts) => {
            writer.finish()?;
            Ok(counts)
        }
        Err(error) => {
            writer.discard();
            Err(error)
        }
    }
}

impl Counts {
    fn add(&mut self, labels: &LabelSet) {
        let children = || labels.states.iter().flat_map(|state| &state.children);
        let improves = |label: &&Label| label.gain_best > 0.0 && label.child.fitness > INVALID_FITNESS as f32;
        self.states += labels.states.len() as u64;
        self.labels += children().count() as u64;
        self.improving += children().filter(improves).count() as u64;
    }
}
