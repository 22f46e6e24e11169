//! Evaluating a tree allocates nothing once there was a tree as large.

use sr_expr::{Columns, Expr, Loss, Machine, Semantics};
use sr_testing::{CountingAllocator, allocations};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

#[test]
fn a_warm_machine_allocates_nothing() {
    let texts = [
        "x0",
        "1 + 2",
        "sin(x0*x1) - exp(x0 - 0.5)/(x1*x1 + x0)",
        "(x0*x1 + x0/x1) * (x0 - x1*x1) - (x0 + x1) ** (x1 - x0*x0)",
    ];
    let trees: Vec<Expr> = texts.iter().map(|text| text.parse().expect(text)).collect();
    let data = Columns::from_fn(300, 2, |row, column| 0.1 + (row + column) as f64 / 100.0);
    let y = vec![1.0; 300];
    let (mut machine, mut out) = (Machine::new(), Vec::new());
    let mut evaluate = || {
        for tree in &trees {
            machine.predict(tree, &data, Semantics::Ieee, &mut out);
            let sums = machine.sum(tree, &data, Semantics::Protected, Loss::Squares { y: &y, limit: 1e6 });
            assert!(sums.count > 0);
        }
    };
    evaluate();
    let before = allocations();
    for _ in 0..10 {
        evaluate();
    }
    assert_eq!(allocations(), before);
}
