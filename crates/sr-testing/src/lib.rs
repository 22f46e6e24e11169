//! What tests of several crates share: programs that are killed, interrupted or run out of disk ([`Victim`], [`interrupt`],
//! [`SmallDisk`]), tests that have to be skipped ([`skipped`]), and an allocator that counts ([`CountingAllocator`]).
//!
//! A crate of the workspace has this one among its `dev-dependencies` only; it depends on nothing.

mod allocator;
mod programs;

pub use allocator::{CountingAllocator, allocations, largest_allocation};
pub use programs::{
    SmallDisk, Victim, contents, fails, interrupt, on_terminal, peak_memory, signal, skipped, succeeds, with_file_limit,
};
