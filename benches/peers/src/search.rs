//! Timing of whole searches, one sample each. Children are individuals whose fitness was needed.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sr_engine::{Evaluations, Expert, Instance, PrimitiveSet, Search, SearchConfig, run, run_parallel};
use sr_expr::{Columns, Op};
use sr_trace::{Recorder, TraceHeader, TraceWriter};

use crate::data;

/// The least time of a sample.
const SAMPLE: Duration = Duration::from_millis(500);
/// The number of problems of [`basic`] and [`on_threads`].
pub const PROBLEMS: u64 = 100;
/// The number of generations of [`basic`].
pub const BASIC_GENERATIONS: u32 = 101;
/// The number of generations of [`on_threads`].
pub const THREADS_GENERATIONS: u32 = 501;

/// The measurements of searches on one target.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// Children per second.
    pub children: f64,
    /// Children per second without those whose expression was in the generation before.
    pub fresh: f64,
    /// Mean nodes of an individual of the last generation.
    pub mean_size: f64,
}

/// Measures searches with population 1,000, without fitting of constants, with all operators of the files of trees.
///
/// # Panics
/// If `generations` is 0.
pub fn large(rows: usize, generations: u32, seed: u64) -> Sample {
    let ops = vec![Op::Add, Op::Sub, Op::Mul, Op::Div, Op::Sin, Op::Cos, Op::Exp, Op::Log, Op::Sqrt];
    let primitives = PrimitiveSet::new(ops, vec![1.0], data::N_COLUMNS as u16).expect("primitives");
    let (x, y) = data::search(rows);
    let instance = Arc::new(Instance::new("peers", x, y, primitives).expect("an instance"));
    let config = SearchConfig { population_size: 1000, generations, early_stop_mse: None, ..SearchConfig::basic() };
    let mut spent = Evaluations::default();
    let (mut nodes, mut individuals) = (0, 0);
    let started = Instant::now();
    let mut time = Duration::ZERO;
    for run_seed in (0..).map(|index| seed * 1000 + index) {
        let mut search = Search::new(instance.clone(), config.clone(), run_seed).expect("a configuration in range");
        let outcome = search.run(&mut Expert).expect("the expert never fails");
        time = started.elapsed();
        spent.search += outcome.evaluations.search;
        spent.duplicates += outcome.evaluations.duplicates;
        let population = search.state().population;
        nodes += population.iter().map(|individual| individual.tree.size()).sum::<usize>();
        individuals += population.len();
        if time >= SAMPLE {
            break;
        }
    }
    Sample {
        children: spent.search as f64 / time.as_secs_f64(),
        fresh: (spent.search - spent.duplicates) as f64 / time.as_secs_f64(),
        mean_size: nodes as f64 / individuals as f64,
    }
}

/// The way in which the searches of [`basic`] are recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recording {
    /// Searches are not recorded.
    Off,
    /// Trajectories are recorded and dropped.
    Memory,
    /// Trajectories are recorded and written to a file.
    File,
}

impl Recording {
    /// All ways.
    pub const ALL: [Recording; 3] = [Recording::Off, Recording::Memory, Recording::File];

    /// Returns the name in JSON and tables.
    pub fn name(self) -> &'static str {
        match self {
            Recording::Off => "not recorded",
            Recording::Memory => "recorded in memory",
            Recording::File => "recorded to a file",
        }
    }
}

/// Measures preset `basic` on + − *: population 20, 50 rows, all problems one after the other on one thread. Returns
/// children per second.
///
/// # Errors
/// If the trace cannot be written to the folder for temporary files.
pub fn basic(recording: Recording) -> anyhow::Result<f64> {
    let config = arithmetic(BASIC_GENERATIONS);
    let instances = problems();
    let folder = tempfile::tempdir()?;
    let mut children = 0;
    let started = Instant::now();
    // All searches go to one file, as in a real run: syncing it takes milliseconds, once.
    let mut writer = match recording {
        Recording::File => Some(writer(&folder.path().join("trace.sr"), &instances[0], &config)?),
        Recording::Off | Recording::Memory => None,
    };
    while children == 0 || started.elapsed() < 4 * SAMPLE {
        for instance in &instances {
            let mut search = [Search::new(instance.clone(), config.clone(), 1)?];
            if recording == Recording::Off {
                children += run(&mut search, &mut Expert, &mut [()])
                    .expect("the expert never fails")
                    .remove(0)
                    .evaluations
                    .search;
                continue;
            }
            let mut recorder = [Recorder::new(1)];
            let outcome = run(&mut search, &mut Expert, &mut recorder).expect("the expert never fails").remove(0);
            children += outcome.evaluations.search;
            let [recorder] = recorder;
            let record = std::hint::black_box(recorder.record(&outcome)?);
            if let Some(writer) = &mut writer {
                writer.append_record(record)?;
            }
        }
    }
    if let Some(writer) = writer {
        writer.finish()?;
    }
    Ok(children as f64 / started.elapsed().as_secs_f64())
}

/// Measures the searches of [`basic`], longer and not recorded, on a pool of this many threads. Returns children per
/// second.
///
/// # Panics
/// If the threads cannot be started.
pub fn on_threads(threads: usize) -> f64 {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool of threads");
    let config = arithmetic(THREADS_GENERATIONS);
    let search = |instance| Search::new(instance, config.clone(), 1).expect("a configuration in range");
    let mut searches: Vec<Search> = problems().into_iter().map(search).collect();
    let mut watchers = vec![(); searches.len()];
    let started = Instant::now();
    let outcomes = pool.install(|| run_parallel(&mut searches, || Expert, &mut watchers));
    let outcomes = outcomes.expect("the expert never fails");
    let children: u64 = outcomes.iter().map(|outcome| outcome.evaluations.search).sum();
    children as f64 / started.elapsed().as_secs_f64()
}

fn arithmetic(generations: u32) -> SearchConfig {
    SearchConfig { generations, early_stop_mse: None, ..SearchConfig::basic() }
}

/// Returns problems that arithmetic cannot solve, so that all searches have the same length; each has other data.
fn problems() -> Vec<Arc<Instance>> {
    const ROWS: usize = 50;
    let primitives = PrimitiveSet::new(vec![Op::Add, Op::Sub, Op::Mul], vec![1.0], 2).expect("primitives");
    let (pool, _) = data::search(PROBLEMS as usize * ROWS);
    let problem = |index: u64| {
        let first = index as usize * ROWS;
        let x = Columns::from_fn(ROWS, 2, |row, column| pool.column(column)[first + row]);
        let y = (0..ROWS).map(|row| (3.0 * x.column(0)[row]).sin() + x.column(1)[row].powi(2).cos()).collect();
        Arc::new(Instance::new(&format!("p{index}"), x, y, primitives.clone()).expect("an instance"))
    };
    (0..PROBLEMS).map(problem).collect()
}

fn writer(path: &Path, instance: &Instance, config: &SearchConfig) -> anyhow::Result<TraceWriter> {
    Ok(TraceWriter::create(path, &TraceHeader::of_expert("peers", instance.primitives(), config, "basic", 1))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_is_searched_to_its_last_generation() {
        for instance in problems().into_iter().take(3) {
            let mut search = [Search::new(instance, arithmetic(7), 1).expect("a search")];
            let outcome = run(&mut search, &mut Expert, &mut [()]).expect("the expert never fails").remove(0);
            assert_eq!(outcome.evaluations.search, 20 + 6 * 19);
        }
    }
}
