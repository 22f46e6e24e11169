//! Benches of traces: 50 trajectories of 50 generations × 20 individuals. Throughput counts bytes of the file.

use std::path::Path;
use std::sync::Arc;

use criterion::{Criterion, Throughput};
use sr_engine::{Expert, PrimitiveSet, Search, SearchConfig, run};
use sr_expr::Op;
use sr_problems::{ARITH, Generator, ProblemSet, RandomParams};
use sr_trace::{Recorder, TraceHeader, TraceReader, TraceWriter, Trajectory};

const GENERATIONS: u32 = 50;

/// Returns trajectories of the expert on random problems.
pub(crate) fn trajectories(count: u32) -> Vec<Trajectory> {
    searches(count).1
}

/// Returns trajectories with their problems.
pub(crate) fn searches(count: u32) -> (ProblemSet, Vec<Trajectory>) {
    let params = RandomParams::arith(ARITH.to_vec(), vec![1.0], 0.5, 1);
    let set = Generator::new(params).expect("parameters").generate(count, || ()).expect("problems");
    let record = |problem: &sr_problems::Problem| {
        let instance = Arc::new(problem.instance().expect("instance"));
        let config = SearchConfig { generations: GENERATIONS, ..SearchConfig::basic() };
        let mut searches = [Search::new(instance, config, 1).expect("config")];
        let mut recorders = [Recorder::new(1)];
        let outcome = run(&mut searches, &mut Expert, &mut recorders).expect("the expert never fails").remove(0);
        let [recorder] = recorders;
        recorder.finish(&outcome).expect("recorded")
    };
    let trajectories = set.problems.iter().map(record).collect();
    (set, trajectories)
}

pub(crate) fn write(path: &Path, trajectories: &[Trajectory]) {
    let primitives = PrimitiveSet::new(vec![Op::Add, Op::Sub, Op::Mul], vec![1.0], 1).expect("primitives");
    let header = TraceHeader::of_expert("p.sr", &primitives, &SearchConfig::basic(), "basic", 1);
    let mut writer = TraceWriter::create(path, &header).expect("created");
    for trajectory in trajectories {
        writer.append(trajectory).expect("appended");
    }
    writer.finish().expect("finished");
}

fn read(path: &Path) -> usize {
    let mut reader = TraceReader::open(path).expect("opened");
    let mut count = 0;
    while reader.next_trajectory().expect("a trajectory").is_some() {
        count += 1;
    }
    count
}

pub fn define(c: &mut Criterion) {
    let trajectories = trajectories(50);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("t.sr");
    write(&path, &trajectories);
    let bytes = std::fs::metadata(&path).expect("written").len();
    let generations: usize = trajectories.iter().map(|t| t.generations.len()).sum();
    let individuals: usize = trajectories.iter().map(|t| t.generations.n_individuals()).sum();
    eprintln!(
        "trace/size: {bytes} bytes, {:.1} a generation, {:.2} an individual",
        bytes as f64 / generations as f64,
        bytes as f64 / individuals as f64
    );
    let mut group = c.benchmark_group("trace");
    group.throughput(Throughput::Bytes(bytes));
    group.bench_function("write/trajectories-50", |b| b.iter(|| write(&path, &trajectories)));
    group.bench_function("read/trajectories-50", |b| b.iter(|| assert_eq!(read(&path), 50)));
    group.finish();
}

pub fn define_ci(c: &mut Criterion) {
    define(c);
}
