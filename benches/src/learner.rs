//! Measurements that `bench-learner` and `bench-gpu` share: training on states of expert searches, and searches with a
//! learner, on any device.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::ensure;
use sr_engine::{Expert, Generation, Instance, Recorded, Search, SearchConfig, run};
use sr_expr::{Expr, Op};
use sr_model::{Decoder, DeviceKind, ModelConfig};
use sr_neural::{Data, InputWriter, Language, Learner, LearnerMode, Sampling, fittest_tree};
use sr_problems::{Generator, RandomParams};
use sr_prompt::{Condition, PromptState, Token, encode_target};
use sr_train::{Examples, Limits, RunConfig, TrainConfig, Trainer};

/// The most nodes of a child; with random weights, children then have some 12 tokens.
pub const CHILD_SIZE: usize = 25;
const CHILDREN: u64 = 19;

pub fn with_features(config: ModelConfig) -> ModelConfig {
    ModelConfig { n_features: sr_prompt::FEATURES, ..config }
}

/// Returns arithmetic problems.
pub fn instances(count: u32, seed: u64) -> anyhow::Result<Vec<Arc<Instance>>> {
    let params = RandomParams::arith(vec![Op::Add, Op::Sub, Op::Mul, Op::Div], vec![1.0], 0.5, seed);
    let set = Generator::new(params)?.generate(count, || ())?;
    set.problems.iter().map(|problem| Ok(Arc::new(problem.instance()?))).collect()
}

/// Returns settings of a run that is long enough to be measured; `model` and `training` are lines of TOML.
pub fn settings(model: &str, training: &str) -> anyhow::Result<RunConfig> {
    let text = format!(
        "mode = \"one-step\"\n[model]\n{model}\n[training]\nsteps = 100000\neval_batches = 1\nlog_every = 100000\n\
         eval_every = 100000\nsave_every = 100000\n{training}\n[tracking]\nkind = \"none\"\n"
    );
    Ok(TrainConfig::from_toml(&text)?.resolve(1))
}

/// Trains for some seconds after `warm_up` steps, and returns tokens and examples per second.
pub fn train(
    seconds: f64,
    warm_up: u64,
    config: RunConfig,
    examples: &Examples,
    device: DeviceKind,
) -> anyhow::Result<(f64, f64)> {
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("run");
    let mut trainer = Trainer::builder(config, examples, examples).device(device).start(&out)?;
    trainer.fit(Limits { max_steps: Some(warm_up), ..Limits::default() }, &mut |_, _| {})?;
    let limits = Limits { max_time: Some(Duration::from_secs_f64(seconds)), ..Limits::default() };
    let summary = trainer.fit(limits, &mut |_, _| {})?;
    ensure!(summary.val_loss.is_finite(), "the loss is a number");
    Ok((summary.tokens_per_second.unwrap_or(0.0), summary.examples_per_second.unwrap_or(0.0)))
}

/// Returns examples of 41 states of an expert search of each instance, with 19 children each.
pub fn one_step_examples(model: &ModelConfig, instances: &[Arc<Instance>]) -> anyhow::Result<Examples> {
    let inputs = InputWriter::new(model, &Language::default());
    let mut examples = Examples::new(model);
    for instance in instances {
        let mut states: Vec<Vec<(Expr, f32, f32)>> = Vec::new();
        let mut observer = |seen: &Generation<'_>| {
            let individual =
                |m: sr_engine::IndividualRef<'_>| (m.tree.to_owned(), m.score.mse as f32, m.score.fitness as f32);
            states.push(seen.population.iter().map(individual).collect());
            std::ops::ControlFlow::Continue(())
        };
        let config = SearchConfig { generations: 41, early_stop_mse: None, ..SearchConfig::basic() };
        let mut searches = [Search::new(instance.clone(), config.clone(), 1)?];
        run(&mut searches, &mut Expert, std::slice::from_mut(&mut observer)).expect("the expert never fails");
        for (generation, pair) in (0..).zip(states.windows(2)) {
            let population = || pair[0].iter();
            let forms = population().map(|(expr, mse, _)| (&**expr, *mse));
            let state = PromptState::new(generation, instance.primitives(), forms);
            let data = Data { x: instance.x(), y: instance.y(), semantics: config.semantics };
            let best = fittest_tree(population().map(|(expr, _, fitness)| (&**expr, *fitness)));
            let (prompt, _) = inputs.one_step(&state, data, best)?;
            let children = pair[1][1..].iter();
            let ids: Vec<Vec<i32>> = children
                .map(|(expr, ..)| encode_target(expr, instance.primitives().constants()))
                .collect::<Result<_, _>>()?;
            let targets = ids.iter().map(|ids| (&ids[..], 1.0));
            examples.push(&prompt, Token::Condition(Condition::All), targets)?;
        }
    }
    Ok(examples)
}

/// The measurements of searches with a learner.
#[derive(Debug)]
pub struct Rollout {
    pub children_per_second: f64,
    /// The FLOP/s of products with weights, without attention and everything else.
    pub flops_per_second: f64,
    pub child_tokens: f64,
    pub prompt_positions: f64,
}

/// Runs generation 31 of all instances at once, repeatedly, after `warm_up` runs.
pub fn rollout(
    seconds: f64,
    warm_up: u64,
    decoder: Decoder,
    instances: &[Arc<Instance>],
    sampling: Sampling,
) -> anyhow::Result<Rollout> {
    let config = decoder.model().config().clone();
    let mut learner = Learner::new(decoder, LearnerMode::OneStep, &Language::default(), sampling);
    // The states are those that the expert reaches after a while.
    let search = SearchConfig { generations: 30, early_stop_mse: None, ..SearchConfig::basic() };
    let warm = |instance: &Arc<Instance>| -> anyhow::Result<Vec<Expr>> {
        let mut last = Vec::new();
        let mut observer = |seen: &Generation<'_>| {
            last = seen.population.iter().map(|member| member.tree.to_owned()).collect();
            std::ops::ControlFlow::Continue(())
        };
        let mut searches = [Search::new(instance.clone(), search.clone(), 1)?];
        run(&mut searches, &mut Expert, std::slice::from_mut(&mut observer)).expect("the expert never fails");
        Ok(last)
    };
    let populations: Vec<Vec<Expr>> = instances.iter().map(warm).collect::<Result<_, _>>()?;
    let search = SearchConfig { generations: 32, ..search.clone() };
    let one_generation = |learner: &mut Learner| -> anyhow::Result<()> {
        let resume = |(instance, population): (&Arc<Instance>, &Vec<Expr>)| {
            let recorded = Recorded { generation: 30, population: population.clone(), best: None, stagnation: 0 };
            Search::resume_from(instance.clone(), search.clone(), 1, recorded)
        };
        let mut searches: Vec<Search> = instances.iter().zip(&populations).map(resume).collect::<Result<_, _>>()?;
        let mut watch = vec![(); searches.len()];
        run(&mut searches, learner, &mut watch)?;
        Ok(())
    };
    for _ in 0..warm_up {
        one_generation(&mut learner)?;
    }
    let before = learner.written();
    let started = Instant::now();
    let mut generations = 0;
    while generations == 0 || started.elapsed().as_secs_f64() < seconds {
        one_generation(&mut learner)?;
        generations += 1;
    }
    let elapsed = started.elapsed().as_secs_f64();
    let after = learner.written();
    let (read, written, texts) =
        ((after.read - before.read) as f64, (after.tokens - before.tokens) as f64, (after.texts - before.texts) as f64);
    ensure!(after.texts - before.texts == generations * CHILDREN * instances.len() as u64, "every child is written");
    let block = (4 * config.d_model * config.d_model + 2 * config.d_model * config.d_mlp) as f64;
    let (layers, head) = (config.n_layers as f64, (config.d_model * config.vocab_size) as f64);
    // The last block of a prompt only needs keys and values.
    let last = (2 * config.d_model * config.d_model) as f64;
    let flops = 2.0 * (read * (block * (layers - 1.0) + last) + written * (block * layers + head));
    Ok(Rollout {
        children_per_second: texts / elapsed,
        flops_per_second: flops / elapsed,
        child_tokens: written / texts,
        prompt_positions: read / (generations as f64 * instances.len() as f64),
    })
}
