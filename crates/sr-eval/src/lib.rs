//! Scoring methods on suites: R², solved rate with intervals, evaluations, time.
//!
//! [`judge`] says whether a formula solves a problem, [`Tally`] watches a search and counts what its policy proposed,
//! [`summarise`] turns [`Row`]s into one line a method and [`table`] prints them; [`DirectRow`]s are the same for formulas
//! that no search has found. Nothing is plotted here.

mod direct;
mod judge;
mod rows;
mod tally;

pub use direct::{DirectRow, DirectSummary, direct_tables, summarise_direct};
pub use judge::{FRESH_POINTS, Judgement, judge, r_squared};
pub use rows::{Row, Summary, summarise, table, wilson};
pub use tally::Tally;
