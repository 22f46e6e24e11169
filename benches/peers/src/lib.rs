//! Speed side by side: the same trees and the same searches in `sr` and in other systems, in one run.
//!
//! `bench-eval` measures evaluation here alone; `bench-peers` measures all sides in turns and compares. Peers are
//! programs of their own ([`Peer`]), so that none is linked to the other.

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
