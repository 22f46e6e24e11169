//! Benches of relabelling a file: 50 trajectories of 50 generations × 20 individuals × 50 rows. Throughput counts
//! labels in mode `all` on one thread, and children drawn in mode `top-k` on all threads.

use std::path::Path;
use std::sync::Arc;

use criterion::{Criterion, Throughput};
use sr_dagger::{Counts, Draws, ExpertConfig, FileOptions, LabelMode, Labelling};
use sr_engine::Instance;

use crate::trace;

/// The number of children drawn for each state in mode `top-k`.
const SAMPLES: u32 = 1_000;

pub fn define(c: &mut Criterion) {
    let (problems, trajectories) = trace::searches(50);
    let instances = problems.problems.iter().map(|problem| Arc::new(problem.instance().expect("instance")));
    let instances: Vec<Arc<Instance>> = instances.collect();
    let folder = tempfile::tempdir().expect("a folder");
    let (all, few) = (folder.path().join("all.sr"), folder.path().join("few.sr"));
    trace::write(&all, &trajectories);
    trace::write(&few, &trajectories[..10]);
    let states = |count: usize| trajectories[..count].iter().map(|t| t.generations.len() as u64).sum::<u64>();
    let relabel = |traces: &Path, config: ExpertConfig| -> Counts {
        let out = folder.path().join("labels.sr");
        let options = FileOptions { out: Some(&out), seed: 3, ..FileOptions::default() };
        let instance = |id: &str| instances.iter().find(|instance| instance.id() == id).cloned();
        Labelling::Expert(config).relabel_file(traces, &options, instance, |_| None, |_| ()).expect("relabelled")
    };
    let one_thread = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a thread");

    let mut group = c.benchmark_group("dagger/relabel");
    group.throughput(Throughput::Elements(states(50) * 19));
    group.bench_function("all/pop-20-rows-50", |b| {
        b.iter(|| {
            let counts = one_thread.install(|| relabel(&all, ExpertConfig::default()));
            assert_eq!((counts.states, counts.labels), (states(50), states(50) * 19));
        });
    });
    let top =
        ExpertConfig { mode: LabelMode::TopK, draws: Draws::Exactly(SAMPLES), keep: 8, ..ExpertConfig::default() };
    group.throughput(Throughput::Elements(states(10) * u64::from(SAMPLES)));
    group.bench_function("top-k/samples-1000", |b| {
        b.iter(|| {
            let counts = relabel(&few, top);
            assert!(counts.states == states(10) && counts.labels <= 8 * states(10) && counts.improving > 0);
        });
    });
    group.finish();
}
