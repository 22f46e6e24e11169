//! How long work is watched and stopped.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

/// How a verb is told to stop, and tells how far it is.
pub struct Monitor<'a> {
    stop: &'a AtomicBool,
    progress: Box<dyn FnMut(u64) + 'a>,
}

impl fmt::Debug for Monitor<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Monitor").field("stop", &self.stop).finish_non_exhaustive()
    }
}

impl Monitor<'static> {
    /// Nobody stops the work, and nobody is told.
    pub fn none() -> Self {
        Monitor::of_progress(|_| ())
    }
}

static NEVER: AtomicBool = AtomicBool::new(false);

impl<'a> Monitor<'a> {
    /// - stop: set to true at any time, by a signal or another thread, it ends the work as soon as that can be gone on with
    /// - progress: called with how many pieces of work have been done since it was called last; pieces that an earlier run
    ///   has done are told at the start
    pub fn new(stop: &'a AtomicBool, progress: impl FnMut(u64) + 'a) -> Self {
        Monitor { stop, progress: Box::new(progress) }
    }

    /// The same for work that nobody stops.
    pub fn of_progress(progress: impl FnMut(u64) + 'a) -> Self {
        Monitor::new(&NEVER, progress)
    }

    /// The flag that stops the work.
    pub fn stop(&self) -> &'a AtomicBool {
        self.stop
    }

    /// Whether the work is to be stopped.
    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Tells that so many more pieces of work are done.
    pub fn advance(&mut self, pieces: u64) {
        (self.progress)(pieces);
    }
}

/// How work has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Ended {
    /// All of it is done.
    Finished,
    /// It was stopped when so many pieces were done, those of earlier runs included.
    Stopped {
        /// Pieces that are done.
        done: u64,
    },
}
