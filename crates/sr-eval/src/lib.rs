//! Scores of methods on suites: R², solved rate with intervals, evaluations, time.
//!
//! [`judge()`] decides whether a formula solves a problem, and how it fits all rows. [`Tally`] observes a search and
//! counts what its policy proposed. [`summarise`] turns [`Row`]s into one summary for each method, and [`summary_table`] prints
//! them. [`DirectRow`]s are rows of formulas that no search has found. [`expected_running_time`] and [`area_under_curve`] measure
//! the cost. [`RandomTrees`], [`Enumeration`] and [`BestOf`] are baseline policies.
//!
//! ```
//! use sr_eval::{Trial, expected_running_time, wilson};
//!
//! // Three searches of a problem: two solved it, after 200 and 400 evaluations, and one gave up after 900.
//! let trials = [(true, 200.0), (true, 400.0), (false, 900.0)].map(|(solved, spent)| Trial { solved, spent });
//! // To solve it once takes 750 evaluations on average, since a search that fails is begun anew.
//! assert_eq!(expected_running_time(&trials), Some(750.0));
//! // Two of three is little evidence: the share of solved searches is between 21 % and 94 %.
//! let (low, high) = wilson(2, 3);
//! assert!((0.20..0.22).contains(&low) && (0.93..0.95).contains(&high));
//! ```
//!
//! This crate draws no plots and runs no searches.

mod baselines;
mod curve;
mod direct;
mod enumeration;
mod judge;
mod measures;
mod paired;
mod rows;
mod tally;

pub use baselines::{BestOf, RandomTrees};
pub use curve::{Curve, curve_points, median_curves, medians};
pub use direct::{DirectRow, DirectSummary, direct_summary_table, direct_tables, summarise_direct};
pub use enumeration::Enumeration;
pub use judge::{FRESH_POINTS, Judgement, judge, r_squared};
pub use measures::{Difference, RESAMPLES, Trial, area_under_curve, expected_running_time, solved_curve};
pub use paired::{MeanDifference, paired_bootstrap};
pub use rows::{
    Equal, Progress, Row, Summary, against_table, aligned_table, median, summarise, summarise_against, summary_table,
    wilson,
};
pub use tally::Tally;
