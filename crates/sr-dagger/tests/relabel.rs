//! Tests of relabelling: states come from the trajectory, labels from the expert, and bytes depend on neither threads
//! nor paths.

use std::collections::{BTreeSet, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use proptest::prelude::*;
use sr_dagger::{
    Counts, Draws, ENOUGH, Error, ExpertConfig, ExpertLabeller, FileOptions, FormulaLabeller, LabelMode, Labeller,
    MOST_DRAWS, Telling, Weights, label_states, relabel_file, visit_states,
};
use sr_engine::random::{Key, Purpose};
use sr_engine::{
    Evaluator, Expert, Instance, Offspring, Origin, Parents, Policy, PolicyError, Population, PrimitiveSet, Recorded,
    Request, Score, Search, SearchConfig, State, Survival, run,
};
use sr_expr::{Columns, Expr, Node, Op};
use sr_trace::{
    Gain, GenerationRecord, GenerationsBuilder, IndividualRecord, Label, LabelParams, LabelSet, Labels, OtherProblem,
    Recorder, TraceHeader, TraceReader, TraceWriter, Trajectory,
};

fn instance_of(id: &str, formula: &str) -> Arc<Instance> {
    let mut rng = Key::new(1, Purpose::Rows, 0).rng();
    let x = Columns::new(30, 2, (0..60).map(|_| rng.uniform(-2.0, 2.0)).collect());
    let formula: Expr = formula.parse().expect("formula");
    let y = sr_expr::reference::predict(&formula, &x, sr_expr::Semantics::Ieee);
    let primitives = PrimitiveSet::new(vec![Op::Add, Op::Mul, Op::Sin], vec![1.0, 2.5], 2).expect("primitives");
    Arc::new(Instance::new(id, x, y, primitives).expect("instance"))
}

fn instance(id: &str) -> Arc<Instance> {
    instance_of(id, "sin(3*x0) + x1*x0")
}

fn config(generations: u32) -> SearchConfig {
    SearchConfig { generations, early_stop_mse: None, ..SearchConfig::basic() }
}

/// The part of a state that a policy can see, without key and clock.
#[derive(Debug, PartialEq)]
struct Seen {
    generation: u32,
    population: Population,
    best: (Expr, Score),
    stagnation: u32,
    generations_left: u32,
    evaluations_left: Option<u64>,
    met: BTreeSet<u64>,
}

impl From<&State<'_>> for Seen {
    fn from(state: &State<'_>) -> Self {
        Seen {
            generation: state.generation,
            population: state.population.clone(),
            best: (state.best.expr.clone(), state.best.score),
            stagnation: state.stagnation,
            generations_left: state.budget.generations,
            evaluations_left: state.budget.evaluations,
            met: state.seen.iter().copied().collect(),
        }
    }
}

/// An expert that remembers the first state of each generation.
#[derive(Default)]
struct Spy {
    seen: Vec<Seen>,
}

impl Policy for Spy {
    fn propose(&mut self, requests: &mut [Request<'_>]) -> Result<(), PolicyError> {
        let states = requests.iter().map(|request| &request.state);
        self.seen.extend(states.filter(|state| state.key.draw == 0).map(Seen::from));
        Expert.propose(requests)
    }
}

impl Labeller for Spy {
    fn mode(&self) -> &'static str {
        "all"
    }

    fn source(&self) -> &'static str {
        "spy"
    }

    fn params(&self, seed: u64, _: usize) -> LabelParams {
        LabelParams { seed, ..LabelParams::default() }
    }

    fn label(&mut self, state: &State<'_>, next: Option<GenerationRecord<'_>>, wanted: usize) -> Labels {
        assert_eq!(state.key.purpose, Purpose::Labels);
        assert!(next.is_none_or(|next| next.generation == state.generation + 1));
        self.seen.push(Seen::from(state));
        ExpertLabeller::default().label(state, next, wanted)
    }
}

fn search(id: &str, config: &SearchConfig, seed: u64, policy: &mut dyn Policy) -> Trajectory {
    let mut searches = [Search::new(instance(id), config.clone(), seed).expect("config")];
    let mut recorders = [Recorder::new(seed)];
    let outcome = run(&mut searches, policy, &mut recorders).expect("the expert never fails").remove(0);
    let [recorder] = recorders;
    recorder.finish(&outcome).expect("recorded")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn relabelled_states_are_the_visited_ones(
        seed in any::<u64>(),
        elitism in 0..2usize,
        plus in any::<bool>(),
        unique in any::<bool>(),
        max_evaluations in prop_oneof![Just(None), Just(Some(150))],
    ) {
        // A (μ + λ) search drops children that are in no trajectory, so the expressions it has seen are unknown there.
        let survival = if plus && !unique { Survival::Plus } else { Survival::Generational };
        let config = SearchConfig { elitism, survival, unique, max_evaluations, ..config(10) };
        let mut visited = Spy::default();
        let trajectory = search("p", &config, seed, &mut visited);
        let mut relabelled = Spy::default();
        label_states(&trajectory, &instance("p"), &config, 1, &mut relabelled).expect("the same problem");
        // The search acted in all but the last state.
        prop_assert_eq!(relabelled.seen.len(), trajectory.generations.len());
        let last = relabelled.seen.pop().expect("a last state");
        prop_assert_eq!(relabelled.seen, visited.seen);
        let record = trajectory.generations.last();
        prop_assert_eq!(last.generation, record.generation);
        prop_assert!(last.population.iter().map(|i| i.tree).eq(record.individuals().map(|i| i.expr)));
        prop_assert_eq!(&*last.best.0, trajectory.best_progression().pop().expect("a best individual").expr);
    }
}

#[test]
fn labels_are_children_of_their_state() {
    let trajectory = search("p", &config(8), 1, &mut Expert);
    let labels =
        label_states(&trajectory, &instance("p"), &config(8), 1, &mut ExpertLabeller::default()).expect("labels");
    assert_eq!(labels.states.len(), 8, "every generation that was visited, the last one included");
    for (state, record) in labels.states.iter().zip(trajectory.generations.iter()) {
        assert_eq!((state.generation, state.state_hash), (record.generation, record.state_hash()));
        assert_eq!(state.children.len(), 19);
        let mut best = f32::MIN;
        for earlier in trajectory.generations.iter().take(state.generation as usize + 1) {
            best = earlier.individuals().map(|i| i.fitness).fold(best, f32::max);
        }
        for label in state.children.iter() {
            let parent = label.child.parents.iter().next().expect("the expert's children have parents");
            let parent = record.individual(parent as usize).fitness;
            let close =
                |gain: f32, over: f32| (gain - (label.child.fitness - over)).abs() <= 1e-5 * gain.abs().max(1.0);
            assert!(close(label.gain_parent, parent) && close(label.gain_best, best), "{label:?}");
            assert!(label.child.edit.is_some());
        }
    }
}

fn labels_of(trajectory: &Trajectory, config: &SearchConfig, labels: ExpertConfig) -> LabelSet {
    label_states(trajectory, &instance("p"), config, 1, &mut ExpertLabeller::new(labels)).expect("labels")
}

#[test]
fn the_best_of_many_are_the_best_new_forms() {
    let (search_config, draws) = (config(8), Draws::Exactly(200));
    let trajectory = search("p", &search_config, 1, &mut Expert);
    let of = |mode, keep| {
        labels_of(&trajectory, &search_config, ExpertConfig { mode, draws, keep, ..ExpertConfig::default() })
    };
    let (top, best, all) = (of(LabelMode::TopK, 5), of(LabelMode::BestOfK, 5), of(LabelMode::TopK, 1000));
    assert_eq!((top.mode.as_str(), top.params.samples, top.params.keep), ("top-k", 200, Some(5)));
    // The same draws, scored one by one.
    let mut expected: Vec<Vec<(f64, usize, Expr)>> = Vec::new();
    visit_states(&trajectory, &instance("p"), &search_config, 1, |state, _, _| {
        let mut offspring = Offspring::default();
        Expert::children(state, 200, &mut offspring);
        let mut found: Vec<(f64, usize, Expr)> = Vec::new();
        for child in offspring.iter() {
            let score = Evaluator::default().score(child.tree, state.instance, state.config);
            let is_new = state.population.iter().all(|individual| individual.tree != child.tree);
            if is_new && score.is_valid() && found.iter().all(|(.., other)| &**other != child.tree) {
                found.push((score.mse, child.tree.size(), child.tree.to_owned()));
            }
        }
        found.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))); // stable
        expected.push(found);
    })
    .expect("states");
    for (index, expected) in expected.iter().enumerate() {
        let forms = |set: &LabelSet| -> Vec<Expr> {
            set.states[index].children.iter().map(|label| label.child.expr.to_owned()).collect()
        };
        let expected: Vec<Expr> = expected.iter().map(|(.., expr)| expr.clone()).collect();
        assert!(expected.len() > 20);
        assert_eq!(forms(&all), expected);
        assert_eq!((forms(&top), forms(&best)), (expected[..5].to_vec(), expected[..1].to_vec()));
        // The statistics of the candidates do not depend on how many are kept.
        let candidates = |set: &LabelSet| set.states[index].children.candidates.expect("they were chosen");
        let found = candidates(&all);
        assert_eq!([candidates(&top), candidates(&best)], [found; 2]);
        assert_eq!((found.drawn, found.distinct as usize), (200, expected.len()));
        let labels = || all.states[index].children.iter();
        let best = trajectory.generations.get(index).expect("the state").best(); // the best so far is carried over
        let improves = |label: &Label<'_>| {
            Gain::of((label.child.mse, label.child.expr.size()), (best.mse, best.expr.size())).is_improvement()
        };
        assert_eq!(found.improving as usize, labels().filter(improves).count());
        let mut gains: Vec<f32> = labels().map(|label| label.gain_best).collect();
        gains.sort_by(f32::total_cmp);
        let at_least = |gain: f32| gains.iter().filter(|&&other| other >= gain).count();
        assert_eq!(found.gains[2], gains[gains.len() - 1]);
        assert!(at_least(found.gains[1]) > gains.len() / 10 && at_least(found.gains[0]) > gains.len() / 2);
    }
    assert!(top.states.iter().flat_map(|state| state.children.iter()).all(|label| label.weight == 1.0));
}

#[test]
fn draws_end_with_enough_improvements_and_weights_are_gains() {
    let config = config(12);
    let trajectory = search("p", &config, 2, &mut Expert);
    let labels = ExpertConfig { mode: LabelMode::TopK, keep: 30, weights: Weights::Gain, ..ExpertConfig::default() };
    let set = labels_of(&trajectory, &config, labels);
    assert_eq!((set.params.samples, set.params.until), (MOST_DRAWS, Some(ENOUGH as u32)));
    assert!(set.params.weighted);
    let mut weighted = 0;
    for (state, record) in set.states.iter().zip(trajectory.generations.iter()) {
        let best = (record.best().mse, record.best().expr.size()); // the best so far is carried over
        for label in state.children.iter() {
            let gain = Gain::of((label.child.mse, label.child.expr.size()), best);
            assert_eq!(label.weight > 0.0, label.child.mse < best.0, "{label:?}");
            assert!(label.weight <= 1.0 && (label.weight < 0.02 || gain.is_improvement()), "{label:?}");
            weighted += usize::from(gain.is_improvement());
        }
    }
    assert!(weighted >= 2 * ENOUGH, "{weighted} improvements");
}

#[test]
fn the_lineage_leads_to_the_experts_winner() {
    let (config, horizon) = (config(6), 9);
    let trajectory = search("p", &config, 3, &mut Expert);
    let set =
        labels_of(&trajectory, &config, ExpertConfig { mode: LabelMode::Lineage, horizon, ..ExpertConfig::default() });
    assert_eq!((set.mode.as_str(), set.params.horizon, set.params.keep), ("lineage", Some(9), None));
    let mut index = 0;
    visit_states(&trajectory, &instance("p"), &config, 1, |state, _, _| {
        let recorded = Recorded {
            generation: state.generation,
            population: state.population.iter().map(|individual| individual.tree.to_owned()).collect(),
            best: Some(state.best.expr.clone()),
            stagnation: state.stagnation,
        };
        let settings = SearchConfig { generations: state.generation + 1 + horizon, ..config.clone() };
        let search = Search::resume_from(instance("p"), settings, state.key.rng().next_u64(), recorded);
        let (mut searches, mut recorders) = ([search.expect("a search")], [Recorder::new(1)]);
        let outcome = run(&mut searches, &mut Expert, &mut recorders).expect("the expert never fails").remove(0);
        let [recorder] = recorders;
        let went_on = recorder.finish(&outcome).expect("recorded");
        assert_eq!(went_on.generations.len(), 1 + horizon as usize);
        let first = went_on.generations.get(1).expect("it went on");
        let ancestors = went_on.lineage()[1].clone();
        let expected: Vec<Expr> = ancestors
            .iter()
            .map(|&index| first.individual(index as usize))
            .filter(|individual| individual.origin != Origin::Elite)
            .map(|individual| individual.expr.to_owned())
            .collect();
        let found: Vec<Expr> = set.states[index].children.iter().map(|label| label.child.expr.to_owned()).collect();
        assert_eq!(found, expected);
        index += 1;
    })
    .expect("states");
    assert!(set.states.iter().any(|state| !state.children.is_empty()));
}

#[test]
fn pooled_labels_may_be_the_searchs_own_children() {
    let config = config(8);
    let trajectory = search("p", &config, 4, &mut Expert);
    // Beside nineteen offspring of the search, the expert's one draw is hardly ever the best.
    let labels = ExpertConfig { mode: LabelMode::Pooled, draws: Draws::Exactly(1), keep: 1, ..ExpertConfig::default() };
    let set = labels_of(&trajectory, &config, labels);
    let own = set.states.iter().filter(|state| {
        let next = trajectory.generation(state.generation + 1);
        let is_own =
            |label: Label<'_>| next.is_some_and(|next| next.individuals().any(|made| made.expr == label.child.expr));
        state.children.iter().any(is_own)
    });
    assert!(own.count() >= 5);
    let none = ExpertConfig { draws: Draws::Exactly(300), ..labels };
    assert_ne!(labels_of(&trajectory, &config, none).states, set.states);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]

    #[test]
    fn the_path_leads_to_the_formula_from_every_unsolved_state(
        formula in sr_expr::testing::expr(2, 9),
        seed in any::<u64>(),
    ) {
        let allowed = [Op::Add, Op::Mul, Op::Sin];
        let fits = formula.nodes().iter().all(|node| match node {
            Node::Op(op) => allowed.contains(op),
            Node::Var(_) => true,
            Node::Const(value) => [1.0, 2.5].contains(value),
        });
        let formula = if fits { formula } else { "sin(x0 * x0) + x1 * 2.5".parse().expect("a formula") };
        let instance = instance_of("p", &formula.to_string());
        let config = config(5);
        let mut searches = [Search::new(instance.clone(), config.clone(), seed).expect("config")];
        let mut recorders = [Recorder::new(seed)];
        let outcome = run(&mut searches, &mut Expert, &mut recorders).expect("the expert never fails").remove(0);
        let [recorder] = recorders;
        let trajectory = recorder.finish(&outcome).expect("recorded");
        let labelled = |telling| {
            let mut labeller = FormulaLabeller::new(telling, formula.clone());
            label_states(&trajectory, &instance, &config, 1, &mut labeller).expect("labels")
        };
        let (path, target) = (labelled(Telling::Path), labelled(Telling::Target));
        prop_assert_eq!((&*path.mode, &*path.source, &*target.mode), ("path", "formula", "target"));
        for (steps, whole) in path.states.iter().zip(&target.states) {
            let record = trajectory.generation(steps.generation).expect("a generation");
            let mut best = (f32::INFINITY, f32::MIN, 0);
            for earlier in trajectory.generations.iter().take(steps.generation as usize + 1) {
                let i = earlier.best(); // decided in f64
                if i.fitness > best.1 {
                    best = (i.mse, i.fitness, i.expr.size());
                }
            }
            let is_solved = best.0 <= 3e-16;
            prop_assert_eq!((steps.children.len(), whole.children.len()), (usize::from(!is_solved), usize::from(!is_solved)));
            for (step, whole) in steps.children.iter().zip(whole.children.iter()) {
                prop_assert_eq!(whole.child.expr, &*formula);
                prop_assert!(Gain::of((step.child.mse, step.child.expr.size()), (best.0, best.2)).is_improvement());
                prop_assert!(record.individuals().all(|i| i.expr != step.child.expr));
                prop_assert!(step.child.expr.size() <= config.limits.max_size);
                // A step writes at most as many nodes as the size limit allows.
                let written = |label: &Label<'_>| match &label.child.edit.as_ref().expect("an edit").replacement {
                    sr_engine::Replacement::Written(tree) => tree.size(),
                    sr_engine::Replacement::Donor { .. } => 0,
                };
                prop_assert!(written(&step) <= config.limits.max_size);
            }
        }
    }
}

/// What a solved search found is a formula that nobody had to know; labels that lead to it are those of one who knew it.
#[test]
fn labels_lead_to_what_the_search_found_where_nobody_knows_the_formula() {
    let config = SearchConfig { early_stop_mse: Some(1e-20), extra_generations: 0, ..config(6) };
    let (instance, mut solved, mut unsolved) = (instance_of("p", "x0 * x0 + x0"), 0, 0);
    for seed in 0..12 {
        let mut searches = [Search::new(instance.clone(), config.clone(), seed).expect("config")];
        let mut recorders = [Recorder::new(seed)];
        let outcome = run(&mut searches, &mut Expert, &mut recorders).expect("the expert never fails").remove(0);
        let [recorder] = recorders;
        let trajectory = recorder.finish(&outcome).expect("recorded");
        for telling in [Telling::Path, Telling::Target] {
            let labelled = |labeller: &mut FormulaLabeller| {
                label_states(&trajectory, &instance, &config, 1, labeller).expect("labels")
            };
            let found = labelled(&mut FormulaLabeller::found(telling, &trajectory));
            assert_eq!((&*found.mode, &*found.source), (telling.name(), "search"));
            if !matches!(trajectory.stop, sr_engine::StopReason::Solved { .. }) {
                unsolved += 1;
                assert!(found.states.iter().all(|state| state.children.is_empty()));
                continue;
            }
            solved += 1;
            let solves = |i: &sr_trace::IndividualRecord<'_>| i.mse < 1e-20;
            let last = trajectory.generations.last();
            let formula = last.individuals().filter(solves).map(|i| i.expr.to_owned()).min_by_key(|tree| tree.size());
            let given = labelled(&mut FormulaLabeller::new(telling, formula.expect("it solved the problem")));
            assert_eq!(found.states, given.states);
        }
    }
    assert!(solved > 4 && unsolved > 0, "{solved} solved, {unsolved} not");
}

/// A search that fits constants finds the law's constants by itself, so labels lead to its structure.
#[test]
fn constants_of_labels_are_fitted_where_those_of_the_search_are() {
    let formula: Expr = "0.7 + 1.9 * (sin(2.3 * x0) * x1)".parse().expect("a formula");
    let instance = instance_of("p", &formula.to_string());
    let config = SearchConfig { population_size: 20, generations: 4, ..SearchConfig::default() };
    let mut searches = [Search::new(instance.clone(), config.clone(), 1).expect("config")];
    let mut recorders = [Recorder::new(1)];
    let outcome = run(&mut searches, &mut Expert, &mut recorders).expect("the expert never fails").remove(0);
    let [recorder] = recorders;
    let trajectory = recorder.finish(&outcome).expect("recorded");
    let mut evaluator = Evaluator::default();
    let mut of = |labels: LabelSet| {
        assert!(labels.states.iter().any(|state| !state.children.is_empty()), "{}", labels.mode);
        for label in labels.states.iter().flat_map(|state| state.children.iter()) {
            let (tree, told) = (label.child.expr, label.child.mse);
            // The constants are already those that fit: to go on gains next to nothing.
            assert_eq!(evaluator.score(tree, &instance, &config).mse as f32, told, "{tree}");
        }
        labels
    };
    let mut target = FormulaLabeller::new(Telling::Target, formula.clone());
    let target = of(label_states(&trajectory, &instance, &config, 1, &mut target).expect("labels"));
    for label in target.states.iter().flat_map(|state| state.children.iter()) {
        assert_eq!(label.child.expr.structure(), formula.core().structure());
        assert!(label.child.mse < 1e-20, "{} for {}", label.child.mse, label.child.expr);
    }
    let mut path = FormulaLabeller::new(Telling::Path, formula.clone());
    let path = of(label_states(&trajectory, &instance, &config, 1, &mut path).expect("labels"));
    let is_improvement = |label: Label<'_>| label.gain_best > 0.0;
    assert!(path.states.iter().flat_map(|state| state.children.iter()).all(is_improvement));
    let labels = ExpertConfig { mode: LabelMode::TopK, draws: Draws::Exactly(100), ..ExpertConfig::default() };
    let top = of(label_states(&trajectory, &instance, &config, 1, &mut ExpertLabeller::new(labels)).expect("labels"));
    // No two labels of a state are one structure, and none is in the population.
    for state in &top.states {
        let record = trajectory.generation(state.generation).expect("a generation");
        let mut structures: HashSet<u64> = record.individuals().map(|made| config.identity(made.expr)).collect();
        let is_new = |label: Label<'_>| structures.insert(config.identity(label.child.expr));
        assert!(state.children.iter().all(is_new));
    }
}

#[test]
fn formulas_that_a_search_could_not_make_are_not_told() {
    let (config, trajectory) = (config(3), search("p", &config(3), 1, &mut Expert));
    let large = std::iter::repeat_n("x0", 20).collect::<Vec<_>>().join(" + ");
    for formula in ["exp(x0)", "x0 + 3.0", "x2", &large] {
        let mut labeller = FormulaLabeller::new(Telling::Target, formula.parse().expect(formula));
        let set = label_states(&trajectory, &instance("p"), &config, 1, &mut labeller).expect("labels");
        assert!(set.states.iter().all(|state| state.children.is_empty()), "{formula}");
    }
}

#[test]
fn labels_use_the_primitives_of_the_search() {
    let trajectory = search("p", &config(5), 1, &mut Expert);
    let searched = instance("p");
    let primitives = PrimitiveSet::new(vec![Op::Div], vec![7.0], 2).expect("primitives");
    let own = Instance::new("p", searched.x().clone(), searched.y().to_vec(), primitives).expect("instance");
    let labels = |instance: &Instance| {
        label_states(&trajectory, instance, &config(5), 1, &mut ExpertLabeller::default()).expect("labels")
    };
    assert_eq!(labels(&own), labels(&searched));
}

#[test]
fn labels_differ_from_the_search_and_with_seed_and_state() {
    let first = search("p", &config(5), 1, &mut Expert);
    let second = search("p", &config(5), 2, &mut Expert);
    let labels = |trajectory: &Trajectory, seed| {
        label_states(trajectory, &instance("p"), &config(5), seed, &mut ExpertLabeller::default())
            .expect("labels")
            .states
    };
    assert_eq!(labels(&first, 1), labels(&first, 1));
    assert_ne!(labels(&first, 1), labels(&first, 2));
    // The initial expressions are the same, but not the random numbers.
    let exprs = |trajectory: &Trajectory, generation: usize| -> Vec<Expr> {
        labels(trajectory, 1)[generation].children.iter().map(|label| label.child.expr.to_owned()).collect()
    };
    assert_ne!(exprs(&first, 0), exprs(&second, 0));
    let bred: Vec<Expr> =
        first.generation(1).expect("five generations").individuals().skip(1).map(|i| i.expr.to_owned()).collect();
    assert_ne!(exprs(&first, 0), bred, "the search's own stream must not be used again");
    // If one individual of a state is replaced, the labels of that state change, those of the others do not.
    let mut builder = GenerationsBuilder::new(0);
    for record in first.generations.iter() {
        // The children of the changed state have other parents now.
        let alike = |individual| IndividualRecord { parents: Parents::None, edit: None, ..individual };
        let individual = |slot| alike(record.individual(if record.generation == 2 { 3 } else { slot }));
        let individuals = (0..record.len()).map(individual);
        builder.push(individuals, record.best_index, record.improved).expect("it keeps the rules");
    }
    let changed = Trajectory { generations: builder.build().expect("five generations"), ..first.clone() };
    assert_ne!(labels(&first, 1)[2], labels(&changed, 1)[2]);
    assert_eq!(labels(&first, 1)[1], labels(&changed, 1)[1]);
}

fn write(path: &Path) -> Vec<Trajectory> {
    let config = config(6);
    let trajectories: Vec<Trajectory> =
        (0..9).map(|n| search(&format!("p{}", n / 2), &config, n, &mut Expert)).collect();
    let header = TraceHeader::of_expert("problems.sr", instance("p").primitives(), &config, "basic", 1);
    let mut writer = TraceWriter::create(path, &header).expect("create");
    trajectories.iter().for_each(|trajectory| writer.append(trajectory).expect("append"));
    writer.finish().expect("finish");
    trajectories
}

fn relabel(path: &Path, out: Option<&Path>, seed: u64) -> Result<Counts, Error> {
    relabel_with(path, &FileOptions { out, seed, ..FileOptions::default() })
}

fn relabel_with(path: &Path, options: &FileOptions<'_>) -> Result<Counts, Error> {
    relabel_file(path, options, |id| Some(instance(id)), |_| Ok(ExpertLabeller::default()), |_| ())
}

#[test]
fn a_relabelled_file_keeps_what_the_search_did() {
    let folder = tempfile::tempdir().expect("folder");
    let (path, out) = (folder.path().join("a.sr"), folder.path().join("b.sr"));
    let trajectories = write(&path);
    let before = std::fs::read(&path).expect("the file");
    let counts = relabel(&path, Some(&out), 1).expect("relabel");
    assert_eq!((counts.trajectories, counts.states, counts.labels), (9, 54, 1026));
    assert!((1..1026).contains(&counts.improving));
    assert_eq!(std::fs::read(&path).expect("the file"), before);

    let reader = TraceReader::open(&out).expect("open");
    assert!(reader.header().dagger);
    assert_eq!(reader.header().original_source.as_deref(), Some("basic_sr"));
    for (read, written) in reader.zip(&trajectories) {
        let read = read.expect("a trajectory");
        assert_eq!(read.generations, written.generations);
        for generation in 0..6 {
            assert_eq!(read.dagger_expressions(generation).expect("labels").len(), 19, "the last one, too");
        }
    }
}

#[test]
fn label_sets_lie_side_by_side_and_equal_ones_once() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("a.sr");
    write(&path);
    let seeds = |path: &Path| -> Vec<u64> {
        let trajectory = TraceReader::open(path).expect("open").next().expect("one").expect("whole");
        trajectory.labels.iter().map(|set| set.params.seed).collect()
    };
    for (seed, expected) in [(1, vec![1]), (2, vec![1, 2]), (1, vec![2, 1])] {
        relabel(&path, None, seed).expect("in place");
        assert_eq!(seeds(&path), expected);
    }
}

#[test]
fn labels_do_not_depend_on_the_number_of_threads() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("a.sr");
    write(&path);
    let bytes = |threads: usize| {
        let out = folder.path().join(format!("{threads}.sr"));
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        pool.install(|| relabel(&path, Some(&out), 1)).expect("relabel");
        std::fs::read(out).expect("the file")
    };
    let one = bytes(1);
    assert_eq!(one, bytes(2));
    assert_eq!(one, bytes(8));
}

#[test]
fn other_problems_are_refused_and_the_file_is_left_alone() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("a.sr");
    write(&path);
    let before = std::fs::read(&path).expect("the file");
    let relabel_with = |instances: fn(&str) -> Option<Arc<Instance>>| {
        let options = FileOptions { seed: 1, ..FileOptions::default() };
        relabel_file(&path, &options, instances, |_| Ok(ExpertLabeller::default()), |_| ()).expect_err("other problems")
    };
    let error = relabel_with(|id| (id != "p1").then(|| instance(id)));
    assert!(matches!(error, Error::UnknownProblem { problem } if problem == "p1"));
    let error = relabel_with(|id| Some(instance_of(id, "x0 + x1")));
    assert!(matches!(error, Error::OtherProblem(OtherProblem::Fitness { generation: 0, .. })), "{error}");
    let error = relabel_with(|id| {
        let primitives = PrimitiveSet::new(vec![Op::Add], vec![], 1).expect("primitives");
        Some(Arc::new(Instance::new(id, Columns::new(3, 1, vec![1.0; 3]), vec![1.0; 3], primitives).expect("instance")))
    });
    assert!(matches!(error, Error::OtherProblem(OtherProblem::Variables { expected: 2, found: 1, .. })), "{error}");
    assert_eq!(std::fs::read(&path).expect("the file"), before);
    assert!(!sr_codec::partial_path(&path).exists());
}

#[test]
fn a_cut_trace_is_not_relabelled() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("a.sr");
    write(&path);
    let bytes = std::fs::read(&path).expect("the file");
    std::fs::write(&path, &bytes[..bytes.len() - 100]).expect("write");
    assert!(matches!(relabel(&path, None, 1), Err(Error::Trace(_))));
    assert_eq!(std::fs::read(&path).expect("the file").len(), bytes.len() - 100);
    assert!(!sr_codec::partial_path(&path).exists());
}

#[test]
fn shards_merge_into_the_bytes_of_one_run() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("a.sr");
    write(&path);
    let name = |name: &str| folder.path().join(name);
    relabel(&path, Some(&name("whole.sr")), 1).expect("relabel");
    let shards: Vec<_> = (0..3).map(|i| name(&format!("{i}.sr"))).collect();
    for (i, out) in shards.iter().enumerate() {
        let options = FileOptions { out: Some(out), seed: 1, shard: Some((i, 3)), ..FileOptions::default() };
        relabel_with(&path, &options).expect("relabel");
    }
    assert_eq!(sr_trace::merge_traces(&shards, name("merged.sr")).expect("merge"), 9);
    let [whole, merged] = ["whole.sr", "merged.sr"].map(|file| std::fs::read(name(file)).expect("the file"));
    assert!(whole == merged);
}

#[test]
fn an_interrupted_run_is_resumed_to_the_same_bytes_and_counts() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("a.sr");
    write(&path);
    relabel(&path, None, 7).expect("an older set of labels");
    let (whole, out) = (folder.path().join("whole.sr"), folder.path().join("out.sr"));
    let expected = relabel(&path, Some(&whole), 1).expect("relabel");
    let bytes = std::fs::read(&whole).expect("the file");
    let resume = FileOptions { out: Some(&out), seed: 1, resume: true, ..FileOptions::default() };
    for end in (0..bytes.len()).step_by(bytes.len() / 20) {
        std::fs::write(sr_codec::partial_path(&out), &bytes[..end]).expect("cut");
        assert_eq!(relabel_with(&path, &resume).expect("resumed"), expected);
        assert!(std::fs::read(&out).expect("the file") == bytes, "cut at {end}");
        std::fs::remove_file(&out).expect("removed");
    }

    // The run is stopped at once, and then resumed with the partial file of another run.
    let stop = AtomicBool::new(true);
    let stopped = relabel_with(&path, &FileOptions { stop: Some(&stop), ..resume }).expect("stopped");
    assert!(stopped.stopped && stopped.trajectories == 0);
    let partial = sr_codec::partial_path(&out);
    std::fs::write(&partial, &bytes[..bytes.len() / 2]).expect("cut");
    let error = relabel_with(&path, &FileOptions { seed: 2, ..resume }).expect_err("another seed");
    assert!(matches!(error, Error::OtherLabels { record: 0, .. }), "{error}");
    assert!(relabel_with(&path, &FileOptions { shard: Some((1, 2)), ..resume }).is_err());
    assert_eq!(relabel_with(&path, &resume).expect("it is still there"), expected);
    assert!(std::fs::read(&out).expect("the file") == bytes && !partial.exists());
    let again = relabel_with(&path, &resume).expect("there is nothing left to do");
    assert_eq!(again, Counts { was_there: true, ..expected });
}

#[test]
fn no_label_is_better_for_an_error_that_is_no_number() {
    // Errors are 0 or more, and predictions of some children overflow: products of x1 are out of range.
    let x = Columns::new(30, 2, (0..60).map(|i| if i < 30 { f64::from(i) / 10.0 } else { 1e200 }).collect());
    let y = (0..30).map(|i| f64::from(i) / 5.0).collect();
    let primitives = PrimitiveSet::new(vec![Op::Add, Op::Mul], vec![1.0, 2.5], 2).expect("primitives");
    let instance = Arc::new(Instance::new("p", x, y, primitives).expect("instance"));
    let config = config(6);
    let mut searches = [Search::new(instance.clone(), config.clone(), 1).expect("config")];
    let mut recorders = [Recorder::new(1)];
    let outcome = run(&mut searches, &mut Expert, &mut recorders).expect("the expert never fails").remove(0);
    let [recorder] = recorders;
    let trajectory = recorder.finish(&outcome).expect("recorded");
    let mut invalid = 0;
    for mode in LabelMode::ALL {
        let draws = Draws::Exactly(100);
        let labels = ExpertConfig { mode, draws, weights: Weights::Gain, ..ExpertConfig::default() };
        let set = label_states(&trajectory, &instance, &config, 1, &mut ExpertLabeller::new(labels)).expect("labels");
        for label in set.states.iter().flat_map(|state| state.children.iter()) {
            assert!(!label.gain_best.is_nan() && !label.gain_parent.is_nan(), "{label:?}");
            let is_valid = label.child.mse.is_finite();
            invalid += usize::from(!is_valid);
            assert!(is_valid || (label.weight == 0.0 && label.gain_best <= 0.0), "{label:?}");
            assert!(
                is_valid || matches!(mode, LabelMode::All | LabelMode::Lineage),
                "chosen as one of the best: {label:?}"
            );
        }
    }
    assert!(invalid > 0, "there are such children");
}
