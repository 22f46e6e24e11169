//! Pages that show people what was recorded: animations of searches and of point-control episodes.
//!
//! [`recording`] turns the [`Trajectory`](sr_trace::Trajectory) of a search into an HTML page that plays it generation by
//! generation, [`episode`] and [`episodes`] do so for agents that move to targets. A page is one file that needs
//! nothing else, not even a network, and equal input gives equal bytes. A [`Plot`] is lines over two axes, as SVG or
//! PNG.
//! Nothing is measured here.

mod episode;
mod page;
mod plot;
mod recording;

pub use episode::{Episode, episode, episodes};
pub use plot::{Axis, Line, Plot, PlotFormat, PlotNameError};
pub use recording::{RecordingInfo, recording};
