//! Every bench: `just bench`.

#![allow(missing_docs)]

use criterion::{criterion_group, criterion_main};

#[global_allocator]
static GLOBAL: mimalloc::MiMalloc = mimalloc::MiMalloc;

criterion_group!(
    all,
    benches::expr::define,
    benches::engine::define,
    benches::enumerate::define,
    benches::trace::define,
    benches::prompt::define,
    benches::corpus::define,
    benches::dagger::define,
    benches::model::define,
    benches::neural::define,
);
criterion_main!(all);
