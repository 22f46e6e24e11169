//! A global allocator that counts allocations.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

static LARGEST: AtomicUsize = AtomicUsize::new(0);
static LIVE: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator, which counts the allocations of each thread, and remembers the largest one of all threads and
/// how much all of them hold.
///
/// ```
/// #[global_allocator]
/// static ALLOCATOR: sr_testing::CountingAllocator = sr_testing::CountingAllocator;
///
/// let (before, held) = (sr_testing::allocations(), sr_testing::live_bytes());
/// let bytes = std::hint::black_box(vec![1_u8; 5000]);
/// assert_eq!(sr_testing::allocations() - before, 1);
/// assert!(sr_testing::live_bytes() >= held + 5000);
/// drop(bytes);
/// assert!(sr_testing::largest_allocation() >= 5000);
/// ```
#[derive(Debug)]
pub struct CountingAllocator;

/// Returns how often this thread has asked for memory, or for more of it, since it began.
pub fn allocations() -> u64 {
    ALLOCATIONS.get()
}

/// Returns the size of the largest piece of memory that any thread has asked for, in bytes.
pub fn largest_allocation() -> usize {
    LARGEST.load(Ordering::Relaxed)
}

/// Returns how much memory all threads together have asked for and not given back, in bytes.
pub fn live_bytes() -> usize {
    LIVE.load(Ordering::Relaxed)
}

fn count(bytes: usize) {
    ALLOCATIONS.set(ALLOCATIONS.get() + 1);
    LARGEST.fetch_max(bytes, Ordering::Relaxed);
    LIVE.fetch_add(bytes, Ordering::Relaxed);
}

fn give_back(bytes: usize) {
    LIVE.fetch_sub(bytes, Ordering::Relaxed);
}

#[allow(unsafe_code)]
// SAFETY: every call is passed on to the system's allocator unchanged; a `Cell` without a destructor that is
// initialised at compile time neither allocates nor panics.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's guarantees are those that the system's allocator requires.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        give_back(layout.size());
        // SAFETY: as above.
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        give_back(layout.size());
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
}
