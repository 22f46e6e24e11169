//! Ctrl-C.

use std::sync::atomic::{AtomicBool, Ordering};

/// Whether the program was asked to stop.
static REQUESTED: AtomicBool = AtomicBool::new(false);

/// From here on the first Ctrl-C (SIGINT) or SIGTERM only sets the flag that is given back and says so on stderr; loops
/// look at it, finish what they are at and leave files that can be resumed. The second one ends the program at once.
///
/// `finishing` names what is being finished, such as "the current searches".
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

/// Whether a signal came since [`on_interrupt`].
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
                // Ends the program as if the signal had not been caught; files survive that as they do a kill.
                signal_hook::low_level::emulate_default_handler(signal).ok();
            }
            eprintln!("stopping after {finishing}; once more stops at once");
        }
    };
    // It lives as long as the program.
    std::thread::Builder::new().name("signals".into()).spawn(wait).context("catching Ctrl-C")?;
    Ok(())
}
