//! Accuracy beside other systems: who finds the law behind the data, and how soon.
//!
//! A [`Task`] is one problem with one draw of its rows; each [`Method`] gets the same rows, operators, seconds and
//! threads. A method reports its front while it searches ([`wire`]), every formula is read by our own parser
//! ([`translate`]) and judged on fresh rows ([`judge`]), and each run becomes one line of a file that can be gone on
//! with ([`results`]). [`tables`] prints what stands there.

pub mod basic;
pub mod fitting;
pub mod judge;
pub mod methods;
pub mod refit;
pub mod results;
pub mod simplify;
pub mod suites;
pub mod tables;
pub mod translate;
pub mod wire;

pub use judge::{Judge, Verdict};
pub use methods::Method;
pub use results::{Results, Run};
pub use suites::Task;
pub use translate::Syntax;
