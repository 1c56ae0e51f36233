//! Ctrl-C and SIGTERM as a flag, so that a run can end in order; a later one ends it at once.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

/// A second signal within this time of the first counts as the same one: shells and `timeout` signal both the process and its
/// group.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(1);

/// A flag that the first signal sets.
pub fn flag() -> io::Result<Arc<AtomicBool>> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let flag = interrupted.clone();
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let mut first: Option<Instant> = None;
        for signal in signals.forever() {
            flag.store(true, Ordering::Relaxed);
            if first.get_or_insert_with(Instant::now).elapsed() >= DUPLICATE_WINDOW {
                // It cannot fail for these two; if it did, the first signal still ends the run.
                let _ = emulate_default_handler(signal);
            }
        }
    })?;
    Ok(interrupted)
}
