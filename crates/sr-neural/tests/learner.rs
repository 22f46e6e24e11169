//! The learner in a search: batches change nothing, bad output falls back, parents are found.

use std::ops::ControlFlow;
use std::sync::Arc;

use burn::optim::{AdamWConfig, GradientsParams};
use sr_engine::{
    Brood, Edit, Generation, Instance, Member, Offspring, Origin, Parents, Policy, Population, PrimitiveSet, Score,
    Search, SearchConfig, State, run,
};
use sr_expr::{Columns, Expr, Op};
use sr_model::{Checkpoint, Decoder, DeviceKind, Model, ModelConfig, PointsConfig, TrainBatch, open};
use sr_neural::{Data, InputWriter, Language, Learner, Mode, Sampling};
use sr_prompt::{Actions, Condition, Mark, PopulationOrder, PromptState, Rules, Token, encode_target, target_feature};

const TARGETS: [&str; 3] = ["x0 + x1", "(x0 * x1) + x0", "x1 * 1.0"];

fn instance(id: &str) -> Arc<Instance> {
    let x = Columns::new(8, 2, (0..16).map(f64::from).collect());
    let y = (0..8).map(|i| f64::from(i) * 3.5).collect();
    let primitives = PrimitiveSet::new(vec![Op::Add, Op::Mul], vec![1.0], 2).expect("primitives");
    Arc::new(Instance::new(id, x, y, primitives).expect("instance"))
}

fn config() -> ModelConfig {
    ModelConfig {
        d_model: 32,
        n_layers: 1,
        n_heads: 2,
        d_mlp: 64,
        n_positions: 512,
        n_features: sr_prompt::FEATURES,
        points: Some(PointsConfig { hidden: 16, ..PointsConfig::learner(4) }),
        ..ModelConfig::micro(sr_prompt::VOCABULARY_SIZE)
    }
}

/// A few steps on three targets: enough to write expressions often, too few to do so always.
fn trained(steps: usize) -> Model {
    let device = open(DeviceKind::Cpu).expect("the CPU");
    let mut model = Model::new(&config(), 1, &device.autodiff()).expect("a model");
    let instance = instance("train");
    let population: Vec<Expr> = TARGETS.iter().map(|text| text.parse().expect("target")).collect();
    let state = PromptState::new(0, instance.primitives(), population.iter().map(|e| (&**e, 1.0)));
    let data = Data { x: instance.x(), y: instance.y(), semantics: sr_expr::Semantics::Protected };
    let input = InputWriter::new(&config(), &Language::default())
        .one_step(&state, data, Some(&population[0]))
        .expect("an input")
        .0;

    let prompt = input.next_position();
    let mut batch = TrainBatch { rows: 1, ..TrainBatch::default() };
    let mut push = |token: i32, feature: i32, position: usize, segment: i32, label: i32| {
        batch.features.push(feature);
        batch.tokens.push(token);
        batch.positions.push(position as i32);
        batch.segments.push(segment);
        batch.labels.push(label);
        batch.weights.push(1.0);
    };
    for (position, &token) in input.positions().zip(&input.tokens) {
        push(token, 0, position as usize, 0, sr_model::IGNORE);
    }
    for (segment, target) in population.iter().enumerate() {
        let ids = encode_target(target, instance.primitives().constants()).expect("a target");
        let mut token = Token::Condition(Condition::All).id();
        for (offset, &label) in ids.iter().enumerate() {
            push(token, target_feature(&ids[..offset]), prompt + offset, segment as i32 + 1, label);
            token = label;
        }
    }
    batch.length = batch.tokens.len();
    batch.individuals = input.individual_numbers().collect();
    batch.individuals.resize(batch.length, 0);
    batch.points = Some(sr_model::PointBatch::pack(&config(), &[&input.points.expect("points")]).expect("packed"));

    let mut optimiser = AdamWConfig::new().init();
    for _ in 0..steps {
        let loss = model.loss(&batch).expect("a loss");
        let gradients = GradientsParams::from_grads(loss.value.backward(), &model);
        model = optimiser.step(3e-3, model, gradients);
    }
    model
}

type Forms = Vec<Vec<(Expr, Origin, Parents)>>;

fn search(ids: &[&str], learner: &mut Learner) -> Vec<Forms> {
    let config = SearchConfig { population_size: 8, generations: 5, ..SearchConfig::basic() };
    let mut searches: Vec<Search> =
        ids.iter().map(|id| Search::new(instance(id), config.clone(), 3).expect("config")).collect();
    let mut seen: Vec<Forms> = vec![Vec::new(); ids.len()];
    let mut observers: Vec<_> = seen
        .iter_mut()
        .map(|forms| {
            |generation: &Generation<'_>| {
                forms.push(generation.population.iter().map(|i| (i.tree.to_owned(), i.origin, i.parents)).collect());
                ControlFlow::Continue(())
            }
        })
        .collect();
    run(&mut searches, learner, &mut observers);
    drop(observers);
    seen
}

#[test]
fn a_batch_gives_the_children_of_single_runs_and_bad_output_falls_back() {
    let mut learner = Learner::new(
        Decoder::new(&trained(60)),
        Mode::OneStep,
        &Language::default(),
        Sampling { max_child_size: 12, grammar: None, ..Sampling::default() },
    );
    let together = search(&["a", "b", "c"], &mut learner);
    for (id, forms) in ["a", "b", "c"].iter().zip(&together) {
        assert_eq!(&search(&[id], &mut learner)[0], forms, "{id}");
    }
    assert_ne!(together[0], together[1], "problems draw from streams of their own");
    assert!(learner.error().is_none());

    let children = || together.iter().flat_map(|forms| forms[1..].iter().flat_map(|population| &population[1..]));
    let count = |origin| children().filter(|child| child.1 == origin).count();
    let (written, fallen) = (count(Origin::Learner), count(Origin::Fallback));
    assert_eq!(written + fallen, children().count());
    assert!(written > 0, "{written} written, {fallen} fallen back");
    assert!(children().all(|(expr, origin, _)| *origin != Origin::Learner || expr.size() <= 12));
}

#[test]
fn an_untrained_model_falls_back_to_the_expert() {
    let sampling = Sampling { max_child_size: 3, grammar: None, ..Sampling::default() };
    let mut learner = Learner::new(Decoder::new(&trained(0)), Mode::OneStep, &Language::default(), sampling);
    let forms = &search(&["a"], &mut learner)[0];
    assert!(forms[1..].iter().any(|population| population.iter().any(|child| child.1 == Origin::Fallback)));
    assert!(forms.iter().all(|population| population.len() == 8));
}

/// Of every generation the individuals with their edits.
type Edited = Vec<Vec<(Expr, Origin, Parents, Option<Edit<'static>>)>>;

#[test]
fn a_learner_of_edits_tells_where_its_children_come_from() {
    let orders = [PopulationOrder::Sorted, PopulationOrder::Shuffled, PopulationOrder::AsIs];
    for (population_order, grammar) in orders.into_iter().flat_map(|order| [(order, true), (order, false)]) {
        let language =
            Language { population_order, actions: Actions::Edit, marks: Mark::ALL.to_vec(), ..Language::default() };
        let config = ModelConfig { n_marks: language.n_marks(), ..config() };
        let model = Model::new(&config, 1, &open(DeviceKind::Cpu).expect("the CPU")).expect("a model");
        let rules = Rules { contains_variable: true, ..Rules::default() };
        let sampling = Sampling { max_child_size: 9, grammar: grammar.then_some(rules), ..Sampling::default() };
        let mut learner = Learner::new(Decoder::new(&model), Mode::OneStep, &language, sampling);
        let settings = SearchConfig { population_size: 12, generations: 6, ..SearchConfig::basic() };
        let mut searches = [Search::new(instance("a"), settings, 3).expect("a search")];
        let mut seen: Edited = Vec::new();
        let observer = |generation: &Generation<'_>| {
            let individual =
                |i: Member<'_>| (i.tree.to_owned(), i.origin, i.parents, i.edit.clone().map(Edit::into_owned));
            seen.push(generation.population.iter().map(individual).collect());
            ControlFlow::<()>::Continue(())
        };
        run(&mut searches, &mut learner, &mut [observer]);
        assert!(learner.error().is_none());
        let mut edits = 0;
        for pair in seen.windows(2) {
            let orphan = |tree| Member::new(Offspring::orphan(tree, Origin::Random), Score::INVALID);
            let before = Population::new(pair[0].iter().map(|(expr, ..)| orphan(expr)));
            for (expr, origin, parents, edit) in &pair[1][1..] {
                let expected = if grammar { Origin::Learner } else { Origin::Fallback };
                assert_eq!(*origin, expected, "the model knows nothing");
                let Some(edit) = edit.as_ref().filter(|_| grammar) else { continue };
                edits += 1;
                assert_eq!((edit.apply(&before).as_ref(), parents.iter().next()), (Some(expr), Some(edit.parent)));
                assert!(expr.size() <= 9 && expr.n_variables() > 0, "{expr}");
            }
        }
        assert!(edits > 10 || !grammar, "{edits} edits");
    }
}

#[test]
fn a_direct_learner_reads_the_data_alone() {
    let mut learner = Learner::new(Decoder::new(&trained(0)), Mode::Direct, &Language::default(), Sampling::default());
    // Of one seed, and so of one stream; their populations differ.
    let searches = [8, 9].map(|population_size| {
        let settings = SearchConfig { population_size, ..SearchConfig::basic() };
        Search::new(instance("a"), settings, 3).expect("a search")
    });
    let states: Vec<State<'_>> = searches.iter().map(Search::state).collect();
    let mut broods = vec![Brood::default(); 2];
    learner.propose(&states, &[6, 6], &mut broods);
    let [a, b] = [0, 1].map(|index| broods[index].iter().map(|child| child.tree.to_owned()).collect::<Vec<Expr>>());
    assert_eq!((a.len(), &a), (6, &b));
    let state = &states[..1];
    let mut alone = [Brood::default()];
    learner.propose(state, &[6], &mut alone);
    assert!(alone[0].iter().zip(&a).all(|(child, expr)| child.tree == &**expr && child.log_prob.is_some()));
}

#[test]
fn with_a_grammar_every_child_is_legal() {
    let generations = [true, false].map(|errors| Mode::Autoregressive { errors });
    for mode in [Mode::OneStep, Mode::Direct].into_iter().chain(generations) {
        let rules = Rules { contains_variable: true, no_constant_operators: true, ..Rules::default() };
        let sampling = Sampling { max_child_size: 7, grammar: Some(rules), ..Sampling::default() };
        let mut learner = Learner::new(Decoder::new(&trained(0)), mode, &Language::default(), sampling);
        for forms in search(&["a", "b"], &mut learner) {
            let children = forms[1..].iter().flat_map(|population| &population[1..]);
            for (expr, origin, parents) in children {
                assert_eq!(*origin, Origin::Learner, "{mode:?}");
                assert!(mode != Mode::Direct || *parents == Parents::None, "it has seen no individual");
                assert!(expr.size() <= 7 && expr.n_variables() > 0, "{expr}");
            }
        }
        assert!(learner.error().is_none());
        // Some seven of five hundred tokens are legal, and the model knows nothing.
        let legal = learner.written().legal_mass().expect("it wrote");
        assert!(legal > 0.001 && legal < 0.2, "{legal}");
    }
}

#[test]
fn a_checkpoint_of_another_vocabulary_mode_or_context_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let device = open(DeviceKind::Cpu).expect("the CPU");
    let save = |tokenizer: String, mode: &str, context: &str| {
        let meta = serde_json::json!({ "mode": mode, "context": context });
        let checkpoint = Checkpoint { model: trained(0), tokenizer, meta };
        checkpoint.save(&folder.path().join("c")).expect("saved");
        Learner::load(&folder.path().join("c"), &device, Sampling::default()).map(|_| ()).map_err(|e| e.to_string())
    };
    assert_eq!(save(sr_prompt::tokenizer_json(), "one-step", "superrich"), Ok(()));
    let error = save(sr_prompt::tokenizer_json(), "two-step", "basic").expect_err("another mode");
    assert!(error.contains("two-step"), "{error}");
    let error = save(sr_prompt::tokenizer_json(), "one-step", "poor").expect_err("an unknown context");
    assert!(error.contains("context poor"), "{error}");
    let other = sr_prompt::tokenizer_json().replace("\"sin\"", "\"sine\"");
    let error = save(other, "one-step", "basic").expect_err("another vocabulary");
    assert!(error.contains("vocabulary"), "{error}");
}
