//! Benches of the learner in a search: offspring per second with an untrained `micro` model, in a batch of 16 searches
//! of 3 generations. Untrained children reach the size limit of 15 nodes, so this is the cost of long children. A
//! second bench samples without replacement, at a temperature at which most children would be equal.

use std::sync::Arc;

use criterion::{Criterion, Throughput};
use sr_engine::{Instance, Search, SearchConfig, run};
use sr_model::{Decoder, DeviceKind, Model, ModelConfig};
use sr_neural::{Learner, LearnerMode, Sampling};
use sr_problems::{ARITH, Generator, RandomParams};

const SEARCHES: usize = 16;
const GENERATIONS: u32 = 4;

pub fn define(c: &mut Criterion) {
    let params = RandomParams::arith(ARITH.to_vec(), vec![1.0], 0.5, 1);
    let set = Generator::new(params).expect("parameters").generate(SEARCHES as u32, || ()).expect("problems");
    let instances: Vec<Arc<Instance>> =
        set.problems.iter().map(|problem| Arc::new(problem.instance().expect("instance"))).collect();
    let model =
        Model::new(&ModelConfig::micro(sr_prompt::VOCABULARY_CAPACITY), 1, &DeviceKind::Cpu.open().expect("CPU"));
    let sampling = Sampling { max_child_size: 15, ..Sampling::default() };
    let decoder = Decoder::new(&model.expect("a model"));
    let learner =
        |sampling| Learner::new(decoder.clone(), LearnerMode::OneStep, &sr_neural::Language::default(), sampling);
    let cases = [
        ("micro/searches-16", learner(sampling)),
        ("micro/searches-16-distinct", learner(Sampling { distinct: true, temperature: 0.2, ..sampling })),
    ];
    let config = SearchConfig { generations: GENERATIONS, early_stop_mse: None, ..SearchConfig::basic() };
    let children = 19 * u64::from(GENERATIONS - 1) * SEARCHES as u64;

    let mut group = c.benchmark_group("neural/children");
    group.throughput(Throughput::Elements(children));
    group.sample_size(10);
    for (case, mut learner) in cases {
        group.bench_function(case, |b| {
            b.iter(|| {
                let mut searches: Vec<Search> = instances
                    .iter()
                    .map(|instance| Search::new(instance.clone(), config.clone(), 1).expect("config"))
                    .collect();
                let outcomes = run(&mut searches, &mut learner, &mut [(); SEARCHES]).expect("children");
                assert!(outcomes.iter().all(|outcome| outcome.generations == GENERATIONS));
            });
        });
    }
    group.finish();
}
