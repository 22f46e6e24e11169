//! The epochs of a fit as the generations of a search: what a policy proposes from, and what a trace records.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use sr_engine::{
    Evaluations, Fitting as ConstantFitting, Offspring, Origin, Parents, Policy, Recorded, Search, SearchConfig, State,
    StopReason, likely_parents,
};
use sr_expr::{Expr, Tree};
use sr_problems::Problem;
use sr_trace::{GenerationsBuilder, IndividualRecord, TargetScale, TraceHeader, TraceWriter, Trajectory};

use super::front::Front;
use super::{Fitting, Stop};

/// The most individuals of an epoch.
pub const EPOCH_SIZE: usize = 20;

/// The settings of the search whose generations are epochs. `fitting` has the steps of constants that children get.
fn config(base: &SearchConfig) -> SearchConfig {
    SearchConfig { population_size: EPOCH_SIZE, generations: u32::MAX, ..base.clone() }
}

/// Returns the formulas of the front that an epoch holds, the smallest first: those with the least errors, without the
/// offset and the factor that every search of [`SearchConfig::default`] puts around an individual.
fn individuals(front: &Front) -> Vec<Expr> {
    let mut chosen: Vec<Expr> = front.iter().rev().map(|found| found.expr.core().to_owned()).collect();
    let mut seen = std::collections::HashSet::new();
    chosen.retain(|expr| seen.insert(expr.clone()));
    chosen.truncate(EPOCH_SIZE);
    chosen.reverse();
    chosen
}

/// Returns a search that stands at the end of an epoch, on some rows of the table. Constants stay as they are.
fn search(
    instance: Arc<sr_engine::Instance>,
    base: &SearchConfig,
    seed: u64,
    epoch: u32,
    front: &Front,
) -> anyhow::Result<Search> {
    let config = SearchConfig { fitting: Some(ConstantFitting { steps: 0 }), ..config(base) };
    let recorded = Recorded { generation: epoch, population: individuals(front), best: None, stagnation: 0 };
    Search::resume_from(instance, config, seed, recorded).context("the state of an epoch")
}

/// Returns up to `wanted` children that a policy proposes from the front, with fitted constants, the least error first,
/// and the work in node · rows.
pub(super) fn proposed(
    instance: &Arc<sr_engine::Instance>,
    base: &SearchConfig,
    seed: u64,
    epoch: u32,
    front: &Front,
    (policy, wanted): (&mut dyn Policy, usize),
) -> anyhow::Result<(Vec<Expr>, u64)> {
    let state = search(instance.clone(), base, seed, epoch, front)?;
    let mut offspring = Offspring::default();
    // The constants of the front stay as they are, those of its children are fitted.
    let as_searched = config(base);
    let seen = State { config: &as_searched, ..state.state() };
    policy.propose_one(seen, wanted, &mut offspring).context("a policy could not propose")?;
    let children: Vec<Expr> = offspring.iter().map(|child| child.tree.to_owned()).collect();
    if children.is_empty() {
        return Ok((Vec::new(), state.work()));
    }
    // A search that begins with them fits their constants.
    let config = SearchConfig { population_size: children.len().max(EPOCH_SIZE), ..config(base) };
    let recorded = Recorded { generation: 0, population: children, best: None, stagnation: 0 };
    let fitted = Search::resume_from(instance.clone(), config, seed, recorded).context("the children")?;
    let mut valid: Vec<_> = fitted.state().population.iter().filter(|child| child.score.is_valid()).collect();
    valid.sort_by(|a, b| a.score.mse.total_cmp(&b.score.mse));
    let children = valid.into_iter().map(|child| child.tree.to_owned()).collect();
    Ok((children, state.work() + fitted.work()))
}

/// Records the epochs of a fit as a trajectory, see [`Fitting::advance`].
///
/// Each generation has up to [`EPOCH_SIZE`] formulas of the front at the end of an epoch, the smallest first. The first
/// one follows the search for closed forms. An individual that was there an epoch before has the origin
/// [`Elite`](Origin::Elite) and that parent. Others are [`Injected`](Origin::Injected), for they come from populations
/// that no record holds; their parents are [`likely_parents`]. Errors are those over all rows of the table.
#[derive(Debug)]
pub struct EpochRecorder {
    builder: GenerationsBuilder,
    instance: Arc<sr_engine::Instance>,
    /// The first epoch that had a formula.
    first: u32,
    /// The last epoch, and its individuals.
    last: Option<(u32, Search)>,
    best: f64,
    evaluations: u64,
}

impl EpochRecorder {
    /// Makes a recorder for a fit of this problem. The fit must not have begun.
    ///
    /// # Errors
    /// If the problem's data cannot be searched.
    pub fn new(problem: &Problem, fitting: &Fitting) -> anyhow::Result<Self> {
        let primitives = fitting.rows.all().primitives().clone();
        let instance = sr_engine::Instance::new(&problem.id, problem.x.clone(), problem.y.clone(), primitives)?;
        let instance = match &problem.weights {
            Some(weights) => instance.with_weights(weights.clone())?,
            None => instance,
        };
        Ok(EpochRecorder {
            builder: GenerationsBuilder::new(0),
            instance: Arc::new(instance),
            first: 0,
            last: None,
            best: f64::NEG_INFINITY,
            evaluations: 0,
        })
    }

    /// Adds the epoch that has ended, if one has since the last call. Call it after each [`Fitting::advance`].
    ///
    /// # Errors
    /// If epochs were missed.
    pub fn on_epoch(&mut self, fitting: &Fitting) -> anyhow::Result<()> {
        let epoch = fitting.epochs();
        if !fitting.is_begun || self.last.as_ref().is_some_and(|(last, _)| *last == epoch) {
            return Ok(());
        }
        let expected = self.last.as_ref().map_or(self.first, |(last, _)| last + 1);
        anyhow::ensure!(epoch == expected, "the recorder saw epoch {epoch}, expected {expected}");
        if fitting.front.iter().next().is_none() {
            // Rules have left no formula yet, so that there is no state to record.
            self.first = epoch + 1;
            return Ok(());
        }
        let state =
            search(self.instance.clone(), fitting.islands.config(), fitting.options.seed, epoch, &fitting.front)?;
        let before = self.last.as_ref().map(|(_, search)| search.state().population);
        let population = state.state().population;
        let index_before = |tree: &Tree| before.and_then(|before| before.iter().position(|other| other.tree == tree));
        let mut rows = Vec::with_capacity(population.len());
        for found in population.iter() {
            let (origin, parents) = match index_before(found.tree) {
                Some(index) => (Origin::Elite, Parents::One(index as u32)),
                None => (Origin::Injected, before.map_or(Parents::None, |before| likely_parents(found.tree, before))),
            };
            rows.push(IndividualRecord { origin, parents, ..IndividualRecord::from(found) });
        }
        let fitness = population.best().score.fitness;
        self.builder.push(rows, population.best_index() as u32, fitness > self.best)?;
        self.best = self.best.max(fitness);
        self.evaluations += population.len() as u64;
        self.last = Some((epoch, state));
        Ok(())
    }

    /// Writes the trace of a fit that has ended, in place of one that is there. Returns false, and writes nothing, if the
    /// fit ended before its first epoch. The header names the problem set that `sr-generate csv` makes of the table.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(self, fitting: &Fitting, out: &Path) -> anyhow::Result<bool> {
        let Some(trajectory) = self.finish(fitting)? else { return Ok(false) };
        let engine = config(fitting.islands.config());
        let problems = format!("{}.sr", trajectory.problem_id);
        let header = TraceHeader::of_expert(&problems, &trajectory.primitives, &engine, "fit", trajectory.seed);
        let mut writer = TraceWriter::create(out, &TraceHeader { epochs: true, ..header })?;
        writer.append(&trajectory)?;
        writer.finish()?;
        Ok(true)
    }

    /// Returns the trajectory of a fit that has ended, or `None` if that was before its first epoch.
    ///
    /// [`Evaluations`] count the recorded individuals alone. The reason for the end is `Solved`, `TimeLimit`,
    /// `Generations` or `Exhausted` where the fit's means the same, and else `Observer`.
    ///
    /// # Errors
    /// If a record breaks a rule of the format.
    pub fn finish(self, fitting: &Fitting) -> anyhow::Result<Option<Trajectory>> {
        let Some((_, state)) = self.last else { return Ok(None) };
        let stop = match fitting.stop {
            Some(Stop::Exact) => StopReason::Solved { mse: state.state().population.best().score.mse },
            Some(Stop::Epochs) => StopReason::Generations(fitting.epochs()),
            Some(Stop::Time) => StopReason::TimeLimit(fitting.options.time_limit.unwrap_or_default()),
            Some(Stop::Exhausted) => StopReason::Exhausted,
            Some(Stop::Work | Stop::Interrupted | Stop::Settled) | None => StopReason::Observer,
        };
        let target = TargetScale { scale: self.instance.scale(), tolerance: self.instance.tolerance() };
        Ok(Some(Trajectory {
            problem_id: self.instance.id().to_owned(),
            primitives: self.instance.primitives().clone(),
            seed: fitting.options.seed,
            stop,
            evaluations: Evaluations { search: self.evaluations, ..Evaluations::default() },
            sampling: None,
            target: Some(target),
            generations: self.builder.build()?,
            labels: Vec::new(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::time::Instant;

    use sr_engine::{Child, PolicyError, Request};
    use sr_trace::TraceReader;

    use super::*;
    use crate::fit::{FitOptions, Fitted, Method, Part};

    /// y = x1·exp(−1.3·x0)·sin(2.1·x0 + 0.4·x1) + 0.7 in 80 rows.
    fn problem() -> Problem {
        let row = |i: usize| [0.1 + 0.05 * i as f64, 1.0 + ((i * 37) % 19) as f64 / 7.0];
        let rows: Vec<[f64; 2]> = (0..80).map(row).collect();
        let y = |[x, z]: [f64; 2]| z * libm::exp(-1.3 * x) * libm::sin(2.1 * x + 0.4 * z) + 0.7;
        let text: String = rows.iter().map(|&[x, z]| format!("{x},{z},{}\n", y([x, z]))).collect();
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("damped.csv");
        std::fs::write(&path, format!("x,z,y\n{text}")).expect("written");
        let table = sr_problems::from_table(&path, &sr_problems::TableOptions::new("y")).expect("a table");
        table.set.problems[0].clone()
    }

    fn options(epochs: u32) -> FitOptions {
        let without = [Part::ClosedForms, Part::Enumeration].into();
        FitOptions {
            seed: 3,
            threads: 1,
            epochs: Some(epochs),
            time_limit: None,
            without,
            policy_share: 1.0,
            ..FitOptions::default()
        }
    }

    fn fitted(epochs: u32, policy: Option<&mut dyn Policy>, recorder: bool) -> (Fitted, Option<Trajectory>) {
        let problem = problem();
        let mut fitting = Fitting::new(&problem, &options(epochs)).expect("a fit");
        let mut recorder = recorder.then(|| EpochRecorder::new(&problem, &fitting).expect("a recorder"));
        let (started, stop) = (Instant::now(), AtomicBool::new(false));
        let mut policy = policy;
        while fitting.advance_by(started, &stop, policy.as_mut().map(|policy| &mut **policy as _)).expect("an epoch") {
            if let Some(recorder) = &mut recorder {
                recorder.on_epoch(&fitting).expect("recorded");
            }
        }
        let recorded = recorder.and_then(|recorder| recorder.finish(&fitting).expect("a trajectory"));
        (fitting.fitted(), recorded)
    }

    /// Proposes the law with other constants, and counts the individuals that it sees.
    #[derive(Default)]
    struct Knowing {
        seen: Vec<usize>,
    }

    impl Policy for Knowing {
        fn propose(&mut self, requests: &mut [Request<'_>]) -> Result<(), PolicyError> {
            for request in requests {
                self.seen.push(request.state.population.len());
                let law: Expr =
                    "((x1 * exp((-1.0 * x0))) * sin(((2.0 * x0) + (0.5 * x1))))".parse().expect("a formula");
                for _ in 0..request.wanted {
                    request.offspring.push(&Child::orphan(&law, Origin::Learner));
                }
            }
            Ok(())
        }
    }

    #[test]
    fn what_a_policy_proposes_is_fitted_and_enters_the_front() {
        let (alone, _) = fitted(1, None, false);
        assert!(!alone.chosen().is_exact, "the test needs a law that an epoch of evolution does not find");
        let mut policy = Knowing::default();
        let (together, _) = fitted(1, Some(&mut policy), false);
        assert!(together.chosen().is_exact, "{}", together.chosen().expr);
        // Evolution goes on from it in the same epoch.
        assert!([Method::Policy, Method::Evolution].contains(&together.chosen().method));
        assert_eq!(policy.seen.len(), 1);
        assert!((1..=EPOCH_SIZE).contains(&policy.seen[0]), "{:?}", policy.seen);
    }

    #[test]
    fn a_policy_that_fails_ends_the_fit_with_its_error() {
        struct Failing;
        impl Policy for Failing {
            fn propose(&mut self, _: &mut [Request<'_>]) -> Result<(), PolicyError> {
                Err(PolicyError::new("no more ideas"))
            }
        }
        let mut fitting = Fitting::new(&problem(), &options(1)).expect("a fit");
        let (started, stop) = (Instant::now(), AtomicBool::new(false));
        assert!(fitting.advance_with(started, &stop, &mut Failing).expect("closed forms"));
        let error = fitting.advance_with(started, &stop, &mut Failing).expect_err("it fails");
        assert!(format!("{error:#}").contains("no more ideas"), "{error:#}");
    }

    #[test]
    fn epochs_are_recorded_as_generations_of_formulas_that_the_rows_confirm() {
        let (_, trajectory) = fitted(4, None, true);
        let trajectory = trajectory.expect("epochs");
        assert_eq!(trajectory.generations.len(), 5, "the state before the first epoch, and four");
        assert_eq!(trajectory.stop, StopReason::Generations(4));
        let mut before: Vec<Expr> = Vec::new();
        let mut carried = 0;
        for record in trajectory.generations.iter() {
            assert!((1..=EPOCH_SIZE).contains(&record.len()));
            for individual in record.individuals() {
                let position = before.iter().position(|expr| **expr == *individual.expr);
                assert_eq!(individual.origin == Origin::Elite, position.is_some(), "{}", individual.expr);
                if let Some(position) = position {
                    assert_eq!(individual.parents, Parents::One(position as u32));
                    carried += 1;
                }
            }
            before = record.individuals().map(|individual| individual.expr.to_owned()).collect();
        }
        assert!(carried > 0);

        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("epochs.sr");
        let problem = problem();
        let mut fitting = Fitting::new(&problem, &options(4)).expect("a fit");
        let mut recorder = EpochRecorder::new(&problem, &fitting).expect("a recorder");
        let (started, stop) = (Instant::now(), AtomicBool::new(false));
        while fitting.advance(started, &stop).expect("an epoch") {
            recorder.on_epoch(&fitting).expect("recorded");
        }
        assert!(recorder.write(&fitting, &path).expect("written"));
        assert_eq!(sr_codec::peek_header(&path).expect("a header").version, 4);
        let mut reader = TraceReader::open(&path).expect("a trace");
        assert!(reader.header().epochs && reader.header().engine.population_size == EPOCH_SIZE);
        let engine = reader.header().engine.clone();
        let read = reader.next_trajectory().expect("whole").expect("a record");
        assert_eq!(read, trajectory);
        read.check_searched(&problem.instance().expect("an instance"), &engine).expect("the same errors");
    }

    #[test]
    fn a_fit_that_ends_before_its_first_epoch_has_no_trace() {
        let problem = problem();
        let fitting = Fitting::new(&problem, &options(1)).expect("a fit");
        let recorder = EpochRecorder::new(&problem, &fitting).expect("a recorder");
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("none.sr");
        assert!(!recorder.write(&fitting, &path).expect("nothing to write"));
        assert!(!path.exists());
    }
}
