//! Trajectories of real searches, and the files they are kept in.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sr_engine::random::{Key, Purpose};
use sr_engine::{
    Child, Edit, Expert, Generation, IndividualRef, Instance, Observer, Origin, Outcome, Parents, Population,
    PrimitiveSet, Recorded, Search, SearchConfig, StopReason, run,
};
use sr_expr::{Columns, Expr, Op, Tree};
use sr_trace::{
    Error, Generations, GenerationsBuilder, IndividualRecord, RecordError, Recorder, TraceHeader, TraceReader,
    TraceWriter, Trajectory, merge_traces,
};

fn instance(id: &str) -> Arc<Instance> {
    let mut rng = Key::new(1, Purpose::Rows, 0).rng();
    let x = Columns::new(30, 2, (0..60).map(|_| rng.uniform(-2.0, 2.0)).collect());
    let formula: Expr = "sin(3*x0) + x1*x0".parse().expect("formula");
    let y = sr_expr::reference::predict(&formula, &x, sr_expr::Semantics::Ieee);
    let primitives = PrimitiveSet::new(vec![Op::Add, Op::Mul, Op::Sin], vec![1.0, 2.5], 2).expect("primitives");
    Arc::new(Instance::new(id, x, y, primitives).expect("instance"))
}

fn config(generations: u32) -> SearchConfig {
    SearchConfig { generations, ..SearchConfig::basic() }
}

fn search(id: &str, config: &SearchConfig, seed: u64) -> (Trajectory, Outcome) {
    let mut searches = [Search::new(instance(id), config.clone(), seed).expect("config")];
    let mut recorders = [Recorder::new(seed)];
    let outcome = run(&mut searches, &mut Expert, &mut recorders).expect("the expert never fails").remove(0);
    let [recorder] = recorders;
    (recorder.finish(&outcome).expect("recorded"), outcome)
}

fn header(config: &SearchConfig) -> TraceHeader {
    TraceHeader::of_expert("problems.sr", instance("p").primitives(), config, "basic", 1)
}

fn write(path: &Path, trajectories: &[Trajectory]) {
    let mut writer = TraceWriter::create(path, &header(&config(10))).expect("create");
    for trajectory in trajectories {
        writer.append(trajectory).expect("append");
    }
    writer.finish().expect("finish");
}

fn read(path: &Path) -> Vec<Trajectory> {
    TraceReader::open(path).expect("open").collect::<Result<_, _>>().expect("a whole file")
}

#[test]
fn a_search_round_trips_through_a_file() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("a.sr");
    let elitist = search("p", &config(10), 1).0;
    let no_elite = search("q", &SearchConfig { elitism: 0, ..config(10) }, 2).0;
    let trajectories = [elitist, no_elite];
    write(&path, &trajectories);
    assert_eq!(read(&path), trajectories);
    let reader = TraceReader::open(&path).expect("open");
    assert_eq!(reader.header(), &header(&config(10)));
    assert_eq!(reader.stated_records(), Some(2));
}

#[test]
fn a_trajectory_records_what_the_search_did() {
    let (trajectory, outcome) = search("p", &config(30), 3);
    assert_eq!(trajectory.generations.len(), 30);
    assert_eq!((trajectory.stop, trajectory.evaluations), (StopReason::Generations(30), outcome.evaluations));
    let progression: Vec<(u32, Expr)> =
        trajectory.best_progression().iter().map(|step| (step.generation, step.expr.to_owned())).collect();
    let expected: Vec<(u32, Expr)> = outcome.progression.iter().map(|s| (s.generation, s.expr.clone())).collect();
    assert!(expected.len() > 2, "a search that found nothing tests nothing");
    assert_eq!(progression, expected);
    // The engine gives each generation as the children of the one before; the edits lead there.
    for record in trajectory.generations.iter().skip(1) {
        for child in record.individuals() {
            if let Some(edit) = &child.edit {
                assert_eq!(child.parents.iter().next(), Some(edit.parent));
            }
        }
    }
}

/// With an error that is easily reached, smaller formulas that do not solve the problem are often fitter.
#[test]
fn the_winner_of_a_trajectory_is_that_of_its_search() {
    let basic = SearchConfig {
        early_stop_mse: Some(0.4),
        parsimony_coefficient: 0.05,
        extra_generations: 5,
        elitism: 1,
        ..config(40)
    };
    let fitted = SearchConfig { population_size: 30, generations: 15, ..SearchConfig::default() };
    let mut solved_and_less_fit = 0;
    for (config, seed) in [basic, fitted].iter().flat_map(|config| (1..13).map(move |seed| (config, seed))) {
        let (trajectory, outcome) = search("p", config, seed);
        let winners = trajectory.winners(config);
        assert!(winners.is_sorted_by_key(|winner| winner.generation));
        let winner = winners.last().expect("there is always one").expr;
        assert_eq!(*config.formula_of(winner, &instance("p")), *outcome.winner().expr, "seed {seed}");
        if let Some(solved) = &outcome.solved {
            solved_and_less_fit += usize::from(solved.score.fitness < outcome.best.score.fitness);
            let first = outcome.generations_to_solve.expect("it is solved");
            assert!(winners.iter().any(|winner| winner.generation == first));
        }
    }
    assert!(solved_and_less_fit > 0, "the winner is always the fittest");
}

#[test]
fn forms_that_the_search_forgot_are_recorded_all_the_same() {
    /// A recorder, and every generation that it saw.
    struct Both(Recorder, Vec<Vec<(Expr, f32, f32, Parents)>>);
    impl Observer for Both {
        fn on_generation(&mut self, seen: &Generation<'_>) -> ControlFlow<()> {
            let plain =
                |i: IndividualRef<'_>| (i.tree.to_owned(), i.score.mse as f32, i.score.fitness as f32, i.parents);
            self.1.push(seen.population.iter().map(plain).collect());
            self.0.on_generation(seen)
        }
    }
    // Many times the forms that a search remembers.
    let config = SearchConfig { population_size: 100, early_stop_mse: None, ..config(200) };
    let mut searches = [Search::new(instance("p"), config, 1).expect("config")];
    let mut both = [Both(Recorder::new(1), Vec::new())];
    let outcome = run(&mut searches, &mut Expert, &mut both).expect("the expert never fails").remove(0);
    let [Both(recorder, seen)] = both;
    let trajectory = recorder.finish(&outcome).expect("recorded");
    let distinct: std::collections::HashSet<&Expr> = seen.iter().flatten().map(|i| &i.0).collect();
    assert!(distinct.len() > 4000, "{}", distinct.len());
    assert_eq!(trajectory.generations.len(), seen.len());
    for (recorded, seen) in trajectory.generations.iter().zip(&seen) {
        let plain = recorded.individuals().map(|i| (i.expr.to_owned(), i.mse, i.fitness, i.parents));
        assert_eq!(plain.collect::<Vec<_>>(), *seen, "generation {}", recorded.generation);
    }
}

#[test]
fn lineage_starts_from_the_true_winner() {
    // Without an elite the winner can stand anywhere.
    let config = SearchConfig { elitism: 0, ..config(12) };
    let (trajectory, winner) = (1..100)
        .map(|seed| search("p", &config, seed).0)
        .map(|t| (t.generations.last().best_index, t))
        .find(|(winner, _)| *winner != 0)
        .map(|(winner, t)| (t, winner))
        .expect("a winner that is not in front");
    let lineage = trajectory.lineage();
    assert_eq!(lineage.last().expect("generations"), &[winner]);
    for (generation, (ancestors, record)) in lineage.iter().zip(trajectory.generations.iter()).enumerate().skip(1) {
        let mut expected: Vec<u32> =
            ancestors.iter().flat_map(|&index| record.individual(index as usize).parents.iter()).collect();
        expected.sort_unstable();
        expected.dedup();
        assert_eq!(lineage[generation - 1], expected);
    }
}

/// The first individuals of a search's initial population, changed.
fn generation(change: fn(&mut Vec<IndividualRecord<'_>>)) -> Generations {
    let (trajectory, _) = search("p", &config(1), 1);
    let mut individuals = trajectory.generations.first().individuals().take(4).collect();
    change(&mut individuals);
    let mut builder = GenerationsBuilder::new(0);
    builder.push(individuals, 0, true).expect("a generation");
    builder.build().expect("generations")
}

#[test]
fn diversity_is_the_share_of_distinct_expressions() {
    let generations = generation(|individuals| individuals[1].expr = individuals[0].expr);
    assert_eq!(generations.first().diversity(), 0.75);
    assert_eq!(generations.first().expression_ids().collect::<Vec<_>>(), [0, 0, 1, 2]);
    assert_eq!(generations.expressions().len(), 3);
}

#[test]
fn the_state_hash_sees_expressions_and_order() {
    let hash = |change| generation(change).first().state_hash();
    assert_ne!(hash(|_| ()), hash(|individuals| individuals.swap(0, 1)));
    assert_eq!(hash(|_| ()), hash(|individuals| individuals[0].mse = 0.0));
}

#[test]
fn a_continued_search_is_recorded_without_parents_it_does_not_have() {
    let mut searches = [Search::new(instance("p"), config(10), 1).expect("config")];
    let stop_early = |g: &Generation<'_>| match g.generation {
        4 => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    let outcome = run(&mut searches, &mut Expert, &mut [stop_early]).expect("the expert never fails").remove(0);
    let mut recorder = Recorder::new(1);
    let [search] = &searches;
    let state = search.state();
    let seen = Generation {
        instance: state.instance,
        config: state.config,
        generation: state.generation,
        population: state.population,
        best: state.best,
        evaluations: outcome.evaluations,
    };
    assert!(recorder.on_generation(&seen).is_continue());
    let trajectory = recorder.finish(&outcome).expect("recorded");
    let first = trajectory.generations.first();
    assert_eq!(first.generation, 4);
    assert!(first.individuals().all(|i| i.parents.iter().next().is_none()));
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("a.sr");
    write(&path, std::slice::from_ref(&trajectory));
    assert_eq!(read(&path), [trajectory]);
}

/// Shows a recorder some generations of a search, and gives what it makes of them.
fn shown(
    recorder: Recorder,
    id: &str,
    recorded: Option<Recorded>,
    wanted: impl Fn(u32) -> bool,
) -> (Recorder, Result<Trajectory, RecordError>) {
    let search = match recorded {
        None => Search::new(instance(id), config(10), 1),
        Some(recorded) => Search::resume_from(instance(id), config(10), 1, recorded),
    };
    let mut some = [Some(recorder)];
    let [recorder] = &mut some;
    let observer = |seen: &Generation<'_>| match recorder {
        Some(recorder) if wanted(seen.generation) => recorder.on_generation(seen),
        _ => ControlFlow::Continue(()),
    };
    let outcome =
        run(&mut [search.expect("a search")], &mut Expert, &mut [observer]).expect("the expert never fails").remove(0);
    let recorder = some[0].take().expect("a recorder");
    let finished = recorder.clone().finish(&outcome);
    assert_eq!(finished.as_ref().err(), recorder.clone().record(&outcome).as_ref().err());
    (recorder, finished)
}

#[test]
fn what_no_trace_can_hold_is_an_error_and_no_panic() {
    let new = || Recorder::new(1);
    assert!(shown(new(), "p", None, |_| true).1.is_ok());
    assert_eq!(shown(new(), "p", None, |_| false).1, Err(RecordError::Empty { field: "generations" }));
    // Whoever wants to thin a log hands every second generation on.
    let thinned = shown(new(), "p", None, |generation| generation % 2 == 0).1;
    assert_eq!(thinned, Err(RecordError::Gap { last: 0, found: 2 }));
    // One recorder for two searches, of the same problem or of another.
    let used = || shown(new(), "p", None, |_| true).0;
    assert_eq!(shown(used(), "p", None, |_| true).1, Err(RecordError::Gap { last: 9, found: 0 }));
    // Or for one that goes on where the other was left, as far as numbers show.
    for id in ["p", "q"] {
        let first = shown(new(), "p", None, |generation| generation < 5).0;
        let population = vec!["x0".parse().expect("an expression"); 20];
        let recorded = Recorded { generation: 5, population, best: None, stagnation: 0 };
        assert_eq!(shown(first, id, Some(recorded), |_| true).1, Err(RecordError::OtherSearch { generation: 5 }));
    }
    // A population that was made by hand.
    let data = instance("p");
    let expr: Expr = "x0 + x1".parse().expect("an expression");
    let score = sr_engine::Score::INVALID;
    let member = IndividualRef::new(Child::orphan(&expr, Origin::Random), score);
    let (population, best) = (Population::new([member.clone()]), member.into());
    let (mut recorder, outcome) = (new(), search("p", &config(2), 1).1);
    let evaluations = outcome.evaluations;
    let config = config(1);
    let made = Generation {
        instance: &data,
        config: &config,
        generation: 0,
        population: &population,
        best: &best,
        evaluations,
    };
    assert!(recorder.on_generation(&made).is_continue());
    assert_eq!(recorder.finish(&outcome), Err(RecordError::OtherSearch { generation: 0 }));
}

#[test]
fn equal_runs_give_equal_bytes() {
    let folder = tempfile::tempdir().expect("folder");
    let run = |name: &str| {
        let path = folder.path().join(name);
        write(&path, &[search("p", &config(10), 1).0, search("q", &config(10), 1).0]);
        std::fs::read(path).expect("the file")
    };
    assert_eq!(run("a.sr"), run("b.sr"));
}

#[test]
fn individuals_take_few_bytes() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("a.sr");
    let config = SearchConfig { early_stop_mse: None, ..config(100) };
    write(&path, &[search("p", &config, 1).0]);
    let bytes = std::fs::metadata(&path).expect("the file").len() as f64 / 2000.0;
    // The original's files have 7.5, without errors and edits. This one has 7.8, header included.
    assert!(bytes < 8.0, "{bytes} bytes an individual");
}

#[test]
fn a_cut_file_gives_its_whole_records_and_an_error() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("a.sr");
    let trajectories = ["p", "q"].map(|id| search(id, &config(5), 1).0);
    write(&path, &trajectories);
    let bytes = std::fs::read(&path).expect("the file");
    let mut counts = [0; 3];
    for end in (0..bytes.len()).step_by(7) {
        std::fs::write(&path, &bytes[..end]).expect("write");
        let Ok(mut reader) = TraceReader::open(&path) else { continue };
        let read: Vec<_> = reader.by_ref().collect();
        let (error, whole) = read.split_last().expect("an error at least");
        let message = error.as_ref().expect_err("the file is cut").to_string();
        assert!(message.contains(&format!("record {}", whole.len())), "{message}");
        for (read, written) in whole.iter().zip(&trajectories) {
            assert_eq!(read.as_ref().expect("a whole record"), written);
        }
        assert!(reader.next().is_none());
        counts[whole.len()] += 1;
    }
    assert!(counts.iter().all(|&n| n > 0), "{counts:?}");
}

#[test]
fn a_resumed_file_has_the_bytes_of_an_undisturbed_run() {
    let folder = tempfile::tempdir().expect("folder");
    let (whole, resumed) = (folder.path().join("a.sr"), folder.path().join("b.sr"));
    let trajectories = ["p", "q"].map(|id| search(id, &config(5), 1).0);
    write(&whole, &trajectories);
    let mut writer = TraceWriter::create(&resumed, &header(&config(10))).expect("create");
    writer.append(&trajectories[0]).expect("append");
    drop(writer);
    let (mut writer, done) = TraceWriter::resume(&resumed, &header(&config(10))).expect("resume");
    assert_eq!(done, 1);
    writer.append(&trajectories[1]).expect("append");
    assert_eq!(writer.finish().expect("finish"), 2);
    assert_eq!(std::fs::read(&whole).expect("a"), std::fs::read(&resumed).expect("b"));
    let other = TraceWriter::resume(&whole, &header(&config(11))).map(|_| ());
    assert!(other.is_ok(), "a finished file is not an unfinished one");
}

#[test]
fn records_that_other_threads_pack_keep_their_order() {
    let folder = tempfile::tempdir().expect("folder");
    let recorded = |index: u32| {
        let config = config(2 + index % 7);
        let mut searches = [Search::new(instance(&format!("p{index}")), config, 1).expect("config")];
        let mut recorders = [Recorder::new(1)];
        let outcome = run(&mut searches, &mut Expert, &mut recorders).expect("the expert never fails").remove(0);
        let [recorder] = recorders;
        recorder.record(&outcome).expect("children of the expert can be recorded")
    };
    let write = |name: &str| {
        let path = folder.path().join(name);
        let mut writer = TraceWriter::create(&path, &header(&config(10))).expect("create");
        for index in 0..20 {
            writer.append_record(recorded(index)).expect("append");
            assert_eq!(writer.records(), u64::from(index) + 1);
        }
        assert_eq!(writer.finish().expect("finish"), 20);
        path
    };
    let outside = write("a.sr");
    let ids: Vec<String> = read(&outside).into_iter().map(|trajectory| trajectory.problem_id).collect();
    assert!(ids.into_iter().eq((0..20).map(|index| format!("p{index}"))));
    // On the only thread of a pool, which waits for what it has to do itself.
    for threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        let inside = pool.install(|| write("b.sr"));
        assert!(std::fs::read(&outside).expect("a") == std::fs::read(inside).expect("b"), "{threads} threads");
    }
}

/// Three shards of seven problems with two trajectories each, and the whole run.
fn shards(folder: &Path) -> (Vec<PathBuf>, Vec<u8>) {
    let problems: Vec<[Trajectory; 2]> =
        (0..7).map(|p| [1, 2].map(|seed| search(&format!("p{p}"), &config(3), seed).0)).collect();
    let whole = folder.join("whole.sr");
    write(&whole, &problems.concat());
    let paths: Vec<PathBuf> = (0..3).map(|i| folder.join(format!("shard{i}.sr"))).collect();
    for (i, path) in paths.iter().enumerate() {
        let mine: Vec<_> = problems.iter().skip(i).step_by(3).flatten().cloned().collect();
        write(path, &mine);
    }
    (paths, std::fs::read(whole).expect("the file"))
}

#[test]
fn shards_merge_into_the_bytes_of_one_run() {
    let folder = tempfile::tempdir().expect("folder");
    let (paths, whole) = shards(folder.path());
    let out = folder.path().join("merged.sr");
    assert_eq!(merge_traces(&paths, &out).expect("merge"), 14);
    assert_eq!(std::fs::read(out).expect("the file"), whole);
}

#[test]
fn wrong_shards_are_refused_and_the_output_is_left_alone() {
    let folder = tempfile::tempdir().expect("folder");
    let (mut paths, _) = shards(folder.path());
    let out = folder.path().join("merged.sr");
    std::fs::write(&out, "old").expect("write");
    assert!(matches!(merge_traces(&[], &out), Err(Error::NoShards)));
    paths.swap(0, 2);
    assert!(matches!(merge_traces(&paths, &out), Err(Error::ShardOrder { problem: 6, .. })));
    paths.swap(0, 2);
    let bytes = std::fs::read(&paths[1]).expect("the file");
    std::fs::write(&paths[1], &bytes[..bytes.len() - 40]).expect("write");
    assert!(matches!(merge_traces(&paths, &out), Err(Error::File(sr_codec::Error::Truncated { .. }))));
    let other = TraceWriter::create(&paths[1], &header(&config(11))).expect("create");
    other.finish().expect("finish");
    assert!(matches!(merge_traces(&paths, &out), Err(Error::ShardHeader { .. })));
    assert_eq!(std::fs::read(&out).expect("the file"), b"old");
    assert!(!sr_codec::partial_path(&out).exists());
}

#[test]
fn files_of_version_1_stay_readable() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/traces/v1-labelled.sr");
    let header = TraceReader::open(&path).expect("open").header().clone();
    assert!(header.dagger);
    assert_eq!(header.original_source.as_deref(), Some("basic_sr"));
    assert_eq!(
        header.engine,
        SearchConfig { population_size: 6, generations: 4, early_stop_mse: None, ..SearchConfig::basic() }
    );
    let [_, trajectory] = <[Trajectory; 2]>::try_from(read(&path)).expect("two trajectories");
    assert_eq!((&*trajectory.problem_id, trajectory.seed), ("problem_1", 7));
    assert_eq!(trajectory.stop, StopReason::Generations(4));
    assert_eq!(&trajectory.primitives, instance("p").primitives());
    let texts = |exprs: Vec<&Tree>| exprs.iter().map(ToString::to_string).collect::<Vec<_>>();
    let third = trajectory.generation(2).expect("four generations");
    assert_eq!(
        texts(third.individuals().map(|i| i.expr).collect()),
        ["(sin(x1) * sin(x0))", "sin(sin(sin(x1)))", "x0", "sin(x1)", "(x1 * sin(x0))", "(x0 * x0)"]
    );
    assert_eq!((third.best_index, third.improved), (4, true));
    assert_eq!(
        texts(trajectory.dagger_expressions(2).expect("labels").collect()),
        ["(x1 * x1)", "(x1 * x0)", "(sin(sin(x0)) * sin(x0))", "(sin((x1 * sin(x0))) * sin(x0))", "(x1 * sin(x1))"]
    );
    let best = third.best();
    assert_eq!((best.parents, best.mse, best.fitness), (Parents::Two(1, 2), 0.601_088_6, -0.641_088_6));
}

#[test]
fn files_of_version_2_stay_readable() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/traces/v2-labelled.sr");
    let reader = TraceReader::open(&path).expect("open");
    let TraceHeader { problems, operators, constants, engine, preset, policy, seed, dagger, original_source, .. } =
        reader.header();
    // Not whole structures, which may get fields.
    let mut text = format!("{policy:?} on {problems}, {preset} {operators:?} {constants:?}, seed {seed}\n");
    text += &format!("{} x {}, labels: {dagger} {original_source:?}\n", engine.population_size, engine.generations);
    for trajectory in reader {
        let t = trajectory.expect("a whole file");
        let names: Vec<&str> = t.primitives.ops().iter().map(|op| op.name()).collect();
        text +=
            &format!("{} seed {}: {:?}, {}, {:?}\n", t.problem_id, t.seed, t.stop, t.evaluations.search, t.sampling);
        text += &format!("{names:?} {:?} {}\n", t.primitives.constants(), t.primitives.n_variables());
        let line = |i: IndividualRecord<'_>| {
            let IndividualRecord { expr, mse, fitness, origin, parents, edit, log_prob } = i;
            let edit = edit.map(Edit::into_owned); // prints itself in another way
            format!("    {expr} {mse:e} {fitness:e} {origin:?} {parents:?} {edit:?} {log_prob:?}\n")
        };
        for g in t.generations.iter() {
            text += &format!("  generation {}, best {}, improved {}\n", g.generation, g.best_index, g.improved);
            text.extend(g.individuals().map(line));
        }
        for set in &t.labels {
            text += &format!("  labels {} of {}, {:?}\n", set.mode, set.source, set.params);
            for state in &set.states {
                text += &format!("  state {} {:x}\n", state.generation, state.state_hash);
                for label in state.children.iter() {
                    let gains = [label.gain_parent, label.gain_best, label.weight];
                    text += &format!("    {gains:?}\n{}", line(label.child));
                }
            }
        }
    }
    expect_test::expect_file!["../../../fixtures/traces/v2-labelled.txt"].assert_eq(&text);
}
