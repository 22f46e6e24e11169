//! Our preset `basic` as a method: independent searches on all threads, one after the other, until the time is over or
//! one of them has solved the problem.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use sr_engine::{Expert, Generation, Instance, Objective, PrimitiveSet, Score, Search, SearchConfig, run_until};
use sr_expr::{Columns, Expr, Op, Tree};

use super::wire::{Candidate, Report, Request};
use super::{Method, Syntax};
use crate::machine;

/// Runs preset `basic` with the objective `mse`, every expression once.
#[derive(Debug)]
pub struct Basic {
    version: String,
}

impl Basic {
    /// Makes the method; its version is the commit and a checksum of the running program.
    pub fn new() -> Self {
        Basic { version: format!("basic, {}", machine::program_version()) }
    }
}

impl Default for Basic {
    fn default() -> Self {
        Basic::new()
    }
}

impl Method for Basic {
    fn name(&self) -> &str {
        "basic"
    }

    fn version(&self) -> &str {
        &self.version
    }

    fn syntax(&self) -> Syntax {
        Syntax::Ours
    }

    fn fit(&mut self, request: &Request, on_report: &mut dyn FnMut(Report)) -> anyhow::Result<()> {
        let started = Instant::now();
        let limit = Duration::from_secs_f64(request.seconds);
        let instance = Arc::new(instance(request)?);
        let shared = Shared { front: Mutex::new(Front::default()), stop: AtomicBool::new(false), started };
        let (sender, reports) = channel();
        let result = std::thread::scope(|scope| {
            let spawn = |thread: usize| {
                let (sender, instance, shared) = (sender.clone(), instance.clone(), &shared);
                scope.spawn(move || search(instance, request, thread, limit, shared, &sender))
            };
            let threads: Vec<_> = (0..request.threads).map(spawn).collect();
            drop(sender);
            reports.iter().for_each(&mut *on_report);
            let ended = |thread: std::thread::ScopedJoinHandle<'_, anyhow::Result<()>>| {
                thread.join().map_err(|_| anyhow!("a search panicked"))?
            };
            threads.into_iter().map(ended).collect::<anyhow::Result<Vec<()>>>()
        });
        result?;
        let front = shared.front.into_inner().map_err(|_| anyhow!("a search panicked"))?;
        on_report(Report { end: true, ..front.report(started) });
        Ok(())
    }
}

fn instance(request: &Request) -> anyhow::Result<Instance> {
    let x = Columns::new(request.y.len(), request.columns.len(), request.columns.concat());
    let op = |name: &&str| Op::from_name(name).with_context(|| format!("no operator {name}"));
    let ops = request.operators.iter().map(op).collect::<anyhow::Result<_>>()?;
    let n_variables = u16::try_from(request.columns.len())?;
    let primitives = PrimitiveSet::new(ops, request.constants.clone(), n_variables)?;
    Ok(Instance::new(&request.id, x, request.y.clone(), primitives)?)
}

fn config(limit: Duration) -> SearchConfig {
    SearchConfig {
        objective: Objective::Mse,
        unique: true,
        generations: u32::MAX,
        time_limit: Some(limit),
        ..SearchConfig::basic()
    }
}

/// What the threads of a fit share.
struct Shared {
    front: Mutex<Front>,
    stop: AtomicBool,
    started: Instant,
}

/// Searches with one seed after the other.
fn search(
    instance: Arc<Instance>,
    request: &Request,
    thread: usize,
    limit: Duration,
    shared: &Shared,
    sender: &Sender<Report>,
) -> anyhow::Result<()> {
    let mut own = Front::default();
    for round in 0.. {
        let left = limit.saturating_sub(shared.started.elapsed());
        if left.is_zero() || shared.stop.load(Ordering::Relaxed) {
            break;
        }
        let seed = (request.seed << 32) + ((round as u64) << 8) + thread as u64;
        let search = Search::new_until(instance.clone(), config(left), seed, Some(&shared.stop))?;
        let observer = |generation: &Generation<'_>| {
            let is_better = generation.population.iter().fold(false, |better, individual| {
                let early_stop = generation.config.early_stop_mse;
                own.add(individual.score, early_stop, individual.tree) | better
            });
            if is_better {
                let mut front = shared.front.lock().expect("no thread panics while it holds the lock");
                if front.merge(&own) {
                    // The receiver lives as long as the threads.
                    sender.send(front.report(shared.started)).ok();
                }
            }
            std::ops::ControlFlow::Continue(())
        };
        let outcome = run_until(&mut [search], &mut Expert, &mut [observer], &shared.stop)?.remove(0);
        if outcome.solved.is_some() {
            shared.stop.store(true, Ordering::Relaxed);
        }
    }
    Ok(())
}

/// The best formula of each size, and the one that the search would report: the fittest that reached the early-stop
/// error, else the fittest.
#[derive(Debug, Clone, Default)]
struct Front {
    by_size: Vec<Option<(f64, Expr)>>,
    chosen: Option<((bool, f64), Expr)>,
}

impl Front {
    fn add(&mut self, score: Score, early_stop: Option<f64>, tree: &Tree) -> bool {
        if !score.mse.is_finite() {
            return false;
        }
        let rank = (early_stop.is_some_and(|stop| score.mse <= stop), score.fitness);
        let is_chosen = self.chosen.as_ref().is_none_or(|(best, _)| rank > *best);
        let size = tree.size();
        if self.by_size.len() <= size {
            self.by_size.resize(size + 1, None);
        }
        let is_best = self.by_size[size].as_ref().is_none_or(|(error, _)| score.mse < *error);
        if is_best {
            self.by_size[size] = Some((score.mse, tree.to_owned()));
        }
        if is_chosen {
            self.chosen = Some((rank, tree.to_owned()));
        }
        is_best || is_chosen
    }

    fn merge(&mut self, other: &Front) -> bool {
        let mut is_better = false;
        if self.by_size.len() < other.by_size.len() {
            self.by_size.resize(other.by_size.len(), None);
        }
        for (own, other) in self.by_size.iter_mut().zip(&other.by_size) {
            let Some((error, expr)) = other else { continue };
            if own.as_ref().is_none_or(|(least, _)| error < least) {
                *own = Some((*error, expr.clone()));
                is_better = true;
            }
        }
        if let Some((rank, expr)) = &other.chosen
            && self.chosen.as_ref().is_none_or(|(best, _)| rank > best)
        {
            self.chosen = Some((*rank, expr.clone()));
            is_better = true;
        }
        is_better
    }

    fn report(&self, started: Instant) -> Report {
        let semantics = SearchConfig::basic().semantics;
        let mut least = f64::INFINITY;
        let mut front = Vec::new();
        for (size, entry) in self.by_size.iter().enumerate() {
            let Some((error, expr)) = entry.as_ref().filter(|(error, _)| *error < least) else { continue };
            least = *error;
            let formula = expr.display(semantics).to_string();
            front.push(Candidate { formula, size: size as f64, error: *error });
        }
        let chosen = self.chosen.as_ref().map(|(_, expr)| expr.display(semantics).to_string());
        let seconds = started.elapsed().as_secs_f64();
        Report { seconds, front, chosen, claims_exact: None, end: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_easy_law_is_found_and_the_search_ends_before_its_time() {
        let x: Vec<f64> = (0..40).map(|i| f64::from(i) / 10.0 + 0.5).collect();
        let y = x.iter().map(|x| x * x + x).collect();
        let request = Request {
            task: "fit",
            peer: String::new(),
            columns: vec![x],
            names: vec!["x0".into()],
            y,
            operators: vec!["+", "*", "-"],
            constants: vec![1.0],
            seconds: 60.0,
            threads: 2,
            seed: 1,
            id: "p".into(),
        };
        let mut reports: Vec<Report> = Vec::new();
        Basic::new().fit(&request, &mut |report| reports.push(report)).expect("a fit");
        let last = reports.last().expect("a report");
        assert!(last.end && last.seconds < 60.0);
        assert!(reports.windows(2).all(|pair| pair[0].seconds <= pair[1].seconds), "seconds go up");
        let errors: Vec<f64> = last.front.iter().map(|candidate| candidate.error).collect();
        assert!(errors.windows(2).all(|pair| pair[0] > pair[1]), "{errors:?}");
        let chosen = last.chosen.as_ref().expect("a formula");
        let read = Syntax::Ours.read(chosen).expect("a formula");
        let found = sr_expr::predict(&read.expr, &Columns::from_rows(&[[3.0]]), read.semantics)[0];
        assert!((found - 12.0).abs() < 1e-9, "{chosen}");
    }
}
