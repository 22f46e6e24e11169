//! Searches with few operators: every formula is made of those that there are.

use std::ops::ControlFlow;
use std::sync::Arc;

use sr_engine::{
    ConstantFitter, Expert, Generation, Instance, PrimitiveSet, Recorded, Search, SearchConfig, StopReason, Variation,
};
use sr_expr::{Columns, Expr, Node, Op, Semantics, Tree};

/// y = 2ab + 1 with some noise.
fn instance(ops: &[Op]) -> Arc<Instance> {
    let x = Columns::from_fn(30, 2, |row, column| 0.5 + ((row * (7 + 4 * column)) % 30) as f64 / 10.0);
    let y = (0..30).map(|row| 2.0 * x.column(0)[row] * x.column(1)[row] + 1.0 + (row % 3) as f64 / 100.0).collect();
    let primitives = PrimitiveSet::new(ops.to_vec(), vec![1.0], 2).expect("primitives");
    Arc::new(Instance::new("few", x, y, primitives).expect("an instance"))
}

fn is_of(tree: &Tree, ops: &[Op]) -> bool {
    tree.nodes().iter().all(|node| !matches!(node, Node::Op(op) if !ops.contains(op)))
}

#[test]
fn any_list_of_operators_can_be_searched_and_makes_formulas_of_itself() {
    use Op::{Add, Cos, Div, Exp, Inv, Log, Mul, Neg, Pow, Sin, Sqrt, Sub};
    let lists: [&[Op]; 16] = [
        &[Add, Sub],
        &[Add],
        &[Sub],
        &[Mul],
        &[Div],
        &[Mul, Div],
        &[Add, Sub, Div],
        &[Sub, Div],
        &[Sub, Mul],
        &[Add, Sin],
        &[Add, Pow],
        &[Add, Sqrt],
        &[Sin, Cos],
        &[Exp, Log],
        &[Neg],
        &[Inv],
    ];
    for ops in lists {
        let instance = instance(ops);
        for (variation, steps) in [(Variation::Node, 4), (Variation::Node, 0), (Variation::Subtree, 4)] {
            let config = SearchConfig {
                generations: 8,
                population_size: 60,
                variation,
                fitting: Some(sr_engine::Fitting { steps }),
                ..SearchConfig::default()
            };
            let mut search = Search::new(instance.clone(), config, 1).expect("a search");
            let mut watch = |generation: &Generation<'_>| {
                for individual in generation.population.iter() {
                    assert!(is_of(individual.tree, ops), "{} with {ops:?}", individual.tree);
                }
                ControlFlow::Continue(())
            };
            let outcome = search.run_with(&mut Expert, &mut watch).expect("the expert never fails");
            assert!(matches!(outcome.stop, Some(StopReason::Generations(_) | StopReason::Exhausted)));
            let winner = outcome.winner();
            assert!(is_of(&winner.expr, ops), "{} with {ops:?}", winner.expr);
            let error = instance.fit(&winner.expr, Semantics::Ieee).relative;
            assert!((error - winner.score.mse).abs() <= 1e-9 * error, "{} with {ops:?}", winner.expr);
        }
    }
}

#[test]
fn what_stands_around_a_formula_is_what_the_operators_can_write() {
    use Op::{Add, Div, Mul, Neg, Sin, Sub};
    let scaled = |ops: &[Op], y: &dyn Fn(f64) -> f64| {
        let x: Vec<f64> = (0..8).map(|i| 1.0 + f64::from(i)).collect();
        let y = x.iter().map(|&x| y(x)).collect();
        let primitives = PrimitiveSet::new(ops.to_vec(), vec![], 1).expect("primitives");
        let instance = Instance::new("t", Columns::new(8, 1, x), y, primitives).expect("an instance");
        ConstantFitter::new().scale(&Expr::var(0), &instance, Semantics::Ieee).tree.to_string()
    };
    let line: &dyn Fn(f64) -> f64 = &|x| 3.0 - 2.0 * x;
    assert_eq!(scaled(&[Add, Mul], line), "((x0 * -2.0) + 3.0)");
    assert_eq!(scaled(&[Sub, Mul], line), "((x0 * -2.0) - -3.0)");
    assert_eq!(scaled(&[Add, Div], line), "((x0 / -0.5) + 3.0)");
    assert_eq!(scaled(&[Sub, Div], line), "((x0 / -0.5) - -3.0)");
    // Least squares through the origin: Σ xy / Σ x² = (108 − 408) / 204.
    assert!(scaled(&[Mul], line).starts_with("(x0 * -1.47"), "{}", scaled(&[Mul], line));
    assert!(scaled(&[Div], line).starts_with("(x0 / -0.67999"), "{}", scaled(&[Div], line));
    let falling: &dyn Fn(f64) -> f64 = &|x| 3.0 - x;
    assert_eq!(scaled(&[Add], &|x| 3.0 + x), "(x0 + 3.0)");
    assert_eq!(scaled(&[Add], falling), "(x0 + -6.0)", "the mean of 3 − 2x");
    assert_eq!(scaled(&[Add, Neg], falling), "(neg(x0) + 3.0)");
    assert_eq!(scaled(&[Sub], falling), "(3.0 - x0)");
    assert_eq!(scaled(&[Sub], &|x| 3.0 + x), "(x0 - -3.0)");
    assert_eq!(scaled(&[Neg], &|x| -x), "neg(x0)");
    assert_eq!(scaled(&[Sin], line), "x0");
}

#[test]
fn a_constant_fitted_inside_of_any_wrapping_has_the_score_of_its_tree() {
    use Op::{Add, Div, Mul, Neg, Sin, Sub};
    for ops in [&[Sub, Sin, Mul][..], &[Sub, Sin], &[Add, Neg, Sin], &[Div, Sin, Sub], &[Div, Sin], &[Sin, Neg], &[Sin]]
    {
        let instance = instance(ops);
        let config = SearchConfig::default();
        let tree: Expr = if ops.contains(&Sub) { "sin(x0 - 0.3)" } else { "sin(x0)" }.parse().expect("a tree");
        let recorded = Recorded { generation: 0, population: vec![tree; 2], best: None, stagnation: 0 };
        let search = Search::resume_from(instance.clone(), config.clone(), 1, recorded).expect("a search");
        let population = search.state().population;
        for individual in population.iter() {
            let again = sr_engine::Evaluator::default().score(individual.tree, &instance, &config);
            assert_eq!(individual.score, again, "{} with {ops:?}", individual.tree);
            assert_eq!(individual.tree.size(), if ops.contains(&Sub) { 4 } else { 2 });
        }
    }
}
