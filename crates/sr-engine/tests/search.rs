//! Behaviour of searches: the rules of the reference engine, limits, determinism.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use sr_engine::random::{Key, Purpose};
use sr_engine::{
    Child, Edit, Evaluator, Expert, Generation, IndividualRef, Instance, Limits, Objective, Origin, Parents, Policy,
    PolicyError, Population, PrimitiveSet, Recorded, Request, Score, Search, SearchConfig, StopReason, Survival,
    random_tree, run, run_parallel, run_parallel_until, run_until,
};
use sr_expr::{Columns, Expr, Op, Tree};

fn instance(id: &str, ops: &[Op], formula: &str, rows: usize) -> Arc<Instance> {
    let mut rng = Key::new(1, Purpose::Rows, 0).rng();
    let values: Vec<f64> = (0..rows * 2).map(|_| rng.uniform(-2.0, 2.0)).collect();
    let x = Columns::new(rows, 2, values);
    let expr: Expr = formula.parse().expect(formula);
    let y = sr_expr::reference::predict(&expr, &x, sr_expr::Semantics::Ieee);
    let primitives = PrimitiveSet::new(ops.to_vec(), vec![1.0, 2.5], 2).expect("primitives");
    Arc::new(Instance::new(id, x, y, primitives).expect("instance"))
}

const ARITH: [Op; 3] = [Op::Add, Op::Sub, Op::Mul];
/// Cannot be found with `ARITH`, so a search for it never stops early.
const HARD: &str = "sin(3*x0) + cos(x1)";

/// Every population of a search.
fn trajectory(search: &mut Search) -> Vec<Population> {
    let mut populations = Vec::new();
    let mut observer = |generation: &Generation<'_>| {
        assert_eq!(generation.generation as usize, populations.len());
        populations.push(generation.population.clone());
        ControlFlow::Continue(())
    };
    search.run_with(&mut Expert, &mut observer).expect("the expert never fails");
    populations
}

#[test]
fn initial_population_comes_in_the_reference_order() {
    let ops = [Op::Add, Op::Mul, Op::Sin];
    let config = SearchConfig { population_size: 20, generations: 1, ..SearchConfig::basic() };
    let mut search = Search::new(instance("p", &ops, HARD, 20), config, 3).expect("config");
    let forms: Vec<String> = trajectory(&mut search)[0].iter().map(|i| i.tree.to_string()).collect();
    assert_eq!(
        forms[..16],
        [
            "x0",
            "x1",
            "1.0",
            "2.5",
            "(x0 + 1.0)",
            "(x0 * 1.0)",
            "(x0 + 2.5)",
            "(x0 * 2.5)",
            "(x1 + 1.0)",
            "(x1 * 1.0)",
            "(x1 + 2.5)",
            "(x1 * 2.5)",
            "(x0 * x0)",
            "(x1 * x1)",
            "sin(x0)",
            "sin(x1)"
        ]
    );
    assert_eq!(forms.len(), 20);
}

#[test]
fn every_child_is_one_edit_of_its_parents_and_keeps_the_size_limit() {
    let config =
        SearchConfig { generations: 40, limits: Limits { max_size: 15, max_depth: 4 }, ..SearchConfig::basic() };
    let mut search = Search::new(instance("p", &[Op::Add, Op::Mul, Op::Sin], HARD, 50), config, 5).expect("config");
    let populations = trajectory(&mut search);
    assert_eq!(populations.len(), 40);
    let mut copies = 0;
    for pair in populations.windows(2) {
        for (slot, child) in pair[1].iter().enumerate() {
            assert!(child.tree.size() <= 15);
            match (slot, child.origin, child.parents) {
                (0, Origin::Elite, Parents::One(parent)) => {
                    assert_eq!(parent as usize, pair[0].best_index());
                    assert_eq!(child.tree, pair[0].tree(parent as usize));
                }
                (1.., Origin::Crossover, Parents::Two(a, _)) | (1.., Origin::Mutation, Parents::One(a)) => {
                    let edit = child.edit.as_ref().expect("GP children carry their edit");
                    assert_eq!(edit.parent, a);
                    assert_eq!(edit.apply(&pair[0]).as_deref(), Some(child.tree));
                    copies += usize::from(*edit == Edit::copy(a, pair[0].tree(a as usize)));
                }
                other => panic!("slot {slot}: {other:?}"),
            }
        }
    }
    assert!(copies > 0, "some children are too large, so the parent takes their place");
}

#[test]
fn fitness_of_the_elite_never_falls() {
    let mut search =
        Search::new(instance("p", &ARITH, "x0*x0*x1 + 3*x1", 50), SearchConfig::basic(), 5).expect("config");
    let best: Vec<f64> = trajectory(&mut search).iter().map(|p| p.best().score.fitness).collect();
    assert!(best.windows(2).all(|pair| pair[1] >= pair[0]));
    assert!(best.last() > best.first());
}

#[test]
fn any_number_of_threads_gives_the_same_outcomes() {
    let outcomes = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("pool");
        let mut searches: Vec<Search> = (0..12)
            .map(|i| {
                Search::new(instance(&format!("p{i}"), &ARITH, HARD, 50), SearchConfig::basic(), 9).expect("config")
            })
            .collect();
        let mut outcomes =
            pool.install(|| run_parallel(&mut searches, || Expert, &mut [(); 12]).expect("the expert never fails"));
        outcomes.iter_mut().for_each(|outcome| outcome.elapsed = Duration::ZERO);
        outcomes
    };
    let one = outcomes(1);
    assert_eq!(one, outcomes(3));
    assert!(one.iter().any(|outcome| outcome.best != one[0].best), "problems have streams of their own");
}

#[test]
fn a_stop_in_between_leaves_the_first_searches_whole() {
    let make =
        |i: usize| Search::new(instance(&format!("p{i}"), &ARITH, HARD, 50), SearchConfig::basic(), 9).expect("config");
    let outcomes = |threads: usize, stop_at: u32| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("pool");
        let stop = AtomicBool::new(false);
        let mut searches: Vec<Search> = (0..12).map(make).collect();
        let watch = |g: &sr_engine::Generation<'_>| {
            stop.fetch_or(g.instance.id() == "p4" && g.generation == stop_at, Ordering::Relaxed);
            ControlFlow::Continue(())
        };
        let mut observers = [watch; 12];
        let mut outcomes = pool.install(|| {
            run_parallel_until(&mut searches, || Expert, &mut observers, &stop).expect("the expert never fails")
        });
        outcomes.iter_mut().for_each(|outcome| outcome.elapsed = Duration::ZERO);
        outcomes
    };
    let whole = outcomes(2, u32::MAX);
    assert_eq!(whole.len(), 12);
    // Alone, those before p4 have ended; of two threads the other one may be at any of them.
    assert_eq!(outcomes(1, 3), whole[..4]);
    let stopped = outcomes(2, 3);
    assert!(stopped.len() < 12 && stopped == whole[..stopped.len()], "{} searches", stopped.len());
}

#[test]
fn a_batch_gives_what_single_runs_give() {
    let make = |i: usize| {
        let config = SearchConfig { unique: i % 2 == 1, ..SearchConfig::basic() };
        Search::new(instance(&format!("p{i}"), &ARITH, "x0*x1 + x0", 30), config, 2).expect("config")
    };
    let mut batch: Vec<Search> = (0..6).map(make).collect();
    let together = run(&mut batch, &mut Expert, &mut [(); 6]).expect("the expert never fails");
    for (i, outcome) in together.iter().enumerate() {
        let alone =
            run(std::slice::from_mut(&mut make(i)), &mut Expert, &mut [()]).expect("the expert never fails").remove(0);
        assert_eq!((&alone.best, alone.stop, alone.evaluations), (&outcome.best, outcome.stop, outcome.evaluations));
    }
}

#[test]
fn resuming_a_recorded_state_goes_on_as_the_search_did() {
    let make = || Search::new(instance("p", &ARITH, HARD, 50), SearchConfig::basic(), 4).expect("config");
    let whole = trajectory(&mut make());
    let recorded = Recorded {
        generation: 20,
        population: whole[20].iter().map(|i| i.tree.to_owned()).collect(),
        best: None,
        stagnation: 0,
    };
    let mut resumed =
        Search::resume_from(instance("p", &ARITH, HARD, 50), SearchConfig::basic(), 4, recorded).expect("config");
    let mut rest: Vec<Vec<Expr>> = Vec::new();
    let mut observer = |generation: &Generation<'_>| {
        rest.push(generation.population.iter().map(|i| i.tree.to_owned()).collect());
        ControlFlow::Continue(())
    };
    resumed.run_with(&mut Expert, &mut observer).expect("the expert never fails");
    let expected: Vec<Vec<Expr>> = whole[20..].iter().map(|p| p.iter().map(|i| i.tree.to_owned()).collect()).collect();
    assert_eq!(rest, expected);
}

#[test]
fn the_last_generation_there_can_be_has_no_next_one() {
    let resume = |generation| {
        let recorded = Recorded { generation, population: vec![Expr::var(0)], best: None, stagnation: 0 };
        Search::resume_from(instance("p", &ARITH, HARD, 50), SearchConfig::basic(), 4, recorded).map(|_| ())
    };
    let error = resume(u32::MAX).expect_err("no generation can follow");
    assert!(error.to_string().starts_with("the recorded generation must be below 4294967295"), "{error}");
    assert_eq!(resume(u32::MAX - 1), Ok(()));
}

#[test]
fn a_small_recorded_population_grows_to_the_size_asked_for() {
    let config = SearchConfig { population_size: 5000, generations: 4, ..SearchConfig::basic() };
    let config = SearchConfig { tournament_size: 1, elitism: 0, ..config };
    let population = ["x0 + x1", "x1 * x0 * 2.5"].map(|text| text.parse().expect(text)).to_vec();
    let recorded = Recorded { generation: 1, population, best: None, stagnation: 0 };
    let mut resumed = Search::resume_from(instance("p", &ARITH, HARD, 10), config, 4, recorded).expect("config");
    let outcome = resumed.run(&mut Expert).expect("the expert never fails");
    assert_eq!(outcome.evaluations.search, 2 * 5000);
    assert_eq!(resumed.state().population.len(), 5000);
}

#[test]
fn limits_end_a_search_for_the_reason_they_say() {
    let run_with = |formula: &str, config: SearchConfig| {
        let mut search = Search::new(instance("p", &ARITH, formula, 50), config, 1).expect("config");
        search.run(&mut Expert).expect("the expert never fails")
    };
    let basic = SearchConfig::basic();
    let outcome = run_with(HARD, SearchConfig { generations: 7, ..basic.clone() });
    assert_eq!((outcome.stop, outcome.generations), (Some(StopReason::Generations(7)), 7));
    assert_eq!(outcome.evaluations.search, 20 + 6 * 19);

    let outcome = run_with(HARD, SearchConfig { max_evaluations: Some(100), ..basic.clone() });
    assert_eq!(outcome.stop, Some(StopReason::Evaluations(100)));
    assert_eq!(outcome.evaluations.search, 20 + 4 * 19, "never above the limit");

    // x0 stands in the initial population: solved at once, or after as many generations as were asked for.
    let outcome = run_with("x0", SearchConfig { extra_generations: 0, ..basic.clone() });
    assert_eq!((outcome.stop, outcome.generations), (Some(StopReason::Solved { mse: 0.0 }), 1));
    assert_eq!((outcome.generations_to_solve, outcome.evaluations_to_solve), (Some(0), Some(20)));
    let outcome = run_with("x0", SearchConfig { extra_generations: 9, ..basic.clone() });
    assert_eq!((outcome.stop, outcome.generations), (Some(StopReason::Solved { mse: 0.0 }), 10));
    let outcome = run_with("x0", basic.clone());
    assert_eq!(outcome.stop, Some(StopReason::Generations(50)), "extra generations stay below the limit");
}

#[test]
fn the_time_limit_holds_on_a_million_rows() {
    let config =
        SearchConfig { generations: 1_000_000, time_limit: Some(Duration::from_millis(300)), ..SearchConfig::basic() };
    let instance = instance("p", &[Op::Sin, Op::Exp, Op::Add], HARD, 1_000_000);
    let started = Instant::now();
    let mut search = Search::new(instance, config, 1).expect("config");
    let outcome = search.run(&mut Expert).expect("the expert never fails");
    assert!(matches!(outcome.stop, Some(StopReason::TimeLimit(_))));
    // The promise is 100 ms; a loaded machine may add scheduling delays that are not ours.
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#[test]
fn a_deadline_within_the_initial_population_leaves_true_scores_only() {
    let config =
        SearchConfig { population_size: 400, time_limit: Some(Duration::from_millis(2)), ..SearchConfig::basic() };
    let instance = instance("p", &[Op::Sin, Op::Exp, Op::Add], HARD, 200_000);
    let search = Search::new(instance.clone(), config.clone(), 1).expect("config");
    let state = search.state();
    assert!((1..400).contains(&state.population.len()), "{} individuals", state.population.len());
    for individual in state.population.iter() {
        let expected = Evaluator::default().score(individual.tree, &instance, &config);
        assert_eq!(individual.score, expected);
    }
    assert_eq!(search.outcome().evaluations.search, state.population.len() as u64);
}

#[test]
fn a_search_stopped_within_a_generation_stands_at_the_last_whole_one_and_can_go_on() {
    /// Asks for the end while it proposes the given generation.
    struct Stopping<'a>(u32, &'a AtomicBool);
    impl Policy for Stopping<'_> {
        fn propose(&mut self, requests: &mut [Request<'_>]) -> Result<(), PolicyError> {
            self.1.fetch_or(requests[0].state.generation + 1 == self.0, Ordering::Relaxed);
            Expert.propose(requests)
        }
    }
    let make = || Search::new(instance("p", &ARITH, HARD, 50), SearchConfig::basic(), 1).expect("config");
    let whole = trajectory(&mut make());
    let stop = AtomicBool::new(false);
    let mut search = make();
    let mut seen = Vec::new();
    let mut observer = |generation: &Generation<'_>| {
        seen.push(generation.population.clone());
        ControlFlow::Continue(())
    };
    let observers = std::slice::from_mut(&mut observer);
    let outcome = run_until(std::slice::from_mut(&mut search), &mut Stopping(7, &stop), observers, &stop)
        .expect("the expert never fails")
        .remove(0);
    assert_eq!((outcome.stop, outcome.generations, search.stopped()), (None, 7, None));
    let outcome =
        run(std::slice::from_mut(&mut search), &mut Expert, observers).expect("the expert never fails").remove(0);
    assert_eq!(outcome.stop, Some(StopReason::Generations(50)));
    assert_eq!(seen, whole, "every generation is seen once");
    // One that is stopped already makes nothing.
    let unmade = Search::new_until(instance("p", &ARITH, HARD, 50), SearchConfig::basic(), 1, Some(&stop));
    assert!(unmade.is_ok_and(|search| search.outcome().stop.is_none()));
}

#[test]
fn a_target_of_any_magnitude_is_found_alike() {
    let solved: Vec<usize> = [1e-9, 1e-4, 1.0, 1e5, 1e12]
        .into_iter()
        .map(|scale| {
            let x = Columns::from_fn(50, 1, |row, _| row as f64 * 0.2 - 5.0);
            let y = x.column(0).iter().map(|&x| scale * (libm_sin(x) + 0.3 * x)).collect();
            let ops = vec![Op::Add, Op::Mul, Op::Sin];
            let primitives = PrimitiveSet::new(ops, vec![scale, 0.3], 1).expect("primitives");
            let instance = Arc::new(Instance::new("p", x, y, primitives).expect("an instance"));
            let config = SearchConfig {
                objective: Objective::Mse,
                population_size: 200,
                generations: 200,
                extra_generations: 0,
                ..SearchConfig::basic()
            };
            let is_solved = |seed| {
                let mut search = Search::new(instance.clone(), config.clone(), seed).expect("config");
                let outcome = search.run(&mut Expert).expect("the expert never fails");
                outcome.solved.is_some() && outcome.fit(&instance).relative <= 1e-12
            };
            (0..10).filter(|&seed| is_solved(seed)).count()
        })
        .collect();
    assert!(solved.iter().all(|&count| count >= 9), "{solved:?} of 10 searches");
}

fn libm_sin(x: f64) -> f64 {
    sr_expr::reference::eval_row(&"sin(x0)".parse::<Expr>().expect("a formula"), &[x], sr_expr::Semantics::Ieee)
}

/// Rows that the reference leaves out of its error.
#[test]
fn the_plain_objective_calls_nothing_solved_that_is_wrong_on_a_row() {
    let x = Columns::from_fn(18, 1, |row, _| 100.0 * (row + 1) as f64);
    let y: Vec<f64> = x.column(0).iter().map(|&x| if x < 1000.0 { x * x } else { 7.0 }).collect();
    let primitives = PrimitiveSet::new(vec![Op::Add, Op::Mul], vec![1.0], 1).expect("primitives");
    let instance = Arc::new(Instance::new("p", x, y, primitives).expect("an instance"));
    let found = |objective| {
        let config = SearchConfig { objective, ..SearchConfig::basic() };
        let mut search = Search::new(instance.clone(), config, 1).expect("config");
        let outcome = search.run(&mut Expert).expect("the expert never fails");
        (outcome.solved.is_some(), outcome.fit(&instance))
    };
    let (is_solved, fit) = found(Objective::Masked);
    assert!(is_solved && fit.masked_rows == 9 && !fit.is_solved, "{fit:?}");
    let (is_solved, fit) = found(Objective::Mse);
    assert!(!is_solved && !fit.is_solved && fit.relative > 0.1, "{fit:?}");
}

#[test]
fn a_fit_that_is_good_on_large_targets_alone_solves_nothing() {
    let x = [1.0, 2.0, 3.0, 4.0, 5.0, 1e4, 2e4, 3e4, 4e4, 5e4];
    let y: Vec<f64> = x.iter().map(|&x| if x < 10.0 { 7.0 } else { x * x }).collect();
    let instance = |y: Vec<f64>| {
        let primitives = PrimitiveSet::new(vec![Op::Add, Op::Mul], vec![1.0], 1).expect("primitives");
        Arc::new(Instance::new("p", Columns::new(10, 1, x.to_vec()), y, primitives).expect("an instance"))
    };
    let found = |instance: &Arc<Instance>, early_stop_mse| {
        let config = SearchConfig { objective: Objective::Mse, early_stop_mse, ..SearchConfig::basic() };
        let mut search = Search::new(instance.clone(), config, 1).expect("config");
        search.run(&mut Expert).expect("the expert never fails")
    };
    let wrong = instance(y);
    let outcome = found(&wrong, Some(3e-16));
    let fit = outcome.fit(&wrong);
    assert!(fit.relative < 1e-15 && !fit.is_solved && outcome.solved.is_none(), "{fit:?}");
    assert!(found(&wrong, Some(1e-6)).solved.is_some(), "asked for");
    // The same rows by one law are solved.
    let right = instance(x.iter().map(|x| x * x).collect());
    let outcome = found(&right, Some(3e-16));
    assert!(outcome.solved.is_some() && outcome.fit(&right).is_solved);
}

#[test]
fn predictions_in_the_millions_are_predictions() {
    let x = Columns::from_fn(20, 1, |row, _| 1000.0 + 100.0 * row as f64);
    let y = x.column(0).iter().map(|x| x * x).collect();
    let primitives = PrimitiveSet::new(vec![Op::Add, Op::Mul], vec![1.0], 1).expect("primitives");
    let instance = Arc::new(Instance::new("p", x, y, primitives).expect("an instance"));
    let config = SearchConfig { objective: Objective::Mse, ..SearchConfig::basic() };
    let mut search = Search::new(instance.clone(), config, 1).expect("config");
    let outcome = search.run(&mut Expert).expect("the expert never fails");
    assert_eq!(outcome.winner().expr.to_string(), "(x0 * x0)");
    assert_eq!((outcome.fit(&instance).mse, outcome.fit(&instance).r2()), (0.0, Some(1.0)));
}

#[test]
fn trees_too_deep_to_be_grown_are_refused_and_random_trees_are_cut() {
    let limits = Limits { max_size: 4000, max_depth: 100_000 };
    let config = SearchConfig { limits, ..SearchConfig::basic() };
    let error = Search::new(instance("p", &ARITH, HARD, 20), config, 1).expect_err("too deep");
    assert_eq!(error.to_string(), "max_depth must be 0 to 20");
    let primitives = PrimitiveSet::new(vec![Op::Add, Op::Sin], vec![1.0], 2).expect("primitives");
    for slot in 0..50 {
        let key = Key::new(1, Purpose::Generator, 0).slot(slot);
        assert!(random_tree(&primitives, limits, key).size() <= 4000);
        assert_eq!(random_tree(&primitives, Limits { max_size: 1, max_depth: 9 }, key).size(), 1);
    }
}

#[test]
fn an_observer_can_stop() {
    let mut search = Search::new(instance("p", &ARITH, HARD, 20), SearchConfig::basic(), 1).expect("config");
    let mut observer = |generation: &Generation<'_>| match generation.generation {
        3 => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    let outcome = search.run_with(&mut Expert, &mut observer).expect("the expert never fails");
    assert_eq!((outcome.stop, outcome.generations), (Some(StopReason::Observer), 4));
}

#[test]
fn unique_never_meets_a_form_twice() {
    let config = SearchConfig { unique: true, elitism: 0, generations: 20, ..SearchConfig::basic() };
    let mut search = Search::new(instance("p", &ARITH, HARD, 20), config, 1).expect("config");
    let populations = trajectory(&mut search);
    let later: Vec<&Tree> = populations[1..].iter().flat_map(|p| p.iter().map(|i| i.tree)).collect();
    let distinct: HashSet<&&Tree> = later.iter().collect();
    assert_eq!(distinct.len(), later.len());
    let initial: HashSet<&Tree> = populations[0].iter().map(|i| i.tree).collect();
    assert!(later.iter().all(|form| !initial.contains(form)));
}

#[test]
fn unique_ends_when_nothing_is_left() {
    let primitives = PrimitiveSet::new(vec![], vec![1.0], 1).expect("primitives");
    let instance = Instance::new("p", Columns::new(4, 1, vec![1.0; 4]), vec![2.0; 4], primitives).expect("instance");
    let config = SearchConfig { unique: true, population_size: 2, tournament_size: 1, ..SearchConfig::basic() };
    let mut search = Search::new(Arc::new(instance), config, 1).expect("config");
    let outcome = search.run(&mut Expert).expect("the expert never fails");
    assert_eq!(outcome.stop, Some(StopReason::Exhausted));
}

#[test]
fn plus_survival_keeps_the_best_of_both() {
    let config = SearchConfig { survival: Survival::Plus, ..SearchConfig::basic() };
    let mut search = Search::new(instance("p", &ARITH, HARD, 50), config, 1).expect("config");
    for pair in trajectory(&mut search).windows(2) {
        let worst = |p: &Population| p.iter().map(|i| i.score.fitness).fold(f64::INFINITY, f64::min);
        assert_eq!(pair[1].len(), 20);
        assert!(worst(&pair[1]) >= worst(&pair[0]));
        for survivor in pair[1].iter().filter(|i| i.origin == Origin::Elite) {
            let Parents::One(parent) = survivor.parents else { panic!("a survivor is its own parent") };
            assert_eq!(survivor.tree, pair[0].tree(parent as usize));
        }
    }
}

#[test]
fn the_policy_sees_what_the_search_knows() {
    struct Check;
    impl Policy for Check {
        fn propose(&mut self, requests: &mut [Request<'_>]) -> Result<(), PolicyError> {
            let state = &requests[0].state;
            let mut out = Vec::new();
            state.predict(state.best.tree(), &mut sr_expr::Machine::new(), &mut out);
            let error: f64 = out.iter().zip(state.instance.y()).map(|(p, y)| (p - y) * (p - y)).sum();
            assert!((error / out.len() as f64 - state.best.score.mse).abs() < 1e-9);
            assert_eq!(state.budget.generations, 49 - state.generation);
            assert_eq!(state.budget.evaluations, Some(10_000 - 20 - 19 * u64::from(state.generation)));
            Expert.propose(requests)
        }
    }
    let config = SearchConfig { max_evaluations: Some(10_000), ..SearchConfig::basic() };
    let mut search = Search::new(instance("p", &ARITH, HARD, 50), config, 1).expect("config");
    let outcome = search.run(&mut Check).expect("the expert never fails");
    assert_eq!(outcome.generations, 50);
    assert_eq!(outcome.predict(search.state().instance.x()).len(), 50);
}

/// Proposes one child, some times over.
struct Proposes(usize, &'static str, Parents);

impl Policy for Proposes {
    fn propose(&mut self, requests: &mut [Request<'_>]) -> Result<(), PolicyError> {
        let Proposes(count, formula, parents) = *self;
        let child: Expr = formula.parse().expect(formula);
        for _ in 0..count {
            requests[0].offspring.push(&Child { parents, ..Child::orphan(&child, Origin::Random) });
        }
        Ok(())
    }
}

fn run_with(mut policy: Proposes) {
    let mut search = Search::new(instance("p", &ARITH, HARD, 50), SearchConfig::basic(), 1).expect("config");
    search.run(&mut policy).expect("the expert never fails");
}

#[test]
#[should_panic = "a policy proposed 10 offspring where 19 were wanted"]
fn too_few_offspring_are_refused() {
    run_with(Proposes(10, "x0", Parents::None));
}

#[test]
#[should_panic = "which is not among the primitives"]
fn an_operator_that_the_problem_does_not_have_is_refused() {
    run_with(Proposes(19, "exp(x0)", Parents::None));
}

#[test]
#[should_panic = "which is not among the primitives"]
fn a_variable_that_the_problem_does_not_have_is_refused() {
    run_with(Proposes(19, "x0 + x7", Parents::None));
}

#[test]
#[should_panic = "names parent Some(2000) of 20 individuals"]
fn a_parent_that_is_none_is_refused() {
    run_with(Proposes(19, "x0 + x1", Parents::Two(3, 2000)));
}

#[test]
#[should_panic = "the edit that a policy gives makes its child"]
fn an_edit_that_makes_another_child_is_refused() {
    struct Liar;
    impl Policy for Liar {
        fn propose(&mut self, requests: &mut [Request<'_>]) -> Result<(), PolicyError> {
            let Request { state, wanted, offspring } = &mut requests[0];
            let best = state.population.tree(0);
            let child = sr_expr::Expr::unary(Op::Sin, best);
            for _ in 0..*wanted {
                let edit = Some(sr_engine::Edit::copy(0, best));
                offspring.push(&Child { edit, ..Child::orphan(&child, Origin::Mutation) });
            }
            Ok(())
        }
    }
    let mut search = Search::new(instance("p", &ARITH, HARD, 50), SearchConfig::basic(), 1).expect("config");
    search.run(&mut Liar).expect("the expert never fails");
}

proptest! {
    #[test]
    fn edit_between_round_trips(
        parent in sr_expr::testing::expr(3, 25),
        child in sr_expr::testing::expr(3, 25),
        at: prop::sample::Index,
        splice: bool,
    ) {
        let child = if splice { parent.replaced(at.index(parent.size()), &child) } else { child };
        let population = Population::new([IndividualRef::new(Child::orphan(&parent, Origin::Random), Score::INVALID)]);
        let edit = Edit::between(0, &parent, &child);
        prop_assert_eq!(edit.apply(&population), Some(child.clone()));
        if splice {
            let sr_engine::Replacement::Written(written) = &edit.replacement else { unreachable!() };
            let at = at.index(parent.size());
            prop_assert!(parent.subtree(edit.node as usize).size() <= parent.subtree(at).size());
            prop_assert!(written.size() >= 1);
        }
    }
}
