//! The preset `default`: fitted constants, linear scaling, Pareto order.

use std::ops::ControlFlow;
use std::sync::Arc;

use sr_engine::{Expert, Generation, Instance, PrimitiveSet, Search, SearchConfig, StopReason};
use sr_expr::{Columns, Op, Semantics};

const OPS: [Op; 8] = [Op::Add, Op::Sub, Op::Mul, Op::Div, Op::Sin, Op::Exp, Op::Sqrt, Op::Pow2];

fn instance(law: impl Fn(f64, f64) -> f64) -> Arc<Instance> {
    let x = Columns::from_fn(100, 2, |row, column| match column {
        0 => 0.5 + (row * 37 % 100) as f64 / 30.0,
        _ => -1.0 + (row * 61 % 100) as f64 / 40.0,
    });
    let y = (0..100).map(|row| law(x.column(0)[row], x.column(1)[row])).collect();
    let primitives = PrimitiveSet::new(OPS.to_vec(), vec![1.0], 2).expect("primitives");
    Arc::new(Instance::new("law", x, y, primitives).expect("an instance"))
}

#[test]
fn laws_with_constants_inside_and_outside_are_found_and_reported_whole() {
    let laws: [fn(f64, f64) -> f64; 3] = [
        |a, b| 3.0 * (1.5 * a + 0.25).sin() + 0.5 * b,
        |a, b| 1e6 + 2e5 * a / (b + 1.75),
        |a, b| 4e-7 * (-0.3 * a * a).exp() * b,
    ];
    for (index, law) in laws.into_iter().enumerate() {
        let instance = instance(law);
        let mut search = Search::new(instance.clone(), SearchConfig::default(), 1).expect("a search");
        let outcome = search.run(&mut Expert).expect("the expert never fails");
        let winner = outcome.winner();
        assert!(outcome.solved.is_some(), "law {index}: {} with {:e}", winner.expr, winner.score.mse);
        // What is reported has a and b in it.
        let fit = outcome.fit(&instance);
        assert!(fit.relative <= 1e-12, "law {index}: {} has {:e}", winner.expr, fit.relative);
        let predicted = outcome.predict(instance.x());
        let largest = instance.y().iter().fold(0.0_f64, |largest, y| largest.max(y.abs()));
        assert!(predicted.iter().zip(instance.y()).all(|(p, y)| (p - y).abs() <= 1e-5 * largest), "law {index}");
        assert!(search.work() > 0);
    }
}

#[test]
fn scores_are_those_of_an_offset_and_a_factor() {
    let instance = instance(|a, b| a * b + (a * 7.0).sin());
    let config = SearchConfig { generations: 6, early_stop_mse: None, ..SearchConfig::default() };
    let mut compared = 0;
    let mut watch = |generation: &Generation<'_>| {
        for individual in generation.population.iter() {
            let mut fitter = sr_engine::ConstantFitter::new();
            let scaled = fitter.scale(individual.tree, &instance, Semantics::Ieee).tree.to_owned();
            let error = instance.fit(&scaled, Semantics::Ieee).relative;
            if individual.score.is_valid() {
                // Steps for all constants at once may end beside the best a and b.
                let mse = individual.score.mse;
                assert!(error <= mse * (1.0 + 1e-9) + 1e-12, "{}: {error:e} and {mse:e}", individual.tree);
                assert!(individual.tree.constants().next().is_some() || mse <= error * (1.0 + 1e-9) + 1e-12);
                compared += 1;
            }
            assert!(individual.tree.size() <= 30);
        }
        ControlFlow::Continue(())
    };
    Search::new(instance.clone(), config, 3).expect("a search").run_with(&mut Expert, &mut watch).expect("a run");
    assert!(compared > 500);
}

#[test]
fn equal_seeds_give_equal_outcomes_and_other_seeds_others() {
    let instance = instance(|a, b| (a * b).sin() / (a + 2.5));
    let config = SearchConfig { generations: 10, early_stop_mse: None, ..SearchConfig::default() };
    let run = |seed| {
        let mut search = Search::new(instance.clone(), config.clone(), seed).expect("a search");
        let outcome = search.run(&mut Expert).expect("a run");
        assert_eq!(outcome.stop, Some(StopReason::Generations(10)));
        (outcome.progression.clone(), outcome.winner().expr.clone(), search.work())
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1).0, run(2).0);
}
