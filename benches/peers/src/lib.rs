//! Side-by-side benches: the same trees and the same searches in `sr` and in other systems, in one run.
//!
//! `bench-eval` measures evaluation in `sr` alone; `bench-peers` measures all sides in turns and compares them;
//! `bench-accuracy` counts who finds the formula ([`accuracy`]). Peers are separate programs ([`Peer`]), so that no
//! system is linked to another.

pub mod accuracy;
pub mod check;
pub mod data;
pub mod machine;
pub mod measure;
pub mod peer;
pub mod report;
pub mod search;
pub mod trees;

pub use measure::Case;
pub use peer::{Figure, Peer};
pub use report::Series;
pub use trees::TreeSet;
