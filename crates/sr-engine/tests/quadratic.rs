//! A formula that the expert finds at once, as on the crate's front page.

use std::sync::Arc;

use sr_engine::{Expert, Instance, PrimitiveSet, Search, SearchConfig};
use sr_expr::{Columns, Op};

#[test]
fn finds_a_quadratic() -> Result<(), Box<dyn std::error::Error>> {
    let x: Vec<f64> = (0..50).map(|i| f64::from(i) / 10.0 - 2.5).collect();
    let y: Vec<f64> = x.iter().map(|x| x * x + x).collect();
    let primitives = PrimitiveSet::new(vec![Op::Add, Op::Sub, Op::Mul], vec![1.0], 1)?;
    let instance = Arc::new(Instance::new("quadratic", Columns::new(50, 1, x), y, primitives)?);

    let mut search = Search::new(instance, SearchConfig::basic(), 1)?;
    let outcome = search.run(&mut Expert).expect("the expert never fails");

    let winner = outcome.winner();
    assert!(winner.score.mse <= 3e-16, "{} is no x0*x0 + x0", winner.expr);
    assert!(outcome.evaluations_to_solve.is_some());
    Ok(())
}
