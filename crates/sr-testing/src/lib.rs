//! Helpers for the tests of several crates: programs that are killed, interrupted or run out of disk ([`Victim`],
//! [`interrupt`], [`SmallDisk`]), tests that have to be skipped ([`skipped`]) or need a Python ([`python`]), and an
//! allocator that counts ([`CountingAllocator`]).
//!
//! Crates of the workspace use this one as a `dev-dependency` only. It depends on no other crate.

mod allocator;
mod programs;

pub use allocator::{CountingAllocator, allocations, largest_allocation, live_bytes};
pub use programs::{
    SmallDisk, Victim, contents, fails, interrupt, on_terminal, peak_memory, python, signal, skipped, succeeds,
    with_file_limit,
};
