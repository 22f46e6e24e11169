//! Tests of the learner in a search: batches change nothing, bad output falls back, parents are found.

use std::ops::ControlFlow;
use std::sync::Arc;

use burn::optim::{AdamWConfig, GradientsParams};
use sr_engine::{
    Child, Edit, Expert, Generation, IndividualRef, Instance, Offspring, Origin, Parents, Policy, Population,
    PrimitiveSet, Request, Score, Search, SearchConfig, State, run,
};
use sr_expr::{Columns, Expr, Op};
use sr_model::{Checkpoint, Decoder, DeviceKind, Model, ModelConfig, PointsConfig, TrainBatch};
use sr_neural::{Data, Hybrid, InputWriter, Language, Learner, LearnerMode, Per, Sampling, Share};
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

/// Trains a few steps on three targets: enough to write expressions often, too few to do so always.
fn trained(steps: usize) -> Model {
    let device = DeviceKind::Cpu.open().expect("the CPU");
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

fn search(ids: &[&str], learner: &mut dyn Policy) -> Vec<Forms> {
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
    run(&mut searches, learner, &mut observers).expect("children");
    drop(observers);
    seen
}

#[test]
fn a_batch_gives_the_children_of_single_runs_and_bad_output_falls_back() {
    let mut learner = Learner::new(
        Decoder::new(&trained(60)),
        LearnerMode::OneStep,
        &Language::default(),
        Sampling { max_child_size: 12, grammar: None, ..Sampling::default() },
    );
    let together = search(&["a", "b", "c"], &mut learner);
    for (id, forms) in ["a", "b", "c"].iter().zip(&together) {
        assert_eq!(&search(&[id], &mut learner)[0], forms, "{id}");
    }
    assert_ne!(together[0], together[1], "problems draw from streams of their own");

    let children = || together.iter().flat_map(|forms| forms[1..].iter().flat_map(|population| &population[1..]));
    let count = |origin| children().filter(|child| child.1 == origin).count();
    let (written, fallen) = (count(Origin::Learner), count(Origin::Fallback));
    assert_eq!(written + fallen, children().count());
    assert!(written > 0, "{written} written, {fallen} fallen back");
    assert!(children().all(|(expr, origin, _)| *origin != Origin::Learner || expr.size() <= 12));
}

#[test]
fn expert_and_learner_share_a_search() {
    let sampling = Sampling { max_child_size: 12, ..Sampling::default() };
    let learner = Learner::new(Decoder::new(&trained(0)), LearnerMode::OneStep, &Language::default(), sampling);
    let share = |share: Share| Hybrid::new(learner.clone(), share);
    let searched = |share: Share| search(&["a", "b", "c"], &mut Hybrid::new(learner.clone(), share));
    for none in [
        Share::Drawn(0.0, Per::Child),
        Share::Drawn(0.0, Per::Generation),
        Share::Drawn(0.0, Per::Search),
        Share::EveryKth(9),
    ] {
        assert_eq!(searched(none), search(&["a", "b", "c"], &mut Expert), "{none:?}");
    }
    let of_learner = {
        let mut hybrids = [
            Share::Drawn(1.0, Per::Child),
            Share::Drawn(1.0, Per::Generation),
            Share::Drawn(1.0, Per::Search),
            Share::EveryKth(1),
        ];
        let all = hybrids.each_mut().map(|share| searched(*share));
        assert!(all.windows(2).all(|pair| pair[0] == pair[1]));
        all[0].clone()
    };
    assert_eq!(of_learner, search(&["a", "b", "c"], &mut learner.clone()));

    let is_learners = |origin: Origin| origin == Origin::Learner;
    let by_generation = |forms: &Forms| -> Vec<Vec<bool>> {
        forms[1..].iter().map(|population| population[1..].iter().map(|child| is_learners(child.1)).collect()).collect()
    };
    let half = searched(Share::Drawn(0.5, Per::Child));
    let children: Vec<bool> = half.iter().flat_map(&by_generation).flatten().collect();
    let share_of = children.iter().filter(|&&learners| learners).count() as f64 / children.len() as f64;
    assert!((0.25..0.75).contains(&share_of), "{share_of} of {}", children.len());
    for (id, together) in ["a", "b", "c"].iter().zip(&half) {
        assert_eq!(&search(&[id], &mut share(Share::Drawn(0.5, Per::Child)))[0], together, "batches change nothing");
    }
    let whole = |generation: &Vec<bool>| generation.iter().all(|learners| *learners == generation[0]);
    for forms in searched(Share::Drawn(0.5, Per::Generation)) {
        assert!(by_generation(&forms).iter().all(whole));
    }
    for forms in searched(Share::Drawn(0.5, Per::Search)) {
        assert!(whole(&by_generation(&forms).concat()));
    }
    for forms in searched(Share::EveryKth(2)) {
        let of_generations: Vec<bool> = by_generation(&forms).iter().map(|generation| generation[0]).collect();
        assert_eq!(of_generations, [false, true, false, true]);
        assert!(by_generation(&forms).iter().all(whole));
    }

    // Where the learner writes no expression, the expert's child of the same slot replaces it.
    let sampling = Sampling { max_child_size: 3, grammar: None, ..Sampling::default() };
    let speechless = Learner::new(Decoder::new(&trained(0)), LearnerMode::OneStep, &Language::default(), sampling);
    let forms = search(&["a"], &mut Hybrid::new(speechless, Share::Drawn(0.5, Per::Child)));
    let expected = search(&["a"], &mut Expert);
    let exprs = |forms: &Forms| forms[1].iter().map(|child| child.0.clone()).collect::<Vec<_>>();
    assert_eq!(exprs(&forms[0]), exprs(&expected[0]));
    assert!(forms[0][1].iter().any(|child| child.1 == Origin::Fallback));
}

#[test]
fn an_untrained_model_falls_back_to_the_expert() {
    let sampling = Sampling { max_child_size: 3, grammar: None, ..Sampling::default() };
    let mut learner = Learner::new(Decoder::new(&trained(0)), LearnerMode::OneStep, &Language::default(), sampling);
    let forms = &search(&["a"], &mut learner)[0];
    assert!(forms[1..].iter().any(|population| population.iter().any(|child| child.1 == Origin::Fallback)));
    assert!(forms.iter().all(|population| population.len() == 8));
}

/// The individuals of each generation, with their edits.
type Edited = Vec<Vec<(Expr, Origin, Parents, Option<Edit<'static>>)>>;

#[test]
fn a_learner_of_edits_tells_where_its_children_come_from() {
    let orders = [PopulationOrder::Sorted, PopulationOrder::Shuffled, PopulationOrder::AsIs];
    for (population_order, grammar) in orders.into_iter().flat_map(|order| [(order, true), (order, false)]) {
        let language =
            Language { population_order, actions: Actions::Edit, marks: Mark::ALL.to_vec(), ..Language::default() };
        let config = ModelConfig { n_marks: language.n_marks(), ..config() };
        let model = Model::new(&config, 1, &DeviceKind::Cpu.open().expect("the CPU")).expect("a model");
        let rules = Rules { contains_variable: true, ..Rules::default() };
        let sampling = Sampling { max_child_size: 9, grammar: grammar.then_some(rules), ..Sampling::default() };
        let mut learner = Learner::new(Decoder::new(&model), LearnerMode::OneStep, &language, sampling);
        let settings = SearchConfig { population_size: 12, generations: 6, ..SearchConfig::basic() };
        let mut searches = [Search::new(instance("a"), settings, 3).expect("a search")];
        let mut seen: Edited = Vec::new();
        let observer = |generation: &Generation<'_>| {
            let individual =
                |i: IndividualRef<'_>| (i.tree.to_owned(), i.origin, i.parents, i.edit.clone().map(Edit::into_owned));
            seen.push(generation.population.iter().map(individual).collect());
            ControlFlow::<()>::Continue(())
        };
        run(&mut searches, &mut learner, &mut [observer]).expect("children");
        let mut edits = 0;
        for pair in seen.windows(2) {
            let orphan = |tree| IndividualRef::new(Child::orphan(tree, Origin::Random), Score::INVALID);
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
    let mut learner =
        Learner::new(Decoder::new(&trained(0)), LearnerMode::Direct, &Language::default(), Sampling::default());
    // Both have the same seed and so the same stream; their populations differ.
    let searches = [8, 9].map(|population_size| {
        let settings = SearchConfig { population_size, ..SearchConfig::basic() };
        Search::new(instance("a"), settings, 3).expect("a search")
    });
    let states: Vec<State<'_>> = searches.iter().map(Search::state).collect();
    let mut all_offspring = vec![Offspring::default(); 2];
    let mut requests: Vec<Request<'_>> =
        states.iter().zip(&mut all_offspring).map(|(state, offspring)| Request::new(*state, 6, offspring)).collect();
    learner.propose(&mut requests).expect("children");
    let [a, b] =
        [0, 1].map(|index| all_offspring[index].iter().map(|child| child.tree.to_owned()).collect::<Vec<Expr>>());
    assert_eq!((a.len(), &a), (6, &b));
    let mut alone = Offspring::default();
    learner.propose_one(states[0], 6, &mut alone).expect("children");
    assert!(alone.iter().zip(&a).all(|(child, expr)| child.tree == &**expr && child.log_prob.is_some()));
}

#[test]
fn with_a_grammar_every_child_is_legal() {
    let generations = [true, false].map(|errors| LearnerMode::Autoregressive { errors });
    for mode in [LearnerMode::OneStep, LearnerMode::Direct].into_iter().chain(generations) {
        let rules = Rules { contains_variable: true, no_constant_operators: true, ..Rules::default() };
        let sampling = Sampling { max_child_size: 7, grammar: Some(rules), ..Sampling::default() };
        let mut learner = Learner::new(Decoder::new(&trained(0)), mode, &Language::default(), sampling);
        for forms in search(&["a", "b"], &mut learner) {
            let children = forms[1..].iter().flat_map(|population| &population[1..]);
            for (expr, origin, parents) in children {
                assert_eq!(*origin, Origin::Learner, "{mode:?}");
                assert!(mode != LearnerMode::Direct || *parents == Parents::None, "it has seen no individual");
                assert!(expr.size() <= 7 && expr.n_variables() > 0, "{expr}");
            }
        }
        // Some seven of five hundred tokens are legal, and the model is untrained.
        let legal = learner.written().legal_mass().expect("it wrote");
        assert!(legal > 0.001 && legal < 0.2, "{legal}");
    }
}

#[test]
fn no_child_of_a_learner_nests_trigonometry_where_that_is_forbidden() {
    use Op::{Acos, Add, Asin, Atan, Cos, Sin, Tan};
    fn is_nested(tree: &Expr) -> bool {
        let text = tree.to_string();
        let mut inside = vec![false];
        let mut word = String::new();
        for c in text.chars() {
            match c {
                '(' => {
                    let is_one = ["sin", "cos", "tan", "asin", "acos", "atan"].contains(&&*word);
                    let within = *inside.last().expect("balanced");
                    if is_one && within {
                        return true;
                    }
                    inside.push(within || is_one);
                    word.clear();
                }
                ')' => drop(inside.pop()),
                c if c.is_alphanumeric() => word.push(c),
                _ => word.clear(),
            }
        }
        false
    }
    assert!(is_nested(&"sin(x0 + cos(x1))".parse().expect("a formula")));
    assert!(is_nested(&"(x0 * atan((1.0 + acos(x1))))".parse().expect("a formula")));
    assert!(!is_nested(&"sin(x0) + cos(x1 + 1.0)".parse().expect("a formula")));

    let folder = tempfile::tempdir().expect("a folder");
    let checkpoint = folder.path().join("c");
    let meta = serde_json::json!({ "mode": "one-step" });
    Checkpoint { model: trained(0), tokenizer: sr_prompt::tokenizer_json(), meta }.save(&checkpoint).expect("saved");
    let x = Columns::new(8, 2, (0..16).map(|i| f64::from(i) / 16.0).collect());
    let y = (0..8).map(|i| f64::from(i) * 3.5).collect();
    let primitives = PrimitiveSet::new(vec![Add, Sin, Cos, Tan, Asin, Acos, Atan], vec![1.0], 2).expect("primitives");
    let instance = Arc::new(Instance::new("a", x, y, primitives).expect("an instance"));
    let children = |no_nested_trigonometry: bool| -> Vec<Expr> {
        let rules = Rules { no_nested_trigonometry, ..Rules::default() };
        let sampling = Sampling { temperature: 1.0, max_child_size: 15, grammar: Some(rules), ..Sampling::default() };
        let device = DeviceKind::Cpu.open().expect("the CPU");
        let mut learner = Learner::load(&checkpoint, &device, sampling).expect("a learner");
        let config = SearchConfig { generations: 32, early_stop_mse: None, ..SearchConfig::basic() };
        let mut children = Vec::new();
        let watch = |seen: &Generation<'_>| {
            let made = seen.population.iter().filter(|child| child.origin == Origin::Learner);
            children.extend(made.map(|child| child.tree.to_owned()));
            ControlFlow::<()>::Continue(())
        };
        let search = Search::new(instance.clone(), config, 3).expect("a search");
        run(&mut [search], &mut learner, &mut [watch]).expect("children");
        children
    };
    let (free, ruled) = (children(false), children(true));
    assert!(free.len() > 500 && ruled.len() > 500, "{} {}", free.len(), ruled.len());
    let nested = |children: &[Expr]| children.iter().filter(|child| is_nested(child)).count();
    assert!(nested(&free) > 50, "an untrained model nests them where it may: {}", nested(&free));
    assert_eq!(nested(&ruled), 0);
}

#[test]
fn a_problem_of_one_point_is_searched_by_a_learner() {
    let x = Columns::new(1, 1, vec![2.0]);
    let primitives = PrimitiveSet::new(vec![Op::Add, Op::Mul], vec![1.0], 1).expect("primitives");
    let instance = Arc::new(Instance::new("one", x, vec![1e9], primitives).expect("an instance"));
    let generations = [true, false].map(|errors| LearnerMode::Autoregressive { errors });
    for mode in [LearnerMode::OneStep, LearnerMode::Direct].into_iter().chain(generations) {
        let sampling = Sampling { max_child_size: 7, ..Sampling::default() };
        let mut learner = Learner::new(Decoder::new(&trained(0)), mode, &Language::default(), sampling);
        let config = SearchConfig { generations: 3, ..SearchConfig::basic() };
        let mut searches = [Search::new(instance.clone(), config, 1).expect("a search")];
        let outcome = run(&mut searches, &mut learner, &mut [|_: &Generation<'_>| ControlFlow::Continue(())])
            .expect("children")
            .remove(0);
        assert!(learner.written().texts > 0, "{mode:?}");
        assert!(outcome.best.score.mse.is_finite(), "{mode:?}: {:?}", outcome.best.score);
    }
}

#[test]
fn distinct_children_are_different_and_the_expert_makes_what_is_missing() {
    let model = trained(60);
    let sampling = |distinct, max_child_size| Sampling { distinct, max_child_size, ..Sampling::default() };
    let repeats = |forms: &Forms| -> usize {
        let texts = |population: &[(Expr, Origin, Parents)]| {
            let written = population[1..].iter().filter(|child| child.1 == Origin::Learner);
            let texts: Vec<String> = written.map(|(expr, ..)| expr.to_string()).collect();
            texts.len() - texts.iter().collect::<std::collections::HashSet<_>>().len()
        };
        forms[1..].iter().map(|population| texts(population)).sum()
    };
    for mode in [LearnerMode::OneStep, LearnerMode::Direct] {
        let learner = |sampling| Learner::new(Decoder::new(&model), mode, &Language::default(), sampling);
        let mut plain = learner(sampling(false, 12));
        assert!(repeats(&search(&["a"], &mut plain)[0]) > 5, "the model has learned three formulas");
        let mut distinct = learner(sampling(true, 12));
        let together = search(&["a", "b", "c"], &mut distinct);
        for (id, forms) in ["a", "b", "c"].iter().zip(&together) {
            assert_eq!(&search(&[id], &mut distinct)[0], forms, "{id}");
            assert_eq!(repeats(forms), 0);
            let children = forms[1..].iter().flat_map(|population| &population[1..]);
            assert!(children.clone().all(|child| child.1 == Origin::Learner));
        }

        // Only x0, x1 and 1.0 can be written.
        let mut few = learner(sampling(true, 1));
        let forms = &search(&["a"], &mut few)[0];
        for population in &forms[1..] {
            let origins: Vec<Origin> = population[1..].iter().map(|child| child.1).collect();
            assert_eq!(origins, [[Origin::Learner; 3].as_slice(), &[Origin::Fallback; 4]].concat());
        }
        assert_eq!((few.written().texts, few.written().tokens), (3 * 4, 2 * 3 * 4), "what is missing is not counted");
    }
}

#[test]
fn distinct_children_that_cannot_be_are_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let sampling = Sampling { distinct: true, ..Sampling::default() };
    let (mode, language) = (LearnerMode::Autoregressive { errors: true }, Language::default());
    let mut learner = Learner::new(Decoder::new(&trained(0)), mode, &language, sampling);
    let mut search = Search::new(instance("a"), SearchConfig::basic(), 3).expect("a search");
    let error = search.run(&mut learner).expect_err("one text").to_string();
    assert!(error.contains("as one text"), "{error}");
    // The search is unchanged and continues with another policy.
    let outcome = search.run(&mut Expert).expect("the expert never fails");
    assert_eq!(outcome.generations, 50);
    let meta = serde_json::json!({ "mode": "autoregressive" });
    let checkpoint = Checkpoint { model: trained(0), tokenizer: sr_prompt::tokenizer_json(), meta };
    checkpoint.save(&folder.path().join("c")).expect("saved");
    let device = DeviceKind::Cpu.open().expect("the CPU");
    let error = Learner::load(&folder.path().join("c"), &device, sampling).map(|_| ()).expect_err("one text");
    assert!(error.to_string().contains("as one text"), "{error}");

    // Random numbers have addresses for texts up to this length.
    let sampling = Sampling { max_child_size: 1024, ..sampling };
    let mut learner = Learner::new(Decoder::new(&trained(0)), LearnerMode::OneStep, &language, sampling);
    let mut search = Search::new(instance("a"), SearchConfig::basic(), 3).expect("a search");
    let error = search.run(&mut learner).expect_err("too long").to_string();
    assert!(error.contains("texts of 1025 tokens are longer than 1024"), "{error}");
}

#[test]
fn a_checkpoint_of_another_vocabulary_mode_or_context_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let device = DeviceKind::Cpu.open().expect("the CPU");
    let load = |conditions: &[&str], condition: Option<&str>| {
        let meta = serde_json::json!({ "mode": "one-step", "conditions": conditions });
        let checkpoint = Checkpoint { model: trained(0), tokenizer: sr_prompt::tokenizer_json(), meta };
        checkpoint.save(&folder.path().join("c")).expect("saved");
        let conditions = condition.map(|text| text.parse().expect("conditions"));
        let sampling = Sampling { conditions, ..Sampling::default() };
        let learner = Learner::load(&folder.path().join("c"), &device, sampling);
        learner.map(|learner| learner.conditions().to_string()).map_err(|e| e.to_string())
    };
    assert_eq!(load(&[], None).as_deref(), Ok("ALL"));
    assert_eq!(load(&["ALL", "GAIN_4"], None).as_deref(), Ok("ALL"));
    assert_eq!(load(&["ALL", "GAIN_4"], Some("GAIN_4")).as_deref(), Ok("GAIN_4"));
    assert_eq!(load(&["ALL", "GAIN_4"], Some("GAIN_4:3,ALL:1")).as_deref(), Ok("ALL:1,GAIN_4:3"));
    assert_eq!(load(&["GAIN_0", "GAIN_3"], None).as_deref(), Ok("GAIN_3"));
    let error = load(&["ALL", "GAIN_0"], Some("ALL:9,GAIN_4:1")).expect_err("never seen");
    assert!(error.ends_with("has not learned children of condition GAIN_4, only of ALL, GAIN_0"), "{error}");
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
    assert!(error.contains("meta.json") && error.contains("poor"), "{error}");
    let other = sr_prompt::tokenizer_json().replace("\"sin\"", "\"sine\"");
    let error = save(other, "one-step", "basic").expect_err("another vocabulary");
    assert!(error.contains("vocabulary"), "{error}");
}

/// Tests that a learner leaves out what the search has met, so that nothing is proposed to be refused.
#[test]
fn a_learner_of_a_unique_search_proposes_no_expression_twice() {
    let model = trained(60);
    let edits = Language { actions: Actions::Edit, ..Language::default() };
    for language in [Language::default(), edits] {
        let sampling = Sampling {
            max_child_size: 9,
            conditions: Some("ALL:2,TARGET:1".parse().expect("conditions")),
            ..Sampling::default()
        };
        let learner = || Learner::new(Decoder::new(&model), LearnerMode::OneStep, &language, sampling);
        let settings = SearchConfig { population_size: 12, generations: 9, unique: true, ..SearchConfig::basic() };
        let found = |ids: &[&str], policy: &mut dyn Policy| {
            let mut searches: Vec<Search> =
                ids.iter().map(|id| Search::new(instance(id), settings.clone(), 3).expect("a search")).collect();
            let mut children: Vec<Vec<(Expr, Origin)>> = vec![Vec::new(); ids.len()];
            let mut observers: Vec<_> = children
                .iter_mut()
                .map(|children| {
                    |generation: &Generation<'_>| {
                        let new = generation.population.iter().filter(|child| child.origin != Origin::Elite);
                        children.extend(new.map(|child| (child.tree.to_owned(), child.origin)));
                        ControlFlow::Continue(())
                    }
                })
                .collect();
            let outcomes = run(&mut searches, policy, &mut observers).expect("children");
            drop(observers);
            let proposals: Vec<u64> = outcomes.iter().map(|outcome| outcome.evaluations.proposals).collect();
            (children, proposals)
        };
        let (children, proposals) = found(&["a", "b"], &mut learner());
        for (children, &proposals) in children.iter().zip(&proposals) {
            let later = &children[12..];
            let texts: std::collections::HashSet<String> = later.iter().map(|(expr, _)| expr.to_string()).collect();
            assert_eq!(texts.len(), later.len(), "each expression once");
            assert_eq!((later.len(), proposals), (8 * 11, 8 * 11), "nothing was refused");
            let written = later.iter().filter(|(_, origin)| *origin == Origin::Learner).count();
            assert!(written > 80, "{written}");
        }
        assert_eq!(found(&["a"], &mut learner()).0[0], children[0], "whatever is beside it");
        let mut hybrid = Hybrid::new(learner(), Share::Drawn(0.5, Per::Child));
        assert_eq!(found(&["a"], &mut hybrid).1, [8 * 11], "the expert asks itself for what is new");
    }
}
