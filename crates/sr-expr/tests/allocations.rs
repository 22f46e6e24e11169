//! Evaluating a tree allocates nothing once there was a tree as large.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use sr_expr::{Columns, Expr, Loss, Machine, Semantics};

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is left to the system's allocator.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(block, layout) }
    }
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.realloc(block, layout, size) }
    }
}

#[global_allocator]
static GLOBAL: Counting = Counting;

// The only test of this program: another one would allocate meanwhile.
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
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    for _ in 0..10 {
        evaluate();
    }
    assert_eq!(ALLOCATIONS.load(Ordering::Relaxed), before);
}
