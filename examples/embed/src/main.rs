//! Finds a formula in data of one's own: the whole engine in a page.
//!
//! ```text
//! cargo run --release --manifest-path examples/embed/Cargo.toml
//! ```

use std::ops::ControlFlow;
use std::sync::Arc;

use sr_engine::{Expert, Generation, Instance, PrimitiveSet, Search, SearchConfig, StopReason};
use sr_expr::{Columns, Op};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Kepler's third law, units of the Earth's orbit: period² = radius³.
    let radius = [0.387, 0.723, 1.0, 1.524, 5.203, 9.537, 19.191, 30.069];
    let period_squared = radius.iter().map(|r: &f64| r.powi(3)).collect();

    let primitives = PrimitiveSet::new(vec![Op::Add, Op::Sub, Op::Mul, Op::Div], vec![1.0], 1)?;
    let x = Columns::new(radius.len(), 1, radius.to_vec());
    let instance = Arc::new(Instance::new("kepler", x, period_squared, primitives)?);
    let config = SearchConfig { extra_generations: 10, ..SearchConfig::default() };
    let mut search = Search::new(instance.clone(), config, 1)?;

    let mut best = f64::NEG_INFINITY;
    let mut watch = |generation: &Generation<'_>| {
        if generation.best.score.fitness > best {
            best = generation.best.score.fitness;
            println!(
                "generation {:3}  1 - R² {:.3e}  {}",
                generation.generation, generation.best.score.mse, generation.best.expr
            );
        }
        ControlFlow::Continue(())
    };
    let outcome = search.run_with(&mut Expert, &mut watch)?;

    let winner = outcome.winner();
    let (evaluations, stop) = (outcome.evaluations.search, outcome.stop.map_or("not ended", StopReason::name));
    println!("{} with MSE {:.3e} after {evaluations} evaluations ({stop})", winner.expr, outcome.fit(&instance).mse);
    Ok(())
}
