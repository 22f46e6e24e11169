//! Once warm, differentiating a tree allocates nothing.

use sr_expr::{Columns, Expr, Gradient, Loss, Semantics};
use sr_testing::{CountingAllocator, allocations};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

#[test]
fn a_warm_gradient_does_not_allocate() {
    let trees: Vec<Expr> = [
        "1.5*x0 + 2.0",
        "x0 * x1",
        "sin(1.5*x0 + 0.5) / (x1 + 2.0*exp(x0/3.0)) - pow(x1, 2.5)",
        "tanh(0.5*x0) * tanh(0.25*x1 - 1.0) * 3.0",
    ]
    .iter()
    .map(|text| text.parse().expect("test expression"))
    .collect();
    let data = Columns::from_fn(1000, 2, |row, column| 0.5 + 0.01 * row as f64 + column as f64);
    let y = vec![1.0; 1000];
    let mut gradient = Gradient::new();
    let (mut values, mut derivatives) = (Vec::new(), Vec::new());
    let mut pass = || {
        let before = allocations();
        for tree in &trees {
            gradient.compile(tree, Semantics::Ieee, 2);
            for _ in 0..3 {
                gradient.jacobian(&data, &mut values, &mut derivatives);
                assert!(gradient.normal_equations(&data, &y, 1e6, Some(&y)).count() > 0);
                assert!(gradient.sum(&data, Loss::Squares { y: &y, limit: 1e6 }).count > 0);
            }
        }
        allocations() - before
    };
    assert_ne!(pass(), 0, "the counter works");
    assert_eq!(pass(), 0);
}
