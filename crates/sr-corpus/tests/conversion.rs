//! Tests of the conversion of searches to corpora and back.

mod support;

use std::collections::HashSet;
use std::fs;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sr_corpus::{
    Context, Corpus, CorpusHeader, Direct, Error, Example, Exclude, Excluded, Mode, OneStep, Options, ProblemRef,
    Problems, Shape, Side, Split, SplitBy, Target, Targets, convert_problems, convert_trace, find_problems,
    one_step_examples,
};
use sr_engine::{Expert, Origin, Policy, PolicyError, Request, State};
use sr_expr::Expr;
use sr_problems::{Blocklist, ProblemSet, RandomParams, parse_operators};
use sr_prompt::{Condition, PromptState, PromptWriter, decode_generation, infix};
use sr_trace::{
    Gain, IndividualRecord, Label, LabelParams, LabelSet, StateLabels, TraceHeader, TraceReader, TraceWriter,
    Trajectory,
};

const GENERATIONS: usize = 6;
const POPULATION: usize = 20;
const PROBLEMS: usize = 8;

/// A folder with `problems.sr` and `trace.sr` of one search each, and the prompts a learner would have read on the way.
struct Fixture {
    folder: tempfile::TempDir,
    live_prompts: Vec<Vec<Vec<i32>>>,
}

/// Returns a writer of the richest context.
fn writer() -> PromptWriter {
    PromptWriter { context: Context::SuperRich, ..PromptWriter::default() }
}

/// Proposes as the expert does and writes the prompts that a learner would read.
struct Reading<'a>(&'a mut Vec<Vec<i32>>);

impl Policy for Reading<'_> {
    fn propose(&mut self, requests: &mut [Request<'_>]) -> Result<(), PolicyError> {
        let write = |state: &State<'_>| {
            writer().write(&PromptState::of(state), state.instance.x(), state.instance.y()).expect("a prompt")
        };
        self.0.extend(requests.iter().map(|request| write(&request.state)));
        Expert.propose(requests)
    }
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let params = RandomParams::arith(parse_operators("+,-,*,sin").expect("operators"), vec![1.0, 2.5], 0.4, 3);
        let mut prompts = Vec::new();
        support::searches(folder.path(), params, PROBLEMS as u32, GENERATIONS as u32, &mut Reading(&mut prompts));
        let live_prompts = prompts.chunks(GENERATIONS - 1).map(<[_]>::to_vec).collect();
        Fixture { folder, live_prompts }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn problems(&self) -> Problems {
        Problems::open(self.path("problems.sr")).expect("the problem set")
    }

    fn trajectories(&self) -> Vec<Trajectory> {
        TraceReader::open(self.path("trace.sr")).expect("the trace").collect::<Result<_, _>>().expect("whole")
    }

    fn convert(&self, options: &Options<'_>, out: &str) -> sr_corpus::Result<sr_corpus::Counts> {
        convert_trace(&self.path("trace.sr"), &self.problems(), options, &self.path(out), || {})
    }

    /// The states of both sides.
    fn states(&self, out: &str) -> Vec<OneStep> {
        let sides = ["train.sr", "val.sr"].map(|name| read(&self.path(out).join(name)));
        let states = sides.into_iter().flatten().map(|example| match example {
            Example::OneStep(state) | Example::Autoregressive(state) => state,
            Example::Direct(_) => panic!("not a state"),
        });
        states.collect()
    }

    /// The trace again, each state with labels: its first three individuals in reverse order, weighted 1, ½, ⅓.
    fn relabelled(&self) -> PathBuf {
        let path = self.path("relabelled.sr");
        let header = TraceReader::open(self.path("trace.sr")).expect("the trace").header().clone();
        let mut writer = TraceWriter::create(&path, &TraceHeader { dagger: true, ..header }).expect("created");
        for mut trajectory in self.trajectories() {
            let states = trajectory.generations.iter().take(GENERATIONS - 1).map(|record| {
                let labels = (0..3_u8).map(|n| {
                    let (parents, edit) = (sr_engine::Parents::None, None);
                    let child = IndividualRecord { parents, edit, ..record.individual(2 - usize::from(n)) };
                    Label { child, gain_parent: 0.0, gain_best: 0.0, weight: 1.0 / f32::from(n + 1) }
                });
                let children = labels.collect();
                StateLabels { generation: record.generation, state_hash: record.state_hash(), children }
            });
            let states = states.collect();
            let params = LabelParams { seed: 1, samples: 3, ..LabelParams::default() };
            trajectory.add_labels(LabelSet { mode: "all".into(), params, source: "basic_sr".into(), states });
            writer.append(&trajectory).expect("written");
        }
        writer.finish().expect("finished");
        path
    }
}

fn read(path: &Path) -> Vec<Example> {
    Corpus::open(path).expect("a corpus").read_all().expect("whole")
}

fn next_generation(include_elite: bool) -> Options<'static> {
    Options { targets: Targets::NextGeneration { include_elite }, ..Options::default() }
}

#[test]
fn every_child_but_the_elite_is_an_example() {
    let fixture = Fixture::new();
    let counts = fixture.convert(&next_generation(false), "a").expect("converted");
    assert_eq!((counts.train + counts.val) as usize, PROBLEMS * (GENERATIONS - 1) * (POPULATION - 1));
    assert!(counts.train > 0 && counts.val > 0);
    assert!(counts.bytes_per_example < 60.0, "{} bytes an example", counts.bytes_per_example);
    let counts = fixture.convert(&next_generation(true), "b").expect("converted");
    assert_eq!((counts.train + counts.val) as usize, PROBLEMS * (GENERATIONS - 1) * POPULATION);
    for state in fixture.states("a") {
        assert_eq!(state.population.len(), POPULATION);
        assert!(state.targets.iter().map(|target| target.slot).eq(1..POPULATION as u32), "the elite has slot 0");
    }
}

#[test]
fn the_corpus_gives_the_prompt_that_the_search_would_have_given() {
    let fixture = Fixture::new();
    fixture.convert(&next_generation(false), "a").expect("converted");
    let ids: Vec<String> = fixture.trajectories().into_iter().map(|trajectory| trajectory.problem_id).collect();
    let (states, problems) = (fixture.states("a"), fixture.problems());
    assert_eq!(states.len(), PROBLEMS * (GENERATIONS - 1));
    for state in states {
        let problem = ids.iter().position(|id| *id == state.problem.id).expect("a problem of the trace");
        let data = problems.get(&state.problem).expect("of the set");
        let prompt = writer().write(&state.prompt_state(), &data.x, &data.y).expect("a prompt");
        assert_eq!(prompt, fixture.live_prompts[problem][state.generation as usize]);
    }
}

#[test]
fn what_is_written_is_read_again_and_equal_runs_give_equal_bytes() {
    let fixture = Fixture::new();
    let options = Options { sample_fraction: 0.5, jsonl: true, ..Options::default() };
    fixture.convert(&options, "a").expect("converted");
    fixture.convert(&options, "b").expect("converted");
    for name in ["train.sr", "val.sr", "train.jsonl", "val.jsonl"] {
        let [a, b] = ["a", "b"].map(|out| fs::read(fixture.path(out).join(name)).expect("written"));
        assert_eq!(a, b, "{name}");
    }
    let mut read = fixture.states("a");
    for trajectory in fixture.trajectories() {
        let position = read.iter().position(|state| state.problem.id == trajectory.problem_id).expect("its states");
        let problem = read[position].problem.clone();
        let made = one_step_examples(&trajectory, &problem, &options).expect("examples");
        let rest = read.split_off(position + made.len());
        assert_eq!(read.split_off(position), made);
        read.extend(rest);
    }
    assert!(read.is_empty());
}

#[test]
fn a_smaller_sample_is_part_of_a_larger_one() {
    let fixture = Fixture::new();
    let slots = |sample_fraction, out: &str| -> HashSet<(String, u32, u32)> {
        fixture.convert(&Options { sample_fraction, ..Options::default() }, out).expect("converted");
        let states = fixture.states(out).into_iter().flat_map(|state| {
            let slots: Vec<u32> = state.targets.iter().map(|target| target.slot).collect();
            slots.into_iter().map(move |slot| (state.problem.id.clone(), state.generation, slot))
        });
        states.collect()
    };
    let (all, half, tenth) = (slots(1.0, "all"), slots(0.5, "half"), slots(0.1, "tenth"));
    assert!(tenth.is_subset(&half) && half.is_subset(&all));
    assert!(half.len().abs_diff(all.len() / 2) < all.len() / 10, "{} of {}", half.len(), all.len());
}

#[test]
fn a_few_states_of_each_search_are_part_of_more_and_have_populations_of_their_own() {
    let fixture = Fixture::new();
    let generations = |most: Option<u32>, out: &str| -> HashSet<(String, u32)> {
        let options = Options { states_per_search: most.and_then(NonZeroU32::new), ..Options::default() };
        fixture.convert(&options, out).expect("converted");
        let states = fixture.states(out);
        let populations: HashSet<(String, Vec<String>)> = states
            .iter()
            .map(|state| {
                let population = state.population.iter().map(|individual| individual.expr.to_string()).collect();
                (state.problem.id.clone(), population)
            })
            .collect();
        assert_eq!(populations.len(), states.len());
        for name in ["train.sr", "val.sr"] {
            let corpus = Corpus::open(fixture.path(out).join(name)).expect("a corpus");
            assert_eq!(corpus.header().states_per_search.map(NonZeroU32::get), most);
        }
        states.into_iter().map(|state| (state.problem.id.clone(), state.generation)).collect()
    };
    let (one, two, all) = (generations(Some(1), "one"), generations(Some(2), "two"), generations(None, "all"));
    assert!(one.is_subset(&two) && two.is_subset(&all));
    assert_eq!((one.len(), two.len(), all.len()), (PROBLEMS, 2 * PROBLEMS, (GENERATIONS - 1) * PROBLEMS));
    assert_eq!(generations(Some(1000), "most"), all);
    let distinct: HashSet<u32> = one.iter().map(|(_, generation)| *generation).collect();
    assert!(distinct.len() > 2, "of all stages: {distinct:?}");
}

#[test]
fn ancestors_are_those_of_the_true_winner() {
    let fixture = Fixture::new();
    let targets = Targets::Ancestors { include_elite: false };
    fixture.convert(&Options { targets, ..Options::default() }, "a").expect("converted");
    let states = fixture.states("a");
    let mut expected = 0;
    for trajectory in fixture.trajectories() {
        for (generation, line) in trajectory.lineage().into_iter().enumerate().skip(1) {
            let record = trajectory.generations.get(generation).expect("of the lineage");
            let made: Vec<u32> =
                line.into_iter().filter(|&slot| record.individual(slot as usize).origin != Origin::Elite).collect();
            let is_it = |state: &&OneStep| {
                state.problem.id == trajectory.problem_id && state.generation as usize == generation - 1
            };
            let found = states.iter().find(is_it).map(|state| state.targets.iter().map(|t| t.slot).collect::<Vec<_>>());
            assert_eq!(found.unwrap_or_default(), made);
            expected += made.len();
        }
    }
    assert_eq!(states.iter().map(|state| state.targets.len()).sum::<usize>(), expected);
    assert!(expected > 0);
}

fn autoregressive(fitness: bool) -> Options<'static> {
    Options { shape: Shape::WholeGeneration { fitness }, ..Options::default() }
}

#[test]
fn an_autoregressive_example_is_a_whole_generation() {
    let fixture = Fixture::new();
    let counts = fixture.convert(&autoregressive(true), "a").expect("converted");
    assert_eq!((counts.train + counts.val) as usize, PROBLEMS * (GENERATIONS - 1));
    let corpus = Corpus::open(fixture.path("a").join("train.sr")).expect("a corpus");
    let CorpusHeader { mode, target_fitness, include_elite, .. } = corpus.header();
    assert_eq!((*mode, *target_fitness, *include_elite), (Mode::Autoregressive, Some(true), true));
    let trajectories = fixture.trajectories();
    for example in read(&fixture.path("a").join("val.sr")) {
        assert_eq!(example.n_targets(), 1);
        let Example::Autoregressive(state) = example else { panic!("not autoregressive") };
        let trajectory = trajectories.iter().find(|t| t.problem_id == state.problem.id).expect("its trajectory");
        let next = || trajectory.generation(state.generation + 1).expect("the next generation").individuals();
        assert!(state.targets.iter().map(|t| (&**t.expr, t.fitness)).eq(next().map(|i| (i.expr, i.fitness))));
        for errors in [true, false] {
            let ids = state.encode_generation(errors).expect("a target");
            let read = decode_generation(&ids[..ids.len() - 1], &state.problem.primitives, 63);
            assert!(read.into_iter().map(|expr| expr.expect("well-formed")).eq(next().map(|i| i.expr.to_owned())));
        }
    }

    // A sample is of trajectories, which are then whole.
    let half = Options { sample_fraction: 0.5, ..autoregressive(false) };
    let counts = fixture.convert(&half, "b").expect("converted");
    let ids: HashSet<String> = fixture.states("b").into_iter().map(|state| state.problem.id.clone()).collect();
    assert!(!ids.is_empty() && ids.len() < PROBLEMS, "{} problems", ids.len());
    assert_eq!((counts.train + counts.val) as usize, ids.len() * (GENERATIONS - 1));
}

#[test]
fn autoregressive_text_is_the_next_population_with_or_without_fitness() {
    let fixture = Fixture::new();
    for fitness in [true, false] {
        let options = Options { jsonl: true, ..autoregressive(fitness) };
        let counts = fixture.convert(&options, "a").expect("converted");
        let text = fs::read_to_string(fixture.path("a").join("train.jsonl")).expect("written");
        assert_eq!(text.lines().count() as u64, counts.train);
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert!(lines[0]["metadata"].get("slot").is_none());
        for pair in lines[..GENERATIONS - 1].windows(2) {
            let population = pair[1]["population"].as_str().expect("a text");
            let expected = match fitness {
                true => population.to_owned(),
                false => {
                    let words = population.split(" <FITNESS>").enumerate();
                    // Each word but the first begins with the fitness of the individual before.
                    let names =
                        words.map(|(n, word)| if n == 0 { word } else { word.split_once(' ').unwrap_or(("", "")).1 });
                    names.filter(|name| !name.is_empty()).collect::<Vec<_>>().join(" ")
                }
            };
            assert_eq!(pair[0]["target"], expected);
        }
    }
}

#[test]
fn the_context_changes_what_is_told_and_nothing_else() {
    let fixture = Fixture::new();
    let problems = fixture.problems();
    let mut examples = Vec::new();
    for context in Context::ALL {
        let options = Options { context, jsonl: true, ..Options::default() };
        fixture.convert(&options, context.name()).expect("converted");
        let path = fixture.path(context.name()).join("train.sr");
        assert_eq!(Corpus::open(&path).expect("a corpus").header().context, context);
        examples.push(read(&path));
        let Example::OneStep(state) = &examples[0][0] else { panic!("not one-step") };
        let data = problems.get(&state.problem).expect("of the set");
        let text = fs::read_to_string(path.with_extension("jsonl")).expect("written");
        let line: serde_json::Value = serde_json::from_str(text.lines().next().expect("a line")).expect("JSON");
        assert_eq!(line["context"], infix::context(context, 0, &state.problem.primitives, &data.x, &data.y));
    }
    assert!(examples[0] == examples[1] && examples[0] == examples[2]);
    let header = |name: &str| fs::read(fixture.path(name).join("train.sr")).expect("written");
    assert_ne!(header("basic"), header("rich"));
}

#[test]
fn excluded_formulas_are_on_neither_side_and_counted() {
    let fixture = Fixture::new();
    let problems = fixture.problems();
    let test_formula = problems.by_id(&fixture.trajectories()[2].problem_id).expect("a problem").source.clone();
    let test_formula = test_formula.expect("a formula");
    let same = problems.iter().filter(|p| p.as_ref().expect("whole").source.as_ref() == Some(&test_formula)).count();
    let excluded = test_formula.clone();
    let options = Options { exclude: Exclude::new(move |formula| *formula == excluded), ..Options::default() };
    let per_search = (GENERATIONS - 1) * (POPULATION - 1);
    let counts = fixture.convert(&options, "a").expect("converted");
    assert_eq!(counts.excluded.problem as usize, same * per_search);
    assert_eq!((counts.train + counts.val + counts.excluded.total()) as usize, PROBLEMS * per_search);
    let counts = convert_problems(&problems, &options, &fixture.path("b"), || {}).expect("converted");
    assert_eq!(counts.excluded, Excluded { problem: same as u64, ..Excluded::default() });
    for out in ["a", "b"] {
        for example in ["train.sr", "val.sr"].into_iter().flat_map(|name| read(&fixture.path(out).join(name))) {
            assert_ne!(problems.get(example.problem()).expect("of the set").source.as_ref(), Some(&test_formula));
        }
    }
}

#[test]
fn the_training_side_holds_no_excluded_expression() {
    let fixture = Fixture::new();
    // x0 + x0 however it is written: many individuals and, with this seed, no formula of the set.
    let mut list = Blocklist::default();
    list.insert(&"2*x3".parse::<Expr>().expect("a formula"));
    let list = Arc::new(list);
    let held = |state: &OneStep| {
        let population = state.population.iter().filter(|individual| list.contains(&individual.expr)).count();
        (population, state.targets.iter().filter(|target| list.contains(&target.expr)).count())
    };
    for (shape, mode) in [(Shape::EachChild, "one-step"), (Shape::WholeGeneration { fitness: true }, "autoregressive")]
    {
        let plain = Options { shape, val_fraction: 0.3, ..Options::default() };
        let excluding = Options { exclude: Exclude::listed(list.clone()), ..plain.clone() };
        let (all, some) = (
            fixture.convert(&plain, "all").expect("converted"),
            fixture.convert(&excluding, "some").expect("converted"),
        );
        let count = |side: &str| -> (u64, u64, u64) {
            let mut counts = (0, 0, 0);
            for example in read(&fixture.path("all").join(side)) {
                let (Example::OneStep(state) | Example::Autoregressive(state)) = &example else {
                    panic!("not a state")
                };
                let (population, targets) = held(state);
                counts.0 += if population > 0 { example.n_targets() as u64 } else { 0 };
                counts.1 += match (population, mode) {
                    (1.., _) => 0,
                    (0, "one-step") => targets as u64,
                    (0, _) => u64::from(targets > 0),
                };
                counts.2 += 1;
            }
            counts
        };
        let (population, target, _) = count("train.sr");
        assert!(population > 0 && target > 0, "{mode}: the test shows nothing");
        assert_eq!(some.excluded, Excluded { population, target, ..Excluded::default() }, "{mode}");
        assert_eq!((some.train + population + target, some.val), (all.train, all.val), "{mode}");
        let left = read(&fixture.path("some/train.sr")).into_iter();
        assert!(
            left.map(|example| match example {
                Example::OneStep(state) | Example::Autoregressive(state) => held(&state),
                Example::Direct(_) => panic!("not a state"),
            })
            .all(|held| held == (0, 0)),
            "{mode}"
        );
        // The other side is for judging, and stays.
        let side = |out: &str| read(&fixture.path(out).join("val.sr"));
        assert!(side("all") == side("some"), "{mode}");
    }
}

#[test]
fn a_validation_formula_is_not_trained_on_in_other_words() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut set = sr_problems::suite("simple", 1).expect("a suite");
    let formulas = ["x0 + x1", "x1 + x0", "x1*x0 + 1", "1 + x0*x1", "x0 - x1"];
    set.problems.retain(|problem| problem.x.n_columns() == 2);
    set.problems.truncate(formulas.len());
    let n = set.problems.len();
    for (problem, formula) in set.problems.iter_mut().zip(formulas) {
        problem.source = Some(formula.parse().expect("a formula"));
    }
    let path = folder.path().join("problems.sr");
    set.write(&path).expect("written");
    let problems = Problems::open(&path).expect("the set");
    let mut twins = 0;
    for seed in 0..8 {
        let options = Options { val_fraction: 0.4, split_by: SplitBy::Function, seed, ..Options::default() };
        let out = folder.path().join(seed.to_string());
        let Ok(counts) = convert_problems(&problems, &options, &out, || {}) else { panic!("no examples") };
        assert_eq!((counts.train + counts.val + counts.excluded.validation) as usize, n);
        twins += counts.excluded.validation;
        let mut list = Blocklist::default();
        let formula = |example: &Example| match example {
            Example::Direct(Direct { target, .. }) => target.clone(),
            _ => panic!("not a direct example"),
        };
        read(&out.join("val.sr")).iter().for_each(|example| list.insert(&formula(example)));
        assert!(!read(&out.join("train.sr")).iter().any(|example| list.contains(&formula(example))));
    }
    assert!(twins > 0, "the test shows nothing");
}

#[test]
fn dagger_pairs_the_visited_population_with_the_labels_of_that_state() {
    let fixture = Fixture::new();
    let trace = fixture.relabelled();
    let options = Options { targets: Targets::Labels, ..Options::default() };
    let out = fixture.path("a");
    let counts = convert_trace(&trace, &fixture.problems(), &options, &out, || {}).expect("converted");
    assert_eq!((counts.train + counts.val) as usize, PROBLEMS * (GENERATIONS - 1) * 3);
    assert!(Corpus::open(out.join("val.sr")).expect("a corpus").header().dagger);
    let trajectories = fixture.trajectories();
    for state in fixture.states("a") {
        let trajectory = trajectories.iter().find(|t| t.problem_id == state.problem.id).expect("its trajectory");
        let visited = trajectory.generation(state.generation).expect("its generation").individuals().map(|i| i.expr);
        assert!(state.population.iter().map(|i| &**i.expr).eq(visited.clone()));
        assert!(state.targets.iter().map(|t| &**t.expr).eq(visited.take(3).rev()));
        assert_eq!(state.targets.iter().map(|t| t.weight).collect::<Vec<_>>(), [1.0, 0.5, 1.0 / 3.0]);
    }
}

#[test]
fn labels_that_were_chosen_for_their_gain_are_learned_by_its_class() {
    let fixture = Fixture::new();
    let problems = fixture.problems();
    let mut classes = HashSet::new();
    for mut trajectory in fixture.trajectories() {
        let states = trajectory.generations.iter().zip(trajectory.generations.iter().skip(1)).map(|(record, next)| {
            let alike = |child| IndividualRecord { parents: sr_engine::Parents::None, edit: None, ..child };
            let label = |child| Label { child: alike(child), gain_parent: 0.0, gain_best: 0.0, weight: 1.0 };
            let children = next.individuals().map(label).collect();
            StateLabels { generation: record.generation, state_hash: record.state_hash(), children }
        });
        let states = states.collect();
        let mode = "top-k".into();
        let set = LabelSet { mode, params: LabelParams::default(), source: "basic_sr".into(), states };
        trajectory.add_labels(set);
        let problem = problems.by_id(&trajectory.problem_id).expect("a problem");
        let primitives = trajectory.primitives.clone();
        let (id, source, fingerprint) = (problem.id.clone(), problems.name(), problem.fingerprint());
        let problem = Arc::new(ProblemRef { id, source, fingerprint, primitives });
        let options = Options { targets: Targets::Labels, ..Options::default() };
        let mut learned = 0;
        let mut seen = HashSet::new();
        for state in sr_corpus::one_step_examples(&trajectory, &problem, &options).expect("states") {
            assert!(seen.insert((state.generation, state.condition)), "each class of a state once");
            let record = trajectory.generation(state.generation).expect("a generation");
            let best = (record.best().mse, record.best().expr.size());
            for target in &state.targets {
                let gain = Gain::of((target.mse, target.expr.size()), best);
                assert_eq!(state.condition, Condition::Gain(gain.class()));
                learned += 1;
            }
            classes.insert(state.condition);
        }
        assert_eq!(learned, (GENERATIONS - 1) * POPULATION);
    }
    assert!(classes.len() >= 3, "{classes:?}");
}

#[test]
fn labels_that_are_missing_or_of_another_state_are_errors() {
    let fixture = Fixture::new();
    let options = Options { targets: Targets::Labels, ..Options::default() };
    assert!(matches!(fixture.convert(&options, "a"), Err(Error::NotRelabelled { seed: 3, .. })));
    let mut trajectory = TraceReader::open(fixture.relabelled()).expect("a trace").next().expect("one").expect("whole");
    trajectory.labels[0].states[2].state_hash ^= 1;
    fixture.convert(&Options::default(), "b").expect("converted");
    let problem = fixture.states("b")[0].problem.clone();
    let error = one_step_examples(&trajectory, &problem, &options).expect_err("another state");
    assert!(matches!(error, Error::OtherState { generation: 2, .. }), "{error}");
}

#[test]
fn sides_share_no_problem_and_no_skeleton_in_any_trace_of_the_set() {
    let fixture = Fixture::new();
    let trace = fixture.relabelled();
    let problems = fixture.problems();
    fixture.convert(&Options { val_fraction: 0.4, ..Options::default() }, "a").expect("converted");
    let dagger = Options { targets: Targets::Labels, val_fraction: 0.4, ..Options::default() };
    convert_trace(&trace, &problems, &dagger, &fixture.path("b"), || {}).expect("converted");
    convert_problems(&problems, &Options { val_fraction: 0.4, ..Options::default() }, &fixture.path("c"), || {})
        .expect("converted");
    let skeletons = |name: &str| -> HashSet<String> {
        let examples = ["a", "b", "c"].into_iter().flat_map(|out| read(&fixture.path(out).join(name)));
        let problem = |example: Example| problems.get(example.problem()).expect("of the set").source.clone();
        examples.map(|example| problem(example).expect("a formula").skeleton()).collect()
    };
    let (train, val) = (skeletons("train.sr"), skeletons("val.sr"));
    assert!(!train.is_empty() && !val.is_empty() && train.is_disjoint(&val));
    let set = ProblemSet::read(problems.path()).expect("the problem set");
    let split = Split::new(&set.problems, 0.4, 0);
    let val_of_split = set.problems.iter().filter(|problem| split.side(&problem.id) == Side::Val);
    let val_of_split: HashSet<String> =
        val_of_split.map(|problem| problem.source.as_ref().expect("a formula").skeleton()).collect();
    assert_eq!(val, val_of_split);
}

#[test]
fn the_text_export_has_a_line_for_each_target() {
    let fixture = Fixture::new();
    let options = Options { jsonl: true, ..Options::default() };
    let counts = fixture.convert(&options, "a").expect("converted");
    let lines = |out: &str, name: &str| -> Vec<serde_json::Value> {
        let text = fs::read_to_string(fixture.path(out).join(name)).expect("written");
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    };
    let train = lines("a", "train.jsonl");
    assert_eq!((train.len() as u64, lines("a", "val.jsonl").len() as u64), (counts.train, counts.val));
    let Example::OneStep(state) = &read(&fixture.path("a").join("train.sr"))[0] else { panic!("a one-step example") };
    assert_eq!(train[0]["expression_id"], state.problem.id);
    assert_eq!(train[0]["target"], state.targets[0].expr.to_string());
    let context = train[0]["context"].as_str().expect("a text");
    assert!(context.starts_with("generation: 0 | ") && context.contains("ops: *,+,-,sin | constants: 1.0,2.5"));
    let population = train[0]["population"].as_str().expect("a text");
    assert!(population.starts_with("x0 <FITNESS>-"), "{population}");
    assert_eq!(population.matches("<FITNESS>").count(), POPULATION);
    assert_eq!(train[0]["metadata"]["source_expressions_file"], "problems.sr");
    assert_eq!(train[0]["metadata"]["generation"], 0);

    convert_problems(&fixture.problems(), &options, &fixture.path("b"), || {}).expect("converted");
    let direct = lines("b", "train.jsonl");
    let Example::Direct(Direct { problem, target }) = &read(&fixture.path("b").join("train.sr"))[0] else {
        panic!("a direct example")
    };
    let problems = fixture.problems();
    let data = problems.get(problem).expect("of the set");
    assert_eq!(direct[0]["target"], target.to_string());
    assert_eq!(direct[0]["y_data"].as_array().expect("a list").len(), data.y.len());
    assert_eq!(direct[0]["X_data"][1][0], data.x.column(0)[1]);
}

#[test]
fn a_cut_corpus_gives_its_whole_records_and_then_an_error() {
    let fixture = Fixture::new();
    fixture.convert(&Options::default(), "a").expect("converted");
    let path = fixture.path("a").join("train.sr");
    let whole = read(&path);
    let bytes = fs::read(&path).expect("the corpus");
    fs::write(&path, &bytes[..bytes.len() * 2 / 3]).expect("cut");
    let examples: Vec<_> = Corpus::open(&path).expect("the header is whole").collect();
    let (last, before) = examples.split_last().expect("something");
    assert!(matches!(last, Err(Error::File(sr_codec::Error::Truncated { .. }))));
    assert!(!before.is_empty() && before.len() < whole.len());
    assert!(before.iter().zip(&whole).all(|(cut, whole)| cut.as_ref().expect("whole") == whole));
}

#[test]
fn a_failed_conversion_leaves_the_folder_as_it_was() {
    let fixture = Fixture::new();
    let options = Options { jsonl: true, ..Options::default() };
    fixture.convert(&options, "a").expect("converted");
    let listing = || {
        let entries = fs::read_dir(fixture.path("a")).expect("a folder").map(|entry| entry.expect("an entry").path());
        let mut files: Vec<_> = entries.map(|path| (fs::read(&path).expect("readable"), path)).collect();
        files.sort_by(|a, b| a.1.cmp(&b.1));
        files
    };
    let before = listing();
    assert_eq!(before.len(), 4);
    let trace = fs::read(fixture.path("trace.sr")).expect("the trace");
    fs::write(fixture.path("trace.sr"), &trace[..trace.len() - 40]).expect("cut");
    assert!(matches!(fixture.convert(&options, "a"), Err(Error::Trace(_))));
    assert!(listing() == before);
    let bad = Options { sample_fraction: 0.0, ..options };
    assert!(matches!(fixture.convert(&bad, "a"), Err(Error::Fraction { name: "sample-fraction", .. })));
    assert!(listing() == before);
}

#[test]
fn the_problem_set_is_found_and_has_to_be_the_right_one() {
    let fixture = Fixture::new();
    fixture.convert(&Options::default(), "corpus").expect("converted");
    // One folder up from the corpus.
    let corpus = Corpus::open(fixture.path("corpus").join("train.sr")).expect("a corpus");
    let problems = corpus.problems(None).expect("found");
    let example = corpus.read_all().expect("whole").remove(0);
    assert!(problems.get(example.problem()).is_ok());
    let missing = find_problems(&fixture.path("corpus/train.sr"), "other.sr", None).expect_err("not there");
    assert!(missing.to_string().contains("--problems"), "{missing}");

    let other = fixture.path("other.sr");
    sr_problems::suite("simple", 1).expect("a suite").write(&other).expect("written");
    let suite = Problems::open(&other).expect("a problem set");
    assert!(matches!(suite.get(example.problem()), Err(Error::NoSuchProblem { .. })));
    let mut set = ProblemSet::read(problems.path()).expect("the problem set");
    set.problems.iter_mut().for_each(|problem| problem.y[0] += 1.0);
    set.write(&other).expect("written");
    let changed = Problems::open(&other).expect("a problem set");
    assert!(matches!(changed.get(example.problem()), Err(Error::OtherProblem { .. })));
}

#[test]
fn problems_without_a_formula_have_no_direct_example() {
    let fixture = Fixture::new();
    let mut set = ProblemSet::read(fixture.path("problems.sr")).expect("the problem set");
    set.problems[1].source = None;
    set.write(fixture.path("own.sr")).expect("written");
    let problems = Problems::open(fixture.path("own.sr")).expect("a problem set");
    let result = convert_problems(&problems, &Options::default(), &fixture.path("a"), || {});
    assert!(matches!(result, Err(Error::NoFormula { id }) if id == set.problems[1].id));
}

#[test]
fn corpora_of_version_1_stay_readable() {
    for (name, expected) in [
        ("v1-onestep", expect_test::expect_file!["../../../fixtures/corpora/v1-onestep.txt"]),
        ("v1-autoregressive", expect_test::expect_file!["../../../fixtures/corpora/v1-autoregressive.txt"]),
        ("v1-direct", expect_test::expect_file!["../../../fixtures/corpora/v1-direct.txt"]),
    ] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/corpora").join(name).with_extension("sr");
        let corpus = Corpus::open(&path).expect("a corpus");
        let header = corpus.header();
        let mut text = format!("{} of {} in context {}\n", header.mode.name(), header.problems, header.context.name());
        for example in corpus {
            let example = example.expect("whole");
            let ProblemRef { id, fingerprint, .. } = &**example.problem();
            text += &format!("{id} {fingerprint}\n");
            match &example {
                Example::Direct(direct) => text += &format!("  {}\n", direct.target),
                Example::OneStep(state) | Example::Autoregressive(state) => {
                    let population = state.population.iter().map(|i| (&**i.expr, f64::from(i.fitness)));
                    text += &format!("  generation {}: {}\n", state.generation, infix::population(population));
                    for Target { expr, mse, fitness, weight, slot } in &state.targets {
                        text += &format!("  {slot}: {expr} {mse} {fitness} {weight}\n");
                    }
                }
            }
        }
        expected.assert_eq(&text);
    }
}
