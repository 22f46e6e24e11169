//! Pages and plots of recorded results: reports, and animations of searches and of point-control episodes.
//!
//! [`report_page`] shows results of fits, comparisons, trainings and DAgger, a [`Section`] each.
//!
//! [`recording_page`] turns the [`Trajectory`](sr_trace::Trajectory) of a search into an HTML page that plays it generation
//! by generation; [`episode_page`] and [`episodes_page`] do the same for agents that move to targets. A page is one
//! self-contained file that needs no network, and equal input gives equal bytes. A [`Plot`] draws lines over two axes,
//! as SVG. This crate measures nothing.
//!
//! ```
//! use sr_report::{Axis, Line, Plot};
//!
//! let axis = |label: &str, is_log| Axis { label: label.to_owned(), is_log, span: None };
//! let points = vec![(1.0, 8.0), (2.0, 0.5), (3.0, 0.5)];
//! let plot = Plot {
//!     title: "error of the best individual".to_owned(),
//!     x: axis("generation", false),
//!     y: axis("mean squared error", true),
//!     lines: vec![Line { name: "expert".to_owned(), points, is_step: true }],
//! };
//! assert!(plot.svg().starts_with("<svg"));
//! ```

mod episode;
mod page;
mod plot;
mod recording;
mod report;

pub use episode::{Episode, episode_page, episodes_page};
pub use plot::{Axis, Line, Plot, PlotNameError};
pub use recording::{RecordingInfo, recording_page};
pub use report::{FitRow, ReportError, Section, report_page};
