//! Once warm, differentiating a tree allocates nothing.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use sr_expr::{Columns, Expr, Gradient, Loss, Semantics};

/// The system's allocator, counting what it is asked for by each thread.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

#[allow(unsafe_code)]
// SAFETY: everything is passed on to the system's allocator as it came; a `Cell` without destructor that is initialised
// at compile time neither allocates nor panics.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promises are those that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: as above.
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

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
        let before = ALLOCATIONS.get();
        for tree in &trees {
            gradient.compile(tree, Semantics::Ieee, 2);
            for _ in 0..3 {
                gradient.jacobian(&data, &mut values, &mut derivatives);
                assert!(gradient.normal_equations(&data, &y, 1e6, Some(&y)).count() > 0);
                assert!(gradient.sum(&data, Loss::Squares { y: &y, limit: 1e6 }).count > 0);
            }
        }
        ALLOCATIONS.get() - before
    };
    assert_ne!(pass(), 0, "the counter works");
    assert_eq!(pass(), 0);
}
