//! Progress and stopping of long work.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

/// The caller's side of long work: a flag that stops it, and a callback that receives its progress.
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
    /// Returns a monitor that never stops the work and ignores its progress.
    pub fn none() -> Self {
        Monitor::of_progress(|_| ())
    }
}

static NEVER: AtomicBool = AtomicBool::new(false);

impl<'a> Monitor<'a> {
    /// Returns a monitor with a flag and a callback.
    ///
    /// - stop: may be set to true at any time, by a signal or another thread; the work then ends as soon as it can be
    ///   resumed
    /// - progress: called with the number of steps done since the last call; steps of an earlier run are reported at
    ///   the start
    pub fn new(stop: &'a AtomicBool, progress: impl FnMut(u64) + 'a) -> Self {
        Monitor { stop, progress: Box::new(progress) }
    }

    /// Returns a monitor that never stops the work.
    pub fn of_progress(progress: impl FnMut(u64) + 'a) -> Self {
        Monitor::new(&NEVER, progress)
    }

    /// Returns the flag that stops the work.
    pub fn stop(&self) -> &'a AtomicBool {
        self.stop
    }

    /// Returns whether the work must stop.
    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Reports that this many more steps are done.
    pub fn advance(&mut self, pieces: u64) {
        (self.progress)(pieces);
    }
}

/// How a piece of work has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Ended {
    /// All steps are done.
    Finished,
    /// The work was stopped.
    Stopped {
        /// The number of steps done, including those of earlier runs.
        done: u64,
    },
}
