//! Handling of Ctrl-C.

use std::sync::atomic::{AtomicBool, Ordering};

/// Whether a signal has asked the program to stop.
static REQUESTED: AtomicBool = AtomicBool::new(false);

/// Catches Ctrl-C (SIGINT) and SIGTERM. The first signal sets the returned flag and prints a message to stderr; loops
/// check the flag, finish their current work and leave files that can be resumed. The second signal ends the program at
/// once.
///
/// `finishing` names the work that is being finished, such as "the current searches".
///
/// # Errors
/// If the signals cannot be caught.
pub fn on_interrupt(finishing: &'static str) -> anyhow::Result<&'static AtomicBool> {
    #[cfg(unix)]
    watch(finishing)?;
    #[cfg(not(unix))]
    let _ = finishing; // Ctrl-C ends the program, which a file survives like any kill
    Ok(&REQUESTED)
}

/// Returns whether a signal came since [`on_interrupt`].
pub fn interrupted() -> bool {
    REQUESTED.load(Ordering::Relaxed)
}

#[cfg(unix)]
fn watch(finishing: &'static str) -> anyhow::Result<()> {
    use anyhow::Context;
    use signal_hook::consts::{SIGINT, SIGTERM};

    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM]).context("catching Ctrl-C")?;
    let wait = move || {
        for signal in signals.forever() {
            if REQUESTED.swap(true, Ordering::Relaxed) {
                // This ends the program as if the signal had not been caught; files survive that like a kill.
                signal_hook::low_level::emulate_default_handler(signal).ok();
            }
            eprintln!("stopping after {finishing}; once more stops at once");
        }
    };
    // The thread lives as long as the program.
    std::thread::Builder::new().name("signals".into()).spawn(wait).context("catching Ctrl-C")?;
    Ok(())
}
