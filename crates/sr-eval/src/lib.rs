//! Scoring methods on suites: R², solved rate with intervals, evaluations, time.
//!
//! [`judge`] says whether a formula solves a problem, [`Tally`] watches a search and counts what its policy proposed,
//! [`summarise`] turns [`Row`]s into one line a method and [`table`] prints them. Nothing is plotted here.

mod judge;
mod rows;
mod tally;

pub use judge::{FRESH_POINTS, Judgement, judge, r_squared};
pub use rows::{Row, Summary, summarise, table, wilson};
pub use tally::Tally;
