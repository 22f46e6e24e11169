//! Benches of corpora: the one-step examples of 50 searches of 50 generations × 20 individuals. Throughput counts
//! states, each with its 19 targets.

use std::path::{Path, PathBuf};

use criterion::{Criterion, Throughput};
use sr_corpus::{Corpus, Example, Options, Problems, convert_trace};

/// Converts searches to a corpus and returns the path of its `train.sr`.
fn convert(folder: &Path) -> PathBuf {
    let (set, trajectories) = crate::trace::searches(50);
    let (problems, trace, out) = (folder.join("p.sr"), folder.join("t.sr"), folder.join("corpus"));
    set.write(&problems).expect("written");
    crate::trace::write(&trace, &trajectories);
    let problems = Problems::open(problems).expect("opened");
    let options = Options { val_fraction: 0.0, ..Options::default() };
    let counts = convert_trace(&trace, &problems, &options, &out, || {}).expect("converted");
    eprintln!("corpus/size: {:.2} bytes an example", counts.bytes_per_example);
    out.join("train.sr")
}

pub fn define(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = convert(folder.path());
    let targets = |examples: &mut dyn Iterator<Item = Example>| examples.map(|e| e.n_targets()).sum::<usize>();
    let stream = || targets(&mut Corpus::open(&path).expect("opened").map(|example| example.expect("whole")));
    let expected = stream();
    let n = Corpus::open(&path).expect("opened").count() as u64;

    let mut group = c.benchmark_group("corpus");
    group.throughput(Throughput::Elements(n));
    group.bench_function("stream/searches-50", |b| b.iter(|| assert_eq!(stream(), expected)));
    group.finish();
}
