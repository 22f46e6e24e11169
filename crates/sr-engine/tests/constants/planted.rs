//! Random trees whose constants are known, with data from them and starts beside them.

use sr_engine::random::{Key, Purpose};
use sr_engine::{Instance, Limits, PrimitiveSet, try_random_tree};
use sr_expr::{Columns, Expr, Op, Semantics};

use crate::reference::with_constants;

const OPS: &[Op] = &[Op::Add, Op::Sub, Op::Mul, Op::Div, Op::Sin, Op::Exp, Op::Log, Op::Sqrt, Op::Tanh];

/// A tree with constants away from those that made the data.
#[derive(Debug)]
pub(crate) struct Planted {
    pub(crate) start: Expr,
    pub(crate) instance: Instance,
}

/// Returns `count` problems: trees of 5 to 20 nodes with one to three constants, of N(0, 2), and starts at c (1 +
/// N · `away`).
pub(crate) fn planted(seed: u64, count: usize, rows: usize, away: f64) -> Vec<Planted> {
    let primitives = PrimitiveSet::new(OPS.to_vec(), vec![1.0], 2).expect("primitives");
    let limits = Limits { max_size: 1 << 7, max_depth: 5 };
    let problem = |index: u32| {
        let mut rng = Key::new(seed, Purpose::Generator, 0).slot(index).rng();
        let tree = try_random_tree(&primitives, limits, &mut rng)?;
        let n_constants = tree.constants().count();
        if !(5..=20).contains(&tree.size()) || !(1..=3).contains(&n_constants) || tree.n_variables() == 0 {
            return None;
        }
        let constants: Vec<f64> = (0..n_constants).map(|_| 2.0 * rng.normal()).collect();
        let start: Vec<f64> = constants.iter().map(|constant| constant * (1.0 + away * rng.normal())).collect();
        let x = Columns::new(rows, 2, (0..2 * rows).map(|_| rng.uniform(0.2, 3.0)).collect());
        let y = sr_expr::predict(&with_constants(&tree, &constants), &x, Semantics::Ieee);
        let start = with_constants(&tree, &start);
        let instance = Instance::new("planted", x, y, primitives.clone()).ok()?;
        let (of_start, mean) = (instance.fit(&start, Semantics::Ieee), instance.fit(&start, Semantics::Ieee).varies);
        // What is right at the start or cannot be computed there says nothing about a fit.
        (mean && of_start.is_finite() && of_start.relative > 1e-10).then_some(Planted { start, instance })
    };
    (0..).filter_map(problem).take(count).collect()
}
