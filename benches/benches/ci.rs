//! The short set that CI tracks: `just bench-ci`.

#![allow(missing_docs)]

use criterion::{criterion_group, criterion_main};

#[global_allocator]
static GLOBAL: mimalloc::MiMalloc = mimalloc::MiMalloc;

criterion_group!(
    ci,
    benches::expr::define_ci,
    benches::engine::define_ci,
    benches::enumerate::define_ci,
    benches::trace::define_ci,
    benches::prompt::define_ci,
    benches::model::define_ci,
);
criterion_main!(ci);
